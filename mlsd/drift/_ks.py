"""The two-sample Kolmogorov-Smirnov statistic, with a p-value that is exact with ties."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._types import IntArray
from mlsd._validation import warn_undefined

__all__ = ["KS", "ks"]

# Steps times states up to which the law of the Kolmogorov-Smirnov statistic is worked out exactly.
_EXACT_STEPS, _EXACT_WORK = 10_000, 10_000_000


@dataclass(frozen=True, slots=True)
class KS(Result):
    """A two-sample Kolmogorov-Smirnov statistic and its p-value.

    Attributes
    ----------
    statistic : float
        Largest distance between the two distribution functions, 0 to 1; nan if a sample is empty.
    p_value : float
        Chance of a distance as large if nothing changed.
    location : float
        The value at which the distance is largest; the smallest such value.
    exact : bool
        Whether the p-value is exact given the ties at hand, or the limit law's, which errs on the
        side of no alarm: slightly for large samples, more so the more values are equal.
    n_ref, n_live : int
        Numbers of values.
    """

    statistic: float
    p_value: float
    location: float
    exact: bool
    n_ref: int
    n_live: int


def ks(ref: npt.ArrayLike, live: npt.ArrayLike) -> KS:
    """Return the two-sample Kolmogorov-Smirnov statistic and its p-value, exact with ties.

    Up to 10,000 values the p-value is exact: the chance, over all ways to deal the pooled values
    into two samples of these sizes, of a distance as large, with the ties that they have. Beyond,
    it is that of the limit law, which is conservative, and more so if many values are equal.

    Parameters
    ----------
    ref, live : array-like of shape (n,) and (m,)
        Values of the two samples, without NaN; infinite ones have their place at the ends.

    Returns
    -------
    KS
        Statistic, p-value, where the distance is largest, and whether the p-value is exact. A
        small p-value says that there is a change, not that it matters: at 500,000 values a shift of
        .01 standard deviations has p < .01 most of the time. Read the statistic beside it.

    Raises
    ------
    TypeError, ValueError
        If a value is no number or NaN.

    Warns
    -----
    UndefinedMetricWarning
        If a sample is empty: statistic and p-value are nan.

    References
    ----------
    Schröer and Trenkler (1995), Exact and randomization distributions of Kolmogorov-Smirnov tests
    two or three samples, Computational Statistics and Data Analysis 20(2). Smirnov (1939), On the
    estimation of the discrepancy between empirical curves of distribution for two independent
    samples, Bulletin of Moscow University 2.

    Examples
    --------
    >>> result = ks([1, 2, 2, 3, 4, 5], [3, 5, 5, 6, 7, 8])
    >>> print(f"{result.statistic:.3f} at {result.location:g}, p = {result.p_value:.3f}")
    0.667 at 4, p = 0.080
    """
    first, second = np.sort(as_floats(ref, "ref")), np.sort(as_floats(live, "live"))
    n, m = first.size, second.size
    for size, name in ((n, "ref"), (m, "live")):
        if not size:
            warn_undefined(f"{name} is empty: the statistic is undefined")
            return KS(math.nan, math.nan, math.nan, False, n, m)
    values = np.unique(np.concatenate((first, second)))
    in_first = np.searchsorted(first, values, side="right")
    in_second = np.searchsorted(second, values, side="right")
    # In whole numbers: a distance as large must not be missed by a rounding error.
    gaps = np.abs(in_first * m - in_second * n)
    at = int(np.argmax(gaps))
    statistic = float(gaps[at]) / (n * m)
    exact = n + m <= _EXACT_STEPS and (n + m) * min(n, m) <= _EXACT_WORK
    if exact:
        p_value = _exact_ks(n, m, int(gaps[at]), in_first + in_second)
    else:
        from scipy.special import kolmogorov

        p_value = float(kolmogorov(math.sqrt(n / (n + m) * m) * statistic))
    return KS(statistic, p_value, float(values[at]), exact, n, m)


def _exact_ks(n: int, m: int, gap: int, ends: IntArray) -> float:
    """Return P(largest |i m - j n| >= gap) over all orders, i + j looked at in `ends` only.

    Paths that reach the gap are taken out where they first do: the p-value is a sum, not a
    difference from 1, and so right however small.
    """
    if n > m:
        n, m = m, n
    total = n + m
    looked_at = np.zeros(total + 1, dtype=np.bool_)
    looked_at[ends] = True
    i = np.arange(n + 1)
    chance = np.zeros(n + 1)
    chance[0] = 1.0
    out = 0.0
    for drawn in range(total):  # a walk has no other way than step by step
        to_first = chance * ((n - i) / (total - drawn))
        chance = chance - to_first
        chance[1:] += to_first[:-1]
        if looked_at[drawn + 1]:
            far = np.abs(i * total - (drawn + 1) * n) >= gap
            out += float(chance[far].sum())
            chance[far] = 0.0
    return min(out, 1.0)
