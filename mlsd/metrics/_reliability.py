"""The reliability curve: mean prediction against observed rate, bin by bin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from mlsd._clusters import wilson_interval
from mlsd._inputs import as_weights
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_fraction
from mlsd.metrics._probability import labels_and_probabilities
from mlsd.metrics._score_bins import bin_sums, find_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ReliabilityCurve", "reliability_curve"]


@dataclass(frozen=True, slots=True, eq=False)
class ReliabilityCurve(Result):
    """Mean prediction and observed rate of each bin."""

    edges: FloatArray
    """Edges of the bins from 0 to 1; a bin holds its lower one, the last its upper one too."""
    mean_predicted: FloatArray
    """nan in a bin without weight, as all that follows."""
    observed: FloatArray
    """Rate of positives."""
    lower: FloatArray
    upper: FloatArray
    """Ends of Wilson's interval of the observed rate."""
    count: IntArray
    """Rows of each bin."""
    weight: FloatArray
    """Weight of each bin."""
    level: float
    """Coverage the intervals aim at, each by itself."""
    strategy: str
    n_merged: int
    """Bins asked for that equal predictions left no room for."""

    def to_frame(self) -> pd.DataFrame:
        """Return one row a bin.

        Returns
        -------
        DataFrame
            Columns lower_edge, upper_edge, mean_predicted, observed, lower, upper (of the
            interval), n and weight.
        """
        return pd.DataFrame(
            {
                "lower_edge": self.edges[:-1],
                "upper_edge": self.edges[1:],
                "mean_predicted": self.mean_predicted,
                "observed": self.observed,
                "lower": self.lower,
                "upper": self.upper,
                "n": self.count,
                "weight": self.weight,
            }
        )

    def plot(self, ax: Axes | None = None, *, label: str | None = None) -> Axes:
        """Draw observed rates against mean predictions, with their intervals.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; None makes a new figure.
        label : str or None
            The name of the curve in a legend.

        Returns
        -------
        Axes
        """
        from mlsd import plotting

        return plotting.reliability(self, ax, label=label)


def reliability_curve(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: str = "quantile",
    level: float = 0.95,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> ReliabilityCurve:
    """Mean prediction and observed rate of each bin of the prediction, with intervals.

    Parameters
    ----------
    y_true, y_proba, n_bins, strategy, sample_weight, pos_label
        As in ``calibration_error``.
    level : float
        Coverage of the interval of each bin, strictly between 0 and 1.

    Returns
    -------
    ReliabilityCurve
        One value a bin; its ``to_frame()`` has one row a bin, and ``plot()`` draws it. The interval
        is Wilson's, given the number of rows in the bin; with weights, given the number of equal
        weight that would carry as much.

    Raises
    ------
    ValueError
        As ``calibration_error``.

    References
    ----------
    Bröcker and Smith (2007), Increasing the reliability of reliability diagrams, Weather and
    Forecasting 22(3). Wilson (1927), Probable inference, JASA 22(158).

    Examples
    --------
    >>> curve = reliability_curve([0, 0, 1, 0, 1, 1], [0.1, 0.1, 0.1, 0.8, 0.8, 0.9], n_bins=2)
    >>> curve.to_frame()[["lower_edge", "upper_edge", "mean_predicted", "observed", "n"]].round(3)
       lower_edge  upper_edge  mean_predicted  observed  n
    0         0.0         0.8           0.100     0.333  3
    1         0.8         1.0           0.833     0.667  3
    """
    level = check_fraction(level, "level")
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    bins = find_bins(proba, n_bins, strategy, weights)
    sums = bin_sums(truth, proba, bins, weights)
    from scipy.special import ndtri

    lower, upper = wilson_interval(sums.observed, sums.effective, float(ndtri(0.5 + level / 2)))
    return ReliabilityCurve(
        edges=bins.edges,
        mean_predicted=sums.predicted,
        observed=sums.observed,
        lower=lower,
        upper=upper,
        count=sums.count,
        weight=sums.weight,
        level=level,
        strategy=strategy,
        n_merged=bins.n_merged,
    )
