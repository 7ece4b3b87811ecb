"""Co-moments of the numeric columns, exact in any order, for correlations and their variances.

Values are clipped to the reference's .1 % and 99.9 % quantiles, so that one corrupt value does not
make or hide a correlation, and written as whole numbers of up to 512 steps from the reference's
centre. All products up to the fourth order are whole numbers then, which float64 adds exactly
within a block and int64 across blocks. Rounding to steps adds less than .004 % to the variance of
a normal column, and less than 1 % where the clip limits lie forty standard deviations apart.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._results import Result
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.drift._columns import ColumnProfile

__all__ = ["PairProfile", "PairWork", "merge_pairs"]

_ROWS = 4096  # a block and its powers stay in the cache
_MOST_LATER = 1 << 23  # numbers that wait, 16 MB
_NULL = np.int16(-(1 << 15))  # among numbers that wait
_NEAR_ONE = 1e-10  # 1 - r**2 below this is 0 but for rounding
_LOW_BITS = 40  # of a fourth-order sum, which has no room in 64 bits beyond some 10**8 rows


@dataclass(frozen=True, slots=True, eq=False)
class PairProfile(Result):
    """Sums of products of every pair of numeric columns, pairwise-complete.

    With q the whole numbers of a column (0 where it is NULL), all arrays are k by k:

    Attributes
    ----------
    names : tuple of str
        The columns, k of them.
    centre, step : ndarray of shape (k,)
        A value is ``centre + step * q``.
    n_rows : int
        Rows.
    p11, p21 : ndarray of int64
        Sums of ``q_i * q_j`` and of ``q_i**2 * q_j``.
    p22, p31 : ndarray of int64, shape (2, k, k)
        Sums of ``q_i**2 * q_j**2`` and of ``q_i**3 * q_j``, as ``first * 2**40 + second``.
    first : ndarray of int64, shape (k,)
        Sums of ``q_i``.
    both_null : ndarray of int64
        Rows in which i and j are NULL; the diagonal counts the NULLs of one column.
    lost_1, lost_2, lost_3 : ndarray of int64
        Sums of ``q_i``, of its square and of its cube over rows in which j is NULL.
    lost_4 : ndarray of int64, shape (2, k, k)
        The same of its fourth power, in two parts.

    Notes
    -----
    Pairs of up to 2**23 live numbers keep those, two bytes each, until a sum of the third or fourth
    order is asked for (by :meth:`variance`, a merge, a comparison by ``==``, JSON or pickle).
    """

    names: tuple[str, ...]
    centre: FloatArray
    step: FloatArray
    n_rows: int
    first: IntArray
    p11: IntArray
    p21: IntArray
    p22: IntArray
    p31: IntArray
    both_null: IntArray
    lost_1: IntArray
    lost_2: IntArray
    lost_3: IntArray
    lost_4: IntArray
    _later: _Later | None = field(default=None, init=False, repr=False)

    def __getattr__(self, name: str) -> IntArray:
        """Return a sum that was left for later, and keep all of them."""
        later = object.__getattribute__(self, "_later") if name in SUMS else None
        if later is not None:
            found = later.sums()
            for each in SUMS:
                if each not in LOW:
                    object.__setattr__(self, each, getattr(found, each))
            object.__setattr__(self, "_later", None)
        result: IntArray = object.__getattribute__(self, name)
        return result

    @property
    def n(self) -> IntArray:
        """Rows in which both columns of a pair have a value, shape (k, k)."""
        null = np.diagonal(self.both_null)
        counts: IntArray = self.n_rows - null[:, None] - null[None, :] + self.both_null
        return counts

    @property
    def fingerprint(self) -> str:
        """A digest of the columns, centres and steps."""
        digest = hashlib.blake2b(repr(self.names).encode("utf-8", "surrogatepass"))
        digest.update(self.centre.tobytes())
        digest.update(self.step.tobytes())
        return digest.hexdigest()[:16]

    def correlation(self) -> FloatArray:
        """Return Pearson's correlation of the clipped values of each pair, shape (k, k).

        Nan where a column is constant, or fewer than two rows have both values.
        """
        n = self._known()
        x, raw_2 = self._low_moments(n)
        return _correlation(_central_2(x, raw_2), self.p11 / n - x * x.T)

    def variance(self) -> FloatArray:
        """Return n times the asymptotic variance of Fisher's z of each pair, shape (k, k).

        Asymptotically distribution-free: it comes from the fourth moments, and is 1 for a normal
        pair and for an independent one whatever the distributions are. 1, too, where r is 1 or -1;
        nan where the correlation is, and on the diagonal.

        References
        ----------
        J. H. Steiger and A. R. Hakstian, "The asymptotic distribution of elements of a correlation
        matrix: Theory and application", British Journal of Mathematical and Statistical
        Psychology 35(2), 1982.
        """
        moments = self._moments()
        r = _correlation(moments["20"], moments["11"])
        with np.errstate(invalid="ignore", divide="ignore"):
            sd = np.sqrt(moments["20"])
            scale = sd * sd.T
            m22 = moments["22"] / scale**2
            m40 = moments["40"] / moments["20"] ** 2
            m31 = moments["31"] / (sd**3 * sd.T)
            total = m22 + r**2 / 4 * (m40 + 2 * m22 + m40.T) - r * (m31 + m31.T)
            result: FloatArray = np.maximum(total, 0.0) / (1 - r**2) ** 2
        result[1 - r**2 <= _NEAR_ONE] = 1.0
        result[~np.isfinite(result)] = np.nan
        np.fill_diagonal(result, np.nan)
        return result

    def tails(self) -> tuple[FloatArray, FloatArray]:
        """Return the products of skewness and of kurtosis of both columns of each pair.

        Shape (k, k) each, over the rows that have both; nan where a column is constant in them.
        """
        moments = self._moments()
        with np.errstate(invalid="ignore", divide="ignore"):
            skewness = moments["30"] / moments["20"] ** 1.5
            kurtosis = moments["40"] / moments["20"] ** 2
        return skewness * skewness.T, kurtosis * kurtosis.T

    def empty(self) -> PairProfile:
        """Return the same pairs without a row."""
        return empty_pairs(self.names, self.centre, self.step)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PairProfile):
            return NotImplemented
        return (
            self.names == other.names
            and self.n_rows == other.n_rows
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("centre", "step", *SUMS)
            )
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def _known(self) -> FloatArray:
        n = self.n.astype(np.float64)
        n[n == 0] = np.nan
        return n

    def _low_moments(self, n: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and mean square of i over the rows in which j has a value, too."""
        raw_1 = (self.first[:, None] - self.lost_1) / n
        return raw_1, (np.diagonal(self.p11)[:, None] - self.lost_2) / n

    def _moments(self) -> dict[str, FloatArray]:
        """Return central moments by order, ``m[i, j] = E (x_i - mean)^a (x_j - mean)^b``.

        Means are those over the rows that have both, so ``m20[i, j]`` depends on j, too.
        """
        n = self._known()
        p22, p31, lost_4 = (_joined(part) for part in (self.p22, self.p31, self.lost_4))
        x, raw_2 = self._low_moments(n)
        raw_3 = (np.diagonal(self.p21)[:, None] - self.lost_3) / n
        raw_4 = (np.diagonal(p22)[:, None] - lost_4) / n
        xy, xxy, xxyy, xxxy = self.p11 / n, self.p21 / n, p22 / n, p31 / n
        y = x.T
        return {
            "20": _central_2(x, raw_2),
            "11": xy - x * y,
            "22": xxyy
            - 2 * y * xxy
            - 2 * x * xxy.T
            + y**2 * raw_2
            + x**2 * raw_2.T
            + 4 * x * y * xy
            - 3 * x**2 * y**2,
            "31": xxxy - 3 * x * xxy + 3 * x**2 * xy - y * raw_3 + 3 * x * y * raw_2 - 3 * x**3 * y,
            "30": raw_3 - 3 * x * raw_2 + 2 * x**3,
            "40": raw_4 - 4 * x * raw_3 + 6 * x**2 * raw_2 - 3 * x**4,
        }


