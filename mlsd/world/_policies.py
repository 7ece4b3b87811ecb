"""Policies as the world meets them: called, and what they return checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsd._inputs import as_column, as_floats, as_pandas
from mlsd._lazy import pandas as pd
from mlsd._types import AnyArray, BoolArray, FloatArray, IntArray
from mlsd._validation import check_number, check_positive
from mlsd.world._log import ALL_COLUMNS

__all__ = ["Arm", "assigned", "check_exploration", "ranked", "read_arms", "same_policy", "scored"]


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One policy and the name that the log knows it by."""

    name: str
    policy: Any

    @property
    def ranks(self) -> bool:
        """Whether it finds its own documents, as a funnel does, and does not score candidates."""
        return callable(getattr(self.policy, "rank", None))

    def __str__(self) -> str:
        """Return how errors speak of it."""
        return f"policy {self.name!r}"


def read_arms(policy: Any) -> list[Arm]:
    """Return the arms of a policy or of a mapping of names to policies, or raise."""
    if isinstance(policy, Mapping):
        if not policy:
            raise ValueError("policy is a mapping without arms")
        wrong = [name for name in policy if not isinstance(name, str)]
        if wrong:
            raise TypeError(f"policy must have strings as the names of arms; got {wrong[0]!r}")
        arms = [Arm(name, one) for name, one in policy.items()]
    else:
        arms = [Arm(str(getattr(policy, "__name__", type(policy).__name__)), policy)]
    for arm in arms:
        if not arm.ranks and not callable(arm.policy):
            raise TypeError(
                f"{arm} must be callable as policy(requests, candidates), or have a method "
                f"rank(queries); got {type(arm.policy).__name__}"
            )
    return arms


def same_policy(one: Any, other: Any) -> bool:
    """Return whether two arms are the same object; a method is another object at each access."""
    return one is other or bool(inspect.ismethod(one) and inspect.ismethod(other) and one == other)


def assigned(
    assign: Callable[[AnyArray], Any] | None, units: AnyArray, arms: list[Arm]
) -> IntArray:
    """Return the number of the arm of each unit."""
    names = [arm.name for arm in arms]
    if len(arms) == 1 and assign is None:
        return np.zeros(units.size, dtype=np.int64)
    if assign is None:
        from mlsd.experiments import assign as by_hash

        weights = dict.fromkeys(names, 1.0 / len(names))
        labels = by_hash(units, salt="world", weights=weights)
    else:
        labels = as_column(assign(units), "assign(units)")
    if len(labels) != units.size:
        raise ValueError(f"assign returned {len(labels)} arms for {units.size} units")
    code = pd.Index(names).get_indexer(pd.Index(labels))
    if (code < 0).any():
        found = labels[int(np.flatnonzero(code < 0)[0])]
        raise ValueError(f"assign returned {found!r}, which is no arm of policy: it has {names}")
    return np.asarray(code, dtype=np.int64)


def check_exploration(
    explore: Any, temperature: Any, arms: list[Arm]
) -> tuple[float, float | None]:
    """Return the share of random slates and the temperature, or raise."""
    check_number(explore, "explore")
    if not 0 <= explore <= 1:
        raise ValueError(f"explore must lie between 0 and 1; got {explore!r}")
    rankers = [arm for arm in arms if arm.ranks]
    if rankers and (explore or temperature is not None):
        name, value = ("explore", explore) if explore else ("temperature", temperature)
        raise ValueError(
            f"{name} needs a policy that scores candidates: {rankers[0]} ranks documents of its "
            f"own; got {name}={value!r}"
        )
    if temperature is None:
        return float(explore), None
    if explore:
        raise ValueError(
            f"explore and temperature are two ways to explore, take one; got explore={explore!r} "
            f"and temperature={temperature!r}"
        )
    return 0.0, check_positive(temperature, "temperature")


def scored(
    arm: Arm, requests: pd.DataFrame, candidates: pd.DataFrame, n_candidates: int
) -> tuple[FloatArray, dict[str, AnyArray]]:
    """Return the scores of the candidates and further columns, each of shape (R, C)."""
    # Frames of its own: what a policy sorts or writes in place is nobody else's.
    returned = arm.policy(requests.copy(deep=False), candidates.copy(deep=False))
    shape = (len(requests), n_candidates)
    extra: dict[str, AnyArray] = {}
    index = getattr(returned, "index", None)  # of a list it is a method
    if isinstance(returned, pd.DataFrame):
        extra = _further_columns(arm, returned, candidates)
        returned = returned["score"]
    score = as_floats(returned, f"the score of {arm}")
    if score.size != len(candidates):
        raise ValueError(
            f"{arm} returned {score.size} scores for {len(candidates)} candidates; "
            "it must return one for each row of them, in their order"
        )
    _refuse_infinite(arm, score)
    _refuse_other_order(arm, index, candidates.index)
    return score.reshape(shape), {name: column.reshape(shape) for name, column in extra.items()}


def _refuse_infinite(arm: Arm, score: FloatArray) -> None:
    if not np.isfinite(score).all():
        bad = int((~np.isfinite(score)).sum())
        raise ValueError(f"{arm} returned {bad} infinite scores among {score.size}")


