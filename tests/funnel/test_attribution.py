"""Where relevant documents are lost: by hand, against loops, and as identities."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd._validation import UndefinedMetricWarning
from mlsd.funnel import Trace, stage_report, trace
from mlsd.metrics import Qrels


def funnel_of(rng, n_queries=8, n_docs=40, counts=(20, 9, 3)):
    """Return three nested stages and judgements of random documents."""
    stages = {}
    rows = pd.MultiIndex.from_product([range(n_queries), range(n_docs)]).to_frame(index=False)
    rows.columns = ["query_id", "doc_id"]
    for name, count in zip(["retrieve", "light", "heavy"], counts, strict=True):
        rows = rows.assign(score=rng.normal(size=len(rows)))
        rows = rows.sort_values(["query_id", "score"], ascending=[True, False], ignore_index=True)
        rows["rank"] = rows.groupby("query_id").cumcount() + 1
        rows = rows[rows["rank"] <= count].reset_index(drop=True)
        stages[name] = rows
    every = pd.MultiIndex.from_product([range(n_queries), range(n_docs)]).to_frame(index=False)
    every.columns = ["query_id", "doc_id"]
    relevant = every.sample(frac=0.15, random_state=int(rng.integers(1000)))
    return stages, relevant.assign(relevance=rng.integers(0, 4, size=len(relevant)))


def recall_by_loops(run, relevant):
    values = []
    for query, wanted in relevant.groupby("query_id")["doc_id"]:
        found = set(run.loc[run["query_id"] == query, "doc_id"])
        values.append(len(found & set(wanted)) / len(wanted))
    return float(np.mean(values))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_report_against_loops_and_its_identities(seed, min_relevance):
    stages, relevant = funnel_of(np.random.default_rng(seed))
    report = stage_report(stages, relevant, n_docs=40, min_relevance=min_relevance)
    wanted = relevant[relevant["relevance"] >= min_relevance]
    expected = [recall_by_loops(run, wanted) for run in stages.values()]
    np.testing.assert_allclose(report["recall"], expected, rtol=1e-13)
    assert report["stage"].tolist() == list(stages)
    assert report["n_in"].tolist() == [40.0, 20.0, 9.0]
    assert report["n_out"].tolist() == [20.0, 9.0, 3.0]
    final = report["recall"].iloc[-1]
    assert math.isclose(report["recall_lost"].sum(), 1 - final, abs_tol=1e-15)
    if final > 0:
        assert math.isclose(report["conditional_recall"].prod(), final, rel_tol=1e-13)
    assert (report["recall_lost"] >= 0).all()


def test_report_by_hand():
    found = pd.DataFrame({"query_id": ["a", "a", "b", "c"], "doc_id": [1, 2, 1, 1]})
    relevant = pd.DataFrame({"query_id": ["a", "a", "b", "z"], "doc_id": [1, 9, 1, 1]})
    report = stage_report({"one": found, "two": found.head(1)}, relevant)
    # Recall of a, b, z: 1/2, 1, 0 and then 1/2, 0, 0; c has nothing relevant, z no rows.
    np.testing.assert_allclose(report["recall"], [0.5, 1 / 6], rtol=1e-15)
    np.testing.assert_allclose(report["conditional_recall"], [0.5, 1 / 3], rtol=1e-15)
    np.testing.assert_allclose(report["recall_lost"], [0.5, 1 / 3], rtol=1e-15)
    np.testing.assert_array_equal(report["n_in"], [np.nan, 1.0])
    assert report["n_out"].tolist() == [1.0, 0.25]
    assert report.attrs == {"n_queries": 4, "n_with_relevant": 3, "n_relevant_not_retrieved": 1}


def test_report_when_nothing_is_left():
    found = pd.DataFrame({"query_id": [1], "doc_id": [5]})
    relevant = pd.DataFrame({"query_id": [1], "doc_id": [6]})
    report = stage_report({"one": found, "two": found.head(0)}, relevant)
    assert report["recall"].tolist() == [0.0, 0.0]
    assert report["recall_lost"].tolist() == [1.0, 0.0]
    np.testing.assert_array_equal(report["conditional_recall"], [0.0, np.nan])


def test_report_without_relevant_documents_is_undefined():
    found = pd.DataFrame({"query_id": [1], "doc_id": [5]})
    with pytest.warns(UndefinedMetricWarning, match="no query has a document of relevance 2"):
        report = stage_report({"one": found}, found.assign(relevance=1), min_relevance=2)
    assert report[["recall", "recall_lost"]].isna().all(axis=None)
    assert report["n_out"].tolist() == [1.0]


FOUND = pd.DataFrame(
    {
        "query_id": ["q", "q", "q", "p"],
        "doc_id": ["a", "b", "c", "a"],
        "score": [0.9, 0.8, 0.7, 0.5],
        "rank": [1, 2, 3, 1],
    }
)
LIGHT = FOUND.iloc[[2, 0]].assign(score=[5.0, 4.0], rank=[1, 2])
HEAVY = FOUND.iloc[[0]].assign(score=[-1.0], rank=[1])
STAGES = {"retrieve": FOUND, "light": LIGHT, "heavy": HEAVY}
ALL_LIGHT = FOUND.head(3).assign(score=[4.0, 1.5, 5.0], rank=[2, 3, 1])


def test_trace_of_a_survivor():
    one = trace(STAGES, "q", "a")
    assert (one.outcome, one.lost_at, one.score, one.rank) == ("survived", None, -1.0, 1)
    assert (one.threshold, one.n_kept, one.scored_by) == (-1.0, 1, "heavy")
    assert one.path == (("retrieve", 0.9, 1), ("light", 4.0, 2), ("heavy", -1.0, 1))
    assert str(one) == (
        "For query 'q', document 'a' survived every stage at rank 1 of 1, score -1."
    )


def test_trace_of_a_document_lost_on_the_way():
    one = trace(STAGES, "q", "b")
    assert (one.outcome, one.lost_at, one.scored_by) == ("lost", "light", "retrieve")
    assert (one.score, one.rank, one.threshold, one.n_kept) == (0.8, 2, 4.0, 2)
    assert str(one) == (
        "For query 'q', document 'b' was lost at 'light', where it came in from 'retrieve' "
        "at rank 2, score 0.8 there; 'light' kept 2 documents."
    )


def test_trace_with_the_scores_of_the_losing_stage():
    one = trace(STAGES, "q", "b", scored={"light": ALL_LIGHT})
    assert (one.lost_at, one.scored_by) == ("light", "light")
    assert (one.score, one.rank, one.threshold) == (1.5, 3, 4.0)
    assert str(one) == (
        "For query 'q', document 'b' was lost at 'light', scored 1.5 at rank 3; "
        "'light' kept 2 documents, the lowest with score 4."
    )


def test_trace_of_a_document_never_retrieved():
    one = trace(STAGES, "q", "z")
    assert (one.outcome, one.lost_at, one.rank, one.scored_by) == ("lost", "retrieve", None, None)
    assert math.isnan(one.score)
    assert (one.threshold, one.path) == (0.7, ())
    assert str(one) == (
        "For query 'q', document 'z' was never retrieved; "
        "'retrieve' kept 3 documents, the lowest with score 0.7."
    )


def test_trace_of_a_query_that_a_stage_emptied():
    one = trace(STAGES, "p", "a")
    assert (one.lost_at, one.score, one.n_kept) == ("light", 0.5, 0)
    assert math.isnan(one.threshold)
    assert str(one).endswith("at rank 1, score 0.5 there; 'light' kept no document at all.")


def test_trace_of_an_unknown_query():
    one = trace(STAGES, "nobody", "a")
    assert (one.outcome, one.lost_at, one.n_kept) == ("unknown query", None, 0)
    assert str(one) == "Query 'nobody' has no row in any stage, so document 'a' was not sought."


def test_trace_without_ranks():
    one = trace({"retrieve": FOUND.drop(columns="rank")}, "q", "b")
    assert one.rank is None
    assert "survived every stage of 3, score 0.8" in str(one)


def test_trace_prints_and_exports():
    one = trace(STAGES, "q", "<b>")
    assert isinstance(one, Trace)
    assert "&lt;b&gt;" in one._repr_html_()
    assert trace(STAGES, "q", "a").to_frame()["stage"].tolist() == list(STAGES)
    assert trace(STAGES, "q", "b").to_dict()["lost_at"] == "light"
    assert json.loads(json.dumps(trace(STAGES, "q", "b").to_dict()))["path"] == [
        ["retrieve", 0.8, 2]
    ]
    with pytest.raises(AttributeError):
        one.score = 3.0


def test_trace_of_numpy_identifiers_is_plain():
    run = pd.DataFrame({"query_id": [1, 1], "doc_id": [5, 6], "score": [2.0, 1.0]})
    one = trace({"retrieve": run}, np.int64(1), run["doc_id"].to_numpy()[0])
    assert str(one) == "For query 1, document 5 survived every stage of 2, score 2."
    assert json.loads(json.dumps(one.to_dict()))["doc_id"] == 5


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_trace_of_a_missing_rank(missing):
    ranks = pd.Series([1, missing], dtype="Int64" if missing is pd.NA else object)
    run = FOUND.head(2).assign(rank=ranks)
    assert trace({"retrieve": run}, "q", "b").rank is None
    assert trace({"retrieve": run}, "q", "a").rank == 1
    assert trace({"retrieve": run}, "q", "b").path == (("retrieve", 0.8, None),)


def test_report_reads_qrels():
    relevant = FOUND[["query_id", "doc_id"]].assign(relevance=[2, 0, 1, 1])
    pd.testing.assert_frame_equal(
        stage_report({"one": FOUND.head(2)}, Qrels(relevant)),
        stage_report({"one": FOUND.head(2)}, relevant),
    )


def test_trace_agrees_with_the_report():
    stages, relevant = funnel_of(np.random.default_rng(11))
    report = stage_report(stages, relevant.drop(columns="relevance")).set_index("stage")
    lost = pd.DataFrame(
        [
            (query, trace(stages, query, doc).lost_at)
            for query, doc in zip(relevant["query_id"], relevant["doc_id"], strict=True)
        ],
        columns=["query_id", "stage"],
    )
    stage = lost["stage"].fillna("none")
    mean = pd.crosstab(lost["query_id"], stage, normalize="index").mean()
    for stage in stages:
        assert math.isclose(mean[stage], report.loc[stage, "recall_lost"], abs_tol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: stage_report({}, FOUND), ValueError, "stages is empty"),
        (lambda: stage_report([FOUND], FOUND), TypeError, "stages must map .* got list"),
        (
            lambda: stage_report({"a": FOUND.head(2), "b": FOUND}, FOUND),
            ValueError,
            r"stage 'b' holds 2 .* not in 'a' before it, the first being \('q', 'c'\)",
        ),
        (
            lambda: stage_report({"a": pd.concat([FOUND, FOUND])}, FOUND),
            ValueError,
            r"stages\['a'\] holds 4 repeated",
        ),
        (lambda: stage_report(STAGES, FOUND, n_docs=0), ValueError, "n_docs must be at least 1"),
        (
            lambda: stage_report(STAGES, FOUND[["doc_id"]]),
            ValueError,
            r"relevant lacks the columns \['query_id'\]",
        ),
        (lambda: stage_report(STAGES, FOUND, min_relevance=0), ValueError, "above 0; got 0"),
        (
            lambda: stage_report({"a": FOUND, "b": FOUND.head(1).assign(doc_id=7)}, FOUND),
            TypeError,
            r"stages\['a'\]\['doc_id'\] holds strings and stages\['b'\]\['doc_id'\] integers",
        ),
        (
            lambda: stage_report(STAGES, FOUND.assign(query_id=[1, 2, 3, 4])),
            TypeError,
            r"stages\['retrieve'\]\['query_id'\] holds strings and relevant\['query_id'\] int",
        ),
        (
            lambda: stage_report(
                {"a": FOUND.astype({"doc_id": "category"})}, FOUND.assign(doc_id=7)[2:]
            ),
            TypeError,
            r"stages\['a'\]\['doc_id'\] holds strings and relevant\['doc_id'\] integers",
        ),
        (
            lambda: trace({"a": FOUND, "b": FOUND.head(1).assign(query_id=7)}, "q", "a"),
            TypeError,
            r"stages\['a'\]\['query_id'\] holds strings and stages\['b'\]\['query_id'\] integers",
        ),
        (
            lambda: trace(STAGES, "q", "a", scored={"light": FOUND.head(1).assign(doc_id=7)}),
            TypeError,
            r"and scored\['light'\]\['doc_id'\] integers",
        ),
        (
            lambda: trace(STAGES, 7, "a"),
            TypeError,
            r"query_id is the integer 7 and stages\['retrieve'\]\['query_id'\] holds strings",
        ),
        (
            lambda: trace({"a": FOUND.head(2).assign(doc_id=[1, 2])}, "q", "1"),
            TypeError,
            r"doc_id is the string '1' and stages\['a'\]\['doc_id'\] holds integers",
        ),
        (
            lambda: trace(STAGES, "q", "a", scored={"light": pd.concat([LIGHT, LIGHT])}),
            ValueError,
            r"scored\['light'\] holds 2 repeated",
        ),
        (lambda: stage_report(STAGES, 3), TypeError, "relevant must be a pandas DataFrame"),
        (
            lambda: trace({"a": FOUND.head(2), "b": FOUND}, "q", "c"),
            ValueError,
            "document 'c' of query 'q' is in stage 'b' and not in 'a' before it",
        ),
        (
            lambda: trace({"a": FOUND.drop(columns="score")}, "q", "a"),
            ValueError,
            r"stages\['a'\] lacks the columns \['score'\]",
        ),
        (
            lambda: trace(STAGES, "q", "a", scored={"x": FOUND}),
            ValueError,
            r"scored names the stages \['x'\]",
        ),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
