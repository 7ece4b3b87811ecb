"""Several rankings made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_choice, check_positive_int
from mlsd.funnel._runs import (
    check_run,
    check_same_kind,
    order_within,
    rank_within,
    read_order,
    run_frame,
    scale_within,
)

__all__ = ["reciprocal_rank_fusion", "weighted_fusion"]

Runs = Mapping[str, pd.DataFrame] | Sequence[pd.DataFrame]
Weights = Mapping[str, float] | Sequence[float]


def reciprocal_rank_fusion(
    runs: Runs,
    *,
    rank_constant: float = 60,
    weights: Weights | None = None,
    depth: int | None = None,
) -> pd.DataFrame:
    """Fuse rankings by the sum of `weight / (rank_constant + rank)` over the runs.

    A run that lacks a document adds nothing to it. Only ranks count, so runs whose scores have
    different scales can be fused as they are.

    Parameters
    ----------
    runs : mapping of str to DataFrame, or list of DataFrame
        Each with query_id, doc_id and rank (from 1); without a rank column the ranks are those
        of score, ties in the order of rows. With both columns, the ranks must follow the scores.
        A run may lack queries.
    rank_constant : float, default 60
        How little the first places stand out; at least 0. 60 is the value of the paper, where it
        is called k.
    weights : mapping or sequence, optional
        One weight a run, at least 0, default 1; a run of weight 0 is left out.
    depth : int, optional
        Use the first `depth` ranks of every run only. Default: all.

    Returns
    -------
    DataFrame
        query_id, doc_id, score and rank (from 1). Queries stand in the order they first appear.
        Ties go to the document ranked best in the first run that holds it.

    Raises
    ------
    TypeError
        If identifiers are integers in one run and strings in another.
    ValueError
        If there are no runs, a run repeats a pair, has a missing value or a rank below 1, or
        ranks against its scores, or the weights do not fit the runs.

    References
    ----------
    G. V. Cormack, C. L. A. Clarke and S. Buettcher, "Reciprocal Rank Fusion Outperforms
    Condorcet and Individual Rank Learning Methods", SIGIR 2009.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import reciprocal_rank_fusion
    >>> words = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "rank": [1, 2]})
    >>> dense = pd.DataFrame({"query_id": "q", "doc_id": ["b", "c"], "rank": [1, 2]})
    >>> reciprocal_rank_fusion({"words": words, "dense": dense}).round(4)
      query_id doc_id   score  rank
    0        q      b  0.0325     1
    1        q      a  0.0164     2
    2        q      c  0.0161     3
    """
    if not (np.isfinite(rank_constant) and rank_constant >= 0):
        raise ValueError(f"rank_constant must be finite and at least 0; got {rank_constant!r}")
    if depth is not None:
        depth = check_positive_int(depth, "depth")
    pool = _Pool(runs, weights, ranked=True)
    score = pool.weight / (rank_constant + pool.rank)
    return pool.fuse(score, keep=None if depth is None else pool.rank <= depth)


def weighted_fusion(
    runs: Runs,
    weights: Weights | None = None,
    *,
    normalize: Literal["minmax", "zscore"] | None = "minmax",
) -> pd.DataFrame:
    """Fuse rankings by the weighted sum of their normalised scores.

    Parameters
    ----------
    runs : mapping of str to DataFrame, or list of DataFrame
        Each with query_id, doc_id, a finite score, and perhaps rank, which then settles equal
        scores (else the order of rows does). A run may lack queries.
    weights : mapping or sequence, optional
        One weight a run, at least 0, default 1; a run of weight 0 is left out.
    normalize : {"minmax", "zscore", None}, default "minmax"
        Applied to every run and query on its own. "minmax" maps the scores to [0, 1], and to 1
        if all are equal; "zscore" subtracts the mean and divides by the population standard
        deviation, and gives 0 if all are equal; None leaves them.

    Returns
    -------
    DataFrame
        query_id, doc_id, score and rank (from 1). Queries stand in the order they first appear.
        Ties go to the document ranked best in the first run that holds it.

    Raises
    ------
    ValueError
        If there are no runs, a run repeats a pair or has a missing or infinite score, or the
        weights do not fit the runs.

    Notes
    -----
    A document that a run does not hold gets what is least in favour of it there: 0 under
    "minmax", else the lowest score of that run for the query. (Under "zscore" a plain 0 would
    put it above half of the documents that were found.) A query that a run does not hold gets
    nothing from that run.

    References
    ----------
    E. A. Fox and J. A. Shaw, "Combination of Multiple Searches", TREC-2, 1994 (CombSUM).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import weighted_fusion
    >>> words = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "score": [9.0, 3.0]})
    >>> dense = pd.DataFrame({"query_id": "q", "doc_id": ["b", "c"], "score": [0.8, 0.6]})
    >>> weighted_fusion({"words": words, "dense": dense}, {"words": 0.4, "dense": 0.6})
      query_id doc_id  score  rank
    0        q      b    0.6     1
    1        q      a    0.4     2
    2        q      c    0.0     3
    """
    check_choice(normalize, "normalize", ["minmax", "zscore", None])
    pool = _Pool(runs, weights, ranked=False)
    n_queries = len(pool.query_ids)
    n_groups = n_queries * pool.n_runs
    group = pool.run * n_queries + pool.query
    score = scale_within(group, pool.score, n_groups, normalize)
    lowest = np.full(n_groups, np.inf)
    if normalize == "minmax":
        lowest[:] = 0.0
    np.minimum.at(lowest, group, score)
    # What every document of a query gets, found or not; the found ones get the rest on top.
    weight = np.zeros(n_groups)
    weight[group] = pool.weight
    base = np.where(weight > 0, lowest, 0.0) * weight
    base = base.reshape(pool.n_runs, n_queries).sum(axis=0)
    return pool.fuse(pool.weight * (score - lowest[group]), base=base)


class _Pool:
    """All rows of all runs, coded: what both fusions add up."""

    def __init__(self, runs: Runs, weights: Weights | None, *, ranked: bool) -> None:
        """Check the runs and stack their rows."""
        if isinstance(runs, pd.DataFrame) or not isinstance(runs, (Mapping, Sequence)):
            raise TypeError(
                f"runs must be a mapping or a list of DataFrames; got {type(runs).__name__}"
            )
        named: dict[Any, pd.DataFrame]
        named = dict(runs) if isinstance(runs, Mapping) else dict(enumerate(runs))
        if not named:
            raise ValueError("runs is empty: there is nothing to fuse")
        given = _weights(weights, list(named))
        named = {name: run for (name, run), w in zip(named.items(), given, strict=True) if w > 0}
        given = given[given > 0]
        ranks, scores, frames = [], [], []
        for name, run in named.items():
            label = f"runs[{name!r}]"
            has_rank = isinstance(run, pd.DataFrame) and "rank" in run.columns
            by_rank = ranked and has_rank
            frames.append(check_run(run, label, ["rank" if by_rank else "score"]))
            query = pd.factorize(run["query_id"])[0]
            if by_rank and "score" not in run.columns:
                score = np.zeros(len(run))
                rank = as_floats(run["rank"], f"{label}['rank']")
            else:
                score, rank = read_order(run, label, query)
            if has_rank and rank.min(initial=1) < 1:
                raise ValueError(f"{label}['rank'] counts from 1; its lowest is {rank.min()}")
            if not by_rank:
                rank = _ranks(query, score, rank)
            ranks.append(rank)
            scores.append(score)
        check_same_kind({f"runs[{name!r}]": f for name, f in zip(named, frames, strict=True)})
        self.n_runs = len(frames)
        self.run = np.repeat(np.arange(self.n_runs), [len(frame) for frame in frames])
        self.weight = given[self.run]
        self.rank: FloatArray = np.concatenate(ranks)
        self.score: FloatArray = np.concatenate(scores)
        self.query, query_ids = pd.factorize(_stack(frames, "query_id"))
        self.doc, doc_ids = pd.factorize(_stack(frames, "doc_id"))
        self.query_ids: pd.Index[Any] = pd.Index(query_ids)
        self.doc_ids: pd.Index[Any] = pd.Index(doc_ids)

    def fuse(
        self, score: FloatArray, *, base: FloatArray | None = None, keep: Any = None
    ) -> pd.DataFrame:
        """Sum `score` over the rows of a pair, add the `base` of its query, and rank."""
        # Added from the smallest up, so that the same parts give the same sum whatever runs
        # they come from: documents with mirrored ranks must tie.
        rows = np.argsort(score, kind="stable")
        if keep is not None:
            rows = rows[keep[rows]]
        key = self.query * max(len(self.doc_ids), 1) + self.doc
        pairs, pair = np.unique(key[rows], return_inverse=True)
        total: FloatArray = np.bincount(pair, weights=score[rows]).astype(np.float64)
        query, doc = np.divmod(pairs, max(len(self.doc_ids), 1))
        if base is not None:
            total += base[query]
        turn = np.empty(len(key), dtype=np.int64)
        turn[np.lexsort((self.rank, self.run))] = np.arange(len(key))
        first = np.full(len(pairs), len(key))
        np.minimum.at(first, pair, turn[rows])
        order = order_within(query, total, first)
        query = query[order]
        return run_frame(
            self.query_ids, query, self.doc_ids, doc[order], total[order], rank_within(query)
        )


def _stack(frames: list[pd.DataFrame], column: str) -> pd.Series[Any]:
    """Return one column of all frames."""
    return pd.concat([frame[column] for frame in frames], ignore_index=True)


def _ranks(group: IntArray, score: FloatArray, given: FloatArray) -> FloatArray:
    """Return the rank of every row in its group by score, then by rank given, then by row."""
    order = order_within(group, score, given)
    rank = np.empty(score.size)
    rank[order] = rank_within(group[order])
    return rank


def _weights(weights: Weights | None, names: list[Any]) -> FloatArray:
    """Return one weight a run, or say why the weights do not fit."""
    if weights is None:
        return np.ones(len(names))
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            raise ValueError(f"weights names {list(weights)}, and the runs are {names}")
        weights = [weights[name] for name in names]
    values = as_floats(weights, "weights")
    if values.size != len(names):
        raise ValueError(f"weights has {values.size} values for {len(names)} runs")
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise ValueError(f"weights must be finite, at least 0 and not all 0; got {values.tolist()}")
    return values
