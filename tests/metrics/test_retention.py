"""Retention: tables worked by hand, a literal loop over users, calendars and what is cut off."""

from __future__ import annotations

import json
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._retention import retention

NAN = np.nan
# Days of January 2024 on which each user is active.
DAYS = {"a": [1, 2, 4], "b": [1, 3, 3], "c": [1], "d": [2, 3, 4], "e": [3, 4], "f": [4]}
LOG = pd.DataFrame(
    [(user, pd.Timestamp(2024, 1, day, 12)) for user, days in DAYS.items() for day in days],
    columns=["user_id", "time"],
).set_index(pd.Index(range(13, 0, -1)))

# Users and days, and on which day the observation ends.
EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=1, max_size=25)


def frame_of(events):
    frame = pd.DataFrame(events, columns=["user_id", "time"])
    return frame.assign(time=pd.Timestamp("2023-12-20") + pd.to_timedelta(frame["time"], unit="D"))


def stepped(day: date, period: str, steps: int) -> date:
    if period == "M":
        months = day.year * 12 + day.month - 1 + steps
        return date(months // 12, months % 12 + 1, 1)
    return day + timedelta(days=steps * {"D": 1, "W": 7}[period])


def begin(day: date, period: str) -> date:
    if period == "M":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday() if period == "W" else 0)


def by_loop(pairs, period, kind, until):
    """Return {(cohort, age): (retained, size)} of complete periods, from (user, date) pairs."""
    active = {}
    for user, day in pairs:
        active.setdefault(user, set()).add(begin(day, period))
    found = {}
    for days in active.values():
        first = min(days)
        age, here = 0, first
        while stepped(here, period, 1) <= until:
            if kind == "cohort":
                kept = here in days
            else:
                kept = any(here <= day and stepped(day, period, 1) <= until for day in days)
            retained, size = found.get((first, age), (0, 0))
            found[first, age] = retained + kept, size + 1
            age, here = age + 1, stepped(here, period, 1)
    return found


def test_by_hand():
    found = retention(LOG, "user_id", "time", "D", observed_until="2024-01-05")
    expected = [[1, 1 / 3, 1 / 3, 1 / 3], [1, 1, 1, NAN], [1, 1, NAN, NAN], [1, NAN, NAN, NAN]]
    np.testing.assert_array_equal(found.table, expected)
    np.testing.assert_array_equal(found.retained.iloc[0], [3, 1, 1, 1])
    assert found.table.index.tolist() == [pd.Timestamp(2024, 1, day) for day in range(1, 5)]
    assert (found.table.index.name, found.table.columns.name) == ("cohort", "age")
    assert found.size.tolist() == [3, 1, 1, 1]
    assert (found.n_users, found.n_events, found.n_censored) == (6, 13, 6)
    assert (found.n_users_left_out, found.n_events_left_out) == (0, 0)
    assert found.observed_until == pd.Timestamp("2024-01-05")
    overall = found.overall
    assert overall["retained"].tolist() == [6, 3, 2, 1]
    assert overall["n_users"].tolist() == [6, 5, 4, 3]
    assert overall["n_cohorts"].tolist() == [4, 3, 2, 1]
    assert overall["retention"].tolist() == [1.0, 3 / 5, 2 / 4, 1 / 3]


def test_rolling_by_hand():
    found = retention(LOG, kind="rolling", observed_until="2024-01-05")
    # Of the first day's users, a comes last on age 3, b on age 2, c on age 0.
    np.testing.assert_array_equal(found.retained.iloc[0], [3, 2, 2, 1])
    np.testing.assert_array_equal(found.table.iloc[1], [1, 1, 1, NAN])
    assert found.overall["retained"].tolist() == [6, 4, 3, 1]
    assert found.kind == "rolling"


