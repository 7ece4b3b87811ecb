"""Where the world's constants come from: fits to the training part of the real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mlsd import data
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd.world._counts import fit_rates, thin

__all__ = [
    "Anchors",
    "Parts",
    "bandit_parts",
    "fit_anchors",
    "fit_rates",
    "movielens_parts",
    "ratings_per_user",
    "retail_parts",
    "sessions",
    "thin",
    "tweet_parts",
]

# Two whole years of the shop, so that each part has every month and as many of each weekday.
RETAIL_CUT, RETAIL_END = "2010-12-01", "2011-12-01"
MOVIELENS_CUT = "1998-01-01"
BANDIT_CUT = "2019-11-28"
TWEETS_START, TWEETS_CUT = "2011-01-01", "2015-01-01"
# A pause of half an hour ends a session, as web analytics has it.
PAUSE = 1_800
# MovieLens left out users with fewer ratings.
LEAST_RATINGS = 20
# Events an item to which counts are thinned before their spread is fitted: about what a small world
# sees. The real laws are no exact lognormals, and their spread depends on how far down one looks.
SALES, ACTIONS = 8.0, 20.0
# Days at either end of the year of which products are asked whether they were sold in both.
SEASON = 91
# A quantity rarer than one line in a thousand is not in the table of quantities.
LEAST_SHARE = 0.001


class Parts(NamedTuple):
    """A real set in two: what the constants are fitted to, and what the world is held against."""

    training: pd.DataFrame
    held_out: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Anchors(Result):
    """The constants of the world that are fitted, as `fit_anchors` finds them.

    Attributes
    ----------
    shop_hours, feed_hours, ads_hours : tuple of 24 float
        Share of the visits of a day by hour, from midnight; sums to 1. The hours are the ones on
        the wall where the data was made, and the world's clock reads them as UTC.
    shop_weekdays, feed_weekdays : tuple of 7 float
        Visits on such a day, Monday first, relative to the mean of the week, so that the mean is 1.
    shop_months : tuple of 12 float
        Visits a day in such a month, January first, relative to the mean of the twelve, so that
        the mean is 1.
    shop_activity_log_mean, shop_activity_sigma : float
        Customers' rates are lognormal: mean and standard deviation of the logarithm of invoices a
        year, those included who by chance bought nothing.
    feed_activity_sigma : float
        The same spread of ratings a user.
    shop_sales_sigma, feed_actions_sigma : float
        Items' rates are lognormal: standard deviation of the logarithm of invoices a product, and
        of ratings a film, from counts thinned to a mean of 8 and of 20.
    shop_lifetime : float
        Mean days until a product is sold no more, exponential: from the share of the products sold
        in the first quarter of the year that are sold in the last.
    feed_appeal_sigma : float
        Standard deviation of the logarithm of the retweets of one account's tweets of one month.
    shop_price_log_mean, shop_price_log_sigma : float
        Mean and standard deviation of the logarithm of a product's median price, in pounds.
    shop_quantities : tuple of int
        Units that a line may have.
    shop_quantity_shares : tuple of float
        How often; sums to 1.
    base_rate : float
        Clicks an impression under a uniformly random policy.
    """

    shop_hours: tuple[float, ...]
    shop_weekdays: tuple[float, ...]
    shop_months: tuple[float, ...]
    shop_activity_log_mean: float
    shop_activity_sigma: float
    shop_sales_sigma: float
    shop_lifetime: float
    shop_price_log_mean: float
    shop_price_log_sigma: float
    shop_quantities: tuple[int, ...]
    shop_quantity_shares: tuple[float, ...]
    feed_hours: tuple[float, ...]
    feed_weekdays: tuple[float, ...]
    feed_activity_sigma: float
    feed_actions_sigma: float
    feed_appeal_sigma: float
    ads_hours: tuple[float, ...]
    base_rate: float


def retail_parts() -> Parts:
    """Cut Online Retail II into its first year and its second, December to November each.

    Lines that are no products (postage and the like: ids that begin with a letter) and those at a
    price of 0 are left out.

    Returns
    -------
    Parts
        Lines as `mlsd.data.load_online_retail` gives them.
    """
    lines = data.load_online_retail()
    lines = lines[lines["product_id"].str[0].str.isdigit() & (lines["price"] > 0)]
    cut, end = pd.Timestamp(RETAIL_CUT), pd.Timestamp(RETAIL_END)
    return Parts(
        lines[lines["time"] < cut].reset_index(drop=True),
        lines[(lines["time"] >= cut) & (lines["time"] < end)].reset_index(drop=True),
    )


def movielens_parts() -> Parts:
    """Cut the ratings of MovieLens 100K at the turn of the year 1998.

    Returns
    -------
    Parts
        Ratings as `mlsd.data.load_movielens` gives them, with `time` as on the wall in Chicago,
        the site's own time.
    """
    ratings = data.load_movielens().ratings
    local = ratings["time"].dt.tz_convert("America/Chicago").dt.tz_localize(None)
    ratings = ratings.assign(time=local)
    early = local < pd.Timestamp(MOVIELENS_CUT)
    return Parts(ratings[early].reset_index(drop=True), ratings[~early].reset_index(drop=True))


def ratings_per_user() -> Parts:
    """Count the ratings of the users of MovieLens who were there on one side of the cut only.

    Returns
    -------
    Parts
        `user_id` and `ratings`, at least 20: users whose last rating came before the cut, and users
        whose first came after it. The others, whom the cut would halve, are left out.
    """
    users = data.load_movielens().ratings.groupby("user_id")["time"].agg(["min", "max", "size"])
    users = users.reset_index().rename(columns={"size": "ratings"})
    cut = pd.Timestamp(MOVIELENS_CUT, tz="America/Chicago")
    before, after = users[users["max"] < cut], users[users["min"] >= cut]
    columns = ["user_id", "ratings"]
    return Parts(
        before[columns].reset_index(drop=True),
        after[columns].reset_index(drop=True),
    )


def bandit_parts() -> Parts:
    """Cut the three logs of Open Bandit's random policy after the fourth of their seven days.

    Returns
    -------
    Parts
        Impressions as `mlsd.data.load_open_bandit` gives them, with `time` as on the wall in Tokyo,
        and `campaign`.
    """
    names = ("all", "men", "women")
    log = pd.concat(
        [data.load_open_bandit("random", name).assign(campaign=name) for name in names],
        ignore_index=True,
    )
    early = log["time"] < pd.Timestamp(BANDIT_CUT, tz="UTC")
    log = log.assign(time=log["time"].dt.tz_convert("Asia/Tokyo").dt.tz_localize(None))
    return Parts(log[early].reset_index(drop=True), log[~early].reset_index(drop=True))


def tweet_parts() -> Parts:
    """Cut the tweets: 2011 to 2014, and what came after.

    Replies, which few see, and tweets that nobody passed on, which have no logarithm, are left out.

    Returns
    -------
    Parts
        Tweets as `mlsd.data.load_tweets` gives them, with `spread`: the logarithm of the retweets
        less its mean over the month, when the account had about the same followers.
    """
    tweets = data.load_tweets()
    start, cut = (pd.Timestamp(day, tz="UTC") for day in (TWEETS_START, TWEETS_CUT))
    tweets = tweets[~tweets["is_reply"] & (tweets["retweets"] > 0) & (tweets["time"] >= start)]
    month = tweets["time"].dt.year * 12 + tweets["time"].dt.month
    log = np.log(tweets["retweets"])
    tweets = tweets.assign(spread=log - log.groupby(month).transform("mean"))
    early = tweets["time"] < cut
    return Parts(tweets[early].reset_index(drop=True), tweets[~early].reset_index(drop=True))


def sessions(ratings: pd.DataFrame) -> pd.DataFrame:
    """Keep the first rating of each session: none by the user in the half hour before.

    Parameters
    ----------
    ratings : pandas.DataFrame
        With `user_id` and `time`.

    Returns
    -------
    pandas.DataFrame
        The rows that begin a session, by user and time.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2020-01-01 10:00", "2020-01-01 10:20", "2020-01-01 11:00"])
    >>> len(sessions(pd.DataFrame({"user_id": 7, "time": times})))
    2
    """
    ordered = ratings.sort_values(["user_id", "time"], kind="stable")
    pause = ordered.groupby("user_id")["time"].diff().dt.total_seconds()
    starts: pd.DataFrame = ordered[pause.isna() | (pause > PAUSE)].reset_index(drop=True)
    return starts


def fit_anchors() -> Anchors:
    """Fit every constant that is fitted to the training part of the real data.

    `mlsd/world/_anchors.py` holds the result, rounded, so that a world needs no data; a test fits
    again and compares. It takes about five seconds.

    Returns
    -------
    Anchors

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.
    """
    lines = retail_parts().training
    visits = lines.groupby("invoice")["time"].min()
    per_customer = lines.groupby("customer_id")["invoice"].nunique()
    per_product = lines.groupby("product_id")["invoice"].nunique()
    log_mean, activity = fit_rates(per_customer)
    log_price = np.log(lines.groupby("product_id")["price"].median())
    quantities = _common(lines["quantity"])
    ratings = movielens_parts().training
    per_film = ratings.groupby("item_id").size()
    starts = sessions(ratings)["time"]
    log = bandit_parts().training
    return Anchors(
        shop_hours=_hours(visits),
        shop_weekdays=_per_day(visits, "day_of_week", range(7)),
        shop_months=_per_day(visits, "month", range(1, 13)),
        shop_activity_log_mean=log_mean,
        shop_activity_sigma=activity,
        shop_sales_sigma=fit_rates(thin(per_product, SALES))[1],
        shop_lifetime=_lifetime(lines),
        shop_price_log_mean=float(log_price.mean()),
        shop_price_log_sigma=float(log_price.std()),
        shop_quantities=tuple(int(quantity) for quantity in quantities.index),
        shop_quantity_shares=tuple(float(share) for share in quantities),
        feed_hours=_hours(starts),
        feed_weekdays=_per_day(starts, "day_of_week", range(7)),
        feed_activity_sigma=fit_rates(ratings_per_user().training["ratings"], least=LEAST_RATINGS)[
            1
        ],
        feed_actions_sigma=fit_rates(thin(per_film, ACTIONS))[1],
        feed_appeal_sigma=float(tweet_parts().training["spread"].std()),
        ads_hours=_hours(log["time"]),
        base_rate=float(log["click"].mean()),
    )


def _hours(times: pd.Series) -> tuple[float, ...]:
    """Return the share of `times` in each hour of the day."""
    counts = np.bincount(times.dt.hour, minlength=24)
    return tuple((counts / counts.sum()).tolist())


def _per_day(times: pd.Series, kind: str, values: range) -> tuple[float, ...]:
    """Return how many of `times` fall on a day of each kind, relative to the mean of the kinds."""
    days = times.dt.normalize()
    calendar = pd.Series(pd.date_range(days.min(), days.max()))
    seen = getattr(times.dt, kind).value_counts().reindex(values, fill_value=0)
    there = getattr(calendar.dt, kind).value_counts().reindex(values)
    rate = seen / there
    return tuple((rate / rate.mean()).tolist())


def _lifetime(lines: pd.DataFrame) -> float:
    """Return the mean life of products of which a share still sells at the end of the year."""
    day = (lines["time"].dt.normalize() - lines["time"].min().normalize()).dt.days
    last = int(day.max()) + 1 - SEASON
    first = lines.loc[day < SEASON, "product_id"].unique()
    still = np.isin(first, lines.loc[day >= last, "product_id"].unique()).mean()
    return float(-last / np.log(still))


def _common(quantities: pd.Series) -> pd.Series:
    """Return the share of each quantity that is not rare, among those that are not."""
    share = quantities.value_counts(normalize=True).sort_index()
    share = share[share >= LEAST_SHARE]
    return share / share.sum()
