"""What to do with an experiment, by a rule that was written down before its data."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlsd._results import Result
from mlsd._validation import check_fraction, check_positive, check_positive_int
from mlsd.experiments._group import GroupSequential
from mlsd.experiments._guardrail import Guardrail, check_margin, guardrail, judged, shown
from mlsd.experiments.comparison import Comparison
from mlsd.experiments.report import ExperimentReport
from mlsd.experiments.sequential import always_valid, effect_and_error

__all__ = ["Decision", "DecisionRule", "Guardrail", "guardrail"]


@dataclass(frozen=True, slots=True)
class Decision(Result):
    """What the rule says.

    Attributes
    ----------
    action : {"ship", "stop", "hold", "invalid"}
        "ship" the treatment; "stop" and keep the control; "hold": go on, it is not decided;
        "invalid": the data do not allow any answer.
    reasons : tuple of str
        Sentences with the numbers, the decisive ones first.
    metric : str
        The primary metric.
    gain, lower, upper : float
        Its gain, above 0 is better, and the interval that the rule reads.
    guardrails : tuple of Guardrail
        One each.
    days : int
        Whole days that the data cover.
    """

    action: str
    reasons: tuple[str, ...]
    metric: str
    gain: float
    lower: float
    upper: float
    guardrails: tuple[Guardrail, ...]
    days: int

    def _note(self) -> str:
        return f"{self.action}: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True)
class DecisionRule(Result):
    """A rule for shipping, fixed before the data; :meth:`decide` applies it to a report.

    In this order:

    1. A sample ratio mismatch, or a primary metric without an interval, is "invalid".
    2. A broken guardrail is "stop", at any time: a harm that was shown needs no more users.
    3. Before `min_days` and `min_units` it is "hold".
    4. If the interval of the gain lies below `least`, it is "stop": not worth shipping.
    5. If it lies above 0, the gain is at least `least` and all guardrails held, it is "ship".
    6. Else "hold"; at the end of the experiment "stop", unless guardrails alone are unclear.

    The fixed test is asked once, at its end, and so are its guardrails: to ask about harm every day
    use `mde`, or a :class:`Ramp`.

    Parameters
    ----------
    primary : str
        The metric that decides.
    least : float
        Least gain worth shipping, at least 0: what the upkeep of the change costs.
    guardrails : mapping of str to float
        Metrics that must not get worse, and the loss of each that is tolerated.
    lower_is_better : collection of str
        Metrics of which less is better.
    relative : bool
        Whether `least` and the margins are shares of the control's value.
    min_days : int
        Days before the primary metric is read; 14 are two of each weekday.
    min_units : int
        Units in each arm before it is read, such as those of :func:`sample_size`.
    max_days : int, optional
        Days after which the experiment ends. The fixed test is read once: it ends at `min_days`.
    alpha : float
        Chance of a false alarm of the primary metric, two-sided; shared among several treatments.
    guardrail_alpha : float
        Of each guardrail, one-sided.
    looks : GroupSequential, optional
        Boundaries, two-sided and of the same `alpha`: the rule may then be applied at each look.
    mde : float, optional
        Makes the test always valid, with this prior (see :func:`always_valid`): the rule may be
        applied at any time, and the guardrails, whose margins must be above 0, as well.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, a metric is both primary and guardrail, both `looks` and
        `mde` are given, or a fixed test has a `max_days` other than `min_days`.

    References
    ----------
    Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, chapters 2, 3 and 7.

    Examples
    --------
    >>> rule = DecisionRule("ctr", least=0.01, guardrails={"sessions": 0.005}, relative=True)
    >>> rule.primary, rule.min_days
    ('ctr', 14)
    """

    primary: str
    least: float = 0.0
    guardrails: Mapping[str, float] = field(default_factory=dict)
    lower_is_better: Collection[str] = ()
    relative: bool = False
    min_days: int = 14
    min_units: int = 2
    max_days: int | None = None
    alpha: float = 0.05
    guardrail_alpha: float = 0.025
    looks: GroupSequential | None = None
    mde: float | None = None

    def __post_init__(self) -> None:
        """Check the rule."""
        if not isinstance(self.primary, str):
            raise TypeError(f"primary must be a string; got {self.primary!r}")
        check_margin(self.least, "least")
        if not isinstance(self.guardrails, Mapping):
            raise TypeError(f"guardrails must map metrics to margins; got {self.guardrails!r}")
        if self.primary in self.guardrails:
            raise ValueError(f"primary {self.primary!r} is among the guardrails too")
        if isinstance(self.lower_is_better, str):
            raise TypeError(
                f"lower_is_better must be a collection of names; got {self.lower_is_better!r}"
            )
        unknown = set(self.lower_is_better) - {self.primary, *self.guardrails}
        if unknown:
            raise ValueError(f"lower_is_better names {sorted(unknown)}, of which the rule has none")
        if not isinstance(self.relative, bool):
            raise TypeError(f"relative must be True or False; got {self.relative!r}")
        check_positive_int(self.min_days, "min_days")
        check_positive_int(self.min_units, "min_units")
        check_fraction(self.alpha, "alpha")
        check_fraction(self.guardrail_alpha, "guardrail_alpha")
        for name, margin in self.guardrails.items():
            if check_margin(margin, f"guardrails[{name!r}]") == 0 and self.mde is not None:
                raise ValueError(f"guardrails[{name!r}] must be above 0 where mde is given")
        self._check_time()
        # A copy: the rule does not change with the caller's mapping.
        object.__setattr__(self, "guardrails", dict(self.guardrails))
        object.__setattr__(self, "lower_is_better", tuple(self.lower_is_better))

    def _check_time(self) -> None:
        if self.looks is not None and self.mde is not None:
            raise ValueError("pass looks or mde, not both: one test decides")
        if self.mde is not None:
            check_positive(self.mde, "mde")
        if self.looks is not None:
            if not isinstance(self.looks, GroupSequential):
                raise TypeError(f"looks must be a GroupSequential; got {self.looks!r}")
            if self.looks.alternative != "two-sided" or self.looks.alpha != self.alpha:
                raise ValueError(
                    f"looks must be two-sided with alpha={self.alpha:g}; it is "
                    f"{self.looks.alternative} with alpha={self.looks.alpha:g}"
                )
        if self.max_days is None:
            return
        if check_positive_int(self.max_days, "max_days") < self.min_days:
            raise ValueError(f"max_days={self.max_days} is below min_days={self.min_days}")
        if self.looks is None and self.mde is None and self.max_days > self.min_days:
            raise ValueError(
                f"max_days={self.max_days} is above min_days={self.min_days}: a fixed test is read "
                "once; to read it again pass looks or mde"
            )

    def decide(
        self,
        report: ExperimentReport,
        *,
        days: int,
        look: int | None = None,
        arm: str | None = None,
    ) -> Decision:
        """Return what to do.

        Parameters
        ----------
        report : ExperimentReport
            Of all data so far, with the metrics of the rule.
        days : int
            Whole days that the data cover.
        look : int, optional
            Number of the look, from 1, for a rule with `looks`.
        arm : str, optional
            The treatment, where the report has several.

        Returns
        -------
        Decision

        Raises
        ------
        TypeError, ValueError
            If the report lacks a metric or has another primary one, there are several arms and none
            is named, or `look` does not go with the rule.
        """
        if not isinstance(report, ExperimentReport):
            raise TypeError(f"report must be an ExperimentReport; got {type(report).__name__}")
        covered = check_positive_int(days, "days")
        if (look is None) != (self.looks is None):
            raise ValueError(
                f"look goes with a rule that has looks, and only with it; got {look!r}"
            )
        if report.primary not in (None, self.primary):
            raise ValueError(
                f"report has the primary metric {report.primary!r}, the rule {self.primary!r}: "
                "it is fixed before the data"
            )
        arms = {row.comparison.treatment_name for row in report.rows}
        primary = _row(report, self.primary, arm)
        others = {name: _row(report, name, arm) for name in self.guardrails}
        nan = math.nan

        if not report.valid:
            return self._decision("invalid", [report.srm.message], (nan, nan, nan), (), covered)
        if not primary.stderr > 0 or (self.relative and not primary.control):
            reason = f"{self.primary} has no interval in these data: nothing can be decided on it"
            return self._decision("invalid", [reason], (nan, nan, nan), (), covered)
        gain = self._gain(primary, len(arms), look)
        guards = tuple(self._guard(name, others[name]) for name in self.guardrails)
        action, reasons = self._judge(primary, gain, guards, covered, look)
        return self._decision(action, reasons, gain, guards, covered)

    def _judge(
        self,
        primary: Comparison,
        gain: tuple[float, float, float],
        guards: tuple[Guardrail, ...],
        days: int,
        look: int | None,
    ) -> tuple[str, list[str]]:
        """Return the action and its reasons, the rule's steps 2 to 6."""
        estimate, lower, upper = gain
        by_verdict = {
            verdict: [guard.reason for guard in guards if guard.verdict == verdict]
            for verdict in ("broken", "unclear", "held")
        }
        if by_verdict["broken"]:
            return "stop", by_verdict["broken"]
        units = min(primary.n_control, primary.n_treatment)
        early = []
        if days < self.min_days:
            early.append(f"{days} days of data, the rule asks for {self.min_days}")
        if units < self.min_units:
            early.append(f"{units} units in the smaller arm, the rule asks for {self.min_units}")
        if early:
            return "hold", early
        text = [shown(value, self.relative) for value in (estimate, lower, upper)]
        least = shown(self.least, self.relative)
        found = f"{self.primary} gains {text[0]}, interval {text[1]} to {text[2]}"
        if upper < self.least:
            what = "the change makes it worse" if upper < 0 else f"{least} would be worth shipping"
            return "stop", [f"{found}: {what}", *by_verdict["unclear"]]
        won = lower > 0 and estimate >= self.least
        if won and not by_verdict["unclear"]:
            return "ship", [f"{found}: at least {least} is worth shipping", *by_verdict["held"]]
        if won:
            return "hold", [*by_verdict["unclear"], found]
        open_question = (
            f"{found}: a gain below {least}, the least worth shipping, is not ruled out"
            if lower > 0
            else f"{found}: it holds 0, so a gain is not shown"
        )
        if self._is_last(days, look):
            return "stop", [f"{open_question}, and the experiment is at its end"]
        return "hold", [open_question, *by_verdict["unclear"]]

    def _is_last(self, days: int, look: int | None) -> bool:
        if self.looks is not None:
            return bool(self.looks.ended and look == self.looks.bounds.size) or self._late(days)
        return self.mde is None or self._late(days)

    def _late(self, days: int) -> bool:
        return self.max_days is not None and days >= self.max_days

    def _gain(
        self, comparison: Comparison, n_arms: int, look: int | None
    ) -> tuple[float, float, float]:
        """Return the gain and the interval of the rule's test."""
        alpha = self.alpha / n_arms
        if self.looks is not None:
            # The repeated interval. Its bound is one of the looks in fact made (observed).
            design = self.looks if n_arms == 1 else replace(self.looks, alpha=alpha)
            effect, error = effect_and_error(comparison, relative=self.relative)
            lower, upper = design.repeated_interval(effect, error, look or 0)
        elif self.mde is not None:
            now = always_valid(comparison, mde=self.mde, alpha=alpha, relative=self.relative)
            effect, lower, upper = now.difference, now.lower, now.upper
        else:
            fixed = comparison.test(
                level=1 - alpha, alternative="two-sided", margin=0.0, relative=self.relative
            )
            effect, lower, upper = fixed.difference, fixed.lower, fixed.upper
            if self.relative:
                effect, lower, upper = fixed.lift, fixed.lift_lower, fixed.lift_upper
        return (-effect, -upper, -lower) if self._is_less(self.primary) else (effect, lower, upper)

    def _guard(self, name: str, comparison: Comparison) -> Guardrail:
        margin, less = float(self.guardrails[name]), self._is_less(name)
        if self.mde is None:
            return guardrail(
                comparison,
                margin,
                alpha=self.guardrail_alpha,
                lower_is_better=less,
                relative=self.relative,
            )
        options: dict[str, Any] = {
            "tau": margin,
            "alpha": self.guardrail_alpha,
            "relative": self.relative,
        }
        above = always_valid(comparison, alternative="greater", **options)
        below = always_valid(comparison, alternative="less", **options)
        effect, lower, upper = above.difference, above.lower, below.upper
        losses = (effect, lower, upper) if less else (-effect, -upper, -lower)
        verdict = "held" if losses[2] < margin else "broken" if losses[1] > margin else "unclear"
        return judged(
            comparison.metric,
            verdict,
            margin=margin,
            losses=losses,
            p_values=(math.nan, math.nan),
            alpha=self.guardrail_alpha,
            relative=self.relative,
            lower_is_better=less,
        )

    def _is_less(self, name: str) -> bool:
        return name in self.lower_is_better

    def _decision(
        self,
        action: str,
        reasons: list[str],
        gain: tuple[float, float, float],
        guards: tuple[Guardrail, ...],
        days: int,
    ) -> Decision:
        return Decision(action, tuple(reasons), self.primary, *gain, guards, days)


def _row(report: ExperimentReport, metric: str, arm: str | None) -> Comparison:
    try:
        return report[metric if arm is None else (metric, arm)]
    except KeyError as error:
        raise ValueError(f"report: {error.args[0]}") from None
