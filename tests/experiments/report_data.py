"""A log of made-up rows that the tests of the report share."""

from __future__ import annotations

import numpy as np
import pandas as pd

METRICS = {"clicks": "click", "views": 1, "ctr": ("click", 1), "dwell": ("dwell", "click")}
KEYS = {"unit": "user_id", "arm": "arm"}


def make_log(seed=0, n_users=300, n_rows=3000, arms=("new", "old")):
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n_users, n_rows)
    arm = np.array(arms, dtype=object)[rng.integers(0, len(arms), n_users)]
    click = (rng.random(n_rows) < 0.3).astype(np.int8)
    return pd.DataFrame(
        {
            "user_id": user,
            "arm": arm[user],
            "time": pd.Timestamp("2024-05-01", tz="UTC") + pd.to_timedelta(np.arange(n_rows), "s"),
            "click": click,
            "dwell": click * rng.exponential(10, n_rows).round(1),
        }
    )


def make_before(seed=1):
    before = make_log(seed, n_rows=2000)
    return before.assign(time=before["time"] - pd.Timedelta("10D")).drop(columns="arm")
