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


def fisher_z(
    r_ref: npt.ArrayLike,
    n_ref: npt.ArrayLike,
    v_ref: npt.ArrayLike,
    r_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    v_live: npt.ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Test whether two independent samples have the same correlation.

    Parameters
    ----------
    r_ref, n_ref, r_live, n_live : array-like
        Correlations and numbers of pairs, of one shape.
    v_ref, v_live : array-like
        n times the variance of z = atanh r: 1 for normal data. `v_live` defaults to `v_ref`, which
        is known better and is right where nothing changed.

    Returns
    -------
    difference, p : ndarray
        z of the live sample minus that of the reference, and its two-sided p-value; nan where a
        correlation is nan or a sample has less than four pairs.

    References
    ----------
    Fisher (1921), On the probable error of a coefficient of correlation, Metron 1. Steiger and
    Hakstian (1982), The asymptotic distribution of elements of a correlation matrix, British
    Journal of Mathematical and Statistical Psychology 35(2).
    """
    from scipy.special import ndtr

    difference, stderr = fisher_difference(r_ref, n_ref, v_ref, r_live, n_live, v_live)
    with np.errstate(invalid="ignore", divide="ignore"):
        return difference, np.asarray(2 * ndtr(-np.abs(difference) / stderr))
