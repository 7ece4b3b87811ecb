"""Average precision of object detection as COCO defines it, for all images and classes at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._groups import Segments
from mlsd._inputs import as_array, as_floats
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_positive_int, warn_undefined
from mlsd.metrics._boxes import Boxes, check_boxes, intersection, match, overlapping, read_boxes

__all__ = ["DetectionResult", "box_iou", "detection_average_precision"]


# As COCO's tools make them: .9 is 0.8999999999999999 there, and ten of the recalls, such as .35,
# differ in the last digit from the decimal. Which detection reaches them depends on it.
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
# A threshold of 1 has to admit what rounding left of a perfect match.
_HIGHEST_THRESHOLD = 1.0 - 1e-10
# COCO's largest area, on a side of 100,000 pixels: beyond it a box is ignored.
_LARGEST = 1e5**2
_METRICS = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
_METRICS += ["ar1", "ar10", "ar", "ar_small", "ar_medium", "ar_large"]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionResult(Result):
    """Average precision and recall of detections, and what was counted or left out on the way.

    Each mean is over the IoU thresholds and the classes that have a true box of that size; nan if
    none has. AP and AR are between 0 and 1.

    Attributes
    ----------
    ap, ap50, ap75 : float
        Average precision: mean over `iou_thresholds`, at .5, and at .75.
    ap_small, ap_medium, ap_large : float
        AP with true boxes of that area only, the others ignored.
    ar1, ar10, ar : float
        Average recall with the best 1, 10 and `max_dets` detections of each image and class.
    ar_small, ar_medium, ar_large : float
        AR with `max_dets` detections, of true boxes of that area.
    per_class : DataFrame
        One row a class (index ``category_id``): n_truth (crowds not counted), n_crowd,
        n_detections, and the metrics above; nan where the class has no true box of that size.
    n_images, n_classes : int
        Distinct images and classes in either table. An image without a row does not matter.
    n_truth, n_crowd, n_detections : int
        True boxes that are no crowds, crowds, and detections.
    images_without_truth : int
        Images that only the detections name. All that is found there is a false positive.
    classes_without_truth : int
        Classes without a true box (a crowd is none): undefined, and left out of every mean.
    detections_left_out : int
        Detections of those classes, which therefore count nowhere.
    detections_beyond_max : int
        Detections dropped as more than `max_dets` in their image and class.
    detections_tied : int
        Detections with the score of another one of their class. Their order is that of the image
        identifiers, then of the rows; another order could give another AP.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar: float
    ar_small: float
    ar_medium: float
    ar_large: float
    per_class: pd.DataFrame = field(repr=False)
    n_images: int
    n_classes: int
    n_truth: int
    n_crowd: int
    n_detections: int
    images_without_truth: int
    classes_without_truth: int
    detections_left_out: int
    detections_beyond_max: int
    detections_tied: int


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike, *, format: str = "xywh") -> FloatArray:
    """Intersection over union of each box of `a` with each box of `b`.

    Parameters
    ----------
    a : array-like of shape (n, 4)
        Boxes: "xywh" has the corner with the smallest coordinates, width and height; "xyxy" has
        that corner and the opposite one. Coordinates are continuous: a box from 0 to 10 has width
        10, not 11.
    b : array-like of shape (m, 4)
        Boxes in the same format.
    format : str
        "xywh" or "xyxy".

    Returns
    -------
    ndarray of shape (n, m)
        From 0 to 1. Two boxes without area have none to share: nan, with a warning.

    Raises
    ------
    ValueError
        If a shape is wrong, a coordinate is not finite, a box has a negative side, or `format` is
        unknown.

    Warns
    -----
    UndefinedMetricWarning
        If both boxes of a pair have area 0.

    References
    ----------
    Jaccard (1912), The distribution of the flora in the alpine zone, New Phytologist 11(2).

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 2, 2]]).round(4).tolist()
    [[1.0, 0.3333]]
    """
    check_choice(format, "format", ("xywh", "xyxy"))
    first, second = _boxes(a, "a", format), _boxes(b, "b", format)
    shared = intersection(first[:, None], second[None, :])
    union = (first[:, 2] * first[:, 3])[:, None] + (second[:, 2] * second[:, 3]) - shared
    undefined = int(np.count_nonzero(union <= 0.0))
    if undefined:
        warn_undefined(f"{undefined} of {union.size} pairs of boxes have no area: their IoU is nan")
    iou: FloatArray = np.divide(
        shared, union, out=np.full(union.shape, math.nan), where=union > 0.0
    )
    np.minimum(iou, 1.0, out=iou)  # x + width - x may exceed width in the last digit
    return iou