def test_the_last_period_is_incomplete_unless_said_otherwise():
    found = retention(LOG)
    # The 4th is not over: f is left out, and the others' events of that day.
    np.testing.assert_array_equal(found.table, [[1, 1 / 3, 1 / 3], [1, 1, NAN], [1, NAN, NAN]])
    assert found.observed_until == pd.Timestamp("2024-01-04")
    assert (found.n_users, found.n_users_left_out) == (5, 1)
    assert (found.n_events, found.n_events_left_out) == (9, 4)
    pd.testing.assert_frame_equal(
        retention(LOG, observed_until="2024-01-04 18:00").table, found.table
    )
    # Rolling retention does not look into the incomplete day either.
    assert retention(LOG, kind="rolling").retained.iloc[0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("kind", ["cohort", "rolling"])
@pytest.mark.parametrize("period", ["D", "W", "M"])
@given(events=EVENTS, ends=st.integers(1, 60), max_age=st.sampled_from([None, 1, 3]))
@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
def test_a_loop_over_users(period, kind, events, ends, max_age):
    log = frame_of(events)
    until = date(2023, 12, 20) + timedelta(days=ends)
    pairs = [(user, time.date()) for user, time in zip(log["user_id"], log["time"], strict=True)]
    options = {"period": period, "kind": kind, "max_age": max_age}
    for log_of, end in ((log, until), (log.iloc[::-1], None)):
        stop = begin(max(day for _, day in pairs), period) if end is None else end
        expected = by_loop(pairs, period, kind, stop)
        cells = retention(log_of, observed_until=end, **options).to_frame()
        cells = cells[cells["retention"].notna()]
        got = {
            (cohort.date(), age): (retained, size)
            for cohort, age, retained, size in zip(
                cells["cohort"], cells["age"], cells["retained"], cells["n_users"], strict=True
            )
        }
        assert got == {
            key: value for key, value in expected.items() if max_age is None or key[1] <= max_age
        }


@given(events=EVENTS, extra=st.integers(0, 20))
@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
def test_a_user_who_never_returns_lowers_it(events, extra):
    log = frame_of(events)
    end = log["time"].max() + pd.Timedelta(days=1)
    gone = pd.DataFrame(
        {"user_id": [99], "time": pd.Timestamp("2023-12-20") + pd.Timedelta(extra, "D")}
    )
    for kind in ("cohort", "rolling"):
        less = retention(
            pd.concat([log, gone]), kind=kind, observed_until=max(end, gone["time"][0])
        )
        more = retention(log, kind=kind, observed_until=max(end, gone["time"][0]))
        one, other = more.to_frame(), less.to_frame()
        both = one.merge(other, on=["cohort", "age"], suffixes=("", "_less")).dropna()
        later = both[(both["age"] > 0) & (both["cohort"] == gone["time"][0])]
        assert (later["retention_less"] == later["retained"] / (later["n_users"] + 1)).all()
        rest = both[both["cohort"] != gone["time"][0]]
        assert (rest["retention_less"] == rest["retention"]).all()


@given(EVENTS)
@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
def test_rolling_is_at_least_classic_and_only_falls(events):
    log = frame_of(events)
    classic, rolling = (
        retention(log, kind=kind).table.to_numpy(dtype=float) for kind in ("cohort", "rolling")
    )
    seen = ~np.isnan(classic)
    assert (seen == ~np.isnan(rolling)).all()
    assert (rolling[seen] >= classic[seen]).all()
    steps = np.diff(rolling, axis=1)
    assert (steps[~np.isnan(steps)] <= 0).all()
    assert (classic[:, :1] == 1.0).all()


def test_intervals_are_wilsons_over_users():
    found = retention(LOG, observed_until="2024-01-05", level=0.9)
    again = retention(pd.concat([LOG, LOG]), observed_until="2024-01-05", level=0.9)
    for table in (found.overall, found.to_frame().dropna()):
        expected = proportion_confint(
            table["retained"].astype(int), table["n_users"], 0.1, method="wilson"
        )
        assert table["lower"].to_numpy() == pytest.approx(np.asarray(expected[0]), abs=1e-12)
        assert table["upper"].to_numpy() == pytest.approx(np.asarray(expected[1]), abs=1e-12)
    # More events of the same users on the same days say nothing new.
    pd.testing.assert_frame_equal(again.overall, found.overall)
    censored = found.to_frame()[found.to_frame()["retention"].isna()]
    assert len(censored) == 6
    assert censored[["lower", "upper", "retained"]].isna().all(axis=None)


def test_the_time_zone_decides_the_day():
    utc = pd.to_datetime(["2024-01-01 12:00", "2024-01-02 03:00", "2024-01-03 12:00"], utc=True)
    log = pd.DataFrame({"user_id": ["a", "a", "b"], "time": utc})
    assert retention(log).table.loc["2024-01-01"].tolist() == [1.0, 1.0]
    # In New York the second event is at ten in the evening of the same day.
    found = retention(log, timezone="America/New_York")
    assert found.table.loc["2024-01-01"].tolist() == [1.0, 0.0]
    assert found.timezone == "America/New_York"
    assert retention(log, timezone=ZoneInfo("Asia/Tokyo")).timezone == "Asia/Tokyo"
    # Without a zone the times are local already: no zone moves them.
    naive = log.assign(time=utc.tz_localize(None))
    pd.testing.assert_frame_equal(
        retention(naive, timezone="America/New_York").table, retention(log).table
    )


def test_the_end_of_observation_has_a_zone_too():
    log = LOG.assign(time=LOG["time"].dt.tz_localize("UTC"))
    end = pd.Timestamp("2024-01-05", tz="UTC")
    assert retention(log, observed_until=end).observed_until == pd.Timestamp("2024-01-05")
    # At that moment it is the evening of the 4th in New York, and the 4th is not over.
    found = retention(log, observed_until=end, timezone="America/New_York")
    assert found.observed_until == pd.Timestamp("2024-01-04")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # Clocks go forward in Paris on 31 March 2024: local 23:30 and 22 h 45 min later.
        ("2024-03-30 22:30", "2024-03-31 21:15"),
        # They go back on 27 October: local 00:05, then 24 h 50 min later 23:55 of the same day.
        ("2024-10-26 22:05", "2024-10-27 22:55"),
    ],
)
def test_days_of_23_and_25_hours(first, second):
    time = pd.to_datetime([first, second]).tz_localize("UTC")
    log = pd.DataFrame({"user_id": 1, "time": time})
    local = [moment.date() for moment in time.tz_convert("Europe/Paris")]
    age = (local[1] - local[0]).days
    end = local[1] + timedelta(days=1)
    found = retention(log, timezone="Europe/Paris", observed_until=end)
    assert found.table.index[0].date() == local[0]
    assert found.table.columns[-1] == age
    assert found.table[age].tolist() == [1.0]
    assert age == {3: 1, 10: 0}[local[0].month]


