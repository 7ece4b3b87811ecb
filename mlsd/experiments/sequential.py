"""Looking before the end: tests whose false alarms stay at alpha however often one looks.

:func:`always_valid` may be looked at without end and without a plan. :class:`GroupSequential` has a
few looks that are planned, and gives narrower intervals for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import (
    check_choice,
    check_fraction,
    check_positive,
    check_positive_int,
    check_same_length,
)
from mlsd.experiments._group import GroupSequential, SequentialLook
from mlsd.experiments._intervals import check_margin
from mlsd.experiments._mixture import half_width, log_ratio
from mlsd.experiments.comparison import Comparison, compare_means
from mlsd.experiments.moments import Moments

__all__ = [
    "AlwaysValid",
    "GroupSequential",
    "SequentialLook",
    "always_valid",
    "always_valid_path",
]

# Standard errors that the control must be from 0 before a lift over it is near enough to normal.
# Measured, rare events and unequal arms: without a difference 9 % of runs are alarms at 3 of
# them, 5 % at 5 and 3 % at 10.
_FIRM = 10.0


@dataclass(frozen=True, slots=True)
class AlwaysValid(Result):
    """What an experiment says at one of any number of looks.

    Attributes
    ----------
    difference, stderr : float
        Effect so far and its standard error, which is no less than that of one variance for both
        arms; shares of the control where `relative`.
    lower, upper : float
        Confidence sequence: with a chance of ``1 - alpha`` it holds the effect at every look.
        Infinite while nothing can be said.
    p_value : float
        Always-valid p-value, the least so far: it never rises from look to look.
    rejected : bool
        Whether it has ever been at or below alpha. Since it is of all looks, it can stay True while
        the interval of this look holds 0 again.
    ready : bool
        Whether this look had `min_units` in both arms, a standard error above 0 and, for a lift, a
        control that is well above 0.
    look : int
        Number of this look, from 1.
    n_control, n_treatment : int
        Units so far.
    tau, alpha : float
        Standard deviation of the prior of the effect, and the chance of a false alarm.
    alternative : str
        "two-sided", "greater" or "less".
    margin : float
        Loss that is tolerated.
    relative : bool
        Whether all of it is about the lift.
    """

    difference: float
    stderr: float
    lower: float
    upper: float
    p_value: float
    rejected: bool
    ready: bool
    look: int
    n_control: int
    n_treatment: int
    tau: float
    alpha: float
    alternative: str
    margin: float
    relative: bool


def always_valid(
    control: npt.ArrayLike | Moments | Comparison,
    treatment: npt.ArrayLike | Moments | None = None,
    *,
    mde: float | None = None,
    tau: float | None = None,
    alpha: float = 0.05,
    alternative: str = "two-sided",
    margin: float = 0.0,
    relative: bool = False,
    min_units: int = 100,
    previous: AlwaysValid | None = None,
) -> AlwaysValid:
    """Return a p-value and an interval that hold at every look at once, however many there are.

    Parameters
    ----------
    control, treatment : array-like, Moments, or a Comparison alone
        **All data so far**, one value a unit, or their sums. A :class:`Comparison` (of ratios, or
        with a covariate) is taken as `control`, without a treatment.
    mde, tau : float
        Exactly one of the two, above 0 and fixed before the data, in the units of the effect. `tau`
        is the standard deviation of the effects one expects; `mde` is the least effect worth
        finding, and stands for ``tau = mde``: this makes the interval about as narrow as it gets at
        the sample size that a fixed test needs for `mde` with power 0.8. There it is about
        1.55 times as wide as that of a fixed test: the price of looking without end.
    alpha : float
        Chance of a false alarm over all looks.
    alternative : {"two-sided", "greater", "less"}
        One-sided tests have one bound, the other is infinite.
    margin : float
        Loss that is tolerated by a one-sided test: "greater" tests for an effect above
        ``-margin``, "less" for one below ``margin``.
    relative : bool
        Whether effect, `mde` and `margin` are shares of the control's value (delta method). Nothing
        is said then until that value is 10 standard errors from 0, for a rate 100 events: the lift
        over a noisy value is far from normal.
    min_units : int
        Units in each arm before anything is said. The variance is estimated, so that the guarantee
        is one of large samples (Waudby-Smith et al.), and the first looks need enough for it.
    previous : AlwaysValid, optional
        Result of the look before, of the same test: p-values take the least of all looks.

    Returns
    -------
    AlwaysValid
        While it is not `ready` the interval is infinite, and the p-value stays what it was, 1 at
        first.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or `previous` is of another test or of more data.

    Notes
    -----
    It is the mixture sequential probability ratio test with a normal prior, and the interval is the
    same as the asymptotic confidence sequence with ``rho = tau / sigma``. It holds for an effect
    that stays; if the effect moves (novelty, weekdays), the interval is about the mean so far, and
    whole weeks are still needed.

    In a small arm a rare event may not have happened at all, and Welch's standard error is then far
    too small: with 2 % of the units in treatment and an event in 1 % of them, it rejects without
    any difference in 40 % of experiments. So the error is no less than the pooled one, at the price
    of some power where the smaller arm truly varies less.

    References
    ----------
    Johari, Koomen, Pekelis and Walsh (2022), Always valid inference: continuous monitoring of A/B
    tests, Operations Research 70(3); Johari et al. (2017), Peeking at A/B tests, KDD;
    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Time-uniform central limit theory and
    asymptotic confidence sequences, Annals of Statistics 52(6).

    Examples
    --------
    >>> from mlsd.experiments.moments import Moments
    >>> monday = always_valid(Moments(5000, 0.050, 0.0475), Moments(5000, 0.056, 0.0529), mde=0.01)
    >>> week = always_valid(
    ...     Moments(35000, 0.050, 0.0475), Moments(35000, 0.057, 0.0538), mde=0.01, previous=monday)
    >>> print(f"{monday.p_value:.2f} {week.p_value:.3f} [{week.lower:.4f}, {week.upper:.4f}]")
    1.00 0.002 [0.0017, 0.0123]
    """
    prior = _prior(mde, tau)
    level = check_fraction(alpha, "alpha")
    tolerated = _margin(margin, alternative)
    least = check_positive_int(min_units, "min_units")
    if not isinstance(relative, bool):
        raise TypeError(f"relative must be True or False; got {relative!r}")
    comparison = _compared(control, treatment)
    difference, stderr = effect_and_error(comparison, relative=relative)
    sizes = (comparison.n_control, comparison.n_treatment)
    ready = min(sizes) >= least and stderr > 0 and math.isfinite(difference)
    if relative and abs(comparison.control) < _FIRM * comparison.control_stderr:
        ready = False
    settings = (prior, level, alternative, tolerated, relative)
    if previous is not None:
        _check_previous(previous, settings, sizes)
    lower, upper, now = _bounds(
        np.array([difference]),
        np.array([stderr if ready else math.nan]),
        prior,
        level,
        alternative,
        tolerated,
    )
    p_value = min(float(now[0]), 1.0 if previous is None else previous.p_value)
    return AlwaysValid(
        difference=difference,
        stderr=stderr,
        lower=float(lower[0]),
        upper=float(upper[0]),
        p_value=p_value,
        rejected=p_value <= level,
        ready=ready,
        look=1 if previous is None else previous.look + 1,
        n_control=sizes[0],
        n_treatment=sizes[1],
        tau=prior,
        alpha=level,
        alternative=alternative,
        margin=tolerated,
        relative=relative,
    )


def always_valid_path(
    difference: npt.ArrayLike,
    stderr: npt.ArrayLike,
    *,
    mde: float | None = None,
    tau: float | None = None,
    alpha: float = 0.05,
    alternative: str = "two-sided",
    margin: float = 0.0,
) -> pd.DataFrame:
    """Return what :func:`always_valid` would have said at each of many looks.

    Parameters
    ----------
    difference, stderr : array-like of shape (looks,)
        Effect of all data up to each look, and its standard error, as :func:`always_valid` gives
        them. A standard error of nan or 0 says that the look is too early.
    mde, tau, alpha, alternative, margin
        As of :func:`always_valid`.

    Returns
    -------
    DataFrame
        One row a look, from 1: difference, stderr, lower, upper, p_value (never rising), rejected.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or the lengths differ.

    Examples
    --------
    >>> always_valid_path([0.3, 0.2, 0.25], [0.2, 0.1, 0.06], mde=0.2).round(3)["p_value"].tolist()
    [0.806, 0.451, 0.001]
    """
    effects = as_floats(difference, "difference", allow_nan=True)
    errors = as_floats(stderr, "stderr", allow_nan=True)
    check_same_length(difference=effects, stderr=errors)
    if (errors < 0).any():
        raise ValueError("stderr must not be negative")
    prior, level = _prior(mde, tau), check_fraction(alpha, "alpha")
    tolerated = _margin(margin, alternative)
    usable = np.where(np.isfinite(effects), errors, np.nan)
    lower, upper, now = _bounds(effects, usable, prior, level, alternative, tolerated)
    p_value = np.minimum.accumulate(now)
    return pd.DataFrame(
        {
            "difference": effects,
            "stderr": errors,
            "lower": lower,
            "upper": upper,
            "p_value": p_value,
            "rejected": p_value <= level,
        },
        index=pd.RangeIndex(1, effects.size + 1, name="look"),
    )


def _bounds(
    difference: FloatArray,
    stderr: FloatArray,
    tau: float,
    alpha: float,
    alternative: str,
    margin: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the bounds of each look and its own p-value."""
    sides = 2 if alternative == "two-sided" else 1
    away = {"two-sided": difference, "greater": difference + margin, "less": margin - difference}
    half = half_width(stderr, tau, alpha, sides)
    known = np.where(np.isfinite(half), difference, 0.0)
    lower = known - half if alternative != "less" else np.full(half.size, -np.inf)
    upper = known + half if alternative != "greater" else np.full(half.size, np.inf)
    ratio = log_ratio(away[alternative], stderr, tau, sides)
    return lower, upper, np.exp(-np.maximum(ratio, 0.0))


