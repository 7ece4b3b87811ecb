"""Business rules of a slate: quotas, minimums and pinned places."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_columns
from mlsd.funnel._rule_fill import RuleRows, fill
from mlsd.funnel._rule_kinds import AtLeast, AtMost, Pin, Rule, check_together
from mlsd.funnel._runs import check_id_kind, check_same_kind
from mlsd.funnel._slate import Candidates, Picks, assemble, blocks, prepare

__all__ = ["AtLeast", "AtMost", "Pin", "SlateRules", "UnmetRuleWarning"]


class UnmetRuleWarning(UserWarning):
    """A minimum or a pinned place could not be had, or a quota made slates shorter."""


class SlateRules:
    """Build slates that keep business rules: quotas, minimums, pinned places.

    A slate is filled place by place with the best-scored candidate that the rules allow:

    - the documents of :class:`Pin` go to their places, and are counted from the beginning;
    - an :class:`AtMost` is never broken: if it allows no candidate, the slate ends there, and is
      shorter;
    - an :class:`AtLeast` waits until the places left are only just enough for what it lacks, and
      then takes them for documents that match, the best-scored first.

    Parameters
    ----------
    rules : iterable of AtMost, AtLeast and Pin
        In any order. Without rules the slate is the top `k`.

    Warns
    -----
    UnmetRuleWarning
        By :meth:`rerank`, if an AtLeast or a Pin is unmet or a slate is shorter than `k` and its
        candidates: which, in how many queries, and in how many of these the candidates lacked
        what the rule asks for. :meth:`check` counts the same on the slates alone.

    Notes
    -----
    The score of the slate follows the order: a document has its own score, or that of the best
    document beneath it if that is higher, because a rule lifted the document or held the other
    down. Sorting by score and rank gives the slate back. Its own score stays in `score_before`.

    The greedy way looks at no later place but for minimums and pins. It gives the highest scores
    that the rules allow if there are only AtMost rules on one column over the whole slate, or a
    single AtLeast. With several it may miss what a search over all slates would find: it can
    spend the quota of a seller on a document at the top, when a minimum further down could only
    be met by another document of that seller. A minimum counts as if each document served one
    rule, so that minimums on several columns may lift a document earlier than they need to.

    If candidates run out before a pinned place, its document moves up and the Pin is unmet. A
    document that two pins want goes to the one further up, and the other takes the next best.

    All queries of a block take a step together: a slate of `k` from `n` candidates with `r` rules
    costs O(k n r).

    Examples
    --------
    >>> import pandas as pd
    >>> from mlsd.funnel import AtLeast, AtMost, Pin, SlateRules
    >>> run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c", "d", "ad"],
    ...                     "score": [5.0, 4.0, 3.0, 2.0, 1.0],
    ...                     "seller": ["x", "x", "x", "y", "z"],
    ...                     "is_ad": [False, False, False, False, True]})
    >>> rules = SlateRules([AtMost(2, "seller"), Pin(3, by="is_ad", equals=True)])
    >>> slate = rules.rerank(run, k=4)
    >>> slate[["doc_id", "score", "rank", "seller", "score_before"]]
      doc_id  score  rank seller  score_before
    0      a    5.0     1      x           5.0
    1      b    4.0     2      x           4.0
    2     ad    2.0     3      z           1.0
    3      d    2.0     4      y           2.0
    >>> rules.check(slate, k=4)
                              rule  queries  violations  shortfall
    0          AtMost(2, 'seller')        1           0          0
    1  Pin(3, by='is_ad', equals=True)    1           0          0
    2                          k=4        1           0          0
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        """See the class."""
        if isinstance(rules, Rule) or not isinstance(rules, Iterable):
            raise TypeError(f"rules must be a list of rules; got {rules!r}")
        self.rules: tuple[Rule, ...] = tuple(rules)
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise TypeError(
                    f"rules must be AtMost, AtLeast or Pin; got {rule!r} ({type(rule).__name__})"
                )
        check_together(self.rules)

    def __repr__(self) -> str:
        """Show the rules."""
        return f"SlateRules({list(self.rules)!r})"

    def rerank(self, run: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
        """Return the slate of every query.

        Parameters
        ----------
        run : DataFrame
            The candidates: query_id, doc_id, a finite score, the columns that the rules name, and
            perhaps rank, which then settles equal scores. Other columns are carried along.
        k : int, optional
            Size of the slate, at least 1. Default: all candidates.

        Returns
        -------
        DataFrame
            query_id, doc_id, score and rank (from 1), then the other columns of `run`, and
            score_before (which replaces a column of that name); queries in the order they first
            appear. A query whose candidates are all forbidden has no rows.

        Raises
        ------
        TypeError
            If a rule asks for a string in a column of integers, or the reverse.
        ValueError
            If a column is missing, or the run repeats a pair, holds a missing or infinite score,
            or ranks against its scores.
        """
        return self._rerank(run, k)

    def __call__(self, run: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
        """Re-rank: the same as :meth:`rerank`, so that rules are a stage."""
        return self._rerank(run, k)

    def check(self, slate: pd.DataFrame, k: int | None = None) -> pd.DataFrame:
        """Count where slates break the rules, whoever made them.

        Parameters
        ----------
        slate : DataFrame
            query_id, doc_id, score and the columns that the rules name; perhaps rank.
        k : int, optional
            The size that slates should have. Default: any.

        Returns
        -------
        DataFrame
            One row a rule, and one for `k` if it is given, with the columns rule; queries, how
            many have a slate; violations, in how many of them the rule is broken or unmet; and
            shortfall, by how many documents: too many (AtMost), too few (AtLeast, `k`) or not
            in their place (Pin).

        Raises
        ------
        TypeError, ValueError
            As :meth:`rerank`.

        Examples
        --------
        >>> import pandas as pd
        >>> from mlsd.funnel import AtMost, SlateRules
        >>> slate = pd.DataFrame({"query_id": [1, 1, 1, 2], "doc_id": ["a", "b", "c", "a"],
        ...                       "score": [3, 2, 1, 3], "seller": ["x", "x", "x", "x"]})
        >>> SlateRules([AtMost(1, "seller")]).check(slate, k=2)
                          rule  queries  violations  shortfall
        0  AtMost(1, 'seller')        2           1          2
        1                  k=2        2           1          1
        """
        found = prepare(slate, k, "slate")
        read = _read(self.rules, found.frame, "slate", found.query)
        n = found.n_queries
        lacks = [_shortfall(one, found.query, found.places(), n) for one in read]
        names = [repr(rule) for rule in self.rules]
        if k is not None:
            lacks.append(np.maximum(k - found.sizes, 0))
            names.append(f"k={k}")
        return pd.DataFrame(
            {
                "rule": pd.Series(names, dtype=object),
                "queries": np.full(len(names), n),
                "violations": np.array([np.count_nonzero(lack) for lack in lacks], dtype=np.int64),
                "shortfall": np.array([lack.sum() for lack in lacks], dtype=np.int64),
            }
        )

    def _rerank(self, run: pd.DataFrame, k: int | None) -> pd.DataFrame:
        """Re-rank; a warning points to the caller of the public method that calls this one."""
        candidates = prepare(run, k)
        frame = candidates.frame
        read = _read(self.rules, frame, "run", candidates.query)
        score = as_floats(frame["score"], "run['score']")
        picks = []
        for block in blocks(candidates.sizes, 1 + len(read)):
            at, value = candidates.padded(block, 1.0)
            rows = candidates.order[at]
            picked = fill(value > -np.inf, rows, read, np.inf if k is None else k)
            line, place = np.nonzero(picked >= 0)
            rows = rows[line, picked[line, place]]
            worth = np.full(picked.shape, -np.inf)
            worth[line, place] = score[rows]
            worth = np.maximum.accumulate(worth[:, ::-1], axis=1)[:, ::-1]
            picks.append((block[line], place, rows, worth[line, place]))
        _warn(read, candidates, picks)
        return assemble(replace(candidates, frame=frame.assign(score_before=frame["score"])), picks)


def _read(rules: Iterable[Rule], frame: pd.DataFrame, name: str, query: IntArray) -> list[RuleRows]:
    """Look every rule up in the columns of `frame`."""
    found = []
    for rule in rules:
        if isinstance(rule, Pin) and rule.doc_ids is not None:
            wanted = pd.DataFrame({"doc_id": list(rule.doc_ids)})
            check_same_kind({name: frame, "doc_ids of Pin": wanted}, ["doc_id"])
            match = frame["doc_id"].isin(wanted["doc_id"]).to_numpy(dtype=np.bool_)
        else:
            check_columns(frame, name, [str(rule.by)])
            column = frame[rule.by]
            if rule.equals is None:
                value = pd.factorize(column, use_na_sentinel=False)[0]
                group, unique = pd.factorize(query * (value.max(initial=0) + 1) + value)
                found.append(RuleRows(rule, np.ones(len(frame), np.bool_), group, len(unique)))
                continue
            check_id_kind(rule.equals, str(rule.by), name, frame)
            match = (column == rule.equals).fillna(False).to_numpy(dtype=np.bool_)
        group = np.where(match, query, -1)
        found.append(RuleRows(rule, match, group, int(query.max(initial=-1)) + 1))
    return found


def _shortfall(
    read: RuleRows, query: IntArray, place: IntArray | FloatArray, n_queries: int
) -> IntArray:
    """Return by how many documents the slate of every query misses the rule.

    `place` counts from 0 and is infinite for what is not in the slate.
    """
    rule = read.rule
    if isinstance(rule, AtMost):
        inside = read.match & (place < read.window)
        count = np.bincount(read.group[inside], minlength=read.n_groups)
        query_of = np.zeros(read.n_groups, dtype=np.int64)
        query_of[read.group[read.match]] = query[read.match]
        excess = np.bincount(query_of, np.maximum(count - rule.n, 0), minlength=n_queries)
        return excess.astype(np.int64)
    if isinstance(rule, AtLeast):
        count = np.bincount(query[read.match & (place < read.window)], minlength=n_queries)
        return np.maximum(rule.n - count, 0)
    there = read.match & (place == rule.position - 1)
    return 1 - np.bincount(query[there], minlength=n_queries)


def _warn(read: list[RuleRows], candidates: Candidates, picks: list[Picks]) -> None:
    """Say which minimums and pins are unmet and how many slates are short, if any are."""
    query, n_queries = candidates.query, candidates.n_queries
    place = np.full(query.size, np.inf)
    n_placed = np.zeros(n_queries, dtype=np.int64)
    for number, at, rows, _ in picks:
        place[rows] = at
        n_placed += np.bincount(number, minlength=n_queries)
    told = []
    for one in read:
        if isinstance(one.rule, AtMost):
            continue
        unmet = _shortfall(one, query, place, n_queries) > 0
        wants = one.rule.n if isinstance(one.rule, AtLeast) else 1
        lacking = unmet & (np.bincount(query[one.match], minlength=n_queries) < wants)
        if unmet.any():
            told.append(
                f"{one.rule!r} is unmet in {np.count_nonzero(unmet)} of {n_queries} queries, in "
                f"{np.count_nonzero(lacking)} of them for want of candidates"
            )
    short = np.count_nonzero(n_placed < np.minimum(candidates.sizes, candidates.k))
    if short:
        told.append(f"AtMost makes {short} of {n_queries} slates shorter")
    if told:
        warnings.warn("; ".join(told), UnmetRuleWarning, stacklevel=4)
