"""How large a change is, free of sample size, with an interval and a bound of its absolute value.

Every function takes arrays (one entry a column) and returns an :class:`Effect`. The sign is that of
live minus reference, except Cramér's V, which has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray

__all__ = [
    "Effect",
    "cohen_d",
    "cohen_h",
    "cramers_v",
    "fisher_difference",
    "fisher_z_effect",
    "folded_bound",
    "log_sd_ratio",
    "noncentrality",
]

_NEAR_ONE = 1e-10  # z stops at a correlation this far from 1, where nearer ones are rounding
_MOST_STEPS = 50
# Newton's last step is the square of the one before: where that is small enough.
_NEAR = 1e-9
_LEAST = 4 * float(np.finfo(np.float64).eps)


class Effect(NamedTuple):
    """An effect, its two-sided interval, and a one-sided lower bound of its absolute value.

    The bound is right whatever the sign: where the true absolute effect is e, the bound exceeds e
    with chance at most 1 - level, also for e = 0. It is 0 where the data leave "no effect" open.
    """

    effect: FloatArray
    lo: FloatArray
    hi: FloatArray
    bound: FloatArray


def cohen_d(
    mean_ref: npt.ArrayLike,
    std_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    mean_live: npt.ArrayLike,
    std_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    *,
    level: float = 0.95,
) -> Effect:
    """Return Cohen's d: the difference of means over the reference's standard deviation.

    The reference's deviation alone is the unit (Glass), so that a live sample whose spread grew
    does not shrink its own shift. nan where it is 0 or a sample has fewer than two values.

    Examples
    --------
    >>> effect = cohen_d([0.0], [1.0], [50_000], [0.1], [1.0], [2_000])
    >>> [round(float(value[0]), 3) for value in effect]
    [0.1, 0.055, 0.145, 0.062]
    """
    m0, s0, n0, m1, s1, n1 = _floats(mean_ref, std_ref, n_ref, mean_live, std_live, n_live)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where((s0 > 0) & (n0 > 1) & (n1 > 1), s0, np.nan)
        effect = (m1 - m0) / unit
        stderr = np.sqrt((s1 / unit) ** 2 / n1 + 1 / n0 + effect**2 / (2 * n0))
    return _normal(effect, stderr, level)


def log_sd_ratio(
    std_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    std_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    *,
    kurtosis_ref: npt.ArrayLike = 3.0,
    kurtosis_live: npt.ArrayLike = 3.0,
    level: float = 0.95,
) -> Effect:
    """Return ln(live standard deviation / reference standard deviation).

    Its variance is (kurtosis - 1) / 4n in each sample; the default kurtosis of 3 is that of the
    normal law, and a heavy tail needs its own. nan where a deviation is 0.

    Examples
    --------
    >>> effect = log_sd_ratio([1.0], [50_000], [1.1], [2_000])
    >>> [round(float(value[0]), 3) for value in effect]
    [0.095, 0.064, 0.127, 0.069]
    """
    s0, n0, s1, n1, k0, k1 = _floats(std_ref, n_ref, std_live, n_live, kurtosis_ref, kurtosis_live)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = (s0 > 0) & (s1 > 0) & (n0 > 1) & (n1 > 1)
        effect = np.where(known, np.log(s1 / s0), np.nan)
        stderr = np.sqrt((k0 - 1) / (4 * n0) + (k1 - 1) / (4 * n1))
    return _normal(effect, stderr, level)


def cohen_h(
    k_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    k_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    *,
    level: float = 0.95,
) -> Effect:
    """Return Cohen's h of two shares: 2 asin sqrt(live) - 2 asin sqrt(reference), -pi to pi.

    The ends of the interval come from counts that are moved by half a value (continuity), so that
    they hold for small counts too. nan where a sample is empty.

    Examples
    --------
    >>> effect = cohen_h([500], [50_000], [60], [2_000])
    >>> [round(float(value[0]), 3) for value in effect]
    [0.148, 0.102, 0.194, 0.109]
    """
    k0, n0, k1, n1 = _floats(k_ref, n_ref, k_live, n_live)
    with np.errstate(invalid="ignore", divide="ignore"):
        ref = 2 * np.arcsin(np.sqrt(k0 / n0))
        stderr = np.sqrt(np.where((n0 > 0) & (n1 > 0), 1 / n0 + 1 / n1, np.nan))
        effect, low, high = (
            2 * np.arcsin(np.sqrt(np.clip(k1 + step, 0, n1) / n1)) - ref for step in (0, -0.5, 0.5)
        )
    half = _quantile(0.5 + level / 2) * stderr
    towards_zero = np.where(effect > 0, np.maximum(low, 0), np.minimum(high, 0))
    bound = folded_bound(towards_zero, stderr, level)
    return Effect(effect, low - half, high + half, bound)


def cramers_v(ref: npt.ArrayLike, live: npt.ArrayLike, *, level: float = 0.95) -> Effect:
    """Return bias-corrected Cramér's V of sample against cell, both samples weighing the same.

    V is 0 for equal shares and 1 for shares without overlap. Its square is
    ``sum (p - q)² / (2 (p + q))`` less its mean without a change, ``(k - 1)(1/n + 1/m) / 4``, and
    0 if that is negative. For equal sample sizes this is the usual V; the usual V of unequal sizes
    shrinks with their ratio (to a fifth for 2,000 against 50,000), which is no trait of the change.

    Parameters
    ----------
    ref, live : array-like of shape (c, k)
        Counts of c columns.
    level : float, default 0.95
        Of the interval and the bound, from the noncentral χ² law. nan where a sample is empty.

    References
    ----------
    Bergsma (2013), A bias-correction for Cramér's V and Tschuprow's T, Journal of the Korean
    Statistical Society 42(3).

    Examples
    --------
    >>> effect = cramers_v([[20_000, 30_000]], [[900, 1_100]])
    >>> [round(float(value[0]), 3) for value in effect]
    [0.049, 0.028, 0.073, 0.032]
    """
    first, second = np.asarray(ref, dtype=np.float64), np.asarray(live, dtype=np.float64)
    n0, n1 = first.sum(axis=-1), second.sum(axis=-1)
    undefined = (n0 == 0) | (n1 == 0)
    n0, n1 = np.where(undefined, np.nan, n0), np.where(undefined, np.nan, n1)
    p, q = first / n0[..., None], second / n1[..., None]
    both = first + second > 0
    distance = ((p - q) ** 2 / np.where(both, 2 * (p + q), 1.0)).sum(axis=-1)
    scale = (1 / n0 + 1 / n1) / 4
    dof = np.count_nonzero(both, axis=-1) - 1.0
    effect = np.sqrt(np.clip(distance - dof * scale, 0, 1))
    stat = np.where(undefined, 0.0, distance / scale)
    tail = 0.5 - level / 2
    shares = np.array([tail, 1 - tail, 1 - level]).reshape(3, *[1] * stat.ndim)
    ends = np.sqrt(np.clip(noncentrality(stat, dof, shares) * scale, 0, 1))
    return Effect(effect, *np.where(undefined, np.nan, ends))


def fisher_z_effect(
    r_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    v_ref: npt.ArrayLike,
    r_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    v_live: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> Effect:
    """Return the difference of Fisher's z = atanh r of two correlations.

    Parameters
    ----------
    r_ref, n_ref, r_live, n_live : array-like
        Correlations and numbers of pairs.
    v_ref, v_live : array-like
        n times the variance of z in each sample: 1 for normal data; `v_live` defaults to `v_ref`.
        Below 1 they count as 1, see :func:`fisher_difference`.

    Examples
    --------
    >>> effect = fisher_z_effect([0.5], [50_000], [1.0], [0.4], [2_000])
    >>> [round(float(value[0]), 3) for value in effect]
    [-0.126, -0.17, -0.081, 0.088]
    """
    difference, stderr = fisher_difference(r_ref, n_ref, v_ref, r_live, n_live, v_live)
    return _normal(difference, stderr, level)


def fisher_difference(
    r_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    v_ref: npt.ArrayLike,
    r_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    v_live: npt.ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return the difference of Fisher's z and its standard error; nan below four pairs.

    Variances below 1, that of independent columns, count as 1. Where two columns are rarely off
    their usual value, the rows in which both are make the variance. A sample that happens to hold
    few of them tells one near 0, and the next such row would seem impossible.
    """
    r0, n0, v0, r1, n1 = _floats(r_ref, n_ref, v_ref, r_live, n_live)
    v1 = v0 if v_live is None else np.asarray(v_live, dtype=np.float64)
    v0, v1 = np.maximum(v0, 1.0), np.maximum(v1, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        edge = 1 - _NEAR_ONE
        difference = np.arctanh(np.clip(r1, -edge, edge)) - np.arctanh(np.clip(r0, -edge, edge))
        known = (n0 > 3) & (n1 > 3)
        stderr = np.sqrt(np.where(known, v0 / (n0 - 3) + v1 / (n1 - 3), np.nan))
    return np.where(known, difference, np.nan), stderr


def _floats(*values: npt.ArrayLike) -> tuple[FloatArray, ...]:
    return tuple(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))


