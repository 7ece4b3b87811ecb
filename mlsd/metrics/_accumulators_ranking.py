"""Ranking metrics of whole queries in parts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlsd._exact import LARGEST_FACTOR, UNIT, exact_dot, exact_sum, quotient
from mlsd._fields import Count, Field, KeySet, Total
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._state import State
from mlsd._validation import UndefinedMetricWarning, check_fraction, warn_undefined
from mlsd.metrics._accumulators_mean import mean_of_sums, t_quantile
from mlsd.metrics._evaluate import evaluate_ranking
from mlsd.metrics._qrels import Qrels
from mlsd.metrics._result import RankingResult

__all__ = ["RankingAccumulator", "RankingSummary"]

_COUNTERS = (
    "n_queries",
    "n_judgements",
    "n_run_rows",
    "missing_queries",
    "unjudged_queries",
    "unjudged_query_rows",
    "empty_queries",
    "unjudged_rows",
)
# The whole metric is a value per query, so the whole query has to be in one part.
_TWICE = (
    "{n} queries are in both: a ranking metric needs all rows of a query in one part, so send a "
    "query's rows to one part, for example by a hash of its identifier"
)


@dataclass(frozen=True, slots=True, eq=False)
class RankingSummary(Result):
    """Means over all queries an accumulator has seen, and what their evaluations counted."""

    means: pd.DataFrame
    """One row a metric: mean, lower, upper, stderr, n (queries where it is defined), undefined."""
    n_queries: int
    """Judged queries."""
    n_judgements: int
    """Judged (query, document) pairs."""
    n_run_rows: int
    """Rows of the runs."""
    missing_queries: int
    """Judged queries of which the run had no row; they count as 0."""
    unjudged_queries: int
    """Queries of the runs that are not judged, summed over parts, and dropped."""
    unjudged_query_rows: int
    """Rows dropped with them."""
    empty_queries: int
    """Judged queries without a relevant document."""
    unjudged_rows: int
    """Rows of judged queries whose document is not judged."""
    judged_at_10: float
    """Mean share of judged documents in the top 10, over the judged queries in the runs."""

    def to_frame(self) -> pd.DataFrame:
        """Return the means with their intervals; the index is the metrics."""
        return self.means.copy()


_OPTIONS = frozenset(
    ("gain", "ties", "empty", "min_relevance", "judged_only", "normalize", "max_rel", "p")
) | {"query", "doc", "score", "rank"}


class RankingAccumulator(State):
    """Means of ranking metrics over queries that are evaluated in parts, with t intervals.

    Parameters
    ----------
    metrics : str or iterable of str
        The metrics to keep, named as the columns of ``RankingResult.per_query``.
    **options
        Options of ``evaluate_ranking``, such as ``ties`` or ``gain``, for updates with judgements
        and a run; plain values. They are part of the configuration: states with other options do
        not merge. ERR needs ``max_rel``, whose default would come from the data of one part.

    Notes
    -----
    All rows of a query must come in one update: a query seen twice raises, within an update, over
    updates and in a merge. For that the state keeps a 64-bit hash of each identifier as text, 8
    bytes a query. Among 10 million queries two share one by chance with probability 3e-6; that
    raises, too, and never goes unnoticed. Sums are exact: no order of parts changes the means.

    Examples
    --------
    >>> import pandas as pd
    >>> def part(query):
    ...     qrels = pd.DataFrame({"query_id": [query], "doc_id": ["a"], "relevance": [1]})
    ...     run = pd.DataFrame({"query_id": [query] * 2, "doc_id": ["x", "a"],
    ...                         "score": [0.9, 0.1 if query == "q1" else 1.0]})
    ...     return RankingAccumulator("mrr").update(qrels, run)
    >>> (part("q1") + part("q2")).result().means.round(3)
            mean  lower  upper  stderr  n  undefined
    metric
    mrr     0.75 -2.427  3.927    0.25  2          0
    """

    kind = "ranking"
    version = 1
    __slots__ = ()

    def __init__(self, metrics: str | Iterable[str], **options: Any) -> None:
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        super().__init__(metrics=names, options=options)

    @classmethod
    def _configure(cls, *, metrics: Any, options: Any) -> dict[str, Any]:  # type: ignore[override]
        if (
            not isinstance(metrics, list)
            or not metrics
            or not all(isinstance(name, str) for name in metrics)
        ):
            raise TypeError(f"metrics must be one name or more; got {metrics!r}")
        if len(set(metrics)) < len(metrics):
            raise ValueError(f"metrics holds a name twice: {metrics!r}")
        if not isinstance(options, dict):
            raise TypeError(f"options must be a dictionary; got {options!r}")
        unknown = sorted(set(options) - _OPTIONS)
        if unknown:
            raise TypeError(f"options {unknown} are not of evaluate_ranking: {sorted(_OPTIONS)}")
        for name, value in options.items():
            if not (value is None or isinstance(value, str | int | float)) or value != value:
                raise TypeError(f"option {name!r} must be a plain value; got {value!r}")
        return {"metrics": list(metrics), "options": dict(sorted(options.items()))}

    @classmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        layout: dict[str, Field] = {name: Count() for name in _COUNTERS}
        layout |= {"queries": KeySet(_TWICE), "judged_at_10": Total(nonnegative=True)}
        for metric in config["metrics"]:
            layout |= {
                f"{metric}:n": Count(),
                f"{metric}:sum": Total(),
                f"{metric}:sum_of_squares": Total(nonnegative=True),
            }
        return layout

    def _check(self) -> None:
        value = self._values
        n = value["n_queries"]
        if value["queries"].size != n or value["missing_queries"] > n or value["empty_queries"] > n:
            raise ValueError("the counts of the state contradict each other")
        for metric in self._config["metrics"]:
            defined, total, squares = self._sums(metric)
            if defined > n or (not defined and (total or squares)):
                raise ValueError(f"the sums of {metric} contradict each other")

    def _sums(self, metric: str) -> tuple[int, int, int]:
        value = self._values
        return value[f"{metric}:n"], value[f"{metric}:sum"], value[f"{metric}:sum_of_squares"]

    def update(self, result: RankingResult | Qrels | pd.DataFrame, run: Any = None) -> Self:
        """Add whole queries: their evaluation, or judgements and a run to evaluate.

        Parameters
        ----------
        result : RankingResult, or Qrels or DataFrame
            What ``evaluate_ranking`` returned; or, with `run`, the judgements.
        run : DataFrame or None
            The scored documents; evaluated with the metrics and options of this accumulator.

        Returns
        -------
        RankingAccumulator
            This one, changed. Undefined values are counted, and ``result`` warns of them.

        Raises
        ------
        TypeError
            If the arguments are neither.
        ValueError
            If a query was there before, the result lacks a metric, or ``evaluate_ranking`` raises.
            The state is then as it was.
        """
        if run is not None:
            judgements: Any = result
            graded = [name for name in self._config["metrics"] if name.split("@")[0] == "err"]
            if graded and self._config["options"].get("max_rel") is None:
                raise ValueError(
                    f"{graded[0]} needs the option max_rel: by default it is the largest relevance "
                    "of one part, which may differ from part to part"
                )
            with warnings.catch_warnings():
                # They are counted here, and result() warns of all of them.
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                result = evaluate_ranking(
                    judgements,
                    run,
                    self._config["metrics"],
                    **self._config["options"],
                )
        if not isinstance(result, RankingResult):
            raise TypeError(
                "update takes a RankingResult, or judgements and a run; "
                f"got {type(result).__name__}"
            )
        for name, value in self._config["options"].items():
            if result.options.get(name, value) != value:
                raise ValueError(
                    f"result was evaluated with {name}={result.options[name]!r}, and this state "
                    f"holds {name}={value!r}"
                )
        per_query, diagnostics = result.per_query, result.diagnostics
        lacking = [name for name in self._config["metrics"] if name not in per_query.columns]
        if lacking:
            raise ValueError(f"result lacks the metrics {lacking}; it has {list(per_query)}")
        parts: dict[str, Any] = {name: int(getattr(diagnostics, name)) for name in _COUNTERS}
        parts["queries"] = _hashed(per_query.index)
        shown = diagnostics.n_queries - diagnostics.missing_queries
        parts["judged_at_10"] = (
            exact_sum(np.array([diagnostics.judged_at_10 * shown])) if shown else 0
        )
        for metric in self._config["metrics"]:
            values = per_query[metric].to_numpy(dtype=np.float64)
            values = values[~np.isnan(values)]
            if not (np.abs(values) <= LARGEST_FACTOR).all():
                raise ValueError(f"result has infinite values of {metric}")
            parts |= {
                f"{metric}:n": values.size,
                f"{metric}:sum": exact_sum(values),
                f"{metric}:sum_of_squares": exact_dot(values, values),
            }
        self._absorb(**parts)
        return self

    def result(self, *, level: float = 0.95) -> RankingSummary:
        """Return the mean of each metric with its t interval; the queries are the sample.

        Parameters
        ----------
        level : float
            Coverage, strictly between 0 and 1.

        Returns
        -------
        RankingSummary
            Queries where a metric is undefined are left out of its mean and counted. With one
            query the interval is nan, with none the mean is, too.

        Warns
        -----
        UndefinedMetricWarning
            If a metric is undefined for some queries, or there is no query.
        """
        level = check_fraction(level, "level")
        value, rows, problems = self._values, [], []
        n_queries = value["n_queries"]
        for metric in self._config["metrics"]:
            n, total, squares = self._sums(metric)
            mean, _, stderr = mean_of_sums(n, total, squares)
            half = t_quantile(n, level) * stderr
            rows.append((mean, mean - half, mean + half, stderr, n, n_queries - n))
            if n < n_queries:
                problems.append(f"{metric} is undefined for {n_queries - n} of {n_queries} queries")
        if not n_queries:
            warn_undefined("no query: all means are nan")
        elif problems:
            warn_undefined("; ".join(problems) + "; they are left out of the mean")
        shown = n_queries - value["missing_queries"]
        return RankingSummary(
            means=pd.DataFrame(
                rows,
                columns=["mean", "lower", "upper", "stderr", "n", "undefined"],
                index=pd.Index(self._config["metrics"], name="metric"),
            ),
            judged_at_10=quotient(value["judged_at_10"], shown * UNIT) if shown else math.nan,
            **{name: value[name] for name in _COUNTERS},
        )


def _hashed(queries: pd.Index[Any]) -> npt.NDArray[np.int64]:
    """Return the sorted 64-bit hashes of the identifiers as text, or raise if one is there twice.

    SipHash with a fixed key, so that parts of other processes have the same.
    """
    text = np.asarray(queries.astype(str), dtype=object)
    keys = np.sort(pd.util.hash_array(text, categorize=False).view(np.int64))
    twice = int((keys[1:] == keys[:-1]).sum())
    if twice:
        raise ValueError(f"{twice} queries of the result are there twice")
    return keys
