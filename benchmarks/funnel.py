"""The funnel as a whole: 27 million real pairs end to end, and every cut replayed from one scoring.

    python benchmarks/funnel.py              all customers and products of Online Retail: minutes
    python benchmarks/funnel.py --smoke      some customers and small grids, seconds
    python benchmarks/funnel.py --json PATH  also writes the rows, the frontier and the machine

Who buys what next: every customer with every product, purchases in the 90 days from September 2011,
by three stages trained on the summer before. Features are as of the day that is predicted from.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import best_of, machine, row, version
from scipy.sparse import csr_array
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlsd import data
from mlsd.funnel import CoOccurrence, Funnel, Popularity, Rank, Retrieve
from mlsd.funnel.serving import run_stage
from mlsd.metrics import evaluate_ranking

WINDOW = pd.Timedelta(days=90)
TRAIN, TEST = pd.Timestamp("2011-06-01"), pd.Timestamp("2011-09-01")
RECALL = ("recall", "recall_lower", "recall_upper")
GRID = (50, 100, 200, 500, 1000, 2000, 4631)
LIGHT = ["own", "popular"]
HEAVY = [*LIGHT, "days since", "popular month", "price", "own price", "buys", "spread", "alike"]


@dataclass
class Shop:
    """What is known on a day: purchases before it, as matrices of customers by products."""

    lines: pd.DataFrame
    day: pd.Timestamp
    customers: pd.Index[Any]
    products: pd.Index[Any]

    def __post_init__(self):
        past = self.lines[self.lines["time"] < self.day]
        self.past = past
        rows = self.customers.get_indexer(past["customer_id"])
        columns = self.products.get_indexer(past["product"])
        shape = len(self.customers), len(self.products)
        age = (self.day - past["time"]).dt.days.to_numpy().astype(float)
        self.own = csr_array((np.ones(len(past)), (rows, columns)), shape=shape)
        fresh = csr_array((np.exp2(-age / 30), (rows, columns)), shape=shape)
        self.fresh = fresh
        self.popular = np.log1p(np.bincount(columns[age < 90], minlength=shape[1]))
        self.month = np.log1p(np.bincount(columns[age < 30], minlength=shape[1]))
        sums = np.bincount(columns, past["price"], minlength=shape[1])
        self.price = np.log1p(sums / np.maximum(np.bincount(columns, minlength=shape[1]), 1))
        seen = np.maximum(np.bincount(rows, minlength=shape[0]), 1)
        self.own_price = np.bincount(rows, self.price[columns], minlength=shape[0]) / seen
        self.buys = np.log1p(np.bincount(rows, minlength=shape[0]))
        self.spread = np.log1p(np.diff((self.own > 0).tocsr().indptr))
        baskets = past.drop_duplicates(["customer_id", "product"])
        histories = baskets.rename(columns={"customer_id": "query_id", "product": "doc_id"})
        self.alike = CoOccurrence(n_neighbours=50, histories=histories).fit(
            baskets, basket="customer_id", doc="product"
        )

    def features(self, names):
        """Return a stage's features: (queries, candidates) to a matrix."""

        def look(queries, candidates):
            row = self.customers.get_indexer(candidates["query_id"])
            column = self.products.get_indexer(candidates["doc_id"])
            ways = {
                "own": lambda: np.log1p(_at(self.own, row, column)),
                "popular": lambda: self.popular[column],
                "days since": lambda: _at(self.fresh, row, column),
                "popular month": lambda: self.month[column],
                "price": lambda: self.price[column],
                "own price": lambda: self.price[column] - self.own_price[row],
                "buys": lambda: self.buys[row],
                "spread": lambda: self.spread[row],
                "alike": lambda: self.likeness(queries, candidates),
            }
            return np.column_stack([ways[name]() for name in names]).astype(np.float32)

        return look

    def likeness(self, queries, candidates):
        """Return how alike a product is to what the customer has bought."""
        known = candidates["doc_id"].isin(self.alike.doc_ids).to_numpy()
        found = np.zeros(len(candidates))  # what was never sold is like nothing
        pairs = candidates.loc[known, ["query_id", "doc_id"]]
        found[known] = self.alike.score_pairs(queries, pairs)
        return found

    def bought(self):
        """Return what is bought in the window that begins on the day, as judgements."""
        times = self.lines["time"]
        window = self.lines[(times >= self.day) & (times < self.day + WINDOW)]
        pairs = window[["customer_id", "product"]].drop_duplicates()
        return pairs.set_axis(["query_id", "doc_id"], axis=1).assign(relevance=1)


