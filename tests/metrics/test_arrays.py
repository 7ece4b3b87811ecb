"""The array functions agree with the frames, and refuse what they cannot use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlsd import metrics

FUNCTIONS = {
    "ndcg@4": lambda *a, **o: metrics.ndcg(*a, k=4, **o),
    "ndcg": metrics.ndcg,
    "map@4": lambda *a, **o: metrics.average_precision_at_k(*a, k=4, **o),
    "mrr": metrics.reciprocal_rank,
    "hit_rate@4": lambda *a, **o: metrics.hit_rate(*a, k=4, **o),
    "recall@4": lambda *a, **o: metrics.recall_at_k(*a, k=4, **o),
    "precision@4": lambda *a, **o: metrics.precision_at_k(*a, k=4, **o),
}


@pytest.mark.parametrize("ties", ["average", "first", "worst"])
@pytest.mark.parametrize("label", FUNCTIONS)
def test_agrees_with_the_frames(label, ties):
    rng = np.random.default_rng(2)
    query = rng.integers(0, 30, 600)
    frame = pd.DataFrame(
        {
            "query_id": query,
            "doc_id": np.arange(600),
            "relevance": rng.integers(0, 3, 600),
            "score": rng.integers(0, 6, 600),
        }
    )
    expected = metrics.evaluate_ranking(metrics.Qrels(frame), frame, label, ties=ties).mean()[label]
    data = frame["relevance"], frame["score"]
    assert FUNCTIONS[label](*data, query=query, ties=ties) == pytest.approx(expected, abs=1e-15)
    names = ["q" + str(q) for q in query]
    assert FUNCTIONS[label](*data, query=names, ties=ties) == pytest.approx(expected, abs=1e-15)


def test_columns_of_any_library_and_any_index():
    query, y_true, y_score = ["b", "a", "b", "a"], [1, 0, 1, 1], [0.5, 0.25, 0.75, 0.0]
    expected = metrics.ndcg(y_true, y_score, query=query)
    odd = [3, 3, 0, 1]
    columns = (
        [pd.Series(values, index=odd) for values in (y_true, y_score, query)],
        [pd.Series(values).convert_dtypes(dtype_backend="pyarrow") for values in (y_true, y_score)]
        + [pd.Series(query, dtype="category")],
        [pl.Series(values) for values in (y_true, y_score, query)],
        [pa.array(values) for values in (y_true, y_score, query)],
        [np.array(values) for values in (y_true, y_score, query)],
    )
    for relevance, score, of in columns:
        assert metrics.ndcg(relevance, score, query=of) == expected
    numbers = pl.Series([7, -1, 7, -1])
    assert metrics.ndcg(y_true, y_score, query=numbers) == expected


def test_a_matrix_is_one_query_a_row():
    y_true, y_score = [[1, 0, 0], [0, 1, 0]], [[3, 2, 1], [3, 2, 1]]
    assert metrics.reciprocal_rank(y_true, y_score) == 0.75
    flat = np.ravel(y_true), np.ravel(y_score)
    assert metrics.reciprocal_rank(*flat, query=[0, 0, 0, 1, 1, 1]) == 0.75


def test_normalize_by_what_fits_in_the_top_k():
    y_true, y_score = [1, 1, 1, 0], [4, 3, 2, 1]
    assert metrics.average_precision_at_k(y_true, y_score, k=2) == pytest.approx(2 / 3)
    assert metrics.average_precision_at_k(y_true, y_score, k=2, normalize="min(R,k)") == 1.0
    assert metrics.average_precision_at_k(y_true, y_score, k=5, normalize="min(R,k)") == 1.0


@pytest.mark.parametrize("label", FUNCTIONS)
def test_a_query_without_a_relevant_document_is_left_out(label):
    function = FUNCTIONS[label]
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 2 queries have no relevant"):
        got = function([1, 0, 0, 0], [1, 0, 1, 0], query=[1, 1, 2, 2])
    assert got == function([1, 0], [1, 0])
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 1 queries"):
        assert np.isnan(function([0], [1]))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (([], []), {}, ValueError, "y_true is empty"),
        (([1, 0], [1]), {}, ValueError, "lengths differ: y_true has 2, y_score has 1"),
        (([1, np.nan], [1, 2]), {}, ValueError, "y_true holds 1 NaN among 2"),
        (([1, np.inf], [1, 2]), {}, ValueError, "infinite relevance"),
        (([1, 0], [1, np.nan]), {}, ValueError, "y_score holds 1 NaN among 2"),
        (([1, 0], ["a", "b"]), {}, TypeError, "y_score must be numeric"),
        (([[1, 0]], [1, 0]), {}, ValueError, r"differ in shape: \(1, 2\) and \(2,\)"),
        (([[1, 0]], [[1, 0]]), {"query": [1, 1]}, ValueError, "query must be None"),
        (([1, 0], [1, 0]), {"query": [1]}, ValueError, "query has 1"),
        (([1, 0], [1, 0]), {"query": [1.5, 2]}, TypeError, "strings or integers; got float64"),
        (([1, 0], [1, 0]), {"ties": "docid"}, ValueError, "ties must be one of"),
        (([1, 0], [1, 0]), {"k": 0}, ValueError, "k must be at least 1; got 0"),
        (([1, 0], [1, 0]), {"k": 2.0}, TypeError, "k must be an integer"),
        (([1, 0], [1, 0]), {"gain": "log"}, ValueError, "gain must be"),
    ],
)
def test_refuses(arguments, options, error, match):
    with pytest.raises(error, match=match):
        metrics.ndcg(*arguments, **options)


def test_refuses_what_only_some_take():
    with pytest.raises(ValueError, match="min_relevance must be above 0; got -1"):
        metrics.hit_rate([1], [1], min_relevance=-1)
    with pytest.raises(ValueError, match="normalize must be one of 'R', 'min"):
        metrics.average_precision_at_k([1], [1], normalize="k")
