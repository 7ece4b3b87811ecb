"""Experiments that randomise whole clusters, such as communities, shops or regions."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from mlsd._inputs import as_column, as_floats, as_labels
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import (
    as_generator,
    check_fraction,
    check_positive_int,
    check_same_length,
    warn_undefined,
)
from mlsd.experiments._anova import DesignEffect, analysed
from mlsd.experiments.comparison import Comparison, choose_control, compare_ratios

__all__ = [
    "ClusterComparison",
    "DesignEffect",
    "FewClustersWarning",
    "compare_clusters",
    "design_effect",
]

# Clusters an arm from which Student's t is taken without a warning.
_ENOUGH = 10
# Numbers of the matrix of relabellings held at once: 32 MB.
_CHUNK = 4_000_000


class FewClustersWarning(UserWarning):
    """So few clusters were randomised that an interval by Student's t is a rough guide."""


@dataclass(frozen=True, slots=True)
class ClusterComparison(Result):
    """The treatment against the control, with clusters as what was randomised.

    Attributes
    ----------
    comparison : Comparison
        Values of the arms over all rows, difference, lift, intervals and p-value. Its
        `n_control` and `n_treatment` count clusters.
    design : DesignEffect or None
        How alike the rows of a cluster are, within arms; None for a ratio metric.
    permutation_p_value : float
        Share of the relabellings of clusters whose t is as extreme; two-sided. nan if none was
        asked for.
    n_permutations : int
        Relabellings looked at.
    exact : bool
        Whether these are all there are.
    n_dropped : int
        Rows left out since they have no cluster.
    """

    comparison: Comparison
    design: DesignEffect | None
    permutation_p_value: float
    n_permutations: int
    exact: bool
    n_dropped: int

    def to_frame(self) -> pd.DataFrame:
        """Return one column: the comparison, then what clusters add to it."""
        own = {
            "design_effect": math.nan if self.design is None else self.design.design_effect,
            "icc": math.nan if self.design is None else self.design.icc,
            "permutation_p_value": self.permutation_p_value,
            "n_permutations": self.n_permutations,
            "n_dropped": self.n_dropped,
        }
        frame = pd.DataFrame({"value": list(own.values())}, index=list(own), dtype=object)
        return pd.concat([self.comparison.to_frame(), frame])


def design_effect(values: Any, cluster: Any, *, level: float = 0.95) -> DesignEffect:
    """Return how much less the rows of clusters tell than as many independent ones.

    Needed before an experiment: multiply its sample size by the design effect.

    Parameters
    ----------
    values : array-like of shape (n,)
        One number a row, such as a user's purchases.
    cluster : array-like of shape (n,)
        The cluster of each row, such as the user's community. Rows without one are left out and
        counted.
    level : float, default 0.95
        Coverage of the interval of the intraclass correlation, strictly between 0 and 1.

    Returns
    -------
    DesignEffect
        With one cluster, one row in each, or equal values, all but the counts is nan.

    Raises
    ------
    ValueError
        If lengths differ, no row is left or a value is NaN or infinite.

    Warns
    -----
    UndefinedMetricWarning
        If the correlation is undefined, saying why.

    References
    ----------
    Donner and Klar (2000), Design and analysis of cluster randomization trials in health research,
    chapter 1.
    Searle (1971), Topics in variance component estimation, Biometrics 27(1).
    Kish (1965), Survey sampling, chapter 5.

    Examples
    --------
    >>> found = design_effect([1, 2, 1, 6, 5, 7], ["x", "x", "x", "y", "y", "y"])
    >>> print(f"icc {found.icc:.3f}, design effect {found.design_effect:.2f}")
    icc 0.941, design effect 2.88
    """
    column = as_column(cluster, "cluster")
    data = _finite(values, "values")
    check_same_length(values=data, cluster=column)
    codes, known, n_clusters, n_dropped = _coded(column)
    found, reason = analysed(
        data[known],
        codes[known],
        np.zeros(n_clusters, dtype=np.int64),
        check_fraction(level, "level"),
        n_dropped,
    )
    if reason:
        warn_undefined(f"{reason} is undefined")
    return found


