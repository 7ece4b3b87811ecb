"""Judgements, evaluation, diagnostics, intervals and comparisons, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlsd import metrics
from mlsd._results import plain
from mlsd.metrics import _ids, _qrels


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


def big_case(n=200, seed=0):
    rng = np.random.default_rng(seed)
    query = np.repeat(np.arange(n), 10)
    frame = pd.DataFrame({"query_id": query, "doc_id": np.tile(np.arange(10), n)})
    qrels = metrics.Qrels(frame.assign(relevance=(frame["doc_id"] < 3).astype(int)))
    runs = [frame.assign(score=(frame["doc_id"] < 3) * s + rng.normal(size=10 * n)) for s in (1, 2)]
    names = ["ndcg@5", "mrr", "precision@3"]
    return [metrics.evaluate_ranking(qrels, run, names) for run in runs]


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
            (lambda f: f.to_dict(), TypeError, "qrels must be a pandas DataFrame; got dict"),
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


class TestIdentifiers:
    def test_integers_in_an_object_column_are_integers(self, judged, run):
        ids = {"a": -1, "b": -2, "c": 3, "x": 4, "z": 5}
        judged, run = judged.replace({"doc_id": ids}), run.replace({"doc_id": ids})
        qrels = metrics.Qrels(judged.astype({"doc_id": object}))
        got = metrics.evaluate_ranking(qrels, run.astype({"doc_id": "int32"}), "recall", empty=0)
        assert got.mean()["recall"] == 0.5

    def test_awkward_strings_are_told_apart(self):
        docs = [
            "",
            "\n",
            "a\nb",
            "a",
            "b",
            "ä",
            "日本",
            "\ud800",
            "a" * 8,
            "a" * 9,
            "a\0",
            "x" * 50,
        ]
        frame = pd.DataFrame({"query_id": "q", "doc_id": pd.Series(docs, dtype=object)})
        qrels = metrics.Qrels(frame.assign(relevance=range(len(docs))))
        run = frame.iloc[::-1].assign(score=range(len(docs), 0, -1))
        assert metrics.evaluate_ranking(qrels, run, "ndcg").mean()["ndcg"] == 1.0
        plain = run[~run["doc_id"].isin(["\n", "a\nb", "\ud800"])]  # hashed without the detour
        assert metrics.evaluate_ranking(qrels, plain, "recall").mean()["recall"] == 8 / 11

    @pytest.mark.parametrize("modulus", [1, 3])
    def test_results_do_not_hang_on_the_hash(self, monkeypatch, judged, run, modulus):
        expected = metrics.evaluate_ranking(metrics.Qrels(judged), run, "ndcg", empty=0).per_query

        def poor_hash(values):
            return np.array([len(str(value)) % modulus for value in values], dtype=np.int64)

        monkeypatch.setattr(_ids, "_hash_strings", poor_hash)
        got = metrics.evaluate_ranking(metrics.Qrels(judged), run, "ndcg", empty=0).per_query
        pd.testing.assert_frame_equal(got, expected)
        with pytest.raises(ValueError, match=r"1 duplicate .*\('q2', 'x'\)"):
            metrics.evaluate_ranking(metrics.Qrels(judged), pd.concat([run, run[3:4]]), "ndcg")

    def test_strings_never_match_integers(self, judged, run):
        qrels = metrics.Qrels(judged)
        with pytest.raises(TypeError, match="holds strings and run column 'doc_id' holds integers"):
            metrics.evaluate_ranking(qrels, run.assign(doc_id=range(7)), "mrr")


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
        with pytest.raises(TypeError, match="qrels must be Qrels or a DataFrame; got dict"):
            metrics.evaluate_ranking(judged.to_dict(), run, "ndcg")
        with pytest.raises(ValueError, match=r"qrels lacks the columns \['relevance'\]"):
            metrics.evaluate_ranking(judged.drop(columns="relevance"), run, "ndcg")

    def test_a_frame_of_judgements_is_made_into_qrels(self, judged, run):
        names = ["ndcg@3", "map"]
        direct = metrics.evaluate_ranking(judged, run, names, empty=0)
        made = metrics.evaluate_ranking(metrics.Qrels(judged), run, names, empty=0)
        pd.testing.assert_frame_equal(direct.per_query, made.per_query)
        assert direct.diagnostics == made.diagnostics


class TestResult:
    def test_normal_interval_is_students(self):
        result = big_case()[0]
        got = result.confidence_interval(0.9)
        for label, row in got.iterrows():
            values = result.per_query[label]
            expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
            assert row[["lower", "upper"]].tolist() == pytest.approx(list(expected), abs=1e-13)
            assert row["stderr"] == pytest.approx(stats.sem(values), rel=1e-12)
            assert (row["mean"], row["n"]) == (pytest.approx(values.mean()), 200)

    def test_bootstrap_interval(self):
        result = big_case()[0]
        normal = result.confidence_interval()
        boot = result.confidence_interval(method="bootstrap", random_state=1)
        columns = ["mean", "lower", "upper", "stderr"]
        np.testing.assert_allclose(boot[columns], normal[columns], atol=0.005)
        again = result.confidence_interval(method="bootstrap", random_state=1)
        pd.testing.assert_frame_equal(boot, again)
        with pytest.raises(ValueError, match="method must be one of"):
            result.confidence_interval(method="wald")

    def test_compare_is_the_paired_t_test(self):
        first, second = big_case()
        got = second.compare(first)
        for _, row in got.iterrows():
            label = row["metric"]
            expected = stats.ttest_rel(second.per_query[label], first.per_query[label])
            assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
            interval = expected.confidence_interval()
            assert [row["lower"], row["upper"]] == pytest.approx(list(interval), rel=1e-9)
            assert row["difference"] == pytest.approx(row["mean"] - row["other"])
            assert (row["n"], row["unpaired"]) == (200, 0)
        assert (got["p_adjusted"] >= got["p_value"]).all()
        raw = second.compare(first, correction=None)
        assert raw["p_adjusted"].tolist() == raw["p_value"].tolist()

    def test_compare_by_randomization(self):
        first, second = big_case(n=40)
        t = second.compare(first, correction=None)
        got = second.compare(first, "randomization", None, random_state=3, n_resamples=4000)
        np.testing.assert_allclose(got["p_value"], t["p_value"], atol=0.01)
        same = first.compare(first, "randomization", random_state=0)
        assert same["p_value"].tolist() == [1.0, 1.0, 1.0]

    def test_compare_counts_what_is_not_paired(self, judged, run):
        first = metrics.evaluate_ranking(metrics.Qrels(judged[judged.query_id != "q3"]), run, "mrr")
        second = metrics.evaluate_ranking(
            metrics.Qrels(judged[judged.query_id == "q1"]), run, "mrr"
        )
        row = first.compare(second).iloc[0]
        assert (row["n"], row["unpaired"], row["difference"]) == (1, 2, 0.0)
        assert np.isnan(row["p_value"])

    def test_compare_refuses(self, judged, run):
        qrels = metrics.Qrels(judged)
        result = metrics.evaluate_ranking(qrels, run, "mrr", empty=0)
        other = metrics.evaluate_ranking(qrels, run, "map", empty=0)
        elsewhere = metrics.evaluate_ranking(
            metrics.Qrels(pd.DataFrame({"query_id": ["q9"], "doc_id": "a", "relevance": 1})),
            run,
            "mrr",
        )
        with pytest.raises(TypeError, match="other must be a RankingResult; got dict"):
            result.compare({})
        with pytest.raises(ValueError, match=r"other lacks the metrics \['mrr'\]"):
            result.compare(other)
        with pytest.raises(ValueError, match="share no query"):
            result.compare(elsewhere)
        with pytest.raises(ValueError, match="test must be one of"):
            result.compare(result, "wilcoxon")

    def test_prints_and_converts(self, judged, run):
        result = metrics.evaluate_ranking(metrics.Qrels(judged), run, ["mrr", "map"], empty=0)
        assert repr(result) == "RankingResult(4 queries: mrr=0.4375, map=0.3958)"
        assert "<th>mrr</th>" in result._repr_html_()
        assert list(result.to_frame().columns) == ["mean", "lower", "upper", "stderr", "n"]
        assert result.to_dict()["per_query"]["mrr"]["q1"] == 1.0
        told = json.loads(json.dumps(result.to_dict()))
        assert told["per_query"]["mrr"]["q1"] == 1.0
        assert told["diagnostics"]["n_run_rows"] == len(run)
        with pytest.raises(AttributeError):
            result.per_query = None


def test_results_become_plain_python_values():
    values = {"a": (np.float64(0.5), np.arange(2)), "b": pd.Series([1], index=["x"])}
    assert plain(values) == {"a": [0.5, [0, 1]], "b": {"x": 1}}
    assert type(plain(np.float64(0.5))) is float
    odd = {np.int64(7): pd.DataFrame({"a": [np.array([1])]}), "na": pd.NA}
    assert json.dumps(plain(odd)) == '{"7": {"a": {"0": [1]}}, "na": null}'


def test_unique_pairs_need_the_same_query():
    frame = pd.DataFrame({"query_id": [1, 2], "doc_id": [5, 5], "relevance": [1, 1]})
    assert len(_qrels.Qrels(frame)) == 2
