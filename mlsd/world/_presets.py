"""What a world is made of: every parameter by name, with its unit and where it comes from."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._validation import check_choice
from mlsd.world import _anchors
from mlsd.world._choice import EXAMINATIONS
from mlsd.world._parameters import check_number, checked_profile, number

__all__ = ["PRESETS", "Preset", "read_preset"]

_FLAT_DAY = (1.0,) * 24
_FLAT_WEEK = (1.0,) * 7
_FLAT_YEAR = (1.0,) * 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset(Result):
    """All parameters of a world.

    :meth:`to_frame` says which values are fitted to real data (see :func:`mlsd.world.fit_anchors`)
    in this preset; all others are assumed: they are of a plausible size, and a conclusion should
    not hang on them. A fitted value that was changed counts as assumed.

    Attributes
    ----------
    name : str
    start : str
        Date of day 0, UTC.
    slate, candidates : int
        Places shown, and candidates of a request that the retrieval stage hands to the policy.
    n_topics : int
        Dimensions of taste; an item has one topic.
    requests_per_day : float
        Mean over users.
    activity_sigma : float
        Of the lognormal of the users' request rates: 0 is all alike.
    hourly : tuple of 24 floats
        Requests by hour of the day, UTC, in any unit.
    weekday : tuple of 7 floats
        Requests by weekday from Monday, in any unit.
    monthly : tuple of 12 floats
        Requests by month from January, in any unit.
    season_amplitude : float
        How much of `monthly` is felt: 0 none, 1 as it is.
    segments : tuple of str
        Devices.
    segment_share : tuple of float
        Share of users on each, in any unit.
    segment_effect : tuple of float
        Added to the click logit, one a segment.
    community_size : float
        Mean users in a community, the groups in which `interference` acts.
    taste_scale : float
        Standard deviation, over users, of the taste for a topic, in click logits.
    taste_core : float
        Share of the variance of taste that never changes, 0 to 1.
    taste_half_life : float
        Days until the correlation of the rest with itself has halved: an Ornstein-Uhlenbeck
        process. It is stationary, so that an old model gets worse while tastes do not widen.
    lifetime : float
        Mean days from an item's birth to its expiry, exponential. One that expires is replaced at
        once, so that the catalogue keeps its size.
    appeal_scale, quality_scale : float
        Standard deviations over items of what draws the click, and of what satisfies, in logits.
        For the first, what real posts show is an upper bound: 1.4, since posts that do well are
        passed on to further readers.
    appeal_quality_correlation : float
        -1 to 1: low is a catalogue in which clickbait pays.
    popularity_sigma : float
        Of the lognormal of the weights by which retrieval picks candidates.
    price_log_mean, price_log_sd : float
        Of the logarithm of prices.
    freshness : float
        Added to the click logit of an item just born, fading with `freshness_half_life`.
    freshness_half_life : float
        Days.
    base_rate : float
        Mean attractiveness of the candidates on day 0: the click rate of random slates of
        which every place is examined, without trust bias. That of the ads is such that random
        slates are clicked at the rate of the Open Bandit data.
    examination : {"position", "cascade", "none"}
        Which places a user looks at. "position": place k with probability ``k ** -eta``, whatever
        is shown. "cascade": from the top down; after a click the user stops with probability
        `cascade_stop`, past what was not clicked they go on with probability `cascade_continue`.
        "none": all of them, without trust bias, so that the click rate is the attractiveness.
    eta : float
        Of "position": how fast examination falls.
    trust_plus, trust_minus : float
        Chance of a click on what was examined and attracts, the same at all places; and on what
        was examined and does not attract, at the first place, ``trust_minus / k`` at place k.
    cascade_stop, cascade_continue : float
        Of "cascade".
    dwell_median : float
        Seconds of dwell after a click on an item that satisfies half (good = 1/2).
    dwell_sigma : float
        Of the lognormal of dwell.
    dwell_lift : float
        Logarithm of the ratio of the medians at good = 1 and good = 0.
    conversion_rate : float
        Mean over the clicks of random slates on day 0; 0 for none.
    price_effect : float
        Taken from the conversion logit for each factor e of a price above the median.
    delay_hours : float
        Mean of the exponential delay from click to conversion.
    quantities : tuple of float
        What one conversion buys, in pieces; only with `value` "basket".
    quantity_share : tuple of float
        How frequent each of `quantities` is, in any unit.
    value : {"one", "basket", "advertiser"}
        Of a conversion: 1; price times quantity; or what it is worth to the advertiser.
    satisfaction_half_life : float
        Days of use until half of a user's satisfaction is of what was seen since.
    return_strength : float
        Logarithm of the factor on the request rate, for each unit of satisfaction above the mean
        under random slates. A unit is a click whose item satisfies wholly, per request.
    churn : float
        Share of the users who leave on a day, at the mean satisfaction under random slates.
    churn_strength : float
        Logarithm of the factor on it, for each unit of satisfaction below that mean.
    new_users : float or None
        Who join on a day, as a share of n_users. None is `churn`, which keeps the level.
    interference : float
        For each unit by which the mean satisfaction of a user's community was above the mean under
        random slates yesterday: the logarithm of the factor on the request rate, and what is added
        to the click logit.
    novelty : float
        Added to the click logit when a user's policy is another than the first they had.
    novelty_half_life : float
        Days in which half of it is gone.
    auction : bool
        Whether items are ads with bids and budgets.
    bid_log_sd : float
        Standard deviation of the logarithm of bids.
    bid_median : float
        Money per click.
    budget_clicks : float
        Median of the budgets of a day, in clicks at the ad's own bid.
    budget_log_sd : float
        Standard deviation of the logarithm of budgets.
    reserve : float
        Least price of a click.

    Raises
    ------
    TypeError
        If a parameter is of the wrong kind.
    ValueError
        If a parameter is out of its range, or a profile has the wrong length.

    Examples
    --------
    >>> from mlsd.world import PRESETS
    >>> PRESETS["feed"].slate, PRESETS["feed"].candidates
    (10, 30)
    >>> PRESETS["feed"].to_frame().loc["slate", "unit"]
    'places'
    """

    name: str = "feed"
    start: str = "2024-01-01"
    slate: int = number(10, "places", 1)
    candidates: int = number(30, "items", 2)
    n_topics: int = number(12, "topics", 2)
    requests_per_day: float = number(2.0, "requests/user/day", 0, above=True)
    activity_sigma: float = number(1.0, "log", 0, 5)
    hourly: tuple[float, ...] = number(_FLAT_DAY, "relative", 0, n=24)
    weekday: tuple[float, ...] = number(_FLAT_WEEK, "relative", 0, n=7)
    monthly: tuple[float, ...] = number(_FLAT_YEAR, "relative", 0, n=12)
    season_amplitude: float = number(1.0, "factor", 0)
    segments: tuple[str, ...] = ("phone", "desktop", "tablet")
    segment_share: tuple[float, ...] = number((0.6, 0.3, 0.1), "relative", 0, n=0)
    segment_effect: tuple[float, ...] = number((0.1, -0.2, 0.0), "logit", n=0)
    community_size: float = number(50.0, "users", 1)
    taste_scale: float = number(0.9, "logit", 0)
    taste_core: float = number(0.3, "share", 0, 1)
    taste_half_life: float = number(14.0, "days", 0, above=True)
    lifetime: float = number(30.0, "days", 0, above=True)
    appeal_scale: float = number(0.8, "logit", 0)
    quality_scale: float = number(0.8, "logit", 0)
    appeal_quality_correlation: float = number(0.3, "correlation", -1, 1)
    popularity_sigma: float = number(1.0, "log", 0, 5)
    price_log_mean: float = number(1.0, "log money")
    price_log_sd: float = number(1.0, "log", 0, 5)
    freshness: float = number(0.5, "logit")
    freshness_half_life: float = number(3.0, "days", 0, above=True)
    base_rate: float = number(0.05, "share", 1e-6, 1 - 1e-6)
    examination: Literal["position", "cascade", "none"] = "position"
    eta: float = number(1.0, "power", 0, 10)
    trust_plus: float = number(1.0, "share", 0, 1)
    trust_minus: float = number(0.0, "share", 0, 1)
    cascade_stop: float = number(0.5, "share", 0, 1)
    cascade_continue: float = number(0.9, "share", 0, 1)
    dwell_median: float = number(20.0, "seconds", 0, above=True)
    dwell_sigma: float = number(0.9, "log", 0, 5)
    dwell_lift: float = number(1.5, "log")
    conversion_rate: float = number(0.02, "share of clicks", 0, 1 - 1e-6)
    price_effect: float = number(0.0, "logit per e-fold")
    delay_hours: float = number(12.0, "hours", 0, above=True)
    quantities: tuple[float, ...] = number((1.0,), "pieces", 0, n=-1)
    quantity_share: tuple[float, ...] = number((1.0,), "relative", 0, n=-1)
    value: Literal["one", "basket", "advertiser"] = "one"
    satisfaction_half_life: float = number(7.0, "days of use", 0, above=True)
    return_strength: float = number(1.0, "log per unit")
    churn: float = number(0.01, "share/day", 0, 1)
    churn_strength: float = number(6.0, "log per unit")
    new_users: float | None = number(None, "share/day", 0, 1, none=True)
    interference: float = number(0.0, "log and logit per unit")
    novelty: float = number(0.0, "logit")
    novelty_half_life: float = number(5.0, "days", 0, above=True)
    auction: bool = False
    bid_log_sd: float = number(0.6, "log", 0, 5)
    bid_median: float = number(0.5, "money/click", 0, above=True)
    budget_clicks: float = number(3.0, "clicks/day", 0, above=True)
    budget_log_sd: float = number(0.8, "log", 0, 5)
    reserve: float = number(0.01, "money/click", 0)

    def __post_init__(self) -> None:
        """Refuse what no world can be made of."""
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if not one.metadata:
                self._check_other(one.name, value)
            elif one.metadata["n"] is None:
                check_number(one, value)
            else:
                object.__setattr__(self, one.name, checked_profile(one, value, self))
        if self.candidates < self.slate:
            raise ValueError(
                f"candidates must be at least the slate, {self.slate}; got {self.candidates!r}"
            )
        if self.trust_minus > self.trust_plus:
            raise ValueError(
                f"trust_minus must be at most trust_plus, which is {self.trust_plus!r}; "
                f"got {self.trust_minus!r}"
            )

    def _check_other(self, name: str, value: object) -> None:
        if name == "examination":
            check_choice(value, name, EXAMINATIONS)
        elif name == "value":
            check_choice(value, name, ("one", "basket", "advertiser"))
        elif name == "auction":
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"auction must be True or False; got {value!r}")
        elif name == "segments":
            labels = tuple(value) if isinstance(value, (tuple, list)) else ()
            if not labels or not all(isinstance(label, str) for label in labels):
                raise TypeError(f"segments must be a tuple of names; got {value!r}")
            if len(set(labels)) < len(labels):
                raise ValueError(f"segments must differ; got {value!r}")
            object.__setattr__(self, name, labels)
        elif not isinstance(value, str):
            raise TypeError(f"{name} must be a string; got {value!r} ({type(value).__name__})")
        elif name == "start":
            try:  # not by numpy, which also reads "NaT" and, another each day, "now"
                datetime.date.fromisoformat(value)
            except ValueError:
                raise ValueError(
                    f"start must be a date such as '2024-01-01'; got {value!r}"
                ) from None
            object.__setattr__(self, name, datetime.date.fromisoformat(value).isoformat())

    def to_frame(self) -> pd.DataFrame:
        """Return the parameters as rows: value, unit, and origin ("fitted" or "assumed")."""
        original = PRESETS.get(self.name)
        fitted = _FITTED.get(self.name, set())
        rows = []
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            kept = original is not None and value == getattr(original, one.name)
            origin = "fitted" if kept and one.name in fitted else "assumed"
            rows.append((one.name, value, one.metadata.get("unit", ""), origin))
        return pd.DataFrame(rows, columns=["parameter", "value", "unit", "origin"]).set_index(
            "parameter"
        )


# Mean chance that one of four places is examined, by which the rate of impressions of which all
# are seen becomes that of a click at the mean place.
_ADS_ETA = 0.7
_ADS_EXAMINED = sum(place**-_ADS_ETA for place in (1, 2, 3, 4)) / 4

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "feed": Preset(
            name="feed",
            activity_sigma=_anchors.FEED_ACTIVITY_SIGMA,
            hourly=_anchors.FEED_HOURS,
            weekday=_anchors.FEED_WEEKDAYS,
            popularity_sigma=_anchors.FEED_POPULARITY_SIGMA,
            trust_minus=0.005,
        ),
        "shop": Preset(
            name="shop",
            slate=12,
            candidates=36,
            requests_per_day=0.4,
            activity_sigma=_anchors.SHOP_ACTIVITY_SIGMA,
            hourly=_anchors.SHOP_HOURS,
            weekday=_anchors.SHOP_WEEKDAYS,
            monthly=_anchors.SHOP_MONTHS,
            lifetime=_anchors.SHOP_LIFETIME,
            popularity_sigma=_anchors.SHOP_POPULARITY_SIGMA,
            price_log_mean=_anchors.SHOP_PRICE_LOG_MEAN,
            price_log_sd=_anchors.SHOP_PRICE_LOG_SIGMA,
            freshness=0.2,
            freshness_half_life=14.0,
            base_rate=0.06,
            examination="cascade",
            conversion_rate=0.05,
            price_effect=0.5,
            delay_hours=30.0,
            quantities=_anchors.SHOP_QUANTITIES,
            quantity_share=_anchors.SHOP_QUANTITY_SHARES,
            value="basket",
            churn=0.001,
        ),
        "ads": Preset(
            name="ads",
            slate=4,
            candidates=24,
            requests_per_day=10.0,
            hourly=_anchors.ADS_HOURS,
            lifetime=20.0,
            base_rate=_anchors.BASE_RATE / _ADS_EXAMINED,
            eta=_ADS_ETA,
            conversion_rate=0.04,
            delay_hours=36.0,
            value="advertiser",
            auction=True,
        ),
    }
)

# What of each preset is fitted; the rest is assumed.
_FITTED = {
    "feed": {"activity_sigma", "hourly", "weekday", "popularity_sigma"},
    "shop": {
        "activity_sigma",
        "hourly",
        "weekday",
        "monthly",
        "lifetime",
        "popularity_sigma",
        "price_log_mean",
        "price_log_sd",
        "quantities",
        "quantity_share",
    },
    "ads": {"hourly", "base_rate"},
}


def read_preset(preset: object, changes: Mapping[str, Any]) -> Preset:
    """Return a preset by its name, or as it is, with some parameters changed."""
    if isinstance(preset, str):
        check_choice(preset, "preset", PRESETS)
        preset = PRESETS[preset]
    if not isinstance(preset, Preset):
        raise TypeError(
            f"preset must be a name ({', '.join(PRESETS)}) or a Preset; got {type(preset).__name__}"
        )
    names = [one.name for one in dataclasses.fields(Preset)]
    for name in changes:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f": did you mean {close[0]!r}?" if close else "; Preset lists them"
            raise TypeError(f"{name!r} is no parameter of a world{hint}")
    return dataclasses.replace(preset, **changes)
