"""Slates against a naive sort, and their propensities against every slate there can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mlsd.world._slate import explore, plackett_luce, top


def naive_top(score, k):
    return [
        sorted(range(len(row)), key=lambda column, row=row: (-row[column], column))[:k]
        for row in score
    ]


@pytest.mark.parametrize("n_columns", [1, 2, 3, 16, 17, 30, 64, 100])
@pytest.mark.parametrize("rounded", [False, True])
def test_top_against_a_sort(n_columns, rounded):
    score = np.random.default_rng(n_columns).normal(size=(300, n_columns))
    score = np.round(score) if rounded else score  # with many ties
    for k in {1, min(2, n_columns), (n_columns + 1) // 2, n_columns}:
        assert top(score, k).tolist() == naive_top(score.tolist(), k)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 40)),
        elements=st.one_of(
            st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-52, 1.0 - 2**-53, -1.0, 5e-324, -np.inf]),
            st.floats(allow_nan=False),
        ),
    ),
    st.integers(1, 40),
)
def test_top_of_any_numbers(score, k):
    k = min(k, score.shape[1])
    before = score.copy()
    assert top(score, k).tolist() == naive_top(score.tolist(), k)
    np.testing.assert_array_equal(score, before)


def test_top_tells_neighbouring_floats_apart_at_the_edge_of_the_slate():
    # They differ in bits that the packed key gives up, and only one of them is in the slate.
    close = 1.0 + 2.0**-52 * np.arange(30)
    assert top(close[None, :], 3).tolist() == [[29, 28, 27]]
    assert top(-close[None, :], 3).tolist() == [[0, 1, 2]]
    assert top(close[None, :].astype(np.float32), 3).tolist() == [[0, 1, 2]]  # equal there


def test_top_keeps_the_order_of_ties():
    assert top(np.zeros((2, 30)), 4).tolist() == [[0, 1, 2, 3]] * 2
    assert top(np.array([[0.0, -0.0, 0.0]]), 3).tolist() == [[0, 1, 2]]


def uniforms(seed, n_rows, n_columns):
    rng = np.random.default_rng(seed)
    return rng.random(n_rows), rng.random((n_rows, n_columns))


def test_explore_against_a_loop():
    rng = np.random.default_rng(3)
    score = rng.normal(size=(400, 7))
    u_switch, u_noise = uniforms(4, 400, 7)
    order, propensity, greedy = explore(score, 3, 0.3, u_switch, u_noise)
    explored = 0
    for row in range(400):
        best = naive_top([score[row]], 3)[0]
        shown = naive_top([u_noise[row]], 3)[0] if u_switch[row] < 0.3 else best
        explored += shown != best
        assert order[row].tolist() == shown
        assert greedy[row].tolist() == best
        expected = [0.3 / 7 + 0.7 * (one == two) for one, two in zip(shown, best, strict=True)]
        np.testing.assert_allclose(propensity[row], expected, rtol=1e-14)
    assert explored > 90


@pytest.mark.parametrize("epsilon", [0.0, 0.25, 1.0])
def test_explored_documents_come_as_often_as_their_propensity_says(epsilon):
    n = 60_000
    score = np.tile([0.1, 0.9, 0.5, 0.2], (n, 1))
    u_switch, u_noise = uniforms(5, n, 4)
    order, propensity, greedy = explore(score, 2, epsilon, u_switch, u_noise)
    for place in range(2):
        share = np.bincount(order[:, place], minlength=4) / n
        exact = epsilon / 4 + (1 - epsilon) * (np.arange(4) == greedy[0, place])
        error = np.sqrt(exact * (1 - exact) / n)
        np.testing.assert_array_less(np.abs(share - exact), 4 * error + 1e-12)
        assert exact.sum() == pytest.approx(1.0, abs=1e-15)
        for column in np.unique(order[:, place]):
            said = propensity[order[:, place] == column, place]
            np.testing.assert_allclose(said, exact[column], rtol=1e-14)


def chance_of_slates(score, temperature, k):
    """Return the chance of each slate, place by place, as the law is stated."""
    weight = np.exp(np.asarray(score) / temperature)
    chances = {}
    for slate in itertools.permutations(range(len(score)), k):
        left, chance, marginals = set(range(len(score))), 1.0, []
        for column in slate:
            at_place = weight[column] / sum(weight[other] for other in left)
            marginals.append(at_place)
            chance *= at_place
            left.remove(column)
        chances[slate] = (chance, marginals)
    return chances


@pytest.mark.parametrize("temperature", [0.3, 1.0, 10.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_plackett_luce_against_every_slate(temperature, k):
    n, score = 40_000, [0.3, -0.5, 0.9, 0.0]
    chances = chance_of_slates(score, temperature, k)
    assert sum(chance for chance, _ in chances.values()) == pytest.approx(1.0, abs=1e-12)
    _, u = uniforms(int(10 * temperature) + k, n, 4)
    order, propensity = plackett_luce(np.tile(score, (n, 1)), k, temperature, u)
    slates, number, counts = np.unique(order, axis=0, return_inverse=True, return_counts=True)
    exact = np.array([chances[tuple(slate)][1] for slate in slates.tolist()])
    np.testing.assert_allclose(propensity, exact[number.ravel()], rtol=1e-12)
    found = dict(zip(map(tuple, slates.tolist()), counts.tolist(), strict=True))
    for slate, (chance, _) in chances.items():
        error = np.sqrt(chance * (1 - chance) / n)
        assert abs(found.get(slate, 0) / n - chance) < 4.5 * error + 1e-12


@given(
    arrays(np.float64, (3, 6), elements=st.floats(-1e3, 1e3)),
    st.sampled_from([1e-300, 1e-3, 0.5, 1.0, 1e6]),
    st.integers(1, 6),
    st.integers(0, 2**32),
)
def test_plackett_luce_propensities_are_chances_and_slates_are_distinct(score, t, k, seed):
    order, propensity = plackett_luce(score, k, t, uniforms(seed, 3, 6)[1])
    assert all(len(set(row)) == k for row in order.tolist())
    assert np.all((propensity >= 0) & (propensity <= 1))
    if k == 6:
        np.testing.assert_allclose(propensity[:, -1], 1.0, atol=1e-12)  # one is left


def test_near_zero_temperature_is_the_greedy_slate_and_a_high_one_uniform():
    score = np.random.default_rng(8).normal(size=(200, 9))
    _, u = uniforms(9, 200, 9)
    order, propensity = plackett_luce(score, 4, 1e-9, u)
    np.testing.assert_array_equal(order, top(score, 4))
    np.testing.assert_allclose(propensity, 1.0)
    _, propensity = plackett_luce(score, 4, 1e9, u)
    np.testing.assert_allclose(propensity, np.tile(1 / np.arange(9, 5, -1), (200, 1)), rtol=1e-6)


def test_small_chances_keep_their_digits():
    # After the first, whose weight is 1 beside 1e-30, the others are alike.
    score = np.log([[1.0, 1e-30, 1e-30]])
    order, propensity = plackett_luce(score, 3, 1.0, np.array([[0.5, 0.5, 0.4]]))
    assert order.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(propensity, [[1.0, 0.5, 1.0]], rtol=1e-12)


def test_candidates_that_are_not_there_have_no_propensity_and_come_last():
    nan = -np.inf
    score = np.array([[nan, 1.0, nan, 2.0], [nan, nan, nan, nan]])
    u = np.full((2, 4), 0.5)
    order, propensity, greedy = explore(score, 3, 0.5, np.array([0.1, 0.1]), u)
    assert order[0, :2].tolist() == [1, 3]  # a random slate: of equal numbers the first
    assert greedy[0, :2].tolist() == [3, 1]
    np.testing.assert_allclose(propensity, [[0.25, 0.25, 0.0], [0.0, 0.0, 0.0]])
    order, propensity = plackett_luce(score, 3, 1.0, u)
    assert order[0, :2].tolist() == [3, 1]
    odds = np.exp(2.0) / (np.exp(2.0) + np.exp(1.0))
    np.testing.assert_allclose(propensity, [[odds, 1.0, 0.0], [0.0, 0.0, 0.0]])
