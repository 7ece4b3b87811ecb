"""Clusters: against statsmodels, by hand, all relabellings, and simulated experiments."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from mlsd._clusters import ratio_of_sums
from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.clusters import (
    FewClustersWarning,
    _statistics,
    compare_clusters,
    design_effect,
)
from mlsd.experiments.comparison import compare_ratios

seeds = st.integers(0, 2**32 - 1)


def rows_of(rng, sizes, icc, mean=0.0):
    """Values with variance 1, of which the share `icc` lies between clusters."""
    cluster = np.repeat(np.arange(len(sizes)), sizes)
    between = rng.normal(scale=np.sqrt(icc), size=len(sizes))
    noise = rng.normal(scale=np.sqrt(1 - icc), size=cluster.size)
    return mean + between[cluster] + noise, cluster


def by_hand(values, cluster):
    """Analysis of variance with plain loops."""
    groups = [values[cluster == g] for g in np.unique(cluster)]
    n, g = values.size, len(groups)
    grand = values.mean()
    between = sum(len(x) * (x.mean() - grand) ** 2 for x in groups) / (g - 1)
    within = sum(((x - x.mean()) ** 2).sum() for x in groups) / (n - g)
    size = (n - sum(len(x) ** 2 for x in groups) / n) / (g - 1)
    of_row = sum(len(x) ** 2 for x in groups) / n
    icc = (between - within) / (between + (size - 1) * within)
    return icc, 1 + (of_row - 1) * max(icc, 0), between / within


@settings(deadline=None)
@given(seeds, st.floats(0, 0.9), st.sampled_from([0.0, 1e6]))
def test_design_effect_by_hand_and_by_the_f_of_scipy(seed, icc, mean):
    rng = np.random.default_rng(seed)
    values, cluster = rows_of(rng, rng.integers(1, 9, 12), icc, mean)
    if values.size == 12:
        return
    found = design_effect(values, cluster)
    expected, effect, ratio = by_hand(values, cluster)
    assert found.icc == pytest.approx(expected, abs=1e-7)
    assert found.design_effect == pytest.approx(effect, rel=1e-6)
    assert found.effective_n == pytest.approx(values.size / effect, rel=1e-6)
    assert stats.f_oneway(*(values[cluster == g] for g in range(12))).statistic == pytest.approx(
        ratio, rel=1e-5
    )
    assert found.icc_lower <= found.icc <= found.icc_upper <= 1
    shuffled = rng.permutation(values.size)
    again = design_effect(
        values[shuffled] * -3 + 1, np.array(list("abcdefghijkl"))[cluster][shuffled]
    )
    assert again.icc == pytest.approx(found.icc, abs=1e-6)


def test_icc_of_equal_clusters_is_that_of_the_mixed_model():
    """With clusters of one size, REML and the analysis of variance are the same estimate."""
    values, cluster = rows_of(np.random.default_rng(1), [15] * 40, 0.2)
    fit = MixedLM(values, np.ones((values.size, 1)), groups=cluster).fit(reml=True)
    between = float(np.asarray(fit.cov_re).item())
    assert design_effect(values, cluster).icc == pytest.approx(
        between / (between + fit.scale), abs=1e-4
    )


def test_icc_is_unbiased_and_its_interval_covers():
    rng = np.random.default_rng(2)
    found = [design_effect(*rows_of(rng, [6] * 30, 0.15)) for _ in range(1000)]
    iccs = np.array([one.icc for one in found])
    assert abs(iccs.mean() - 0.15) < 4 * iccs.std() / np.sqrt(1000) + 0.003  # bias of a ratio
    covered = np.mean([one.icc_lower <= 0.15 <= one.icc_upper for one in found])
    assert stats.binomtest(round(1000 * covered), 1000, 0.95).pvalue > 0.001
    # With clusters of many sizes it is an approximation, and the estimate is still right.
    sizes = np.r_[np.ones(10, dtype=int), np.full(10, 4), np.full(10, 20)]
    iccs = np.array([design_effect(*rows_of(rng, sizes, 0.15)).icc for _ in range(1000)])
    assert abs(iccs.mean() - 0.15) < 4 * iccs.std() / np.sqrt(1000) + 0.005


def test_design_effect_is_the_variance_of_the_mean():
    """What it promises: Var(mean of rows) over that of independent rows, sizes unequal."""
    rng = np.random.default_rng(3)
    sizes = np.r_[np.full(20, 2), np.full(5, 30)]
    means, effects = [], []
    for _ in range(2000):
        values, cluster = rows_of(rng, sizes, 0.1)
        means.append(values.mean())
        effects.append(design_effect(values, cluster).design_effect)
    truth = np.var(means) * sizes.sum()
    assert np.mean(effects) == pytest.approx(truth, rel=0.12)  # 4 standard errors of a variance
    assert 1 + 0.1 * ((sizes**2).sum() / sizes.sum() - 1) == pytest.approx(truth, rel=0.12)


def test_rows_without_a_cluster_are_counted():
    found = design_effect([1, 2, 9, 4, 5, 1], ["x", "x", None, "y", "y", "x"])
    assert found.to_dict() == {
        **design_effect([1, 2, 4, 5, 1], list("xxyyx")).to_dict(),
        "n_dropped": 1,
    }
    assert (found.n_rows, found.n_clusters, found.mean_size) == (5, 2, 2.5)


@pytest.mark.parametrize(
    ("values", "cluster", "why"),
    [
        ([1, 2], [0, 0], "1 clusters in 1 arms: their spread is undefined"),
        ([1, 2], [0, 1], "each of 2 clusters has one row"),
        ([3, 3, 3], [0, 1, 1], "all values are equal"),
    ],
)
def test_undefined(values, cluster, why):
    with pytest.warns(UndefinedMetricWarning, match=why):
        found = design_effect(values, cluster)
    assert np.isnan([found.icc, found.icc_lower, found.design_effect, found.effective_n]).all()


# Comparison ---------------------------------------------------------------------------------------


def experiment(rng, n_clusters, n_treated, *, icc=0.1, effect=0.0, sizes=(2, 30)):
    """Rows of clusters of many sizes, shuffled into arms; values have mean 3."""
    values, cluster = rows_of(rng, rng.integers(*sizes, n_clusters), icc, 3.0)
    treated = rng.permutation(n_clusters) < n_treated
    arm = np.where(treated[cluster], "treatment", "control")
    return values + effect * treated[cluster], cluster, arm


@pytest.mark.parametrize("ratio", [False, True])
def test_error_is_the_cluster_robust_one_of_statsmodels(ratio):
    rng = np.random.default_rng(4)
    values, cluster, arm = experiment(rng, 40, 20)
    below = rng.integers(1, 5, values.size) if ratio else np.ones(values.size, dtype=int)
    found = compare_clusters(values, cluster, arm, denominator=below if ratio else None)
    comparison = found.comparison
    design = np.column_stack((np.ones(values.size), arm == "treatment")).astype(float)
    fit = sm.WLS(values / below, design, weights=below)
    fit = fit.fit(cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": False})
    assert comparison.difference == pytest.approx(fit.params[1])
    # HC0 of clusters, and the n/(n-1) of each of two arms of 20.
    assert comparison.stderr == pytest.approx(fit.bse[1] * np.sqrt(20 / 19))
    assert comparison.df <= 38 + 1e-9
    assert (comparison.n_control, comparison.n_treatment) == (20, 20)


def test_it_is_compare_ratios_over_the_sums_of_clusters():
    rng = np.random.default_rng(5)
    values, cluster, arm = experiment(rng, 30, 12)
    frame = pd.DataFrame({"y": values, "n": 1, "g": cluster, "arm": arm})
    sums = frame.groupby(["g", "arm"], as_index=False).sum()
    options = {"control": "treatment", "alternative": "less", "margin": 0.1, "level": 0.9}
    expected = compare_ratios(sums["y"], sums["n"], sums["arm"], **options)
    found = compare_clusters(values, [f"c{g}" for g in cluster], arm, **options)
    for key, value in expected.to_dict().items():
        assert found.comparison.to_dict()[key] == pytest.approx(value), key
    relative = compare_clusters(values, cluster, arm, relative=True).comparison
    assert relative.relative is True


def test_the_design_is_that_within_arms():
    rng = np.random.default_rng(6)
    values, cluster, arm = experiment(rng, 60, 30, icc=0.2)
    plain = compare_clusters(values, cluster, arm).design
    shifted = compare_clusters(values + 5 * (arm == "treatment"), cluster, arm).design
    assert shifted.icc == pytest.approx(plain.icc, abs=1e-9)
    assert design_effect(values + 5 * (arm == "treatment"), cluster).icc > 0.5  # the arms left in
    fit = MixedLM(values, sm.add_constant((arm == "treatment") * 1.0), groups=cluster).fit()
    between = float(np.asarray(fit.cov_re).item())
    # REML weighs clusters of many sizes otherwise; both estimate one thing.
    assert plain.icc == pytest.approx(between / (between + fit.scale), abs=0.03)
    ratio = compare_clusters(values, cluster, arm, denominator=np.ones(values.size))
    assert ratio.design is None
    assert np.isnan(ratio.to_frame().loc["icc", "value"])


def t_of(values, cluster, treated):
    """Return the t statistic of one labelling, by compare_ratios."""
    clusters = np.unique(cluster)
    sums = np.array([values[cluster == g].sum() for g in clusters])
    sizes = np.array([(cluster == g).sum() for g in clusters])
    found = compare_ratios(sums, sizes, np.where(treated, "b", "a"))
    return found.difference / found.stderr


def test_all_relabellings_are_taken_when_they_are_few():
    rng = np.random.default_rng(7)
    values, cluster, arm = experiment(rng, 7, 3, effect=0.6, sizes=(2, 6))
    found = compare_clusters(values, cluster, arm, n_permutations=35)
    assert (found.n_permutations, found.exact) == (35, True)
    treated = np.array([arm[cluster == g][0] == "treatment" for g in range(7)])
    observed = abs(t_of(values, cluster, treated))
    statistics = [
        abs(t_of(values, cluster, np.isin(np.arange(7), chosen)))
        for chosen in itertools.combinations(range(7), 3)
    ]
    assert found.permutation_p_value == np.mean(np.array(statistics) >= observed * (1 - 1e-9))
    # One fewer is too few: as many at random.
    drawn = compare_clusters(values, cluster, arm, n_permutations=34, random_state=0)
    assert (drawn.n_permutations, drawn.exact) == (34, False)


@pytest.mark.parametrize("n_treated", [1, 2, 5])
def test_the_statistic_of_relabellings_is_t(n_treated):
    """Also where arms differ in size; an arm of one cluster adds no spread of its own."""
    rng = np.random.default_rng(12)
    top, size = rng.normal(3, 2, 9), rng.integers(1, 9, 9).astype(float)
    masks = np.array([rng.permutation(9) < n_treated for _ in range(8)])
    table = np.column_stack((np.ones(9), top, size, top * top, top * size, size * size))
    for mask, found in zip(masks, _statistics(masks.astype(float), table), strict=True):
        parts = [ratio_of_sums(top[rows], size[rows]) for rows in (mask, ~mask)]
        variance = sum(part.stderr**2 for part in parts if part.n_units > 1)
        expected = (parts[0].value - parts[1].value) / np.sqrt(variance)
        assert found == pytest.approx(expected)


def test_a_p_value_of_random_relabellings_is_never_0():
    rng = np.random.default_rng(13)
    values, cluster, arm = experiment(rng, 60, 30, effect=9.0)
    found = compare_clusters(values, cluster, arm, n_permutations=49, random_state=0)
    assert found.permutation_p_value == 1 / 50


def test_random_relabellings_agree_with_all(monkeypatch):
    monkeypatch.setattr("mlsd.experiments.clusters._CHUNK", 1000)
    rng = np.random.default_rng(8)
    values, cluster, arm = experiment(rng, 12, 6, effect=0.4)
    all_of_them = compare_clusters(values + 1e8, cluster, arm, n_permutations=924)
    drawn = compare_clusters(values, cluster, arm, n_permutations=900, random_state=1)
    assert all_of_them.exact
    assert not drawn.exact
    p = all_of_them.permutation_p_value
    assert abs(drawn.permutation_p_value - p) < 4 * np.sqrt(p * (1 - p) / 900) + 1 / 900
    again = compare_clusters(values, cluster, arm, n_permutations=900, random_state=1)
    assert again.permutation_p_value == drawn.permutation_p_value


def false_alarms(rng, n, n_clusters, n_treated, **options):
    """Return the share of experiments without an effect with p < 0.05: t, permutations, rows."""
    hits = np.zeros(3)
    for _ in range(n):
        values, cluster, arm = experiment(rng, n_clusters, n_treated, **options)
        found = compare_clusters(values, cluster, arm, n_permutations=99, random_state=rng)
        by_row = stats.ttest_ind(values[arm == "treatment"], values[arm == "control"])
        p_values = [found.comparison.p_value, found.permutation_p_value, by_row.pvalue]
        hits += np.array(p_values) <= 0.05
    return hits / n


def test_false_alarms_stay_at_alpha():
    rng = np.random.default_rng(9)
    by_t, by_permutation, by_row = false_alarms(rng, 800, 40, 20)
    bound = 4 * np.sqrt(0.05 * 0.95 / 800)
    assert abs(by_t - 0.05) < bound
    assert abs(by_permutation - 0.05) < bound
    assert by_row > 0.15
    # Six clusters: t is a rough guide, and relabelling is exact (5 % of 20 is one of them).
    by_t, by_permutation, by_row = false_alarms(rng, 500, 6, 3, sizes=(1, 40))
    assert by_permutation <= 0.1 + 4 * np.sqrt(0.1 * 0.9 / 500)
    assert by_row > 0.15


def test_few_clusters_are_warned_of():
    rng = np.random.default_rng(10)
    with pytest.warns(FewClustersWarning, match="9 and 12 clusters: with fewer than 10 an arm"):
        compare_clusters(*experiment(rng, 21, 12))
    compare_clusters(*experiment(rng, 21, 12), n_permutations=10)
    compare_clusters(*experiment(rng, 20, 10))


def test_clusters_that_do_not_vary_differ_in_no_direction():
    cluster, arm = np.repeat(np.arange(6), 2), np.repeat(["a", "b"], 6)
    with pytest.warns(UndefinedMetricWarning, match="constant in both arms"):
        found = compare_clusters(np.ones(12), cluster, arm, n_permutations=20)
    assert np.isnan(found.comparison.p_value)
    assert found.permutation_p_value == 1.0


def test_frame_and_dropped():
    rng = np.random.default_rng(11)
    values, cluster, arm = experiment(rng, 24, 12)
    names = np.array([f"c{g}" for g in cluster], dtype=object)
    names[0] = None
    found = compare_clusters(values, names, arm)
    assert found.n_dropped == found.design.n_dropped == 1
    frame = found.to_frame()["value"]
    assert frame["difference"] == found.comparison.difference
    assert frame["icc"] == found.design.icc
    assert frame["n_dropped"] == 1


ARMS = ["a"] * 2 + ["b"] * 2


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: design_effect([1, 2], [1]), ValueError, "values has 2, cluster has 1"),
        (lambda: design_effect([1, np.nan], [1, 2]), ValueError, "values holds 1 NaN"),
        (lambda: design_effect([1, np.inf], [1, 2]), ValueError, "values must be finite; 1 of 2"),
        (lambda: design_effect([1], [None]), ValueError, "cluster leaves no row: 1 rows"),
        (lambda: design_effect([], []), ValueError, "cluster leaves no row: 0 rows"),
        (lambda: design_effect([1, 2], [1, 2], level=95), ValueError, "level must lie strictly"),
        (
            lambda: compare_clusters([1, 2, 3, 4], [5, 5, 6, 5], ARMS),
            ValueError,
            "cluster 5 is in more than one arm, as 1 of 2 are",
        ),
        (
            lambda: compare_clusters([1, 2, 3], [5, 6, 7], ["a", "b", "c"]),
            ValueError,
            r"arm must hold two arms.*\['a', 'b', 'c'\]",
        ),
        (lambda: compare_clusters([1, 2], [5, 6], ["a", "a"]), ValueError, "at least two arms"),
        (
            lambda: compare_clusters([1, 2], [5, None], ["a", "b"]),
            ValueError,
            "two arms, each with clusters",
        ),
        (
            lambda: compare_clusters([1, 2, 3, 4], [1, 2, 3, 4], ARMS, control="z"),
            ValueError,
            "control is 'z'",
        ),
        (
            lambda: compare_clusters([1, 2, 3, 4], [1, 2, 3, 4], ARMS, denominator=[1]),
            ValueError,
            "denominator has 1",
        ),
        (
            lambda: compare_clusters([1, 2, 3, 4], [1, 2, 3, 4], ARMS, n_permutations=-1),
            ValueError,
            "n_permutations must be at least 1; got -1",
        ),
        (
            lambda: compare_clusters([1, 2], [1, 2], ["a", None]),
            ValueError,
            "arm has 1 missing labels",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
