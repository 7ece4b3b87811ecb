"""Thresholds from the costs of mistakes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd.metrics._binary import cuts
from mlsd.metrics._probability import labels_and_probabilities

__all__ = ["CostThreshold", "cost_optimal_threshold"]


@dataclass(frozen=True, slots=True)
class CostThreshold(Result):
    """The cheapest threshold on the data at hand, beside those that need no data. Costs a row."""

    threshold: float
    """The cheapest; of several, the highest. inf if predicting no positive is cheapest."""
    cost: float
    """Mean cost with it: optimistic, as it was chosen on these rows."""
    theoretical_threshold: float
    """The cheapest if the probabilities are calibrated; nan if each row has its own."""
    theoretical_cost: float
    """Mean cost with it on these rows."""
    all_negative_cost: float
    """Mean cost if no row is predicted positive."""
    all_positive_cost: float
    """Mean cost if every row is."""
    n: int
    """Rows."""


def cost_optimal_threshold(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    cost_fp: npt.ArrayLike,
    cost_fn: npt.ArrayLike,
    cost_tp: npt.ArrayLike = 0.0,
    cost_tn: npt.ArrayLike = 0.0,
    pos_label: Any = None,
) -> CostThreshold:
    """Threshold with the least cost: on these rows, and the one that calibration would ask for.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels, as in ``roc_auc``.
    y_proba : array-like of shape (n,)
        Probability of the positive class, 0 to 1.
    cost_fp, cost_fn, cost_tp, cost_tn : float or array-like of shape (n,)
        Cost of each outcome, for all rows or for each; gains are negative. A mistake costs no less
        than the right decision, ``cost_fp >= cost_tn`` and ``cost_fn >= cost_tp``.
    pos_label : object
        The label that is positive.

    Returns
    -------
    CostThreshold
        Thresholds and mean costs a row. Rows of at least the threshold are positive. With
        calibrated probabilities the cheapest is ``a / (a + b)`` for ``a = cost_fp - cost_tn`` and
        ``b = cost_fn - cost_tp``; if costs differ between rows, each row is held to its own.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a probability is NaN or outside 0 to 1, or a cost is
        not finite or rewards a mistake.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, IJCAI.

    Examples
    --------
    >>> result = cost_optimal_threshold([0, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.6, 0.9],
    ...                                 cost_fp=1, cost_fn=4)
    >>> result.threshold, result.cost, result.theoretical_threshold, result.theoretical_cost
    (0.3, 0.2, 0.2, 0.4)
    """
    labels, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    n = labels.size
    fp, fn, tp, tn = (
        _cost(value, name, n)
        for name, value in (
            ("cost_fp", cost_fp),
            ("cost_fn", cost_fn),
            ("cost_tp", cost_tp),
            ("cost_tn", cost_tn),
        )
    )
    too_much, too_little = fp - tn, fn - tp
    for names, extra in (("cost_fp, cost_tn", too_much), ("cost_fn, cost_tp", too_little)):
        if (extra < 0.0).any():
            raise ValueError(
                f"{names}: a mistake must not cost less than the right decision; it does in "
                f"{int((extra < 0.0).sum())} of {extra.size} cases"
            )
    by_row = max(cost.size for cost in (fp, fn, tp, tn)) > 1
    if not by_row and not (too_much[0] or too_little[0]):
        raise ValueError("cost_fp and cost_fn: no mistake costs anything, so any threshold is best")
    if by_row:
        # What the decision "positive" adds to the cost of "negative", row by row.
        base = np.where(labels, fn, tn)
        added = np.where(labels, tp, fp) - base
        values, gained, _ = cuts(proba, added)
        negative = float(base.sum())
        costs = negative + gained
        theoretical = math.nan
        chosen = proba * too_little >= (1.0 - proba) * too_much
        by_theory = negative + float(added[chosen].sum())
    else:
        # Whole numbers of rows times four costs: no rounding in a long sum.
        values, kept, shown = cuts(proba, labels)
        n_positive = int(np.count_nonzero(labels))

        def total(hits: Any, positive: Any) -> Any:
            right = hits * tp[0] + (n - n_positive - (positive - hits)) * tn[0]
            return right + (positive - hits) * fp[0] + (n_positive - hits) * fn[0]

        costs, negative = total(kept, shown), float(total(0, 0))
        theoretical = float(too_much[0] / (too_much[0] + too_little[0]))
        chosen = proba >= np.float64(theoretical)
        hits = int(np.count_nonzero(chosen & labels))
        by_theory = float(total(hits, int(np.count_nonzero(chosen))))
    best = int(np.argmin(costs))
    none = negative <= float(costs[best])
    return CostThreshold(
        threshold=math.inf if none else float(values[best]),
        cost=(negative if none else float(costs[best])) / n,
        theoretical_threshold=theoretical,
        theoretical_cost=by_theory / n,
        all_negative_cost=negative / n,
        all_positive_cost=float(costs[-1]) / n,
        n=n,
    )


def _cost(value: Any, name: str, n: int) -> FloatArray:
    """Return a cost as an array of one value, or of one a row."""
    array = np.atleast_1d(np.asarray(value, dtype=np.float64)) if np.isscalar(value) else None
    if array is None:
        array = as_floats(value, name)
        if array.size != n:
            raise ValueError(f"lengths differ: {name} has {array.size}, the data {n}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {float(array[~np.isfinite(array)][0])!r}")
    return array
