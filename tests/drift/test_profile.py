"""Profiles against a naive count, value by value; the dtypes and shapes a frame can come in."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
from collections import Counter
from decimal import Decimal
from itertools import chain

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.drift._read import read_values
from mlsd.drift.profile import Profile

NAN, INF = math.nan, math.inf


def one(values, **options):
    """Return the profile of a frame of one column, and the column."""
    profile = Profile.from_frame(pd.DataFrame({"a": values}), **options)
    return profile, profile["a"]


def naive(column, values):
    """Count values on the cells of a column with one comparison at a time."""
    counts = [0] * (len(column.edges) + 1)
    below = above = infinite = null = 0
    finite = []
    for value in values:
        if math.isnan(value):
            null += 1
            continue
        infinite += math.isinf(value)
        if not math.isinf(value):
            finite.append(value)
        if value < column.ref_minimum:
            below += 1
        elif value > column.ref_maximum:
            above += 1
        else:
            counts[sum(value >= edge for edge in column.edges)] += 1
    return counts, below, above, infinite, null, finite


SAMPLES = {
    "normal": lambda rng, n: rng.normal(5, 2, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "cauchy": lambda rng, n: rng.standard_cauchy(n),
    "poisson": lambda rng, n: rng.poisson(3, n).astype(float),
    "atom": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.normal(size=n)),
    "two atoms": lambda rng, n: np.where(
        rng.random(n) < 0.6, rng.integers(2, size=n), rng.random(n)
    ),
    "huge": lambda rng, n: rng.normal(size=n) * 1e300,
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-308,
    "far": lambda rng, n: 1e9 + rng.normal(size=n),
    "negative": lambda rng, n: -rng.lognormal(0, 1, n),
    "identifiers": lambda rng, n: 2.0**53 + rng.integers(1000, size=n) * 2.0,
}


@pytest.mark.parametrize("kind", SAMPLES)
@pytest.mark.parametrize("n_bins", [1, 2, 7, 64])
def test_counts_against_one_comparison_at_a_time(kind, n_bins):
    rng = np.random.default_rng(7)
    reference, column = one(SAMPLES[kind](rng, 900), n_bins=n_bins)
    assert (np.diff(column.edges) > 0).all()
    assert column.counts.size <= n_bins
    assert (column.counts > 0).all()
    assert column.counts.sum() == 900
    assert column.n_below == column.n_above == column.n_infinite == 0
    values = SAMPLES[kind](rng, 500) * rng.choice([1, 1, 1, -1, 3], 500)
    values[rng.random(500) < 0.1] = NAN
    values[:5] = [INF, -INF, 0.0, column.ref_minimum, column.ref_maximum]
    values[5 : 5 + column.edges.size] = column.edges
    found = one(values, like=reference)[1]
    counts, below, above, infinite, null, finite = naive(column, values)
    assert found.counts.tolist() == counts
    assert (found.n_below, found.n_above) == (below, above)
    assert (found.n_infinite, found.n_null, found.n) == (infinite, null, 500)
    assert (found.minimum, found.maximum) == (min(finite), max(finite))
    if kind == "huge":
        assert found.std == INF
        return
    assert found.mean == pytest.approx(np.mean(finite), rel=1e-12, abs=1e-12 * found.std)
    if kind != "tiny":  # whose squares vanish
        assert found.std == pytest.approx(np.std(finite, ddof=1), rel=1e-9)
        clipped = np.clip(values[~np.isnan(values)], column.clip_low, column.clip_high)
        assert found.clipped_mean == pytest.approx(clipped.mean(), abs=column.step)
        assert found.clipped_std == pytest.approx(clipped.std(ddof=1), abs=2 * column.step)


def test_the_cells_are_quantiles_of_the_reference():
    for seed in range(3):
        _, column = one(np.random.default_rng(seed).lognormal(size=20_000), n_bins=100)
        assert column.counts.size == 100
        assert not column.discrete
        # An edge lies within an eighth of a cell of its quantile.
        np.testing.assert_allclose(column.counts, 200, atol=51)


def test_a_discrete_column_has_a_cell_a_value():
    values = np.repeat([-3.5, 0.0, 1.0, 7.0, 1e6], [1, 5, 2, 3, 1])
    _, column = one(values, n_bins=5)
    assert column.discrete
    assert column.counts.tolist() == [1, 5, 2, 3, 1]
    _, column = one(values, n_bins=4)
    assert not column.discrete


def test_a_frequent_value_has_a_cell_of_its_own():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(5000) < 0.5, 0.0, rng.normal(size=5000))
    _, column = one(values, n_bins=20)
    at = np.searchsorted(column.edges, 0.0, side="right")
    # Beside the zeros the cell holds at most what it would hold without them.
    assert 0 <= column.counts[at] - (values == 0).sum() < 5000 / 20


def test_edges_are_short_numbers():
    _, column = one(np.random.default_rng(1).normal(size=20_000), n_bins=64)
    assert (column.edges * 256 == np.round(column.edges * 256)).all()


def test_one_corrupt_value_changes_no_cell():
    rng = np.random.default_rng(3)
    reference, column = one(rng.normal(size=20_000))
    values = rng.normal(size=5000)
    _, clean = one(values, like=reference)
    _, corrupt = one(np.append(values, 1e6), like=reference)
    np.testing.assert_array_equal(corrupt.edges, column.edges)
    np.testing.assert_array_equal(corrupt.counts, clean.counts)
    assert corrupt.n_above == clean.n_above + 1
    assert corrupt.maximum == 1e6
    assert corrupt.std > 1000
    assert corrupt.clipped_std == pytest.approx(clean.clipped_std, rel=0.002)


HOUR = dt.timedelta(hours=1)
DTYPES = {
    "int": ([1, 2, 2], "numeric", {}),
    "float": ([1.0, 2.0, 2.0], "numeric", {}),
    "float32": (np.array([1, 2, 2], "f4"), "numeric", {}),
    "uint8": (np.array([1, 2, 2], "u1"), "numeric", {}),
    "Int64": (pd.array([1, 2, None], "Int64"), "numeric", {"null": 1}),
    "Float32": (pd.array([1, 2, None], "Float32"), "numeric", {"null": 1}),
    "int64[pyarrow]": (pd.array([1, None, 2], "int64[pyarrow]"), "numeric", {"null": 1}),
    "double[pyarrow]": (pd.array([1, None, 2], "float64[pyarrow]"), "numeric", {"null": 1}),
    "object of numbers": (pd.Series([1, 2.5, None], dtype=object), "numeric", {"null": 1}),
    "decimal": ([Decimal("1.5"), Decimal(2), None], "numeric", {"null": 1}),
    "sparse": (pd.arrays.SparseArray([0.0, 0.0, 1.0]), "numeric", {}),
    "bool": ([True, False, True], "categorical", {"levels": ("True", "False")}),
    "boolean": (
        pd.array([True, False, None], "boolean"),
        "categorical",
        {"levels": ("False", "True"), "null": 1},
    ),
    "bool[pyarrow]": (
        pd.array([True, None, True], "bool[pyarrow]"),
        "categorical",
        {"levels": ("True",), "null": 1},
    ),
    "str": (["x", "y", "y"], "categorical", {"levels": ("y", "x")}),
    "object of strings": (
        pd.Series(["x", None, NAN], dtype=object),
        "categorical",
        {"levels": ("x",), "null": 2},
    ),
    "string": (pd.array(["x", pd.NA, "x"], "string"), "categorical", {"levels": ("x",), "null": 1}),
    "category": (
        pd.Categorical(["b", None, "b"], categories=["a", "b", "unused"]),
        "categorical",
        {"levels": ("b",), "null": 1},
    ),
    "category of numbers": (pd.Categorical([3, 1, 3]), "categorical", {"levels": ("3", "1")}),
    "mixed": (
        pd.Series([1, "1", True, 1.0, None, pd.NA], dtype=object),
        "categorical",
        {"levels": ("1", "1.0", "True"), "null": 2},
    ),
    "unhashable": (
        pd.Series([[1], [1], {}], dtype=object),
        "categorical",
        {"levels": ("[1]", "{}")},
    ),
    "period": (
        pd.period_range("2020-01", periods=2, freq="M").take([0, 0, 1]),
        "categorical",
        {"levels": ("2020-01", "2020-02")},
    ),
    "datetime": (pd.to_datetime(["1970-01-02", None, "1970-01-03"]), "datetime", {"null": 1}),
    "datetime with zone": (
        pd.to_datetime(["1970-01-02", None]).tz_localize("Europe/Berlin"),
        "datetime",
        {"null": 1},
    ),
    "dates": ([dt.date(1970, 1, 2), None], "datetime", {"null": 1}),
    "date32": (pd.array([dt.date(1970, 1, 2), None], "date32[pyarrow]"), "datetime", {"null": 1}),
    "timedelta": (pd.to_timedelta([HOUR, None, 2 * HOUR]), "numeric", {"null": 1}),
    "None": ([None, None], "categorical", {"null": 2}),
    "all NaN": ([NAN, NAN], "numeric", {"null": 2}),
    "empty": (np.zeros(0), "numeric", {}),
    "beyond floats": (pd.Series([10**400, 1], dtype=object), "numeric", {"above": 1}),
}


@pytest.mark.parametrize("kind", DTYPES)
def test_dtypes(kind):
    values, expected, more = DTYPES[kind]
    reference, column = one(values)
    assert column.kind == expected
    assert column.dtype == str(pd.DataFrame({"a": values})["a"].dtype)
    assert column.n == len(values)
    assert column.n_null == more.get("null", 0)
    assert column.levels == more.get("levels", ())
    assert column.n_above == more.get("above", 0)
    if expected != "datetime":
        assert column.counts.sum() == len(values) - column.n_null - column.n_above
    again, _ = one(values, like=reference)
    assert again == reference
    assert Profile.from_json(reference.to_json()) == reference
    assert (reference + again).n_rows == 2 * len(values)


def test_times_are_seconds():
    _, column = one(pd.to_datetime(["1970-01-02", None]).tz_localize("Europe/Berlin"))
    assert column.minimum == column.maximum == 86_400 - 3600
    _, column = one([dt.date(1970, 1, 2), dt.date(1970, 1, 4)])
    assert (column.minimum, column.maximum) == (86_400, 3 * 86_400)
    _, column = one(pd.to_timedelta([HOUR, 3 * HOUR]))
    assert (column.minimum, column.mean, column.maximum) == (3600, 7200, 10_800)


def test_large_integers_are_the_nearest_floats():
    reference, column = one([2**53, 2**53 + 1, 2**60])
    assert column.counts.tolist() == [2, 1]
    assert one([2**53 + 1], like=reference)[1].counts.tolist() == [1, 0]


def test_polars_and_pyarrow_are_as_pandas():
    frame = pl.DataFrame(
        {
            "i": [1, None, 3],
            "f": [1.0, NAN, None],
            "s": ["a", None, "b"],
            "b": [True, None, False],
            "d": [dt.date(2020, 1, 1), None, None],
            "t": [dt.datetime(2020, 1, 1), None, None],
            "u": [HOUR, None, HOUR],
            "n": [None, None, None],
            "c": pl.Series(["x", "y", None], dtype=pl.Categorical),
            "e": pl.Series(["x", "y", None], dtype=pl.Enum(["x", "y", "unused"])),
        }
    )
    plain = pd.DataFrame(
        {
            "i": [1, None, 3],
            "f": [1.0, NAN, NAN],
            "s": ["a", None, "b"],
            "b": pd.array([True, None, False], "boolean"),
            "d": [dt.date(2020, 1, 1), None, None],
            "t": pd.to_datetime(["2020-01-01", None, None]),
            "u": pd.to_timedelta([HOUR, None, HOUR]),
            "n": [None] * 3,
            "c": pd.Categorical(["x", "y", None]),
            "e": pd.Categorical(["x", "y", None]),
        }
    )
    reference = Profile.from_frame(plain)
    for table in (frame, frame.to_arrow()):
        live = Profile.from_frame(table, like=reference)
        assert not live.retyped
        assert live.order == reference.order
        drop = ["dtype"]
        pd.testing.assert_frame_equal(
            live.to_frame().drop(columns=drop), reference.to_frame().drop(columns=drop)
        )
        assert Profile.from_frame(table).fingerprint == reference.fingerprint
    assert [column.dtype for column in live.columns][:2] == ["int64", "double"]


def test_categories():
    reference, column = one(["b"] * 3 + ["a"] * 3 + ["c", "d", None])
    assert column.levels == ("a", "b", "c", "d")  # equal counts: by name
    assert column.counts.tolist() == [3, 3, 1, 1]
    assert (column.n_singletons, column.capped, column.n_other) == (2, False, 0)
    _, found = one(["z"] * 2 + ["a", "y"], like=reference)
    assert found.counts.tolist() == [1, 0, 0, 0]
    assert (found.n_unseen, found.unseen, found.n_singletons) == (3, (("y", 1), ("z", 2)), 2)


def test_categories_beyond_the_cap():
    values = ["a"] * 4 + ["b"] * 3 + ["c"] * 2 + ["d"]
    reference, column = one(values, max_categories=2)
    assert column.levels == ("a", "b")
    assert (column.capped, column.n_other, column.n_unseen) == (True, 3, 0)
    _, found = one(["c", "new", "a"], like=reference)
    assert (found.n_other, found.n_unseen, found.unseen) == (2, 0, ())
    _, column = one(map(str, range(500)))
    assert (column.levels, column.n_other) == ((), 500)  # nothing to compare with the next 500
    assert one(["a", "b"], max_categories=2)[1].capped is False


def test_differences_beyond_all_floats_are_512_steps():
    _, column = one([-1.7e308] * 9 + [1.7e308])
    assert column.centre == -1.7e308
    assert (column.clipped_1, column.clipped_2) == (512, 512**2)


ARROW = {
    "str": lambda parts: pd.concat([pd.Series(part, dtype="str") for part in parts]),
    "string": lambda parts: pd.concat([pd.Series(part, dtype="string[pyarrow]") for part in parts]),
    "arrow": lambda parts: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.chunked_array(parts, type=pa.string()))
    ),
    "large": lambda parts: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.chunked_array(parts, type=pa.large_string()))
    ),
}


@pytest.mark.parametrize("kind", ARROW)
@given(
    parts=st.lists(
        st.lists(st.none() | st.text(alphabet="ab\0é€", max_size=8), max_size=20),
        min_size=1,
        max_size=3,
    ),
    skip=st.integers(0, 3),
)
def test_strings_of_arrow_against_a_counter(kind, parts, skip):
    series = ARROW[kind](parts).iloc[skip:]
    expected = Counter(value for value in [*chain(*parts)][skip:] if value is not None)
    levels = read_values(series, "a").levels()
    assert levels == expected


@pytest.mark.parametrize("n_levels", [1, 20, 100, 101, 3000])
def test_strings_in_many_blocks_against_a_counter(n_levels):
    rng = np.random.default_rng(n_levels)
    # Rare levels first: the later blocks bring some that the first did not have.
    values = [f"{int(i):x}" for i in np.sort(rng.integers(n_levels, size=50_000))]
    series = pd.Series(values, dtype="str")
    assert read_values(series, "a").levels() == Counter(values)
    series[rng.random(50_000) < 0.3] = None
    source = read_values(series, "a")
    assert source.levels() == Counter(series.dropna())
    assert sum(source.levels().values()) == 50_000 - source.n_null()


def test_text_behind_a_null_is_not_read():
    bits, ends, text = (pa.py_buffer(x) for x in (b"\x05", np.array([0, 1, 3, 4], "<i8"), b"aXXb"))
    array = pa.LargeStringArray.from_buffers(3, ends, text, bits)
    series = pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))
    assert read_values(series, "a").levels() == {"a": 1, "b": 1}


def test_long_levels_are_shortened_and_stay_apart():
    texts = ["x" * 1000 + end for end in "ab"]
    reference, column = one(texts)
    assert len(set(column.levels)) == 2
    assert max(map(len, column.levels)) < 64
    assert one(texts, like=reference)[1].counts.tolist() == [1, 1]


def test_examples_of_unseen_levels_are_the_first_by_name():
    reference, _ = one(["a"])
    frames = [pd.DataFrame({"a": [f"{i:03}" for i in range(k, 200, 7)] * 2}) for k in range(7)]
    merged = sum(Profile.from_frame(frame, like=reference) for frame in frames)
    assert merged["a"].unseen == tuple((f"{i:03}", 2) for i in range(10))
    assert merged["a"].n_unseen == 400


def test_the_schema():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [1, 2]})
    reference = Profile.from_frame(frame)
    assert reference.order == reference.names == ("a", "b", "c")
    live = Profile.from_frame(pd.DataFrame({"d": [1], "c": ["1"], "b": ["x"]}), like=reference)
    assert live.missing == ("a",)
    assert live.new == ("d",)
    assert live.retyped == {"c": ("int64", "str")}
    assert live.order == ("d", "c", "b")
    assert live.names == ("b",)
    assert "a" not in live
    with pytest.raises(KeyError, match="no column 'a'"):
        live["a"]
    assert "missing=['a'], new=['d'], retyped=['c']" in repr(live)


@pytest.mark.parametrize(
    ("before", "after", "retyped"),
    [
        ([1, 2], [1.5, NAN], False),
        ([1, 2], ["1", "2"], True),
        (["1", "2"], [1, 2], True),
        ([True, False], ["True", "False"], True),
        ([True, False], [1, 0], True),
        (["x", "y"], pd.Categorical(["x", "y"]), False),
        (["x", "y"], pd.Series(["x", 1], dtype=object), True),
        ([1, 2], pd.Series([None, None], dtype=object), False),
        (["x", "y"], pd.Series([None, None], dtype=object), False),
        ([1, 2], pd.to_datetime(["2020-01-01"] * 2), True),
        ([1, 2], pd.to_timedelta([HOUR, HOUR]), True),
        ([1.0, 2.0], pd.array([1, None], "Int64"), False),
    ],
)
def test_retyped(before, after, retyped):
    reference = Profile.from_frame(pd.DataFrame({"a": before}))
    live = Profile.from_frame(pd.DataFrame({"a": after}), like=reference)
    assert bool(live.retyped) is retyped
    if not retyped:
        assert live["a"].n == 2
        assert live["a"].n_null == pd.isna(after).sum()


def test_column_names_of_any_type_become_strings():
    profile = Profile.from_frame(pd.DataFrame({0: [1, 2], ("a", 1): [1, 2], 2.5: [1, 2]}))
    assert profile.names == profile.order == profile.pairs.names == ("0", "('a', 1)", "2.5")
    with pytest.raises(ValueError, match=r"several columns of the name \['0'\]"):
        Profile.from_frame(pd.DataFrame([[1, 2]], columns=[0, "0"]))


def test_a_frame_without_rows_or_columns():
    reference = Profile.from_frame(pd.DataFrame({"a": np.zeros(0), "b": pd.Series([], dtype=str)}))
    assert reference.n_rows == 0
    assert reference.names == ("a", "b")
    live = Profile.from_frame(pd.DataFrame({"a": [1.0, -INF], "b": ["x", "y"]}), like=reference)
    assert live["a"].counts.tolist() == [2]
    assert (live["a"].n_below, live["a"].n_above, live["a"].n_infinite) == (0, 0, 1)
    assert live["b"].n_unseen == 2
    empty = Profile.from_frame(pd.DataFrame(index=range(3)))
    assert (empty.n_rows, empty.names, empty.pairs) == (3, (), None)
    assert Profile.from_json(empty.to_json()) == empty
    assert empty.to_frame().empty


def test_the_table():
    frame = pd.DataFrame({"a": [1.0, 3.0, NAN], "b": ["x", "y", "x"]})
    table = Profile.from_frame(frame).to_frame()
    assert table.loc["a", ["n", "null", "min", "max", "mean", "cells"]].tolist() == [
        3,
        1,
        1,
        3,
        2,
        2,
    ]
    assert table.loc["a", "std"] == pytest.approx(np.sqrt(2))
    assert table.loc["b", "kind"] == "categorical"
    assert table.loc["b", ["min", "max", "mean"]].isna().all()


def test_a_profile_travels_between_processes():
    profile = Profile.from_frame(pd.DataFrame({"a": [1.0, NAN], "b": ["x", "y"]}), y=[0, 1])
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert copy.deepcopy(profile)["a"] == profile["a"]


def test_the_frame_is_left_as_it_was():
    frame = pd.DataFrame({"a": [1.0, NAN, INF], "b": ["x", None, "y"], "t": [0, 1, 0]})
    before = frame.copy()
    reference = Profile.from_frame(frame, y="t")
    Profile.from_frame(frame, like=reference)
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(AttributeError):
        reference.n_rows = 5


def by_group(column, cells, y):
    """Sum a target by the group of the cell of each row, one row at a time."""
    n = np.zeros(column.target_n.size)
    sums = np.zeros((2, n.size))
    for cell, value in zip(cells, y, strict=True):
        if not math.isnan(value):
            group = column.target_groups[cell]
            n[group] += 1
            sums[:, group] += [value, value * value]
    return n, sums


@pytest.mark.parametrize("kind", ["binary", "boolean", "unknown", "real"])
def test_the_target_by_cell(kind):
    rng = np.random.default_rng(11)
    n = 3000
    x = rng.normal(size=n)
    x[rng.random(n) < 0.1] = NAN
    x[:3] = [INF, -INF, 100]
    level = pd.Series(rng.choice([*"abcdefg", None], n), dtype=object)
    y = (rng.random(n) < 0.3).astype(float)
    if kind == "real":
        y = rng.normal(size=n)
    if kind == "unknown":
        y[rng.random(n) < 0.4] = NAN
    target = y.astype(bool) if kind == "boolean" else y
    frame = pd.DataFrame({"x": x, "level": level})
    reference = Profile.from_frame(frame.iloc[500:], y=target[500:], n_bins=100)
    live = Profile.from_frame(frame, y=target, like=reference)
    column = live["x"]
    assert column.target_n.size <= 33
    assert (np.diff(column.target_groups) >= 0).all()
    inner = np.searchsorted(column.edges, x, side="right")
    cells = np.where(np.isnan(x), column.counts.size, inner)
    expected, sums = by_group(column, cells, y)
    np.testing.assert_array_equal(column.target_n, expected)
    np.testing.assert_allclose(column.target_sum, sums[0], atol=1e-12)
    np.testing.assert_allclose(column.target_sum2, sums[1], atol=1e-12)
    column = live["level"]
    place = {name: i for i, name in enumerate(column.levels)}
    cells = [len(place) + 1 if pd.isna(v) else place.get(v, len(place)) for v in level]
    expected, sums = by_group(column, cells, y)
    np.testing.assert_array_equal(column.target_n, expected)
    np.testing.assert_allclose(column.target_sum, sums[0], atol=1e-12)
    assert live.target.n_null == np.isnan(y).sum()


@pytest.mark.parametrize("kind", DTYPES)
def test_every_kind_of_column_takes_a_target(kind):
    values, expected, _ = DTYPES[kind]
    y = np.arange(len(values)) + 1.0
    profile = Profile.from_frame(pd.DataFrame({"a": values}), y=y)
    column = profile["a"]
    if expected == "datetime":
        assert column.target_n is None
        return
    assert column.target_n.sum() == len(values)
    assert column.target_sum.sum() == y.sum()
    null = pd.isna(pd.Series(values)).to_numpy()
    assert column.target_n[-1] == null.sum()
    assert column.target_sum[-1] == y[null].sum()
    assert column.target_sum2[-1] == (y[null] ** 2).sum()


def test_many_levels_share_the_last_groups():
    levels = np.repeat([f"{i:02}" for i in range(50)], 2)
    profile = Profile.from_frame(pd.DataFrame({"a": levels}), y=np.arange(100.0))
    groups = profile["a"].target_groups
    assert groups[:29].tolist() == list(range(29))
    assert set(groups[29:50]) == {29}
    assert groups[50:].tolist() == [30, 31]
    assert profile["a"].target_n.sum() == 100


def test_target_and_prediction_by_name_or_as_an_array():
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "t": [0, 1, 1], "p": [0.1, 0.7, 0.6]})
    named = Profile.from_frame(frame, y="t", prediction="p")
    arrays = Profile.from_frame(frame[["x"]], y=frame["t"], prediction=frame["p"].tolist())
    assert named.names == arrays.names == named.order == ("x",)
    assert named.target == arrays.target
    assert named.target.counts.tolist() == [1, 2]
    np.testing.assert_array_equal(named.prediction.counts, arrays.prediction.counts)
    # The reference knows which column it was, and live rows may do without.
    live = Profile.from_frame(frame, like=named)
    assert live == named
    unlabelled = Profile.from_frame(frame[["x", "p"]], like=named)
    assert unlabelled.target is None
    assert unlabelled.missing == unlabelled.new == ()
    assert unlabelled["x"].target_n.sum() == 0
    assert (unlabelled + live).target.n == 3
    for y in (pl.Series([0, 1, 1]), pa.chunked_array([[0, 1, 1]]), np.array([0, 1, 1])):
        assert Profile.from_frame(frame[["x"]], y=y).target.counts.tolist() == [1, 2]
    assert Profile.from_frame(frame[["x"]], y=["a", "b", "a"]).target.levels == ("a", "b")
    assert Profile.from_frame(frame[["x"]], y=["a", "b", "a"])["x"].target_n is None


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Profile.from_frame([1, 2]), TypeError, "X must be a table of .* got list"),
        (lambda: Profile.from_frame(FRAME.to_dict()), TypeError, "X must be a table"),
        (lambda: Profile.from_frame(pl.LazyFrame({"a": [1]})), TypeError, "collect"),
        (
            lambda: Profile.from_frame(FRAME[["a", "a"]]),
            ValueError,
            r"X has several columns of the name \['a'\]",
        ),
        (
            lambda: Profile.from_frame(pd.DataFrame({"a": [1j]})),
            TypeError,
            r"X\['a'\] must be real; got complex128",
        ),
        (lambda: Profile.from_frame(FRAME, like=3), TypeError, "like must be a Profile; got int"),
        (lambda: Profile.from_frame(FRAME, n_bins=0), ValueError, "n_bins must be at least 1"),
        (lambda: Profile.from_frame(FRAME, n_bins=1.5), TypeError, "n_bins must be an integer"),
        (lambda: Profile.from_frame(FRAME, max_categories=0), ValueError, "max_categories must be"),
        (lambda: Profile.from_frame(FRAME, y="c"), ValueError, "y names no column of X: 'c'"),
        (lambda: Profile.from_frame(FRAME, y=[1]), ValueError, "y has 1 values, X 2"),
        (
            lambda: Profile.from_frame(FRAME, prediction=[[1], [2]]),
            ValueError,
            "prediction must be one-dimensional",
        ),
        (
            lambda: Profile.from_frame(FRAME, y=[1, 2], like=Profile.from_frame(FRAME)),
            ValueError,
            "y was given, but like was made without it",
        ),
        (lambda: Profile.from_frame(FRAME, pairs=["b"]), ValueError, "must name numeric columns"),
        (lambda: Profile.from_frame(FRAME, pairs="a"), TypeError, "a list of names; got 'a'"),
        (lambda: Profile.from_frame(FRAME, pairs=["a", "a"]), ValueError, "each column once"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()


@given(
    st.lists(st.floats(width=64), min_size=0, max_size=60),
    st.lists(st.floats(width=64), min_size=0, max_size=60),
    st.integers(1, 20),
)
def test_any_floats(before, after, n_bins):
    reference, column = one(np.array(before), n_bins=n_bins)
    counts, below, above, infinite, null, _ = naive(column, before)
    has_range = column.ref_minimum <= column.ref_maximum
    if has_range:
        assert column.counts.tolist() == counts
    assert column.n_null == null
    assert Profile.from_json(reference.to_json()) == reference
    _, found = one(np.array(after), like=reference)
    counts, below, above, infinite, null, _ = naive(column, after)
    if has_range:
        assert found.counts.sum() + found.n_unseen == sum(counts)
        assert (np.array(counts) >= found.counts).all()
        assert found.discrete or not found.n_unseen
        assert (found.n_below, found.n_above) == (below, above)
    beyond = found.n_below + found.n_above + found.n_unseen
    assert found.counts.sum() + beyond + found.n_null == len(after)
    assert (found.n_infinite, found.n_null) == (infinite, null)


def test_new_numbers_between_the_values_of_a_discrete_column_are_counted():
    reference = Profile.from_frame(pd.DataFrame({"code": [1, 2, 3, 5, 7, 9] * 50}))
    live = pd.DataFrame({"code": [1.0, 4.0, 4.5, 9.0, 10.0, 0.0, np.inf, 3.0 + 1e-12, np.nan]})
    column = Profile.from_frame(live, like=reference)["code"]
    assert (column.n_unseen, column.n_below, column.n_above, column.n_null) == (2, 1, 2, 1)
    assert column.counts.tolist() == [1, 0, 1, 0, 0, 1]
    halves = [
        Profile.from_frame(live.iloc[part], like=reference) for part in (slice(4), slice(4, 9))
    ]
    assert sum(halves)["code"].n_unseen == 2
    assert reference["code"].n_unseen == 0


def test_decimals_that_were_computed_otherwise_are_not_new():
    tenths = np.arange(1, 90)
    reference = Profile.from_frame(pd.DataFrame({"price": np.round(tenths * 0.1, 1)}))
    assert (
        Profile.from_frame(pd.DataFrame({"price": tenths * 0.1}), like=reference)["price"].n_unseen
        == 0
    )
