"""Area under the ROC curve and average precision: exact with ties, from sorted scores.

Only the order of a positive against a negative counts, so each class is sorted by itself and the
smaller is looked up in the larger; no rank of all rows is made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_binary, as_column, as_floats, as_weights
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_same_length, warn_undefined

__all__ = ["area", "as_scores", "average_precision", "checked", "cuts", "roc_auc", "twice_below"]


_CHUNK = 1 << 16  # rows looked up at once: what they find stays in the cache
_TABLE = 64  # harmonic numbers below this are summed, above it expanded


def as_scores(values: Any, name: str) -> AnyArray:
    """Return scores in the type they came in, as far as it orders them exactly.

    Integers stay integers, which float64 would round beyond 2**53, and single precision stays.
    """
    column = as_column(values, name)
    if column.dtype.kind in "iu":
        return column
    return as_floats(column, name, keep_float32=True)


def checked(y_true: Any, y_score: Any, name: str, pos_label: Any) -> tuple[BoolArray, AnyArray]:
    """Return labels and scores of one length that is not 0."""
    labels = as_binary(y_true, "y_true", pos_label=pos_label)
    scores = as_scores(y_score, name)
    check_same_length(**{"y_true": labels, name: scores})
    if not labels.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    return labels, scores


def twice_below(queries: AnyArray, others: AnyArray) -> IntArray:
    """Return for each query twice the number of `others` below it, plus the number equal to it.

    `others` ascend and are not empty; queries that ascend are found several times as fast.
    """
    left = np.searchsorted(others, queries, side="left")
    tied = np.flatnonzero(others[np.minimum(left, others.size - 1)] == queries)
    result: IntArray = 2 * left.astype(np.int64, copy=False)
    if tied.size:
        # Where nothing is equal the right end is the left one.
        result[tied] = left[tied] + np.searchsorted(others, queries[tied], side="right")
    return result


def cuts(scores: AnyArray, values: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return the distinct scores from the highest, the sum of values from there up, and the rows.

    Rows of one score are on one side of any threshold, so that only the last of them is a cut.
    """
    order = np.argsort(scores)[::-1]
    descending = scores[order]
    last = np.flatnonzero(np.append(descending[1:] != descending[:-1], True))
    return descending[last], np.cumsum(values[order])[last], last + 1


def area(positive: AnyArray, negative: AnyArray) -> float:
    """Return the AUC of scores that ascend within each class, correctly rounded."""
    pairs = positive.size * negative.size
    swapped = positive.size > negative.size
    few, many = (negative, positive) if swapped else (positive, negative)
    # Python's integers hold the total, whatever the number of pairs.
    twice = sum(
        int(twice_below(few[start : start + _CHUNK], many).sum())
        for start in range(0, few.size, _CHUNK)
    )
    return (2 * pairs - twice if swapped else twice) / (2 * pairs)


