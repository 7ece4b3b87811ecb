"""Candidates on their way through a funnel: a frame in one fixed order, and whose rows they are.

A stage adds columns and takes rows away. Rows stand by query, in the order of the queries, and then
by rank, so that the candidates of a query are one stretch and a cut is a prefix of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._groups import Segments
from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_columns
from mlsd.funnel._runs import RUN_COLUMNS, as_ids, check_run, order_within, pair_at, read_order
from mlsd.funnel.topk import top_k

__all__ = ["COPY_ON_WRITE", "Batch", "best_rows", "head_rows", "lookup_columns", "read_requests"]


# From pandas 3 on a frame can share memory with what it was made of, safely.
COPY_ON_WRITE = int(pd.__version__.split(".")[0]) >= 3
_WORTH_SHARING = 50_000  # rows, below which copying is quicker than wrapping


def read_requests(queries: Any, *, least: int = 0) -> tuple[pd.DataFrame, pd.Index[Any]]:
    """Return the queries as a frame with query_id, and their ids; texts get positions as ids."""
    if isinstance(queries, pd.Series):
        queries = pd.DataFrame({"query_id": queries.index, "text": queries.to_numpy()})
    elif isinstance(queries, (list, tuple, np.ndarray, pd.Index)):
        queries = pd.DataFrame({"query_id": np.arange(len(queries)), "text": list(queries)})
    check_columns(queries, "queries", ["query_id"])
    if len(queries) < least:
        raise ValueError("queries is empty: there is nothing to measure")
    return queries.reset_index(drop=True), as_ids(queries["query_id"], "queries['query_id']")


class Batch:
    """The candidates of some queries: columns, kept apart until somebody wants a frame."""

    __slots__ = ("_shared", "codes", "columns", "lengths")

    columns: dict[str, Any]
    """query_id, doc_id, score, rank, and what the stages added, as arrays; not to be written to."""
    codes: IntArray
    """Which query each row is of: ascending positions in the queries."""
    lengths: IntArray
    """Candidates of each query; 0 counts."""

    def __init__(self, columns: dict[str, Any], codes: IntArray, lengths: IntArray) -> None:
        self.columns = columns
        self.codes = codes
        self.lengths = lengths
        self._shared: dict[str, pd.Series[Any]] | None = None

    @classmethod
    def from_run(cls, run: Any, query_ids: pd.Index[Any], name: str) -> Batch:
        """Return a run of a source or a re-ranker, checked and in order; ranks count from 1.

        Without a score the ranks order, without both the rows do; the score is then minus the
        rank, so that the rule of the package holds for what leaves the stage.
        """
        check_columns(run, name, ["query_id", "doc_id"])
        codes = np.asarray(query_ids.get_indexer(pd.Index(run["query_id"])), dtype=np.int64)
        if (codes < 0).any():
            strange = run["query_id"][codes < 0].iloc[0]
            raise ValueError(
                f"{name} holds {int((codes < 0).sum())} rows of queries that were not asked, "
                f"the first being {strange!r}"
            )
        docs = pd.Index(run["doc_id"])
        if len(query_ids) != 1 or docs.hasnans or not docs.is_unique:
            check_run(run, name, ())
        if "score" in run.columns:
            score, rank = read_order(run, name, codes)
        else:
            score = np.zeros(len(run))
            rank = np.arange(len(run), dtype=np.float64)
            if "rank" in run.columns:
                rank = as_floats(run["rank"], f"{name}['rank']")
        columns = {column: _array(run[column]) for column in run.columns}
        if not _in_order(codes, score, rank):
            order = order_within(codes, score, rank)
            columns = {column: values.take(order) for column, values in columns.items()}
            codes, score = codes[order], score[order]
        lengths = np.bincount(codes, minlength=len(query_ids))
        place = Segments.from_lengths(lengths).positions() + 1
        if "score" not in run.columns:
            score = -place.astype(np.float64)
        first = {name: columns[name] for name in ("query_id", "doc_id")}
        return cls(first | {"score": score, "rank": place} | _others(columns), codes, lengths)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def frame(self) -> pd.DataFrame:
        """The candidates as a new frame, which is the taker's own."""
        if not (COPY_ON_WRITE and len(self) > _WORTH_SHARING):
            return pd.DataFrame(self.columns)
        if self._shared is None:
            self._shared = {name: pd.Series(v, copy=False) for name, v in self.columns.items()}
        # Who writes to the frame gets a copy of what he writes to, as the series are kept.
        return pd.DataFrame(self._shared, copy=False)

    @property
    def score(self) -> FloatArray:
        """The column of scores."""
        score: FloatArray = self.columns["score"]
        return score

    @property
    def segments(self) -> Segments:
        """The stretch of rows of each query."""
        return Segments.from_lengths(self.lengths)

    def take(self, rows: IntArray) -> Batch:
        """Return some of the rows, in the order given, which must go by query; new ranks."""
        columns = {name: values.take(rows) for name, values in self.columns.items()}
        codes = self.codes[rows]
        lengths = np.bincount(codes, minlength=self.lengths.size)
        columns["rank"] = Segments.from_lengths(lengths).positions() + 1
        return Batch(columns, codes, lengths)

    def head(self, k: int | None) -> Batch:
        """Return the first `k` of each query."""
        if k is None or k >= self.lengths.max(initial=0):
            return self
        return self.take(head_rows(self.lengths, k))

    def with_column(self, name: str, values: npt.NDArray[Any]) -> Batch:
        """Return the batch with one more column, or that column anew."""
        return Batch(self.columns | {name: values}, self.codes, self.lengths)

    def bare(self) -> Batch:
        """Return how many candidates each query had, and nothing else."""
        return Batch({}, self.codes[:0], self.lengths)

    def without(self, names: list[str]) -> Batch:
        """Return the batch without some columns."""
        kept = {name: values for name, values in self.columns.items() if name not in names}
        return Batch(kept, self.codes, self.lengths)

    def rescored(self, score: FloatArray, k: int | None) -> Batch:
        """Return the `k` of each query with the highest scores; equal ones keep their order."""
        return self.with_column("score", score).take(best_rows(self.lengths, score, k))

    def rows_outside(self, other: Batch) -> IntArray:
        """Return the rows whose (query, document) pair is not in `other`."""
        docs = pd.concat([pd.Series(part.columns["doc_id"]) for part in (self, other)])
        doc, unique = pd.factorize(docs)
        keys = np.concatenate((self.codes, other.codes)) * max(len(unique), 1) + doc
        return np.flatnonzero(~np.isin(keys[: len(self)], keys[len(self) :]))

    def check_within(self, other: Batch, name: str) -> None:
        """Raise if a stage gave back a document that it was not given."""
        strange = self.rows_outside(other)
        if strange.size:
            raise ValueError(
                f"{name} gave back {strange.size} (query_id, doc_id) pairs that did not enter it, "
                f"the first being {pair_at(self.frame, int(strange[0]))}: a stage may only take "
                "documents away; a second source belongs into a Union"
            )


