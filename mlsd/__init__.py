"""Metrics, experiments, funnel ranking, drift detection and real data for machine-learning systems.

The subpackages are imported on first use, so that ``import mlsd`` stays fast.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "data",
    "drift",
    "experiments",
    "funnel",
    "metrics",
    "ope",
    "plotting",
    "world",
]

if TYPE_CHECKING:
    from mlsd import data, drift, experiments, funnel, metrics, ope, plotting, world

_SUBPACKAGES = frozenset(
    {"data", "drift", "experiments", "funnel", "metrics", "ope", "plotting", "world"}
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"mlsd.{name}")
    raise AttributeError(f"module 'mlsd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
