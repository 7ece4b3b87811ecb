"""Correlations of the reference and of live rows, pair by pair, with a test that they are equal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._stats import holm
from mlsd._types import BoolArray, FloatArray, IntArray
from mlsd._validation import check_choice, check_fraction, warn_undefined
from mlsd.drift._effects import fisher_difference
from mlsd.drift._profiles import both_profiles
from mlsd.drift._tests import fisher_z
from mlsd.drift._two_frames import TableResult, numbers_of, read_pair

__all__ = ["CorrelationDrift", "correlation_drift"]

# Rows whose powers are held at once.
_ROWS = 16_384
# 1 - r² below this is 0 but for rounding.
_NEAR_ONE = 1e-10
# A pairwise variance below this share of the column's own is rounding, not spread.
_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class CorrelationDrift(TableResult):
    """Correlations of the reference and of live rows, one row a pair of columns.

    Attributes
    ----------
    method : {"pearson", "spearman"}
        Kind of correlation.
    level : float
        Coverage of the intervals.
    n_ref, n_live : int
        Rows given.
    n_pairs : int
        Pairs of columns.
    n_undefined : int
        Pairs without a test: a constant column, or fewer than four complete rows.
    n_infinite : int
        Infinite values, which count as NULL here.
    excluded : dict of str to str
        Columns that were left out, and why.
    table : dict
        The columns of ``to_frame``: first, second, n_ref and n_live (complete rows),
        null_ref and null_live (rows left out), r_ref, r_live, delta (Fisher's z of live less that
        of the reference), lo and hi (its interval), p, and p_adj (Holm over the pairs).
    """

    method: str
    level: float
    n_ref: int
    n_live: int
    n_pairs: int
    n_undefined: int
    n_infinite: int
    excluded: dict[str, str]
    table: dict[str, Any] = field(repr=False, compare=False)

    def _note(self) -> str:
        parts = []
        if self.n_undefined:
            parts.append(f"{self.n_undefined} of {self.n_pairs} pairs are undefined.")
        if self.n_infinite:
            parts.append(f"{self.n_infinite} infinite values count as NULL.")
        if self.excluded:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.excluded.items())
            parts.append(f"Left out: {listed}.")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Complete rows, correlation and asymptotic variance of Fisher's z times n, of each pair.

    And the products of both columns' skewness and of their kurtosis.
    """

    n: IntArray
    r: FloatArray
    variance: FloatArray
    skewness: FloatArray
    kurtosis: FloatArray


def correlation_drift(
    ref: Any,
    live: Any,
    *,
    columns: Iterable[str] | None = None,
    method: str = "pearson",
    level: float = 0.95,
) -> CorrelationDrift:
    """Test pair by pair whether two columns correlate in live rows as they did in the reference.

    A join that slipped by a row, or a unit that changed in one of two columns, leaves each
    column's histogram as it was and shows here. The difference is that of Fisher's z,
    ``atanh(r_live) - atanh(r_ref)``. Its variance comes from the fourth moments, so that it holds
    without a normal distribution ("asymptotically distribution free"); for Spearman's rho from
    its influence function. The p-value uses the variance of both samples together, since they are
    one under the hypothesis; the interval uses each one's own. No variance counts as less than 1,
    that of independent columns.

    Where columns are sparse or skewed, a few rows make the correlation, and z is not normal. The
    p-value is then no less than that of a law with the skewness and kurtosis of such columns. The
    interval has no such correction and is too short there.

    Parameters
    ----------
    ref, live : table of pandas, polars or pyarrow; or two :class:`~mlsd.drift.Profile`
        Numeric and boolean columns take part; others are left out and listed. Rows must be
        independent. A NULL leaves the row out of the pairs of its column only, and is counted; an
        infinite value counts as NULL. A profile holds Pearson's correlations of values that were
        clipped to the reference's .1 % and 99.9 % quantiles.
    columns : iterable of str, optional
        The columns to take; by default all that both have.
    method : {"pearson", "spearman"}, default "pearson"
        Pearson's r, or Spearman's rho, with midranks within the complete rows of the pair.
    level : float, default 0.95
        Coverage of the intervals.

    Returns
    -------
    CorrelationDrift
        One row a pair, the smallest p-value first; pairs without a test are last.

    Warns
    -----
    UndefinedMetricWarning
        If a column is constant in the complete rows of a pair, or a pair has fewer than four of
        them: r or its test is nan there.

    Raises
    ------
    ValueError
        If fewer than two columns are left, a frame has no rows or lacks one of `columns`, `method`
        is unknown or `level` is not inside (0, 1).
    TypeError
        If `ref` or `live` is no table.

    References
    ----------
    Steiger and Hakstian (1982), The asymptotic distribution of elements of a correlation matrix,
    British Journal of Mathematical and Statistical Psychology 35(2).

    Croux and Dehon (2010), Influence functions of the Spearman and Kendall correlation measures,
    Statistical Methods and Applications 19(4).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(2, 2000))
    >>> ref = pd.DataFrame({"price": x, "clicks": .6 * x + .8 * y})
    >>> live = ref.assign(clicks=ref["clicks"].to_numpy()[::-1])  # joined the wrong way round
    >>> correlation_drift(ref, live).to_frame()[["first", "second", "r_ref", "r_live"]].round(2)
       first  second  r_ref  r_live
    0  price  clicks   0.59   -0.01
    """
    check_choice(method, "method", ["pearson", "spearman"])
    level = check_fraction(level, "level")
    if both_profiles(ref, live):
        return _of_profiles(ref, live, columns, method, level)
    pair = read_pair(ref, live, columns=columns).of_kind("numeric", "boolean")
    names = [column.name for column in pair.columns]
    _check_two(names, pair.excluded)
    n_infinite = sum(
        int(np.isinf(side).sum())
        for column in pair.columns
        if column.kind == "numeric"
        for side in (column.ref, column.live)
    )
    moments = _pearson if method == "pearson" else _spearman
    first, second = (moments(matrix) for matrix in numbers_of(pair.columns))
    return _compared(
        names, first, second, method, level, (pair.n_ref, pair.n_live), n_infinite, pair.excluded
    )


