"""Keyed draws against plain integers of Python, a published vector and the laws they follow."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import mlsd._keyed as module
from mlsd._keyed import check_seed, keyed_bits, keyed_normal, keyed_poisson, keyed_uniform

MASK = 2**64 - 1


def splitmix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def plain(seed, component, *keys):
    digest = hashlib.blake2b(f"{seed}:{component}".encode(), digest_size=8).digest()
    state = int.from_bytes(digest, "little")
    for key in keys:
        state = splitmix((state + (key + 1) * 0x9E3779B97F4A7C15) & MASK)
    return state


def test_the_published_sequence_of_splitmix64(monkeypatch):
    # The reference program's first five numbers for the seed 1234567.
    monkeypatch.setattr(module, "_start", lambda seed, component: 1234567)
    assert keyed_bits(0, "", np.arange(5)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(
    seed=st.integers(0, MASK),
    component=st.text(max_size=5),
    keys=st.lists(st.integers(0, 2**62), max_size=4),
)
def test_bits_against_plain_integers(seed, component, keys):
    assert int(keyed_bits(seed, component, *keys)) == plain(seed, component, *keys)


def test_keys_broadcast_and_no_key_is_changed():
    user, place = np.arange(6).reshape(6, 1), np.arange(4)
    kept = user.copy(), place.copy()
    got = keyed_uniform(3, "click", 8, user, place)
    assert got.shape == (6, 4)
    alone = [[float(keyed_uniform(3, "click", 8, u, p)) for p in range(4)] for u in range(6)]
    assert got.tolist() == alone
    assert (user == kept[0]).all()
    assert (place == kept[1]).all()
    assert keyed_uniform(3, "click").shape == ()
    assert keyed_uniform(3, "click", np.zeros((0, 3), dtype=int)).shape == (0, 3)


def test_every_part_of_a_key_matters():
    draws = {
        float(keyed_uniform(*key))
        for key in [
            (0, "a", 1, 2),
            (1, "a", 1, 2),
            (0, "b", 1, 2),
            (0, "a", 2, 1),
            (0, "a", 1, 2, 0),
            (0, "a", 1),
            (0, "a"),
        ]
    }
    assert len(draws) == 7


def test_uniform_and_neighbours_have_nothing_to_do_with_each_other():
    u = keyed_uniform(5, "x", np.arange(300)[:, None], np.arange(200))
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01
    for a, b in [(u[1:], u[:-1]), (u[:, 1:], u[:, :-1])]:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
    other = keyed_uniform(6, "x", np.arange(300)[:, None], np.arange(200))
    assert abs(np.corrcoef(u.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(u.size)
    cells = np.histogram2d(u[:-1].ravel(), u[1:].ravel(), bins=16)[0].ravel()
    assert stats.chisquare(cells).pvalue > 0.01


@pytest.mark.parametrize(("bits", "expected"), [(0, 2.0**-53), (MASK, 1 - 2.0**-53)])
def test_neither_0_nor_1_is_drawn(bits, expected, monkeypatch):
    monkeypatch.setattr(module, "keyed_bits", lambda *key: np.array([bits], dtype=np.uint64))
    assert keyed_uniform(0, "x", 0).tolist() == [expected]


def test_normal():
    z = keyed_normal(1, "z", np.arange(50_000))
    u = keyed_uniform(1, "z", np.arange(50_000))
    np.testing.assert_allclose(z, stats.norm.ppf(u), rtol=1e-12)


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=20), st.integers(0, 1000))
def test_poisson_is_the_inverse_cdf(means, key):
    u = keyed_uniform(2, "n", key, np.arange(len(means)))
    expected = stats.poisson.ppf(u, means)
    assert keyed_poisson(means, 2, "n", key, np.arange(len(means))).tolist() == expected.tolist()


def test_poisson_of_0_is_0_and_more_mean_is_never_less():
    assert keyed_poisson(np.zeros(100), 2, "n", np.arange(100)).max() == 0
    user = np.arange(2_000)
    few, many = (keyed_poisson(np.full(2_000, mean), 2, "n", user) for mean in (1.0, 1.1))
    assert (many >= few).all()
    assert many.sum() > few.sum()
    assert (
        stats.chisquare(
            np.bincount(np.minimum(few, 4), minlength=5),
            2_000 * np.append(stats.poisson.pmf(np.arange(4), 1.0), stats.poisson.sf(3, 1.0)),
        ).pvalue
        > 0.01
    )


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (None, TypeError, r"random_state must be an integer.*got None"),
        (True, TypeError, r"random_state must be an integer.*got True"),
        (1.0, TypeError, r"random_state must be an integer.*float"),
        (np.random.default_rng(0), TypeError, r"random_state must be an integer.*Generator"),
        (-1, ValueError, r"random_state must lie between 0 and 2\*\*64 - 1; got -1"),
        (2**64, ValueError, r"random_state must lie between"),
    ],
)
def test_seeds_that_are_none(seed, error, message):
    with pytest.raises(error, match=message):
        check_seed(seed)


def test_seeds():
    assert check_seed(np.int32(7)) == 7
    assert check_seed(MASK) == MASK
