"""The counts and distances by which the world is held against real data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from mlsd.drift import js_distance
from mlsd.world.anchors import thin
from mlsd.world.validity import (
    activity_cells,
    as_lines,
    compare_marginals,
    feed_marginals,
    shop_marginals,
)

LINES = pd.DataFrame(
    [
        # Monday: two products, one of them on two lines; Tuesday, the next year, one of them again.
        ("a", "pen", 1, 0.5, 7, "2024-01-01 09:10"),
        ("a", "cup", 2, 4.0, 7, "2024-01-01 09:10"),
        ("a", "cup", 12, 4.0, 7, "2024-01-01 09:11"),
        ("b", "cup", 60, 2.0, 7, "2024-12-31 23:59"),
        ("c", "cup", 1, 4.0, 8, "2024-12-31 00:00"),
    ],
    columns=["invoice", "product_id", "quantity", "price", "customer_id", "time"],
).assign(time=lambda frame: pd.to_datetime(frame["time"]))


def test_marginals_of_a_shop_by_hand():
    found = shop_marginals(LINES, sales=100)
    filled = {name: Counter(dict(enumerate(cells.tolist()))) for name, cells in found.items()}
    assert filled["hour of a visit"] == Counter({0: 1, 9: 1, 23: 1})
    assert filled["weekday of a visit"] == Counter({0: 1, 1: 2})
    assert filled["month of a visit"] == Counter({0: 1, 11: 2})
    assert filled["invoices a customer"] == Counter({0: 1, 1: 1})
    assert found["customers who return"].tolist() == [1, 1]
    assert found["products bought again"].tolist() == [2, 1]  # 7's cup; not 7's pen, 8's cup
    assert filled["invoices a product"] == Counter({0: 1, 2: 1})
    assert filled["price of a product"] == Counter({3: 1, 8: 1})  # medians of 0.50 and 4.00
    assert filled["quantity of a line"] == Counter({0: 2, 1: 1, 8: 1, 13: 1})
    assert filled["lines an invoice"] == Counter({0: 2, 1: 1})
    assert len(found["hour of a visit"]) == 24
    assert len(found["weekday of a visit"]) == 7
    assert len(found["month of a visit"]) == 12


def test_marginals_of_a_feed_by_hand():
    seen = pd.DataFrame(
        [(1, 5, "2024-01-07 10:00"), (1, 5, "2024-01-07 10:29"), (1, 6, "2024-01-07 11:30")],
        columns=["user_id", "item_id", "time"],
    ).assign(time=lambda frame: pd.to_datetime(frame["time"]))
    found = feed_marginals(seen, per_item=100)
    assert found["hour of a session"].tolist() == [0] * 10 + [1, 1] + [0] * 12
    assert found["weekday of a session"].tolist() == [0] * 6 + [2]
    assert found["actions an item"][:3].tolist() == [1, 1, 0]


def test_users_with_few_actions_are_left_out():
    cells = activity_cells([1, 19, 20, 24, 25, 319, 320, 9_999])
    assert (cells.sum(), cells[0], cells[1], cells[-1]) == (6, 2, 1, 2)


def test_a_log_becomes_lines_of_what_was_bought():
    log = pd.DataFrame(
        {
            "request_id": [1, 1, 2],
            "user_id": [7, 7, 8],
            "time": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-01-02"], utc=True),
            "doc_id": [3, 4, 3],
            "conversion_time": pd.to_datetime(["2024-01-05", None, "2024-01-02"], utc=True),
            "value": [6.3, 0.0, 2.1],
        }
    )
    lines = as_lines(log, pd.Series({3: 2.1, 4: 9.0}))
    assert lines["invoice"].tolist() == [1, 2]
    assert lines["quantity"].tolist() == [3, 1]
    assert lines["customer_id"].tolist() == [7, 8]
    assert lines["time"].tolist() == log["time"].iloc[[0, 2]].tolist()
    assert list(lines.columns) == list(LINES.columns)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=60).filter(any),
    st.floats(1.01, 50),
    st.integers(0, 9),
)
def test_thinning_only_takes_away(counts, mean, seed):
    kept = thin(counts, mean, random_state=seed)
    positive = np.array([count for count in counts if count])
    assert len(kept) <= len(positive)
    assert kept.sum() <= positive.sum()
    assert (kept > 0).all()
    if positive.mean() <= mean:
        assert kept.tolist() == positive.tolist()


def test_thinning_reaches_the_mean_and_keeps_the_law():
    """Thinned counts of one law of rates are distributed as counts of the law made smaller."""
    rng = np.random.default_rng(5)
    rates = np.exp(rng.normal(3, 1, 200_000))
    kept = thin(rng.poisson(rates), 4.0)
    assert kept.mean() == pytest.approx(4.0, rel=0.01)
    # Find the factor by which the rates shrink from the mean alone, then compare the whole law.
    factors = np.linspace(0.02, 0.5, 200)
    means = [(rates * factor).mean() / -np.expm1(-rates * factor).mean() for factor in factors]
    small = rng.poisson(rates * np.interp(4.0, means, factors))
    small = small[small > 0]
    cells = [1, 2, 3, 5, 9, 17, np.inf]
    one, other = np.histogram(kept, cells)[0], np.histogram(small, cells)[0]
    assert np.abs(one / one.sum() - other / other.sum()).max() < 0.005


@pytest.mark.parametrize("mean", [1, 0.5, float("nan")])
def test_thinning_refuses_a_mean_that_cannot_be(mean):
    with pytest.raises(ValueError, match="mean must be above 1"):
        thin([3, 4], mean)


def test_distances_and_yardsticks():
    world, real, past = ({"x": [30, 50, 20]}, {"x": [300, 400, 300]}, {"x": [4, 3, 3]})
    row = compare_marginals(world, real, past, js_distance).loc["x"]
    assert (row["n_world"], row["n_real"]) == (100, 1000)
    expected = jensenshannon([0.3, 0.5, 0.2], [0.3, 0.4, 0.3], base=2)
    assert row["world"] == pytest.approx(expected, rel=1e-12)
    assert row["real"] == pytest.approx(jensenshannon([4, 3, 3], [3, 4, 3], base=2), rel=1e-12)
    assert row["tv"] == pytest.approx(0.1)
    assert row["tv_real"] == pytest.approx(0.1)


def test_chance_is_passed_once_in_twenty():
    rng = np.random.default_rng(3)
    law = np.array([0.4, 0.3, 0.2, 0.1])
    past, real = np.array([400, 300, 200, 100]), np.array([350, 320, 180, 150])
    passed = {"chance": 0, "copy": 0}
    for seed in range(250):
        one, other = rng.multinomial(500, law), rng.multinomial(800, law)
        parts = {"x": one}, {"x": other}, {"x": one}
        row = compare_marginals(*parts, js_distance, draws=50, random_state=seed).loc["x"]
        passed["chance"] += row["world"] > row["chance"]
        parts = {"x": one}, {"x": real}, {"x": past}
        row = compare_marginals(*parts, js_distance, draws=50, random_state=seed).loc["x"]
        passed["copy"] += row["world"] > row["copy"]
    # Four standard deviations about 6 % of 250: a quantile of 50 draws lies inwards of its law's.
    assert 1 <= passed["chance"] <= 30
    assert 1 <= passed["copy"] <= 30


@pytest.mark.parametrize(
    ("world", "training", "match"),
    [
        ({"y": [1, 2]}, {"x": [1, 2]}, "must have the same marginals"),
        ({"x": [1, 2, 3]}, {"x": [1, 2]}, "x must have the same cells everywhere"),
        ({"x": [1, 2]}, {"x": [1]}, "x must have the same cells everywhere"),
    ],
)
def test_what_does_not_compare_is_refused(world, training, match):
    with pytest.raises(ValueError, match=match):
        compare_marginals(world, {"x": [1, 2]}, training, js_distance)
