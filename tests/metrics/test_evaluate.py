"""Judgements, evaluation and diagnostics, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from mlsd import metrics
from mlsd._groups import positions_in_runs


@pytest.fixture
def judged():
    return pd.DataFrame(
        {
            "query_id": ["q1", "q1", "q1", "q2", "q3", "q4"],
            "doc_id": ["a", "b", "c", "a", "b", "z"],
            "relevance": [2, 1, 0, 1, 0, 3],
        }
    )


@pytest.fixture
def run():
    return pd.DataFrame(
        {
            "query_id": ["q1", "q1", "q1", "q2", "q2", "q3", "q9"],
            "doc_id": ["b", "x", "a", "x", "a", "b", "a"],
            "score": [0.9, 0.5, 0.1, 0.7, 0.7, 1.0, 1.0],
        }
    )


class TestQrels:
    def test_says_what_it_holds(self, judged):
        qrels = metrics.Qrels(judged)
        assert (len(qrels), qrels.n_queries, list(qrels.queries)) == (
            6,
            4,
            ["q1", "q2", "q3", "q4"],
        )
        assert repr(qrels) == "Qrels(6 judgements, 4 queries, relevance 0: 2, 1: 2, 2: 1, 3: 1)"
        assert repr(metrics.Qrels(judged.assign(relevance=np.arange(6) / 2))).endswith("2.5: 1)")
        many = pd.DataFrame({"query_id": 1, "doc_id": range(9), "relevance": np.arange(9) / 4})
        assert repr(metrics.Qrels(many)) == "Qrels(9 judgements, 1 queries, relevance 0 to 2)"

    def test_frame_round_trip_and_pickle(self, judged):
        qrels = metrics.Qrels(judged)
        keys = ["query_id", "doc_id"]
        for copy in (qrels, pickle.loads(pickle.dumps(qrels))):
            got = copy.to_frame().sort_values(keys, ignore_index=True)
            expected = judged.sort_values(keys, ignore_index=True)
            pd.testing.assert_frame_equal(got, expected, check_dtype=False)

    def test_is_immutable(self, judged):
        qrels = metrics.Qrels(judged)
        with pytest.raises(AttributeError, match="immutable"):
            qrels._relevance = None
        with pytest.raises(AttributeError, match="immutable"):
            del qrels._relevance
        copy = qrels.to_frame()
        copy.loc[:, "relevance"] = 9
        judged["relevance"] = 9
        assert qrels.to_frame()["relevance"].max() == 3

    def test_other_column_names(self, judged):
        renamed = judged.set_axis(["topic", "page", "grade"], axis=1)
        qrels = metrics.Qrels(renamed, query="topic", doc="page", relevance="grade")
        pd.testing.assert_frame_equal(qrels.to_frame(), metrics.Qrels(judged).to_frame())

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            (
                lambda f: f.to_dict(),
                TypeError,
                "must be a table of pandas, polars or pyarrow; got dict",
            ),
            (lambda f: f.drop(columns="relevance"), ValueError, r"lacks the columns \['relevance"),
            (lambda f: f.iloc[:0], ValueError, "qrels is empty"),
            (lambda f: pd.concat([f, f[:1]]), ValueError, r"1 duplicate .*\('q1', 'a'\)"),
            (lambda f: f.assign(relevance=np.nan), ValueError, "holds 6 NaN among 6"),
            (lambda f: f.assign(relevance=np.inf), ValueError, "infinite relevance"),
            (lambda f: f.assign(relevance="high"), TypeError, "'relevance' must be numeric"),
            (lambda f: f.replace("a", None), ValueError, "'doc_id' has 2 missing identifiers"),
            (lambda f: f.replace("q3", np.nan), ValueError, "'query_id' has 1 missing"),
            (lambda f: f.assign(doc_id=1.5), TypeError, "strings or integers; got float64"),
            (lambda f: f.assign(doc_id=True), TypeError, "strings or integers; got bool"),
            (
                lambda f: f.assign(doc_id=pd.Series(["a", "b", 3, "a", "b", "c"], dtype=object)),
                TypeError,
                "mixes strings with other types, such as 3",
            ),
            (
                lambda f: f.assign(query_id=pd.array(["a", "b", None, "a", "b", "c"], "string")),
                ValueError,
                "'query_id' has 1 missing identifiers",
            ),
            (
                lambda f: f.assign(doc_id=pd.Categorical(["a", "b", None, "a", "b", "c"])),
                ValueError,
                "'doc_id' has 1 missing identifiers",
            ),
            (
                lambda f: f.assign(doc_id=pd.array([1, 2, None, 1, 2, 3], "Int64")),
                ValueError,
                "'doc_id' has 1 missing identifiers",
            ),
            (
                lambda f: f.assign(doc_id=np.arange(6, dtype=np.uint64) + np.uint64(2**63)),
                ValueError,
                "does not fit 64 signed bits",
            ),
        ],
    )
    def test_refuses(self, judged, change, error, match):
        with pytest.raises(error, match=match):
            metrics.Qrels(change(judged))


class TestEvaluate:
    def test_diagnostics_count_everything(self, judged, run):
        result = metrics.evaluate_ranking(metrics.Qrels(judged), run, "ndcg", empty=0)
        found = result.diagnostics
        assert found.to_dict() == {
            "n_queries": 4,
            "n_judgements": 6,
            "n_run_rows": 7,
            "missing_queries": 1,
            "unjudged_queries": 1,
            "unjudged_query_rows": 1,
            "empty_queries": 1,
            "unjudged_rows": 2,
            "tied_fraction": 2 / 6,
            "judged_at_10": pytest.approx((2 / 3 + 1 / 2 + 1) / 3),
        }
        assert found.to_frame().loc["missing_queries", "value"] == 1
        assert "<table" in found._repr_html_()

    def test_empty_queries(self, judged, run):
        qrels = metrics.Qrels(judged)
        with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 4 queries have no relevant"):
            result = metrics.evaluate_ranking(qrels, run, "mrr")
        assert result.per_query["mrr"].isna().tolist() == [False, False, True, False]
        assert result.mean()["mrr"] == pytest.approx((1 + 0.75 + 0) / 3)
        for value in (0, 1):
            filled = metrics.evaluate_ranking(qrels, run, "mrr", empty=value)
            assert filled.per_query.loc["q3", "mrr"] == value
        with pytest.raises(ValueError, match=r"mrr is undefined: 1 of 4 queries .* 'q3'"):
            metrics.evaluate_ranking(qrels, run, "mrr", empty="raise")

    def test_ndcg_is_empty_where_no_gain_is(self, judged, run):
        qrels = metrics.Qrels(judged)
        result = metrics.evaluate_ranking(qrels, run, ["ndcg", "mrr"], empty=1, min_relevance=2)
        assert result.per_query["mrr"].tolist() == [pytest.approx(1 / 3), 1.0, 1.0, 0.0]
        assert result.per_query.loc["q2", "ndcg"] < 1.0
        assert result.diagnostics.empty_queries == 2

    def test_judged_is_undefined_where_nothing_is_shown(self, judged, run):
        with pytest.warns(metrics.UndefinedMetricWarning, match="1 of 4 queries show no document"):
            result = metrics.evaluate_ranking(metrics.Qrels(judged), run, "judged@2", empty=0)
        assert result.per_query["judged@2"].tolist()[:3] == [0.5, 0.5, 1.0]
        assert np.isnan(result.per_query.loc["q4", "judged@2"])

    def test_judged_only_ranks_without_the_unjudged(self, judged, run):
        qrels = metrics.Qrels(judged)
        result = metrics.evaluate_ranking(qrels, run, ["mrr", "map"], judged_only=True, empty=0)
        assert result.per_query["mrr"].tolist() == [1.0, 1.0, 0.0, 0.0]
        assert result.per_query["map"].tolist() == [1.0, 1.0, 0.0, 0.0]
        assert result.diagnostics.unjudged_rows == 2
        assert result.diagnostics.judged_at_10 < 1

    @pytest.mark.parametrize("judged_only", [False, True])
    def test_an_empty_run_counts_0(self, judged, run, judged_only):
        qrels = metrics.Qrels(judged)
        result = metrics.evaluate_ranking(
            qrels, run[:0], ["ndcg", "mrr", "map"], empty=0, judged_only=judged_only
        )
        assert (result.per_query == 0).all(axis=None)
        assert result.diagnostics.missing_queries == 4
        assert np.isnan(result.diagnostics.judged_at_10)

    def test_cutoffs_beyond_the_list(self):
        qrels = metrics.Qrels(pd.DataFrame({"query_id": 1, "doc_id": range(4), "relevance": 1}))
        run = pd.DataFrame({"query_id": 1, "doc_id": [0, 1], "score": [-1.0, -2.0]})
        names = ["precision@10", "recall@10", "map@10", "map@1"]
        got = metrics.evaluate_ranking(qrels, run, names).mean()
        assert got.tolist() == [0.2, 0.5, 0.5, 0.25]

    def test_average_precision_over_what_fits_in_the_top_k(self):
        qrels = metrics.Qrels(pd.DataFrame({"query_id": 1, "doc_id": range(4), "relevance": 1}))
        run = pd.DataFrame({"query_id": 1, "doc_id": [0, 1, 9], "score": [3, 2, 1]})
        names = ["map@1", "map@3", "map@9", "map"]
        for normalize, expected in (
            ("R", [1 / 4, 2 / 4, 2 / 4, 2 / 4]),
            ("min(R,k)", [1, 2 / 3, 2 / 4, 2 / 4]),
        ):
            got = metrics.evaluate_ranking(qrels, run, names, normalize=normalize).mean()
            assert got.tolist() == pytest.approx(expected, abs=1e-15)

    @pytest.mark.parametrize("judged_only", [False, True])
    def test_ranks_settle_equal_scores(self, judged, run, judged_only):
        # The score of q2's two documents is one; the rank puts the relevant one first, or last.
        for rank, expected in (([1, 5, 9, 4, 3, 1, 1], 1.0), ([1, 5, 9, 3, 4, 1, 1], 0.5)):
            for order in (np.arange(7), np.array([4, 6, 0, 5, 3, 2, 1])):
                ranked = run.assign(rank=rank).iloc[order]
                options = {"ties": "rank", "empty": 0, "judged_only": judged_only}
                got = metrics.evaluate_ranking(judged, ranked, ["mrr", "map"], **options)
                wanted = 1.0 if judged_only else expected
                assert got.per_query.loc["q2"].tolist() == [wanted, wanted]
                other = ranked.rename(columns={"rank": "place"})
                again = metrics.evaluate_ranking(
                    judged, other, ["mrr", "map"], rank="place", **options
                )
                pd.testing.assert_frame_equal(again.per_query, got.per_query)

    @pytest.mark.parametrize(
        ("rank", "match"),
        [
            ([1, 2, 3, 1, 1, 1, 1], "one rank to several documents .* in 1 places"),
            ([2, 1, 3, 1, 2, 1, 1], r"run\['rank'\] contradicts run\['score'\] in 1 queries"),
            ([1, 2, np.nan, 1, 2, 1, 1], "'rank' holds 1 NaN"),
        ],
    )
    def test_refuses_ranks_that_settle_nothing(self, judged, run, rank, match):
        with pytest.raises(ValueError, match=match):
            metrics.evaluate_ranking(judged, run.assign(rank=rank), "mrr", ties="rank", empty=0)

    def test_scores_that_differ_in_the_last_bit_do_not_tie(self):
        # Many judged documents take many bits of the score for their number.
        n = 3000
        scores = np.full(n, 1.0)
        for i in range(1, n):
            scores[i] = np.nextafter(scores[i - 1], 2.0) if i % 3 else scores[i - 1]
        order = np.random.default_rng(0).permutation(n)
        frame = pd.DataFrame({"query_id": 1, "doc_id": np.arange(n), "score": scores})
        frame["relevance"] = (frame["doc_id"] % 7 == 0).astype(int)
        names = ["ndcg", "map", "mrr", "recall@9", "judged@4"]
        for part in (frame, frame.iloc[order], frame.iloc[order[:2000]]):
            coarse = part.assign(score=np.unique(part["score"], return_inverse=True)[1])
            fine = metrics.evaluate_ranking(frame, part, names)
            plain = metrics.evaluate_ranking(frame, coarse, names)
            pd.testing.assert_frame_equal(fine.per_query, plain.per_query, rtol=0, atol=0)
            assert fine.diagnostics == plain.diagnostics

    def test_queries_may_be_scattered_and_of_any_length(self):
        rng = np.random.default_rng(4)
        lengths = rng.integers(0, 60, 80) ** 2 // 20 + 1
        frame = pd.DataFrame({"query_id": np.repeat(np.arange(80), lengths)})
        frame["doc_id"] = [f"d{i}" for i in positions_in_runs(lengths)]
        frame["score"] = rng.integers(0, 40, len(frame))
        frame["relevance"] = rng.integers(-1, 3, len(frame))
        judged = frame.groupby("query_id").sample(frac=0.4, random_state=1)
        names = ["ndcg@5", "map", "mrr", "judged@10", "err", "rbp"]
        whole = metrics.evaluate_ranking(judged, frame, names, empty=0)
        for shuffled in (frame.sample(frac=1, random_state=2), frame.sort_values("doc_id")):
            got = metrics.evaluate_ranking(judged, shuffled, names, empty=0)
            pd.testing.assert_frame_equal(got.per_query, whole.per_query, rtol=0, atol=1e-15)
            assert got.diagnostics.to_dict() == pytest.approx(
                whole.diagnostics.to_dict(), abs=1e-15
            )
        alone = [
            metrics.evaluate_ranking(
                judged[judged["query_id"] == query],
                frame[frame["query_id"] == query],
                names,
                empty=0,
                max_rel=2,
            ).per_query
            for query in whole.per_query.index[:25]
        ]
        expected = whole.per_query.iloc[:25]
        pd.testing.assert_frame_equal(pd.concat(alone), expected, rtol=0, atol=1e-15)

    def test_gain_may_fall_with_relevance(self):
        qrels = metrics.Qrels(
            pd.DataFrame({"query_id": "q", "doc_id": ["a", "b", "c"], "relevance": [2, 1, -1]})
        )
        run = pd.DataFrame({"query_id": "q", "doc_id": ["b", "a", "c"], "score": [3, 2, 1]})
        got = metrics.evaluate_ranking(qrels, run, "ndcg", gain={2: 1.0, 1: 5.0})
        assert got.mean()["ndcg"] == 1.0

    def test_an_exponential_gain_that_overflows_is_refused(self):
        frame = pd.DataFrame({"query_id": 1, "doc_id": [1, 2], "relevance": [2000, 1]})
        run = pd.DataFrame({"query_id": 1, "doc_id": [1, 2], "score": [0.1, 0.2]})
        with pytest.raises(ValueError, match=r"'exp2' must be finite: .* the relevance 2000\.0"):
            metrics.evaluate_ranking(frame, run, "ndcg", gain="exp2")
        with pytest.raises(ValueError, match=r"'exp2' must be finite"):
            metrics.ndcg([2000, 1], [0.1, 0.2], gain="exp2")

    def test_scores_may_be_infinite(self):
        qrels = metrics.Qrels(pd.DataFrame({"query_id": 1, "doc_id": [1, 2], "relevance": [1, 0]}))
        for scores, expected in (([-np.inf, np.inf], 0.5), ([np.inf, 1e300], 1.0)):
            run = pd.DataFrame({"query_id": 1, "doc_id": [1, 2], "score": scores})
            assert metrics.evaluate_ranking(qrels, run, "mrr").mean()["mrr"] == expected
        # Both are infinite in single precision, and document 2 comes first as text.
        assert metrics.evaluate_ranking(qrels, run, "mrr", ties="docid").mean()["mrr"] == 0.5

    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ({"metrics": "ndgc"}, ValueError, r"unknown metric 'ndgc'; known are ndcg\[@k\], map"),
            ({"metrics": "ndcg@ten"}, ValueError, "unknown metric 'ndcg@ten'"),
            ({"metrics": "ndcg@0"}, ValueError, "cut-off of 'ndcg@0' must be at least 1"),
            ({"metrics": "precision"}, ValueError, "needs a cut-off, such as 'precision@10'"),
            ({"metrics": "r_precision@3"}, ValueError, "'r_precision' takes no cut-off"),
            ({"metrics": []}, ValueError, "metrics is empty"),
            ({"metrics": ["mrr", "mrr"]}, ValueError, r"\['mrr'\] more than once"),
            ({"metrics": [3]}, TypeError, r"metrics must be names; got 3 \(int\)"),
            ({"gain": "log"}, ValueError, "gain must be 'linear', 'exp2' or a mapping; got 'log'"),
            ({"gain": 2}, ValueError, "gain must be 'linear', 'exp2' or a mapping; got 2"),
            ({"gain": {0: 0, 1: 1}}, ValueError, r"no entry for the relevance \[2.0, 3.0\]"),
            ({"gain": {0: 0, 1: -1, 2: 1, 3: 1}}, ValueError, "finite numbers of at least 0"),
            ({"ties": "random"}, ValueError, "ties must be one of .*; got 'random'"),
            ({"empty": 2}, ValueError, "empty must be one of .*; got 2"),
            ({"min_relevance": 0}, ValueError, "min_relevance must be above 0; got 0"),
            ({"normalize": "k"}, ValueError, r"normalize must be one of 'R', 'min\(R,k\)'"),
            ({"max_rel": 2}, ValueError, "qrels holds the relevance 3, above max_rel 2"),
            ({"max_rel": np.nan}, ValueError, "max_rel must be above 0 and finite; got nan"),
            ({"p": 1.0}, ValueError, "p must lie strictly between 0 and 1"),
            ({"ties": "rank"}, ValueError, r"run lacks the columns \['rank'\]"),
            ({"score": "logit"}, ValueError, r"run lacks the columns \['logit'\]"),
        ],
    )
    def test_refuses_options(self, judged, run, options, error, match):
        with pytest.raises(error, match=match):
            metrics.evaluate_ranking(metrics.Qrels(judged), run, **{"metrics": "ndcg", **options})

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            (lambda f: f.assign(score=np.nan), "'score' holds 7 NaN"),
            (lambda f: pd.concat([f, f[:2]]), r"run holds 2 duplicate .*\('q1', "),
            (lambda f: f.assign(query_id="Q" + f["query_id"]), "none of the 4 queries of the run"),
            (lambda f: f.replace("x", None), "'doc_id' has 2 missing"),
        ],
    )
    def test_refuses_runs(self, judged, run, change, match):
        with pytest.raises(ValueError, match=match):
            metrics.evaluate_ranking(metrics.Qrels(judged), change(run), "ndcg")

    def test_needs_judgements(self, judged, run):
        with pytest.raises(
            TypeError, match="qrels must be a table of pandas, polars or pyarrow; got dict"
        ):
            metrics.evaluate_ranking(judged.to_dict(), run, "ndcg")
        with pytest.raises(ValueError, match=r"qrels lacks the columns \['relevance'\]"):
            metrics.evaluate_ranking(judged.drop(columns="relevance"), run, "ndcg")

    def test_a_frame_of_judgements_is_made_into_qrels(self, judged, run):
        names = ["ndcg@3", "map"]
        direct = metrics.evaluate_ranking(judged, run, names, empty=0)
        made = metrics.evaluate_ranking(metrics.Qrels(judged), run, names, empty=0)
        pd.testing.assert_frame_equal(direct.per_query, made.per_query)
        assert direct.diagnostics == made.diagnostics


def test_unique_pairs_need_the_same_query():
    frame = pd.DataFrame({"query_id": [1, 2], "doc_id": [5, 5], "relevance": [1, 1]})
    assert len(metrics.Qrels(frame)) == 2
