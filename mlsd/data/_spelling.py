"""Words and misspellings, from two sources that do not know of each other."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import pandas as pd

from mlsd.data._fetch import read_member

__all__ = ["Spelling", "load_spelling"]


class Spelling(NamedTuple):
    """What `load_spelling` returns: a language model of words, and errors to test it on."""

    frequencies: pd.DataFrame
    misspellings: pd.DataFrame


def load_spelling() -> Spelling:
    """Load English word frequencies and a list of common misspellings.

    Correct with the first table and test on the second: they have different authors.

    Returns
    -------
    Spelling
        `frequencies` has the columns `word` and `count` (82,834 words, most of them in descending
        order of their occurrences in a corpus of books; a few, such as "covid", were added with a
        round number). `misspellings` has `misspelling` and `corrections` (64,980 rows; the latter
        is a tuple of one or more words or phrases, in the order of the file).

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    A misspelling may itself be a word of `frequencies`, and a correction may be missing from it or
    consist of two words: what a corrector cannot reach is for the caller to count.

    Examples
    --------
    >>> frequencies, misspellings = load_spelling()
    >>> frequencies["word"].head(3).tolist()
    ['the', 'of', 'and']
    >>> misspellings.set_index("misspelling")["corrections"]["wrod"]
    ('word',)
    """
    raw = read_member("symspellpy", "symspellpy/frequency_dictionary_en_82_765.txt")
    # keep_default_na: "nan" and "null" are words here.
    frequencies = pd.read_csv(
        io.BytesIO(raw),
        sep=" ",
        names=["word", "count"],
        dtype={"word": str, "count": np.int64},
        keep_default_na=False,
        encoding="utf-8-sig",
    )
    lines = read_member("codespell", "codespell_lib/data/dictionary.txt").decode("utf-8")
    pairs = [line.partition("->") for line in lines.splitlines() if line]
    misspellings = pd.DataFrame(
        {
            "misspelling": [wrong for wrong, _, _ in pairs],
            "corrections": [_split(right) for _, _, right in pairs],
        }
    )
    return Spelling(frequencies, misspellings)


def _split(corrections: str) -> tuple[str, ...]:
    """Split ``"cache, ache,"``; the file ends a list of several with a comma."""
    return tuple(word for part in corrections.split(",") if (word := part.strip()))
