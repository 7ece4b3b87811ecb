"""What a changed check means in words, with the numbers of both profiles, and what to check first.

Only alarms come here, one at a time: the words need the columns themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray, IntArray
from mlsd.drift._words import count_of, number, number_on, numbers, percent, short, shorts

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile, Profile

__all__ = ["Change", "describe"]

# What Cohen's d, the ratio of deviations and correlations are measured on.
_CLIPPED = "of values clipped to the reference's 0.1 % and 99.9 % quantiles"

# A mean that moved by more than this many deviations, surely, may be a matter of the unit.
_CLEAR_SHIFT = 0.1


@dataclass(frozen=True, slots=True)
class Change:
    """The numbers of one row of the table."""

    segment: str
    column: str
    check: str
    measure: str
    effect: float
    bound: float

    def size(self) -> str:
        """Return the effect and its bound in brackets."""
        least = f"at least {short(self.bound)}" if self.bound > 0 else "possibly none"
        return f"({self.measure} {short(self.effect)}, {least})"


def describe(change: Change, reference: Profile, live: Profile) -> tuple[str, str]:
    """Return the sentence, and what to check first."""
    sentence, first = _of_check(change, reference, live)
    if change.segment:
        sentence = f"[{change.segment}] {sentence}"
    return sentence, first


def _of_check(change: Change, reference: Profile, live: Profile) -> tuple[str, str]:
    if change.check == "correlation":
        return _correlation(change, reference, live)
    if change.check == "target" and reference.target and live.target:
        text = _values(change, reference.target, live.target)
        first = (
            "whether the labels are complete for these rows (late labels first arrive for one "
            "class), then whether the population changed"
        )
        return text, first
    if change.check == "prediction" and reference.prediction and live.prediction:
        text = _values(change, reference.prediction, live.prediction)
        return text, "whether a new model was released, then the features that changed with it"
    before, after = _pair(change, reference, live)
    if change.check == "null":
        return _nulls(change, before, after)
    if change.check == "range":
        return _range(change, before, after)
    if change.check == "unseen":
        return _unseen(change, after)
    return _values(change, before, after), _first_of_values(change, before, after)


def _pair(change: Change, reference: Profile, live: Profile) -> tuple[ColumnProfile, ColumnProfile]:
    for before, after in (
        (reference.prediction, live.prediction),
        (reference.target, live.target),
    ):
        if before is not None and after is not None and before.name == change.column:
            return before, after
    return reference[change.column], live[change.column]


def _nulls(change: Change, before: ColumnProfile, after: ColumnProfile) -> tuple[str, str]:
    rate, now = before.n_null / max(before.n, 1), after.n_null / max(after.n, 1)
    first = (
        f"the job or join that fills {change.column}: since when, and do the NULLs come from one "
        "source?"
    )
    if now < rate:
        first = (
            f"whether a default or a fill replaced the NULLs of {change.column}: which value is "
            "more frequent than it was?"
        )
    return (
        f"{change.column}: {percent(now)} of values are NULL ({after.n_null:,} of {after.n:,}), "
        f"{percent(rate)} in the reference {change.size()}",
        first,
    )


def _first_of_values(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    if change.measure == "d":
        return (
            f"whether the unit, the currency or the source of {change.column} changed, then which "
            "group of rows moved"
        )
    if change.measure == "log sd ratio":
        return (
            f"whether {change.column} is rounded, capped or averaged in another way, then whether "
            "two sources are mixed"
        )
    if change.check == "categories":
        return (
            f"the writer of {change.column}: a renamed or swapped category, then the mix of traffic"
        )
    unit = ", or another unit or source (its mean moved, too)" if _moved(before, after) else ""
    return f"a default value or rounding in {change.column}{unit}, then the mix of traffic"


def _moved(before: ColumnProfile, after: ColumnProfile) -> bool:
    """Return whether the clipped mean moved, beyond chance and by more than a trifle."""
    spread, n, m = before.clipped_std, before.n_valid, after.n_valid
    if before.kind != "numeric" or not (n and m and spread > 0):
        return False
    shift = abs(after.clipped_mean - before.clipped_mean) / spread
    return shift > max(_CLEAR_SHIFT, 4 * math.sqrt(1 / n + 1 / m))


def _values(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    if before.kind != "numeric":
        return _categories(change, before, after)
    if change.measure == "d":
        direction = "higher" if change.effect > 0 else "lower"
        where = _centres(before, after, change.effect > 0)
        return f"{change.column}: values are {direction}: {where} {change.size()}"
    if change.measure == "log sd ratio":
        direction = "more" if change.effect > 0 else "less"
        ratio, of = _ratio_of_deviations(change, before, after)
        if not change.bound > 0:  # the ranks differ, as they also do where values are shifted
            return (
                f"{change.column}: values lie otherwise between middle and ends; the standard "
                f"deviation{of} is about that of the reference, {ratio:.2f} times {change.size()}"
            )
        return (
            f"{change.column}: values spread {direction}: the standard deviation{of} is "
            f"{ratio:.2f} times that of the reference {change.size()}"
        )
    return _cell(change, before, after)


def _cells(column: ColumnProfile) -> IntArray:
    """Return the counts of the cells, with those below and above at the ends."""
    counts: IntArray = np.concatenate(([column.n_below], column.counts, [column.n_above]))
    return counts


def _shares(before: ColumnProfile, after: ColumnProfile) -> tuple[FloatArray, FloatArray]:
    old, new = _cells(before).astype(np.float64), _cells(after).astype(np.float64)
    return old / max(before.n_valid, 1), new / max(after.n_valid, 1)


def _centres(before: ColumnProfile, after: ColumnProfile, higher: bool) -> str:
    """Return where the middle of the values is and was: medians, or means if these tell more."""
    spread = before.clipped_std
    old, new = _median(before), _median(after)
    if not math.isfinite(new):
        return _beyond(before, after, old, new > 0)
    if not before.discrete and abs(new - old) > spread / 50 and (new > old) == higher:
        what, of = "median about", ""
    else:
        what, of = "mean", f", {_CLIPPED}"
        old, new = before.clipped_mean, after.clipped_mean
        # The means as they are, where no value from far out makes them tell another story.
        raw = before.mean, after.mean
        room = abs(new - old) / 2
        if not after.n_infinite and abs(raw[0] - old) <= room and abs(raw[1] - new) <= room:
            of, (old, new) = "", raw
    told = [number_on(value, spread) for value in (new, old)]
    if told[0] == told[1]:
        told = numbers(new, old)
    return f"{what} {told[0]}, {told[1]} in the reference{of}"


def _median(column: ColumnProfile) -> float:
    """Return the median, interpolated in its cell; infinite if it is beyond the reference."""
    n = column.n_valid
    if 2 * column.n_below > n:
        return -math.inf
    if 2 * column.n_above > n:
        return math.inf
    ends = np.concatenate(([column.ref_minimum], column.edges, [column.ref_maximum]))
    running = column.n_below + np.concatenate(([0], np.cumsum(column.counts)))
    if column.discrete:  # every cell begins at its one value
        middle = float(ends[np.searchsorted(running[1:], n / 2)])
    else:
        middle = float(np.interp(n / 2, running, ends))
    return min(max(middle, column.minimum), column.maximum)


def _beyond(before: ColumnProfile, after: ColumnProfile, median: float, higher: bool) -> str:
    """Return that more than half is out of the cells, with mean and end as they are, unclipped."""
    if higher:
        side, end, limit, farthest = "above", "maximum", before.ref_maximum, after.maximum
    else:
        side, end, limit, farthest = "below", "minimum", before.ref_minimum, after.minimum
    mean = after.mean
    told = numbers(limit, median, *((mean, farthest) if math.isfinite(mean) else ()))
    raw = ""
    if math.isfinite(mean):
        finite = " of those that are finite" if after.n_infinite else ""
        raw = f" (mean {told[2]}, {end} {told[3]}{finite})"
    return (
        f"more than half lie {side} {told[0]}, the reference's {end}{raw}; median about {told[1]} "
        "in the reference"
    )


def _ratio_of_deviations(
    change: Change, before: ColumnProfile, after: ColumnProfile
) -> tuple[float, str]:
    """Return the ratio of the values as they are, or of the clipped ones if these tell less."""
    if not after.n_infinite and 0 < before.std < math.inf and 0 < after.std < math.inf:
        raw = after.std / before.std
        if abs(math.log(raw) - change.effect) <= abs(change.effect) / 10:
            return raw, ""
    return math.exp(change.effect), f" {_CLIPPED}"


def _cell(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    old, new = _shares(before, after)
    if change.measure == "h" or len(before.counts) <= 20 or before.discrete:
        at = int(np.argmax(np.abs(new - old) / np.sqrt(new + old + 1e-12)))
        cells = slice(at, at + 1)
    else:  # the coarse cell of a twentieth of the reference that changed most
        group = np.minimum((np.cumsum(old) - old / 2) * 20, 19).astype(np.int64) + 1
        group[0], group[-1] = 0, 21  # what is beyond the reference is in none of them
        moved = np.abs(np.bincount(group, new - old, minlength=22))
        inside = np.flatnonzero(group == int(np.argmax(moved)))
        cells = slice(int(inside[0]), int(inside[-1]) + 1)
    where = _where(before, cells)
    return (
        f"{change.column}: {percent(new[cells].sum())} of values are {where}, "
        f"{percent(old[cells].sum())} in the reference {change.size()}"
    )


def _where(before: ColumnProfile, cells: slice) -> str:
    """Return in words where cells lie; cell 0 is below the reference, the last above it."""
    last = len(before.counts)
    if cells.start > last:
        return f"above {number(before.ref_maximum)}, the reference's maximum"
    if cells.stop <= 1:
        return f"below {number(before.ref_minimum)}, the reference's minimum"
    ends = [before.ref_minimum, *before.edges, before.ref_maximum]
    low, high = float(ends[cells.start - 1]), float(ends[cells.stop - 1])
    if low == high or before.discrete:  # new numbers between its values are in no cell
        return number(low)
    told = numbers(low, high)
    to = "up to and including" if cells.stop > last else "to below"
    return f"from {told[0]} {to} {told[1]}"


def _categories(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    old = np.concatenate((before.counts, [before.n_other, before.n_unseen])).astype(np.float64)
    new = np.concatenate((after.counts, [after.n_other, after.n_unseen])).astype(np.float64)
    old, new = old / max(old.sum(), 1), new / max(new.sum(), 1)
    moved = np.abs(new - old) / np.sqrt(new + old + 1e-12)
    new_level = max(after.unseen, key=lambda item: item[1])[0] if after.unseen else ""
    company = " with other categories" if len(after.unseen) > 1 else ""
    names = [repr(level) for level in before.levels]
    names += ["a rare category", f"{new_level!r}{company} (new)"]
    shown = [
        f"{names[at]} is {percent(new[at])} of values, {percent(old[at])} in the reference"
        for at in np.argsort(-moved, kind="stable")[:2]
        if moved[at] > 0
    ]
    if change.measure == "h":
        shown = shown[:1]
    return f"{change.column}: " + "; ".join(shown) + f" {change.size()}"


def _range(change: Change, before: ColumnProfile, after: ColumnProfile) -> tuple[str, str]:
    outside = after.n_below + after.n_above
    if after.n_unseen > outside:
        return _between(change, after)
    known = after.n - after.n_null
    ends = [before.ref_minimum, before.ref_maximum]
    # Infinite values count as below or above: the finite ones may all be inside.
    beyond = []
    if after.minimum < before.ref_minimum:
        beyond.append(("down", after.minimum))
    if after.maximum > before.ref_maximum:
        beyond.append(("up", after.maximum))
    low, high, *told = numbers(*ends, *(value for _, value in beyond))
    parts = [f"{way} to {value}" for (way, _), value in zip(beyond, told, strict=True)]
    if after.n_infinite:
        parts.append(f"{after.n_infinite:,} infinite")
    verb = "lie" if outside != 1 else "lies"
    return (
        f"{change.column}: {count_of(outside, known)} {verb} outside the reference's range "
        f"{low} to {high}: {', '.join(parts)} {change.size()}",
        f"these rows of {change.column}: a changed unit, a default such as -1 or 9999, or a parser",
    )


def _between(change: Change, after: ColumnProfile) -> tuple[str, str]:
    new = after.n_unseen
    verb = "are numbers" if new != 1 else "is a number"
    return (
        f"{change.column}: {count_of(new, after.n - after.n_null)} {verb} between the reference's "
        f"values, which it never had {change.size()}",
        f"the writer of {change.column}: a new code, another rounding, or a fill by an average",
    )


def _unseen(change: Change, after: ColumnProfile) -> tuple[str, str]:
    known = after.n - after.n_null
    shown = ", ".join(
        f"{level!r} ({n:,})" for level, n in sorted(after.unseen, key=lambda item: -item[1])[:3]
    )
    return (
        f"{change.column}: {count_of(after.n_unseen, known)} are of categories that the reference "
        f"never had, such as {shown} {change.size()}",
        f"the writer of {change.column}: a new release, a new partner, or another spelling; the "
        "model has never seen these",
    )


def _correlation(change: Change, reference: Profile, live: Profile) -> tuple[str, str]:
    if reference.pairs is None or live.pairs is None:  # the row would not exist
        raise ValueError("correlations need both profiles to hold pairs")
    values = []
    for pairs in (reference.pairs, live.pairs):
        names = list(pairs.names)
        table = pairs.correlation()
        one, two = next(
            (i, j)
            for i, left in enumerate(names)
            for j, right in enumerate(names)
            if f"{left} ~ {right}" == change.column
        )
        values.append(float(table[one, two]))
    before, now = shorts(*values)
    return (
        f"{change.column}: the correlation is {now}, {before} in the reference {change.size()}, "
        f"{_CLIPPED}",
        "whether one of the two is joined on another key, shifted in time or of changed sign: each "
        "may look fine on its own",
    )
