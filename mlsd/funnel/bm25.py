"""BM25 as one sparse product: every posting holds the score it adds."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Set
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_choice, check_columns, check_positive_int
from mlsd.funnel._runs import (
    RUN_COLUMNS,
    as_ids,
    positions,
    rank_within,
    read_queries,
    run_frame,
)
from mlsd.funnel._sparse import entries, row_batches, top_of_rows
from mlsd.funnel._text import tokenize
from mlsd.funnel.topk import top_k

__all__ = ["BM25"]

Analyzer = Callable[[str], list[str]]

# Postings scored at once (12 bytes each), or numbers of a table (8 bytes): a batch of queries needs
# up to 50 MB.
_BATCH = 4_000_000


class BM25:
    """Lexical retrieval: an inverted index whose postings hold ready-made BM25 scores.

    The score of document `d` for query `q` is::

        sum over t in q of  weight(t, q) * idf(t) * tf / (tf + k1 * (1 - b + b * |d| / avgdl))

    where `tf` is how often `t` occurs in `d`, `|d|` the number of terms of `d`, `avgdl` its
    mean over the collection, and `weight(t, q)` how often `t` occurs in the query (or the
    weight it was given). Everything but the query's weight is computed once, in `fit`, and a
    batch of queries is one sparse product.

    Parameters
    ----------
    k1 : float, default 1.2
        How slowly repetitions of a term saturate, at least 0; at 0 only presence counts.
    b : float, default 0.75
        How far long documents are held back, in [0, 1].
    variant : {"lucene", "robertson", "atire"}, default "lucene"
        With N documents, `df` of them holding the term:

        - "lucene": `idf = ln(1 + (N - df + 0.5) / (df + 0.5))`, always positive;
        - "robertson": `idf = max(0, ln((N - df + 0.5) / (df + 0.5)))`; a term held by half of
          the documents or more adds nothing;
        - "atire": `idf = ln(N / df)`, and the score is multiplied by `k1 + 1`.
    analyzer : callable, optional
        From a text to its list of terms; used for documents and queries alike. Default:
        :func:`mlsd.funnel.tokenize` (lower-case words without accents, no stemming).

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order of `fit`.
    vocabulary : dict of str to int
        Row of every term in the index; terms are sorted.
    idf : ndarray of shape (n_terms,)
        Inverse document frequency of every term, float64.

    Notes
    -----
    Scores are float64 and are added in the order of the vocabulary, so documents with the same
    terms tie exactly and the order of words in a query does not matter. Ties go to the document
    that came first in `fit`.

    A document that shares no weighted term with the query has score 0 and is not returned. A
    query that is empty, or whose terms are all unknown, therefore has no rows.

    References
    ----------
    S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
    Foundations and Trends in Information Retrieval 3(4), 2009.

    C. Kamphuis, A. P. de Vries, L. Boytsov and J. Lin, "Which BM25 Do You Mean? A Large-Scale
    Reproducibility Study of Scoring Variants", ECIR 2020.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import BM25
    >>> index = BM25().fit(["red chair", "red sofa bed", "lamp"], doc_ids=["c", "s", "l"])
    >>> queries = pd.DataFrame({"query_id": ["q1", "q2"], "text": ["red sofa", "desk"]})
    >>> index.search(queries, k=10).round(3)
      query_id doc_id  score  rank
    0       q1      s  0.547     1
    1       q1      c  0.214     2

    A rewritten query says how much every term counts:

    >>> index.search([{"couch": 1.0, "sofa": 0.5}], k=1).round(3)
       query_id doc_id  score  rank
    0         0      s  0.185     1
    """

    n_docs: int
    doc_ids: pd.Index[Any]
    vocabulary: dict[str, int]
    idf: FloatArray

    def __init__(
        self,
        *,
        k1: float = 1.2,
        b: float = 0.75,
        variant: Literal["lucene", "robertson", "atire"] = "lucene",
        analyzer: Analyzer | None = None,
    ) -> None:
        """See the class."""
        if not (np.isfinite(k1) and k1 >= 0):
            raise ValueError(f"k1 must be finite and at least 0; got {k1!r}")
        if not 0 <= b <= 1:
            raise ValueError(f"b must be in [0, 1]; got {b!r}")
        check_choice(variant, "variant", ["lucene", "robertson", "atire"])
        if analyzer is not None and not callable(analyzer):
            raise TypeError(f"analyzer must be callable; got {type(analyzer).__name__}")
        self.k1 = float(k1)
        self.b = float(b)
        self.variant = variant
        self.analyzer: Analyzer = tokenize if analyzer is None else analyzer
        self._impacts: Any = None

    def __repr__(self) -> str:
        """Show the parameters, and the size once fitted."""
        size = "" if self._impacts is None else f" of {self.n_docs} documents"
        return f"BM25(k1={self.k1}, b={self.b}, variant={self.variant!r}){size}"

    def fit(self, texts: Any, doc_ids: Any = None) -> Self:
        """Index a collection, replacing what was indexed before.

        Parameters
        ----------
        texts : sequence of str
            One text a document; an empty text is a document that no query finds.
        doc_ids : sequence, optional
            Unique identifiers. Default: the index of `texts` if it is a Series, else positions
            from 0.

        Returns
        -------
        BM25
            Itself.

        Raises
        ------
        TypeError
            If `texts` is a frame, a mapping or a set, or a text is not a string; the message
            counts them.
        ValueError
            If there are no texts, or the identifiers are missing, repeated or too few.
        """
        from scipy.sparse import coo_array

        if doc_ids is None and isinstance(texts, pd.Series):
            doc_ids = texts.index
        texts = _check_texts(texts)
        n_docs = len(texts)
        ids = as_ids(range(n_docs) if doc_ids is None else doc_ids, "doc_ids", size=n_docs)

        # A term gets the next number when it first comes up. Four bytes a token are kept, not its
        # string: the tokens of a collection are many times its terms.
        numbers: defaultdict[str, int] = defaultdict(int)
        numbers.default_factory = numbers.__len__
        tokens = array("i")
        lengths = np.empty(n_docs, dtype=np.int64)
        for row, text in enumerate(texts):  # the analyser is Python: this loop is its price
            found = self.analyzer(text)
            if isinstance(found, str):  # would be read as a list of letters
                raise TypeError(f"analyzer must return a list of terms; got the text {found!r}")
            lengths[row] = len(found)
            tokens.extend(map(numbers.__getitem__, found))
        # Sorted terms make sums, and so ties, independent of the order of the documents.
        vocabulary = {term: row for row, term in enumerate(sorted(numbers))}
        row_of = np.fromiter(map(vocabulary.__getitem__, numbers), np.int32, len(numbers))
        term_rows = row_of[np.asarray(tokens)]
        doc_columns = np.repeat(np.arange(n_docs, dtype=np.int32), lengths)
        counts = coo_array(
            (np.ones(term_rows.size), (term_rows, doc_columns)), shape=(len(vocabulary), n_docs)
        ).tocsr()
        counts.sum_duplicates()

        df = np.diff(counts.indptr)
        idf = _idf(df, n_docs, self.variant)
        scale = self.k1 + 1 if self.variant == "atire" else 1.0
        mean_length = max(lengths.mean(), 1.0 / n_docs)  # no term at all: any divisor will do
        damping = self.k1 * (1 - self.b + self.b * lengths / mean_length)
        tf = counts.data
        counts.data = np.repeat(idf * scale, df) * (tf / (tf + damping[counts.indices]))
        counts.eliminate_zeros()

        self.n_docs = n_docs
        self.doc_ids = ids
        self.vocabulary = vocabulary
        self.idf = idf
        self._impacts = counts
        return self

    def search(self, queries: Any, k: int) -> pd.DataFrame:
        """Return the `k` documents that score highest for every query.

        Parameters
        ----------
        queries : DataFrame, Series or sequence
            A frame with the columns query_id and text; a Series of texts indexed by query_id;
            or a list, array or Index of texts, whose query_id is the position from 0. In place
            of a text a query may be a mapping from term to weight (at least 0), for example a
            query rewritten with synonyms. The terms of a mapping are used as they are, without
            the analyser. A frame may hold texts or mappings in a column `terms`; then that is
            what is searched, and a column `text` beside it, say what the user typed, is not read.
        k : int
            How many at most, at least 1.

        Returns
        -------
        DataFrame
            query_id, doc_id, score (above 0) and rank (from 1); queries in the order given.
            A query that matches nothing has no rows.

        Raises
        ------
        TypeError
            If a query is neither a string nor a mapping.
        ValueError
            If query_id is repeated, a weight is negative or not finite, or `fit` was not called.
        """
        k = check_positive_int(k, "k")
        query_ids, asked = read_queries(queries)
        matrix = self._query_matrix(asked)
        n_terms = np.diff(matrix.indptr).astype(np.int64)
        touched = self._touched(matrix)
        # Adding up whole rows costs a sixteenth of adding up postings; a row of scores comes to it.
        crowded = 16 * touched > self.n_docs * (n_terms + 2)
        parts = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
        for best_of, chosen, numbers in (
            (self._best_of_few, np.flatnonzero(~crowded), touched),
            (self._best_of_all, np.flatnonzero(crowded), self.n_docs * (n_terms + 1)),
        ):
            for start, stop in row_batches(numbers[chosen], _BATCH):
                part = chosen[start:stop]
                rows, columns, values = best_of(matrix[part], k)
                parts.append((part[rows], columns, values))
        rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(rows, kind="stable")
        rows, columns, values = rows[order], columns[order], values[order]
        return run_frame(query_ids, rows, self.doc_ids, columns, values, rank_within(rows))[
            RUN_COLUMNS
        ]

    def scores(self, queries: Any) -> Any:
        """Return the score of every query for every document that shares a term with it.

        Parameters
        ----------
        queries : DataFrame, Series or sequence
            As in :meth:`search`.

        Returns
        -------
        scipy.sparse.csr_array of shape (n_queries, n_docs)
            Rows in the order of `queries`, columns in the order of `fit`; float64.
        """
        scores = self._query_matrix(read_queries(queries)[1]) @ self._impacts
        scores.sort_indices()
        return scores

    def score_pairs(self, queries: Any, pairs: pd.DataFrame) -> pd.Series[float]:
        """Return the score of the given (query, document) pairs: a feature for a ranker.

        Parameters
        ----------
        queries : DataFrame, Series or sequence
            As in :meth:`search`.
        pairs : DataFrame
            query_id and doc_id; other columns are ignored.

        Returns
        -------
        Series
            float64, named "score", with the index of `pairs`; 0 where nothing matches. The
            scores are those of :meth:`search`.

        Raises
        ------
        ValueError
            If a pair names an unknown query or document.
        """
        check_columns(pairs, "pairs", ["query_id", "doc_id"])
        query_ids, asked = read_queries(queries)
        matrix = self._query_matrix(asked)
        query = positions(query_ids, pairs["query_id"], "pairs['query_id']")
        doc = positions(self.doc_ids, pairs["doc_id"], "pairs['doc_id']")
        # One look-up for every (pair, term of its query), in the order `search` adds them.
        n_terms = np.diff(matrix.indptr).astype(np.int64)[query]
        pair = np.repeat(np.arange(len(pairs)), n_terms)
        first = np.cumsum(n_terms) - n_terms
        at = np.arange(pair.size) - np.repeat(first - matrix.indptr[query], n_terms)
        impact = entries(self._impacts, matrix.indices[at], doc[pair])
        total = np.bincount(pair, weights=matrix.data[at] * impact, minlength=len(pairs))
        return pd.Series(total, index=pairs.index, name="score", dtype=np.float64)

    def _query_matrix(self, asked: list[Any]) -> Any:
        """Return the weights of known terms, queries by vocabulary, columns sorted."""
        from scipy.sparse import csr_array

        if self._impacts is None:
            raise ValueError("this BM25 has no documents: call fit first")
        columns: list[int] = []
        weights: list[float] = []
        indptr = np.zeros(len(asked) + 1, dtype=np.int32)
        for row, query in enumerate(asked):
            if isinstance(query, str):
                terms: Mapping[str, float] = Counter(self.analyzer(query))
            elif isinstance(query, Mapping):
                terms = query
            else:
                raise TypeError(
                    "a query must be a text or a mapping from term to weight; "
                    f"the one at position {row} is {query!r}"
                )
            known = {
                self.vocabulary[term]: terms[term] for term in terms if term in self.vocabulary
            }
            columns += known.keys()
            weights += known.values()
            indptr[row + 1] = len(columns)
        values = np.asarray(weights, dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if bad.size:
            raise ValueError(
                f"the weight of a term must be finite and at least 0; got {values[bad[0]]}"
            )
        shape = (len(asked), len(self.vocabulary))
        matrix = csr_array((values, np.asarray(columns, np.int32), indptr), shape=shape)
        matrix.eliminate_zeros()
        matrix.sort_indices()
        return matrix

    def _touched(self, matrix: Any) -> IntArray:
        """Return how many postings the terms of every query have."""
        df = np.diff(self._impacts.indptr).astype(np.int64)
        done = np.append(0, np.cumsum(df[matrix.indices]))
        postings: IntArray = np.diff(done[matrix.indptr])
        return postings

    def _best_of_few(self, matrix: Any, k: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Return row, column and score of the best, by way of the documents that share a term."""
        return top_of_rows(matrix @ self._impacts, k)

    def _best_of_all(self, matrix: Any, k: int) -> tuple[IntArray, IntArray, FloatArray]:
        """Return the same by way of a score for every document.

        Terms are added in the order in which a sparse product adds them, so scores are the same.
        """
        from scipy.sparse import csr_array

        used, at = np.unique(matrix.indices, return_inverse=True)
        weights = csr_array((matrix.data, at, matrix.indptr), shape=(matrix.shape[0], used.size))
        columns, values = top_k(weights @ self._impacts[used].toarray(), k)
        rows, places = np.nonzero(values > 0)
        return rows, columns[rows, places], values[rows, places]


def _check_texts(texts: Any) -> list[str]:
    """Return the texts as a list, or say how many are not strings."""
    # Iterating over a frame or a mapping would index the names of its columns, or its keys.
    if isinstance(texts, (str, bytes, pd.DataFrame, Mapping, Set)):
        raise TypeError(f"texts must be a sequence of strings; got one {type(texts).__name__}")
    listed = list(texts)
    if not listed:
        raise ValueError("texts is empty: there is nothing to index")
    odd = [row for row, text in enumerate(listed) if not isinstance(text, str)]
    if odd:
        raise TypeError(
            f"texts must be strings; {len(odd)} of {len(listed)} are not, "
            f"the first being {listed[odd[0]]!r} at position {odd[0]}"
        )
    return listed


def _idf(df: npt.NDArray[Any], n_docs: int, variant: str) -> FloatArray:
    """Return the inverse document frequencies of a variant."""
    if variant == "atire":
        return np.log(n_docs / df)
    odds = (n_docs - df + 0.5) / (df + 0.5)
    return np.log1p(odds) if variant == "lucene" else np.log(np.maximum(odds, 1.0))
