"""Scale: the sum of squared normal scores of the live sample, with its permutation law."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray
from mlsd.drift._counts import two_samples
from mlsd.drift._permutation import standardised, sum_tail

__all__ = ["klotz"]

# Below this |z| the first corrections of the normal law are exact enough, and cheap.
_CENTRE = 1.7


def klotz(ref: npt.ArrayLike, live: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Test whether the spread of the live sample differs from that of the reference.

    Parameters
    ----------
    ref, live : array-like of shape (c, k)
        Counts of c columns over k ordered cells.

    Returns
    -------
    z, p : ndarray of shape (c,)
        Standardised sum of scores (above 0: the live sample is wider) and twice the smaller tail of
        its permutation law. p is 1 and z 0 where nothing can be told: an empty sample, or one cell.

    References
    ----------
    Klotz (1962), Nonparametric tests for scale, Annals of Mathematical Statistics 33(2).
    """
    from scipy.special import ndtri

    first, second = two_samples(ref, live)
    pooled = first + second
    n, n_live = pooled.sum(axis=1), second.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (np.cumsum(pooled, axis=1) - pooled / 2) / n[:, None]
    scores = standardised(np.square(ndtri(np.where(pooled > 0, middle, 0.5))), pooled)
    return linear_test(scores, pooled, n_live, (scores * second).sum(axis=1))


def linear_test(
    scores: FloatArray, pooled: FloatArray, n_live: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return z and the two-sided p-value of a sum of standardised scores over the live values."""
    from scipy.special import ndtr

    n = pooled.sum(axis=1)
    told = (n_live > 0) & (n_live < n) & (np.abs(scores) * pooled > 0).any(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = n_live / n
        variance = n_live * (1 - share) * n / (n - 1)
        z = np.where(told, total / np.sqrt(variance), 0.0)
    p = np.ones_like(z)
    near = told & (np.abs(z) < _CENTRE)
    corrected = _cornish_fisher(scores[near], pooled[near], share[near], variance[near], z[near])
    p[near] = 2 * ndtr(-np.abs(corrected))
    far = np.flatnonzero(told & ~near)
    if far.size:
        side = np.sign(z[far])
        log_tail, _ = sum_tail(
            side[:, None] * scores[far], pooled[far], n_live[far], np.abs(total[far])
        )
        p[far] = np.minimum(1.0, 2 * np.exp(log_tail))
    return z, p


def _cornish_fisher(
    scores: FloatArray, pooled: FloatArray, share: FloatArray, variance: FloatArray, z: FloatArray
) -> FloatArray:
    """Return z less what the skewness of the sum shifts it by."""
    n = pooled.sum(axis=1)
    third = (scores**3 * pooled).sum(axis=1) / n
    skewness = share * (1 - share) * (1 - 2 * share) * n * third / variance**1.5
    return np.asarray(z - skewness * (z**2 - 1) / 6)
