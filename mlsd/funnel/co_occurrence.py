"""Item-to-item retrieval: what the same baskets hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from mlsd._inputs import as_pandas
from mlsd._types import IntArray
from mlsd._validation import check_choice, check_positive_int
from mlsd.funnel._histories import (
    Histories,
    fitted,
    incidence,
    numbered,
    read_events,
    read_pairs,
    read_query_ids,
)
from mlsd.funnel._runs import rank_within, run_frame
from mlsd.funnel._sparse import product_sizes, row_batches, top_of_rows

__all__ = ["CoOccurrence"]

# Entries of a product held at once: with what ranks them, about 200 MB.
_BATCH = 4_000_000
# Share of the pairs that are alike from which on the similarities are stored in full.
_FULL = 0.25
_SIMILARITIES: dict[str, Callable[..., Any]] = {
    "cosine": lambda both, one, other, _: both / np.sqrt(one * other),
    "count": lambda both, *_: both,
    "jaccard": lambda both, one, other, _: both / (one + other - both),
    "lift": lambda both, one, other, n: n * both / (one * other),
}


class CoOccurrence:
    """Retrieval by what goes together with the documents of a history.

    Two documents are alike when the same baskets hold both. A basket is whatever puts documents
    together: an order, a session, all that one user bought. The score of a document is the sum of
    its similarity to the documents of the query's history.

    Parameters
    ----------
    similarity : {"cosine", "count", "jaccard", "lift"}, default "cosine"
        With `c` the baskets that hold both, `a` and `b` those that hold each, `n` all baskets:

        - "count": `c`; popular documents are like everything;
        - "cosine": `c / sqrt(a * b)`, in (0, 1];
        - "jaccard": `c / (a + b - c)`, in (0, 1];
        - "lift": `n * c / (a * b)`; 1 if the two are independent. Pairs of rare documents get the
          largest lifts, so give a `min_count`.
    n_neighbours : int, optional
        Neighbours kept for every document, those most alike. Default: all.
    min_count : int, default 1
        Pairs in fewer baskets are no neighbours.
    exclude_seen : bool, default False
        Leave the documents of the history out of the result. Otherwise one is found if it is a
        neighbour of another one of the history: people buy again.
    histories : DataFrame, optional
        query_id and doc_id, one row an event: the histories of queries that bring none; see
        :meth:`search`.

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order in which they first appear in the events.

    Notes
    -----
    Repeats count once, in a basket and in a history. A document is not its own neighbour. Ties go
    to the document that came first in the events. Documents of a history that were not in the
    events add nothing; :meth:`history_counts` says how many there are.

    A basket of `m` documents costs `m ** 2` in `fit`. Products are sparse and made in batches. Once
    a quarter of all pairs are alike, the similarities are stored in full: less than three times
    the memory, about half the time, the same scores.

    References
    ----------
    G. Linden, B. Smith and J. York, "Amazon.com Recommendations: Item-to-Item Collaborative
    Filtering", IEEE Internet Computing 7(1), 2003 (baskets of customers, the cosine).

    B. Sarwar, G. Karypis, J. Konstan and J. Riedl, "Item-Based Collaborative Filtering
    Recommendation Algorithms", WWW 2001 (the sum over the history, a limited neighbourhood).

    S. Brin, R. Motwani, J. D. Ullman and S. Tsur, "Dynamic Itemset Counting and Implication Rules
    for Market Basket Data", SIGMOD 1997 (lift, there called interest).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import CoOccurrence
    >>> events = pd.DataFrame({"basket_id": [1, 1, 2, 2, 3, 3, 3],
    ...                        "doc_id": ["tea", "mug", "tea", "mug", "tea", "jam", "pan"]})
    >>> queries = pd.DataFrame({"query_id": ["q1", "q2"], "history": [["tea"], ["jam", "new"]]})
    >>> source = CoOccurrence().fit(events)
    >>> source.search(queries, k=2).round(3)
      query_id doc_id  score  rank
    0       q1    mug  0.816     1
    1       q1    jam  0.577     2
    2       q2    pan  1.000     1
    3       q2    tea  0.577     2
    >>> source.history_counts(queries)
      query_id  n_events  n_unknown
    0       q1         1          0
    1       q2         2          1
    """

    n_docs: int
    doc_ids: pd.Index[Any]

    def __init__(
        self,
        *,
        similarity: Literal["cosine", "count", "jaccard", "lift"] = "cosine",
        n_neighbours: int | None = None,
        min_count: int = 1,
        exclude_seen: bool = False,
        histories: Any = None,
    ) -> None:
        """See the class."""
        check_choice(similarity, "similarity", list(_SIMILARITIES))
        self.similarity = similarity
        self.n_neighbours = (
            None if n_neighbours is None else check_positive_int(n_neighbours, "n_neighbours")
        )
        self.min_count = check_positive_int(min_count, "min_count")
        self.exclude_seen = bool(exclude_seen)
        self._given = (
            None if histories is None else as_pandas(histories, "histories", ["query_id", "doc_id"])
        )
        self._histories: Histories | None = None
        self._alike: Any = None

    def __repr__(self) -> str:
        """Show the parameters, and the size once fitted."""
        size = "" if self._alike is None else f" of {self.n_docs} documents"
        return (
            f"CoOccurrence(similarity={self.similarity!r}, n_neighbours={self.n_neighbours}, "
            f"min_count={self.min_count}, exclude_seen={self.exclude_seen}){size}"
        )

    def fit(self, events: Any, *, basket: str = "basket_id", doc: str = "doc_id") -> Self:
        """Compare all documents, replacing what was compared before.

        Parameters
        ----------
        events : DataFrame
            One row for a document in a basket; a table of pandas, polars or pyarrow.
        basket : str, default "basket_id"
            Column of the basket.
        doc : str, default "doc_id"
            Column of the document.

        Returns
        -------
        CoOccurrence
            Itself.

        Raises
        ------
        ValueError
            If there are no events, or baskets or documents are missing.
        """
        frame = read_events(events, "events", [basket, doc])
        rows, baskets = numbered(frame[basket], f"events[{basket!r}]")
        columns, doc_ids = numbered(frame[doc], f"events[{doc!r}]")
        holds = incidence(rows, columns, (len(baskets), len(doc_ids)))
        histories = None if self._given is None else Histories.from_frame(self._given, doc_ids)
        self._alike = self._compare(holds)
        self._histories = histories
        self.n_docs = len(doc_ids)
        self.doc_ids = doc_ids
        return self

    def search(self, queries: pd.DataFrame, k: int, *, histories: Any = None) -> pd.DataFrame:
        """Return the `k` documents that go best with the history of every query.

        Parameters
        ----------
        queries : DataFrame
            query_id, and perhaps history: a list, set or array of documents a query. An empty or
            missing one finds nothing.
        k : int
            How many at most, at least 1.
        histories : DataFrame, optional
            query_id and doc_id, one row an event, for queries without the column history; rows of
            other queries are not read. Default: those of the class.

        Returns
        -------
        DataFrame
            query_id, doc_id, score (above 0) and rank (from 1); queries in the order given. A
            query whose history has no known document has no rows.

        Raises
        ------
        TypeError
            If a history is not a list, or identifiers are integers here and strings there.
        ValueError
            If there are no histories or two of them, query_id is missing or repeated, a document
            of a history is missing, or `fit` was not called.
        """
        k = check_positive_int(k, "k")
        read = self._read(queries, histories)
        asked = np.flatnonzero(np.diff(read.seen.indptr))
        seen = read.seen[asked]
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for start, stop in row_batches(self._sizes(seen), _BATCH):
            rows, columns, values = top_of_rows(self._scores(seen[start:stop]), k)
            real = values > 0  # the others have nothing in common, or are seen
            parts.append((asked[rows[real] + start], columns[real], values[real]))
        rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        return run_frame(read.owners, rows, self.doc_ids, columns, values, rank_within(rows))

    def score_pairs(
        self, queries: pd.DataFrame, pairs: pd.DataFrame, *, histories: Any = None
    ) -> pd.Series[float]:
        """Return the score of the given (query, document) pairs: a feature for a ranker.

        Parameters
        ----------
        queries : DataFrame
            As in :meth:`search`.
        pairs : DataFrame
            query_id and doc_id; other columns are ignored.
        histories : DataFrame, optional
            As in :meth:`search`.

        Returns
        -------
        Series
            float64, named "score", with the index of `pairs`: the scores of :meth:`search`, and 0
            for what it never returns (nothing in common, or seen where that is excluded). It costs
            as much as the search of the queries that occur.

        Raises
        ------
        ValueError
            If a pair names an unknown query or document.
        """
        read = self._read(queries, histories)
        query, doc = read_pairs(pairs, read.owners, self.doc_ids)
        asked, row = np.unique(query, return_inverse=True)
        order = np.argsort(row, kind="stable")
        seen = read.seen[asked]
        score = np.zeros(len(pairs))
        for start, stop in row_batches(self._sizes(seen), _BATCH):
            scores = self._scores(seen[start:stop])
            scores.sort_indices()  # or every look-up would read its whole row
            at = order[slice(*np.searchsorted(row[order], [start, stop]))]
            found = scores[row[at] - start, doc[at]]
            score[at] = np.maximum(found.toarray() if hasattr(found, "toarray") else found, 0.0)
        return pd.Series(score, index=pairs.index, name="score", dtype=np.float64)

    def history_counts(self, queries: pd.DataFrame, *, histories: Any = None) -> pd.DataFrame:
        """Count the events in the history of every query, and those of unknown documents.

        Parameters
        ----------
        queries : DataFrame
            As in :meth:`search`.
        histories : DataFrame, optional
            As in :meth:`search`.

        Returns
        -------
        DataFrame
            query_id, n_events (repeats included) and n_unknown; queries in the order given.
        """
        read = self._read(queries, histories)
        return pd.DataFrame(
            {"query_id": read.owners, "n_events": read.n_events, "n_unknown": read.n_unknown}
        )

    def _compare(self, holds: Any) -> Any:
        """Return the similarity of documents, rows in the order of `fit`."""
        from scipy.sparse import coo_array

        n_baskets, n_docs = holds.shape
        held_by = holds.T.tocsr()
        n_holding = np.diff(held_by.indptr).astype(np.float64)
        parts = []
        for start, stop in row_batches(product_sizes(held_by, holds), _BATCH):
            both = (held_by[start:stop] @ holds).tocoo()
            row, column = both.row.astype(np.int64) + start, both.col.astype(np.int64)
            kept = (both.data >= self.min_count) & (row != column)
            row, column, count = row[kept], column[kept], both.data[kept]
            value = _SIMILARITIES[self.similarity](
                count, n_holding[row], n_holding[column], n_baskets
            )
            if self.n_neighbours is not None:
                part = coo_array((value, (row - start, column)), shape=(stop - start, n_docs))
                row, column, value = top_of_rows(part.tocsr(), self.n_neighbours)
                row += start
            parts.append((row.astype(np.int32), column.astype(np.int32), value))
        if self.exclude_seen:
            # A document of the history brings every sum that holds it to minus infinity.
            each = np.arange(n_docs, dtype=np.int32)
            parts.append((each, each, np.full(n_docs, -np.inf)))
        row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
        alike = coo_array((value, (row, column)), shape=(n_docs, n_docs))
        return alike.toarray() if alike.nnz >= _FULL * n_docs**2 else alike.tocsr()

    def _sizes(self, seen: Any) -> IntArray:
        """Return how many scores every row of `seen` gives at most."""
        if isinstance(self._alike, np.ndarray):
            return np.full(seen.shape[0], self.n_docs, dtype=np.int64)
        return product_sizes(seen, self._alike)

    def _scores(self, seen: Any) -> Any:
        """Return the scores of some histories as a csr_array.

        Either product adds the similarities one by one in the order of the documents, so a score
        does not depend on how they are stored, nor on the other queries.
        """
        from scipy.sparse import csr_array

        scores = seen @ self._alike
        if not isinstance(scores, np.ndarray):
            return scores
        n_rows, n_docs = scores.shape
        columns = np.tile(np.arange(n_docs, dtype=np.int32), n_rows)
        starts = np.arange(n_rows + 1, dtype=np.int32) * n_docs
        return csr_array((scores.ravel(), columns, starts), shape=scores.shape)

    def _read(self, queries: pd.DataFrame, histories: Any) -> Histories:
        """Return the histories of the queries."""
        fitted(self, self._alike)
        query_ids = read_query_ids(queries)
        if "history" in queries.columns:
            if histories is not None:
                raise ValueError("queries has a column history, and histories is given too")
            return Histories.from_lists(queries["history"], query_ids, self.doc_ids)
        if histories is not None:
            return Histories.from_frame(histories, self.doc_ids).of(query_ids)
        if self._histories is None:
            raise ValueError(
                "there are no histories: queries has no column history, "
                "and none are given here or to CoOccurrence(histories=...)"
            )
        return self._histories.of(query_ids)
