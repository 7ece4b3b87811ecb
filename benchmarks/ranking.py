"""NDCG@10, MRR, MAP and recall@100 from frames of string identifiers, against pytrec_eval.

    python benchmarks/ranking.py            a million rows, in two shapes
    python benchmarks/ranking.py --smoke    the same in small, a few seconds

Both start from the same frames with strings nobody has hashed yet, and take turns, so that a busy
machine slows both; the best of the rounds counts. pytrec_eval's time is split into the fastest
conversion to its nested dictionaries that we know of, and the evaluation itself.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import time

import numpy as np
import pandas as pd
import pytrec_eval

from mlsd import metrics

NAMES = {
    "ndcg@10": "ndcg_cut_10",
    "mrr": "recip_rank",
    "map": "map",
    "recall@100": "recall_100",
}
MEASURES = {"ndcg_cut.10", "recip_rank", "map", "recall.100"}


def make_codes(n_queries: int, n_docs: int, rng: np.random.Generator) -> tuple[pd.DataFrame, ...]:
    """Return judgements, a fifth as many as rows and half of them retrieved, and a run."""
    corpus = 2 * n_queries * n_docs // 10
    start = rng.integers(0, corpus, (n_queries, 1))
    # An odd stride through the corpus: distinct documents in each query.
    docs = (start + 7919 * np.arange(n_docs + n_docs // 10)) % corpus
    query = np.arange(n_queries)
    # Whole numbers below 2**24, that single precision, and so pytrec_eval, keeps apart.
    run = pd.DataFrame(
        {"query_id": np.repeat(query, n_docs), "doc_id": docs[:, :n_docs].ravel()}
    ).assign(score=rng.permutation(n_queries * n_docs).astype(float))
    judged = docs[:, -(n_docs // 5) :]
    qrels = pd.DataFrame(
        {"query_id": np.repeat(query, judged.shape[1]), "doc_id": judged.ravel()}
    ).assign(relevance=rng.integers(0, 4, judged.size))
    return qrels, run


def with_strings(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with fresh strings, as a reader of files makes them."""
    query, doc = (
        np.char.add(prefix, frame[column].to_numpy().astype(str)).astype(object)
        for column, prefix in (("query_id", "query-"), ("doc_id", "doc-"))
    )
    return frame.assign(query_id=query, doc_id=doc)


def nest(frame: pd.DataFrame, value: str) -> dict[str, dict[str, float]]:
    """Return {query: {document: value}}, query by query: the frame has them in one piece."""
    query = frame["query_id"].to_numpy(dtype=object)
    docs, values = frame["doc_id"].tolist(), frame[value].tolist()
    starts = np.flatnonzero(np.append(True, query[1:] != query[:-1]))
    ends = np.append(starts[1:], len(query))
    return {
        query[a]: dict(zip(docs[a:b], values[a:b], strict=True))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def seconds(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def measure(n_queries: int, n_docs: int, rounds: int) -> dict[str, float | str]:
    qrels_codes, run_codes = make_codes(n_queries, n_docs, np.random.default_rng(0))
    qrels_frame = with_strings(qrels_codes)
    qrels = metrics.Qrels(qrels_frame)
    evaluator = pytrec_eval.RelevanceEvaluator(nest(qrels_frame, "relevance"), MEASURES)
    integer_qrels = metrics.Qrels(qrels_codes)
    times = []
    for _ in range(rounds):
        run = with_strings(run_codes)
        ours, result = seconds(metrics.evaluate_ranking, qrels, run, list(NAMES))
        run = with_strings(run_codes)
        convert, nested = seconds(nest, run, "score")
        evaluate, found = seconds(evaluator.evaluate, nested)
        categories = run.astype({"query_id": "category", "doc_id": "category"})
        by_code, _ = seconds(metrics.evaluate_ranking, qrels, categories, list(NAMES))
        integers, _ = seconds(metrics.evaluate_ranking, integer_qrels, run_codes, list(NAMES))
        times.append((ours, convert, evaluate, by_code, integers))
    theirs = pd.DataFrame.from_dict(found, orient="index")[list(NAMES.values())]
    np.testing.assert_allclose(
        result.per_query.to_numpy(), theirs.reindex(result.per_query.index).to_numpy(), atol=1e-12
    )
    ours, convert, evaluate, by_code, integers = np.min(times, axis=0)
    return {
        "queries x documents": f"{n_queries:,} x {n_docs:,}",
        "mlsd": ours,
        "pytrec_eval": convert + evaluate,
        "(convert)": convert,
        "ratio": (convert + evaluate) / ours,
        "mlsd, categories": by_code,
        "ratio ": (convert + evaluate) / by_code,
        "mlsd, integers": integers,
        "ratio  ": (convert + evaluate) / integers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, a few seconds")
    smoke = parser.parse_args().smoke
    sizes = [(100, 100), (10, 1000)] if smoke else [(10_000, 100), (1_000, 1_000)]
    table = pd.DataFrame([measure(*size, rounds=2 if smoke else 5) for size in sizes])
    print("Seconds, best of the rounds; the ratio is pytrec_eval's time over ours.")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    packages = ("numpy", "pandas", "pytrec-eval-terrier")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(f"Python {platform.python_version()}, {versions}, {platform.machine()}")


if __name__ == "__main__":
    main()
