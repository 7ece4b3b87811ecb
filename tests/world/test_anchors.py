"""The stored constants are what the training part of the real data gives, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from mlsd import data
from mlsd.world import World, _anchors, anchors
from mlsd.world.anchors import Anchors, fit_anchors, fit_rates, sessions


@pytest.fixture(scope="module")
def fitted():
    return fit_anchors()


@pytest.fixture(scope="module")
def retail():
    return anchors.retail_parts()


NAMES = [field.name for field in dataclasses.fields(Anchors)]
# Half a unit of the last place stored; a sum that is rounded to 1 moves its largest part.
ROUNDING = {"base_rate": 0.5e-5, "shop_lifetime": 0.05}


TUNED = ["FEED_POPULARITY_SIGMA", "SHOP_POPULARITY_SIGMA"]


def test_every_constant_is_fitted_or_tuned_and_every_fit_is_stored():
    assert sorted([*(name.upper() for name in NAMES), *TUNED]) == _anchors.__all__


@pytest.mark.parametrize("name", NAMES)
def test_stored_constant_is_the_fit_rounded(fitted, name):
    stored, found = getattr(_anchors, name.upper()), getattr(fitted, name)
    if name == "shop_quantities":
        assert stored == found
    elif isinstance(found, tuple):
        assert len(stored) == len(found)
        gap = np.abs(np.subtract(stored, found))
        assert (gap <= 0.5e-4 + 1e-9).sum() >= len(found) - 1
        assert gap.max() <= 2e-4
    else:
        assert stored == pytest.approx(found, abs=ROUNDING.get(name, 0.5e-3) + 1e-6)


@pytest.mark.parametrize(
    ("name", "length", "total"),
    [
        ("SHOP_HOURS", 24, 1),
        ("FEED_HOURS", 24, 1),
        ("ADS_HOURS", 24, 1),
        ("SHOP_WEEKDAYS", 7, 7),
        ("FEED_WEEKDAYS", 7, 7),
        ("SHOP_MONTHS", 12, 12),
        ("SHOP_QUANTITY_SHARES", len(_anchors.SHOP_QUANTITIES), 1),
    ],
)
def test_profiles_have_their_length_and_sum(name, length, total):
    profile = np.array(getattr(_anchors, name))
    assert profile.shape == (length,)
    assert (profile >= 0).all()
    assert profile.sum() == pytest.approx(total, abs=1e-12)


def test_parts_of_the_shop_are_two_years_that_do_not_meet(retail):
    training, held_out = retail
    assert training["time"].min() >= pd.Timestamp("2009-12-01")
    assert training["time"].max() < pd.Timestamp("2010-12-01") <= held_out["time"].min()
    assert held_out["time"].max() < pd.Timestamp("2011-12-01")
    assert not set(training["invoice"]) & set(held_out["invoice"])
    # What is missing is the last days, lines at no price, and what is no product.
    lines = data.load_online_retail()
    late = lines["time"] >= pd.Timestamp("2011-12-01")
    free = lines["price"] == 0
    other = lines["product_id"].str.match(r"\D")
    assert len(training) + len(held_out) == len(lines) - (late | free | other).sum()


def test_parts_of_the_ratings_are_all_of_them_and_no_user_is_halved():
    training, held_out = anchors.movielens_parts()
    assert len(training) + len(held_out) == 100_000
    assert training["time"].max() < pd.Timestamp("1998-01-01") <= held_out["time"].min()
    early, late = anchors.ratings_per_user()
    assert not set(early["user_id"]) & set(late["user_id"])
    for users, ratings in ((early, training), (late, held_out)):
        seen = ratings["user_id"].value_counts()
        assert users["ratings"].tolist() == seen.loc[users["user_id"]].tolist()
        assert users["ratings"].min() == 20


def test_parts_of_the_bandit_are_four_days_and_three():
    training, held_out = anchors.bandit_parts()
    assert (len(training) + len(held_out), training["click"].sum()) == (30_000, 67)
    assert training["click"].sum() + held_out["click"].sum() == 130
    # On the wall in Tokyo the days of the log begin at nine in the morning.
    assert training["time"].min() >= pd.Timestamp("2019-11-24 09:00")
    assert training["time"].max() < pd.Timestamp("2019-11-28 09:00") <= held_out["time"].min()


def test_spread_of_the_tweets_is_free_of_the_month():
    training, held_out = anchors.tweet_parts()
    assert training["time"].max() < pd.Timestamp("2015-01-01", tz="UTC") <= held_out["time"].min()
    for part in (training, held_out):
        assert not part["is_reply"].any()
        assert (part["retweets"] > 0).all()
        month = [(time.year, time.month) for time in part["time"]]
        assert (
            np.abs(part["spread"].groupby(pd.Index(month, tupleize_cols=False)).mean()).max() < 1e-9
        )


def shown_as_they_come(requests, candidates):
    return np.zeros(len(candidates))


def spread(log, mean):
    return fit_rates(anchors.thin(log["doc_id"].value_counts().sort_index(), mean))[1]


def test_feed_spreads_clicks_as_the_ratings_are_spread():
    found = []
    for seed in range(2):
        log = World("feed", random_state=seed).serve(shown_as_they_come, 35)
        found.append(spread(log[log["click"] == 1], anchors.ACTIONS))
    assert np.mean(found) == pytest.approx(_anchors.FEED_ACTIONS_SIGMA, abs=0.1)


def test_shop_spreads_sales_as_the_invoices_are_spread():
    world = World("shop", n_users=1_500, n_items=750, churn=0.0, lifetime=_anchors.SHOP_LIFETIME)
    sold = []
    for _ in range(5):
        log = world.serve(shown_as_they_come, 73)
        sold.append(log.loc[log["conversion_time"].notna(), ["doc_id"]])
    # Worlds of this size differ by a tenth; 0.6 more in the weights gives 0.25 more.
    assert spread(pd.concat(sold), anchors.SALES) == pytest.approx(
        _anchors.SHOP_SALES_SIGMA, abs=0.2
    )


def test_lifetime_is_that_of_the_products_by_a_count(fitted, retail):
    day = (retail.training["time"].dt.normalize() - pd.Timestamp("2009-12-01")).dt.days
    first = set(retail.training["product_id"][day < 91])
    last = set(retail.training["product_id"][day >= 274])  # 2010-11-30 is day 364, the last
    share = len(first & last) / len(first)
    assert np.exp(-274 / fitted.shop_lifetime) == pytest.approx(share, rel=1e-12)


def naive_sessions(frame):
    begun = []
    for user, times in frame.groupby("user_id")["time"]:
        last = None
        for time in sorted(times):
            if last is None or (time - last).total_seconds() > 1_800:
                begun.append((user, time))
            last = time
    return begun


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 20_000)), min_size=1, max_size=40),
)
def test_sessions_begin_after_a_pause(rows):
    frame = pd.DataFrame(rows, columns=["user_id", "second"])
    frame["time"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame["second"], unit="s")
    before = frame.copy()
    found = sessions(frame)
    assert list(zip(found["user_id"], found["time"], strict=True)) == naive_sessions(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(("mean", "sigma", "least"), [(0.2, 1.2, 1), (3.4, 1.6, 1), (3.6, 1.1, 20)])
def test_rates_are_recovered_from_counts(mean, sigma, least):
    rng = np.random.default_rng(11)
    estimates = []
    for _ in range(6):
        counts = rng.poisson(np.exp(rng.normal(mean, sigma, 6_000)))
        estimates.append(fit_rates(counts[counts >= least], least=least))
    error = np.array(estimates) - (mean, sigma)
    # Unbiased: the mean error is within three of its own standard errors, which are small.
    standard = error.std(axis=0, ddof=1) / np.sqrt(len(error))
    assert (np.abs(error.mean(axis=0)) < 3.5 * standard).all()
    assert standard.max() < 0.03


def test_fit_of_rates_is_the_best_by_quadrature():
    """The likelihood by scipy's adaptive integral, at the fit and around it."""
    counts = np.array([1, 1, 1, 2, 2, 3, 5, 8, 1, 1, 2, 4, 13, 1, 40])

    def log_likelihood(mean, sigma):
        def mass(k):
            def joint(x):
                return stats.poisson.pmf(k, np.exp(x)) * stats.norm.pdf(x, mean, sigma)

            return integrate.quad(joint, mean - 9 * sigma, mean + 9 * sigma, limit=400)[0]

        return np.log([mass(k) for k in counts]).sum() - len(counts) * np.log1p(-mass(0))

    mean, sigma = fit_rates(counts)
    best = log_likelihood(mean, sigma)
    for step in ((0.1, 0), (-0.1, 0), (0, 0.1), (0, -0.1)):
        assert log_likelihood(mean + step[0], sigma + step[1]) < best


