"""ConfusionAccumulator against scikit-learn, and by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    jaccard_score,
    precision_recall_fscore_support,
)

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics import _accumulators_confusion
from mlsd.metrics._accumulators import ConfusionAccumulator

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def sides(rows):
    return np.array(rows).T


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@given(pairs)
def test_all_values_are_those_of_sklearn(rows):
    true, predicted = sides(rows)
    summary = ConfusionAccumulator(n_classes=4).update(true, predicted).result()
    classes = range(4)
    matrix = confusion_matrix(true, predicted, labels=classes)
    assert (summary.matrix == matrix).all()
    assert summary.accuracy == pytest.approx(accuracy_score(true, predicted), rel=1e-12)
    options = {"labels": classes, "average": None, "zero_division": math.nan}
    expected = precision_recall_fscore_support(true, predicted, **options)
    present = matrix.sum(0) + matrix.sum(1) > 0
    table = summary.per_class
    np.testing.assert_allclose(table["precision"], expected[0], rtol=1e-12)
    np.testing.assert_allclose(table["recall"], expected[1], rtol=1e-12)
    np.testing.assert_allclose(table["f1"], expected[2], rtol=1e-12)
    assert table["n_true"].tolist() == expected[3].tolist()
    assert table["n_predicted"].tolist() == matrix.sum(0).tolist()
    iou = jaccard_score(true, predicted, labels=classes, average=None, zero_division=0)
    np.testing.assert_allclose(table["iou"][present], iou[present], rtol=1e-12)
    assert table["iou"][~present].isna().all()
    assert summary.mean_iou == pytest.approx(iou[present].mean(), rel=1e-12)
    assert summary.macro_f1 == pytest.approx(np.nanmean(expected[2]), rel=1e-12)
    assert (summary.n, summary.n_absent) == (len(rows), int((~present).sum()))
    assert summary.to_frame().equals(table)


@given(pairs, st.integers(0, 60))
def test_chunks_leave_no_trace(rows, cut):
    true, predicted = sides(rows)
    parts = [
        ConfusionAccumulator(n_classes=4).update(true[i], predicted[i])
        for i in (slice(cut), slice(cut, None))
    ]
    assert sum(parts) == ConfusionAccumulator(n_classes=4).update(true, predicted)


def test_blocks_leave_no_trace(monkeypatch):
    true, predicted = np.random.default_rng(0).integers(0, 5, (2, 1000))
    whole = ConfusionAccumulator(n_classes=5).update(true, predicted)
    monkeypatch.setattr(_accumulators_confusion, "_BLOCK", 130)
    assert ConfusionAccumulator(n_classes=5).update(true, predicted) == whole


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.uint64])
def test_images_of_any_integer_type(dtype):
    true = np.array([[[0, 200], [7, 7]]], dtype=dtype)
    predicted = np.array([[[0, 7], [7, 200]]], dtype=dtype)
    state = ConfusionAccumulator(n_classes=201).update(true, predicted)
    matrix = state._values["matrix"]
    assert (matrix[0, 0], matrix[200, 7], matrix[7, 7], matrix[7, 200]) == (1, 1, 1, 1)
    assert matrix.sum() == 4
    nested = ConfusionAccumulator(n_classes=201).update(true.tolist(), predicted.tolist())
    assert nested == state


def test_named_classes_and_integers_in_any_order():
    frame = pd.DataFrame({"t": ["b", "a", "b"], "p": ["b", "b", "a"]}, index=[5, 5, 5])
    expected = [[1, 1], [1, 0]]
    for columns in (frame, frame.astype("category"), frame.astype("string")):
        state = ConfusionAccumulator(labels=["b", "a"]).update(columns["t"], columns["p"])
        assert state._values["matrix"].tolist() == expected
    numbers = frame.replace({"a": -7, "b": 1 << 60}).astype(np.int64)
    state = ConfusionAccumulator(labels=np.array([1 << 60, -7])).update(numbers["t"], numbers["p"])
    assert state._values["matrix"].tolist() == expected
    assert state.result().per_class.index.tolist() == [1 << 60, -7]
    booleans = ConfusionAccumulator(n_classes=2).update([True, False], [True, True])
    assert booleans._values["matrix"].tolist() == [[0, 1], [0, 1]]


def test_classes_that_do_not_occur_are_nan_counted_and_warned_of():
    state = ConfusionAccumulator(labels=["a", "b", "c", "d"]).update(["a", "b"], ["a", "d"])
    message = "of 4 classes 2 are never predicted .* 2 never true .* 1 neither"
    with pytest.warns(UndefinedMetricWarning, match=message) as caught:
        summary = state.result()
    assert caught[0].filename == __file__
    assert summary.per_class["iou"].tolist()[:2] == [1.0, 0.0]
    assert summary.mean_iou == pytest.approx(1 / 3)
    assert summary.n_absent == 1
    with pytest.warns(UndefinedMetricWarning, match="no row"):
        empty = ConfusionAccumulator(n_classes=2).update([], []).result()
    assert np.isnan([empty.accuracy, empty.mean_iou, empty.macro_f1]).all()


@pytest.mark.parametrize(
    ("options", "true", "predicted", "error", "message"),
    [
        ({"n_classes": 3}, [0, 3], [0, 0], ValueError, "y_true holds 1 labels .* such as .*3"),
        ({"n_classes": 3}, [0, 1], [0, -1], ValueError, "y_pred holds 1 labels .* 0 to 2"),
        ({"n_classes": 3}, [0, 1], [0], ValueError, r"differ in shape: \(2,\) and \(1,\)"),
        ({"n_classes": 3}, [0.5, 1], [0, 1], ValueError, "holds 0.5, which is no integer"),
        ({"n_classes": 3}, [math.nan, 1], [0, 1], ValueError, "1 missing labels among 2"),
        ({"n_classes": 3}, ["a", "b"], [0, 1], TypeError, "y_true must hold integers"),
        ({"labels": ["a"]}, ["a", "x"], ["a", "a"], ValueError, r"such as 'x'; .* \['a'\]"),
        ({"labels": ["a"]}, ["a", None], ["a", "a"], TypeError, "y_true must hold strings"),
        ({"labels": ["a"]}, [0], ["a"], TypeError, "y_true must hold strings"),
        ({"labels": [4, 5]}, [4], [6], ValueError, "y_pred holds 1 labels"),
    ],
)
def test_wrong_labels_raise_and_change_nothing(options, true, predicted, error, message):
    state = ConfusionAccumulator(**options)
    with pytest.raises(error, match=message):
        state.update(true, predicted)
    assert state == ConfusionAccumulator(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "give n_classes or labels"),
        ({"n_classes": 2, "labels": ["a", "b"]}, ValueError, "give n_classes or labels"),
        ({"n_classes": 0}, ValueError, "n_classes must be at least 1"),
        ({"n_classes": 10_001}, ValueError, "10001 classes are more than"),
        ({"labels": ["a", 1]}, TypeError, "all strings or all integers"),
        ({"labels": []}, TypeError, "all strings or all integers"),
        ({"labels": "ab"}, TypeError, "labels must be a sequence"),
        ({"labels": ["a", "a"]}, ValueError, "holds a label twice"),
        ({"labels": [1 << 63]}, ValueError, "does not fit 64 bits"),
    ],
)
def test_wrong_classes_raise(options, error, message):
    with pytest.raises(error, match=message):
        ConfusionAccumulator(**options)


def test_a_payload_cannot_ask_for_more_memory_than_it_has():
    head = json.loads(ConfusionAccumulator(n_classes=2).to_json())
    head["config"]["n_classes"] = 10_000
    with pytest.raises(ValueError, match=r"must have the shape \(10000, 10000\)"):
        ConfusionAccumulator.from_json(json.dumps(head))