def _quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _normal(effect: FloatArray, stderr: FloatArray, level: float) -> Effect:
    half = _quantile(0.5 + level / 2) * stderr
    return Effect(effect, effect - half, effect + half, folded_bound(effect, stderr, level))


def folded_bound(effect: FloatArray, stderr: FloatArray, level: float) -> FloatArray:
    """Return b with P(|N(b, stderr²)| >= |effect|) = 1 - level, or 0 if no b above 0 has it.

    ``|effect| - 1.645 stderr`` is not enough: near 0 both tails count, and it errs twice as often.
    """
    from scipy.special import ndtr

    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(effect) / stderr
        bound = np.where(np.isnan(size), np.nan, 0.0 * stderr)
        beyond = (2 * ndtr(-size) < 1 - level) & np.isfinite(size)
        bound[beyond] = _folded_mean(size[beyond], 1 - level) * stderr[beyond]
    return bound


def _folded_mean(size: FloatArray, share: float) -> FloatArray:
    """Return the mean b of a normal law of variance 1 with P(|N| >= size) = share, b above 0.

    By Newton's method for b²: at b = 0 the chance has no slope in b. It starts at the solution for
    one tail, which is above, and a step that leaves the bracket is replaced by its middle.
    """
    from scipy.special import ndtr

    low, high = np.zeros_like(size), np.square(size + _quantile(share))
    square = high.copy()
    for _ in range(_MOST_STEPS):
        b = np.sqrt(square)
        excess = ndtr(b - size) + ndtr(-b - size) - share
        low, high = np.where(excess < 0, square, low), np.where(excess < 0, high, square)
        slope = (np.exp(-((b - size) ** 2) / 2) - np.exp(-((b + size) ** 2) / 2)) / (
            2 * b * math.sqrt(2 * math.pi)
        )
        following = square - excess / slope
        inside = (following >= low) & (following <= high)
        following = np.where(inside, following, (low + high) / 2)
        done = np.abs(following - square) <= _NEAR * square
        square = following
        if done.all():
            break
    return np.sqrt(square)


