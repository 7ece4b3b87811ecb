"""Ads: prices by hand and by trying lower bids, budgets, and a day's spend by the hour."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.world._auction import Auction


def one(bids=(1.0,), budgets=(10.0,), **options):
    return Auction(np.array(bids), np.array(budgets), **options)


def test_prices_by_hand():
    # Values per impression of bid times click rate: 2 x .3, 5 x .1, 1 x .2 and, unseen, .1.
    price = one().prices(np.array([[0.6, 0.5, 0.2]]), np.array([[2.0, 5.0, 1.0]]), np.array([0.1]))
    np.testing.assert_allclose(price, [[0.5 / 0.3, 0.2 / 0.1, 0.1 / 0.2]], atol=1.1e-6)


def rank_of_first(scores):
    return sorted(range(len(scores)), key=lambda ad: (-scores[ad], ad)).index(0)


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.floats(0.001, 1.0)), min_size=2, max_size=6, unique=True
    )
)
def test_the_price_is_the_least_bid_that_keeps_the_place(ads):
    bid = np.array([cents / 100 for cents, _ in ads])
    rate = np.array([rate for _, rate in ads])
    order = np.argsort(-bid * rate, kind="stable")
    bid, rate = bid[order], rate[order]
    score = bid * rate
    price = one().prices(score[None, :], bid[None, :])[0]
    assert np.all(price <= bid)
    for place in range(len(ads) - 1):
        below = score[place + 1 :].max()
        assert rate[place] * price[place] >= below - 1e-9  # keeps the place
        lower = price[place] - 3e-6  # and a little less does not
        assert rate[place] * lower < below
    assert price[-1] == 0.0  # nothing follows


def test_a_reserve_is_the_least_price_and_the_bid_the_most():
    auction = one(reserve=0.3)
    score, bid = np.array([[0.5, 0.01, 0.0]]), np.array([[1.0, 2.0, 0.2]])
    np.testing.assert_allclose(auction.prices(score, bid), [[0.3, 0.3, 0.2]])


def test_odd_scores_cost_the_reserve_or_the_bid():
    # By exploration a worse one above a better; negative scores; equal ones.
    auction = one()
    bid = np.array([[2.0, 3.0]])
    np.testing.assert_allclose(auction.prices(np.array([[0.1, 0.4]]), bid), [[2.0, 0.0]])
    np.testing.assert_allclose(auction.prices(np.array([[-0.2, -0.4]]), bid), [[0.0, 0.0]])
    np.testing.assert_allclose(auction.prices(np.array([[-0.2, 0.4]]), bid), [[2.0, 0.0]])
    np.testing.assert_allclose(auction.prices(np.array([[0.4, 0.4]]), bid), [[2.0, 0.0]])
    np.testing.assert_allclose(auction.prices(np.array([[0.4, -np.inf]]), bid), [[0.0, 0.0]])


def naive_charge(budget, ads, prices):
    left, paid = dict(enumerate(budget)), []
    for ad, price in zip(ads, prices, strict=True):
        paid.append(min(price, left[ad]))
        left[ad] -= paid[-1]
    return paid


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), max_size=40),
    st.integers(0, 40),
)
def test_charges_against_a_loop_whatever_the_chunks(budgets, clicks, cut):
    clicks = [(ad, cents) for ad, cents in clicks if ad < len(budgets)]
    ad = np.array([ad for ad, _ in clicks], dtype=np.int64)
    cents = np.array([cents for _, cents in clicks], dtype=np.int64)
    whole, parts = (one(np.ones(len(budgets)), np.array(budgets) / 100) for _ in range(2))
    paid = whole.charge(ad, cents / 100)
    assert np.rint(100 * paid).astype(int).tolist() == naive_charge(budgets, ad, cents)
    np.testing.assert_allclose(whole.spent, np.bincount(ad, paid, len(budgets)), atol=1e-9)
    assert np.all(whole.spent <= whole.budgets)
    np.testing.assert_allclose((whole.spent + whole.overspend).sum(), cents.sum() / 100, atol=1e-9)
    again = [parts.charge(ad[part], cents[part] / 100) for part in (slice(cut), slice(cut, None))]
    assert np.concatenate(again).tobytes() == paid.tobytes()
    assert parts.spent.tobytes() == whole.spent.tobytes()


def test_who_takes_part_follows_the_pace_and_the_budget():
    auction = one([1.0, 1.0, 1.0], [5.0, 5.0, 0.0], first_pace=0.25)
    ad = np.tile([0, 1, 2], (40_000, 1))
    share = auction.participates(ad, np.random.default_rng(1).random(ad.shape)).mean(axis=0)
    assert share[:2] == pytest.approx(0.25, abs=0.01)
    assert share[2] == 0.0
    auction.charge(np.array([0]), np.array([7.0]))
    assert auction.participates(np.array([0]), np.array([0.0]))[0]  # until the hour is over
    auction.next_hour()
    assert auction.active.tolist() == [False, True, False]
    assert not auction.participates(np.array([0]), np.array([0.0]))[0]
    auction.next_day()
    assert auction.active.tolist() == [True, True, False]
    assert auction.spent.tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_allclose(auction.overspend, [2.0, 0.0, 0.0])


def run_days(auction, days, traffic, rng, price=0.05):
    """Serve clicks to one ad: each request of an hour is one click if the ad takes part."""
    spend = np.zeros((days, 24))
    for day, hour in itertools.product(range(days), range(24)):
        n = rng.poisson(traffic[hour])
        ad = np.zeros(n, dtype=np.int64)
        clicks = ad[auction.participates(ad, rng.random(n))]
        spend[day, hour] = auction.charge(clicks, np.full(clicks.size, price)).sum()
        if hour < 23:
            auction.next_hour(traffic)
        else:
            auction.next_day(traffic)
    return spend


def test_pacing_spreads_the_spend_over_the_day():
    # Full traffic would cost 240 a day, four times the budget, most of it in the evening.
    traffic = 200 * (1 + 0.6 * np.sin(2 * np.pi * (np.arange(24) - 14) / 24))
    auction = one([0.05], [60.0])
    spend = run_days(auction, 4, traffic, np.random.default_rng(2))[1:]
    total = spend.sum(axis=1)
    assert np.all(total <= 60.0 + 1e-9)
    assert np.all(total > 0.95 * 60.0)
    assert np.all(np.abs(np.cumsum(spend, axis=1) / 60.0 - np.arange(1, 25) / 24) < 0.08)
    # Unthrottled, the same ad is out of money in the first half of the day.
    free = one([0.05], [60.0])
    free.next_hour = free.next_day = lambda traffic: None
    free.pace[:] = 1.0
    wild = run_days(free, 1, traffic, np.random.default_rng(2))[0]
    assert wild[12:].sum() == 0.0


def test_a_rich_ad_is_not_throttled_once_known():
    traffic = np.full(24, 50.0)
    auction = one([0.05], [1e6])
    run_days(auction, 1, traffic, np.random.default_rng(3))
    assert auction.pace.tolist() == [1.0]


def naive_pace(budget, spends, first_pace):
    """Follow one ad by the words of the docstring: flat traffic, one day."""
    pace, demand, spent = first_pace, None, 0.0
    for hour, asked in enumerate(spends, start=1):
        if spent < budget:
            seen = asked / pace
            demand = seen if demand is None else 0.7 * demand + 0.3 * seen
        spent = min(budget, spent + asked)
        wanted = (budget - spent) / (24 - hour)
        pace = 1.0 if not demand else min(1.0, max(0.02, wanted / demand))
    return pace


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.integers(1, 400))
def test_pace_against_a_loop(spends, budget):
    auction = one([1.0], [budget], first_pace=0.5)
    for asked in spends:
        auction.charge(np.zeros(asked, dtype=np.int64), np.ones(asked))
        auction.next_hour()
    assert auction.pace[0] == pytest.approx(naive_pace(budget, spends, 0.5), rel=1e-9)


def test_new_ads_take_the_next_numbers_and_copies_part():
    auction = one([1.0], [2.0])
    twin = auction.copy()
    twin.extend(np.array([3.0]), np.array([4.0]))
    twin.charge(np.array([1, 0]), np.array([1.5, 0.5]))
    assert twin.spent.tolist() == [0.5, 1.5]
    assert auction.spent.tolist() == [0.0]
    assert auction.bids.tolist() == [1.0]
    assert (twin.bids.tolist(), twin.budgets.tolist()) == ([1.0, 3.0], [2.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([-1.0], [1.0]), {}, "bids must be finite and not negative; got -1.0"),
        (([1.0], [np.nan]), {}, "budgets must be finite and not negative"),
        (([1.0, 2.0], [1.0]), {}, "lengths differ: bids has 2, budgets 1"),
        (([1.0], [1.0]), {"reserve": -0.1}, "reserve must be finite and at least 0; got -0.1"),
        (([1.0], [1.0]), {"first_pace": 0.0}, "first_pace must be above 0 and at most 1; got 0.0"),
    ],
)
def test_bad_auctions(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        one(*arguments, **options)
