"""Funnel ranking: retrieve, fuse, diversify, and say where a relevant document was lost."""

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
