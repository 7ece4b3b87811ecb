"""Counts per cell of two samples, checked: what all tests of this package start from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray

__all__ = ["as_counts", "two_samples"]


def as_counts(counts: npt.ArrayLike, name: str) -> FloatArray:
    """Return counts as float64 (exact to 2**53), or raise if one is negative, NaN or infinite."""
    array = np.asarray(counts)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} must hold counts; got {array.dtype}")
    array = array.astype(np.float64)
    wrong = np.flatnonzero(~((array >= 0) & (array < np.inf)))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and not negative; {wrong.size} of {array.size} counts are not, "
            f"such as {float(array.flat[wrong[0]])!r} at position {wrong[0]}"
        )
    return array


def two_samples(ref: npt.ArrayLike, live: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return the counts of two samples, one row a column of the table, one entry a cell."""
    first, second = as_counts(ref, "ref"), as_counts(live, "live")
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            "ref and live must both have the shape (columns, cells); "
            f"got {first.shape} and {second.shape}"
        )
    return first, second