def _refuse_other_order(arm: Arm, index: Any, given: pd.Index[Any]) -> None:
    """Refuse rows that were sorted: a frame's index tells, where it is still that of the given."""
    if not isinstance(index, pd.Index) or index.dtype.kind not in "iu" or index.equals(given):
        return
    if index.is_unique and index.isin(given).all():
        raise ValueError(
            f"{arm} returned its rows in another order than that of the candidates: their index is "
            "that of the candidates, sorted; sort them back, or reset the index if they are right"
        )


def _further_columns(
    arm: Arm, returned: pd.DataFrame, candidates: pd.DataFrame
) -> dict[str, AnyArray]:
    names = list(returned.columns)
    if "score" not in names:
        raise ValueError(f"{arm} returned a frame without the column 'score'; it has {names}")
    if len(set(names)) < len(names):
        raise ValueError(f"{arm} returned a frame with repeated columns: {names}")
    if len(returned) != len(candidates):
        raise ValueError(
            f"{arm} returned {len(returned)} rows for {len(candidates)} candidates; "
            "it must return one for each row of them, in their order"
        )
    extra = {}
    for name in names:
        if name in ("request_id", "user_id", "doc_id"):
            # Not news, but proof that the rows are still in order and the documents those given.
            given = candidates[name].to_numpy()
            if not np.array_equal(as_column(returned[name], str(name)), given):
                raise ValueError(
                    f"{arm} returned another {name} than that of the candidates: it must keep "
                    "their rows and their order, and add no documents"
                )
        elif name in ALL_COLUMNS and name not in ("score", "bid"):
            raise ValueError(f"{arm} returned a column {name!r}, which the log writes itself")
        elif name not in ("score", "bid"):
            extra[str(name)] = as_column(returned[name], str(name))
    return extra


def ranked(
    arm: Arm, requests: pd.DataFrame, k: int | None, live: BoolArray
) -> tuple[IntArray, FloatArray, dict[str, AnyArray]]:
    """Return the documents, scores and further columns of the best `k`, each of shape (R, k).

    Without `k` there are as many columns as the longest list has documents. Places that the policy
    leaves empty have the document -1.
    """
    queries = requests.rename(columns={"request_id": "query_id"})
    returned = arm.policy.rank(queries)
    columns = list(getattr(returned, "columns", []))
    what = f"what {arm} returned"
    run = as_pandas(returned, what, dict.fromkeys(["query_id", "doc_id", "score", *columns]))
    row = pd.Index(requests["request_id"]).get_indexer(pd.Index(run["query_id"]))
    if (row < 0).any():
        stranger = run["query_id"][row < 0].tolist()[0]
        raise ValueError(f"{arm} returned the query_id {stranger!r}, which is none of its requests")
    doc = _documents(arm, as_column(run["doc_id"], f"doc_id of {arm}"), live)
    score = as_floats(run["score"], f"the score of {arm}")
    _refuse_infinite(arm, score)
    by = as_floats(run["rank"], f"the rank of {arm}") if "rank" in run else -score
    order = np.lexsort((by, row))
    row, doc, score = row[order], doc[order], score[order]
    pair = np.sort(row * live.size + doc)
    again = np.flatnonzero(pair[1:] == pair[:-1])
    if again.size:
        raise ValueError(
            f"{arm} returned duplicates: document {int(pair[again[0]] % live.size)} more than "
            f"once in one slate, and {again.size} such in all"
        )
    size = np.bincount(row, minlength=len(requests))
    if not size.all():
        raise ValueError(f"{arm} returned no documents for {int((size == 0).sum())} requests")
    place = np.arange(row.size) - np.repeat(np.cumsum(size) - size, size)
    k = int(size.max()) if k is None else k
    kept = place < k
    at = row[kept], place[kept]
    docs = np.full((len(requests), k), -1)
    docs[at] = doc[kept]
    scores = np.full(docs.shape, -np.inf)
    scores[at] = score[kept]
    extra = {}
    for name in run.columns:
        if name in ("query_id", "doc_id", "score", "rank"):
            continue
        if name in ALL_COLUMNS:
            raise ValueError(f"{arm} returned a column {name!r}, which the log writes itself")
        values = as_column(run[name], str(name))[order][kept]
        filled = np.empty(docs.shape, dtype=values.dtype)
        filled[at] = values
        extra[str(name)] = filled
    return docs, scores, extra


def _documents(arm: Arm, doc: AnyArray, live: BoolArray) -> IntArray:
    if doc.size and doc.dtype.kind not in "iu":
        raise TypeError(
            f"{arm} must return the doc_id of world.items, which are integers; got {doc.dtype}"
        )
    exists = (doc >= 0) & (doc < live.size)
    if not exists.all():
        raise ValueError(
            f"{arm} returned {int((~exists).sum())} documents that do not exist, such as "
            f"{int(doc[~exists][0])}"
        )
    doc = doc.astype(np.int64)
    dead = ~live[doc]
    if dead.any():
        raise ValueError(
            f"{arm} returned {int(dead.sum())} documents that have expired, such as "
            f"{int(doc[dead][0])}: rank those that are live in world.items"
        )
    return doc
