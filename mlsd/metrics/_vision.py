"""Metrics of segmentation: how far predicted regions, or their outlines, overlap with true ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_array
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._stats import t_interval
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_fraction, check_positive_int, warn_undefined

__all__ = ["SegmentationResult", "boundary_iou", "mean_iou"]

Absent = Literal["nan", 0, 1, "raise"]

# Pixels counted at once: what bincount needs as int64 then stays in the cache.
_CHUNK = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationResult(Result):
    """Intersection over union of the classes of a segmentation, and their mean.

    Attributes
    ----------
    value : float
        The mean, from 0 to 1: over the classes, or with ``per_image=True`` over the images. nan if
        nothing is left to average.
    lower, upper : float
        Ends of the t interval of a mean over images; nan for pooled pixels, which are no sample.
    per_class : ndarray of shape (n_classes,)
        IoU of each class; nan where it is undefined or the class is left out.
    support : ndarray of shape (n_classes,)
        True pixels of each class. For ``boundary_iou``, those in its boundary region.
    per_image : ndarray of shape (n_images,) or None
        Mean over its classes for each image; None for pooled pixels.
    absent : tuple of int
        Classes in neither truth nor prediction.
    n_pixels : int
        Pixels compared.
    n_ignored : int
        Pixels left out because their truth is `ignore_index`.
    undefined_images : int
        Images without a class to average, left out of the mean; 0 for pooled pixels.
    """

    value: float
    lower: float
    upper: float
    per_class: FloatArray
    support: IntArray
    per_image: FloatArray | None
    absent: tuple[int, ...]
    n_pixels: int
    n_ignored: int
    undefined_images: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row a class: its IoU and its true pixels."""
        index = pd.RangeIndex(len(self.per_class), name="class")
        return pd.DataFrame({"iou": self.per_class, "support": self.support}, index=index)


@dataclass(frozen=True, slots=True)
class _Counts:
    """Pixels by image and class; one image where all are pooled."""

    both: IntArray
    true: IntArray
    predicted: IntArray


def mean_iou(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    n_classes: int,
    ignore_index: int | None = None,
    absent: Absent = "nan",
    per_image: bool = False,
    level: float = 0.95,
) -> SegmentationResult:
    """Mean over the classes of the pixels where truth and prediction agree, over those of either.

    IoU of a class = pixels of the class in both / pixels of the class in truth or prediction. The
    pixels of all images are pooled first, as on Pascal VOC and Cityscapes; so large objects and
    large images weigh most. ``per_image=True`` weighs the images alike.

    Parameters
    ----------
    y_true : array-like of integers, any shape
        Class of each pixel, from 0 to ``n_classes - 1``, or `ignore_index`.
    y_pred : array-like of integers of the same shape
        Predicted class. Where the truth is ignored it may be anything.
    n_classes : int
        Number of classes, at least 1.
    ignore_index : int or None
        Pixels with this truth are left out and counted. If it is itself a class, that class is left
        out of the mean too; predicting it elsewhere still costs the class that was there.
    absent : "nan", 0, 1 or "raise"
        IoU of a class in neither truth nor prediction. "nan": left out of the mean, with a warning.
        A class predicted but never true has IoU 0 in any case.
    per_image : bool
        Take the first axis as images: `value` is the mean over images of the mean over the classes
        in each, with an interval; `per_class` the mean over the images that have the class.
        `absent` then holds image by image, but only classes absent from all of them warn or raise.
    level : float
        Coverage of the interval over images.

    Returns
    -------
    SegmentationResult
        Values from 0 to 1, nan if no class is left.

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes differ, there are no pixels, a label is out of range, or an option is invalid.

    Warns
    -----
    UndefinedMetricWarning
        If classes are absent and `absent` is "nan".

    References
    ----------
    Everingham et al. (2010), The Pascal visual object classes challenge, IJCV 88(2). Wang et al.
    (2023), Revisiting evaluation metrics for semantic segmentation, NeurIPS, for the means over
    images.

    Examples
    --------
    >>> result = mean_iou([[0, 0], [1, 1]], [[0, 1], [1, 1]], n_classes=2)
    >>> result.per_class.round(4).tolist(), round(result.value, 4)
    ([0.5, 0.6667], 0.5833)
    """
    n_classes = check_positive_int(n_classes, "n_classes")
    check_choice(absent, "absent", ("nan", 0, 1, "raise"))
    level = check_fraction(level, "level")
    true, pred = _label_maps(y_true, y_pred)
    if ignore_index is not None:
        _check_integer(ignore_index, "ignore_index")
    if per_image and true.ndim < 2:
        raise ValueError(f"y_true must have images as its first axis; got shape {true.shape}")
    n_images = true.shape[0] if per_image else 1
    counts, n_ignored = _count(true, pred, n_images, n_classes, ignore_index)
    left_out = _left_out(ignore_index, n_classes)
    result = _result(counts, absent, left_out, per_image, true.size - n_ignored, n_ignored, level)
    message = _undefined(result, absent)
    if message:
        warn_undefined(message)
    return result


