"""Precision, recall and F1 with intervals, and thresholds from costs, against brute force."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._costs import cost_optimal_threshold
from mlsd.metrics._thresholds import max_f1_threshold, precision_recall_f1

GRID = [0.0, 0.125, 0.25, 0.5, 0.75, 1.0]


@st.composite
def samples(draw):
    n = draw(st.integers(1, 12))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    return labels, draw(st.lists(st.sampled_from(GRID), min_size=n, max_size=n))


def cells(labels, scores, threshold):
    pairs = [(bool(label), score >= threshold) for label, score in zip(labels, scores, strict=True)]
    return [pairs.count(cell) for cell in ((1, 1), (0, 1), (1, 0), (0, 0))]


@given(samples(), st.sampled_from([*GRID, -math.inf, math.inf, 0.3]))
def test_counts_and_shares_by_hand(sample, threshold):
    labels, scores = sample
    tp, fp, fn, tn = cells(labels, scores, threshold)
    got = precision_recall_f1(labels, scores, threshold=threshold, zero_division=1)
    assert (got.tp, got.fp, got.fn, got.tn) == (tp, fp, fn, tn)
    assert all(type(count) is int for count in (got.tp, got.fp, got.fn, got.tn))
    assert got.precision == (float(Fraction(tp, tp + fp)) if tp + fp else 1.0)
    assert got.recall == (float(Fraction(tp, tp + fn)) if tp + fn else 1.0)
    assert got.f1 == (float(Fraction(2 * tp, 2 * tp + fp + fn)) if tp + fp + fn else 1.0)
    for share, (lower, upper) in (
        (got.precision, got.precision_ci),
        (got.recall, got.recall_ci),
        (got.f1, got.f1_ci),
    ):
        assert math.isnan(lower) or 0 <= lower <= share <= upper <= 1
    assert math.isnan(got.precision_ci[0]) == (tp + fp == 0)


def test_the_interval_of_f1_is_that_of_the_jaccard_index():
    labels = [1] * 40 + [0] * 60
    scores = [0.9] * 30 + [0.1] * 10 + [0.9] * 5 + [0.1] * 55
    got = precision_recall_f1(labels, scores, level=0.9)
    lower, upper = proportion_confint(30, 45, alpha=0.1, method="wilson")
    assert got.f1_ci == pytest.approx((2 * lower / (1 + lower), 2 * upper / (1 + upper)), abs=1e-14)
    assert got.f1 == pytest.approx(2 * (30 / 45) / (1 + 30 / 45), abs=1e-15)


@pytest.mark.parametrize("rates", [(0.2, 0.1, 0.1), (0.02, 0.01, 0.05), (0.3, 0.001, 0.001)])
def test_intervals_cover(rates):
    rng = np.random.default_rng(0)
    true = 2 * rates[0] / (2 * rates[0] + rates[1] + rates[2])
    covered = 0
    for tp, fp, fn, tn in rng.multinomial(400, [*rates, 1 - sum(rates)], size=1000):
        labels = np.repeat([1, 0, 1, 0], [tp, fp, fn, tn])
        predicted = np.repeat([1, 1, 0, 0], [tp, fp, fn, tn])
        lower, upper = precision_recall_f1(labels, predicted).f1_ci
        covered += lower <= true <= upper
    assert 0.93 <= covered / 1000 <= 0.98


def test_weights_that_are_equal_change_no_interval():
    labels, scores = [1, 0, 1, 1, 0], [0.9, 0.8, 0.7, 0.2, 0.1]
    plain = precision_recall_f1(labels, scores)
    weighted = precision_recall_f1(labels, scores, sample_weight=[0.5] * 5)
    assert weighted.precision_ci == pytest.approx(plain.precision_ci, abs=1e-15)
    assert weighted.f1_ci == pytest.approx(plain.f1_ci, abs=1e-15)
    assert (weighted.tp, weighted.tn) == (1.0, 0.5)
    # Of two equal weights and one of next to none there are two rows' worth.
    uneven = precision_recall_f1(labels, scores, sample_weight=[1, 1e-9, 1, 1, 1])
    peer = proportion_confint(2, 2, method="wilson")
    assert uneven.precision_ci == pytest.approx(peer, abs=1e-8)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "pos_label", "scored"),
    [
        ([1, 0, 1], [True, False, False], None, False),
        (["a", "b", "a"], [True, False, False], "a", False),
        (["a", "b", "a"], ["a", "b", "b"], "a", False),
        ([2, 1, 2], [2, 1, 1], 2, False),
        ([True, False, True], [False, True, True], False, False),
        ([1, 0, 1], [1, 0, 0], None, True),
        ([1, -1, 1], [1, -1, -1], None, True),
        (["a", "b", "a"], [1, 0, 0], "a", True),
        (["a", "b", "a"], [0.9, 0.1, 0.2], "a", True),
        ([2, 1, 2], [0.5, 0.1, 0.2], 2, True),
    ],
)
def test_what_is_a_label_and_what_a_score(y_true, y_pred, pos_label, scored):
    got = precision_recall_f1(y_true, y_pred, pos_label=pos_label)
    counts = [got.tp, got.fp, got.fn, got.tn]
    assert sorted(counts) == [0, 1, 1, 1]
    assert got.fp == 0 or pos_label is False
    assert math.isnan(got.threshold) != scored


def test_a_threshold_is_not_rounded_to_the_scores():
    # As single precision .1 is above .1: were the threshold rounded too, .1 - 1e-9 would be equal.
    score = np.array([0.1], dtype=np.float32)
    assert precision_recall_f1([1], score, threshold=0.1).tp == 1
    assert precision_recall_f1([1], score, threshold=0.1 + 1e-10).tp == 1
    assert precision_recall_f1([1], score, threshold=0.1 + 2e-9, zero_division=0).tp == 0


def test_a_share_of_nothing():
    with pytest.warns(UndefinedMetricWarning, match="precision would be a share of nothing") as got:
        result = precision_recall_f1([1, 0], [0.1, 0.2])
    assert got[0].filename == __file__
    assert math.isnan(result.precision)
    assert (result.recall, result.f1) == (0.0, 0.0)
    with pytest.warns(UndefinedMetricWarning, match="precision and recall and f1"):
        assert math.isnan(precision_recall_f1([0, 0], [0.1, 0.2]).f1)
    for filler in (0, 1):
        result = precision_recall_f1([0, 0], [0.1, 0.2], zero_division=filler)
        assert (result.precision, result.recall, result.f1) == (filler, filler, filler)
        assert math.isnan(result.f1_ci[0])
    with pytest.raises(ValueError, match=r"recall would be .* 1 predicted positives, 0 positives"):
        precision_recall_f1([0, 0], [0.1, 0.9], zero_division="raise")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "y_true is empty"),
        (([1], [1, 0]), {}, "lengths differ"),
        (([1, 0], [0.1, math.nan]), {}, "y_pred holds 1 NaN"),
        (([1, 0], [0.1, 0.2]), {"threshold": math.nan}, "threshold must be a number"),
        (([1, 0], [0.1, 0.2]), {"zero_division": 0.5}, "zero_division must be one of"),
        (([1, 0], [0.1, 0.2]), {"level": 95}, "level must lie strictly between"),
        (([1, 0], [0.1, 0.2]), {"sample_weight": [1]}, "sample_weight has 1"),
    ],
)
def test_bad_input_is_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        precision_recall_f1(*arguments, **options)


@given(samples())
def test_the_best_f1_is_the_best_of_all_thresholds(sample):
    labels, scores = sample
    if not any(labels):
        with pytest.warns(UndefinedMetricWarning, match="no threshold has an F1") as caught:
            got = max_f1_threshold(labels, scores)
        assert caught[0].filename == __file__
        assert (got.threshold, math.isnan(got.f1)) == (math.inf, True)
        return
    got = max_f1_threshold(labels, scores)
    best = {}
    for threshold in sorted(set(scores)):
        tp, fp, fn, _ = cells(labels, scores, threshold)
        best[Fraction(2 * tp, 2 * tp + fp + fn)] = threshold  # of equals the highest stays
    assert (got.f1, got.threshold) == (float(max(best)), best[max(best)])
    assert got.tp + got.fp == sum(score >= got.threshold for score in scores)


@given(samples(), st.tuples(*[st.integers(0, 5)] * 2), st.tuples(*[st.integers(-3, 3)] * 2))
def test_the_cheapest_threshold_is_the_cheapest_of_all(sample, extra, right):
    labels, scores = sample
    if extra == (0, 0):
        return
    tp, tn = right
    costs = {"cost_fp": tn + extra[0], "cost_fn": tp + extra[1], "cost_tp": tp, "cost_tn": tn}
    per_cell = (tp, costs["cost_fp"], costs["cost_fn"], tn)

    def cost(threshold):
        counts = cells(labels, scores, threshold)
        return Fraction(sum(map(int.__mul__, counts, per_cell)), len(labels))

    thresholds = [*sorted(set(scores)), math.inf]
    least = min(cost(t) for t in thresholds)
    got = cost_optimal_threshold(labels, scores, **costs)
    assert got.cost == float(least)
    assert got.threshold == max(t for t in thresholds if cost(t) == least)
    assert got.all_negative_cost == float(cost(math.inf))
    assert got.all_positive_cost == float(cost(-math.inf))
    assert got.theoretical_threshold == float(Fraction(extra[0], sum(extra)))
    assert got.theoretical_cost == float(cost(got.theoretical_threshold))
    by_row = {name: [value] * len(labels) for name, value in costs.items()}
    if len(labels) > 1:
        rows = cost_optimal_threshold(labels, scores, **by_row)
        assert (rows.threshold, rows.cost) == (got.threshold, got.cost)
        assert math.isnan(rows.theoretical_threshold)
        assert rows.all_positive_cost == got.all_positive_cost


def test_costs_of_each_row_count_for_it():
    labels, scores = [1, 0, 1, 0], [0.6, 0.5, 0.4, 0.3]
    got = cost_optimal_threshold(labels, scores, cost_fp=[1, 8, 1, 1], cost_fn=[1, 1, 4, 1])
    # From .6: the second positive is missed, 4. From .4: the costly negative, 8.
    assert (got.threshold, got.cost) == (0.6, 1.0)
    # By its own threshold a row is positive from 1/2, 8/9, 1/5 and 1/2: no mistake.
    assert got.theoretical_cost == 0.0
    assert got.n == 4


def test_calibrated_probabilities_need_no_data_for_their_threshold():
    rng = np.random.default_rng(0)
    proba = rng.random(200_000)
    labels = rng.random(proba.size) < proba
    got = cost_optimal_threshold(labels, proba, cost_fp=1, cost_fn=4)
    assert got.theoretical_threshold == 0.2
    assert got.threshold == pytest.approx(0.2, abs=0.03)
    # The mean of min(p 4, 1 - p) over 0 to 1: 4 · .02 + .32.
    assert got.theoretical_cost == pytest.approx(0.4, abs=0.005)
    assert got.cost <= got.theoretical_cost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost_fp": -1, "cost_fn": 1}, "a mistake must not cost less"),
        ({"cost_fp": [1, 1], "cost_fn": 1, "cost_tp": [0, 2]}, "in 1 of 2 cases"),
        ({"cost_fp": 0, "cost_fn": 0}, "no mistake costs anything"),
        ({"cost_fp": math.inf, "cost_fn": 1}, "cost_fp must be finite"),
        ({"cost_fp": [1, 2, 3], "cost_fn": 1}, "cost_fp has 3, the data 2"),
    ],
)
def test_bad_costs_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        cost_optimal_threshold([0, 1], [0.1, 0.2], **options)
