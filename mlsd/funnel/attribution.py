"""Which stage of a funnel lost what was relevant."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._results import Result
from mlsd._validation import check_columns, check_positive_int, warn_undefined
from mlsd.funnel._runs import check_id_kind, check_run, check_same_kind, pair_at

__all__ = ["Trace", "recall_table", "stage_report", "trace"]


def stage_report(
    stages: Mapping[str, pd.DataFrame],
    relevant: Any,
    *,
    n_docs: int | None = None,
    min_relevance: float = 1,
) -> pd.DataFrame:
    """Measure how much of what is relevant every stage of a funnel let through.

    Parameters
    ----------
    stages : mapping of str to DataFrame
        What left each stage, from the first to the last: query_id and doc_id. Every document
        of a stage must be among those of the stage before.
    relevant : DataFrame or Qrels
        The judgements: query_id, doc_id, and perhaps relevance; without it every row counts.
        :class:`mlsd.metrics.Qrels`, and whatever else has a ``to_frame()``, is turned into it.
    n_docs : int, optional
        Number of documents in the collection, which is what enters the first stage.
    min_relevance : float, default 1
        The lowest relevance that counts as relevant; above 0.

    Returns
    -------
    DataFrame
        One row a stage:

        - stage: its name;
        - n_in, n_out: documents in and out, the mean over all queries of `stages` and all with
          relevant documents; the first n_in is nan without `n_docs`;
        - recall: the share of relevant documents left after the stage, in [0, 1], per query
          first and then the mean over the queries that have any; a query without rows has
          recall 0;
        - conditional_recall: recall divided by the recall of the stage before; their product
          is the final recall. nan after a stage with recall 0;
        - recall_lost: what the stage took from recall; its sum is 1 minus the final recall.

        `attrs` counts the queries: n_queries, n_with_relevant, and n_relevant_not_retrieved
        (with relevant documents and no row in the first stage).

    Raises
    ------
    TypeError
        If identifiers are integers in one frame and strings in another.
    ValueError
        If a stage holds documents that the stage before does not, or repeats a pair, or
        `min_relevance` is not above 0.

    Warns
    -----
    UndefinedMetricWarning
        If no query has a relevant document; recall is then nan.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import stage_report
    >>> found = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c", "d"]})
    >>> relevant = pd.DataFrame({"query_id": "q", "doc_id": ["a", "c", "x", "y"]})
    >>> stage_report({"retrieve": found, "rank": found.head(2)}, relevant, n_docs=100)
          stage   n_in  n_out  recall  conditional_recall  recall_lost
    0  retrieve  100.0    4.0    0.50                 0.5         0.50
    1      rank    4.0    2.0    0.25                 0.5         0.25
    """
    if n_docs is not None:
        n_docs = check_positive_int(n_docs, "n_docs")
    if not min_relevance > 0:
        raise ValueError(f"min_relevance must be above 0; got {min_relevance!r}")
    frames = _check_stages(stages)
    if not isinstance(relevant, pd.DataFrame) and callable(getattr(relevant, "to_frame", None)):
        relevant = relevant.to_frame()
    judged = check_run(relevant, "relevant", ())
    check_same_kind({**_named("stages", frames), "relevant": judged})
    if "relevance" in judged:
        grade = as_floats(judged["relevance"], "relevant['relevance']")
        judged = judged[grade >= min_relevance]
    parts = [*frames.values(), judged]
    query, query_ids = pd.factorize(pd.concat([p["query_id"] for p in parts], ignore_index=True))
    doc, doc_ids = pd.factorize(pd.concat([p["doc_id"] for p in parts], ignore_index=True))
    cuts = np.cumsum([len(part) for part in parts])[:-1]
    *keys, wanted = np.split(query * max(len(doc_ids), 1) + doc, cuts)
    *queries, wanted_query = np.split(query, cuts)
    _check_nested(frames, keys)

    n_queries = len(query_ids)
    n_relevant = np.bincount(wanted_query, minlength=n_queries)
    has = n_relevant > 0
    if not has.any():
        warn_undefined(
            f"recall is undefined: no query has a document of relevance {min_relevance} or more"
        )
    hits = np.array(
        [np.bincount(wanted_query[np.isin(wanted, key)], minlength=n_queries) for key in keys]
    )
    n_out = np.array([len(key) / max(n_queries, 1) for key in keys])
    n_in = np.append(math.nan if n_docs is None else float(n_docs), n_out[:-1])
    report = recall_table(list(frames), n_in, n_out, hits, n_relevant)
    report.attrs = {
        "n_queries": n_queries,
        "n_with_relevant": int(has.sum()),
        "n_relevant_not_retrieved": int(np.setdiff1d(np.flatnonzero(has), queries[0]).size),
    }
    return report


def recall_table(
    names: list[str],
    n_in: npt.ArrayLike,
    n_out: npt.ArrayLike,
    hits: npt.NDArray[Any],
    n_relevant: npt.NDArray[Any],
) -> pd.DataFrame:
    """Return what each stage keeps and loses: `hits` has a row a stage and a column a query.

    Recall is per query first and then the mean over queries with something relevant; without any
    it is nan.
    """
    has = n_relevant > 0
    recall = (
        (hits[:, has] / n_relevant[has]).mean(axis=1) if has.any() else np.full(len(names), np.nan)
    )
    before = np.append(1.0, recall[:-1])
    share = np.divide(recall, before, out=np.full(len(names), np.nan), where=before > 0)
    return pd.DataFrame(
        {
            "stage": names,
            "n_in": n_in,
            "n_out": n_out,
            "recall": recall,
            "conditional_recall": share,
            "recall_lost": before - recall,
        }
    )


@dataclass(frozen=True, slots=True)
class Trace(Result):
    """Where one document went for one query, and the stage that lost it.

    Attributes
    ----------
    query_id, doc_id : object
        What was traced.
    outcome : {"survived", "lost", "unknown query"}
        The last means that the query has no row in any stage.
    lost_at : str or None
        The stage that lost it.
    score, rank : float and int or None
        Of the document, from the stage `scored_by`; nan and None if no stage scored it. The rank
        is also None if the stage gives none.
    scored_by : str or None
        `lost_at` itself if its scores were given, else the last stage that kept the document.
        Only in the first case is the score comparable with the threshold.
    threshold : float
        The lowest score kept by `lost_at` (by the last stage if the document survived); nan if
        nothing was kept.
    n_kept : int
        How many documents that stage kept for the query.
    path : tuple of (str, float, int or None)
        Stage, score and rank for every stage the document left, in order.
    """

    query_id: Any
    doc_id: Any
    outcome: Literal["survived", "lost", "unknown query"]
    lost_at: str | None
    score: float
    rank: int | None
    scored_by: str | None
    threshold: float
    n_kept: int
    path: tuple[tuple[str, float, int | None], ...]

    def __str__(self) -> str:
        """Say it in one sentence."""
        who = f"document {self.doc_id!r}"
        if self.outcome == "unknown query":
            return f"Query {self.query_id!r} has no row in any stage, so {who} was not sought."
        start = f"For query {self.query_id!r}, {who} "
        at = "" if self.rank is None else f" at rank {self.rank}"
        if self.outcome == "survived":
            return f"{start}survived every stage{at} of {self.n_kept}, score {self.score:.6g}."
        kept = f"{self.lost_at!r} kept no document at all"
        if self.n_kept:
            many = "1 document" if self.n_kept == 1 else f"{self.n_kept} documents"
            kept = f"{self.lost_at!r} kept {many}"
        lowest = f", the lowest with score {self.threshold:.6g}" if self.n_kept else ""
        if self.scored_by == self.lost_at:
            how = f"scored {self.score:.6g}{at}"
            return f"{start}was lost at {self.lost_at!r}, {how}; {kept}{lowest}."
        if not self.path:
            return f"{start}was never retrieved; {kept}{lowest}."
        # Two stages' scores have no common scale: the threshold would only mislead here.
        came = f"where it came in from {self.scored_by!r}{at}, score {self.score:.6g} there"
        return f"{start}was lost at {self.lost_at!r}, {came}; {kept}."

    def to_frame(self) -> pd.DataFrame:
        """Return stage, score and rank for every stage the document left."""
        return pd.DataFrame(list(self.path), columns=["stage", "score", "rank"])

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self))}</p>{self.to_frame().to_html(index=False)}"


def trace(
    stages: Mapping[str, pd.DataFrame],
    query_id: Any,
    doc_id: Any,
    *,
    scored: Mapping[str, pd.DataFrame] | None = None,
) -> Trace:
    """Find the stage that lost a document, its score there and the score it had to beat.

    Parameters
    ----------
    stages : mapping of str to DataFrame
        What left each stage, from the first to the last: query_id, doc_id and score, and
        perhaps rank.
    query_id, doc_id : object
        What to trace.
    scored : mapping of str to DataFrame, optional
        What a stage scored before it cut, in the same columns; for some stages or all. It
        gives the score of the document at the stage that lost it; otherwise the score and rank
        of the stage before are given. A missing rank is None.

    Returns
    -------
    Trace
        Prints as a sentence.

    Raises
    ------
    TypeError
        If identifiers are integers in one place and strings in another, `query_id` and `doc_id`
        included.
    ValueError
        If the document is absent from a stage and present in a later one, `scored` names an
        unknown stage, or a frame repeats a pair or lacks scores.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import trace
    >>> found = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"],
    ...                       "score": [0.9, 0.8, 0.7], "rank": [1, 2, 3]})
    >>> ranked = pd.DataFrame({"query_id": "q", "doc_id": ["c"], "score": [5.0], "rank": [1]})
    >>> print(trace({"retrieve": found, "rank": ranked}, "q", "b"))
    For query 'q', document 'b' was lost at 'rank', where it came in from 'retrieve' at rank 2,
    score 0.8 there; 'rank' kept 1 document.
    """
    frames = _check_stages(stages)
    unknown = [name for name in scored or {} if name not in frames]
    if unknown:
        raise ValueError(f"scored names the stages {unknown}, and stages holds {list(frames)}")
    before_cuts = {
        name: check_run(run, f"scored[{name!r}]") for name, run in (scored or {}).items()
    }
    named = _named("stages", frames) | _named("scored", before_cuts)
    check_same_kind(named)
    for name, frame in named.items():
        check_id_kind(query_id, "query_id", name, frame)
        check_id_kind(doc_id, "doc_id", name, frame)
    query_id, doc_id = _python(query_id), _python(doc_id)
    kept = {name: _of_query(frame, f"stages[{name!r}]", query_id) for name, frame in frames.items()}
    places = {name: _place(frame, doc_id) for name, frame in kept.items()}
    path = tuple((name, *place) for name, place in places.items() if place is not None)
    lost_at = next((name for name, place in places.items() if place is None), None)
    later = [step[0] for step in path[list(places).index(lost_at) :]] if lost_at else []
    if later:
        raise ValueError(
            f"document {doc_id!r} of query {query_id!r} is in stage {later[0]!r} "
            f"and not in {lost_at!r} before it"
        )
    if all(frame.empty for frame in kept.values()):
        return Trace(
            query_id, doc_id, "unknown query", None, math.nan, None, None, math.nan, 0, path
        )
    judge = list(frames)[-1] if lost_at is None else lost_at
    scored_by, score, rank = path[-1] if path else (None, math.nan, None)
    if lost_at is not None and lost_at in before_cuts:
        before_cut = _of_query(before_cuts[lost_at], f"scored[{lost_at!r}]", query_id)
        place = _place(before_cut, doc_id)
        if place is not None:
            scored_by, (score, rank) = lost_at, place
    passed = kept[judge]
    return Trace(
        query_id=query_id,
        doc_id=doc_id,
        outcome="survived" if lost_at is None else "lost",
        lost_at=lost_at,
        score=score,
        rank=rank,
        scored_by=scored_by,
        threshold=math.nan if passed.empty else float(passed["score"].min()),
        n_kept=len(passed),
        path=path,
    )


def _check_stages(stages: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the stages as a dictionary of checked frames."""
    if not isinstance(stages, Mapping):
        raise TypeError(f"stages must map names to DataFrames; got {type(stages).__name__}")
    if not stages:
        raise ValueError("stages is empty")
    return {name: check_run(run, f"stages[{name!r}]", ()) for name, run in stages.items()}


