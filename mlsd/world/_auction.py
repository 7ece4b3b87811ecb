"""Ads: bids, second prices, budgets, and a throttle that spreads a budget over its day.

Money inside is whole micros (millionths of the unit), so that sums are exact and do not depend on
how the requests of an hour are cut into chunks.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, FloatArray, IntArray

__all__ = ["Auction"]

_MICROS = 1_000_000
_HOURS = 24
# No advertiser is throttled to nothing: without an impression now and then the price of an hour
# would never be learnt anew.
_LEAST_PACE = 0.02
# Weight of the last hour in what an hour is expected to cost.
_NEWS = 0.3


class Auction:
    """The advertisers' side of a day of ads: who takes part, at what price, with what money left.

    An advertiser is one ad, known by its number in the arrays given here.

    Parameters
    ----------
    bids : array of shape (A,)
        Most that each ad pays for a click, above 0, in money.
    budgets : array of shape (A,)
        Most that each ad pays in a day, in money.
    reserve : float, default 0.0
        Least price of a click.
    first_pace : float, default 0.2
        Share of the auctions that a new ad enters until its first hour is known.

    Attributes
    ----------
    bids, budgets, spent : arrays of shape (A,)
        Money; `spent` since the day began.
    pace : array of shape (A,)
        Share of the auctions that each ad enters this hour.
    hour : int
        Of the day, 0 to 23.
    overspend : array of shape (A,)
        Price of the clicks that came after the budget was gone, in the hour in which it went:
        shown, clicked and not paid for. Over all days.

    Raises
    ------
    ValueError
        If bids, budgets or the reserve are negative or not finite, or `first_pace` is not a share.

    Notes
    -----
    An ad enters an auction with probability `pace`. Each hour the pace is set anew to what the
    budget left for the hours left allows, over what an hour at full pace would cost as seen so far
    (its exponential average), in proportion to the requests expected. So the spend follows the
    clock, not the traffic.

    References
    ----------
    Edelman, Ostrovsky and Schwarz, "Internet Advertising and the Generalized Second-Price
    Auction", American Economic Review 97, 2007; Agarwal et al., "Budget Pacing for Targeted Online
    Advertisements at LinkedIn", KDD 2014 (probabilistic throttling).

    Examples
    --------
    >>> auction = Auction(np.array([1.0, 2.0]), np.array([1.5, 9.0]))
    >>> auction.charge(np.array([0, 1, 0]), np.array([0.9, 1.2, 0.9]))
    array([0.9, 1.2, 0.6])
    >>> auction.overspend
    array([0.3, 0. ])
    """

    def __init__(
        self,
        bids: FloatArray,
        budgets: FloatArray,
        *,
        reserve: float = 0.0,
        first_pace: float = 0.2,
    ) -> None:
        if not 0 <= reserve < np.inf:
            raise ValueError(f"reserve must be finite and at least 0; got {reserve!r}")
        if not 0 < first_pace <= 1:
            raise ValueError(f"first_pace must be above 0 and at most 1; got {first_pace!r}")
        self._reserve = reserve
        self._first_pace = first_pace
        self.hour = 0
        self.pace: FloatArray = np.zeros(0)
        self._bids: IntArray = np.zeros(0, dtype=np.int64)
        self._budgets: IntArray = np.zeros(0, dtype=np.int64)
        self._spent: IntArray = np.zeros(0, dtype=np.int64)
        self._unpaid: IntArray = np.zeros(0, dtype=np.int64)
        self._asked: IntArray = np.zeros(0, dtype=np.int64)  # this hour, paid or not
        self._demand: FloatArray = np.zeros(0)  # micros of an hour at full pace and mean traffic
        self._in: BoolArray = np.zeros(0, dtype=np.bool_)
        self.extend(bids, budgets)

    @property
    def bids(self) -> FloatArray:
        """Return the bids, in money."""
        return self._bids / _MICROS

    @property
    def budgets(self) -> FloatArray:
        """Return the budgets of a day, in money."""
        return self._budgets / _MICROS

    @property
    def spent(self) -> FloatArray:
        """Return what each ad has paid since the day began, in money."""
        return self._spent / _MICROS

    @property
    def overspend(self) -> FloatArray:
        """Return the price of what was clicked beyond the budgets, in money, over all days."""
        return self._unpaid / _MICROS

    @property
    def active(self) -> BoolArray:
        """Return which ads had budget left when the hour began."""
        return self._in.copy()

    def copy(self) -> Auction:
        """Return an auction with the same past and its own future."""
        return copy.deepcopy(self)

    def extend(self, bids: FloatArray, budgets: FloatArray) -> None:
        """Add ads; they take the next numbers."""
        bid, budget = _micros(bids, "bids"), _micros(budgets, "budgets")
        if bid.size != budget.size:
            raise ValueError(f"lengths differ: bids has {bid.size}, budgets {budget.size}")
        none = np.zeros(bid.size, dtype=np.int64)
        self._bids = np.concatenate((self._bids, bid))
        self._budgets = np.concatenate((self._budgets, budget))
        self._spent = np.concatenate((self._spent, none))
        self._unpaid = np.concatenate((self._unpaid, none))
        self._asked = np.concatenate((self._asked, none))
        self._demand = np.concatenate((self._demand, np.full(bid.size, np.nan)))
        self.pace = np.concatenate((self.pace, np.full(bid.size, self._first_pace)))
        self._in = np.concatenate((self._in, budget > 0))

    def participates(self, ad: IntArray, u: FloatArray) -> BoolArray:
        """Return which candidates take part: those with budget that are not throttled.

        Parameters
        ----------
        ad : integer array of any shape
        u : array of the same shape
            Uniform numbers.
        """
        entry = np.where(self._in, self.pace, 0.0)
        result: BoolArray = u < entry[ad]
        return result

    def prices(
        self, score: FloatArray, bid: FloatArray, runner_up: FloatArray | None = None
    ) -> FloatArray:
        """Return the price of a click at each place: the least bid that keeps the place.

        A score is an expected value per impression, the bid times the chance of a click, and so
        in proportion to the bid: the price is ``bid * next score / own score``, rounded up to a
        micro, at least the reserve and never above the bid. Where the next score is 0 or less, or
        there is no next, any bid keeps the place and the price is the reserve. Where exploration
        put a place above a better one, no bid would keep it, and the price is the bid.

        Parameters
        ----------
        score : array of shape (R, K)
            From the first place on.
        bid : array of shape (R, K)
            Money, as `bids` gives it: whole micros.
        runner_up : array of shape (R,), optional
            The best score that is not shown; −inf where there is none, as by default.

        Returns
        -------
        array of shape (R, K)
            Money.

        Examples
        --------
        >>> auction = Auction(np.array([4.0, 2.0]), np.array([9.0, 9.0]))
        >>> auction.prices(np.array([[0.4, 0.3]]), np.array([[4.0, 2.0]]), np.array([0.06]))
        array([[3. , 0.4]])
        """
        following = np.full(score.shape, -np.inf)
        following[:, :-1] = score[:, 1:]
        if runner_up is not None:
            following[:, -1] = runner_up
        contested = following > 0
        above = contested & (score <= following)  # also where its own score is no positive number
        share = np.divide(following, score, out=np.zeros(score.shape), where=contested & ~above)
        share[above] = 1.0
        # A division that comes out a hair above a whole micro is not worth another micro.
        price = np.ceil(bid * share * _MICROS - 1e-4) / _MICROS
        result: FloatArray = np.minimum(np.maximum(price, self._reserve), bid)
        return result

    def charge(self, ad: IntArray, price: FloatArray) -> FloatArray:
        """Charge clicks in the order given, and return what is paid for each.

        An ad pays until its budget is gone; the click at which that happens is paid in part, those
        after it are not, and what is missing counts as overspend.

        Parameters
        ----------
        ad : integer array of shape (n,)
        price : array of shape (n,)
            Money.

        Returns
        -------
        array of shape (n,)
            Money.
        """
        asked = np.rint(price * _MICROS).astype(np.int64)
        order = np.argsort(ad, kind="stable")
        by_ad, by_ad_asked = ad[order], asked[order]
        before = np.cumsum(by_ad_asked) - by_ad_asked
        first = np.flatnonzero(np.r_[True, by_ad[1:] != by_ad[:-1]][: by_ad.size])
        sizes = np.diff(np.r_[first, by_ad.size])
        before -= np.repeat(before[first], sizes)
        left = (self._budgets - self._spent)[by_ad]
        paid = np.empty(asked.size, dtype=np.int64)
        paid[order] = np.clip(left - before, 0, by_ad_asked)
        np.add.at(self._asked, ad, asked)
        np.add.at(self._spent, ad, paid)
        np.add.at(self._unpaid, ad, asked - paid)
        return paid / _MICROS

    def next_hour(self, traffic: npt.ArrayLike | None = None) -> None:
        """Close an hour and set the pace of the next; past the last hour of a day, use `next_day`.

        Parameters
        ----------
        traffic : array of shape (24,), optional
            Requests expected by hour, in any unit; by default the same in all.
        """
        self._learn(traffic)
        self.hour += 1
        self._set_pace(traffic)

    def next_day(self, traffic: npt.ArrayLike | None = None) -> None:
        """Close the last hour of a day, and begin the next day with full budgets."""
        self._learn(traffic)
        self.hour = 0
        self._spent[:] = 0
        self._set_pace(traffic)

    def _learn(self, traffic: npt.ArrayLike | None) -> None:
        entry = np.where(self._in, self.pace, 0.0)
        seen = np.divide(
            self._asked,
            entry * _relative(traffic, self.hour),
            out=np.full(entry.size, np.nan),
            where=entry > 0,
        )
        known = np.where(np.isnan(self._demand), seen, (1 - _NEWS) * self._demand + _NEWS * seen)
        self._demand = np.where(np.isnan(seen), self._demand, known)
        self._asked[:] = 0

    def _set_pace(self, traffic: npt.ArrayLike | None) -> None:
        left = self._budgets - self._spent
        self._in = left > 0
        wanted = left / max(_HOURS - self.hour, 1)
        full = self._demand * _relative(traffic, self.hour)
        pace = np.divide(wanted, full, out=np.ones(full.size), where=full > 0)
        pace = np.where(np.isnan(full), self._first_pace, pace)
        self.pace = np.clip(pace, _LEAST_PACE, 1.0)


def _relative(traffic: npt.ArrayLike | None, hour: int) -> float:
    """Return the traffic of an hour over that of a mean hour, kept away from 0."""
    if traffic is None:
        return 1.0
    by_hour = np.asarray(traffic, dtype=np.float64)
    return max(float(by_hour[hour % _HOURS] / by_hour.mean()), 0.01)


def _micros(values: FloatArray, name: str) -> IntArray:
    money = np.asarray(values, dtype=np.float64)
    if not (np.isfinite(money) & (money >= 0)).all():
        raise ValueError(f"{name} must be finite and not negative; got {float(money.min())!r}")
    return np.rint(money * _MICROS).astype(np.int64)
