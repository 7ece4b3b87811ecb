"""MovieLens 100K: ratings of films, with who rated and what."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsd.data._fetch import read_member

__all__ = ["MovieLens", "load_movielens"]


class MovieLens(NamedTuple):
    """What `load_movielens` returns: ratings, and the two tables they refer to."""

    ratings: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


def load_movielens() -> MovieLens:
    """Load MovieLens 100K: 943 people's ratings of 1,682 films, September 1997 to April 1998.

    Returns
    -------
    MovieLens
        `ratings` (100,000 rows): `user_id`, `item_id`, `rating` (1 to 5 stars), `time` (UTC).
        `users` (943): `user_id`, `age` (years), `gender`, `occupation`, `zip_code`.
        `items` (1,682): `item_id`, `title`, `year` (of release; nullable, as two films have none
        in the file), `genres` (a tuple of one or more; ("unknown",) for two films).

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    Each user rated at least 20 films: users with few ratings were left out by those who collected
    the data, so it says nothing of newcomers. The terms forbid passing the data on.

    Examples
    --------
    >>> ratings, users, items = load_movielens()
    >>> len(ratings), len(users), len(items)
    (100000, 943, 1682)
    """
    ratings = _read("inter").rename(columns={"timestamp": "time"})
    ratings = ratings.assign(
        rating=ratings["rating"].astype(np.int64),
        time=pd.to_datetime(ratings["time"].astype(np.int64), unit="s", utc=True),
    )
    users = _read("user")
    items = _read("item")
    items = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "title": items["movie_title"],
            "year": pd.to_numeric(items["release_year"], errors="coerce").astype("Int64"),
            "genres": [tuple(genres.split()) for genres in items["class"]],
        }
    )
    return MovieLens(ratings, users, items)


def _read(table: str) -> pd.DataFrame:
    """Read one of the tables; its header says ``name:type``, and only ids and ages are numbers."""
    raw = read_member("recbole", f"recbole/dataset_example/ml-100k/ml-100k.{table}")
    frame = pd.read_csv(io.BytesIO(raw), sep="\t", dtype=str, keep_default_na=False, quoting=3)
    frame = frame.rename(columns=lambda name: name.partition(":")[0])
    numeric = frame.columns.intersection(["user_id", "item_id", "age", "rating", "timestamp"])
    return frame.assign(**{name: pd.to_numeric(frame[name]) for name in numeric})
