"""The smallest change that would page: what a monitor can and cannot see, before relying on it.

A change of values is an exponential tilt of the reference's own cells: by the value for a shift of
the mean, by its square for a spread. For a normal column these are exactly a shift and a stretch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd.drift._hypotheses import ANDERSON, NORMAL, TAIL, Reference, Rows
from mlsd.drift._layout import Layout
from mlsd.drift._power_rates import fill_rates
from mlsd.drift._scales import Law, Scales, independent
from mlsd.drift._words import percent, short

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
    law = independent(rows) if scales is None else scales.law(rows)
    # What is significant after calibration has to be so before, too.
    critical = np.maximum(_critical(rows, level), law.critical(level))
    # The same as a p-value of independent rows, for the checks that have no statistic but that.
    alone = _alone(rows.law, critical)
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
                layout, at, critical[chosen], law.where(chosen), n[at], m[at], power, min_effect
            )
            measure[chosen] = "d"
            example[chosen] = [f"mean moves by {short(x)} sd" for x in smallest[chosen]]
        chosen = here & (rows.check == "scale")
        if chosen.any():
            at = position[chosen]
            smallest[chosen] = _least_spread(
                layout,
                at,
                np.sqrt(critical[chosen]),
                law.design_effect[chosen],
                n[at],
                m[at],
                beta,
                min_effect,
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
            some, dof = rows.where(chosen), np.maximum(cells - 1, 1.0)
            of_cells = independent(some, dof) if scales is None else scales.law(some, dof)
            smallest[chosen], measure[chosen] = _least_v(
                cells, level[chosen], of_cells, n[at], m[at], power, min_effect
            )
            example[chosen] = [_share_example(x) for x in smallest[chosen]]
        fill_rates(
            layout,
            rows.check,
            position,
            here,
            alone,
            law.design_effect,
            n_live,
            m,
            power,
            min_effect,
            smallest,
            example,
        )

    chosen = made & (rows.check == "correlation") & (rows.law == NORMAL)
    if chosen.any():
        deff = np.sqrt(law.design_effect[chosen])
        pairs = reference.profile.pairs
        stderr = (rows.hi[chosen] - rows.lo[chosen]) / (2 * 1.959963984540054)
        if pairs is not None:
            # The reference against itself has the variance v (1/n + 1/n): take that of n_live.
            one, two = np.triu_indices(len(pairs.names), 1)
            of_reference = pairs.n[one, two][made[rows.check == "correlation"]].astype(np.float64)
            n_of_live = of_reference / reference.profile.n_rows * n_live
            stderr = stderr * np.sqrt((1 / of_reference + 1 / n_of_live) / (2 / of_reference))
        smallest[chosen] = np.maximum(
            (np.sqrt(critical[chosen]) + beta * deff) * stderr,
            _gate(min_effect, beta, deff * stderr),
        )
        example[chosen] = [f"0 -> {short(math.tanh(x))}" for x in smallest[chosen]]
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


def _critical(rows: Rows, level: FloatArray) -> FloatArray:
    """Return the statistic that is significant for independent rows."""
    from scipy.special import chdtri

    # P(A² > a) is the square root of 3 times P(χ²₁ > 2a) far out: its first weight is 1/2.
    anderson = chdtri(1.0, level / math.sqrt(3)) / 2
    return np.where(rows.law == ANDERSON, anderson, np.asarray(chdtri(rows.dof, level)))


def _alone(law: IntArray, critical: FloatArray) -> FloatArray:
    """Return the p-value of independent rows that has the critical statistic."""
    from scipy.special import chdtrc

    return np.asarray(chdtrc(np.where(law == TAIL, 2.0, 1.0), critical))


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
    critical: FloatArray,
    law: Law,
    n: FloatArray,
    m: FloatArray,
    power: float,
    min_effect: float,
) -> FloatArray:
    """Return the smallest d that Anderson-Darling finds and whose bound is large enough."""
    from scipy.special import chdtrc, eval_legendre

    p, scores = layout.counts[at] / n[:, None], layout.scores[at]
    ratio = n * m / (n + m)
    weights = np.array([1 / (j * (j + 1)) for j in range(1, _POLYNOMIALS + 1)])
    # A shift adds to the statistic as ever; what varies is wider.
    wide = np.column_stack((law.largest, law.rest[:, None] * weights[1:]))
    largest, rest = law.largest, law.rest
    squares = largest**2 + rest**2 * (_SQUARES - 0.25)
    cubes = largest**3 + rest**3 * (_CUBES - 0.125)

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
        first = law.mean + shift @ weights
        second = squares + 2 * (shift * wide) @ weights
        third = cubes + 3 * (shift * wide**2) @ weights
        dof = second**3 / third**2
        value = (critical - first) * second / third + dof
        return np.asarray(chdtrc(dof, np.maximum(value, 0.0)) >= power)

    theta = _bisect(good, np.full(len(at), 5.0))
    q = _tilted(p, scores, np.nan_to_num(theta))
    d = np.where(np.isnan(theta), np.nan, ((q - p) * scores).sum(axis=1))
    stderr = np.sqrt(law.design_effect * (1 / n + 1 / m))
    gate = _gate(min_effect, _quantile(power), stderr)
    return np.asarray(np.maximum(d, gate))


def _least_spread(
    layout: Layout,
    at: IntArray,
    critical: FloatArray,
    design_effect: FloatArray,
    n: FloatArray,
    m: FloatArray,
    beta: float,
    min_effect: float,
) -> FloatArray:
    """Return the smallest log ratio of deviations that Klotz's test finds."""
    from scipy.special import ndtri

    p, scores = layout.counts[at] / n[:, None], layout.scores[at]
    squares = scores**2

    def good(theta: FloatArray) -> FloatArray:
        q = _tilted(p, squares, theta)
        middle = _pooled_middle(p, q, n, m)
        a = np.square(ndtri(np.clip(middle, 1e-12, 1 - 1e-12)))
        mean_p, mean_q = (p * a).sum(axis=1), (q * a).sum(axis=1)
        var_p = (p * a**2).sum(axis=1) - mean_p**2
        var_q = (q * a**2).sum(axis=1) - mean_q**2
        null = (n * var_p + m * var_q) / (n + m) * (1 / n + 1 / m)
        alternative = design_effect * (var_p / n + var_q / m)
        return np.asarray(mean_q - mean_p >= critical * np.sqrt(null) + beta * np.sqrt(alternative))

    theta = _bisect(good, np.full(len(at), 0.45))
    q = _tilted(p, squares, np.nan_to_num(theta))

    def variance(share: FloatArray) -> FloatArray:
        return np.asarray((share * squares).sum(axis=1) - (share * scores).sum(axis=1) ** 2)

    ratio = np.where(np.isnan(theta), np.nan, 0.5 * np.log(variance(q) / variance(p)))
    kurtosis = (p * squares**2).sum(axis=1)
    variance_of_log = np.maximum(kurtosis - 1, 0) / 4 * (1 / n + 1 / m)
    gate = _gate(min_effect, beta, np.sqrt(design_effect * variance_of_log))
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
    law: Law,
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
    critical = np.maximum(chdtri(dof, level), law.critical(level))
    shifted = (critical - law.mean) / law.unit + law.dof
    v = np.sqrt(chndtrinc(shifted, law.dof, 1 - power) * law.unit * scale)
    v = np.maximum(v, _gate(min_effect, beta, np.sqrt(law.unit * scale)))
    deff = np.sqrt(law.design_effect)
    h = np.maximum(
        (np.sqrt(critical) + beta * deff) * np.sqrt(4 * scale),
        _gate(min_effect, beta, deff * np.sqrt(4 * scale)),
    )
    two = cells <= 2
    smallest = np.where(cells < 2, np.nan, np.where(two, h, v))
    return smallest, np.where(two, "h", "V").astype(object)


def _share_example(v: float) -> str:
    return f"a share of 50 % moves to {percent(math.sin(math.pi / 4 + min(v, 1.5) / 2) ** 2)}"
