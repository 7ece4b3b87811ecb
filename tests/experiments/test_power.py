"""Sample sizes against statsmodels, against simulation, and against what they must obey."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestIndPower

from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.planning import (
    duration,
    minimum_detectable_effect,
    power,
    sample_size,
)

SHARES = st.floats(0.001, 0.999)
LIFTS = st.floats(0.001, 0.5)


def right_side(alternative: str, alpha: float) -> float:
    return alpha / 2 if alternative == "two-sided" else alpha


def test_the_sample_of_the_chapter():
    size = sample_size(0.05, 0.01)
    by_hand = 2 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * 0.05 * 0.95 / 0.0005**2
    assert size.control == size.treatment == math.ceil(by_hand)
    assert round(size.control / 1e6, 2) == 2.98
    assert size.total == 2 * size.control
    assert (size.effect, size.lift) == (pytest.approx(0.0005), pytest.approx(0.01))
    assert size.power == pytest.approx(0.8, abs=1e-6)
    assert size.clusters_control == size.control


@pytest.mark.parametrize("n", [2, 3, 5, 12, 60, 400, 4_000])
@pytest.mark.parametrize("effect", [0.1, 0.5, 1.3])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_power_of_equal_arms_is_that_of_the_t_test(n, effect, alpha):
    expected = TTestIndPower().power(effect, nobs1=n, alpha=alpha, alternative="larger")
    got = power(n, 10.0, effect, alpha=alpha, alternative="greater", relative=False, variance=1.0)
    assert got == pytest.approx(expected, abs=1e-9)
    # Of two sides, the one on which the effect lies.
    two = power(n, 10.0, effect, alpha=2 * alpha, relative=False, variance=1.0)
    assert two == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("variance", [4.0, (4.0, 9.0)])
def test_large_unequal_arms_have_the_power_of_the_z_test(ratio, variance):
    one, two = (variance, variance) if isinstance(variance, float) else variance
    n, effect = 60_000, 0.03
    unit = math.sqrt(one + two / ratio)  # of the difference, times sqrt(n)
    expected = NormalIndPower(ddof=0).power(
        effect / unit, nobs1=n, ratio=0, alpha=0.05, alternative="two-sided"
    )
    got = power(n, 1.0, effect, relative=False, variance=variance, ratio=ratio)
    wrong_side = stats.norm.sf(stats.norm.ppf(0.975) + effect / unit * math.sqrt(n))
    assert got == pytest.approx(expected - wrong_side, abs=1e-9)


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("effect", [0.02, 0.2, 1.0])
def test_sizes_of_equal_arms_are_those_of_statsmodels(target, effect):
    exact = TTestIndPower().solve_power(effect, power=target, alpha=0.05, alternative="larger")
    got = sample_size(
        0.0, effect, power=target, relative=False, variance=1.0, alternative="greater"
    ).control
    # Beyond 10,000 degrees of freedom the t test counts as a z test: two units of 60,000.
    assert abs(got - math.ceil(exact)) <= (2 if exact > 5_000 else 0)


@pytest.mark.parametrize(
    ("n", "ratio", "variance"), [(8, 1.0, (1.0, 1.0)), (10, 2.0, (1.0, 6.0)), (30, 0.3, (4.0, 1.0))]
)
def test_power_against_simulated_welch_tests(n, ratio, variance):
    rng = np.random.default_rng(5)
    runs, effect = 40_000, 1.2
    control = rng.normal(0, math.sqrt(variance[0]), (runs, n))
    treated = rng.normal(effect, math.sqrt(variance[1]), (runs, round(n * ratio)))
    found = stats.ttest_ind(treated, control, axis=1, equal_var=False)
    share = float(((found.pvalue < 0.05) & (found.statistic > 0)).mean())
    expected = power(n, 0.0, effect, relative=False, variance=variance, ratio=ratio)
    # Three standard errors, and what Satterthwaite's t is off in the smallest arms.
    assert share == pytest.approx(expected, abs=3 * math.sqrt(share * (1 - share) / runs) + 0.006)


def test_power_against_simulated_clusters():
    rng = np.random.default_rng(6)
    runs, clusters, size, icc, effect = 20_000, 12, 25, 0.1, 0.3
    means = {}
    for arm, shift in (("control", 0.0), ("treated", effect)):
        between = rng.normal(0, math.sqrt(icc), (runs, clusters))
        within = rng.normal(0, math.sqrt((1 - icc) / size), (runs, clusters))
        means[arm] = shift + between + within
    found = stats.ttest_ind(means["treated"], means["control"], axis=1)
    share = float(((found.pvalue < 0.05) & (found.statistic > 0)).mean())
    got = power(
        clusters * size, 0.0, effect, relative=False, variance=1.0, cluster_size=size, icc=icc
    )
    assert share == pytest.approx(got, abs=3 * math.sqrt(share * (1 - share) / runs))


def test_clusters_are_whole_and_multiply_by_the_design_effect():
    options = {"relative": False, "variance": 1.0}
    alone = sample_size(0.0, 0.02, **options)
    pairs = sample_size(0.0, 0.02, cluster_size=50, icc=0.1, **options)
    assert pairs.design_effect == pytest.approx(1 + 49 * 0.1)
    assert pairs.control == 50 * pairs.clusters_control
    assert pairs.control == pytest.approx(5.9 * alone.control, rel=2e-3)
    uneven = sample_size(0.0, 0.02, cluster_size=50, icc=0.1, cluster_cv=0.8, **options)
    assert uneven.design_effect == pytest.approx(1 + (1.64 * 50 - 1) * 0.1)
    assert sample_size(0.0, 0.02, cluster_size=1, icc=0.3, **options).control == alone.control
    # With few clusters the t distribution asks for more than the design effect does.
    few = sample_size(0.0, 1.0, cluster_size=50, icc=0.5, **options)
    normal = 2 * (1.959964 + 0.841621) ** 2 * few.design_effect / 50
    assert few.clusters_control == math.ceil(normal) + 1


def test_what_a_covariate_and_the_ratio_do():
    plain = sample_size(0.05, 0.01).control
    assert sample_size(0.05, 0.01, variance_reduction=0.36).control == math.ceil(0.64 * plain)
    mostly = sample_size(0.05, 0.01, ratio=9.0)
    assert mostly.control == pytest.approx(plain * (1 + 1 / 9) / 2, rel=1e-6)
    assert mostly.treatment == pytest.approx(9 * mostly.control, abs=9)
    swapped = sample_size(0.05, 0.01, ratio=1 / 9)
    assert swapped.total == pytest.approx(mostly.total, rel=1e-5)


def test_the_variance_of_each_arm():
    both = sample_size(0.05, 0.05, relative=False, variance="each-arm")
    assert both.variance_treatment == pytest.approx(0.1 * 0.9)
    assert (
        both.control
        == sample_size(0.05, 0.05, relative=False, variance=(0.05 * 0.95, 0.1 * 0.9)).control
    )
    # The whole way to certainty: a constant arm has no variance.
    assert power(50, 0.5, 0.5, relative=False, variance="each-arm") > 0.999
    rng = np.random.default_rng(7)
    counts = rng.binomial([[both.control]] * 2, [[0.05], [0.1]], (2, 40_000)) / both.control
    error = np.sqrt((counts * (1 - counts)).sum(axis=0) / (both.control - 1))
    share = float(((counts[1] - counts[0]) / error > 1.965).mean())
    assert share == pytest.approx(0.8, abs=0.015)


def test_a_ratio_goes_by_its_variance_per_unit():
    rng = np.random.default_rng(8)
    views = rng.poisson(4, 200_000) + 1.0
    clicks = rng.binomial(views.astype(int), rng.beta(1, 9, views.size))
    ratio = clicks.sum() / views.sum()
    variance = float(np.var((clicks - ratio * views) / views.mean(), ddof=1))
    users = sample_size(ratio, 0.02, variance=variance).control
    rows = sample_size(ratio, 0.02).control / views.mean()
    # Views of one user resemble each other: rows counted as if independent are too few users.
    assert users > 1.3 * rows


@settings(max_examples=150, deadline=None)
@given(
    baseline=SHARES,
    lift=LIFTS,
    target=st.floats(0.1, 0.99),
    alpha=st.floats(0.001, 0.15),
    ratio=st.just(1.0) | st.floats(0.1, 10),
    reduction=st.floats(0, 0.9),
    cluster=st.none() | st.tuples(st.floats(1, 80), st.floats(0, 1)),
)
def test_a_size_has_the_power_it_was_made_for(
    baseline, lift, target, alpha, ratio, reduction, cluster
):
    options = {"alpha": alpha, "ratio": ratio, "variance_reduction": reduction}
    options |= {"variance": baseline * (1 - baseline)}
    if cluster:
        options |= {"cluster_size": cluster[0], "icc": cluster[1]}
    size = sample_size(baseline, lift, power=target, **options)
    assert size.power >= target
    clusters = size.clusters_control
    # A hair above the whole clusters, since n over the cluster's size is rounded.
    n = clusters * (cluster[0] if cluster else 1) * (1 + 1e-12)
    if ratio != 1:  # treatment was rounded up: compare with the arms as they are
        options["ratio"] = size.clusters_treatment / clusters
    if min(n, n * options["ratio"]) < 2 * (cluster[0] if cluster else 1):
        n *= 1 + 1e-9
    assert power(n, baseline, lift, **options) == pytest.approx(size.power, abs=1e-6)
    if ratio == 1:
        if clusters > 2:
            fewer = (clusters - 1) * (cluster[0] if cluster else 1)
            assert power(fewer, baseline, lift, **options) <= target + 1e-9
        if size.power < 0.999:
            found = minimum_detectable_effect(n, baseline, power=size.power, **options)
            assert found == pytest.approx(lift, rel=1e-4)


@settings(max_examples=150, deadline=None)
@given(
    baseline=SHARES,
    lift=LIFTS,
    n=st.floats(2, 1e7),
    alpha=st.floats(0.001, 0.3),
    more=st.floats(1.0, 5.0),
)
def test_power_rises_with_units_effect_and_alpha(baseline, lift, n, alpha, more):
    options = {"variance": 0.1}
    base = power(n, baseline, lift, alpha=alpha, **options)
    slack = 1e-9
    assert alpha / 2 - 1e-6 <= base <= 1
    assert power(n * more, baseline, lift, alpha=alpha, **options) >= base - slack
    assert power(n, baseline, lift * more, alpha=alpha, **options) >= base - slack
    assert power(n, baseline, lift, alpha=min(0.99, alpha * more), **options) >= base - slack
    assert power(n, baseline, -lift, alpha=alpha, **options) == base
    assert power(n, baseline, lift, alpha=alpha, variance=0.1 * more) <= base + slack


@settings(max_examples=80, deadline=None)
@given(
    baseline=st.floats(0.001, 0.66),
    lift=LIFTS,
    target=st.floats(0.2, 0.9),
    more=st.floats(1.0, 2.0),
)
def test_more_is_asked_for_a_smaller_effect_more_power_less_alpha(baseline, lift, target, more):
    base = sample_size(baseline, lift, power=target).control
    assert sample_size(baseline, lift / more, power=target).control >= base
    assert sample_size(baseline, lift, power=1 - (1 - target) / more).control >= base
    assert sample_size(baseline, lift, power=target, alpha=0.05 / more).control >= base


@settings(max_examples=80, deadline=None)
@given(
    baseline=SHARES,
    n=st.integers(2, 10**7),
    target=st.floats(0.1, 0.99),
    relative=st.booleans(),
    alternative=st.sampled_from(["two-sided", "greater", "less"]),
)
def test_the_least_effect_has_the_power(baseline, n, target, relative, alternative):
    options = {"relative": relative, "alternative": alternative, "variance": 0.2}
    effect = minimum_detectable_effect(n, baseline, power=target, **options)
    assert (effect < 0) == (alternative == "less")
    assert power(n, baseline, effect, **options) == pytest.approx(target, abs=1e-7)


def test_the_least_effect_on_a_share():
    up = minimum_detectable_effect(2_000, 0.05, relative=False, variance="each-arm")
    assert power(2_000, 0.05, up, relative=False, variance="each-arm") == pytest.approx(0.8)
    down = minimum_detectable_effect(
        2_000, 0.05, relative=False, variance="each-arm", alternative="less", alpha=0.025
    )
    assert -0.05 < down < 0
    assert abs(down) < up  # it is quieter below
    with pytest.warns(UndefinedMetricWarning, match="n=10: no share below 0.05"):
        lost = minimum_detectable_effect(10, 0.05, variance="each-arm", alternative="less")
    assert math.isnan(lost)


def test_a_negative_baseline_is_relative_to_its_size():
    size = sample_size(-2.0, 0.1, variance=1.0)
    assert (size.effect, size.lift) == (pytest.approx(0.2), pytest.approx(0.1))
    assert math.isnan(sample_size(0.0, 0.1, relative=False, variance=1.0).lift)


def test_a_huge_effect_needs_two_units_an_arm():
    size = sample_size(1.0, 1e9, variance=1.0, ratio=0.1)
    assert (size.control, size.treatment) == (10, 2) or size.treatment == 2
    assert size.power == 1.0
    assert sample_size(1.0, 1e9, variance=1.0).control == 2


OPTIONS = {"baseline": 0.05, "mde": 0.01}
BAD = [
    ({"baseline": "5%"}, TypeError, "baseline must be a number; got '5%'"),
    ({"baseline": math.nan}, ValueError, "baseline must be finite"),
    ({"baseline": 5.0}, ValueError, "baseline must be a share between 0 and 1.*got 5.0"),
    ({"baseline": 0.0, "variance": 1.0}, ValueError, "baseline is 0"),
    ({"mde": 0}, ValueError, "mde must not be 0"),
    ({"mde": math.inf}, ValueError, "mde must be finite"),
    ({"mde": None}, TypeError, "mde must be a number; got None"),
    ({"mde": 30.0, "variance": "each-arm"}, ValueError, "takes the share from 0.05 to 1.55"),
    ({"mde": -0.01, "alternative": "greater"}, ValueError, "mde=-0.01 lies on the side"),
    ({"mde": 0.01, "alternative": "less"}, ValueError, "mde=0.01 lies on the side"),
    ({"alpha": 0}, ValueError, "alpha must lie strictly"),
    ({"alpha": 5}, ValueError, "alpha must lie strictly"),
    ({"alternative": "larger"}, ValueError, "alternative must be one of"),
    ({"relative": "yes"}, TypeError, "relative must be True or False"),
    ({"variance": -1.0}, ValueError, "variance must be finite and above 0"),
    ({"variance": (1.0, 0.0)}, ValueError, "variance must be finite and above 0"),
    ({"variance": (1.0, 2.0, 3.0)}, ValueError, "variance must be one number or a pair"),
    ({"variance": "pooled"}, ValueError, "variance must be one of None, 'each-arm'"),
    ({"variance_reduction": 1.0}, ValueError, "variance_reduction must be below 1"),
    ({"variance_reduction": -0.1}, ValueError, "variance_reduction must lie between 0 and 1"),
    ({"ratio": 0}, ValueError, "ratio must be finite and above 0"),
    ({"cluster_size": 20}, ValueError, "cluster_size and icc go together"),
    ({"icc": 0.1}, ValueError, "cluster_size and icc go together"),
    ({"cluster_size": 0.5, "icc": 0.1}, ValueError, "cluster_size must be at least 1"),
    ({"cluster_size": 20, "icc": 1.1}, ValueError, "icc must lie between 0 and 1"),
    ({"cluster_cv": 0.5}, ValueError, "cluster_cv must be at least 0, and 0 without"),
    ({"cluster_size": 20, "icc": 0.1, "cluster_cv": -1}, ValueError, "cluster_cv must be"),
]


@pytest.mark.parametrize(("change", "error", "match"), BAD)
def test_bad_plans(change, error, match):
    arguments = OPTIONS | change
    with pytest.raises(error, match=match):
        sample_size(**arguments)
    with pytest.raises(error, match=match):
        power(1_000, **arguments)
    if "mde" not in change:
        arguments.pop("mde")
        with pytest.raises(error, match=match):
            minimum_detectable_effect(1_000, **arguments)


@pytest.mark.parametrize("target", [0.0, 1.0, 0.02, "high"])
def test_bad_power(target):
    kind = TypeError if isinstance(target, str) else ValueError
    with pytest.raises(kind, match="power must"):
        sample_size(0.05, 0.01, power=target)
    with pytest.raises(kind, match="power must"):
        minimum_detectable_effect(100, 0.05, power=target)


def test_units_that_are_not_enough():
    with pytest.raises(ValueError, match="n=1 and ratio=1 leave an arm with fewer than two units"):
        power(1, 0.05, 0.01)
    with pytest.raises(ValueError, match=r"n=10 and ratio=0\.1 leave"):
        power(10, 0.05, 0.01, ratio=0.1)
    with pytest.raises(ValueError, match="fewer than two clusters of 20 units"):
        power(30, 0.05, 0.01, cluster_size=20, icc=0.1)
    with pytest.raises(ValueError, match="n must be finite and above 0"):
        minimum_detectable_effect(0, 0.05)
    with pytest.raises(ValueError, match="mde is so small"):
        sample_size(0.05, 1e-9)


def test_the_three_take_the_same_options():
    def names(function):
        return {p.name for p in inspect.signature(function).parameters.values() if p.kind == 3}

    assert names(sample_size) == names(power) | {"power"} == names(minimum_detectable_effect)


# --- weeks ------------------------------------------------------------------------------------


def naive_weeks(needed, daily, growth, traffic):
    for weeks in range(1, 2_000):
        if traffic * daily * (7 * weeks) ** growth >= needed * (1 - 1e-12):
            return weeks
    raise AssertionError


@settings(max_examples=100, deadline=None)
@given(
    needed=st.integers(1, 10**6),
    daily=st.floats(50_000, 1e6),
    growth=st.floats(0.5, 1.0),
    traffic=st.floats(0.2, 1.0),
)
def test_weeks_against_counting_them(needed, daily, growth, traffic):
    expected = naive_weeks(needed, daily, growth, traffic)
    got = duration(needed, daily, growth=growth, traffic=traffic, max_weeks=expected)
    assert got.weeks == expected
    assert got.days == 7 * expected
    assert got.expected >= needed * (1 - 1e-9)


def test_weeks_of_requests_and_of_users():
    size = sample_size(0.05, 0.01)
    assert duration(size, 400_000).weeks == math.ceil(size.total / 2_800_000)
    # Users come back: the second week brings fewer new ones, and the test takes longer.
    assert duration(size, 400_000, growth=0.7).weeks > 2 * duration(size, 400_000).weeks
    assert duration(10, 400_000, min_weeks=2).weeks == 2
    assert duration(7_000, 1_000) == duration(np.int64(7_000), np.float64(1_000.0))
    assert duration(7_000, 1_000).weeks == 1
    assert duration(7_001, 1_000).weeks == 2


def test_a_measured_curve():
    curve = 1_000 * np.arange(1, 15) ** 0.6
    got = duration(8_000, curve)
    assert got.growth == pytest.approx(0.6)
    assert got.weeks == naive_weeks(8_000, 1_000, 0.6, 1.0)
    assert got.extrapolated
    inside = duration(4_000, curve)
    assert (inside.weeks, inside.extrapolated) == (2, False)
    assert inside.expected == pytest.approx(curve[13])
    assert duration(3_000, curve).expected == pytest.approx(curve[6])
    flat = [900.0] * 14  # all users are there already
    with pytest.raises(ValueError, match="needed=1000 units do not come in max_weeks=104 weeks"):
        duration(1_000, flat)
    assert duration(1_000, [200, 300], growth=1).weeks == 1
    # A launch day may be slow; growth beyond that of new units every day is not believed.
    slow = duration(1_050, [100, 300])
    assert (slow.growth, slow.weeks, slow.expected) == (1.0, 1, pytest.approx(1_050))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((0, 10), {}, ValueError, "needed must be at least 1"),
        ((1.5, 10), {}, TypeError, "needed must be an integer"),
        ((10, 0), {}, ValueError, "daily_units must be finite and above 0"),
        ((10, []), {}, ValueError, "daily_units is empty"),
        ((10, [0.0, 5.0]), {}, ValueError, "daily_units must be finite and above 0"),
        ((10, [5.0, 4.0]), {}, ValueError, "never falls; got 5 up to day 1 and 4 up to day 2"),
        ((10, [5.0, math.nan]), {}, ValueError, "daily_units"),
        ((10, 5), {"traffic": 0}, ValueError, "traffic must lie"),
        ((10, 5), {"traffic": 1.5}, ValueError, "traffic must lie"),
        ((10, 5), {"growth": 1.5}, ValueError, "growth must lie"),
        ((10, 5), {"min_weeks": 0}, ValueError, "min_weeks must be at least 1"),
        ((10, 5), {"min_weeks": 3, "max_weeks": 2}, ValueError, "min_weeks=3 is above max_weeks=2"),
        ((10**9, 5), {}, ValueError, "do not come in max_weeks=104 weeks: 3640 do"),
    ],
)
def test_bad_weeks(arguments, options, error, match):
    with pytest.raises(error, match=match):
        duration(*arguments, **options)


def test_results_turn_into_tables():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = sample_size(0.05, 0.01).to_frame()
    assert table.loc["control", "value"] == 2_982_575


@pytest.mark.parametrize("variance", [None, "each-arm"])
def test_a_share_stays_a_share(variance):
    """A lift of 30 in place of 30 % gave 2 units an arm."""
    match = "takes the share from 0.05 to 1.55, which is not between 0 and 1"
    with pytest.raises(ValueError, match=match):
        sample_size(0.05, 30, variance=variance)
    with pytest.raises(ValueError, match=match):
        power(1000, 0.05, 30, variance=variance)
    assert sample_size(0.05, 30, variance=0.5).effect == pytest.approx(1.5)


@pytest.mark.parametrize("days", [2, 3, 5, 7, 14])
def test_growth_is_that_of_the_second_half_of_a_curve(days):
    curve = 1000.0 * np.arange(1, days + 1) ** 0.7
    assert duration(9_000, curve).growth == pytest.approx(0.7)
