"""A study of whole reports: from the rows of a log to verdicts on several metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from _experiment_rows import FALSE, HELD, POWER, counted

from mlsd.experiments import DecisionRule, ExperimentReport, compare

__all__ = ["reports"]

ALPHA, MARGIN = 0.05, 5.0
METRICS: dict[str, Any] = {
    "clicks": "click",
    "ctr": ("click", 1),
    "money": "money",
    "dwell": "dwell",
    "dwell a view": ("dwell", 1),
    "latency": ("latency", 1),
}


RULE = DecisionRule("ctr", guardrails={"latency": MARGIN}, lower_is_better=["latency"], min_days=7)


def log_of(
    n_users: int, slower: float, rng: np.random.Generator, *, lift: float = 0.0
) -> pd.DataFrame:
    """Return a few rows a user; treatment is slower, and its clicks are lifted."""
    views = 1 + rng.poisson(rng.gamma(1.0, 4.0, n_users))
    user = np.repeat(np.arange(n_users), views)
    treated = (rng.random(n_users) < 0.5)[user]
    click = rng.random(user.size) < rng.beta(1.0, 6.0, n_users)[user] * (1 + lift * treated)
    own = rng.gamma(4.0, 25.0, n_users)[user]
    return pd.DataFrame(
        {
            "user_id": user,
            "arm": np.where(treated, "treatment", "control"),
            "click": click.astype(np.int8),
            "money": click * (rng.random(user.size) < 0.3) * rng.lognormal(2.0, 1.0, user.size),
            "dwell": click * rng.lognormal(3.0, 1.0, user.size),
            "latency": rng.normal(own, 20.0) + slower * treated,
        }
    )


def report_of(log: pd.DataFrame) -> ExperimentReport:
    """Return the report of a log, with a primary metric and a guardrail."""
    return compare(
        log,
        unit="user_id",
        arm="arm",
        metrics=METRICS,
        primary="ctr",
        guardrails={"latency": MARGIN},
        lower_is_better=["latency"],
    )


def reports(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count the verdicts of compare, and what a rule does with them."""
    n_users = 600
    primary, secondary, safe, mismatch, held = [], [], [], [], []
    shipped: dict[str, list[bool]] = {"no change": [], "better, too slow": [], "better": []}
    for at in range(n):
        report = report_of(log_of(n_users, MARGIN, rng))
        verdicts = {row.comparison.metric: (row.role, row.verdict) for row in report.rows}
        primary.append(verdicts["ctr"][1] in ("better", "worse"))
        others = [verdict for role, verdict in verdicts.values() if role == "secondary"]
        secondary.append(any(verdict in ("better", "worse") for verdict in others))
        safe.append(verdicts["latency"][1] == "held")
        mismatch.append(report.srm.p_value < ALPHA)
        held.append(report["latency"].lower <= MARGIN <= report["latency"].upper)
        for name, slower, lift in (
            ("no change", -2 * MARGIN, 0.0),
            ("better, too slow", MARGIN, 1.0),
            ("better", -2 * MARGIN, 0.4),
        ):
            if name == "better" and at % 4:  # power need not be known so well
                continue
            log = log_of(n_users, slower, rng, lift=lift)
            shipped[name].append(RULE.decide(report_of(log), days=7).action == "ship")
    where, slow = f"{n_users} users, six metrics", "slower by the margin"
    rule = "DecisionRule"
    ships = f"{FALSE}: shipped"
    holm = f"any {FALSE}"
    return [
        counted("compare, primary", where, FALSE, primary, nominal=ALPHA),
        counted(
            "compare, Holm over four", where, holm, secondary, nominal=ALPHA, promise="at most"
        ),
        counted(
            "compare, guardrail", f"{where}; {slow}", f"{FALSE}: held", safe, nominal=ALPHA / 2
        ),
        counted("compare, guardrail", f"{where}; {slow}", HELD, held, nominal=1 - ALPHA),
        counted("compare, sample ratio", f"{where}; alpha 0.05", FALSE, mismatch, nominal=ALPHA),
        counted(rule, f"{where}; no change", ships, shipped["no change"], nominal=ALPHA / 2),
        counted(
            rule, f"{where}; better, {slow}", ships, shipped["better, too slow"], nominal=ALPHA / 2
        ),
        counted(rule, f"{where}; clicks up by 40 %", f"{POWER}: shipped", shipped["better"]),
    ]
