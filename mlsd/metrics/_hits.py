"""Where the judged documents of each query stand in its ranking: all that a metric needs to know.

A run is a thousand documents a query and a handful of them judged. So the scores are sorted without
their documents; only the judged few are marked, and found again in the sorted scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlsd._groups import Segments, positions_in_runs
from mlsd._types import BoolArray, FloatArray, IntArray

__all__ = [
    "Hits",
    "Options",
    "Places",
    "TieGroups",
    "first_hit_probability",
    "locate",
    "settle_ties",
]

_PAD = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Options:
    """What the metrics can be told beside the cut-off."""

    normalize: str = "R"
    """Average precision at k: over "R" or "min(R,k)"."""
    max_rel: float = 0.0
    """Expected reciprocal rank: the relevance that satisfies a user almost surely."""
    p: float = 0.8
    """Rank-biased precision: the chance that the user goes on to the next document."""


@dataclass(frozen=True)
class TieGroups:
    """The groups of equal scores that hold a relevant document, best first within each query."""

    query: IntArray
    above: IntArray
    """Documents with a higher score (g)."""
    tied: IntArray
    """Documents in the group, relevant or not (e)."""
    relevant: IntArray
    """Relevant documents in the group (r)."""
    relevant_before: IntArray
    """Relevant documents with a higher score (p)."""


@dataclass(frozen=True)
class Hits:
    """The judged documents that were retrieved, by query and then by place, and the ideal ranking.

    A document with `above` others strictly before it and `tied` in its group of equal scores
    (itself included) takes each of the places ``above + 1 ... above + tied`` equally often.
    """

    n_queries: int
    n_shown: IntArray
    n_relevant: IntArray
    query: IntArray
    above: IntArray
    tied: IntArray
    relevance: FloatArray
    gain: FloatArray
    relevant: BoolArray
    best: FloatArray
    """The largest relevance among the judgements of each query."""
    ideal_query: IntArray
    ideal_place: IntArray
    ideal_gain: FloatArray

    @cached_property
    def groups(self) -> TieGroups:
        """The tie groups with at least one relevant document."""
        query, above = self.query[self.relevant], self.above[self.relevant]
        new = np.ones(query.size, dtype=np.bool_)
        new[1:] = (query[1:] != query[:-1]) | (above[1:] != above[:-1])
        first = np.flatnonzero(new)
        hits_of_query = np.bincount(query, minlength=self.n_queries)
        before_query = np.cumsum(hits_of_query) - hits_of_query
        return TieGroups(
            query=query[first],
            above=above[first],
            tied=self.tied[self.relevant][first],
            relevant=np.diff(np.append(first, query.size)),
            relevant_before=first - before_query[query[first]],
        )

    def sum_by_query(self, query: IntArray, values: FloatArray) -> FloatArray:
        """Return the sum of `values` for each query."""
        sums = np.bincount(query, weights=values, minlength=self.n_queries)
        return sums.astype(np.float64, copy=False)


def first_hit_probability(tied: IntArray, relevant: IntArray) -> FloatArray:
    """Return, group after group, the chance that place i = 1..e holds the group's first hit.

    That is ``binom(e - i, r - 1) / binom(e, r)``, as a running product of
    ``(e - i - r + 1) / (e - i)``, which neither overflows nor cancels.
    """
    groups = Segments.from_lengths(tied)
    result = np.empty(groups.n_rows)
    for block in groups.blocks():
        e, r = tied[block.members, None], relevant[block.members, None]
        i = np.arange(1, block.width)
        ratio = np.maximum(e - i - r + 1, 0) / np.maximum(e - i, 1)
        chance = np.cumprod(np.concatenate((r / e, ratio), axis=1), axis=1)
        result[block.rows] = block.flatten(chance)
    return result


@dataclass(frozen=True, slots=True)
class Places:
    """Where chosen rows stand in the order of the scores; by query, and then by place."""

    query: IntArray
    label: IntArray
    """The label that was given to the row."""
    above: IntArray
    """Rows of the query with a higher score."""
    tied: IntArray
    """Rows of the query with this score, the row itself included."""
    tied_fraction: float
    """Of all rows, the share whose score is not unique in its query."""


def locate(run: Segments, scores: FloatArray, rows: IntArray, labels: IntArray) -> Places:
    """Find the places of the chosen `rows` of a run; `labels` tell those of one query apart.

    A score becomes an integer of the same order. Its lowest bits give way to the label, one sort of
    the rows of a matrix follows, and the labels stand where their rows stand. Scores that differ in
    the lowest bits alone, and so seem equal there, are settled by a sort of all bits.
    """
    bits = (int(labels.max(initial=0)) + 1).bit_length()
    low = np.int64((1 << bits) - 1)
    payload = np.zeros(scores.size, dtype=np.int32 if bits < 32 else np.int64)
    payload[rows] = labels + 1
    found, n_tied = [], 0
    for block in run.blocks():
        chosen = block.spread(payload, 0)
        exact = _falling(block.spread(scores, 0.0))
        if block.inside is not None:
            exact[~block.inside] = _PAD & ~low
        ordered = exact & ~low
        ordered |= chosen
        ordered.sort(axis=1)
        chosen_at = np.flatnonzero((ordered & low) != 0)
        row, column = np.divmod(chosen_at, block.width)
        label = (ordered.ravel()[chosen_at] & low) - 1
        again = (ordered[:, 1:] ^ ordered[:, :-1]).view(np.uint64) <= np.uint64(low)
        if block.inside is not None:
            again &= block.inside[:, 1:]
        if again.any():
            above, end = _group_bounds(again, chosen_at)
            crowded = np.flatnonzero(again.any(axis=1))
            if (exact[crowded] & low).any():
                above, end, again = _settle(
                    exact, again, crowded, chosen, row, chosen_at, label, above, end
                )
            first = again.copy()
            first[:, 1:] &= ~again[:, :-1]
            n_tied += int(np.count_nonzero(again)) + int(np.count_nonzero(first))
            above, tied = above - row * block.width, end - above
        else:
            above, tied = column, np.ones_like(column)
        found.append((block.members[row], label, above, tied))
    none = np.zeros(0, dtype=np.int64)
    query, label, above, tied = map(np.concatenate, zip(*found or [(none,) * 4], strict=True))
    same = query[1:] == query[:-1]
    if (query[1:] < query[:-1]).any() or (same & (above[1:] < above[:-1])).any():
        # Blocks of like length leave the order, and so do scores that seemed equal at first.
        order = np.lexsort((above, query))
        query, label, above, tied = query[order], label[order], above[order], tied[order]
    return Places(query, label, above, tied, n_tied / max(scores.size, 1))


def _falling(scores: FloatArray) -> IntArray:
    """Return integers that rise as the scores fall, equal for equal scores; uses their memory."""
    np.subtract(0.0, scores, out=scores)  # 0.0 - 0.0 and 0.0 - (-0.0) are the same zero
    bits = scores.view(np.int64)
    bits ^= (bits >> 63) & _PAD
    return bits


def _group_bounds(again: BoolArray, at: IntArray) -> tuple[IntArray, IntArray]:
    """Return the flat bounds of the groups of equals that hold the flat entries `at`."""
    new = np.ones((again.shape[0], again.shape[1] + 1), dtype=np.bool_)
    np.logical_not(again, out=new[:, 1:])
    starts = np.append(np.flatnonzero(new), new.size)
    group = np.cumsum(new)[at]
    return starts[group - 1], starts[group]


def _settle(
    exact: IntArray,
    again: BoolArray,
    crowded: IntArray,
    chosen: IntArray,
    row: IntArray,
    at: IntArray,
    label: IntArray,
    start: IntArray,
    end: IntArray,
) -> tuple[IntArray, IntArray, BoolArray]:
    """Return the bounds of the groups that are equal in all bits, and which entries repeat."""
    width = exact.shape[1]
    ordered = np.sort(exact[crowded], axis=1)
    again = again.copy()
    # Where the upper bits differ, all bits do: no new equals, and none among the padding.
    again[crowded] &= ordered[:, 1:] == ordered[:, :-1]
    start_now, end_now = _group_bounds(again, at)
    moved = np.flatnonzero((start_now != start) | (end_now != end))
    if moved.size:
        # Row and label lead back to where an entry came from, and so to all bits of its score.
        rows = np.unique(row[moved])
        r, column = np.nonzero(chosen[rows])
        came_from = rows[r] * (int(label.max()) + 1) + chosen[rows[r], column] - 1
        order = np.argsort(came_from)
        wanted = row[moved] * (int(label.max()) + 1) + label[moved]
        origin = order[np.searchsorted(came_from[order], wanted)]
        needles = exact[rows[r[origin]], column[origin]]
        within = np.searchsorted(crowded, row[moved])
        lists = Segments.from_lengths(np.full(crowded.size, width))
        flat, shift = ordered.ravel(), (row[moved] - within) * width
        start_now[moved] = lists.searchsorted(flat, within, needles) + shift
        end_now[moved] = lists.searchsorted(flat, within, needles, right=True) + shift
    return start_now, end_now, again


def settle_ties(
    places: Places,
    run: Segments,
    scores: FloatArray,
    rows: IntArray,
    relevance: FloatArray,
    ties: str,
    doc_order: Callable[[IntArray], IntArray | FloatArray] | None = None,
) -> tuple[IntArray, IntArray]:
    """Return `above` and `tied` of the places under a rule for ties; with "average" as they are.

    `rows` and `relevance` belong to the places. `doc_order` gives numbers to some rows of the
    run, the smallest to the one that goes first.
    """
    within = np.flatnonzero(places.tied > 1)
    if ties == "average" or not within.size:
        return places.above, places.tied
    query, above = places.query[within], places.above.copy()
    if ties == "worst":
        above[within] = _place_last(query, above[within], places.tied[within], relevance[within])
    else:
        above[within] = _place_by(run, scores, query, rows[within], doc_order)
    return above, np.ones_like(above)


def _place_last(
    query: IntArray, above: IntArray, tied: IntArray, relevance: FloatArray
) -> IntArray:
    """Unjudged documents first, then the judged ones, the least relevant first."""
    order = np.lexsort((relevance, above, query))
    new = np.ones(order.size, dtype=np.bool_)
    new[1:] = (np.diff(query[order]) != 0) | (np.diff(above[order]) != 0)
    judged = np.diff(np.append(np.flatnonzero(new), order.size))
    place = np.empty_like(above)
    place[order] = (above + tied)[order] - np.repeat(judged, judged) + positions_in_runs(judged)
    return place


def _place_by(
    run: Segments,
    scores: FloatArray,
    query: IntArray,
    rows: IntArray,
    doc_order: Callable[[IntArray], IntArray | FloatArray] | None,
) -> IntArray:
    """Rank again, with a second key, only the queries in which a judged document is tied."""
    affected = np.flatnonzero(np.bincount(query))
    part = Segments.from_lengths(run.lengths[affected])
    subset = part.positions() + np.repeat(run.starts[affected], part.lengths)
    labels, descending = part.labels(), -scores[subset]
    order = np.lexsort((descending, labels))  # stable: equal scores stay in the order of the rows
    if doc_order is not None:
        # Ordering identifiers is slow: only those of rows that are tied.
        first, second = order[:-1], order[1:]
        same = (descending[first] == descending[second]) & (labels[first] == labels[second])
        is_tied = np.zeros(subset.size, dtype=np.bool_)
        is_tied[first[same]] = is_tied[second[same]] = True
        tied = np.flatnonzero(is_tied)
        doc_code = np.zeros(subset.size)
        doc_code[tied] = doc_order(subset[tied])
        order = np.lexsort((doc_code, descending, labels))
    place = np.empty(subset.size, dtype=np.int64)
    place[order] = part.positions()
    at = rows - run.starts[query] + part.starts[np.searchsorted(affected, query)]
    found: IntArray = place[at]
    return found
