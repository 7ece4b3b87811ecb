"""Metrics of diversity: how many aspects of a query its first documents cover, and how evenly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsd._groups import FloatArray, IntArray, Segments
from mlsd._validation import (
    as_1d_float,
    check_columns,
    check_positive_int,
    check_rank_follows_score,
    warn_undefined,
)
from mlsd.metrics._ids import as_ids, check_same_kind

__all__ = ["alpha_ndcg", "subtopic_recall"]


@dataclass(frozen=True, slots=True)
class _Aspects:
    """Which document holds which subtopic, as codes, and the place of the documents in the run."""

    queries: pd.Index[Any]
    query_of_doc: IntArray
    """Query of each judged document; ascending."""
    query_of_topic: IntArray
    doc: IntArray
    """Document of each (document, subtopic) pair."""
    topic: IntArray
    """Subtopic, counted per query, of each pair."""
    place: FloatArray
    """Place of each judged document in the run, from 1; infinite if it is not there."""


def _codes(pairs: pd.DataFrame, column: str) -> IntArray:
    """Return one code for each distinct (query, value of the column), in order of appearance."""
    by_pair = pairs.groupby(["query_id", column], sort=False, observed=True)
    return by_pair.ngroup().to_numpy().astype(np.int64)


def _aspects(run: pd.DataFrame, subtopics: pd.DataFrame) -> _Aspects:
    check_columns(run, "run", ["query_id", "doc_id"])
    check_columns(subtopics, "subtopics", ["query_id", "doc_id", "subtopic"])
    if "rank" not in run and "score" not in run:
        raise ValueError(f"run lacks a column 'rank' or 'score'; it has {list(run.columns)}")
    if subtopics.empty:
        raise ValueError("subtopics is empty: there is nothing to evaluate against")
    for name in ("query_id", "doc_id"):
        judged = as_ids(subtopics[name], f"subtopics column {name!r}")
        shown = as_ids(run[name], f"run column {name!r}")
        check_same_kind(judged, shown)
        judged.keys()
        shown.keys()
    if subtopics["subtopic"].isna().any():
        raise ValueError("subtopics column 'subtopic' has missing values")
    keys = ["query_id", "doc_id"]
    for frame, name, columns in ((run, "run", keys), (subtopics, "subtopics", [*keys, "subtopic"])):
        double = int(frame.duplicated(columns).sum())
        if double:
            raise ValueError(f"{name} holds {double} duplicate rows of {columns}")
    by = "rank" if "rank" in run else "score"
    values = as_1d_float(run[by], f"run column {by!r}")
    if by == "rank" and "score" in run:
        score = as_1d_float(run["score"], "run column 'score'")
        check_rank_follows_score(pd.factorize(run["query_id"])[0], score, values, "run")
    order_by = values if by == "rank" else -values
    if by == "rank" and run.duplicated(["query_id", "rank"]).any():
        raise ValueError("run gives one rank to several documents of a query")
    ranked = run[keys].assign(order=order_by).sort_values("order", kind="stable")
    ranked["place"] = ranked.groupby("query_id", sort=False, observed=True).cumcount() + 1.0
    pairs = subtopics[[*keys, "subtopic"]].reset_index(drop=True)
    codes, queries = pd.factorize(pairs["query_id"])
    unknown = ~run["query_id"].drop_duplicates().isin(pairs["query_id"])
    if unknown.any():
        warn_undefined(
            f"{int(unknown.sum())} queries of the run have no subtopics and are left out",
            stacklevel=4,
        )
    # Documents in order of query, so that those of a query stand together.
    pairs = pairs.iloc[np.argsort(codes, kind="stable")].reset_index(drop=True)
    codes = np.sort(codes).astype(np.int64)
    doc = _codes(pairs, "doc_id")
    first = np.unique(doc, return_index=True)[1]
    place = pairs.loc[first, keys].merge(ranked[[*keys, "place"]], how="left", on=keys)["place"]
    topic = _codes(pairs, "subtopic")
    return _Aspects(
        queries=pd.Index(queries, name="query_id"),
        query_of_doc=codes[first],
        query_of_topic=codes[np.unique(topic, return_index=True)[1]],
        doc=doc,
        topic=topic,
        place=place.fillna(np.inf).to_numpy(dtype=np.float64),
    )


def subtopic_recall(run: pd.DataFrame, subtopics: pd.DataFrame, k: int = 10) -> pd.Series[float]:
    """Share of a query's subtopics that the first k documents cover between them.

    Parameters
    ----------
    run : DataFrame
        query_id, doc_id, and ``score`` (higher first) or ``rank`` (smaller first) or both. Of
        equal scores the smaller rank comes first, without ranks the earlier row. With both, the
        ranks must follow the scores. Places are counted anew, so ranks may leave some out.
    subtopics : DataFrame
        query_id, doc_id, subtopic: one row for each subtopic that a document covers.
    k : int
        Cut-off.

    Returns
    -------
    Series
        One value from 0 to 1 for each query of `subtopics`; 0 if the run lacks the query. Queries
        of the run without subtopics are left out, with an ``UndefinedMetricWarning``.

    Raises
    ------
    TypeError
        If an argument is not a DataFrame, or identifiers are integers on one side only.
    ValueError
        If a column is missing, a row, a score, a rank or a cut-off is not valid, or a better
        rank goes with a lower score within a query.

    References
    ----------
    Zhai, Cohen and Lafferty (2003), Beyond independent relevance, SIGIR.

    Examples
    --------
    >>> import pandas as pd
    >>> run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "rank": [1, 2, 3]})
    >>> subtopics = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c", "c"],
    ...                           "subtopic": ["fruit", "fruit", "company", "record label"]})
    >>> float(subtopic_recall(run, subtopics, 2).round(3).loc["q"])
    0.333
    """
    k = check_positive_int(k, "k")
    found = _aspects(run, subtopics)
    covered = np.unique(found.topic[found.place[found.doc] <= k])
    n = len(found.queries)
    of_query = np.bincount(found.query_of_topic, minlength=n)
    share = np.bincount(found.query_of_topic[covered], minlength=n) / of_query
    return pd.Series(share, index=found.queries, name=f"subtopic_recall@{k}")


def alpha_ndcg(
    run: pd.DataFrame, subtopics: pd.DataFrame, *, alpha: float = 0.5, k: int = 10
) -> pd.Series[float]:
    """NDCG in which a subtopic is worth less each time it comes again.

    A document's gain is the sum over its subtopics of ``(1 - alpha) ** (documents above with it)``;
    the discount is ``1 / log2(place + 1)``. The ideal order is built greedily, the document with
    the largest gain next, the first in `subtopics` among equals: the exact one is NP-hard to find.
    So a value a little above 1 is possible in principle, and is not cut off.

    Parameters
    ----------
    run, subtopics, k
        As in ``subtopic_recall``.
    alpha : float
        From 0 (repetition costs nothing) to 1 (only the first document of a subtopic counts).

    Returns
    -------
    Series
        One value for each query of `subtopics`, as in ``subtopic_recall``.

    Raises
    ------
    TypeError, ValueError
        As ``subtopic_recall``, and if `alpha` is outside 0 to 1.

    References
    ----------
    Clarke, Kolla, Cormack, Vechtomova, Ashkan, Büttcher and MacKinnon (2008), Novelty and diversity
    in information retrieval evaluation, SIGIR.

    Examples
    --------
    >>> import pandas as pd
    >>> run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "rank": [1, 2, 3]})
    >>> subtopics = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"],
    ...                           "subtopic": ["fruit", "fruit", "company"]})
    >>> float(alpha_ndcg(run, subtopics).round(4).loc["q"])
    0.9652
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha!r}")
    k = check_positive_int(k, "k")
    found = _aspects(run, subtopics)
    place = found.place[found.doc]
    shown = np.flatnonzero(place <= k)
    shown = shown[np.lexsort((place[shown], found.topic[shown]))]
    topics = np.bincount(found.topic[shown], minlength=found.query_of_topic.size)
    seen = Segments.from_lengths(topics).positions()
    gain = (1.0 - alpha) ** seen / np.log2(place[shown] + 1)
    n = len(found.queries)
    dcg = np.bincount(found.query_of_topic[found.topic[shown]], weights=gain, minlength=n)
    return pd.Series(
        dcg / _greedy_ideal(found, alpha, k), index=found.queries, name=f"alpha_ndcg@{k}"
    )


def _greedy_ideal(found: _Aspects, alpha: float, k: int) -> FloatArray:
    """Return the DCG of the greedy order of each query: k rounds, each over all queries at once."""
    n = len(found.queries)
    docs = Segments.from_lengths(np.bincount(found.query_of_doc, minlength=n))
    worth = np.ones(found.query_of_topic.size)
    taken = np.zeros(found.query_of_doc.size, dtype=np.bool_)
    total = np.zeros(n)
    for place in range(1, min(k, docs.longest) + 1):
        gain = np.bincount(found.doc, weights=worth[found.topic], minlength=taken.size)
        gain[taken] = -1.0
        best = np.maximum.reduceat(gain, docs.starts)
        total += np.maximum(best, 0.0) / np.log2(place + 1)
        is_best = np.flatnonzero(gain == best[found.query_of_doc])
        chosen = is_best[np.unique(found.query_of_doc[is_best], return_index=True)[1]]
        chosen = chosen[gain[chosen] >= 0]  # a query may have run out of documents
        taken_now = np.zeros_like(taken)
        taken_now[chosen] = True
        taken |= taken_now
        worth[found.topic[taken_now[found.doc]]] *= 1.0 - alpha
    return total
