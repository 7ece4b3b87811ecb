"""Time the retrieval part of mlsd.funnel beside the plain way of doing the same.

    python benchmarks/retrieval.py            # 50,000 texts, 1,000,000 vectors: about a minute
    python benchmarks/retrieval.py --smoke    # a few thousand of each: a few seconds

Both sides of a row run back to back, in turns, and the best of the repeats is kept; the ratio
carries over to other machines better than the times do. Every row first checks that both sides
return the same documents.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from mlsd.funnel import BM25, MMR, DenseIndex, reciprocal_rank_fusion

K = 10


def side_by_side(
    name: str,
    ours: Callable[[], Any],
    plain: Callable[[], Any],
    repeats: int,
    *,
    check: bool = True,
) -> dict[str, object]:
    """Run both sides in turns and return the best times and their ratio."""
    if check:
        np.testing.assert_array_equal(ours(), plain(), err_msg=name)
    best = [np.inf, np.inf]
    for _ in range(repeats):
        for side, call in enumerate((ours, plain)):
            start = time.perf_counter()
            call()
            best[side] = min(best[side], time.perf_counter() - start)
    return row(name, *best)


def row(name: str, ours: float, plain: float = np.nan) -> dict[str, object]:
    return {"what": name, "mlsd ms": ours * 1e3, "plain ms": plain * 1e3, "ratio": plain / ours}


def zipf_texts(rng: np.random.Generator, n: int, vocabulary: int) -> list[str]:
    """Return texts of 20 to 60 words whose frequencies follow Zipf's law."""
    share = 1 / np.arange(1, vocabulary + 1)
    lengths = rng.integers(20, 60, size=n)
    names = np.array([f"w{number}" for number in range(vocabulary)])
    words = names[rng.choice(vocabulary, size=lengths.sum(), p=share / share.sum())]
    return [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])]


def bm25_rows(rng: np.random.Generator, n: int, n_queries: int, repeats: int) -> list[dict]:
    vocabulary = 30_000
    texts = zipf_texts(rng, n, vocabulary)
    start = time.perf_counter()
    index = BM25().fit(texts)
    rows = [row(f"BM25 fit, {n:,} texts", time.perf_counter() - start)]
    for kind, low, high in (("rare", 500, vocabulary), ("frequent", 0, 30)):
        queries = [
            " ".join(f"w{word}" for word in rng.integers(low, high, size=4))
            for _ in range(n_queries)
        ]

        def ours(queries=queries):
            found = index.search(queries, K)
            return found[["query_id", "doc_id"]].to_numpy()

        def plain(queries=queries):
            found = []
            scores = index.scores(queries)
            for query in range(n_queries):  # one query at a time, as such code is written
                dense = scores[[query]].toarray().ravel()
                top = np.argsort(-dense, kind="stable")[:K]
                found += [(query, doc) for doc in top[dense[top] > 0]]
            return np.array(found)

        rows.append(side_by_side(f"BM25 search, {n_queries} {kind}", ours, plain, repeats))

        run = index.search(queries, 1000)
        timed = time.perf_counter()
        index.score_pairs(queries, run)
        took = time.perf_counter() - timed
        rows.append(row(f"BM25 score_pairs, {len(run):,} {kind}", took))
    return rows


def dense_rows(rng: np.random.Generator, n: int, n_queries: int, repeats: int) -> list[dict]:
    vectors = rng.normal(size=(n, 64)).astype(np.float32)
    queries = rng.normal(size=(n_queries, 64)).astype(np.float32)
    index = DenseIndex(metric="dot").fit(vectors)
    rows = []
    for k in (K, 1000):

        def ours(k=k):
            return index.search(queries, k)[0]

        def plain(k=k):
            # Rows at a time, or the scores alone would take n_queries * n * 4 bytes.
            return np.concatenate(
                [np.argsort(-(part @ vectors.T), axis=1)[:, :k] for part in np.split(queries, 8)]
            )

        def partitioned(k=k):
            parts = []
            for part in np.split(queries, 8):
                scores = part @ vectors.T
                top = np.argpartition(scores, -k, axis=1)[:, -k:]
                order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
                parts.append(np.take_along_axis(top, order, axis=1))
            return np.concatenate(parts)

        name = f"DenseIndex, {n_queries} x {n:,} x 64, k={k}"
        for how, other in (("argsort", plain), ("argpartition", partitioned)):
            # Products in float32 swap near-ties: compare scores at the precision of float32.
            for query, one, two in zip(queries, ours(), other(), strict=True):
                np.testing.assert_allclose(vectors[one] @ query, vectors[two] @ query, atol=1e-4)
            rows.append(side_by_side(f"{name}: {how}", ours, other, repeats, check=False))
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for at in range(0, n, 16_384):
            queries @ vectors[at : at + 16_384].T
        best = min(best, time.perf_counter() - start)
    rows.append(row("  the matrix products alone", best))
    return rows


def slate_rows(rng: np.random.Generator, n: int, k: int, repeats: int) -> list[dict]:
    table = pd.DataFrame(rng.normal(size=(n, 64)))
    run = pd.DataFrame({"query_id": 0, "doc_id": range(n), "score": np.sort(rng.random(n))[::-1]})
    mmr = MMR(trade_off=0.7)

    def ours():
        return mmr.rerank(run, table, k)["doc_id"].to_numpy()

    def plain():
        unit = table.to_numpy() / np.linalg.norm(table.to_numpy(), axis=1, keepdims=True)
        score = run["score"].to_numpy()
        relevance = (score - score.min()) / (score.max() - score.min())
        picked: list[int] = [int(relevance.argmax())]
        while len(picked) < k:  # every candidate against all that was picked, again
            value = 0.7 * relevance - 0.3 * (unit @ unit[picked].T).max(axis=1)
            value[picked] = -np.inf
            picked.append(int(value.argmax()))
        return np.array(picked)

    rows = [side_by_side(f"MMR, 1 query, n={n}, k={k}", ours, plain, repeats)]

    n_queries, depth = n, 100
    doc = np.argsort(rng.random((n_queries, 2 * depth)), axis=1)[:, :depth]
    other = np.argsort(rng.random((n_queries, 2 * depth)), axis=1)[:, :depth]
    query = np.repeat(np.arange(n_queries), depth)
    rank = np.tile(np.arange(1, depth + 1), n_queries)
    runs = [
        pd.DataFrame({"query_id": query, "doc_id": found.ravel(), "rank": rank})
        for found in (doc, other)
    ]

    def fused():
        found = reciprocal_rank_fusion(runs)
        return np.sort(found["score"].to_numpy())

    def dictionary():
        total: dict[tuple[int, int], float] = {}
        for one in runs:
            for pair in zip(one["query_id"], one["doc_id"], one["rank"], strict=True):
                total[pair[:2]] = total.get(pair[:2], 0.0) + 1 / (60 + pair[2])
        return np.sort(np.fromiter(total.values(), float))

    name = f"reciprocal_rank_fusion, 2 x {len(query):,} rows"
    rows.append(side_by_side(name, fused, dictionary, repeats))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, one repeat")
    smoke = parser.parse_args().smoke
    rng = np.random.default_rng(0)
    repeats = 1 if smoke else 3
    rows = bm25_rows(rng, 2_000 if smoke else 50_000, 50 if smoke else 200, repeats)
    rows += dense_rows(rng, 20_000 if smoke else 1_000_000, 64, repeats)
    rows += slate_rows(rng, 100 if smoke else 1_000, 10 if smoke else 50, repeats)
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.1f}".format, na_rep="-"))


if __name__ == "__main__":
    main()
