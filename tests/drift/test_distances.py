"""Distances: against scipy and loops, null laws by simulation, and the traps that they are for."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import ndtr, ndtri

from mlsd._validation import UndefinedMetricWarning
from mlsd.drift.distances import js_distance, ks, psi, wasserstein

histograms = st.integers(2, 10).flatmap(
    lambda k: st.tuples(
        *[st.lists(st.integers(0, 500), min_size=k, max_size=k).filter(any) for _ in range(2)]
    )
)
samples = st.lists(st.integers(-8, 8), min_size=1, max_size=25)


def tenths(shift=0.0, scale=1.0):
    """Return the shares of a normal law in the ten cells of the standard one."""
    edges = ndtri(np.arange(1, 10) / 10)
    return np.diff(np.r_[0, ndtr((edges - shift) / scale), 1])


@settings(max_examples=100, deadline=None)
@given(pair=histograms)
def test_psi_against_a_loop(pair):
    ref, live = pair
    kept = [(a + 0.5, b + 0.5) for a, b in zip(ref, live, strict=True) if a + b]
    n, m = (sum(side) for side in zip(*kept, strict=True))
    expected = sum((a / n - b / m) * math.log((a / n) / (b / m)) for a, b in kept)
    found = psi(ref, live)
    assert found.n_cells == len(kept)
    assert found.value == pytest.approx(expected if len(kept) > 1 else 0, abs=1e-12)
    assert found.value >= 0
    assert 0 <= found.lower <= found.upper
    assert found.ci == (found.lower, found.upper)
    assert psi(live, ref).value == pytest.approx(found.value, abs=1e-12)
    assert psi(ref, live, alpha=0.001).critical >= found.critical
    assert psi(ref[::-1], live[::-1]).p_value == pytest.approx(found.p_value)


@pytest.mark.parametrize(("n", "m"), [(10**6, 100), (10**6, 200), (50_000, 2_000), (500, 500)])
def test_psi_critical_value(n, m):
    rng = np.random.default_rng(1)
    found = [
        psi(rng.multinomial(n, tenths()), rng.multinomial(m, tenths()), alpha=0.05)
        for _ in range(1_000)
    ]
    beyond = np.mean([result.value > result.critical for result in found])
    assert 0.032 < beyond < 0.07
    assert beyond == np.mean([result.p_value < 0.05 for result in found])


def test_fixed_threshold_cries_wolf_in_small_samples():
    rng = np.random.default_rng(2)
    shares = {}
    for m in (50, 100, 200):
        ref = rng.multinomial(10**6, tenths())
        values = [psi(ref, rng.multinomial(m, tenths())).value for _ in range(400)]
        shares[m] = np.mean(np.array(values) > 0.1)
    assert shares[50] > 0.7
    assert 0.2 < shares[100] < 0.4
    assert shares[200] < 0.03


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.32, 1.0])
@pytest.mark.parametrize(("n", "m"), [(50_000, 2_000), (2_000, 500)])
def test_psi_interval(shift, n, m):
    rng = np.random.default_rng(3)
    p, q = tenths(), tenths(shift)
    truth = float(((p - q) * np.log(p / q)).sum())
    found = [psi(rng.multinomial(n, p), rng.multinomial(m, q)) for _ in range(400)]
    covered = np.mean([result.lower <= truth <= result.upper for result in found])
    assert 0.925 < covered < 0.998


def test_thresholds_mean_different_shifts():
    def shift_at(distance, threshold):
        low, high = 0.0, 3.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if distance(middle) < threshold else (low, middle)
        return low

    ref = tenths() * 1e9  # so many that the half added to every cell is nothing
    grid = np.linspace(-9, 9, 20_001)
    density = stats.norm.pdf(grid)
    for distance, threshold, shift in [
        (lambda d: psi(ref, tenths(d) * 1e9).value, 0.1, 0.32),
        (lambda d: psi(ref, tenths(d) * 1e9).value, 0.25, 0.51),
        (lambda d: js_distance(density, stats.norm.pdf(grid - d)), 0.1, 0.24),
        (lambda d: js_distance(density, stats.norm.pdf(grid - d), base=math.e), 0.1, 0.28),
    ]:
        assert shift_at(distance, threshold) == pytest.approx(shift, abs=0.01)
    values = grid[::20]
    weights = density[::20]
    found = wasserstein(
        values, values + 0.1, ref_weights=weights, live_weights=weights, standardize=True
    )
    assert found == pytest.approx(0.1, abs=1e-3)


def test_empty_cells_do_not_decide():
    # One live value more or less in a cell that the reference never filled.
    ref, live = [500, 500, 0], [50, 49, 1]
    assert psi(ref, live).value < 0.1
    fills = [1e-2, 1e-6]
    naive = []
    for fill in fills:
        p, q = (np.maximum(np.array(x) / sum(x), fill) for x in (ref, live))
        naive.append(((p - q) * np.log(p / q)).sum())
    assert naive[1] > naive[0] + 0.05
    # A cell that is empty in both changes nothing.
    assert psi([*ref, 0, 0], [*live, 0, 0]) == psi(ref, live)


def test_outlier_does_not_blind_the_index():
    rng = np.random.default_rng(4)
    ref, live = rng.normal(size=20_000), rng.normal(1, size=20_000)
    live[0] = 1e6
    edges = np.r_[-np.inf, np.quantile(ref, np.arange(1, 10) / 10), np.inf]
    by_quantiles = psi(np.histogram(ref, edges)[0], np.histogram(live, edges)[0])
    assert 0.8 < by_quantiles.value < 1.1
    even = np.linspace(min(ref.min(), live.min()), 1e6, 11)
    by_width = psi(np.histogram(ref, even)[0], np.histogram(live, even)[0])
    assert by_width.value < 0.01


@settings(max_examples=100, deadline=None)
@given(pair=histograms, base=st.sampled_from([2, math.e, 10]))
def test_js_against_scipy(pair, base):
    p, q = pair
    found = js_distance(p, q, base=base)
    assert found == pytest.approx(float(jensenshannon(p, q, base)), abs=1e-7)
    assert found == js_distance(q, p, base=base)
    assert 0 <= found <= math.sqrt(math.log(2, base)) * (1 + 1e-12)
    assert js_distance(np.array(p) * 7, q, base=base) == pytest.approx(found, abs=1e-7)
    assert js_distance(p, p) == 0


def test_js_null_law():
    rng = np.random.default_rng(5)
    n, m = 5_000, 1_000
    squares = [
        js_distance(rng.multinomial(n, tenths()), rng.multinomial(m, tenths())) ** 2
        for _ in range(1_000)
    ]
    scaled = np.array(squares) * 8 * math.log(2) / (1 / n + 1 / m)
    assert stats.kstest(scaled, stats.chi2(9).cdf).pvalue > 1e-3


@settings(max_examples=100, deadline=None)
@given(ref=samples, live=samples)
def test_wasserstein_against_quantiles(ref, live):
    # Both samples repeated to one length: the mean distance of their order statistics.
    one, two = np.sort(np.repeat(ref, len(live))), np.sort(np.repeat(live, len(ref)))
    expected = np.abs(one - two).mean()
    assert wasserstein(ref, live) == pytest.approx(expected, abs=1e-9)
    values, counts = np.unique(ref, return_counts=True)
    other, other_counts = np.unique(live, return_counts=True)
    weighted = wasserstein(values, other, ref_weights=counts, live_weights=other_counts)
    assert weighted == pytest.approx(expected, abs=1e-9)
    if len(set(ref)) > 1:
        units = wasserstein(ref, live, standardize=True)
        assert units == pytest.approx(expected / np.std(ref), abs=1e-9)


def test_wasserstein_follows_outliers():
    ref = np.zeros(20_000)
    live = ref.copy()
    live[0] = 1e6
    assert wasserstein(ref, live) == pytest.approx(50)


def exact_ks(ref, live):
    """Deal the pooled values in all ways, and count those with a distance as large."""
    pooled = np.array([*ref, *live])
    values = np.unique(pooled)

    def gap(chosen):
        inside = np.isin(np.arange(pooled.size), chosen)
        below = pooled[:, None] <= values
        return np.abs(below[inside].mean(axis=0) - below[~inside].mean(axis=0)).max()

    seen = gap(range(len(ref)))
    deals = [gap(chosen) for chosen in combinations(range(pooled.size), len(ref))]
    return seen, np.mean(np.array(deals) >= seen - 1e-12)


@settings(max_examples=25, deadline=None)
@given(
    ref=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    live=st.lists(st.integers(0, 6), min_size=1, max_size=5),
)
def test_ks_against_all_deals(ref, live):
    found = ks(ref, live)
    statistic, p_value = exact_ks(ref, live)
    assert found.exact
    assert found.statistic == pytest.approx(statistic, abs=1e-12)
    assert found.p_value == pytest.approx(p_value, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(40, 50), (300, 20), (100, 100)])
def test_ks_without_ties_against_scipy(n, m):
    rng = np.random.default_rng(6)
    for shift in (0, 0.3, 1.5):
        ref, live = rng.normal(size=n), rng.normal(shift, size=m)
        peer = stats.ks_2samp(ref, live, method="exact")
        found = ks(ref, live)
        assert found.statistic == pytest.approx(peer.statistic, rel=1e-12)
        assert found.p_value == pytest.approx(peer.pvalue, rel=1e-6)
        below = [(sample <= found.location).mean() for sample in (ref, live)]
        assert abs(below[0] - below[1]) == pytest.approx(peer.statistic, rel=1e-12)
    far = ks(np.arange(200), 1_000 + np.arange(200))
    assert far.p_value == pytest.approx(2 / math.comb(400, 200), rel=1e-9)


def test_ks_with_ties_is_sharper_than_the_limit_law():
    rng = np.random.default_rng(7)
    exact, limit = [], []
    for _ in range(500):
        ref, live = rng.integers(0, 3, 60), rng.integers(0, 3, 60)
        exact.append(ks(ref, live).p_value)
        limit.append(stats.ks_2samp(ref, live, method="asymp").pvalue)
    assert 0.02 < np.mean(np.array(exact) < 0.05) < 0.075
    assert np.mean(np.array(limit) < 0.05) < 0.02


def test_ks_of_large_samples():
    rng = np.random.default_rng(8)
    found = ks(rng.normal(size=50_000), rng.normal(0.1, size=2_000))
    assert not found.exact
    limit = stats.kstwobign.sf(found.statistic * math.sqrt(50_000 * 2_000 / 52_000))
    assert found.p_value == pytest.approx(limit)
    # On both sides of where the exact law stops, the two agree.
    ref, live = rng.normal(size=5_000), rng.normal(0.08, size=1_500)
    near = ks(ref, live)
    assert near.exact
    limit = stats.kstwobign.sf(near.statistic * math.sqrt(5_000 * 1_500 / 6_500))
    assert near.p_value == pytest.approx(limit, rel=0.15)


def test_ks_of_infinite_values():
    found = ks([-math.inf, 1, 2], [1, 2, math.inf])
    assert found.statistic == pytest.approx(1 / 3)
    assert found.location == -math.inf


def test_results_are_tables():
    result = psi([10, 20], [20, 10])
    assert result.to_dict()["n_cells"] == 2
    assert "critical" in result.to_frame().index
    assert ks([1, 2], [2, 3]).to_dict()["exact"] is True


def test_all_in_one_cell():
    result = psi([7, 0], [9, 0])
    assert (result.value, result.p_value, result.n_cells) == (0, 1, 1)
    assert ks([3, 3], [3]).p_value == 1
    assert js_distance([0, 2], [0, 5]) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: psi([0, 0], [1, 2]).value, "ref_counts is 0 everywhere"),
        (lambda: psi([1, 2], [0, 0]).critical, "live_counts is 0 everywhere"),
        (lambda: js_distance([0, 0], [1, 1]), "p is 0 everywhere"),
        (lambda: js_distance([1, 1], [0, 0]), "q is 0 everywhere"),
        (lambda: wasserstein([], [1]), "ref is empty"),
        (lambda: wasserstein([1], []), "live is empty"),
        (lambda: wasserstein([2, 2], [1], standardize=True), "ref does not vary"),
        (lambda: ks([1], []).p_value, "live is empty"),
        (lambda: ks([], [1]).statistic, "ref is empty"),
    ],
)
def test_undefined(call, message):
    with pytest.warns(UndefinedMetricWarning, match=message):
        assert math.isnan(call())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: psi([1, 2], [1, 2, 3]), ValueError, r"one length; got shapes \(2,\) and \(3,\)"),
        (lambda: psi([[1, 2]], [[1, 2]]), ValueError, "must be one-dimensional"),
        (lambda: psi([1], [1]), ValueError, "at least 2 cells; got 1"),
        (
            lambda: psi([1, -1], [1, 1]),
            ValueError,
            "ref_counts must be finite and not negative.*-1",
        ),
        (lambda: psi([1, 1], [1, math.nan]), ValueError, "live_counts must be finite"),
        (lambda: psi(["a", "b"], [1, 1]), TypeError, "ref_counts must hold counts"),
        (lambda: psi([1, 1], [1, 1], alpha=0), ValueError, "alpha must lie strictly between"),
        (lambda: psi([1, 1], [1, 1], level=1), ValueError, "level must lie strictly between"),
        (lambda: js_distance([1, 1], [1, 1], base=1), ValueError, "base must be above 1; got 1.0"),
        (lambda: js_distance([1, 1], [1, 1], base="e"), TypeError, "base must be a number"),
        (lambda: js_distance([1, math.inf], [1, 1]), ValueError, "p must be finite"),
        (
            lambda: wasserstein([1, math.inf], [1]),
            ValueError,
            "ref must be finite.*inf at position 1",
        ),
        (lambda: wasserstein([1], [math.nan]), ValueError, "live holds 1 NaN"),
        (lambda: wasserstein([1], [1], ref_weights=[1, 2]), ValueError, "ref_weights has 2"),
        (
            lambda: wasserstein([1], [1], live_weights=[-1]),
            ValueError,
            "live_weights must be finite",
        ),
        (lambda: wasserstein(["a"], [1]), TypeError, "ref must be numeric"),
        (lambda: ks([1, math.nan], [1]), ValueError, "ref holds 1 NaN"),
        (lambda: ks([1], "abc"), TypeError, "live must be array-like"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
