"""Calibration: bins, bias, intervals that cover, the ratio, and the curve."""

from __future__ import annotations

import functools
import math

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._calibration import calibration_error, calibration_ratio
from mlsd.metrics._reliability import reliability_curve
from mlsd.metrics._score_bins import bin_sums, find_bins

LEVELS = np.array([0.0, 0.05, 0.1, 0.3, 0.5, 0.9, 1.0])


def calibrated(n, seed, distort=1.0, rate=0.3):
    """Predictions on the logit scale around a rate; the truth has logits `distort` times theirs."""
    rng = np.random.default_rng(seed)
    logit = 1.2 * rng.normal(size=n) + math.log(rate / (1 - rate))
    return rng.random(n) < 1 / (1 + np.exp(-distort * logit)), 1 / (1 + np.exp(-logit))


@functools.cache
def population(distort):
    """Predictions on a fine grid of their distribution, and how far each is off."""
    logit = 1.2 * norm.ppf((np.arange(50_000) + 0.5) / 50_000) + math.log(0.3 / 0.7)
    proba = 1 / (1 + np.exp(-logit))
    return proba, proba - 1 / (1 + np.exp(-distort * logit))


def true_error(edges, distort, norm_):
    """The error of these bins in the population."""
    proba, gap = population(distort)
    bins = np.searchsorted(edges[1:-1], proba, side="right")
    size = np.bincount(bins, minlength=len(edges) - 1)
    distance = np.abs(np.bincount(bins, gap, minlength=len(edges) - 1)) / size
    share = size / size.sum()
    if norm_ == "max":
        return distance.max()
    return distance @ share if norm_ == "l1" else math.sqrt(distance**2 @ share)


@given(
    st.lists(st.sampled_from(LEVELS.tolist()), min_size=1, max_size=40),
    st.integers(1, 9),
    st.sampled_from(["quantile", "uniform"]),
)
def test_bins_part_the_predictions_by_their_edges(proba, n_bins, strategy):
    proba = np.array(proba)
    bins = find_bins(proba, n_bins, strategy)
    assert (bins.edges[0], bins.edges[-1]) == (0.0, 1.0)
    assert (np.diff(bins.edges[:-1]) > 0).all()
    assert len(bins) == n_bins - bins.n_merged
    sums = bin_sums(proba > 0.2, proba, bins)
    inside = [
        (proba >= low) & ((proba < high) | (i == len(bins) - 1))
        for i, (low, high) in enumerate(zip(bins.edges[:-1], bins.edges[1:], strict=True))
    ]
    assert sums.count.tolist() == [rows.sum() for rows in inside]
    assert sums.count.sum() == proba.size
    if strategy == "quantile":
        assert (sums.count > 0).all()
        # No edge could be moved to the next value without going beyond its share of the rows.
        heaviest = np.unique(proba, return_counts=True)[1].max()
        assert sums.count.max() <= math.ceil(proba.size / n_bins) + 2 * heaviest


def test_distinct_predictions_fill_bins_evenly():
    proba = np.random.default_rng(0).permutation(1000) / 1000
    for weights in (None, np.full(1000, 0.25)):
        bins = find_bins(proba, 15, "quantile", weights)
        sums = bin_sums(proba > 0.5, proba, bins, weights)
        assert bins.n_merged == 0
        assert set(sums.count.tolist()) == {66, 67}


def test_bins_of_weights_have_even_weight():
    rng = np.random.default_rng(1)
    proba, weights = rng.random(20_000), rng.exponential(size=20_000)
    sums = bin_sums(proba > 0.5, proba, find_bins(proba, 10, "quantile", weights), weights)
    assert sums.weight == pytest.approx(np.full(10, weights.sum() / 10), rel=0.01)
    assert sums.effective == pytest.approx(sums.count / 2, rel=0.1)  # E[w]² / E[w²] is 1/2


@pytest.mark.parametrize("norm_", ["l1", "l2", "max"])
@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_the_raw_error_is_its_definition(norm_, strategy):
    labels, proba = calibrated(900, 4, distort=1.5)
    got = calibration_error(labels, proba, n_bins=7, strategy=strategy, norm=norm_, random_state=0)
    inner = got.edges[1:-1]
    of = (proba[:, None] >= inner).sum(axis=1)
    gaps = [abs(proba[of == b].mean() - labels[of == b].mean()) for b in np.unique(of)]
    share = np.array([(of == b).mean() for b in np.unique(of)])
    expected = {
        "l1": np.dot(share, gaps),
        "l2": math.sqrt(np.dot(share, np.square(gaps))),
        "max": max(gaps),
    }[norm_]
    assert got.raw == pytest.approx(expected, rel=1e-12)
    assert calibration_error(labels, proba, norm=norm_, debias=False).value == (
        calibration_error(labels, proba, norm=norm_, random_state=0).raw
    )


