"""One stage of a funnel as a load on machines, and the checks of what a plan is made from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ._checks import at_least, fraction, positive, whole

__all__ = ["Fleet", "StageLoad", "as_stages", "groups_needed"]

# What a division leaves over in the last place must not buy a machine.
_NOISE = 1e-12


@dataclass(frozen=True, slots=True)
class StageLoad:
    """What one request costs in one stage of a funnel.

    Parameters
    ----------
    name : str
        Of the stage.
    n_in : float
        Items that the stage scores for a request, at least 0.
    us_per_item : float
        Microseconds of one core for one item, at least 0. Measure it at the batch size that you
        will serve: calls on few items cost more an item.
    fixed_ms : float, default 0.0
        Milliseconds of a request that do not depend on the items, at least 0.
    parallelism : int, default 1
        Cores that one request is split over, at least 1. They score the items together, and all
        are held until the request leaves the stage, for the fixed part too.
    cv_service : float, default 1.0
        Standard deviation over mean of the service time between requests, at least 0: 1 is an
        exponential time, 0 a constant one.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from mlsd.funnel.capacity import StageLoad
    >>> StageLoad("light", n_in=1000, us_per_item=10, fixed_ms=2, parallelism=4).service_ms
    4.5
    """

    name: str
    n_in: float
    us_per_item: float
    fixed_ms: float = 0.0
    parallelism: int = 1
    cv_service: float = 1.0

    def __post_init__(self) -> None:
        """Check the fields."""
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"name must be a text that is not empty; got {self.name!r}")
        for field in ("n_in", "us_per_item", "fixed_ms", "cv_service"):
            at_least(getattr(self, field), field, 0)
        whole(self.parallelism, "parallelism")

    @property
    def service_ms(self) -> float:
        """Mean milliseconds that a request is served, waiting left out."""
        return float(self.fixed_ms + self.n_in * self.us_per_item / self.parallelism / 1000)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What all stages share: the load, the machines and their price."""

    qps: float
    utilisation: float
    cores_per_machine: int
    price_per_machine_hour: float | None
    spare_machines: int

    @classmethod
    def checked(
        cls, qps: object, utilisation: object, cores: object, price: object, spare: object
    ) -> Fleet:
        """Return a fleet of plain numbers, or say what is wrong with one of them."""
        return cls(
            positive(qps, "qps"),
            fraction(utilisation, "utilisation"),
            whole(cores, "cores_per_machine"),
            None if price is None else at_least(price, "price_per_machine_hour", 0),
            whole(spare, "spare_machines", 0),
        )

    def money_a_day(self, machines: int) -> float | None:
        """Return the price of `machines` for a day, in the currency that the user's price has."""
        if self.price_per_machine_hour is None:
            return None
        return machines * 24 * self.price_per_machine_hour


def as_stages(stages: object, cores_per_machine: int) -> tuple[StageLoad, ...]:
    """Return the stages as a tuple, or say what is wrong with them."""
    if isinstance(stages, StageLoad) or not isinstance(stages, Iterable):
        raise TypeError(f"stages must be a sequence of StageLoad; got {type(stages).__name__}")
    found = tuple(stages)
    if not found:
        raise ValueError("stages must hold at least one StageLoad; got none")
    for stage in found:
        if not isinstance(stage, StageLoad):
            raise TypeError(f"stages must hold StageLoad only; got {stage!r}")
        if stage.parallelism > cores_per_machine:
            raise ValueError(
                f"parallelism must be at most cores_per_machine={cores_per_machine}, since a "
                f"request is served by one machine; got {stage.parallelism} in stage {stage.name!r}"
            )
    names = [stage.name for stage in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"stages must have different names; got {repeated} more than once")
    return found


def groups_needed(stage: StageLoad, fleet: Fleet) -> tuple[float, int, int]:
    """Return the groups of `parallelism` cores kept busy, those bought, and the machines."""
    busy = fleet.qps * stage.service_ms / 1000
    a_machine = fleet.cores_per_machine // stage.parallelism
    wanted = busy / fleet.utilisation / a_machine
    machines = max(1, math.ceil(wanted * (1 - _NOISE)))
    return busy, machines * a_machine, machines
