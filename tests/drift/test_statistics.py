"""Anderson-Darling and Klotz: statistics against peers, p-values against exact laws."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad
from scipy.special import gammaln, ndtri

from mlsd.drift._quadratic import log_quadratic_tail
from mlsd.drift._tests import anderson_darling, chi2_homogeneity, klotz

TESTS = {
    "anderson_darling": anderson_darling,
    "klotz": klotz,
    "chi2": lambda ref, live: chi2_homogeneity(ref, live, ordered=True)[::2],
    "chi2_unordered": lambda ref, live: chi2_homogeneity(ref, live, ordered=False)[::2],
}
all_tests = pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)

# Shares of cells: fine, with a tie in half or nearly all of the values, coarse, uneven.
SHAPES = {
    "fine": np.ones(512),
    "half tied": np.r_[256, np.ones(256)],
    "tied in the middle": np.r_[np.ones(100), 800, np.ones(100)],
    "nearly all tied": np.r_[1900, np.ones(100)],
    "eight cells": np.ones(8),
    "geometric": 2.0 ** -np.arange(10),
}


def compositions(n, k):
    """Return all ways to put n values in k cells."""
    bars = np.array(list(combinations(range(n + k - 1), k - 1)))
    edges = np.c_[np.full(len(bars), -1), bars, np.full(len(bars), n + k - 1)]
    return np.diff(edges, axis=1) - 1


def all_draws(pooled, n_live):
    """Return every table of live counts with these margins, and its chance."""
    pooled = np.asarray(pooled)
    live = compositions(n_live, pooled.size)
    live = live[(live <= pooled).all(axis=1)]
    log_choose = gammaln(pooled + 1) - gammaln(live + 1) - gammaln(pooled - live + 1)
    chance = np.exp(log_choose.sum(axis=1))
    return live, chance / chance.sum()


def eigenvalues(pooled):
    """Return the weights of the limit law by the dense matrix."""
    share = np.asarray(pooled, float) / np.sum(pooled)
    k = share.size
    # Weight of a value of cell c in the count below the middle of cell j.
    weight = np.tril(np.ones((k, k)), -1) + np.eye(k) / 2
    covariance = weight @ (np.diag(share) - np.outer(share, share)) @ weight.T
    root = np.sqrt(share / np.diag(covariance))
    return np.linalg.eigvalsh(root[:, None] * covariance * root)


def imhof(x, weights):
    """Return P(sum of weights * chi-square > x) by Imhof's (1961) integral."""

    def integrand(u):
        angle = np.arctan(weights * u).sum() / 2 - x * u / 2
        return math.sin(angle) / (u * np.exp(np.log1p((weights * u) ** 2).sum() / 4))

    return 0.5 + quad(integrand, 1e-12, np.inf, limit=2000, epsabs=1e-9)[0] / math.pi


def test_anderson_darling_statistic_against_scipy():
    rng = np.random.default_rng(1)
    for n, m in [(30, 50), (200, 7), (12, 12)]:
        ref, live = rng.integers(0, 15, n), rng.integers(2, 18, m)
        cells = np.arange(19)
        counts = [np.histogram(sample, cells)[0][None] for sample in (ref, live)]
        stat, _ = anderson_darling(*counts)
        found = stats.anderson_ksamp(
            [ref, live], variant="midrank", method=stats.PermutationMethod(n_resamples=1)
        )
        total = n + m
        h = (1 / np.arange(1, total)).sum()
        g = sum((1 / ((total - i) * np.arange(i + 1, total))).sum() for i in range(1, total - 1))
        big_h = 1 / n + 1 / m
        a = (4 * g - 6) + (10 - 6 * g) * big_h
        b = (2 * g - 4) * 4 + 16 * h + (2 * g - 14 * h - 4) * big_h - 8 * h + 4 * g - 6
        c = (6 * h + 2 * g - 2) * 4 + (4 * h - 4 * g + 6) * 2 + (2 * h - 6) * big_h + 4 * h
        d = (2 * h + 6) * 4 - 8 * h
        sigma = math.sqrt(
            (a * total**3 + b * total**2 + c * total + d)
            / ((total - 1) * (total - 2) * (total - 3))
        )
        assert (stat[0] - 1) / sigma == pytest.approx(found.statistic, rel=1e-10)


