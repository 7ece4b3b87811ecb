"""The fitted constants of the presets, in numbers, so that a world needs no data.

Each is what `mlsd.world.anchors.fit_anchors` finds in the training part of a real set, rounded:
shares and factors to four decimals, other parameters to three significant places or more. Two,
called POPULARITY, are not fitted but tuned: with them the world comes out as spread as the data.
The test `tests/world/test_anchors.py` fits and tries them again. The page on the world's validity
holds the world against the part that was held out.

Hours are shares of a day's visits from midnight and sum to 1. Weekdays (Monday first) and months
(January first) are factors of the rate of visits, with mean 1. Where the data cannot tell, there is
no constant here, and the preset says "assumed": the week and the year of the ads (one week was
published), the year of the feed (seven months were), the feed's base rate (no impressions were).
"""

from __future__ import annotations

__all__ = [
    "ADS_HOURS",
    "BASE_RATE",
    "FEED_ACTIONS_SIGMA",
    "FEED_ACTIVITY_SIGMA",
    "FEED_APPEAL_SIGMA",
    "FEED_HOURS",
    "FEED_POPULARITY_SIGMA",
    "FEED_WEEKDAYS",
    "SHOP_ACTIVITY_LOG_MEAN",
    "SHOP_ACTIVITY_SIGMA",
    "SHOP_HOURS",
    "SHOP_LIFETIME",
    "SHOP_MONTHS",
    "SHOP_POPULARITY_SIGMA",
    "SHOP_PRICE_LOG_MEAN",
    "SHOP_PRICE_LOG_SIGMA",
    "SHOP_QUANTITIES",
    "SHOP_QUANTITY_SHARES",
    "SHOP_SALES_SIGMA",
    "SHOP_WEEKDAYS",
]

# --- shop: Online Retail II, December 2009 to November 2010, the shop's local time ---------------
# Hour of an invoice. Nobody bought between nine at night and seven in the morning.
# fmt: off
SHOP_HOURS = (
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    0.0, 0.0026, 0.0233, 0.0624, 0.1163, 0.1264,
    0.1655, 0.1516, 0.1236, 0.1064, 0.0640, 0.0328,
    0.0135, 0.0098, 0.0018, 0.0, 0.0, 0.0,
)
# fmt: on
# Invoices on such a day against the mean weekday. The shop was all but closed on Saturdays.
SHOP_WEEKDAYS = (1.1016, 1.2775, 1.2206, 1.4249, 0.9707, 0.0116, 0.9931)
# Invoices a day in such a month against the mean month.
# fmt: off
SHOP_MONTHS = (
    0.6206, 0.7831, 0.9765, 0.8794, 0.8833, 0.9890, 0.8814, 0.8257, 1.1094, 1.3642,
    1.7186, 0.9688,
)
# fmt: on
# Lognormal rate of invoices a customer and year (Poisson-lognormal fit without the zeros).
SHOP_ACTIVITY_LOG_MEAN = 0.245
SHOP_ACTIVITY_SIGMA = 1.256
# Lognormal rate of invoices a product, from counts thinned to eight a product.
SHOP_SALES_SIGMA = 1.353
# Days that a product is on sale, exponential: 76 % of the products sold in the first quarter of the
# year were sold in the last.
SHOP_LIFETIME = 988.1
# Lognormal weight of a product in retrieval: in the world what a product draws, satisfies and costs
# and how long it is there spread its sales further. Tried in steps of a twentieth until the sales
# of a year, thinned and fitted in the same way, were spread as above.
SHOP_POPULARITY_SIGMA = 0.4
# Logarithm of a product's median price in pounds.
SHOP_PRICE_LOG_MEAN = 0.774
SHOP_PRICE_LOG_SIGMA = 1.016
# Units a line, those of at least one line in a thousand: people buy packs.
# fmt: off
SHOP_QUANTITIES = (
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 30, 32, 36, 40, 48, 50,
    60, 72, 96, 100, 120, 144, 200, 288,
)
# fmt: on
# fmt: off
SHOP_QUANTITY_SHARES = (
    0.1878, 0.1494, 0.0721, 0.0755, 0.0233, 0.1070, 0.0030, 0.0298, 0.0040, 0.0460,
    0.1513, 0.0014, 0.0089, 0.0044, 0.0097, 0.0576, 0.0115, 0.0035, 0.0035, 0.0093,
    0.0022, 0.0153, 0.0024, 0.0019, 0.0047, 0.0042, 0.0037, 0.0019, 0.0025, 0.0010,
    0.0012,
)
# fmt: on

# --- feed: MovieLens 100K, September to December 1997, local time in Chicago ----------------------
# Hour and weekday at which a session began (half an hour without a rating ends one).
# fmt: off
FEED_HOURS = (
    0.0349, 0.0252, 0.0200, 0.0134, 0.0074, 0.0119,
    0.0104, 0.0126, 0.0341, 0.0519, 0.0549, 0.0743,
    0.0682, 0.0690, 0.0668, 0.0645, 0.0682, 0.0638,
    0.0423, 0.0415, 0.0415, 0.0401, 0.0445, 0.0386,
)
# fmt: on
FEED_WEEKDAYS = (1.1420, 0.9569, 1.0494, 0.9811, 1.0392, 0.8694, 0.9620)
# Lognormal rate of ratings a user, fitted to users with at least 20: the others were left out.
FEED_ACTIVITY_SIGMA = 1.085
# Lognormal rate of ratings a film, from counts thinned to twenty a film.
FEED_ACTIONS_SIGMA = 1.475
# Lognormal weight of an item in retrieval, tried likewise until clicks were spread as above.
FEED_POPULARITY_SIGMA = 1.1
# Tweets of one account, 2011 to 2014, no replies: standard deviation of the logarithm of retweets
# within a month. Its readers were about the same all month, so what differs is the draw of the
# tweet, and that readers' passing it on brought further readers: an upper bound of the draw alone.
FEED_APPEAL_SIGMA = 1.406

# --- ads: Open Bandit, uniformly random policy, 24 to 27 November 2019, local time in Tokyo -------
# Hour of an impression.
# fmt: off
ADS_HOURS = (
    0.0711, 0.0295, 0.0176, 0.0097, 0.0069, 0.0110,
    0.0183, 0.0257, 0.0350, 0.0326, 0.0397, 0.0379,
    0.0472, 0.0420, 0.0391, 0.0407, 0.0407, 0.0434,
    0.0452, 0.0545, 0.0711, 0.0774, 0.0832, 0.0805,
)
# fmt: on
# Clicks an impression: a shop's own fashion items, three of them shown side by side.
BASE_RATE = 0.00398
