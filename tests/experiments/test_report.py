from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_data import KEYS, METRICS, make_before, make_log

from mlsd._stats import holm
from mlsd._validation import UndefinedMetricWarning
from mlsd.experiments.assignment import sample_ratio_test
from mlsd.experiments.comparison import compare_means, compare_ratios
from mlsd.experiments.multiple import benjamini_hochberg
from mlsd.experiments.report import compare


def naive_sums(log):
    """Return one row a unit, added up in a loop."""
    rows = {}
    for row in log.itertuples():
        unit = rows.setdefault(row.user_id, {"arm": row.arm, "click": 0, "dwell": 0.0, "rows": 0})
        unit["click"] += row.click
        unit["dwell"] += row.dwell
        unit["rows"] += 1
    return pd.DataFrame.from_dict(rows, orient="index")


def same(found, other):
    names = ("control", "treatment", "difference", "lower", "upper", "p_value", "lift_lower")
    for name in (*names, "df", "variance_reduction", "n_control", "n_treatment", "method"):
        value = getattr(other, name)
        close = value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-12)
        assert getattr(found, name) == close, name


def test_against_sums_of_a_naive_loop():
    log = make_log()
    report = compare(log, **KEYS, metrics=METRICS, control="old")
    units = naive_sums(log)
    old, new = (units[units["arm"] == arm] for arm in ("old", "new"))
    same(report["clicks"], compare_means(old["click"], new["click"]))
    same(report["views"], compare_means(old["rows"], new["rows"]))
    for name, (top, bottom) in {"ctr": ("click", "rows"), "dwell": ("dwell", "click")}.items():
        same(report[name], compare_ratios(units[top], units[bottom], units["arm"], control="old"))
    assert report.n_units == {"new": len(new), "old": len(old)}
    assert report.srm == sample_ratio_test({"new": len(new), "old": len(old)})
    assert (report.n_rows, report.dropped, report.valid) == (3000, {}, True)
    assert report["ctr"].metric == "ctr"
    assert (report["ctr"].control_name, report["ctr"].treatment_name) == ("old", "new")


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda log: log.sample(frac=1, random_state=0),
        lambda log: log.astype({"arm": "category", "user_id": "category"}),
        lambda log: log.astype({"click": "Int64", "dwell": "Float64", "user_id": "string"}),
        lambda log: log.set_index("time", drop=False),
    ],
)
def test_kinds_of_tables(convert):
    log, before = make_log(), make_before()
    options = {**KEYS, "metrics": METRICS, "control": "old"}
    expected = compare(log, before=before, **options).to_frame()
    table = convert(log)
    found = compare(table, before=convert(before.assign(arm="-")), **options).to_frame()
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    assert convert(log).equals(table)  # the caller's is left alone


def test_cuped_with_rows_from_before():
    log, before = make_log(), make_before()
    before = before[before["user_id"] < 250]  # the others are new: their sums are 0
    strangers = before.head(40).assign(user_id=10_000)
    report = compare(
        log, **KEYS, metrics=METRICS, control="old", before=pd.concat([before, strangers])
    )
    assert report.dropped == {"rows of before whose unit is not in the experiment": 40}
    units = naive_sums(log)
    past = naive_sums(before.assign(arm=0)).reindex(units.index).fillna(0)
    is_old = units["arm"] == "old"
    same(
        report["clicks"],
        compare_means(
            units["click"][is_old],
            units["click"][~is_old],
            covariate=(past["click"][is_old], past["click"][~is_old]),
        ),
    )
    same(
        report["ctr"],
        compare_ratios(
            units["click"],
            units["rows"],
            units["arm"],
            control="old",
            covariate=(past["click"], past["rows"]),
        ),
    )
    assert report["clicks"].method == "Welch, CUPED"
    named = compare(
        log,
        **KEYS,
        metrics=METRICS,
        control="old",
        before=before,
        covariates={"ctr": "click", "clicks": 1},
    )
    same(
        named["ctr"],
        compare_ratios(
            units["click"], units["rows"], units["arm"], control="old", covariate=past["click"]
        ),
    )
    assert named["clicks"].method == "Welch, CUPED"
    assert named["views"].method == "Welch"


