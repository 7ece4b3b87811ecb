"""The base of all mergeable states: laws of merging, and payloads that cannot be trusted."""

from __future__ import annotations

import copy
import json
import math
import pickle
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsd._exact import UNIT, exact_sum
from mlsd._fields import Count, Counts, KeySet, Maximum, Minimum, Table, TableValue, Total
from mlsd._state import State


class Toy(State):
    """One field of each kind."""

    kind = "test.toy"
    version = 2
    __slots__ = ()

    def __init__(self, *, size=2, label=None):
        super().__init__(size=size, label=label)

    @classmethod
    def _configure(cls, *, size, label=None):
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"size must be at least 1; got {size!r}")
        return {"size": size, "label": label}

    @classmethod
    def _layout(cls, config):
        return {
            "n": Count(),
            "cells": Counts((config["size"], 2)),
            "total": Total(),
            "least": Minimum(),
            "most": Maximum(),
            "bins": Table(counts=("c",), sums=("w",)),
            "seen": KeySet("{n} keys are in both"),
        }

    @classmethod
    def _upgrade(cls, version, config, parts):
        # Version 1 had a float where now is an exact sum.
        parts["total"] = exact_sum(parts.pop("sum").reshape(1))
        return config, parts

    def update(self, values, *, key=None):
        values = np.asarray(values, dtype=np.float64)
        whole = np.floor(np.clip(values, -1e9, 1e9)).astype(np.int64)
        keys, codes = np.unique(whole, return_inverse=True)
        high = np.bincount(codes, np.abs(values), keys.size).astype(np.float64)
        cells = np.zeros((self._config["size"], 2), dtype=np.int64)
        cells[0, 1] = values.size
        self._absorb(
            n=values.size,
            cells=cells,
            total=exact_sum(values),
            least=float(values.min(initial=math.inf)),
            most=float(values.max(initial=-math.inf)),
            bins=TableValue(
                keys,
                (np.bincount(codes, minlength=keys.size), np.stack([high, 0 * high], axis=1)),
            ),
            seen=np.array([] if key is None else [key], dtype=np.int64),
        )
        return self


# Multiples of 1/8: sums of weights are exact, so that states can be compared to the last bit.
numbers = st.lists(st.integers(-400, 400).map(lambda value: value / 8), max_size=8)
FULL = Toy(label="é").update([0.1, -7.25, 1e300, 3.5], key=-5).update([0.2], key=1 << 62)


@given(numbers, numbers, numbers)
def test_merging_is_associative_and_commutative_with_a_neutral_element(x, y, z):
    a, b, c = (Toy().update(values) for values in (x, y, z))
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Toy() == a == Toy() + a
    assert a + b + c == Toy().update(x + y + z) == sum([a, b, c])


@given(numbers, numbers)
def test_merging_leaves_the_operands_alone(x, y):
    a, b = Toy().update(x), Toy().update(y)
    before = a.to_bytes(), b.to_bytes()
    merged = a.merge(b)
    merged.update([5.0])
    sum([a, b])
    assert (a.to_bytes(), b.to_bytes()) == before


def test_a_copy_is_independent_and_equal():
    for twin in (FULL.copy(), copy.copy(FULL), copy.deepcopy(FULL), sum([FULL])):
        assert twin == FULL
        assert twin is not FULL
        twin.update([1.0])
        assert twin != FULL


def test_update_returns_the_state_itself():
    state = Toy()
    assert state.update([1.0]) is state


def test_an_update_that_fails_leaves_all_as_it_was():
    state = Toy().update([1.0], key=3)
    before = state.to_bytes()
    with pytest.raises(ValueError, match="1 keys are in both"):
        state.update([2.0], key=3)
    assert state.to_bytes() == before


def test_a_key_in_both_parts_is_refused():
    with pytest.raises(ValueError, match="2 keys are in both"):
        Toy().update([1], key=3).update([1], key=4) + Toy().update([1], key=3).update([2], key=4)


