"""A guardrail: is the treatment worse than the control by more than a margin?"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlsd._results import Result
from mlsd._validation import check_fraction
from mlsd.experiments._plan import as_number
from mlsd.experiments.comparison import Comparison

__all__ = ["Guardrail", "check_margin", "guardrail", "judged", "shown"]


@dataclass(frozen=True, slots=True)
class Guardrail(Result):
    """Whether a metric that must not get worse has held.

    Attributes
    ----------
    metric : str
        Its name.
    verdict : {"held", "broken", "unclear"}
        "held": a loss as large as the margin is ruled out. "broken": a loss no larger than the
        margin is ruled out. Else "unclear", which is no proof of safety.
    margin : float
        Loss that is tolerated.
    loss : float
        Loss that was estimated; below 0 it is a gain. Shares of the control where `relative`.
    least_loss, most_loss : float
        One-sided bounds of the loss, each at ``1 - alpha``.
    p_held, p_broken : float
        P-values of "the loss is as large as the margin" and of "it is no larger"; nan with the
        always-valid test, which gives bounds.
    alpha : float
        Chance to call held what is not, and the same for broken.
    relative, lower_is_better : bool
        Units of the margin, and which side is worse.
    reason : str
        The verdict in a sentence.
    """

    metric: str
    verdict: str
    margin: float
    loss: float
    least_loss: float
    most_loss: float
    p_held: float
    p_broken: float
    alpha: float
    relative: bool
    lower_is_better: bool
    reason: str

    @property
    def passed(self) -> bool:
        """Whether the verdict is "held"."""
        return self.verdict == "held"

    def _note(self) -> str:
        return self.reason


def guardrail(
    comparison: Comparison,
    margin: float,
    *,
    alpha: float = 0.025,
    lower_is_better: bool = False,
    relative: bool | None = None,
) -> Guardrail:
    """Test that a metric is not worse by as much as a margin (non-inferiority).

    That no loss was found does not show that there is none: a small experiment finds nothing. So
    the burden is turned around: the guardrail holds once a loss as large as the margin is ruled
    out. How many units that takes says :func:`sample_size` with the margin as `mde` and
    ``alternative="less"``.

    Parameters
    ----------
    comparison : Comparison
        The metric in both arms, of :func:`compare_means` or of a report.
    margin : float
        Loss that is tolerated, at least 0, chosen before the data. 0 asks for proof of a gain.
    alpha : float
        Chance to call held what is not, one-sided. With several guardrails that must all hold it
        needs no adjustment: shipping a harm takes an error on that very one.
    lower_is_better : bool
        Whether less is better, as for latency.
    relative : bool, optional
        Whether the margin is a share of the control's value; by default as in the comparison.

    Returns
    -------
    Guardrail
        Verdict, bounds of the loss and a sentence. Where the metric has no interval the verdict is
        "unclear".

    Raises
    ------
    TypeError
        If `comparison` is no Comparison.
    ValueError
        If `margin` is negative or not finite, or `alpha` is out of range.

    References
    ----------
    Schuirmann (1987), A comparison of the two one-sided tests procedure, Journal of
    Pharmacokinetics and Biopharmaceutics 15(6); Kohavi, Tang and Xu (2020), Trustworthy Online
    Controlled Experiments, chapters 7 and 18.

    Examples
    --------
    >>> from mlsd.experiments.comparison import compare_means
    >>> from mlsd.experiments.moments import Moments
    >>> sessions = compare_means(Moments(40_000, 3.00, 4.0), Moments(40_000, 2.99, 4.0))
    >>> guardrail(sessions, 0.05).verdict, guardrail(sessions, 0.02).verdict
    ('held', 'unclear')
    """
    if not isinstance(comparison, Comparison):
        raise TypeError(f"comparison must be a Comparison; got {type(comparison).__name__}")
    tolerated = check_margin(margin)
    level = 1.0 - check_fraction(alpha, "alpha")
    share = comparison.relative if relative is None else relative
    good, bad = ("less", "greater") if lower_is_better else ("greater", "less")
    held = comparison.test(level=level, alternative=good, margin=tolerated, relative=share)
    # The same hypothesis from its other side: a loss above the margin.
    broken = comparison.test(level=level, alternative=bad, margin=-tolerated, relative=share)
    above = held if good == "greater" else broken
    below = broken if good == "greater" else held
    effect = comparison.lift if share else comparison.difference
    lower = above.lift_lower if share else above.lower
    upper = below.lift_upper if share else below.upper
    if lower_is_better:
        loss, least, most = effect, lower, upper
    else:
        loss, least, most = -effect, -upper, -lower
    if held.p_value <= alpha:
        verdict = "held"
    else:
        verdict = "broken" if broken.p_value <= alpha else "unclear"
    return judged(
        comparison.metric,
        verdict,
        margin=tolerated,
        losses=(loss, least, most),
        p_values=(held.p_value, broken.p_value),
        alpha=float(alpha),
        relative=bool(share),
        lower_is_better=bool(lower_is_better),
    )


def judged(
    metric: str,
    verdict: str,
    *,
    margin: float,
    losses: tuple[float, float, float],
    p_values: tuple[float, float],
    alpha: float,
    relative: bool,
    lower_is_better: bool,
) -> Guardrail:
    """Return the guardrail with its sentence."""
    loss, least, most = losses
    name = metric or "the metric"
    limit, so_far = shown(margin, relative), shown(loss, relative)
    if verdict == "held" and most < 0:
        # A negative loss is not how anybody would say it.
        gain = f"a gain of at least {shown(-most, relative)}"
        reason = f"{name} held: {gain}, where a loss of {limit} is tolerated"
    elif verdict == "held":
        reason = (
            f"{name} held: the loss is at most {shown(most, relative)}, below the margin {limit}"
        )
    elif verdict == "broken":
        reason = (
            f"{name} is broken: the loss is at least {shown(least, relative)}, above the margin "
            f"{limit}"
        )
    elif math.isnan(loss + least + most):
        reason = f"{name} is unclear: its loss has no interval"
    else:
        reason = (
            f"{name} is unclear: the loss is {so_far}, and may be from {shown(least, relative)} to "
            f"{shown(most, relative)}, on both sides of the margin {limit}"
        )
    return Guardrail(
        metric, verdict, margin, loss, least, most, *p_values, alpha, relative, lower_is_better,
        reason,
    )  # fmt: skip


def shown(value: float, relative: bool) -> str:
    """Return an effect as it stands in a sentence."""
    return f"{100 * value:.3g} %" if relative else f"{value:.4g}"


def check_margin(margin: object, name: str = "margin") -> float:
    """Return a loss that is tolerated as a float of at least 0, or raise."""
    value = as_number(margin, name)
    if value < 0:
        raise ValueError(f"{name} must be at least 0, the loss that is tolerated; got {margin!r}")
    return value
