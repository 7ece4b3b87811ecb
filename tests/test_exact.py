"""Sums without rounding, held to exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._exact import UNIT, add_pairs, exact_dot, exact_sum, quotient, round_to_grid

finite = st.floats(allow_nan=False, allow_infinity=False)
# Products of these neither overflow nor lose bits below 2**-1074.
moderate = st.one_of(
    st.just(0.0),
    st.floats(1e-140, 1e150),
    st.floats(-1e150, -1e-140),
    st.integers(-(10**6), 10**6).map(float),
)


def fraction_sum(values):
    return sum(map(Fraction, values), Fraction(0))


@given(st.lists(finite, max_size=40))
def test_a_sum_is_the_exact_sum(values):
    assert Fraction(exact_sum(np.array(values, dtype=np.float64)), UNIT) == fraction_sum(values)


@given(st.lists(st.tuples(moderate, moderate), max_size=40))
def test_a_dot_product_is_the_exact_one(pairs):
    left, right = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    expected = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
    assert Fraction(exact_dot(left.copy(), right.copy()), UNIT) == expected


def test_a_dot_product_that_underflows_is_off_by_less_than_it_says():
    x = np.array([1e-170, 3e-165, -7e-161])
    error = Fraction(exact_dot(x, x), UNIT) - sum(Fraction(v) ** 2 for v in x.tolist())
    assert abs(error) < x.size * Fraction(1, 10**322)


@pytest.mark.parametrize("n", [1, 1 << 15, (1 << 15) + 1, 100_003])
def test_chunks_add_up(n):
    rng = np.random.default_rng(n)
    values = np.ldexp(rng.standard_normal(n), rng.integers(-900, 900, n))
    total = exact_sum(values)
    assert quotient(total, UNIT) == math.fsum(values)
    assert exact_sum(rng.permutation(values)) == total
    assert exact_sum(values[: n // 3]) + exact_sum(values[n // 3 :]) == total


def test_many_equal_values_fill_the_grid_to_the_brim():
    # The largest mantissa, as often as a chunk has places: the coarse sum needs all 53 bits.
    values = np.full(1 << 15, np.nextafter(2.0, 0.0))
    assert exact_sum(values) == (1 << 15) * exact_sum(values[:1])
    assert Fraction(exact_sum(values[:1]), UNIT) == Fraction(values[0])


@given(st.lists(st.floats(-1e200, 1e200), min_size=1, max_size=30))
def test_what_the_grid_leaves_is_exact_and_small(values):
    array = np.array(values)
    coarse = round_to_grid(array, array.size)
    left = array - coarse
    assert [Fraction(a) - Fraction(b) for a, b in zip(array, coarse, strict=True)] == [
        Fraction(value) for value in left
    ]
    assert Fraction(float(coarse.sum())) == fraction_sum(coarse.tolist())
    top = max(map(abs, values))
    assert abs(left).max() <= max(top * 2.0 ** -(51 - math.ceil(math.log2(array.size))), 5e-324)


@given(st.integers(-(1 << 3000), 1 << 3000), st.integers(1, 1 << 1500))
def test_a_quotient_is_correctly_rounded_or_infinite(numerator, denominator):
    try:
        expected = float(Fraction(numerator, denominator))
    except OverflowError:
        expected = math.inf if numerator > 0 else -math.inf
    assert quotient(numerator, denominator) == expected


positive = st.floats(1e-100, 1e100)


@given(st.lists(positive, min_size=1, max_size=30))
def test_pairs_keep_a_hundred_bits(values):
    total = np.zeros((1, 2))
    for value in values:
        total = add_pairs(total, np.array([[value, 0.0]]))
    exact = fraction_sum(values)
    error = abs(fraction_sum(total[0].tolist()) - exact) / exact
    assert error < len(values) * Fraction(1, 10**31)
    assert total[0, 0] + total[0, 1] == total[0, 0]