def test_cuped_with_a_column_of_the_log():
    log = make_log()
    known = pd.Series(np.random.default_rng(3).normal(size=300))
    units = naive_sums(log)
    is_old = units["arm"] == "old"
    gaps = [5, 7, 11]
    past = known.copy()
    past[gaps] = known.drop(gaps)[units.index.drop(gaps)].mean()
    covariate = past[units.index]
    report = compare(
        log.assign(known=known.where(~known.index.isin(gaps))[log["user_id"]].to_numpy()),
        **KEYS,
        metrics={"clicks": "click"},
        control="old",
        covariates={"clicks": "known"},
    )
    same(
        report["clicks"],
        compare_means(
            units["click"][is_old],
            units["click"][~is_old],
            covariate=(covariate[is_old.to_numpy()], covariate[~is_old.to_numpy()]),
        ),
    )
    assert report.dropped == {"units whose known was filled with the mean": 3}


def test_units_that_never_came_back():
    log = make_log()
    absent = pd.DataFrame({"user_id": np.arange(1000, 1100), "arm": ["old", "new"] * 50})
    table = pd.concat([log[["user_id", "arm"]].drop_duplicates(), absent])
    extra = log.head(30).assign(user_id=77_777)
    report = compare(
        pd.concat([log, extra]).drop(columns="arm"),
        **KEYS,
        units=table,
        metrics=METRICS,
        control="old",
    )
    units = naive_sums(log)
    old, new = (
        np.append(units["click"][units["arm"] == arm], np.zeros(50)) for arm in ("old", "new")
    )
    same(report["clicks"], compare_means(old, new))
    assert sum(report.n_units.values()) == len(units) + 100
    assert report.dropped == {"rows of frame whose unit is not assigned": 30}
    # A ratio is of what was seen, but the units count.
    assert report["ctr"].control == pytest.approx(
        units["click"][units["arm"] == "old"].sum() / units["rows"][units["arm"] == "old"].sum()
    )


def test_rows_without_unit_or_arm_are_counted():
    log = make_log()
    broken = log.astype({"user_id": "Int64"})
    broken.loc[:4, "user_id"] = pd.NA
    broken.loc[3:9, "arm"] = None
    report = compare(broken, **KEYS, metrics=METRICS, control="old")
    expected = compare(log.iloc[10:], **KEYS, metrics=METRICS, control="old")
    pd.testing.assert_frame_equal(report.to_frame(), expected.to_frame())
    assert report.dropped == {
        "rows of frame without a unit": 5,
        "rows of frame without an arm": 5,
    }
    assert "rows of frame without a unit: 5" in report._repr_html_()


def test_missing_values_of_a_metric():
    log = make_log().astype({"click": float})
    log.loc[:9, "click"] = np.nan
    log.loc[5:19, "dwell"] = np.nan
    with pytest.raises(ValueError, match=r"frame\['click'\] is missing in 10 of 3000 rows"):
        compare(log, **KEYS, metrics=METRICS)
    report = compare(log, **KEYS, metrics=METRICS, control="old", missing="drop")
    filled = log.assign(click=log["click"].fillna(0))
    same(
        report["clicks"],
        compare(filled, **KEYS, metrics=METRICS, control="old", missing="drop")["clicks"],
    )
    both = log.dropna()
    units, all_units = naive_sums(both), naive_sums(log)
    units = units.reindex(all_units.index).fillna(0).assign(arm=all_units["arm"])
    same(
        report["dwell"],
        compare_ratios(units["dwell"], units["click"], units["arm"], control="old"),
    )
    assert report.dropped == {
        "rows where clicks is missing": 10,
        "rows where ctr is missing": 10,
        "rows where dwell is missing": 20,
    }
    # A click rate leaves the views out whose click is not known.
    known = log.dropna(subset="click")
    assert report["ctr"].control == pytest.approx(known[known["arm"] == "old"]["click"].mean())


