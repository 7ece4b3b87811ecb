"""Machines, latency and money of a funnel under load."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ._arithmetic import tail_rule
from ._checks import fraction, whole
from ._queues import kingman, mmc_quantile
from ._stages import Fleet, StageLoad, as_stages, groups_needed
from ._tables import Table, shown
from ._tandem import run_tandem

__all__ = ["Plan", "StagePlan", "plan"]

# A mean by formula and a tail by simulation may miss each other by so much.
_NEAR = 0.01


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a :class:`Plan`.

    Attributes
    ----------
    name : str
        Of the stage.
    service_ms : float
        Mean milliseconds that a request is served, waiting left out.
    cores_busy : float
        Cores at work in the mean.
    machines : int
        Bought, the spare ones included.
    servers : int
        Requests that the machines without the spare ones serve at once: groups of `parallelism`
        cores.
    utilisation : float
        Share of those that is busy; at most what was asked for, less by rounding up to whole
        machines.
    mean_ms : float
        Mean time in the stage, waiting included.
    tail_ms : float
        The q-quantile of the time in the stage alone: by the formula of M/M/c where `cv_service`
        is 1, else as simulated.
    money_per_day : float or None
        Of its machines; None without a price.
    """

    name: str
    service_ms: float
    cores_busy: float
    machines: int
    servers: int
    utilisation: float
    mean_ms: float
    tail_ms: float
    money_per_day: float | None


@dataclass(frozen=True, slots=True)
class Plan(Table):
    """What a funnel needs and how late it answers. Prints as a table, one row a stage.

    Attributes
    ----------
    stages : tuple of StagePlan
        In the order of the funnel.
    qps : float
        Requests a second that were planned for.
    q : float
        The quantile called tail.
    machines : int
        Over all stages, the spare ones included.
    money_per_day : float or None
        In the currency of the price; None without a price.
    mean_ms : float
        Mean time from end to end: the means of the stages do add.
    tail_ms, tail_stderr_ms : float
        The q-quantile from end to end, as simulated, and its standard error.
    tail_rule_ms : float or None
        The q-quantile from end to end by :func:`tail_rule`, from the means and the tails of the
        stages: what can be said without a simulation. None where the rule has no value, since a
        stage's tail is below its mean by more than 1 %: `q` is low, or few requests ever wait.
    sum_of_tails_ms : float
        The sum of the q-quantiles of the stages. It is not the q-quantile from end to end: few
        requests are late in every stage.
    in_flight : float
        Requests inside at one moment, by Little's law.
    """

    stages: tuple[StagePlan, ...]
    qps: float
    q: float
    machines: int
    money_per_day: float | None
    mean_ms: float
    tail_ms: float
    tail_stderr_ms: float
    tail_rule_ms: float | None
    sum_of_tails_ms: float
    in_flight: float

    def _rows(self) -> Sequence[Mapping[str, object]]:
        tail = f"p{100 * self.q:g} ms"
        rows: list[dict[str, object]] = [
            {
                "stage": stage.name,
                "service ms": stage.service_ms,
                "cores busy": stage.cores_busy,
                "machines": stage.machines,
                "utilisation": stage.utilisation,
                "mean ms": stage.mean_ms,
                tail: stage.tail_ms,
                "rule ms": None,
                "money a day": stage.money_per_day,
            }
            for stage in self.stages
        ]
        whole_funnel: dict[str, object] = {
            "stage": "end to end",
            "service ms": sum(stage.service_ms for stage in self.stages),
            "cores busy": sum(stage.cores_busy for stage in self.stages),
            "machines": self.machines,
            "utilisation": None,
            "mean ms": self.mean_ms,
            tail: self.tail_ms,
            "rule ms": self.tail_rule_ms,
            "money a day": self.money_per_day,
        }
        return [*rows, whole_funnel]

    def _notes(self) -> list[str]:
        tail = f"p{100 * self.q:g}"
        return [
            f"{shown(self.qps)} requests a second, {shown(self.in_flight)} in flight.",
            f"{tail} end to end is simulated, ± {self.tail_stderr_ms:.2g} ms (standard error); "
            "the rule is for independent stages;",
            f"the sum of the stages' {tail}s, {shown(self.sum_of_tails_ms)} ms, is not it.",
        ]