def test_states_of_other_configurations_or_kinds_do_not_merge():
    with pytest.raises(ValueError, match="size is 2 and 3, label is None and 'a'"):
        Toy() + Toy(size=3, label="a")
    with pytest.raises(TypeError, match=r"'test\.toy' and a 'test\.other' state"):
        Toy() + Other()
    with pytest.raises(TypeError, match="unsupported operand"):
        Toy() + 1
    with pytest.raises(TypeError, match="unsupported operand"):
        1 + Toy()
    with pytest.raises(TypeError, match="other must be a Toy; got int"):
        Toy().merge(1)
    assert Toy() != Toy(size=3)
    assert Toy() != Other()
    assert Toy() != 0


class Other(Toy):
    """Another kind."""

    kind = "test.other"
    version = 1
    __slots__ = ()


def test_a_kind_belongs_to_one_class():
    with pytest.raises(TypeError, match=r"two classes of the kind 'test\.toy'"):
        type("Usurper", (Toy,), {"kind": "test.toy"})


def test_counts_that_overflow_raise():
    half = (1 << 62) + 5
    state = Toy()
    state._absorb(n=half)
    with pytest.raises(OverflowError, match="does not fit 64"):
        state + state
    for part in (
        {"cells": np.full((2, 2), half)},
        {"bins": TableValue(np.array([1]), (np.array([half]), np.array([[1.0, 0.0]])))},
        {"bins": TableValue(np.array([1]), (np.array([1]), np.array([[1.7e308, 0.0]])))},
    ):
        state = Toy()
        state._absorb(**part)
        with np.errstate(all="ignore"), pytest.raises(OverflowError, match="does not fit"):
            state + state


def test_a_state_prints_its_configuration_and_counts_and_is_not_hashable():
    assert repr(Toy(label="x").update([1, 2])) == "Toy(size=2, label='x', n=2)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(FULL)


# --- the formats ---


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=9))
def test_round_trips_are_exact(values):
    state = Toy(size=3, label="ü").update(values, key=-1)
    for twin in (
        Toy.from_bytes(state.to_bytes()),
        State.from_bytes(memoryview(state.to_bytes())),
        Toy.from_json(state.to_json()),
        State.from_json(state.to_json().encode()),
        pickle.loads(pickle.dumps(state)),
    ):
        assert type(twin) is Toy
        assert twin == state
        assert twin.to_bytes() == state.to_bytes()
        assert twin.to_json() == state.to_json()
        assert twin + state.copy()._without_keys() == state + twin._without_keys()


def _without_keys(self):
    self._values["seen"] = self._values["seen"][:0]
    return self


Toy._without_keys = _without_keys


def test_large_integers_and_odd_floats_survive_json():
    state = Toy()
    state._absorb(n=(1 << 63) - 1, total=-((1 << 2000) + 1), least=5e-324, most=-0.0)
    state._absorb(seen=np.array([-(1 << 63), (1 << 53) + 1, (1 << 63) - 1]))
    twin = Toy.from_json(state.to_json())
    assert twin == state
    assert math.copysign(1.0, twin._values["most"]) == -1.0
    assert twin._values["n"] == (1 << 63) - 1


def test_json_holds_values_that_other_programs_read():
    head = json.loads(Toy().update([1.5, 0.25]).to_json())
    parts = {part["name"]: part for part in head["parts"]}
    assert (head["kind"], head["version"], head["config"]["size"]) == ("test.toy", 2, 2)
    assert float.fromhex(parts["total"]["data"]) == 1.75
    assert parts["n"] == {"name": "n", "dtype": "<i8", "shape": [], "data": [2]}
    assert json.loads(Toy().to_json())["parts"][3]["data"] == ["inf"]


def sealed(header: bytes, body: bytes) -> bytes:
    """A payload with right lengths and checksum, whatever it holds."""
    payload = struct.pack("<6sIQ", b"mlsd\x00\x01", len(header), len(body)) + header + body
    return payload + struct.pack("<I", zlib.crc32(payload))


def taken_apart(payload: bytes) -> tuple[bytes, bytes]:
    _, n_header, _ = struct.unpack_from("<6sIQ", payload)
    return payload[18 : 18 + n_header], payload[18 + n_header : -4]


