"""Models each with one feature removed: what every feature earns, in the reference and live."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._stats import holm
from mlsd._types import FloatArray
from mlsd._validation import check_choice, check_fraction, check_positive_int
from mlsd.drift._grams import block_grams, covariances, independent, jackknife
from mlsd.drift._magnitude import magnitude, refuse_far
from mlsd.drift._targets import read_targets
from mlsd.drift._two_frames import TableResult, numbers_of, read_pair

__all__ = ["LeaveOneOutDrift", "leave_one_out_drift"]


@dataclass(frozen=True, slots=True)
class LeaveOneOutDrift(TableResult):
    """What a linear model loses without each feature, in the reference and in live rows.

    Attributes
    ----------
    target : str
        "y" if a target was given; "features" if each feature was predicted from the others.
    level : float
        Coverage of the intervals.
    n_ref, n_live : int
        Rows used.
    dropped_ref, dropped_live : int
        Rows left out: no label, or a NULL among the features (with ``missing="drop"``).
    filled_ref, filled_live : int
        NULLs that took the reference's mean (with ``missing="mean"``).
    r2_ref, r2_live : float
        With a target: share of its variance that all features explain, the model fitted to each.
    r2_carried : float
        With a target: the share of live variance that the reference's coefficients explain, about
        the live mean; below 0 where they do worse than it.
    excluded : dict of str to str
        Columns that were left out, and why: of another kind, constant, or collinear with others.
    table : dict
        The columns of ``to_frame``. With a target: feature; share_ref and share_live, the
        share of the variance of y that is lost without it; delta of the two with stderr, lo and
        hi; effect_ref and effect_live, the signed roots of the shares (semipartial correlations);
        p and p_adj (Holm) of the difference of these; and carried, what the feature adds on live
        rows to the model with the reference's coefficients, below 0 where it does harm. Without:
        feature; r2_ref and r2_live, how well the others predict it; r2_carried, how well they do
        live with the reference's coefficients; delta of r2_carried to r2_ref (as it would be out of
        sample) with stderr, lo, hi, p and p_adj.
    """

    target: str
    level: float
    n_ref: int
    n_live: int
    dropped_ref: int
    dropped_live: int
    filled_ref: int
    filled_live: int
    r2_ref: float
    r2_live: float
    r2_carried: float
    excluded: dict[str, str]
    table: dict[str, Any] = field(repr=False, compare=False)

    def _note(self) -> str:
        parts = []
        if self.dropped_ref or self.dropped_live:
            parts.append(
                f"Left out: {self.dropped_ref} rows of the reference and {self.dropped_live} live, "
                "for a NULL or no label."
            )
        if self.filled_ref or self.filled_live:
            parts.append(
                f"Filled with the reference's mean: {self.filled_ref} NULLs of the reference, "
                f"{self.filled_live} live."
            )
        if self.excluded:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.excluded.items())
            parts.append(f"Columns left out: {listed}.")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Covariances of all rows, and of all rows but one block."""

    n: int
    whole: FloatArray
    without: FloatArray


