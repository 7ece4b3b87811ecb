"""NDCG@10, MRR, MAP and recall@100 from pandas frames of string identifiers, beside the peers.

    python benchmarks/ranking.py              a million rows, in two shapes: some minutes
    python benchmarks/ranking.py --smoke      the same in small, a few seconds
    python benchmarks/ranking.py --json PATH  also writes the rows, versions and machine

All start from the same frames, with judgements that were prepared once, and end with the four
means. They take turns, so that a busy machine slows all; the best of the rounds counts. pytrec_eval
runs here, with the fastest conversion to its nested dictionaries that we know of; ranx (compiled
before the first round) and ir_measures run in environments of their own under ``_build/peers``,
which a smoke run uses only if they are there. The time of the other processes is their own clock's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "--without-pyarrow" in sys.argv:
    sys.modules["pyarrow"] = None  # before pandas looks for it

import numpy as np
import pandas as pd
from _common import best_of, peer_python, print_rows, row, version, write

NAMES = {
    "ndcg@10": "ndcg_cut_10",
    "mrr": "recip_rank",
    "map": "map",
    "recall@100": "recall_100",
}
PEERS = {
    # ranx builds frames the way pandas 2 has them.
    "ranx": ["ranx==0.3.21", "pandas==2.3.3", "pyarrow==26.0.1"],
    "ir_measures": ["ir_measures==0.4.3", "pandas==2.3.3", "pyarrow==26.0.1"],
}


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


def with_strings(frame: pd.DataFrame, dtype: Any = "str") -> pd.DataFrame:
    """Return the frame with fresh strings, as a reader of files makes them."""
    columns = {
        column: pd.Series(
            np.char.add(prefix, frame[column].to_numpy().astype(str)).astype(object), dtype=dtype
        )
        for column, prefix in (("query_id", "query-"), ("doc_id", "doc-"))
    }
    return frame.assign(**columns)


def nest(frame: pd.DataFrame, value: str) -> dict[str, dict[str, float]]:
    """Return {query: {document: value}}, query by query: the frame has them in one piece."""
    query = frame["query_id"].to_numpy(dtype=object)
    docs, values = frame["doc_id"].to_numpy(dtype=object).tolist(), frame[value].tolist()
    starts = np.flatnonzero(np.append(True, query[1:] != query[:-1]))
    ends = np.append(starts[1:], len(query))
    return {
        query[a]: dict(zip(docs[a:b], values[a:b], strict=True))
        for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def mlsd_evaluator(qrels: pd.DataFrame) -> Callable[[pd.DataFrame], list[float]]:
    from mlsd import metrics

    judged = metrics.Qrels(qrels)
    return lambda run: metrics.evaluate_ranking(judged, run, list(NAMES), empty=0).mean().tolist()


def pytrec_evaluator(qrels: pd.DataFrame) -> Callable[[pd.DataFrame], list[float]]:
    import pytrec_eval

    measures = {"ndcg_cut.10", "recip_rank", "map", "recall.100"}
    evaluator = pytrec_eval.RelevanceEvaluator(nest(qrels, "relevance"), measures)

    def evaluate(run: pd.DataFrame) -> list[float]:
        found = evaluator.evaluate(nest(run, "score")).values()
        return [sum(values[name] for values in found) / len(found) for name in NAMES.values()]

    return evaluate


def ranx_evaluator(qrels: pd.DataFrame) -> Callable[[pd.DataFrame], list[float]]:
    import ranx

    judged = ranx.Qrels.from_df(qrels, "query_id", "doc_id", "relevance")

    def evaluate(frame: pd.DataFrame) -> list[float]:
        run = ranx.Run.from_df(frame, "query_id", "doc_id", "score")
        names = list(NAMES)
        found = ranx.evaluate(judged, run, names, make_comparable=True)
        return [float(found[name]) for name in names]

    return evaluate


def ir_measures_evaluator(qrels: pd.DataFrame) -> Callable[[pd.DataFrame], list[float]]:
    import ir_measures
    from ir_measures import AP, RR, R, nDCG

    wanted = [nDCG @ 10, RR, AP, R @ 100]
    evaluator = ir_measures.evaluator(wanted, qrels)

    def evaluate(run: pd.DataFrame) -> list[float]:
        found = evaluator.calc_aggregate(run)
        return [float(found[measure]) for measure in wanted]

    return evaluate


EVALUATORS = {
    "mlsd": mlsd_evaluator,
    "pytrec-eval-terrier": pytrec_evaluator,
    "ranx": ranx_evaluator,
    "ir_measures": ir_measures_evaluator,
}


def serve(name: str, folder: Path) -> None:
    """In another process: evaluate the frames of the folder once a line, and answer in JSON."""
    if name in PEERS:
        qrels, run = (pd.read_parquet(folder / f"{part}.parquet") for part in ("qrels", "run"))
    else:  # without pyarrow there is no Parquet
        qrels, run = (
            pd.DataFrame(dict(np.load(folder / f"{part}.npz"))) for part in ("qrels", "run")
        )
        qrels, run = with_strings(qrels, object), with_strings(run, object)
    evaluate = EVALUATORS[name](qrels)
    evaluate(run)
    print(json.dumps({"version": version(name)}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        values = evaluate(run)
        print(json.dumps({"seconds": time.perf_counter() - start, "values": values}), flush=True)


class Process:
    """An evaluator in another process, which measures its own time."""

    def __init__(self, python: Path | str, name: str, folder: Path, *options: str) -> None:
        command = [str(python), __file__, "--serve", name, str(folder), *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self.read()["version"]

    def read(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith("{"):  # some libraries talk
                return json.loads(line)
        raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")

    def __call__(self) -> dict[str, Any]:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(n_queries: int, n_docs: int, rounds: int, *, smoke: bool) -> list[dict[str, Any]]:
    qrels_codes, run_codes = make_codes(n_queries, n_docs, np.random.default_rng(0))
    qrels, run = with_strings(qrels_codes), with_strings(run_codes)
    objects = with_strings(run_codes, object)
    categories = run.astype({"query_id": "category", "doc_id": "category"})
    ours, trec = mlsd_evaluator(qrels), pytrec_evaluator(qrels)
    by_code = mlsd_evaluator(qrels_codes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, codes in (("qrels", qrels_codes), ("run", run_codes)):
            np.savez(folder / f"{part}.npz", **{c: codes[c].to_numpy() for c in codes})
            with_strings(codes, object).to_parquet(folder / f"{part}.parquet")
        others = {
            peer: Process(python, peer, folder)
            for peer, packages in PEERS.items()
            if (python := peer_python(peer, packages, create=not smoke)) is not None
        }
        alone = [
            Process(sys.executable, name, folder, "--without-pyarrow")
            for name in ("mlsd", "pytrec-eval-terrier")
        ]
        calls = [
            lambda: ours(run),
            lambda: trec(run),
            lambda: ours(objects),
            lambda: trec(objects),
            lambda: ours(categories),
            lambda: by_code(run_codes),
            lambda: floor(run_codes, n_docs),
        ]
        calls = [clocked(call) for call in calls] + [*alone, *others.values()]
        found = [[] for _ in calls]
        # Each call brings its own clock; the first round warms up.
        for turn in range(rounds + 1):
            for i, (_, answer) in enumerate(best_of(1, *calls)):
                if turn:
                    found[i].append(answer)
        for process in (*others.values(), *alone):
            process.close()
    expected = found[1][0]["values"]
    for answers in found:
        if answers[0]["values"] is not None:
            np.testing.assert_allclose(answers[0]["values"], expected, atol=1e-6)
    np.testing.assert_allclose(found[0][0]["values"], expected, atol=1e-12)
    best = [min(answer["seconds"] for answer in answers) for answers in found]
    str_ours, str_trec, object_ours, object_trec, cat, integer, low = best[:7]
    no_arrow, no_arrow_trec, *best_others = best[7:]
    trec_name, trec_version = "pytrec-eval-terrier", version("pytrec-eval-terrier")
    shape = f"{n_queries:,} x {n_docs:,}"
    return [
        row(shape, trec_name, trec_version, str_ours, str_trec, "str columns, with pyarrow"),
        *(
            row(shape, peer, process.version, str_ours, seconds, "its frame: pandas 2, object")
            for (peer, process), seconds in zip(others.items(), best_others, strict=True)
        ),
        row(shape, trec_name, trec_version, object_ours, object_trec, "object columns"),
        row(shape, trec_name, trec_version, no_arrow, no_arrow_trec, "object, without pyarrow"),
        row(shape, trec_name, trec_version, cat, min(str_trec, object_trec), "categories"),
        row(shape, trec_name, trec_version, integer, min(str_trec, object_trec), "integers"),
        row(shape, "np.sort", np.__version__, str_ours, low, "the scores by query, nothing else"),
    ]


def clocked(call: Callable[[], Any]) -> Callable[[], dict[str, Any]]:
    def run() -> dict[str, Any]:
        start = time.perf_counter()
        values = call()
        return {"seconds": time.perf_counter() - start, "values": values}

    return run


def floor(run: pd.DataFrame, n_docs: int) -> None:
    """Sort the scores of each query: no metric can do without."""
    np.sort(run["score"].to_numpy().reshape(-1, n_docs), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--json", metavar="PATH", help="write the rows there")
    parser.add_argument("--rounds", type=int, help="turns of each")
    parser.add_argument("--serve", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--without-pyarrow", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve[0], Path(options.serve[1]))
        return
    smoke = options.smoke
    sizes = [(100, 100), (10, 1000)] if smoke else [(10_000, 100), (1_000, 1_000)]
    rounds = options.rounds or (2 if smoke else 7)
    rows = [r for size in sizes for r in measure(*size, rounds, smoke=smoke)]
    print("Seconds, the best of the rounds; the ratio is the peer's time over ours.")
    print_rows(rows)
    if options.json:
        write(options.json, "ranking", rows, ("pytrec-eval-terrier",))


if __name__ == "__main__":
    main()
