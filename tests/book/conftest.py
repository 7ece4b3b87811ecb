"""The book's own tools as modules, and the environment in which chapters run."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book"))

import build  # after the path to it

# The kernels that nbval starts inherit it; the recording used the same.
os.environ.update(build.environment())
