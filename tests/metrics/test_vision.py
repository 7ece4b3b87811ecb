"""Segmentation metrics: against scikit-learn and published code's steps, by hand, by properties."""

from __future__ import annotations

import json
import math
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion
from sklearn.metrics import jaccard_score

from mlsd.metrics import UndefinedMetricWarning
from mlsd.metrics._vision import boundary_iou, mean_iou


def random_maps(seed, shape, n_classes, agree=0.7, dtype=np.int64):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, n_classes, shape)
    pred = np.where(rng.random(shape) < agree, true, rng.integers(0, n_classes, shape))
    return true.astype(dtype), pred.astype(dtype)


def blobs(seed, shape, n_classes, block=5):
    """Return two maps of regions several pixels wide that differ in part of them."""
    true, pred = random_maps(seed, (shape[0] // block + 1, shape[1] // block + 1), n_classes)
    grow = np.ones((block, block), dtype=np.int64)
    return tuple(np.kron(labels, grow)[: shape[0], : shape[1]] for labels in (true, pred))


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return function(*arguments, **options)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
@pytest.mark.parametrize("shape", [(300,), (40, 50), (7, 11, 13), (2, 3, 5, 7)])
def test_agrees_with_scikit_learn(shape, dtype):
    true, pred = random_maps(len(shape), shape, 6, dtype=dtype)
    result = mean_iou(true, pred, n_classes=6)
    wanted = jaccard_score(true.ravel(), pred.ravel(), average=None, labels=range(6))
    np.testing.assert_allclose(result.per_class, wanted, rtol=0, atol=1e-15)
    assert result.value == pytest.approx(wanted.mean(), abs=1e-15)
    np.testing.assert_array_equal(result.support, np.bincount(true.ravel().astype(int)))
    assert (result.n_pixels, result.n_ignored, result.absent) == (true.size, 0, ())
    assert math.isnan(result.lower)
    assert result.per_image is None


def test_by_hand_with_a_class_only_predicted_and_one_absent():
    true, pred = [0, 0, 0, 1, 1, 4], [0, 0, 1, 1, 2, 4]
    # Class 0: 2 of 3. Class 1: 1 of 3. Class 2 is predicted only: 0 of 1. Class 3: nowhere.
    with pytest.warns(UndefinedMetricWarning, match="1 of 5 classes are in neither") as caught:
        result = mean_iou(true, pred, n_classes=5)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(result.per_class, [2 / 3, 1 / 3, 0.0, np.nan, 1.0])
    assert result.value == pytest.approx(
        float((Fraction(2, 3) + Fraction(1, 3) + 1) / 4), abs=1e-16
    )
    assert result.absent == (3,)
    assert result.support.tolist() == [3, 2, 0, 0, 1]
    assert mean_iou(true, pred, n_classes=5, absent=0).value == pytest.approx(2 / 5, abs=1e-16)
    assert mean_iou(true, pred, n_classes=5, absent=1).value == pytest.approx(3 / 5, abs=1e-16)
    with pytest.raises(ValueError, match=r"classes \[3\] are in neither"):
        mean_iou(true, pred, n_classes=5, absent="raise")


def test_ignored_pixels_are_left_out_whatever_is_predicted_there():
    true, pred = random_maps(0, (30, 30), 4)
    true[::3] = 255
    pred[::3] = 77
    result = mean_iou(true, pred, n_classes=4, ignore_index=255)
    keep = true != 255
    wanted = mean_iou(true[keep], pred[keep], n_classes=4)
    np.testing.assert_array_equal(result.per_class, wanted.per_class)
    assert (result.n_pixels, result.n_ignored) == (600, 300)


def test_an_ignored_class_is_out_of_the_mean_but_predicting_it_costs_the_others():
    result = mean_iou([0, 0, 1, 1, 2], [0, 1, 1, 0, 2], n_classes=3, ignore_index=0)
    np.testing.assert_array_equal(result.per_class, [np.nan, 0.5, 1.0])
    assert (result.value, result.n_ignored, result.absent) == (0.75, 2, ())
    # It is ignored, not absent, where it does not occur: nothing to warn of.
    assert mean_iou([1, 2], [1, 2], n_classes=3, ignore_index=0).absent == ()


def test_per_image_is_the_mean_of_the_images():
    true, pred = random_maps(3, (9, 6, 5), 4)
    true[2], pred[2] = 1, 1
    true[5] = 255
    options = {"n_classes": 4, "ignore_index": 255}
    with pytest.warns(UndefinedMetricWarning, match="1 images have no class"):
        result = mean_iou(true, pred, per_image=True, **options)
    single = [quietly(mean_iou, a, b, **options) for a, b in zip(true, pred, strict=True)]
    np.testing.assert_allclose(result.per_image, [one.value for one in single], rtol=0, atol=1e-15)
    known = np.delete([one.value for one in single], 5)
    assert result.value == pytest.approx(known.mean(), abs=1e-15)
    assert result.lower < result.value < result.upper
    assert result.undefined_images == 1
    by_class = np.nanmean(np.delete([one.per_class for one in single], 5, axis=0), axis=0)
    np.testing.assert_allclose(result.per_class, by_class, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(result.support, sum(one.support for one in single))


def test_pieces_of_an_image_and_groups_of_images_add_up(monkeypatch):
    true, pred = random_maps(4, (5, 17, 3), 3)
    true[0, 0] = 9
    options = {"n_classes": 3, "ignore_index": 9}
    whole = [mean_iou(true, pred, per_image=each, **options) for each in (False, True)]
    for chunk in (1, 50, 120):
        monkeypatch.setattr("mlsd.metrics._vision._CHUNK", chunk)
        for each in (False, True):
            again = mean_iou(true, pred, per_image=each, **options)
            assert str(again.to_dict()) == str(whole[each].to_dict())  # nan is not equal to nan


@given(st.data())
def test_what_must_hold(data):
    n_classes = data.draw(st.integers(1, 5))
    labels = st.lists(st.integers(0, n_classes - 1), min_size=1, max_size=30)
    true = np.array(data.draw(labels))
    pred = np.array(
        data.draw(st.lists(st.integers(0, n_classes - 1), min_size=true.size, max_size=true.size))
    )
    result = quietly(mean_iou, true, pred, n_classes=n_classes)
    assert 0.0 <= result.value <= 1.0
    assert (result.value == 1.0) == (true == pred).all()
    order = data.draw(st.permutations(range(true.size)))
    name = np.array(data.draw(st.permutations(range(n_classes))))
    for other in (
        quietly(mean_iou, true[order], pred[order], n_classes=n_classes),
        quietly(mean_iou, np.tile(true, 3), np.tile(pred, 3), n_classes=n_classes),
        quietly(mean_iou, pred, true, n_classes=n_classes),
        quietly(mean_iou, true, pred, n_classes=n_classes + 2),
    ):
        np.testing.assert_array_equal(other.per_class[:n_classes], result.per_class)
        assert other.value == result.value
    renamed = quietly(mean_iou, name[true], name[pred], n_classes=n_classes)
    np.testing.assert_array_equal(renamed.per_class[name], result.per_class)
    exact = [
        Fraction(
            int(((true == label) & (pred == label)).sum()),
            int(((true == label) | (pred == label)).sum()),
        )
        for label in {*true.tolist(), *pred.tolist()}
    ]
    assert result.value == pytest.approx(float(sum(exact) / len(exact)), abs=1e-15)


def outline(mask, dilation):
    """Return mask minus erosion: a ring of zeros, then 3 × 3 erosions, as in the paper's code."""
    height, width = mask.shape
    steps = max(1, round(dilation * math.sqrt(height**2 + width**2)))
    eroded = binary_erosion(np.pad(mask, 1), np.ones((3, 3)), iterations=steps, border_value=1)
    return mask & ~eroded[1:-1, 1:-1]


def boundary_by_definition(true, pred, dilation):
    true, pred = outline(true, dilation), outline(pred, dilation)
    return (true & pred).sum() / (true | pred).sum()


@pytest.mark.parametrize("dilation", [0.001, 0.02, 0.06, 0.5])
@pytest.mark.parametrize("shape", [(60, 45), (23, 101), (5, 5)])
def test_boundary_of_masks_and_classes_agrees_with_erosion(shape, dilation):
    true, pred = blobs(sum(shape), shape, 2)
    true.flat[:2], pred.flat[:3] = 1, 1
    got = boundary_iou(true, pred, dilation=dilation)
    wanted = boundary_by_definition(true == 1, pred == 1, dilation)
    assert got.value == pytest.approx(wanted, abs=1e-15)
    assert got.per_class.shape == (1,)
    assert got.support.tolist() == [outline(true == 1, dilation).sum()]
    true, pred = blobs(7, shape, 4)
    true.flat[:4] = pred.flat[1:5] = range(4)
    got = boundary_iou(true, pred, n_classes=4, dilation=dilation)
    wanted = [boundary_by_definition(true == c, pred == c, dilation) for c in range(4)]
    np.testing.assert_allclose(got.per_class, wanted, rtol=0, atol=1e-15)
    assert got.value == pytest.approx(np.mean(wanted), abs=1e-15)


def test_boundary_pools_the_images():
    pairs = [blobs(seed, (40, 40), 3) for seed in range(4)]
    true, pred = np.stack([a for a, _ in pairs]), np.stack([b for _, b in pairs])
    both = [
        sum((outline(a == c, 0.02) & outline(b == c, 0.02)).sum() for a, b in pairs)
        for c in range(3)
    ]
    either = [
        sum((outline(a == c, 0.02) | outline(b == c, 0.02)).sum() for a, b in pairs)
        for c in range(3)
    ]
    result = boundary_iou(true, pred, n_classes=3)
    np.testing.assert_allclose(result.per_class, np.divide(both, either), rtol=0, atol=1e-15)


def test_boundary_by_hand_and_inside_out():
    true = np.zeros((9, 9), dtype=bool)
    true[1:8, 1:8] = True  # a ring of 24, around 25
    pred = true.copy()
    pred[4, 4] = False  # a hole: its 8 neighbours are outline, and it is not of the mask
    assert boundary_iou(true, pred).value == 24 / 32
    assert boundary_iou(pred, true).value == 24 / 32
    assert mean_iou(true, pred, n_classes=2).per_class[1] == 48 / 49
    # Eroded to nothing, the whole mask is its boundary.
    assert boundary_iou(true, pred, dilation=0.5).value == 48 / 49


@given(st.integers(0, 1000), st.floats(0.01, 0.3))
def test_boundary_bounds_symmetry_and_turns(seed, dilation):
    true, pred = blobs(seed, (14, 18), 3, block=4)
    result = quietly(boundary_iou, true, pred, n_classes=3, dilation=dilation)
    assert 0.0 <= result.value <= 1.0
    assert quietly(boundary_iou, true, true, n_classes=3, dilation=dilation).value == 1.0
    for a, b in ((pred, true), (true[::-1], pred[::-1]), (true.T, pred.T)):
        other = quietly(boundary_iou, a, b, n_classes=3, dilation=dilation)
        np.testing.assert_array_equal(other.per_class, result.per_class)


def test_empty_masks_are_undefined():
    empty = np.zeros((5, 5), dtype=int)
    with pytest.warns(UndefinedMetricWarning, match="1 of 1 classes") as caught:
        assert math.isnan(boundary_iou(empty, empty).value)
    assert caught[0].filename == __file__
    assert boundary_iou(empty, empty, absent=1).value == 1.0
    assert boundary_iou(empty, empty + 1).value == 0.0
    with pytest.warns(UndefinedMetricWarning, match="2 of 2 classes"):
        assert math.isnan(mean_iou([9, 9], [0, 0], n_classes=2, ignore_index=9).value)


def test_the_result_as_table_and_dictionary_and_the_input_untouched():
    true, pred = random_maps(0, (4, 5, 5), 3)
    before = true.copy(), pred.copy()
    result = mean_iou(true, pred, n_classes=3, per_image=True)
    boundary_iou(true, pred, n_classes=3)
    assert (before[0] == true).all()
    assert (before[1] == pred).all()
    assert json.loads(json.dumps(result.to_dict()))["value"] == result.value
    wanted = pd.DataFrame({"iou": result.per_class, "support": result.support})
    pd.testing.assert_frame_equal(result.to_frame(), wanted.rename_axis("class"))


IMAGE = [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mean_iou([0, 3], [0, 1], n_classes=3), ValueError, "y_true .* 0 to 2; 1 .* as 3"),
        (lambda: mean_iou([0, 1], [0, -1], n_classes=3), ValueError, "y_pred .* such as -1"),
        (
            lambda: mean_iou([0, 254], [0, 1], n_classes=2, ignore_index=255),
            ValueError,
            "or ignore_index 255; 1 pixels do not, such as 254",
        ),
        (lambda: mean_iou([0.0], [0], n_classes=2), TypeError, "y_true must hold integer labels"),
        (lambda: mean_iou([0], ["a"], n_classes=2), TypeError, "y_pred must hold integer labels"),
        (lambda: mean_iou([0], [0, 1], n_classes=2), ValueError, r"shape: \(1,\) and \(2,\)"),
        (lambda: mean_iou([], [], n_classes=2), ValueError, "y_true is empty"),
        (lambda: mean_iou([0], [0], n_classes=0), ValueError, "n_classes must be at least 1"),
        (lambda: mean_iou([0], [0], n_classes=2, absent="skip"), ValueError, "absent must be"),
        (lambda: mean_iou([0], [0], n_classes=1, ignore_index=1.5), TypeError, "ignore_index"),
        (lambda: mean_iou([0], [0], n_classes=1, per_image=True), ValueError, "first axis"),
        (lambda: boundary_iou([0, 1], [0, 1]), ValueError, r"shape \(height, width\)"),
        (
            lambda: boundary_iou([[0, 2]], [[0, 1]]),
            ValueError,
            "y_true must hold labels from 0 to 1",
        ),
        (lambda: boundary_iou(IMAGE, IMAGE, dilation=0), ValueError, "dilation must lie strictly"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
