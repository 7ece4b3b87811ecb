"""Floor 0: statistics of a sample mean and of paired differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._types import FloatArray
from mlsd._validation import as_generator, check_fraction, check_positive_int

__all__ = [
    "MeanInterval",
    "PairedTest",
    "bootstrap_mean",
    "holm",
    "paired_randomization",
    "paired_t",
    "t_interval",
]

# Resampled values held at once: 32 MB.
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean, its interval, its standard error and the number of values."""

    mean: float
    lower: float
    upper: float
    stderr: float
    n: int


@dataclass(frozen=True, slots=True)
class PairedTest:
    """A mean paired difference, its t interval, and the p-value of "no difference"."""

    difference: float
    lower: float
    upper: float
    stderr: float
    p_value: float
    n: int


def _mean_and_stderr(values: FloatArray) -> tuple[float, float]:
    n = values.size
    if n == 0:
        return math.nan, math.nan
    mean = float(values.mean())
    if n == 1:
        return mean, math.nan
    # A constant sample has no spread, though the mean of equal floats may be off in the last digit.
    if (values == values[0]).all():
        return float(values[0]), 0.0
    return mean, float(values.std(ddof=1)) / math.sqrt(n)


def t_interval(values: npt.ArrayLike, *, level: float = 0.95) -> MeanInterval:
    """Return the mean of independent values and its Student t interval.

    Parameters
    ----------
    values : array-like of shape (n,)
        Finite values, one a unit. With n = 1 the interval is nan; with n = 0 the mean is too.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    MeanInterval
        Mean, lower and upper end, standard error ``s / sqrt(n)`` and n.

    Raises
    ------
    ValueError
        If a value is NaN, `values` is not one-dimensional or `level` is not inside (0, 1).

    References
    ----------
    Student (1908), The probable error of a mean, Biometrika 6(1).

    Examples
    --------
    >>> interval = t_interval([1.0, 2.0, 3.0, 4.0])
    >>> print(f"{interval.mean} [{interval.lower:.3f}, {interval.upper:.3f}]")
    2.5 [0.446, 4.554]
    """
    from scipy.special import stdtrit

    sample = as_floats(values, "values")
    level = check_fraction(level, "level")
    mean, stderr = _mean_and_stderr(sample)
    half = (
        float(stdtrit(sample.size - 1, 0.5 + level / 2)) * stderr if sample.size > 1 else math.nan
    )
    return MeanInterval(mean, mean - half, mean + half, stderr, sample.size)


def bootstrap_mean(
    values: npt.ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 2000,
    random_state: int | np.random.Generator | None = None,
) -> MeanInterval:
    """Return the mean of independent values and its percentile bootstrap interval.

    Parameters
    ----------
    values : array-like of shape (n,)
        Finite values, one a unit.
    level : float
        Coverage of the interval, strictly between 0 and 1.
    n_resamples : int
        Samples of n values drawn with replacement.
    random_state : int, Generator or None
        Source of the resamples.

    Returns
    -------
    MeanInterval
        As of ``t_interval``; the standard error is that of the resampled means.

    Raises
    ------
    ValueError
        If a value is NaN, or `level` or `n_resamples` is out of range.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    >>> interval = bootstrap_mean([1.0, 2.0, 3.0, 4.0], random_state=0)
    >>> interval.lower < interval.mean < interval.upper
    True
    """
    sample = as_floats(values, "values")
    level = check_fraction(level, "level")
    n_resamples = check_positive_int(n_resamples, "n_resamples")
    rng = as_generator(random_state)
    mean, stderr = _mean_and_stderr(sample)
    if sample.size < 2 or stderr == 0.0:
        # Nothing to resample; as in t_interval, a single value says nothing about its spread.
        edge = mean if stderr == 0.0 else math.nan
        return MeanInterval(mean, edge, edge, stderr, sample.size)
    means = np.concatenate(
        [
            sample[rng.integers(0, sample.size, (rows, sample.size))].mean(axis=1)
            for rows in _chunks(n_resamples, sample.size)
        ]
    )
    lower, upper = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    stderr = float(means.std(ddof=1)) if n_resamples > 1 else math.nan
    return MeanInterval(mean, float(lower), float(upper), stderr, sample.size)


