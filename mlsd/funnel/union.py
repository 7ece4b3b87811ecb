"""Several sources as one: their candidates fused, with places kept for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from mlsd._types import IntArray
from mlsd._validation import check_choice, check_positive_int
from mlsd.funnel._batch import Batch
from mlsd.funnel._runs import RUN_COLUMNS
from mlsd.funnel._stage import Late, Stage
from mlsd.funnel.fusion import reciprocal_rank_fusion, weighted_fusion
from mlsd.funnel.stages import Retrieve, source_of

__all__ = ["Union"]


@dataclass(frozen=True, eq=False)
class Union(Stage):
    """Several sources as one: what they found is fused, and each keeps its quota.

    Parameters
    ----------
    name : str
        See :class:`mlsd.funnel.stages.Stage`, as for all that is not listed here.
    sources : sequence of Retrieve
        Each with a `k` of its own: the most that it may bring. One whose fallback is "empty" may
        fail without harm to the others, and is counted.
    fusion : {"rrf", "weighted"}, default "rrf"
        How one order is made: :func:`reciprocal_rank_fusion`, or :func:`weighted_fusion` of
        scores scaled to [0, 1] per query.
    weights : mapping of str to float, optional
        Of the sources in the fusion, by name; default 1.
    at_least : mapping of str to int, optional
        Places that the first documents of a source have for sure when the union is cut at `k`,
        wherever the fusion puts them.

    Notes
    -----
    Every source leaves a column of its name: its score, nan for what it did not find.

    Examples
    --------
    >>> from mlsd.funnel import BM25, Retrieve, Union
    >>> words = Retrieve("words", BM25().fit(["a red chair", "a lamp"]), k=100)
    >>> news = Retrieve("news", lambda queries, k: queries[["query_id"]].assign(doc_id=1), k=10)
    >>> Union("candidates", [words, news], k=105, at_least={"news": 5}).n_docs
    2
    """

    sources: Sequence[Retrieve]
    fusion: Literal["rrf", "weighted"] = field(default="rrf", kw_only=True)
    weights: Mapping[str, float] | None = field(default=None, kw_only=True)
    at_least: Mapping[str, int] | None = field(default=None, kw_only=True)

    late_choices: ClassVar[tuple[Late, ...]] = ("run",)
    is_source: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the sources and the quotas."""
        Stage.__post_init__(self)
        sources = tuple(self.sources)
        object.__setattr__(self, "sources", sources)
        if not sources or not all(isinstance(source, Retrieve) for source in sources):
            raise TypeError(f"sources of {self.name!r} must be Retrieve stages; got {sources!r}")
        names = [source.name for source in sources]
        if len(set(names)) < len(names) or self.name in names:
            raise ValueError(f"sources of {self.name!r} must have names of their own; got {names}")
        check_choice(self.fusion, "fusion", ["rrf", "weighted"])
        for what, given in (("weights", self.weights), ("at_least", self.at_least)):
            unknown = [name for name in given or {} if name not in names]
            if unknown:
                raise ValueError(f"{what} names {unknown}, and the sources are {names}")
        if self.weights is not None:
            object.__setattr__(self, "weights", dict.fromkeys(names, 1.0) | dict(self.weights))
        quota = sum(check_positive_int(n, f"at_least[{s!r}]") for s, n in self._quotas().items())
        if self.k is not None and quota > self.k:
            raise ValueError(f"at_least of {self.name!r} sums to {quota}, and k is {self.k}")
        priced = [s.name for s in sources if s.cost is not None or s.latency is not None]
        if priced:
            raise ValueError(
                f"the sources {priced} of {self.name!r} have a cost or latency, which nobody would "
                "count: give those of all of them to the union, per item that it lets through"
            )

    def _made_of(self, given: Any) -> Stage:
        return source_of(f"fallback of {self.name}", given, self.k)

    @property
    def reserved(self) -> int:
        """Places that sources have for sure."""
        return sum(self._quotas().values())

    def _quotas(self) -> dict[str, int]:
        return dict(self.at_least or {})

    @property
    def n_docs(self) -> int | None:
        """Documents in the largest of the sources that say so."""
        sizes = [source.n_docs for source in self.sources]
        known = [size for size in sizes if size is not None]
        return max(known) if known else None

    def fuse(self, found: Mapping[str, Batch], query_ids: pd.Index[Any], k: int | None) -> Batch:
        """Return what the sources found as one batch, cut at `k`."""
        runs = {name: batch.frame for name, batch in found.items() if len(batch)}
        if not runs:
            return next(iter(found.values())).with_column(self.name, np.zeros(0))
        weights = None if self.weights is None else {name: self.weights[name] for name in runs}
        fuse = reciprocal_rank_fusion if self.fusion == "rrf" else weighted_fusion
        fused = fuse(runs, weights=weights)
        beside: dict[str, Any] = {}
        ranks = {}
        for name, (batch, at) in _aligned(fused, found, query_ids).items():
            taken = {
                column: pd.api.extensions.take(values, at, allow_fill=True)
                for column, values in batch.columns.items()
                if column not in RUN_COLUMNS
            }
            for column, mine in taken.items():  # brought by several: the first that has it
                first = pd.Series(beside.get(column, mine))
                beside[column] = first.where(first.notna(), mine).array
            rank = np.full(len(at), np.inf)
            rank[at >= 0] = batch.columns["rank"][at[at >= 0]]
            ranks[f"rank in {name}"] = rank
        fused = fused.assign(**beside, **ranks)
        batch = Batch.from_run(fused, query_ids, f"the union {self.name!r}")
        places = {name: batch.columns[f"rank in {name}"] for name in found}
        batch = batch.without(list(ranks))
        batch = batch.with_column(self.name, batch.score)
        if k is None or k >= batch.lengths.max(initial=0):
            return batch
        kept = np.zeros(len(batch), dtype=np.bool_)
        for name, quota in self._quotas().items():
            if name in found:
                kept |= places[name] <= quota
        free = k - np.bincount(batch.codes[kept], minlength=batch.lengths.size)
        before = np.concatenate(([0], np.cumsum(~kept)))
        place = before[1:] - np.repeat(before[batch.segments.starts], batch.lengths)
        return batch.take(np.flatnonzero(kept | (place <= free[batch.codes])))


def _aligned(
    fused: pd.DataFrame, found: Mapping[str, Batch], query_ids: pd.Index[Any]
) -> dict[str, tuple[Batch, IntArray]]:
    """Return each source's batch, and which of its rows each fused row is; -1 for none."""
    batches = list(found.values())
    docs = [fused["doc_id"], *(pd.Series(batch.columns["doc_id"]) for batch in batches)]
    doc, unique = pd.factorize(pd.concat(docs, ignore_index=True))
    codes = [query_ids.get_indexer(pd.Index(fused["query_id"])), *(b.codes for b in batches)]
    keys = np.concatenate(codes) * max(len(unique), 1) + doc
    own, *others = np.split(keys, np.cumsum([len(fused), *map(len, batches)])[:-1])
    order = np.argsort(own)
    aligned = {}
    for (name, batch), theirs in zip(found.items(), others, strict=True):
        at = np.full(len(fused), -1, dtype=np.int64)
        at[order[np.searchsorted(own[order], theirs)]] = np.arange(len(theirs))
        aligned[name] = (batch, at)
    return aligned
