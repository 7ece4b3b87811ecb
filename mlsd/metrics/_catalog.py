"""Metrics of a catalogue: how much of it the recommendations show, and how evenly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlsd._inputs import as_column
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray
from mlsd._validation import check_choice, warn_undefined
from mlsd.metrics._lists import Lists, read_lists

__all__ = ["CoverageResult", "ExposureResult", "catalog_coverage", "exposure_gini"]


@dataclass(frozen=True, slots=True)
class CoverageResult(Result):
    """How much of a catalogue the recommendations show.

    Attributes
    ----------
    value : float
        `n_shown` over `n_catalog`.
    n_shown : int
        Items of the catalogue in at least one list.
    n_catalog : int
        Items of the catalogue.
    n_users, n_rows : int
        Lists, and their rows within the cut-off.
    outside_items, outside_rows : int
        Recommended items that the catalogue lacks, and rows that hold them; they cover nothing.
    """

    value: float
    n_shown: int
    n_catalog: int
    n_users: int
    n_rows: int
    outside_items: int
    outside_rows: int


@dataclass(frozen=True, slots=True)
class ExposureResult(Result):
    """How unevenly the items of a catalogue are shown.

    Attributes
    ----------
    value : float
        Gini coefficient, from 0 (all alike) to `maximum`; nan if nothing of the catalogue is shown.
    maximum : float
        ``(n - 1) / n``: one of the n items has all exposure. ``value / maximum`` is the coefficient
        with the correction for small n.
    n_shown, n_catalog, n_users, n_rows, outside_items, outside_rows : int
        As in ``CoverageResult``. Rows outside the catalogue have a place, and expose nothing.
    """

    value: float
    maximum: float
    n_shown: int
    n_catalog: int
    n_users: int
    n_rows: int
    outside_items: int
    outside_rows: int


def catalog_coverage(
    recommendations: Any,
    catalog: npt.ArrayLike,
    *,
    k: int | None = None,
    user: str = "user_id",
    item: str = "item_id",
) -> CoverageResult:
    """Share of the catalogue that is recommended to at least one user.

    It grows with the number of users, so compare systems on the same ones. It is a number of this
    set of lists, not a mean over them: there is no interval.

    Parameters
    ----------
    recommendations : table
        One row a recommended item: a user, an item, and with `k` also ``rank`` (smaller first) or
        ``score`` (higher first) or both. Of equal scores the earlier row comes first. With both,
        the ranks must follow the scores. Identifiers are integers or strings.
    catalog : array-like of shape (n_items,)
        The items that can be recommended, each once.
    k : int or None
        Cut-off of each list; None: the whole list.
    user, item : str
        Names of the columns.

    Returns
    -------
    CoverageResult
        Value from 0 to 1. Items that the catalogue lacks are counted, and cover nothing.

    Raises
    ------
    TypeError
        If `recommendations` is not a table, or identifiers are integers on one side only.
    ValueError
        If either input is empty, a column is missing, a user has an item or a rank twice, the
        catalogue has an item twice, or ranks contradict scores.

    References
    ----------
    Ge, Delgado-Battenfeld and Jannach (2010), Beyond accuracy: evaluating recommender systems by
    coverage and serendipity, RecSys.

    Examples
    --------
    >>> import pandas as pd
    >>> shown = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "b", "b", "x"]})
    >>> result = catalog_coverage(shown, ["a", "b", "c", "d"])
    >>> result.value, result.outside_items
    (0.5, 1)
    """
    lists, exposed, counts = _exposure(recommendations, catalog, k, user, item, None)
    return CoverageResult(counts["n_shown"] / exposed.size, n_users=len(lists.users), **counts)


def exposure_gini(
    recommendations: Any,
    catalog: npt.ArrayLike,
    *,
    k: int | None = None,
    discount: str = "none",
    user: str = "user_id",
    item: str = "item_id",
) -> ExposureResult:
    """Gini coefficient of the exposure of the catalogue's items: 0 if all are shown alike.

    With the exposures of the n items in ascending order, x₁ ≤ ... ≤ xₙ, it is
    ``Σ (2i - n - 1) xᵢ / (n Σ xᵢ)``. Items that are never shown count, with exposure 0. One item
    with all the exposure gives ``(n - 1) / n``, the largest value.

    Parameters
    ----------
    recommendations, catalog, k, user, item
        As in ``catalog_coverage``.
    discount : str
        Exposure of a place: "none": 1 everywhere; "log2": ``1 / log2(place + 1)``, places from 1,
        which needs a rank or a score.

    Returns
    -------
    ExposureResult
        Value from 0 to ``(n - 1) / n``; nan if nothing of the catalogue is shown.

    Raises
    ------
    TypeError, ValueError
        As ``catalog_coverage``, and if `discount` is unknown.

    Warns
    -----
    UndefinedMetricWarning
        If nothing of the catalogue is shown.

    References
    ----------
    Gini (1912), Variabilità e mutabilità. Fleder and Hosanagar (2009), Blockbuster culture's next
    rise or fall, Management Science 55(5), for recommendations. Singh and Joachims (2018), Fairness
    of exposure in rankings, KDD, for the discount.

    Examples
    --------
    >>> import pandas as pd
    >>> shown = pd.DataFrame({"user_id": [1, 1, 2, 2], "item_id": ["a", "b", "a", "c"]})
    >>> exposure_gini(shown, ["a", "b", "c", "d"]).value
    0.375
    """
    check_choice(discount, "discount", ("none", "log2"))
    lists, exposed, counts = _exposure(recommendations, catalog, k, user, item, discount)
    n = exposed.size
    total = exposed.sum()
    value = math.nan
    if total > 0:
        # Counts stay integers here, so that only the last division rounds.
        weights = 2 * np.arange(1, n + 1, dtype=np.int64) - n - 1
        value = max(float((weights * np.sort(exposed)).sum() / (n * total)), 0.0)
    else:
        warn_undefined(
            f"none of the {counts['n_rows']} rows recommends an item of the catalogue: the Gini "
            "coefficient is nan"
        )
    return ExposureResult(value, (n - 1) / n, n_users=len(lists.users), **counts)


def _exposure(
    recommendations: Any,
    catalog: npt.ArrayLike,
    k: int | None,
    user: str,
    item: str,
    discount: str | None,
) -> tuple[Lists, AnyArray, dict[str, int]]:
    """Return the lists, the exposure of each item of the catalogue, and what they have in common.

    Without a discount the exposures are whole numbers: how often the item is shown.
    """
    column = pd.Series(as_column(catalog, "catalog"))
    if not len(column):
        raise ValueError("catalog is empty: there is nothing to cover")
    ordered = discount == "log2"
    lists, (listed,) = read_lists(recommendations, k, user, item, ordered, (column, "catalog"))
    double = listed.size - np.unique(listed).size
    if double:
        raise ValueError(f"catalog holds {double} items more than once")
    weights = 1.0 / np.log2(lists.place + 1.0) if ordered else None
    exposed = np.bincount(lists.item, weights=weights, minlength=len(lists.items))
    inside = np.zeros(exposed.size, dtype=np.bool_)
    inside[listed] = True
    outside = ~inside[lists.item]
    counts = {
        "n_shown": int(np.count_nonzero(exposed[listed])),
        "n_catalog": listed.size,
        "n_rows": lists.item.size,
        "outside_items": np.unique(lists.item[outside]).size,
        "outside_rows": int(np.count_nonzero(outside)),
    }
    return lists, exposed[listed], counts
