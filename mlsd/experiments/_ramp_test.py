"""Evidence of harm, and of a broken split, that may be looked at every day.

Each function returns the logarithm of a ratio that starts at 1 and, if nothing is wrong, ever
exceeds 1 / alpha with a chance of alpha at most (Ville's inequality), however often one looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd.experiments._arms import Arm, arm_of_means, arm_of_ratios
from mlsd.experiments._mixture import log_ratio
from mlsd.experiments.moments import Moments, RatioMoments

__all__ = ["Harm", "as_arm", "harm_of_events", "harm_of_means", "log_ratio_of_split"]

# Imbalance that the test of the split finds soonest, as a share of what was planned.
_SPLIT_HARM = 0.05


@dataclass(frozen=True, slots=True)
class Harm:
    """How much worse the treatment is than tolerated: standard errors, and the log ratio."""

    z: float
    log_ratio: float


def as_arm(values: Any) -> tuple[Arm, float]:
    """Return an arm of values, Moments or RatioMoments, and its denominator in all."""
    if isinstance(values, RatioMoments):
        return arm_of_ratios(values), values.n * values.mean[1]
    moments = values if isinstance(values, Moments) else Moments.of(values)
    return arm_of_means(moments), float(moments.n)


def harm_of_means(
    control: Arm, treatment: Arm, *, sign: int, margin: float, scale: float
) -> Harm | None:
    """Return the evidence that a mean is worse by more than the margin; None if it cannot be had.

    `sign` is 1 where higher is better. With the control's mean c and the treatment's t, harm is
    ``(1 - margin) c - t`` over c (and mirrored): linear in the two means, so that no ratio of
    noisy numbers is taken to be normal. A small arm can show too little spread by chance (no
    purchase at all), and the two go together: its variance is then that of both arms pooled.
    """
    tolerated = 1 - sign * margin
    base = abs(control.value)
    if not base > 0.0:
        return None
    pooled = (control.n * control.var + treatment.n * treatment.var) / (control.n + treatment.n)
    variance = max(
        treatment.var / treatment.n + tolerated**2 * control.var / control.n,
        pooled * (1 / treatment.n + tolerated**2 / control.n),
    )
    harm = sign * (tolerated * control.value - treatment.value) / base
    if not variance > 0.0:
        return Harm(0.0 if harm == 0.0 else math.copysign(math.inf, harm), -math.inf)
    stderr = math.sqrt(variance) / base
    value = log_ratio(np.array([harm]), np.array([stderr]), scale, 1)
    return Harm(harm / stderr, float(value[0]))


def harm_of_events(
    control: tuple[float, float],
    treatment: tuple[float, float],
    *,
    dispersion: float,
    sign: int,
    margin: float,
    scale: float,
) -> Harm:
    """Return the evidence that events have become more (or fewer) by more than the margin.

    Each arm is (events, exposure). Given how many events there are in all, those of the treatment
    are binomial, with no normal law to wait for: right for a handful of crashes. Events that come
    in bunches count as ``1 / dispersion`` each.
    """
    from scipy.special import betaincc, betaln

    worse, other = (control, treatment) if sign > 0 else (treatment, control)
    factor = 1 / (1 - margin) if sign > 0 else 1 + margin
    null = worse[1] * factor / (worse[1] * factor + other[1])
    x, y = worse[0] / dispersion, other[0] / dispersion
    if not x + y > 0.0:
        return Harm(0.0, 0.0)
    size = max(1 / (scale**2 * null * (1 - null)) - 1, 1.0)
    a, b = size * null, size * (1 - null)
    with np.errstate(divide="ignore"):
        value = (
            betaln(a + x, b + y)
            - betaln(a, b)
            + np.log(betaincc(a + x, b + y, null))
            - np.log(betaincc(a, b, null))
            - x * math.log(null)
            - y * math.log1p(-null)
        )
    z = (x - (x + y) * null) / math.sqrt((x + y) * null * (1 - null))
    return Harm(z, float(value))


def log_ratio_of_split(n_control: int, n_treatment: int, share: float) -> float:
    """Return the evidence that units do not fall to the treatment with this share."""
    from scipy.special import betaln

    size = 1 / (_SPLIT_HARM**2 * share * (1 - share)) - 1
    a, b = size * share, size * (1 - share)
    return float(
        betaln(a + n_treatment, b + n_control)
        - betaln(a, b)
        - n_treatment * math.log(share)
        - n_control * math.log1p(-share)
    )