def test_any_single_byte_that_changes_is_noticed():
    payload = FULL.to_bytes()
    for at in range(len(payload)):
        for flip in (1, 0x80):
            broken = bytearray(payload)
            broken[at] ^= flip
            with pytest.raises(ValueError, match="data"):
                Toy.from_bytes(broken)


def test_any_truncation_or_appendix_is_noticed():
    payload = FULL.to_bytes()
    for end in range(len(payload)):
        with pytest.raises(ValueError, match=r"truncated|no state"):
            Toy.from_bytes(payload[:end])
    with pytest.raises(ValueError, match="has bytes after its end"):
        Toy.from_bytes(payload + b"\x00")
    with pytest.raises(ValueError, match="is truncated"):
        Toy.from_bytes(payload[:10])
    with pytest.raises(TypeError, match="data must be bytes; got str"):
        Toy.from_bytes("mlsd")
    with pytest.raises(TypeError, match="text must be a string; got dict"):
        Toy.from_json({})


def test_a_sealed_payload_taken_apart_is_the_same_payload():
    assert sealed(*taken_apart(FULL.to_bytes())) == FULL.to_bytes()


@given(
    st.integers(0, 10_000), st.binary(max_size=6), st.integers(0, 6), st.sampled_from(["head", ""])
)
def test_a_forged_payload_raises_valueerror_or_is_a_state(at, inserted, dropped, where):
    header, body = taken_apart(FULL.to_bytes())
    target = bytearray(header if where == "head" else body)
    at %= len(target)
    target[at : at + dropped] = inserted
    forged = sealed(bytes(target), body) if where == "head" else sealed(header, bytes(target))
    try:
        state = State.from_bytes(forged)
    except ValueError:
        return
    assert State.from_bytes(state.to_bytes()) == state


def edited(**changes):
    """The JSON of FULL with the entry of some parts replaced, or the head's."""
    head = json.loads(FULL.to_json())
    for key, value in changes.items():
        if key in head:
            head[key] = value
        else:
            (part,) = (part for part in head["parts"] if part["name"] == key.replace("_", "."))
            part.update(value)
    return json.dumps(head)


