"""Metrics of machine-learning systems: exact with ties, counted where undefined."""

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._arrays import (
    average_precision_at_k,
    hit_rate,
    ndcg,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from mlsd.metrics._diversity import alpha_ndcg, subtopic_recall
from mlsd.metrics._evaluate import evaluate_ranking
from mlsd.metrics._qrels import Qrels
from mlsd.metrics._result import RankingDiagnostics, RankingResult

__all__ = [
    "Qrels",
    "RankingDiagnostics",
    "RankingResult",
    "UndefinedMetricWarning",
    "alpha_ndcg",
    "average_precision_at_k",
    "evaluate_ranking",
    "hit_rate",
    "ndcg",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank",
    "subtopic_recall",
]
