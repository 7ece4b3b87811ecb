"""Options of a monitor, checked; and the season of every reference row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray
from mlsd.drift._frames import column_of, labels_of
from mlsd.drift._hypotheses import CHECKS, LEAST, RULES

__all__ = ["enough_reference", "known_checks", "not_negative", "read_season"]


def not_negative(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    if not 0 <= value < np.inf:
        raise ValueError(f"{name} must be finite and at least 0; got {value!r}")
    return float(value)


def known_checks(checks: Any) -> Any:
    if isinstance(checks, str):
        if checks != "auto":
            raise ValueError(f"checks must be 'auto' or a list of checks; got {checks!r}")
        return checks
    known = (*CHECKS, *RULES)
    names = list(checks)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"checks must be some of {list(known)}; got {names!r}")
    return tuple(names)


def enough_reference(n: int, least: int, name: str) -> None:
    if n < max(least, LEAST):
        raise ValueError(f"{name} has {n} reference rows; at least {max(least, LEAST)} are needed")


def read_season(
    X: Any, season: Any, rows: int
) -> tuple[AnyArray | None, str | None, Callable[[Any], Any] | None]:
    """Return the label of every row, the column it comes from, and the function that makes it."""
    if season is None:
        return None, None, None
    column, function = None, None
    if isinstance(season, str):
        column = season
        values = column_of(X, column, "X")
    elif isinstance(season, tuple) and len(season) == 2 and callable(season[1]):
        column, function = season
        values = as_column(function(pd.Series(column_of(X, column, "X"))), "season")
    else:
        values = as_column(season, "season")
    if len(values) != rows:
        raise ValueError(f"lengths differ: season has {len(values)}, X {rows}")
    labels = labels_of(values)
    unknown = sum(label is None for label in labels)
    if unknown:
        raise ValueError(f"season is missing for {unknown} of {rows} rows")
    return labels, column, function
