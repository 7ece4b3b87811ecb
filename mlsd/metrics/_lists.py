"""Recommendations as arrays, in order of user and place, and what is known of their items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_array, as_column, as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, FloatArray, IntArray
from mlsd._validation import check_positive_int, check_rank_follows_score, check_same_length
from mlsd.metrics._tables import column_names, shared_codes

__all__ = ["Lists", "read_lists", "read_popularity", "read_vectors", "unit_vectors", "variance"]


# Numbers of vectors held at once: 8 MB.
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Lists:
    """The first k rows of each user, in order of user and place."""

    users: AnyArray
    """Identifiers of the users, ascending."""
    user: IntArray
    """The user of each row, as a place in `users`."""
    items: AnyArray
    """Identifiers of all items that are spoken of, recommended or not, ascending."""
    item: IntArray
    """The item of each row, as a place in `items`."""
    place: IntArray
    """Place of each row in its list, from 1."""


def read_lists(
    recommendations: Any,
    k: int | None,
    user: str,
    item: str,
    ordered: bool,
    *others: tuple[pd.Series[Any], str],
) -> tuple[Lists, list[IntArray]]:
    """Return the lists up to place k, and other columns of items as places in ``Lists.items``.

    Without `k` the order matters only if it is said to.
    """
    present = column_names(recommendations)
    by = [name for name in ("rank", "score") if name in present]
    if k is not None:
        k = check_positive_int(k, "k")
        ordered = True
    columns = [user, item, *(by if ordered else ())]
    table = as_pandas(recommendations, "recommendations", columns)
    if ordered and not by:
        raise ValueError(
            f"recommendations lacks a column 'rank' or 'score', which its order needs; it has "
            f"{present}"
        )
    if not len(table):
        raise ValueError("recommendations is empty: there is nothing to evaluate")
    (codes,), users = shared_codes((table[user], f"recommendations column {user!r}"))
    (items, *found), distinct = shared_codes(
        (table[item], f"recommendations column {item!r}"), *others
    )
    pairs = np.sort(codes * len(distinct) + items)
    double = int(np.count_nonzero(pairs[1:] == pairs[:-1]))
    if double:
        raise ValueError(f"recommendations holds {double} duplicate rows of {[user, item]}")
    order = _order(codes, table, by) if ordered else np.argsort(codes, kind="stable")
    lengths = np.bincount(codes, minlength=len(users))
    starts = np.cumsum(lengths) - lengths
    codes = codes[order]
    place = np.arange(1, codes.size + 1) - starts[codes]
    if k is not None:
        keep = place <= k
        order, codes, place = order[keep], codes[keep], place[keep]
    return Lists(users, codes, distinct, items[order], place), found


def _order(codes: IntArray, table: pd.DataFrame, by: list[str]) -> IntArray:
    """Return the rows in order of user and rank, or falling score; equal scores as given."""
    columns = {name: as_floats(table[name], f"recommendations column {name!r}") for name in by}
    if len(columns) == 2:
        check_rank_follows_score(codes, columns["score"], columns["rank"], "recommendations")
    key = columns["rank"] if "rank" in columns else -columns["score"]
    order = np.argsort(codes, kind="stable")
    same = codes[order[1:]] == codes[order[:-1]]
    step = np.diff(key[order])
    if (same & (step < 0)).any():  # mostly lists come in order, and that is all
        order = np.lexsort((key, codes))
        same = codes[order[1:]] == codes[order[:-1]]
        step = np.diff(key[order])
    if "rank" in columns and (same & (step == 0)).any():
        raise ValueError("recommendations gives one rank to several items of a user")
    return order


def read_popularity(item_counts: Any, item: str) -> tuple[pd.Series[Any], FloatArray]:
    """Return items and their counts, from a mapping, a Series or a table; items may repeat."""
    if isinstance(item_counts, Mapping):
        items = pd.Series(list(item_counts))
        amounts = as_floats(list(item_counts.values()), "item_counts") if len(items) else None
    elif isinstance(item_counts, pd.Series):
        items = item_counts.index.to_series().reset_index(drop=True)
        amounts = as_floats(item_counts, "item_counts") if len(items) else None
    else:
        counted = "count" in column_names(item_counts)
        table = as_pandas(item_counts, "item_counts", [item, *(["count"] if counted else [])])
        items = table[item]
        amounts = np.ones(len(table))
        if counted and len(table):
            amounts = as_floats(table["count"], "item_counts column 'count'")
    if amounts is None:
        amounts = np.zeros(0)
    wrong = np.flatnonzero(~((amounts >= 0.0) & (amounts < np.inf)))
    if wrong.size:
        raise ValueError(
            f"item_counts must hold finite counts of at least 0; {wrong.size} of {amounts.size} "
            f"are not, such as {amounts[wrong[0]]:g}"
        )
    return items, amounts


def read_vectors(vectors: Any, items: Any) -> tuple[pd.Series[Any], AnyArray]:
    """Return the identifiers and the matrix of their vectors, one row an item."""
    if isinstance(vectors, Mapping):
        if items is not None:
            raise ValueError("items must be None when vectors is a mapping: its keys are the items")
        items = list(vectors)
        try:
            matrix = np.array([np.asarray(vector) for vector in vectors.values()])
        except ValueError as error:
            raise ValueError(f"vectors must all have one length: {error}") from None
    else:
        matrix = as_array(vectors, "vectors")
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"vectors must have shape (n_items, d), not empty; got {matrix.shape}")
    if matrix.dtype.kind not in "biuf":
        raise TypeError(f"vectors must be numeric; got {matrix.dtype}")
    identifiers = np.arange(len(matrix)) if items is None else as_column(items, "items")
    check_same_length(vectors=matrix, items=identifiers)
    return pd.Series(identifiers), matrix


def unit_vectors(points: FloatArray, items: AnyArray) -> FloatArray:
    """Return the vectors at length 1; raise if one is 0."""
    # Divided by the largest value first: the squares of tiny or huge numbers leave the range.
    largest = np.abs(points).max(axis=1)
    zero = np.flatnonzero(largest == 0.0)
    if zero.size:
        raise ValueError(
            f"vectors holds {zero.size} recommended items whose vector is 0 everywhere, such as "
            f"{items[zero[0]]!r}: it has no direction, so no cosine"
        )
    points = points / largest[:, None]
    points /= np.sqrt(np.einsum("ij,ij->i", points, points))[:, None]
    return points


def variance(points: FloatArray, place: IntArray, lengths: IntArray) -> FloatArray:
    """Return Σ|x - mean|² / (n - 1) over each stretch of rows ``points[place]``; nan where n = 1.

    About the mean, not as a difference of two sums, which would lose the digits of lists whose
    items are much alike.
    """
    ends = np.cumsum(lengths)
    total = np.empty(lengths.size)
    rows_at_once = max(1, _CHUNK // points.shape[1])
    first = 0
    while first < lengths.size:
        begin = int(ends[first] - lengths[first])
        last = max(first + 1, int(np.searchsorted(ends, begin + rows_at_once, side="right")))
        n = lengths[first:last]
        part = points[place[begin : int(ends[last - 1])]]
        starts = np.cumsum(n) - n
        mean = np.add.reduceat(part, starts, axis=0) / n[:, None]
        part -= np.repeat(mean, n, axis=0)
        total[first:last] = np.add.reduceat(np.einsum("ij,ij->i", part, part), starts)
        first = last
    result = np.full(lengths.size, np.nan)
    np.divide(total, lengths - 1, out=result, where=lengths > 1)
    return result
