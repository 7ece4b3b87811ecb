"""How fast a world is served, and what memory that takes.

    python benchmarks/world.py              the presets, policies and sizes: minutes
    python benchmarks/world.py --smoke      small, seconds
    python benchmarks/world.py --json PATH  also writes what was measured, versions and machine

One thread. An impression is a row of the log: a slate of ten is chosen among 30 or 100 candidates
of each request, and the log has what became of it, as a frame. The policies:

- trivial: the same score for all, so that what is timed is the world itself.
- linear: three columns of the candidates, weighted.
- ranker: an object with `rank`, as a funnel has, which answers each query with ten live documents;
  candidates are then not made at all.

Each is served on twins of one world, in turns, and the best of the rounds counts. Memory is the
peak of resident memory while serving beyond what was resident before, freed memory having been
given back first (Linux only), and beside it that of the log, which is handed out.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from _common import collector_off, machine, version
from _drift_process import forget_peak, resident

from mlsd.world import World

SEED = 20261130
ROUNDS = 3


def trivial(requests: pd.DataFrame, candidates: pd.DataFrame) -> Any:
    return np.zeros(len(candidates))


def linear(requests: pd.DataFrame, candidates: pd.DataFrame) -> Any:
    topic, age, price = (candidates[name].to_numpy() for name in ("topic", "age", "price"))
    return 0.1 * topic - 0.5 * age - 0.2 * price


class Ranker:
    """Ten live documents for each query, from where its identifier points to."""

    def __init__(self, world: World) -> None:
        self.world = world

    def rank(self, queries: pd.DataFrame) -> pd.DataFrame:
        items = self.world.items
        live = items.loc[items["live"], "doc_id"].to_numpy()
        query = queries["query_id"].to_numpy()
        place = np.arange(10)
        doc = live[(query[:, None] * 7 + place) % live.size]
        return pd.DataFrame(
            {
                "query_id": np.repeat(query, 10),
                "doc_id": doc.ravel(),
                "score": np.tile(-place.astype(np.float64), query.size),
                "rank": np.tile(place + 1, query.size),
            }
        )


def served(world: World, name: str, days: int, **options: Any) -> tuple[float, int]:
    """Return the seconds and the rows of the log of a twin."""
    twin = world.copy()
    policy = {"trivial": trivial, "linear": linear, "ranker": Ranker(twin)}[name]
    gc.collect()
    with collector_off():
        start = time.perf_counter()
        log = twin.serve(policy, days, **options)
        return time.perf_counter() - start, len(log)


def speeds(n_users: int, rounds: int) -> list[dict[str, Any]]:
    """Return impressions a second by preset, candidates, policy and exploration, one day each.

    The last is a week of the world that one gets without asking for a size.
    """
    cases: list[tuple[str, int, str, dict[str, Any]]] = [
        (preset, candidates, policy, {})
        for preset in ("feed", "ads", "shop")
        for candidates in (30, 100)
        for policy in ("trivial", "linear", "ranker")
        if policy != "ranker" or candidates == 30  # it brings its own
    ]
    cases += [
        ("feed", 30, "trivial", {"explore": 0.1}),
        ("feed", 30, "trivial", {"temperature": 1.0}),
    ]
    sized = [(n_users, 1, *case) for case in cases] + [(2_000, 7, "feed", 30, "trivial", {})]
    worlds: dict[tuple[int, str, int], World] = {}
    best: list[tuple[float, int]] = [(float("inf"), 0)] * len(sized)
    for _ in range(rounds):
        for at, (users, days, preset, candidates, policy, options) in enumerate(sized):
            key = users, preset, candidates
            if key not in worlds:
                worlds[key] = World(preset, n_users=users, random_state=SEED, candidates=candidates)
            best[at] = min(best[at], served(worlds[key], policy, days, **options))
    return [
        {
            "users": users,
            "days": days,
            "preset": preset,
            "candidates": candidates,
            "policy": policy,
            "options": ", ".join(f"{name} {value:g}" for name, value in options.items()),
            "impressions": rows,
            "seconds": seconds,
            "impressions_a_second": rows / seconds,
        }
        for (users, days, preset, candidates, policy, options), (seconds, rows) in zip(
            sized, best, strict=True
        )
    ]


def memory(n_users: int, days: tuple[int, ...], chunks: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the peak of memory by size of the chunks, and by days; 100 candidates a request."""
    world = World("feed", n_users=n_users, random_state=SEED, candidates=100)
    served(world, "linear", 1)  # what is imported late is there
    cases = [(days[0], size) for size in chunks] + [(number, 1_000_000) for number in days[1:]]
    rows = []
    for number, size in cases:
        twin = world.copy()
        forget_peak()
        before = resident("VmRSS")
        log = twin.serve(linear, number, chunk_rows=size)
        rows.append(
            {
                "days": number,
                "chunk_rows": size,
                "impressions": len(log),
                "peak_mb": resident("VmHWM") - before,
                "log_mb": float(log.memory_usage(deep=True).sum()) / 2**20,
            }
        )
        del log, twin
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, seconds")
    parser.add_argument("--json", metavar="PATH", help="where to write what was measured")
    options = parser.parse_args()
    if options.smoke:
        fast = speeds(500, 1)
        bounded = memory(500, (1, 2), (10_000, 30_000))
    else:
        fast = speeds(50_000, ROUNDS)
        bounded = memory(50_000, (1, 2, 4), (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000))
    start = time.perf_counter()
    World("feed", n_users=500 if options.smoke else 50_000, random_state=SEED + 1)
    making = time.perf_counter() - start
    for rows in (fast, bounded):
        print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:,.3f}"))
    print(f"a world of feed is made in {making:.2f} s")
    if options.json:
        content = {
            "benchmark": "world",
            "rows": [],  # no peers
            "versions": {name: version(name) for name in ("mlsd", "numpy", "pandas", "scipy")},
            "machine": machine(),
            "seed": SEED,
            "speed": fast,
            "memory": bounded,
            "making_seconds": making,
        }
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