def noncentrality(stat: FloatArray, dof: FloatArray, share: float | FloatArray) -> FloatArray:
    """Return the noncentrality at which P(noncentral χ² >= stat) is `share`, at least 0."""
    from scipy.special import ndtri

    stat, dof, share = _floats(stat, dof, share)
    wanted = np.asarray(ndtri(share))
    result = np.zeros(stat.shape)
    above = (dof > 0) & (_noncentral_normal(stat, dof, np.zeros_like(stat)) < wanted)
    if above.any():
        stat, dof, wanted = stat[above], dof[above], wanted[above]

        def excess(root: FloatArray) -> FloatArray:
            return np.asarray(_noncentral_normal(stat, dof, root**2 - dof) - wanted)

        # The root of the mean makes the chance nearly linear on the normal scale.
        root = _crossing(excess, np.sqrt(dof), np.sqrt(2 * stat + 5 * dof + 100.0))
        result[above] = np.maximum(root**2 - dof, 0.0)
    return result


def _crossing(
    function: Callable[[FloatArray], FloatArray], low: FloatArray, high: FloatArray
) -> FloatArray:
    """Return where an ascending function of each entry crosses 0 between `low` and `high`.

    References
    ----------
    Chandrupatla (1997), A new hybrid quadratic/bisection algorithm for finding the zero of a
    nonlinear function without using derivatives, Advances in Engineering Software 28(3).
    """
    a, b = low, high
    f_a, f_b = function(a), function(b)
    t = f_a / (f_a - f_b)
    for _ in range(_MOST_STEPS):
        x = a + t * (b - a)
        f_x = function(x)
        same = (f_x > 0) == (f_a > 0)
        c, f_c = np.where(same, a, b), np.where(same, f_a, f_b)
        b, f_b = np.where(same, b, a), np.where(same, f_b, f_a)
        a, f_a = x, f_x
        width = np.abs(b - a)
        least = _LEAST * np.abs(a)
        if ((width <= 2 * least) | (f_a == 0)).all():
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            xi, phi = (a - b) / (c - b), (f_a - f_b) / (f_c - f_b)
            quadratic = (phi**2 < xi) & ((1 - phi) ** 2 < 1 - xi)
            inverse = f_a / (f_b - f_a) * f_c / (f_b - f_c)
            inverse += (c - a) / (b - a) * f_a / (f_c - f_a) * f_b / (f_c - f_b)
            limit = np.minimum(least / width, 0.5)
            t = np.clip(np.where(quadratic, inverse, 0.5), limit, 1 - limit)
        t[f_a == 0] = 0.0
    return np.where(np.abs(f_a) < np.abs(f_b), a, b)


def _noncentral_normal(stat: FloatArray, dof: FloatArray, shift: FloatArray) -> FloatArray:
    """Return z with P(noncentral χ² >= stat) = Φ(z), by Sankaran's (1963) normal power."""
    dof = np.maximum(dof, 1.0)
    mean, spread, third = dof + shift, dof + 2 * shift, dof + 3 * shift
    power = 1 - 2 * mean * third / (3 * spread**2)
    ratio = spread / mean**2
    m = (power - 1) * (1 - 3 * power)
    centre = 1 + power * ratio * (power - 1 - 0.5 * (2 - power) * m * ratio)
    width = power * np.sqrt(2 * ratio) * (1 + 0.5 * m * ratio)
    return np.asarray((centre - (stat / mean) ** power) / width)
