"""False alarms and power of drift monitors: ours, a loop over scipy's tests, and the peers.

    python benchmarks/drift_power.py              1,000 frames without drift: many minutes
    python benchmarks/drift_power.py --smoke      two frames, seconds
    python benchmarks/drift_power.py --json PATH  also writes the shares, versions and machine
    python benchmarks/drift_power.py --peers DIR  also asks the peers whose environments are there

    python benchmarks/drift_power.py --peers DIR --only-peers --json PEERS   asks them alone
    python benchmarks/drift_power.py --told PEERS  takes what they said from that file

    python benchmarks/_drift_peers.py --make DIR  makes these environments

Each frame is a fresh reference of 50,000 rows and 2,000 live ones, 50 columns, drawn as
`_drift_frames.py` says; frame i is drawn from the seed (20261125, i), and every detector that is
asked about it sees the same rows. Without drift any alarm is a false one. Then one fault at a time
is put into copies of the live rows, and an alarm counts if it names the faulty column, or both
columns of the pair; an alarm for the whole frame counts always. The faults:

- mean + .1 sd, and sd x 1.1: a normal column is shifted, another is spread about its mean.
- 1 % outliers: of another normal column, 8 to 12 standard deviations above the mean.
- NULL 1 to 3 %: in a normal column.
- category swap: of eight levels the second and the third, 17 and 13 % of the rows, change places.
- new category: .5 % of the rows have a level that the reference has not.
- correlation flip: of two normal columns with .7 one is mirrored at its mean.
- target 10 to 12 %: a column of labels beside the fifty; ours is told that it is the target. What
  a two-proportion test allows is there twice: at .05 by itself, and at the share of .05 that the
  target has among all that ours tests.

Ours is asked three times: with `false_pages_per_quarter=4.55`, one run a day, so that a run has
alpha = .05, without and with the default least effect, and with all defaults. Peers are asked by
their defaults (`_drift_peers.py`), of fewer frames if they are slow. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as many processes as there are jobs

import numpy as np
import pandas as pd
from _common import machine, version
from _drift_frames import FAULTS, draw, inject, target
from _drift_peers import ALPHA, scipy_p
from _drift_process import Peer, found_peers
from scipy.special import ndtri
from scipy.stats import false_discovery_control, norm

from mlsd._clusters import wilson_interval
from mlsd.drift import DriftMonitor, Profile

SEED = 20261125
N_REFERENCE, N_LIVE = 50_000, 2_000
CLEAN, TARGET = "clean", "target 10 to 12 %"
OURS: dict[str, dict[str, float]] = {
    "mlsd, alpha .05, no least effect": {"false_pages_per_quarter": 4.55, "min_effect": 0.0},
    "mlsd, alpha .05": {"false_pages_per_quarter": 4.55},
    "mlsd, defaults": {},
}
# How many frames without drift, and how many of each fault.
FRAMES = {
    "mlsd": (1_000, 200),
    "scipy": (100, 25),
    # Seconds a frame, some of them: fewer, and wider intervals.
    "evidently": (20, 6),
    "nannyml": (50, 12),
    "whylogs": (50, 12),
    "alibi-detect": (80, 25),
    "frouros": (80, 25),
    "deepchecks": (50, 12),
    "menelaus": (50, 12),
    "river": (80, 25),
}
Alarms = dict[str, dict[str, list[str]]]  # of a detector, by condition


def frames_of(index: int, faults: bool) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], Any]:
    """Return a reference, the live rows by condition, and the labels of the reference."""
    rng = np.random.default_rng((SEED, index))
    reference, live = draw(N_REFERENCE, rng), draw(N_LIVE, rng)
    labels, moved = target(N_REFERENCE, 0.10, rng), target(N_LIVE, 0.12, rng)
    lives = {CLEAN: live}
    if faults:
        lives |= {fault: inject(fault, live, rng) for fault in FAULTS}
        lives[TARGET] = live.assign(target=moved)
    return reference, lives, labels


def ours(reference: pd.DataFrame, lives: dict[str, pd.DataFrame], labels: Any) -> Alarms:
    """Return what our monitor pages, by its settings, and what it tests."""
    profile = Profile.from_frame(reference)
    alarms: Alarms = defaultdict(dict)
    for condition, live in lives.items():
        if condition == TARGET:
            stored = Profile.from_frame(reference.assign(target=labels), y="target")
            now = Profile.from_frame(live, like=stored, y="target")
        else:
            stored, now = profile, Profile.from_frame(live, like=profile)
        for name, settings in OURS.items():
            report = DriftMonitor(**settings).fit(stored).compare(now)
            alarms[name][condition] = [f"{a.check} {a.column}" for a in report.page]
    return alarms


def scipy_loops(reference: pd.DataFrame, lives: dict[str, pd.DataFrame], labels: Any) -> Alarms:
    """Return what a loop over the tests of scipy alarms, as it is and after Benjamini-Hochberg."""
    alarms: Alarms = {"scipy": {}, "scipy + BH": {}}
    for condition, live in lives.items():
        before = reference.assign(target=labels) if condition == TARGET else reference
        p = pd.Series(scipy_p(before, live))
        kept = p[p < ALPHA].index, p[false_discovery_control(p) < ALPHA].index
        for name, columns in zip(alarms, kept, strict=True):
            alarms[name][condition] = list(columns)
    return alarms


def two_proportions(labels: Any, moved: Any) -> float:
    """Return the p-value of the pooled two-proportion z-test."""
    n, m = len(labels), len(moved)
    pooled = (labels.sum() + moved.sum()) / (n + m)
    z = (moved.mean() - labels.mean()) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return float(2 * norm.sf(abs(z)))


def ask(job: tuple[int, bool, bool]) -> Alarms:
    """Return the alarms of ours and of scipy's on one frame."""
    index, faults, loops = job
    found = frames_of(index, faults)
    alarms = dict(ours(*found))
    if loops:
        alarms |= scipy_loops(*found)
    if faults:
        p = two_proportions(found[2], found[1][TARGET]["target"].to_numpy())
        for name, limit in {"two proportions": ALPHA, "two proportions, share": share()}.items():
            alarms[name] = {TARGET: ["target"] if p < limit else []}
    return alarms


