"""The funnel: named stages, each with fewer candidates and a costlier look at them."""

from __future__ import annotations

import html
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._validation import check_columns, check_positive, check_positive_int
from mlsd.funnel._batch import COPY_ON_WRITE, Batch, read_requests
from mlsd.funnel._runs import RUN_COLUMNS, as_ids, check_id_kind
from mlsd.funnel._structure import check_stages, widest
from mlsd.funnel.attribution import Trace
from mlsd.funnel.attribution import trace as trace_document
from mlsd.funnel.serving import (
    DegradedWarning,
    Run,
    Served,
    run_stage,
    serve_batch,
    slate_of,
    summarise,
)
from mlsd.funnel.stages import Rank, Retrieve, Stage
from mlsd.funnel.union import Union

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsd.funnel.allocation import Allocation
    from mlsd.funnel.report import FunnelReport

__all__ = ["Funnel"]


class Funnel:
    """Ranks in stages: many candidates for a cheap look, fewer for each costlier one.

    Parameters
    ----------
    stages : sequence of stage or callable
        The first is a source: :class:`Retrieve`, :class:`Union`, or a callable
        ``(queries) -> run``. The others take candidates away: :class:`Rank`, :class:`Rerank`,
        :class:`Filter`, or a callable ``(candidates) -> run``.
    items : DataFrame, optional
        What is known of the documents, indexed by doc_id: columns that stages may ask for by
        name.
    shed : sequence of str, optional
        What is cut first when a deadline is near, by name. Default: re-rankers are passed by, the
        last of them first; then rankers get fewer candidates, the one with the dearest item
        first. A stage says with `when_late` what may be done to it.

    Notes
    -----
    A funnel is immutable; :meth:`with_counts` and the like return another one.

    A run is a frame with query_id, doc_id, score and rank: score orders it, and rank settles equal
    scores. On its way it gains a column a stage and loses rows; no stage may add a document that
    did not enter it.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import BM25, Funnel, Rank, Retrieve
    >>> texts = pd.Series(["red chair", "red sofa bed", "lamp"], index=["c", "s", "l"])
    >>> f = Funnel([
    ...     Retrieve("words", BM25().fit(texts), k=2, cost=0.001),
    ...     Rank("longest", lambda X: X["length"], k=1, cost=0.1, features=["length"]),
    ... ], items=texts.str.len().to_frame("length"))
    >>> f.rank(pd.DataFrame({"query_id": ["q"], "text": ["red"]}))
      query_id doc_id  score  rank
    0        q      s   12.0     1
    >>> print(f.trace({"query_id": "q", "text": "red"}, "c"))
    For query 'q', document 'c' was lost at 'longest', scored 9 at rank 2; 'longest' kept
    1 document, the lowest with score 12.
    """

    __slots__ = ("_items", "_shed", "_stages")

    _stages: tuple[Stage, ...]
    _items: pd.DataFrame | None
    _shed: tuple[str, ...]

    def __init__(
        self,
        stages: Sequence[Any],
        *,
        items: pd.DataFrame | None = None,
        shed: Sequence[str] = (),
    ) -> None:
        """See the class."""
        made = check_stages(stages, shed)
        if items is not None:
            check_columns(items, "items", [])
            as_ids(items.index, "the index of items")
            as_ids(items.columns, "the columns of items")
            items = items.copy(deep=not COPY_ON_WRITE)
        set_once = super().__setattr__
        set_once("_stages", made)
        set_once("_items", items)
        set_once("_shed", tuple(shed))

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse."""
        raise AttributeError(f"Funnel is immutable: cannot set {name!r}; see with_counts")

    def __delattr__(self, name: str) -> None:
        """Refuse."""
        raise AttributeError(f"Funnel is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as what the funnel was made of."""
        return _rebuild, (self._stages, self._items, self._shed)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, from the source on."""
        return self._stages

    @property
    def counts(self) -> dict[str, int | None]:
        """How many candidates leave each stage at most, by name."""
        return {stage.name: stage.k for stage in self._stages}

    def __getitem__(self, name: str) -> Stage:
        """Return a stage by its name."""
        found = {stage.name: stage for stage in self._stages}
        if name not in found:
            raise KeyError(f"{name!r} is no stage; the stages are {list(found)}")
        return found[name]

    # Looking at it.

    def to_frame(self) -> pd.DataFrame:
        """Return the stages as a table: what a funnel prints."""
        rows = []
        for stage in self._stages:
            fixed, per_item = stage.latency or (np.nan, np.nan)
            fallback = stage.fallback
            rows.append(
                {
                    "stage": stage.name,
                    "kind": stage.kind,
                    "k": "all" if stage.k is None else str(stage.k),
                    "cost": np.nan if stage.cost is None else stage.cost,
                    "ms": fixed,
                    "ms an item": per_item,
                    "when late": stage.when_late,
                    "fallback": fallback.name if isinstance(fallback, Stage) else fallback or "-",
                }
            )
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """Show the stages as a table, without the columns that say nothing."""
        return str(self._shown().to_string(index=False, float_format=_short, na_rep="-"))

    def _repr_html_(self) -> str:
        table = self._shown().to_html(index=False, float_format=_short, na_rep="-")
        kinds = html.escape(" → ".join(stage.name for stage in self._stages))
        return f"{table}<p>{kinds}</p>"

    def _shown(self) -> pd.DataFrame:
        table = self.to_frame().dropna(axis="columns", how="all")
        return table.drop(columns=["fallback"]) if (table["fallback"] == "-").all() else table

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the stages, each with how many candidates leave it; see `mlsd.plotting.funnel`."""
        from mlsd import plotting

        source = self._stages[0]
        n_docs = getattr(source, "n_docs", None)
        return plotting.funnel(
            [stage.name for stage in self._stages],
            [stage.k for stage in self._stages],
            n_docs=n_docs,
            ax=ax,
        )

    # Other funnels from this one.

    def with_counts(self, counts: Mapping[str, int | None]) -> Funnel:
        """Return the funnel with other counts; stages that are not named keep theirs.

        Parameters
        ----------
        counts : mapping of str to int
            How many candidates leave a stage, by its name.

        Returns
        -------
        Funnel

        Raises
        ------
        ValueError
            If a name is unknown, or a count is above that of the stage before.
        """
        if not isinstance(counts, Mapping):
            raise TypeError(
                f"counts must be a mapping from stage to count; got {type(counts).__name__}"
            )
        return self._with("counts", {name: {"k": k} for name, k in counts.items()})

    def with_latency(self, latency: Any) -> Funnel:
        """Return the funnel with other latencies: what deadlines and budgets in ms count with.

        Parameters
        ----------
        latency : mapping of str to (float, float), or FunnelReport
            (ms a request, ms an item) by the name of a stage; or a report, which has measured
            them.

        Returns
        -------
        Funnel
        """
        given = getattr(latency, "latency", latency)
        if not isinstance(given, Mapping):
            raise TypeError(
                "latency must be a mapping from stage to (ms a request, ms an item), or a "
                f"FunnelReport; got {type(latency).__name__}"
            )
        return self._with("latency", {name: {"latency": both} for name, both in given.items()})

    def _strict(self) -> Funnel:
        """Return the funnel without fallbacks: what is fitted or replayed must not be one."""
        none = {"fallback": None, "timeout_ms": None}
        return self._with("stages", {stage.name: none for stage in self._stages})

    def _with(self, what: str, changes: Mapping[str, Mapping[str, Any]]) -> Funnel:
        names = [stage.name for stage in self._stages]
        unknown = [name for name in changes if name not in names]
        if unknown:
            raise ValueError(f"{what} names the stages {unknown}, and the stages are {names}")
        made = [replace(stage, **changes.get(stage.name, {})) for stage in self._stages]
        return Funnel(made, items=self._items, shed=self._shed)

    # Using it.

    def rank(
        self, queries: Any, *, deadline_ms: float | None = None, batch_rows: int = 1_000_000
    ) -> pd.DataFrame:
        """Return the slate of every query.

        Parameters
        ----------
        queries : DataFrame, Series or list of str
            A frame with query_id and what the stages need; a Series of texts indexed by
            query_id; or texts, whose query_id is the position.
        deadline_ms : float, optional
            How long a request may take. Each query is then a request of its own, and before each
            stage the funnel predicts from the latencies whether the rest fits; if it does not,
            it cuts as `shed` and `when_late` say. A stage with a fallback is given up on when
            time is over; one without is never stopped, so an answer may still be late.
        batch_rows : int, default 1,000,000
            Candidates held at once, about, when there is no deadline: queries go through
            together, so many of them at a time, and are one request: what fails for one of them
            fails for all.

        Returns
        -------
        DataFrame
            query_id, doc_id, score and rank (from 1); queries in the order given. A query that
            finds nothing has no rows.

        Raises
        ------
        ValueError
            If queries repeat an id, or a stage without a fallback gives scores that are missing,
            infinite or too few, repeats a document, or adds one.

        Warns
        -----
        DegradedWarning
            If a request was not served in full; :meth:`serve` says which.
        """
        runs, ids = self._serve(queries, deadline_ms, batch_rows)
        if not all(run.whole for run in runs):
            note = summarise(self._stages, runs, ids, deadline_ms)._note()
            warnings.warn(note, DegradedWarning, stacklevel=2)
        return slate_of(runs)[RUN_COLUMNS]

    def serve(
        self, queries: Any, *, deadline_ms: float | None = None, batch_rows: int = 1_000_000
    ) -> Served:
        """Return the slates and what became of each request; parameters as of :meth:`rank`.

        Returns
        -------
        Served
            Slates with the scores of every stage, and counts of what was cut, skipped, failed or
            given up on.
        """
        runs, ids = self._serve(queries, deadline_ms, batch_rows)
        return summarise(self._stages, runs, ids, deadline_ms)

    def _serve(
        self, queries: Any, deadline_ms: float | None, batch_rows: int
    ) -> tuple[list[Run], list[pd.Index[Any]]]:
        """Send the queries through, and return what became of each request, and its queries."""
        if deadline_ms is not None:
            check_positive(deadline_ms, "deadline_ms")
        runs, ids = [], []
        size = 1 if deadline_ms is not None else self._batch_size(batch_rows)
        for part, part_ids in self._parts(queries, size):
            runs.append(self._run(part, part_ids, deadline_ms).slim())
            ids.append(part_ids)
        return runs, ids

    def _run(
        self, queries: pd.DataFrame, query_ids: pd.Index[Any], deadline_ms: float | None = None
    ) -> Run:
        return serve_batch(
            self._stages,
            queries,
            query_ids,
            self._items,
            deadline_ms=deadline_ms,
            shed=self._shed,
        )

    def _source(self, queries: pd.DataFrame, query_ids: pd.Index[Any]) -> Batch:
        """Return what the source finds."""
        return run_stage(self._stages[0], None, queries, query_ids, self._items)

    def _batch_size(self, batch_rows: int) -> int:
        """Return how many queries go together."""
        rows = check_positive_int(batch_rows, "batch_rows")
        source = self._stages[0]
        return max(1, rows // max(widest(source), 1))

    def _parts(self, queries: Any, size: int) -> Iterator[tuple[pd.DataFrame, pd.Index[Any]]]:
        """Yield the queries, `size` at a time."""
        frame, query_ids = read_requests(queries)
        for start in range(0, len(frame), size):
            part = frame.iloc[start : start + size].reset_index(drop=True)
            yield part, query_ids[start : start + size]

    def trace(self, query: Any, doc_id: Any) -> Trace:
        """Return which stage lost a document for a query, with what score and threshold.

        Parameters
        ----------
        query : mapping, Series, one-row DataFrame or str
            One query: query_id and what the stages need; a text alone has the query_id 0.
        doc_id : object
            The document.

        Returns
        -------
        Trace
            Prints as a sentence. A document that the source did not find is scored by the source
            all the same if it has `score_pairs`.

        Raises
        ------
        ValueError
            If `query` is not one query.
        """
        frame = _one_query(query)
        frame, query_ids = read_requests(frame)
        if len(frame) != 1:
            raise ValueError(f"query must be one query; got {len(frame)}")
        run = self._run(frame, query_ids)
        stages = {step.stage.name: _raw(step.out, step.stage.name).frame for step in run.steps}
        scored = {}
        for step in run.steps:
            if step.scored is not None:
                raw = _raw(step.scored, step.stage.name)
                scored[step.stage.name] = raw.rescored(raw.score, None).frame
        first = run.steps[0].stage
        found = stages[first.name]
        check_id_kind(doc_id, "doc_id", first.name, found)
        if not (found["doc_id"] == doc_id).any():
            scored[first.name] = self._before_cut(first, found, frame, query_ids, doc_id)
        return trace_document(stages, query_ids[0], doc_id, scored=scored)

    def _before_cut(
        self,
        source: Stage,
        found: pd.DataFrame,
        query: pd.DataFrame,
        query_ids: pd.Index[Any],
        doc_id: Any,
    ) -> pd.DataFrame:
        """Return what a source scored for one query, with a document that it did not let through.

        A union is fused without its cut; another source is asked for the score of the document.
        """
        if isinstance(source, Union):
            uncut = replace(source, k=None, at_least=None)
            return run_stage(uncut, None, query, query_ids, self._items).frame
        score = source.score_pair(query, query_ids, doc_id) if isinstance(source, Retrieve) else nan
        if not np.isfinite(score):
            return found
        missed = {"query_id": query_ids, "doc_id": [doc_id], "score": [score], "rank": [np.nan]}
        return pd.concat([found[RUN_COLUMNS], pd.DataFrame(missed)])

    def evaluate(
        self,
        queries: Any,
        qrels: Any = None,
        *,
        reference: Any = None,
        metrics: Sequence[str] = (),
        min_relevance: float = 1,
        level: float = 0.95,
        n_timed: int = 100,
        batch_rows: int = 1_000_000,
    ) -> FunnelReport:
        """Measure the funnel stage by stage: what is lost, what it takes, what it is worth.

        Parameters
        ----------
        queries : DataFrame, Series or list of str
            As of :meth:`rank`.
        qrels : DataFrame or Qrels, optional
            Judgements: query_id, doc_id and perhaps relevance. Without them recall and metrics
            are missing; agreement needs none.
        reference : str or DataFrame, optional
            What agreement is measured against: the name of a :class:`Rank` stage, which then
            scores everything that the source found (less what filters before it take away); or a
            run. See :class:`FunnelReport`.
        metrics : sequence of str, default none
            Of the order that each stage leaves, such as "ndcg@10"; see
            :func:`mlsd.metrics.evaluate_ranking`.
        min_relevance : float, default 1
            The lowest relevance that counts as relevant.
        level : float, default 0.95
            Coverage of the intervals, by query.
        n_timed : int, default 100
            Queries, spread evenly, that are also sent alone, one after the other, for the
            percentiles of a request; at most all. 0 measures no time.
        batch_rows : int, default 1,000,000
            As of :meth:`rank`.

        Returns
        -------
        FunnelReport
        """
        from mlsd.funnel.report import evaluate_funnel

        return evaluate_funnel(
            self,
            queries,
            qrels,
            reference=reference,
            metrics=[metrics] if isinstance(metrics, str) else list(metrics),
            min_relevance=min_relevance,
            level=level,
            n_timed=n_timed,
            batch_rows=batch_rows,
        )

    def allocate(
        self,
        queries: Any,
        qrels: Any = None,
        *,
        budget: float | None = None,
        budget_ms: float | None = None,
        grid: Any = (50, 100, 200, 500, 1000, 2000),
        objective: str = "recall",
        reference: Any = None,
        min_relevance: float = 1,
        level: float = 0.95,
        batch_rows: int = 4_000_000,
    ) -> Allocation:
        """Find the counts that are worth most for a budget, from one deep scoring.

        Parameters
        ----------
        queries : DataFrame, Series or list of str
            As of :meth:`rank`.
        qrels : DataFrame or Qrels, optional
            Judgements: query_id, doc_id and perhaps relevance. Needed unless the objective is
            "agreement".
        budget : float, optional
            Of cost a request, in the unit of the stages' `cost`. The source and every Rank need
            one; a filter or re-ranker without is free.
        budget_ms : float, optional
            Of milliseconds a request, by the stages' `latency`, likewise. With both budgets both
            are kept.
        grid : sequence of int, or mapping of str to sequence of int
            Counts to try, for the source and every :class:`Rank` but the last; or by name. The
            last Rank keeps its count, and so does what comes after it.
        objective : {"recall", "agreement", "ndcg@k"}, default "recall"
            What is to be high after the last Rank: the share of relevant documents that are left;
            the share of the reference's best that are left; or nDCG with linear gain.
        reference : str, optional
            With the objective "agreement": the Rank whose order is the truth. Default: the last.
        min_relevance, level
            As of :meth:`evaluate`.
        batch_rows : int, default 4,000,000
            Candidates scored at once.

        Returns
        -------
        Allocation
            The frontier, the best counts and what the next step of each count would bring. The
            counts are chosen on these queries, so what they reach here is a little too good:
            evaluate them on others.

        Raises
        ------
        ValueError
            If no budget is given, a stage lacks its cost or latency, no counts fit the budget
            (the message says what the cheapest take), or the funnel has no Rank.
        """
        from mlsd.funnel.allocation import allocate

        return allocate(
            self,
            queries,
            qrels,
            budget=budget,
            budget_ms=budget_ms,
            grid=grid,
            objective=objective,
            reference=reference,
            min_relevance=min_relevance,
            level=level,
            batch_rows=batch_rows,
        )

    def calibrate(
        self,
        queries: Any,
        qrels: Any,
        *,
        method: str = "isotonic",
        min_relevance: float = 1,
        batch_rows: int = 1_000_000,
    ) -> Funnel:
        """Return the funnel with every Rank's scores as probabilities of relevance.

        Every Rank gets a :class:`ScoreCalibrator` fitted on what it scores for these queries,
        where a document without a judgement counts as not relevant. The score of a slate then
        means the same whichever stage it came from, which is what an auction, or an answer that a
        deadline cut short, needs. A Rank orders what it is given as before; but a later stage that
        reads the column `score`, as :class:`MMR` does, now reads a probability.

        Parameters
        ----------
        queries, qrels
            As of :meth:`evaluate`; other queries than those that the rankers were trained on.
        method : {"isotonic", "logistic"}, default "isotonic"
            See :class:`ScoreCalibrator`.
        min_relevance : float, default 1
            The lowest relevance that counts as relevant.
        batch_rows : int, default 1,000,000
            As of :meth:`rank`.

        Returns
        -------
        Funnel
        """
        from mlsd.funnel._judged import Judged
        from mlsd.funnel.calibrated import ScoreCalibrator

        frame, query_ids = read_requests(queries, least=1)
        judged = Judged.from_qrels(qrels, query_ids, min_relevance)
        rankers = [stage.name for stage in self._stages if isinstance(stage, Rank)]
        fitted = self._with("stages", {name: {"calibrator": None} for name in rankers})
        for name in rankers:  # one after the other: a later one may look at what this one shows
            until = [stage.name for stage in self._stages].index(name) + 1
            head = Funnel(fitted._strict()._stages[:until], items=self._items)
            seen: list[npt.NDArray[Any]] = []
            for part, ids in head._parts(frame, self._batch_size(batch_rows)):
                scored = head._run(part, ids).steps[-1].scored
                if scored is not None:
                    seen.append(np.stack([scored.score, judged.label(scored, ids)]))
            calibrator = ScoreCalibrator(method).fit(*np.concatenate(seen, axis=1))  # type: ignore[arg-type]
            fitted = fitted._with("stages", {name: {"calibrator": calibrator}})
        return fitted


def _rebuild(stages: Any, items: Any, shed: Any) -> Funnel:
    """Make a pickled funnel anew: unpickling would set the attributes one by one."""
    return Funnel(list(stages), items=items, shed=shed)


def _raw(batch: Batch, stage: str) -> Batch:
    """Return the candidates with the raw scores of a stage, not what a calibrator shows."""
    own = batch.columns.get(stage)
    return batch if own is None or np.isnan(own).any() else batch.with_column("score", own)


def _one_query(query: Any) -> Any:
    """Return one query as something that `read_requests` takes."""
    if isinstance(query, str):
        return [query]
    if isinstance(query, pd.Series) and "query_id" in query.index:
        query = query.to_dict()
    if isinstance(query, Mapping):
        return pd.DataFrame({name: [value] for name, value in query.items()})
    return query


def _short(value: float) -> str:
    return f"{value:.4g}"
