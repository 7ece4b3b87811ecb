"""Columns of a frame of any library as a profile reads them: numbers in blocks, levels counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = ["KINDS", "Source", "read_frame", "read_values"]

KINDS = {
    "numeric": "numeric",
    "timedelta": "numeric",
    "boolean": "categorical",
    "string": "categorical",
    "mixed": "categorical",
    "empty": "categorical",
    "datetime": "datetime",
}
"""The kind of a column by the family of its values; values of two families never meet in a cell."""

_NUMERIC = ("integer", "floating", "mixed-integer-float", "decimal")
_LONGEST = 64  # characters of a level; the rest is replaced by a digest


@dataclass(frozen=True, slots=True)
class Source:
    """One column to be read.

    Attributes
    ----------
    name, dtype : str
        The name, and the type as the frame's library calls it.
    family : str
        A key of ``KINDS``; "empty" for a column of nothing but NULLs that has no type.
    series : pandas.Series
        The values.
    """

    name: str
    dtype: str
    family: str
    series: pd.Series[Any]

    def __len__(self) -> int:
        return len(self.series)

    def blocks(self, size: int) -> Iterator[FloatArray]:
        """Yield the numbers as float64, `size` rows at a time; NULL is NaN.

        A timedelta is in seconds.
        """
        plain = self.series.to_numpy() if isinstance(self.series.dtype, np.dtype) else None
        if self.family == "empty":
            plain = np.full(len(self.series), np.nan)
        elif plain is not None and plain.dtype.kind == "O":
            plain = _numbers(plain, self.name)  # the type of all decides, not that of a block
        for start in range(0, len(self.series), size):
            if self.family == "timedelta":
                part = pd.to_timedelta(self.series.iloc[start : start + size]).dt.total_seconds()
                yield np.asarray(part.to_numpy(dtype=np.float64, na_value=np.nan))
            elif plain is not None:
                yield plain[start : start + size].astype(np.float64, copy=False)
            else:
                array = self.series.array[start : start + size]
                yield np.asarray(array.to_numpy(dtype=np.float64, na_value=np.nan))

    def floats(self) -> FloatArray:
        """Return all numbers as float64."""
        return next(self.blocks(max(1, len(self))), np.zeros(0))

    def levels(self) -> dict[str, int]:
        """Return how often each level occurs; NULL is left out."""
        if self.family == "empty":
            return {}
        if isinstance(self.series.dtype, pd.CategoricalDtype):
            found = np.asarray(self.series.cat.categories, dtype=object)
            codes = self.series.cat.codes.to_numpy()
            counts: AnyArray = np.bincount(codes[codes >= 0], minlength=found.size)
            found, counts = found[counts > 0], counts[counts > 0]
        else:
            table = self._comparable().value_counts(sort=False)
            found, counts = np.asarray(table.index, dtype=object), table.to_numpy(dtype=np.int64)
        result: dict[str, int] = {}
        for level, count in zip(_names(found), counts.tolist(), strict=True):
            result[level] = result.get(level, 0) + count
        return result

    def codes(self) -> tuple[IntArray, list[str]]:
        """Return the level of each row, -1 for NULL, and the names; names may repeat."""
        if self.family == "empty":
            return np.full(len(self), -1, dtype=np.int64), []
        codes, found = pd.factorize(self._comparable())
        return codes.astype(np.int64), _names(np.asarray(found, dtype=object))

    def n_null(self) -> int:
        """Return the number of NULLs."""
        return int(self.series.isna().sum())

    def seconds(self) -> tuple[float, float]:
        """Return the first and the last time, in seconds since 1970 UTC; inf and -inf if none."""
        times = self.series.dropna()
        if times.dtype == object:
            times = pd.to_datetime(times, utc=True)
        if not len(times):
            return np.inf, -np.inf
        first, last = (pd.Timestamp(time).timestamp() for time in (times.min(), times.max()))
        return first, last

    def _comparable(self) -> pd.Series[Any]:
        """Return the values as strings if they are of several types: 1 and True are not one."""
        if self.family != "mixed" or isinstance(self.series.dtype, pd.CategoricalDtype):
            return self.series
        missing: BoolArray = self.series.isna().to_numpy()
        values = np.array([str(value) for value in self.series], dtype=object)
        values[missing] = None
        return pd.Series(values, dtype=object)


def read_frame(frame: Any, name: str) -> dict[str, Source]:
    """Return the columns of a table of pandas, polars or pyarrow by name, in their order.

    Raises
    ------
    TypeError
        If `frame` is no table, or a column is of a type that has no order and no levels.
    ValueError
        If two columns have one name.
    """
    if isinstance(frame, pd.DataFrame):
        pairs = [(str(column), frame.iloc[:, i]) for i, column in enumerate(frame.columns)]
        columns: list[tuple[str, Any, str]] = [(n, s, str(s.dtype)) for n, s in pairs]
    else:
        import narwhals as nw

        try:
            eager: Any = nw.from_native(frame, eager_only=True)
        except TypeError:
            raise TypeError(
                f"{name} must be a table of pandas, polars or pyarrow; got {type(frame).__name__}"
                + (": call its collect() first" if hasattr(frame, "collect") else "")
            ) from None
        columns = [
            (column, _to_pandas(eager[column]), str(eager[column].to_native().dtype))
            if hasattr(eager[column].to_native(), "dtype")
            else (column, _to_pandas(eager[column]), str(eager[column].to_native().type))
            for column in eager.columns
        ]
    names = [column for column, _, _ in columns]
    double = sorted({column for column in names if names.count(column) > 1})
    if double:
        raise ValueError(f"{name} has several columns of the name {double}")
    return {
        column: Source(column, dtype, _family(series, f"{name}[{column!r}]"), series)
        for column, series, dtype in columns
    }


def read_values(values: Any, name: str) -> Source:
    """Return one column that is not part of a frame, such as the target."""
    if isinstance(values, pd.Series):
        series = values
    elif isinstance(values, np.ndarray | list | tuple):
        series = pd.Series(as_column(values, name))
    else:
        import narwhals as nw

        wrapped: Any = nw.from_native(values, series_only=True, pass_through=True)
        is_series = isinstance(wrapped, nw.Series)
        series = _to_pandas(wrapped) if is_series else pd.Series(as_column(values, name))
    return Source(name, str(series.dtype), _family(series, name), series)


def _to_pandas(series: Any) -> pd.Series[Any]:
    """Return a narwhals series as a pandas one that shares the memory of Arrow where it can."""
    try:
        import pyarrow as pa
    except ImportError:
        return pd.Series(series.to_numpy())
    array = series.to_arrow()
    if pa.types.is_dictionary(array.type):
        return pd.Series(array.to_pandas())
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


def _family(series: pd.Series[Any], name: str) -> str:
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        inferred = pd.api.types.infer_dtype(dtype.categories, skipna=True)
        return inferred if inferred in ("string", "boolean") else "mixed"
    types = pd.api.types
    tests: list[tuple[Callable[[Any], bool], str]] = [
        (types.is_bool_dtype, "boolean"),
        (types.is_complex_dtype, "complex"),
        (types.is_numeric_dtype, "numeric"),
        (types.is_datetime64_any_dtype, "datetime"),
        (types.is_timedelta64_dtype, "timedelta"),
    ]
    if not (isinstance(dtype, np.dtype) and dtype.kind == "O"):
        for test, family in tests:
            if test(dtype):
                if family == "complex":
                    raise TypeError(f"{name} must be real; got {dtype}")
                return family
        if isinstance(dtype, pd.ArrowDtype):
            return _family_of_arrow(dtype)
        return "string" if isinstance(dtype, pd.StringDtype) else "mixed"
    inferred = pd.api.types.infer_dtype(series, skipna=True)
    if inferred in _NUMERIC:
        return "numeric"
    if inferred in ("string", "boolean", "empty"):
        return inferred
    if inferred in ("datetime", "datetime64", "date"):
        return "datetime"
    return "timedelta" if inferred in ("timedelta", "timedelta64") else "mixed"


def _family_of_arrow(dtype: Any) -> str:
    import pyarrow as pa

    kind = dtype.pyarrow_dtype
    tests: list[tuple[Callable[[Any], bool], str]] = [
        (pa.types.is_null, "empty"),
        (pa.types.is_decimal, "numeric"),
        (pa.types.is_date, "datetime"),
        (pa.types.is_timestamp, "datetime"),
        (pa.types.is_duration, "timedelta"),
        (pa.types.is_string, "string"),
        (pa.types.is_large_string, "string"),
        (pa.types.is_string_view, "string"),
    ]
    return next((family for test, family in tests if test(kind)), "mixed")


def _numbers(values: AnyArray, name: str) -> AnyArray:
    """Return objects that are numbers as an array of them."""
    try:
        return as_column(values, name)
    except OverflowError:  # an integer beyond all floats
        largest = int(np.finfo(np.float64).max)
        limits = [
            (math.inf if value > 0 else -math.inf)
            if isinstance(value, int) and abs(value) > largest
            else value
            for value in values
        ]
        return as_column(np.array(limits, dtype=object), name)


def _names(levels: Any) -> list[str]:
    names = [level if isinstance(level, str) else str(level) for level in levels]
    if max(map(len, names), default=0) <= _LONGEST:
        return names
    return [name if len(name) <= _LONGEST else _shortened(name) for name in names]


def _shortened(name: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name[:40]}…{digest}"
