"""The metrics of probabilities and scores as scikit-learn scorers, for ``cross_validate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from mlsd._validation import check_choice
from mlsd.metrics._binary import average_precision, roc_auc
from mlsd.metrics._brier import brier
from mlsd.metrics._calibration import calibration_error
from mlsd.metrics._probability import log_loss, normalized_entropy

__all__ = ["SCORERS", "scorer"]

_SCORE = ("decision_function", "predict_proba")


@dataclass(frozen=True, slots=True)
class _Scored:
    function: Callable[..., float]
    response: str | tuple[str, ...]
    higher_is_better: bool


def _calibration_error(y_true: npt.ArrayLike, y_proba: npt.ArrayLike, **options: Any) -> float:
    return calibration_error(y_true, y_proba, **options).value


SCORERS = {
    "roc_auc": _Scored(roc_auc, _SCORE, higher_is_better=True),
    "average_precision": _Scored(average_precision, _SCORE, higher_is_better=True),
    "log_loss": _Scored(log_loss, "predict_proba", higher_is_better=False),
    "normalized_entropy": _Scored(normalized_entropy, "predict_proba", higher_is_better=False),
    "brier": _Scored(brier, "predict_proba", higher_is_better=False),
    "calibration_error": _Scored(_calibration_error, "predict_proba", higher_is_better=False),
}


def scorer(name: str, **options: Any) -> Any:
    """Return a metric as a scikit-learn scorer, higher always better.

    Parameters
    ----------
    name : str
        "roc_auc", "average_precision", "log_loss", "normalized_entropy", "brier" or
        "calibration_error". Losses come negated, as scikit-learn has them.
    **options
        Options of the metric, such as ``eps=`` of ``log_loss``. Labels that are strings need
        ``pos_label=``.

    Returns
    -------
    callable
        For the `scoring` of ``cross_validate``, ``GridSearchCV`` and the like. Where a fold has
        one class only, the metric is nan, with an ``UndefinedMetricWarning``.

    Raises
    ------
    ValueError
        If the metric has no scorer.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> scoring = {name: scorer(name) for name in ("roc_auc", "normalized_entropy")}
    >>> tree = DecisionTreeClassifier(min_samples_leaf=30, random_state=0)
    >>> found = cross_validate(tree, X, y, scoring=scoring, cv=3)
    >>> found["test_roc_auc"].round(2).tolist()
    [0.95, 0.97, 0.97]
    """
    from sklearn.metrics import make_scorer

    check_choice(name, "name", SCORERS)
    scored = SCORERS[name]
    return make_scorer(
        scored.function,
        response_method=scored.response,
        greater_is_better=scored.higher_is_better,
        **options,
    )
