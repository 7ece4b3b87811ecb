"""Relevance judgements, checked and indexed once, used for many runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._groups import FloatArray, IntArray, Segments
from mlsd._validation import as_1d_float, check_columns
from mlsd.metrics._ids import IdColumn, as_ids

__all__ = ["Gain", "Qrels", "gains"]

Gain = str | Mapping[float, float]


def gains(relevance: FloatArray, gain: Gain) -> FloatArray:
    """Return the gain of each relevance: 0 for a negative one, whatever the rule."""
    if isinstance(gain, str):
        if gain == "linear":
            return np.maximum(relevance, 0.0)
        if gain == "exp2":
            with np.errstate(over="ignore"):  # refused below
                powers = np.exp2(np.maximum(relevance, 0.0)) - 1.0
            if not np.isfinite(powers).all():
                raise ValueError(
                    "gain 'exp2' must be finite: 2**relevance overflows for the relevance "
                    f"{float(relevance.max())}"
                )
            return powers
    elif isinstance(gain, Mapping):
        levels, which = np.unique(relevance, return_inverse=True)
        unknown = [float(level) for level in levels if level >= 0 and level not in gain]
        if unknown:
            raise ValueError(f"gain has no entry for the relevance {unknown}; it has {dict(gain)}")
        by_level = as_1d_float([gain[lev] if lev >= 0 else 0.0 for lev in levels], "gain")
        if not (np.isfinite(by_level).all() and (by_level >= 0).all()):
            raise ValueError(f"gain must map to finite numbers of at least 0; got {dict(gain)}")
        return by_level[which]
    raise ValueError(f"gain must be 'linear', 'exp2' or a mapping; got {gain!r}")


class Qrels:
    """Relevance judgements of (query, document) pairs: immutable, checked, ready for many runs.

    Identifiers are strings or integers, or categoricals of them. Hashing them is most of the cost
    of an evaluation: build one ``Qrels`` and use it for every run.

    Parameters
    ----------
    frame : DataFrame
        One row a judged pair. Other columns are ignored; the frame is copied, never changed.
    query, doc, relevance : str
        Names of the columns. Relevance is a finite number: 0 is "judged, not relevant", larger is
        better, and a negative one has gain 0 (trec_eval's "harmful" or "spam").

    Raises
    ------
    TypeError
        If `frame` is not a DataFrame, or a column is neither strings nor integers.
    ValueError
        If `frame` is empty or lacks a column, if an identifier is missing, if a relevance is NaN
        or infinite, or if a pair is judged twice.

    Examples
    --------
    >>> import pandas as pd
    >>> qrels = Qrels(pd.DataFrame({"query_id": ["q1", "q1", "q2"],
    ...                             "doc_id": ["a", "b", "a"], "relevance": [2, 0, 1]}))
    >>> qrels
    Qrels(3 judgements, 2 queries, relevance 0: 1, 1: 1, 2: 1)
    >>> len(qrels), qrels.n_queries, list(qrels.queries)
    (3, 2, ['q1', 'q2'])
    """

    __slots__ = ("_docs", "_keys", "_queries", "_query_ids", "_relevance", "_segments")

    _docs: IdColumn
    _keys: IntArray
    _queries: pd.Index[Any]
    _query_ids: IdColumn
    _relevance: FloatArray
    _segments: Segments

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        query: str = "query_id",
        doc: str = "doc_id",
        relevance: str = "relevance",
    ) -> None:
        check_columns(frame, "qrels", [query, doc, relevance])
        if frame.empty:
            raise ValueError("qrels is empty: there is nothing to evaluate against")
        values = as_1d_float(frame[relevance], f"qrels column {relevance!r}")
        if not np.isfinite(values).all():
            raise ValueError(f"qrels column {relevance!r} holds an infinite relevance")
        query_ids = as_ids(frame[query], f"qrels column {query!r}")
        doc_ids = as_ids(frame[doc], f"qrels column {doc!r}")
        codes, queries = query_ids.factorize()
        # The best first within each query: the ideal ranking, and the order of all arrays here.
        order = np.lexsort((-values, codes))
        segments = Segments.from_lengths(np.bincount(codes))
        keys = doc_ids.keys()[order]
        doc_ids = IdColumn(doc_ids.name, doc_ids.kind, doc_ids.take(order), None)
        set_once = super().__setattr__
        set_once("_query_ids", queries)
        set_once("_queries", pd.Index(queries.distinct, name="query_id"))
        set_once("_docs", doc_ids)
        set_once("_keys", keys)
        set_once("_relevance", values[order])
        set_once("_segments", segments)
        check_unique_pairs(self._query_ids, segments, doc_ids, keys, "qrels")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Qrels is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Qrels is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[type[Qrels], tuple[pd.DataFrame]]:
        # Unpickling sets the slots one by one, which __setattr__ forbids: a copy is built anew.
        return Qrels, (self.to_frame(),)

    def __len__(self) -> int:
        return self._relevance.size

    def __repr__(self) -> str:
        levels, counts = np.unique(self._relevance, return_counts=True)
        if levels.size <= 6:
            spread = ", ".join(f"{lev:g}: {n:,}" for lev, n in zip(levels, counts, strict=True))
        else:
            spread = f"{levels[0]:g} to {levels[-1]:g}"
        return f"Qrels({len(self):,} judgements, {self.n_queries:,} queries, relevance {spread})"

    @property
    def n_queries(self) -> int:
        """Number of judged queries."""
        return len(self._queries)

    @property
    def queries(self) -> pd.Index[Any]:
        """The judged queries, in the order in which they first appear."""
        return self._queries

    def to_frame(self) -> pd.DataFrame:
        """Return the judgements as query_id, doc_id, relevance; by query, the best first."""
        labels = self._segments.labels()
        return pd.DataFrame(
            {
                "query_id": self._queries.to_numpy()[labels],
                "doc_id": self._docs.distinct,
                "relevance": self._relevance.copy(),
            }
        )


def check_unique_pairs(
    queries: IdColumn, segments: Segments, docs: IdColumn, keys: IntArray, name: str
) -> IntArray:
    """Return the rows in order of key within each query; raise if a (query, document) is double.

    Equal keys only point at suspects; the documents themselves decide.
    """
    order = segments.argsort(keys)
    ordered = keys[order]
    same = segments.equals_previous(ordered)
    if same.any():
        suspect = same | np.append(same[1:], False)
        labels = segments.labels()[suspect]
        pairs = pd.DataFrame({"query": labels, "doc": docs.take(order[suspect])})
        double = pairs.duplicated().to_numpy()
        if double.any():
            where: npt.NDArray[Any] = np.flatnonzero(double)[:1]
            query = queries.take(pairs["query"].to_numpy()[where])[0]
            raise ValueError(
                f"{name} holds {int(double.sum())} duplicate (query, document) pairs, "
                f"such as ({query!r}, {pairs['doc'].iloc[where[0]]!r})"
            )
    return order
