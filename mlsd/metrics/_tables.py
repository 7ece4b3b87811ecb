"""Identifiers that several tables share, as codes, and which columns a table has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._lazy import pandas as pd
from mlsd._types import IntArray
from mlsd.metrics._ids import as_ids, check_same_kind

__all__ = ["column_names", "shared_codes"]


def column_names(table: Any) -> list[Any]:
    """Return the names of the columns of a pandas, polars or pyarrow table; none if it is no table.

    For optional columns; ``as_pandas`` says what is wrong with a thing that is no table.
    """
    if isinstance(table, pd.DataFrame):
        return list(table.columns)
    return list(getattr(table, "column_names", getattr(table, "columns", ())))  # pyarrow, polars


def shared_codes(
    *columns: tuple[pd.Series[Any], str],
) -> tuple[list[IntArray], npt.NDArray[Any]]:
    """Return columns of identifiers as places among the distinct values of all, which ascend.

    Each column comes with the name it has in errors. All must be integers or all strings; a column
    without rows may be of any type.
    """
    kinds, parts = [], []
    for column, name in columns:
        if len(column):
            ids = as_ids(column, name)
            ids.keys()  # raises for what is missing or is not a string
            kinds.append(ids)
            categorical = isinstance(column.dtype, pd.CategoricalDtype)
            # Categories have an order of their own, which is not that of the identifiers.
            parts.append(column.astype(column.cat.categories.dtype) if categorical else column)
    for ids in kinds[1:]:
        check_same_kind(kinds[0], ids)
    if not parts:
        return [np.zeros(0, dtype=np.int64) for _ in columns], np.zeros(0, dtype=np.int64)
    codes, distinct = pd.factorize(pd.concat(parts, ignore_index=True), sort=True)
    ends = np.cumsum([len(column) for column, _ in columns])
    return np.split(codes.astype(np.int64, copy=False), ends[:-1]), np.asarray(distinct)
