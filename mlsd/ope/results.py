"""What an off-policy estimate is, and its interval over independent units."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._clusters import ratio_of_sums
from mlsd._results import Result
from mlsd._types import FloatArray, IntArray
from mlsd._validation import warn_undefined

__all__ = ["Estimate", "SupportWarning", "check_mean_weight", "estimate", "kish"]

# Below this many units the spread of the weights is not known well enough to question their mean.
_LEAST_UNITS = 30
# Standard errors between the mean weight and 1 that are worth a warning.
_FAR = 4.0


class SupportWarning(UserWarning):
    """The target policy does what the log cannot show, or the propensities cannot be right."""


@dataclass(frozen=True, slots=True)
class Estimate(Result):
    """The value of a target policy, estimated from the log of another.

    Attributes
    ----------
    value : float
        Estimated mean reward of a decision (of a slate, for slates) under the target policy.
    stderr : float
        Standard error over units; nan with fewer than two.
    lower, upper : float
        Ends of the interval, ``value ± t · stderr``; nan with fewer than two units.
    level : float
        Coverage the interval aims at.
    method : str
        The function that made it.
    n : int
        Decisions (slates) in the log.
    n_units : int
        Independent units: users if `unit` named them, else decisions.
    ess : float
        Kish's effective sample size ``(Σw)² / Σw²`` of the weights used: so many decisions of
        equal weight would know as much. 0 if all weights are 0, nan without weights. For slates,
        that of the place with the least.
    max_weight : float
        The largest weight of the log, before any threshold.
    mean_weight : float
        Mean weight before any threshold; near 1 if the propensities are right and the target stays
        where the log went. For slates, that of the place farthest from 1.
    n_clipped : int
        Decisions whose weight was above the threshold.
    max_bias : float
        Estimated bound of the size of the bias that the threshold brings; 0 without one, nan for
        the direct method, whose bias is its model's.
    n_unsupported : int or None
        Decisions in which the target may choose what the logging policy never does; None if only
        the propensities of what was done are known, so that nobody can tell.
    """

    value: float
    stderr: float
    lower: float
    upper: float
    level: float
    method: str
    n: int
    n_units: int
    ess: float
    max_weight: float
    mean_weight: float
    n_clipped: int = 0
    max_bias: float = 0.0
    n_unsupported: int | None = None

    @property
    def ci(self) -> tuple[float, float]:
        """Return the interval, lower and upper end."""
        return self.lower, self.upper


def estimate(
    numerator: FloatArray,
    denominator: FloatArray,
    unit: IntArray | None,
    *,
    weight: FloatArray | None,
    used: FloatArray | None = None,
    level: float,
    method: str,
    n_clipped: int = 0,
    max_bias: float = 0.0,
    n_unsupported: int | None = None,
    ess: float | None = None,
    mean_weight: float | None = None,
    undefined: str | None = None,
    stacklevel: int = 4,
) -> Estimate:
    """Return Σ numerator / Σ denominator of the rows with the interval over units."""
    from scipy.special import stdtrit

    n = numerator.size
    if unit is not None:
        numerator = _by_unit(unit, numerator)
        denominator = _by_unit(unit, denominator)
    ratio = ratio_of_sums(numerator, denominator)
    if math.isnan(ratio.value):
        warn_undefined(
            undefined
            or f"all {n} weights are 0: the target takes none of the logged actions, so that its "
            "value is undefined",
            stacklevel=stacklevel,
        )
    elif ratio.n_units == 1:
        warn_undefined("the log has one unit: the interval is undefined", stacklevel=stacklevel)
    half = math.nan
    if not math.isnan(ratio.stderr):
        half = float(stdtrit(ratio.n_units - 1, 0.5 + level / 2)) * ratio.stderr
    if weight is None:
        largest = mean = size = math.nan
    else:
        largest, mean = float(weight.max()), float(weight.mean())
        size = kish(weight if used is None else used)
    return Estimate(
        value=ratio.value,
        stderr=ratio.stderr,
        lower=ratio.value - half,
        upper=ratio.value + half,
        level=level,
        method=method,
        n=n,
        n_units=ratio.n_units,
        ess=size if ess is None else ess,
        max_weight=largest,
        mean_weight=mean if mean_weight is None else mean_weight,
        n_clipped=n_clipped,
        max_bias=max_bias,
        n_unsupported=n_unsupported,
    )


def kish(weight: FloatArray) -> float:
    """Return the effective number of rows; scaled first, so that no square overflows."""
    largest = float(weight.max())
    if largest == 0.0:
        return 0.0
    scaled = weight / largest
    return float(scaled.sum()) ** 2 / float(scaled @ scaled)


def check_mean_weight(weight: FloatArray, unit: IntArray | None, what: str = "weight") -> None:
    """Warn if the mean weight is too far from 1 to be chance."""
    rows = np.ones(weight.size)
    if unit is not None:
        rows = _by_unit(unit, rows)
        present = rows > 0
        weight, rows = _by_unit(unit, weight)[present], rows[present]
    ratio = ratio_of_sums(weight, rows)
    if ratio.n_units < _LEAST_UNITS:
        return
    # Of weights that are rarely large, a log has too small a mean and too small a spread at once.
    # Weights of mean 1 and up to M have a variance below M, which does not shrink with the luck.
    largest = max(1.0, float(weight.max() / rows.mean()))
    error = max(ratio.stderr, math.sqrt(largest / ratio.n_units))
    if abs(ratio.value - 1.0) > _FAR * error:
        warnings.warn(
            f"the mean {what} is {ratio.value:.4g}, and should be 1, give or take {error:.2g}: the "
            "target chooses what the log never shows, or hardly ever, or the propensities are "
            "wrong",
            SupportWarning,
            stacklevel=4,
        )


def _by_unit(unit: IntArray, values: FloatArray) -> FloatArray:
    sums: Any = np.bincount(unit, weights=values)
    return np.asarray(sums, dtype=np.float64)
