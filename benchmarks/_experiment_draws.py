"""What the simulated experiments draw: metrics with a known truth, one array an arm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = [
    "METRICS",
    "RATIO",
    "Draw",
    "conversions",
    "correlated",
    "counts",
    "ratio_users",
    "spend",
]

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, float], Floats]  # (generator, units, lift) -> values


def conversions(rng: np.random.Generator, n: int, lift: float) -> Floats:
    """Return 0 or 1; the mean is .05, times 1 + lift."""
    return (rng.random(n) < 0.05 * (1 + lift)).astype(np.float64)


def counts(rng: np.random.Generator, n: int, lift: float) -> Floats:
    """Return negative binomial counts; the mean is 2, times 1 + lift, the variance 7."""
    return rng.poisson(rng.gamma(0.8, 2.5, n) * (1 + lift)).astype(np.float64)


def spend(rng: np.random.Generator, n: int, lift: float) -> Floats:
    """Return money: one unit in ten pays, lognormal with sigma 1.2; the mean is 1, times 1 + lift.

    The standard deviation is 6.5 times the mean, the skewness above 30.
    """
    payers = rng.random(n) < 0.1
    return payers * rng.lognormal(np.log(10) - 0.72, 1.2, n) * (1 + lift)


# How a metric is called; its draw, its mean, units an arm, and the lift at which power is told.
METRICS: dict[str, tuple[Draw, float, int, float]] = {
    "conversion of 5 %": (conversions, 0.05, 1_000, 0.6),
    "counts, overdispersed": (counts, 2.0, 1_000, 0.2),
    "spend, heavy tail": (spend, 1.0, 2_000, 0.6),
}

RATIO = 0.084  # clicks an impression of `ratio_users`


def ratio_users(rng: np.random.Generator, n: int, lift: float) -> dict[str, Floats]:
    """Return clicks and views of users before and during an experiment; the ratio is `RATIO`.

    One user in five is heavy: 30 views on average instead of 5, clicked at .06 instead of .12; in
    each class a user's own rate is beta distributed: the views of a user resemble each other.
    """
    heavy = rng.random(n) < 0.2
    own = rng.gamma(2.0, 0.5, n)  # mean 1: some come more often
    rate = rng.beta(2.0, np.where(heavy, 2 / 0.06 - 2, 2 / 0.12 - 2))
    found: dict[str, Floats] = {}
    for when, factor in {"_before": 1.0, "": 1 + lift}.items():
        # One view at least; 1 + Poisson(m - 1) would tie the truth to `own`.
        views = rng.poisson(np.where(heavy, 30, 5) * own)
        found[f"views{when}"] = views.astype(np.float64)
        clicks = rng.binomial(views, np.minimum(rate * factor, 1))
        found[f"clicks{when}"] = clicks.astype(np.float64)
    return found


def correlated(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Return a metric and what it was before: correlation .8, mean 2, variance 2, skewed."""
    before = rng.gamma(2.0, 1.0, n)
    noise = np.sqrt(2 * (1 - 0.8**2)) * rng.standard_normal(n)
    return 2 + 0.8 * (before - 2) + noise, before
