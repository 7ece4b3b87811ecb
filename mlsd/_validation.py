"""Floor 0: turn what a caller passes into arrays, or say clearly what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

__all__ = ["as_1d_float", "check_choice", "check_columns", "check_positive_int", "check_same_length"]

FloatArray = npt.NDArray[np.float64]


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


def check_columns(frame: object, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Return `frame` if it is a DataFrame that has all `columns`, or raise."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{name} must be a pandas DataFrame; got {type(frame).__name__}")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {list(frame.columns)}")
    return frame


def as_1d_float(values: Any, name: str, *, allow_nan: bool = False) -> FloatArray:
    """Return `values` as a one-dimensional float64 array; NaN raises unless allowed."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numeric; got {type(values).__name__}: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional; got shape {array.shape}")
    if not allow_nan:
        missing = int(np.isnan(array).sum())
        if missing:
            raise ValueError(f"{name} holds {missing} NaN among {array.size} values")
    return array


def check_same_length(**arrays: Any) -> None:
    """Raise ValueError unless all named arrays have one length."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"lengths differ: {listed}")
