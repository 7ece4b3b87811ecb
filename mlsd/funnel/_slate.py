"""What all greedy re-rankers share: candidates by query, blocks of queries, the slate as a frame.

A greedy pick goes step by step, but all queries of a block take a step together. Their candidates
are the rows of a padded matrix, the most relevant first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_positive_int
from mlsd.funnel._runs import RUN_COLUMNS, check_run, rank_within, read_order

# Numbers held at once for a block of queries: 4 MB of float64, which a cache can hold.
_BLOCK_NUMBERS = 500_000

Picks = tuple[IntArray, IntArray, IntArray, FloatArray]


@dataclass(frozen=True, slots=True)
class Candidates:
    """A checked run, and its rows by query in the order of relevance."""

    frame: pd.DataFrame
    k: int
    """Size of the slate."""
    query: IntArray
    """Number of the query of every row, in order of first appearance."""
    order: IntArray
    """The rows, by query and then from the most relevant."""
    relevance: FloatArray
    """From 0 to 1, along `order`."""
    sizes: IntArray
    """Candidates of every query."""
    starts: IntArray
    """Where those of every query begin in `order`."""

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return self.sizes.size

    def places(self) -> IntArray:
        """Return the place of every row among those of its query, from 0."""
        place = np.empty(len(self.frame), dtype=np.int64)
        place[self.order] = rank_within(self.query[self.order]) - 1
        return place

    def padded(self, block: IntArray, weight: float) -> tuple[IntArray, FloatArray]:
        """Return places in `order` and weighted relevance, a row a query; padding has -inf."""
        column = np.arange(int(self.sizes[block].max()))
        real = column < self.sizes[block, None]
        at = np.where(real, self.starts[block, None] + column, self.starts[block, None])
        return at, np.where(real, weight * self.relevance[at], -np.inf)

    def picks(self, block: IntArray, picked: IntArray, worth: FloatArray) -> Picks:
        """Return query, place, row and worth of what was picked, without what is padding."""
        line, place = np.nonzero(np.arange(picked.shape[1]) < self.sizes[block, None])
        rows = self.order[self.starts[block][line] + picked[line, place]]
        return block[line], place, rows, worth[line, place]


def prepare(run: Any, k: int | None, name: str = "run") -> Candidates:
    """Check a run and put its rows in order; without `k` the slate is all of them."""
    if isinstance(run, pd.DataFrame) and not run.columns.is_unique:
        again = run.columns[run.columns.duplicated()].unique().tolist()
        raise ValueError(f"{name} has several columns of the name {again}")
    frame = check_run(run, name)
    k = len(frame) if k is None else check_positive_int(k, "k")
    query: IntArray = pd.factorize(frame["query_id"])[0]
    score, rank = read_order(frame, name, query)
    sizes = np.bincount(query)
    order = _relevance_order(query, score, rank)
    ordered, ends = score[order], np.cumsum(sizes)
    starts = ends - sizes
    low, high = ordered[ends - 1], ordered[starts]
    with np.errstate(over="ignore"):
        width = high - low
    if (width == np.inf).any():
        raise ValueError(
            f"{name}['score'] goes from {low.min():g} to {high.max():g}: too far apart"
        )
    unit = (ordered - np.repeat(low, sizes)) / np.repeat(np.where(width > 0, width, 1.0), sizes)
    relevance = np.where(np.repeat(width > 0, sizes), unit, 1.0)
    return Candidates(frame, k, query, order, relevance, sizes, starts)


def _relevance_order(query: IntArray, score: FloatArray, rank: FloatArray) -> IntArray:
    """Return the rows by query, then score from the highest, then rank, then row."""
    first, then = slice(None, -1), slice(1, None)
    better = (score[first] > score[then]) | (
        (score[first] == score[then]) & (rank[first] <= rank[then])
    )
    if ((query[first] < query[then]) | ((query[first] == query[then]) & better)).all():
        return np.arange(query.size)  # runs mostly come in order: a tenth of the time of sorting
    return np.lexsort((rank, -score, query))


def blocks(sizes: IntArray, n_numbers: int) -> list[IntArray]:
    """Group queries of like size, so that `n_numbers` a candidate fit in `_BLOCK_NUMBERS`."""
    largest_first = np.argsort(-sizes, kind="stable")
    found = []
    start = 0
    while start < sizes.size:
        room = _BLOCK_NUMBERS // (int(sizes[largest_first[start]]) * n_numbers)
        found.append(largest_first[start : start + max(room, 1)])
        start += max(room, 1)
    return found


def assemble(candidates: Candidates, picks: Iterable[Picks]) -> pd.DataFrame:
    """Return the picks of all blocks as a run, with the other columns behind."""
    frame = candidates.frame
    none: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    parts = [*picks, (none, none, none, np.zeros(0))]
    query, place, rows, worth = (np.concatenate(part) for part in zip(*parts, strict=True))
    back = np.lexsort((place, query))
    rows = rows[back]
    columns = {name: frame[name].array.take(rows) for name in frame.columns}
    columns |= {"score": worth[back], "rank": place[back] + 1}
    others = [name for name in frame.columns if name not in RUN_COLUMNS]
    slate = pd.DataFrame({name: columns[name] for name in (*RUN_COLUMNS, *others)}, copy=False)
    slate.attrs = frame.attrs
    return slate
