"""The Brier score, its skill, and what it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_weights
from mlsd._results import Result
from mlsd._validation import check_fraction, warn_undefined
from mlsd.metrics._probability import (
    base_rates,
    chunked_mean,
    labels_and_probabilities,
    one_class,
)
from mlsd.metrics._score_bins import bin_sums, find_bins

__all__ = ["BrierDecomposition", "brier", "brier_decomposition", "brier_skill"]


@dataclass(frozen=True, slots=True)
class BrierDecomposition(Result):
    """The parts of a Brier score; see ``brier_decomposition``.

    ``brier = reliability - resolution + uncertainty + within_variance - within_covariance``.
    """

    brier: float
    """Mean squared difference of probability and outcome."""
    reliability: float
    """Mean squared difference of mean prediction and observed rate of the bins; 0 is best."""
    resolution: float
    """Variance of the observed rates of the bins; more is better."""
    uncertainty: float
    """Variance of the outcome, which no prediction changes."""
    within_variance: float
    """Variance of the predictions within the bins."""
    within_covariance: float
    """Twice the covariance of prediction and outcome within the bins."""
    n_bins: int
    """Bins with rows."""
    n: int
    """Rows."""


def brier(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Mean squared difference of probability and outcome, ``(p - y)²``.

    Brier's own definition sums over the classes, which for two is twice this value; this is the
    binary convention of scikit-learn and of weather forecasting.

    Parameters
    ----------
    y_true, y_proba, sample_weight, pos_label
        As in ``log_loss``, one column of probabilities.

    Returns
    -------
    float
        Between 0 and 1, less is better.

    Raises
    ------
    ValueError
        As ``log_loss``.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather
    Review 78(1).

    Examples
    --------
    >>> round(brier([1, 0, 1], [0.9, 0.2, 0.5]), 4)
    0.1
    """
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    return chunked_mean(
        lambda rows: (proba[rows].astype(np.float64) - truth[rows]) ** 2, truth.size, weights
    )


def brier_skill(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    base_rate: float | None = None,
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> float:
    """Share of the Brier score of a constant prediction that the model does away with.

    Parameters
    ----------
    y_true, y_proba, sample_weight, pos_label
        As in ``brier``.
    base_rate : float or None
        The constant prediction in (0, 1); None: the base rate of this sample.

    Returns
    -------
    float
        ``1 - brier / brier of the constant``: at most 1; 0 is no better than the constant, below 0
        is worse. nan if `base_rate` is None and there is one class only.

    Raises
    ------
    ValueError
        As ``brier``; or if `base_rate` is not inside (0, 1).

    Warns
    -----
    UndefinedMetricWarning
        If the constant makes no mistake.

    References
    ----------
    Murphy (1973), A new vector partition of the probability score, Journal of Applied Meteorology
    12(4).

    Examples
    --------
    >>> round(brier_skill([1, 0, 0, 0], [0.7, 0.2, 0.1, 0.2]), 4)
    0.76
    """
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    rate, rest = base_rates(truth, weights, None)
    constant = rate if base_rate is None else check_fraction(base_rate, "base_rate")
    reference = rate * (1.0 - constant) ** 2 + rest * constant**2
    if not (rate and rest) and base_rate is None:
        warn_undefined(one_class(truth.size, "the skill"))
        return math.nan
    return 1.0 - brier(truth, proba, sample_weight=weights) / reference


def brier_decomposition(
    y_true: npt.ArrayLike,
    y_proba: npt.ArrayLike,
    *,
    n_bins: int = 15,
    strategy: str = "quantile",
    sample_weight: npt.ArrayLike | None = None,
    pos_label: Any = None,
) -> BrierDecomposition:
    """Brier score as reliability - resolution + uncertainty, with what bins hide made explicit.

    The three terms of Murphy add up to the score only if all predictions of a bin are equal. Else
    two more belong to the identity, and they are given: ``brier = reliability - resolution +
    uncertainty + within_variance - within_covariance``, exactly but for rounding.

    Parameters
    ----------
    y_true, y_proba, sample_weight, pos_label
        As in ``brier``.
    n_bins, strategy
        As in ``calibration_error``.

    Returns
    -------
    BrierDecomposition

    Raises
    ------
    ValueError
        As ``brier``; or if `n_bins` or `strategy` is out of range.

    References
    ----------
    Stephenson, Coelho and Jolliffe (2008), Two extra components in the Brier score decomposition,
    Weather and Forecasting 23(4). Murphy (1973), Journal of Applied Meteorology 12(4).

    Examples
    --------
    >>> parts = brier_decomposition([1, 0, 1, 0], [0.9, 0.1, 0.9, 0.9], n_bins=2)
    >>> print(f"{parts.brier:.4f} = {parts.reliability:.4f} - {parts.resolution:.4f} + "
    ...       f"{parts.uncertainty:.4f}")
    0.2100 = 0.0433 - 0.0833 + 0.2500
    """
    truth, proba = labels_and_probabilities(y_true, y_proba, pos_label)
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    bins = find_bins(proba, n_bins, strategy, weights)
    sums = bin_sums(truth, proba, bins, weights)
    some = sums.weight > 0
    share = sums.weight[some] / sums.total
    predicted, observed = sums.predicted[some], sums.observed[some]
    rate, rest = base_rates(truth, weights, None)
    return BrierDecomposition(
        brier=brier(truth, proba, sample_weight=weights),
        reliability=float(share @ (predicted - observed) ** 2),
        resolution=float(share @ (observed - rate) ** 2),
        uncertainty=rate * rest,
        within_variance=float(sums.within_variance.sum()) / sums.total,
        within_covariance=2.0 * float(sums.within_covariance.sum()) / sums.total,
        n_bins=int(some.sum()),
        n=truth.size,
    )
