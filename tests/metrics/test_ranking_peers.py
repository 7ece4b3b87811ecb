"""The ranking metrics against pytrec_eval and scikit-learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
import sklearn.metrics

from mlsd import metrics

# Our name, and the name pytrec_eval asks for and answers with.
TREC = {
    "ndcg": ("ndcg", "ndcg"),
    "ndcg@5": ("ndcg_cut.5", "ndcg_cut_5"),
    "ndcg@40": ("ndcg_cut.40", "ndcg_cut_40"),
    "map": ("map", "map"),
    "map@5": ("map_cut.5", "map_cut_5"),
    "mrr": ("recip_rank", "recip_rank"),
    "precision@5": ("P.5", "P_5"),
    "precision@40": ("P.40", "P_40"),
    "recall@5": ("recall.5", "recall_5"),
    "r_precision": ("Rprec", "Rprec"),
    "hit_rate@5": ("success.5", "success_5"),
}


def random_case(seed, *, n_queries=60, levels=(-1, 0, 1, 2), integer_ids=False, ties=True):
    rng = np.random.default_rng(seed)
    rows, judged = [], []
    for query in range(n_queries):
        pool = rng.choice(500, size=60, replace=False)
        for doc in pool[: rng.integers(1, 35)]:
            score = float(rng.integers(-3, 4)) if ties else float(rng.normal())
            rows.append((query, int(doc), score))
        chosen = rng.choice(pool, 25, replace=False)
        judged += [(query, int(doc), int(rng.choice(levels))) for doc in chosen]
    run = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])
    qrels = pd.DataFrame(judged, columns=["query_id", "doc_id", "relevance"])
    if not integer_ids:
        for frame in (run, qrels):
            frame["query_id"] = "q" + frame["query_id"].astype(str)
            frame["doc_id"] = "d" + frame["doc_id"].astype(str)
    return qrels, run


def nested(frame, value):
    result = {}
    for query, doc, number in zip(frame["query_id"], frame["doc_id"], frame[value], strict=True):
        result.setdefault(str(query), {})[str(doc)] = number
    return result


def trec(qrels, run, names):
    evaluator = pytrec_eval.RelevanceEvaluator(
        nested(qrels, "relevance"), {TREC[name][0] for name in names}
    )
    found = pd.DataFrame(evaluator.evaluate(nested(run, "score"))).T
    return found[[TREC[name][1] for name in names]].set_axis(list(names), axis=1)


@pytest.mark.parametrize("integer_ids", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_docid_agrees_with_pytrec_eval(seed, integer_ids):
    qrels, run = random_case(seed, integer_ids=integer_ids)
    ours = metrics.evaluate_ranking(metrics.Qrels(qrels), run, TREC, ties="docid", empty=0)
    mine = ours.per_query.set_axis(ours.per_query.index.astype(str))
    theirs = trec(qrels, run, TREC).reindex(mine.index)
    assert len(mine) == 60
    np.testing.assert_allclose(mine.to_numpy(), theirs.to_numpy(), rtol=0, atol=1e-14)


def test_docid_ties_in_single_precision_as_trec_eval():
    qrels = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "relevance": [1, 0]})
    run = pd.DataFrame({"query_id": "q", "doc_id": ["a", "b"], "score": [1 + 1e-9, 1.0]})
    judged = metrics.Qrels(qrels)
    assert trec(qrels, run, ["mrr"])["mrr"].item() == 0.5
    assert metrics.evaluate_ranking(judged, run, "mrr", ties="docid").mean()["mrr"] == 0.5
    assert metrics.evaluate_ranking(judged, run, "mrr").mean()["mrr"] == 1.0


def test_without_ties_every_option_agrees_with_pytrec_eval():
    qrels, run = random_case(7, ties=False)
    theirs = trec(qrels, run, TREC)
    for ties in ("average", "docid", "first", "worst"):
        mine = metrics.evaluate_ranking(metrics.Qrels(qrels), run, TREC, ties=ties, empty=0)
        expected = theirs.reindex(mine.per_query.index).to_numpy()
        np.testing.assert_allclose(mine.per_query.to_numpy(), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("k", [None, 1, 3, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_ndcg_agrees_with_scikit_learn_which_averages_ties(seed, k):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 4, (50, 20))
    y_true[:, 0] = 1  # scikit-learn calls a query without a relevant document 0
    y_score = rng.integers(0, 5, (50, 20)).astype(float)
    expected = sklearn.metrics.ndcg_score(y_true, y_score, k=k)
    assert metrics.ndcg(y_true, y_score, k=k) == pytest.approx(expected, abs=1e-13)


def test_exp2_gain_is_ndcg_of_two_to_the_relevance_minus_one():
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, 5, (30, 12))
    y_true[:, 0] = 1
    y_score = rng.normal(size=(30, 12))
    expected = sklearn.metrics.ndcg_score(2**y_true - 1, y_score, k=5)
    assert metrics.ndcg(y_true, y_score, k=5, gain="exp2") == pytest.approx(expected, abs=1e-13)
    table = {level: 2**level - 1 for level in range(5)}
    assert metrics.ndcg(y_true, y_score, k=5, gain=table) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_agrees_with_scikit_learn_without_ties(seed):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, 2, 40)
    y_score = rng.normal(size=40)
    expected = sklearn.metrics.average_precision_score(y_true, y_score)
    assert metrics.average_precision_at_k(y_true, y_score) == pytest.approx(expected, abs=1e-14)
