"""The targets of two frames as numbers, NaN where a label is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray

__all__ = ["Targets", "read_targets"]


@dataclass(frozen=True, slots=True)
class Targets:
    """Two targets as numbers, whether they are 0 and 1, and the columns that hold them."""

    ref: FloatArray
    live: FloatArray
    binary: bool
    names: tuple[str, ...]


def read_targets(
    ref: Any, live: Any, y_ref: Any, y_live: Any, sizes: tuple[int, int], pos_label: Any = None
) -> Targets:
    """Return the targets of both frames, each an array or the name of a column of its frame.

    A name for the reference alone stands for both. Booleans, 0 and 1, and two values of which
    `pos_label` is one are binary.
    """
    if y_live is None and isinstance(y_ref, str):
        y_live = y_ref
    if y_ref is None or y_live is None:
        missing = "y_ref" if y_ref is None else "y_live"
        raise ValueError(f"{missing} is missing: the targets of both frames are needed")
    names = tuple(dict.fromkeys(y for y in (y_ref, y_live) if isinstance(y, str)))
    arrays = []
    for table, y, name, size in ((ref, y_ref, "ref", sizes[0]), (live, y_live, "live", sizes[1])):
        if isinstance(y, str):
            y = as_pandas(table, name, [y])[y]
        array = as_column(y, f"y_{name}")
        if array.size != size:
            raise ValueError(f"lengths differ: y_{name} has {array.size}, {name} {size}")
        if pd.isna(array).all():
            raise ValueError(f"y_{name} has no labels: all {size} are missing")
        arrays.append(array)
    if pos_label is None:
        first, second = (
            _numbers(array, name) for array, name in zip(arrays, ("y_ref", "y_live"), strict=True)
        )
    else:
        _check_label(arrays, pos_label)
        first, second = (
            np.where(pd.isna(array), np.nan, array == pos_label).astype(np.float64)
            for array in arrays
        )
    values = np.concatenate((first, second))
    binary = bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())
    return Targets(first, second, binary, names)


def _numbers(array: AnyArray, name: str) -> FloatArray:
    if array.dtype.kind not in "biuf":
        missing = pd.isna(array)
        example = array[~missing][0]
        raise TypeError(
            f"{name} holds {example!r} ({type(example).__name__}): give numbers, or name one of "
            "two labels with pos_label"
        )
    result: FloatArray = array.astype(np.float64)
    if np.isinf(result).any():
        raise ValueError(f"{name} holds {int(np.isinf(result).sum())} infinite values")
    return result


def _check_label(arrays: list[AnyArray], pos_label: Any) -> None:
    found = pd.unique(np.concatenate([array[~pd.isna(array)].astype(object) for array in arrays]))
    if len(found) > 2:
        raise ValueError(f"y must hold two labels with pos_label; got {list(found[:5])}")
    if pos_label not in list(found):
        raise ValueError(f"pos_label {pos_label!r} is not in y, which holds {list(found)}")
