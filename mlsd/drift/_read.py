"""Columns of a frame of any library as a profile reads them: numbers in blocks, levels counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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

_UIntArray = npt.NDArray[np.uint64]
_SHORT = 7  # bytes
_BLOCK = 1 << 14  # strings: their bytes stay in the cache
_MOST_WORDS = 100
_LEARNT = 1 << 10  # unknown strings that are looked at together
_NO_WORD = np.uint64(255)  # no string has this length
# Odd multiples of 2**64 over the golden ratio, whose high bits depend on all bits of a word.
_FACTORS = np.arange(1, 129, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


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
        short = _count_short(self.series)
        if short is not None:
            return short
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
        if inferred in ("string", "boolean"):
            return inferred
        # Nothing but NULLs has no categories from which a type could be known.
        return "empty" if series.isna().all() else "mixed"
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


def _count_short(series: pd.Series[Any]) -> dict[str, int] | None:
    """Return how often each string of Arrow occurs; None if it is none, long, or one of many.

    A string of up to seven bytes is a number of eight, its length included; such numbers are
    counted twice as fast as strings.
    """
    dtype = series.dtype
    arrow = isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow"
    if not arrow and not isinstance(dtype, pd.ArrowDtype):
        return None
    import pyarrow as pa

    counter = _Words()
    for chunk in pa.chunked_array(series.array.__arrow_array__()).chunks:
        if pa.types.is_large_string(chunk.type):
            kind: type[np.signedinteger[Any]] = np.int64
        elif pa.types.is_string(chunk.type):
            kind = np.int32
        else:
            return None
        _, of_ends, of_text = chunk.buffers()
        if not len(chunk) or of_ends is None or of_text is None:
            if len(chunk) > chunk.null_count:
                return None
            continue
        ends = np.frombuffer(of_ends, kind)[chunk.offset : chunk.offset + len(chunk) + 1]
        text = np.frombuffer(of_text, np.uint8)
        valid: BoolArray | None = None
        if chunk.null_count:
            valid = chunk.is_valid().to_numpy(zero_copy_only=False)
        for start in range(0, len(chunk), _BLOCK):
            block = slice(start, start + _BLOCK)
            words = _as_words(ends[start : start + _BLOCK + 1].astype(np.int64, copy=False), text)
            if words is None or not counter.add(words if valid is None else words[valid[block]]):
                return None
    return counter.found()


def _as_words(ends: IntArray, text: AnyArray) -> _UIntArray | None:
    """Return each string as a number: its bytes, the last one highest, and its length below."""
    length = np.diff(ends)
    if length.max() > _SHORT:
        return None
    part = np.zeros(int(ends[-1] - ends[0]) + 8, dtype=np.uint8)
    part[:-8] = text[ends[0] : ends[-1]]
    # All runs of eight bytes; of each that begins a string the bytes after its end are shifted out.
    runs: _UIntArray = np.ndarray((part.size - 7,), "<u8", part, strides=(1,))
    words: _UIntArray = runs.take(ends[:-1] - ends[0])
    words <<= (64 - 8 * length).view(np.uint64)
    words |= length.view(np.uint64)
    return words


class _Words:
    """Counts numbers of which few are distinct, by a table in which no two of them collide."""

    def __init__(self) -> None:
        self.known: _UIntArray = np.zeros(0, dtype=np.uint64)
        self.counts: IntArray = np.zeros(1, dtype=np.int64)
        self.table: _UIntArray = np.full(1, _NO_WORD)
        self.factor, self.shift = np.uint64(1), np.uint64(64)

    def add(self, words: _UIntArray) -> bool:
        """Count the words, or return False if there are too many distinct ones."""
        slots = self._slots(words)
        while (other := self.table.take(slots) != words).any():
            if not self._learn(np.unique(words[other][:_LEARNT])):
                return False
            slots = self._slots(words)
        self.counts += np.bincount(slots, minlength=self.counts.size)
        return True

    def found(self) -> dict[str, int]:
        """Return the counts by string."""
        pairs = zip(self.known.tolist(), self.counts[self._slots(self.known)].tolist(), strict=True)
        return {
            word.to_bytes(8, "little")[8 - (word & 255) :].decode(): count for word, count in pairs
        }

    def _slots(self, words: _UIntArray) -> IntArray:
        slots = words * self.factor
        slots >>= self.shift
        return slots.view(np.int64)

    def _learn(self, new: _UIntArray) -> bool:
        counts = np.append(self.counts[self._slots(self.known)], np.zeros(new.size, dtype=np.int64))
        self.known = np.concatenate((self.known, new))
        if self.known.size > _MOST_WORDS:
            return False
        bits = 2 * self.known.size.bit_length()  # so that a factor without collisions is soon found
        self.shift = np.uint64(64 - bits)
        for factor in _FACTORS:
            self.factor = factor
            slots = self._slots(self.known)
            if np.unique(slots).size == slots.size:
                self.table = np.full(1 << bits, _NO_WORD)
                self.table[slots] = self.known
                self.counts = np.zeros(1 << bits, dtype=np.int64)
                self.counts[slots] = counts
                return True
        return False


def _names(levels: Any) -> list[str]:
    names = [level if isinstance(level, str) else str(level) for level in levels]
    if max(map(len, names), default=0) <= _LONGEST:
        return names
    return [name if len(name) <= _LONGEST else _shortened(name) for name in names]


def _shortened(name: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{name[:40]}…{digest}"
