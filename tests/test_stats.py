"""The shared statistics, against scipy and against counting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlsd import _stats

SAMPLE = np.random.default_rng(0).normal(0.3, 1.0, 30)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_t_interval_is_scipys(level):
    got = _stats.t_interval(SAMPLE, level=level)
    expected = stats.ttest_1samp(SAMPLE, 0).confidence_interval(level)
    assert (got.lower, got.upper) == pytest.approx(tuple(expected), rel=1e-12)
    assert (got.mean, got.stderr, got.n) == pytest.approx((SAMPLE.mean(), stats.sem(SAMPLE), 30))


def test_paired_t_is_scipys():
    got = _stats.paired_t(SAMPLE)
    expected = stats.ttest_1samp(SAMPLE, 0)
    assert got.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert _stats.paired_t(-SAMPLE).p_value == got.p_value


@pytest.mark.parametrize("function", [_stats.t_interval, _stats.bootstrap_mean])
def test_intervals_of_little(function):
    none, one, same = function([]), function([2.0]), function([0.1] * 10)
    assert np.isnan([none.mean, none.lower, none.stderr, one.lower, one.upper]).all()
    assert (none.n, one.n, one.mean) == (0, 1, 2.0)
    assert (same.mean, same.lower, same.upper, same.stderr) == (0.1, 0.1, 0.1, 0.0)


def test_tests_of_little():
    for test in (_stats.paired_t, _stats.paired_randomization):
        assert np.isnan(test([1.0]).p_value)
        assert test([0.0, 0.0, 0.0]).p_value == 1.0
    assert _stats.paired_t([1.0, 1.0]).p_value == 0.0


def test_t_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [_stats.t_interval(row) for row in rng.normal(1.0, 2.0, (2000, 5))]
    covered = np.mean([interval.lower <= 1.0 <= interval.upper for interval in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_bootstrap_is_near_the_t_interval_and_repeatable():
    sample = np.random.default_rng(2).normal(size=400)
    got = _stats.bootstrap_mean(sample, n_resamples=4000, random_state=3)
    expected = _stats.t_interval(sample)
    assert (got.lower, got.upper) == pytest.approx((expected.lower, expected.upper), abs=0.01)
    assert got == _stats.bootstrap_mean(sample, n_resamples=4000, random_state=3)
    assert got != _stats.bootstrap_mean(sample, n_resamples=4000, random_state=4)
    shared = np.random.default_rng(3)
    assert got == _stats.bootstrap_mean(sample, n_resamples=4000, random_state=shared)


def test_bootstrap_in_chunks_is_the_same_size(monkeypatch):
    monkeypatch.setattr(_stats, "_CHUNK", 100)
    assert sum(_stats._chunks(1001, 30)) == 1001
    assert _stats.bootstrap_mean(SAMPLE, n_resamples=1001, random_state=0).n == 30


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))
def test_randomization_counts_all_signs(differences):
    total = abs(sum(differences))
    signs = itertools.product((-1, 1), repeat=len(differences))
    sums = [abs(sum(s * d for s, d in zip(sign, differences, strict=True))) for sign in signs]
    expected = np.mean([value >= total for value in sums])
    # In tenths, the sums differ in their last digits, and must still count as equal.
    got = _stats.paired_randomization(np.array(differences) / 10)
    assert got.p_value == pytest.approx(expected, abs=1e-15)


def test_randomization_draws_when_there_are_too_many():
    got = _stats.paired_randomization(SAMPLE, n_resamples=20_000, random_state=0)
    expected = stats.permutation_test(
        (SAMPLE,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    p = expected.pvalue
    assert got.p_value == pytest.approx(p, abs=5 * np.sqrt(2 * p * (1 - p) / 20_000))
    assert got == _stats.paired_randomization(SAMPLE, n_resamples=20_000, random_state=0)
    far = _stats.paired_randomization(SAMPLE + 50, n_resamples=99, random_state=0)
    assert far.p_value == 0.01


def test_holm_by_hand():
    assert _stats.holm([0.01, 0.02, 0.03, 0.5]) == pytest.approx([0.04, 0.06, 0.06, 0.5])
    got = _stats.holm([0.03, np.nan, 0.01])
    assert got[[0, 2]] == pytest.approx([0.03, 0.02])
    assert np.isnan(got[1])
    assert _stats.holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_stays_below_bonferroni(p_values):
    given_, adjusted = np.array(p_values), _stats.holm(p_values)
    assert (adjusted >= given_).all()
    assert (adjusted <= np.minimum(given_ * given_.size, 1.0)).all()
    assert (np.diff(adjusted[np.argsort(given_, kind="stable")]) >= 0).all()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: _stats.t_interval([1, np.nan]), "values holds 1 NaN among 2"),
        (lambda: _stats.t_interval([1, 2], level=1.0), "level must lie strictly between 0 and 1"),
        (lambda: _stats.paired_t([[1, 2]]), "differences must be one-dimensional|values must be"),
        (lambda: _stats.bootstrap_mean([1, 2], n_resamples=0), "n_resamples must be at least 1"),
        (lambda: _stats.paired_randomization([1, np.nan]), "differences holds 1 NaN"),
        (lambda: _stats.holm([1.5]), "p_values must lie between 0 and 1"),
    ],
)
def test_refuses(call, match):
    with pytest.raises(ValueError, match=match):
        call()
