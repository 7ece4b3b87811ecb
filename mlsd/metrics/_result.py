"""What an evaluation returns: values per query, their means, intervals and comparisons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._stats import bootstrap_mean, holm, paired_randomization, paired_t, t_interval
from mlsd._validation import as_generator, check_choice

__all__ = ["RankingDiagnostics", "RankingResult"]

_RandomState = int | np.random.Generator | None


@dataclass(frozen=True, slots=True)
class RankingDiagnostics(Result):
    """What an evaluation counted, left out or had to assume."""

    n_queries: int
    """Judged queries; each is a row of ``per_query``."""
    n_judgements: int
    """Judged (query, document) pairs."""
    n_run_rows: int
    """Rows of the run, all of them."""
    missing_queries: int
    """Judged queries of which the run has no row; they count as 0."""
    unjudged_queries: int
    """Queries of the run that are not judged, and so dropped."""
    unjudged_query_rows: int
    """Rows of the run dropped with them."""
    empty_queries: int
    """Judged queries without a relevant document, undefined; see `empty`."""
    unjudged_rows: int
    """Rows of judged queries whose document is not judged; not relevant, or dropped on request."""
    tied_fraction: float
    """Of the ranked rows of judged queries, the share whose score is not unique in its query."""
    judged_at_10: float
    """Mean share of judged documents in the top 10, over the judged queries in the run."""


@dataclass(frozen=True, slots=True, eq=False)
class RankingResult(Result):
    """Values of ranking metrics, one row a query; means, intervals and tests follow from them.

    Attributes
    ----------
    per_query : DataFrame
        One row a judged query (index ``query_id``), one column a metric; nan where undefined.
    diagnostics : RankingDiagnostics
        What was missing, dropped, empty, tied or unjudged.
    options : dict
        The variant: the options of ``evaluate_ranking`` that shape the values.
    """

    per_query: pd.DataFrame
    diagnostics: RankingDiagnostics
    options: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        """Return the mean of one metric: ``result["ndcg@10"]``."""
        if metric not in self.per_query:
            raise KeyError(f"{metric!r} is no metric here; there are {list(self.per_query)}")
        return float(self.mean()[metric])

    def mean(self) -> pd.Series[float]:
        """Return the mean of each metric over the queries where it is defined.

        Returns
        -------
        Series
            Index: the metrics. A metric that is defined nowhere is nan.
        """
        return self.per_query.mean().rename("mean")

    def confidence_interval(
        self,
        level: float = 0.95,
        method: str = "normal",
        *,
        n_resamples: int = 2000,
        random_state: _RandomState = None,
    ) -> pd.DataFrame:
        """Return the mean of each metric with an interval; the queries are the sample.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.
        method : str
            "normal": normal theory with the variance estimated, that is Student's t with n - 1
            degrees of freedom. "bootstrap": percentiles of the resampled means.
        n_resamples : int
            Bootstrap samples of the queries.
        random_state : int, Generator or None
            Source of the bootstrap samples.

        Returns
        -------
        DataFrame
            Index: the metrics. Columns mean, lower, upper, stderr and n, the queries where the
            metric is defined. With fewer than two of them the interval is nan.

        Raises
        ------
        ValueError
            If `method` is unknown or `level` is not inside (0, 1).
        """
        check_choice(method, "method", ["normal", "bootstrap"])
        rng = as_generator(random_state)
        rows = []
        for label in self.per_query.columns:
            values = self.per_query[label].dropna().to_numpy()
            if method == "normal":
                rows.append(t_interval(values, level=level))
            else:
                rows.append(
                    bootstrap_mean(values, level=level, n_resamples=n_resamples, random_state=rng)
                )
        return pd.DataFrame(rows, index=self._metrics())

    def compare(
        self,
        other: RankingResult,
        test: str = "t",
        correction: str | None = "holm",
        *,
        level: float = 0.95,
        n_resamples: int = 10_000,
        random_state: _RandomState = None,
    ) -> pd.DataFrame:
        """Return paired tests of this result against another, metric by metric.

        The pairs are the queries where both are defined; the rest are counted, not used.

        Parameters
        ----------
        other : RankingResult
            The result to compare with; it needs all metrics of this one.
        test : str
            "t": paired t test. "randomization": random signs of the differences per query.
        correction : str or None
            "holm" adjusts the p-values for the number of metrics; None leaves them.
        level : float
            Coverage of the t interval of the difference.
        n_resamples : int
            Random sign assignments of the randomization test.
        random_state : int, Generator or None
            Source of the signs.

        Returns
        -------
        DataFrame
            Columns metric, mean, other, difference (mean - other), lower, upper, p_value,
            p_adjusted, n (pairs) and unpaired (queries that are defined in one result only).

        Raises
        ------
        TypeError
            If `other` is not a RankingResult.
        ValueError
            If `other` lacks a metric, shares no query, or an option is unknown.

        References
        ----------
        Smucker, Allan and Carterette (2007), A comparison of statistical significance tests for
        information retrieval evaluation, CIKM.
        """
        check_choice(test, "test", ["t", "randomization"])
        check_choice(correction, "correction", ["holm", None])
        if not isinstance(other, RankingResult):
            raise TypeError(f"other must be a RankingResult; got {type(other).__name__}")
        lacking = [label for label in self.per_query if label not in other.per_query]
        if lacking:
            raise ValueError(f"other lacks the metrics {lacking}; it has {list(other.per_query)}")
        common = self.per_query.index.intersection(other.per_query.index)
        if common.empty:
            raise ValueError("the two results share no query")
        rng = as_generator(random_state)
        rows = []
        for label in self.per_query.columns:
            mine, theirs = self.per_query[label].dropna(), other.per_query[label].dropna()
            pairs = mine.index.intersection(theirs.index)
            first, second = mine[pairs].to_numpy(), theirs[pairs].to_numpy()
            if test == "t":
                tested = paired_t(first - second, level=level)
            else:
                tested = paired_randomization(
                    first - second, level=level, n_resamples=n_resamples, random_state=rng
                )
            rows.append(
                {
                    "metric": label,
                    "mean": float(first.mean()) if len(pairs) else np.nan,
                    "other": float(second.mean()) if len(pairs) else np.nan,
                    "difference": tested.difference,
                    "lower": tested.lower,
                    "upper": tested.upper,
                    "p_value": tested.p_value,
                    "n": tested.n,
                    "unpaired": len(mine) + len(theirs) - 2 * len(pairs),
                }
            )
        frame = pd.DataFrame(rows)
        adjusted = holm(frame["p_value"]) if correction == "holm" else frame["p_value"].copy()
        frame.insert(list(frame).index("p_value") + 1, "p_adjusted", adjusted)
        return frame

    def to_frame(self) -> pd.DataFrame:
        """Return the means with their 95 % t intervals; the index is the metrics."""
        return self.confidence_interval()

    def _metrics(self) -> pd.Index[str]:
        return pd.Index(self.per_query.columns, name="metric")

    def _note(self) -> str:
        """Return what was missing, dropped, unjudged and tied, in one line."""
        seen = self.diagnostics
        judged = f"{seen.judged_at_10:.0%}" if seen.judged_at_10 >= 0 else "nothing"
        return (
            f"{seen.n_queries:,} queries, {seen.missing_queries:,} absent from the run (counted 0),"
            f" {seen.empty_queries:,} without a relevant document; {seen.n_run_rows:,} rows, "
            f"{seen.unjudged_query_rows:,} dropped with {seen.unjudged_queries:,} unjudged "
            f"queries, {seen.unjudged_rows:,} not judged, {seen.tied_fraction:.0%} tied; "
            f"{judged} of the top 10 judged; 95% intervals over queries"
        )

    def __repr__(self) -> str:
        return f"{self.to_frame().to_string(float_format='{:.4f}'.format)}\n{self._note()}"
