"""The k largest against a full stable sort, on orders made to mislead a sample too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import mlsd.funnel.topk as module
from mlsd.funnel import top_k

quick = settings(max_examples=100, deadline=None)
LONG = 40_000


def full_sort(scores, k):
    """Sort each row in Python: by falling value, then by rising position."""
    rows = np.atleast_2d(scores).tolist()
    order = [sorted(range(len(row)), key=lambda at, row=row: (-row[at], at))[:k] for row in rows]
    positions = np.array(order, dtype=np.int64).reshape(len(rows), -1)
    values = np.take_along_axis(np.atleast_2d(scores), positions, axis=1)
    return (positions[0], values[0]) if scores.ndim == 1 else (positions, values)


def check(scores, k):
    positions, values = top_k(scores, k)
    expected, expected_values = full_sort(scores, k)
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(values, expected_values)
    assert positions.dtype == np.int64
    assert values.dtype == scores.dtype


def few_distinct(rng, n, share):
    """Return zeros but for a share of the places."""
    scores = np.zeros(n)
    at = rng.permutation(n)[: int(share * n)]
    scores[at] = rng.integers(1, 500, at.size)
    return scores


def orders(n):
    rng = np.random.default_rng(n)
    sampled = np.zeros(n, dtype=np.bool_)
    sampled[module.spread(n, min(module._SAMPLE, n // module._SHARE))] = True
    noise = rng.permutation(n) + 1.0
    return {
        "random": noise,
        "rising": np.arange(float(n)),
        "falling": -np.arange(float(n)),
        "constant": np.full(n, 3.0),
        "periodic": np.arange(n) % 100.0,
        "a period of the sample's size": np.arange(n) % (n // 4096 + 1.0),
        "mostly zero": few_distinct(rng, n, 0.02),
        "hardly anything but zero": few_distinct(rng, n, 0.001),
        "zeros above": -few_distinct(rng, n, 0.9),
        "ten values": rng.integers(0, 10, n).astype(float),
        "the best at the end": np.where(np.arange(n) > n - 50, noise, 0.0),
        "infinite": rng.choice([-np.inf, 0.0, np.inf], n, p=[0.9, 0.09, 0.01]),
        "most are -inf": np.where(rng.random(n) < 0.001, noise, -np.inf),
        # All sampled are low: far too many exceed them. All are high: too few, and none is equal.
        "low sample": np.where(sampled, 0.0, noise),
        "high sample": np.where(sampled, noise + n, noise),
        "high sample of ones": np.where(sampled, 1.0, -noise),
    }


@pytest.mark.parametrize("k", [1, 10, 1000, LONG // 16, LONG // 3, LONG, LONG + 1])
@pytest.mark.parametrize("order", orders(64))
def test_long_vectors_in_every_order(order, k):
    check(orders(LONG)[order], k)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint16, np.bool_])
@pytest.mark.parametrize("k", [3, 500])
def test_types(dtype, k):
    rng = np.random.default_rng(1)
    few, many = (0, 2) if dtype == np.bool_ else (0, 120)
    check(rng.integers(few, many, 20_000).astype(dtype), k)
    check((rng.random((3, 9000)) < 0.001).astype(dtype), k)
    check(rng.integers(few, many, (40, 300)).astype(dtype), k)


def test_extreme_integers():
    low, high = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    check(np.array([low, 0, high, low, high - 1] * 1000), 2500)
    check(np.array([0, 255, 1, 255, 0] * 1000, dtype=np.uint8), 200)
    # A table whose rows find unequally many is filled up with the lowest: it must lose its ties.
    table = np.full((2, 5000), low)
    table[0, :400] = np.arange(400)
    table[1, 4000] = 1
    check(table, 300)


@pytest.mark.parametrize(("m", "n"), [(70, 4500), (5, 60_000), (3000, 90), (300, 700)])
@pytest.mark.parametrize("k", [1, 40, 2000])
def test_tables(m, n, k):
    rng = np.random.default_rng(m)
    kinds = [
        rng.normal(size=n),
        np.arange(n) / 7,
        np.zeros(n),
        few_distinct(rng, n, 0.01),
        np.full(n, -np.inf),
        rng.integers(0, 3, n).astype(float),
    ]
    table = np.stack([kinds[row % len(kinds)] for row in range(m)])
    check(table, k)
    np.testing.assert_array_equal(top_k(table, k)[0][0], top_k(table[0], k)[0])


def test_a_table_where_the_sample_misleads_in_some_rows():
    rng = np.random.default_rng(3)
    table = rng.random((6, 8000))
    sampled = module.spread(8000, 8000 // module._SHARE)
    table[1, sampled] += 1  # too few exceed what was seen
    table[4, sampled] = -1.0  # and here nearly all
    check(table, 100)


def test_only_what_exceeds_the_threshold_is_partitioned(monkeypatch):
    sizes = []
    partition = module._by_partition
    monkeypatch.setattr(
        module, "_by_partition", lambda table, k: sizes.append(table.size) or partition(table, k)
    )
    for name in ["random", "rising", "falling", "constant", "periodic", "mostly zero"]:
        check(orders(LONG)[name], 10)
    assert sizes == []
    check(orders(LONG)["low sample"], 10)
    assert sizes == [LONG]


numbers = st.one_of(
    st.integers(-2, 2).map(float), st.floats(allow_nan=False, width=64), st.just(-0.0)
)


@quick
@given(arrays(float, array_shapes(max_dims=2, max_side=40), elements=numbers), st.integers(1, 45))
def test_any_numbers(scores, k):
    check(scores, k)


@quick
@given(st.integers(1, 3000), st.integers(1, 8), st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_any_long_rows(extra, distinct, k, seed):
    rng = np.random.default_rng(seed)
    check(rng.integers(0, 3**distinct, (2, 2047 + extra)).astype(float), k)


@quick
@given(arrays(float, st.integers(1, 60), elements=numbers), st.integers(1, 60))
def test_the_short_list_is_the_head_of_the_long_one(scores, k):
    positions, values = top_k(scores, k)
    more_positions, more_values = top_k(scores, k + 1)
    np.testing.assert_array_equal(positions, more_positions[: positions.size])
    np.testing.assert_array_equal(values, more_values[: values.size])
    assert (values[1:] <= values[:-1]).all()


def test_views_and_byte_orders():
    rng = np.random.default_rng(5)
    table = rng.normal(size=(9000, 7))
    for scores in (table.T, table[::2, 3], table[::-1, 1], table[:, 2].astype(">f8")):
        np.testing.assert_array_equal(top_k(scores, 20)[0], full_sort(np.array(scores), 20)[0])


def test_input_is_not_changed_and_output_is_its_own():
    scores = np.random.default_rng(6).random(5000)
    before = scores.copy()
    positions, values = top_k(scores, 10)
    positions[:], values[:] = -1, -1.0
    np.testing.assert_array_equal(scores, before)
    assert top_k(scores, 10)[0][0] == scores.argmax()


def test_columns_and_lists():
    expected = [2, 0]
    for scores in ([2, 1, 3], (2.0, 1.0, 3.0), pd.Series([2, 1, 3], index=[7, 8, 9])):
        assert top_k(scores, 2)[0].tolist() == expected
    assert top_k(pd.array([2, 1, 3], dtype="Int64"), 2)[0].tolist() == expected
    assert top_k(pd.DataFrame([[2, 1, 3]]), 2)[0].tolist() == [expected]


def test_nothing_to_choose_from():
    for shape in [(0,), (0, 5), (3, 0), (0, 0)]:
        positions, values = top_k(np.zeros(shape), 4)
        assert positions.shape == values.shape == (*shape[:-1], min(4, shape[-1]))


@pytest.mark.parametrize("n", [1, 3, 500, 5000, LONG])
@pytest.mark.parametrize("k", [1, 100, 10**6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_wherever_it_stands(n, k, dtype):
    for base in (np.zeros(n), np.arange(float(n)), np.random.default_rng(n).random(n)):
        for at in {0, n // 2, n - 1}:
            scores = base.astype(dtype)
            scores[at] = np.nan
            with pytest.raises(ValueError, match=f"scores holds 1 NaN among {n} values"):
                top_k(scores, k)
    table = np.zeros((4, n), dtype=dtype)
    table[2] = np.nan
    with pytest.raises(ValueError, match=f"scores holds {n} NaN among {4 * n} values"):
        top_k(table, k)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: top_k([1.0], 0), ValueError, "k must be at least 1; got 0"),
        (lambda: top_k([1.0], 1.5), TypeError, r"k must be an integer; got 1.5 \(float\)"),
        (lambda: top_k(["a"], 1), TypeError, "scores must be numeric; got <U1"),
        (lambda: top_k([1j], 1), TypeError, "scores must be numeric; got complex128"),
        (lambda: top_k(3.0, 1), ValueError, r"one or two dimensions; got shape \(\)"),
        (lambda: top_k(np.zeros((1, 1, 1)), 1), ValueError, r"dimensions; got shape \(1, 1, 1\)"),
        (lambda: top_k([[1, 2], [3]], 1), ValueError, "scores must have rows of one length"),
        (lambda: top_k([1.0, None], 1), ValueError, "scores holds 1 NaN among 2 values"),
    ],
)
def test_errors(call, error, match):
    with pytest.raises(error, match=match):
        call()
