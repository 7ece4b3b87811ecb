"""Re-ranking a slate so that it serves the aspects of an ambiguous query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_columns
from mlsd.funnel._runs import check_same_kind, rank_within
from mlsd.funnel._slate import assemble, blocks, prepare

__all__ = ["XQuAD"]


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
            query_id, aspect (a name that sorts: string or integer), doc_id and score: how well
            the document serves that aspect of the query, in [0, 1]. A pair of candidate and
            aspect that is not there counts as 0. Rows of documents that are no candidates of
            the query serve nobody, but their aspects belong to the query; rows of queries the
            run lacks are ignored.
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
            If identifiers are integers in one frame and strings in another.
        ValueError
            If a column is missing or holds missing values, a row is repeated, a score of the
            run is infinite, its ranks go against its scores, a score of `aspects` lies outside
            [0, 1], or the weights are negative, infinite, lacking, or all 0 for a query.
        """
        candidates = prepare(run, k)
        query, n_queries = candidates.query, candidates.n_queries
        known = _coverage(candidates.frame, n_queries, aspects, importance)
        place_of = candidates.places()
        alike = _alike(candidates.sizes, known.n_aspects)
        block_of = np.empty(n_queries, dtype=np.int64)
        line_of = np.empty(n_queries, dtype=np.int64)
        for number, (block, _) in enumerate(alike):
            block_of[block] = number
            line_of[block] = np.arange(block.size)
        pairs_of = _split(block_of[query[known.row]], len(alike))
        aspects_of = _split(block_of[known.query], len(alike))
        picks = []
        for (block, n_columns), pairs, served in zip(alike, pairs_of, aspects_of, strict=True):
            _, value = candidates.padded(block, self.trade_off)
            serves = np.zeros((*value.shape, n_columns))
            row, column = known.row[pairs], known.column[pairs]
            serves[line_of[query[row]], place_of[row], column] = known.score[pairs]
            weight = np.zeros((block.size, n_columns))
            weight[line_of[known.query[served]], known.place[served]] = known.weight[served]
            size = min(candidates.k, value.shape[1])
            picked, worth = _greedy(
                value, serves, weight, known.total[block], 1 - self.trade_off, size
            )
            picks.append(candidates.picks(block, picked, worth))
        return assemble(candidates, picks)

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

    Aspects that no candidate serves add to `total` and have no column.
    """

    row: IntArray
    """Row of the run, of each pair of a candidate and an aspect that it serves."""
    column: IntArray
    """Place of the aspect among those of its query, of each pair."""
    score: FloatArray
    query: IntArray
    """Query of each aspect that is served."""
    place: IntArray
    """Place of each aspect among those of its query."""
    weight: FloatArray
    n_aspects: IntArray
    """Number of aspects served, of each query."""
    total: FloatArray
    """Weight of all aspects, served or not, of each query; 1 for a query without."""


def _coverage(run: pd.DataFrame, n_queries: int, aspects: Any, importance: Any) -> _Coverage:
    """Check `aspects` and `importance` and match them with the run."""
    _check_columns(aspects, "aspects", ["query_id", "aspect", "doc_id"], "score")
    score = as_floats(aspects["score"], "aspects['score']")
    outside = ~((score >= 0) & (score <= 1))
    if outside.any():
        raise ValueError(
            f"aspects['score'] must be in [0, 1]; {int(outside.sum())} of {score.size} are not, "
            f"the first being {float(score[outside][0])!r}"
        )
    tables = [aspects]
    if importance is not None:
        _check_columns(importance, "importance", ["query_id", "aspect"], "weight")
        tables.append(importance)
        check_same_kind({"run": run, "importance": importance}, ["query_id"])
    check_same_kind({"run": run, "aspects": aspects})
    # The run comes first, so its queries have the codes below n_queries, in its order.
    query = _codes([frame["query_id"] for frame in (run, *tables)])
    doc = _codes([run["doc_id"], aspects["doc_id"]])
    n, end = len(run), len(run) + len(aspects)
    # And a pair with a code below n is that row of the run.
    pair = pd.factorize(query[:end] * (int(doc.max(initial=0)) + 1) + doc)[0][n:]

    # Aspects stand in the order of their names, not of the rows: the order of a sum may decide
    # its last digit, and so a tie.
    name = _codes([frame["aspect"] for frame in tables], sort=True)
    n_names = int(name.max(initial=0)) + 1
    aspect, listed = pd.factorize(query[n:] * n_names + name, sort=True)
    of_query = listed // n_names
    aspect, weighed = np.split(aspect, [len(aspects)])
    _check_unique(pair * max(listed.size, 1) + aspect, aspects, "aspects", "doc_id")
    weight = np.ones(listed.size)
    if importance is not None:
        _check_unique(weighed, importance, "importance")
        weight = _weights(importance, weighed, listed.size)
        lacking = (query[n:end] < n_queries) & np.isnan(weight[aspect])
        if lacking.any():
            raise ValueError(
                f"importance lacks {np.unique(aspect[lacking]).size} (query_id, aspect) pairs of "
                f"aspects, the first being {_first(aspects[['query_id', 'aspect']], lacking)}"
            )
    known = of_query < n_queries
    total = np.bincount(of_query[known], weights=weight[known], minlength=n_queries)
    has_aspects = np.bincount(of_query[known], minlength=n_queries) > 0
    nothing = int((has_aspects & (total == 0)).sum())
    if nothing:
        raise ValueError(f"importance['weight'] is 0 for all aspects of {nothing} queries")

    use = np.flatnonzero((pair < n) & (score > 0))
    is_served = np.zeros(listed.size, dtype=np.bool_)
    is_served[aspect[use]] = True
    of_query = of_query[is_served]
    n_aspects = np.bincount(of_query, minlength=n_queries)
    place = rank_within(of_query) - 1
    return _Coverage(
        row=pair[use],
        column=place[np.cumsum(is_served)[aspect[use]] - 1],
        score=score[use],
        query=of_query,
        place=place,
        weight=weight[is_served],
        n_aspects=n_aspects,
        total=np.where(has_aspects, total, 1.0),
    )


def _weights(importance: pd.DataFrame, weighed: IntArray, n_aspects: int) -> FloatArray:
    """Return the weight of every aspect, nan where `importance` has none."""
    given = as_floats(importance["weight"], "importance['weight']")
    bad = ~(np.isfinite(given) & (given >= 0))
    if bad.any():
        raise ValueError(
            f"importance['weight'] must be finite and at least 0; {int(bad.sum())} of "
            f"{given.size} are not, the first being {float(given[bad][0])!r}"
        )
    weight = np.full(n_aspects, np.nan)
    weight[weighed] = given
    return weight


def _alike(sizes: IntArray, n_aspects: IntArray) -> list[tuple[IntArray, int]]:
    """Group queries of like size; return their numbers and the columns of aspects they get.

    The columns are the next power of two, whoever else is in the block: the length of a sum may
    decide its last digit, and a query must not depend on its company.
    """
    columns = 1 << np.frexp(np.maximum(n_aspects, 1) - 0.5)[1].astype(np.int64)
    found = []
    for width in np.unique(columns).tolist():
        queries = np.flatnonzero(columns == width)
        found += [(queries[part], width) for part in blocks(sizes[queries], width)]
    return found


def _split(block: IntArray, n_blocks: int) -> list[IntArray]:
    """Return the rows of every block."""
    ends = np.cumsum(np.bincount(block, minlength=n_blocks))
    return np.split(np.argsort(block, kind="stable"), ends)[:n_blocks]


def _codes(columns: list[pd.Series[Any]], *, sort: bool = False) -> IntArray:
    """Return one code for each distinct value, over all columns laid end to end."""
    return pd.factorize(pd.concat(columns, ignore_index=True), sort=sort)[0]


def _first(frame: pd.DataFrame, where: BoolArray) -> tuple[Any, ...]:
    """Return the first row of `where` as plain Python values, for a message."""
    row: tuple[Any, ...]
    (row,) = frame.iloc[[int(np.argmax(where))]].itertuples(index=False, name=None)
    return row


def _check_columns(frame: Any, name: str, keys: list[str], value: str) -> None:
    """Raise unless `frame` has the columns, without missing identifiers."""
    check_columns(frame, name, [*keys, value])
    for column in keys:
        missing = int(frame[column].isna().sum())
        if missing:
            raise ValueError(f"{name}[{column!r}] holds {missing} missing among {len(frame)}")


def _check_unique(key: IntArray, frame: pd.DataFrame, name: str, *more: str) -> None:
    """Raise if a key, which stands for query_id, aspect and perhaps more, is repeated."""
    ordered = np.sort(key)  # a tenth of the time of asking which row repeats which
    if (ordered[1:] == ordered[:-1]).any():
        repeated = pd.Series(key).duplicated().to_numpy()
        columns = ["query_id", "aspect", *more]
        raise ValueError(
            f"{name} holds {int(repeated.sum())} repeated ({', '.join(columns)}) rows, "
            f"the first being {_first(frame[columns], repeated)}"
        )
