"""Upstream breakages: what the policy sees of its candidates goes wrong, the world does not.

Prices turn into NaN, change their unit, or the codes of the topics are renumbered. Clicks and
conversions go by the true values, so that a policy that reads the broken column gets worse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mlsd._types import AnyArray, FloatArray
from mlsd._validation import check_number

__all__ = ["BREAKAGES", "active", "apply", "check_strength", "renumbered_topics"]

BREAKAGES = ("nulls", "units", "schema")


def check_strength(kind: str, strength: float) -> float:
    """Return the strength of a breakage as a float, or raise.

    Raises
    ------
    TypeError
        If `strength` is not a number.
    ValueError
        Unless it is a share from 0 to 1 ("nulls", "schema"), or finite and above 0 ("units").
    """
    number = check_number(strength, "strength")
    if kind == "units":
        if not 0 < number < np.inf:
            raise ValueError(f"strength of 'units' must be finite and above 0; got {strength!r}")
    elif not 0 <= number <= 1:
        raise ValueError(f"strength of {kind!r} must lie between 0 and 1; got {strength!r}")
    return number


def active(schedule: Iterable[tuple[str, int, float]], day: int) -> dict[str, float]:
    """Return the breakages of a day: kind and strength.

    A breakage lasts from its day on. Of several of one kind the latest day holds, of one day the
    last that was scheduled; so strength 0 of "nulls" and "schema", and 1 of "units", is a repair.

    Parameters
    ----------
    schedule : iterable of (kind, at, strength)
        Kinds that are no breakage are passed over.
    day : int

    Examples
    --------
    >>> active([("nulls", 3, 0.2), ("nulls", 5, 0.0), ("units", 9, 100.0)], 4)
    {'nulls': 0.2}
    >>> active([("nulls", 3, 0.2), ("nulls", 5, 0.0), ("units", 9, 100.0)], 5)
    {}
    """
    begun = [change for change in schedule if change[0] in BREAKAGES and change[1] <= day]
    latest = {kind: strength for kind, _, strength in sorted(begun, key=lambda change: change[1])}
    whole = {"nulls": 0.0, "units": 1.0, "schema": 0.0}
    return {kind: strength for kind, strength in latest.items() if strength != whole[kind]}


def renumbered_topics(n_topics: int, strength: float) -> AnyArray:
    """Return the code that each topic goes by after "schema": a share of them change places.

    Each of the first ``round(strength * n_topics)`` topics takes the code of the next of them, the
    last that of the first. At least two move unless `strength` is 0.

    Examples
    --------
    >>> renumbered_topics(5, 0.6)
    array([1, 2, 0, 3, 4])
    """
    codes = np.arange(n_topics)
    n_moved = min(n_topics, max(2, round(strength * n_topics))) if strength > 0 else 0
    codes[:n_moved] = np.roll(codes[:n_moved], -1)
    return codes


def apply(
    candidates: Mapping[str, AnyArray],
    schedule: Iterable[tuple[str, int, float]],
    day: int,
    *,
    u: Callable[[], FloatArray],
    n_topics: int,
) -> dict[str, AnyArray]:
    """Return the columns of the candidates as the policy sees them on a day.

    Columns that are whole are passed on as they are; the others are new arrays.

    Parameters
    ----------
    candidates : mapping
        Column name → array, with `price` and `topic`.
    schedule : iterable of (kind, at, strength)
        "nulls": `price` is NaN in that share of the rows. "units": `price` times the strength,
        as when euros become cents. "schema": that share of the codes in `topic` is renumbered, as
        after a table was built anew; nothing fails, the column only means something else.
    day : int
    u : callable
        Gives the uniform numbers of the rows; called only if "nulls" is active.
    n_topics : int

    Examples
    --------
    >>> seen = {"price": np.array([1.0, 2.0]), "topic": np.array([0, 1])}
    >>> apply(seen, [("units", 3, 100.0)], 3, u=lambda: np.zeros(2), n_topics=2)["price"]
    array([100., 200.])
    """
    seen = dict(candidates)
    broken = active(schedule, day)
    if "units" in broken:
        seen["price"] = seen["price"] * broken["units"]
    if "nulls" in broken:
        seen["price"] = np.where(u() < broken["nulls"], np.nan, seen["price"])
    if "schema" in broken:
        codes = renumbered_topics(n_topics, broken["schema"]).astype(seen["topic"].dtype)
        seen["topic"] = codes[seen["topic"]]
    return seen
