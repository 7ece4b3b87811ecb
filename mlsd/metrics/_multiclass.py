"""Metrics of more than two classes: a table by class, AUC, top-k accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._clusters import wilson_interval
from mlsd._inputs import as_array, as_column, as_floats, as_labels, as_weights
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd._validation import (
    check_choice,
    check_fraction,
    check_positive_int,
    check_same_length,
    warn_undefined,
)
from mlsd.metrics._binary import roc_auc
from mlsd.metrics._probability import columns_of
from mlsd.metrics._thresholds import check_zero_division, f1_interval

__all__ = [
    "ClassificationTable",
    "classification_table",
    "roc_auc_multiclass",
    "top_k_accuracy",
]


_METRICS = ("precision", "recall", "f1")


@dataclass(frozen=True, slots=True, eq=False)
class ClassificationTable(Result):
    """Precision, recall and F1 of each class, and their means."""

    per_class: pd.DataFrame
    """One row a class: precision, recall and f1, each with ends such as precision_lower and
    precision_upper; tp, fp, fn, and support, the rows (or weight) of the class."""
    averages: pd.DataFrame
    """Rows macro (mean over the classes), weighted (by support) and micro (counts pooled); columns
    precision, recall and f1. Undefined values are left out of the first two."""
    n_undefined: dict[str, int]
    """Classes in which a metric is a share of nothing."""
    accuracy: float
    """Share of the rows whose class is predicted."""
    accuracy_ci: tuple[float, float]
    """Wilson's interval of it."""
    level: float
    """Coverage the intervals aim at, each by itself."""
    n: int
    """Rows."""

    def to_frame(self) -> pd.DataFrame:
        """Return the table by class."""
        return self.per_class.copy()


def classification_table(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    zero_division: float | str = math.nan,
    level: float = 0.95,
) -> ClassificationTable:
    """Precision, recall and F1 of each class against all others, with intervals, and their means.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n,)
        True and predicted classes.
    labels : array-like or None
        The classes of the table, in its order; all that occur must be there. None: all that occur,
        sorted.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0; see ``precision_recall_f1`` for their intervals.
    zero_division : float or str
        What a share of nothing is: nan with a warning, 0, 1, or "raise".
    level : float
        Coverage of each interval, strictly between 0 and 1.

    Returns
    -------
    ClassificationTable
        Its ``per_class`` and ``averages`` are frames. A nan is left out of the means and counted;
        with 0 or 1 the class stays in them. Micro means equal the accuracy.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a label is missing or not in `labels`, or a share of
        nothing came up with "raise".

    Warns
    -----
    UndefinedMetricWarning
        If a value is nan.

    References
    ----------
    Sokolova and Lapalme (2009), A systematic analysis of performance measures for classification
    tasks, Information Processing and Management 45(4).

    Examples
    --------
    >>> table = classification_table(list("aabbc"), list("abbbc"))
    >>> table.per_class[["precision", "recall", "f1", "support"]].round(3)
           precision  recall     f1  support
    class
    a          1.000     0.5  0.667        2
    b          0.667     1.0  0.800        2
    c          1.000     1.0  1.000        1
    >>> print(f"{table.averages.loc['macro', 'f1']:.3f}")
    0.822
    """
    level = check_fraction(level, "level")
    filler = check_zero_division(zero_division)
    truth, predicted, classes = _shared(y_true, y_pred, labels)
    n, n_classes = truth.size, classes.size
    weights = as_weights(sample_weight, "sample_weight", n)
    right = truth == predicted
    counted, squared = (
        [
            _count(codes, scale, n_classes)
            for codes, scale in (
                (truth[right], None if power is None else power[right]),
                (predicted, power),
                (truth, power),
            )
        ]
        for power in (weights, None if weights is None else weights * weights)
    )
    tp, shown, support = counted
    squares, shown_squares, support_squares = squared
    bases = {
        "precision": (shown, shown_squares),
        "recall": (support, support_squares),
        "f1": (shown + support - tp, shown_squares + support_squares - squares),
    }
    columns: dict[str, AnyArray] = {}
    undefined = {name: int((base <= 0).sum()) for name, (base, _) in bases.items()}
    if any(undefined.values()):
        reason = ", ".join(f"{name} in {count}" for name, count in undefined.items() if count)
        reason = f"a share of nothing among {n_classes} classes: {reason}"
        if filler is None:
            raise ValueError(f'{reason}; and zero_division is "raise"')
        if math.isnan(filler):
            warn_undefined(f"{reason}: undefined, and left out of the means")
    for name, (base, base_squares) in bases.items():
        some = base > 0
        share = _share(tp, base)
        lower, upper = _wilson(share, _over(np.square(base, dtype=np.float64), base_squares), level)
        if name == "f1":
            (lower, upper), share = f1_interval(lower, upper), _share(2 * tp, shown + support)
        columns |= {
            name: np.where(some, share, float(filler or 0.0)),
            f"{name}_lower": lower,
            f"{name}_upper": upper,
        }
    columns |= {"tp": tp, "fp": shown - tp, "fn": support - tp, "support": support}
    accuracy = float(tp.sum() / support.sum())
    size = n if weights is None else float(weights.sum()) ** 2 / float(weights @ weights)
    lower, upper = _wilson(np.array(accuracy), np.array(size), level)
    return ClassificationTable(
        per_class=pd.DataFrame(columns, index=pd.Index(classes, name="class")),
        averages=_averages(columns, accuracy),
        n_undefined=undefined,
        accuracy=accuracy,
        accuracy_ci=(float(lower), float(upper)),
        level=level,
        n=n,
    )


