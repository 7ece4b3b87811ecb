"""How much wider clean windows scatter than independent rows would: laws, p-values, intervals.

Without drift a statistic T is a weighted sum of χ² variables. Rows that depend on each other blow
up the weights, and not all alike: a slow wave moves the mean of a window most. Mean and variance of
T over clean windows give the largest weight and the rest, after Rao and Scott (1984), and the tail
beyond T follows from three moments (Imhof 1961).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.drift._effects import Effect, folded_bound, noncentrality
from mlsd.drift._hypotheses import ANDERSON, CHI2, NORMAL, TAIL, Rows
from mlsd.drift._rules import Finding

__all__ = ["LEAST_WINDOWS", "Law", "Scales", "Window", "independent", "widened"]

LEAST_WINDOWS = 10
_LEVEL = 0.95
_HALF = 1.959963984540054  # standard errors on each side of an effect

# As many windows as this know a scale exactly.
_EXACT = 1e9

# Sum and sum of squares of 1 / (j (j + 1)) over j = 2, 3, ...: Anderson-Darling without its first.
_REST, _REST_SQUARES = 0.5, math.pi**2 / 3 - 3.25


# Which check is that of an effect.
_CHECK_OF = {"V": "histogram", "log sd ratio": "scale"}

# (segment, column, check): the name of a check.
_Name = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Window:
    """What a monitor says of one window: the rows of its checks, and its broken rules."""

    rows: Rows
    findings: Sequence[tuple[str, Finding]]

    def constant(self) -> set[_Name]:
        """Return segment, name and value of the columns that are constant and should not be."""
        return {
            (segment, finding.column, finding.value)
            for segment, finding in self.findings
            if finding.check == "constant" and finding.verdict == "page"
        }


@dataclass(frozen=True, slots=True)
class Law:
    """What statistics follow without drift: arrays, one entry a check.

    ``(T - mean) / unit + dof`` is χ² with `dof`, or F where `unit` is known from so many `windows`.

    Attributes
    ----------
    mean, unit, dof, windows : array
        As said.
    largest, rest : array
        The largest weight of T; of Anderson-Darling also what multiplies the other weights.
    design_effect : array
        The largest weight over that of independent rows, at least 1.
    """

    mean: FloatArray
    unit: FloatArray
    dof: FloatArray
    windows: FloatArray
    largest: FloatArray
    rest: FloatArray
    design_effect: FloatArray

    def where(self, keep: Any) -> Law:
        """Return the laws of a mask or of places."""
        return Law(*(getattr(self, part.name)[keep] for part in fields(self)))

    def p(self, stat: FloatArray) -> FloatArray:
        """Return the chance of as large a statistic."""
        from scipy.special import fdtrc

        shifted = np.maximum((stat - self.mean) / self.unit + self.dof, 0.0)
        return np.asarray(fdtrc(self.dof, self.windows, shifted / self.dof))

    def critical(self, level: FloatArray) -> FloatArray:
        """Return the statistic whose chance is `level`."""
        from scipy.special import fdtri

        shifted = self.dof * fdtri(self.dof, self.windows, 1 - level)
        return np.asarray((shifted - self.dof) * self.unit + self.mean)


@dataclass(frozen=True, slots=True)
class Scales:
    """Mean and variance of every statistic over clean windows, over what independent rows give."""

    names: list[tuple[str, str, str]]
    mean: FloatArray
    variance: FloatArray
    windows: FloatArray
    n_live: int
    """Rows of a window."""
    constant: dict[_Name, int] = field(default_factory=dict)
    """In how many clean windows a column was constant that should not be, by its value."""

    @classmethod
    def fit(cls, judged: Sequence[Window], worth: float, n_live: int) -> Self:
        """Return the scales of windows that are worth `worth` independent ones."""
        windows = [window.rows for window in judged]
        place: dict[tuple[str, str, str], int] = {}
        for rows in windows:
            for name in rows.names():
                place.setdefault(name, len(place))
        ratio = np.full((len(windows), len(place)), np.nan)
        nominal = np.full(len(place), np.nan)
        for at, rows in enumerate(windows):
            columns = [place[name] for name in rows.names()]
            mean, variance = _nominal(rows)
            ratio[at, columns] = _statistic(rows) / mean
            nominal[columns] = np.where(np.isnan(rows.p), nominal[columns], variance / mean**2)
        made = np.count_nonzero(~np.isnan(ratio), axis=0)
        safe = np.maximum(made, 1)
        centre = np.nansum(ratio, axis=0) / safe
        square = np.nansum((ratio - centre) ** 2, axis=0) / np.maximum(made - 1, 1)
        spread = square / nominal
        bursts = _bursts(windows, place)
        centre, spread = np.fmax(centre, bursts), np.fmax(spread, bursts**2)
        enough = made >= min(LEAST_WINDOWS // 2, len(windows))
        return cls(
            list(place),
            np.where(enough, centre, np.nan),
            np.where(enough, spread, np.nan),
            made * (worth / max(len(windows), 1)),
            n_live,
            dict(Counter(name for window in judged for name in sorted(window.constant()))),
        )

    def quieten(self, findings: Sequence[tuple[str, Finding]]) -> list[tuple[str, Finding]]:
        """Return the findings; a constant that clean windows held too is watched, and no page."""
        return [
            (
                segment,
                replace(
                    finding,
                    verdict="watch",
                    sentence=f"{finding.sentence}; so it was in {seen} clean "
                    + ("window" if seen == 1 else "windows"),
                )
                if finding.check == "constant"
                and (seen := self.constant.get((segment, finding.column, finding.value), 0))
                else finding,
            )
            for segment, finding in findings
        ]

    def law(self, rows: Rows, dof: FloatArray | None = None) -> Law:
        """Return the laws of statistics over clean windows; that of independent rows if unknown.

        Parameters
        ----------
        rows : Rows
            The checks.
        dof : array, optional
            Degrees of freedom in place of those of the rows.
        """
        at = self._places(rows.names())
        return _law(rows.law, _dof(rows) if dof is None else dof, *self._ratios(at))

    def _places(self, names: Sequence[_Name]) -> IntArray:
        """Return where names are, and -1 where nothing is known of them."""
        place = {name: at for at, name in enumerate(self.names)}
        at = np.array([place.get(name, -1) for name in names], dtype=np.int64)
        known = at >= 0
        known[known] = ~np.isnan(self.mean[at[known]])
        return np.where(known, at, -1)

    def _ratios(self, at: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return ratios of mean and variance, at least those of rows alike, and the windows."""
        known = at >= 0
        mean, variance = np.ones(len(at)), np.ones(len(at))
        windows = np.full(len(at), _EXACT)
        mean[known] = np.maximum(self.mean[at[known]], 1.0)
        variance[known] = self.variance[at[known]]
        windows[known] = self.windows[at[known]]
        return mean, np.maximum(variance, mean**2), windows

    def apply(self, rows: Rows) -> Rows:
        """Return rows with p-values, effects and intervals as clean windows ask for."""
        at = self._places(rows.names())
        known = (at >= 0) & ~np.isnan(rows.p)
        if not known.any():
            return rows
        some, at = rows.where(known), at[known]
        law = _law(some.law, _dof(some), *self._ratios(at))
        p, effect, lo, hi, bound = (
            values.copy() for values in (rows.p, rows.effect, rows.lo, rows.hi, rows.bound)
        )
        p[known] = np.maximum(law.p(_statistic(some)), some.p)
        effect[known], lo[known], hi[known], bound[known] = self._effects(some, at)
        return replace(rows, p=p, effect=effect, lo=lo, hi=hi, bound=bound)

    def _effects(self, rows: Rows, at: IntArray) -> Effect:
        """Return the effects of rows whose scales are at `at`."""
        # A check of values shows the largest of three effects. Each scatters as its own check does.
        better = self._places(
            [
                (segment, column, _CHECK_OF.get(measure, check))
                if check in ("distribution", "scale")
                else (segment, column, check)
                for (segment, column, check), measure in zip(
                    rows.names(), rows.measure, strict=True
                )
            ]
        )
        changed = (better >= 0) & (better != at)
        shares = rows.measure == "V"
        mean, variance, windows = self._ratios(np.where(changed, better, at))
        # V of a check that is not by cells, where no other is: all weights by one factor.
        variance = np.where(shares & (rows.law != CHI2) & ~changed, mean**2, variance)
        kind = np.where(shares, CHI2, np.where(changed, NORMAL, rows.law))
        dof = np.where(shares, np.maximum(rows.cells, 1.0), _dof(rows))
        law = _law(kind, dof, mean, variance, windows)
        effect = widened(
            Effect(rows.effect, rows.lo, rows.hi, rows.bound),
            law.design_effect,
            rows.measure == "h",
        )
        for values, of_shares in zip(
            effect, _wider_v(rows.where(shares), law.where(shares)), strict=True
        ):
            values[shares] = of_shares
        return effect

    def design_effects(self) -> dict[str, Any]:
        """Return the table of design effects by column."""
        return {
            "segment": [segment for segment, _, _ in self.names],
            "column": [column for _, column, _ in self.names],
            "check": [check for _, _, check in self.names],
            "design_effect": self.mean.tolist(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; what is undefined is None."""
        return {
            "names": [list(name) for name in self.names],
            **{
                key: [None if math.isnan(value) else value for value in values.tolist()]
                for key, values in (
                    ("mean", self.mean),
                    ("variance", self.variance),
                    ("windows", self.windows),
                )
            },
            "n_live": self.n_live,
            "constant": [[*name, count] for name, count in self.constant.items()],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the scales that `to_dict` wrote."""
        names = [(segment, column, check) for segment, column, check in data["names"]]
        mean, variance, windows = (
            np.array([math.nan if value is None else value for value in data[key]], dtype=float)
            for key in ("mean", "variance", "windows")
        )
        constant = {(part, column, check): n for part, column, check, n in data["constant"]}
        return cls(names, mean, variance, windows, int(data["n_live"]), constant)


def _bursts(windows: Sequence[Rows], place: dict[_Name, int]) -> FloatArray:
    """Return how many values beyond the reference come together where any comes; nan elsewhere.

    Most windows have none, so that the mean of the statistic says nothing of bursts: a wave that
    passes the reference's maximum stays there for a while. With few events of its own a column has
    the bursts of all columns.
    """
    events, values, alone = (np.zeros(len(place)) for _ in range(3))
    for rows in windows:
        some = (rows.law == TAIL) & (rows.stat >= 1)
        at = [place[name] for name in rows.where(some).names()]
        events[at] += 1
        values[at] += rows.stat[some]
        alone[at] += 1 - np.maximum(rows.p[some], 1e-300) ** (1 / rows.stat[some])
    check = np.array([name[2] for name in place])
    result = np.full(len(place), np.nan)
    for kind in ("range", "unseen"):
        of_kind = check == kind
        total = events[of_kind].sum()
        if total:
            own = of_kind & (events >= LEAST_WINDOWS)
            result[of_kind] = values[of_kind].sum() * alone[of_kind].sum() / total**2
            result[own] = values[own] * alone[own] / events[own] ** 2
    return result


def _statistic(rows: Rows) -> FloatArray:
    """Return of every row a statistic that is a sum of χ² without drift."""
    from scipy.special import chdtri

    tiny = np.maximum(rows.p, 1e-300)
    # Of a spread the p-value allows for few rows far out, which clean windows show themselves.
    spread = (rows.check == "scale") & (rows.law == NORMAL)
    return np.select(
        [spread, rows.law == NORMAL, rows.law == TAIL],
        [rows.stat**2, chdtri(1.0, tiny), -2 * np.log(tiny)],
        rows.stat,
    )


def _dof(rows: Rows) -> FloatArray:
    # None is left where all values lie in one cell: the statistic is 0, and its p-value 1.
    return np.fmax(rows.dof, 1.0)


def _nominal(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of the statistics for independent rows."""
    return _moments(rows.law, _dof(rows))


def _moments(law: IntArray, dof: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = np.where(law == ANDERSON, 1.0, dof)
    return mean, np.where(law == ANDERSON, 2 * (0.25 + _REST_SQUARES), 2 * dof)


def _law(
    law: IntArray, dof: FloatArray, scale: FloatArray, spread: FloatArray, windows: FloatArray
) -> Law:
    """Return the laws of statistics whose mean and variance are so many times the nominal ones.

    The other weights are taken as equal (χ²) or in the ratios they have without dependence (AD).
    """
    anderson = law == ANDERSON
    centre, nominal = _moments(law, dof)
    mean, variance = scale * centre, spread * nominal
    each = mean / dof
    apart = np.maximum(variance / 2 - dof * each**2, 0.0) / np.maximum(dof * (dof - 1), 1.0)
    extra = np.minimum(np.sqrt(apart), each)
    largest = np.where(dof > 1, each + (dof - 1) * extra, each)
    third = largest**3 + (dof - 1) * (each - extra) ** 3
    second = variance / 2
    squares = _REST**2 + _REST_SQUARES
    root = np.sqrt(np.maximum(mean**2 - 4 * squares * (mean**2 - variance / 2), 0.0))
    rest = np.clip((mean - root) / (2 * squares), 0.0, mean)
    largest = np.where(anderson, mean - _REST * rest, largest)
    # The scale is an estimate: F in place of χ², with as many degrees of freedom as it has.
    # Of Anderson-Darling it is that of a single weight, known as well as there are windows.
    return Law(
        mean=mean,
        unit=np.where(anderson, largest, third / second),
        dof=np.where(anderson, 1.0, second**3 / third**2),
        windows=windows * np.where(anderson, 1.0, 2 * mean**2 / variance),
        largest=largest,
        rest=np.where(anderson, rest, np.nan),
        design_effect=np.maximum(largest / np.where(anderson, 0.5, 1.0), 1.0),
    )


def independent(rows: Rows, dof: FloatArray | None = None) -> Law:
    """Return the laws for independent rows."""
    one = np.ones(len(rows))
    return _law(rows.law, _dof(rows) if dof is None else dof, one, one, one * _EXACT)


def widened(effect: Effect, design_effect: FloatArray, share: BoolArray) -> Effect:
    """Return effects with a standard error as much longer as the root of the design effect.

    `share` says where the effect is Cohen's h, which lies within ±π.
    """
    wider = np.sqrt(design_effect)
    lo = effect.effect - (effect.effect - effect.lo) * wider
    hi = effect.effect + (effect.hi - effect.effect) * wider
    # The side towards zero: Cohen's h has another on each, for its continuity.
    side = np.where(effect.effect > 0, effect.effect - lo, hi - effect.effect)
    bound = np.fmin(folded_bound(effect.effect, side / _HALF, _LEVEL), effect.bound)
    return Effect(
        effect.effect.copy(),
        np.where(share, np.maximum(lo, -math.pi), lo),
        np.where(share, np.minimum(hi, math.pi), hi),
        bound,
    )


def _wider_v(rows: Rows, law: Law) -> Effect:
    """Return Cramér's V less the mean of its distance over clean windows, with its interval.

    Where V was 0 for independent rows, it is so all the more.
    """
    some = rows.effect > 0
    stat = np.where(some, rows.effect**2 / rows.unit + rows.cells, 0.0)
    shifted = np.maximum((stat - law.mean) / law.unit + law.dof, 0.0)
    tail = 0.5 - _LEVEL / 2

    def root(square: FloatArray) -> FloatArray:
        return np.where(some, np.sqrt(np.clip(square * rows.unit, 0, 1)), 0.0)

    lo, hi, bound = (
        root(noncentrality(shifted, law.dof, share) * law.unit)
        for share in (tail, 1 - tail, 1 - _LEVEL)
    )
    widest = np.minimum(rows.hi * np.sqrt(law.design_effect), 1.0)
    return Effect(root(stat - law.mean), lo, np.where(some, hi, widest), np.fmin(bound, rows.bound))
