"""The rules that a slate can be asked to keep, and which of them contradict each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from mlsd._validation import check_positive_int

__all__ = ["AtLeast", "AtMost", "Pin", "check_together"]


class _Rule:
    """What the rules have in common: they print without their defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Show what was set."""
        parts = []
        for one in fields(self):  # type: ignore[arg-type]
            value = getattr(self, one.name)
            if not one.kw_only:
                parts.append(repr(value))
            elif value is not None:
                parts.append(f"{one.name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, slots=True, repr=False)
class AtMost(_Rule):
    """No more than `n` documents with the same value of a column: a hard rule.

    Parameters
    ----------
    n : int
        At least 0.
    by : str
        Column of the run. Missing values count as one value of their own: what is not known
        cannot break the rule unseen.
    positions : int, optional
        How many places from the top it looks at. Default: the whole slate.
    equals : scalar, optional
        Only documents with this value are counted. Default: those of every value, each value on
        its own.

    Examples
    --------
    >>> from mlsd.funnel import AtMost
    >>> AtMost(2, "seller"), AtMost(0, "adult", equals=True, positions=5)
    (AtMost(2, 'seller'), AtMost(0, 'adult', positions=5, equals=True))
    """

    n: int
    by: str
    _: KW_ONLY
    positions: int | None = None
    equals: Any = None

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_counts(self)
        _check_value(self.equals)


@dataclass(frozen=True, slots=True, repr=False)
class AtLeast(_Rule):
    """At least `n` documents with one value of a column, if it can be had: a soft rule.

    Parameters
    ----------
    n : int
        At least 0.
    by : str
        Column of the run.
    equals : scalar
        The value.
    positions : int, optional
        How many places from the top it looks at. Default: the whole slate.

    Examples
    --------
    >>> from mlsd.funnel import AtLeast
    >>> AtLeast(1, "topic", "news", positions=3)
    AtLeast(1, 'topic', 'news', positions=3)
    """

    n: int
    by: str
    equals: Any
    _: KW_ONLY
    positions: int | None = None

    def __post_init__(self) -> None:
        """Check the fields."""
        _check_counts(self)
        if self.equals is None:
            raise ValueError("equals of AtLeast must be a value; got None")
        _check_value(self.equals)
        if self.positions is not None and self.n > self.positions:
            raise ValueError(f"{self!r} contradicts itself: {self.n} in {self.positions} places")


@dataclass(frozen=True, slots=True, repr=False)
class Pin(_Rule):
    """The best document that matches goes to one place, if there is one: a soft rule.

    Parameters
    ----------
    position : int
        The place, from 1.
    doc_ids : sequence, optional
        The documents that match, in any order: the one with the highest score is taken.
    by : str, optional
        Or a column of the run,
    equals : scalar, optional
        and the value with which a document matches.

    Examples
    --------
    >>> from mlsd.funnel import Pin
    >>> Pin(1, doc_ids=["editors_pick"]), Pin(3, by="is_ad", equals=True)
    (Pin(1, doc_ids=('editors_pick',)), Pin(3, by='is_ad', equals=True))
    """

    position: int
    _: KW_ONLY
    doc_ids: Sequence[Any] | None = None
    by: str | None = None
    equals: Any = None

    def __post_init__(self) -> None:
        """Check the fields, and keep the documents as a tuple."""
        check_positive_int(self.position, "position")
        if (self.doc_ids is None) == (self.by is None) or (self.by is None) != (
            self.equals is None
        ):
            raise ValueError(
                "Pin needs doc_ids, or by and equals, and not both; got "
                f"doc_ids={self.doc_ids!r}, by={self.by!r}, equals={self.equals!r}"
            )
        if self.by is not None:
            _check_column(self.by)
            _check_value(self.equals)
        elif isinstance(self.doc_ids, str | bytes) or not isinstance(self.doc_ids, Iterable):
            raise TypeError(f"doc_ids must be a sequence of identifiers; got {self.doc_ids!r}")
        else:
            object.__setattr__(self, "doc_ids", tuple(self.doc_ids))


Rule = AtMost | AtLeast | Pin


def check_together(rules: Sequence[Rule]) -> None:
    """Raise if no slate of any candidates could keep all rules."""
    caps = [rule for rule in rules if isinstance(rule, AtMost)]
    floors = [rule for rule in rules if isinstance(rule, AtLeast)]
    pins = [rule for rule in rules if isinstance(rule, Pin)]
    for number, pin in enumerate(pins):
        for other in pins[:number]:
            if other.position == pin.position:
                raise ValueError(f"{other!r} and {pin!r} claim the same place")
    for cap in caps:
        for floor in floors:
            beyond = 0 if _end(cap) >= _end(floor) else _end(floor) - _end(cap)
            if _counts(cap, floor) and floor.n > cap.n + beyond:
                raise ValueError(f"{floor!r} contradicts {cap!r}")
        pinned = [pin for pin in pins if pin.position <= _end(cap) and _counts(cap, pin)]
        for pin in pinned:
            alike = [other for other in pinned if other.equals == pin.equals]
            if len(alike) > cap.n:
                raise ValueError(f"{alike[-1]!r} contradicts {cap!r}")
    for floor in floors:
        # A document has one value of a column, so what the values ask for adds up.
        asked: dict[Any, int] = {}
        for one in floors:
            if one.by == floor.by and _end(one) <= _end(floor):
                asked[one.equals] = max(one.n, asked.get(one.equals, 0))
        if sum(asked.values()) > _end(floor):
            raise ValueError(
                f"the minimums of {floor.by!r} ask for {sum(asked.values())} documents in the "
                f"first {floor.positions} places"
            )


def _end(rule: AtMost | AtLeast) -> float:
    """Return how many places the rule looks at."""
    return math.inf if rule.positions is None else rule.positions


def _counts(cap: AtMost, other: AtLeast | Pin) -> bool:
    """Return whether `cap` limits the very documents that `other` asks for."""
    return other.by == cap.by and (cap.equals is None or bool(cap.equals == other.equals))


def _check_counts(rule: AtMost | AtLeast) -> None:
    """Raise unless `n`, `by` and `positions` are what they should be."""
    if isinstance(rule.n, bool) or not isinstance(rule.n, int | np.integer):
        raise TypeError(f"n must be an integer; got {rule.n!r} ({type(rule.n).__name__})")
    if rule.n < 0:
        raise ValueError(f"n must be at least 0; got {rule.n!r}")
    _check_column(rule.by)
    if rule.positions is not None:
        check_positive_int(rule.positions, "positions")


def _check_column(by: Any) -> None:
    """Raise unless `by` can be the name of a column."""
    if not isinstance(by, str):
        raise TypeError(f"by must be the name of a column; got {by!r} ({type(by).__name__})")


def _check_value(value: Any) -> None:
    """Raise unless a document can have `value` in a column."""
    if not pd.api.types.is_scalar(value):
        raise TypeError(f"equals must be one value; got {value!r} ({type(value).__name__})")
    if value is not None and pd.isna(value):
        raise ValueError(f"equals must be a value, and missing ones equal nothing; got {value!r}")
