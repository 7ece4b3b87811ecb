"""From frames of judgements and scores to metric values per query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mlsd._groups import FloatArray, IntArray, Segments, group_rows
from mlsd._validation import as_1d_float, check_choice, check_columns, warn_undefined
from mlsd.metrics._hits import Hits, locate
from mlsd.metrics._ids import IdColumn, as_ids, check_same_kind
from mlsd.metrics._qrels import Gain, Qrels, check_unique_pairs, gains
from mlsd.metrics._ranking import Measure, judged, parse_measures
from mlsd.metrics._result import RankingDiagnostics, RankingResult

__all__ = ["evaluate_ranking"]

TIES = ("average", "docid", "first", "worst")
EMPTY = ("nan", 0, 1, "raise")


def evaluate_ranking(
    qrels: Qrels | pd.DataFrame,
    run: pd.DataFrame,
    metrics: str | Iterable[str],
    *,
    gain: Gain = "linear",
    ties: str = "average",
    empty: str | int = "nan",
    min_relevance: float = 1,
    judged_only: bool = False,
    query: str = "query_id",
    doc: str = "doc_id",
    score: str = "score",
) -> RankingResult:
    """Evaluate scored documents against judgements: values per query, then their means.

    Parameters
    ----------
    qrels : Qrels or DataFrame
        The judgements. The ideal ranking and the number of relevant documents come from all of
        them, retrieved or not. A frame with the columns query_id, doc_id and relevance is made
        into ``Qrels`` at every call; to evaluate several runs, make it once.
    run : DataFrame
        One row a retrieved document, in any order. Higher scores are better; a score may be
        negative or infinite.
    metrics : str or iterable of str
        Any of ``ndcg``, ``map``, ``mrr``, ``recall``, ``precision``, ``hit_rate``, ``judged``, with
        a cut-off as in ``ndcg@10`` (``precision`` needs one; the others take the whole list without
        it), and ``r_precision``.
    gain : str or mapping
        Gain of a relevance in NDCG: "linear" (trec_eval, scikit-learn), "exp2" for ``2**rel - 1``
        (LightGBM), or a mapping from relevance to gain. A negative relevance has gain 0.
    ties : str
        How equal scores rank. "average": the exact mean over all orders of the tied documents.
        "docid": trec_eval's order, document identifiers descending as text, scores rounded to
        single precision as it does. "first": the order of the rows. "worst": unjudged documents
        first, then the least relevant.
    empty : str or int
        Value of a query for which a metric is undefined, since no document is relevant (for NDCG:
        none has a gain): "nan" warns and leaves it out of the mean; 0 is what trec_eval and
        scikit-learn do, 1 what LightGBM does; "raise" raises.
    min_relevance : float
        The least relevance that counts as relevant in all metrics but NDCG; above 0.
    judged_only : bool
        Drop the unjudged documents from the run before ranking (condensed lists), instead of
        counting them as not relevant.
    query, doc, score : str
        Names of the columns of `run`.

    Returns
    -------
    RankingResult
        ``per_query``, ``mean()``, ``confidence_interval()``, ``compare()`` and ``diagnostics``.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or identifiers are integers on one side and strings on
        the other.
    ValueError
        If a column is missing, a score is NaN, an identifier is missing, a (query, document) of a
        judged query is doubly in the run, no query of the run is judged, or a metric or option is
        unknown.

    Warns
    -----
    UndefinedMetricWarning
        If a metric is nan for some queries; the message counts them.

    Notes
    -----
    A judged query that the run lacks counts 0 (but has no ``judged@k``: nothing was shown). A query
    of the run without judgements is dropped. Both are counted in ``diagnostics``. Cut-offs beyond
    the list change nothing: precision still divides by k, recall by all relevant documents, and
    ``map@k`` by all relevant documents too (trec_eval's ``map_cut``).

    References
    ----------
    Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques,
    ACM TOIS 20(4).
    McSherry and Najork (2008), Computing information retrieval performance measures efficiently in
    the presence of tied scores, ECIR.
    Sakai (2007), Alternatives to Bpref, SIGIR: condensed lists.

    Examples
    --------
    >>> import pandas as pd
    >>> qrels = Qrels(pd.DataFrame({"query_id": ["q1", "q1", "q2"],
    ...                             "doc_id": ["a", "b", "c"], "relevance": [2, 1, 1]}))
    >>> run = pd.DataFrame({"query_id": ["q1", "q1", "q1", "q2", "q2"],
    ...                     "doc_id": ["b", "x", "a", "x", "c"],
    ...                     "score": [0.9, 0.5, 0.1, 0.7, 0.7]})
    >>> result = evaluate_ranking(qrels, run, ["ndcg@10", "mrr", "recall@2"])
    >>> result.per_query.round(4)
              ndcg@10   mrr  recall@2
    query_id
    q1         0.7602  1.00       0.5
    q2         0.8155  0.75       1.0
    >>> result.mean().round(4).to_dict()
    {'ndcg@10': 0.7878, 'mrr': 0.875, 'recall@2': 0.75}
    """
    if isinstance(qrels, pd.DataFrame):
        qrels = Qrels(qrels)
    elif not isinstance(qrels, Qrels):
        raise TypeError(f"qrels must be Qrels or a DataFrame; got {type(qrels).__name__}")
    measures = parse_measures(metrics)
    check_choice(ties, "ties", TIES)
    check_choice(empty, "empty", EMPTY)
    if not min_relevance > 0:
        raise ValueError(f"min_relevance must be above 0; got {min_relevance!r}")
    check_columns(run, "run", [query, doc, score])
    matched = _match(
        qrels,
        as_ids(run[query], f"run column {query!r}"),
        as_ids(run[doc], f"run column {doc!r}"),
        as_1d_float(run[score], f"run column {score!r}"),
    )
    hits, tied_fraction = _hits(
        qrels, matched, gain=gain, ties=ties, min_relevance=min_relevance, judged_only=judged_only
    )
    per_query = pd.DataFrame(
        {measure.label: measure(hits) for measure in measures}, index=qrels.queries
    )
    _settle_empty(per_query, measures, empty)
    as_shown = hits
    if judged_only:
        as_shown, _ = _hits(
            qrels, matched, gain=gain, ties=ties, min_relevance=min_relevance, judged_only=False
        )
    shown = as_shown.n_shown > 0
    n_rows = matched.segments.n_rows
    diagnostics = RankingDiagnostics(
        n_queries=qrels.n_queries,
        n_judgements=len(qrels),
        n_run_rows=len(run),
        missing_queries=int((~shown).sum()),
        unjudged_queries=matched.unjudged_queries,
        unjudged_query_rows=len(run) - n_rows,
        empty_queries=int((hits.n_relevant == 0).sum()),
        unjudged_rows=n_rows - matched.rows.size,
        tied_fraction=tied_fraction,
        judged_at_10=float(judged(as_shown, 10)[shown].mean()) if shown.any() else float("nan"),
    )
    return RankingResult(per_query, diagnostics)


@dataclass(frozen=True, slots=True)
class _Match:
    """A run, in the order of the judged queries, and its judged rows."""

    segments: Segments
    """Rows of each judged query; none where the run lacks it."""
    scores: FloatArray
    docs: IdColumn
    pairs: IntArray
    """Judgements that were retrieved, as rows of the arrays of the Qrels."""
    rows: IntArray
    """The row of the run of each of them."""
    unjudged_queries: int
    """Queries of the run without judgements, whose rows are left out."""


def _match(qrels: Qrels, queries: IdColumn, docs: IdColumn, scores: FloatArray) -> _Match:
    """Find the judged documents in the run, and raise if a document is there twice."""
    judged_docs, judged_keys, labels = qrels._docs, qrels._keys, qrels._segments.labels()
    check_same_kind(qrels._query_ids, queries)
    check_same_kind(judged_docs, docs)
    codes, run_queries = queries.factorize()
    known = pd.Index(qrels._query_ids.distinct).get_indexer(pd.Index(run_queries.distinct))
    unjudged = int((known < 0).sum())
    if unjudged and unjudged == known.size:
        raise ValueError(
            f"none of the {unjudged} queries of the run is judged: the run has "
            f"{run_queries.distinct[0]!r}, qrels has {qrels.queries[0]!r}"
        )
    query, keys = known.astype(np.int64)[codes], docs.keys()
    if unjudged or (query[1:] < query[:-1]).any():
        # One more group, the first, for the rows to leave out.
        order, groups = group_rows(query + 1, qrels.n_queries + 1)
        order, segments = order[groups.lengths[0] :], Segments.from_lengths(groups.lengths[1:])
        keys, scores, docs = keys[order], scores[order], docs.reorder(order)
    else:
        segments = Segments.from_lengths(np.bincount(query, minlength=qrels.n_queries))
    by_key = check_unique_pairs(qrels._query_ids, segments, docs, keys, "run")
    ordered = keys[by_key]
    pairs = np.flatnonzero(segments.lengths[labels] > 0)
    at = segments.searchsorted(ordered, labels[pairs], judged_keys[pairs])
    found_pairs, found_rows = [], []
    while True:
        open_ = at < segments.ends[labels[pairs]]
        open_[open_] = ordered[at[open_]] == judged_keys[pairs[open_]]
        pairs, at = pairs[open_], at[open_]
        same = docs.take(by_key[at]) == judged_docs.take(pairs)
        found_pairs.append(pairs[same])
        found_rows.append(by_key[at[same]])
        if same.all():
            break
        # Two documents of one query may share a key: go on along the equal keys.
        pairs, at = pairs[~same], at[~same] + 1
    return _Match(
        segments=segments,
        scores=scores,
        docs=docs,
        pairs=np.concatenate(found_pairs),
        rows=np.concatenate(found_rows),
        unjudged_queries=unjudged,
    )


def _hits(
    qrels: Qrels, matched: _Match, *, gain: Gain, ties: str, min_relevance: float, judged_only: bool
) -> tuple[Hits, float]:
    """Return the places of the judged documents and the share of rows that are tied."""
    segments, scores, rows, docs = matched.segments, matched.scores, matched.rows, matched.docs
    if judged_only:
        keep = np.zeros(scores.size, dtype=np.bool_)
        keep[rows] = True
        segments, scores = segments.select(keep), scores[keep]
        docs, rows = docs.reorder(np.flatnonzero(keep)), (np.cumsum(keep) - 1)[rows]
    if ties == "docid":
        with np.errstate(over="ignore"):  # beyond single precision is infinite there, too
            scores = scores.astype(np.float32).astype(np.float64)
    relevance, labels = qrels._relevance, qrels._segments.labels()
    query = labels[matched.pairs]
    above, tied, tied_fraction = locate(
        segments,
        scores,
        query,
        rows,
        relevance[matched.pairs],
        ties,
        (lambda subset: _text_descending(docs.take(subset))) if ties == "docid" else None,
    )
    order = np.argsort(query * (segments.longest + 1) + above, kind="stable")
    all_gains = gains(relevance, gain)
    relevant = relevance >= min_relevance
    place, ideal_gain = qrels._segments.positions(), all_gains
    if (
        (np.diff(all_gains) > 0) & (np.diff(labels) == 0)
    ).any():  # a gain that falls with relevance
        ideal_gain = all_gains[np.lexsort((-all_gains, labels))]
    useful = ideal_gain > 0
    hits = Hits(
        n_queries=qrels.n_queries,
        n_shown=segments.lengths,
        n_relevant=np.bincount(labels[relevant], minlength=qrels.n_queries),
        query=query[order],
        above=above[order],
        tied=tied[order],
        gain=all_gains[matched.pairs][order],
        relevant=relevant[matched.pairs][order],
        ideal_query=labels[useful],
        ideal_place=place[useful],
        ideal_gain=ideal_gain[useful],
    )
    return hits, tied_fraction


def _text_descending(docs: np.ndarray[Any, Any]) -> IntArray:
    """Return a smaller code for a later text; integers are compared as text, too."""
    text = docs if docs.dtype == object else docs.astype(str).astype(object)
    codes, _ = pd.factorize(text, sort=True)
    return -codes.astype(np.int64)


def _settle_empty(per_query: pd.DataFrame, measures: list[Measure], empty: str | int) -> None:
    """Put `empty` where a metric lacks a relevant document; raise or warn as it says."""
    for measure in measures:
        missing = per_query[measure.label].isna()
        count = int(missing.sum())
        if not count:
            continue
        why = "have no relevant document" if measure.metric.needs_relevant else "show no document"
        what = f"{measure.label} is undefined: {count} of {len(per_query)} queries {why}"
        if measure.metric.needs_relevant and empty == "raise":
            raise ValueError(f"{what}, such as {per_query.index[missing][0]!r}")
        if measure.metric.needs_relevant and empty != "nan":
            per_query.loc[missing, measure.label] = float(empty)
        else:
            warn_undefined(f"{what}; they are nan and left out of the mean", stacklevel=4)
