"""Deadlines, timeouts and fallbacks: what is cut, what takes its place, and that it is counted."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
import pytest
from funnel_data import Toy, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd.funnel import DegradedWarning, Filter, Funnel, Rank, Rerank, Retrieve, Union
from mlsd.funnel._deadline import Cut, plan_cuts, predicted_ms

TOY = Toy(3, 6)
GONE = 1e-6  # milliseconds: over before anything can begin


class Down(Exception):
    """What a broken service raises."""


def down(*_):
    raise Down("no answer")


def chain(*latencies, when_late=None, ks=(100, 50, 10, 5)):
    """Return stages with latencies: a source, two rankers and a re-ranker."""
    zeros = lambda q, c: np.zeros(len(c))  # noqa: E731
    late = when_late or {}
    return [
        Retrieve("source", TOY.search, k=ks[0], latency=latencies[0]),
        Rank("light", zeros, k=ks[1], latency=latencies[1], when_late=late.get("light")),
        Rank("heavy", zeros, k=ks[2], latency=latencies[2], when_late=late.get("heavy")),
        Rerank("turn", turned, k=ks[3], latency=latencies[3], when_late=late.get("turn")),
    ]


class TestPlan:
    # 1 + 100 * .01, 1 + 50 * .1, 5
    stages = chain((0, 0.0), (1, 0.01), (1, 0.1), (5, 0))[1:]

    def test_nothing_is_cut_that_fits(self):
        assert plan_cuts(self.stages, 100, 13.0) == [Cut("run")] * 3

    def test_the_reranker_goes_first(self):
        run, skip = Cut("run"), Cut("skip")
        assert plan_cuts(self.stages, 100, 12.9) == [run, run, skip]
        assert plan_cuts(self.stages, 100, 8.0) == [run, run, skip]

    def test_then_the_dearest_ranker_gets_fewer(self):
        # 7 ms are left: 2 for light, 1 fixed and 40 of .1 for heavy.
        plan = plan_cuts(self.stages, 100, 7.0)
        assert plan == [Cut("run"), Cut("shrink", 40), Cut("skip")]

    def test_a_ranker_that_cannot_even_rank_k_is_passed_by(self):
        # 3.9 ms: heavy would have room for 9 of the 10 that it is to keep.
        assert plan_cuts(self.stages, 100, 3.9)[1] == Cut("skip")

    def test_the_callers_order_comes_first(self):
        plan = plan_cuts(self.stages, 100, 12.0, ["heavy"])
        assert plan == [Cut("run"), Cut("shrink", 40), Cut("run")]

    def test_what_must_run_runs_when_nothing_is_left(self):
        late = {"light": "run"}
        stages = chain((0, 0), (1, 1), (1, 1), (1, 0), when_late=late)[1:]
        assert plan_cuts(stages, 100, -5.0) == [Cut("run"), Cut("skip"), Cut("skip")]

    @settings(max_examples=200, deadline=None)
    @given(
        latencies=st.lists(st.tuples(st.floats(0, 10), st.floats(0, 0.5)), min_size=4, max_size=4),
        n=st.integers(0, 300),
        left=st.floats(0.1, 100),
    )
    def test_a_plan_fits_whenever_one_can(self, latencies, n, left):
        stages = chain(*latencies, when_late={"light": "run"})[1:]
        plan = plan_cuts(stages, n, left)
        spent, enters = 0.0, n
        for stage, cut in zip(stages, plan, strict=True):
            handled = enters if cut.n is None else min(cut.n, enters)
            spent += 0.0 if cut.action == "skip" else predicted_ms(stage, handled)
            assert cut.n is None or cut.n >= stage.k
            enters = min(handled, stage.k)
        must = predicted_ms(stages[0], n)
        assert spent <= max(left, must) + 1e-6
        if sum(predicted_ms(s, m) for s, m in zip(stages, [n, 50, 10], strict=True)) <= left:
            assert {cut.action for cut in plan} == {"run"}


class TestDeadline:
    def test_time_for_all_gives_the_whole_slate(self):
        f = TOY.funnel(reranked=True)
        served = f.serve(TOY.queries, deadline_ms=60_000)
        pd.testing.assert_frame_equal(served.slate, f.serve(TOY.queries).slate)
        assert (served.n_degraded, served.n_late, len(served.requests)) == (0, 0, 6)

    def test_no_time_leaves_the_source_and_says_so(self):
        f = TOY.funnel((40, 15, 5), reranked=True)
        served = f.serve(TOY.queries, deadline_ms=GONE)
        naive = TOY.naive((4, 4, 4))  # the source's own order, cut at the slate's size
        found = served.slate.groupby("query_id")["doc_id"].agg(list)
        assert dict(found) == {query: parts[0] for query, parts in naive.items()}
        table = served.stages.set_index("stage")
        assert list(table["skipped"]) == [0, 6, 6, 6]
        assert list(table["full"]) == [6, 0, 0, 0]
        assert (served.n_late, served.n_degraded) == (6, 6)
        assert served.requests["degraded"][0] == "light skipped, heavy skipped, turn skipped"
        with pytest.warns(DegradedWarning, match=r"6 queries in 6 requests: 6 degraded, 6 later"):
            f.rank(TOY.queries, deadline_ms=GONE)

    def test_fewer_candidates_are_the_best_of_those_that_came(self):
        # heavy says that it takes a minute for each above seven.
        minute = 60_000.0
        f = TOY.funnel(heavy={"latency": (0, minute)})
        served = f.serve(TOY.queries, deadline_ms=7.5 * minute)
        light = TOY.naive((40, 7, 7))
        for row, query in enumerate(TOY.query_ids):
            docs = sorted(light[query][1], key=lambda d: -TOY.scores["heavy"][row, int(d[1:])])
            mine = served.slate[served.slate["query_id"] == query]
            assert list(mine["doc_id"]) == docs[:5]
        assert list(served.stages["shrunk"]) == [0, 0, 6]
        assert set(served.requests["degraded"]) == {"heavy shrunk to 7"}

    @pytest.mark.parametrize("deadline", [0, -1.0, np.nan, np.inf])
    def test_bad_deadlines(self, deadline):
        with pytest.raises(ValueError, match="deadline_ms must be finite and above 0"):
            TOY.funnel().rank(TOY.queries, deadline_ms=deadline)

    def test_shed_names_stages(self):
        with pytest.raises(ValueError, match=r"shed names the stages \['x'\]"):
            Funnel(TOY.stages(), shed=["x"])


class TestFallback:
    def test_without_one_the_error_comes_through(self):
        with pytest.raises(Down, match="no answer"):
            Funnel([*TOY.stages()[:2], Rank("heavy", down, k=5)]).rank(TOY.queries)

    def test_pass_keeps_the_order_it_came_in(self):
        f = Funnel([*TOY.stages()[:2], Rank("heavy", down, k=5, fallback="pass")])
        served = f.serve(TOY.queries)
        expected = Funnel([TOY.stages()[0], Rank("light", TOY.scorer("light"), k=5)])
        assert list(served.slate["doc_id"]) == list(expected.rank(TOY.queries)["doc_id"])
        assert list(served.stages["failed"]) == [0, 0, 1]
        assert served.errors.to_dict("records") == [
            {"stage": "heavy", "outcome": "failed", "error": "Down: no answer", "requests": 1}
        ]
        assert served.requests["degraded"][0] == "heavy failed"

    def test_scores_that_are_no_numbers_are_a_failure(self):
        bad = Rank("heavy", lambda q, c: np.full(len(c), np.nan), k=5, fallback="pass")
        served = Funnel([*TOY.stages()[:2], bad]).serve(TOY.queries)
        assert "holds 90 NaN among 90" in served.errors["error"][0]

    def test_another_stage_takes_over_and_keeps_to_the_count(self):
        spare = Rank("spare", TOY.scorer("light"), k=30)
        f = Funnel([TOY.stages()[0], Rank("heavy", down, k=5, fallback=spare)])
        served = f.serve(TOY.queries)
        expected = Funnel([TOY.stages()[0], Rank("light", TOY.scorer("light"), k=5)])
        assert list(served.slate["doc_id"]) == list(expected.rank(TOY.queries)["doc_id"])
        assert (served.slate.groupby("query_id").size() == 5).all()

    def test_a_callable_takes_over(self):
        f = Funnel([*TOY.stages()[:2], Rerank("order", down, k=3, fallback=turned)])
        expected = Funnel([*TOY.stages()[:2], Rerank("order", turned, k=3)])
        served = f.serve(TOY.queries)
        assert list(served.slate["doc_id"]) == list(expected.rank(TOY.queries)["doc_id"])

    def test_a_fallback_that_fails_too(self):
        spare = Rank("spare", down, fallback="pass")
        served = Funnel([TOY.stages()[0], Rank("heavy", down, k=5, fallback=spare)]).serve(
            TOY.queries
        )
        assert list(served.errors["stage"]) == ["heavy", "spare"]
        hopeless = Rank("heavy", down, k=5, fallback=Rank("spare", down))
        with pytest.raises(Down):
            Funnel([TOY.stages()[0], hopeless]).serve(TOY.queries)

    def test_a_source_may_bring_nothing(self):
        f = Funnel([Retrieve("source", down, k=40, fallback="empty"), *TOY.stages()[1:]])
        served = f.serve(TOY.queries)
        assert (len(served.slate), served.n_empty) == (0, 6)

    def test_one_source_of_a_union_may_fail(self):
        bad = Retrieve("bad", down, k=5, fallback="empty")
        union = Union("both", [Retrieve("source", TOY.search, k=40), bad], k=10)
        served = Funnel([union]).serve(TOY.queries)
        alone = Funnel(TOY.stages()[:1]).with_counts({"source": 10}).rank(TOY.queries)
        assert list(served.slate["doc_id"]) == list(alone["doc_id"])
        assert served.slate["bad"].isna().all()
        assert served.errors["stage"].tolist() == ["bad"]
        assert served.requests["degraded"][0] == "bad failed"

    def test_errors_are_counted_by_type(self):
        def numbered(queries, candidates):
            raise Down(f"answer {queries['query_id'][0]}")

        f = Funnel([*TOY.stages()[:2], Rank("heavy", numbered, k=5, fallback="pass")])
        errors = f.serve(TOY.queries, deadline_ms=60_000).errors
        assert errors.to_dict("records") == [
            {"stage": "heavy", "outcome": "failed", "error": "Down: answer q0", "requests": 6}
        ]

    def test_each_request_is_counted(self):
        calls = iter(range(100))

        def moody(queries, candidates):
            if next(calls) % 2:
                raise Down("no answer")
            return TOY.scorer("heavy")(queries, candidates)

        f = Funnel([*TOY.stages()[:2], Rank("heavy", moody, k=5, fallback="pass")])
        served = f.serve(TOY.queries, deadline_ms=60_000)
        row = served.stages.set_index("stage").loc["heavy"]
        assert (row["full"], row["failed"], row["requests"]) == (3, 3, 6)
        assert served.errors["requests"].tolist() == [3]


NEVER = {"light": {"latency": (0, 1e6)}}  # a light ranker that does not fit any deadline


class TestColumnsOfStagesThatDidNotScore:
    def test_are_nan_after_a_stage_that_was_passed_by(self):
        served = TOY.funnel(**NEVER).serve(TOY.queries, deadline_ms=60_000)
        assert served.slate["light"].isna().all()
        assert served.slate["heavy"].notna().all()

    def test_are_nan_after_a_failure_that_was_passed(self):
        f = Funnel([*TOY.stages()[:2], Rank("heavy", down, k=5, fallback="pass")])
        assert f.serve(TOY.queries).slate["heavy"].isna().all()

    def test_hold_the_scores_of_the_fallback(self):
        spare = Rank("spare", TOY.scorer("light"))
        f = Funnel([TOY.stages()[0], Rank("heavy", down, k=5, fallback=spare)])
        slate = f.serve(TOY.queries).slate
        assert "spare" not in slate
        np.testing.assert_array_equal(slate["heavy"], slate["score"])

    def test_a_ranker_that_names_one_is_passed_by_too(self):
        both = Rank("both", lambda X: X.sum(axis=1), k=5, features=["source", "light"])
        stages = TOY.stages(light=NEVER["light"])[:2]
        served = Funnel([*stages, both]).serve(TOY.queries, deadline_ms=60_000)
        assert list(served.stages["skipped"]) == [0, 6, 6]
        failing = Rank("light", down, k=15, fallback="pass")
        served = Funnel([stages[0], failing, both]).serve(TOY.queries)
        assert list(served.stages["failed"]) == [0, 1, 0]
        assert list(served.stages["skipped"]) == [0, 0, 1]

    def test_a_callable_takes_the_place_of_its_own_kind(self):
        plain = TOY.funnel().rank(TOY.queries)
        rank = Rank("heavy", down, k=5, fallback=TOY.scorer("heavy"))
        filtered = Filter("all", down, fallback=lambda q, c: np.ones(len(c), bool))
        for search in (TOY.search, lambda queries: TOY.search(queries, 40)):
            source = Retrieve("source", down, k=40, fallback=search)
            served = Funnel([source, filtered, TOY.stages()[1], rank]).serve(TOY.queries)
            assert list(served.slate["doc_id"]) == list(plain["doc_id"])
            assert list(served.stages["failed"]) == [1, 1, 0, 1]

    def test_a_filter_may_stand_in_for_a_ranker_with_a_count(self):
        keep = Filter("keep", lambda q, c: np.ones(len(c), bool))
        rank = Rank("heavy", down, k=5, fallback=keep)
        slate = Funnel([*TOY.stages()[:2], rank]).serve(TOY.queries).slate
        assert (slate.groupby("query_id").size() == 5).all()


class TestTimeout:
    def test_a_slow_stage_is_given_up_on(self):
        release = threading.Event()

        def slow(queries, candidates):
            release.wait(30)
            return np.zeros(len(candidates))

        rank = Rank("heavy", slow, k=5, timeout_ms=20, fallback="pass")
        start = time.monotonic()
        served = Funnel([*TOY.stages()[:2], rank]).serve(TOY.queries)
        waited = time.monotonic() - start
        release.set()
        assert waited < 20, "it did not wait for the stage"
        assert list(served.stages["timed_out"]) == [0, 0, 1]
        # Six queries go through together and have six times as long.
        assert "gave up on 'heavy' after 120 ms" in served.errors["error"][0]

    def test_the_deadline_stops_a_stage_with_a_fallback(self):
        release = threading.Event()

        def slow(queries, candidates):
            release.wait(30)
            return np.zeros(len(candidates))

        rank = Rank("heavy", slow, k=5, fallback="pass")
        served = Funnel([*TOY.stages()[:2], rank]).serve(TOY.queries.head(1), deadline_ms=1500)
        release.set()
        assert "gave up on 'heavy'" in served.errors["error"][0]
        assert served.stages["timed_out"].tolist() == [0, 0, 1]
        assert served.requests["ms"][0] < 20_000

    def test_nothing_begins_when_no_time_is_left(self):
        began = []
        rank = Rank("heavy", lambda q, c: began.append(1), k=5, fallback="pass", when_late="run")
        served = Funnel([*TOY.stages()[:2], rank]).serve(TOY.queries.head(1), deadline_ms=GONE)
        assert (began, served.stages["timed_out"].tolist()) == ([], [0, 0, 1])
        assert "no time was left for 'heavy'" in served.errors["error"][0]

    def test_a_quick_stage_is_not_disturbed(self):
        quick = {"heavy": {"timeout_ms": 60_000, "fallback": "pass"}}
        f, plain = TOY.funnel(**quick), TOY.funnel()
        pd.testing.assert_frame_equal(f.rank(TOY.queries), plain.rank(TOY.queries))

    def test_an_error_within_the_time_is_a_failure(self):
        rank = Rank("heavy", down, k=5, timeout_ms=60_000, fallback="pass")
        served = Funnel([*TOY.stages()[:2], rank]).serve(TOY.queries)
        assert list(served.stages["failed"]) == [0, 0, 1]


def test_a_served_result_prints_and_turns_into_plain_values():
    served = TOY.funnel().serve(TOY.queries)
    assert "6 queries in 1 requests: 0 degraded, 0 queries without a document." in str(served)
    assert "<table" in served._repr_html_()
    assert served.to_dict()["n_queries"] == 6
    pd.testing.assert_frame_equal(served.to_frame(), served.stages)
