"""RankingAccumulator: parts of whole queries say what one evaluation of all of them says."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from mlsd._state import State
from mlsd._validation import UndefinedMetricWarning
from mlsd.metrics import Qrels, evaluate_ranking
from mlsd.metrics._accumulators import RankingAccumulator

NAMES = ["ndcg@10", "mrr", "map", "recall@5", "precision@3"]
COUNTERS = [
    "n_queries",
    "n_judgements",
    "n_run_rows",
    "missing_queries",
    "unjudged_queries",
    "unjudged_query_rows",
    "empty_queries",
    "unjudged_rows",
]


def data(n_queries=60, *, ids=str, seed=0):
    """Judgements and a run with missing, empty and unjudged queries."""
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(n_queries), 12)
    doc = np.tile(np.arange(12), n_queries)
    frame = pd.DataFrame(
        {
            "query_id": [ids(value) for value in query.tolist()],
            "doc_id": [f"d{value}" for value in doc],
            "relevance": rng.choice([0, 0, 0, 1, 2], query.size),
            "score": rng.integers(0, 8, query.size),
            "query": query,
        }
    )
    frame.loc[frame["query"] % 17 == 3, "relevance"] = 0
    judged = frame[(frame.index % 3 > 0) & (frame["query"] % 13 != 5)]
    shown = frame[(frame.index % 5 > 0) & (frame["query"] % 11 != 2)]
    return judged, shown


def parts(qrels, run, n):
    for part in range(n):
        yield qrels[qrels["query"] % n == part], run[run["query"] % n == part]


def check(summary, result):
    expected = result.confidence_interval()
    for column in ("mean", "lower", "upper", "stderr"):
        np.testing.assert_allclose(summary.means[column], expected[column], rtol=1e-12)
    assert summary.means["n"].tolist() == expected["n"].tolist()
    undefined = result.per_query.isna().sum()
    assert summary.means["undefined"].tolist() == undefined.tolist()
    for name in COUNTERS:
        assert getattr(summary, name) == getattr(result.diagnostics, name)
    assert summary.judged_at_10 == pytest.approx(result.diagnostics.judged_at_10, rel=1e-12)


@pytest.mark.filterwarnings("ignore::mlsd._validation.UndefinedMetricWarning")
@pytest.mark.parametrize("n", [1, 2, 7])
def test_merged_parts_say_what_the_whole_says(n):
    qrels, run = data()
    whole = evaluate_ranking(qrels, run, NAMES)
    by_result = [
        RankingAccumulator(NAMES).update(evaluate_ranking(*part, NAMES))
        for part in parts(qrels, run, n)
    ]
    by_frames = [RankingAccumulator(NAMES).update(*part) for part in parts(qrels, run, n)]
    check(sum(by_result).result(), whole)
    assert sum(by_result) == sum(by_frames[::-1])
    one = RankingAccumulator(NAMES)
    for judged, shown in parts(qrels, run, n):
        one.update(Qrels(judged), shown)
    assert one == sum(by_result)
    assert State.from_bytes(one.to_bytes()) == one == State.from_json(one.to_json())
    frame = one.result(level=0.9).to_frame()
    np.testing.assert_allclose(
        frame,
        whole.confidence_interval(0.9).assign(undefined=whole.per_query.isna().sum()),
        rtol=1e-12,
    )


def test_options_reach_the_evaluation():
    qrels, run = data()
    state = RankingAccumulator("ndcg@10", ties="worst", empty=0).update(qrels, run)
    whole = evaluate_ranking(qrels, run, "ndcg@10", ties="worst", empty=0)
    assert state.result().means.loc["ndcg@10", "mean"] == pytest.approx(
        whole.mean()["ndcg@10"], rel=1e-12
    )
    with pytest.raises(ValueError, match=r"options is \{'empty': 0, 'ties': 'worst'\} and \{\}"):
        state + RankingAccumulator("ndcg@10")
    with pytest.raises(ValueError, match=r"metrics is \['mrr'\] and \['map'\]"):
        RankingAccumulator("mrr") + RankingAccumulator(["map"])


def part(query, *, score=1.0):
    """One query, whose relevant document comes first or second."""
    qrels = pd.DataFrame({"query_id": [query], "doc_id": ["a"], "relevance": [1]})
    run = pd.DataFrame({"query_id": [query] * 2, "doc_id": ["x", "a"], "score": [0.5, score]})
    return qrels, run


@pytest.mark.parametrize(("first", "second"), [("7", "7"), (7, 7), (7, "7"), ("é\n", "é\n")])
def test_a_query_in_two_parts_is_refused(first, second):
    one, two = RankingAccumulator("mrr").update(*part(first)), RankingAccumulator("mrr")
    two.update(*part("other")).update(*part(second))
    message = "1 queries are in both: a ranking metric needs all rows of a query in one part"
    with pytest.raises(ValueError, match=message):
        one + two
    before = one.to_bytes()
    with pytest.raises(ValueError, match=message):
        one.update(*part(second))
    assert one.to_bytes() == before


def test_a_result_with_a_query_twice_is_refused():
    result = evaluate_ranking(*part("a"), "mrr")
    twice = type(result)(pd.concat([result.per_query] * 2), result.diagnostics)
    with pytest.raises(ValueError, match="1 queries of the result are there twice"):
        RankingAccumulator("mrr").update(twice)


def test_a_result_with_an_infinite_value_is_refused():
    result = evaluate_ranking(*part("a"), "mrr")
    infinite = type(result)(result.per_query + math.inf, result.diagnostics)
    with pytest.raises(ValueError, match="result has infinite values of mrr"):
        RankingAccumulator("mrr").update(infinite)


def test_undefined_values_are_counted_and_warned_of_once_at_the_end():
    qrels, run = part("a")
    state = RankingAccumulator(["mrr", "ndcg"]).update(qrels, run)
    state.update(qrels.assign(query_id="b", relevance=0), run.assign(query_id="b"))
    message = "mrr is undefined for 1 of 2 queries; ndcg is undefined for 1 of 2 queries; they"
    with pytest.warns(UndefinedMetricWarning, match=message) as caught:
        summary = state.result()
    assert caught[0].filename == __file__
    assert summary.means["mean"].tolist() == [1.0, 1.0]
    assert summary.means["undefined"].tolist() == [1, 1]
    assert summary.means["lower"].isna().all()
    with pytest.warns(UndefinedMetricWarning, match="no query: all means are nan"):
        empty = RankingAccumulator("mrr").result()
    assert math.isnan(empty.means.loc["mrr", "mean"])
    assert math.isnan(empty.judged_at_10)


def test_the_mean_by_hand():
    state = sum(
        RankingAccumulator("mrr").update(*part(query, score=score))
        for query, score in [("a", 1.0), ("b", 0.0), ("c", 0.5)]
    )
    row = state.result().means.loc["mrr"]
    assert row["mean"] == 0.75
    assert row["stderr"] == pytest.approx(math.sqrt(0.125 / 2 / 3), rel=1e-15)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: RankingAccumulator([]), TypeError, "metrics must be one name or more"),
        (lambda: RankingAccumulator([1]), TypeError, "metrics must be one name or more"),
        (lambda: RankingAccumulator(["mrr", "mrr"]), ValueError, "holds a name twice"),
        (
            lambda: RankingAccumulator("ndcg", gain={1: 2}),
            TypeError,
            "option 'gain' must be a plain value",
        ),
        (
            lambda: RankingAccumulator("mrr").update(part("a")[0]),
            TypeError,
            "takes a RankingResult, or judgements and a run; got DataFrame",
        ),
        (
            lambda: RankingAccumulator("map").update(evaluate_ranking(*part("a"), "mrr")),
            ValueError,
            r"result lacks the metrics \['map'\]; it has \['mrr'\]",
        ),
        (
            lambda: RankingAccumulator(["mrr", "err@5"]).update(*part("a")),
            ValueError,
            "err@5 needs the option max_rel",
        ),
        (
            lambda: RankingAccumulator._configure(metrics=["mrr"], options=[]),
            TypeError,
            "options must be a dictionary",
        ),
        (
            lambda: RankingAccumulator("mrr", tie="worst").update(*part("a")),
            TypeError,
            r"options \['tie'\] are not of evaluate_ranking",
        ),
    ],
)
def test_wrong_use_raises(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize(
    ("name", "data"),
    [("n_queries", [2]), ("missing_queries", [3]), ("mrr:n", [5]), ("mrr:n", [0])],
)
def test_a_payload_that_contradicts_itself_is_refused(name, data):
    head = json.loads(RankingAccumulator("mrr").update(*part("a")).to_json())
    next(entry for entry in head["parts"] if entry["name"] == name)["data"] = data
    with pytest.raises(ValueError, match="contradict each other"):
        RankingAccumulator.from_json(json.dumps(head))
