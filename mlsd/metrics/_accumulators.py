"""Metrics of data in chunks: states that are updated, merged in any order, and read at the end."""

from __future__ import annotations

from mlsd.metrics._accumulators_binary import BinaryAccumulator, BinarySummary
from mlsd.metrics._accumulators_confusion import ConfusionAccumulator, ConfusionSummary
from mlsd.metrics._accumulators_mean import (
    MeanAccumulator,
    MeanSummary,
    RatioAccumulator,
    RatioSummary,
)
from mlsd.metrics._accumulators_ranking import RankingAccumulator, RankingSummary

__all__ = [
    "BinaryAccumulator",
    "BinarySummary",
    "ConfusionAccumulator",
    "ConfusionSummary",
    "MeanAccumulator",
    "MeanSummary",
    "RankingAccumulator",
    "RankingSummary",
    "RatioAccumulator",
    "RatioSummary",
]
