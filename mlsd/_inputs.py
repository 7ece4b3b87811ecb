"""Floor 0: columns and tables of any library, as NumPy arrays and pandas frames, by position.

Lists, NumPy, pandas (any index, extension and pyarrow types), polars, pyarrow: the metrics see one
kind. What pandas does not know goes through narwhals, which is imported only then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray

__all__ = [
    "as_array",
    "as_binary",
    "as_column",
    "as_floats",
    "as_labels",
    "as_pandas",
    "as_probabilities",
    "as_weights",
]


def as_array(values: Any, name: str) -> AnyArray:
    """Return an array of any number of dimensions; objects that are all numbers become numbers."""
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values)
    try:
        array: AnyArray = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"{name} must have rows of one length: {error}") from None
    if array.dtype.kind == "O" and array.size:
        array = _settle_objects(array.ravel()).reshape(array.shape)
    return array


def as_column(values: Any, name: str) -> AnyArray:
    """Return one column as a one-dimensional array; missing values are NaN, NaT or None.

    Numbers, booleans and times keep their type; nullable numbers become float64; strings and
    mixtures become objects. No copy is made where none is needed.
    """
    array = _one_dimensional(_to_numpy(values, name), name)
    if array.dtype.kind == "O":
        return _settle_objects(array)
    return array.astype(object) if array.dtype.kind in "US" else array


def as_floats(
    values: Any, name: str, *, allow_nan: bool = False, keep_float32: bool = False
) -> FloatArray:
    """Return numbers as a float64 array; NaN and missing values raise unless they are allowed.

    With `keep_float32` single precision stays what it is: half the memory, and the same order.
    """
    array = as_column(values, name)
    if array.dtype.kind == "O":
        raise TypeError(f"{name} must be numeric; got {_describe_objects(array)}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be numeric; got {array.dtype}")
    if not (keep_float32 and array.dtype == np.float32):
        array = array.astype(np.float64, copy=False)
    if not allow_nan:
        _refuse_nan(array, name)
    return array


def as_probabilities(values: Any, name: str) -> FloatArray:
    """Return numbers from 0 to 1, or raise with how many are not and an example."""
    array = as_floats(values, name)
    if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
        wrong = np.flatnonzero((array < 0.0) | (array > 1.0))
        raise ValueError(
            f"{name} must lie between 0 and 1; {wrong.size} of {array.size} values do not, "
            f"such as {float(array[wrong[0]])!r} at position {wrong[0]}"
        )
    return array


def as_weights(values: Any, name: str, n: int) -> FloatArray | None:
    """Return finite weights of at least 0, one a row and not all 0; None stays None."""
    if values is None:
        return None
    array = as_floats(values, name)
    if array.size != n:
        raise ValueError(f"lengths differ: {name} has {array.size}, the data {n}")
    wrong = np.flatnonzero(~((array >= 0.0) & (array < np.inf)))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and not negative; {wrong.size} of {n} values are not, "
            f"such as {float(array[wrong[0]])!r} at position {wrong[0]}"
        )
    if n and not array.any():
        raise ValueError(f"{name} is 0 everywhere: nothing has a weight")
    return array


def as_binary(values: Any, name: str, *, pos_label: Any = None) -> BoolArray:
    """Return which labels are positive.

    Booleans, 0 and 1, and -1 and 1 need no `pos_label`; strings and other pairs of values do.
    """
    array = as_column(values, name)
    if array.dtype.kind == "b" and pos_label is None:
        return array
    if array.dtype.kind == "f":
        _refuse_nan(array, name)
    elif array.dtype.kind == "O":
        missing = int(pd.isna(array).sum())
        if missing:
            raise ValueError(f"{name} has {missing} missing labels among {array.size}")
    if pos_label is None:
        return _zero_one(array, name)
    positive: Any = array == pos_label
    if not isinstance(positive, np.ndarray):  # NumPy's answer to a comparison that makes no sense
        positive = np.zeros(array.size, dtype=np.bool_)
    found = _distinct(array)
    if len(found) > 2:
        raise ValueError(f"{name} must hold two classes; got {_listed(found)}")
    if array.size and not positive.any() and len(found) == 2:
        raise ValueError(f"pos_label {pos_label!r} is not in {name}, which holds {_listed(found)}")
    return np.asarray(positive, dtype=np.bool_)


def as_labels(values: Any, name: str) -> tuple[IntArray, AnyArray]:
    """Return the class of each row as a code, and the classes in sorted order."""
    array = as_column(values, name)
    missing = int(pd.isna(array).sum())
    if missing:
        raise ValueError(f"{name} has {missing} missing labels among {array.size}")
    codes, found = pd.factorize(array)
    classes = np.asarray(found)
    try:
        order = np.argsort(classes)
    except TypeError as error:
        raise TypeError(f"{name} mixes labels that have no common order: {error}") from None
    return np.argsort(order)[codes].astype(np.int64), classes[order]


def as_pandas(table: Any, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Return the columns of a table as a pandas frame, rows numbered from 0.

    Takes pandas, polars and pyarrow, and whatever else narwhals knows as an eager table. Strings
    stay in Arrow's memory where they were there.
    """
    wanted = list(dict.fromkeys(columns))
    if not isinstance(table, pd.DataFrame):
        import narwhals as nw

        try:
            eager: Any = nw.from_native(table, eager_only=True)
        except TypeError:
            raise TypeError(
                f"{name} must be a table of pandas, polars or pyarrow; got {type(table).__name__}"
                + (": call its collect() first" if hasattr(table, "collect") else "")
            ) from None
        _refuse_missing(wanted, list(eager.columns), name)
        eager = eager.select(wanted)
        return pd.DataFrame({column: _to_pandas(eager[column]) for column in wanted})
    _refuse_missing(wanted, list(table.columns), name)
    double = [column for column in wanted if list(table.columns).count(column) > 1]
    if double:
        raise ValueError(f"{name} has several columns of the name {double}")
    return table[wanted].reset_index(drop=True)


