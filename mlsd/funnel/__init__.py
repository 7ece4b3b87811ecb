"""Funnel ranking: retrieve, fuse, diversify, and say where a relevant document was lost.

A *run* is a frame with the columns query_id, doc_id, score and rank (from 1), one row a retrieved
pair. One rule says in which order a query's documents stand, wherever a run is read:

- score orders, the highest first;
- rank settles equal scores, the lowest first; without ranks the order of the rows does;
- a rank that contradicts the score (a better rank with a lower score within a query) raises
  ValueError, since nothing can tell which of the two was meant. Ranks may leave places out, so the
  head of a run, or one topic of it, is a run.

Every run returned here follows the rule. Where score is optional and absent, rank orders alone.
:func:`mlsd.metrics.evaluate_ranking` reads scores only, and its `ties` says what equal ones mean;
:func:`mlsd.metrics.subtopic_recall` and :func:`mlsd.metrics.alpha_ndcg` keep the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd._lazy import lazy_names

__all__ = [
    "BM25",
    "MMR",
    "Allocation",
    "AtLeast",
    "AtMost",
    "CoOccurrence",
    "DegradedWarning",
    "DenseIndex",
    "FaissIndex",
    "Filter",
    "Funnel",
    "FunnelReport",
    "Pin",
    "Popularity",
    "Rank",
    "Recency",
    "Rerank",
    "Retrieve",
    "ScoreCalibrator",
    "Served",
    "SlateRules",
    "Trace",
    "Union",
    "UnmetRuleWarning",
    "XQuAD",
    "capacity",
    "mmr",
    "reciprocal_rank_fusion",
    "stage_report",
    "tokenize",
    "top_k",
    "trace",
    "weighted_fusion",
]

if TYPE_CHECKING:
    from mlsd.funnel import capacity
    from mlsd.funnel._text import tokenize
    from mlsd.funnel.allocation import Allocation
    from mlsd.funnel.aspects import XQuAD
    from mlsd.funnel.attribution import Trace, stage_report, trace
    from mlsd.funnel.bm25 import BM25
    from mlsd.funnel.calibrated import ScoreCalibrator
    from mlsd.funnel.co_occurrence import CoOccurrence
    from mlsd.funnel.dense import DenseIndex
    from mlsd.funnel.faiss_index import FaissIndex
    from mlsd.funnel.fusion import reciprocal_rank_fusion, weighted_fusion
    from mlsd.funnel.pipeline import Funnel
    from mlsd.funnel.report import FunnelReport
    from mlsd.funnel.rerank import MMR, mmr
    from mlsd.funnel.rules import AtLeast, AtMost, Pin, SlateRules, UnmetRuleWarning
    from mlsd.funnel.serving import DegradedWarning, Served
    from mlsd.funnel.sources import Popularity, Recency
    from mlsd.funnel.stages import Filter, Rank, Rerank, Retrieve
    from mlsd.funnel.topk import top_k
    from mlsd.funnel.union import Union

# Imported when first asked for: `mlsd.funnel.capacity` needs the standard library alone.
_HOMES = {
    "capacity": ["capacity"],
    "_text": ["tokenize"],
    "allocation": ["Allocation"],
    "aspects": ["XQuAD"],
    "attribution": ["Trace", "stage_report", "trace"],
    "bm25": ["BM25"],
    "calibrated": ["ScoreCalibrator"],
    "dense": ["DenseIndex"],
    "faiss_index": ["FaissIndex"],
    "fusion": ["reciprocal_rank_fusion", "weighted_fusion"],
    "pipeline": ["Funnel"],
    "report": ["FunnelReport"],
    "rerank": ["MMR", "mmr"],
    "rules": ["AtLeast", "AtMost", "Pin", "SlateRules", "UnmetRuleWarning"],
    "serving": ["DegradedWarning", "Served"],
    "co_occurrence": ["CoOccurrence"],
    "sources": ["Popularity", "Recency"],
    "stages": ["Filter", "Rank", "Rerank", "Retrieve"],
    "topk": ["top_k"],
    "union": ["Union"],
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
