"""TREC files of judgements and runs: read with errors that name the line, and written again."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd.metrics._ids import as_ids
from mlsd.metrics._qrels import Qrels
from mlsd.metrics._tables import column_names

__all__ = ["open_text", "read_qrels", "read_run", "write_qrels", "write_run"]

Source = str | os.PathLike[str] | TextIO

_QRELS = {"query_id": "str", "iteration": "str", "doc_id": "str", "relevance": "float64"}
_RUN = {
    "query_id": "str",
    "q0": "str",
    "doc_id": "str",
    "rank": "int64",
    "score": "float64",
    "tag": "str",
}
# Not all that Python's float takes: an underscore is no part of a number in a file.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)


def read_qrels(path: Source) -> Qrels:
    """Read relevance judgements from a TREC file: ``query iteration document relevance`` a line.

    Parameters
    ----------
    path : str, path or text file object
        The file, in UTF-8; one whose name ends in ``.gz`` is unpacked. Columns are separated by
        spaces or tabs, the iteration is ignored, and empty lines are skipped.

    Returns
    -------
    Qrels
        Identifiers are strings, as in ``read_run``.

    Raises
    ------
    ValueError
        If the file has no line, or a line has not four columns, a relevance that is not a finite
        number, or a pair that an earlier line judges. The message names the file and the line.

    Examples
    --------
    >>> import io
    >>> read_qrels(io.StringIO("q1 0 a 2\\nq1 0 b 0\\nq2 0 a 1\\n"))
    Qrels(3 judgements, 2 queries, relevance 0: 1, 1: 1, 2: 1)
    """
    return Qrels(_read(path, _QRELS, finite=True)[["query_id", "doc_id", "relevance"]])


def read_run(path: Source) -> pd.DataFrame:
    """Read a run from a TREC file: ``query Q0 document rank score tag`` a line.

    Parameters
    ----------
    path : str, path or text file object
        As in ``read_qrels``. The second column is ignored.

    Returns
    -------
    DataFrame
        query_id, doc_id and tag as strings, score as float64, rank as int64; rows as in the file.
        The evaluation ranks by score; ``ties="rank"`` settles equal scores by rank.

    Raises
    ------
    ValueError
        If the file has no line, or a line has not six columns, a score that is not a number or is
        NaN, a rank that is not a whole number, or a pair that an earlier line has. The message
        names the file and the line.

    Examples
    --------
    >>> import io
    >>> read_run(io.StringIO("q1 Q0 a 1 0.5 bm25\\nq1 Q0 b 2 0.25 bm25\\n"))
      query_id doc_id  score  rank   tag
    0       q1      a   0.50     1  bm25
    1       q1      b   0.25     2  bm25
    """
    frame = _read(path, _RUN, finite=False)
    return frame[["query_id", "doc_id", "score", "rank", "tag"]]


def write_qrels(qrels: Qrels | Any, path: Source) -> None:
    """Write judgements as a TREC file that ``read_qrels`` and trec_eval read.

    Parameters
    ----------
    qrels : Qrels or DataFrame
        The judgements; a table with the columns query_id, doc_id and relevance.
    path : str, path or text file object
        Where to; a name that ends in ``.gz`` is packed.

    Raises
    ------
    TypeError, ValueError
        As ``Qrels``, and if an identifier is empty or holds white space.
    """
    frame = (qrels if isinstance(qrels, Qrels) else Qrels(qrels)).to_frame()
    if (frame["relevance"] % 1 == 0).all():  # trec_eval reads whole numbers only
        frame["relevance"] = frame["relevance"].astype(np.int64)
    _write(frame.assign(iteration="0")[list(_QRELS)], path)


def write_run(run: Any, path: Source, *, tag: str = "mlsd") -> None:
    """Write a run as a TREC file that ``read_run`` and trec_eval read.

    Parameters
    ----------
    run : DataFrame
        query_id, doc_id and score, a table of pandas, polars or pyarrow. Columns ``rank`` and
        ``tag`` are used if they are there; else ranks are counted from 1 by falling score, equal
        scores in the order of the rows.
    path : str, path or text file object
        Where to; a name that ends in ``.gz`` is packed.
    tag : str
        Name of the run, if it has no such column.

    Raises
    ------
    TypeError, ValueError
        If `run` is no such table, a score is NaN, a rank is no whole number, or an identifier or
        the tag is empty or holds white space.
    """
    optional = [name for name in ("rank", "tag") if name in column_names(run)]
    frame = as_pandas(run, "run", ["query_id", "doc_id", "score", *optional]).copy()
    frame["score"] = as_floats(frame["score"], "run column 'score'")
    for name in ("query_id", "doc_id"):
        frame[name] = as_ids(frame[name], f"run column {name!r}").decode()
    if "rank" in frame:
        ranks = as_floats(frame["rank"], "run column 'rank'")
        if not (ranks % 1 == 0).all():
            raise ValueError("run column 'rank' holds numbers that are not whole")
        frame["rank"] = ranks.astype(np.int64)
    else:
        falling = frame.sort_values("score", ascending=False, kind="stable")
        frame["rank"] = falling.groupby("query_id", sort=False).cumcount() + 1
    if "tag" not in frame:
        frame["tag"] = tag
    _write(frame.assign(q0="Q0")[list(_RUN)], path)


def _write(frame: pd.DataFrame, path: Source) -> None:
    for name in frame:
        if name in ("relevance", "rank", "score"):
            continue
        text = frame[name].astype(str)
        bad = text.str.contains(r"\s", regex=True) | (text == "")
        if bad.any():
            raise ValueError(
                f"column {name!r} holds {text[bad].iloc[0]!r}: TREC files are separated by white "
                "space, and a field cannot be empty or hold any"
            )
    frame.to_csv(
        path,
        sep=" ",
        header=False,
        index=False,
        quoting=csv.QUOTE_NONE,
        encoding="utf-8",
        lineterminator="\n",
    )


def open_text(path: Source) -> tuple[str, TextIO]:
    """Return the name of a source for messages, and its text; the caller closes it."""
    if isinstance(path, str | os.PathLike):
        where = Path(path)
        if where.suffix == ".gz":
            return str(where), gzip.open(where, "rt", encoding="utf-8-sig")
        return str(where), where.open(encoding="utf-8-sig")
    if not hasattr(path, "read"):
        raise TypeError(f"path must be a path or a text file object; got {type(path).__name__}")
    text = path.read()
    if not isinstance(text, str):
        raise TypeError(f"path must be open as text; reading it gave {type(text).__name__}")
    return str(getattr(path, "name", "the text")), io.StringIO(text.removeprefix("\ufeff"))


def _read(path: Source, columns: dict[str, str], *, finite: bool) -> pd.DataFrame:
    name, handle = open_text(path)
    with handle:
        try:
            frame = _parse(handle, columns)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not UTF-8: {error}") from None
        except ValueError:  # so are the errors of pandas' parser
            frame = None
        if frame is not None and _is_sound(frame, columns, finite):
            return frame
        # Something is wrong somewhere: go line by line, and say where.
        handle.seek(0)
        for line in _problems(handle, columns, finite):
            raise ValueError(f"{name}, {line}")
    raise ValueError(f"{name} cannot be read as lines of {', '.join(columns)}")


def _parse(handle: TextIO, columns: dict[str, str]) -> pd.DataFrame:
    # One column more than there should be catches the lines that have it.
    frame = pd.read_csv(
        handle,
        sep=r"\s+",
        header=None,
        names=[*columns, "more"],
        index_col=False,
        dtype={name: "int64" if kind == "int64" else "str" for name, kind in columns.items()}
        | {"more": "str"},
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        engine="c",
    )
    for name, kind in columns.items():
        if kind == "float64":
            text = frame[name].to_numpy(dtype=object)
            if any("_" in number for number in text):  # Python's float takes that, a file does not
                raise ValueError
            # By way of Python's float: not all versions of pandas read the nearest number.
            frame[name] = text.astype(np.float64)
    return frame


def _is_sound(frame: pd.DataFrame, columns: dict[str, str], finite: bool) -> bool:
    if frame.empty or (frame["more"].fillna("") != "").any():
        return False
    for name, kind in columns.items():
        values = frame[name]
        if kind == "float64" and not (np.isfinite(values) if finite else values.notna()).all():
            return False
        if kind == "str" and (values.isna() | (values == "")).any():
            return False
    return not frame.duplicated(["query_id", "doc_id"]).any()


def _problems(handle: TextIO, columns: dict[str, str], finite: bool) -> Iterator[str]:
    """Yield what is wrong with the lines, the first first."""
    names = list(columns)
    first: dict[tuple[str, str], int] = {}
    for number, line in enumerate(handle, start=1):
        fields = re.split(r"[ \t]+", line.strip(" \t\r\n"))
        if fields == [""]:
            continue
        shown = line.rstrip("\r\n")
        if len(fields) != len(columns):
            yield (
                f"line {number}: has {len(fields)} columns, not the {len(columns)} of "
                f"{' '.join(names)}: {shown!r}"
            )
            continue
        row = dict(zip(names, fields, strict=True))
        for name, kind in columns.items():
            value = row[name]
            if kind == "int64" and not re.fullmatch(r"[+-]?\d{1,18}", value):
                yield f"line {number}: {name} {value!r} is not a whole number: {shown!r}"
            elif kind == "float64" and not _NUMBER.fullmatch(value):
                yield f"line {number}: {name} {value!r} is not a number: {shown!r}"
            elif kind == "float64" and finite and not np.isfinite(float(value)):
                yield f"line {number}: {name} {value!r} is not finite: {shown!r}"
        pair = row["query_id"], row["doc_id"]
        if pair in first:
            yield (
                f"line {number}: query {pair[0]!r} and document {pair[1]!r} are on line "
                f"{first[pair]} already: {shown!r}"
            )
        first.setdefault(pair, number)
    if not first:
        yield "line 1: the file has no line"
