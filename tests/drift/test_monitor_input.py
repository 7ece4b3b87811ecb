"""Seasons, segments, stored monitors, other libraries, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlsd.drift import DriftMonitor, Profile


def week(weeks, seed, weekend=2.0):
    """Return hourly rows, with a mean that is higher at weekends."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(7 * weeks) % 7, 48)
    x = rng.normal(size=day.size) + weekend * (day >= 5)
    kind = np.where(day >= 5, "weekend", "weekday")
    return pd.DataFrame({"x": x, "z": rng.normal(size=day.size), "day": day}), kind


@pytest.fixture(scope="module")
def seasonal():
    X, kind = week(40, 1)
    return DriftMonitor().fit(X[["x", "z"]], season=kind)


def test_a_season_is_compared_with_its_like(seasonal):
    X, kind = week(8, 2)
    weekend = X.loc[kind == "weekend", ["x", "z"]]
    assert not seasonal.compare(weekend, season="weekend").page
    report = seasonal.compare(weekend, season="weekday")
    assert ("x", "distribution") in {(alarm.column, alarm.check) for alarm in report.page}
    assert report.season == "weekday"
    assert seasonal.seasons == ("weekday", "weekend")


def test_without_seasons_the_weekend_pages():
    X, _ = week(40, 1)
    live, kind = week(8, 2)
    report = DriftMonitor().fit(X[["x", "z"]]).compare(live.loc[kind == "weekend", ["x", "z"]])
    assert report.page


def test_season_from_a_column_and_a_function():
    X, kind = week(40, 1)
    live, live_kind = week(8, 2)
    by_name = DriftMonitor().fit(X[["x", "z"]].assign(kind=kind), season="kind")
    by_function = DriftMonitor().fit(X, season=("day", lambda day: day >= 5))
    assert by_function.seasons == ("False", "True")
    assert "kind" not in by_name._references.by_key["weekend", ""].profile.names
    chosen = live_kind == "weekend"
    assert not by_name.compare(live[["x", "z"]].assign(kind=live_kind)[chosen]).page
    assert by_function.compare(live[chosen]).season == "True"
    with pytest.raises(ValueError, match=r"rows of 2 seasons: .*compare each alone"):
        by_function.compare(live)


def test_segments_find_what_the_whole_hides():
    rng = np.random.default_rng(3)

    def table(n, shift):
        shop = rng.choice(["big", "small"], size=n, p=[0.9, 0.1])
        return pd.DataFrame({"shop": shop, "x": rng.normal(size=n) + shift * (shop == "small")})

    monitor = DriftMonitor().fit(table(30_000, 0), segments="shop")
    assert monitor.segments == ("big", "small")
    assert not monitor.compare(table(3_000, 0)).page
    report = monitor.compare(table(3_000, 0.4))
    assert {(alarm.segment, alarm.column) for alarm in report.page} == {("small", "x")}
    assert report.page[0].sentence.startswith("[small] x: values are higher")
    rows = report.to_frame()
    assert set(rows["segment"]) == {"", "big", "small"}
    assert not ((rows["segment"] != "") & (rows["column"] == "shop")).any()


def test_segments_that_cannot_be_compared_are_listed():
    rng = np.random.default_rng(4)
    shop = np.array(["big"] * 5_000 + ["middle"] * 500 + ["tiny"] * 20)
    reference = pd.DataFrame({"shop": shop, "x": rng.normal(size=shop.size)})
    monitor = DriftMonitor().fit(reference, segments="shop")
    report = monitor.compare(reference.iloc[:1_050].assign(shop=["big"] * 1_000 + ["middle"] * 50))
    reasons = {line.segment: line.reason for line in report.unchecked if line.segment}
    assert reasons == {
        "middle": "50 live rows are too few: 100 needed",
        "tiny": "20 reference rows are too few: 100 needed",
    }
    stored = Profile.from_frame(reference, like=monitor.reference)
    assert any("split" in line.reason for line in monitor.compare(stored).unchecked)


def test_profiles_and_frames_agree():
    rng = np.random.default_rng(5)
    reference = pd.DataFrame({"x": rng.normal(size=5_000), "c": rng.choice(["a", "b"], 5_000)})
    live = reference.sample(1_000, random_state=1).reset_index(drop=True)
    by_frame = DriftMonitor().fit(reference).compare(live)
    profile = Profile.from_json(Profile.from_frame(reference).to_json())
    monitor = DriftMonitor().fit(profile)
    by_profile = monitor.compare(Profile.from_frame(live, like=profile))
    pd.testing.assert_frame_equal(by_frame.to_frame(), by_profile.to_frame(), check_exact=True)
    by_polars = DriftMonitor().fit(pl.from_pandas(reference)).compare(pl.from_pandas(live))
    pd.testing.assert_frame_equal(by_frame.to_frame(), by_polars.to_frame(), check_exact=True)
    assert not by_frame.page


def test_segments_and_seasons_agree_in_all_libraries():
    X, kind = week(20, 6)
    X = X[["x", "z"]].assign(kind=kind, shop=np.where(np.arange(len(X)) % 3, "a", "b"))
    live = X[kind == "weekend"]
    frames = []
    y = pd.Series(np.arange(len(X)) % 7 == 0)

    def to_arrow(frame):
        return pa.Table.from_pandas(frame, preserve_index=False)

    for convert in (lambda frame: frame, pl.from_pandas, to_arrow):
        monitor = DriftMonitor().fit(convert(X), season="kind", segments="shop", y=y)
        frames.append(monitor.compare(convert(live), y=y[live.index]).to_frame())
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], frame, check_exact=True)
    assert set(frames[0]["segment"]) == {"", "a", "b"}
    assert "target" in set(frames[0]["check"])


