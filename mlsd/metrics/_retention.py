"""Retention: of the users who came first in a period, the share that is active later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._clusters import wilson_interval
from mlsd._inputs import as_pandas
from mlsd._lazy import pandas as pd
from mlsd._results import Result, plain
from mlsd._types import BoolArray, IntArray
from mlsd._validation import check_choice, check_fraction, check_positive_int, warn_undefined
from mlsd.metrics._events import as_instant, as_times, as_timezone, unit_codes, wall_clock

__all__ = ["Retention", "retention"]

_MAX_CELLS = 20_000_000
_SHOWN = 15  # rows and columns a notebook shows


@dataclass(frozen=True, slots=True, eq=False)
class Retention(Result):
    """Retention by cohort and age, and pooled over cohorts.

    Attributes
    ----------
    table : DataFrame of shape (n_cohorts, n_ages)
        Share of each cohort retained at each age; nan where the age is not observed yet. Index
        ``cohort``: the local date on which the period starts. Columns ``age``: whole periods since.
    retained : DataFrame of the same shape
        Number of users behind each share; nan where the age is not observed yet.
    size : Series
        Users of each cohort.
    overall : DataFrame
        One row an age: retention, lower, upper, retained, n_users and n_cohorts, over all cohorts
        old enough to be observed at that age. Each user is one 0/1 trial at an age, so Wilson's
        interval is right however many events they have; the intervals hold one age at a time.
    kind, period, timezone : str
        What was counted: "cohort" or "rolling", per day, week or month of this time zone.
    level : float
        Coverage of the intervals.
    observed_until : Timestamp
        Local end, exclusive, of the last period taken as complete; NaT if there are no events.
    n_users, n_events : int
        Users in the cohorts, and events counted for them.
    n_users_left_out, n_events_left_out : int
        Users first seen, and events, in periods not taken as complete.
    n_censored : int
        Cells of `table` that are nan because their age is not observed yet.
    """

    table: pd.DataFrame
    retained: pd.DataFrame
    size: pd.Series[int]
    overall: pd.DataFrame
    kind: str
    period: str
    timezone: str
    level: float
    observed_until: pd.Timestamp
    n_users: int
    n_events: int
    n_users_left_out: int
    n_events_left_out: int
    n_censored: int

    def to_frame(self) -> pd.DataFrame:
        """Return one row a cohort and age.

        Returns
        -------
        DataFrame
            Columns cohort, age, retention, lower and upper (Wilson's interval), retained and
            n_users; nan, or NA for the count, where the age is not observed yet.
        """
        n_cohorts, n_ages = self.table.shape
        size = np.repeat(self.size.to_numpy(), n_ages)
        share = self.table.to_numpy(dtype=np.float64).ravel()
        lower, upper = wilson_interval(share, size, _normal(self.level))
        return pd.DataFrame(
            {
                "cohort": np.repeat(self.table.index.to_numpy(), n_ages),
                "age": np.tile(self.table.columns.to_numpy(), n_cohorts),
                "retention": share,
                "lower": lower,
                "upper": upper,
                "retained": pd.array(
                    self.retained.to_numpy(dtype=np.float64).ravel(), dtype="Int64"
                ),
                "n_users": size,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values: dates as text, the tables as lists of rows."""
        cells = self.to_frame()
        cells["cohort"] = cells["cohort"].dt.strftime("%Y-%m-%d")
        return {
            "kind": self.kind,
            "period": self.period,
            "timezone": self.timezone,
            "level": self.level,
            "observed_until": self.observed_until.isoformat(),
            "n_users": self.n_users,
            "n_events": self.n_events,
            "n_users_left_out": self.n_users_left_out,
            "n_events_left_out": self.n_events_left_out,
            "n_censored": self.n_censored,
            "overall": plain(self.overall.reset_index().to_dict("records")),
            "cells": plain(cells.to_dict("records")),
        }

    def __repr__(self) -> str:
        n_cohorts, n_ages = self.table.shape
        return (
            f"Retention(kind={self.kind!r}, period={self.period!r}, timezone={self.timezone!r}, "
            f"{self.n_users:,} users, {n_cohorts:,} cohorts, {n_ages:,} ages)"
        )

    def _repr_html_(self) -> str:
        return str(
            self.table.to_html(
                max_rows=_SHOWN,
                max_cols=_SHOWN,
                na_rep="",
                float_format=lambda value: f"{value:.3f}",
            )
        )


def retention(
    events: Any,
    user: str = "user_id",
    time: str = "time",
    period: str = "D",
    *,
    kind: str = "cohort",
    timezone: Any = "UTC",
    start: str | None = None,
    observed_until: Any = None,
    max_age: int | None = None,
    level: float = 0.95,
) -> Retention:
    """Share of users active again 1, 2, ... periods after their first, by cohort and pooled.

    A user's cohort is the calendar period of their first event, and their age in a later period is
    the number of period starts between: an event five minutes past midnight is of the next day.

    Parameters
    ----------
    events : pandas, polars or pyarrow table
        One row an event that counts as activity, in any order.
    user, time : str
        Columns of the user and of the time of the event.
    period : str
        "D": calendar days; "W": weeks from Monday, as in ISO 8601; "M": calendar months.
    kind : str
        "cohort": active in exactly the period of that age (day-N retention). "rolling": active in
        it or later, as far as observed (unbounded retention). Rolling retention is a lower bound
        that still rises as users return, and the longer a cohort is observed the higher it is: do
        not compare cohorts, or read the end of a curve, by it.
    timezone : str or tzinfo
        Whose calendar. Times with a zone are converted to it; times without one are taken as what
        its clocks show, and not converted. Days of 23 and 25 hours are days.
    start : str or None
        Column of the time at which the user's cohort begins, such as the sign-up, on each row of
        the user. A missing `time` then stands for a user without an event. None: the first event;
        users from before the log begins then pass for new ones in its first periods.
    observed_until : time or None
        The data are complete before this moment; later periods, and the one it falls into, are left
        out and counted. Without a zone it is local. None: the period of the last event (or start)
        is taken as incomplete.
    max_age : int or None
        Oldest age of the table; None: as far as observed.
    level : float
        Coverage of the intervals, strictly between 0 and 1.

    Returns
    -------
    Retention
        ``table`` by cohort and age, 0 to 1, nan where the age is not observed yet; ``overall``
        pooled over the cohorts observed at each age, which differ from age to age, so that the
        curve may rise; ``to_frame()`` with intervals.

    Raises
    ------
    TypeError
        If `time` or `start` does not hold times.
    ValueError
        If a column is lacking, a user or a time is missing, an event is in a period before the
        user's `start`, a user has several starts, an option is unknown, or the table would have
        over 20 million cells.

    Warns
    -----
    UndefinedMetricWarning
        If no user came in a complete period, so that nothing is observed.

    References
    ----------
    Wilson (1927), Probable inference, JASA 22(158), for the intervals.

    Examples
    --------
    >>> log = pd.DataFrame({
    ...     "user_id": ["ann", "ann", "ann", "bob", "bob", "cid"],
    ...     "time": pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03",
    ...                             "2024-01-01", "2024-01-03", "2024-01-02"]),
    ... })
    >>> found = retention(log, "user_id", "time", "D", observed_until="2024-01-04")
    >>> found.table
    age           0    1    2
    cohort
    2024-01-01  1.0  0.5  1.0
    2024-01-02  1.0  0.0  NaN
    >>> found.overall[["retention", "retained", "n_users"]]
         retention  retained  n_users
    age
    0     1.000000         3        3
    1     0.333333         1        3
    2     1.000000         2        2
    """
    check_choice(period, "period", ("D", "W", "M"))
    check_choice(kind, "kind", ("cohort", "rolling"))
    level = check_fraction(level, "level")
    oldest = None if max_age is None else check_positive_int(max_age, "max_age")
    zone = as_timezone(timezone, "timezone")
    end = None if observed_until is None else as_instant(observed_until, "observed_until")
    frame = as_pandas(events, "events", [user, time, *([] if start is None else [start])])
    codes, n_users, _ = unit_codes(frame[user], f"events[{user!r}]")
    times = as_times(frame[time], f"events[{time!r}]", allow_missing=start is not None)
    happened = ~np.asarray(times.isna())
    active = _period_of(wall_clock(times, zone), period)
    latest = active[happened].max(initial=np.iinfo(np.int64).min)
    if start is None:
        first = _first(codes, active, n_users)
    else:
        began = as_times(frame[start], f"events[{start!r}]")
        first = _first(codes, _period_of(wall_clock(began, zone), period), n_users, start)
        _check_after_start(active[happened], first[codes[happened]], time, start)
        latest = max(latest, first.max(initial=latest))
    if end is not None:
        local = end if end.tz is None else end.tz_convert(zone).tz_localize(None)
        latest = _period_of(np.array([local.to_datetime64()]), period)[0]
    known = n_users > 0 or end is not None
    last = int(latest) - 1 if known else -1

    entered = first <= last
    counted = happened & (active <= last)
    cells = _count(codes[counted], active[counted], first, entered, last, oldest, kind)
    if not cells.size.size:
        warn_undefined(f"none of {n_users} users came in a complete period: retention is undefined")
    share = cells.retained / cells.size[:, None]
    at_risk = cells.size @ cells.observed
    pooled = cells.retained.sum(axis=0)
    lower, upper = wilson_interval(pooled / at_risk, at_risk, _normal(level))
    index = pd.DatetimeIndex(_date_of(cells.cohort, period), name="cohort")
    ages = pd.RangeIndex(share.shape[1], name="age")
    until: Any = pd.Timestamp(_date_of(np.array([last + 1]), period)[0]) if known else pd.NaT
    return Retention(
        table=pd.DataFrame(np.where(cells.observed, share, np.nan), index, ages),
        retained=pd.DataFrame(np.where(cells.observed, cells.retained, np.nan), index, ages),
        size=pd.Series(cells.size, index, name="n_users"),
        overall=pd.DataFrame(
            {
                "retention": pooled / at_risk,
                "lower": lower,
                "upper": upper,
                "retained": pooled,
                "n_users": at_risk,
                "n_cohorts": cells.observed.sum(axis=0),
            },
            index=ages,
        ),
        kind=kind,
        period=period,
        timezone=str(zone),
        level=level,
        observed_until=until,
        n_users=int(entered.sum()),
        n_events=int(counted.sum()),
        n_users_left_out=int((~entered).sum()),
        n_events_left_out=int((happened & ~counted).sum()),
        n_censored=int((~cells.observed).sum()),
    )


@dataclass(frozen=True, slots=True)
class _Cells:
    """Counts by cohort and age: (n_cohorts,), (n_cohorts,), and twice (n_cohorts, n_ages)."""

    cohort: IntArray
    size: IntArray
    retained: IntArray
    observed: BoolArray


def _count(
    codes: IntArray,
    active: IntArray,
    first: IntArray,
    entered: BoolArray,
    last: int,
    oldest: int | None,
    kind: str,
) -> _Cells:
    """Count users by cohort and age; all events are in complete periods."""
    came = first[entered]
    cohort, row_of_came, size = np.unique(came, return_inverse=True, return_counts=True)
    n_ages = last - int(cohort[0]) + 1 if cohort.size else 0
    if oldest is not None:
        n_ages = min(n_ages, oldest + 1)
    if cohort.size * n_ages > _MAX_CELLS:
        raise ValueError(
            f"{cohort.size} cohorts by {n_ages} ages make {cohort.size * n_ages:,} cells, over "
            f"{_MAX_CELLS:,}: give a max_age, a longer period, or look for a wrong date"
        )
    row = np.zeros(first.size, dtype=np.int64)
    row[entered] = row_of_came
    age = active - first[codes]
    if kind == "cohort":
        young = age < n_ages
        # A user counts once however many events they have in a period.
        seen = codes[young] * n_ages + age[young]
        seen.sort()
        seen = seen[np.diff(seen, prepend=-1) > 0]
        who, age = np.divmod(seen, max(n_ages, 1))
        retained = np.bincount(row[who] * n_ages + age, minlength=size.size * n_ages)
        retained = retained.reshape(size.size, n_ages)
    else:
        latest = np.full(first.size, -1, dtype=np.int64)
        np.maximum.at(latest, codes, np.minimum(age, n_ages - 1))
        who = np.flatnonzero(latest >= 0)
        retained = np.bincount(row[who] * n_ages + latest[who], minlength=size.size * n_ages)
        # Active at an age or later: sum from the oldest age down.
        retained = retained.reshape(size.size, n_ages)[:, ::-1].cumsum(axis=1)[:, ::-1]
    observed = cohort[:, None] + np.arange(n_ages) <= last
    return _Cells(cohort, size, retained, observed)


def _period_of(local: npt.NDArray[np.datetime64], period: str) -> IntArray:
    """Return the number of the day, week or month of local times, from that of 1970-01-01."""
    if period == "M":
        return local.astype("datetime64[M]").astype(np.int64)
    days = local.astype("datetime64[D]").astype(np.int64)
    # 1970 began on a Thursday: its first Monday-to-Sunday week began three days earlier.
    return days if period == "D" else (days + 3) // 7


def _date_of(number: IntArray, period: str) -> npt.NDArray[np.datetime64]:
    """Return the first day of the periods of these numbers."""
    if period == "M":
        return number.astype("datetime64[M]").astype("datetime64[s]")
    days = number if period == "D" else number * 7 - 3
    return days.astype("datetime64[D]").astype("datetime64[s]")


def _first(codes: IntArray, periods: IntArray, n_users: int, start: str | None = None) -> IntArray:
    """Return the earliest period of each user; of starts there may be only one."""
    first = np.full(n_users, np.iinfo(np.int64).max)
    np.minimum.at(first, codes, periods)
    if start is not None:
        other = np.unique(codes[periods != first[codes]])
        if other.size:
            raise ValueError(
                f"events[{start!r}] lies in several periods for {other.size} of {n_users} users: "
                "a user has one start"
            )
    return first


def _check_after_start(active: IntArray, first: IntArray, time: str, start: str) -> None:
    early = int((active < first).sum())
    if early:
        raise ValueError(
            f"events[{time!r}] is in a period before events[{start!r}] in {early} of "
            f"{active.size} events"
        )


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2))
