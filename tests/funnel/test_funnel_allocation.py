"""The replay of every cut against funnels that were really cut, and what is chosen from it."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from funnel_data import Toy, turned
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsd._stats import t_interval
from mlsd.funnel import Filter, Funnel, Rank, Rerank, Retrieve, Union
from mlsd.metrics import UndefinedMetricWarning, evaluate_ranking

TOY = Toy(7, 10)
GRID = (5, 8, 20, 60)


def allocated(f, toy=TOY, **options):
    options = {"budget": 1e9, "grid": GRID} | options
    return f.allocate(toy.queries, toy.qrels, **options)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tied=st.booleans(),
    filtered=st.booleans(),
    final=st.sampled_from([1, 5]),
    grid=st.lists(st.integers(5, 70), min_size=1, max_size=4, unique=True),
    objective=st.sampled_from(["recall", "ndcg@3", "ndcg@10", "agreement"]),
    batch_rows=st.sampled_from([60, 4_000_000]),
)
def test_every_combination_is_what_that_funnel_reaches(
    seed, tied, filtered, final, grid, objective, batch_rows
):
    toy = Toy(seed, 4, tied=tied)
    f = toy.funnel((70, 70, final), filtered=filtered)
    best = allocated(f, toy, grid=grid, objective=objective, batch_rows=batch_rows)
    expected = [
        counts for counts in itertools.product(sorted(grid), repeat=2) if counts[0] >= counts[1]
    ]
    assert list(zip(best.table["source"], best.table["light"], strict=True)) == expected
    deepest = f.with_counts({"source": max(grid), "light": None})
    for row in best.table.itertuples():
        cut = f.with_counts({"source": row.source, "light": row.light})
        report = cut.evaluate(toy.queries, toy.qrels, n_timed=0)
        assert row.cost == pytest.approx(report.stages["cost"].sum())
        if objective == "recall":
            reached = report.total["recall"]
        elif objective == "agreement":
            mine, theirs = cut.rank(toy.queries), deepest.with_counts({"heavy": final})
            # The reference ranks all that the deepest source finds, without a look by light.
            whole = Funnel([s for s in theirs.stages if s.name != "light"], items=toy.items)
            both = mine.merge(whole.rank(toy.queries), on=["query_id", "doc_id"])
            found = whole.rank(toy.queries).groupby("query_id").size()
            reached = (
                both.groupby("query_id").size().reindex(found.index, fill_value=0) / found
            ).mean()
        else:
            reached = evaluate_ranking(
                toy.qrels, cut.rank(toy.queries), [objective], ties="rank"
            ).mean()[objective]
        assert getattr(row, "_5" if "@" in objective else objective) == pytest.approx(reached)


def test_the_best_is_the_highest_within_the_budget_and_then_the_cheapest():
    f = TOY.funnel()
    for budget in (6, 9, 15, 30, 70):
        best = allocated(f, budget=budget)
        fits = best.table[best.table["cost"] <= budget]
        assert best.best["recall"] == fits["recall"].max()
        ties = fits[fits["recall"] == fits["recall"].max()]
        assert best.best["cost"] == ties["cost"].min() <= budget
        served = f.with_counts(best.counts).evaluate(TOY.queries, TOY.qrels, n_timed=0)
        assert served.total["recall"] == pytest.approx(best.best["recall"])
        assert served.total["cost"] == pytest.approx(best.best["cost"])


def test_where_all_stages_agree_the_cheapest_counts_are_the_frontier_and_the_choice():
    toy = Toy(7, 10)
    toy.scores = dict.fromkeys(toy.scores, toy.scores["light"])
    best = allocated(toy.funnel(), toy)
    assert best.table["recall"].min() == best.table["recall"].max()
    assert best.counts == {"source": 5, "light": 5}
    assert len(best.frontier) == 1


def test_more_budget_never_reaches_less():
    reached = [allocated(TOY.funnel(), budget=b).best["recall"] for b in (6, 9, 15, 30, 70, 1e9)]
    assert reached == sorted(reached)


def test_the_frontier_is_what_no_other_beats():
    best = allocated(TOY.funnel())
    table = best.table
    beaten = [
        ((table["cost"] <= row.cost) & (table["recall"] > row.recall)).any()
        or ((table["cost"] < row.cost) & (table["recall"] >= row.recall)).any()
        for row in table.itertuples()
    ]
    kept = table[~np.array(beaten)].drop_duplicates(["cost", "recall"]).sort_values("cost")
    assert best.frontier["cost"].tolist() == kept["cost"].tolist()
    assert best.frontier["recall"].is_monotonic_increasing
    gain = best.frontier["recall"].diff() / best.frontier["cost"].diff()
    np.testing.assert_allclose(best.frontier["gain"], gain)


def test_intervals_are_by_query():
    best = allocated(TOY.funnel(), budget=15)
    report = TOY.funnel().with_counts(best.counts).evaluate(TOY.queries, TOY.qrels, n_timed=0)
    assert best.best["lower"] == pytest.approx(report.total["recall_lower"])
    assert best.best["upper"] == pytest.approx(report.total["recall_upper"])


def test_the_next_step_is_the_paired_difference():
    f = TOY.funnel()
    best = allocated(f, budget=15)
    per_query = {}
    for name, counts in [("now", best.counts), *best.next_step.set_index("stage")["k"].items()]:
        counts = counts if name == "now" else best.counts | {name: counts}
        slate = f.with_counts(counts).rank(TOY.queries)
        hits = slate.merge(TOY.qrels, on=["query_id", "doc_id"]).groupby("query_id").size()
        per_query[name] = hits.reindex(TOY.query_ids, fill_value=0) / 6
    assert set(best.next_step["stage"]) <= {"source", "light"}
    for row in best.next_step.itertuples():
        interval = t_interval(per_query[row.stage] - per_query["now"])
        assert row.difference == pytest.approx(interval.mean, abs=1e-12)
        assert row.lower == pytest.approx(interval.lower, abs=1e-12)
        assert row.cost > 0
        assert row.gain == pytest.approx(row.difference / row.cost)


def test_other_budgets_are_read_off_the_frontier():
    f = TOY.funnel()
    best = allocated(f)
    for budget in (6, 9, 15, 30, 70):
        assert best.counts_within(budget) == allocated(f, budget=budget).counts
    with pytest.raises(ValueError, match="the cost of the cheapest counts; got 1"):
        best.counts_within(1)


def test_the_knee_is_the_cheapest_that_is_nearly_as_good():
    best = allocated(TOY.funnel())
    knee = best.knee(0.9)
    row = best.frontier[best.frontier["recall"] >= 0.9 * best.frontier["recall"].max()].iloc[0]
    assert knee == {"source": row["source"], "light": row["light"]}
    with pytest.raises(ValueError, match="share must lie strictly between 0 and 1"):
        best.knee(1)


def test_milliseconds_are_those_of_the_latencies():
    latency = {"source": (1, 0.01), "light": (2, 0.1), "heavy": (3, 1.0), "turn": (1, 0.5)}
    f = TOY.funnel(reranked=True).with_latency(latency)
    best = allocated(f, budget=None, budget_ms=25)
    counts = best.counts
    source, light = counts["source"], counts["light"]
    ms = 1 + 0.01 * source + 2 + 0.1 * source + 3 + 1.0 * light + 1 + 0.5 * 5
    assert best.best["ms"] == pytest.approx(ms)
    assert best.price == "ms"
    both = allocated(f, budget=10, budget_ms=25)
    assert both.price == "cost"
    assert both.best["cost"] <= 10
    assert both.best["ms"] <= 25


def test_a_reranker_at_the_end_keeps_its_count_and_costs():
    stages = [*TOY.stages(), Rerank("turn", turned, k=3, cost=2.0)]
    best = allocated(Funnel(stages))
    plain = allocated(TOY.funnel())
    np.testing.assert_allclose(best.table["cost"], plain.table["cost"] + 2.0 * 5)
    np.testing.assert_allclose(best.table["recall"], plain.table["recall"])


def test_a_grid_by_name_leaves_the_others_as_they_are():
    best = allocated(TOY.funnel(), grid={"source": (20, 40)})
    assert best.table[["source", "light"]].to_numpy().tolist() == [[20, 15], [40, 15]]


def test_a_union_is_a_source_with_a_count():
    sources = [
        Retrieve("one", TOY.search, k=60),
        Retrieve("two", TOY.search, k=60),
    ]
    stages = [Union("both", sources, k=60, cost=0.01), *TOY.stages()[1:]]
    union, plain = allocated(Funnel(stages)), allocated(TOY.funnel())
    np.testing.assert_allclose(union.table["recall"], plain.table["recall"])


def test_a_union_with_quotas_is_replayed_at_its_own_count_alone():
    sources = [Retrieve("one", TOY.search, k=60)]
    union = Union("both", sources, k=20, cost=0.01, at_least={"one": 5})
    f = Funnel([union, *TOY.stages()[1:]])
    with pytest.raises(ValueError, match=r"give its own alone, grid=\{'both': \(20,\)"):
        allocated(f)
    best = allocated(f, grid={"both": (20,), "light": (5, 10)})
    for row in best.table.itertuples():
        cut = f.with_counts({"both": row.both, "light": row.light})
        report = cut.evaluate(TOY.queries, TOY.qrels, n_timed=0)
        assert row.recall == pytest.approx(report.total["recall"])


def test_a_source_that_finds_less_than_asked():
    def few(queries, k):
        run = TOY.search(queries, k)
        limit = 3 + 5 * run["query_id"].str[1:].astype(int)
        return run[run.groupby("query_id").cumcount() < limit]

    f = Funnel([Retrieve("source", few, k=60, cost=0.01), *TOY.stages()[1:]])
    best = allocated(f)
    for row in best.table.itertuples():
        report = f.with_counts({"source": row.source, "light": row.light}).evaluate(
            TOY.queries, TOY.qrels, n_timed=0
        )
        assert row.recall == pytest.approx(report.total["recall"])
        assert row.cost == pytest.approx(report.total["cost"])


def test_queries_without_judgements_are_left_out_and_counted():
    best = allocated(TOY.funnel(), qrels_without_first(TOY))
    assert (best.n_queries, best.n_used) == (10, 9)
    none = Toy(7, 10)
    none.qrels = TOY.qrels.head(6).assign(query_id="z")
    with pytest.warns(UndefinedMetricWarning, match="no query has anything to find"):
        assert np.isnan(allocated(TOY.funnel(), none).best["recall"])


def qrels_without_first(toy):
    other = Toy(7, 10)
    other.qrels = toy.qrels[toy.qrels["query_id"] != "q0"]
    return other


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"budget": None}, "give a budget of cost, or budget_ms"),
        ({"budget": 0}, "budget must be finite and above 0; got 0"),
        ({"budget": 1.0}, r"no counts of the grid fit.*'source': 5, 'light': 5\}, take a cost of"),
        ({"budget_ms": 5.0}, r"latency of the source and of every Rank \(or with_latency\(report"),
        ({"grid": (0, 5)}, "grid of 'source' must be at least 1; got 0"),
        ({"grid": ()}, "grid of 'source' is empty"),
        ({"budget": "10"}, "budget must be a number; got '10'"),
        ({"grid": 50}, "grid must be counts, or counts by stage; got 50"),
        ({"grid": {"light": 5}}, "grid of 'light' must be counts; got 5"),
        ({"grid": (1, 2)}, "never rise from stage to stage and end at 5 or more"),
        ({"grid": {"heavy": (5,)}}, r"grid names \['heavy'\], and the counts that vary"),
        ({"objective": "fame"}, "objective must be 'recall', 'agreement' or 'ndcg@k'; got 'fame'"),
        ({"objective": "ndcg@0"}, "got 'ndcg@0'"),
        ({"reference": "x", "objective": "agreement"}, "reference must be a run or the name"),
        ({"level": 2}, "level must lie strictly between 0 and 1"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises((TypeError, ValueError), match=match):
        allocated(TOY.funnel(), **options)


def test_funnels_that_cannot_be_replayed():
    with pytest.raises(ValueError, match="has no Rank: there is no cut"):
        allocated(Funnel(TOY.stages()[:1]))
    early = Funnel([TOY.stages()[0], Rerank("turn", turned), *TOY.stages()[1:]])
    with pytest.raises(ValueError, match=r"\['turn'\] look at whole lists and stand before"):
        allocated(early)
    unpriced = Funnel([*TOY.stages()[:2], Rank("heavy", TOY.scorer("heavy"), k=5)])
    with pytest.raises(ValueError, match=r"budget needs the cost.*\['heavy'\] have none"):
        allocated(unpriced)
    with pytest.raises(ValueError, match="the objective 'recall' needs qrels"):
        TOY.funnel().allocate(TOY.queries, budget=10, grid=GRID)
    with pytest.raises(ValueError, match="queries is empty"):
        TOY.funnel().allocate(TOY.queries.head(0), TOY.qrels, budget=10, grid=GRID)


def test_filters_between_rankers_are_replayed_too():
    stages = TOY.stages()
    f = Funnel([*stages[:2], Filter("stock", "stocked"), stages[2]], items=TOY.items)
    best = allocated(f)
    for row in best.table.itertuples():
        cut = f.with_counts({"source": row.source, "light": row.light})
        report = cut.evaluate(TOY.queries, TOY.qrels, n_timed=0)
        assert row.recall == pytest.approx(report.total["recall"])
        assert row.cost == pytest.approx(report.total["cost"])


def test_a_later_ranker_may_look_at_the_score_of_an_earlier_one():
    stages = [
        *TOY.stages()[:2],
        Rank("sum", lambda X: X.sum(axis=1), k=5, cost=1.0, features=["source", "light"]),
    ]
    best = allocated(Funnel(stages))
    for row in best.table.itertuples():
        cut = Funnel(stages).with_counts({"source": row.source, "light": row.light})
        assert row.recall == pytest.approx(
            cut.evaluate(TOY.queries, TOY.qrels, n_timed=0).total["recall"]
        )


def test_it_prints_turns_into_plain_values_and_draws_itself():
    best = allocated(TOY.funnel(), budget=15)
    assert "Best for cost 15: source" in str(best)
    assert json.loads(json.dumps(best.to_dict()))["counts"] == best.counts
    pd.testing.assert_frame_equal(best.to_frame(), best.frontier)
    assert best.plot().get_xlabel() == "cost"
    assert "<table" in best._repr_html_()
