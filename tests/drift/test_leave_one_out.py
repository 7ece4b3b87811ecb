"""Models with one feature removed: the matrix formulas against refits, and honest p-values."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from mlsd._stats import holm
from mlsd.drift._grams import independent, jackknife
from mlsd.drift.leave_one_out import leave_one_out_drift


def month(rng, n=1000, *, weights=(1.0, -0.5, 0.3, 0.0), offset=0.0):
    mix = np.eye(4) + np.triu(np.full((4, 4), 0.4), 1)
    frame = pd.DataFrame(rng.normal(size=(n, 4)) @ mix + offset, columns=list("abcd"))
    frame["y"] = frame.to_numpy() @ weights + rng.normal(size=n)
    return frame


def rss(x, y):
    x = np.column_stack((np.ones(len(x)), x))
    return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum())


def test_shares_are_those_of_refits():
    rng = np.random.default_rng(0)
    ref, live = month(rng, offset=50), month(rng, 700, weights=(0, 1, 0.3, 0.2))
    result = leave_one_out_drift(ref, live, y_ref="y")
    table = result.to_frame().set_index("feature")
    features = list("abcd")
    fitted = LinearRegression().fit(ref[features], ref["y"])
    for side, data in (("ref", ref), ("live", live)):
        total = ((data["y"] - data["y"].mean()) ** 2).sum()
        full = rss(data[features], data["y"])
        assert getattr(result, f"r2_{side}") == pytest.approx(1 - full / total)
        for feature in features:
            rest = [other for other in features if other != feature]
            lost = (rss(data[rest], data["y"]) - full) / total
            assert table.loc[feature, f"share_{side}"] == pytest.approx(lost)
            sign = np.sign(LinearRegression().fit(data[features], data["y"]).coef_)
            assert np.sign(table.loc[feature, f"effect_{side}"]) == sign[features.index(feature)]

    def explained(model, columns):
        error = live["y"] - model.predict(live[columns])
        return 1 - error.var(ddof=0) / live["y"].var(ddof=0)  # about the live mean

    assert result.r2_carried == pytest.approx(explained(fitted, features))
    for feature in features:
        rest = [other for other in features if other != feature]
        without = LinearRegression().fit(ref[rest], ref["y"])
        expected = explained(fitted, features) - explained(without, rest)
        assert table.loc[feature, "carried"] == pytest.approx(expected)
    np.testing.assert_allclose(table["delta"], table["share_live"] - table["share_ref"])
    assert result.target == "y"


def test_without_a_target_each_feature_is_predicted_from_the_others():
    rng = np.random.default_rng(1)
    ref, live = (month(rng, n).drop(columns="y") for n in (1000, 700))
    table = leave_one_out_drift(ref, live).to_frame().set_index("feature")
    for feature in ref:
        rest = [other for other in ref if other != feature]
        for side, data in (("ref", ref), ("live", live)):
            score = (
                LinearRegression().fit(data[rest], data[feature]).score(data[rest], data[feature])
            )
            assert table.loc[feature, f"r2_{side}"] == pytest.approx(score)
        error = live[feature] - LinearRegression().fit(ref[rest], ref[feature]).predict(live[rest])
        carried = 1 - error.var(ddof=0) / live[feature].var(ddof=0)
        assert table.loc[feature, "r2_carried"] == pytest.approx(carried)


def test_the_standard_error_is_that_of_a_jackknife_of_refits():
    rng = np.random.default_rng(2)
    ref, live = month(rng, 400), month(rng, 300)
    table = leave_one_out_drift(ref, live, y_ref="y", n_blocks=10).to_frame().set_index("feature")
    variance = 0.0
    for data in (ref, live):
        shares = []
        edges = np.linspace(0, len(data), 11).astype(int)
        for start, stop in itertools.pairwise(edges):
            part = data.drop(index=range(start, stop))
            total = ((part["y"] - part["y"].mean()) ** 2).sum()
            lost = rss(part[list("bcd")], part["y"]) - rss(part[list("abcd")], part["y"])
            shares.append(lost / total)
        variance += 9 / 10 * ((np.array(shares) - np.mean(shares)) ** 2).sum()
    assert table.loc["a", "stderr"] == pytest.approx(np.sqrt(variance))


def test_jackknife_of_a_mean():
    values = np.random.default_rng(3).normal(size=40)
    without = (values.sum() - values) / 39
    assert jackknife(without[:, None])[0] == pytest.approx(values.std(ddof=1) / np.sqrt(40))


@pytest.mark.parametrize("with_target", [True, False])
def test_p_values_are_honest(with_target):
    rng = np.random.default_rng(4)
    p = []
    for _ in range(150):
        ref, live = month(rng, 1500), month(rng, 500)
        if with_target:
            p.append(leave_one_out_drift(ref, live, y_ref="y").table["p"])
        else:
            p.append(leave_one_out_drift(ref, live, columns=list("abcd")).table["p"])
    assert 0.015 <= np.mean(np.array(p) < 0.05) <= 0.085


def test_a_feature_that_turned_its_sign_or_fell_silent_is_found():
    rng = np.random.default_rng(5)
    ref = month(rng, 2000, weights=(1, 0.5, 0.3, 0))
    turned = month(rng, 2000, weights=(1, -0.5, 0.3, 0))
    result = leave_one_out_drift(ref, turned, y_ref="y")
    table = result.to_frame()
    assert table.loc[0, "feature"] == "b"
    assert table.loc[0, "p_adj"] < 1e-12
    assert table.loc[0, "carried"] < 0  # it does harm now
    assert result.r2_carried < result.r2_live
    np.testing.assert_array_equal(table["p_adj"], holm(table["p"]))
    silent = month(rng, 2000, weights=(1, 0.5, 0, 0))
    assert leave_one_out_drift(ref, silent, y_ref="y").table["feature"][0] == "c"


def test_a_flipped_correlation_is_found_without_a_target():
    rng = np.random.default_rng(6)

    def sample(sign):
        a, b, c = rng.normal(size=(3, 1500))
        return pd.DataFrame({"a": a, "b": sign * 0.8 * a + 0.6 * b, "c": c})

    table = leave_one_out_drift(sample(1), sample(-1)).to_frame().set_index("feature")
    assert (table.loc[["a", "b"], "p_adj"] < 1e-12).all()
    assert table.loc["c", "p_adj"] > 0.01
    # Fitted to live rows it explains as much as before: only carrying it over tells.
    assert table.loc["a", "r2_live"] == pytest.approx(table.loc["a", "r2_ref"], abs=0.05)
    assert table.loc["a", "r2_carried"] < -1


def test_what_cannot_take_part_is_named():
    rng = np.random.default_rng(7)
    ref, live = month(rng), month(rng)
    for data in (ref, live):
        data["flat"] = 0.1
        data["sum"] = data["a"] - 2 * data["b"] + 3
        data["s"] = "text"
        data["e"] = rng.normal(size=1000)
    live["e"] = 7.0
    result = leave_one_out_drift(ref, live, y_ref="y")
    assert result.excluded == {
        "s": "categorical, not numeric or boolean",
        "flat": "constant in ref",
        "sum": "collinear with a, b in ref",
        "e": "constant in live",
    }
    assert sorted(result.table["feature"]) == list("abcd")
    assert "sum (collinear with a, b in ref)" in str(result)


def test_independent():
    covariance = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert independent(covariance, ["x", "y", "z"]) == (
        [0],
        {"y": "collinear with x", "z": "constant"},
    )


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_nulls(missing):
    rng = np.random.default_rng(8)
    ref, live = month(rng), month(rng)
    ref.loc[:99, "a"] = np.nan
    live.loc[:49, "b"] = np.inf
    live.loc[40:59, "y"] = np.nan
    result = leave_one_out_drift(ref, live, y_ref="y", missing=missing)
    if missing == "drop":
        expected = leave_one_out_drift(ref.iloc[100:], live.iloc[60:], y_ref="y")
        assert (result.dropped_ref, result.dropped_live) == (100, 60)
        assert "100 rows of the reference and 60 live" in str(result)
    else:
        filled = live.replace(np.inf, np.nan).fillna({"b": ref["b"].mean()})
        expected = leave_one_out_drift(
            ref.fillna({"a": ref["a"].mean()}), filled.drop(index=range(40, 60)), y_ref="y"
        )
        assert (result.filled_ref, result.filled_live) == (100, 50)
        assert (result.dropped_ref, result.dropped_live) == (0, 20)
    pd.testing.assert_frame_equal(result.to_frame(), expected.to_frame())


def test_a_binary_target_and_labels():
    rng = np.random.default_rng(9)
    ref, live = month(rng), month(rng)
    words = [np.where(data.pop("y") > 0, "yes", "no") for data in (ref, live)]
    one = leave_one_out_drift(ref, live, y_ref=words[0], y_live=words[1], pos_label="yes")
    other = leave_one_out_drift(ref, live, y_ref=words[0] == "yes", y_live=words[1] == "yes")
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_units_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    ref, live = month(rng, 200), month(rng, 150)
    base = leave_one_out_drift(ref, live, y_ref="y").to_frame()
    scaled = leave_one_out_drift(
        pl.from_pandas(ref * 1e3 + 1e5), pl.from_pandas(live * 1e3 + 1e5), y_ref="y"
    ).to_frame()
    assert scaled["feature"].tolist() == base["feature"].tolist()
    np.testing.assert_allclose(scaled["share_live"], base["share_live"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(scaled["p"], base["p"], rtol=1e-4)
    assert base["share_ref"].between(0, 1).all()
    same = leave_one_out_drift(ref, ref, y_ref="y").to_frame()
    assert (same["p"] == 1).all()


@pytest.mark.parametrize("unit", [1e300, 1e-300])
@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_units_do_not_matter_however_large(unit, missing):
    rng = np.random.default_rng(20)
    ref, live = month(rng, 300, offset=5), month(rng, 400, weights=(0, 1, 0.3, 0.2))
    ref.loc[3, "b"] = np.nan
    for of_y in (unit, 1.0):
        far = [frame.assign(a=frame["a"] * unit, y=frame["y"] * of_y) for frame in (ref, live)]
        for target in (None, "y"):
            features = None if target else list("abcd")
            options = {"columns": features, "y_ref": target, "missing": missing}
            pd.testing.assert_frame_equal(
                leave_one_out_drift(*far, **options).to_frame(),
                leave_one_out_drift(ref, live, **options).to_frame(),
                rtol=1e-9,
            )


def test_a_column_that_left_all_units_is_named():
    rng = np.random.default_rng(21)
    ref, live = month(rng, 300), month(rng, 300)
    with pytest.raises(ValueError, match=r"live\['b'\] holds a value .*e\+299 times as large"):
        leave_one_out_drift(ref, live.assign(b=live["b"] * 1e300))
    with pytest.raises(ValueError, match=r"y_live holds a value .* times as large"):
        leave_one_out_drift(ref, live.assign(y=live["y"] * 1e40), y_ref="y")


FRAME = month(np.random.default_rng(10), 200)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: leave_one_out_drift(FRAME, FRAME, y_live=FRAME["y"]),
            ValueError,
            "y_ref is missing",
        ),
        (
            lambda: leave_one_out_drift(FRAME, FRAME.head(99), y_ref="y"),
            ValueError,
            "live has 99 usable rows: at least 100 .* missing='mean' would",
        ),
        (
            lambda: leave_one_out_drift(FRAME[["a"]], FRAME[["a"]]),
            ValueError,
            "must share two features without a target",
        ),
        (
            lambda: leave_one_out_drift(FRAME[["y"]], FRAME[["y"]], y_ref="y"),
            ValueError,
            "must share a feature",
        ),
        (
            lambda: leave_one_out_drift(FRAME.assign(y=3.0), FRAME, y_ref="y"),
            ValueError,
            "y_ref is 3 in all 200 usable rows",
        ),
        (
            lambda: leave_one_out_drift(FRAME, FRAME, missing="median"),
            ValueError,
            "missing must be one of 'drop', 'mean'",
        ),
        (
            lambda: leave_one_out_drift(FRAME, FRAME, n_blocks=5),
            ValueError,
            "n_blocks must be at least 10; got 5",
        ),
        (lambda: leave_one_out_drift(FRAME, FRAME, level=2), ValueError, "level must lie"),
        (lambda: leave_one_out_drift(FRAME, {"a": [1]}), TypeError, "live must be a table"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
