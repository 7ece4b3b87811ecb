"""What the sources share: events, queries, histories and times."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd

from mlsd._inputs import as_pandas
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_columns
from mlsd.funnel._runs import as_ids, check_same_kind, positions


@dataclass(frozen=True, slots=True)
class Histories:
    """The documents of every owner, as far as a source knows them."""

    owners: pd.Index[Any]
    seen: Any
    """csr_array (n_owners, n_docs) of ones; the columns of a row ascend, so sums have one order."""
    n_events: IntArray
    """Events of every owner, unknown documents and repeats included."""
    n_unknown: IntArray
    """Events of documents that the source does not know."""

    @classmethod
    def from_events(
        cls, owners: pd.Index[Any], owner: IntArray, docs: Any, doc_ids: pd.Index[Any], name: str
    ) -> Self:
        """Build from one row an event: the number of its owner, and its document."""
        events: pd.Series[Any] = pd.Series(docs, name="doc_id")
        missing = int(events.isna().sum())
        if missing:
            raise ValueError(f"{name} holds {missing} missing documents among {len(events)}")
        check_same_kind(
            {"events": pd.DataFrame({"doc_id": doc_ids}), name: events.to_frame()}, ["doc_id"]
        )
        doc = np.asarray(doc_ids.get_indexer(pd.Index(events)), dtype=np.int64)
        known = doc >= 0
        return cls(
            owners,
            incidence(owner[known], doc[known], (len(owners), len(doc_ids))),
            np.bincount(owner, minlength=len(owners)),
            np.bincount(owner[~known], minlength=len(owners)),
        )

    @classmethod
    def from_frame(cls, table: Any, doc_ids: pd.Index[Any]) -> Self:
        """Build from the columns query_id and doc_id, one row an event."""
        frame = as_pandas(table, "histories", ["query_id", "doc_id"])
        owner, owners = numbered(frame["query_id"], "histories['query_id']")
        return cls.from_events(owners, owner, frame["doc_id"], doc_ids, "histories")

    @classmethod
    def from_lists(
        cls, column: pd.Series[Any], owners: pd.Index[Any], doc_ids: pd.Index[Any]
    ) -> Self:
        """Build from a list of documents an owner; a missing one is empty."""
        name = "queries['history']"
        lists = list(column)
        listed = np.fromiter(map(pd.api.types.is_list_like, lists), bool, len(lists))
        odd = [row for row in np.flatnonzero(~listed).tolist() if not pd.isna(lists[row])]
        if odd:
            raise TypeError(
                f"{name} must hold lists of documents; {len(odd)} of {len(lists)} are none, "
                f"the first being {lists[odd[0]]!r} at position {odd[0]}"
            )
        filled = [one if is_list else () for one, is_list in zip(lists, listed, strict=True)]
        sizes = np.fromiter(map(len, filled), np.int64, len(filled))
        owner = np.repeat(np.arange(len(lists)), sizes)
        return cls.from_events(owners, owner, list(chain.from_iterable(filled)), doc_ids, name)

    def of(self, query_ids: pd.Index[Any]) -> Histories:
        """Return the histories of these queries; that of an unknown one is empty."""
        check_same_kind(
            {
                "histories": pd.DataFrame({"query_id": self.owners}),
                "queries": pd.DataFrame({"query_id": query_ids}),
            },
            ["query_id"],
        )
        at = np.asarray(self.owners.get_indexer(query_ids), dtype=np.int64)
        known = np.flatnonzero(at >= 0)
        rows = self.seen[at[known]]
        sizes = np.zeros(len(query_ids) + 1, dtype=rows.indptr.dtype)
        sizes[known + 1] = np.diff(rows.indptr)
        shape = (len(query_ids), self.seen.shape[1])
        counts = np.zeros((2, len(query_ids)), dtype=np.int64)
        counts[:, known] = self.n_events[at[known]], self.n_unknown[at[known]]
        return Histories(
            query_ids, type(rows)((rows.data, rows.indices, np.cumsum(sizes)), shape=shape), *counts
        )


def fitted(source: Any, made: Any) -> Any:
    """Return what `fit` made, or say that it was not called."""
    if made is None:
        raise ValueError(f"this {type(source).__name__} has no documents: call fit first")
    return made


def read_events(table: Any, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Return the columns of a table that has rows."""
    frame = as_pandas(table, name, columns)
    if not len(frame):
        raise ValueError(f"{name} is empty: there is nothing to learn from")
    return frame


