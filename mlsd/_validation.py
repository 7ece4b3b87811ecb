"""Floor 0: turn what a caller passes into arrays, or say clearly what is wrong with it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray

__all__ = [
    "UndefinedMetricWarning",
    "as_generator",
    "check_choice",
    "check_columns",
    "check_fraction",
    "check_number",
    "check_positive",
    "check_positive_int",
    "check_rank_follows_score",
    "check_same_length",
    "warn_undefined",
]


class UndefinedMetricWarning(UserWarning):
    """A value is undefined for some of the input, and is nan there."""


def warn_undefined(message: str, *, stacklevel: int = 3) -> None:
    """Warn that something is undefined; by default at the line that called the public function."""
    warnings.warn(message, UndefinedMetricWarning, stacklevel=stacklevel)


def check_choice(value: object, name: str, choices: Iterable[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    options = list(choices)
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}")


def check_positive_int(value: object, name: str) -> int:
    """Return `value` as an int of at least 1, or raise TypeError or ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer; got {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} must be at least 1; got {value!r}")
    return int(value)


def check_number(value: object, name: str) -> float:
    """Return `value` as a float, which may be nan or infinite, or raise TypeError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number; got {value!r} ({type(value).__name__})")
    return float(value)


def check_positive(value: object, name: str) -> float:
    """Return `value` as a finite float above 0, or raise TypeError or ValueError."""
    number = check_number(value, name)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} must be finite and above 0; got {value!r}")
    return number


def check_fraction(value: object, name: str) -> float:
    """Return `value` as a float strictly between 0 and 1, or raise TypeError or ValueError."""
    number = check_number(value, name)
    if not 0 < number < 1:
        raise ValueError(f"{name} must lie strictly between 0 and 1; got {value!r}")
    return number


def as_generator(random_state: object, name: str = "random_state") -> np.random.Generator:
    """Return a generator from None, a non-negative integer, a SeedSequence or a Generator."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        raise TypeError(f"{name} must be a seed or a numpy Generator; got a legacy RandomState")
    try:
        return np.random.default_rng(random_state)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}; got {random_state!r}") from None


def check_columns(frame: object, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Return `frame` if it is a DataFrame that has all `columns`, or raise."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a pandas DataFrame; got {type(frame).__name__}")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {list(frame.columns)}")
    return frame


def check_rank_follows_score(
    group: npt.NDArray[np.int64], score: FloatArray, rank: FloatArray, name: str
) -> None:
    """Raise ValueError if a better rank goes with a lower score within a group.

    Ranks may repeat or leave places out, and equal scores may have any ranks.
    """
    order = np.lexsort((-score, rank, group))
    group, score, rank = group[order], score[order], rank[order]
    wrong = np.flatnonzero((group[1:] == group[:-1]) & (score[1:] > score[:-1]))
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(
            f"{name}['rank'] contradicts {name}['score'] in {np.unique(group[wrong]).size} queries:"
            f" rank {rank[at]:g} has score {score[at]:g} and rank {rank[at + 1]:g} has score "
            f"{score[at + 1]:g}; higher scores rank first, so make the ranks anew or drop them"
        )


def check_same_length(**arrays: Any) -> None:
    """Raise ValueError unless all named arrays have one length."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"lengths differ: {listed}")
