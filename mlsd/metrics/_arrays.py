"""The ranking metrics on plain arrays: relevance and score of each document, and its query."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._groups import Segments, group_rows
from mlsd._inputs import as_array, as_column, as_floats
from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray
from mlsd._validation import check_choice, check_positive_int, check_same_length, warn_undefined
from mlsd.metrics import _ranking
from mlsd.metrics._hits import Hits, Options, locate, settle_ties
from mlsd.metrics._ids import as_ids
from mlsd.metrics._qrels import Gain, gains

__all__ = [
    "average_precision_at_k",
    "cutoff",
    "hit_rate",
    "hits_of",
    "mean_defined",
    "ndcg",
    "precision_at_k",
    "recall_at_k",
    "reciprocal_rank",
]


def _flat(values: npt.ArrayLike, name: str) -> tuple[FloatArray, int | None]:
    """Return a vector, or a matrix as a vector with the length of its rows."""
    array = as_array(values, name)
    if array.ndim == 2:
        return as_floats(array.ravel(), name), array.shape[1]
    return as_floats(values, name), None


def hits_of(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    query: npt.ArrayLike | None,
    ties: str,
    *,
    gain: Gain = "linear",
    min_relevance: float = 1,
) -> Hits:
    """Return where the documents stand, each query by place; all of them are judged."""
    check_choice(ties, "ties", ("average", "first", "worst"))
    if not min_relevance > 0:
        raise ValueError(f"min_relevance must be above 0; got {min_relevance!r}")
    relevance, width = _flat(y_true, "y_true")
    scores, score_width = _flat(y_score, "y_score")
    check_same_length(y_true=relevance, y_score=scores)
    if width != score_width:
        raise ValueError(
            f"y_true and y_score differ in shape: {np.shape(y_true)} and {np.shape(y_score)}"
        )
    if not relevance.size:
        raise ValueError("y_true is empty: there is nothing to evaluate")
    if not np.isfinite(relevance).all():
        raise ValueError("y_true holds an infinite relevance")
    if width is not None:
        if query is not None:
            raise ValueError("query must be None when y_true is a matrix: its rows are the queries")
        segments = Segments.from_lengths(np.full(relevance.size // width, width))
    elif query is None:
        segments = Segments.from_lengths([relevance.size])
    else:
        if isinstance(query, pd.Series):
            column: pd.Series[Any] = query
        else:
            labels = as_column(query, "query")
            column = pd.Series(labels, dtype=labels.dtype)
        check_same_length(y_true=relevance, query=column)
        codes, lengths, distinct = as_ids(column, "query").factorize()
        order, segments = group_rows(np.repeat(codes, lengths), len(distinct))
        relevance, scores = relevance[order], scores[order]
    labels, positions = segments.labels(), segments.positions()
    places = locate(segments, scores, np.arange(relevance.size), positions)
    found = segments.starts[places.query] + places.label
    above, tied = settle_ties(places, segments, scores, found, relevance[found], ties)
    if above is not places.above:
        order = np.lexsort((above, places.query))
        above, tied, found = above[order], tied[order], found[order]
    gain_of = gains(relevance, gain)
    relevant = relevance >= min_relevance
    alive = np.flatnonzero(segments.lengths)
    best = np.full(len(segments), -np.inf)
    best[alive] = np.maximum.reduceat(relevance, segments.starts[alive])
    return Hits(
        n_queries=len(segments),
        n_shown=segments.lengths,
        n_relevant=np.bincount(labels[relevant], minlength=len(segments)),
        query=labels,
        above=above,
        tied=tied,
        relevance=relevance[found],
        gain=gain_of[found],
        relevant=relevant[found],
        best=best,
        ideal_query=labels,
        ideal_place=positions,
        ideal_gain=gain_of[np.lexsort((-gain_of, labels))],
    )


def cutoff(k: int | None) -> int | None:
    """Return a cut-off, or None for the whole list."""
    return None if k is None else check_positive_int(k, "k")


def mean_defined(values: FloatArray) -> float:
    """Return the mean over the queries with a relevant document; warn of the others."""
    undefined = np.isnan(values)
    if undefined.any():
        warn_undefined(
            f"{int(undefined.sum())} of {values.size} queries have no relevant document: "
            "the metric is undefined there, and they are left out of the mean",
            stacklevel=4,
        )
    return float(values[~undefined].mean()) if not undefined.all() else float("nan")


def ndcg(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    gain: Gain = "linear",
    ties: str = "average",
) -> float:
    """Normalised discounted cumulative gain: the mean over queries of DCG over the ideal DCG.

    Parameters
    ----------
    y_true : array-like of shape (n,) or (n_queries, n_docs)
        Relevance of each document; a negative one has gain 0. All documents count as judged.
    y_score : array-like of the same shape
        Scores, higher first. NaN raises.
    query : array-like of shape (n,) or None
        The query of each document; None: all are of one query. Not with a matrix.
    k : int or None
        Cut-off; None: the whole list.
    gain : str or mapping
        "linear", "exp2" for ``2**rel - 1``, or a mapping from relevance to gain.
    ties : str
        "average": the mean over all orders of tied documents; "first": the order given; "worst":
        the least relevant first.

    Returns
    -------
    float
        Between 0 and 1. A query in which nothing has a gain is undefined and left out, with an
        ``UndefinedMetricWarning``; nan if all are.

    Raises
    ------
    ValueError
        If the shapes differ, a value is NaN, the input is empty, a gain is not finite or an
        option is unknown.

    References
    ----------
    Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques, ACM TOIS
    20(4). McSherry and Najork (2008) for the ties, ECIR.

    Examples
    --------
    >>> round(ndcg([2, 0, 1], [0.1, 0.5, 0.9]), 4)
    0.7602
    >>> round(ndcg([1, 0], [0.5, 0.5]), 4)  # halfway between 1 and 1 / log2(3)
    0.8155
    """
    hits = hits_of(y_true, y_score, query, ties, gain=gain)
    return mean_defined(_ranking.ndcg(hits, cutoff(k), Options()))


def average_precision_at_k(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    ties: str = "average",
    min_relevance: float = 1,
    normalize: str = "R",
) -> float:
    """Mean average precision: precision at each relevant document in the top k, over R.

    Parameters
    ----------
    y_true, y_score, query, ties
        As in ``ndcg``.
    k : int or None
        Cut-off; None: the whole list.
    min_relevance : float
        The least relevance that counts as relevant; above 0.
    normalize : str
        "R" divides by the number of relevant documents (trec_eval); "min(R,k)" by the most that
        can be in the top k, so that a perfect list always has 1.

    Returns
    -------
    float
        Between 0 and 1; queries without a relevant document as in ``ndcg``.

    Raises
    ------
    ValueError
        As ``ndcg``.

    References
    ----------
    Buckley and Voorhees (2000), Evaluating evaluation measure stability, SIGIR.

    Examples
    --------
    >>> round(average_precision_at_k([1, 0, 1], [0.9, 0.5, 0.1]), 4)
    0.8333
    """
    check_choice(normalize, "normalize", ("R", "min(R,k)"))
    hits = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance)
    return mean_defined(_ranking.average_precision(hits, cutoff(k), Options(normalize=normalize)))


def reciprocal_rank(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    ties: str = "average",
    min_relevance: float = 1,
) -> float:
    """Mean reciprocal rank: one over the place of the first relevant document, 0 beyond k.

    Parameters
    ----------
    y_true, y_score, query, k, ties, min_relevance
        As in ``average_precision_at_k``.

    Returns
    -------
    float
        Between 0 and 1; queries without a relevant document as in ``ndcg``.

    Raises
    ------
    ValueError
        As ``ndcg``.

    References
    ----------
    Voorhees (1999), The TREC-8 question answering track report, TREC.

    Examples
    --------
    >>> reciprocal_rank([0, 1, 0, 1], [0.9, 0.5, 0.8, 0.9], query=["a", "a", "b", "b"])
    0.75
    """
    hits = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance)
    return mean_defined(_ranking.reciprocal_rank(hits, cutoff(k), Options()))


def hit_rate(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    query: npt.ArrayLike | None = None,
    k: int | None = None,
    ties: str = "average",
    min_relevance: float = 1,
) -> float:
    """Share of the queries with at least one relevant document in the top k.

    Parameters
    ----------
    y_true, y_score, query, k, ties, min_relevance
        As in ``average_precision_at_k``.

    Returns
    -------
    float
        Between 0 and 1; queries without a relevant document as in ``ndcg``.

    Raises
    ------
    ValueError
        As ``ndcg``.

    Examples
    --------
    >>> hit_rate([0, 1, 1, 0], [0.9, 0.5, 0.8, 0.2], query=[1, 1, 2, 2], k=1)
    0.5
    """
    hits = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance)
    return mean_defined(_ranking.hit_rate(hits, cutoff(k), Options()))


def recall_at_k(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    k: int,
    query: npt.ArrayLike | None = None,
    ties: str = "average",
    min_relevance: float = 1,
) -> float:
    """Mean share of the relevant documents that are in the top k.

    Parameters
    ----------
    y_true, y_score, query, ties, min_relevance
        As in ``average_precision_at_k``.
    k : int
        Cut-off.

    Returns
    -------
    float
        Between 0 and 1; queries without a relevant document as in ``ndcg``.

    Raises
    ------
    ValueError
        As ``ndcg``.

    Examples
    --------
    >>> recall_at_k([1, 0, 1], [0.9, 0.5, 0.1], k=2)
    0.5
    """
    hits = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance)
    return mean_defined(_ranking.recall(hits, check_positive_int(k, "k"), Options()))


def precision_at_k(
    y_true: npt.ArrayLike,
    y_score: npt.ArrayLike,
    *,
    k: int,
    query: npt.ArrayLike | None = None,
    ties: str = "average",
    min_relevance: float = 1,
) -> float:
    """Mean number of relevant documents in the top k over k, even if the list is shorter.

    Parameters
    ----------
    y_true, y_score, query, ties, min_relevance
        As in ``average_precision_at_k``.
    k : int
        Cut-off.

    Returns
    -------
    float
        Between 0 and 1; queries without a relevant document as in ``ndcg``.

    Raises
    ------
    ValueError
        As ``ndcg``.

    Examples
    --------
    >>> precision_at_k([1, 0, 1], [0.9, 0.5, 0.1], k=2)
    0.5
    """
    hits = hits_of(y_true, y_score, query, ties, min_relevance=min_relevance)
    return mean_defined(_ranking.precision(hits, check_positive_int(k, "k"), Options()))
