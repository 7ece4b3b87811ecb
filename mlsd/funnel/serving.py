"""Serving requests: one stage after the other, against a deadline, with what went wrong counted."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mlsd._results import Result
from mlsd._types import IntArray
from mlsd.funnel._batch import Batch
from mlsd.funnel._deadline import Cut, plan_cuts
from mlsd.funnel._runs import RUN_COLUMNS
from mlsd.funnel.stages import Filter, Rank, Rerank, Retrieve, Stage
from mlsd.funnel.union import Union

__all__ = [
    "DegradedWarning",
    "Run",
    "Served",
    "Step",
    "count_failures",
    "run_stage",
    "serve_batch",
    "slate_of",
    "summarise",
]

Failure = tuple[str, str, str]
"""Stage, outcome and message."""

OUTCOMES = ["full", "shrunk", "skipped", "failed", "timed_out"]


class DegradedWarning(UserWarning):
    """Some requests were answered with less than the whole funnel."""


class StageTimeoutError(Exception):
    """A stage was given up on."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage did for one request."""

    stage: Stage
    n_in: IntArray
    """Candidates that entered it, a query; of a source, the documents it searches (-1 unknown)."""
    handled: IntArray
    """Items that it found or scored: what its cost counts."""
    ms: float
    outcome: str
    scored: Batch | None
    """What a Rank scored, in the order it came in, before the cut."""
    out: Batch
    errors: tuple[Failure, ...] = ()
    """Stage, outcome and message of what failed, the sources of a union among them."""


@dataclass(frozen=True, slots=True)
class Run:
    """One request that went through."""

    steps: tuple[Step, ...]
    ms: float
    late: bool

    def slim(self) -> Run:
        """Return the run without the candidates, but for the slate: many runs fit in memory."""
        *before, last = self.steps
        bare = [replace(step, scored=None, out=step.out.bare()) for step in before]
        return replace(self, steps=(*bare, replace(last, scored=None)))

    @property
    def whole(self) -> bool:
        """Whether it was served in full and in time."""
        return not self.late and all(s.outcome == "full" and not s.errors for s in self.steps)


@dataclass(frozen=True, slots=True, eq=False)
class Served(Result):
    """Slates, and what became of the requests on the way.

    Attributes
    ----------
    slate : DataFrame
        query_id, doc_id, score and rank (from 1), then a column of scores for each stage that
        scored what is left.
    stages : DataFrame
        One row a stage: requests; how many of them it served in full, shrunk (on fewer
        candidates), skipped, failed (it raised) and timed_out; and its ms, the median a request.
    requests : DataFrame
        One row a request: first_query, n_queries, ms, late (it took longer than the deadline) and
        what was degraded, such as "mmr skipped, heavy shrunk to 40".
    errors : DataFrame
        What was raised and met by a fallback, by stage, outcome and type: the first message of
        each as error, and requests.
    n_queries, n_empty : int
        Queries, and those that ended without a document.
    deadline_ms : float or None
        What the requests were held to.
    """

    slate: pd.DataFrame
    stages: pd.DataFrame
    requests: pd.DataFrame
    errors: pd.DataFrame
    n_queries: int
    n_empty: int
    deadline_ms: float | None

    @property
    def n_degraded(self) -> int:
        """Requests that were not served in full."""
        return int((self.requests["degraded"] != "").sum())

    @property
    def n_late(self) -> int:
        """Requests that took longer than the deadline."""
        return int(self.requests["late"].sum())

    def to_frame(self) -> pd.DataFrame:
        """Return the table of the stages."""
        return self.stages

    def _note(self) -> str:
        """Say what was left out."""
        late = ""
        if self.deadline_ms is not None:
            late = f" {self.n_late} later than the deadline of {self.deadline_ms:g} ms,"
        return (
            f"{self.n_queries} queries in {len(self.requests)} requests: {self.n_degraded} "
            f"degraded,{late} {self.n_empty} queries without a document."
        )

    def __str__(self) -> str:
        """Return the table of the stages and what was left out."""
        return f"{self.stages.to_string(index=False)}\n{self._note()}"


@dataclass(slots=True)
class _Request:
    """The state of one request on its way through the stages."""

    queries: pd.DataFrame
    query_ids: pd.Index[Any]
    items: pd.DataFrame | None
    deadline_ms: float | None
    started: float = field(default_factory=time.perf_counter)

    def elapsed(self) -> float:
        return (time.perf_counter() - self.started) * 1e3

    def left(self) -> float | None:
        return None if self.deadline_ms is None else self.deadline_ms - self.elapsed()