def _shared(y_true: Any, y_pred: Any, labels: Any) -> tuple[IntArray, IntArray, AnyArray]:
    """Return both columns as places among the classes, and these."""
    true_codes, true_classes = as_labels(y_true, "y_true")
    pred_codes, pred_classes = as_labels(y_pred, "y_pred")
    check_same_length(y_true=true_codes, y_pred=pred_codes)
    if not true_codes.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    if labels is None:
        try:
            classes = np.unique(np.concatenate((true_classes, pred_classes)))
        except TypeError:
            raise TypeError(
                f"y_true and y_pred hold labels without a common order, such as "
                f"{true_classes.tolist()[0]!r} and {pred_classes.tolist()[0]!r}"
            ) from None
    else:
        classes = as_column(labels, "labels")
    place = {label: i for i, label in enumerate(classes.tolist())}
    if len(place) != classes.size:
        raise ValueError(f"labels must be distinct; got {classes.tolist()!r}")
    for name, found in (("y_true", true_classes), ("y_pred", pred_classes)):
        unknown = [label for label in found.tolist() if label not in place]
        if unknown:
            raise ValueError(f"{name} holds {unknown!r}, which labels does not name")
    of_true, of_pred = (
        np.array([place[label] for label in found.tolist()], dtype=np.int64)
        for found in (true_classes, pred_classes)
    )
    return of_true[true_codes], of_pred[pred_codes], classes


def _count(codes: IntArray, weights: FloatArray | None, n_classes: int) -> AnyArray:
    return np.bincount(codes, weights, minlength=n_classes)


