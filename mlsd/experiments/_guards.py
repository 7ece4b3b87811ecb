"""What a ramp watches: metrics that must not become worse, and the limits of its shadow step."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mlsd._results import Result
from mlsd._validation import check_choice, check_fraction, check_positive, check_positive_int
from mlsd.experiments._arms import Arm
from mlsd.experiments._plan import as_number
from mlsd.experiments._ramp_test import Harm, harm_of_events, harm_of_means
from mlsd.experiments._shadow import ShadowReport

__all__ = ["Guard", "ShadowLimits", "harm_of"]

# A prior as narrow as 10 % cannot see much in a few events: crashes 5 times as frequent at 1 % of
# the units took 42 of them in the treatment, and 10 with the mean of both priors.
_GROSS = 10.0


@dataclass(frozen=True, slots=True)
class Guard(Result):
    """A metric that must not become worse, and by how much it may.

    Attributes
    ----------
    margin : float
        Loss that is tolerated, as a share of the control's value, 0 or more and below 1: 0.01 lets
        clicks fall by 1 %. Harm is what goes beyond.
    better : {"higher", "lower"}
        Which way is good.
    harm : float
        Size of the harm beyond the margin that is to be found soonest, as a share of the control's
        value. Others are found too, later. Events may grow tenfold where a mean cannot, so for
        them half of the evidence is of harms about ten times as large.
    kind : {"mean", "events"}
        "mean": any number a unit; judged by a normal law from `min_units` on, and not for rare
        events. "events": counts that may be rare, such as crashes or complaints; exact for a
        Poisson law, and events that come in bunches are discounted by how much they do. It judges
        from the first event on.
    min_units : int
        Units an arm needs before a guard of kind "mean" judges.
    """

    margin: float = 0.0
    better: str = "higher"
    harm: float = 0.1
    kind: str = "mean"
    min_units: int = 100

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 <= as_number(self.margin, "margin") < 1:
            raise ValueError(f"margin must lie in [0, 1); got {self.margin!r}")
        check_choice(self.better, "better", ("higher", "lower"))
        check_positive(self.harm, "harm")
        check_choice(self.kind, "kind", ("mean", "events"))
        check_positive_int(self.min_units, "min_units")


@dataclass(frozen=True, slots=True)
class ShadowLimits(Result):
    """What a ranker must show in shadow before a user sees anything of it.

    Attributes
    ----------
    max_failed : float
        Share of requests that may fail; held against the upper end of its interval.
    max_latency_ratio : float
        How much slower it may be: new over old latency. Looked at if latencies were measured.
    min_agreement : float
        Least mean share of the slate that both have. Two rankers that share nothing are no ramp
        but a new product, or a bug.
    min_requests : int
        Requests that must have been scored.
    """

    max_failed: float = 0.001
    max_latency_ratio: float = 1.2
    min_agreement: float = 0.0
    min_requests: int = 5_000

    def __post_init__(self) -> None:
        """Check the limits."""
        check_fraction(self.max_failed, "max_failed")
        check_positive(self.max_latency_ratio, "max_latency_ratio")
        if not 0 <= self.min_agreement <= 1:
            raise ValueError(f"min_agreement must lie in [0, 1]; got {self.min_agreement!r}")
        check_positive_int(self.min_requests, "min_requests")

    def complaints(self, report: ShadowReport) -> list[str]:
        """Return what speaks against showing the ranker to anybody, in sentences."""
        found = []
        if report.n_requests < self.min_requests:
            found.append(
                f"{report.n_requests:,} requests in shadow, of at least {self.min_requests:,}."
            )
        if report.failed_upper > self.max_failed:
            found.append(
                f"{report.n_failed_requests:,} of {report.n_requests:,} requests failed: up to "
                f"{report.failed_upper:.3%} may, and {self.max_failed:.3%} is the limit."
            )
        if report.latency_ratio > self.max_latency_ratio:
            found.append(
                f"latency at quantile {report.quantile:g} is {report.latency_ratio:.2f} times the "
                f"old one, and {self.max_latency_ratio:.2f} is the limit."
            )
        if self.min_agreement and not report.agreement >= self.min_agreement:
            found.append(
                f"slates share {report.agreement:.1%} of their first {report.k}, and "
                f"{self.min_agreement:.1%} is the least."
            )
        return found


def harm_of(guard: Guard, control: tuple[Arm, float], treatment: tuple[Arm, float]) -> Harm | None:
    """Return the evidence against the treatment, or None where there is not enough to judge.

    Each arm comes with its denominator in all: its units, or what a ratio divides by.
    """
    sign = 1 if guard.better == "higher" else -1
    (of_c, below_c), (of_t, below_t) = control, treatment
    if guard.kind == "mean":
        if min(of_c.n, of_t.n) < guard.min_units:
            return None
        return harm_of_means(of_c, of_t, sign=sign, margin=guard.margin, scale=guard.harm)
    if not (below_c > 0 and below_t > 0):
        return None
    events = of_c.value * below_c, of_t.value * below_t
    if min(events) < 0:
        raise ValueError("a guard of kind 'events' takes counts of at least 0")
    dispersion = _dispersion((control, treatment), sum(events))
    found = [
        harm_of_events(
            (events[0], below_c),
            (events[1], below_t),
            dispersion=dispersion,
            sign=sign,
            margin=guard.margin,
            scale=scale,
        )
        for scale in (guard.harm, _GROSS * guard.harm)
    ]
    # The mean of two ratios that each keep alpha keeps it as well.
    mean = float(np.logaddexp(found[0].log_ratio, found[1].log_ratio)) - math.log(2)
    return replace(found[0], log_ratio=mean)


def _dispersion(arms: tuple[tuple[Arm, float], ...], events: float) -> float:
    """Return how many events come at once: variance over mean of a unit's count, at least 1."""
    known = [(arm, below) for arm, below in arms if arm.n > 1]
    if not known or not events > 0:
        return 1.0
    # Of a ratio, the variance is in units of the mean denominator squared.
    squares = sum(arm.var * below * below / arm.n for arm, below in known)
    return max(1.0, squares / events)
