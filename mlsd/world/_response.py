"""What users do with what they see: how much it attracts, and what follows a click."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._keyed import keyed_normal, keyed_uniform
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd.world._catalogue import Catalogue
from mlsd.world._population import Population
from mlsd.world._presets import Preset

__all__ = ["AfterClick", "Response", "Tuning", "sigmoid"]

_HOUR = 3_600


def sigmoid(logit: FloatArray) -> FloatArray:
    """Return ``1 / (1 + exp(-logit))`` of a fresh array, in its memory."""
    np.negative(logit, out=logit)
    np.minimum(logit, 700.0, out=logit)
    np.exp(logit, out=logit)
    logit += 1.0
    return np.reciprocal(logit, out=logit)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Constants that are solved for at construction.

    Attributes
    ----------
    base : float
        Intercept of the click logit, so that the candidates' mean attractiveness is base_rate.
    conversion : float
        Intercept of the conversion logit, likewise.
    """

    base: float
    conversion: float


@dataclass(frozen=True, slots=True)
class AfterClick:
    """What followed each click.

    Attributes
    ----------
    dwell : array of float
        Seconds.
    utility : array of float
        ``2 good - 1``.
    converted : array of bool
    delay : array of int64
        Seconds from click to conversion; of all clicks.
    value : array of float
        Money; 0 where nothing was converted.
    """

    dwell: FloatArray
    utility: FloatArray
    converted: BoolArray
    delay: IntArray
    value: FloatArray


class Response:
    """The users' answers on one day, as functions of users and documents."""

    def __init__(
        self,
        preset: Preset,
        population: Population,
        catalogue: Catalogue,
        tuning: Tuning,
        seed: int,
        day: int,
    ) -> None:
        self._preset = preset
        self._seed = seed
        self._day = day
        self._taste = population.taste
        self._catalogue = catalogue
        self._topic = catalogue.topic
        self._user_logit = population.logit(day)
        self._item_logit = catalogue.logit(day) + tuning.base
        self._conversion = tuning.conversion

    def _liking(self, user: IntArray, doc: IntArray) -> FloatArray:
        """Return the taste of users for the topics of documents."""
        flat = self._topic[doc]
        flat += user * self._taste.shape[1]
        return np.asarray(self._taste.ravel().take(flat))

    def attractiveness(
        self, user: IntArray, doc: IntArray, novelty: FloatArray | None = None
    ) -> FloatArray:
        """Return the chance of a click on an examined document, without trust bias.

        The arrays broadcast; `novelty` is added to the logit.
        """
        logit = self._liking(user, doc)
        logit += self._item_logit.take(doc)
        logit += self._user_logit[user] if novelty is None else self._user_logit[user] + novelty
        return sigmoid(logit)

    def good(self, user: IntArray, doc: IntArray) -> FloatArray:
        """Return how far documents satisfy users, 0 to 1."""
        return sigmoid(self._liking(user, doc) + self._catalogue.quality[doc])

    def conversion_logit(self, user: IntArray, doc: IntArray) -> FloatArray:
        """Return the logit of a conversion after a click, without its intercept."""
        p, items = self._preset, self._catalogue
        logit = items.quality[doc] + self._liking(user, doc) / 2
        if p.price_effect:
            logit -= p.price_effect * (np.log(items.price[doc]) - p.price_log_mean)
        return logit

    def conversion_probability(self, user: IntArray, doc: IntArray) -> FloatArray:
        """Return the chance of a conversion after a click."""
        if not self._preset.conversion_rate:
            return np.zeros(np.broadcast_shapes(user.shape, doc.shape))
        return sigmoid(self.conversion_logit(user, doc) + self._conversion)

    def after_click(self, user: IntArray, nth: IntArray, doc: IntArray) -> AfterClick:
        """Return what follows clicks, one row each."""
        p, seed = self._preset, self._seed
        key = (self._day, user, nth, doc)
        good = self.good(user, doc)
        noise = p.dwell_sigma * keyed_normal(seed, "dwell", *key)
        dwell = p.dwell_median * np.exp(p.dwell_lift * (good - 0.5) + noise)
        converted = keyed_uniform(seed, "conversion", *key) < self.conversion_probability(user, doc)
        waited = -np.log(keyed_uniform(seed, "delay", *key)) * p.delay_hours * _HOUR
        return AfterClick(
            dwell=np.maximum(np.round(dwell, 1), 0.1),
            utility=2 * good - 1,
            converted=converted,
            delay=waited.astype(np.int64),
            value=np.where(converted, self._value(doc, key), 0.0),
        )

    def _value(self, doc: IntArray, key: tuple[npt.ArrayLike, ...]) -> FloatArray:
        p = self._preset
        if p.value == "advertiser":
            worth: FloatArray = self._catalogue.worth[doc]
            return worth
        if p.value == "one":
            return np.ones(doc.size)
        share = np.cumsum(p.quantity_share) / np.sum(p.quantity_share)
        which = np.searchsorted(share[:-1], keyed_uniform(self._seed, "quantity", *key))
        paid: FloatArray = np.round(self._catalogue.price[doc] * np.asarray(p.quantities)[which], 2)
        return paid
