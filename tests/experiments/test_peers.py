"""Experiments against SciPy, statsmodels, and what tea-tasting said of the same small samples.

`benchmarks/_experiment_peers.py --record` wrote its answers, with the samples and the versions.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower, TTestIndPower
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from mlsd.experiments import (
    Moments,
    RatioMoments,
    benjamini_hochberg,
    compare_means,
    compare_ratios,
    holm,
    interleaving_test,
    minimum_detectable_effect,
    power,
    sample_ratio_test,
    sample_size,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-12}
PEER = json.loads(Path(__file__).with_name("peer_values.json").read_text(encoding="utf-8"))
CASES = {case["name"]: {k: np.array(v) for k, v in case["data"].items()} for case in PEER["cases"]}
TOLD = [
    pytest.param(case["name"], answer, id=f"{case['name']} {answer['task']} {answer['settings']}")
    for case in PEER["cases"]
    for answer in case["answers"]
]
SIDES = {"two-sided": "two-sided", "greater": "larger", "less": "smaller"}


def arms(name: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    data = CASES[name]
    return data[column][data["arm"] == 0], data[column][data["arm"] == 1]


def ours(name: str, task: str, **options):
    """Return our comparison for a task that tea-tasting was asked."""
    data = CASES[name]
    if task in ("means", "CUPED"):
        covariate = arms(name, "before") if task == "CUPED" else None
        return compare_means(*arms(name, "spend"), covariate=covariate, **options)
    before = (data["clicks_before"], data["views_before"]) if "CUPED" in task else None
    return compare_ratios(
        data["clicks"], data["views"], data["arm"], control=0, covariate=before, **options
    )


def units(name: str, task: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, an arm, what a unit adds to the value and to its covariate, linearised if a ratio."""
    if task in ("means", "CUPED"):
        return list(zip(arms(name, "spend"), arms(name, "before"), strict=True))
    found = []
    for arm in (0, 1):
        pair = []
        for when in ("", "_before"):
            y, x = (arms(name, column + when)[arm] for column in ("clicks", "views"))
            ratio = y.sum() / x.sum()
            pair.append(ratio + (y - ratio * x) / x.mean())
        found.append((pair[0], pair[1]))
    return found


# Welch


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("alternative", SIDES)
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_welch_is_scipys(name, alternative, level):
    control, treatment = arms(name, "spend")
    found = compare_means(control, treatment, alternative=alternative, level=level)
    told = stats.ttest_ind(treatment, control, equal_var=False, alternative=alternative)
    ends = told.confidence_interval(level)
    assert_allclose(
        [found.p_value, found.df, found.lower, found.upper],
        [told.pvalue, told.df, ends.low, ends.high],
        **CLOSE,
    )
    assert_allclose(found.difference / found.stderr, told.statistic, **CLOSE)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("alternative", "margin"), [("greater", 0.4), ("less", 0.4)])
