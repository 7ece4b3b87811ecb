"""Distances between a reference and a live sample, with what each needs to be read aright.

Thresholds do not carry over from one to the other. For a normal variable whose mean moves, PSI is
.1 at .32 standard deviations and .25 at .50; the Jensen-Shannon distance is .1 at .24 in base 2 and
at .28 in natural logarithms; Wasserstein over the standard deviation is .1 at .10; and the
Kolmogorov-Smirnov statistic is .2 at .51.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_floats, as_weights
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import check_fraction, check_positive, warn_undefined
from mlsd.drift._counts import as_counts
from mlsd.drift._effects import noncentrality
from mlsd.drift._ks import KS, ks

__all__ = ["KS", "PSI", "js_distance", "ks", "psi", "wasserstein"]

# Jeffreys' prior: what a cell is taken to have held before anything was counted.
_PSEUDO_COUNT = 0.5


@dataclass(frozen=True, slots=True)
class PSI(Result):
    """A population stability index, and what it would be by chance alone.

    Attributes
    ----------
    value : float
        The index, 0 or more; nan if a sample is empty.
    critical : float
        What it exceeds with chance `alpha` if nothing changed, at these sample sizes.
    p_value : float
        Chance of a value as large if nothing changed.
    lower, upper : float
        Interval of the index of the two populations, at `level`.
    alpha, level : float
        As asked.
    n_ref, n_live : float
        Numbers of values.
    n_cells : int
        Cells that hold a value of either sample; others say nothing and are left out.
    """

    value: float
    critical: float
    p_value: float
    lower: float
    upper: float
    alpha: float
    level: float
    n_ref: float
    n_live: float
    n_cells: int

    @property
    def ci(self) -> tuple[float, float]:
        """The interval as a pair."""
        return self.lower, self.upper


def psi(
    ref_counts: npt.ArrayLike,
    live_counts: npt.ArrayLike,
    *,
    alpha: float = 0.01,
    level: float = 0.95,
) -> PSI:
    """Return the population stability index of two histograms, with its critical value.

    With shares p of the reference and q of the live sample it is ``sum (p - q) ln(p / q)``, in
    natural logarithms: the symmetric Kullback-Leibler divergence of Jeffreys (a divergence: a shift
    twice as large gives four times as much). Every count is first raised by 1/2 (Jeffreys' prior),
    so that an empty cell does not decide: with fill-ins of .01, .0001 and .000001 the same counts
    give .23, .71 and 1.17.

    Parameters
    ----------
    ref_counts, live_counts : array-like of shape (n_cells,)
        Counts in the same cells. Take quantiles of the reference as edges, fixed before the live
        data are seen; NULL may be a cell.
    alpha : float, default 0.01
        Chance of a false alarm for which the critical value is given.
    level : float, default 0.95
        Coverage of the interval.

    Returns
    -------
    PSI
        Value, critical value, p-value, interval.

    Raises
    ------
    TypeError, ValueError
        If a count is no number, negative or not finite, shapes differ, or there are less than two
        cells.

    Warns
    -----
    UndefinedMetricWarning
        If a sample is empty: all values are nan. If all values share one cell the index is 0.

    Notes
    -----
    Without a change the index of n and m values in B cells is about ``(1/n + 1/m) χ²`` with B - 1
    degrees of freedom: with 10 cells, 50 live values exceed the customary .1 in three of four
    cases, however large the reference. With less than about 5 values a cell the half that is added
    to each pulls the index towards 0, and the critical value errs on the side of no alarm. The
    interval inverts the noncentral χ² law, with a scale from the delta method.

    References
    ----------
    Yurdakul (2018), Statistical properties of population stability index, dissertation, Western
    Michigan University. Jeffreys (1946), An invariant form for the prior probability in estimation
    problems, Proceedings of the Royal Society A 186.

    Examples
    --------
    >>> result = psi([250, 250, 250, 250], [30, 20, 28, 22])
    >>> print(f"{result.value:.3f} of {result.critical:.3f} by chance, p = {result.p_value:.2f}")
    0.026 of 0.125 by chance, p = 0.49
    """
    alpha, level = check_fraction(alpha, "alpha"), check_fraction(level, "level")
    first, second = _histograms(ref_counts, live_counts, "ref_counts", "live_counts")
    if first.size < 2:
        raise ValueError(f"ref_counts must have at least 2 cells; got {first.size}")
    n_ref, n_live = float(first.sum()), float(second.sum())
    kept = first + second > 0
    n_cells = int(np.count_nonzero(kept))
    if not (n_ref and n_live):
        sample = "ref_counts" if not n_ref else "live_counts"
        warn_undefined(f"{sample} is 0 everywhere: the index is undefined")
        nan = math.nan
        return PSI(nan, nan, nan, nan, nan, alpha, level, n_ref, n_live, n_cells)
    if n_cells == 1:
        return PSI(0.0, 0.0, 1.0, 0.0, 0.0, alpha, level, n_ref, n_live, 1)
    from scipy.special import chdtrc, chdtri

    p, q = _smoothed(first[kept]), _smoothed(second[kept])
    value = float(((p - q) * np.log(p / q)).sum())
    scale, dof = 1 / n_ref + 1 / n_live, n_cells - 1
    lower, upper = _psi_interval(p, q, n_ref, n_live, value, level)
    return PSI(
        value=value,
        critical=scale * float(chdtri(dof, alpha)),
        p_value=float(chdtrc(dof, value / scale)),
        lower=lower,
        upper=upper,
        alpha=alpha,
        level=level,
        n_ref=n_ref,
        n_live=n_live,
        n_cells=n_cells,
    )


def js_distance(p: npt.ArrayLike, q: npt.ArrayLike, *, base: float = 2) -> float:
    """Return the Jensen-Shannon distance of two histograms: the root of the divergence.

    With m = (p + q) / 2 it is ``sqrt((KL(p, m) + KL(q, m)) / 2)``, logarithms to `base`. It is a
    metric, needs no fill-in for empty cells, and runs from 0 to 1 in base 2 (to .833 in base e).

    Parameters
    ----------
    p, q : array-like of shape (n_cells,)
        Counts or shares in the same cells; each is divided by its sum.
    base : float, default 2
        Base of the logarithm, above 1. A threshold holds for one base only: the distance in base e
        is .833 times that in base 2.

    Returns
    -------
    float
        The distance; nan, with a warning, if a histogram is 0 everywhere. It is above 0 by chance:
        its square is about ``(1/n + 1/m) χ² / (8 ln base)`` with B - 1 degrees of freedom if
        nothing changed.

    Raises
    ------
    TypeError, ValueError
        If an entry is no number, negative or not finite, shapes differ, or `base` is not above 1.

    References
    ----------
    Endres and Schindelin (2003), A new metric for probability distributions, IEEE Transactions on
    Information Theory 49(7).

    Examples
    --------
    >>> js_distance([1, 0], [0, 1])
    1.0
    >>> round(js_distance([50, 30, 20], [40, 30, 30]), 4)
    0.1062
    """
    base = check_positive(base, "base")
    if base <= 1:
        raise ValueError(f"base must be above 1; got {base!r}")
    first, second = _histograms(p, q, "p", "q")
    for counts, name in ((first, "p"), (second, "q")):
        if not counts.any():
            warn_undefined(f"{name} is 0 everywhere: the distance is undefined")
            return math.nan
    from scipy.special import rel_entr

    first, second = first / first.sum(), second / second.sum()
    middle = (first + second) / 2
    divergence = float((rel_entr(first, middle) + rel_entr(second, middle)).sum()) / 2
    return math.sqrt(min(max(divergence / math.log(base), 0.0), math.log(2) / math.log(base)))


def wasserstein(
    ref: npt.ArrayLike,
    live: npt.ArrayLike,
    *,
    ref_weights: npt.ArrayLike | None = None,
    live_weights: npt.ArrayLike | None = None,
    standardize: bool = False,
) -> float:
    """Return the first Wasserstein distance: how far values must move on average to fit.

    It is the area between the two distribution functions, in units of the values, from 0 upwards. A
    shift by d gives d. One value of a million among 20,000 gives 50: a distance of values, not of
    ranks, follows outliers.

    Parameters
    ----------
    ref, live : array-like of shape (n,) and (m,)
        Finite values of the two samples.
    ref_weights, live_weights : array-like, optional
        How much every value counts, such as counts of a histogram whose centres are the values.
    standardize : bool, default False
        Divide by the standard deviation of the reference, so that columns compare.

    Returns
    -------
    float
        The distance; nan, with a warning, if a sample is empty or, with `standardize`, the
        reference does not vary.

    Raises
    ------
    TypeError, ValueError
        If a value is no number, NaN or infinite, or weights do not fit.

    References
    ----------
    Vallender (1974), Calculation of the Wasserstein distance between probability distributions on
    the line, Theory of Probability and its Applications 18(4).

    Examples
    --------
    >>> wasserstein([0, 1, 3], [5, 6, 8])
    5.0
    >>> wasserstein([0, 1], [0, 1], ref_weights=[3, 1], live_weights=[1, 3])
    0.5
    """
    values, weights = [], []
    for sample, weight, name in (
        (ref, ref_weights, "ref"),
        (live, live_weights, "live"),
    ):
        values.append(_finite(sample, name))
        weights.append(as_weights(weight, f"{name}_weights", values[-1].size))
        if not values[-1].size:
            warn_undefined(f"{name} is empty: the distance is undefined")
            return math.nan
    unit = 1.0
    if standardize:
        mean = np.average(values[0], weights=weights[0])
        unit = math.sqrt(float(np.average((values[0] - mean) ** 2, weights=weights[0])))
        if values[0].min() == values[0].max():
            warn_undefined("ref does not vary: the standardised distance is undefined")
            return math.nan
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(*values, *weights)) / unit


def _psi_interval(
    p: FloatArray, q: FloatArray, n_ref: float, n_live: float, value: float, level: float
) -> tuple[float, float]:
    """Return the ends of the interval of the index.

    Over a scale s the index is about noncentral χ². Near 0 the scale is 1/n + 1/m; further off the
    delta method knows better, and its variance is 4 s times the index. It agrees near 0.
    """
    variance = 0.0
    for one, other, n in ((p, q, n_ref), (q, p, n_live)):
        slope = np.log(one / other) + 1 - other / one
        variance += float((one * slope**2).sum() - (one * slope).sum() ** 2) / n
    scale = variance / (4 * value) if value > 1e-12 else 1 / n_ref + 1 / n_live
    shares = np.array([0.5 - level / 2, 0.5 + level / 2])
    stat, dof = np.full(2, value / scale), np.full(2, p.size - 1.0)
    lower, upper = (scale * noncentrality(stat, dof, shares)).tolist()
    return lower, upper


def _histograms(
    first: npt.ArrayLike, second: npt.ArrayLike, name: str, other_name: str
) -> tuple[FloatArray, FloatArray]:
    one, two = as_counts(first, name), as_counts(second, other_name)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(
            f"{name} and {other_name} must be one-dimensional, of one length; "
            f"got shapes {one.shape} and {two.shape}"
        )
    return one, two


def _smoothed(counts: FloatArray) -> FloatArray:
    raised = counts + _PSEUDO_COUNT
    return np.asarray(raised / raised.sum())


def _finite(values: npt.ArrayLike, name: str) -> FloatArray:
    array = as_floats(values, name)
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite; {wrong.size} of {array.size} values are not, such as "
            f"{float(array[wrong[0]])!r} at position {wrong[0]}"
        )
    return array
