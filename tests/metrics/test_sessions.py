"""Sessions and their success: against a loop over users, and by hand."""

from __future__ import annotations

import itertools
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._clusters import ratio_of_sums
from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._events import sessions
from mlsd.metrics._online import session_success

START = pd.Timestamp("2024-03-10 00:00")
LOG = pd.DataFrame(
    {
        "user_id": ["a", "b", "a", "a", "b", "a"],
        "time": START + pd.to_timedelta([0, 5, 30, 61, 200, 0], unit="min"),
        "success": [0, 0, 1, 1, 1, 0],
    },
    index=[3, 3, 2, 9, 0, 1],
)
EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.booleans()), min_size=1, max_size=30
)


def frame_of(events):
    frame = pd.DataFrame(events, columns=["user_id", "time", "success"])
    return frame.assign(time=START + pd.to_timedelta(frame["time"], unit="min"))


def sessions_by_loop(log, gap):
    """Return the sets of rows that make a session."""
    found = set()
    for user in set(log["user_id"]):
        rows = [row for row in range(len(log)) if log["user_id"].iloc[row] == user]
        rows.sort(key=lambda row: log["time"].iloc[row])
        open_session = [rows[0]]
        for before, row in itertools.pairwise(rows):
            if log["time"].iloc[row] - log["time"].iloc[before] > gap:
                found.add(frozenset(open_session))
                open_session = []
            open_session.append(row)
        found.add(frozenset(open_session))
    return found


def as_sets(ids):
    return {frozenset(np.flatnonzero(ids == one).tolist()) for one in set(ids.tolist())}


def test_by_hand():
    # A silence of exactly the gap is none; 31 minutes are one.
    got = sessions(LOG)
    assert got.dtype == np.int64
    assert got.tolist() == [0, 2, 0, 1, 3, 0]
    assert sessions(LOG, gap="31min").tolist() == [0, 1, 0, 0, 2, 0]
    assert sessions(LOG, gap=timedelta(days=1)).tolist() == [0, 1, 0, 0, 1, 0]
    assert sessions(LOG, gap=np.timedelta64(1, "ns")).tolist() == [0, 3, 1, 2, 4, 0]
    assert sessions(LOG.iloc[:0]).tolist() == []


@given(EVENTS, st.integers(1, 15))
def test_sessions_of_a_loop(events, minutes):
    log = frame_of(events)
    got = sessions(log, gap=f"{minutes}min")
    assert as_sets(got) == sessions_by_loop(log, pd.Timedelta(minutes=minutes))
    assert sorted(set(got.tolist())) == list(range(got.max() + 1))
    ordered = log.sort_values("time", kind="stable", ignore_index=True)
    assert as_sets(sessions(ordered, gap=f"{minutes}min")) == sessions_by_loop(
        ordered, pd.Timedelta(minutes=minutes)
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_resolution_of_the_times_does_not_matter(unit):
    log = LOG.assign(time=LOG["time"].astype(f"datetime64[{unit}]"))
    assert sessions(log).tolist() == [0, 2, 0, 1, 3, 0]
    # Less than one tick: any silence is one.
    assert sessions(log, gap="1ns").tolist() == [0, 3, 1, 2, 4, 0]


def test_centuries_in_nanoseconds_do_not_wrap():
    time = pd.to_datetime(["1700-01-01", "2250-01-01"]).as_unit("ns")
    assert sessions(pd.DataFrame({"user_id": 1, "time": time})).tolist() == [0, 1]


def test_an_hour_repeated_is_two_with_a_zone_and_one_without():
    utc = pd.to_datetime(["2024-11-03 05:50", "2024-11-03 06:10"]).tz_localize("UTC")
    local = utc.tz_convert("America/New_York")  # 01:50 and, twenty minutes on, 01:10
    log = pd.DataFrame({"user_id": 1, "time": local})
    assert sessions(log).tolist() == [0, 0]
    assert sessions(log.assign(time=local.tz_localize(None))).tolist() == [1, 0]


@pytest.mark.parametrize(
    "make", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame.convert_dtypes]
)
def test_any_table(make):
    table = make(LOG.reset_index(drop=True))
    assert sessions(table).tolist() == sessions(LOG).tolist()
    assert session_success(table) == session_success(LOG)


def test_python_and_arrow_times():
    expected = sessions(LOG).tolist()
    objects = pd.Series(list(LOG["time"].dt.to_pydatetime()), dtype=object, index=LOG.index)
    assert sessions(LOG.assign(time=objects)).tolist() == expected
    arrow = LOG["time"].astype(pd.ArrowDtype(pa.timestamp("us")))
    assert sessions(LOG.assign(time=arrow)).tolist() == expected


