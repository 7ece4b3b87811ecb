"""The users: how often they come, what they like, how satisfied they are, and who leaves."""

from __future__ import annotations

import copy

import numpy as np

from mlsd._keyed import keyed_normal, keyed_poisson, keyed_uniform
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.world._presets import Preset

__all__ = ["Population"]

_GROWING = (
    "rate",
    "segment",
    "community",
    "joined",
    "core",
    "moving",
    "satisfaction",
    "alive",
    "first",
    "last",
    "since",
)


class Population:
    """All users who ever were, in arrays whose index is the user_id.

    Attributes
    ----------
    rate : array of float
        Mean requests on a mean day.
    segment, community : arrays of int
    joined : array of int
        Day.
    core, moving : arrays of shape (n, n_topics)
        The parts of taste that stay and that wander, of variance 1.
    taste : array of shape (n, n_topics)
        Of today, in click logits.
    satisfaction : array of float
        Average utility of a request, the latest days of use counting most.
    alive : array of bool
    first, last : arrays of int
        Numbers of the policies that a user had first and last; -1 before the first request.
    since : array of int
        Day from which on a user has had the last.
    """

    def __init__(self, preset: Preset, n_users: int, seed: int) -> None:
        self._preset = preset
        self._seed = seed
        self._n_start = n_users
        self.reference = 0.0
        none = np.zeros(0, dtype=np.int64)
        self.rate: FloatArray = np.zeros(0)
        self.segment, self.community, self.joined = none, none, none
        self.first, self.last, self.since = none, none, none
        self.core: FloatArray = np.zeros((0, preset.n_topics))
        self.moving: FloatArray = np.zeros((0, preset.n_topics))
        self.taste: FloatArray = np.zeros((0, preset.n_topics))
        self.satisfaction: FloatArray = np.zeros(0)
        self.alive: BoolArray = np.zeros(0, dtype=np.bool_)
        self.join(n_users, 0)

    def __len__(self) -> int:
        """Return the number of users who ever were."""
        return self.rate.size

    @property
    def n_communities(self) -> int:
        """Return the number of communities, which stays."""
        return max(1, round(self._n_start / self._preset.community_size))

    def copy(self) -> Population:
        """Return the same users, with a future of their own."""
        other = copy.copy(self)
        for name in (*_GROWING, "taste"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def join(self, count: int, day: int) -> None:
        """Add users, who take the next numbers."""
        p, seed = self._preset, self._seed
        user = np.arange(len(self), len(self) + count)
        topic = np.arange(p.n_topics)
        # The mean of a lognormal is exp(mu + sigma²/2): take the second part off again.
        noise = p.activity_sigma * keyed_normal(seed, "activity", user) - p.activity_sigma**2 / 2
        share = np.cumsum(p.segment_share) / np.sum(p.segment_share)
        never = np.full(count, -1)
        new = {
            "rate": p.requests_per_day * np.exp(noise),
            "segment": np.searchsorted(share[:-1], keyed_uniform(seed, "segment", user)),
            "community": (keyed_uniform(seed, "community", user) * self.n_communities).astype(
                np.int64
            ),
            "joined": np.full(count, day),
            "core": keyed_normal(seed, "core taste", user[:, None], topic),
            "moving": keyed_normal(seed, "first taste", user[:, None], topic),
            "satisfaction": np.full(count, self.reference),
            "alive": np.ones(count, dtype=np.bool_),
            "first": never,
            "last": never,
            "since": np.full(count, day),
        }
        for name, values in new.items():
            setattr(self, name, np.concatenate((getattr(self, name), values)))
        self._set_taste()

    def _set_taste(self) -> None:
        p = self._preset
        self.taste = p.taste_scale * (
            np.sqrt(p.taste_core) * self.core + np.sqrt(1 - p.taste_core) * self.moving
        )

    def next_taste(self, day: int) -> None:
        """Let tastes wander for a day: a stationary Ornstein-Uhlenbeck step."""
        keep = 0.5 ** (1.0 / self._preset.taste_half_life)
        user = np.flatnonzero(self.alive)
        topic = np.arange(self._preset.n_topics)
        noise = keyed_normal(self._seed, "taste", day, user[:, None], topic)
        self.moving[user] = keep * self.moving[user] + np.sqrt(1 - keep**2) * noise
        self._set_taste()

    def new_tastes(self, day: int, share: float, event: int) -> None:
        """Give a share of the users tastes that have nothing to do with those they had."""
        user = np.arange(len(self))
        hit = np.flatnonzero(keyed_uniform(self._seed, "shock", event, day, user) < share)
        topic = np.arange(self._preset.n_topics)
        for name in ("core", "moving"):
            fresh = keyed_normal(self._seed, f"shock {name}", event, day, hit[:, None], topic)
            getattr(self, name)[hit] = fresh
        self._set_taste()

    def request_rate(self, factor: float) -> tuple[IntArray, FloatArray]:
        """Return the living users and the mean number of requests of each today."""
        p = self._preset
        user = np.flatnonzero(self.alive)
        above = self.satisfaction[user] - self.reference
        exponent = p.return_strength * above
        if p.interference:
            exponent += p.interference * self.community_mood()[self.community[user]]
        return user, self.rate[user] * factor * np.exp(np.clip(exponent, -10.0, 5.0))

    def community_mood(self) -> FloatArray:
        """Return by how much each community's mean satisfaction is above that of random slates."""
        group = self.community[self.alive]
        total = np.bincount(group, self.satisfaction[self.alive], self.n_communities)
        size = np.bincount(group, minlength=self.n_communities)
        mean = np.divide(total, size, out=np.full(total.size, self.reference), where=size > 0)
        above: FloatArray = mean - self.reference
        return above

    def logit(self, day: int) -> FloatArray:
        """Return what is added to the click logit of each user today, but for novelty."""
        p = self._preset
        effect = np.asarray(p.segment_effect)[self.segment]
        if p.interference:
            effect = effect + p.interference * self.community_mood()[self.community]
        return effect

    def meet(self, day: int, user: IntArray, policy: IntArray) -> FloatArray:
        """Note the policies of the day's requests, in order, and return the novelty of each."""
        p = self._preset
        last = self.last.copy()
        last[user] = policy  # of several, the last one stands
        fresh = self.first[user] < 0
        backwards = user[::-1], policy[::-1]
        first = self.first.copy()
        first[backwards[0]] = backwards[1]  # of several, the first one stands
        self.first[user[fresh]] = first[user[fresh]]
        moved = (last != self.last) & (self.last >= 0)
        self.since[moved] = day
        self.last = last
        if not p.novelty:
            return np.zeros(0)
        faded = 0.5 ** ((day - self.since[user]) / p.novelty_half_life)
        return np.where(policy != self.first[user], p.novelty * faded, 0.0)

    def end_day(self, day: int, user: IntArray, utility: FloatArray, requests: IntArray) -> None:
        """Settle a day: satisfaction from what was seen, then who leaves and who joins.

        `user` and `utility` are of the clicks, `requests` counts those of each user.
        """
        p, n = self._preset, len(self)
        weight = 1 - 0.5 ** (1.0 / p.satisfaction_half_life)
        came = requests > 0
        total = np.bincount(user, utility, n)
        of_request = np.divide(total, requests, out=np.zeros(n), where=came)
        step = weight * (of_request - self.satisfaction)
        self.satisfaction = np.where(came, self.satisfaction + step, self.satisfaction)
        below = np.clip(p.churn_strength * (self.reference - self.satisfaction), -20.0, 20.0)
        leaves = keyed_uniform(self._seed, "churn", day, np.arange(n)) < p.churn * np.exp(below)
        self.alive &= ~leaves
        share = p.churn if p.new_users is None else p.new_users
        self.join(int(keyed_poisson(share * self._n_start, self._seed, "joining", day)), day + 1)
