"""TREC and LETOR files: read as the peers read them, round trips, and errors that name the line."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from mlsd import metrics
from mlsd.metrics._letor import read_letor
from mlsd.metrics._readers import read_qrels, read_run, write_qrels, write_run

QRELS = "q1 0 a 2\nq1 0 b -1\nq2 0 a 1\n"
RUN = "q1 Q0 a 1 0.5 bm25\nq1 Q0 b 2 0.25 bm25\nq2\tQ0\ta\t1\t-1e-3\tbm25\n"
LETOR = (
    "2 qid:10 1:0.031310 2:0.666667 4:1e-3 #docid = GX029-35-5894638 inc = 0.02 prob = 0.14\n"
    "0 qid:10 1:0.078682 3:-1 # docid=GX030\n"
    "\n"
    "# a comment alone\n"
    "1 qid:18 2:.5\n"
)


def random_run(seed, n=500):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "query_id": [f"q{i}" for i in np.sort(rng.integers(0, 20, n))],
            "doc_id": [f"é{i}" for i in rng.permutation(n)],
            "score": rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
        }
    )
    return frame, frame.drop(columns="score").assign(relevance=rng.integers(-2, 4, n))


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_round_trip_and_pytrec_eval_reads_the_same(tmp_path, suffix):
    frame, judged = random_run(0)
    run_path, qrels_path = tmp_path / f"run{suffix}", tmp_path / f"qrels{suffix}"
    write_run(frame, run_path, tag="ours")
    write_qrels(judged, str(qrels_path))
    run, qrels = read_run(str(run_path)), read_qrels(qrels_path)
    pd.testing.assert_frame_equal(run[list(frame)], frame)
    assert (run["tag"] == "ours").all()
    best = frame.sort_values("score", ascending=False).groupby("query_id")["doc_id"].first()
    assert run[run["rank"] == 1].set_index("query_id")["doc_id"].to_dict() == best.to_dict()
    keys = ["query_id", "doc_id"]
    pd.testing.assert_frame_equal(
        qrels.to_frame().sort_values(keys, ignore_index=True),
        judged.sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    opened = gzip.open if suffix else open
    with opened(run_path, "rt", encoding="utf-8") as lines:
        theirs = pytrec_eval.parse_run(lines)
    with opened(qrels_path, "rt", encoding="utf-8") as lines:
        their_qrels = pytrec_eval.parse_qrel(lines)
    for row in run.itertuples():
        assert theirs[row.query_id][row.doc_id] == row.score
    assert sum(map(len, theirs.values())) == len(run)
    for row in qrels.to_frame().itertuples():
        assert their_qrels[row.query_id][row.doc_id] == row.relevance


def test_a_text_file_object_and_what_lines_may_look_like():
    run = read_run(
        io.StringIO("\ufeff  q1  Q0 \t a 1 0.5 x\r\n\nq\"1' Q0 NA 0 inf None \nnull Q0 # 9 1 x")
    )
    assert run["query_id"].tolist() == ["q1", "q\"1'", "null"]
    assert run["doc_id"].tolist() == ["a", "NA", "#"]
    assert run["tag"].tolist() == ["x", "None", "x"]
    assert run["score"].tolist() == [0.5, np.inf, 1.0]
    assert run["rank"].tolist() == [1, 0, 9]
    assert run.dtypes[["score", "rank"]].tolist() == [np.float64, np.int64]
    qrels = read_qrels(io.StringIO("01 0 1e3 0.5\n1 x 1e3 2"))
    assert list(qrels.queries) == ["01", "1"]
    assert qrels.to_frame()["relevance"].tolist() == [0.5, 2.0]
    with (
        Path(__file__).open(encoding="utf-8") as handle,
        pytest.raises(ValueError, match="test_readers"),
    ):
        read_run(handle)


def test_what_is_read_can_be_evaluated():
    result = metrics.evaluate_ranking(
        read_qrels(io.StringIO(QRELS)), read_run(io.StringIO(RUN)), ["mrr", "ndcg@2"]
    )
    assert result.per_query.loc["q1"].tolist() == [1.0, 1.0]


@given(st.floats(allow_nan=False))
def test_scores_survive_to_the_last_digit(score):
    buffer = io.StringIO()
    frame = pd.DataFrame({"query_id": ["q"], "doc_id": ["d"], "score": [score]})
    write_run(frame, buffer)
    assert read_run(io.StringIO(buffer.getvalue()))["score"].item() == score


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "line 1: the file has no line"),
        ("\n \n", "line 1: the file has no line"),
        ("q1 Q0 a 1 0.5", r"line 1: has 5 columns, not the 6 of query_id q0 doc_id rank score tag"),
        (RUN + "q3 Q0 a 1 0.5 x y\n", r"line 4: has 7 columns, .*: 'q3 Q0 a 1 0.5 x y'"),
        (RUN + "\n\nq3 Q0 a 1 0.5\n", "line 6: has 5 columns"),
        (RUN + "q3 Q0 a 1 0.5 x y z w\n", "line 4: has 9 columns"),
        ("q3 Q0 a 1 0.5 x y\n" + RUN, "line 1: has 7 columns"),
        (RUN + "q3 Q0 a 1 high x\n", "line 4: score 'high' is not a number"),
        (RUN + "q3 Q0 a 1 1_0 x\n", "line 4: score '1_0' is not a number"),
        (RUN + "q3 Q0 a 1 NaN x\n", "line 4: score 'NaN' is not a number"),
        (RUN + "q3 Q0 a 1.5 1 x\n", "line 4: rank '1.5' is not a whole number"),
        (RUN + "q3 Q0 a - 1 x\n", "line 4: rank '-' is not a whole number"),
        (RUN + RUN[:19], "line 4: query 'q1' and document 'a' are on line 1 already"),
    ],
)
def test_errors_of_a_run_name_the_line(tmp_path, text, match):
    with pytest.raises(ValueError, match="^the text, " + match):
        read_run(io.StringIO(text))
    path = tmp_path / "a run.gz"
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(ValueError, match="a run.gz, " + match):
        read_run(path)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("q1 0 a\n", "line 1: has 3 columns, not the 4 of query_id iteration doc_id relevance"),
        (QRELS + "q3 0 a inf\n", "line 4: relevance 'inf' is not finite"),
        (QRELS + "q3 0 a 1e999\n", "line 4: relevance '1e999' is not finite"),
        (QRELS + "q3 0 a nan\n", "line 4: relevance 'nan' is not a number"),
        (QRELS + "q2 1 a 0\n", "line 4: query 'q2' and document 'a' are on line 3 already"),
    ],
)
def test_errors_of_judgements_name_the_line(text, match):
    with pytest.raises(ValueError, match=match):
        read_qrels(io.StringIO(text))


def test_refuses_what_is_no_text(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes("q1 0 \xe9 1\n".encode("latin-1"))
    for read in (read_qrels, read_letor):
        with pytest.raises(ValueError, match="latin is not UTF-8"):
            read(path)
    with pytest.raises(TypeError, match="open as text; reading it gave bytes"):
        read_qrels(io.BytesIO(b"q1 0 a 1"))
    with pytest.raises(TypeError, match="path or a text file object; got int"):
        read_run(3)
    with pytest.raises(FileNotFoundError):
        read_run(tmp_path / "nowhere")


def test_writing_keeps_ranks_and_refuses_what_would_not_come_back():
    frame = pd.DataFrame(
        {"query_id": [7, 7], "doc_id": [1, 2], "score": [1, 1], "rank": [2.0, 1.0]}
    )
    buffer = io.StringIO()
    write_run(frame, buffer)
    assert buffer.getvalue() == "7 Q0 1 2 1.0 mlsd\n7 Q0 2 1 1.0 mlsd\n"
    for change, match in (
        ({"doc_id": ["a b", "c"]}, "column 'doc_id' holds 'a b'"),
        ({"query_id": ""}, "column 'query_id' holds ''"),
        ({"tag": "x\ty"}, "column 'tag' holds"),
        ({"rank": 1.5}, "'rank' holds numbers that are not whole"),
        ({"score": np.nan}, "'score' holds 2 NaN"),
    ):
        with pytest.raises(ValueError, match=match):
            write_run(frame.assign(**change), io.StringIO())
    half = pd.DataFrame({"query_id": ["q"], "doc_id": ["d"], "relevance": [0.5]})
    write_qrels(metrics.Qrels(half), buffer := io.StringIO())
    assert buffer.getvalue() == "q 0 d 0.5\n"


def test_letor():
    got = read_letor(io.StringIO(LETOR))
    assert got.relevance.tolist() == [2, 0, 1]
    assert got.query_id.tolist() == [10, 10, 18]
    assert got.doc_id.tolist() == ["GX029-35-5894638", "GX030", None]
    expected = [[0.03131, 0.666667, 0, 1e-3], [0.078682, 0, -1, 0], [0, 0.5, 0, 0]]
    assert got.features.tolist() == expected
    assert repr(got) == "Letor(3 documents, 2 queries, 4 features)"
    frame = got.to_frame()
    assert list(frame) == ["query_id", "doc_id", "relevance", 1, 2, 3, 4]
    assert frame[4].tolist() == [1e-3, 0, 0]
    assert read_letor(io.StringIO("1 qid:1\n")).features.shape == (1, 0)
    assert list(read_letor(io.StringIO("1 qid:1 1:2\n")).to_frame()) == ["query_id", "relevance", 1]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_letor_agrees_with_scikit_learn(tmp_path, suffix):
    rng = np.random.default_rng(3)
    features = np.where(rng.random((200, 30)) < 0.3, 0.0, rng.normal(size=(200, 30)))
    relevance, query = rng.integers(0, 5, 200), np.sort(rng.integers(0, 9, 200))
    path = tmp_path / f"train.txt{suffix}"
    with (gzip.open if suffix else open)(path, "wb") as handle:
        dump_svmlight_file(features, relevance, handle, zero_based=False, query_id=query)
    theirs, their_relevance, their_query = load_svmlight_file(
        str(path), query_id=True, zero_based=False
    )
    got = read_letor(path)
    np.testing.assert_array_equal(got.features, theirs.toarray())
    np.testing.assert_array_equal(got.relevance, their_relevance)
    np.testing.assert_array_equal(got.query_id, their_query)
    assert got.doc_id is None


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "the text has no document"),
        ("# only this\n", "the text has no document"),
        ("1 1:0.5\n", "line 1: is not of the form 'relevance qid:query 1:value"),
        (LETOR + "1 qid:3 4\n", "line 6: is not of the form .*: '1 qid:3 4'"),
        (LETOR + "1 qid:3 1:2:3 4\n", "line 6: is not of the form"),
        (LETOR + "1 qid:x 1:2\n", "line 6: is not of the form"),
        (LETOR + "1 qid:3 1:nan\n", "line 6: 'nan' is not a finite number"),
        (LETOR + "1 qid:3 1:1.5.2\n", "line 6: '1.5.2' is not a finite number"),
        (LETOR + "good qid:3 1:2\n", "line 6: 'good' is not a finite number"),
        (LETOR + "1 qid:3 1:1e999\n", "line 6: a number overflows"),
        (LETOR + "1e999 qid:3 1:1\n", "line 6: a number overflows"),
        (LETOR + "1 qid:3 0:1\n", "line 6: the numbers of the features must rise from 1 on"),
        (LETOR + "1 qid:3 2:1 2:1\n", "line 6: the numbers of the features must rise"),
        (LETOR + "1 qid:3 " + "2:1 " * 50, r"line 6: .*\.\.\.'"),
    ],
)
def test_errors_of_letor_name_the_line(text, match):
    with pytest.raises(ValueError, match=match):
        read_letor(io.StringIO(text))
