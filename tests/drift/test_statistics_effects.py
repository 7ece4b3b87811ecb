"""Effects: coverage of intervals and bounds; adjustment: against loops and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize

from mlsd._stats import holm
from mlsd.drift._adjust import weighted_bh, weighted_holm
from mlsd.drift._effects import (
    cohen_d,
    cohen_h,
    cramers_v,
    fisher_z_effect,
    log_sd_ratio,
    noncentrality,
)

REPEATS = 4_000


def check_coverage(effect, truth, *, most=0.99):
    """The interval holds in about 95 of 100 cases, and the bound is too high in at most 5."""
    covered = ((effect.lo <= truth) & (truth <= effect.hi)).mean()
    assert 0.935 < covered < most
    assert (effect.bound > abs(truth)).mean() < 0.062
    assert (effect.bound <= np.abs(effect.effect)).all()
    assert (effect.bound >= 0).all()


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.5])
def test_coverage_of_d(shift):
    rng = np.random.default_rng(1)
    n, m = 400, 100
    ref, live = rng.normal(size=(REPEATS, n)), rng.normal(shift, 1.3, size=(REPEATS, m))
    moments = [f(axis=1, **more) for f, more in ((ref.mean, {}), (ref.std, {"ddof": 1}))]
    effect = cohen_d(*moments, n, live.mean(axis=1), live.std(axis=1, ddof=1), m)
    check_coverage(effect, shift)


@pytest.mark.parametrize("ratio", [1.0, 1.1])
def test_coverage_of_log_sd_ratio(ratio):
    rng = np.random.default_rng(2)
    ref = rng.laplace(size=(REPEATS, 1000))  # kurtosis 6
    live = rng.laplace(scale=ratio, size=(REPEATS, 500))
    effect = log_sd_ratio(
        ref.std(axis=1), 1000, live.std(axis=1), 500, kurtosis_ref=6, kurtosis_live=6
    )
    check_coverage(effect, math.log(ratio))
    # As if it were normal, the interval is far too short.
    naive = log_sd_ratio(ref.std(axis=1), 1000, live.std(axis=1), 500)
    assert ((naive.lo <= math.log(ratio)) & (math.log(ratio) <= naive.hi)).mean() < 0.85


@pytest.mark.parametrize("share", [(0.001, 0.001), (0.01, 0.03), (0.3, 0.3), (0.4, 0.5)])
def test_coverage_of_h(share):
    rng = np.random.default_rng(3)
    ref, live = (rng.binomial(n, p, REPEATS) for n, p in zip((50_000, 2_000), share, strict=True))
    effect = cohen_h(ref, 50_000, live, 2_000)
    truth = proportion_effectsize(share[1], share[0])
    check_coverage(effect, truth, most=0.995)  # two are expected at the least share
    np.testing.assert_allclose(
        effect.effect, proportion_effectsize(live / 2_000, ref / 50_000), atol=1e-12
    )


@pytest.mark.parametrize("tilt", [0.0, 0.1, 0.6])
def test_coverage_of_v(tilt):
    rng = np.random.default_rng(4)
    p = np.ones(12) / 12
    q = p * (1 + tilt * np.linspace(-1, 1, 12))
    truth = math.sqrt(((p - q) ** 2 / (2 * (p + q))).sum())
    ref, live = rng.multinomial(20_000, p, REPEATS), rng.multinomial(2_000, q, REPEATS)
    effect = cramers_v(ref, live)
    assert 0.935 < ((effect.lo <= truth) & (truth <= effect.hi)).mean() < 0.985
    assert (effect.bound > truth).mean() < 0.062
    assert np.mean(effect.effect**2) == pytest.approx(truth**2, abs=0.0006)


def test_v_of_equal_sizes_is_the_usual_one():
    ref, live = np.array([[40, 30, 30, 0]]), np.array([[25, 35, 35, 5]])
    table = np.vstack((ref, live))
    chi2 = stats.chi2_contingency(table, correction=False).statistic
    corrected = chi2 / 200 - 3 * (1 / 100 + 1 / 100) / 4
    assert cramers_v(ref, live).effect[0] == pytest.approx(math.sqrt(corrected), rel=1e-12)


def test_v_ends():
    effect = cramers_v(
        [[0, 10**9], [10, 10], [0, 0], [7, 0]], [[10**9, 0], [10, 10], [1, 2], [9, 0]]
    )
    assert effect.effect[0] == pytest.approx(1, abs=1e-6)
    assert effect.effect[1] == effect.lo[1] == effect.bound[1] == 0
    assert np.isnan([part[2] for part in effect]).all()
    assert effect.effect[3] == effect.hi[3] == 0


def test_v_does_not_hang_on_sample_size():
    ref, live = np.array([[50, 30, 20]]), np.array([[40, 30, 30]])
    sizes = [cramers_v(ref * a, live * b).effect[0] for a, b in ((10**5, 10**3), (10**3, 10**5))]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-12)
    assert sizes[0] == pytest.approx(cramers_v(ref * 10**6, live * 10**6).effect[0], rel=0.05)


@pytest.mark.parametrize("r", [0.0, 0.8])
def test_coverage_of_fisher_z(r):
    rng = np.random.default_rng(5)
    root = np.linalg.cholesky([[1, r], [r, 1]])
    found = []
    for n in (500, 100):
        x, y = np.moveaxis(rng.normal(size=(REPEATS, n, 2)) @ root.T, 2, 0)
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
        found.append((x * y).sum(axis=1) / norm)
    check_coverage(fisher_z_effect(found[0], 500, 1.0, found[1], 100), 0.0)


def test_undefined_is_nan():
    for effect in (
        cohen_d(
            [0.0, 0, 0, np.nan], [0.0, 1, 1, 1], [9, 1, 9, 9], [1.0, 1, 1, 1], 1.0, [9, 9, 0, 9]
        ),
        log_sd_ratio([0.0, 1, 1, 1], [9, 9, 1, 9], [1.0, 0, 1, np.nan], [9, 9, 9, 9]),
        cohen_h([0, 1, 0], [0, 3, 0], [1, 0, 0], [3, 0, 0]),
        fisher_z_effect([0.5, np.nan, 0.5], [9, 9, 3], 1.0, [0.5, 0.5, 0.5], [3, 9, 9]),
    ):
        assert np.isnan(effect).all()


def test_perfect_correlation_is_finite():
    effect = fisher_z_effect([1.0, 0.3], 500, 1.0, [0.3, -1.0], 500)
    assert np.isfinite(effect).all()
    assert (effect.bound > 10).all()


def test_bound_against_the_folded_normal_law():
    # By definition: at the bound, an effect as large as was seen has a chance of 1 - level.
    effect = cohen_d(0.0, 1.0, 10**12, [0.3, 0.2, 0.4], 1.0, 100, level=0.9)
    stderr = 0.1
    for size, bound in zip(effect.effect, effect.bound, strict=True):
        chance = stats.norm.sf(size, bound, stderr) + stats.norm.cdf(-size, bound, stderr)
        assert chance == pytest.approx(0.1, abs=1e-6)
    np.testing.assert_allclose(effect.hi - effect.lo, 2 * 1.6448536 * stderr, rtol=1e-6)


@pytest.mark.parametrize("dof", [1.0, 5.0, 60.0])
def test_noncentrality_against_scipy(dof):
    stat = np.array([0.1, 5.0, 40.0, 400.0, 4e4])
    for share in (0.025, 0.05, 0.975):
        found = noncentrality(stat, np.full(5, dof), share)
        inside = found > 0
        chance = stats.ncx2.sf(stat[inside], dof, found[inside])
        np.testing.assert_allclose(chance, share, rtol=0.12, atol=0.001)
        assert (stats.chi2.sf(stat[~inside], dof) > share - 0.01).all()


def naive_holm(p, w):
    """Reject one after the other; adjusted is the smallest alpha at which a test is rejected."""
    p, w = np.array(p), np.array(w, float)
    adjusted, left, highest = np.where(np.isnan(p), np.nan, 1.0), w.sum(), 0.0
    waiting = [i for i in range(p.size) if not np.isnan(p[i]) and w[i] > 0]
    while waiting:
        first = min(waiting, key=lambda i: p[i] / w[i])
        highest = max(highest, p[first] * left / w[first])
        adjusted[first] = min(highest, 1.0)
        left -= w[first]
        waiting.remove(first)
    return adjusted


def naive_bh(p, w):
    p, w = np.array(p), np.array(w, float)
    weighed = [p[i] / (w[i] / w.mean()) if w[i] > 0 else np.inf for i in range(p.size)]
    adjusted = []
    for i in range(p.size):
        larger = [x for x in weighed if x >= weighed[i]]
        found = [x * p.size / sum(y <= x for y in weighed) for x in larger]
        adjusted.append(np.nan if np.isnan(p[i]) else min([*found, 1.0]))
    return adjusted


families = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0.0, math.nan]), st.floats(1e-300, 1)),
        st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=12,
).filter(lambda family: sum(w for _, w in family) > 0)


@settings(max_examples=200, deadline=None)
@given(family=families)
def test_adjustments_against_loops(family):
    p, w = zip(*family, strict=True)
    np.testing.assert_allclose(weighted_holm(p, w), naive_holm(p, w), rtol=1e-9)
    np.testing.assert_allclose(weighted_bh(p, w), naive_bh(p, w), rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(1e-300, 1), min_size=1, max_size=20), w=st.floats(0.1, 10))
def test_equal_weights(p, w):
    same = np.full(len(p), w)
    np.testing.assert_allclose(weighted_holm(p, same), holm(p), rtol=1e-9)
    np.testing.assert_allclose(
        weighted_bh(p, same), multipletests(p, method="fdr_bh")[1], rtol=1e-9
    )


def test_weight_of_a_missing_test_is_not_handed_on():
    with_gap = weighted_holm([0.01, math.nan], [1, 1])
    assert with_gap[0] == pytest.approx(0.02)
    assert weighted_bh([0.01, math.nan], [1, 1])[0] == pytest.approx(0.02)


def test_family_wise_error_is_held():
    rng = np.random.default_rng(6)
    w = rng.dirichlet(np.ones(30))
    any_false = [(weighted_holm(rng.uniform(size=30), w) <= 0.1).any() for _ in range(3_000)]
    assert 0.08 < np.mean(any_false) < 0.115


@pytest.mark.parametrize("adjust", [weighted_holm, weighted_bh])
@pytest.mark.parametrize(
    ("p", "w", "message"),
    [
        ([0.1, 1.2], [1, 1], "p must lie between 0 and 1; 1 of 2.*1.2 at position 1"),
        ([0.1], [-1], "weights must be finite and not negative.*-1.0"),
        ([0.1], [math.inf], "weights must be finite"),
        ([0.1], [math.nan], "weights holds 1 NaN"),
        ([0.1, 0.2], [1], "lengths differ: p has 2, weights has 1"),
        ([[0.1]], [1], "p must be one-dimensional"),
    ],
)
def test_bad_families(adjust, p, w, message):
    with pytest.raises(ValueError, match=message):
        adjust(p, w)


@pytest.mark.parametrize("adjust", [weighted_holm, weighted_bh])
def test_no_tests_at_all(adjust):
    assert adjust([], []).size == 0
    assert np.isnan(adjust([math.nan], [1])).all()
