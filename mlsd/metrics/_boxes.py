"""Boxes of many images and classes at once: read from tables, overlapped, and matched by score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._groups import Segments
from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.metrics._tables import column_names, shared_codes

__all__ = ["Boxes", "Pairs", "check_boxes", "intersection", "match", "overlapping", "read_boxes"]


_BOX = ["x", "y", "width", "height"]
_KEYS = ["image_id", "category_id"]
# Pairs of boxes compared at once: 32 MB a column.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class Boxes:
    """True boxes and detections of the same images and classes, both as arrays.

    True boxes are in order of class and image, within these as given. Detections are in order of
    class, falling score, image and row, no more than `max_dets` of an image and class.
    """

    classes: npt.NDArray[Any]
    """Identifiers of the classes, ascending; the arrays hold places in it."""
    true_box: FloatArray
    true_area: FloatArray
    true_class: IntArray
    true_group: IntArray
    """Class and image in one number."""
    crowd: BoolArray
    box: FloatArray
    area: FloatArray
    category: IntArray
    group: IntArray
    rank: IntArray
    """Place of a detection among those of its class and image, from 0."""
    n_detections: IntArray
    """Detections of each class, with those beyond `max_dets`."""
    n_tied: int
    """Detections with the score of another of their class, with those beyond `max_dets`."""
    n_images: int
    images_without_truth: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """Detections and the true boxes they overlap enough to match at some threshold.

    Rounds go by the place of the detection among those of its image and class that are in a pair.
    """

    detection: IntArray
    truth: IntArray
    iou: FloatArray
    round: IntArray


def check_boxes(box: FloatArray, name: str) -> None:
    """Raise ValueError unless the rows (x, y, width, height) are finite, with no negative side."""
    wrong = np.flatnonzero(~np.isfinite(box).all(axis=1))
    if wrong.size:
        raise ValueError(
            f"{name} holds {wrong.size} boxes that are not finite, such as {box[wrong[0]].tolist()}"
            f" (x, y, width, height) in row {wrong[0]}"
        )
    wrong = np.flatnonzero((box[:, 2:] < 0.0).any(axis=1))
    if wrong.size:
        raise ValueError(
            f"{name} holds {wrong.size} boxes with a negative width or height, such as "
            f"{box[wrong[0]].tolist()} (x, y, width, height) in row {wrong[0]}"
        )


def intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the shared area of boxes (x, y, width, height) in the last axis, paired by NumPy."""
    sides = [
        np.minimum(a[..., at] + a[..., at + 2], b[..., at] + b[..., at + 2])
        - np.maximum(a[..., at], b[..., at])
        for at in (0, 1)
    ]
    shared: FloatArray = np.maximum(sides[0], 0.0) * np.maximum(sides[1], 0.0)
    return shared


def read_boxes(ground_truth: Any, detections: Any, max_dets: int) -> Boxes:
    """Return both tables as arrays, or raise with what is wrong in them."""
    optional = [name for name in ("iscrowd", "area") if name in column_names(ground_truth)]
    truth = as_pandas(ground_truth, "ground_truth", [*_KEYS, *_BOX, *optional])
    found = as_pandas(detections, "detections", [*_KEYS, *_BOX, "score"])
    (true_image, image), images = shared_codes(*_both(truth, found, "image_id"))
    (true_class, category), classes = shared_codes(*_both(truth, found, "category_id"))
    true_box, box = _box(truth, "ground_truth"), _box(found, "detections")
    true_area = true_box[:, 2] * true_box[:, 3]
    if "area" in optional:
        true_area = _floats(truth, "area", "ground_truth")
        wrong = np.flatnonzero(~((true_area >= 0.0) & (true_area < np.inf)))
        if wrong.size:
            raise ValueError(
                f"ground_truth column 'area' must be finite and not negative; {wrong.size} values "
                f"are not, such as {true_area[wrong[0]]:g} in row {wrong[0]}"
            )
    crowd = np.zeros(len(truth), dtype=np.bool_)
    if "iscrowd" in optional:
        flag = _floats(truth, "iscrowd", "ground_truth")
        crowd = flag == 1.0
        if not (crowd | (flag == 0.0)).all():
            raise ValueError("ground_truth column 'iscrowd' must hold 0 and 1 only")
    score = _floats(found, "score", "detections")

    true_group = true_class * len(images) + true_image
    by_group = np.argsort(true_group, kind="stable")
    order = np.lexsort((image, -score, category))  # stable: rows last
    image, category, score = image[order], category[order], score[order]
    group = category * len(images) + image
    rank = _places(group)
    same = (category[1:] == category[:-1]) & (score[1:] == score[:-1])
    tied = np.zeros(score.size, dtype=np.bool_)
    tied[1:] |= same
    tied[:-1] |= same
    keep = rank < max_dets
    kept_box = box[order[keep]]
    return Boxes(
        classes=classes,
        true_box=true_box[by_group],
        true_area=true_area[by_group],
        true_class=true_class[by_group],
        true_group=true_group[by_group],
        crowd=crowd[by_group],
        box=kept_box,
        area=kept_box[:, 2] * kept_box[:, 3],
        category=category[keep],
        group=group[keep],
        rank=rank[keep],
        n_detections=np.bincount(category, minlength=len(classes)),
        n_tied=int(np.count_nonzero(tied)),
        n_images=len(images),
        images_without_truth=len(images) - np.unique(true_image).size,
    )


