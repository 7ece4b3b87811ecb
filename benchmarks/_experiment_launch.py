"""Studies of what decides by itself: guardrails, rules fixed before the data, and ramps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from _experiment_draws import counts
from _experiment_rows import FALSE, POWER, counted

from mlsd.experiments import Guard, Moments, Ramp, compare_means, guardrail

__all__ = ["margins", "ramps"]

Rows = list[dict[str, Any]]
Rng = np.random.Generator
USERS, MOST_DAYS = 1_000, 60


def margins(n: int, rng: Rng) -> Rows:
    """Count how often a guardrail passes a metric that is exactly as bad as the margin."""
    rows: Rows = []
    for relative in (False, True):
        margin = 0.05 if relative else 0.1
        at, fine, broken = [], [], []
        for _ in range(n):
            control = rng.normal(2, 1, 1_500)
            for loss in (0.1, 0.0):
                comparison = compare_means(control, rng.normal(2 - loss, 1, 1_500))
                found = guardrail(comparison, margin, relative=relative)
                if loss:
                    at.append(found.passed)
                    broken.append(found.verdict == "broken")
                else:
                    fine.append(found.passed)
        told = "5 % of the mean" if relative else ".1"
        where = f"normal, sd 1; margin {told}; 1,500 and 1,500 units"
        worse = f"{where}; worse by the margin"
        rows += [
            counted("guardrail", worse, f"{FALSE}: held", at, nominal=0.025),
            counted("guardrail", worse, f"{FALSE}: broken", broken, nominal=0.025),
            counted("guardrail", f"{where}; no change", POWER, fine),
        ]
    return rows


def ramps(n: int, rng: Rng) -> Rows:
    """Count how often a ramp rolls back, looked at every day, by what the change does."""
    ramp = Ramp(
        {
            "clicks": Guard(margin=0.02),
            "crashes": Guard(kind="events", better="lower", harm=0.5),
        },
        steps=(0.05, 0.2, 0.5, 1.0),
        min_days=5,
        min_units=250,
    )
    where = f"{USERS:,} users a day, steps of .05, .2, .5"
    rows: Rows = []
    for told, lift, crashes in (
        ("no change", 0.0, 1.0),
        ("clicks down by the margin", -0.02, 1.0),
        ("clicks down by 20 %", -0.2, 1.0),
        ("crashes threefold", 0.0, 3.0),
    ):
        harmful = lift < -0.02 or crashes > 1
        ended = [launched(ramp, lift, crashes, rng) for _ in range(n // 4 if harmful else n)]
        back = [action == "rollback" for action, _ in ended]
        name = f"{where}; {told}"
        if harmful:
            rows.append(counted("Ramp", name, f"{POWER}: rolled back", back))
            continue
        what = f"{FALSE}: rolled back"
        rows.append(counted("Ramp", name, what, back, nominal=0.05, promise="at most"))
        if not lift:
            split = [found for _, found in ended]
            what = f"{FALSE}: wrong split"
            rows.append(counted("Ramp", name, what, split, nominal=0.001, promise="at most"))
    return rows


def launched(ramp: Ramp, lift: float, crashes: float, rng: Rng) -> tuple[str, bool]:
    """Return how a ramp ended that is looked at every day, and whether it doubted the split."""
    day = pd.Timestamp("2026-03-02")
    state, share, doubted = ramp.start(day), ramp.steps[0], False
    seen: dict[str, list[Moments]] = {}
    action = None
    for _ in range(MOST_DAYS):
        day += pd.Timedelta(days=1)
        treated = int(rng.binomial(USERS, share))
        sizes = USERS - treated, treated
        today = {
            "clicks": [counts(rng, size, up) for size, up in zip(sizes, (0.0, lift), strict=True)],
            "crashes": [
                rng.poisson(0.01 * rng.gamma(1.0, 1.0, size) * factor).astype(float)
                for size, factor in zip(sizes, (1.0, crashes), strict=True)
            ],
        }
        for name, arms in today.items():
            new = [of_sums(values) for values in arms]
            old = seen.get(name)
            seen[name] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]
        action = ramp.look(state, {name: tuple(arms) for name, arms in seen.items()}, time=day)
        doubted |= any("ratio" in reason for reason in action.reasons)
        state = action.state
        if action.action == "rollback" or state.status == "full":
            break
        if action.action == "advance":
            share, seen = action.share, {}
    return ("none" if action is None else action.action), doubted


def of_sums(values: Any) -> Moments:
    """Return what a warehouse would: COUNT, AVG and VAR_SAMP."""
    return Moments(values.size, float(values.mean()), float(values.var(ddof=1)))
