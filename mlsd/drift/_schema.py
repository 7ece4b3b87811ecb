"""Columns that are missing, new, of another type, or in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd.drift._rules import Finding

if TYPE_CHECKING:
    from mlsd.drift.profile import Profile

__all__ = ["schema_findings"]


def schema_findings(
    reference: Profile, live: Profile, optional: frozenset[str] = frozenset()
) -> list[Finding]:
    """Return what differs between the columns of the reference and those of the live rows."""
    found = [
        Finding(
            name,
            "schema",
            "watch" if name in optional else "page",
            f"{name}: the column is missing",
            "the query or the job that writes the table: was the column renamed or dropped? "
            + _renamed(live),
        )
        for name in live.missing
    ]
    found += [
        Finding(
            name,
            "schema",
            "page",
            f"{name}: the type is {after}, {before} in the reference",
            "the writer or the reader of the column: a parser that fell back to text, or an "
            "identifier that became a number",
        )
        for name, (before, after) in live.retyped.items()
    ]
    found += [
        Finding(
            name,
            "schema",
            "watch",
            f"{name}: a new column that the reference does not have",
            "whether a model should know it: fit the monitor anew to have it checked",
        )
        for name in live.new
    ]
    return found + _order(reference, live)


def _renamed(live: Profile) -> str:
    if not live.new:
        return "No column is new."
    return "New beside it: " + ", ".join(map(str, live.new)) + "."


def _order(reference: Profile, live: Profile) -> list[Finding]:
    known, came = set(reference.names), set(live.order)
    kept = [name for name in live.order if name in known]
    wanted = [name for name in reference.names if name in came]
    moved = [name for name, before in zip(kept, wanted, strict=True) if name != before]
    if not moved:
        return []
    shown = ", ".join(moved[:5]) + (", ..." if len(moved) > 5 else "")
    return [
        Finding(
            "",
            "schema",
            "watch",
            f"the columns come in another order: {len(moved)} are in another place ({shown})",
            "whether a consumer reads columns by position",
        )
    ]
