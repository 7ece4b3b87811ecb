"""What a changed check means in words, with the numbers of both profiles, and what to check first.

Only alarms come here, one at a time: the words need the columns themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray
from mlsd.drift._layout import cell_values
from mlsd.drift._words import count_of, number, number_on, percent, short

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile, Profile

__all__ = ["Change", "describe"]


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
        rate = before.n_null / max(before.n, 1)
        return (
            f"{change.column}: {percent(after.n_null / max(after.n, 1))} of values are NULL "
            f"({after.n_null:,} of {after.n:,}), {percent(rate)} in the reference {change.size()}",
            f"the job or join that fills {change.column}: since when, and do the NULLs come from "
            "one source?",
        )
    if change.check == "range":
        return _range(change, before, after)
    if change.check == "unseen":
        return _unseen(change, after)
    return _values(change, before, after), _first_of_values(change)


def _pair(change: Change, reference: Profile, live: Profile) -> tuple[ColumnProfile, ColumnProfile]:
    for before, after in (
        (reference.prediction, live.prediction),
        (reference.target, live.target),
    ):
        if before is not None and after is not None and before.name == change.column:
            return before, after
    return reference[change.column], live[change.column]


def _first_of_values(change: Change) -> str:
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
    return f"a default value or rounding in {change.column}, then the mix of traffic"


def _values(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    name = change.column
    if before.kind != "numeric":
        return _categories(change, before, after)
    if change.measure == "d":
        direction = "higher" if change.effect > 0 else "lower"
        what, old, new = _centres(before, after)
        return (
            f"{name}: values are {direction}: {what} {number_on(new, before.clipped_std)}, "
            f"{number_on(old, before.clipped_std)} in the reference {change.size()}"
        )
    if change.measure == "log sd ratio":
        direction = "more" if change.effect > 0 else "less"
        return (
            f"{name}: values spread {direction}: the standard deviation is "
            f"{np.exp(change.effect):.2f} times that of the reference {change.size()}"
        )
    return _cell(change, before, after)


def _shares(before: ColumnProfile, after: ColumnProfile) -> tuple[FloatArray, FloatArray]:
    """Return the shares of the cells, with those below and above at the ends."""
    old = np.concatenate(([before.n_below], before.counts, [before.n_above])).astype(np.float64)
    new = np.concatenate(([after.n_below], after.counts, [after.n_above])).astype(np.float64)
    return old / max(old.sum(), 1), new / max(new.sum(), 1)


def _centres(before: ColumnProfile, after: ColumnProfile) -> tuple[str, float, float]:
    """Return the medians, or the clipped means where the medians do not tell the two apart."""
    values = cell_values(before)
    values = np.concatenate(([values[0]], values, [values[-1]]))
    old, new = _shares(before, after)
    if not before.discrete:
        medians = [float(values[np.searchsorted(np.cumsum(share), 0.5)]) for share in (old, new)]
        if abs(medians[1] - medians[0]) > before.clipped_std / 50:
            return "median", medians[0], medians[1]
    return "mean", before.clipped_mean, after.clipped_mean


def _cell(change: Change, before: ColumnProfile, after: ColumnProfile) -> str:
    old, new = _shares(before, after)
    if change.measure == "h" or len(before.counts) <= 20:
        at = int(np.argmax(np.abs(new - old) / np.sqrt(new + old + 1e-12)))
        cells = slice(at, at + 1)
    else:  # the coarse cell of a twentieth of the reference that changed most
        group = np.minimum((np.cumsum(old) - old / 2) * 20, 19).astype(np.int64)
        moved = np.abs(np.bincount(group, new - old, minlength=20))
        inside = np.flatnonzero(group == int(np.argmax(moved)))
        cells = slice(int(inside[0]), int(inside[-1]) + 1)
    where = _where(before, cells)
    return (
        f"{change.column}: {percent(new[cells].sum())} of values are {where}, "
        f"{percent(old[cells].sum())} in the reference {change.size()}"
    )


def _where(column: ColumnProfile, cells: slice) -> str:
    """Return in words where cells lie; cell 0 is below the reference, the last above it."""
    ends = [column.ref_minimum, *column.edges, column.ref_maximum]
    last = len(column.counts)
    if cells.start > last:
        return f"above {number(column.ref_maximum)}"
    if cells.stop <= 1:
        return f"below {number(column.ref_minimum)}"
    if column.discrete and cells.stop - cells.start == 1:
        return number(float(cell_values(column)[cells.start - 1]))
    low, high = ends[max(cells.start - 1, 0)], ends[min(cells.stop - 1, last)]
    return f"from {number(low)} to {number(high)}"


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
    known = after.n - after.n_null
    parts = []
    if after.n_below:
        parts.append(f"down to {number(after.minimum)}")
    if after.n_above:
        parts.append(f"up to {number(after.maximum)}")
    if after.n_infinite:
        parts.append(f"{after.n_infinite:,} infinite")
    verb = "lie" if outside != 1 else "lies"
    return (
        f"{change.column}: {count_of(outside, known)} {verb} outside the reference's range "
        f"{number(before.ref_minimum)} to {number(before.ref_maximum)}: {', '.join(parts)} "
        f"{change.size()}",
        f"these rows of {change.column}: a changed unit, a default such as -1 or 9999, or a parser",
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
    return (
        f"{change.column}: the correlation is {short(values[1])}, {short(values[0])} in the "
        f"reference {change.size()}",
        "whether one of the two is joined on another key, shifted in time or of changed sign: each "
        "may look fine on its own",
    )
