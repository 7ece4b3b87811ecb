"""Which judged documents a run holds, and whether it holds a document twice.

Per query, the keys of the documents of the run and of the judgements are sorted together, each with
its position in the lowest bits: what is equal ends up side by side. Equal keys only point at
suspects; the identifiers themselves decide.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._groups import Block, Segments, group_rows
from mlsd._types import FloatArray, IntArray
from mlsd.metrics._ids import IdColumn, check_same_kind, match_distinct

__all__ = ["Judgements", "Match", "check_unique_pairs", "match"]

# Up to this many documents of a query, keys of 32 bits do: they sort twice as fast, and leave a few
# thousandths of the documents suspect.
_NARROW = 2048
_UPPER = int(sys.byteorder == "little")


@dataclass(frozen=True, slots=True)
class Judgements:
    """Judged pairs, the documents of a query together."""

    queries: IdColumn
    """The judged queries, each once; segment i is of query i."""
    query_keys: IntArray
    segments: Segments
    docs: IdColumn
    keys: IntArray


@dataclass(frozen=True, slots=True)
class Match:
    """A run, in the order of the judged queries, and its judged rows."""

    segments: Segments
    """Rows of each judged query; none where the run lacks it."""
    scores: FloatArray
    docs: IdColumn
    judgements: IntArray
    """Judgements that were retrieved."""
    rows: IntArray
    """The row of the run of each of them."""
    order: IntArray | None
    """The row of the frame of each row here; None: the same."""
    unjudged_queries: int
    """Queries of the run without judgements, whose rows are left out."""


def match(judged: Judgements, queries: IdColumn, docs: IdColumn, scores: FloatArray) -> Match:
    """Find the judged documents in the run, and raise if a document is there twice."""
    check_same_kind(judged.queries, queries)
    check_same_kind(judged.docs, docs)
    codes, lengths, distinct = queries.factorize()
    known = match_distinct(distinct, judged.queries, judged.query_keys)
    unjudged = int((known < 0).sum())
    if unjudged and unjudged == known.size:
        raise ValueError(
            f"none of the {unjudged} queries of the run is judged: the run has "
            f"{distinct.decode()[0]!r}, qrels has {judged.queries.decode()[0]!r}"
        )
    n_queries = len(judged.queries)
    docs = docs.settled()
    keys, order = docs.keys(), None
    query = known[codes]
    if unjudged or (query[1:] <= query[:-1]).any():
        order, segments = _order_by_query(query, lengths, n_queries)
        keys, scores, docs = keys[order], scores[order], docs.take(order)
    else:
        by_query = np.zeros(n_queries, dtype=np.int64)
        by_query[query] = lengths
        segments = Segments.from_lengths(by_query)
    rows, judgements = _same_documents(judged, segments, docs, keys)
    return Match(
        segments=segments,
        scores=scores,
        docs=docs,
        judgements=judgements,
        rows=rows,
        order=order,
        unjudged_queries=unjudged,
    )


def _order_by_query(
    query: IntArray, lengths: IntArray, n_queries: int
) -> tuple[IntArray, Segments]:
    """Return the rows of the stretches by query, in their old order, without those of query -1."""
    stretches, groups = group_rows(query + 1, n_queries + 1)
    stretches = stretches[groups.lengths[0] :]
    by_query = np.bincount(
        query[stretches], weights=lengths[stretches], minlength=n_queries
    ).astype(np.int64)
    rows = Segments.from_lengths(lengths).rows(stretches)
    if isinstance(rows, slice):
        rows = np.arange(rows.start, rows.stop)
    return rows, Segments.from_lengths(by_query)


def check_unique_pairs(
    queries: IdColumn, segments: Segments, docs: IdColumn, keys: IntArray, name: str
) -> None:
    """Raise if a (query, document) is there twice."""
    none = Segments.from_lengths(np.zeros(len(segments), dtype=np.int64))
    found = _neighbours(segments, none, keys, keys[:0])
    _refuse_doubles(queries, segments, docs, found, name)


def _same_documents(
    judged: Judgements, segments: Segments, docs: IdColumn, keys: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the rows of the run whose document is judged, and the judgement of each."""
    found = _neighbours(segments, judged.segments, keys, judged.keys)
    _refuse_doubles(judged.queries, segments, docs, found, "run")
    rows, judgements = found.rows, found.judgements
    same = docs.equal(rows, judged.docs, judgements)
    if not same.all():
        rows, judgements = rows[same], judgements[same]
    if found.crowd.size and found.judged_crowd.size:
        # Three or more share a key: match them by what they are, not by where they stand.
        of_pair = dict(
            zip(
                _pairs(judged.segments, judged.docs, found.judged_crowd),
                found.judged_crowd.tolist(),
                strict=True,
            )
        )
        crowd = zip(_pairs(segments, docs, found.crowd), found.crowd.tolist(), strict=True)
        both = [(row, of_pair[pair]) for pair, row in crowd if pair in of_pair]
        more = np.array(both, dtype=np.int64).reshape(-1, 2)
        rows = np.concatenate((rows, more[:, 0]))
        judgements = np.concatenate((judgements, more[:, 1]))
    return rows, judgements


