"""What a table looked like: exact counts on fixed cells, small, mergeable, stored as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._validation import check_positive_int
from mlsd.drift._build import Cells, Filled, fill, plan_columns, read_input
from mlsd.drift._chunks import Planner
from mlsd.drift._columns import ColumnProfile, merge_columns
from mlsd.drift._pairs import PairProfile, merge_pairs, plan_pairs

__all__ = ["ColumnProfile", "PairProfile", "Profile"]

_MOST_PAIRED = 64


@dataclass(frozen=True, slots=True, eq=False)
class Profile(Result):
    """Counts and sums of every column of a table, on the cells of a reference.

    Made by :meth:`from_frame` without `like` it is a reference: its quantiles become the edges and
    its levels the vocabulary. Made with ``like=reference`` it counts other rows on the same cells.
    Profiles on the same cells add up, in any order: counts and the sums for correlations are equal
    to the last bit, sums of raw values to 1e-12 of the sum of their absolute values.

    Attributes
    ----------
    n_rows : int
        Rows.
    columns : tuple of ColumnProfile
        The columns that were seen, in the order of the reference. ``profile["name"]`` is one.
    pairs : PairProfile or None
        Co-moments of the numeric columns; None if they were not asked for.
    pairs_skipped : int
        Numeric columns that `pairs` leaves out.
    target, prediction : ColumnProfile or None
        Of `y` and of `prediction`.
    missing : tuple of str
        Columns of the reference that were not there; after merging, in at least one part.
    new : tuple of str
        Columns that the reference does not have.
    retyped : dict of str to (str, str)
        Columns whose values are of another family than the reference's, such as strings in place
        of numbers: both types. They are not counted in `columns`.
    order : tuple of str
        Features in the order in which they came; after merging, of the part that had the most,
        first by name if several had.
    fingerprint : str
        A digest of the cells. Profiles merge when theirs agree.

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.drift.profile import Profile
    >>> monday = pd.DataFrame({"price": [1.0, 2.0, 2.0, None], "shop": ["a", "b", "a", "a"]})
    >>> reference = Profile.from_frame(monday)
    >>> reference["price"].counts, reference["price"].n_null
    (array([1, 2]), 1)
    >>> tuesday = pd.DataFrame({"price": [2.0, 9.0], "shop": ["a", "c"]})
    >>> live = Profile.from_frame(tuesday, like=reference)
    >>> live["price"].counts, live["price"].n_above, live["shop"].unseen
    (array([0, 1]), 1, (('c', 1),))
    >>> (reference + live).n_rows
    6
    """

    n_rows: int
    pairs: PairProfile | None
    pairs_skipped: int
    missing: tuple[str, ...]
    new: tuple[str, ...]
    retyped: dict[str, tuple[str, str]]
    order: tuple[str, ...]
    # All columns of the reference, those never seen without a row; and target and prediction, with
    # the column of the frame they came from, if they came from one.
    cells: Cells
    fingerprint: str
    columns: tuple[ColumnProfile, ...] = field(init=False, repr=False)
    _by_name: dict[str, ColumnProfile] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find the columns that were seen."""
        there = {*self.order} - {*self.missing} - {*self.retyped}
        seen = tuple(c for c in self.cells.columns if c.n or c.name in there)
        object.__setattr__(self, "columns", seen)
        object.__setattr__(self, "_by_name", {column.name: column for column in seen})

    @classmethod
    def from_frame(
        cls,
        X: Any,
        *,
        like: Profile | None = None,
        y: Any = None,
        prediction: Any = None,
        n_bins: int = 512,
        pairs: bool | Sequence[str] = True,
        max_categories: int = 200,
    ) -> Profile:
        """Return the profile of a table.

        Parameters
        ----------
        X : table
            Of pandas, polars or pyarrow. Names of columns that are no strings become strings.
        like : Profile, optional
            The reference whose cells are used; then `n_bins`, `pairs` and `max_categories` are its
            own, too.
        y, prediction : array-like or str, optional
            Target and prediction, one value a row; or the name of a column of `X`, which then is
            no feature. With a numeric or boolean target every column keeps the target's sums by
            cell. With `like`, a column of the name that the reference used is taken by itself.
        n_bins : int, default 512
            Most cells of a numeric column.
        pairs : bool or sequence of str, default True
            Whether to keep the co-moments of the first 64 numeric columns; or which columns'.
        max_categories : int, default 200
            Most levels of a categorical column that are counted one by one.

        Raises
        ------
        TypeError
            If `X` is no table, or `like` no profile.
        ValueError
            If two columns have one name, lengths differ, or `y` or `prediction` names no column.
        """
        if like is not None:
            return cls._of_rows(like, X, y, prediction, later=True)
        data = read_input(X, y, prediction, None)
        n_bins = check_positive_int(n_bins, "n_bins")
        max_categories = check_positive_int(max_categories, "max_categories")
        cells = plan_columns(data, n_bins, max_categories)
        plan = cls._empty(cells, pairs)
        return cls._filled(plan, fill(cells, plan.pairs, data), data.order)

    @classmethod
    def from_chunks(
        cls,
        chunks: Iterable[Any] | Callable[[], Iterable[Any]],
        *,
        like: Profile | None = None,
        y: str | None = None,
        prediction: str | None = None,
        n_bins: int = 512,
        pairs: bool | Sequence[str] = True,
        max_categories: int = 200,
    ) -> Profile:
        """Return the profile of a table that comes in parts.

        With `like` one pass is enough, and the result is that of :meth:`from_frame` on all rows.
        Without it the chunks are read twice: first for the cells, so that no chunk has to be
        typical, then for the counts. Up to 131,072 rows the cells are those of
        :meth:`from_frame`; beyond, the quantiles are those of a uniform sample of 65,536 rows or
        more. Counts are exact in either case.

        Parameters
        ----------
        chunks : iterable of tables, or callable that returns one
            As in :meth:`from_frame`. Without `like` it has to be one that can be read twice, such
            as a list; a generator can not, so hand over the function that makes it.
        like, n_bins, pairs, max_categories
            As in :meth:`from_frame`.
        y, prediction : str, optional
            Names of columns of the chunks.

        Raises
        ------
        TypeError
            If `chunks` can be read only once and `like` is not given, or holds no tables.
        ValueError
            If there is no chunk, or chunks disagree on the type of a column.
        """
        for name, value in (("y", y), ("prediction", prediction)):
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must name a column; got {type(value).__name__}")
        if like is None:
            if not callable(chunks) and iter(chunks) is chunks:
                raise TypeError(
                    "chunks can be read only once, and a reference needs two passes: give a list, "
                    "the function that makes them, or like"
                )
            planner = Planner(
                check_positive_int(n_bins, "n_bins"),
                check_positive_int(max_categories, "max_categories"),
            )
            for X in chunks() if callable(chunks) else chunks:
                planner.add(X, y, prediction)
            like = cls._empty(planner.cells(), pairs)
        result: Profile | None = None
        for X in chunks() if callable(chunks) else chunks:
            part = cls._of_rows(like, X, y, prediction)
            result = part if result is None else result + part
        if result is None:
            raise ValueError("chunks holds no table")
        return result

    def update(self, X: Any, y: Any = None, prediction: Any = None) -> Profile:
        """Return a new profile with the rows of `X` added; see :meth:`from_frame`."""
        return self + Profile._of_rows(self, X, y, prediction)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of `columns`."""
        return tuple(self._by_name)

    @property
    def target(self) -> ColumnProfile | None:
        """The target; None if it was not given."""
        return self.cells.shown("target")

    @property
    def prediction(self) -> ColumnProfile | None:
        """The prediction; None if it was not given."""
        return self.cells.shown("prediction")

    def __getitem__(self, name: str) -> ColumnProfile:
        """Return the column of this name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(f"no column {name!r}; there are {list(self.names)}") from None

    def __contains__(self, name: object) -> bool:
        """Return whether there is a column of this name."""
        return name in self._by_name

    def __add__(self, other: Profile) -> Profile:
        """Return the profile of the rows of both."""
        if not isinstance(other, Profile):
            return NotImplemented
        if self.fingerprint != other.fingerprint:
            raise ValueError(_difference(self, other))
        retyped = self.retyped | other.retyped
        for name in self.retyped.keys() & other.retyped.keys():
            retyped[name] = min(self.retyped[name], other.retyped[name])
        gone = {*self.missing, *other.missing}
        pairs = None
        if self.pairs is not None and other.pairs is not None:
            pairs = merge_pairs(self.pairs, other.pairs)
        return Profile(
            n_rows=self.n_rows + other.n_rows,
            pairs=pairs,
            pairs_skipped=self.pairs_skipped,
            missing=tuple(column.name for column in self.cells.columns if column.name in gone),
            new=tuple(sorted({*self.new, *other.new})),
            retyped=dict(sorted(retyped.items())),
            order=min(self.order, other.order, key=lambda order: (-len(order), order)),
            cells=Cells(
                tuple(map(merge_columns, self.cells.columns, other.cells.columns)),
                {
                    name: merge_columns(mine, other.cells.outcomes[name])
                    for name, mine in self.cells.outcomes.items()
                },
                self.cells.sources,
            ),
            fingerprint=self.fingerprint,
        )

    def __radd__(self, other: object) -> Profile:
        """Return itself, for ``sum``."""
        return self if type(other) is int and other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        """Return whether all counts and sums are equal, to the last bit."""
        if not isinstance(other, Profile):
            return NotImplemented
        return all(
            getattr(self, f.name) == getattr(other, f.name) for f in dataclasses.fields(self)
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def __repr__(self) -> str:
        """Show the size and what is odd."""
        odd = {"missing": self.missing, "new": self.new, "retyped": tuple(self.retyped)}
        more = "".join(f", {key}={list(names)}" for key, names in odd.items() if names)
        return f"Profile({self.n_rows} rows, {len(self.columns)} columns{more})"

    def to_frame(self) -> pd.DataFrame:
        """Return one row a column: what it is, its NULLs, range, moments and cells."""
        rows = [
            {
                "kind": column.kind,
                "dtype": column.dtype,
                "n": column.n,
                "null": column.n_null,
                "min": column.minimum if column.n_valid else np.nan,
                "max": column.maximum if column.n_valid else np.nan,
                "mean": column.mean,
                "std": column.std,
                "cells": column.counts.size,
                "below": column.n_below,
                "above": column.n_above,
                "other": column.n_other,
                "unseen": column.n_unseen,
            }
            for column in self.columns
        ]
        frame = pd.DataFrame(rows, index=pd.Index(self.names, name="column"))
        categorical = [column.kind == "categorical" for column in self.columns]
        if any(categorical):
            frame.loc[categorical, ["min", "max"]] = np.nan
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Return the payload of :meth:`to_json` as plain values."""
        from mlsd.drift._profile_json import to_payload

        return to_payload(self)

    def to_json(self) -> str:
        """Return the profile as JSON with a version; :meth:`from_json` reads it."""
        from mlsd.drift._profile_json import dump

        return dump(self)

    @classmethod
    def from_json(cls, text: str | bytes) -> Profile:
        """Return the profile that :meth:`to_json` wrote.

        Raises
        ------
        TypeError
            If `text` is no string.
        ValueError
            If it is no JSON of a profile, corrupt, or of a later version than this library knows.
        """
        from mlsd.drift._profile_json import load

        return load(text)

    @classmethod
    def _empty(cls, cells: Cells, pairs: bool | Sequence[str]) -> Profile:
        """Return the profile of a reference without a row."""
        paired, skipped = _paired(cells.columns, pairs)
        plan = plan_pairs(paired) if paired else None
        return cls(0, plan, skipped, (), (), {}, (), cells, fingerprint_of(cells, plan))

    @classmethod
    def _of_rows(
        cls, like: Profile, X: Any, y: Any, prediction: Any, *, later: bool = False
    ) -> Profile:
        """Return the profile of rows on the cells of `like`; see ``fill``."""
        if not isinstance(like, Profile):
            raise TypeError(f"like must be a Profile; got {type(like).__name__}")
        data = read_input(X, y, prediction, like.cells)
        return cls._filled(like, fill(like.cells, like.pairs, data, later=later), data.order)

    @classmethod
    def _filled(cls, plan: Profile, filled: Filled, order: tuple[str, ...]) -> Profile:
        known = {column.name for column in plan.cells.columns}
        return cls(
            n_rows=filled.n_rows,
            pairs=filled.pairs,
            pairs_skipped=plan.pairs_skipped,
            missing=tuple(c.name for c in plan.cells.columns if c.name not in set(order)),
            new=tuple(sorted(set(order) - known)),
            retyped=filled.retyped,
            order=order,
            cells=filled.cells,
            fingerprint=plan.fingerprint,
        )


def fingerprint_of(cells: Cells, pairs: PairProfile | None) -> str:
    """Return the digest of cells and pairs that decides whether two profiles merge."""
    outcomes = sorted(cells.outcomes.items())  # whichever was read first
    digest = hashlib.blake2b(repr([name for name, _ in outcomes]).encode())
    for column in (*cells.columns, *(column for _, column in outcomes)):
        digest.update(column.fingerprint.encode())
    digest.update(pairs.fingerprint.encode() if pairs is not None else b"")
    return digest.hexdigest()[:16]


def _paired(
    columns: tuple[ColumnProfile, ...], pairs: bool | Sequence[str]
) -> tuple[list[ColumnProfile], int]:
    """Return the columns whose pairs are kept, and how many numeric ones are not."""
    numeric = {column.name: column for column in columns if column.kind == "numeric"}
    if isinstance(pairs, bool):
        chosen = list(numeric.values())[:_MOST_PAIRED] if pairs else []
    else:
        if isinstance(pairs, str):
            raise TypeError(f"pairs must be a boolean or a list of names; got {pairs!r}")
        wrong = [name for name in pairs if name not in numeric]
        if wrong:
            raise ValueError(f"pairs must name numeric columns; got {wrong}")
        if len(set(pairs)) < len(pairs):
            raise ValueError(f"pairs must name each column once; got {list(pairs)}")
        chosen = [numeric[name] for name in pairs]
    return chosen, len(numeric) - len(chosen)


def _difference(a: Profile, b: Profile) -> str:
    """Return what keeps two profiles from merging."""
    mine, theirs = (
        {
            column.name: column.fingerprint
            for column in (*p.cells.columns, *p.cells.outcomes.values())
        }
        for p in (a, b)
    )
    alone = sorted(mine.keys() ^ theirs.keys())
    differ = sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name])
    parts = [f"only one has {alone}"] if alone else []
    parts += [f"the cells differ of {differ}"] if differ else []
    if not parts:
        parts = ["their columns come in another order, or their pairs differ"]
    return (
        f"two profiles merge only on the cells of one reference; {' and '.join(parts)}: make "
        "both with like=reference"
    )
