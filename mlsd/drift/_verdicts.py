"""From rows of checks to verdicts, alarms and the table of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlsd._types import AnyArray, FloatArray
from mlsd.drift._adjust import weighted_bh, weighted_holm
from mlsd.drift._hypotheses import Rows
from mlsd.drift._layout import slots_of
from mlsd.drift._rules import Finding
from mlsd.drift._sentences import Change, describe
from mlsd.drift.report import Alarm, Unchecked

__all__ = ["alarms_of", "table_of", "verdicts"]

_TIMES = "its values are times: only NULLs and a constant are compared"


def verdicts(
    rows: Rows, *, alpha: float, watch_fdr: float, min_effect: float
) -> tuple[AnyArray, FloatArray, FloatArray]:
    """Return the verdict of every row, and its p-values as adjusted by Holm and by Benjamini.

    To page, a change must be beyond chance over the whole table, and so large that even the lower
    end of its interval is beyond `min_effect`. What is beyond chance but small is watched.
    """
    holm = weighted_holm(rows.p, rows.weight)
    fdr = weighted_bh(rows.p, rows.weight)
    made = ~np.isnan(rows.p)
    sure = made & (holm <= alpha)
    large = (rows.bound > min_effect) | (min_effect == 0.0)
    verdict = np.full(len(rows), "ok", dtype=object)
    verdict[made & (fdr <= watch_fdr)] = "watch"
    verdict[sure] = "watch"
    verdict[sure & large] = "page"
    verdict[~made] = "unchecked"
    return verdict, holm, fdr


def alarms_of(
    rows: Rows,
    verdict: AnyArray,
    holm: FloatArray,
    fdr: FloatArray,
    findings: Sequence[tuple[str, Finding]],
    profiles: Mapping[str, tuple[Any, Any]],
) -> tuple[tuple[Alarm, ...], tuple[Alarm, ...], tuple[Unchecked, ...]]:
    """Return what pages, what is watched and what was not checked; rules come first."""
    nan = float("nan")
    alarms: list[Alarm] = []
    for segment, finding in findings:
        if finding.verdict in ("page", "watch"):
            alarms.append(
                Alarm(
                    column=finding.column,
                    check=finding.check,
                    segment=segment,
                    verdict=finding.verdict,
                    p_adj=nan,
                    q=nan,
                    effect=nan,
                    lo=nan,
                    hi=nan,
                    bound=nan,
                    measure="",
                    sentence=finding.sentence,
                    first=finding.first,
                )
            )
    raised = np.flatnonzero((verdict == "page") | (verdict == "watch"))
    # The surest first; among those beyond what float64 can tell apart, the largest.
    order = np.lexsort((-np.nan_to_num(rows.bound[raised]), holm[raised]))
    for at in raised[order]:
        change = Change(
            segment=rows.segment[at],
            column=rows.column[at],
            check=rows.check[at],
            measure=rows.measure[at],
            effect=float(rows.effect[at]),
            bound=float(rows.bound[at]),
        )
        sentence, first = describe(change, *profiles[change.segment])
        alarms.append(
            Alarm(
                column=change.column,
                check=change.check,
                segment=change.segment,
                verdict=verdict[at],
                p_adj=float(holm[at]),
                q=float(fdr[at]),
                effect=change.effect,
                lo=float(rows.lo[at]),
                hi=float(rows.hi[at]),
                bound=change.bound,
                measure=change.measure,
                sentence=sentence,
                first=first,
            )
        )
    unchecked = [
        Unchecked(rows.column[at], rows.check[at], rows.segment[at], rows.reason[at])
        for at in np.flatnonzero(verdict == "unchecked")
    ]
    unchecked += [
        Unchecked(finding.column, finding.check, segment, finding.sentence)
        for segment, finding in findings
        if finding.verdict == "unchecked"
    ]
    unchecked += [
        Unchecked(slot.name, "distribution", "", _TIMES)
        for slot in slots_of(profiles[""][1])
        if slot.column.kind == "datetime"
    ]
    return (
        tuple(alarm for alarm in alarms if alarm.verdict == "page"),
        tuple(alarm for alarm in alarms if alarm.verdict == "watch"),
        tuple(unchecked),
    )


def table_of(
    rows: Rows,
    verdict: AnyArray,
    holm: FloatArray,
    fdr: FloatArray,
    findings: Sequence[tuple[str, Finding]],
) -> dict[str, AnyArray]:
    """Return the columns of the report's table: the rules, then the checks."""
    rules = [(segment, finding) for segment, finding in findings]
    blank = np.full(len(rules), np.nan)

    def text(of_rules: list[str], of_rows: AnyArray) -> AnyArray:
        result = np.empty(len(rules) + len(rows), dtype=object)
        result[: len(rules)], result[len(rules) :] = of_rules, of_rows
        return result

    return {
        "segment": text([segment for segment, _ in rules], rows.segment),
        "column": text([finding.column for _, finding in rules], rows.column),
        "check": text([finding.check for _, finding in rules], rows.check),
        "stat": np.concatenate((blank, rows.stat)),
        "p": np.concatenate((blank, rows.p)),
        "p_adj": np.concatenate((blank, holm)),
        "q": np.concatenate((blank, fdr)),
        "effect": np.concatenate((blank, rows.effect)),
        "lo": np.concatenate((blank, rows.lo)),
        "hi": np.concatenate((blank, rows.hi)),
        "bound": np.concatenate((blank, rows.bound)),
        "measure": text([""] * len(rules), rows.measure),
        "verdict": text([finding.verdict for _, finding in rules], verdict),
        "reason": text([finding.sentence for _, finding in rules], rows.reason),
    }
