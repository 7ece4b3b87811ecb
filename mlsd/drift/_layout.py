"""Counts of all columns of a profile as padded arrays, so that a test sees one array a kind.

The cells of a numeric column are laid out as ``[below, cells ..., padding, above]``: an empty cell
changes no test. Those of a categorical one are ``[levels ..., padding, other, unseen]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray, IntArray

if TYPE_CHECKING:
    from mlsd.drift.profile import ColumnProfile, Profile

__all__ = ["Layout", "Slot", "cell_values", "slots_of"]

# Cells of the coarse histogram: of equal shares of the reference.
_COARSE = 20

# Values beyond these quantiles of the reference count as the quantile in means and spreads, so that
# a corrupt value neither makes a shift nor hides one.
_CLIP = 0.001


@dataclass(frozen=True, slots=True)
class Slot:
    """A column, or the target or the prediction."""

    role: str  # "feature", "target" or "prediction"
    column: ColumnProfile

    @property
    def name(self) -> str:
        return self.column.name


def slots_of(profile: Profile) -> list[Slot]:
    """Return the columns, then the target and the prediction where there are any."""
    slots = [Slot("feature", column) for column in profile.columns]
    if profile.target is not None:
        slots.append(Slot("target", profile.target))
    if profile.prediction is not None:
        slots.append(Slot("prediction", profile.prediction))
    return slots


@dataclass(frozen=True, slots=True)
class Layout:
    """The reference's columns of one kind.

    Attributes
    ----------
    slots : list of Slot
        One a row of the arrays.
    counts : ndarray of shape (c, k)
    n, n_null : ndarray of shape (c,)
        Rows, and those that are NULL.
    clipped : ndarray of shape (2, c)
        Sum of the clipped values of a numeric column in steps from the centre, and of squares.
    strange : ndarray of shape (2, c)
        Infinite values of a numeric column, and those that lie between the reference's values.
    bounds : ndarray of shape (c, 21)
        Where the coarse cells of a numeric column begin and end.
    scores : ndarray of shape (c, k)
        A value for each cell of a numeric column, in standard deviations from the mean, clipped.
    """

    slots: list[Slot]
    counts: IntArray
    n: IntArray
    n_null: IntArray
    clipped: FloatArray = field(default_factory=lambda: np.zeros((2, 0)))
    strange: IntArray = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    bounds: IntArray = field(default_factory=lambda: np.zeros((0, _COARSE + 1), dtype=np.int64))
    scores: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def known(self) -> IntArray:
        """Return how many values are not NULL."""
        return self.n - self.n_null

    @classmethod
    def numeric(cls, slots: Sequence[Slot]) -> Layout:
        chosen = [slot for slot in slots if slot.column.kind == "numeric"]
        columns = [slot.column for slot in chosen]
        width = max((len(column.counts) for column in columns), default=0) + 2
        counts = _numeric_counts(columns, width)
        bounds = np.zeros((len(columns), _COARSE + 1), dtype=np.int64)
        scores = np.zeros((len(columns), width))
        for row, column in enumerate(columns):
            running = np.cumsum(counts[row])
            bounds[row, 1:-1] = 1 + np.searchsorted(
                running, running[-1] * np.arange(1, _COARSE) / _COARSE
            )
            bounds[row, -1] = width
            scores[row] = _scores(column, width)
        return cls(
            chosen, counts, *_sizes(columns), _clipped(columns), _strange(columns), bounds, scores
        )

    @classmethod
    def categorical(cls, slots: Sequence[Slot]) -> Layout:
        chosen = [slot for slot in slots if slot.column.kind == "categorical"]
        columns = [slot.column for slot in chosen]
        width = max((len(column.counts) for column in columns), default=0) + 2
        return cls(chosen, _categorical_counts(columns, width), *_sizes(columns))

    @classmethod
    def other(cls, slots: Sequence[Slot]) -> Layout:
        """Return the columns of which only the NULLs are compared."""
        chosen = [slot for slot in slots if slot.column.kind not in ("numeric", "categorical")]
        columns = [slot.column for slot in chosen]
        return cls(chosen, np.zeros((len(columns), 0), dtype=np.int64), *_sizes(columns))

    def of_live(self, live: Sequence[ColumnProfile | None]) -> Layout:
        """Return live columns in this layout; a column that is missing has no rows."""
        width = self.counts.shape[1]
        if not width:
            counts = self.counts
        elif self.slots and self.slots[0].column.kind == "numeric":
            counts = _numeric_counts(live, width)
        else:
            counts = _categorical_counts(live, width)
        sums = _clipped(live), _strange(live)
        return Layout(self.slots, counts, *_sizes(live), *sums, self.bounds, self.scores)

    def coarse(self) -> IntArray:
        """Return the counts in at most 20 coarse cells."""
        running = np.zeros((len(self.slots), self.counts.shape[1] + 1), dtype=np.int64)
        np.cumsum(self.counts, axis=1, out=running[:, 1:])
        coarse: IntArray = np.diff(np.take_along_axis(running, self.bounds, axis=1), axis=1)
        return coarse

    def moments(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return mean, standard deviation and kurtosis of the clipped values.

        Mean and deviation are exact, in steps of the reference; the kurtosis is that of the cells.
        """
        n = np.maximum(self.known, 1)
        mean = self.clipped[0] / n
        std = np.sqrt(np.maximum(self.clipped[1] / n - mean**2, 0.0))
        total = np.maximum(self.counts.sum(axis=1), 1)
        centre = np.einsum("ck,ck->c", self.counts, self.scores) / total
        square = (self.scores - centre[:, None]) ** 2
        variance = np.einsum("ck,ck->c", self.counts, square) / total
        fourth = np.einsum("ck,ck,ck->c", self.counts, square, square) / total
        with np.errstate(invalid="ignore", divide="ignore"):
            return mean, std, fourth / variance**2


