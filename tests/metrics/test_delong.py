"""Intervals of AUC: DeLong from its definition, the bootstrap from its draws, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._binary import roc_auc
from mlsd.metrics._delong import compare_roc_auc, roc_auc_ci


def make(n, seed, levels=None, rate=0.4, shift=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < rate
    labels[:4] = [True, True, False, False]
    scores = rng.normal(size=(2, n)) + shift * labels + 0.7 * rng.normal(size=n)
    return labels, np.round(scores * levels) if levels else scores


def delong(labels, scores):
    """DeLong's areas and their covariance, straight from the definition: all pairs, O(n²)."""
    positive, negative = scores[:, labels], scores[:, ~labels]
    wins = (positive[:, :, None] > negative[:, None, :]) + 0.5 * (
        positive[:, :, None] == negative[:, None, :]
    )
    covariance = np.cov(wins.mean(axis=2)) / positive.shape[1]
    covariance = covariance + np.cov(wins.mean(axis=1)) / negative.shape[1]
    return wins.mean(axis=(1, 2)), covariance


@pytest.mark.parametrize("levels", [None, 2, 0.5])
@pytest.mark.parametrize("n", [9, 150])
def test_delong_is_its_definition(n, levels):
    labels, scores = make(n, n, levels)
    areas, covariance = delong(labels, scores)
    for score, area, variance in zip(scores, areas, np.diag(covariance), strict=True):
        interval = roc_auc_ci(labels, score, level=0.9, transform=None)
        assert interval.auc == pytest.approx(area, abs=1e-14)
        assert interval.stderr == pytest.approx(math.sqrt(variance), rel=1e-12)
        half = norm.ppf(0.95) * math.sqrt(variance)
        assert interval.lower == pytest.approx(max(area - half, 0), abs=1e-13)
        assert interval.upper == pytest.approx(min(area + half, 1), abs=1e-13)
        logit = roc_auc_ci(labels, score, level=0.9)
        half /= area * (1 - area)
        centre = math.log(area / (1 - area))
        ends = [math.log(end / (1 - end)) for end in (logit.lower, logit.upper)]
        assert ends == pytest.approx([centre - half, centre + half], abs=1e-11)
    test = compare_roc_auc(labels, *scores, level=0.9)
    stderr = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert (test.auc_a, test.auc_b) == pytest.approx(areas, abs=1e-14)
    assert test.stderr == pytest.approx(stderr, rel=1e-12)
    assert test.z == pytest.approx((areas[0] - areas[1]) / stderr, rel=1e-11)
    assert test.p_value == pytest.approx(2 * norm.sf(abs(test.z)), rel=1e-11)
    assert test.upper - test.difference == pytest.approx(norm.ppf(0.95) * stderr, rel=1e-11)
    assert (test.n_positive, test.n_negative) == (labels.sum(), (~labels).sum())


@pytest.mark.parametrize("levels", [None, 1])
def test_the_bootstrap_is_the_area_of_the_rows_it_draws(levels):
    labels, (score, _) = make(60, 5, levels)
    got = roc_auc_ci(labels, score, method="bootstrap", n_resamples=50, random_state=3)
    rng = np.random.default_rng(3)
    positive, negative = np.sort(score[labels]), np.sort(score[~labels])
    areas = []
    for _ in range(50):
        drawn_negative = negative[rng.integers(0, negative.size, negative.size)]
        drawn_positive = positive[rng.integers(0, positive.size, positive.size)]
        drawn = np.concatenate((drawn_positive, drawn_negative))
        areas.append(roc_auc_score(np.arange(drawn.size) < drawn_positive.size, drawn))
    assert (got.lower, got.upper) == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=1e-13)
    assert got.stderr == pytest.approx(np.std(areas, ddof=1), rel=1e-11)
    assert (got.auc, got.method) == (roc_auc(labels, score), "bootstrap")


def test_the_two_methods_agree_on_a_large_sample():
    labels, (score, _) = make(4000, 1)
    theory = roc_auc_ci(labels, score)
    drawn = roc_auc_ci(labels, score, method="bootstrap", n_resamples=1000, random_state=0)
    assert drawn.stderr == pytest.approx(theory.stderr, rel=0.08)  # 2.2 % of noise at 1000
    assert (drawn.lower, drawn.upper) == pytest.approx(
        (theory.lower, theory.upper), abs=theory.stderr / 3
    )


@pytest.mark.parametrize(("shift", "n"), [(0.0, 40), (2.0, 40), (1.0, 300)])
def test_the_interval_covers_the_true_area(shift, n):
    true = norm.cdf(shift / math.sqrt(2 * (1 + 0.7**2)))
    covered = 0
    for seed in range(400):
        labels, (score, _) = make(n, 1000 + seed, shift=shift)
        interval = roc_auc_ci(labels, score)
        covered += interval.lower <= true <= interval.upper
    assert 0.92 <= covered / 400 <= 0.98  # 2.7 standard errors about .95