def test_a_monitor_travels_as_json(seasonal):
    live, kind = week(8, 7)
    weekend = live.loc[kind == "weekend", ["x", "z"]]
    again = DriftMonitor.from_json(seasonal.to_json())
    pd.testing.assert_frame_equal(
        again.compare(weekend, season="weekend").to_frame(),
        seasonal.compare(weekend, season="weekend").to_frame(),
        check_exact=True,
    )
    X, _ = week(20, 8)
    expecting = DriftMonitor(
        expect={"x": {"range": (None, 9), "nullable": False}}, checks=["null", "schema"]
    ).fit(X)
    text = expecting.to_json()
    assert DriftMonitor.from_json(text).to_json() == text


def test_a_calibrated_monitor_travels_too():
    rng = np.random.default_rng(9)
    X = pd.DataFrame({"x": np.repeat(rng.normal(size=500), 20)})
    monitor = DriftMonitor(min_rows=50).fit(X.head(4_000))
    monitor.calibrate(X.tail(6_000), n_live=300)
    live = X.iloc[4_000:4_300]
    again = DriftMonitor.from_json(monitor.to_json())
    report = again.compare(live)
    assert report.calibrated
    pd.testing.assert_frame_equal(
        report.to_frame(), monitor.compare(live).to_frame(), check_exact=True
    )


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "text is no JSON"),
        ("[]", "text is no DriftMonitor"),
        ('{"kind": "drift_monitor", "version": 2}', "version 2 is unknown; known is 1"),
        ('{"kind": "drift_monitor", "version": 1}', "no whole DriftMonitor: KeyError"),
    ],
)
def test_json_of_something_else(text, match):
    with pytest.raises(ValueError, match=match):
        DriftMonitor.from_json(text)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"false_pages_per_quarter": 0}, ValueError, "false_pages_per_quarter must be finite"),
        (
            {"false_pages_per_quarter": 91},
            ValueError,
            "allows a false page in every run.* below 91",
        ),
        ({"runs_per_day": "1"}, TypeError, "runs_per_day must be a number"),
        ({"min_effect": -0.1}, ValueError, "min_effect must be finite and at least 0; got -0.1"),
        ({"min_effect": None}, TypeError, "min_effect must be a number; got None"),
        ({"watch_fdr": 1.0}, ValueError, "watch_fdr must lie strictly between 0 and 1"),
        ({"checks": "null"}, ValueError, "checks must be 'auto' or a list of checks; got 'null'"),
        ({"checks": ["nulls"]}, ValueError, r"checks must be some of \['distribution'"),
        ({"checks": []}, ValueError, "checks must be some of"),
        ({"min_rows": 0}, ValueError, "min_rows must be at least 1"),
    ],
)
def test_options_that_make_no_sense(options, error, match):
    with pytest.raises(error, match=match):
        DriftMonitor(**options)


def test_bad_input():
    X, kind = week(10, 10)
    monitor = DriftMonitor().fit(X)
    with pytest.raises(RuntimeError, match="no reference yet: call fit first"):
        DriftMonitor().compare(X)
    with pytest.raises(TypeError, match="X must be a table of pandas, polars or pyarrow; got list"):
        monitor.compare([1, 2])
    with pytest.raises(ValueError, match="X has 50 reference rows; at least 100 are needed"):
        DriftMonitor().fit(X.head(50))
    with pytest.raises(ValueError, match="min_rows=100 are needed, and even then a mean must move"):
        monitor.compare(X.head(99))
    with pytest.raises(ValueError, match="X has 0 rows"):
        monitor.compare(X.head(0))
    other = Profile.from_frame(X.head(500))
    with pytest.raises(ValueError, match=r"make it with Profile\.from_frame\(live, like=monitor"):
        monitor.compare(other)
    with pytest.raises(ValueError, match="season='x', but the reference has no seasons"):
        monitor.compare(X, season="x")
    with pytest.raises(ValueError, match="y needs the rows; X is a Profile"):
        monitor.fit(other, y=[1])
    with pytest.raises(ValueError, match="y and prediction belong to the rows; X is a Profile"):
        monitor.compare(Profile.from_frame(X, like=monitor.reference), y=[1])
    with pytest.raises(ValueError, match="lengths differ: season has 3, X 3360"):
        monitor.fit(X, season=["a", "b", "c"])
    with pytest.raises(ValueError, match="season is missing for 1 of 3360 rows"):
        monitor.fit(X, season=np.array([None, *kind[1:]], dtype=object))
    with pytest.raises(ValueError, match="season 'rare' has 3 reference rows"):
        monitor.fit(X, season=np.where(np.arange(len(X)) < 3, "rare", "usual"))
    with pytest.raises(ValueError, match=r"lacks the columns \['shop'\]"):
        monitor.fit(X, segments="shop")


def test_seasons_that_are_unknown(seasonal):
    X, _ = week(8, 11)
    with pytest.raises(ValueError, match=r"season is needed: one of \['weekday', 'weekend'\]"):
        seasonal.compare(X[["x", "z"]])
    with pytest.raises(ValueError, match=r"season must be one of .*; got 'sunday'"):
        seasonal.compare(X[["x", "z"]], season="sunday")
    with pytest.raises(AttributeError, match="every season has its own reference"):
        _ = seasonal.reference


def test_a_failed_fit_leaves_the_monitor_as_it_was():
    X, _ = week(10, 12)
    monitor = DriftMonitor().fit(X)
    before = monitor.to_json()
    with pytest.raises(ValueError, match="at least 100"):
        monitor.fit(X.head(3))
    assert json.loads(monitor.to_json()) == json.loads(before)
