"""Bins that the reference fixes, and sums of the target in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd.drift._two_frames import Column

__all__ = ["BinSums", "Binned", "Model", "bin_column", "cross", "sums_of"]


@dataclass(frozen=True, slots=True)
class Binned:
    """The bin of every row of both frames, out of `size`; NULL is the last bin."""

    ref: IntArray
    live: IntArray
    size: int


@dataclass(frozen=True, slots=True)
class BinSums:
    """Rows with a known target in each bin, and the sums of its first four powers."""

    n: FloatArray
    powers: FloatArray  # (4, bins)

    @property
    def mean(self) -> FloatArray:
        """Return the mean target of each bin; nan without rows."""
        with np.errstate(invalid="ignore", divide="ignore"):
            result: FloatArray = self.powers[0] / self.n
        return result


@dataclass(frozen=True, slots=True)
class Model:
    """The sums of the bins of one feature, or of two, in both samples."""

    feature: str
    second: str
    ref: BinSums
    live: BinSums


def bin_column(column: Column, n_bins: int) -> Binned:
    """Return bins by the quantiles of the reference, or its most frequent levels.

    A numeric column of at most `n_bins` distinct values has one bin a value. Of levels, the
    `n_bins` most frequent of the reference have their own bin, and all others, those that the
    reference does not know included, share one.
    """
    if column.kind == "categorical":
        return _by_level(column, n_bins)
    ref, live = (_as_floats(side) for side in (column.ref, column.live))
    known = ref[~np.isnan(ref)]
    distinct = np.unique(known)
    if distinct.size <= n_bins:
        edges = distinct[1:]
    else:
        shares = np.arange(1, n_bins) / n_bins
        edges = np.unique(np.quantile(known, shares, method="inverted_cdf"))
        edges = edges[edges > distinct[0]]
    null = edges.size + 1

    def place(values: FloatArray) -> IntArray:
        cells = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), null, cells).astype(np.int64)

    return Binned(place(ref), place(live), null + 1)


def _as_floats(values: AnyArray) -> FloatArray:
    if values.dtype.kind in "mM":
        missing = np.isnat(values)
        return np.where(missing, np.nan, values.astype("int64").astype(np.float64))
    return values.astype(np.float64)


def _by_level(column: Column, n_bins: int) -> Binned:
    ref, live = (_as_text(side) for side in (column.ref, column.live))
    counts = pd.Series(ref).value_counts(dropna=True).sort_index()
    # Equal counts by name: neither bins nor folds may hang on the order of rows.
    levels = counts.sort_values(ascending=False, kind="stable").index[:n_bins]
    place = pd.Index(levels)

    def bins(values: AnyArray) -> IntArray:
        found = place.get_indexer(pd.Index(values))
        found = np.where(found < 0, len(levels), found)
        return np.where(pd.isna(values), len(levels) + 1, found).astype(np.int64)

    return Binned(bins(ref), bins(live), len(levels) + 2)


def _as_text(values: AnyArray) -> AnyArray:
    """Return values of any type as text, so that mixtures can be compared; missing stays None."""
    codes, distinct = pd.factorize(values)
    names = np.array([*(str(value) for value in distinct), None], dtype=object)
    result: AnyArray = names[codes]  # a missing value has the code -1
    return result


def cross(one: Binned, other: Binned) -> Binned:
    """Return the bins of a pair of features."""
    return Binned(
        one.ref * other.size + other.ref,
        one.live * other.size + other.live,
        one.size * other.size,
    )


def sums_of(bins: IntArray, y: FloatArray, size: int, binary: bool) -> BinSums:
    """Return the sums of a target without missing values by bin."""
    n = np.bincount(bins, minlength=size).astype(np.float64)
    first = np.bincount(bins, weights=y, minlength=size)
    if binary:
        return BinSums(n, np.tile(first, (4, 1)))
    higher = [np.bincount(bins, weights=y**power, minlength=size) for power in (2, 3, 4)]
    return BinSums(n, np.stack((first, *higher)))
