"""Two policies in one slate: team-draft interleaving as a policy of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_floats, as_pandas
from mlsd._keyed import check_seed, keyed_bits
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, IntArray
from mlsd.experiments._draft import team_draft_orders
from mlsd.world import _slate
from mlsd.world._policies import Arm, scored

__all__ = ["Interleave"]

_TEAMS = np.array(["a", "b"], dtype=object)


class Interleave:
    """A policy whose slates are drafted in turn by two others.

    Each request is a draft of its own (:func:`mlsd.experiments.team_draft`): in every round a toss
    decides who picks first, and each picks its best document that is not taken yet. The log has a
    further column `team`, "a" or "b": whose pick a document was. Clicks by team are the credit for
    :func:`mlsd.experiments.interleaving_test`.

    Parameters
    ----------
    a, b : policies
        Both score candidates, ``policy(requests, candidates)``, or both rank documents of their
        own, as a funnel does.
    random_state : int, default 0
        Of the tosses, which depend on it and the request alone.

    Raises
    ------
    TypeError
        If `a` or `b` is no policy, or one scores and the other ranks.
    ValueError
        When served where candidates have bids: a draft has no price. And if what `a` or `b`
        returns is wrong, as when it is served alone.

    Notes
    -----
    The `score` in the log counts down along the draft; it is neither that of `a` nor that of `b`.
    Further columns of `a` and `b` are logged with ``_a`` and ``_b`` after their names.

    References
    ----------
    Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM
    2008.

    Examples
    --------
    >>> from mlsd.world import Interleave, World
    >>> world = World("feed", n_users=100, n_items=50)
    >>> def cheap(requests, candidates):
    ...     return -candidates["price"]
    >>> def fresh(requests, candidates):
    ...     return -candidates["age"]
    >>> log = world.serve(Interleave(cheap, fresh), 1)
    >>> sorted(log["team"].unique())
    ['a', 'b']
    """

    def __new__(cls, a: Any, b: Any, *, random_state: int = 0) -> Interleave:
        """Return a policy that ranks if `a` and `b` do, and one that scores otherwise."""
        arms = [_arm(a, "a"), _arm(b, "b")]
        if arms[0].ranks != arms[1].ranks:
            raise TypeError(
                "a and b must both score candidates or both rank documents of their own; "
                f"{'a' if arms[0].ranks else 'b'} ranks and the other does not"
            )
        return object.__new__(_InterleavedRankers if arms[0].ranks else cls)

    def __init__(self, a: Any, b: Any, *, random_state: int = 0) -> None:
        """Keep the two policies and the seed of the tosses."""
        self.a = a
        self.b = b
        self.random_state = check_seed(random_state)
        self.__name__ = "Interleave"

    def __call__(self, requests: pd.DataFrame, candidates: pd.DataFrame) -> pd.DataFrame:
        """Return for each candidate its score in the draft and the team that picked it."""
        if "bid" in candidates:
            raise ValueError(
                "policy: the candidates have bids, and an interleaved slate has no price: serve "
                "Interleave in a world without an auction"
            )
        n = len(candidates) // max(len(requests), 1)
        score_a, extra_a = scored(_arm(self.a, "a"), requests, candidates, n)
        score_b, extra_b = scored(_arm(self.b, "b"), requests, candidates, n)
        order, team = team_draft_orders(
            _slate.top(score_a, n), _slate.top(score_b, n), self._coin(requests, n), k=n
        )
        drafted = np.empty(order.shape)
        np.put_along_axis(drafted, order, np.arange(float(n), 0.0, -1.0)[None, :], axis=1)
        teams = np.empty(order.shape, dtype=object)
        np.put_along_axis(teams, order, _TEAMS[team], axis=1)
        further = {f"{name}_a": values.ravel() for name, values in extra_a.items()}
        further |= {f"{name}_b": values.ravel() for name, values in extra_b.items()}
        return pd.DataFrame({"score": drafted.ravel(), "team": teams.ravel(), **further})

    def _coin(self, requests: pd.DataFrame, places: int) -> BoolArray:
        request = requests["request_id"].to_numpy()[:, None]
        bits = keyed_bits(self.random_state, "draft", request, np.arange((places + 1) // 2))
        result: BoolArray = bits >> np.uint64(63) == 0
        return result


class _InterleavedRankers(Interleave):
    """The same for policies that find their own documents."""

    def rank(self, queries: pd.DataFrame) -> pd.DataFrame:
        """Return the drafted lists: query_id, doc_id, score, rank and team."""
        of_a, of_b = _lists(_arm(self.a, "a"), queries), _lists(_arm(self.b, "b"), queries)
        places = max(of_a.shape[1], of_b.shape[1])
        coin = self._coin(queries.rename(columns={"query_id": "request_id"}), places)
        order, team = team_draft_orders(of_a, of_b, coin, k=places)
        row, place = np.nonzero(order >= 0)
        return pd.DataFrame(
            {
                "query_id": queries["query_id"].to_numpy()[row],
                "doc_id": order[row, place],
                "score": (places - place).astype(np.float64),
                "rank": place + 1,
                "team": _TEAMS[team[row, place]],
            }
        )


def _arm(policy: Any, name: str) -> Arm:
    arm = Arm(f"Interleave.{name}", policy)
    if not arm.ranks and not callable(policy):
        raise TypeError(
            f"{name} must be callable as policy(requests, candidates), or have a method "
            f"rank(queries); got {type(policy).__name__}"
        )
    return arm


def _lists(arm: Arm, queries: pd.DataFrame) -> IntArray:
    """Return the documents that a ranker found, a row a query, the best first, -1 at the end."""
    returned = arm.policy.rank(queries.copy(deep=False))  # the other has the same
    columns = list(getattr(returned, "columns", []))
    wanted = ["query_id", "doc_id", "rank" if "rank" in columns else "score"]
    run = as_pandas(returned, f"what {arm} returned", wanted)
    row: AnyArray = pd.Index(queries["query_id"]).get_indexer(pd.Index(run["query_id"]))
    if (row < 0).any():
        stranger = run["query_id"].tolist()[int(np.flatnonzero(row < 0)[0])]
        raise ValueError(f"{arm} returned the query_id {stranger!r}, which is none of its requests")
    doc = as_column(run["doc_id"], f"doc_id of {arm}")
    if doc.dtype.kind not in "iu" or (doc.size and doc.min() < 0):
        raise TypeError(f"{arm} must return the doc_id of world.items; got {doc.dtype}")
    by = as_floats(run[wanted[2]], f"the {wanted[2]} of {arm}")
    order = np.lexsort((by if wanted[2] == "rank" else -by, row))
    row, doc = row[order], doc[order]
    size = np.bincount(row, minlength=len(queries))
    place = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size)
    lists = np.full((len(queries), int(size.max(initial=1))), -1, dtype=np.int64)
    lists[row, place] = doc
    return lists
