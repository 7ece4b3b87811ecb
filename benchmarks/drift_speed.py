"""A full report of drift beside a loop over scipy's tests and the peers: times and memory.

    python benchmarks/drift_speed.py              200,000 x 200,000 x 50, and ten million rows
    python benchmarks/drift_speed.py --smoke      small sizes, seconds
    python benchmarks/drift_speed.py --json PATH  also writes the rows, versions and machine
    python benchmarks/drift_speed.py --peers DIR  also the peers whose environments are there

    python benchmarks/_drift_peers.py --make DIR  makes these environments

One thread for all: OMP_NUM_THREADS is set to 1 here unless it is set before. Every contestant is a
process of its own that has read the same two files, has answered once about smaller ones, so that
what is imported late is there, and then takes turns with the others; the best of the rounds counts,
and a peer that takes longer than `PATIENCE` seconds is asked once. Times are from frames in memory
to the names of the alarmed columns; what is asked of each is said in `_drift_peers.py`. "Cold" is
ours from both frames, "stored" from the JSON of the reference's profile and the live frame.

Memory is the peak of resident memory during a call beyond what was resident before it, freed memory
having been given back first: Linux only. The frames are those of `_drift_frames.py`, seed 20261126,
with all faults but the correlation's put into the live rows.

The ten million rows are a file of Parquet, read a row group of 200,000 at a time: into a profile on
the cells of the first group and a report, and, read twice, into a reference. What reading alone
takes is told beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # handed on to the other processes

import numpy as np
import pandas as pd
from _common import machine, print_rows, row, version
from _drift_frames import FAULTS, draw, inject, widened
from _drift_process import Peer, forget_peak, found_peers, resident

SEED = 20261126
PATIENCE = 15.0
HERE = ["mlsd cold", "mlsd stored", "mlsd object", "scipy", "np.sort"]


def contest(
    pair: tuple[Path, Path], peers: dict[str, Peer], rounds: int
) -> dict[str, dict[str, Any]]:
    """Return for each contestant its best seconds, its peak of memory, alarms and version."""
    best: dict[str, dict[str, Any]] = {}
    for turn in range(rounds):
        for name, peer in peers.items():
            known = best.get(name)
            if known is not None and known["seconds"] > PATIENCE:
                continue
            told = peer(*pair)
            if "error" in told:
                if name in HERE:
                    raise RuntimeError(f"{name}: {told['error']}")
                print(f"{name} failed: {told['error']}")
                told["seconds"] = float("inf")
            if turn == 0:
                best[name] = told | {"version": peer.version}
            else:
                best[name]["seconds"] = min(best[name]["seconds"], told["seconds"])
                best[name]["peak_mb"] = max(best[name]["peak_mb"], told["peak_mb"])
    return {name: told for name, told in best.items() if np.isfinite(told["seconds"])}


def rows_of(task: str, best: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the comparisons with ours cold and with ours from a stored reference."""
    rows = []
    for way in ("cold", "stored"):
        mine = best[f"mlsd {way}"]
        for name, told in best.items():
            if name.startswith("mlsd") or (way == "stored" and name == "np.sort"):
                continue
            note = f"peak memory {mine['peak_mb']:,.0f} MB, theirs {told['peak_mb']:,.0f} MB"
            seconds = mine["seconds"], told["seconds"]
            rows.append(row(f"{task}, {way}", name, told["version"], *seconds, note))
    return rows


def write_pair(folder: Path, name: str, reference: pd.DataFrame, live: pd.DataFrame):
    """Write two frames, and return where they are."""
    paths = folder / f"{name}-reference.parquet", folder / f"{name}-live.parquet"
    for frame, path in zip((reference, live), paths, strict=True):
        frame.to_parquet(path)
    return paths


def drifted(n: int, rng: np.random.Generator) -> pd.DataFrame:
    live = draw(n, rng)
    for fault in FAULTS:
        if fault != "correlation flip":
            live = inject(fault, live, rng)
    return live


