"""Log loss and normalised entropy, and what the scores of probabilities share.

Data go through in chunks that stay in the cache: no temporary array is as long as the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import (
    as_array,
    as_binary,
    as_column,
    as_floats,
    as_labels,
    as_probabilities,
    as_weights,
)
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import check_fraction, check_same_length, warn_undefined

__all__ = [
    "base_rates",
    "chunked_mean",
    "columns_of",
    "labels_and_probabilities",
    "log_loss",
    "normalized_entropy",
    "one_class",
]


_CHUNK = 1 << 15  # 256 KB of float64: a chunk and its copies stay in the cache
_LARGE_LOSS = 1e-3  # a mean loss in which the rounding of 1 - p is below 1e-13
_SUM_TOLERANCE = 1e-5  # what a softmax in single precision may miss 1 by


def labels_and_probabilities(
    y_true: Any, y_proba: Any, pos_label: Any
) -> tuple[BoolArray, AnyArray]:
    """Return labels and probabilities of one length that is not 0; single precision stays."""
    labels = as_binary(y_true, "y_true", pos_label=pos_label)
    proba = _within_0_1(as_floats(y_proba, "y_proba", keep_float32=True))
    check_same_length(y_true=labels, y_proba=proba)
    if not labels.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    return labels, proba


def _within_0_1(proba: AnyArray) -> AnyArray:
    if proba.size and not (proba.min() >= 0.0 and proba.max() <= 1.0):
        as_probabilities(proba, "y_proba")  # says how many are outside, and where
    return proba


def log_loss(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    eps: float | None = None,
    sample_weight: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Mean of -log of the probability given to what happened, in nats.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels. With one column of probabilities: booleans, 0 and 1, or -1 and 1; others with
        `pos_label`.
    y_proba : array-like of shape (n,) or (n, n_classes)
        Probability of the positive class; or of each class, rows summing to 1 within 1e-5.
    eps : float or None
        Probabilities are moved into ``[eps, 1 - eps]``, between 0 and .5. None: they are taken at
        their word.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0.
    labels : array-like of shape (n_classes,) or None
        The classes, in the order of the columns; None: those of `y_true`, sorted, and all of them
        must be there. Only with a matrix.
    pos_label : object
        The label that is positive. Only with one column.

    Returns
    -------
    float
        At least 0, in float64 whatever the input; ``inf`` if a row of positive weight got
        probability 0 for what happened, which is its value and no warning.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a probability is NaN or outside 0 to 1, rows of a
        matrix do not sum to 1, or labels and columns do not fit.

    Notes
    -----
    A tiny loss keeps its digits: where it matters, what rounding took from ``1 - p`` is computed
    and put back, so that the relative error is below 1e-13.

    References
    ----------
    Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14(1).

    Examples
    --------
    >>> round(log_loss([1, 0, 1], [0.9, 0.2, 0.5]), 4)
    0.3406
    >>> log_loss([1, 0], [0.0, 0.2]), round(log_loss([1, 0], [0.0, 0.2], eps=1e-15), 3)
    (inf, 17.381)
    >>> round(log_loss(["a", "c"], [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], labels=["a", "b", "c"]), 4)
    0.4581
    """
    if eps is not None and not 0.0 < eps < 0.5:
        raise ValueError(f"eps must be None or lie strictly between 0 and 0.5; got {eps!r}")
    if getattr(y_proba, "ndim", None) == 2 or as_array(y_proba, "y_proba").ndim == 2:
        if pos_label is not None:
            raise ValueError("pos_label must be None when y_proba has a column for each class")
        return _log_loss_of_matrix(y_true, y_proba, eps, sample_weight, labels)
    if labels is not None:
        raise ValueError("labels must be None when y_proba is one column: use pos_label")
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    every_row = weights is not None
    return chunked_mean(
        lambda rows: _loss(truth[rows], proba[rows], eps, every_row), truth.size, weights
    )


def _loss(truth: BoolArray, proba: AnyArray, eps: float | None, every_row: bool) -> FloatArray:
    """Return the loss of each row; `every_row`: to full precision, and not in the sum alone."""
    negative = ~truth
    # p or p - 1, whose size is the chance of what happened; arithmetic, as a choice by random
    # labels costs twice the logarithm.
    signed = np.subtract(proba, negative, dtype=np.float64)
    chance = np.abs(signed)
    if eps is not None:
        np.clip(chance, eps, 1.0 - eps, out=chance)
    result = np.log(chance)
    np.negative(result, out=result)
    if eps is None and (every_row or float(result.sum()) < result.size * _LARGE_LOSS):
        # Below one half 1 - p is rounded, by the rest of it: exactly p - (signed + negative).
        lost = proba - (signed + negative)
        result += lost / np.maximum(chance, 0.5)
    return result


