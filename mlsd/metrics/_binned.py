"""Bins of scores, and AUC and average precision from them with bounds for what they hide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._exact import quotient
from mlsd._fields import TableValue
from mlsd._types import FloatArray, IntArray

__all__ = [
    "auc_of_counts",
    "auc_of_weights",
    "average_precision",
    "bins_of",
    "entropy",
    "table_of_cells",
]


def bins_of(scores: npt.NDArray[Any], bits: int) -> IntArray:
    """Return the top `bits` of an integer that orders as the single-precision scores do."""
    with np.errstate(over="ignore"):  # beyond single precision is infinite: one bin, no error
        single = scores.astype(np.float32)
    single += np.float32(0.0)  # -0.0 becomes 0.0
    whole = single.view(np.int32)
    # The bits of floats order as those of integers with a sign do, but for negative ones, whose
    # other bits flip.
    bins: IntArray = ((whole ^ ((whole >> 31) & 0x7FFFFFFF)) >> (32 - bits)).astype(np.int64)
    bins += 1 << (bits - 1)
    return bins


def table_of_cells(cells: IntArray, sums: npt.NDArray[Any], first: int) -> TableValue:
    """Return the bins of which anything is known; a cell is a bin twice plus the label."""
    known = np.flatnonzero(sums if sums.ndim == 1 else sums[:, 0])
    bins = cells[known] >> 1
    label = cells[known] & 1
    new = np.ones(bins.size, dtype=np.bool_)
    new[1:] = bins[1:] != bins[:-1]
    row = np.cumsum(new) - 1
    columns = []
    for wanted in (0, 1):
        column = np.zeros((int(new.sum()), *sums.shape[1:]), dtype=sums.dtype)
        column[row[label == wanted]] = sums[known[label == wanted]]
        columns.append(column)
    return TableValue(bins[new] + first, tuple(columns))


def auc_of_counts(positive: IntArray, negative: IntArray) -> tuple[float, float, float]:
    """Return the middle and the bounds, each correctly rounded."""
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    if n_positive * n_negative >= 1 << 62:  # the products no longer fit: integers of any size
        positive, negative = positive.astype(object), negative.astype(object)
    below = np.cumsum(negative) - negative
    won = int((positive * below).sum())
    open_ = int((positive * negative).sum())
    pairs = n_positive * n_negative
    return (
        quotient(2 * won + open_, 2 * pairs),
        quotient(won, pairs),
        quotient(won + open_, pairs),
    )


def auc_of_weights(positive: FloatArray, negative: FloatArray) -> tuple[float, float, float]:
    """Return the middle and the bounds, widened by what rounding may have done."""
    below = np.cumsum(negative) - negative
    pairs = float(positive.sum()) * float(negative.sum())
    won = float((positive * below).sum()) / pairs
    open_ = float((positive * negative).sum()) / pairs
    return _widened(won + open_ / 2, won, won + open_, positive.size)


def average_precision(
    positive: FloatArray, negative: FloatArray, least: float
) -> tuple[float, float, float]:
    """Return average precision with bins as ties, and what the order within them allows.

    Bins come highest score first; `least` is the least weight of a positive that is known. With
    p positives of weight and m weight in all above a bin of r and s, a positive is at best at
    precision (p + r) / (m + r), and the i-th at worst at (p + i) / (m + s + i). That is concave in
    i, so that its mean over the bin is at least that of its ends.
    """
    above = np.cumsum(positive) - positive
    shown = np.cumsum(positive + negative) - positive - negative
    some = positive > 0
    positive, negative, above, shown = (x[some] for x in (positive, negative, above, shown))
    best = (above + positive) / (shown + positive)
    tied = (above + positive) / (shown + negative + positive)
    # With nothing above and no negative in the bin the precision is 1 from the start.
    start = shown + negative + least
    worst = np.divide(above + least, start, out=np.ones_like(start), where=start > 0)
    worst = (worst + tied) / 2
    total = float(positive.sum())
    value, lower, upper = (float((positive * x).sum()) / total for x in (tied, worst, best))
    return _widened(value, lower, upper, some.size)


def _widened(value: float, lower: float, upper: float, terms: int) -> tuple[float, float, float]:
    """Return value and bounds, these moved outwards by the rounding of sums of so many terms."""
    slack = 4 * (terms + 8) * np.finfo(np.float64).eps
    lower, upper = max(lower - slack, 0.0), min(upper + slack, 1.0)
    return min(max(value, lower), upper), float(lower), float(upper)


def entropy(positive: int, weight: int) -> float:
    """Return the entropy of the base rate, in nats; log1p keeps the digits of a rate near 1."""
    rate, rest = quotient(positive, weight), quotient(weight - positive, weight)
    of_rate = math.log(rate) if rate < 0.5 else math.log1p(-rest)
    of_rest = math.log(rest) if rest < 0.5 else math.log1p(-rate)
    return -(rate * of_rate + rest * of_rest)
