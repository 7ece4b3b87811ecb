"""Decisions at a threshold: precision, recall and F1, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._clusters import wilson_interval
from mlsd._inputs import as_binary, as_column, as_floats, as_weights
from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray
from mlsd._validation import check_choice, check_fraction, check_same_length, warn_undefined
from mlsd.metrics._binary import checked, cuts
from mlsd.metrics._costs import CostThreshold, cost_optimal_threshold

__all__ = [
    "CostThreshold",
    "ThresholdMetrics",
    "check_zero_division",
    "cost_optimal_threshold",
    "f1_interval",
    "max_f1_threshold",
    "precision_recall_f1",
]

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ThresholdMetrics(Result):
    """Precision, recall and F1 of yes-or-no predictions, with their intervals."""

    precision: float
    """Share of the predicted positives that are positive."""
    recall: float
    """Share of the positives that are predicted."""
    f1: float
    """Harmonic mean of the two, ``2 tp / (2 tp + fp + fn)``."""
    precision_ci: Interval
    """Wilson's interval, given the number of predicted positives."""
    recall_ci: Interval
    """Wilson's interval, given the number of positives."""
    f1_ci: Interval
    """From Wilson's interval of ``tp / (tp + fp + fn)``, given the rows that are in it."""
    level: float
    """Coverage the intervals aim at, each by itself."""
    threshold: float
    """Scores from here on are positive; nan if labels were predicted."""
    tp: float
    fp: float
    fn: float
    tn: float
    """Counts; with weights, their sums."""


def precision_recall_f1(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    *,
    threshold: float = 0.5,
    sample_weight: npt.ArrayLike | None = None,
    zero_division: float | str = math.nan,
    level: float = 0.95,
    pos_label: Any = None,
) -> ThresholdMetrics:
    """Precision, recall and F1 of predicted labels, or of scores at a threshold.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        Labels: booleans, 0 and 1, or -1 and 1; others with `pos_label`.
    y_pred : array-like of shape (n,)
        Predictions. Booleans, strings, and integers together with integer labels and a `pos_label`
        are labels. All other numbers are scores, and those of at least `threshold` are positive;
        with the default that reads 0 and 1 as labels too.
    threshold : float
        The lowest score that is positive.
    sample_weight : array-like of shape (n,) or None
        Finite weights of at least 0. Intervals then take the number of rows of equal weight that
        would carry as much, ``(Σw)² / Σw²``.
    zero_division : float or str
        What a share of nothing is: nan with a warning, 0, 1, or "raise".
    level : float
        Coverage of each interval, strictly between 0 and 1.
    pos_label : object
        The label that is positive.

    Returns
    -------
    ThresholdMetrics
        The three values with their intervals, and the four counts. Precision is a share of nothing
        if no row is predicted positive, recall if none is positive, and F1 if both; the interval
        is nan then, whatever `zero_division`.

    Raises
    ------
    ValueError
        If the input is empty, lengths differ, a score is NaN, the labels are not binary, or a share
        of nothing came up with "raise".

    Warns
    -----
    UndefinedMetricWarning
        If a value is nan.

    Notes
    -----
    F1 is ``2 J / (1 + J)`` with ``J = tp / (tp + fp + fn)``, a share of the rows that are positive
    in truth or by prediction. Given their number tp is binomial, so Wilson's interval of J, carried
    over, is one of F1: it stays within 0 to 1, and keeps its width at both ends.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA
    22(158). Van Rijsbergen (1979), Information Retrieval, chapter 7.

    Examples
    --------
    >>> result = precision_recall_f1([1, 1, 1, 0, 0], [0.9, 0.6, 0.2, 0.7, 0.1])
    >>> print(f"{result.precision:.3f} {result.recall:.3f} {result.f1:.3f}")
    0.667 0.667 0.667
    >>> print("precision in [{:.3f}, {:.3f}]".format(*result.precision_ci))
    precision in [0.208, 0.939]
    """
    level = check_fraction(level, "level")
    filler = check_zero_division(zero_division)
    truth = as_binary(y_true, "y_true", pos_label=pos_label)
    positive, threshold = _predicted(y_true, y_pred, threshold, pos_label)
    check_same_length(y_true=truth, y_pred=positive)
    if not truth.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    weights = as_weights(sample_weight, "sample_weight", truth.size)
    cells = [
        _sums(rows, weights)
        for rows in (truth & positive, ~truth & positive, truth & ~positive, ~truth & ~positive)
    ]
    (tp, tp_squares), (fp, fp_squares), (fn, fn_squares), (tn, _) = cells
    of = {
        "precision": (tp + fp, tp_squares + fp_squares),
        "recall": (tp + fn, tp_squares + fn_squares),
        "f1": (tp + fp + fn, tp_squares + fp_squares + fn_squares),
    }
    undefined = [name for name, (base, _) in of.items() if not base]
    if undefined:
        reason = (
            f"{' and '.join(undefined)} would be a share of nothing: {_number(tp + fp)} predicted "
            f"positives, {_number(tp + fn)} positives"
        )
        if filler is None:
            raise ValueError(f'{reason}, and zero_division is "raise"')
        if math.isnan(filler):
            warn_undefined(reason)
    value, interval = {}, {}
    for name, (base, squares) in of.items():
        share = tp / base if base else math.nan
        effective = base * base / squares if base else math.nan
        value[name] = share if base else float(filler or 0.0)
        interval[name] = _wilson(share, effective, level)
    f1 = 2 * tp / (2 * tp + fp + fn) if of["f1"][0] else value["f1"]
    return ThresholdMetrics(
        precision=value["precision"],
        recall=value["recall"],
        f1=f1,
        precision_ci=interval["precision"],
        recall_ci=interval["recall"],
        f1_ci=f1_interval(*interval["f1"]),
        level=level,
        threshold=threshold,
        tp=tp,
        fp=fp,
        fn=fn,
        tn=tn,
    )


