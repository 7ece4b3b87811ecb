"""How close the world comes to real data: the same counts from both, and their distances."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from mlsd._lazy import pandas as pd
from mlsd._types import FloatArray, IntArray
from mlsd.world.anchors import LEAST_RATINGS, sessions, thin

__all__ = [
    "FEW",
    "PACKS",
    "POUNDS",
    "RATINGS",
    "activity_cells",
    "as_lines",
    "compare_marginals",
    "feed_marginals",
    "price_cells",
    "shop_marginals",
]

# First value of each cell; the last is open.
FEW = (1, 2, 3, 4, 5, 6, 8, 11, 16, 26, 51)
PACKS = (1, 2, 3, 4, 5, 6, 7, 10, 12, 13, 24, 25, 48, 49)
RATINGS = (20, 25, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320)
POUNDS = (0.0, 0.2, 0.3, 0.45, 0.65, 1.0, 1.5, 2.2, 3.2, 4.8, 7.0, 10.0, 15.0, 22.0, 33.0, 50.0)


def as_lines(log: pd.DataFrame, price: pd.Series) -> pd.DataFrame:
    """Return what was bought as the lines of invoices, with the columns of Online Retail.

    A visit with at least one purchase is an invoice, and has the visit's time.

    Parameters
    ----------
    log : pandas.DataFrame
        Of `mlsd.world.World.serve`, preset "shop".
    price : pandas.Series
        Money, by doc_id.

    Returns
    -------
    pandas.DataFrame
        One row a purchase: `invoice`, `product_id`, `quantity`, `price`, `customer_id`, `time`.
    """
    bought = log[log["conversion_time"].notna()]
    each = bought["doc_id"].map(price)
    return pd.DataFrame(
        {
            "invoice": bought["request_id"],
            "product_id": bought["doc_id"],
            "quantity": (bought["value"] / each).round().astype(np.int64),
            "price": each,
            "customer_id": bought["user_id"],
            "time": bought["time"],
        }
    ).reset_index(drop=True)


def shop_marginals(
    lines: pd.DataFrame, *, sales: float, random_state: int = 0
) -> dict[str, IntArray]:
    """Count what a shop's lines say about time, customers, products and baskets.

    Parameters
    ----------
    lines : pandas.DataFrame
        With `invoice`, `product_id`, `quantity`, `price`, `customer_id`, `time`.
    sales : float
        Mean invoices a product to which the lines are thinned, see `mlsd.world.anchors.thin`,
        before the spread over products is counted: a mean is no matter of the law's shape, and
        moves every cell.
    random_state : int, default 0
        Of the thinning.

    Returns
    -------
    dict of str to array of int
        Counts in the cells of each marginal: invoices by hour, weekday and month; customers by
        their invoices, and whether more than one; pairs of customer and product, by whether it was
        bought on more than one invoice; products by sales and by median price; lines by quantity;
        invoices by lines.
    """
    visits = lines.groupby("invoice")["time"].min()
    pairs = lines.drop_duplicates(["invoice", "product_id"])
    per_customer = lines.groupby("customer_id")["invoice"].nunique()
    per_product = pairs["product_id"].value_counts().sort_index()
    again = pairs.groupby(["customer_id", "product_id"]).size()
    price = lines.groupby("product_id")["price"].median()
    return {
        "hour of a visit": np.bincount(visits.dt.hour, minlength=24),
        "weekday of a visit": np.bincount(visits.dt.day_of_week, minlength=7),
        "month of a visit": np.bincount(visits.dt.month - 1, minlength=12),
        "invoices a customer": _cells(per_customer, FEW),
        "customers who return": _cells(per_customer, (1, 2)),
        "products bought again": _cells(again, (1, 2)),
        "invoices a product": _cells(thin(per_product, sales, random_state=random_state), FEW),
        "price of a product": price_cells(price),
        "quantity of a line": _cells(lines["quantity"], PACKS),
        "lines an invoice": _cells(pairs["invoice"].value_counts(), FEW),
    }


def feed_marginals(
    seen: pd.DataFrame, *, per_item: float, random_state: int = 0
) -> dict[str, IntArray]:
    """Count what a feed's actions say about time, users and items.

    Parameters
    ----------
    seen : pandas.DataFrame
        One row an action, a rating or a click: `user_id`, `item_id`, `time`.
    per_item : float
        Mean actions an item to which they are thinned before the spread over items is counted.
    random_state : int, default 0
        Of the thinning.

    Returns
    -------
    dict of str to array of int
        Sessions by hour and weekday, items by actions.
    """
    starts = sessions(seen)["time"]
    per = seen["item_id"].value_counts().sort_index()
    return {
        "hour of a session": np.bincount(starts.dt.hour, minlength=24),
        "weekday of a session": np.bincount(starts.dt.day_of_week, minlength=7),
        "actions an item": _cells(thin(per, per_item, random_state=random_state), FEW),
    }


def activity_cells(counts: npt.ArrayLike) -> IntArray:
    """Count users by their actions, of those with at least 20: MovieLens has no others."""
    kept = np.asarray(counts)
    return _cells(kept[kept >= LEAST_RATINGS], RATINGS)


def price_cells(prices: npt.ArrayLike) -> IntArray:
    """Count products by their price."""
    return _cells(prices, POUNDS)


def compare_marginals(
    world: Mapping[str, npt.ArrayLike],
    held_out: Mapping[str, npt.ArrayLike],
    training: Mapping[str, npt.ArrayLike],
    distance: Callable[[FloatArray, FloatArray], float],
    *,
    draws: int = 200,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure how far the world's counts are from real ones, beside yardsticks.

    Parameters
    ----------
    world, held_out, training : mapping of str to array_like of int
        Counts in the cells of each marginal; all three have the same names and cells.
    distance : callable
        Of two histograms, such as `mlsd.drift.js_distance`.
    draws : int, default 200
        Samples from which each of `chance` and `copy` is taken.
    random_state : int, default 0

    Returns
    -------
    pandas.DataFrame
        One row a marginal. `n_world`, `n_real`: counts in the world and in the held-out part.
        `world`: distance of the world from the held-out part. `real`: of the training part from
        it. `chance`: what 95 % of pairs of samples of one law, with these sizes, stay below.
        `copy`: what 95 % of samples of the training part, as large as the world's, stay below: a
        world under it cannot be told from one that copies the past. `tv`, `tv_real`: the total
        variation, half the sum of the absolute differences of the shares, of the first two.

    Raises
    ------
    ValueError
        If names or cells differ.
    """
    if not list(world) == list(held_out) == list(training):
        raise ValueError(
            "world, held_out and training must have the same marginals; "
            f"got {list(world)}, {list(held_out)} and {list(training)}"
        )
    rng = np.random.default_rng(random_state)
    rows = {}
    for name in world:
        ours, real, past = (
            np.asarray(part[name], dtype=np.float64) for part in (world, held_out, training)
        )
        if not ours.shape == real.shape == past.shape:
            raise ValueError(
                f"{name} must have the same cells everywhere; "
                f"got shapes {ours.shape}, {real.shape} and {past.shape}"
            )
        pooled = (ours / ours.sum() + real / real.sum()) / 2
        sizes = int(ours.sum()), int(real.sum())
        pairs = zip(*(rng.multinomial(size, pooled, draws) for size in sizes), strict=True)
        copies = rng.multinomial(sizes[0], past / past.sum(), draws)
        rows[name] = {
            "n_world": sizes[0],
            "n_real": sizes[1],
            "world": distance(ours, real),
            "real": distance(past, real),
            "chance": _high(distance(one, other) for one, other in pairs),
            "copy": _high(distance(one, real) for one in copies),
            "tv": _total_variation(ours, real),
            "tv_real": _total_variation(past, real),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("marginal")


def _high(distances: Iterable[float]) -> float:
    return float(np.quantile(list(distances), 0.95))


def _total_variation(one: FloatArray, other: FloatArray) -> float:
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _cells(values: npt.ArrayLike, firsts: tuple[float, ...]) -> IntArray:
    """Count values in cells that begin at `firsts`; the last one is open."""
    edges = np.array([*firsts, np.inf])
    return np.asarray(np.histogram(np.asarray(values, dtype=np.float64), edges)[0])