def overlapping(boxes: Boxes, least: float) -> Pairs:
    """Return the pairs of one image and class whose IoU is at least `least`.

    IoU with a crowd is over the area of the detection alone.
    """
    start = np.searchsorted(boxes.true_group, boxes.group, side="left")
    count = np.searchsorted(boxes.true_group, boxes.group, side="right") - start
    parts = []
    for rows in _slices(np.cumsum(count)):
        here = Segments.from_lengths(count[rows])
        detection = rows.start + here.labels()
        truth = start[detection] + here.positions()
        a, b = boxes.box[detection], boxes.true_box[truth]
        shared = intersection(a, b)
        mine = a[:, 2] * a[:, 3]
        # In this order of operations a threshold met exactly is met as in pycocotools.
        union = np.where(boxes.crowd[truth], mine, mine + b[:, 2] * b[:, 3] - shared)
        iou = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0.0)
        enough = iou >= least
        parts.append((detection[enough], truth[enough], iou[enough]))
    empty = np.zeros(0, dtype=np.int64)
    detection, truth, iou = (
        (np.concatenate(column) for column in zip(*parts, strict=True))
        if parts
        else (empty, empty, np.zeros(0))
    )
    involved, back = np.unique(detection, return_inverse=True)
    return Pairs(detection, truth, iou, _places(boxes.group[involved])[back])


def match(
    pairs: Pairs, boxes: Boxes, ignored: BoolArray, thresholds: FloatArray
) -> tuple[npt.NDArray[np.intp], IntArray, IntArray]:
    """Return which true box each detection takes: (threshold, detection, truth) of each match.

    In a round, one detection of every image and class chooses, at every threshold at once; those
    of different images or classes are never after the same box.
    """
    # In order of choice: boxes that count, then large IoU, then the later row.
    order = np.lexsort(
        (-pairs.truth, -pairs.iou, ignored[pairs.truth], pairs.detection, pairs.round)
    )
    detection, truth, iou = pairs.detection[order], pairs.truth[order], pairs.iou[order]
    bounds = np.concatenate(([0], np.cumsum(np.bincount(pairs.round))))
    taken = np.zeros((thresholds.size, ignored.size), dtype=np.bool_)
    found = []
    for low, high in pairwise(bounds):
        wanted = truth[low:high]
        free = iou[low:high] >= thresholds[:, None]
        free &= ~taken[:, wanted]
        heads = np.flatnonzero(np.diff(detection[low:high], prepend=-1))
        place = np.where(free, np.arange(high - low), high - low)
        first = np.minimum.reduceat(place, heads, axis=1)
        threshold, at = np.nonzero(first < high - low)
        chosen = first[threshold, at]
        taken[threshold, wanted[chosen]] = ~boxes.crowd[wanted[chosen]]
        found.append((threshold, detection[low + chosen], wanted[chosen]))
    if not found:
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    return columns[0], columns[1], columns[2]


def _both(
    truth: pd.DataFrame, found: pd.DataFrame, column: str
) -> list[tuple[pd.Series[Any], str]]:
    named = ((truth, "ground_truth"), (found, "detections"))
    return [(frame[column], f"{name} column {column!r}") for frame, name in named]


def _floats(frame: pd.DataFrame, column: str, name: str) -> FloatArray:
    if frame.empty:
        return np.zeros(0)
    return as_floats(frame[column], f"{name} column {column!r}")


def _box(frame: pd.DataFrame, name: str) -> FloatArray:
    box = np.column_stack([_floats(frame, column, name) for column in _BOX])
    check_boxes(box, name)
    return box


def _places(group: IntArray) -> IntArray:
    """Return the place of each row among those of its group, from 0."""
    order = np.argsort(group, kind="stable")
    _, count = np.unique(group, return_counts=True)
    places = np.empty(group.size, dtype=np.int64)
    places[order] = Segments.from_lengths(count).positions()
    return places


def _slices(total: IntArray) -> Iterator[slice]:
    """Yield stretches of rows whose pairs, of which `total` is the running sum, fit in a chunk."""
    start = 0
    while start < total.size:
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        yield slice(start, stop)
        start = stop
