"""Off-policy estimation: what another policy would have earned, from a log with propensities.

Every function takes arrays with one row a decision (or, for slates, one row a document shown) and
returns an :class:`Estimate` with its interval and what says whether to believe it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsd._lazy import lazy_names

__all__ = [
    "Estimate",
    "SupportWarning",
    "cascade_ips",
    "clipped_ips",
    "direct_method",
    "doubly_robust",
    "ips",
    "position_ips",
    "sndr",
    "snips",
    "switch_dr",
]

if TYPE_CHECKING:
    from mlsd.ope.modelled import direct_method, doubly_robust, sndr, switch_dr
    from mlsd.ope.results import Estimate, SupportWarning
    from mlsd.ope.slates import cascade_ips, position_ips
    from mlsd.ope.weighted import clipped_ips, ips, snips

_HOMES = {
    "results": ["Estimate", "SupportWarning"],
    "weighted": ["clipped_ips", "ips", "snips"],
    "modelled": ["direct_method", "doubly_robust", "sndr", "switch_dr"],
    "slates": ["cascade_ips", "position_ips"],
}
__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