def boundary_iou(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    n_classes: int | None = None,
    dilation: float = 0.02,
    absent: Absent = "nan",
) -> SegmentationResult:
    """Overlap of the true and the predicted outlines of regions, thickened by a share of the image.

    The boundary region of a mask is what erosion by d pixels takes away from it: the pixels of the
    mask with a pixel that is not of the mask within d rows and d columns. What lies outside the
    image is not of the mask, so a region cut off by the image border has a boundary there. The
    metric is the IoU of the two boundary regions. Where the erosion leaves nothing it is plain IoU.

    Parameters
    ----------
    y_true : array-like of integers, shape (height, width) or (n_images, height, width)
        A mask of 0 and 1, or with `n_classes` the class of each pixel. The pixels of several
        images are pooled.
    y_pred : array-like of integers of the same shape
        The prediction.
    n_classes : int or None
        None: masks, of which the region 1 counts. Otherwise every class counts, 0 too.
    dilation : float
        d as a fraction of the image's diagonal, strictly between 0 and 1; rounded as by ``round``,
        and at least 1 pixel.
    absent : "nan", 0, 1 or "raise"
        IoU of a class in neither truth nor prediction, as in ``mean_iou``.

    Returns
    -------
    SegmentationResult
        Values from 0 to 1; `per_class` has one entry for masks. `support` counts the pixels of the
        true boundary regions.

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes differ or are not of images, a label is out of range, or an option is invalid.

    Warns
    -----
    UndefinedMetricWarning
        If classes are absent and `absent` is "nan".

    References
    ----------
    Cheng, Girshick, Dollár, Berg and Kirillov (2021), Boundary IoU: improving object-centric image
    segmentation evaluation, CVPR.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.ones((5, 5), dtype=int)  # its boundary: a ring of 16 pixels
    >>> shifted = truth.copy()
    >>> shifted[:, 0] = 0                   # a ring of 14, of which 11 are in the other
    >>> result = boundary_iou(truth, shifted)
    >>> round(result.value, 4) == round(11 / 19, 4)
    True
    """
    masks = n_classes is None
    labels = 2 if n_classes is None else check_positive_int(n_classes, "n_classes")
    dilation = check_fraction(dilation, "dilation")
    check_choice(absent, "absent", ("nan", 0, 1, "raise"))
    true, pred = _label_maps(y_true, y_pred)
    if true.ndim not in (2, 3):
        raise ValueError(
            f"y_true must have shape (height, width) or (n_images, height, width); got {true.shape}"
        )
    _check_range(true, "y_true", labels)
    _check_range(pred, "y_pred", labels)
    distance = max(1, round(dilation * math.hypot(*true.shape[-2:])))
    outlines = (_outline(true, distance, labels), _outline(pred, distance, labels))
    # What is not outline has the label `labels`: one class more, that is not reported.
    counts, _ = _count(*outlines, 1, labels + 1, None)
    regions = slice(1, 2) if masks else slice(0, labels)
    counts = _Counts(counts.both[:, regions], counts.true[:, regions], counts.predicted[:, regions])
    result = _result(counts, absent, None, False, true.size, 0, 0.95)
    message = _undefined(result, absent)
    if message:
        warn_undefined(message)
    return result


