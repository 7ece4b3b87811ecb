"""Intervals and a paired test for the area under the ROC curve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._results import Result
from mlsd._types import AnyArray, FloatArray
from mlsd._validation import (
    as_generator,
    check_choice,
    check_fraction,
    check_positive_int,
    check_same_length,
    warn_undefined,
)
from mlsd.metrics._binary import area, as_scores, checked, twice_below

__all__ = ["AUCComparison", "AUCInterval", "compare_roc_auc", "roc_auc_ci"]


@dataclass(frozen=True, slots=True)
class AUCInterval(Result):
    """An area under the ROC curve with its interval."""

    auc: float
    """The area, ties at one half; nan with one class only."""
    lower: float
    upper: float
    """Ends of the interval; nan with fewer than two rows of a class."""
    stderr: float
    """Standard error: of DeLong, or of the resampled areas."""
    level: float
    """Coverage the interval aims at."""
    method: str
    """"delong", "bootstrap", or "newcombe" where the classes are separated."""
    n_positive: int
    n_negative: int


@dataclass(frozen=True, slots=True)
class AUCComparison(Result):
    """Two areas under the ROC curve on the same rows, and DeLong's test of no difference."""

    difference: float
    """Area of a minus area of b."""
    lower: float
    upper: float
    """Ends of the interval of the difference, within -1 to 1."""
    stderr: float
    """Standard error of the difference, correlation of the two areas included."""
    z: float
    """Difference over standard error; 0 where both scores order every pair alike."""
    p_value: float
    """Two-sided."""
    auc_a: float
    auc_b: float
    level: float
    """Coverage the interval aims at."""
    n_positive: int
    n_negative: int


def roc_auc_ci(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    level: float = 0.95,
    method: str = "delong",
    transform: str | None = "logit",
    n_resamples: int = 2000,
    random_state: int | np.random.Generator | None = None,
    pos_label: Any = None,
) -> AUCInterval:
    """Area under the ROC curve with a confidence interval; rows are independent of each other.

    Parameters
    ----------
    y_true, y_score, pos_label
        As in ``roc_auc``.
    level : float
        Coverage, strictly between 0 and 1.
    method : str
        "delong": normal theory with DeLong's standard error. "bootstrap": percentiles of areas of
        resampled rows, positives and negatives each among themselves (stratified), so that both
        methods take the two class sizes as given.
    transform : str or None
        Of DeLong's interval. "logit": symmetric on the scale of log(auc / (1 - auc)), hence within
        0 to 1, and nearer its level for areas near 1. None: symmetric about the area, cut at 0
        and 1.
    n_resamples : int
        Bootstrap samples.
    random_state : int, Generator or None
        Source of the bootstrap samples.

    Returns
    -------
    AUCInterval
        Area, ends, standard error and class sizes. nan throughout with one class; the interval and
        the standard error are nan with fewer than two rows of a class.

    Raises
    ------
    ValueError
        As ``roc_auc``; and if an option is unknown or out of range.

    Warns
    -----
    UndefinedMetricWarning
        If a class has fewer than two rows.

    Notes
    -----
    Where the classes are separated (an area of 0 or 1) both standard errors are 0, though a finite
    sample proves nothing of the kind. The interval is then Newcombe's (2006, method 5), which
    solves ``|θ - auc| = z · sd(θ)`` with the variance of Hanley and McNeil at θ: 10 positives and
    10 negatives in perfect order give a lower end of .80. ``method`` of the result says so. A
    constant score is no such case: it ties every pair, and the interval is the point .5.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Comparing the areas under two or more correlated
    receiver operating characteristic curves, Biometrics 44(3). Sun and Xu (2014), Fast
    implementation of DeLong's algorithm, IEEE Signal Processing Letters 21(11). Newcombe (2006),
    Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
    Statistics in Medicine 25(4).

    Examples
    --------
    >>> interval = roc_auc_ci([0, 0, 0, 1, 1, 1], [0.1, 0.3, 0.6, 0.4, 0.7, 0.9])
    >>> print(f"{interval.auc:.3f} [{interval.lower:.3f}, {interval.upper:.3f}]")
    0.889 [0.261, 0.995]
    """
    check_choice(method, "method", ("delong", "bootstrap"))
    check_choice(transform, "transform", ("logit", None))
    level = check_fraction(level, "level")
    n_resamples = check_positive_int(n_resamples, "n_resamples")
    rng = as_generator(random_state)
    labels, scores = checked(y_true, y_score, "y_score", pos_label)
    positive, negative = scores[labels], scores[~labels]
    sizes = (positive.size, negative.size)
    positive.sort()
    negative.sort()
    auc = area(positive, negative) if min(sizes) else math.nan
    if min(sizes) < 2:
        warn_undefined(_too_few(*sizes))
        return AUCInterval(auc, math.nan, math.nan, math.nan, level, method, *sizes)
    from scipy.special import ndtri

    quantile = float(ndtri(0.5 + level / 2))
    if auc in (0.0, 1.0):
        end = _separated(*sizes, quantile)
        ends = (end, 1.0) if auc == 1.0 else (0.0, 1.0 - end)
        return AUCInterval(auc, *ends, 0.0, level, "newcombe", *sizes)
    if method == "bootstrap":
        areas = _resampled(positive, negative, n_resamples, rng)
        lower, upper = np.quantile(areas, [0.5 - level / 2, 0.5 + level / 2]).tolist()
        stderr = float(areas.std(ddof=1)) if n_resamples > 1 else math.nan
        return AUCInterval(auc, lower, upper, stderr, level, method, *sizes)
    stderr = _stderr(*_placements(positive, negative))
    half = quantile * stderr
    if transform is None:
        lower, upper = max(auc - half, 0.0), min(auc + half, 1.0)
    else:
        half /= auc * (1.0 - auc)
        odds = auc / (1.0 - auc)
        lower, upper = (1.0 / (1.0 + _exp(sign * half) / odds) for sign in (1, -1))
    return AUCInterval(auc, lower, upper, stderr, level, method, *sizes)


