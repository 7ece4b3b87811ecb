"""Co-moments against pandas, an explicit sum over rows, and a bootstrap of the correlation."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mlsd.drift._pairs import PairWork, merge_pairs, plan_pairs
from mlsd.drift.profile import Profile


def clipped(frame, profile):
    """Return the whole numbers that the pairs are made of, as a frame; NULL is NaN."""
    columns = {}
    for name in profile.pairs.names:
        column = profile[name]
        values = frame[name].astype(float).clip(column.clip_low, column.clip_high)
        columns[name] = ((values - column.centre) / column.step).round()
    return pd.DataFrame(columns)


def sample(rng, n, *, null=0.2):
    """Return correlated columns of several shapes, some with NULLs."""
    z = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "a": z,
            "b": z + rng.normal(size=n),
            "c": rng.lognormal(size=n) - z,
            "d": rng.poisson(2, n),
            "e": 1e6 + 0.01 * rng.standard_t(5, n),
        }
    )
    for name in "bc":
        frame.loc[rng.random(n) < null, name] = np.nan
    return frame


def test_correlations_against_pandas():
    frame = sample(np.random.default_rng(0), 5000)
    reference = Profile.from_frame(frame)
    whole = clipped(frame, reference)
    np.testing.assert_allclose(
        reference.pairs.correlation(), whole.corr().to_numpy(), rtol=0, atol=1e-12
    )
    # Rounding to steps is hardly seen in the correlation of the clipped values.
    limits = {name: (reference[name].clip_low, reference[name].clip_high) for name in frame}
    plain = frame.apply(lambda column: column.astype(float).clip(*limits[column.name]))
    np.testing.assert_allclose(
        reference.pairs.correlation(), plain.corr().to_numpy(), rtol=0, atol=5e-4
    )
    live = sample(np.random.default_rng(1), 3000, null=0.6) * [1, -1, 1, 1, 1]
    found = Profile.from_frame(live, like=reference)
    expected = clipped(live, reference).corr().to_numpy()
    np.testing.assert_allclose(found.pairs.correlation(), expected, rtol=0, atol=1e-12)
    both = live.notna().to_numpy().astype(int)
    np.testing.assert_array_equal(found.pairs.n, both.T @ both)


def naive_variance(x, y):
    """Return n Var of Fisher's z from central moments, one pair at a time."""
    keep = ~(np.isnan(x) | np.isnan(y))
    x, y = x[keep], y[keep]
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    r = (x * y).mean()
    # The influence of a row on r is x y - r (x^2 + y^2) / 2.
    return ((x * y - r * (x**2 + y**2) / 2) ** 2).mean() / (1 - r**2) ** 2


def test_variances_against_influence_values():
    frame = sample(np.random.default_rng(2), 4000)
    live = sample(np.random.default_rng(3), 2000).add([0.5, -0.5, 1, 0, 0.01])
    reference = Profile.from_frame(frame)
    for rows, profile in (
        (frame, reference),
        (live, Profile.from_frame(live, like=reference)),
    ):
        whole = clipped(rows, profile).to_numpy()
        variance = profile.pairs.variance()
        assert np.isnan(np.diagonal(variance)).all()
        for i in range(5):
            for j in range(5):
                if i != j:
                    expected = naive_variance(whole[:, i], whole[:, j])
                    assert variance[i, j] == pytest.approx(expected, rel=1e-9)


def test_tails_against_scipy():
    frame = sample(np.random.default_rng(9), 4000)
    profile = Profile.from_frame(frame)
    whole = clipped(frame, profile)
    skewness, kurtosis = profile.pairs.tails()
    for i in range(5):
        for j in range(5):
            both = whole.iloc[:, [i, j]].dropna().to_numpy()
            first, second = stats.skew(both)
            assert skewness[i, j] == pytest.approx(first * second, rel=1e-9, abs=1e-12)
            expected = np.prod(stats.kurtosis(both, fisher=False))
            assert kurtosis[i, j] == pytest.approx(expected, rel=1e-9)


def test_the_variance_is_one_for_normal_and_for_independent_pairs():
    rng = np.random.default_rng(4)
    n = 200_000
    z = rng.normal(size=n)
    frame = pd.DataFrame(
        {"a": z, "b": 0.6 * z + 0.8 * rng.normal(size=n), "skewed": rng.exponential(size=n)}
    )
    variance = Profile.from_frame(frame).pairs.variance()
    assert variance[0, 1] == pytest.approx(1, abs=0.02)
    assert variance[0, 2] == pytest.approx(1, abs=0.02)


