"""Fetch every data set that is not in the cache yet: ``python -m mlsd.data``."""

from __future__ import annotations

import sys

from mlsd.data._catalog import SETS
from mlsd.data._fetch import DataUnavailableError, is_cached, load_sources, read_archive


def main() -> int:
    """Fetch what is missing, say so in a line a set, and return the exit code."""
    pins = load_sources()
    missing = []
    for entry in SETS:
        new = [pins[name] for name in entry.sources if not is_cached(pins[name])]
        try:
            size = sum(len(read_archive(pin)) for pin in new)
        except DataUnavailableError as error:
            missing.append(str(error))
            print(f"{entry.name:<14} missing")
            continue
        print(f"{entry.name:<14} " + (f"fetched, {size / 1e6:.1f} MB" if new else "there already"))
    for message in dict.fromkeys(missing):
        print(message, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