def _over(numerator: AnyArray, denominator: AnyArray) -> FloatArray:
    """Return the quotient, nan where the denominator is 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result


def _share(part: AnyArray, base: AnyArray) -> FloatArray:
    return np.minimum(_over(part, base), 1.0)  # sums of weights in two orders differ in a digit


def _wilson(share: FloatArray, n: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    from scipy.special import ndtri

    return wilson_interval(share, n, float(ndtri(0.5 + level / 2)))


def _matrix(y_true: Any, y_score: Any, labels: Any) -> tuple[FloatArray, IntArray]:
    """Return scores, one row a row and one column a class, and the column of each true class."""
    array = as_array(y_score, "y_score")
    if array.ndim != 2:
        raise ValueError(f"y_score must have a column for each class; got shape {array.shape}")
    scores = as_floats(array.ravel(), "y_score", keep_float32=True).reshape(array.shape)
    codes = columns_of(y_true, labels, array.shape[1], "y_score")
    check_same_length(y_true=codes, y_score=scores)
    return scores, codes


def _averages(columns: dict[str, AnyArray], accuracy: float) -> pd.DataFrame:
    values = np.stack([columns[name] for name in _METRICS], axis=1)
    known = ~np.isnan(values)
    # One column of weights for each kind of mean; nan has none.
    rows = []
    for weight in (np.ones(len(values)), columns["support"]):
        scale = np.where(known, weight[:, None], 0.0)
        rows.append(_over((np.where(known, values, 0.0) * scale).sum(axis=0), scale.sum(axis=0)))
    rows.append(np.full(len(_METRICS), accuracy))
    return pd.DataFrame(rows, index=["macro", "weighted", "micro"], columns=list(_METRICS))


def roc_auc_multiclass(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    multi_class: str = "ovr",
    average: str = "macro",
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Mean area under the ROC curve of each class against the rest, or of each pair of classes.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Classes.
    y_score : array-like of shape (n, n_classes)
        A score for each class, higher for more likely; NaN raises. Rows need not sum to 1, but
        "ovr" compares scores between rows.
    multi_class : str
        "ovr": each class against all others, which depends on how common the classes are. "ovo":
        each class against each other, the mean of both directions (Hand and Till), which does not.
    average : str
        "macro": all classes, or pairs, count the same. "weighted": by their share of the rows.
    labels : array-like of shape (n_classes,) or None
        The classes, in the order of the columns; None: those of `y_true`, sorted, and all of them
        must be there.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0; only with "ovr".

    Returns
    -------
    float
        Between 0 and 1; nan if a class has no rows, or "ovr" has one class only.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a score is NaN, labels and columns do not fit, or an
        option is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If a class has no rows.

    References
    ----------
    Hand and Till (2001), A simple generalisation of the area under the ROC curve for multiple class
    classification problems, Machine Learning 45(2). Provost and Domingos (2003), Tree induction for
    probability-based ranking, Machine Learning 52(3), for "ovr" by shares.

    Examples
    --------
    >>> y_score = [[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.3, 0.4, 0.3], [0.3, 0.3, 0.4]]
    >>> print(f"{roc_auc_multiclass(list('aabc'), y_score):.4f}")
    0.8889
    """
    check_choice(multi_class, "multi_class", ("ovr", "ovo"))
    check_choice(average, "average", ("macro", "weighted"))
    if multi_class == "ovo" and sample_weight is not None:
        raise ValueError('sample_weight must be None with multi_class="ovo"')
    scores, codes = _matrix(y_true, y_score, labels)
    n_classes = scores.shape[1]
    weights = as_weights(sample_weight, "sample_weight", codes.size)
    rows_of = _count(codes, weights, n_classes).astype(np.float64)
    empty = int((rows_of <= 0.0).sum())
    if empty or n_classes < 2:
        warn_undefined(
            f"{empty} of {n_classes} classes have no rows, and AUC needs two that have: it is "
            "undefined"
        )
        return math.nan
    if multi_class == "ovr":
        areas = [
            roc_auc(codes == label, scores[:, label], sample_weight=weights)
            for label in range(n_classes)
        ]
        share = rows_of
    else:
        members = [np.flatnonzero(codes == label) for label in range(n_classes)]
        areas, shares = [], []
        for a, b in combinations(range(n_classes), 2):
            rows = np.concatenate((members[a], members[b]))
            first = np.arange(rows.size) < members[a].size
            areas.append((roc_auc(first, scores[rows, a]) + roc_auc(~first, scores[rows, b])) / 2.0)
            shares.append(rows.size)
        share = np.array(shares, dtype=np.float64)
    return float(np.average(areas, weights=share if average == "weighted" else None))


def top_k_accuracy(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    k: int,
    labels: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> float:
    """Share of the rows whose class is among the k with the highest scores.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Classes.
    y_score : array-like of shape (n, n_classes)
        A score for each class, compared within a row only; NaN raises.
    k : int
        How many classes of each row count.
    labels, sample_weight
        As in ``roc_auc_multiclass``.

    Returns
    -------
    float
        Between 0 and 1. With e classes of the score of the true one, it included, and g above, the
        row counts ``(k - g) / e`` within 0 to 1: the mean over all orders of the tied classes.

    Raises
    ------
    ValueError
        As ``roc_auc_multiclass``; or if k is below 1.

    References
    ----------
    Russakovsky et al. (2015), ImageNet large scale visual recognition challenge, IJCV 115(3).

    Examples
    --------
    >>> y_score = [[0.5, 0.3, 0.2], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6]]
    >>> print(f"{top_k_accuracy([1, 0, 2], y_score, k=2):.4f}")
    0.8333
    """
    k = check_positive_int(k, "k")
    scores, codes = _matrix(y_true, y_score, labels)
    weights = as_weights(sample_weight, "sample_weight", codes.size)
    own = np.take_along_axis(scores, codes[:, None], axis=1)
    above, tied = (scores > own).sum(axis=1), (scores == own).sum(axis=1)
    return float(np.average(np.clip((k - above) / tied, 0.0, 1.0), weights=weights))