def compare_clusters(
    values: Any,
    cluster: Any,
    arm: Any,
    *,
    denominator: Any = None,
    control: Any = None,
    relative: bool = False,
    level: float = 0.95,
    alternative: str = "two-sided",
    margin: float = 0.0,
    n_permutations: int = 0,
    random_state: int | np.random.Generator | None = None,
) -> ClusterComparison:
    """Compare two arms of whole clusters: as many draws as there are clusters, not rows.

    The value of an arm is its sum of `values` over its rows, or over its `denominator`. The error
    comes from how the sums of clusters differ: :func:`compare_ratios`, one row a cluster.

    Parameters
    ----------
    values : array-like of shape (n,)
        One number a row.
    cluster, arm : array-like of shape (n,)
        What was randomised, and the arm it was given: one for all rows of a cluster. Rows without
        a cluster are left out and counted.
    denominator : array-like of shape (n,), optional
        For a ratio metric, such as views when `values` are clicks; default 1 a row.
    control : label, optional
        Which arm is the control; default "control" if there is one, else the first in sorted order.
    relative, level, alternative, margin
        As of :func:`compare_means`.
    n_permutations : int, default 0
        Relabellings of the clusters for the permutation test; all of them are taken if there are no
        more than so many, and else as many at random, where the p-value is
        ``(1 + as extreme) / (1 + n_permutations)``. Its statistic is t. It is exact for "the
        treatment changes nothing for anybody" however few the clusters are, when they were
        assigned by a shuffle into arms of these sizes.
    random_state : int, Generator or None
        Source of random relabellings.

    Returns
    -------
    ClusterComparison

    Raises
    ------
    ValueError
        If a cluster is in both arms, there are not two arms, lengths differ, or a value is NaN or
        infinite.

    Warns
    -----
    FewClustersWarning
        With fewer than 10 clusters in an arm, if no permutation test was asked for.
    UndefinedMetricWarning
        As :func:`compare_ratios` does.

    Notes
    -----
    Degrees of freedom are Welch's, at most those of the usual rule, clusters less 2. With clusters
    of unequal sizes or unequal arms they keep the false alarms nearer to what they should be. Where
    an arm has few clusters even they are too many: the permutation test is for that.

    References
    ----------
    Donner and Klar (2000), Design and analysis of cluster randomization trials in health research.
    Gail, Mark, Carroll, Green and Pee (1996), On design considerations and randomization-based
    inference for community intervention trials, Statistics in Medicine 15(11).

    Examples
    --------
    >>> cluster = [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    >>> arm = ["control"] * 6 + ["treatment"] * 6
    >>> values = [0, 1, 2, 1, 1, 1, 3, 2, 2, 4, 3, 4]
    >>> found = compare_clusters(values, cluster, arm, n_permutations=100)
    >>> found.comparison.difference, found.permutation_p_value, found.n_permutations
    (2.0, 0.1, 20)
    """
    columns = {"values": _finite(values, "values")}
    if denominator is not None:
        columns["denominator"] = _finite(denominator, "denominator")
    column = as_column(cluster, "cluster")
    labels, names = as_labels(arm, "arm")
    check_same_length(**columns, cluster=column, arm=labels)
    level = check_fraction(level, "level")
    codes, known, n_clusters, n_dropped = _coded(column)
    arms = names.tolist()
    arm_of = _arm_of_clusters(codes[known], labels[known], n_clusters, column, known)
    first = _two_arms(arms, arm_of, control)
    top, bottom = (
        np.bincount(codes[known], weights=column[known], minlength=n_clusters).astype(np.float64)
        for column in (columns["values"], columns.get("denominator", np.ones(codes.size)))
    )
    comparison = cast(
        Comparison,  # there are two arms
        compare_ratios(
            top,
            bottom,
            names[arm_of],
            control=first,
            relative=relative,
            level=level,
            alternative=alternative,
            margin=margin,
        ),
    )
    p_value, looked_at, exact = math.nan, 0, False
    if n_permutations:
        wanted = check_positive_int(n_permutations, "n_permutations")
        treated = arm_of != arms.index(first)
        p_value, looked_at, exact = _permuted(
            top, bottom, treated, wanted, as_generator(random_state)
        )
    elif min(comparison.n_control, comparison.n_treatment) < _ENOUGH:
        warnings.warn(
            f"{comparison.n_control} and {comparison.n_treatment} clusters: with fewer than "
            f"{_ENOUGH} an arm Student's t is a rough guide; ask for n_permutations",
            FewClustersWarning,
            stacklevel=2,
        )
    design = None
    if denominator is None:
        design, _ = analysed(columns["values"][known], codes[known], arm_of, level, n_dropped)
    return ClusterComparison(comparison, design, p_value, looked_at, exact, n_dropped)


