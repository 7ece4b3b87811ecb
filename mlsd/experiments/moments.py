"""What a test needs to know of an arm: its number of units, means, variances and covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlsd._exact import LARGEST_FACTOR, UNIT, exact_dot, exact_sum, quotient
from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import check_same_length

__all__ = ["Moments", "RatioMoments"]


@dataclass(frozen=True, slots=True)
class Moments(Result):
    """Units of one arm: mean and variance of a metric, and of a covariate beside it.

    A warehouse can compute them (``COUNT``, ``AVG``, ``VAR_SAMP``, ``COVAR_SAMP``), one row an
    arm; ``a + b`` are those of the units of both, so that days, machines and engines add up. Each
    unit is in one part only, with its whole sum.

    Attributes
    ----------
    n : int
        Units, at least 0.
    mean, var : float
        Mean and sample variance (with ``n - 1``) of the metric over units; the mean is nan with
        no unit, the variance below two.
    covariate_mean, covariate_var, covariance : float or None
        Of a covariate known before the experiment began, and its sample covariance with the
        metric. All three or none.

    Raises
    ------
    ValueError
        If n or a variance is negative, something is nan that is defined, or a covariance is
        larger than the variances allow.
    TypeError
        If n is not an integer.

    Notes
    -----
    Made from arrays by :meth:`of` they are exact sums rounded once: the order of the units is not
    seen, and equal values have a variance of 0. Two of them merge by the formula of Chan, Golub
    and LeVeque, which does not lose digits when the mean is large.

    References
    ----------
    Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance, The American
    Statistician 37(3).

    Examples
    --------
    >>> Moments.of([1.0, 2.0, 3.0]) + Moments.of([4.0, 5.0])
    Moments(n=5, mean=3.0, var=2.5, covariate_mean=None, covariate_var=None, covariance=None)
    """

    n: int
    mean: float
    var: float
    covariate_mean: float | None = None
    covariate_var: float | None = None
    covariance: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        given = [
            value is not None
            for value in (self.covariate_mean, self.covariate_var, self.covariance)
        ]
        if any(given) and not all(given):
            raise ValueError(
                "covariate_mean, covariate_var and covariance are given together or not at all"
            )
        n, mean, cov = _checked(self.n, *self._joint())
        object.__setattr__(self, "n", n)
        self._set(mean, cov)

    def _set(self, mean: FloatArray, cov: FloatArray) -> None:
        object.__setattr__(self, "mean", float(mean[0]))
        object.__setattr__(self, "var", float(cov[0, 0]))
        if mean.size == 2:
            object.__setattr__(self, "covariate_mean", float(mean[1]))
            object.__setattr__(self, "covariate_var", float(cov[1, 1]))
            object.__setattr__(self, "covariance", float(cov[0, 1]))

    def _joint(self) -> tuple[Any, Any]:
        if self.covariate_mean is None:
            return [self.mean], [[self.var]]
        return [self.mean, self.covariate_mean], [
            [self.var, self.covariance],
            [self.covariance, self.covariate_var],
        ]

    @classmethod
    def of(cls, values: npt.ArrayLike, covariate: npt.ArrayLike | None = None) -> Self:
        """Return the moments of values, one a unit.

        Parameters
        ----------
        values : array-like of shape (n,)
            The metric of each unit; finite, at most 1e150 in magnitude.
        covariate : array-like of shape (n,), optional
            A number known of each unit before the experiment began.

        Returns
        -------
        Moments

        Raises
        ------
        ValueError
            If a value is NaN, infinite or too large, or the lengths differ.

        Examples
        --------
        >>> Moments.of([1, 2, 6], covariate=[0, 1, 2]).covariance
        2.5
        """
        columns = {"values": values}
        if covariate is not None:
            columns["covariate"] = covariate
        n, mean, cov = joint_moments(columns)
        return cls(n, *_spread(mean, cov))

    def __add__(self, other: object) -> Self:
        """Return the moments of the units of both."""
        if not isinstance(other, Moments):
            return NotImplemented
        if (self.covariate_mean is None) != (other.covariate_mean is None):
            raise ValueError("one of two Moments has a covariate and the other has none")
        n, mean, cov = _merged(self.n, *self._joint(), other.n, *other._joint())
        return type(self)(n, *_spread(mean, cov))

    def __radd__(self, other: object) -> Self:
        """Return itself, so that ``sum`` can begin with 0."""
        return self if type(other) is int and other == 0 else NotImplemented


@dataclass(frozen=True, slots=True)
class RatioMoments(Result):
    """Units of one arm: joint moments of a numerator, a denominator, and perhaps a covariate.

    Attributes
    ----------
    n : int
        Units, at least 0.
    mean : tuple of float
        Means over units of numerator and denominator; then those of a covariate, which is one
        number a unit or, with four, itself a numerator and a denominator.
    cov : tuple of tuple of float
        Sample covariance matrix (with ``n - 1``) of the same, in the same order.

    Raises
    ------
    ValueError
        If there are not 2, 3 or 4 means, `cov` is not a symmetric matrix of that size, n or a
        variance is negative, or a covariance is larger than the variances allow.
    TypeError
        If n is not an integer.

    Notes
    -----
    As of :class:`Moments`: exact from arrays, and ``a + b`` for the units of both.

    Examples
    --------
    >>> clicks, views = [1, 0, 2], [2, 1, 3]
    >>> RatioMoments.of(clicks, views).mean
    (1.0, 2.0)
    """

    n: int
    mean: tuple[float, ...]
    cov: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Check the numbers."""
        n, mean, cov = _checked(self.n, self.mean, self.cov)
        if mean.size not in (2, 3, 4):
            raise ValueError(
                "mean must hold those of numerator, denominator and of up to two columns of a "
                f"covariate; got {mean.size}"
            )
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "mean", tuple(mean.tolist()))
        object.__setattr__(self, "cov", tuple(map(tuple, cov.tolist())))

    @classmethod
    def of(
        cls,
        numerator: npt.ArrayLike,
        denominator: npt.ArrayLike,
        covariate: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> Self:
        """Return the moments of sums, one row a unit.

        Parameters
        ----------
        numerator, denominator : array-like of shape (n,)
            Sums of each unit, such as its clicks and its views; finite, at most 1e150.
        covariate : array-like of shape (n,), or a tuple of two, optional
            A number of each unit from before the experiment, or numerator and denominator from
            before.

        Returns
        -------
        RatioMoments

        Raises
        ------
        ValueError
            If a value is NaN, infinite or too large, or the lengths differ.

        Examples
        --------
        >>> RatioMoments.of([1, 0], [2, 1], covariate=([3, 0], [4, 2])).mean
        (0.5, 1.5, 1.5, 3.0)
        """
        n, mean, cov = joint_moments(
            {"numerator": numerator, "denominator": denominator, **covariate_columns(covariate)}
        )
        return cls(n, tuple(mean), tuple(map(tuple, cov)))

    def __add__(self, other: object) -> Self:
        """Return the moments of the units of both."""
        if not isinstance(other, RatioMoments):
            return NotImplemented
        if len(self.mean) != len(other.mean):
            raise ValueError(
                f"two RatioMoments have {len(self.mean)} and {len(other.mean)} columns: their "
                "covariates are not of one kind"
            )
        n, mean, cov = _merged(self.n, self.mean, self.cov, other.n, other.mean, other.cov)
        return type(self)(n, tuple(mean), tuple(map(tuple, cov)))

    def __radd__(self, other: object) -> Self:
        """Return itself, so that ``sum`` can begin with 0."""
        return self if type(other) is int and other == 0 else NotImplemented


def covariate_columns(covariate: Any) -> dict[str, Any]:
    """Return the columns of a covariate by name: none, one, or a numerator and a denominator."""
    if covariate is None:
        return {}
    if isinstance(covariate, tuple) and len(covariate) == 2 and not np.isscalar(covariate[0]):
        return {"covariate[0]": covariate[0], "covariate[1]": covariate[1]}
    return {"covariate": covariate}


def joint_moments(columns: dict[str, Any]) -> tuple[int, FloatArray, FloatArray]:
    """Return the number of rows, the means and the covariance matrix, from exact sums."""
    arrays = {name: unit_values(values, name) for name, values in columns.items()}
    check_same_length(**arrays)
    data = list(arrays.values())
    n, d = data[0].size, len(data)
    mean, cov = np.full(d, math.nan), np.full((d, d), math.nan)
    if not n:
        return 0, mean, cov
    sums = [exact_sum(column) for column in data]
    mean[:] = [quotient(total, n * UNIT) for total in sums]
    if n > 1:
        scale = n * (n - 1) * UNIT * UNIT
        for i in range(d):
            for j in range(i + 1):
                # n Σxy - Σx Σy, as integers: it loses no digit, however large the means are.
                spread = n * exact_dot(data[i], data[j]) * UNIT - sums[i] * sums[j]
                if i == j:
                    spread = max(spread, 0)  # squares that underflow
                cov[i, j] = cov[j, i] = quotient(spread, scale)
    return n, mean, cov


def unit_values(values: Any, name: str) -> FloatArray:
    """Return one finite number a unit, small enough for its square to be a float."""
    array = as_floats(values, name)
    wrong = np.flatnonzero(~(np.abs(array) <= LARGEST_FACTOR))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and at most {LARGEST_FACTOR:g} in magnitude; "
            f"got {float(array[wrong[0]])!r} at position {wrong[0]}"
        )
    return array


