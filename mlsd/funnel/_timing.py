"""The clock: requests sent alone, and what a stage takes a request and an item."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlsd._types import FloatArray
from mlsd.funnel._batch import Batch
from mlsd.funnel.serving import run_stage
from mlsd.funnel.stages import Stage
from mlsd.funnel.union import Union

if TYPE_CHECKING:
    from mlsd.funnel.pipeline import Funnel

__all__ = ["Timed", "time_requests"]

_PROBED = 5  # queries that the latency is fitted on
_ROUNDS = 3  # the median of which counts
_PART = 4  # how much smaller the second size is


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of requests of one query: a row a request, a column a stage, the whole last."""

    ms: FloatArray
    latency: dict[str, tuple[float, float]]

    @property
    def n(self) -> int:
        """Requests timed."""
        return len(self.ms)

    def percentiles(self) -> FloatArray:
        """Return p50, p95 and p99: a row a stage, and one for the whole."""
        if not self.n:
            return np.full((self.ms.shape[1], 3), np.nan)
        found: FloatArray = np.quantile(self.ms, [0.5, 0.95, 0.99], axis=0).T
        return found


def time_requests(funnel: Funnel, queries: pd.DataFrame, query_ids: pd.Index[Any], n: int) -> Timed:
    """Send `n` queries, spread evenly, one after the other, and fit what each stage takes."""
    n = min(n, len(queries))
    chosen = np.unique(np.linspace(0, len(queries) - 1, n).round().astype(int))
    alone = [
        (queries.iloc[at : at + 1].reset_index(drop=True), query_ids[at : at + 1]) for at in chosen
    ]
    if not alone:
        return Timed(np.zeros((0, len(funnel.stages) + 1)), {})
    funnel._run(*alone[0])  # what is made on a first call is made
    rows = []
    for request in alone:
        run = funnel._run(*request)
        rows.append([*(step.ms for step in run.steps), run.ms])
    probes = [alone[at] for at in np.unique(np.linspace(0, len(alone) - 1, _PROBED).astype(int))]
    return Timed(np.array(rows), _fit(funnel, probes))


def _fit(
    funnel: Funnel, requests: list[tuple[pd.DataFrame, pd.Index[Any]]]
) -> dict[str, tuple[float, float]]:
    """Return (ms a request, ms an item) of each stage from two sizes of the same requests."""
    sizes: dict[str, list[tuple[float, float, float, float]]] = {}
    for queries, ids in requests:
        batch: Batch | None = None
        for stage in funnel.stages:
            whole = _clocked(stage, batch, queries, ids, funnel._items)
            less, given = _smaller(stage, batch)
            part = _clocked(less, given, queries, ids, funnel._items)
            sizes.setdefault(stage.name, []).append((*whole[:2], *part[:2]))
            batch = whole[2]
    latency = {}
    for name, measured in sizes.items():
        n, ms, fewer, faster = np.median(np.array(measured), axis=0)
        per_item = max(0.0, (ms - faster) / (n - fewer)) if n > fewer else 0.0
        latency[name] = (float(max(0.0, ms - per_item * n)), float(per_item))
    return latency


def _smaller(stage: Stage, batch: Batch | None) -> tuple[Stage, Batch | None]:
    """Return the stage with a quarter of its work."""
    if batch is None:
        if stage.k is None:
            return stage, None
        least = stage.reserved if isinstance(stage, Union) else 1
        return replace(stage, k=max(1, least, stage.k // _PART)), None
    return stage, batch.head(max(1, int(batch.lengths.max(initial=0)) // _PART))


def _clocked(
    stage: Stage,
    batch: Batch | None,
    queries: pd.DataFrame,
    ids: pd.Index[Any],
    items: pd.DataFrame | None,
) -> tuple[float, float, Batch]:
    """Return items handled, the ms of some rounds, and what left the stage."""
    taken = []
    for _ in range(_ROUNDS):
        start = perf_counter()
        out = run_stage(stage, batch, queries, ids, items)
        taken.append((perf_counter() - start) * 1e3)
    handled = out if batch is None else batch
    return float(len(handled)), float(np.median(taken)), out