@pytest.mark.parametrize(
    ("x", "p"), [(1.248, 0.25), (1.933, 0.10), (2.492, 0.05), (3.070, 0.025), (3.880, 0.01)]
)
def test_limit_law_against_the_published_table(x, p):
    # D'Agostino and Stephens (1986), Goodness-of-Fit Techniques, table 4.2, case 0.
    weights = np.array([0.5]), np.array([math.pi**2 / 3 - 3])
    assert math.exp(log_quadratic_tail(np.array([x]), *weights)[0]) == pytest.approx(p, rel=0.02)


def test_quadratic_tail_against_closed_forms():
    x = np.array([0.5, 1, 3, 10, 100, 600, 3000])
    one = log_quadratic_tail(x, np.ones(7), np.ones(7))
    np.testing.assert_allclose(one, math.log(2) + stats.norm.logsf(np.sqrt(x)), rtol=1e-9)
    # Two equal weights of 1/2: the exponential law.
    two = log_quadratic_tail(x, np.full(7, 0.5), np.full(7, 0.5))
    np.testing.assert_allclose(two, -x, rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_limit_law_with_ties_against_imhof(shape):
    # With counts this large sample size plays no part, and p is that of the limit law.
    pooled = np.round(shape / shape.sum() * 1e11)
    weights = eigenvalues(pooled)
    assert weights.sum() == pytest.approx(1, rel=1e-6)
    for shift in (1e-6, 3e-6, 4.5e-6):
        tilt = 1 + shift * np.linspace(-1, 1, shape.size)
        live = np.round(pooled / 2 * tilt / (pooled * tilt).sum() * pooled.sum())
        stat, p = anderson_darling((pooled - live)[None], live[None])
        assert p[0] == pytest.approx(imhof(stat[0], weights), rel=0.02, abs=1e-7)


@pytest.mark.parametrize("pooled", [[9, 4, 3, 8], [2, 30, 1, 1], [5, 5, 5, 5, 4]])
def test_moments_over_all_draws(pooled):
    live, chance = all_draws(pooled, 11)
    ref = pooled - live
    stat, _ = anderson_darling(ref, live)
    z, _ = klotz(ref, live)
    assert (chance * stat).sum() == pytest.approx(1, rel=1e-9)
    assert (chance * z).sum() == pytest.approx(0, abs=1e-9)
    assert (chance * z**2).sum() == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("n_live", [20, 28])
@pytest.mark.parametrize("pooled", [[36, 27, 33, 39, 45], [200, 30, 20, 25, 25]])
@pytest.mark.parametrize("test", [anderson_darling, klotz])
def test_size_over_all_draws(test, pooled, n_live):
    """P(p <= level) in full, down to 1e-6; a lattice takes what it must from a level."""
    live, chance = all_draws(pooled, n_live)
    _, p = test(pooled - live, live)
    for level in 10.0 ** -np.arange(1, 7):
        assert 0.4 * level < chance[p <= level].sum() < 1.12 * level


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("test", [anderson_darling, klotz])
def test_size_far_out(test, shape):
    """P(p <= 1e-5) for 2,000 against 50,000, by importance sampling along the worst direction."""
    rng = np.random.default_rng(2)
    n, m, level = 2_000, 50_000, 1e-5
    share = shape / shape.sum()
    below = np.cumsum(share) - share / 2
    score = below if test is anderson_darling else ndtri(below) ** 2
    score = (score - share @ score) / math.sqrt(share @ score**2 - (share @ score) ** 2)
    size = np.array([0, -3, 3, -4.6, 4.6, -6, 6]) / math.sqrt(n)
    tilted = share * np.exp(size[:, None] * score)
    log_norm = np.log(tilted.sum(axis=1))
    tilted /= tilted.sum(axis=1, keepdims=True)
    live = np.concatenate([rng.multinomial(n, law, size=700) for law in tilted])
    ref = rng.multinomial(m, share, size=len(live))
    along = live @ score
    with np.errstate(over="ignore"):  # a draw so unlikely that its weight is 0
        weight = 1 / np.exp(along[:, None] * size - n * log_norm).mean(axis=1)
    _, p = test(ref, live)
    hit = weight * (p <= level)
    rate, error = hit.mean(), hit.std() / math.sqrt(len(hit))
    assert error < 0.2 * level
    assert abs(rate - level) < 4 * error


def test_klotz_is_a_scale_test():
    rng = np.random.default_rng(3)
    edges = np.r_[-np.inf, ndtri(np.arange(1, 200) / 200), np.inf]
    ref = np.histogram(rng.normal(size=50_000), edges)[0]
    wide = np.histogram(rng.normal(scale=1.2, size=2_000), edges)[0]
    narrow = np.histogram(rng.normal(scale=0.85, size=2_000), edges)[0]
    z, p = klotz([ref, ref], [wide, narrow])
    assert z[0] > 5
    assert z[1] < -5
    assert (p < 1e-6).all()


def test_klotz_against_a_loop():
    ref, live = np.array([5, 9, 0, 7, 3]), np.array([4, 1, 0, 2, 6])
    values = np.repeat(np.arange(5), ref + live)
    rank = stats.rankdata(values) - 0.5
    score = stats.norm.ppf(rank / values.size) ** 2
    drawn = sum(live[cell] * score[values == cell][0] for cell in (0, 1, 3, 4))
    n, m, total = live.sum(), ref.sum(), values.size
    spread = math.sqrt(n * m / (total * (total - 1)) * ((score - score.mean()) ** 2).sum())
    z, _ = klotz(ref[None], live[None])
    assert z[0] == pytest.approx((drawn - n * score.mean()) / spread, rel=1e-12)


tables = st.integers(2, 12).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 60), min_size=k, max_size=k)] * 2)
)


