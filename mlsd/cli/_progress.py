"""A bar on stderr for work that takes long, where somebody looks."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import click

__all__ = ["Progress"]

_PATIENCE = 1.0  # seconds before the bar appears
_STEPS = 1000


class Progress:
    """Shows how much of some work is done, once it has taken a second; never in a pipe."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._started = time.monotonic()
        self._visible = sys.stderr.isatty()
        self._bar: Any = None
        self._done = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def show(self, share: float) -> None:
        """Show that this share of the work is done."""
        if not self._visible:
            return
        if self._bar is None:
            if time.monotonic() - self._started < _PATIENCE:
                return
            bar = click.progressbar(length=_STEPS, label=self._label, file=sys.stderr)
            self._bar = self._stack.enter_context(bar)
        done = int(_STEPS * min(max(share, 0.0), 1.0))
        if done > self._done:
            self._bar.update(done - self._done)
            self._done = done
