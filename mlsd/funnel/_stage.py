"""What all stages of a funnel have in common."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from mlsd._inputs import as_floats
from mlsd._validation import check_choice, check_positive, check_positive_int
from mlsd.funnel._runs import RUN_COLUMNS

__all__ = ["Late", "Stage"]

Late = Literal["run", "shrink", "skip"]


@dataclass(frozen=True, eq=False)
class Stage:
    """What all stages have in common; the classes below are the ones to use.

    Attributes
    ----------
    name : str
        Unique within a funnel. What a stage scored stays in a column of this name: nan if it was
        passed by, and the scores of its fallback if that took its place.
    k : int or None
        Candidates that leave it, at most; None lets all of them.
    cost : float or None
        Per item that it handles: found by a source, scored by the others. Above 0, in a unit of
        yours; None is unknown.
    latency : (float, float) or None
        Milliseconds a request, and milliseconds per item that it handles: what a deadline and a
        budget in milliseconds count with. None is unknown.
        :meth:`mlsd.funnel.Funnel.with_latency` fills in what was measured.
    timeout_ms : float or None
        When to give up on it and use the fallback: milliseconds a query, so that queries that go
        through together have that many times as long.
    fallback : stage, callable, "pass", "empty" or None
        What takes its place when it raises or runs out of time: another stage; a callable of the
        kind that the stage itself is made of; "pass", the candidates in the order they came in,
        cut at `k`; "empty", for a source, nothing. None lets the error through.
    when_late : {"run", "shrink", "skip"}
        What may be done to it when the deadline is near: nothing; give it fewer candidates, the
        best by the order they came in, and none if not even `k` fit; or pass it by.
    """

    name: str
    _: KW_ONLY
    k: int | None = None
    cost: float | None = None
    latency: tuple[float, float] | None = None
    timeout_ms: float | None = None
    fallback: Any = None
    when_late: Late | None = None

    late_choices: ClassVar[tuple[Late, ...]] = ("run", "skip")
    """What the kind of stage allows when it is late, the default first."""
    is_source: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check what all stages have."""
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name must be a string that is not empty; got {self.name!r}")
        if self.name in RUN_COLUMNS:
            raise ValueError(f"name must not be one of {RUN_COLUMNS}; got {self.name!r}")
        if self.k is not None:
            check_positive_int(self.k, f"k of stage {self.name!r}")
        if self.cost is not None:
            check_positive(self.cost, f"cost of stage {self.name!r}")
        if self.latency is not None:
            parts = as_floats(self.latency, f"latency of stage {self.name!r}")
            if parts.shape != (2,) or not (np.isfinite(parts).all() and (parts >= 0).all()):
                raise ValueError(
                    f"latency of stage {self.name!r} must be (ms a request, ms an item), both "
                    f"finite and at least 0; got {self.latency!r}"
                )
        if self.when_late is None:
            object.__setattr__(self, "when_late", self.late_choices[0])
        check_choice(self.when_late, f"when_late of stage {self.name!r}", self.late_choices)
        self._check_fallback()

    def _check_fallback(self) -> None:
        """Check the fallback and turn a callable into a stage."""
        word = "empty" if self.is_source else "pass"
        given = self.fallback
        if self.timeout_ms is not None:
            check_positive(self.timeout_ms, f"timeout_ms of stage {self.name!r}")
            if given is None:
                raise ValueError(f"stage {self.name!r} has a timeout_ms and no fallback to turn to")
        if given is None or (isinstance(given, str) and given == word):
            return
        if isinstance(given, str) or not (isinstance(given, Stage) or callable(given)):
            raise ValueError(
                f"fallback of stage {self.name!r} must be a stage, a callable or {word!r}; "
                f"got {given!r}"
            )
        stage = given if isinstance(given, Stage) else self._made_of(given)
        if stage.is_source != self.is_source:
            kind = "a source" if self.is_source else "no source"
            raise ValueError(f"the fallback of stage {self.name!r} must be {kind}; got {stage!r}")
        object.__setattr__(self, "fallback", stage)

    def _made_of(self, given: Any) -> Stage:
        """Return a stage of the same kind that works with a callable."""
        made: Any = type(self)
        stage: Stage = made(f"fallback of {self.name}", given, k=self.k)
        return stage

    @property
    def kind(self) -> str:
        """What kind of stage it is, for a table."""
        return type(self).__name__.lower()
