"""Studies of what is looked at again and again: every day, or at a few planned looks."""

from __future__ import annotations

from typing import Any

import numpy as np
from _experiment_draws import Draw, conversions, counts
from _experiment_rows import FALSE, HELD, POWER, counted

from mlsd.experiments import GroupSequential, Moments, always_valid
from mlsd.experiments.sequential import always_valid_path

__all__ = ["every_day", "planned_looks"]

ALPHA = 0.05
Rows = list[dict[str, Any]]
Rng = np.random.Generator


def sums_of(draw: Draw, n: int, looks: int, units: int, lift: float, rng: Rng) -> tuple[Any, Any]:
    """Return means and variances of all data up to each look, one row an experiment."""
    means, variances = np.empty((n, looks)), np.empty((n, looks))
    size = units * np.arange(1, looks + 1)
    for start in range(0, n, 200):  # memory
        part = slice(start, min(start + 200, n))
        values = draw(rng, means[part].size * units, lift).reshape(-1, looks, units)
        means[part] = values.sum(axis=2).cumsum(axis=1) / size
        squares = (values * values).sum(axis=2).cumsum(axis=1)
        variances[part] = (squares - size * means[part] ** 2) / (size - 1)
    return means, variances


def every_day(n: int, rng: Rng) -> Rows:
    """Count what always_valid says at any of many looks, and a fixed test that is peeked at."""
    rows: Rows = []
    looks, units = 560, 10
    settings: dict[str, tuple[Draw, float, float, str]] = {
        "counts, overdispersed": (counts, 2.0, 0.1, "two-sided"),
        "conversion of 5 %": (conversions, 0.05, 0.3, "greater"),
    }
    size = units * np.arange(1, looks + 1)
    for metric, (draw, mean, lift, side) in settings.items():
        where = f"{metric}; {looks} looks, {units} units an arm more at each"
        told = f"{where}; lift of {lift:.0%}"
        control = sums_of(draw, n, looks, units, 0.0, rng)
        for effect in (0.0, lift):
            treatment = sums_of(draw, n, looks, units, effect, rng)
            difference = treatment[0] - control[0]
            stderr = np.sqrt((treatment[1] + control[1]) / size)
            alarm, held, truth = [], [], effect * mean
            for gap, error in zip(difference, stderr, strict=True):
                # As always_valid does by default, it says nothing of fewer than 100 units.
                path = always_valid_path(gap, np.where(size < 100, np.nan, error), mde=lift * mean)
                alarm.append(bool(path["rejected"].iloc[-1]))
                held.append(bool((path["lower"].le(truth) & path["upper"].ge(truth)).all()))
            with np.errstate(invalid="ignore", divide="ignore"):
                z = np.abs(difference / stderr)
            once = z[:, -1] > 1.96
            row = counted(
                "always_valid",
                told if effect else where,
                f"{HELD} at all looks",
                held,
                nominal=0.95,
                promise="at least",
            )
            rows.append(row)
            if effect:
                rows.append(counted("always_valid", told, POWER, alarm))
                rows.append(counted("one look at the end", told, POWER, once))
                continue
            peeked = (z[:, looks // 20 - 1 :: looks // 20] > 1.96).any(axis=1)
            name = "one fixed test, 20 looks"
            rows += [
                counted("always_valid", where, FALSE, alarm, nominal=ALPHA, promise="at most"),
                counted(name, where, FALSE, peeked, nominal=ALPHA, promise=""),
                counted("one look at the end", where, FALSE, once, nominal=ALPHA),
            ]
            every = slice(units - 1, looks, units)
            part = [(m[:, every], v[:, every]) for m, v in (control, treatment)]
            rows.append(stepwise(metric, size[every], *part, lift * mean, side))
    return rows


def stepwise(
    metric: str, size: Any, control: Any, treatment: Any, mde: float, alternative: str
) -> dict[str, Any]:
    """Count false alarms of always_valid, asked day by day with the sums of all data so far."""
    alarms = []
    for at in range(control[0].shape[0]):
        now = None
        for day, units in enumerate(size.tolist()):
            now = always_valid(
                *(Moments(units, m[at, day], v[at, day]) for m, v in (control, treatment)),
                mde=mde,
                alternative=alternative,
                previous=now,
            )
            if now.rejected:
                break
        alarms.append(now.rejected)
    where = f"{metric}; {size.size} looks, {size[0]} units an arm more at each; {alternative}"
    return counted("always_valid", where, FALSE, alarms, nominal=ALPHA, promise="at most")


def planned_looks(n: int, rng: Rng) -> Rows:
    """Count what GroupSequential says at its looks."""
    rows: Rows = []
    size, lift = 2_000, 0.12
    for spending in ("obrien-fleming", "pocock"):
        for fractions in ([0.2, 0.4, 0.6, 0.8, 1.0], [0.2, 0.5, 0.55, 1.0]):
            design = GroupSequential(fractions, spending=spending)
            where = f"{spending}; looks at {', '.join(f'{f:g}' for f in fractions)}"
            control = sums_of(counts, n, 20, size // 20, 0.0, rng)
            for effect in (0.0, lift):
                treatment = sums_of(counts, n, 20, size // 20, effect, rng)
                at = np.round(design.fractions * 20).astype(int) - 1
                difference = (treatment[0] - control[0])[:, at]
                error = np.sqrt((treatment[1] + control[1])[:, at] / (design.fractions * size))
                rejected = (np.abs(difference / error) >= design.bounds).any(axis=1)
                told = f"{where}; lift of {effect:.0%}" if effect else where
                if effect:
                    rows.append(counted("GroupSequential", told, POWER, rejected))
                else:
                    rows.append(counted("GroupSequential", told, FALSE, rejected, nominal=ALPHA))
                if effect and len(fractions) == 5:  # without an effect it is the test once more
                    rows += stopped(design, told, difference, error, 2.0 * effect)
    return rows


def stopped(
    design: GroupSequential, where: str, difference: Any, stderr: Any, truth: float
) -> Rows:
    """Count what the intervals hold of tests that stop by the rule; the first 2,000."""
    within, adjusted, above = [], [], []
    for gap, error in zip(difference[:2_000], stderr[:2_000], strict=True):
        inside = True
        for look in range(1, gap.size + 1):
            found = design.test(gap[look - 1] / error[look - 1], look, stderr=error[look - 1])
            inside &= found.lower <= truth <= found.upper
            if found.verdict != "continue":
                break
        within.append(inside)
        adjusted.append(found.adjusted_lower <= truth <= found.adjusted_upper)
        above.append(found.adjusted > truth)
    test, what = "GroupSequential", f"{HELD} at all looks"
    return [
        counted(test, where, what, within, nominal=0.95, promise="at least"),
        counted(test, where, f"{HELD}, adjusted", adjusted, nominal=0.95),
        counted(test, where, "adjusted above the truth", above, nominal=0.5),
    ]