def test_l2_is_the_estimate_of_kumar_liang_and_ma():
    rng = np.random.default_rng(0)
    proba = rng.choice([0.1, 0.4, 0.8], 500)  # one value a bin: no spread within
    labels = rng.random(500) < proba + 0.1
    square = 0.0
    for value in (0.1, 0.4, 0.8):
        rows = labels[proba == value]
        rate, n = rows.mean(), rows.size
        square += n / 500 * ((value - rate) ** 2 - rate * (1 - rate) / (n - 1))
    got = calibration_error(labels, proba, norm="l2", random_state=0)
    assert got.value == pytest.approx(math.sqrt(square), rel=1e-12)
    assert got.n_merged == 12


def test_l1_is_the_mean_over_halves():
    labels = np.repeat([True, False, True, False], [24, 76, 60, 40])
    proba = np.repeat([0.2, 0.7], 100)
    noise = np.random.default_rng(0).normal(size=(2, 1_000_000))
    value = 0.0
    for gap, p, e in zip((-0.04, 0.1), (0.2, 0.7), noise, strict=True):
        spread = math.sqrt(p * (1 - p) / 100)
        value += 0.5 * (np.sign(gap + spread * e) * (gap - spread * e)).mean()
    got = calibration_error(labels, proba)
    assert got.value == pytest.approx(value, abs=2e-4)  # some 5 standard errors of the draws


@pytest.mark.parametrize(
    ("n_bins", "norm_", "raw"),
    [
        (5, "l1", 0.006),
        (15, "l1", 0.0102),
        (500, "l1", 0.06),
        (15, "l2", 0.013),
        (15, "max", 0.031),
    ],
)
def test_a_calibrated_model_has_no_error_but_for_noise(n_bins, norm_, raw):
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        proba = rng.random(15_000)
        labels = rng.random(15_000) < proba
        options = {"n_bins": n_bins, "norm": norm_, "n_resamples": 1, "random_state": seed}
        error = calibration_error(labels, proba, **options)
        errors.append((error.raw, error.value))
    (raw_mean, value_mean), spread = np.mean(errors, axis=0), np.std(errors, axis=0)[1]
    assert raw_mean == pytest.approx(raw, rel=0.12)
    assert abs(value_mean) < 3 * spread / math.sqrt(40)
    if norm_ != "l2":  # whose root spreads what is near 0
        assert abs(value_mean) < raw_mean / 6


@pytest.mark.parametrize("norm_", ["l1", "l2", "max"])
@pytest.mark.parametrize("distort", [1.0, 1.1, 1.6])
@pytest.mark.parametrize("n_bins", [5, 40])
def test_the_interval_covers_the_error_of_the_bins(norm_, distort, n_bins):
    covered = 0
    for seed in range(60):
        labels, proba = calibrated(3000, seed, distort)
        options = {"n_bins": n_bins, "norm": norm_, "n_resamples": 200, "random_state": seed}
        got = calibration_error(labels, proba, level=0.9, debias=norm_ != "max", **options)
        covered += got.lower <= true_error(got.edges, distort, norm_) <= got.upper
    assert covered >= 47  # of 60 at .9: 3 standard errors below 54


def test_an_error_that_is_plain_has_an_interval_away_from_0():
    labels, proba = calibrated(20_000, 0, distort=2)
    got = calibration_error(labels, proba, random_state=0)
    again = calibration_error(labels, proba, random_state=0)
    assert 0.05 < got.lower < got.value < got.upper < 0.15
    assert (got.lower, got.upper) == (again.lower, again.upper)
    assert got.to_dict()["n_bins"] == 15


@pytest.mark.parametrize("norm_", ["l1", "l2", "max"])
@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_integer_weights_repeat_rows(norm_, strategy):
    rng = np.random.default_rng(2)
    labels, proba = calibrated(300, 3)
    proba = proba.round(2)
    weights = rng.integers(0, 4, 300)
    options = {"n_bins": 6, "norm": norm_, "strategy": strategy, "debias": False, "n_resamples": 1}
    weighted = calibration_error(labels, proba, sample_weight=weights, **options)
    repeated = calibration_error(np.repeat(labels, weights), np.repeat(proba, weights), **options)
    assert weighted.edges == pytest.approx(repeated.edges, abs=1e-15)
    assert weighted.raw == pytest.approx(repeated.raw, rel=1e-12)
    ratios = (
        calibration_ratio(labels, proba, sample_weight=weights),
        calibration_ratio(np.repeat(labels, weights), np.repeat(proba, weights)),
    )
    assert ratios[0].value == pytest.approx(ratios[1].value, rel=1e-12)


