"""Stages one behind the other, simulated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ._checks import quantile, streams
from ._draws import batch_stderr, departures, draw_services, poisson_arrivals

__all__ = ["Tandem", "run_tandem"]


@dataclass(frozen=True, slots=True)
class Tandem:
    """A quantile of the time from end to end with its standard error, and that of each stage."""

    tail: float
    stderr: float
    tails: tuple[float, ...]


def run_tandem(
    stages: Sequence[tuple[float, float, int]],
    rate: float,
    q: float,
    n_requests: int,
    random_state: object,
) -> Tandem:
    """Send requests through queues in a row.

    A stage is its mean service time, the coefficient of variation of it, and its servers; `rate`
    is in requests per unit of that time. A request that overtakes another in one stage is before
    it in the next.
    """
    # An empty system takes some service times to fill, and what fills it is not counted.
    in_service = rate * sum(service for service, _, _ in stages)
    warm_up = min(max(n_requests // 10, math.ceil(5 * in_service)), 4 * n_requests)
    n = warm_up + n_requests
    arriving, *serving = streams(random_state, 1 + len(stages))
    arrivals = poisson_arrivals(arriving, rate, n)
    now, tails = list(arrivals), []
    for rng, (service, cv, servers) in zip(serving, stages, strict=True):
        order = sorted(range(n), key=now.__getitem__)
        # By request, not by place in the line: another order then leaves each its own time.
        services = draw_services(rng, "weibull", service, cv, n)
        came, needs = [now[at] for at in order], [services[at] for at in order]
        left = departures(came, needs, servers)
        spent = [0.0] * n
        for at, end in zip(order, left, strict=True):
            spent[at] = end - now[at]
            now[at] = end
        tails.append(quantile(sorted(spent[warm_up:]), q))
    total = [end - start for start, end in zip(arrivals[warm_up:], now[warm_up:], strict=True)]
    (tail,), (stderr,), _, _ = batch_stderr(total, [q])
    return Tandem(tail, stderr, tuple(tails))
