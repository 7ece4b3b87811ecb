"""From the columns of a frame to the columns of a profile: plan the cells, then fill them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._inputs import as_floats
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.drift._columns import ColumnProfile
from mlsd.drift._pairs import PairProfile, PairWork
from mlsd.drift._read import KINDS, Source, read_frame, read_values
from mlsd.drift._tally import NumericWork, Target, TargetSums

__all__ = ["NUMBERS", "Cells", "Data", "Filled", "fill", "plan_columns", "read_input"]

_ROWS = 32768  # of a block: at most 17 MB of whole numbers
NUMBERS = ("numeric", "timedelta", "boolean")
"""Families of a target whose sums are kept by cell."""


@dataclass(frozen=True, slots=True)
class Cells:
    """All columns of a reference, seen or not.

    Attributes
    ----------
    columns : tuple of ColumnProfile
        The features.
    outcomes : dict of str to ColumnProfile
        "target" and "prediction", if there are any.
    sources : dict of str to str
        The column of the frame that is one of them.
    """

    columns: tuple[ColumnProfile, ...]
    outcomes: dict[str, ColumnProfile]
    sources: dict[str, str]

    def shown(self, name: str) -> ColumnProfile | None:
        """Return target or prediction if any row of it was seen."""
        column = self.outcomes.get(name)
        return column if column is not None and column.n else None


@dataclass(frozen=True, slots=True)
class Data:
    """A frame that was read.

    Attributes
    ----------
    n_rows : int
        Rows.
    features, outcomes : dict of str to Source
        The columns, and "target" and "prediction".
    sources : dict of str to str
        The column of the frame that is one of them.
    order : tuple of str
        Names of the features in their order.
    counts : dict of str to ndarray
        Counts by cell that planning has made already.
    levels : dict of str to dict
        The same of levels.
    """

    n_rows: int
    features: dict[str, Source]
    outcomes: dict[str, Source]
    sources: dict[str, str]
    order: tuple[str, ...]
    counts: dict[str, IntArray] = field(default_factory=dict)
    levels: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Filled:
    """Counts and sums of a frame on the cells of a reference."""

    n_rows: int
    cells: Cells
    pairs: PairProfile | None
    retyped: dict[str, tuple[str, str]]


def read_input(X: Any, y: Any, prediction: Any, like: Cells | None) -> Data:
    """Return the features, target and prediction of a table."""
    features = read_frame(X, "X")
    n_rows = len(next(iter(features.values()))) if features else len(X)
    outcomes: dict[str, Source] = {}
    sources: dict[str, str] = {}
    for name, argument, values in (("target", "y", y), ("prediction", "prediction", prediction)):
        column: str | None = None
        if isinstance(values, str):
            column = values
            if column not in features:
                raise ValueError(
                    f"{argument} names no column of X: {column!r}; X has {list(features)}"
                )
        elif values is None and like is not None and like.sources.get(name) in features:
            column = like.sources[name]
        if column is None and values is None:
            continue
        if like is not None and name not in like.outcomes:
            raise ValueError(
                f"{argument} was given, but like was made without it: make like anew with "
                f"{argument}"
            )
        source = read_values(values, argument) if column is None else features.pop(column)
        if len(source) != n_rows:
            raise ValueError(f"lengths differ: {argument} has {len(source)} values, X {n_rows}")
        outcomes[name] = dataclasses.replace(source, name=name)
        if column is not None:
            sources[name] = column
    return Data(n_rows, features, outcomes, sources, tuple(features))


def plan_columns(data: Data, n_bins: int, max_categories: int) -> Cells:
    """Return the cells for a reference, without a row."""
    target = data.outcomes.get("target")
    grouped = target is not None and target.family in NUMBERS

    def plan(source: Source, *, grouped: bool) -> ColumnProfile:
        kind = KINDS[source.family]
        naming = source.name, kind, source.dtype, source.family
        if kind == "datetime":
            low, high = source.seconds()
            return ColumnProfile(*naming, ref_minimum=low, ref_maximum=high)
        if kind == "numeric":
            ordered, finite = _finite_sorted(source.floats())
            column = ColumnProfile.plan_numeric(*naming, ordered, n_bins)
            counts = column.count_of(ordered)
            if grouped:
                return column.with_groups(counts)
            if finite:
                data.counts[source.name] = counts
            return column
        found = data.levels[source.name] = source.levels()
        column = ColumnProfile.plan_categorical(*naming, found, max_categories)
        return column.with_groups(column.counts) if grouped else column

    outcomes = {name: plan(source, grouped=False) for name, source in data.outcomes.items()}
    # A feature may have the name of one of them.
    data.levels.clear()
    data.counts.clear()
    outcomes = {name: plan(source, grouped=False) for name, source in data.outcomes.items()}
    # A feature may have the name of one of them.
    data.levels.clear()
    data.counts.clear()
    columns = tuple(plan(source, grouped=grouped) for source in data.features.values())
    return Cells(columns, outcomes, data.sources)


def _finite_sorted(values: FloatArray) -> tuple[FloatArray, bool]:
    """Return the finite values, ascending, and whether none was infinite."""
    ordered = np.sort(values)  # NaN come last
    start = np.searchsorted(ordered, -np.inf, side="right")
    end = np.searchsorted(ordered, np.inf, side="left")
    known = np.searchsorted(ordered, np.inf, side="right")
    return ordered[start:end], bool(start == 0 and end == known)


def fill(cells: Cells, pairs: PairProfile | None, data: Data, *, later: bool = False) -> Filled:
    """Return the counts and sums of a frame on `cells`; with `later`, high sums of pairs wait."""
    retyped: dict[str, tuple[str, str]] = {}

    def fits(plan: ColumnProfile, source: Source) -> bool:
        if source.family not in (plan.family, "empty"):
            retyped[plan.name] = plan.dtype, source.dtype
            return False
        return True

    outcomes = {name: plan.empty() for name, plan in cells.outcomes.items()}
    for name, source in data.outcomes.items():
        if fits(cells.outcomes[name], source):
            outcomes[name] = _fill_one(cells.outcomes[name], source)
    target = data.outcomes.get("target")
    y = None
    if target is not None and target.family in NUMBERS and "target" not in retyped:
        y = Target.of(_target_values(target))
    works: dict[str, tuple[NumericWork, Source]] = {}
    columns: dict[str, ColumnProfile] = {}
    for plan in cells.columns:
        if plan.name not in data.features or not fits(plan, data.features[plan.name]):
            columns[plan.name] = plan.empty()
            continue
        source = data.features[plan.name]
        if plan.kind == "numeric":
            works[plan.name] = NumericWork(plan, data.counts.get(plan.name)), source
        else:
            columns[plan.name] = _fill_levels(plan, source, data.levels.get(plan.name), y)
    adder = None if pairs is None else PairWork(pairs, data.n_rows if later else 0)
    moments = _fill_numbers(works, adder, y, data.n_rows)
    for name, (work, source) in works.items():
        columns[name] = work.done(source.dtype)
    return Filled(
        data.n_rows,
        Cells(tuple(columns[plan.name] for plan in cells.columns), outcomes, cells.sources),
        moments,
        retyped,
    )


def _fill_numbers(
    works: dict[str, tuple[NumericWork, Source]],
    adder: PairWork | None,
    y: Target | None,
    n_rows: int,
) -> PairProfile | None:
    """Add all numeric columns, block by block: those of one block meet in the cache."""
    names = () if adder is None else adder.plan.names
    k, row_of = len(names), {name: i for i, name in enumerate(names)}
    absent = [i for name, i in row_of.items() if name not in works]
    block = np.zeros((k + 1, min(_ROWS, n_rows)))  # the last row is for columns without pairs
    readers: list[tuple[int, NumericWork, Iterator[FloatArray]]] = [
        (row_of.get(name, k), work, source.blocks(_ROWS)) for name, (work, source) in works.items()
    ]
    for start in range(0, n_rows, _ROWS):
        size = min(_ROWS, n_rows - start)
        part = None if y is None else y.rows(slice(start, start + size))
        null: dict[int, BoolArray] = {i: np.ones(size, dtype=np.bool_) for i in absent}
        with np.errstate(over="ignore", invalid="ignore"):
            for row, work, reader in readers:
                missing = work.add(next(reader), block[row, :size], part)
                if row == k:
                    whole = block[row, :size]
                    work.add_clipped(int(whole.sum()), int(np.dot(whole, whole)))
                elif missing is not None:
                    null[row] = missing
        if adder is not None:
            adder.add(block[:k, :size], null)
    if adder is None:
        return None
    for row, work, _ in readers:
        if row < k:  # the pairs have them already
            work.add_clipped(int(adder.sums["first"][row]), int(adder.sums["p11"][row, row]))
    return adder.done()


def _fill_levels(
    plan: ColumnProfile, source: Source, found: dict[str, int] | None, y: Target | None
) -> ColumnProfile:
    if plan.kind == "datetime":
        return plan.with_times(source)
    found = source.levels() if found is None else found
    column = plan.with_levels(source, found, len(source) - sum(found.values()))
    if y is None or plan.target_groups is None:
        return column
    sums = TargetSums(plan)
    cells = plan.cells_of_levels(source)
    size = plan.target_groups.size
    by_cell: list[Any] = [np.bincount(cells, minlength=size)]
    by_cell += [np.bincount(cells, weights=part, minlength=size) for part in y.weights()]
    sums.add(slice(None), y, by_cell)
    return sums.into(column)


def _fill_one(plan: ColumnProfile, source: Source) -> ColumnProfile:
    if plan.kind != "numeric":
        return _fill_levels(plan, source, None, None)
    work = NumericWork(plan)
    _fill_numbers({plan.name: (work, source)}, None, None, len(source))
    return work.done(source.dtype)


def _target_values(source: Source) -> FloatArray:
    if source.family == "boolean":
        return as_floats(source.series, "y", allow_nan=True)
    return source.floats()
