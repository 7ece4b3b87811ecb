"""Calibration: do events that are predicted at 10 % happen 10 % of the time?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._clusters import ratio_of_sums
from mlsd._inputs import as_weights
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import (
    as_generator,
    check_choice,
    check_fraction,
    check_positive_int,
    warn_undefined,
)
from mlsd.metrics._probability import labels_and_probabilities
from mlsd.metrics._score_bins import bin_sums, find_bins

__all__ = [
    "CalibrationError",
    "CalibrationRatio",
    "calibration_error",
    "calibration_ratio",
]


_DRAWS = 1000  # of the noise, for the norm that has no closed form
_HALVINGS = 12  # of a bracket: finer than the draws can tell


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationError(Result):
    """A binned calibration error with its interval."""

    value: float
    """The error: debiased if that was asked for, else raw. 0 is calibrated."""
    raw: float
    """The error as it is usually printed, which noise alone makes positive."""
    lower: float
    upper: float
    """Ends of the interval of the error of these bins, at least 0."""
    level: float
    """Coverage the interval aims at."""
    norm: str
    strategy: str
    debias: bool
    n_bins: int
    """Bins with rows of positive weight."""
    n_merged: int
    """Bins asked for that equal predictions left no room for."""
    n_empty: int
    """Bins of equal width without weight."""
    edges: FloatArray
    """Edges of the bins from 0 to 1; a bin holds its lower one, the last its upper one too."""
    n: int
    """Rows."""


@dataclass(frozen=True, slots=True)
class CalibrationRatio(Result):
    """Predicted over observed events with its interval."""

    value: float
    """1 is right on average, 1.1 predicts 10 % too much; nan if nothing was observed."""
    lower: float
    upper: float
    """Ends of the interval."""
    stderr: float
    """Standard error, by the delta method."""
    level: float
    """Coverage the interval aims at."""
    predicted: float
    """Sum of the probabilities, weighted."""
    observed: float
    """Sum of the positives, weighted."""
    n: int
    """Rows."""


def calibration_error(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: str = "quantile",
    norm: str = "l1",
    debias: bool = True,
    level: float = 0.95,
    n_resamples: int = 1000,
    random_state: int | np.random.Generator | None = None,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> CalibrationError:
    """Distance of mean prediction and observed rate over bins of the prediction (ECE).

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels: booleans, 0 and 1, or -1 and 1; others with `pos_label`.
    y_proba : array-like of shape (n,)
        Probability of the positive class, 0 to 1.
    n_bins : int
        Bins asked for. Equal predictions share a bin, so that there may be fewer.
    strategy : str
        "quantile": bins of equal weight. "uniform": bins of equal width, which for rare events
        puts nearly all rows into one.
    norm : str
        "l1": mean distance, weighted by the bins. "l2": root of the mean squared distance. "max":
        largest distance.
    debias : bool
        Take off what noise alone adds.
    level : float
        Coverage of the interval, strictly between 0 and 1.
    n_resamples : int
        Draws behind the interval.
    random_state : int, Generator or None
        Source of these draws, and of those behind the debiased "max".
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0.
    pos_label : object
        The label that is positive.

    Returns
    -------
    CalibrationError
        Debiased and raw error, interval, bins and their edges. The debiased error is below 0 about
        as often as above when the model is calibrated: do not read a negative value as better.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a probability is NaN or outside 0 to 1, or an option
        is unknown or out of range.

    Notes
    -----
    Let d be mean prediction less observed rate of a bin, and s its standard error. A calibrated
    model has d = 0 but for noise, and yet the size of d is .8 s in the mean; the finer the bins,
    the larger s. Were the rows of each bin cut into random halves, one half could tell the sign of
    the difference and the other its size, and no noise would count for itself. The debiased error
    is the mean over all such cuts, which needs none: for normal noise and t = abs(d) / s it is
    ``s (t (2Φ(t) - 1) - 2 φ(t))`` in "l1", and ``d² - s²`` in "l2", which is the estimate of Kumar,
    Liang and Ma (the root keeps its sign). Its mean is 0 for a calibrated model; it tends to the
    size of d where that is many s, and in between is too small by at most .5 s. For "max" half the
    noise picks the bin and the other half measures it, in 1000 draws.

    s² in "l1" and "max" is the variance if the predictions are right, ``Σp(1 - p) / n²``, which
    holds in bins without an event too. In "l2" it is the sample variance, unbiased for any model;
    bins of one row take the former.

    The interval holds the true errors of these bins that would explain the raw one: differences in
    proportion to those found, with normal noise of the larger of the two variances added, give a
    raw error as large, and as small, in more than ``(1 - level) / 2`` of the draws. It is the same
    whether the value is debiased or not, holds 0 unless noise alone would hardly give so large an
    error, and is [0, 0] if noise alone would give a larger one. It says nothing of what goes on
    inside the bins, where differences cancel.

    References
    ----------
    Kumar, Liang and Ma (2019), Verified uncertainty calibration, NeurIPS. Roelofs et al. (2022),
    Mitigating bias in calibration error estimation, AISTATS. Naeini, Cooper and Hauskrecht (2015),
    Obtaining well calibrated probabilities using Bayesian binning, AAAI.

    Examples
    --------
    >>> y_proba = np.repeat([0.2, 0.7], 50)
    >>> y_true = np.concatenate((np.arange(50) < 20, np.arange(50) < 35))
    >>> error = calibration_error(y_true, y_proba)
    >>> print(f"{error.raw:.3f} {error.value:.3f} in {error.n_bins} bins")
    0.100 0.074 in 2 bins
    """
    check_choice(norm, "norm", ("l1", "l2", "max"))
    level = check_fraction(level, "level")
    n_resamples = check_positive_int(n_resamples, "n_resamples")
    rng = as_generator(random_state)
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    bins = find_bins(proba, n_bins, strategy, weights)
    sums = bin_sums(truth, proba, bins, weights)
    some = sums.weight > 0.0
    share = sums.weight[some] / sums.total
    difference = (sums.predicted - sums.observed)[some]
    null, sampled = sums.null_variance[some], sums.sample_variance[some]
    raw = float(_raw(difference, share, norm))
    value = raw
    if debias:
        variance = np.where(np.isnan(sampled), null, sampled) if norm == "l2" else null
        halves = rng.standard_normal((_DRAWS, share.size)) if norm == "max" else None
        value = _debiased(difference, variance, share, norm, halves)
    noise = np.sqrt(np.fmax(null, sampled)) * rng.standard_normal((n_resamples, share.size))
    lower, upper = _interval(difference, noise, share, norm, level)
    upper = min(upper, 1.0)  # two probabilities differ by no more
    return CalibrationError(
        value=value,
        raw=raw,
        lower=lower,
        upper=upper,
        level=level,
        norm=norm,
        strategy=strategy,
        debias=bool(debias),
        n_bins=int(some.sum()),
        n_merged=bins.n_merged,
        n_empty=int((~some).sum()),
        edges=bins.edges,
        n=truth.size,
    )


def _raw(difference: FloatArray, share: FloatArray, norm: str) -> FloatArray:
    """Return the error of each row of differences, one column a bin."""
    size = np.abs(difference)
    if norm == "max":
        return np.asarray(size.max(axis=-1))
    return np.asarray(size @ share if norm == "l1" else np.sqrt(size**2 @ share))


def _debiased(
    difference: FloatArray,
    variance: FloatArray,
    share: FloatArray,
    norm: str,
    halves: FloatArray | None,
) -> float:
    if norm == "l2":
        square = float((difference**2 - variance) @ share)
        return math.copysign(math.sqrt(abs(square)), square)
    spread = np.sqrt(variance)
    if halves is not None:
        picking, measuring = difference + spread * halves, difference - spread * halves
        at = np.abs(picking).argmax(axis=1)[:, None]
        sign = np.sign(np.take_along_axis(picking, at, axis=1))
        return float((sign * np.take_along_axis(measuring, at, axis=1)).mean())
    from scipy.special import erf

    # In units of s; without noise the distance itself. 2Φ(t) - 1 is erf(t / √2).
    size = np.abs(difference)
    t = np.divide(size, spread, out=np.full(size.shape, np.inf), where=spread > 0.0)
    density = np.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi)
    return float((size * erf(t / math.sqrt(2.0)) - 2.0 * spread * density) @ share)


def _interval(
    difference: FloatArray, noise: FloatArray, share: FloatArray, norm: str, level: float
) -> tuple[float, float]:
    """Return the least and the largest true error that would explain the raw one.

    True differences are taken in proportion to those that were found.
    """
    raw = float(_raw(difference, share, norm))
    shape = difference if raw else noise.std(axis=0)
    if not shape.any():
        return 0.0, 0.0

    def scale(probability: float) -> float:
        """Return the scale at which this quantile of the raw errors is the one that was found."""

        def short(at: float) -> bool:
            errors = _raw(at * shape + noise, share, norm)
            return float(np.quantile(errors, probability)) < raw

        if not short(0.0):
            return 0.0
        low, high = 0.0, 1.0
        while short(high):
            low, high = high, 2.0 * high
        for _ in range(_HALVINGS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if short(middle) else (low, middle)
        return (low + high) / 2.0

    tail = 0.5 - level / 2
    unit = float(_raw(shape, share, norm))
    return unit * scale(1.0 - tail), unit * scale(tail)


def calibration_ratio(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    level: float = 0.95,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> CalibrationRatio:
    """Sum of the predicted probabilities over the number of events.

    Parameters
    ----------
    y_true, y_proba, sample_weight, pos_label
        As in ``calibration_error``.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    CalibrationRatio
        The ratio with its interval, symmetric on the scale of logarithms; rows are independent of
        each other. nan if there is no positive; the interval is nan for one row.

    Raises
    ------
    ValueError
        As ``calibration_error``.

    Warns
    -----
    UndefinedMetricWarning
        If there is no positive.

    References
    ----------
    He et al. (2014), Practical lessons from predicting clicks on ads at Facebook, ADKDD, which
    call it calibration.

    Examples
    --------
    >>> ratio = calibration_ratio([1, 0, 0, 1], [0.9, 0.2, 0.3, 0.8])
    >>> print(f"{ratio.value:.2f} [{ratio.lower:.2f}, {ratio.upper:.2f}]")
    1.10 [0.65, 1.86]
    """
    level = check_fraction(level, "level")
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    if weights is None:
        ratio = ratio_of_sums(proba, truth)
    else:
        some = weights > 0.0
        truth, proba, weights = truth[some], proba[some], weights[some]
        ratio = ratio_of_sums(weights * proba, weights * truth)
    n = some.size if weights is not None else truth.size
    lower = upper = ratio.value
    if not ratio.denominator:
        warn_undefined(f"none of {n} rows is positive: the calibration ratio is undefined")
        lower = upper = math.nan
    elif ratio.value > 0.0:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2)) * ratio.stderr / ratio.value
        lower, upper = ratio.value * math.exp(-half), ratio.value * math.exp(half)
    return CalibrationRatio(
        value=ratio.value,
        lower=lower,
        upper=upper,
        stderr=ratio.stderr,
        level=level,
        predicted=ratio.numerator,
        observed=ratio.denominator,
        n=n,
    )
