"""Floor 0: pandas, imported when it is first used.

Its import takes most of a second, several times that of NumPy and of all of ``mlsd.metrics``. A
service that scores arrays never needs it, and whoever hands over a frame has it already.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["pandas"]


class _Lazy:
    """Stands for a module until one of its names is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)  # from now on found without this detour
        return value


if TYPE_CHECKING:
    import pandas as pandas
else:
    pandas = _Lazy("pandas")
