"""The log of a world: its columns, how it is put together, and what it shows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray
from mlsd._validation import check_columns

__all__ = [
    "ADS_COLUMNS",
    "ALL_COLUMNS",
    "LOG_COLUMNS",
    "LogParts",
    "as_of",
    "filled",
    "labelled",
    "utc",
]

LOG_COLUMNS = (
    "request_id",
    "user_id",
    "time",
    "doc_id",
    "position",
    "score",
    "propensity",
    "click",
    "dwell",
    "conversion_time",
    "value",
    "policy",
)
ADS_COLUMNS = ("bid", "paid")
ALL_COLUMNS = (*LOG_COLUMNS, *ADS_COLUMNS)
HIDDEN_COLUMNS = ("attractiveness", "click_probability", "good", "conversion_probability")

_KINDS = {
    "request_id": "int64",
    "user_id": "int64",
    "time": "datetime64[s]",
    "doc_id": "int64",
    "position": "int64",
    "click": "int8",
    "conversion_time": "datetime64[s]",
    "policy": "int8",
}


def labelled(codes: AnyArray, labels: Sequence[str]) -> pd.Categorical[str]:
    """Return a category of each code."""
    dtype: Any = pd.CategoricalDtype(list(labels))
    return pd.Categorical.from_codes(codes, dtype=dtype)


def utc(time: AnyArray) -> Any:
    """Return times without a zone as such of UTC."""
    series: Any = pd.Series(time)
    return series.dt.tz_localize("UTC")


class LogParts:
    """Chunks of a log, until they are put together."""

    def __init__(self, arms: list[str], *, auction: bool, reveal: bool) -> None:
        self._arms = arms
        self._own = ALL_COLUMNS if auction else LOG_COLUMNS
        self._parts: list[dict[str, AnyArray]] = []
        self._extra: dict[str, None] = dict.fromkeys(HIDDEN_COLUMNS if reveal else ())
        self.empty_requests = 0

    def add(self, part: dict[str, AnyArray]) -> None:
        """Add the columns of a chunk: those of the log, and further ones."""
        self._extra |= dict.fromkeys(name for name in part if name not in self._own)
        self._parts.append(part)

    def frame(self) -> pd.DataFrame:
        """Return the log; a further column that some chunks lack is missing there."""
        sizes = [part["request_id"].size for part in self._parts]
        names = (*self._own, *self._extra)
        log = pd.DataFrame({name: self._column(name, sizes) for name in names}, copy=False)
        log.attrs["empty_requests"] = self.empty_requests
        return log

    def _column(self, name: str, sizes: list[int]) -> Any:
        parts = [part.pop(name, None) for part in self._parts]  # each is held twice only briefly
        values = filled(parts, sizes) if parts else _nothing(name)
        if name in ("time", "conversion_time"):
            return utc(values)
        return labelled(values, self._arms) if name == "policy" else values


def filled(parts: Sequence[AnyArray | None], sizes: Sequence[int]) -> AnyArray:
    """Return parts of a column as one; rows of a part that is not there are missing.

    What is missing is NaN among numbers, which makes them float64, NaT among times, else None.
    """
    there = [part for part in parts if part is not None]
    if len(there) == len(parts) == 1:
        return there[0]
    kinds = {part.dtype.kind for part in there}
    mixed = len(kinds) > 1 and not kinds <= set("iuf")
    dtype = np.dtype(object) if mixed else np.result_type(*there)
    absent: Any = None
    if len(there) < len(parts):
        if dtype.kind in "iuf":
            dtype, absent = np.dtype(np.float64), np.nan
        elif dtype.kind in "mM":
            absent = np.array("NaT", dtype=dtype)
        else:
            dtype = np.dtype(object)
    column: AnyArray = np.concatenate(
        [
            np.full(size, absent, dtype=dtype) if part is None else part.astype(dtype, copy=False)
            for part, size in zip(parts, sizes, strict=True)
        ]
    )
    return column


def _nothing(name: str) -> AnyArray:
    """Return a column of a log without rows."""
    return np.zeros(0, dtype=_KINDS.get(name, "float64"))


def as_of(log: pd.DataFrame, time: Any) -> pd.DataFrame:
    """Return what a log showed at a time: a reader of it then could know no more.

    Parameters
    ----------
    log : DataFrame
        From :meth:`mlsd.world.World.serve`, or with its columns time, conversion_time and value.
    time : Timestamp or what makes one
        Without a time zone it is UTC.

    Returns
    -------
    DataFrame
        A new frame: rows before `time`, with their index. Conversions at it or later have not
        happened yet: their conversion_time is missing and their value 0, just as where there
        never will be one. A click and its dwell are taken as known at the time of the request.

    Raises
    ------
    TypeError
        If the log is no frame, its times have no time zone, or `time` is a number, such as that of
        a day.
    ValueError
        If it lacks a column, or `time` is missing or not to be read.

    Examples
    --------
    >>> from mlsd.world import World, as_of
    >>> world = World("shop", n_users=200, n_items=60)
    >>> log = world.serve(lambda requests, candidates: candidates["price"], 2)
    >>> seen = as_of(log, "2024-01-02")
    >>> len(seen) < len(log), bool((seen["conversion_time"].dropna() < "2024-01-02").all())
    (True, True)
    """
    check_columns(log, "log", ("time", "conversion_time", "value"))
    if isinstance(time, (int, float, np.number)):  # would be nanoseconds since 1970
        raise TypeError(
            f"time must be a point in time, such as world.now, and no number; got {time!r}"
        )
    try:
        moment = pd.Timestamp(time)
    except (TypeError, ValueError) as error:
        raise ValueError(f"time must be a point in time; got {time!r}: {error}") from None
    if pd.isna(moment):
        raise ValueError("time must be a point in time; it is missing")
    moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment
    for name in ("time", "conversion_time"):
        if not isinstance(log[name].dtype, pd.DatetimeTZDtype):
            raise TypeError(f"log[{name!r}] must be times with a zone; got {log[name].dtype}")
    seen = log[log["time"] < moment].copy()
    later = seen["conversion_time"] >= moment
    seen["conversion_time"] = seen["conversion_time"].mask(later)
    seen["value"] = seen["value"].mask(later, 0)
    return seen
