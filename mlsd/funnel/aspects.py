"""Re-ranking a slate so that it serves the aspects of an ambiguous query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsd._validation import as_1d_float, check_columns, check_positive_int
from mlsd.funnel._runs import RUN_COLUMNS, FloatArray, IntArray, check_run, scale_within
from mlsd.funnel.rerank import _blocks

__all__ = ["XQuAD"]

# A block is used again at every pick, so one that stays in the cache is worth several times what
# the additional turns of the loop cost: 1 MB of float64.
_BLOCK_NUMBERS = 131_072


class XQuAD:
    """Explicit query aspect diversification: pick what is relevant and serves what is still open.

    The next document of a query is the one with the highest::

        trade_off * relevance + (1 - trade_off) * sum over aspects of
            importance * (how well it serves the aspect) * product over the documents
            already picked of (1 - how well that one serves the aspect)

    Relevance is the score of the run scaled per query to [0, 1] by its lowest and highest score
    among the candidates (1 for all if they are equal). Importance sums to 1 over the aspects of
    a query, so that both halves lie in [0, 1].

    Parameters
    ----------
    trade_off : float, default 0.5
        In [0, 1]: 1 keeps the order of relevance, 0 looks at aspects only. The paper's weight
        stands on the other half: it is ``1 - trade_off``.

    Notes
    -----
    MMR looks at how alike documents are; this looks at what they are for, so it needs to be told
    the aspects: suggested reformulations of the query, categories, intents.

    The score of the slate is the value above at the moment of the pick. It lies in [0, 1] (up to
    rounding) and never increases down the slate, so sorting by score reproduces the slate.

    A query without aspects keeps its order: nothing is known to diversify for. Documents whose
    aspects are all served keep theirs behind the others when `trade_off` is 0. Ties go to the
    candidate that came first in the run.

    A slate of `k` from `n` candidates with `a` aspects costs O(k n a). Queries are handled
    together, those of like size in one block.

    References
    ----------
    R. L. T. Santos, C. Macdonald and I. Ounis, "Exploiting Query Reformulations for Web Search
    Result Diversification", WWW 2010.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import XQuAD
    >>> run = pd.DataFrame({"query_id": "jaguar", "doc_id": ["car1", "car2", "cat"],
    ...                     "score": [3.0, 2.5, 1.0], "rank": [1, 2, 3]})
    >>> aspects = pd.DataFrame({"query_id": "jaguar", "aspect": ["car", "car", "animal"],
    ...                         "doc_id": ["car1", "car2", "cat"], "score": [1.0, 1.0, 1.0]})
    >>> XQuAD(trade_off=0.25).rerank(run, aspects)
      query_id doc_id   score  rank
    0   jaguar   car1  0.6250     1
    1   jaguar    cat  0.3750     2
    2   jaguar   car2  0.1875     3
    """

    def __init__(self, trade_off: float = 0.5) -> None:
        """See the class."""
        if not 0 <= trade_off <= 1:
            raise ValueError(f"trade_off must be in [0, 1]; got {trade_off!r}")
        self.trade_off = float(trade_off)

    def __repr__(self) -> str:
        """Show the parameter."""
        return f"XQuAD(trade_off={self.trade_off})"

    def rerank(
        self,
        run: pd.DataFrame,
        aspects: pd.DataFrame,
        k: int | None = None,
        *,
        importance: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Return the slate of every query.

        Parameters
        ----------
        run : DataFrame
            The candidates: query_id, doc_id, a finite score, and perhaps rank, which then
            settles equal scores. Other columns are carried along.
        aspects : DataFrame
            query_id, aspect, doc_id and score: how well the document serves that aspect of the
            query, in [0, 1]. A pair of candidate and aspect that is not there counts as 0.
            Rows of documents that are no candidates of the query serve nobody, but their
            aspects belong to the query; rows of queries the run lacks are ignored.
        k : int, optional
            Size of the slate, at least 1. Default: all candidates, re-ordered.
        importance : DataFrame, optional
            query_id, aspect and weight: how much the aspect matters, at least 0, divided by the
            sum of the query. It must weigh every aspect that `aspects` gives a query of the
            run, and may weigh others, which no candidate serves. Default: all aspects of a
            query weigh the same.

        Returns
        -------
        DataFrame
            query_id, doc_id, score and rank (from 1), then the other columns of `run`; queries
            in the order they first appear.

        Raises
        ------
        TypeError
            If nothing in `aspects` meets the run because identifiers are integers in one and
            strings in the other.
        ValueError
            If a column is missing or holds missing values, a row is repeated, a score of the
            run is infinite, one of `aspects` lies outside [0, 1], or the weights are negative,
            infinite, lacking, or all 0 for a query.
        """
        frame = check_run(run, "run")
        k = len(frame) if k is None else check_positive_int(k, "k")
        score = as_1d_float(frame["score"], "run['score']")
        if not np.isfinite(score).all():
            raise ValueError("run['score'] holds infinite values")
        query = pd.factorize(frame["query_id"])[0]
        sizes = np.bincount(query)
        n_queries = sizes.size if query.size else 0
        sizes = sizes[:n_queries]
        rank = frame["rank"] if "rank" in frame.columns else np.zeros(len(frame))
        order = np.lexsort((as_1d_float(rank, "run['rank']"), -score, query))
        relevance = self.trade_off * scale_within(query, score, n_queries, "minmax")[order]
        starts = np.cumsum(sizes) - sizes
        place_of = np.empty(len(frame), dtype=np.int64)
        place_of[order] = np.arange(len(frame)) - np.repeat(starts, sizes)
        known = _coverage(frame, query, n_queries, aspects, importance)

        blocks, widths = _alike(sizes, known.n_aspects)
        block_of = np.empty(n_queries, dtype=np.int64)
        row_of = np.empty(n_queries, dtype=np.int64)
        for number, block in enumerate(blocks):
            block_of[block] = number
            row_of[block] = np.arange(block.size)
        served = _split(block_of[query[known.candidate]], len(blocks))
        open_at_first = _split(block_of[known.query], len(blocks))

        picks: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
        for block, n_aspects, pairs, opened in zip(
            blocks, widths, served, open_at_first, strict=True
        ):
            width = int(sizes[block].max())
            real = np.arange(width) < sizes[block, None]
            at = np.where(real, starts[block, None] + np.arange(width), starts[block, None])
            value = np.where(real, relevance[at], -np.inf)
            serves = np.zeros((block.size, width, n_aspects))
            candidate = known.candidate[pairs]
            serves[row_of[query[candidate]], place_of[candidate], known.column[pairs]] = (
                known.score[pairs]
            )
            weight = np.zeros((block.size, n_aspects))
            weight[row_of[known.query[opened]], known.place[opened]] = known.weight[opened]
            picked, worth = _greedy(
                value, serves, weight, known.total[block], 1 - self.trade_off, min(k, width)
            )
            row, place = np.nonzero(np.arange(picked.shape[1]) < sizes[block, None])
            rows = order[starts[block][row] + picked[row, place]]
            picks.append((block[row], place, rows, worth[row, place]))
        if not picks:
            picks = [(query, query, query, score)]
        of_query, place, rows, worth = (np.concatenate(part) for part in zip(*picks, strict=True))
        back = np.lexsort((place, of_query))
        slate = frame.iloc[rows[back]].reset_index(drop=True)
        slate = slate.assign(score=worth[back], rank=place[back] + 1)
        return slate[[*RUN_COLUMNS, *(c for c in frame.columns if c not in RUN_COLUMNS)]]

    def __call__(
        self,
        run: pd.DataFrame,
        aspects: pd.DataFrame,
        k: int | None = None,
        *,
        importance: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Re-rank: the same as :meth:`rerank`, so that an XQuAD is a stage."""
        return self.rerank(run, aspects, k, importance=importance)


def _greedy(
    value: FloatArray,
    serves: FloatArray,
    weight: FloatArray,
    total: FloatArray,
    share: float,
    k: int,
) -> tuple[IntArray, FloatArray]:
    """Pick `k` times in every row; return the columns picked and their worth.

    `weight` is divided by `total` after the sum, not before: sums of whole numbers are exact, so
    candidates that serve equally many equal aspects tie, whichever these are.
    """
    rows = np.arange(len(value))
    picked = np.empty((len(value), k), dtype=np.int64)
    worth = np.empty((len(value), k))
    for step in range(k):
        # Not BLAS: what a candidate is worth must not depend on its place in the block.
        gain = np.einsum("qna,qa->qn", serves, weight)
        gain /= total[:, None]
        gain *= share
        gain += value
        best = gain.argmax(axis=1)
        picked[:, step] = best
        worth[:, step] = gain[rows, best]
        value[rows, best] = -np.inf
        weight *= 1 - serves[rows, best]
    return picked, worth


@dataclass(frozen=True, slots=True)
class _Coverage:
    """Which candidate serves which aspect, and what the aspects of a query weigh.

    Aspects that no candidate serves add nothing but to `total`, and have no column.
    """

    candidate: IntArray
    """Row of the run, of each pair of candidate and aspect."""
    column: IntArray
    """Place of the aspect among those of its query, of each pair."""
    score: FloatArray
    query: IntArray
    """Query of each aspect that is served."""
    place: IntArray
    """Place among those of its query, of each aspect."""
    weight: FloatArray
    n_aspects: IntArray
    """Aspects served, of each query."""
    total: FloatArray
    """Weight of all aspects, of each query; 1 for a query without."""


def _coverage(
    run: pd.DataFrame, run_query: IntArray, n_queries: int, aspects: Any, importance: Any
) -> _Coverage:
    """Check `aspects` and `importance` and match them with the run."""
    _check(aspects, "aspects", ["query_id", "aspect", "doc_id", "score"])
    score = as_1d_float(aspects["score"], "aspects['score']")
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        raise ValueError(
            f"aspects['score'] must be in [0, 1]; {int(outside.sum())} of {score.size} are not, "
            f"the first being {float(score[outside][0])!r}"
        )
    n = len(run)
    # Coded together with the run, which comes first: a pair with a code below n is row `code`.
    query = _codes(run["query_id"], aspects["query_id"])
    doc = _codes(run["doc_id"], aspects["doc_id"])
    pair = pd.factorize(query * (int(doc.max(initial=0)) + 1) + doc)[0][n:]
    query = query[n:]
    if n and pair.size and not (pair < n).any():
        _check_same_kind(run, aspects)

    weights = None
    names = [aspects["aspect"]]
    if importance is not None:
        _check(importance, "importance", ["query_id", "aspect", "weight"])
        weights = as_1d_float(importance["weight"], "importance['weight']")
        names.append(importance["aspect"])
        query = np.append(query, _codes(run["query_id"], importance["query_id"], n_queries)[n:])
    # In the order of their names, not of the rows: the order of a sum may decide its last digit.
    name, unique = pd.factorize(pd.concat(names, ignore_index=True), sort=True)
    key, listed = pd.factorize(query * max(len(unique), 1) + name, sort=True)
    return None