def leave_one_out_drift(
    ref: Any,
    live: Any,
    *,
    y_ref: Any = None,
    y_live: Any = None,
    pos_label: Any = None,
    columns: Iterable[str] | None = None,
    missing: str = "drop",
    n_blocks: int = 50,
    level: float = 0.95,
) -> LeaveOneOutDrift:
    """Fit a linear model without each feature, on the reference and live, and compare the losses.

    A feature that earned much in the reference and earns nothing live has stopped to speak, though
    its own histogram may be what it was. All models follow from one matrix of cross products: the
    residual sum of squares grows by ``beta_j² / [(X'X)⁻¹]_jj`` without feature j, exactly.

    Without a target each feature is predicted from all others, ``R²_j = 1 - 1 / (S_jj [S⁻¹]_jj)``,
    and the reference's coefficients are tried on live rows.

    Parameters
    ----------
    ref, live : table of pandas, polars or pyarrow
        Numeric and boolean columns take part; others are left out and listed, and so are columns
        that are constant or collinear with earlier ones in either frame. An infinite value counts
        as NULL.
    y_ref, y_live : array-like or str, optional
        Targets, numeric or binary, or the names of the columns that hold them; a name for `y_ref`
        alone stands for both. A binary target is predicted as 0 and 1.
    pos_label : optional
        The positive one of two labels, where they are not 0 and 1.
    columns : iterable of str, optional
        The features; by default all that both frames have, but for the target.
    missing : {"drop", "mean"}, default "drop"
        Use the rows without NULL; or fill a NULL with the mean of the reference, in both frames.
    n_blocks : int, default 50
        Consecutive blocks of rows, at least 10; the spread of the results without each is the
        standard error (jackknife). Rows in their order of time, which depend on their neighbours,
        are served by fewer and longer blocks.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    LeaveOneOutDrift
        One row a feature, the smallest p-value first.

    Raises
    ------
    ValueError
        If only one of the targets is given; if no feature is left, or only one without a target;
        if there are fewer than two rows a block and three a feature; if a live value is 1e30 times
        as large as any of the reference; or an option is out of range.
    TypeError
        If `ref` or `live` is no table, or labels are text and `pos_label` is not given.

    Notes
    -----
    Shares have an upward bias of about ``(1 - R²) / n``. The test with a target is that of the
    signed roots of the shares, which is sound where a feature earns nothing, and sees a coefficient
    that changed its sign and not its size.

    References
    ----------
    Cohen, Cohen, West and Aiken (2003), Applied Multiple Regression/Correlation Analysis for the
    Behavioral Sciences, chapter 3 (semipartial correlations).

    Kunsch (1989), The jackknife and the bootstrap for general stationary observations, The Annals
    of Statistics 17(3).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> def month(weight):
    ...     frame = pd.DataFrame(rng.normal(size=(3000, 2)), columns=["rooms", "age"])
    ...     noise = rng.normal(size=3000)
    ...     return frame.assign(price=frame["rooms"] + weight * frame["age"] + noise)
    >>> drift = leave_one_out_drift(month(1), month(0), y_ref="price")
    >>> drift.to_frame()[["feature", "effect_ref", "effect_live", "p_adj"]].round(2)
      feature  effect_ref  effect_live  p_adj
    0     age        0.58         0.01    0.0
    1   rooms        0.59         0.71    0.0
    """
    check_choice(missing, "missing", ("drop", "mean"))
    n_blocks = check_positive_int(n_blocks, "n_blocks")
    if n_blocks < 10:
        raise ValueError(f"n_blocks must be at least 10; got {n_blocks!r}")
    level = check_fraction(level, "level")
    pair = read_pair(ref, live, columns=columns)
    sizes = (pair.n_ref, pair.n_live)
    pair = pair.of_kind("numeric", "boolean")
    with_target = y_ref is not None or y_live is not None
    labels: list[FloatArray] | None = None
    names_of_target: tuple[str, ...] = ()
    if with_target:
        target = read_targets(ref, live, y_ref, y_live, sizes, pos_label)
        labels, names_of_target = [target.ref, target.live], target.names
    features = [column for column in pair.columns if column.name not in names_of_target]
    excluded = {name: why for name, why in pair.excluded.items() if name not in names_of_target}
    _check_enough(len(features), with_target, excluded)

    names = [column.name for column in features]
    matrices = numbers_of(features)
    powers = magnitude(matrices[0])
    matrices = np.ldexp(matrices[0], -powers), np.ldexp(matrices[1], -powers)
    filled = [0, 0]
    if missing == "mean":
        matrices, filled = _fill(matrices)
    rows = [~np.isnan(matrix).any(axis=1) for matrix in matrices]
    if labels is not None:
        rows = [mask & ~np.isnan(y) for mask, y in zip(rows, labels, strict=True)]
    used = [int(mask.sum()) for mask in rows]
    least = max(2 * n_blocks, 3 * (len(features) + 2))
    for n, name in zip(used, ("ref", "live"), strict=True):
        if n < least:
            hint = "; missing='mean' would use those with a NULL" if missing == "drop" else ""
            raise ValueError(
                f"{name} has {n} usable rows: at least {least} are needed for {len(features)} "
                f"features in {n_blocks} blocks{hint}"
            )
    matrices_used = [matrix[mask] for matrix, mask in zip(matrices, rows, strict=True)]
    kept = list(range(len(names)))
    for matrix, name in zip(matrices_used, ("ref", "live"), strict=True):
        refuse_far(matrix[:, kept], [f"{name}[{names[at]!r}]" for at in kept])
        apart, reasons = _apart(matrix[:, kept], [names[at] for at in kept])
        excluded |= {feature: f"{reason} in {name}" for feature, reason in reasons.items()}
        kept = [kept[at] for at in apart]
    _check_enough(len(kept), with_target, excluded)

    scale = matrices_used[0][:, kept].std(axis=0)
    samples = []
    for side, matrix in enumerate(matrices_used):
        values = (matrix[:, kept] - matrix[:, kept].mean(axis=0)) / scale
        if labels is not None:
            y = labels[side][rows[side]]
            if y.min() == y.max():
                raise ValueError(
                    f"y_{('ref', 'live')[side]} is {y[0]:g} in all {y.size} usable rows"
                )
            y = np.ldexp(y, -magnitude(labels[0][rows[0]]))
            refuse_far(y[:, None], [f"y_{('ref', 'live')[side]}"])
            values = np.column_stack((values, y - y.mean()))
        grams = block_grams(values, n_blocks)
        total = grams.sum(axis=0)
        samples.append(_Sample(values.shape[0], covariances(total), covariances(total - grams)))

    labels_kept = np.asarray([names[at] for at in kept], dtype=object)
    compare = _with_target if with_target else _without_target
    table, r2 = compare(samples[0], samples[1], level)
    order = np.lexsort((-np.abs(table.pop("_score")), table["p"]))
    table = {"feature": labels_kept} | table
    return LeaveOneOutDrift(
        target="y" if with_target else "features",
        level=level,
        n_ref=used[0],
        n_live=used[1],
        dropped_ref=sizes[0] - used[0],
        dropped_live=sizes[1] - used[1],
        filled_ref=filled[0],
        filled_live=filled[1],
        r2_ref=r2[0],
        r2_live=r2[1],
        r2_carried=r2[2],
        excluded=excluded,
        table={name: values[order] for name, values in table.items()},
    )


