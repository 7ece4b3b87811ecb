"""Means, intervals and comparisons of ranking results."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mlsd import metrics
from mlsd._results import plain


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
        table, note = repr(result).rsplit("\n", 1)
        assert table == result.confidence_interval().to_string(float_format="{:.4f}".format)
        seen = result.diagnostics
        assert note.startswith(
            f"4 queries, {seen.missing_queries} absent from the run (counted 0), "
            f"{seen.empty_queries} without a relevant document; {len(run)} rows, "
            f"{seen.unjudged_query_rows} dropped with {seen.unjudged_queries} unjudged queries"
        )
        assert result._repr_html_().endswith(f"<p>{note}</p>")
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


def test_means_by_name_and_the_variant_are_kept():
    qrels = metrics.Qrels(pd.DataFrame({"query_id": ["q"], "doc_id": ["a"], "relevance": [1]}))
    run = pd.DataFrame({"query_id": ["q", "q"], "doc_id": ["b", "a"], "score": [2.0, 1.0]})
    result = metrics.evaluate_ranking(qrels, run, "mrr", gain="exp2")
    assert result["mrr"] == 0.5
    assert result.options["gain"] == "exp2"
    with pytest.raises(KeyError, match="'ndcg' is no metric here"):
        result["ndcg"]
    with pytest.raises(
        ValueError, match="evaluated with gain='exp2', and this state holds gain='li"
    ):
        metrics.RankingAccumulator("mrr", gain="linear").update(result)
    with pytest.raises(TypeError, match=r"options \['tyes'\] are not of evaluate_ranking"):
        metrics.RankingAccumulator("mrr", tyes="docid")


def test_odd_frames_get_a_clear_word():
    qrels = pd.DataFrame({"query_id": ["q"], "doc_id": ["a"], "relevance": [1]})
    empty = metrics.evaluate_ranking(
        qrels, pd.DataFrame({"query_id": [], "doc_id": [], "score": []}), "mrr"
    )
    assert empty["mrr"] == 0.0
    assert "nothing of the top 10 judged" in repr(empty)
    with pytest.raises(ValueError, match="for other names make Qrels"):
        metrics.evaluate_ranking(qrels.rename(columns={"query_id": "qid"}), qrels, "mrr")
    huge = pd.DataFrame({"query_id": [2**70], "doc_id": ["a"], "relevance": [1]})
    with pytest.raises(ValueError, match=r"query_id.*holds 1180591620717411303424.*64 signed bits"):
        metrics.Qrels(huge)
