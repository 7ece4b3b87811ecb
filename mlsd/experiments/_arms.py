"""Two arms side by side: what is estimated of each, how sure, and what a covariate takes away."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsd._types import FloatArray
from mlsd.experiments.moments import Moments, RatioMoments

__all__ = ["Arm", "Estimates", "arm_of_means", "arm_of_ratios", "estimate"]

# A variance this small against that of the metric itself is what rounding leaves of none.
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class Arm:
    """An estimate that is, or behaves like, a mean over units; and its covariate, another one."""

    n: int
    value: float
    var: float
    covariate: float = 0.0
    covariate_var: float = 0.0
    covariance: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimates:
    """Values of two arms with the covariance matrix of their errors."""

    n_control: int
    n_treatment: int
    control: float
    treatment: float
    control_stderr: float
    treatment_stderr: float
    covariance: float
    stderr: float
    df: float
    theta: float
    variance_reduction: float


def arm_of_means(moments: Moments) -> Arm:
    """Return the arm whose value is a mean."""
    if moments.covariate_mean is None:
        return Arm(moments.n, moments.mean, moments.var)
    return Arm(
        moments.n,
        moments.mean,
        moments.var,
        moments.covariate_mean,
        float(moments.covariate_var or 0.0),
        float(moments.covariance or 0.0),
    )


def arm_of_ratios(moments: RatioMoments) -> Arm:
    """Return the arm whose value is a ratio of sums, each ratio linearised at itself.

    A unit's part in the ratio R is ``(numerator - R denominator) / mean denominator``: these have
    mean 0, and their variance over n is that of the delta method.
    """
    mean, cov = np.asarray(moments.mean), np.asarray(moments.cov)
    value, weights = _linear(mean[:2])
    var = float(weights @ cov[:2, :2] @ weights)
    if mean.size == 2:
        return Arm(moments.n, value, max(var, 0.0))
    if mean.size == 3:
        covariate, of_covariate = float(mean[2]), np.ones(1)
    else:
        covariate, of_covariate = _linear(mean[2:])
    return Arm(
        moments.n,
        value,
        max(var, 0.0),
        covariate,
        max(float(of_covariate @ cov[2:, 2:] @ of_covariate), 0.0),
        float(weights @ cov[:2, 2:] @ of_covariate),
    )


def _linear(mean: FloatArray) -> tuple[float, FloatArray]:
    if not mean[1]:
        return math.nan, np.full(2, math.nan)
    ratio = float(mean[0] / mean[1])
    return ratio, np.array([1.0, -ratio]) / mean[1]


def estimate(control: Arm, treatment: Arm) -> Estimates:
    """Return both values, adjusted by the covariate where there is one, and their errors.

    The slope θ is the one that makes the variance of the difference least, whatever the sizes of
    the arms; both arms are moved to the mean covariate of all units.
    """
    c, t = control, treatment
    theta = 0.0
    covariate_var = _share(c.covariate_var, c.n) + _share(t.covariate_var, t.n)
    if covariate_var > 0.0:
        theta = (_share(c.covariance, c.n) + _share(t.covariance, t.n)) / covariate_var
    plain = _share(c.var, c.n) + _share(t.var, t.n)
    parts = [_share(_residual(arm, theta), arm.n) for arm in (c, t)]
    difference_var = sum(parts)
    df = _welch(parts, [c.n, t.n])
    of_c, of_t = theta * t.n / (c.n + t.n), theta * c.n / (c.n + t.n)
    shift = t.covariate - c.covariate if theta else 0.0
    covariances = [
        _share(slope * arm.covariance - of_c * of_t * arm.covariate_var, arm.n)
        for arm, slope in ((c, of_t), (t, of_c))
    ]
    return Estimates(
        n_control=c.n,
        n_treatment=t.n,
        control=c.value + of_c * shift,
        treatment=t.value - of_t * shift,
        control_stderr=math.sqrt(
            _share(_residual(c, of_c), c.n) + of_c**2 * _share(t.covariate_var, t.n)
        ),
        treatment_stderr=math.sqrt(
            _share(_residual(t, of_t), t.n) + of_t**2 * _share(c.covariate_var, c.n)
        ),
        covariance=sum(covariances) if theta else 0.0,
        stderr=math.sqrt(difference_var),
        df=df,
        theta=theta,
        variance_reduction=max(1.0 - difference_var / plain, 0.0) if theta and plain else 0.0,
    )


def _share(value: float, n: int) -> float:
    """Return the variance of a mean of n."""
    return value / n


def _residual(arm: Arm, slope: float) -> float:
    """Return the variance of ``y - slope * x`` over units."""
    if not slope:
        return arm.var
    left = arm.var - 2 * slope * arm.covariance + slope**2 * arm.covariate_var
    return left if left > _NOTHING * arm.var else 0.0


def _welch(parts: list[float], sizes: list[int]) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of variances of means."""
    total = sum(parts)
    if not total > 0.0 or min(sizes) < 2:
        return math.nan
    # As shares of the total, so that no square underflows.
    return 1.0 / sum((part / total) ** 2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
