"""Rates of a live product from its event log, with intervals that respect who was randomised."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsd._clusters import count_by_unit
from mlsd._inputs import as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice
from mlsd.metrics._events import (
    as_counts,
    as_duration,
    as_flags,
    as_instant,
    as_times,
    session_codes,
    unit_codes,
)
from mlsd.metrics._rates import RateInterval, clustered_rate, independent_rate, rate_options

__all__ = ["click_through_rate", "conversion_rate", "session_success"]


def click_through_rate(
    events: Any,
    *,
    unit: str | None = "user_id",
    clicks: str = "click",
    impressions: str | None = None,
    level: float = 0.95,
    interval: str = "wilson",
    missing_unit: str = "raise",
) -> RateInterval:
    """Clicks per impression, with an interval that allows for users who see many.

    The rate is that of all impressions together, Σ clicks / Σ impressions: heavy users weigh more.
    The mean of the users' own rates is another quantity.

    Parameters
    ----------
    events : pandas, polars or pyarrow table
        One row an impression, or, with `impressions`, one row for several of them.
    unit : str or None
        Column of what is independent: the user, or whatever else was randomised. None takes every
        impression as independent, which is **wrong** when users see more than one: a 95 % interval
        may then cover half the time. Only use it where each unit truly has one impression.
    clicks : str
        Column of clicks: 0 or 1 in each row, or counts with `impressions`.
    impressions : str or None
        Column of the number of impressions of each row; None: each row is one.
    level : float
        Coverage, strictly between 0 and 1.
    interval : str
        Both take the standard error from the sums of each unit by the delta method, and Student's t
        with ``n_units - 1`` degrees of freedom. "wilson": Wilson's interval with the effective
        sample size, within 0 to 1 and the better with few units or clicks. "delta": the symmetric
        ``value ± t·stderr``, which may pass 0, and has no width without a click.
    missing_unit : str
        Rows without a unit: "raise", or "drop" and count them. Anonymous traffic is rarely like
        the rest.

    Returns
    -------
    RateInterval
        The rate, 0 to 1; nan without impressions. The interval is nan with fewer than two units.
        `n_units` counts units with an impression.

    Raises
    ------
    TypeError
        If a column has the wrong type.
    ValueError
        If a column is lacking, a unit is missing, a count is not whole or negative, a row has more
        clicks than impressions, or an option is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If there are no impressions, or only one unit has any.

    Notes
    -----
    In simulations with 1000 users of 20 impressions and a rate of 1 %, unequal between users,
    "wilson" covers 93 to 95 %, "delta" 92 to 94 %; with 30 such users 90 to 95 % and 64 to 86 %. A
    few users with a large part of all impressions make either too narrow.

    References
    ----------
    Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics, KDD.
    Dean and Pagano (2015), Evaluating confidence interval methods for binomial proportions in
    clustered surveys, Journal of Survey Statistics and Methodology 3(4).
    Wilson (1927), Probable inference, JASA 22(158), for `unit` None.

    Examples
    --------
    >>> log = pd.DataFrame({"user_id": [1, 1, 2, 2, 2, 3], "click": [1, 0, 0, 0, 0, 1]})
    >>> rate = click_through_rate(log)
    >>> print(f"{rate.value:.3f} [{rate.lower:.3f}, {rate.upper:.3f}], {rate.n_units} users")
    0.333 [0.019, 0.929], 3 users
    """
    level = rate_options(level, interval)
    columns = [name for name in (unit, clicks, impressions) if name is not None]
    frame = as_pandas(events, "events", columns)
    label = f"events[{clicks!r}]"
    shown: FloatArray | None = None
    clicked: FloatArray | BoolArray
    if impressions is None:
        clicked = as_flags(
            frame[clicks], label, hint="; for counts, name the column of impressions too"
        )
    else:
        clicked = as_counts(frame[clicks], label)
        shown = as_counts(frame[impressions], f"events[{impressions!r}]")
        wrong = np.flatnonzero(clicked > shown)
        if wrong.size:
            at = int(wrong[0])
            raise ValueError(
                f"{label} is above events[{impressions!r}] in {wrong.size} of {shown.size} rows, "
                f"such as {clicked[at]:g} clicks of {shown[at]:g} impressions at position {at}"
            )
    if unit is None:
        base = frame.shape[0] if shown is None else int(shown.sum())
        return independent_rate(int(clicked.sum()), base, level, what="impressions")
    codes, n_units, known = unit_codes(frame[unit], f"events[{unit!r}]", missing=missing_unit)
    if known is not None:
        clicked, shown = clicked[known], None if shown is None else shown[known]
    return clustered_rate(
        count_by_unit(codes, n_units, clicked),
        count_by_unit(codes, n_units, shown),
        level,
        interval,
        what="impressions",
        n_dropped=frame.shape[0] - codes.size,
    )


def conversion_rate(
    events: Any,
    *,
    unit: str | None = "user_id",
    converted: str = "converted",
    window: Any = None,
    exposed_at: str = "exposed_at",
    converted_at: str = "converted_at",
    as_of: Any = None,
    per: str = "unit",
    level: float = 0.95,
    interval: str = "wilson",
    missing_unit: str = "raise",
) -> RateInterval:
    """Share of exposed units, or of exposures, that convert, at all or within a window of time.

    With a window, an exposure counts only once its window is over: the others may still convert,
    and to count them as failures would pull the rate down, the more so the younger the data.

    Parameters
    ----------
    events : pandas, polars or pyarrow table
        One row an exposure (an impression, a click, an assignment to a variant).
    unit : str or None
        Column of what is independent. None: each row is a unit of its own.
    converted : str
        Column of 0 and 1. Without a `window` only.
    window : str, timedelta or None
        Time to convert, such as "7D"; elapsed time, not calendar days. A conversion counts if
        ``exposed_at <= converted_at < exposed_at + window``. None: `converted` says what converts.
    exposed_at, converted_at : str
        Columns of times, both with a time zone or both without; `converted_at` is missing where
        there is no conversion. With a `window` only.
    as_of : time or None
        The data are complete before this moment: an exposure counts if
        ``exposed_at + window <= as_of``. None: the latest time in the two columns. With a `window`
        only.
    per : str
        "unit": each unit counts once. It converts if any of its rows does; with a window, if it has
        a conversion within the window of its first exposure. "row": each exposure counts, and the
        interval allows for those of one unit resembling each other.
    level, interval, missing_unit
        As in ``click_through_rate``; with `per` = "unit" the units are independent trials and
        `interval` makes no difference: it is Wilson's, with normal quantiles.

    Returns
    -------
    RateInterval
        The share, 0 to 1; nan if nothing counts. `n_immature` is the number of units (of rows, with
        `per` = "row") left out because their window was not over.

    Raises
    ------
    TypeError
        If a column has the wrong type.
    ValueError
        If a column is lacking, a unit or an exposure time is missing, a conversion comes before its
        exposure, times with and without a zone meet, or an option is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If nothing counts, or only one unit does and `per` is "row".

    References
    ----------
    Wilson (1927), Probable inference, JASA 22(158). Deng, Knoblich and Lu (2018), Applying the
    delta method in metric analytics, KDD. Chapelle (2014), Modeling delayed feedback in display
    advertising, KDD, for what immature exposures do.

    Examples
    --------
    >>> day = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-08"])
    >>> log = pd.DataFrame({"user_id": [1, 2, 3], "exposed_at": day,
    ...                     "converted_at": [day[1], pd.NaT, pd.NaT]})
    >>> rate = conversion_rate(log, window="3D", as_of="2024-01-10")
    >>> rate.value, rate.denominator, rate.n_immature
    (0.5, 2, 1)
    """
    level = rate_options(level, interval)
    check_choice(per, "per", ("unit", "row"))
    if window is None and as_of is not None:
        raise ValueError(f"as_of needs a window; got as_of={as_of!r} and window=None")
    outcome = [converted] if window is None else [exposed_at, converted_at]
    frame = as_pandas(events, "events", [*outcome, *([] if unit is None else [unit])])
    codes: IntArray | None = None
    n_units, n_dropped = frame.shape[0], 0
    if unit is not None:
        codes, n_units, known = unit_codes(frame[unit], f"events[{unit!r}]", missing=missing_unit)
        n_dropped = frame.shape[0] - codes.size
        frame = frame if known is None else frame[known].reset_index(drop=True)
    once = codes is not None and per == "unit"
    n_immature = 0
    if window is None:
        success = as_flags(frame[converted], f"events[{converted!r}]")
        if once and codes is not None:
            success = count_by_unit(codes, n_units, success) > 0
    else:
        length = as_duration(window, "window")
        names = f"events[{exposed_at!r}]", f"events[{converted_at!r}]"
        start = as_times(frame[exposed_at], names[0])
        end = as_times(frame[converted_at], names[1], allow_missing=True)
        if end.isna().all():  # then the column has no time zone of its own to disagree with
            end = pd.Series(pd.NaT, index=start.index, dtype=start.dtype)
        if (start.dt.tz is None) != (end.dt.tz is None):
            raise ValueError(f"of {names[0]} and {names[1]} one has a time zone, the other none")
        until = _until(as_of, start, end)
        _check_order(start, end, names)
        if once and codes is not None:
            start, end = start.groupby(codes).min(), end.groupby(codes).min()
        success, mature = _within(start, end, length, until)
        n_immature = int((~mature).sum())
        success = success[mature]
        codes = codes[mature] if codes is not None and not once else codes
    if codes is None or once:
        what = "units" if once else "rows"
        return independent_rate(
            int(success.sum()),
            success.size,
            level,
            what,
            n_dropped=n_dropped,
            n_immature=n_immature,
        )
    return clustered_rate(
        count_by_unit(codes, n_units, success),
        count_by_unit(codes, n_units),
        level,
        interval,
        what="rows",
        n_dropped=n_dropped,
        n_immature=n_immature,
    )


def session_success(
    events: Any,
    *,
    unit: str | None = "user_id",
    success: str = "success",
    session: str | None = None,
    time: str = "time",
    gap: Any = "30min",
    as_of: Any = None,
    level: float = 0.95,
    interval: str = "wilson",
    missing_unit: str = "raise",
) -> RateInterval:
    """Share of sessions with at least one success, with an interval over users.

    Parameters
    ----------
    events : pandas, polars or pyarrow table
        One row an event, in any order.
    unit : str or None
        Column of the user. None, with `session` only: sessions are independent of each other, which
        is wrong when users have several (see ``click_through_rate``).
    success : str
        Column of 0 and 1: whether the event is a success (a long click, a purchase, an answer).
    session : str or None
        Column of sessions. With a `unit` they need to differ only within the unit. None: sessions
        are made by ``sessions`` from `time` and `gap`.
    time : str
        Column of times; without `session` only.
    gap : str, timedelta or numpy.timedelta64
        Longest silence within a session; without `session` only.
    as_of : time or None
        The data are complete before this moment. Sessions with an event within `gap` of it, or
        after it, may go on, and are left out and counted. None: all sessions count, and those under
        way when the log ends are cut short. Without `session` only.
    level, interval, missing_unit
        As in ``click_through_rate``.

    Returns
    -------
    RateInterval
        The share, 0 to 1; nan without sessions. `denominator` is the number of sessions,
        `n_immature` that of sessions left out because they may go on.

    Raises
    ------
    TypeError
        If a column has the wrong type.
    ValueError
        If a column is lacking, a unit, session or time is missing, or an option is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If there is no session, or only one unit.

    References
    ----------
    Catledge and Pitkow (1995), Characterizing browsing strategies in the World-Wide Web, Computer
    Networks and ISDN Systems 27(6). Deng, Knoblich and Lu (2018), Applying the delta method in
    metric analytics, KDD.

    Examples
    --------
    >>> log = pd.DataFrame({
    ...     "user_id": [1, 1, 1, 2],
    ...     "time": pd.to_datetime(["2024-01-01 10:00", "2024-01-01 10:20",
    ...                             "2024-01-01 12:00", "2024-01-01 10:00"]),
    ...     "success": [0, 1, 0, 0],
    ... })
    >>> rate = session_success(log)
    >>> rate.numerator, rate.denominator, rate.n_units
    (1, 3, 2)
    """
    level = rate_options(level, interval)
    if session is None and unit is None:
        raise ValueError("unit is None and session is None: sessions are made user by user")
    if session is not None and as_of is not None:
        raise ValueError(f"as_of needs session=None; got as_of={as_of!r} and session={session!r}")
    key = time if session is None else session
    frame = as_pandas(events, "events", [success, key, *([] if unit is None else [unit])])
    n_rows, n_units, n_immature = frame.shape[0], 1, 0
    codes = np.zeros(n_rows, dtype=np.int64)
    if unit is not None:
        codes, n_units, known = unit_codes(frame[unit], f"events[{unit!r}]", missing=missing_unit)
        frame = frame if known is None else frame[known].reset_index(drop=True)
    succeeded = as_flags(frame[success], f"events[{success!r}]")
    if session is None:
        times, limit = as_times(frame[time], f"events[{time!r}]"), as_duration(gap, "gap")
        visit, n_visits = session_codes(codes, n_units, times, limit)
    else:
        local, n_local, _ = unit_codes(frame[session], f"events[{session!r}]")
        visit, pairs = pd.factorize(codes * n_local + local)
        n_visits = len(pairs)
    won = count_by_unit(visit, n_visits, succeeded) > 0
    user = np.empty(n_visits, dtype=np.int64)
    user[visit] = codes
    if as_of is not None:
        until = _until(as_of, times)
        over = count_by_unit(visit, n_visits, np.asarray(times >= until - limit)) == 0
        won, user, n_immature = won[over], user[over], int((~over).sum())
    if unit is None:
        return independent_rate(int(won.sum()), n_visits, level, what="sessions")
    return clustered_rate(
        count_by_unit(user, n_units, won),
        count_by_unit(user, n_units),
        level,
        interval,
        what="sessions",
        n_dropped=n_rows - codes.size,
        n_immature=n_immature,
    )


def _until(as_of: Any, *columns: pd.Series[Any]) -> pd.Timestamp:
    """Return the end of the data: as told, or the latest time seen."""
    if as_of is None:
        # Only conversion_rate asks without an as_of, and it has checked that the zones agree.
        seen = [column.max() for column in columns if column.notna().any()]
        # Without rows any moment will do: nothing is mature or immature.
        return max(seen) if seen else pd.Timestamp(0, tz=columns[0].dt.tz)
    until = as_instant(as_of, "as_of")
    if (until.tz is None) != (columns[0].dt.tz is None):
        has = "has no" if until.tz is None else "has a"
        raise ValueError(f"as_of {as_of!r} {has} time zone, unlike the times in events")
    return until


def _check_order(start: pd.Series[Any], end: pd.Series[Any], names: tuple[str, str]) -> None:
    """Raise if a conversion comes before its own exposure."""
    before = np.flatnonzero(np.asarray(end < start))
    if before.size:
        at = int(before[0])
        raise ValueError(
            f"{names[1]} is before {names[0]} in {before.size} of {len(start)} cases, such as "
            f"{end.iloc[at]} before {start.iloc[at]}: a conversion follows its exposure"
        )


def _within(
    start: pd.Series[Any], end: pd.Series[Any], window: pd.Timedelta, until: pd.Timestamp
) -> tuple[BoolArray, BoolArray]:
    """Return which conversions fall within their window, and which windows are over."""
    close = start + window
    return np.asarray(end < close), np.asarray(close <= until)
