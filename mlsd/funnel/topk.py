"""The k largest of many numbers, without sorting them or holding their order."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_array
from mlsd._types import AnyArray, BoolArray, IntArray
from mlsd._validation import check_positive_int
from mlsd.funnel._runs import rank_within

__all__ = ["top_k"]

# Numbers looked at in one go, rows being kept whole: 2 MB of float64.
_BLOCK = 262_144
# A threshold from a sample pays in rows of that many numbers, if a small part of them is wanted.
_LONG = 2048
_SPARSE = 16
_SAMPLE, _SHARE = 4096, 32
_GOLDEN = np.uint32(2654435769)  # of a full turn of 2**32
_EIGHT_TRUE = np.uint64(0x0101010101010101)


def top_k(scores: npt.ArrayLike, k: int) -> tuple[IntArray, AnyArray]:
    """Return where the `k` largest numbers stand and what they are, the largest first.

    Exact, like a full sort: equal numbers come in the order of their positions, at the cut too.

    Parameters
    ----------
    scores : array-like of shape (n,) or (m, n)
        Numbers of any kind, infinite ones too, but no NaN. Of a table the `k` largest of every
        row are sought.
    k : int
        How many, at least 1; where there are fewer, all come, sorted.

    Returns
    -------
    positions : ndarray of shape (min(k, n),) or (m, min(k, n))
        Positions from 0 in the vector, or in the row.
    values : ndarray of the same shape
        ``scores[positions]``, in the type of `scores`; never increasing.

    Raises
    ------
    TypeError
        If `scores` is not numeric or is complex, or `k` is not an integer.
    ValueError
        If `scores` holds NaN or has neither one nor two dimensions, or `k` is below 1.

    Notes
    -----
    Where at most a sixteenth of 2,048 numbers or more is wanted, a sample of up to 4,096 gives a
    threshold that a little more than `k` numbers most likely exceed. One comparison finds them,
    and only they are partitioned and sorted. The sample decides how long it takes, never what
    comes out: if too few numbers exceed the threshold, those equal to it fill up from the front
    (most scores are 0, say), and if these do not suffice, or far too many exceed it, all are
    partitioned. The sampled positions are multiples of the golden ratio modulo 1, so that neither
    a sorted nor a periodic order misleads them.

    Beside the result, a vector needs little more than a byte for each of its numbers, or a copy if
    it is partitioned; a table is worked off by blocks of rows with about 262,144 numbers.

    References
    ----------
    R. W. Floyd and R. L. Rivest, "Expected Time Bounds for Selection", Communications of the ACM
    18(3), 1975 (selection by a sample).

    Examples
    --------
    >>> from mlsd.funnel import top_k
    >>> positions, values = top_k([0.1, 0.9, 0.4, 0.9], k=3)
    >>> positions, values
    (array([1, 3, 2]), array([0.9, 0.9, 0.4]))
    >>> top_k([[1, 2, 3], [6, 5, 4]], k=1)[0]
    array([[2],
           [0]])
    """
    k = check_positive_int(k, "k")
    table = as_array(scores, "scores")
    if table.dtype.kind not in "biuf":
        raise TypeError(f"scores must be numeric; got {table.dtype}")
    if table.ndim not in (1, 2):
        raise ValueError(f"scores must have one or two dimensions; got shape {table.shape}")
    rows = np.atleast_2d(table)
    m, n = rows.shape
    k = min(k, n)
    positions = np.empty((m, k), dtype=np.int64)
    values = np.empty((m, k), dtype=table.dtype.newbyteorder("="))
    step = max(1, _BLOCK // max(n, 1))
    for start in range(0, m if k else 0, step):
        block = slice(start, start + step)
        part = np.ascontiguousarray(rows[block], dtype=values.dtype)
        try:
            found = _best(part.view(np.uint8) if part.dtype == np.bool_ else part, k)
        except _NaNError:
            missing = int(np.isnan(table).sum())
            raise ValueError(f"scores holds {missing} NaN among {table.size} values") from None
        positions[block], values[block] = found
    if table.ndim == 1:
        return positions[0], values[0]
    return positions, values


class _NaNError(Exception):
    """There is NaN among the numbers of a block; the caller counts them."""


# What follows works on a contiguous table of numbers that compare, of shape (m, n). What has no
# underscore serves other searches of the package.


def _best(table: AnyArray, k: int) -> tuple[IntArray, AnyArray]:
    """Return columns and values of the `k` largest of every row, the largest first."""
    n = table.shape[1]
    if n < _LONG or _SPARSE * k > n:
        return _by_partition(table, k)
    cut, expected = _threshold(table, k)
    words, hit = words_above(table, cut)
    if hit.size > 4 * expected * len(table):  # the sample was misleading
        return _by_partition(table, k)
    columns, values, too_few = _highest(table, places_in(words, hit), cut, k)
    if too_few.size:
        columns[too_few], values[too_few] = _by_partition(table[too_few], k)
    return columns, values


def _threshold(table: AnyArray, k: int) -> tuple[AnyArray, int]:
    """Return what a little more than `k` numbers of a row most likely exceed, and how many do.

    Fewer than `k` exceed it in some of a thousand rows. The shape is (m, 1).
    """
    n = table.shape[1]
    size = min(_SAMPLE, n // _SHARE)
    sample = np.sort(table[:, spread(n, size)], axis=1)
    wanted = k * size / n
    rank = int(wanted + 3 * wanted**0.5) + 2
    return sample[:, size - rank, None], rank * n // size


@functools.lru_cache(maxsize=16)
def spread(n: int, size: int) -> IntArray:
    """Return `size` positions below `n`, evenly spread whatever the period of what stands there."""
    angle = np.arange(size, dtype=np.uint32) * _GOLDEN  # full turns fall away
    positions: IntArray = (angle * (n / 2.0**32)).astype(np.int64)
    positions.flags.writeable = False
    return positions


def words_above(table: AnyArray, cut: AnyArray) -> tuple[npt.NDArray[np.uint64], IntArray]:
    """Return comparisons with a cut, eight to a word, and which words hold a hit, for `places_in`.

    A hit is what is not at most its cut; so NaN is one.
    """
    at_most = np.empty(-(-table.size // 64) * 64, dtype=np.bool_)
    at_most[table.size :] = True
    np.less_equal(table, cut, out=at_most[: table.size].reshape(table.shape))
    # A search among few hits is slow because the processor guesses wrong at each of them. Eight
    # bytes are one word, eight words another: among the last hits are frequent.
    words = at_most.view(np.uint64)
    hits = (words != _EIGHT_TRUE).view(np.uint64)
    outer = np.flatnonzero(hits != 0)
    return words, _within(outer, hits[outer].view(np.bool_))


def places_in(words: npt.NDArray[np.uint64], hit: IntArray) -> IntArray:
    """Return the flat positions of all hits, ascending."""
    return _within(hit, ~words[hit].view(np.bool_))


def _within(word: IntArray, bits: BoolArray) -> IntArray:
    """Return the positions of what is true in words of eight, given which words these are."""
    byte = np.flatnonzero(bits)
    found: IntArray = 8 * word[byte >> 3] + (byte & 7)
    return found


def _highest(
    table: AnyArray, at: IntArray, cut: AnyArray, k: int
) -> tuple[IntArray, AnyArray, IntArray]:
    """Return columns and values of the `k` largest of every row, and the rows that lack some.

    `at` are the flat positions of what exceeds the cut of its row. What equals it comes after.
    """
    m, n = table.shape
    value = table.ravel()[at]
    if m == 1:
        counts = np.array([at.size])
        columns, values = at[None], value[None]
    else:
        counts = np.diff(np.searchsorted(at, np.arange(0, table.size + 1, n)))
        row = np.repeat(np.arange(m), counts)
        place = rank_within(row) - 1
        # Filled up with the lowest number, which exceeds nothing and so is below all that is here.
        lowest = -np.inf if value.dtype.kind == "f" else np.iinfo(value.dtype).min
        columns = np.zeros((m, int(counts.max())), dtype=np.int64)
        values = np.full(columns.shape, lowest, dtype=value.dtype)
        columns[row, place] = at - n * row
        values[row, place] = value
    columns, values = _sorted(columns, values, k)
    if (counts >= k).all():
        return columns, values, np.zeros(0, dtype=np.int64)
    room = ((0, 0), (0, k - columns.shape[1]))
    columns, values = np.pad(columns, room), np.pad(values, room)
    return columns, values, _fill(columns, values, table, cut, counts)


def _fill(
    columns: IntArray, values: AnyArray, table: AnyArray, cut: AnyArray, counts: IntArray
) -> IntArray:
    """Complete rows of fewer than `k`, in place, with the first numbers equal to their cut.

    Return the rows that still have too few.
    """
    k, n = columns.shape[1], table.shape[1]
    rows = np.flatnonzero(counts < k)
    need = k - counts[rows]
    length = min(n, 4 * int(need.max()) + 64)
    while True:
        equal = table[rows, :length] == cut[rows]
        there = np.count_nonzero(equal, axis=1)
        if length == n or (there >= need).all():
            break
        length = min(n, 8 * length)
    at = np.repeat(np.arange(rows.size), np.minimum(need, there))
    place = rank_within(at) - 1
    first = np.cumsum(there) - there
    target = rows[at], counts[rows[at]] + place
    columns[target] = np.flatnonzero(equal)[first[at] + place] - length * at
    values[target] = cut[rows[at], 0]
    lacking: IntArray = rows[there < need]
    return lacking


def _by_partition(table: AnyArray, k: int) -> tuple[IntArray, AnyArray]:
    """Return columns and values of the `k` largest of every row, the largest first."""
    m, n = table.shape
    largest = high_part(table, k)
    _refuse_nan(largest)
    cut = largest[:, :1]
    at_least = table >= cut
    if np.count_nonzero(at_least) == m * k:
        at = np.flatnonzero(at_least)
        columns = at.reshape(m, k) - n * np.arange(m)[:, None]
        return _sorted(columns, table.ravel()[at].reshape(m, k), k)
    # Some equal the cut and are too many.
    return _highest(table, np.flatnonzero(table > cut), cut, k)[:2]


def high_part(table: AnyArray, k: int) -> AnyArray:
    """Return the `k` largest of every row, the lowest of them first, NaN counting as largest."""
    n = table.shape[1]
    # A partition loses its way among equal numbers, and is no faster than a sort of a few.
    some = np.sort(table[:, spread(n, min(n, 64))], axis=1)
    if n <= 512 or 8 * np.count_nonzero(some[:, 1:] == some[:, :-1]) > some.size:
        parted = np.sort(table, axis=1)
    else:
        parted = np.partition(table, n - k, axis=1)
    return parted[:, n - k :]


def _sorted(columns: IntArray, values: AnyArray, k: int) -> tuple[IntArray, AnyArray]:
    """Return the first `k` of every row by falling value, and equal values by rising column."""
    order = np.argsort(values, axis=1)[:, ::-1]
    head = _take(values, order[:, : k + 1])
    _refuse_nan(head[:, :1])  # where it would stand
    if (head[:, 1:] != head[:, :-1]).all():
        return _take(columns, order[:, :k]), head[:, :k]
    # What ties with the last of the `k` may stand far behind it, so all runs of equals are sorted.
    values, columns = _take(values, order), _take(columns, order)
    new = np.ones(values.shape, dtype=np.bool_)
    np.not_equal(values[:, 1:], values[:, :-1], out=new[:, 1:])
    tied = ~new
    tied[:, :-1] |= ~new[:, 1:]
    run = np.cumsum(new)[tied.ravel()]
    base = int(columns.max()) + 1
    columns[tied] = np.sort(run * base + columns[tied]) % base
    return columns[:, :k], values[:, :k]


def _take(table: AnyArray, columns: IntArray) -> AnyArray:
    """Return the numbers of every row at its columns."""
    taken: AnyArray = table[np.arange(len(table))[:, None], columns]
    return taken


def _refuse_nan(values: AnyArray) -> None:
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise _NaNError
