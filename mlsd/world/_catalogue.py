"""The items: what draws a click, what satisfies, what it costs, and how long it is there."""

from __future__ import annotations

import copy

import numpy as np

from mlsd._keyed import keyed_normal, keyed_uniform
from mlsd._types import FloatArray, IntArray
from mlsd.world._presets import Preset

__all__ = ["Catalogue"]

_GROWING = (
    "topic",
    "appeal",
    "quality",
    "price",
    "weight",
    "born",
    "expires",
    "bid",
    "budget",
    "worth",
)


class Catalogue:
    """All items that ever were, in arrays whose index is the doc_id.

    Attributes
    ----------
    topic : array of int
    appeal, quality : arrays of float
        Logits: of what draws the click, and of what satisfies after it.
    price : array of float
        Money, whole cents.
    weight : array of float
        By which retrieval picks candidates.
    born, expires : arrays of float
        Days; those of day 0 were born before it.
    bid, budget, worth : arrays of float
        Of ads: money per click at most, per day at most, and per conversion to the advertiser.
    live : array of int
        doc_id of what can be shown today, as many as on the first day.
    """

    def __init__(self, preset: Preset, n_items: int, seed: int) -> None:
        self._preset = preset
        self._seed = seed
        for name in _GROWING:
            setattr(self, name, np.zeros(0, dtype=np.int64 if name == "topic" else np.float64))
        self.topic: IntArray
        self.appeal: FloatArray
        self.quality: FloatArray
        self.price: FloatArray
        self.weight: FloatArray
        self.born: FloatArray
        self.expires: FloatArray
        self.bid: FloatArray
        self.budget: FloatArray
        self.worth: FloatArray
        self.live: IntArray = self.add(n_items, 0)
        # An exponential life is as long from now on as from its beginning: only the age is added.
        age = -np.log(keyed_uniform(seed, "first age", self.live)) * preset.lifetime
        self.born -= age

    def __len__(self) -> int:
        """Return the number of items that ever were."""
        return self.topic.size

    def copy(self) -> Catalogue:
        """Return the same items, with a future of their own."""
        other = copy.copy(self)
        for name in (*_GROWING, "live"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def add(self, count: int, day: int) -> IntArray:
        """Add items, which take the next numbers; return these."""
        p, seed = self._preset, self._seed
        doc = np.arange(len(self), len(self) + count)
        z = {
            name: keyed_normal(seed, name, doc)
            for name in ("appeal", "quality", "price", "popularity", "bid", "budget", "worth")
        }
        shared = p.appeal_quality_correlation
        quality = shared * z["appeal"] + np.sqrt(1 - shared**2) * z["quality"]
        bid = np.round(p.bid_median * np.exp(p.bid_log_sd * z["bid"]), 2)
        bid = np.maximum(bid, max(p.reserve, 0.01))
        rate = max(p.conversion_rate, 1e-3)
        new = {
            "topic": (keyed_uniform(seed, "topic", doc) * p.n_topics).astype(np.int64),
            "appeal": p.appeal_scale * z["appeal"],
            "quality": p.quality_scale * quality,
            "price": np.maximum(
                np.round(np.exp(p.price_log_mean + p.price_log_sd * z["price"]), 2), 0.01
            ),
            "weight": np.exp(p.popularity_sigma * z["popularity"]),
            "born": np.full(count, float(day)),
            "expires": day - np.log(keyed_uniform(seed, "life", doc)) * p.lifetime,
            "bid": bid,
            "budget": np.round(bid * p.budget_clicks * np.exp(p.budget_log_sd * z["budget"]), 2),
            # Advertisers bid about what a click is worth to them, some more, some less.
            "worth": np.round(bid / rate * np.exp(0.3 * z["worth"]), 2),
        }
        for name, values in new.items():
            setattr(self, name, np.concatenate((getattr(self, name), values)))
        return doc

    def next_day(self, day: int) -> None:
        """Replace what has expired by the beginning of a day."""
        self._replace(self.expires[self.live] <= day, day)

    def turn_over(self, day: int, share: float, event: int) -> None:
        """Let a share of the live items expire now, and replace them."""
        u = keyed_uniform(self._seed, "turnover", event, day, self.live)
        self.expires[self.live[u < share]] = day
        self._replace(u < share, day)

    def _replace(self, gone: np.ndarray, day: int) -> None:
        if gone.any():
            self.live[gone] = self.add(int(gone.sum()), day)

    def logit(self, day: int) -> FloatArray:
        """Return what each item adds to the click logit today."""
        p = self._preset
        age = np.maximum(day - self.born, 0.0)
        return np.asarray(self.appeal + p.freshness * 0.5 ** (age / p.freshness_half_life))