def test_weeks_start_on_monday_across_the_year():
    # Monday 30 December 2024 to Sunday 5 January 2025 is one ISO week, 2025-W01.
    time = pd.to_datetime(["2024-12-31", "2025-01-05", "2025-01-06", "2024-12-29"])
    late = pd.Timedelta("23:59:59.999999")
    log = pd.DataFrame({"user_id": ["a", "a", "a", "b"], "time": time + late})
    found = retention(log, period="W", observed_until="2025-01-13")
    assert found.table.index.tolist() == list(pd.to_datetime(["2024-12-23", "2024-12-30"]))
    np.testing.assert_array_equal(found.retained, [[1, 0, 0], [1, 1, NAN]])


def test_months_and_times_before_1970():
    time = pd.to_datetime(["1969-12-31", "1970-01-31", "1970-03-01", "1969-11-30"])
    time += pd.Timedelta("23:59:59.999999")
    log = pd.DataFrame({"user_id": ["a", "a", "a", "b"], "time": time})
    found = retention(log, period="M")
    assert found.table.index.tolist() == list(pd.to_datetime(["1969-11-01", "1969-12-01"]))
    np.testing.assert_array_equal(found.retained, [[1, 0, 0, 0], [1, 1, 0, NAN]])
    assert retention(log, period="D").table.index[0] == pd.Timestamp("1969-11-30")
    assert retention(log, period="W").table.index[1] == pd.Timestamp("1969-12-29")


def test_a_cohort_may_begin_at_sign_up():
    log = LOG.assign(joined=pd.Timestamp("2024-01-01"))
    found = retention(log, start="joined", observed_until="2024-01-05")
    # All are of one cohort, and not active at age 0 for being in it.
    np.testing.assert_array_equal(found.retained, [[3, 2, 3, 4]])
    # A row without a time is a user without an event, who only lowers the shares.
    idle = pd.DataFrame({"user_id": ["z"], "joined": pd.Timestamp("2024-01-01"), "time": pd.NaT})
    more = retention(pd.concat([log, idle]), start="joined", observed_until="2024-01-05")
    assert more.size.tolist() == [7]
    np.testing.assert_array_equal(more.retained, found.retained)
    assert more.n_events == found.n_events
    rolling = retention(idle, start="joined", kind="rolling", observed_until="2024-01-03")
    assert rolling.table.to_numpy().tolist() == [[0.0, 0.0]]
    late = retention(
        log.assign(joined=log["time"].max()).iloc[-1:],
        start="joined",
        max_age=1,
        observed_until="2024-01-09",
    )
    assert late.table.to_numpy().tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    "make", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame.convert_dtypes]
)
def test_any_table(make):
    log = LOG.reset_index(drop=True)
    for times in (log["time"], log["time"].dt.tz_localize("Asia/Tokyo")):
        table = make(log.assign(time=times))
        expected = retention(log.assign(time=times))
        pd.testing.assert_frame_equal(retention(table).table, expected.table)


