"""An experiment from the rows of its log: all metrics, one row each, and whether to trust them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from mlsd._inputs import as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_choice, check_fraction
from mlsd.experiments._arms import arm_of_means, arm_of_ratios
from mlsd.experiments._comparison import Comparison, compare_arms
from mlsd.experiments._plans import (
    columns_of,
    read_covariates,
    read_margins,
    read_names,
    read_plans,
)
from mlsd.experiments._report import ExperimentReport, MetricRow, make_report
from mlsd.experiments._units import (
    Sums,
    Units,
    as_times,
    constant_by_unit,
    units_found,
    units_of,
)
from mlsd.experiments.assignment import sample_ratio_test
from mlsd.experiments.comparison import choose_control
from mlsd.experiments.moments import Moments, RatioMoments

__all__ = ["ExperimentReport", "MetricRow", "compare"]


def compare(
    frame: Any,
    *,
    unit: str,
    arm: str,
    metrics: Mapping[str, Any],
    control: Any = None,
    covariates: Mapping[str, Any] | None = None,
    before: Any = None,
    units: Any = None,
    expected: Mapping[Any, float] | None = None,
    primary: str | None = None,
    guardrails: Mapping[str, float] | None = None,
    lower_is_better: Collection[str] = (),
    relative: bool = False,
    adjust: str | None = "holm",
    level: float = 0.95,
    srm_alpha: float = 0.001,
    time: str | None = None,
    missing: str = "raise",
    crossover: str = "raise",
) -> ExperimentReport:
    """Compare the arms of an experiment on all its metrics, from the rows of a log.

    Rows are summed by unit first, so that the unit that was randomised is the unit of analysis.

    Parameters
    ----------
    frame : pandas, polars or pyarrow table
        The log: any number of rows a unit, in any order.
    unit, arm : str
        Columns of the randomised unit and of its arm.
    metrics : mapping of str to column, number or pair
        A column: the mean over units of its sum. A pair: the sum of the first over the sum of the
        second, by the delta method. The number 1 in place of a column counts rows:
        ``{"clicks": "click", "views": 1, "ctr": ("click", 1)}``.
    control : label, optional
        The control's arm; default "control" if there is one, else the first in sorted order.
    covariates : mapping of str to column or pair, optional
        For a metric, what was known of each unit before: a column with one value in all rows of a
        unit; or, with `before`, what is to be summed there.
    before : table, optional
        Rows from before the experiment, with the same column of units; a unit without rows sums
        to 0. Unless `covariates` says otherwise each metric is its own covariate.
    units : table, optional
        All units that were assigned, with the columns `unit` and `arm`. Those without rows in the
        log then count with sums of 0. Without it a unit that never came back is not seen, and if
        the treatment makes units come back the means are of different sorts of units. The arm is
        read here, not in the log.
    expected : mapping of arm to float, optional
        Planned shares for the sample-ratio test; default equal.
    primary : str, optional
        The metric that decides, chosen before the data. Its p-value is adjusted for the number of
        arms only; without one all metrics that are no guardrails are adjusted together.
    guardrails : mapping of str to float, optional
        Metrics that must not be worse than the control by more than the margin given, at least 0.
    lower_is_better : collection of str
        Metrics of which less is better, such as latency.
    relative : bool
        Whether the margins are shares of the control's value: 0.01 is one percent.
    adjust : {"holm", "bh", None}
        Adjustment of p-values among several: the chance of one false alarm (Holm), or their share
        (Benjamini and Hochberg).
    level : float
        Coverage of each interval; a verdict wants ``p_adjusted < 1 - level``.
    srm_alpha : float
        Level of the sample-ratio test.
    time : str, optional
        Column of times, checked: all with one time zone or all without one, none missing, and
        those of `before` earlier than all others.
    missing : {"raise", "drop"}
        What to do with a row where a metric is missing: raise, or leave it out of that metric and
        count it. The unit stays.
    crossover : {"raise", "drop"}
        What to do with units in two arms: raise, or leave them out and count them.

    Returns
    -------
    ExperimentReport

    Raises
    ------
    TypeError
        If something is not a table, a column of a metric not numeric, or `time` not times.
    ValueError
        If a column is lacking, there are fewer than two arms, a unit is in two arms, a value is
        missing or infinite, time zones are mixed, `before` is not before, or a name in
        `covariates`, `guardrails`, `primary` or `lower_is_better` is not among the metrics.

    Warns
    -----
    UndefinedMetricWarning
        If a metric has no interval or p-value, saying which and why.

    Notes
    -----
    Rows without a unit or an arm are left out and counted in ``dropped``. A row that was logged
    twice counts twice, since two equal rows may be two events: make them distinct by the event's
    identifier first. Verdicts of guardrails
    are those of :func:`guardrail` at the two-sided interval, so that a loss as large as the margin
    is called held with a chance of ``(1 - level) / 2``.

    References
    ----------
    Kohavi, Tang and Xu (2020), Trustworthy Online Controlled Experiments, Cambridge.
    Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics, KDD.

    Examples
    --------
    >>> log = pd.DataFrame({
    ...     "user_id": [1, 1, 2, 3, 4, 4, 5, 6],
    ...     "arm": ["old", "old", "old", "old", "new", "new", "new", "new"],
    ...     "click": [0, 1, 0, 1, 1, 1, 0, 1],
    ... })
    >>> report = compare(log, unit="user_id", arm="arm", control="old",
    ...                  metrics={"clicks": "click", "ctr": ("click", 1)})
    >>> report.to_frame()[["control", "treatment", "p_adjusted", "verdict"]].round(3)
             control  treatment  p_adjusted  verdict
    metric
    clicks     0.667       1.00         1.0  unclear
    ctr        0.500       0.75         1.0  unclear
    """
    level = check_fraction(level, "level")
    check_choice(adjust, "adjust", ("holm", "bh", None))
    check_choice(missing, "missing", ("raise", "drop"))
    plans = read_plans(metrics, "metrics")
    margins = read_margins(guardrails, plans)
    lower = read_names(lower_is_better, "lower_is_better", plans)
    if primary is not None and (primary not in plans or primary in margins):
        raise ValueError(
            f"primary is {primary!r}, which is not among the metrics that are no guardrails: "
            f"{[name for name in plans if name not in margins]}"
        )
    extra = read_covariates(covariates, plans, before is not None)
    table = as_pandas(
        frame,
        "frame",
        [
            unit,
            *([arm] if units is None else []),
            *([time] if time is not None else []),
            *columns_of(plans),
            *(columns_of(extra) if before is None else []),
        ],
    )
    earlier = None
    if before is not None:
        wanted = [unit, *([time] if time is not None else []), *columns_of(extra)]
        earlier = as_pandas(before, "before", wanted)
    if time is not None:
        _check_times(table, earlier, time)
    assigned = None if units is None else as_pandas(units, "units", [unit, arm])
    found = units_of(table, unit, arm, assigned, crossover)
    first = choose_control(found.arms, control)
    counts = np.bincount(found.arm[found.arm >= 0], minlength=len(found.arms))
    srm = sample_ratio_test(
        dict(zip(found.arms, counts.tolist(), strict=True)), expected, alpha=srm_alpha
    )
    sums = Sums(table, "frame", found.codes, found.kept, found.arm.size, missing)
    of_before = _sums_before(earlier, unit, found, missing)
    members = {name: np.flatnonzero(found.arm == code) for code, name in enumerate(found.arms)}
    comparisons = []
    for name, plan in plans.items():
        columns = _measured(sums, plan, found, name, "")
        if name in extra:
            columns += (
                _measured(of_before, extra[name], found, name, " before")
                if of_before is not None
                else _constants(table, extra[name], found, name)
            )
        comparisons += _against_control(columns, len(plan), members, first, name, level)
    return make_report(
        comparisons,
        srm=srm,
        dropped=found.dropped,
        n_rows=len(table),
        control=str(first),
        primary=primary,
        margins=margins,
        lower=lower,
        adjust=adjust,
        level=level,
        relative=relative,
    )


def _against_control(
    columns: list[FloatArray],
    n_parts: int,
    members: dict[Any, IntArray],
    control: Any,
    metric: str,
    level: float,
) -> list[Comparison]:
    """Return the comparison of each arm with the control on one metric."""
    arms = {}
    for name, rows in members.items():
        own = [column[rows] for column in columns]
        if n_parts == 1:
            arms[name] = arm_of_means(Moments.of(*own))
        else:
            rest: Any = own[2:]
            covariate = None if not rest else rest[0] if len(rest) == 1 else tuple(rest)
            arms[name] = arm_of_ratios(RatioMoments.of(own[0], own[1], covariate))
    method = ("Welch" if n_parts == 1 else "delta") + (", CUPED" if len(columns) > n_parts else "")
    results = []
    for name, treatment in arms.items():
        if name == control:
            continue
        found = compare_arms(
            arms[control],
            treatment,
            method=method,
            relative=False,
            level=level,
            alternative="two-sided",
            margin=0.0,
            names=(metric, str(control), str(name)),
            stacklevel=5,
        )
        results.append(found)
    return results


def _check_times(table: pd.DataFrame, earlier: pd.DataFrame | None, time: str) -> None:
    times = as_times(table[time], f"frame[{time!r}]")
    if earlier is None:
        return
    past = as_times(earlier[time], f"before[{time!r}]")
    if (times.dt.tz is None) != (past.dt.tz is None):
        raise ValueError(
            f"frame[{time!r}] and before[{time!r}] mix times with a time zone and without one"
        )
    if len(times) and len(past) and past.max() >= times.min():
        raise ValueError(
            f"before[{time!r}] ends at {past.max()}, and frame[{time!r}] begins at {times.min()}: "
            "what treatment can have changed is no covariate"
        )


def _sums_before(
    earlier: pd.DataFrame | None, unit: str, found: Units, missing: str
) -> Sums | None:
    if earlier is None:
        return None
    codes, kept = units_found(found.ids, earlier[unit], "before", found.dropped)
    return Sums(earlier, "before", codes, kept, found.arm.size, missing)


def _measured(
    sums: Sums, parts: tuple[Any, ...], found: Units, metric: str, when: str
) -> list[FloatArray]:
    columns, left_out = sums.of(parts)
    if left_out:
        found.dropped[f"rows{when} where {metric} is missing"] = left_out
    return columns


def _constants(
    table: pd.DataFrame, parts: tuple[Any, ...], found: Units, metric: str
) -> list[FloatArray]:
    columns = []
    for part in parts:
        values, filled = constant_by_unit(table[part], f"frame[{part!r}]", found)
        if filled:
            found.dropped[f"units whose {part} was filled with the mean"] = filled
        columns.append(values)
    return columns
