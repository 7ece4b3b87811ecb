"""Parquet files, a batch of rows at a time; they carry their types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlsd.cli._progress import Progress
from mlsd.cli._tables import Table, rows_a_chunk

__all__ = ["open_parquet"]

_INDEX = "__index_level_"  # how pandas stores row numbers or names


@dataclass(frozen=True, slots=True)
class _Parquet:
    path: Path
    header: tuple[str, ...]
    names: tuple[str, ...]
    n_rows: int

    def chunks(self) -> Iterator[Any]:
        """Yield Arrow tables."""
        arrow, parquet = _import()
        done = 0
        # A row group may hold all rows: it must not be read ahead as a whole.
        with (
            Progress(f"Reading {self.path.name}") as progress,
            parquet.ParquetFile(self.path, pre_buffer=False) as file,
        ):
            batches = file.iter_batches(rows_a_chunk(len(self.names)), columns=list(self.names))
            for batch in batches:
                yield arrow.Table.from_batches([batch])
                done += batch.num_rows
                progress.show(done / self.n_rows)


def open_parquet(path: Path, *, ignore: frozenset[str]) -> Table:
    """Return the table in a Parquet file."""
    _, parquet = _import()
    try:
        with path.open("rb") as handle, parquet.ParquetFile(handle) as file:
            names = [str(name) for name in file.schema_arrow.names]
            n_rows = file.metadata.num_rows
    except ValueError as error:
        raise ValueError(f"{path} is not a Parquet file: {error}") from None
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f"{path} has several columns of the name {double}")
    kept = tuple(n for n in names if n not in ignore and not n.startswith(_INDEX))
    if not n_rows:
        raise ValueError(f"{path} holds no row")
    return _Parquet(path, tuple(names), kept, n_rows)


def _import() -> tuple[Any, Any]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError(
            'Parquet files need pyarrow, which is not installed: pip install "mlsd[parquet]"'
        ) from None
    return arrow, parquet
