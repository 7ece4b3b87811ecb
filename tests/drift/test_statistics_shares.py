"""χ², two proportions, range, unseen categories, correlations: against exact laws and peers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlsd.drift._chi2 import pool_small_cells
from mlsd.drift._tests import beyond_range, chi2_homogeneity, fisher_z, two_proportions, unseen


def exact_fisher(k_ref, n_ref, k_live, n_live):
    law = stats.hypergeom(n_ref + n_live, k_ref + k_live, n_live)
    return min(1.0, 2 * min(law.cdf(k_live), law.sf(k_live - 1)))


@pytest.mark.parametrize(
    ("n_ref", "n_live", "share"),
    [
        (50_000, 2_000, 0.0005),
        (50_000, 2_000, 0.02),
        (50_000, 2_000, 0.3),
        (200_000, 200_000, 0.001),
        (200_000, 200_000, 0.3),
        (30, 20, 0.4),
        (5_000, 1_000_000, 0.01),
        (5_000, 1_000_000, 0.9),
    ],
)
def test_two_proportions_against_the_hypergeometric_law(n_ref, n_live, share):
    spread = math.sqrt(n_live * share * (1 - share) * (1 + n_live / n_ref))
    k_live = np.round(n_live * share + np.linspace(-6.5, 6.5, 27) * spread)
    k_live = np.unique(np.clip(k_live, 0, n_live)).astype(int)
    k_ref = round(n_ref * share)
    p = two_proportions(k_ref, n_ref, k_live, n_live)
    expected = [exact_fisher(k_ref, n_ref, k, n_live) for k in k_live]
    assert min(expected) < 1e-3
    np.testing.assert_allclose(p, expected, rtol=2e-5)


counts = st.tuples(st.integers(0, 40), st.integers(0, 40))


@settings(max_examples=200, deadline=None)
@given(ref=counts, live=counts)
def test_two_proportions_of_any_counts(ref, live):
    (k_ref, other_ref), (k_live, other_live) = ref, live
    n_ref, n_live = k_ref + other_ref, k_live + other_live
    p = two_proportions([k_ref], [n_ref], [k_live], [n_live])[0]
    if n_ref and n_live:
        assert p == pytest.approx(exact_fisher(k_ref, n_ref, k_live, n_live), rel=1e-9)
    else:
        assert p == 1
    assert p == pytest.approx(two_proportions([k_live], [n_live], [k_ref], [n_ref])[0], rel=1e-9)
    mirrored = two_proportions([other_ref], [n_ref], [other_live], [n_live])[0]
    assert p == pytest.approx(mirrored, rel=1e-9)


def test_two_proportions_of_large_counts():
    n = 10**9
    p = two_proportions([n // 2, n // 2, 0, n], n, [n // 2, n // 2 + 10**6, 0, n], n)
    np.testing.assert_array_equal(p, [1, 0, 1, 1])
    # 1e9 / 2 and 4.5 standard deviations more: the normal law is right here.
    step = round(4.5 * math.sqrt(n / 2))
    p = two_proportions([n // 2], [n], [n // 2 + step], [n])
    assert p[0] == pytest.approx(2 * stats.norm.sf(4.5), rel=1e-3)


def test_score_test_would_err():
    # 2,000 live values, of which 25 are expected: the reason for the exact test.
    k = 47
    p = two_proportions([625], [50_000], [k], [2_000])[0]
    pooled = (625 + k) / 52_000
    stderr = math.sqrt(pooled * (1 - pooled) * (1 / 50_000 + 1 / 2_000))
    score = 2 * stats.norm.sf((k / 2_000 - 625 / 50_000) / stderr)
    assert p > 4 * score


@pytest.mark.parametrize(("n_live", "n_ref"), [(5, 7), (20, 3), (1, 30)])
def test_beyond_range_over_all_orders(n_live, n_ref):
    """Count the chance of k live values outside as a sum over how many lie on each side."""
    total = n_live + n_ref
    chance = np.zeros(n_live + 1)
    for low in range(n_live + 1):
        for high in range(n_live + 1 - low):
            # The ends are live, the next inwards on both sides are of the reference.
            inside = total - low - high - 2
            live_inside = n_live - low - high
            chance[low + high] += math.comb(inside, live_inside) / math.comb(total, n_live)
    assert chance.sum() == pytest.approx(1)
    tails = np.cumsum(chance[::-1])[::-1]
    np.testing.assert_allclose(beyond_range(np.arange(n_live + 1), n_live, n_ref), tails, rtol=1e-9)


def test_beyond_range_is_exact_far_out():
    k, m, n = 6, 2_000, 50_000
    q = [math.comb(m, j) / math.comb(n + m, j) for j in (k, k + 1)]
    assert beyond_range([k], [m], [n])[0] == pytest.approx((k + 1) * q[0] - k * q[1], rel=1e-6)
    assert beyond_range([5, 0], [5, 0], [0, 4]).tolist() == [1, 1]
    assert beyond_range([10**8], [10**9], [10**9])[0] == 0


@pytest.mark.parametrize("n_live", [2_000, 50_000, 200_000])
@pytest.mark.parametrize("power", [0.0, 0.7, 1.1])
def test_size_of_unseen(power, n_live):
    """Categories by a Zipf law: no more alarms than promised, though new ones come in clumps."""
    rng = np.random.default_rng(1)
    law = np.arange(1, 15_001) ** -power
    law /= law.sum()
    ref = rng.poisson(law * 50_000, size=(300, law.size))
    live = rng.poisson(law * n_live, size=ref.shape)
    ones = (ref == 1).sum(axis=1)
    new = np.where(ref == 0, live, 0).sum(axis=1)
    p = unseen(new, live.sum(axis=1), ones, ref.sum(axis=1))
    assert (p < 0.05).mean() < 0.075
    assert (p < 0.005).mean() < 0.015


def test_unseen_against_the_binomial_law():
    # 2,000 against 50,000: clumps hardly matter.
    found = unseen([0, 1, 3, 12], [2_000] * 4, [0, 0, 10, 30], [50_000] * 4)
    share = 2_000 / 52_000
    expected = [1, *(stats.binom.sf(k - 1, k + s, share) for k, s in ((1, 0), (3, 10), (12, 30)))]
    assert found[0] == 1
    assert (found >= expected).all()
    np.testing.assert_allclose(np.log(found), np.log(expected), rtol=0.15)
    # Of two tests with as many unseen, that is surer which had fewer singletons to expect them by.
    assert (np.diff(unseen([5] * 4, 2_000, [0, 5, 50, 500], 50_000)) > 0).all()
    assert unseen([5], [5], [0], [0])[0] == 1


def test_chi2_against_scipy():
    rng = np.random.default_rng(2)
    ref, live = rng.poisson(500, (30, 9)), rng.poisson(100, (30, 9))
    stat, dof, p = chi2_homogeneity(ref, live, ordered=True)
    for i in range(30):
        table = np.vstack((ref[i], live[i]))
        peer = stats.chi2_contingency(table, correction=False)
        ratio = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")
        assert stat[i] == pytest.approx(peer.statistic, rel=1e-9)
        assert dof[i] == peer.dof
        # Williams' correction is a thousandth at such counts.
        assert p[i] == pytest.approx(max(peer.pvalue, ratio.pvalue), rel=0.02)


def test_two_cells_are_fishers_test():
    stat, dof, p = chi2_homogeneity([[0, 9, 0, 11]], [[0, 2, 0, 18]], ordered=False)
    assert dof[0] == 1
    assert p[0] == pytest.approx(exact_fisher(9, 20, 2, 20))
    assert stat[0] == pytest.approx(stats.chi2_contingency([[9, 11], [2, 18]], False).statistic)


def naive_pool(ref, live, ordered):
    smaller = min(ref.sum(), live.sum())
    expected = (ref + live) * smaller / (ref.sum() + live.sum())
    groups = []
    if np.count_nonzero(expected) == 2:  # the exact test needs no more than it has
        groups = [[cell] for cell in range(ref.size)]
    elif ordered:
        held = []
        for cell in range(ref.size):
            held.append(cell)
            if expected[held].sum() >= 5:
                groups.append(held)
                held = []
        groups = [*groups[:-1], groups[-1] + held] if groups else [held]
    else:
        small = [cell for cell in range(ref.size) if 0 < expected[cell] < 5]
        large = sorted(
            (cell for cell in range(ref.size) if expected[cell] >= 5), key=lambda c: expected[c]
        )
        if small and expected[small].sum() < 5 and large:
            small.append(large.pop(0))
        groups = [small, *([cell] for cell in large)]
    pooled = [(ref[group].sum(), live[group].sum()) for group in groups]
    return sorted(pair for pair in pooled if sum(pair))


@settings(max_examples=100, deadline=None)
@given(
    table=st.integers(1, 15).flatmap(
        lambda k: st.tuples(*[st.lists(st.integers(0, 30), min_size=k, max_size=k)] * 2)
    ),
    ordered=st.booleans(),
)
def test_pooling_against_a_loop(table, ordered):
    ref, live = np.array(table, dtype=float)
    pooled = pool_small_cells(ref[None], live[None], ordered=ordered)
    if ref.sum() and live.sum():
        found = sorted(pair for pair in zip(*np.vstack(pooled).tolist(), strict=True) if sum(pair))
        assert found == naive_pool(ref, live, ordered)
    np.testing.assert_array_equal([part.sum() for part in pooled], [ref.sum(), live.sum()])


@pytest.mark.parametrize("ordered", [True, False])
def test_of_two_cells_the_rare_one_is_not_pooled_away(ordered):
    ref, live = np.array([[19_980, 20]]), np.array([[1_980, 20]])
    _, dof, p = chi2_homogeneity(ref, live, ordered=ordered)
    assert dof[0] == 1
    assert p[0] == pytest.approx(two_proportions([20], [20_000], [20], [2_000])[0])
    assert p[0] < 1e-8


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("sizes", [(50_000, 2_000), (100, 100), (300, 3_000)])
def test_size_of_chi2(sizes, ordered):
    rng = np.random.default_rng(3)
    shares = 0.75 ** np.arange(25)
    shares /= shares.sum()
    ref, live = (rng.multinomial(n, shares, size=20_000) for n in sizes)
    _, _, p = chi2_homogeneity(ref, live, ordered=ordered)
    assert 0.04 < (p < 0.05).mean() < 0.053
    assert 0.006 < (p < 0.01).mean() < 0.0118
    assert (p < 0.001).mean() < 0.0017


def test_small_cells_do_not_cry_wolf():
    # Five are expected in the last cell; 18 are a chance of 3e-5 there, but Pearson says 2e-8.
    ref, live = np.array([[1000] * 3 + [50]]), np.array([[95, 100, 105, 18]])
    stat, dof, p = chi2_homogeneity(ref, live, ordered=False)
    pearson = stats.chi2.sf(stat[0], dof[0])
    assert p[0] > 20 * pearson
    assert p[0] < 2e-3
    # And one empty cell is not made more of than it is.
    live = np.array([[95, 100, 105, 0]])
    stat, dof, p = chi2_homogeneity(ref, live, ordered=False)
    assert p[0] == pytest.approx(stats.chi2.sf(stat[0], dof[0]))


def test_exactness_of_the_reference_is_not_assumed():
    rng = np.random.default_rng(4)
    share = np.ones(20) / 20
    ref, live = rng.multinomial(1_000, share, 3_000), rng.multinomial(1_000, share, 3_000)
    as_exact = stats.chisquare(live, ref, axis=1, sum_check=False).pvalue
    assert (as_exact < 0.05).mean() > 0.3
    assert (chi2_homogeneity(ref, live, ordered=True)[2] < 0.05).mean() < 0.062


def test_fisher_z():
    difference, p = fisher_z([0.5, 0.2], 1_003, 1.0, [0.4, np.nan], 103)
    z = (math.atanh(0.4) - math.atanh(0.5)) / math.sqrt(1 / 1_000 + 1 / 100)
    assert difference[0] == pytest.approx(math.atanh(0.4) - math.atanh(0.5))
    assert p[0] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert np.isnan([difference[1], p[1]]).all()
    _, wider = fisher_z([0.5], 1_003, 2.0, [0.4], 103)
    assert wider[0] == pytest.approx(2 * stats.norm.sf(abs(z) / math.sqrt(2)))
    _, own = fisher_z([0.5], 1_003, 2.0, [0.4], 103, 1.0)
    assert p[0] < own[0] < wider[0]
    assert fisher_z([1.0], 100, 1.0, [1.0], 100)[1][0] == 1
    assert fisher_z([1.0], 100, 1.0, [0.0], 100)[1][0] < 1e-12
    assert np.isnan(fisher_z([0.1], 3, 1.0, [0.2], 100)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_proportions([3], [2], [0], [1]), "k_ref must not exceed n_ref.*3 of 2"),
        (lambda: two_proportions([1], [2], [-1], [1]), "k_live must be finite and not negative"),
        (lambda: two_proportions([1], [math.inf], [1], [1]), "n_ref must be finite"),
        (lambda: beyond_range([3, 4], [5, 3], [1, 1]), "k_live.*position 1 it is 4 of 3"),
        (lambda: beyond_range([math.nan], [5], [1]), "k_live must be finite.*nan"),
        (lambda: unseen([2], [1], [0], [3]), "k_live must not exceed n_live"),
        (lambda: unseen([1], [1], [-2], [3]), "n_singletons must be finite and not negative"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
