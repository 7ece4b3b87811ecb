"""Fusion against dictionaries and loops."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.funnel import reciprocal_rank_fusion, weighted_fusion


def run_of(lists):
    """Return a run from query -> list of (document, score), best first."""
    rows = [
        (query, doc, score, rank)
        for query, found in lists.items()
        for rank, (doc, score) in enumerate(found, start=1)
    ]
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "score", "rank"])
    return frame.astype({"score": float, "rank": "int64"})


def random_run(rng, n_queries=15, n_docs=40):
    lists = {}
    for query in rng.permutation(n_queries)[: n_queries - 3]:
        docs = rng.choice(n_docs, size=rng.integers(1, min(20, n_docs)), replace=False)
        scores = np.sort(rng.normal(size=docs.size))[::-1]
        lists[f"q{query}"] = [(f"d{doc}", score) for doc, score in zip(docs, scores, strict=True)]
    return run_of(lists)


def as_scores(fused):
    return fused.set_index(["query_id", "doc_id"])["score"].to_dict()


def rrf_by_dictionary(runs, weights, k, depth):
    total = defaultdict(float)
    for name, run in runs.items():
        for query, doc, rank in zip(run["query_id"], run["doc_id"], run["rank"], strict=True):
            if depth is None or rank <= depth:
                total[query, doc] += weights[name] / (k + rank)
    return dict(total)


@pytest.mark.parametrize("depth", [None, 1, 5])
@pytest.mark.parametrize("k", [60, 0, 7.5])
def test_rrf_against_a_dictionary(k, depth):
    rng = np.random.default_rng(1)
    runs = {name: random_run(rng) for name in "abc"}
    weights = {"b": 2.0, "a": 1.0, "c": 0.3}
    fused = reciprocal_rank_fusion(runs, rank_constant=k, weights=weights, depth=depth)
    expected = rrf_by_dictionary(runs, weights, k, depth)
    assert as_scores(fused) == pytest.approx(expected, rel=1e-13)
    for _, found in fused.groupby("query_id"):
        assert found["rank"].tolist() == list(range(1, len(found) + 1))
        assert found["score"].is_monotonic_decreasing
    first_seen = pd.concat(runs.values())["query_id"].unique().tolist()
    assert fused["query_id"].unique().tolist() == first_seen


def test_rrf_by_hand_and_list_of_runs():
    runs = [run_of({"q": [("a", 9), ("b", 8)]}), run_of({"q": [("b", 1)], "p": [("c", 1)]})]
    fused = reciprocal_rank_fusion(runs, rank_constant=1)
    assert fused.to_numpy().tolist() == [
        ["q", "b", 1 / 3 + 1 / 2, 1],
        ["q", "a", 1 / 2, 2],
        ["p", "c", 1 / 2, 1],
    ]


def test_mirrored_documents_tie_exactly_and_follow_the_first_run():
    # x, y and z hold ranks 1, 2 and 3 in some run each: added in run order they would differ.
    orders = ["xyz", "yzx", "zxy"]
    runs = [run_of({"q": [(doc, -place) for place, doc in enumerate(order)]}) for order in orders]
    fused = reciprocal_rank_fusion(runs)
    assert (fused["score"] == fused["score"].iloc[0]).all()
    assert fused["doc_id"].tolist() == ["x", "y", "z"]
    assert reciprocal_rank_fusion(runs[::-1])["doc_id"].tolist() == ["z", "x", "y"]


def test_ranks_come_from_scores_where_there_are_none():
    rng = np.random.default_rng(9)
    run, other = random_run(rng), random_run(rng)
    shuffled = run.drop(columns="rank").sample(frac=1, random_state=3)
    assert as_scores(reciprocal_rank_fusion([shuffled, other])) == as_scores(
        reciprocal_rank_fusion([run, other])
    )


def test_weight_zero_leaves_a_run_out():
    rng = np.random.default_rng(2)
    run, other = random_run(rng), random_run(rng)
    for fuse in (reciprocal_rank_fusion, weighted_fusion):
        pd.testing.assert_frame_equal(fuse([run, other], weights=[1, 0]), fuse([run]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    runs = [random_run(rng, 5, 8), random_run(rng, 5, 8)]
    mixed = [run.sample(frac=1, random_state=seed % 1000) for run in runs]
    key = ["query_id", "rank"]
    for fuse in (reciprocal_rank_fusion, weighted_fusion):
        one = fuse(runs).sort_values(key, ignore_index=True)
        pd.testing.assert_frame_equal(
            one, fuse(mixed).sort_values(key, ignore_index=True), check_exact=False, rtol=1e-12
        )


def test_one_run_keeps_its_order():
    run = random_run(np.random.default_rng(3))
    for fused in (
        reciprocal_rank_fusion([run]),
        weighted_fusion([run]),
        weighted_fusion([run], normalize="zscore"),
        weighted_fusion([run], normalize=None),
    ):
        pd.testing.assert_frame_equal(
            fused.drop(columns="score"), run.drop(columns="score"), check_dtype=False
        )


def weighted_by_loops(runs, weights, normalize):
    total = {}
    queries = pd.concat([run["query_id"] for run in runs]).unique()
    for query in queries:
        found = [run[run["query_id"] == query] for run in runs]
        for doc in {doc for part in found for doc in part["doc_id"]}:
            parts = []
            for part, weight in zip(found, weights, strict=True):
                if part.empty:
                    continue
                score = part.set_index("doc_id")["score"]
                same = score.min() == score.max()
                if normalize == "minmax":
                    scaled = (score - score.min()) / (score.max() - score.min())
                    scaled, missing = (score * 0 + 1 if same else scaled), 0.0
                elif normalize == "zscore":
                    scaled = score * 0 if same else (score - score.mean()) / score.std(ddof=0)
                    missing = scaled.min()
                else:
                    scaled, missing = score, score.min()
                parts.append(weight * scaled.get(doc, missing))
            total[query, doc] = sum(parts)
    return total


@pytest.mark.parametrize("normalize", ["minmax", "zscore", None])
def test_weighted_against_loops(normalize):
    rng = np.random.default_rng(4)
    runs = [random_run(rng, 8, 25) for _ in range(3)]
    weights = [0.5, 2.0, 1.0]
    fused = weighted_fusion(runs, weights, normalize=normalize)
    expected = weighted_by_loops(runs, weights, normalize)
    assert as_scores(fused) == pytest.approx(expected, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(("normalize", "found"), [("minmax", 1.0), ("zscore", 0.0), (None, 5.0)])
def test_equal_scores(normalize, found):
    run = run_of({"q": [("a", 5), ("b", 5)]})
    assert weighted_fusion([run], normalize=normalize)["score"].tolist() == [found, found]


@pytest.mark.parametrize("normalize", ["minmax", "zscore"])
def test_normalised_fusion_ignores_scale_and_shift(normalize):
    rng = np.random.default_rng(5)
    run, other = random_run(rng), random_run(rng)
    moved = run.assign(score=run["score"] * 1000 + 7)
    pd.testing.assert_frame_equal(
        weighted_fusion([run, other], normalize=normalize),
        weighted_fusion([moved, other], normalize=normalize),
        rtol=1e-9,
    )


def test_zscore_of_tiny_scores_does_not_underflow():
    run = run_of({"q": [("a", 3e-200), ("b", 1e-200)]})
    fused = weighted_fusion([run], normalize="zscore")
    np.testing.assert_allclose(fused["score"], [1, -1], rtol=1e-14)


def test_rank_settles_equal_scores():
    run = run_of({"q": [("a", 1), ("b", 1), ("c", 0)]}).assign(rank=[2, 1, 3])
    other = run_of({"q": [("a", 1), ("b", 1), ("c", 1)]})
    for fuse in (reciprocal_rank_fusion, weighted_fusion):
        assert fuse([run])["doc_id"].tolist() == ["b", "a", "c"]
        # Without ranks, the order of the rows.
        assert fuse([run.drop(columns="rank")])["doc_id"].tolist() == ["a", "b", "c"]
    assert weighted_fusion([run, other])["doc_id"].tolist() == ["b", "a", "c"]


def test_the_tail_of_a_run_is_a_run():
    run = random_run(np.random.default_rng(8))
    tail = run[run["rank"] > 3]
    fused = reciprocal_rank_fusion([tail])
    got = fused.merge(tail, on=["query_id", "doc_id"], suffixes=("", "_given"))
    np.testing.assert_array_equal(got["score"], 1 / (60 + got["rank_given"]))
    assert len(weighted_fusion([tail])) == len(tail)


def test_empty_runs():
    empty = run_of({})
    for fuse in (reciprocal_rank_fusion, weighted_fusion):
        assert fuse([empty]).empty
        assert fuse([empty, run_of({"q": [("a", 1)]})])["doc_id"].tolist() == ["a"]


GOOD = run_of({"q": [("a", 2), ("b", 1)]})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: reciprocal_rank_fusion({}), ValueError, "runs is empty"),
        (lambda: reciprocal_rank_fusion(GOOD), TypeError, "runs must be .* got DataFrame"),
        (
            lambda: reciprocal_rank_fusion([GOOD], rank_constant=-1),
            ValueError,
            "rank_constant must be .* got -1",
        ),
        *[
            (
                lambda fuse=fuse: fuse({"a": GOOD, "b": GOOD.assign(rank=[2, 1])}),
                ValueError,
                r"runs\['b'\]\['rank'\] contradicts runs\['b'\]\['score'\] in 1 queries: "
                "rank 1 has score 1 and rank 2 has score 2",
            )
            for fuse in (reciprocal_rank_fusion, weighted_fusion)
        ],
        *[
            (
                lambda fuse=fuse, column=column: fuse([GOOD, GOOD.assign(**{column: 7})[:1]]),
                TypeError,
                rf"runs\[0\]\['{column}'\] holds strings and runs\[1\]\['{column}'\] integers",
            )
            for fuse in (reciprocal_rank_fusion, weighted_fusion)
            for column in ("query_id", "doc_id")
        ],
        (
            lambda: weighted_fusion([GOOD.assign(rank=[0, 1])]),
            ValueError,
            "counts from 1; its lowest is 0",
        ),
        (lambda: reciprocal_rank_fusion([GOOD], depth=0), ValueError, "depth must be at least 1"),
        (lambda: reciprocal_rank_fusion([3]), TypeError, r"runs\[0\] must be a pandas DataFrame"),
        (
            lambda: reciprocal_rank_fusion({"a": pd.concat([GOOD, GOOD])}),
            ValueError,
            r"runs\['a'\] holds 2 repeated \(query_id, doc_id\) pairs, .* \('q', 'a'\)",
        ),
        (
            lambda: reciprocal_rank_fusion([GOOD.assign(rank=[0, 1])]),
            ValueError,
            r"counts from 1; its lowest is 0",
        ),
        (
            lambda: weighted_fusion([GOOD.assign(score=[1, np.nan])]),
            ValueError,
            r"runs\[0\]\['score'\] holds 1 missing among 2",
        ),
        (
            lambda: weighted_fusion([GOOD.assign(score=[np.inf, 1])]),
            ValueError,
            "holds infinite values",
        ),
        (lambda: weighted_fusion([GOOD], normalize="max"), ValueError, "normalize must be one of"),
        (lambda: weighted_fusion([GOOD], [1, 2]), ValueError, "weights has 2 values for 1 runs"),
        (lambda: weighted_fusion([GOOD], [-1]), ValueError, "at least 0 and not all 0; got"),
        (lambda: weighted_fusion([GOOD], [0]), ValueError, "at least 0 and not all 0; got"),
        (
            lambda: weighted_fusion({"a": GOOD}, {"b": 1}),
            ValueError,
            r"weights names \['b'\], and the runs are \['a'\]",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