def _refuse_missing(wanted: list[str], has: list[Any], name: str) -> None:
    missing = [column for column in wanted if column not in has]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}; it has {has}")


def _to_pandas(series: Any) -> Any:
    """Return a narwhals series as a pandas one; strings by way of Arrow, without a copy."""
    try:
        import pyarrow as pa
    except ImportError:
        return pd.Series(series.to_numpy())
    array = series.to_arrow()
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return pd.Series(pd.array(array, dtype=pd.StringDtype("pyarrow", na_value=np.nan)))
    return series.to_pandas()


def _to_numpy(values: Any, name: str) -> Any:
    if isinstance(values, np.ma.MaskedArray):
        return _unmasked(values)
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, list | tuple | range):
        try:
            array = np.asarray(values)
        except ValueError as error:  # ragged
            raise ValueError(f"{name} must be one-dimensional: {error}") from None
        if array.dtype.kind in "US" and not all(isinstance(value, str | bytes) for value in values):
            array = np.empty(len(values), dtype=object)  # NumPy would turn the numbers to text
            array[:] = values
        return array
    if isinstance(values, str | bytes | dict | set) or np.isscalar(values) or values is None:
        raise TypeError(f"{name} must be array-like; got {type(values).__name__}")
    if isinstance(values, pd.Series | pd.Index | pd.api.extensions.ExtensionArray):
        return _from_pandas(values)
    import narwhals as nw

    series: Any = nw.from_native(values, series_only=True, pass_through=True)
    if isinstance(series, nw.Series):
        if series.dtype.is_numeric() or series.dtype == nw.Boolean:
            if series.null_count():
                return series.cast(nw.Float64).to_numpy()
            return series.to_numpy()
        return series.to_numpy()
    if not hasattr(values, "__array__") and not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be array-like; got {type(values).__name__}")
    return np.asarray(values) if hasattr(values, "__array__") else np.asarray(list(values))