def test_the_variance_against_a_bootstrap_where_the_normal_formula_fails():
    rng = np.random.default_rng(5)
    n = 1500
    spread = rng.choice([0.3, 2.0], n)  # a common scale: uncorrelated, not independent
    frame = pd.DataFrame({"a": spread * rng.normal(size=n), "b": spread * rng.normal(size=n)})
    profile = Profile.from_frame(frame)
    whole = clipped(frame, profile).to_numpy()
    rows = rng.integers(n, size=(2000, n))
    x, y = whole[rows, 0], whole[rows, 1]
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    r = (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))
    expected = n * np.arctanh(r).var()
    assert expected > 1.5
    assert profile.pairs.variance()[0, 1] == pytest.approx(expected, rel=0.1)


def test_constant_columns_and_short_frames_are_nan():
    frame = pd.DataFrame({"a": [1.0, 2, 3], "b": [5.0, 5, 5], "c": [np.nan, 1, np.nan]})
    pairs = Profile.from_frame(frame).pairs
    assert np.isnan(pairs.correlation()[1]).all()
    assert np.isnan(pairs.correlation()[0, 2])
    assert np.isnan(pairs.variance()).all()
    assert pairs.correlation()[0, 0] == 1
    empty = Profile.from_frame(frame.iloc[:0], like=Profile.from_frame(frame)).pairs
    assert np.isnan(empty.correlation()).all()
    assert (empty.n == 0).all()
    line = Profile.from_frame(pd.DataFrame({"a": [1.0, 2, 3], "b": [2.0, 4, 6]})).pairs
    assert line.correlation()[0, 1] == pytest.approx(1, abs=1e-15)
    assert line.variance()[0, 1] == line.variance()[1, 0] == 1
    assert np.isnan(np.diagonal(line.variance())).all()


def test_one_corrupt_value_hides_no_correlation():
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"a": rng.normal(size=5000)})
    frame["b"] = frame["a"] + rng.normal(size=5000)
    reference = Profile.from_frame(frame)
    live = frame.copy()
    live.loc[0, "a"], live.loc[1, "b"] = 1e6, np.inf
    assert abs(live.loc[2:].corr().iloc[0, 1] - 0.7) < 0.02
    found = Profile.from_frame(live, like=reference).pairs.correlation()[0, 1]
    assert found == pytest.approx(reference.pairs.correlation()[0, 1], abs=0.005)


def test_huge_numbers_keep_their_correlation():
    rng = np.random.default_rng(7)
    x = rng.normal(size=2000)
    frame = pd.DataFrame({"a": x * 1e307, "b": x + rng.normal(size=2000)})
    found = Profile.from_frame(frame).pairs.correlation()[0, 1]
    assert found == pytest.approx(np.corrcoef(x, frame["b"])[0, 1], abs=0.01)


def test_which_columns_have_pairs():
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(rng.normal(size=(50, 70)), columns=[*map(str, range(70))])
    frame["text"] = "x"
    profile = Profile.from_frame(frame)
    assert profile.pairs.names == tuple(map(str, range(64)))
    assert profile.pairs_skipped == 6
    chosen = Profile.from_frame(frame, pairs=["69", "3"])
    assert chosen.pairs.names == ("69", "3")
    assert chosen.pairs_skipped == 68
    expected = clipped(frame, chosen).corr().iloc[0, 1]
    assert chosen.pairs.correlation()[0, 1] == pytest.approx(expected, abs=1e-12)
    none = Profile.from_frame(frame, pairs=False)
    assert (none.pairs, none.pairs_skipped) == (None, 70)
    live = Profile.from_frame(frame.drop(columns="3"), like=chosen)
    assert live.pairs.n.tolist() == [[50, 0], [0, 0]]
    assert np.isnan(live.pairs.correlation()[0, 1])


def random_block(rng, k, n):
    block = rng.integers(-512, 513, size=(k, n)).astype(float)
    null = {1: rng.random(n) < 0.3, 2: rng.random(n) < 0.5}
    for i, rows in null.items():
        block[i, rows] = 0
    return block, null