def test_dates_are_times():
    log = LOG.assign(time=LOG["time"].dt.date)
    pd.testing.assert_frame_equal(retention(log).table, retention(LOG).table)


def test_nothing_complete_is_undefined():
    with pytest.warns(UndefinedMetricWarning, match="none of 1 users came in a complete") as caught:
        found = retention(LOG.iloc[-1:])
    assert caught[0].filename == __file__
    assert found.table.shape == (0, 0)
    assert (found.n_users, found.n_users_left_out, found.n_events_left_out) == (0, 1, 1)
    with pytest.warns(UndefinedMetricWarning, match="none of 0 users"):
        empty = retention(LOG.iloc[:0], kind="rolling")
    assert empty.observed_until is pd.NaT
    assert len(empty.to_frame()) == len(empty.overall) == 0
    assert json.loads(json.dumps(empty.to_dict()))["cells"] == []


def test_the_result_prints_and_is_json():
    found = retention(LOG, observed_until="2024-01-05")
    assert "6 users, 4 cohorts, 4 ages" in repr(found)
    assert "2024-01-04" in found._repr_html_()
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["cells"][0]["cohort"] == "2024-01-01"
    assert plain["cells"][-1]["retained"] is None
    assert plain["overall"][1]["n_users"] == 5
    assert plain["observed_until"] == "2024-01-05T00:00:00"


@pytest.mark.parametrize(
    ("changes", "options", "error", "match"),
    [
        ({}, {"period": "H"}, ValueError, "period must be one of 'D', 'W', 'M'; got 'H'"),
        ({}, {"kind": "unbounded"}, ValueError, "kind must be one of 'cohort', 'rolling'"),
        ({}, {"timezone": "Mars/Olympus"}, ValueError, "timezone must be .*got 'Mars/Olympus'"),
        ({}, {"timezone": None}, TypeError, "timezone must be the name of a time zone; got None"),
        ({}, {"observed_until": 5}, TypeError, "observed_until must be a time; got 5"),
        ({}, {"max_age": 0}, ValueError, "max_age must be at least 1; got 0"),
        ({}, {"level": 95}, ValueError, "level must lie strictly between 0 and 1; got 95"),
        ({"user_id": None}, {}, ValueError, r"events\['user_id'\] is missing in 13 of 13 rows"),
        ({"time": "2024-01-01"}, {}, TypeError, r"events\['time'\] must hold times"),
        ({"time": [pd.NaT, *LOG["time"][1:]]}, {}, ValueError, "missing in 1 of 13 rows"),
        ({}, {"start": "joined"}, ValueError, r"events lacks the columns \['joined'\]"),
        (
            {"s": pd.Timestamp("2024-01-03")},
            {"start": "s"},
            ValueError,
            "period before .* in 5 of 13 events",
        ),
        ({"s": LOG["time"]}, {"start": "s"}, ValueError, "several periods for 4 of 6 users"),
        ({"s": pd.NaT}, {"start": "s"}, ValueError, r"events\['s'\] is missing in 13 of 13"),
    ],
)
def test_what_cannot_be_used_is_refused(changes, options, error, match):
    with pytest.raises(error, match=match):
        retention(LOG.assign(**changes), **options)


def test_a_wrong_date_is_no_table_of_millions_of_cells(monkeypatch):
    monkeypatch.setattr("mlsd.metrics._retention._MAX_CELLS", 1000)
    wrong = pd.concat([LOG, pd.DataFrame({"user_id": ["x"], "time": pd.Timestamp(0)})])
    with pytest.raises(ValueError, match="4 cohorts by 19726 ages make 78,904 cells, over 1,000"):
        retention(wrong)
    assert retention(wrong, max_age=2).table.shape == (4, 3)
