"""The report: table, JSON, and the text that lands in a pager."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from mlsd.drift import DriftMonitor
from mlsd.drift._adjust import weighted_bh, weighted_holm
from mlsd.drift._words import number, number_on, numbers, percent, short, shorts


def table(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "amount": 50 + 10 * x,
            "other": 0.9 * x + rng.normal(size=n),
            "shop": rng.choice(["a", "b", "c"], size=n),
        }
    )


@pytest.fixture(scope="module")
def monitor():
    return DriftMonitor(expect={"other": {"nullable": False}}).fit(table(20_000, 1))


@pytest.fixture(scope="module")
def report(monitor):
    live = table(2_000, 2).assign(extra=1)
    live["amount"] += 4
    live.loc[:9, "other"] = None
    live.loc[:59, "shop"] = "<b>new</b>"
    return monitor.compare(live)


def test_explain_says_what_happened_and_what_to_check(report):
    lines = report.explain().splitlines()
    assert lines[0].startswith("Changed: other, ")
    assert "(2,000 live rows against 20,000 of the reference)" in lines[0]
    assert lines[1] == (
        "PAGE other: 10 of 2,000 values (0.5 %) are NULL; declared is that none is; "
        "a rule; also null."
    )
    assert lines[2].startswith("  First check the job that fills other")
    paged = [line for line in lines if line.startswith("PAGE")]
    assert len(paged) == 3  # one a column
    assert sum(line.startswith("  First check") for line in lines) == len(
        [line for line in lines if line.startswith(("PAGE", "WATCH"))]
    )
    assert any(line.startswith("WATCH extra: a new column") for line in lines)
    assert all(line.rstrip().endswith((".", "?")) for line in lines)


def test_a_column_that_pages_is_not_told_of_again_below():
    rng = np.random.default_rng(8)
    monitor = DriftMonitor(checks=["null", "distribution"]).fit(
        pd.DataFrame({"x": rng.normal(size=20_000), "y": rng.normal(size=20_000)})
    )
    live = pd.DataFrame({"x": rng.normal(1, 1, size=2_000), "y": rng.normal(size=2_000)})
    live.loc[:2, "x"] = None
    report = monitor.compare(live)
    assert [(alarm.column, alarm.check) for alarm in report.watch] == [("x", "null")]
    told = [line for line in report.explain().splitlines() if line.startswith(("PAGE", "WATCH"))]
    assert len(told) == 1
    assert told[0].endswith("; also null.")


def test_outliers_come_before_the_correlations_that_they_break(monitor):
    live = table(2_000, 7)
    live.loc[:199, "amount"] = 1e6
    found = monitor.compare(live)
    page = sorted(found.page, key=lambda alarm: alarm.check != "correlation")
    assert page[0].check == "correlation"
    report = dataclasses.replace(found, page=tuple(page))
    lines = [line for line in report.explain().splitlines() if line.startswith("PAGE")]
    assert len(lines) == 2
    assert lines[0].startswith("PAGE amount: ")
    assert lines[1].startswith("PAGE amount ~ other: the correlation is")
    assert report.explain().startswith("Changed: amount, amount ~ other (")


def test_chances_have_their_names(monitor):
    rng = np.random.default_rng(9)
    live = table(2_000, 8)
    live["amount"] += 1.2
    live.loc[:, "shop"] = rng.choice(["a", "b", "c"], p=[0.37, 0.31, 0.32], size=2_000)
    report = monitor.compare(live)
    rows = report.to_frame().set_index(["column", "check"])
    assert report.page
    assert report.watch
    for alarm in (*report.page, *report.watch):
        row = rows.loc[(alarm.column, alarm.check)]
        assert (alarm.p_adj, alarm.q) == (row["p_adj"], row["q"])
    assert json.loads(report.to_json())["watch"][0]["p_adj"] == report.watch[0].p_adj
    assert json.loads(report.to_json())["watch"][0]["q"] == report.watch[0].q
    text = report.explain()
    page, watch = report.page[0], report.watch[0]
    assert f"; p {page.p_adj:.1g} after Holm".replace(" 0.", " .") in text
    assert f"; q {watch.q:.1g}".replace(" 0.", " .") in text
    assert text.endswith(
        "\nRows are taken as independent; if rows of one day or user belong together, calibrate."
    )


def test_rules_alone_ask_for_no_calibration(monitor):
    live = table(2_000, 5)
    live.loc[0, "other"] = None
    report = monitor.compare(live)
    assert [alarm.check for alarm in report.page] == ["declared"]
    assert "calibrate" not in report.explain()


def test_times_are_listed_once_as_not_compared():
    rng = np.random.default_rng(10)
    frame = pd.DataFrame(
        {"at": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 999, 5_000), "h")}
    )
    report = DriftMonitor().fit(frame).compare(frame.head(1_000))
    (line,) = report.unchecked
    assert (line.column, line.check) == ("at", "distribution")
    assert line.reason == "its values are times: only NULLs and a constant are compared"
    assert "Not checked: at: its values are times" in report.explain()


def test_explain_lists_at_most_twenty_columns(monitor):
    rng = np.random.default_rng(3)
    wide = pd.DataFrame(rng.normal(size=(5_000, 30)), columns=[f"c{at}" for at in range(30)])
    report = DriftMonitor().fit(wide).compare(wide.head(1_000) + 1)
    lines = report.explain().splitlines()
    assert sum(line.startswith("PAGE") for line in lines) == 21
    assert "PAGE 10 more columns: see the table." in lines


def test_the_surest_comes_first_after_the_rules(report):
    rules = [alarm.is_rule for alarm in report.page]
    assert rules == sorted(rules, reverse=True)
    chances = [alarm.p_adj for alarm in report.page if not alarm.is_rule]
    assert chances == sorted(chances)


def test_verdicts_follow_from_the_table(report):
    rows = report.to_frame()
    tested = rows[rows["p"].notna()]
    sure = (tested["p_adj"] <= report.alpha) & (tested["bound"] > report.min_effect)
    assert (tested["verdict"][sure] == "page").all()
    assert not (tested["verdict"][~sure] == "page").any()
    watched = ~sure & ((tested["q"] <= report.watch_fdr) | (tested["p_adj"] <= report.alpha))
    assert (tested["verdict"][watched] == "watch").all()
    assert (tested["verdict"][~sure & ~watched] == "ok").all()
    pages = rows[rows["verdict"] == "page"]
    assert set(zip(pages["column"], pages["check"], strict=True)) == {
        (alarm.column, alarm.check) for alarm in report.page
    }


def test_p_values_are_adjusted_over_the_whole_table(monitor):
    live = table(1_000, 4)
    report = monitor.compare(live)
    rows = report.to_frame()
    rows = rows[rows["p"].notna()]
    prepared = monitor._references.by_key["", ""]
    weight = prepared.compare(report.live, monitor._tests(), frozenset()).weight
    np.testing.assert_allclose(rows["p_adj"], weighted_holm(rows["p"], weight))
    np.testing.assert_allclose(rows["q"], weighted_bh(rows["p"], weight))


def test_json_is_strict_and_whole(report):
    data = json.loads(report.to_json())
    assert data["n_live"] == 2_000
    assert len(data["page"]) == len(report.page)
    assert data["page"][0]["p_adj"] is None  # a rule
    assert len(data["table"]) == len(report.to_frame())
    assert data["table"][0]["verdict"] == "page"
    assert "NaN" not in report.to_json()
    assert json.loads(report.to_json(indent=2)) == data


def test_json_of_a_clean_report(monitor):
    report = monitor.compare(table(1_000, 5))
    data = json.loads(report.to_json())
    assert data["page"] == data["watch"] == []
    assert report.to_frame()["verdict"].tolist().count("page") == 0


def test_a_notebook_shows_the_text_escaped(report):
    shown = report._repr_html_()
    assert "<b>new</b>" not in shown
    assert "&lt;b&gt;new&lt;/b&gt;" in shown


def test_reports_compare_by_what_they_say(monitor):
    live = table(1_000, 6)
    assert monitor.compare(live) == monitor.compare(live)
    with pytest.raises(AttributeError):
        monitor.compare(live).alpha = 1.0


def test_infinite_statistics_survive_as_text():
    from mlsd.drift.report import _without_nan

    assert _without_nan({"a": [np.inf, -np.inf, np.nan, 1.0]}) == {"a": ["inf", "-inf", None, 1.0]}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.999999, "nearly 100 %"),
        (0.9999, "99.99 %"),
        (1e-9, "1e-07 %"),
    ],
)
def test_percent_never_rounds_something_to_nothing_or_all(value, expected):
    assert percent(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (1e20, "1e+20"), (-12345.6, "-12,346"), (np.inf, "inf"), (0.1 + 0.2, "0.3")],
)
def test_numbers_of_the_data(value, expected):
    assert number(value) == expected
    assert number_on(value, 0.0) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (10.0, "10"), (-0.05, "-.05"), (250.0, "250"), (1e-5, "1e-05")],
)
def test_effects_in_short(value, expected):
    assert short(value) == expected


@pytest.mark.parametrize(
    ("write", "values", "expected"),
    [
        (numbers, (1e15, 1e15 + 2, 1e15 + 2), ["1000000000000000"] + ["1000000000000002"] * 2),
        (numbers, (12345.6, 12345.64), ["12,345.60", "12,345.64"]),
        (numbers, (0.5, np.inf), ["0.5", "inf"]),
        (shorts, (0.9912, 0.9934), [".991", ".993"]),
        (shorts, (0.999871, 1.0), [".9999", "1"]),
        (shorts, (0.3, 0.3), [".3", ".3"]),
        (shorts, (1.234e-5, 1.236e-5), ["1.23e-05", "1.24e-05"]),
    ],
)
def test_what_differs_is_written_differently(write, values, expected):
    assert write(*values) == expected
