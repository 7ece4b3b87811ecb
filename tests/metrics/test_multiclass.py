"""Metrics of several classes: by hand, and where they are undefined."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._binary import roc_auc
from mlsd.metrics._multiclass import classification_table, roc_auc_multiclass, top_k_accuracy
from mlsd.metrics._thresholds import precision_recall_f1


@st.composite
def rows(draw):
    n = draw(st.integers(3, 10))
    labels = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    labels[:3] = [0, 1, 2]
    score = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=3, max_size=3)
    return labels, draw(st.lists(score, min_size=n, max_size=n))


@given(rows(), st.integers(1, 4))
def test_top_k_is_the_mean_over_all_orders_of_ties(sample, k):
    labels, scores = sample
    total = Fraction(0)
    for label, row in zip(labels, scores, strict=True):
        orders = [
            order
            for order in itertools.permutations(range(3))
            if all(row[a] >= row[b] for a, b in itertools.pairwise(order))
        ]
        total += Fraction(sum(label in order[:k] for order in orders), len(orders))
    got = top_k_accuracy(labels, scores, k=k)
    assert got == pytest.approx(float(total / len(labels)), abs=1e-15)


@given(rows())
def test_auc_of_classes_is_the_mean_of_pairs(sample):
    labels, scores = np.array(sample[0]), np.array(sample[1])

    def pairs(score, positive, negative):
        return [
            Fraction(int(a > b)) + Fraction(int(a == b), 2)
            for a, b in itertools.product(score[positive], score[negative])
        ]

    size = [int((labels == c).sum()) for c in range(3)]
    ovr = [pairs(scores[:, c], labels == c, labels != c) for c in range(3)]
    ovr = [sum(p) / len(p) for p in ovr]
    ovo, weight = [], []
    for a, b in itertools.combinations(range(3), 2):
        forth = pairs(scores[:, a], labels == a, labels == b)
        back = pairs(scores[:, b], labels == b, labels == a)
        ovo.append((sum(forth) + sum(back)) / (2 * len(forth)))
        weight.append(size[a] + size[b])
    for kind, areas, weights in (("ovr", ovr, size), ("ovo", ovo, weight)):
        got = roc_auc_multiclass(labels, scores, multi_class=kind)
        assert got == pytest.approx(float(sum(areas) / 3), abs=1e-14)
        got = roc_auc_multiclass(labels, scores, multi_class=kind, average="weighted")
        mean = sum(a * w for a, w in zip(areas, weights, strict=True)) / sum(weights)
        assert got == pytest.approx(float(mean), abs=1e-14)


def test_two_classes_are_the_binary_case():
    rng = np.random.default_rng(0)
    labels, score = rng.integers(0, 2, 50), rng.normal(size=50)
    both = np.stack([-score, score], axis=1)
    for kind in ("ovr", "ovo"):
        got = roc_auc_multiclass(labels, both, multi_class=kind)
        assert got == pytest.approx(roc_auc(labels, score), abs=1e-15)
    predicted = score > 0
    table = classification_table(labels == 1, predicted)
    binary = precision_recall_f1(labels, predicted)
    row = table.per_class.loc[True]
    for name in ("precision", "recall", "f1"):
        assert row[name] == getattr(binary, name)
        ends = (row[f"{name}_lower"], row[f"{name}_upper"])
        assert ends == pytest.approx(getattr(binary, f"{name}_ci"), abs=1e-15)


def test_a_table_by_hand():
    table = classification_table(list("aaab"), list("aabb"), labels=list("ba"))
    frame = table.to_frame()
    assert frame.index.tolist() == ["b", "a"]
    assert frame["precision"].tolist() == [0.5, 1.0]
    assert frame["recall"].tolist() == [1.0, 2 / 3]
    assert frame["f1"].tolist() == pytest.approx([2 / 3, 0.8], abs=1e-15)
    assert frame[["tp", "fp", "fn", "support"]].to_numpy().tolist() == [[1, 1, 0, 1], [2, 0, 1, 3]]
    assert table.averages.loc["weighted", "recall"] == 0.75
    assert table.averages.loc["micro"].tolist() == [0.75] * 3
    assert (table.accuracy, table.n) == (0.75, 4)
    frame["tp"] = 0
    assert table.per_class["tp"].tolist() == [1, 2]  # a copy


def test_an_undefined_value_is_left_out_of_the_means_and_counted():
    with pytest.warns(UndefinedMetricWarning, match="precision in 1, recall in 1") as caught:
        table = classification_table(list("aab"), list("aac"))
    assert caught[0].filename == __file__
    assert table.n_undefined == {"precision": 1, "recall": 1, "f1": 0}
    assert math.isnan(table.per_class.loc["b", "precision"])
    assert math.isnan(table.per_class.loc["b", "precision_upper"])
    assert table.averages.loc["macro"].tolist() == pytest.approx([0.5, 0.5, 1 / 3])
    assert table.averages.loc["weighted", "precision"] == 1.0  # c has no support
    filled = classification_table(list("aab"), list("aac"), zero_division=0)
    assert filled.averages.loc["macro", "precision"] == pytest.approx(1 / 3)
    assert filled.n_undefined["precision"] == 1
    with pytest.raises(ValueError, match="a share of nothing among 3 classes: precision in 1"):
        classification_table(list("aab"), list("aac"), zero_division="raise")


def test_labels_may_name_classes_that_do_not_occur():
    with pytest.warns(UndefinedMetricWarning, match="f1 in 1"):
        table = classification_table([1, 2], [1, 2], labels=[1, 2, 3])
    assert table.per_class["support"].tolist() == [1, 1, 0]
    assert top_k_accuracy([1, 2], [[0, 1, 2], [0, 1, 2]], k=1, labels=[3, 1, 2]) == 0.5


def test_a_class_without_rows_leaves_auc_undefined():
    scores = [[1, 0, 0], [0, 1, 0]]
    for kind in ("ovr", "ovo"):
        with pytest.warns(UndefinedMetricWarning, match="1 of 3 classes have no rows") as caught:
            assert math.isnan(
                roc_auc_multiclass([0, 1], scores, labels=[0, 1, 2], multi_class=kind)
            )
        assert caught[0].filename == __file__
    with pytest.warns(UndefinedMetricWarning, match="0 of 1 classes"):
        assert math.isnan(roc_auc_multiclass([0, 0], [[1], [2]]))


def test_many_rows_overflow_nothing():
    n = 3_000_000
    codes = np.arange(n, dtype=np.int32) % 3
    table = classification_table(codes, np.zeros(n, dtype=np.int8), zero_division=0)
    assert table.per_class.loc[0, ["tp", "fp", "fn"]].tolist() == [n // 3, 2 * n // 3, 0]
    assert table.per_class.loc[0, "f1"] == 0.5
    width = table.accuracy_ci[1] - table.accuracy_ci[0]
    assert width == pytest.approx(2 * 1.959964 * math.sqrt(2 / 9 / n), rel=1e-4)


def test_columns_of_any_kind():
    series = pd.Series(["x", "y", "x"], index=[5, 5, 1], dtype="category")
    table = classification_table(series, ["x", "y", "y"])
    assert table.accuracy == pytest.approx(2 / 3)
    scores = pd.DataFrame([[2, 1], [1, 2], [1, 2]], index=[3, 2, 1])
    assert top_k_accuracy(series, scores, k=1) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classification_table([], []), "y_true is empty"),
        (lambda: classification_table([1], [1, 2]), "lengths differ"),
        (lambda: classification_table([1, None], [1, 2]), "y_true has 1 missing labels"),
        (lambda: classification_table([1], [2], labels=[1]), r"y_pred holds \[2\]"),
        (lambda: classification_table([1], [1], labels=[1, 1]), "labels must be distinct"),
        (lambda: top_k_accuracy([0, 1], [[1, 2], [2, 1]], k=0), "k must be at least 1"),
        (lambda: top_k_accuracy([0, 1], [1, 2], k=1), "must have a column for each class"),
        (lambda: top_k_accuracy([0, 1], [[1, 2, 3]] * 2, k=1), "holds 2 classes and y_score"),
        (lambda: top_k_accuracy([0, 1], [[1, math.nan]] * 2, k=1), "y_score holds 2 NaN"),
        (lambda: top_k_accuracy([], np.zeros((0, 2)), k=1, labels=[0, 1]), "y_true is empty"),
        (lambda: roc_auc_multiclass([0, 1], [[1, 2]] * 2, multi_class="all"), "multi_class must"),
        (lambda: roc_auc_multiclass([0, 1], [[1, 2]] * 2, average="micro"), "average must be"),
        (
            lambda: roc_auc_multiclass(
                [0, 1], [[1, 2]] * 2, multi_class="ovo", sample_weight=[1, 1]
            ),
            "sample_weight must be None",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_labels_without_a_common_order_are_named():
    with pytest.raises(TypeError, match="without a common order, such as 1 and 'a'"):
        classification_table([1, 2], ["a", "b"])
