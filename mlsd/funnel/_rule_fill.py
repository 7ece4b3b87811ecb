"""Filling slates place by place under rules, all queries of a block at once.

The candidates of a query are a line of a matrix, the best-scored first, so the first one allowed
is the one to take. Places and columns count from 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mlsd._types import BoolArray, IntArray
from mlsd.funnel._rule_kinds import AtLeast, AtMost, Pin, Rule

__all__ = ["RuleRows", "fill"]


@dataclass(frozen=True, slots=True)
class RuleRows:
    """A rule, and what it sees in the rows of a run."""

    rule: Rule
    match: BoolArray
    """Which rows it counts."""
    group: IntArray
    """What it counts them with: the number of query and value, or -1 if it does not."""
    n_groups: int

    @property
    def window(self) -> float:
        """How many places from the top it looks at."""
        positions = self.rule.position if isinstance(self.rule, Pin) else self.rule.positions
        return np.inf if positions is None else positions


def fill(free: BoolArray, rows: IntArray, rules: Iterable[RuleRows], k: float) -> IntArray:
    """Return which column stands in each place of each line, -1 where the slate has ended.

    `free` tells candidates from padding, and is used up; `rows` says which row of the run each is.
    `k` may be infinite.
    """
    width = int(min(k, free.shape[1]))
    state = _State(free, rows, sorted(rules, key=lambda one: one.window), k, width)
    picked = np.full((len(free), width), -1, dtype=np.int64)
    going = np.arange(len(free))
    for place in range(width):
        column = state.choose(going, place)
        stuck = going[(column < 0) & (state.pinned[going, place:] >= 0).any(axis=1)]
        if stuck.size:
            state.release(stuck, place)
            column = state.choose(going, place)
        going, column = going[column >= 0], column[column >= 0]
        picked[going, place] = column
        state.take(going, column, place)
    return picked


class _Cap:
    """The counts of an AtMost, and whom it blocks by them."""

    def __init__(self, read: RuleRows, rows: IntArray) -> None:
        self.window = read.window
        self.n = read.rule.n  # type: ignore[union-attr]
        self.group = read.group[rows]
        # The last count is that of group -1, which is never full.
        self.count = np.zeros(read.n_groups + 1, dtype=np.int64)
        self.blocked = (self.group >= 0) & (self.n == 0)

    def add(self, lines: IntArray, columns: IntArray, number: int) -> None:
        """Count one document more or less, at most one a line."""
        group = self.group[lines, columns]
        self.count[group] += number
        self.count[-1] = -1
        changed = lines[self.count[group] == (self.n if number > 0 else self.n - 1)]
        self.blocked[changed] = self.count[self.group[changed]] >= self.n


class _Floor:
    """How many documents an AtLeast still lacks."""

    def __init__(self, read: RuleRows, rows: IntArray) -> None:
        self.window = read.window
        self.match = read.match[rows]
        self.lacks = np.full(len(rows), read.rule.n)  # type: ignore[union-attr]

    def add(self, lines: IntArray, columns: IntArray, number: int) -> None:
        """Count one document more or less, at most one a line."""
        self.lacks[lines] -= number * self.match[lines, columns]


class _State:
    """The candidates still free, the places taken in advance, and the counts of the rules."""

    def __init__(
        self, free: BoolArray, rows: IntArray, rules: list[RuleRows], k: float, width: int
    ) -> None:
        self.free = free
        self.sizes = np.count_nonzero(free, axis=1)
        self.k = k
        self.pinned: IntArray = np.full((len(free), width), -1, dtype=np.int64)
        self.caps = [_Cap(one, rows) for one in rules if isinstance(one.rule, AtMost)]
        self.floors = [_Floor(one, rows) for one in rules if isinstance(one.rule, AtLeast)]
        for one in rules:
            if isinstance(one.rule, Pin) and one.rule.position <= width:
                self._reserve(one.rule.position - 1, one.match[rows])

    def choose(self, lines: IntArray, place: int) -> IntArray:
        """Return the column to put at `place` of each of `lines`, -1 where none is allowed."""
        allowed = self._allowed(lines, place)
        if self.floors:
            self._hurry(lines, place, allowed)
        pinned = self.pinned[lines, place]
        return np.where(pinned < 0, _first(allowed), pinned)

    def take(self, lines: IntArray, columns: IntArray, place: int) -> None:
        """Put a document at `place` of each of `lines`; pinned ones have been counted."""
        new = self.pinned[lines, place] < 0
        self._move(lines[new], columns[new], place, 1)

    def release(self, lines: IntArray, place: int) -> None:
        """Set the documents free that are pinned to `place` and beneath."""
        for later in range(place, self.pinned.shape[1]):
            columns = self.pinned[lines, later]
            held = columns >= 0
            self._move(lines[held], columns[held], later, -1)
        self.pinned[lines, place:] = -1

    def _reserve(self, place: int, match: BoolArray) -> None:
        """Pin the best document that matches and is allowed beside those pinned before."""
        column = _first(self._allowed(np.arange(len(match)), place) & match)
        lines = np.flatnonzero((column >= 0) & (self.sizes > place))
        self.pinned[lines, place] = column[lines]
        self._move(lines, column[lines], place, 1)

    def _move(self, lines: IntArray, columns: IntArray, place: int, number: int) -> None:
        """Count a document of each line at `place`, or with -1 no longer."""
        self.free[lines, columns] = number < 0
        counters: list[_Cap | _Floor] = [*self.caps, *self.floors]
        for one in counters:
            if one.window > place:
                one.add(lines, columns, number)

    def _allowed(self, lines: IntArray, place: int) -> BoolArray:
        """Return the free candidates that no AtMost forbids at `place`."""
        every = slice(None) if lines.size == len(self.free) else lines
        allowed = self.free[every].copy()
        for cap in self.caps:
            if cap.window > place:
                np.greater(allowed, cap.blocked[every], out=allowed)
        return allowed

    def _hurry(self, lines: IntArray, place: int, allowed: BoolArray) -> None:
        """Leave only what serves a minimum, where minimums need all places they have left.

        One window after the other: where it has no place to spare, what serves a minimum in it;
        where it has too few, only what serves most of them at once.
        """
        lacking = np.zeros(lines.size, dtype=np.int64)
        serves = np.zeros(allowed.shape, dtype=np.int64)
        every = allowed.copy()
        floors = [floor for floor in self.floors if floor.window > place]
        for number, floor in enumerate(floors, start=1):
            match = every & floor.match[lines]
            lacks = np.minimum(np.maximum(floor.lacks[lines], 0), np.count_nonzero(match, axis=1))
            lacking += lacks
            serves += match & (lacks > 0)[:, None]
            if number < len(floors) and floors[number].window == floor.window:
                continue
            # Up to `k`, however few the candidates are: if they run out, all are shown anyway.
            end = min(floor.window, self.k)
            pinned = self.pinned[lines, place : int(min(end, self.pinned.shape[1]))] >= 0
            left = end - place - np.count_nonzero(pinned, axis=1)
            now = np.flatnonzero((lacking > 0) & (lacking >= left))
            number_served = np.where(allowed[now], serves[now], 0)
            most = number_served.max(axis=1, initial=0)
            least = np.where(lacking[now] > left[now], most, 1)
            allowed[now] = number_served >= least[:, None]


def _first(allowed: BoolArray) -> IntArray:
    """Return the first column that is allowed in each line, or -1."""
    column = allowed.argmax(axis=1)
    return np.where(allowed[np.arange(len(allowed)), column], column, -1)
