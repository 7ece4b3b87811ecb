"""Deep scoring: every ranker on everything that the source found, for what replays cuts later."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsd._types import BoolArray
from mlsd.funnel._batch import Batch
from mlsd.funnel.stages import Filter, Rank, Stage

__all__ = ["Deep", "best_of", "deep_scores"]


class Deep(NamedTuple):
    """Candidates with a column of raw scores for each ranker, and what each filter lets through."""

    batch: Batch
    masks: dict[str, BoolArray]


def deep_scores(
    stages: tuple[Stage, ...],
    found: Batch,
    queries: pd.DataFrame,
    items: pd.DataFrame | None,
    *,
    until: str | None = None,
) -> Deep:
    """Let the stages after the source score all candidates, in the order of the source.

    A ranker sees the scores of the stages before, as it does in the funnel; the ranks that it sees
    are the source's. Filters are asked and their answers kept: nothing is taken away. Re-rankers
    are left out. `until` is the last stage that counts.
    """
    batch = found
    masks: dict[str, BoolArray] = {}
    for stage in stages[1:]:
        if isinstance(stage, Rank):
            scores = stage.scores(queries, batch, items)
            batch = batch.with_column(stage.name, scores)
            batch = batch.with_column("score", stage.shown(scores))
        elif isinstance(stage, Filter):
            masks[stage.name] = stage.mask(queries, batch, items)
        if stage.name == until:
            break
    return Deep(batch, masks)


def best_of(deep: Deep, reference: str, k: int) -> Batch:
    """Return the `k` best of each query by one ranker, of what all filters let through."""
    passed = np.ones(len(deep.batch), dtype=np.bool_)
    for mask in deep.masks.values():
        passed &= mask
    batch = deep.batch.take(np.flatnonzero(passed))
    return batch.rescored(batch.columns[reference], k)