def test_units_in_two_arms():
    log = make_log()
    crossed = log.copy()
    user = int(log["user_id"][0])
    rows = np.flatnonzero(log["user_id"] == user)
    crossed.loc[rows[0], "arm"] = "old" if log["arm"][0] == "new" else "new"
    with pytest.raises(ValueError, match=rf"1 of 300 units are in two arms, such as {user}:"):
        compare(crossed, **KEYS, metrics=METRICS)
    report = compare(crossed, **KEYS, metrics=METRICS, crossover="drop")
    expected = compare(log[log["user_id"] != user], **KEYS, metrics=METRICS)
    pd.testing.assert_frame_equal(report.to_frame(), expected.to_frame())
    assert report.dropped == {"units in two arms": 1, "rows of units in two arms": rows.size}


def test_several_arms_are_adjusted_together():
    log = make_log(arms=("a", "b", "c"))
    report = compare(log, **KEYS, metrics=METRICS, primary="ctr", guardrails={"views": 1.0})
    frame = report.to_frame()
    assert report.control == "a"
    assert frame["arm"].tolist() == ["b", "c"] * 4
    assert (
        frame["role"].tolist()
        == ["secondary"] * 2 + ["guardrail"] * 2 + ["primary"] * 2 + ["secondary"] * 2
    )
    for names in (["ctr"], ["clicks", "dwell"]):
        family = frame.loc[names]
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p_value"]))
    assert frame.loc["views", "p_adjusted"].isna().all()
    bh = compare(log, **KEYS, metrics=METRICS, adjust="bh").to_frame()
    np.testing.assert_allclose(bh["p_adjusted"], benjamini_hochberg(bh["p_value"]))
    raw = compare(log, **KEYS, metrics=METRICS, adjust=None).to_frame()
    np.testing.assert_array_equal(raw["p_adjusted"], raw["p_value"])
    assert report["ctr", "c"].treatment_name == "c"
    assert report.row(("ctr", "b")).role == "primary"
    with pytest.raises(KeyError, match="'ctr' is of several arms"):
        report["ctr"]
    with pytest.raises(KeyError, match=r"no row for 'x'; the metrics are"):
        report["x"]
    with pytest.raises(KeyError, match="the arms"):
        report["ctr", "x"]
    units = naive_sums(log)
    direct = compare_ratios(units["click"], units["rows"], units["arm"])
    same(report["ctr", "b"], direct["b"])


