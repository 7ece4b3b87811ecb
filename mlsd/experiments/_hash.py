"""A keyed hash of identifiers that any language can compute again."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd

__all__ = ["unit_hash"]

_Words = npt.NDArray[np.uint64]


def unit_hash(units: Any, salt: str, name: str = "units") -> _Words:
    """Return 64 bits a unit: SipHash-2-4 of its text, keyed by the salt, and a finaliser.

    The text is UTF-8, an integer's its decimal digits, so that 5 and "5" are one unit. The key is
    16 bytes: the hexadecimal digits of the 8-byte BLAKE2b digest of the salt. The finaliser is
    that of splitmix64, a bijection, which pandas puts behind every hash.
    """
    if not isinstance(salt, str):
        raise TypeError(f"salt must be a string; got {salt!r} ({type(salt).__name__})")
    if not salt:
        raise ValueError("salt is empty: give each experiment its own, or all share their arms")
    key = hashlib.blake2b(salt.encode("utf-8"), digest_size=8).hexdigest()
    if isinstance(units, pd.Series | pd.Index) and isinstance(units.dtype, pd.CategoricalDtype):
        # Each category once: a log has many rows a unit.
        array: Any = units.array if isinstance(units, pd.Series) else units
        codes = np.asarray(array.codes)
        if (codes < 0).any():
            raise ValueError(f"{name} is missing in {int((codes < 0).sum())} of {codes.size} rows")
        taken: _Words = _hashed(as_column(array.categories, name), key, name)[codes]
        return taken
    return _hashed(as_column(units, name), key, name)


def _hashed(column: npt.NDArray[Any], key: str, name: str) -> _Words:
    hashed: _Words = pd.util.hash_array(
        _texts(column, name), hash_key=key, encoding="utf8", categorize=False
    )
    return hashed


def _texts(column: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return the units as an array of str objects, or raise where a text is not certain."""
    if column.dtype.kind in "iu":
        return column.astype(str).astype(object)
    if column.dtype.kind != "O":
        if not column.size:
            return column.astype(object)
        hint = ""
        if column.dtype.kind == "f":
            hint = ": 5 and 5.0 are two texts; make them integers or strings, the missing ones out"
        raise TypeError(f"{name} must be integers or strings; got {column.dtype}{hint}")
    if pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column
    missing = int(pd.isna(column).sum())
    if missing:
        raise ValueError(f"{name} is missing in {missing} of {column.size} rows")
    texts = np.empty(column.size, dtype=object)
    for row, unit in enumerate(column):  # strings among integers: rare, and so not fast
        if isinstance(unit, bool) or not isinstance(unit, (str, int, np.integer)):
            raise TypeError(
                f"{name} must be integers or strings; got {unit!r} ({type(unit).__name__}) at "
                f"position {row}"
            )
        texts[row] = str(unit)
    return texts
