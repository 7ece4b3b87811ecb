"""Identifiers of every kind and from every library, told apart by what they are."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd import metrics
from mlsd.metrics import _match, _strings
from mlsd.metrics._ids import as_ids, match_distinct
from mlsd.metrics._strings import Strings

AWKWARD = ["", "\n", "a\nb", "a", "b", "ä", "日本", "a" * 7, "a" * 8, "a" * 9, "a\0", "x" * 50]
LONE = "\ud800"


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


def sources(strings):
    """The same strings as columns of every kind that is read in its own way."""
    large = pa.array(strings, pa.large_string())
    padded = pa.array(["before", *strings, "after"], pa.string())
    yield "objects", pd.Series(strings, dtype=object)
    yield "python", pd.Series(strings, dtype=pd.StringDtype("python"))
    yield "pyarrow", pd.Series(strings, dtype=pd.StringDtype("pyarrow"))
    yield "str", pd.Series(strings, dtype="str")
    yield "category", pd.Series(strings, dtype="str").astype("category")
    arrow = {
        "string": pa.array(strings, pa.string()),
        "large": large,
        "sliced": padded[1:-1],
        "chunked": pa.chunked_array([large[:1], large[1:1], large[1:]]),
        "dictionary": pa.array(strings, pa.string()).dictionary_encode(),
        "view": pa.array(strings, pa.string_view()),
        "no chunk": pa.chunked_array([], pa.string()) if not strings else large,
    }
    for name, array in arrow.items():
        yield name, pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)))


@pytest.mark.parametrize("strings", [AWKWARD, ["long enough to need no mask"] * 3, ["b"], []])
def test_every_source_gives_the_same_keys_and_strings(strings):
    expected = as_ids(pd.Series(strings, dtype=object), "x")
    keys = expected.keys()
    for name, column in sources(strings):
        ids = as_ids(column, "x")
        assert ids.kind == "string", name
        assert ids.keys().tolist() == keys.tolist(), name
        assert ids.decode().tolist() == strings, name
        assert ids.settled().decode().tolist() == strings, name
        rows = np.arange(len(strings))
        assert ids.equal(rows, expected, rows).all(), name
        assert not ids.equal(rows, expected, np.roll(rows, 1))[: len(set(strings)) - 1].any(), name
        new = [i == 0 or s != strings[i - 1] for i, s in enumerate(strings)]
        assert ids.starts_new().tolist() == new, name
        assert ids.settled().starts_new().tolist() == new, name
    assert len(set(keys.tolist())) == len(set(strings))


@given(st.lists(st.one_of(st.text(max_size=40), st.text("ab\0", max_size=9)), max_size=30))
def test_hash_and_equality_are_those_of_the_strings(strings):
    objects = np.empty(len(strings), dtype=object)
    objects[:] = strings
    mine = Strings.from_objects(objects)
    pairs = [(i, j) for i in range(len(strings)) for j in range(len(strings))]
    first, second = (np.array([p[side] for p in pairs], dtype=np.int64) for side in (0, 1))
    same = [strings[i] == strings[j] for i, j in pairs]
    assert mine.equal(first, mine, second).tolist() == same
    keys = mine.keys()
    assert (keys[first] == keys[second]).tolist() == same
    assert mine.decode().tolist() == strings
    ranks = mine.ranks()
    assert (ranks[first] < ranks[second]).tolist() == [strings[i] < strings[j] for i, j in pairs]
    assert (ranks[first] == ranks[second]).tolist() == same
    if not any("\ud800" <= c <= "\udfff" for s in strings for c in s):
        theirs = Strings.from_arrow(pa.array(strings, pa.large_string()))
        assert theirs.keys().tolist() == keys.tolist()
        assert theirs.equal(first, mine, second).tolist() == same


def test_short_strings_at_the_end_of_the_buffer_are_not_read_beyond_it():
    for n in range(20):
        strings = ["x" * n, "y"]
        arrow = Strings.from_arrow(pa.array(strings, pa.large_string()))
        python = Strings.from_objects(np.array(strings, dtype=object))
        assert arrow.keys().tolist() == python.keys().tolist()
        assert arrow.ranks().tolist() == python.ranks().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("column", "error", "match"),
    [
        (pd.Series(["a", None], dtype=object), ValueError, "x has 1 missing .* among 2 rows"),
        (pd.Series(["a", pd.NA], dtype="string"), ValueError, "x has 1 missing"),
        (pd.Series([None, np.nan], dtype=object), ValueError, "x has 2 missing"),
        (pd.Series(["a", None], dtype="category"), ValueError, "x has 1 missing"),
        (pd.Series([1, None], dtype="Int64"), ValueError, "x has 1 missing"),
        (pd.Series([1, None], dtype="int64[pyarrow]"), ValueError, "x has 1 missing"),
        (
            pd.Series(pd.array(pa.array(["a", None]).dictionary_encode(), dtype=None)),
            ValueError,
            "x has 1 missing",
        ),
        (pd.Series([b"a", b"b"], dtype=object), TypeError, r"such as b'a' \(bytes\)"),
        (pd.Series(["a", 1], dtype=object), TypeError, r"such as 1 \(int\): use astype\(str\)"),
        (pd.Series([1, "a"], dtype=object), TypeError, "such as 1 "),
        (pd.Series([1.5]), TypeError, "strings or integers; got float64"),
        (pd.Series([True]), TypeError, "got booleans"),
        (pd.Series([2**63], dtype="uint64"), ValueError, "does not fit 64 signed bits"),
    ],
)
def test_refuses(column, error, match):
    with pytest.raises(error, match=match):
        as_ids(column, "x").keys()


def test_integers_of_every_type_have_the_same_keys():
    values = [3, 0, -5, 3]
    expected = as_ids(pd.Series(values), "x").keys()
    assert len(set(expected.tolist())) == 3
    for dtype in ("int8", "Int16", "int32[pyarrow]", "int64", object, "category"):
        ids = as_ids(pd.Series(values, dtype=dtype), "x")
        assert (ids.kind, ids.keys().tolist()) == ("integer", expected.tolist())
        assert ids.decode().tolist() == values
    arrow = pa.array(values).dictionary_encode()
    ids = as_ids(pd.Series(pd.array(arrow, dtype=pd.ArrowDtype(arrow.type))), "x")
    assert ids.keys().tolist() == expected.tolist()


def test_factorize_and_match():
    column = as_ids(pd.Series(["b", "b", "a", "b", "c", "c"], dtype=object), "x")
    codes, lengths, distinct = column.factorize()
    assert (codes.tolist(), lengths.tolist()) == ([0, 1, 0, 2], [2, 1, 1, 2])
    assert distinct.decode().tolist() == ["b", "a", "c"]
    among = as_ids(pd.Series(["c", "z", "b"], dtype="str"), "y")
    assert match_distinct(distinct, among, among.keys()).tolist() == [2, -1, 0]


def poor(hash_of):
    """Give every string a key out of a few; whatever reads it has to compare the strings."""

    def keys(words, starts, ends):
        return hash_of(ends - starts).astype(np.uint64) << np.uint64(60)

    return keys


@pytest.mark.parametrize("hash_of", [lambda n: n % 1, lambda n: n % 3], ids=["1 key", "3 keys"])
@pytest.mark.parametrize("narrow", [0, 2048])
def test_results_do_not_hang_on_the_hash(monkeypatch, judged, run, hash_of, narrow):
    rng = np.random.default_rng(1)
    many = pd.DataFrame({"query_id": np.repeat(["q", "qq", "r"], 30), "relevance": 1})
    many["doc_id"] = ["x" * (i % 30 // 3) + "abc"[i % 3] for i in range(90)]
    shown = many.sample(60, random_state=2).assign(score=rng.normal(size=60))
    cases = [
        (judged, run, ["ndcg", "recall"]),
        (many.sample(50, random_state=1), shown, ["ndcg", "map", "judged@5"]),
    ]
    expected = [metrics.evaluate_ranking(*case, empty=0) for case in cases]
    monkeypatch.setattr(_strings, "_hash", poor(hash_of))
    monkeypatch.setattr(_match, "_NARROW", narrow)
    for case, before in zip(cases, expected, strict=True):
        got = metrics.evaluate_ranking(*case, empty=0)
        pd.testing.assert_frame_equal(got.per_query, before.per_query)
        assert got.diagnostics == before.diagnostics
    with pytest.raises(ValueError, match=r"run holds 1 duplicate .*\('q2', 'x'\)"):
        metrics.evaluate_ranking(judged, pd.concat([run, run[3:4]]), "ndcg")
    with pytest.raises(ValueError, match=r"qrels holds 2 duplicate .*\('q1', '[ab]'\)"):
        metrics.Qrels(pd.concat([judged, judged[:2]]))


def test_awkward_strings_are_told_apart():
    docs = [*AWKWARD, LONE]
    frame = pd.DataFrame({"query_id": "q", "doc_id": pd.Series(docs, dtype=object)})
    qrels = metrics.Qrels(frame.assign(relevance=range(len(docs))))
    run = frame.iloc[::-1].assign(score=range(len(docs), 0, -1))
    assert metrics.evaluate_ranking(qrels, run, "ndcg").mean()["ndcg"] == 1.0
    plain = run[~run["doc_id"].isin(["\n", "a\nb", LONE])]  # hashed without the detour
    for dtype in (object, "str"):
        got = metrics.evaluate_ranking(qrels, plain.astype({"doc_id": dtype}), "recall")
        assert got.mean()["recall"] == 9 / 12


def test_integers_in_an_object_column_are_integers(judged, run):
    ids = {"a": -1, "b": -2, "c": 3, "x": 4, "z": 5}
    judged, run = judged.replace({"doc_id": ids}), run.replace({"doc_id": ids})
    qrels = metrics.Qrels(judged.astype({"doc_id": object}))
    got = metrics.evaluate_ranking(qrels, run.astype({"doc_id": "int32"}), "recall", empty=0)
    assert got.mean()["recall"] == 0.5


def test_strings_never_match_integers(judged, run):
    qrels = metrics.Qrels(judged)
    with pytest.raises(TypeError, match="holds strings and run column 'doc_id' holds integers"):
        metrics.evaluate_ranking(qrels, run.assign(doc_id=range(7)), "mrr")


def tables(frame):
    yield "object", frame.astype({"query_id": object, "doc_id": object})
    yield "odd index", frame.set_axis(np.arange(len(frame))[::-1] // 2)
    yield "index of times", frame.set_axis(pd.date_range("2020", periods=len(frame)))
    yield "extension", frame.convert_dtypes()
    yield "arrow types", frame.convert_dtypes(dtype_backend="pyarrow")
    yield "polars", pl.from_pandas(frame)
    yield "pyarrow", pa.Table.from_pandas(frame)
    halves = [pa.Table.from_pandas(part, preserve_index=False) for part in (frame[:2], frame[2:])]
    yield "pyarrow, chunked", pa.concat_tables(halves)
    dictionary = pa.Table.from_pandas(frame, preserve_index=False)
    codes = dictionary["doc_id"].dictionary_encode()
    yield "pyarrow, dictionary", dictionary.set_column(1, "doc_id", codes)
    yield (
        "polars categories",
        pl.from_pandas(frame).with_columns(pl.col("doc_id").cast(pl.Categorical)),
    )


def test_tables_of_every_library_give_the_same(judged, run):
    names = ["ndcg@2", "map", "judged@2"]
    with pytest.warns(metrics.UndefinedMetricWarning):
        expected = metrics.evaluate_ranking(judged, run, names)
    for name, table in tables(judged):
        qrels = metrics.Qrels(table)
        keys = ["query_id", "doc_id"]
        got = qrels.to_frame().sort_values(keys, ignore_index=True)
        pd.testing.assert_frame_equal(got, judged, check_dtype=False, obj=name)
    for name, table in tables(run):
        with pytest.warns(metrics.UndefinedMetricWarning):
            got = metrics.evaluate_ranking(judged, table, names)
        pd.testing.assert_frame_equal(got.per_query, expected.per_query, obj=name)
        assert got.diagnostics == expected.diagnostics, name


def test_without_pyarrow_nothing_changes():
    code = """
import sys
sys.modules["pyarrow"] = None
import pandas as pd
from mlsd import metrics
frame = pd.DataFrame({"query_id": ["q", "q", "r"], "doc_id": ["a", "b", "ü"]})
frame["relevance"] = [1, 0, 2]
print(frame["doc_id"].array.dtype.storage)
run = frame.assign(score=[1.0, 2.0, 3.0])[::-1]
print(metrics.evaluate_ranking(metrics.Qrels(frame), run, ["mrr", "ndcg"]).mean().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    storage, values = done.stdout.split("\n")[:2]
    assert storage == "python"
    assert values == str([0.75, (1 + 1 / math.log2(3)) / 2])
