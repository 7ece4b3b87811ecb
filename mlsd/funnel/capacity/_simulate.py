"""Queues and fan-outs by simulation, for what no formula covers and to check those that do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ._checks import at_least, positive, streams, whole
from ._draws import Service, batch_stderr, departures, draw_services, poisson_arrivals
from ._tables import Table

__all__ = ["FanOutSimulation", "QueueSimulation", "simulate_fan_out", "simulate_queue"]

_QS = (0.5, 0.95, 0.99)
_FEWEST = 1000  # 20 batches of 50 requests: fewer say nothing of a 99th percentile


@dataclass(frozen=True, slots=True)
class QueueSimulation(Table):
    """What the requests of a simulated queue met. Times are in seconds.

    Attributes
    ----------
    n : int
        Requests counted, those of the warm-up left out.
    arrival_rate : float
        Requests a second that were counted, over the time they were observed.
    mean, mean_stderr : float
        Time in the system, waiting and service, and its standard error.
    p50, p50_stderr, p95, p95_stderr, p99, p99_stderr : float
        Quantiles of the time in the system, and their standard errors by 20 batch means.
    mean_wait : float
        Time before service.
    utilisation : float
        Share of the servers' time spent serving, in [0, 1].
    in_system : float
        Mean number of counted requests inside, from the first arrival to the last departure. It
        is taken by walking through arrivals and departures, not from the times above, and so
        checks Little's law: `in_system = arrival_rate * mean`.
    """

    n: int
    arrival_rate: float
    mean: float
    mean_stderr: float
    p50: float
    p50_stderr: float
    p95: float
    p95_stderr: float
    p99: float
    p99_stderr: float
    mean_wait: float
    utilisation: float
    in_system: float


def simulate_queue(
    arrival_rate: float,
    service_time: float,
    *,
    servers: int = 1,
    service: Service = "exponential",
    cv_service: float = 1.0,
    n_requests: int = 100_000,
    warm_up: float = 0.1,
    random_state: object = 0,
) -> QueueSimulation:
    """Time in a queue before one or more servers, request by request.

    Poisson arrivals, one line, first come first served: an M/G/c queue.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_time : float
        Mean seconds of one request on one server, above 0.
    servers : int, default 1
        At least 1.
    service : {"exponential", "deterministic", "lognormal", "weibull"} or callable
        How service times spread about their mean. A callable takes a :class:`random.Random` and
        returns the seconds of one request, for example a draw from times you have measured;
        `service_time` must still be its mean.
    cv_service : float, default 1.0
        Standard deviation over mean of the service time, at least 0; for "lognormal" and "weibull".
    n_requests : int, default 100,000
        Requests simulated, warm-up included; at least 1000.
    warm_up : float, default 0.1
        Share of the requests that fill the empty system and are not counted, in [0, 0.9].
    random_state : int, random.Random or None, default 0
        Seed. Arrivals and services have a stream each, so that the same seed sends the same
        arrivals to another kind of service. None is different each time.

    Returns
    -------
    QueueSimulation
        Mean, quantiles with standard errors, wait, utilisation and number in the system.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.
    ValueError
        If the queue is unstable, that is if `arrival_rate * service_time >= servers`: the times
        would grow with the length of the simulation. For a callable, also if the times it
        returned do so.

    Notes
    -----
    Close to saturation neighbours are alike for long: with one server over about
    `4 / (1 - utilisation)**2` requests. Each of the 20 batches behind the standard errors should
    be several times as long, so at a utilisation of .95 take a million requests.

    Examples
    --------
    >>> from mlsd.funnel.capacity import mm1_quantile, simulate_queue
    >>> run = simulate_queue(80, 0.01, random_state=1)
    >>> abs(run.p99 - mm1_quantile(80, 100)) < 4 * run.p99_stderr
    True
    >>> round(run.in_system / (run.arrival_rate * run.mean), 9)
    1.0
    """
    arrival_rate = positive(arrival_rate, "arrival_rate")
    service_time = positive(service_time, "service_time")
    servers = whole(servers, "servers")
    n_requests = whole(n_requests, "n_requests", _FEWEST)
    skipped = at_least(warm_up, "warm_up", 0)
    if skipped > 0.9:
        raise ValueError(f"warm_up must be at most 0.9; got {warm_up!r}")
    _check_stable(arrival_rate, service_time, servers, "service_time")
    arriving, serving = streams(random_state, 2)
    services = draw_services(serving, service, service_time, cv_service, n_requests)
    if callable(service):
        drawn = math.fsum(services) / n_requests
        _check_stable(arrival_rate, drawn, servers, "the mean of what service returned")
    arrivals = poisson_arrivals(arriving, arrival_rate, n_requests)
    left = departures(arrivals, services, servers)

    first = int(n_requests * skipped)
    arrivals, services, left = arrivals[first:], services[first:], left[first:]
    times = [end - start for start, end in zip(arrivals, left, strict=True)]
    (p50, p95, p99), errors, mean, mean_error = batch_stderr(times, _QS)
    busy = math.fsum(services)
    in_system, seconds = _mean_inside(arrivals, left)
    return QueueSimulation(
        n=len(times),
        arrival_rate=len(times) / seconds,
        mean=mean,
        mean_stderr=mean_error,
        p50=p50,
        p50_stderr=errors[0],
        p95=p95,
        p95_stderr=errors[1],
        p99=p99,
        p99_stderr=errors[2],
        mean_wait=mean - busy / len(times),
        utilisation=busy / (servers * seconds),
        in_system=in_system,
    )


def _check_stable(arrival_rate: float, service_time: float, servers: int, name: str) -> None:
    """Raise ValueError unless the servers keep up."""
    load = arrival_rate * service_time / servers
    if load >= 1:
        raise ValueError(
            f"the queue is unstable: arrival_rate={arrival_rate:g} times {name}={service_time:g} "
            f"over servers={servers} is a load of {load:g}, and must be below 1"
        )


def _mean_inside(arrivals: Sequence[float], left: Sequence[float]) -> tuple[float, float]:
    """Return the mean number inside from first arrival to last departure, and that time."""
    ends = sorted(left)
    ends.append(math.inf)
    area, inside, gone, now = 0.0, 0, 0, arrivals[0]
    for arrival in arrivals:
        while ends[gone] <= arrival:
            area += inside * (ends[gone] - now)
            now = ends[gone]
            inside -= 1
            gone += 1
        area += inside * (arrival - now)
        now = arrival
        inside += 1
    for end in ends[gone:-1]:
        area += inside * (end - now)
        now = end
        inside -= 1
    seconds = now - arrivals[0]
    return area / seconds, seconds


@dataclass(frozen=True, slots=True)
class FanOutSimulation(Table):
    """Latency of requests that wait for the slowest of several calls. Times are in seconds.

    Attributes
    ----------
    n : int
        Calls of a request.
    n_requests : int
        Requests simulated.
    mean, mean_stderr : float
        Latency of a request, and its standard error.
    p50, p50_stderr, p95, p95_stderr, p99, p99_stderr : float
        Quantiles of the latency of a request, and their standard errors by 20 batch means.
    extra_load : float
        Calls sent a second time over calls sent first, in [0, 1]: what hedging costs.
    """

    n: int
    n_requests: int
    mean: float
    mean_stderr: float
    p50: float
    p50_stderr: float
    p95: float
    p95_stderr: float
    p99: float
    p99_stderr: float
    extra_load: float


def simulate_fan_out(
    n: int,
    service_time: float = 1.0,
    *,
    service: Service = "exponential",
    cv_service: float = 1.0,
    hedge_after: float | None = None,
    n_requests: int = 20_000,
    random_state: object = 0,
) -> FanOutSimulation:
    """Latency of the slowest of `n` independent calls, with or without hedged requests.

    Parameters
    ----------
    n : int
        Calls of a request, all sent at once; at least 1.
    service_time : float, default 1.0
        Mean seconds of one call, above 0; not read if `service` is a callable.
    service : {"exponential", "deterministic", "lognormal", "weibull"} or callable
        How the seconds of a call spread, as in :func:`simulate_queue`.
    cv_service : float, default 1.0
        Standard deviation over mean, at least 0; for "lognormal" and "weibull".
    hedge_after : float, optional
        Seconds, at least 0. A call not answered by then is sent a second time to another
        replica, and the first answer of the two counts. Default: no second call.
    n_requests : int, default 20,000
        At least 1000.
    random_state : int, random.Random or None, default 0
        Seed. Second calls have a stream of their own: with one seed the first calls are the same
        for all values of `hedge_after`.

    Returns
    -------
    FanOutSimulation
        Mean and quantiles with standard errors, and the extra load.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Calls are independent and the extra load slows nobody down. Where replicas are slow together,
    or busy, hedging wins less than this shows.

    References
    ----------
    J. Dean and L. A. Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013,
    doi 10.1145/2408776.2408794.

    Examples
    --------
    >>> from mlsd.funnel.capacity import simulate_fan_out
    >>> slow = {"service": "lognormal", "cv_service": 2.0}
    >>> plain = simulate_fan_out(20, 0.01, **slow)
    >>> hedged = simulate_fan_out(20, 0.01, hedge_after=0.05, **slow)
    >>> round(plain.p99, 2), round(hedged.p99, 2), round(hedged.extra_load, 3)
    (0.29, 0.09, 0.029)
    """
    n = whole(n, "n")
    service_time = positive(service_time, "service_time")
    n_requests = whole(n_requests, "n_requests", _FEWEST)
    first_stream, second_stream = streams(random_state, 2)
    calls = draw_services(first_stream, service, service_time, cv_service, n * n_requests)
    again = 0
    if hedge_after is not None:
        after = at_least(hedge_after, "hedge_after", 0)
        late = [at for at, time in enumerate(calls) if time > after]
        again = len(late)
        second = draw_services(second_stream, service, service_time, cv_service, again)
        for at, time in zip(late, second, strict=True):
            calls[at] = min(calls[at], after + time)
    slowest = [max(calls[at : at + n]) for at in range(0, len(calls), n)]
    (p50, p95, p99), errors, mean, mean_error = batch_stderr(slowest, _QS)
    return FanOutSimulation(
        n=n,
        n_requests=n_requests,
        mean=mean,
        mean_stderr=mean_error,
        p50=p50,
        p50_stderr=errors[0],
        p95=p95,
        p95_stderr=errors[1],
        p99=p99,
        p99_stderr=errors[2],
        extra_load=again / len(calls),
    )
