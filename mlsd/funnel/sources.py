"""Candidate sources that need no text and no vectors: what is popular, new, or bought together."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from mlsd._groups import Segments
from mlsd._inputs import as_weights
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_positive_int, warn_undefined
from mlsd.funnel._histories import (
    ages,
    check_half_life,
    check_zones,
    fitted,
    instants,
    numbered,
    read_events,
    read_pairs,
    read_query_ids,
)
from mlsd.funnel._runs import as_ids, check_same_kind, order_within, run_frame
from mlsd.funnel.co_occurrence import CoOccurrence

__all__ = ["CoOccurrence", "Popularity", "Recency"]

_SECOND = 1_000_000_000  # nanoseconds


class Popularity:
    """Retrieval by what most events are about, overall or within the segment of the query.

    The score of a document is the number of its events (or the sum of their weights). With a
    half-life every event is multiplied by `0.5 ** (age / half_life)`, so that what was bought a
    year ago counts less than what was bought last week.

    Parameters
    ----------
    half_life : pandas.Timedelta or str, optional
        Age at which an event counts half, such as "30D". Default: age does not matter.
    by : str, optional
        A column of events and queries, such as "country": popularity within its value. A query
        whose value is missing or had no event in `fit` gets the overall ranking; :meth:`unseen`
        says which do. Default: the overall ranking for all.

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order in which they first appear in the events.

    Notes
    -----
    Ties go to the document that came first in the events. A document with score 0 is not
    returned: one without an event in the segment, one whose events all weigh 0, or one whose
    events are all 1,075 half-lives old or older. A segment with fewer than `k` documents
    therefore gives fewer; it is not filled up with the overall ranking.

    References
    ----------
    P. Cremonesi, Y. Koren and R. Turrin, "Performance of Recommender Algorithms on Top-N
    Recommendation Tasks", RecSys 2010 (the most popular items as the baseline).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import Popularity
    >>> events = pd.DataFrame({"doc_id": ["tea", "tea", "mug", "mug", "mug"],
    ...                        "country": ["UK", "UK", "UK", "FR", "FR"]})
    >>> queries = pd.DataFrame({"query_id": ["q1", "q2"], "country": ["UK", "DE"]})
    >>> Popularity(by="country").fit(events).search(queries, k=2)
      query_id doc_id  score  rank
    0       q1    tea    2.0     1
    1       q1    mug    1.0     2
    2       q2    mug    3.0     1
    3       q2    tea    2.0     2
    """

    n_docs: int
    doc_ids: pd.Index[Any]

    def __init__(self, *, half_life: Any = None, by: str | None = None) -> None:
        """See the class."""
        self.half_life = None if half_life is None else check_half_life(half_life)
        if by is not None and not isinstance(by, str):
            raise TypeError(f"by must be the name of a column; got {by!r}")
        self.by = by
        self._lists: Segments | None = None

    def __repr__(self) -> str:
        """Show the parameters, and the size once fitted."""
        half_life = None if self.half_life is None else str(self.half_life)
        size = "" if self._lists is None else f" of {self.n_docs} documents"
        return f"Popularity(half_life={half_life!r}, by={self.by!r}){size}"

    def fit(
        self,
        events: Any,
        *,
        doc: str = "doc_id",
        weight: str | None = None,
        time: str | None = None,
        now: Any = None,
    ) -> Self:
        """Count the events of every document, replacing what was counted before.

        Parameters
        ----------
        events : DataFrame
            One row an event; a table of pandas, polars or pyarrow.
        doc : str, default "doc_id"
            Column of the document.
        weight : str, optional
            Column of what an event counts, finite and at least 0. Default: 1 each.
        time : str, optional
            Column of datetimes; needed with a half-life, and not read without one.
        now : timestamp, optional
            When the age of an event is 0. Default: the time of the newest event.

        Returns
        -------
        Popularity
            Itself.

        Raises
        ------
        TypeError
            If times are not datetimes, or only one of times and `now` has a time zone.
        ValueError
            If there are no events; documents, segments, times or weights are missing; weights are
            negative or all 0; there is a half-life and no times, or events come after `now`.
        """
        aged = time if self.half_life is not None else None
        columns = [column for column in (doc, weight, aged, self.by) if column is not None]
        frame = read_events(events, "events", columns)
        codes, doc_ids = numbered(frame[doc], f"events[{doc!r}]")
        worth = np.ones(len(frame))
        if weight is not None:
            worth = np.asarray(as_weights(frame[weight], f"events[{weight!r}]", len(frame)))
        if self.half_life is not None:
            if time is None:
                raise ValueError(f"half_life={str(self.half_life)!r} needs time, a column of times")
            worth = worth * 0.5 ** ages(frame[time], f"events[{time!r}]", now, self.half_life)
            if not worth.any():
                raise ValueError(
                    f"half_life={str(self.half_life)!r} is so short that no event counts by now"
                )
        segment = np.zeros(len(frame), dtype=np.int64)
        segments: pd.Index[Any] = pd.RangeIndex(0)
        if self.by is not None:
            segment, segments = numbered(frame[self.by], f"events[{self.by!r}]")
        # One list a segment, and the overall list as the last.
        overall = len(segments)
        pairs, score = _totals(segment * len(doc_ids) + codes, worth)
        if self.by is not None:
            total = np.bincount(codes, weights=worth)
            pairs = np.append(pairs, overall * len(doc_ids) + np.arange(len(doc_ids)))
            score = np.append(score, total)
        pairs, score = pairs[score > 0], score[score > 0]

        self.n_docs = len(doc_ids)
        self.doc_ids = doc_ids
        self._segments = segments
        self._pairs, self._scores = pairs, score  # by (list, document), to look up
        owner, column = np.divmod(pairs, self.n_docs)
        order = order_within(owner, score, column)
        self._ranked, self._ranked_scores = column[order], score[order]
        self._lists = Segments.from_lengths(np.bincount(owner, minlength=overall + 1))
        return self

    def search(self, queries: pd.DataFrame, k: int) -> pd.DataFrame:
        """Return the `k` most popular documents for every query.

        Parameters
        ----------
        queries : DataFrame
            query_id, and the column `by` if there is one.
        k : int
            How many at most, at least 1.

        Returns
        -------
        DataFrame
            query_id, doc_id, score (above 0) and rank (from 1); queries in the order given.

        Raises
        ------
        TypeError
            If segments are integers in the events and strings in the queries, or vice versa.
        ValueError
            If query_id is missing or repeated, a column lacks, or `fit` was not called.
        """
        k = check_positive_int(k, "k")
        query_ids, chosen = self._chosen(queries)
        lists: Segments = fitted(self, self._lists)
        heads = Segments(lists.starts[chosen], np.minimum(lists.lengths[chosen], k))
        rows = heads.labels()
        at = heads.rows(np.arange(len(heads)))
        return run_frame(
            query_ids,
            rows,
            self.doc_ids,
            self._ranked[at],
            self._ranked_scores[at],
            heads.positions() + 1,
        )

    def score_pairs(self, queries: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series[float]:
        """Return the score of the given (query, document) pairs: a feature for a ranker.

        Parameters
        ----------
        queries : DataFrame
            As in :meth:`search`.
        pairs : DataFrame
            query_id and doc_id; other columns are ignored.

        Returns
        -------
        Series
            float64, named "score", with the index of `pairs`: the scores of :meth:`search`, and 0
            for a document without events in the segment.

        Raises
        ------
        ValueError
            If a pair names an unknown query or document.
        """
        query_ids, chosen = self._chosen(queries)
        query, doc = read_pairs(pairs, query_ids, self.doc_ids)
        wanted = chosen[query] * self.n_docs + doc
        at = np.minimum(np.searchsorted(self._pairs, wanted), self._pairs.size - 1)
        score = np.where(self._pairs[at] == wanted, self._scores[at], 0.0)
        return pd.Series(score, index=pairs.index, name="score", dtype=np.float64)

    def unseen(self, queries: pd.DataFrame) -> pd.Series[bool]:
        """Return which queries get the overall ranking because their segment had no event.

        Parameters
        ----------
        queries : DataFrame
            As in :meth:`search`.

        Returns
        -------
        Series
            bool, named "unseen", indexed by query_id; all False without `by`.
        """
        query_ids, chosen = self._chosen(queries)
        unseen = (chosen == len(self._segments)) & (self.by is not None)
        return pd.Series(unseen, index=query_ids, name="unseen")

    def _chosen(self, queries: pd.DataFrame) -> tuple[pd.Index[Any], IntArray]:
        """Return the query ids, and which list answers each query."""
        fitted(self, self._lists)
        query_ids = read_query_ids(queries, [] if self.by is None else [self.by])
        overall = len(self._segments)
        if self.by is None:
            return query_ids, np.zeros(len(query_ids), dtype=np.int64)
        seen = pd.DataFrame({self.by: self._segments})
        check_same_kind({"events": seen, "queries": queries}, [self.by])
        found = np.asarray(self._segments.get_indexer(pd.Index(queries[self.by])), dtype=np.int64)
        return query_ids, np.where(found < 0, overall, found)


class Recency:
    """Retrieval by what is new.

    The score of a document is its time in seconds relative to the newest document: 0 for the
    newest, negative for the others.

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order of `fit`.

    Notes
    -----
    Ties go to the document that came first in `fit`. If the queries have a column `time`, a query
    is only given documents that are not newer than itself, as it would have been at its time. The
    score stays relative to the newest document of all, so it can be compared between queries.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import Recency
    >>> items = pd.DataFrame({"doc_id": ["a", "b", "c"],
    ...                       "time": pd.to_datetime(["2024-05-01", "2024-05-03", "2024-05-02"])})
    >>> queries = pd.DataFrame({"query_id": ["q"], "time": [pd.Timestamp("2024-05-02 12:00")]})
    >>> Recency().fit(items).search(queries, k=2)
      query_id doc_id     score  rank
    0        q      c  -86400.0     1
    1        q      a -172800.0     2
    """

    n_docs: int
    doc_ids: pd.Index[Any]

    def __init__(self) -> None:
        """See the class."""
        self._ranked: IntArray | None = None

    def __repr__(self) -> str:
        """Show the size once fitted."""
        return f"Recency(){'' if self._ranked is None else f' of {self.n_docs} documents'}"

    def fit(self, items: Any, *, doc: str = "doc_id", time: str = "time") -> Self:
        """Order a collection by time, replacing what was ordered before.

        Parameters
        ----------
        items : DataFrame
            One row a document; a table of pandas, polars or pyarrow.
        doc : str, default "doc_id"
            Column of unique identifiers.
        time : str, default "time"
            Column of datetimes: when the document came.

        Returns
        -------
        Recency
            Itself.

        Raises
        ------
        TypeError
            If times are not datetimes.
        ValueError
            If there are no items, identifiers are missing or repeated, or times are missing.
        """
        frame = read_events(items, "items", [doc, time])
        doc_ids = as_ids(frame[doc], f"items[{doc!r}]")
        times, self._aware = instants(frame[time], f"items[{time!r}]")
        self.n_docs = len(doc_ids)
        self.doc_ids = doc_ids
        self._scores: FloatArray = (times - times.max()) / _SECOND
        self._ranked = np.argsort(-times, kind="stable")
        self._instants = times
        return self

    def search(self, queries: pd.DataFrame, k: int) -> pd.DataFrame:
        """Return the `k` newest documents for every query.

        Parameters
        ----------
        queries : DataFrame
            query_id, and perhaps time: then nothing newer than that is returned.
        k : int
            How many at most, at least 1.

        Returns
        -------
        DataFrame
            query_id, doc_id, score (seconds, at most 0) and rank (from 1); queries in the order
            given. A query before all documents has no rows.

        Raises
        ------
        TypeError
            If times are not datetimes, or only one of items and queries has a time zone.
        ValueError
            If query_id is missing or repeated, a time is missing, or `fit` was not called.
        """
        k = check_positive_int(k, "k")
        ranked: IntArray = fitted(self, self._ranked)
        query_ids, until = self._until(queries)
        first = np.zeros(len(query_ids), dtype=np.int64)
        if until is not None:
            first = np.searchsorted(-self._instants[ranked], -until, side="left")
        heads = Segments(first, np.minimum(self.n_docs - first, k))
        found = ranked[heads.rows(np.arange(len(heads)))]
        return run_frame(
            query_ids,
            heads.labels(),
            self.doc_ids,
            found,
            self._scores[found],
            heads.positions() + 1,
        )

    def score_pairs(self, queries: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series[float]:
        """Return the score of the given (query, document) pairs: a feature for a ranker.

        Parameters
        ----------
        queries : DataFrame
            As in :meth:`search`.
        pairs : DataFrame
            query_id and doc_id; other columns are ignored.

        Returns
        -------
        Series
            float64, named "score", with the index of `pairs`: the scores of :meth:`search`, and
            nan, with a warning, for a document newer than its query.

        Raises
        ------
        ValueError
            If a pair names an unknown query or document.
        """
        fitted(self, self._ranked)
        query_ids, until = self._until(queries)
        query, doc = read_pairs(pairs, query_ids, self.doc_ids)
        score = self._scores[doc]
        if until is not None:
            newer = self._instants[doc] > until[query]
            if newer.any():
                warn_undefined(
                    f"{int(newer.sum())} of {len(pairs)} pairs hold a document newer than its "
                    "query: their score is nan"
                )
            score = np.where(newer, np.nan, score)
        return pd.Series(score, index=pairs.index, name="score", dtype=np.float64)

    def _until(self, queries: pd.DataFrame) -> tuple[pd.Index[Any], IntArray | None]:
        """Return the query ids and the times that nothing may be newer than."""
        query_ids = read_query_ids(queries)
        if "time" not in queries.columns:
            return query_ids, None
        times, aware = instants(queries["time"], "queries['time']")
        check_zones(self._aware, "the time of the items", aware, "queries['time']")
        return query_ids, times


def _totals(keys: IntArray, worth: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the distinct keys in ascending order, and the sum of what each is worth."""
    distinct, number = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(number, weights=worth).astype(np.float64, copy=False)
