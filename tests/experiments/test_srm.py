from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlsd.experiments.assignment import sample_ratio_test


def two_sided_binomial(count: int, n: int, share: float) -> float:
    """Sum the chances of all counts that are no more likely than this one."""
    chances = [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]
    return min(1.0, sum(p for p in chances if p <= chances[count] * (1 + 1e-7)))


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.5, 0.2, 0.9]))
def test_two_small_arms_are_exact(a, b, share):
    if a + b == 0:
        return
    test = sample_ratio_test([a, b], [share, 1 - share])
    assert test.method == "binomial"
    assert test.p_value == pytest.approx(two_sided_binomial(a, a + b, share), rel=1e-9)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([500_500, 499_500], None),
        ([101_000, 898_000], [0.1, 0.9]),
        ([334, 333, 400], None),
        ([20, 30, 50, 100], [1, 2, 3, 4]),
    ],
)
def test_many_or_several_are_chi_squared(counts, expected):
    test = sample_ratio_test(counts, expected)
    shares = np.ones(len(counts)) if expected is None else np.asarray(expected, dtype=float)
    chi2, p_value = stats.chisquare(counts, shares / shares.sum() * sum(counts))
    assert test.method == "chi-squared"
    assert test.df == len(counts) - 1
    assert (test.chi2, test.p_value) == pytest.approx((chi2, p_value), rel=1e-9)


def test_several_small_arms_never_alarm_too_often():
    # All outcomes of 12 units in three arms, by their exact chances.
    shares, n = [0.7, 0.2, 0.1], 12
    alarms = {0.05: 0.0, 0.2: 0.0}
    for a in range(n + 1):
        for b in range(n + 1 - a):
            counts = [a, b, n - a - b]
            chance = stats.multinomial.pmf(counts, n, shares)
            test = sample_ratio_test(counts, shares)
            assert test.method == "binomials"
            for alpha in alarms:
                alarms[alpha] += chance * (test.p_value < alpha)
    assert 0 < alarms[0.05] <= 0.05
    assert 0 < alarms[0.2] <= 0.2


def test_what_it_says():
    test = sample_ratio_test({"old": 821_588, "new": 815_482})  # Kohavi et al. (2020), chapter 21
    assert test.mismatch
    assert test.p_value == pytest.approx(1.8e-6, rel=0.02)
    assert test.expected == {"old": 818_535.0, "new": 818_535.0}
    assert test.message == (
        "sample ratio mismatch, p = 1.8e-06: old has 821,588 units where 818,535 were expected"
    )
    assert test.message in test._repr_html_()
    assert test.to_dict()["counts"] == {"old": 821_588, "new": 815_482}
    fine = sample_ratio_test({"old": 1000, "new": 1010})
    assert not fine.mismatch
    assert fine.message.startswith("no sample ratio mismatch, p = 0.84: ")


def test_alpha_decides():
    test = sample_ratio_test([5100, 4900])
    assert 0.001 < test.p_value < 0.05
    assert not test.mismatch
    assert sample_ratio_test([5100, 4900], alpha=0.05).mismatch


def test_an_arm_that_should_be_empty():
    assert sample_ratio_test([10, 0], [1, 0]).p_value == 1.0
    wrong = sample_ratio_test({"a": 10_000, "b": 1}, {"a": 1.0, "b": 0.0})
    assert (wrong.p_value, wrong.chi2, wrong.mismatch) == (0.0, math.inf, True)
    assert "b has 1 units where 0 were expected" in wrong.message
    three = sample_ratio_test({"a": 50, "b": 0, "c": 40}, {"a": 1, "b": 0, "c": 1})
    assert three.df == 1
    assert three.p_value == pytest.approx(stats.chisquare([50, 40])[1])


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=5), st.randoms())
def test_order_and_scale_do_not_matter(counts, random):
    arms = {f"arm{i}": count for i, count in enumerate(counts)}
    plan = {arm: float(i + 1) for i, arm in enumerate(arms)}
    test = sample_ratio_test(arms, plan)
    shuffled = list(arms)
    random.shuffle(shuffled)
    other = sample_ratio_test(
        {arm: arms[arm] for arm in shuffled}, {arm: 100 * plan[arm] for arm in arms}
    )
    assert other.p_value == pytest.approx(test.p_value, rel=1e-9, abs=1e-300)
    assert 0.0 <= test.p_value <= 1.0


def test_a_series_of_counts():
    counts = pd.Series(["b", "a", "b"]).value_counts()
    assert sample_ratio_test(counts).counts == {"b": 2, "a": 1}
    assert sample_ratio_test(np.array([3, 4])).counts == {0: 3, 1: 4}


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (([10],), ValueError, "counts must be of at least two arms"),
        (([0, 0],), ValueError, "counts are all 0"),
        (([10, -1],), ValueError, r"counts\[1\] must be at least 0; got -1"),
        (([10, 2.5],), TypeError, r"counts\[1\] must be a whole number; got 2.5"),
        (([10, True],), TypeError, r"counts\[1\] must be a whole number"),
        (("ab",), TypeError, "counts must be a mapping"),
        ((7,), TypeError, "counts must be a mapping"),
        (([1, 2], [0.5]), ValueError, "expected is of the arms"),
        (([1, 2], [0, 0]), ValueError, "expected is 0 for all arms"),
        (([1, 2], [1, -1]), ValueError, r"expected\[1\] must be finite and at least 0"),
        (([1, 2], [1, math.nan]), ValueError, r"expected\[1\] must be finite"),
        (([1, 2], ["a", "b"]), TypeError, r"expected\[0\] must be a number"),
        (({"a": 1, "b": 2}, {"a": 1, "c": 2}), ValueError, r"expected is of the arms \['a', 'c'\]"),
    ],
)
def test_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        sample_ratio_test(*arguments)


@pytest.mark.parametrize("alpha", [0, 1, -0.1, "x"])
def test_bad_alpha(alpha):
    with pytest.raises((TypeError, ValueError), match="alpha must"):
        sample_ratio_test([1, 2], alpha=alpha)


def test_small_expectations_are_not_rounded_away():
    test = sample_ratio_test({"a": 3, "b": 1, "c": 0})
    assert (
        test.message == "no sample ratio mismatch, p = 0.33: a has 3 units where 1.33 were expected"
    )


@given(st.lists(st.integers(0, 6), min_size=3, max_size=5).filter(lambda counts: sum(counts) > 0))
def test_few_units_in_several_arms_are_corrected_for_their_number(counts):
    shares = np.arange(1, len(counts) + 1) / np.arange(1, len(counts) + 1).sum()
    test = sample_ratio_test(counts, shares)
    if test.method != "binomials":
        return
    each = [
        stats.binomtest(count, sum(counts), share).pvalue
        for count, share in zip(counts, shares, strict=True)
    ]
    assert test.p_value == pytest.approx(min(1.0, len(counts) * min(each)))