@pytest.mark.parametrize(
    ("counts", "least", "match"),
    [
        ([3, 3, 3], 1, "counts must have at least two different values"),
        ([], 1, "counts must have at least two different values"),
        ([0, 1, 2], 1, "counts must be at least 1, got 0"),
        ([25, 19], 20, "counts must be at least 20, got 19"),
    ],
)
def test_fit_of_rates_refuses(counts, least, match):
    with pytest.raises(ValueError, match=match):
        fit_rates(counts, least=least)


def test_profiles_by_a_loop(fitted, retail):
    """Hours, weekdays and months of the shop, counted invoice by invoice."""
    begun = {}
    for invoice, time in zip(retail.training["invoice"], retail.training["time"], strict=True):
        begun[invoice] = min(time, begun.get(invoice, time))
    hours, weekdays, months = np.zeros(24), np.zeros(7), np.zeros(12)
    for time in begun.values():
        hours[time.hour] += 1
        weekdays[time.day_of_week] += 1
        months[time.month - 1] += 1
    days = pd.date_range("2009-12-01", "2010-11-30")
    weekdays /= np.bincount(days.day_of_week)
    months /= np.bincount(days.month - 1)
    assert fitted.shop_hours == pytest.approx(hours / hours.sum())
    assert fitted.shop_weekdays == pytest.approx(weekdays / weekdays.mean())
    assert fitted.shop_months == pytest.approx(months / months.mean())
