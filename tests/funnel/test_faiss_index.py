"""The index of faiss against the default: equal if flat, exact in its scores always."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import mlsd.funnel.faiss_index as module
from mlsd._validation import UndefinedMetricWarning
from mlsd.funnel import DenseIndex, FaissIndex

faiss = pytest.importorskip("faiss")
quick = settings(max_examples=60, deadline=None)


def cloud(rng, n, d, *, tied):
    """Return vectors; tied ones repeat and lie on a coarse grid, so that many scores agree."""
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    if tied:
        vectors = np.round(vectors) + 0.5
        vectors[1::5] = vectors[0]
    return vectors


def assert_same(vectors, queries, k, metric):
    """Assert that both indexes give the same ids and the same scores, to the bit."""
    ids, scores = FaissIndex(metric=metric).fit(vectors).search(queries, k)
    expected_ids, expected = DenseIndex(metric=metric).fit(vectors).search(queries, k)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected)
    assert ids.dtype == expected_ids.dtype


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [(5000, 140, 8, 10), (100, 3, 4, 200), (3000, 20, 16, 1), (2000, 9, 3, 2000)],
)
def test_flat_is_the_default(metric, tied, n, m, d, k):
    rng = np.random.default_rng(n + d)
    assert_same(cloud(rng, n, d, tied=tied), cloud(rng, m, d, tied=tied), k, metric)


@pytest.mark.parametrize("slack", [0, 100])
@pytest.mark.parametrize("room", [1, 40, 4_000_000])
def test_neither_slack_nor_batches_change_anything(slack, room, monkeypatch):
    monkeypatch.setattr(module, "_SLACK", slack)
    monkeypatch.setattr(module, "_RESULTS", room)
    rng = np.random.default_rng(1)
    for k in (1, 7):
        assert_same(cloud(rng, 900, 5, tied=True), cloud(rng, 30, 5, tied=True), k, "dot")


lattice = st.integers(-2, 2).map(float)
# Steps near the precision of float32 around 1: products that rounding may put in any order.
near_ties = st.integers(0, 40).map(lambda step: 1.0 + step * 2.0**-24)


@quick
@given(
    arrays(float, st.tuples(st.integers(1, 60), st.just(3)), elements=lattice | near_ties),
    arrays(float, st.tuples(st.integers(0, 5), st.just(3)), elements=lattice | near_ties),
    st.integers(1, 70),
    st.integers(1, 12),
)
def test_flat_is_the_default_on_ties_and_near_ties(vectors, queries, k, copies):
    vectors = np.tile(vectors, (copies, 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SLACK", 0)  # so that small collections are searched in steps too
        assert_same(vectors, queries, k, "dot")
        some, others = vectors[vectors.any(axis=1)], queries[queries.any(axis=1)]
        if len(some):
            assert_same(some, others, k, "cosine")


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("n_queries", [1, 40])  # faiss multiplies few and many in different ways
def test_products_below_the_precision_of_float32_are_told_apart(metric, n_queries):
    # The vectors differ in their last bits: single precision puts their products in any order.
    rng = np.random.default_rng(0)
    base = rng.normal(size=64)
    vectors = base * (1 + rng.integers(-2, 3, size=(3000, 64)) * 2.0**-23)
    queries = rng.normal(size=(n_queries, 64))
    assert_same(vectors, queries, 5, metric)


def test_a_crowd_comes_to_an_end(monkeypatch):
    # faiss returns 9, 8, 7 ... of equal vectors; the first in fit are found by asking for all.
    depths = []
    index = FaissIndex(metric="dot").fit(np.ones((20_000, 3)))
    search = index._index.search
    monkeypatch.setattr(
        index._index, "search", lambda x, k: depths.append((len(x), k)) or search(x, k)
    )
    vectors = np.ones((2, 3))
    ids, scores = index.search(vectors, 4)
    assert ids.tolist() == [[0, 1, 2, 3]] * 2
    assert (scores == 3.0).all()
    assert depths == [(2, 108), (2, 432), (2, 1728), (2, 6912), (2, 20_000)]


def test_only_the_queries_in_doubt_are_asked_again(monkeypatch):
    vectors = np.random.default_rng(2).normal(size=(3000, 4))
    vectors[:1500] = [9, 0, 0, 0]
    index = FaissIndex(metric="dot").fit(vectors)
    depths = []
    search = index._index.search
    monkeypatch.setattr(
        index._index, "search", lambda x, k: depths.append((len(x), k)) or search(x, k)
    )
    queries = [[-1.0, 0, 0, 0], [1.0, 0, 0, 0]]
    ids, scores = index.search(queries, 10)
    assert depths == [(2, 120), (1, 480), (1, 1920)]
    expected_ids, expected = DenseIndex(metric="dot").fit(vectors).search(queries, 10)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize(
    ("factory", "parameters", "least"),
    [
        ("HNSW32", None, 0.8),
        ("HNSW32", {"efSearch": 200}, 0.98),
        ("IVF16,Flat", {"nprobe": 4}, 0.5),
        ("IVF16,Flat", {"nprobe": 16}, 1.0),
    ],
)
def test_approximate_factories_miss_documents_and_never_misreport_scores(
    metric, factory, parameters, least
):
    rng = np.random.default_rng(3)
    vectors, queries = rng.normal(size=(4000, 24)), rng.normal(size=(60, 24))
    index = FaissIndex(metric=metric, factory=factory, search_parameters=parameters).fit(vectors)
    assert not index.exact
    run = index.search_frame(queries, 20)
    exact = DenseIndex(metric=metric).fit(vectors)
    best = exact.search_frame(queries, 20)
    found = best.merge(run, on=["query_id", "doc_id"])
    assert len(found) / len(best) >= least
    score = exact.score_pairs(queries, run)
    pd.testing.assert_series_equal(run["score"], score, check_exact=True)
    pd.testing.assert_series_equal(index.score_pairs(queries, run), score, check_exact=True)
    by_score = run.sort_values(["query_id", "score"], ascending=[True, False], kind="stable")
    pd.testing.assert_frame_equal(by_score, run)


def test_more_search_misses_less():
    rng = np.random.default_rng(4)
    vectors, queries = rng.normal(size=(3000, 24)), rng.normal(size=(50, 24))
    best = DenseIndex().fit(vectors).search_frame(queries, 10)
    found = [
        len(
            FaissIndex(factory="IVF32,Flat", search_parameters={"nprobe": nprobe})
            .fit(vectors)
            .search_frame(queries, 10)
            .merge(best, on=["query_id", "doc_id"])
        )
        for nprobe in (1, 4, 32)
    ]
    assert found[0] < found[1] < found[2] == 500


def test_ties_of_an_approximate_index_go_to_the_first():
    vectors = np.tile(np.eye(3), (30, 1))
    index = FaissIndex(factory="IVF3,Flat", search_parameters={"nprobe": 3}).fit(vectors)
    ids, _ = index.search([[1.0, 0.0, 0.0]], 90)
    expected, _ = DenseIndex().fit(vectors).search([[1.0, 0.0, 0.0]], 90)
    np.testing.assert_array_equal(ids, expected)


def test_fewer_than_k():
    # Two clusters of three and two documents; one is searched.
    vectors = np.array([[1, 0], [1, 0.1], [1, 0.2], [-1, 0], [-1, 0.1]])
    index = FaissIndex(factory="IVF2,Flat", search_parameters={"nprobe": 1})
    index.fit(vectors, doc_ids=[10, 11, 12, 13, 14])
    queries = [[1.0, 0.0], [-1.0, 0.0]]
    with pytest.warns(UndefinedMetricWarning, match="2 of 2 queries found fewer than 4 documents"):
        ids, scores = index.search(queries, 4)
    assert ids.tolist() == [[10, 11, 12, None], [13, 14, None, None]]
    assert np.isnan(scores).tolist() == [[False] * 3 + [True], [False] * 2 + [True] * 2]
    run = index.search_frame(queries, 4)
    assert run["doc_id"].tolist() == [10, 11, 12, 13, 14]
    assert run["doc_id"].dtype == np.int64
    assert run["rank"].tolist() == [1, 2, 3, 1, 2]
    assert run["query_id"].tolist() == [0, 0, 0, 1, 1]
    assert run["score"].tolist() == scores[~np.isnan(scores)].tolist()
    ids, scores = index.search(queries, 2)  # nothing is missing: nothing to warn of
    assert ids.tolist() == [[10, 11], [13, 14]]


def test_frame_and_pairs_agree_with_search():
    rng = np.random.default_rng(4)
    names = [f"d{n}" for n in range(50)]
    table = pd.DataFrame(rng.normal(size=(50, 5)), index=names)
    queries = pd.DataFrame(rng.normal(size=(6, 5)), index=list("abcdef"))
    index, default = FaissIndex().fit(table), DenseIndex().fit(table)
    run = index.search_frame(queries, 4)
    pd.testing.assert_frame_equal(run, default.search_frame(queries, 4), check_exact=True)
    pairs = run.sample(frac=1, random_state=0)[["query_id", "doc_id"]]
    score = index.score_pairs(queries, pairs)
    pd.testing.assert_series_equal(score, run["score"].loc[pairs.index], check_exact=True)
    renamed = index.search_frame(queries.to_numpy(), 4, query_ids=range(10, 16))
    assert renamed["query_id"].unique().tolist() == list(range(10, 16))
    assert index.n_docs == 50
    assert index.doc_ids.tolist() == names
    np.testing.assert_array_equal(index.vectors, default.vectors)


def test_an_index_can_be_pickled():
    rng = np.random.default_rng(5)
    vectors, queries = rng.normal(size=(500, 8)), rng.normal(size=(4, 8))
    for factory in ("Flat", "HNSW16"):
        index = FaissIndex(factory=factory).fit(vectors)
        again = pickle.loads(pickle.dumps(index))
        pd.testing.assert_frame_equal(
            again.search_frame(queries, 9), index.search_frame(queries, 9), check_exact=True
        )


def test_no_queries():
    for factory in ("Flat", "HNSW8"):
        ids, scores = FaissIndex(factory=factory).fit(np.eye(3)).search(np.zeros((0, 3)), 2)
        assert ids.shape == scores.shape == (0, 2)


def test_without_faiss_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"FaissIndex needs faiss: pip install 'mlsd\[faiss\]'"):
        FaissIndex()


def fitted(**options):
    return FaissIndex(**options).fit(np.eye(3))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: FaissIndex(metric="l2"), ValueError, "metric must be one of .* got 'l2'"),
        (lambda: FaissIndex(factory=32), TypeError, "factory must be a string .* got 32"),
        (
            lambda: FaissIndex(search_parameters="nprobe=3"),
            TypeError,
            "search_parameters must be a mapping such as {'nprobe': 16}; got 'nprobe=3'",
        ),
        (
            lambda: FaissIndex(search_parameters={"nprobe": "3"}),
            TypeError,
            "search_parameters must map names to numbers; got 'nprobe': '3'",
        ),
        (
            lambda: FaissIndex(search_parameters={"nprobe": 0}),
            ValueError,
            "search_parameters must be above 0; got 'nprobe': 0",
        ),
        (lambda: FaissIndex().search([[1.0]], 1), ValueError, "call fit first"),
        (lambda: FaissIndex().exact, ValueError, "call fit first"),
        (
            lambda: fitted(factory="Nope"),
            ValueError,
            "factory='Nope' is nothing that faiss can build for vectors of 3 dimensions",
        ),
        (
            lambda: fitted(factory="IVF4,Flat"),
            ValueError,
            "vectors: faiss cannot build 'IVF4,Flat' of 3: .*Number of training points",
        ),
        (
            lambda: fitted(factory="HNSW8", search_parameters={"nprobe": 3}),
            ValueError,
            "search_parameters: 'HNSW8' has no parameter 'nprobe'",
        ),
        (lambda: FaissIndex().fit([[np.nan], [1]]), ValueError, "vectors has 1 rows with NaN"),
        (lambda: FaissIndex().fit(np.eye(2), [1]), ValueError, "1 identifiers for 2 items"),
        (lambda: fitted().search([[1.0]], 1), ValueError, "X has 1 dimensions and the index 3"),
        (lambda: fitted().search(np.eye(3), 0), ValueError, "k must be at least 1; got 0"),
        (lambda: fitted().search_frame(np.eye(3), 0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: FaissIndex(metric="dot").fit([[1e30]]).search([[1e30]], 1),
            ValueError,
            "overflow float32",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_failed_fit_leaves_nothing():
    index = FaissIndex(factory="IVF3,Flat").fit(np.eye(3))
    with pytest.raises(ValueError, match="cannot build"):
        index.fit(np.eye(2))
    with pytest.raises(ValueError, match="call fit first"):
        index.search(np.eye(2), 1)


def test_repr():
    assert repr(fitted()) == "FaissIndex(metric='cosine', factory='Flat') of 3 x 3"
    assert repr(FaissIndex(factory="HNSW8", search_parameters={"efSearch": 64})) == (
        "FaissIndex(metric='cosine', factory='HNSW8', search_parameters={'efSearch': 64.0})"
    )
