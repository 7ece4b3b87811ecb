"""Which input of a plan matters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from ._checks import fraction, streams
from ._plan import Plan, plan
from ._stages import StageLoad, as_stages
from ._tables import Table, shown

__all__ = ["Sensitivity", "SensitivityRow", "sensitivity"]

# A target above this is no target: the queue grows without bound at 1.
_HIGHEST_UTILISATION = 0.99
_OF_THE_FLEET = ("qps", "utilisation", "cores_per_machine", "price_per_machine_hour")
_OF_A_STAGE = ("n_in", "us_per_item", "fixed_ms", "cv_service")


@dataclass(frozen=True, slots=True)
class SensitivityRow:
    """One input moved down and up, and what the plan then says.

    Attributes
    ----------
    input : str
        The argument of :func:`plan`, or stage and field: "heavy: n_in".
    low, high : float
        The values it was given.
    machines_low, machines_high : int
        Machines then.
    money_low, money_high : float or None
        Money a day then; None without a price.
    tail_low, tail_high : float
        The q-quantile from end to end then, in milliseconds, as simulated.
    """

    input: str
    low: float
    high: float
    machines_low: int
    machines_high: int
    money_low: float | None
    money_high: float | None
    tail_low: float
    tail_high: float


@dataclass(frozen=True, slots=True)
class Sensitivity(Table):
    """A plan, and what moves it. Prints as a table, one row an input.

    Attributes
    ----------
    base : Plan
        With every input as given.
    change : float
        Share by which each input was moved, alone.
    rows : tuple of SensitivityRow
        In the order of the inputs.
    """

    base: Plan
    change: float
    rows: tuple[SensitivityRow, ...]

    def _rows(self) -> Sequence[Mapping[str, object]]:
        return [asdict(row) for row in self.rows]

    def _notes(self) -> list[str]:
        base = self.base
        money = "" if base.money_per_day is None else f", {shown(base.money_per_day)} money a day"
        return [
            f"As given: {base.machines} machines{money}, p{100 * base.q:g} {shown(base.tail_ms)} "
            f"± {base.tail_stderr_ms:.2g} ms. Each input moved by {self.change:.0%}, alone."
        ]


def sensitivity(
    stages: Iterable[StageLoad], qps: float, *, change: float = 0.2, **options: Any
) -> Sensitivity:
    """What each input of a plan, moved down and up by a share, does to machines, money and tail.

    Parameters
    ----------
    stages : iterable of StageLoad
        As in :func:`plan`.
    qps : float
        Requests a second, above 0.
    change : float, default 0.2
        Share by which an input moves, in (0, 1).
    **options
        Those of :func:`plan`.

    Returns
    -------
    Sensitivity
        One row an input: qps, utilisation (never above 0.99), cores_per_machine (rounded, and
        never below what a request is split over), the price if there is one, and for every stage
        n_in, us_per_item, fixed_ms and cv_service. An input of 0 stays 0. The whole numbers
        `parallelism` and `spare_machines` are not moved.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    All plans use the same random numbers, so that differences of the tail are far less noisy
    than its standard error. Machines come in whole numbers: a small change may move nothing.

    Examples
    --------
    >>> from mlsd.funnel.capacity import StageLoad, sensitivity
    >>> moved = sensitivity([StageLoad("heavy", 100, 400)], 1000, spare_machines=0)
    >>> [(row.input, row.machines_low, row.machines_high) for row in moved.rows[:4]]
    [('qps', 4, 5), ('utilisation', 6, 4), ('cores_per_machine', 6, 4), ('heavy: n_in', 4, 5)]
    """
    change = fraction(change, "change")
    settings = {"utilisation": 0.6, "cores_per_machine": 16, **options, "qps": qps}
    loads = as_stages(stages, settings["cores_per_machine"])
    if not isinstance(settings.get("random_state", 0), int):
        # A stream would go on from plan to plan: draw one seed for all of them.
        settings["random_state"] = streams(settings["random_state"], 1)[0].getrandbits(64)
    base = plan(loads, **settings)
    rows = []
    for name, value, planned in _inputs(loads, settings):
        low, high = value * (1 - change), value * (1 + change)
        if name == "utilisation":
            high = max(value, min(high, _HIGHEST_UTILISATION))
        elif name == "cores_per_machine":
            widest = max(load.parallelism for load in loads)
            low, high = max(widest, round(low)), max(widest, round(high))
        below, above = (base if moved == value else planned(moved) for moved in (low, high))
        rows.append(
            SensitivityRow(
                input=name,
                low=low,
                high=high,
                machines_low=below.machines,
                machines_high=above.machines,
                money_low=below.money_per_day,
                money_high=above.money_per_day,
                tail_low=below.tail_ms,
                tail_high=above.tail_ms,
            )
        )
    return Sensitivity(base=base, change=change, rows=tuple(rows))


def _inputs(
    loads: tuple[StageLoad, ...], settings: dict[str, Any]
) -> Iterator[tuple[str, float, Callable[[float], Plan]]]:
    """Yield each input that can move: its name, its value, and the plan with another value."""
    for name in _OF_THE_FLEET:
        if settings.get(name) is not None:
            yield name, settings[name], partial(_with_setting, loads, settings, name)
    for at, load in enumerate(loads):
        for field in _OF_A_STAGE:
            changed = partial(_with_field, loads, settings, at, field)
            yield f"{load.name}: {field}", getattr(load, field), changed


def _with_setting(
    loads: tuple[StageLoad, ...], settings: dict[str, Any], name: str, value: float
) -> Plan:
    return plan(loads, **{**settings, name: value})


def _with_field(
    loads: tuple[StageLoad, ...], settings: dict[str, Any], at: int, field: str, value: float
) -> Plan:
    changed: dict[str, Any] = {field: value}
    return plan([*loads[:at], replace(loads[at], **changed), *loads[at + 1 :]], **settings)
