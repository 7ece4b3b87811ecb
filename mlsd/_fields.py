"""Floor 0: the kinds of fields that a mergeable state is made of.

A field says what its neutral value is, how two values merge, and which arrays stand for a value
when it is written. Values are never changed in place: a copy of a state may share them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._exact import add_pairs
from mlsd._types import FloatArray, IntArray

__all__ = [
    "Count",
    "Counts",
    "Field",
    "KeySet",
    "Maximum",
    "Minimum",
    "Part",
    "Parts",
    "Table",
    "TableValue",
    "Total",
]


Part = npt.NDArray[Any] | int
"""What a field is written as: an int64 or float64 array, or an integer of any size."""
Parts = dict[str, Part]

_MOST = (1 << 63) - 1
# A sum of 2**63 floats has no more bits than this; a longer one is no sum of floats.
_MOST_BITS = 2098 + 63


class Field(ABC):
    """One named value of a state."""

    __slots__ = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """What is put behind the name of the field for each of its parts."""
        return ("",)

    @abstractmethod
    def zero(self) -> Any:
        """Return the neutral value."""

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any:
        """Return the merged value; neither operand changes."""

    @abstractmethod
    def pack(self, value: Any) -> list[Part]:
        """Return the parts of a value, one a suffix."""

    @abstractmethod
    def unpack(self, parts: list[Part], name: str) -> Any:
        """Return the value that the parts stand for; raise ValueError if they stand for none."""

    def equal(self, left: Any, right: Any) -> bool:
        """Return whether two values are equal, without any tolerance."""
        return all(
            np.array_equal(a, b) for a, b in zip(self.pack(left), self.pack(right), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Count(Field):
    """A number of things: an int of at least 0; values add."""

    def zero(self) -> int:
        """Return 0."""
        return 0

    def merge(self, left: int, right: int) -> int:
        """Return the sum, which has to fit 64 bits."""
        if left + right > _MOST:
            raise OverflowError(f"a count of {left + right} does not fit 64 signed bits")
        return left + right

    def pack(self, value: int) -> list[Part]:
        """Return the count as an array of shape ()."""
        return [np.array(value, dtype=np.int64)]

    def unpack(self, parts: list[Part], name: str) -> int:
        """Return the count."""
        return int(_counts(parts[0], name, ()))


@dataclass(frozen=True, slots=True)
class Counts(Field):
    """An array of counts of a fixed shape; values add."""

    shape: tuple[int, ...]

    def zero(self) -> IntArray:
        """Return zeros."""
        return np.zeros(self.shape, dtype=np.int64)

    def merge(self, left: IntArray, right: IntArray) -> IntArray:
        """Return the sums, which have to fit 64 bits."""
        return _no_overflow(left + right)

    def pack(self, value: IntArray) -> list[Part]:
        """Return the array."""
        return [value]

    def unpack(self, parts: list[Part], name: str) -> IntArray:
        """Return the array."""
        return _counts(parts[0], name, self.shape)


@dataclass(frozen=True, slots=True)
class Total(Field):
    """An exact sum of floats, in units of 2**-1074 (see ``mlsd._exact``); values add."""

    nonnegative: bool = False

    def zero(self) -> int:
        """Return 0."""
        return 0

    def merge(self, left: int, right: int) -> int:
        """Return the sum."""
        return left + right

    def pack(self, value: int) -> list[Part]:
        """Return the integer."""
        return [value]

    def unpack(self, parts: list[Part], name: str) -> int:
        """Return the integer."""
        total = parts[0]
        if not isinstance(total, int):
            raise ValueError(f"{name} must be an exact sum; got an array")
        if total.bit_length() > _MOST_BITS:
            raise ValueError(f"{name} has {total.bit_length()} bits: no sum of floats has so many")
        if self.nonnegative and total < 0:
            raise ValueError(f"{name} is negative")
        return total


@dataclass(frozen=True, slots=True)
class Minimum(Field):
    """The least float seen; infinite when none was."""

    def zero(self) -> float:
        """Return infinity."""
        return math.inf

    def merge(self, left: float, right: float) -> float:
        """Return the lesser."""
        return min(left, right)

    def pack(self, value: float) -> list[Part]:
        """Return the float as an array of shape ()."""
        return [np.array(value, dtype=np.float64)]

    def unpack(self, parts: list[Part], name: str) -> float:
        """Return the float."""
        return float(_floats(parts[0], name, ()))


@dataclass(frozen=True, slots=True)
class Maximum(Minimum):
    """The largest float seen; minus infinity when none was."""

    def zero(self) -> float:
        """Return minus infinity."""
        return -math.inf

    def merge(self, left: float, right: float) -> float:
        """Return the greater."""
        return max(left, right)


@dataclass(frozen=True, slots=True)
class TableValue:
    """Sorted distinct keys and the columns that go with them.

    A column of counts has shape (n,), one of float sums shape (n, 2): high and low part.
    """

    keys: IntArray
    columns: tuple[npt.NDArray[Any], ...]

    def __len__(self) -> int:
        return self.keys.size


@dataclass(frozen=True, slots=True)
class Table(Field):
    """A sparse table: values of one key add, column by column.

    Columns named in `counts` hold int64; those in `sums` hold sums of floats that are not negative,
    as unevaluated pairs of some 106 bits, so that the order of merging is not seen in a float.
    """

    counts: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Return one suffix for the keys and one a column."""
        return tuple(f".{name}" for name in ("keys", *self.counts, *self.sums))

    def zero(self) -> TableValue:
        """Return the table without a row."""
        return TableValue(
            np.zeros(0, dtype=np.int64),
            (
                *(np.zeros(0, dtype=np.int64) for _ in self.counts),
                *(np.zeros((0, 2)) for _ in self.sums),
            ),
        )

    def merge(self, left: TableValue, right: TableValue) -> TableValue:
        """Return the rows of both."""
        if not len(left) or not len(right):
            return left if len(left) else right
        # Timsort finds the two ascending runs, and merges them in linear time.
        both = np.sort(np.concatenate((left.keys, right.keys)), kind="stable")
        keys = both[np.concatenate(([True], both[1:] != both[:-1]))]
        of_left, of_right = np.searchsorted(keys, left.keys), np.searchsorted(keys, right.keys)
        columns = []
        for a, b in zip(left.columns, right.columns, strict=True):
            merged = np.zeros((keys.size, *a.shape[1:]), dtype=a.dtype)
            merged[of_left] = a
            if a.ndim == 1:
                merged[of_right] += b
                columns.append(_no_overflow(merged))
            else:
                merged[of_right] = add_pairs(merged[of_right], b)
                if not np.isfinite(merged).all():
                    raise OverflowError("a sum of weights does not fit a float")
                columns.append(merged)
        return TableValue(keys, tuple(columns))

    def pack(self, value: TableValue) -> list[Part]:
        """Return the keys and the columns."""
        return [value.keys, *value.columns]

    def unpack(self, parts: list[Part], name: str) -> TableValue:
        """Return the table."""
        keys = _sorted_keys(parts[0], f"{name}.keys")
        columns: list[npt.NDArray[Any]] = []
        for column, part in zip(self.counts, parts[1:], strict=False):
            columns.append(_counts(part, f"{name}.{column}", keys.shape))
        for column, part in zip(self.sums, parts[1 + len(self.counts) :], strict=True):
            pairs = _floats(part, f"{name}.{column}", (keys.size, 2))
            high, low = pairs[:, 0], pairs[:, 1]
            if not np.isfinite(pairs).all() or (high < 0).any() or (high + low != high).any():
                raise ValueError(f"{name}.{column} holds a pair that is no sum of weights")
            columns.append(pairs)
        return TableValue(keys, tuple(columns))


