"""Nearest neighbours by faiss, behind the face of the flat index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_positive_int, warn_undefined
from mlsd.funnel._runs import order_within, rank_within, run_frame
from mlsd.funnel.dense import DenseIndex, Float32Array, _dot_pairs, _floor, _query_ids

__all__ = ["FaissIndex"]

# What is asked of a flat index beyond 2 k, so that its last product is most often below the cut.
_SLACK = 100
# Results held at once, 12 bytes each.
_RESULTS = 4_000_000


class FaissIndex(DenseIndex):
    """Retrieval by inner product or cosine through faiss, with the face of :class:`DenseIndex`.

    faiss proposes documents, which are then scored in float64 as :class:`DenseIndex` does it. So
    every score is exact, to the bit that of :class:`DenseIndex`, whatever the factory.

    - With "Flat" the ids are those of :class:`DenseIndex` too, ties included: faiss is asked for
      more than `k`, and again for four times as many, until the float32 product of the last one
      is so low that rounding cannot have hidden a better document behind it.
    - With any other factory documents may be missing, and that is all that may be wrong: those
      found stand in the order of their exact scores. A query may find fewer than `k`.

    Parameters
    ----------
    metric : {"cosine", "dot"}, default "cosine"
        The score, higher being nearer: the cosine, in [-1, 1], or the inner product.
    factory : str, default "Flat"
        What faiss builds, in the words of its `index_factory`: "Flat" compares all, "HNSW32" walks
        a graph of 32 links a document, "IVF256,Flat" looks into some of 256 clusters.
    search_parameters : mapping of str to float, optional
        Parameters of the search, in the words of faiss's `ParameterSpace`, such as
        ``{"efSearch": 64}`` for a graph or ``{"nprobe": 16}`` for clusters: more is slower and
        misses less. Default: those of faiss.

    Attributes
    ----------
    n_docs : int
        Number of documents.
    doc_ids : pandas.Index
        Their identifiers, in the order of `fit`.

    Notes
    -----
    The extra is needed: ``pip install 'mlsd[faiss]'``. The vectors are kept twice, here to score
    and in faiss to find. faiss uses all cores it is given (`faiss.omp_set_num_threads`); a graph
    built on several threads is not the same graph every time. Clusters are trained on the vectors
    of the index.

    When many documents score alike (copies of one vector), a flat index is asked for all of them
    before it is known which came first in `fit`. :class:`DenseIndex` takes no notice of such
    crowds.

    References
    ----------
    M. Douze et al., "The Faiss Library", arXiv 2401.08281, 2024.

    Y. A. Malkov and D. A. Yashunin, "Efficient and Robust Approximate Nearest Neighbor Search
    Using Hierarchical Navigable Small World Graphs", IEEE TPAMI 42(4), 2020.

    Examples
    --------
    >>> from mlsd.funnel import FaissIndex
    >>> vectors = [[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]]
    >>> index = FaissIndex().fit(vectors, doc_ids=["a", "b", "c"])
    >>> index.search_frame([[1.0, 0.0]], k=2, query_ids=["q"]).round(3)
      query_id doc_id  score  rank
    0        q      a    1.0     1
    1        q      b    0.6     2
    >>> index.exact
    True
    """

    def __init__(
        self,
        *,
        metric: Literal["cosine", "dot"] = "cosine",
        factory: str = "Flat",
        search_parameters: Mapping[str, float] | None = None,
    ) -> None:
        """See the class."""
        _faiss()  # rather now than when the vectors have been computed
        super().__init__(metric=metric)
        if not isinstance(factory, str):
            raise TypeError(f"factory must be a string such as 'HNSW32'; got {factory!r}")
        self.factory = factory
        self.search_parameters = _check_parameters(search_parameters)
        self._index: Any = None

    def __repr__(self) -> str:
        """Show the parameters, and the size once fitted."""
        size = "" if self._vectors is None else f" of {self.n_docs} x {self._vectors.shape[1]}"
        parameters = f", search_parameters={self.search_parameters}" * bool(self.search_parameters)
        return f"FaissIndex(metric={self.metric!r}, factory={self.factory!r}{parameters}){size}"

    @property
    def exact(self) -> bool:
        """Whether nothing can be missing, since faiss compares all documents."""
        _ = self.vectors  # says so if there are none
        return isinstance(self._index, _faiss().IndexFlat)

    def fit(self, vectors: Any, doc_ids: Any = None) -> Self:
        """Build the index of a collection, replacing what was there before.

        Parameters
        ----------
        vectors : array-like of shape (n_docs, n_dims)
            One row a document; a DataFrame gives its index as identifiers.
        doc_ids : sequence, optional
            Unique identifiers. Default: the index of a DataFrame, else positions from 0.

        Returns
        -------
        FaissIndex
            Itself.

        Raises
        ------
        TypeError
            If `vectors` is not numeric or is complex.
        ValueError
            As :meth:`DenseIndex.fit`; and if faiss does not understand the factory, has no such
            parameter, or needs more vectors (a cluster needs one at least, and better 39).
        """
        super().fit(vectors, doc_ids)
        try:
            self._index = self._build()
        except ValueError:
            self._vectors = None  # nothing, rather than vectors without an index
            raise
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
            Identifiers, nearest first. Where fewer were found the row ends in None, and the ids
            are objects.
        scores : ndarray of shape (n_queries, min(k, n_docs))
            Their scores, float64, never increasing along a row; nan, with a warning, where
            fewer were found. :meth:`search_frame` has no such rows.

        Raises
        ------
        ValueError
            If `X` does not fit the vectors of the index, or holds what `fit` would refuse.
        """
        found, scores = self._search(self._prepare_queries(X), check_positive_int(k, "k"))
        ids = self.doc_ids.to_numpy()[found]
        missing = found < 0
        if missing.any():
            ids = ids.astype(object)
            ids[missing] = None
            warn_undefined(
                f"{int(missing.any(axis=1).sum())} of {len(found)} queries found fewer than "
                f"{found.shape[1]} documents: their rows end in None and nan"
            )
        return ids, scores

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
            query_id, doc_id, score and rank (from 1); queries in the order given. A query that
            found fewer than `k` documents has fewer rows.
        """
        k = check_positive_int(k, "k")
        ids = _query_ids(X, query_ids)
        found, scores = self._search(self._prepare_queries(X), k)
        rows, at = np.nonzero(found >= 0)
        return run_frame(ids, rows, self.doc_ids, found[rows, at], scores[rows, at], at + 1)

    def _build(self) -> Any:
        """Return the index of faiss over the vectors."""
        faiss = _faiss()
        vectors = self.vectors
        # faiss tells what is wrong with a RuntimeError of several lines of C++.
        try:
            index = faiss.index_factory(vectors.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise ValueError(
                f"factory={self.factory!r} is nothing that faiss can build for vectors of "
                f"{vectors.shape[1]} dimensions: {error}"
            ) from None
        try:
            index.train(vectors)
            index.add(vectors)
        except RuntimeError as error:
            raise ValueError(
                f"vectors: faiss cannot build {self.factory!r} of {len(vectors)}: {error}"
            ) from None
        for name, value in self.search_parameters.items():
            try:
                faiss.ParameterSpace().set_index_parameter(index, name, value)
            except RuntimeError:
                raise ValueError(
                    f"search_parameters: {self.factory!r} has no parameter {name!r}"
                ) from None
        return index

    def _search(self, queries: Float32Array, k: int) -> tuple[IntArray, FloatArray]:
        """Return positions and scores; -1 and nan where fewer than `k` were found."""
        k = min(k, self.n_docs)
        margin = self._margin(queries)
        found = np.full((len(queries), k), -1, dtype=np.int64)
        scores = np.full((len(queries), k), np.nan)
        exact = self.exact
        left = np.arange(len(queries))
        depth = min(2 * k + _SLACK, self.n_docs) if exact else k
        while left.size:
            unsure = []
            at_once = max(1, _RESULTS // depth)
            for start in range(0, left.size, at_once):
                rows = left[start : start + at_once]
                near, docs = self._index.search(queries[rows], depth)
                real = docs >= 0
                if exact:
                    floor = _floor(near[:, k - 1], margin[rows])
                    sure = (near[:, -1] < floor) | (depth == self.n_docs)
                    real &= near >= floor[:, None]
                    unsure.append(rows[~sure])
                row, doc, place, score = self._best_of(queries[rows], docs, real, k)
                found[rows[row], place] = doc
                scores[rows[row], place] = score
            left = np.concatenate(unsure) if unsure else left[:0]
            depth = min(4 * depth, self.n_docs)
        return found, scores

    def _best_of(
        self, queries: Float32Array, docs: IntArray, real: BoolArray, k: int
    ) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """Return row, document, place from 0 and exact score of the `k` best of every row."""
        row = np.nonzero(real)[0]
        doc = docs[real]
        score = _dot_pairs(queries, row, self.vectors, doc)
        order = order_within(row, score, doc)
        place = rank_within(row[order]) - 1
        top = place < k
        order = order[top]
        return row[order], doc[order], place[top], score[order]


def _faiss() -> Any:
    """Return the module, or say which extra brings it."""
    try:
        import faiss
    except ImportError as error:
        raise ImportError("FaissIndex needs faiss: pip install 'mlsd[faiss]'") from error
    return faiss


def _check_parameters(given: Any) -> dict[str, float]:
    """Return parameters of the search: names and numbers above 0."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"search_parameters must be a mapping such as {{'nprobe': 16}}; got {given!r}"
        )
    for name, value in given.items():
        number = isinstance(value, (int, float, np.integer, np.floating))
        if not isinstance(name, str) or isinstance(value, bool) or not number:
            raise TypeError(f"search_parameters must map names to numbers; got {name!r}: {value!r}")
        if not 0 < value < np.inf:
            raise ValueError(f"search_parameters must be above 0; got {name!r}: {value!r}")
    return {name: float(value) for name, value in given.items()}
