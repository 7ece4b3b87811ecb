"""Studies of who gets into which arm, and of what to do with many metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from _experiment_rows import FALSE, POWER, counted, mean_share
from scipy.special import chdtrc, ndtr

from mlsd.experiments import assign, benjamini_hochberg, bucket, holm, sample_ratio_test

__all__ = ["assignment", "families", "splits"]

ALPHA = 0.05
Rows = list[dict[str, Any]]
Rng = np.random.Generator


def assignment(n: int, rng: Rng) -> Rows:
    """Count how often a chi-squared test finds the split of a salt uneven, or two salts alike.

    The units are the same 5,000 consecutive identifiers throughout: only the salt changes.
    """
    units = np.arange(10_000_000, 10_005_000)
    uneven, lumpy, alike, bits = [], [], [], []
    before = None
    for at in range(n):
        salt = f"experiment {at}"
        treated = np.asarray(assign(units, salt=salt)) == "treatment"
        share = treated.mean()
        uneven.append(chi2(units.size * (2 * share - 1) ** 2, 1))
        of_bucket = np.bincount(bucket(units, salt=salt, n_buckets=100), minlength=100)
        lumpy.append(chi2(float(((of_bucket - 50.0) ** 2 / 50.0).sum()), 99))
        odd = units % 2 == 1
        bits.append(dependence(treated, odd))
        if before is not None:
            alike.append(dependence(treated, before))
        before = treated
    where = "5,000 units; "
    return [
        counted("assign", where + "equal parts", FALSE, uneven, nominal=ALPHA),
        counted("bucket", where + "100 equal buckets", FALSE, lumpy, nominal=ALPHA),
        counted("assign", where + "independent of the next salt", FALSE, alike, nominal=ALPHA),
        counted("assign", where + "independent of the last bit", FALSE, bits, nominal=ALPHA),
    ]


def chi2(statistic: float, df: int) -> bool:
    return bool(chdtrc(df, statistic) < ALPHA)


def dependence(one: Any, other: Any) -> bool:
    """Return whether two halves are found to be dependent, by chi-squared of the four fields."""
    n, a, b = one.size, one.sum(), other.sum()
    both = (one & other).sum()
    spread = a * (n - a) * b * (n - b)
    return chi2(n * (both * n - a * b) ** 2 / spread, 1)


def splits(n: int, rng: Rng) -> Rows:
    """Count what sample_ratio_test says of counts that are as planned, and of lost units."""
    rows: Rows = []
    planned: dict[str, tuple[int, list[float], int, str]] = {
        "200,000 units, equal": (200_000, [0.5, 0.5], n, "about"),
        "200,000 units, 1 to 9": (200_000, [0.1, 0.9], n, "about"),
        "10,000 units, three arms": (10_000, [0.5, 0.25, 0.25], n, "about"),
        # Exact, and slower; its chances are steps.
        "20,000 units, equal": (20_000, [0.5, 0.5], n // 2, "at most"),
        "40 units, equal": (40, [0.5, 0.5], n, "at most"),
    }
    for where, (units, shares, n_splits, promise) in planned.items():
        counts = rng.multinomial(units, shares, n_splits).tolist()
        p = np.array([sample_ratio_test(row, shares).p_value for row in counts])
        for alpha in (0.05, 0.001):
            told = f"{where}; alpha {alpha:g}"
            hits = p < alpha
            rows.append(
                counted("sample_ratio_test", told, FALSE, hits, nominal=alpha, promise=promise)
            )
    counts = rng.multinomial(200_000, [0.5, 0.5], n)
    counts[:, 1] -= rng.binomial(counts[:, 1], 0.02)
    hits = [sample_ratio_test(row).mismatch for row in counts.tolist()]
    told = "200,000 units, equal; alpha 0.001; 2 % of one arm lost"
    rows.append(counted("sample_ratio_test", told, POWER, hits))
    return rows


def families(n: int, rng: Rng) -> Rows:
    """Count false alarms among twenty metrics, alike or not, as they are and adjusted."""
    rows: Rows = []
    m, moved = 20, 5
    for correlation in (0.0, 0.5):
        for n_moved in (0, moved):
            common = np.sqrt(correlation) * rng.standard_normal((n, 1))
            z = common + np.sqrt(1 - correlation) * rng.standard_normal((n, m))
            z[:, :n_moved] += 3.0
            p = 2 * ndtr(-np.abs(z))
            where = f"{m} metrics, correlation {correlation:g}, {n_moved} moved by 3 se"
            true = np.arange(m) < n_moved
            plain = p < ALPHA
            strict = np.array([holm(row) for row in p]) < ALPHA
            loose = np.array([benjamini_hochberg(row) for row in p]) < ALPHA
            for name, hits, promise in (
                ("no adjustment", plain, ""),
                ("holm", strict, "at most"),
            ):
                wrong = (hits & ~true).any(axis=1)
                told = f"any {FALSE}"
                rows.append(counted(name, where, told, wrong, nominal=ALPHA, promise=promise))
            share = (loose & ~true).sum(axis=1) / np.maximum(loose.sum(axis=1), 1)
            rows.append(
                mean_share(
                    "benjamini_hochberg",
                    where,
                    "share of false among the found",
                    share,
                    nominal=ALPHA,
                    promise="at most",
                )
            )
            if n_moved:
                for name, hits in (("holm", strict), ("benjamini_hochberg", loose)):
                    found = hits[:, :n_moved].mean(axis=1)
                    rows.append(mean_share(name, where, POWER, found, nominal=None, promise=""))
    return rows
