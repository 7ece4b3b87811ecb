"""A study on the world: logs split by many salts, where nothing differs or the policy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from _experiment_rows import FALSE, HELD, counted
from scipy.special import ndtr

from mlsd.experiments import assign, compare_means, compare_ratios
from mlsd.world import World

__all__ = ["world_splits"]

ALPHA = 0.05
MOST_WORLDS = 4
# In a week of the shop thirty of a thousand users buy, and one of them is a fifth of the value.
SIZES = (("feed", 1_000), ("shop", 5_000), ("shop", 1_000), ("ads", 1_000))


def freshest(requests: pd.DataFrame, candidates: pd.DataFrame) -> Any:
    """Return the policy of all worlds: the newest first."""
    return -candidates["age"].to_numpy()


def sums_of(log: pd.DataFrame, user: Any) -> pd.DataFrame:
    """Return views, clicks and value of each user."""
    found = log.groupby("user_id").agg(
        views=("click", "size"), clicks=("click", "sum"), value=("value", "sum")
    )
    return found.reindex(user, fill_value=0).astype(np.float64)


def cheapest(requests: pd.DataFrame, candidates: pd.DataFrame) -> Any:
    """Return the other policy: the lowest price first."""
    return -candidates["price"].to_numpy()


def world_splits(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count false alarms of A/A splits, and what A/B splits say of a known effect."""
    rows: list[dict[str, Any]] = []
    n_worlds = min(MOST_WORLDS, max(1, n // 100))
    for preset, n_users in SIZES:
        hits: dict[str, list[bool]] = {}
        held: dict[str, list[bool]] = {}
        for _ in range(n_worlds):
            world = World(preset, n_users=n_users, random_state=int(rng.integers(2**31)))
            before = world.serve(freshest, 7)
            twin = world.copy()
            log, other = world.serve(freshest, 7), twin.serve(cheapest, 7)
            user = np.union1d(log["user_id"], other["user_id"])
            now, past, then = (sums_of(part, user) for part in (log, before, other))
            salts = [str(rng.integers(2**62)) for _ in range(-(-n // n_worlds))]
            for salt in salts:
                arm = assign(user, salt=salt)
                for name, alarm in alarms(now, past, arm).items():
                    hits.setdefault(name, []).append(alarm)
                if preset != "ads":  # the advertisers' budgets are one for both arms
                    for name, inside in coverage(now, then, arm).items():
                        held.setdefault(name, []).append(inside)
        where = f"{preset}, {n_worlds} worlds of {n_users:,} users, one week"
        for name, found in hits.items():
            promise = "" if "impression" in name else "about"
            rows.append(counted(name, where, FALSE, found, nominal=ALPHA, promise=promise))
        for name, inside in held.items():
            told = f"{where}; another policy"
            rows.append(counted(name, told, HELD, inside, nominal=1 - ALPHA, promise="at least"))
    return rows


def coverage(one: pd.DataFrame, other: pd.DataFrame, arm: Any) -> dict[str, bool]:
    """Return which intervals hold the effect on these users, all on one policy or the other.

    Twins share their luck, and users do not meet: what a user does under either policy is known,
    and an experiment shows one of the two. Of an effect on just these users the interval holds it
    at least as often as it says (Neyman 1923).
    """
    treated = arm == "treatment"
    seen = {name: np.where(treated, other[name], one[name]) for name in one}
    ratio = compare_ratios(seen["clicks"], seen["views"], arm)
    truth = [part["clicks"].sum() / part["views"].sum() for part in (one, other)]
    clicks = seen["clicks"]
    mean = compare_means(clicks[~treated], clicks[treated])
    moved = other["clicks"].mean() - one["clicks"].mean()
    return {
        "compare_ratios, clicks a view": ratio.lower <= truth[1] - truth[0] <= ratio.upper,
        "compare_means, clicks": mean.lower <= moved <= mean.upper,
    }


def alarms(now: pd.DataFrame, past: pd.DataFrame, arm: Any) -> dict[str, bool]:
    """Return which analyses of a split alarm."""
    treated = arm == "treatment"
    clicks, views, value = (now[name].to_numpy() for name in ("clicks", "views", "value"))
    old_clicks, old_views = past["clicks"].to_numpy(), past["views"].to_numpy()
    found = {
        "compare_ratios, clicks a view": compare_ratios(clicks, views, arm),
        "compare_ratios, CUPED": compare_ratios(
            clicks, views, arm, covariate=(old_clicks, old_views)
        ),
        "compare_means, clicks": compare_means(clicks[~treated], clicks[treated]),
        "compare_means, clicks, CUPED": compare_means(
            clicks[~treated],
            clicks[treated],
            covariate=(old_clicks[~treated], old_clicks[treated]),
        ),
        "compare_means, value": compare_means(value[~treated], value[treated]),
    }
    shown = {name: one.p_value < ALPHA for name, one in found.items()}
    sizes = np.array([views[~treated].sum(), views[treated].sum()])
    share = np.array([clicks[~treated].sum(), clicks[treated].sum()]) / sizes
    pooled = clicks.sum() / views.sum()
    spread = np.sqrt(pooled * (1 - pooled) * (1 / sizes).sum())
    z = (share[1] - share[0]) / spread
    return shown | {"two proportions, by impression": bool(2 * ndtr(-abs(z)) < ALPHA)}
