"""A column of strings as one buffer of UTF-8, so that NumPy can hash and compare a million at once.

A hash is of a string's bytes alone: equal strings have equal hashes wherever they come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, IntArray

__all__ = ["Strings"]

UIntArray = npt.NDArray[np.uint64]

# Odd constants with well-spread bits: the golden ratio, and Steele and Vigna's (2021) multiplier.
_LENGTH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_WORD_FACTOR = np.uint64(0xD1342543DE82EF95)
_HALF = np.uint64(32)
_MASKS = np.array([(1 << (8 * n)) - 1 for n in range(9)], dtype=np.uint64)

# Rows at a time: what is between two steps stays in the cache, and takes little memory.
_ROWS = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """Strings laid in one buffer: row ``i`` is ``text[starts[i]:ends[i]]``.

    `text` goes on for at least 8 bytes after the start of every string: whole words are read.
    """

    text: npt.NDArray[np.uint8]
    starts: IntArray
    ends: IntArray
    arrow: Any = None
    """The same rows as a pyarrow array, if that is where they come from."""

    @classmethod
    def from_objects(cls, values: npt.NDArray[Any]) -> Strings:
        """Return the strings of an object array; TypeError if one is not a string.

        One join puts all bytes into one buffer, which is as fast as asking pyarrow to do so.
        """
        strings = values.tolist()
        n = len(strings)
        strings.append(8 * "\0")
        joined = "\n".join(strings)
        try:
            text = np.frombuffer(joined.encode(), np.uint8)
            ends = np.flatnonzero(text[:-8] == ord("\n"))
            plain = ends.size == n
        except UnicodeEncodeError:
            plain = False
        if not plain:  # an identifier has a newline or a lone surrogate: find the ends one by one
            encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
            lengths = np.fromiter(map(len, encoded), np.int64, n + 1)
            text = np.frombuffer(b"\n".join(encoded), np.uint8)
            ends = (np.cumsum(lengths + 1) - 1)[:-1]
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1] + 1
        return cls(text, starts, ends)

    @classmethod
    def from_arrow(cls, array: Any) -> Strings:
        """Return the strings of a pyarrow array, chunked or not, that has no nulls."""
        import pyarrow as pa

        if not pa.types.is_large_string(array.type):
            array = array.cast(pa.large_string())
        n = len(array)
        if not n:
            none = np.zeros(0, dtype=np.int64)
            return cls(np.zeros(8, dtype=np.uint8), none, none)
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
        _, offset_buffer, byte_buffer = array.buffers()
        offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + n + 1]
        text = np.frombuffer(byte_buffer if byte_buffer is not None else b"", np.uint8)
        if text.size < offsets[-2] + 8:  # a string below eight bytes is read beyond its end
            first = offsets[0]
            text = np.concatenate((text[first : offsets[-1]], np.zeros(8, dtype=np.uint8)))
            offsets = offsets - first if first else offsets
        return cls(text, offsets[:-1], offsets[1:], array)

    def __len__(self) -> int:
        return self.starts.size

    def take(self, rows: IntArray) -> Strings:
        """Return these rows; the bytes stay where they are."""
        return Strings(self.text, self.starts[rows], self.ends[rows])

    def keys(self) -> IntArray:
        """Return a 64-bit hash of each string; its upper bits are the better mixed ones."""
        result = np.empty(len(self), dtype=np.uint64)
        words = self._words()
        for start in range(0, len(self), _ROWS):
            rows = slice(start, start + _ROWS)
            result[rows] = _hash(words, self.starts[rows], self.ends[rows])
        return result.view(np.int64)

    def equal(self, rows: IntArray, other: Strings, other_rows: IntArray) -> BoolArray:
        """Return whether these rows hold the same strings as those of another column."""
        result = np.empty(rows.size, dtype=np.bool_)
        for start in range(0, rows.size, _ROWS):
            part = slice(start, start + _ROWS)
            mine, theirs = rows[part], other_rows[part]
            a, b = self.starts[mine], other.starts[theirs]
            c, d = self.ends[mine], other.ends[theirs]
            same = c - a == d - b
            if same.all():
                same = _equal(self._words(), a, c, other._words(), b, d)
            else:
                a, b, c, d = a[same], b[same], c[same], d[same]
                same[same] = _equal(self._words(), a, c, other._words(), b, d)
            result[part] = same
        return result

    def starts_new(self) -> BoolArray:
        """Return whether each row differs from the row before it; the first one does."""
        new = np.ones(len(self), dtype=np.bool_)
        if self.arrow is not None:
            import pyarrow.compute as pc

            differs = pc.not_equal(self.arrow[1:], self.arrow[:-1])
            new[1:] = differs.to_numpy(zero_copy_only=False)
        else:
            rows = np.arange(len(self))
            new[1:] = ~self.equal(rows[1:], self, rows[:-1])
        return new

    def ranks(self) -> IntArray:
        """Return a larger number for a later string, the same for the same one, in UTF-8's order.

        That is the order of the code points, and so Python's own.
        """
        lengths = self.ends - self.starts
        words, last = self._words(), self.text.size - 8
        columns: list[npt.NDArray[Any]] = []
        for offset in range(0, int(lengths.max(initial=0)), 8):
            # Near the end of the buffer read from further left, and shift what is too much out.
            wanted = self.starts + offset
            at = np.minimum(wanted, last)
            word = words[at] >> (8 * np.minimum(wanted - at, 7)).view(np.uint64)
            word &= _MASKS[np.clip(lengths - offset, 0, 8)]
            columns.append(word.byteswap() if np.little_endian else word)
        columns.append(lengths)  # zero bytes pad a word, and may be part of a string
        order = np.lexsort(columns[::-1])
        new = np.zeros(order.size, dtype=np.bool_)
        for column in columns:
            ordered = column[order]
            new[1:] |= ordered[1:] != ordered[:-1]
        result = np.empty(order.size, dtype=np.int64)
        result[order] = np.cumsum(new)
        return result

    def decode(self) -> npt.NDArray[Any]:
        """Return the strings as Python's own."""
        view = memoryview(self.text.data)
        bounds = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        result = np.empty(len(self), dtype=object)
        result[:] = [str(view[a:b], "utf-8", "surrogatepass") for a, b in bounds]
        return result

    def _words(self) -> UIntArray:
        """Return the eight bytes from each place of the buffer on as one number."""
        words: UIntArray = np.ndarray(
            (self.text.size - 7,), np.dtype("<u8"), self.text.data, strides=(1,)
        )
        return words


