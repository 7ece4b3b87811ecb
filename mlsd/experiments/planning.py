"""How many units an experiment needs, what it can see, and how many weeks that takes.

All of it speaks of one comparison of two arms by a Welch t test: of means, of shares, or of ratios
by their variance per unit. The four functions answer one equation for one unknown each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlsd._results import Result
from mlsd._validation import check_fraction, check_positive, warn_undefined
from mlsd.experiments._duration import Duration, duration
from mlsd.experiments._plan import Plan, as_number, make_plan

__all__ = [
    "Duration",
    "SampleSize",
    "duration",
    "minimum_detectable_effect",
    "power",
    "sample_size",
]

# More units than there are people many times over: no experiment of that size is run.
_MOST = 10**15


@dataclass(frozen=True, slots=True)
class SampleSize(Result):
    """The units that a comparison needs.

    Attributes
    ----------
    control, treatment : int
        Units of each arm; whole clusters where there are clusters.
    total : int
        Both arms together.
    effect : float
        The effect it is made for, in the units of the metric.
    lift : float
        The same relative to the size of the baseline; nan where the baseline is 0.
    power : float
        Chance of finding that effect with so many units: at least what was asked for.
    alpha : float
        Chance of a false alarm, over both sides unless the test has one.
    variance_control, variance_treatment : float
        Variance per unit that was reckoned with, after the covariate, before clusters.
    design_effect : float
        By how much clusters multiply the variance; 1 without clusters.
    clusters_control, clusters_treatment : int
        Clusters of each arm; the units themselves without clusters.
    """

    control: int
    treatment: int
    total: int
    effect: float
    lift: float
    power: float
    alpha: float
    variance_control: float
    variance_treatment: float
    design_effect: float
    clusters_control: int
    clusters_treatment: int


def sample_size(
    baseline: float,
    mde: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    relative: bool = True,
    alternative: str = "two-sided",
    variance: float | tuple[float, float] | str | None = None,
    variance_reduction: float = 0.0,
    ratio: float = 1.0,
    cluster_size: float | None = None,
    icc: float | None = None,
    cluster_cv: float = 0.0,
) -> SampleSize:
    """Return the smallest arms that find an effect of size `mde` with the given power.

    For large arms this is ``n = (z_alpha + z_power)² (var_c + var_t / ratio) / mde²`` units of
    control, with ``z_alpha`` of one side; for small ones the noncentral t distribution takes the
    place of the normal. A rejection counts only on the side of the effect.

    Parameters
    ----------
    baseline : float
        Value of the metric without the change: a share, a mean, or a ratio.
    mde : float
        Least effect worth finding, not 0; its sign is its direction. For a guardrail put the
        margin here, with ``alternative="less"``: that is the size at which no change at all is
        shown to be no worse than the margin.
    power : float
        Chance to find an effect of that size, inside (0, 1) and above the chance of a false alarm.
    alpha : float
        Chance of a false alarm, inside (0, 1).
    relative : bool
        Whether `mde` is a share of the size of `baseline` (0.01 is +1 %) or in the metric's units.
    alternative : {"two-sided", "greater", "less"}
        What the test looks for; "greater" needs a positive `mde`, "less" a negative one.
    variance : float, pair of floats, "each-arm" or None
        Variance per unit of the randomised unit: of the values for a mean, of
        ``(numerator - R * denominator) / mean(denominator)`` for a ratio R (the delta method). A
        pair is (control, treatment). None means a share whose variance is
        ``baseline (1 - baseline)`` in both arms, the textbook's formula; "each-arm" takes that of
        each arm at its own share, which matters where the effect is large: from 5 % to 10 % it asks
        for 45 % more units.
    variance_reduction : float
        Share of the variance that a covariate removes, in [0, 1): the squared correlation for
        CUPED.
    ratio : float
        Units of treatment for each unit of control.
    cluster_size, icc : float or None
        Mean units of a cluster and the correlation within it, where clusters are randomised.
    cluster_cv : float
        Standard deviation of the cluster sizes over their mean.

    Returns
    -------
    SampleSize
        Units of each arm, and what they rest on. With clusters, ``design_effect = 1 + ((1 + cv²) m
        - 1) icc``, arms hold whole clusters, and the t has as many degrees of freedom as clusters.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no number of units below 1e15 is enough.

    References
    ----------
    Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, chapter 2; Deng, Knoblich
    and Lu (2018), Applying the delta method in metric analytics, KDD; Deng et al. (2013), CUPED,
    WSDM; Eldridge, Ashby and Kerry (2006), Sample size for cluster randomized trials, International
    Journal of Epidemiology 35(5).

    Examples
    --------
    A click-through rate of 5 %, of which a hundredth more is worth having:

    >>> sample_size(0.05, 0.01).control
    2982575
    >>> sample_size(0.05, 0.01, variance_reduction=0.5).control
    1491288
    >>> sample_size(0.05, 0.05, relative=False).control, sample_size(
    ...     0.05, 0.05, relative=False, variance="each-arm").control
    (300, 433)
    """
    plan = make_plan(
        baseline,
        alpha=alpha,
        alternative=alternative,
        relative=relative,
        variance=variance,
        variance_reduction=variance_reduction,
        ratio=ratio,
        cluster_size=cluster_size,
        icc=icc,
        cluster_cv=cluster_cv,
    )
    effect = _effect(plan, mde, relative, alternative)
    wanted = check_fraction(power, "power")
    if wanted <= plan.one_sided_alpha:
        raise ValueError(
            f"power must be above the chance of a false alarm on one side, "
            f"{plan.one_sided_alpha:g}; got {power!r}"
        )

    def reached(clusters: int) -> float:
        return plan.power(clusters, _treated(plan, clusters), effect)

    least = max(2, math.ceil(1 / plan.ratio + 1e-9))  # two clusters or units in either arm
    clusters = _smallest(lambda n: reached(n) >= wanted, least)
    treated = _treated(plan, clusters)
    control, treatment = (math.ceil(n * plan.cluster_size) for n in (clusters, treated))
    variances = plan.variances(effect)
    return SampleSize(
        control=control,
        treatment=treatment,
        total=control + treatment,
        effect=effect,
        lift=effect / abs(plan.baseline) if plan.baseline else math.nan,
        power=reached(clusters),
        alpha=float(alpha),
        variance_control=variances[0] * plan.kept,
        variance_treatment=variances[1] * plan.kept,
        design_effect=plan.design_effect,
        clusters_control=clusters,
        clusters_treatment=treated,
    )


def power(
    n: float,
    baseline: float,
    mde: float,
    *,
    alpha: float = 0.05,
    relative: bool = True,
    alternative: str = "two-sided",
    variance: float | tuple[float, float] | str | None = None,
    variance_reduction: float = 0.0,
    ratio: float = 1.0,
    cluster_size: float | None = None,
    icc: float | None = None,
    cluster_cv: float = 0.0,
) -> float:
    """Return the chance that a comparison finds an effect of size `mde`.

    Parameters
    ----------
    n : float
        Units of control, at least two, or two clusters; treatment has ``ratio * n``.
    baseline, mde, alpha, relative, alternative, variance, variance_reduction, ratio, \
