"""Re-ranking a slate as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._inputs import as_array, as_floats
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_positive_int
from mlsd.funnel._slate import assemble, blocks, prepare
from mlsd.funnel.dense import DenseIndex

__all__ = ["MMR", "mmr"]

# Picks made between two looks at all candidates, and for each the candidates they are made from.
_LOOK = 64
_HEAD = 4
# Numbers held at once when looking at all: fewer picks, if the candidates are very many.
_WORK = 4_000_000


def mmr(
    relevance: npt.ArrayLike, vectors: npt.ArrayLike, k: int, *, trade_off: float = 0.7
) -> tuple[IntArray, FloatArray]:
    """Pick a slate of one request by maximal marginal relevance, on arrays.

    What :class:`MMR` does to frames, for a server that has the candidates of one request at hand:
    the same picks, the same ties, and the same values within rounding (1e-15 or so).

    Parameters
    ----------
    relevance : array-like of shape (n,)
        Finite scores of the candidates, higher is better; scaled to [0, 1] by the lowest and the
        highest (1 for all if they are equal).
    vectors : array-like of shape (n, d)
        One vector a candidate. Lengths do not matter, but none may be 0.
    k : int
        Size of the slate, at least 1.
    trade_off : float, default 0.7
        In [0, 1]: 1 keeps the order of relevance, 0 looks at diversity only (after the first,
        which is always the most relevant).

    Returns
    -------
    positions : ndarray of shape (min(k, n),)
        The candidates picked, in the order of the slate, as positions from 0.
    values : ndarray of shape (min(k, n),)
        ``trade_off * relevance - (1 - trade_off) * (highest cosine with one picked before)``
        at the moment of the pick, the cosine of the first being -1; in [-1, 1], never increasing.

    Raises
    ------
    TypeError
        If an array does not hold numbers, or `k` is not an integer.
    ValueError
        If lengths or shapes do not fit, a number is NaN or infinite, a vector has length 0, `k` is
        below 1 or `trade_off` outside [0, 1].

    Notes
    -----
    What a candidate is worth only ever falls, so what it was worth earlier is a bound. Most
    candidates are never worth the next pick by that bound and are looked at once in 64 picks
    (a lazy greedy search, as Minoux has it for submodular functions). If bounds do not help,
    every pick looks at all: O(k n d) operations at most, and no n * n matrix.

    Ties go to the more relevant, then to the candidate that came first. Matrix products propose
    the picks; where the lead of one is within their rounding, products that are the same for
    equal vectors decide.

    References
    ----------
    J. Carbonell and J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering
    Documents and Producing Summaries", SIGIR 1998.

    M. Minoux, "Accelerated Greedy Algorithms for Maximizing Submodular Set Functions",
    Optimization Techniques, 1978.

    Examples
    --------
    >>> from mlsd.funnel import mmr
    >>> positions, values = mmr([3.0, 2.9, 2.0], [[1, 0], [1, 0], [0, 1]], k=2, trade_off=0.5)
    >>> positions, values
    (array([0, 2]), array([1., 0.]))
    """
    penalty = 1 - _check_trade_off(trade_off)
    score = as_floats(relevance, "relevance")
    k = min(check_positive_int(k, "k"), score.size)
    table = as_array(vectors, "vectors")
    if table.dtype.kind not in "biuf":
        raise TypeError(f"vectors must be numeric; got {table.dtype}")
    if table.ndim != 2 or len(table) != score.size:
        raise ValueError(
            f"vectors must have one row for each of the {score.size} values of relevance; "
            f"their shape is {table.shape}"
        )
    if not k:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    low, high = float(score.min()), float(score.max())
    if not high - low < np.inf:
        raise ValueError(
            f"relevance and its range must be finite; it goes from {low:g} to {high:g}"
        )
    unit = (score - low) / (high - low) if high > low else np.ones(score.size)
    value = trade_off * unit
    table = np.ascontiguousarray(table, dtype=np.float64)
    lengths = _lengths(table)
    found = _lazy(value, table, lengths, penalty, k, int(score.argmax()))
    if found is None:
        order = np.argsort(-score, kind="stable")
        lines = _unit(table[order], lengths[order])[None]
        picked, worth = _greedy(value[order][None], lines, penalty, k)
        found = order[picked[0]], worth[0]
    return found


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
        self.trade_off = _check_trade_off(trade_off)
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
        penalty = 1 - self.trade_off
        picks = []
        for block in blocks(candidates.sizes, max(table.shape[1], 1)):
            at, value = candidates.padded(block, self.trade_off)
            size = min(candidates.k, at.shape[1])
            unit = table[doc[at]]
            found = None
            if block.size == 1:
                found = _lazy(value[0], unit[0], np.ones(at.shape[1]), penalty, size, 0)
            if found is None:
                picked, worth = _greedy(value, unit, penalty, size)
            else:
                picked = found[0][None]
                worth = _exact(value[0, picked[0]], unit[0, picked[0]], penalty)[None]
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
    """Pick `k` times in every row of `value`; return the columns picked and their worth.

    The products are one call of BLAS for each candidate: rows of one length and alignment, so
    equal vectors tie exactly, and a row does not depend on those beside it. Products of whole
    matrices promise neither, since their kernels treat the edges of a block differently.
    """
    rows = np.arange(len(value))
    picked = np.empty((len(value), k), dtype=np.int64)
    worth = np.empty((len(value), k))
    now = value + penalty
    for step in range(k):
        best = now.argmax(axis=1)
        picked[:, step] = best
        worth[:, step] = now[rows, best]
        now[rows, best] = -np.inf
        if step + 1 < k:
            cosine = np.vecdot(vectors, vectors[rows, best][:, None, :])
            np.minimum(now, value - penalty * cosine, out=now)
    return picked, worth


def _lazy(
    value: FloatArray,
    vectors: FloatArray,
    lengths: FloatArray,
    penalty: float,
    k: int,
    first: int,
) -> tuple[IntArray, FloatArray] | None:
    """Pick `k` times for one request, beginning with `first`; None if a lead is within rounding.

    The picks are those of `_greedy`, their worth is so within rounding. A bound is what a
    candidate was worth when all were last looked at. Picks are made among those with the highest
    bounds until one is worth less than the best bound outside.
    """
    n, d = vectors.shape
    slack = 4 * (d + 8) * np.finfo(np.float64).eps  # several times the rounding of a product
    scale = np.sqrt(penalty) / lengths
    bound = value + penalty
    new = np.array([first])
    picked, worth = [new], [bound[new]]
    left, wide, wide_next = k - 1, 0, 8
    while left:
        toward = vectors[new] * scale[new, None]
        np.minimum(bound, value - (toward @ vectors.T).max(axis=0) * scale, out=bound)
        bound[new] = -np.inf
        look = min(left, wide or _LOOK, max(_WORK // n, 1))
        size = n if wide else min(_HEAD * look, n)
        likely = 0 if wide else min(3 * look // 2, size)
        head, outside = _highest(bound, size, likely)
        scaled = vectors.take(head, axis=0)
        scaled *= scale[head, None]
        best, seen = _propose(value[head], bound[head], scaled, look, likely)
        steps = np.arange(look)
        lead = seen[steps, best]
        close = seen >= (lead - slack)[:, None]
        close[steps, best] = False
        sure = look
        if np.count_nonzero(close) or lead[-1] <= outside + slack:  # leads never increase
            sure = int((close.any(axis=1) | (lead <= outside + slack)).argmax())
        if not sure:
            return None
        # A head that is soon exhausted was chosen by loose bounds: tighten them by picks from all.
        wide = 0
        if sure < min(look, 8) and size < n:
            wide, wide_next = wide_next, min(2 * wide_next, _LOOK)
        new = head[best[:sure]]
        picked.append(new)
        worth.append(lead[:sure])
        left -= sure
    return np.concatenate(picked), np.concatenate(worth)


def _highest(bound: FloatArray, size: int, n_first: int) -> tuple[IntArray, float]:
    """Return the rows of the highest bounds, the very highest first, and the best bound left."""
    if size == bound.size:
        return np.argpartition(-bound, n_first) if n_first < size else np.arange(size), -np.inf
    order = np.argpartition(-bound, (n_first, size))
    return order[:size], float(bound[order[size]])


def _propose(
    value: FloatArray, now: FloatArray, scaled: FloatArray, k: int, n_likely: int
) -> tuple[IntArray, FloatArray]:
    """Pick `k` times; return the picks, and what all were worth before each of them.

    The inner product of two rows of `scaled` is the penalty of one for the other. Those of the
    first `n_likely` rows are computed at once, the others when such a row is picked.
    """
    after = scaled[:n_likely] @ scaled.T
    np.subtract(value, after, out=after)
    seen = np.empty((k, now.size))
    seen[0] = now
    now = seen[0]
    picked = []
    minimum, out_of_play = np.minimum, -np.inf  # looked up once: a step takes a microsecond
    for later in seen[1:]:
        best = int(now.argmax())
        picked.append(best)
        worth = after[best] if best < n_likely else value - scaled.dot(scaled[best])
        minimum(now, worth, out=later)
        later[best] = out_of_play
        now = later
    picked.append(int(now.argmax()))
    return np.array(picked), seen


def _exact(value: FloatArray, unit: FloatArray, penalty: float) -> FloatArray:
    """Return what the rows of a slate were worth when picked, to the last digit of `_greedy`."""
    worth = value + penalty
    column = np.arange(value.size)
    for start in range(0, value.size, _LOOK):
        part, before = slice(start, start + _LOOK), slice(0, start + _LOOK)
        cosine = np.vecdot(unit[part, None], unit[None, before])
        cosine[column[before] >= column[part, None]] = -1.0
        worth[part] = np.minimum(worth[part], value[part] - penalty * cosine.max(axis=1))
    return worth


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
    table = np.ascontiguousarray(source[at], dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"vectors must have one row a document; their shape is {table.shape}")
    return doc, _unit(table, _lengths(table))


def _lengths(vectors: FloatArray) -> FloatArray:
    """Return the length of every row, or raise if one is 0, NaN or infinite."""
    lengths: FloatArray = np.sqrt(np.vecdot(vectors, vectors))
    if not (lengths.min() > 0 and lengths.max() < np.inf):
        bad = int((~(np.isfinite(lengths) & (lengths > 0))).sum())
        raise ValueError(f"vectors has {bad} rows of length 0 or with NaN or infinity")
    return lengths


def _unit(vectors: FloatArray, lengths: FloatArray) -> FloatArray:
    """Return rows of length 1, filled with zeros so that each begins on a 64-byte step."""
    unit = np.zeros((len(vectors), -(-vectors.shape[1] // 8) * 8))
    np.divide(vectors, lengths[:, None], out=unit[:, : vectors.shape[1]])
    return unit


def _check_trade_off(trade_off: float) -> float:
    """Return the weight of relevance, or raise."""
    if not 0 <= trade_off <= 1:
        raise ValueError(f"trade_off must be in [0, 1]; got {trade_off!r}")
    return float(trade_off)
