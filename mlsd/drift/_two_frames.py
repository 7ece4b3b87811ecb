"""Two frames side by side: their common columns by kind, and what was left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsd._inputs import as_column, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._results import Result, plain
from mlsd._types import AnyArray, BoolArray, FloatArray
from mlsd.drift._frames import n_rows
from mlsd.metrics._tables import column_names

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Column", "Pair", "TableResult", "numbers_of", "read_pair"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of both frames, as arrays of one kind.

    `kind` is "numeric" (a timedelta is in seconds), "boolean", "categorical" or "datetime" (in UTC,
    without a time zone).
    """

    name: str
    kind: str
    ref: AnyArray
    live: AnyArray


@dataclass(frozen=True, slots=True)
class Pair:
    """What two frames have in common, and why the other columns were left out."""

    columns: tuple[Column, ...]
    excluded: dict[str, str]
    n_ref: int
    n_live: int

    def of_kind(self, *kinds: str) -> Pair:
        """Return the columns of these kinds; the others are left out, and say so."""
        listed = " or ".join(kinds)
        excluded = self.excluded | {
            column.name: f"{column.kind}, not {listed}"
            for column in self.columns
            if column.kind not in kinds
        }
        kept = tuple(column for column in self.columns if column.kind in kinds)
        return Pair(kept, excluded, self.n_ref, self.n_live)


class TableResult(Result):
    """Base of results whose heart is a table, one row a finding, in the field `table`."""

    __slots__ = ()
    table: dict[str, Any]

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return pd.DataFrame(dict(self.table))

    def to_dict(self: DataclassInstance) -> dict[str, Any]:
        """Return the fields by name as plain Python values; the table as a list of rows."""
        fields: dict[str, Any] = {
            field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        rows: Any = self.to_frame()  # type: ignore[attr-defined]
        fields["table"] = plain(rows.to_dict("records"))
        return fields

    def __str__(self) -> str:
        """Return the table as text, and what must be known beside it."""
        table = self.to_frame().to_string(index=False, float_format=lambda value: f"{value:.4g}")
        return "\n".join(filter(None, [table, self._note()]))


def read_pair(
    ref: Any,
    live: Any,
    *,
    columns: Iterable[str] | None = None,
    omit: Iterable[str] = (),
    names: tuple[str, str] = ("ref", "live"),
) -> Pair:
    """Return the common columns of two frames of any library, each as arrays of one kind.

    A column that one frame lacks, or that has different kinds in the two, is left out with the
    reason, or is an error if it was asked for by `columns`.
    """
    sizes = (n_rows(ref, names[0]), n_rows(live, names[1]))
    for size, name in zip(sizes, names, strict=True):
        if not size:
            raise ValueError(f"{name} has no rows")
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names; got the text {columns!r}")
    left_out = set(omit)
    in_ref, in_live = column_names(ref), column_names(live)
    excluded: dict[str, str] = {}
    if columns is None:
        wanted = [name for name in in_ref if name in in_live and name not in left_out]
        excluded |= {
            name: f"missing in {names[1]}"
            for name in in_ref
            if name not in in_live and name not in left_out
        }
        excluded |= {
            name: f"missing in {names[0]}"
            for name in in_live
            if name not in in_ref and name not in left_out
        }
    else:
        wanted = list(dict.fromkeys(columns))
    first, second = as_pandas(ref, names[0], wanted), as_pandas(live, names[1], wanted)
    found = []
    for name in wanted:
        one = _without_zone(as_column(first[name], f"{names[0]}[{name!r}]"))
        other = _without_zone(as_column(second[name], f"{names[1]}[{name!r}]"))
        kinds = (_kind(one), _kind(other))
        kind = _shared_kind(*kinds)
        if kind is None:
            excluded[name] = f"{kinds[0]} in {names[0]}, {kinds[1]} in {names[1]}"
            continue
        found.append(Column(name, kind, _cast(one, kind), _cast(other, kind)))
    return Pair(tuple(found), excluded, *sizes)


def numbers_of(columns: Iterable[Column]) -> tuple[FloatArray, FloatArray]:
    """Return numeric and boolean columns of both frames as matrices; infinities become NaN."""
    listed = list(columns)

    def matrix(side: str) -> FloatArray:
        parts = [getattr(column, side).astype(np.float64) for column in listed]
        stacked = np.column_stack(parts)
        stacked[np.isinf(stacked)] = np.nan
        return stacked

    return matrix("ref"), matrix("live")


def _without_zone(array: AnyArray) -> AnyArray:
    """Return times of any zone as those of UTC, dates as times, and timedeltas as seconds."""
    if array.dtype.kind == "O":
        inferred = pd.api.types.infer_dtype(array, skipna=True)
        if inferred in ("datetime", "datetime64", "date"):
            times = pd.to_datetime(pd.Series(array, dtype=object), utc=True)
            return times.dt.tz_localize(None).to_numpy()
        if inferred in ("timedelta", "timedelta64"):
            array = pd.to_timedelta(pd.Series(array, dtype=object)).to_numpy()
    if array.dtype.kind == "m":
        seconds: FloatArray = array / np.timedelta64(1, "s")  # NaT becomes NaN
        return seconds
    return array


def _kind(array: AnyArray) -> str:
    if array.dtype.kind == "b":
        return "boolean"
    if array.dtype.kind in "iuf":
        return "numeric" if array.dtype.kind != "f" or not np.isnan(array).all() else "empty"
    if array.dtype.kind == "M":
        return "datetime"
    missing: BoolArray = pd.isna(array)
    return "empty" if missing.all() else "categorical"


def _shared_kind(one: str, other: str) -> str | None:
    """Return the kind that both can be read as: a boolean with NULLs came as a number."""
    if one == other:
        return "numeric" if one == "empty" else one
    if "empty" in (one, other):
        return other if one == "empty" else one
    return "numeric" if {one, other} == {"boolean", "numeric"} else None


def _cast(array: AnyArray, kind: str) -> AnyArray:
    if kind == "numeric":
        if array.dtype.kind == "O":  # all missing
            return np.full(array.size, np.nan)
        return array.astype(np.float64, copy=False)
    if kind == "boolean" and array.dtype.kind != "b":  # all missing
        return np.full(array.size, np.nan)
    if kind == "datetime" and array.dtype.kind != "M":
        return np.full(array.size, np.datetime64("NaT"), dtype="datetime64[ns]")
    if kind == "categorical" and array.dtype.kind != "O":
        return np.full(array.size, None, dtype=object)
    return array
