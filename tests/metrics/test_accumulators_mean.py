"""MeanAccumulator and RatioAccumulator against exact fractions and other formulas."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mlsd._stats import t_interval
from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._accumulators import MeanAccumulator, RatioAccumulator

value = st.one_of(
    st.just(-0.0),
    st.integers(-1000, 1000).map(float),
    st.floats(-1e150, -1e-130),
    st.floats(1e-130, 1e150),
)


def exact_moments(values):
    """Mean and sample variance in fractions."""
    exact = list(map(Fraction, values))
    mean = sum(exact) / len(exact)
    return mean, sum((x - mean) ** 2 for x in exact) / (len(exact) - 1)


def rounded(fraction):
    """The float next to a fraction; infinite beyond the floats."""
    try:
        return float(fraction)
    except OverflowError:
        return math.inf


@given(st.lists(value, min_size=2, max_size=30))
def test_mean_and_variance_are_the_exact_ones_rounded_once(values):
    summary = MeanAccumulator().update(values).result()
    mean, variance = exact_moments(values)
    assert summary.mean == rounded(mean)
    assert summary.variance == rounded(variance)
    assert summary.stderr == math.sqrt(rounded(variance / len(values)))
    assert (summary.minimum, summary.maximum) == (min(values), max(values))
    assert summary.n == len(values)


@given(st.lists(value, min_size=2, max_size=30), st.integers(0, 30), st.randoms())
def test_chunks_and_their_order_leave_no_trace(values, cut, random):
    whole = MeanAccumulator().update(values)
    assert MeanAccumulator().update(values[:cut]) + MeanAccumulator().update(values[cut:]) == whole
    random.shuffle(values)
    assert MeanAccumulator().update(values).to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e15])
def test_a_mean_far_above_the_spread_costs_no_digits(offset):
    values = offset + np.random.default_rng(3).integers(0, 64, 10_000) / 8
    summary = MeanAccumulator().update(values).result()
    assert summary.variance == pytest.approx((values - offset).var(ddof=1), rel=1e-13)


@pytest.mark.parametrize("constant", [0.1, 1e-200, -3.3e149, 0.0])
def test_equal_values_have_no_spread(constant):
    summary = MeanAccumulator().update([constant] * 7).result()
    assert (summary.mean, summary.lower, summary.upper) == (constant,) * 3
    assert (summary.variance, summary.stderr) == (0.0, 0.0)


def test_the_interval_is_the_t_interval():
    values = np.random.default_rng(4).lognormal(0, 1, 500)
    summary = MeanAccumulator().update(values).result(level=0.9)
    expected = t_interval(values, level=0.9)
    for name in ("mean", "lower", "upper", "stderr"):
        assert getattr(summary, name) == pytest.approx(getattr(expected, name), rel=1e-13)
    lower, upper = scipy.stats.t.interval(0.9, 499, values.mean(), scipy.stats.sem(values))
    assert (summary.lower, summary.upper) == pytest.approx((lower, upper), rel=1e-12)


def test_a_single_value_has_a_mean_but_no_interval_and_none_has_nothing():
    summary = MeanAccumulator().update([2.0]).result()
    assert summary.mean == 2.0
    assert np.isnan([summary.lower, summary.upper, summary.stderr, summary.variance]).all()
    with pytest.warns(UndefinedMetricWarning, match="no value: the mean is nan") as caught:
        summary = MeanAccumulator().update([]).result()
    assert caught[0].filename == __file__
    assert math.isnan(summary.mean)
    assert summary.n == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, math.nan], "values holds 1 NaN"),
        ([1.0, math.inf], "values must be finite .* got inf at position 1"),
        ([-2e150], r"at most 1e\+150 in magnitude; got -2e\+150"),
        ([[1.0]], "one-dimensional"),
    ],
)
def test_wrong_values_raise_and_change_nothing(values, message):
    state = MeanAccumulator().update([1.0])
    with pytest.raises(ValueError, match=message):
        state.update(values)
    assert state == MeanAccumulator().update([1.0])


@pytest.mark.parametrize("level", [0, 1, 95])
def test_wrong_levels_raise(level):
    for state in (MeanAccumulator().update([1.0]), RatioAccumulator().update([1.0], [1.0])):
        with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
            state.result(level=level)


# --- ratios ---

units = st.lists(
    st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(2.0**-10, 1e3, width=32)),
    min_size=2,
    max_size=25,
)


@given(units)
def test_ratio_and_error_are_those_of_the_delta_method_in_fractions(pairs):
    x, y = ([Fraction(pair[side]) for pair in pairs] for side in (0, 1))
    n = len(pairs)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    ratio = mean_x / mean_y

    def covariance(a, b):
        return sum((p - sum(a) / n) * (q - sum(b) / n) for p, q in zip(a, b, strict=True)) / (n - 1)

    squared = (covariance(x, x) - 2 * ratio * covariance(x, y) + ratio**2 * covariance(y, y)) / (
        n * mean_y**2
    )
    summary = RatioAccumulator().update(*map(np.array, zip(*pairs, strict=True))).result()
    assert summary.ratio == float(ratio)
    assert summary.stderr == math.sqrt(float(squared))
    half = scipy.stats.t.ppf(0.975, n - 1) * summary.stderr
    assert summary.upper - summary.ratio == pytest.approx(half, rel=1e-9, abs=1e-15 * abs(ratio))
    assert (summary.numerator, summary.denominator) == (float(sum(x)), float(sum(y)))


@given(units, st.integers(0, 25))
def test_parts_of_whole_units_merge_to_the_whole(pairs, cut):
    x, y = map(np.array, zip(*pairs, strict=True))
    parts = RatioAccumulator().update(x[:cut], y[:cut]) + RatioAccumulator().update(
        x[cut:], y[cut:]
    )
    assert parts == RatioAccumulator().update(x, y)


def test_a_unit_split_over_rows_keeps_the_ratio_and_narrows_the_interval():
    # Why the docstring asks for whole units: each unit in two rows of one half.
    rng = np.random.default_rng(6)
    y = rng.integers(1, 30, 2000).astype(float)
    x = rng.binomial(y.astype(int), rng.beta(1, 5, 2000)).astype(float)
    whole = RatioAccumulator().update(x, y).result()
    split = RatioAccumulator().update(np.repeat(x / 2, 2), np.repeat(y / 2, 2)).result()
    assert split.ratio == whole.ratio
    assert split.stderr == pytest.approx(whole.stderr / math.sqrt(2), rel=1e-3)


def test_a_denominator_of_ones_gives_the_mean():
    values = np.random.default_rng(7).normal(5, 2, 300)
    ratio = RatioAccumulator().update(values, np.ones(300)).result()
    mean = MeanAccumulator().update(values).result()
    assert (ratio.ratio, ratio.stderr) == (mean.mean, mean.stderr)
    assert (ratio.lower, ratio.upper) == (mean.lower, mean.upper)


def test_a_weighted_mean_is_a_ratio():
    rng = np.random.default_rng(8)
    x, w = rng.normal(3, 1, 400), rng.integers(1, 5, 400).astype(float)
    summary = RatioAccumulator().update(w * x, w).result()
    mean = np.average(x, weights=w)
    assert summary.ratio == pytest.approx(mean, rel=1e-14)
    linearised = math.sqrt((w**2 * (x - mean) ** 2).sum() * 400 / 399) / w.sum()
    assert summary.stderr == pytest.approx(linearised, rel=1e-12)


def test_denominators_that_sum_to_0_have_no_ratio():
    with pytest.warns(UndefinedMetricWarning, match="denominators of 2 units sum to 0") as caught:
        summary = RatioAccumulator().update([1.0, 2.0], [0.0, 0.0]).result()
    assert caught[0].filename == __file__
    assert np.isnan([summary.ratio, summary.lower, summary.upper, summary.stderr]).all()
    assert (summary.numerator, summary.denominator, summary.n) == (3.0, 0.0, 2)
    one = RatioAccumulator().update([1.0], [2.0]).result()
    assert one.ratio == 0.5
    assert math.isnan(one.stderr)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0], [1.0, 2.0], "numerator has 1, denominator has 2"),
        ([math.nan], [1.0], "numerator holds 1 NaN"),
        ([1.0], [math.inf], "denominator must be finite"),
    ],
)
def test_wrong_units_raise(x, y, message):
    with pytest.raises(ValueError, match=message):
        RatioAccumulator().update(x, y)


@pytest.mark.parametrize(
    ("state", "part", "data"),
    [
        (MeanAccumulator().update([1.0, 2.0]), "n", [0]),
        (MeanAccumulator().update([1.0, 2.0]), "sum", "0x9p+0"),
        (MeanAccumulator().update([1.0, 2.0]), "minimum", [1.9]),
        (MeanAccumulator().update([1.0, 2.0]), "maximum", ["inf"]),
        (RatioAccumulator().update([1.0], [2.0]), "n", [0]),
    ],
)
def test_a_payload_that_contradicts_itself_is_refused(state, part, data):
    head = json.loads(state.to_json())
    next(entry for entry in head["parts"] if entry["name"] == part)["data"] = data
    with pytest.raises(ValueError, match="contradict each other"):
        type(state).from_json(json.dumps(head))