def _pairs(segments: Segments, docs: IdColumn, rows: IntArray) -> list[tuple[int, Any]]:
    """Return (query, document) of some rows; a slow way, for the few that share a key."""
    labels, identifiers = segments.segment_of(rows), docs.take(rows).decode()
    return list(zip(labels.tolist(), identifiers.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """Who shares a key with whom within a query: suspects, until their identifiers are compared."""

    rows: IntArray
    judgements: IntArray
    """Pairs of one row of the run and one judgement."""
    twins: IntArray
    other_twins: IntArray
    """Pairs of rows of the run."""
    crowd: IntArray
    judged_crowd: IntArray
    """Rows and judgements that share a key with two or more others."""


def _neighbours(
    run: Segments, judged: Segments, keys: IntArray, judged_keys: IntArray
) -> _Neighbours:
    both = Segments.from_lengths(np.where(run.lengths > 0, run.lengths + judged.lengths, 0))
    none = np.zeros(0, dtype=np.int64)
    found = []
    for block in both.blocks():
        narrow = block.width <= _NARROW
        kind: Any = np.int32 if narrow else np.int64
        low = kind((1 << max(block.width - 1, 1).bit_length()) - 1)
        matrix = _merged(block, run, judged, keys, judged_keys, kind)
        matrix &= ~low
        matrix |= np.arange(block.width, dtype=kind)
        if block.inside is not None:
            matrix[~block.inside] = np.iinfo(kind).max
        matrix.sort(axis=1)
        same = (matrix[:, 1:] ^ matrix[:, :-1]).view(np.uint32 if narrow else np.uint64) <= low
        if block.inside is not None:
            same &= block.inside[:, 1:]
        at = np.flatnonzero(same)
        row, column = np.divmod(at, max(block.width - 1, 1))
        first = (matrix[row, column] & low).astype(np.int64)
        second = (matrix[row, column + 1] & low).astype(np.int64)
        members = block.members[row]
        # The run comes first in the matrix, and so among equals.
        n_run, run_start = run.lengths[members], run.starts[members]
        judged_start = judged.starts[members] - n_run
        # Three with one key are two neighbouring pairs.
        chained = (at[1:] == at[:-1] + 1) & (row[1:] == row[:-1])
        crowded = np.zeros(at.size, dtype=np.bool_)
        crowded[1:] = chained
        crowded[:-1] |= chained
        both_run, any_run = second < n_run, first < n_run
        pair, twins = any_run & ~both_run & ~crowded, both_run & ~crowded
        sides = ((first, any_run), (second, both_run))
        found.append(
            (
                (run_start + first)[pair],
                (judged_start + second)[pair],
                (run_start + first)[twins],
                (run_start + second)[twins],
                *[(run_start + place)[crowded & in_run] for place, in_run in sides],
                *[(judged_start + place)[crowded & ~in_run] for place, in_run in sides],
            )
        )
    columns = zip(*found, strict=True) if found else [(none,)] * 8
    rows, judgements, twins, other, *crowds = map(np.concatenate, columns)
    return _Neighbours(
        rows,
        judgements,
        twins,
        other,
        np.unique(np.concatenate(crowds[:2])),
        np.unique(np.concatenate(crowds[2:])),
    )


def _merged(
    block: Block,
    run: Segments,
    judged: Segments,
    keys: IntArray,
    judged_keys: IntArray,
    kind: type[np.signedinteger[Any]],
) -> npt.NDArray[Any]:
    """Return the upper bits of the keys of the run, and then of the judgements, one query a row."""
    n_run = run.lengths[block.members]
    of_run, of_judged = keys[run.rows(block.members)], judged_keys[judged.rows(block.members)]
    if kind is np.int32:
        of_run, of_judged = of_run.view(np.int32)[_UPPER::2], of_judged.view(np.int32)[_UPPER::2]
    if block.inside is None and (n_run == n_run[0]).all():
        n, cut = block.members.size, int(n_run[0])
        matrix = np.empty((n, block.width), dtype=kind)
        matrix[:, :cut] = of_run.reshape(n, cut)
        matrix[:, cut:] = of_judged.reshape(n, block.width - cut)
        return matrix
    matrix = np.zeros((block.members.size, block.width), dtype=kind)
    in_run = np.arange(block.width) < n_run[:, None]
    matrix[in_run] = of_run
    matrix[~in_run if block.inside is None else block.inside & ~in_run] = of_judged
    return matrix


def _refuse_doubles(
    queries: IdColumn, segments: Segments, docs: IdColumn, found: _Neighbours, name: str
) -> None:
    same = docs.equal(found.twins, docs, found.other_twins)
    suspects = np.concatenate((found.twins[same], found.other_twins[same], found.crowd))
    pairs = _pairs(segments, docs, suspects) if suspects.size else []
    n_double = len(pairs) - len(set(pairs))
    if n_double:
        counts = Counter(pairs)
        query, doc = next(pair for pair in pairs if counts[pair] > 1)
        raise ValueError(
            f"{name} holds {n_double} duplicate (query, document) pairs, "
            f"such as ({queries.take(np.array([query])).decode()[0]!r}, {doc!r})"
        )
