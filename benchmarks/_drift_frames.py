"""The frames of the benchmarks of drift, and the faults that are put into them.

Thirty-five numeric columns, ``n00`` to ``n34``, and fifteen of strings, ``c00`` to ``c14``, are
drawn independently of each other, but for one pair: ``n22`` and ``n23`` correlate at .7.

- ``n00`` to ``n23`` are normal, each with a centre and a scale of its own; ``n24`` to ``n28`` are
  lognormal (sigma 1), ``n29`` to ``n32`` have Student's t with three degrees of freedom, ``n33``
  and ``n34`` are Poisson counts with mean 3.
- A column of strings has 5 to 20 levels whose shares fall like rank to the power of -.7.
- 1 % of ``n19``, ``n20``, ``n24``, ``c03`` and ``c04`` is NULL, at random.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

__all__ = ["FAULTS", "PAIR", "SWAPPED", "draw", "inject", "target", "widened"]

N_NUMERIC, N_STRING = 35, 15
NUMERIC = [f"n{i:02}" for i in range(N_NUMERIC)]
STRING = [f"c{i:02}" for i in range(N_STRING)]
CENTRE = np.linspace(-50, 50, 24)
SCALE = np.geomspace(0.1, 100, 24)
PAIR, CORRELATION = ("n22", "n23"), 0.7
N_LEVELS = [8, 10, *np.linspace(5, 20, N_STRING - 2).astype(int)]
HAS_NULL = ["n19", "n20", "n24", "c03", "c04"]
NULL_RATE = 0.01
SWAPPED = 1, 2  # the second and the third level of c00


def shares(column: int) -> np.ndarray:
    """Return the shares of the levels of a column of strings."""
    falling = np.arange(1, N_LEVELS[column] + 1) ** -0.7
    return falling / falling.sum()


def level(column: int, rank: int) -> str:
    return f"{STRING[column]}-level-{rank:02}"


def draw(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return n rows without drift."""
    z = rng.standard_normal((24, n))
    z[23] = CORRELATION * z[22] + np.sqrt(1 - CORRELATION**2) * z[23]
    columns: dict[str, np.ndarray | pd.Series] = dict(
        zip(NUMERIC, CENTRE[:, None] + SCALE[:, None] * z, strict=False)
    )
    for name in NUMERIC[24:29]:
        columns[name] = rng.lognormal(0, 1, n)
    for name in NUMERIC[29:33]:
        columns[name] = rng.standard_t(3, n)
    for name in NUMERIC[33:]:
        columns[name] = rng.poisson(3, n)
    codes = {}
    for i, name in enumerate(STRING):
        codes[name] = np.searchsorted(shares(i).cumsum()[:-1], rng.random(n), side="right")
    for name in HAS_NULL:
        missing = rng.random(n) < NULL_RATE
        if name in codes:
            codes[name][missing] = -1
        else:
            columns[name] = np.where(missing, np.nan, columns[name])
    for i, name in enumerate(STRING):
        columns[name] = strings(codes[name], [level(i, k) for k in range(N_LEVELS[i])])
    return pd.DataFrame(columns)


def strings(codes: np.ndarray, levels: list[str]) -> pd.Series:
    """Return a plain column of strings; a negative code is NULL."""
    import pyarrow as pa

    column = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), levels)
    return pd.Series(column.dictionary_decode().to_pandas(), dtype="str")


def target(n: int, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return n labels, 0 or 1."""
    return (rng.random(n) < rate).astype(np.int64)


def widened(n: int, n_numeric: int, n_string: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return n rows of other numbers of columns: normal ones, and strings of ten levels."""
    numeric = rng.standard_normal((n_numeric, n))
    columns: dict[str, np.ndarray | pd.Series] = {f"n{i:04}": x for i, x in enumerate(numeric)}
    levels = [f"level-{k:02}" for k in range(10)]
    for i in range(n_string):
        columns[f"c{i:04}"] = strings(rng.integers(0, 10, n), levels)
    return pd.DataFrame(columns)


def shift(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return live.assign(n00=live["n00"] + 0.1 * SCALE[0])


def spread(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return live.assign(n01=CENTRE[1] + 1.1 * (live["n01"] - CENTRE[1]))


def outliers(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Replace 1 % of the values, on average, by values 8 to 12 deviations above the mean."""
    far = CENTRE[2] + SCALE[2] * rng.uniform(8, 12, len(live))
    return live.assign(n02=live["n02"].where(rng.random(len(live)) >= 0.01, far))


def nulls(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Raise the share of NULL from 1 to 3 %."""
    more = rng.random(len(live)) < (0.03 - NULL_RATE) / (1 - NULL_RATE)
    return live.assign(n20=live["n20"].mask(more))


def swap(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    a, b = (level(0, rank) for rank in SWAPPED)
    return live.assign(c00=live["c00"].replace({a: b, b: a}))


def new_level(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return live.assign(c01=live["c01"].mask(rng.random(len(live)) < 0.005, level(1, 99)))


def flip(live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Mirror one of the pair at its centre: its distribution stays, the correlation is -.7."""
    return live.assign(n23=2 * CENTRE[23] - live["n23"])


# What is done, and the column or pair that has to be named for the alarm to count.
Fault = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
FAULTS: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "mean + .1 sd": (shift, ("n00",)),
    "sd x 1.1": (spread, ("n01",)),
    "1 % outliers": (outliers, ("n02",)),
    "NULL 1 to 3 %": (nulls, ("n20",)),
    "category swap": (swap, ("c00",)),
    "new category .5 %": (new_level, ("c01",)),
    "correlation flip": (flip, PAIR),
}


def inject(fault: str, live: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the live rows with a fault."""
    return FAULTS[fault][0](live, rng)
