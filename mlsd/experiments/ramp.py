"""A launch in steps: shadow, canary, ramp, full; with a way back that needs nobody awake."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._validation import check_fraction, check_positive_int
from mlsd.experiments._guards import Guard, ShadowLimits, harm_of
from mlsd.experiments._ramp_state import GuardCheck, RampAction, RampState
from mlsd.experiments._ramp_test import as_arm, log_ratio_of_split
from mlsd.experiments._ramp_words import about_guard, about_rollback, about_split, p_value, signed
from mlsd.experiments._shadow import ShadowReport, shadow_report

__all__ = [
    "Guard",
    "GuardCheck",
    "Ramp",
    "RampAction",
    "RampState",
    "ShadowLimits",
    "ShadowReport",
    "shadow_report",
]


@dataclass(frozen=True, slots=True)
class Ramp(Result):
    """Rules of a launch in steps, fixed before it; :meth:`look` applies them, any day.

    At each look a ramp goes on, stays, or goes back to nobody:

    - **rollback** when a guard's always-valid p-value falls to its part of `alpha`. Nothing is
      certain earlier: a harmless change is rolled back with a chance of `alpha` at most over the
      whole ramp, however often one looks.
    - **hold** when the split of units is not the one planned, a guard warns or cannot judge yet, or
      the step has had too few units, days or clean looks.
    - **advance** otherwise. It says that no harm was seen, not that there is none.

    With a wrong split no comparison can be trusted: the hold lasts until a person has looked and
    starts a new ramp. A rollback comes first even then: units that get lost are what crashes look
    like.

    Parameters
    ----------
    guards : mapping of str to Guard
        Metrics that must not become worse, by name; at least one.
    steps : sequence of float
        Shares of units with the treatment, rising. 0 is shadow: the new ranker scores and is not
        shown. 1 is everybody, where there is no control left to compare with.
    alpha : float
        Chance that a harmless change is rolled back; divided by guards and by steps with a control.
    split_alpha : float
        Chance of a false alarm about the split; divided by the steps.
    min_units : int
        Units with the treatment that a step needs.
    min_days : float
        Days that a step lasts at least; 7 sees every weekday.
    clean_looks : int
        Looks in a row without anything against going on, before it goes on.
    warn_at, clear_at : float
        Standard errors beyond the margin at which a warning begins, and below which it ends. That
        the second is lower keeps a guard from going to and fro.
    shadow : ShadowLimits
        What the shadow step must show.

    Raises
    ------
    TypeError, ValueError
        If an option is out of range.

    Notes
    -----
    Each step is tested by its own units alone, from the day it began. Days with other shares would
    mix the treatment with the calendar (Simpson's paradox), and dividing alpha costs little: the
    evidence needed grows with its logarithm. Best is one row for each unit that came in the step;
    sums of units that come again are allowed, since the test is of the mean over units, whose error
    is taken anew at each look.

    References
    ----------
    Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, chapter 15: ramping.
    Johari, Koomen, Pekelis and Walsh (2022), Always valid inference, Operations Research 70(3).
    Lindon and Malek (2022), Anytime-valid inference for multinomial count data, NeurIPS: the split.

    Examples
    --------
    >>> from mlsd.experiments.moments import Moments
    >>> ramp = Ramp({"clicks": Guard(margin=0.01)}, steps=(0.05, 0.5, 1), min_units=500, min_days=1)
    >>> state = ramp.start("2026-03-01")
    >>> first = {"clicks": (Moments(19_000, 1.00, 2.0), Moments(1_000, 1.01, 2.0))}
    >>> action = ramp.look(state, first, time="2026-03-02")
    >>> action.action, action.share
    ('advance', 0.5)
    >>> then = {"clicks": (Moments(10_000, 1.00, 2.0), Moments(10_000, 0.87, 1.8))}
    >>> action = ramp.look(action.state, then, time="2026-03-03")
    >>> action.action, action.share
    ('rollback', 0.0)
    >>> print(action.reasons[0])  # doctest: +ELLIPSIS
    clicks is 13.0% below the control (0.87 against 1; 10,000 and 10,000 units), ...
    """

    guards: Mapping[str, Guard]
    steps: Sequence[float] = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
    alpha: float = 0.05
    split_alpha: float = 0.001
    min_units: int = 1_000
    min_days: float = 1.0
    clean_looks: int = 1
    warn_at: float = 2.0
    clear_at: float = 1.5
    shadow: ShadowLimits = field(default_factory=ShadowLimits)

    def __post_init__(self) -> None:
        """Check the rules."""
        if not isinstance(self.guards, Mapping) or not self.guards:
            raise ValueError(f"guards must name at least one metric; got {self.guards!r}")
        for name, guard in self.guards.items():
            if not isinstance(guard, Guard):
                raise TypeError(f"guards[{name!r}] must be a Guard; got {type(guard).__name__}")
        steps = tuple(float(step) for step in self.steps)
        rising = all(a < b for a, b in itertools.pairwise(steps))
        if not steps or not rising or not (steps[0] >= 0 and steps[-1] <= 1):
            raise ValueError(f"steps must rise within 0 to 1; got {self.steps!r}")
        if steps[0] == 1:
            raise ValueError("steps must begin below 1: at 1 there is nothing to compare with")
        object.__setattr__(self, "guards", dict(self.guards))
        object.__setattr__(self, "steps", steps)
        check_fraction(self.alpha, "alpha")
        check_fraction(self.split_alpha, "split_alpha")
        check_positive_int(self.min_units, "min_units")
        check_positive_int(self.clean_looks, "clean_looks")
        if not 0 <= self.min_days < math.inf:
            raise ValueError(f"min_days must be finite and not negative; got {self.min_days!r}")
        if not self.clear_at <= self.warn_at:
            raise ValueError(
                f"clear_at must not be above warn_at; got {self.clear_at!r} and {self.warn_at!r}"
            )
        if not isinstance(self.shadow, ShadowLimits):
            raise TypeError(f"shadow must be ShadowLimits; got {type(self.shadow).__name__}")

    @property
    def plan(self) -> str:
        """Fingerprint of the rules."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def start(self, time: Any = None) -> RampState:
        """Return the state at the beginning of the first step.

        Parameters
        ----------
        time : datetime-like, optional
            When it begins; needed unless `min_days` is 0.

        Returns
        -------
        RampState

        Raises
        ------
        ValueError
            If a time is needed and is not given, or is none.
        """
        return RampState(plan=self.plan, entered=_iso(self._time(time)))

    def look(
        self,
        state: RampState,
        observed: Mapping[str, tuple[Any, Any]] | None = None,
        *,
        time: Any = None,
        counts: tuple[int, int] | None = None,
        shadow: ShadowReport | None = None,
    ) -> RampAction:
        """Return what to do now. It changes nothing: keep ``action.state`` and pass it next time.

        Parameters
        ----------
        state : RampState
            Of :meth:`start`, or of the action before.
        observed : mapping of str to (control, treatment)
            For each guard the two arms, **all units of this step so far**: arrays with one value a
            unit, :class:`Moments` or, for ratios, :class:`RatioMoments`. Not in a shadow step.
        time : datetime-like, optional
            Now; needed unless `min_days` is 0.
        counts : tuple of int, optional
            Units randomised to control and treatment in this step, for the test of the split.
            Default: those of the guards, if all have the same.
        shadow : ShadowReport, optional
            Of :func:`shadow_report`; in a shadow step only.

        Returns
        -------
        RampAction

        Raises
        ------
        TypeError
            If an argument is of the wrong kind.
        ValueError
            If the state is of another ramp, a guard is missing or unknown, a value is NaN, time
            runs backwards, or there are fewer units than at the look before.
        """
        self._check_state(state)
        if state.status != "running":
            return self._finished(state)
        now = self._time(time)
        _check_clock(state, now)
        state = replace(
            state, looks=state.looks + 1, last=_iso(now), entered=state.entered or _iso(now)
        )
        waiting = self._too_early(state, now)
        if not self.steps[state.step]:
            return self._look_in_shadow(state, observed, shadow, waiting, now)
        if shadow is not None:
            raise ValueError(f"shadow goes with a step of share 0; this one is {self._here(state)}")
        arms = self._arms(observed)
        state = self._counted(state, arms, counts)
        checks, state = self._checked(state, arms)
        share = self.steps[state.step]
        against = [about_split(state, share, self.split_alpha / self._n_live)]
        against += [about_guard(check, self.clear_at) for check in checks]
        against = [reason for reason in against if reason]
        harmful = [check for check in checks if check.verdict == "harm"]
        if harmful:
            return RampAction(
                "rollback",
                0.0,
                tuple(self._why_back(check, arms, share) for check in harmful),
                replace(state, status="rolled back", clean=0),
                checks,
            )
        if state.n_treatment < self.min_units:
            waiting.append(
                f"The treatment has {state.n_treatment:,} units in this step, of at least "
                f"{self.min_units:,}."
            )
        seen = ", ".join(f"{check.name} {signed(check.change)}" for check in checks)
        return self._concluded(state, against, waiting, f"No harm is seen: {seen}.", checks, now)

    def _look_in_shadow(
        self,
        state: RampState,
        observed: Any,
        shadow: ShadowReport | None,
        waiting: list[str],
        now: pd.Timestamp | None,
    ) -> RampAction:
        if observed is not None:
            raise ValueError(
                "observed must be left out in a shadow step: no user sees the treatment"
            )
        if not isinstance(shadow, ShadowReport):
            raise TypeError(
                "shadow must be a ShadowReport in a shadow step, as shadow_report gives it; got "
                f"{type(shadow).__name__}"
            )
        against = [f"Shadow: {complaint}" for complaint in self.shadow.complaints(shadow)]
        seen = (
            f"In shadow {shadow.n_failed_requests:,} of {shadow.n_requests:,} requests failed, "
            f"slates share {shadow.agreement:.1%} of their first {shadow.k}"
        )
        if not math.isnan(shadow.latency_ratio):
            seen += f", latency is {shadow.latency_ratio:.2f} times the old one"
        return self._concluded(state, against, waiting, f"{seen}.", (), now)

    def _concluded(
        self,
        state: RampState,
        against: list[str],
        waiting: list[str],
        seen: str,
        checks: tuple[GuardCheck, ...],
        now: pd.Timestamp | None,
    ) -> RampAction:
        """Return hold or advance; a look is clean if nothing speaks against going on."""
        state = replace(state, clean=0 if against else state.clean + 1)
        if not against and state.clean < self.clean_looks:
            waiting.append(f"{state.clean} clean looks in a row, of at least {self.clean_looks}.")
        share = self.steps[state.step]
        reasons = (*against, *waiting)
        if reasons:
            return RampAction("hold", share, reasons, state, checks)
        if state.step + 1 == len(self.steps):
            last = f"{seen} {self._here(state)} is the last step."
            return RampAction("hold", share, (last,), state, checks)
        following = self.steps[state.step + 1]
        state = RampState(
            plan=state.plan,
            status="full" if following == 1 else "running",
            step=state.step + 1,
            entered=_iso(now),
            last=_iso(now),
        )
        return RampAction("advance", following, (f"{seen} On to {following:.4g}.",), state, checks)

    def _finished(self, state: RampState) -> RampAction:
        if state.status == "full":
            return RampAction(
                "hold", 1.0, ("Everybody has the treatment: the ramp is over.",), state
            )
        when = f" on {state.last}" if state.last else ""
        reason = f"It was rolled back{when} from {self._here(state)}: mend it and start a new ramp."
        return RampAction("rollback", 0.0, (reason,), state)

    def _too_early(self, state: RampState, now: pd.Timestamp | None) -> list[str]:
        if now is None or state.entered is None:
            return []
        days = (now - pd.Timestamp(state.entered)) / pd.Timedelta(days=1)
        if days >= self.min_days:
            return []
        return [f"The step is {days:.2f} days old, of at least {self.min_days:g}."]

    def _why_back(self, check: GuardCheck, arms: dict[str, Any], share: float) -> str:
        (control, _), (treatment, _) = arms[check.name]
        margin = self.guards[check.name].margin
        return about_rollback(check, (control.n, treatment.n), margin, share)

    # Tests ----------------------------------------------------------------------------------------

    def _checked(
        self, state: RampState, arms: dict[str, Any]
    ) -> tuple[tuple[GuardCheck, ...], RampState]:
        """Return what each guard says, and the state with the evidence of this look."""
        alpha = self.alpha / (len(self.guards) * self._n_live)
        evidence, warned, checks = dict(state.evidence), [], []
        for name, guard in self.guards.items():
            (control, below_c), (treatment, below_t) = arms[name]
            harm = harm_of(guard, (control, below_c), (treatment, below_t))
            evidence[name] = max(evidence.get(name, 0.0), harm.log_ratio if harm else 0.0)
            z = harm.z if harm else math.nan
            on = z >= (self.clear_at if name in state.warned else self.warn_at)
            if on or (harm is None and name in state.warned):
                warned.append(name)
            verdict = "unknown" if harm is None else "warning" if on else "fine"
            if evidence[name] >= -math.log(alpha):
                verdict = "harm"
            base = control.value
            change = (treatment.value - base) / abs(base) if base else math.nan
            least = p_value(evidence[name])
            checks.append(GuardCheck(name, base, treatment.value, change, z, least, alpha, verdict))
        return tuple(checks), replace(state, evidence=evidence, warned=tuple(warned))

    def _arms(self, observed: Any) -> dict[str, Any]:
        if not isinstance(observed, Mapping):
            raise TypeError(
                f"observed must map guards to (control, treatment); got {type(observed).__name__}"
            )
        if set(observed) != set(self.guards):
            raise ValueError(
                f"observed must have exactly the guards {sorted(self.guards)}; got "
                f"{sorted(map(str, observed))}"
            )
        arms = {}
        for name in self.guards:
            pair = observed[name]
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise TypeError(f"observed[{name!r}] must be a pair, control and treatment")
            arms[name] = tuple(as_arm(values) for values in pair)
        return arms

    def _counted(self, state: RampState, arms: dict[str, Any], counts: Any) -> RampState:
        """Return the state with the units of this look and the evidence about their split."""
        if counts is None:
            sizes = {(control.n, treatment.n) for (control, _), (treatment, _) in arms.values()}
            if len(sizes) > 1:
                raise ValueError(
                    f"counts are needed, since the guards have several numbers of units: {sizes}"
                )
            (counts,) = sizes
        n_control, n_treatment = _two_counts(counts)
        if n_control < state.n_control or n_treatment < state.n_treatment:
            raise ValueError(
                f"counts fell from {state.n_control} and {state.n_treatment} to {n_control} and "
                f"{n_treatment}: pass all units of this step at each look"
            )
        split = log_ratio_of_split(n_control, n_treatment, self.steps[state.step])
        return replace(
            state, n_control=n_control, n_treatment=n_treatment, split=max(state.split, split)
        )

    # Small things ---------------------------------------------------------------------------------

    @property
    def _n_live(self) -> int:
        return sum(0 < step < 1 for step in self.steps)

    def _here(self, state: RampState) -> str:
        return f"{self.steps[state.step]:.4g}"

    def _check_state(self, state: Any) -> None:
        if not isinstance(state, RampState):
            raise TypeError(f"state must be a RampState; got {type(state).__name__}")
        if state.plan != self.plan:
            raise ValueError(
                f"state is of the ramp {state.plan}, and this one is {self.plan}: rules do not "
                "change under way; start a new ramp"
            )

    def _time(self, time: Any) -> pd.Timestamp | None:
        if time is None:
            if self.min_days:
                raise ValueError(f"time is needed, since a step lasts {self.min_days:g} days")
            return None
        try:
            now = pd.Timestamp(time)
        except (TypeError, ValueError) as error:
            raise ValueError(f"time must be a date and time: {error}") from None
        if pd.isna(now):
            raise ValueError(f"time must be a date and time; got {time!r}")
        return now


def _two_counts(counts: Any) -> tuple[int, int]:
    if not isinstance(counts, tuple | list) or len(counts) != 2:
        raise TypeError(f"counts must be a pair, control and treatment; got {counts!r}")
    for at, count in enumerate(counts):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"counts[{at}] must be a whole number of at least 0; got {count!r}")
    return int(counts[0]), int(counts[1])


def _check_clock(state: RampState, now: pd.Timestamp | None) -> None:
    before = state.last or state.entered
    if now is None or before is None:
        return
    then = pd.Timestamp(before)
    if (now.tzinfo is None) != (then.tzinfo is None):
        raise ValueError(f"time is {now} and that of the state {then}: one has a time zone")
    if now < then:
        raise ValueError(f"time runs backwards: {now} is before the look of {then}")


def _iso(time: pd.Timestamp | None) -> str | None:
    return None if time is None else time.isoformat()
