"""The flat index against a full sort of float64 scores."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

import mlsd.funnel.dense as module
from mlsd.funnel import DenseIndex


def full_sort(index, queries, k):
    """Score every pair as the index promises to, and sort all of them."""
    prepared = index._prepare(queries, "X").astype(np.float64)
    scores = np.stack(
        [np.einsum("d,nd->n", query, index.vectors.astype(float)) for query in prepared]
    )
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def cloud(rng, n, d, *, tied):
    """Return vectors; tied ones repeat and lie on a coarse grid, so that many scores agree."""
    vectors = rng.normal(size=(n, d)).astype(np.float32)
    if tied:
        vectors = np.round(vectors) + 0.5
        vectors[1::5] = vectors[0]
    return vectors


@pytest.mark.parametrize("metric", ["dot", "cosine"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("block_size", [700, 16_384])
@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [(5000, 140, 8, 10), (100, 3, 4, 200), (3000, 20, 16, 1), (2000, 9, 3, 2000)],
)
def test_equal_to_full_sort(metric, tied, block_size, n, m, d, k):
    rng = np.random.default_rng(n + d)
    index = DenseIndex(metric=metric, block_size=block_size).fit(cloud(rng, n, d, tied=tied))
    queries = cloud(rng, m, d, tied=tied)
    ids, scores = index.search(queries, k)
    order, expected = full_sort(index, queries, k)
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(scores, expected)


def test_ascending_scores_are_the_worst_case_and_still_exact():
    vectors = np.arange(1, 6001, dtype=np.float32)[:, None]
    ids, scores = DenseIndex(metric="dot", block_size=512).fit(vectors).search([[1.0], [-1.0]], 3)
    assert ids.tolist() == [[5999, 5998, 5997], [0, 1, 2]]
    assert scores.tolist() == [[6000.0, 5999.0, 5998.0], [-1.0, -2.0, -3.0]]


def test_products_below_the_precision_of_float32_are_told_apart():
    # In float32 all these products round to one of two numbers; their order is that of float64.
    base = np.float32(1.0)
    steps = np.arange(3000, dtype=np.float32) * np.float32(2.0**-30)
    vectors = np.column_stack([np.full(3000, base), np.random.default_rng(0).permutation(steps)])
    index = DenseIndex(metric="dot", block_size=256).fit(vectors)
    ids, _ = index.search([[1.0, 1.0]], 5)
    assert ids[0].tolist() == np.argsort(-vectors[:, 1].astype(float))[:5].tolist()


def test_copies_of_one_vector_do_not_pile_up(monkeypatch):
    # All 20,000 scores agree: without a bound the candidates would be the whole collection.
    sizes = []
    best = DenseIndex._best
    monkeypatch.setattr(
        DenseIndex,
        "_best",
        lambda self, queries, rows, docs, k: (
            sizes.append(rows.size) or best(self, queries, rows, docs, k)
        ),
    )
    vectors = np.tile(np.array([[0.3, -1.7, 2.2]], dtype=np.float32), (20_000, 1))
    vectors[12_345] *= 2
    index = DenseIndex(metric="dot", block_size=500).fit(vectors)
    ids, _ = index.search([[1.0, 0.0, 1.0], [0.1, 0.1, 0.1]], 4)
    assert ids.tolist() == [[12_345, 0, 1, 2]] * 2
    assert max(sizes) <= 2 * (500 + 4 * 4)


def scans(monkeypatch):
    """Return a list that gets the number of queries of every scan of the collection."""
    found = []
    scan = DenseIndex._scan
    monkeypatch.setattr(
        DenseIndex,
        "_scan",
        lambda self, queries, *rest: found.append(len(queries)) or scan(self, queries, *rest),
    )
    return found


@pytest.mark.parametrize("k", [1, 20, 600, 3000, 20_000])
@pytest.mark.parametrize("order", ["random", "rising", "falling", "one crowd", "few crowds"])
def test_equal_to_full_sort_in_any_order(order, k):
    rng = np.random.default_rng(9)
    vectors = cloud(rng, 20_000, 6, tied=False)
    queries = cloud(rng, 3, 6, tied=False)
    score = vectors @ queries[0]
    if order == "few crowds":
        vectors = vectors[np.sort(rng.integers(0, 5, len(vectors)))]
    else:
        by = {"random": score * 0, "rising": score, "falling": -score, "one crowd": score > -9}
        vectors = vectors[np.argsort(by[order], kind="stable")]
    if order == "one crowd":
        vectors[100:] = vectors[100]
    index = DenseIndex(metric="dot", block_size=3000).fit(vectors)
    ids, scores = index.search(queries, k)
    expected, expected_scores = full_sort(index, queries, k)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_a_query_that_the_sample_misleads_is_searched_again(monkeypatch):
    # The sampled documents stand out for the second query, and are hidden from the third.
    rng = np.random.default_rng(11)
    n, k = 30_000, 40
    vectors = rng.normal(size=(n, 3)).astype(np.float32)
    sampled = module.spread(n, n // 64)
    vectors[:, 1] = np.where(np.isin(np.arange(n), sampled[:60]), 9, vectors[:, 1])
    vectors[sampled, 2] = -9
    queries = np.eye(3, dtype=np.float32)
    found = scans(monkeypatch)
    index = DenseIndex(metric="dot").fit(vectors)
    ids, scores = index.search(queries, k)
    assert found == [3]
    expected, expected_scores = full_sort(index, queries, k)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(scores, expected_scores)
    # More sampled documents stand out than are wanted from all: nearly all others are below.
    vectors[sampled[:30], 1] = 90 + rng.random(30)
    index.fit(vectors)
    ids, scores = index.search(queries, k)
    assert found == [3, 3, 1]
    expected, expected_scores = full_sort(index, queries, k)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(scores, expected_scores)


def test_a_floor_within_the_margin_of_the_last_is_not_trusted(monkeypatch):
    # Enough products exceed it, but one that rounding keeps below might be better than the last.
    rng = np.random.default_rng(14)
    index = DenseIndex(metric="dot").fit(rng.normal(size=(20_000, 5)))
    queries = rng.normal(size=(3, 5))
    expected = index.search(queries, 30)
    last = np.float32(expected[1][:, -1])
    floors = DenseIndex._floors
    found = scans(monkeypatch)
    for below, n_scans in [(1e-4, 1), (4e-6, 2)]:
        monkeypatch.setattr(
            DenseIndex,
            "_floors",
            lambda *given, below=below: (last - np.float32(below), floors(*given)[1]),
        )
        found.clear()
        ids, scores = index.search(queries, 30)
        assert found == [3] * n_scans
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(scores, expected[1])


def test_one_scan_is_enough_for_an_ordinary_collection(monkeypatch):
    rng = np.random.default_rng(12)
    index = DenseIndex().fit(rng.normal(size=(20_000, 8)))
    found = scans(monkeypatch)
    for k in (1, 10, 100, 1000):
        index.search(rng.normal(size=(50, 8)), k)
    assert found == [50] * 4


def test_memory_does_not_grow_with_the_collection():
    peaks = []
    rng = np.random.default_rng(13)
    for n in (20_000, 80_000):
        index = DenseIndex(metric="dot", block_size=1000).fit(rng.normal(size=(n, 4)))
        queries = rng.normal(size=(100, 4))
        index.search(queries, 20)
        tracemalloc.start()
        try:
            index.search(queries, 20)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.25 * peaks[0]
    assert peaks[1] < 1024 * 1000 + 200 * 100 * 20


def test_cosine_against_scipy():
    rng = np.random.default_rng(2)
    vectors, queries = rng.normal(size=(300, 12)), rng.normal(size=(7, 12))
    ids, scores = DenseIndex().fit(vectors).search(queries, 300)
    expected = 1 - cdist(queries, vectors, "cosine")
    np.testing.assert_allclose(scores, np.take_along_axis(expected, ids, axis=1), atol=2e-7)


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-200, 1e-44, 1.0, 1e44, 1e300])
def test_cosine_at_any_scale(scale, monkeypatch):
    monkeypatch.setattr(module, "_ROW_NUMBERS", 36)  # blocks of three rows
    rng = np.random.default_rng(7)
    vectors = rng.integers(-40, 41, size=(200, 12)).astype(float)
    queries = rng.normal(size=(7, 12))
    _, scores = DenseIndex().fit(vectors * scale).search(queries, 200)
    ids, expected = DenseIndex().fit(vectors).search(queries, 200)
    found = (
        DenseIndex()
        .fit(vectors * scale)
        .score_pairs(
            queries,
            pd.DataFrame({"query_id": np.repeat(np.arange(7), 200), "doc_id": ids.ravel()}),
        )
    )
    np.testing.assert_allclose(scores, expected, rtol=0, atol=2e-7)
    np.testing.assert_allclose(found, expected.ravel(), rtol=0, atol=2e-7)


def test_cosine_is_as_near_as_documented():
    rng = np.random.default_rng(8)
    # All parts in one direction: errors of the rounding add up as far as they can.
    vectors, queries = rng.uniform(0.9, 1.1, size=(2, 400, 700))
    pairs = pd.DataFrame({"query_id": np.arange(400), "doc_id": np.arange(400)})
    got = DenseIndex().fit(vectors).score_pairs(queries, pairs)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(queries, axis=1)
    np.testing.assert_allclose(got, (vectors * queries).sum(axis=1) / lengths, rtol=0, atol=2e-7)


def test_bad_rows_are_counted_over_all_blocks(monkeypatch):
    monkeypatch.setattr(module, "_ROW_NUMBERS", 4)
    vectors = np.ones((9, 2))
    vectors[[0, 5, 8], 1] = [np.inf, np.nan, -np.inf]
    with pytest.raises(ValueError, match="vectors has 3 rows with NaN"):
        DenseIndex().fit(vectors)
    with pytest.raises(ValueError, match="vectors has 3 rows of length 0"):
        DenseIndex().fit(
            np.nan_to_num(vectors, nan=1, posinf=1, neginf=1) * (np.arange(9) % 3 > 0)[:, None]
        )


def test_frame_and_pairs_agree_with_search():
    rng = np.random.default_rng(4)
    names = [f"d{n}" for n in range(50)]
    index = DenseIndex().fit(pd.DataFrame(rng.normal(size=(50, 5)), index=names))
    queries = pd.DataFrame(rng.normal(size=(6, 5)), index=list("abcdef"))
    ids, scores = index.search(queries, 4)
    run = index.search_frame(queries, 4)
    assert run["query_id"].tolist() == [q for q in "abcdef" for _ in range(4)]
    assert run["doc_id"].tolist() == ids.ravel().tolist()
    assert run["score"].tolist() == scores.ravel().tolist()
    assert run["rank"].tolist() == [1, 2, 3, 4] * 6
    pairs = run.sample(frac=1, random_state=0)[["query_id", "doc_id"]]
    got = index.score_pairs(queries, pairs)
    assert got.index.equals(pairs.index)
    np.testing.assert_array_equal(got, run.loc[pairs.index, "score"])
    renamed = index.search_frame(queries.to_numpy(), 4, query_ids=range(10, 16))
    assert renamed["query_id"].unique().tolist() == list(range(10, 16))


def test_a_query_does_not_depend_on_its_company():
    rng = np.random.default_rng(6)
    index = DenseIndex(block_size=300).fit(rng.normal(size=(2000, 33)))
    queries = rng.normal(size=(150, 33))
    _, together = index.search(queries, 7)
    _, alone = index.search(queries[149:], 7)
    np.testing.assert_array_equal(together[149:], alone)


def test_the_index_keeps_its_own_copy():
    vectors = np.eye(2, dtype=np.float32)
    index = DenseIndex(metric="dot").fit(vectors)
    vectors[:] = 7
    assert index.vectors.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_no_queries():
    ids, scores = DenseIndex().fit(np.eye(3)).search(np.zeros((0, 3)), 2)
    assert ids.shape == scores.shape == (0, 2)


grid = st.integers(-3, 3).map(float)


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 30), st.just(2)), elements=grid), st.integers(1, 8))
def test_short_list_is_the_head_of_the_long_one(vectors, k):
    index = DenseIndex(metric="dot", block_size=4).fit(vectors)
    queries = [[1.0, 2.0], [0.0, -1.0]]
    ids, scores = index.search(queries, k)
    more_ids, more_scores = index.search(queries, k + 3)
    np.testing.assert_array_equal(ids, more_ids[:, : ids.shape[1]])
    np.testing.assert_array_equal(scores, more_scores[:, : ids.shape[1]])
    assert (np.diff(scores, axis=1) <= 0).all()


@settings(max_examples=60, deadline=None)
@given(
    arrays(float, st.tuples(st.integers(1, 30), st.just(2)), elements=grid),
    st.randoms(use_true_random=False),
)
def test_order_of_documents_does_not_change_scores(vectors, random):
    order = list(range(len(vectors)))
    random.shuffle(order)
    queries = [[1.0, 2.0]]
    _, scores = DenseIndex(metric="dot").fit(vectors).search(queries, 5)
    _, again = DenseIndex(metric="dot").fit(vectors[order]).search(queries, 5)
    np.testing.assert_array_equal(scores, again)


def fitted(**options):
    return DenseIndex(**options).fit(np.eye(3))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: DenseIndex(metric="l2"), ValueError, "metric must be one of .* got 'l2'"),
        (lambda: DenseIndex(block_size=0), ValueError, "block_size must be at least 1; got 0"),
        (lambda: DenseIndex().search([[1.0]], 1), ValueError, "call fit first"),
        (lambda: DenseIndex().fit([1.0, 2.0]), ValueError, r"two-dimensional; got shape \(2,\)"),
        (lambda: DenseIndex().fit(np.zeros((0, 3))), ValueError, r"empty: its shape is \(0, 3\)"),
        (lambda: DenseIndex().fit([[np.nan], [1]]), ValueError, "vectors has 1 rows with NaN"),
        (
            lambda: DenseIndex(metric="dot").fit([[1e300]]),
            ValueError,
            "1 rows .* numbers beyond float32",
        ),
        (lambda: DenseIndex(metric="dot").fit([["a"]]), TypeError, "vectors must be numeric"),
        (lambda: DenseIndex().fit([[1j, 2]]), TypeError, "vectors must be real; got complex128"),
        (
            lambda: fitted(metric="dot").search(np.ones((1, 3), np.complex64), 1),
            TypeError,
            "X must be real; got complex64",
        ),
        (lambda: DenseIndex().fit([["a"]]), TypeError, "vectors must be numeric"),
        (lambda: DenseIndex().fit([[0.0], [1.0]]), ValueError, "vectors has 1 rows of length 0"),
        (lambda: DenseIndex().fit(np.eye(2), [1]), ValueError, "1 identifiers for 2 items"),
        (
            lambda: DenseIndex().fit(np.ones((1, 2**23))).search(np.ones((1, 2**23)), 1),
            ValueError,
            "too long",
        ),
        (lambda: fitted().search([[1.0]], 1), ValueError, "X has 1 dimensions and the index 3"),
        (lambda: fitted().search([[0, 0, 0]], 1), ValueError, "X has 1 rows of length 0"),
        (lambda: fitted().search(np.eye(3), 0), ValueError, "k must be at least 1; got 0"),
        (
            lambda: DenseIndex(metric="dot").fit([[1e30]]).search([[1e30]], 1),
            ValueError,
            "overflow float32",
        ),
        (
            lambda: fitted().score_pairs(np.eye(3), pd.DataFrame({"query_id": [9], "doc_id": [0]})),
            ValueError,
            r"pairs\['query_id'\] holds 1 unknown identifiers, the first 9",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_repr():
    assert repr(fitted()) == "DenseIndex(metric='cosine', block_size=16384) of 3 x 3"
