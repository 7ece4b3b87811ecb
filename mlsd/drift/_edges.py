"""Where the cells of a histogram end, and how many values lie in each.

An edge is a short number, one with few binary places, between two values of the reference. That
keeps a stored profile small, and it lets values be counted by a table in place of a search: with
edges that are whole multiples of ``2**-j``, the cell of ``x`` is known from ``floor(x * 2**j)``,
which is exact because scaling by a power of two is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlsd._types import AnyArray, FloatArray, IntArray

__all__ = ["CellTable", "binary_places", "choose_edges", "short_between"]

# Keys of a table at most; a longer one leaves the cache, and a search in sorted values is as fast.
_MOST_KEYS = 1 << 16
# Share of a cell on either side of a quantile within which the edge may be put.
_SLACK = 8
# So many values of a discrete column are kept to the last bit; more only if they are short, with
# at most so many binary places (whole numbers, quarters), so that a stored profile stays small.
_MOST_EXACT, _EXACT_PLACES = 128, 8
# Where floats are whole numbers one apart.
_WHOLE = 2.0**52
_BITS_OF_WHOLE = np.float64(_WHOLE).view(np.int64)


def short_between(low: FloatArray, high: FloatArray) -> FloatArray:
    """Return a number of few binary places in each ``(low, high]``; all finite, low < high."""
    with np.errstate(over="ignore"):
        width = np.where(np.isfinite(high - low), high - low, np.finfo(np.float64).max)
    # Among the multiples of a step that is at most the width, one lies in the interval.
    exponent = np.frexp(width)[1].astype(np.int64)
    result = high.copy()
    found = np.zeros(high.shape, dtype=np.bool_)
    for _ in range(3):
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            steps = np.floor(np.ldexp(high, -exponent))
            candidate = np.ldexp(steps, exponent)
        right = ~found & np.isfinite(candidate) & (candidate > low) & (candidate <= high)
        result[right] = candidate[right]
        found |= right
        exponent -= 1
    return result + 0.0  # no negative zero


def choose_edges(ordered: FloatArray, n_bins: int) -> tuple[FloatArray, bool]:
    """Return the interior edges of at most `n_bins` cells, and whether each value has its own.

    Parameters
    ----------
    ordered : ndarray of shape (n,)
        Finite values, ascending.
    n_bins : int
        Most cells.

    Returns
    -------
    edges : ndarray of shape (k - 1,)
        Ascending; cell i is ``[edges[i - 1], edges[i])``.
    discrete : bool
        Whether every value has a cell of its own that begins at it, so that the values can be had
        back: they are at most `n_bins`, and few or short.
    """
    n = ordered.size
    if n < 2:
        return np.zeros(0), n == 1
    rises = ordered[1:] > ordered[:-1]
    if np.count_nonzero(rises) < n_bins:
        starts = np.flatnonzero(rises) + 1
        values = ordered[starts]
        if starts.size < _MOST_EXACT or 0 <= binary_places(values) <= _EXACT_PLACES:
            return values + 0.0, True
        return short_between(ordered[starts - 1], values), False
    at = (np.arange(1, n_bins) * n) // n_bins
    slack = n // (_SLACK * n_bins)
    low, high = ordered[at - slack - 1], ordered[at + slack]
    plain = low < high
    # A value so frequent that it fills the surroundings of a quantile: its cell begins at it, and
    # ends with it if it fills more than one.
    heavy, times = np.unique(ordered[at[~plain]], return_counts=True)
    first = np.searchsorted(ordered, heavy, side="left")
    last = np.searchsorted(ordered, heavy[times > 1], side="right")
    first, last = first[first > 0], last[last < n]
    borders = np.concatenate((first, last))
    edges = np.unique(
        np.concatenate(
            (
                short_between(low[plain], high[plain]),
                short_between(ordered[borders - 1], ordered[borders]),
            )
        )
    )
    return edges, False


@dataclass(frozen=True, slots=True)
class CellTable:
    """Counts values by the cells that `edges` part; made once for many blocks of values."""

    edges: FloatArray
    factor: float
    first: float
    n_keys: int
    starts: IntArray

    @classmethod
    def of(cls, edges: FloatArray) -> CellTable:
        """Return the table for ascending finite edges."""
        empty = np.zeros(0, dtype=np.int64)
        places = binary_places(edges)
        # Never below 1: a value scaled down could vanish, and with it its sign.
        factor = float(2.0 ** max(0, places))
        with np.errstate(over="ignore"):
            keys = edges * factor
            whole = places < 1000 and edges.size > 0 and bool((np.abs(keys) < _WHOLE).all())
        if not whole or keys[-1] - keys[0] > _MOST_KEYS:
            return cls(edges, factor, 0.0, 0, empty)
        # Key 0 is all below the first edge, and the last key all from the last edge on.
        starts = np.concatenate(([0], (keys - keys[0]).astype(np.int64) + 1))
        n_keys = int(starts[-1]) + 1
        return cls(edges, factor, float(keys[0]) - 1, n_keys, starts)

    def tally(self, values: FloatArray, weights: Sequence[FloatArray] = ()) -> list[AnyArray]:
        """Return how many of the `values` lie in each cell, and the sums of each of `weights`.

        Infinite values are in the first or last cell. NaN is not allowed.
        """
        if not self.n_keys:
            return self._tally_by_search(values, weights)
        keys = self._keys(values)
        found = [np.bincount(keys, minlength=self.n_keys)]
        found += [np.bincount(keys, weights=w, minlength=self.n_keys) for w in weights]
        return [np.add.reduceat(part, self.starts) for part in found]

    def _tally_by_search(self, values: FloatArray, weights: Sequence[FloatArray]) -> list[AnyArray]:
        n_cells = self.edges.size + 1
        if not weights:
            # Sorting, and searching the few edges, is several times faster than searching values.
            below = np.searchsorted(np.sort(values), self.edges, side="left")
            return [np.diff(below, prepend=0, append=values.size)]
        cells = np.searchsorted(self.edges, values, side="right")
        found = [np.bincount(cells, minlength=n_cells)]
        return found + [np.bincount(cells, weights=w, minlength=n_cells) for w in weights]

    def _keys(self, values: FloatArray) -> IntArray:
        keys = values * self.factor  # may overflow to infinity, which the limits take
        np.floor(keys, out=keys)
        np.clip(keys, self.first, self.first + (self.n_keys - 1), out=keys)
        # Between 2**52 and 2**53 the bits of a float are those of 2**52 and the whole number above
        # it: reading them is several times faster than converting the float.
        keys += _WHOLE - self.first
        bits = keys.view(np.int64)
        bits -= _BITS_OF_WHOLE
        return bits


def binary_places(edges: FloatArray) -> int:
    """Return the least j, at most 1000, with which every finite ``edge * 2**j`` is whole."""
    edges = edges[edges != 0]
    if not edges.size:
        return 0
    mantissa, exponent = np.frexp(edges)
    whole = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    lowest = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return min(1000, int((53 - lowest - exponent).max()))
