"""The report of an experiment: its rows, their roles and verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._stats import holm
from mlsd._types import FloatArray
from mlsd.experiments._comparison import Comparison
from mlsd.experiments._guardrail import guardrail
from mlsd.experiments.assignment import SampleRatioTest
from mlsd.experiments.multiple import benjamini_hochberg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ExperimentReport", "MetricRow", "make_report"]


@dataclass(frozen=True, slots=True)
class MetricRow(Result):
    """One metric of one arm against the control.

    Attributes
    ----------
    comparison : Comparison
        The values, difference, lift and their intervals, two-sided and not adjusted.
    role : str
        "primary", "secondary" or "guardrail".
    p_adjusted : float
        Adjusted among the rows of the same role; nan for a guardrail, since all must hold.
    margin : float
        Loss that a guardrail tolerates; nan for others.
    verdict : str
        "better" or "worse" if the adjusted p-value is below ``1 - level``, else "unclear". Of a
        guardrail "held", "broken" or "unclear", as of :func:`guardrail` with an alpha of
        ``(1 - level) / 2``, so that it is what the interval shows. "undefined" without an
        interval. "invalid" if the experiment has a sample ratio mismatch.
    """

    comparison: Comparison
    role: str
    p_adjusted: float
    margin: float
    verdict: str


@dataclass(frozen=True, slots=True)
class ExperimentReport(Result):
    """All metrics of an experiment. ``report["clicks"]`` is the :class:`Comparison` of one.

    Attributes
    ----------
    rows : tuple of MetricRow
        Metric by metric in the order asked for, and arm by arm.
    srm : SampleRatioTest
        Of the numbers of units. After a mismatch the numbers are shown and the verdicts withheld.
    valid : bool
        Whether there was none.
    primary : str or None
        The metric that decides.
    control : str
        The arm that the others are compared with.
    n_units : dict
        Units by arm.
    n_rows : int
        Rows of the log.
    dropped : dict
        What was left out or filled in, by reason; only what occurred.
    adjust : str or None
        How p-values were adjusted.
    level : float
        Coverage of each interval.
    relative : bool
        Whether the margins of guardrails are shares of the control's value.
    """

    rows: tuple[MetricRow, ...]
    srm: SampleRatioTest
    valid: bool
    primary: str | None
    control: str
    n_units: dict[str, int]
    n_rows: int
    dropped: dict[str, int]
    adjust: str | None
    level: float
    relative: bool

    def __getitem__(self, key: str | tuple[str, str]) -> Comparison:
        """Return the comparison of a metric, or with several arms of a metric and an arm."""
        return self.row(key).comparison

    def row(self, key: str | tuple[str, str]) -> MetricRow:
        """Return the row of a metric, or with several arms of a metric and an arm.

        Raises
        ------
        KeyError
            If there is none, or several arms have it.
        """
        metric, arm = key if isinstance(key, tuple) else (key, None)
        # The names of arms are text in a report; 1 asks for the arm that the log has as 1.
        arm = None if arm is None else str(arm)
        found = [
            row
            for row in self.rows
            if row.comparison.metric == metric and arm in (None, row.comparison.treatment_name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            arms = [row.comparison.treatment_name for row in found]
            raise KeyError(f"{metric!r} is of several arms: ask for ({metric!r}, {arms[0]!r})")
        names = list(dict.fromkeys(row.comparison.metric for row in self.rows))
        raise KeyError(f"no row for {key!r}; the metrics are {names}, the arms {self._arms()}")

    def _arms(self) -> list[str]:
        return list(dict.fromkeys(row.comparison.treatment_name for row in self.rows))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a metric and arm.

        Returns
        -------
        DataFrame
            Index ``metric``; columns arm, role, control, treatment, difference, lower, upper,
            lift, lift_lower, lift_upper, p_value, p_adjusted, verdict, n_control, n_treatment and
            variance_reduction.
        """
        fields = ["control", "treatment", "difference", "lower", "upper"]
        fields += ["lift", "lift_lower", "lift_upper", "p_value"]
        table = [
            {
                "metric": row.comparison.metric,
                "arm": row.comparison.treatment_name,
                "role": row.role,
                **{name: getattr(row.comparison, name) for name in fields},
                "p_adjusted": row.p_adjusted,
                "verdict": row.verdict,
                "n_control": row.comparison.n_control,
                "n_treatment": row.comparison.n_treatment,
                "variance_reduction": row.comparison.variance_reduction,
            }
            for row in self.rows
        ]
        return pd.DataFrame(table).set_index("metric")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the lift of each row in percent, with its interval and a line at 0.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; None makes a new figure. Rows without a bounded interval are left out.

        Returns
        -------
        Axes
        """
        from mlsd import plotting

        several = len(self._arms()) > 1
        shown = pd.DataFrame(
            {
                f"{one.metric}, {one.treatment_name}" if several else one.metric: {
                    "mean": 100 * one.lift,
                    "lower": 100 * one.lift_lower,
                    "upper": 100 * one.lift_upper,
                }
                for one in (row.comparison for row in self.rows)
                if math.isfinite(one.lift_upper - one.lift_lower)
            }
        ).T.reindex(columns=["mean", "lower", "upper"])
        axes = plotting.intervals(shown, ax)
        axes.axvline(0, linestyle=":", color="0.5")
        axes.set_xlabel("lift in %")
        return axes

    def _note(self) -> str:
        notes = [self.srm.message]
        if not self.valid:
            notes.append("the arms are not comparable: find the cause before reading the metrics")
        notes += [f"{reason}: {count:,}" for reason, count in self.dropped.items()]
        return "; ".join(notes)


def make_report(
    comparisons: list[Comparison],
    *,
    srm: SampleRatioTest,
    dropped: dict[str, int],
    n_rows: int,
    control: str,
    primary: str | None,
    margins: dict[str, float],
    lower: set[str],
    adjust: str | None,
    level: float,
    relative: bool,
) -> ExperimentReport:
    roles = [
        "guardrail"
        if one.metric in margins
        else "primary"
        if one.metric == primary
        else "secondary"
        for one in comparisons
    ]
    adjusted = np.full(len(roles), math.nan)
    for role in ("primary", "secondary"):
        family = [row for row, of_row in enumerate(roles) if of_row == role]
        p_values = np.array([comparisons[row].p_value for row in family])
        adjusted[family] = _adjusted(p_values, adjust)
    rows = []
    for one, role, p_value in zip(comparisons, roles, adjusted.tolist(), strict=True):
        sign = -1.0 if one.metric in lower else 1.0
        margin = margins.get(one.metric, math.nan)
        verdict = (
            "invalid"
            if srm.mismatch
            else "undefined"
            if math.isnan(one.p_value)
            else guardrail(
                one,
                margin,
                alpha=(1 - level) / 2,
                lower_is_better=one.metric in lower,
                relative=relative,
            ).verdict
            if role == "guardrail"
            else _judged(one.difference * sign, p_value, 1 - level)
        )
        rows.append(MetricRow(one, role, p_value, margin, verdict))
    return ExperimentReport(
        rows=tuple(rows),
        srm=srm,
        valid=not srm.mismatch,
        primary=primary,
        control=control,
        n_units={str(name): count for name, count in srm.counts.items()},
        n_rows=n_rows,
        dropped={reason: count for reason, count in dropped.items() if count},
        adjust=adjust,
        level=level,
        relative=relative,
    )


def _adjusted(p_values: FloatArray, adjust: str | None) -> FloatArray:
    if adjust == "holm":
        return holm(p_values)
    return benjamini_hochberg(p_values) if adjust == "bh" else p_values


def _judged(gain: float, p_value: float, alpha: float) -> str:
    if p_value >= alpha:
        return "unclear"
    return "better" if gain > 0 else "worse"