def share() -> float:
    """Return the part of .05 that the target has: as much as a column, or all pairs together."""
    return ALPHA / (50 + 1 + 1)


def ask_peers(folder: str | None, counts: dict[str, tuple[int, int]], jobs: int) -> dict[str, Any]:
    """Return the alarms of the peers, a list of frames each, and their versions."""
    places, absent = found_peers(folder)
    if absent:
        print(f"not asked, no environment: {', '.join(absent)}")
    peers = [Peer(name, python) for name, python in places.items()]
    found: dict[str, list[Alarms]] = {peer.name: [] for peer in peers}
    n_frames = max((max(counts[peer.name]) for peer in peers), default=0)
    with (
        tempfile.TemporaryDirectory(prefix="drift-power-") as name,
        ThreadPoolExecutor(jobs) as pool,
    ):
        print(f"peers: touch {name}/stop to end early", file=sys.stderr, flush=True)
        for index in range(n_frames):
            if Path(name, "stop").exists():  # what was told so far is kept
                break
            wanted = {p: [index < n for n in counts[p.name]] for p in peers}
            reference, lives, labels = frames_of(index, any(w[1] for w in wanted.values()))
            folder_of = Path(name) / str(index)
            folder_of.mkdir()
            reference.to_parquet(folder_of / "reference.parquet")
            reference.assign(target=labels).to_parquet(folder_of / "labelled.parquet")
            files = {}
            for i, (condition, live) in enumerate(lives.items()):
                before = "labelled" if condition == TARGET else "reference"
                files[condition] = folder_of / f"{before}.parquet", folder_of / f"live-{i}.parquet"
                live.to_parquet(files[condition][1])

            def answers(peer: Peer, files=files, wanted=wanted) -> Alarms:
                asked = {c: f for c, f in files.items() if wanted[peer][int(c != CLEAN)]}
                told = {c: peer(*f) for c, f in asked.items()}
                for condition, answer in told.items():
                    if "error" in answer:  # told, and missing among its frames
                        print(f"{peer.name}, {condition}: {answer['error']}")
                fine = {c: answer for c, answer in told.items() if "error" not in answer}
                return {peer.name: {c: answer["alarms"] for c, answer in fine.items()}}

            some = [peer for peer in peers if any(wanted[peer])]
            for peer, told in zip(some, pool.map(answers, some), strict=True):
                found[peer.name].append(told)
            for file in folder_of.iterdir():
                file.unlink()
            if sys.stderr.isatty():
                print(f"\rpeers: frame {index + 1} of {n_frames}", end="", file=sys.stderr)
    for peer in peers:
        peer.close()
    return {"found": found, "versions": {peer.name: peer.version for peer in peers}}


