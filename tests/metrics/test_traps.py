"""Where implementations of these metrics part ways: one short test for each, with our number.

Most are tested in depth beside their module; here they stand together, as what to expect.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import auc, dcg_score, ndcg_score, precision_recall_curve

from mlsd import metrics
from mlsd.metrics import UndefinedMetricWarning

DISCOUNT = [1 / math.log2(place + 1) for place in range(1, 20)]


def frame(rows, *columns):
    return pd.DataFrame(rows, columns=list(columns))


def qrels(*rows):
    return frame(rows, "query_id", "doc_id", "relevance")


def run(*rows):
    return frame(rows, "query_id", "doc_id", "score")


def one(judgements, shown, metric, **options):
    return float(metrics.evaluate_ranking(judgements, shown, metric, **options).mean()[metric])


# One relevant document tied with another one, and the two ways to write that down.
B_IS_RELEVANT = qrels(("q", "a", 0), ("q", "b", 1))
A_IS_RELEVANT = qrels(("q", "a", 1), ("q", "b", 0))
TIED = run(("q", "a", 0.5), ("q", "b", 0.5))


@pytest.mark.parametrize(
    ("ties", "b_relevant", "a_relevant"),
    [
        ("docid", 1.0, DISCOUNT[1]),  # the later identifier first: an accident
        ("first", DISCOUNT[1], 1.0),  # the order of the rows: another one
        ("worst", DISCOUNT[1], DISCOUNT[1]),
        ("average", (1 + DISCOUNT[1]) / 2, (1 + DISCOUNT[1]) / 2),  # .8155
    ],
)
def test_a_tie_is_worth_its_mean_and_not_the_accident_of_a_name(ties, b_relevant, a_relevant):
    assert one(B_IS_RELEVANT, TIED, "ndcg", ties=ties) == pytest.approx(b_relevant, abs=1e-15)
    assert one(A_IS_RELEVANT, TIED, "ndcg", ties=ties) == pytest.approx(a_relevant, abs=1e-15)


def test_the_default_of_ties_is_the_mean_over_all_orders():
    relevance = [2, 0, 1, 1, 0]
    orders = [sum(map(float.__mul__, map(float, o), DISCOUNT)) for o in permutations(relevance)]
    expected = sum(orders) / len(orders) / (2 + DISCOUNT[1] + DISCOUNT[2])
    assert metrics.ndcg(relevance, [0.5] * 5) == pytest.approx(expected, rel=1e-13)


def test_scores_that_differ_in_double_precision_are_not_tied():
    assert metrics.ndcg([0, 1], [1.0, 1.0 + 1e-9]) == 1.0
    close = run(("q", "a", 1.0), ("q", "b", 1.0 + 1e-9))
    assert one(B_IS_RELEVANT, close, "mrr") == 1.0


def test_gain_is_linear_unless_exponential_is_asked_for():
    relevance, scores = [1, 3, 0, 2], [4.0, 3.0, 2.0, 1.0]
    linear = ndcg_score([relevance], [scores])  # scikit-learn, as trec_eval
    powers = [2**level - 1 for level in relevance]  # LightGBM and XGBoost
    best = sum(map(float.__mul__, map(float, sorted(powers, reverse=True)), DISCOUNT))
    burges = sum(map(float.__mul__, map(float, powers), DISCOUNT)) / best
    assert metrics.ndcg(relevance, scores) == pytest.approx(linear, rel=1e-14)
    assert metrics.ndcg(relevance, scores, gain="exp2") == pytest.approx(burges, rel=1e-14)
    assert metrics.ndcg(relevance, scores, gain={0: 0, 1: 1, 2: 3, 3: 7}) == pytest.approx(burges)
    assert abs(linear - burges) > 0.05


def test_the_ideal_comes_from_all_judgements_and_not_from_what_was_found():
    judgements = qrels(*[("q", f"d{i}", 1) for i in range(4)])
    shown = run(("q", "d0", 2.0), ("q", "x", 1.0))
    assert one(judgements, shown, "ndcg") == pytest.approx(1 / sum(DISCOUNT[:4]), rel=1e-14)
    assert one(judgements, shown, "recall@2") == 0.25
    # From the documents found alone, both would be 1.
    assert ndcg_score([[1, 0]], [[2.0, 1.0]]) == 1.0


@pytest.mark.parametrize(("empty", "mean"), [("nan", 1.0), (0, 0.5), (1, 1.0)])
def test_a_query_without_relevant_documents_is_left_out_or_counts_as_told(empty, mean):
    judgements = qrels(("q", "a", 1), ("nothing", "b", 0))
    shown = run(("q", "a", 1.0), ("nothing", "b", 1.0))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = metrics.evaluate_ranking(judgements, shown, "ndcg", empty=empty)
    assert result.mean()["ndcg"] == mean
    assert result.diagnostics.empty_queries == 1
    assert [w.category for w in caught] == [UndefinedMetricWarning] * (empty == "nan")
    with pytest.raises(ValueError, match="ndcg is undefined: 1 of 2 queries"):
        metrics.evaluate_ranking(judgements, shown, "ndcg", empty="raise")


def test_missing_queries_count_0_and_unjudged_ones_are_dropped_and_counted():
    judgements = qrels(("q", "a", 1), ("missing", "a", 1))
    shown = run(("q", "a", 1.0), ("unjudged", "a", 1.0), ("unjudged", "b", 0.5))
    result = metrics.evaluate_ranking(judgements, shown, "mrr")
    assert result.mean()["mrr"] == 0.5
    found = result.diagnostics
    assert (found.missing_queries, found.unjudged_queries, found.unjudged_query_rows) == (1, 1, 2)


def test_duplicates_and_nan_raise():
    twice = pd.concat([TIED, TIED.iloc[:1]])
    with pytest.raises(ValueError, match="run holds 1 duplicate"):
        metrics.evaluate_ranking(A_IS_RELEVANT, twice, "mrr")
    with pytest.raises(ValueError, match="qrels holds 1 duplicate"):
        metrics.Qrels(pd.concat([A_IS_RELEVANT, A_IS_RELEVANT.iloc[:1]]))
    with pytest.raises(ValueError, match="holds 1 NaN"):
        metrics.evaluate_ranking(A_IS_RELEVANT, TIED.assign(score=[1.0, math.nan]), "mrr")


@pytest.mark.parametrize("gain", ["linear", "exp2", {1: 1.0}])
def test_a_negative_relevance_has_gain_0(gain):
    values = [metrics.ndcg([level, 1], [0.9, 0.1], gain=gain) for level in (-2, -1)]
    assert values == [DISCOUNT[1]] * 2
    assert dcg_score([[-2, 1]], [[0.9, 0.1]]) < 0  # scikit-learn takes it at its word


def test_a_cutoff_beyond_the_list_still_divides_by_k_and_by_R():
    judgements = qrels(("q", "a", 1), ("q", "b", 1), ("q", "not found", 1))
    shown = run(("q", "a", 2.0), ("q", "b", 1.0))
    assert one(judgements, shown, "precision@10") == 0.2
    assert one(judgements, shown, "recall@10") == pytest.approx(2 / 3, rel=1e-15)


def test_average_precision_at_k_is_over_R_or_over_what_fits():
    relevance, scores = [1, 1, 1, 1], [4.0, 3.0, 2.0, 1.0]
    assert metrics.average_precision_at_k(relevance, scores, k=2) == 0.5
    assert metrics.average_precision_at_k(relevance, scores, k=2, normalize="min(R,k)") == 1.0


def test_scores_at_or_below_0_are_scores():
    assert metrics.ndcg([1, 0, 0], [-1.0, -2.0, -3.0]) == 1.0
    assert metrics.reciprocal_rank([0, 1], [0.0, -1.0]) == 0.5
    assert one(A_IS_RELEVANT, run(("q", "a", -1.0), ("q", "b", -2.0)), "mrr") == 1.0


def test_err_needs_the_top_of_the_scale_and_rbp_says_what_is_open():
    # A list whose best is 1 on a scale to 3: the largest of the list would make it .5.
    assert metrics.err([1, 0], [0.9, 0.1], max_rel=3) == 1 / 8
    assert metrics.err([1, 0], [0.9, 0.1], max_rel=1) == 1 / 2
    with pytest.raises(TypeError, match="max_rel"):
        metrics.err([1, 0], [0.9, 0.1])
    judgements, shown = qrels(("q", "a", 1)), run(("q", "a", 2.0), ("q", "unjudged", 1.0))
    found = metrics.evaluate_ranking(judgements, shown, ["rbp", "rbp_residual"], p=0.5).mean()
    # Place 2 is not judged (1/4), and so is all beyond the list (1/4).
    assert found.tolist() == [0.5, 0.5]


def test_r_precision_is_over_R_places():
    judgements = qrels(("q", "a", 1), ("q", "b", 1), ("q", "c", 0))
    shown = run(("q", "a", 3.0), ("q", "c", 2.0), ("q", "b", 1.0))
    assert one(judgements, shown, "r_precision") == 0.5


def test_unjudged_is_not_relevant_and_how_much_is_unjudged_stands_beside_it():
    judgements = qrels(("q", "a", 1))
    shown = run(("q", "unjudged", 2.0), ("q", "a", 1.0))
    result = metrics.evaluate_ranking(judgements, shown, ["mrr", "judged@10"])
    assert result.mean().tolist() == [0.5, 0.5]
    assert (result.diagnostics.unjudged_rows, result.diagnostics.judged_at_10) == (1, 0.5)
    assert one(judgements, shown, "mrr", judged_only=True) == 1.0


def test_one_class_has_no_auc_and_no_positive_no_average_precision():
    with pytest.warns(UndefinedMetricWarning, match="all rows are positive"):
        assert math.isnan(metrics.roc_auc([1, 1], [0.1, 0.9]))
    with pytest.warns(UndefinedMetricWarning, match="no row among 2 is positive"):
        assert math.isnan(metrics.average_precision([0, 0], [0.1, 0.9]))


def test_a_constant_score_has_the_base_rate_and_no_trapezoid():
    labels, scores = [1] * 10 + [0] * 990, [0.5] * 1000
    precision, recall, _ = precision_recall_curve(labels, scores)
    assert auc(recall, precision) == pytest.approx(0.505)
    assert metrics.average_precision(labels, scores) == 0.010


def test_log_loss_is_computed_in_double_precision_and_clips_nothing_unasked():
    assert metrics.log_loss([1, 0], [0.0, 0.5]) == math.inf
    assert metrics.log_loss([1], [0.0], eps=1e-15) == pytest.approx(15 * math.log(10))
    # 1 - p is 1 in single precision, and lacks five digits of p in double precision.
    for dtype in (np.float32, np.float64):
        tiny = np.full(1000, 1e-12, dtype=dtype)
        expected = -math.log1p(-float(tiny[0]))
        found = metrics.log_loss(np.zeros(1000), tiny)
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0)


def test_normalized_entropy_is_against_the_base_rate_of_the_sample_or_the_one_given():
    labels, proba = [1, 0, 0, 0], [0.6, 0.2, 0.1, 0.1]
    loss = -(math.log(0.6) + math.log(0.8) + 2 * math.log(0.9)) / 4
    for rate, given in ((0.25, None), (0.1, 0.1)):
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
        found = metrics.normalized_entropy(labels, proba, base_rate=given)
        assert found == pytest.approx(loss / entropy, rel=1e-14)


def test_bins_alone_make_a_calibration_error_and_ours_takes_it_off():
    rng = np.random.default_rng(0)
    raw, debiased = {5: [], 500: []}, {5: [], 500: []}
    for _ in range(20):
        proba = rng.random(40_000)
        labels = rng.random(40_000) < proba  # perfectly calibrated
        for n_bins in raw:
            error = metrics.calibration_error(
                labels, proba, n_bins=n_bins, n_resamples=50, random_state=rng
            )
            raw[n_bins].append(error.raw)
            debiased[n_bins].append(error.value)
            assert error.edges.size == n_bins + 1
    # The mean size of noise is sqrt(2/π) sd, and the mean of sqrt(p (1 - p)) over 0 to 1 is π/8.
    for n_bins in raw:
        noise = math.sqrt(2 / math.pi) * (math.pi / 8) / math.sqrt(40_000 / n_bins)
        for found, expected in ((raw, noise), (debiased, 0.0)):
            stderr = np.std(found[n_bins], ddof=1) / math.sqrt(20)
            assert abs(np.mean(found[n_bins]) - expected) < 4 * stderr < 0.7 * noise
    assert metrics.calibration_ratio([1, 0, 0, 1], [0.9, 0.2, 0.3, 0.8]).value == 2.2 / 2


def test_a_merged_auc_carries_a_bound_that_holds():
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.02
    scores = np.exp(rng.normal(-7, 1, labels.size) + labels)  # clicks: nearly all below .01
    exact = metrics.roc_auc(labels, scores)
    parts = [
        metrics.BinaryAccumulator().update(labels[rows], scores[rows])
        for rows in np.array_split(np.arange(labels.size), 7)
    ]
    merged = sum(parts[1:], start=parts[0]).result()
    assert merged.auc_lower <= exact <= merged.auc_upper
    assert merged.auc_upper - merged.auc_lower < 1e-3
    # Bins of one width hold all of them in the first few: the order is lost.
    assert metrics.roc_auc(labels, np.floor(scores * 10)) < 0.52 < 0.7 < exact


def test_the_numbers_above_are_those_of_the_formulas():
    assert round(DISCOUNT[1], 2) == 0.63
    assert round((1 + DISCOUNT[1]) / 2, 4) == 0.8155
    assert Fraction(1, 4) == Fraction(metrics.rbp([0, 1], [2.0, 1.0], p=0.5).value)
