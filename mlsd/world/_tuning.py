"""Constants that a world solves for when it is made, so that its rates are those of its preset."""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray
from mlsd.world._candidates import CandidateSets
from mlsd.world._catalogue import Catalogue
from mlsd.world._choice import ChoiceModel, click_probability
from mlsd.world._population import Population
from mlsd.world._presets import Preset
from mlsd.world._response import Response, Tuning, sigmoid

__all__ = ["solve_intercept", "tune"]

_LEAST = 2_048  # requests
_MOST = 16_384


def tune(
    preset: Preset,
    people: Population,
    catalogue: Catalogue,
    sets: CandidateSets,
    choice: ChoiceModel,
    seed: int,
) -> Tuning:
    """Return the intercepts, and tell the users what satisfaction random slates would give.

    Both are means over requests of day 0, one a user and as many users as make a good mean.
    """
    number = np.arange(int(np.clip(len(people), _LEAST, _MOST)))
    user = number % len(people)
    doc = sets.of(user, number)
    raw = Response(preset, people, catalogue, Tuning(0.0, 0.0), seed, 0)
    a = raw.attractiveness(user[:, None], doc)
    with np.errstate(divide="ignore"):
        logit = np.log(a) - np.log1p(-a)
    base = solve_intercept(logit, np.ones(logit.shape), preset.base_rate)
    shown = doc[:, : preset.slate]  # candidates are in random order: these are random slates
    click = click_probability(sigmoid(logit[:, : preset.slate] + base), choice)
    utility = click * (2 * raw.good(user[:, None], shown) - 1)
    people.reference = float(utility.sum(axis=1).mean())
    people.satisfaction[:] = people.reference
    conversion = 0.0
    if preset.conversion_rate and click.any():
        of_click = raw.conversion_logit(user[:, None], shown)
        conversion = solve_intercept(of_click, click, preset.conversion_rate)
    return Tuning(base, conversion)


def solve_intercept(logit: FloatArray, weight: FloatArray, mean: float) -> float:
    """Return what must be added to the logits for their weighted mean probability to be `mean`."""
    from scipy.optimize import brentq

    flat, share = logit.ravel(), weight.ravel() / weight.sum()

    def excess(intercept: float) -> float:
        # Not by a product of vectors: its threads would decide on the last bits.
        return float(np.sum(share * sigmoid(flat + intercept))) - mean

    if not excess(-60.0) < 0.0 < excess(60.0):
        raise ValueError(
            f"no base rate of {mean!r} can be reached: the logits of clicks or conversions are too "
            "far apart; lower taste_scale, appeal_scale, quality_scale, freshness or price_effect"
        )
    return float(brentq(excess, -60.0, 60.0, xtol=1e-10))
