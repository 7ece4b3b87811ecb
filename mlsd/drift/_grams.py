"""Linear models from cross products: of all rows, and with one block of rows left out at a time."""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray

__all__ = ["block_grams", "covariances", "independent", "jackknife"]

# A column that keeps less than this share of its variance beside the others is their sum.
_TOLERANCE = 1e-9


def block_grams(values: FloatArray, n_blocks: int) -> FloatArray:
    """Return ``[1 x]' [1 x]`` of consecutive blocks of rows, (blocks, k + 1, k + 1)."""
    edges = np.linspace(0, values.shape[0], n_blocks + 1).astype(np.int64)
    k = values.shape[1] + 1
    grams = np.empty((n_blocks, k, k))
    for block in range(n_blocks):
        rows = values[edges[block] : edges[block + 1]]
        rows = np.column_stack((np.ones(rows.shape[0]), rows))
        grams[block] = rows.T @ rows
    return grams


def covariances(grams: FloatArray) -> FloatArray:
    """Return the covariance matrices (divided by n) of one or several Gram matrices."""
    n = grams[..., :1, :1]
    mean = grams[..., 0, 1:] / n[..., 0]
    result: FloatArray = grams[..., 1:, 1:] / n - mean[..., :, None] * mean[..., None, :]
    return result


def independent(covariance: FloatArray, names: list[str]) -> tuple[list[int], dict[str, str]]:
    """Return the columns that are not sums of earlier ones, and for the others why they are left.

    Gaussian elimination on the correlations: a pivot is the share of a column's variance that the
    columns before it leave.
    """
    spread = np.sqrt(np.diag(covariance))
    kept: list[int] = []
    reasons: dict[str, str] = {}
    for column, name in enumerate(names):
        if not spread[column] > 0:
            reasons[name] = "constant"
            continue
        if kept:
            scale = spread[kept]
            among = covariance[np.ix_(kept, kept)] / np.outer(scale, scale)
            with_others = covariance[kept, column] / scale / spread[column]
            weights = np.linalg.solve(among, with_others)
            if 1 - weights @ with_others < _TOLERANCE:
                of = [names[kept[at]] for at in np.flatnonzero(np.abs(weights) > 1e-6)]
                reasons[name] = f"collinear with {', '.join(of)}"
                continue
        kept.append(column)
    return kept, reasons


def jackknife(without: FloatArray) -> FloatArray:
    """Return the standard error of an estimate from its values without each block (Quenouille)."""
    blocks = without.shape[0]
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    result: FloatArray = np.sqrt((blocks - 1) / blocks * spread)
    return result
