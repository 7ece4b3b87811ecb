"""A share of events and its interval, over units that are independent of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlsd._clusters import RatioOfSums, ratio_of_sums, share_interval, wilson_interval
from mlsd._results import Result
from mlsd._types import IntArray
from mlsd._validation import check_choice, check_fraction, warn_undefined

__all__ = ["RateInterval", "clustered_rate", "independent_rate", "rate_options"]


@dataclass(frozen=True, slots=True)
class RateInterval(Result):
    """A share of events, its interval, and what went into them.

    Attributes
    ----------
    value : float
        ``numerator / denominator``, 0 to 1; nan if nothing is counted.
    lower, upper : float
        Ends of the interval; nan with fewer than two units.
    stderr : float
        Standard error over units; nan with fewer than two.
    level : float
        Coverage the interval aims at.
    numerator, denominator : int
        The two counts.
    n_units : int
        Independent units in the denominator.
    design_effect : float
        Variance over that of as many independent events, ``stderr² / (value(1-value)/denominator)``
        (Kish 1965): 4 says that intervals from rows alone would be half as wide as they must be.
        nan where the value is 0 or 1.
    n_dropped : int
        Rows left out since they have no unit.
    n_immature : int
        Rows, units or sessions left out since their outcome was not yet final.
    """

    value: float
    lower: float
    upper: float
    stderr: float
    level: float
    numerator: int
    denominator: int
    n_units: int
    design_effect: float
    n_dropped: int = 0
    n_immature: int = 0


def rate_options(level: float, interval: str) -> float:
    check_choice(interval, "interval", ("wilson", "delta"))
    return check_fraction(level, "level")


def independent_rate(
    numerator: int, denominator: int, level: float, what: str, **counts: int
) -> RateInterval:
    """Return the share of independent trials with Wilson's interval."""
    from scipy.special import ndtri

    if denominator == 0:
        _warn_empty(what, counts.get("n_immature", 0))
        nan = math.nan
        return RateInterval(nan, nan, nan, nan, level, numerator, 0, 0, nan, **counts)
    value = numerator / denominator
    lower, upper = wilson_interval(value, denominator, float(ndtri(0.5 + level / 2)))
    return RateInterval(
        value=value,
        lower=float(lower),
        upper=float(upper),
        stderr=math.sqrt(value * (1 - value) / denominator),
        level=level,
        numerator=numerator,
        denominator=denominator,
        n_units=denominator,
        design_effect=1.0 if 0 < numerator < denominator else math.nan,
        **counts,
    )


def clustered_rate(
    numerator: IntArray,
    denominator: IntArray,
    level: float,
    interval: str,
    what: str,
    **counts: int,
) -> RateInterval:
    """Return the share with an interval over units; one row of the arrays is one unit."""
    present = denominator > 0
    ratio = ratio_of_sums(numerator[present], denominator[present])
    if ratio.n_units == 0:
        _warn_empty(what, counts.get("n_immature", 0))
    elif ratio.n_units == 1:
        warn_undefined(
            f"all {int(ratio.denominator)} {what} are of one unit: its spread between units, and "
            "so the interval, is undefined",
            stacklevel=4,
        )
    lower, upper = share_interval(ratio, level=level, method=interval)
    return RateInterval(
        value=ratio.value,
        lower=lower,
        upper=upper,
        stderr=ratio.stderr,
        level=level,
        numerator=int(ratio.numerator),
        denominator=int(ratio.denominator),
        n_units=ratio.n_units,
        design_effect=_design_effect(ratio),
        **counts,
    )


def _design_effect(ratio: RatioOfSums) -> float:
    if not 0 < ratio.numerator < ratio.denominator:
        return math.nan
    return ratio.stderr**2 * ratio.denominator / (ratio.value * (1 - ratio.value))


def _warn_empty(what: str, n_immature: int) -> None:
    left_out = f" ({n_immature} left out, as their outcome is not final yet)" if n_immature else ""
    warn_undefined(f"there are 0 {what}{left_out}: the rate is undefined", stacklevel=5)
