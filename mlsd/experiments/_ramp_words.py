"""The reasons of a ramp, as sentences with their numbers."""

from __future__ import annotations

import math

from mlsd.experiments._ramp_state import GuardCheck, RampState

__all__ = ["about_guard", "about_rollback", "about_split", "p_value", "signed"]


def about_guard(check: GuardCheck, clear_at: float) -> str:
    """Return what a guard has against going on, or an empty string."""
    if check.verdict == "warning":
        return (
            f"{check.name} changed by {signed(check.change)}, {check.z:.1f} standard errors worse "
            f"than tolerated (p {check.p_value:.2g}, rollback at {check.alpha:.2g}): a warning, "
            f"until it is below {clear_at:g}."
        )
    if check.verdict == "unknown":
        return f"{check.name} cannot be judged yet: too few units, or a control of 0."
    return ""


def about_rollback(check: GuardCheck, units: tuple[int, int], margin: float, share: float) -> str:
    """Return why a guard sends everybody back; `units` are those of control and treatment."""
    side = "below" if check.treatment < check.control else "above"
    how_far = "" if math.isnan(check.change) else f"{abs(check.change):.1%} "
    beyond = f" beyond the tolerated {margin:.1%}" if margin else ""
    return (
        f"{check.name} is {how_far}{side} the control ({check.treatment:.4g} "
        f"against {check.control:.4g}; {units[1]:,} and {units[0]:,} units), {check.z:.1f} "
        f"standard errors{beyond}: always-valid p {check.p_value:.2g} is within its "
        f"{check.alpha:.2g}, so the share goes from {share:.4g} to 0."
    )


def about_split(state: RampState, share: float, alpha: float) -> str:
    """Return what is wrong with the split of units, or an empty string."""
    if state.split < -math.log(alpha):
        return ""
    total = state.n_control + state.n_treatment
    return (
        f"Sample ratio: {state.n_treatment:,} of {total:,} units have the treatment, "
        f"{state.n_treatment / total:.2%} and not {share:.2%} (p {p_value(state.split):.2g}, limit "
        f"{alpha:.2g}): no comparison holds until that is explained."
    )


def p_value(log_of_ratio: float) -> float:
    """Return the always-valid p-value of the largest log ratio so far."""
    return math.exp(-log_of_ratio)


def signed(change: float) -> str:
    """Return a relative change in percent, with its sign."""
    return "an unknown share" if math.isnan(change) else f"{change:+.1%}"
