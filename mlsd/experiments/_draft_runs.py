"""Two run frames as padded matrices of the positions of their documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._groups import Segments
from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd._validation import check_rank_follows_score

__all__ = ["Lists", "RunPair", "factorize_together", "refuse_repeats"]


@dataclass(frozen=True, slots=True)
class Lists:
    """The documents of every query of one run, best first, laid end to end."""

    docs: IntArray
    segments: Segments

    def matrix(self, queries: IntArray) -> IntArray:
        """Return the lists of these queries as rows, -1 after their end."""
        lengths = self.segments.lengths[queries]
        matrix = np.full((queries.size, int(lengths.max(initial=0))), -1, dtype=np.int64)
        inside = np.arange(matrix.shape[1]) < lengths[:, None]
        matrix[inside] = self.docs[self.segments.rows(queries)]
        return matrix


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two runs over the same codes of queries and documents."""

    a: Lists
    b: Lists
    queries: AnyArray
    docs: AnyArray

    @classmethod
    def read(cls, ranking_a: Any, ranking_b: Any, k: int | None) -> RunPair:
        """Return both runs cut to their first `k` documents, or raise naming the argument."""
        names = "ranking_a", "ranking_b"
        frames = [
            _frame(run, name) for run, name in zip((ranking_a, ranking_b), names, strict=True)
        ]
        queries, query = factorize_together([f["query_id"] for f in frames], names, "query_id")
        docs, doc = factorize_together([f["doc_id"] for f in frames], names, "doc_id")
        lists = []
        for frame, name, q, d in zip(frames, names, query, doc, strict=True):
            refuse_repeats(q, d, frame, name)
            order = np.lexsort((*_keys(frame, name, q), q))
            segments = Segments.from_lengths(np.bincount(q, minlength=queries.size))
            ordered = d[order]
            if k is not None:
                keep = segments.positions() < k
                ordered, segments = ordered[keep], segments.select(keep)
            lists.append(Lists(ordered, segments))
        return cls(lists[0], lists[1], queries, docs)

    def in_both(self) -> IntArray:
        """Return the queries that have documents in both runs."""
        found: IntArray = np.flatnonzero(
            (self.a.segments.lengths > 0) & (self.b.segments.lengths > 0)
        )
        return found

    def size_classes(self) -> Iterator[IntArray]:
        """Yield the queries of both runs, those of like length together: little is padding."""
        queries = self.in_both()
        longest = np.maximum(self.a.segments.lengths, self.b.segments.lengths)[queries]
        classes = np.frexp(longest - 0.5)[1]
        for size in np.unique(classes):
            yield queries[classes == size]


def factorize_together(
    columns: list[Any], names: tuple[str, ...], column: str
) -> tuple[AnyArray, list[IntArray]]:
    """Return the distinct identifiers of several columns in order of appearance, and their codes.

    Integers in one column and strings in another are refused: 7 is never "7".
    """
    kinds = {}
    for name, values in zip(names, columns, strict=True):
        missing = int(values.isna().sum())
        if missing:
            raise ValueError(f"{name}[{column!r}] holds {missing} missing among {len(values)}")
        kind = pd.api.types.infer_dtype(values, skipna=False) if len(values) else ""
        if kind in ("integer", "string"):
            kinds[name] = kind
    if len(set(kinds.values())) > 1:
        listed = " and ".join(f"{name}[{column!r}] holds {kind}s" for name, kind in kinds.items())
        raise TypeError(f"{listed}, so no identifier can match: convert one of them")
    codes, distinct = pd.factorize(pd.concat(columns, ignore_index=True))
    ends = np.cumsum([len(values) for values in columns])[:-1]
    parts = [part.astype(np.int64) for part in np.split(np.asarray(codes), ends)]
    return np.asarray(distinct), parts


def refuse_repeats(query: IntArray, doc: IntArray, frame: Any, name: str) -> None:
    """Raise ValueError if a document stands twice in the list of a query."""
    order = np.lexsort((doc, query))
    same = (np.diff(query[order]) == 0) & (np.diff(doc[order]) == 0)
    if same.any():
        at = int(order[int(np.argmax(same)) + 1])
        row = [frame[column].tolist()[at] for column in ("query_id", "doc_id")]
        raise ValueError(
            f"{name} holds {int(same.sum())} repeated (query_id, doc_id) pairs, such as "
            f"{tuple(row)}"
        )


def _frame(run: Any, name: str) -> pd.DataFrame:
    order = [column for column in ("score", "rank") if column in list(run.columns)]
    if not order:
        raise ValueError(f"{name} needs a column score or rank; it has {list(run.columns)}")
    return as_pandas(run, name, ["query_id", "doc_id", *order])


def _keys(frame: pd.DataFrame, name: str, query: IntArray) -> list[FloatArray]:
    """Return the keys of the order inside a query, the weakest first: score, then rank."""
    keys = []
    if "rank" in frame.columns:
        keys.append(as_floats(frame["rank"], f"{name}['rank']"))
    if "score" in frame.columns:
        score = as_floats(frame["score"], f"{name}['score']")
        if keys:
            check_rank_follows_score(query, score, keys[0], name)
        keys.append(-score)
    return keys
