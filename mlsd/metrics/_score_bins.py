"""Bins of predicted probabilities, and what each holds: predictions, outcomes and their spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_positive_int

__all__ = ["BinSums", "Bins", "bin_sums", "find_bins"]


_CHUNK = 1 << 18  # rows binned at once: few passes of Python, 2 MB a temporary array


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Bins that cover 0 to 1: each holds its lower edge, the last one its upper edge too."""

    edges: FloatArray
    n_merged: int
    """Bins asked for that equal predictions left no room for."""

    def __len__(self) -> int:
        """Return the number of bins."""
        return self.edges.size - 1

    def of(self, proba: AnyArray) -> IntArray:
        """Return the bin of each prediction."""
        found: IntArray = np.searchsorted(self.edges[1:-1], proba, side="right")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class BinSums:
    """What each bin holds; means are nan in a bin without weight."""

    count: IntArray
    """Rows."""
    weight: FloatArray
    """Sum of the weights; the rows if there are none."""
    effective: FloatArray
    """``(Σw)² / Σw²``: rows of equal weight that would carry as much (Kish 1965)."""
    predicted: FloatArray
    """Mean prediction."""
    observed: FloatArray
    """Rate of positives."""
    null_variance: FloatArray
    """Variance of predicted - observed, were each outcome drawn with its predicted chance."""
    sample_variance: FloatArray
    """Unbiased estimate of it from the rows of the bin; nan below two rows."""
    within_variance: FloatArray
    """Weighted sum of squared deviations of the predictions from their mean."""
    within_covariance: FloatArray
    """Weighted sum of products of the deviations of prediction and outcome."""

    @property
    def total(self) -> float:
        """Return the weight of all bins."""
        return float(self.weight.sum())


def find_bins(
    proba: AnyArray, n_bins: int, strategy: str, weights: FloatArray | None = None
) -> Bins:
    """Return bins of equal width, or of as equal weight as ties allow.

    Equal predictions are never parted, so that the bins do not depend on the order of the rows.
    """
    n_bins = check_positive_int(n_bins, "n_bins")
    check_choice(strategy, "strategy", ("quantile", "uniform"))
    if strategy == "uniform":
        return Bins(np.linspace(0.0, 1.0, n_bins + 1), 0)
    steps = np.arange(1, n_bins)
    if weights is None:
        # The value at place i n / n_bins begins a bin: that many rows at most lie below it.
        places = np.unique(steps * proba.size // n_bins)
        inner = np.partition(proba, places)[places] if places.size else proba[:0]
        least = float(proba.min())
    else:
        some = weights > 0.0
        order = np.argsort(proba[some])
        ascending = proba[some][order]
        reached = np.cumsum(weights[some][order])
        wanted = steps * (reached[-1] / n_bins)
        inner = ascending[np.searchsorted(reached, wanted, side="right").clip(max=order.size - 1)]
        least = float(ascending[0])
    # An edge at the least prediction would leave an empty bin below it.
    inner = np.unique(inner[inner > least].astype(np.float64))
    # An edge at 1 makes a last bin without width, for predictions of exactly 1.
    edges = np.concatenate(([0.0], inner, [1.0]))
    return Bins(edges, n_bins - (edges.size - 1))


def bin_sums(
    truth: BoolArray, proba: AnyArray, bins: Bins, weights: FloatArray | None = None
) -> BinSums:
    """Return what the bins hold, in two passes: first the means, then the spread about them."""
    n_bins = len(bins)
    count = np.zeros(n_bins, dtype=np.int64)
    weight, squares, predicted, observed = np.zeros((4, n_bins))
    codes = np.empty(proba.size, dtype=np.min_scalar_type(n_bins))
    chunks = [slice(start, start + _CHUNK) for start in range(0, proba.size, _CHUNK)]
    for rows in chunks:
        found = bins.of(proba[rows])
        codes[rows] = found
        chance, happened = proba[rows].astype(np.float64), truth[rows].astype(np.float64)
        scale = None if weights is None else weights[rows]
        count += np.bincount(found, minlength=n_bins)
        predicted += _sum(found, chance, scale, n_bins)
        observed += _sum(found, happened, scale, n_bins)
        if scale is not None:
            weight += np.bincount(found, scale, minlength=n_bins)
            squares += np.bincount(found, scale * scale, minlength=n_bins)
    if weights is None:
        weight = squares = count.astype(np.float64)
    some = weight > 0.0
    predicted, observed = _over(predicted, weight), _over(observed, weight)
    null, residual, variance, covariance = np.zeros((4, n_bins))
    for rows in chunks:
        found = codes[rows].astype(np.int64)
        chance, happened = proba[rows].astype(np.float64), truth[rows].astype(np.float64)
        scale = None if weights is None else weights[rows]
        square = None if scale is None else scale * scale
        null += _sum(found, chance * (1.0 - chance), square, n_bins)
        chance -= np.where(some, predicted, 0.0)[found]
        happened -= np.where(some, observed, 0.0)[found]
        residual += _sum(found, (chance - happened) ** 2, square, n_bins)
        variance += _sum(found, chance * chance, scale, n_bins)
        covariance += _sum(found, chance * happened, scale, n_bins)
    # The mean takes 1 - Σw²/(Σw)² from the squares about it: n - 1 for n in the case of rows.
    left = 1.0 - _over(squares, weight * weight)
    left[count < 2] = 0.0
    return BinSums(
        count=count,
        weight=weight,
        effective=_over(weight * weight, squares),
        predicted=predicted,
        observed=observed,
        null_variance=_over(null, weight * weight),
        sample_variance=_over(residual, weight * weight * left),
        within_variance=variance,
        within_covariance=covariance,
    )


def _sum(codes: IntArray, values: FloatArray, scale: FloatArray | None, n_bins: int) -> FloatArray:
    scaled = values if scale is None else values * scale
    return np.bincount(codes, scaled, minlength=n_bins).astype(np.float64, copy=False)


def _over(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Return the quotient, nan where the denominator is 0."""
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0.0)
    return result
