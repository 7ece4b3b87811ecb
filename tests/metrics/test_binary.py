"""AUC and average precision against exact fractions, every order of ties, and their properties."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._binary import _harmonic, average_precision, roc_auc

INF = math.inf
LEVELS = [-INF, -2.5, -0.0, 0.0, 1e-300, 0.1, 0.1 + 1e-17, 3.0, INF]


def auc_by_pairs(labels, scores, weights=None):
    weights = weights or [1] * len(labels)
    rows = list(zip(labels, scores, map(Fraction, weights), strict=True))
    won = total = Fraction(0)
    for (_, p, v), (_, n, w) in itertools.product(
        [r for r in rows if r[0]], [r for r in rows if not r[0]]
    ):
        won += v * w * (Fraction(p > n) + Fraction(p == n, 2))
        total += v * w
    return won / total


def precision_by_thresholds(labels, scores, weights=None):
    weights = list(map(Fraction, weights or [1] * len(labels)))
    rows = list(zip(labels, scores, weights, strict=True))
    positive = sum((w for label, _, w in rows if label), Fraction(0))
    area = previous = Fraction(0)
    for threshold in sorted(set(scores), reverse=True):
        tp = sum((w for label, s, w in rows if label and s >= threshold), Fraction(0))
        shown = sum((w for _, s, w in rows if s >= threshold), Fraction(0))
        if shown:
            area += (tp - previous) / positive * (tp / shown)
        previous = tp
    return area


def precision_over_orders(labels, scores):
    """The mean of average precision over all orders of the rows that respect the scores."""
    groups = [
        [label for label, s in zip(labels, scores, strict=True) if s == value]
        for value in sorted(set(scores), reverse=True)
    ]
    values = []
    for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
        order = list(itertools.chain.from_iterable(parts))
        hits = list(itertools.accumulate(order))
        terms = [Fraction(hits[i], i + 1) for i, label in enumerate(order) if label]
        values.append(sum(terms) / sum(order))
    return sum(values) / len(values)


@st.composite
def samples(draw, max_size=12, levels=LEVELS, both=True):
    n = draw(st.integers(2, max_size))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    scores = draw(st.lists(st.sampled_from(levels), min_size=n, max_size=n))
    labels[0] = 1
    if both:
        labels[1] = 0
    return labels, scores


@given(samples())
def test_auc_counts_the_pairs(sample):
    labels, scores = sample
    assert roc_auc(labels, scores) == float(auc_by_pairs(labels, scores))


@given(samples(), st.data())
def test_weights_multiply_the_pairs_and_the_rows(sample, data):
    labels, scores = sample
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels)))
    weights[:2] = [1, 2]
    auc = roc_auc(labels, scores, sample_weight=weights)
    assert auc == pytest.approx(float(auc_by_pairs(labels, scores, weights)), abs=1e-14)
    precision = average_precision(labels, scores, sample_weight=weights)
    exact = precision_by_thresholds(labels, scores, weights)
    assert precision == pytest.approx(float(exact), abs=1e-14)
    repeated = np.repeat(np.array([labels, scores]), weights, axis=1)
    assert auc == pytest.approx(roc_auc(*repeated), abs=1e-14)
    assert precision == pytest.approx(average_precision(*repeated), abs=1e-14)


@given(samples(both=False))
def test_average_precision_lets_ties_in_together(sample):
    labels, scores = sample
    exact = precision_by_thresholds(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(float(exact), abs=1e-15)


@given(samples(max_size=7, levels=[-1.0, 0.0, 2.0], both=False))
def test_average_precision_is_the_mean_over_all_orders(sample):
    labels, scores = sample
    exact = precision_over_orders(labels, scores)
    got = average_precision(labels, scores, ties="average")
    assert got == pytest.approx(float(exact), abs=1e-14)


@given(samples(), st.permutations(range(12)))
def test_what_must_not_matter_does_not(sample, order):
    labels, scores = (np.array(part) for part in sample)
    auc, precision = roc_auc(labels, scores), average_precision(labels, scores)
    order = np.array([i for i in order if i < labels.size])
    assert roc_auc(labels[order], scores[order]) == auc
    assert average_precision(labels[order], scores[order]) == precision
    ranks = np.unique(scores, return_inverse=True)[1]  # a monotone map of any scores
    assert roc_auc(labels, ranks) == auc
    assert average_precision(labels, ranks.astype(np.float32)) == precision
    assert roc_auc(labels, -scores) == pytest.approx(1 - auc, abs=1e-15)
    assert roc_auc(1 - labels, scores) == pytest.approx(1 - auc, abs=1e-15)
    assert roc_auc(labels, scores, sample_weight=np.full(labels.size, 0.3)) == pytest.approx(
        auc, abs=1e-14
    )


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (0, 64), (3, 61), (3, 62), (63, 2), (10**7, 2), (200, 10**5)]
)
def test_harmonic_differences_keep_their_digits(start, length):
    exact = math.fsum(1.0 / (start + i) for i in range(1, length + 1))
    got = _harmonic(np.array([float(start)]), np.array([float(length)]))[0]
    assert got == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize(("above", "tied", "hits"), [(0, 3000, 1), (5000, 2000, 700), (100, 2, 2)])
def test_a_large_group_of_ties_matches_its_definition(above, tied, hits):
    labels = np.concatenate((np.zeros(above), np.ones(hits), np.zeros(tied - hits)))
    scores = np.concatenate((np.ones(above), np.zeros(tied)))
    # Place i holds a hit with chance hits / tied; given that, each place before it with
    # (hits - 1) / (tied - 1).
    share = Fraction(hits - 1, max(tied - 1, 1))
    exact = sum(
        float(Fraction(hits, tied) * (1 + (i - 1) * share) / (above + i))
        for i in range(1, tied + 1)
    )
    got = average_precision(labels, scores, ties="average")
    assert got == pytest.approx(exact / hits, rel=1e-12)


def test_a_constant_score_is_no_better_than_its_base_rate():
    """A trapezoid under the precision-recall curve would say .505."""
    labels, scores = np.arange(1000) < 10, np.zeros(1000)
    assert average_precision(labels, scores) == 0.01
    assert roc_auc(labels, scores) == 0.5
    trapezoid = (1 + Fraction(1, 100)) / 2  # from recall 0 at precision 1 to recall 1 at .01
    assert float(trapezoid) == 0.505


@pytest.mark.parametrize("label_type", [np.int8, np.int32, np.int64, bool, np.float32])
@pytest.mark.parametrize("score_type", [np.int32, np.float32, np.float64])
def test_many_pairs_overflow_nothing(label_type, score_type):
    n = 1_500_000 if (label_type, score_type) == (np.int8, np.int32) else 60_000  # n² is too large
    labels = np.tile(np.array([0, 1], dtype=label_type), n)
    scores = np.arange(2 * n, dtype=score_type)  # all below 2**24: exact in single precision
    assert roc_auc(labels, scores) == (n + 1) / (2 * n)
    assert roc_auc(labels, scores // 2) == 0.5  # each positive tied with one negative
    assert roc_auc(labels[1:], scores[1:]) == 0.5


@pytest.mark.parametrize("sizes", [(3, 100_000), (100_000, 3)])
def test_the_smaller_class_may_be_either(sizes):
    labels = np.repeat([True, False], sizes)
    scores = np.concatenate((np.arange(sizes[0]), np.arange(sizes[1])))
    shared = min(sizes)
    pairs = sizes[0] * sizes[1]
    ahead = (
        pairs - shared * (shared + 1) // 2 if sizes[0] > sizes[1] else shared * (shared - 1) // 2
    )
    assert roc_auc(labels, scores) == (ahead + shared / 2) / pairs


def test_integers_and_single_precision_keep_their_order():
    big = 2**60
    assert roc_auc([0, 1, 0, 1], np.array([big, big + 1, big + 2, big + 3])) == 0.75
    assert roc_auc([0, 1], np.array([2**64 - 2, 2**64 - 1], dtype=np.uint64)) == 1.0
    assert roc_auc([0, 1], np.array([0.1, 0.1], dtype=np.float32)) == 0.5
    assert roc_auc([0, 1], np.array([0.1, 0.1 + 1e-16])) == 1.0


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        tuple,
        np.array,
        pd.array,
        pl.Series,
        pa.array,
        lambda v: pd.Series(v, index=[9, 2, 9, 1]),
    ],
)
def test_columns_of_any_library_by_position(wrap):
    labels, scores = wrap([0, 0, 1, 1]), wrap([0.1, 0.4, 0.35, 0.8])
    assert roc_auc(labels, scores) == 0.75
    assert average_precision(labels, scores, sample_weight=wrap([1.0, 1.0, 1.0, 1.0])) == (
        pytest.approx(5 / 6, abs=1e-15)
    )


def test_labels_may_have_names():
    assert roc_auc(["spam", "ham"], [0.9, 0.1], pos_label="spam") == 1.0
    assert average_precision([-1, 1, -1], [0.1, 0.2, 0.3]) == 0.5
    with pytest.raises(ValueError, match="pos_label"):
        roc_auc(["spam", "ham"], [0.9, 0.1])


def test_the_data_are_not_changed():
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.5, 0.4, 0.1, 0.2])
    roc_auc(labels, scores)
    average_precision(labels, scores, sample_weight=[1, 2, 3, 4])
    assert (labels.tolist(), scores.tolist()) == ([1, 0, 1, 0], [0.5, 0.4, 0.1, 0.2])


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0]])
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_undefined(weights, label):
    labels = [label, label, label if weights is None else 1 - label]
    found = "positive" if label else "negative"
    with pytest.warns(UndefinedMetricWarning, match=f"{found}, among 3 in all") as caught:
        assert math.isnan(roc_auc(labels, [0.1, 0.2, 0.3], sample_weight=weights))
    assert caught[0].filename == __file__
    if not label:
        with pytest.warns(UndefinedMetricWarning, match="among 3 is positive") as caught:
            assert math.isnan(average_precision(labels, [0.1, 0.2, 0.3], sample_weight=weights))
        assert caught[0].filename == __file__
    else:
        assert average_precision(labels, [0.3, 0.2, 0.1], sample_weight=weights) == 1.0


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        ([], [], None, "y_true is empty"),
        ([0, 1], [0.1], None, "lengths differ: y_true has 2, y_score has 1"),
        ([0, 1], [0.1, math.nan], None, "y_score holds 1 NaN"),
        ([0, 2], [0.1, 0.2], None, "y_true"),
        ([0, 1], [0.1, 0.2], [1, -1], "sample_weight must be finite and not negative"),
        ([0, 1], [0.1, 0.2], [1, math.nan], "sample_weight holds 1 NaN"),
        ([0, 1], [0.1, 0.2], [0, 0], "sample_weight is 0 everywhere"),
        ([0, 1], [[0.1], [0.2]], None, "y_score must be one-dimensional"),
    ],
)
def test_bad_input_is_named(metric, labels, scores, weights, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, scores, sample_weight=weights)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="ties must be one of"):
        average_precision([0, 1], [0.1, 0.2], ties="docid")
    with pytest.raises(ValueError, match='sample_weight must be None with ties="average"'):
        average_precision([0, 1], [0.1, 0.2], ties="average", sample_weight=[1, 1])
    with pytest.raises(TypeError, match="y_score must be numeric"):
        roc_auc([0, 1], ["a", "b"])
