"""What a comparison of live rows with the reference found: alarms, a table, and plain sentences."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsd._lazy import pandas as pd
from mlsd._results import Result, plain

if TYPE_CHECKING:
    from mlsd.drift.profile import Profile

__all__ = ["Alarm", "DriftReport", "Unchecked"]

# The table's columns, in the order in which they are shown.
TABLE = (
    "segment",
    "column",
    "check",
    "stat",
    "p",
    "p_adj",
    "q",
    "effect",
    "lo",
    "hi",
    "bound",
    "measure",
    "verdict",
    "reason",
)


# How many columns the text for a pager tells of; the table has them all.
_MOST_PAGED, _MOST_WATCHED = 20, 10

_PAIR = " ~ "  # between the names of two columns, for their correlation


@dataclass(frozen=True, slots=True)
class Alarm(Result):
    """One thing that changed, said with numbers.

    Attributes
    ----------
    column : str
        Name of the column; two names joined by " ~ " for a correlation; "" for the table itself.
    check : str
        What was compared: "distribution", "scale", "histogram", "categories", "null", "range",
        "unseen", "correlation", "target" or "prediction"; or a rule: "declared", "schema" or
        "constant".
    segment : str
        Level of the segment column, "" for all rows.
    verdict : {"page", "watch"}
        Whether someone is called, or the line waits to be read.
    p_adj : float
        p-value adjusted by Holm over the whole table, by which it pages; nan for a rule.
    q : float
        The same adjusted by Benjamini-Hochberg, by which it is watched; nan for a rule.
    effect, lo, hi : float
        Size of the change and its two-sided 95 % interval; nan for a rule.
    bound : float
        One-sided 95 % lower bound of the absolute effect; nan for a rule.
    measure : str
        Unit of the effect: "d" (Cohen's d), "log sd ratio", "h" (Cohen's h), "V" (bias-corrected
        Cramér's V), "z" (difference of Fisher's z), or "" for a rule.
    sentence : str
        What happened, with numbers.
    first : str
        What to check first.
    """

    column: str
    check: str
    segment: str
    verdict: str
    p_adj: float
    q: float
    effect: float
    lo: float
    hi: float
    bound: float
    measure: str
    sentence: str
    first: str

    @property
    def is_rule(self) -> bool:
        """Whether a declaration or the schema is broken: no p-value, no chance involved."""
        return math.isnan(self.p_adj)


@dataclass(frozen=True, slots=True)
class Unchecked(Result):
    """A check that could not be made, and why.

    Attributes
    ----------
    column, check, segment : str
        As in :class:`Alarm`; a check of "" stands for all checks of the column.
    reason : str
        Why it was not made.
    """

    column: str
    check: str
    segment: str
    reason: str


# Alarms by segment and column.
_Grouped = dict[tuple[str, str], list[Alarm]]


@dataclass(frozen=True, slots=True)
class DriftReport(Result):
    """The comparison of live rows with the reference.

    Attributes
    ----------
    page : tuple of Alarm
        What someone should be called for; truthy exactly when there is something. The largest
        finding comes first: rules, then by p-value.
    watch : tuple of Alarm
        What should be read with the next coffee: significant at the rate of false discoveries, but
        not sure or not large enough to page.
    unchecked : tuple of Unchecked
        Every check that was not made, with the reason.
    notes : tuple of str
        What else a reader must know: how many numeric columns the reference keeps no correlations
        of, and calibration on windows of another length than the live rows.
    alpha : float
        Chance that a comparison without drift pages at all, at most.
    watch_fdr : float
        Share of false discoveries aimed at among what is watched.
    min_effect : float
        Least size of a change, at its lower 95 % bound, that may page.
    n_ref, n_live : int
        Rows of the reference and live rows.
    calibrated : bool
        Whether the monitor had been calibrated on clean rows.
    season : str
        The reference season that was used; "" for all rows.
    reference, live : Profile
        The profiles that were compared, for plots and the HTML page.
    """

    page: tuple[Alarm, ...]
    watch: tuple[Alarm, ...]
    unchecked: tuple[Unchecked, ...]
    notes: tuple[str, ...]
    alpha: float
    watch_fdr: float
    min_effect: float
    n_ref: int
    n_live: int
    calibrated: bool
    season: str
    reference: Profile = field(repr=False, compare=False)
    live: Profile = field(repr=False, compare=False)
    table: dict[str, Any] = field(repr=False, compare=False)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check: what was compared, how sure, how large, and the verdict.

        Returns
        -------
        pandas.DataFrame
            Columns segment, column, check, stat, p (of the check alone), p_adj (Holm over the
            whole table), q (Benjamini-Hochberg over it), effect, lo, hi (two-sided 95 %), bound
            (one-sided 95 % lower bound of the absolute effect), measure, verdict ("page", "watch",
            "ok" or "unchecked") and reason.
        """
        return pd.DataFrame({name: self.table[name] for name in TABLE})

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the two profiles as plain values; an undefined number is None."""
        rows = self.to_frame()
        result: dict[str, Any] = {
            "page": [alarm.to_dict() for alarm in self.page],
            "watch": [alarm.to_dict() for alarm in self.watch],
            "unchecked": [line.to_dict() for line in self.unchecked],
            "notes": list(self.notes),
            "alpha": self.alpha,
            "watch_fdr": self.watch_fdr,
            "min_effect": self.min_effect,
            "n_ref": self.n_ref,
            "n_live": self.n_live,
            "calibrated": self.calibrated,
            "season": self.season,
            "table": rows.to_dict("records"),
        }
        finite: dict[str, Any] = _without_nan(plain(result))
        return finite

    def to_json(self, *, indent: int | None = None) -> str:
        """Return :meth:`to_dict` as strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False, ensure_ascii=False)

    def to_html(self, path: str | Path | None = None, *, title: str | None = None) -> str:
        """Return the report as one page of HTML that needs nothing else, and write it if asked.

        Parameters
        ----------
        path : str or Path, optional
            File to write.
        title : str, optional
            Heading of the page.
        """
        from mlsd.drift._html import render

        page: str = render(self, title=title)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def plot(self, column: str | None = None, *, ax: Any = None) -> Any:
        """Draw the effects with their intervals, or the two histograms of one column.

        Parameters
        ----------
        column : str, optional
            The column to draw; by default all effects.
        ax : matplotlib Axes, optional
            Where to draw.
        """
        from mlsd import plotting

        if column is None:
            return plotting.drift_report(self, ax=ax)
        return plotting.drift_column(self, column, ax=ax)

    def explain(self) -> str:
        """Return the alarms as plain text for a pager: what happened, and what to check first.

        The checks of one column are told together, the surest first, and before correlations of
        the column, which may follow from them. The first twenty columns that page are listed, and
        the first ten that are watched. "p" is Holm's, "q" that of Benjamini and Hochberg.
        """
        paged, watched = _by_column(self.page), _by_column(self.watch)
        for key in paged.keys() & watched.keys():
            paged[key] += watched.pop(key)
        lines = [self._headline(paged)]
        lines += _told(paged, "PAGE", _MOST_PAGED)
        lines += _told(watched, "WATCH", _MOST_WATCHED)
        if self.unchecked:
            lines.append(f"Not checked: {self._not_checked()}.")
        lines += [f"Note: {note}." for note in self.notes]
        if not self.calibrated and not all(alarm.is_rule for alarm in self.page):
            lines.append(
                "Rows are taken as independent; if rows of one day or user belong together, "
                "calibrate."
            )
        return "\n".join(lines)

    def _headline(self, paged: _Grouped) -> str:
        against = f"{self.n_live:,} live rows against {self.n_ref:,} of the reference"
        if self.season:
            against += f", season {self.season}"
        if not self.page:
            return f"Nothing to page for ({against})."
        names = list(dict.fromkeys(column or "the table" for _, column in paged))
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"Changed: {shown} ({against})."

    def _not_checked(self) -> str:
        """Return the columns by reason; of correlations only how many."""
        columns: dict[str, dict[str, None]] = {}
        correlations: dict[str, int] = {}
        for line in self.unchecked:
            if line.check == "correlation":
                correlations[line.reason] = correlations.get(line.reason, 0) + 1
            else:
                name = line.column or f"segment {line.segment}"
                columns.setdefault(line.reason, {})[name] = None
        parts = []
        for reason, names in columns.items():
            listed = list(names)
            more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
            parts.append(f"{', '.join(listed[:5])}{more}: {reason}")
        parts += [
            f"{count:,} correlation{'s' if count > 1 else ''}: {reason}"
            for reason, count in correlations.items()
        ]
        return "; ".join(parts)

    def _note(self) -> str:
        """Return the alarms, which a notebook prints beneath the table."""
        return self.explain()


