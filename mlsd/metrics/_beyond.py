"""Metrics beyond accuracy: how new and how varied a user's recommendations are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._stats import t_interval
from mlsd._types import FloatArray
from mlsd._validation import check_choice, check_fraction, check_positive_int, warn_undefined
from mlsd.metrics._lists import (
    Lists,
    read_lists,
    read_popularity,
    read_vectors,
    unit_vectors,
    variance,
)

__all__ = [
    "NoveltyResult",
    "UserMean",
    "intra_list_diversity",
    "novelty",
]


@dataclass(frozen=True, slots=True, eq=False)
class UserMean(Result):
    """A mean over users, whose lists are the sample.

    Attributes
    ----------
    value, lower, upper, stderr : float
        The mean over the users with a value, its t interval, and its standard error; nan if too
        few have one.
    n : int
        Users with a value.
    undefined_users : int
        Users without one, left out.
    n_rows : int
        Rows of all lists within the cut-off.
    per_user : Series
        The value of each user, in order of the identifiers; nan where it is undefined.
    """

    value: float
    lower: float
    upper: float
    stderr: float
    n: int
    undefined_users: int
    n_rows: int
    per_user: pd.Series[float] = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyResult(UserMean):
    """A mean over users of novelty, and what had no popularity.

    Attributes
    ----------
    unseen_items, unseen_rows : int
        Recommended items with a count of 0 or none, and rows that hold them. Left out of the mean
        of a list without smoothing.
    """

    unseen_items: int
    unseen_rows: int


def novelty(
    recommendations: Any,
    item_counts: Any,
    *,
    k: int | None = None,
    n_users: int | None = None,
    smoothing: float = 0.0,
    level: float = 0.95,
    user: str = "user_id",
    item: str = "item_id",
) -> NoveltyResult:
    """Mean self-information of the recommended items, in bits: how unpopular they are.

    An item with the popularity share p has ``-log2(p)`` bits. First the mean over each list is
    taken, then that over the users.

    Parameters
    ----------
    recommendations, k, user, item
        As in ``catalog_coverage``.
    item_counts : mapping, Series or table
        How often each item was taken before: item → count, a Series indexed by the items such as
        ``interactions["item_id"].value_counts()``, or a table with the item column and ``count``.
        A table without ``count`` has one row an interaction. Counts of equal items add up.
    n_users : int or None
        The share of an item is its count over this number: the share of the users who took it, if
        each counts once an item (Zhou et al.). None: over the sum of all counts, its share of the
        interactions (Vargas and Castells). That differs by the same number of bits for all items.
    smoothing : float
        Pseudo-count of at least 0. It is added to the count of every item, those that only the
        recommendations name included, and the sum grows with it. With `n_users`: that many users
        more, who took everything. With 0, items never taken have no finite novelty: they are left
        out of their list and counted, which understates the novelty of whoever shows many.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    NoveltyResult
        Value in bits, 0 or more. A list of items never taken is undefined and left out.

    Raises
    ------
    TypeError, ValueError
        As ``catalog_coverage``, and if a count is negative or not finite, a count exceeds
        `n_users`, or an option is out of range.

    Warns
    -----
    UndefinedMetricWarning
        If items were never taken and there is no smoothing.

    References
    ----------
    Zhou, Kuscsik, Liu, Medo, Wakeling and Zhang (2010), Solving the apparent diversity-accuracy
    dilemma of recommender systems, PNAS 107(10). Vargas and Castells (2011), Rank and relevance in
    novelty and diversity metrics for recommender systems, RecSys.

    Examples
    --------
    >>> import pandas as pd
    >>> shown = pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["a", "b", "a"]})
    >>> novelty(shown, {"a": 4, "b": 1, "c": 3}).per_user.tolist()  # shares 1/2 and 1/8
    [2.0, 1.0]
    """
    level = check_fraction(level, "level")
    if isinstance(smoothing, bool) or not 0.0 <= smoothing < math.inf:
        raise ValueError(f"smoothing must be finite and at least 0; got {smoothing!r}")
    known, amounts = read_popularity(item_counts, item)
    lists, (known_item,) = read_lists(recommendations, k, user, item, False, (known, "item_counts"))
    counts = np.zeros(len(lists.items))
    counts += np.bincount(known_item, weights=amounts, minlength=counts.size)
    if n_users is None:
        total = counts.sum() + smoothing * counts.size
    else:
        n_users = check_positive_int(n_users, "n_users")
        if counts.max() > n_users:
            raise ValueError(f"item_counts holds {counts.max():g}, more than n_users {n_users}")
        total = n_users + smoothing
    unseen = counts[lists.item] == 0.0
    counts += smoothing
    has_bits = counts[lists.item] > 0.0
    rows = lists.user[has_bits]
    bits = np.log2(total / counts[lists.item[has_bits]])
    n_rows = np.bincount(rows, minlength=len(lists.users))
    values = np.full(n_rows.size, math.nan)
    np.divide(
        np.bincount(rows, weights=bits, minlength=n_rows.size), n_rows, values, where=n_rows > 0
    )
    if not has_bits.all():
        warn_undefined(
            f"{int((~has_bits).sum())} of {has_bits.size} rows recommend items that were never "
            f"taken: they are left out, and {int(np.isnan(values).sum())} of {values.size} users "
            "have no other; smoothing gives all of them a novelty"
        )
    return NoveltyResult(
        **_user_mean(values, lists, level, user, "novelty"),
        unseen_items=np.unique(lists.item[unseen]).size,
        unseen_rows=int(unseen.sum()),
    )


def intra_list_diversity(
    recommendations: Any,
    vectors: Any,
    *,
    items: npt.ArrayLike | None = None,
    k: int | None = None,
    distance: str = "cosine",
    level: float = 0.95,
    user: str = "user_id",
    item: str = "item_id",
) -> UserMean:
    """Mean distance between two items of a list, averaged over the users.

    No pair is looked at: the mean squared distance of the pairs of a list is twice the sample
    variance of its vectors, and a cosine distance is half a squared one between unit vectors.

    Parameters
    ----------
    recommendations, k, user, item
        As in ``catalog_coverage``.
    vectors : mapping, or array-like of shape (n_items, d)
        The vector of each item: item → vector, or one row an item. Every recommended item needs
        one.
    items : array-like of shape (n_items,) or None
        Identifiers of the rows of `vectors`, each once; None: the items are numbers of rows, from
        0. Not with a mapping.
    distance : str
        "cosine": 1 - cosine. "sqeuclidean": the squared Euclidean distance.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    UserMean
        Value of 0 or more; for cosine at most 2 for a list, and ``n / (n - 1)`` for one of n items.
        A list of one item is undefined and left out.

    Raises
    ------
    TypeError, ValueError
        As ``catalog_coverage``, and if a recommended item has no vector, a vector is not finite,
        one is 0 everywhere with the cosine distance, or an option is out of range.

    Warns
    -----
    UndefinedMetricWarning
        If lists have one item only.

    References
    ----------
    Ziegler, McNee, Konstan and Lausen (2005), Improving recommendation lists through topic
    diversification, WWW; one minus its intra-list similarity, as a mean over pairs.

    Examples
    --------
    >>> import pandas as pd
    >>> shown = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "b", "b", "c"]})
    >>> vectors = {"a": [1, 0], "b": [0, 2], "c": [0, 5]}
    >>> intra_list_diversity(shown, vectors).per_user.tolist()
    [1.0, 0.0]
    """
    check_choice(distance, "distance", ("cosine", "sqeuclidean"))
    level = check_fraction(level, "level")
    identifiers, matrix = read_vectors(vectors, items)
    lists, (vector_item,) = read_lists(
        recommendations, k, user, item, False, (identifiers, "items")
    )
    if np.unique(vector_item).size < vector_item.size:
        raise ValueError(
            f"items holds {vector_item.size - np.unique(vector_item).size} items more than once"
        )
    row = np.full(len(lists.items), -1, dtype=np.int64)
    row[vector_item] = np.arange(vector_item.size)
    used, place = np.unique(lists.item, return_inverse=True)
    if (row[used] < 0).any():
        without = used[row[used] < 0]
        raise ValueError(
            f"vectors lacks {without.size} of {used.size} recommended items, such as "
            f"{lists.items[without[0]]!r}"
        )
    points = matrix[row[used]].astype(np.float64)
    if not np.isfinite(points).all():
        raise ValueError("vectors holds values that are not finite")
    if distance == "cosine":
        points = unit_vectors(points, lists.items[used])
    lengths = np.bincount(lists.user, minlength=len(lists.users))
    values = variance(points, place, lengths)
    if distance == "sqeuclidean":
        values *= 2.0
    if (lengths < 2).any():
        warn_undefined(
            f"{int((lengths < 2).sum())} of {lengths.size} users have a list of one item: its "
            "diversity is undefined, and they are left out of the mean"
        )
    return UserMean(**_user_mean(values, lists, level, user, "intra_list_diversity"))


def _user_mean(
    values: FloatArray, lists: Lists, level: float, user: str, name: str
) -> dict[str, Any]:
    """Return the fields of ``UserMean``."""
    known = values[~np.isnan(values)]
    mean = t_interval(known, level=level)
    return {
        "value": mean.mean,
        "lower": mean.lower,
        "upper": mean.upper,
        "stderr": mean.stderr,
        "n": mean.n,
        "undefined_users": values.size - known.size,
        "n_rows": lists.item.size,
        "per_user": pd.Series(values, index=pd.Index(lists.users, name=user), name=name),
    }
