"""How often something happened in simulated experiments, and whether that is what was promised."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, betaincc, ndtri

from mlsd._clusters import wilson_interval

__all__ = ["FALSE", "HELD", "POWER", "Tally", "counted", "judge", "mean_share"]

# What is counted.
FALSE, HELD, POWER = "false alarms", "coverage", "power"


def counted(
    test: str,
    condition: str,
    what: str,
    hits: Any,
    *,
    nominal: float | None = None,
    promise: str | None = None,
) -> dict[str, Any]:
    """Return one row: the share of the experiments that were hits, with Wilson's 95 % interval.

    `promise` says how the share stands to `nominal`: "about" it, the default where there is one;
    "at most", or "at least", where the test promises a bound; "" where there is no promise: power,
    or the wrong analysis, shown failing.
    """
    found = np.asarray(hits)
    if promise is None:
        promise = "" if nominal is None else "about"
    return _row(test, condition, what, float(found.mean()), found.size, nominal, promise)


def mean_share(
    test: str, condition: str, what: str, shares: Any, *, nominal: float | None, promise: str
) -> dict[str, Any]:
    """Return one row for the mean of a share from 0 to 1 in each experiment, such as the FDP.

    Of all variables from 0 to 1 with its mean a coin has the largest variance, so Wilson's
    interval is on the wide side.
    """
    found = np.asarray(shares)
    return _row(test, condition, what, float(found.mean()), found.size, nominal, promise)


class Tally:
    """What the comparisons of many experiments say, of which the truth is known."""

    def __init__(self, alpha: float = 0.05) -> None:
        self.alpha = alpha
        self.significant: list[bool] = []
        self.held: list[bool] = []
        self.lift_held: list[bool] = []

    def add(self, found: Any, difference: float = 0.0, lift: float = 0.0) -> None:
        """Take in a comparison."""
        self.significant.append(found.p_value < self.alpha)
        self.held.append(found.lower <= difference <= found.upper)
        self.lift_held.append(found.lift_lower <= lift <= found.lift_upper)

    def rows(self, test: str, condition: str, effect: str = "") -> list[dict[str, Any]]:
        """Return false alarms, or with an effect the coverage of the intervals, and the power."""
        if not effect:
            return [counted(test, condition, FALSE, self.significant, nominal=self.alpha)]
        where = f"{condition}; {effect}"
        return [
            counted(test, where, HELD, self.held, nominal=1 - self.alpha),
            counted(test, where, f"{HELD} of the lift", self.lift_held, nominal=1 - self.alpha),
            counted(test, where, POWER, self.significant),
        ]


def _row(
    test: str,
    condition: str,
    what: str,
    share: float,
    n: int,
    nominal: float | None,
    promise: str,
) -> dict[str, Any]:
    lower, upper = wilson_interval(share, n, ndtri(0.975))
    return {
        "test": test,
        "condition": condition,
        "what": what,
        "experiments": n,
        "share": share,
        "lower": float(lower),
        "upper": float(upper),
        "nominal": nominal,
        "promise": promise,
    }


def judge(rows: list[dict[str, Any]]) -> None:
    """Write into each row that promises something whether its share allows it.

    With many rows some 95 % intervals miss: a promise is broken where the exact binomial tail is so
    small that all of them together would be so with 5 % (Bonferroni).
    """
    promised = [row for row in rows if row["promise"]]
    limit = 0.025 / max(len(promised), 1)
    for row in rows:
        row["kept"] = None
        if row["promise"]:
            n, p = row["experiments"], row["nominal"]
            hits = row["share"] * n  # not whole where it is a mean of shares
            low = row["promise"] != "at most" and betaincc(hits + 1, n - hits, p) < limit
            high = row["promise"] != "at least" and betainc(hits, n - hits + 1, p) < limit
            row["kept"] = not (low or high)
