"""How well the target rates of bins predict, and whether they are the same in two samples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlsd._types import FloatArray
from mlsd.drift._bins import BinSums

__all__ = [
    "Estimate",
    "Relation",
    "auc_across_folds",
    "auc_of_bins",
    "fold_inflation",
    "log_loss_of_bins",
    "r2_of_bins",
    "relation_binary",
    "relation_numeric",
    "smoothed",
]

# A stratum with a smaller expected count shares a degree of freedom with others of its kind.
_EXPECTED = 5.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard error."""

    value: float
    stderr: float


@dataclass(frozen=True, slots=True)
class Relation:
    """A test that the target is the same, given the bin.

    `shape` is the part of it that is left beyond a shift that all bins have in common.
    """

    stat: float
    dof: int
    p: float
    p_shape: float


def smoothed(sums: BinSums, smoothing: float, *, binary: bool) -> FloatArray:
    """Return the mean target of each bin, drawn to the mean of all by `smoothing` rows of it."""
    total, n = sums.powers[0].sum(), sums.n.sum()
    prior = (total + 0.5) / (n + 1) if binary else total / n
    rates: FloatArray = (sums.powers[0] + smoothing * prior) / (sums.n + smoothing)
    return rates


def auc_of_bins(positive: FloatArray, negative: FloatArray, score: FloatArray) -> Estimate:
    """Return the AUC of a score by bin with DeLong's standard error; equal scores tie."""
    n_1, n_0 = positive.sum(), negative.sum()
    if n_1 == 0 or n_0 == 0:
        return Estimate(math.nan, math.nan)
    _, place = np.unique(score, return_inverse=True)
    up = np.bincount(place, weights=positive)
    down = np.bincount(place, weights=negative)
    of_positive = (np.cumsum(down) - down / 2) / n_0
    of_negative = 1 - (np.cumsum(up) - up / 2) / n_1
    value = float(up @ of_positive) / n_1
    if min(n_1, n_0) < 2:
        return Estimate(value, math.nan)
    spread_1 = float(up @ (of_positive - value) ** 2) / (n_1 - 1)
    spread_0 = float(down @ (of_negative - value) ** 2) / (n_0 - 1)
    return Estimate(value, math.sqrt(spread_1 / n_1 + spread_0 / n_0))


def auc_across_folds(
    sums: BinSums, smoothing: float, n_folds: int, rng: np.random.Generator
) -> Estimate:
    """Return the AUC within folds of rates that were learnt on the other folds.

    Rows of a bin and class are alike, so folds are drawn from the counts. Pairs are compared
    within a fold only: across folds a row lowers the rates of its own class elsewhere, and the AUC
    of a useless feature would come out below .5.
    """
    positive = np.rint(sums.powers[0]).astype(np.int64)
    folds = [_dealt(counts, n_folds, rng) for counts in (positive, _whole(sums.n) - positive)]
    total = folds[0].sum(axis=0), folds[1].sum(axis=0)
    pairs, parts = [], []
    for up, down in zip(*folds, strict=True):
        rest_up = (total[0] - up).astype(np.float64)
        rest = BinSums(rest_up + total[1] - down, np.tile(rest_up, (4, 1)))
        score = smoothed(rest, smoothing, binary=True)
        part = auc_of_bins(up.astype(np.float64), down.astype(np.float64), score)
        if not math.isnan(part.value):
            parts.append(part)
            pairs.append(float(up.sum()) * float(down.sum()))
    if not parts:
        return Estimate(math.nan, math.nan)
    weight = np.asarray(pairs) / sum(pairs)
    errors = np.array([part.stderr for part in parts])
    return Estimate(
        float(weight @ [part.value for part in parts]),
        fold_inflation(n_folds) * math.sqrt(float(weight**2 @ errors**2)),
    )


def fold_inflation(n_folds: int) -> float:
    """Return by how much folds widen the error of a mean over them, 1.5 for five.

    They share their training rows, and so their errors: each fold's variance counts
    ``1/k + 1/(k - 1)`` times and not 1/k times (Nadeau and Bengio 2003). Without it a model with
    few parameters and no skill is off its interval three times as often as it should be.
    """
    return math.sqrt(1 + n_folds / (n_folds - 1))


