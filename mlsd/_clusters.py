"""Floor 0: ratios of sums over independent units, whose rows are not independent.

The rows of one user resemble each other. An interval that takes them as independent draws is too
narrow; one that starts from the sums of each unit is right whatever goes on inside a unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_same_length

__all__ = ["RatioOfSums", "count_by_unit", "ratio_of_sums", "share_interval", "wilson_interval"]


@dataclass(frozen=True, slots=True)
class RatioOfSums:
    """Sum of a numerator over sum of a denominator, with the delta-method standard error.

    Attributes
    ----------
    value : float
        The ratio; nan if the denominator sums to 0.
    stderr : float
        Standard error over units; nan with fewer than two.
    numerator, denominator : float
        The two sums.
    n_units : int
        Units, one row of the data each.
    kish_units : float
        ``(Σx)² / Σx²`` of the denominators x: how many units of one size carry as much weight.
    """

    value: float
    stderr: float
    numerator: float
    denominator: float
    n_units: int
    kish_units: float


def count_by_unit(
    codes: IntArray, n_units: int, values: FloatArray | IntArray | BoolArray | None = None
) -> IntArray:
    """Return per unit the sum of whole `values`, or the number of rows; int64, exact to 2**53."""
    if values is None:
        return np.bincount(codes, minlength=n_units)
    if values.dtype == np.bool_:
        return np.bincount(codes[values], minlength=n_units)
    return np.bincount(codes, weights=values, minlength=n_units).astype(np.int64)


def ratio_of_sums(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> RatioOfSums:
    """Return the ratio of two sums over units, and its standard error by the delta method.

    With y and x the unit's sums, n units and R = Σy/Σx, the variance is
    ``n/(n-1) · Σ(y - R·x)² / (Σx)²``. It is the cluster-robust variance of a least-squares fit of
    a constant, each row weighted by its x.

    Parameters
    ----------
    numerator, denominator : ndarray of shape (n_units,)
        Sums of each unit, finite.

    Returns
    -------
    RatioOfSums

    Raises
    ------
    ValueError
        If the lengths differ.

    References
    ----------
    Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics, KDD.

    Examples
    --------
    >>> ratio = ratio_of_sums(np.array([1, 0, 2]), np.array([2, 1, 3]))
    >>> print(f"{ratio.value} ± {ratio.stderr:.4f}")
    0.5 ± 0.1443
    """
    check_same_length(numerator=numerator, denominator=denominator)
    y, x = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    total, base, n = float(y.sum()), float(x.sum()), y.size
    if base == 0.0:
        return RatioOfSums(math.nan, math.nan, total, base, n, math.nan)
    stderr = math.nan
    if n > 1:
        # y·Σx - x·Σy is exact for counts below 2**53, so that a constant ratio has no spread.
        residual = (y * base - x * total) / base
        stderr = math.sqrt(n / (n - 1) * float(residual @ residual)) / abs(base)
    return RatioOfSums(total / base, stderr, total, base, n, base * base / float(x @ x))


def wilson_interval(
    share: npt.ArrayLike, n: npt.ArrayLike, quantile: float
) -> tuple[FloatArray, FloatArray]:
    """Return Wilson's score interval of a share: lower and upper ends, within 0 to 1.

    Parameters
    ----------
    share : array-like
        Observed shares, 0 to 1.
    n : array-like
        Number of trials behind each, above 0; real numbers are effective sample sizes, and inf
        gives an interval without width. Where either is nan, so is the interval.
    quantile : float
        Quantile of the normal, or of t with few units: 1.96 for 95 %.

    Returns
    -------
    tuple of ndarray
        Lower and upper ends.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA
    22(158).

    Examples
    --------
    >>> lower, upper = wilson_interval(0.1, 50, 1.959964)
    >>> print(f"[{lower:.4f}, {upper:.4f}]")
    [0.0435, 0.2136]
    """
    p, size = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    added = quantile * quantile / size
    centre = (p + added / 2) / (1 + added)
    half = np.sqrt(added * (p * (1 - p) + added / 4)) / (1 + added)
    # At a share of 0 or 1 one end is the share itself, but for the last digit.
    return np.clip(centre - half, 0.0, p), np.clip(centre + half, p, 1.0)


def share_interval(ratio: RatioOfSums, *, level: float, method: str) -> tuple[float, float]:
    """Return an interval of a ratio that is a share, each numerator within its denominator.

    Parameters
    ----------
    ratio : RatioOfSums
        Of counts, numerator at most denominator.
    level : float
        Coverage, strictly between 0 and 1.
    method : str
        "wilson": Wilson's interval with the effective sample size ``R(1-R)/stderr²``, so within
        0 to 1. A share of 0 or 1 shows no spread; each unit then counts as one draw, weighted by
        its size (Kish), which is the most cautious reading. "delta": ``R ± t·stderr``. Both with
        Student's t for ``n_units - 1`` degrees of freedom.

    Returns
    -------
    tuple of float
        Lower and upper end; nan where the standard error is.

    References
    ----------
    Dean and Pagano (2015), Evaluating confidence interval methods for binomial proportions in
    clustered surveys, Journal of Survey Statistics and Methodology 3(4).
    Kish (1965), Survey Sampling, chapter 8.
    """
    from scipy.special import stdtrit

    if math.isnan(ratio.stderr):
        return math.nan, math.nan
    quantile = float(stdtrit(ratio.n_units - 1, 0.5 + level / 2))
    if method == "delta":
        half = quantile * ratio.stderr
        return ratio.value - half, ratio.value + half
    if ratio.numerator in (0.0, ratio.denominator):
        size = ratio.kish_units
    elif ratio.stderr == 0.0:
        size = math.inf
    else:
        size = ratio.value * (1 - ratio.value) / ratio.stderr**2
    lower, upper = wilson_interval(ratio.value, size, quantile)
    return float(lower), float(upper)