def test_a_test_of_two_scores_of_one_quality_keeps_its_level():
    p_values = []
    for seed in range(400):
        labels, scores = make(120, 3000 + seed)
        p_values.append(compare_roc_auc(labels, *scores).p_value)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.08
    assert 0.43 <= np.mean(np.array(p_values) < 0.5) <= 0.57


@pytest.mark.parametrize("sizes", [(2, 2), (10, 10), (3, 500)])
@pytest.mark.parametrize("method", ["delong", "bootstrap"])
def test_separated_classes_get_newcombes_interval(sizes, method):
    labels = np.repeat([True, False], sizes)
    interval = roc_auc_ci(labels, labels.astype(float), method=method, random_state=0)
    assert (interval.auc, interval.upper, interval.stderr) == (1.0, 1.0, 0.0)
    assert interval.method == "newcombe"
    area, (m, n) = interval.lower, sizes
    other = (m + n) / 2 - 1
    variance = area * (1 - area) / (m * n)
    variance *= 1 + other * ((1 - area) / (2 - area) + area / (1 + area))
    assert 1 - area == pytest.approx(norm.ppf(0.975) * math.sqrt(variance), rel=1e-9)
    mirror = roc_auc_ci(labels, -labels.astype(float), method=method, random_state=0)
    assert (mirror.auc, mirror.lower) == (0.0, 0.0)
    assert mirror.upper == pytest.approx(1 - interval.lower, abs=1e-15)


def test_a_constant_score_ties_every_pair():
    interval = roc_auc_ci([0, 1, 0, 1], [0.3] * 4)
    assert (interval.auc, interval.lower, interval.upper, interval.stderr) == (0.5, 0.5, 0.5, 0.0)


def test_swapping_the_scores_swaps_the_sign():
    labels, (first, second) = make(80, 2)
    forth, back = compare_roc_auc(labels, first, second), compare_roc_auc(labels, second, first)
    assert back.difference == -forth.difference
    assert (back.lower, back.upper) == pytest.approx((-forth.upper, -forth.lower), abs=1e-15)
    assert back.p_value == pytest.approx(forth.p_value, rel=1e-12)
    # A monotone map changes no pair: no difference at all, and no variance.
    same = compare_roc_auc(labels, first, np.exp(first))
    assert (same.difference, same.stderr, same.z, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    assert (same.lower, same.upper) == (0.0, 0.0)


def test_results_turn_into_tables():
    interval = roc_auc_ci(["b", "a", "b", "a"], [4, 1, 2, 3], pos_label="b")
    assert interval.to_dict()["n_positive"] == 2
    assert interval.to_frame().loc["auc", "value"] == 0.75


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 0, 0], [1, 1, 0]])
@pytest.mark.parametrize("method", ["delong", "bootstrap"])
def test_fewer_than_two_rows_of_a_class_give_no_interval(labels, method):
    with pytest.warns(UndefinedMetricWarning, match=f"{sum(labels)} positive") as caught:
        interval = roc_auc_ci(labels, [3, 2, 1], method=method)
    assert caught[0].filename == __file__
    assert math.isnan(interval.lower)
    assert math.isnan(interval.stderr)
    assert math.isnan(interval.auc) if not sum(labels) else interval.auc == 1.0
    with pytest.warns(UndefinedMetricWarning, match=f"{sum(labels)} positive") as caught:
        test = compare_roc_auc(labels, [3, 2, 1], [1, 2, 3])
    assert caught[0].filename == __file__
    assert math.isnan(test.p_value)
    assert math.isnan(test.difference) if not sum(labels) else test.difference == 1.0


def test_a_difference_without_variance_has_no_test():
    with pytest.warns(UndefinedMetricWarning, match="standard error of the difference is 0"):
        test = compare_roc_auc([1, 1, 0, 0], [4, 3, 2, 1], [1, 2, 3, 4])
    assert (test.difference, test.stderr) == (1.0, 0.0)
    assert math.isnan(test.p_value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "exact"}, "method must be one of"),
        ({"transform": "probit"}, "transform must be one of"),
        ({"level": 1.0}, "level must lie strictly between"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        roc_auc_ci([0, 1, 0, 1], [1, 2, 3, 4], **options)


def test_bad_scores_are_named():
    with pytest.raises(ValueError, match="score_b holds 1 NaN"):
        compare_roc_auc([0, 1], [1, 2], [1, math.nan])
    with pytest.raises(ValueError, match="y_true has 2, score_b has 3"):
        compare_roc_auc([0, 1], [1, 2], [1, 2, 3])