def _of_profiles(
    ref: Any, live: Any, columns: Iterable[str] | None, method: str, level: float
) -> CorrelationDrift:
    if method != "pearson":
        raise ValueError(f"method must be 'pearson': profiles hold no ranks; got {method!r}")
    for side, name in ((ref, "ref"), (live, "live")):
        if side.pairs is None:
            raise ValueError(f"{name} holds no pairs: make the profile with pairs=True")
    if ref.pairs.fingerprint != live.pairs.fingerprint:
        raise ValueError("the profiles have different cells: make the live one with like=ref")
    paired = list(ref.pairs.names)
    excluded: dict[str, str] = {}
    if columns is None:
        others = [name for name in ref.names if name not in paired]
        excluded = dict.fromkeys(others, "not among the pairs of the profile")
        excluded |= {name: "missing in live" for name in paired if name not in live}
        wanted = [name for name in paired if name not in excluded]
    else:
        wanted = list(dict.fromkeys(columns))
    missing = [name for name in wanted if name not in paired or name not in live]
    if missing:
        raise ValueError(f"the profiles hold no pairs of the columns {missing}; they have {paired}")
    _check_two(wanted, excluded)
    places = [paired.index(name) for name in wanted]
    at = np.ix_(places, places)

    def moments(profile: Any) -> _Moments:
        found = profile.pairs
        skewness, kurtosis = found.tails()
        return _Moments(
            found.n[at],
            found.correlation()[at],
            found.variance()[at],
            skewness[at],
            kurtosis[at],
        )

    sizes = (ref.n_rows, live.n_rows)
    where = " within the reference's limits"
    return _compared(wanted, moments(ref), moments(live), method, level, sizes, 0, excluded, where)


def _check_two(names: list[str], excluded: dict[str, str]) -> None:
    if len(names) < 2:
        raise ValueError(
            f"a correlation needs two numeric columns that ref and live share; got {names}"
            + (f", and left out {excluded}" if excluded else "")
        )