def _sizes(columns: Sequence[ColumnProfile | None]) -> tuple[IntArray, IntArray]:
    n = np.array([0 if column is None else column.n for column in columns], dtype=np.int64)
    null = np.array([0 if column is None else column.n_null for column in columns], dtype=np.int64)
    return n, null


def _clipped(columns: Sequence[ColumnProfile | None]) -> FloatArray:
    sums = [
        (0, 0) if column is None else (column.clipped_1, column.clipped_2) for column in columns
    ]
    return np.array(sums, dtype=np.float64).reshape(-1, 2).T


def _strange(columns: Sequence[ColumnProfile | None]) -> IntArray:
    found = [
        (0, 0) if column is None else (column.n_infinite, column.n_unseen) for column in columns
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T


def _numeric_counts(columns: Sequence[ColumnProfile | None], width: int) -> IntArray:
    counts = np.zeros((len(columns), width), dtype=np.int64)
    for row, column in enumerate(columns):
        if column is not None:
            counts[row, 0] = column.n_below
            counts[row, 1 : len(column.counts) + 1] = column.counts
            counts[row, -1] = column.n_above
    return counts


def _categorical_counts(columns: Sequence[ColumnProfile | None], width: int) -> IntArray:
    counts = np.zeros((len(columns), width), dtype=np.int64)
    for row, column in enumerate(columns):
        if column is not None:
            counts[row, : len(column.counts)] = column.counts
            counts[row, -2] = column.n_other
            counts[row, -1] = column.n_unseen
    return counts


def cell_values(column: ColumnProfile) -> FloatArray:
    """Return a value for each cell of a numeric column of the reference, clipped at both ends."""
    counts = np.asarray(column.counts)
    total = counts.sum()
    if not len(column.edges) or not total:
        return np.full(len(counts), column.minimum)
    edges = column.edges
    if column.discrete:  # every cell begins at its one value
        values = np.concatenate(([column.ref_minimum], edges))
    else:
        values = np.concatenate(([edges[0]], (edges[1:] + edges[:-1]) / 2, [edges[-1]]))
    running = np.cumsum(counts)
    low = values[np.searchsorted(running, _CLIP * total, side="right")]
    high = values[np.searchsorted(running, (1 - _CLIP) * total)]
    return np.clip(values, low, high)


def _scores(column: ColumnProfile, width: int) -> FloatArray:
    """Return the values of the cells in standard deviations from their mean."""
    scores = np.zeros(width)
    values, counts = cell_values(column), np.asarray(column.counts)
    total = counts.sum()
    if not total:
        return scores
    mean = counts @ values / total
    spread = np.sqrt(counts @ (values - mean) ** 2 / total)
    if spread > 0:
        values = (values - mean) / spread
        scores[1 : len(values) + 1] = values
        scores[0], scores[len(values) + 1 :] = values[0], values[-1]
    return scores
