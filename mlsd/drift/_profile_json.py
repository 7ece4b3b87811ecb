"""A profile as JSON: what differs from the default, arrays as short text, a version, a checksum.

An array is its little-endian bytes, first bytes of all numbers first, deflated, in base 85: the
high bytes of neighbouring counts and edges are alike, and the alphabet needs no escape in JSON.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsd._types import AnyArray, IntArray
from mlsd.drift._build import Cells
from mlsd.drift._columns import ColumnProfile
from mlsd.drift._edges import binary_places
from mlsd.drift._pairs import SUMS, WIDE, PairProfile
from mlsd.drift._read import KINDS

if TYPE_CHECKING:
    from mlsd.drift.profile import Profile

__all__ = ["VERSION", "dump", "load", "to_payload"]

KIND = "mlsd.drift.profile"
VERSION = 1
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""What turns the contents of version v into those of version v + 1."""

_LARGEST = 1 << 24  # numbers of an array


def to_payload(profile: Profile) -> dict[str, Any]:
    """Return the payload as plain values that JSON keeps."""
    cells = profile.cells
    body = {
        "n_rows": profile.n_rows,
        "pairs_skipped": profile.pairs_skipped,
        "missing": list(profile.missing),
        "new": list(profile.new),
        "retyped": {name: list(types) for name, types in profile.retyped.items()},
        "order": list(profile.order),
        "fingerprint": profile.fingerprint,
        "sources": cells.sources,
        "columns": [_from_column(column) for column in cells.columns],
        "outcomes": {name: _from_column(column) for name, column in cells.outcomes.items()},
        "pairs": None if profile.pairs is None else _from_pairs(profile.pairs),
    }
    return {"kind": KIND, "version": VERSION, "crc32": _checksum(body), "profile": body}


def dump(profile: Profile) -> str:
    """Return the profile as JSON."""
    return _dumps(to_payload(profile))