def test_times_of_two_kinds_in_one_column_are_refused():
    mixed = [*LOG["time"][:5], START.tz_localize("UTC")]
    log = LOG.assign(time=pd.Series(mixed, dtype=object, index=LOG.index))
    with pytest.raises(ValueError, match=r"events\['time'\] mixes times of several kinds"):
        sessions(log)


def test_session_success_by_hand():
    # User a: sessions {0, 30, 0} with a success and {61} with one; b: one of two.
    rate = session_success(LOG)
    assert (rate.numerator, rate.denominator, rate.n_units) == (3, 4, 2)
    ratio = ratio_of_sums(np.array([2, 1]), np.array([2, 2]))
    assert (rate.value, rate.stderr) == (ratio.value, ratio.stderr)
    named = LOG.assign(visit=["x", "x", "x", "y", "y", "x"])
    # Sessions of two users are two, though they have one name.
    assert session_success(named, session="visit") == rate
    alone = session_success(named, session="visit", unit=None)
    assert (alone.numerator, alone.denominator, alone.n_units) == (2, 2, 2)
    assert session_success(LOG, interval="delta", level=0.5).upper > 0.75


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@given(EVENTS, st.randoms(use_true_random=False))
def test_success_is_that_of_a_loop_in_any_order(events, random):
    log = frame_of(random.sample(events, len(events)))
    rate = session_success(log, gap="5min")
    found = sessions_by_loop(log, pd.Timedelta("5min"))
    won = [rows for rows in found if log["success"].iloc[list(rows)].any()]
    assert (rate.numerator, rate.denominator) == (len(won), len(found))
    assert rate.n_units == log["user_id"].nunique()
    ordered = session_success(frame_of(events), gap="5min")
    expected = pytest.approx((rate.value, rate.stderr), rel=1e-12, nan_ok=True)
    assert (ordered.value, ordered.stderr) == expected


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (None, (3, 4, 0)),
        ("2024-03-10 03:50:01", (3, 4, 0)),  # b's last event is at 03:20
        ("2024-03-10 03:50", (2, 3, 1)),
        ("2024-03-10 00:50", (0, 1, 3)),  # a's first is not over, the later ones not begun
    ],
)
@pytest.mark.filterwarnings("ignore:all 1 sessions are of one unit")
def test_sessions_that_may_go_on_are_left_out_and_counted(as_of, expected):
    rate = session_success(LOG, as_of=as_of)
    assert (rate.numerator, rate.denominator, rate.n_immature) == expected


def test_undefined_and_missing():
    with pytest.warns(UndefinedMetricWarning, match="there are 0 sessions: the rate") as caught:
        assert np.isnan(session_success(LOG.iloc[:0]).value)
    assert caught[0].filename == __file__
    with pytest.warns(UndefinedMetricWarning, match="all 2 sessions are of one unit") as caught:
        assert session_success(LOG[LOG["user_id"] == "a"]).value == 1.0
    assert caught[0].filename == __file__
    log = LOG.assign(user_id=["a", None, "a", "a", None, "a"]).assign(extra=["b"] * 6)
    more = pd.concat([log, log.assign(user_id="c")])
    assert session_success(more, missing_unit="drop").n_dropped == 2


@pytest.mark.parametrize(
    ("changes", "options", "error", "match"),
    [
        ({}, {"unit": None}, ValueError, "unit is None and session is None"),
        ({}, {"session": "user_id", "as_of": START}, ValueError, "as_of needs session=None"),
        ({}, {"gap": "-1min"}, ValueError, "gap must be longer than 0; got '-1min'"),
        ({}, {"gap": 30}, TypeError, "gap must be a length of time"),
        ({}, {"as_of": START.tz_localize("UTC")}, ValueError, "as_of .* has a time zone"),
        ({"time": None}, {}, TypeError, r"events\['time'\] must hold times"),
        ({"time": [*LOG["time"][:5], None]}, {}, ValueError, "missing in 1 of 6 rows"),
        ({"success": 2}, {}, ValueError, r"events\['success'\] must be 0 or 1"),
        ({"v": [1, 2, 3, 4, 5, None]}, {"session": "v"}, ValueError, r"events\['v'\] is missing"),
        ({}, {"session": "visit"}, ValueError, r"events lacks the columns \['visit'\]"),
    ],
)
def test_what_cannot_be_used_is_refused(changes, options, error, match):
    with pytest.raises(error, match=match):
        session_success(LOG.assign(**changes), **options)


def test_sessions_refuse_a_missing_user():
    with pytest.raises(ValueError, match=r"events\['user_id'\] is missing in 6 of 6 rows"):
        sessions(LOG.assign(user_id=None))
