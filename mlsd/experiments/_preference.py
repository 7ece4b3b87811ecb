"""Which of two interleaved rankings is preferred, and how surely."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_floats
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._stats import paired_t
from mlsd._types import AnyArray, FloatArray
from mlsd._validation import check_fraction, check_same_length, warn_undefined

__all__ = ["Preference", "interleaving_test"]


@dataclass(frozen=True, slots=True)
class Preference(Result):
    """How often units prefer `b` over `a`, by sign and by size.

    Attributes
    ----------
    share : float
        Units that prefer `b` among those that prefer either, ``wins / (wins + losses)``, 0 to 1;
        nan if none does.
    lower, upper : float
        Its exact interval (Clopper and Pearson); it leaves out 1/2 exactly if `p_value` is below
        ``1 - level``.
    p_value : float
        Exact two-sided sign test of "either is preferred as often".
    wins, ties, losses : int
        Units with more credit for `b`, with the same for both, with more for `a`.
    n_silent : int
        Units without any credit: they say nothing, and are not ties.
    n_units : int
        All of them.
    delta : float
        ``(wins + ties / 2) / (wins + ties + losses) - 1/2``, -1/2 to 1/2, 0 for no preference; nan
        if all units are silent.
    difference : float
        Mean credit of `b` minus that of `a` a unit, silent ones included, in clicks a unit.
    difference_lower, difference_upper : float
        Its Student t interval; nan with fewer than two units.
    difference_p_value : float
        Two-sided t test of a mean difference of 0.
    level : float
        Coverage the intervals aim at.
    n_dropped : int
        Rows left out since they have no unit.
    """

    share: float
    lower: float
    upper: float
    p_value: float
    wins: int
    ties: int
    losses: int
    n_silent: int
    n_units: int
    delta: float
    difference: float
    difference_lower: float
    difference_upper: float
    difference_p_value: float
    level: float
    n_dropped: int = 0


def interleaving_test(
    credit_a: Any, credit_b: Any, *, unit: Any = None, level: float = 0.95
) -> Preference:
    """Return whether users prefer the second of two interleaved rankings.

    Two questions, and it pays to choose one before the data. By sign: among units that prefer
    either, do more prefer `b`? A few very active users cannot decide it. By size: does `b` get more
    credit a unit? It is the one that adds up to clicks.

    Parameters
    ----------
    credit_a, credit_b : array-like of shape (n,)
        Credit of the two in each list, of at least 0, as :meth:`Interleaved.credit` gives.
    unit : array-like of shape (n,), optional
        Who saw the list. The lists of one user resemble each other, so their credits are summed and
        a user counts once. Default: each list is a unit of its own. Rows without a unit are left
        out and counted.
    level : float, default 0.95
        Coverage of the intervals, strictly between 0 and 1.

    Returns
    -------
    Preference

    Raises
    ------
    ValueError
        If lengths differ, there are no rows, or a credit is NaN, negative or infinite.

    Warns
    -----
    UndefinedMetricWarning
        If no unit prefers either, or there are fewer than two units.

    References
    ----------
    Radlinski, Kurup and Joachims (2008), How does clickthrough data reflect retrieval quality?,
    CIKM.
    Chapelle, Joachims, Radlinski and Yue (2012), Large-scale validation and analysis of interleaved
    search evaluation, ACM Transactions on Information Systems 30(1).
    Clopper and Pearson (1934), The use of confidence or fiducial limits, Biometrika 26(4).

    Examples
    --------
    >>> found = interleaving_test([0, 1, 0, 0, 0, 2], [1, 1, 2, 1, 0, 0])
    >>> found.wins, found.ties, found.losses, found.n_silent
    (3, 1, 1, 1)
    >>> print(f"{found.share:.2f} [{found.lower:.2f}, {found.upper:.2f}], p = {found.p_value:.3f}")
    0.75 [0.19, 0.99], p = 0.625
    """
    a, b = _credit(credit_a, "credit_a"), _credit(credit_b, "credit_b")
    check_same_length(credit_a=a, credit_b=b)
    level = check_fraction(level, "level")
    n_dropped = 0
    if unit is not None:
        column = as_column(unit, "unit")
        check_same_length(credit_a=a, unit=column)
        codes, units = pd.factorize(column)
        known = codes >= 0
        n_dropped = int(codes.size - np.count_nonzero(known))
        a, b = (_sums(codes[known], credit[known], len(units)) for credit in (a, b))
    if not a.size:
        raise ValueError(f"credit_a has no rows with a unit ({n_dropped} dropped)")
    wins, losses = int((b > a).sum()), int((a > b).sum())
    silent = int(((a == 0) & (b == 0)).sum())
    ties = a.size - wins - losses - silent
    if not wins + losses:
        warn_undefined(
            f"none of {a.size} units prefers either ({ties} ties, {silent} without credit): the "
            "share is undefined"
        )
    if a.size == 1:
        warn_undefined("there is one unit: the spread of the difference is undefined")
    lower, upper, p_value = _sign_test(wins, losses, level)
    size = paired_t(b - a, level=level)
    spoken = wins + ties + losses
    return Preference(
        share=wins / (wins + losses) if wins + losses else math.nan,
        lower=lower,
        upper=upper,
        p_value=p_value,
        wins=wins,
        ties=ties,
        losses=losses,
        n_silent=silent,
        n_units=a.size,
        delta=(wins + ties / 2) / spoken - 0.5 if spoken else math.nan,
        difference=size.difference,
        difference_lower=size.lower,
        difference_upper=size.upper,
        difference_p_value=size.p_value,
        level=level,
        n_dropped=n_dropped,
    )


def _sums(codes: AnyArray, values: FloatArray, n: int) -> FloatArray:
    return np.bincount(codes, weights=values, minlength=n).astype(np.float64, copy=False)


def _credit(values: Any, name: str) -> FloatArray:
    array = as_floats(values, name)
    wrong = np.flatnonzero(~((array >= 0) & (array < np.inf)))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and not negative; {wrong.size} of {array.size} values are "
            f"not, such as {float(array[wrong[0]])!r}"
        )
    return array


def _sign_test(wins: int, losses: int, level: float) -> tuple[float, float, float]:
    """Return the exact interval of the share of wins, and the p-value of 1/2; nan without any."""
    from scipy.special import bdtr, betaincinv

    n = wins + losses
    if not n:
        return math.nan, math.nan, math.nan
    tail = (1 - level) / 2
    lower = float(betaincinv(wins, losses + 1, tail)) if wins else 0.0
    upper = float(betaincinv(wins + 1, losses, 1 - tail)) if losses else 1.0
    return lower, upper, min(1.0, 2.0 * float(bdtr(min(wins, losses), n, 0.5)))
