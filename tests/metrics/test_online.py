"""Click-through and conversion rates: by hand, against statsmodels, and how often they cover."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._online import click_through_rate, conversion_rate
from mlsd.metrics._rates import RateInterval

LOG = pd.DataFrame(
    {"user_id": ["a", "a", "b", "b", "b", "c"], "click": [1, 0, 0, 0, 0, 1]},
    index=[7, 7, 1, 0, 3, 2],
)
# Exposed on the days 0, 0, 4, 6; "b" converts on day 2, "c" in the hour its window ends.
EXPOSED = pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-05", "2024-01-07"])
EXPOSURES = pd.DataFrame(
    {
        "user_id": ["a", "b", "c", "d"],
        "exposed_at": EXPOSED,
        "converted_at": pd.to_datetime([None, "2024-01-03", "2024-01-08", None]),
    }
)

EVENTS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=25)


def frame_of(events):
    return pd.DataFrame(events, columns=["user_id", "click"])


def fields(rate: RateInterval):
    return list(rate.to_dict().values())


def test_click_through_rate_by_hand():
    # Sums (1, 2), (0, 3), (1, 1): R = 1/3; residuals 1/3, -1, 2/3; variance 3/2 · 14/9 / 36.
    rate = click_through_rate(LOG)
    assert (rate.numerator, rate.denominator, rate.n_units) == (2, 6, 3)
    assert rate.value == 2 / 6
    assert rate.stderr**2 == pytest.approx(7 / 108, rel=1e-14)
    assert rate.design_effect == pytest.approx(7 / 108 / (2 / 9 / 6), rel=1e-14)
    assert (rate.level, rate.n_dropped, rate.n_immature) == (0.95, 0, 0)
    t = 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))  # closed form of two degrees of freedom
    delta = click_through_rate(LOG, interval="delta")
    assert delta.lower == pytest.approx(1 / 3 - t * math.sqrt(7 / 108), rel=1e-12)
    assert delta.upper == pytest.approx(1 / 3 + t * math.sqrt(7 / 108), rel=1e-12)


def test_the_interval_is_that_of_a_cluster_robust_regression():
    rng = np.random.default_rng(3)
    unit = rng.integers(0, 50, 2000)
    click = rng.random(2000) < rng.beta(1, 5, 50)[unit]
    fit = sm.OLS(click.astype(float), np.ones(2000)).fit(
        cov_type="cluster", cov_kwds={"groups": unit}, use_t=True
    )
    log = pd.DataFrame({"u": unit, "click": click})
    rate = click_through_rate(log, unit="u", interval="delta", level=0.9)
    assert (rate.value, rate.stderr) == pytest.approx((fit.params[0], fit.bse[0]), rel=1e-12)
    assert (rate.lower, rate.upper) == pytest.approx(tuple(fit.conf_int(0.1)[0]), rel=1e-12)


def simulate(rng, n_users=300, mean=0.1, concentration=9):
    shown = 1 + rng.geometric(1 / 15, n_users)
    p = rng.beta(mean * concentration, (1 - mean) * concentration, n_users)
    return pd.DataFrame({"user_id": np.arange(n_users), "n": shown, "k": rng.binomial(shown, p)})


def test_intervals_cover_as_often_as_they_say_and_rows_do_not():
    rng, n = np.random.default_rng(7), 600
    covered = {"wilson": 0, "delta": 0, "rows": 0}
    for _ in range(n):
        log = simulate(rng)
        for name in covered:
            options = {"unit": None} if name == "rows" else {"interval": name}
            rate = click_through_rate(log, clicks="k", impressions="n", **options)
            covered[name] += rate.lower <= 0.1 <= rate.upper
    spread = 4 * math.sqrt(0.95 * 0.05 / n)
    assert abs(covered["wilson"] / n - 0.95) < spread
    assert abs(covered["delta"] / n - 0.95) < spread
    assert covered["rows"] / n < 0.75


def test_counts_are_rows_put_together():
    counts = simulate(np.random.default_rng(1), n_users=30)
    rows = counts.loc[counts.index.repeat(counts["n"]), ["user_id"]]
    place = rows.groupby("user_id").cumcount()
    rows["click"] = place < rows["user_id"].map(counts["k"])
    # Several rows of one user, some of them without an impression, are one unit; and a user
    # without any impression is none.
    split = pd.concat([counts.assign(n=0, k=0), counts, pd.DataFrame({"user_id": [99]})])
    split = split.fillna(0)
    expected = click_through_rate(rows)
    assert expected.n_units == 30
    for log in (counts, split):
        assert click_through_rate(log, clicks="k", impressions="n") == expected


def test_rows_taken_as_independent():
    rate = click_through_rate(LOG, unit=None, level=0.9)
    expected = proportion_confint(2, 6, 0.1, method="wilson")
    assert (rate.lower, rate.upper) == pytest.approx(expected, rel=1e-12)
    assert rate.stderr == pytest.approx(math.sqrt(2 / 9 / 6), rel=1e-14)
    assert (rate.n_units, rate.design_effect) == (6, 1.0)
    counts = pd.DataFrame({"k": [1, 1], "n": [2, 4]})
    assert click_through_rate(counts, unit=None, clicks="k", impressions="n", level=0.9) == rate


@pytest.mark.parametrize(
    "make", [pl.from_pandas, pa.Table.from_pandas, pd.DataFrame.convert_dtypes]
)
def test_any_table(make):
    assert click_through_rate(make(LOG.reset_index(drop=True))) == click_through_rate(LOG)
    table = make(EXPOSURES)
    assert conversion_rate(table, window="3D") == conversion_rate(EXPOSURES, window="3D")


def test_the_frame_is_left_alone():
    before = EXPOSURES.copy()
    conversion_rate(EXPOSURES, window="3D")
    conversion_rate(EXPOSURES, window="3D", per="row")
    pd.testing.assert_frame_equal(EXPOSURES, before)


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@given(EVENTS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_names_of_units_matter(events, random):
    shuffled = frame_of(random.sample(events, len(events)))
    shuffled["user_id"] = "u" + shuffled["user_id"].astype(str)
    got, expected = click_through_rate(shuffled), click_through_rate(frame_of(events))
    assert fields(got) == pytest.approx(fields(expected), rel=1e-12, nan_ok=True)


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@given(EVENTS)
def test_bounds(events):
    rate = click_through_rate(frame_of(events))
    assert 0 <= rate.value <= 1
    if rate.n_units > 1:
        assert 0 <= rate.lower <= rate.value <= rate.upper <= 1
        assert rate.upper > rate.lower or 0 < rate.value < 1


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@given(EVENTS)
def test_more_users_narrow_the_interval_and_more_rows_of_the_same_do_not(events):
    log = frame_of(events)
    rate, n = click_through_rate(log), log["user_id"].nunique()
    others = click_through_rate(pd.concat([log, log.assign(user_id=log["user_id"] + 10)]))
    if n > 1:  # √2 but for the n - 1
        expected = rate.stderr * math.sqrt((n - 1) / (2 * n - 1))
        assert others.stderr == pytest.approx(expected, rel=1e-12)
        assert others.upper - others.lower < rate.upper - rate.lower or rate.stderr == 0
    again = click_through_rate(pd.concat([log, log]))
    assert again.stderr == pytest.approx(rate.stderr, rel=1e-12, nan_ok=True)
    assert again.design_effect == pytest.approx(2 * rate.design_effect, rel=1e-12, nan_ok=True)
    assert (again.lower, again.upper) == pytest.approx((rate.lower, rate.upper), nan_ok=True)


def test_undefined_is_nan_and_warns_at_the_callers_line():
    empty = LOG.iloc[:0].astype({"click": int})
    with pytest.warns(UndefinedMetricWarning, match="there are 0 impressions") as caught:
        rates = [click_through_rate(empty), click_through_rate(empty, unit=None)]
    assert [warning.filename for warning in caught] == [__file__] * 2
    for rate in rates:
        assert np.isnan([rate.value, rate.lower, rate.upper, rate.stderr]).all()
        assert (rate.denominator, rate.n_units) == (0, 0)
    with pytest.warns(UndefinedMetricWarning, match="all 2 impressions are of one unit") as caught:
        rate = click_through_rate(LOG.iloc[:2])
    assert caught[0].filename == __file__
    assert rate.value == 0.5
    assert np.isnan([rate.lower, rate.upper, rate.stderr]).all()


def test_rows_without_a_unit_raise_or_are_counted():
    log = LOG.assign(user_id=["a", "a", None, None, "b", "c"])
    with pytest.raises(ValueError, match=r"events\['user_id'\] is missing in 2 of 6 rows"):
        click_through_rate(log)
    rate = click_through_rate(log, missing_unit="drop")
    assert (rate.numerator, rate.denominator, rate.n_units, rate.n_dropped) == (2, 4, 3, 2)
    counts = log.assign(n=1)
    assert click_through_rate(counts, impressions="n", missing_unit="drop") == rate
    rate = conversion_rate(log, converted="click", missing_unit="drop")
    assert (rate.numerator, rate.denominator, rate.n_dropped) == (2, 3, 2)


@pytest.mark.parametrize(
    ("changes", "options", "error", "match"),
    [
        ({"click": [1, 0, 0, 3, 0, 1]}, {}, ValueError, r"must be 0 or 1.*3\.0 at position 3; for"),
        ({"click": [1, 0, 0, None, 0, 1]}, {}, ValueError, r"events\['click'\] holds 1 NaN"),
        ({"click": list("yynnyn")}, {}, TypeError, r"events\['click'\] must be numeric"),
        ({"n": 1, "click": 2}, {"impressions": "n"}, ValueError, "above.*in 6 of 6 rows.*2 clicks"),
        ({"n": 1.5}, {"impressions": "n"}, ValueError, "whole numbers of at least 0; 6 of 6"),
        ({"n": -1}, {"impressions": "n"}, ValueError, r"whole numbers.*-1\.0 at position 0"),
        ({"n": np.inf}, {"impressions": "n"}, ValueError, "whole numbers"),
        ({"n": 2.0**52}, {"impressions": "n"}, ValueError, "past 2\\*\\*53"),
        ({}, {"clicks": "clicked"}, ValueError, r"events lacks the columns \['clicked'\]"),
        ({}, {"level": 1.0}, ValueError, "level must lie strictly between 0 and 1; got 1.0"),
        ({}, {"interval": "normal"}, ValueError, "interval must be one of 'wilson', 'delta'"),
        ({}, {"missing_unit": "keep"}, ValueError, "missing_unit must be one of"),
    ],
)
def test_what_cannot_be_used_is_refused(changes, options, error, match):
    with pytest.raises(error, match=match):
        click_through_rate(LOG.assign(**changes), **options)


def test_conversion_of_units_counts_each_once():
    log = LOG.rename(columns={"click": "converted"})
    rate = conversion_rate(log)
    assert (rate.numerator, rate.denominator, rate.n_units) == (2, 3, 3)
    expected = proportion_confint(2, 3, 0.05, method="wilson")
    assert (rate.lower, rate.upper) == pytest.approx(expected, rel=1e-12)
    # Of the exposures, the rate and its interval are those of clicks.
    assert conversion_rate(log, per="row") == click_through_rate(LOG)
    assert conversion_rate(log, unit=None) == click_through_rate(LOG, unit=None)


@pytest.mark.parametrize("per", ["unit", "row"])
@pytest.mark.parametrize(
    ("as_of", "window", "expected"),
    [
        # The latest time is that of the conversion on the 8th: d's three days end on the 10th.
        (None, "3D", (1, 3, 1)),
        ("2024-01-08", "3D", (1, 3, 1)),
        # Half-open: three days after the 5th is the 8th, and so no longer within.
        ("2024-01-10", "3D", (1, 4, 0)),
        ("2024-01-10", "73h", (2, 3, 1)),
        ("2024-01-10 01:00", "73h", (2, 4, 0)),
        ("2024-01-07", "3D", (1, 2, 2)),
        (None, "2D", (0, 3, 1)),
        (pd.Timestamp("2024-01-09"), pd.Timedelta(days=2), (0, 4, 0)),
    ],
)
def test_a_window_that_is_not_over_is_left_out_and_counted(per, as_of, window, expected):
    rate = conversion_rate(EXPOSURES, window=window, as_of=as_of, per=per)
    assert (rate.numerator, rate.denominator, rate.n_immature) == expected


def test_a_unit_is_exposed_first_when_it_is_exposed_first():
    log = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2],
            "exposed_at": pd.to_datetime(["2024-01-09", "2024-01-01", "2024-01-01", "2024-01-02"]),
            "converted_at": pd.to_datetime(["2024-01-10", None, None, "2024-01-03"]),
        }
    )
    # User 1 converts after the second exposure, eight days after the first; user 2 in two days.
    rate = conversion_rate(log, window="3D", as_of="2024-02-01")
    assert (rate.numerator, rate.denominator) == (1, 2)
    rate = conversion_rate(log, window="3D", as_of="2024-02-01", per="row")
    assert (rate.numerator, rate.denominator, rate.n_units) == (2, 4, 2)
    # The second exposure of user 1 is too young, but the user is not.
    assert conversion_rate(log, window="3D", as_of="2024-01-10").n_immature == 0
    assert conversion_rate(log, window="3D", as_of="2024-01-10", per="row").n_immature == 1


def test_no_conversion_yet_and_none_mature():
    log = EXPOSURES.assign(exposed_at=EXPOSED.tz_localize("UTC"), converted_at=None)
    rate = conversion_rate(log, window="1D", as_of=pd.Timestamp("2024-01-06", tz="Asia/Tokyo"))
    # Midnight in Tokyo is 15:00 of the 5th in UTC: the third exposure is not a day old.
    assert (rate.value, rate.denominator, rate.n_immature) == (0.0, 2, 2)
    assert rate.upper == pytest.approx(proportion_confint(0, 2, 0.05, method="wilson")[1])
    for options in ({}, {"unit": None}, {"per": "row"}):
        with pytest.warns(UndefinedMetricWarning, match=r"are 0 \w+ \(4 left out") as caught:
            rate = conversion_rate(EXPOSURES, window="99D", **options)
        assert caught[0].filename == __file__
        assert math.isnan(rate.value)
        assert rate.n_immature == 4
    with pytest.warns(UndefinedMetricWarning, match="there are 0 units: "):
        conversion_rate(EXPOSURES.iloc[:0], window="1D")


@pytest.mark.parametrize(
    ("changes", "options", "error", "match"),
    [
        ({}, {"window": "0D"}, ValueError, "window must be longer than 0; got '0D'"),
        ({}, {"window": "soon"}, ValueError, "window must be a length of time.*got 'soon'"),
        ({}, {"window": 7}, TypeError, r"window must be a length of time.*got 7 \(int\)"),
        ({}, {"as_of": "2024-01-09"}, ValueError, "as_of needs a window"),
        ({}, {"window": "1D", "as_of": "x"}, ValueError, "as_of must be a time; got 'x'"),
        ({}, {"window": "1D", "as_of": 5}, TypeError, "as_of must be a time; got 5"),
        ({}, {"window": "1D", "as_of": pd.NaT}, ValueError, "as_of must be a time; got NaT"),
        ({}, {"window": "1D", "as_of": "2024-01-09T00Z"}, ValueError, "as_of .* has a time zone"),
        ({}, {"window": "1D", "per": "user"}, ValueError, "per must be one of 'unit', 'row'"),
        (
            {"exposed_at": EXPOSED.tz_localize("UTC")},
            {"window": "1D"},
            ValueError,
            "one has a time",
        ),
        ({"exposed_at": EXPOSED[0] - EXPOSED}, {"window": "1D"}, TypeError, "must hold times"),
        ({"exposed_at": "2024-01-01"}, {"window": "1D"}, TypeError, "use pandas.to_datetime"),
        ({"exposed_at": pd.NaT}, {"window": "1D"}, ValueError, "missing in 4 of 4 rows"),
        (
            {"exposed_at": [*EXPOSED[:3], pd.NaT]},
            {"window": "1D"},
            ValueError,
            r"events\['exposed_at'\] is missing in 1 of 4 rows",
        ),
        (
            {"converted_at": EXPOSED[0]},
            {"window": "1D"},
            ValueError,
            r"events\['converted_at'\] is before events\['exposed_at'\] in 2 of 4 cases",
        ),
    ],
)
def test_conversions_that_cannot_be_are_refused(changes, options, error, match):
    with pytest.raises(error, match=match):
        conversion_rate(EXPOSURES.assign(**changes), **options)
