"""MMD: against the double loop and a naive permutation, and bad input."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel

from mlsd.drift.kernel import _permuted, mmd


def frame(rng, n=100, k=3, mean=0.0):
    return pd.DataFrame(rng.normal(mean, 1, size=(n, k)), columns=list("abcdef")[:k])


def naive(x, y, width):
    def k(u, v):
        return np.exp(-((u - v) ** 2).sum() / (2 * width**2))

    n, m = len(x), len(y)
    within = sum(k(u, v) for u, v in itertools.permutations(x, 2)) / (n * (n - 1))
    other = sum(k(u, v) for u, v in itertools.permutations(y, 2)) / (m * (m - 1))
    between = sum(k(u, v) for u in x for v in y) / (n * m)
    return within + other - 2 * between


def standardised(ref, live):
    return [((side - ref.mean()) / ref.std(ddof=0)).to_numpy() for side in (ref, live)]


def test_value_and_bandwidth_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    ref, live = frame(rng, 30) * 100 + 5, frame(rng, 20, mean=0.3) * 100
    x, y = standardised(ref, live)
    both = np.vstack((x, y))
    distances = [np.linalg.norm(u - v) for u, v in itertools.combinations(both, 2)]
    result = mmd(ref, live, random_state=0)
    assert result.bandwidth == pytest.approx(np.median(distances))
    assert result.value == pytest.approx(naive(x, y, result.bandwidth))
    fixed = mmd(ref, live, bandwidth=0.7, random_state=0)
    assert fixed.value == pytest.approx(naive(x, y, 0.7))


def test_permutations_are_splits_of_the_pooled_rows():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(7, 2))
    kernel = rbf_kernel(values, gamma=0.5)
    np.fill_diagonal(kernel, 0)
    found = _permuted(kernel, 3, 400, np.random.default_rng(2))
    every = [
        naive(values[list(split)], np.delete(values, list(split), axis=0), 1.0)
        for split in itertools.combinations(range(7), 3)
    ]
    assert found[0] == pytest.approx(every[0])
    np.testing.assert_allclose(np.unique(found.round(9)), np.unique(np.round(every, 9)))
    assert found[1:].mean() == pytest.approx(np.mean(every), abs=0.02)


def test_p_values_are_honest():
    rng = np.random.default_rng(3)
    p = [
        mmd(frame(rng, 40), frame(rng, 30), n_permutations=99, random_state=rng).p_value
        for _ in range(300)
    ]
    assert 0.025 <= np.mean(np.array(p) <= 0.05) <= 0.085
    assert min(p) >= 0.01


def test_a_flipped_correlation_is_seen():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 500))
    ref = pd.DataFrame({"a": a, "b": 0.8 * a + 0.6 * b})
    a, b = rng.normal(size=(2, 500))
    live = pd.DataFrame({"a": a, "b": -0.8 * a + 0.6 * b})
    result = mmd(ref, live, n_permutations=199, random_state=0)
    assert result.p_value == 1 / 200
    assert result.value > result.critical


def test_rows_are_sampled_and_counted_and_a_seed_repeats_them():
    rng = np.random.default_rng(5)
    ref, live = frame(rng, 300), frame(rng, 50)
    result = mmd(ref, live, max_rows=100, n_permutations=20, random_state=1)
    assert (result.n_ref, result.n_live, result.rows_ref) == (100, 50, 300)
    assert "100 of 300 complete rows" in result._repr_html_()
    assert mmd(ref, live, max_rows=100, n_permutations=20, random_state=1) == result
    assert mmd(ref, live, max_rows=100, n_permutations=20, random_state=2) != result


def test_nulls_raise_or_are_dropped_and_counted():
    rng = np.random.default_rng(6)
    ref, live = frame(rng), frame(rng)
    ref.loc[:4, "a"] = np.nan
    live.loc[3, "b"] = np.inf
    with pytest.raises(ValueError, match=r"X_ref has NULL or .* 5 of 100 rows, in the columns"):
        mmd(ref, live)
    result = mmd(ref, live, missing="drop", random_state=0)
    assert (result.n_ref, result.n_live) == (95, 99)
    assert (result.dropped_ref, result.dropped_live) == (5, 1)
    complete = mmd(ref.iloc[5:], live.drop(index=3), random_state=0)
    assert result.value == complete.value
    assert result.p_value == complete.p_value


def test_what_takes_part():
    rng = np.random.default_rng(7)
    ref = frame(rng).assign(s="x", flat=1.0, flag=rng.random(100) < 0.5)
    live = frame(rng).assign(s="x", flat=2.0, flag=rng.random(100) < 0.5)
    result = mmd(pl.from_pandas(ref), live, n_permutations=20, random_state=0)
    assert result.columns == ("a", "b", "c", "flag")
    assert result.excluded == {
        "s": "categorical, not numeric or boolean",
        "flat": "constant in X_ref",
    }


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_properties(seed):
    rng = np.random.default_rng(seed)
    ref, live = frame(rng, 25), frame(rng, 20)
    base = mmd(ref, live, n_permutations=20, random_state=0)
    moved = mmd(ref.iloc[::-1] * 9 - 4, live.iloc[::-1] * 9 - 4, n_permutations=20, random_state=0)
    assert moved.value == pytest.approx(base.value, abs=1e-9)
    assert moved.bandwidth == pytest.approx(base.bandwidth)
    assert 1 / 21 <= base.p_value <= 1
    far = mmd(ref, live + 100, n_permutations=20, random_state=0)
    assert far.value > base.value
    assert far.p_value == 1 / 21


FRAME = frame(np.random.default_rng(8), 20)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: mmd(FRAME, FRAME, bandwidth="mean"), ValueError, "bandwidth must be one of"),
        (lambda: mmd(FRAME, FRAME, bandwidth=0), ValueError, "bandwidth must be finite and above"),
        (lambda: mmd(FRAME, FRAME, n_permutations=5), ValueError, "n_permutations must be at le"),
        (lambda: mmd(FRAME, FRAME, max_rows=5), ValueError, "max_rows must be at least 10; got 5"),
        (lambda: mmd(FRAME, FRAME, missing="mean"), ValueError, "missing must be one of"),
        (lambda: mmd(FRAME, FRAME, alpha=1), ValueError, "alpha must lie strictly"),
        (lambda: mmd(FRAME, FRAME.head(1)), ValueError, "X_live has 1 complete rows; 2 are needed"),
        (lambda: mmd(FRAME, FRAME[[]]), ValueError, "share no numeric column"),
        (lambda: mmd(FRAME * 0, FRAME), ValueError, r"X_ref is constant in all of \['a', 'b', 'c'"),
        (
            lambda: mmd(FRAME.assign(a=[1.0] + [0.0] * 19)[["a"]], FRAME.assign(a=0.0)[["a"]]),
            ValueError,
            "the median distance of two rows is 0",
        ),
        (lambda: mmd(FRAME, FRAME, random_state="x"), TypeError, "random_state"),
        (lambda: mmd(FRAME, 3), TypeError, "X_live must be a table"),
    ],
)
def test_bad_input(call, error, match):
    with pytest.raises(error, match=match):
        call()
