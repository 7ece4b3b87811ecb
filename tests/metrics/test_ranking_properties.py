"""What holds for every ranking metric of the table, on frames that hypothesis makes up."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd import metrics
from mlsd.metrics._ranking import METRICS

LABELS = [
    f"{name}{suffix}"
    for name, metric in METRICS.items()
    for suffix in {"optional": ["", "@3"], "required": ["@3"], "none": [""]}[metric.cutoff]
]
OF_RELEVANCE = [label for label in LABELS if METRICS[label.split("@")[0]].needs_relevant]


FEW = settings(max_examples=50)


@st.composite
def cases(draw, *, distinct=False):
    """Judgements and a run of a few queries; every query has a relevant document."""
    qrels, run = [], []
    for query in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 8))
        score = st.integers(-3, 3) if not distinct else st.integers(-1000, 1000)
        scores = draw(st.lists(score, min_size=n, max_size=n, unique=distinct))
        levels = draw(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=n, max_size=n))
        for doc, (value, level) in enumerate(zip(scores, levels, strict=True)):
            run.append((f"q{query}", f"d{doc}", float(value)))
            if level is not None:
                qrels.append((f"q{query}", f"d{doc}", level))
        qrels.append((f"q{query}", "not retrieved", draw(st.integers(1, 2))))
    return (
        pd.DataFrame(qrels, columns=["query_id", "doc_id", "relevance"]),
        pd.DataFrame(run, columns=["query_id", "doc_id", "score"]),
    )


def evaluate(qrels, run, names=LABELS, **options):
    return metrics.evaluate_ranking(metrics.Qrels(qrels), run, names, **options)


@FEW
@given(cases(), st.sampled_from(["average", "docid", "first", "worst"]))
def test_values_lie_between_0_and_1(case, ties):
    values = evaluate(*case, ties=ties).per_query
    assert list(values.columns) == LABELS
    assert values.notna().all(axis=None)
    assert (values >= 0).all(axis=None)
    assert (values <= 1).all(axis=None)


@FEW
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(case, random):
    qrels, run = case
    expected = evaluate(qrels, run).per_query
    rows, judgements = list(range(len(run))), list(range(len(qrels)))
    random.shuffle(rows)
    random.shuffle(judgements)
    got = evaluate(qrels.iloc[judgements], run.iloc[rows]).per_query.loc[expected.index]
    pd.testing.assert_frame_equal(got, expected, rtol=0, atol=1e-15)


@FEW
@given(cases(), st.sampled_from([np.exp, np.arctan, lambda s: 5 * s - 100, lambda s: s**3]))
def test_a_monotone_transform_of_the_scores_does_not_matter(case, transform):
    qrels, run = case
    expected = evaluate(qrels, run).per_query
    got = evaluate(qrels, run.assign(score=transform(run["score"]))).per_query
    pd.testing.assert_frame_equal(got, expected, rtol=0, atol=0)


@FEW
@given(cases())
def test_doubling_the_queries_leaves_the_mean(case):
    qrels, run = case
    twice = [
        pd.concat([frame, frame.assign(query_id="again " + frame["query_id"])])
        for frame in (qrels, run)
    ]
    got, expected = evaluate(*twice).mean(), evaluate(qrels, run).mean()
    pd.testing.assert_series_equal(got, expected, rtol=0, atol=1e-15)


@FEW
@given(cases())
def test_the_kind_of_identifier_does_not_matter(case):
    qrels, run = case
    expected = evaluate(qrels, run).per_query.to_numpy()
    docs = {doc: i for i, doc in enumerate(pd.concat([qrels["doc_id"], run["doc_id"]]).unique())}
    queries = {query: 7 * i - 3 for i, query in enumerate(qrels["query_id"].unique())}
    coded = [
        frame.assign(doc_id=frame["doc_id"].map(docs), query_id=frame["query_id"].map(queries))
        for frame in (qrels, run)
    ]
    np.testing.assert_array_equal(evaluate(*coded).per_query.to_numpy(), expected)
    categorical = run.astype({"query_id": "category", "doc_id": "category"})
    np.testing.assert_array_equal(evaluate(qrels, categorical).per_query.to_numpy(), expected)


@FEW
@given(case=cases(distinct=True), data=st.data())
def test_moving_a_better_document_up_never_lowers(case, data):
    qrels, run = case
    query = data.draw(st.sampled_from(sorted(run["query_id"].unique())))
    rows = run.index[run["query_id"] == query].tolist()
    level = qrels.loc[qrels["query_id"] == query].set_index("doc_id")["relevance"]
    by_level = st.sampled_from(rows).map(lambda row: (level.get(run.loc[row, "doc_id"], 0), row))
    (_, poorer), (_, better) = sorted((data.draw(by_level), data.draw(by_level)))
    low, high = sorted(run.loc[[poorer, better], "score"])
    down, up = run.copy(), run.copy()
    down.loc[[poorer, better], "score"] = [high, low]
    up.loc[[poorer, better], "score"] = [low, high]
    before = evaluate(qrels, down, OF_RELEVANCE).mean()
    after = evaluate(qrels, up, OF_RELEVANCE).mean()
    assert (after >= before - 1e-15).all(), after - before


@FEW
@given(cases())
def test_average_lies_between_worst_and_best(case):
    qrels, run = case
    average = evaluate(qrels, run, OF_RELEVANCE).per_query
    worst = evaluate(qrels, run, OF_RELEVANCE, ties="worst").per_query
    level = run.merge(qrels, how="left", on=["query_id", "doc_id"])["relevance"].fillna(0)
    best_first = run.iloc[np.argsort(-level.to_numpy(), kind="stable")]
    best = evaluate(qrels, best_first, OF_RELEVANCE, ties="first").per_query
    assert (worst <= average + 1e-14).all(axis=None)
    assert (average <= best.loc[average.index] + 1e-14).all(axis=None)


@FEW
@given(cases())
def test_the_ideal_run_of_all_judgements_is_perfect(case):
    qrels, _ = case
    run = qrels.rename(columns={"relevance": "score"})
    values = evaluate(qrels, run, ["ndcg", "ndcg@3", "map", "mrr", "recall", "r_precision"])
    np.testing.assert_allclose(values.per_query.to_numpy(), 1.0, rtol=0, atol=1e-15)


@FEW
@given(cases())
def test_nothing_of_the_caller_is_changed(case):
    qrels, run = case
    copies = qrels.copy(deep=True), run.copy(deep=True)
    evaluate(qrels, run, ties="docid")
    pd.testing.assert_frame_equal(qrels, copies[0])
    pd.testing.assert_frame_equal(run, copies[1])