def test_the_editor_of_json_edits():
    assert Toy.from_json(edited()) == FULL
    assert Toy.from_json(edited(n={"data": [77]}))._values["n"] == 77


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "test.unknown"}, "unknown kind 'test.unknown'; known are"),
        ({"kind": ["test.toy"]}, "unknown kind"),
        ({"version": 3}, "version 3; this library reads up to version 2"),
        ({"version": 0}, "version must be a positive integer; got 0"),
        ({"version": True}, "version must be a positive integer; got True"),
        ({"config": []}, "config must be an object"),
        ({"config": {"size": 0}}, "size must be at least 1; got 0"),
        ({"config": {"size": 2, "colour": 1}}, "config of a 'test.toy' state: .*colour"),
        ({"config": {"size": 3}}, r"cells must have the shape \(3, 2\); got \(2, 2\)"),
        ({"parts": {}}, "parts must be a list"),
        ({"parts": []}, "the parts must be"),
        ({"n": {"name": "m"}}, "the parts must be"),
        ({"n": {"name": "total"}}, "a name of its own"),
        ({"n": {"name": 3}}, "a name of its own"),
        ({"n": {"data": [-1]}}, "n holds a negative count"),
        ({"n": {"data": [1.5]}}, "holds 1.5, which is no 64-bit integer"),
        ({"n": {"data": [True]}}, "holds True"),
        ({"n": {"data": [1 << 63]}}, "is no 64-bit integer"),
        ({"n": {"data": []}}, "does not hold the 1 values"),
        ({"n": {"data": 1}}, "does not hold the 1 values"),
        ({"n": {"shape": [-1]}}, "has the shape"),
        ({"n": {"shape": [1, 1, 1]}}, "has the shape"),
        ({"n": {"shape": [1]}}, r"n must have the shape \(\); got \(1,\)"),
        ({"n": {"shape": [1 << 62, 0], "data": []}}, "has the shape"),
        ({"n": {"dtype": "<f8"}}, "n must be of type int64; got float64"),
        ({"n": {"dtype": "|O"}}, "has the type '|O', which is none of"),
        ({"n": {"dtype": "exact", "data": "0x1p+0"}}, "must be of type int64; got an exact sum"),
        ({"least": {"data": ["nan"]}}, "holds 'nan', which is no float"),
        ({"least": {"data": [None]}}, "holds None, which is no float"),
        ({"least": {"data": [1 << 54]}}, "which is no float"),
        ({"total": {"data": 1.5}}, "is no exact sum: 1.5"),
        ({"total": {"data": "0x1.8p+0"}}, "is no exact sum"),
        ({"total": {"data": "0x1p-1075"}}, "is no exact sum"),
        ({"total": {"data": "0x1p+3000"}}, "no sum of floats has so many"),
        ({"total": {"data": "0x" + "1" * 2000 + "p+0"}}, "is no exact sum"),
        ({"total": {"dtype": "<i8", "shape": [], "data": [1]}}, "must be an exact sum"),
        ({"bins_keys": {"data": [0, 0, 3, 4]}}, "must ascend, each key once"),
        ({"bins_keys": {"data": [3, 0, 4, 5]}}, "must ascend, each key once"),
        ({"bins_c": {"data": [1, 1, 1, -1]}}, "bins.c holds a negative count"),
        ({"bins_w": {"data": [-1.0, 0.0] * 4}}, "no sum of weights"),
        ({"bins_w": {"data": [1.0, 1.0] * 4}}, "no sum of weights"),
        ({"bins_w": {"data": ["inf", 0.0] * 4}}, "no sum of weights"),
        ({"bins_w": {"shape": [8]}}, "must have the shape"),
        ({"seen": {"data": [5, 5]}}, "seen must ascend"),
    ],
)
def test_what_no_state_holds_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Toy.from_json(edited(**changes))


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", "[" * 100_000, b"\xff", '{"version": NaN}', '{"kind": 1e999}']
)
def test_what_is_no_json_of_a_state_is_refused(text):
    with pytest.raises(ValueError, match=r"payload|unknown kind|parts must"):
        State.from_json(text)


def test_nan_among_the_bytes_is_refused():
    header, body = taken_apart(Toy().update([1.0]).to_bytes())
    at = body.index(struct.pack("<d", 1.0))
    with pytest.raises(ValueError, match="least holds NaN"):
        Toy.from_bytes(sealed(header, body[:at] + struct.pack("<d", math.nan) + body[at + 8 :]))


def test_a_body_and_a_header_that_disagree_are_refused():
    header, body = taken_apart(FULL.to_bytes())
    with pytest.raises(ValueError, match="the body holds 3 bytes of no part"):
        Toy.from_bytes(sealed(header, body + b"abc"))
    with pytest.raises(ValueError, match="reaches beyond the end"):
        Toy.from_bytes(sealed(header, body[:-1]))
    with pytest.raises(ValueError, match="begins with"):
        Toy.from_bytes(b"PK" + FULL.to_bytes())


def test_a_payload_of_another_kind_is_refused_by_a_subclass():
    assert type(State.from_bytes(Other().to_bytes())) is Other
    sibling = json.dumps(json.loads(FULL.to_json()) | {"kind": "test.toy"})
    with pytest.raises(ValueError, match=r"of the kind 'test\.toy', not 'test\.other'"):
        Other.from_json(sibling)


def test_an_older_version_is_upgraded_and_one_that_is_not_known_is_refused():
    head = json.loads(FULL.to_json()) | {"version": 1}
    for part in head["parts"]:
        if part["name"] == "total":
            part.update({"name": "sum", "dtype": "<f8", "shape": [], "data": [2.5]})
    assert Toy.from_json(json.dumps(head))._values["total"] == 5 * UNIT // 2

    class Fresh(Toy):
        kind = "test.fresh"
        _upgrade = classmethod(State._upgrade.__func__)
        __slots__ = ()

    with pytest.raises(ValueError, match=r"'test\.fresh' state of version 1 can no longer be read"):
        Fresh.from_json(json.dumps(head | {"kind": "test.fresh"}))
