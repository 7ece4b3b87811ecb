"""What the capacity functions share: arguments read with care, quantiles, random streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from random import Random

__all__ = ["at_least", "duration", "fraction", "positive", "quantile", "streams", "whole"]


def _number(value: object, name: str, *, endless: bool = False) -> float:
    """Return `value` as a finite float, or raise TypeError or ValueError."""
    # NumPy's numbers are registered with `numbers`, so they pass without NumPy being imported.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    number = float(value)
    if not (math.isfinite(number) or (endless and number == math.inf)):
        raise ValueError(f"{name} must be finite; got {value!r}")
    return number


def positive(value: object, name: str) -> float:
    """Return `value` as a finite float above 0."""
    number = _number(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be above 0; got {value!r}")
    return number


def at_least(value: object, name: str, lowest: float) -> float:
    """Return `value` as a finite float of at least `lowest`."""
    number = _number(value, name)
    if number < lowest:
        raise ValueError(f"{name} must be at least {lowest:g}; got {value!r}")
    return number


def duration(value: object, name: str) -> float:
    """Return `value` as a float of at least 0; an unstable queue has an infinite one."""
    number = _number(value, name, endless=True)
    if number < 0:
        raise ValueError(f"{name} must be at least 0; got {value!r}")
    return number


def fraction(value: object, name: str) -> float:
    """Return `value` as a float strictly between 0 and 1."""
    number = _number(value, name)
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {value!r}")
    return number


def whole(value: object, name: str, lowest: int = 1) -> int:
    """Return `value` as an int of at least `lowest`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer; got {value!r} ({type(value).__name__})")
    if value < lowest:
        raise ValueError(f"{name} must be at least {lowest}; got {value!r}")
    return int(value)


def quantile(ordered: Sequence[float], q: float) -> float:
    """Return the quantile of values in ascending order, linear between the two that enclose it."""
    place = (len(ordered) - 1) * q
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def streams(random_state: object, n: int) -> list[Random]:
    """Return `n` independent streams: a change of one input leaves the other draws alone."""
    if isinstance(random_state, Random):
        source = random_state
    elif random_state is None:
        source = Random()
    else:
        source = Random(whole(random_state, "random_state", 0))
    return [Random(source.getrandbits(64)) for _ in range(n)]
