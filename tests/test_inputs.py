"""Every kind of column and table that a caller may hold, and every way in which it may be wrong."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mlsd import _inputs as i

ZERO_ONE = [
    [0, 1, 1],
    (0, 1, 1),
    [False, True, True],
    [Decimal(0), Decimal(1), Decimal(1)],
    np.array([0, 1, 1], dtype=np.uint8),
    np.array([0.0, 1.0, 1.0], dtype=np.float32),
    np.array([False, True, True]),
    np.array([0, 1, 1], dtype=object),
    pd.Series([0, 1, 1], index=[7, 5, 5]),
    pd.Index([0, 1, 1]),
    pd.Series([0, 1, 1], dtype="Int64"),
    pd.Series([0, 1, 1], dtype="int64[pyarrow]"),
    pd.Series([False, True, True], dtype="boolean"),
    pd.Series([False, True, True], dtype="bool[pyarrow]"),
    pd.Categorical([0, 1, 1]),
    pd.Series([0, 1, 1], dtype="category", index=[2, 1, 0]),
    pl.Series([0, 1, 1]),
    pl.Series([False, True, True]),
    nw.from_native(pl.Series([0, 1, 1]), series_only=True),
    pa.array([0, 1, 1]),
    pa.chunked_array([[0], [1, 1]]),
]
STRINGS = [
    ["no", "yes", "yes"],
    np.array(["no", "yes", "yes"]),
    pd.Series(["no", "yes", "yes"], index=[3, 3, 1]),
    pd.Series(["no", "yes", "yes"], dtype="string[pyarrow]"),
    pd.Series(["no", "yes", "yes"], dtype="string[python]"),
    pd.Categorical(["no", "yes", "yes"], categories=["yes", "no"]),
    pl.Series(["no", "yes", "yes"]),
    pl.Series(["no", "yes", "yes"], dtype=pl.Categorical),
    pa.array(["no", "yes", "yes"]),
    pa.array(["no", "yes", "yes"]).dictionary_encode(),
]


def kinds(values):
    return [f"{n}-{type(value).__name__}" for n, value in enumerate(values)]


@pytest.mark.parametrize("values", ZERO_ONE, ids=kinds(ZERO_ONE))
def test_labels_and_numbers_are_taken_by_position_from_any_library(values):
    assert i.as_binary(values, "y").tolist() == [False, True, True]
    numbers = i.as_floats(values, "y")
    assert numbers.dtype == np.float64
    assert numbers.tolist() == [0.0, 1.0, 1.0]
    codes, classes = i.as_labels(values, "y")
    assert codes.tolist() == [0, 1, 1]
    assert len(classes) == 2


@pytest.mark.parametrize("values", STRINGS, ids=kinds(STRINGS))
def test_strings_are_labels_once_the_positive_one_is_named(values):
    assert i.as_binary(values, "y", pos_label="yes").tolist() == [False, True, True]
    assert i.as_binary(values, "y", pos_label="no").tolist() == [True, False, False]
    codes, classes = i.as_labels(values, "y")
    assert (codes.tolist(), classes.tolist()) == ([0, 1, 1], ["no", "yes"])
    with pytest.raises(ValueError, match=r"y holds the strings 'no', 'yes'.*pos_label"):
        i.as_binary(values, "y")
    with pytest.raises(TypeError, match=r"y must be numeric; got 'no' \(str\)"):
        i.as_floats(values, "y")
    with pytest.raises(ValueError, match="pos_label 'Yes' is not in y, which holds 'no', 'yes'"):
        i.as_binary(values, "y", pos_label="Yes")


MISSING = [
    [0, None, 1],
    [0, pd.NA, 1],
    [0.0, np.nan, 1.0],
    [True, None, False],
    pd.Series([0, None, 1], dtype="Int64"),
    pd.Series([0, None, 1], dtype="int64[pyarrow]"),
    pd.Series([0, None, 1], dtype="category"),
    pl.Series([0, None, 1]),
    pl.Series([True, None, False]),
    pa.array([0, None, 1]),
]


@pytest.mark.parametrize("values", MISSING, ids=kinds(MISSING))
def test_a_missing_value_is_refused_and_counted_whatever_it_is_called(values):
    with pytest.raises(ValueError, match=r"y (holds|has) 1 .*among 3"):
        i.as_binary(values, "y")
    with pytest.raises(ValueError, match=r"y has 1 missing labels among 3"):
        i.as_labels(values, "y")
    with pytest.raises(ValueError, match=r"y holds 1 NaN among 3 values"):
        i.as_floats(values, "y")
    assert np.isnan(i.as_floats(values, "y", allow_nan=True)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: i.as_floats("abc", "x"), TypeError, "x must be array-like; got str"),
        (lambda: i.as_floats(None, "x"), TypeError, "x must be array-like; got NoneType"),
        (lambda: i.as_floats(3, "x"), TypeError, "x must be array-like; got int"),
        (lambda: i.as_floats({"a": 1}, "x"), TypeError, "x must be array-like; got dict"),
        (lambda: i.as_floats(["0.5"], "x"), TypeError, r"x must be numeric; got '0.5' \(str\)"),
        (lambda: i.as_floats([0.5, "a"], "x"), TypeError, r"x must be numeric; got 'a' \(str\)"),
        (lambda: i.as_floats([1j], "x"), TypeError, "x must be numeric; got complex128"),
        (lambda: i.as_floats(pd.to_datetime(["2020"]), "x"), TypeError, "numeric; got datetime"),
        (lambda: i.as_floats([[1], [2]], "x"), ValueError, r"x must be one-dim.*\(2, 1\).*ravel"),
        (lambda: i.as_floats([[1, 2]], "x"), ValueError, r"x must be one-dim.*shape \(1, 2\)$"),
        (lambda: i.as_floats([[1], [2, 3]], "x"), ValueError, "x must be one-dimensional"),
        (lambda: i.as_floats(pl.DataFrame({"a": [1]}), "x"), ValueError, "one-dimensional"),
        (lambda: i.as_floats(object(), "x"), TypeError, "x must be array-like; got object"),
        (lambda: i.as_binary([0, 1, 2], "y"), ValueError, "y must hold two classes.*got 0, 1, 2"),
        (lambda: i.as_binary([2, 3], "y"), ValueError, "y holds the labels 2, 3.*pos_label"),
        (lambda: i.as_binary([0, 0.5], "y"), ValueError, "y holds the labels 0.0, 0.5"),
        (lambda: i.as_binary(list(range(9)), "y"), ValueError, r"0, 1, 2, 3, 4, ... \(9 values\)"),
        (lambda: i.as_binary([0, 1, 2], "y", pos_label=1), ValueError, "two classes; got 0, 1, 2"),
        (lambda: i.as_labels(["a", 1], "y"), TypeError, "y mixes labels that have no common order"),
        (lambda: i.as_probabilities([0.1, 1.5, -1], "p"), ValueError, "2 of 3.*1.5 at position 1"),
        (
            lambda: i.as_probabilities([np.inf], "p"),
            ValueError,
            "1 of 1.*such as inf",
        ),
        (lambda: i.as_weights([1, -1], "w", 2), ValueError, "w must be finite.*-1.0 at position 1"),
        (lambda: i.as_weights([1, np.inf], "w", 2), ValueError, "such as inf at position 1"),
        (lambda: i.as_weights([1], "w", 2), ValueError, "w has 1, the data 2"),
        (lambda: i.as_weights([0, 0], "w", 2), ValueError, "w is 0 everywhere"),
        (lambda: i.as_pandas({"a": [1]}, "run", ["a"]), TypeError, "run must be a table.*got dict"),
        (
            lambda: i.as_pandas(pl.LazyFrame({"a": [1]}), "run", ["a"]),
            TypeError,
            "run must be a table.*got LazyFrame",
        ),
        (
            lambda: i.as_pandas(pl.DataFrame({"a": [1]}), "run", ["a", "b"]),
            ValueError,
            r"run lacks the columns \['b'\]; it has \['a'\]",
        ),
        (
            lambda: i.as_pandas(pd.DataFrame([[1, 2]], columns=["a", "a"]), "run", ["a"]),
            ValueError,
            r"run has several columns of the name \['a'\]",
        ),
    ],
)
def test_refuses(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_minus_one_and_one_are_classes_and_one_class_alone_is_allowed():
    assert i.as_binary([-1, 1, -1], "y").tolist() == [False, True, False]
    assert i.as_binary([1.0, 1.0], "y").tolist() == [True, True]
    assert i.as_binary([0, 0], "y").tolist() == [False, False]
    assert i.as_binary(["a", "a"], "y", pos_label="b").tolist() == [False, False]
    assert i.as_binary(np.zeros(0), "y").tolist() == []
    with pytest.raises(ValueError, match="two classes"):
        i.as_binary([-1, 0, 1], "y")


def test_arrays_of_numbers_are_not_copied_and_single_precision_may_stay():
    double, single = np.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)
    assert np.shares_memory(i.as_floats(double, "x"), double)
    series = pd.Series(double)
    assert np.shares_memory(i.as_floats(series, "x"), series.to_numpy())
    assert np.shares_memory(i.as_floats(single, "x", keep_float32=True), single)
    assert i.as_floats(single, "x").dtype == np.float64


def test_infinities_of_both_signs_are_not_taken_for_missing():
    assert i.as_floats([np.inf, -np.inf, 1e308, 1e308], "x").tolist()[0] == np.inf


TABLE = {"q": ["b", "a"], "s": [1.5, 2.0], "n": [1, 2], "other": [0, 0]}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(TABLE, index=[9, 9]),
        pl.DataFrame(TABLE),
        pl.DataFrame(TABLE).with_columns(pl.col("q").cast(pl.Categorical)),
        pa.table(TABLE),
        pa.concat_tables([pa.table(TABLE).slice(0, 1), pa.table(TABLE).slice(1)]),
        nw.from_native(pl.DataFrame(TABLE)),
    ],
    ids=["pandas", "polars", "polars categories", "pyarrow", "pyarrow chunks", "narwhals"],
)
def test_tables_of_any_library_become_one_kind(table):
    frame = i.as_pandas(table, "run", ["q", "n", "s"])
    assert list(frame) == ["q", "n", "s"]
    assert frame.index.equals(pd.RangeIndex(2))
    assert frame["q"].tolist() == ["b", "a"]
    assert frame["n"].dtype == np.int64
    assert frame["s"].tolist() == [1.5, 2.0]


def test_the_callers_frame_is_not_changed():
    frame = pd.DataFrame(TABLE, index=[9, 9])
    before = frame.copy()
    taken = i.as_pandas(frame, "run", ["q", "s"])
    taken.loc[0, "s"] = -1.0
    pd.testing.assert_frame_equal(frame, before)


def test_without_pyarrow_polars_and_strings_still_work():
    code = """
