"""Columns of any magnitude brought to one in which sums of squares are finite."""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray, IntArray

__all__ = ["magnitude", "refuse_far"]

# Live values over the largest of the reference; fourth powers of squares must be finite.
_FARTHEST = 1e30


def magnitude(values: FloatArray) -> IntArray:
    """Return for every column the power of 2 that brings it under 1; NaN is left out.

    Dividing by it changes no digit, and nothing that is free of units.
    """
    powers: IntArray = np.frexp(np.fmax.reduce(np.abs(values), axis=0, initial=0.0))[1]
    return powers


def refuse_far(matrix: FloatArray, names: list[str]) -> None:
    """Raise ValueError that names a column with a value far beyond 1, the reference's largest."""
    largest = np.abs(matrix).max(axis=0)
    wrong = np.flatnonzero(largest > _FARTHEST)
    if wrong.size:
        raise ValueError(
            f"{names[wrong[0]]} holds a value {largest[wrong[0]]:.0e} times as large as any of the "
            "reference: their sums of squares have no digit in common"
        )