def detection_average_precision(
    ground_truth: Any,
    detections: Any,
    *,
    iou_thresholds: npt.ArrayLike | None = None,
    max_dets: int = 100,
    area_limits: tuple[float, float] = (32.0**2, 96.0**2),
) -> DetectionResult:
    """Average precision of detected boxes, averaged over IoU thresholds and classes, as in COCO.

    Within an image and class the detections choose in order of falling score: each takes the true
    box that it overlaps most and that is still free, if their IoU reaches the threshold, and is
    then a true positive. Then all images' detections of a class are ordered by score, and AP is the
    mean over the recalls 0, .01, ..., 1 of the best precision at that recall or a higher one (0
    where the recall is never reached).

    A crowd can be matched any number of times, by IoU over the area of the detection alone; what
    matches it counts neither for nor against, and so it is with true boxes outside the range of
    areas asked for. Boxes that count are preferred to such, whatever the IoU. A detection that
    matches nothing is not counted either if its own area is out of the range.

    All follows pycocotools, tolerances of 1e-10 on the highest threshold and equal overlaps (the
    later row wins) included, but for undefined values, which are -1 there and nan here.

    Parameters
    ----------
    ground_truth : table
        One row a true box: ``image_id`` and ``category_id`` (integers or strings), ``x``, ``y``,
        ``width``, ``height`` in pixels. Optional ``iscrowd`` (0 or 1; default 0) and ``area`` (as
        of the segmentation; default width times height).
    detections : table
        One row a detection: the same six columns and ``score``, higher first. An area column is
        not used: the area is that of the box.
    iou_thresholds : array-like or None
        Thresholds above 0, at most 1; None: .5, .55, ..., .95. `ap50` and `ap75` are computed in
        any case.
    max_dets : int
        Detections considered for each image and class, the best by score.
    area_limits : tuple of two floats
        Where small ends and medium begins, and where medium ends and large begins, in square
        pixels. A box on a limit belongs to both sides.

    Returns
    -------
    DetectionResult
        Values between 0 and 1; nan for what has no true box.

    Raises
    ------
    TypeError
        If an argument is not a table, or identifiers are integers on one side only.
    ValueError
        If a column is missing, a number is missing, infinite or negative where it cannot be, or an
        option is out of range.

    Warns
    -----
    UndefinedMetricWarning
        If a class has no true box.

    References
    ----------
    Lin et al. (2014), Microsoft COCO: common objects in context, ECCV; the definition is that of
    its evaluation code, ``cocoeval.py``. Everingham et al. (2010), The Pascal visual object classes
    challenge, IJCV 88(2), for the interpolated precision.

    Examples
    --------
    >>> import pandas as pd
    >>> truth = pd.DataFrame({"image_id": [1, 2], "category_id": 7, "x": 0, "y": 0,
    ...                       "width": 10, "height": 10})
    >>> found = truth.assign(width=[10, 6], score=[.9, .8])  # IoU 1 and .6
    >>> result = detection_average_precision(truth, found)
    >>> result.ap50, round(result.ap75, 4)  # precision 1 up to recall .5: 51 of 101 points
    (1.0, 0.505)
    """
    max_dets = check_positive_int(max_dets, "max_dets")
    asked = _thresholds(iou_thresholds)
    ranges = _area_ranges(area_limits)
    boxes = read_boxes(ground_truth, detections, max_dets)
    n_classes = len(boxes.classes)
    metrics = _per_class(boxes, asked, ranges, max_dets)
    undefined = np.isnan(metrics["ap"])
    left_out = int(boxes.n_detections[undefined].sum())
    if undefined.any() or not n_classes:
        warn_undefined(
            f"{int(undefined.sum())} of {n_classes} classes have no true box: their average "
            f"precision is nan, and they are left out of the mean with {left_out} detections"
        )
    n_truth = np.bincount(boxes.true_class[~boxes.crowd], minlength=n_classes)
    n_crowd = np.bincount(boxes.true_class[boxes.crowd], minlength=n_classes)
    counts = {"n_truth": n_truth, "n_crowd": n_crowd, "n_detections": boxes.n_detections}
    per_class = pd.DataFrame(
        counts | {name: metrics[name] for name in _METRICS},
        index=pd.Index(boxes.classes, name="category_id"),
    )
    n_detections = int(boxes.n_detections.sum())
    return DetectionResult(
        **{name: _mean(metrics[name]) for name in _METRICS},
        per_class=per_class,
        n_images=boxes.n_images,
        n_classes=n_classes,
        n_truth=int(n_truth.sum()),
        n_crowd=int(n_crowd.sum()),
        n_detections=n_detections,
        images_without_truth=boxes.images_without_truth,
        classes_without_truth=int(undefined.sum()),
        detections_left_out=left_out,
        detections_beyond_max=n_detections - len(boxes.box),
        detections_tied=boxes.n_tied,
    )


def _boxes(values: npt.ArrayLike, name: str, format: str) -> FloatArray:
    """Return boxes as rows of x, y, width and height."""
    array = as_array(values, name)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"{name} must have shape (n, 4); got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numeric; got {array.dtype}")
    box = array.astype(np.float64)
    if format == "xyxy":
        box[:, 2:] -= box[:, :2]
    check_boxes(box, name)
    return box


