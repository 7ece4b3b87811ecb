"""What a funnel keeps, loses, takes and is worth, stage by stage."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._results import Result
from mlsd._stats import MeanInterval, paired_t, t_interval
from mlsd._types import FloatArray
from mlsd._validation import UndefinedMetricWarning, check_fraction, warn_undefined
from mlsd.funnel._batch import Batch, read_requests
from mlsd.funnel._deep import best_of, deep_scores
from mlsd.funnel._judged import Judged
from mlsd.funnel._runs import check_run, check_same_kind
from mlsd.funnel._timing import Timed, time_requests
from mlsd.funnel.attribution import recall_table
from mlsd.funnel.serving import DegradedWarning, count_failures
from mlsd.funnel.stages import Rank, Stage
from mlsd.funnel.union import Union
from mlsd.metrics import Qrels, evaluate_ranking

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mlsd.funnel.capacity import StageLoad
    from mlsd.funnel.pipeline import Funnel
    from mlsd.funnel.serving import Run

__all__ = ["FunnelReport", "check_reference", "evaluate_funnel", "priced"]


@dataclass(frozen=True, slots=True, eq=False)
class FunnelReport(Result):
    """A funnel measured stage by stage.

    Attributes
    ----------
    stages : DataFrame
        One row a stage:

        - n_in, n_out: candidates in and out, the mean over all queries; what enters the source is
          the number of documents that it searches, nan if it does not say;
        - handled: items that the stage found (a source) or scored, the mean over queries;
        - ms_p50, ms_p95, ms_p99: milliseconds of the stage in a request of one query, alone on
          this machine; nan if no time was measured. They do not add: see `total`;
        - cost: items handled times the stage's `cost`, the mean over queries; nan if unknown
          (in `total` a filter or re-ranker without a cost is free);
        - recall: the share of relevant documents left after the stage, per query first and then
          the mean over the queries that have any;
        - conditional_recall: recall divided by the recall of the stage before;
        - recall_lost: what the stage took from recall; its sum is 1 minus the final recall;
        - agreement: the share of the reference's best that is left after the stage, the mean over
          queries, in [0, 1]; as many as the slate has places. If the reference is a ranker on
          everything that the source found, the source agrees by construction.
    quality : DataFrame
        By stage and metric: mean, lower, upper, of the order that the stage leaves; and
        difference, difference_lower, difference_upper, from the stage before, paired by query.
    total : dict
        Of whole requests: ms_p50, ms_p95, ms_p99, and cost; recall with lower and upper.
    sources : DataFrame
        If the first stage is a union, one row a source: n_out, recall of the source alone, and
        only, the share of relevant documents in the union that no other source brought.
    latency : dict
        (ms a request, ms an item) of every stage, fitted to its times with all candidates and
        with a quarter of them; for :meth:`Funnel.with_latency`. Empty without timing.
    reference_k : int or None
        How many of the reference's best agreement counts.
    n_queries, n_judged, n_empty, n_timed : int
        Queries; those with a relevant document, over which recall is a mean; those that ended
        without a document; those that were timed.
    n_unasked : int
        Judged queries that were not asked, and are left out.
    n_referenced : int
        Queries with a document in the reference, over which agreement is a mean.
    failures : DataFrame
        What failed on the way and was met by a fallback: stage, outcome, error, requests. The
        figures above are then those of the fallbacks.
    level : float
        Coverage of the intervals, by query.
    """

    stages: pd.DataFrame
    quality: pd.DataFrame
    total: dict[str, float]
    sources: pd.DataFrame
    latency: dict[str, tuple[float, float]]
    reference_k: int | None
    n_queries: int
    n_judged: int
    n_empty: int
    n_timed: int
    n_unasked: int
    n_referenced: int
    failures: pd.DataFrame
    level: float

    def to_frame(self) -> pd.DataFrame:
        """Return the table of the stages."""
        return self.stages.copy()

    def loads(self, **changes: Any) -> list[StageLoad]:
        """Return the stages as loads on machines, for :func:`mlsd.funnel.capacity.plan`.

        Parameters
        ----------
        **changes
            Fields of every :class:`~mlsd.funnel.capacity.StageLoad`, such as ``parallelism=4``.

        Returns
        -------
        list of StageLoad
            Items a request, microseconds an item and fixed milliseconds, as measured here.

        Raises
        ------
        ValueError
            If no time was measured.
        """
        from mlsd.funnel.capacity import StageLoad

        if not self.latency:
            raise ValueError("no time was measured: evaluate with n_timed above 0")
        handled = self.stages["handled"]
        return [
            StageLoad(name, float(n), 1e3 * per_item, fixed_ms=fixed, **changes)
            for n, (name, (fixed, per_item)) in zip(handled, self.latency.items(), strict=True)
        ]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the share of relevant documents left after each stage, and what each lost."""
        from mlsd import plotting

        return plotting.recall_by_stage(self.stages, ax=ax)

    def _note(self) -> str:
        """Say over what the means are and what was left out."""
        parts = [f"{self.n_queries} queries, {self.n_judged} with relevant documents"]
        if self.n_unasked:
            parts.append(f"{self.n_unasked} judged queries not asked")
        if self.n_empty:
            parts.append(f"{self.n_empty} queries without a document")
        total = {name: value for name, value in self.total.items() if not math.isnan(value)}
        if "ms_p50" in total:
            parts.append(
                f"a request takes {total['ms_p50']:.3g} ms (p95 {total['ms_p95']:.3g}, "
                f"p99 {total['ms_p99']:.3g}; {self.n_timed} timed alone)"
            )
        if "cost" in total:
            parts.append(f"it costs {total['cost']:.4g}")
        if "recall" in total:
            known = "recall_lower" in total
            span = f" ({total['recall_lower']:.3f} to {total['recall_upper']:.3f})" if known else ""
            parts.append(f"final recall {total['recall']:.3f}{span}")
        if len(self.failures):
            names = ", ".join(self.failures["stage"].unique())
            parts.append(f"failed and met by a fallback: {names}")
        return "; ".join(parts) + "."

    def __str__(self) -> str:
        """Return the table of the stages, that of quality if there is one, and the note."""
        tables = [self.stages, *([self.quality] if len(self.quality) else [])]
        shown = [
            table.dropna(axis="columns", how="all").to_string(
                index=False, float_format="{:.4g}".format, na_rep="-"
            )
            for table in tables
        ]
        return "\n\n".join([*shown, self._note()])

    def _repr_html_(self) -> str:
        rounded = "{:.4g}".format
        table = self.stages.dropna(axis="columns", how="all").to_html(
            index=False, float_format=rounded, na_rep="-"
        )
        quality = ""
        if len(self.quality):
            quality = self.quality.to_html(index=False, float_format=rounded, na_rep="-")
        return f"{table}{quality}<p>{self._note()}</p>"