def _finite(values: Any, name: str) -> FloatArray:
    array = as_floats(values, name)
    infinite = int(np.count_nonzero(~np.isfinite(array)))
    if infinite:
        raise ValueError(f"{name} must be finite; {infinite} of {array.size} values are not")
    return array


def _coded(cluster: AnyArray) -> tuple[IntArray, BoolArray, int, int]:
    """Return the number of the cluster of each row, which rows have one, and both counts."""
    codes, distinct = pd.factorize(cluster)
    known = np.asarray(codes >= 0)
    if not known.any():
        raise ValueError(f"cluster leaves no row: {known.size} rows, none with a cluster")
    n_dropped = int(known.size - np.count_nonzero(known))
    return np.asarray(codes, dtype=np.int64), known, len(distinct), n_dropped


def _arm_of_clusters(
    codes: IntArray, labels: IntArray, n_clusters: int, column: AnyArray, known: BoolArray
) -> IntArray:
    arm_of = np.empty(n_clusters, dtype=np.int64)
    arm_of[codes] = labels
    stray = np.flatnonzero(arm_of[codes] != labels)
    if stray.size:
        where = column[known][stray[:1]].tolist()[0]
        raise ValueError(
            f"cluster {where!r} is in more than one arm, as {np.unique(codes[stray]).size} of "
            f"{n_clusters} are: a cluster that was randomised is in one"
        )
    return arm_of


def _two_arms(arms: list[Any], arm_of: IntArray, control: Any) -> Any:
    first = choose_control(arms, control)
    if len(arms) > 2 or np.unique(arm_of).size < 2:
        raise ValueError(f"arm must hold two arms, each with clusters; got {arms}")
    return first


def _permuted(
    top: FloatArray, bottom: FloatArray, treated: BoolArray, wanted: int, rng: np.random.Generator
) -> tuple[float, int, bool]:
    """Return the two-sided p-value over relabellings, how many they were and whether all."""
    n, n_treated = treated.size, int(treated.sum())
    # From the common ratio, so that squares of large values do not swallow the spread.
    y, x = top - top.sum() / bottom.sum() * bottom, bottom
    table = np.column_stack((np.ones(n), y, x, y * y, x * y, x * x))
    observed = float(_statistics(treated[None, :].astype(np.float64), table)[0])
    # Sums in another order differ in the last digits: those are ties, not less extreme.
    bound = abs(observed) * (1 - 1e-9)
    if math.comb(n, n_treated) <= wanted:
        chosen = np.array(list(itertools.combinations(range(n), n_treated)))
        masks = np.zeros((len(chosen), n))
        np.put_along_axis(masks, chosen, 1.0, axis=1)
        return float((np.abs(_statistics(masks, table)) >= bound).mean()), len(masks), True
    extreme, done, at_once = 0, 0, max(1, _CHUNK // n)
    while done < wanted:
        masks = np.zeros((min(at_once, wanted - done), n))
        drawn = rng.random(masks.shape).argsort(axis=1)[:, :n_treated]
        np.put_along_axis(masks, drawn, 1.0, axis=1)
        extreme += int((np.abs(_statistics(masks, table)) >= bound).sum())
        done += len(masks)
    return (1 + extreme) / (1 + wanted), wanted, False


def _statistics(masks: FloatArray, table: FloatArray) -> FloatArray:
    """Return t of each relabelling; `table` holds 1, y, x, y², xy, x² of the clusters."""
    difference, variance = np.zeros(len(masks)), np.zeros(len(masks))
    treated = masks @ table
    with np.errstate(divide="ignore", invalid="ignore"):
        for sign, sums in ((1.0, treated), (-1.0, table.sum(axis=0) - treated)):
            n, y, x, yy, xy, xx = sums.T
            ratio = y / x
            difference += sign * ratio
            residual = np.maximum(yy - 2 * ratio * xy + ratio * ratio * xx, 0.0)
            variance += np.where(n > 1, n / (n - 1), 1.0) * residual / (x * x)
        statistic = difference / np.sqrt(variance)
    # Arms without spread: as extreme as can be, unless they do not differ.
    return np.where(np.isnan(statistic), 0.0, statistic)