def _outline(labels: AnyArray, distance: int, fill: int) -> AnyArray:
    """Return the labels where another label, or the end of the image, is near; elsewhere `fill`.

    A pixel stays in the erosion of its own class if all labels in the square around it are equal.
    So one minimum and one maximum, along rows and then columns, erode all classes at once.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    width = 2 * distance + 1
    labels = labels.astype(np.int32 if fill < 2**31 else np.int64)
    least, most = labels, labels
    for axis in (-1, -2):
        # -1 outside the image: the least label near the border, and of no class.
        least = minimum_filter1d(least, width, axis=axis, mode="constant", cval=-1)
        most = maximum_filter1d(most, width, axis=axis, mode="nearest")
    labels[least == most] = fill
    return labels


def _label_maps(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[AnyArray, AnyArray]:
    maps = []
    for values, name in ((y_true, "y_true"), (y_pred, "y_pred")):
        array = as_array(values, name)
        if not array.size:
            raise ValueError(f"{name} is empty: there is nothing to evaluate")
        if array.dtype.kind not in "biu":
            raise TypeError(f"{name} must hold integer labels; got {array.dtype}")
        maps.append(array)
    true, pred = maps
    if true.shape != pred.shape:
        raise ValueError(f"y_true and y_pred differ in shape: {true.shape} and {pred.shape}")
    return true, pred


def _check_integer(value: object, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer or None; got {value!r}")


def _check_range(labels: AnyArray, name: str, n_classes: int, what: str = "") -> None:
    if not labels.size or (int(labels.min()) >= 0 and int(labels.max()) < n_classes):
        return
    wrong = labels[(labels < 0) | (labels >= n_classes)]
    raise ValueError(
        f"{name} must hold labels from 0 to {n_classes - 1}{what}; {wrong.size} pixels do not, "
        f"such as {int(wrong[0])}"
    )


def _left_out(ignore_index: int | None, n_classes: int) -> int | None:
    return ignore_index if ignore_index is not None and 0 <= ignore_index < n_classes else None


def _count(
    true: AnyArray, pred: AnyArray, n_images: int, n_classes: int, ignore_index: int | None
) -> tuple[_Counts, int]:
    """Return the pixels of each image and class in truth, prediction and both; and those ignored.

    Chunk by chunk, and with as many bins as classes rather than a square of them.
    """
    size = n_images * n_classes
    both, in_true, in_pred = (np.zeros(size, dtype=np.int64) for _ in range(3))
    true, pred = true.reshape(n_images, -1), pred.reshape(n_images, -1)
    n_ignored = 0
    what = "" if ignore_index is None else f" or ignore_index {ignore_index}"
    # Small images go together, large ones in pieces.
    images = max(1, _CHUNK // true.shape[1])
    for first in range(0, n_images, images):
        for start in range(0, true.shape[1], _CHUNK):
            part = (slice(first, first + images), slice(start, start + _CHUNK))
            t, p = true[part], pred[part]
            offset = np.arange(t.shape[0], dtype=np.int64)[:, None] * n_classes
            if ignore_index is not None:
                keep = t != ignore_index
                n_ignored += int(keep.size - np.count_nonzero(keep))
                offset = np.broadcast_to(offset, t.shape)[keep]
                t, p = t[keep], p[keep]
            _check_range(t, "y_true", n_classes, what)
            _check_range(p, "y_pred", n_classes)
            low, high = first * n_classes, min(first + images, n_images) * n_classes
            t, p = (offset + t.astype(np.int64)).ravel(), (offset + p.astype(np.int64)).ravel()
            for total, at in ((both, t[t == p]), (in_true, t), (in_pred, p)):
                total[low:high] += np.bincount(at, minlength=high - low)
    shape = (n_images, n_classes)
    return _Counts(both.reshape(shape), in_true.reshape(shape), in_pred.reshape(shape)), n_ignored


def _result(
    counts: _Counts,
    absent: Absent,
    left_out: int | None,
    per_image: bool,
    n_pixels: int,
    n_ignored: int,
    level: float,
) -> SegmentationResult:
    union = counts.true + counts.predicted - counts.both
    fill = math.nan if absent in ("nan", "raise") else float(absent)
    iou = np.divide(counts.both, union, out=np.full(union.shape, fill), where=union > 0)
    nowhere: BoolArray = np.asarray(~union.any(axis=0))
    if left_out is not None:
        iou[:, left_out] = math.nan
        nowhere[left_out] = False
    missing = tuple(np.flatnonzero(nowhere).tolist())
    if absent == "raise" and missing:
        raise ValueError(
            f"classes {list(missing)} are in neither y_true nor y_pred; "
            "absent says what their IoU is to be"
        )
    value = lower = upper = math.nan
    images = None
    undefined = 0
    if per_image:
        images = _nanmean(iou, axis=1)
        known = images[~np.isnan(images)]
        undefined = images.size - known.size
        interval = t_interval(known, level=level)
        value, lower, upper = interval.mean, interval.lower, interval.upper
    per_class = _nanmean(iou, axis=0)
    if not per_image:
        value = float(_nanmean(per_class[None], axis=1)[0])
    support = counts.true.sum(axis=0)
    return SegmentationResult(
        value, lower, upper, per_class, support, images, missing, n_pixels, n_ignored, undefined
    )


def _nanmean(values: FloatArray, *, axis: int) -> FloatArray:
    """Return the mean of what is not nan; nan where nothing is, without NumPy's own warning."""
    known = ~np.isnan(values)
    n = np.count_nonzero(known, axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    mean: FloatArray = np.divide(total, n, out=np.full(total.shape, math.nan), where=n > 0)
    return mean


def _undefined(result: SegmentationResult, absent: Absent) -> str:
    """Return what is undefined in words, or nothing."""
    said = []
    if absent == "nan" and result.absent:
        said.append(
            f"{len(result.absent)} of {result.per_class.size} classes are in neither y_true nor "
            "y_pred"
        )
    if result.undefined_images:
        said.append(f"{result.undefined_images} images have no class to average")
    if not said and math.isnan(result.value):
        said.append("no pixel or class is left to average")
    return "; ".join(said) + ": IoU is nan there, and left out of the mean" if said else ""