def _predicted(
    y_true: Any, y_pred: Any, threshold: float, pos_label: Any
) -> tuple[BoolArray, float]:
    """Return which rows are predicted positive, and the threshold; nan for labels."""
    column = as_column(y_pred, "y_pred")
    kind = column.dtype.kind
    if kind == "b" and not isinstance(pos_label, bool | np.bool_):
        return column, math.nan
    same = pos_label is not None and kind in "iu" and as_column(y_true, "y_true").dtype.kind in "iu"
    if kind in "bO" or same:
        return as_binary(column, "y_pred", pos_label=pos_label), math.nan
    if isinstance(threshold, bool | str) or not threshold == threshold:
        raise ValueError(f"threshold must be a number; got {threshold!r}")
    scores = column if kind in "iu" else as_floats(column, "y_pred", keep_float32=True)
    # As a float64: 0.1 is no single-precision number, and must not be rounded to one.
    return scores >= np.float64(threshold), float(threshold)


def _sums(rows: BoolArray, weights: FloatArray | None) -> tuple[float, float]:
    if weights is None:
        count = int(np.count_nonzero(rows))
        return count, count
    some = weights[rows]
    return float(some.sum()), float(some @ some)


def _wilson(share: float, n: float, level: float) -> Interval:
    from scipy.special import ndtri

    lower, upper = wilson_interval(share, n, float(ndtri(0.5 + level / 2)))
    return float(lower), float(upper)


def f1_interval(lower: Any, upper: Any) -> Any:
    """Return the interval of F1 from that of tp / (tp + fp + fn)."""
    return 2 * lower / (1 + lower), 2 * upper / (1 + upper)


def check_zero_division(value: object) -> float | None:
    """Return nan, 0 or 1; None stands for "raise"."""
    if isinstance(value, float) and math.isnan(value):
        return math.nan
    check_choice(value, "zero_division", (math.nan, 0, 1, "raise"))
    return None if value == "raise" else float(value)  # type: ignore[arg-type]


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def max_f1_threshold(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    level: float = 0.95,
    pos_label: Any = None,
) -> ThresholdMetrics:
    """Threshold with the highest F1 on the data at hand, of all there are.

    Parameters
    ----------
    y_true, level, pos_label
        As in ``precision_recall_f1``.
    y_score : array-like of shape (n,)
        Scores, higher for positive.

    Returns
    -------
    ThresholdMetrics
        Of the threshold, which is one of the scores; of several, the highest. The values are
        optimistic and the intervals too narrow, since the rows that judge the threshold chose it:
        measure it anew on others. nan, with threshold inf, if there is no positive.

    Raises
    ------
    ValueError
        As ``roc_auc``.

    Warns
    -----
    UndefinedMetricWarning
        If there is no positive.

    References
    ----------
    Lipton, Elkan and Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1
    measure, ECML PKDD: a score that orders nothing has its best F1 where all is positive.

    Examples
    --------
    >>> best = max_f1_threshold([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.8])
    >>> print(f"{best.f1:.3f} from {best.threshold}")
    0.800 from 0.4
    """
    labels, scores = checked(y_true, y_score, "y_score", pos_label)
    n_positive = int(np.count_nonzero(labels))
    threshold = math.inf
    if n_positive:
        values, kept, n_shown = cuts(scores, labels)
        threshold = values[int(np.argmax(2 * kept / (n_shown + n_positive)))]
    else:
        warn_undefined(f"no row among {labels.size} is positive: no threshold has an F1")
    result = precision_recall_f1(labels, scores >= threshold, level=level, zero_division=0)
    options = {name: getattr(result, name) for name in ThresholdMetrics.__slots__}
    if not n_positive:
        options |= dict.fromkeys(("precision", "recall", "f1"), math.nan)
    return ThresholdMetrics(**options | {"threshold": float(threshold)})
