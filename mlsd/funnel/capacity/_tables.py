"""Results as dictionaries, frames, text and HTML, with the standard library."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

__all__ = ["Table", "shown"]


def shown(value: object) -> str:
    """Return a value as text: four significant digits, and from a thousand on whole numbers."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Table:
    """Base of the frozen results: a dictionary of their fields, and a table of their rows."""

    __slots__ = ()

    def to_dict(self: DataclassInstance) -> dict[str, Any]:
        """Return the fields by name as plain Python values, the results inside included."""
        return dataclasses.asdict(self)

    def _rows(self) -> Sequence[Mapping[str, object]]:
        """Return the rows of the table; by default one row a field."""
        return [{"": name, "value": value} for name, value in self.to_dict().items()]  # type: ignore[misc]

    def _notes(self) -> list[str]:
        """Return the lines beneath the table."""
        return []

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas frame; the first column is the index. Needs pandas."""
        import pandas as pd

        rows = self._rows()
        frame = pd.DataFrame([dict(row) for row in rows])
        return frame.set_index(frame.columns[0])

    def __str__(self) -> str:
        """Return the table as text."""
        rows = self._rows()
        cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        return "\n".join([*lines, *self._notes()])

    def _repr_html_(self) -> str:
        """Return the table and its notes as HTML, every text escaped."""
        rows = self._rows()
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in rows[0])
        body = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(shown(value))}</td>"
                if at
                else f'<th scope="row">{html.escape(shown(value))}</th>'
                for at, value in enumerate(row.values())
            )
            + "</tr>"
            for row in rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._notes())
        return (
            f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
            f"{notes}"
        )
