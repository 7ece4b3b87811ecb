"""Two-sample Anderson-Darling test from counts, with the law that ties and sample sizes give it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mlsd._types import FloatArray
from mlsd.drift._counts import two_samples
from mlsd.drift._permutation import standardised, sum_tail
from mlsd.drift._quadratic import log_quadratic_tail

__all__ = ["anderson_darling"]

# Steps of the power method: enough for the middle of the law, and for its tail.
_FEW, _MANY = 2, 4
# Below this p-value the tail is worked out.
_TAIL = 0.1
_SMALLEST = 1e-3


def anderson_darling(ref: npt.ArrayLike, live: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Test whether two samples come from one law, any difference, the tails weighing most.

    Parameters
    ----------
    ref, live : array-like of shape (c, k)
        Counts of c columns over k ordered cells. Cells empty in both change nothing.

    Returns
    -------
    stat, p : ndarray of shape (c,)
        A² in the midrank version (equation 7 of Scholz and Stephens), whose mean without a change
        is exactly 1 whatever the ties, and its p-value. Where nothing can be told (an empty sample,
        all in one cell) the statistic is 0 and p is 1.

    Notes
    -----
    Without a change A² is a quadratic form in counts that are drawn without replacement. Its limit
    is a sum of χ² variables, with weights 1/(j(j + 1)) if there are no ties; with half of the
    values equal the first weight is .73 in place of .5, and 1e-5 would be taken for 1e-7. So the
    largest weight is found for the cells at hand (power method; the matrix is semiseparable, so
    that a product with it takes two cumulative sums) and the others enter by their sum and sum of
    squares. In the tail the first component decides: there its normal law is replaced by its
    permutation law, which knows sample sizes.

    References
    ----------
    Scholz and Stephens (1987), K-sample Anderson-Darling tests, Journal of the American Statistical
    Association 82(399).
    """

    first, second = two_samples(ref, live)
    pooled = first + second
    n, n_live, n_ref = pooled.sum(axis=1), second.sum(axis=1), first.sum(axis=1)
    stat, p = np.zeros_like(n), np.ones_like(n)
    told = np.flatnonzero((n_live > 0) & (n_ref > 0) & (pooled.max(axis=1, initial=0) < n))
    if not told.size:
        return stat, p
    if told.size < n.size:
        second, pooled = second[told], pooled[told]
        n, n_live = n[told], n_live[told]
    form = _form(pooled)
    stat[told] = _statistic(form, second, n_live, n)
    p[told] = np.exp(_log_p_value(form, np.maximum(stat[told], _SMALLEST), pooled, n_live))
    return stat, p


def _log_p_value(
    form: _Form, stat: FloatArray, pooled: FloatArray, n_live: FloatArray
) -> FloatArray:
    vector, largest = _power_method(form, np.sqrt(form.share * form.variance), _FEW)
    square = _sum_of_squares(form)
    log_p = log_quadratic_tail(stat, largest, np.maximum(square, largest**2))
    tail = np.flatnonzero(log_p < np.log(_TAIL))
    if tail.size:
        form = _Form(*(part[tail] for part in form))
        vector, largest = _power_method(form, vector[tail], _MANY)
        square = np.maximum(square[tail], largest**2)
        log_p[tail] = log_quadratic_tail(stat[tail], largest, square) + _log_correction(
            form, stat[tail], vector, largest, square, pooled[tail], n_live[tail]
        )
    return np.minimum(log_p, 0.0)


def _log_correction(
    form: _Form,
    stat: FloatArray,
    vector: FloatArray,
    largest: FloatArray,
    square: FloatArray,
    pooled: FloatArray,
    n_live: FloatArray,
) -> FloatArray:
    """Return ln(tail of the first component by its permutation law / by the normal law).

    Far out that component alone is large. Where it is, skewness shifts the means of the others as
    well: their noncentrality is what the statistic of the counts to expect there has over the
    first component's own.
    """
    from scipy.special import log_ndtr

    n = pooled.sum(axis=1)
    pull = vector * np.sqrt(form.ratio)
    scores = standardised(np.cumsum(pull[:, ::-1], axis=1)[:, ::-1] - pull / 2, pooled)
    rest, rest_square = 1 - largest, square - largest**2
    typical = rest_square / np.maximum(rest, _SMALLEST)
    # What the other components add to the statistic there, on average.
    others = rest / (1 - np.minimum(typical / largest, 0.5))
    z = np.sqrt(np.maximum(stat - others, 0.0) / largest)
    total = z * np.sqrt(n_live * (1 - n_live / n) * n / (n - 1))
    inflation = 1 / (2 * largest * (1 - np.minimum(np.sqrt(rest_square) / largest, 0.5)))
    sides = []
    for side in (scores, -scores):
        log_tail, expected = sum_tail(side, pooled, n_live, total)
        reached = (expected * side).sum(axis=1) / total * z
        extra = np.maximum(_statistic(form, expected, n_live, n) - largest * reached**2, 0.0)
        sides.append(log_tail + inflation * extra)
    return np.asarray(np.logaddexp(*sides) - np.asarray(log_ndtr(-z)) - np.log(2))


def _statistic(form: _Form, live: FloatArray, n_live: FloatArray, n: FloatArray) -> FloatArray:
    deviation = (np.cumsum(live, axis=1) - live / 2) / n_live[:, None] - form.below
    scale = (n - 1) * n_live / (n - n_live)
    return np.asarray((form.ratio * deviation**2).sum(axis=1) * scale)


class _Form(NamedTuple):
    """The quadratic form of c columns: one row a column, one entry a cell."""

    share: FloatArray  # of all values
    below: FloatArray  # share below the middle of the cell
    variance: FloatArray  # of the count below, up to a constant
    ratio: FloatArray  # share / variance, 0 for an empty cell


def _form(pooled: FloatArray) -> _Form:
    share = pooled / pooled.sum(axis=1, keepdims=True)
    below = np.cumsum(share, axis=1) - share / 2
    variance = np.maximum(below * (1 - below) - share / 4, 0.0)
    ratio = np.where(variance > 0, share / np.where(variance > 0, variance, 1.0), 0.0)
    return _Form(share, below, variance, ratio)


def _power_method(form: _Form, vector: FloatArray, steps: int) -> tuple[FloatArray, FloatArray]:
    """Return the leading eigenvector and its eigenvalue by Rayleigh's quotient."""
    root = np.sqrt(form.ratio)
    above = 1 - form.below
    norm = np.sqrt((vector**2).sum(axis=1, keepdims=True))
    vector = vector / norm
    largest = np.ones(len(vector))
    for _ in range(steps):
        pull = root * vector
        left = np.cumsum(form.below * pull, axis=1)
        right = np.cumsum((above * pull)[:, ::-1], axis=1)[:, ::-1]
        both = above * left + form.below * right
        # Its own cell is in both sums, and belongs in none.
        both += (form.variance - 2 * form.below * above) * pull
        image = root * both
        largest = (vector * image).sum(axis=1)
        vector = image / np.sqrt((image**2).sum(axis=1, keepdims=True))
    return vector, np.clip(largest, 1e-9, 1.0)


def _sum_of_squares(form: _Form) -> FloatArray:
    """Return the sum of the squared eigenvalues."""
    left = form.ratio * form.below**2
    before = np.cumsum(left, axis=1) - left
    right = form.ratio * (1 - form.below) ** 2
    return np.asarray((form.share**2 + 2 * before * right).sum(axis=1))