def serve_batch(
    stages: Sequence[Stage],
    queries: pd.DataFrame,
    query_ids: pd.Index[Any],
    items: pd.DataFrame | None,
    *,
    deadline_ms: float | None = None,
    shed: Sequence[str] = (),
) -> Run:
    """Send some queries through the stages as one request."""
    request = _Request(queries, query_ids, items, deadline_ms)
    batch: Batch | None = None
    steps = []
    unscored: set[str] = set()  # rankers that were passed by: their columns hold nothing
    for at, stage in enumerate(stages):
        cut = Cut("run")
        left = request.left()
        if left is not None and batch is not None:
            cut = plan_cuts(stages[at:], int(batch.lengths.max(initial=0)), left, shed)[0]
        if isinstance(stage, Rank) and unscored.intersection(stage.named_features):
            cut = Cut("skip")
        step = _step(stage, batch, cut, request)
        if isinstance(stage, Rank) and step.scored is None:
            unscored.add(stage.name)
        steps.append(step)
        batch = step.out
    ms = request.elapsed()
    return Run(tuple(steps), ms, deadline_ms is not None and ms > deadline_ms)


def run_stage(
    stage: Stage,
    batch: Batch | None,
    queries: pd.DataFrame,
    query_ids: pd.Index[Any],
    items: pd.DataFrame | None,
) -> Batch:
    """Return what leaves one stage, or what takes its place, without a deadline."""
    return _step(stage, batch, Cut("run"), _Request(queries, query_ids, items, None)).out


def _step(stage: Stage, batch: Batch | None, cut: Cut, request: _Request) -> Step:
    """Let one stage work, or what is to take its place."""
    start = time.perf_counter()
    given = batch
    n_in = _n_in(stage, batch, request)
    outcome = "full"
    errors: list[Failure] = []
    scored = None
    if cut.action == "skip" and batch is not None:
        outcome, out, handled = "skipped", _unscored(stage, batch), np.zeros_like(n_in)
    else:
        if cut.action == "shrink" and batch is not None:
            outcome, given = "shrunk", batch.head(cut.n)
        try:
            scored, out, inner = _attempt(stage, given, request)
            errors += inner
        except Exception as error:
            if stage.fallback is None:
                raise
            outcome = "timed_out" if isinstance(error, StageTimeoutError) else "failed"
            errors.append((stage.name, outcome, f"{type(error).__name__}: {error}"))
            scored, out, inner = _fall_back(stage, given, request)
            errors += inner
        handled = n_in if given is None else given.lengths
        handled = out.lengths if stage.is_source else handled
    ms = (time.perf_counter() - start) * 1e3
    return Step(stage, n_in, handled, ms, outcome, scored, out, tuple(errors))


def _n_in(stage: Stage, batch: Batch | None, request: _Request) -> IntArray:
    """Return what enters a stage: candidates, or the documents that a source searches."""
    if batch is not None:
        return batch.lengths
    n_docs = getattr(stage, "n_docs", None)
    return np.full(len(request.query_ids), -1 if n_docs is None else n_docs, dtype=np.int64)


_Worked = tuple[Batch | None, Batch, list[Failure]]


def _attempt(stage: Stage, batch: Batch | None, request: _Request) -> _Worked:
    """Let the stage work, within its time if it has a limit."""
    limit = None
    if stage.timeout_ms is not None:
        limit = stage.timeout_ms * max(len(request.query_ids), 1)
    left = request.left()
    if left is not None and stage.fallback is not None:
        limit = left if limit is None else min(limit, left)
    if limit is None:
        return _work(stage, batch, request)
    if limit <= 0:  # nobody would wait for the result
        raise StageTimeoutError(f"no time was left for {stage.name!r}")
    return _within(limit, lambda: _work(stage, batch, request), stage.name)


def _work(stage: Stage, batch: Batch | None, request: _Request) -> _Worked:
    """Return what a Rank scored, what leaves the stage, and the errors met inside a union."""
    queries, query_ids, items = request.queries, request.query_ids, request.items
    if isinstance(stage, Union):
        return _work_union(stage, request)
    if isinstance(stage, Retrieve):
        return None, stage.find(queries, query_ids, stage.k), []
    if batch is None:
        raise TypeError(f"stage {stage.name!r} is no source and stands first")
    if isinstance(stage, Rank):
        scores = stage.scores(queries, batch, items)
        scored = batch.with_column("score", scores)
        return scored, stage.choose(batch, scores, stage.k), []
    if isinstance(stage, Rerank):
        return None, stage.reorder(queries, query_ids, batch, items, stage.k), []
    if isinstance(stage, Filter):
        kept = np.flatnonzero(stage.mask(queries, batch, items))
        return None, batch.take(kept), []
    raise TypeError(f"stage {stage.name!r} is of no known kind: {type(stage).__name__}")


def _work_union(stage: Union, request: _Request) -> _Worked:
    """Ask every source; one with the fallback "empty" may fail without harm to the others."""
    found: dict[str, Batch] = {}
    errors: list[Failure] = []
    for source in stage.sources:
        step = _step(source, None, Cut("run"), request)
        found[source.name] = step.out
        errors += step.errors
    return None, stage.fuse(found, request.query_ids, stage.k), errors