def _thresholds(values: npt.ArrayLike | None) -> FloatArray:
    if values is None:
        return _THRESHOLDS
    thresholds = np.unique(as_floats(values, "iou_thresholds"))
    if not thresholds.size or thresholds[0] <= 0.0 or thresholds[-1] > 1.0:
        raise ValueError(f"iou_thresholds must be above 0 and at most 1; got {values!r}")
    return thresholds


def _area_ranges(limits: tuple[float, float]) -> dict[str, tuple[float, float]]:
    if len(limits) != 2:
        raise ValueError(f"area_limits must be two numbers; got {limits!r}")
    small, large = as_floats(list(limits), "area_limits").tolist()
    if not 0.0 < small <= large < _LARGEST:
        raise ValueError(f"area_limits must rise from above 0 to below 1e10; got {limits!r}")
    return {
        "": (0.0, _LARGEST),
        "_small": (0.0, small),
        "_medium": (small, large),
        "_large": (large, _LARGEST),
    }


def _per_class(
    boxes: Boxes, asked: FloatArray, ranges: dict[str, tuple[float, float]], max_dets: int
) -> dict[str, FloatArray]:
    """Return each metric of each class; nan for a class without a true box of the size."""
    every = np.unique(np.concatenate((asked, [0.5, 0.75])))
    limits = np.minimum(every, _HIGHEST_THRESHOLD)
    averaged = np.isin(every, asked)
    pairs = overlapping(boxes, float(limits[0]))
    levels = np.array([1, 10, max_dets])
    metrics = {}
    for name, (low, high) in ranges.items():
        ignored = boxes.crowd | (boxes.true_area < low) | (boxes.true_area > high)
        n_truth = np.bincount(boxes.true_class[~ignored], minlength=len(boxes.classes))
        in_range = (boxes.area >= low) & (boxes.area <= high)
        threshold, detection, truth = match(pairs, boxes, ignored, limits)
        precision = np.empty((limits.size, n_truth.size))
        recall = np.empty((levels.size, limits.size, n_truth.size))
        for at in range(limits.size):
            matched, to = detection[threshold == at], truth[threshold == at]
            positive = np.zeros(len(boxes.box), dtype=np.bool_)
            positive[matched[~ignored[to]]] = True
            negative = in_range.copy()
            negative[matched] = False
            precision[at] = _average_precision(positive, negative, boxes.category, n_truth)
            for level, first in enumerate(levels):
                hits = boxes.category[positive & (boxes.rank < first)]
                recall[level, at] = _ratio(np.bincount(hits, minlength=n_truth.size), n_truth)
        metrics["ap" + name] = precision[averaged].mean(axis=0)
        metrics["ar" + name] = recall[2, averaged].mean(axis=0)
        if not name:
            metrics["ap50"] = precision[every == 0.5][0]
            metrics["ap75"] = precision[every == 0.75][0]
            metrics["ar1"] = recall[0, averaged].mean(axis=0)
            metrics["ar10"] = recall[1, averaged].mean(axis=0)
    return metrics


def _average_precision(
    positive: BoolArray, negative: BoolArray, category: IntArray, n_truth: IntArray
) -> FloatArray:
    """Return the 101-point interpolated average precision of each class.

    Detections are in order of class and falling score. Precision falls from one true positive to
    the next, so the best at a recall or beyond is found among the true positives alone.
    """
    at = np.flatnonzero(positive)
    of_class = Segments.from_lengths(np.bincount(category[at], minlength=n_truth.size))
    first = np.searchsorted(category, np.arange(n_truth.size))
    before = np.concatenate(([0], np.cumsum(negative)))
    hits = of_class.positions() + 1
    precision = hits / (hits + before[at] - before[first[category[at]]])
    # The best from here on: the running maximum from the end. It is taken over places in the sorted
    # precisions, plus so much for each later class that none reaches into the class before.
    values, place = np.unique(precision, return_inverse=True)
    shift = (n_truth.size - category[at]) * values.size
    best = values[np.maximum.accumulate((place + shift)[::-1])[::-1] - shift]
    best = np.append(best, 0.0)  # the last entry stands for a recall that is not reached
    # The fewest hits whose recall, as a floating-point number, reaches each of the 101.
    enough = np.ceil(_RECALLS * n_truth[:, None])
    enough -= _ratio(enough - 1.0, n_truth[:, None]) >= _RECALLS
    enough += _ratio(enough, n_truth[:, None]) < _RECALLS
    nth = np.maximum(enough.astype(np.int64), 1) - 1
    reached = nth < of_class.lengths[:, None]
    average = best[np.where(reached, of_class.starts[:, None] + nth, at.size)].mean(axis=1)
    return np.where(n_truth > 0, average, math.nan)


def _ratio(part: npt.NDArray[Any], whole: IntArray) -> FloatArray:
    """Return the quotient; nan where `whole` is 0."""
    part, whole = np.broadcast_arrays(part, whole)
    ratio: FloatArray = np.divide(part, whole, out=np.full(part.shape, math.nan), where=whole > 0)
    return ratio


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
