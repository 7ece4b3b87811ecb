"""Clean windows of a monitor: how often they page, and the scales that make them page as budgeted.

The scales are in :mod:`mlsd.drift._scales`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._clusters import wilson_interval
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import IntArray
from mlsd._validation import as_generator, check_positive_int
from mlsd.drift._frames import n_rows, take
from mlsd.drift._scales import LEAST_WINDOWS, Scales, Window

__all__ = ["Calibration", "calibrate", "stretches", "window_sizes"]

_RESAMPLES = 100


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
            f"is {float(f'{100 * self.alpha:.2g}'):g}%."
        )


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
        Scales.fit([one for part in parts for one in part], share, size)
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
    if count < LEAST_WINDOWS:
        raise ValueError(
            f"X has {total} rows, {count} windows of n_live={size}; at least {LEAST_WINDOWS} "
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
