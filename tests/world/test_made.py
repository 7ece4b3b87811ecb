"""What users, items and advertisers are made of, against the laws that the preset states."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlsd.world._population import Population
from mlsd.world._presets import PRESETS, Preset
from mlsd.world.world import World


def test_items_of_the_first_day_have_exponential_ages_and_lives_to_come():
    world = World("shop", n_users=10, n_items=3_000)
    items, lifetime = world.truth.items, world.preset.lifetime
    ages = (world.now - items["born"]).dt.total_seconds() / 86_400
    left = (items["expires"] - world.now).dt.total_seconds() / 86_400
    for days in (ages, left):
        assert stats.kstest(days / lifetime, "expon").pvalue > 0.01
    assert abs(np.corrcoef(ages, left)[0, 1]) < 4 / np.sqrt(3_000)


def test_what_a_turnover_takes_away_has_expired_by_then():
    world = World("feed", n_users=50, n_items=200, lifetime=1e6).drift("catalogue", 0, 0.5)
    items = world.truth.items
    assert 60 < (~items["live"]).sum() < 140
    assert (items.loc[~items["live"], "expires"] == world.now).all()
    assert (items.loc[items["live"], "expires"] > world.now).all()


def test_bids_budgets_and_worths_are_as_stated():
    world = World("ads", n_users=10, n_items=4_000, conversion_rate=0.04, bid_median=5.0)
    items, p = world.truth.items, world.preset
    worth = np.log(items["worth"] * p.conversion_rate / items["bid"])
    budget = np.log(items["budget"] / (items["bid"] * p.budget_clicks))
    for log, sd in (
        (np.log(items["bid"] / p.bid_median), p.bid_log_sd),
        (budget, p.budget_log_sd),
        (worth, 0.3),
    ):
        assert stats.kstest(log / sd, "norm").pvalue > 0.01


def test_newcomers_join_the_communities_that_there_are():
    world = World("feed", n_users=500, community_size=50)
    world.drift("new_users", 0, 1.0).drift("new_users", 0, 2.0)
    assert len(world.users) == 2_000
    late = world.users["community"][500:]
    assert sorted(late.unique()) == list(range(10))


def test_the_first_policy_of_a_user_is_that_of_the_first_request():
    people = Population(Preset(novelty=0.5), 3, 0)
    user, policy = np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1, 1, 0])
    assert people.meet(0, user, policy).tolist() == [0, 0, 0.5, 0, 0.5]
    assert people.first.tolist() == [0, 1, -1]
    assert people.last.tolist() == [1, 0, -1]


@pytest.mark.parametrize("n", [1, 5])
def test_a_basket_holds_each_quantity_as_often_as_stated(n, flat):
    quantities, share = PRESETS["shop"].quantities, PRESETS["shop"].quantity_share
    kept = {"quantities": quantities[:n], "quantity_share": share[:n]}
    world = World("shop", n_users=800, base_rate=0.4, conversion_rate=0.5, **kept)
    log = world.serve(flat, 4)
    bought = log[log["value"] > 0]
    pieces = (bought["value"] / world.items["price"].to_numpy()[bought["doc_id"]]).round()
    counts = [int((pieces == quantity).sum()) for quantity in quantities[:n]]
    assert sum(counts) > 0.98 * len(pieces)  # cents make the rest
    expected = np.array(share[:n]) / sum(share[:n]) * sum(counts)
    assert (np.abs(counts - expected) < 4 * np.sqrt(expected)).all()
