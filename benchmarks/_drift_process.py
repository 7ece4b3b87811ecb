"""What the benchmarks of drift need around the peers: processes, environments, peaks of memory."""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

__all__ = ["QUIET", "Peer", "forget_peak", "found_peers", "make", "resident"]

SCRIPT = Path(__file__).with_name("_drift_peers.py")
QUIET = {
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "NML_DISABLE_USER_ANALYTICS": "1",
    "WHYLOGS_NO_ANALYTICS": "True",
    "DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY": "True",
    "DISABLE_LATEST_VERSION_CHECK": "True",
}
# The newest that runs on Python 3.11, with what it runs on.
REQUIREMENTS = {
    # Its imports need what pandas 3 removed.
    "evidently": ["evidently==0.7.23", "pandas==2.3.3", "pyarrow==26.0.1"],
    # It imports statsmodels and does not ask for it.
    "nannyml": ["nannyml==0.13.1", "statsmodels==0.15.0", "pandas==2.3.3", "pyarrow==26.0.1"],
    "whylogs": ["whylogs[viz]==1.6.4", "pandas==2.3.3", "pyarrow==26.0.1"],
    # It asks for NumPy 1, which pyarrow has left.
    "alibi-detect": ["alibi-detect==0.13.0", "pandas==2.3.3", "pyarrow<20"],
    "frouros": ["frouros==0.9.0", "pandas==2.3.3", "pyarrow==26.0.1"],
    # It needs pkg_resources, np.Inf and the scorers' names of scikit-learn before 1.8.
    "deepchecks": [
        "deepchecks==0.19.1",
        "setuptools<81",
        "numpy<2",
        "scikit-learn<1.8",
        "pandas==2.3.3",
        "pyarrow<20",
    ],
    "menelaus": ["menelaus==0.2.0", "pandas==3.1.1", "pyarrow==26.0.1"],
    "river": ["river==0.26.1", "pandas==3.1.1", "pyarrow==26.0.1"],
}


def resident(field: str) -> float:
    """Return a line of the process's status in MB; nan where the system has none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def forget_peak() -> None:
    """Give freed memory back and start the peak anew, so that the next call is measured alone."""
    import pyarrow as pa

    gc.collect()
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


class Peer:
    """A peer in another process, which measures its own time."""

    def __init__(self, name: str, python: Path | str) -> None:
        self.name = name
        command = [str(python), str(SCRIPT), "--serve", name]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | QUIET,
        )

    @functools.cached_property
    def version(self) -> str:
        """The version of the package: the first thing it says, so that many can start at once."""
        return self.read()["version"]

    def read(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith("{"):  # some libraries talk
                return json.loads(line)
        raise RuntimeError(f"{self.name} ended with {self.process.wait()}")

    def __call__(self, reference: Path, live: Path) -> dict[str, Any]:
        _ = self.version  # said before the first answer
        question = {"reference": str(reference), "live": str(live)}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def found_peers(folder: str | None) -> tuple[dict[str, Path], list[str]]:
    """Return the Python of each peer whose environment is there, and the names of those without."""
    places = {}
    if folder is not None:
        for name in REQUIREMENTS:
            python = (
                Path(folder) / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            )
            if python.exists():
                places[name] = python
    return places, [name for name in REQUIREMENTS if name not in places]


def make(folder: str) -> None:
    """Make the environments of the peers."""
    for name, wanted in REQUIREMENTS.items():
        place = Path(folder) / name
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True)
        print(f"{name}: {python}")
