"""What the benchmarks share: turns, rows, the machine, and peers in environments of their own.

A benchmark does not run this file; ``python benchmarks/_common.py`` only says what machine it is.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["best_of", "machine", "peer_python", "print_rows", "row", "version", "write"]

PEERS = Path(__file__).resolve().parent.parent / "_build" / "peers"


def best_of(rounds: int, *callables: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Run the callables in turns; return for each its best seconds and its last result.

    In turns, so that a machine that is busy for a while slows all of them. The collector of
    garbage is off while the clock runs, and what the last call left is freed before the next.
    """
    best: list[tuple[float, Any]] = [(float("inf"), None)] * len(callables)
    for _ in range(rounds):
        for i, call in enumerate(callables):
            best[i] = (best[i][0], None)
            gc.collect()
            with collector_off():
                start = time.perf_counter()
                result = call()
                seconds = time.perf_counter() - start
            best[i] = (min(best[i][0], seconds), result)
    return best


@contextlib.contextmanager
def collector_off():
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def row(
    task: str, peer: str, peer_version: str, ours: float, theirs: float, note: str = ""
) -> dict[str, Any]:
    """Return one comparison; `ratio` above 1 means that ours is faster."""
    return {
        "task": task,
        "peer": peer,
        "peer_version": peer_version,
        "ours_seconds": ours,
        "peer_seconds": theirs,
        "ratio": theirs / ours,
        "note": note,
    }


def print_rows(rows: list[dict[str, Any]]) -> None:
    """Print the comparisons as a table."""
    import pandas as pd

    table = pd.DataFrame(rows)
    table["peer"] = (table["peer"] + " " + table["peer_version"]).str.strip()
    table = table.drop(columns="peer_version")
    with pd.option_context("display.width", 200, "display.max_colwidth", 70):
        print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


def version(package: str) -> str:
    """Return the installed version of a package; "" if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def machine() -> dict[str, Any]:
    """Return what the times depend on: the processor, its cores, and Python."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def write(path: str | Path, name: str, rows: list[dict[str, Any]], packages: tuple[str, ...] = ()):
    """Write the comparisons as JSON, with the versions and the machine they belong to."""
    wanted = dict.fromkeys(("mlsd", "numpy", "pandas", "pyarrow", *packages))
    versions = {package: version(package) for package in wanted}
    versions |= {r["peer"]: r["peer_version"] for r in rows if r["peer_version"]}
    content = {"benchmark": name, "rows": rows, "versions": versions, "machine": machine()}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def peer_python(name: str, requirements: list[str], *, create: bool = True) -> Path | None:
    """Return the Python of the environment of a peer, made of pinned versions on the first call.

    It lives under ``_build/peers``; other requirements than it was made of make it anew. With
    `create` off, None stands for an environment that is not there. What pip is configured to use is
    what it asks.
    """
    folder = PEERS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".requirements"
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    if not create:
        return None
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *requirements], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


if __name__ == "__main__":
    print(json.dumps(machine()))
