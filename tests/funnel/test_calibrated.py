"""Calibrated scores against scikit-learn, a formula for isotonic regression, and simulated data."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mlsd.funnel import ScoreCalibrator
from mlsd.metrics import calibration_ratio

METHODS = ["isotonic", "logistic"]


def clicks(rng, n, *, slope=1.5, intercept=-1.0):
    """Return scores and labels that follow a logistic curve."""
    score = rng.normal(size=n)
    return score, rng.random(n) < expit(slope * score + intercept)


def least_squares_levels(label, weight):
    """Return the isotonic fit of every row by the formula of max and min over means."""
    total = np.concatenate(([0.0], np.cumsum(weight * label)))
    mass = np.concatenate(([0.0], np.cumsum(weight)))
    n = len(label)
    return [
        max(
            min((total[b] - total[a]) / (mass[b] - mass[a]) for b in range(i + 1, n + 1))
            for a in range(i + 1)
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_against_the_formula_and_scikit_learn(weighted):
    rng = np.random.default_rng(1)
    score, label = clicks(rng, 60)
    weight = rng.integers(0, 4, size=60).astype(float) if weighted else None
    found = ScoreCalibrator().fit(score, label, sample_weight=weight)
    order = np.argsort(score)
    if weighted:
        order = order[weight[order] > 0]
    mass = np.ones(60) if weight is None else weight
    expected = least_squares_levels(label[order].astype(float), mass[order])
    np.testing.assert_allclose(found.predict(score[order]), expected, rtol=0, atol=1e-12)
    peer = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    peer.fit(score, label, sample_weight=weight)
    asked = np.concatenate((rng.normal(size=200) * 2, score))
    np.testing.assert_allclose(found(asked), peer.predict(asked), rtol=0, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (1e6, 1e-3), (-50, 1e200)])
def test_logistic_against_scikit_learn(weighted, shift, scale):
    rng = np.random.default_rng(2)
    score, label = clicks(rng, 400)
    weight = rng.random(400) if weighted else None
    found = ScoreCalibrator("logistic").fit(shift + scale * score, label, sample_weight=weight)
    peer = LogisticRegression(C=np.inf, solver="lbfgs", tol=1e-12, max_iter=10_000)
    peer.fit(score[:, None], label, sample_weight=weight)
    asked = rng.normal(size=200) * 3
    expected = peer.predict_proba(asked[:, None])[:, 1]
    # 1e6 + 1e-3 * score keeps about seven digits of the score.
    atol = 1e-6 if shift == 1e6 else 1e-9
    np.testing.assert_allclose(found(shift + scale * asked), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("far", [1e3, 1e8])
def test_logistic_is_not_thrown_by_one_score_far_away(far):
    score, label = clicks(np.random.default_rng(10), 5000)
    found = ScoreCalibrator("logistic").fit(np.append(score, far), np.append(label, True))
    expected = ScoreCalibrator("logistic").fit(score, label)
    np.testing.assert_allclose(found(score), expected(score), rtol=0, atol=1e-7)


def test_logistic_without_a_slope_has_one_value():
    found = logistic(scale=1e-3, slope=0.0)
    np.testing.assert_array_equal(found([-1e308, 0, 1e308]), 0.5)


def test_logistic_of_highest_likelihood_keeps_the_sums():
    score, label = clicks(np.random.default_rng(3), 5000)
    found = ScoreCalibrator("logistic").fit(score, label)(score)
    assert found.sum() == pytest.approx(label.sum(), abs=1e-6)
    assert (found * score).sum() == pytest.approx((label * score).sum(), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("keep_rate", [1.0, 0.1, 0.01])
def test_the_rate_of_all_rows_comes_back_from_a_sample_of_negatives(method, keep_rate):
    rng = np.random.default_rng(4)
    n = 400_000
    score, label = clicks(rng, n, intercept=-5)
    kept = label | (rng.random(n) < keep_rate)
    fitted = ScoreCalibrator(method).fit(score[kept], label[kept], keep_rate=keep_rate)
    fresh, truth = clicks(rng, n, intercept=-5)
    expected, found = truth.sum(), fitted(fresh).sum()
    # Both the rows of the fit and the fresh ones vary, and so does which negatives were kept: by
    # (1 - keep_rate) / keep_rate for each that stands beside the positives.
    spread = np.sqrt(2 * expected * (1 + (1 - keep_rate) / keep_rate * expected / n))
    assert abs(found - expected) < 3 * spread
    ratio = calibration_ratio(truth, fitted(fresh))
    assert ratio.value == pytest.approx(1, abs=3 * spread / expected)
    if keep_rate < 1:
        uncorrected = ScoreCalibrator(method).fit(score[kept], label[kept])
        assert uncorrected(fresh).sum() > expected + 30 * spread


@pytest.mark.parametrize("method", METHODS)
def test_keep_rate_multiplies_the_odds(method):
    score, label = clicks(np.random.default_rng(5), 500)
    plain = ScoreCalibrator(method).fit(score, label)(score)
    kept = ScoreCalibrator(method).fit(score, label, keep_rate=0.2)(score)
    np.testing.assert_allclose(kept, plain / (plain + (1 - plain) / 0.2), rtol=1e-12, atol=0)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(METHODS),
    st.integers(8, 60),
    st.floats(1e-6, 1),
    st.sampled_from([0, 1, 12]),
)
def test_properties(seed, method, n, keep_rate, digits):
    rng = np.random.default_rng(seed)
    score, label = clicks(rng, n, intercept=0)
    score = score.round(digits)
    score[:4], label[:4] = [-1, 1, -1, 1], [False, False, True, True]  # both, and not separable
    weight = rng.integers(1, 5, size=n)
    fit = partial(ScoreCalibrator(method).fit, sample_weight=weight, keep_rate=keep_rate)
    positives = np.average(score[label], weights=weight[label])
    if positives < np.average(score[~label], weights=weight[~label]):
        if method == "logistic":
            with pytest.raises(ValueError, match="backwards"):
                fit(score, label)
        score = -score
    found = fit(score, label)
    asked = np.sort(np.concatenate((rng.normal(size=300) * 3, score, np.nextafter(score, -9))))
    answer = found(asked)
    assert ((answer >= 0) & (answer <= 1)).all()
    assert (np.diff(answer) >= 0).all()
    # Nothing depends on the order of the rows or on the scale of weights.
    mixed = rng.permutation(n)
    again = ScoreCalibrator(method).fit(
        score[mixed], label[mixed], sample_weight=7 * weight[mixed], keep_rate=keep_rate
    )
    np.testing.assert_allclose(again(asked), answer, rtol=0, atol=1e-8)
    # A whole weight is a row that often.
    repeated = ScoreCalibrator(method).fit(
        np.repeat(score, weight), np.repeat(label, weight), keep_rate=keep_rate
    )
    np.testing.assert_allclose(repeated(asked), answer, rtol=0, atol=1e-8)
    # And JSON keeps every digit.
    stored = ScoreCalibrator.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(stored(asked), answer)
    assert stored.to_dict() == found.to_dict()


@pytest.mark.parametrize("method", METHODS)
def test_stages_with_scores_of_their_own_agree(method):
    rng = np.random.default_rng(6)
    score, label = clicks(rng, 20_000)
    one = ScoreCalibrator(method).fit(score, label)
    other = ScoreCalibrator(method).fit(1000 + 40 * score, label)
    np.testing.assert_allclose(other(1000 + 40 * score), one(score), rtol=0, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_far_scores(method):
    found = ScoreCalibrator(method).fit([1, 2, 3, 4], [0, 1, 0, 1])
    ends = found([-1e308, 1e308])
    expected = [0.0, 1.0] if method == "logistic" else found([1, 4])
    np.testing.assert_array_equal(ends, expected)
    assert found([]).tolist() == []


@pytest.mark.parametrize("method", METHODS)
def test_one_score_for_all_gives_the_rate(method):
    found = ScoreCalibrator(method).fit([5, 5, 5, 5], [0, 0, 0, 1], keep_rate=0.5)
    np.testing.assert_allclose(found([-1e308, 0, 5, 6]), 1 / 7, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_say_nothing_give_the_rate(method):
    # The means are equal, but for rounding in the second.
    for negative, positive in (([0, 0.1], [0.1, 0]), ([0.3, 0.2, 0.4, 0.8], [0.8, 0.2, 0.3, 0.4])):
        label = np.repeat([0, 1], len(negative))
        found = ScoreCalibrator(method).fit(negative + positive, label)
        np.testing.assert_allclose(found([-1e308, 0, 0.15, 1e308]), 0.5, rtol=1e-12)


def test_isotonic_takes_scores_that_separate():
    found = ScoreCalibrator().fit([1, 2, 3, 4], [0, 0, 1, 1])
    assert found([1, 2, 2.5, 3, 4]).tolist() == [0, 0, 0.5, 1, 1]


def test_isotonic_judges_by_order_not_by_distance():
    # One positive far below pulls the mean of the positives below that of the negatives.
    found = ScoreCalibrator().fit([-1000, 1, 2, 3, 4, 5], [1, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(found([-1000, 2, 3, 9]), [1 / 3, 1 / 3, 1, 1])


def test_isotonic_does_not_overshoot_a_corner():
    # Below the corner by less than its distance to the other can tell; and of these levels the
    # lower and the difference add up to more than the upper.
    unit = 2.0**-53
    found = stored(score=[-1, 2.0**-60], level=[3.5 * unit, 0.5 + 3999 * unit])
    below, at = found([0, 2.0**-60])
    assert below <= at == 0.5 + 3999 * unit


def test_kinds_of_input():
    expected = ScoreCalibrator().fit([1, 2, 3], [0, 1, 0], sample_weight=[1, 2, 1])([1, 2.5])
    for score, label, weight in (
        (pd.Series([1, 2, 3], index=[9, 9, 9]), pd.array([0, 1, 0], dtype="Int64"), [1, 2, 1]),
        (np.array([1, 2, 3], dtype=np.float32), [-1, 1, -1], np.array([1, 2, 1])),
        ((1, 2, 3), np.array([False, True, False]), pd.Series([1, 2, 1])),
    ):
        found = ScoreCalibrator().fit(score, label, sample_weight=weight)
        np.testing.assert_array_equal(found(pd.Series([1, 2.5])), expected)


def test_a_failed_fit_leaves_what_was_fitted():
    found = ScoreCalibrator().fit([1, 2, 3], [0, 1, 1], keep_rate=0.5)
    before = found.to_dict()
    with pytest.raises(ValueError, match="both classes"):
        found.fit([1, 2], [1, 1], keep_rate=0.1)
    assert found.to_dict() == before


def fit(score, label, method="isotonic", **options):
    return ScoreCalibrator(method).fit(score, label, **options)


def stored(**entries):
    return ScoreCalibrator.from_dict({"method": "isotonic", "keep_rate": 1.0, **entries})


def logistic(**entries):
    state = {"centre": 0.0, "scale": 1.0, "slope": 1.0, "intercept": 0.0}
    return stored(**{"method": "logistic", **state, **entries})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ScoreCalibrator("platt"), ValueError, "method must be one of .* got 'platt'"),
        (lambda: ScoreCalibrator().predict([1]), ValueError, "has no scores: call fit first"),
        (lambda: ScoreCalibrator().to_dict(), ValueError, "has no scores: call fit first"),
        (lambda: fit([], []), ValueError, "got 0 positives among 0 rows"),
        (lambda: fit([1, 2], [1, 1]), ValueError, "got 2 positives among 2 rows"),
        (
            lambda: fit([1, 2, 3], [0, 0, 1], sample_weight=[1, 1, 0]),
            ValueError,
            "got 0 positives among 2 rows with a weight",
        ),
        (lambda: fit([1, 2, 3], [0, 1]), ValueError, "score has 3, label has 2"),
        (lambda: fit([1, np.nan], [0, 1]), ValueError, "score holds 1 NaN"),
        (lambda: fit([1, np.inf], [0, 1]), ValueError, "score must be finite; 1 of 2"),
        (lambda: fit([-1e308, 1e308], [0, 1]), ValueError, "score goes from -1e.308 to 1e.308"),
        (lambda: fit(["a", "b"], [0, 1]), TypeError, "score must be numeric"),
        (lambda: fit([1, 2], [0, 2]), ValueError, "label holds the labels 0, 2"),
        (lambda: fit([1, 2], [0, None]), ValueError, "label"),
        (lambda: fit([1, 2], [0, 1], sample_weight=[1]), ValueError, "sample_weight has 1"),
        (lambda: fit([1, 2], [0, 1], sample_weight=[1, -1]), ValueError, "not negative"),
        (lambda: fit([1, 2], [0, 1], keep_rate=0), ValueError, r"keep_rate .* \(0, 1\]; got 0"),
        (lambda: fit([1, 2], [0, 1], keep_rate=1.5), ValueError, "keep_rate .* got 1.5"),
        (lambda: fit([1, 2], [0, 1], keep_rate=np.nan), ValueError, "keep_rate .* got nan"),
        (lambda: fit([1, 2], [0, 1], keep_rate="1"), TypeError, "keep_rate must be a number"),
        (lambda: fit([1, 2], [0, 1], keep_rate=True), TypeError, "got True"),
        (lambda: fit([1, 2], [1, 0]), ValueError, "backwards: positives stand at 0 .* at 1;"),
        (
            lambda: fit([1, 2, 3], [1, 0, 0], "logistic"),
            ValueError,
            "backwards: positives stand at 0 .* negatives at 0.75; pass -score",
        ),
        (lambda: fit([1, 2, 3], [0, 0, 1], "logistic"), ValueError, "separates the labels"),
        (lambda: fit([1, 2, 2, 3], [0, 0, 1, 1], "logistic"), ValueError, "separates"),
        (lambda: fit([1, 2], [0, 1]).predict([np.inf]), ValueError, "score must be finite"),
        (lambda: fit([1, 2], [0, 1]).predict([np.nan]), ValueError, "score holds 1 NaN"),
        (lambda: fit([1, 2], [0, 1]).predict([[1]]), ValueError, "one-dimensional"),
        (lambda: ScoreCalibrator.from_dict([1]), TypeError, "state must be a mapping; got list"),
        (lambda: stored(method="x"), ValueError, "method of state must be one of .* got 'x'"),
        (lambda: ScoreCalibrator.from_dict({}), ValueError, "method of state .* got None"),
        (lambda: stored(score=[1]), ValueError, "entries method, keep_rate, score, level; got"),
        (lambda: stored(score=[1], level=[1], n=3), ValueError, "entries .* level, n"),
        (lambda: stored(score=[], level=[]), ValueError, "one length, at least 1; got 0 and 0"),
        (lambda: stored(score=[1], level=[0, 1]), ValueError, "one length.* got 1 and 2"),
        (lambda: stored(score=[1, 1], level=[0, 1]), ValueError, "score of state must increase"),
        (lambda: stored(score=[1, 2], level=[1, 0]), ValueError, "level not decrease"),
        (lambda: stored(score=[1, 2], level=[0, 2]), ValueError, "it goes from 0 to 2"),
        (lambda: stored(score=[1, 2], level=[-1, 1]), ValueError, "it goes from -1 to 1"),
        (lambda: stored(score=[1, np.inf], level=[0, 1]), ValueError, "score of state .* finite"),
        (lambda: stored(score=["a"], level=[1]), TypeError, "score of state must be numeric"),
        (lambda: stored(score=[1], level=[1], keep_rate=2), ValueError, "keep_rate"),
        (lambda: logistic(slope=-1.0), ValueError, "slope of state must be at least 0 .* -1.0"),
        (lambda: logistic(scale=0.0), ValueError, "scale above 0; got 1.0 and 0.0"),
        (lambda: logistic(centre=np.nan), ValueError, "centre of state holds 1 NaN"),
        (lambda: logistic(intercept=np.inf), ValueError, "intercept of state must be finite"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(ScoreCalibrator()) == "ScoreCalibrator('isotonic'), not fitted"
    assert repr(fit([1, 2], [0, 1])) == "ScoreCalibrator('isotonic')"
