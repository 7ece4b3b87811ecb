"""A small world for the tests of the funnel: queries, scores for each pair, judgements."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mlsd.funnel import Filter, Funnel, Rank, Rerank, Retrieve


class Toy:
    """Score matrices by stage, and a funnel over them; grids of scores make ties."""

    def __init__(self, seed=0, n_queries=12, n_docs=60, *, tied=False):
        rng = np.random.default_rng(seed)
        self.query_ids = [f"q{i}" for i in range(n_queries)]
        self.doc_ids = [f"d{i}" for i in range(n_docs)]
        truth = rng.normal(size=(n_queries, n_docs))
        self.scores = {
            name: truth + rng.normal(scale=noise, size=truth.shape)
            for name, noise in [("source", 1.5), ("light", 0.8), ("heavy", 0.3)]
        }
        if tied:
            self.scores = {name: np.round(matrix) for name, matrix in self.scores.items()}
        self.stocked = rng.random(n_docs) < 0.8
        relevant = np.argsort(-truth, axis=1)[:, :6]
        self.qrels = pd.DataFrame(
            {
                "query_id": np.repeat(self.query_ids, 6),
                "doc_id": np.array(self.doc_ids)[relevant.ravel()],
                "relevance": np.tile([3, 2, 2, 1, 1, 1], n_queries),
            }
        )
        self.queries = pd.DataFrame({"query_id": self.query_ids, "row": range(n_queries)})
        self.items = pd.DataFrame({"stocked": self.stocked}, index=self.doc_ids)

    def search(self, queries, k):
        """Return the whole lists of the source, unsorted: the stage orders and cuts."""
        rows = queries["row"].to_numpy()
        return pd.DataFrame(
            {
                "query_id": np.repeat(queries["query_id"].to_numpy(), len(self.doc_ids)),
                "doc_id": np.tile(self.doc_ids, len(rows)),
                "score": self.scores["source"][rows].ravel(),
            }
        )

    def scorer(self, name):
        def score(queries, candidates):
            row = candidates["query_id"].map(queries.set_index("query_id")["row"])
            doc = candidates["doc_id"].str[1:].astype(int)
            return self.scores[name][row.to_numpy(), doc.to_numpy()]

        return score

    def stages(self, counts=(40, 15, 5), **options):
        k0, k1, k2 = counts
        return [
            Retrieve("source", self.search, k=k0, cost=0.01, **options.get("source", {})),
            Rank("light", self.scorer("light"), k=k1, cost=0.1, **options.get("light", {})),
            Rank("heavy", self.scorer("heavy"), k=k2, cost=1.0, **options.get("heavy", {})),
        ]

    def funnel(self, counts=(40, 15, 5), *, filtered=False, reranked=False, **options):
        made = self.stages(counts, **options)
        if filtered:
            made.insert(1, Filter("stock", "stocked"))
        if reranked:
            made.append(Rerank("turn", turned, k=max(1, counts[-1] - 1)))
        return Funnel(made, items=self.items)

    def naive(self, counts, *, filtered=False):
        """Return the documents that each stage leaves for each query, by loops and sorts."""
        found = {}
        for row, query in enumerate(self.query_ids):
            docs = sorted(range(len(self.doc_ids)), key=lambda d: -self.scores["source"][row, d])
            docs = docs[: counts[0]]
            lists = [list(docs)]
            if filtered:
                docs = [d for d in docs if self.stocked[d]]
                lists.append(list(docs))
            for name, k in (("light", counts[1]), ("heavy", counts[2])):
                docs = sorted(docs, key=lambda d: -self.scores[name][row, d])[:k]
                lists.append(list(docs))
            found[query] = [[self.doc_ids[d] for d in part] for part in lists]
        return found


def turned(run):
    """Turn every list around: a re-ranker that gives ranks and no scores."""
    size = run.groupby("query_id")["rank"].transform("max")
    return run.drop(columns="score").assign(rank=size - run["rank"] + 1)