def test_a_margin_is_the_value_that_statsmodels_tests(name, alternative, margin):
    control, treatment = arms(name, "spend")
    found = compare_means(control, treatment, alternative=alternative, margin=margin)
    peer = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))
    value = -margin if alternative == "greater" else margin
    told = peer.ttest_ind(alternative=SIDES[alternative], usevar="unequal", value=value)
    assert_allclose(found.p_value, told[1], **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_the_slope_is_that_of_weighted_least_squares(name):
    """Arms as dummies, and weights that make every arm count by its share of the variance."""
    data = CASES[name]
    n = np.bincount(data["arm"])
    weights = (1 / (n * (n - 1.0)))[data["arm"]]
    design = np.column_stack([np.ones(data["arm"].size), data["arm"], data["before"]])
    told = sm.WLS(data["spend"], design, weights=weights).fit()
    found = ours(name, "CUPED")
    assert_allclose([found.difference, found.theta], told.params[1:], **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_the_error_of_a_ratio_is_the_cluster_robust_one(name):
    """One row a view, users as clusters; the factor n / (n - 1) is taken in each arm."""
    for arm in (0, 1):
        clicks, views = arms(name, "clicks")[arm], arms(name, "views")[arm]
        user = np.repeat(np.arange(views.size), views)
        # The first views of a user are the clicked ones; their order does not matter.
        first = np.concatenate([[0], np.cumsum(views)[:-1]])
        clicked = (np.arange(user.size) - first[user] < clicks[user]).astype(float)
        fit = sm.OLS(clicked, np.ones((user.size, 1))).fit(
            cov_type="cluster", cov_kwds={"groups": user, "use_correction": False}
        )
        found = ours(name, "ratios")
        value = found.treatment if arm else found.control
        stderr = found.treatment_stderr if arm else found.control_stderr
        n = views.size
        assert_allclose(
            [value, stderr], [fit.params[0], fit.bse[0] * np.sqrt(n / (n - 1))], **CLOSE
        )


# tea-tasting


@pytest.mark.parametrize(("name", "answer"), TOLD)
def test_tea_tasting_says_the_same(name, answer):
    """With one difference: its slope pools the arms, ours makes the variance least."""
    settings, told = dict(answer["settings"]), answer["told"]
    use_t = settings.pop("use_t", True)
    level = settings.pop("confidence_level", 0.95)
    alternative = settings.pop("alternative", "two-sided")
    assert not settings
    found = ours(name, answer["task"], level=level, alternative=alternative)
    (control, x_control), (treatment, x_treatment) = units(name, answer["task"])
    theta = told["theta"]
    if "CUPED" not in answer["task"]:
        assert theta == 0
        assert found.theta == 0
        assert_allclose(
            [found.control, found.treatment], [told["control"], told["treatment"]], **CLOSE
        )
    # Its arithmetic with its slope: what is left between us is the slope.
    y, x = control - theta * x_control, treatment - theta * x_treatment
    welch = stats.ttest_ind(x, y, equal_var=False, alternative=alternative)
    assert_allclose(
        [welch.statistic, x.mean() - y.mean()], [told["statistic"], told["effect_size"]], **CLOSE
    )
    same = compare_means(y, x, level=level, alternative=alternative)
    assert_allclose(same.difference / same.stderr, told["statistic"], **CLOSE)
    if use_t:
        assert_allclose(same.p_value, told["pvalue"], **CLOSE)
        for end in ("lower", "upper"):
            value = told.get(f"effect_size_ci_{end}")
            if value is None:
                assert np.isinf(getattr(same, end))
            else:
                assert_allclose(getattr(same, end), value, **CLOSE)
    if "CUPED" in answer["task"]:
        assert found.stderr <= same.stderr * (1 + 1e-12)
        assert found.theta != pytest.approx(theta, rel=1e-6)
    else:
        assert_allclose(found.stderr, same.stderr, **CLOSE)
        assert_allclose(found.lift, told["rel_effect_size"], **CLOSE)
        assert_allclose(found.p_value, same.p_value, **CLOSE)
        assert_allclose([found.lower, found.upper], [same.lower, same.upper], **CLOSE)


@pytest.mark.parametrize("case", PEER["sample_ratio"], ids=str)
def test_sample_ratios_are_tea_tastings_and_scipys(case):
    counts, ratio = case["counts"], case["ratio"]
    shares = [1 / (1 + ratio), ratio / (1 + ratio)]
    p_value = sample_ratio_test(counts, shares).p_value
    total = sum(counts)
    exact = stats.binomtest(counts[1], total, shares[1]).pvalue
    chi2 = stats.chisquare(counts, np.array(shares) * total).pvalue
    assert_allclose(case["p_value"], exact if case["method"] == "binom" else chi2, **CLOSE)
    nearest = exact if abs(p_value - exact) < abs(p_value - chi2) else chi2
    assert_allclose(p_value, nearest, **CLOSE)


@pytest.mark.parametrize("case", PEER["sample_size"], ids=str)
def test_sizes_are_tea_tastings(case):
    found = sample_size(
        case["baseline"],
        case["relative"],
        power=case["power"],
        variance=case["variance"],
        ratio=case["ratio"],
        alternative=case["alternative"],
    )
    # Each arm is rounded up here, both together there.
    assert abs(found.total - case["n_both"]) <= 1 + case["ratio"]


# Sizes


@pytest.mark.parametrize("effect", [0.15, 0.5, 1.2])
def test_power_is_that_of_statsmodels_t(effect):
    """Its degrees of freedom are pooled, which is Welch's in arms of one size and one spread."""
    peer = TTestIndPower()
    told = peer.power(effect, 50, 0.05)
    wrong_side = peer.power(effect, 50, 0.025, alternative="smaller")
    found = power(50, 10.0, 3 * effect, relative=False, variance=9.0)
    assert_allclose(found, told - wrong_side, rtol=1e-8)


@pytest.mark.parametrize("effect", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("ratio", [0.3, 4.0])
def test_power_is_that_of_statsmodels_z(effect, ratio):
    peer = NormalIndPower()
    told = peer.power(effect, 40_000, 0.05, ratio=ratio)
    wrong_side = peer.power(effect, 40_000, 0.025, ratio=ratio, alternative="smaller")
    found = power(40_000, 10.0, 3 * effect, relative=False, variance=9.0, ratio=ratio)
    assert_allclose(found, told - wrong_side, rtol=1e-8)


def test_statsmodels_finds_the_least_effect_with_that_power():
    options = {"variance": 9.0, "relative": False, "alternative": "greater"}
    found = minimum_detectable_effect(200, 10.0, power=0.9, **options)
    told = TTestIndPower().power(found / 3, 200, 0.05, alternative="larger")
    assert_allclose(told, 0.9, rtol=1e-8)
    assert sample_size(10.0, found, power=0.9, **options).control in (200, 201)


# Many metrics


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_p_values_are_statsmodels(seed):
    p = np.random.default_rng(seed).beta(0.4, 2.0, 30)
    p[:3] = p[3]  # ties
    assert_allclose(holm(p), multipletests(p, method="holm")[1], **CLOSE)
    assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1], **CLOSE)
    assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p), **CLOSE)