def _check_enough(n_features: int, with_target: bool, excluded: dict[str, str]) -> None:
    if n_features < (1 if with_target else 2):
        wanted = "a feature" if with_target else "two features without a target"
        raise ValueError(f"ref and live must share {wanted}; left out: {excluded}")


def _fill(
    matrices: tuple[FloatArray, FloatArray],
) -> tuple[tuple[FloatArray, FloatArray], list[int]]:
    known = ~np.isnan(matrices[0])
    sums = np.where(known, matrices[0], 0.0).sum(axis=0)
    means = sums / np.maximum(known.sum(axis=0), 1)
    ref, live = (np.where(np.isnan(matrix), means, matrix) for matrix in matrices)
    return (ref, live), [int(np.isnan(matrix).sum()) for matrix in matrices]


def _apart(matrix: FloatArray, names: list[str]) -> tuple[list[int], dict[str, str]]:
    centred = matrix - matrix.mean(axis=0)
    covariance = centred.T @ centred / matrix.shape[0]
    constant = matrix.min(axis=0) == matrix.max(axis=0)  # the mean of equal floats may be off
    covariance[constant] = 0.0
    covariance[:, constant] = 0.0
    return independent(covariance, names)


def _with_target(
    ref: _Sample, live: _Sample, level: float
) -> tuple[dict[str, FloatArray], tuple[float, float, float]]:
    effect_ref, effect_live = _effects(ref.whole), _effects(live.whole)
    without_ref, without_live = _effects(ref.without), _effects(live.without)
    delta = effect_live**2 - effect_ref**2
    spread = (jackknife(without_ref**2), jackknife(without_live**2))
    lo, hi, stderr, _, _ = _tested(delta, spread, ref.without.shape[0], level)
    spread = (jackknife(without_ref), jackknife(without_live))
    _, _, _, score, p = _tested(effect_live - effect_ref, spread, ref.without.shape[0], level)
    inverse = np.linalg.inv(ref.whole[:-1, :-1])
    beta = inverse @ ref.whole[:-1, -1]
    # Row j: the coefficients of the model without feature j.
    others = beta - inverse * (beta / np.diag(inverse))[:, None]
    explained = _explained(live.whole, np.vstack((beta, others)))
    table = {
        "share_ref": effect_ref**2,
        "share_live": effect_live**2,
        "delta": delta,
        "stderr": stderr,
        "lo": lo,
        "hi": hi,
        "effect_ref": effect_ref,
        "effect_live": effect_live,
        "carried": explained[0] - explained[1:],
        "p": p,
        "p_adj": holm(p),
        "_score": score,
    }
    fitted: FloatArray = np.asarray(
        np.linalg.solve(live.whole[:-1, :-1], live.whole[:-1, -1]), dtype=np.float64
    )
    r2_ref = float(_explained(ref.whole, beta[None, :])[0])
    r2_live = float(_explained(live.whole, fitted[None, :])[0])
    return table, (r2_ref, r2_live, float(explained[0]))


