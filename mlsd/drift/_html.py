"""The report as one page of HTML: no script, no request, readable on a phone and in the dark.

What matters comes first and is plain text, so that it survives a mail client that drops styles and
drawings: the verdict, then a sentence an alarm with what to check first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from mlsd.drift._bars import both_columns
from mlsd.drift._html_style import STYLE
from mlsd.drift._html_svg import effect_bar, histogram
from mlsd.drift._words import short

if TYPE_CHECKING:
    from mlsd.drift.report import Alarm, DriftReport

__all__ = ["render"]

# Beyond this many columns only those with an alarm get a histogram, and each column that is fine
# has one row in the table.
_MANY = 100
_MOST_FIGURES = 200

_PAIRS = " ~ "  # stands for all correlations: no column has a name of it

_SEVERITY = {"page": 0, "watch": 1, "ok": 2, "unchecked": 3}
_WORD = {"page": "page", "watch": "watch", "ok": "fine", "unchecked": "not checked"}


def render(report: DriftReport, *, title: str | None = None) -> str:
    """Return the report as one self-contained page of HTML.

    Parameters
    ----------
    report : DriftReport
        What to show.
    title : str, optional
        Heading and title of the page; by default "Drift report".
    """
    heading = escape(title or "Drift report")
    parts = [
        _verdict(report, heading),
        _alarms(report, report.page, "page", "To page for"),
        _alarms(report, report.watch, "watch", "To watch"),
        _schema(report),
        _checks(report),
        _fine_columns(report),
        _unchecked(report),
        _notes(report),
        _settings(report),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_verdict_words(report)} - {heading}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _verdict_words(report: DriftReport) -> str:
    if report.page:
        return f"Page: {_things(report.page)}"
    if report.watch:
        return f"Nothing to page for; {_things(report.watch)} to watch"
    return "Nothing to page for"


def _things(alarms: Sequence[Alarm]) -> str:
    """Return how many alarms there are, and in how many columns and correlations."""
    of_pairs = sum(alarm.check == "correlation" for alarm in alarms)
    columns = {(a.segment, a.column) for a in alarms if a.check != "correlation"}
    where = [_plural(len(columns), "column")] if columns else []
    where += [_plural(of_pairs, "correlation")] if of_pairs else []
    return f"{_plural(len(alarms), 'alarm')} in {' and '.join(where)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _verdict(report: DriftReport, heading: str) -> str:
    worst = "page" if report.page else "watch" if report.watch else "ok"
    season = f", season {escape(report.season)}" if report.season else ""
    more = f"<p>To watch: {_things(report.watch)}.</p>\n" if report.page and report.watch else ""
    drawn = (
        '<p class="key">In the drawings the grey area is the reference and the blue line (or bar) '
        "the live rows, on the same cells; NULL and what is below or above the reference's range "
        "stand apart.</p>\n"
    )
    return (
        f'<header class="{worst}">\n<h1>{heading}</h1>\n'
        f'<p class="verdict">{_verdict_words(report)}.</p>\n'
        f"<p>{report.n_live:,} live rows against {report.n_ref:,} of the reference{season}.</p>\n"
        f"{more}{drawn}</header>"
    )


def _alarms(report: DriftReport, alarms: Sequence[Alarm], verdict: str, heading: str) -> str:
    """Return a card a column: all its alarms, and its histogram; correlations share a card."""
    if not alarms:
        return ""
    groups: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in alarms:
        name = _PAIRS if alarm.check == "correlation" else alarm.column
        groups.setdefault((alarm.segment, name), []).append(alarm)
    paged = {(alarm.segment, alarm.column) for alarm in report.page}
    cards, drawn = [], 0
    for (segment, column), group in groups.items():
        figure = ""
        shown_above = verdict == "watch" and (segment, column) in paged
        if not segment and not shown_above and drawn < _MOST_FIGURES:
            figure = _figure(report, column)
            drawn += bool(figure)
        cards.append(_card(group, segment, column, figure))
    return _section(verdict, heading, f'<ol class="cards">\n{"".join(cards)}</ol>')


def _card(group: Sequence[Alarm], segment: str, column: str, figure: str) -> str:
    verdict = group[0].verdict
    if column == _PAIRS:
        name = _plural(len(group), "correlation")
    else:
        name = f"<code>{escape(column)}</code>" if column else "The table"
    if segment:
        name += f" in <code>{escape(segment)}</code>"
    # Checks that say the same in other words are told once, and so is what to check first.
    said: dict[str, list[Alarm]] = {}
    for alarm in group:
        said.setdefault(alarm.sentence, []).append(alarm)
    lines, known = [], set()
    for sentence, alarms in said.items():
        first = alarms[0].first
        lines.append(
            f"<li><p>{_sentence(sentence, segment, column)} "
            f'<span class="quiet">{"; ".join(map(_chance, alarms))}</span></p>'
            + (f"<p>Check first: {_ended(escape(first))}</p>" if first not in known else "")
            + "</li>"
        )
        known |= {first, ""}
    return (
        f'<li class="card {verdict}"><h3>{name} <span class="badge {verdict}">{verdict}</span></h3>'
        f"\n<div><ul>{''.join(lines)}</ul></div>{figure}</li>\n"
    )


def _sentence(sentence: str, segment: str, column: str) -> str:
    """Return the sentence without the segment and the column that the heading has already."""
    text = sentence.removeprefix(f"[{segment}] ").removeprefix(f"{column}: ")
    return _ended(escape(text[:1].upper() + text[1:] if text != sentence else text))


def _ended(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _chance(alarm: Alarm) -> str:
    if alarm.is_rule:
        return f"{escape(alarm.check)}: a rule, no chance involved"
    if alarm.verdict == "page":
        return f"{escape(alarm.check)}: p {_p(alarm.p_adj)} (Holm)"
    return f"{escape(alarm.check)}: q {_p(alarm.q)} (Benjamini-Hochberg)"


def _figure(report: DriftReport, column: str) -> str:
    """Return the two histograms of a column; nothing if it is not in both profiles."""
    pair = both_columns(report, column)
    if pair is None:
        return ""
    drawing = histogram(*pair)
    return f"<figure>{drawing}</figure>" if drawing else ""


def _schema(report: DriftReport) -> str:
    """Return how the columns differ; the alarms above say the same one by one."""
    live = report.live
    lines = [
        (word, ", ".join(f"<code>{escape(str(name))}</code>" for name in names))
        for word, names in (("Missing", live.missing), ("New", live.new))
        if names
    ]
    if live.retyped:
        retyped = (
            f"<code>{escape(name)}</code> from {escape(before)} to {escape(after)}"
            for name, (before, after) in live.retyped.items()
        )
        lines.append(("Of another type", ", ".join(retyped)))
    kept = [name for name in live.order if name in report.reference.names]
    if kept != [name for name in report.reference.names if name in set(kept)]:
        lines.append(("Order", "the columns come in another order than in the reference"))
    if not lines:
        return ""
    return _section("schema", "Schema", _definitions(lines))


def _checks(report: DriftReport) -> str:
    """Return the tables of all checks, the worst first; many that are fine are told together."""
    table = report.table
    many = len(report.reference.names) > _MANY
    bound, effect = (
        np.nan_to_num(np.asarray(table[name], dtype=np.float64)) for name in ("bound", "effect")
    )
    rank = np.array([_SEVERITY[verdict] for verdict in table["verdict"]], dtype=np.int64)
    tested = np.isfinite(np.asarray(table["p"], dtype=np.float64))
    alarmed: list[str] = []
    fine: list[str] = []
    folded, seen = 0, set()
    # A rule of a column comes before its tests; a test before others by how large it surely is.
    for at in np.lexsort((-np.abs(effect), -bound, tested, rank)).tolist():
        verdict, check = table["verdict"][at], table["check"][at]
        column = (table["segment"][at], table["column"][at])
        if verdict == "unchecked":
            continue  # they have a section of their own
        if verdict == "ok" and (check == "correlation" or (many and column in seen)):
            folded += 1
            continue
        seen.add(column)
        (fine if verdict == "ok" else alarmed).append(_row(report, at))
    key = (
        "Effects: d is Cohen's d, h Cohen's h of a rate, V Cramér's V, z a difference of Fisher's "
        "z; with two-sided 95 % intervals. Bars are on the scale of the square root, up to 1. The "
        f"tick is at {short(report.min_effect)}: to page, the lower 95 % bound must be beyond it. "
        "p is adjusted over all checks (Holm)."
    )
    parts = [f'<p class="key">{key}</p>', _table("Checks with a finding", alarmed)]
    if fine:
        more = f" ({folded:,} more in the JSON of the report)" if folded else ""
        summary = f"{_plural(len(fine), 'check')} without a finding{more}"
        inner = _table("Checks without a finding", fine)
        parts.append(f"<details><summary>{summary}</summary>{inner}</details>")
    return _section("checks", "All checks, the worst first", "\n".join(filter(None, parts)))


def _table(caption: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    return (
        f'<table><caption>{caption}</caption><thead><tr><th scope="col">Column, check</th>'
        '<th scope="col">Verdict</th><th scope="col">Effect</th><th scope="col">p</th></tr></thead>'
        f"<tbody>\n{''.join(rows)}</tbody></table>"
    )


def _row(report: DriftReport, at: int) -> str:
    table = report.table
    verdict, measure = table["verdict"][at], table["measure"][at]
    segment, column = table["segment"][at], table["column"][at]
    effect, lo, hi = (float(table[name][at]) for name in ("effect", "lo", "hi"))
    where = f" <span class=quiet>in {escape(segment)}</span>" if segment else ""
    size = ""
    if math.isfinite(effect):
        size = (
            f"{escape(measure)} {short(effect)} <span class=i95>{short(lo)} to {short(hi)}</span>"
            + effect_bar(effect, lo, hi, report.min_effect)
        )
    p = _p(float(table["p_adj"][at])) if math.isfinite(float(table["p"][at])) else "rule"
    return (
        f"<tr><th scope=row><code>{escape(column) or 'table'}</code>{where}<br>"
        f"<span class=quiet>{escape(table['check'][at])}</span></th>"
        f"<td><span class='badge {verdict}'>{_WORD[verdict]}</span></td>"
        f"<td>{size}</td><td class=n>{p}</td></tr>\n"
    )


def _p(value: float) -> str:
    return "&lt; 1e-99" if value < 1e-99 else f"{value:.2g}"


def _fine_columns(report: DriftReport) -> str:
    """Return the histograms of the columns without an alarm, unless there are many."""
    if len(report.reference.names) > _MANY:
        return ""
    alarmed = {alarm.column for alarm in (*report.page, *report.watch) if not alarm.segment}
    items = []
    for column in report.reference.names:
        figure = "" if column in alarmed else _figure(report, column)
        if figure:
            items.append(f"<li><h3><code>{escape(column)}</code></h3>{figure}</li>")
    if not items:
        return ""
    grid = f'<ul class="grid">{"".join(items)}</ul>'
    folded = f"<details><summary>{_plural(len(items), 'histogram')}</summary>{grid}</details>"
    return _section("columns", "Columns without an alarm", folded)


def _unchecked(report: DriftReport) -> str:
    """Return by reason what was not checked; correlations are counted."""
    if not report.unchecked:
        return ""
    by_reason: dict[str, dict[str, list[str]]] = {}
    pairs: dict[str, int] = {}
    for line in report.unchecked:
        columns = by_reason.setdefault(line.reason, {})
        if line.check == "correlation":
            pairs[line.reason] = pairs.get(line.reason, 0) + 1
            continue
        label = f"<code>{escape(line.column)}</code>" if line.column else ""
        label += f" in <code>{escape(line.segment)}</code>" if line.segment else ""
        columns.setdefault(label.strip() or "the table", []).append(line.check)
    items = []
    for reason, columns in by_reason.items():
        labels = [_with_checks(label, checks) for label, checks in columns.items()]
        count = pairs.get(reason, 0)
        labels += [_plural(count, "correlation")] if count else []
        items.append(f"<li>{escape(reason[:1].upper() + reason[1:])}: {_listed(labels)}.</li>")
    return _section("unchecked", "Not checked, and why", f"<ul>{''.join(items)}</ul>")


def _with_checks(label: str, checks: Sequence[str]) -> str:
    named = ", ".join(escape(check) for check in checks if check)
    return f"{label} ({named})" if named else label


def _listed(labels: Sequence[str], most: int = 20) -> str:
    more = f" and {len(labels) - most:,} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more


def _notes(report: DriftReport) -> str:
    if not report.notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return _section("notes", "Notes", f"<ul>{items}</ul>")


def _settings(report: DriftReport) -> str:
    lines = [
        ("Rows", f"{report.n_live:,} live, {report.n_ref:,} of the reference"),
        (
            "Budget",
            f"a comparison without drift pages with chance {report.alpha:.2g} at most, once in "
            f"{1 / report.alpha:,.0f} runs (alpha, shared over all checks by Holm)",
        ),
        ("Watch", f"{100 * report.watch_fdr:g} % false discoveries aimed at (Benjamini-Hochberg)"),
        ("Least effect", f"{short(report.min_effect)} at the lower 95 % bound"),
        ("Season", escape(report.season) or "none: all rows of the reference"),
        (
            "Calibration",
            "scaled to windows of clean rows"
            if report.calibrated
            else "none: rows are taken as independent of each other",
        ),
        ("Columns", f"{len(report.reference.names):,} of the reference"),
    ]
    return _section("settings", "Settings", _definitions(lines))


def _definitions(lines: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{word}</dt><dd>{text}</dd>" for word, text in lines) + "</dl>"


def _section(name: str, heading: str, body: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>\n{body}</section>'
