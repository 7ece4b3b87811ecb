"""Whether the caller has handed over frames or stored profiles."""

from __future__ import annotations

from typing import Any

__all__ = ["both_profiles"]


def both_profiles(ref: Any, live: Any) -> bool:
    """Return whether both are profiles; one of each is an error."""
    from mlsd.drift.profile import Profile

    found = [isinstance(side, Profile) for side in (ref, live)]
    if any(found) and not all(found):
        raise TypeError("ref and live must both be tables or both profiles; got one of each")
    return all(found)
