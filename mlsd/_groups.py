"""Floor 0: many short lists laid end to end, and what is done to all of them at once.

A query's documents are one list of a few hundred; a run is thousands of such lists. Sorting them
with one ``lexsort`` costs ten times what sorting the rows of a matrix does, so lists of like length
are stacked into matrices, padded by no more than a factor of two, and sorted by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, IntArray

__all__ = ["Block", "Segments", "group_rows", "positions_in_runs"]


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
        before = np.cumsum(self.lengths) - self.lengths
        return np.arange(self.n_rows, dtype=np.int64) - np.repeat(before, self.lengths)

    def segment_of(self, rows: IntArray) -> IntArray:
        """Return the segment that holds each of the rows."""
        found: IntArray = np.searchsorted(self.ends, rows, side="right")
        return found

    def rows(self, members: IntArray) -> Any:
        """Return the rows of these segments, one segment after another; a slice if it can be."""
        starts, lengths = self.starts[members], self.lengths[members]
        total = int(lengths.sum())
        if not total:
            return slice(0, 0)
        begin, end = int(starts[0]), int(starts[-1] + lengths[-1])
        if end - begin == total and (starts[1:] == starts[:-1] + lengths[:-1]).all():
            return slice(begin, end)
        return Segments.from_lengths(lengths).positions() + np.repeat(starts, lengths)

    def select(self, keep: BoolArray) -> Segments:
        """Return the segments that are left when only the rows of `keep` stay."""
        before = np.concatenate(([0], np.cumsum(keep)))
        return Segments.from_lengths(before[self.ends] - before[self.starts])

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

    def blocks(self, entries: int = 1 << 17) -> Iterator[Block]:
        """Yield the segments that are not empty as matrices, neighbours together, one row each.

        A matrix has about `entries` entries, so that what is done to it stays in the cache, and is
        at most twice as large as what it holds: neighbours whose lengths differ too much are taken
        apart by the power of two of their length.
        """
        alive = np.flatnonzero(self.lengths > 0)
        if not alive.size:
            return
        chunk = (np.cumsum(self.lengths[alive]) - 1) // entries
        for members in np.split(alive, np.flatnonzero(np.diff(chunk)) + 1):
            lengths = self.lengths[members]
            if int(lengths.max()) * members.size <= 2 * int(lengths.sum()):
                yield Block(self, members)
                continue
            size_class = np.frexp(lengths - 0.5)[1]
            for size in np.unique(size_class):
                yield Block(self, members[size_class == size])


class Block:
    """Some segments as the rows of a matrix, each padded to the length of the longest."""

    __slots__ = ("inside", "members", "rows", "width")

    members: IntArray
    """The segments; ascending, none of them empty."""
    rows: Any
    """The rows of the flat array that are in the matrix: a slice where they have no gaps."""
    inside: BoolArray | None
    """Which entries of the matrix are real; None: all of them."""
    width: int

    def __init__(self, segments: Segments, members: IntArray) -> None:
        lengths = segments.lengths[members]
        self.members = members
        self.width = int(lengths.max())
        self.inside = None
        if int(lengths.min()) < self.width:
            self.inside = np.arange(self.width) < lengths[:, None]
        self.rows = segments.rows(members)

    def spread(self, values: npt.NDArray[Any], pad: Any) -> npt.NDArray[Any]:
        """Return a matrix of the values, which may be changed; `pad` where there is none."""
        shape = self.members.size, self.width
        if self.inside is None:
            return np.array(values[self.rows]).reshape(shape)
        matrix = np.full(shape, pad, dtype=values.dtype)
        matrix[self.inside] = values[self.rows]
        return matrix

    def flatten(self, matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the real entries of a matrix, row after row, as they go to `rows`."""
        return matrix.ravel() if self.inside is None else matrix[self.inside]


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
