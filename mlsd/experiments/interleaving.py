"""Team-draft interleaving: two rankings in one list, and whose documents are clicked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from mlsd._inputs import as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._results import Result
from mlsd._types import AnyArray, IntArray
from mlsd._validation import as_generator, check_positive_int
from mlsd.experiments._draft import team_draft_orders
from mlsd.experiments._draft_runs import RunPair, factorize_together
from mlsd.experiments._preference import Preference, interleaving_test

__all__ = [
    "Interleaved",
    "InterleavedRuns",
    "Preference",
    "interleaving_test",
    "team_draft",
    "team_draft_orders",
]

_TEAMS = ["a", "b"]


@dataclass(frozen=True, slots=True)
class Interleaved(Result):
    """One merged list and who picked what.

    Attributes
    ----------
    ranking : tuple
        Identifiers, the first place first.
    teams : tuple of {"a", "b"}
        Whose pick each of them was.
    n_shared : int
        Leading places at which both rankings have the same document.
    """

    ranking: tuple[Any, ...]
    teams: tuple[str, ...]
    n_shared: int

    def credit(self, clicks: Any, *, count_shared: bool = True) -> tuple[float, float]:
        """Return the clicks that each ranking gets.

        Parameters
        ----------
        clicks : array-like of shape (n_places,)
            Clicks at each place: booleans or numbers of at least 0.
        count_shared : bool, default True
            Whether clicks within the shared beginning count, as in the paper. Both rankings expect
            the same from them, so that leaving them out takes away noise and no signal.

        Returns
        -------
        tuple of float
            Credit of `a` and of `b`.

        Raises
        ------
        ValueError
            If the length is not that of the list, or a number is negative or not finite.
        """
        values = as_floats(clicks, "clicks")
        if values.size != len(self.ranking):
            raise ValueError(
                f"clicks must have one value a place, {len(self.ranking)}; got {values.size}"
            )
        _refuse_negative(values, "clicks")
        if not count_shared:
            values = np.where(np.arange(values.size) < self.n_shared, 0.0, values)
        of_b = np.array([team == "b" for team in self.teams], dtype=np.bool_)
        return float(values[~of_b].sum()), float(values[of_b].sum())

    def to_frame(self) -> pd.DataFrame:
        """Return the list as a table: doc_id, rank, team and whether the place is shared."""
        rank = np.arange(1, len(self.ranking) + 1)
        return pd.DataFrame(
            {
                "doc_id": list(self.ranking),
                "rank": rank,
                "team": pd.Categorical(list(self.teams), categories=_TEAMS),
                "shared": rank <= self.n_shared,
            }
        )


@dataclass(frozen=True, slots=True)
class InterleavedRuns(Result):
    """The merged lists of many queries.

    Attributes
    ----------
    ranking : DataFrame
        query_id, doc_id, rank (from 1), team ("a" or "b") and shared: whether the place is among
        the leading ones at which both rankings have the same document. Queries stand in order of
        their first row in `ranking_a`.
    n_queries : int
        Queries with a merged list.
    n_unmatched : int
        Queries that only one of the two runs answers. There is nothing to draft from, and they have
        no list.
    """

    ranking: pd.DataFrame
    n_queries: int
    n_unmatched: int

    def credit(self, clicks: Any, *, count_shared: bool = True) -> pd.DataFrame:
        """Return the clicks that each ranking gets in every query.

        Parameters
        ----------
        clicks : DataFrame
            query_id and doc_id, a row a click; with a column `click`, that many clicks a row.
        count_shared : bool, default True
            Whether clicks within the shared beginning count; see :meth:`Interleaved.credit`.

        Returns
        -------
        DataFrame
            query_id, credit_a, credit_b; a row for each query, those without a click included.

        Raises
        ------
        TypeError
            If identifiers are of another kind than those shown.
        ValueError
            If a click is on a document that was not shown, or a number is negative or not finite.
        """
        shown = self.ranking
        names = "ranking", "clicks"
        has_count = "click" in list(getattr(clicks, "columns", ()))
        rows = as_pandas(clicks, "clicks", ["query_id", "doc_id", *["click"] * has_count])
        weight = as_floats(rows["click"], "clicks['click']") if has_count else np.ones(len(rows))
        _refuse_negative(weight, "clicks['click']")
        queries, query = factorize_together(
            [shown["query_id"], rows["query_id"]], names, "query_id"
        )
        docs, doc = factorize_together([shown["doc_id"], rows["doc_id"]], names, "doc_id")
        place = pd.Index(query[0] * docs.size + doc[0]).get_indexer(
            pd.Index(query[1] * docs.size + doc[1])
        )
        unknown = np.flatnonzero(place < 0)
        if unknown.size:
            pair = tuple(rows[name].tolist()[unknown[0]] for name in ("query_id", "doc_id"))
            raise ValueError(
                f"clicks holds {unknown.size} clicks on documents that were not shown, such as "
                f"{pair}"
            )
        if not count_shared:
            weight = np.where(shown["shared"].to_numpy()[place], 0.0, weight)
        of_b = shown["team"].cat.codes.to_numpy()[place] == 1
        n = self.n_queries
        return pd.DataFrame(
            {
                "query_id": queries[:n],
                "credit_a": np.bincount(query[1], weights=weight * ~of_b, minlength=n)[:n],
                "credit_b": np.bincount(query[1], weights=weight * of_b, minlength=n)[:n],
            }
        )

    def to_frame(self) -> pd.DataFrame:
        """Return the merged lists."""
        return self.ranking

    def _note(self) -> str:
        if not self.n_unmatched:
            return ""
        return f"{self.n_unmatched} queries are answered by one run only and have no list"


@overload
def team_draft(
    ranking_a: pd.DataFrame,
    ranking_b: pd.DataFrame,
    random_state: int | np.random.Generator | None = None,
    k: int | None = None,
) -> InterleavedRuns: ...


@overload
def team_draft(
    ranking_a: Sequence[Any] | AnyArray,
    ranking_b: Sequence[Any] | AnyArray,
    random_state: int | np.random.Generator | None = None,
    k: int | None = None,
) -> Interleaved: ...


def team_draft(
    ranking_a: Any,
    ranking_b: Any,
    random_state: int | np.random.Generator | None = None,
    k: int | None = None,
) -> Interleaved | InterleavedRuns:
    """Merge two rankings into one list, as two captains pick teams.

    In each round a toss decides who picks first, and the other picks next. Each adds its best
    document that is not in the list yet. The list ends when either ranking has nothing left to add.
    Whoever looks at it sees one result page; a click speaks for the ranking that picked the
    document. Under clicks at random both expect the same credit, if each has `k` documents or more.

    Parameters
    ----------
    ranking_a, ranking_b : sequence, or DataFrame
        Identifiers from the best, distinct. Or runs of many queries: query_id, doc_id, and score
        (higher first) or rank (lower first) or both, where rank settles equal scores; rows that are
        equal in all of them keep their order.
    random_state : int, Generator or None
        Source of the tosses.
    k : int, optional
        Places of the list at most; default: as long as the algorithm goes.

    Returns
    -------
    Interleaved or InterleavedRuns
        The list and the teams; of one pair of rankings, or of all queries.

    Raises
    ------
    TypeError
        If one is a run and the other is not, or integers meet strings as identifiers.
    ValueError
        If identifiers are missing or repeat within a list, a run lacks columns, or ranks go against
        scores.

    See Also
    --------
    interleaving_test : Which of the two is preferred, over many lists.

    Notes
    -----
    A document that both rankings have belongs to the one that picked it, also in their shared
    beginning. The draft can be blind: with ``a = (x, y, z)``, ``b = (y, z, x)`` and users who want
    only z, `b` is better, yet either picks z half of the time (Radlinski and Craswell 2013 mend
    it). And its end is not fair: with ``a = (x,)`` and ``b = (y, z)`` the list is x, or y and x,
    so that `a` has the place more. With `k` no longer than the shorter ranking this cannot happen.

    References
    ----------
    Radlinski, Kurup and Joachims (2008), How does clickthrough data reflect retrieval quality?,
    CIKM, algorithm 2.
    Radlinski and Craswell (2013), Optimized interleaving for online retrieval evaluation, WSDM.

    Examples
    --------
    >>> merged = team_draft(["x", "y", "z"], ["x", "w", "y"], random_state=1, k=3)
    >>> merged.ranking, merged.teams
    (('x', 'y', 'w'), ('b', 'a', 'b'))
    >>> merged.credit([0, 1, 0])
    (1.0, 0.0)
    """
    rng = as_generator(random_state)
    limit = None if k is None else check_positive_int(k, "k")
    tables = [hasattr(ranking, "columns") for ranking in (ranking_a, ranking_b)]
    if all(tables):
        return _of_runs(ranking_a, ranking_b, rng, limit)
    if any(tables):
        raise TypeError(
            "ranking_a and ranking_b must both be sequences or both be tables; got "
            f"{type(ranking_a).__name__} and {type(ranking_b).__name__}"
        )
    return _of_pair(ranking_a, ranking_b, rng, limit)


def _of_pair(
    ranking_a: Any, ranking_b: Any, rng: np.random.Generator, k: int | None
) -> Interleaved:
    lists = [_identifiers(ranking_a, "ranking_a"), _identifiers(ranking_b, "ranking_b")]
    position: dict[Any, int] = {}
    a, b = (
        np.array([[position.setdefault(item, len(position)) for item in items]], dtype=np.int64)
        for items in lists
    )
    places = a.size + b.size if k is None else min(k, a.size + b.size)
    if not places:
        return Interleaved((), (), 0)
    order, team = team_draft_orders(a, b, _toss(rng, 1, places), k=places)
    n = int((team[0] >= 0).sum())
    every = list(position)
    shorter = min(a.size, b.size)
    return Interleaved(
        tuple(every[at] for at in order[0, :n]),
        tuple(_TEAMS[code] for code in team[0, :n]),
        min(n, int(np.cumprod(a[0, :shorter] == b[0, :shorter]).sum())),
    )


def _of_runs(
    ranking_a: Any, ranking_b: Any, rng: np.random.Generator, k: int | None
) -> InterleavedRuns:
    pair = RunPair.read(ranking_a, ranking_b, k)
    query, doc, rank, team, shared = ([np.zeros(0, dtype=np.int64)] for _ in range(5))
    for members in pair.size_classes():
        a, b = pair.a.matrix(members), pair.b.matrix(members)
        places = a.shape[1] + b.shape[1] if k is None else min(k, a.shape[1] + b.shape[1])
        order, teams = team_draft_orders(a, b, _toss(rng, members.size, places), k=places)
        inside = teams >= 0
        row, place = np.nonzero(inside)
        shorter = min(a.shape[1], b.shape[1])
        same = (a[:, :shorter] == b[:, :shorter]) & (a[:, :shorter] >= 0)
        n_shared = np.cumprod(same, axis=1).sum(axis=1)
        query.append(members[row])
        doc.append(order[inside])
        rank.append(place + 1)
        team.append(teams[inside].astype(np.int64))
        shared.append((place < n_shared[row]).astype(np.int64))
    at, ranks = np.concatenate(query), np.concatenate(rank)
    by = np.lexsort((ranks, at))
    frame = pd.DataFrame(
        {
            "query_id": pair.queries[at[by]],
            "doc_id": pair.docs[np.concatenate(doc)[by]],
            "rank": ranks[by],
            "team": pd.Categorical.from_codes(np.concatenate(team)[by], pd.Index(_TEAMS)),
            "shared": np.concatenate(shared)[by].astype(np.bool_),
        }
    )
    n_queries = pair.in_both().size
    return InterleavedRuns(frame, n_queries, pair.queries.size - n_queries)


def _toss(rng: np.random.Generator, n_rows: int, places: int) -> AnyArray:
    return rng.random((n_rows, (places + 1) // 2)) < 0.5


def _identifiers(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{name} must be a sequence of identifiers; got {values!r}")
    items = list(values.tolist() if hasattr(values, "tolist") else values)
    missing = sum(bool(pd.isna(item)) for item in items if not isinstance(item, tuple))
    if missing:
        raise ValueError(f"{name} holds {missing} missing identifiers among {len(items)}")
    if len(set(items)) < len(items):
        first = next(item for at, item in enumerate(items) if item in items[:at])
        raise ValueError(f"{name} must not repeat identifiers; {first!r} stands there twice")
    return items


def _refuse_negative(values: Any, name: str) -> None:
    wrong: IntArray = np.flatnonzero(~((values >= 0) & (values < np.inf)))
    if wrong.size:
        raise ValueError(
            f"{name} must be finite and not negative; {wrong.size} of {values.size} values are "
            f"not, such as {float(values[wrong[0]])!r}"
        )
