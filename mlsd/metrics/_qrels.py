"""Relevance judgements, checked and indexed once, used for many runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsd._groups import Segments
from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray
from mlsd.metrics._ids import as_ids
from mlsd.metrics._match import Judgements, check_unique_pairs

__all__ = ["Gain", "Qrels", "check_max_rel", "gains"]

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
        by_level = as_floats([gain[lev] if lev >= 0 else 0.0 for lev in levels], "gain")
        if not (np.isfinite(by_level).all() and (by_level >= 0).all()):
            raise ValueError(f"gain must map to finite numbers of at least 0; got {dict(gain)}")
        return by_level[which]
    raise ValueError(f"gain must be 'linear', 'exp2' or a mapping; got {gain!r}")


def check_max_rel(max_rel: float | None, relevance: FloatArray, name: str) -> float:
    """Return the highest grade: the one given, if no relevance is above it, or the one there is."""
    largest = float(relevance.max())
    if max_rel is None:
        return max(largest, 0.0)
    number = isinstance(max_rel, int | float | np.integer | np.floating)
    if not number or isinstance(max_rel, bool):
        raise TypeError(f"max_rel must be a number; got {max_rel!r} ({type(max_rel).__name__})")
    if not 0 < max_rel < np.inf:
        raise ValueError(f"max_rel must be above 0 and finite; got {max_rel!r}")
    if largest > max_rel:
        raise ValueError(f"{name} holds the relevance {largest:g}, above max_rel {max_rel!r}")
    return float(max_rel)


class Qrels:
    """Relevance judgements of (query, document) pairs: immutable, checked, ready for many runs.

    Identifiers are strings or integers, or categoricals of them. Hashing them is most of the cost
    of an evaluation: build one ``Qrels`` and use it for every run.

    Parameters
    ----------
    frame : DataFrame
        One row a judged pair: a table of pandas, polars or pyarrow. Other columns are ignored, and
        so is a pandas index; the table is never changed.
    query, doc, relevance : str
        Names of the columns. Relevance is a finite number: 0 is "judged, not relevant", larger is
        better, and a negative one has gain 0 (trec_eval's "harmful" or "spam").

    Raises
    ------
    TypeError
        If `frame` is not such a table, or a column is neither strings nor integers.
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

    __slots__ = ("_judged", "_queries", "_relevance")

    _judged: Judgements
    _queries: pd.Index[Any]
    _relevance: FloatArray

    def __init__(
        self,
        frame: Any,
        *,
        query: str = "query_id",
        doc: str = "doc_id",
        relevance: str = "relevance",
    ) -> None:
        table = as_pandas(frame, "qrels", [query, doc, relevance])
        if table.empty:
            raise ValueError("qrels is empty: there is nothing to evaluate against")
        values = as_floats(table[relevance], f"qrels column {relevance!r}")
        if not np.isfinite(values).all():
            raise ValueError(f"qrels column {relevance!r} holds an infinite relevance")
        query_ids = as_ids(table[query], f"qrels column {query!r}")
        docs = as_ids(table[doc], f"qrels column {doc!r}").settled()
        codes, lengths, queries = query_ids.factorize()
        labels = np.repeat(codes, lengths)
        # The best first within each query: the ideal ranking, and the order of all arrays here.
        order = np.lexsort((-values, labels))
        segments = Segments.from_lengths(np.bincount(labels))
        keys = docs.keys()[order]
        docs = docs.take(order)
        check_unique_pairs(queries, segments, docs, keys, "qrels")
        set_once = super().__setattr__
        set_once("_judged", Judgements(queries, queries.keys(), segments, docs, keys))
        set_once("_queries", pd.Index(queries.decode(), name="query_id"))
        set_once("_relevance", values[order])

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
        labels = self._judged.segments.labels()
        return pd.DataFrame(
            {
                "query_id": self._queries.to_numpy()[labels],
                "doc_id": np.array(self._judged.docs.decode()),
                "relevance": self._relevance.copy(),
            }
        )
