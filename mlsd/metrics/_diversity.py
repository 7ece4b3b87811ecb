"""Metrics of diversity: how many aspects of a query its first documents cover, and how evenly."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._groups import Segments
from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_positive_int, check_rank_follows_score, warn_undefined
from mlsd.metrics._ids import as_ids, check_same_kind
from mlsd.metrics._result import RankingDiagnostics, RankingResult
from mlsd.metrics._tables import column_names

__all__ = ["alpha_ndcg", "evaluate_diversity", "subtopic_recall"]


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
    diagnostics: RankingDiagnostics


def _codes(pairs: pd.DataFrame, column: str) -> IntArray:
    """Return one code for each distinct (query, value of the column), in order of appearance."""
    by_pair = pairs.groupby(["query_id", column], sort=False, observed=True)
    return by_pair.ngroup().to_numpy().astype(np.int64)


def _aspects(run: Any, subtopics: Any) -> _Aspects:
    keys = ["query_id", "doc_id"]
    has = column_names(run)
    orders = [name for name in ("rank", "score") if name in has]
    run = as_pandas(run, "run", [*keys, *orders])
    pairs = as_pandas(subtopics, "subtopics", [*keys, "subtopic"])
    if not orders:
        raise ValueError(f"run lacks a column 'rank' or 'score'; it has {has}")
    if pairs.empty:
        raise ValueError("subtopics is empty: there is nothing to evaluate against")
    for name in keys:
        judged = as_ids(pairs[name], f"subtopics column {name!r}")
        shown = as_ids(run[name], f"run column {name!r}")
        check_same_kind(judged, shown)
        judged.settled()
        shown.settled()
    if pairs["subtopic"].isna().any():
        raise ValueError("subtopics column 'subtopic' has missing values")
    for frame, name, columns in ((run, "run", keys), (pairs, "subtopics", [*keys, "subtopic"])):
        double = int(frame.duplicated(columns).sum())
        if double:
            raise ValueError(f"{name} holds {double} duplicate rows of {columns}")
    by = orders[0]
    values = as_floats(run[by], f"run column {by!r}")
    if len(orders) == 2:
        score = as_floats(run["score"], "run column 'score'")
        group = pd.factorize(run["query_id"])[0].astype(np.int64)
        check_rank_follows_score(group, score, values, "run")
    if by == "rank" and run.duplicated(["query_id", "rank"]).any():
        raise ValueError("run gives one rank to several documents of a query")
    order_by = values if by == "rank" else -values
    ranked = run[keys].assign(order=order_by).sort_values("order", kind="stable")
    ranked["place"] = ranked.groupby("query_id", sort=False, observed=True).cumcount() + 1.0
    codes, queries = pd.factorize(pairs["query_id"])
    # Documents in order of query, so that those of a query stand together.
    pairs = pairs.iloc[np.argsort(codes, kind="stable")].reset_index(drop=True)
    codes = np.sort(codes).astype(np.int64)
    doc = _codes(pairs, "doc_id")
    first = np.unique(doc, return_index=True)[1]
    place = pairs.loc[first, keys].merge(ranked[[*keys, "place"]], how="left", on=keys)["place"]
    topic = _codes(pairs, "subtopic")
    found = place.fillna(np.inf).to_numpy(dtype=np.float64)
    return _Aspects(
        queries=pd.Index(queries, name="query_id"),
        query_of_doc=codes[first],
        query_of_topic=codes[np.unique(topic, return_index=True)[1]],
        doc=doc,
        topic=topic,
        place=found,
        diagnostics=_diagnose(run, queries, codes[first], found),
    )


def _diagnose(
    run: pd.DataFrame, queries: Any, query_of_doc: IntArray, place: FloatArray
) -> RankingDiagnostics:
    """Count what the run lacks of the queries with subtopics, and what it has beside them."""
    of_row = pd.Index(queries).get_indexer(pd.Index(run["query_id"]))
    known = of_row >= 0
    n_shown = np.bincount(of_row[known], minlength=len(queries))
    shown = n_shown > 0
    in_top = np.bincount(query_of_doc[place <= 10], minlength=len(queries))
    tied = 0
    if "score" in run:
        tied = int(run[known].duplicated(["query_id", "score"], keep=False).sum())
    return RankingDiagnostics(
        n_queries=len(queries),
        n_judgements=place.size,
        n_run_rows=len(run),
        missing_queries=int((~shown).sum()),
        unjudged_queries=int(run.loc[~known, "query_id"].nunique()),
        unjudged_query_rows=int((~known).sum()),
        empty_queries=0,
        unjudged_rows=int(known.sum()) - int(np.isfinite(place).sum()),
        tied_fraction=tied / max(int(known.sum()), 1),
        judged_at_10=(
            float((in_top[shown] / np.minimum(n_shown[shown], 10)).mean())
            if shown.any()
            else float("nan")
        ),
    )


def _warn_of_unjudged(found: _Aspects) -> None:
    count = found.diagnostics.unjudged_queries
    if count:
        warn_undefined(
            f"{count} queries of the run have no subtopics and are left out", stacklevel=4
        )


def subtopic_recall(run: Any, subtopics: Any, k: int = 10) -> pd.Series[float]:
    """Share of a query's subtopics that the first k documents cover between them.

    Parameters
    ----------
    run : DataFrame
        query_id, doc_id, and ``score`` (higher first) or ``rank`` (smaller first) or both. With
        both, the ranks must follow the scores. Of equal scores the smaller rank comes first,
        without ranks the earlier row: what documents cover between them depends on their order, so
        there is no closed form for the mean over all orders of ties. Places are counted anew, so
        ranks may leave some out. A table of pandas (the index is ignored), polars or pyarrow.
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
    _warn_of_unjudged(found)
    return pd.Series(_recall(found, k), index=found.queries, name=f"subtopic_recall@{k}")


