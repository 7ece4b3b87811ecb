"""What every part of the funnel shares: identifiers, queries, run frames and their order.

A *run* is a frame with the columns query_id, doc_id, score and rank (from 1), one row a
retrieved pair. Score orders it and rank settles equal scores: see the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mlsd._inputs import as_floats
from mlsd._types import FloatArray, IntArray
from mlsd._validation import check_columns, check_rank_follows_score

RUN_COLUMNS = ["query_id", "doc_id", "score", "rank"]


def as_ids(values: Any, name: str, *, size: int | None = None) -> pd.Index[Any]:
    """Return `values` as an Index of unique identifiers without missing ones, or raise."""
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a sequence of identifiers; got {values!r}")
    ids: pd.Index[Any] = pd.Index(values)
    if isinstance(ids, pd.MultiIndex):
        example = ids[:1].tolist()
        raise TypeError(f"{name} must be strings or numbers; got tuples, such as {example}")
    if size is not None and len(ids) != size:
        raise ValueError(f"{name} has {len(ids)} identifiers for {size} items")
    missing = int(np.count_nonzero(ids.isna()))
    if missing:
        raise ValueError(f"{name} holds {missing} missing identifiers among {len(ids)}")
    if not ids.is_unique:
        again = ids[ids.duplicated()].tolist()
        raise ValueError(
            f"{name} must be unique; {len(again)} are repeated, the first being {again[0]!r}"
        )
    return ids


def positions(ids: pd.Index[Any], wanted: Any, name: str) -> IntArray:
    """Return where each of `wanted` stands in `ids`; raise if any is not there."""
    found = np.asarray(ids.get_indexer(pd.Index(wanted)), dtype=np.int64)
    unknown = np.flatnonzero(found < 0)
    if unknown.size:
        first = pd.Index(wanted)[unknown[:1]].tolist()[0]
        raise ValueError(f"{name} holds {unknown.size} unknown identifiers, the first {first!r}")
    return found


def read_queries(queries: Any, column: str = "text") -> tuple[pd.Index[Any], list[Any]]:
    """Return the query ids and what is asked: texts, or mappings from term to weight."""
    if isinstance(queries, pd.DataFrame):
        used = "terms" if "terms" in queries.columns else column
        check_columns(queries, "queries", ["query_id", used])
        return as_ids(queries["query_id"], "queries['query_id']"), list(queries[used])
    if isinstance(queries, pd.Series):
        return as_ids(queries.index, "the index of queries"), list(queries)
    if isinstance(queries, (str, bytes, Mapping)) or not isinstance(
        queries, (Sequence, np.ndarray, pd.Index)
    ):
        raise TypeError(
            "queries must be a DataFrame with query_id and text, a Series indexed by query_id, "
            f"or a list; got {type(queries).__name__}"
        )
    if np.ndim(queries) != 1 and isinstance(queries, np.ndarray):
        raise ValueError(f"queries must be one-dimensional; got shape {queries.shape}")
    return pd.RangeIndex(len(queries)), list(queries)


def pair_at(frame: pd.DataFrame, row: int) -> tuple[Any, ...]:
    """Return (query_id, doc_id) of a row as plain Python values, for a message."""
    pair: tuple[Any, ...]
    (pair,) = frame[["query_id", "doc_id"]].iloc[[row]].itertuples(index=False, name=None)
    return pair


def check_run(run: Any, name: str, columns: Sequence[str] = ("score",)) -> pd.DataFrame:
    """Return `run` if it has query_id, doc_id and `columns`, without missing or repeated pairs."""
    frame = check_columns(run, name, ["query_id", "doc_id", *columns])
    for column in ("query_id", "doc_id", *columns):
        missing = int(frame[column].isna().sum())
        if missing:
            raise ValueError(f"{name}[{column!r}] holds {missing} missing among {len(frame)}")
    repeated = frame.duplicated(["query_id", "doc_id"])
    if repeated.any():
        pair = pair_at(frame, int(np.argmax(repeated)))
        raise ValueError(
            f"{name} holds {int(repeated.sum())} repeated (query_id, doc_id) pairs, "
            f"the first being {pair}"
        )
    return frame


def _kind(column: pd.Series[Any]) -> str | None:
    """Return "integer" or "string", or None for an empty column or anything else."""
    values = column.cat.categories if isinstance(column.dtype, pd.CategoricalDtype) else column
    kind = pd.api.types.infer_dtype(values, skipna=False) if len(values) else None
    return kind if kind in {"integer", "string"} else None


def check_same_kind(
    frames: Mapping[str, pd.DataFrame | Mapping[str, pd.Series[Any]]],
    columns: Sequence[str] = ("query_id", "doc_id"),
) -> None:
    """Raise if identifiers are integers in one frame and strings in another: 7 is never "7"."""
    for column in columns:
        kinds = {name: kind for name, frame in frames.items() if (kind := _kind(frame[column]))}
        first = next(iter(kinds), "")
        other = next((name for name, kind in kinds.items() if kind != kinds[first]), None)
        if other is not None:
            raise TypeError(
                f"{first}[{column!r}] holds {kinds[first]}s and {other}[{column!r}] "
                f"{kinds[other]}s, so no identifier can match: convert one of them"
            )


def check_id_kind(value: Any, column: str, name: str, frame: pd.DataFrame) -> None:
    """Raise if one identifier is an integer and the column of the frame strings, or vice versa."""
    own = (
        "integer"
        if isinstance(value, (int, np.integer))
        else "string"
        if isinstance(value, str)
        else None
    )
    theirs = _kind(frame[column])
    if own and theirs and own != theirs:
        raise TypeError(
            f"{column} is the {own} {value!r} and {name}[{column!r}] holds {theirs}s, "
            "so it can match none: convert one of them"
        )


def read_order(frame: pd.DataFrame, name: str, query: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return score and rank of a run, rank being 0 where there is none, or say what is wrong.

    `query` holds the number of the query of every row.
    """
    score = as_floats(frame["score"], f"{name}['score']")
    if not np.isfinite(score).all():
        raise ValueError(f"{name}['score'] holds infinite values")
    if "rank" not in frame.columns:
        return score, np.zeros(score.size)
    missing = int(frame["rank"].isna().sum())
    if missing:
        raise ValueError(f"{name}['rank'] holds {missing} missing among {len(frame)}")
    rank = as_floats(frame["rank"], f"{name}['rank']")
    check_rank_follows_score(query, score, rank, name)
    return score, rank


