"""False alarms, coverage and power of every test of `mlsd.experiments`; and its speed.

    python benchmarks/experiments.py              thousands of experiments each, minutes
    python benchmarks/experiments.py --smoke      fifty each, seconds
    python benchmarks/experiments.py --json PATH  also writes the shares, versions and machine
    python benchmarks/experiments.py --peers DIR  also times tea-tasting, whose environment is there
    python benchmarks/experiments.py --only NAME  one study, without the speed
    python benchmarks/experiments.py --jobs 2     studies side by side; the shares stay the same

    python benchmarks/_experiment_peers.py --make DIR  makes this environment

Every experiment is drawn, and so its truth is known. Without an effect, a p-value below the level
is a false alarm; an interval is counted if it holds the truth. What is drawn is said where it is
drawn, in `_experiment_draws.py` and the studies, and study i draws from the seed (20261128, i).
Beside the right analyses stand some of the wrong ones that are common: impressions taken as
independent, a test for one look that is looked at twenty times, rows of clusters as if each had
been randomised.

A row promises that its share is about, at most or at least its nominal one. It is kept unless the
binomial law says otherwise, at the level at which all promises together hold with 95 %. The
intervals that are shown are Wilson's with 95 % each.

The speed is of one thread, in turns with the peers on the same million units; values are compared
before any time is believed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from _common import machine, print_rows, version
from _experiment_clusters import clusters
from _experiment_fixed import cuped, means, ratios, sizes
from _experiment_launch import margins, ramps
from _experiment_lists import interleaving
from _experiment_looks import every_day, planned_looks
from _experiment_report import reports
from _experiment_rows import judge
from _experiment_speed import speed
from _experiment_splits import assignment, families, splits
from _experiment_world import world_splits

SEED = 20261128
SMOKE = 50
Study = Callable[[int, np.random.Generator], list[dict[str, Any]]]
# What is studied, and of how many experiments.
STUDIES: dict[str, tuple[Study, int]] = {
    "means": (means, 4_000),
    "CUPED": (cuped, 4_000),
    "ratios": (ratios, 2_500),
    "guardrails": (margins, 5_000),
    "sizes": (sizes, 20_000),
    "assignment": (assignment, 5_000),
    "splits": (splits, 10_000),
    "families": (families, 10_000),
    "every day": (every_day, 2_000),
    "planned looks": (planned_looks, 2_000),
    "clusters": (clusters, 2_000),
    "interleaving": (interleaving, 10_000),
    "reports": (reports, 2_000),
    "ramps": (ramps, 2_000),
    "the world": (world_splits, 2_000),
}


def run(job: tuple[str, int]) -> tuple[list[dict[str, Any]], float]:
    """Return the rows of a study, and its seconds."""
    name, n = job
    start = time.perf_counter()
    rows = STUDIES[name][0](n, np.random.default_rng((SEED, list(STUDIES).index(name))))
    seconds = time.perf_counter() - start
    print(f"{name}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return [{"study": name, **row} for row in rows], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="fifty experiments each, seconds")
    parser.add_argument("--json", metavar="PATH", help="where to write what was found")
    parser.add_argument("--peers", metavar="DIR", help="the folder of tea-tasting's environment")
    parser.add_argument("--only", metavar="NAME", choices=STUDIES, help="one study, no speed")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    options = parser.parse_args()
    names = [options.only] if options.only else list(STUDIES)
    jobs = [(name, SMOKE if options.smoke else STUDIES[name][1]) for name in names]
    timed: list[dict[str, Any]] = []
    if not options.only:  # before the others heat the machine
        timed = speed(10_000 if options.smoke else 1_000_000, options.peers)
        print_rows(timed)
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            found = list(pool.map(run, jobs))
    else:
        found = [run(job) for job in jobs]
    seconds = {name: took for name, (_, took) in zip(names, found, strict=True)}
    rows = [row for some, _ in found for row in some]
    judge(rows)
    show(rows, seconds)
    if options.json:
        packages = ("mlsd", "numpy", "pandas", "scipy", "statsmodels")
        versions = {name: version(name) for name in packages}
        versions |= {row["peer"]: row["peer_version"] for row in timed if row["peer_version"]}
        content = {
            "benchmark": "experiments",
            "rows": timed,
            "versions": versions,
            "machine": machine(),
            "seed": SEED,
            "seconds": seconds,
            "rates": rows,
        }
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def show(rows: list[dict[str, Any]], seconds: dict[str, float]) -> None:
    """Print the shares, and which of them are not what was promised."""
    table = pd.DataFrame(rows)
    shown = ["test", "condition", "what", "nominal", "share", "lower", "upper", "experiments"]
    with pd.option_context("display.width", 250, "display.max_colwidth", 100):
        for study, part in table.groupby("study", sort=False):
            print(f"\n{study}, {seconds[study]:.1f} s")
            text = part[shown].to_string(index=False, float_format=lambda value: f"{value:.4f}")
            print(text.replace(" NaN", "   -"))
        broken = table[table["kept"].eq(False)]
        print(f"\n{len(broken)} of {table['kept'].notna().sum()} promises are not kept")
        if len(broken):
            print(broken[shown].to_string(index=False))


if __name__ == "__main__":
    main()
