"""How large a change is, free of sample size, with an interval and a bound of its absolute value.

Every function takes arrays (one entry a column) and returns an :class:`Effect`. The sign is that of
live minus reference, except Cramér's V, which has none.
"""

from __future__ import annotations

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
    "log_sd_ratio",
    "noncentrality",
]

_BISECTIONS = 50


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
    bound = _folded_bound(towards_zero, stderr, level)
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
    ends = [
        np.where(undefined, np.nan, np.sqrt(np.clip(noncentrality(stat, dof, share) * scale, 0, 1)))
        for share in (tail, 1 - tail, 1 - level)
    ]
    return Effect(effect, *ends)


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
    """Return the difference of Fisher's z and its standard error; nan below four pairs."""
    r0, n0, v0, r1, n1 = _floats(r_ref, n_ref, v_ref, r_live, n_live)
    v1 = v0 if v_live is None else np.asarray(v_live, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A correlation of exactly ±1 has no finite z: stop where float64 does.
        edge = 1 - 2**-52
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
    return Effect(effect, effect - half, effect + half, _folded_bound(effect, stderr, level))


def _folded_bound(effect: FloatArray, stderr: FloatArray, level: float) -> FloatArray:
    """Return b with P(|N(b, stderr²)| >= |effect|) = 1 - level, or 0 if no b above 0 has it.

    ``|effect| - 1.645 stderr`` is not enough: near 0 both tails count, and it errs twice as often.
    """
    from scipy.special import ndtr

    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.abs(effect) / stderr
    low, high = np.zeros_like(size), size.copy()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_low = ndtr(middle - size) + ndtr(-middle - size) < 1 - level
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    bound = np.where(2 * ndtr(-size) >= 1 - level, 0.0, low)
    return np.where(np.isnan(size), np.nan, bound * stderr)


def noncentrality(stat: FloatArray, dof: FloatArray, share: float | FloatArray) -> FloatArray:
    """Return the noncentrality at which P(noncentral χ² >= stat) is `share`, at least 0."""
    low = np.zeros_like(stat)
    high = 2 * stat + 4 * dof + 100.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_low = _noncentral_tail(stat, dof, middle) < share
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    return np.where(dof > 0, low, 0.0)


def _noncentral_tail(stat: FloatArray, dof: FloatArray, shift: FloatArray) -> FloatArray:
    """Return P(noncentral χ² >= stat) by Sankaran's (1963) normal approximation of a power."""
    from scipy.special import ndtr

    dof = np.maximum(dof, 1.0)
    mean, spread, third = dof + shift, dof + 2 * shift, dof + 3 * shift
    power = 1 - 2 * mean * third / (3 * spread**2)
    ratio = spread / mean**2
    m = (power - 1) * (1 - 3 * power)
    centre = 1 + power * ratio * (power - 1 - 0.5 * (2 - power) * m * ratio)
    width = power * np.sqrt(2 * ratio) * (1 + 0.5 * m * ratio)
    return np.asarray(ndtr(-((stat / mean) ** power - centre) / width))
