"""The smallest change that would page: what a monitor can and cannot see, before relying on it.

A change of values is an exponential tilt of the reference's own cells: by the value for a shift of
the mean, by its square for a spread. For a normal column these are exactly a shift and a stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd.drift._effects import cohen_h
from mlsd.drift._hypotheses import ANDERSON, NORMAL, Reference
from mlsd.drift._layout import Layout
from mlsd.drift._tests import beyond_range, two_proportions, unseen
from mlsd.drift._words import percent, short

if TYPE_CHECKING:
    from mlsd.drift._calibrate import Scales

__all__ = ["power_table", "rows_needed"]

_BISECTIONS = 40
_POLYNOMIALS = 8
_ONE_SIDED = 1.6448536269514722  # of the bound that must be beyond min_effect

# Sums of squares and cubes of 1 / (j (j + 1)): second and third cumulant of Anderson-Darling.
_SQUARES, _CUBES = math.pi**2 / 3 - 3, 10 - math.pi**2


def power_table(
    reference: Reference,
    *,
    n_live: int,
    power: float,
    alpha: float,
    min_effect: float,
    checks: Sequence[str],
    skip: frozenset[tuple[str, str]],
    factor: float,
    scales: Scales | None,
) -> pd.DataFrame:
    """Return one row a check: column, check, effect, smallest, example."""
    # The reference compared with itself has every row of a report, with its weight.
    rows = reference.compare(reference.profile, checks, skip)
    level = alpha * rows.weight / max(rows.weight.sum() * factor, 1e-300)
    made = rows.reason == ""
    smallest = np.full(len(rows), np.nan)
    measure = rows.measure.copy()
    example = np.full(len(rows), "", dtype=object)
    beta = _quantile(power)

    for layout in (reference.numeric, reference.categorical, reference.other):
        place = {slot.name: at for at, slot in reversed(list(enumerate(layout.slots)))}
        outcome = {slot.role: at for at, slot in enumerate(layout.slots)}
        position = np.array(
            [
                outcome.get(check, -1) if check in ("target", "prediction") else place.get(name, -1)
                for name, check in zip(rows.column, rows.check, strict=True)
            ],
            dtype=np.int64,
        )
        here = made & (position >= 0)
        share = layout.known / np.maximum(layout.n, 1)
        m = np.maximum(np.floor(n_live * share), 1.0)
        n = layout.known.astype(np.float64)

        chosen = here & (rows.law == ANDERSON)
        if chosen.any():
            at = position[chosen]
            smallest[chosen] = _least_shift(
                layout, at, level[chosen], n[at], m[at], power, min_effect
            )
            measure[chosen] = "d"
            example[chosen] = [f"mean moves by {short(x)} sd" for x in smallest[chosen]]
        chosen = here & (rows.check == "scale")
        if chosen.any():
            at = position[chosen]
            smallest[chosen] = _least_spread(
                layout, at, level[chosen], n[at], m[at], beta, min_effect
            )
            example[chosen] = [f"sd x {math.exp(x):.2f}" for x in smallest[chosen]]
        shares = np.isin(rows.check, ["distribution", "histogram", "categories", "target"])
        chosen = here & (shares | (rows.check == "prediction")) & (rows.law != ANDERSON)
        if chosen.any():
            at = position[chosen]
            counts = layout.counts[at]
            coarse = rows.check[chosen] == "histogram"
            cells = _cells(counts, n[at], m[at])
            if coarse.any():
                cells[coarse] = _cells(layout.coarse()[at[coarse]], n[at][coarse], m[at][coarse])
            smallest[chosen], measure[chosen] = _least_v(
                cells, level[chosen], n[at], m[at], power, min_effect
            )
            example[chosen] = [_share_example(x) for x in smallest[chosen]]
        _rates(
            layout,
            rows.check,
            position,
            here,
            level,
            n_live,
            m,
            power,
            min_effect,
            smallest,
            example,
        )

    chosen = made & (rows.check == "correlation") & (rows.law == NORMAL)
    if chosen.any():
        half = _width(level[chosen]) + beta
        pairs = reference.profile.pairs
        stderr = (rows.hi[chosen] - rows.lo[chosen]) / (2 * 1.959963984540054)
        if pairs is not None:
            # The reference against itself has the variance v (1/n + 1/n): take that of n_live.
            one, two = np.triu_indices(len(pairs.names), 1)
            of_reference = pairs.n[one, two][made[rows.check == "correlation"]].astype(np.float64)
            n_of_live = of_reference / reference.profile.n_rows * n_live
            stderr = stderr * np.sqrt((1 / of_reference + 1 / n_of_live) / (2 / of_reference))
        smallest[chosen] = np.maximum(half * stderr, _gate(min_effect, beta, stderr))
        example[chosen] = [f"0 -> {short(math.tanh(x))}" for x in smallest[chosen]]
    if scales is not None:
        smallest = smallest * scales.widening(rows.names())
        example[:] = ""  # in words they held for independent rows
    return pd.DataFrame(
        {
            "column": rows.column,
            "check": rows.check,
            "effect": measure,
            "smallest": smallest,
            "example": example,
        }
    )


def rows_needed(reference: Reference, *, alpha: float, checks: Sequence[str], n: int) -> str:
    """Return in words what shift of a mean `n` rows and ten times as many would page for."""
    weight = 0.6 / max(len(reference.slots) + 1, 1)
    half = float(_width(np.array([alpha * weight]))[0]) + _quantile(0.8)
    seen = [
        half * math.sqrt(1 / rows + 1 / max(reference.profile.n_rows, 1)) for rows in (n, 10 * n)
    ]
    return (
        f"a mean must move by {short(seen[0])} standard deviations to be paged (chance 80 %); "
        f"{10 * n:,} rows see {short(seen[1])}: see power(n_live)"
    )


def _quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def _width(level: FloatArray) -> FloatArray:
    """Return how many standard errors are significant, two-sided."""
    from scipy.special import ndtri

    return np.asarray(-ndtri(level / 2))


def _gate(min_effect: float, beta: float, stderr: FloatArray) -> FloatArray:
    """Return the effect whose bound is beyond `min_effect` often enough."""
    if min_effect == 0:
        return np.zeros_like(stderr)
    return min_effect + (_ONE_SIDED + beta) * stderr


def _tilted(p: FloatArray, by: FloatArray, theta: FloatArray) -> FloatArray:
    exponent = theta[:, None] * by
    exponent -= np.where(p > 0, exponent, -np.inf).max(axis=1, keepdims=True)
    q = p * np.exp(exponent)
    return np.asarray(q / q.sum(axis=1, keepdims=True))


def _pooled_middle(p: FloatArray, q: FloatArray, n: FloatArray, m: FloatArray) -> FloatArray:
    pooled = (n[:, None] * p + m[:, None] * q) / (n + m)[:, None]
    return np.asarray(np.cumsum(pooled, axis=1) - pooled / 2)


def _bisect(good: Callable[[FloatArray], FloatArray], high: FloatArray) -> FloatArray:
    """Return the least theta from 0 to `high` that is good enough; nan where none is."""
    low, top = np.zeros_like(high), high.copy()
    reached = good(high)
    for _ in range(_BISECTIONS):
        middle = (low + top) / 2
        enough = good(middle)
        low, top = np.where(enough, low, middle), np.where(enough, middle, top)
    return np.where(reached, top, np.nan)


def _least_shift(
    layout: Layout,
    at: IntArray,
    level: FloatArray,
    n: FloatArray,
    m: FloatArray,
    power: float,
    min_effect: float,
) -> FloatArray:
    """Return the smallest d that Anderson-Darling finds and whose bound is large enough."""
    from scipy.special import chdtrc, chdtri, eval_legendre

    p, scores = layout.counts[at] / n[:, None], layout.scores[at]
    # P(A² > a) is the square root of 3 times P(χ²₁ > 2a) far out: its first weight is 1/2.
    critical = chdtri(1.0, level / math.sqrt(3)) / 2
    ratio = n * m / (n + m)
    weights = np.array([1 / (j * (j + 1)) for j in range(1, _POLYNOMIALS + 1)])

    def good(theta: FloatArray) -> FloatArray:
        q = _tilted(p, scores, theta)
        middle = 2 * _pooled_middle(p, q, n, m) - 1
        shift = np.stack(
            [
                ratio * (2 * j + 1) * ((q - p) * eval_legendre(j, middle)).sum(axis=1) ** 2
                for j in range(1, _POLYNOMIALS + 1)
            ],
            axis=1,
        )
        first = 1 + shift @ weights
        second = _SQUARES + 2 * shift @ weights**2
        third = _CUBES + 3 * shift @ weights**3
        dof = second**3 / third**2
        value = (critical - first) * second / third + dof
        return np.asarray(chdtrc(dof, np.maximum(value, 0.0)) >= power)

    theta = _bisect(good, np.full(len(at), 5.0))
    q = _tilted(p, scores, np.nan_to_num(theta))
    d = np.where(np.isnan(theta), np.nan, ((q - p) * scores).sum(axis=1))
    gate = _gate(min_effect, _quantile(power), np.sqrt(1 / n + 1 / m))
    return np.asarray(np.maximum(d, gate))


def _least_spread(
    layout: Layout,
    at: IntArray,
    level: FloatArray,
    n: FloatArray,
    m: FloatArray,
    beta: float,
    min_effect: float,
) -> FloatArray:
    """Return the smallest log ratio of deviations that Klotz's test finds."""
    from scipy.special import ndtri

    p, scores = layout.counts[at] / n[:, None], layout.scores[at]
    squares = scores**2
    critical = _width(level)

    def good(theta: FloatArray) -> FloatArray:
        q = _tilted(p, squares, theta)
        middle = _pooled_middle(p, q, n, m)
        a = np.square(ndtri(np.clip(middle, 1e-12, 1 - 1e-12)))
        mean_p, mean_q = (p * a).sum(axis=1), (q * a).sum(axis=1)
        var_p = (p * a**2).sum(axis=1) - mean_p**2
        var_q = (q * a**2).sum(axis=1) - mean_q**2
        null = (n * var_p + m * var_q) / (n + m) * (1 / n + 1 / m)
        alternative = var_p / n + var_q / m
        return np.asarray(mean_q - mean_p >= critical * np.sqrt(null) + beta * np.sqrt(alternative))

    theta = _bisect(good, np.full(len(at), 0.45))
    q = _tilted(p, squares, np.nan_to_num(theta))

    def variance(share: FloatArray) -> FloatArray:
        return np.asarray((share * squares).sum(axis=1) - (share * scores).sum(axis=1) ** 2)

    ratio = np.where(np.isnan(theta), np.nan, 0.5 * np.log(variance(q) / variance(p)))
    kurtosis = (p * squares**2).sum(axis=1)
    gate = _gate(min_effect, beta, np.sqrt(np.maximum(kurtosis - 1, 0) / 4 * (1 / n + 1 / m)))
    return np.asarray(np.maximum(ratio, gate))