def write_chunks(path: Path, n_chunks: int, n_rows: int, rng: np.random.Generator) -> None:
    """Write a file of row groups, one chunk each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for _ in range(n_chunks):
        table = pa.Table.from_pandas(draw(n_rows, rng), preserve_index=False)
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    writer.close()


def profile_chunks(path: str) -> None:
    """In another process: profile a file of row groups, compare, and say what it took."""
    import pyarrow.parquet as pq

    from mlsd.drift import DriftMonitor, Profile

    file = pq.ParquetFile(path)

    def chunks():
        for i in range(file.num_row_groups):
            yield file.read_row_group(i).to_pandas()

    def read() -> None:
        for _ in chunks():
            pass

    def compare():
        return monitor.compare(Profile.from_chunks(chunks(), like=reference))

    reference = Profile.from_frame(next(chunks()))
    monitor = DriftMonitor().fit(reference)
    monitor.compare(reference)
    told: dict[str, float] = {}
    ways = {"reading": read, "live": compare, "reference": lambda: Profile.from_chunks(chunks)}
    for way, call in [*ways.items()] * 2:
        forget_peak()
        before = resident("VmRSS")
        start = time.perf_counter()
        found = call()
        seconds, peak = time.perf_counter() - start, resident("VmHWM") - before
        told[f"{way}_seconds"] = min(seconds, told.get(f"{way}_seconds", seconds))
        told[f"{way}_mb"] = max(peak, told.get(f"{way}_mb", peak))
        if way == "live":
            told |= {"n_rows": found.n_live, "pages": len(found.page)}
    told["stored_bytes_a_column"] = len(found.to_json()) / len(found.names)
    print(json.dumps(told))


def chunkwise(folder: Path, n_chunks: int, n_rows: int) -> dict[str, Any]:
    """Profile and compare more rows than should be held, in a process of its own."""
    path = folder / "chunks.parquet"
    write_chunks(path, n_chunks, n_rows, np.random.default_rng((SEED, 2)))
    command = [sys.executable, __file__, "--chunks", str(path)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(found.stdout.splitlines()[-1])
    told |= {"file_mb": path.stat().st_size / 2**20, "row_group": n_rows}
    path.unlink()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="small sizes, seconds")
    parser.add_argument("--json", metavar="PATH", help="where to write what was measured")
    parser.add_argument("--peers", metavar="DIR", help="the folder of the peers' environments")
    parser.add_argument("--rounds", type=int, help="turns of each")
    parser.add_argument("--chunks", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.chunks:
        profile_chunks(options.chunks)
        return
    smoke = options.smoke
    n, n_wide, n_chunk, n_chunks = (
        (5_000, 500, 5_000, 3) if smoke else (200_000, 20_000, 200_000, 50)
    )
    wide = (70, 30) if smoke else (700, 300)
    rounds = options.rounds or (1 if smoke else 5)
    here = dict.fromkeys(HERE, sys.executable)
    places, absent = found_peers(options.peers)
    if absent:
        print(f"not asked, no environment: {', '.join(absent)}")
    rng = np.random.default_rng(SEED)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        small = write_pair(folder, "small", draw(1_000, rng), draw(1_000, rng))
        pair = write_pair(folder, "full", draw(n, rng), drifted(n, rng))
        peers = {name: Peer(name, python) for name, python in (here | places).items()}
        for peer in peers.values():
            peer(*small)
        best = contest(pair, peers, rounds)
        rows = rows_of(f"report, {n:,} x {n:,} x 50", best)
        for name in places:
            peers.pop(name).close()
        pair = write_pair(folder, "wide", *(widened(n_wide, *wide, rng) for _ in range(2)))
        wider = contest(pair, peers, rounds)
        rows += rows_of(f"report, {n_wide:,} x {n_wide:,} x {sum(wide):,}", wider)
        pair = write_pair(folder, "few", *(widened(2_000, 4, 1, rng) for _ in range(2)))
        rows += rows_of("report, 2,000 x 2,000 x 5", contest(pair, peers, 5 * rounds))
        for peer in peers.values():
            peer.close()
        for path in folder.iterdir():
            path.unlink()
        many = chunkwise(folder, n_chunks, n_chunk)
    print("Seconds, the best of the rounds; the ratio is the peer's time over ours.")
    print_rows(rows)
    for who, told in best.items():
        print(f"{who}: {told['seconds']:.3f} s, {told['peak_mb']:.0f} MB, {told['alarms']}")
    print(
        f"{many['n_rows']:,} rows in chunks: reading {many['reading_seconds']:.2f} s and "
        f"{many['reading_mb']:.0f} MB, with profile and report {many['live_seconds']:.2f} s and "
        f"{many['live_mb']:.0f} MB, as a reference, read twice, {many['reference_seconds']:.2f} s "
        f"and {many['reference_mb']:.0f} MB; {many['stored_bytes_a_column']:,.0f} bytes a column"
    )
    if options.json:
        versions = {name: version(name) for name in ("mlsd", "numpy", "pandas", "pyarrow", "scipy")}
        versions |= {name: best[name]["version"] for name in places if name in best}
        content = {
            "benchmark": "drift speed",
            "rows": rows,
            "versions": versions,
            "machine": machine(),
            "memory": {who: told["peak_mb"] for who, told in best.items()},
            "seconds": {who: told["seconds"] for who, told in best.items()},
            "alarms": {who: told["alarms"] for who, told in best.items()},
            "chunks": many,
        }
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
