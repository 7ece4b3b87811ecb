"""Metrics that follow a user down the list: expected reciprocal rank and rank-biased precision.

As in ``_ranking``, each value is the mean over all orders of tied documents, in closed form.
"""

from __future__ import annotations

import numpy as np

from mlsd._groups import Segments
from mlsd._types import FloatArray, IntArray
from mlsd.metrics._hits import Hits, Options

__all__ = ["err", "rbp", "rbp_residual"]


def err(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Mean of one over the place where the user stops; a stop has chance ``R`` at a document.

    In a tie group let q_i be the mean chance to pass its first i documents in random order. One
    more document, with chance x to be passed, in a group of m makes that ``(m + 1 - i)/(m + 1) q_i
    + i/(m + 1) x q_(i-1)``: the document is either not among the first i, or it is. All terms are
    positive, so nothing cancels. The user stops at place i of the group with q_(i-1) - q_i.
    """
    graded = np.flatnonzero(hits.relevance > 0)
    if k is not None:
        graded = graded[hits.above[graded] < k]
    # In powers below 1, so that no relevance overflows.
    stop = np.exp2(hits.relevance[graded] - options.max_rel) - np.exp2(-options.max_rel)
    query, above, tied = hits.query[graded], hits.above[graded], hits.tied[graded]
    reached = _product_above(query, 1.0 - stop, hits.n_queries)
    value = reached * stop / (above + 1)
    if (tied > 1).any():
        new = np.ones(query.size, dtype=np.bool_)
        new[1:] = (query[1:] != query[:-1]) | (above[1:] != above[:-1])
        first = np.flatnonzero(new & (tied > 1))
        group_sizes = np.diff(np.append(np.flatnonzero(new), query.size))
        size = group_sizes[np.cumsum(new)[first] - 1]
        value[tied > 1] = 0.0
        value[first] = reached[first] * _stop_in_group(
            first, size, above[first], tied[first], 1.0 - stop, k
        )
    total = hits.sum_by_query(query, value)
    return np.where(hits.best > 0, np.minimum(total, 1.0), np.nan)


def _product_above(query: IntArray, values: FloatArray, n_queries: int) -> FloatArray:
    """Return the product of the values before each one in its query."""
    lists = Segments.from_lengths(np.bincount(query, minlength=n_queries))
    result = np.empty(values.size)
    for block in lists.blocks():
        matrix = block.spread(values, 1.0)
        np.cumprod(matrix, axis=1, out=matrix)
        matrix[:, 1:] = matrix[:, :-1].copy()
        matrix[:, 0] = 1.0
        result[block.rows] = block.flatten(matrix)
    return result


def _stop_in_group(
    first: IntArray,
    size: IntArray,
    above: IntArray,
    tied: IntArray,
    pass_chance: FloatArray,
    k: int | None,
) -> FloatArray:
    """Return for each tie group the mean of 1 over the place of the stop, if the user gets there.

    The documents that can stop anyone are rows ``first ... first + size - 1`` of `pass_chance`.
    """
    # The largest number of such documents first: those that take another one are always in front.
    by_size = np.argsort(-size, kind="stable")
    first, size, above, tied = first[by_size], size[by_size], above[by_size], tied[by_size]
    depth = tied if k is None else np.minimum(tied, k - above)
    lists = Segments.from_lengths(depth + 1)
    group, i = lists.labels(), lists.positions()
    # At first a group holds only what nobody stops at; entries beyond its members stay 0.
    passed = (i <= (tied - size)[group]).astype(np.float64)
    for taken in range(int(size.max(initial=0))):
        active = int(np.searchsorted(-size, -taken, side="left"))
        rows = slice(0, int(lists.ends[active - 1]))
        of, place = group[rows], i[rows]
        members = (tied - size + taken + 1)[of].astype(np.float64)  # with the new one
        chance = pass_chance[first + taken * (size > taken)][of]
        before = np.concatenate(([0.0], passed[rows][:-1]))
        passed[rows] = ((members - place) * passed[rows] + place * chance * before) / members
    stops = np.zeros(passed.size)
    later = np.flatnonzero(i > 0)
    stops[later] = (passed[later - 1] - passed[later]) / (above[group] + i)[later]
    result = np.empty(first.size)
    result[by_size] = np.bincount(group, weights=stops, minlength=first.size)
    return result


def _weight(hits: Hits, k: int | None, p: float) -> FloatArray:
    """Return the mean of ``(1 - p) p**(place - 1)`` over the places of each hit in the top k."""
    end = hits.above + hits.tied
    if k is not None:
        end = np.minimum(end, k)
    # A geometric sum over the places of the group, without a difference of near numbers.
    share = -np.expm1(np.maximum(end - hits.above, 0) * np.log(p))
    weight: FloatArray = np.power(p, hits.above) * share / hits.tied
    return weight


def rbp(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """Chance that the document a user with persistence `p` looks at last is relevant."""
    weight = np.where(hits.relevant, _weight(hits, k, options.p), 0.0)
    return np.where(hits.n_relevant > 0, hits.sum_by_query(hits.query, weight), np.nan)


def rbp_residual(hits: Hits, k: int | None, options: Options) -> FloatArray:
    """What rank-biased precision would gain if all that is not judged in the top k were relevant.

    That is the weight of the unjudged documents, and of all places beyond the list or k.
    """
    weight = _weight(hits, k, options.p)
    return np.maximum(1.0 - hits.sum_by_query(hits.query, weight), 0.0)
