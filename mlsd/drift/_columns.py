"""What is known of one column: its cells, counts and sums, and how they merge."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._results import Result
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd.drift._edges import choose_edges
from mlsd.drift._read import Source

__all__ = ["LEVELS_OF_STEP", "ColumnProfile", "merge_columns"]

LEVELS_OF_STEP = 512
"""Steps from the centre to the farther clip limit: clipped values become integers up to this."""
_CLIP = 0.001  # share of the reference beyond either clip limit
_GROUPS = 32
_EXAMPLES = 10
_NO_COUNTS = np.zeros(0, dtype=np.int64)
_NO_FLOATS = np.zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnProfile(Result):
    """Counts and sums of one column, on the cells of the reference.

    Attributes
    ----------
    name, kind, dtype : str
        Kind is "numeric" (numbers, and timedeltas in seconds), "categorical" (strings, booleans,
        categories, mixtures) or "datetime"; dtype is what the frame called it.
    family : str
        Finer than the kind: "numeric", "timedelta", "boolean", "string", "mixed", "datetime", or
        "empty" for an untyped column of NULLs. A live column of another family is retyped.
    n, n_null : int
        Rows, and those with None, NaN, NaT or NA.
    counts : ndarray of int64
        Rows in each cell; NULL, below, above, other and unseen are not among them.
    edges : ndarray of float64
        Numeric: interior edges; cell i is ``[edges[i - 1], edges[i])``, the first cell begins at
        `ref_minimum` and the last ends with `ref_maximum`, both included.
    n_below, n_above : int
        Numeric: values under `ref_minimum` and over `ref_maximum`, infinite ones included.
    n_infinite : int
        Numeric: infinite values, which are counted in `n_below` or `n_above` as well.
    minimum, maximum : float
        Of the finite values; for datetime seconds since 1970 UTC. inf and -inf when there is none.
    ref_minimum, ref_maximum : float
        The same of the reference.
    discrete : bool
        Numeric: whether each distinct value of the reference has a cell of its own.
    centre : float
        Numeric: what sums are taken about, the mean of the reference's clipped values.
    s1, s2 : float
        Numeric: sums of ``x - centre`` and of its square over finite values.
    clip_low, clip_high : float
        Numeric: the reference's .1 % and 99.9 % quantiles.
    step : float
        Numeric: unit of the clipped sums.
    clipped_1, clipped_2 : int
        Numeric: sums of q and of its square, where q is ``(x - centre) / step`` of the clipped
        values (infinite ones too), rounded to a whole number of at most 512: exact in any order.
    levels : tuple of str
        Categorical: by falling count in the reference, then by name.
    n_other : int
        Categorical: values of levels beyond `max_categories`.
    n_unseen : int
        Categorical: values of levels that the reference does not have. If the reference was capped
        they cannot be told from the others, and are counted in `n_other`. Discrete numeric: values
        within the reference's range that are none of its values.
    capped : bool
        Categorical: whether the reference had more levels than were kept.
    n_singletons : int
        Categorical: levels that occur once in the reference.
    unseen : tuple of (str, int)
        Categorical: up to ten unseen levels, first by name, with their counts.
    target_groups : ndarray of int64 or None
        Group of each cell, at most 32 of neighbouring cells (numeric) or of the rarer levels
        (categorical), then of NULL, the last entry; for a categorical column the entry before is
        that of other and unseen levels. Values below and above go with the first and last cell.
        None where there is no numeric target.
    target_n, target_sum, target_sum2 : ndarray or None
        Rows with a known target in each group, the sum of the target and of its square.
    """

    name: str
    kind: str
    dtype: str
    family: str
    n: int = 0
    n_null: int = 0
    counts: IntArray = field(default_factory=lambda: _NO_COUNTS)
    edges: FloatArray = field(default_factory=lambda: _NO_FLOATS)
    n_below: int = 0
    n_above: int = 0
    n_infinite: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    ref_minimum: float = math.inf
    ref_maximum: float = -math.inf
    discrete: bool = False
    centre: float = 0.0
    s1: float = 0.0
    s2: float = 0.0
    clip_low: float = 0.0
    clip_high: float = 0.0
    step: float = 0.0
    clipped_1: int = 0
    clipped_2: int = 0
    levels: tuple[str, ...] = ()
    n_other: int = 0
    n_unseen: int = 0
    capped: bool = False
    n_singletons: int = 0
    unseen: tuple[tuple[str, int], ...] = ()
    target_groups: IntArray | None = None
    target_n: IntArray | None = None
    target_sum: FloatArray | None = None
    target_sum2: FloatArray | None = None

    @property
    def n_valid(self) -> int:
        """Rows that are not NULL."""
        return self.n - self.n_null

    @property
    def mean(self) -> float:
        """Mean of the finite values; nan when there is none or the column is not numeric."""
        n = self.n_valid - self.n_infinite
        if self.kind != "numeric" or not n:
            return math.nan
        return self.centre + self.s1 / n

    @property
    def std(self) -> float:
        """Standard deviation of the finite values (n - 1); nan for fewer than two.

        Sums are taken about the reference's centre: it has d digits less than a float where the
        mean lies 10**(d / 2) deviations from there.
        """
        n = self.n_valid - self.n_infinite
        if self.kind != "numeric" or n < 2:
            return math.nan
        return _std(n, self.s1, self.s2)

    @property
    def clipped_mean(self) -> float:
        """Mean of the values clipped to the reference's .1 % and 99.9 % quantiles.

        Exact to half a `step`; one corrupt value among many hardly moves it.
        """
        if self.kind != "numeric" or not self.n_valid:
            return math.nan
        return self.centre + self.step * (self.clipped_1 / self.n_valid)

    @property
    def clipped_std(self) -> float:
        """Standard deviation of the clipped values (n - 1)."""
        n = self.n_valid
        if self.kind != "numeric" or n < 2:
            return math.nan
        # In whole numbers, so that a constant column has exactly 0.
        spread = n * self.clipped_2 - self.clipped_1**2
        return self.step * math.sqrt(spread / (n * (n - 1)))

    @property
    def fingerprint(self) -> str:
        """A digest of the cells: two columns merge when theirs agree."""
        plan = [self.name, self.kind, self.family, self.discrete, self.capped, self.n_singletons]
        floats = [self.ref_minimum, self.ref_maximum, self.centre, self.clip_low, self.clip_high]
        digest = hashlib.blake2b(repr((plan, self.levels)).encode("utf-8", "surrogatepass"))
        digest.update(np.array([*floats, self.step]).tobytes())
        digest.update(self.edges.tobytes())
        if self.target_groups is not None:
            digest.update(self.target_groups.tobytes())
        return digest.hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ColumnProfile):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def empty(self) -> ColumnProfile:
        """Return the cells without a row."""
        grouped = self.target_groups is not None and self.target_n is not None
        size = self.target_n.size if grouped and self.target_n is not None else 0
        return ColumnProfile(
            self.name,
            self.kind,
            self.dtype,
            self.family,
            counts=np.zeros_like(self.counts),
            edges=self.edges,
            ref_minimum=self.ref_minimum,
            ref_maximum=self.ref_maximum,
            discrete=self.discrete,
            centre=self.centre,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            step=self.step,
            levels=self.levels,
            capped=self.capped,
            n_singletons=self.n_singletons,
            target_groups=self.target_groups,
            target_n=np.zeros(size, dtype=np.int64) if grouped else None,
            target_sum=np.zeros(size) if grouped else None,
            target_sum2=np.zeros(size) if grouped else None,
        )

    @classmethod
    def plan_numeric(
        cls, name: str, kind: str, dtype: str, family: str, ordered: FloatArray, n_bins: int
    ) -> ColumnProfile:
        """Return the cells for the ascending finite values of a reference, without a row."""
        edges, discrete = choose_edges(ordered, n_bins)
        plan = cls(
            name,
            kind,
            dtype,
            family,
            counts=np.zeros(edges.size + 1, dtype=np.int64),
            edges=edges,
            discrete=discrete,
        )
        if not ordered.size:
            return plan
        # Plus 0: no negative zero, which JSON would lose.
        low, high = float(ordered[0]) + 0.0, float(ordered[-1]) + 0.0
        beyond = int(_CLIP * ordered.size)
        clip_low, clip_high = float(ordered[beyond]) + 0.0, float(ordered[-1 - beyond]) + 0.0
        if clip_low == clip_high:  # nearly constant: what varies lies beyond the quantiles
            clip_low, clip_high = low, high
        with np.errstate(over="ignore", invalid="ignore"):
            centre = float(np.clip(ordered, clip_low, clip_high).mean())
        centre = centre if math.isfinite(centre) else float(ordered[ordered.size // 2])
        centre = min(max(centre, clip_low), clip_high) + 0.0
        reach = max(clip_high - centre, centre - clip_low)
        return dataclasses.replace(
            plan,
            ref_minimum=low,
            ref_maximum=high,
            centre=centre,
            clip_low=clip_low,
            clip_high=clip_high,
            step=min(reach, np.finfo(np.float64).max) / LEVELS_OF_STEP,
        )

    @classmethod
    def plan_categorical(
        cls,
        name: str,
        kind: str,
        dtype: str,
        family: str,
        found: dict[str, int],
        max_categories: int,
    ) -> ColumnProfile:
        """Return the levels of a reference whose counts are `found`, without a row."""
        ranked = sorted(found, key=lambda level: (-found[level], level))
        capped = len(ranked) > max_categories
        if capped:
            # A level seen once says nothing of the next window when there are so many.
            ranked = [level for level in ranked[:max_categories] if found[level] > 1]
        return cls(
            name,
            kind,
            dtype,
            family,
            counts=np.zeros(len(ranked), dtype=np.int64),
            levels=tuple(ranked),
            capped=capped,
            n_singletons=sum(count == 1 for count in found.values()),
        )

    def with_distinct(self, distinct: FloatArray | None) -> ColumnProfile:
        """Return cells for these ascending values in place of those of a sample.

        None means that they are too many: then the column is not discrete.
        """
        if distinct is None:
            return dataclasses.replace(self, discrete=False)
        edges, discrete = choose_edges(distinct, distinct.size + 1)
        counts = np.zeros(edges.size + 1, dtype=np.int64)
        return dataclasses.replace(self, edges=edges, discrete=discrete, counts=counts)

    def count_of(self, ordered: FloatArray) -> IntArray:
        """Return how many of the ascending values lie in each cell."""
        below = np.searchsorted(ordered, self.edges, side="left")
        return np.diff(below, prepend=0, append=ordered.size)

    def with_groups(self, counts: IntArray) -> ColumnProfile:
        """Return the cells with groups for the target, from the counts of the reference."""
        if self.kind == "datetime":
            return self
        k = counts.size
        if self.kind == "numeric":
            middle = np.cumsum(counts) - counts / 2
            groups = np.floor(middle * (_GROUPS - 1) / max(1, int(counts.sum()))).astype(np.int64)
            groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
            groups = np.append(groups, groups[-1] + 1)
        else:
            most = _GROUPS - 2
            groups = np.append(np.minimum(np.arange(k), most - 1), [min(k, most), min(k, most) + 1])
        size = int(groups[-1]) + 1
        return dataclasses.replace(
            self,
            target_groups=groups.astype(np.int64),
            target_n=np.zeros(size, dtype=np.int64),
            target_sum=np.zeros(size),
            target_sum2=np.zeros(size),
        )

    def with_levels(self, source: Source, found: dict[str, int], n_null: int) -> ColumnProfile:
        """Return the counts of levels on these cells."""
        counts = np.array([found.get(level, 0) for level in self.levels], dtype=np.int64)
        known = frozenset(self.levels)
        rest = {level: count for level, count in found.items() if level not in known}
        others = sum(rest.values())
        unseen = () if self.capped else tuple(sorted(rest.items())[:_EXAMPLES])
        return dataclasses.replace(
            self.empty(),
            dtype=source.dtype,
            n=len(source),
            n_null=n_null,
            counts=counts,
            n_other=others if self.capped else 0,
            n_unseen=0 if self.capped else others,
            unseen=unseen,
        )

    def with_times(self, source: Source) -> ColumnProfile:
        """Return the NULLs and the range of times."""
        low, high = (math.inf, -math.inf) if source.family == "empty" else source.seconds()
        return dataclasses.replace(
            self.empty(),
            dtype=source.dtype,
            n=len(source),
            n_null=source.n_null(),
            minimum=low,
            maximum=high,
        )

    def cells_of_levels(self, source: Source) -> IntArray:
        """Return the entry of ``target_groups`` for each row of a categorical column."""
        codes, names = source.codes()
        place = {level: i for i, level in enumerate(self.levels)}
        k = len(self.levels)
        cell = np.array([*(place.get(name, k) for name in names), k + 1], dtype=np.int64)
        taken: IntArray = cell[codes]  # -1 takes the last entry, which is that of NULL
        return taken


def merge_columns(a: ColumnProfile, b: ColumnProfile) -> ColumnProfile:
    """Return the counts and sums of both; their cells are the same."""
    unseen = dict(a.unseen)
    for level, count in b.unseen:
        unseen[level] = unseen.get(level, 0) + count
    added = {
        name: getattr(a, name) + getattr(b, name)
        for name in (
            "n",
            "n_null",
            "counts",
            "n_below",
            "n_above",
            "n_infinite",
            "clipped_1",
            "clipped_2",
            "n_other",
            "n_unseen",
        )
    }
    with np.errstate(invalid="ignore", over="ignore"):
        added |= {"s1": a.s1 + b.s1, "s2": a.s2 + b.s2}
        if a.target_n is not None:
            for name in ("target_n", "target_sum", "target_sum2"):
                added[name] = getattr(a, name) + getattr(b, name)
    dtypes = {t for column in (a, b) if column.n for t in column.dtype.split(" | ")}
    return dataclasses.replace(
        a,
        dtype=" | ".join(sorted(dtypes)) or a.dtype,
        minimum=min(a.minimum, b.minimum),
        maximum=max(a.maximum, b.maximum),
        unseen=tuple(sorted(unseen.items())[:_EXAMPLES]),
        **added,
    )


def _std(n: int, s1: float, s2: float) -> float:
    if not math.isfinite(s2):
        return math.inf
    return math.sqrt(max(0.0, (s2 - s1 * (s1 / n)) / (n - 1)))


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
            return False
        left: AnyArray = a
        return np.array_equal(left, b, equal_nan=left.dtype.kind == "f")
    return bool(a == b) or (a != a and b != b)