def order_within(group: IntArray, score: FloatArray, position: npt.NDArray[Any]) -> IntArray:
    """Return the order by group, then score from the highest, then position from the lowest."""
    return np.lexsort((position, -score, group))


def rank_within(group: IntArray) -> IntArray:
    """Return the rank from 1 of every row inside its group; equal groups stand together."""
    if not group.size:
        return np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.concatenate(([True], group[1:] != group[:-1])))
    lengths = np.diff(np.append(starts, group.size))
    return np.arange(1, group.size + 1) - np.repeat(starts, lengths)


def scale_within(group: IntArray, score: FloatArray, n_groups: int, how: str | None) -> FloatArray:
    """Return scores made comparable between groups.

    "minmax" maps every group to [0, 1], and to 1 if its scores are all equal: each is then as
    good as the best of its list. "zscore" takes the mean away and divides by the population
    standard deviation, and gives 0 if the scores are all equal.
    """
    if how is None or not score.size:
        return score
    low = np.full(n_groups, np.inf)
    high = np.full(n_groups, -np.inf)
    np.minimum.at(low, group, score)
    np.maximum.at(high, group, score)
    constant = (low == high)[group]
    width = np.where(low == high, 1.0, high - low)
    unit = np.where(constant, 1.0, (score - low[group]) / width[group])
    if how == "minmax":
        return unit
    # From the unit scale, so that the squares of small scores cannot underflow.
    size = np.maximum(np.bincount(group, minlength=n_groups), 1)
    centred = unit - (np.bincount(group, weights=unit, minlength=n_groups) / size)[group]
    spread = np.sqrt(np.bincount(group, weights=centred**2, minlength=n_groups) / size)
    return np.where(constant, 0.0, centred / np.where(low == high, 1.0, spread)[group])


def dot_rows(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return inner products along the last axis, each the same whatever rows stand beside it.

    BLAS does not promise that (its kernels treat the edges of a block differently), and without
    it equal vectors would not tie. einsum runs along every row on its own, up to the length of
    NumPy's buffer; beyond it the pairwise sum does.
    """
    if left.shape[-1] > 8192:
        total: FloatArray = (left * right).sum(axis=-1)
    else:
        total = np.einsum("...d,...d->...", left, right)
    return total


def run_frame(
    query_ids: pd.Index[Any],
    rows: IntArray,
    doc_ids: pd.Index[Any],
    columns: IntArray,
    score: FloatArray,
    rank: IntArray,
) -> pd.DataFrame:
    """Build a run from positions into `query_ids` and `doc_ids`."""
    return pd.DataFrame(
        {
            "query_id": query_ids.take(rows),
            "doc_id": doc_ids.take(columns),
            "score": score,
            "rank": rank,
        }
    )
