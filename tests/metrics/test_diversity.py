"""Subtopic recall and alpha-nDCG, against their definitions written with loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import polars as pl
import pytest

from mlsd import metrics
from mlsd.metrics._diversity import evaluate_diversity


def random_case(seed):
    rng = np.random.default_rng(seed)
    pairs, run = [], []
    for query in range(8):
        docs = [f"d{i}" for i in range(rng.integers(2, 12))]
        for doc in docs:
            chosen = rng.choice(6, rng.integers(0, 4), replace=False)
            pairs += [(f"q{query}", doc, f"s{topic}") for topic in chosen]
        pairs.append((f"q{query}", "extra", "s9"))
        ranked = rng.permutation([*docs, "unjudged"])
        run += [(f"q{query}", doc, place) for place, doc in enumerate(ranked, start=1)]
    pairs = pd.DataFrame(pairs, columns=["query_id", "doc_id", "subtopic"])
    run = pd.DataFrame(run, columns=["query_id", "doc_id", "rank"])
    return pairs.sample(frac=1, random_state=seed), run.sample(frac=1, random_state=seed)


def dcg(docs, topics, alpha):
    seen, total = {}, 0.0
    for place, doc in enumerate(docs, start=1):
        for topic in topics.get(doc, ()):
            total += (1 - alpha) ** seen.get(topic, 0) / math.log2(place + 1)
            seen[topic] = seen.get(topic, 0) + 1
    return total


def greedy(topics, alpha, k):
    chosen, left = [], list(topics)
    while left and len(chosen) < k:
        # max keeps the first among equals, as the definition has it.
        best = max(left, key=lambda doc: round(dcg([*chosen, doc], topics, alpha), 12))
        chosen.append(best)
        left.remove(best)
    return dcg(chosen, topics, alpha)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_definitions(seed, k, alpha):
    pairs, run = random_case(seed)
    got_recall = metrics.subtopic_recall(run, pairs, k)
    got_alpha = metrics.alpha_ndcg(run, pairs, alpha=alpha, k=k)
    assert set(got_alpha.index) == set(pairs["query_id"])
    assert got_alpha.name == f"alpha_ndcg@{k}"
    for query, rows in pairs.groupby("query_id"):
        topics = {doc: list(part["subtopic"]) for doc, part in rows.groupby("doc_id", sort=False)}
        docs = list(run[run["query_id"] == query].sort_values("rank")["doc_id"])[:k]
        covered = {topic for doc in docs for topic in topics.get(doc, ())}
        assert got_recall[query] == len(covered) / rows["subtopic"].nunique()
        expected = dcg(docs, topics, alpha) / greedy(topics, alpha, k)
        assert got_alpha[query] == pytest.approx(expected, abs=1e-12)


def test_score_stands_in_for_rank():
    pairs, run = random_case(5)
    scored = run.assign(score=-run["rank"]).drop(columns="rank")
    expected = metrics.alpha_ndcg(run, pairs)
    pd.testing.assert_series_equal(metrics.alpha_ndcg(scored, pairs), expected)


def test_rank_settles_equal_scores_and_may_leave_places_out():
    pairs, run = random_case(6)
    expected = metrics.alpha_ndcg(run, pairs)
    tied = run.assign(score=-(run["rank"] // 3))
    pd.testing.assert_series_equal(metrics.alpha_ndcg(tied, pairs), expected)
    sparse = run.assign(rank=7 * run["rank"])
    pd.testing.assert_series_equal(metrics.alpha_ndcg(sparse, pairs), expected)


def test_covering_a_new_subtopic_beats_repeating_an_old_one():
    pairs = pd.DataFrame(
        {"query_id": "q", "doc_id": ["a", "b", "c"], "subtopic": ["s1", "s1", "s2"]}
    )
    same = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "rank": [1, 2, 3]})
    spread = same.assign(rank=[1, 3, 2])
    assert metrics.alpha_ndcg(spread, pairs)["q"] == 1.0
    assert metrics.alpha_ndcg(same, pairs)["q"] < 1.0
    assert metrics.alpha_ndcg(same, pairs, alpha=0.0)["q"] == 1.0
    assert metrics.subtopic_recall(same, pairs, 2)["q"] == 0.5
    assert metrics.subtopic_recall(spread, pairs, 2)["q"] == 1.0


def test_a_missing_query_counts_0_and_an_unjudged_one_is_left_out():
    pairs = pd.DataFrame({"query_id": ["q1", "q2"], "doc_id": "a", "subtopic": "s"})
    run = pd.DataFrame({"query_id": ["q1", "q9"], "doc_id": "a", "rank": 1})
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 queries of the run have no subtop"):
        assert metrics.alpha_ndcg(run, pairs).to_dict() == {"q1": 1.0, "q2": 0.0}


@pytest.mark.parametrize(
    ("change_run", "change_pairs", "error", "match"),
    [
        (lambda f: f.drop(columns="rank"), None, ValueError, "lacks a column 'rank' or 'score'"),
        (
            lambda f: f.assign(score=f["rank"]),
            None,
            ValueError,
            r"run\['rank'\] contradicts run\['score'\] in 8 queries",
        ),
        (lambda f: f.assign(rank=1), None, ValueError, "one rank to several documents"),
        (lambda f: pd.concat([f, f[:1]]), None, ValueError, "run holds 1 duplicate rows"),
        (lambda f: f.assign(doc_id=1), None, TypeError, "holds strings and .* holds integers"),
        (None, lambda f: f.iloc[:0], ValueError, "subtopics is empty"),
        (None, lambda f: pd.concat([f, f[:2]]), ValueError, "subtopics holds 2 duplicate rows"),
        (None, lambda f: f.assign(subtopic=None), ValueError, "'subtopic' has missing values"),
        (None, lambda f: f.assign(doc_id=None), ValueError, "'doc_id' has .* missing"),
        (None, lambda f: f.drop(columns="subtopic"), ValueError, r"lacks the columns \['subtop"),
    ],
)
def test_refuses(change_run, change_pairs, error, match):
    pairs, run = random_case(0)
    pairs = change_pairs(pairs) if change_pairs else pairs
    run = change_run(run) if change_run else run
    with pytest.raises(error, match=match):
        metrics.alpha_ndcg(run, pairs)


def test_refuses_options():
    pairs, run = random_case(0)
    with pytest.raises(ValueError, match=r"alpha must lie between 0 and 1; got 1\.5"):
        metrics.alpha_ndcg(run, pairs, alpha=1.5)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        metrics.subtopic_recall(run, pairs, 0)


def test_evaluation_holds_the_same_values_and_counts():
    pairs, run = random_case(1)
    run = run[run["query_id"] != "q3"]
    extra = pd.DataFrame({"query_id": ["q77", "q77"], "doc_id": ["a", "b"], "rank": [1, 2]})
    run = pd.concat([run, extra]).assign(score=lambda f: -(f["rank"] // 2))
    names = ["alpha_ndcg@5", "subtopic_recall@2"]
    result = evaluate_diversity(run, pairs, names, alpha=0.3)
    with pytest.warns(metrics.UndefinedMetricWarning, match="1 queries of the run") as caught:
        alone = metrics.alpha_ndcg(run, pairs, alpha=0.3, k=5)
    assert caught[0].filename == __file__
    pd.testing.assert_series_equal(result.per_query["alpha_ndcg@5"], alone)
    assert result.per_query.loc["q3"].tolist() == [0.0, 0.0]
    judged = pairs[["query_id", "doc_id"]].drop_duplicates()
    known = run[run["query_id"] != "q77"]
    found = known.merge(judged, on=["query_id", "doc_id"])
    top = found[found["rank"] <= 10].groupby("query_id").size()
    shown = known.groupby("query_id").size().clip(upper=10)
    assert result.diagnostics.to_dict() == {
        "n_queries": 8,
        "n_judgements": len(judged),
        "n_run_rows": len(run),
        "missing_queries": 1,
        "unjudged_queries": 1,
        "unjudged_query_rows": 2,
        "empty_queries": 0,
        "unjudged_rows": len(known) - len(found),
        "tied_fraction": known.duplicated(["query_id", "score"], keep=False).mean(),
        "judged_at_10": pytest.approx((top.reindex(shown.index, fill_value=0) / shown).mean()),
    }
    better = evaluate_diversity(known.assign(score=0).drop(columns="rank"), pairs, names)
    compared = result.compare(better)
    assert compared["n"].tolist() == [8, 8]
    assert list(result.confidence_interval().index) == names


def test_tables_of_other_libraries_and_any_index():
    pairs, run = random_case(2)
    expected = evaluate_diversity(run, pairs)
    assert list(expected.per_query) == ["alpha_ndcg@10", "subtopic_recall@10"]
    for change in (pl.from_pandas, lambda f: pl.from_pandas(f).to_arrow()):
        got = evaluate_diversity(change(run), change(pairs))
        pd.testing.assert_frame_equal(got.per_query, expected.per_query)
        assert got.diagnostics == expected.diagnostics
    odd = run.set_axis(np.zeros(len(run), dtype=int))
    pd.testing.assert_frame_equal(evaluate_diversity(odd, pairs).per_query, expected.per_query)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ("alpha_ndcg", "unknown metric 'alpha_ndcg'; known are alpha_ndcg@k, subtopic_recall@k"),
        ("ndcg@10", "unknown metric 'ndcg@10'"),
        ("alpha_ndcg@0", "unknown metric 'alpha_ndcg@0'"),
        ([3], "unknown metric 3"),
        ([], "metrics is empty"),
        (["alpha_ndcg@1", "alpha_ndcg@1"], "names one more than once"),
    ],
)
def test_evaluation_refuses_names(names, match):
    pairs, run = random_case(0)
    with pytest.raises(ValueError, match=match):
        evaluate_diversity(run, pairs, names)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1; got -1"):
        evaluate_diversity(run, pairs, alpha=-1)
    with pytest.raises(
        TypeError, match="run must be a table of pandas, polars or pyarrow; got dict"
    ):
        evaluate_diversity({}, pairs)
