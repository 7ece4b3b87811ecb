"""The mixture sequential probability ratio of a difference whose error is normal.

With the difference d, its variance V and a normal prior of the effect with standard deviation tau,
the likelihood ratio averaged over the prior is ``sqrt(V / (V + tau²)) exp(u² / 2)``, where ``u = d
tau / sqrt(V (V + tau²))``. It is a martingale under no effect, so that it ever exceeds 1 / alpha
with a chance of alpha at most (Ville). One-sided tests average over the half of the prior where the
effect is above 0, which multiplies it by ``2 Phi(u)``.
"""

from __future__ import annotations

import math

import numpy as np

from mlsd._types import FloatArray

__all__ = ["half_width", "log_ratio"]


def log_ratio(difference: FloatArray, stderr: FloatArray, tau: float, sides: int) -> FloatArray:
    """Return the logarithm of the ratio; -inf where there is no standard error above 0."""
    from scipy.special import log_ndtr

    known = stderr > 0
    variance = np.where(known, stderr, 1.0) ** 2
    total = variance + tau**2
    u = np.where(known, difference, 0.0) * tau / np.sqrt(variance * total)
    value = 0.5 * np.log(variance / total) + 0.5 * u * u
    if sides == 1:
        value = value + math.log(2.0) + log_ndtr(u)
    return np.where(known, value, -np.inf)


def half_width(stderr: FloatArray, tau: float, alpha: float, sides: int) -> FloatArray:
    """Return how far from the estimate the bounds of the confidence sequence lie."""
    known = stderr > 0
    variance = np.where(known, stderr, 1.0) ** 2
    total = variance + tau**2
    room = -math.log(alpha) + 0.5 * np.log(total / variance)  # what u must make up for
    u = np.sqrt(2.0 * room)
    if sides == 1:
        u = _one_sided(u, room - math.log(2.0))
    return np.where(known, u * np.sqrt(variance * total) / tau, np.inf)


def _one_sided(start: FloatArray, target: FloatArray) -> FloatArray:
    """Return u with ``u² / 2 + log Phi(u) = target``, by Newton from above: it is convex."""
    from scipy.special import log_ndtr

    u = start.copy()
    for _ in range(60):
        log_phi = log_ndtr(u)
        slope = u + np.exp(-0.5 * u * u - log_phi) / math.sqrt(2 * math.pi)
        step = (0.5 * u * u + log_phi - target) / slope
        u = u - step
        if (np.abs(step) <= 1e-14 * (1.0 + u)).all():
            break
    return u
