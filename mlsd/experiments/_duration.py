"""The weeks until an experiment has its units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._validation import check_fraction, check_positive, check_positive_int

__all__ = ["Duration", "duration"]


@dataclass(frozen=True, slots=True)
class Duration(Result):
    """How long an experiment runs.

    Attributes
    ----------
    weeks, days : int
        Whole weeks, and the days they have.
    needed : int
        Units of all arms.
    expected : float
        Units that will have come by then.
    growth : float
        Exponent of the growth beyond what was measured: units after d days go as ``d ** growth``.
    extrapolated : bool
        Whether the weeks reach beyond the days that were measured.
    """

    weeks: int
    days: int
    needed: int
    expected: float
    growth: float
    extrapolated: bool


def duration(
    needed: Any,
    daily_units: Any,
    *,
    traffic: float = 1.0,
    growth: float | None = None,
    min_weeks: int = 1,
    max_weeks: int = 104,
) -> Duration:
    """Return the whole weeks until `needed` units have come.

    Weeks are whole since weekdays differ. **Users do not add up as requests do**: who comes on
    Tuesday was often here on Monday, so a week has far fewer users than seven times a day, and a
    second week adds fewer still. Pass the curve of distinct users measured on the log, or its
    exponent. And a longer run also changes what is measured on a user: the variance of sums per
    user grows with the days, so take the variance from a past window of the same length.

    Parameters
    ----------
    needed : SampleSize or int
        Units of all arms together; of a :class:`SampleSize` its total is taken.
    daily_units : float or array-like of shape (d,)
        Units of one day; or, measured, the distinct units seen up to and including day 1, 2, ... d
        (it never falls).
    traffic : float
        Share of the units that enters the experiment, in (0, 1].
    growth : float or None
        Exponent of the growth, in (0, 1]: distinct units after d days are ``daily * d ** growth``.
        None means 1 for a single number, which is right where the unit is a request and each is
        new; for a curve it is that of its second half, from day ``h = d // 2`` on:
        ``log(u[d] / u[h]) / log(d / h)``.
    min_weeks, max_weeks : int
        Least weeks, and most weeks that would be run.

    Returns
    -------
    Duration
        Weeks, days, and the units expected.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a curve falls, or `max_weeks` are not enough.

    References
    ----------
    Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, chapters 2 and 15.

    Examples
    --------
    >>> duration(5_965_164, 400_000).weeks
    3
    >>> duration(5_965_164, 400_000, growth=0.7).weeks
    7
    >>> duration(900_000, [200e3, 320e3, 400e3, 460e3, 510e3, 550e3, 580e3]).weeks
    3
    """
    target = check_positive_int(getattr(needed, "total", needed), "needed")
    share = 1.0 if traffic == 1 else check_fraction(traffic, "traffic")
    least = check_positive_int(min_weeks, "min_weeks")
    most = check_positive_int(max_weeks, "max_weeks")
    if least > most:
        raise ValueError(f"min_weeks={min_weeks} is above max_weeks={max_weeks}")
    curve = _curve(daily_units)
    exponent = _exponent(curve, growth)
    days = 7.0 * np.arange(1, most + 1)
    measured = np.interp(days, np.arange(1, curve.size + 1), curve)
    beyond = curve[-1] * (np.maximum(days, curve.size) / curve.size) ** exponent
    units = share * np.where(days <= curve.size, measured, beyond)
    # A size is an upper integer, and the shares of a sum may be a hair short of it.
    enough = np.flatnonzero(units >= target * (1 - 1e-12))
    if not enough.size:
        raise ValueError(
            f"needed={target} units do not come in max_weeks={most} weeks: {units[-1]:.0f} do "
            f"(traffic {share:g}, growth {exponent:.3g}); look for a larger effect, less variance "
            "or more traffic"
        )
    weeks = max(least, int(enough[0]) + 1)
    return Duration(
        weeks=weeks,
        days=7 * weeks,
        needed=target,
        expected=float(units[weeks - 1]),
        growth=exponent,
        extrapolated=7 * weeks > curve.size,
    )


def _curve(daily_units: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    if np.isscalar(daily_units):
        return np.array([check_positive(daily_units, "daily_units")])
    curve = as_floats(daily_units, "daily_units")
    if not curve.size:
        raise ValueError("daily_units is empty: pass a number, or the units up to each day")
    if not (np.isfinite(curve).all() and curve[0] > 0):
        raise ValueError("daily_units must be finite and above 0")
    falls = np.flatnonzero(np.diff(curve) < 0)
    if falls.size:
        at = int(falls[0])
        raise ValueError(
            f"daily_units counts distinct units up to each day and never falls; got {curve[at]:g} "
            f"up to day {at + 1} and {curve[at + 1]:g} up to day {at + 2}"
        )
    return curve


def _exponent(curve: np.ndarray[Any, np.dtype[np.float64]], growth: float | None) -> float:
    if growth is not None:
        return 1.0 if growth == 1 else check_fraction(growth, "growth")
    if curve.size == 1:
        return 1.0
    half = curve.size // 2
    return min(1.0, math.log(curve[-1] / curve[half - 1]) / math.log(curve.size / half))
