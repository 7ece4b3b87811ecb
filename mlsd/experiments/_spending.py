"""How alpha is spent over the looks of a test, and the boundaries that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlsd._inputs import as_floats
from mlsd._types import FloatArray
from mlsd._validation import check_positive_int
from mlsd.experiments._recursion import Walk, root

__all__ = ["SPENDING", "alpha_spent", "as_fractions", "boundary"]

SPENDING = ("obrien-fleming", "pocock", "hwang-shih-decani")
_MOST_LOOKS = 1_000
_LEAST_STEP = 1e-4  # of the information so far: below it the nodes would be too many
_NEVER = 1e-15  # chance below which a bound need not be exact


def alpha_spent(t: FloatArray, alpha: float, spending: str, gamma: float, sides: int) -> FloatArray:
    """Return the alpha that may be spent up to information t, at most 1."""
    from scipy.special import ndtr, ndtri

    if spending == "pocock":
        return np.asarray(alpha * np.log1p(math.expm1(1.0) * t))
    if spending == "hwang-shih-decani":
        if gamma == 0:
            return alpha * t
        return np.asarray(alpha * np.expm1(-gamma * t) / math.expm1(-gamma))
    # Each side spends its own alpha, as in the tables.
    return np.asarray(2.0 * sides * ndtr(ndtri(alpha / sides / 2.0) / np.sqrt(t)))


def boundary(fractions: FloatArray, spent: FloatArray, sides: int) -> FloatArray:
    """Return the bounds at which each look spends what the function lets it."""
    from scipy.special import ndtri

    walk = Walk()
    bounds = np.empty(fractions.size)
    shares = np.diff(spent, prepend=0.0) / sides
    for look, (t, share) in enumerate(zip(fractions.tolist(), shares.tolist(), strict=True)):
        alone = math.inf if share <= 0 else -float(ndtri(share))
        if look == 0 or share < _NEVER:
            bounds[look] = alone
        else:
            bounds[look] = root(_excess(walk, t, share), -10.0, alone + 1e-6)
        if look + 1 < fractions.size:
            bound = float(bounds[look])
            walk.go(t, -bound if sides == 2 else -math.inf, bound, float(fractions[look + 1]))
    return bounds


def _excess(walk: Walk, t: float, share: float) -> Callable[[float], float]:
    return lambda bound: walk.above(t, bound) - share


def as_fractions(looks: Any) -> FloatArray:
    if isinstance(looks, int | np.integer) and not isinstance(looks, bool):
        number = check_positive_int(looks, "looks")
        _refuse_many(number)
        return np.arange(1, number + 1) / number
    fractions = as_floats(looks, "looks").copy()
    _refuse_many(fractions.size)
    if not (np.isfinite(fractions).all() and fractions[0] > 0):
        raise ValueError(f"looks must be finite fractions above 0; got {fractions.tolist()}")
    if (np.diff(fractions) < _LEAST_STEP * fractions[1:]).any():
        raise ValueError(f"looks must rise, by at least 1e-4 of themselves; got {list(looks)}")
    return fractions


def _refuse_many(number: int) -> None:
    if not 1 <= number <= _MOST_LOOKS:
        raise ValueError(
            f"looks must be from 1 to {_MOST_LOOKS}; got {number}: for a test that is looked at "
            "without end use always_valid"
        )
