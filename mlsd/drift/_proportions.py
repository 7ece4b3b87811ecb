"""Tests of shares: two proportions, values out of the reference's range, categories never seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, FloatArray
from mlsd.drift._counts import as_counts
from mlsd.drift._permutation import lugannani_rice

__all__ = ["beyond_range", "two_proportions", "unseen"]

# Terms of a tail that are added one by one; where more would matter, the saddlepoint takes over.
_TERMS = 200
_FEW = 200.0


def two_proportions(
    k_ref: npt.ArrayLike, n_ref: npt.ArrayLike, k_live: npt.ArrayLike, n_live: npt.ArrayLike
) -> FloatArray:
    """Return Fisher's exact p-value of equal shares, twice the smaller tail, for every column.

    Tails are sums of the hypergeometric law where the smallest expected count is under 200, and a
    double saddlepoint with a lattice correction above, which agrees to better than 1e-3. A normal
    score test does not do here: with 25 expected live values it is off tenfold at p = 1e-5.

    Parameters
    ----------
    k_ref, n_ref, k_live, n_live : array-like of shape (c,)
        Numbers of values that have the trait, and numbers of values.

    Returns
    -------
    ndarray of shape (c,)
        P-values; 1 where a sample is empty or the pooled share is 0 or 1.

    Raises
    ------
    ValueError
        If a count is negative or not finite, or there are more with the trait than there are.

    References
    ----------
    Fisher (1935), The logic of inductive inference, Journal of the Royal Statistical Society 98(1).
    Skovgaard (1987), Saddlepoint expansions for conditional distributions, Journal of Applied
    Probability 24(4).
    """
    k0, n0, k1, n1 = _counts(k_ref=k_ref, n_ref=n_ref, k_live=k_live, n_live=n_live)
    _refuse_more(k0, n0, "ref")
    _refuse_more(k1, n1, "live")
    marked, n = k0 + k1, n0 + n1
    p = np.ones(n.shape)
    told = (n0 > 0) & (n1 > 0) & (marked > 0) & (marked < n)
    k, marked, drawn, n = k1[told], marked[told], n1[told], n[told]
    # Fewer than expected is more of the opposite than expected: one upper tail does for both.
    over = k * n >= drawn * marked
    k, marked = np.where(over, k, drawn - k), np.where(over, marked, n - marked)
    p[told] = np.minimum(1.0, 2 * hypergeometric_tail(k, n, marked, drawn))
    return p


def beyond_range(k_live: npt.ArrayLike, n_live: npt.ArrayLike, n_ref: npt.ArrayLike) -> FloatArray:
    """Return the chance of so many live values under the minimum or over the maximum.

    Exact by exchangeability, whatever the law of the values: ``P(K >= k) = (k + 1) q_k - k q_k+1``
    with ``q_k = C(m, k) / C(n + m, k)``, the chance that given k live values of m are the k largest
    of all. Equal values only lower the chance.

    Parameters
    ----------
    k_live : array-like of shape (c,)
        Live values outside of the reference's range, both sides together.
    n_live, n_ref : array-like of shape (c,)
        Numbers of values.

    Returns
    -------
    ndarray of shape (c,)
        P-values; 1 where a sample is empty.

    References
    ----------
    Wilks (1942), Statistical prediction with special reference to the problem of tolerance limits,
    Annals of Mathematical Statistics 13(4).
    """
    k, m, n = _counts(k_live=k_live, n_live=n_live, n_ref=n_ref)
    _refuse_more(k, m, "live")
    # With q_k+1 = q_k (m - k) / (n + m - k) the formula needs one ratio only.
    log_q = _log_choose(m, k) - _log_choose(n + m, k)
    following = np.where(n > 0, (m - k) / np.maximum(n + m - k, 1), 1.0)
    tail = np.exp(log_q) * ((k + 1) - k * following)
    return np.asarray(np.where((k > 0) & (n > 0), np.minimum(tail, 1.0), 1.0))


def unseen(
    k_live: npt.ArrayLike,
    n_live: npt.ArrayLike,
    n_singletons: npt.ArrayLike,
    n_ref: npt.ArrayLike,
) -> FloatArray:
    """Return the chance of so many live values in categories that the reference never saw.

    By Good and Turing the share of the unseen is about the share of categories seen once. Rare
    values that arrive anyhow fall among these two in the ratio of the sample sizes, so that the
    number of unseen live values, given both, is binomial. But a new category may come several
    times, the more the larger the live sample: both numbers are divided by how much that widens
    their difference, 1 for n_live far below n_ref and up to 5 far above.

    Parameters
    ----------
    k_live : array-like of shape (c,)
        Live values in no category of the reference.
    n_live, n_singletons, n_ref : array-like of shape (c,)
        Live values; categories that the reference saw once; reference values.

    Returns
    -------
    ndarray of shape (c,)
        P-values; 1 where a sample is empty.

    References
    ----------
    Good (1953), The population frequencies of species and the estimation of population parameters,
    Biometrika 40(3-4).
    """
    from scipy.special import betainc

    k, m, ones, n = _counts(k_live=k_live, n_live=n_live, n_singletons=n_singletons, n_ref=n_ref)
    _refuse_more(k, m, "live")
    told = (k > 0) & (n > 0)
    n_safe = np.where(told, n, 1.0)
    # Variance of the difference over that without clumps, where a category that is seen once in
    # the reference has four values to expect there.
    clumps = (n_safe + 5 * m) / (n_safe + m)
    few = np.where(told, k / clumps, 1.0)
    tail = betainc(few, ones / clumps + 1.0, m / (m + n_safe))
    return np.asarray(np.where(told, tail, 1.0))


def hypergeometric_tail(
    k: FloatArray, n: FloatArray, marked: FloatArray, drawn: FloatArray
) -> FloatArray:
    """Return P(K >= k) of K marked among `drawn` out of n, `marked` of them; k at or over its mean.

    A mean of two exact values is not asked for: k is a count, and so is everything else.
    """
    expected = marked * drawn / n
    smallest = np.minimum.reduce(
        [
            expected,
            drawn - expected,
            marked - expected,
            n - marked - drawn + expected,
        ]
    )
    few = smallest < _FEW
    tail = np.empty(k.shape)
    tail[few] = _tail_by_sum(*(part[few] for part in (k, n, marked, drawn)))
    many = ~few
    tail[many] = _tail_by_saddlepoint(*(part[many] for part in (k, n, marked, drawn)))
    return tail


def _tail_by_sum(k: FloatArray, n: FloatArray, marked: FloatArray, drawn: FloatArray) -> FloatArray:
    log_first = _log_choose(marked, k) + _log_choose(n - marked, drawn - k) - _log_choose(n, drawn)
    at = k[:, None] + np.arange(_TERMS)
    ratios = ((marked[:, None] - at) * (drawn[:, None] - at)) / (
        (at + 1) * np.maximum(n[:, None] - marked[:, None] - drawn[:, None] + at + 1, 1)
    )
    terms = np.cumprod(np.maximum(ratios, 0.0), axis=1)
    return np.asarray(np.minimum(np.exp(log_first) * (1 + terms.sum(axis=1)), 1.0))


def _tail_by_saddlepoint(
    k: FloatArray, n: FloatArray, marked: FloatArray, drawn: FloatArray
) -> FloatArray:
    # Half a value towards the mean is where a lattice's tail begins. Where that is past the mean,
    # the tail is half or more, and nobody asks how much more.
    expected = marked * drawn / n
    central = k - 0.5 <= expected
    a = np.where(central, k, k - 0.5)
    b, c = marked - a, drawn - a
    d = n - marked - c
    divergence = (
        a * np.log(a / expected)
        + b * np.log(b / (marked - expected))
        + c * np.log(c / (drawn - expected))
        + d * np.log(d / (n - marked - drawn + expected))
    )
    tilt = np.log(a * d / (b * c))
    within, without = a * b / marked, c * d / (n - marked)
    slope = 2 * np.sinh(tilt / 2) * np.sqrt(within * without * n / (drawn * (n - drawn)))
    tail = np.exp(lugannani_rice(np.sqrt(2 * np.maximum(divergence, 0.0)), slope))
    return np.asarray(np.where(central, 0.5, tail))


def _log_choose(n: FloatArray, k: FloatArray) -> FloatArray:
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _counts(**counts: npt.ArrayLike) -> tuple[FloatArray, ...]:
    arrays = [as_counts(values, name) for name, values in counts.items()]
    return tuple(np.broadcast_arrays(*arrays))


def _refuse_more(k: FloatArray, n: FloatArray, sample: str) -> None:
    wrong: BoolArray = k > n
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"k_{sample} must not exceed n_{sample}; at position {at} it is "
            f"{k.flat[at]:g} of {n.flat[at]:g}"
        )
