"""Where the judged documents of each query stand in its ranking: all that a metric needs to know.

A run is a thousand documents a query and a handful of them judged. So the scores are sorted without
their documents, and the ranks of the judged few are found by binary search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mlsd._groups import BoolArray, FloatArray, IntArray, Segments, positions_in_runs

__all__ = ["Hits", "TieGroups", "first_hit_probability", "locate"]


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
    gain: FloatArray
    relevant: BoolArray
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
    for rows, inside, members in groups.blocks():
        e, r = tied[members, None], relevant[members, None]
        i = np.arange(1, rows.shape[1])
        ratio = np.maximum(e - i - r + 1, 0) / np.maximum(e - i, 1)
        chance = np.cumprod(np.concatenate((r / e, ratio), axis=1), axis=1)
        result[rows[inside]] = chance[inside]
    return result


def locate(
    run: Segments,
    scores: FloatArray,
    segment: IntArray,
    rows: IntArray,
    relevance: FloatArray,
    ties: str,
    doc_order: Callable[[IntArray], IntArray] | None = None,
) -> tuple[IntArray, IntArray, float]:
    """Return `above` and `tied` of the judged `rows`, and the share of all rows that are tied.

    `rows` are rows of the run; `segment` is the segment of each. `doc_order` gives codes of the
    documents of some rows, the smallest for the document that goes first.
    """
    ordered = run.sort(scores)
    needles = scores[rows]
    again = run.equals_previous(ordered)
    repeated = again | np.append(again[1:], False)
    left = run.searchsorted(ordered, segment, needles)
    right = left + 1
    many = np.flatnonzero(repeated[left])
    right[many] = run.searchsorted(ordered, segment[many], needles[many], right=True)
    above, tied = run.ends[segment] - right, right - left
    if ties != "average" and (tied > 1).any():
        within = tied > 1
        if ties == "worst":
            place = _place_last(segment[within], above[within], tied[within], relevance[within])
        else:
            place = _place_by(run, scores, segment[within], rows[within], doc_order)
        above = above.copy()
        above[within] = place
        tied = np.ones_like(tied)
    return above, tied, float(repeated.mean()) if repeated.size else 0.0


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
    doc_order: Callable[[IntArray], IntArray] | None,
) -> IntArray:
    """Rank again, with a second key, only the queries in which a judged document is tied."""
    affected = np.unique(query)
    part = Segments.from_lengths(run.lengths[affected])
    subset = part.positions() + np.repeat(run.starts[affected], part.lengths)
    labels, descending = part.labels(), -scores[subset]
    order = np.lexsort((descending, labels))  # stable: equal scores stay in the order of the rows
    if doc_order is not None:
        # Ordering identifiers is slow: only those of rows that are tied.
        first, second = order[:-1], order[1:]
        same = (descending[first] == descending[second]) & (labels[first] == labels[second])
        tied = np.union1d(first[same], second[same])
        doc_code = np.zeros(subset.size, dtype=np.int64)
        doc_code[tied] = doc_order(subset[tied])
        order = np.lexsort((doc_code, descending, labels))
    place = np.empty(subset.size, dtype=np.int64)
    place[order] = part.positions()
    at = rows - run.starts[query] + part.starts[np.searchsorted(affected, query)]
    found: IntArray = place[at]
    return found
