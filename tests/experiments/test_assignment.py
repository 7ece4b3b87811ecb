from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd.experiments.assignment import assign, bucket

MASK = (1 << 64) - 1


def siphash24(key: bytes, data: bytes) -> int:
    """SipHash-2-4 as in the paper, one byte string at a time."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]

    def rotate(x, b):
        return ((x << b) | (x >> (64 - b))) & MASK

    def sip_round():
        v[0] = (v[0] + v[1]) & MASK
        v[1] = rotate(v[1], 13) ^ v[0]
        v[0] = rotate(v[0], 32)
        v[2] = (v[2] + v[3]) & MASK
        v[3] = rotate(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & MASK
        v[3] = rotate(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & MASK
        v[1] = rotate(v[1], 17) ^ v[2]
        v[2] = rotate(v[2], 32)

    padded = data + b"\0" * (7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        v[3] ^= word
        sip_round()
        sip_round()
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        sip_round()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def documented_hash(unit, salt: str) -> int:
    key = hashlib.blake2b(salt.encode(), digest_size=8).hexdigest().encode("ascii")
    h = siphash24(key, str(unit).encode("utf-8"))
    h ^= h >> 30
    h = h * 0xBF58476D1CE4E5B9 & MASK
    h ^= h >> 27
    h = h * 0x94D049BB133111EB & MASK
    return h ^ (h >> 31)


def documented_arm(unit, salt, weights) -> str:
    h = documented_hash(unit, salt)
    u, v = (h >> 32) / 2**32, (h & 0xFFFFFFFF) / 2**32
    (control, share), *treatments = weights.items()
    if u < share:
        return control
    total, end = sum(weight for _, weight in treatments), 0.0
    for arm, weight in treatments:
        end += weight / total
        if v < end:
            return arm
    return treatments[-1][0]


def test_the_reference_vector_of_siphash():
    # Appendix A of Aumasson and Bernstein (2012).
    assert siphash24(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


THREE = {"old": 0.5, "a": 0.3, "b": 0.2}


@given(
    st.lists(st.one_of(st.integers(-(10**18), 10**18), st.text(max_size=20)), min_size=1),
    st.text(min_size=1, max_size=10),
)
def test_anyone_can_compute_it_again(units, salt):
    assert assign(units, salt=salt, weights=THREE).tolist() == [
        documented_arm(unit, salt, THREE) for unit in units
    ]
    assert bucket(units, salt=salt, n_buckets=77).tolist() == [
        (documented_hash(unit, salt) >> 32) * 77 >> 32 for unit in units
    ]


def test_it_stays_what_it_was():
    # A release that changes these would move units between the arms of running experiments.
    assert assign([1, 2, 3, 4, 5, 6], salt="launch").tolist() == [
        "treatment",
        "control",
        "treatment",
        "control",
        "control",
        "treatment",
    ]
    assert bucket(["ann", "bob", "Zoë"], salt="launch").tolist() == [7016, 1878, 598]


def test_kinds_of_columns():
    expected = assign(["7", "8", "7"], salt="s").tolist()
    for units in (
        [7, 8, 7],
        (7, "8", 7),
        np.array([7, 8, 7], dtype=np.uint8),
        np.array(["7", "8", "7"]),
        pd.Series([7, 8, 7], index=[3, 3, 3], dtype="Int64"),
        pd.Series(["7", "8", "7"], dtype="string"),
        pd.Series(["7", "8", "7"], dtype="category"),
        pd.Series([7, 8, 7]).astype("category"),
        pd.CategoricalIndex([7, 8, 7]),
    ):
        assert assign(units, salt="s").tolist() == expected
    assert assign([], salt="s").tolist() == []
    assert assign(np.array([2**64 - 1], np.uint64), salt="s") == assign([str(2**64 - 1)], salt="s")


@pytest.mark.parametrize("weights", [THREE, {"control": 0.99, "treatment": 0.01}])
def test_shares_and_independence_of_salts(weights):
    units = np.arange(200_000)
    first, second = (assign(units, salt=salt, weights=weights) for salt in ("one", "two"))
    table = pd.crosstab(first, second)
    n = units.size
    for arm, share in weights.items():
        assert abs((first == arm).sum() - n * share) < 5 * np.sqrt(n * share * (1 - share))
        for other, share_of_other in weights.items():
            joint = share * share_of_other
            assert abs(table.loc[arm, other] - n * joint) < 5 * np.sqrt(n * joint)


def test_buckets_are_even_and_control_is_the_low_ones():
    units = np.arange(100_000)
    buckets = bucket(units, salt="s", n_buckets=100)
    counts = np.bincount(buckets, minlength=100)
    assert counts.size == 100
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 180  # chi-squared, 99 df: p about 1e-6
    arms = assign(units, salt="s", weights={"c": 0.25, "t": 0.75})
    assert ((arms == "c") == (buckets < 25)).all()
    assert (bucket(units, salt="s", n_buckets=1) == 0).all()
    assert bucket(units, salt="s", n_buckets=1 << 32).max() < 1 << 32


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_ramp_returns_no_unit_to_control(one, two):
    low, high = sorted((one, two))
    units = np.arange(2000)
    for shares in ((1.0,), (0.5, 0.5), (0.7, 0.2, 0.1)):
        before, after = (
            assign(
                units,
                salt="ramp",
                weights={"c": 1 - x, **{f"t{i}": x * part for i, part in enumerate(shares)}},
            )
            for x in (low, high)
        )
        treated = before != "c"
        assert (before[treated] == after[treated]).all()


def test_weights_of_0_and_1():
    units = np.arange(1000)
    assert set(assign(units, salt="s", weights={"a": 1.0, "b": 0.0, "c": 0.0})) == {"a"}
    assert set(assign(units, salt="s", weights={"a": 0, "b": 1, "c": 0})) == {"b"}
    assert set(assign(units, salt="s", weights={"a": 0, "b": 0, "c": 1})) == {"c"}
    assert set(assign(units, salt="s", weights={"a": 1 - 1e-10, "b": 0.0, "c": 0.0})) == {"a"}


@pytest.mark.parametrize(
    ("weights", "arm"),
    [({"a": 1 - 1e-9, "b": 0.0, "c": 0.0}, "a"), ({"a": 0.5, "b": 0.2, "c": 0.3, "d": 0.0}, "c")],
)
def test_the_last_hash_of_all_is_in_an_arm_with_a_weight(weights, arm, monkeypatch):
    last = np.array([MASK], dtype=np.uint64)
    monkeypatch.setattr("mlsd.experiments.assignment.unit_hash", lambda *_: last)
    assert assign([1], salt="s", weights=weights).tolist() == [arm]
    assert bucket([1], salt="s", n_buckets=7).tolist() == [6]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"units": [1.0, 2.0]}, TypeError, "units must be integers or strings; got float64"),
        ({"units": [1, None]}, TypeError, "units must be integers or strings; got float64"),
        ({"units": ["a", None]}, ValueError, "units is missing in 1 of 2 rows"),
        ({"units": pd.Categorical(["a", None])}, ValueError, "units is missing in 1 of 2 rows"),
        ({"units": pd.Series(["a", None, "b"], dtype="category")}, ValueError, "1 of 3 rows"),
        ({"units": [True, False]}, TypeError, "got bool"),
        ({"units": [1, "a", True]}, TypeError, r"got True \(bool\) at position 2"),
        ({"units": [1, "a", 2.5]}, TypeError, r"got 2.5 \(float\) at position 2"),
        ({"units": pd.to_datetime(["2024-01-01"])}, TypeError, "got datetime64"),
        ({"units": [[1, 2]]}, ValueError, "units must be one-dimensional"),
        ({"units": 5}, TypeError, "units must be array-like"),
        ({"salt": 5}, TypeError, "salt must be a string; got 5"),
        ({"salt": ""}, ValueError, "salt is empty"),
        ({"weights": [0.5, 0.5]}, TypeError, "weights must be a mapping"),
        ({"weights": {"a": 1.0}}, ValueError, "weights must name at least two arms"),
        ({"weights": {"a": 0.5, "b": 0.6}}, ValueError, "weights must sum to 1"),
        ({"weights": {"a": 1.5, "b": -0.5}}, ValueError, r"weights\['b'\] must be finite and at"),
        ({"weights": {"a": 0.5, "b": "x"}}, TypeError, r"weights\['b'\] must be a number"),
        ({"weights": {"a": 0.5, "b": float("nan")}}, ValueError, r"weights\['b'\]"),
        ({"weights": {"a": 0.5, 1: 0.5}}, TypeError, "names the arm 1"),
    ],
)
def test_bad_input(arguments, error, match):
    with pytest.raises(error, match=match):
        assign(**{"units": [1, 2], "salt": "s", **arguments})


@pytest.mark.parametrize(
    ("n_buckets", "error", "match"),
    [
        (0, ValueError, "n_buckets must be at least 1"),
        (2.5, TypeError, "n_buckets must be an integer"),
        (2**32 + 1, ValueError, "n_buckets must be at most"),
    ],
)
def test_bad_buckets(n_buckets, error, match):
    with pytest.raises(error, match=match):
        bucket([1], salt="s", n_buckets=n_buckets)