def _compared(
    names: list[str],
    ref: _Moments,
    live: _Moments,
    method: str,
    level: float,
    rows: tuple[int, int],
    n_infinite: int,
    excluded: dict[str, str],
    where: str = "",
) -> CorrelationDrift:
    from scipy.special import ndtri

    upper = np.triu_indices(len(names), 1)
    n = np.stack((ref.n[upper], live.n[upper])).astype(np.float64)
    r = np.stack((ref.r[upper], live.r[upper]))
    variance = np.stack((ref.variance[upper], live.variance[upper]))

    def together(name: str) -> FloatArray:
        values = np.stack([getattr(side, name)[upper] for side in (ref, live)])
        with np.errstate(divide="ignore", invalid="ignore"):
            mean: FloatArray = (n * values).sum(axis=0) / n.sum(axis=0)
        return mean

    delta, p = fisher_z(
        r[0],
        n[0],
        together("variance"),
        r[1],
        n[1],
        skewness=together("skewness"),
        kurtosis=together("kurtosis"),
    )
    _, own = fisher_difference(r[0], n[0], variance[0], r[1], n[1], variance[1])
    tested = np.isfinite(p)
    half = float(ndtri(0.5 + level / 2)) * own
    n_undefined = int((~tested).sum())
    if n_undefined:
        at = int(np.flatnonzero(~tested)[0])
        warn_undefined(
            f"{n_undefined} of {tested.size} pairs have a constant column{where} or fewer than "
            f"four complete rows, the first being {names[upper[0][at]]!r} and "
            f"{names[upper[1][at]]!r}: their test is nan",
            stacklevel=4,
        )
    # A p-value may be 0: then the larger change is first.
    order = np.lexsort((-np.abs(np.nan_to_num(delta / own)), np.nan_to_num(p), ~tested))
    labels = np.asarray(names, dtype=object)
    counts = n.astype(np.int64)
    table = {
        "first": labels[upper[0]],
        "second": labels[upper[1]],
        "n_ref": counts[0],
        "n_live": counts[1],
        "null_ref": rows[0] - counts[0],
        "null_live": rows[1] - counts[1],
        "r_ref": r[0],
        "r_live": r[1],
        "delta": delta,
        "lo": delta - half,
        "hi": delta + half,
        "p": p,
        "p_adj": holm(p),
    }
    return CorrelationDrift(
        method=method,
        level=level,
        n_ref=rows[0],
        n_live=rows[1],
        n_pairs=tested.size,
        n_undefined=n_undefined,
        n_infinite=n_infinite,
        excluded=excluded,
        table={name: values[order] for name, values in table.items()},
    )


def _pearson(matrix: FloatArray) -> _Moments:
    """Return Pearson's moments from sums of powers over the complete rows of each pair.

    Columns are standardised first, so that the sums lose no digits; means of a pair's own rows are
    then near 0 and are taken off exactly.
    """
    known = ~np.isnan(matrix)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, matrix, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, matrix - centre, 0.0) ** 2).sum(axis=0) / count)
    # A spread within rounding of the values is that of a constant.
    varies = spread > 4 * np.finfo(np.float64).eps * np.abs(centre)
    scale = np.where(varies, spread, 1.0)
    k = matrix.shape[1]
    sums = {key: np.zeros((k, k)) for key in ("n", "10", "20", "30", "40", "11", "21", "31", "22")}
    for start in range(0, matrix.shape[0], _ROWS):
        rows = slice(start, start + _ROWS)
        mask = None if known[rows].all() else known[rows].astype(np.float64)
        x = np.where(known[rows], (matrix[rows] - centre) / scale, 0.0)
        square = x * x
        cube = square * x
        sums["n"] += x.shape[0] if mask is None else mask.T @ mask
        for key, power in (("10", x), ("20", square), ("30", cube), ("40", square * square)):
            # Without NULL the rows of a pair are all rows: no product is needed.
            sums[key] += power.sum(axis=0)[:, None] if mask is None else power.T @ mask
        sums["11"] += x.T @ x
        sums["21"] += square.T @ x
        sums["31"] += cube.T @ x
        sums["22"] += square.T @ square
    n = sums.pop("n")
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = {key: value / n for key, value in sums.items()}
    for key in ("10", "20", "30", "40", "21", "31"):  # of the pair's other column
        mean[key[::-1]] = mean[key].T
    m, q = mean["10"], mean["01"]
    m20 = mean["20"] - m * m
    m02 = m20.T
    m11 = mean["11"] - m * q
    m22 = (
        mean["22"]
        - 2 * q * mean["21"]
        - 2 * m * mean["12"]
        + q * q * mean["20"]
        + m * m * mean["02"]
        + 4 * m * q * mean["11"]
        - 3 * m * m * q * q
    )
    m31 = (
        mean["31"]
        - 3 * m * mean["21"]
        + 3 * m * m * mean["11"]
        - m**3 * q
        - q * (mean["30"] - 3 * m * mean["20"] + 2 * m**3)
    )
    m30 = mean["30"] - 3 * m * mean["20"] + 2 * m**3
    m40 = mean["40"] - 4 * m * mean["30"] + 6 * m * m * mean["20"] - 3 * m**4
    flat = (m20 <= _FLAT) | ~varies[:, None]
    flat |= flat.T
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.where(flat, np.nan, m11 / np.sqrt(m20 * m02))
        skewness, kurtosis = m30 / m20**1.5, m40 / m20**2
        skewed = m31 / (m20 * np.sqrt(m20 * m02))
        both = m22 / (m20 * m02)
        variance = both - r * (skewed + skewed.T) + r * r * (kurtosis + kurtosis.T + 2 * both) / 4
    return _Moments(
        n.astype(np.int64),
        np.clip(r, -1, 1),
        _of_z(variance, r),
        skewness * skewness.T,
        kurtosis * kurtosis.T,
    )


