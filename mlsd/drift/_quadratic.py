"""Tail of a weighted sum of independent χ² variables, by inversion on a bent contour."""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray

__all__ = ["log_quadratic_tail"]

# Of v, with u = sinh v: the integrand decays like exp(-u²/2) for large x, but slowly for small.
_STEP = 0.12
_NODES = 56


def log_quadratic_tail(x: FloatArray, largest: FloatArray, square: FloatArray) -> FloatArray:
    """Return ln P(Q >= x), where Q is a weighted sum of χ²₁ variables whose weights sum to 1.

    Parameters
    ----------
    x : ndarray of shape (c,)
        Where to look, above 0.
    largest, square : ndarray of shape (c,)
        The largest weight, and the sum of all squared weights. All but the largest are taken
        together as one scaled χ² with the right mean and variance.

    Notes
    -----
    The inversion integral of ``exp(K(s) - s x) / s`` runs along a parabola around the first branch
    point 1 / (2 largest), with its vertex by the saddlepoint, where the integrand decays fast and
    without a turn: the trapezoidal sum has nine digits of the tail itself, however small.
    """
    branch = 1 / (2 * largest)
    bend = np.minimum(1 / (2 * x), branch / 4)[:, None]
    v = _STEP * np.arange(_NODES)
    u = np.sinh(v)
    s = branch[:, None] - bend * (1 - u**2 - 2j * u)
    rest = np.maximum(1 - largest, 0.0)
    rest_square = np.maximum(square - largest**2, 0.0)
    alone = (rest < 1e-9) | (rest_square < 1e-18)
    scale = np.where(alone, 0.0, rest_square / np.where(alone, 1.0, rest))
    dof = np.where(alone, 0.0, rest**2 / np.where(alone, 1.0, rest_square))
    log_transform = -0.5 * np.log(1 - 2 * largest[:, None] * s) - 0.5 * dof[:, None] * np.log(
        1 - 2 * scale[:, None] * s
    )
    # The size of the integrand at the vertex is taken out, so that no tail underflows.
    vertex = (s[:, :1] * x[:, None]).real
    path = 2 * bend * (u + 1j) * np.cosh(v)
    values = np.exp(log_transform - s * x[:, None] + vertex) / s * path
    values[:, 0] /= 2
    scaled = values.imag.sum(axis=1) * _STEP / np.pi
    return np.asarray(np.minimum(np.log(np.maximum(scaled, 1e-300)) - vertex[:, 0], 0.0))
