"""Ratios over units: against exact fractions, statsmodels and the equations they solve."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from mlsd._clusters import (
    RatioOfSums,
    count_by_unit,
    ratio_of_sums,
    share_interval,
    wilson_interval,
)

# Successes and trials of each unit, with at least one trial among all.
UNITS = st.lists(
    st.integers(0, 30).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=2,
    max_size=12,
).filter(lambda units: sum(n for _, n in units) > 0)


def columns(units):
    return np.array([y for y, _ in units]), np.array([x for _, x in units])


def exact_variance(y, x):
    """Return n/(n-1) Σ(y - R x)² / (Σx)² as a fraction."""
    n, total, base = len(y), Fraction(int(sum(y))), Fraction(int(sum(x)))
    residual = [int(a) - total / base * int(b) for a, b in zip(y, x, strict=True)]
    return Fraction(n, n - 1) * sum(r * r for r in residual) / base**2


@given(UNITS)
def test_the_delta_method_in_exact_fractions(units):
    y, x = columns(units)
    got = ratio_of_sums(y, x)
    assert got.value == float(Fraction(int(y.sum()), int(x.sum())))
    assert got.stderr**2 == pytest.approx(float(exact_variance(y, x)), rel=1e-12, abs=0)
    assert got.kish_units == pytest.approx(int(x.sum()) ** 2 / int((x**2).sum()), rel=1e-15)


def test_worked_by_hand():
    # R = 3/6; residuals 0, -1/2, 1/2; variance 3/2 · 1/2 / 36 = 1/48.
    got = ratio_of_sums(np.array([1, 0, 2]), np.array([2, 1, 3]))
    assert got.stderr == pytest.approx(math.sqrt(1 / 48), rel=1e-15)
    assert (got.numerator, got.denominator, got.n_units) == (3.0, 6.0, 3)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_cluster_robust_regression(seed):
    rng = np.random.default_rng(seed)
    unit = rng.integers(0, 40, 600)
    weight = rng.integers(1, 9, 600)
    share = rng.binomial(weight, rng.beta(1, 9, 40)[unit]) / weight
    fit = sm.WLS(share, np.ones(600), weights=weight).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": True, "df_correction": True}
    )
    y = np.bincount(unit, share * weight)
    got = ratio_of_sums(y, np.bincount(unit, weight))
    assert got.value == pytest.approx(fit.params[0], rel=1e-12)
    assert got.stderr == pytest.approx(fit.bse[0], rel=1e-12)


def test_a_numerator_that_is_no_count():
    rng = np.random.default_rng(5)
    revenue, visits = rng.lognormal(size=50) - 1, rng.integers(1, 6, 50)
    fit = sm.WLS(revenue / visits, np.ones(50), weights=visits).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(50)}
    )
    got = ratio_of_sums(revenue, visits)
    assert (got.value, got.stderr) == pytest.approx((fit.params[0], fit.bse[0]), rel=1e-12)


@given(UNITS)
def test_twice_the_units(units):
    y, x = columns(units)
    n = len(units)
    once, twice = ratio_of_sums(y, x), ratio_of_sums(np.tile(y, 2), np.tile(x, 2))
    # √2 but for the n - 1.
    expected = once.stderr * math.sqrt((n - 1) / (2 * n - 1))
    assert twice.stderr == pytest.approx(expected, rel=1e-12, abs=0)
    # Twice the rows of each unit is no news at all.
    same = ratio_of_sums(2 * y, 2 * x)
    assert (same.value, same.stderr) == (once.value, once.stderr)


def test_equal_rates_have_no_spread_even_in_thirds():
    x = np.array([3, 6, 9, 21])
    assert ratio_of_sums(x // 3, x).stderr == 0.0


def test_large_counts_do_not_overflow():
    y, x = np.array([1 << 40, 3 << 40]), np.array([1 << 42, 1 << 42])
    assert ratio_of_sums(y, x).stderr ** 2 == pytest.approx(float(exact_variance(y, x)), rel=1e-12)


def test_little_data():
    none = ratio_of_sums(np.array([0, 0]), np.array([0, 0]))
    assert math.isnan(none.value)
    assert math.isnan(none.stderr)
    one = ratio_of_sums(np.array([1]), np.array([2]))
    assert one.value == 0.5
    assert math.isnan(one.stderr)
    for ratio in (none, one):
        for method in ("wilson", "delta"):
            assert np.isnan(share_interval(ratio, level=0.95, method=method)).all()
    with pytest.raises(ValueError, match="lengths differ: numerator has 1, denominator has 2"):
        ratio_of_sums(np.array([1]), np.array([1, 2]))


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 3), (7, 50), (50, 50), (3, 10**7)])
def test_wilson_is_statsmodels(successes, n, level):
    got = wilson_interval(successes / n, n, stats.norm.ppf(0.5 + level / 2))
    expected = proportion_confint(successes, n, 1 - level, method="wilson")
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(st.floats(0, 1), st.floats(0.5, 1e12), st.floats(0.1, 10))
def test_wilson_holds_the_share_within_0_and_1(share, n, quantile):
    lower, upper = wilson_interval(share, n, quantile)
    assert 0 <= lower <= share <= upper <= 1


def test_wilson_of_much_and_of_nothing():
    lower, upper = wilson_interval([0.2, np.nan, 0.2], [np.inf, 10, np.nan], 2.0)
    assert lower[0] == upper[0] == 0.2
    assert np.isnan([lower[1:], upper[1:]]).all()


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(("method", "at_edge"), [("wilson", True), ("delta", False)])
def test_share_interval_solves_its_equation(level, method, at_edge):
    ratio = ratio_of_sums(np.array([1, 0, 2, 5]), np.array([2, 1, 3, 20]))
    t = stats.t.ppf(0.5 + level / 2, 3)
    for end in share_interval(ratio, level=level, method=method):
        scale = end * (1 - end) / (ratio.value * (1 - ratio.value)) if at_edge else 1.0
        # The variance scales with that of a share at the end itself, or is that of the estimate.
        assert (end - ratio.value) ** 2 == pytest.approx(t**2 * ratio.stderr**2 * scale, rel=1e-9)


def test_without_a_success_each_unit_is_one_draw():
    x = np.array([5, 5, 5, 5, 5, 5, 5, 5])
    nothing = ratio_of_sums(0 * x, x)
    lower, upper = share_interval(nothing, level=0.95, method="wilson")
    t = stats.t.ppf(0.975, 7)
    assert (lower, upper) == pytest.approx((0.0, t * t / (8 + t * t)), rel=1e-12)
    everything = share_interval(ratio_of_sums(x, x), level=0.95, method="wilson")
    assert everything == pytest.approx((1 - upper, 1.0), rel=1e-12)
    assert share_interval(nothing, level=0.95, method="delta") == (0.0, 0.0)
    # One large unit is worth little more than one draw.
    heavy = RatioOfSums(0.0, 0.0, 0.0, 1008.0, 9, 1008**2 / (1000**2 + 8))
    assert share_interval(heavy, level=0.95, method="wilson")[1] > 0.8


def test_count_by_unit():
    codes = np.array([0, 2, 2, 0])
    for values, expected in [
        (None, [2, 0, 2]),
        (np.array([True, False, True, True]), [2, 0, 1]),
        (np.array([3, 1, 2, 4.0]), [7, 0, 3]),
    ]:
        got = count_by_unit(codes, 3, values)
        assert got.dtype == np.int64
        assert got.tolist() == expected