def _cells(counts: IntArray, n: FloatArray, m: FloatArray) -> FloatArray:
    """Return how many cells are left once those of less than 5 expected are pooled."""
    expected = counts * (np.minimum(n, m) / np.maximum(n, 1))[:, None]
    small = (expected > 0) & (expected < 5)
    rest = np.where(small, expected, 0).sum(axis=1)
    return np.asarray((expected >= 5).sum(axis=1) + (rest >= 5), dtype=np.float64)


def _least_v(
    cells: FloatArray,
    level: FloatArray,
    n: FloatArray,
    m: FloatArray,
    power: float,
    min_effect: float,
) -> tuple[FloatArray, AnyArray]:
    """Return the smallest V that χ² finds, or the smallest h where there are two cells."""
    from scipy.special import chdtri, chndtrinc

    beta = _quantile(power)
    scale = (1 / n + 1 / m) / 4
    dof = np.maximum(cells - 1, 1.0)
    v = np.sqrt(chndtrinc(chdtri(dof, level), dof, 1 - power) * scale)
    v = np.maximum(v, _gate(min_effect, beta, np.sqrt(scale)))
    h = np.maximum(
        (_width(level) + beta) * np.sqrt(4 * scale), _gate(min_effect, beta, np.sqrt(4 * scale))
    )
    two = cells <= 2
    smallest = np.where(cells < 2, np.nan, np.where(two, h, v))
    return smallest, np.where(two, "h", "V").astype(object)


