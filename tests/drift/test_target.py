"""Target drift: against scipy and statsmodels, NULL labels, and bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from mlsd._validation import UndefinedMetricWarning
from mlsd.drift.target import target_drift


def labels(positive, n):
    return np.r_[np.ones(positive), np.zeros(n - positive)]


@pytest.mark.parametrize(
    ("k", "n", "k_live", "n_live"), [(100, 1000, 140, 1000), (3, 40, 0, 25), (500, 9000, 90, 900)]
)
def test_a_rate_is_that_of_fisher_and_newcombe(k, n, k_live, n_live):
    result = target_drift(labels(k, n), labels(k_live, n_live))
    table = np.array([[k, n - k], [k_live, n_live - k_live]])
    tails = [stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    assert result.kind == "binary"
    assert result.p_value == pytest.approx(min(1, 2 * min(tails)), rel=1e-3)
    lower, upper = confint_proportions_2indep(k_live, n_live, k, n, method="newcomb")
    assert (result.lower, result.upper) == (pytest.approx(lower), pytest.approx(upper))
    assert result.difference == pytest.approx(k_live / n_live - k / n)
    assert (result.value_ref, result.value_live) == (k / n, k_live / n_live)
    h = 2 * np.arcsin(np.sqrt(k_live / n_live)) - 2 * np.arcsin(np.sqrt(k / n))
    assert result.effect == pytest.approx(h, abs=0.2 if k_live == 0 else 1e-9)


def test_classes_are_tested_by_chi_squared():
    rng = np.random.default_rng(0)
    ref = rng.choice(list("abc"), p=[0.5, 0.3, 0.2], size=2000)
    live = rng.choice(list("abc"), p=[0.4, 0.3, 0.3], size=800)
    result = target_drift(ref, live)
    table = np.array([[np.sum(side == label) for label in "abc"] for side in (ref, live)])
    pearson = stats.chi2_contingency(table, correction=False)
    assert result.kind == "categorical"
    assert result.statistic == pytest.approx(pearson.statistic)
    assert result.p_value == pytest.approx(pearson.pvalue, rel=0.2)  # the larger of two tests
    assert result.p_value >= pearson.pvalue * (1 - 1e-9)
    assert 0 < result.effect_lower < result.effect < result.effect_upper < 1
    assert np.isnan(result.difference)
    details = result.details()
    assert details["label"].tolist() == list("abc")
    assert details["count_live"].tolist() == table[1].tolist()
    assert details["share_ref"].sum() == pytest.approx(1)


def midrank_statistic(*samples):
    """Return Scholz and Stephens' A² for midranks, their equation 7, value by value."""
    pooled = np.concatenate(samples)
    n = pooled.size
    total = 0.0
    for value in np.unique(pooled):
        ties = np.sum(pooled == value)
        below = np.sum(pooled < value) + ties / 2
        for sample in samples:
            own = np.sum(sample < value) + np.sum(sample == value) / 2
            off = (n * own - sample.size * below) ** 2
            total += ties / n * off / (below * (n - below) - n * ties / 4) / sample.size
    return (n - 1) / n * total


def midrank_statistics(live, both):
    """Return the same from counts by value, one row a split."""
    n, m = both.sum(), live.sum(axis=1, keepdims=True)
    below = np.cumsum(both) - both / 2
    own = np.cumsum(live, axis=1) - live / 2
    # Both samples are off by as much, with opposite signs.
    off = (n * own - m * below) ** 2 * (1 / m + 1 / (n - m))
    return ((n - 1) / n**2 * both * off / (below * (n - below) - n * both / 4)).sum(axis=1)


@pytest.mark.parametrize("decimals", [0, 1])
def test_a_number_is_tested_by_anderson_and_darling(decimals):
    rng = np.random.default_rng(1)
    ref = rng.normal(size=400).round(decimals)
    live = rng.normal(0.1, 1.1, size=300).round(decimals)
    result = target_drift(ref, live, kind="numeric")
    assert result.statistic == pytest.approx(midrank_statistic(ref, live))
    values, codes = np.unique(np.concatenate((ref, live)), return_inverse=True)
    both = np.bincount(codes, minlength=values.size)
    splits = rng.multivariate_hypergeometric(both, 300, size=20_000)
    found = midrank_statistics(splits, both)
    assert result.p_value == pytest.approx(np.mean(found >= result.statistic - 1e-9), rel=0.2)
    welch = stats.ttest_ind(live, ref, equal_var=False).confidence_interval()
    assert (result.lower, result.upper) == (pytest.approx(welch.low), pytest.approx(welch.high))
    assert result.value_live == pytest.approx(live.mean())
    np.testing.assert_allclose(
        result.details()["live"], np.quantile(live, result.table["quantile"])
    )


