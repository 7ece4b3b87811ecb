"""Counts and sums of a numeric column and of a target by cell, block by block."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd.drift._columns import LEVELS_OF_STEP, ColumnProfile
from mlsd.drift._edges import CellTable

__all__ = ["NumericWork", "Target", "TargetSums"]

# So far, relative to its size, a number may lie from a value of the reference and still be it.
_SAME = 1e-9
# A smaller step has no inverse; with a larger one a difference may overflow.
_LEAST_STEP, _LARGEST_STEP = 1e-300, 1e300


@dataclass(frozen=True, slots=True)
class Target:
    """A numeric target as weights: 0 where it is unknown, its square, and where it is known.

    The square is None if it is the target itself (0 and 1), the last None if all are known.
    """

    value: FloatArray
    square: FloatArray | None
    known: FloatArray | None

    @classmethod
    def of(cls, y: FloatArray) -> Target:
        """Return the weights of a target whose NaN are unknown."""
        missing = np.isnan(y)
        known = None
        if missing.any():
            known, y = (~missing).astype(np.float64), np.where(missing, 0.0, y)
        with np.errstate(over="ignore"):
            square = y * y
        return cls(y, None if (square == y).all() else square, known)

    def rows(self, rows: Any) -> Target:
        """Return some of the rows."""
        square, known = self.square, self.known
        return Target(
            self.value[rows],
            None if square is None else square[rows],
            None if known is None else known[rows],
        )

    def weights(self) -> list[FloatArray]:
        """Return what has to be added up."""
        return [part for part in (self.value, self.square, self.known) if part is not None]

    def sums(self, found: Sequence[AnyArray]) -> tuple[AnyArray, AnyArray, AnyArray]:
        """Return count, sum and sum of squares from a count and the sums of ``weights``."""
        rest = iter(found)
        n = next(rest)
        total = next(rest)
        square = total if self.square is None else next(rest)
        return (n if self.known is None else next(rest).astype(np.int64)), total, square


class TargetSums:
    """Sums of a target by group of one column, block by block."""

    def __init__(self, plan: ColumnProfile) -> None:
        self.groups = cast("IntArray", plan.target_groups)
        self.n = np.zeros(self.groups.size, dtype=np.int64)
        self.sums = np.zeros((2, self.groups.size))

    def add(self, cells: slice, y: Target, found: Sequence[AnyArray]) -> None:
        """Add count and sums of the weights of `y` by cell."""
        n, total, square = y.sums(found)
        self.n[cells] += n
        self.sums[0, cells] += total
        self.sums[1, cells] += square

    def into(self, column: ColumnProfile) -> ColumnProfile:
        """Return the column with the sums by group."""
        size = int(self.groups[-1]) + 1
        n, sums = np.zeros(size, dtype=np.int64), np.zeros((2, size))
        np.add.at(n, self.groups, self.n)
        for total, part in zip(sums, self.sums, strict=True):
            np.add.at(total, self.groups, part)
        return dataclasses.replace(column, target_n=n, target_sum=sums[0], target_sum2=sums[1])


class NumericWork:
    """Counts and sums of one numeric column, block by block.

    Overflow is part of it (the sum of two numbers of 1e308 is infinite): the caller mutes it.
    """

    def __init__(self, plan: ColumnProfile, counts: IntArray | None = None) -> None:
        """Start with no row; `counts` are those of all rows to come, where they are known."""
        self.plan = plan
        self.table = CellTable.of(plan.edges)
        self.counted = counts is not None
        self.counts = np.zeros(plan.counts.size, dtype=np.int64) if counts is None else counts
        self.n = self.n_null = self.below = self.above = self.infinite = self.unseen = 0
        self.starts = np.concatenate(([plan.ref_minimum], plan.edges)) if plan.discrete else None
        self.minimum, self.maximum = math.inf, -math.inf
        self.s1 = self.s2 = 0.0
        self.clipped_1 = self.clipped_2 = 0
        self.inverse = 1 / plan.step if plan.step > _LEAST_STEP else 0.0
        # Rounding keeps the order of numbers, so that steps may be clipped in place of values.
        ends = [
            float(np.rint((limit - plan.centre) * self.inverse)) if self.inverse else 0.0
            for limit in (plan.clip_low, plan.clip_high)
        ]
        self.whole_low, self.whole_high = np.clip(ends, -LEVELS_OF_STEP, LEVELS_OF_STEP)
        self.target = None if plan.target_groups is None else TargetSums(plan)

    def add(self, values: FloatArray, out: FloatArray, y: Target | None = None) -> BoolArray | None:
        """Add a block; write its clipped whole numbers to `out` and return which rows are NULL.

        The sums of those are left to :meth:`add_clipped`.
        """
        null = None
        self.n += values.size
        low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
        valid = values
        if math.isnan(low):
            null = np.isnan(values)
            valid = values[~null]
            self.n_null += values.size - valid.size
            low, high = float(valid.min(initial=np.inf)), float(valid.max(initial=-np.inf))
            if self.target is not None and y is not None:
                gone = y.rows(null)
                sums: list[AnyArray] = [part.sum(keepdims=True) for part in gone.weights()]
                sums.insert(0, np.array([values.size - valid.size]))
                self.target.add(slice(self.counts.size, None), gone, sums)
                y = y.rows(~null)
        centred = valid - self.plan.centre
        if valid.size:
            if not self.counted or y is not None:
                self._tally(valid, low, high, y)
            self._moments(valid, centred, low, high)
        self._round(centred, low, high)
        if null is None:
            out[:] = centred
        else:
            out[null] = 0.0
            out[~null] = centred
        return null

    def add_clipped(self, first: int, second: int) -> None:
        """Add the sum of the clipped whole numbers and of their squares."""
        self.clipped_1 += first
        self.clipped_2 += second

    def _round(self, centred: FloatArray, low: float, high: float) -> None:
        """Turn differences from the centre into clipped whole numbers, in place."""
        plan = self.plan
        if not self.inverse:
            centred[:] = 0.0
            return
        centred *= self.inverse
        np.rint(centred, out=centred)
        # With a huge step the difference may have been infinite.
        if low < plan.clip_low or high > plan.clip_high or plan.step > _LARGEST_STEP:
            np.clip(centred, self.whole_low, self.whole_high, out=centred)

    def _tally(self, valid: FloatArray, low: float, high: float, y: Target | None) -> None:
        plan = self.plan
        if self.target is None or y is None:
            counts = self.table.tally(valid)[0]
        else:
            counts, *sums = self.table.tally(valid, y.weights())
            self.target.add(slice(self.counts.size), y, [counts.copy(), *sums])
        if plan.ref_minimum <= plan.ref_maximum:  # else there is no range to be out of
            if low < plan.ref_minimum:
                below = int((valid < plan.ref_minimum).sum())
                counts[0] -= below
                self.below += below
            if high > plan.ref_maximum:
                above = int((valid > plan.ref_maximum).sum())
                counts[-1] -= above
                self.above += above
            if self.starts is not None:
                new = self._between(valid, self.starts)
                counts -= new
                self.unseen += int(new.sum())
        self.counts += counts

    def _between(self, valid: FloatArray, starts: FloatArray) -> IntArray:
        """Return how many values in each cell are none of the values that the reference has."""
        cell = np.searchsorted(starts, valid, side="right") - 1
        inside = (cell >= 0) & (valid <= self.plan.ref_maximum)
        cell, valid = cell[inside], valid[inside]
        here, following = starts[cell], starts[np.minimum(cell + 1, starts.size - 1)]
        new = (valid - here > _SAME * np.abs(here)) & (
            following - valid > _SAME * np.abs(following)
        )
        return np.bincount(cell[new], minlength=starts.size)

    def _moments(self, valid: FloatArray, centred: FloatArray, low: float, high: float) -> None:
        if low == -math.inf or high == math.inf:
            finite = np.isfinite(valid)
            valid, centred = valid[finite], centred[finite]
            self.infinite += finite.size - valid.size
            if not valid.size:
                return
            low, high = float(valid.min()), float(valid.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        self.s1 += float(centred.sum())
        self.s2 += float(np.dot(centred, centred))

    def done(self, dtype: str) -> ColumnProfile:
        """Return the column."""
        column = dataclasses.replace(
            self.plan.empty(),
            dtype=dtype,
            n=self.n,
            n_null=self.n_null,
            counts=self.counts,
            n_below=self.below,
            n_above=self.above,
            n_infinite=self.infinite,
            n_unseen=self.unseen,
            minimum=self.minimum,
            maximum=self.maximum,
            s1=self.s1,
            s2=self.s2,
            clipped_1=self.clipped_1,
            clipped_2=self.clipped_2,
        )
        return column if self.target is None else self.target.into(column)
