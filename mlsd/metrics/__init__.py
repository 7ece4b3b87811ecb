"""Metrics of machine-learning systems: exact with ties, counted where undefined."""

from mlsd._state import State
from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._accumulators import (
    BinaryAccumulator,
    BinarySummary,
    ConfusionAccumulator,
    ConfusionSummary,
    MeanAccumulator,
    MeanSummary,
    RankingAccumulator,
    RankingSummary,
    RatioAccumulator,
    RatioSummary,
)
from mlsd.metrics._arrays import (
    average_precision_at_k,
    hit_rate,
    ndcg,
    precision_at_k,
    recall_at_k,
    reciprocal_rank,
)
from mlsd.metrics._arrays_users import RBP, err, rbp
from mlsd.metrics._beyond import NoveltyResult, UserMean, intra_list_diversity, novelty
from mlsd.metrics._binary import average_precision, roc_auc
from mlsd.metrics._brier import BrierDecomposition, brier, brier_decomposition, brier_skill
from mlsd.metrics._calibration import (
    CalibrationError,
    CalibrationRatio,
    calibration_error,
    calibration_ratio,
)
from mlsd.metrics._catalog import CoverageResult, ExposureResult, catalog_coverage, exposure_gini
from mlsd.metrics._costs import CostThreshold, cost_optimal_threshold
from mlsd.metrics._delong import AUCComparison, AUCInterval, compare_roc_auc, roc_auc_ci
from mlsd.metrics._detection import DetectionResult, box_iou, detection_average_precision
from mlsd.metrics._diversity import alpha_ndcg, evaluate_diversity, subtopic_recall
from mlsd.metrics._evaluate import evaluate_ranking
from mlsd.metrics._evaluate_binary import (
    BinaryComparison,
    BinaryEvaluation,
    compare_binary,
    evaluate_binary,
)
from mlsd.metrics._events import sessions
from mlsd.metrics._letor import Letor, read_letor
from mlsd.metrics._multiclass import (
    ClassificationTable,
    classification_table,
    roc_auc_multiclass,
    top_k_accuracy,
)
from mlsd.metrics._online import click_through_rate, conversion_rate, session_success
from mlsd.metrics._probability import log_loss, normalized_entropy
from mlsd.metrics._qrels import Qrels
from mlsd.metrics._rates import RateInterval
from mlsd.metrics._readers import read_qrels, read_run, write_qrels, write_run
from mlsd.metrics._reliability import ReliabilityCurve, reliability_curve
from mlsd.metrics._result import RankingDiagnostics, RankingResult
from mlsd.metrics._retention import Retention, retention
from mlsd.metrics._scorers import scorer
from mlsd.metrics._thresholds import ThresholdMetrics, max_f1_threshold, precision_recall_f1
from mlsd.metrics._vision import SegmentationResult, boundary_iou, mean_iou

__all__ = [
    "RBP",
    "AUCComparison",
    "AUCInterval",
    "BinaryAccumulator",
    "BinaryComparison",
    "BinaryEvaluation",
    "BinarySummary",
    "BrierDecomposition",
    "CalibrationError",
    "CalibrationRatio",
    "ClassificationTable",
    "ConfusionAccumulator",
    "ConfusionSummary",
    "CostThreshold",
    "CoverageResult",
    "DetectionResult",
    "ExposureResult",
    "Letor",
    "MeanAccumulator",
    "MeanSummary",
    "NoveltyResult",
    "Qrels",
    "RankingAccumulator",
    "RankingDiagnostics",
    "RankingResult",
    "RankingSummary",
    "RateInterval",
    "RatioAccumulator",
    "RatioSummary",
    "ReliabilityCurve",
    "Retention",
    "SegmentationResult",
    "State",
    "ThresholdMetrics",
    "UndefinedMetricWarning",
    "UserMean",
    "alpha_ndcg",
    "average_precision",
    "average_precision_at_k",
    "boundary_iou",
    "box_iou",
    "brier",
    "brier_decomposition",
    "brier_skill",
    "calibration_error",
    "calibration_ratio",
    "catalog_coverage",
    "classification_table",
    "click_through_rate",
    "compare_binary",
    "compare_roc_auc",
    "conversion_rate",
    "cost_optimal_threshold",
    "detection_average_precision",
    "err",
    "evaluate_binary",
    "evaluate_diversity",
    "evaluate_ranking",
    "exposure_gini",
    "hit_rate",
    "intra_list_diversity",
    "log_loss",
    "max_f1_threshold",
    "mean_iou",
    "ndcg",
    "normalized_entropy",
    "novelty",
    "precision_at_k",
    "precision_recall_f1",
    "rbp",
    "read_letor",
    "read_qrels",
    "read_run",
    "recall_at_k",
    "reciprocal_rank",
    "reliability_curve",
    "retention",
    "roc_auc",
    "roc_auc_ci",
    "roc_auc_multiclass",
    "scorer",
    "session_success",
    "sessions",
    "subtopic_recall",
    "top_k_accuracy",
    "write_qrels",
    "write_run",
]