def paired_t(differences: npt.ArrayLike, *, level: float = 0.95) -> PairedTest:
    """Return the two-sided paired t test of a mean difference of 0.

    Parameters
    ----------
    differences : array-like of shape (n,)
        First minus second, one a unit.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    PairedTest
        Mean difference, t interval, standard error, p-value and n. Below two units all but the mean
        are nan. Differences that are all equal have p = 1 if they are 0, else p = 0.

    Raises
    ------
    ValueError
        If a difference is NaN or `level` is not inside (0, 1).

    Examples
    --------
    >>> print(f"{paired_t([0.1, 0.2, 0.3, 0.2]).p_value:.4f}")
    0.0163
    """
    from scipy.special import stdtr

    interval = t_interval(differences, level=level)
    if interval.n < 2:
        p_value = math.nan
    elif interval.stderr == 0.0:
        p_value = 1.0 if interval.mean == 0.0 else 0.0
    else:
        p_value = 2.0 * float(stdtr(interval.n - 1, -abs(interval.mean) / interval.stderr))
    return _tested(interval, p_value)


def paired_randomization(
    differences: npt.ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 10_000,
    random_state: int | np.random.Generator | None = None,
) -> PairedTest:
    """Return the two-sided paired randomization test: under no difference each sign is a coin toss.

    All ``2**n`` assignments of signs are counted when there are no more than `n_resamples` of them;
    otherwise random ones are drawn, and the p-value is ``(1 + as extreme) / (1 + n_resamples)``,
    which is never 0. The interval is the t interval: the test itself gives none.

    Parameters
    ----------
    differences : array-like of shape (n,)
        First minus second, one a unit.
    level : float
        Coverage of the interval, strictly between 0 and 1.
    n_resamples : int
        Random assignments of signs.
    random_state : int, Generator or None
        Source of the signs; not used when all are counted.

    Returns
    -------
    PairedTest
        As of ``paired_t``.

    Raises
    ------
    ValueError
        If a difference is NaN, or `level` or `n_resamples` is out of range.

    References
    ----------
    Smucker, Allan and Carterette (2007), A comparison of statistical significance tests for
    information retrieval evaluation, CIKM.

    Examples
    --------
    >>> paired_randomization([0.1, 0.2, 0.3, 0.2]).p_value
    0.125
    """
    sample = as_floats(differences, "differences")
    n_resamples = check_positive_int(n_resamples, "n_resamples")
    rng = as_generator(random_state)
    interval = t_interval(sample, level=level)
    n = sample.size
    if n < 2:
        return _tested(interval, math.nan)
    # A unit without a difference adds 0 under either sign.
    moving = sample[sample != 0.0]
    # Sums in another order differ in the last digits: those are ties, not less extreme.
    bound = abs(float(moving.sum())) - 1e-12 * float(np.abs(moving).sum())
    if moving.size < 63 and 2**moving.size <= n_resamples:
        bits = np.arange(2**moving.size)[:, None] >> np.arange(moving.size) & 1
        return _tested(interval, float((np.abs((1 - 2 * bits) @ moving) >= bound).mean()))
    extreme = 0
    for rows in _chunks(n_resamples, moving.size):
        signs = 1.0 - 2.0 * rng.integers(0, 2, (rows, moving.size), dtype=np.int8)
        extreme += int((np.abs(signs @ moving) >= bound).sum())
    return _tested(interval, (1 + extreme) / (1 + n_resamples))


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Return Holm's step-down adjustment of p-values: the chance of one false alarm among all.

    Parameters
    ----------
    p_values : array-like of shape (m,)
        P-values of one family of tests. A nan stays nan and does not count as a test.

    Returns
    -------
    ndarray of shape (m,)
        Adjusted p-values, at most 1, never below the given ones.

    Raises
    ------
    ValueError
        If a p-value is outside 0 to 1.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = as_floats(p_values, "p_values", allow_nan=True)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p_values must lie between 0 and 1")
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = np.arange(order.size, 0, -1) * values[order]
    adjusted = values.copy()
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _tested(interval: MeanInterval, p_value: float) -> PairedTest:
    return PairedTest(
        interval.mean, interval.lower, interval.upper, interval.stderr, p_value, interval.n
    )


def _chunks(n_resamples: int, n: int) -> list[int]:
    """Split the resamples so that no more than _CHUNK values are held at once."""
    rows = max(1, _CHUNK // max(n, 1))
    return [min(rows, n_resamples - start) for start in range(0, n_resamples, rows)]