def compare_roc_auc(
    y_true: npt.ArrayLike,
    score_a: npt.ArrayLike,
    score_b: npt.ArrayLike,
    *,
    level: float = 0.95,
    pos_label: Any = None,
) -> AUCComparison:
    """Difference of the areas under the ROC curves of two scores of the same rows, and its test.

    Both scores see the same rows, so their areas rise and fall together; the variance of DeLong
    takes that into account, and a difference can be clear though the two intervals overlap.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels, as in ``roc_auc``.
    score_a, score_b : array-like of shape (n,)
        The two scores, each of any scale, higher for positive.
    level : float
        Coverage of the interval, strictly between 0 and 1.
    pos_label : object
        The label that is positive.

    Returns
    -------
    AUCComparison
        Area of a minus area of b with interval, standard error, z and two-sided p-value. With fewer
        than two rows of a class all of these but the difference are nan. A standard error of 0 says
        that there is no test: p is 1 if the areas are equal, else nan.

    Raises
    ------
    ValueError
        As ``roc_auc``.

    Warns
    -----
    UndefinedMetricWarning
        If a class has fewer than two rows, or the areas differ with a standard error of 0.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44(3). Sun and Xu (2014), IEEE Signal
    Processing Letters 21(11).

    Examples
    --------
    >>> test = compare_roc_auc([0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], [1, 3, 5, 2, 4, 6])
    >>> print(f"{test.difference:.3f} [{test.lower:.3f}, {test.upper:.3f}] p = {test.p_value:.2f}")
    0.222 [-0.086, 0.530] p = 0.16
    """
    level = check_fraction(level, "level")
    labels, first = checked(y_true, score_a, "score_a", pos_label)
    second = as_scores(score_b, "score_b")
    check_same_length(y_true=labels, score_b=second)
    classes = [(scores[labels], scores[~labels]) for scores in (first, second)]
    sizes = (classes[0][0].size, classes[0][1].size)
    nan = math.nan
    if not min(sizes):
        warn_undefined(_too_few(*sizes))
        return AUCComparison(nan, nan, nan, nan, nan, nan, nan, nan, level, *sizes)
    (auc_a, a_positive, a_negative), (auc_b, b_positive, b_negative) = (
        _placed_in_order(*scores) for scores in classes
    )
    difference = auc_a - auc_b
    if min(sizes) < 2:
        warn_undefined(_too_few(*sizes))
        return AUCComparison(difference, nan, nan, nan, nan, nan, auc_a, auc_b, level, *sizes)
    from scipy.special import ndtr, ndtri

    stderr = _stderr(a_positive - b_positive, a_negative - b_negative)
    if stderr > 0.0:
        z = difference / stderr
        p_value = 2.0 * float(ndtr(-abs(z)))
        half = float(ndtri(0.5 + level / 2)) * stderr
        lower, upper = max(difference - half, -1.0), min(difference + half, 1.0)
    elif difference == 0.0:
        z, p_value, lower, upper = 0.0, 1.0, 0.0, 0.0
    else:
        warn_undefined(
            "the two areas differ, but in every row alike: the standard error of the difference is "
            "0, and its test is undefined"
        )
        z = p_value = lower = upper = nan
    return AUCComparison(difference, lower, upper, stderr, z, p_value, auc_a, auc_b, level, *sizes)


