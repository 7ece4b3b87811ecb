"""From the rows of a log to one row a randomised unit: its arm, and its sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_floats
from mlsd._lazy import pandas as pd
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice

__all__ = ["Sums", "Units", "as_times", "constant_by_unit", "units_found", "units_of"]


@dataclass(frozen=True, slots=True)
class Units:
    """The units of an experiment.

    Attributes
    ----------
    ids : Index of shape (n_units,)
        Their identifiers.
    arm : ndarray of shape (n_units,)
        Code of the arm; -1 for a unit that is left out.
    arms : list
        The arms in sorted order.
    codes : ndarray of shape (n_rows,)
        Unit of each row that has one; the rows are those of `kept`.
    kept : ndarray of shape (n_rows of the table,) or None
        Which rows of the table these are; None: all.
    dropped : dict
        What was left out, by reason.
    """

    ids: Any
    arm: IntArray
    arms: list[Any]
    codes: IntArray
    kept: BoolArray | None
    dropped: dict[str, int]


def units_of(
    frame: pd.DataFrame,
    unit: str,
    arm: str,
    assigned: pd.DataFrame | None,
    crossover: str,
) -> Units:
    """Return the units of a log with their arms, from the log itself or from a table of them."""
    check_choice(crossover, "crossover", ("raise", "drop"))
    source = frame if assigned is None else assigned
    name = "frame" if assigned is None else "units"
    codes, ids = pd.factorize(source[unit])
    codes = codes.astype(np.int64, copy=False)
    arm_codes, arms = _arm_codes(source[arm], f"{name}[{arm!r}]")
    no_unit, no_arm = codes < 0, arm_codes < 0
    dropped = {
        f"rows of {name} without a unit": int(no_unit.sum()),
        f"rows of {name} without an arm": int((no_arm & ~no_unit).sum()),
    }
    known = None
    if any(dropped.values()):
        known = ~(no_unit | no_arm)
        codes, arm_codes = codes[known], arm_codes[known]
    of_unit = np.full(len(ids), -1, dtype=np.int64)
    of_unit[codes] = arm_codes  # the last row of a unit decides, and the others must agree
    differs = of_unit[codes] != arm_codes
    two = np.unique(codes[differs])
    if two.size and crossover == "raise":
        example = _plain_index(ids[two[:1]]).tolist()[0]
        raise ValueError(
            f"{two.size} of {len(ids)} units are in two arms, such as {example!r}: what they "
            "did is the effect of neither; find out why, or leave them out with crossover='drop'"
        )
    of_unit[two] = -1
    dropped["units in two arms"] = int(two.size)
    index = _plain_index(ids)
    if assigned is not None:
        codes, known = _find(index, frame[unit], "frame", dropped, "not assigned")
    dropped["rows of units in two arms"] = int(np.isin(codes, two).sum()) if two.size else 0
    return Units(index, of_unit, arms, codes, known, dropped)


def _find(
    ids: Any, column: pd.Series[Any], name: str, dropped: dict[str, int], what: str
) -> tuple[IntArray, BoolArray | None]:
    """Return the unit of each row of a table, and which rows have one; the others are counted."""
    # Each distinct unit is looked up once.
    codes, distinct = pd.factorize(column)
    found = ids.get_indexer(_plain_index(distinct)).astype(np.int64)
    if len(distinct) and (found < 0).all():
        raise ValueError(
            f"none of the units of {name} is among the {len(ids)} of the experiment: are they of "
            f"one type? {_plain_index(distinct).dtype} and {ids.dtype}"
        )
    missing = codes < 0
    of_row = np.append(found, -1)[codes]
    dropped[f"rows of {name} without a unit"] = int(missing.sum())
    dropped[f"rows of {name} whose unit is {what}"] = int(((of_row < 0) & ~missing).sum())
    if (of_row >= 0).all():
        return of_row, None
    known = of_row >= 0
    return of_row[known], known


def _plain_index(ids: Any) -> Any:
    """Return identifiers as an Index, categories as what they are categories of."""
    index = pd.Index(ids)
    if isinstance(index.dtype, pd.CategoricalDtype):
        return pd.Index(index.categories.take(index.codes))
    return index


def _arm_codes(column: pd.Series[Any], name: str) -> tuple[IntArray, list[Any]]:
    codes, found = pd.factorize(column)
    arms = _plain_index(found).tolist()
    try:
        order = sorted(range(len(arms)), key=arms.__getitem__)
    except TypeError as error:
        raise TypeError(f"{name} mixes arms that have no common order: {error}") from None
    place = np.empty(len(arms) + 1, dtype=np.int64)
    place[order] = np.arange(len(arms))
    place[-1] = -1  # what code -1 takes: missing
    return place[codes], [arms[at] for at in order]


@dataclass(slots=True)
class Sums:
    """Sums of columns by unit, each made once.

    Attributes
    ----------
    frame, name : DataFrame, str
        The table and what to call it.
    codes : ndarray of shape (n_rows,)
        Unit of each row kept.
    kept : ndarray or None
        Which rows of the table those are.
    n_units : int
        Units, with or without rows.
    missing : str
        "raise" or "drop": what to do with a row where a value is missing.
    """

    frame: pd.DataFrame
    name: str
    codes: IntArray
    kept: BoolArray | None
    n_units: int
    missing: str
    _made: dict[Any, FloatArray] = field(default_factory=dict)

    def of(self, parts: tuple[Any, ...]) -> tuple[list[FloatArray], int]:
        """Return one array of sums for each column or number, and how many rows were left out.

        A row where one of the columns is missing counts in none of them.
        """
        gaps = [gap for part in parts if (gap := self._gap(part)) is not None]
        if not gaps:
            return [self._sum(part, None) for part in parts], 0
        present = ~np.logical_or.reduce(gaps)
        return [self._sum(part, present) for part in parts], int((~present).sum())

    def _values(self, part: Any) -> FloatArray:
        values = as_floats(self.frame[part], f"{self.name}[{part!r}]", allow_nan=True)
        return values if self.kept is None else values[self.kept]

    def _gap(self, part: Any) -> BoolArray | None:
        """Return which rows lack a value, or None if none does."""
        if not isinstance(part, str):
            return None
        if part in self._made:
            return None  # it was summed whole
        values = self._values(part)
        with np.errstate(invalid="ignore", over="ignore"):
            total = float(values.sum())
        if np.isfinite(total):
            self._made[part] = _added(self.codes, values, self.n_units)
            return None
        if np.isinf(values).any():
            raise ValueError(
                f"{self.name}[{part!r}] holds {int(np.isinf(values).sum())} infinite values"
            )
        gap: BoolArray = np.isnan(values)
        if self.missing == "raise" and gap.any():
            raise ValueError(
                f"{self.name}[{part!r}] is missing in {int(gap.sum())} of {gap.size} rows: fill "
                "what is known, or leave these rows out of the metric with missing='drop'"
            )
        return gap

    def _sum(self, part: Any, present: BoolArray | None) -> FloatArray:
        if present is None and isinstance(part, str):
            return self._made[part]
        codes = self.codes if present is None else self.codes[present]
        if isinstance(part, str):
            values = self._values(part)
            return _added(codes, values[present], self.n_units)
        if present is None:
            if 1 not in self._made:
                self._made[1] = _added(codes, None, self.n_units)
            return self._made[1] * float(part)
        return _added(codes, None, self.n_units) * float(part)


def _added(codes: IntArray, values: FloatArray | None, n_units: int) -> FloatArray:
    added: FloatArray = np.bincount(codes, weights=values, minlength=n_units).astype(np.float64)
    return added


def units_found(
    ids: Any, column: pd.Series[Any], name: str, dropped: dict[str, int]
) -> tuple[IntArray, BoolArray | None]:
    """Return the unit of each row of a table from before, and which rows have one."""
    return _find(ids, column, name, dropped, "not in the experiment")


def constant_by_unit(column: pd.Series[Any], name: str, units: Units) -> tuple[FloatArray, int]:
    """Return the value that a column has in all rows of a unit, and in how many units it lacks.

    Where it is missing, or the unit has no rows, it is the mean over the other units: such a unit
    is neither moved up nor down.
    """
    values = as_floats(column, name, allow_nan=True)
    values = values if units.kept is None else values[units.kept]
    if np.isinf(values).any():
        raise ValueError(f"{name} holds {int(np.isinf(values).sum())} infinite values")
    of_unit = np.full(units.arm.size, np.nan)
    of_unit[units.codes] = values
    taken = of_unit[units.codes]
    differs = (taken != values) & ~(np.isnan(taken) & np.isnan(values))
    if differs.any():
        wrong = np.unique(units.codes[differs])
        example = units.ids[wrong[:1]].tolist()[0]
        raise ValueError(
            f"{name} differs within {wrong.size} units, such as {example!r}: a covariate is one "
            "number a unit, known before; rows from before the experiment go to `before`"
        )
    inside = units.arm >= 0
    lacks = np.isnan(of_unit)
    known = of_unit[inside & ~lacks]
    if not known.size:
        raise ValueError(f"{name} is missing for all units")
    of_unit[lacks] = known.mean()
    return of_unit, int((lacks & inside).sum())


def as_times(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Return a column of times of one kind: all with one time zone, or all without; else raise."""
    if isinstance(column.dtype, pd.ArrowDtype):
        column = column.array.__arrow_array__().to_pandas()
    if column.dtype == object:
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind not in ("datetime", "datetime64", "date"):
            raise TypeError(f"{name} must hold times; got {kind} values: use pandas.to_datetime")
        zones = {str(getattr(time, "tzinfo", None)) for time in pd.unique(as_column(column, name))}
        if len(zones) > 1:
            raise ValueError(
                f"{name} mixes the time zones {sorted(zones)}: a day is not the same hours in all "
                "rows; use pandas.to_datetime(..., utc=True)"
            )
        column = pd.to_datetime(column)
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise TypeError(f"{name} must hold times; got {column.dtype}: use pandas.to_datetime")
    missing = int(column.isna().sum())
    if missing:
        raise ValueError(f"{name} is missing in {missing} of {len(column)} rows")
    return column