def _spread(mean: FloatArray, cov: FloatArray) -> list[float]:
    """Return the fields of Moments behind n."""
    fields = [float(mean[0]), float(cov[0, 0])]
    if mean.size == 2:
        fields += [float(mean[1]), float(cov[1, 1]), float(cov[0, 1])]
    return fields


def _merged(
    n_a: int, mean_a: Any, cov_a: Any, n_b: int, mean_b: Any, cov_b: Any
) -> tuple[int, FloatArray, FloatArray]:
    a, b = np.asarray(mean_a, dtype=np.float64), np.asarray(mean_b, dtype=np.float64)
    of_a, of_b = np.asarray(cov_a, dtype=np.float64), np.asarray(cov_b, dtype=np.float64)
    if not n_a or not n_b:
        return (n_a, a, of_a) if n_a else (n_b, b, of_b)
    n = n_a + n_b
    delta = b - a
    spread = np.outer(delta, delta) * (n_a / n * n_b)
    # One unit has no variance, and adds none of its own.
    for size, cov in ((n_a, of_a), (n_b, of_b)):
        if size > 1:
            spread += cov * (size - 1)
    return n, a + delta * (n_b / n), spread / (n - 1)


def _checked(n: Any, mean: Any, cov: Any) -> tuple[int, FloatArray, FloatArray]:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"n must be an integer; got {n!r} ({type(n).__name__})")
    if n < 0:
        raise ValueError(f"n must be at least 0; got {n!r}")
    means, matrix = _numbers(mean, "mean"), _numbers(cov, "cov")
    if means.ndim != 1 or matrix.shape != (means.size, means.size):
        raise ValueError(
            f"cov must have one row and one column a mean; got means of shape {means.shape} and a "
            f"cov of shape {matrix.shape}"
        )
    if n and not np.isfinite(means).all():
        raise ValueError(f"the means of {n} units must be finite; got {means.tolist()}")
    if n > 1:
        _check_covariance(matrix, int(n))
    else:
        matrix = np.full_like(matrix, math.nan)
    return int(n), means if n else np.full_like(means, math.nan), matrix


def _numbers(values: Any, name: str) -> FloatArray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers; got {values!r}") from None


def _check_covariance(matrix: FloatArray, n: int) -> None:
    if not np.isfinite(matrix).all():
        raise ValueError(
            f"the variances and covariances of {n} units must be finite; got {matrix.tolist()}"
        )
    variances = np.diag(matrix)
    if (variances < 0).any():
        raise ValueError(f"a variance is negative: {variances.tolist()}")
    bound = np.sqrt(np.outer(variances, variances))
    # Sums rounded elsewhere may go past the bound by a few digits.
    if (np.abs(matrix) > bound * (1 + 1e-6)).any():
        raise ValueError(
            f"a covariance is larger than the variances allow: {matrix.tolist()} has a "
            "correlation beyond 1"
        )
    if not np.allclose(matrix, matrix.T, rtol=1e-9, atol=0.0):
        raise ValueError(f"cov must be symmetric; got {matrix.tolist()}")
