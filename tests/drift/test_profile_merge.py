"""Any split of the rows in any order gives the profile of all rows; and what does not merge."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsd.drift._build
import mlsd.drift._chunks
from mlsd.drift.profile import Profile


def frame(rng, n):
    """Return columns of all kinds, with NULLs."""
    x = rng.normal(size=n)
    x[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "near": np.nan_to_num(x) + rng.normal(size=n),
            "count": rng.poisson(2, n),
            "gap": pd.array(np.where(rng.random(n) < 0.3, None, rng.integers(9, size=n)), "Int64"),
            "level": pd.Series(rng.choice([*"abcde", None], n), dtype=object),
            "flag": rng.random(n) < 0.3,
            "time": pd.Timestamp(0) + pd.to_timedelta(rng.integers(10**6, size=n), unit="s"),
            "y": rng.random(n) < 0.2,
        }
    )


REFERENCE = Profile.from_frame(frame(np.random.default_rng(0), 600), y="y", n_bins=20)
SUMS = ("s1", "s2", "target_sum", "target_sum2")


def same(a, b):
    """Compare everything but the sums of raw values exactly, and those to 1e-12."""
    assert a.pairs == b.pairs
    assert (a.n_rows, a.missing, a.new, a.retyped) == (b.n_rows, b.missing, b.new, b.retyped)
    assert a.fingerprint == b.fingerprint
    assert a.names == b.names
    for one, two in zip((*a.columns, a.target), (*b.columns, b.target), strict=True):
        if one is None or two is None:
            assert one is two
            continue
        for field in dataclasses.fields(one):
            left, right = getattr(one, field.name), getattr(two, field.name)
            if field.name in SUMS and left is not None:
                scale = 1 + one.n * (abs(one.centre) + 10)
                np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12 * scale)
            else:
                np.testing.assert_array_equal(left, right, err_msg=field.name)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 300), max_size=6), st.randoms())
@settings(max_examples=40)
def test_any_split_in_any_order_is_one_pass(seed, cuts, shuffler: random.Random):
    live = frame(np.random.default_rng(seed), 300)
    whole = Profile.from_frame(live, like=REFERENCE)
    borders = [0, *sorted(cuts), 300]
    parts = [
        Profile.from_frame(live.iloc[a:b], like=REFERENCE) for a, b in itertools.pairwise(borders)
    ]
    shuffler.shuffle(parts)
    while len(parts) > 1:  # as a tree of any shape
        a = parts.pop(shuffler.randrange(len(parts)))
        b = parts.pop(shuffler.randrange(len(parts)))
        parts.append(a + b)
    same(parts[0], whole)


def test_blocks_are_not_seen(monkeypatch):
    live = frame(np.random.default_rng(1), 1000)
    whole = Profile.from_frame(live, like=REFERENCE)
    monkeypatch.setattr(mlsd.drift._build, "_ROWS", 37)
    same(Profile.from_frame(live, like=REFERENCE), whole)
    same(Profile.from_frame(frame(np.random.default_rng(0), 600), y="y", n_bins=20), REFERENCE)


def test_the_ways_to_add_rows_agree():
    live = frame(np.random.default_rng(2), 500)
    parts = [live.iloc[:100], live.iloc[100:101], live.iloc[101:101], live.iloc[101:]]
    whole = Profile.from_frame(live, like=REFERENCE)
    summed = sum(Profile.from_frame(part, like=REFERENCE) for part in parts)
    updated = Profile.from_frame(parts[0], like=REFERENCE)
    before = Profile.from_json(updated.to_json())
    for part in parts[1:]:
        updated_before, updated = updated, updated.update(part)
        assert updated_before.n_rows <= updated.n_rows
    chunked = Profile.from_chunks((part for part in parts), like=REFERENCE)
    assert summed == updated == chunked
    same(summed, whole)
    assert Profile.from_frame(parts[0], like=REFERENCE) == before
    features = live.drop(columns="y")
    same(Profile.from_frame(features.iloc[:0], like=REFERENCE).update(features, live["y"]), whole)


def test_like_mates_merge_with_the_reference():
    live = Profile.from_frame(frame(np.random.default_rng(3), 50), like=REFERENCE)
    both = REFERENCE + live
    assert both == live + REFERENCE
    assert both.n_rows == 650
    assert both["count"].n == 650
    np.testing.assert_array_equal(both["x"].counts, REFERENCE["x"].counts + live["x"].counts)
    np.testing.assert_array_equal(both.pairs.n, REFERENCE.pairs.n + live.pairs.n)
    # A live profile can stand for the reference: it has the cells.
    again = Profile.from_frame(frame(np.random.default_rng(3), 50), like=live)
    assert again == live


def test_parts_of_unlike_columns():
    rng = np.random.default_rng(4)
    parts = [frame(rng, 40) for _ in range(4)]
    parts[1] = parts[1].drop(columns="near").assign(extra=1)
    parts[2] = parts[2].assign(level=1.5)
    parts[3] = parts[3][["level", "x", "near", "count", "gap", "flag", "time", "y"]]
    profiles = [Profile.from_frame(part, like=REFERENCE) for part in parts]
    whole = sum(profiles)
    assert whole.missing == ("near",)
    assert whole.new == ("extra",)
    assert list(whole.retyped) == ["level"]
    assert (whole["x"].n, whole["near"].n, whole["level"].n) == (160, 120, 120)
    same(sum(profiles[::-1]), whole)
    assert sum(profiles[::-1]).order == whole.order
    with_both = (parts[0], parts[2], parts[3])
    assert whole.pairs.n[0, 1] == sum(part["x"].notna().sum() for part in with_both)
    assert Profile.from_json(whole.to_json()) == whole


def test_other_types_in_other_parts():
    reference = Profile.from_frame(pd.DataFrame({"a": [1, 2]}))
    parts = [
        Profile.from_frame(pd.DataFrame({"a": values}), like=reference)
        for values in ([1, 2], [1.5], pd.array([1, None], "Int64"), pd.Series([None], dtype=object))
    ]
    assert sum(parts)["a"].dtype == "Int64 | float64 | int64 | object"
    same(sum(parts[::-1]), sum(parts))


def test_merging_leaves_both_as_they_were():
    a = Profile.from_frame(frame(np.random.default_rng(5), 30), like=REFERENCE)
    b = Profile.from_frame(frame(np.random.default_rng(6), 30), like=REFERENCE)
    texts = a.to_json(), b.to_json()
    _ = a + b
    assert (a.to_json(), b.to_json()) == texts


def test_what_does_not_merge():
    one = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [1, 2]})
    reference = Profile.from_frame(one)
    other = Profile.from_frame(pd.DataFrame({"a": [1, 3], "b": ["x", "z"], "c": [1, 2]}))
    with pytest.raises(ValueError, match=r"the cells differ of \['a', 'b'\]: make both with like"):
        reference + other
    with pytest.raises(ValueError, match=r"only one has \['c', 'd'\]"):
        reference + Profile.from_frame(one.rename(columns={"c": "d"}))
    with pytest.raises(ValueError, match="columns come in another order, or their pairs differ"):
        reference + Profile.from_frame(one[["b", "a", "c"]])
    with pytest.raises(ValueError, match="or their pairs differ"):
        reference + Profile.from_frame(one, pairs=False)
    with pytest.raises(ValueError, match=r"only one has \['target'\]"):
        Profile.from_frame(one, y=pd.Series(["u", "v"])) + reference
    with pytest.raises(TypeError, match="unsupported operand"):
        reference + 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(reference)
    assert reference != other
    assert reference != 1


def first_chunks_are_poor(rng, n):
    """Return chunks of which the first lacks values, levels and a column."""
    whole = frame(rng, n)
    whole.loc[: n // 4 - 1, "level"] = None
    whole.loc[: n // 4 - 1, "x"] = np.nan
    chunks = [whole.iloc[a : a + n // 4] for a in range(0, n, n // 4)]
    chunks[1] = chunks[1].assign(level=chunks[1]["level"].where(chunks[1]["level"] == "a"))
    return pd.concat(chunks), chunks


def test_a_reference_from_chunks_is_that_of_the_whole():
    whole, chunks = first_chunks_are_poor(np.random.default_rng(7), 800)
    expected = Profile.from_frame(whole, y="y", n_bins=50)
    same(Profile.from_chunks(chunks, y="y", n_bins=50), expected)
    same(Profile.from_chunks(lambda: iter(chunks), y="y", n_bins=50), expected)
    empty_first = [chunks[0].assign(x=pd.Series([None] * 200, dtype=object)), *chunks[1:]]
    result = Profile.from_chunks(empty_first, y="y", n_bins=50)
    assert result.fingerprint == expected.fingerprint
    tables = [pl.from_pandas(chunk) for chunk in chunks]
    assert Profile.from_chunks(tables, y="y", n_bins=50).fingerprint == expected.fingerprint


def test_a_large_reference_from_chunks(monkeypatch):
    monkeypatch.setattr(mlsd.drift._chunks, "_SAMPLE", 500)
    monkeypatch.setattr(mlsd.drift._chunks, "_MOST_LEVELS", 100)
    rng = np.random.default_rng(8)
    n = 12_000
    whole = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "count": rng.poisson(2, n),
            "rare": (rng.random(n) < 0.0005) * 1.0,
            "level": rng.choice(list("abc"), n),
            "id": [str(i) for i in range(n)],
            "y": rng.random(n) < 0.5,
        }
    )
    whole.loc[5, "x"] = -50.0
    chunks = [whole.iloc[a : a + 1000] for a in range(0, n, 1000)]
    result = Profile.from_chunks(chunks, y="y", n_bins=20, max_categories=50)
    exact = Profile.from_frame(whole, y="y", n_bins=20)
    x = result["x"]
    assert (x.ref_minimum, x.ref_maximum) == (-50, whole["x"].max())
    assert x.n_below == x.n_above == 0
    assert x.counts.size == 20
    assert x.counts.sum() == n
    np.testing.assert_allclose(x.counts, n / 20, rtol=1)  # the sample has 25 a cell
    cells = np.searchsorted(x.edges, whole["x"], side="right")
    np.testing.assert_array_equal(x.counts, np.bincount(cells))
    for name in ("count", "rare"):
        assert result[name].discrete
        np.testing.assert_array_equal(result[name].counts, exact[name].counts)
    assert result["level"].levels == exact["level"].levels
    assert (result["id"].n_other, result["id"].levels) == (n, ())
    assert result["x"].target_n.sum() == n
    again = Profile.from_chunks(chunks, y="y", n_bins=20, max_categories=50)
    assert again == result
    same(Profile.from_chunks(chunks[::-1], like=result), result)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda c: Profile.from_chunks(iter(c)), TypeError, "chunks can be read only once"),
        (lambda c: Profile.from_chunks([]), ValueError, "chunks holds no table"),
        (lambda c: Profile.from_chunks([], like=REFERENCE), ValueError, "chunks holds no table"),
        (lambda c: Profile.from_chunks(c[0]), TypeError, "X must be a table"),
        (lambda c: Profile.from_chunks(c, y=[0, 1]), TypeError, "y must name a column; got list"),
        (lambda c: Profile.from_chunks(c, n_bins=0), ValueError, "n_bins must be at least 1"),
        (
            lambda c: Profile.from_chunks([c[0], c[0].assign(x="text")]),
            ValueError,
            "chunks disagree on the type of 'x': float64 in one and str in another",
        ),
    ],
)
def test_errors_of_chunks(call, error, match):
    chunks = [frame(np.random.default_rng(9), 10) for _ in range(2)]
    with pytest.raises(error, match=match):
        call(chunks)
