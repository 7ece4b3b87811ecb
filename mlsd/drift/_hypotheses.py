"""Every check of every column as one row: statistic, p-value, effect, weight. No loop over columns.

A column has a weight of 1, shared by its checks; so have all correlations together, the target and
the prediction. The weights decide how the chance of a false page is spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd.drift._effects import (
    Effect,
    cohen_d,
    cohen_h,
    cramers_v,
    fisher_z_effect,
    log_sd_ratio,
)
from mlsd.drift._layout import Layout, slots_of
from mlsd.drift._tests import (
    anderson_darling,
    beyond_range,
    chi2_homogeneity,
    fisher_z,
    klotz,
    two_proportions,
    unseen,
)

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile, Profile

__all__ = ["CHECKS", "RULES", "Reference", "Rows"]

CHECKS = (
    "distribution",
    "scale",
    "histogram",
    "categories",
    "null",
    "range",
    "unseen",
    "correlation",
    "target",
    "prediction",
)

RULES = ("schema", "constant")

# How the weight of 1 is shared. A discrete column of few values has one test in place of three.
_WEIGHTS = {"distribution": 0.6, "scale": 0.1, "histogram": 0.1, "null": 0.1, "range": 0.1}
_WEIGHT_OF_ONE = 0.8  # the distribution of few values, the categories, the prediction
_WEIGHT_OF_RATE = 0.1

# Fewer occupied cells than this are compared by χ² cell by cell.
_FEW = 8

# With a greater share of live values outside the reference's range their spread is not measured.
_MOST_CLIPPED = 0.05

# Fewer values than this are not compared: the laws of the tests need some.
LEAST = 20

# The law of a statistic without drift, by which `_calibrate` knows how to scale it.
NORMAL, CHI2, ANDERSON, TAIL = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Rows:
    """Arrays of one length, one entry a check.

    `law` and `dof` say what the statistic follows without drift; `reason` is empty where the check
    was made. Where the effect is Cramér's V, its square is a distance less ``cells * unit``, the
    mean of the distance without drift.
    """

    segment: AnyArray
    column: AnyArray
    check: AnyArray
    measure: AnyArray
    reason: AnyArray
    weight: FloatArray
    stat: FloatArray
    p: FloatArray
    effect: FloatArray
    lo: FloatArray
    hi: FloatArray
    bound: FloatArray
    law: IntArray
    dof: FloatArray
    cells: FloatArray
    unit: FloatArray

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts, one after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            )
        )

    def __len__(self) -> int:
        return len(self.p)

    def where(self, keep: BoolArray) -> Rows:
        """Return the rows of a mask."""
        return Rows(*(getattr(self, field.name)[keep] for field in fields(self)))

    def within(self, segment: str, weight: float) -> Rows:
        """Return the rows as those of a segment, with their weights scaled."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["segment"] = _objects([segment] * len(self))
        values["weight"] = self.weight * weight
        return Rows(**values)

    def names(self) -> list[tuple[str, str, str]]:
        """Return (segment, column, check) of every row: its name."""
        return list(zip(self.segment, self.column, self.check, strict=True))


