"""Waiting lines by formula: M/M/1, M/M/c, and Kingman's approximation for the rest."""

from __future__ import annotations

import math

from ._checks import at_least, fraction, positive, whole

__all__ = ["erlang_c", "kingman", "mm1_quantile", "mmc_mean", "mmc_quantile"]


def mm1_quantile(arrival_rate: float, service_rate: float, q: float = 0.99) -> float:
    """Quantile of the time in an M/M/1 system: waiting and service together.

    Poisson arrivals, exponential service, one server, first come first served. The time in the
    system is then exponential too.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_rate : float
        Requests that the server completes in a busy second, above 0.
    q : float, default 0.99
        In (0, 1).

    Returns
    -------
    float
        Seconds: `-ln(1 - q) / (service_rate - arrival_rate)`. Infinite if the queue is unstable,
        that is if `arrival_rate >= service_rate`.

    Raises
    ------
    TypeError, ValueError
        If a rate is not above 0 or `q` is outside (0, 1).

    References
    ----------
    L. Kleinrock, "Queueing Systems, Volume 1: Theory", Wiley, 1975.

    Examples
    --------
    >>> from mlsd.funnel.capacity import mm1_quantile
    >>> round(mm1_quantile(80, 100), 4)
    0.2303
    >>> mm1_quantile(100, 100)
    inf
    """
    slack = positive(service_rate, "service_rate") - positive(arrival_rate, "arrival_rate")
    tail = -math.log1p(-fraction(q, "q"))
    return tail / slack if slack > 0 else math.inf


