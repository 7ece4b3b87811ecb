from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.experiments.moments import Moments, RatioMoments

numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30)


def matrix(rows):
    return np.cov(np.asarray(rows, dtype=float), rowvar=False, ddof=1)


@given(pairs)
def test_against_numpy(rows):
    y, x = (np.array(column) for column in zip(*rows, strict=True))
    found = Moments.of(y, x)
    assert found.n == len(rows)
    assert (found.mean, found.covariate_mean) == pytest.approx((y.mean(), x.mean()), abs=1e-9)
    expected = matrix(rows)
    got = [[found.var, found.covariance], [found.covariance, found.covariate_var]]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * (1 + np.abs(rows).max() ** 2))


@given(pairs, st.randoms())
def test_the_order_of_units_is_not_seen(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert Moments.of(*zip(*rows, strict=True)) == Moments.of(*zip(*shuffled, strict=True))


@given(st.lists(pairs, min_size=1, max_size=5))
def test_parts_add_up_to_the_whole(parts):
    whole = [row for part in parts for row in part]
    added = sum(Moments.of(*zip(*part, strict=True)) for part in parts)
    direct = Moments.of(*zip(*whole, strict=True))
    scale = 1e-12 * (1 + np.abs(whole).max() ** 2)
    for name, value in direct.to_dict().items():
        assert getattr(added, name) == pytest.approx(value, rel=1e-12, abs=scale)
    ratios = sum(RatioMoments.of(*zip(*part, strict=True)) for part in parts)
    straight = RatioMoments.of(*zip(*whole, strict=True))
    np.testing.assert_allclose(ratios.cov, straight.cov, rtol=1e-12, atol=scale)


def test_a_large_mean_costs_no_digits():
    spread = np.array([0.0, 1.0, 2.0, 3.0])
    assert Moments.of(spread + 1e15).var == Moments.of(spread).var
    merged = Moments.of(spread[:2] + 1e15) + Moments.of(spread[2:] + 1e15)
    assert merged.var == pytest.approx(Moments.of(spread).var, rel=1e-12)


def test_equal_values_have_no_variance():
    assert Moments.of([0.1] * 7).var == 0.0
    assert (Moments.of([0.1] * 7) + Moments.of([0.1] * 4)).var == 0.0


def test_few_units():
    nothing, one = Moments.of([]), Moments.of([2.0])
    assert (nothing.n, one.n) == (0, 1)
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.var)
    assert one.mean == 2.0
    assert math.isnan(one.var)
    assert (one + nothing).mean == 2.0
    assert one + Moments.of([4.0, 9.0]) == Moments.of([2.0, 4.0, 9.0])
    assert one + one == Moments.of([2.0, 2.0])
    assert nothing + Moments.of([4.0, 9.0]) == Moments.of([4.0, 9.0])


def test_ratio_moments_by_hand():
    found = RatioMoments.of([1, 0, 2], [2, 1, 3], covariate=[5, 5, 8])
    assert found.mean == (1.0, 2.0, 6.0)
    assert found.cov == ((1.0, 1.0, 1.5), (1.0, 1.0, 1.5), (1.5, 1.5, 3.0))
    assert len(RatioMoments.of([1, 0], [2, 1], covariate=([1, 2], [3, 4])).mean) == 4
    assert len(RatioMoments.of([1, 0], [2, 1], covariate=(1, 2)).mean) == 3  # two units


def test_from_a_warehouse():
    values, before = np.array([3.0, 1.0, 4.0, 1.0]), np.array([2.0, 7.0, 1.0, 8.0])
    cov = np.cov(values, before)
    given_numbers = Moments(
        np.int64(4),
        np.float64(values.mean()),
        cov[0, 0],
        before.mean(),
        cov[1, 1],
        covariance=cov[0, 1],
    )
    direct = Moments.of(values, before)
    assert type(given_numbers.n) is int
    assert type(given_numbers.mean) is float
    assert given_numbers.to_dict() == pytest.approx(direct.to_dict())
    again = RatioMoments(4, [values.mean(), before.mean()], cov)
    assert isinstance(again.cov[0], tuple)
    np.testing.assert_allclose(again.cov, RatioMoments.of(values, before).cov)


def test_merging_leaves_the_parts_alone():
    part = Moments.of([1.0, 2.0])
    with pytest.raises(TypeError):
        part + 1
    with pytest.raises(TypeError):
        part + RatioMoments.of([1], [2])
    with pytest.raises(ValueError, match="one of two Moments has a covariate"):
        part + Moments.of([1.0], [2.0])
    with pytest.raises(ValueError, match="have 2 and 3 columns"):
        RatioMoments.of([1], [2]) + RatioMoments.of([1], [2], [3])
    assert part == Moments.of([1.0, 2.0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Moments.of([1.0, math.nan]), ValueError, "values holds 1 NaN among 2"),
        (lambda: Moments.of([1.0, math.inf]), ValueError, "values must be finite .* got inf"),
        (lambda: Moments.of([1e200]), ValueError, "at most 1e\\+150 in magnitude"),
        (lambda: Moments.of(["a"]), TypeError, "values must be numeric"),
        (lambda: Moments.of([[1.0]]), ValueError, "values must be one-dimensional"),
        (lambda: Moments.of([1, 2], [1]), ValueError, "values has 2, covariate has 1"),
        (lambda: Moments.of([1, 2], [1, None]), ValueError, "covariate holds 1 NaN"),
        (lambda: Moments(2.0, 1, 1), TypeError, "n must be an integer; got 2.0"),
        (lambda: Moments(True, 1, 1), TypeError, "n must be an integer; got True"),
        (lambda: Moments(-1, 1, 1), ValueError, "n must be at least 0; got -1"),
        (lambda: Moments(5, math.nan, 1), ValueError, "means of 5 units must be finite"),
        (lambda: Moments(5, 1, math.nan), ValueError, "variances and covariances of 5 units"),
        (lambda: Moments(5, 1, -1), ValueError, "a variance is negative"),
        (lambda: Moments(5, "x", 1), TypeError, "mean must be numbers"),
        (lambda: Moments(5, 1, 1, 2), ValueError, "given together or not at all"),
        (lambda: Moments(5, 1, 1, 2, 1, 1.5), ValueError, "correlation beyond 1"),
        (lambda: RatioMoments(5, (1,), ((1,),)), ValueError, "mean must hold those of numerator"),
        (lambda: RatioMoments(5, (1, 2), ((1, 0),)), ValueError, "one row and one column a mean"),
        (
            lambda: RatioMoments(5, (1, 2), ((1, 0.5), (0.1, 1))),
            ValueError,
            "cov must be symmetric",
        ),
        (lambda: RatioMoments.of([1, 2], [1]), ValueError, "denominator has 1"),
        (lambda: RatioMoments.of([1, 2], [1, math.nan]), ValueError, "denominator holds 1 NaN"),
        (
            lambda: RatioMoments.of([1, 2], [1, 2], ([1, 2], [3])),
            ValueError,
            r"covariate\[1\] has 1",
        ),
    ],
)
def test_bad_input(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("covariance", [1.05, -1.05])
def test_a_correlation_a_little_beyond_1_is_refused(covariance):
    with pytest.raises(ValueError, match="correlation beyond 1"):
        Moments(5, 1.0, 1.0, 2.0, 1.0, covariance)
