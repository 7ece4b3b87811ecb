"""Studies of what is looked at once: means, ratios, splits, many metrics, margins, sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from _experiment_draws import METRICS, RATIO, correlated, ratio_users
from _experiment_rows import FALSE, POWER, Tally, counted
from scipy.special import ndtr
from scipy.stats import ttest_ind

from mlsd.experiments import compare_means, compare_ratios, sample_size

__all__ = ["cuped", "means", "ratios", "sizes"]

ALPHA = 0.05
Rows = list[dict[str, Any]]
Rng = np.random.Generator


def means(n: int, rng: Rng) -> Rows:
    """Count what compare_means says of metrics with light and heavy tails, in unequal arms too."""
    rows: Rows = []
    for metric, (draw, mean, size, lift) in METRICS.items():
        for control_units in (size, size // 5):
            units = control_units, 2 * size - control_units
            same, other = Tally(), Tally()
            for _ in range(n):
                control = draw(rng, units[0], 0.0)
                same.add(compare_means(control, draw(rng, units[1], 0.0)))
                other.add(compare_means(control, draw(rng, units[1], lift)), lift * mean, lift)
            where = f"{metric}; {units[0]:,} and {units[1]:,} units"
            rows += same.rows("compare_means", where)
            rows += other.rows("compare_means", where, f"lift of {lift:.0%}")
    welch, student = Tally(), []
    for _ in range(n):
        control, treatment = rng.normal(0, 3, 100), rng.normal(0, 1, 900)
        welch.add(compare_means(control, treatment))
        student.append(ttest_ind(control, treatment).pvalue < ALPHA)
    where = "normal, sd 3 and 1; 100 and 900 units"
    rows += welch.rows("compare_means", where)
    rows.append(counted("Student's t, pooled", where, FALSE, student, nominal=ALPHA, promise=""))
    return rows


def cuped(n: int, rng: Rng) -> Rows:
    """Count what compare_means says with a covariate, and what it gains."""
    rows: Rows = []
    for units, effect in {(500, 500): 0.15, (200, 1_800): 0.18, (15, 15): 0.9}.items():
        same, other, plain = Tally(), Tally(), []
        for _ in range(n):
            (control, before), (treatment, after) = (correlated(rng, m) for m in units)
            pair, moved = (before, after), treatment + effect
            same.add(compare_means(control, treatment, covariate=pair))
            other.add(compare_means(control, moved, covariate=pair), effect, effect / 2)
            plain.append(compare_means(control, moved).p_value < ALPHA)
        where = f"correlation .8; {units[0]:,} and {units[1]:,} units"
        rows += same.rows("compare_means, CUPED", where)
        told = f"effect of {effect:g}"
        rows += other.rows("compare_means, CUPED", where, told)
        rows.append(counted("compare_means", f"{where}; {told}", POWER, plain))
    return rows


def impressions(control: dict[str, Any], treatment: dict[str, Any]) -> bool:
    """Return whether the two-proportion z test alarms that takes impressions as independent."""
    views, other = control["views"].sum(), treatment["views"].sum()
    shares = control["clicks"].sum() / views, treatment["clicks"].sum() / other
    pooled = (shares[0] * views + shares[1] * other) / (views + other)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / views + 1 / other))
    return bool(2 * ndtr(-abs(shares[1] - shares[0]) / spread) < ALPHA)


def ratios(n: int, rng: Rng) -> Rows:
    """Count what compare_ratios says by user, and what the same clicks say one by one."""
    rows: Rows = []
    lift = 0.12
    for units in ((1_000, 1_000), (300, 1_700)):
        arm = np.repeat(["control", "treatment"], units)
        same, same_cuped, other, other_cuped = (Tally() for _ in range(4))
        naive = []
        for _ in range(n):
            control, treatment = ratio_users(rng, units[0], 0.0), ratio_users(rng, units[1], 0.0)
            naive.append(impressions(control, treatment))
            moved = ratio_users(rng, units[1], lift)
            for group, plain, adjusted, truth in (
                (treatment, same, same_cuped, 0.0),
                (moved, other, other_cuped, lift),
            ):
                data = {name: np.concatenate([control[name], group[name]]) for name in control}
                clicks, views = data["clicks"], data["views"]
                before = data["clicks_before"], data["views_before"]
                plain.add(
                    compare_ratios(clicks, views, arm, control="control"), truth * RATIO, truth
                )
                adjusted.add(
                    compare_ratios(clicks, views, arm, control="control", covariate=before),
                    truth * RATIO,
                    truth,
                )
        where = f"clicks an impression; {units[0]:,} and {units[1]:,} users"
        told = f"lift of {lift:.0%}"
        rows += same.rows("compare_ratios", where) + other.rows("compare_ratios", where, told)
        rows += same_cuped.rows("compare_ratios, CUPED", where)
        rows += other_cuped.rows("compare_ratios, CUPED", where, told)
        name = "two proportions, by impression"
        rows.append(counted(name, where, FALSE, naive, nominal=ALPHA, promise=""))
    return rows


def sizes(n: int, rng: Rng) -> Rows:
    """Count how often an experiment of the size that was asked for finds what it was made for."""
    rows: Rows = []
    for baseline, lift, power in [(0.05, 0.1, 0.8), (0.05, 0.5, 0.8), (0.3, 0.1, 0.9)]:
        size = sample_size(baseline, lift, power=power, variance="each-arm")
        shares = baseline, baseline * (1 + lift)
        arms = []
        for units, share in zip((size.control, size.treatment), shares, strict=True):
            mean = rng.binomial(units, share, n) / units
            arms.append((mean, mean * (1 - mean) / (units - 1)))
        (control, spread), (treatment, other) = arms
        z = (treatment - control) / np.sqrt(spread + other)
        found = z > 1.959964
        where = f"share of {baseline:.0%}, lift of {lift:.0%}; {size.control:,} units an arm"
        rows.append(counted("sample_size", where, POWER, found, nominal=power, promise="at least"))
    return rows