def erlang_c(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Chance that a request finds all servers busy and waits, in an M/M/c queue.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_rate : float
        Requests that one server completes in a busy second, above 0.
    servers : int
        Servers behind one queue, at least 1.

    Returns
    -------
    float
        In [0, 1]; 1 if the queue is unstable, that is if
        `arrival_rate >= servers * service_rate`.

    Raises
    ------
    TypeError, ValueError
        If a rate is not above 0 or `servers` is not an integer of at least 1.

    Notes
    -----
    Computed from Erlang's loss formula by its recursion over the servers,
    `B(k) = a B(k - 1) / (k + a B(k - 1))`, which has neither factorials nor powers and so is
    good for thousands of servers.

    References
    ----------
    A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in
    automatic telephone exchanges", Post Office Electrical Engineers' Journal 10, 1917.

    Examples
    --------
    >>> from mlsd.funnel.capacity import erlang_c
    >>> round(erlang_c(8, 1, 10), 4)
    0.4092
    >>> round(erlang_c(8_000, 1, 10_000), 4)
    0.0
    """
    load = positive(arrival_rate, "arrival_rate") / positive(service_rate, "service_rate")
    servers = whole(servers, "servers")
    if load >= servers:
        return 1.0
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_mean(arrival_rate: float, service_rate: float, servers: int) -> float:
    """Mean time in an M/M/c system: waiting and service together.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_rate : float
        Requests that one server completes in a busy second, above 0.
    servers : int
        Servers behind one queue, at least 1.

    Returns
    -------
    float
        Seconds; infinite if `arrival_rate >= servers * service_rate`.

    Raises
    ------
    TypeError, ValueError
        If a rate is not above 0 or `servers` is not an integer of at least 1.

    Examples
    --------
    >>> from mlsd.funnel.capacity import mmc_mean
    >>> round(mmc_mean(8, 1, 10), 4)
    1.2046
    """
    wait = erlang_c(arrival_rate, service_rate, servers)
    slack = servers * service_rate - arrival_rate
    return 1 / service_rate + wait / slack if slack > 0 else math.inf


def mmc_quantile(arrival_rate: float, service_rate: float, servers: int, q: float = 0.99) -> float:
    """Quantile of the time in an M/M/c system: waiting and service together, exact.

    Poisson arrivals, exponential service, one queue before `servers` servers, first come first
    served.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_rate : float
        Requests that one server completes in a busy second, above 0.
    servers : int
        At least 1.
    q : float, default 0.99
        In (0, 1).

    Returns
    -------
    float
        Seconds; infinite if `arrival_rate >= servers * service_rate`.

    Raises
    ------
    TypeError, ValueError
        If a rate is not above 0, `servers` is not an integer of at least 1 or `q` is outside
        (0, 1).

    Notes
    -----
    With the chance C of waiting (:func:`erlang_c`) and θ = cμ - λ, the wait is 0 with chance
    1 - C and else exponential with rate θ; service is exponential with rate μ. Therefore::

        P(T > t) = exp(-μt) + C μ (exp(-μt) - exp(-θt)) / (θ - μ)

    whose last fraction becomes t exp(-μt) where θ = μ. It is inverted by bisection.

    References
    ----------
    D. Gross, J. F. Shortle, J. M. Thompson and C. M. Harris, "Fundamentals of Queueing Theory",
    4th edition, Wiley, 2008.

    Examples
    --------
    >>> from mlsd.funnel.capacity import mmc_quantile
    >>> round(mmc_quantile(8, 1, 10), 3)
    4.946

    One queue before ten servers against ten queues, each with a tenth of the load:

    >>> round(mmc_quantile(0.8, 1, 1), 1)
    23.0
    """
    waiting = erlang_c(arrival_rate, service_rate, servers)
    late = 1 - fraction(q, "q")
    slack = servers * service_rate - arrival_rate
    if slack <= 0:
        return math.inf
    slower, apart = min(service_rate, slack), abs(slack - service_rate)

    def tail(time: float) -> float:
        # The difference of the two exponentials over that of their rates, without cancellation.
        gap = apart * time
        mixed = -math.expm1(-gap) / gap if gap > 0 else 1.0
        both = service_rate * time * math.exp(-slower * time) * mixed
        return math.exp(-service_rate * time) + waiting * both

    low, high = 0.0, 1 / service_rate
    while tail(high) > late:
        low, high = high, 2 * high
    middle = (low + high) / 2
    while low < middle < high:
        low, high = (middle, high) if tail(middle) > late else (low, middle)
        middle = (low + high) / 2
    return middle


def kingman(
    arrival_rate: float,
    service_time: float,
    *,
    servers: int = 1,
    cv_arrival: float = 1.0,
    cv_service: float = 1.0,
) -> float:
    """Mean time waiting before service, for any distributions: an approximation.

    Kingman's for one server, that of Allen and Cunneen for several: the wait of M/M/c times
    `(cv_arrival**2 + cv_service**2) / 2`. Add `service_time` for the time in the system.

    Parameters
    ----------
    arrival_rate : float
        Requests a second, above 0.
    service_time : float
        Mean seconds of one request on one server, above 0.
    servers : int, default 1
        At least 1.
    cv_arrival : float, default 1.0
        Standard deviation over mean of the time between arrivals, at least 0; 1 for Poisson.
    cv_service : float, default 1.0
        The same of the service time; 1 for exponential, 0 for constant.

    Returns
    -------
    float
        Seconds; infinite if `arrival_rate * service_time >= servers`.

    Raises
    ------
    TypeError, ValueError
        If an argument is no number or out of its range.

    Notes
    -----
    Exact for Poisson arrivals with one server (the formula of Pollaczek and Khinchine) and for
    Poisson arrivals with exponential service and any number of servers. Elsewhere best under
    heavy load. It says nothing of quantiles.

    References
    ----------
    J. F. C. Kingman, "The single server queue in heavy traffic", Mathematical Proceedings of the
    Cambridge Philosophical Society 57(4), 1961, doi 10.1017/S0305004100036094.

    A. O. Allen, "Probability, Statistics, and Queueing Theory with Computer Science
    Applications", 2nd edition, Academic Press, 1990.

    Examples
    --------
    >>> from mlsd.funnel.capacity import kingman
    >>> round(kingman(80, 0.01), 4)
    0.04

    Constant service halves the wait:

    >>> round(kingman(80, 0.01, cv_service=0), 4)
    0.02
    """
    arrival_rate = positive(arrival_rate, "arrival_rate")
    service_time = positive(service_time, "service_time")
    spread = at_least(cv_arrival, "cv_arrival", 0) ** 2 + at_least(cv_service, "cv_service", 0) ** 2
    waiting = erlang_c(arrival_rate, 1 / service_time, servers)
    slack = servers / service_time - arrival_rate
    return waiting / slack * spread / 2 if slack > 0 else math.inf
