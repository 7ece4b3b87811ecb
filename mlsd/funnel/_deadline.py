"""What is cut first when the time left does not do: a plan from the stages' own latencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mlsd.funnel.stages import Stage

__all__ = ["Cut", "plan_cuts", "predicted_ms", "shedding_order"]


class Cut(NamedTuple):
    """What is done to a stage, and for "shrink" how many candidates it gets."""

    action: Literal["run", "shrink", "skip"]
    n: int | None = None


def predicted_ms(stage: Stage, n: int) -> float:
    """Return how long a stage takes for `n` items; 0 if it does not say."""
    if stage.latency is None:
        return 0.0
    fixed, per_item = stage.latency
    return float(fixed + per_item * n)


def shedding_order(stages: Sequence[Stage], shed: Sequence[str]) -> list[str]:
    """Return the stages that may be cut, what is cut first at the front.

    Those of `shed` in its order; then stages that may only be skipped, the last of the funnel
    first; then those that may be shrunk, the dearest item first.
    """
    may = [stage for stage in stages if stage.when_late != "run"]
    skipped = [stage.name for stage in reversed(may) if stage.when_late == "skip"]
    shrunk = sorted(
        (stage for stage in may if stage.when_late == "shrink"),
        key=lambda stage: -(stage.latency or (0.0, 0.0))[1],
    )
    rest = [*skipped, *(stage.name for stage in shrunk)]
    named = [name for name in shed if name in rest]
    return [*named, *(name for name in rest if name not in named)]


def plan_cuts(
    stages: Sequence[Stage], n_in: int, left_ms: float, shed: Sequence[str] = ()
) -> list[Cut]:
    """Return what to do with each of the stages that are left so that they fit into `left_ms`.

    `n_in` candidates wait before the first of them. Cuts are made one after the other, and no more
    of them than needed; if all of them do not do, the stages that must run do so all the same, and
    the answer is late.
    """
    cuts = [Cut("run") for _ in stages]
    by_name = {stage.name: at for at, stage in enumerate(stages)}
    for name in shedding_order(stages, shed):
        excess = _total_ms(stages, cuts, n_in) - left_ms
        if excess <= 0 < left_ms:
            break
        at = by_name[name]
        stage = stages[at]
        enters = _counts(stages, cuts, n_in)[at]
        cuts[at] = Cut("skip")
        if stage.when_late == "shrink" and left_ms > 0 and stage.latency and stage.latency[1] > 0:
            room = predicted_ms(stage, enters) - excess - stage.latency[0]
            fits = int(min(max(room, 0.0) / stage.latency[1], enters))
            if fits >= max(1, stage.k or 1):
                cuts[at] = Cut("shrink", fits)
    return cuts


def _counts(stages: Sequence[Stage], cuts: Sequence[Cut], n_in: int) -> list[int]:
    """Return how many candidates each stage handles, filters taken to pass all."""
    counts = []
    for stage, cut in zip(stages, cuts, strict=True):
        n_in = n_in if cut.n is None else min(n_in, cut.n)
        counts.append(n_in)
        n_in = n_in if stage.k is None else min(n_in, stage.k)
    return counts


def _total_ms(stages: Sequence[Stage], cuts: Sequence[Cut], n_in: int) -> float:
    """Return how long the stages take after the cuts."""
    counts = _counts(stages, cuts, n_in)
    return sum(
        predicted_ms(stage, n)
        for stage, cut, n in zip(stages, cuts, counts, strict=True)
        if cut.action != "skip"
    )
