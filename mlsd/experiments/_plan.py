"""What a planned comparison rests on, checked once: effect, variances, design effect, tails."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlsd._validation import check_choice, check_fraction, check_number, check_positive

__all__ = ["EACH_ARM", "Plan", "as_number", "check_share", "make_plan"]

EACH_ARM = "each-arm"

# Beyond so many degrees of freedom t and normal powers agree to 1e-4, and millions are quick.
_NORMAL_FROM = 10_000.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned comparison; sizes are counted in clusters of `cluster_size` units (often 1)."""

    baseline: float
    is_share: bool  # no variance was given: the metric lies between 0 and 1
    variance: tuple[float, float] | None  # None: that of a share, in each arm at its own value
    one_sided_alpha: float
    ratio: float
    cluster_size: float
    design_effect: float
    kept: float  # share of the variance that the covariate leaves

    def variances(self, effect: float) -> tuple[float, float]:
        """Return the variance per unit of the two arms, before covariate and clusters."""
        if self.variance is not None:
            return self.variance
        after = self.baseline + effect
        return self.baseline * (1 - self.baseline), after * (1 - after)

    def power(self, clusters: float, clusters_treated: float, effect: float) -> float:
        """Return the chance of a rejection on the side of the effect."""
        from scipy.special import nctdtr, ndtr, ndtri, stdtrit

        scale = self.design_effect * self.kept / self.cluster_size
        control, treated = self.variances(effect)
        per_control = control * scale / clusters
        per_treated = treated * scale / clusters_treated
        squared = per_control + per_treated
        shift = abs(effect) / math.sqrt(squared)
        freedom = squared**2 / (
            per_control**2 / (clusters - 1) + per_treated**2 / (clusters_treated - 1)
        )
        if freedom > _NORMAL_FROM:
            return float(ndtr(shift + ndtri(self.one_sided_alpha)))
        critical = -float(stdtrit(freedom, self.one_sided_alpha))
        if shift > critical + 30.0:  # no doubt left, and the series of the noncentral t gives up
            return 1.0
        return min(1.0, max(0.0, 1.0 - float(nctdtr(freedom, shift, critical))))


def make_plan(
    baseline: float,
    *,
    alpha: float,
    alternative: str,
    relative: bool,
    variance: float | tuple[float, float] | str | None,
    variance_reduction: float,
    ratio: float,
    cluster_size: float | None,
    icc: float | None,
    cluster_cv: float,
) -> Plan:
    """Return the plan, or raise an error that names the argument."""
    baseline = as_number(baseline, "baseline")
    check_choice(alternative, "alternative", ("two-sided", "greater", "less"))
    if not isinstance(relative, bool):
        raise TypeError(f"relative must be True or False; got {relative!r}")
    if relative and baseline == 0.0:
        raise ValueError("baseline is 0: no effect is relative to it; pass relative=False")
    tail = check_fraction(alpha, "alpha") / (2 if alternative == "two-sided" else 1)
    if (cluster_size is None) != (icc is None):
        raise ValueError(
            f"cluster_size and icc go together; got cluster_size={cluster_size!r}, icc={icc!r}"
        )
    cv = as_number(cluster_cv, "cluster_cv")
    if cv < 0 or (cv > 0 and cluster_size is None):
        raise ValueError(
            f"cluster_cv must be at least 0, and 0 without cluster_size; got {cluster_cv!r}"
        )
    size, effect = 1.0, 1.0
    if cluster_size is not None and icc is not None:
        size = as_number(cluster_size, "cluster_size")
        if size < 1:
            raise ValueError(f"cluster_size must be at least 1; got {cluster_size!r}")
        effect = 1.0 + ((1.0 + cv**2) * size - 1.0) * check_share(icc, "icc")
    return Plan(
        baseline=baseline,
        is_share=variance is None or isinstance(variance, str),
        variance=_variances(baseline, variance),
        one_sided_alpha=tail,
        ratio=check_positive(ratio, "ratio"),
        cluster_size=size,
        design_effect=effect,
        kept=1.0 - _reduction(variance_reduction),
    )


def as_number(value: object, name: str) -> float:
    """Return `value` as a finite float, or raise TypeError or ValueError."""
    number = check_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite; got {value!r}")
    return number


def check_share(value: object, name: str) -> float:
    """Return `value` as a float from 0 to 1, both included."""
    number = as_number(value, name)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie between 0 and 1; got {value!r}")
    return number


def _reduction(value: object) -> float:
    number = check_share(value, "variance_reduction")
    if number == 1:
        raise ValueError("variance_reduction must be below 1: no covariate removes all variance")
    return number


def _variances(
    baseline: float, variance: float | tuple[float, float] | str | None
) -> tuple[float, float] | None:
    if variance is None or isinstance(variance, str):
        check_choice(variance, "variance", (None, EACH_ARM))
        if not 0 < baseline < 1:
            raise ValueError(
                f"baseline must be a share between 0 and 1 where no variance is given; got "
                f"{baseline!r}: pass the variance per unit of a mean or a ratio"
            )
        return None if variance == EACH_ARM else (baseline * (1 - baseline),) * 2
    if isinstance(variance, tuple | list):
        if len(variance) != 2:
            raise ValueError(f"variance must be one number or a pair; got {variance!r}")
        one, two = (check_positive(value, "variance") for value in variance)
        return one, two
    both = check_positive(variance, "variance")
    return both, both
