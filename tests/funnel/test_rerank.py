"""MMR against the naive greedy loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsd.funnel._slate as module
from mlsd.funnel import MMR, DenseIndex


def naive(run, vectors, trade_off, k):
    """Pick one document after the other, comparing each with all picked."""
    rows = []
    for query in run["query_id"].unique():
        part = run[run["query_id"] == query].sort_values("score", ascending=False, kind="stable")
        score = part["score"].to_numpy()
        width = score.max() - score.min()
        relevance = (score - score.min()) / width if width else np.ones(len(score))
        unit = [np.asarray(vectors[doc]) / np.linalg.norm(vectors[doc]) for doc in part["doc_id"]]
        picked = []
        while len(picked) < min(k, len(part)):
            best, best_value = None, -np.inf
            for one in range(len(part)):
                if one in picked:
                    continue
                closest = max((float(unit[one] @ unit[two]) for two in picked), default=-1.0)
                value = trade_off * relevance[one] - (1 - trade_off) * closest
                if value > best_value:
                    best, best_value = one, value
            picked.append(best)
            rows.append((query, part["doc_id"].iloc[best], best_value, len(picked)))
    return pd.DataFrame(rows, columns=["query_id", "doc_id", "score", "rank"])


def candidates(rng, sizes, n_docs=120, d=6):
    """Return a run with lists of the given sizes, and vectors of all documents."""
    vectors = {f"d{doc}": vector for doc, vector in enumerate(rng.normal(size=(n_docs, d)))}
    parts = [
        pd.DataFrame(
            {
                "query_id": f"q{query}",
                "doc_id": [f"d{doc}" for doc in rng.choice(n_docs, size=size, replace=False)],
                "score": np.sort(rng.normal(size=size))[::-1],
                "rank": np.arange(1, size + 1),
            }
        )
        for query, size in enumerate(sizes)
    ]
    return pd.concat(parts, ignore_index=True), vectors


@pytest.mark.parametrize("trade_off", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("k", [1, 5, 200])
@pytest.mark.parametrize("room", [1, 400, 4_000_000])
def test_against_the_naive_loop(trade_off, k, room, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", room)  # one query at a time, some, all
    run, vectors = candidates(np.random.default_rng(1), [12, 1, 30, 7, 12, 3])
    got = MMR(trade_off).rerank(run, vectors, k)
    expected = naive(run, vectors, trade_off, k)
    pd.testing.assert_frame_equal(
        got.drop(columns="score"), expected.drop(columns="score"), check_dtype=False
    )
    np.testing.assert_allclose(got["score"], expected["score"], atol=1e-12)


def test_ways_to_give_vectors():
    rng = np.random.default_rng(2)
    run, vectors = candidates(rng, [9, 14])
    table = pd.DataFrame.from_dict(vectors, orient="index")
    expected = MMR().rerank(run, vectors, 5)
    pd.testing.assert_frame_equal(MMR().rerank(run, table, 5), expected)
    pd.testing.assert_frame_equal(MMR(vectors=table)(run, k=5), expected)
    pd.testing.assert_frame_equal(MMR().rerank(run, 3 * table, 5), expected, rtol=1e-12)
    index = DenseIndex().fit(table)
    pd.testing.assert_frame_equal(MMR().rerank(run, index, 5), expected, rtol=1e-5)


def test_duplicates_are_shown_once_before_anything_else_twice():
    run = pd.DataFrame({"query_id": 1, "doc_id": list("aabbcc"), "score": [6, 5, 4, 3, 2, 1]})
    run["doc_id"] += ["0", "1"] * 3
    vectors = {
        doc: {"a": [1, 0, 0], "b": [0, 1, 0], "c": [0, 0, 1]}[doc[0]] for doc in run["doc_id"]
    }
    slate = MMR(trade_off=0.3).rerank(run, vectors)
    assert slate["doc_id"].tolist() == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_ties_keep_the_order_of_the_run():
    docs = [f"d{n}" for n in range(37)]
    vector = np.random.default_rng(3).normal(size=13)
    run = pd.DataFrame({"query_id": "q", "doc_id": docs, "score": 1.0})
    slate = MMR().rerank(run, dict.fromkeys(docs, vector))
    assert slate["doc_id"].tolist() == docs
    ranked = run.assign(rank=np.arange(37, 0, -1))
    assert MMR().rerank(ranked, dict.fromkeys(docs, vector))["doc_id"].tolist() == docs[::-1]


def test_other_columns_are_carried_and_the_run_is_not_changed():
    run, vectors = candidates(np.random.default_rng(4), [5, 5])
    run.insert(0, "price", np.arange(10.0))
    run.index += 100
    before = run.copy()
    slate = MMR().rerank(run, vectors, 3)
    pd.testing.assert_frame_equal(run, before)
    assert list(slate.columns) == ["query_id", "doc_id", "score", "rank", "price"]
    joined = slate.merge(run, on=["query_id", "doc_id"])
    assert joined["price_x"].tolist() == joined["price_y"].tolist()


def test_empty_run():
    run, vectors = candidates(np.random.default_rng(4), [5])
    assert MMR().rerank(run.head(0), vectors, 3).empty


SLATE = ["query_id", "doc_id", "rank"]
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1), st.integers(1, 6))
def test_properties(seed, trade_off, k):
    rng = np.random.default_rng(seed)
    run, vectors = candidates(rng, rng.integers(1, 15, size=4))
    mmr = MMR(trade_off)
    whole = mmr.rerank(run, vectors)
    # Nothing is lost or invented, and sorting by score reproduces the slate.
    assert set(zip(whole["query_id"], whole["doc_id"], strict=True)) == set(
        zip(run["query_id"], run["doc_id"], strict=True)
    )
    # And so the slate is a run: ranks that go against its scores would raise.
    pd.testing.assert_frame_equal(MMR(1).rerank(whole, vectors)[SLATE], whole[SLATE])
    steps = whole.groupby("query_id")["score"].diff().dropna()
    assert (steps <= 0).all()
    # A short slate is the head of a long one.
    head = whole[whole["rank"] <= k].reset_index(drop=True)
    pd.testing.assert_frame_equal(mmr.rerank(run, vectors, k), head, check_exact=True)
    # The first is the most relevant, unless relevance does not count at all.
    if trade_off > 1e-6:
        first = whole[whole["rank"] == 1]["doc_id"].tolist()
        assert first == run[run["rank"] == 1]["doc_id"].tolist()
    # A query does not depend on its company.
    alone = mmr.rerank(run[run["query_id"] == "q2"], vectors)
    together = whole[whole["query_id"] == "q2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_trade_off_one_keeps_the_order(seed):
    rng = np.random.default_rng(seed)
    run, vectors = candidates(rng, rng.integers(1, 15, size=3))
    run["score"] = run["score"].round(1)  # with ties
    kept = MMR(trade_off=1).rerank(run, vectors)
    pd.testing.assert_frame_equal(
        kept[["query_id", "doc_id", "rank"]], run[["query_id", "doc_id", "rank"]]
    )


RUN = pd.DataFrame({"query_id": 1, "doc_id": ["a", "b"], "score": [2.0, 1.0]})
PLANE = {"a": [1.0, 0.0], "b": [0.0, 1.0]}


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: MMR(1.5), ValueError, r"trade_off must be in \[0, 1\]; got 1.5"),
        (lambda: MMR().rerank(RUN), ValueError, "vectors is missing"),
        (
            lambda: MMR().rerank(RUN.assign(rank=[2, 1]), PLANE),
            ValueError,
            r"run\['rank'\] contradicts run\['score'\] in 1 queries: rank 1 has score 1 and "
            "rank 2 has score 2",
        ),
        (
            lambda: MMR().rerank(RUN.assign(rank=pd.array([1, None], dtype="Int64")), PLANE),
            ValueError,
            r"run\['rank'\] holds 1 missing among 2",
        ),
        (lambda: MMR().rerank(RUN, [1]), TypeError, "vectors must be a DenseIndex.* got list"),
        (lambda: MMR().rerank(RUN, PLANE, 0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: MMR().rerank(RUN, {"b": [1.0]}),
            ValueError,
            "vectors lacks 1 of 2 candidates, the first being 'a'",
        ),
        (
            lambda: MMR().rerank(RUN, {"a": [0.0, 0.0], "b": [1.0, np.nan]}),
            ValueError,
            "vectors has 2 rows of length 0 or with NaN",
        ),
        (
            lambda: MMR().rerank(RUN, pd.DataFrame(np.eye(2), index=["a", "a"])),
            ValueError,
            "the index of vectors repeats",
        ),
        (
            lambda: MMR().rerank(RUN, {"a": 1.0, "b": 2.0}),
            ValueError,
            r"one row a document; their shape is \(2,\)",
        ),
        (
            lambda: MMR().rerank(RUN.assign(score=[np.inf, 0]), PLANE),
            ValueError,
            r"run\['score'\] holds infinite values",
        ),
        (
            lambda: MMR().rerank(RUN.drop(columns="score"), PLANE),
            ValueError,
            r"run lacks the columns \['score'\]",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(MMR()) == "MMR(trade_off=0.7)"
