"""One day of service: requests in, slates out, and what came of them, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._keyed import keyed_uniform
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd.world import _breakage, _slate
from mlsd.world._auction import Auction
from mlsd.world._calendar import Arrivals
from mlsd.world._candidates import CandidateSets
from mlsd.world._catalogue import Catalogue
from mlsd.world._choice import ChoiceModel, click_probability, examined_and_clicked
from mlsd.world._log import filled, labelled, utc
from mlsd.world._policies import Arm, ranked, scored
from mlsd.world._population import Population
from mlsd.world._presets import Preset
from mlsd.world._response import Response

__all__ = ["DayService", "Options", "Tally"]

_BLOCK = 2_048  # requests whose arrays stay in the processor's cache
_HOUR = 3_600


@dataclass(frozen=True, slots=True)
class Options:
    """How a policy is served: exploration, size of chunks, and whether hidden columns are shown."""

    explore: float
    temperature: float | None
    chunk_rows: int
    reveal: bool


@dataclass(slots=True)
class Tally:
    """What a day leaves behind: the utility of its clicks, in order, and how many saw nothing."""

    empty_requests: int = 0
    user: list[IntArray] = field(default_factory=list)
    utility: list[FloatArray] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some requests of a day and what belongs to each."""

    request_id: IntArray
    user: IntArray
    nth: IntArray
    second: IntArray
    arm: IntArray
    novelty: FloatArray | None

    def take(self, rows: IntArray | slice) -> _Chunk:
        """Return some of the requests."""
        novelty = None if self.novelty is None else self.novelty[rows]
        return _Chunk(
            self.request_id[rows],
            self.user[rows],
            self.nth[rows],
            self.second[rows],
            self.arm[rows],
            novelty,
        )


