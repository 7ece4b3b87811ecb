"""Columns of identifiers as 64-bit keys: equal identifiers have equal keys.

Hashing a million strings once is most of what an evaluation costs, so nothing here does it twice.
Different identifiers may in principle share a key; who matches by key compares the identifiers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._groups import BoolArray, IntArray

__all__ = ["IdColumn", "as_ids", "check_same_kind"]


# Odd constants with well-spread bits: the golden ratio, and Steele and Vigna's (2021) multiplier.
_LENGTH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_WORD_FACTOR = np.uint64(0xD1342543DE82EF95)
_WORD_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)


def _hash_strings(values: npt.NDArray[Any]) -> IntArray:
    """Return a 64-bit hash of each string; whatever is not a string raises TypeError.

    One join puts all bytes into one buffer; then eight bytes of every string are mixed in at once.
    That takes half the time of asking each string for its hash.
    """
    strings = values.tolist()
    joined = "\n".join(strings)
    try:
        buffer = b"".join((joined.encode(), b"\n", bytes(8)))
        text = np.frombuffer(buffer, np.uint8)
        ends = np.flatnonzero(text[:-8] == ord("\n"))
        plain = ends.size == len(strings)
    except UnicodeEncodeError:
        plain = False
    if not plain:  # an identifier has a newline or a lone surrogate: find the ends one by one
        encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        text = np.frombuffer(b"\n".join((*encoded, bytes(8))), np.uint8)
        ends = np.cumsum(lengths + 1) - 1
    starts = np.empty_like(ends)
    starts[:1] = 0
    starts[1:] = ends[:-1] + 1
    return _hash_bytes(text, starts, ends - starts)


def _hash_bytes(text: npt.NDArray[np.uint8], starts: IntArray, lengths: IntArray) -> IntArray:
    """Return a hash of each stretch of `text`, which has 8 bytes more after the last."""
    words: npt.NDArray[np.uint64] = np.ndarray(
        (text.size - 7,), np.dtype("<u8"), text.data, strides=(1,)
    )
    result = lengths.astype(np.uint64) * _LENGTH_FACTOR
    if not lengths.size:
        return result.view(np.int64)
    shortest, longest = int(lengths.min()), int(lengths.max())
    for offset in range(0, longest, 8):
        if offset + 8 <= shortest:
            result ^= words[starts + offset]
            result *= _WORD_FACTOR
            result ^= result >> np.uint64(32)
            continue
        rows = slice(None) if offset < shortest else np.flatnonzero(lengths > offset)
        left = np.minimum(lengths[rows] - offset, 8)
        mixed = result[rows] ^ (words[starts[rows] + offset] & _WORD_MASKS[left])
        mixed *= _WORD_FACTOR
        result[rows] = mixed ^ (mixed >> np.uint64(32))
    return result.view(np.int64)


@dataclass(frozen=True, slots=True)
class IdColumn:
    """One column of identifiers: integers or strings, perhaps as codes into few distinct values."""

    name: str
    kind: str
    distinct: npt.NDArray[Any]
    codes: IntArray | None

    def __len__(self) -> int:
        return len(self.distinct if self.codes is None else self.codes)

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the identifiers of these rows."""
        taken: npt.NDArray[Any] = self.distinct[rows if self.codes is None else self.codes[rows]]
        return taken

    def reorder(self, rows: IntArray) -> IdColumn:
        """Return the column with these rows, in this order; the identifiers stay where they are."""
        codes = rows if self.codes is None else self.codes[rows]
        return IdColumn(self.name, self.kind, self.distinct, codes)

    def starts_new(self) -> BoolArray:
        """Return whether each row differs from the row before it; the first one does."""
        values = self.distinct if self.codes is None else self.codes
        new = np.ones(len(values), dtype=np.bool_)
        try:
            new[1:] = values[1:] != values[:-1]
        except TypeError:  # pd.NA refuses to be compared
            raise _not_strings(values, self.name) from None
        return new

    def factorize(self) -> tuple[IntArray, IdColumn]:
        """Return the code of each row and the distinct identifiers, in order of appearance.

        Rows of one query mostly stand together: only the first of each stretch is hashed.
        """
        new = self.starts_new()
        heads = IdColumn(self.name, self.kind, self.take(np.flatnonzero(new)), None)
        heads.keys()  # raises if an identifier is missing
        codes, distinct = pd.factorize(heads.distinct)
        lengths = np.diff(np.append(np.flatnonzero(new), len(self)))
        found = IdColumn(self.name, self.kind, np.asarray(distinct), None)
        return np.repeat(codes.astype(np.int64), lengths), found

    def keys(self) -> IntArray:
        """Return the key of each row; raise if a string column holds anything but strings."""
        if self.kind == "integer":
            keys = self.distinct
        else:
            try:
                keys = _hash_strings(self.distinct)
            except TypeError:
                raise _not_strings(self.distinct, self.name) from None
        return keys if self.codes is None else keys[self.codes]


def _not_strings(values: npt.NDArray[Any], name: str) -> Exception:
    missing = int(pd.isna(values).sum())
    if missing:
        return ValueError(f"{name} has {missing} missing identifiers among {len(values)} rows")
    is_other = [not isinstance(value, str) for value in values]
    example = next(compress(values, is_other))
    return TypeError(
        f"{name} mixes strings with other types, such as {example!r} "
        f"({type(example).__name__}): use astype(str)"
    )


def as_ids(column: pd.Series[Any], name: str) -> IdColumn:
    """Return a column of integers, strings or categories of them as identifiers, or raise."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy().astype(np.int64)
        missing = int((codes < 0).sum())
        if missing:
            raise ValueError(f"{name} has {missing} missing identifiers among {len(codes)} rows")
        categories = as_ids(column.cat.categories.to_series(), name)
        return IdColumn(name, categories.kind, categories.distinct, codes)
    if pd.api.types.is_bool_dtype(column.dtype):
        raise TypeError(f"{name} must hold strings or integers; got booleans")
    if pd.api.types.is_integer_dtype(column.dtype):
        missing = int(column.isna().sum())
        if missing:
            raise ValueError(f"{name} has {missing} missing identifiers among {len(column)} rows")
        values = column.to_numpy()
        if values.size and int(values.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{name} holds {values.max()}, which does not fit 64 signed bits")
        return IdColumn(name, "integer", values.astype(np.int64), None)
    if pd.api.types.is_object_dtype(column.dtype) and (
        pd.api.types.infer_dtype(column, skipna=False) == "integer"
    ):
        return as_ids(column.astype(np.int64), name)
    if pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype):
        return IdColumn(name, "string", column.to_numpy(dtype=object), None)
    raise TypeError(f"{name} must hold strings or integers; got {column.dtype}")


def check_same_kind(judged: IdColumn, run: IdColumn) -> None:
    """Raise unless both are integers or both strings: "7" never equals 7."""
    if judged.kind != run.kind and len(run):
        raise TypeError(
            f"{judged.name} holds {judged.kind}s and {run.name} holds {run.kind}s, "
            "so no identifier can match: convert one of them"
        )