def test_many_distinct_numbers_are_grouped_without_harm():
    rng = np.random.default_rng(3)
    ref, live = rng.normal(size=6000), rng.normal(0.05, 1, size=3000)
    expected = midrank_statistic(ref, live)
    assert target_drift(ref, live).statistic == pytest.approx(expected, abs=0.01)


def test_p_values_are_honest():
    rng = np.random.default_rng(4)
    p = [
        target_drift(rng.exponential(size=300), rng.exponential(size=100)).p_value
        for _ in range(400)
    ]
    assert 0.025 <= np.mean(np.array(p) < 0.05) <= 0.08


def test_missing_labels_are_counted_and_tested():
    live = pd.array([1] * 30 + [0] * 50 + [None] * 20, dtype="Int64")
    result = target_drift(labels(380, 1000), live)
    assert (result.n_live, result.null_live, result.null_ref) == (80, 20, 0)
    assert result.null_p_value < 1e-9
    assert result.p_value > 0.5
    expected = 2 * stats.fisher_exact([[0, 1000], [20, 80]], alternative="less").pvalue
    assert result.null_p_value == pytest.approx(min(expected, 1), rel=1e-3)
    assert target_drift([0, 1], [0, 1]).null_p_value == 1


@pytest.mark.parametrize(
    ("ref", "live", "options", "kind"),
    [
        ([True, False], [True], {}, "binary"),
        ([0, 1], [0.0, 0.0], {}, "binary"),
        ([0, 1, 2], [0, 1], {}, "numeric"),
        ([0, 1, 2], [0, 1], {"kind": "categorical"}, "categorical"),
        (["a", "b"], ["a"], {}, "categorical"),
        (["a", "b"], ["a"], {"pos_label": "b"}, "binary"),
        (pl.Series(["a", None]), ["c"], {}, "categorical"),
        ([0, 1], [0, 1], {"kind": "numeric"}, "numeric"),
    ],
)
def test_kinds(ref, live, options, kind):
    result = target_drift(ref, live, **options)
    assert result.kind == kind
    assert result.to_frame().loc["kind", "value"] == kind
    assert kind in repr(result)


def test_a_constant_number_has_no_effect():
    with pytest.warns(UndefinedMetricWarning, match="the target is 7 in both samples"):
        result = target_drift([7.0, 7, 7], [7.0, 7])
    assert np.isnan(result.effect)
    assert result.p_value == 1
    assert result.difference == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["binary", "categorical", "numeric"]))
def test_properties(seed, kind):
    rng = np.random.default_rng(seed)
    ref, live = (rng.integers(0, 2 if kind == "binary" else 5, n) for n in (80, 60))
    options = {"kind": kind}
    base = target_drift(ref, live, **options)
    shuffled = target_drift(rng.permutation(ref), rng.permutation(live), **options)
    assert shuffled.p_value == pytest.approx(base.p_value)
    assert 0 <= base.p_value <= 1
    assert base.effect_lower <= base.effect <= base.effect_upper
    swapped = target_drift(live, ref, **options)
    assert swapped.p_value == pytest.approx(base.p_value, rel=1e-6)
    if kind != "categorical":
        assert base.lower <= base.difference <= base.upper
        assert swapped.difference == pytest.approx(-base.difference)
        assert swapped.effect * base.effect <= 0
    same = target_drift(ref, ref, **options)
    assert same.p_value > 0.9


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: target_drift([1, 0], []), ValueError, "live has no labels: 0 rows"),
        (lambda: target_drift([None, None], [1]), ValueError, "ref has no labels: 2 rows"),
        (lambda: target_drift([1], [1], kind="ordinal"), ValueError, "kind must be one of"),
        (lambda: target_drift([1], [1], level=0), ValueError, "level must lie"),
        (lambda: target_drift(["a"], ["b"], kind="numeric"), ValueError, "must hold numbers"),
        (lambda: target_drift([1.0, np.inf], [1]), ValueError, "ref holds infinite"),
        (lambda: target_drift([1, 2], [3], kind="binary"), ValueError, "two labels; got"),
        (lambda: target_drift([1, 2], [1], kind="binary"), ValueError, "with pos_label"),
        (lambda: target_drift(["a"], ["b"], pos_label="c"), ValueError, "pos_label 'c' is not"),
        (
            lambda: target_drift(["a"], ["b"], pos_label="a", kind="categorical"),
            ValueError,
            "pos_label goes with a binary target",
        ),
        (lambda: target_drift("ab", [1]), TypeError, "ref must be array-like; got str"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
