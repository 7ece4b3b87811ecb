"""Intervals and p-values of a difference and of a lift, from estimates and their errors."""

from __future__ import annotations

import math
from typing import Any

from mlsd.experiments._plan import as_number

__all__ = ["check_margin", "difference_interval", "lift_interval", "t_quantile", "tail"]


def check_margin(margin: Any, alternative: str) -> float:
    """Return the margin as a finite float that goes with the alternative, or raise."""
    value = as_number(margin, "margin")
    if value and alternative == "two-sided":
        raise ValueError(
            f"margin is {margin!r}, which goes with alternative='greater' or 'less' only"
        )
    return value


def t_quantile(df: float, level: float, alternative: str) -> float:
    """Return how many standard errors an interval reaches; nan without degrees of freedom."""
    from scipy.special import stdtrit

    if math.isnan(df):
        return math.nan
    return float(stdtrit(df, 0.5 + level / 2 if alternative == "two-sided" else level))


def difference_interval(
    difference: float, stderr: float, quantile: float, alternative: str
) -> tuple[float, float]:
    """Return the ends of the interval of a difference; infinite on an open side."""
    half = quantile * stderr
    return _one_sided(difference - half, difference + half, alternative)


def lift_interval(
    control: float,
    treatment: float,
    variances: tuple[float, float, float],
    quantile: float,
    alternative: str,
) -> tuple[float, float]:
    """Return the ends of Fieller's interval of ``(treatment - control) / |control|``.

    Parameters
    ----------
    control, treatment : float
        The two values.
    variances : tuple of float
        Of the control's error, of the treatment's, and their covariance.
    quantile : float
        Standard errors an interval reaches.
    alternative : str
        Which side is left open.
    """
    if control == 0.0 or math.isnan(quantile) or math.isnan(control + treatment):
        return math.nan, math.nan
    # All in shares of the control: the ratios ρ with (t - ρ)² <= q² (tt - 2ρ ct + ρ² cc).
    t, square = treatment / control, quantile**2
    cc, tt, ct = (square * (part / control / control) for part in variances)
    leading = 1.0 - cc
    if leading <= 0.0:
        return _one_sided(-math.inf, math.inf, alternative)
    centre = t - ct
    # centre² - leading (t² - tt), which is not negative; in a form without t⁴ to cancel.
    root = math.sqrt(max(t * t * cc - 2.0 * t * ct + ct * ct + tt - cc * tt, 0.0))
    ends = sorted(
        math.copysign(1.0, control) * ((centre + side * root) / leading - 1.0) for side in (-1, 1)
    )
    return _one_sided(ends[0], ends[1], alternative)


def tail(statistic: float, df: float, alternative: str) -> float:
    """Return the p-value of a t statistic."""
    from scipy.special import stdtr

    if math.isnan(statistic) or math.isnan(df):
        return math.nan
    if alternative == "two-sided":
        return 2.0 * float(stdtr(df, -abs(statistic)))
    return float(stdtr(df, statistic if alternative == "less" else -statistic))


def _one_sided(lower: float, upper: float, alternative: str) -> tuple[float, float]:
    if alternative == "greater" and not math.isnan(upper):
        upper = math.inf
    if alternative == "less" and not math.isnan(lower):
        lower = -math.inf
    return lower, upper
