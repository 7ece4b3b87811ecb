"""Slates from scores: the best, explored or sampled, each with its exact propensity.

Arrays only, a row a request and a column a candidate. A score of −inf marks a candidate that is
not there (an advertiser who sits this auction out): it is never preferred to one that is, and its
propensity is 0, so that the places to leave out are those whose propensity is 0.
"""

from __future__ import annotations

import numpy as np

from mlsd._types import FloatArray, IntArray

__all__ = ["explore", "plackett_luce", "top"]

_ALL_BUT_SIGN = np.int64(0x7FFF_FFFF_FFFF_FFFF)


def top(score: FloatArray, k: int) -> IntArray:
    """Return the columns of the `k` highest scores of each row, the highest first.

    Equal scores keep the order of the columns. Takes 5 ms for 33,000 rows of 30 on one core.

    Parameters
    ----------
    score : array of shape (R, C)
        No NaN.
    k : int
        From 1 to C.

    Returns
    -------
    array of shape (R, k)

    Examples
    --------
    >>> top(np.array([[0.2, 0.9, 0.2, 0.5]]), 3)
    array([[1, 3, 0]])
    """
    n_columns = score.shape[1]
    column_bits = max(1, (n_columns - 1).bit_length())
    below = np.int64((1 << column_bits) - 1)
    # A float's bits, read as an integer, ascend with it once those of the negative are turned
    # round. The lowest of them make room for the column, so that a sort of plain integers, which
    # is several times as fast as an argsort, brings the columns along. `+ 0.0` turns -0 into 0.
    key = (score.astype(np.float64, copy=False) + 0.0).view(np.int64)
    key ^= (key >> 63) & _ALL_BUT_SIGN
    np.invert(key, out=key)
    key &= ~below
    key |= np.arange(n_columns)
    key.sort(axis=1)
    order: IntArray = key[:, :k] & below
    # What is lost with the lowest bits is the order of scores that agree in all others.
    key >>= column_bits
    alike = np.flatnonzero((key[:, :k][:, : n_columns - 1] == key[:, 1 : k + 1]).any(axis=1))
    if alike.size:
        order[alike] = np.argsort(-score[alike], axis=1, kind="stable")[:, :k]
    return order


def explore(
    score: FloatArray, k: int, epsilon: float, u_switch: FloatArray, u_noise: FloatArray
) -> tuple[IntArray, FloatArray, IntArray]:
    """Return slates of which a share `epsilon` is a random draw of the candidates.

    The propensity is the marginal chance of a document at its place,
    ``epsilon / C + (1 - epsilon) * [it is the greedy document of this place]``, with C the
    candidates that are there. Over the candidates of a place it sums to 1.

    Parameters
    ----------
    score : array of shape (R, C)
    k : int
        Places.
    epsilon : float
        From 0 to 1: the chance that the whole slate is drawn at random.
    u_switch : array of shape (R,)
        Uniform numbers: whether to explore.
    u_noise : array of shape (R, C)
        Uniform numbers: the order of a random slate.

    Returns
    -------
    order : array of shape (R, k)
        Columns shown.
    propensity : array of shape (R, k)
    greedy : array of shape (R, k)
        Columns that would have been shown without exploration.

    Examples
    --------
    >>> score = np.array([[3.0, 2.0, 1.0, 0.0]])
    >>> order, propensity, greedy = explore(
    ...     score, 2, 0.4, np.array([0.9]), np.array([[0.1, 0.2, 0.3, 0.4]])
    ... )
    >>> order, propensity.round(2)
    (array([[0, 1]]), array([[0.7, 0.7]]))
    """
    greedy = top(score, k)
    there = score > -np.inf
    n_there = there.sum(axis=1)
    order = greedy.copy()
    rows = np.flatnonzero(u_switch < epsilon)
    if rows.size:
        order[rows] = top(np.where(there[rows], u_noise[rows], -np.inf), k)
    by_chance = epsilon / np.maximum(n_there, 1)
    propensity = by_chance[:, None] + (1 - epsilon) * (order == greedy)
    if not there.all():
        propensity[np.arange(k) >= n_there[:, None]] = 0.0
    return order, propensity, greedy


def plackett_luce(
    score: FloatArray, k: int, temperature: float, u: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return slates drawn place by place in proportion to ``exp(score / temperature)``.

    The draw is the top of the scores with Gumbel noise. The propensity of a document is its
    chance at its place, given the documents above it; over the candidates that are left for a
    place it sums to 1, and the product over the places is the chance of the slate.

    Parameters
    ----------
    score : array of shape (R, C)
    k : int
        Places.
    temperature : float
        Above 0: near 0 the slate is that of `top`, far above the scores' spread it is random.
    u : array of shape (R, C)
        Uniform numbers.

    Returns
    -------
    order, propensity : arrays of shape (R, k)

    References
    ----------
    Plackett, "The Analysis of Permutations", Applied Statistics 24, 1975; Kool, van Hoof and
    Welling, "Stochastic Beams and Where to Find Them", ICML 2019 (the Gumbel top-k trick).

    Examples
    --------
    >>> score = np.log([[3.0, 1.0]])
    >>> order, propensity = plackett_luce(score, 2, 1.0, np.array([[0.5, 0.5]]))
    >>> order, propensity.round(2)
    (array([[0, 1]]), array([[0.75, 1.  ]]))
    """
    best = score.max(axis=1, keepdims=True)
    logit = (score - np.where(np.isfinite(best), best, 0.0)) / temperature
    order = top(logit - np.log(-np.log(u)), k)
    taken = np.take_along_axis(logit, order, axis=1)
    rest = logit.copy()
    np.put_along_axis(rest, order, -np.inf, axis=1)
    # log of the sum over what is left: first over what no place took, then place by place from
    # the last to the first. Subtracting from the total would lose the small ones.
    left = np.concatenate((_log_sum_exp(rest)[:, None], taken[:, ::-1]), axis=1)
    left = np.logaddexp.accumulate(left, axis=1)[:, :0:-1]
    there = taken > -np.inf
    propensity = np.exp(np.subtract(taken, left, out=np.full(taken.shape, -np.inf), where=there))
    return order, np.minimum(propensity, 1.0)


def _log_sum_exp(values: FloatArray) -> FloatArray:
    highest = values.max(axis=1, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        result: FloatArray = np.log(np.exp(values - highest).sum(axis=1))
    return result + highest[:, 0]
