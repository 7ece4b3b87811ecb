"""Whether stages make a funnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlsd.funnel.stages import Stage, as_stage
from mlsd.funnel.union import Union

__all__ = ["check_stages", "widest"]


def check_stages(stages: Any, shed: Sequence[str]) -> tuple[Stage, ...]:
    """Return stages and callables as the stages of a funnel, or say why they are none."""
    if isinstance(stages, Stage) or not isinstance(stages, Sequence):
        raise TypeError(f"stages must be a list of stages; got {type(stages).__name__}")
    if not stages:
        raise ValueError("stages is empty: a funnel begins with a source")
    made = tuple(
        as_stage(stage, f"stage {at + 1}", source=at == 0) for at, stage in enumerate(stages)
    )
    if not made[0].is_source:
        raise ValueError(
            f"the first stage must be a source, Retrieve or Union; got {made[0].name!r}, "
            f"a {made[0].kind}"
        )
    late = next((stage for stage in made[1:] if stage.is_source), None)
    if late is not None:
        raise ValueError(
            f"stage {late.name!r} is a source and not the first: a stage may only take "
            "documents away; sources side by side are one Union"
        )
    names = [name for stage in made for name in _names(stage)]
    again = sorted({name for name in names if names.count(name) > 1})
    if again:
        raise ValueError(f"stages must have different names; {again} are repeated")
    if isinstance(shed, str):
        raise TypeError(f"shed must be a list of names; got {shed!r}")
    may = [stage.name for stage in made if stage.when_late != "run"]
    unknown = [name for name in shed if name not in may]
    if unknown:
        raise ValueError(f"shed names the stages {unknown}, and those that may be cut are {may}")
    _check_counts(made)
    return made


def _names(stage: Stage) -> list[str]:
    """Return the columns of scores that a stage leaves."""
    inside = [source.name for source in stage.sources] if isinstance(stage, Union) else []
    return [stage.name, *inside]


def _check_counts(stages: Sequence[Stage]) -> None:
    """Raise if a stage is to keep more candidates than can reach it."""
    most: int | None = None
    before = ""
    for stage in stages:
        if stage.k is None:
            continue
        if most is not None and stage.k > most:
            raise ValueError(
                f"k of stage {stage.name!r} is {stage.k}, and only {most} candidates leave "
                f"{before!r} before it"
            )
        most, before = stage.k, stage.name


def widest(source: Stage) -> int:
    """Return about how many candidates a source finds for one query."""
    if isinstance(source, Union):
        inside = sum(widest(one) for one in source.sources)
        return inside if source.k is None else min(max(inside, source.k), 2 * inside)
    n_docs = getattr(source, "n_docs", None)
    if source.k is None:
        return int(n_docs or 1000)
    return source.k if n_docs is None else min(source.k, n_docs)
