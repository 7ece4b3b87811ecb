"""Open Bandit: impressions of a fashion shop, logged with the probability of each choice."""

from __future__ import annotations

import io

import pandas as pd

from mlsd._validation import check_choice
from mlsd.data._fetch import read_member

__all__ = ["load_open_bandit"]

POLICIES = ("random", "bts")
CAMPAIGNS = ("all", "men", "women")


def load_open_bandit(
    policy: str = "random", campaign: str = "all", *, affinities: bool = False
) -> pd.DataFrame:
    """Load 10,000 logged impressions of a fashion shop with their true propensities.

    Parameters
    ----------
    policy : {"random", "bts"}, default "random"
        Who chose the item: a uniformly random policy, or Bernoulli Thompson sampling.
    campaign : {"all", "men", "women"}, default "all"
        Which catalogue it chose from: 80, 34 or 46 items.
    affinities : bool, default False
        Add the columns ``affinity_0``, ``affinity_1``, … one an item of the catalogue: how much
        the user was seen to like the item before.

    Returns
    -------
    pandas.DataFrame
        One row an impression, in the order of the file: `time` (UTC), `item_id` (from 0),
        `position` (1 left, 2 middle, 3 right), `click` (0 or 1), `propensity` (the probability
        with which the policy put this item there), ``user_feature_0`` to ``user_feature_3``
        (categorical, hashed by the publisher).

    Raises
    ------
    ValueError
        If `policy` or `campaign` is none of the above.
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    A file holds 38 to 69 clicks: enough for an estimate with an interval, too few to train on.

    Examples
    --------
    >>> log = load_open_bandit("random", "men")
    >>> len(log), float(log["propensity"].iloc[0]) == 1 / 34
    (10000, True)
    """
    check_choice(policy, "policy", POLICIES)
    check_choice(campaign, "campaign", CAMPAIGNS)
    raw = read_member("obp", f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv")
    log = pd.read_csv(io.BytesIO(raw), index_col=0).rename(
        columns=lambda name: name.replace("user-item_", "")
    )
    log = log.rename(columns={"timestamp": "time", "propensity_score": "propensity"})
    user = [name for name in log.columns if name.startswith("user_feature_")]
    item = [name for name in log.columns if name.startswith("affinity_")] if affinities else []
    log = log[["time", "item_id", "position", "click", "propensity", *user, *item]]
    log = log.reset_index(drop=True)
    return log.astype(dict.fromkeys(user, "category")).assign(
        time=pd.to_datetime(log["time"], format="ISO8601", utc=True)
    )
