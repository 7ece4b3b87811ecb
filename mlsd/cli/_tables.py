"""Tables in files: CSV and Parquet, read a part at a time, so that their length does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlsd._lazy import pandas as pd

if TYPE_CHECKING:
    from mlsd.drift import Profile

__all__ = ["Chunks", "Table", "all_rows", "is_profile", "open_table", "rows_a_chunk"]

CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET = (".parquet", ".pq")
PROFILE = (".json",)

_CELLS_A_CHUNK = 4_000_000  # 32 MB of numbers
_LEAST_ROWS = 5_000


class Table(Protocol):
    """A table in a file."""

    @property
    def path(self) -> Path: ...

    @property
    def header(self) -> tuple[str, ...]:
        """All columns, in their order."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are read."""

    def chunks(self) -> Iterator[Any]:
        """Yield the rows, some at a time, every time anew and always of the same types."""


@dataclass(frozen=True, slots=True)
class Chunks:
    """The rows of a table, some at a time; it can be gone through again."""

    table: Table

    def __iter__(self) -> Iterator[Any]:
        return self.table.chunks()


def all_rows(table: Table) -> Any:
    """Return all rows as one table."""
    parts = list(table.chunks())
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts, ignore_index=True)
    import pyarrow as arrow

    return arrow.concat_tables(parts)


def rows_a_chunk(n_columns: int) -> int:
    """Return how many rows to read at a time."""
    return max(_CELLS_A_CHUNK // max(n_columns, 1), _LEAST_ROWS)


def _ends(path: Path, endings: tuple[str, ...]) -> bool:
    return path.name.lower().endswith(endings)


def is_profile(path: str) -> bool:
    """Return whether a file is a stored profile, by its name."""
    return _ends(Path(path), PROFILE)


def open_table(path: str, *, like: Profile | None = None, ignore: frozenset[str]) -> Table:
    """Return the table in a file.

    Parameters
    ----------
    path : str
        The file; its name tells the format.
    like : Profile, optional
        The reference: a CSV has no types, so what it counted as text is read as text.
    ignore : frozenset of str
        Columns to leave out.

    Raises
    ------
    ValueError
        If the format is unknown, the file holds no row, or two columns have one name.
    """
    where = Path(path)
    if _ends(where, CSV):
        from mlsd.cli._csv import open_csv

        return open_csv(where, like=like, ignore=ignore)
    if _ends(where, PARQUET):
        from mlsd.cli._parquet import open_parquet

        return open_parquet(where, ignore=ignore)
    if is_profile(path):
        raise ValueError(f"{path} is a stored profile, and the rows of a table are needed here")
    raise ValueError(
        f"{path}: tables are read from {', '.join((*CSV, *PARQUET))}, by the ending of the name"
    )
