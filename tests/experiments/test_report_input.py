"""What compare refuses: times of several kinds, a past that is none, and arguments out of range."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from report_data import KEYS, METRICS, make_before, make_log

from mlsd.experiments.report import ExperimentReport, compare

# --- times -------------------------------------------------------------------------------------


def test_times_are_checked():
    log, before = make_log(), make_before()
    options = {**KEYS, "metrics": METRICS, "time": "time"}
    report = compare(log, before=before, **options)
    assert report == compare(log, before=before, **{**options, "time": None})
    assert isinstance(report, ExperimentReport)
    naive = log.assign(time=log["time"].dt.tz_localize(None))
    dates = log.assign(time=[time.to_pydatetime() for time in log["time"]])
    arrow = pa.Table.from_pandas(log)
    other_zone = log.assign(time=log["time"].dt.tz_convert("Asia/Tokyo"))
    for table in (naive, dates.astype({"time": object}), arrow, other_zone):
        compare(table, **options)
    compare(other_zone, before=before, **options)


def mixed(kind):
    log = make_log()
    times = log["time"].astype(object)
    if kind == "zones":
        times[3] = times[3].tz_convert("Asia/Tokyo")
    elif kind == "naive":
        times[3] = times[3].tz_localize(None)
    elif kind == "missing":
        return log.assign(time=log["time"].where(log.index != 3))
    elif kind == "text":
        return log.assign(time=log["time"].astype(str))
    elif kind == "numbers":
        return log.assign(time=1.5)
    return log.assign(time=times)


@pytest.mark.parametrize(
    ("kind", "error", "match"),
    [
        ("zones", ValueError, r"frame\['time'\] mixes the time zones \['Asia/Tokyo', 'UTC'\]"),
        ("naive", ValueError, r"frame\['time'\] mixes the time zones \['None', 'UTC'\]"),
        ("missing", ValueError, r"frame\['time'\] is missing in 1 of 3000 rows"),
        ("text", TypeError, r"frame\['time'\] must hold times; got"),
        ("numbers", TypeError, r"frame\['time'\] must hold times; got float64"),
    ],
)
def test_bad_times(kind, error, match):
    with pytest.raises(error, match=match):
        compare(mixed(kind), **KEYS, metrics=METRICS, time="time")


def test_before_must_be_before():
    log, before = make_log(), make_before()
    options = {**KEYS, "metrics": METRICS, "time": "time"}
    with pytest.raises(ValueError, match=r"before\['time'\] ends at .* is no covariate"):
        compare(log, before=log, **options)
    naive = before.assign(time=before["time"].dt.tz_localize(None))
    with pytest.raises(ValueError, match="mix times with a time zone and without one"):
        compare(log, before=naive, **options)


# --- bad input ---------------------------------------------------------------------------------

LOG = make_log(n_rows=500)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"frame": [1, 2]}, TypeError, "frame must be a table"),
        ({"frame": LOG.drop(columns="click")}, ValueError, r"frame lacks the columns \['click'\]"),
        ({"frame": LOG.iloc[:0]}, ValueError, r"at least two arms are needed; got \[\]"),
        ({"frame": LOG.assign(arm="a")}, ValueError, r"at least two arms are needed; got \['a'\]"),
        ({"frame": LOG.assign(click="x")}, TypeError, r"frame\['click'\] must be numeric"),
        ({"frame": LOG.assign(click=np.inf)}, ValueError, r"\['click'\] holds 500 infinite values"),
        (
            {"frame": LOG.assign(arm=[1, "a"] * 250, user_id=range(500))},
            TypeError,
            r"frame\['arm'\] mixes arms that have no common order",
        ),
        ({"unit": "who"}, ValueError, r"frame lacks the columns \['who'\]"),
        ({"control": "x"}, ValueError, "control is 'x', which is not among the arms"),
        ({"metrics": {}}, ValueError, "metrics is empty"),
        ({"metrics": "click"}, TypeError, "metrics must be a mapping"),
        ({"metrics": {"a": ("x", "y", "z")}}, ValueError, r"metrics\['a'\] must be a column, or"),
        ({"metrics": {"a": None}}, TypeError, r"metrics\['a'\] must name columns"),
        ({"metrics": {"a": True}}, TypeError, r"metrics\['a'\] must name columns"),
        ({"primary": "x"}, ValueError, "primary is 'x', which is not among"),
        (
            {"primary": "ctr", "guardrails": {"ctr": 0}},
            ValueError,
            "primary is 'ctr', which is not among the metrics that are no guardrails",
        ),
        ({"guardrails": {"x": 1}}, ValueError, r"guardrails names \['x'\]"),
        ({"guardrails": ["ctr"]}, TypeError, "guardrails must be a mapping"),
        (
            {"guardrails": {"ctr": -0.1}},
            ValueError,
            r"guardrails\['ctr'\] must be at least 0, which",
        ),
        ({"guardrails": {"ctr": "x"}}, TypeError, r"guardrails\['ctr'\] must be a number"),
        ({"lower_is_better": "ctr"}, TypeError, "lower_is_better must be a collection"),
        ({"lower_is_better": ["x"]}, ValueError, r"lower_is_better names \['x'\]"),
        ({"covariates": {"x": "click"}}, ValueError, r"covariates names \['x'\]"),
        ({"covariates": {"ctr": "click"}}, ValueError, r"frame\['click'\] differs within \d+ unit"),
        ({"covariates": {"ctr": ("click", 1)}}, ValueError, "counts rows, which needs `before`"),
        (
            {"covariates": {"clicks": ("click", "dwell")}, "before": LOG},
            ValueError,
            r"covariates\['clicks'\] is a ratio and the metric is none",
        ),
        (
            {
                "frame": LOG.assign(old=np.nan),
                "covariates": {"clicks": "old"},
            },
            ValueError,
            r"frame\['old'\] is missing for all units",
        ),
        (
            {"frame": LOG.assign(old=np.inf), "covariates": {"clicks": "old"}},
            ValueError,
            r"frame\['old'\] holds 500 infinite values",
        ),
        (
            {"before": LOG.assign(user_id=LOG["user_id"].astype(str))},
            ValueError,
            "none of the units of before is among the .* of the experiment",
        ),
        ({"before": LOG.drop(columns="dwell")}, ValueError, r"before lacks the columns"),
        ({"units": LOG[["user_id"]]}, ValueError, r"units lacks the columns \['arm'\]"),
        ({"expected": {"x": 1, "new": 2}}, ValueError, "expected is of the arms"),
        ({"adjust": "bonferroni"}, ValueError, "adjust must be one of"),
        ({"missing": "ignore"}, ValueError, "missing must be one of"),
        ({"crossover": "first"}, ValueError, "crossover must be one of"),
        ({"level": 95}, ValueError, "level must lie strictly between 0 and 1"),
        ({"srm_alpha": 0}, ValueError, "alpha must lie strictly"),
        ({"time": "when"}, ValueError, r"frame lacks the columns \['when'\]"),
    ],
)
def test_bad_input(changes, error, match):
    with pytest.raises(error, match=match):
        compare(**{"frame": LOG, **KEYS, "metrics": METRICS, **changes})


def test_the_past_ends_before_the_experiment_begins():
    day = pd.Timestamp("2026-03-01", tz="UTC")
    log = pd.DataFrame({"u": range(6), "arm": ["a", "b"] * 3, "x": [1.0, 2, 4, 3, 5, 9], "t": day})
    before = log.assign(x=[2.0, 1, 3, 3, 6, 7])
    keys = {"unit": "u", "arm": "arm", "metrics": {"x": "x"}, "time": "t"}
    with pytest.raises(ValueError, match="what treatment can have changed is no covariate"):
        compare(log, before=before, **keys)
    earlier = before.assign(t=day - pd.Timedelta(seconds=1))
    assert compare(log, before=earlier, **keys)["x"].method == "Welch, CUPED"
