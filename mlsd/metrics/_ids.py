"""Columns of identifiers as 64-bit keys: equal identifiers have equal keys.

Hashing a million strings once is most of what an evaluation costs, so nothing here does it twice.
Different identifiers may in principle share a key; who matches by key compares the identifiers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, IntArray
from mlsd.metrics._strings import Strings

__all__ = ["IdColumn", "as_ids", "check_same_kind", "match_distinct"]


# Small integers differ in their lower bits: the golden ratio carries that into the upper ones,
# and different integers still have different keys.
_SPREAD = np.int64(0x9E3779B97F4A7C15 - (1 << 64))


@dataclass(frozen=True, slots=True, eq=False)
class IdColumn:
    """One column of identifiers: integers or strings, perhaps as codes into few distinct values."""

    name: str
    kind: str
    """"integer" or "string"."""
    store: AnyArray | Strings
    """Integers, strings, or Python's strings, which become Strings when they are needed."""
    codes: IntArray | None = None

    def __len__(self) -> int:
        return len(self.store if self.codes is None else self.codes)

    def take(self, rows: AnyArray) -> IdColumn:
        """Return the column with these rows, in this order."""
        if self.codes is not None:
            return IdColumn(self.name, self.kind, self.store, self.codes[rows])
        if isinstance(self.store, Strings):
            return IdColumn(self.name, self.kind, self.store.take(rows))
        return IdColumn(self.name, self.kind, self.store[rows])

    def settled(self) -> IdColumn:
        """Return the column without Python's strings; raise if they are anything else."""
        if self.kind == "integer" or isinstance(self.store, Strings):
            return self
        try:
            strings = Strings.from_objects(self.store)
        except TypeError:
            raise _not_strings(self.store, self.name) from None
        return IdColumn(self.name, self.kind, strings, self.codes)

    def keys(self) -> IntArray:
        """Return the key of each row; its upper bits are the better mixed ones."""
        values = self.settled().store
        keys = values.keys() if isinstance(values, Strings) else values * _SPREAD
        return keys if self.codes is None else keys[self.codes]

    def equal(self, rows: IntArray, other: IdColumn, other_rows: IntArray) -> BoolArray:
        """Return whether these rows hold the same identifiers as those of another column."""
        mine, theirs = self.settled().store, other.settled().store
        rows = rows if self.codes is None else self.codes[rows]
        other_rows = other_rows if other.codes is None else other.codes[other_rows]
        if isinstance(mine, Strings) and isinstance(theirs, Strings):
            return mine.equal(rows, theirs, other_rows)
        same: BoolArray = np.asarray(mine)[rows] == np.asarray(theirs)[other_rows]
        return same

    def starts_new(self) -> BoolArray:
        """Return whether each row differs from the row before it; the first one does."""
        if self.codes is None and isinstance(self.store, Strings):
            return self.store.starts_new()
        values = np.asarray(self.store) if self.codes is None else self.codes
        new = np.ones(len(values), dtype=np.bool_)
        try:
            new[1:] = values[1:] != values[:-1]
        except TypeError:  # pd.NA refuses to be compared
            raise _not_strings(values, self.name) from None
        return new

    def decode(self) -> AnyArray:
        """Return the identifiers of all rows: integers, or objects."""
        values = self.store
        if self.codes is not None:
            if not isinstance(values, Strings):
                return values[self.codes]
            values = values.take(self.codes)
        return values.decode() if isinstance(values, Strings) else values

    def factorize(self) -> tuple[IntArray, IntArray, IdColumn]:
        """Return the stretches of equal rows, as codes and lengths, and the distinct identifiers.

        Codes count the identifiers in order of appearance. Rows of one query mostly stand together:
        only the first of each stretch is hashed.
        """
        starts = np.flatnonzero(self.starts_new())
        heads = self.take(starts).settled()
        lengths = np.diff(np.append(starts, len(self)))
        codes, first = _factorize(heads.keys())
        if not heads.equal(np.arange(codes.size), heads, first[codes]).all():
            # Different identifiers share a key: they themselves have to say who is who.
            codes, first = _factorize(heads.decode())
        return codes, lengths, heads.take(first)