@all_tests
@settings(max_examples=60, deadline=None)
@given(table=tables)
def test_properties(test, table):
    ref, live = np.array(table)
    stat, p = test(ref[None], live[None])
    assert 0 <= p[0] <= 1
    assert np.isfinite(stat[0])
    # The order of cells turned round, and cells that are empty in both.
    padded = [np.insert(counts[::-1], [0, 1, counts.size], 0)[None] for counts in (ref, live)]
    other, p_other = test(*padded)
    if test is not TESTS["chi2"]:  # pooling goes from left to right
        np.testing.assert_allclose(other, stat, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(p_other, p, rtol=1e-6)
    # The samples change places.
    other, p_other = test(live[None], ref[None])
    np.testing.assert_allclose(np.abs(other), np.abs(stat), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(p_other, p, rtol=1e-6)


@all_tests
def test_columns_do_not_meet(test):
    rng = np.random.default_rng(4)
    ref = rng.poisson(rng.gamma(0.5, 20, (40, 30)))
    live = rng.poisson(rng.gamma(0.5, 2, (40, 30)))
    ref[3], live[5], ref[7], live[7] = 0, 0, 0, 0
    ref[9], live[9] = np.eye(30, dtype=int)[4] * 50, np.eye(30, dtype=int)[4] * 9
    together = test(ref, live)
    alone = np.array([np.ravel(test(ref[i : i + 1], live[i : i + 1])) for i in range(40)]).T
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-12)
    for column in (3, 5, 7, 9):  # an empty sample, or one cell: nothing can be told
        assert together[0][column] == 0
        assert together[1][column] == 1


@all_tests
def test_large_counts(test):
    ref = np.array([[10**9, 2 * 10**9, 10**9, 5 * 10**8]])
    stat, p = test(ref, ref // 2)
    assert abs(stat[0]) < 1e-6
    assert p[0] > 0.99
    stat, p = test(ref, ref[:, [1, 0, 2, 3]])
    assert abs(stat[0]) > 1e4
    assert p[0] == 0


@all_tests
def test_no_columns_or_no_cells(test):
    assert test(np.zeros((0, 4)), np.zeros((0, 4)))[1].shape == (0,)
    np.testing.assert_array_equal(test(np.zeros((2, 0)), np.zeros((2, 0)))[1], [1, 1])


@all_tests
@pytest.mark.parametrize(
    ("ref", "live", "error", "message"),
    [
        ([[1, 2]], [[1, 2, 3]], ValueError, r"shape \(columns, cells\); got \(1, 2\) and \(1, 3\)"),
        ([1, 2], [1, 2], ValueError, r"shape \(columns, cells\); got \(2,\)"),
        ([[1, -2]], [[1, 2]], ValueError, "ref must be finite and not negative.*-2.0"),
        ([[1, 2]], [[1, math.nan]], ValueError, "live must be finite.*nan at position 1"),
        ([["a", "b"]], [[1, 2]], TypeError, "ref must hold counts"),
    ],
)
def test_bad_input(test, ref, live, error, message):
    with pytest.raises(error, match=message):
        test(ref, live)
