"""Retrieval and re-ranking beside NumPy, faiss, bm25s, and plain ways of doing the same.

    python benchmarks/retrieval.py              ten million scores, a million vectors: minutes
    python benchmarks/retrieval.py --smoke      small sizes, seconds
    python benchmarks/retrieval.py --json PATH  also writes the rows and the machine

One thread for all: OMP_NUM_THREADS is set to 1 here unless it is set before. Results are compared
before any time is believed. Calls of less than 20 ms are repeated for as long in every turn. What
the times hold:

- top_k against `np.argpartition` and a sort of the k it finds; ours also checks for NaN and gives
  ties to the first, which theirs does not.
- DenseIndex against faiss's flat index on the same vectors (faiss brings a BLAS of its own), and
  against the matrix products alone, in blocks of the same size, whichever way round is faster: no
  exact search through BLAS can be faster than that. Ours rescores in float64.
- BM25.search from texts to a frame, its analyser included. bm25s, with its default NumPy backend
  and float32 scores, is given lists of words, whose making is not timed, and returns arrays. Both
  have k1=1.2, b=0.75 and the "lucene" variant. Rare words are past the 500 most frequent of a
  Zipfian vocabulary of 30,000, frequent ones among the first 30; a query has four. Semanlink is a
  real collection, asked for the names of its tags. `fit` is timed with our analyser on both sides.
- MMR against all similarities in one matrix, and against comparing every candidate to every pick
  anew, each time, one pair at a time ("naive"). `mmr` is from arrays to arrays, `MMR.rerank` from
  frame to frame, with the same peer on arrays.
- reciprocal_rank_fusion, from frames to a frame, against a loop over a dictionary.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

from collections.abc import Callable, Iterator
from typing import Any

import bm25s
import faiss
import numpy as np
import pandas as pd
import threadpoolctl
from _common import best_of, print_rows, row, version, write

from mlsd.data import load_semanlink
from mlsd.funnel import BM25, MMR, DenseIndex, mmr, reciprocal_rank_fusion, tokenize, top_k

Rows = Iterator[dict[str, Any]]
VOCABULARY = 30_000
BLOCK = 16_384
N_DIMS = 64
TURN = 0.02  # seconds


def seconds_of(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Return the best seconds of each, in turns; a turn repeats a short call for a while."""
    once = [seconds for seconds, _ in best_of(1, *calls)]
    times = [max(1, int(TURN / seconds)) for seconds in once]
    turns = [repeated(call, n) for call, n in zip(calls, times, strict=True)]
    return [best / n for (best, _), n in zip(best_of(rounds, *turns), times, strict=True)]


def repeated(call: Callable[[], Any], times: int) -> Callable[[], None]:
    def turn() -> None:
        for _ in range(times):
            call()

    return turn


def compare(
    task: str, ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], rounds: int, **options
) -> Rows:
    note, versions = options.get("note", ""), options.get("versions", {})
    mine, *theirs = seconds_of(rounds, ours, *peers.values())
    for peer, seconds in zip(peers, theirs, strict=True):
        yield row(task, peer, versions.get(peer, ""), mine, seconds, note)