def _named(argument: str, frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the frames by the words for them in a message."""
    return {f"{argument}[{name!r}]": frame for name, frame in frames.items()}


def _check_nested(frames: dict[str, pd.DataFrame], keys: list[npt.NDArray[np.int64]]) -> None:
    """Raise if a stage holds a pair that the stage before it does not."""
    names = list(frames)
    for at in range(1, len(names)):
        strange = np.flatnonzero(~np.isin(keys[at], keys[at - 1]))
        if strange.size:
            first = pair_at(frames[names[at]], int(strange[0]))
            raise ValueError(
                f"stage {names[at]!r} holds {strange.size} (query_id, doc_id) pairs that are not "
                f"in {names[at - 1]!r} before it, the first being {first}; retrievers that work "
                "side by side are one stage: fuse their runs first"
            )


def _of_query(frame: pd.DataFrame, name: str, query_id: Any) -> pd.DataFrame:
    """Return the rows of one query, which must have scores."""
    check_columns(frame, name, ["query_id", "doc_id", "score"])
    rows: pd.DataFrame = frame[(frame["query_id"] == query_id).to_numpy(dtype=bool)]
    return rows


def _place(frame: pd.DataFrame, doc_id: Any) -> tuple[float, int | None] | None:
    """Return score and rank of a document in the rows of one query, or None."""
    row = frame[(frame["doc_id"] == doc_id).to_numpy(dtype=bool)]
    if row.empty:
        return None
    rank = row["rank"].iloc[0] if "rank" in row.columns else None
    return float(row["score"].iloc[0]), None if pd.isna(rank) else int(rank)


def _python(value: Any) -> Any:
    """Return a NumPy scalar as the Python value it stands for, and anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
