"""What a ramp remembers from look to look, and what it says at one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mlsd._lazy import pandas as pd
from mlsd._results import Result

__all__ = ["GuardCheck", "RampAction", "RampState"]

STATUSES = ("running", "rolled back", "full")


@dataclass(frozen=True, slots=True)
class RampState(Result):
    """Where a ramp is; ``to_dict`` goes into a JSON file, ``from_dict`` reads it again.

    Attributes
    ----------
    plan : str
        Fingerprint of the ramp, so that its rules cannot change under way unnoticed.
    status : {"running", "rolled back", "full"}
        Rolled back and full are final.
    step : int
        Index of the step, from 0.
    entered, last : str or None
        When the step began and the last look was, as ISO 8601.
    looks, clean : int
        Looks in this step, and how many of the last ones had nothing against going on.
    warned : tuple of str
        Guards whose warning is on.
    evidence : dict of str to float
        Per guard the largest logarithm of the test's ratio in this step; at least 0.
    split : float
        The same of the test of the split.
    n_control, n_treatment : int
        Units of this step at the last look.
    """

    plan: str
    status: str = "running"
    step: int = 0
    entered: str | None = None
    last: str | None = None
    looks: int = 0
    clean: int = 0
    warned: tuple[str, ...] = ()
    evidence: dict[str, float] = field(default_factory=dict)
    split: float = 0.0
    n_control: int = 0
    n_treatment: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the state that ``to_dict`` wrote.

        Parameters
        ----------
        values : mapping
            As read from JSON.

        Returns
        -------
        RampState

        Raises
        ------
        ValueError
            If a field is missing or unknown, or the status is none of the three.
        """
        names = {one.name for one in dataclasses.fields(cls)}
        if not isinstance(values, Mapping) or set(values) != names:
            raise ValueError(f"values must have exactly the fields {sorted(names)}; got {values!r}")
        if values["status"] not in STATUSES:
            raise ValueError(f"status must be one of {STATUSES}; got {values['status']!r}")
        return cls(
            **{
                **values,
                "warned": tuple(values["warned"]),
                "evidence": {name: float(value) for name, value in values["evidence"].items()},
            }
        )


@dataclass(frozen=True, slots=True)
class GuardCheck(Result):
    """What a guard says at one look.

    Attributes
    ----------
    name : str
        Of the guard.
    control, treatment : float
        Values of the two arms.
    change : float
        ``(treatment - control) / |control|``; nan if the control is 0.
    z : float
        Standard errors by which the treatment is worse than tolerated.
    p_value : float
        Always-valid: the least of this step so far.
    alpha : float
        What it is held against: this guard's and this step's part of the ramp's alpha.
    verdict : {"fine", "warning", "harm", "unknown"}
        "unknown" until there is enough to judge.
    """

    name: str
    control: float
    treatment: float
    change: float
    z: float
    p_value: float
    alpha: float
    verdict: str


@dataclass(frozen=True, slots=True)
class RampAction(Result):
    """What to do now, why, and the state to keep.

    Attributes
    ----------
    action : {"advance", "hold", "rollback"}
        What was decided.
    share : float
        Share of units that is to get the treatment from now on, 0 to 1.
    reasons : tuple of str
        Sentences with the numbers.
    state : RampState
        To be passed at the next look.
    checks : tuple of GuardCheck
        One a guard; none in a shadow step.
    """

    action: str
    share: float
    reasons: tuple[str, ...]
    state: RampState
    checks: tuple[GuardCheck, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return the guards as a table, a row each."""
        return (
            pd.DataFrame([check.to_dict() for check in self.checks]).set_index("name")
            if self.checks
            else pd.DataFrame()
        )

    def _note(self) -> str:
        return f"{self.action}, {self.share:.4g} of the units: {' '.join(self.reasons)}"
