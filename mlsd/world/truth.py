"""What a world hides from the product: for graders, never for policies that are to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd._validation import check_positive_int, warn_undefined
from mlsd.world._choice import examination_probability
from mlsd.world._informed import informed, moved

if TYPE_CHECKING:
    from mlsd.world.world import World

__all__ = ["Effect", "Expectation", "Truth"]

_WEEK = 7


@dataclass(frozen=True, slots=True)
class Expectation(Result):
    """What a policy can expect, without the noise of clicks.

    The chances of the clicks and conversions that were possible are summed, not what happened.

    Attributes
    ----------
    days : int
        Days served.
    n_requests : int
        Requests in them.
    n_impressions : int
        Documents shown.
    clicks_per_request : float
        Expected clicks of a request.
    click_rate : float
        Expected clicks of a document shown.
    conversions_per_request : float
        Expected conversions, whenever they come.
    value_per_request : float
        Expected value of them, money.
    utility_per_request : float
        Expected sum of ``2 good - 1`` over the clicks: what satisfaction averages.
    """

    days: int
    n_requests: int
    n_impressions: int
    clicks_per_request: float
    click_rate: float
    conversions_per_request: float
    value_per_request: float
    utility_per_request: float


@dataclass(frozen=True, slots=True)
class Effect(Result):
    """Everyone on one policy against everyone on another, in two worlds with one luck.

    Attributes
    ----------
    days : int
        Days served.
    n_users : int
        Users who were there at the beginning or joined by the last day; the same in both worlds.
    control, treatment : dict of str to float
        clicks_per_request; requests_per_user, conversions_per_user and value_per_user over all
        days; retention, the share of the users there at the beginning who were shown something
        within the last seven days; and staying, the share of them who have not left at the end.
    """

    days: int
    n_users: int
    control: dict[str, float]
    treatment: dict[str, float]

    @property
    def difference(self) -> dict[str, float]:
        """Return treatment minus control of each metric."""
        return {name: self.treatment[name] - value for name, value in self.control.items()}

    def to_frame(self) -> pd.DataFrame:
        """Return a row a metric: control, treatment, difference and relative difference."""
        frame = pd.DataFrame(
            {
                "control": pd.Series(self.control),
                "treatment": pd.Series(self.treatment),
                "difference": pd.Series(self.difference),
            }
        )
        frame["relative"] = frame["difference"] / frame["control"].where(frame["control"] != 0)
        return frame.rename_axis("metric")

    def _note(self) -> str:
        return f"{self.n_users} users over {self.days} days"


class Truth:
    """The hidden side of a world as it stands; it never changes the world.

    A policy that is judged must not look here. Graders do: they know what an experiment should
    have found.

    Parameters
    ----------
    world : World

    Examples
    --------
    >>> from mlsd.world import World
    >>> world = World("feed", n_users=300, n_items=60)
    >>> def cheap(requests, candidates):
    ...     return -candidates["price"]
    >>> truth = world.truth
    >>> truth.expect(truth.oracle).clicks_per_request > truth.expect(cheap).clicks_per_request
    True
    >>> truth.effect(cheap, cheap, days=2).difference["clicks_per_request"]
    0.0
    """

    def __init__(self, world: World) -> None:
        """Look at a world."""
        self._world = world

    @property
    def users(self) -> pd.DataFrame:
        """Return all users so far, with what is hidden of them.

        Beside the columns of ``world.users``: rate (requests on a mean day), satisfaction, alive
        (has not left), and the tastes of today in click logits, taste_0 and so on by topic.
        """
        people = self._world._population
        columns = {
            "rate": people.rate,
            "satisfaction": people.satisfaction,
            "alive": people.alive,
        } | {f"taste_{topic}": taste for topic, taste in enumerate(people.taste.T)}
        hidden = pd.DataFrame({name: values.copy() for name, values in columns.items()})
        return pd.concat((self._world.users, hidden), axis=1)

    @property
    def items(self) -> pd.DataFrame:
        """Return all items so far, with what is hidden of them.

        Beside the columns of ``world.items``: appeal and quality (logits), weight (by which
        retrieval picks), expires (time), and for ads worth (money per conversion to the
        advertiser).
        """
        items = self._world._catalogue
        hidden = pd.DataFrame(
            {
                "appeal": items.appeal.copy(),
                "quality": items.quality.copy(),
                "weight": items.weight.copy(),
                "expires": self._world._times(items.expires),
            }
        )
        if self._world.preset.auction:
            hidden["worth"] = items.worth.copy()
        return pd.concat((self._world.items, hidden), axis=1)

    @property
    def reference(self) -> float:
        """Return the mean satisfaction under random slates, with which users begin."""
        return float(self._world._population.reference)

    @property
    def examination(self) -> FloatArray:
        """Return the chance that each place is examined.

        In a cascade it depends on the slate: here every document attracts as the mean candidate.
        """
        model = self._world._choice
        average = np.full((1, model.gamma.size), self._world.preset.base_rate)
        chance: FloatArray = examination_probability(average, model)[0].copy()
        return chance

    @property
    def trust(self) -> pd.DataFrame:
        """Return the chance of a click at each place, once examined.

        Columns position, attracted (ε⁺: on what attracts) and not_attracted (ε⁻: on what does
        not).
        """
        model = self._world._choice
        return pd.DataFrame(
            {
                "position": np.arange(1, model.gamma.size + 1),
                "attracted": model.trust_plus.copy(),
                "not_attracted": model.trust_minus.copy(),
            }
        )

    def attractiveness(self, user_id: npt.ArrayLike, doc_id: npt.ArrayLike) -> FloatArray:
        """Return the chance of a click today on an examined document, without trust or novelty.

        Parameters
        ----------
        user_id, doc_id : integers or arrays of them
            They broadcast against each other. Documents may have expired.

        Raises
        ------
        TypeError
            If identifiers are not integers.
        ValueError
            If users or items do not exist.
        """
        user, doc = self._pairs(user_id, doc_id)
        return self._world._response().attractiveness(user, doc)

    def good(self, user_id: npt.ArrayLike, doc_id: npt.ArrayLike) -> FloatArray:
        """Return how far a click on a document satisfies a user today, 0 to 1.

        Takes and raises what :meth:`attractiveness` does.
        """
        user, doc = self._pairs(user_id, doc_id)
        return self._world._response().good(user, doc)

    def _pairs(self, user_id: npt.ArrayLike, doc_id: npt.ArrayLike) -> tuple[IntArray, IntArray]:
        user = _identifiers(user_id, "user_id", len(self._world._population))
        doc = _identifiers(doc_id, "doc_id", len(self._world._catalogue))
        users, docs = np.broadcast_arrays(user, doc)
        return users, docs

    @property
    def oracle(self) -> Any:
        """Return the policy that ranks by attractiveness: no other gets more clicks today.

        So it is where the first places gain most from what attracts, as in all presets. It is not
        with changes by which they do not, such as ``eta=0`` beside `trust_minus` above 0, and
        in ads it knows of no budget.

        It knows this world and is for it alone: served by another it raises ValueError.
        """
        return informed(self._world, "oracle")

    @property
    def satisfier(self) -> Any:
        """Return the policy that ranks by attractiveness times ``2 good - 1``.

        It takes fewer clicks, for users who are more content. It is for this world alone.
        """
        return informed(self._world, "satisfier")

    def expect(self, policy: Any, days: int = 1, **options: Any) -> Expectation:
        """Return what `policy` can expect of the next days, without the noise of clicks.

        A copy of the world is served. On the first day the numbers are exact given the day's
        requests; of later days they are given the clicks of those before, which decide who comes
        back. In ads they are given the budgets that the clicks leave.

        Parameters
        ----------
        policy : policy, or mapping of them
            As for :meth:`mlsd.world.World.serve`.
        days : int, default 1
        **options
            Of :meth:`mlsd.world.World.serve`.

        Returns
        -------
        Expectation
            Per request nan, with a warning, if there are no requests.
        """
        days = check_positive_int(days, "days")
        twin, (served,) = self._twin(policy)
        first = twin._n_requests
        clicks = conversions = value = utility = 0.0
        impressions = 0
        for _ in range(days):
            log = twin._serve(served, 1, **options, reveal=True)
            click = log["click_probability"].to_numpy()
            conversion = click * log["conversion_probability"].to_numpy()
            clicks += float(click.sum())
            conversions += float(conversion.sum())
            value += float(conversion @ _value(twin)[log["doc_id"].to_numpy()])
            utility += float(click @ (2 * log["good"].to_numpy() - 1))
            impressions += len(log)
        requests = twin._n_requests - first
        _warn_without_requests(requests, days)
        return Expectation(
            days=days,
            n_requests=requests,
            n_impressions=impressions,
            clicks_per_request=_ratio(clicks, requests),
            click_rate=_ratio(clicks, impressions),
            conversions_per_request=_ratio(conversions, requests),
            value_per_request=_ratio(value, requests),
            utility_per_request=_ratio(utility, requests),
        )

    def effect(self, treatment: Any, control: Any, days: int, **options: Any) -> Effect:
        """Return what a launch of `treatment` in place of `control` would do from today on.

        Two copies of the world are served, one policy each, with the same luck: what differs
        comes of the policies. It is one draw of the world's future, not its mean; with the same
        policy on both sides it is exactly 0.

        Parameters
        ----------
        treatment, control : policies
            As for :meth:`mlsd.world.World.serve`, one each.
        days : int
        **options
            Of :meth:`mlsd.world.World.serve`, for both.

        Returns
        -------
        Effect
            Per request nan, with a warning, if there are no requests.

        Raises
        ------
        TypeError
            If `treatment` or `control` is a mapping of several policies.
        """
        days = check_positive_int(days, "days")
        for name, policy in (("treatment", treatment), ("control", control)):
            if isinstance(policy, Mapping):
                raise TypeError(f"{name} must be one policy; got a mapping of {list(policy)}")
        n_users, of_control = self._launched(control, days, options)
        _, of_treatment = self._launched(treatment, days, options)
        if not (of_control["requests_per_user"] and of_treatment["requests_per_user"]):
            _warn_without_requests(0, days)
        return Effect(days, n_users, of_control, of_treatment)

    def _launched(
        self, policy: Any, days: int, options: dict[str, Any]
    ) -> tuple[int, dict[str, float]]:
        twin, (served,) = self._twin(policy)
        starters = np.flatnonzero(twin._population.alive)
        first = twin._n_requests
        clicks, conversions, value = 0, 0, 0.0
        seen = np.zeros(0, dtype=np.int64)
        for left in range(days, 0, -1):
            n_users = starters.size + len(twin._population) - len(self._world._population)
            log = twin.serve(served, 1, **options)
            clicks += int(log["click"].sum())
            conversions += int(log["conversion_time"].notna().sum())
            value += float(log["value"].sum())
            if left <= _WEEK:
                seen = np.union1d(seen, log["user_id"].to_numpy())
        requests = twin._n_requests - first
        return n_users, {
            "clicks_per_request": _ratio(clicks, requests),
            "requests_per_user": _ratio(requests, n_users),
            "conversions_per_user": _ratio(conversions, n_users),
            "value_per_user": _ratio(value, n_users),
            "retention": _ratio(int(np.isin(starters, seen).sum()), starters.size),
            "staying": _ratio(int(twin._population.alive[starters].sum()), starters.size),
        }

    def _twin(self, *policies: Any) -> tuple[World, list[Any]]:
        """Return a copy of the world, and the policies with its truth in place of this one's."""
        twin = self._world.copy()
        known: dict[int, Any] = {}
        twin._met = [moved(policy, twin, known) for policy in twin._met]
        return twin, [moved(policy, twin, known) for policy in policies]


def _value(world: World) -> AnyArray:
    """Return the mean value of a conversion, by doc_id."""
    p, items = world.preset, world._catalogue
    if p.value == "advertiser":
        return items.worth
    if p.value == "one":
        return np.ones(len(items))
    share = np.asarray(p.quantity_share) / np.sum(p.quantity_share)
    baskets: AnyArray = np.round(items.price[:, None] * np.asarray(p.quantities), 2)
    return np.asarray(baskets @ share)


def _ratio(part: float, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _warn_without_requests(requests: int, days: int) -> None:
    if not requests:
        warn_undefined(
            f"there are 0 requests in {days} days: what is per request is undefined", stacklevel=4
        )


def _identifiers(values: npt.ArrayLike, name: str, n: int) -> IntArray:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers; got {array.dtype}")
    wrong = (array < 0) | (array >= n)
    if wrong.any():
        raise ValueError(
            f"{name} must be below {n}, the number there is; got {int(array[wrong].ravel()[0])}"
        )
    return array.astype(np.int64)