def test_predictions_without_noise_have_an_exact_error():
    certain = calibration_error([1, 1, 0, 0], [1.0, 1.0, 0.0, 0.0])
    assert (certain.value, certain.raw, certain.lower, certain.upper) == (0.0, 0.0, 0.0, 0.0)
    wrong = calibration_error([0, 0, 0], [1.0, 1.0, 1.0])
    assert (wrong.value, wrong.raw) == (1.0, 1.0)
    assert (wrong.lower, wrong.upper) == pytest.approx((1.0, 1.0), abs=1e-3)
    for norm_ in ("l2", "max"):
        assert calibration_error([0, 0, 0], [1.0, 1.0, 1.0], norm=norm_).value == 1.0


def test_empty_and_merged_bins_are_counted():
    labels, proba = [0, 1, 0, 1], [0.1, 0.1, 0.1, 0.9]
    uniform = calibration_error(labels, proba, n_bins=10, strategy="uniform")
    assert (uniform.n_bins, uniform.n_empty, uniform.n_merged) == (2, 8, 0)
    quantile = calibration_error(labels, proba, n_bins=10)
    assert (quantile.n_bins, quantile.n_empty, quantile.n_merged) == (2, 0, 8)
    assert quantile.edges.tolist() == [0.0, 0.9, 1.0]


def test_the_ratio_and_its_interval():
    labels, proba = calibrated(5000, 1)
    got = calibration_ratio(labels, proba)
    assert got.value == pytest.approx(proba.sum() / labels.sum(), rel=1e-13)
    residual = proba - got.value * labels
    stderr = math.sqrt(5000 / 4999 * (residual**2).sum()) / labels.sum()
    assert got.stderr == pytest.approx(stderr, rel=1e-12)
    half = norm.ppf(0.975) * stderr / got.value
    assert got.upper / got.value == pytest.approx(math.exp(half), rel=1e-12)
    assert got.value / got.lower == pytest.approx(math.exp(half), rel=1e-12)
    assert (got.predicted, got.observed, got.n) == (pytest.approx(proba.sum()), labels.sum(), 5000)
    covered = 0
    for seed in range(500):
        ratio = calibration_ratio(*calibrated(400, seed, rate=0.03))
        covered += ratio.lower <= 1 <= ratio.upper
    assert 0.925 <= covered / 500 <= 0.975


def test_a_ratio_to_nothing_is_undefined():
    with pytest.warns(UndefinedMetricWarning, match="none of 2 rows is positive") as caught:
        got = calibration_ratio([0, 0], [0.1, 0.2])
    assert caught[0].filename == __file__
    assert math.isnan(got.value)
    assert math.isnan(got.lower)
    nothing = calibration_ratio([0, 1], [0.0, 0.0])
    assert (nothing.value, nothing.lower, nothing.upper) == (0.0, 0.0, 0.0)


def test_the_curve_draws_itself():
    mpl.use("Agg")
    labels, proba = calibrated(500, 0)
    curve = reliability_curve(labels, proba, n_bins=5)
    frame = curve.to_frame()
    assert frame["n"].tolist() == [100] * 5
    assert (frame["lower"] <= frame["observed"]).all()
    axes = curve.plot()
    assert axes.get_xlabel()
    assert curve.plot(axes) is axes
    mpl.pyplot.close(axes.figure)


def test_a_bin_without_rows_has_no_rate():
    frame = reliability_curve([0, 1], [0.1, 0.9], n_bins=4, strategy="uniform").to_frame()
    assert frame["n"].tolist() == [1, 0, 0, 1]
    columns = ["mean_predicted", "observed", "lower", "upper"]
    assert frame.loc[1, columns].isna().all()
    assert frame.loc[[0, 3], columns].notna().all(axis=None)


@pytest.mark.parametrize("metric", [calibration_error, reliability_curve])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 0}, "n_bins must be at least 1"),
        ({"strategy": "equal"}, "strategy must be one of"),
        ({"level": 0}, "level must lie strictly between"),
        ({"sample_weight": [1]}, "sample_weight has 1"),
    ],
)
def test_bad_options_are_named(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric([0, 1], [0.1, 0.2], **options)


def test_bad_options_of_the_error_are_named():
    with pytest.raises(ValueError, match="norm must be one of"):
        calibration_error([0, 1], [0.1, 0.2], norm="l3")
    with pytest.raises(ValueError, match="y_proba must lie between 0 and 1"):
        calibration_ratio([0, 1], [0.1, 1.2])
