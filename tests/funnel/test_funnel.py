"""The funnel against loops and sorts, what it refuses, and how it is looked at."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from funnel_data import Toy, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge

from mlsd.funnel import (
    BM25,
    MMR,
    DenseIndex,
    Filter,
    Funnel,
    Rank,
    Rerank,
    Retrieve,
    Union,
    reciprocal_rank_fusion,
)

TOY = Toy()


def lists(slate, query_ids):
    by_query = {query: list(part["doc_id"]) for query, part in slate.groupby("query_id")}
    return {query: by_query.get(query, []) for query in query_ids}


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(1, 70), min_size=3, max_size=3),
    tied=st.booleans(),
    filtered=st.booleans(),
    batch_rows=st.sampled_from([1, 100, 1_000_000]),
)
def test_slates_are_those_of_loops_and_sorts(seed, counts, tied, filtered, batch_rows):
    toy = Toy(seed, 5, tied=tied)
    counts = sorted(counts, reverse=True)
    slate = toy.funnel(counts, filtered=filtered).rank(toy.queries, batch_rows=batch_rows)
    naive = toy.naive(counts, filtered=filtered)
    assert lists(slate, toy.query_ids) == {query: parts[-1] for query, parts in naive.items()}
    assert list(slate.columns) == ["query_id", "doc_id", "score", "rank"]
    for _, part in slate.groupby("query_id"):
        assert list(part["rank"]) == list(range(1, len(part) + 1))
        assert part["score"].is_monotonic_decreasing


def test_scores_of_all_stages_stay_in_columns_of_their_names():
    slate = TOY.funnel().serve(TOY.queries).slate
    row = slate["query_id"].str[1:].astype(int).to_numpy()
    doc = slate["doc_id"].str[1:].astype(int).to_numpy()
    for name, matrix in TOY.scores.items():
        np.testing.assert_array_equal(slate[name], matrix[row, doc])
    np.testing.assert_array_equal(slate["score"], slate["heavy"])


def test_the_callers_frames_are_left_alone():
    queries, items = TOY.queries.copy(), TOY.items.copy()
    TOY.funnel(filtered=True, reranked=True).rank(TOY.queries)
    pd.testing.assert_frame_equal(TOY.queries, queries)
    pd.testing.assert_frame_equal(TOY.items, items)


def test_a_stage_may_write_to_the_frame_it_is_given(monkeypatch):
    import mlsd.funnel._batch as module

    def spoils(queries, candidates):
        candidates.loc[:, "score"] = 0.0
        candidates["source"] *= -1
        candidates.loc[candidates.index[0], "doc_id"] = "spoilt"
        return TOY.scorer("heavy")(queries, copy_of(candidates))

    def copy_of(candidates):
        return candidates.assign(doc_id=candidates["doc_id"].replace("spoilt", "d0"))

    expected = TOY.funnel().serve(TOY.queries).slate
    for shared in (0, 10**9):
        monkeypatch.setattr(module, "_WORTH_SHARING", shared)
        spoil = Rank("spoil", spoils, k=40)
        slate = Funnel([TOY.stages()[0], spoil, *TOY.stages()[1:]]).serve(TOY.queries).slate
        pd.testing.assert_frame_equal(slate.drop(columns="spoil"), expected)


def test_a_reranker_may_order_by_rank_and_by_row():
    slate = TOY.funnel(reranked=True).rank(TOY.queries)
    straight = TOY.funnel().rank(TOY.queries)
    for query, part in slate.groupby("query_id"):
        whole = list(straight[straight["query_id"] == query]["doc_id"])
        assert list(part["doc_id"]) == whole[::-1][:4]

    def last_first(run):
        return run.iloc[::-1][["query_id", "doc_id"]]

    by_row = Funnel([*TOY.stages(), last_first]).rank(TOY.queries)
    assert lists(by_row, TOY.query_ids) == {
        query: found[::-1] for query, found in lists(straight, TOY.query_ids).items()
    }
    assert by_row.groupby("query_id")["score"].is_monotonic_decreasing.all()


def test_memory_holds_the_slates_and_one_batch():
    import tracemalloc

    wide = Toy(0, 60, 2000)
    f = wide.funnel((2000, 10, 5))
    peaks = {}
    for rows in (2_000, 120_000):
        tracemalloc.start()
        f.rank(wide.queries, batch_rows=rows)
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Sixty queries, one or all of them at a time; what is not kept does not add up.
    assert peaks[2_000] < peaks[120_000] / 3


def test_a_callable_is_a_stage_and_lends_its_name():
    def everything(queries):
        return TOY.search(queries, None)

    f = Funnel([everything, turned, lambda run: run])
    assert [stage.name for stage in f.stages] == ["everything", "turned", "stage 3"]
    assert len(f.rank(TOY.queries)) == len(TOY.queries) * len(TOY.doc_ids)


def test_texts_and_indexes_of_all_kinds():
    texts = pd.Series(["red chair", "red sofa", "lamp"], index=["c", "s", "l"])
    f = Funnel([Retrieve("words", BM25().fit(texts), k=5)])
    asked = ["red sofa", "desk"]
    expected = BM25().fit(texts).search(asked, 5)
    pd.testing.assert_frame_equal(f.rank(asked), expected)
    named = f.rank(pd.Series(asked, index=["x", "y"]))
    assert list(named["query_id"]) == ["x", "x"]
    vectors = np.eye(3)
    dense = DenseIndex().fit(vectors, texts.index)
    by_column = pd.DataFrame({"query_id": ["x", "y"], "vector": list(vectors[:2])})
    expected = dense.search_frame(vectors[:2], 2, query_ids=["x", "y"])
    got = Funnel([Retrieve("near", dense, k=2)]).rank(by_column)
    pd.testing.assert_frame_equal(got, expected)
    encoded = Retrieve("near", dense, k=2, encode=lambda q: vectors[: len(q)])
    pd.testing.assert_frame_equal(Funnel([encoded]).rank(by_column), expected)
    pairs = Retrieve("near", lambda q, k: dense.search(vectors[:2], k), k=2)
    pd.testing.assert_frame_equal(Funnel([pairs]).rank(by_column), expected)


class TestUnion:
    def sources(self, k=20):
        return [
            Retrieve("light source", self.ranked("light"), k=k),
            Retrieve("heavy source", self.ranked("heavy"), k=k),
        ]

    def ranked(self, name):
        def search(queries, k):
            run = TOY.search(queries, k)
            score = TOY.scorer(name)(queries, run)
            order = np.lexsort((-score, run["query_id"]))
            run = run.assign(score=score).iloc[order]
            return run.groupby("query_id").head(k)

        return search

    def test_is_the_fusion_of_its_sources(self):
        runs = [source.index(TOY.queries, 20) for source in self.sources()]
        fused = reciprocal_rank_fusion(runs)
        got = Funnel([Union("both", self.sources(), k=None)]).rank(TOY.queries)
        for query, part in fused.groupby("query_id"):
            mine = got[got["query_id"] == query]
            assert list(mine["doc_id"]) == list(part["doc_id"])
            np.testing.assert_allclose(mine["score"], part["score"], rtol=1e-12)

    @pytest.mark.parametrize(("quota", "k"), [(3, 10), (10, 10), (1, 4)])
    def test_the_first_of_a_source_keep_their_places(self, quota, k):
        weights = {"heavy source": 0.001}
        plain = Union("both", self.sources(), k=k, weights=weights)
        kept = Union("both", self.sources(), k=k, weights=weights, at_least={"heavy source": quota})
        firsts = self.ranked("heavy")(TOY.queries, quota)
        slates = [Funnel([union]).rank(TOY.queries) for union in (plain, kept)]
        both = [slate.merge(firsts, on=["query_id", "doc_id"]) for slate in slates]
        assert len(both[0]) < len(firsts), "the quota changes something"
        assert len(both[1]) == len(firsts)
        assert (slates[1].groupby("query_id").size() == k).all()
        # What is not protected stands as the fusion has it.
        whole = Funnel([replace_k(kept, None)]).rank(TOY.queries)
        merged = slates[1].merge(whole, on=["query_id", "doc_id"], suffixes=("", " whole"))
        assert merged.groupby("query_id")["rank whole"].is_monotonic_increasing.all()

    def test_a_column_that_several_sources_bring_is_the_first_that_has_it(self):
        def with_colour(name, colour):
            search = self.ranked(name)
            return lambda queries, k: search(queries, k).assign(colour=colour)

        names = {"light": "red", "heavy": "blue"}
        sources = [Retrieve(f"{n} source", with_colour(n, c), k=20) for n, c in names.items()]
        slate = Funnel([Union("both", sources)]).serve(TOY.queries).slate
        expected = np.where(slate["light source"].notna(), "red", "blue")
        assert list(slate["colour"]) == list(expected)

    def test_prices_of_its_sources_are_refused(self):
        sources = [Retrieve("one", TOY.search, k=5, cost=1.0)]
        with pytest.raises(ValueError, match=r"sources \['one'\] of 'both' have a cost or latency"):
            Union("both", sources)

    def test_a_source_leaves_its_score_and_nan_where_it_found_nothing(self):
        slate = Funnel([Union("both", self.sources(), k=30)]).serve(TOY.queries).slate
        found = self.ranked("heavy")(TOY.queries, 20)
        own = slate.dropna(subset="heavy source").merge(found, on=["query_id", "doc_id"])
        np.testing.assert_array_equal(own["heavy source"], own["score_y"])
        assert len(own) == len(slate.dropna(subset="heavy source"))
        assert slate["heavy source"].isna().any()

    def test_without_anything_found(self):
        empty = TOY.search(TOY.queries, 1).iloc[:0]
        sources = [Retrieve(name, lambda q, k: empty, k=3) for name in ("a", "b")]
        served = Funnel([Union("none", sources, k=5), *TOY.stages()[1:2]][:1]).serve(TOY.queries)
        assert (len(served.slate), served.n_empty) == (0, len(TOY.queries))

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"at_least": {"nobody": 1}}, r"at_least names \['nobody'\]"),
            ({"weights": {"nobody": 1}}, r"weights names \['nobody'\]"),
            ({"at_least": {"light source": 8, "heavy source": 8}}, "sums to 16, and k is 10"),
            ({"at_least": {"light source": 0}}, "at least 1; got 0"),
            ({"fusion": "sum"}, "fusion must be one of 'rrf', 'weighted'; got 'sum'"),
        ],
    )
    def test_bad_options(self, options, match):
        with pytest.raises(ValueError, match=match):
            Union("both", self.sources(), k=10, **options)

    def test_bad_sources(self):
        with pytest.raises(TypeError, match="must be Retrieve stages"):
            Union("both", [TOY.stages()[1]])
        twice = [self.sources()[0]] * 2
        with pytest.raises(ValueError, match="names of their own"):
            Union("both", twice)


def replace_k(stage, k):
    from dataclasses import replace

    return replace(stage, k=k)


class TestLearntRankers:
    X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 1, 0, 1, 0]})
    y = np.array([0, 0, 1, 0, 1, 1])

    def ranked(self, scorer):
        items = self.X.set_axis(TOY.doc_ids[:6])
        found = Filter("known", lambda q, c: c["doc_id"].isin(items.index).to_numpy())
        rank = Rank("learnt", scorer, k=6, features=["a", "b"])
        stages = [TOY.stages((60, 1, 1))[0], found, rank]
        slate = Funnel(stages, items=items).rank(TOY.queries.head(1))
        order = slate["doc_id"].str[1:].astype(int)
        return slate["score"].to_numpy()[np.argsort(order)]

    def test_a_regressor_through_predict_and_as_it_is(self):
        model = Ridge().fit(self.X, self.y)
        for scorer in (model, model.predict):
            np.testing.assert_array_equal(self.ranked(scorer), model.predict(self.X))

    def test_one_column_of_scores_is_a_vector(self):
        model = Ridge().fit(self.X, self.y)
        for wrap in (lambda y: y[:, None], lambda y: pd.DataFrame({"y": y})):
            got = self.ranked(lambda X, wrap=wrap: wrap(model.predict(X)))
            np.testing.assert_array_equal(got, model.predict(self.X))

    def test_a_model_needs_features(self):
        model = Ridge().fit(self.X, self.y)
        for scorer in (model, model.predict):
            with pytest.raises(ValueError, match="scores with a model and needs features="):
                Rank("learnt", scorer)

    def test_a_classifier_is_asked_for_chances(self):
        model = LogisticRegression().fit(self.X, self.y)
        np.testing.assert_array_equal(self.ranked(model), model.predict_proba(self.X)[:, 1])
        with pytest.raises(ValueError, match="predict of a classifier, which gives classes"):
            self.ranked(model.predict)

    def test_rankers_of_lightgbm_and_xgboost(self):
        from xgboost import XGBRanker

        model = XGBRanker(n_estimators=3).fit(self.X, self.y, qid=[0] * 6)
        np.testing.assert_allclose(self.ranked(model.predict), model.predict(self.X))
        try:
            import lightgbm
        except (ImportError, OSError) as error:  # the wheel wants OpenMP from the system
            pytest.skip(f"no LightGBM: {error}")
        lgbm = lightgbm.LGBMRanker(n_estimators=3, min_child_samples=1, verbose=-1)
        lgbm.fit(self.X, self.y, group=[6])
        np.testing.assert_array_equal(self.ranked(lgbm.predict), lgbm.predict(self.X))


def test_a_calibrator_changes_the_score_and_not_the_order():
    def chance(score):
        return 1 / (1 + np.exp(-np.asarray(score)))

    calibrated = TOY.stages()[:2]
    calibrated[1] = Rank("light", TOY.scorer("light"), k=15, calibrator=chance)
    plain = Funnel(TOY.stages()[:2]).rank(TOY.queries)
    slate = Funnel(calibrated).serve(TOY.queries).slate
    assert list(slate["doc_id"]) == list(plain["doc_id"])
    np.testing.assert_array_equal(slate["score"], chance(plain["score"]))
    np.testing.assert_array_equal(slate["light"], plain["score"])
    backwards = Rank("light", TOY.scorer("light"), k=15, calibrator=lambda s: -s)
    with pytest.raises(ValueError, match="must never decrease: it would turn the order"):
        Funnel([calibrated[0], backwards]).rank(TOY.queries)


def test_calibrate_fits_the_share_of_relevant_documents():
    f = TOY.funnel().calibrate(TOY.queries, TOY.qrels)
    served = f.serve(TOY.queries).slate
    assert list(served["doc_id"]) == list(TOY.funnel().rank(TOY.queries)["doc_id"])
    assert served["score"].between(0, 1).all()
    # A ranker that reads what the one before it shows is fitted on just that.
    reads = Rank("reads", lambda q, c: c["score"] + 1, k=15)
    g = Funnel([*TOY.stages()[:2], reads]).calibrate(TOY.queries, TOY.qrels)
    slate = g.serve(TOY.queries).slate
    assert slate["reads"].between(1, 2).all()
    relevant = slate.merge(TOY.qrels, on=["query_id", "doc_id"])
    assert slate["score"].mean() == pytest.approx(len(relevant) / len(slate), rel=1e-9)
    whole = f.with_counts({"heavy": 15}).serve(TOY.queries).slate
    relevant = whole.merge(TOY.qrels, on=["query_id", "doc_id"])
    # Isotonic regression keeps the mean of what it was fitted on.
    assert whole["score"].mean() == pytest.approx(len(relevant) / len(whole), rel=1e-9)


def broken(value):
    return lambda queries, candidates: np.full(len(candidates), value)


def grown(run):
    return pd.concat([run, run.head(1).assign(doc_id="d-new")])


@pytest.mark.parametrize(
    ("last", "match"),
    [
        (Rank("x", broken(np.nan), k=3), r"what stage 'x' scored holds 180 NaN among 180"),
        (Rank("x", broken(np.inf), k=3), "what stage 'x' scored holds infinite"),
        (Rank("x", lambda q, c: [1.0], k=3), "stage 'x' gave 1 scores for 180 candidates"),
        (Rank("x", broken(1.0), features=["price"], k=3), "asks for the column 'price'"),
        (Rerank("x", grown), r"stage 'x' gave back 1 .* did not enter it.*\('q0', 'd-new'\)"),
        (Rerank("x", lambda r: pd.concat([r, r.head(2)])), "holds 2 repeated"),
        (Rerank("x", lambda r: r.assign(query_id="q-new")), "180 rows of queries .* not asked"),
        (Rerank("x", lambda r: r.drop(columns="doc_id")), r"lacks the columns \['doc_id'\]"),
        (Filter("x", lambda q, c: np.ones(3, bool)), r"180 booleans; got bool of shape \(3,\)"),
        (Filter("x", lambda q, c: np.ones(len(c))), "180 booleans; got float64"),
    ],
)
def test_what_a_stage_gives_back_is_checked(last, match):
    with pytest.raises(ValueError, match=match):
        Funnel([*TOY.stages()[:2], last]).rank(TOY.queries)


@pytest.mark.parametrize(
    ("run", "match"),
    [
        (lambda r: r.assign(score=np.nan), r"'score'\] holds 720 NaN"),
        (lambda r: r.assign(score=np.inf), "holds infinite values"),
        (lambda r: r.assign(doc_id=None), r"'doc_id'\] holds 720 missing"),
        (lambda r: pd.concat([r, r.head(1)]), "holds 1 repeated"),
        (lambda r: (np.zeros((2, 3)), np.zeros((2, 3))), "a row a query; got shapes"),
    ],
)
def test_what_a_source_finds_is_checked(run, match):
    source = Retrieve("source", lambda q, k: run(TOY.search(q, k)), k=5)
    with pytest.raises(ValueError, match=match):
        Funnel([source]).rank(TOY.queries)


def test_items_must_know_the_candidates():
    f = Funnel([*TOY.stages()[:1], Filter("stock", "stocked")], items=TOY.items.head(10))
    with pytest.raises(ValueError, match=r"items lacks \d+ of the 480 candidates of stage 'stock'"):
        f.rank(TOY.queries)


def test_queries_find_columns_too():
    queries = TOY.queries.assign(open=TOY.queries["row"] % 2 == 0)
    slate = Funnel([TOY.stages()[0], Filter("open", "open")]).rank(queries)
    assert set(slate["query_id"]) == set(queries.loc[queries["open"], "query_id"])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda s: [], ValueError, "stages is empty"),
        (lambda s: s[0], TypeError, "must be a list of stages; got Retrieve"),
        (lambda s: [3], TypeError, "a stage must be a stage or a callable; got int"),
        (lambda s: s[1:], ValueError, "first stage must be a source.*got 'light', a rank"),
        (lambda s: [s[0], s[0]], ValueError, "'source' is a source and not the first"),
        (lambda s: [s[0], s[1], s[1]], ValueError, r"different names; \['light'\]"),
        (lambda s: [s[0], replace_k(s[1], 41)], ValueError, "k of stage 'light' is 41, and"),
    ],
)
def test_bad_funnels(make, error, match):
    with pytest.raises(error, match=match):
        Funnel(make(TOY.stages()))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Retrieve("", TOY.search, k=1), TypeError, "name must be a string that is not em"),
        (lambda: Retrieve("score", TOY.search, k=1), ValueError, "name must not be one of"),
        (lambda: Retrieve("x", 3, k=1), TypeError, r"must have search\(queries, k\)"),
        (lambda: Retrieve("x", TOY.search, k=0), ValueError, "k of stage 'x' must be at least 1"),
        (lambda: Retrieve("x", TOY.search, k=2.5), TypeError, "k of stage 'x' must be an integer"),
        (lambda: Rank("x", broken(1), cost=0), ValueError, "cost of stage 'x' must be.*got 0"),
        (lambda: Rank("x", broken(1), cost=-1.0), ValueError, "above 0; got -1.0"),
        (lambda: Rank("x", broken(1), cost=np.nan), ValueError, "finite and above 0; got nan"),
        (lambda: Rank("x", broken(1), latency=(1, -1)), ValueError, r"at least 0; got \(1, -1\)"),
        (lambda: Rank("x", broken(1), latency=(1,)), ValueError, r"ms an item.*got \(1,\)"),
        (lambda: Rank("x", 3), TypeError, "scorer of stage 'x' must be a callable or have predict"),
        (lambda: Rank("x", broken(1), calibrator=3), TypeError, "calibrator of stage 'x'"),
        (lambda: Rank("x", broken(1), when_late="drop"), ValueError, "when_late of stage 'x'"),
        (lambda: Rank("x", broken(1), timeout_ms=5), ValueError, "no fallback to turn to"),
        (lambda: Rank("x", broken(1), timeout_ms=0, fallback="pass"), ValueError, "above 0; got 0"),
        (lambda: Rank("x", broken(1), fallback="empty"), ValueError, "or 'pass'; got 'empty'"),
        (lambda: Rank("x", broken(1), fallback=TOY.stages()[0]), ValueError, "must be no source"),
        (lambda: Rerank("x", "mmr"), TypeError, "reranker of stage 'x' must be callable"),
        (lambda: Filter("x", ""), TypeError, "keep of stage 'x' must be a callable or the name"),
        (lambda: Filter("x", "stocked", k=5), ValueError, "is a Filter, which has no k"),
    ],
)
def test_bad_stages(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("queries", "error", "match"),
    [
        (3, TypeError, "queries must be a pandas DataFrame"),
        (pd.DataFrame({"text": ["a"]}), ValueError, r"queries lacks the columns \['query_id'\]"),
        (TOY.queries.iloc[[0, 0]], ValueError, r"queries\['query_id'\] must be unique"),
        (TOY.queries.assign(query_id=None), ValueError, "holds 12 missing identifiers"),
    ],
)
def test_bad_queries(queries, error, match):
    with pytest.raises(error, match=match):
        TOY.funnel().rank(queries)


@pytest.mark.parametrize("shed", [["x"], ["source"]])
def test_shed_names_what_may_be_cut(shed):
    match = r"those that may be cut are \['light', 'heavy'\]"
    with pytest.raises(ValueError, match=match):
        Funnel(TOY.stages(), shed=shed)
    with pytest.raises(TypeError, match="shed must be a list of names; got 'light'"):
        Funnel(TOY.stages(), shed="light")


def test_no_queries_give_no_rows():
    served = TOY.funnel(filtered=True, reranked=True).serve(TOY.queries.head(0))
    assert (len(served.slate), served.n_queries, served.n_empty) == (0, 0, 0)
    assert list(TOY.funnel().rank(TOY.queries.head(0)).columns) == [
        "query_id",
        "doc_id",
        "score",
        "rank",
    ]


def test_no_candidates_reach_no_scorer_and_are_counted():
    def never(queries, candidates):
        raise AssertionError("asked to score nothing")

    f = Funnel([lambda q: TOY.search(q, 1).iloc[:0], Rank("x", never, k=1), MMR()])
    served = f.serve(TOY.queries)
    assert (len(served.slate), served.n_empty) == (0, len(TOY.queries))


class TestImmutable:
    def test_attributes_cannot_be_set(self):
        f = TOY.funnel()
        with pytest.raises(AttributeError, match="immutable: cannot set 'stages'; see with_counts"):
            f.stages = ()
        with pytest.raises(AttributeError, match="cannot delete"):
            del f._stages

    def test_with_counts_makes_another(self):
        f = TOY.funnel()
        g = f.with_counts({"light": 10, "heavy": 2})
        assert (f.counts, g.counts) == (
            {"source": 40, "light": 15, "heavy": 5},
            {"source": 40, "light": 10, "heavy": 2},
        )
        assert len(g.rank(TOY.queries)) == 2 * len(TOY.queries)
        with pytest.raises(ValueError, match=r"counts names the stages \['x'\]"):
            f.with_counts({"x": 1})
        with pytest.raises(ValueError, match="k of stage 'light' is 50"):
            f.with_counts({"light": 50})

    def test_with_latency(self):
        f = TOY.funnel().with_latency({"light": (1.0, 0.5)})
        assert f["light"].latency == (1.0, 0.5)
        assert f["heavy"].latency is None
        with pytest.raises(TypeError, match="latency must be a mapping"):
            f.with_latency(3)
        with pytest.raises(KeyError, match="'x' is no stage"):
            f["x"]
        with pytest.raises(
            TypeError, match="counts must be a mapping from stage to count; got list"
        ):
            f.with_counts([1, 2])

    def test_items_that_change_later_change_nothing(self):
        items = TOY.items.copy()
        f = Funnel([TOY.stages()[0], Filter("stock", "stocked")], items=items)
        before = f.rank(TOY.queries)
        items["stocked"] = False
        items.loc[:, "stocked"] = False
        pd.testing.assert_frame_equal(f.rank(TOY.queries), before)
        with pytest.raises(ValueError, match="the columns of items must be unique"):
            Funnel(TOY.stages(), items=pd.concat([TOY.items, TOY.items], axis=1))

    def test_survives_pickling(self):
        f = Funnel([Retrieve("words", BM25().fit(["a b", "b"]), k=2)])
        pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(f)).rank(["b"]), f.rank(["b"]))
        plain = Funnel([one_document, Rank("length", len_of_text, fallback=len_of_text)])
        pd.testing.assert_frame_equal(
            pickle.loads(pickle.dumps(plain)).rank(["b"]), plain.rank(["b"])
        )


def one_document(queries):
    return queries[["query_id"]].assign(doc_id="a")


def len_of_text(queries, candidates):
    return queries["text"].str.len()


def test_it_prints_as_a_table_without_empty_columns():
    f = TOY.funnel(reranked=True)
    lines = repr(f).splitlines()
    assert lines[0].split() == ["stage", "kind", "k", "cost", "when", "late"]
    assert lines[2].split() == ["light", "rank", "15", "0.1", "shrink"]
    assert lines[4].split() == ["turn", "rerank", "4", "-", "skip"]
    fancy = TOY.funnel(heavy={"fallback": "pass", "latency": (1, 0.5)})
    assert "fallback" in repr(fancy)
    assert "pass" in repr(fancy)
    assert f._repr_html_().count("<tr") == 5
    hostile = Funnel([Retrieve("<b>", TOY.search, k=1)])
    assert "<b>" not in hostile._repr_html_()


def test_it_draws_itself():
    ax = TOY.funnel(filtered=True).plot()
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "source",
        "stock",
        "light",
        "heavy",
    ]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths[0] == widths[1] > widths[2] > widths[3]
    assert [text.get_text() for text in ax.texts] == ["40", "no cut", "15", "5"]


class TestTrace:
    def test_every_document_is_lost_where_the_loops_lose_it(self):
        counts = (20, 8, 3)
        f = TOY.funnel(counts)
        naive = TOY.naive(counts)["q3"]
        query = TOY.queries.iloc[3]
        for doc in TOY.doc_ids:
            t = f.trace(query, doc)
            kept = [doc in part for part in naive]
            lost = ["source", "light", "heavy", None][kept.index(False) if False in kept else 3]
            assert t.lost_at == lost
            if lost in ("light", "heavy"):
                at = (3, int(doc[1:]))
                assert (t.scored_by, t.score) == (lost, TOY.scores[lost][at])
                passed = naive[["source", "light", "heavy"].index(lost)]
                least = min(TOY.scores[lost][3, int(d[1:])] for d in passed)
                assert t.threshold == least > t.score

    def test_the_source_scores_what_it_did_not_find(self):
        texts = pd.Series(["red chair", "red", "lamp red lamp"], index=["c", "s", "l"])
        index = BM25().fit(texts)
        f = Funnel([Retrieve("words", index, k=1)])
        t = f.trace("red", "l")
        assert (t.lost_at, t.scored_by, t.rank) == ("words", "words", None)
        every = index.search(["red"], 3).set_index("doc_id")["score"]
        assert (t.score, t.threshold) == (every["l"], every.max())
        assert np.isnan(f.trace("red", "unknown").score)

    def test_a_union_tells_where_it_cut(self):
        both = Union("both", [Retrieve("source", TOY.search, k=60)], k=10)
        t = Funnel([both]).trace(TOY.queries.iloc[3], TOY.naive((60, 1, 1))["q3"][0][24])
        assert (t.lost_at, t.scored_by, t.rank, t.n_kept) == ("both", "both", 25, 10)
        assert t.score == pytest.approx(1 / 85)

    def test_after_calibration_scores_are_still_compared_with_scores(self):
        f = TOY.funnel((20, 8, 3))
        for doc in TOY.doc_ids:
            one, other = (
                g.trace(TOY.queries.iloc[3], doc) for g in (f, f.calibrate(TOY.queries, TOY.qrels))
            )
            assert (one.lost_at, one.rank) == (other.lost_at, other.rank)
            np.testing.assert_array_equal(
                [one.score, one.threshold], [other.score, other.threshold]
            )

    def test_bad_queries(self):
        with pytest.raises(ValueError, match="query must be one query; got 12"):
            TOY.funnel().trace(TOY.queries, "d1")
        with pytest.raises(TypeError, match="doc_id is the integer 7"):
            TOY.funnel().trace(TOY.queries.iloc[0].to_dict(), 7)
