"""Log loss, normalised entropy and Brier score against exact arithmetic, and their identities."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics._brier import brier, brier_decomposition, brier_skill
from mlsd.metrics._probability import log_loss, normalized_entropy

PROBA = [0.0, 1e-300, 1e-17, 1e-9, 0.1, 0.25, 0.5, 0.7, 1 - 1e-12, 1.0]
BINARY = [log_loss, normalized_entropy, brier, brier_skill, brier_decomposition]


@st.composite
def samples(draw, levels=PROBA):
    n = draw(st.integers(2, 15))
    labels = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    labels[:2] = [0, 1]
    return labels, draw(st.lists(st.sampled_from(levels), min_size=n, max_size=n))


def exact_log_loss(labels, proba, weights=None):
    """Log loss to 60 digits; probabilities are the floats given, to their last bit."""
    weights = weights or [1] * len(labels)
    with localcontext() as context:
        context.prec = 400  # 1 - 1e-300 has 300 nines
        total = Decimal(0)
        for label, p, weight in zip(labels, proba, weights, strict=True):
            chance = Decimal(p) if label else 1 - Decimal(p)
            if weight and not chance:
                return math.inf
            if weight:
                context.prec = 60 if chance < Decimal("0.9") else 400
                total -= Decimal(weight) * chance.ln()
        context.prec = 60
        return float(total / sum(map(Decimal, weights)))


@given(samples([p for p in PROBA if p > 1e-20 or p == 0]))
def test_log_loss_to_the_last_digits(sample):
    labels, proba = sample
    got = log_loss(labels, proba)
    exact = exact_log_loss(labels, proba)
    assert got == exact if math.isinf(exact) else got == pytest.approx(exact, rel=1e-14, abs=0)


@pytest.mark.parametrize("p", [1e-17, 1e-12, 3e-9, 1e-5])
def test_a_tiny_loss_keeps_its_digits(p):
    """Where 1 - p rounds to 1, or to a float some way off."""
    labels, proba = [0] * 5 + [1], [p] * 5 + [1.0]
    assert log_loss(labels, proba) == pytest.approx(-5 / 6 * math.log1p(-p), rel=1e-14, abs=0)
    weighted = log_loss([0, 1], [p, 0.1], sample_weight=[1e6, 1e-30])
    assert weighted == pytest.approx(-math.log1p(-p), rel=1e-12, abs=0)


@given(samples(), st.data())
def test_weights_repeat_rows(sample, data):
    labels, proba = sample
    weights = data.draw(st.lists(st.integers(0, 3), min_size=len(labels), max_size=len(labels)))
    weights[:2] = [1, 2]
    rows = np.repeat(np.arange(len(labels)), weights)
    repeated = np.array(labels)[rows], np.array(proba)[rows]
    for metric in (log_loss, normalized_entropy, brier, brier_skill):
        got, expected = metric(labels, proba, sample_weight=weights), metric(*repeated)
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(samples())
def test_brier_by_hand(sample):
    labels, proba = sample
    errors = [(Fraction(p) - y) ** 2 for y, p in zip(labels, proba, strict=True)]
    assert brier(labels, proba) == pytest.approx(float(sum(errors) / len(errors)), rel=1e-14)
    rate = Fraction(sum(labels), len(labels))
    skill = 1 - sum(errors) / len(errors) / (rate * (1 - rate))
    assert brier_skill(labels, proba) == pytest.approx(float(skill), rel=1e-13, abs=1e-14)
    constant = rate * Fraction(3, 4) ** 2 + (1 - rate) * Fraction(1, 4) ** 2
    skill = 1 - sum(errors) / len(errors) / constant
    assert brier_skill(labels, proba, base_rate=0.25) == pytest.approx(float(skill), abs=1e-13)


@given(samples(), st.integers(1, 6), st.sampled_from(["quantile", "uniform"]), st.booleans())
def test_the_brier_score_is_the_sum_of_its_parts(sample, n_bins, strategy, weighted):
    labels, proba = sample
    weights = np.arange(1.0, len(labels) + 1) if weighted else None
    parts = brier_decomposition(
        labels, proba, n_bins=n_bins, strategy=strategy, sample_weight=weights
    )
    total = parts.reliability - parts.resolution + parts.uncertainty
    total += parts.within_variance - parts.within_covariance
    assert total == pytest.approx(parts.brier, abs=1e-14)
    assert parts.brier == brier(labels, proba, sample_weight=weights)
    assert min(parts.reliability, parts.resolution, parts.within_variance) >= 0


def test_the_parts_by_hand():
    # Two bins: below and from .5.
    labels, proba = [0, 1, 0, 1, 1], [0.1, 0.3, 0.5, 0.7, 0.9]
    parts = brier_decomposition(labels, proba, n_bins=2, strategy="uniform")
    f = Fraction
    means, rates, rate = (f(1, 5), f(7, 10)), (f(1, 2), f(2, 3)), f(3, 5)
    pairs = list(zip((2, 3), means, rates, strict=True))
    assert parts.reliability == pytest.approx(float(sum(n * (p - o) ** 2 for n, p, o in pairs) / 5))
    assert parts.resolution == pytest.approx(
        float(sum(n * (o - rate) ** 2 for n, _, o in pairs) / 5)
    )
    assert parts.uncertainty == pytest.approx(0.24)
    assert parts.within_variance == pytest.approx((2 * 0.01 + 2 * 0.04) / 5)
    # Deviations: (-.1)(-.5) + (.1)(.5), and (-.2)(-2/3) + 0 + (.2)(1/3).
    assert parts.within_covariance == pytest.approx(2 * (0.1 + 0.2) / 5)
    assert (parts.n_bins, parts.n) == (2, 5)


def test_a_certain_mistake_is_infinite_unless_clipped():
    assert log_loss([1, 0], [0.0, 0.5]) == math.inf
    assert log_loss([0, 1], [1.0, 0.5]) == math.inf
    assert log_loss([1, 0], [1.0, 0.0]) == 0.0
    clipped = log_loss([1, 0], [0.0, 0.5], eps=1e-15)
    assert clipped == pytest.approx((-math.log(1e-15) + math.log(2)) / 2, rel=1e-15)
    assert log_loss([1], [1.0], eps=0.01) == pytest.approx(-math.log(0.99), rel=1e-12)
    # Of no weight, it is not there.
    assert log_loss([1, 0], [0.0, 0.5], sample_weight=[0, 1]) == pytest.approx(math.log(2))
    assert normalized_entropy([1, 0], [0.0, 0.5]) == math.inf


def test_single_precision_is_computed_in_double():
    rng = np.random.default_rng(0)
    proba = rng.random(5000).astype(np.float32)
    labels = rng.random(5000) < proba
    assert log_loss(labels, proba) == log_loss(labels, proba.astype(np.float64))
    assert brier(labels, proba) == brier(labels, proba.astype(np.float64))


@pytest.mark.parametrize("label_type", [np.int8, np.int32, bool])
def test_many_rows(label_type):
    n = 3_000_001  # no multiple of a chunk
    labels = (np.arange(n) % 3 == 0).astype(label_type)
    proba = np.where(np.arange(n) % 3 == 0, 0.75, 0.125)
    n_positive = -(-n // 3)
    expected = -(n_positive * math.log(0.75) + (n - n_positive) * math.log(0.875)) / n
    assert log_loss(labels, proba) == pytest.approx(expected, rel=1e-13)
    assert brier(labels, proba) == (n_positive * 0.0625 + (n - n_positive) * 0.015625) / n
    parts = brier_decomposition(labels, proba)
    assert (parts.n_bins, parts.within_variance) == (2, 0.0)
    assert parts.resolution == pytest.approx(parts.uncertainty, rel=1e-12)


@pytest.mark.parametrize("rate", [0.5, 0.01, 1e-6])
def test_predicting_the_base_rate_has_entropy_1(rate):
    n = 10**6
    labels = np.arange(n) < n * rate
    proba = np.full(n, rate)
    assert normalized_entropy(labels, proba) == pytest.approx(1.0, rel=1e-12)
    assert normalized_entropy(~labels, 1 - proba) == pytest.approx(1.0, rel=1e-9)
    assert brier_skill(labels, proba) == pytest.approx(0.0, abs=1e-12)
    half = normalized_entropy(labels, proba, base_rate=0.5)
    assert half == pytest.approx(log_loss(labels, proba) / math.log(2), rel=1e-14)


def test_one_class_has_no_entropy():
    for metric, what in ((normalized_entropy, "normalized entropy"), (brier_skill, "the skill")):
        with pytest.warns(UndefinedMetricWarning, match=f"one class only.*{what}") as caught:
            assert math.isnan(metric([1, 1], [0.5, 0.9]))
        assert caught[0].filename == __file__
        assert math.isfinite(metric([1, 1], [0.5, 0.9], base_rate=0.3))


def test_a_matrix_of_classes_by_hand():
    proba = [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.0, 0.5, 0.5]]
    expected = -(math.log(0.5) + math.log(0.8) + math.log(0.5)) / 3
    for wrap in (list, np.array, pd.DataFrame, lambda rows: pl.DataFrame(rows, orient="row")):
        assert log_loss([0, 1, 2], wrap(proba)) == pytest.approx(expected, rel=1e-15)
    mixed = log_loss(["c", "b", "b"], proba, labels=["b", "a", "c"])
    assert mixed == math.inf  # the third row gives b 0
    weighted = log_loss(["c", "b", "b"], proba, labels=["b", "a", "c"], sample_weight=[3, 1, 0])
    assert weighted == pytest.approx(-(3 * math.log(0.25) + math.log(0.1)) / 4, rel=1e-15)
    assert log_loss(["c", "b", "b"], proba, labels=["b", "a", "c"], eps=0.1) < math.inf
    assert log_loss([0, 1, 2], np.array(proba, dtype=np.float32)) == pytest.approx(expected, 1e-6)


@pytest.mark.parametrize("metric", BINARY)
@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([], []), {}, "y_true is empty"),
        (([0, 1], [0.1]), {}, "y_true has 2, y_proba has 1"),
        (([0, 1], [0.1, 1.5]), {}, "y_proba must lie between 0 and 1; 1 of 2 values do not"),
        (([0, 1], [0.1, math.nan]), {}, "y_proba holds 1 NaN"),
        (([0, 1], [0.1, 0.2]), {"sample_weight": [1, math.inf]}, "sample_weight must be finite"),
        ((["a", "b"], [0.1, 0.2]), {}, "pos_label"),
    ],
)
def test_bad_input_is_named(metric, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        metric(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [0.1, 0.2]), {"eps": 0.5}, "eps must be None or lie strictly"),
        (
            ([0, 1], [0.1, 0.2]),
            {"labels": [0, 1]},
            "labels must be None when y_proba is one",
        ),
        (([0, 1], [[1, 0], [0, 1]]), {"pos_label": 1}, "pos_label must be None"),
        (([0, 1], [[0.5, 0.6], [0, 1]]), {}, "1 of 2 do not, such as 1.1 at position 0"),
        (([0, 1], [[1, 0, 0], [0, 1, 0]]), {}, "holds 2 classes and y_proba has 3 columns"),
        (([0, 1], [[1, 0], [0, 1]]), {"labels": [1, 1]}, "labels must name 2 distinct"),
        (([0, 1], [[1, 0], [0, 1]]), {"labels": [1, 2]}, r"y_true holds \[0\]"),
        (([0, 1, 0], [[1, 0], [0, 1]]), {}, "y_true has 3, y_proba has 2"),
        (([0, 1], [[1, 0], [2, -1]]), {}, "y_proba must lie between 0 and 1; 2 of 4"),
        (([], np.zeros((0, 2))), {"labels": [0, 1]}, "y_true is empty"),
    ],
)
def test_bad_options_of_log_loss_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        log_loss(*arguments, **options)


@pytest.mark.parametrize("metric", [normalized_entropy, brier_skill])
def test_a_base_rate_lies_inside_0_to_1(metric):
    with pytest.raises(ValueError, match="base_rate must lie strictly between 0 and 1"):
        metric([0, 1], [0.1, 0.2], base_rate=1.0)
