"""Re-ranking a slate as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlsd._types import FloatArray, IntArray
from mlsd.funnel._runs import dot_rows
from mlsd.funnel._slate import assemble, blocks, prepare
from mlsd.funnel.dense import DenseIndex

__all__ = ["MMR"]


class MMR:
    """Maximal marginal relevance: pick what is relevant and unlike what was picked before.

    The next document of a query is the one with the highest::

        trade_off * relevance - (1 - trade_off) * (highest cosine with a document already picked)

    Relevance is the score of the run scaled per query to [0, 1] by its lowest and highest score
    among the candidates (1 for all if they are equal). Before the first pick the highest cosine
    counts as -1, the least there is.

    Parameters
    ----------
    trade_off : float, default 0.7
        In [0, 1]: 1 keeps the order of relevance, 0 looks at diversity only (after the first,
        which is always the most relevant).
    vectors : DenseIndex, DataFrame or mapping, optional
        Vectors used when a call brings none; see :meth:`rerank`.

    Notes
    -----
    The score of the slate is the value above at the moment of the pick. It never increases down
    the slate, so sorting by score reproduces the slate.

    Each pick updates the highest cosine of every candidate with one product, so a slate of `k`
    from `n` candidates of `d` dimensions costs O(k n d), not the O(n^2 d) of all similarities.
    Queries are handled together. Ties go to the candidate that came first in the run.

    References
    ----------
    J. Carbonell and J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering
    Documents and Producing Summaries", SIGIR 1998.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import MMR
    >>> run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"],
    ...                     "score": [3.0, 2.9, 2.0], "rank": [1, 2, 3]})
    >>> vectors = {"a": [1.0, 0.0], "b": [1.0, 0.0], "c": [0.0, 1.0]}
    >>> MMR(trade_off=0.5).rerank(run, vectors, k=2)
      query_id doc_id  score  rank
    0        q      a    1.0     1
    1        q      c    0.0     2
    """

    def __init__(self, trade_off: float = 0.7, *, vectors: Any = None) -> None:
        """See the class."""
        if not 0 <= trade_off <= 1:
            raise ValueError(f"trade_off must be in [0, 1]; got {trade_off!r}")
        self.trade_off = float(trade_off)
        self.vectors = vectors

    def __repr__(self) -> str:
        """Show the parameter."""
        return f"MMR(trade_off={self.trade_off})"

    def rerank(self, run: pd.DataFrame, vectors: Any = None, k: int | None = None) -> pd.DataFrame:
        """Return the slate of every query.

        Parameters
        ----------
        run : DataFrame
            The candidates: query_id, doc_id, a finite score, and perhaps rank, which then
            settles equal scores. Other columns are carried along.
        vectors : DenseIndex, DataFrame or mapping, optional
            A fitted index; a frame indexed by doc_id with one row a document; or a mapping
            from doc_id to vector. Lengths do not matter. Default: those of the class.
        k : int, optional
            Size of the slate, at least 1. Default: all candidates, re-ordered.

        Returns
        -------
        DataFrame
            query_id, doc_id, score and rank (from 1), then the other columns of `run`; queries
            in the order they first appear.

        Raises
        ------
        ValueError
            If there are no vectors, a candidate has none, a vector has length 0 or holds NaN
            or infinity, or the run repeats a pair, holds a missing or infinite score, or ranks
            against its scores.
        """
        candidates = prepare(run, k)
        given = self.vectors if vectors is None else vectors
        if given is None:
            raise ValueError("vectors is missing: give them here or to MMR(vectors=...)")
        doc, table = _directions(given, candidates.frame["doc_id"])
        doc = doc[candidates.order]
        picks = []
        for block in blocks(candidates.sizes, max(table.shape[1], 1)):
            at, value = candidates.padded(block, self.trade_off)
            size = min(candidates.k, at.shape[1])
            picked, worth = _greedy(value, table[doc[at]], 1 - self.trade_off, size)
            picks.append(candidates.picks(block, picked, worth))
        return assemble(candidates, picks)

    def __call__(
        self, run: pd.DataFrame, vectors: Any = None, k: int | None = None
    ) -> pd.DataFrame:
        """Re-rank: the same as :meth:`rerank`, so that an MMR is a stage."""
        return self.rerank(run, vectors, k)


def _greedy(
    value: FloatArray, vectors: FloatArray, penalty: float, k: int
) -> tuple[IntArray, FloatArray]:
    """Pick `k` times in every row; return the columns picked and their worth."""
    rows = np.arange(len(value))
    closest = np.full(value.shape, -1.0)
    picked = np.empty((len(value), k), dtype=np.int64)
    worth = np.empty((len(value), k))
    for step in range(k):
        marginal = value - penalty * closest
        best = marginal.argmax(axis=1)
        picked[:, step] = best
        worth[:, step] = marginal[rows, best]
        value[rows, best] = -np.inf
        cosine = dot_rows(vectors, vectors[rows, best][:, None, :])
        np.maximum(closest, cosine, out=closest)
    return picked, worth


def _directions(vectors: Any, doc_ids: pd.Series[Any]) -> tuple[IntArray, FloatArray]:
    """Return the row of every candidate in a table of unit vectors, and the table."""
    doc, unique = pd.factorize(doc_ids)
    wanted: pd.Index[Any] = pd.Index(unique)
    if isinstance(vectors, DenseIndex):
        known: pd.Index[Any] = vectors.doc_ids
        source = vectors.vectors
    elif isinstance(vectors, pd.DataFrame):
        known, source = vectors.index, vectors.to_numpy()
    elif isinstance(vectors, Mapping):
        known = wanted[[one in vectors for one in wanted]]
        source = np.array([vectors[one] for one in known])
    else:
        raise TypeError(
            "vectors must be a DenseIndex, a DataFrame indexed by doc_id, or a mapping; "
            f"got {type(vectors).__name__}"
        )
    if not known.is_unique:
        raise ValueError("the index of vectors repeats identifiers")
    at = known.get_indexer(wanted)
    if (at < 0).any():
        raise ValueError(
            f"vectors lacks {int((at < 0).sum())} of {len(wanted)} candidates, "
            f"the first being {wanted[at < 0].tolist()[0]!r}"
        )
    if not len(wanted):
        return doc, np.zeros((0, 1))
    table = np.asarray(source[at], dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"vectors must have one row a document; their shape is {table.shape}")
    lengths = np.sqrt((table**2).sum(axis=1))
    bad = int((~(np.isfinite(lengths) & (lengths > 0))).sum())
    if bad:
        raise ValueError(f"vectors has {bad} rows of length 0 or with NaN or infinity")
    return doc, table / lengths[:, None]
