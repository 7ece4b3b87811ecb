"""What was declared of a column, and what is broken of it: no p-value, no chance involved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsd.drift._words import count_of, number, percent

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile, Profile

__all__ = [
    "Expectation",
    "Finding",
    "check_against",
    "constant_findings",
    "declared",
    "read_expectations",
]

_KEYS = ("nullable", "max_null_rate", "range", "allowed", "required")

# A constant column pages as a rule if the reference would give it less often than this.
_CHANCE_OF_CONSTANT = 1e-6

# Rows of one later day often share their time: that is a default (9999) only if it is later than
# the reference by so many times the reference's own length.
_LATER = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule; with the verdict "ok" one that holds, "unchecked" one that cannot be known.

    `value` is what a constant column holds.
    """

    column: str
    check: str
    verdict: str
    sentence: str
    first: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is declared of one column; None where nothing is."""

    nullable: bool | None = None
    max_null_rate: float | None = None
    range: tuple[float, float] | None = None
    allowed: tuple[str, ...] | None = None
    required: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what is declared; an end of the range that is open is None."""
        result: dict[str, Any] = {
            key: getattr(self, key) for key in _KEYS if getattr(self, key) is not None
        }
        if self.range is not None:
            result["range"] = [end if math.isfinite(end) else None for end in self.range]
        if self.allowed is not None:
            result["allowed"] = list(self.allowed)
        return result


def read_expectations(expect: Any) -> dict[str, Expectation]:
    """Return the declarations of every column, or say which one makes no sense."""
    if expect is None:
        return {}
    if not isinstance(expect, Mapping):
        raise TypeError(f"expect must be a dict of columns; got {type(expect).__name__}")
    return {str(column): _read(f"expect[{column!r}]", rules) for column, rules in expect.items()}


def _read(name: str, rules: Any) -> Expectation:
    if isinstance(rules, Expectation):
        return rules
    if not isinstance(rules, Mapping):
        raise TypeError(f"{name} must be a dict; got {rules!r}")
    unknown = [key for key in rules if key not in _KEYS]
    if unknown:
        raise ValueError(f"{name} has the unknown keys {unknown}; known are {list(_KEYS)}")
    for key in ("nullable", "required"):
        if not isinstance(rules.get(key), bool | np.bool_ | None):
            raise TypeError(f"{name}[{key!r}] must be True or False; got {rules[key]!r}")
    return Expectation(
        nullable=_flag(rules.get("nullable")),
        max_null_rate=_rate(f"{name}['max_null_rate']", rules.get("max_null_rate")),
        range=_range(f"{name}['range']", rules.get("range")),
        allowed=_allowed(f"{name}['allowed']", rules.get("allowed")),
        required=_flag(rules.get("required")),
    )


def _flag(value: Any) -> bool | None:
    return None if value is None else bool(value)


