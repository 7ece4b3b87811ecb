"""Policies that know what is hidden in their world, and their way into copies of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray
from mlsd.world.interleave import Interleave

if TYPE_CHECKING:
    from mlsd.world.world import World

__all__ = ["Informed", "informed", "moved"]


class Informed:
    """A policy that knows what is hidden in its world."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.__name__ = name

    def __call__(self, requests: pd.DataFrame, candidates: pd.DataFrame) -> FloatArray:
        """Return the scores: attractiveness, or that times utility."""
        self._check_world(requests)
        response = self.world._response()
        user, doc = (candidates[name].to_numpy() for name in ("user_id", "doc_id"))
        score = response.attractiveness(user, doc)
        if self.__name__ == "satisfier":
            score = score * (2 * response.good(user, doc) - 1)
        return score

    def _check_world(self, requests: pd.DataFrame) -> None:
        now = self.world.now
        time, request = requests["time"], requests["request_id"]
        today = (time >= now) & (time < now + pd.Timedelta(days=1))
        if not (today & (request >= self.world._n_requests)).all():
            raise ValueError(
                f"policy {self.__name__!r} knows another world than the one that serves it: take "
                f"world.truth.{self.__name__} of that one"
            )


def informed(world: World, name: str) -> Informed:
    """Return the informed policy of a world: the same object at each call.

    Novelty goes by the object, so a copy's policy takes the place of the one that its users know
    from the world it was copied from.
    """
    found: dict[str, Informed] = vars(world).get("_informed", {})
    if name in found and found[name].world is world:
        return found[name]
    own = Informed(world, name)
    vars(world)["_informed"] = {**found, name: own}
    world._met = [
        own if isinstance(met, Informed) and met.__name__ == name else met for met in world._met
    ]
    return own


def moved(policy: Any, world: World, known: dict[int, Any]) -> Any:
    """Return a policy with the truth of `world` in place of any other; the same for the same."""
    if id(policy) not in known:
        other = policy
        if isinstance(policy, Informed):
            other = informed(world, policy.__name__)
        elif isinstance(policy, Mapping):
            other = {name: moved(one, world, known) for name, one in policy.items()}
        elif isinstance(policy, Interleave):
            a, b = (moved(one, world, known) for one in (policy.a, policy.b))
            if a is not policy.a or b is not policy.b:
                other = Interleave(a, b, random_state=policy.random_state)
        known[id(policy)] = other
    return known[id(policy)]