def _compared(control: Any, treatment: Any) -> Comparison:
    if isinstance(control, Comparison):
        if treatment is not None:
            raise TypeError("treatment must be left out where control is a Comparison")
        return control
    if treatment is None:
        raise TypeError("treatment is missing: pass both arms, or a Comparison alone")
    return compare_means(control, treatment)


def effect_and_error(comparison: Comparison, *, relative: bool) -> tuple[float, float]:
    """Return the difference, or the lift, and a standard error for looking early.

    A small arm can show too little spread by chance, such as no purchase at all. So the error is no
    less than that of one variance for both arms, that of all units pooled. With a covariate that
    takes the share r of the variance, the adjusted value of an arm with the share a of the units
    keeps ``1 - (1 - a) r`` of it, and the difference ``1 - r``.
    """
    c, base = comparison, comparison.control
    if relative and base == 0:
        return math.nan, math.nan
    slope = c.treatment / base if relative else 1.0
    total = c.n_control + c.n_treatment
    pooled = (1.0 - c.variance_reduction) * sum(
        n**2 * error**2 / (1.0 - (1.0 - n / total) * c.variance_reduction) / total
        for n, error in ((c.n_control, c.control_stderr), (c.n_treatment, c.treatment_stderr))
    )
    variance = max(
        c.treatment_stderr**2 + (slope * c.control_stderr) ** 2 - 2 * slope * c.covariance,
        pooled * (1.0 / c.n_treatment + slope**2 / c.n_control),
    )
    unit = abs(base) if relative else 1.0
    return c.difference / unit, math.sqrt(variance) / unit