@given(st.integers(0, 2**32 - 1), st.integers(0, 200))
@settings(max_examples=20)
def test_all_sums_are_those_of_python_integers(seed, cut):
    rng = np.random.default_rng(seed)
    block, null = random_block(rng, 3, 200)
    plan = plan_pairs(list(Profile.from_frame(pd.DataFrame(np.eye(3))).columns))
    parts = []
    for rows in (slice(0, cut), slice(cut, None)):
        work = PairWork(plan)
        work.add(block[:, rows], {i: part[rows] for i, part in null.items()})
        parts.append(work.done())
    pairs = merge_pairs(*parts)
    assert pairs == merge_pairs(*parts[::-1])
    q = [[int(value) for value in row] for row in block]
    missing = [null.get(i, np.zeros(200, dtype=bool)).tolist() for i in range(3)]

    def total(i, j, a, b):
        return sum(x**a * y**b for x, y in zip(q[i], q[j], strict=True))

    def wide(parts, i, j):
        return int(parts[0, i, j]) * 2**40 + int(parts[1, i, j])

    for i in range(3):
        for j in range(3):
            assert pairs.p11[i, j] == total(i, j, 1, 1)
            assert pairs.p21[i, j] == total(i, j, 2, 1)
            assert wide(pairs.p22, i, j) == total(i, j, 2, 2)
            assert wide(pairs.p31, i, j) == total(i, j, 3, 1)
            lost = [
                sum(x**a for x, gone in zip(q[i], missing[j], strict=True) if gone)
                for a in range(1, 5)
            ]
            assert [pairs.lost_1[i, j], pairs.lost_2[i, j], pairs.lost_3[i, j]] == lost[:3]
            assert wide(pairs.lost_4, i, j) == lost[3]


def test_sums_of_many_rows_do_not_overflow():
    plan = plan_pairs(list(Profile.from_frame(pd.DataFrame({"a": [0, 1], "b": [0, 1]})).columns))
    work = PairWork(plan)
    block = np.full((2, 1 << 15), 512.0)
    block[:, ::2] = -512.0
    work.add(block, {})
    pairs = work.done()
    rows = 1 << 15
    while rows < 10**12:
        pairs, rows = merge_pairs(pairs, pairs), 2 * rows
    assert pairs.n[0, 1] == rows
    assert pairs.correlation()[0, 1] == 1
    assert int(pairs.p22[0, 0, 1]) * 2**40 + int(pairs.p22[1, 0, 1]) == 512**4 * rows


HIGH = ("p21", "p22", "p31", "lost_3", "lost_4")


def is_set(pairs, name):
    """Return whether a field has its value, without asking for it in a way that gives it one."""
    try:
        object.__getattribute__(pairs, name)
    except AttributeError:
        return False
    return True


def random_pairs(seed, n, *, later):
    block, null = random_block(np.random.default_rng(seed), 3, n)
    plan = plan_pairs(list(Profile.from_frame(pd.DataFrame(np.eye(3))).columns))
    work = PairWork(plan, n if later else 0)
    for rows in (slice(0, n // 3), slice(n // 3, n)):
        work.add(block[:, rows], {i: part[rows] for i, part in null.items() if part[rows].any()})
    return work.done()


@pytest.mark.parametrize("n", [1, 50, 9000])
def test_sums_that_wait_are_those_that_do_not(n):
    waiting, expected = random_pairs(n, n, later=True), random_pairs(n, n, later=False)
    np.testing.assert_array_equal(waiting.correlation(), expected.correlation())
    assert not any(is_set(waiting, name) for name in HIGH)
    np.testing.assert_array_equal(waiting.variance(), expected.variance())
    assert all(is_set(waiting, name) for name in HIGH)
    assert waiting == expected


@pytest.mark.parametrize(
    "use",
    [
        lambda pairs: pickle.loads(pickle.dumps(pairs)),
        copy.deepcopy,
        lambda pairs: dataclasses.replace(pairs),
        lambda pairs: merge_pairs(pairs, pairs.empty()),
        lambda pairs: merge_pairs(pairs.empty(), pairs),
    ],
)
def test_what_waits_is_not_lost(use):
    assert use(random_pairs(0, 200, later=True)) == random_pairs(0, 200, later=False)


def test_live_profiles_wait_and_references_do_not():
    frame = sample(np.random.default_rng(8), 300)
    reference = Profile.from_frame(frame)
    assert is_set(reference.pairs, "p22")
    live = Profile.from_frame(frame.drop(columns="c"), like=reference)
    assert not is_set(live.pairs, "p22")
    stored = Profile.from_json(live.to_json())
    assert stored == live
    assert Profile.from_frame(frame, like=reference).pairs == reference.pairs
    chunks = Profile.from_chunks([frame.iloc[:100], frame.iloc[100:]])
    assert chunks.pairs == reference.pairs


def test_many_rows_do_not_wait(monkeypatch):
    monkeypatch.setattr("mlsd.drift._pairs._MOST_LATER", 600)
    assert not is_set(random_pairs(0, 200, later=True), "p22")
    assert is_set(random_pairs(0, 201, later=True), "p22")


def test_a_field_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="p99"):
        random_pairs(0, 10, later=True).p99  # noqa: B018