def _placements(positive: AnyArray, negative: AnyArray) -> tuple[FloatArray, FloatArray]:
    """Return for each positive the share of negatives below it, and for each negative its mirror.

    Both ascend; a tie counts one half. The mean of either is the area.
    """
    below = twice_below(positive, negative) / (2.0 * negative.size)
    above = 1.0 - twice_below(negative, positive) / (2.0 * positive.size)
    return below, above


def _placed_in_order(
    positive: AnyArray, negative: AnyArray
) -> tuple[float, FloatArray, FloatArray]:
    """Return the area, and the placements in the order of the rows."""
    order, other = np.argsort(positive), np.argsort(negative)
    ascending = positive[order], negative[other]
    below, above = np.empty(order.size), np.empty(other.size)
    below[order], above[other] = _placements(*ascending)
    return area(*ascending), below, above


def _stderr(of_positive: FloatArray, of_negative: FloatArray) -> float:
    """Return the standard error of DeLong from the components of each row."""
    return math.sqrt(sum(_variance(part) / part.size for part in (of_positive, of_negative)))


def _variance(values: FloatArray) -> float:
    # The mean of equal floats may be off in the last digit: a constant has no variance at all.
    return float(values.var(ddof=1)) if (values != values[0]).any() else 0.0


def _resampled(
    positive: AnyArray, negative: AnyArray, n_resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Return the areas of samples drawn with replacement within each class.

    Sorted once: a sample of the negatives is how often each is drawn, its cumulative sum says how
    many lie below any positive, and a sample of the positives is a sum of such numbers.
    """
    left = np.searchsorted(negative, positive, side="left")
    right = np.searchsorted(negative, positive, side="right")
    tied = bool((left != right).any())
    n_positive, n_negative = positive.size, negative.size
    below = np.zeros(n_negative + 1, dtype=np.int64)
    twice = np.empty(n_resamples)
    for i in range(n_resamples):
        drawn = rng.integers(0, n_negative, n_negative)
        np.cumsum(np.bincount(drawn, minlength=n_negative), out=below[1:])
        drawn = rng.integers(0, n_positive, n_positive)
        total = int(below.take(left.take(drawn)).sum())
        twice[i] = total + (int(below.take(right.take(drawn)).sum()) if tied else total)
    return twice / (2.0 * n_positive * n_negative)


def _separated(n_positive: int, n_negative: int, quantile: float) -> float:
    """Return the lower end of Newcombe's interval for an area of 1, by bisection."""
    other = (n_positive + n_negative) / 2 - 1

    def excess(area: float) -> float:
        spread = 1.0 + other * ((1.0 - area) / (2.0 - area) + area / (1.0 + area))
        return (1.0 - area) * n_positive * n_negative - quantile**2 * area * spread

    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return low


def _exp(value: float) -> float:
    return math.exp(value) if value < 709.0 else math.inf


def _too_few(n_positive: int, n_negative: int) -> str:
    missing = "the area and its interval" if not min(n_positive, n_negative) else "the interval"
    return (
        f"y_true has {n_positive} positive and {n_negative} negative rows, and both classes need "
        f"two: {missing} is undefined"
    )
