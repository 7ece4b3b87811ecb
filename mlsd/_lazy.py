"""Floor 0: pandas, imported when it is first used.

Its import takes most of a second, several times that of NumPy and of all of ``mlsd.metrics``. A
service that scores arrays never needs it, and whoever hands over a frame has it already.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

__all__ = ["lazy_names", "pandas"]


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


def lazy_names(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``, which imports a name's module when it is asked for.

    Parameters
    ----------
    package : str
        ``__name__`` of the package.
    homes : mapping of str to sequence of str
        Names by the submodule that has them; a submodule that is itself public stands for its own
        name.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{home_of[name]}")
        value = module if name == home_of[name] else getattr(module, name)
        setattr(sys.modules[package], name, value)  # from now on found without this detour
        return value

    return find
