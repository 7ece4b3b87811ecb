"""What can be scheduled to change in a world itself; what only its policy sees is a breakage."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mlsd._validation import check_number

__all__ = ["EVENTS", "check_strength", "season"]

EVENTS = ("taste", "season", "catalogue", "new_users")


def check_strength(kind: str, strength: object) -> float:
    """Return the strength of an event as a float, or raise TypeError or ValueError."""
    number = check_number(strength, "strength")
    share = kind in ("taste", "catalogue")
    if not (0 <= number <= (1.0 if share else np.inf) and np.isfinite(number)):
        limits = "lie between 0 and 1" if share else "be finite and at least 0"
        raise ValueError(f"strength of {kind!r} must {limits}; got {strength!r}")
    return number


def season(schedule: Iterable[tuple[str, int, float]], day: int) -> float:
    """Return the factor on the season's amplitude: of the latest change so far, or 1."""
    begun = [change for change in schedule if change[0] == "season" and change[1] <= day]
    return sorted(begun, key=lambda change: change[1])[-1][2] if begun else 1.0