def _effects(covariance: FloatArray) -> FloatArray:
    """Return the semipartial correlations of y, the last column, with each feature."""
    inverse = np.linalg.inv(covariance[..., :-1, :-1])
    beta = (inverse @ covariance[..., :-1, -1:])[..., 0]
    earned = np.diagonal(inverse, axis1=-2, axis2=-1) * covariance[..., -1:, -1]
    result: FloatArray = beta / np.sqrt(earned)
    return result


def _explained(covariance: FloatArray, beta: FloatArray) -> FloatArray:
    """Return the share of the variance of y that rows of coefficients explain."""
    among, with_y, of_y = covariance[:-1, :-1], covariance[:-1, -1], covariance[-1, -1]
    result: FloatArray = (2 * beta @ with_y - np.einsum("ij,jk,ik->i", beta, among, beta)) / of_y
    return result


def _without_target(
    ref: _Sample, live: _Sample, level: float
) -> tuple[dict[str, FloatArray], tuple[float, float, float]]:
    r2_ref, r2_live = _mutual(ref.whole), _mutual(live.whole)
    k = r2_ref.size
    honest = _out_of_sample(r2_ref, ref.n, k)
    carried = _carried(ref.whole, live.whole)
    n_left = ref.n * (1 - 1 / ref.without.shape[0])
    of_ref = _carried(ref.without, live.whole) - _out_of_sample(_mutual(ref.without), n_left, k)
    spread = (jackknife(of_ref), jackknife(_carried(ref.whole, live.without)))
    delta = carried - honest
    lo, hi, stderr, score, p = _tested(delta, spread, ref.without.shape[0], level)
    table = {
        "r2_ref": r2_ref,
        "r2_live": r2_live,
        "r2_carried": carried,
        "delta": delta,
        "stderr": stderr,
        "lo": lo,
        "hi": hi,
        "p": p,
        "p_adj": holm(p),
        "_score": score,
    }
    return table, (math.nan, math.nan, math.nan)


def _mutual(covariance: FloatArray) -> FloatArray:
    """Return how much of each column's variance the others explain."""
    inverse = np.linalg.inv(covariance)
    left = np.diagonal(inverse, axis1=-2, axis2=-1) * np.diagonal(covariance, axis1=-2, axis2=-1)
    result: FloatArray = 1 - 1 / left
    return result


def _out_of_sample(r2: FloatArray, n: float, k: int) -> FloatArray:
    """Return R² as it would be on new rows (Browne's rough form, (n + k) / (n - k) of the rest)."""
    result: FloatArray = 1 - (1 - r2) * (n + k) / (n - k)
    return result


def _carried(learnt: FloatArray, seen: FloatArray) -> FloatArray:
    """Return R² of each column from the others, coefficients of one matrix applied to another."""
    inverse = np.linalg.inv(learnt)
    # Column j: the residual of feature j as a combination of all features.
    residual = inverse / np.diagonal(inverse, axis1=-2, axis2=-1)[..., None, :]
    left = np.einsum("...ij,...ik,...kj->...j", residual, seen, residual, optimize=True)
    result: FloatArray = 1 - left / np.diagonal(seen, axis1=-2, axis2=-1)
    return result


def _tested(
    delta: FloatArray, stderr: tuple[FloatArray, FloatArray], n_blocks: int, level: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return lower and upper end, standard error, t and two-sided p (Welch and Satterthwaite)."""
    from scipy.special import stdtr, stdtrit

    both = np.hypot(*stderr)
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = both**4 * (n_blocks - 1) / (stderr[0] ** 4 + stderr[1] ** 4)
        score = np.where(delta == 0, 0.0, delta / both)
    dof = np.where(np.isfinite(dof), dof, n_blocks - 1)
    half = stdtrit(dof, 0.5 + level / 2) * both
    return delta - half, delta + half, both, score, 2 * stdtr(dof, -np.abs(score))
