"""Every cut replayed on stored scores: matrices with a row a query, in the order of the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.funnel.topk import top_k

__all__ = ["Replayed", "Stored", "replay"]


class Stored(NamedTuple):
    """What one deep scoring left, of some queries."""

    worth: FloatArray
    """Grade of each candidate, 0 if it is not to be found."""
    steps: list[tuple[str, FloatArray | BoolArray]]
    """After the source: ("rank", scores, -inf where there is no candidate) or ("filter", mask)."""
    lengths: IntArray
    """Candidates of each query."""
    n_wanted: IntArray
    """What there is to find for each query, found or not."""
    ideal: FloatArray
    """Grades of what there is to find, the highest first, a row a query, padded with 0."""


class Replayed(NamedTuple):
    """What each combination of counts reaches."""

    reached: FloatArray
    """Combinations by queries; nan for a query with nothing to find."""
    handled: FloatArray
    """Stages by combinations by queries: items found or scored."""


class _State(NamedTuple):
    """Candidates between two stages: columns in their order, and how many of each row are real."""

    columns: IntArray
    alive: IntArray


def replay(
    stored: Stored, combinations: Sequence[tuple[int, ...]], final_k: int | None, depth: int | None
) -> Replayed:
    """Return what is found under each combination of counts.

    Combinations with a common beginning share the work up to there; what a stage sorts is sorted
    once for all counts that follow it. `depth` asks for nDCG to that depth, None for a share.
    """
    n_queries, n_columns = stored.worth.shape
    values = np.full((len(combinations), n_queries), np.nan)
    handled = np.zeros((1 + len(stored.steps), len(combinations), n_queries))
    following: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for whole in combinations:
        for at, k in enumerate(whole):
            following[whole[:at]].add(k)
    place = {counts: at for at, counts in enumerate(combinations)}
    if not n_columns:  # nothing was found for any of the queries
        values[:] = np.where(stored.n_wanted > 0, 0.0, np.nan)
        return Replayed(values, handled)
    everything = _State(np.broadcast_to(np.arange(n_columns), stored.worth.shape), stored.lengths)
    by_first: IntArray | None = None
    if len(stored.steps) > 1 and stored.steps[0][0] == "rank":
        # Sorted once: the order of any prefix of the source's list is this one less the others.
        by_first = _sorted(everything, _scores(stored.steps[0][1], everything), n_columns).columns

    def follow(counts: tuple[int, ...], state: _State, at: int, trail: list[IntArray]) -> None:
        """Go on from the stage `at`, before which `state` waits; `counts` are those chosen."""
        while at < len(stored.steps) and stored.steps[at][0] == "filter":
            trail = [*trail, state.alive]
            state = _filtered(state, stored.steps[at][1])
            at += 1
        trail = [*trail, state.alive]
        if at == len(stored.steps) - 1:
            row = place[counts]
            scores = _scores(stored.steps[at][1], state)
            values[row] = _value(stored, state, scores, final_k, depth)
            handled[:, row] = trail
            return
        nexts = sorted(following[counts])
        if at == 0 and by_first is not None:
            within = by_first[by_first < counts[0]].reshape(n_queries, -1)
            ordered = _State(within, state.alive)
        else:
            scores = _scores(stored.steps[at][1], state)
            ordered = _sorted(state, scores, nexts[-1])
        for k in nexts:
            follow((*counts, k), _cut(ordered, k), at + 1, trail)

    for k in sorted(following[()]):
        state = _cut(everything, k)
        follow((k,), state, 0, [state.alive])
    return Replayed(values, handled)


def _cut(state: _State, k: int) -> _State:
    return _State(state.columns[:, :k], np.minimum(state.alive, k))


def _scores(matrix: FloatArray | BoolArray, state: _State) -> FloatArray:
    """Return the scores of the candidates in their order; what is none comes last."""
    n = state.columns.shape[1]
    if state.columns.strides[0] == 0:  # still the order of the source: no need to gather
        scores = np.array(matrix[:, :n], dtype=np.float64)
    else:
        scores = np.take_along_axis(matrix, state.columns, axis=1).astype(np.float64, copy=False)
    if (state.alive < n).any():
        scores[np.arange(n) >= state.alive[:, None]] = -np.inf
    return scores


def _sorted(state: _State, scores: FloatArray, k: int) -> _State:
    """Return the `k` best in order; equal scores keep theirs."""
    best, _ = top_k(scores, min(k, scores.shape[1]))
    columns = best if state.columns.strides[0] == 0 else np.take_along_axis(state.columns, best, 1)
    return _State(columns, np.minimum(state.alive, k))


def _filtered(state: _State, mask: FloatArray | BoolArray) -> _State:
    """Return the candidates that pass, in their order, the others behind them."""
    kept = np.take_along_axis(mask, state.columns, axis=1).astype(np.bool_)
    kept &= np.arange(kept.shape[1]) < state.alive[:, None]
    order = np.argsort(~kept, axis=1, kind="stable")
    return _State(np.take_along_axis(state.columns, order, axis=1), kept.sum(axis=1))


def _value(
    stored: Stored, state: _State, scores: FloatArray, final_k: int | None, depth: int | None
) -> FloatArray:
    """Return the objective of every query after the last ranker."""
    width = scores.shape[1]
    k = width if final_k is None else min(final_k, width)
    if depth is not None:
        k = min(k, depth)
    best, value = top_k(scores, k)
    columns = best if state.columns.strides[0] == 0 else np.take_along_axis(state.columns, best, 1)
    worth = np.take_along_axis(stored.worth, columns, axis=1)
    worth[np.isneginf(value)] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        if depth is None:
            share: FloatArray = (worth > 0).sum(axis=1) / np.where(
                stored.n_wanted > 0, stored.n_wanted, np.nan
            )
            return share
        discount = 1 / np.log2(np.arange(2, depth + 2))
        gained = worth @ discount[:k]
        ideal = stored.ideal[:, :depth]
        most = ideal @ discount[: ideal.shape[1]]
        ratio: FloatArray = gained / np.where(most > 0, most, np.nan)
    return ratio