def is_hit(condition: str, alarms: list[str]) -> bool:
    """Return whether an alarm counts: any without drift, else one that names what is faulty."""
    if condition == CLEAN or "*" in alarms:
        return bool(alarms)
    # The columns of a pair are joined by " ~ ".
    wanted = {"target"} if condition == TARGET else set(FAULTS[condition][1])
    return any(wanted <= set(alarm.split()) for alarm in alarms)


def shares_of(frames: list[Alarms], versions: dict[str, str]) -> list[dict[str, Any]]:
    """Return how often each detector alarms, by condition, with Wilson's interval."""
    hits: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for frame in frames:
        for detector, conditions in frame.items():
            for condition, alarms in conditions.items():
                hits[detector, condition].append(is_hit(condition, alarms))
    rows = []
    for (detector, condition), found in hits.items():
        n = len(found)
        lower, upper = wilson_interval(np.mean(found), n, ndtri(0.975))
        rows.append(
            {
                "detector": detector,
                "version": versions.get(detector, ""),
                "condition": condition,
                "frames": n,
                "alarms": int(np.sum(found)),
                "share": float(np.mean(found)),
                "lower": float(lower),
                "upper": float(upper),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="two frames, seconds")
    parser.add_argument("--json", metavar="PATH", help="where to write what was found")
    parser.add_argument("--peers", metavar="DIR", help="the folder of the peers' environments")
    parser.add_argument("--only-peers", action="store_true", help="the peers, and nothing else")
    parser.add_argument("--told", metavar="PATH", help="a file of --only-peers, instead of asking")
    parser.add_argument("--frames", type=int, help="at most as many frames of each kind")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    options = parser.parse_args()
    limit = 2 if options.smoke else options.frames or max(max(n) for n in FRAMES.values())
    counts = {name: tuple(min(n, limit) for n in both) for name, both in FRAMES.items()}
    n_clean, n_faulty = (0, 0) if options.only_peers else counts["mlsd"]
    work = [(i, i < n_faulty, i < max(counts["scipy"])) for i in range(n_clean)]
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            frames = list(pool.map(ask, work, chunksize=4))
    else:
        frames = [ask(job) for job in work]
    peers = ask_peers(options.peers, counts, options.jobs)
    versions = {name: version("mlsd") for name in OURS} | peers["versions"]
    versions |= {name: version("scipy") for name in ("scipy", "scipy + BH")}
    frames += [frame for told in peers["found"].values() for frame in told]
    rows = shares_of(frames, versions)
    if options.told:
        told = json.loads(Path(options.told).read_text(encoding="utf-8"))
        rows += told["power"]
        peers["versions"] |= {row["detector"]: row["version"] for row in told["power"]}
    checks = Counter(
        alarm.split()[0]
        for frame in frames
        for alarm in frame.get(next(iter(OURS)), {}).get(CLEAN, [])
    )
    table = pd.DataFrame(rows)
    print("Share of the frames with an alarm that counts; clean: any alarm at all.")
    wide = table.pivot_table("share", "detector", "condition", sort=False)
    print(wide.round(3).to_string())
    first = table[table["condition"] == CLEAN].set_index("detector")
    print(first[["frames", "share", "lower", "upper"]].round(4).to_string())
    print(f"false pages of {next(iter(OURS))}, by check: {dict(checks)}")
    if options.json:
        packages = ("mlsd", "numpy", "pandas", "pyarrow", "scipy")
        content = {
            "benchmark": "drift power",
            "rows": [],  # no times
            "versions": {name: version(name) for name in packages} | peers["versions"],
            "machine": machine(),
            "seed": SEED,
            "power": rows,
            "false_pages_by_check": dict(checks),
        }
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
