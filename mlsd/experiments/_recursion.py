"""The chance that a sequence of z statistics leaves a corridor, by recursive integration.

The statistics of a test that is looked at as its data come have independent increments: with
information t (1 at the planned end) the sum ``sqrt(t) Z_t`` is a Brownian motion with the drift of
the effect. Its density on the corridor is carried from look to look on Gauss-Legendre nodes
(Armitage, McPherson and Rowe 1969, Journal of the Royal Statistical Society A 132(2)). The panels
are never wider than two standard deviations of the step before or after, on which twelve nodes
integrate a normal density to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlsd._types import FloatArray

__all__ = ["Walk", "crossings", "root"]

_NODES = 12
_PANEL = 2.0  # standard deviations
_REACH = 10.0  # beyond it lies 1e-23 of a normal density
_CHUNK = 4_000_000  # values held at once


class Walk:
    """The density of Z at the last look, on the corridor, of those who never left it."""

    def __init__(self, drift: float = 0.0) -> None:
        self.drift = drift
        self.at = 0.0
        self.nodes: FloatArray = np.zeros(1)
        self.mass: FloatArray = np.ones(1)

    def _step(self, t: float) -> tuple[FloatArray, float]:
        """Return the mean of Z at `t` for each node, and its standard deviation."""
        mean = (math.sqrt(self.at) * self.nodes + self.drift * (t - self.at)) / math.sqrt(t)
        return mean, math.sqrt((t - self.at) / t)

    def above(self, t: float, bound: float) -> float:
        """Return the chance to have stayed until now and to be above `bound` at `t`."""
        from scipy.special import ndtr

        mean, spread = self._step(t)
        return float(self.mass @ ndtr((mean - bound) / spread))

    def below(self, t: float, bound: float) -> float:
        """Return the chance to have stayed until now and to be below `bound` at `t`."""
        from scipy.special import ndtr

        mean, spread = self._step(t)
        return float(self.mass @ ndtr((bound - mean) / spread))

    def go(self, t: float, lower: float, upper: float, following: float | None) -> None:
        """Move to `t`, staying between the bounds; `following` is the next t, if there is one."""
        mean, spread = self._step(t)
        scale = spread if following is None else min(spread, math.sqrt(1 - t / following))
        centre = self.drift * math.sqrt(t)
        low, high = max(lower, centre - _REACH), min(upper, centre + _REACH)
        if low >= high:  # the corridor lies where nobody is
            self.at, self.nodes, self.mass = t, np.zeros(0), np.zeros(0)
            return
        nodes, weights = _grid(low, high, _PANEL * scale)
        density = np.empty(nodes.size)
        rows = max(1, _CHUNK // max(1, mean.size))
        for start in range(0, nodes.size, rows):
            off = (nodes[start : start + rows, None] - mean) / spread
            density[start : start + rows] = np.exp(-0.5 * off * off) @ self.mass
        self.at, self.nodes = t, nodes
        self.mass = weights * density / (spread * math.sqrt(2 * math.pi))


def crossings(
    fractions: Sequence[float] | FloatArray,
    lower: Sequence[float] | FloatArray,
    upper: Sequence[float] | FloatArray,
    drift: float = 0.0,
) -> tuple[FloatArray, FloatArray]:
    """Return the chance to leave the corridor for the first time at each look, below and above."""
    walk = Walk(drift)
    under, over = np.empty(len(fractions)), np.empty(len(fractions))
    for look, t in enumerate(fractions):
        under[look] = walk.below(t, lower[look])
        over[look] = walk.above(t, upper[look])
        if look + 1 < len(fractions):
            walk.go(t, lower[look], upper[look], fractions[look + 1])
    return under, over


def root(gap: object, low: float, high: float) -> float:
    """Return where `gap` changes its sign between `low` and `high`."""
    from scipy.optimize import brentq

    return float(brentq(gap, low, high, xtol=1e-12, rtol=1e-14))


def _grid(low: float, high: float, width: float) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of composite Gauss-Legendre panels no wider than `width`."""
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    edges = np.linspace(low, high, math.ceil((high - low) / width) + 1)
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1, None] + edges[1:, None]) / 2
    return (middle + half * points).ravel(), (half * weights).ravel()
