"""Slates, place by place: no log is long enough for the weight of a whole slate.

One row a document shown, as a log has them; the value is the sum of a slate's rewards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats, as_labels, as_probabilities
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_fraction, check_same_length
from mlsd.ope._log import finite, propensities, read_unit, weights
from mlsd.ope.results import Estimate, check_mean_weight, estimate, kish

__all__ = ["cascade_ips", "position_ips"]


def position_ips(
    reward: npt.ArrayLike,
    pscore: npt.ArrayLike,
    target_prob: npt.ArrayLike,
    slate: Any,
    position: npt.ArrayLike,
    *,
    normalize: bool = False,
    unit: Any = None,
    level: float = 0.95,
) -> Estimate:
    """Return the value of a slate under a target policy from the chances of document and place.

    Each reward is weighted by how much more the target shows this document at this place: the
    item-position model. Unbiased if what a document earns at its place does not hang on the rest
    of the slate; else not, whatever the size of the log.

    Parameters
    ----------
    reward : array-like of shape (n,)
        What each document shown earned, such as a click.
    pscore : array-like of shape (n,)
        The marginal chance with which the logging policy shows this document at this place, above
        0 and up to 1.
    target_prob : array-like of shape (n,)
        The target's, 0 to 1.
    slate : array-like of shape (n,)
        The slate of each row, such as a request_id.
    position : array-like of shape (n,)
        Its place, from 1 without gaps within a slate; rows may be in any order.
    normalize : bool
        Whether the weights of each place are normalised to mean 1, as in :func:`snips`.
    unit : array-like of shape (n,), optional
        The unit of each row, such as its user; all rows of a slate have one.
    level : float
        Coverage of the interval, strictly between 0 and 1.

    Returns
    -------
    Estimate
        Its n counts slates; ess is that of the place with the least.

    Raises
    ------
    ValueError
        If the log is empty, a value is missing, infinite or not a probability, a propensity is 0,
        the places of a slate are not 1, 2, ..., a slate is of two units, or lengths differ.
    TypeError
        If values are not numbers.

    Warns
    -----
    SupportWarning
        If the mean weight of a place is too far from 1, as in :func:`ips`.
    UndefinedMetricWarning
        If there is one unit, or with `normalize` all weights of a place are 0.

    Notes
    -----
    Slates of several lengths are taken as they are: the target is to show as many as the log.

    Of 2,000 simulated logs of 300 slates of 3 of 5 documents, drawn by Plackett-Luce and clicked by
    place and document, the interval held the true value at level 0.95 in 95.0 %, and with
    `normalize` in 95.2 % (`ess` 174).

    References
    ----------
    Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen (2018), Offline evaluation of ranking
    policies with click models, KDD.

    Examples
    --------
    >>> result = position_ips([1, 0, 0, 1], [0.5] * 4, [1, 1, 0, 0.5], [7, 7, 8, 8], [1, 2, 1, 2])
    >>> print(f"{result.value} a slate, {result.n} slates")
    1.5 a slate, 2 slates
    """
    log = _read(reward, pscore, target_prob, slate, position, unit, level)
    return _value(log, log.weight, normalize, "position_ips")


def cascade_ips(
    reward: npt.ArrayLike,
    pscore: npt.ArrayLike,
    target_prob: npt.ArrayLike,
    slate: Any,
    position: npt.ArrayLike,
    *,
    normalize: bool = True,
    unit: Any = None,
    level: float = 0.95,
) -> Estimate:
    """Return the value of a slate from the chances of each document given those above it.

    The weight of a place is the product of the ratios down to it: reward interaction. Unbiased
    (without `normalize`) if what a document earns may hang on those above it, not on those below;
    where :func:`position_ips` is right too, it has less variance.

    Parameters
    ----------
    reward : array-like of shape (n,)
        As of :func:`position_ips`.
    pscore, target_prob : array-like of shape (n,)
        The chance of this document at its place given the documents above it, of the logging policy
        and of the target, such as a Plackett-Luce draw has them.
    slate, position
        As of :func:`position_ips`.
    normalize : bool
        Whether the weights of each place are normalised to mean 1, as RIPS does it.
    unit, level
        As of :func:`position_ips`.

    Returns
    -------
    Estimate
        Its n counts slates; ess is that of the place with the least, as a rule the last.

    Raises
    ------
    ValueError, TypeError
        As :func:`position_ips`.

    Warns
    -----
    SupportWarning, UndefinedMetricWarning
        As :func:`position_ips`.

    Notes
    -----
    Of 2,000 simulated logs of 300 slates of 3 of 5 documents, drawn by Plackett-Luce and clicked
    once at most, from the top down, the interval held the true value at level 0.95 in 93.7 %, and
    without `normalize` in 92.5 % (`ess` 86).

    References
    ----------
    McInerney, Brost, Chandar, Mehrotra and Carterette (2020), Counterfactual evaluation of slate
    recommendations with sequential reward interactions, KDD.

    Examples
    --------
    >>> log = [1, 0, 0, 1], [0.5] * 4, [0.75, 1, 0.25, 0.5], [7, 7, 8, 8], [1, 2, 1, 2]
    >>> print(cascade_ips(*log, normalize=False).value)
    1.0
    >>> print(f"{cascade_ips(*log).value:.4f}")
    0.8929
    """
    log = _read(reward, pscore, target_prob, slate, position, unit, level)
    ratio = log.weight.copy()
    # Rows are sorted by place: the product down a slate is one multiplication a place.
    running = np.ones(log.n)
    with np.errstate(over="ignore", invalid="ignore"):
        for start, stop in log.places:
            at = log.slate[start:stop]
            running[at] *= ratio[start:stop]
            ratio[start:stop] = running[at]
    if not np.isfinite(ratio).all():
        raise ValueError("pscore is so small that the weights of a slate overflow")
    return _value(log, ratio, normalize, "cascade_ips")


@dataclass(frozen=True, slots=True)
class _Slates:
    """Rows by place, then slate; `places` are the bounds of each place's rows."""

    reward: FloatArray
    weight: FloatArray
    slate: IntArray
    places: list[tuple[int, int]]
    n: int
    unit: IntArray | None
    level: float


