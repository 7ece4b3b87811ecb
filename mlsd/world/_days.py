"""The days of a world: how its state goes from one to the next, whatever policy is served."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from mlsd._keyed import check_seed
from mlsd._lazy import pandas as pd
from mlsd._types import IntArray
from mlsd._validation import check_choice, check_positive_int
from mlsd.world import _events
from mlsd.world._auction import Auction
from mlsd.world._calendar import Arrivals, Calendar
from mlsd.world._candidates import CandidateSets
from mlsd.world._catalogue import Catalogue
from mlsd.world._choice import ChoiceModel, choice_model
from mlsd.world._log import LogParts
from mlsd.world._policies import Arm, assigned, check_exploration, read_arms, same_policy
from mlsd.world._population import Population
from mlsd.world._presets import Preset, read_preset
from mlsd.world._response import Response
from mlsd.world._serving import DayService, Options
from mlsd.world._tuning import tune

__all__ = ["Days"]


class Days:
    """The state of a world, and what moves it on; :class:`mlsd.world.World` is its face."""

    def __init__(
        self,
        preset: str | Preset,
        n_users: int,
        n_items: int,
        random_state: int,
        changes: dict[str, Any],
    ) -> None:
        """Make day 0."""
        self._preset = p = read_preset(preset, changes)
        self._n_users = check_positive_int(n_users, "n_users")
        n_items = check_positive_int(n_items, "n_items")
        if n_items < p.candidates:
            raise ValueError(
                f"n_items must be at least the {p.candidates} candidates of a request; "
                f"got {n_items!r}"
            )
        self._seed = seed = check_seed(random_state)
        self._day = 0
        self._n_requests = 0
        self._schedule: tuple[tuple[str, int, float], ...] = ()
        self._met: list[Any] = []  # policies by number, for novelty
        self._calendar = Calendar(p, seed)
        self._catalogue = Catalogue(p, n_items, seed)
        self._population = Population(p, self._n_users, seed)
        self._choice: ChoiceModel = choice_model(
            p.examination,
            p.slate,
            eta=p.eta,
            trust_plus=p.trust_plus,
            trust_minus=p.trust_minus,
            stop=p.cascade_stop,
            proceed=p.cascade_continue,
        )
        self._sets: CandidateSets | None = None  # of today, once they are needed
        self._tuning = tune(
            p, self._population, self._catalogue, self._candidate_sets(), self._choice, seed
        )
        self._auction: Auction | None = None
        if p.auction:
            items = self._catalogue
            self._auction = Auction(items.bid, items.budget, reserve=p.reserve)

    def copy(self) -> Self:
        """Return a twin: the same past, the same luck to come, and a future of its own.

        What happens in both is drawn alike: two policies served to twins meet the same requests
        with the same candidates, and the same clicks on what both show, as long as users'
        satisfaction has not yet made them differ.
        """
        twin = copy.copy(self)
        twin._population = self._population.copy()
        twin._catalogue = self._catalogue.copy()
        twin._met = list(self._met)
        twin._auction = None if self._auction is None else self._auction.copy()
        return twin

    def _happen(self, event: int) -> None:
        """Let a scheduled change take place; breakages and the season are looked up when used."""
        kind, day, strength = self._schedule[event]
        if kind == "taste":
            self._population.new_tastes(day, strength, event)
        elif kind == "catalogue":
            self._catalogue.turn_over(day, strength, event)
            self._sets = None
            self._enter_ads()
        elif kind == "new_users":
            self._population.join(round(strength * self._n_users), day)

    def _enter_ads(self) -> None:
        if self._auction is not None:
            items, known = self._catalogue, self._auction.bids.size
            self._auction.extend(items.bid[known:], items.budget[known:])

    def _serve(
        self,
        policy: Any,
        days: int,
        *,
        explore: float = 0.0,
        temperature: float | None = None,
        assign: Callable[[Any], Any] | None = None,
        unit: str = "user_id",
        chunk_rows: int = 1_000_000,
        reveal: bool = False,
    ) -> pd.DataFrame:
        """Serve, and with `reveal` log what is hidden too: for the truth.

        The further columns are attractiveness, click_probability (exact, of the place in its
        slate), good and conversion_probability (given a click).
        """
        days = check_positive_int(days, "days")
        arms = read_arms(policy)
        options = Options(
            *check_exploration(explore, temperature, arms),
            check_positive_int(chunk_rows, "chunk_rows"),
            reveal,
        )
        check_choice(unit, "unit", ("user_id", "community", "request_id"))
        if assign is not None and not callable(assign):
            raise TypeError(f"assign must be callable; got {type(assign).__name__}")
        before = self.copy()
        names = [arm.name for arm in arms]
        log = LogParts(names, auction=self._auction is not None, reveal=reveal)
        try:
            for _ in range(days):
                self._serve_day(arms, options, assign, unit, log)
            return log.frame()
        except BaseException:
            self.__dict__.update(before.__dict__)  # as if it had not been asked
            raise

    def _serve_day(
        self,
        arms: list[Arm],
        options: Options,
        assign: Callable[[Any], Any] | None,
        unit: str,
        log: LogParts,
    ) -> None:
        people, day = self._population, self._day
        factor = self._calendar.factor(day, _events.season(self._schedule, day))
        arrivals = self._calendar.arrivals(day, *people.request_rate(factor))
        first_id = self._n_requests
        arm = self._arms_of(arrivals, first_id, arms, assign, unit)
        known = np.array([self._number(one.policy) for one in arms])
        novelty = people.meet(day, arrivals.user, known[arm])
        service = DayService(
            self._preset,
            people,
            self._catalogue,
            self._candidate_sets(),
            self._auction,
            self._response(),
            self._choice,
            self._schedule,
            self._seed,
            day,
            self._calendar.midnight(day),
            self._calendar.weekday(day),
            arms,
            options,
        )
        for part in service.run(arrivals, first_id, arm, novelty, self._calendar.hourly):
            log.add(part)
        log.empty_requests += service.tally.empty_requests
        self._n_requests += len(arrivals)
        self._end_day(arrivals, service)

    def _arms_of(
        self,
        arrivals: Arrivals,
        first_id: int,
        arms: list[Arm],
        assign: Callable[[Any], Any] | None,
        unit: str,
    ) -> IntArray:
        if unit == "request_id":
            return assigned(assign, first_id + np.arange(len(arrivals)), arms)
        of_request = arrivals.user
        if unit == "community":
            of_request = self._population.community[of_request]
        units, which = np.unique(of_request, return_inverse=True)
        return assigned(assign, units, arms)[which]

    def _number(self, policy: Any) -> int:
        for number, known in enumerate(self._met):
            if same_policy(policy, known):
                return number
        self._met.append(policy)
        return len(self._met) - 1

    def _candidate_sets(self) -> CandidateSets:
        """Return what retrieval may find today."""
        if self._sets is None:
            n = self._preset.candidates
            self._sets = CandidateSets(self._catalogue, n, self._seed, self._day)
        return self._sets

    def _response(self) -> Response:
        """Return the users' answers today."""
        return Response(
            self._preset, self._population, self._catalogue, self._tuning, self._seed, self._day
        )

    def _end_day(self, arrivals: Arrivals, service: DayService) -> None:
        people, tally = self._population, service.tally
        none = np.zeros(0, dtype=np.int64)
        people.end_day(
            self._day,
            np.concatenate([none, *tally.user]),
            np.concatenate([np.zeros(0), *tally.utility]),
            np.bincount(arrivals.user, minlength=len(people)),
        )
        self._day += 1
        self._sets = None
        people.next_taste(self._day)
        self._catalogue.next_day(self._day)
        if self._auction is not None:
            self._auction.next_day(self._calendar.hourly)
            self._enter_ads()
        for event, (_, at, _strength) in enumerate(self._schedule):
            if at == self._day:
                self._happen(event)