SUMS = (
    "first",
    "p11",
    "p21",
    "p22",
    "p31",
    "both_null",
    "lost_1",
    "lost_2",
    "lost_3",
    "lost_4",
)
"""The fields that add up."""
WIDE = ("p22", "p31", "lost_4")
"""Those of them that are kept in two parts."""
LOW = ("first", "p11", "both_null", "lost_1", "lost_2")
"""Those that are never left for later."""


def empty_pairs(names: tuple[str, ...], centre: FloatArray, step: FloatArray) -> PairProfile:
    """Return the pairs of these columns without a row."""
    k = len(names)
    square, wide = np.zeros((k, k), dtype=np.int64), np.zeros((2, k, k), dtype=np.int64)
    sums: dict[str, Any] = {name: wide if name in WIDE else square for name in SUMS}
    sums["first"] = np.zeros(k, dtype=np.int64)
    return PairProfile(names, centre, step, 0, **sums)


def plan_pairs(columns: list[ColumnProfile]) -> PairProfile:
    """Return the pairs of the numeric `columns`, without a row."""
    return empty_pairs(
        tuple(column.name for column in columns),
        np.array([column.centre for column in columns]),
        np.array([column.step for column in columns]),
    )


class PairWork:
    """Adds blocks of whole numbers to the sums of all pairs.

    With `later`, the number of rows to come, sums of the third and fourth order wait until somebody
    asks for them: they cost four times what the others do, and a comparison needs only those of the
    reference.
    """

    def __init__(self, plan: PairProfile, later: int = 0) -> None:
        self.plan = plan
        k = len(plan.names)
        self.n_rows = 0
        self.sums: dict[str, IntArray] = {
            name: np.zeros((k, k), dtype=np.int64) for name in SUMS if name != "first"
        }
        self.sums["first"] = np.zeros(k, dtype=np.int64)
        self.later = _Later(plan, later) if 0 < later * k <= _MOST_LATER else None
        self.powers = np.empty((3 * k if self.later is None else 0, _ROWS))

    def add(self, block: FloatArray, null: dict[int, BoolArray]) -> None:
        """Add rows: `block` has shape (k, rows), `null` says where a column by position is NULL.

        The whole numbers of NULLs are 0. At most 2**17 rows: then all sums are exact.
        """
        if self.later is not None:
            self.later.add(block, null)
        rows = block.shape[1]
        self.n_rows += rows
        at = np.array(sorted(null), dtype=np.int64)
        missing = np.array([null[i] for i in at], dtype=np.float64).reshape(at.size, rows)
        names = SUMS if self.later is None else LOW
        totals = {name: np.zeros(self.sums[name].shape) for name in names}
        totals["first"] += block.sum(axis=1)
        if self.later is None:
            self._add_powers(block, at, missing, totals)
        else:
            totals["p11"] += block @ block.T
        if at.size:
            totals["both_null"][np.ix_(at, at)] += missing @ missing.T
            totals["lost_1"][:, at] += block @ missing.T
            totals["lost_2"][:, at] += (block * block) @ missing.T
        for name, total in totals.items():
            self.sums[name] += total.astype(np.int64)

    def _add_powers(
        self, block: FloatArray, at: IntArray, missing: FloatArray, totals: dict[str, FloatArray]
    ) -> None:
        k, rows = block.shape
        # One product of values and squares with themselves: BLAS computes half of it.
        both, powers = np.zeros((2 * k, 2 * k)), self.powers
        for start in range(0, rows, _ROWS):
            size = min(_ROWS, rows - start)
            x, squares, cubes = (powers[i * k : (i + 1) * k, :size] for i in range(3))
            x[:] = block[:, start : start + size]
            np.multiply(x, x, out=squares)
            np.multiply(squares, x, out=cubes)
            both += powers[: 2 * k, :size] @ powers[: 2 * k, :size].T
            totals["p31"] += cubes @ x.T
            if at.size:
                absent = missing[:, start : start + size].T
                totals["lost_3"][:, at] += cubes @ absent
                totals["lost_4"][:, at] += (squares * squares) @ absent
        totals["p11"] += both[:k, :k]
        totals["p21"] += both[k:, :k]
        totals["p22"] += both[k:, k:]

    def done(self) -> PairProfile:
        """Return the pairs."""
        sums: dict[str, Any] = {
            name: _split(part) if name in WIDE else part for name, part in self.sums.items()
        }
        if self.later is None:
            return dataclasses.replace(self.plan, n_rows=self.n_rows, **sums)
        known = {name: sums[name] for name in LOW}
        plan = self.plan
        return _waiting(
            names=plan.names,
            centre=plan.centre,
            step=plan.step,
            n_rows=self.n_rows,
            _later=self.later,
            **known,
        )


