"""The command line as a module: ``python -m mlsd``."""

from __future__ import annotations

from mlsd.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main(prog_name="mlsd")
