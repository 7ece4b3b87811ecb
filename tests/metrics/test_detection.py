"""Detection metrics by hand, in exact fractions, and by what must hold."""

from __future__ import annotations

import json
import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.metrics import UndefinedMetricWarning
from mlsd.metrics._detection import box_iou, detection_average_precision

COLUMNS = ["image_id", "category_id", "x", "y", "width", "height"]


def truth_of(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def found_of(*rows):
    return pd.DataFrame(rows, columns=[*COLUMNS, "score"])


def interpolated(verdicts, n_truth):
    """Return AP of hits (True) and misses in order of score, in exact fractions."""
    curve, hits = [], 0
    for n, verdict in enumerate(verdicts, start=1):
        hits += verdict
        curve.append((Fraction(hits, n_truth), Fraction(hits, n)))
    best = [
        max((precision for recall, precision in curve if recall >= Fraction(i, 100)), default=0)
        for i in range(101)
    ]
    return sum(best, Fraction(0)) / 101


# Recalls of 1/8 and 1/4 apart: none of them falls on a hundredth that floats miss.
@pytest.mark.parametrize(
    ("verdicts", "n_truth"),
    [
        ([True], 1),
        ([True, False], 1),
        ([False, True], 1),
        ([True, False, True], 2),
        ([False, False, True, True, False, True], 4),
        ([True, True, False, True, False, False, True], 8),
        ([False, False], 2),
    ],
)
def test_average_precision_is_that_of_exact_fractions(verdicts, n_truth):
    truth = truth_of(*[(1, 1, 100 * at, 0, 10, 10) for at in range(n_truth)])
    place, rows = iter(range(n_truth)), []
    for rank, hit in enumerate(verdicts):
        x, y = (100 * next(place), 0) if hit else (0, 1000 * (rank + 1))
        rows.append((1, 1, x, y, 10, 10, -rank))
    result = detection_average_precision(truth, found_of(*rows))
    assert result.ap == pytest.approx(float(interpolated(verdicts, n_truth)), abs=1e-15)
    assert result.ap == result.ap50 == result.ap75
    assert result.ar == pytest.approx(sum(verdicts) / n_truth, abs=1e-15)
    assert result.ar1 == pytest.approx(verdicts[0] / n_truth, abs=1e-15)


def test_a_threshold_met_exactly_is_met():
    # 10 × 10 against 10 × 6: IoU .6, over the three thresholds .5, .55 and .6 of ten.
    truth, found = truth_of((1, 1, 0, 0, 10, 10)), found_of((1, 1, 0, 0, 10, 6, 0.9))
    result = detection_average_precision(truth, found)
    assert (result.ap50, result.ap75) == (1.0, 0.0)
    assert result.ap == pytest.approx(0.3, abs=1e-15)
    assert detection_average_precision(truth, found, iou_thresholds=[0.6]).ap == 1.0
    assert detection_average_precision(truth, found, iou_thresholds=[0.601]).ap == 0.0


def test_a_detection_takes_the_best_free_box_and_no_box_is_taken_twice():
    truth = truth_of((1, 1, 0, 0, 10, 10), (1, 1, 2, 0, 10, 10))
    first = (1, 1, 1.5, 0, 10, 10, 0.9)  # nearer to the second, which it takes
    assert (
        detection_average_precision(truth, found_of(first, (1, 1, 0, 0, 10, 10, 0.8))).ap50 == 1.0
    )
    # The second is gone, and the first overlaps too little at .75: a duplicate is a mistake.
    again = detection_average_precision(truth, found_of(first, (1, 1, 2, 0, 10, 10, 0.8)))
    assert (again.ap50, again.ap75) == (1.0, pytest.approx(51 / 101, abs=1e-15))


def test_a_crowd_takes_any_number_and_counts_neither_way():
    truth = truth_of((1, 1, 0, 0, 10, 10), (1, 1, 100, 0, 50, 50)).assign(iscrowd=[0, 1])
    inside = [(1, 1, 100 + 10 * at, 0, 10, 10, 0.9) for at in range(5)]  # wholly within the crowd
    result = detection_average_precision(truth, found_of(*inside, (1, 1, 0, 0, 10, 10, 0.1)))
    assert result.ap == 1.0
    assert (result.n_truth, result.n_crowd) == (1, 1)
    without = detection_average_precision(
        truth.assign(iscrowd=0), found_of(*inside, (1, 1, 0, 0, 10, 10, 0.1))
    )
    assert without.ap < 0.1


def test_sizes_count_the_true_area_if_it_is_given():
    truth = truth_of((1, 1, 0, 0, 40, 40), (1, 2, 0, 0, 200, 200))
    found = truth.assign(score=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = detection_average_precision(truth, found)
        thin = detection_average_precision(truth.assign(area=[1000.0, 9216.0]), found)
    assert math.isnan(result.ap_small)
    assert (result.ap_medium, result.ap_large) == (1.0, 1.0)
    assert np.isnan(result.per_class["ap_large"]).tolist() == [True, False]
    assert (thin.ap_small, thin.ap_medium, thin.ap_large) == (1.0, 1.0, 1.0)
    moved = detection_average_precision(truth, found, area_limits=(2000, 3000))
    assert (moved.ap_small, moved.ap_large) == (1.0, 1.0)
    assert math.isnan(moved.ap_medium)


def test_what_is_undefined_or_left_out_is_counted():
    truth = truth_of((1, 1, 0, 0, 10, 10), (2, 1, 0, 0, 10, 10), (2, 3, 0, 0, 9, 9))
    truth["iscrowd"] = [0, 0, 1]
    rows = [(1, 1, 0, 0, 10, 10, 0.9), (7, 1, 0, 0, 10, 10, 0.9), (1, 2, 0, 0, 10, 10, 0.2)]
    rows += [(1, 1, 0, 0, 10, 10, 0.1)]
    with pytest.warns(
        UndefinedMetricWarning, match="2 of 3 classes .* with 1 detections"
    ) as caught:
        result = detection_average_precision(truth, found_of(*rows), max_dets=1)
    assert caught[0].filename == __file__
    assert result.per_class.index.tolist() == [1, 2, 3]
    assert result.per_class["n_detections"].tolist() == [3, 1, 0]
    assert np.isnan(result.per_class["ap"]).tolist() == [False, True, True]
    assert result.ap == result.per_class["ap"][1]
    counts = {
        "n_images": 3,
        "n_classes": 3,
        "n_truth": 2,
        "n_crowd": 1,
        "n_detections": 4,
        "images_without_truth": 1,
        "classes_without_truth": 2,
        "detections_left_out": 1,
        "detections_beyond_max": 1,
        "detections_tied": 2,
    }
    assert {name: getattr(result, name) for name in counts} == counts
    assert json.loads(json.dumps(result.to_dict()))["ap"] == result.ap


@pytest.mark.parametrize("empty", [truth_of(), truth_of().astype(float)])
def test_tables_without_rows(empty):
    truth = truth_of(("a", "cat", 0, 0, 10, 10))
    nothing = detection_average_precision(truth, empty.assign(score=[]))
    assert (nothing.ap, nothing.ar, nothing.n_detections) == (0.0, 0.0, 0)
    with pytest.warns(UndefinedMetricWarning, match="1 of 1 classes"):
        result = detection_average_precision(empty, truth.assign(score=1.0))
    assert math.isnan(result.ap)
    with pytest.warns(UndefinedMetricWarning, match="0 of 0 classes"):
        assert math.isnan(detection_average_precision(empty, empty.assign(score=[])).ap)


@st.composite
def cases(draw):
    """Draw boxes on a small grid, so that they overlap often; scores are all different."""
    box = st.tuples(
        *[st.integers(1, 3), st.integers(1, 2)],
        *[st.integers(0, 12)] * 2,
        *[st.integers(1, 12)] * 2,
    )
    truth = draw(st.lists(box, min_size=1, max_size=8))
    found = draw(st.lists(box, max_size=12)) + truth[:4]
    score = draw(st.permutations(range(len(found))))
    return truth_of(*truth), found_of(*[(*row, at) for row, at in zip(found, score, strict=True)])


def run(truth, found, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return detection_average_precision(truth, found, **options)


@settings(max_examples=25)
@given(cases(), st.randoms(use_true_random=False))
def test_what_must_hold(case, random):
    truth, found = case
    before = truth.copy(), found.copy()
    result = run(truth, found)
    pd.testing.assert_frame_equal(truth, before[0])
    pd.testing.assert_frame_equal(found, before[1])
    values = {name: value for name, value in result.to_dict().items() if name.startswith("a")}
    assert all(math.isnan(value) or 0.0 <= value <= 1.0 for value in values.values())
    assert result.ap50 >= result.ap75
    assert result.ar1 <= result.ar10 <= result.ar
    assert run(truth, truth.assign(score=1.0)).ap == 1.0
    order = random.sample(range(len(found)), len(found))
    rename = {1: 8, 2: 5, 3: 6}
    others = [
        (truth, found.iloc[order]),
        (truth, found.assign(score=np.exp(found["score"]) - 7)),
        tuple(part.assign(image_id=part["image_id"].map(rename)) for part in case),
        tuple(part.assign(category_id=part["category_id"].map({1: "b", 2: "a"})) for part in case),
        tuple(part.assign(x=part["x"] + 64, y=part["y"] - 32) for part in case),
    ]
    for other in others:
        again = run(*other)
        for name, value in values.items():
            assert getattr(again, name) == pytest.approx(value, abs=1e-15, nan_ok=True), name
    # A mistake below all other scores lowers no precision at a recall that was reached.
    far = found.iloc[:1].assign(x=10_000, score=-1) if len(found) else found
    assert run(truth, pd.concat([found, far])).ap == pytest.approx(result.ap, nan_ok=True)


@settings(max_examples=15)
@given(cases())
def test_the_hits_of_the_images_add_up(case):
    truth, found = case
    hits = np.zeros(2)
    for image in truth["image_id"].unique():
        part = run(truth[truth["image_id"] == image], found[found["image_id"] == image])
        frame = part.per_class.reindex([1, 2])
        hits += (frame["ar"] * frame["n_truth"]).fillna(0.0).to_numpy()
    whole = run(truth, found).per_class.reindex([1, 2])
    np.testing.assert_allclose(
        hits, (whole["ar"] * whole["n_truth"]).fillna(0.0).to_numpy(), rtol=0, atol=1e-12
    )


def test_pairs_in_pieces_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    box = np.column_stack([rng.integers(1, 4, (60, 2)), rng.random((60, 4)) * 30])
    truth, found = (
        truth_of(*box[:30].tolist()),
        found_of(*np.column_stack([box, box[:, 2]]).tolist()),
    )
    truth, found = (part.astype({"image_id": int, "category_id": int}) for part in (truth, found))
    whole = detection_average_precision(truth, found)
    monkeypatch.setattr("mlsd.metrics._boxes._CHUNK", 5)
    pd.testing.assert_frame_equal(
        detection_average_precision(truth, found).per_class, whole.per_class
    )


def test_overlap_by_hand_and_in_both_formats():
    a, b = [[0, 0, 4, 4], [2, 2, 4, 4]], [[0, 0, 4, 4], [3, 1, 2, 2], [4, 0, 4, 4]]
    wanted = [[1.0, 2 / 18, 0.0], [4 / 28, 2 / 18, 4 / 28]]
    np.testing.assert_array_equal(box_iou(a, b), wanted)
    corners = [np.array(part) + np.array([[0, 0, *row[:2]] for row in part]) for part in (a, b)]
    np.testing.assert_array_equal(box_iou(*corners, format="xyxy"), wanted)
    assert box_iou(np.zeros((0, 4)), b).shape == (0, 3)
    with pytest.warns(UndefinedMetricWarning, match="1 of 2 pairs of boxes have no area") as caught:
        flat = box_iou([[1, 1, 0, 5]], [[0, 0, 9, 9], [1, 1, 3, 0]])
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(flat, [[0.0, np.nan]])


@given(st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2, *[st.floats(0.001, 1e3)] * 2), min_size=1))
def test_overlap_is_symmetric_bounded_and_1_with_itself(rows):
    overlap = box_iou(rows, rows)
    assert ((overlap >= 0) & (overlap <= 1)).all()
    np.testing.assert_allclose(overlap, overlap.T, rtol=1e-12)
    np.testing.assert_allclose(np.diag(overlap), 1.0, rtol=1e-9)  # 1e3 + .001 - 1e3 has few digits


TRUTH, FOUND = truth_of((1, 1, 0, 0, 10, 10)), found_of((1, 1, 0, 0, 10, 10, 0.5))


@pytest.mark.parametrize(
    ("truth", "found", "options", "error", "message"),
    [
        (3, FOUND, {}, TypeError, "ground_truth must be a table"),
        (TRUTH, [1], {}, TypeError, "detections must be a table"),
        (TRUTH.drop(columns="x"), FOUND, {}, ValueError, "ground_truth lacks the columns"),
        (TRUTH, TRUTH, {}, ValueError, r"detections lacks the columns \['score'\]"),
        (TRUTH, FOUND.assign(score=np.nan), {}, ValueError, "'score' holds 1 NaN"),
        (TRUTH, FOUND.assign(x=np.inf), {}, ValueError, "1 boxes that are not finite"),
        (
            TRUTH.assign(width=-1),
            FOUND,
            {},
            ValueError,
            "ground_truth holds 1 boxes with a negative",
        ),
        (TRUTH.assign(area=-1), FOUND, {}, ValueError, "'area' must be finite and not negative"),
        (TRUTH.assign(iscrowd=2), FOUND, {}, ValueError, "'iscrowd' must hold 0 and 1"),
        (TRUTH.assign(image_id="1"), FOUND, {}, TypeError, "convert one of them"),
        (TRUTH.assign(category_id=None), FOUND, {}, ValueError, "missing identifiers"),
        (TRUTH, FOUND, {"max_dets": 0}, ValueError, "max_dets must be at least 1"),
        (TRUTH, FOUND, {"iou_thresholds": []}, ValueError, "iou_thresholds must be above 0"),
        (TRUTH, FOUND, {"iou_thresholds": [0.0]}, ValueError, "iou_thresholds must be above 0"),
        (TRUTH, FOUND, {"iou_thresholds": [1.1]}, ValueError, "iou_thresholds must be above 0"),
        (TRUTH, FOUND, {"area_limits": (9, 4)}, ValueError, "area_limits must rise"),
        (TRUTH, FOUND, {"area_limits": (1, 2, 3)}, ValueError, "area_limits must be two"),
    ],
)
def test_bad_tables_and_options(truth, found, options, error, message):
    with pytest.raises(error, match=message):
        detection_average_precision(truth, found, **options)


@pytest.mark.parametrize(
    ("a", "options", "error", "message"),
    [
        ([1, 2, 3, 4], {}, ValueError, r"a must have shape \(n, 4\); got \(4,\)"),
        ([["a"] * 4], {}, TypeError, "a must be numeric"),
        ([[0, 0, np.nan, 1]], {}, ValueError, "a holds 1 boxes that are not finite"),
        ([[5, 0, 4, 1]], {"format": "xyxy"}, ValueError, "a holds 1 boxes with a negative"),
        ([[0, 0, 1, 1]], {"format": "cxcywh"}, ValueError, "format must be one of"),
    ],
)
def test_bad_boxes(a, options, error, message):
    with pytest.raises(error, match=message):
        box_iou(a, [[0, 0, 1, 1]], **options)
