"""From frames of judgements and scores to metric values per query."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray, IntArray
from mlsd._validation import (
    check_choice,
    check_fraction,
    check_rank_follows_score,
    warn_undefined,
)
from mlsd.metrics._hits import Hits, Options, locate, settle_ties
from mlsd.metrics._ids import IdColumn, as_ids
from mlsd.metrics._match import Match, match
from mlsd.metrics._qrels import Gain, Qrels, check_max_rel, gains
from mlsd.metrics._ranking import Measure, judged, parse_measures
from mlsd.metrics._result import RankingDiagnostics, RankingResult
from mlsd.metrics._strings import Strings

__all__ = ["evaluate_ranking"]

TIES = ("average", "docid", "first", "rank", "worst")
NORMALIZE = ("R", "min(R,k)")
EMPTY = ("nan", 0, 1, "raise")


def evaluate_ranking(
    qrels: Qrels | Any,
    run: Any,
    metrics: str | Iterable[str],
    *,
    gain: Gain = "linear",
    ties: str = "average",
    empty: str | int = "nan",
    min_relevance: float = 1,
    judged_only: bool = False,
    normalize: str = "R",
    max_rel: float | None = None,
    p: float = 0.8,
    query: str = "query_id",
    doc: str = "doc_id",
    score: str = "score",
    rank: str = "rank",
) -> RankingResult:
    """Evaluate scored documents against judgements: values per query, then their means.

    Parameters
    ----------
    qrels : Qrels or DataFrame
        The judgements. The ideal ranking and the number of relevant documents come from all of
        them, retrieved or not. A table with the columns query_id, doc_id and relevance is made
        into ``Qrels`` at every call; to evaluate several runs, make it once.
    run : DataFrame
        One row a retrieved document, in any order: a table of pandas (the index is ignored), polars
        or pyarrow. Higher scores are better; a score may be negative or infinite.
    metrics : str or iterable of str
        Any of ``ndcg``, ``map``, ``mrr``, ``recall``, ``precision``, ``hit_rate``, ``err``,
        ``rbp``, ``rbp_residual``, ``judged``, with a cut-off as in ``ndcg@10`` (``precision`` needs
        one; the others take the whole list without it), and ``r_precision``.
    gain : str or mapping
        Gain of a relevance in NDCG: "linear" (trec_eval, scikit-learn), "exp2" for ``2**rel - 1``
        (LightGBM), or a mapping from relevance to gain. A negative relevance has gain 0.
    ties : str
        How equal scores rank. "average": the exact mean over all orders of the tied documents.
        "docid": trec_eval's order, document identifiers descending as text, scores rounded to
        single precision as it does. "first": the order of the rows. "rank": the smaller number in
        the column `rank` first; ranks must follow the scores and tell all tied documents apart.
        "worst": unjudged documents first, then the least relevant.
    empty : str or int
        Value of a query for which a metric is undefined, since no document is relevant (for NDCG:
        none has a gain; for ERR: none has a relevance above 0): "nan" warns and leaves it out of
        the mean; 0 is what trec_eval and scikit-learn do, 1 what LightGBM does; "raise" raises.
    min_relevance : float
        The least relevance that counts as relevant in all metrics but NDCG and ERR; above 0.
    judged_only : bool
        Drop the unjudged documents from the run before ranking (condensed lists), instead of
        counting them as not relevant.
    normalize : str
        What ``map@k`` divides by: "R", all relevant documents (trec_eval's ``map_cut``), or
        "min(R,k)", as many of them as can be in the top k.
    max_rel : float or None
        The highest grade of the scale of relevance, for ``err``: a document satisfies a user with
        chance ``(2**relevance - 1) / 2**max_rel``. None: the largest relevance in `qrels`; name it
        where values from several judgements are compared.
    p : float
        Persistence of ``rbp``: the chance that a user goes on to the next document.
    query, doc, score, rank : str
        Names of the columns of `run`; `rank` is read only with ``ties="rank"``.

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
        judged query is doubly in the run, no query of the run is judged, a rank contradicts a score
        or leaves a tie open, a relevance is above `max_rel`, or a metric or option is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If a metric is nan for some queries; the message counts them.

    Notes
    -----
    A judged query that the run lacks counts 0 (but has no ``judged@k``: nothing was shown). A query
    of the run without judgements is dropped. Both are counted in ``diagnostics``. Cut-offs beyond
    the list change nothing: precision still divides by k, and recall by all relevant documents.
    ``rbp`` counts what is judged relevant; ``rbp_residual`` is what it would gain if everything
    else were, the unjudged documents and all places beyond the list or the cut-off. It is defined
    for every query, also for one without a relevant document.

    References
    ----------
    Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques,
    ACM TOIS 20(4).
    McSherry and Najork (2008), Computing information retrieval performance measures efficiently in
    the presence of tied scores, ECIR.
    Sakai (2007), Alternatives to Bpref, SIGIR: condensed lists.
    Chapelle, Metzler, Zhang and Grinspan (2009), Expected reciprocal rank for graded relevance,
    CIKM.
    Moffat and Zobel (2008), Rank-biased precision for measurement of retrieval effectiveness,
    ACM TOIS 27(1).

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
    if not isinstance(qrels, Qrels):
        try:
            qrels = Qrels(qrels)
        except ValueError as error:
            if "lacks the columns" not in str(error):
                raise
            raise ValueError(
                f"{error}; for other names make Qrels(frame, query=..., doc=..., relevance=...)"
            ) from None
    measures = parse_measures(metrics)
    check_choice(ties, "ties", TIES)
    check_choice(empty, "empty", EMPTY)
    check_choice(normalize, "normalize", NORMALIZE)
    if not min_relevance > 0:
        raise ValueError(f"min_relevance must be above 0; got {min_relevance!r}")
    options = Options(
        normalize=normalize,
        max_rel=check_max_rel(max_rel, qrels._relevance, "qrels"),
        p=check_fraction(p, "p"),
    )
    columns = [query, doc, score, *([rank] if ties == "rank" else [])]
    frame = as_pandas(run, "run", columns)
    matched = match(
        qrels._judged,
        as_ids(frame[query], f"run column {query!r}"),
        as_ids(frame[doc], f"run column {doc!r}"),
        as_floats(frame[score], f"run column {score!r}"),
    )
    ranks = None
    if ties == "rank":
        ranks = as_floats(frame[rank], f"run column {rank!r}")
        ranks = ranks if matched.order is None else ranks[matched.order]
        _check_ranks(matched, ranks)
    rules = _Rules(gain, ties, min_relevance, judged_only, ranks)
    hits, tied_fraction = _hits(qrels, matched, rules)
    values = {measure.label: measure(hits, options) for measure in measures}
    _settle_empty(values, measures, empty, qrels.queries)
    per_query = pd.DataFrame(values, index=qrels.queries)
    as_shown = hits
    if judged_only:
        as_shown, _ = _hits(qrels, matched, replace(rules, judged_only=False))
    shown = as_shown.n_shown > 0
    n_rows = matched.segments.n_rows
    diagnostics = RankingDiagnostics(
        n_queries=qrels.n_queries,
        n_judgements=len(qrels),
        n_run_rows=len(frame),
        missing_queries=int((~shown).sum()),
        unjudged_queries=matched.unjudged_queries,
        unjudged_query_rows=len(frame) - n_rows,
        empty_queries=int((hits.n_relevant == 0).sum()),
        unjudged_rows=n_rows - matched.rows.size,
        tied_fraction=tied_fraction,
        judged_at_10=(
            float(judged(as_shown, 10, options)[shown].mean()) if shown.any() else float("nan")
        ),
    )
    variant = {
        "gain": gain,
        "ties": ties,
        "empty": empty,
        "min_relevance": min_relevance,
        "judged_only": judged_only,
        "normalize": normalize,
        "max_rel": max_rel,
        "p": p,
    }
    return RankingResult(per_query, diagnostics, variant)


@dataclass(frozen=True, slots=True)
class _Rules:
    """How the run is ranked, and what counts."""

    gain: Gain
    ties: str
    min_relevance: float
    judged_only: bool
    ranks: FloatArray | None


def _hits(qrels: Qrels, matched: Match, rules: _Rules) -> tuple[Hits, float]:
    """Return the places of the judged documents and the share of rows that are tied."""
    segments, scores, rows, docs = matched.segments, matched.scores, matched.rows, matched.docs
    ranks, judged_rows = rules.ranks, qrels._judged.segments
    if rules.judged_only:
        keep = np.zeros(scores.size, dtype=np.bool_)
        keep[rows] = True
        segments, scores = segments.select(keep), scores[keep]
        docs, rows = docs.take(np.flatnonzero(keep)), (np.cumsum(keep) - 1)[rows]
        ranks = None if ranks is None else ranks[keep]
    if rules.ties == "docid":
        with np.errstate(over="ignore"):  # beyond single precision is infinite there, too
            scores = scores.astype(np.float32).astype(np.float64)
    relevance, labels = qrels._relevance, judged_rows.labels()
    number = matched.judgements - judged_rows.starts[labels[matched.judgements]]
    places = locate(segments, scores, rows, number)
    found = judged_rows.starts[places.query] + places.label
    row_of = np.zeros(len(qrels), dtype=np.int64)
    row_of[matched.judgements] = rows
    order_of: Callable[[IntArray], IntArray | FloatArray] | None = None
    if rules.ties == "docid":
        order_of = lambda subset: _text_descending(docs.take(subset))  # noqa: E731
    elif ranks is not None:
        order_of = lambda subset: ranks[subset]  # noqa: E731
    above, tied = settle_ties(
        places, segments, scores, row_of[found], relevance[found], rules.ties, order_of
    )
    query = places.query
    if above is not places.above:
        order = np.lexsort((above, query))
        query, above, tied, found = query[order], above[order], tied[order], found[order]
    all_gains = gains(relevance, rules.gain)
    relevant = relevance >= rules.min_relevance
    place, ideal_gain = judged_rows.positions(), all_gains
    if ((np.diff(all_gains) > 0) & (np.diff(labels) == 0)).any():
        # A gain that falls with relevance.
        ideal_gain = all_gains[np.lexsort((-all_gains, labels))]
    useful = ideal_gain > 0
    hits = Hits(
        n_queries=qrels.n_queries,
        n_shown=segments.lengths,
        n_relevant=np.bincount(labels[relevant], minlength=qrels.n_queries),
        query=query,
        above=above,
        tied=tied,
        relevance=relevance[found],
        gain=all_gains[found],
        relevant=relevant[found],
        best=relevance[judged_rows.starts],
        ideal_query=labels[useful],
        ideal_place=place[useful],
        ideal_gain=ideal_gain[useful],
    )
    return hits, places.tied_fraction


def _check_ranks(matched: Match, ranks: FloatArray) -> None:
    """Raise unless the ranks follow the scores, and settle every tie of them."""
    labels, scores = matched.segments.labels(), matched.scores
    check_rank_follows_score(labels, scores, ranks, "run")
    order = np.lexsort((ranks, -scores, labels))
    same = np.ones(max(order.size - 1, 0), dtype=np.bool_)
    for values in (labels, scores, ranks):
        ordered = values[order]
        same &= ordered[1:] == ordered[:-1]
    if same.any():
        raise ValueError(
            f"run gives one rank to several documents of a query with one score, in {same.sum()} "
            "places, so ties='rank' does not settle them"
        )


def _text_descending(docs: IdColumn) -> IntArray:
    """Return a smaller code for a later text; integers are compared as text, too."""
    ids = docs.settled()
    if not isinstance(ids.store, Strings):
        text = ids.store.astype(str).astype(object)
        return -Strings.from_objects(text).ranks()[... if ids.codes is None else ids.codes]
    strings = ids.store if ids.codes is None else ids.store.take(ids.codes)
    return -strings.ranks()


def _settle_empty(
    values: dict[str, FloatArray], measures: list[Measure], empty: str | int, queries: pd.Index[Any]
) -> None:
    """Put `empty` where a metric lacks a relevant document; raise or warn as it says."""
    for measure in measures:
        missing = np.isnan(values[measure.label])
        count = int(np.count_nonzero(missing))
        if not count:
            continue
        why = "have no relevant document" if measure.metric.needs_relevant else "show no document"
        what = f"{measure.label} is undefined: {count} of {missing.size} queries {why}"
        if measure.metric.needs_relevant and empty == "raise":
            raise ValueError(f"{what}, such as {queries[missing][0]!r}")
        if measure.metric.needs_relevant and empty != "nan":
            values[measure.label][missing] = float(empty)
        else:
            warn_undefined(f"{what}; they are nan and left out of the mean", stacklevel=4)