def _unmasked(values: Any) -> AnyArray:
    """Return a masked array as a plain one: what is masked is missing."""
    if not np.ma.getmaskarray(values).any():
        return np.asarray(values.data)
    if values.dtype.kind in "biuf":
        return np.asarray(values.astype(np.float64).filled(np.nan))
    plain = np.array(values.data, dtype=object)
    plain[np.ma.getmaskarray(values)] = None
    return plain


def _from_pandas(values: Any) -> AnyArray:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        # Category by category, so that the type of the categories decides, not "object".
        array = values.array if hasattr(values, "array") else values
        categories = _from_pandas(array.categories)
        codes = np.asarray(array.codes)
        if (codes < 0).any():
            # Code -1 takes the last entry, which stands for a missing value.
            categories = np.concatenate((categories.astype(object), np.array([None])))
        taken: AnyArray = categories[codes]
        return taken
    if isinstance(dtype, np.dtype):
        result: AnyArray = np.asarray(values)
        return result
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if values.isna().any():
            return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
        kind: Any = getattr(dtype, "numpy_dtype", None) or np.float64
        return np.asarray(values.to_numpy(dtype=kind))
    return np.asarray(values.to_numpy())


def _settle_objects(array: AnyArray) -> AnyArray:
    """Return objects that are all numbers or all booleans as such; None and NA become NaN."""
    kind = pd.api.types.infer_dtype(array, skipna=True)
    if kind in ("integer", "floating", "mixed-integer-float", "boolean", "decimal"):
        missing = pd.isna(array)
        if missing.any():
            result = np.full(array.size, np.nan)
            result[~missing] = array[~missing].astype(np.float64)
            return result
        try:
            return array.astype({"integer": np.int64, "boolean": np.bool_}.get(kind, np.float64))
        except OverflowError:
            return array.astype(np.float64)
    return array


def _one_dimensional(values: AnyArray, name: str) -> AnyArray:
    if values.ndim != 1:
        hint = ": use its ravel()" if values.ndim == 2 and values.shape[1] == 1 else ""
        raise ValueError(f"{name} must be one-dimensional; got shape {values.shape}{hint}")
    return values


def _refuse_nan(array: AnyArray, name: str) -> None:
    # One pass without a mask: only a sum that is NaN is worth a closer look.
    with np.errstate(invalid="ignore", over="ignore"):
        suspect = bool(array.size) and bool(np.isnan(array.sum()))
    if suspect:
        missing = int(np.isnan(array).sum())
        if missing:
            raise ValueError(f"{name} holds {missing} NaN among {array.size} values")


def _zero_one(array: AnyArray, name: str) -> BoolArray:
    """Return ``label == 1`` for labels out of {0, 1} or {-1, 1}."""
    if array.dtype.kind in "biuf":
        if not array.size:
            return np.zeros(0, dtype=np.bool_)
        positive: BoolArray = array == 1
        n_positive = np.count_nonzero(positive)
        if array.size - n_positive in (
            array.size - np.count_nonzero(array),
            np.count_nonzero(array == -1) if array.dtype.kind in "if" else -1,
        ):
            return positive
    found = _distinct(array)
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in found):
        what = "strings"
    else:
        what = "labels"
    if len(found) > 2:
        raise ValueError(f"{name} must hold two classes, such as 0 and 1; got {_listed(found)}")
    raise ValueError(
        f"{name} holds the {what} {_listed(found)}: name the positive one with pos_label"
    )


def _distinct(array: AnyArray) -> list[Any]:
    return [value.item() if isinstance(value, np.generic) else value for value in pd.unique(array)]


def _listed(values: list[Any]) -> str:
    shown = ", ".join(repr(value) for value in values[:5])
    return f"{shown}, ... ({len(values)} values)" if len(values) > 5 else shown


def _describe_objects(array: AnyArray) -> str:
    first = next((value for value in array if not isinstance(value, int | float)), None)
    return f"{first!r} ({type(first).__name__}) among its values"