def _prior(mde: float | None, tau: float | None) -> float:
    if (mde is None) == (tau is None):
        raise ValueError(f"pass one of mde and tau; got mde={mde!r}, tau={tau!r}")
    return check_positive(tau, "tau") if mde is None else check_positive(mde, "mde")


def _margin(margin: float, alternative: str) -> float:
    check_choice(alternative, "alternative", ("two-sided", "greater", "less"))
    return check_margin(margin, alternative)


def _check_previous(previous: Any, settings: tuple[Any, ...], sizes: tuple[int, int]) -> None:
    if not isinstance(previous, AlwaysValid):
        raise TypeError(f"previous must be an AlwaysValid; got {type(previous).__name__}")
    names = ("tau", "alpha", "alternative", "margin", "relative")
    other = {
        name: getattr(previous, name)
        for name, value in zip(names, settings, strict=True)
        if getattr(previous, name) != value
    }
    if other:
        raise ValueError(
            f"previous is of another test, with {other}: what a test is, is fixed before the data"
        )
    if previous.n_control > sizes[0] or previous.n_treatment > sizes[1]:
        raise ValueError(
            f"previous has {previous.n_control} and {previous.n_treatment} units, this look "
            f"{sizes[0]} and {sizes[1]}: each look takes all data so far"
        )