def check_reference(reference: Any, stages: Sequence[Stage]) -> None:
    """Raise unless the reference is a run or the name of a ranker."""
    if reference is None or isinstance(reference, pd.DataFrame):
        return
    rankers = [stage.name for stage in stages if isinstance(stage, Rank)]
    if reference not in rankers:
        raise ValueError(
            f"reference must be a run or the name of a Rank, one of {rankers}; got {reference!r}"
        )


def priced(stages: Sequence[Stage], field: str) -> bool:
    """Say whether the source and all rankers have a cost, or a latency; the others may be free."""
    return all(
        getattr(stage, field) is not None
        for stage in stages
        if stage.is_source or isinstance(stage, Rank)
    )


def _by_query(
    frame: pd.DataFrame, query_ids: pd.Index[Any]
) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Return the rows of queries that were asked, by query, and where each query's begin."""
    codes = np.asarray(query_ids.get_indexer(pd.Index(frame["query_id"])))
    order = np.argsort(codes, kind="stable")
    order = order[np.searchsorted(codes[order], 0) :]
    bounds = np.searchsorted(codes[order], np.arange(len(query_ids) + 1))
    return frame.iloc[order], bounds


def slate_size(stages: Sequence[Stage]) -> int:
    """Return how many places the slate has: the smallest count, or 10 if there is none."""
    return min((stage.k for stage in stages if stage.k is not None), default=10)


def evaluate_funnel(
    funnel: Funnel,
    queries: Any,
    qrels: Any,
    *,
    reference: Any,
    metrics: Sequence[str],
    min_relevance: float,
    level: float,
    n_timed: int,
    batch_rows: int,
) -> FunnelReport:
    """See :meth:`Funnel.evaluate`."""
    level = check_fraction(level, "level")
    check_reference(reference, funnel.stages)
    if isinstance(n_timed, bool) or not isinstance(n_timed, (int, np.integer)) or n_timed < 0:
        raise ValueError(f"n_timed must be an integer of at least 0; got {n_timed!r}")
    if metrics and qrels is None:
        raise ValueError(f"metrics {list(metrics)} need qrels")
    frame, query_ids = read_requests(queries, least=1)
    tally = _Tally(funnel, query_ids, qrels, reference, metrics, min_relevance)
    start, runs = 0, []
    for part, ids in funnel._parts(frame, funnel._batch_size(batch_rows)):
        run = funnel._run(part, ids)
        tally.add(run, part, ids, start)
        runs.append(run.slim())
        start += len(ids)
    tally.failures = count_failures(runs)
    if len(tally.failures):
        warnings.warn(
            "what is measured is in part a fallback: "
            + "; ".join(f"{row.stage!r} {row.error}" for row in tally.failures.itertuples()),
            DegradedWarning,
            stacklevel=3,
        )
    timed = time_requests(funnel, frame, query_ids, int(n_timed))
    return tally.report(timed, level)


