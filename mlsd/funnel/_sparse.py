"""Sparse products in batches, and what is looked for in their rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray, IntArray
from mlsd.funnel._runs import order_within, rank_within

__all__ = ["entries", "product_sizes", "row_batches", "top_of_rows"]


def row_batches(sizes: npt.NDArray[Any], most: int) -> Iterator[tuple[int, int]]:
    """Cut rows into ranges whose sizes add up to at most `most` (or that are one row)."""
    done = np.append(0, np.cumsum(sizes, dtype=np.int64))
    start = 0
    while start < sizes.size:
        stop = int(np.searchsorted(done, done[start] + most, side="right")) - 1
        stop = max(stop, start + 1)
        yield start, stop
        start = stop


def product_sizes(left: Any, right: Any) -> IntArray:
    """Return how many entries every row of the sparse product `left @ right` has at most."""
    touched = np.append(0, np.cumsum(np.diff(right.indptr)[left.indices], dtype=np.int64))
    sizes: IntArray = np.minimum(np.diff(touched[left.indptr]), right.shape[1])
    return sizes


def top_of_rows(scores: Any, k: int) -> tuple[IntArray, IntArray, FloatArray]:
    """Return row, column and value of the `k` highest entries of every row, best first.

    Only stored entries are looked at. Rows longer than `k` are padded among rows of like length
    (at most twice their size) and partitioned together, which gives each its k-th value; what is
    left to sort is `k` a row, and the ties at the cut.
    """
    lengths = np.diff(scores.indptr).astype(np.int64)
    cut = np.full(lengths.size, -np.inf)
    size_class = np.where(lengths > k, np.frexp(lengths)[1], 0)
    for which in np.unique(size_class[size_class > 0]):
        chosen = size_class == which
        width = int(lengths[chosen].max())
        padded = np.full((int(chosen.sum()), width), -np.inf)
        padded[np.arange(width) < lengths[chosen, None]] = scores.data[np.repeat(chosen, lengths)]
        padded.partition(width - k, axis=1)
        cut[chosen] = padded[:, width - k]
    kept = np.flatnonzero(scores.data >= np.repeat(cut, lengths))
    row = np.searchsorted(scores.indptr, kept, side="right") - 1
    column = scores.indices[kept].astype(np.int64)
    value = scores.data[kept]
    order = order_within(row, value, column)
    row = row[order]
    top = rank_within(row) <= k
    return row[top], column[order][top], value[order][top]


def entries(matrix: Any, rows: npt.NDArray[Any], columns: IntArray) -> FloatArray:
    """Return `matrix[rows, columns]` as an array; entries not stored are 0."""
    if not rows.size:
        return np.zeros(0)
    found = matrix[rows, columns]
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found).reshape(-1)
