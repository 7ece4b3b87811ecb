"""Rows of a frame of any library: how many, a run of them, those of one level."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, IntArray

__all__ = ["column_of", "labels_of", "n_rows", "names_of", "take", "without"]


def _eager(frame: Any, name: str) -> Any:
    import narwhals as nw

    try:
        return nw.from_native(frame, eager_only=True)
    except TypeError:
        raise TypeError(
            f"{name} must be a table of pandas, polars or pyarrow; got {type(frame).__name__}"
            + (": call its collect() first" if hasattr(frame, "collect") else "")
        ) from None


def n_rows(frame: Any, name: str) -> int:
    """Return the number of rows, or say that this is no table."""
    return len(frame) if isinstance(frame, pd.DataFrame) else len(_eager(frame, name))


def names_of(frame: Any, name: str) -> list[str]:
    """Return the names of the columns."""
    if isinstance(frame, pd.DataFrame):
        return list(frame.columns)
    return list(_eager(frame, name).columns)


def take(values: Any, rows: slice | BoolArray | IntArray) -> Any:
    """Return rows of a frame or an array: those of a slice, a mask or an array of positions.

    What is no rows stays what it is: None, or the name of a column.
    """
    if values is None or isinstance(values, str):
        return values
    if isinstance(values, pd.DataFrame):
        return values.iloc[rows]
    if isinstance(values, pd.Series) or not hasattr(values, "columns"):
        return as_column(values, "y")[rows]
    if isinstance(rows, np.ndarray):
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return _eager(values, "X")[rows.tolist()].to_native()
    return _eager(values, "X")[rows].to_native()


def column_of(frame: Any, column: str, name: str) -> AnyArray:
    """Return one column by name."""
    return as_column(as_pandas(frame, name, [column])[column], f"{name}[{column!r}]")


def labels_of(values: AnyArray) -> AnyArray:
    """Return labels as strings, and None where they are missing."""
    missing = pd.isna(values)
    text: AnyArray = np.array([str(value) for value in values], dtype=object)
    text[missing] = None
    return text


def without(frame: Any, column: str) -> Any:
    """Return the frame without a column."""
    if isinstance(frame, pd.DataFrame):
        return frame.drop(columns=column)
    return _eager(frame, "X").drop(column).to_native()