class _Tally:
    """What is counted per query and stage, part after part."""

    def __init__(
        self,
        funnel: Funnel,
        query_ids: pd.Index[Any],
        qrels: Any,
        reference: Any,
        metrics: Sequence[str],
        min_relevance: float,
    ) -> None:
        self.funnel = funnel
        self.query_ids = query_ids
        self.reference = reference
        self.metrics = metrics
        self.min_relevance = min_relevance
        self.k = slate_size(funnel.stages)
        self.judged = None
        self.qrels = pd.DataFrame()
        self.failures = pd.DataFrame()
        if qrels is not None:
            self.judged = Judged.from_qrels(qrels, query_ids, min_relevance)
            frame = qrels if isinstance(qrels, pd.DataFrame) else qrels.to_frame()
            frame = frame if "relevance" in frame else frame.assign(relevance=1.0)
            self.qrels, self.qrel_bounds = _by_query(frame, query_ids)
            if not self.judged.n_relevant.any():
                warn_undefined(
                    f"recall is undefined: no query has a document of relevance {min_relevance} "
                    "or more",
                    stacklevel=5,
                )
        if isinstance(reference, pd.DataFrame):
            check_run(reference, "reference", ())
            own = {"queries": pd.DataFrame({"query_id": query_ids}), "reference": reference}
            check_same_kind(own, ["query_id"])
            self.reference, self.reference_bounds = _by_query(reference, query_ids)
        shape = len(funnel.stages), len(query_ids)
        self.n_in, self.n_out, self.handled = (np.zeros(shape) for _ in range(3))
        self.hits = np.zeros(shape)
        self.agreement = np.full(shape, np.nan)
        self.quality: list[list[pd.DataFrame]] = [[] for _ in funnel.stages]
        first = funnel.stages[0]
        self.sources = [s.name for s in first.sources] if isinstance(first, Union) else []
        self.by_source = np.zeros((3, len(self.sources), len(query_ids)))

    def add(self, run: Run, queries: pd.DataFrame, ids: pd.Index[Any], start: int) -> None:
        """Count one part, whose first query has the position `start`."""
        here = slice(start, start + len(ids))
        found = run.steps[0].out
        best = self._best(found, queries, ids, start)
        qrels = self._qrels_of(start, len(ids))
        for at, step in enumerate(run.steps):
            self.n_in[at, here] = step.n_in
            self.n_out[at, here] = step.out.lengths
            self.handled[at, here] = step.handled
            if self.judged is not None:
                label = self.judged.label(step.out, ids)
                self.hits[at, here] = np.bincount(step.out.codes, label, len(ids))
                self._measure(at, step.out, qrels)
            if best is not None:
                lost = np.bincount(best.codes[best.rows_outside(step.out)], minlength=len(ids))
                with np.errstate(invalid="ignore"):
                    self.agreement[at, here] = 1 - lost / best.lengths
        if self.sources:
            label = np.zeros(len(found)) if self.judged is None else self.judged.label(found, ids)
            has = {name: ~np.isnan(found.columns[name]) for name in self.sources}
            n_brought = np.sum(list(has.values()), axis=0)
            for at, brought in enumerate(has.values()):
                only = brought & (n_brought == 1)
                for row, weight in enumerate((brought * 1.0, label * brought, label * only)):
                    self.by_source[row, at, here] = np.bincount(found.codes, weight, len(ids))

    def _best(
        self, found: Batch, queries: pd.DataFrame, ids: pd.Index[Any], start: int
    ) -> Batch | None:
        """Return the reference's best of one part."""
        if self.reference is None:
            return None
        if isinstance(self.reference, pd.DataFrame):
            first, last = self.reference_bounds[[start, start + len(ids)]]
            run = self.reference.iloc[first:last]
            if len(found) and len(run):
                frames = {"candidates": found.frame, "reference": run}
                check_same_kind(frames, ["doc_id"])
            return Batch.from_run(run, ids, "reference").head(self.k)
        stages, items = self.funnel.stages, self.funnel._items
        deep = deep_scores(stages, found, queries, items, until=self.reference)
        return best_of(deep, self.reference, self.k)

    def _qrels_of(self, start: int, n: int) -> Qrels | None:
        """Return the judgements of one part, once for all its stages."""
        if not self.metrics:
            return None
        first, last = self.qrel_bounds[[start, start + n]]
        return Qrels(self.qrels.iloc[first:last]) if last > first else None

    def _measure(self, at: int, out: Batch, qrels: Qrels | None) -> None:
        """Keep the metrics per query of the order that a stage leaves."""
        if qrels is None:
            return
        with warnings.catch_warnings():
            # Queries without a relevant document are counted once, for the whole report.
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            result = evaluate_ranking(
                qrels, out.frame, self.metrics, ties="rank", min_relevance=self.min_relevance
            )
        self.quality[at].append(result.per_query)

    def report(self, timed: Timed, level: float) -> FunnelReport:
        """Return the means."""
        stages = self.funnel.stages
        names = [stage.name for stage in stages]
        n_relevant = np.zeros(len(self.query_ids), dtype=np.int64)
        if self.judged is not None:
            n_relevant = self.judged.n_relevant
        n_in = np.where(self.n_in < 0, np.nan, self.n_in).mean(axis=1)
        found = recall_table(names, n_in, self.n_out.mean(axis=1), self.hits, n_relevant)
        cost = np.array([np.nan if stage.cost is None else stage.cost for stage in stages])
        ms = timed.percentiles()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a mean of nothing but nan is nan
            agreement = np.nanmean(self.agreement, axis=1)
        handled = self.handled.mean(axis=1)
        table = pd.DataFrame(
            {
                **found[["stage", "n_in", "n_out"]],
                "handled": handled,
                **dict(zip(["ms_p50", "ms_p95", "ms_p99"], ms[:-1].T, strict=True)),
                "cost": handled * cost,
                **found[["recall", "conditional_recall", "recall_lost"]],
                "agreement": agreement,
            }
        )
        has = n_relevant > 0
        recall = t_interval(self.hits[-1][has] / n_relevant[has], level=level)
        total = {
            "ms_p50": float(ms[-1, 0]),
            "ms_p95": float(ms[-1, 1]),
            "ms_p99": float(ms[-1, 2]),
            "cost": float(table["cost"].sum()) if priced(stages, "cost") else math.nan,
            "recall": recall.mean,
            "recall_lower": recall.lower,
            "recall_upper": recall.upper,
        }
        return FunnelReport(
            stages=table,
            quality=self._quality(names, level),
            total=total,
            sources=self._sources(has, n_relevant),
            latency=timed.latency,
            reference_k=None if self.reference is None else self.k,
            n_queries=len(self.query_ids),
            n_judged=int(has.sum()),
            n_empty=int((self.n_out[-1] == 0).sum()),
            n_timed=timed.n,
            n_unasked=0 if self.judged is None else self.judged.n_other_queries,
            n_referenced=int((~np.isnan(self.agreement[-1])).sum()),
            failures=self.failures,
            level=level,
        )

    def _quality(self, names: list[str], level: float) -> pd.DataFrame:
        """Return the metrics of every stage and the differences between neighbours."""
        rows = []
        before: pd.DataFrame | None = None
        for name, parts in zip(names, self.quality, strict=True):
            if not parts:
                continue
            per_query = pd.concat(parts)
            for metric in per_query.columns:
                values = per_query[metric]
                known = values.notna().to_numpy()
                mean = t_interval(values[known], level=level)
                step: Any = MeanInterval(math.nan, math.nan, math.nan, math.nan, 0)
                if before is not None:
                    step = paired_t((values - before[metric])[known], level=level)
                rows.append(
                    {
                        "stage": name,
                        "metric": metric,
                        "mean": mean.mean,
                        "lower": mean.lower,
                        "upper": mean.upper,
                        "difference": getattr(step, "difference", math.nan),
                        "difference_lower": step.lower,
                        "difference_upper": step.upper,
                    }
                )
            before = per_query
        return pd.DataFrame(rows, columns=_QUALITY)

    def _sources(self, has: npt.NDArray[np.bool_], n_relevant: npt.NDArray[Any]) -> pd.DataFrame:
        """Return what each source of a union brought."""
        n_out, hits, only = self.by_source

        def share(of: FloatArray) -> FloatArray:
            with np.errstate(invalid="ignore"):
                found: FloatArray = (of[:, has] / n_relevant[has]).sum(axis=1) / has.sum()
            return found

        return pd.DataFrame(
            {
                "source": self.sources,
                "n_out": n_out.mean(axis=1),
                "recall": share(hits),
                "only": share(only),
            }
        )


_QUALITY = ["stage", "metric", "mean", "lower", "upper"]
_QUALITY += ["difference", "difference_lower", "difference_upper"]
