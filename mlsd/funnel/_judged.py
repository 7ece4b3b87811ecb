"""Judgements laid beside candidates: which rows are relevant, and what each query has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray
from mlsd.funnel._batch import Batch
from mlsd.funnel._runs import check_run, check_same_kind

__all__ = ["Judged"]


@dataclass(frozen=True, slots=True)
class Judged:
    """The relevant documents of the queries that were asked."""

    query_ids: pd.Index[Any]
    docs: pd.Index[Any]
    keys: IntArray
    """Of each relevant pair: position of the query times documents plus the document; ascending."""
    grade: FloatArray
    n_relevant: IntArray
    """Relevant documents of each query."""
    n_other_queries: int
    """Queries with a relevant document that were not asked."""

    @classmethod
    def from_qrels(cls, qrels: Any, query_ids: pd.Index[Any], min_relevance: float) -> Judged:
        """Check judgements, a frame or Qrels, and keep what is relevant."""
        if not min_relevance > 0:
            raise ValueError(f"min_relevance must be above 0; got {min_relevance!r}")
        if not isinstance(qrels, pd.DataFrame) and callable(getattr(qrels, "to_frame", None)):
            qrels = qrels.to_frame()
        frame = check_run(qrels, "qrels", ())
        check_same_kind(
            {"queries": pd.DataFrame({"query_id": query_ids}), "qrels": frame}, ["query_id"]
        )
        grade = np.ones(len(frame))
        if "relevance" in frame:
            grade = as_floats(frame["relevance"], "qrels['relevance']")
        wanted = grade >= min_relevance
        frame, grade = frame[wanted], grade[wanted]
        query = np.asarray(query_ids.get_indexer(pd.Index(frame["query_id"])), dtype=np.int64)
        others = frame["query_id"][query < 0].nunique()
        doc, unique = pd.factorize(frame["doc_id"])
        asked = query >= 0
        keys = query[asked] * max(len(unique), 1) + doc[asked]
        order = np.argsort(keys)
        return cls(
            query_ids=query_ids,
            docs=pd.Index(unique),
            keys=keys[order],
            grade=grade[asked][order],
            n_relevant=np.bincount(query[asked], minlength=len(query_ids)),
            n_other_queries=int(others),
        )

    def grades(self, batch: Batch, ids: pd.Index[Any]) -> FloatArray:
        """Return the grade of every candidate, 0 if it is not relevant; `ids` are the batch's."""
        found = np.zeros(len(batch))
        if not self.keys.size or not len(batch):
            return found
        docs = {"candidates": batch.columns["doc_id"], "qrels": self.docs}
        series = {name: {"doc_id": pd.Series(ids, copy=False)} for name, ids in docs.items()}
        check_same_kind(series, ["doc_id"])
        doc = np.asarray(self.docs.get_indexer(pd.Index(batch.columns["doc_id"])))
        rows = np.flatnonzero(doc >= 0)
        query = np.asarray(self.query_ids.get_indexer(ids), dtype=np.int64)
        keys = query[batch.codes[rows]] * len(self.docs) + doc[rows]
        at = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        found[rows] = np.where(self.keys[at] == keys, self.grade[at], 0.0)
        return found

    def label(self, batch: Batch, ids: pd.Index[Any]) -> FloatArray:
        """Return 1 for every relevant candidate and 0 for the others."""
        return (self.grades(batch, ids) > 0).astype(np.float64)

    def of(self, start: int, stop: int) -> tuple[IntArray, FloatArray]:
        """Return how much there is to find for some queries, and its grades, the highest first."""
        n_docs = max(len(self.docs), 1)
        n_wanted = self.n_relevant[start:stop]
        here = slice(*np.searchsorted(self.keys, [start * n_docs, stop * n_docs]))
        order = np.lexsort((-self.grade[here], self.keys[here] // n_docs))
        ideal = np.zeros((stop - start, int(n_wanted.max(initial=0))))
        ideal[np.arange(ideal.shape[1]) < n_wanted[:, None]] = self.grade[here][order]
        return n_wanted, ideal