def partitioned(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest the usual way."""
    top = np.argpartition(scores, -k)[-k:]
    order = np.argsort(scores[top])[::-1]
    return top[order], scores[top][order]


def top_rows(sizes: list[int], k: int, rounds: int) -> Rows:
    peer = "np.argpartition and sort"
    for n in sizes:
        rng = np.random.default_rng(0)
        few = np.zeros(n)
        few[rng.permutation(n)[: n // 50]] = rng.random(n // 50)
        normal = rng.normal(size=n)
        for kind, scores in {
            "float64": normal,
            "float32": normal.astype(np.float32),
            "98 % zeros": few,
        }.items():
            np.testing.assert_array_equal(top_k(scores, k)[1], partitioned(scores, k)[1])
            at, values = top_k(scores, k)
            np.testing.assert_array_equal(scores[at], values)
            yield from compare(
                f"top {k:,} of {n:,}, {kind}",
                lambda scores=scores: top_k(scores, k),
                {peer: lambda scores=scores: partitioned(scores, k)},
                rounds,
                versions={peer: np.__version__},
            )


def dense_rows(sizes: list[int], n_queries: int, depths: tuple[int, ...], rounds: int) -> Rows:
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(n_queries, N_DIMS)).astype(np.float32)
    for n in sizes:
        vectors = rng.normal(size=(n, N_DIMS)).astype(np.float32)
        index = DenseIndex(metric="dot", block_size=BLOCK).fit(vectors)
        flat = faiss.IndexFlatIP(N_DIMS)
        flat.add(vectors)
        floors = products(queries, vectors)
        for k in depths:
            ids, scores = index.search(queries, k)
            theirs, found = flat.search(queries, k)[::-1]
            # In float32 near-ties change places.
            np.testing.assert_allclose(scores, found, atol=1e-4)
            assert (ids == theirs).mean() > 0.99
            calls = [
                lambda index=index, k=k: index.search(queries, k),
                lambda flat=flat, k=k: flat.search(queries, k),
                *floors,
            ]
            ours, peer, *alone = seconds_of(rounds, *calls)
            task = f"{n_queries} queries, {n:,} x {N_DIMS}, k={k:,}"
            note = f"its BLAS: {kernel('faiss')}"
            yield row(task, "faiss flat", version("faiss-cpu"), ours, peer, note)
            note = f"BLAS: {kernel('numpy')}"
            yield row(task, "the products alone", "", ours, min(alone), note)


def products(queries: np.ndarray, vectors: np.ndarray) -> list[Callable[[], None]]:
    """Return what does all inner products and forgets them, one way round and the other."""

    def documents_first() -> None:
        for start in range(0, len(vectors), BLOCK):
            vectors[start : start + BLOCK] @ queries.T

    def queries_first() -> None:
        for start in range(0, len(vectors), BLOCK):
            queries @ vectors[start : start + BLOCK].T

    return [documents_first, queries_first]


def kernel(package: str) -> str:
    """Return which kernel the BLAS of a package runs; OPENBLAS_CORETYPE may force another."""
    return next(
        (
            str(library.get("architecture"))
            for library in threadpoolctl.threadpool_info()
            if package in library["filepath"] and library["user_api"] == "blas"
        ),
        "",
    )


def zipf_texts(rng: np.random.Generator, n: int) -> list[str]:
    """Return texts of 20 to 60 words whose frequencies follow Zipf's law."""
    share = 1 / np.arange(1, VOCABULARY + 1)
    lengths = rng.integers(20, 60, size=n)
    names = np.array([f"w{number}" for number in range(VOCABULARY)])
    words = names[rng.choice(VOCABULARY, size=lengths.sum(), p=share / share.sum())]
    return [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]


def bm25_rows(sizes: list[int], n_queries: int, depths: tuple[int, ...], rounds: int) -> Rows:
    for n in sizes:
        rng = np.random.default_rng(0)
        asked = {
            kind: [
                " ".join(f"w{word}" for word in rng.integers(*words, 4)) for _ in [0] * n_queries
            ]
            for kind, words in {"rare": (500, VOCABULARY), "frequent": (0, 30)}.items()
        }
        yield from lexical_rows(f"{n:,} texts", zipf_texts(rng, n), asked, depths, rounds)
    docs, queries, _ = load_semanlink()
    asked = {"tags": queries["text"].head(n_queries).tolist()}
    texts = (docs["title"] + " " + docs["text"]).tolist()
    yield from lexical_rows(f"Semanlink, {len(docs):,} texts", texts, asked, depths, rounds)


def lexical_rows(
    name: str,
    texts: list[str],
    asked: dict[str, list[str]],
    depths: tuple[int, ...],
    rounds: int,
) -> Rows:
    def peer_fit() -> Any:
        peer = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
        peer.index([tokenize(text) for text in texts], show_progress=False)
        return peer

    versions = {"bm25s": version("bm25s")}
    fit = {"bm25s": peer_fit}
    yield from compare(
        f"BM25.fit, {name}", lambda: BM25().fit(texts), fit, max(1, rounds // 3), versions=versions
    )
    index, peer = BM25().fit(texts), peer_fit()
    for kind, queries in asked.items():
        words = [tokenize(query) for query in queries]
        for k in depths:
            check_lexical(index, peer, queries, words, k)
            yield from compare(
                f"BM25, {name}, {len(queries)} {kind}, k={k:,}",
                lambda queries=queries, k=k: index.search(queries, k),
                {"bm25s": lambda words=words, k=k: peer.retrieve(words, k=k, show_progress=False)},
                rounds,
                note="ours from texts, theirs from words",
                versions=versions,
            )


def check_lexical(index: BM25, peer: Any, queries: list[str], words: list[list[str]], k: int):
    """Compare all scores, rank by rank; where ours ends theirs are 0."""
    found = index.search(queries, k)
    ours = np.zeros((len(queries), k))
    ours[found["query_id"], found["rank"] - 1] = found["score"]
    np.testing.assert_allclose(
        peer.retrieve(words, k=k, show_progress=False)[1], ours, rtol=1e-4, atol=1e-5
    )


def slate(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    return np.sort(rng.random(n))[::-1], rng.normal(size=(n, N_DIMS))


def by_matrix(relevance: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the picks of MMR from all similarities at once."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    value = 0.7 * (relevance - relevance.min()) / np.ptp(relevance)
    nearest = np.full(len(value), -1.0)
    picked: list[int] = []
    for _ in range(k):
        worth = value - 0.3 * nearest
        worth[picked] = -np.inf
        picked.append(int(worth.argmax()))
        np.maximum(nearest, cosine[picked[-1]], out=nearest)
    return np.array(picked)


def naive(relevance: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the same, every candidate compared to every pick at each step."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    value = 0.7 * (relevance - relevance.min()) / np.ptp(relevance)
    picked: list[int] = []
    for _ in range(k):
        best, best_worth = -1, -np.inf
        for one in range(len(value)):
            if one in picked:
                continue
            worth = value[one] - 0.3 * max(
                (unit[one] @ unit[other] for other in picked), default=-1
            )
            if worth > best_worth:
                best, best_worth = one, worth
        picked.append(best)
    return np.array(picked)


def mmr_rows(sizes: list[int], k: int, rounds: int) -> Rows:
    for n in sizes:
        relevance, vectors = slate(n)
        positions = mmr(relevance, vectors, k, trade_off=0.7)[0]
        np.testing.assert_array_equal(positions, by_matrix(relevance, vectors, k))
        matrix = {"all similarities": lambda r=relevance, v=vectors: by_matrix(r, v, k)}

        def arrays(relevance=relevance, vectors=vectors):
            return mmr(relevance, vectors, k, trade_off=0.7)

        task = f"{n:,} to {k}, {N_DIMS} dimensions"
        turns = rounds if n <= 1000 else max(1, rounds // 3)
        yield from compare(f"mmr, {task}", arrays, matrix, turns)
        if n <= 1000:
            np.testing.assert_array_equal(positions, naive(relevance, vectors, k))
            loop = {"naive": lambda r=relevance, v=vectors: naive(r, v, k)}
            yield from compare(f"mmr, {task}", arrays, loop, max(1, rounds // 5))
        table = pd.DataFrame(vectors)
        run = pd.DataFrame({"query_id": 0, "doc_id": range(n), "score": relevance})

        def frames(run=run, table=table):
            return MMR(trade_off=0.7).rerank(run, table, k)

        np.testing.assert_array_equal(frames()["doc_id"], positions)
        yield from compare(f"MMR.rerank, {task}", frames, matrix, turns, note="theirs on arrays")


def fusion_rows(n_queries: int, depth: int, rounds: int) -> Rows:
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(n_queries), depth)
    rank = np.tile(np.arange(1, depth + 1), n_queries)
    runs = [
        pd.DataFrame({"query_id": query, "doc_id": found[:, :depth].ravel(), "rank": rank})
        for found in (np.argsort(rng.random((n_queries, 2 * depth)), axis=1) for _ in range(2))
    ]

    def dictionary() -> dict[tuple[int, int], float]:
        total: dict[tuple[int, int], float] = {}
        for one in runs:
            for pair in zip(one["query_id"], one["doc_id"], one["rank"], strict=True):
                total[pair[:2]] = total.get(pair[:2], 0.0) + 1 / (60 + pair[2])
        return total

    fused = reciprocal_rank_fusion(runs).set_index(["query_id", "doc_id"])["score"]
    expected = pd.Series(dictionary())
    np.testing.assert_allclose(fused.reindex(expected.index), expected, rtol=1e-12)
    yield from compare(
        f"reciprocal_rank_fusion, 2 x {len(query):,} rows",
        lambda: reciprocal_rank_fusion(runs),
        {"dictionary": dictionary},
        rounds,
    )


def header() -> str:
    """Return what runs: threads, the kernels of every BLAS, and what forces them."""
    blas = [
        f"{library['internal_api']} {library.get('architecture') or ''} x {library['num_threads']}"
        for library in threadpoolctl.threadpool_info()
    ]
    forced = [f"{name}={value}" for name, value in os.environ.items() if "OPENBLAS" in name]
    text = "Threads and kernels: " + ", ".join(blas)
    if any(name.startswith("OPENBLAS_") for name in forced):
        text += f"\nNote: {', '.join(forced)} may force a slower kernel than this machine has."
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--json", metavar="PATH", help="write the rows there")
    options = parser.parse_args()
    print(header())
    if options.smoke:
        rows = [
            *top_rows([10_000, 100_000], 100, 1),
            *dense_rows([20_000], 16, (10,), 1),
            *bm25_rows([2_000], 20, (10,), 1),
            *mmr_rows([100], 10, 1),
            *fusion_rows(100, 50, 1),
        ]
    else:
        rows = [
            *top_rows([100_000, 1_000_000, 10_000_000], 1000, 15),
            *dense_rows([100_000, 1_000_000], 64, (10, 100, 1000), 9),
            *bm25_rows([5_000, 50_000], 200, (10, 1000), 9),
            *mmr_rows([100, 1_000, 10_000], 50, 12),
            *fusion_rows(1_000, 100, 5),
        ]
    print("Seconds, the best of the rounds; the ratio is the peer's time over ours.")
    print_rows(rows)
    if options.json:
        write(options.json, "retrieval", rows, ("faiss-cpu", "bm25s", "scipy"))


if __name__ == "__main__":
    main()
