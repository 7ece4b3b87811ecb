"""Studies of experiments that randomise whole clusters, whose rows resemble each other."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from _experiment_rows import FALSE, POWER, Tally, counted

from mlsd.experiments import compare_clusters, compare_means
from mlsd.experiments.clusters import FewClustersWarning

__all__ = ["clusters"]

ALPHA = 0.05


def clusters(n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Count what compare_clusters says with many and few clusters, and a t test of rows.

    A cluster has 20 rows or more, unequally many; a tenth of the variance lies between clusters.
    """
    rows: list[dict[str, Any]] = []
    for size, effect in {(40, 40): 0.25, (10, 10): 0.5, (5, 5): 0.7, (4, 12): 0.7}.items():
        arm_of = np.repeat(["control", "treatment"], size)
        few = min(size) < 10
        permutations = 2_000 if few else 0
        same, other = Tally(), Tally()
        naive: list[bool] = []
        shuffled: dict[float, list[bool]] = {0.0: [], effect: []}
        for _ in range(n):
            members = rng.lognormal(3.0, 0.5, arm_of.size).astype(int) + 10
            cluster = np.repeat(np.arange(arm_of.size), members)
            arm = arm_of[cluster]
            treated = arm == "treatment"
            value = 2 + np.sqrt(0.1) * rng.standard_normal(arm_of.size)[cluster]
            value += np.sqrt(0.9) * rng.standard_normal(cluster.size)
            for tally, moved in ((same, 0.0), (other, effect)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", FewClustersWarning)
                    found = compare_clusters(value + moved * treated, cluster, arm)
                tally.add(found.comparison, moved, moved / 2)
                if permutations:
                    found = compare_clusters(
                        value + moved * treated,
                        cluster,
                        arm,
                        n_permutations=permutations,
                        random_state=rng,
                    )
                    shuffled[moved].append(found.permutation_p_value < ALPHA)
            naive.append(compare_means(value[~treated], value[treated]).p_value < ALPHA)
        where = f"{size[0]} and {size[1]} clusters, icc .1"
        told = f"effect of {effect:g}"
        rows += same.rows("compare_clusters", where) + other.rows("compare_clusters", where, told)
        if few:
            name = "compare_clusters, permutation"
            rows += [
                counted(name, where, FALSE, shuffled[0.0], nominal=ALPHA, promise="at most"),
                counted(name, f"{where}; {told}", POWER, shuffled[effect]),
            ]
        rows.append(counted("t test of rows", where, FALSE, naive, nominal=ALPHA, promise=""))
    return rows
