"""Bytes of an index: vectors with their graph, and postings."""

from __future__ import annotations

import math

from ._checks import positive, whole

__all__ = ["postings_bytes", "vector_index_bytes"]


def vector_index_bytes(
    n_docs: int,
    dims: int,
    *,
    bytes_per_value: float = 4,
    bytes_per_id: float = 8,
    links: int = 0,
    bytes_per_link: float = 4,
    replicas: int = 1,
) -> int:
    """Bytes of an index of vectors, over all its replicas.

    Parameters
    ----------
    n_docs : int
        Vectors, at least 1.
    dims : int
        Values of a vector, at least 1.
    bytes_per_value : float, default 4
        Above 0: 4 for float32, 2 for float16, 1 for int8, 0.125 for one bit.
    bytes_per_id : float, default 8
        Above 0.
    links : int, default 0
        Links that a graph keeps for a vector; 0 for a flat index. HNSW keeps up to 2M at its
        lowest level and few above it.
    bytes_per_link : float, default 4
        Above 0.
    replicas : int, default 1
        Whole copies, at least 1.

    Returns
    -------
    int
        Bytes, rounded up. Without the metadata, the free space and the second copy that a rebuild
        needs.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    References
    ----------
    Y. A. Malkov and D. A. Yashunin, "Efficient and Robust Approximate Nearest Neighbor Search
    Using Hierarchical Navigable Small World Graphs", IEEE TPAMI 42(4), 2020.

    Examples
    --------
    >>> from mlsd.funnel.capacity import vector_index_bytes
    >>> vector_index_bytes(10_000_000_000, 128, bytes_per_value=1, links=32) / 1e12
    2.64
    """
    one = (
        whole(dims, "dims") * positive(bytes_per_value, "bytes_per_value")
        + positive(bytes_per_id, "bytes_per_id")
        + whole(links, "links", 0) * positive(bytes_per_link, "bytes_per_link")
    )
    return math.ceil(whole(n_docs, "n_docs") * one) * whole(replicas, "replicas")


def postings_bytes(
    n_docs: int, terms_per_doc: float, *, bytes_per_posting: float, replicas: int = 1
) -> int:
    """Bytes of the postings of an inverted index, over all its replicas.

    Parameters
    ----------
    n_docs : int
        Documents, at least 1.
    terms_per_doc : float
        Different terms of a document in the mean, above 0.
    bytes_per_posting : float
        Above 0. It depends on the codec and on what is kept (document, frequency, positions), so
        measure yours: size of the index over number of postings.
    replicas : int, default 1
        Whole copies, at least 1.

    Returns
    -------
    int
        Bytes, rounded up; without the dictionary and the stored documents.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from mlsd.funnel.capacity import postings_bytes
    >>> postings_bytes(10_000_000_000, 100, bytes_per_posting=2, replicas=3) / 1e12
    6.0
    """
    one = positive(terms_per_doc, "terms_per_doc") * positive(
        bytes_per_posting, "bytes_per_posting"
    )
    return math.ceil(whole(n_docs, "n_docs") * one) * whole(replicas, "replicas")
