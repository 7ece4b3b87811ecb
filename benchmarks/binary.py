"""AUC, log loss and intervals of AUC against scikit-learn, and how much memory they take.

    python benchmarks/binary.py                 ten million rows, a few minutes
    python benchmarks/binary.py --smoke         the same in small, a few seconds
    python benchmarks/binary.py --json PATH     write the rows too

NumPy's sort with AVX-512 is several times slower than with AVX2 on some processors (AMD's Zen 4
among them). ``NPY_DISABLE_CPU_FEATURES=X86_V4`` before the command shows the other side.

Ours and theirs take turns, and the best of the rounds counts. The values are compared before any
time is believed. Memory is the peak of what a call allocates, in units of its column of scores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import tracemalloc

import numpy as np
from _common import best_of, print_rows, row, version, write
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from mlsd.metrics._binary import roc_auc
from mlsd.metrics._delong import roc_auc_ci
from mlsd.metrics._probability import log_loss

RESAMPLES = 200


def make(n: int, rate: float, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as bytes, and probabilities that order them with an AUC of about .8."""
    rng = np.random.default_rng(0)
    label = rng.random(n) < rate
    score = rng.normal(size=n) + 1.2 * label + np.log(rate / (1 - rate)) - 0.7
    return label.astype(np.int8), (1 / (1 + np.exp(-score))).astype(dtype)


def peak(function, score: np.ndarray, *args) -> float:
    """Return the peak of the memory a call allocates, in units of the scores."""
    tracemalloc.start()
    function(*args)
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used / score.nbytes


def point_metrics(n: int, rounds: int, rate: float, dtype: type) -> list[dict]:
    label, score = make(n, rate, dtype)
    what = f"{n:,} rows, {dtype.__name__}, {rate:.0%} positive"
    (ours, value), (theirs, peer), (sort, _) = best_of(
        rounds,
        lambda: roc_auc(label, score),
        lambda: roc_auc_score(label, score),
        lambda: np.sort(score),
    )
    np.testing.assert_allclose(value, peer, rtol=0, atol=1e-9)
    memory = f"peak memory {peak(roc_auc, score, label, score):.2f} times the scores"
    rows = [
        row(f"AUC, {what}", "scikit-learn", version("scikit-learn"), ours, theirs, memory),
        row(f"AUC, {what}", "one np.sort", version("numpy"), ours, sort, "the ratio is below 1"),
    ]
    (ours, value), (theirs, peer) = best_of(
        rounds, lambda: log_loss(label, score), lambda: sklearn_log_loss(label, score)
    )
    np.testing.assert_allclose(value, peer, rtol=1e-5 if dtype is np.float32 else 1e-12)
    memory = f"peak memory {peak(log_loss, score, label, score):.2f} times the scores"
    name = version("scikit-learn")
    return [*rows, row(f"log loss, {what}", "scikit-learn", name, ours, theirs, memory)]


def intervals(n: int, rounds: int) -> list[dict]:
    label, score = make(n, 0.2, np.float64)
    rng = np.random.default_rng(1)

    def naive() -> np.ndarray:
        areas = np.empty(RESAMPLES)
        for i in range(RESAMPLES):
            drawn = rng.integers(0, n, n)
            areas[i] = roc_auc_score(label[drawn], score[drawn])
        return np.quantile(areas, [0.025, 0.975])

    options = {"method": "bootstrap", "n_resamples": RESAMPLES, "random_state": 0}
    (boot, ours), (delong, theory), (theirs, ends) = best_of(
        rounds,
        lambda: roc_auc_ci(label, score, **options),
        lambda: roc_auc_ci(label, score),
        naive,
    )
    for interval in (ours, theory):
        np.testing.assert_allclose([interval.lower, interval.upper], ends, atol=interval.stderr)
    peer = ("scikit-learn in a loop", version("scikit-learn"))
    what = f"interval of AUC, {n:,} rows"
    note = f"{RESAMPLES} resamples"
    return [
        row(f"{what}, bootstrap", *peer, boot, theirs, note),
        row(f"{what}, DeLong", *peer, delong, theirs, f"no resamples against {RESAMPLES}"),
    ]


def import_time(rounds: int) -> list[dict]:
    def imported(module: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        return time.perf_counter() - start

    times = [(imported("mlsd.metrics"), imported("pandas")) for _ in range(rounds)]
    ours, theirs = (min(column) for column in zip(*times, strict=True))
    return [
        row("import mlsd.metrics", "pandas", version("pandas"), ours, theirs, "process start in")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, a few seconds")
    parser.add_argument("--json", metavar="PATH", help="write the rows to this file")
    options = parser.parse_args()
    n, n_interval, rounds = (100_000, 5_000, 2) if options.smoke else (10_000_000, 100_000, 3)
    rows = []
    for rate, dtype in ((0.03, np.float64), (0.5, np.float64), (0.03, np.float32)):
        rows += point_metrics(n, rounds, rate, dtype)
    rows += intervals(n_interval, rounds)
    rows += import_time(rounds)
    print_rows(rows)
    off = os.environ.get("NPY_DISABLE_CPU_FEATURES", "")
    if options.json:
        write(options.json, f"binary, {off} off" if off else "binary", rows, ("scikit-learn",))


if __name__ == "__main__":
    main()