def _share_example(v: float) -> str:
    return f"a share of 50 % moves to {percent(math.sin(math.pi / 4 + min(v, 1.5) / 2) ** 2)}"


def _rates(
    layout: Layout,
    check: AnyArray,
    position: IntArray,
    here: AnyArray,
    level: FloatArray,
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
        ) -> AnyArray:
            if name == "null":
                p = two_proportions(k0, n0, k, n1)
            elif name == "range":
                p = beyond_range(k, n1, n0)
            else:
                p = unseen(k, n1, k0, n0)
            effect = cohen_h(k0, n0, k, n1)
            large = (effect.bound > min_effect) | (min_effect == 0)
            return np.asarray((p <= at_level) & large & (effect.effect > 0))

        count = _least_count(good, np.minimum(np.ceil(n1 * k0 / n0), n1), n1)
        rate = _rate_for(count, n1, power)
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


def _rate_for(count: FloatArray, n: FloatArray, power: float) -> FloatArray:
    """Return the rate at which at least `count` of `n` come with chance `power`."""
    from scipy.special import betaincinv

    known = np.isfinite(count)
    safe = np.where(known, np.maximum(count, 1.0), 1.0)
    rate = betaincinv(safe, np.maximum(n - safe + 1, 1.0), power)
    return np.where(known, rate, np.nan)
