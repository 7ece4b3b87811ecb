"""Exact nearest neighbours by blocked matrix products."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_choice, check_columns, check_positive_int
from mlsd.funnel._runs import as_ids, dot_rows, positions, rank_within, run_frame
from mlsd.funnel.topk import high_part, places_in, spread, top_k, words_above

__all__ = ["DenseIndex"]

Float32Array = npt.NDArray[np.float32]

_QUERIES_AT_ONCE = 128
_SAMPLE = 16_384
# Products compared in one stretch with the floors of their queries.
_ROW_LENGTH = 4096
# Numbers held at once in float64 when vectors are brought to length 1: 8 MB.
_ROW_NUMBERS = 1_048_576
# Numbers held at once when pairs are scored in float64: 1 MB a side, to stay in cache.
_PAIR_NUMBERS = 131_072


class DenseIndex:
    """Exact retrieval by inner product or cosine, the flat index behind `search(X, k)`.

    Vectors are kept in float32. Single-precision matrix products find the candidates, with a
    margin that covers their rounding; the candidates are then scored in float64. So the ids are
    those of a full sort, scores do not depend on the blocks or on the other queries, and equal
    vectors tie exactly.

    Parameters
    ----------
    metric : {"cosine", "dot"}, default "cosine"
        The score, higher being nearer: the cosine, in [-1, 1], or the inner product.
    block_size : int, default 16384
        Documents compared at once, with up to 128 queries. Their working memory is about
        `1024 * block_size` bytes (17 MB by default), however large the collection, and 100 to 200
        bytes for each of their `128 * k` results.

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order of `fit`.

    Notes
    -----
    Beside the matrix products a search costs little. The products of each query with a sample of
    documents tell above which product a little more than `k` documents are to be expected, and
    only those are kept. Should there be fewer, the query is searched once more, from what at
    least `k` documents of the sample reach.

    Ties go to the document that came first in `fit`. The margin is the a priori error bound of
    an inner product of `d` terms in any order of summation, `d u / (1 - d u) |x| |y|` with
    `u = 2**-24`. For the cosine, vectors are brought to length 1 in float64, whatever their scale,
    and then rounded to float32: the score is within 2e-7 of the cosine of the vectors given.

    References
    ----------
    N. J. Higham, "Accuracy and Stability of Numerical Algorithms", second edition, SIAM 2002,
    section 3.1 (the bound).

    Examples
    --------
    >>> import numpy as np
    >>> from mlsd.funnel import DenseIndex
    >>> index = DenseIndex().fit([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]], doc_ids=["a", "b", "c"])
    >>> ids, scores = index.search([[1.0, 0.0]], k=2)
    >>> ids.tolist(), scores.round(3).tolist()
    ([['a', 'b']], [[1.0, 0.6]])
    >>> index.search_frame([[1.0, 0.0]], k=2, query_ids=["q"]).round(3)
      query_id doc_id  score  rank
    0        q      a    1.0     1
    1        q      b    0.6     2
    """

    n_docs: int
    doc_ids: pd.Index[Any]

    def __init__(
        self, *, metric: Literal["cosine", "dot"] = "cosine", block_size: int = 16_384
    ) -> None:
        """See the class."""
        check_choice(metric, "metric", ["cosine", "dot"])
        self.metric = metric
        self.block_size = check_positive_int(block_size, "block_size")
        self._vectors: Float32Array | None = None

    def __repr__(self) -> str:
        """Show the parameters, and the size once fitted."""
        size = "" if self._vectors is None else f" of {self.n_docs} x {self._vectors.shape[1]}"
        return f"DenseIndex(metric={self.metric!r}, block_size={self.block_size}){size}"

    @property
    def vectors(self) -> Float32Array:
        """What is compared: float32 (n_docs, n_dims), of length 1 when the metric is the cosine."""
        if self._vectors is None:
            raise ValueError(f"this {type(self).__name__} has no vectors: call fit first")
        return self._vectors

    def fit(self, vectors: Any, doc_ids: Any = None) -> Self:
        """Keep the vectors of a collection, replacing those kept before.

        Parameters
        ----------
        vectors : array-like of shape (n_docs, n_dims)
            One row a document; a DataFrame gives its index as identifiers.
        doc_ids : sequence, optional
            Unique identifiers. Default: the index of a DataFrame, else positions from 0.

        Returns
        -------
        DenseIndex
            Itself.

        Raises
        ------
        TypeError
            If `vectors` is not numeric or is complex.
        ValueError
            If `vectors` is not two-dimensional, is empty, holds NaN or infinity, (dot) holds a
            number beyond float32, or (cosine) holds a vector of length 0; or if the identifiers
            are missing, repeated or too few.
        """
        if doc_ids is None:
            doc_ids = vectors.index if isinstance(vectors, pd.DataFrame) else None
        matrix = self._prepare(vectors, "vectors")
        if not matrix.size:
            raise ValueError(f"vectors is empty: its shape is {matrix.shape}")
        n_docs = len(matrix)
        self.doc_ids = as_ids(range(n_docs) if doc_ids is None else doc_ids, "doc_ids", size=n_docs)
        self.n_docs = n_docs
        self._vectors = matrix
        self._longest = float(_lengths(matrix).max())
        return self

    def search(self, X: Any, k: int) -> tuple[npt.NDArray[Any], FloatArray]:
        """Return the ids and scores of the `k` nearest documents of every query.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_dims)
            One row a query.
        k : int
            How many, at least 1; a collection of fewer documents gives all it has.

        Returns
        -------
        ids : ndarray of shape (n_queries, min(k, n_docs))
            Identifiers, nearest first.
        scores : ndarray of shape (n_queries, min(k, n_docs))
            Their scores, float64, never increasing along a row.

        Raises
        ------
        ValueError
            If `X` does not fit the vectors of the index, or holds what `fit` would refuse.
        """
        found, scores = self._search(self._prepare_queries(X), check_positive_int(k, "k"))
        return self.doc_ids.to_numpy()[found], scores

    def search_frame(self, X: Any, k: int, *, query_ids: Any = None) -> pd.DataFrame:
        """Return the `k` nearest documents of every query as a run.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_dims)
            One row a query; a DataFrame gives its index as identifiers.
        k : int
            How many, at least 1.
        query_ids : sequence, optional
            Unique identifiers. Default: the index of a DataFrame, else positions from 0.

        Returns
        -------
        DataFrame
            query_id, doc_id, score and rank (from 1); queries in the order given.
        """
        k = check_positive_int(k, "k")
        ids = _query_ids(X, query_ids)
        found, scores = self._search(self._prepare_queries(X), k)
        rows = np.repeat(np.arange(len(found)), found.shape[1])
        rank = np.tile(np.arange(1, found.shape[1] + 1), len(found))
        return run_frame(ids, rows, self.doc_ids, found.ravel(), scores.ravel(), rank)

    def score_pairs(
        self, X: Any, pairs: pd.DataFrame, *, query_ids: Any = None
    ) -> pd.Series[float]:
        """Return the score of the given (query, document) pairs: a feature for a ranker.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_dims)
            One row a query; a DataFrame gives its index as identifiers.
        pairs : DataFrame
            query_id and doc_id; other columns are ignored.
        query_ids : sequence, optional
            Unique identifiers. Default: the index of a DataFrame, else positions from 0.

        Returns
        -------
        Series
            float64, named "score", with the index of `pairs`; bit for bit those of `search`.

        Raises
        ------
        ValueError
            If a pair names an unknown query or document.
        """
        check_columns(pairs, "pairs", ["query_id", "doc_id"])
        ids = _query_ids(X, query_ids)
        queries = self._prepare_queries(X)
        query = positions(ids, pairs["query_id"], "pairs['query_id']")
        doc = positions(self.doc_ids, pairs["doc_id"], "pairs['doc_id']")
        score = _dot_pairs(queries, query, self.vectors, doc)
        return pd.Series(score, index=pairs.index, name="score", dtype=np.float64)

    def _prepare(self, vectors: Any, name: str) -> Float32Array:
        """Return checked float32 rows, of length 1 if the metric is the cosine."""
        given = np.asarray(vectors)
        if given.ndim != 2:
            raise ValueError(f"{name} must be two-dimensional; got shape {given.shape}")
        if np.iscomplexobj(given):  # a cast would drop the imaginary parts
            raise TypeError(f"{name} must be real; got {given.dtype}")
        if self.metric == "cosine":
            return _unit_rows(given, name)
        with np.errstate(over="ignore"):  # what overflows is counted and refused below
            matrix: Float32Array = _cast(given, np.float32, name)
        bad = int((~np.isfinite(matrix)).any(axis=1).sum())
        if bad:
            raise ValueError(f"{name} has {bad} rows with NaN, infinity or numbers beyond float32")
        return matrix.copy() if np.shares_memory(matrix, given) else matrix

    def _prepare_queries(self, X: Any) -> Float32Array:
        """Return the queries as the index compares them."""
        vectors = self.vectors
        queries = self._prepare(X, "X")
        if queries.shape[1] != vectors.shape[1]:
            raise ValueError(
                f"X has {queries.shape[1]} dimensions and the index {vectors.shape[1]}"
            )
        return queries

    def _search(self, queries: Float32Array, k: int) -> tuple[IntArray, FloatArray]:
        """Return positions and scores, one block of queries after the other."""
        k = min(k, self.n_docs)
        found = np.empty((len(queries), k), dtype=np.int64)
        scores = np.empty((len(queries), k))
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            part = queries[start : start + _QUERIES_AT_ONCE]
            row, doc = self._candidates(part, k)
            best, score = self._best(part, row, doc, k)
            found[start : start + len(part)] = doc[best]
            scores[start : start + len(part)] = score
        return found, scores

    def _candidates(self, queries: Float32Array, k: int) -> tuple[IntArray, IntArray]:
        """Return rows and documents that hold the true `k` best of every row.

        Documents ascend within a row.
        """
        margin = self._margin(queries)
        likely, certain = self._floors(queries, margin, k)
        rows, docs, kth = self._scan(queries, margin, likely, k)
        # Unless the k-th best is above the floor by the margin, a better one may be below.
        unsure = _floor(kth, margin) < likely
        if unsure.any():
            kept = ~unsure[rows]
            again = np.flatnonzero(unsure)
            more, more_docs, _ = self._scan(queries[again], margin[again], certain[again], k)
            rows = np.concatenate((rows[kept], again[more]))
            docs = np.concatenate((docs[kept], more_docs))
        return rows, docs

    def _margin(self, queries: Float32Array) -> FloatArray:
        """Return twice the error bound of a float32 product with each query."""
        n_dims = queries.shape[1]
        unit = n_dims * 2.0**-24
        if unit >= 0.5:
            raise ValueError(f"vectors of {n_dims} dimensions are too long for float32 products")
        reach = _lengths(queries) * self._longest
        if reach.max(initial=0.0) >= np.finfo(np.float32).max:
            raise ValueError("the inner products of X and the index overflow float32")
        # Plus the least normal number: products that underflow lose at most that.
        bound: FloatArray = unit / (1 - unit) * reach + n_dims * float(np.finfo(np.float32).tiny)
        return 2 * bound

    def _floors(
        self, queries: Float32Array, margin: FloatArray, k: int
    ) -> tuple[Float32Array, Float32Array]:
        """Return what the `k` best products of every row exceed: most likely, and certainly.

        Both come from a sample of documents: the rank at which a little more than `k` of all are
        expected above, and rank `k`.
        """
        vectors = self.vectors
        n_docs = len(vectors)
        size = max(2 * k, min(_SAMPLE, n_docs // 64))
        if 4 * size > n_docs:  # the sample would be most of the work
            nothing = np.full(len(queries), -np.inf, dtype=np.float32)
            return nothing, nothing
        products = queries @ vectors[spread(n_docs, size)].T
        best = np.sort(high_part(products, k), axis=1)
        expected = k * size / n_docs
        rank = min(int(expected + 3 * expected**0.5) + 2, k)
        return _floor(best[:, k - rank], margin), _floor(best[:, 0], margin)

    def _scan(
        self, queries: Float32Array, margin: FloatArray, floor: Float32Array, k: int
    ) -> tuple[IntArray, IntArray, Float32Array]:
        """Return rows and documents of the products above the floor, and the k-th best product.

        That is -inf for rows with fewer. As soon as there are many, the k-th best so far, less
        the margin, raises the floor. Documents ascend.
        """
        vectors, m = self.vectors, len(queries)
        # A comparison runs along a row of a table, so the rows of products are joined to long ones.
        joined = max(1, _ROW_LENGTH // m)
        longest = min(self.block_size, len(vectors))
        buffer = np.empty((-(-longest // joined) * joined, m), dtype=np.float32)
        rows = docs = np.zeros(0, dtype=np.int64)
        near = np.zeros(0, dtype=np.float32)
        parts = [(rows, docs, near)]
        enough, pending = k * m, 0
        for start in range(0, len(vectors), self.block_size):
            block = vectors[start : start + self.block_size]
            table = buffer[: -(-len(block) // joined) * joined]
            np.matmul(block, queries.T, out=table[: len(block)])
            table[len(block) :] = -np.inf
            if start == 0 and k < len(block) and np.isneginf(floor[0]):
                floor = _floor(high_part(np.ascontiguousarray(table.T), k)[:, 0], margin)
            floors = np.tile(floor, joined)
            at = places_in(*words_above(table.reshape(-1, floors.size), floors))
            doc = at // m
            parts.append((at - m * doc, doc + start, table.ravel()[at]))
            pending += at.size
            last = start + self.block_size >= len(vectors)
            if pending <= 1.5 * enough + self.block_size and not last:
                continue  # raising the floor costs more than it would save
            rows, docs, near = (np.concatenate(part) for part in zip(*parts, strict=True))
            kth = _kth(rows, near, m, k)
            floor = np.maximum(floor, _floor(kth, margin))
            kept = np.flatnonzero(near > floor[rows])
            if kept.size > 4 * enough:
                # A crowd within the margin (copies of one vector, say): settle it now, or the
                # candidates would grow with the collection.
                best = self._best(queries, rows, docs, k)[0]
                kept = np.sort(best[best < rows.size])
            parts = [(rows[kept], docs[kept], near[kept])]
            pending = kept.size
        rows, docs, near = parts[0]
        return rows, docs, kth

    def _best(
        self, queries: Float32Array, rows: IntArray, docs: IntArray, k: int
    ) -> tuple[IntArray, FloatArray]:
        """Return which candidates are the `k` best of every row, and their scores, in order.

        Where a row has fewer, the number of candidates stands for none.
        """
        score = _dot_pairs(queries, rows, self.vectors, docs)
        order = _by_row(rows)  # stable, so documents still ascend within a row
        which = _padded(rows[order], order, len(queries), rows.size)
        place, best = top_k(_padded(rows[order], score[order], len(queries), -np.inf), k)
        return np.take_along_axis(which, place, axis=1), best


def _query_ids(X: Any, query_ids: Any) -> pd.Index[Any]:
    """Return the identifiers of the rows of `X`."""
    if query_ids is None:
        query_ids = X.index if isinstance(X, pd.DataFrame) else range(len(X))
    return as_ids(query_ids, "query_ids", size=len(X))


def _cast(given: npt.NDArray[Any], dtype: Any, name: str) -> npt.NDArray[Any]:
    """Return the numbers as `dtype`, or say that they are none."""
    try:
        return np.ascontiguousarray(given, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be numeric: {error}") from None


def _unit_rows(given: npt.NDArray[Any], name: str) -> Float32Array:
    """Return the rows at length 1, computed in float64 and rounded once.

    Rounded to float32 first, small numbers would lose digits or become 0. A power of two brings
    each row's largest number near 1, which loses nothing and keeps its squares from underflow.
    """
    unit = np.empty(given.shape, dtype=np.float32)
    step = max(1, _ROW_NUMBERS // max(given.shape[1], 1))
    bad = zero = 0
    for start in range(0, len(given), step):
        wide = _cast(given[start : start + step], np.float64, name)
        largest = np.abs(wide).max(axis=1, initial=0.0)
        finite = np.isfinite(largest)
        bad += int((~finite).sum())
        zero += int((largest == 0).sum())
        if bad or zero:
            continue  # no result, but the count goes on
        wide = np.ldexp(wide, -np.frexp(largest)[1][:, None])
        unit[start : start + step] = wide / _lengths(wide)[:, None]
    if bad:
        raise ValueError(f"{name} has {bad} rows with NaN, infinity or numbers beyond float64")
    if zero:
        raise ValueError(f"{name} has {zero} rows of length 0, which have no cosine")
    return unit


def _lengths(matrix: npt.NDArray[Any]) -> FloatArray:
    """Return the length of every row in float64, without a float64 copy of the matrix."""
    squares: FloatArray = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return np.sqrt(squares)


def _floor(kth: Float32Array, margin: FloatArray) -> Float32Array:
    """Return the float32 at or below `kth - margin`."""
    return np.nextafter((kth - margin).astype(np.float32), np.float32(-np.inf))


def _padded(rows: IntArray, values: Any, n_rows: int, fill: float) -> npt.NDArray[Any]:
    """Return ragged values, whose rows stand together in order, as one matrix."""
    place = rank_within(rows) - 1
    matrix = np.full((n_rows, int(place.max(initial=-1)) + 1), fill, dtype=values.dtype)
    matrix[rows, place] = values
    return matrix


def _by_row(rows: IntArray) -> IntArray:
    """Return the stable order by row; there are few rows, and NumPy sorts small types by digits."""
    order: IntArray = np.argsort(rows.astype(np.uint8), kind="stable")
    return order


def _kth(rows: IntArray, values: Float32Array, n_rows: int, k: int) -> Float32Array:
    """Return the k-th largest of the values of every row, -inf where there are fewer."""
    order = _by_row(rows)
    padded = _padded(rows[order], values[order], n_rows, -np.inf)
    if padded.shape[1] < k:
        return np.full(n_rows, -np.inf, dtype=np.float32)
    kth: Float32Array = high_part(padded, k)[:, 0]
    return kth


def _dot_pairs(
    left: Float32Array, left_rows: IntArray, right: Float32Array, right_rows: IntArray
) -> FloatArray:
    """Return inner products of paired rows in float64, each independent of the others."""
    out = np.empty(left_rows.size)
    step = max(1, _PAIR_NUMBERS // left.shape[1])
    wide = left.astype(np.float64)
    for start in range(0, out.size, step):
        at = slice(start, start + step)
        right_part = right[right_rows[at]].astype(np.float64)
        out[at] = dot_rows(wide[left_rows[at]], right_part)
    return out
