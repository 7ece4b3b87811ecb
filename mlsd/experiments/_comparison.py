"""The result of comparing two arms, and how intervals and p-value come from its estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._validation import check_choice, check_fraction, warn_undefined
from mlsd.experiments._arms import Arm, estimate
from mlsd.experiments._intervals import (
    check_margin,
    difference_interval,
    lift_interval,
    t_quantile,
    tail,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Comparison", "compare_arms"]

ALTERNATIVES = ("two-sided", "greater", "less")


@dataclass(frozen=True, slots=True)
class Comparison(Result):
    """The treatment against the control: difference, lift, intervals and p-value.

    Attributes
    ----------
    control, treatment : float
        Values of the arms: means, or ratios of sums. With a covariate they are adjusted: both
        moved to the mean covariate of all units.
    difference : float
        ``treatment - control``, in the units of the metric.
    lower, upper : float
        Ends of its interval; infinite on the open side of a one-sided one.
    stderr : float
        Its standard error.
    p_value : float
        Of the null hypothesis that `alternative`, `margin` and `relative` state.
    df : float
        Degrees of freedom of Student's t (Welch and Satterthwaite).
    lift : float
        ``difference / |control|``: 0.01 is one percent more. nan if the control is 0.
    lift_lower, lift_upper : float
        Ends of its interval by Fieller's theorem. Both are infinite where the control itself is
        not told from 0; else it holds 0 exactly where the interval of the difference does.
    n_control, n_treatment : int
        Units.
    level : float
        Coverage of the intervals.
    method : str
        "Welch" for means or "delta" for ratios; ", CUPED" if a covariate was taken out.
    alternative : str
        "two-sided", "greater" or "less".
    margin : float
        Loss that is tolerated; see :func:`compare_means`.
    relative : bool
        Whether the margin is a share of the control's value.
    variance_reduction : float
        Share of the variance of the difference that the covariate took away; 0 without one. With
        v, the same precision without the covariate would take ``1 / (1 - v)`` times the units.
    theta : float
        Slope on the covariate; 0 without one.
    control_stderr, treatment_stderr, covariance : float
        Standard errors of the two values, and the covariance of their errors, which is not 0
        when both were adjusted by one covariate.
    metric, control_name, treatment_name : str
        What is compared.
    """

    control: float
    treatment: float
    difference: float
    lower: float
    upper: float
    stderr: float
    p_value: float
    df: float
    lift: float
    lift_lower: float
    lift_upper: float
    n_control: int
    n_treatment: int
    level: float
    method: str
    alternative: str
    margin: float
    relative: bool
    variance_reduction: float
    theta: float
    control_stderr: float
    treatment_stderr: float
    covariance: float
    metric: str = ""
    control_name: str = "control"
    treatment_name: str = "treatment"

    def test(
        self,
        *,
        level: float | None = None,
        alternative: str | None = None,
        margin: float | None = None,
        relative: bool | None = None,
    ) -> Comparison:
        """Return the same estimates under another hypothesis or level; None keeps what was.

        Parameters
        ----------
        level, alternative, margin, relative
            As of :func:`compare_means`.

        Returns
        -------
        Comparison

        Raises
        ------
        ValueError
            As :func:`compare_means` does.

        Examples
        --------
        >>> from mlsd.experiments import compare_means
        >>> two_sided = compare_means([1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 5.0, 3.0])
        >>> print(f"{two_sided.p_value:.3f} {two_sided.test(alternative='greater').p_value:.3f}")
        0.315 0.158
        """
        return _concluded(
            replace(
                self,
                level=self.level if level is None else check_fraction(level, "level"),
                alternative=self.alternative if alternative is None else alternative,
                margin=self.margin if margin is None else margin,
                relative=self.relative if relative is None else relative,
            )
        )

    def plot(self, ax: Axes | None = None, *, relative: bool = True) -> Axes:
        """Draw the lift, or the difference, with its interval and a line at 0.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; None makes a new figure.
        relative : bool
            The lift in percent; False draws the difference.

        Returns
        -------
        Axes
        """
        from mlsd import plotting

        row = pd.DataFrame(
            {
                "mean": [100 * self.lift if relative else self.difference],
                "lower": [100 * self.lift_lower if relative else self.lower],
                "upper": [100 * self.lift_upper if relative else self.upper],
            },
            index=[self.metric or f"{self.treatment_name} against {self.control_name}"],
        )
        axes = plotting.intervals(row, ax)
        axes.axvline(0, linestyle=":", color="0.5")
        axes.set_xlabel("lift in %" if relative else "difference")
        return axes

    def _note(self) -> str:
        return (
            f"{self.treatment_name} against {self.control_name}: {self.difference:+.4g}, "
            f"{self.level:.0%} interval {self.lower:.4g} to {self.upper:.4g}, p = "
            f"{self.p_value:.2g}"
        )


def compare_arms(
    control: Arm,
    treatment: Arm,
    *,
    method: str,
    relative: bool,
    level: float,
    alternative: str,
    margin: float,
    names: tuple[str, str, str] = ("", "control", "treatment"),
    stacklevel: int = 4,
) -> Comparison:
    """Return the comparison of two arms that were brought to means over units."""
    for arm, name in ((control, names[1]), (treatment, names[2])):
        if not arm.n:
            raise ValueError(f"{name} has no unit: there is nothing to compare")
    found = estimate(control, treatment)
    nan = math.nan
    return _concluded(
        Comparison(
            control=found.control,
            treatment=found.treatment,
            difference=found.treatment - found.control,
            lower=nan,
            upper=nan,
            stderr=found.stderr,
            p_value=nan,
            df=found.df,
            lift=nan,
            lift_lower=nan,
            lift_upper=nan,
            n_control=found.n_control,
            n_treatment=found.n_treatment,
            level=check_fraction(level, "level"),
            method=method,
            alternative=alternative,
            margin=margin,
            relative=relative,
            variance_reduction=found.variance_reduction,
            theta=found.theta,
            control_stderr=found.control_stderr,
            treatment_stderr=found.treatment_stderr,
            covariance=found.covariance,
            metric=names[0],
            control_name=names[1],
            treatment_name=names[2],
        ),
        stacklevel=stacklevel,
    )


def _concluded(found: Comparison, *, stacklevel: int = 3) -> Comparison:
    """Return the comparison with intervals and p-value made anew from its estimates."""
    check_choice(found.alternative, "alternative", ALTERNATIVES)
    if not isinstance(found.relative, (bool, np.bool_)):
        raise TypeError(f"relative must be True or False; got {found.relative!r}")
    margin = check_margin(found.margin, found.alternative)
    reason = _undefined(found)
    if reason:
        warn_undefined(f"{_prefix(found)}{reason}", stacklevel=stacklevel + 1)
    # Without spread there is no interval: a t of 0 or infinity would be an answer to nothing.
    df = found.df if found.stderr > 0.0 else math.nan
    quantile = t_quantile(df, found.level, found.alternative)
    lower, upper = difference_interval(found.difference, found.stderr, quantile, found.alternative)
    variances = found.control_stderr**2, found.treatment_stderr**2, found.covariance
    lift_lower, lift_upper = lift_interval(
        found.control, found.treatment, variances, quantile, found.alternative
    )
    return replace(
        found,
        lower=lower,
        upper=upper,
        p_value=tail(_statistic(found, margin), df, found.alternative),
        lift=found.difference / abs(found.control) if found.control else math.nan,
        lift_lower=lift_lower,
        lift_upper=lift_upper,
        margin=margin,
    )


def _statistic(found: Comparison, margin: float) -> float:
    """Return how many standard errors the treatment is from where the null hypothesis has it."""
    loss = -margin if found.alternative == "greater" else margin
    if not found.relative:
        distance, error = found.difference - loss, found.stderr
    elif not found.control:
        return math.nan
    else:
        # Where the treatment's value would be: the control's, moved by the margin.
        ratio = 1.0 + math.copysign(loss, loss * found.control)
        distance = found.difference - (ratio - 1.0) * found.control
        error = math.sqrt(
            max(
                found.treatment_stderr**2
                - 2.0 * ratio * found.covariance
                + (ratio * found.control_stderr) ** 2,
                0.0,
            )
        )
    return distance / error if error > 0.0 else math.copysign(math.inf, distance)


def _prefix(found: Comparison) -> str:
    return f"{found.metric}: " if found.metric else ""


def _undefined(found: Comparison) -> str:
    """Return why there is no p-value, or an empty string."""
    for value, name in (
        (found.control, found.control_name),
        (found.treatment, found.treatment_name),
    ):
        if math.isnan(value):
            return f"the denominators of {name} sum to 0: its ratio and all that follows is nan"
    for n, name in (
        (found.n_control, found.control_name),
        (found.n_treatment, found.treatment_name),
    ):
        if n < 2:
            return f"{name} has one unit, whose spread is unknown: interval and p-value are nan"
    if not found.stderr > 0.0:
        if found.variance_reduction:
            return (
                "the covariate leaves no variance: interval and p-value are nan; is it the metric "
                "itself, and not from before the experiment?"
            )
        return "the metric is constant in both arms: interval and p-value are nan"
    if found.relative and not found.control:
        return f"{found.control_name} is 0: there is no lift"
    return ""
