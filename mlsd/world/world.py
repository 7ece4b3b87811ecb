"""A product whose truth is known: users, items, and a policy that decides what they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray
from mlsd._validation import check_choice
from mlsd.world import _breakage, _events
from mlsd.world._days import Days
from mlsd.world._log import labelled, utc
from mlsd.world._presets import Preset

if TYPE_CHECKING:
    from mlsd.world.truth import Truth

__all__ = ["World"]


class World(Days):
    """A product with users, items and a truth, served by a policy day by day.

    The world knows what no product knows of itself: what would have happened under another policy.
    It is made for teaching and for testing statistics, and promises nothing about a real product.

    Parameters
    ----------
    preset : {"feed", "shop", "ads"} or Preset
        "feed": many fresh posts, clicks. "shop": prices, baskets, a slow catalogue. "ads": bids,
        budgets and second prices.
    n_users : int, default 2,000
        Users on day 0.
    n_items : int, default 500
        Items that can be shown, on every day; at least the candidates of a request.
    random_state : int, default 0
        The same number gives the same world on every machine.
    **changes
        Parameters of the preset by name: see :class:`mlsd.world.Preset`.

    Raises
    ------
    TypeError
        If a change is of no parameter, or something is of the wrong kind.
    ValueError
        If the preset is unknown, a parameter is out of its range, or there are too few items.

    Notes
    -----
    **A day.** Each user makes a Poisson number of requests: the user's own rate (lognormal over
    users, heavy-tailed) times weekday and month, times ``exp(return_strength * s)``, with s by how
    much the user's satisfaction is above that under random slates. The hour follows the hourly
    profile, the same for all. Retrieval hands each request `candidates` distinct live items, those
    of large popularity weight more often, whoever asks. The policy scores them, and the best
    `slate` are shown from the top. The user examines places, clicks, stays, and may convert later.

    **A click** on a document that is examined has probability
    ``ε⁺ a + ε⁻ (1 - a)``, and ``a = sigmoid(base + taste[user, topic] + appeal + freshness
    2^(-age/half-life) + segment + novelty + mood of the community)``. Given a, clicks of a slate
    are independent of each other but for the examination: there is no fatigue by similar items.

    **After it**, ``good = sigmoid(quality + taste)`` is how far the item satisfies. Dwell is
    lognormal and longer where good is high. The utility of a request is the sum over its clicks of
    ``2 good - 1``, and satisfaction is an exponential average over days of use of the day's mean
    utility a request. A conversion has probability ``sigmoid(c + quality + taste/2 - price_effect
    ln(price/median))`` and comes after an exponential delay that depends on nothing.

    **Overnight** a user leaves for good with probability ``churn exp(-churn_strength s)``, and new
    ones join. Tastes take a step of a stationary Ornstein-Uhlenbeck process. An expired item is
    replaced by a new one.

    **What is fitted** and what is only assumed is said by ``world.preset.to_frame()``: the tails of
    activity and popularity, hours, weekdays and months, prices, quantities and the base rate of ads
    are fitted to public data, each in the preset whose kind of product the data are of. The forms
    of the equations above, all that concerns satisfaction, churn, taste, quality, interference and
    novelty, and the size of every effect are assumed. So a result on the order of two policies may
    hang on these; a result on whether a statistical method is right about what it claims does not.

    **Randomness.** Each draw is a hash of the seed, its purpose and what it is for, such as (user,
    day, request, document). So the log does not depend on `chunk_rows`, the items do not depend on
    the number of users, and twins (``copy``) share their luck wherever they meet.

    References
    ----------
    Ie et al. (2019), "RecSim: A Configurable Simulation Platform for Recommender Systems",
    arXiv:1909.04847 (hidden state apart from the choice model). Rohde et al. (2018), "RecoGym",
    arXiv:1808.00720. Saito et al. (2021), "Open Bandit Dataset and Pipeline", NeurIPS Datasets and
    Benchmarks (logs with propensities).

    Examples
    --------
    >>> from mlsd.world import World
    >>> world = World("feed", n_users=500, random_state=1)
    >>> def newest(requests, candidates):
    ...     return -candidates["age"]
    >>> log = world.serve(newest, days=2)
    >>> list(log.columns[:5]), world.day
    (['request_id', 'user_id', 'time', 'doc_id', 'position'], 2)
    >>> twin = world.copy()
    >>> twin.serve(newest, 1).equals(world.serve(newest, 1))
    True
    """

    def __init__(
        self,
        preset: str | Preset = "feed",
        *,
        n_users: int = 2_000,
        n_items: int = 500,
        random_state: int = 0,
        **changes: Any,
    ) -> None:
        """Make the world as it is on the midnight before day 0."""
        super().__init__(preset, n_users, n_items, random_state, changes)

    @property
    def preset(self) -> Preset:
        """Return the parameters, changes included."""
        return self._preset

    @property
    def day(self) -> int:
        """Return the number of the day that is served next, from 0."""
        return self._day

    @property
    def now(self) -> pd.Timestamp:
        """Return the midnight, UTC, at which the next day begins."""
        return pd.Timestamp(str(self._calendar.date(self._day)), tz="UTC").as_unit("s")

    @property
    def users(self) -> pd.DataFrame:
        """Return what the product knows of all users so far.

        Columns user_id, segment, community, and joined, the time at which they came. Who has left
        says so to nobody: they are still listed.
        """
        people = self._population
        return pd.DataFrame(
            {
                "user_id": np.arange(len(people)),
                "segment": labelled(people.segment, self._preset.segments),
                "community": people.community,
                "joined": self._times(people.joined.astype(np.float64)),
            }
        )

    @property
    def items(self) -> pd.DataFrame:
        """Return what the product knows of all items so far.

        Columns doc_id, topic, price, born (time), live (can be shown today); for ads also bid and
        budget.
        """
        items = self._catalogue
        live = np.zeros(len(items), dtype=np.bool_)
        live[items.live] = True
        columns = {
            "doc_id": np.arange(len(items)),
            "topic": items.topic,
            "price": items.price,
            "born": self._times(items.born),
            "live": live,
        }
        if self._auction is not None:
            columns |= {"bid": items.bid, "budget": items.budget}
        return pd.DataFrame(columns)

    def _times(self, day: FloatArray) -> Any:
        seconds = np.floor(day * 86_400).astype("timedelta64[s]")
        return utc(self._calendar.midnight(0) + seconds)

    @property
    def truth(self) -> Truth:
        """Return what is hidden from the product, for graders only."""
        from mlsd.world.truth import Truth

        return Truth(self)

    def drift(self, kind: str, at: int, strength: float) -> World:
        """Schedule a change, and return the world.

        Parameters
        ----------
        kind : str
            Of the world: "taste", that share of the users get new tastes; "season", the amplitude
            of the months is multiplied, which nobody notices where ``preset.monthly`` is flat, as
            in the feed; "catalogue", that share of the items expires and is
            replaced; "new_users", that share of `n_users` joins at once.
            Of what the policy sees only: "nulls", the price is NaN in that share of candidates;
            "units", prices are multiplied; "schema", that share of the topics' codes is renumbered.
        at : int
            Day from which on; not before :attr:`day`.
        strength : float
            A share from 0 to 1 for "taste", "catalogue", "nulls" and "schema"; at least 0 for
            "new_users" and "season"; above 0 for "units". Season and breakages last until the next
            change of their kind, which for strength 1 ("season", "units") or 0 is the repair.

        Raises
        ------
        TypeError
            If `at` is no integer or `strength` no number.
        ValueError
            If the kind is unknown, the day is over or the strength is out of its range.

        Examples
        --------
        >>> from mlsd.world import World
        >>> world = World(n_users=100).drift("catalogue", at=0, strength=0.5)
        >>> len(world.items), int(world.items["live"].sum())
        (728, 500)
        """
        check_choice(kind, "kind", (*_events.EVENTS, *_breakage.BREAKAGES))
        if isinstance(at, bool) or not isinstance(at, (int, np.integer)):
            raise TypeError(f"at must be the number of a day; got {at!r} ({type(at).__name__})")
        if at < self._day:
            raise ValueError(f"at must not be over: the next day is {self._day}; got {at!r}")
        if kind in _breakage.BREAKAGES:
            strength = _breakage.check_strength(kind, strength)
        else:
            strength = _events.check_strength(kind, strength)
        self._schedule = (*self._schedule, (kind, int(at), strength))
        if at == self._day:
            self._happen(len(self._schedule) - 1)
        return self

    def serve(
        self,
        policy: Any,
        days: int,
        *,
        explore: float = 0.0,
        temperature: float | None = None,
        assign: Callable[[Any], Any] | None = None,
        unit: str = "user_id",
        chunk_rows: int = 1_000_000,
    ) -> pd.DataFrame:
        """Serve some days and return their log; the clock moves on.

        Parameters
        ----------
        policy : callable, object with ``rank``, or mapping
            ``policy(requests, candidates)`` returns one score for each row of candidates, as an
            array, Series or list, in their order: higher is shown first, ties keep the candidates'
            order, which is random. Or a DataFrame with `score` and further columns, which are
            logged as they are, such as a model_version or the score of a shadow model. The two
            frames are its own: it may write into them.

            requests has request_id, user_id, time, hour, weekday (0 is Monday), segment and tenure
            (days since the user joined). candidates has request_id, user_id, doc_id, topic, age
            (days), price, and for ads bid; those of one request are together, as many for each.

            An object with ``rank(queries)``, such as a Funnel, is given the requests with
            request_id named query_id, and returns query_id, doc_id, score and rank; it may show any
            live document of :attr:`items`.

            A mapping of names to policies are the arms of an experiment.
        days : int
        explore : float, default 0.0
            Chance that a whole slate is a random draw of the candidates.
        temperature : float, optional
            Slates are drawn place by place with weights ``exp(score / temperature)``.
        assign : callable, optional
            Takes an array of units and returns the name of an arm for each, always the same for the
            same unit. By default a hash, in equal parts: :func:`mlsd.experiments.assign` with the
            salt "world".
        unit : {"user_id", "community", "request_id"}, default "user_id"
            What is assigned to arms.
        chunk_rows : int, default 1,000,000
            Rows of candidates held at once, about: the policy is called for so many.

        Returns
        -------
        DataFrame
            One row for each document shown, in order of time, request and position: request_id,
            user_id, time, doc_id, position (from 1), score, propensity, click (0 or 1), dwell
            (seconds), conversion_time (NaT without; it may lie after the last day served: see
            :func:`mlsd.world.as_of`), value (money), policy (the arm); for ads bid and paid; then
            the policy's own columns.

            The propensity is the chance of this document at this place: with `explore`, over slates
            of this request; with `temperature`, given the documents above it; else 1. For ads it is
            given which of them took part. ``attrs["empty_requests"]`` counts requests that had
            nothing to show, which only ads know: none of their candidates took part.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong kind or out of its range; if a policy returns scores that
            are too few, NaN, infinite or of rows in another order, documents that do not exist,
            have expired or repeat in a slate, or no documents; if `assign` names an arm that does
            not exist. The world is then as it was before the call.

        Examples
        --------
        >>> import numpy as np
        >>> from mlsd.world import World
        >>> world = World("feed", n_users=300)
        >>> arms = {
        ...     "cheap": lambda requests, candidates: -candidates["price"],
        ...     "dear": lambda requests, candidates: candidates["price"],
        ... }
        >>> log = world.serve(arms, 1, explore=0.3)
        >>> log["policy"].cat.categories.tolist()
        ['cheap', 'dear']
        >>> np.unique(log["propensity"].round(2)).tolist()
        [0.01, 0.71]
        """
        return self._serve(
            policy,
            days,
            explore=explore,
            temperature=temperature,
            assign=assign,
            unit=unit,
            chunk_rows=chunk_rows,
        )
