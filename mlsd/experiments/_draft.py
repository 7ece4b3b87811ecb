"""The draft itself: two rankings of many rows become one, and who picked what."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mlsd._types import BoolArray, IntArray
from mlsd._validation import check_positive_int

__all__ = ["team_draft_orders"]


def team_draft_orders(
    order_a: npt.ArrayLike, order_b: npt.ArrayLike, coin: npt.ArrayLike, *, k: int | None = None
) -> tuple[IntArray, npt.NDArray[np.int8]]:
    """Merge two rankings of every row by team draft: the heart, on positions of candidates.

    Parameters
    ----------
    order_a, order_b : array-like of shape (n_rows, width_a) and (n_rows, width_b)
        Candidates of each row from the best, as integers of at least 0, distinct within a row;
        -1 where a list has ended.
    coin : array-like of bool of shape (n_rows, n_rounds)
        Whether `a` picks first in each round; a round is two places, so at least ``k / 2`` of them.
    k : int, optional
        Places of the merged list; default: the wider of the two widths.

    Returns
    -------
    order : ndarray of int64 of shape (n_rows, k)
        The merged list; -1 after its end, which comes when either list has nothing left.
    team : ndarray of int8 of shape (n_rows, k)
        0 where `a` picked, 1 where `b` did, -1 after the end.

    Raises
    ------
    TypeError
        If candidates are not integers or `coin` is not boolean.
    ValueError
        If shapes do not fit.

    See Also
    --------
    team_draft : The same for identifiers and for run frames.

    Examples
    --------
    >>> order, team = team_draft_orders([[0, 1, 2]], [[1, 3, 0]], [[True, False]])
    >>> order, team
    (array([[0, 1, 3]]), array([[0, 1, 1]], dtype=int8))
    """
    a, b = _orders(order_a, "order_a"), _orders(order_b, "order_b")
    width = max(a.shape[1], b.shape[1]) if k is None else check_positive_int(k, "k")
    flips = _coin(coin, a.shape[0], width)
    if a.shape[0] != b.shape[0]:
        raise ValueError(f"lengths differ: order_a has {a.shape[0]} rows, order_b {b.shape[0]}")
    n_rows, longest = a.shape[0], max(a.shape[1], b.shape[1])
    lists = np.full((n_rows, 2, longest), -1, dtype=np.int64)
    lists[:, 0, : a.shape[1]], lists[:, 1, : b.shape[1]] = a, b
    taken = lists < 0
    order = np.full((n_rows, width), -1, dtype=np.int64)
    team = np.full((n_rows, width), -1, dtype=np.int8)
    if not longest:
        return order, team
    rows = np.arange(n_rows)
    for place in range(width):
        # The one who lost the toss of a round picks second in it.
        turn = (flips[:, place // 2] == bool(place % 2)).astype(np.int8)
        pick = lists[rows, turn, taken[rows, turn].argmin(axis=1)]
        ended: BoolArray = np.any(taken.all(axis=2), axis=1)
        order[:, place] = np.where(ended, -1, pick)
        team[:, place] = np.where(ended, np.int8(-1), turn)
        taken |= lists == order[:, place, None, None]
    return order, team


def _orders(values: npt.ArrayLike, name: str) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 2:
        raise ValueError(f"{name} must have a row a list; got shape {array.shape}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must hold integers; got {array.dtype}")
    return array.astype(np.int64, copy=False)


def _coin(values: npt.ArrayLike, n_rows: int, k: int) -> BoolArray:
    array = np.asarray(values)
    if array.dtype.kind != "b" and array.size:
        raise TypeError(f"coin must be boolean; got {array.dtype}")
    if array.ndim != 2 or array.shape[0] != n_rows or 2 * array.shape[1] < k:
        raise ValueError(
            f"coin must have {n_rows} rows of at least {(k + 1) // 2} rounds; its shape is "
            f"{array.shape}"
        )
    return array.astype(np.bool_, copy=False)
