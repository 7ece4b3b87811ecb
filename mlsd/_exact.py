"""Floor 0: sums of floats without rounding, which no order of the terms can change.

Every finite float64 is a whole multiple of 2**-1074, and so is every sum of them. Such a sum is
kept as a Python integer in that unit: adding is exact, hence associative and commutative, and two
parts merge to the very number the whole would have given.

The vectorised step is the error-free extraction of Rump, Ogita and Oishi (2008), Accurate
floating-point summation I, SIAM Journal on Scientific Computing 31(1): round all terms to a coarse
grid on which their plain sum is exact, and go on with what is left of them.
"""

from __future__ import annotations

import math

import numpy as np

from mlsd._types import FloatArray

__all__ = [
    "LARGEST_FACTOR",
    "UNIT",
    "add_pairs",
    "exact_dot",
    "exact_sum",
    "quotient",
    "round_to_grid",
]


UNIT = 1 << 1074
"""The integer that stands for 1.0."""
LARGEST_FACTOR = 1e150
"""Factors of ``exact_dot`` are at most this large, so that no product overflows."""

_CHUNK_BITS = 15  # 256 KB of float64: a chunk and its copies stay in the cache
_SPLITTER = 134217729.0  # 2**27 + 1, halves a mantissa (Veltkamp, Dekker 1971)


def round_to_grid(values: FloatArray, n: int) -> FloatArray:
    """Return `values` rounded to a grid so coarse that the sum of any `n` of them is exact.

    What is left, ``values - round_to_grid(values, n)``, is exact too, and at least
    ``51 - log2(n)`` bits below the largest value. All values lie below 2**960.
    """
    top = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    bits = math.frexp(top)[1] + max(n - 1, 1).bit_length()
    if bits - 52 <= -1074:
        return values  # the grid of the smallest float: all of them lie on it
    # A float next to 1.5 * 2**bits has the spacing of the grid, so that adding rounds to it.
    shift = math.ldexp(1.5, bits)
    rounded = values + shift
    rounded -= shift
    return rounded


def exact_sum(values: FloatArray) -> int:
    """Return the sum of finite `values` exactly, in units of 2**-1074.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Finite float64.

    Returns
    -------
    int
        The sum times ``UNIT``; ``quotient(total, UNIT)`` is the sum, correctly rounded.

    Examples
    --------
    >>> quotient(exact_sum(np.array([1e16, 1.0, -1e16])), UNIT)
    1.0
    """
    total = 0
    for start in range(0, values.size, 1 << _CHUNK_BITS):
        total += _sum_of_chunk(values[start : start + (1 << _CHUNK_BITS)])
    return total


def _sum_of_chunk(rest: FloatArray) -> int:
    total = 0
    low, high = float(rest.min()), float(rest.max())
    if max(high, -low) >= 2.0**960:
        # The grid would overflow. Scaling such large numbers down by a power of two is exact.
        huge = np.abs(rest) >= 2.0**960
        total = exact_sum(rest[huge] * 2.0**-128) << 128
        rest = rest[~huge]
    step = 0
    while rest.size:
        coarse = round_to_grid(rest, rest.size)
        total += _as_units(float(coarse.sum()))
        rest = rest - coarse
        # Two steps take 72 bits, which is nearly all terms whole; only the others need go on.
        if step:
            rest = rest[rest != 0.0]
        step += 1
    return total


def exact_dot(left: FloatArray, right: FloatArray) -> int:
    """Return the sum of the products exactly, in units of 2**-1074.

    Exact for factors of at most ``LARGEST_FACTOR`` whose products are 0 or above 1e-290; a smaller
    product is off by less than 1e-322.
    """
    total = 0
    for start in range(0, left.size, 1 << _CHUNK_BITS):
        chunk = slice(start, start + (1 << _CHUNK_BITS))
        x, y = left[chunk], right[chunk]
        product = x * y
        x_high, y_high = _high_half(x), _high_half(y)
        x_low, y_low = x - x_high, y - y_high
        error = x_high * y_high - product
        error += x_high * y_low
        error += x_low * y_high
        error += x_low * y_low
        total += _sum_of_chunk(product) + _sum_of_chunk(error)
    return total


def _high_half(values: FloatArray) -> FloatArray:
    scaled = values * _SPLITTER
    result: FloatArray = scaled - (scaled - values)
    return result


def _as_units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator << (1075 - denominator.bit_length())


def quotient(numerator: int, denominator: int) -> float:
    """Return the correctly rounded quotient of two integers; infinite where no float holds it."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if (numerator > 0) == (denominator > 0) else -math.inf


def add_pairs(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the sums of unevaluated pairs, high and low part, shape (n, 2); about 106 bits.

    The sum of a whole table stays an array this way. The relative error of one addition of pairs
    of one sign is below 1e-31 (Joldes, Muller and Popescu 2017, ACM TOMS 44(2), algorithm 6).
    """
    high, error = _two_sum(left[:, 0], right[:, 0])
    low, rest = _two_sum(left[:, 1], right[:, 1])
    high, error = _fast_two_sum(high, error + low)
    high, low = _fast_two_sum(high, error + rest)
    return np.stack([high, low], axis=1)


def _two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rounded sum and its rounding error (Knuth)."""
    total = a + b
    of_b = total - a
    return total, (a - (total - of_b)) + (b - of_b)


def _fast_two_sum(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the same for ``|a| >= |b|`` (Dekker)."""
    total = a + b
    return total, b - (total - a)