cluster_size, icc, cluster_cv
        As of :func:`sample_size`.

    Returns
    -------
    float
        Power, 0 to 1. A rejection on the wrong side is no find, so that as the effect goes to 0
        the power goes to ``alpha / 2`` of a two-sided test.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> round(power(2_982_575, 0.05, 0.01), 4)
    0.8
    >>> round(power(1_000_000, 0.05, 0.01), 4)
    0.3678
    """
    plan = make_plan(
        baseline,
        alpha=alpha,
        alternative=alternative,
        relative=relative,
        variance=variance,
        variance_reduction=variance_reduction,
        ratio=ratio,
        cluster_size=cluster_size,
        icc=icc,
        cluster_cv=cluster_cv,
    )
    clusters, treated = _arms(plan, n)
    return plan.power(clusters, treated, _effect(plan, mde, relative, alternative))


def minimum_detectable_effect(
    n: float,
    baseline: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    relative: bool = True,
    alternative: str = "two-sided",
    variance: float | tuple[float, float] | str | None = None,
    variance_reduction: float = 0.0,
    ratio: float = 1.0,
    cluster_size: float | None = None,
    icc: float | None = None,
    cluster_cv: float = 0.0,
) -> float:
    """Return the smallest effect that `n` units of control find with the given power.

    Parameters
    ----------
    n : float
        Units of control, at least two, or two clusters; treatment has ``ratio * n``.
    baseline, power, alpha, relative, alternative, variance, variance_reduction, ratio, \