def two_arms(shift, n=400, spread=1.0, **more):
    """Return one row a unit whose metric is higher by `shift` in the treatment."""
    value = np.tile([10.0 - spread, 10.0 + spread], n // 2)
    return pd.DataFrame(
        {
            "user_id": np.arange(2 * n),
            "arm": np.repeat(["control", "treatment"], n),
            "value": np.r_[value, value + shift],
            **more,
        }
    )


# The standard error of the difference is sqrt(2/399) = 0.0708, the interval +- 0.139.
@pytest.mark.parametrize(
    ("shift", "verdict", "guarded"),
    [
        (0.5, "better", "held"),
        (0.1, "unclear", "held"),
        (-0.07, "unclear", "unclear"),  # a one-sided 95 % would call it held
        (-0.1, "unclear", "unclear"),
        (-0.2, "worse", "unclear"),
        (-0.5, "worse", "broken"),
    ],
)
@pytest.mark.parametrize("upside_down", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_verdicts(shift, verdict, guarded, upside_down, relative):
    log = two_arms(-shift if upside_down else shift)
    options = {**KEYS, "metrics": {"value": "value"}}
    options["lower_is_better"] = ["value"] if upside_down else []
    report = compare(log, **options)
    assert report.row("value").verdict == verdict
    margin = {"value": 0.02 if relative else 0.2}
    row = compare(log, **options, guardrails=margin, relative=relative).row("value")
    assert (row.role, row.verdict) == ("guardrail", guarded)
    assert row.margin == margin["value"]
    assert row.comparison == report["value"]


def test_a_mismatch_withholds_verdicts():
    log = two_arms(0.5).iloc[:600]
    report = compare(log, **KEYS, metrics={"value": "value"})
    assert report.srm.mismatch
    assert not report.valid
    assert report.row("value").verdict == "invalid"
    assert report["value"].p_value < 0.05
    assert "the arms are not comparable" in report._repr_html_()
    planned = compare(
        log, **KEYS, metrics={"value": "value"}, expected={"control": 2, "treatment": 1}
    )
    assert planned.valid
    assert planned.row("value").verdict == "better"
    assert compare(log, **KEYS, metrics={"value": "value"}, srm_alpha=1e-20).valid


def test_a_constant_metric_is_undefined():
    log = two_arms(0.5, zero=0)
    with pytest.warns(UndefinedMetricWarning, match="zero: the metric is constant") as caught:
        report = compare(log, **KEYS, metrics={"zero": "zero", "value": "value"})
    assert [warning.filename for warning in caught] == [__file__]
    assert report.row("zero").verdict == "undefined"
    assert math.isnan(report.row("zero").p_adjusted)
    # An undefined test is none: the other p-value needs no adjustment.
    assert report.row("value").p_adjusted == report["value"].p_value
    with pytest.warns(UndefinedMetricWarning, match="zero"):
        guarded = compare(log, **KEYS, metrics={"zero": "zero"}, guardrails={"zero": 1})
    assert guarded.row("zero").verdict == "undefined"


def test_one_unit_in_an_arm():
    log = two_arms(0.5).iloc[[0, 1, 400]]
    with pytest.warns(UndefinedMetricWarning, match="value: treatment has one unit"):
        report = compare(log, **KEYS, metrics={"value": "value"})
    assert report.row("value").verdict == "undefined"


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(-50, 50), st.integers(1, 9)),
        min_size=30,
        max_size=60,
    ),
    st.randoms(),
)
def test_order_and_cutting_of_rows_do_not_matter(rows, random):
    # Ten units in each arm, so that none is empty; then random rows on top of these.
    base = [(unit, unit % 7, 1 + unit % 3) for unit in range(20)]
    table = [*base, *((unit * 2 + value % 2, value, views) for unit, value, views in rows)]
    # Each row as two, in another order.
    halves = [(u, v - 1, w) for u, v, w in table] + [(u, 1, 0) for u, _, _ in table]
    random.shuffle(halves)
    reports = []
    for part in (table, halves):
        frame = pd.DataFrame(part, columns=["user_id", "value", "views"])
        frame["arm"] = np.where(frame["user_id"] % 2, "treatment", "control")
        metrics = {"value": "value", "ratio": ("value", "views")}
        reports.append(compare(frame, **KEYS, metrics=metrics).to_frame())
    pd.testing.assert_frame_equal(*reports)


# --- presentation ------------------------------------------------------------------------------


def test_tables_and_plot():
    report = compare(make_log(), **KEYS, metrics=METRICS, control="old", primary="ctr")
    frame = report.to_frame()
    assert frame.index.tolist() == list(METRICS)
    assert frame.loc["ctr", "role"] == "primary"
    assert report.to_dict()["rows"][0]["comparison"]["metric"] == "clicks"
    assert report.srm.message in report._repr_html_()
    axes = report.plot()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(METRICS)
    several = compare(make_log(arms=("a", "b", "c")), **KEYS, metrics={"ctr": ("click", 1)})
    names = [tick.get_text() for tick in several.plot().get_yticklabels()]
    assert names == ["ctr, b", "ctr, c"]


def test_an_arm_is_asked_for_by_the_label_of_the_log():
    log = make_log(arms=(0, 1, 2))
    report = compare(log, **KEYS, metrics=METRICS)
    assert report["clicks", 1] == report["clicks", "1"]
    with pytest.raises(KeyError, match="the arms"):
        report["clicks", 7]


def test_a_unit_that_is_left_out_fills_no_gap():
    log = pd.DataFrame(
        {
            "user_id": [1, 2, 3, 4, 5, 6, 7, 7],
            "arm": ["a", "a", "a", "b", "b", "b", "a", "b"],
            "click": [1.0, 2, 5, 2, 4, 3, 0, 0],
            "known": [1.0, 2, np.nan, 1, 3, 2, 900, 900],
        }
    )
    plan = {"metrics": {"clicks": "click"}, "covariates": {"clicks": "known"}}
    report = compare(log, **KEYS, **plan, crossover="drop")
    assert report.dropped == {
        "units in two arms": 1,
        "rows of units in two arms": 2,
        "units whose known was filled with the mean": 1,
    }
    assert report["clicks"] == compare(log[log["user_id"] < 7], **KEYS, **plan)["clicks"]
