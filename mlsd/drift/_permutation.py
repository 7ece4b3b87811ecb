"""Tail of a sum of scores over a random subset: the permutation law of a linear rank statistic."""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray

__all__ = ["lugannani_rice", "standardised", "sum_tail"]

_STEPS = 60
# The furthest that one step of Newton may move a log odds.
_LONGEST_STEP = 2.0


def standardised(scores: FloatArray, pooled: FloatArray) -> FloatArray:
    """Return the scores with mean 0 and variance 1 over all values; 0 where they are all equal."""
    n = pooled.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = scores - (scores * pooled).sum(axis=1, keepdims=True) / n
        spread = np.sqrt((centred**2 * pooled).sum(axis=1, keepdims=True) / n)
        size = np.abs(scores).max(axis=1, keepdims=True, initial=0.0)
        return np.where(spread > 1e-12 * size, centred / spread, 0.0)


def sum_tail(
    scores: FloatArray, pooled: FloatArray, n_live: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ln P(T >= total), total above 0, and the live counts to expect where T is total.

    T sums the scores of n_live values drawn without replacement from cells that hold `pooled`
    values each; all values of a cell have one score, and the scores are standardised. The normal
    approximation forgets skewness: with squared normal scores and 2,000 live values a tail of 1e-5
    is off by a factor of 2. This double saddlepoint is right to a few per cent, however far out.

    References
    ----------
    Booth and Butler (1990), Randomization distributions and saddlepoint approximations in
    generalized linear models, Biometrika 77(4). The last factor of `slope` is Skovgaard's (1987)
    for a lattice; it is 1 unless the scores take two or three values.
    """
    n = pooled.sum(axis=1)
    share = n_live / n
    gap = _smallest_gap(scores, pooled)
    target = np.maximum(total - gap / 2, 0.0)
    alpha, beta = _solve(scores, pooled, n_live, target)
    log_odds = np.log(share) - np.log1p(-share)
    exponent = alpha[:, None] + beta[:, None] * scores
    logit = log_odds[:, None] + exponent
    generating = pooled * np.logaddexp(np.log1p(-share)[:, None], np.log(share)[:, None] + exponent)
    w = np.sqrt(2 * np.maximum(alpha * n_live + beta * target - generating.sum(axis=1), 0.0))
    chance = _expit(logit)
    expected = pooled * chance
    first, mixed, second = _information(scores, expected, chance)
    determinant = np.maximum(first * second - mixed**2, 0.0)
    half = beta * gap / 2
    lattice = np.where(half > 1e-6, np.sinh(np.minimum(half, 300)) / np.maximum(half, 1e-6), 1.0)
    slope = beta * lattice * np.sqrt(determinant / (n * share * (1 - share)))
    return lugannani_rice(w, slope), expected


def lugannani_rice(w: FloatArray, slope: FloatArray) -> FloatArray:
    """Return ln of the tail from a signed root w > 0 and the slope that goes with it."""
    from scipy.special import log_ndtr

    # Q(w) + density(w) (1/slope - 1/w), with the density taken out so that no tail underflows.
    log_density = -(w**2) / 2 - np.log(2 * np.pi) / 2
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mills = np.exp(np.asarray(log_ndtr(-w)) - log_density)
        inside = mills + 1 / slope - 1 / w
        tail = log_density + np.log(inside)
    # Too close to the mean for the formula, or past what float64 resolves.
    sound = (w > 1e-3) & (slope > 0) & np.isfinite(tail)
    return np.minimum(np.where(sound, tail, np.asarray(log_ndtr(-w))), 0.0)


def _solve(
    scores: FloatArray, pooled: FloatArray, n_live: FloatArray, target: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the tilt (alpha, beta) whose expected size and expected sum are those observed."""
    n = pooled.sum(axis=1)
    log_odds = np.log(n_live) - np.log(n - n_live)
    alpha, beta = np.zeros_like(n), np.zeros_like(n)
    widest = np.maximum(np.abs(np.where(pooled > 0, scores, 0.0)).max(axis=1, initial=0.0), 1.0)
    for _ in range(_STEPS):
        chance = _expit(log_odds[:, None] + alpha[:, None] + beta[:, None] * scores)
        expected = pooled * chance
        misses = n_live - expected.sum(axis=1), target - (expected * scores).sum(axis=1)
        first, mixed, second = _information(scores, expected, chance)
        determinant = first * second - mixed**2
        usable = determinant > 1e-12 * first * second
        safe = np.where(usable, determinant, 1.0)
        steps = [
            np.where(usable, (one * misses[0] + two * misses[1]) / safe, 0.0)
            for one, two in ((second, -mixed), (-mixed, first))
        ]
        longest = np.maximum(np.abs(steps[0]), np.abs(steps[1]) * widest)
        shrink = np.minimum(1.0, _LONGEST_STEP / np.maximum(longest, 1e-300))
        alpha, beta = alpha + shrink * steps[0], beta + shrink * steps[1]
        if not (longest > 1e-7).any():
            break
    return alpha, beta


def _information(
    scores: FloatArray, expected: FloatArray, chance: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    weight = expected * (1 - chance)
    weighted = weight * scores
    return weight.sum(axis=1), weighted.sum(axis=1), (weighted * scores).sum(axis=1)


def _expit(values: FloatArray) -> FloatArray:
    from scipy.special import expit

    return np.asarray(expit(values))


def _smallest_gap(scores: FloatArray, pooled: FloatArray) -> FloatArray:
    """Return the smallest distance between two scores that occur: the step of a lattice."""
    present = np.where(pooled > 0, scores, np.nan)
    ordered = np.sort(present, axis=1)  # nan last
    steps = np.diff(ordered, axis=1)
    steps = np.where(steps > 1e-9, steps, np.inf)
    smallest = steps.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(smallest), smallest, 0.0)