def plan(
    stages: Iterable[StageLoad],
    qps: float,
    *,
    utilisation: float = 0.6,
    cores_per_machine: int = 16,
    price_per_machine_hour: float | None = None,
    spare_machines: int = 1,
    q: float = 0.99,
    n_requests: int = 20_000,
    random_state: object = 0,
) -> Plan:
    """Machines, money and latency of a funnel at a given load.

    Parameters
    ----------
    stages : iterable of StageLoad
        In the order in which a request meets them; each runs on machines of its own.
    qps : float
        Requests a second, above 0; plan for the peak (:func:`peak_qps`).
    utilisation : float, default 0.6
        Share of the cores that may be busy in the mean, in (0, 1).
    cores_per_machine : int, default 16
        At least 1.
    price_per_machine_hour : float, optional
        In your currency, at least 0. There is no default price: without one, money is None.
    spare_machines : int, default 1
        Machines a stage has beyond its need, at least 0. Latency and utilisation are those of
        the day on which all of them are lost.
    q : float, default 0.99
        The quantile reported as the tail, in (0, 1).
    n_requests : int, default 20,000
        Requests simulated for the tail from end to end, at least 1000; at a utilisation of .95
        or more take a million. To them come those of a warm-up that are not counted: a tenth, or
        five times what is in service at one moment, but at most four times `n_requests`.
    random_state : int, random.Random or None, default 0
        Seed of the simulation; each stage has its own stream.

    Returns
    -------
    Plan
        Per stage and for the whole.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, a stage is split over more cores than a machine has,
        or two stages have one name.

    Notes
    -----
    A stage with service time s keeps `qps * s * parallelism` cores busy and gets
    `ceil(qps * s / utilisation / (cores_per_machine // parallelism)) + spare_machines` machines;
    for `parallelism=1` that is the cores busy over the utilisation, in whole machines.

    What is assumed: Poisson arrivals; one queue a stage, first come first served, so that a load
    balancer always finds a free core where there is one; service times (Weibull distributed, with
    the mean and `cv_service` of the stage) that are independent between stages and requests; no
    network; a request goes through all stages, one after the other. Real funnels are worse on
    each count, so that the tail is what is left when nothing goes wrong.

    The mean is exact where `cv_service` is 1 for all stages, since what leaves an M/M/c queue is
    again Poisson (P. J. Burke, "The Output of a Queuing System", Operations Research 4(6),
    1956), and the approximation of :func:`kingman` elsewhere.

    Examples
    --------
    >>> from mlsd.funnel.capacity import StageLoad, plan
    >>> stages = [StageLoad("retrieve", n_in=1_000_000, us_per_item=0.003),
    ...           StageLoad("rank", n_in=100, us_per_item=400, parallelism=4)]
    >>> print(plan(stages, 1000, price_per_machine_hour=0.5))
    stage       service ms  cores busy  machines  utilisation  mean ms  p99 ms  rule ms  money a day
    retrieve             3           3         2       0.1875        3   13.82        -           24
    rank                10          40         6          0.5       10   46.06        -           72
    end to end          13          43         8            -       13   51.76    50.64           96
    1,000 requests a second, 13 in flight.
    p99 end to end is simulated, ± 0.86 ms (standard error); the rule is for independent stages;
    the sum of the stages' p99s, 59.87 ms, is not it.
    """
    fleet = Fleet.checked(
        qps, utilisation, cores_per_machine, price_per_machine_hour, spare_machines
    )
    loads = as_stages(stages, fleet.cores_per_machine)
    q = fraction(q, "q")
    n_requests = whole(n_requests, "n_requests", 1000)
    sizes = [groups_needed(load, fleet) for load in loads]
    rate = fleet.qps / 1000  # a millisecond, as all times here
    tandem = run_tandem(
        [
            (load.service_ms, load.cv_service, size[1])
            for load, size in zip(loads, sizes, strict=True)
        ],
        rate,
        q,
        n_requests,
        random_state,
    )
    rows = []
    for load, (busy, servers, needed), simulated in zip(loads, sizes, tandem.tails, strict=True):
        machines = needed + fleet.spare_machines
        mean = tail = 0.0
        if load.service_ms > 0:
            mean = load.service_ms + kingman(
                rate, load.service_ms, servers=servers, cv_service=load.cv_service
            )
            exact = load.cv_service == 1
            tail = mmc_quantile(rate, 1 / load.service_ms, servers, q) if exact else simulated
        rows.append(
            StagePlan(
                name=load.name,
                service_ms=load.service_ms,
                cores_busy=busy * load.parallelism,
                machines=machines,
                servers=servers,
                utilisation=busy / servers,
                mean_ms=mean,
                tail_ms=tail,
                money_per_day=fleet.money_a_day(machines),
            )
        )
    machines = sum(row.machines for row in rows)
    mean_ms = sum(row.mean_ms for row in rows)
    return Plan(
        stages=tuple(rows),
        qps=fleet.qps,
        q=q,
        machines=machines,
        money_per_day=fleet.money_a_day(machines),
        mean_ms=mean_ms,
        tail_ms=tandem.tail,
        tail_stderr_ms=tandem.stderr,
        tail_rule_ms=_by_rule([row.mean_ms for row in rows], [row.tail_ms for row in rows]),
        sum_of_tails_ms=sum(row.tail_ms for row in rows),
        in_flight=rate * mean_ms,
    )


def _by_rule(means: Sequence[float], tails: Sequence[float]) -> float | None:
    """Return the tail by rule, or None where a tail is below its mean and the rule has none."""
    if math.inf in means:
        return math.inf
    if any(tail < mean * (1 - _NEAR) for mean, tail in zip(means, tails, strict=True)):
        return None
    return tail_rule(means, list(map(max, means, tails)))
