"""When requests come: hours, weekdays and months, and how many a user makes on a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._keyed import keyed_poisson, keyed_uniform
from mlsd._types import FloatArray, IntArray
from mlsd.world._presets import Preset

__all__ = ["Arrivals", "Calendar"]

_HOUR = 3_600
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The requests of a day in order of time: one row each.

    Attributes
    ----------
    user : array of int64
    nth : array of int64
        Which of the user's requests of the day, from 0, by number and not by time.
    second : array of int64
        Of the day.
    """

    user: IntArray
    nth: IntArray
    second: IntArray

    def __len__(self) -> int:
        """Return the number of requests."""
        return self.user.size


class Calendar:
    """Dates of a world's days, and the law of its requests over them."""

    def __init__(self, preset: Preset, seed: int) -> None:
        self._seed = seed
        self._start = np.datetime64(preset.start, "D")
        hourly = np.asarray(preset.hourly)
        weekly = np.asarray(preset.weekday)
        monthly = np.asarray(preset.monthly)
        self.hourly: FloatArray = hourly / hourly.mean()
        self._weekday: FloatArray = weekly / weekly.mean()
        self._month: FloatArray = monthly / monthly.mean()
        self._amplitude = preset.season_amplitude
        self._share = np.concatenate(([0.0], np.cumsum(hourly) / hourly.sum()))

    def date(self, day: int) -> np.datetime64:
        """Return the date of a day."""
        return self._start + np.timedelta64(day, "D")

    def midnight(self, day: int) -> npt.NDArray[np.datetime64]:
        """Return the first second of a day."""
        return np.asarray(self.date(day).astype("datetime64[s]"))

    def weekday(self, day: int) -> int:
        """Return the weekday, 0 for Monday."""
        return int((self.date(day).astype(np.int64) + 3) % 7)  # 1970-01-01 was a Thursday

    def factor(self, day: int, season: float = 1.0) -> float:
        """Return the requests of a day over those of a mean one; `season` widens the year's."""
        month = int(self.date(day).astype("datetime64[M]").astype(np.int64) % 12)
        seasonal = 1.0 + self._amplitude * season * (self._month[month] - 1.0)
        return float(self._weekday[self.weekday(day)] * max(seasonal, 0.0))

    def arrivals(self, day: int, users: IntArray, rate: FloatArray) -> Arrivals:
        """Return the requests of a day; `rate` is the mean of each of the users."""
        count = keyed_poisson(rate, self._seed, "requests", day, users)
        user = np.repeat(users, count)
        ends = np.cumsum(count)
        nth = np.arange(user.size) - np.repeat(ends - count, count)
        u = keyed_uniform(self._seed, "hour", day, user, nth)
        second = np.interp(u, self._share, np.arange(25.0) * _HOUR).astype(np.int64)
        np.minimum(second, _DAY - 1, out=second)
        order = np.argsort(second, kind="stable")  # of one second: by user, then by number
        return Arrivals(user[order], nth[order], second[order])
