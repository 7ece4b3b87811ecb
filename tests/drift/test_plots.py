"""The drawings of a report with matplotlib."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mlsd import plotting
from mlsd.drift import DriftMonitor


def frame(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": rng.normal(50, 10, n),
            "cost": rng.normal(50, 10, n),
            "items": rng.poisson(2, n).clip(max=4).astype(float),
            "shop": rng.choice(["north", "south"], n),
            "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(n), unit="s"),
        }
    )


@pytest.fixture(scope="module")
def report():
    live = frame(1000, 1)
    live["price"] += 8
    live.loc[:99, "items"] = np.nan
    live.loc[:199, "shop"] = "west"
    live.loc[:9, "cost"] = 1000.0
    return DriftMonitor().fit(frame(5000, 0), y=np.arange(5000) % 2).compare(live)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def labels(ax, which):
    return [tick.get_text() for tick in getattr(ax, f"get_{which}ticklabels")()]


def test_effects_are_drawn_worst_first_a_row_a_column(report):
    ax = report.plot()
    table = report.to_frame()
    made = table[table["effect"].notna() & (table["check"] != "correlation")]
    names = [label.split(":")[0] for label in labels(ax, "y")]
    assert sorted(names) == sorted(set(made["column"]))
    alarmed = {alarm.column for alarm in report.page if alarm.check != "correlation"}
    assert set(names[: len(alarmed)]) == alarmed
    drawn = {}
    for container in ax.containers:
        line = container.lines[0]
        drawn |= dict(zip(line.get_ydata(), line.get_xdata(), strict=True))
    worst = made[made["column"] == "price"].sort_values("bound").iloc[-1]
    assert drawn[names.index("price")] == worst["effect"]
    assert f"price: {worst['check']} ({worst['measure']})" in labels(ax, "y")
    assert ax.get_xlabel() == "effect, 95 % interval"
    assert {text.get_text() for text in ax.get_legend().get_texts()} >= {"page", "fine"}
    bottom, top = ax.get_ylim()
    assert bottom > top


def test_only_the_worst_are_drawn(report):
    assert len(labels(plotting.drift_report(report, most=2), "y")) == 2


def test_intervals_are_those_of_the_report(report):
    ax = report.plot()
    table = report.to_frame().set_index(["column", "check"])
    ends = {}
    for container in ax.containers:
        for segment in container.lines[2][0].get_segments():
            ends[int(segment[0][1])] = sorted(segment[:, 0])
    for place, label in enumerate(labels(ax, "y")):
        column, check = label.split(" (")[0].split(": ")
        np.testing.assert_allclose(ends[place], table.loc[(column, check), ["lo", "hi"]].tolist())


def test_a_numeric_column_has_two_outlines_and_what_lies_beside(report):
    ax = report.plot("cost")
    reference, live = (patch.get_data()[0] for patch in ax.patches if hasattr(patch, "get_data"))
    assert reference.sum() == pytest.approx(1)
    assert live.sum() == pytest.approx(0.99, abs=0.002)
    assert "above" in labels(ax, "x")
    heights = [patch.get_height() for patch in ax.patches if not hasattr(patch, "get_data")]
    assert 0.01 in [round(height, 3) for height in heights]
    assert ax.get_xlabel() == "cost"


def test_nulls_stand_apart(report):
    ax = report.plot("items")
    assert "NULL" in labels(ax, "x")
    heights = [patch.get_height() for patch in ax.patches if not hasattr(patch, "get_data")]
    assert heights == [0.0, 0.1]


def test_a_categorical_column_has_bars_with_names(report):
    ax = report.plot("shop")
    assert sorted(labels(ax, "y")) == ["new", "north", "south"]
    widths = dict(zip(labels(ax, "y"), [bar.get_width() for bar in ax.patches[3:]], strict=True))
    assert widths["new"] == pytest.approx(0.2)
    assert sum(widths.values()) == pytest.approx(1)
    assert labels(report.plot("at"), "y") == ["NULL"]


def test_they_draw_where_they_are_told(report):
    _, axes = plt.subplots(2)
    assert report.plot(ax=axes[0]) is axes[0]
    assert report.plot("price", ax=axes[1]) is axes[1]


@pytest.mark.parametrize("name", ["prize", "target"])
def test_a_column_that_is_not_in_both_is_refused(report, name):
    with pytest.raises(ValueError, match=f"column must be in the reference.*'{name}'"):
        report.plot(name)