def roc_auc(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Chance that a random positive scores above a random negative, a tie counting one half.

    That is the area under the ROC curve, and the Mann-Whitney U over the number of pairs. Without
    weights the pairs are counted in integers, and only the final quotient is rounded.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels: booleans, 0 and 1, or -1 and 1; others with `pos_label`.
    y_score : array-like of shape (n,)
        Scores of any scale, higher for positive; infinite ones order as any other, NaN raises.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0; a pair counts the product of its two. None: all count 1.
    pos_label : object
        The label that is positive.

    Returns
    -------
    float
        Between 0 and 1; .5 for a constant score. nan if one class has no weight.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a score is NaN, a weight is negative or not finite,
        or the labels are not binary.

    Warns
    -----
    UndefinedMetricWarning
        If there is one class only.

    References
    ----------
    Hanley and McNeil (1982), The meaning and use of the area under a receiver operating
    characteristic (ROC) curve, Radiology 143(1).

    Examples
    --------
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> roc_auc([0, 1, 1], [0.5, 0.5, 0.9])  # one of two pairs is tied
    0.75
    """
    labels, scores = checked(y_true, y_score, "y_score", pos_label)
    weights = as_weights(sample_weight, "sample_weight", labels.size)
    if weights is None:
        positive, negative = scores[labels], scores[~labels]
        if not (positive.size and negative.size):
            warn_undefined(_one_class(labels.size, bool(positive.size)))
            return math.nan
        positive.sort()
        negative.sort()
        return area(positive, negative)
    positive, above = _sorted_with(scores[labels], weights[labels])
    negative, below = _sorted_with(scores[~labels], weights[~labels])
    total_positive, total_negative = float(above.sum()), float(below.sum())
    if not (total_positive and total_negative):
        warn_undefined(_one_class(labels.size, bool(total_positive), "rows of positive weight"))
        return math.nan
    share_below = np.concatenate(([0.0], np.cumsum(below))) / total_negative
    won = share_below[np.searchsorted(negative, positive, side="left")]
    won += share_below[np.searchsorted(negative, positive, side="right")]
    return min(float((above / total_positive) @ won) / 2.0, 1.0)


def average_precision(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    ties: str = "threshold",
    pos_label: Any = None,
) -> float:
    """Mean over the positives of the precision at the threshold that lets each one in.

    It is the area under the step-wise precision-recall curve, ``Σ (R_n - R_{n-1}) P_n``. There is
    no trapezoid here: precision is not linear between two thresholds, and the straight line
    promises what no threshold reaches (a constant score at a base rate of 1 % gets .505 by
    trapezoids; its average precision is .010).

    Parameters
    ----------
    y_true, y_score, pos_label
        As in ``roc_auc``.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0; only with ``ties="threshold"``.
    ties : str
        "threshold": equal scores are let in together, as by a threshold (scikit-learn).
        "average": the mean over all orders of the tied rows, as a ranked list would show them
        (``average_precision_at_k``). They agree where no positive is tied.

    Returns
    -------
    float
        Above 0, at most 1; the base rate for a constant score and ``ties="threshold"``. nan if no
        positive has a weight.

    Raises
    ------
    ValueError
        As ``roc_auc``; and if `ties` is unknown, or "average" comes with weights.

    Warns
    -----
    UndefinedMetricWarning
        If there is no positive.

    References
    ----------
    Davis and Goadrich (2006), The relationship between precision-recall and ROC curves, ICML, on
    interpolation. McSherry and Najork (2008), Computing information retrieval performance measures
    efficiently in the presence of tied scores, ECIR.

    Examples
    --------
    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    >>> average_precision([1, 0], [0.5, 0.5]), average_precision([1, 0], [0.5, 0.5], ties="average")
    (0.5, 0.75)
    """
    check_choice(ties, "ties", ("threshold", "average"))
    if ties == "average" and sample_weight is not None:
        raise ValueError('sample_weight must be None with ties="average"')
    labels, scores = checked(y_true, y_score, "y_score", pos_label)
    weights = as_weights(sample_weight, "sample_weight", labels.size)
    if weights is not None:
        value = _weighted_precision(labels, scores, weights)
    else:
        positive, negative = scores[labels], scores[~labels]
        positive.sort()
        negative.sort()
        value = _precision(positive, negative, ties) if positive.size else math.nan
    if math.isnan(value):
        what = "no row" if weights is None else "no row of positive weight"
        warn_undefined(f"{what} among {labels.size} is positive: average precision is undefined")
    return value


def _precision(positive: AnyArray, negative: AnyArray, ties: str) -> float:
    """Return average precision of ascending scores; one term for each distinct positive score."""
    starts = _starts(positive)
    hits = np.diff(starts, append=positive.size)
    kept = (positive.size - starts).astype(np.float64)
    values = positive[starts]
    not_below = negative.size - np.searchsorted(negative, values, side="left")
    if ties == "threshold":
        precision = kept / (kept + not_below)
        return min(float(hits @ precision) / positive.size, 1.0)
    above = negative.size - np.searchsorted(negative, values, side="right")
    tied = (hits + not_below - above).astype(np.float64)
    hits_above = kept - hits
    shown = hits_above + above
    # Place i of a tie group holds a positive with chance hits / tied, and on average a share of the
    # i - 1 others before it; the sum over i of (hits_above + 1 + share (i - 1)) / (shown + i):
    share = (hits - 1) / np.maximum(tied - 1.0, 1.0)
    terms = share * tied + (hits_above + 1.0 - share * (shown + 1.0)) * _harmonic(shown, tied)
    return min(float((hits / tied) @ terms) / positive.size, 1.0)


def _harmonic(start: FloatArray, length: FloatArray) -> FloatArray:
    """Return the sum of ``1 / (start + i)`` for i from 1 to `length`, to relative rounding error.

    Beyond a table of the first few, H(m) - γ is ``ln x + 1/(24 x²) - 7/(960 x⁴) + 31/(8064 x⁶)``
    with x = m + 1/2. The difference of logarithms is taken as one, which keeps its digits.
    """
    table = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1, _TABLE + 1))))
    end = start + length
    low, high = np.minimum(start, _TABLE), np.minimum(end, _TABLE)
    result: FloatArray = table[high.astype(np.int64)] - table[low.astype(np.int64)]
    far = np.flatnonzero(end > _TABLE)
    x = np.maximum(start[far], _TABLE) + 0.5
    y = end[far] + 0.5
    result[far] += np.log1p((y - x) / x) + (_expansion(y) - _expansion(x))
    return result


def _expansion(x: FloatArray) -> FloatArray:
    square = 1.0 / (x * x)
    result: FloatArray = square * (1 / 24 - square * (7 / 960 - square * (31 / 8064)))
    return result


def _weighted_precision(labels: BoolArray, scores: AnyArray, weights: FloatArray) -> float:
    positive, hits = _sorted_with(scores[labels], weights[labels])
    negative, misses = _sorted_with(scores[~labels], weights[~labels])
    total = float(hits.sum())
    if not total:
        return math.nan
    starts = _starts(positive)
    # From the top, so that small sums at the head of the list are not differences of large ones.
    kept = np.cumsum(hits[::-1])[::-1][starts]
    missed = np.append(np.cumsum(misses[::-1])[::-1], 0.0)
    not_below = missed[np.searchsorted(negative, positive[starts], side="left")]
    gained = np.add.reduceat(hits, starts)
    some = gained > 0.0
    precision = kept[some] / (kept[some] + not_below[some])
    return min(float((gained[some] / total) @ precision), 1.0)


def _starts(ascending: AnyArray) -> IntArray:
    """Return where each distinct value begins."""
    return np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))


def _sorted_with(scores: AnyArray, weights: FloatArray) -> tuple[AnyArray, FloatArray]:
    order = np.argsort(scores)
    return scores[order], weights[order]


def _one_class(n: int, positive: bool, counted: str = "rows") -> str:
    found = "positive" if positive else "negative"
    return f"all {counted} are {found}, among {n} in all: AUC is undefined"