def alpha_ndcg(run: Any, subtopics: Any, *, alpha: float = 0.5, k: int = 10) -> pd.Series[float]:
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
    alpha, k = _check_alpha(alpha), check_positive_int(k, "k")
    found = _aspects(run, subtopics)
    _warn_of_unjudged(found)
    return pd.Series(_alpha_ndcg(found, alpha, k), index=found.queries, name=f"alpha_ndcg@{k}")


def evaluate_diversity(
    run: Any,
    subtopics: Any,
    metrics: str | Iterable[str] = ("alpha_ndcg@10", "subtopic_recall@10"),
    *,
    alpha: float = 0.5,
) -> RankingResult:
    """Evaluate what a ranking covers: values per query, with intervals, tests and diagnostics.

    Parameters
    ----------
    run, subtopics
        As in ``subtopic_recall``.
    metrics : str or iterable of str
        Any of ``alpha_ndcg@k`` and ``subtopic_recall@k``.
    alpha : float
        As in ``alpha_ndcg``.

    Returns
    -------
    RankingResult
        As of ``evaluate_ranking``. In its diagnostics a document is judged if `subtopics` names it,
        and every query of `subtopics` is a row. Tied documents are those of one score.

    Raises
    ------
    TypeError, ValueError
        As ``alpha_ndcg``, and if a metric is unknown, has no cut-off or is named twice.

    Notes
    -----
    A query of `subtopics` that the run lacks counts 0; a query of the run without subtopics is
    dropped. Both are counted in ``diagnostics``. Ties are settled as in ``subtopic_recall``.

    Examples
    --------
    >>> import pandas as pd
    >>> run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "rank": [1, 2, 3]})
    >>> subtopics = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"],
    ...                           "subtopic": ["fruit", "fruit", "company"]})
    >>> result = evaluate_diversity(run, subtopics, ["alpha_ndcg@3", "subtopic_recall@2"])
    >>> result.mean().round(4).to_dict()
    {'alpha_ndcg@3': 0.9652, 'subtopic_recall@2': 0.5}
    """
    alpha = _check_alpha(alpha)
    wanted = [metrics] if isinstance(metrics, str) else list(metrics)
    if not wanted:
        raise ValueError("metrics is empty: name at least one")
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"metrics names one more than once: {wanted}")
    kernels: dict[str, Callable[[_Aspects, int], FloatArray]] = {
        "alpha_ndcg": lambda found, k: _alpha_ndcg(found, alpha, k),
        "subtopic_recall": _recall,
    }
    parsed = []
    for label in wanted:
        match = re.fullmatch(r"([a-z_]+)@([1-9][0-9]*)", label) if isinstance(label, str) else None
        if match is None or match[1] not in kernels:
            known = ", ".join(f"{name}@k" for name in kernels)
            raise ValueError(f"unknown metric {label!r}; known are {known}")
        parsed.append((label, kernels[match[1]], int(match[2])))
    found = _aspects(run, subtopics)
    values = {label: kernel(found, k) for label, kernel, k in parsed}
    return RankingResult(pd.DataFrame(values, index=found.queries), found.diagnostics)


def _check_alpha(alpha: float) -> float:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie between 0 and 1; got {alpha!r}")
    return float(alpha)


def _recall(found: _Aspects, k: int) -> FloatArray:
    covered = np.unique(found.topic[found.place[found.doc] <= k])
    n = len(found.queries)
    of_query = np.bincount(found.query_of_topic, minlength=n)
    share: FloatArray = np.bincount(found.query_of_topic[covered], minlength=n) / of_query
    return share


def _alpha_ndcg(found: _Aspects, alpha: float, k: int) -> FloatArray:
    place = found.place[found.doc]
    shown = np.flatnonzero(place <= k)
    shown = shown[np.lexsort((place[shown], found.topic[shown]))]
    topics = np.bincount(found.topic[shown], minlength=found.query_of_topic.size)
    seen = Segments.from_lengths(topics).positions()
    gain = (1.0 - alpha) ** seen / np.log2(place[shown] + 1)
    n = len(found.queries)
    dcg = np.bincount(found.query_of_topic[found.topic[shown]], weights=gain, minlength=n)
    return dcg / _greedy_ideal(found, alpha, k)


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
