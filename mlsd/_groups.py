"""Floor 0: many short lists laid end to end, and what is done to all of them at once.

A query's documents are one list of a few hundred; a run is thousands of such lists. Sorting them
with one ``lexsort`` costs ten times what sorting the rows of a matrix does, so lists of like length
are stacked into a matrix, padded by less than a factor of two, and sorted by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Segments", "group_rows", "positions_in_runs"]

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """Consecutive stretches of a flat array: segment ``i`` is ``[starts[i], ends[i])``."""

    starts: IntArray
    lengths: IntArray

    @classmethod
    def from_lengths(cls, lengths: npt.ArrayLike) -> Segments:
        """Return the segments of these lengths, laid end to end."""
        lengths = np.asarray(lengths, dtype=np.int64)
        return cls(np.cumsum(lengths) - lengths, lengths)

    def __len__(self) -> int:
        return self.lengths.size

    @property
    def ends(self) -> IntArray:
        """One past the last row of each segment."""
        return self.starts + self.lengths

    @property
    def n_rows(self) -> int:
        """Rows in all segments together."""
        return int(self.lengths.sum())

    @property
    def longest(self) -> int:
        """Rows in the longest segment; 0 when there is none."""
        return int(self.lengths.max(initial=0))

    def labels(self) -> IntArray:
        """Return the segment of each row."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def positions(self) -> IntArray:
        """Return the place of each row in its segment, from 0."""
        return np.arange(self.n_rows, dtype=np.int64) - np.repeat(self.starts, self.lengths)

    def equals_previous(self, values: npt.NDArray[Any]) -> BoolArray:
        """Return whether each value equals the one before it in its segment."""
        same = np.zeros(values.size, dtype=np.bool_)
        np.equal(values[1:], values[:-1], out=same[1:])
        same[self.starts[self.lengths > 0]] = False
        return same

    def select(self, keep: BoolArray) -> Segments:
        """Return the segments that are left when only the rows of `keep` stay."""
        before = np.concatenate(([0], np.cumsum(keep)))
        return Segments.from_lengths(before[self.ends] - before[self.starts])

    def sort(self, values: FloatArray) -> FloatArray:
        """Return `values` ascending within each segment; they hold no NaN."""
        if self._is_matrix():
            return np.sort(values.reshape(len(self), -1), axis=1).ravel()
        result = np.empty_like(values)
        for rows, inside, _ in self.blocks():
            # NaN sorts last, so the padding never mixes with the values.
            block = np.sort(np.where(inside, values[rows], np.nan), axis=1)
            result[rows[inside]] = block[inside]
        return result

    def argsort(self, values: npt.NDArray[Any]) -> IntArray:
        """Return the rows that put `values` in ascending order within each segment; not stable."""
        if self._is_matrix():
            order = np.argsort(values.reshape(len(self), -1), axis=1)
            order += self.starts[:, None]
            return order.ravel()
        result = np.empty(values.size, dtype=np.int64)
        for rows, inside, _ in self.blocks():
            order = np.argsort(values[rows], axis=1)
            # The padding repeats row 0 of the array, and is known by its column, not by its value.
            real = np.take_along_axis(inside, order, axis=1)
            result[rows[inside]] = np.take_along_axis(rows, order, axis=1)[real]
        return result

    def searchsorted(
        self,
        ordered: npt.NDArray[Any],
        segments: IntArray,
        needles: npt.NDArray[Any],
        *,
        right: bool = False,
    ) -> IntArray:
        """Return where each needle falls in its own segment of `ordered`, as a flat row.

        ``np.searchsorted`` for many haystacks: ``log2(longest)`` steps, each over all needles.
        """
        found = self.starts[segments]
        if not found.size:
            return found
        ends = found + self.lengths[segments]
        compare = np.less_equal if right else np.less
        step = 1 << self.longest.bit_length()
        while step > 1:
            step >>= 1
            # Jump ahead by `step` if the segment reaches so far and all it skips comes before.
            probe = found + step
            jump = compare(ordered[np.minimum(probe, ordered.size) - 1], needles)
            jump &= probe <= ends
            found += step * jump
        return found

    def _is_matrix(self) -> bool:
        return bool(len(self) and self.longest and (self.lengths == self.lengths[0]).all())

    def blocks(self) -> Iterator[tuple[IntArray, BoolArray, IntArray]]:
        """Yield matrices of rows, which entries are real, and the segments, by like length.

        One matrix per power of two of the length, so that padding at most doubles the work.
        """
        size_class = np.frexp(np.maximum(self.lengths, 1) - 0.5)[1]
        for size in np.unique(size_class[self.lengths > 0]):
            members = np.flatnonzero((size_class == size) & (self.lengths > 0))
            column = np.arange(self.lengths[members].max(), dtype=np.int64)
            inside = column < self.lengths[members, None]
            yield np.where(inside, self.starts[members, None] + column, 0), inside, members


def group_rows(codes: IntArray, n_groups: int) -> tuple[IntArray, Segments]:
    """Return the order that brings equal codes together, rows in their old order, and the groups.

    Sorting ``code << 32 | row`` as plain integers is several times faster than a stable argsort.
    """
    if codes.size >= 1 << 31 or n_groups >= 1 << 31:
        raise ValueError(f"more than 2**31 rows or groups: {codes.size} rows, {n_groups} groups")
    packed = (codes.astype(np.int64) << 32) | np.arange(codes.size, dtype=np.int64)
    packed.sort()
    order = packed & 0xFFFFFFFF
    return order, Segments.from_lengths(np.bincount(codes, minlength=n_groups))


def positions_in_runs(lengths: IntArray) -> IntArray:
    """Return 0, 1, ... for each of the `lengths` in turn: [2, 3] gives [0, 1, 0, 1, 2]."""
    return Segments.from_lengths(lengths).positions()