def _whole(values: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.rint(values).astype(np.int64)


def _dealt(
    counts: np.ndarray[tuple[int], np.dtype[np.int64]], n_folds: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Deal rows, of which only the counts by bin are known, into folds of equal size."""
    rest = counts.copy()
    folds = np.zeros((n_folds, counts.size), dtype=np.int64)
    for fold in range(n_folds):
        size = int(rest.sum()) // (n_folds - fold)
        folds[fold] = rng.multivariate_hypergeometric(rest, size, method="marginals")
        rest -= folds[fold]
    return folds


def log_loss_of_bins(learnt: BinSums, smoothing: float, seen: BinSums | None = None) -> Estimate:
    """Return the mean log loss of binary rows by the rates of their bins.

    Without `seen` it is that of the rows the rates were learnt on, each predicted by all others.
    """
    if seen is None:
        n, up = learnt.n, learnt.powers[0]
        total, rows = up.sum(), n.sum()
        # Half a row of each class, so that a class of one row leaves no rate of 0.
        prior_1, prior_0 = (total - 0.5) / rows, (total + 0.5) / rows
        with np.errstate(invalid="ignore", divide="ignore"):
            rate_1 = (up - 1 + smoothing * prior_1) / (n - 1 + smoothing)
            rate_0 = (up + smoothing * prior_0) / (n - 1 + smoothing)
    else:
        n, up = seen.n, seen.powers[0]
        rate_1 = rate_0 = smoothed(learnt, smoothing, binary=True)
    down = n - up
    with np.errstate(invalid="ignore", divide="ignore"):
        loss_1 = np.where(up > 0, -np.log(rate_1), 0.0)
        loss_0 = np.where(down > 0, -np.log1p(-rate_0), 0.0)
    size = float(n.sum())
    value = float(up @ loss_1 + down @ loss_0) / size
    spread = float(up @ (loss_1 - value) ** 2 + down @ (loss_0 - value) ** 2)
    return Estimate(value, math.sqrt(spread / (size - 1) / size) if size > 1 else math.nan)


def r2_of_bins(learnt: BinSums, smoothing: float, seen: BinSums | None = None) -> Estimate:
    """Return the share of variance that the means of bins explain, with a linearised error.

    Without `seen` it is that of the rows the means were learnt on, each predicted by all others;
    below 0 where the mean of all rows does better.
    """
    given = learnt if seen is None else seen
    size = float(given.n.sum())
    total = learnt.powers[0].sum()
    if seen is None:
        # y less its prediction is linear in y: slope * y - constant.
        held = learnt.n - 1 + smoothing
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(learnt.n > 0, 1 + (1 + smoothing / (size - 1)) / held, 0.0)
            constant = np.where(
                learnt.n > 0, (learnt.powers[0] + smoothing * total / (size - 1)) / held, 0.0
            )
    else:
        slope = np.ones_like(learnt.n)
        constant = smoothed(learnt, smoothing, binary=False)
    mean = given.powers[0].sum() / size
    error = _squares(given, slope, constant)
    spread = _squares(given, np.ones_like(slope), np.full_like(slope, mean))
    if spread <= 1e-12 * max(1.0, mean * mean) * size:
        return Estimate(math.nan, math.nan)
    lost = error / spread
    # Each row's part in the ratio is a polynomial of y, whose square needs the fourth power.
    a = slope**2 - lost
    b = -2 * slope * constant + 2 * lost * mean
    c = constant**2 - lost * mean**2
    p_1, p_2, p_3, p_4 = given.powers
    parts = a * a * p_4 + 2 * a * b * p_3 + (b * b + 2 * a * c) * p_2 + 2 * b * c * p_1
    variance = float((parts + c * c * given.n).sum()) / spread**2
    return Estimate(1 - lost, math.sqrt(max(variance, 0.0)))


def _squares(sums: BinSums, slope: FloatArray, constant: FloatArray) -> float:
    by_bin = slope**2 * sums.powers[1] - 2 * slope * constant * sums.powers[0]
    return float((by_bin + constant**2 * sums.n).sum())


def relation_binary(ref: BinSums, live: BinSums) -> Relation:
    """Test bin by bin whether the rate is that of the reference, by the conditional variance.

    Bins whose smallest expected count is below 5 share one degree of freedom.
    """
    n_1, n_2 = ref.n, live.n
    n = n_1 + n_2
    up = ref.powers[0] + live.powers[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = n_2 * up / n
        variance = n_1 * n_2 * up * (n - up) / (n * n * (n - 1))
        least = np.minimum(n_1, n_2) * np.minimum(up, n - up) / n
    shift = live.powers[0] - expected
    used = (n_1 > 0) & (n_2 > 0) & (variance > 0)
    large = used & (least >= _EXPECTED)
    small = used & ~large
    shifts, variances = shift[large], variance[large]
    if least[small].sum() >= _EXPECTED:
        shifts = np.append(shifts, shift[small].sum())
        variances = np.append(variances, variance[small].sum())
    return _combined(shifts, variances)


def relation_numeric(ref: BinSums, live: BinSums) -> Relation:
    """Test bin by bin whether the mean is that of the reference, by Welch's t."""
    from scipy.special import chdtri, stdtr

    n_1, n_2 = ref.n, live.n
    used = (n_1 >= 2) & (n_2 >= 2)
    n_1, n_2 = n_1[used], n_2[used]
    mean_1, mean_2 = ref.mean[used], live.mean[used]
    part_1 = _variance(ref.powers[:, used], n_1, mean_1) / n_1
    part_2 = _variance(live.powers[:, used], n_2, mean_2) / n_2
    error = part_1 + part_2
    varies = error > 1e-24
    shift, error = (mean_2 - mean_1)[varies], error[varies]
    with np.errstate(invalid="ignore", divide="ignore"):
        dof = error**2 / (
            part_1[varies] ** 2 / (n_1[varies] - 1) + part_2[varies] ** 2 / (n_2[varies] - 1)
        )
    # As much evidence as a square of a normal: small bins count for less.
    tail = 2 * stdtr(dof, -np.abs(shift) / np.sqrt(error))
    square = np.where(tail > 0, chdtri(1, np.maximum(tail, 1e-300)), shift**2 / error)
    with np.errstate(invalid="ignore", divide="ignore"):
        inflated = np.where(square > 0, shift**2 / square, error)
    return _combined(shift / inflated, 1 / inflated)


def _variance(powers: FloatArray, n: FloatArray, mean: FloatArray) -> FloatArray:
    result: FloatArray = np.maximum(powers[1] - n * mean**2, 0.0) / (n - 1)
    return result


def _combined(shift: FloatArray, variance: FloatArray) -> Relation:
    """Return the sum of squared scores, and what is left of it without the common shift."""
    from scipy.special import chdtrc

    dof = shift.size
    if not dof:
        return Relation(math.nan, 0, math.nan, math.nan)
    stat = float((shift**2 / variance).sum())
    common = float(shift.sum()) ** 2 / float(variance.sum())
    rest = max(stat - common, 0.0)
    return Relation(
        stat, dof, float(chdtrc(dof, stat)), float(chdtrc(dof - 1, rest)) if dof > 1 else math.nan
    )