import sys
sys.modules["pyarrow"] = None
import numpy as np, pandas as pd
from mlsd import _inputs as i
assert i.as_binary(pd.Series(["n", "y"]), "y", pos_label="y").tolist() == [False, True]
assert i.as_pandas(pd.DataFrame({"q": ["a"]}), "run", ["q"])["q"].tolist() == ["a"]
import polars as pl
assert i.as_floats(pl.Series([1, None]), "x", allow_nan=True).tolist()[0] == 1.0
assert i.as_pandas(pl.DataFrame({"q": ["a"], "s": [1.0]}), "run", ["q", "s"])["q"].tolist() == ["a"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_masked_is_missing():
    masked = np.ma.masked_invalid([0.1, np.nan, 0.8])
    with pytest.raises(ValueError, match="x holds 1 NaN among 3"):
        i.as_floats(masked, "x")
    assert i.as_floats(np.ma.array([0.1, 0.8]), "x").tolist() == [0.1, 0.8]
    with pytest.raises(ValueError, match="y has 1 missing labels"):
        i.as_labels(np.ma.array(["a", "b"], mask=[False, True]), "y")
    assert np.isnan(i.as_array(np.ma.array([[1, 2]], mask=[[True, False]]), "x")[0, 0])


def test_nested_rows_and_lazy_frames_are_named():
    with pytest.raises(ValueError, match="x must have rows of one length"):
        i.as_array([[1], [2, 3]], "x")
    assert i.as_array(np.array([[1, 2]], dtype=object), "x").dtype == np.int64
    with pytest.raises(TypeError, match=r"got LazyFrame: call its collect\(\) first"):
        i.as_pandas(pl.LazyFrame({"a": [1]}), "run", ["a"])
