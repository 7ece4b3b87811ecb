"""The metrics in one table: what each is called with, and what holds for it.

A new metric is one row here; ``test_common.py`` and ``test_common_nasty.py`` pick it up. Data are
columns by name, or tables of columns by name, and every change of them (another order of the rows,
another container) is one function for all metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from common_data import Data

from mlsd import metrics


@dataclass(frozen=True)
class Row:
    """One public function with some options: the properties that hold for its value."""

    name: str
    kind: str
    value: Callable[[Any], Any] = float
    options: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    """The argument of the kind -> its name in this function."""
    bounds: tuple[float, float] = (0.0, 1.0)
    best: float | None = None
    """The value of a perfect prediction."""
    permute: bool = True
    double: bool = True
    monotone: bool = False
    weight: bool = False
    chunks: Callable[[list[Data]], Any] | None = None
    """From parts of the data, by way of merged states, to the value."""

    @property
    def label(self) -> str:
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.options.items())])

    def __call__(self, data: Data, **options: Any) -> Any:
        function = getattr(metrics, self.name)
        named = {self.arguments.get(name, name): form(part) for name, part in data.items()}
        return function(**named, **{**self.options, **options})


def form(part: Any) -> Any:
    return pd.DataFrame(part) if isinstance(part, dict) else part


# ---------------------------------------------------------------- merged states


def _binary(field_name: str) -> Callable[[list[Data]], float]:
    def merged(parts: list[Data]) -> float:
        states = []
        for part in parts:
            y_true, score = part.values()
            states.append(metrics.BinaryAccumulator().update(y_true, score))
        summary = sum(states[1:], start=states[0]).result()
        assert summary.auc_lower <= summary.auc <= summary.auc_upper
        return getattr(summary, field_name)

    return merged


def _confusion(n_classes: int, of: Callable[[Any], Any]) -> Callable[[list[Data]], Any]:
    def merged(parts: list[Data]) -> Any:
        states = [metrics.ConfusionAccumulator(n_classes=n_classes).update(**p) for p in parts]
        return of(sum(states[1:], start=states[0]).result())

    return merged


def _ranking(names: list[str]) -> Callable[[list[Data]], Any]:
    def merged(parts: list[Data]) -> Any:
        states = [
            metrics.RankingAccumulator(names).update(form(part["qrels"]), form(part["run"]))
            for part in parts
        ]
        return sum(states[1:], start=states[0]).result().means["mean"].to_numpy()

    return merged


def _clicks(parts: list[Data]) -> float:
    states = []
    for part in parts:
        by_user = form(part["events"]).groupby("user_id")["click"].agg(["sum", "size"])
        states.append(metrics.RatioAccumulator().update(by_user["sum"], by_user["size"]))
    return sum(states[1:], start=states[0]).result().ratio


def _mean_over_users(parts: list[Data]) -> float:
    lists = [metrics.novelty(**{k: form(v) for k, v in part.items()}).per_user for part in parts]
    states = [metrics.MeanAccumulator().update(values) for values in lists]
    return sum(states[1:], start=states[0]).result().mean


# ---------------------------------------------------------------- the table

INF = float("inf")
LISTED = ["ndcg", "ndcg@3", "map", "map@3", "mrr", "recall@3", "precision@3", "hit_rate@2"]
LISTED += ["r_precision", "rbp", "rbp_residual", "judged@3"]
_OF = ["precision", "recall", "f1"]


def _value(result: Any) -> float:
    return result.value


ROWS = [
    Row("roc_auc", "scores", best=1, monotone=True, weight=True, chunks=_binary("auc")),
    Row(
        "average_precision",
        "scores",
        best=1,
        monotone=True,
        weight=True,
        chunks=_binary("average_precision"),
    ),
    Row(
        "average_precision",
        "scores",
        options={"ties": "average"},
        best=1,
        monotone=True,
        double=False,  # twice the rows have other orders of ties
    ),
    Row("roc_auc_ci", "scores", lambda r: r.auc, best=1, monotone=True),
    Row("compare_roc_auc", "two scores", lambda r: r.difference, bounds=(-1, 1), monotone=True),
    Row("max_f1_threshold", "scores", lambda r: r.f1, best=1, monotone=True),
    Row(
        "precision_recall_f1",
        "scores",
        lambda r: (r.precision, r.recall, r.f1),
        options={"threshold": 0.5, "zero_division": 0},
        arguments={"y_score": "y_pred"},
        best=1,
        weight=True,
    ),
    Row(
        "log_loss",
        "probabilities",
        best=0,
        bounds=(0, INF),
        weight=True,
        chunks=_binary("log_loss"),
    ),
    Row("log_loss", "probabilities", options={"eps": 0.1}, bounds=(0, INF), weight=True),
    Row("brier", "probabilities", best=0, weight=True, chunks=_binary("brier")),
    Row("brier_skill", "probabilities", best=1, bounds=(-INF, 1), weight=True),
    Row(
        "brier_decomposition",
        "probabilities",
        lambda r: (r.brier, r.reliability, r.resolution, r.uncertainty),
        weight=True,
    ),
    Row(
        "normalized_entropy",
        "probabilities",
        best=0,
        bounds=(0, INF),
        weight=True,
        chunks=_binary("normalized_entropy"),
    ),
    # The debiased error knows how many rows there are: the raw one does not.
    Row(
        "calibration_error",
        "probabilities",
        lambda r: r.raw,
        options={"random_state": 0},
        best=0,
        weight=True,
    ),
    Row(
        "calibration_ratio",
        "probabilities",
        _value,
        best=1,
        bounds=(0, INF),
        weight=True,
        chunks=_binary("calibration_ratio"),
    ),
    Row("reliability_curve", "probabilities", lambda r: r.observed, weight=True),
    Row(
        "cost_optimal_threshold",
        "probabilities",
        lambda r: r.cost,
        options={"cost_fp": 1, "cost_fn": 3},
        best=0,
        bounds=(0, 3),
    ),
    Row(
        "evaluate_binary",
        "probabilities",
        lambda r: r.metrics["value"],
        options={"threshold": 1 / 16},
        bounds=(0, INF),
    ),
    Row(
        "compare_binary",
        "two probabilities",
        lambda r: r.metrics["difference"],
        options={"threshold": 1 / 16},
        bounds=(-INF, INF),
    ),
    Row(
        "log_loss",
        "class scores",
        arguments={"y_score": "y_proba"},
        best=0,
        bounds=(0, INF),
        weight=True,
    ),
    Row("roc_auc_multiclass", "class scores", best=1, weight=True),
    Row("roc_auc_multiclass", "class scores", options={"multi_class": "ovo"}, best=1),
    Row("top_k_accuracy", "class scores", options={"k": 2}, best=1, weight=True),
    Row(
        "classification_table",
        "classes",
        lambda r: r.per_class[_OF],
        best=1,
        weight=True,
        chunks=_confusion(3, lambda summary: summary.per_class[_OF]),
    ),
    Row("ndcg", "lists", best=1, monotone=True),
    Row("ndcg", "lists", options={"k": 3, "gain": "exp2"}, best=1, monotone=True),
    Row("average_precision_at_k", "lists", best=1, monotone=True),
    Row(
        "average_precision_at_k",
        "lists",
        options={"k": 3, "normalize": "min(R,k)"},
        best=1,
        monotone=True,
    ),
    Row("reciprocal_rank", "lists", best=1, monotone=True),
    Row("hit_rate", "lists", options={"k": 2}, best=1, monotone=True),
    Row("recall_at_k", "lists", options={"k": 3}, monotone=True),
    Row("precision_at_k", "lists", options={"k": 3}, monotone=True),
    Row("err", "lists", options={"max_rel": 2}, monotone=True),
    Row("rbp", "lists", options={"p": 0.7}, monotone=True),
    Row(
        "evaluate_ranking",
        "runs",
        lambda r: r.mean(),
        options={"metrics": LISTED},
        monotone=True,
        chunks=_ranking(LISTED),
    ),
    Row(
        "evaluate_ranking",
        "runs",
        lambda r: r.mean(),
        options={"metrics": ["ndcg", "map", "mrr", "recall"]},
        best=1,
        monotone=True,
    ),
    Row("subtopic_recall", "aspects", lambda r: r.mean(), options={"k": 2}, monotone=True),
    Row(
        "alpha_ndcg",
        "aspects",
        lambda r: r.mean(),
        options={"k": 3},
        bounds=(0, 1.2),
        monotone=True,
    ),
    Row(
        "evaluate_diversity",
        "aspects",
        lambda r: r.mean(),
        options={"metrics": ["subtopic_recall@2"]},
        monotone=True,
    ),
    Row("catalog_coverage", "catalogs", _value, options={"k": 2}, monotone=True),
    Row("exposure_gini", "catalogs", _value, options={"k": 2, "discount": "log2"}, monotone=True),
    Row("novelty", "popularity", _value, bounds=(0, INF), chunks=_mean_over_users),
    Row("intra_list_diversity", "embeddings", _value, bounds=(0, 2)),
    Row(
        "mean_iou",
        "images",
        _value,
        options={"n_classes": 2},
        best=1,
        chunks=_confusion(2, lambda summary: summary.mean_iou),
    ),
    Row("boundary_iou", "images", _value, options={"n_classes": 2}, best=1),
    Row(
        "detection_average_precision",
        "boxes",
        lambda r: (r.ap, r.ap50, r.ar),
        best=1,
        monotone=True,
    ),
    Row("box_iou", "two boxes", lambda r: np.sort(r.ravel()), double=False),
    Row("click_through_rate", "events", _value, chunks=_clicks),
    Row("conversion_rate", "events", _value),
    Row("conversion_rate", "events", _value, options={"window": "1D", "as_of": "2024-02-01"}),
    Row("conversion_rate", "events", _value, options={"window": "1D", "per": "row"}),
    Row("session_success", "events", _value),
    Row("retention", "events", lambda r: r.overall["retention"]),
    # The number of sessions of a user, whatever their numbers.
    Row("sessions", "events", lambda r: np.unique(r).size, double=False, bounds=(1, INF)),
]

EXEMPT = {
    "BinaryAccumulator BinarySummary ConfusionAccumulator ConfusionSummary MeanAccumulator "
    "MeanSummary RankingAccumulator RankingSummary RatioAccumulator RatioSummary State": (
        "states and what they return: the column chunks of the table"
    ),
    "RBP AUCComparison AUCInterval BinaryComparison BinaryEvaluation BrierDecomposition "
    "CalibrationError CalibrationRatio ClassificationTable CostThreshold CoverageResult "
    "DetectionResult ExposureResult NoveltyResult RankingDiagnostics RankingResult RateInterval "
    "ReliabilityCurve Retention SegmentationResult ThresholdMetrics UserMean": (
        "results of the functions of the table"
    ),
    "Qrels": "input of evaluate_ranking, made there from a table",
    "UndefinedMetricWarning": "a warning",
    "scorer": "hands a metric of the table to scikit-learn",
    "Letor read_letor read_qrels read_run write_qrels write_run": "files, not metrics",
}
