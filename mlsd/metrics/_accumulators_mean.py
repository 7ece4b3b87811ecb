"""Means and ratios of data in chunks, from sums without rounding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlsd._exact import LARGEST_FACTOR, UNIT, exact_dot, exact_sum, quotient
from mlsd._fields import Count, Field, Maximum, Minimum, Total
from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._state import State
from mlsd._types import FloatArray
from mlsd._validation import check_fraction, check_same_length, warn_undefined

__all__ = [
    "MeanAccumulator",
    "MeanSummary",
    "RatioAccumulator",
    "RatioSummary",
    "mean_of_sums",
    "t_quantile",
]


@dataclass(frozen=True, slots=True)
class MeanSummary(Result):
    """A mean and its Student t interval, from merged sums."""

    mean: float
    lower: float
    upper: float
    stderr: float
    """Standard error of the mean: ``sqrt(variance / n)``."""
    variance: float
    """Sample variance, with n - 1."""
    minimum: float
    maximum: float
    n: int


@dataclass(frozen=True, slots=True)
class RatioSummary(Result):
    """A ratio of two means and its delta-method interval, from merged sums."""

    ratio: float
    lower: float
    upper: float
    stderr: float
    """Standard error of the ratio by the delta method."""
    numerator: float
    """Sum of the numerators."""
    denominator: float
    """Sum of the denominators."""
    n: int
    """Units."""


class MeanAccumulator(State):
    """Mean, variance and t interval of independent values in chunks, as exact sums.

    Notes
    -----
    The sums of the values and of their squares are kept without rounding, so that variance and
    mean are those of the whole data, rounded once, whatever the order of the chunks and however
    large the mean is against the spread; the variance of equal values is 0. For a weighted mean
    use ``RatioAccumulator`` with ``w * x`` over ``w``: its standard error is that of the weighted
    mean. Values that come in groups, such as clicks of one user, are not independent: sum them by
    unit first.

    References
    ----------
    Student (1908), The probable error of a mean, Biometrika 6(1).
    Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, The American
    Statistician 37(3): what goes wrong when sums of squares are rounded.

    Examples
    --------
    >>> parts = [MeanAccumulator().update([1.0, 2.0]), MeanAccumulator().update([3.0, 4.0])]
    >>> summary = sum(parts).result()
    >>> print(f"{summary.mean} [{summary.lower:.3f}, {summary.upper:.3f}]")
    2.5 [0.446, 4.554]
    """

    kind = "mean"
    version = 1
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def _configure(cls) -> dict[str, Any]:  # type: ignore[override]
        return {}

    @classmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        return {
            "n": Count(),
            "sum": Total(),
            "sum_of_squares": Total(nonnegative=True),
            "minimum": Minimum(),
            "maximum": Maximum(),
        }

    def _check(self) -> None:
        n, total, squares = (self._values[k] for k in ("n", "sum", "sum_of_squares"))
        low, high = self._values["minimum"], self._values["maximum"]
        if not n:
            consistent = not total and not squares and low == math.inf and high == -math.inf
        else:
            consistent = -math.inf < low <= high < math.inf and (
                exact_sum(np.array([low])) * n <= total <= exact_sum(np.array([high])) * n
            )
        if not consistent:
            raise ValueError("the sums of the state contradict each other")

    def update(self, values: npt.ArrayLike) -> Self:
        """Add independent values.

        Parameters
        ----------
        values : array-like of shape (n,)
            Finite, at most 1e150 in magnitude, so that their squares are floats.

        Returns
        -------
        MeanAccumulator
            This one, changed.

        Raises
        ------
        ValueError
            If a value is NaN, infinite or too large. The state is then as it was.
        """
        sample = _bounded(values, "values")
        if sample.size:
            self._absorb(
                n=sample.size,
                sum=exact_sum(sample),
                sum_of_squares=exact_dot(sample, sample),
                minimum=float(sample.min()) + 0.0,  # -0.0 becomes 0.0: one zero in any order
                maximum=float(sample.max()) + 0.0,
            )
        return self

    def result(self, *, level: float = 0.95) -> MeanSummary:
        """Return the mean with its t interval.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.

        Returns
        -------
        MeanSummary
            With one value interval, standard error and variance are nan; with none the rest is,
            too.

        Warns
        -----
        UndefinedMetricWarning
            If there is no value.
        """
        level = check_fraction(level, "level")
        n, total, squares = (self._values[k] for k in ("n", "sum", "sum_of_squares"))
        if not n:
            nan = math.nan
            warn_undefined("no value: the mean is nan")
            return MeanSummary(nan, nan, nan, nan, nan, nan, nan, 0)
        mean, variance, stderr = mean_of_sums(n, total, squares)
        half = t_quantile(n, level) * stderr
        return MeanSummary(
            mean,
            mean - half,
            mean + half,
            stderr,
            variance,
            self._values["minimum"],
            self._values["maximum"],
            n,
        )


class RatioAccumulator(State):
    """Ratio of two sums over units, such as clicks per view of users, with its delta-method error.

    Each row is one randomisation unit with all its numerator and all its denominator. A unit may
    not be split over two rows or two parts: the error comes from how much whole units differ, and
    halves of one unit would count as two independent units, of half the size. The ratio would be
    right and the interval too narrow, without any sign of it. So sum by unit first, and send all
    events of a unit to one part, for example by a hash of its identifier.

    Notes
    -----
    The state is six exact additive values: n and the sums of x, y, x², y² and xy. With ratio R the
    residuals e = x - R y have mean 0, and the squared standard error is n / (n - 1) Σe² / (Σy)²,
    which is the delta method with sample covariances. The interval is Student's, with n - 1.

    References
    ----------
    Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics: a practical guide
    with novel ideas, KDD.

    Examples
    --------
    >>> monday = RatioAccumulator().update([1, 0, 3], [10, 5, 20])  # clicks and views of 3 users
    >>> tuesday = RatioAccumulator().update([2], [5])
    >>> summary = (monday + tuesday).result()
    >>> round(summary.ratio, 3), round(summary.stderr, 4), summary.n
    (0.15, 0.0445, 4)
    """

    kind = "ratio"
    version = 1
    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def _configure(cls) -> dict[str, Any]:  # type: ignore[override]
        return {}

    @classmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        return {
            "n": Count(),
            "x": Total(),
            "y": Total(),
            "xx": Total(nonnegative=True),
            "yy": Total(nonnegative=True),
            "xy": Total(),
        }

    def _check(self) -> None:
        if not self._values["n"] and any(self._values.values()):
            raise ValueError("the sums of the state contradict each other")

    def update(self, numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Self:
        """Add units, one row each.

        Parameters
        ----------
        numerator, denominator : array-like of shape (n,)
            Totals of each unit; finite, at most 1e150 in magnitude.

        Returns
        -------
        RatioAccumulator
            This one, changed.

        Raises
        ------
        ValueError
            If lengths differ or a value is NaN, infinite or too large. The state is then as it was.
        """
        x, y = _bounded(numerator, "numerator"), _bounded(denominator, "denominator")
        check_same_length(numerator=x, denominator=y)
        if x.size:
            self._absorb(
                n=x.size,
                x=exact_sum(x),
                y=exact_sum(y),
                xx=exact_dot(x, x),
                yy=exact_dot(y, y),
                xy=exact_dot(x, y),
            )
        return self

    def result(self, *, level: float = 0.95) -> RatioSummary:
        """Return the ratio with its interval.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.

        Returns
        -------
        RatioSummary
            With one unit interval and standard error are nan; with denominators that sum to 0 the
            ratio is, too.

        Warns
        -----
        UndefinedMetricWarning
            If the denominators sum to 0, or there is none.
        """
        level = check_fraction(level, "level")
        n, x, y, xx, yy, xy = (self._values[k] for k in ("n", "x", "y", "xx", "yy", "xy"))
        sums = quotient(x, UNIT), quotient(y, UNIT)
        if not y:
            nan = math.nan
            warn_undefined(f"the denominators of {n} units sum to 0: the ratio is nan")
            return RatioSummary(nan, nan, nan, nan, *sums, n)
        ratio, stderr = quotient(x, y), math.nan
        if n > 1:
            # (Σy)² Σe², in units of 2**-3222.
            residual = max(xx * y * y - 2 * x * y * xy + x * x * yy, 0)
            stderr = math.sqrt(quotient(n * residual * UNIT, (n - 1) * y**4))
        half = t_quantile(n, level) * stderr
        return RatioSummary(ratio, ratio - half, ratio + half, stderr, *sums, n)


def mean_of_sums(n: int, total: int, squares: int) -> tuple[float, float, float]:
    """Return mean, sample variance and standard error from exact sums; nan where undefined."""
    if not n:
        return math.nan, math.nan, math.nan
    mean = quotient(total, n * UNIT)
    if n == 1:
        return mean, math.nan, math.nan
    # n Σx² - (Σx)², in units of 2**-2148. Cauchy and Schwarz forbid a negative one; only squares
    # that underflow can seem to allow it.
    spread = max(n * squares * UNIT - total * total, 0)
    unit = n * (n - 1) * UNIT * UNIT
    return mean, quotient(spread, unit), math.sqrt(quotient(spread, n * unit))


def t_quantile(n: int, level: float) -> float:
    """Return how many standard errors a two-sided t interval reaches; nan below two values."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.5 + level / 2)) if n > 1 else math.nan


def _bounded(values: npt.ArrayLike, name: str) -> FloatArray:
    array = as_floats(values, name)
    wrong = np.flatnonzero(np.abs(array) > LARGEST_FACTOR)
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and at most {LARGEST_FACTOR:g} in magnitude; "
            f"got {float(array[wrong[0]])!r} at position {wrong[0]}"
        )
    return array
