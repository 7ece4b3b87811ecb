"""A monitor as JSON: options, reference profiles, calibration. Reading parses, and runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlsd.drift._hypotheses import Reference
from mlsd.drift._references import References
from mlsd.drift._scales import Scales
from mlsd.drift.profile import Profile

__all__ = ["Stored", "dump", "load"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Stored:
    """What a text holds."""

    options: dict[str, Any]
    season: str | None
    references: References
    scales: dict[str, Scales]
    """By season."""


def dump(
    options: Mapping[str, Any],
    season: str | None,
    references: References,
    scales: Mapping[str, Scales],
) -> str:
    """Return the text."""
    return json.dumps(
        {
            "kind": "drift_monitor",
            "version": _VERSION,
            "options": options,
            "segments": references.column,
            "season": season,
            "references": [
                [*key, json.loads(reference.profile.to_json())]
                for key, reference in references.by_key.items()
            ],
            "small": [[*key, count] for key, count in references.small.items()],
            "scales": {season: found.to_dict() for season, found in scales.items()},
        },
        ensure_ascii=False,
        allow_nan=False,
    )


def load(text: str | bytes) -> Stored:
    """Return what the text holds, or say why it is no monitor."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise ValueError(f"text is no JSON: {error}") from None
    if not isinstance(data, dict) or data.get("kind") != "drift_monitor":
        raise ValueError("text is no DriftMonitor: its kind is not 'drift_monitor'")
    if data.get("version") != _VERSION:
        raise ValueError(f"version {data.get('version')!r} is unknown; known is {_VERSION}")
    try:
        return Stored(
            options=data["options"],
            season=data["season"],
            references=References(
                {
                    (season, segment): Reference(Profile.from_json(json.dumps(profile)))
                    for season, segment, profile in data["references"]
                },
                {(season, segment): count for season, segment, count in data["small"]},
                data["segments"],
            ),
            scales={label: Scales.from_dict(one) for label, one in data["scales"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"text is no whole DriftMonitor: {error!r}") from None