class Reference:
    """A reference profile, prepared once for all comparisons."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.slots = slots_of(profile)
        self.numeric = Layout.numeric(self.slots)
        self.categorical = Layout.categorical(self.slots)
        self.other = Layout.other(self.slots)

    def compare(
        self, live: Profile, checks: Sequence[str], skip: frozenset[tuple[str, str]]
    ) -> Rows:
        """Return the rows of a live profile; `skip` holds (column, check) that a rule replaces."""
        found = {(slot.role, slot.name): slot.column for slot in slots_of(live)}
        with np.errstate(invalid="ignore", divide="ignore"):  # what is undefined gets a reason
            rows = Rows.join(
                [
                    _numeric(self.numeric, _live(self.numeric, found)),
                    _categorical(self.categorical, _live(self.categorical, found)),
                    _null_rates(self.other, _live(self.other, found)),
                    correlations(self.profile, live),
                ]
            )
        keep = np.isin(rows.check.astype(str), list(checks))
        if skip:
            keep &= [name[1:] not in skip for name in rows.names()]
        return rows.where(keep)


def _live(layout: Layout, found: dict[tuple[str, str], ColumnProfile]) -> Layout:
    return layout.of_live([found.get((slot.role, slot.name)) for slot in layout.slots])


def _numeric(ref: Layout, live: Layout) -> Rows:
    few = np.count_nonzero(ref.counts, axis=1) < _FEW
    role = _roles(ref)
    reasons = _too_few(ref, live)
    usable = reasons == ""
    coarse = ref.coarse(), live.coarse()
    d, spread, shape = _shape_effects(ref, live, coarse, few)
    outside = live.counts[:, 0] + live.counts[:, -1]
    # Values outside are clipped to the ends, where they no longer spread at all.
    for values in spread[1]:
        values[outside > _MOST_CLIPPED * live.known] = np.nan

    stat, p, dof = (np.full(len(few), np.nan) for _ in range(3))
    many = usable & ~few
    if many.any():
        stat[many], p[many] = anderson_darling(ref.counts[many], live.counts[many])
    _by_cell(ref, live, usable & few, True, stat, p, dof)
    weight = np.where(few, _WEIGHT_OF_ONE, _WEIGHTS["distribution"])
    weight[role == "prediction"] = _WEIGHT_OF_ONE
    weight[role == "target"] = 1.0
    measure, effect = _largest(d, spread, shape)
    units = _units(ref, live, *coarse, few)
    check = np.where(role == "feature", "distribution", role)
    law = np.where(few, CHI2, ANDERSON)
    parts = [_rows(ref, check, measure, weight, stat, p, effect, law, dof, reasons, *units)]

    # Anderson-Darling sees shifts best; what it sees late, a spread or a bump, has its own test.
    second = (role == "feature") & ~few
    stat, p = np.full(len(few), np.nan), np.full(len(few), np.nan)
    tested = second & usable
    if tested.any():
        stat[tested], p[tested] = klotz(ref.counts[tested], live.counts[tested])
    # Live values without any spread have no log ratio: then the histogram says how much changed.
    name, effect = _where(np.isnan(spread[1].effect), shape, spread)
    rows = _rows(
        ref, "scale", name, _WEIGHTS["scale"], stat, p, effect, NORMAL, 1.0, reasons, *units
    )
    parts.append(rows.where(second))
    stat, p, dof = (np.full(len(few), np.nan) for _ in range(3))
    if tested.any():
        stat[tested], dof[tested], p[tested] = chi2_homogeneity(
            coarse[0][tested], coarse[1][tested], ordered=True
        )
    weight = np.full(len(few), _WEIGHTS["histogram"])
    rows = _rows(ref, "histogram", shape[0], weight, stat, p, shape[1], CHI2, dof, reasons, *units)
    parts.append(rows.where(second))

    with_rates = role != "target"  # labels come late, and their NULLs say nothing
    parts.append(_null_rates(ref, live).where(with_rates))
    reasons = _none(ref, live)
    # Infinite values that the reference has too are no news; new ones lie outside.
    usual = np.where(ref.strange[0] > 0, live.strange[0], 0)
    outside = outside - usual + live.strange[1]
    # The values of a discrete column are like categories: what is new may lie anywhere.
    discrete = np.array([slot.column.discrete for slot in ref.slots], dtype=np.bool_)
    once = np.where(discrete, np.count_nonzero(ref.counts == 1, axis=1), 0)
    p = np.where(
        discrete,
        unseen(outside, live.known, once, ref.known),
        beyond_range(outside, live.known, ref.known),
    )
    h = cohen_h(once, ref.known, outside, live.known)
    rows = _rows(ref, "range", "h", _WEIGHT_OF_RATE, outside, p, h, TAIL, 2.0, reasons)
    parts.append(rows.where(with_rates))
    return Rows.join(parts)


def _categorical(ref: Layout, live: Layout) -> Rows:
    role = _roles(ref)
    reasons = _too_few(ref, live)
    capped = np.array([slot.column.capped for slot in ref.slots], dtype=np.bool_)
    before, after = _fair_cells(ref, live, capped)
    lone = capped & (np.count_nonzero(before.counts + after.counts, axis=1) < 2)
    reasons[lone & (reasons == "")] = (
        "the reference has more categories than are kept by name, and none is frequent enough to "
        "be compared by itself"
    )
    usable = reasons == ""
    stat, p, dof = (np.full(len(role), np.nan) for _ in range(3))
    _by_cell(before, after, usable, False, stat, p, dof)
    measure, effect = _share_effects(before.counts, after.counts)
    weight = np.where(role == "target", 1.0, _WEIGHT_OF_ONE)
    check = np.where(role == "feature", "categories", role)
    units = _units(before, after, before.counts, after.counts)
    parts = [_rows(ref, check, measure, weight, stat, p, effect, CHI2, dof, reasons, *units)]

    with_rates = role != "target"
    parts.append(_null_rates(ref, live).where(with_rates))
    singletons = np.array([slot.column.n_singletons for slot in ref.slots], dtype=np.int64)
    new = live.counts[:, -1]
    p = unseen(new, live.known, singletons, ref.known)
    h = cohen_h(singletons, ref.known, new, live.known)
    reasons = _none(ref, live)
    reasons[capped] = (
        "the reference has more categories than are kept by name: whether one is new is not known"
    )
    rows = _rows(ref, "unseen", "h", _WEIGHT_OF_RATE, new, p, h, TAIL, 2.0, reasons)
    parts.append(rows.where(with_rates))
    return Rows.join(parts)


def _fair_cells(ref: Layout, live: Layout, capped: BoolArray) -> tuple[Layout, Layout]:
    """Return the counts with all categories together that the reference may have met by luck.

    A category has a name because the reference has it (or, of very many, has it often), so that the
    reference's count of a rare one is too high: new data, without any drift, have fewer of it and
    more of those without a name. Categories stay by themselves whose count in both samples together
    leaves no doubt that the reference would have named them.
    """
    total = ref.counts + live.counts
    named = total[:, :-2] > 0
    least = np.where(ref.counts[:, :-2] > 0, ref.counts[:, :-2], np.iinfo(np.int64).max)
    cut = np.where(capped, least.min(axis=1, initial=np.iinfo(np.int64).max), 1).astype(np.float64)
    sure = cut + 4 * np.sqrt(cut) + 4
    share = ref.known / np.maximum(ref.known + live.known, 1)
    rare = named & (total[:, :-2] * share[:, None] < sure[:, None])
    moved = []
    for counts in (ref.counts, live.counts):
        kept = counts.copy()
        kept[:, -2] += np.where(rare, counts[:, :-2], 0).sum(axis=1) + counts[:, -1]
        kept[:, :-2][rare] = 0
        kept[:, -1] = 0
        moved.append(kept)
    return replace(ref, counts=moved[0]), replace(live, counts=moved[1])


def _by_cell(
    ref: Layout,
    live: Layout,
    chosen: BoolArray,
    ordered: bool,
    stat: FloatArray,
    p: FloatArray,
    dof: FloatArray,
) -> None:
    """Fill in χ² of the chosen columns."""
    if chosen.any():
        stat[chosen], dof[chosen], p[chosen] = chi2_homogeneity(
            ref.counts[chosen], live.counts[chosen], ordered=ordered
        )


def _last_cell(ref: IntArray, live: IntArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return count and total of the last occupied cell, in the reference and among live rows."""
    occupied = (ref + live) > 0
    last = occupied.shape[1] - 1 - np.argmax(occupied[:, ::-1], axis=1)
    pick = np.arange(len(last)), last
    return ref[pick], ref.sum(axis=1), live[pick], live.sum(axis=1)