def _fall_back(stage: Stage, batch: Batch | None, request: _Request) -> _Worked:
    """Return what takes the place of a stage that failed."""
    if stage.fallback == "empty":
        none = pd.DataFrame({"query_id": request.query_ids[:0], "doc_id": [], "score": []})
        out = Batch.from_run(none, request.query_ids, "nothing")
        return None, out.with_column(stage.name, np.zeros(0)), []
    if stage.fallback == "pass":
        if batch is None:
            raise TypeError(f"stage {stage.name!r} is a source and has nothing to pass on")
        return None, _unscored(stage, batch), []
    step = _step(stage.fallback, batch, Cut("run"), request)
    out = step.out.head(stage.k)
    own = out.columns.get(stage.fallback.name, out.score)
    known = batch.columns if batch is not None else {}
    if stage.fallback.name not in known:
        out = out.without([stage.fallback.name])
    return step.scored, out.with_column(stage.name, own), list(step.errors)


def _unscored(stage: Stage, batch: Batch) -> Batch:
    """Return the candidates that a stage passes on as they came, with a column of nothing."""
    out = batch.head(stage.k)
    return out.with_column(stage.name, np.full(len(out), np.nan))


def _within(limit_ms: float, work: Callable[[], _Worked], name: str) -> _Worked:
    """Return what `work` gives, or give up on it after a while.

    Python cannot stop a thread: work that was given up on goes on behind the scenes and its result
    is thrown away. It must therefore not write to what others use.
    """
    result: list[_Worked] = []
    raised: list[BaseException] = []

    def target() -> None:
        try:
            result.append(work())
        except BaseException as error:  # raised again where it is waited for
            raised.append(error)

    thread = threading.Thread(target=target, daemon=True, name=f"stage {name}")
    thread.start()
    thread.join(limit_ms / 1e3)
    if raised:
        raise raised[0]
    if not result:
        raise StageTimeoutError(f"gave up on {name!r} after {limit_ms:.3g} ms")
    return result[0]


def summarise(
    stages: Sequence[Stage],
    runs: Sequence[Run],
    query_ids: Sequence[pd.Index[Any]],
    deadline_ms: float | None,
) -> Served:
    """Count what became of the requests."""
    rows = []
    for at, stage in enumerate(stages):
        steps = [run.steps[at] for run in runs]
        outcomes = [step.outcome for step in steps]
        counts = {name: outcomes.count(name) for name in OUTCOMES}
        ms = float(np.median([step.ms for step in steps])) if steps else math.nan
        rows.append({"stage": stage.name, "requests": len(runs), **counts, "ms": ms})
    columns = ["stage", "requests", *OUTCOMES, "ms"]
    requests = pd.DataFrame(
        {
            "first_query": [ids[0] for ids in query_ids],
            "n_queries": [len(ids) for ids in query_ids],
            "ms": [run.ms for run in runs],
            "late": [run.late for run in runs],
            "degraded": [", ".join(filter(None, map(_said, run.steps))) for run in runs],
        }
    )
    errors = count_failures(runs)
    lengths = [run.steps[-1].out.lengths for run in runs]
    return Served(
        slate=slate_of(runs),
        stages=pd.DataFrame(rows, columns=columns),
        requests=requests,
        errors=errors,
        n_queries=sum(map(len, query_ids)),
        n_empty=sum(int((part == 0).sum()) for part in lengths),
        deadline_ms=deadline_ms,
    )


def count_failures(runs: Sequence[Run]) -> pd.DataFrame:
    """Return what failed, by stage, outcome and type of error, with the first message of each."""
    first: dict[tuple[str, str, str], str] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for stage, outcome, message in (e for run in runs for step in run.steps for e in step.errors):
        key = (stage, outcome, message.partition(":")[0])
        first.setdefault(key, message)
        counts[key] += 1
    return pd.DataFrame(
        [(*key[:2], first[key], n) for key, n in counts.items()],
        columns=["stage", "outcome", "error", "requests"],
    )


def slate_of(runs: Sequence[Run]) -> pd.DataFrame:
    """Return what left the last stage, of all requests."""
    slates = [run.steps[-1].out for run in runs]
    if len(slates) == 1:
        return slates[0].frame
    filled = [slate.frame for slate in slates if len(slate)] or [s.frame for s in slates[:1]]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=RUN_COLUMNS)


def _said(step: Step) -> str:
    """Return what was degraded at a stage, in words; nothing if all went well."""
    inside = ", ".join(f"{name} {how}" for name, how, _ in step.errors if name != step.stage.name)
    if step.outcome == "full":
        return inside
    own = f"{step.stage.name} {step.outcome.replace('_', ' ')}"
    if step.outcome == "shrunk":
        own += f" to {int(step.handled.max(initial=0))}"
    return ", ".join(filter(None, [own, inside]))
