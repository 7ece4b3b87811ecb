"""The smallest rates of NULL, of values outside the range and of unseen ones that would page."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd.drift._effects import cohen_h
from mlsd.drift._layout import Layout
from mlsd.drift._scales import widened
from mlsd.drift._tests import beyond_range, two_proportions, unseen
from mlsd.drift._words import percent

__all__ = ["fill_rates"]


def fill_rates(
    layout: Layout,
    check: AnyArray,
    position: IntArray,
    here: AnyArray,
    level: FloatArray,
    design_effect: FloatArray,
    n_live: int,
    known: FloatArray,
    power: float,
    min_effect: float,
    smallest: FloatArray,
    example: AnyArray,
) -> None:
    """Fill in the smallest rates: the count that pages, and the rate that reaches it."""
    singletons = np.array([slot.column.n_singletons for slot in layout.slots], dtype=np.float64)
    zero = np.zeros(len(layout.slots))
    kinds: tuple[tuple[str, str, AnyArray, AnyArray, AnyArray], ...] = (
        ("null", "NULL", layout.n_null * 1.0, layout.n * 1.0, np.full(len(zero), float(n_live))),
        ("range", "outside", zero, layout.known * 1.0, known),
        ("unseen", "unseen", singletons, layout.known * 1.0, known),
    )
    for name, word, k_ref, n_ref, n in kinds:
        chosen = here & (check == name)
        if not chosen.any():
            continue
        at = position[chosen]
        k0, n0, n1 = k_ref[at], n_ref[at], n[at]

        def good(
            k: FloatArray,
            name: str = name,
            k0: FloatArray = k0,
            n0: FloatArray = n0,
            n1: FloatArray = n1,
            at_level: FloatArray = level[chosen],
            wide: FloatArray = design_effect[chosen],
        ) -> AnyArray:
            if name == "null":
                p = two_proportions(k0, n0, k, n1)
            elif name == "range":
                p = beyond_range(k, n1, n0)
            else:
                p = unseen(k, n1, k0, n0)
            effect = cohen_h(k0, n0, k, n1)
            effect = widened(effect, wide, np.ones(len(wide), dtype=np.bool_))
            large = (effect.bound > min_effect) | (min_effect == 0)
            return np.asarray((p <= at_level) & large & (effect.effect > 0))

        count = _least_count(good, np.minimum(np.ceil(n1 * k0 / n0), n1), n1)
        rate = _rate_for(count, n1, power, design_effect[chosen])
        smallest[chosen] = 2 * np.arcsin(np.sqrt(rate)) - 2 * np.arcsin(np.sqrt(k0 / n0))
        example[chosen] = [
            f"{percent(before)} {word} -> {percent(after)}"
            for before, after in zip(k0 / n0, rate, strict=True)
        ]


def _least_count(
    good: Callable[[FloatArray], AnyArray], start: FloatArray, most: FloatArray
) -> FloatArray:
    """Return the least count from `start` to `most` that pages; nan where none does."""
    low, high = start - 1, most.copy()
    reached = good(high)
    while (high - low > 1).any():
        middle = np.where(high - low > 1, np.floor((low + high) / 2), high)
        enough = good(np.maximum(middle, 0.0))
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        low = np.minimum(low, high - 1)
    return np.where(reached, high, np.nan)


def _rate_for(
    count: FloatArray, n: FloatArray, power: float, design_effect: FloatArray
) -> FloatArray:
    """Return the rate at which at least `count` of `n` come with chance `power`.

    With a design effect the rows are worth so many times fewer.
    """
    from scipy.special import betaincinv

    known = np.isfinite(count)
    safe = np.where(known, np.maximum(count, 1.0), 1.0)
    rate = betaincinv(safe / design_effect, np.maximum(n - safe + 1, 1.0) / design_effect, power)
    return np.where(known, rate, np.nan)
