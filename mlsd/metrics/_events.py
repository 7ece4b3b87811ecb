"""The columns of an event log as arrays: units, flags, counts and times; and its sessions."""

from __future__ import annotations

from datetime import timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from mlsd._groups import group_rows
from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice

__all__ = [
    "as_counts",
    "as_duration",
    "as_flags",
    "as_instant",
    "as_times",
    "as_timezone",
    "session_codes",
    "sessions",
    "ticks",
    "unit_codes",
    "wall_clock",
]


def unit_codes(
    column: pd.Series[Any], name: str, *, missing: str = "raise"
) -> tuple[IntArray, int, BoolArray | None]:
    """Return the code of each unit, their number, and which rows have one (None: all).

    The codes are those of the rows that have a unit. With `missing` = "raise" all must.
    """
    check_choice(missing, "missing_unit", ("raise", "drop"))
    codes, distinct = pd.factorize(column)
    codes = codes.astype(np.int64, copy=False)
    known = codes >= 0
    if known.all():
        return codes, len(distinct), None
    if missing == "raise":
        raise ValueError(
            f"{name} is missing in {int((~known).sum())} of {codes.size} rows: "
            "without a unit they cannot be counted"
        )
    return codes[known], len(distinct), known


def as_counts(column: pd.Series[Any], name: str) -> FloatArray:
    """Return whole numbers of at least 0 as float64, whose sum is exact; else raise."""
    values = as_floats(column, name)
    wrong = np.flatnonzero(~((values >= 0) & (values == np.floor(values)) & (values < np.inf)))
    if wrong.size:
        raise ValueError(
            f"{name} must hold whole numbers of at least 0; {wrong.size} of {values.size} values "
            f"are not, such as {float(values[wrong[0]])!r} at position {wrong[0]}"
        )
    if float(values.sum()) > 2**53:
        raise ValueError(f"{name} sums to {values.sum():g}, past 2**53, where counts lose units")
    return values


def as_flags(column: pd.Series[Any], name: str, *, hint: str = "") -> BoolArray:
    """Return a column of 0 and 1, or of booleans, as booleans; else raise."""
    if column.dtype == np.bool_:
        return np.asarray(column)
    values = as_floats(column, name)
    flags: BoolArray = values == 1
    wrong = np.flatnonzero(~(flags | (values == 0)))
    if wrong.size:
        raise ValueError(
            f"{name} must be 0 or 1 in each row; {wrong.size} of {values.size} values are not, "
            f"such as {float(values[wrong[0]])!r} at position {wrong[0]}{hint}"
        )
    return flags


def as_times(column: pd.Series[Any], name: str, *, allow_missing: bool = False) -> pd.Series[Any]:
    """Return a column of times as datetime64, with its time zone if it has one; else raise."""
    if isinstance(column.dtype, pd.ArrowDtype):
        column = column.array.__arrow_array__().to_pandas()
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in (
        "datetime",
        "datetime64",
        "date",
    ):
        try:
            column = pd.to_datetime(column)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} mixes times of several kinds: {error}") from None
    elif len(column) and allow_missing and column.isna().all():
        column = pd.Series(np.full(len(column), np.datetime64("NaT", "s")))
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise TypeError(f"{name} must hold times; got {column.dtype}: use pandas.to_datetime")
    column = column.reset_index(drop=True)
    missing = 0 if allow_missing else int(column.isna().sum())
    if missing:
        raise ValueError(f"{name} is missing in {missing} of {len(column)} rows")
    return column


def as_instant(value: Any, name: str) -> pd.Timestamp:
    """Return one time, or raise naming the argument."""
    if isinstance(value, bool | int | float | np.number):
        raise TypeError(f"{name} must be a time; got {value!r} ({type(value).__name__})")
    try:
        instant = pd.Timestamp(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a time; got {value!r}: {error}") from None
    if pd.isna(instant):
        raise ValueError(f"{name} must be a time; got {value!r}")
    return instant


def as_duration(value: Any, name: str) -> pd.Timedelta:
    """Return a length of time above 0, from "30min", a timedelta or the like; else raise."""
    if not isinstance(value, str | timedelta | np.timedelta64):
        raise TypeError(
            f"{name} must be a length of time such as '30min'; got {value!r} "
            f"({type(value).__name__})"
        )
    try:
        duration = pd.Timedelta(value)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a length of time such as '30min'; got {value!r}: {error}"
        ) from None
    if not duration > pd.Timedelta(0):
        raise ValueError(f"{name} must be longer than 0; got {value!r}")
    return duration