def load(text: str | bytes) -> Profile:
    """Return the profile that ``dump`` wrote."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"text must be a string; got {type(text).__name__}")
    try:
        payload = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"text is no JSON of a profile: {error}") from None
    if not isinstance(payload, dict) or payload.get("kind") != KIND:
        found = payload.get("kind") if isinstance(payload, dict) else type(payload).__name__
        raise ValueError(f"text is no profile: its kind is {found!r}, not {KIND!r}")
    version, body = payload.get("version"), payload.get("profile")
    if type(version) is not int or version < 1:
        raise ValueError(f"version must be a positive integer; got {version!r}")
    if version > VERSION:
        raise ValueError(
            f"the profile is of version {version}; this library reads up to version {VERSION}: "
            "update it"
        )
    if not isinstance(body, dict) or payload.get("crc32") != _checksum(body):
        raise ValueError("the profile is corrupt: its checksum does not match")
    for old in range(version, VERSION):
        body = UPGRADES[old](body)
    try:
        return _to_profile(body)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"the profile is corrupt: {type(error).__name__} {error}") from None


def _to_profile(body: dict[str, Any]) -> Profile:
    from mlsd.drift.profile import Profile, fingerprint_of

    cells = Cells(
        tuple(_to_column(fields) for fields in body["columns"]),
        {name: _to_column(fields) for name, fields in body["outcomes"].items()},
        dict(body["sources"]),
    )
    pairs = None if body["pairs"] is None else _to_pairs(body["pairs"])
    if fingerprint_of(cells, pairs) != body["fingerprint"]:
        raise ValueError("the profile is corrupt: its fingerprint does not match its cells")
    n_rows = _count(body["n_rows"], "n_rows")
    for column in (*cells.columns, *cells.outcomes.values()):
        _check(column, n_rows)
    return Profile(
        n_rows=n_rows,
        pairs=pairs,
        pairs_skipped=_count(body["pairs_skipped"], "pairs_skipped"),
        missing=tuple(body["missing"]),
        new=tuple(body["new"]),
        retyped={name: (before, after) for name, (before, after) in body["retyped"].items()},
        order=tuple(body["order"]),
        cells=cells,
        fingerprint=body["fingerprint"],
    )


def _from_column(column: ColumnProfile) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for field in dataclasses.fields(column):
        value = getattr(column, field.name)
        if isinstance(value, np.ndarray):
            if value.size:
                result[field.name] = _pack(value)
        elif isinstance(value, float):
            if value != field.default:
                result[field.name] = value if math.isfinite(value) else str(value)
        elif value != field.default:
            result[field.name] = _plain(value)
    return result


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _to_column(fields: dict[str, Any]) -> ColumnProfile:
    known = {field.name: str(field.type) for field in dataclasses.fields(ColumnProfile)}
    values: dict[str, Any] = {}
    for name, value in fields.items():
        kind = known[name]
        if "Array" in kind:
            values[name] = _unpack(value, name)
        elif kind == "float":
            values[name] = _float(value, name)
        elif kind == "int":
            signed = name == "clipped_1" and type(value) is int
            values[name] = value if signed else _count(value, name)
        elif kind.startswith("tuple[tuple"):
            values[name] = tuple((str(level), _count(count, name)) for level, count in value)
        elif kind.startswith("tuple"):
            values[name] = tuple(map(str, value))
        elif type(value).__name__ == kind:
            values[name] = value
        else:
            raise ValueError(f"{name} must be of type {kind}; got {value!r}")
    return ColumnProfile(**values)


def _check(column: ColumnProfile, n_rows: int) -> None:
    """Raise ValueError if the fields of a column contradict each other."""
    beyond = column.n_null + column.n_below + column.n_above + column.n_other + column.n_unseen
    right = [
        KINDS.get(column.family) == column.kind,
        column.n <= n_rows,
        (column.counts >= 0).all(),
    ]
    if column.kind == "numeric":
        right += [
            column.counts.size == column.edges.size + 1,
            np.isfinite(column.edges).all() and (np.diff(column.edges) > 0).all(),
        ]
    if column.kind == "categorical":
        right += [column.counts.size == len(column.levels) == len(set(column.levels))]
    if column.kind != "datetime":
        right += [int(column.counts.sum()) + beyond == column.n]
    if column.target_groups is not None:
        size = column.counts.size + (1 if column.kind == "numeric" else 2)
        n_groups = int(column.target_groups.max(initial=-1)) + 1
        sums = (column.target_n, column.target_sum, column.target_sum2)
        right += [
            column.target_groups.shape == (size,) and (column.target_groups >= 0).all(),
            all(part is not None and part.shape == (n_groups,) for part in sums),
        ]
    if not all(right):
        raise ValueError(f"the profile is corrupt: column {column.name!r} contradicts itself")


def _from_pairs(pairs: PairProfile) -> dict[str, Any]:
    """Return the pairs; of what is symmetric one half, of what is zero nothing."""
    result: dict[str, Any] = {"names": list(pairs.names), "n_rows": pairs.n_rows}
    result |= {"centre": _pack(pairs.centre), "step": _pack(pairs.step)}
    upper = np.triu_indices(len(pairs.names))
    for name in SUMS:
        value = getattr(pairs, name)
        if name in SYMMETRIC:
            value = value[..., *upper]
        if value.any():
            result[name] = _pack(value)
    return result


def _to_pairs(fields: dict[str, Any]) -> PairProfile:
    names = tuple(map(str, fields["names"]))
    k = len(names)
    upper = np.triu_indices(k)
    sums: dict[str, Any] = {}
    for name in SUMS:
        shape = (k,) if name == "first" else (2, k, k) if name in WIDE else (k, k)
        flat = (*shape[:-2], upper[0].size) if name in SYMMETRIC else shape
        value = _unpack(fields[name], name) if name in fields else np.zeros(flat, dtype=np.int64)
        if value.shape != flat or value.dtype != np.int64:
            raise ValueError(f"the profile is corrupt: {name} has the shape {value.shape}")
        if name in SYMMETRIC:
            whole = np.zeros(shape, dtype=np.int64)
            whole[..., *upper] = value
            whole[..., *upper[::-1]] = value
            value = whole
        sums[name] = value
    centre, step = (_unpack(fields[name], name) for name in ("centre", "step"))
    if centre.shape != (k,) or step.shape != (k,):
        raise ValueError(f"the profile is corrupt: {k} pairs with {centre.size} centres")
    return PairProfile(names, centre, step, _count(fields["n_rows"], "n_rows"), **sums)


SYMMETRIC = ("p11", "p22", "both_null")


def _pack(array: AnyArray) -> dict[str, Any]:
    """Return an array as plain values."""
    if array.dtype == np.float64:
        places, whole = _as_whole(array)
        if whole is not None:
            # Edges: short numbers that ascend, of which the steps are shorter still.
            steps = np.diff(whole, prepend=0)
            return {"dtype": "steps", "places": places} | _pack_bytes(steps, "<i8")
        return {"dtype": "<f8"} | _pack_bytes(array, "<f8")
    return {"dtype": "<i8"} | _pack_bytes(array, "<i8")


def _pack_bytes(array: AnyArray, dtype: str) -> dict[str, Any]:
    planes = array.astype(dtype).reshape(-1, 1).view(np.uint8).T
    data = base64.b85encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")
    return {"shape": list(array.shape), "data": data}


def _as_whole(array: AnyArray) -> tuple[int, IntArray | None]:
    """Return j and the whole numbers ``array * 2**j``, or None if those do not stand for it."""
    if array.ndim != 1 or not np.isfinite(array).all():
        return 0, None
    places = max(0, binary_places(array))
    if places >= 1000:
        return 0, None
    with np.errstate(over="ignore"):
        scaled = np.ldexp(array, places)
    if not (np.abs(scaled) < 2.0**52).all() or (np.signbit(array) & (array == 0)).any():
        return 0, None
    return places, scaled.astype(np.int64)


def _unpack(entry: dict[str, Any], name: str) -> AnyArray:
    """Return the array that ``_pack`` wrote."""
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype not in ("<i8", "<f8", "steps") or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"the profile is corrupt: {name} has type {dtype!r} and shape {shape!r}")
    size = math.prod(shape)
    if len(shape) > 3 or size > _LARGEST:
        raise ValueError(f"the profile is corrupt: {name} has the shape {shape!r}")
    try:
        # One byte more than there should be: a small text must not fill the memory.
        data = zlib.decompressobj().decompress(base64.b85decode(entry["data"]), 8 * size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the profile is corrupt: {name}: {error}") from None
    if len(data) != 8 * size:
        raise ValueError(f"the profile is corrupt: {name} does not hold {size} numbers")
    planes = np.ascontiguousarray(np.frombuffer(data, dtype=np.uint8).reshape(8, size).T)
    numbers: AnyArray = planes.view("<f8" if dtype == "<f8" else "<i8").reshape(shape)
    if dtype == "steps":
        return np.ldexp(np.cumsum(numbers).astype(np.float64), -_count(entry["places"], "places"))
    return numbers.astype(np.float64 if dtype == "<f8" else np.int64)


def _count(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{name} must be a count; got {value!r}")
    return value


def _float(value: Any, name: str) -> float:
    if type(value) in (int, float) or value in ("inf", "-inf", "nan"):
        return float(value)
    raise ValueError(f"{name} must be a number; got {value!r}")


def _checksum(body: dict[str, Any]) -> int:
    return zlib.crc32(_dumps(body).encode())


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
