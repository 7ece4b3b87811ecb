"""One call against the single functions, against resampling, and against cluster-robust fits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from sklearn import metrics as sk

from mlsd import metrics
from mlsd.metrics._evaluate_binary import compare_binary, evaluate_binary

NAMES = [
    "roc_auc",
    "average_precision",
    "log_loss",
    "normalized_entropy",
    "brier",
    "calibration_ratio",
    "precision",
    "recall",
    "f1",
]


def make(n=400, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    proba = rng.beta(2, 5, n)
    if decimals:
        proba = proba.round(decimals).clip(0.01, 0.99)
    return rng.random(n) < proba**0.8, proba


@pytest.mark.parametrize("decimals", [None, 1, 2])
def test_values_are_those_of_the_single_functions_and_of_scikit_learn(decimals):
    y, p = make(decimals=decimals)
    found = evaluate_binary(y, p, threshold=0.3).metrics["value"]
    assert list(found.index) == NAMES
    single = metrics.precision_recall_f1(y, p, threshold=0.3)
    expected = [
        sk.roc_auc_score(y, p),
        sk.average_precision_score(y, p),
        sk.log_loss(y, p),
        metrics.normalized_entropy(y, p),
        sk.brier_score_loss(y, p),
        p.sum() / y.sum(),
        single.precision,
        single.recall,
        single.f1,
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def jackknife(y, p, unit, threshold):
    """Leave one unit out at a time: a standard error that knows no formula of ours."""
    left_out = [
        evaluate_binary(y[unit != u], p[unit != u], threshold=threshold).metrics["value"]
        for u in np.unique(unit)
    ]
    values = np.array(left_out)
    n = len(values)
    return np.sqrt((n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0))


@pytest.mark.parametrize(("size", "decimals"), [(1, None), (1, 1), (4, None), (4, 1)])
def test_standard_errors_agree_with_leaving_out_one_unit_at_a_time(size, decimals):
    y, p = make(decimals=decimals)
    # Rows of one unit err alike, so that counting rows would be far off.
    unit = np.empty(y.size, dtype=int)
    unit[np.argsort(y - p, kind="stable")] = np.arange(y.size) // size
    found = evaluate_binary(y, p, unit=unit, threshold=0.3).metrics["stderr"]
    np.testing.assert_allclose(found, jackknife(y, p, unit, 0.3), rtol=0.05)
    if size > 1:
        by_row = evaluate_binary(y, p, threshold=0.3).metrics["stderr"]
        assert (found > 1.3 * by_row)[["log_loss", "brier", "calibration_ratio"]].all()


def test_rows_as_units_agree_with_delong_and_the_ratio_with_its_own_function():
    y, p = make(3000)
    found = evaluate_binary(y, p).metrics
    delong = metrics.roc_auc_ci(y, p)
    assert found.loc["roc_auc", "stderr"] == pytest.approx(delong.stderr, rel=1e-3)
    assert found.loc["roc_auc", "lower"] == pytest.approx(delong.lower, rel=1e-3)
    ratio = metrics.calibration_ratio(y, p)
    assert found.loc["calibration_ratio", "stderr"] == pytest.approx(ratio.stderr, rel=1e-3)


def test_the_mean_loss_by_unit_agrees_with_a_cluster_robust_fit():
    y, p = make()
    unit = np.repeat(np.arange(50), 8)
    losses = -np.log(np.where(y, p, 1 - p))
    fit = sm.OLS(losses, np.ones(losses.size)).fit(
        cov_type="cluster", cov_kwds={"groups": unit, "use_correction": False}
    )
    expected = fit.bse[0] * np.sqrt(50 / 49)
    found = evaluate_binary(y, p, unit=unit).metrics.loc["log_loss", "stderr"]
    assert found == pytest.approx(expected, rel=1e-12)


def test_repeating_every_row_changes_an_interval_by_rows_and_none_by_unit():
    y, p = make()
    unit = np.arange(y.size)
    once = evaluate_binary(y, p, unit=unit).metrics
    twice = [np.tile(values, 2) for values in (y, p, unit)]
    by_unit = evaluate_binary(*twice[:2], unit=twice[2]).metrics
    np.testing.assert_allclose(by_unit, once, rtol=1e-12)
    by_row = evaluate_binary(*twice[:2]).metrics
    positive, alarms = int(y.sum()), p >= 0.5
    rarer, either = min(positive, int((~y).sum())), int((y | alarms).sum())
    of = [rarer, positive, 400, rarer, 400, positive, int(alarms.sum()), positive, either]
    shrunk = np.sqrt([(m - 1) / (2 * m - 1) for m in of])
    np.testing.assert_allclose(by_row["stderr"], once["stderr"] * shrunk, rtol=1e-12)


def test_intervals_cover_by_unit_where_intervals_by_row_do_not():
    rng = np.random.default_rng(3)
    covered = {"unit": 0, "row": 0}
    sizes = (60, 20)
    draws = []
    for _ in range(300):
        shift = np.repeat(rng.normal(0, 2, sizes[0]), sizes[1])
        logit = rng.normal(-1, 1, shift.size)
        y = rng.random(shift.size) < 1 / (1 + np.exp(-(logit + shift)))
        draws.append((y, 1 / (1 + np.exp(-logit))))
    truth = np.mean([evaluate_binary(y, p)["log_loss"] for y, p in draws])
    unit = np.repeat(np.arange(sizes[0]), sizes[1])
    for y, p in draws:
        for name, of in (("unit", unit), ("row", None)):
            row = evaluate_binary(y, p, unit=of).metrics.loc["log_loss"]
            covered[name] += row["lower"] <= truth <= row["upper"]
    assert 0.91 <= covered["unit"] / 300 <= 0.98
    assert covered["row"] / 300 < 0.75


def test_what_is_missing_is_counted_or_refused():
    y = [1, 0, None, 1, 0]
    p = [0.9, np.nan, 0.2, 0.4, 0.1]
    unit = ["a", "a", "b", None, "c"]
    result = evaluate_binary(y, p, unit=unit, missing="drop")
    assert (result.n, result.n_dropped, result.n_positive, result.n_units) == (2, 3, 1, 2)
    assert "3 rows dropped" in repr(result)
    assert "3 rows dropped" in result._repr_html_()
    with pytest.raises(ValueError, match="y_true holds 1 NaN among 5"):
        evaluate_binary(y, p)
    with pytest.raises(ValueError, match="y_proba holds 1 NaN"):
        evaluate_binary([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="unit has 1 missing values among 2"):
        evaluate_binary([0, 1], [0.5, 0.5], unit=["a", None])
    with pytest.raises(ValueError, match="nothing to evaluate, 1 rows dropped"):
        evaluate_binary([0], [np.nan], missing="drop")


def test_undefined_is_nan_with_a_warning_that_names_it():
    with pytest.warns(
        metrics.UndefinedMetricWarning,
        match="roc_auc, average_precision, normalized_entropy, calibration_ratio, precision, rec",
    ):
        result = evaluate_binary([0, 0, 0], [0.1, 0.2, 0.3])
    assert np.isnan(result["roc_auc"])
    assert result["brier"] == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    with pytest.warns(metrics.UndefinedMetricWarning, match="undefined, and nan: precision; of 2"):
        result = evaluate_binary([0, 1], [0.1, 0.3])
    assert result["recall"] == 0.0
    assert result.metrics.loc["recall", ["lower", "upper"]].isna().all()


def test_a_certain_mistake_is_counted_and_infinite():
    result = evaluate_binary([1, 0, 1], [0.0, 0.4, 0.9])
    assert result["log_loss"] == np.inf
    assert result.n_certain_mistakes == 1
    assert result.metrics.loc["log_loss", ["lower", "upper", "stderr"]].isna().all()


def test_one_unit_says_nothing_about_spread():
    y, p = make(50)
    result = evaluate_binary(y, p, unit=np.zeros(50))
    assert result.metrics[["lower", "upper", "stderr"]].isna().all(axis=None)


def test_other_inputs_and_other_labels():
    y, p = make(60)
    plain = evaluate_binary(y, p).metrics
    text = pd.Series(np.where(y, "yes", "no"), index=range(60, 0, -1))
    named = evaluate_binary(text, pl.Series(p), pos_label="yes").metrics
    pd.testing.assert_frame_equal(named, plain)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: evaluate_binary([0, 1], [0.5]), ValueError, "y_true has 2, y_proba has 1"),
        (lambda: evaluate_binary([0, 1], [0.5, 1.5]), ValueError, "1.5 at position 1"),
        (lambda: evaluate_binary([0, 1], [0.5, 0.5], unit=[1]), ValueError, "unit has 1"),
        (lambda: evaluate_binary([0, 1], [0.5, 0.5], missing="x"), ValueError, "missing must be"),
        (lambda: evaluate_binary([0, 1], [0.5, 0.5], level=1), ValueError, "level must lie"),
        (lambda: evaluate_binary([0, 1], [0.5, 0.5], threshold="a"), TypeError, "threshold must"),
        (lambda: evaluate_binary([0, 2], [0.5, 0.5]), ValueError, "y_true holds the labels 0, 2"),
        (lambda: evaluate_binary([], []), ValueError, "nothing to evaluate"),
    ],
)
def test_refuses(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_few_positives_give_wide_intervals_and_one_gives_none():
    rng = np.random.default_rng(0)
    p = rng.random(1000)
    y = np.zeros(1000, dtype=bool)
    y[np.argsort(-p)[99]] = True
    one = evaluate_binary(y, p).metrics
    assert one.loc[["roc_auc", "recall"], ["lower", "upper"]].isna().all(axis=None)
    assert compare_binary(y, p, rng.random(1000)).metrics.loc["roc_auc"].isna()["p_value"]
    covered = 0
    for _ in range(400):
        score = rng.normal(size=300)
        y = np.arange(300) < 5
        row = evaluate_binary(y, 1 / (1 + np.exp(-score - y))).metrics.loc["roc_auc"]
        truth = 0.7602499389065233  # P(N(1, 1) > N(0, 1)), that is Φ(1/√2)
        covered += bool(row["lower"] <= truth <= row["upper"])
    assert 0.92 <= covered / 400 <= 0.995


def test_the_comparison_is_delongs_for_the_area_of_independent_rows():
    y, a = make(3000)
    b = np.clip(a + np.random.default_rng(1).normal(0, 0.1, a.size), 0, 1)
    row = compare_binary(y, a, b).metrics.loc["roc_auc"]
    delong = metrics.compare_roc_auc(y, a, b)
    assert row["difference"] == pytest.approx(delong.difference, rel=1e-12)
    assert row["stderr"] == pytest.approx(delong.stderr, rel=2e-3)
    assert row["lower"] == pytest.approx(delong.lower, rel=1e-2)


def test_the_comparison_by_unit_agrees_with_leaving_out_one_unit_at_a_time():
    y, a = make()
    b = a**1.5
    unit = np.empty(y.size, dtype=int)
    unit[np.argsort(y - a, kind="stable")] = np.arange(y.size) // 4
    found = compare_binary(y, a, b, unit=unit, threshold=0.3).metrics["stderr"]
    left_out = [
        compare_binary(y[unit != u], a[unit != u], b[unit != u], threshold=0.3).metrics[
            "difference"
        ]
        for u in np.unique(unit)
    ]
    values = np.array(left_out)
    n = len(values)
    jackknifed = np.sqrt((n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(found, jackknifed, rtol=0.06, atol=1e-12)


def test_no_spread_is_no_proof():
    separated = compare_binary([0, 0, 1, 1], [0.1, 0.1, 0.9, 0.9], [0.9, 0.9, 0.1, 0.1]).metrics
    assert separated.loc["roc_auc", "difference"] == 1.0
    assert separated.loc["log_loss", "stderr"] == 0.0
    assert (
        separated.loc[["roc_auc", "log_loss"], ["lower", "upper", "p_value"]].isna().all(axis=None)
    )
    y, p = make(50)
    same = compare_binary(y, p, p).metrics
    assert (same["p_value"] == 1.0).all()
    assert (same[["lower", "upper", "stderr"]] == 0.0).all(axis=None)


def test_ends_stay_finite_and_names_are_told():
    result = evaluate_binary([0, 1, 0, 1], [0.1, 0.99, 0.3, 0.8], level=0.9999)
    assert np.isfinite(result.metrics.loc["log_loss", "upper"])
    with pytest.raises(KeyError, match=r"'auc' is no metric here; there are .*'roc_auc'"):
        result["auc"]
    with pytest.raises(ValueError, match="lengths differ: y_true has 2, proba_a has 2, proba_b"):
        compare_binary([0, 1], [0.1, 0.2], [0.1])
    dropped = compare_binary([0, 1, 1], [0.1, 0.9, np.nan], [0.2, 0.7, 0.1], missing="drop")
    assert (dropped.n, dropped.n_dropped) == (2, 1)
    assert "1 rows dropped" in repr(dropped)
