"""Build the book: data, then pages, every warning an error. `make book` runs it."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
# One thread: a sum split over threads has as many results as orders, and chapters assert theirs.
ONE_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
# The package has no __main__, and its script's name differs between systems.
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"
# Each kernel says so on starting; here the other end is this same machine.
_NOISE = "Kernel is running over TCP without encryption"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PAGE = re.compile(r"(chapters/[\w./-]+?\.md)\b")
_TROUBLE = re.compile(r"WARNING|ERROR|Executing notebook failed|Exception")


def same_kernels() -> dict[str, str]:
    """Hold OpenBLAS to one set of kernels, if this processor has them.

    It would otherwise choose by processor, and the last digits of a product differ between sets: a
    recording made on one machine is compared on another.
    """
    try:
        processor = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {"OPENBLAS_CORETYPE": "Haswell"} if " avx2 " in processor else {}


def environment() -> dict[str, str]:
    """Return the environment in which chapters run, here, in the recording and in the tests."""
    return {
        **os.environ,
        **ONE_THREAD,
        **same_kernels(),
        "PYTHONHASHSEED": "0",
        # The debugger's note on frozen modules is a warning on stderr, which a page would show.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def fingerprint(root: Path = ROOT) -> str:
    """Return a digest of all that a chapter's results rest on, besides its own cells."""
    digest = hashlib.sha256(platform.python_version().encode())
    package = (
        path
        for path in (root / "mlsd").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    measured = (root / "benchmarks" / "results").glob("*.json")  # a page of the book shows them
    for path in [root / "requirements.lock", *sorted(package), *sorted(measured)]:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def drop_stale_cache(build: Path = BUILD, root: Path = ROOT) -> bool:
    """Delete executed cells that another mlsd, lock or Python computed; say whether it did."""
    stamp = build / ".fingerprint"
    now = fingerprint(root)
    stale = not stamp.exists() or stamp.read_text() != now
    if stale:
        shutil.rmtree(build / ".jupyter_cache", ignore_errors=True)
        build.mkdir(exist_ok=True)
        stamp.write_text(now)
    return stale


def failing_pages(log: str) -> list[str]:
    """Return the chapters that the builder's warnings and errors name, in order."""
    lines = (line for line in _ANSI.sub("", log).splitlines() if _TROUBLE.search(line))
    return list(dict.fromkeys(page for line in lines for page in _PAGE.findall(line)))


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run `command`, showing its output as it comes, and return its exit code and output."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        if _NOISE in line:
            continue
        lines.append(line)
        print(line, end="", flush=True)
    return process.wait(), "".join(lines)


def main() -> int:
    """Fetch the data, build, and say what to open or what failed."""
    if importlib.util.find_spec("mlsd.data.__main__") is not None:
        code, _ = run([sys.executable, "-m", "mlsd.data"])
        if code:
            print("The data could not be fetched; the book needs it.", file=sys.stderr)
            return code
    drop_stale_cache()
    # Pages that are no longer listed must not stay behind as if they were published.
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    # --all, because a page that was not built again keeps its warnings to itself.
    options = ["-W", "--keep-going", "-n", "--all", "-q"]
    code, log = run([sys.executable, "-c", JUPYTER_BOOK, "build", str(ROOT), *options])
    if code:
        pages = failing_pages(log)
        where = ", ".join(pages) if pages else "see the messages above"
        print(f"\nThe book was not built. Failing: {where}", file=sys.stderr)
        return code
    print(f"\nThe book is built. Open {BUILD / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
