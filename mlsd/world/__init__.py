"""A product with a hidden truth, on which a change can be launched, measured and judged.

The book's own: it carries no promise of stability. What it assumes is told by :class:`Preset`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd._lazy import lazy_names

__all__ = [
    "PRESETS",
    "Anchors",
    "Effect",
    "Expectation",
    "Interleave",
    "Preset",
    "Truth",
    "World",
    "as_of",
    "fit_anchors",
]

if TYPE_CHECKING:
    from mlsd.world._log import as_of
    from mlsd.world._presets import PRESETS, Preset
    from mlsd.world.anchors import Anchors, fit_anchors
    from mlsd.world.interleave import Interleave
    from mlsd.world.truth import Effect, Expectation, Truth
    from mlsd.world.world import World

_HOMES = {
    "world": ["World"],
    "_presets": ["PRESETS", "Preset"],
    "_log": ["as_of"],
    "interleave": ["Interleave"],
    "truth": ["Effect", "Expectation", "Truth"],
    "anchors": ["Anchors", "fit_anchors"],
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
