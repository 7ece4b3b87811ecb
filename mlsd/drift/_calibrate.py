"""How much wider clean windows scatter than independent rows would, and what to do about it.

Without drift a statistic T is a weighted sum of χ² variables. Rows that depend on each other blow
up the weights, and not all alike: a slow wave moves the mean of a window most. Mean and variance of
T over clean windows give the largest weight and the rest, after Rao and Scott (1984), and the tail
beyond T follows from three moments (Imhof 1961).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from mlsd._clusters import wilson_interval
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import FloatArray, IntArray
from mlsd._validation import as_generator, check_positive_int
from mlsd.drift._frames import n_rows, take
from mlsd.drift._hypotheses import ANDERSON, NORMAL, TAIL, Rows
from mlsd.drift._rules import Finding

__all__ = ["Calibration", "Scales", "Window", "calibrate", "stretches", "window_sizes"]

_LEAST_WINDOWS = 10
_RESAMPLES = 100

# Sum and sum of squares of 1 / (j (j + 1)) over j = 2, 3, ...: Anderson-Darling without its first.
_REST, _REST_SQUARES = 0.5, math.pi**2 / 3 - 3.25


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
class Calibration(Result):
    """What clean windows say of a monitor.

    Attributes
    ----------
    page_rate, page_rate_lower, page_rate_upper : float
        Share of clean windows that page with the factors, 95 % interval of Wilson; each window is
        judged with factors fitted on the other half of the time.
    page_rate_before, page_rate_before_lower, page_rate_before_upper : float
        The same without any factors.
    alpha : float
        The share that the budget allows.
    n_windows : int
        Consecutive windows that were judged.
    n_live : int
        Rows a window.
    block : int or None
        Length of the blocks of the bootstrap.
    design_effects : dict of arrays
        segment, column, check and design_effect: the mean of the statistic over that of independent
        rows; 1 or less says that rows are as good as independent.
    constant : dict of str to int
        Columns that are constant in clean windows although they vary in the reference, as
        ``"column = value"``, and in how many windows; from now on the same constant is watched and
        does not page. Another value still does.
    """

    page_rate: float
    page_rate_lower: float
    page_rate_upper: float
    page_rate_before: float
    page_rate_before_lower: float
    page_rate_before_upper: float
    alpha: float
    n_windows: int
    n_live: int
    block: int | None
    design_effects: dict[str, Any] = field(repr=False, compare=False)
    constant: dict[str, int] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a check: segment, column, check, design_effect; the largest first."""
        frame = pd.DataFrame(self.design_effects)
        return frame.sort_values("design_effect", ascending=False, ignore_index=True)

    def __str__(self) -> str:
        """Return the rates in a sentence."""
        return self._note()

    def _note(self) -> str:
        interval = f"{self.page_rate_lower:.1%} to {self.page_rate_upper:.1%}"
        return (
            f"Pages on clean windows of {self.n_live:,} rows: {self.page_rate_before:.1%} before, "
            f"{self.page_rate:.1%} after ({interval}), over {self.n_windows} windows; the budget "
            f"is {self.alpha:.1%}."
        )