cluster_size, icc, cluster_cv
        As of :func:`sample_size`.

    Returns
    -------
    float
        Effect, a share of the baseline's size if `relative`, positive unless `alternative` is
        "less". nan with a warning where even the largest share (1, or 0 for "less") is not found,
        which can only be with ``variance="each-arm"``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> round(minimum_detectable_effect(1_000_000, 0.05), 4)
    0.0173
    """
    plan = make_plan(
        baseline,
        alpha=alpha,
        alternative=alternative,
        relative=relative,
        variance=variance,
        variance_reduction=variance_reduction,
        ratio=ratio,
        cluster_size=cluster_size,
        icc=icc,
        cluster_cv=cluster_cv,
    )
    wanted = check_fraction(power, "power")
    if wanted <= plan.one_sided_alpha:
        raise ValueError(
            f"power must be above the chance of a false alarm on one side, "
            f"{plan.one_sided_alpha:g}; got {power!r}"
        )
    clusters, treated = _arms(plan, n)
    sign = -1.0 if alternative == "less" else 1.0

    def gap(size: float) -> float:
        return plan.power(clusters, treated, sign * size) - wanted

    if plan.variance is None:
        most = plan.baseline if sign < 0 else 1.0 - plan.baseline
        if gap(most) < 0:
            warn_undefined(
                f"n={n:g}: no share {'below' if sign < 0 else 'above'} {plan.baseline:g} is found "
                f"with power {wanted:g}; the least effect is undefined"
            )
            return math.nan
    else:
        most = math.sqrt(sum(plan.variance))
        while gap(most) < 0:
            most *= 2.0
    size = _root(gap, most)
    return sign * (size / abs(plan.baseline) if relative else size)


def _effect(plan: Plan, mde: object, relative: bool, alternative: str) -> float:
    """Return the effect in the units of the metric."""
    effect = as_number(mde, "mde") * (abs(plan.baseline) if relative else 1.0)
    if effect == 0.0:
        raise ValueError(f"mde must not be 0: no number of units finds nothing; got {mde!r}")
    if alternative != "two-sided" and (effect > 0) != (alternative == "greater"):
        raise ValueError(f"mde={mde!r} lies on the side that alternative={alternative!r} leaves")
    if plan.is_share and not 0 <= plan.baseline + effect <= 1:
        raise ValueError(
            f"mde={mde!r} takes the share from {plan.baseline:g} to {plan.baseline + effect:g}, "
            "which is not between 0 and 1"
        )
    return effect


def _treated(plan: Plan, clusters: int) -> int:
    # A product such as 0.1 * 30 lies a hair above its integer.
    return max(2, math.ceil(plan.ratio * clusters - 1e-9 * clusters))


def _arms(plan: Plan, n: object) -> tuple[float, float]:
    """Return the clusters of the arms, of which each has two at least."""
    clusters = check_positive(n, "n") / plan.cluster_size
    if min(clusters, plan.ratio * clusters) < 2:
        unit = "units" if plan.cluster_size == 1 else f"clusters of {plan.cluster_size:g} units"
        raise ValueError(
            f"n={n!r} and ratio={plan.ratio:g} leave an arm with fewer than two {unit}"
        )
    return clusters, plan.ratio * clusters


def _smallest(enough: Callable[[int], bool], least: int) -> int:
    """Return the smallest integer from `least` on that is enough; more is never worse."""
    high = least
    while not enough(high):
        if high > _MOST:
            raise ValueError(f"mde is so small against the variance that {_MOST:.0e} units fail it")
        high *= 2
    low = max(least - 1, high // 2)  # not enough, or below the least
    if high == least:
        return least
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _root(gap: Callable[[float], float], most: float) -> float:
    from scipy.optimize import brentq

    found: Any = brentq(gap, 0.0, most, xtol=1e-300, rtol=1e-12)
    return float(found)
