"""A monitor: a stored reference, a budget of false pages, and a report for every batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np

from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd
from mlsd._types import IntArray
from mlsd._validation import check_fraction, check_positive, check_positive_int
from mlsd.drift._calibrate import Calibration, calibrate, stretches, window_sizes
from mlsd.drift._frames import column_of, n_rows, names_of, take, without
from mlsd.drift._hypotheses import CHECKS, RULES, Reference, Rows
from mlsd.drift._monitor_json import dump, load
from mlsd.drift._options import enough_reference, known_checks, not_negative, read_season
from mlsd.drift._power import power_table, rows_needed
from mlsd.drift._references import References
from mlsd.drift._rules import (
    Expectation,
    Finding,
    check_against,
    constant_findings,
    declared,
    read_expectations,
)
from mlsd.drift._scales import Scales, Window
from mlsd.drift._schema import schema_findings
from mlsd.drift._verdicts import alarms_of, table_of, verdicts
from mlsd.drift.profile import Profile
from mlsd.drift.report import DriftReport, Unchecked

__all__ = ["DriftMonitor"]

_DAYS_PER_QUARTER = 91
# Into so many stretches of time the reference is cut when its own rows calibrate it.
_STRETCHES = 4
_SEVERITY = ("page", "watch", "unchecked", "ok")


class DriftMonitor:
    """Compare live rows with a reference, and page no more often by chance than is budgeted.

    Every check of every column is one hypothesis of one family. Holm's procedure over the family
    decides what pages, so that a comparison without drift pages with chance at most
    ``alpha = false_pages_per_quarter / (91 * runs_per_day)``, however many columns there are and
    however they hang together. A page also needs a change that is large: the lower 95 % bound of
    its effect must be beyond `min_effect`. What is sure but small, or large but less sure
    (Benjamini-Hochberg at `watch_fdr`), is watched.

    Rules need no chance: a broken declaration (`expect`), a missing or retyped column, and a column
    that became constant or wholly NULL page whatever the budget. (A constant that clean windows
    held too, as :meth:`calibrate` saw, is watched.)

    Parameters
    ----------
    false_pages_per_quarter : float, default 1.0
        False pages that you would put up with in 91 days.
    runs_per_day : float, default 1
        Comparisons a day.
    min_effect : float, default 0.02
        Least effect, at its bound, that pages; 0 lets significance alone decide. Effects are
        Cohen's d or the log ratio of standard deviations of values clipped to the reference's 0.1 %
        and 99.9 % quantiles, Cohen's h for rates, bias-corrected Cramér's V for categories and
        histograms, and the difference of Fisher's z for correlations.
    watch_fdr : float, default 0.10
        Share of false alarms aimed at among what is watched.
    checks : "auto" or list of str, default "auto"
        Which checks to make: "distribution", "scale", "histogram", "categories", "null", "range",
        "unseen", "correlation", "target", "prediction", and the rules "schema" and "constant".
    expect : dict, optional
        Declarations by column, such as ``{"age": {"nullable": False, "range": (0, 120)}}``; keys
        are nullable, max_null_rate, range (None for an open end), allowed (categories) and required
        (False: the column may be missing). A declared range or list of categories replaces the
        comparison with those of the reference.
    min_rows : int, default 100
        Fewer live rows are refused.

    Attributes
    ----------
    alpha : float
        Chance that a comparison without drift pages, at most.
    reference : Profile
        The profile of all reference rows; with seasons, see :meth:`reference_of`.
    seasons, segments : tuple of str
        Labels of the seasons and levels of the segment column; empty if there are none.

    Notes
    -----
    The guarantee holds for rows that are independent of each other. Consecutive rows often are not:
    :meth:`calibrate` measures on clean rows how much wider windows scatter, and scales the
    statistics. Where a weekday or a month differs from the others, give `season` to :meth:`fit`.

    Not compared are: the values of times (only their NULLs, and whether they are all one time), how
    many rows there are, rows that occur twice, relations between categories or of a category with a
    number, and the relation of prediction and target (see ``mlsd.metrics``).

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6(2). Benjamini and Hochberg (1995), Controlling the false discovery rate, Journal of
    the Royal Statistical Society B 57(1).

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from mlsd.drift import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> reference = pd.DataFrame({"amount": rng.normal(50, 10, 20_000)})
    >>> live = pd.DataFrame({"amount": rng.normal(50, 10, 2_000)})
    >>> monitor = DriftMonitor().fit(reference)
    >>> bool(monitor.compare(live).page)
    False
    >>> live.loc[:99, "amount"] = np.nan
    >>> [(alarm.column, alarm.check) for alarm in monitor.compare(live).page]
    [('amount', 'null')]
    """

    def __init__(
        self,
        *,
        false_pages_per_quarter: float = 1.0,
        runs_per_day: float = 1,
        min_effect: float = 0.02,
        watch_fdr: float = 0.10,
        checks: str | Sequence[str] = "auto",
        expect: Mapping[str, Mapping[str, Any]] | None = None,
        min_rows: int = 100,
    ) -> None:
        """See the class."""
        self.false_pages_per_quarter = check_positive(
            false_pages_per_quarter, "false_pages_per_quarter"
        )
        self.runs_per_day = check_positive(runs_per_day, "runs_per_day")
        self.alpha = self.false_pages_per_quarter / (_DAYS_PER_QUARTER * self.runs_per_day)
        if self.alpha >= 1:
            raise ValueError(
                f"false_pages_per_quarter={false_pages_per_quarter!r} with "
                f"runs_per_day={runs_per_day!r} allows a false page in every run: "
                f"it must be below {_DAYS_PER_QUARTER * self.runs_per_day:g}"
            )
        self.min_effect = not_negative(min_effect, "min_effect")
        self.watch_fdr = check_fraction(watch_fdr, "watch_fdr")
        self.checks = known_checks(checks)
        self.expect: dict[str, Expectation] = read_expectations(expect)
        self.min_rows = check_positive_int(min_rows, "min_rows")
        self._start(References())

    def __repr__(self) -> str:
        """Show the budget, and the size of the reference once fitted."""
        size = ""
        if self._references.by_key:
            rows = sum(
                reference.profile.n_rows
                for (_, segment), reference in self._references.by_key.items()
                if not segment
            )
            size = f" of {rows:,} reference rows"
        return (
            f"DriftMonitor(false_pages_per_quarter={self.false_pages_per_quarter:g}, "
            f"runs_per_day={self.runs_per_day:g}, min_effect={self.min_effect:g}){size}"
        )

    @property
    def reference(self) -> Profile:
        """The profile of all reference rows."""
        self._check_fitted()
        if ("", "") not in self._references.by_key:
            raise AttributeError(
                f"every season has its own reference: {list(self.seasons)}; "
                "take reference_of(season)"
            )
        return self._references.by_key["", ""].profile

    def reference_of(self, season: Any = None) -> Profile:
        """Return the profile of all reference rows of a season.

        Parameters
        ----------
        season : str, optional
            One of `seasons`; None where there are none.

        Returns
        -------
        Profile
            Live profiles of this season are made with it: ``Profile.from_frame(X, like=...)``.

        Raises
        ------
        ValueError
            If the season is unknown, or is needed and missing.
        """
        self._check_fitted()
        return self._references.by_key[self._references.known_season(season), ""].profile

    @property
    def seasons(self) -> tuple[str, ...]:
        """Labels of the seasons."""
        return self._references.seasons

    @property
    def segments(self) -> tuple[str, ...]:
        """Levels of the segment column that have a reference of their own."""
        return self._references.segments

    def fit(
        self,
        X: Any,
        *,
        y: Any = None,
        prediction: Any = None,
        segments: str | None = None,
        season: Any = None,
    ) -> Self:
        """Store the reference, replacing what was stored before.

        Parameters
        ----------
        X : table of pandas, polars or pyarrow, or Profile
            Reference rows: a time when all was well. A profile made earlier serves as well.
        y, prediction : array-like or str, optional
            Target and prediction of every row, or their column in `X`.
        segments : str, optional
            A column whose levels are also compared each on its own, with half of the chance of a
            false page.
        season : array-like, str or (str, callable), optional
            Label of every row, such as its weekday; the column that holds it; or a column and a
            function from its values to labels. Live rows are then compared with their like only.

        Returns
        -------
        DriftMonitor
            Itself.

        Raises
        ------
        ValueError
            If there are fewer than `min_rows` rows, or a season has; if a declaration does not fit.
        TypeError
            If the column of the segments or of the season is not named by a string.
        """
        _check_name(segments, "segments")
        if isinstance(season, tuple) and len(season) == 2 and callable(season[1]):
            _check_name(season[0], "the column of season")
        if isinstance(X, Profile):
            for name, value in (
                ("y", y),
                ("prediction", prediction),
                ("segments", segments),
                ("season", season),
            ):
                if value is not None:
                    raise ValueError(f"{name} needs the rows; X is a Profile")
            enough_reference(X.n_rows, self.min_rows, "X")
            check_against(self.expect, X)
            return self._start(References({("", ""): Reference(X)}))
        rows = n_rows(X, "X")
        enough_reference(rows, self.min_rows, "X")
        labels, column, function = read_season(X, season, rows)
        if column is not None and function is None:
            X = without(X, column)
        references = References.build(
            X,
            y,
            prediction,
            labels=labels,
            column=segments,
            min_rows=self.min_rows,
            check=lambda profile: check_against(self.expect, profile),
        )
        return self._start(references, column, function)

    def _start(
        self,
        references: References,
        season_column: str | None = None,
        season_of: Callable[[Any], Any] | None = None,
        scales: dict[str, Scales] | None = None,
    ) -> Self:
        self._references, self._scales = references, {} if scales is None else scales
        self._season_column, self._season_of = season_column, season_of
        return self

    def compare(
        self, X: Any, *, y: Any = None, prediction: Any = None, season: Any = None
    ) -> DriftReport:
        """Compare live rows with the reference.

        Parameters
        ----------
        X : table of pandas, polars or pyarrow, or Profile
            Live rows, or their profile, made with ``like=monitor.reference`` (with seasons:
            ``like=monitor.reference_of(season)``).
        y, prediction : array-like or str, optional
            Target and prediction of every row, or their column in `X`.
        season : str, optional
            The season of the live rows; not needed where :meth:`fit` was told the column.

        Returns
        -------
        DriftReport
            ``report.page`` is truthy exactly when someone should be called.

        Raises
        ------
        ValueError
            If there are fewer than `min_rows` rows, the profile was made with another reference, or
            the season is unknown.
        """
        self._check_fitted()
        label, X = self._season_label(X, season)
        lives, missing = self._live(X, label, y, prediction)
        rows = self._rows(lives, label)
        findings = self._all_findings(lives)
        scales = self._scales.get(label)
        if scales is not None:
            rows, findings = scales.apply(rows), scales.quieten(findings)
        verdict, holm, fdr = verdicts(
            rows, alpha=self.alpha, watch_fdr=self.watch_fdr, min_effect=self.min_effect
        )
        profiles = {
            segment: (reference.profile, live) for segment, (reference, live) in lives.items()
        }
        page, watch, unchecked = alarms_of(rows, verdict, holm, fdr, findings, profiles)
        before, after = profiles[""]
        return DriftReport(
            page=page,
            watch=watch,
            unchecked=(*unchecked, *missing),
            notes=_notes(before, after, scales),
            alpha=self.alpha,
            watch_fdr=self.watch_fdr,
            min_effect=self.min_effect,
            n_ref=before.n_rows,
            n_live=after.n_rows,
            calibrated=scales is not None,
            season=label,
            reference=before,
            live=after,
            table=table_of(rows, verdict, holm, fdr, findings),
        )

    def _check_fitted(self) -> None:
        if not self._references.by_key:
            raise RuntimeError("this DriftMonitor has no reference yet: call fit first")

    def _season_label(self, X: Any, season: Any) -> tuple[str, Any]:
        """Return the season of the live rows, and the rows without a column that only names it."""
        if not self.seasons:
            return self._references.known_season(season), X
        column = self._season_column
        if column is not None and not isinstance(X, Profile):
            if season is None:
                values = column_of(X, column, "X")
                if self._season_of is not None:
                    values = as_column(self._season_of(pd.Series(values)), "season")
                found = sorted({str(value) for value in values})
                if len(found) != 1:
                    raise ValueError(
                        f"X holds rows of {len(found)} seasons: {found[:10]}; compare each alone"
                    )
                season = found[0]
            if self._season_of is None and column in names_of(X, "X"):
                X = without(X, column)
        return self._references.known_season(season), X

    def _live(
        self, X: Any, label: str, y: Any, prediction: Any
    ) -> tuple[Mapping[str, tuple[Reference, Profile]], list[Unchecked]]:
        return self._references.live(
            X, y, prediction, label=label, min_rows=self.min_rows, refuse=self._enough_live
        )

    def _enough_live(self, n: int, reference: Reference) -> None:
        if n >= self.min_rows:
            return
        said = rows_needed(reference, alpha=self.alpha, checks=self._tests(), n=self.min_rows)
        raise ValueError(
            f"X has {n} {'row' if n == 1 else 'rows'}; min_rows={self.min_rows} are needed, and "
            f"even then {said}"
        )

    def _tests(self) -> tuple[str, ...]:
        return CHECKS if self.checks == "auto" else tuple(self.checks)

    def _skipped(self) -> frozenset[tuple[str, str]]:
        """Return what a declaration replaces."""
        return frozenset(
            (name, check)
            for name, rules in self.expect.items()
            for check, rule in (("range", rules.range), ("unseen", rules.allowed))
            if rule is not None
        )

    def _rows(self, lives: Mapping[str, tuple[Reference, Profile]], label: str) -> Rows:
        """Return the rows of all checks; the segments together weigh as much as all rows."""
        parts = []
        for segment, (reference, live) in lives.items():
            rows = reference.compare(live, self._tests(), self._skipped())
            if segment:
                rows = rows.where(rows.column != self._references.column)
                rows = rows.within(segment, self._references.share(label))
            parts.append(rows)
        return Rows.join(parts)

    def _all_findings(
        self, lives: Mapping[str, tuple[Reference, Profile]]
    ) -> list[tuple[str, Finding]]:
        found = [
            (segment, finding)
            for segment, (reference, live) in lives.items()
            for finding in self._findings(reference.profile, live, segment)
        ]
        return sorted(found, key=lambda item: _SEVERITY.index(item[1].verdict))

    def _findings(self, reference: Profile, live: Profile, segment: str) -> list[Finding]:
        wanted = (*CHECKS, *RULES) if self.checks == "auto" else self.checks
        found: list[Finding] = []
        if not segment:
            if "schema" in wanted:
                optional = frozenset(
                    name for name, rules in self.expect.items() if rules.required is False
                )
                found += schema_findings(reference, live, optional)
            found += declared(self.expect, reference, live)
        if "constant" in wanted:
            found += [
                finding
                for finding in constant_findings(reference, live, self.min_rows)
                if not segment or finding.column != self._references.column
            ]
        return found

    def power(self, n_live: int, *, power: float = 0.8, season: Any = None) -> pd.DataFrame:
        """Return the smallest change of every column and check that would page with chance `power`.

        Each is the change of this one check alone, at the first step of Holm's procedure, so that a
        change that also moves other checks is found at less. After :meth:`calibrate` it is the
        change of rows that hang together as clean windows did.

        Parameters
        ----------
        n_live : int
            Live rows a comparison.
        power : float, default 0.8
            Chance of a page.
        season : str, optional
            Which reference to take, where there are seasons.

        Returns
        -------
        pandas.DataFrame
            column, check, effect (its unit), smallest, and example: the same in words.

        Examples
        --------
        >>> import numpy as np
        >>> import pandas as pd
        >>> from mlsd.drift import DriftMonitor
        >>> amount = np.random.default_rng(0).normal(50, 10, 20_000)
        >>> table = DriftMonitor().fit(pd.DataFrame({"amount": amount})).power(2_000)
        >>> table.loc[table["check"] == "null", ["smallest", "example"]].round(2).values.tolist()
        [[0.11, '0 % NULL -> 0.28 %']]
        """
        self._check_fitted()
        check_positive_int(n_live, "n_live")
        check_fraction(power, "power")
        label = self._references.known_season(season)
        return power_table(
            self._references.by_key[label, ""],
            n_live=n_live,
            power=power,
            alpha=self.alpha,
            min_effect=self.min_effect,
            checks=self._tests(),
            skip=self._skipped(),
            factor=2.0 if self._references.segments_of(label) else 1.0,
            scales=self._scales.get(label),
        )

    def calibrate(
        self,
        X: Any,
        *,
        y: Any = None,
        prediction: Any = None,
        block: int | None = None,
        n_live: int | None = None,
        season: Any = None,
        held_out: bool = True,
        random_state: Any = None,
    ) -> Calibration:
        """Measure on clean rows how much wider windows scatter than independent rows would.

        Parameters
        ----------
        X : table of pandas, polars or pyarrow
            Clean rows in the order of time. Trends in them count as clean, too.
        y, prediction : array-like or str, optional
            Target and prediction of every row, or their column in `X`.
        block : int, optional
            Length of the blocks of a block bootstrap: windows are drawn as blocks of consecutive
            rows. It must be longer than rows depend on each other. By default windows are
            consecutive rows of `X`, which needs more of them and assumes less.
        n_live : int, optional
            Rows a window: as many as a comparison will have. Default: a fortieth of `X`, at least
            `min_rows`.
        season : str, optional
            The season of `X`, where there are seasons: the factors are kept for it alone.
        held_out : bool, default True
            Whether none of the rows is in the reference. False is for rows of the reference itself:
            no row lies outside the range that it helped to set, so the windows of each quarter of
            `X` are then judged by a profile of the other three.
        random_state : int or Generator, optional
            For the bootstrap.

        Returns
        -------
        Calibration
            Design effects by column and check, and how often a clean window paged before and
            after, on windows that the factors were not fitted on. From now on the monitor uses
            the factors of all windows.

        Raises
        ------
        ValueError
            If `X` has fewer than 10 windows.
        """
        self._check_fitted()
        label, X = self._season_label(X, season)
        if not isinstance(held_out, bool):
            raise TypeError(f"held_out must be True or False; got {held_out!r}")
        judges = [self._judge(label)] * 2
        if not held_out:
            size, count = window_sizes(n_rows(X, "X"), n_live, self.min_rows)
            ends = [size * at for at in stretches(count, _STRETCHES)]
            ends[-1] = n_rows(X, "X")
            judges = [
                self._of_rows(X, y, prediction, np.r_[0:start, stop : ends[-1]])._judge("")
                for start, stop in pairwise(ends)
            ]
        calibration, self._scales[label] = calibrate(
            X,
            y,
            prediction,
            judges=judges,
            pages=self._pages,
            alpha=self.alpha,
            block=block,
            n_live=n_live,
            min_rows=self.min_rows,
            random_state=random_state,
        )
        return calibration

    def _judge(self, label: str) -> Callable[[Any, Any, Any], Window]:
        """Return the function that compares a window with the reference of a season."""

        def judge(window: Any, y: Any, prediction: Any) -> Window:
            lives, _ = self._live(window, label, y, prediction)
            return Window(self._rows(lives, label), self._all_findings(lives))

        return judge

    def _pages(self, window: Window) -> bool:
        verdict, _, _ = verdicts(
            window.rows, alpha=self.alpha, watch_fdr=self.watch_fdr, min_effect=self.min_effect
        )
        broken = any(finding.verdict == "page" for _, finding in window.findings)
        return broken or bool((verdict == "page").any())

    def _of_rows(self, X: Any, y: Any, prediction: Any, rows: IntArray) -> DriftMonitor:
        """Return a monitor with these options whose reference is some rows of `X`."""
        return DriftMonitor(**self._options()).fit(
            take(X, rows),
            y=take(y, rows),
            prediction=take(prediction, rows),
            segments=self._references.column,
        )

    def _options(self) -> dict[str, Any]:
        return {
            "false_pages_per_quarter": self.false_pages_per_quarter,
            "runs_per_day": self.runs_per_day,
            "min_effect": self.min_effect,
            "watch_fdr": self.watch_fdr,
            "checks": self.checks if self.checks == "auto" else list(self.checks),
            "expect": {name: rules.to_dict() for name, rules in self.expect.items()},
            "min_rows": self.min_rows,
        }

    def to_json(self) -> str:
        """Return the options, the reference profiles and the calibration as JSON, with a version.

        A function that makes seasons from a column is not kept: give `season` to
        :meth:`compare` then.
        """
        self._check_fitted()
        season = None if self._season_of is not None else self._season_column
        return dump(self._options(), season, self._references, self._scales)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the monitor that :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            If the text is no monitor, or of a later version.
        """
        stored = load(text)
        monitor = cls(**stored.options)
        return monitor._start(stored.references, stored.season, None, stored.scales)


def _check_name(name: Any, what: str) -> None:
    if name is not None and not isinstance(name, str):
        raise TypeError(
            f"{what} must be the name of a column, a string; got {name!r} ({type(name).__name__})"
        )


def _notes(reference: Profile, live: Profile, scales: Scales | None) -> tuple[str, ...]:
    notes = []
    if reference.pairs_skipped:
        notes.append(
            f"correlations of {reference.pairs_skipped} numeric columns are not kept: name the "
            "ones that matter with pairs="
        )
    if scales is not None and not scales.n_live / 1.5 <= live.n_rows <= scales.n_live * 1.5:
        notes.append(
            f"calibrated on windows of {scales.n_live:,} rows; these are {live.n_rows:,}: "
            "calibrate at the length that you compare"
        )
    return tuple(notes)
