"""Retrieval: which items the policy may choose from."""

from __future__ import annotations

import numpy as np

from mlsd._keyed import keyed_bits, keyed_uniform
from mlsd._types import FloatArray, IntArray
from mlsd.world._catalogue import Catalogue

__all__ = ["CandidateSets", "inclusion"]

_SETS = 4_096
_ORDERED = 131_072  # numbers that the random orders of a day may hold


def inclusion(weight: FloatArray, n: int) -> FloatArray:
    """Return the chance of each item to be among `n`: in proportion to its weight, 1 at most.

    Examples
    --------
    >>> inclusion(np.array([8.0, 1.0, 1.0, 2.0]), 2)
    array([1.  , 0.25, 0.25, 0.5 ])
    """
    chance = np.zeros(weight.size)
    certain = np.zeros(weight.size, dtype=np.bool_)
    while True:
        rest = np.where(certain, 0.0, weight)
        chance = np.where(certain, 1.0, (n - certain.sum()) * rest / max(rest.sum(), 1e-300))
        over = (chance > 1.0) & ~certain
        if not over.any():
            return chance
        certain |= over


def _shuffled(seed: int, day: int, shape: tuple[int, int]) -> IntArray:
    """Return for each row the columns in random order."""
    column_bits = max(1, (shape[1] - 1).bit_length())
    below = np.uint64((1 << column_bits) - 1)
    # Sorting whole numbers that carry their column is several times as fast as an argsort.
    key = keyed_bits(seed, "shuffle", day, np.arange(shape[0])[:, None], np.arange(shape[1]))
    key &= ~below
    key |= np.arange(shape[1], dtype=np.uint64)
    key.sort(axis=1)
    return (key & below).astype(np.int64)


class CandidateSets:
    """The sets of candidates of a day, each of distinct live items in random order.

    Systematic sampling with probability proportional to size: the items are laid in a random
    order on a line, each as long as its chance of inclusion, and every unit of the line from a
    random start on picks one. Thousands of sets a day are drawn, from as many random orders as
    the catalogue's size allows, and each request takes one of them by its key.

    References
    ----------
    Madow (1949), "On the theory of systematic sampling, II", Annals of Mathematical Statistics 20.
    Several orders, since the pairs that one order allows are few.
    """

    def __init__(self, catalogue: Catalogue, n: int, seed: int, day: int) -> None:
        self._seed = seed
        self._day = day
        live = catalogue.live
        n_orders = int(np.clip(_ORDERED // live.size, 8, 256))
        n_starts = _SETS // n_orders
        order = np.argsort(
            keyed_uniform(seed, "order", day, np.arange(n_orders)[:, None], live), axis=1
        )
        chance = inclusion(catalogue.weight[live], n)
        ends = np.cumsum(chance[order], axis=1)
        ends *= n / ends[:, -1:]
        # Each order on a stretch of its own, so that one sorted search serves all.
        offset = np.arange(n_orders)[:, None] * float(n)
        u = keyed_uniform(seed, "start", day, np.arange(n_orders)[:, None], np.arange(n_starts))
        start = (np.arange(n_starts) + u) / n_starts
        # Ascending throughout, which a search takes a third of the time for.
        points = (offset + start)[:, None, :] + np.arange(n)[:, None]
        found = np.searchsorted((offset + ends).ravel(), points.ravel(), side="right")
        found = found.reshape(n_orders, n, n_starts).transpose(0, 2, 1).reshape(n_orders, -1)
        of_order = found - np.arange(n_orders)[:, None] * live.size
        slot = np.take_along_axis(order, np.clip(of_order, 0, live.size - 1), axis=1)
        # The line begins where an item begins, so its first stretch favours the short ones: the
        # places of a set say nothing once they are shuffled.
        table = live[slot].reshape(-1, n)
        self.table: IntArray = np.take_along_axis(table, _shuffled(seed, day, table.shape), axis=1)

    def of(self, user: IntArray, nth: IntArray) -> IntArray:
        """Return the candidates of requests, an array of shape (R, C)."""
        bits = keyed_bits(self._seed, "candidates", self._day, user, nth)
        row = (bits % np.uint64(self.table.shape[0])).astype(np.int64)
        return np.asarray(self.table[row])