def _null_rates(ref: Layout, live: Layout) -> Rows:
    p = two_proportions(ref.n_null, ref.n, live.n_null, live.n)
    h = cohen_h(ref.n_null, ref.n, live.n_null, live.n)
    reasons = np.where(live.n > 0, "", "the column is missing, retyped or empty").astype(object)
    share = live.n_null / np.maximum(live.n, 1)
    weight = np.where([not ref.counts.shape[1]] * len(ref.slots), 1.0, _WEIGHT_OF_RATE)
    return _rows(ref, "null", "h", weight, share, p, h, NORMAL, 1.0, reasons)


def correlations(ref: Profile, live: Profile) -> Rows:
    """Return one row a pair of numeric columns; all pairs together have a weight of 1."""
    if ref.pairs is None or live.pairs is None:
        return _nothing()
    names = [name for name in ref.pairs.names if name in set(live.pairs.names)]
    first = np.array([list(ref.pairs.names).index(name) for name in names], dtype=np.int64)
    second = np.array([list(live.pairs.names).index(name) for name in names], dtype=np.int64)
    one, two = np.triu_indices(len(names), 1)
    before, after = (first[one], first[two]), (second[one], second[two])
    r_ref, n_ref = ref.pairs.correlation()[before], ref.pairs.n[before]
    r_live, n_live = live.pairs.correlation()[after], live.pairs.n[after]
    v_ref = ref.pairs.variance()[before]
    skewness, kurtosis = (product[before] for product in ref.pairs.tails())
    z, p = fisher_z(r_ref, n_ref, v_ref, r_live, n_live, skewness=skewness, kurtosis=kurtosis)
    effect = fisher_z_effect(r_ref, n_ref, v_ref, r_live, n_live)
    few = np.minimum(n_ref, n_live) < LEAST
    constant = ~few & ~np.isfinite(r_ref + r_live)
    reasons = _objects([""] * len(one))
    reasons[few] = f"fewer than {LEAST} rows have both values"
    gone = np.array([name in live.missing or name in live.retyped for name in names], dtype=bool)
    reasons[gone[one] | gone[two]] = "a column of the pair is missing or retyped"
    reasons[constant] = "a column of the pair is constant: it has no correlation"
    clipped = np.array([_clipped(ref, name) or _clipped(live, name) for name in names], dtype=bool)
    reasons[constant & (clipped[one] | clipped[two])] = (
        "a column of the pair is constant within the reference's limits: it has no correlation"
    )
    label = _objects([f"{names[i]} ~ {names[j]}" for i, j in zip(one, two, strict=True)])
    total = len(ref.pairs.names) * (len(ref.pairs.names) - 1) / 2
    return _assemble(
        label, "correlation", "z", 1 / max(total, 1.0), z, p, effect, NORMAL, 1.0, reasons
    )