def _hash(words: UIntArray, starts: IntArray, ends: IntArray) -> UIntArray:
    lengths = ends - starts
    result: UIntArray = lengths.view(np.uint64) * _LENGTH_FACTOR
    for rows, at, short, mask in _reads(starts, ends):
        word = words[at]
        if mask is not None:
            word[short] &= mask
        mixed = result if rows is None else result[rows]
        word ^= mixed >> _HALF
        word ^= mixed
        word *= _WORD_FACTOR
        if rows is None:
            result = word
        else:
            result[rows] = word
    return result


def _equal(
    words: UIntArray,
    starts: IntArray,
    ends: IntArray,
    other_words: UIntArray,
    other_starts: IntArray,
    other_ends: IntArray,
) -> BoolArray:
    """Return which pairs of strings are equal; both of a pair are equally long."""
    same = np.ones(starts.size, dtype=np.bool_)
    mine, theirs = _reads(starts, ends), _reads(other_starts, other_ends)
    for (rows, at, short, mask), (_, other_at, _, _) in zip(mine, theirs, strict=True):
        word = words[at] ^ other_words[other_at]
        if mask is not None:
            word[short] &= mask
        if rows is None:
            same &= word == 0
        else:
            same[rows] &= word == 0
    return same


def _reads(starts: IntArray, ends: IntArray) -> Iterator[tuple[Any, IntArray, Any, Any]]:
    """Yield the words that make up the strings: rows (None: all), where they are, masks of some.

    The first eight bytes, the last eight, which may overlap them, and of what is longer than both
    the words between. A string below eight bytes is one word, masked, and read twice. What is read
    depends on a string's own length alone, whatever else is in the column.
    """
    if not starts.size:
        return
    lengths = ends - starts
    shortest, longest = int(lengths.min()), int(lengths.max())
    last = ends - 8
    short, mask = None, None
    if shortest < 8:
        short = np.flatnonzero(lengths < 8)
        mask = _MASKS[lengths[short]]
        last[short] = starts[short]
    yield None, starts, short, mask
    for offset in range(8, longest - 8, 8):
        if shortest > offset + 8:
            yield None, starts + offset, None, None
        else:
            rows = np.flatnonzero(lengths > offset + 8)
            yield rows, starts[rows] + offset, None, None
    yield None, last, short, mask
