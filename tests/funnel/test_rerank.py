"""MMR against the naive greedy loop and against the matrix of all similarities."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsd.funnel._slate as module
import mlsd.funnel.rerank
from mlsd.funnel import MMR, DenseIndex, mmr


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
    run.attrs["source"] = "two towers"
    before = run.copy()
    slate = MMR().rerank(run, vectors, 3)
    pd.testing.assert_frame_equal(run, before)
    assert list(slate.columns) == ["query_id", "doc_id", "score", "rank", "price"]
    assert slate.attrs == {"source": "two towers"}
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
    reranker = MMR(trade_off)
    whole = reranker.rerank(run, vectors)
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
    pd.testing.assert_frame_equal(reranker.rerank(run, vectors, k), head, check_exact=True)
    # The first is the most relevant, unless relevance does not count at all.
    if trade_off > 1e-6:
        first = whole[whole["rank"] == 1]["doc_id"].tolist()
        assert first == run[run["rank"] == 1]["doc_id"].tolist()
    # A query does not depend on its company.
    alone = reranker.rerank(run[run["query_id"] == "q2"], vectors)
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
            lambda: MMR().rerank(pd.concat((RUN, RUN["score"]), axis=1), PLANE),
            ValueError,
            r"run has several columns of the name \['score'\]",
        ),
        (
            lambda: MMR().rerank(RUN.assign(score=[1e308, -1e308]), PLANE),
            ValueError,
            r"run\['score'\] goes from -1e.308 to 1e.308: too far apart",
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


def by_matrix(relevance, vectors, trade_off, k):
    """Pick from the matrix of all similarities; between equals the more relevant, then the first.

    Rows that are equal get their products from one of them, so that they tie whatever BLAS does.
    """
    low, high = relevance.min(), relevance.max()
    scaled = (relevance - low) / (high - low) if high > low else np.ones(len(relevance))
    kinds, kind = np.unique(vectors, axis=0, return_inverse=True)
    unit = kinds / np.linalg.norm(kinds, axis=1, keepdims=True)
    cosine = (unit @ unit.T)[np.ix_(kind.ravel(), kind.ravel())]
    order = np.argsort(-relevance, kind="stable")
    value, closest = trade_off * scaled[order], np.full(len(relevance), -1.0)
    picked, worth = [], []
    for _ in range(min(k, len(relevance))):
        now = value - (1 - trade_off) * closest
        best = int(now.argmax())
        picked.append(order[best])
        worth.append(now[best])
        value[best] = -np.inf
        closest = np.maximum(closest, cosine[order[best], order])
    return np.array(picked), np.array(worth)


def request(rng, n, d, kind):
    """Return relevance and vectors of one request, of a kind that is easy or hard for bounds."""
    relevance = rng.exponential(size=n) if kind == "skewed" else rng.random(n)
    vectors = rng.normal(size=(n, d))
    if kind == "clustered":
        vectors = 0.5 * vectors + 2 * rng.normal(size=(12, d))[rng.integers(12, size=n)]
    elif kind == "twins":  # ties among the first picks, and none later
        first, twins = np.split(rng.permutation(n)[: n // 20 * 2], 2)
        vectors[twins], relevance[first] = vectors[first], 2 + np.arange(first.size) / n
        relevance[twins] = relevance[first]
    elif kind == "doubled":
        # Equal ones tie. Unlike ones with equal twins on the slate would too, but for rounding,
        # if they were equally relevant or relevance did not count.
        which = rng.integers(1 + n // 3, size=n)
        vectors, relevance = vectors[which], relevance[which]
    return relevance, vectors


@pytest.mark.parametrize(
    ("kind", "trade_off"),
    [
        *itertools.product(["plain", "skewed", "clustered"], [0.0, 0.2, 0.5, 0.7, 0.95, 1.0]),
        *itertools.product(["doubled", "twins"], [0.2, 0.5, 0.7, 0.95, 1.0]),
    ],
)
@pytest.mark.parametrize(("n", "k"), [(1, 3), (40, 40), (500, 10), (700, 150)])
def test_mmr_against_the_similarity_matrix(kind, trade_off, n, k):
    relevance, vectors = request(np.random.default_rng(n + k), n, 19, kind)
    positions, values = mmr(relevance, vectors, k, trade_off=trade_off)
    expected, worth = by_matrix(relevance, vectors, trade_off, k)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, worth, rtol=0, atol=1e-14)
    assert (np.diff(values) <= 0).all()


@pytest.mark.parametrize(
    "limits", [{"_LOOK": 5}, {"_HEAD": 1}, {"_LOOK": 3, "_HEAD": 2}, {"_WORK": 1}, {"_WORK": 2000}]
)
@pytest.mark.parametrize("kind", ["plain", "clustered", "doubled", "twins"])
def test_where_it_looks_changes_no_pick(limits, kind, monkeypatch):
    relevance, vectors = request(np.random.default_rng(5), 400, 8, kind)
    expected, worth = by_matrix(relevance, vectors, 0.4, 200)
    for name, value in limits.items():
        monkeypatch.setattr(mlsd.funnel.rerank, name, value)
    positions, values = mmr(relevance, vectors, 200, trade_off=0.4)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_allclose(values, worth, rtol=0, atol=1e-14)


@pytest.mark.parametrize("trade_off", [0.2, 0.7])
def test_bounds_alone_settle_a_slate_without_ties(trade_off, monkeypatch):
    def refuse(*_):
        raise AssertionError("all candidates were looked at for every pick")

    monkeypatch.setattr(mlsd.funnel.rerank, "_greedy", refuse)
    relevance, vectors = request(np.random.default_rng(6), 1000, 16, "plain")
    expected, _ = by_matrix(relevance, vectors, trade_off, 80)
    np.testing.assert_array_equal(mmr(relevance, vectors, 80, trade_off=trade_off)[0], expected)
    doubled, some = request(np.random.default_rng(6), 1000, 16, "doubled")
    with pytest.raises(AssertionError, match="all candidates"):
        mmr(doubled, some, 80, trade_off=trade_off)


@given(
    seeds,
    st.floats(0.01, 1),
    st.integers(1, 30),
    st.integers(1, 12),
    st.sampled_from(["plain", "skewed", "clustered", "doubled"]),
)
def test_mmr_is_the_class_on_arrays(seed, trade_off, n, k, kind):
    relevance, vectors = request(np.random.default_rng(seed), n, 5, kind)
    run = pd.DataFrame({"query_id": "q", "doc_id": np.arange(n), "score": relevance})
    slate = MMR(trade_off).rerank(run, pd.DataFrame(vectors), k)
    positions, values = mmr(relevance, vectors, k, trade_off=trade_off)
    np.testing.assert_array_equal(positions, slate["doc_id"])
    np.testing.assert_allclose(values, slate["score"], rtol=0, atol=1e-14)
    looped = naive(run, dict(enumerate(vectors)), trade_off, k)
    np.testing.assert_array_equal(positions, looped["doc_id"])


@pytest.mark.parametrize("d", [1, 7, 8, 13, 64, 97])
@pytest.mark.parametrize("n", [3, 64, 101])
def test_equal_vectors_tie_wherever_they_stand(n, d):
    rng = np.random.default_rng(d)
    two = rng.normal(size=(2, d)) + 0.1
    # One of its own kind first; then all others are equal, and so is what they are worth.
    vectors = np.vstack((two[:1], np.tile(two[1], (n - 1, 1))))
    relevance = np.r_[2.0, np.ones(n - 1)]
    positions, values = mmr(relevance, vectors, n, trade_off=0.6)
    assert positions.tolist() == list(range(n))
    assert np.unique(values[2:]).size <= 1


def test_ties_go_to_the_more_relevant():
    relevance, same = [1.0, 3.0, 2.0, 3.0], np.ones((4, 3))
    run = pd.DataFrame({"query_id": "q", "doc_id": range(4), "score": relevance})
    for trade_off in (0, 1e-300, 1):
        assert mmr(relevance, same, 4, trade_off=trade_off)[0].tolist() == [1, 3, 2, 0]
        slate = MMR(trade_off).rerank(run, pd.DataFrame(same))
        assert slate["doc_id"].tolist() == [1, 3, 2, 0]


def test_mmr_takes_what_is_like_an_array_and_leaves_it():
    relevance, vectors = request(np.random.default_rng(8), 30, 4, "plain")
    before = relevance.copy(), vectors.copy()
    expected = mmr(relevance, vectors, 6)
    np.testing.assert_array_equal(relevance, before[0])
    np.testing.assert_array_equal(vectors, before[1])
    for ours in (
        mmr(relevance.tolist(), vectors.tolist(), 6),
        mmr(pd.Series(relevance, index=range(30, 0, -1)), pd.DataFrame(vectors), 6),
        mmr(relevance, np.asfortranarray(vectors), 6),
        mmr(relevance, np.repeat(vectors, 2, axis=0)[::2], 6),
    ):
        np.testing.assert_array_equal(ours[0], expected[0])
        np.testing.assert_allclose(ours[1], expected[1], rtol=0, atol=1e-14)
    assert mmr([], np.zeros((0, 4)), 3)[0].tolist() == []
    assert mmr([1, 0], [[1, 0], [0, 1]], np.int32(5))[0].tolist() == [0, 1]


def test_one_long_list_is_ranked_as_in_company():
    rng = np.random.default_rng(9)
    run, vectors = candidates(rng, [110, 110, 90], n_docs=120, d=9)
    together = MMR(0.5).rerank(run, vectors, 40)
    for query, part in run.groupby("query_id"):
        alone = MMR(0.5).rerank(part, vectors, 40)
        mine = together[together["query_id"] == query].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, mine, check_exact=True)


EYE = np.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mmr([1, np.nan], EYE, 1), ValueError, "relevance holds 1 NaN among 2"),
        (lambda: mmr([1, np.inf], EYE, 1), ValueError, "must be finite; it goes from 1 to inf"),
        (lambda: mmr([np.inf, np.inf], EYE, 1), ValueError, "must be finite; .* inf to inf"),
        (lambda: mmr([-1e308, 1e308], EYE, 1), ValueError, "its range must be finite; .* -1e.308"),
        (lambda: mmr(["a", "b"], EYE, 1), TypeError, "relevance must be numeric"),
        (lambda: mmr(EYE, EYE, 1), ValueError, r"relevance must be one-dimensional; .* \(2, 2\)"),
        (lambda: mmr([1, 2, 3], EYE, 1), ValueError, r"each of the 3 values .* shape is \(2, 2\)"),
        (lambda: mmr([1, 2], [1, 2], 1), ValueError, r"each of the 2 values .* shape is \(2,\)"),
        (lambda: mmr([1, 2], [[1, 0], [0, 0]], 1), ValueError, "vectors has 1 rows of length 0"),
        (lambda: mmr([1, 2], [[1, np.nan], [0, np.inf]], 1), ValueError, "vectors has 2 rows"),
        (lambda: mmr([1, 2], np.zeros((2, 0)), 1), ValueError, "vectors has 2 rows of length 0"),
        (lambda: mmr([1, 2], [["a"], ["b"]], 1), TypeError, "vectors must be numeric"),
        (lambda: mmr([1, 2], [[1], [1, 2]], 1), ValueError, "vectors must have rows of one length"),
        (lambda: mmr([1, 2], EYE, 0), ValueError, "k must be at least 1; got 0"),
        (lambda: mmr([1, 2], EYE, 1.0), TypeError, "k must be an integer; got 1.0"),
        (
            lambda: mmr([1, 2], EYE, 1, trade_off=-0.1),
            ValueError,
            r"trade_off must be in \[0, 1\]; got -0.1",
        ),
        (lambda: mmr([1, 2], EYE, 1, trade_off=np.nan), ValueError, r"in \[0, 1\]; got nan"),
    ],
)
def test_mmr_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