def _clipped(profile: Profile, name: str) -> bool:
    """Whether a column's values differ, and no more so once they are clipped."""
    if name not in profile:
        return False
    column = profile[name]
    low, high = (
        min(max(end, column.clip_low), column.clip_high) for end in (column.minimum, column.maximum)
    )
    return low == high and column.minimum < column.maximum


def _shape_effects(
    ref: Layout, live: Layout, coarse: tuple[IntArray, IntArray], few: BoolArray
) -> tuple[tuple[AnyArray, Effect], tuple[AnyArray, Effect], tuple[AnyArray, Effect]]:
    """Return Cohen's d and the ratio of deviations of clipped values, and V of the histogram."""
    (mean0, std0, kurtosis0), (mean1, std1, kurtosis1) = ref.moments(), live.moments()
    size = len(mean0)
    d = cohen_d(mean0, std0, ref.known, mean1, std1, live.known)
    spread = log_sd_ratio(
        std0, ref.known, std1, live.known, kurtosis_ref=kurtosis0, kurtosis_live=kurtosis1
    )
    measure, shape = _share_effects(*coarse)
    if few.any():  # every cell is a value: none is joined with its neighbour
        exact_measure, exact = _share_effects(ref.counts[few], live.counts[few])
        measure[few] = exact_measure
        for values, exact_values in zip(shape, exact, strict=True):
            values[few] = exact_values
    return (
        (_objects(["d"] * size), d),
        (_objects(["log sd ratio"] * size), spread),
        (measure, shape),
    )


def _share_effects(ref: IntArray, live: IntArray) -> tuple[AnyArray, Effect]:
    """Return Cramér's V, or Cohen's h where there are but two cells."""
    two = np.count_nonzero(ref + live, axis=1) == 2
    effect = Effect(*(np.array(value) for value in cramers_v(ref, live)))
    if two.any():
        h = cohen_h(*_last_cell(ref[two], live[two]))
        for values, h_values in zip(effect, h, strict=True):
            values[two] = h_values
    return np.where(two, "h", "V").astype(object), effect


