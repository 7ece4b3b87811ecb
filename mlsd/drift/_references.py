"""The references of a monitor: one a season, and within it one for all rows and one a segment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from mlsd._types import AnyArray
from mlsd.drift._frames import column_of, labels_of, n_rows, names_of, take
from mlsd.drift._hypotheses import Reference
from mlsd.drift._options import enough_reference
from mlsd.drift.profile import Profile
from mlsd.drift.report import Unchecked

__all__ = ["References"]

# (season, segment); "" is all of them.
_Key = tuple[str, str]


@dataclass(slots=True)
class References:
    """Prepared profiles by season and segment.

    Attributes
    ----------
    by_key : dict
        From (season, segment) to the reference.
    small : dict
        Segments that have too few reference rows, and how many.
    column : str or None
        The column of the segments.
    """

    by_key: dict[_Key, Reference] = field(default_factory=dict)
    small: dict[_Key, int] = field(default_factory=dict)
    column: str | None = None

    @classmethod
    def build(
        cls,
        X: Any,
        y: Any,
        prediction: Any,
        *,
        labels: AnyArray | None,
        column: str | None,
        min_rows: int,
        check: Callable[[Profile], None],
    ) -> Self:
        """Return the references of all seasons and segments; `check` may refuse a profile."""
        built = cls(column=column)
        levels = None if column is None else labels_of(column_of(X, column, "X"))
        for label in [""] if labels is None else sorted({str(value) for value in labels}):
            rows: Any = slice(None) if labels is None else labels == label
            if labels is not None:
                enough_reference(int(rows.sum()), min_rows, f"season {label!r}")
                whole, whole_y, whole_prediction = (
                    take(values, rows) for values in (X, y, prediction)
                )
            else:
                whole, whole_y, whole_prediction = X, y, prediction
            profile = Profile.from_frame(whole, y=whole_y, prediction=whole_prediction)
            check(profile)
            built.by_key[label, ""] = Reference(profile)
            if levels is None:
                continue
            of_whole = levels[rows]
            for level in sorted({value for value in of_whole if value is not None}):
                mask = of_whole == level
                if mask.sum() < min_rows:
                    built.small[label, level] = int(mask.sum())
                    continue
                part = Profile.from_frame(
                    take(whole, mask),
                    y=take(whole_y, mask),
                    prediction=take(whole_prediction, mask),
                )
                built.by_key[label, level] = Reference(part)
        return built

    @property
    def seasons(self) -> tuple[str, ...]:
        """Labels of the seasons."""
        return tuple(sorted({season for season, _ in self.by_key if season}))

    @property
    def segments(self) -> tuple[str, ...]:
        """Levels of the segments."""
        return tuple(sorted({segment for _, segment in self.by_key if segment}))

    def segments_of(self, label: str) -> list[str]:
        """Return the segments that have a reference in a season."""
        return [segment for season, segment in self.by_key if season == label and segment]

    def share(self, label: str) -> float:
        """Return what a segment weighs in a season: all together as much as all rows."""
        return 1 / max(len(self.segments_of(label)), 1)

    def known_season(self, season: Any) -> str:
        """Return the label of a season, "" where there are none, or say which there are."""
        if not self.seasons:
            if season is not None:
                raise ValueError(f"season={season!r}, but the reference has no seasons")
            return ""
        if season is None:
            raise ValueError(f"season is needed: one of {list(self.seasons)}")
        label = str(season)
        if label not in self.seasons:
            raise ValueError(f"season must be one of {list(self.seasons)}; got {season!r}")
        return label

    def live(
        self,
        X: Any,
        y: Any,
        prediction: Any,
        *,
        label: str,
        min_rows: int,
        refuse: Callable[[int, Reference], None],
    ) -> tuple[Mapping[str, tuple[Reference, Profile]], list[Unchecked]]:
        """Return reference and live profile of all rows ("") and of every segment.

        `refuse` raises where the rows are too few. Segments without their own comparison are listed
        with the reason.
        """
        whole = self.by_key[label, ""]
        segments = self.segments_of(label)
        if isinstance(X, Profile):
            _same_cells(X, whole.profile, label, y, prediction)
            refuse(X.n_rows, whole)
            reason = "a profile cannot be split into segments: compare the rows"
            return {"": (whole, X)}, [Unchecked("", "", segment, reason) for segment in segments]
        refuse(n_rows(X, "X"), whole)
        profile = Profile.from_frame(X, like=whole.profile, y=y, prediction=prediction)
        lives = {"": (whole, profile)}
        missing = [
            Unchecked("", "", segment, f"{count} reference rows are too few: {min_rows} needed")
            for (season, segment), count in self.small.items()
            if season == label
        ]
        if not segments:
            return lives, missing
        if self.column is None or self.column not in names_of(X, "X"):
            reason = f"the segment column {self.column!r} is missing"
            return lives, [*missing, *(Unchecked("", "", name, reason) for name in segments)]
        levels = labels_of(column_of(X, self.column, "X"))
        for segment in segments:
            mask = levels == segment
            count = int(mask.sum())
            if count < min_rows:
                reason = f"{count} live rows are too few: {min_rows} needed"
                missing.append(Unchecked("", "", segment, reason))
                continue
            reference = self.by_key[label, segment]
            part = Profile.from_frame(
                take(X, mask),
                like=reference.profile,
                y=take(y, mask),
                prediction=take(prediction, mask),
            )
            lives[segment] = (reference, part)
        return lives, missing


def _same_cells(live: Profile, reference: Profile, label: str, y: Any, prediction: Any) -> None:
    if y is not None or prediction is not None:
        raise ValueError("y and prediction belong to the rows; X is a Profile")
    if live.fingerprint != reference.fingerprint:
        like = f"monitor.reference_of({label!r})" if label else "monitor.reference"
        raise ValueError(
            f"X is a profile with the fingerprint {live.fingerprint[:12]}, the reference has "
            f"{reference.fingerprint[:12]}: make it with "
            f"Profile.from_frame(live, like={like})"
        )