def _log_loss_of_matrix(
    y_true: Any, y_proba: Any, eps: float | None, sample_weight: Any, labels: Any
) -> float:
    matrix = as_array(y_proba, "y_proba")
    n, n_classes = matrix.shape
    flat = _within_0_1(as_floats(matrix.ravel(), "y_proba", keep_float32=True))
    matrix = flat.reshape(n, n_classes)
    codes = columns_of(y_true, labels, n_classes, "y_proba")
    check_same_length(y_true=codes, y_proba=matrix)
    off = np.abs(matrix.sum(axis=1, dtype=np.float64) - 1.0)
    wrong = np.flatnonzero(off > _SUM_TOLERANCE)
    if wrong.size:
        raise ValueError(
            f"rows of y_proba must sum to 1 within {_SUM_TOLERANCE:g}; {wrong.size} of {n} do not, "
            f"such as {float(matrix[wrong[0]].sum()):g} at position {wrong[0]}"
        )
    weights = as_weights(sample_weight, "sample_weight", n)

    def loss(rows: slice) -> FloatArray:
        chance = np.take_along_axis(matrix[rows], codes[rows, None], axis=1)[:, 0]
        chance = chance.astype(np.float64)
        return np.asarray(-np.log(chance if eps is None else np.clip(chance, eps, 1.0 - eps)))

    return chunked_mean(loss, n, weights)


def columns_of(y_true: Any, labels: Any, n_classes: int, name: str) -> IntArray:
    """Return the column of each label in a matrix with a column for each class."""
    codes, classes = as_labels(y_true, "y_true")
    if not codes.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    if labels is None:
        if classes.size != n_classes:
            raise ValueError(
                f"y_true holds {classes.size} classes and {name} has {n_classes} columns: name the "
                "classes in the order of the columns with labels"
            )
        return codes
    order = as_column(labels, "labels").tolist()
    if len(order) != n_classes or len(set(order)) != n_classes:
        raise ValueError(
            f"labels must name {n_classes} distinct classes, one a column of {name}; got {order!r}"
        )
    column = {label: i for i, label in enumerate(order)}
    unknown = [label for label in classes.tolist() if label not in column]
    if unknown:
        raise ValueError(f"y_true holds {unknown!r}, which labels does not name")
    result: IntArray = np.array([column[c] for c in classes.tolist()], dtype=np.int64)[codes]
    return result


def normalized_entropy(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    base_rate: float | None = None,
    eps: float | None = None,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Log loss over the entropy of the base rate: 1 is what predicting the base rate reaches.

    Log loss falls with the base rate whatever the model does; this ratio can be compared between
    samples of different base rates.

    Parameters
    ----------
    y_true, y_proba, eps, sample_weight, pos_label
        As in ``log_loss``, one column of probabilities.
    base_rate : float or None
        Rate of positives in (0, 1), such as that of the training data; None: that of this sample.

    Returns
    -------
    float
        At least 0, less is better; above 1 is worse than a constant. nan if `base_rate` is None
        and there is one class only: its entropy is 0.

    Raises
    ------
    ValueError
        As ``log_loss``; or if `base_rate` is not inside (0, 1).

    Warns
    -----
    UndefinedMetricWarning
        If the entropy is 0.

    References
    ----------
    He et al. (2014), Practical lessons from predicting clicks on ads at Facebook, ADKDD.

    Examples
    --------
    >>> round(normalized_entropy([1, 0, 0, 0], [0.7, 0.2, 0.1, 0.2]), 4)
    0.4038
    >>> round(normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]), 4)
    1.0
    """
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    rate, rest = base_rates(truth, weights, base_rate)
    if not (rate and rest):
        warn_undefined(one_class(truth.size, "normalized entropy"))
        return math.nan
    loss = log_loss(truth, proba, eps=eps, sample_weight=weights)
    # log1p keeps the digits of a rate near 1.
    of_rate = math.log(rate) if rate < 0.5 else math.log1p(-rest)
    of_rest = math.log(rest) if rest < 0.5 else math.log1p(-rate)
    return loss / -(rate * of_rate + rest * of_rest)


def base_rates(
    truth: BoolArray, weights: FloatArray | None, base_rate: float | None
) -> tuple[float, float]:
    """Return the rate of positives and, with digits of its own, that of negatives."""
    if base_rate is not None:
        rate = check_fraction(base_rate, "base_rate")
        return rate, 1.0 - rate
    if weights is None:
        n_positive = int(np.count_nonzero(truth))
        return n_positive / truth.size, (truth.size - n_positive) / truth.size
    positive, negative = float(weights[truth].sum()), float(weights[~truth].sum())
    return positive / (positive + negative), negative / (positive + negative)


def chunked_mean(loss: Callable[[slice], FloatArray], n: int, weights: FloatArray | None) -> float:
    """Return the weighted mean of a loss that is computed chunk by chunk."""
    totals = []
    with np.errstate(divide="ignore"):  # log(0) is -inf, and meant
        for rows in _chunks(n):
            part = loss(rows)
            if weights is not None:
                part[weights[rows] == 0.0] = 0.0  # not 0 times inf
                part *= weights[rows]
            totals.append(float(part.sum()))
    return math.fsum(totals) / (n if weights is None else float(weights.sum()))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))


def one_class(n: int, what: str) -> str:
    return f"y_true holds one class only, in {n} rows: {what} is undefined"
