"""Cells of a reference that is too large for memory: a first pass over its chunks chooses them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsd._types import BoolArray, FloatArray
from mlsd.drift._build import NUMBERS, Cells, read_input
from mlsd.drift._columns import ColumnProfile
from mlsd.drift._read import KINDS, Source

__all__ = ["Planner"]

_SAMPLE = 1 << 16  # rows kept at least, once there are twice as many: 26 MB for 50 columns
_MOST_LEVELS = 1 << 17


class Planner:
    """Sees all chunks once and returns the cells.

    Minimum, maximum and, as far as they are at most `n_bins`, the distinct values of a numeric
    column are exact, and so are the counts of levels. The edges between come from a uniform sample
    of 65,536 rows at least; up to twice as many rows are all kept, and the cells are then those
    that the whole frame would have given.
    """

    def __init__(self, n_bins: int, max_categories: int) -> None:
        self.n_bins, self.max_categories = n_bins, max_categories
        self.n_rows = 0
        self.sources: dict[str, str] = {}
        self.columns: dict[tuple[str, str], _Column] = {}
        # Which rows are kept depends on their place alone.
        self.rng = np.random.default_rng(0)
        self.threshold = 1.0
        self.ranks: list[FloatArray] = []

    def add(self, X: Any, y: str | None, prediction: str | None) -> None:
        """Look at one chunk."""
        data = read_input(X, y, prediction, None)
        self.n_rows += data.n_rows
        self.sources = data.sources
        rank = self.rng.random(data.n_rows)
        keep = rank < self.threshold
        at = len(self.ranks)
        self.ranks.append(rank[keep])
        for part, sources in (("", data.features), ("outcome", data.outcomes)):
            for name, source in sources.items():
                column = self.columns.setdefault((part, name), _Column(name))
                column.add(source, keep, at, self.n_bins, self.max_categories)
        if sum(map(len, self.ranks)) > 2 * _SAMPLE:
            self._thin()

    def _thin(self) -> None:
        ranks = np.concatenate(self.ranks)
        self.threshold = float(np.partition(ranks, _SAMPLE)[_SAMPLE])
        keep = [rank < self.threshold for rank in self.ranks]
        self.ranks = [rank[kept] for rank, kept in zip(self.ranks, keep, strict=True)]
        for column in self.columns.values():
            column.sample = {at: part[keep[at]] for at, part in column.sample.items()}

    def cells(self) -> Cells:
        """Return the cells of all that was seen."""
        target = self.columns.get(("outcome", "target"))
        grouped = target is not None and target.family in NUMBERS
        whole = self.threshold == 1.0
        planned = {
            key: column.plan(
                self.n_bins, self.max_categories, whole=whole, grouped=grouped and not key[0]
            )
            for key, column in self.columns.items()
        }
        return Cells(
            tuple(column for (part, _), column in planned.items() if not part),
            {name: column for (part, name), column in planned.items() if part},
            self.sources,
        )


class _Column:
    """What is known of one column while chunks go by."""

    def __init__(self, name: str) -> None:
        self.name, self.family, self.dtype = name, "empty", "empty"
        self.minimum, self.maximum = np.inf, -np.inf
        self.distinct: FloatArray | None = np.zeros(0)
        self.sample: dict[int, FloatArray] = {}
        self.levels: dict[str, int] = {}

    def add(
        self, source: Source, keep: BoolArray, at: int, n_bins: int, max_categories: int
    ) -> None:
        if self.family == "empty":
            self.family, self.dtype = source.family, source.dtype
        if source.family == "empty":
            return
        if source.family != self.family:
            raise ValueError(
                f"the chunks disagree on the type of {self.name!r}: {self.dtype} in one and "
                f"{source.dtype} in another"
            )
        kind = KINDS[self.family]
        if kind == "numeric":
            values = source.floats()
            self.sample[at] = values[keep]
            finite = values[np.isfinite(values)]
            self._range(float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf)))
            if self.distinct is not None:
                both = np.unique(np.concatenate((self.distinct, finite)))
                self.distinct = both if both.size <= n_bins else None
        elif kind == "categorical":
            for level, count in source.levels().items():
                self.levels[level] = self.levels.get(level, 0) + count
            most = max(_MOST_LEVELS, 4 * max_categories)
            if len(self.levels) > most:  # only the frequent matter, and that there are more
                ranked = sorted(self.levels, key=lambda level: (-self.levels[level], level))
                self.levels = {level: self.levels[level] for level in ranked[: most // 2]}
        else:
            self._range(*source.seconds())

    def _range(self, low: float, high: float) -> None:
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)

    def plan(
        self, n_bins: int, max_categories: int, *, whole: bool, grouped: bool
    ) -> ColumnProfile:
        kind = KINDS[self.family]
        naming = self.name, kind, self.dtype, self.family
        if kind == "datetime":
            return ColumnProfile(*naming, ref_minimum=self.minimum, ref_maximum=self.maximum)
        if kind == "categorical":
            column = ColumnProfile.plan_categorical(*naming, self.levels, max_categories)
            return column.with_groups(column.counts) if grouped else column
        values = np.concatenate([np.zeros(0), *self.sample.values()])
        values = values[np.isfinite(values)]
        if not whole and self.minimum <= self.maximum:
            values = np.append(values, [self.minimum, self.maximum])
        ordered = np.sort(values)
        column = ColumnProfile.plan_numeric(*naming, ordered, n_bins)
        if not whole and (column.discrete or self.distinct is not None):
            column = column.with_distinct(self.distinct)
        return column.with_groups(column.count_of(ordered)) if grouped else column
