"""Maximum mean discrepancy: are two samples of whole rows of one distribution?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import (
    as_generator,
    check_choice,
    check_fraction,
    check_positive,
    check_positive_int,
)
from mlsd.drift._two_frames import numbers_of, read_pair

__all__ = ["MMD", "mmd"]

# Permutations whose sums are held at once.
_BATCH = 128


@dataclass(frozen=True, slots=True)
class MMD(Result):
    """Squared maximum mean discrepancy of two samples, with a permutation test.

    Attributes
    ----------
    value : float
        Unbiased estimate of MMD², about 0 without a change and then as often below.
    p_value : float
        Share of permutations with a value as large, one-sided; at least 1 / (permutations + 1).
    critical : float
        The value that a share `alpha` of the permutations exceed.
    alpha : float
        That share.
    bandwidth : float
        Of the kernel ``exp(-|x - y|² / (2 bandwidth²))``, in standard deviations of the reference.
    n_permutations : int
        Permutations drawn.
    n_ref, n_live : int
        Rows used.
    rows_ref, rows_live : int
        Rows given.
    dropped_ref, dropped_live : int
        Rows left out for a NULL or an infinite value (with ``missing="drop"``).
    columns : tuple of str
        Columns used.
    excluded : dict of str to str
        Columns that were left out, and why.
    """

    value: float
    p_value: float
    critical: float
    alpha: float
    bandwidth: float
    n_permutations: int
    n_ref: int
    n_live: int
    rows_ref: int
    rows_live: int
    dropped_ref: int
    dropped_live: int
    columns: tuple[str, ...]
    excluded: dict[str, str]

    def _note(self) -> str:
        parts = []
        if self.dropped_ref or self.dropped_live:
            parts.append(
                f"Left out for a NULL: {self.dropped_ref} rows of the reference, "
                f"{self.dropped_live} live."
            )
        complete = self.rows_ref - self.dropped_ref, self.rows_live - self.dropped_live
        if (self.n_ref, self.n_live) != complete:
            parts.append(
                f"A sample: {self.n_ref} of {complete[0]} complete rows of the reference, "
                f"{self.n_live} of {complete[1]} live."
            )
        if self.excluded:
            listed = ", ".join(f"{name} ({reason})" for name, reason in self.excluded.items())
            parts.append(f"Columns left out: {listed}.")
        return " ".join(parts)


def mmd(
    X_ref: Any,
    X_live: Any,
    *,
    columns: Iterable[str] | None = None,
    bandwidth: str | float = "median",
    n_permutations: int = 500,
    max_rows: int = 1000,
    missing: str = "raise",
    alpha: float = 0.05,
    random_state: int | np.random.Generator | None = None,
) -> MMD:
    """Measure how far apart the joint distributions of two samples are, by a Gaussian kernel.

    MMD² is the mean kernel value within each sample less twice that between them. It sees changes
    of the joint distribution that no column shows, but says nothing of where they are, and its
    power is thin when many columns have nothing to say.

    Parameters
    ----------
    X_ref, X_live : table of pandas, polars or pyarrow
        Numeric and boolean columns take part, standardised by the reference's mean and standard
        deviation; others are left out and listed, and so are those that the reference holds
        constant.
    columns : iterable of str, optional
        The columns to take; by default all that both have.
    bandwidth : "median" or float, default "median"
        Width of the kernel: the median distance between two rows of both samples together, or a
        number above 0, in standard deviations of the reference.
    n_permutations : int, default 500
        Permutations of the rows over the samples, at least 20.
    max_rows : int, default 1000
        Rows taken at random from each sample, at least 10. Memory is ``8 (2 max_rows)²`` bytes and
        some.
    missing : {"raise", "drop"}, default "raise"
        What to do about rows with a NULL or an infinite value.
    alpha : float, default 0.05
        Share of the permutations above `critical`.
    random_state : int, Generator or None
        Source of the sample and the permutations.

    Returns
    -------
    MMD
        Value, p-value, bandwidth, and what was left out.

    Raises
    ------
    ValueError
        If a value is missing (with ``missing="raise"``), fewer than two rows are left in a sample,
        no column is left, all rows are alike, or an option is out of range.
    TypeError
        If a sample is no table.

    References
    ----------
    Gretton, Borgwardt, Rasch, Scholkopf and Smola (2012), A kernel two-sample test, Journal of
    Machine Learning Research 13.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> ref = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    >>> live = ref.assign(b=ref["a"])  # every column as before, but not together
    >>> result = mmd(ref, live, random_state=0)
    >>> result.p_value < .01
    True
    """
    if isinstance(bandwidth, str):
        check_choice(bandwidth, "bandwidth", ("median",))
        width = None
    else:
        width = check_positive(bandwidth, "bandwidth")
    n_permutations = check_positive_int(n_permutations, "n_permutations")
    max_rows = check_positive_int(max_rows, "max_rows")
    for number, name, least in ((n_permutations, "n_permutations", 20), (max_rows, "max_rows", 10)):
        if number < least:
            raise ValueError(f"{name} must be at least {least}; got {number!r}")
    check_choice(missing, "missing", ("raise", "drop"))
    alpha = check_fraction(alpha, "alpha")
    rng = as_generator(random_state)

    pair = read_pair(X_ref, X_live, columns=columns, names=("X_ref", "X_live"))
    pair = pair.of_kind("numeric", "boolean")
    if not pair.columns:
        raise ValueError(f"X_ref and X_live share no numeric column; left out: {pair.excluded}")
    names = [column.name for column in pair.columns]
    complete = []
    for matrix, name in zip(numbers_of(pair.columns), ("X_ref", "X_live"), strict=True):
        lacks = np.isnan(matrix)
        rows = lacks.any(axis=1)
        if rows.any() and missing == "raise":
            at = [names[column] for column in np.flatnonzero(lacks.any(axis=0))]
            raise ValueError(
                f"{name} has NULL or infinite values in {int(rows.sum())} of {rows.size} rows, in "
                f"the columns {at}: fill them as the model does, leave the columns out with "
                "columns=, or take the complete rows with missing='drop'"
            )
        if rows.size - int(rows.sum()) < 2:
            raise ValueError(
                f"{name} has {rows.size - int(rows.sum())} complete rows; 2 are needed"
            )
        complete.append(matrix[~rows])
    first, second, excluded = _standardised(complete[0], complete[1], names)
    kept = tuple(name for name in names if name not in excluded)
    if not kept:
        raise ValueError(f"X_ref is constant in all of {names}")
    samples = [_sample(matrix, max_rows, rng) for matrix in (first, second)]
    n, m = (matrix.shape[0] for matrix in samples)
    squared = _squared_distances(np.vstack(samples))
    if width is None:
        width = float(np.sqrt(np.median(squared[np.triu_indices(n + m, 1)])))
        if width == 0:
            raise ValueError("the median distance of two rows is 0: give bandwidth as a number")
    kernel = np.exp(squared / (-2 * width * width))
    np.fill_diagonal(kernel, 0.0)
    drawn = _permuted(kernel, n, n_permutations, rng)
    value, null = drawn[0], drawn[1:]
    # A permutation that is the same split differs by rounding alone.
    as_large = int((null >= value - 1e-12).sum())
    return MMD(
        value=float(value),
        p_value=(1 + as_large) / (1 + n_permutations),
        critical=float(np.quantile(null, 1 - alpha)),
        alpha=alpha,
        bandwidth=width,
        n_permutations=n_permutations,
        n_ref=n,
        n_live=m,
        rows_ref=pair.n_ref,
        rows_live=pair.n_live,
        dropped_ref=pair.n_ref - complete[0].shape[0],
        dropped_live=pair.n_live - complete[1].shape[0],
        columns=kept,
        excluded=pair.excluded | excluded,
    )


def _standardised(
    ref: FloatArray, live: FloatArray, names: list[str]
) -> tuple[FloatArray, FloatArray, dict[str, str]]:
    varies = ref.min(axis=0) < ref.max(axis=0)
    excluded = {
        name: "constant in X_ref" for name, moves in zip(names, varies, strict=True) if not moves
    }
    ref, live = ref[:, varies], live[:, varies]
    centre, scale = ref.mean(axis=0), ref.std(axis=0)
    return (ref - centre) / scale, (live - centre) / scale, excluded


def _sample(matrix: FloatArray, max_rows: int, rng: np.random.Generator) -> FloatArray:
    if matrix.shape[0] <= max_rows:
        return matrix
    taken: FloatArray = matrix[rng.choice(matrix.shape[0], max_rows, replace=False)]
    return taken


def _squared_distances(values: FloatArray) -> FloatArray:
    from scipy.spatial.distance import pdist, squareform

    result: FloatArray = squareform(pdist(values, "sqeuclidean"))
    return result


def _permuted(
    kernel: FloatArray, n: int, n_permutations: int, rng: np.random.Generator
) -> FloatArray:
    """Return MMD² of the split as given, and of as many random ones.

    With z marking the rows of the first sample, the sums within it, between the two and within the
    second are z'Kz, z'K1 - z'Kz and what is left of the sum of all.
    """
    size = kernel.shape[0]
    m = size - n
    of_row = kernel.sum(axis=1)
    total = float(of_row.sum())
    values = []
    for start in range(0, n_permutations + 1, _BATCH):
        count = min(_BATCH, n_permutations + 1 - start)
        marks = np.zeros((size, count))
        marks[:n] = 1.0
        first = 1 if start == 0 else 0
        marks[:, first:] = rng.permuted(marks[:, first:], axis=0)
        within = np.einsum("ij,ij->j", marks, kernel @ marks)
        touched = of_row @ marks
        between = touched - within
        other = total - touched - between
        values.append(within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * between / (n * m))
    return np.concatenate(values)