def _array(column: pd.Series[Any]) -> Any:
    """Return a column as a NumPy array, or as the extension array that it is."""
    return column.to_numpy() if isinstance(column.dtype, np.dtype) else column.array


def _others(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in columns.items() if name not in RUN_COLUMNS}


def _in_order(codes: IntArray, score: FloatArray, rank: FloatArray) -> bool:
    """Say whether the rows already go by query, falling score and rising rank."""
    step = np.diff(codes)
    if (step < 0).any():
        return False
    same = step == 0
    fall = np.diff(score)
    return not ((same & (fall > 0)).any() or (same & (fall == 0) & (np.diff(rank) < 0)).any())


def head_rows(lengths: IntArray, k: int) -> IntArray:
    """Return the first `k` rows of each stretch."""
    segments = Segments.from_lengths(lengths)
    found: IntArray = np.flatnonzero(segments.positions() < k)
    return found


def best_rows(lengths: IntArray, score: FloatArray, k: int | None) -> IntArray:
    """Return, stretch by stretch, the rows with the `k` highest scores, the highest first.

    Equal scores keep the order of the rows, at the cut too.
    """
    segments = Segments.from_lengths(lengths)
    wanted = lengths if k is None else np.minimum(lengths, k)
    out = np.empty(int(wanted.sum()), dtype=np.int64)
    starts = np.cumsum(wanted) - wanted
    for block in segments.blocks():
        matrix = block.spread(score, -np.inf)
        size = matrix.shape[1] if k is None else min(k, matrix.shape[1])
        places, _ = top_k(matrix, size)
        real = np.arange(size) < wanted[block.members, None]
        rows = segments.starts[block.members, None] + places
        at = starts[block.members, None] + np.arange(size)
        out[at[real]] = rows[real]
    return out


def lookup_columns(
    names: list[str],
    queries: pd.DataFrame,
    batch: Batch,
    items: pd.DataFrame | None,
    stage: str,
) -> pd.DataFrame:
    """Return named columns, one row a candidate: of the candidates, else the items or queries."""
    found: dict[str, Any] = {}
    where: IntArray | None = None
    for name in names:
        if name in batch.columns:
            found[name] = batch.columns[name]
        elif items is not None and name in items.columns:
            if where is None:
                where = _rows_of_items(items, batch, stage)
            found[name] = items[name].array.take(where)
        elif name in queries.columns:
            found[name] = queries[name].array.take(batch.codes)
        else:
            raise ValueError(
                f"stage {stage!r} asks for the column {name!r}, which neither the candidates "
                f"{list(batch.columns)} nor the items nor the queries have"
            )
    return pd.DataFrame(found)


def _rows_of_items(items: pd.DataFrame, batch: Batch, stage: str) -> IntArray:
    """Return where the items hold each candidate, or raise if they lack one."""
    docs = pd.Index(batch.columns["doc_id"])
    where = np.asarray(items.index.get_indexer(docs), dtype=np.int64)
    if (where < 0).any():
        raise ValueError(
            f"items lacks {int((where < 0).sum())} of the {len(batch)} candidates of stage "
            f"{stage!r}, the first being {docs[where < 0].tolist()[0]!r}"
        )
    return where