def _at(matrix, rows, columns):
    """Return entries of a sparse matrix."""
    found = matrix[rows, columns]
    return np.asarray(found.todense() if hasattr(found, "todense") else found).ravel()


def load(n_customers: int | None) -> tuple[pd.DataFrame, pd.Index[Any], pd.Index[Any]]:
    """Return the invoice lines with numbered products, the customers and the products."""
    lines = data.load_online_retail()[["customer_id", "product_id", "price", "time"]]
    lines = lines.assign(product=pd.factorize(lines["product_id"], sort=True)[0])
    lines = lines.drop(columns="product_id")
    products = pd.Index(np.arange(lines["product"].max() + 1))
    customers = pd.Index(np.sort(lines["customer_id"].unique()))
    if n_customers is not None:
        customers = customers[:: max(1, len(customers) // n_customers)]
        lines = lines[lines["customer_id"].isin(customers)]
    return lines, customers, products


def learn(shop: Shop, seed: int):
    """Fit the light and the heavy ranker on all positives and twenty random negatives to each."""
    rng = np.random.default_rng(seed)
    good = shop.bought()
    good = good[good["query_id"].isin(shop.past["customer_id"].unique())]
    buyers = good["query_id"].to_numpy()
    negatives = pd.DataFrame(
        {
            "query_id": np.repeat(buyers, 20),
            "doc_id": rng.integers(0, len(shop.products), 20 * len(buyers)),
            "relevance": 0,
        }
    )
    pairs = pd.concat([good, negatives]).drop_duplicates(["query_id", "doc_id"])
    queries = pd.DataFrame({"query_id": pairs["query_id"].unique()})
    x = shop.features(HEAVY)(queries, pairs)
    y = pairs["relevance"].to_numpy()
    light = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[:, : len(LIGHT)], y)
    heavy = HistGradientBoostingClassifier(max_iter=200, random_state=seed).fit(x, y)
    return light, heavy


def funnel(shop: Shop, light, heavy, counts=(4631, 200, 20)) -> Funnel:
    """Return the three stages over a source that ranks all products that there are."""
    recent = shop.past[shop.past["time"] >= shop.day - WINDOW]
    every = pd.DataFrame({"product": shop.products})  # each has a place, sold lately or not
    source = Popularity().fit(pd.concat([recent[["product"]], every]), doc="product")
    return Funnel(
        [
            Retrieve("popular", source, k=min(counts[0], len(shop.products))),
            Rank("light", light, k=counts[1], features=shop.features(LIGHT)),
            Rank("heavy", heavy, k=counts[2], features=shop.features(HEAVY)),
        ]
    )


def priced(f: Funnel, queries) -> Funnel:
    """Return the funnel with the microseconds that an item takes, in a large batch, as its cost."""
    made = []
    batch = None
    for stage in f.with_counts({"light": None, "heavy": None}).stages:
        start = time.perf_counter()
        batch = run_stage(stage, batch, queries, pd.Index(queries["query_id"]), None)
        cost = (time.perf_counter() - start) * 1e6 / len(batch)
        made.append(replace(stage, cost=cost))
    return Funnel(made).with_counts(f.counts)


def frontier(f: Funnel, queries, qrels, grid, n: int, rng) -> dict[str, Any]:
    """Return the frontier chosen on some customers, and what its counts reach on others."""
    chosen = queries.iloc[rng.permutation(len(queries))[:n]].reset_index(drop=True)
    first, second = chosen.iloc[: n // 2], chosen.iloc[n // 2 :]
    start = time.perf_counter()
    tried = f.allocate(first, qrels, budget=1e12, grid=grid, batch_rows=1_000_000)
    seconds = time.perf_counter() - start
    rows = []
    for counts in tried.frontier[list(tried.counts)].to_dict("records"):
        report = f.with_counts({"light": None} | counts).evaluate(second, qrels, n_timed=0)
        rows.append(counts | {name: report.total[name] for name in ("cost", *RECALL)})
    return {"seconds": seconds, "customers": n, "rows": rows, "knee": tried.knee(0.98)}


def ladder(f: Funnel, queries, qrels) -> list[dict[str, Any]]:
    """Return twenty places filled in four ways, each also against the light ranker alone."""
    popular, light, heavy = f.stages
    ways = {
        "popular": [replace(popular, k=20)],
        "light alone": [popular, replace(light, k=20)],
        "light, then heavy on 200": [popular, replace(light, k=200), heavy],
        "heavy on all": [popular, heavy],
    }
    found, costs = {}, {}
    for name, stages in ways.items():
        way = Funnel(stages)
        costs[name] = way.evaluate(queries, qrels, n_timed=0).total["cost"]
        judged = qrels[qrels["query_id"].isin(queries["query_id"])]
        found[name] = evaluate_ranking(
            judged, way.rank(queries), ["recall@20", "ndcg@20"], ties="rank"
        )
    rows = []
    for name, result in found.items():
        row = {"ranking": name, "cost": costs[name]}
        for metric, mean in result.mean().items():
            step = result.compare(found["light alone"]).set_index("metric").loc[metric]
            more = {"more": "difference", "more_lower": "lower", "more_upper": "upper"}
            row |= {metric: mean} | {f"{metric} {key}": step[what] for key, what in more.items()}
        rows.append(row)
    return rows


def retail(smoke: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Send every customer with every product through the stages."""
    lines, customers, products = load(300 if smoke else None)
    light, heavy = learn(Shop(lines, TRAIN, customers, products), 0)
    shop = Shop(lines, TEST, customers, products)
    queries = pd.DataFrame({"query_id": customers})
    f = priced(funnel(shop, light, heavy), queries.head(100))
    bought = shop.bought()
    pairs = len(queries) * len(products)
    start = time.perf_counter()
    slate = f.rank(queries, batch_rows=500_000)
    seconds = time.perf_counter() - start
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    seen = queries["query_id"].isin(shop.past["customer_id"])
    asked = queries[seen & queries["query_id"].isin(bought["query_id"])].reset_index(drop=True)
    report = f.evaluate(
        asked, bought, metrics=["ndcg@20"], n_timed=10 if smoke else 100, batch_rows=500_000
    )
    n = 40 if smoke else 1000
    rng = np.random.default_rng(0)
    grid = GRID[:3] + GRID[-1:] if smoke else GRID
    found = frontier(f, asked, bought, grid, n, rng)
    few = asked.iloc[rng.permutation(len(asked))[: n // 2]].reset_index(drop=True)
    details = {
        "pairs": pairs,
        "slate_rows": len(slate),
        "seconds": seconds,
        "peak_mb": peak,
        "stages": report.stages.to_dict("records"),
        "quality": report.quality.to_dict("records"),
        "total": report.total,
        "returning": len(asked),
        "frontier": found,
        "ladder": ladder(f, few, bought),
    }
    print(report)
    print(pd.DataFrame(found["rows"]).round(4).to_string(index=False))
    print(pd.DataFrame(details["ladder"]).round(4).to_string(index=False))
    print(f"knee {found['knee']}; {pairs:,} pairs in {seconds:.1f} s, peak {peak:,.0f} MB")
    note = f"{pairs:,} pairs, peak memory of the process {peak:,.0f} MB"
    return [row("retail funnel, end to end", "", "", seconds, float("nan"), note)], details


def grid_rows(smoke: bool) -> list[dict[str, Any]]:
    """Time the whole grid of counts, replayed, against running the funnel for each of them."""
    rng = np.random.default_rng(0)
    sizes = [(20, 2_000)] if smoke else [(200, 2_000), (200, 20_000), (800, 20_000)]
    rows = []
    for n_queries, n_items in sizes:
        truth = rng.normal(size=(n_queries, n_items)).astype(np.float32)
        scores = {
            name: truth + rng.normal(scale=noise, size=truth.shape).astype(np.float32)
            for name, noise in [("source", 2.0), ("light", 1.0), ("heavy", 0.3)]
        }
        f, queries, qrels = synthetic(scores, truth)
        grid = [k for k in (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000) if k <= n_items]

        def ours(f=f, queries=queries, qrels=qrels, grid=grid):
            return f.allocate(queries, qrels, budget=1e12, grid=grid).table["recall"].to_numpy()

        def each(f=f, queries=queries, qrels=qrels, grid=grid):
            found = []
            for light, source in itertools.product(grid, repeat=2):
                if source <= light:
                    cut = f.with_counts({"source": light, "light": source})
                    found.append(cut.evaluate(queries, qrels, n_timed=0).total["recall"])
            return np.array(found)

        n = sum(1 for _ in itertools.combinations_with_replacement(grid, 2))
        task = f"allocate, {n_queries} queries x {n_items:,} items, {n} counts"
        if n_queries * n_items <= 400_000 or smoke:
            (mine, a), (theirs, b) = best_of(1 if smoke else 3, ours, each)
            np.testing.assert_allclose(np.sort(a), np.sort(b), atol=1e-9)
            rows.append(row(task, "the funnel run for each", "", mine, theirs))
        else:
            ((mine, _),) = best_of(3, ours)
            rows.append(row(task, "", "", mine, float("nan"), "scoring included"))
    return rows


def synthetic(scores, truth):
    """Return a funnel over stored scores: what scoring costs is a look-up."""
    n_queries, n_items = truth.shape
    queries = pd.DataFrame({"query_id": np.arange(n_queries)})
    best = np.argpartition(-truth, 20, axis=1)[:, :20]
    qrels = pd.DataFrame({"query_id": np.repeat(np.arange(n_queries), 20), "doc_id": best.ravel()})
    order = np.argsort(-scores["source"], axis=1)

    def search(asked, k):
        rows = asked["query_id"].to_numpy()
        docs = order[rows, :k]
        return docs, np.take_along_axis(scores["source"][rows], docs, axis=1)

    def scorer(name):
        return lambda q, c: scores[name][c["query_id"].to_numpy(), c["doc_id"].to_numpy()]

    stages = [
        Retrieve("source", search, k=n_items, cost=0.001),
        Rank("light", scorer("light"), k=100, cost=0.05),
        Rank("heavy", scorer("heavy"), k=20, cost=1.0),
    ]
    return Funnel(stages), queries, qrels


def overhead_rows(smoke: bool) -> list[dict[str, Any]]:
    """Time one request of the funnel against its bare work: what the stages themselves cost."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(50, 1000)).astype(np.float32)
    scores = {
        name: truth + rng.normal(size=truth.shape).astype(np.float32)
        for name in ("source", "light", "heavy")
    }
    f, queries, _ = synthetic(scores, truth)
    requests = [queries.iloc[at : at + 1].reset_index(drop=True) for at in range(50)]

    def ours():
        return np.concatenate([f.rank(one)["doc_id"].to_numpy() for one in requests])

    def bare():
        found = []
        for at in range(50):
            docs = np.argsort(-scores["source"][at])
            docs = docs[np.argsort(-scores["light"][at, docs], kind="stable")[:100]]
            found.append(docs[np.argsort(-scores["heavy"][at, docs], kind="stable")[:20]])
        return np.concatenate(found)

    (mine, a), (theirs, b) = best_of(1 if smoke else 20, ours, bare)
    np.testing.assert_array_equal(a, b)
    task = "50 requests alone, 1,000 candidates, three stages"
    return [row(task, "the same in bare NumPy", "", mine, theirs, "the price of frames and checks")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="some customers, small grids")
    parser.add_argument("--json", help="where to write what was measured")
    options = parser.parse_args()
    rows, details = retail(options.smoke)
    rows += overhead_rows(options.smoke)
    rows += grid_rows(options.smoke)
    print(pd.DataFrame(rows).to_string(index=False))
    if options.json:
        versions = {name: version(name) for name in ("mlsd", "numpy", "pandas", "scikit-learn")}
        content = {
            "benchmark": "funnel",
            "rows": rows,
            "versions": versions,
            "machine": machine(),
            "retail": details,
        }
        text = json.dumps(known(content), indent=1, allow_nan=False)
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def known(value: Any) -> Any:
    """Return nested values with None for what is not a number: JSON has no nan."""
    if isinstance(value, dict):
        return {name: known(item) for name, item in value.items()}
    if isinstance(value, list):
        return [known(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value


if __name__ == "__main__":
    main()
