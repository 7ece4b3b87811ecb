"""The confusion matrix of data in chunks, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlsd._fields import Counts, Field
from mlsd._inputs import as_array, as_column
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._state import State
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_positive_int, warn_undefined

__all__ = ["ConfusionAccumulator", "ConfusionSummary"]


_MOST_CLASSES = 10_000  # a matrix of 800 MB
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class ConfusionSummary(Result):
    """Accuracy and the metrics of each class, from a merged confusion matrix."""

    accuracy: float
    """Share of the rows whose class is predicted."""
    mean_iou: float
    """Mean IoU of the classes that are in the truth or among the predictions."""
    macro_f1: float
    """Mean F1 of the same classes."""
    n: int
    """Rows."""
    n_absent: int
    """Classes in neither the truth nor the predictions, left out of the means."""
    per_class: pd.DataFrame
    """One row a class: precision, recall, f1, iou (nan where undefined), n_true, n_predicted."""
    matrix: IntArray
    """Rows by true class and predicted class."""

    def to_frame(self) -> pd.DataFrame:
        """Return the metrics of each class."""
        return self.per_class.copy()


class ConfusionAccumulator(State):
    """Confusion matrix of classes or pixels in chunks: accuracy, F1 and IoU of each class.

    Parameters
    ----------
    n_classes : int or None
        Classes are the integers from 0 to ``n_classes - 1``; at most 10,000.
    labels : sequence of str or of int, or None
        The classes by name, in the order of the matrix. Give this or `n_classes`.

    Notes
    -----
    The classes are fixed beforehand, as all parts of the data need the same. A label outside them
    raises: to leave out pixels marked as void, select the others first.

    References
    ----------
    Everingham et al. (2015), The Pascal visual object classes challenge: a retrospective, IJCV
    111(1): IoU of a class over all pixels of the data, not the mean of images.

    Examples
    --------
    >>> a = ConfusionAccumulator(labels=["cat", "dog"]).update(["cat", "dog"], ["cat", "cat"])
    >>> b = ConfusionAccumulator(labels=["cat", "dog"]).update(["dog"], ["dog"])
    >>> summary = (a + b).result()
    >>> summary.matrix.tolist(), round(summary.accuracy, 4), summary.mean_iou
    ([[1, 0], [1, 1]], 0.6667, 0.5)
    """

    kind = "confusion"
    version = 1
    __slots__ = ()

    def __init__(
        self, *, n_classes: int | None = None, labels: Sequence[str] | Sequence[int] | None = None
    ) -> None:
        super().__init__(n_classes=n_classes, labels=labels)

    @classmethod
    def _configure(cls, *, n_classes: Any, labels: Any) -> dict[str, Any]:  # type: ignore[override]
        if (n_classes is None) == (labels is None):
            raise ValueError(
                f"give n_classes or labels, not both or none; got {n_classes!r} and {labels!r}"
            )
        if labels is not None:
            if isinstance(labels, str):
                raise TypeError(f"labels must be a sequence of labels; got {labels!r}")
            labels = [x.item() if isinstance(x, np.generic) else x for x in labels]
            if {type(label) for label in labels} not in ({str}, {int}):
                raise TypeError(f"labels must be all strings or all integers; got {labels!r}")
            if len(set(labels)) < len(labels):
                raise ValueError(f"labels holds a label twice: {labels!r}")
            if labels and type(labels[0]) is int and max(map(abs, labels)) >= 1 << 63:
                raise ValueError("labels holds an integer that does not fit 64 bits")
        else:
            n_classes = check_positive_int(n_classes, "n_classes")
        size = len(labels) if labels is not None else n_classes
        if size > _MOST_CLASSES:
            raise ValueError(f"{size} classes are more than the {_MOST_CLASSES} that are supported")
        return {"n_classes": n_classes, "labels": labels}

    @classmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        size = config["n_classes"] or len(config["labels"])
        return {"matrix": Counts((size, size))}

    def update(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Self:
        """Add rows or pixels.

        Parameters
        ----------
        y_true, y_pred : array-like of one shape
            True and predicted classes; images may keep their shape.

        Returns
        -------
        ConfusionAccumulator
            This one, changed.

        Raises
        ------
        TypeError
            If the labels are of another type than the classes.
        ValueError
            If the shapes differ, or a label is missing or none of the classes. The state is then
            as it was.
        """
        shapes = np.shape(y_true), np.shape(y_pred)
        if shapes[0] != shapes[1]:
            raise ValueError(f"y_true and y_pred differ in shape: {shapes[0]} and {shapes[1]}")
        true, predicted = self._codes(y_true, "y_true"), self._codes(y_pred, "y_pred")
        matrix: IntArray = self._fields["matrix"].zero()
        size = matrix.shape[0]
        for start in range(0, true.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            cells = true[block].astype(np.int64) * size
            cells += predicted[block].astype(np.int64)
            matrix += np.bincount(cells, minlength=size * size).reshape(size, size)
        self._absorb(matrix=matrix)
        return self

    def _codes(self, values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
        """Return the class of each value as its row of the matrix."""
        if isinstance(values, list | tuple):
            nested = as_array(values, name)
            values = nested if nested.ndim > 1 else values
        if isinstance(values, np.ndarray):
            values = values.ravel()
        column = as_column(values, name)
        labels = self._config["labels"]
        if labels is not None and isinstance(labels[0], str):
            if column.size and not (column.dtype == object and _all_strings(column)):
                raise TypeError(f"{name} must hold strings, as labels does; got {column.dtype}")
            codes = pd.Index(labels, dtype=object).get_indexer(pd.Index(column, dtype=object))
            wrong = codes < 0
        else:
            column = _whole(column, name)
            if labels is None:
                codes, wrong = column, (column < 0) | (column >= self._config["n_classes"])
            else:
                codes = pd.Index(labels).get_indexer(pd.Index(column.astype(np.int64)))
                wrong = codes < 0
        if wrong.any():
            known = f"0 to {self._config['n_classes'] - 1}" if labels is None else f"{labels!r}"
            raise ValueError(
                f"{name} holds {int(wrong.sum())} labels that are no class, such as "
                f"{column[wrong][0]!r}; the classes are {known}"
            )
        return np.asarray(codes)

    def result(self) -> ConfusionSummary:
        """Return accuracy and the metrics of each class.

        Returns
        -------
        ConfusionSummary
            All metrics between 0 and 1. Precision is nan for a class that is never predicted,
            recall for one that is never true, F1 and IoU for one that is neither; such a class is
            left out of the means.

        Warns
        -----
        UndefinedMetricWarning
            If a value is nan; the message counts the classes.
        """
        matrix: IntArray = self._values["matrix"].copy()
        hits = np.diagonal(matrix).astype(np.float64)
        n_true, n_predicted = matrix.sum(axis=1), matrix.sum(axis=0)
        n = int(matrix.sum())
        either = n_true + n_predicted
        labels = self._config["labels"] or range(self._config["n_classes"])
        per_class = pd.DataFrame(
            {
                "precision": _share(hits, n_predicted),
                "recall": _share(hits, n_true),
                "f1": _share(2 * hits, either),
                "iou": _share(hits, either - np.diagonal(matrix)),
                "n_true": n_true,
                "n_predicted": n_predicted,
            },
            index=pd.Index(labels, name="label"),
        )
        present = either > 0
        unpredicted, untrue = int((n_predicted == 0).sum()), int((n_true == 0).sum())
        if not n:
            warn_undefined("no row: all metrics are nan")
        elif unpredicted or untrue:
            warn_undefined(
                f"of {len(per_class)} classes {unpredicted} are never predicted (precision is nan),"
                f" {untrue} never true (recall is nan), {int((~present).sum())} neither (F1 and IoU"
                " are nan and left out of the means)"
            )
        return ConfusionSummary(
            accuracy=float(hits.sum()) / n if n else float("nan"),
            mean_iou=float(per_class["iou"].mean()),
            macro_f1=float(per_class["f1"].mean()),
            n=n,
            n_absent=int((~present).sum()),
            per_class=per_class,
            matrix=matrix,
        )


def _share(part: FloatArray, whole: IntArray) -> FloatArray:
    share: FloatArray = np.full(part.shape, np.nan)
    return np.divide(part, whole, out=share, where=whole > 0)


def _all_strings(column: npt.NDArray[Any]) -> bool:
    return bool(pd.api.types.infer_dtype(column, skipna=False) == "string")


def _whole(column: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return integers as they are and whole floats as integers, or raise."""
    if column.dtype.kind in "iu":
        return column
    if column.dtype.kind == "b":
        return column.astype(np.int64)
    if column.dtype.kind != "f":
        raise TypeError(f"{name} must hold integers, as the classes are; got {column.dtype}")
    missing = int(np.isnan(column).sum())
    if missing:
        raise ValueError(f"{name} has {missing} missing labels among {column.size}")
    whole = (np.abs(column) < 2.0**53) & (column == np.trunc(column))
    if not whole.all():
        raise ValueError(f"{name} holds {float(column[~whole][0])!r}, which is no integer")
    return column.astype(np.int64)
