"""What a funnel reports of itself, against loops over queries, and its clock."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from funnel_data import Toy, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.funnel import DegradedWarning, Funnel, Rank, Rerank, Retrieve, Union, stage_report
from mlsd.metrics import Qrels, UndefinedMetricWarning, evaluate_ranking

TOY = Toy(5)
COUNTS = (30, 12, 5)


def relevant(toy, least=1):
    wanted = toy.qrels[toy.qrels["relevance"] >= least]
    return wanted.groupby("query_id")["doc_id"].agg(set)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(1, 70), min_size=3, max_size=3),
    least=st.sampled_from([1, 2]),
    filtered=st.booleans(),
    batch_rows=st.sampled_from([60, 1_000_000]),
)
def test_recall_is_that_of_loops(seed, counts, least, filtered, batch_rows):
    toy = Toy(seed, 5, tied=seed % 2 == 0)
    counts = sorted(counts, reverse=True)
    report = toy.funnel(counts, filtered=filtered).evaluate(
        toy.queries, toy.qrels, min_relevance=least, n_timed=0, batch_rows=batch_rows
    )
    wanted = relevant(toy, least)
    naive = toy.naive(counts, filtered=filtered)
    recall = [
        np.mean([len(wanted[q] & set(naive[q][at])) / len(wanted[q]) for q in toy.query_ids])
        for at in range(len(report.stages))
    ]
    np.testing.assert_allclose(report.stages["recall"], recall, rtol=1e-12)
    assert report.stages["recall_lost"].sum() == pytest.approx(1 - recall[-1], abs=1e-12)
    product = report.stages["conditional_recall"].prod()
    assert product == pytest.approx(recall[-1], abs=1e-12) or recall[-2] == 0
    n_out = [np.mean([len(naive[q][at]) for q in toy.query_ids]) for at in range(len(recall))]
    np.testing.assert_allclose(report.stages["n_out"], n_out)
    np.testing.assert_allclose(report.stages["n_in"][1:], n_out[:-1])


def test_it_agrees_with_the_report_of_stage_frames():
    f = TOY.funnel(COUNTS)
    report = f.evaluate(TOY.queries, TOY.qrels, n_timed=0)
    frames = {
        stage.name: Funnel(f.stages[: at + 1]).rank(TOY.queries)
        for at, stage in enumerate(f.stages)
    }
    other = stage_report(frames, TOY.qrels)
    columns = ["stage", "n_out", "recall", "conditional_recall", "recall_lost"]
    pd.testing.assert_frame_equal(report.stages[columns], other[columns])


def test_agreement_is_the_overlap_with_the_ranker_run_on_everything():
    report = TOY.funnel(COUNTS).evaluate(TOY.queries, reference="heavy", n_timed=0)
    naive = TOY.naive(COUNTS)
    expected = np.zeros(3)
    for row, query in enumerate(TOY.query_ids):
        found = naive[query][0]
        best = set(sorted(found, key=lambda d: -TOY.scores["heavy"][row, int(d[1:])])[:5])
        expected += [len(best & set(part)) / 5 for part in naive[query]]
    np.testing.assert_allclose(report.stages["agreement"], expected / len(TOY.query_ids))
    assert report.stages["agreement"][0] == 1.0
    assert report.reference_k == 5
    assert report.stages["recall"].isna().all(), "there are no judgements"


def test_agreement_leaves_out_what_a_filter_forbids():
    report = TOY.funnel(COUNTS, filtered=True).evaluate(TOY.queries, reference="heavy", n_timed=0)
    naive = TOY.naive(COUNTS, filtered=True)
    expected = []
    for row, query in enumerate(TOY.query_ids):
        best = sorted(naive[query][1], key=lambda d: -TOY.scores["heavy"][row, int(d[1:])])[:5]
        expected.append(len(set(best) & set(naive[query][3])) / 5)
    assert report.stages["agreement"].iloc[-1] == pytest.approx(np.mean(expected))


def test_agreement_with_a_run_counts_what_was_never_found():
    everything = TOY.funnel((60, 60, 5)).rank(TOY.queries)
    report = TOY.funnel(COUNTS).evaluate(TOY.queries, reference=everything, n_timed=0)
    naive = TOY.naive(COUNTS)
    best = everything.groupby("query_id")["doc_id"].agg(set)
    expected = [
        np.mean([len(best[q] & set(naive[q][at])) / 5 for q in TOY.query_ids]) for at in range(3)
    ]
    np.testing.assert_allclose(report.stages["agreement"], expected)
    assert report.stages["agreement"][0] < 1


def test_quality_is_that_of_the_metrics_with_paired_differences():
    f = TOY.funnel(COUNTS, reranked=True)
    report = f.evaluate(TOY.queries, TOY.qrels, metrics=["ndcg@4", "mrr"], n_timed=0, batch_rows=60)
    results = [
        evaluate_ranking(
            TOY.qrels, Funnel(f.stages[: at + 1]).rank(TOY.queries), ["ndcg@4", "mrr"], ties="rank"
        )
        for at in range(4)
    ]
    for at, stage in enumerate(f.stages):
        rows = report.quality[report.quality["stage"] == stage.name].set_index("metric")
        interval = results[at].confidence_interval()
        np.testing.assert_allclose(rows["mean"], interval["mean"])
        np.testing.assert_allclose(rows[["lower", "upper"]], interval[["lower", "upper"]])
        if at:
            compared = results[at].compare(results[at - 1]).set_index("metric", drop=False)
            np.testing.assert_allclose(rows["difference"], compared["difference"])
            np.testing.assert_allclose(rows["difference_lower"], compared["lower"])
    assert report.quality["difference"][:2].isna().all()


def test_cost_counts_what_a_stage_handles():
    report = TOY.funnel(COUNTS).evaluate(TOY.queries, TOY.qrels, n_timed=0)
    assert report.stages["cost"].tolist() == pytest.approx([30 * 0.01, 30 * 0.1, 12 * 1.0])
    assert report.total["cost"] == pytest.approx(15.3)
    stages = TOY.stages(COUNTS)
    free = Funnel([*stages[:2], Rank("heavy", TOY.scorer("heavy"), k=5)])
    assert np.isnan(free.evaluate(TOY.queries, TOY.qrels, n_timed=0).total["cost"])


class TestQueriesLeftOut:
    def test_are_counted(self):
        qrels = TOY.qrels[TOY.qrels["query_id"] != "q0"]
        stranger = pd.DataFrame({"query_id": ["z"], "doc_id": ["d1"], "relevance": [1]})
        report = TOY.funnel(COUNTS).evaluate(
            TOY.queries, pd.concat([qrels, stranger]), metrics=["ndcg@5"], n_timed=0
        )
        assert (report.n_queries, report.n_judged, report.n_unasked) == (12, 11, 1)
        alone = TOY.funnel(COUNTS).evaluate(TOY.queries.iloc[1:], qrels, n_timed=0)
        np.testing.assert_allclose(report.stages["recall"], alone.stages["recall"])
        assert "12 queries, 11 with relevant documents; 1 judged queries not asked" in str(report)

    def test_without_any_judged_recall_is_undefined(self):
        none = TOY.qrels.head(6).assign(query_id="z")
        with pytest.warns(UndefinedMetricWarning, match="no query has a document of relevance 1"):
            report = TOY.funnel(COUNTS).evaluate(TOY.queries, none, n_timed=0)
        assert report.stages["recall"].isna().all()
        assert np.isnan(report.total["recall"])

    def test_queries_that_find_nothing_count_as_lost(self):
        stages = TOY.stages(COUNTS)
        source = Retrieve("source", lambda q, k: TOY.search(q.iloc[1:], k), k=30)
        report = Funnel([source, *stages[1:]]).evaluate(TOY.queries, TOY.qrels, n_timed=0)
        whole = TOY.funnel(COUNTS).evaluate(TOY.queries.iloc[1:], TOY.qrels, n_timed=0)
        np.testing.assert_allclose(report.stages["recall"] * 12, whole.stages["recall"] * 11)
        assert report.n_empty == 1

    def test_a_part_that_finds_nothing(self):
        stages = TOY.stages(COUNTS)
        source = Retrieve("source", lambda q, k: TOY.search(q[q["row"] < 6], k), k=30, cost=0.01)
        f = Funnel([source, *stages[1:]])
        whole, parts = (
            f.evaluate(TOY.queries, TOY.qrels, metrics=["ndcg@5"], n_timed=0, batch_rows=rows)
            for rows in (1_000_000, 30)
        )
        pd.testing.assert_frame_equal(whole.stages, parts.stages)
        pd.testing.assert_frame_equal(whole.quality, parts.quality)
        grid = {"budget": 1e9, "grid": (5, 20)}
        one, other = (
            f.allocate(TOY.queries, TOY.qrels, batch_rows=rows, **grid) for rows in (10**6, 20)
        )
        pd.testing.assert_frame_equal(one.table, other.table)

    def test_qrels_objects_are_taken(self):
        f = TOY.funnel(COUNTS)
        one, other = (
            f.evaluate(TOY.queries, qrels, n_timed=0, metrics=["mrr"])
            for qrels in (TOY.qrels, Qrels(TOY.qrels))
        )
        pd.testing.assert_frame_equal(one.stages, other.stages)
        pd.testing.assert_frame_equal(one.quality, other.quality)

    def test_judgements_without_relevance_all_count(self):
        f = TOY.funnel(COUNTS)
        bare = f.evaluate(TOY.queries, TOY.qrels.drop(columns="relevance"), n_timed=0)
        pd.testing.assert_frame_equal(
            bare.stages, f.evaluate(TOY.queries, TOY.qrels, n_timed=0).stages
        )


def test_sources_of_a_union():
    def best(name):
        def search(queries, k):
            run = TOY.search(queries, k)
            run = run.assign(score=TOY.scorer(name)(queries, run))
            return run.sort_values("score", ascending=False).groupby("query_id").head(k)

        return search

    sources = [Retrieve("one", best("light"), k=6), Retrieve("two", best("heavy"), k=6)]
    report = Funnel([Union("both", sources)]).evaluate(TOY.queries, TOY.qrels, n_timed=0)
    found = {
        s.name: s.index(TOY.queries, 6).groupby("query_id")["doc_id"].agg(set) for s in sources
    }
    wanted = relevant(TOY)
    for name, other in (("one", "two"), ("two", "one")):
        row = report.sources.set_index("source").loc[name]
        both = [(wanted[q] & found[name][q], found[other][q]) for q in TOY.query_ids]
        assert row["n_out"] == 6
        assert row["recall"] == pytest.approx(np.mean([len(hits) / 6 for hits, _ in both]))
        assert row["only"] == pytest.approx(np.mean([len(hits - o) / 6 for hits, o in both]))


class TestFailuresOnTheWay:
    @staticmethod
    def broken(queries, candidates):
        raise ArithmeticError("no answer")

    def test_are_told(self):
        f = Funnel([*TOY.stages(COUNTS)[:2], Rank("heavy", self.broken, k=5, fallback="pass")])
        with pytest.warns(DegradedWarning, match="in part a fallback: 'heavy' ArithmeticError"):
            report = f.evaluate(TOY.queries, TOY.qrels, n_timed=0)
        assert report.failures["requests"].tolist() == [1]
        assert "failed and met by a fallback: heavy." in str(report)

    def test_are_not_what_is_fitted_or_replayed(self):
        rank = Rank("heavy", self.broken, k=5, cost=1.0, fallback="pass")
        f = Funnel([*TOY.stages(COUNTS)[:2], rank])
        with pytest.raises(ArithmeticError):
            f.calibrate(TOY.queries, TOY.qrels)
        with pytest.raises(ArithmeticError):
            f.allocate(TOY.queries, TOY.qrels, budget=1e9, grid=(10, 20))


class TestReferenceRuns:
    def test_that_lack_queries_are_counted(self):
        run = TOY.funnel((60, 60, 5)).rank(TOY.queries)
        some = run[run["query_id"].isin(["q1", "q2"])]
        report = TOY.funnel(COUNTS).evaluate(TOY.queries, reference=some, n_timed=0)
        alone = TOY.funnel(COUNTS).evaluate(TOY.queries.iloc[1:3], reference=run, n_timed=0)
        assert report.n_referenced == 2
        np.testing.assert_allclose(report.stages["agreement"], alone.stages["agreement"])

    def test_with_other_identifiers_are_refused(self):
        run = TOY.funnel(COUNTS).rank(TOY.queries)
        f = TOY.funnel(COUNTS)
        with pytest.raises(TypeError, match="no identifier can match"):
            f.evaluate(TOY.queries, reference=run.assign(doc_id=range(len(run))), n_timed=0)
        with pytest.raises(ValueError, match=r"reference lacks the columns \['query_id'\]"):
            f.evaluate(TOY.queries, reference=run.drop(columns="query_id"), n_timed=0)


def test_one_judged_query_has_no_interval_and_prints():
    report = TOY.funnel(COUNTS).evaluate(TOY.queries.head(1), TOY.qrels, n_timed=0)
    assert np.isnan(report.total["recall_lower"])
    assert "final recall" in str(report)
    assert "nan" not in report._note()
    best = TOY.funnel(COUNTS).allocate(TOY.queries.head(1), TOY.qrels, budget=1e9, grid=(20,))
    assert "nan to nan" not in str(best)


def test_a_union_whose_quotas_leave_little_room_is_timed():
    one = Retrieve("one", TOY.search, k=60)
    f = Funnel([Union("both", [one], k=10, at_least={"one": 9})])
    assert f.evaluate(TOY.queries, TOY.qrels, n_timed=2).n_timed == 2


class TestClock:
    report = TOY.funnel(COUNTS, reranked=True).evaluate(TOY.queries, TOY.qrels, n_timed=5)

    def test_percentiles_are_in_order_and_stages_make_the_whole(self):
        times = self.report.stages[["ms_p50", "ms_p95", "ms_p99"]].to_numpy()
        assert (times > 0).all()
        assert (np.diff(times, axis=1) >= 0).all()
        assert self.report.total["ms_p99"] >= times[:, 2].max()
        assert self.report.n_timed == 5

    def test_a_stage_that_sleeps_shows(self):
        import time

        def slow(queries, candidates):
            time.sleep(0.02 + 0.001 * len(candidates))
            return np.zeros(len(candidates))

        f = Funnel([TOY.stages((40, 1, 1))[0], Rank("slow", slow, k=5)])
        report = f.evaluate(TOY.queries, n_timed=3)
        fixed, per_item = report.latency["slow"]
        # Asleep 20 ms and 1 ms an item at the least; the rest is the machine's.
        assert report.stages["ms_p50"][1] >= 60
        assert fixed + 40 * per_item >= 59
        assert per_item == pytest.approx(1.0, abs=0.9)

    def test_it_feeds_deadlines_and_capacity(self):
        f = TOY.funnel(COUNTS, reranked=True).with_latency(self.report)
        assert [stage.latency for stage in f.stages] == list(self.report.latency.values())
        loads = self.report.loads(parallelism=2)
        assert [load.name for load in loads] == ["source", "light", "heavy", "turn"]
        assert [load.n_in for load in loads] == [30, 30, 12, 5]
        assert all(load.parallelism == 2 for load in loads)

    def test_without_a_clock_there_are_no_loads(self):
        report = TOY.funnel(COUNTS).evaluate(TOY.queries, TOY.qrels, n_timed=0)
        assert report.stages["ms_p50"].isna().all()
        with pytest.raises(ValueError, match="no time was measured"):
            report.loads()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"reference": "turn"}, r"name of a Rank, one of \['light', 'heavy'\]; got 'turn'"),
        ({"n_timed": -1}, "n_timed must be an integer of at least 0; got -1"),
        ({"n_timed": 1.5}, "n_timed must be an integer"),
        ({"level": 95}, "level must lie strictly between 0 and 1; got 95"),
        ({"min_relevance": 0}, "min_relevance must be above 0; got 0"),
        ({"metrics": ["fame@3"]}, "fame"),
        ({"batch_rows": 0}, "batch_rows must be at least 1; got 0"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(ValueError, match=match):
        TOY.funnel(COUNTS, reranked=True).evaluate(TOY.queries, TOY.qrels, **options)


def test_bad_data():
    f = TOY.funnel(COUNTS)
    with pytest.raises(ValueError, match=r"metrics \['mrr'\] need qrels"):
        f.evaluate(TOY.queries, metrics=["mrr"])
    with pytest.raises(ValueError, match="queries is empty"):
        f.evaluate(TOY.queries.head(0), TOY.qrels)
    with pytest.raises(ValueError, match="holds 1 repeated"):
        f.evaluate(TOY.queries, pd.concat([TOY.qrels, TOY.qrels.head(1)]))
    with pytest.raises(TypeError, match="no identifier can match"):
        f.evaluate(TOY.queries, TOY.qrels.assign(doc_id=range(len(TOY.qrels))), n_timed=0)
    with pytest.raises(TypeError, match="no identifier can match"):
        f.evaluate(TOY.queries, TOY.qrels.head(6).assign(query_id=7), n_timed=0)


def test_it_prints_turns_into_plain_values_and_draws_itself():
    f = Funnel([*TOY.stages(COUNTS), Rerank("turn", turned, k=4)])
    report = f.evaluate(TOY.queries, TOY.qrels, metrics="ndcg@4", reference="heavy", n_timed=2)
    words = str(report)
    for expected in ("recall_lost", "ndcg@4", "2 timed alone", "final recall"):
        assert expected in words
    assert report._repr_html_().count("<table") == 2
    assert json.loads(json.dumps(report.to_dict()))["n_queries"] == 12
    ax = report.plot()
    left = [bar.get_width() for bar in ax.patches[:4]]
    np.testing.assert_allclose(left, report.stages["recall"])