def _of_z(variance: FloatArray, r: FloatArray) -> FloatArray:
    """Return the variance of Fisher's z from that of r; 1, as of a normal, where |r| is 1."""
    rest = 1 - r * r
    with np.errstate(divide="ignore", invalid="ignore"):
        result: FloatArray = np.where(
            rest > _NEAR_ONE, np.maximum(variance, 0) / rest**2, np.where(np.isnan(r), np.nan, 1.0)
        )
    return result


def _spearman(matrix: FloatArray) -> _Moments:
    """Return Spearman's moments; ranks are midranks among the complete rows of the pair."""
    known = ~np.isnan(matrix)
    k = matrix.shape[1]
    # Sorted once a column: what is left of a pair is then ranked by counting.
    codes = [np.unique(column, return_inverse=True)[1] for column in matrix.T]
    n = np.zeros((k, k), dtype=np.int64)
    r, variance, skewness, kurtosis = np.full((4, k, k), np.nan)
    for i in range(k):
        for j in range(i + 1, k):
            rows = known[:, i] & known[:, j]
            n[i, j] = n[j, i] = int(rows.sum())
            r[i, j], variance[i, j], skewness[i, j], kurtosis[i, j] = _spearman_of_pair(
                codes[i], codes[j], rows
            )
    return _Moments(n, r, _of_z(variance, r), skewness, kurtosis)


def _spearman_of_pair(x: IntArray, y: IntArray, rows: BoolArray) -> tuple[float, ...]:
    """Return rho, its variance times n, and the products of skewness and of kurtosis of ranks."""
    if not rows.all():
        x, y = x[rows], y[rows]
    if x.size < 2 or x.min() == x.max() or y.min() == y.max():
        return (math.nan,) * 4
    n_x, n_y = np.bincount(x), np.bincount(y)
    level_x = (np.cumsum(n_x) - n_x / 2) / x.size - 0.5
    level_y = (np.cumsum(n_y) - n_y / 2) / x.size - 0.5
    f, g = level_x[x], level_y[y]
    spread_x, spread_y = float(np.mean(f * f)), float(np.mean(g * g))
    shared = float(np.mean(f * g))
    r = shared / math.sqrt(spread_x * spread_y)
    # Influence of a row: by its own ranks, and by moving the ranks of all rows above it.
    of_shared = f * g + _above(x, g)[x] + _above(y, f)[y] - 3 * shared
    of_x = f * f + 2 * _above(x, f)[x] - 3 * spread_x
    of_y = g * g + 2 * _above(y, g)[y] - 3 * spread_y
    influence = of_shared / math.sqrt(spread_x * spread_y)
    influence -= r / 2 * (of_x / spread_x + of_y / spread_y)
    skewness = float(np.mean(f**3) * np.mean(g**3)) / (spread_x * spread_y) ** 1.5
    kurtosis = float(np.mean(f**4) * np.mean(g**4)) / (spread_x * spread_y) ** 2
    return max(-1.0, min(1.0, r)), float(np.mean(influence**2)), skewness, kurtosis


def _above(codes: IntArray, values: FloatArray) -> FloatArray:
    """Return for each level the mean of values at higher levels, with half of its own."""
    sums = np.bincount(codes, weights=values)
    result: FloatArray = (np.cumsum(sums[::-1])[::-1] - sums / 2) / codes.size
    return result