def read_query_ids(queries: Any, columns: Iterable[str] = ()) -> pd.Index[Any]:
    """Return the identifiers of queries that have these columns."""
    frame = check_columns(queries, "queries", ["query_id", *columns])
    return as_ids(frame["query_id"], "queries['query_id']")


def read_pairs(
    pairs: Any, query_ids: pd.Index[Any], doc_ids: pd.Index[Any]
) -> tuple[IntArray, IntArray]:
    """Return where the queries and documents of pairs stand; none is unknown."""
    check_columns(pairs, "pairs", ["query_id", "doc_id"])
    return (
        positions(query_ids, pairs["query_id"], "pairs['query_id']"),
        positions(doc_ids, pairs["doc_id"], "pairs['doc_id']"),
    )


def numbered(values: pd.Series[Any], name: str) -> tuple[IntArray, pd.Index[Any]]:
    """Return the number of every value by first appearance, and the values; none is missing."""
    codes, unique = pd.factorize(values)
    missing = int(np.count_nonzero(codes < 0))
    if missing:
        raise ValueError(f"{name} holds {missing} missing among {len(values)}")
    return codes.astype(np.int64), as_ids(unique, name)


def incidence(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Any:
    """Return a csr_array with a one where there is at least one (row, column); columns ascend."""
    from scipy.sparse import coo_array

    matrix = coo_array((np.ones(rows.size), (rows, columns)), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


def check_half_life(value: Any) -> pd.Timedelta:
    """Return a half-life above 0; a bare number, which would be nanoseconds, is refused."""
    if not isinstance(value, (str, datetime.timedelta, np.timedelta64)):
        raise TypeError(f"half_life must be a Timedelta or a string such as '30D'; got {value!r}")
    try:
        half_life = pd.Timedelta(value)
    except ValueError as error:
        raise ValueError(f"half_life: {error}; got {value!r}") from None
    if not half_life > pd.Timedelta(0):  # NaT is not either
        raise ValueError(f"half_life must be above 0; got {value!r}")
    return half_life


def ages(values: pd.Series[Any], name: str, now: Any, half_life: pd.Timedelta) -> FloatArray:
    """Return the age of every event in half-lives, seen from `now` or from the newest event."""
    times, aware = instants(values, name)
    at = int(times.max())
    if now is not None:
        try:
            given = pd.Series([pd.Timestamp(now)])
        except (TypeError, ValueError) as error:
            raise type(error)(f"now: {error}; got {now!r}") from None
        (at,), now_aware = instants(given, "now")
        check_zones(aware, name, now_aware, "now")
        later = int((times > at).sum())
        if later:
            raise ValueError(f"{name} holds {later} of {len(times)} events after now={now!r}")
    return (at - times) / (half_life / pd.Timedelta(1, "ns"))


def instants(values: pd.Series[Any], name: str) -> tuple[IntArray, bool]:
    """Return datetimes as nanoseconds since 1970, and whether they have a time zone."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        raise TypeError(f"{name} must hold datetimes (see pandas.to_datetime); got {values.dtype}")
    missing = int(values.isna().sum())
    if missing:
        raise ValueError(f"{name} holds {missing} missing times among {len(values)}")
    times = pd.DatetimeIndex(values)
    try:
        return times.as_unit("ns").asi8, times.tz is not None
    except pd.errors.OutOfBoundsDatetime as error:
        raise ValueError(f"{name} holds times outside the years 1678 to 2261: {error}") from None


def check_zones(one: bool, name: str, other: bool, other_name: str) -> None:
    """Raise unless both have a time zone or neither has."""
    if one != other:
        has, lacks = (name, other_name) if one else (other_name, name)
        raise TypeError(f"{has} has a time zone and {lacks} has none: they cannot be compared")