class _Later:
    """Whole numbers of all rows, two bytes each, kept until the higher sums are asked for."""

    def __init__(self, plan: PairProfile, rows: int) -> None:
        self.plan = plan
        self.numbers = np.empty((len(plan.names), rows), dtype=np.int16)
        self.n_rows = 0

    def add(self, block: FloatArray, null: dict[int, BoolArray]) -> None:
        part = self.numbers[:, self.n_rows : self.n_rows + block.shape[1]]
        part[:] = block
        for i, missing in null.items():
            part[i, missing] = _NULL
        self.n_rows += block.shape[1]

    def sums(self) -> PairProfile:
        work = PairWork(self.plan)
        for start in range(0, self.n_rows, _ROWS):
            numbers = self.numbers[:, start : min(start + _ROWS, self.n_rows)]
            gone = numbers == _NULL
            null = {int(i): gone[i] for i in np.flatnonzero(gone.any(axis=1))}
            work.add(np.where(gone, 0.0, numbers), null)
        return work.done()


def _waiting(**values: Any) -> PairProfile:
    """Return pairs of which only some fields are set; the others come when they are asked for."""
    pairs = object.__new__(PairProfile)
    for name, value in values.items():
        object.__setattr__(pairs, name, value)
    return pairs


def merge_pairs(a: PairProfile, b: PairProfile) -> PairProfile:
    """Return the sums of both; their columns, centres and steps are the same."""
    sums: dict[str, Any] = {}
    for name in SUMS:
        total = getattr(a, name) + getattr(b, name)
        if name in WIDE:
            total[0] += total[1] >> _LOW_BITS
            total[1] &= (1 << _LOW_BITS) - 1
        sums[name] = total
    return dataclasses.replace(a, n_rows=a.n_rows + b.n_rows, **sums)


def _split(total: IntArray) -> IntArray:
    return np.stack([total >> _LOW_BITS, total & ((1 << _LOW_BITS) - 1)])


def _joined(parts: IntArray) -> FloatArray:
    joined: FloatArray = parts[0] * float(1 << _LOW_BITS) + parts[1]
    return joined


def _central_2(x: FloatArray, raw_2: FloatArray) -> FloatArray:
    central: FloatArray = np.maximum(raw_2 - x**2, 0.0)
    return central


def _correlation(m20: FloatArray, m11: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore", divide="ignore"):
        r: FloatArray = m11 / np.sqrt(m20 * m20.T)
    r[~np.isfinite(r)] = np.nan
    return np.clip(r, -1.0, 1.0)