class DayService:
    """Everything that stays the same during a day, and the way of a chunk through it."""

    def __init__(
        self,
        preset: Preset,
        population: Population,
        catalogue: Catalogue,
        sets: CandidateSets,
        auction: Auction | None,
        response: Response,
        choice: ChoiceModel,
        schedule: Iterable[tuple[str, int, float]],
        seed: int,
        day: int,
        midnight: npt.NDArray[np.datetime64],
        weekday: int,
        arms: list[Arm],
        options: Options,
    ) -> None:
        self._preset = preset
        self._population = population
        self._catalogue = catalogue
        self._auction = auction
        self._response = response
        self._choice = choice
        self._schedule = tuple(schedule)
        self._seed = seed
        self._day = day
        self._midnight = midnight
        self._weekday = weekday
        self._arms = arms
        self._options = options
        self._sets = sets
        self._live = np.zeros(len(catalogue), dtype=np.bool_)
        self._live[catalogue.live] = True
        self._age = day - catalogue.born
        self.tally = Tally()

    def run(
        self,
        arrivals: Arrivals,
        first_id: int,
        arm: IntArray,
        novelty: FloatArray,
        traffic: FloatArray,
    ) -> Iterator[dict[str, AnyArray]]:
        """Yield the log of the day, as columns of one chunk after the other."""
        day = _Chunk(
            first_id + np.arange(len(arrivals)),
            arrivals.user,
            arrivals.nth,
            arrivals.second,
            arm,
            novelty if novelty.size else None,
        )
        size = max(1, self._options.chunk_rows // self._preset.candidates)
        bounds = np.array([0, len(arrivals)])
        if self._auction is not None:  # budgets move by the hour
            bounds = np.searchsorted(arrivals.second, np.arange(25) * _HOUR)
        for hour in range(bounds.size - 1):
            for start in range(bounds[hour], bounds[hour + 1], size):
                stop = min(start + size, bounds[hour + 1])
                yield self._served(day.take(slice(start, stop)))
            if self._auction is not None and hour < 23:
                self._auction.next_hour(traffic)

    def _served(self, chunk: _Chunk) -> dict[str, AnyArray]:
        """Return the log of a chunk; its rows are requests in order, and their places."""
        k, n = self._preset.slate, chunk.user.size
        slates = _Slates.empty(n, k, auction=self._auction is not None)
        for number, arm in enumerate(self._arms):
            rows: Any = slice(None)
            if len(self._arms) > 1:
                rows = np.flatnonzero(chunk.arm == number)
                if not rows.size:
                    continue
            self._choose(arm, chunk.take(rows), slates, rows)
        return self._answered(chunk, slates)

    def _choose(self, arm: Arm, chunk: _Chunk, slates: _Slates, rows: Any) -> None:
        """Let an arm choose for its requests, and write what is shown into the slates."""
        requests = self._requests(chunk)
        if arm.ranks:
            if self._auction is None:
                doc, score, extra = ranked(arm, requests, self._preset.slate, self._live)
            else:
                doc, score, extra = ranked(arm, requests, None, self._live)
                doc, score, extra = self._auctioned(chunk, slates, rows, doc, score, extra)
            slates.doc[rows], slates.score[rows] = doc, score
            slates.propensity[rows] = (doc >= 0).astype(np.float64)
            slates.add_extra(rows, extra)
            return
        doc = self._sets.of(chunk.user, chunk.nth)
        score, extra = scored(arm, requests, self._candidates(chunk, doc), doc.shape[1])
        for start in range(0, chunk.user.size, _BLOCK):
            part = slice(start, start + _BLOCK)
            at = part if isinstance(rows, slice) else rows[part]
            self._place(chunk.take(part), doc[part], score[part], slates, at)
        order = slates.order[rows]
        of_shown = {
            name: np.take_along_axis(values, order, axis=1) for name, values in extra.items()
        }
        slates.add_extra(rows, of_shown)

    def _place(
        self, chunk: _Chunk, doc: IntArray, score: FloatArray, slates: _Slates, at: Any
    ) -> None:
        """Make slates of scored candidates: greedy, explored or sampled, and priced."""
        k, options, seed = self._preset.slate, self._options, self._seed
        key = (self._day, chunk.user, chunk.nth)
        across = (self._day, chunk.user[:, None], chunk.nth[:, None], doc)
        if self._auction is not None:
            entry = self._auction.participates(doc, keyed_uniform(seed, "throttle", *across))
            score = np.where(entry, score, -np.inf)
        propensity: FloatArray | float = 1.0
        if options.temperature is not None:
            noise = keyed_uniform(seed, "explore", *across)
            order, propensity = _slate.plackett_luce(score, k, options.temperature, noise)
        elif options.explore:
            switch = keyed_uniform(seed, "switch", *key)
            noise = keyed_uniform(seed, "explore", *across)
            order, propensity, _ = _slate.explore(score, k, options.explore, switch, noise)
        else:
            order = _slate.top(score, k)
        shown = np.take_along_axis(doc, order, axis=1)
        of_shown = np.take_along_axis(score, order, axis=1)
        if self._auction is not None:
            absent = of_shown == -np.inf
            rest = score.copy()
            np.put_along_axis(rest, order, -np.inf, axis=1)
            bid = self._catalogue.bid[shown]
            slates.bid[at] = bid
            slates.price[at] = self._auction.prices(of_shown, bid, rest.max(axis=1))
            shown = np.where(absent, -1, shown)
            propensity = np.where(absent, 0.0, propensity)
        slates.order[at] = order
        slates.doc[at] = shown
        slates.score[at] = of_shown
        slates.propensity[at] = propensity

    def _auctioned(
        self,
        chunk: _Chunk,
        slates: _Slates,
        rows: Any,
        doc: IntArray,
        score: FloatArray,
        extra: dict[str, AnyArray],
    ) -> tuple[IntArray, FloatArray, dict[str, AnyArray]]:
        """Take ads that sit this hour out from what a ranker returned, and price the rest."""
        auction: Any = self._auction
        k = self._preset.slate
        across = (self._day, chunk.user[:, None], chunk.nth[:, None], doc)
        u = keyed_uniform(self._seed, "throttle", *across)
        entry = (doc >= 0) & auction.participates(doc, u)
        order = np.argsort(~entry, axis=1, kind="stable")[:, : k + 1]  # those that are left move up
        short = max(0, k + 1 - order.shape[1])

        def taken(values: AnyArray, absent: Any) -> AnyArray:
            found = np.take_along_axis(values, order, axis=1)
            return np.pad(found, ((0, 0), (0, short)), constant_values=absent)

        there = taken(entry, False)
        score = np.where(there, taken(score, -np.inf), -np.inf)
        doc = np.where(there, taken(doc, -1), -1)[:, :k]
        bid = self._catalogue.bid[doc]
        slates.bid[rows] = bid
        slates.price[rows] = auction.prices(score[:, :k], bid, score[:, k])
        extra = {name: taken(values, values.ravel()[0])[:, :k] for name, values in extra.items()}
        return doc, score[:, :k], extra

    def _answered(self, chunk: _Chunk, slates: _Slates) -> dict[str, AnyArray]:
        """Return the log of slates, with what users did."""
        n, k = slates.doc.shape
        click = np.empty((n, k), dtype=np.bool_)
        hidden: dict[str, AnyArray] = {}
        if self._options.reveal:
            hidden = {name: np.empty((n, k)) for name in ("attractiveness", "click_probability")}
        for start in range(0, n, _BLOCK):
            part = slice(start, start + _BLOCK)
            doc = slates.doc[part]
            user, nth = chunk.user[part, None], chunk.nth[part, None]
            novelty = None if chunk.novelty is None else chunk.novelty[part, None]
            a = self._response.attractiveness(user, doc, novelty)
            place = np.arange(k)
            u_exam = keyed_uniform(self._seed, "examine", self._day, user, nth, place)
            u_click = keyed_uniform(self._seed, "click", self._day, user, nth, doc)
            click[part] = examined_and_clicked(a, u_exam, u_click, self._choice)[1]
            if hidden:
                hidden["attractiveness"][part] = a
                hidden["click_probability"][part] = click_probability(a, self._choice)
        return self._columns(chunk, slates, click, hidden)

    def _columns(
        self, chunk: _Chunk, slates: _Slates, click: BoolArray, hidden: dict[str, AnyArray]
    ) -> dict[str, AnyArray]:
        n, k = slates.doc.shape
        shown = slates.doc.ravel() >= 0
        whole = bool(shown.all())
        self.tally.empty_requests += int((slates.doc[:, 0] < 0).sum())
        click &= slates.doc >= 0

        def flat(values: AnyArray) -> AnyArray:
            return values.ravel() if whole else values.ravel()[shown]

        def of_request(values: AnyArray) -> AnyArray:
            return np.repeat(values, k) if whole else np.repeat(values, k)[shown]

        time = self._midnight + chunk.second.astype("timedelta64[s]")
        part = {
            "request_id": of_request(chunk.request_id),
            "user_id": of_request(chunk.user),
            "time": of_request(time),
            "doc_id": flat(slates.doc),
            "position": flat(np.broadcast_to(np.arange(1, k + 1), (n, k))),
            "score": flat(slates.score),
            "propensity": flat(slates.propensity),
            "click": flat(click.view(np.int8)),
            "policy": of_request(chunk.arm.astype(np.int8)),
        }
        clicked = np.flatnonzero(part["click"])
        by_click = np.flatnonzero(click)
        request = by_click // k
        user, nth = chunk.user[request], chunk.nth[request]
        doc = slates.doc.ravel()[by_click]
        after = self._response.after_click(user, nth, doc)
        self.tally.user.append(user)
        self.tally.utility.append(after.utility)
        size = part["click"].size
        part["dwell"] = np.zeros(size)
        part["dwell"][clicked] = after.dwell
        part["value"] = np.zeros(size)
        part["value"][clicked] = after.value
        part["conversion_time"] = np.full(size, np.datetime64("NaT", "s"))
        bought = after.converted
        moment = time[request] + after.delay.astype("timedelta64[s]")
        part["conversion_time"][clicked[bought]] = moment[bought]
        if self._auction is not None:
            part["bid"] = flat(slates.bid)
            part["paid"] = np.zeros(size)
            part["paid"][clicked] = self._auction.charge(doc, slates.price.ravel()[by_click])
        part |= {name: flat(values) for name, values in (slates.further() | hidden).items()}
        if hidden:
            every = part["user_id"], part["doc_id"]
            part["good"] = self._response.good(*every)
            part["conversion_probability"] = self._response.conversion_probability(*every)
        return part

    def _requests(self, chunk: _Chunk) -> pd.DataFrame:
        people, p = self._population, self._preset
        time = self._midnight + chunk.second.astype("timedelta64[s]")
        return pd.DataFrame(
            {
                "request_id": chunk.request_id,
                "user_id": chunk.user,
                "time": utc(time),
                "hour": chunk.second // _HOUR,
                "weekday": np.full(chunk.user.size, self._weekday),
                "segment": labelled(people.segment[chunk.user], p.segments),
                "tenure": self._day - people.joined[chunk.user],
            }
        )

    def _candidates(self, chunk: _Chunk, doc: IntArray) -> pd.DataFrame:
        items, n = self._catalogue, self._preset.candidates
        flat = doc.ravel()
        columns: dict[str, AnyArray] = {
            "request_id": np.repeat(chunk.request_id, n),
            "user_id": np.repeat(chunk.user, n),
            "doc_id": flat.copy(),  # a policy may write into it
            "topic": items.topic.take(flat),
            "age": self._age.take(flat),
            "price": items.price.take(flat),
        }
        if self._auction is not None:
            columns["bid"] = items.bid.take(flat)

        def uniform() -> FloatArray:
            key = (self._day, chunk.user[:, None], chunk.nth[:, None], doc)
            return keyed_uniform(self._seed, "nulls", *key).ravel()

        seen = _breakage.apply(
            columns, self._schedule, self._day, u=uniform, n_topics=self._preset.n_topics
        )
        return pd.DataFrame(seen, copy=False)


@dataclass(slots=True)
class _Slates:
    """What the requests of a chunk are shown: arrays of shape (R, K), -1 where nothing is."""

    doc: IntArray
    order: IntArray
    score: FloatArray
    propensity: FloatArray
    bid: FloatArray
    price: FloatArray
    extra: list[tuple[Any, dict[str, AnyArray]]]

    @classmethod
    def empty(cls, n: int, k: int, *, auction: bool) -> _Slates:
        """Return room for slates."""
        ads = (n, k) if auction else (0, k)
        return cls(
            np.empty((n, k), dtype=np.int64),
            np.empty((n, k), dtype=np.int64),
            np.empty((n, k)),
            np.empty((n, k)),
            np.zeros(ads),
            np.zeros(ads),
            [],
        )

    def add_extra(self, rows: Any, extra: dict[str, AnyArray]) -> None:
        """Keep further columns of the requests of an arm."""
        self.extra.append((rows, extra))

    def further(self) -> dict[str, AnyArray]:
        """Return the further columns of all arms; those that an arm has not are missing there."""
        if len(self.extra) == 1:
            return self.extra[0][1]
        n, k = self.doc.shape
        place = np.empty(n, dtype=np.int64)
        place[np.concatenate([rows for rows, _ in self.extra])] = np.arange(n)
        sizes = [rows.size * k for rows, _ in self.extra]
        names = dict.fromkeys(name for _, extra in self.extra for name in extra)
        return {
            name: filled(
                [extra[name].ravel() if name in extra else None for _, extra in self.extra], sizes
            ).reshape(n, k)[place]
            for name in names
        }
