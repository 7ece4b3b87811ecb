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

from mlsd.funnel._text import tokenize
from mlsd.funnel.aspects import XQuAD
from mlsd.funnel.attribution import Trace, stage_report, trace
from mlsd.funnel.bm25 import BM25
from mlsd.funnel.dense import DenseIndex
from mlsd.funnel.fusion import reciprocal_rank_fusion, weighted_fusion
from mlsd.funnel.rerank import MMR

__all__ = [
    "BM25",
    "MMR",
    "DenseIndex",
    "Trace",
    "XQuAD",
    "reciprocal_rank_fusion",
    "stage_report",
    "tokenize",
    "trace",
    "weighted_fusion",
]