def _units(
    ref: Layout,
    live: Layout,
    before: IntArray,
    after: IntArray,
    exact: BoolArray | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return cells and unit of Cramér's V, see `Rows`; `exact` are compared value by value."""
    cells = np.count_nonzero(before + after, axis=1) - 1.0
    if exact is not None:
        cells[exact] = np.count_nonzero((ref.counts + live.counts)[exact], axis=1) - 1.0
    return cells, (1 / ref.known + 1 / live.known) / 4


def _largest(*effects: tuple[AnyArray, Effect]) -> tuple[AnyArray, Effect]:
    """Return, column by column, the effect that is the surest to be large."""
    bound = np.stack([effect.bound for _, effect in effects])
    best = np.argmax(np.where(np.isnan(bound), -1.0, bound), axis=0)[None]
    measure = np.take_along_axis(np.stack([name for name, _ in effects]), best, axis=0)[0]
    chosen = Effect(
        *(
            np.take_along_axis(np.stack([effect[part] for _, effect in effects]), best, axis=0)[0]
            for part in range(4)
        )
    )
    return measure, chosen


def _where(
    condition: BoolArray, one: tuple[AnyArray, Effect], other: tuple[AnyArray, Effect]
) -> tuple[AnyArray, Effect]:
    """Return one effect where the condition holds, and the other elsewhere."""
    parts = (np.where(condition, *both) for both in zip(one[1], other[1], strict=True))
    return np.where(condition, one[0], other[0]), Effect(*parts)


def _roles(layout: Layout) -> AnyArray:
    return _objects([slot.role for slot in layout.slots])


def _too_few(ref: Layout, live: Layout) -> AnyArray:
    """Return why the values of a column cannot be compared, or nothing."""
    reasons = _none(ref, live)
    for known, whose in ((live.known, "live"), (ref.known, "reference")):
        few = (reasons == "") & (known < LEAST)
        reasons[few] = [f"{n} {whose} values are too few: {LEAST} are needed" for n in known[few]]
    return reasons


def _none(ref: Layout, live: Layout) -> AnyArray:
    reasons = _objects([""] * len(ref.slots))
    reasons[ref.known == 0] = "all values of the reference are NULL"
    reasons[live.known == 0] = "all live values are NULL"
    for row in np.flatnonzero(live.n == 0):
        late = ref.slots[row].role != "feature"
        reasons[row] = (
            f"the live rows come without a {ref.slots[row].role}"
            if late
            else "the column is missing, retyped or empty"
        )
    return reasons


def _rows(layout: Layout, *columns: Any) -> Rows:
    return _assemble(_objects([slot.name for slot in layout.slots]), *columns)


def _assemble(
    column: AnyArray,
    check: Any,
    measure: Any,
    weight: Any,
    stat: AnyArray,
    p: FloatArray,
    effect: Effect,
    law: Any,
    dof: Any,
    reasons: AnyArray,
    cells: Any = np.nan,
    unit: Any = np.nan,
) -> Rows:
    """Return rows of what is given for all or for each; what has a reason has no numbers."""
    size = len(column)
    made = (reasons == "") & ~np.isnan(p)
    reasons = np.where((reasons == "") & np.isnan(p), "both hold a single value", reasons)

    def numbers(values: Any) -> FloatArray:
        spread = np.broadcast_to(np.asarray(values, dtype=np.float64), (size,))
        return np.where(made, spread, np.nan)

    return Rows(
        segment=_objects([""] * size),
        column=column,
        check=_objects(np.broadcast_to(np.asarray(check, dtype=object), (size,))),
        measure=_objects(np.broadcast_to(np.asarray(measure, dtype=object), (size,))),
        reason=reasons.astype(object),
        weight=np.broadcast_to(np.asarray(weight, dtype=np.float64), (size,)).copy(),
        stat=numbers(stat),
        p=numbers(p),
        effect=numbers(effect.effect),
        lo=numbers(effect.lo),
        hi=numbers(effect.hi),
        bound=numbers(effect.bound),
        law=np.broadcast_to(np.asarray(law, dtype=np.int64), (size,)).copy(),
        dof=numbers(dof),
        cells=numbers(cells),
        unit=numbers(unit),
    )


def _nothing() -> Rows:
    none = np.zeros(0)
    return _assemble(
        _objects([]), "", "", 0.0, none, none, Effect(none, none, none, none), 0, 0.0, _objects([])
    )


def _objects(values: Any) -> AnyArray:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result