@dataclass(frozen=True, slots=True)
class Scales:
    """Mean and variance of every statistic over clean windows, over what independent rows give."""

    names: list[tuple[str, str, str]]
    mean: FloatArray
    variance: FloatArray
    windows: FloatArray
    constant: dict[_Name, int] = field(default_factory=dict)
    """In how many clean windows a column was constant that should not be, by its value."""

    @classmethod
    def fit(cls, judged: Sequence[Window], worth: float) -> Self:
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
        enough = made >= min(_LEAST_WINDOWS // 2, len(windows))
        return cls(
            list(place),
            np.where(enough, centre, np.nan),
            np.where(enough, spread, np.nan),
            made * (worth / max(len(windows), 1)),
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

    def apply(self, rows: Rows) -> Rows:
        """Return rows with p-values and intervals as wide as clean windows ask for."""
        from scipy.special import fdtrc

        place = {name: at for at, name in enumerate(self.names)}
        at = np.array([place.get(name, -1) for name in rows.names()], dtype=np.int64)
        known = (at >= 0) & ~np.isnan(rows.p)
        known[known] = ~np.isnan(self.mean[at[known]])
        if not known.any():
            return rows
        some, at = rows.where(known), at[known]
        centre, spread = _nominal(some)
        scale = np.maximum(self.mean[at], 1.0)
        mean = scale * centre
        variance = np.maximum(self.variance[at], scale**2) * spread
        largest, third = _weights(some, mean, variance)
        statistic = _statistic(some)
        second = variance / 2
        dof = np.where(some.law == ANDERSON, 1.0, second**3 / third**2)
        unit = np.where(some.law == ANDERSON, largest, third / second)
        shifted = np.maximum((statistic - mean) / unit + dof, 0.0)
        # The scale is an estimate: F in place of χ², with as many degrees of freedom as it has.
        # Of Anderson-Darling it is that of a single weight, known as well as there are windows.
        windows = self.windows[at] * np.where(some.law == ANDERSON, 1.0, 2 * mean**2 / variance)
        p = rows.p.copy()
        p[known] = np.maximum(fdtrc(dof, windows, shifted / dof), some.p)
        wider = np.sqrt(np.maximum(largest / _largest_nominal(some), 1.0))
        lo, hi, bound = rows.lo.copy(), rows.hi.copy(), rows.bound.copy()
        size = np.abs(some.effect)
        lo[known] = some.effect - (some.effect - some.lo) * wider
        hi[known] = some.effect + (some.hi - some.effect) * wider
        bound[known] = np.maximum(size - (size - some.bound) * wider, 0.0)
        return replace(rows, p=p, lo=lo, hi=hi, bound=bound)

    def design_effects(self) -> dict[str, Any]:
        """Return the table of design effects by column."""
        return {
            "segment": [segment for segment, _, _ in self.names],
            "column": [column for _, column, _ in self.names],
            "check": [check for _, _, check in self.names],
            "design_effect": self.mean.tolist(),
        }

    def widening(self, names: Sequence[tuple[str, str, str]]) -> FloatArray:
        """Return the root of the design effect of checks, at least 1: errors are so much longer."""
        place = {name: at for at, name in enumerate(self.names)}
        factors = [self.mean[place[name]] if name in place else 1.0 for name in names]
        return np.sqrt(np.fmax(np.array(factors, dtype=np.float64), 1.0))

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
        return cls(names, mean, variance, windows, constant)


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
            own = of_kind & (events >= _LEAST_WINDOWS)
            result[of_kind] = values[of_kind].sum() * alone[of_kind].sum() / total**2
            result[own] = values[own] * alone[own] / events[own] ** 2
    return result


def _statistic(rows: Rows) -> FloatArray:
    """Return of every row a statistic that is a sum of χ² without drift."""
    from scipy.special import chdtri

    tiny = np.maximum(rows.p, 1e-300)
    return np.select(
        [rows.law == NORMAL, rows.law == TAIL],
        [chdtri(1.0, tiny), -2 * np.log(tiny)],
        rows.stat,
    )


def _nominal(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of the statistics for independent rows."""
    dof = np.where(np.isnan(rows.dof), 1.0, rows.dof)
    mean = np.where(rows.law == ANDERSON, 1.0, dof)
    return mean, np.where(rows.law == ANDERSON, 2 * (0.25 + _REST_SQUARES), 2 * dof)


def _largest_nominal(rows: Rows) -> FloatArray:
    return np.where(rows.law == ANDERSON, 0.5, 1.0)


def _weights(rows: Rows, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the largest weight, and the sum of cubes of all weights.

    The other weights are taken as equal (χ²) or in the ratios they have without dependence (AD).
    """
    dof = np.where(np.isnan(rows.dof), 1.0, rows.dof)
    each = mean / dof
    apart = np.maximum(variance / 2 - dof * each**2, 0.0) / np.maximum(dof * (dof - 1), 1.0)
    extra = np.minimum(np.sqrt(apart), each)
    largest = np.where(dof > 1, each + (dof - 1) * extra, each)
    cubes = largest**3 + (dof - 1) * (each - extra) ** 3
    squares = _REST**2 + _REST_SQUARES
    root = np.sqrt(np.maximum(mean**2 - 4 * squares * (mean**2 - variance / 2), 0.0))
    rest = np.clip((mean - root) / (2 * squares), 0.0, mean)
    anderson = rows.law == ANDERSON
    return np.where(anderson, mean - _REST * rest, largest), np.where(anderson, 1.0, cubes)


def calibrate(
    X: Any,
    y: Any,
    prediction: Any,
    *,
    judges: Sequence[Callable[[Any, Any, Any], Window]],
    pages: Callable[[Window], bool],
    alpha: float,
    block: int | None,
    n_live: int | None,
    min_rows: int,
    random_state: Any,
) -> tuple[Calibration, Scales]:
    """Return what windows of clean rows say, and the scales fitted on all of them.

    The windows are cut into as many stretches of time as there are `judges`, an even number; each
    compares the windows of its own stretch.
    """
    size, count = window_sizes(n_rows(X, "X"), n_live, min_rows)
    if block is not None:
        block = check_positive_int(block, "block")
        if block > size:
            raise ValueError(f"block must be at most n_live={size}; got {block}")
    starts = stretches(count, len(judges))

    def window(judge: Callable[[Any, Any, Any], Window], rows: Any) -> Window:
        return judge(take(X, rows), take(y, rows), take(prediction, rows))

    windows = [
        [window(judge, slice(at * size, (at + 1) * size)) for at in range(start, stop)]
        for judge, start, stop in zip(judges, starts[:-1], starts[1:], strict=True)
    ]
    if block is None:
        clean, worth = windows, float(count)
    else:
        rng = as_generator(random_state)
        clean = [
            [
                window(judge, _blocks(start * size, stop * size, block, size, rng))
                for _ in range(2 * _RESAMPLES // len(judges))
            ]
            for judge, start, stop in zip(judges, starts[:-1], starts[1:], strict=True)
        ]
        worth = count * size / block
    half = len(judges) // 2
    final, first, second = (
        Scales.fit([one for part in parts for one in part], share)
        for parts, share in ((clean, worth), (clean[:half], worth / 2), (clean[half:], worth / 2))
    )
    before = [pages(one) for part in windows for one in part]
    after = [
        pages(Window(scales.apply(one.rows), scales.quieten(one.findings)))
        for scales, parts in ((second, windows[:half]), (first, windows[half:]))
        for part in parts
        for one in part
    ]
    names = Counter(name for part in windows for one in part for name in one.constant())
    calibration = Calibration(
        *_rate(after),
        *_rate(before),
        alpha=alpha,
        n_windows=count,
        n_live=size,
        block=block,
        design_effects=final.design_effects(),
        constant={
            f"[{segment}] {column} = {value}" if segment else f"{column} = {value}": seen
            for (segment, column, value), seen in sorted(names.items())
        },
    )
    return calibration, final


def window_sizes(total: int, n_live: int | None, min_rows: int) -> tuple[int, int]:
    """Return the rows of a window, and how many windows there are."""
    size = max(total // 40, min_rows) if n_live is None else check_positive_int(n_live, "n_live")
    if size < min_rows:
        raise ValueError(f"n_live must be at least min_rows={min_rows}; got {n_live!r}")
    count = total // size
    if count < _LEAST_WINDOWS:
        raise ValueError(
            f"X has {total} rows, {count} windows of n_live={size}; at least {_LEAST_WINDOWS} "
            "windows are needed"
        )
    return size, count


def stretches(count: int, parts: int) -> list[int]:
    """Return with which window each stretch of time begins, and with which the last one ends."""
    return [count * part // parts for part in range(parts + 1)]


def _blocks(start: int, stop: int, block: int, size: int, rng: np.random.Generator) -> IntArray:
    """Return which rows a window takes that is put together from blocks of consecutive rows."""
    first = rng.integers(start, stop - block + 1, size=-(-size // block))
    chosen: IntArray = (first[:, None] + np.arange(block)).ravel()[:size]
    return chosen


def _rate(paged: Sequence[bool]) -> tuple[float, float, float]:
    share = sum(paged) / len(paged)
    lower, upper = wilson_interval(share, len(paged), 1.959963984540054)
    return share, float(lower), float(upper)
