"""Tests of "no change" from counts, over all columns at once: statistics and p-values.

All are valid far out in the tail (p = 1e-5 and below), since a page needs as much once the budget
of false pages is shared among all checks of a table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray
from mlsd.drift._anderson_darling import anderson_darling
from mlsd.drift._chi2 import chi2_homogeneity
from mlsd.drift._effects import fisher_difference
from mlsd.drift._klotz import klotz
from mlsd.drift._proportions import beyond_range, two_proportions, unseen

__all__ = [
    "anderson_darling",
    "beyond_range",
    "chi2_homogeneity",
    "fisher_z",
    "klotz",
    "two_proportions",
    "unseen",
]

# Jumps smaller than this share of the standard error leave the normal law as it is.
_SMALL_JUMP = 0.05
_NORMAL_KURTOSES = 9.0  # the product of two, for which z is right


def fisher_z(
    r_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    v_ref: npt.ArrayLike,
    r_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    v_live: npt.ArrayLike | None = None,
    *,
    skewness: npt.ArrayLike = 0.0,
    kurtosis: npt.ArrayLike = 9.0,
) -> tuple[FloatArray, FloatArray]:
    """Test whether two independent samples have the same correlation.

    Parameters
    ----------
    r_ref, n_ref, r_live, n_live : array-like
        Correlations and numbers of pairs, of one shape.
    v_ref, v_live : array-like
        n times the variance of z = atanh r: 1 for normal data, and never less. `v_live` defaults to
        `v_ref`, which is known better and is right where nothing changed.
    skewness, kurtosis : array-like
        Product of the skewness, and of the kurtosis, of both columns. The defaults, 0 and 9, are
        those of normal columns.

    Returns
    -------
    difference, p : ndarray
        z of the live sample minus that of the reference, and its two-sided p-value; nan where a
        correlation is nan or a sample has less than four pairs.

    Notes
    -----
    Sparse or skewed columns correlate by a few rows, and r moves by jumps: it is far from normal
    until n is many times the products of skewness and of kurtosis. The p-value is the greater of
    that of the normal law and that of jumps, which is a tail of Pearson's type III (a shifted
    gamma) with the skewness that the difference has for independent columns. Where jumps go both
    ways, the kurtosis gives their size and the skewness the share that goes each way.

    References
    ----------
    Fisher (1921), On the probable error of a coefficient of correlation, Metron 1. Steiger and
    Hakstian (1982), The asymptotic distribution of elements of a correlation matrix, British
    Journal of Mathematical and Statistical Psychology 35(2).
    """
    from scipy.special import gammaincc, ndtr

    difference, stderr = fisher_difference(r_ref, n_ref, v_ref, r_live, n_live, v_live)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.asarray(2 * ndtr(-np.abs(difference) / stderr))
        r0, r1, n0, n1, g, k = (
            np.broadcast_to(np.asarray(values, dtype=np.float64), p.shape)
            for values in (r_ref, r_live, n_ref, n_live, skewness, kurtosis)
        )
        # On the scale of r: z would stretch the jumps.
        t = (r1 - r0) / np.maximum(1 - r0**2, 1 - r1**2) / stderr
        scale = 1 / n1 + 1 / n0
        third = g * (1 / n1**2 - 1 / n0**2) / scale**1.5 * np.sign(t)
        fourth = np.maximum(k - _NORMAL_KURTOSES, 0) * (1 / n1**3 + 1 / n0**3) / scale**2
        jump = np.maximum(np.sqrt(fourth / 6), np.abs(third) / 2)
        lean = np.clip(third / (2 * jump), -1, 1)
        jump /= stderr / np.sqrt(scale)  # a row moves r as far where the variance is not 1
        by_jumps = (jump > _SMALL_JUMP) & (np.abs(difference) > 0)
    if by_jumps.any():
        shape = 1 / jump[by_jumps] ** 2
        tail = (1 + lean[by_jumps]) * gammaincc(shape, shape + np.abs(t[by_jumps]) / jump[by_jumps])
        p[by_jumps] = np.maximum(p[by_jumps], np.minimum(1.0, tail))
    return difference, p