def _is_number(value: Any) -> bool:
    """Return whether a value is a number, of Python or of numpy, and not True or False."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _rate(name: str, value: Any) -> float | None:
    if value is None:
        return None
    if not _is_number(value):
        raise TypeError(f"{name} must be a number; got {value!r}")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value!r}")
    return float(value)


def _range(name: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__len__") or len(value) != 2:
        raise ValueError(f"{name} must be (lowest, highest), None for an open end; got {value!r}")
    ends = []
    for end, open_end in zip(value, (-math.inf, math.inf), strict=True):
        if end is not None and not _is_number(end):
            raise TypeError(f"{name} must hold numbers; got {value!r}")
        ends.append(open_end if end is None else float(end))
    if not ends[0] <= ends[1]:
        raise ValueError(f"{name} must rise; got {value!r}")
    return ends[0], ends[1]


def _allowed(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a list of categories; got {value!r}")
    return tuple(str(item) for item in value)


def check_against(expect: Mapping[str, Expectation], reference: Profile) -> None:
    """Raise ValueError where a declaration does not fit the column of the reference."""
    for name, rules in expect.items():
        if name not in reference.names:
            if not rules.required:
                raise ValueError(
                    f"expect names the column {name!r}, which the reference lacks; it has "
                    f"{list(reference.names)}"
                )
            continue
        kind = reference[name].kind
        if rules.range is not None and kind != "numeric":
            raise ValueError(f"expect[{name!r}] declares a range; the column is {kind}")
        if rules.allowed is not None and kind != "categorical":
            raise ValueError(f"expect[{name!r}] declares categories; the column is {kind}")


def declared(expect: Mapping[str, Expectation], reference: Profile, live: Profile) -> list[Finding]:
    """Return one finding a declaration, broken or not."""
    found: list[Finding] = []
    present = {column.name for column in live.columns}
    for name, rules in expect.items():
        if name not in present:
            if name not in reference.names and name not in live.new:
                found.append(
                    Finding(
                        name,
                        "declared",
                        "page",
                        f"{name}: the column is missing; it is declared as required",
                        "the query or the job that writes the table",
                    )
                )
            continue
        column = live[name]
        found += _nulls(column, rules)
        if rules.range is not None:
            found.append(_outside(column, rules.range))
        if rules.allowed is not None:
            found.append(_not_allowed(column, rules.allowed))
    return found


def _nulls(column: ColumnProfile, rules: Expectation) -> list[Finding]:
    found = []
    name, rate = column.name, column.n_null / max(column.n, 1)
    first = f"the job that fills {name}: since when, and from which source the NULLs come"
    if rules.nullable is False:
        broken = column.n_null > 0
        text = f"{count_of(column.n_null, column.n)} are NULL; declared is that none is"
        found.append(_finding(name, broken, text, first))
    if rules.max_null_rate is not None:
        broken = rate > rules.max_null_rate
        text = (
            f"{count_of(column.n_null, column.n)} are NULL; declared is at most "
            f"{percent(rules.max_null_rate)}"
        )
        found.append(_finding(name, broken, text, first))
    return found


def _outside(column: ColumnProfile, ends: tuple[float, float]) -> Finding:
    low, high = ends
    minimum, maximum = column.minimum, column.maximum
    wrong = []
    if minimum < low:
        wrong.append(f"the smallest value is {number(minimum)}")
    if maximum > high:
        wrong.append(f"the largest value is {number(maximum)}")
    if column.n_infinite and not (math.isinf(low) and math.isinf(high)):
        wrong.append(f"{column.n_infinite} values are infinite")
    said = " and ".join(wrong) if wrong else f"values are {number(minimum)} to {number(maximum)}"
    text = f"{said}; declared is {_interval(low, high)}"
    return _finding(
        column.name,
        bool(wrong),
        text,
        f"the rows with these values of {column.name}: a changed unit, a default such as -1 or "
        "9999, or a parser",
    )


def _interval(low: float, high: float) -> str:
    if math.isinf(low):
        return f"at most {number(high)}"
    return f"at least {number(low)}" if math.isinf(high) else f"{number(low)} to {number(high)}"


def _not_allowed(column: ColumnProfile, allowed: tuple[str, ...]) -> Finding:
    fine = set(allowed)
    wrong = {
        level: int(count)
        for level, count in zip(column.levels, column.counts, strict=True)
        if count and level not in fine
    }
    unnamed = column.n_unseen + column.n_other
    for level, count in column.unseen:
        unnamed -= count
        if level not in fine:
            wrong[level] = count
    first = f"the writer of {column.name}: a new release, a new partner, or another spelling"
    if not wrong and unnamed:
        return Finding(
            column.name,
            "declared",
            "unchecked",
            f"{count_of(unnamed, column.n - column.n_null)} are of categories that the profile "
            "does not keep by name: whether they are allowed is not known",
        )
    shown = ", ".join(f"{level!r} ({count:,})" for level, count in list(wrong.items())[:3])
    total = sum(wrong.values())
    text = f"{count_of(total, column.n - column.n_null)} are not among the allowed categories"
    text += f": {shown}" + (", ..." if len(wrong) > 3 else "") if wrong else ""
    return _finding(column.name, bool(wrong), text, first)


def _finding(name: str, broken: bool, text: str, first: str) -> Finding:
    verdict = "page" if broken else "ok"
    return Finding(name, "declared", verdict, f"{name}: {text}", first if broken else "")


def constant_findings(reference: Profile, live: Profile, min_rows: int) -> list[Finding]:
    """Return the columns that varied in the reference and hold a single value, or none, now.

    A flag that is set once in 10,000 rows is often constant over 2,000 of them: a column is named
    only if the commonest value of the reference would fill the live rows by chance less often than
    once in a million. Rows of one batch often share their time: a single time pages only if it is
    earlier than the reference by more than the reference's own length.
    """
    pairs = [(reference[column.name], column) for column in live.columns]
    if reference.prediction is not None and live.prediction is not None:
        pairs.append((reference.prediction, live.prediction))
    found = []
    for before, after in pairs:
        if before.n_valid == 0 or after.n < min_rows:
            continue  # NULLs that vanish have a check of their own
        if not after.n_valid:
            finding = _all_null(before, after)
        elif after.n_valid < min_rows:
            finding = None
        elif after.kind == "datetime":
            finding = _one_time(before, after)
        else:
            finding = _one_value(before, after)
        if finding is not None:
            found.append(finding)
    return found


def _by_chance(share: float, n: int) -> bool:
    """Return whether something of this share would fill n rows by chance."""
    return share > 0 and n * math.log(share) > math.log(_CHANCE_OF_CONSTANT)


def _all_null(before: ColumnProfile, after: ColumnProfile) -> Finding | None:
    missing = before.n_null / before.n
    if _by_chance(missing, after.n):
        return None
    return Finding(
        after.name,
        "constant",
        "page",
        f"{after.name}: all {after.n:,} values are NULL; in the reference {percent(missing)} are",
        f"the job or join that fills {after.name}: nothing arrives",
        "NULL",
    )


def _one_value(before: ColumnProfile, after: ColumnProfile) -> Finding | None:
    name, n = after.name, after.n_valid
    if after.capped and after.n_other == n:
        return Finding(
            name,
            "constant",
            "unchecked",
            "all values are of categories that the profile does not keep by name: whether they are "
            "one and the same is not known",
        )
    value = _only_value(after)
    if value is None or _only_value(before) is not None:
        return None
    # Of categories beyond the cap each was met once at least.
    most = max(int(before.counts.max(initial=0)), 1) / before.n_valid
    if _by_chance(most, n):
        return None
    return Finding(
        name,
        "constant",
        "page",
        f"{name}: all {n:,} values are {value}; in the reference the commonest makes up "
        f"{percent(most)}",
        f"the join or the default that fills {name}: a lookup that finds nothing often looks like "
        "this",
        value,
    )


def _one_time(before: ColumnProfile, after: ColumnProfile) -> Finding | None:
    """Return what a single time means: a default such as 1970, or the day of the batch."""
    length = before.maximum - before.minimum
    if after.minimum != after.maximum or not length:
        return None
    back, later = before.minimum - after.minimum, after.minimum - before.maximum
    if 0 < later <= _LATER * length:
        return None
    value, low, high = (str(_time(at)) for at in (after.minimum, before.minimum, before.maximum))
    return Finding(
        after.name,
        "constant",
        "page" if back > length else "watch",
        f"{after.name}: all {after.n_valid:,} values are {value}; in the reference they run from "
        f"{low} to {high}",
        f"the default or the parser that fills {after.name} (a time of 0 is 1970-01-01), unless "
        "these rows are one batch that shares its time",
        value,
    )


def _time(seconds: float) -> np.datetime64:
    """Return seconds since 1970 UTC as a time; to the second, or a day if it is midnight."""
    time = np.datetime64(math.floor(seconds), "s")
    day = time.astype("datetime64[D]")
    return day if day == time and seconds == math.floor(seconds) else time


def _only_value(column: ColumnProfile) -> str | None:
    if column.kind == "numeric":
        same = column.minimum == column.maximum and not column.n_infinite
        return number(column.minimum) if same else None
    occupied = [level for level, n in zip(column.levels, column.counts, strict=True) if n]
    others = column.n_other + column.n_unseen
    if len(occupied) == 1 and not others:
        return repr(occupied[0])
    if (
        not occupied
        and len(column.unseen) == 1
        and others == sum(count for _, count in column.unseen)
    ):
        return repr(column.unseen[0][0])
    return None
