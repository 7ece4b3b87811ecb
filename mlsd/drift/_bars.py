"""Two columns as bars that an eye can compare: few cells, the same ones, NULL apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray, IntArray
from mlsd.drift._words import number

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile
    from mlsd.drift.report import DriftReport

__all__ = ["Bars", "bars_of", "both_columns"]

_MOST_BINS = 24
_MOST_LEVELS = 12
_GROUPS = 20

# A bin that holds more than this hides all that is in it: then another axis, or equal shares.
_CROWDED = 0.5


@dataclass(frozen=True, slots=True)
class Bars:
    """Shares of all rows, bar by bar, in the reference and among live rows.

    Attributes
    ----------
    numeric : bool
        Whether the bars follow an axis; else each has a label of its own.
    labels : tuple of str
        Numeric: what is written at the left and the right end of the axis. Else one a bar.
    ref, live : ndarray
        Share of the rows in each bar.
    edges : ndarray or None
        Where bars begin and end, in units of the column; None if they are cells of the reference.
    axis : str
        What must be known of the axis, in words.
    extra : tuple of (str, float, float)
        What lies beside the bars, such as NULL: its name and both shares.
    rest : int or None
        Which bar stands for many categories; None if each stands for one.
    """

    numeric: bool
    labels: tuple[str, ...]
    ref: FloatArray
    live: FloatArray
    edges: FloatArray | None
    axis: str
    extra: tuple[tuple[str, float, float], ...]
    rest: int | None = None


def both_columns(report: DriftReport, name: str) -> tuple[ColumnProfile, ColumnProfile] | None:
    """Return a column, the target or the prediction of both profiles; None if one lacks it."""
    before, after = report.reference, report.live
    for old, new in ((before.target, after.target), (before.prediction, after.prediction)):
        if old is not None and new is not None and old.name == name:
            return old, new
    if name in before.names and name in after.names:
        return before[name], after[name]
    return None


def bars_of(before: ColumnProfile, after: ColumnProfile) -> Bars:
    """Return both columns as bars; a column of times has nothing but its NULLs."""
    if before.kind == "numeric":
        return _numeric(before, after)
    if before.kind == "categorical":
        return _categorical(before, after)
    none = np.zeros(0)
    nulls = ("NULL", before.n_null / max(before.n, 1), after.n_null / max(after.n, 1))
    return Bars(False, (), none, none, None, "", (nulls,))


def _extra(
    before: ColumnProfile, after: ColumnProfile, counts: dict[str, tuple[int, int]]
) -> tuple[tuple[str, float, float], ...]:
    counts = {"NULL": (before.n_null, after.n_null)} | counts
    return tuple(
        (name, old / max(before.n, 1), new / max(after.n, 1))
        for name, (old, new) in counts.items()
        if old or new
    )


def _shares(column: ColumnProfile, counts: IntArray | FloatArray) -> FloatArray:
    return np.asarray(counts / max(column.n, 1), dtype=np.float64)


def _numeric(before: ColumnProfile, after: ColumnProfile) -> Bars:
    extra = _extra(
        before,
        after,
        {
            "below": (before.n_below, after.n_below),
            "above": (before.n_above, after.n_above),
            "new": (before.n_unseen, after.n_unseen),
        },
    )
    ends = np.concatenate(([before.ref_minimum], before.edges, [before.ref_maximum]))
    cells, total = before.counts.size, int(before.counts.sum())
    labels = number(before.ref_minimum), number(before.ref_maximum)
    if not total or not np.isfinite(ends).all():
        return Bars(True, ("", ""), np.zeros(0), np.zeros(0), None, "no values", extra)
    shares = _shares(before, before.counts), _shares(after, after.counts)
    if before.discrete and cells <= _MOST_BINS:
        axis = f"one bar a value, {cells} values" if cells > 1 else "a single value"
        return Bars(True, labels, *shares, None, axis, extra)
    low, high = before.clip_low, before.clip_high
    axes = {"": np.linspace(low, high, _MOST_BINS + 1)} if low < high else {}
    if 0 < low < high:
        axes["logarithmic axis"] = np.geomspace(low, high, _MOST_BINS + 1)
    for axis, edges in axes.items():
        if not np.isfinite(edges).all():
            continue
        ref, live = (_in_bins(share, ends, edges) for share in shares)
        if ref.max() <= _CROWDED * ref.sum():
            return Bars(True, (number(low), number(high)), ref, live, edges, axis, extra)
    group = _equal_groups(before.counts)
    ref, live = (np.bincount(group, share).astype(np.float64) for share in shares)
    return Bars(True, labels, ref, live, None, "cells of about equal reference share", extra)


def _in_bins(shares: FloatArray, ends: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the shares in bins, those of a cell spread evenly over it.

    What lies beyond the outer bins is counted in them.
    """
    running = np.concatenate(([0.0], np.cumsum(shares)))
    at = np.interp(edges, ends, running)
    at[0], at[-1] = 0.0, running[-1]
    return np.asarray(np.diff(at))


def _equal_groups(counts: IntArray) -> IntArray:
    """Return the group of each cell, of about a twentieth of the counts each, without gaps."""
    middle = np.cumsum(counts) - counts / 2
    group = np.minimum(middle * _GROUPS / max(int(counts.sum()), 1), _GROUPS - 1).astype(np.int64)
    return np.unique(group, return_inverse=True)[1].reshape(-1)


def _categorical(before: ColumnProfile, after: ColumnProfile) -> Bars:
    ref, live = _shares(before, before.counts), _shares(after, after.counts)
    labels, among = [level or "(empty)" for level in before.levels], None
    if len(labels) > _MOST_LEVELS:
        # Those that changed most must be among the bars that are shown.
        moved = np.abs(live - ref) / np.sqrt(live + ref + 1e-12)
        first = np.argsort(-moved, kind="stable")[: _MOST_LEVELS // 2].tolist()
        often = [at for at in range(len(labels)) if at not in set(first)]
        shown = sorted([*first, *often[: _MOST_LEVELS - len(first)]])
        rest = np.setdiff1d(np.arange(len(labels)), shown)
        labels = [labels[at] for at in shown] + [f"{rest.size:,} more"]
        ref = np.append(ref[shown], ref[rest].sum())
        live = np.append(live[shown], live[rest].sum())
        among = len(shown)
    extra = _extra(
        before,
        after,
        {
            "rare": (before.n_other, after.n_other),
            "new": (before.n_unseen, after.n_unseen),
        },
    )
    return Bars(False, tuple(labels), ref, live, None, "", extra, among)
