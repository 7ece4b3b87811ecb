"""Numbers among the parameters of a world: their units and their bounds, and the check of both."""

from __future__ import annotations

import dataclasses
from dataclasses import field
from typing import Any

import numpy as np

__all__ = ["check_number", "checked_profile", "number"]

_INF = float("inf")


def number(
    default: Any,
    unit: str,
    low: float = -_INF,
    high: float = _INF,
    *,
    above: bool = False,
    n: int | None = None,
    none: bool = False,
) -> Any:
    """Return a field with its unit, its bounds (`above`: low is excluded)."""
    about = {
        "unit": unit,
        "low": low,
        "high": high,
        "above": above,
        "n": n,
        "none": none,
    }
    return field(default=default, metadata=about)


def checked_profile(one: dataclasses.Field[Any], value: Any, preset: Any) -> tuple[float, ...]:
    """Return a tuple of numbers, as long as the field says: `n`, or 0 segments, -1 quantities."""
    about = one.metadata
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{one.name} must be numbers; got {value!r}") from None
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{one.name} must be a tuple of numbers; got {value!r}")
    beside = {0: "segments", -1: "quantities"}.get(about["n"])
    wanted = len(getattr(preset, beside)) if beside else about["n"]
    if array.size != wanted:
        raise ValueError(f"{one.name} must have {wanted} numbers; got {value!r}")
    if not (np.isfinite(array) & (array >= about["low"])).all():
        raise ValueError(f"{one.name} must be finite and not negative; got {value!r}")
    if about["unit"] == "relative" and not array.any():
        raise ValueError(f"{one.name} is 0 everywhere: got {value!r}")
    return tuple(array.tolist())


def check_number(one: dataclasses.Field[Any], value: Any) -> None:
    """Raise TypeError or ValueError unless a number is what its field asks for."""
    about = one.metadata
    if value is None and about["none"]:
        return
    whole = one.type == "int"
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise TypeError(
            f"{one.name} must be {'an integer' if whole else 'a number'}; "
            f"got {value!r} ({type(value).__name__})"
        )
    low, high = about["low"], about["high"]
    inside = (value > low if about["above"] else value >= low) and value <= high
    if not (inside and np.isfinite(value)):
        least = f"{'above' if about['above'] else 'at least'} {low:g}"
        limits = "finite" if low == -_INF else least
        limits += f" and at most {high:g}" if high < _INF else ""
        raise ValueError(f"{one.name} must be {limits}; got {value!r}")
