"""How alike the rows of a cluster are: analysis of variance with clusters of any sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsd._results import Result
from mlsd._types import FloatArray, IntArray

__all__ = ["DesignEffect", "analysed"]


@dataclass(frozen=True, slots=True)
class DesignEffect(Result):
    """How much less the rows of clusters tell than as many independent ones.

    Attributes
    ----------
    icc : float
        Intraclass correlation: share of the variance that lies between clusters, by analysis of
        variance. 0: the rows of a cluster are like any others; 1: they are all the same. By chance
        it may be negative.
    icc_lower, icc_upper : float
        Its interval by the F distribution, exact for normal values in clusters of one size.
    design_effect : float
        ``1 + (m - 1) icc`` with ``m = Σ n_g² / Σ n_g``, the size of the cluster of a random row: by
        what the variance of the mean over rows is larger than with independent rows. At least 1: a
        negative icc counts as 0.
    effective_n : float
        ``n_rows / design_effect``: as many independent rows would tell as much.
    n_rows, n_clusters : int
        Rows and clusters.
    mean_size : float
        Rows a cluster.
    level : float
        Coverage the interval aims at.
    n_dropped : int
        Rows left out since they have no cluster.
    """

    icc: float
    icc_lower: float
    icc_upper: float
    design_effect: float
    effective_n: float
    n_rows: int
    n_clusters: int
    mean_size: float
    level: float
    n_dropped: int = 0


def analysed(
    values: FloatArray, cluster: IntArray, arm_of_cluster: IntArray, level: float, n_dropped: int
) -> tuple[DesignEffect, str]:
    """Return the design effect within arms, and why it is undefined, or an empty string.

    `cluster` numbers the cluster of every row from 0, and `arm_of_cluster` the arm of every
    cluster; what differs between arms is an effect, and no likeness of rows.
    """
    from scipy.special import fdtri

    size = np.bincount(cluster, minlength=arm_of_cluster.size)
    n, n_clusters, n_arms = values.size, size.size, int(arm_of_cluster.max(initial=-1)) + 1
    arm_size = np.bincount(arm_of_cluster, weights=size, minlength=n_arms)
    between_df, within_df = n_clusters - n_arms, n - n_clusters
    # From about the middle, so that squares of large means do not swallow the spread.
    centred = values - values.mean()
    means = np.bincount(cluster, weights=centred, minlength=n_clusters) / size
    arm_mean = np.bincount(arm_of_cluster, weights=means * size, minlength=n_arms) / arm_size
    squares = float(((centred - means[cluster]) ** 2).sum())
    between = float((size * (means - arm_mean[arm_of_cluster]) ** 2).sum())
    squared = np.bincount(arm_of_cluster, weights=size.astype(np.float64) ** 2, minlength=n_arms)
    of_row = float((size.astype(np.float64) ** 2).sum() / n)
    reason = ""
    if between_df < 1:
        reason = f"{n_clusters} clusters in {n_arms} arms: their spread"
    elif within_df < 1:
        reason = f"each of {n_clusters} clusters has one row: the spread inside"
    elif not squares + between > 0.0:
        reason = "all values are equal: what part of no variance lies between clusters"
    icc = lower = upper = math.nan
    if not reason:
        typical = (n - float((squared / arm_size).sum())) / between_df
        icc = _correlation(between / between_df, squares / within_df, typical)
        tail = (1 - level) / 2
        ends = (float(fdtri(between_df, within_df, p)) for p in (1 - tail, tail))
        lower, upper = (
            _correlation(between / between_df / end, squares / within_df, typical) for end in ends
        )
    effect = 1 + (of_row - 1) * max(icc, 0.0) if not reason else math.nan
    found = DesignEffect(
        icc=icc,
        icc_lower=lower,
        icc_upper=upper,
        design_effect=effect,
        effective_n=n / effect,
        n_rows=n,
        n_clusters=n_clusters,
        mean_size=n / n_clusters,
        level=level,
        n_dropped=n_dropped,
    )
    return found, reason


def _correlation(between: float, within: float, size: float) -> float:
    """Return the correlation from mean squares and the typical size of a cluster."""
    return (between - within) / (between + (size - 1) * within)
