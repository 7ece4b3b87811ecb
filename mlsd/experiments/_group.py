"""Group-sequential boundaries: a few looks that together make alpha false alarms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import FloatArray
from mlsd._validation import check_choice, check_fraction, check_positive, check_positive_int
from mlsd.experiments._plan import as_number
from mlsd.experiments._recursion import Walk, crossings, root
from mlsd.experiments._spending import SPENDING, alpha_spent, as_fractions, boundary

__all__ = ["GroupSequential", "SequentialLook"]


@dataclass(frozen=True, slots=True)
class SequentialLook(Result):
    """What one look of a group-sequential test says.

    Attributes
    ----------
    look : int
        Number of the look, from 1.
    fraction : float
        Information it has, of that planned.
    z, bound : float
        Statistic, and what it must reach; with two sides its size must.
    verdict : {"reject", "continue", "end"}
        "end": the last look, and no difference was shown.
    spent : float
        Chance of a false alarm up to and including this look.
    estimate, lower, upper : float
        Difference, and its repeated confidence interval, ``estimate -+ bound * stderr``: it covers
        at all looks at once, so it may be read whether one stops or goes on. It is wider than need
        be once one has stopped by the rule.
    p_value : float
        Stagewise p-value, once the test has stopped, else nan.
    adjusted, adjusted_lower, adjusted_upper : float
        Median-unbiased estimate and interval of the stagewise order, once the test has stopped,
        else nan. The plain estimate is too large, on average, where a test stops early.
    """

    look: int
    fraction: float
    z: float
    bound: float
    verdict: str
    spent: float
    estimate: float
    lower: float
    upper: float
    p_value: float
    adjusted: float
    adjusted_lower: float
    adjusted_upper: float


@dataclass(frozen=True, slots=True, eq=False)
class GroupSequential(Result):
    """A test that is looked at a few times, at boundaries that keep the chance of a false alarm.

    The spending function says how much of alpha may be used by a share of the information (units,
    as long as their variance stays). The boundary of a look follows from the looks that were in
    fact made, so that their number and times may depart from the plan, as long as **they are not
    chosen by what the data show**: :meth:`observed` takes skipped, moved and late looks.

    Parameters
    ----------
    looks : int or array-like of shape (k,)
        Number of looks, equally spaced; or the fractions of the planned information, rising to 1.
    alpha : float
        Chance of a false alarm over all looks and, with two of them, over both sides.
    spending : {"obrien-fleming", "pocock", "hwang-shih-decani"}
        "obrien-fleming" spends next to nothing early and costs little; "pocock" spends nearly
        evenly, stops earlier, and costs more; the third lies where `gamma` puts it. The first two
        are the functions of Lan and DeMets, whose boundaries come close to those of the names.
    gamma : float
        Of "hwang-shih-decani": -4 is near the first, 1 near the second, 0 spends evenly.
    alternative : {"two-sided", "greater", "less"}
        Sides of the test. A one-sided test has no lower boundary: going on is allowed.

    Attributes
    ----------
    fractions, bounds, spent : ndarray of shape (k,)
        Information, boundary of z, and alpha spent, up to each look. A bound whose look may spend
        less than 1e-15 is that of the look alone, a little too strict.
    ended : bool
        Whether the last of the looks is final: it spends what is left of alpha.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, fractions do not rise by at least 1e-4 of themselves, or the
        last is not 1.

    References
    ----------
    Lan and DeMets (1983), Discrete sequential boundaries for clinical trials, Biometrika 70(3);
    Hwang, Shih and de Cani (1990), Statistics in Medicine 9(12); Jennison and Turnbull (2000),
    Group Sequential Methods with Applications to Clinical Trials, chapters 7 to 9 and 19.

    Examples
    --------
    >>> design = GroupSequential(5)
    >>> design.bounds.round(4).tolist()
    [4.8769, 3.357, 2.6803, 2.2898, 2.031]
    >>> GroupSequential(5, spending="pocock").bounds.round(4).tolist()
    [2.438, 2.4268, 2.4102, 2.3966, 2.386]

    What the looks cost, in units at the last look over those of a test with one look:

    >>> round(design.inflation(power=0.8), 3), round(
    ...     GroupSequential(5, spending="pocock").inflation(power=0.8), 3)
    (1.025, 1.213)
    """

    looks: Any
    alpha: float = 0.05
    spending: str = "obrien-fleming"
    gamma: float = -4.0
    alternative: str = "two-sided"
    ended: bool | None = None
    fractions: FloatArray = field(init=False, repr=False)
    bounds: FloatArray = field(init=False, repr=False)
    spent: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_fraction(self.alpha, "alpha")
        check_choice(self.spending, "spending", SPENDING)
        check_choice(self.alternative, "alternative", ("two-sided", "greater", "less"))
        as_number(self.gamma, "gamma")
        fractions = as_fractions(self.looks)
        if self.ended is None and not math.isclose(fractions[-1], 1.0, rel_tol=1e-12):
            raise ValueError(
                f"looks must rise to 1, the planned end; got {fractions[-1]:g} last: for looks "
                "that were in fact made use observed()"
            )
        object.__setattr__(self, "ended", self.ended is not False)
        spent = alpha_spent(
            np.minimum(fractions, 1.0), self.alpha, self.spending, self.gamma, self._sides
        )
        if self.ended:
            spent[-1] = self.alpha
        object.__setattr__(self, "fractions", fractions)
        object.__setattr__(self, "spent", spent)
        object.__setattr__(self, "bounds", boundary(fractions, spent, self._sides))

    def observed(self, fractions: Any, *, final: bool = False) -> GroupSequential:
        """Return the design with the boundaries of the looks that were in fact made.

        Parameters
        ----------
        fractions : array-like of shape (k,)
            Information at each look so far, over that planned; above 1 where the sample overran,
            which only the last can be.
        final : bool
            Whether no look follows: what is left of alpha is spent. So it is at 1 and above.

        Returns
        -------
        GroupSequential
            Same alpha and spending function. Earlier bounds do not change as looks are added.

        Examples
        --------
        The second of four looks was skipped, and the last came late:

        >>> GroupSequential(4).observed([0.25, 0.75, 1.1]).bounds.round(3).tolist()
        [4.333, 2.34, 2.029]
        """
        seen = as_fractions(fractions)
        if (seen[:-1] >= 1).any():
            raise ValueError("fractions: the test has ended at 1, no look can follow it")
        ended = bool(final) or bool(seen[-1] >= 1)
        return GroupSequential(seen, self.alpha, self.spending, self.gamma, self.alternative, ended)

    def test(self, z: Any, look: int, *, stderr: float = 1.0) -> SequentialLook:
        """Return what look number `look` says.

        Parameters
        ----------
        z : float or Comparison
            Statistic of that look, difference over standard error, of all data so far; of a
            comparison both are taken.
        look : int
            Number of the look, from 1.
        stderr : float
            Standard error of the difference where `z` is a number: the unit of the intervals.

        Returns
        -------
        SequentialLook
            Verdict, boundary and intervals.

        Raises
        ------
        TypeError, ValueError
            If `z` is not finite, or there is no such look.

        Examples
        --------
        >>> GroupSequential(5).test(2.9, 3).verdict
        'reject'
        """
        number = self._number(look)
        if hasattr(z, "difference"):
            scale = check_positive(z.stderr, "the standard error of z")
            value = as_number(z.difference, "the difference of z") / scale
        else:
            value, scale = as_number(z, "z"), check_positive(stderr, "stderr")
        at = number - 1
        bound = float(self.bounds[at])
        towards = -value if self.alternative == "less" else value
        crossed = (abs(value) if self._sides == 2 else towards) >= bound
        last = bool(self.ended) and number == self.bounds.size
        verdict = "reject" if crossed else "end" if last else "continue"
        p_value = middle = low = high = math.nan
        if verdict != "continue":
            p_value, middle, low, high = self._stagewise(value, number)
        unit = math.sqrt(self.fractions[at]) * scale  # of one unit of drift
        lower, upper = self.repeated_interval(value * scale, scale, number)
        return SequentialLook(
            look=number,
            fraction=float(self.fractions[at]),
            z=value,
            bound=bound,
            verdict=verdict,
            spent=float(self.spent[at]),
            estimate=value * scale,
            lower=lower,
            upper=upper,
            p_value=p_value,
            adjusted=middle * unit,
            adjusted_lower=low * unit,
            adjusted_upper=high * unit,
        )

    def repeated_interval(self, difference: float, stderr: float, look: int) -> tuple[float, float]:
        """Return the ends of the repeated confidence interval of a look.

        Parameters
        ----------
        difference, stderr : float
            Effect of all data so far, and its standard error.
        look : int
            Number of the look, from 1.

        Returns
        -------
        tuple of float
            ``difference -+ bound * stderr``; infinite on the open side of a one-sided test.
        """
        half = float(self.bounds[self._number(look) - 1]) * stderr
        lower = -math.inf if self.alternative == "less" else difference - half
        upper = math.inf if self.alternative == "greater" else difference + half
        return lower, upper

    def _number(self, look: object) -> int:
        number = check_positive_int(look, "look")
        if number > self.bounds.size:
            raise ValueError(f"look must be at most {self.bounds.size}; got {look!r}")
        return number

    def power(self, drift: float) -> float:
        """Return the chance to reject on the side of the drift.

        Parameters
        ----------
        drift : float
            Expected z at the planned information: the effect over its standard error there.

        Returns
        -------
        float
            0 to 1; as of :func:`power`, a rejection on the wrong side is no find.
        """
        size = as_number(drift, "drift")
        under, over = self._crossings(size)
        wrong = size < 0 and self._sides == 2
        return float((under if wrong else over).sum())

    def drift(self, power: float = 0.8) -> float:
        """Return the expected z at the planned information that gives this power."""
        wanted = check_fraction(power, "power")
        if wanted <= self.alpha / self._sides:
            raise ValueError(
                f"power must be above the chance of a false alarm on one side, "
                f"{self.alpha / self._sides:g}; got {power!r}"
            )
        sign = -1.0 if self.alternative == "less" else 1.0
        return sign * root(lambda size: self.power(sign * size) - wanted, 0.0, 40.0)

    def inflation(self, power: float = 0.8) -> float:
        """Return the units at the last look over those of a test with a single look.

        Multiply a :func:`sample_size` by it.
        """
        one = GroupSequential(1, self.alpha, alternative=self.alternative)
        return (self.drift(power) / one.drift(power)) ** 2

    def expected_fraction(self, drift: float) -> float:
        """Return the information at which the test stops on average, over that planned."""
        under, over = self._crossings(as_number(drift, "drift"))
        stop = under + over
        stop[-1] = 1.0 - stop[:-1].sum()
        return float(stop @ self.fractions)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a look: fraction, alpha spent, boundary, and its two-tailed p-value."""
        from scipy.special import ndtr

        return pd.DataFrame(
            {
                "fraction": self.fractions,
                "spent": self.spent,
                "bound": self.bounds,
                "nominal_p": self._sides * ndtr(-self.bounds),
            },
            index=pd.RangeIndex(1, self.bounds.size + 1, name="look"),
        )

    @property
    def _sides(self) -> int:
        return 2 if self.alternative == "two-sided" else 1

    def _crossings(self, drift: float, looks: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Return the chances to cross below and above; "less" is turned to "greater"."""
        upper = self.bounds[:looks]
        lower = -upper if self._sides == 2 else np.full(upper.size, -np.inf)
        drift = -drift if self.alternative == "less" else drift
        return crossings(self.fractions[: upper.size], lower, upper, drift)

    def _stagewise(self, z: float, look: int) -> tuple[float, float, float, float]:
        """Return p-value, median-unbiased drift and its interval at the stop.

        Outcomes are in the stagewise order: crossing above earlier is more extreme than later, and
        crossing below earlier less extreme (Tsiatis, Rosner and Mehta 1984, Biometrics 40(3)).
        """
        sign = -1.0 if self.alternative == "less" else 1.0
        two = self._sides == 2
        value = sign * z

        def beyond(drift: float) -> float:
            """Return the chance of an outcome at least as far up as this one."""
            walk, chance = Walk(drift), 0.0
            for at in range(look - 1):
                t, bound = float(self.fractions[at]), float(self.bounds[at])
                chance += walk.above(t, bound)
                walk.go(t, -bound if two else -math.inf, bound, float(self.fractions[at + 1]))
            return chance + walk.above(float(self.fractions[look - 1]), value)

        def solve(share: float) -> float:
            centre = value / math.sqrt(self.fractions[look - 1])
            reach = 4.0 / math.sqrt(self.fractions[look - 1])
            low, high = centre - reach, centre + reach
            while beyond(low) > share:
                low -= 2 * reach
            while beyond(high) < share:
                high += 2 * reach
            return root(lambda drift: beyond(drift) - share, low, high)

        tail = beyond(0.0)
        p_value = 2 * min(tail, 1 - tail) if two else tail
        each = self.alpha / self._sides
        low, middle = solve(each), solve(0.5)
        high = solve(1 - each) if two else math.inf
        if sign < 0:
            return p_value, -middle, -high, -low
        return p_value, middle, low, high