def _by_column(alarms: tuple[Alarm, ...]) -> _Grouped:
    """Return the alarms of each segment and column; correlations of these columns come last."""
    groups: _Grouped = {}
    for alarm in alarms:
        groups.setdefault((alarm.segment, alarm.column), []).append(alarm)
    alone = {key for key, group in groups.items() if group[0].check != "correlation"}

    def follows(key: tuple[str, str]) -> bool:
        if key in alone:
            return False
        segment, pair = key
        cuts = [at for at in range(len(pair)) if pair.startswith(_PAIR, at)]
        halves = [half for at in cuts for half in (pair[:at], pair[at + len(_PAIR) :])]
        return any((segment, half) in alone for half in halves)

    return {key: groups[key] for key in sorted(groups, key=follows)}


def _told(groups: _Grouped, word: str, most: int) -> list[str]:
    """Return a line a column, with what to check first, and how many are left out."""
    lines = []
    for group in list(groups.values())[:most]:
        first = group[0]
        also = dict.fromkeys(alarm.check for alarm in group[1:])
        more = f"; also {', '.join(also)}" if also else ""
        lines.append(f"{word} {first.sentence}; {_chance(first)}{more}.")
        lines.append(
            f"  First check {first.first}."
            if first.first[-1:] not in ".?"
            else f"  First check {first.first}"
        )
    if len(groups) > most:
        lines.append(f"{word} {len(groups) - most} more columns: see the table.")
    return lines


def _chance(alarm: Alarm) -> str:
    if alarm.is_rule:
        return "a rule"
    if alarm.verdict == "page":
        return f"p {_p_value(alarm.p_adj)} after Holm"
    return f"q {_p_value(alarm.q)}"


def _p_value(value: float) -> str:
    return f"{value:.1g}".removeprefix("0") if value >= 1e-300 else "< 1e-300"


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return value
