"""Floor 0: what all results have in common: they turn into tables, and print as such."""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsd._lazy import pandas as pd

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Result", "plain"]


def plain(value: Any) -> Any:
    """Return `value` as plain Python values all the way down, ready for ``json.dumps``.

    NumPy scalars become numbers, arrays and tuples lists, results and frames dictionaries, and a
    missing value of pandas None.
    """
    if isinstance(value, Result):
        return value.to_dict()  # type: ignore[misc]
    if value is pd.NA:
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, pd.Series | pd.DataFrame):
        return plain(value.to_dict())
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {
            key.item() if isinstance(key, np.generic) else key: plain(item)
            for key, item in value.items()
        }
    return value


class Result:
    """Base of the frozen result dataclasses.

    A subclass whose table is not one row of its fields overrides ``to_frame``.
    """

    __slots__ = ()

    def to_dict(self: DataclassInstance) -> dict[str, Any]:
        """Return the fields by name, as plain Python values, results inside it included."""
        return {
            field.name: plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.repr
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the result as a table: one column, one row a field."""
        fields = self.to_dict()  # type: ignore[misc]
        return pd.DataFrame({"value": list(fields.values())}, index=list(fields), dtype=object)

    def _note(self) -> str:
        """Return a line to print beneath the table, such as what was left out; or nothing."""
        return ""

    def _repr_html_(self) -> str:
        """Return the table a notebook shows, and the note beneath it."""
        table = str(self.to_frame().to_html(float_format=lambda value: f"{value:.4g}"))
        note = self._note()
        return f"{table}<p>{html.escape(note)}</p>" if note else table
