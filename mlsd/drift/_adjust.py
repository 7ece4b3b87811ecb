"""P-values of a weighted family of tests, adjusted: Holm to page, Benjamini-Hochberg to watch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray

__all__ = ["weighted_bh", "weighted_holm"]


def weighted_holm(p: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """Return Holm's adjustment with weights: the chance of one false alarm in the family.

    Rejecting what is at most alpha keeps the chance of any false rejection at or under alpha,
    whatever the dependence between the tests. With equal weights it is Holm's own procedure.

    Parameters
    ----------
    p : array-like of shape (m,)
        P-values. A nan is a test that could not be made: it stays nan, and its weight is not
        handed on to the others, so that what is adjusted does not hang on what was missing.
    weights : array-like of shape (m,)
        Importance of every test, at least 0; only ratios matter. A weight of 0 adjusts to 1.

    Returns
    -------
    ndarray of shape (m,)
        Adjusted p-values, at most 1.

    Raises
    ------
    ValueError
        If a p-value is outside 0 to 1, a weight is negative or not finite, or lengths differ.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2). Weights: section 4 there; Benjamini and Hochberg (1997), Multiple hypotheses
    testing with weights, Scandinavian Journal of Statistics 24(3).

    Examples
    --------
    >>> weighted_holm([0.01, 0.04, 0.03], [1, 1, 1]).round(4).tolist()
    [0.03, 0.06, 0.06]
    >>> weighted_holm([0.01, 0.04, 0.03], [2, 1, 1]).round(4).tolist()
    [0.02, 0.06, 0.06]
    """
    values, weight, order = _ordered(p, weights)
    adjusted = _start(values)
    if order.size:
        # The weight that is left when a test's turn comes: its own, those of all after it, and
        # those of tests that were never made.
        ordered = weight[order]
        left = weight.sum() - np.concatenate(([0.0], np.cumsum(ordered)[:-1]))
        steps = values[order] * (np.maximum(left, ordered) / ordered)
        adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def weighted_bh(p: npt.ArrayLike, weights: npt.ArrayLike) -> FloatArray:
    """Return the weighted Benjamini-Hochberg adjustment: the share of false alarms among alarms.

    Rejecting what is at most q keeps the expected share of false rejections at or under q for
    independent (or positively dependent) tests. With equal weights it is their own procedure.

    Parameters
    ----------
    p : array-like of shape (m,)
        P-values. A nan stays nan, and its weight is not handed on to the others.
    weights : array-like of shape (m,)
        Importance of every test, at least 0; only ratios matter. A weight of 0 adjusts to 1.

    Returns
    -------
    ndarray of shape (m,)
        Adjusted p-values, at most 1.

    Raises
    ------
    ValueError
        If a p-value is outside 0 to 1, a weight is negative or not finite, or lengths differ.

    References
    ----------
    Genovese, Roeder and Wasserman (2006), False discovery control with p-value weighting,
    Biometrika 93(3).

    Examples
    --------
    >>> weighted_bh([0.01, 0.04, 0.03], [1, 1, 1]).round(4).tolist()
    [0.03, 0.04, 0.04]
    >>> weighted_bh([0.01, 0.04, 0.03], [2, 1, 1]).round(4).tolist()
    [0.02, 0.0533, 0.0533]
    """
    values, weight, _ = _ordered(p, weights)
    adjusted = _start(values)
    known = np.flatnonzero(~np.isnan(values) & (weight > 0))
    if known.size:
        mean = weight.sum() / weight.size
        weighed = values[known] * (mean / weight[known])
        order = np.argsort(weighed, kind="stable")
        steps = weighed[order] * (weight.size / np.arange(1, order.size + 1))
        adjusted[known[order]] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return adjusted


def _ordered(p: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return the checked p-values and weights, and the order of those that take part by p / w."""
    values = as_floats(p, "p", allow_nan=True)
    weight = as_floats(weights, "weights")
    if values.size != weight.size:
        raise ValueError(f"lengths differ: p has {values.size}, weights has {weight.size}")
    wrong = np.flatnonzero((values < 0) | (values > 1))
    if wrong.size:
        raise ValueError(
            f"p must lie between 0 and 1; {wrong.size} of {values.size} values do not, such as "
            f"{float(values[wrong[0]])!r} at position {wrong[0]}"
        )
    wrong = np.flatnonzero(~((weight >= 0) & (weight < np.inf)))
    if wrong.size:
        raise ValueError(
            f"weights must be finite and not negative; {wrong.size} of {weight.size} are not, such "
            f"as {float(weight[wrong[0]])!r} at position {wrong[0]}"
        )
    known = np.flatnonzero(~np.isnan(values) & (weight > 0))
    order = known[np.argsort(values[known] / weight[known], kind="stable")]
    return values, weight, order


def _start(values: FloatArray) -> FloatArray:
    """Return 1 for every test that was made and nan for the others."""
    return np.where(np.isnan(values), np.nan, 1.0)