def _read(
    reward: Any, pscore: Any, target_prob: Any, slate: Any, position: Any, unit: Any, level: float
) -> _Slates:
    level = check_fraction(level, "level")
    rewards = finite(reward, "reward")
    if rewards.size == 0:
        raise ValueError("reward is empty: there is no log to estimate from")
    logged = as_probabilities(pscore, "pscore")
    target = as_probabilities(target_prob, "target_prob")
    codes, labels = as_labels(slate, "slate")
    place = as_floats(position, "position")
    check_same_length(
        reward=rewards, pscore=logged, target_prob=target, slate=codes, position=place
    )
    weight = weights(target, propensities(logged))
    order = np.lexsort((codes, place))
    codes, sorted_place = codes[order], place[order]
    n = labels.size
    # Within a slate, the row that is seen as the j-th must be of place j.
    by_slate = np.argsort(codes, kind="stable")
    size = np.bincount(codes, minlength=n)
    nth = np.arange(codes.size) - np.repeat(np.cumsum(size) - size, size) + 1
    wrong = np.flatnonzero(sorted_place[by_slate] != nth)
    if wrong.size:
        one = labels[codes[by_slate[wrong[0]]]]
        raise ValueError(
            f"position must be 1, 2, ... within each slate; that of slate {one!r} is "
            f"{np.sort(place[order][codes == codes[by_slate[wrong[0]]]])[:5].tolist()}"
        )
    ends = np.cumsum(np.bincount(sorted_place.astype(np.int64))[1:]).tolist()
    places = list(zip([0, *ends[:-1]], ends, strict=True))
    groups = read_unit(unit, rewards.size)
    if groups is not None:
        groups = _unit_of_slate(groups[order], codes, n)
    return _Slates(rewards[order], weight[order], codes, places, n, groups, level)


def _unit_of_slate(unit: IntArray, slate: IntArray, n: int) -> IntArray:
    of_slate = np.empty(n, dtype=np.int64)
    of_slate[slate] = unit
    two = int(np.unique(slate[of_slate[slate] != unit]).size)
    if two:
        raise ValueError(f"unit differs within {two} of {n} slates: a slate has one unit")
    return of_slate


def _value(log: _Slates, weight: FloatArray, normalize: bool, method: str) -> Estimate:
    rows = np.zeros(log.n)
    ess, mean_weight = np.inf, 1.0
    undefined = 0
    for nth, (start, stop) in enumerate(log.places, start=1):
        at, w, r = log.slate[start:stop], weight[start:stop], log.reward[start:stop]
        mean = float(w.mean())
        check_mean_weight(w, None if log.unit is None else log.unit[at], f"weight of place {nth}")
        ess = min(ess, kish(w))
        mean_weight = max(mean_weight, mean, key=lambda value: abs(value - 1.0))
        if not normalize:
            rows[at] += w * r
        elif mean == 0.0:
            undefined += 1
        else:
            value = float(w @ r) / float(w.sum())
            rows[at] += value + w / mean * (r - value)
    message = (
        f"all weights of {undefined} of {len(log.places)} places are 0: the target shows none of "
        "the documents logged there, so that its value is undefined"
    )
    return estimate(
        rows,
        np.zeros(log.n) if undefined else np.ones(log.n),
        log.unit,
        weight=weight,
        level=log.level,
        method=method,
        ess=ess,
        mean_weight=mean_weight,
        undefined=message,
        stacklevel=5,
    )