def _factorize(values: AnyArray) -> tuple[IntArray, IntArray]:
    """Return the code of each value, and where each code appears first."""
    codes = pd.factorize(values)[0].astype(np.int64, copy=False)
    first = np.empty(codes.max(initial=-1) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(codes.size - 1, -1, -1)
    return codes, first


def match_distinct(wanted: IdColumn, among: IdColumn, keys: IntArray) -> IntArray:
    """Return where each identifier stands in `among`, -1 where it does not.

    Both columns are distinct; `keys` are those of `among`.
    """
    order = np.argsort(keys, kind="stable")
    ordered, needles = keys[order], wanted.keys()
    at = order[np.minimum(np.searchsorted(ordered, needles), max(ordered.size - 1, 0))]
    hit = np.flatnonzero(keys[at] == needles)
    unique_keys = not (ordered[1:] == ordered[:-1]).any()
    if unique_keys and wanted.equal(hit, among, at[hit]).all():
        found = np.full(len(wanted), -1, dtype=np.int64)
        found[hit] = at[hit]
        return found
    by_identifier = pd.Index(among.decode()).get_indexer(pd.Index(wanted.decode()))
    return by_identifier.astype(np.int64)


def _not_strings(values: AnyArray, name: str) -> Exception:
    missing = int(pd.isna(values).sum())
    if missing:
        return _missing(missing, len(values), name)
    is_other = [not isinstance(value, str) for value in values]
    example = next(compress(values, is_other))
    return TypeError(
        f"{name} mixes strings with other types, such as {example!r} "
        f"({type(example).__name__}): use astype(str)"
    )


def _missing(missing: int, n: int, name: str) -> ValueError:
    return ValueError(f"{name} has {missing} missing identifiers among {n} rows")


def as_ids(column: pd.Series[Any], name: str) -> IdColumn:
    """Return a column of integers, strings or categories of them as identifiers, or raise."""
    dtype: Any = column.dtype
    if not len(column):  # of no type yet: an empty list makes a column of floats
        return IdColumn(name, "string", np.empty(0, dtype=object))
    if isinstance(dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy().astype(np.int64)
        missing = int((codes < 0).sum())
        if missing:
            raise _missing(missing, len(codes), name)
        categories = as_ids(column.cat.categories.to_series(), name)
        return IdColumn(name, categories.kind, categories.settled().store, codes)
    if _is_arrow_text(dtype):
        return _from_arrow(column.array.__arrow_array__(), name)
    if pd.api.types.is_bool_dtype(dtype):
        raise TypeError(f"{name} must hold strings or integers; got booleans")
    if pd.api.types.is_integer_dtype(dtype):
        missing = int(column.isna().sum())
        if missing:
            raise _missing(missing, len(column), name)
        values = column.to_numpy(dtype=None if isinstance(dtype, np.dtype) else dtype.numpy_dtype)
        if values.size and int(values.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{name} holds {values.max()}, which does not fit 64 signed bits")
        return IdColumn(name, "integer", values.astype(np.int64, copy=False))
    if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        objects = column.to_numpy(dtype=object)
        # Looking at all of them is slow: the first one tells strings from the rest.
        if objects.size and not isinstance(objects[0], str):
            kind = pd.api.types.infer_dtype(objects, skipna=False)
            if kind == "integer":
                try:
                    return as_ids(column.astype(np.int64), name)
                except OverflowError:
                    raise ValueError(
                        f"{name} holds {max(objects, key=abs)}, which does not fit 64 signed bits"
                    ) from None
        return IdColumn(name, "string", objects)
    raise TypeError(f"{name} must hold strings or integers; got {dtype}")


def _is_arrow_text(dtype: Any) -> bool:
    """Return whether pandas keeps a column as strings, or a dictionary of values, of pyarrow."""
    if isinstance(dtype, pd.StringDtype):
        return dtype.storage != "python"
    if not isinstance(dtype, pd.ArrowDtype):
        return False
    import pyarrow as pa

    kind = dtype.pyarrow_dtype
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_dictionary(kind)
        or is_view(kind)
    )


def _from_arrow(array: Any, name: str) -> IdColumn:
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
        if not _is_arrow_text(pd.ArrowDtype(array.type)):
            return as_ids(pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type))), name)
    if array.null_count:
        raise _missing(array.null_count, len(array), name)
    return IdColumn(name, "string", Strings.from_arrow(array))


def check_same_kind(judged: IdColumn, run: IdColumn) -> None:
    """Raise unless both are integers or both strings: "7" never equals 7."""
    if judged.kind != run.kind and len(run):
        raise TypeError(
            f"{judged.name} holds {judged.kind}s and {run.name} holds {run.kind}s, "
            "so no identifier can match: convert one of them"
        )