def as_timezone(value: Any, name: str) -> tzinfo:
    """Return a time zone from its IANA name or a tzinfo; else raise."""
    if isinstance(value, tzinfo):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{name} must be the name of a time zone; got {value!r}")
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"{name} must be the name of a time zone, such as 'Europe/Paris'; got {value!r}"
        ) from None


def wall_clock(times: pd.Series[Any], zone: tzinfo) -> npt.NDArray[np.datetime64]:
    """Return what the clocks of `zone` showed; times without a zone are taken as that already."""
    if times.dt.tz is not None:
        times = times.dt.tz_convert(zone).dt.tz_localize(None)
    return np.asarray(times)


def ticks(times: pd.Series[Any]) -> tuple[IntArray, pd.Timedelta]:
    """Return the times as integers in their own resolution, without rounding, and one tick."""
    naive = times if times.dt.tz is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
    values = np.asarray(naive)
    unit: Any = np.datetime_data(values.dtype)[0]
    return values.view(np.int64), pd.Timedelta(1, unit=unit)


def session_codes(
    codes: IntArray, n_units: int, times: pd.Series[Any], gap: pd.Timedelta
) -> tuple[IntArray, int]:
    """Return the session of each row, and how many there are."""
    time, tick = ticks(times)
    # By unit, and by time within a unit: two cheap sorts of integers in place of one lexsort.
    by_time = None
    if (time[1:] < time[:-1]).any():
        by_time = np.argsort(time, kind="stable")
        codes, time = codes[by_time], time[by_time]
    order, segments = group_rows(codes, n_units)
    time = time[order]
    new = np.zeros(time.size, dtype=np.bool_)
    # Within a unit times ascend: as unsigned numbers even 500 years of nanoseconds do not wrap.
    new[1:] = np.diff(time.view(np.uint64)) > np.uint64(gap // tick)
    new[segments.starts[segments.lengths > 0]] = True
    found = np.cumsum(new) - 1
    session = np.empty(time.size, dtype=np.int64)
    session[order if by_time is None else by_time[order]] = found
    return session, int(new.sum())


def sessions(
    events: Any, user: str = "user_id", time: str = "time", gap: Any = "30min"
) -> IntArray:
    """Session of each event: a user's events with no silence longer than a gap between them.

    Parameters
    ----------
    events : pandas, polars or pyarrow table
        One row an event, in any order.
    user, time : str
        Columns of the user and of the time of the event. Times with a time zone are instants;
        times without one are taken as they are, so that an hour repeated when the clocks go back
        is one hour, not two.
    gap : str, timedelta or numpy.timedelta64
        Longest silence within a session: an event exactly `gap` after the one before still belongs
        to it, a later one starts a new session. Midnight does not end a session.

    Returns
    -------
    ndarray of shape (n_events,)
        Sessions 0, 1, ... in the order of the rows of `events`; int64. They are numbered user by
        user, and by time within a user.

    Raises
    ------
    TypeError
        If `time` does not hold times or `gap` is no length of time.
    ValueError
        If a user or a time is missing, a column is lacking, or `gap` is not above 0.

    References
    ----------
    Catledge and Pitkow (1995), Characterizing browsing strategies in the World-Wide Web, Computer
    Networks and ISDN Systems 27(6), for sessions by time-out.

    Examples
    --------
    >>> log = pd.DataFrame({
    ...     "user_id": ["ann", "bob", "ann", "ann"],
    ...     "time": pd.to_datetime(["2024-01-01 10:00", "2024-01-01 10:05",
    ...                             "2024-01-01 10:30", "2024-01-01 11:01"]),
    ... })
    >>> sessions(log).tolist()
    [0, 2, 0, 1]
    """
    limit = as_duration(gap, "gap")
    frame = as_pandas(events, "events", [user, time])
    codes, n_units, _ = unit_codes(frame[user], f"events[{user!r}]")
    times = as_times(frame[time], f"events[{time!r}]")
    return session_codes(codes, n_units, times, limit)[0]
