"""Random service times, and the first-come-first-served queue they are put through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from heapq import heapreplace
from random import Random
from statistics import stdev
from typing import Literal

from ._checks import at_least, quantile

__all__ = ["Service", "batch_stderr", "departures", "draw_services", "poisson_arrivals"]

Service = (
    Literal["exponential", "deterministic", "lognormal", "weibull"] | Callable[[Random], float]
)

_SPREAD = ("lognormal", "weibull")  # the services that read cv_service
_BATCHES = 20


def poisson_arrivals(rng: Random, rate: float, n: int) -> list[float]:
    """Return the times of `n` arrivals of a Poisson process."""
    now, times = 0.0, []
    for _ in range(n):
        now -= math.log(1.0 - rng.random()) / rate
        times.append(now)
    return times


def draw_services(
    rng: Random, service: Service, mean: float, cv_service: float, n: int
) -> list[float]:
    """Return `n` service times, after a check of what was asked for."""
    cv = at_least(cv_service, "cv_service", 0)
    if callable(service):
        times = [float(service(rng)) for _ in range(n)]
        for time in times:
            if not (math.isfinite(time) and time >= 0):
                raise ValueError(f"service must return finite seconds of at least 0; got {time!r}")
        return times
    if service not in ("exponential", "deterministic", *_SPREAD):
        raise ValueError(
            "service must be 'exponential', 'deterministic', 'lognormal', 'weibull' or a callable; "
            f"got {service!r}"
        )
    if service not in _SPREAD and cv != 1 and not (service == "deterministic" and cv == 0):
        raise ValueError(
            "cv_service is for service='lognormal' or 'weibull'; "
            f"got {cv_service!r} with {service!r}"
        )
    if service == "deterministic" or (service in _SPREAD and cv == 0):
        return [mean] * n
    if service == "lognormal":
        variance = math.log1p(cv * cv)
        centre, scale = math.log(mean) - variance / 2, math.sqrt(variance)
        return [math.exp(rng.gauss(centre, scale)) for _ in range(n)]
    # An exponential time to the power of 1 / shape; at cv=1 the shape is 1.
    power = weibull_power(cv) if service == "weibull" else 1.0
    scale = mean / math.gamma(1 + power)
    if power == 1:
        return [-scale * math.log(1.0 - rng.random()) for _ in range(n)]
    return [scale * (-math.log(1.0 - rng.random())) ** power for _ in range(n)]


def weibull_power(cv: float) -> float:
    """Return 1 / shape of the Weibull distribution with this coefficient of variation."""
    if cv == 1:
        return 1.0
    wanted = math.log1p(cv * cv)
    low, high = 0.0, 1.0
    while _log_moments(high) < wanted:
        low, high = high, 2 * high
    middle = (low + high) / 2
    while low < middle < high:
        low, high = (middle, high) if _log_moments(middle) < wanted else (low, middle)
        middle = (low + high) / 2
    return middle


def _log_moments(power: float) -> float:
    """Return the logarithm of the second moment over the square of the first."""
    return math.lgamma(1 + 2 * power) - 2 * math.lgamma(1 + power)


def departures(arrivals: Sequence[float], services: Sequence[float], servers: int) -> list[float]:
    """Return when each request leaves; arrivals ascend, and the first to come is the first served.

    With several servers it is a heap of the times at which they fall free, and a later request
    may overtake.
    """
    left = []
    if servers == 1:
        free = 0.0
        for arrival, service in zip(arrivals, services, strict=True):
            free = (free if free > arrival else arrival) + service
            left.append(free)
        return left
    frees = [0.0] * servers
    for arrival, service in zip(arrivals, services, strict=True):
        free = frees[0]
        end = (free if free > arrival else arrival) + service
        heapreplace(frees, end)
        left.append(end)
    return left


def batch_stderr(
    times: Sequence[float], qs: Sequence[float]
) -> tuple[list[float], list[float], float, float]:
    """Return quantiles and their standard errors, and the mean and its, by batch means.

    Times of neighbours are correlated, so that the usual standard error is far too small. The
    run is cut into 20 stretches; the spread of a statistic between them gives its error.
    """
    size = len(times) // _BATCHES
    starts = [batch * size for batch in range(_BATCHES)]
    batches = [sorted(times[at : at + size]) for at in starts[:-1]] + [sorted(times[starts[-1] :])]
    # One sort of the joined batches is cheap: it merges runs that are sorted already.
    ordered = sorted(time for batch in batches for time in batch)
    root = math.sqrt(_BATCHES)
    values = [quantile(ordered, q) for q in qs]
    errors = [stdev(quantile(batch, q) for batch in batches) / root for q in qs]
    mean = math.fsum(ordered) / len(ordered)
    mean_error = stdev(math.fsum(batch) / len(batch) for batch in batches) / root
    return values, errors, mean, mean_error
