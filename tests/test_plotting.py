"""The drawings of the funnel: what they show, where they draw, and what they refuse."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mlsd import plotting

STAGES = pd.DataFrame({"stage": ["words", "rank"], "recall": [0.6, 0.5], "recall_lost": [0.4, 0.1]})
TABLE = pd.DataFrame({"cost": [1.0, 2.0, 90.0], "recall": [0.2, 0.5, 0.4]})


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_a_funnel_narrows_and_says_its_counts():
    ax = plotting.funnel(["words", "keep", "rank"], [1000, None, 10], n_docs=7300)
    left = np.array([bar.get_x() for bar in ax.patches])
    right = left + [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(right / left, [7300, 1000, 1000, 10])
    np.testing.assert_allclose(left * right, 7300)  # centred on a logarithmic axis
    assert [text.get_text() for text in ax.texts] == ["7,300", "1,000", "no cut", "10"]
    assert ax.yaxis_inverted()


def test_recall_and_what_was_lost_lie_end_to_end():
    ax = plotting.recall_by_stage(STAGES)
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, [0.6, 0.5, 0.4, 0.1])
    assert [bar.get_x() for bar in ax.patches[2:]] == [0.6, 0.5]
    assert [text.get_text() for text in ax.texts] == ["−0.40", "−0.10"]


def test_a_frontier_stands_out_of_what_was_tried():
    best = TABLE.head(2).assign(lower=[0.1, 0.4], upper=[0.3, 0.6])
    ax = plotting.frontier(TABLE, best, {"cost": 2.0, "recall": 0.5}, x="cost", y="recall")
    tried, frontier, chosen = ax.lines
    assert list(tried.get_xdata()) == [1.0, 2.0, 90.0]
    assert list(frontier.get_ydata()) == [0.2, 0.5]
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (2.0, 0.5)
    assert ax.get_xscale() == "log"
    narrow = TABLE.head(2)
    ax = plotting.frontier(narrow, narrow, {"cost": 1.0, "recall": 0.2}, x="cost", y="recall")
    assert ax.get_xscale() == "linear"


def test_they_draw_where_they_are_told():
    _, axes = plt.subplots(3)
    assert plotting.funnel(["a"], [1], ax=axes[0]) is axes[0]
    assert plotting.recall_by_stage(STAGES, axes[1]) is axes[1]
    best = {"cost": 1.0, "recall": 0.2}
    assert plotting.frontier(TABLE, TABLE, best, x="cost", y="recall", ax=axes[2]) is axes[2]


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"frame lacks the columns \['recall_lost'\]"):
        plotting.recall_by_stage(STAGES.drop(columns="recall_lost"))
    with pytest.raises(ValueError, match=r"frame lacks the columns \['price'\]"):
        plotting.frontier(TABLE, TABLE, {}, x="price", y="recall")
