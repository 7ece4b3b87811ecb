"""CSV files, a part at a time, with types that hold for the whole file.

A part that holds whole numbers only, or nothing, says little about its column: the file is gone
through once to settle the types, unless it is small, and once more to read it by them.
"""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mlsd._lazy import pandas as pd
from mlsd.cli._progress import Progress
from mlsd.cli._tables import Table, rows_a_chunk

if TYPE_CHECKING:
    from mlsd.drift import Profile

__all__ = ["open_csv"]

_SEPARATORS = ",;\t|"
_DATE = r"\d{4}-\d\d-\d\d"
_LOOKED_AT = 20  # values of a column that must look like dates before all are parsed

# What a part of a column can be. A column is what all its parts have in common.
NOTHING, BOOLEAN, INTEGER, NUMBER, TIME, TEXT = "nothing", "bool", "int", "float", "time", "text"
_DTYPES = {
    NOTHING: "float64",
    BOOLEAN: "boolean",
    INTEGER: "int64",
    NUMBER: "float64",
    TIME: "str",
    TEXT: "str",
}


@dataclass(frozen=True, slots=True)
class _Csv:
    path: Path
    header: tuple[str, ...]
    names: tuple[str, ...]
    separator: str
    types: dict[str, str]
    whole: pd.DataFrame | None
    """All rows, if they are few."""

    def chunks(self) -> Iterator[pd.DataFrame]:
        """Yield frames."""
        if self.whole is not None:
            yield self.whole
            return
        dtypes = {name: _DTYPES[kind] for name, kind in self.types.items()}
        for frame in _parts(self, dtypes, "Reading"):
            yield _timed(frame, self.types)


def open_csv(path: Path, *, like: Profile | None, ignore: frozenset[str]) -> Table:
    """Return the table in a CSV file; see ``open_table``."""
    header, separator = _header(path)
    names = tuple(name for name in header if name and name not in ignore)
    if not names:
        raise ValueError(f"{path} has no column to read")
    as_text = _text_columns(like, names)
    table = _Csv(path, header, names, separator, {}, None)
    types: dict[str, str] = {}
    n_parts, part = 0, None
    for part in _parts(table, dict.fromkeys(as_text, "str"), "Settling the types of"):
        n_parts += 1
        for name in names:
            kind = TEXT if name in as_text else _kind(part[name])
            types[name] = kind if n_parts == 1 else _common(types[name], kind)
    if part is None or not len(part):
        raise ValueError(f"{path} has a header and no row")
    types = {
        name: _kind_in_reference(like, name) if kind == NOTHING else kind
        for name, kind in types.items()
    }
    whole = None
    if n_parts == 1:
        dtypes = {name: _DTYPES[kind] for name, kind in types.items()}
        whole = _timed(part.astype(dtypes), types)
    return _Csv(path, header, names, separator, types, whole)


def _header(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the columns as the first line names them, and what separates them."""
    with _open(path) as (handle, _):
        try:
            line = handle.readline().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8: {error}") from None
    if not line.strip():
        raise ValueError(f"{path} is empty, or its first line is: it must name the columns")
    separator = max(_SEPARATORS, key=line.count)
    header = next(csv.reader([line.rstrip("\r\n")], delimiter=separator))
    double = sorted({name for name in header if name and header.count(name) > 1})
    if double:
        raise ValueError(f"{path} has several columns of the name {double}")
    unnamed = [str(place) for place, name in enumerate(header, start=1) if not name]
    if unnamed:
        warnings.warn(
            f"{path}: column {', '.join(unnamed)} has no name and is left out; it looks like row "
            "numbers",
            UserWarning,
            stacklevel=2,
        )
    return tuple(header), separator


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, IO[bytes]]]:
    """Open a file; yield its text as bytes, and the file itself, whose place tells the progress."""
    with path.open("rb") as raw:
        if not path.name.lower().endswith(".gz"):
            yield raw, raw
            return
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked, raw
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} cannot be unpacked: {error}") from None


def _parts(table: _Csv, dtypes: dict[str, str], label: str) -> Iterator[pd.DataFrame]:
    """Yield the rows of the columns that are read; a fault is told with the name of the file."""
    size = max(table.path.stat().st_size, 1)
    with (
        Progress(f"{label} {table.path.name}") as progress,
        _open(table.path) as (handle, raw),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error", pd.errors.ParserWarning)  # a line with too many fields
        try:
            reader = pd.read_csv(
                handle,
                sep=table.separator,
                # All columns, though not all are used: else a line with too many would pass.
                names=[name or f"\0{place}" for place, name in enumerate(table.header)],
                header=0,
                dtype=dtypes,
                index_col=False,
                chunksize=rows_a_chunk(len(table.header)),
                low_memory=False,
                encoding="utf-8",
                **_exact(),
            )
            for frame in reader:
                yield frame[list(table.names)]
                progress.show(raw.tell() / size)
        except UnicodeDecodeError as error:
            raise ValueError(f"{table.path} is not UTF-8: {error}") from None
        except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
            raise ValueError(f"{table.path} cannot be read as CSV: {error}") from None


def _exact() -> dict[str, Any]:
    """Return the option for reading the nearest number, as a Parquet file of the same data has it.

    From pandas 3.1 on there is no other way, and the option is deprecated.
    """
    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if version >= (3, 1) else {"float_precision": "round_trip"}


def _kind(values: pd.Series[Any]) -> str:
    """Return what a part of a column holds."""
    if values.isna().all():
        return NOTHING
    if values.dtype.kind in "iu":
        return INTEGER if values.dtype != "uint64" else NUMBER
    if values.dtype.kind == "f":
        return NUMBER
    known = values.dropna()
    if pd.api.types.infer_dtype(known) == "boolean":
        return BOOLEAN
    if known.head(_LOOKED_AT).astype(str).str.match(_DATE).all():
        try:
            pd.to_datetime(known, format="ISO8601", utc=True)
        except ValueError:
            return TEXT
        return TIME
    return TEXT


def _common(one: str, two: str) -> str:
    """Return what holds both."""
    kinds = {one, two}
    if len(kinds) == 1:
        return one
    if kinds <= {NOTHING, INTEGER, NUMBER}:
        return NUMBER  # a whole number beside a NULL is a float, as in pandas
    kinds.discard(NOTHING)
    return kinds.pop() if len(kinds) == 1 else TEXT


def _text_columns(like: Profile | None, names: tuple[str, ...]) -> set[str]:
    """Return the columns that are text in the reference: "007" must not become 7."""
    if like is None:
        return set()
    return {
        column.name
        for column in like.columns
        if column.name in names and column.family in ("string", "mixed")
    }


def _kind_in_reference(like: Profile | None, name: str) -> str:
    """Return the kind of a column of nothing but NULLs: that of the reference."""
    if like is None or name not in like.names:
        return NOTHING
    family = like[name].family
    return {"boolean": BOOLEAN, "datetime": TIME, "string": TEXT, "mixed": TEXT}.get(family, NUMBER)


def _timed(frame: pd.DataFrame, types: dict[str, str]) -> pd.DataFrame:
    """Return the frame with its times parsed."""
    times = {
        name: pd.to_datetime(frame[name], format="ISO8601", utc=True)
        for name, kind in types.items()
        if kind == TIME
    }
    return frame.assign(**times) if times else frame
