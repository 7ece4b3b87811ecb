"""The target's sums by bin of a feature, from two stored profiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsd._types import FloatArray
from mlsd.drift._bins import BinSums, Model

if TYPE_CHECKING:
    from mlsd.drift._columns import ColumnProfile
    from mlsd.drift.profile import Profile

__all__ = ["ProfileModels", "models_of_profiles"]


@dataclass(frozen=True, slots=True)
class ProfileModels:
    """The models, and what was counted on the way."""

    models: list[Model]
    binary: bool
    labelled: tuple[int, int]
    excluded: dict[str, str]


def models_of_profiles(ref: Profile, live: Profile, columns: Iterable[str] | None) -> ProfileModels:
    """Return the sums by bin of every feature that both profiles hold with a numeric target."""
    if ref.fingerprint != live.fingerprint:
        raise ValueError("the profiles have different cells: make the live one with like=ref")
    for profile, name in ((ref, "ref"), (live, "live")):
        if profile.target is None:
            raise ValueError(f"{name} holds no target: make the profile with y=")
    wanted = list(ref.names) if columns is None else list(dict.fromkeys(columns))
    models, excluded, binary, labelled = [], {}, True, (0, 0)
    moments: tuple[float, float] | None = None
    for name in wanted:
        lacking = [side for side, p in (("ref", ref), ("live", live)) if name not in p]
        if lacking and columns is not None:
            raise ValueError(f"{lacking[0]} lacks the column {name!r}; it has {ref.names}")
        if lacking:
            excluded[name] = f"missing in {lacking[0]}"
            continue
        one, other = ref[name], live[name]
        if one.target_n is None or other.target_n is None:
            excluded[name] = f"{one.kind}: no sums of a numeric target"
            continue
        if moments is None:  # the target is the same whatever the feature
            binary = all(_is_binary(p.target, c) for p, c in ((ref, one), (live, other)))
            labelled = (int(one.target_n.sum()), int(other.target_n.sum()))
            moments = _moments(one)
        models.append(Model(name, "", _sums(one, moments, binary), _sums(other, moments, binary)))
    if not models:
        raise ValueError(f"the profiles share no feature with a target; left out: {excluded}")
    for count, side in zip(labelled, ("ref", "live"), strict=True):
        if not count:
            raise ValueError(f"{side} has no labels")
    return ProfileModels(models, binary, labelled, excluded)


def _arrays(column: ColumnProfile) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, first, second = (
        np.asarray(values, dtype=np.float64)
        for values in (column.target_n, column.target_sum, column.target_sum2)
    )
    return n, first, second


def _is_binary(target: ColumnProfile | None, column: ColumnProfile) -> bool:
    """Return whether all labels are 0 or 1: within 0 to 1 a square equals its root only there."""
    _, first, second = _arrays(column)
    within = target is None or target.kind != "numeric"  # a boolean
    within = within or (target is not None and target.minimum >= 0 and target.maximum <= 1)
    return within and bool((first == second).all())


def _moments(column: ColumnProfile) -> tuple[float, float]:
    n, first, second = _arrays(column)
    size = max(float(n.sum()), 1.0)
    mean = float(first.sum()) / size
    variance = float(second.sum()) / size - mean * mean
    return mean, variance**0.5 if variance > 1e-12 * mean * mean else 1.0


def _sums(column: ColumnProfile, moments: tuple[float, float], binary: bool) -> BinSums:
    """Return the sums of powers; of a number about the reference's mean.

    A profile has no third and fourth powers, which only the standard error of R² needs: they are
    those of a normal target within each bin.
    """
    n, first, second = _arrays(column)
    if binary:
        return BinSums(n, np.tile(first, (4, 1)))
    centre, scale = moments
    second = (second - 2 * centre * first + n * centre * centre) / scale**2
    first = (first - n * centre) / scale
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, first / n, 0.0)
        variance = np.where(n > 0, np.maximum(second / n - mean * mean, 0.0), 0.0)
    third = n * (mean**3 + 3 * mean * variance)
    fourth = n * (mean**4 + 6 * mean**2 * variance + 3 * variance**2)
    return BinSums(n, np.stack((first, second, third, fourth)))
