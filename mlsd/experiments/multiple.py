"""Many metrics or many arms: p-values adjusted for the number of tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._stats import holm
from mlsd._types import FloatArray

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p_values: npt.ArrayLike, *, dependent: bool = False) -> FloatArray:
    """Return p-values adjusted so that those up to q have a share of false alarms of q at most.

    It is the expected share of false alarms among the alarms, and fits a search over many metrics
    where some false ones may be among the finds. For a decision use :func:`holm`, which bounds the
    chance of any false alarm.

    Parameters
    ----------
    p_values : array-like of shape (m,)
        P-values of one family of tests. A nan stays nan and does not count as a test.
    dependent : bool
        False (Benjamini and Hochberg) holds for tests that are independent or positively dependent;
        True (Benjamini and Yekutieli) for any, at the price of a factor ``1 + 1/2 + ... + 1/m``.

    Returns
    -------
    ndarray of shape (m,)
        Adjusted p-values, at most 1, never below the given ones.

    Raises
    ------
    ValueError
        If a p-value is outside 0 to 1.

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate, Journal of the Royal
    Statistical Society B 57(1); Benjamini and Yekutieli (2001), Annals of Statistics 29(4).

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values = as_floats(p_values, "p_values", allow_nan=True)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p_values must lie between 0 and 1")
    if not isinstance(dependent, bool):
        raise TypeError(f"dependent must be True or False; got {dependent!r}")
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ranks = np.arange(1, order.size + 1)
    factor = (1.0 / ranks).sum() if dependent else 1.0
    steps = factor * order.size / ranks * values[order]
    adjusted = values.copy()
    adjusted[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return adjusted