@dataclass(frozen=True, slots=True)
class KeySet(Field):
    """Sorted distinct keys that two parts may not share."""

    complaint: str
    """What to say when they do; the number of shared keys replaces ``{n}``."""

    def zero(self) -> IntArray:
        """Return no keys."""
        return np.zeros(0, dtype=np.int64)

    def merge(self, left: IntArray, right: IntArray) -> IntArray:
        """Return the keys of both; raise ValueError if they share one."""
        both = np.sort(np.concatenate((left, right)), kind="stable")
        shared = int((both[1:] == both[:-1]).sum())
        if shared:
            raise ValueError(self.complaint.format(n=shared))
        return both

    def pack(self, value: IntArray) -> list[Part]:
        """Return the keys."""
        return [value]

    def unpack(self, parts: list[Part], name: str) -> IntArray:
        """Return the keys."""
        return _sorted_keys(parts[0], name)


def _array(part: Part, name: str, dtype: type, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if isinstance(part, int) or part.dtype != dtype:
        found = "an exact sum" if isinstance(part, int) else part.dtype
        raise ValueError(f"{name} must be of type {np.dtype(dtype)}; got {found}")
    if part.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {part.shape}")
    return part


def _counts(part: Part, name: str, shape: tuple[int, ...]) -> IntArray:
    array = _array(part, name, np.int64, shape)
    if (array < 0).any():
        raise ValueError(f"{name} holds a negative count")
    return array


def _floats(part: Part, name: str, shape: tuple[int, ...]) -> FloatArray:
    array = _array(part, name, np.float64, shape)
    if np.isnan(array).any():
        raise ValueError(f"{name} holds NaN")
    return array


def _sorted_keys(part: Part, name: str) -> IntArray:
    keys = _array(part, name, np.int64, (part.size,) if isinstance(part, np.ndarray) else ())
    if (keys[1:] <= keys[:-1]).any():
        raise ValueError(f"{name} must ascend, each key once")
    return keys


def _no_overflow(counts: IntArray) -> IntArray:
    # Two counts of 63 bits that overflow turn negative.
    if (counts < 0).any():
        raise OverflowError("a count does not fit 64 signed bits")
    return counts