# Interleaving


@pytest.mark.parametrize("seed", range(5))
def test_the_preference_is_scipys(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.poisson(1.0, 60), rng.poisson(1.3, 60)
    found = interleaving_test(a, b, level=0.9)
    wins, losses = int((b > a).sum()), int((a > b).sum())
    sign = stats.binomtest(wins, wins + losses)
    ends = sign.proportion_ci(0.9, method="exact")
    assert_allclose(
        [found.p_value, found.lower, found.upper], [sign.pvalue, ends.low, ends.high], **CLOSE
    )
    size = stats.ttest_1samp(b - a, 0.0)
    ends = size.confidence_interval(0.9)
    assert_allclose(
        [found.difference_p_value, found.difference_lower, found.difference_upper],
        [size.pvalue, ends.low, ends.high],
        **CLOSE,
    )


# Aggregates


@pytest.mark.parametrize("name", CASES)
def test_moments_are_numpys(name):
    data = CASES[name]
    columns = [data[c] for c in ("clicks", "views", "clicks_before", "views_before")]
    found = RatioMoments.of(*columns[:2], covariate=tuple(columns[2:]))
    assert_allclose(found.cov, np.cov(columns), **CLOSE)
    assert_allclose(found.mean, np.mean(columns, axis=1), **CLOSE)
    pair = Moments.of(data["spend"], data["before"])
    cov = np.cov(data["spend"], data["before"])
    assert_allclose(
        [pair.var, pair.covariance, pair.covariate_var], cov[np.triu_indices(2)], **CLOSE
    )
