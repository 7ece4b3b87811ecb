"""Floor 0: states that are computed in parts and merged, and the two formats they travel in.

A part of the data becomes a state in one worker, states add up in any order, and the sum says what
the whole data would have said. A state is written as bytes or JSON and read back by parsing alone:
nothing in a payload is ever executed.

The bytes, version 1, all numbers little-endian::

    6    magic, b"mlsd\\x00\\x01"
    4    length of the header, unsigned
    8    length of the body, unsigned
    ...  header: JSON with kind, version, config and parts [{name, dtype, shape}, ...]
    ...  body: the parts, one after the other
    4    CRC-32 of all that comes before

The dtype is "<i8", "<f8", or "exact": an integer of any size in two's complement, whose shape is
its number of bytes and whose unit is 2**-1074. The JSON is the header with the data inside each
part: numbers, "inf" and "-inf", and for an exact sum a hexadecimal constant such as "0x3p-1" (1.5),
which ``strtod`` of C and ``float.fromhex`` read as well.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np

from mlsd._fields import Count, Field, Part, Parts

__all__ = ["State"]

_MAGIC = b"mlsd\x00\x01"
_PREFIX = struct.Struct("<6sIQ")
_DTYPES = ("<i8", "<f8", "exact")
_UNIT_BITS = 1074

_KINDS: dict[str, type[State]] = {}


class State(ABC):
    """What is known of some data, small and mergeable: ``a + b`` is the state of all of it.

    A subclass names its `kind`, declares its configuration in ``_configure`` and its fields in
    ``_layout``, and defines ``update``. Freshly made it is the neutral element. Two states merge
    when they are of one kind and have equal configurations.

    Attributes
    ----------
    kind : str
        The name under which a payload finds the class again; it never changes.
    version : int
        Version of the fields. When they change it goes up, and ``_upgrade`` learns to turn the
        parts of every version before into those of today: payloads of version 1 stay readable.

    Notes
    -----
    ``sum(states)`` works. Merging leaves both operands as they were; ``update`` changes the state
    it is called on, wholly or, if it raises, not at all. A state is not hashable.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    __slots__ = ("_config", "_fields", "_values")
    __hash__ = None  # type: ignore[assignment]  # it changes by update

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kind = cls.__dict__.get("kind")
        if kind is None:
            return  # an intermediate base
        other = _KINDS.setdefault(kind, cls)
        if (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"two classes of the kind {kind!r}: {other!r} and {cls!r}")
        _KINDS[kind] = cls

    def __init__(self, **config: Any) -> None:
        self._config: dict[str, Any] = self._configure(**config)
        self._fields: dict[str, Field] = self._layout(self._config)
        self._values: dict[str, Any] = {name: f.zero() for name, f in self._fields.items()}

    @classmethod
    @abstractmethod
    def _configure(cls, **config: Any) -> dict[str, Any]:
        """Return the checked configuration, of plain values that JSON keeps."""

    @classmethod
    @abstractmethod
    def _layout(cls, config: dict[str, Any]) -> dict[str, Field]:
        """Return the fields by name."""

    @abstractmethod
    def update(self, *data: Any, **options: Any) -> Self:
        """Add data to this state, and return it."""

    def _check(self) -> None:  # noqa: B027 - a subclass may have nothing to add
        """Raise ValueError if the fields of a payload contradict each other."""

    @classmethod
    def _upgrade(
        cls, version: int, config: dict[str, Any], parts: Parts
    ) -> tuple[dict[str, Any], Parts]:
        """Return configuration and parts of an older `version` as this version has them.

        Called only for a version below ``cls.version``. A class that raises its version overrides
        this; the parts it gets and returns are arrays and integers by name, as they were written.
        """
        raise ValueError(f"a {cls.kind!r} state of version {version} can no longer be read")

    def _absorb(self, **parts: Any) -> None:
        """Merge values into the fields of these names: into all of them or, on an error, none."""
        merged = {
            name: self._fields[name].merge(self._values[name], part) for name, part in parts.items()
        }
        self._values.update(merged)

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, State):
            return NotImplemented
        if type(other) is not type(self):
            raise TypeError(f"a {self.kind!r} and a {other.kind!r} state do not merge")
        differing = [key for key in self._config if self._config[key] != other._config[key]]
        if differing:
            listed = ", ".join(
                f"{key} is {self._config[key]!r} and {other._config[key]!r}" for key in differing
            )
            raise ValueError(f"two {self.kind!r} states differ and cannot merge: {listed}")
        result = self.copy()
        result._absorb(**other._values)
        return result

    def __radd__(self, other: object) -> Self:
        # What sum() begins with.
        return self.copy() if type(other) is int and other == 0 else NotImplemented

    def merge(self, other: Self) -> Self:
        """Return the state of the data of both; an alias of ``+``."""
        if not isinstance(other, State):
            raise TypeError(f"other must be a {type(self).__name__}; got {type(other).__name__}")
        return self + other

    def copy(self) -> Self:
        """Return an independent state with the same values."""
        result = object.__new__(type(self))
        result._config, result._fields = self._config, self._fields
        result._values = dict(self._values)
        return result

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._config == other._config and all(
            field.equal(self._values[name], other._values[name])
            for name, field in self._fields.items()
        )

    def __repr__(self) -> str:
        shown = {key: value for key, value in self._config.items() if value is not None}
        shown |= {
            name: self._values[name]
            for name, field in self._fields.items()
            if isinstance(field, Count)
        }
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle between processes holds the checked format, too.
        return type(self).from_bytes, (self.to_bytes(),)

    def to_bytes(self) -> bytes:
        """Return the state as bytes, with a checksum; ``from_bytes`` reads them."""
        entries, body = [], []
        for name, part in self._parts().items():
            dtype, shape, data = _encode(part)
            entries.append({"name": name, "dtype": dtype, "shape": shape})
            body.append(data)
        header = _dump(self._head() | {"parts": entries}).encode()
        prefix = _PREFIX.pack(_MAGIC, len(header), sum(map(len, body)))
        payload = b"".join((prefix, header, *body))
        return payload + struct.pack("<I", zlib.crc32(payload))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Return the state that ``to_bytes`` wrote.

        Called on ``State`` itself it returns a state of whatever registered kind the payload is.

        Raises
        ------
        TypeError
            If `data` is not bytes.
        ValueError
            If the payload is truncated, has bytes too many, fails its checksum, is of another kind,
            of a later version, or holds values that no state has.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes; got {type(data).__name__}")
        payload = bytes(data)
        if payload[: len(_MAGIC)] != _MAGIC[: len(payload)] or not payload:
            raise ValueError(f"data is no state: it begins with {payload[:6]!r}, not {_MAGIC!r}")
        if len(payload) < _PREFIX.size:
            raise ValueError(f"data is truncated: {len(payload)} bytes hold no header")
        _, header_size, body_size = _PREFIX.unpack_from(payload)
        size = _PREFIX.size + header_size + body_size + 4
        if len(payload) != size:
            problem = "is truncated" if len(payload) < size else "has bytes after its end"
            raise ValueError(f"data {problem}: {len(payload)} bytes where its header says {size}")
        if zlib.crc32(payload[:-4]) != int.from_bytes(payload[-4:], "little"):
            raise ValueError("data is corrupt: its checksum does not match")
        start = _PREFIX.size + header_size
        head = _parse(payload[_PREFIX.size : start])
        parts: Parts = {}
        for name, entry in _entries(head):
            dtype, shape = _dtype_and_shape(name, entry)
            length = math.prod(shape) * (1 if dtype == "exact" else 8)
            if start + length > len(payload) - 4:
                raise ValueError(f"part {name!r} reaches beyond the end of the body")
            parts[name] = _decode(payload[start : start + length], dtype, shape)
            start += length
        if start != len(payload) - 4:
            raise ValueError(f"the body holds {len(payload) - 4 - start} bytes of no part")
        return cls._from_parts(head, parts)

    def to_json(self) -> str:
        """Return the state as JSON, exact to the last bit; ``from_json`` reads it."""
        entries = []
        for name, part in self._parts().items():
            if isinstance(part, int):
                entry: dict[str, Any] = {"dtype": "exact", "data": _to_hex(part)}
            else:
                values = part.ravel().tolist()
                if part.dtype == np.float64:
                    values = [value if math.isfinite(value) else str(value) for value in values]
                dtype = "<f8" if part.dtype == np.float64 else "<i8"
                entry = {"dtype": dtype, "shape": list(part.shape), "data": values}
            entries.append({"name": name, **entry})
        return _dump(self._head() | {"parts": entries})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the state that ``to_json`` wrote; raises as ``from_bytes`` does."""
        if not isinstance(text, str | bytes):
            raise TypeError(f"text must be a string; got {type(text).__name__}")
        head = _parse(text)
        parts: Parts = {}
        for name, entry in _entries(head):
            data = entry.get("data")
            if entry.get("dtype") == "exact":
                parts[name] = _from_hex(name, data)
                continue
            dtype, shape = _dtype_and_shape(name, entry)
            if not isinstance(data, list) or len(data) != math.prod(shape):
                raise ValueError(f"part {name!r} does not hold the {math.prod(shape)} values of it")
            parts[name] = np.array(_numbers(name, data, dtype), dtype=dtype).reshape(shape)
        return cls._from_parts(head, parts)

    def _head(self) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version, "config": self._config}

    def _parts(self) -> Parts:
        return {
            name + suffix: part
            for name, field in self._fields.items()
            for suffix, part in zip(field.suffixes, field.pack(self._values[name]), strict=True)
        }

    @classmethod
    def _from_parts(cls, head: dict[str, Any], parts: Parts) -> Self:
        kind, version, config = (head.get(key) for key in ("kind", "version", "config"))
        found = _KINDS.get(kind) if isinstance(kind, str) else None
        if found is None:
            raise ValueError(f"unknown kind {kind!r}; known are {sorted(_KINDS)}")
        if not issubclass(found, cls):
            raise ValueError(f"the payload is of the kind {kind!r}, not {cls.kind!r}")
        if type(version) is not int or version < 1:
            raise ValueError(f"version must be a positive integer; got {version!r}")
        if version > found.version:
            raise ValueError(
                f"the payload is a {kind!r} state of version {version}; this library reads up to "
                f"version {found.version}: update it"
            )
        if not isinstance(config, dict):
            raise ValueError(f"config must be an object; got {config!r}")
        if version < found.version:
            config, parts = found._upgrade(version, config, parts)
        state = object.__new__(found)
        try:
            state._config = found._configure(**config)
        except TypeError as error:
            raise ValueError(f"config of a {kind!r} state: {error}") from None
        state._fields = found._layout(state._config)
        wanted = [name + suffix for name, f in state._fields.items() for suffix in f.suffixes]
        if set(parts) != set(wanted):
            raise ValueError(f"the parts must be {sorted(wanted)}; got {sorted(parts)}")
        state._values = {
            name: field.unpack([parts[name + suffix] for suffix in field.suffixes], name)
            for name, field in state._fields.items()
        }
        state._check()
        return state


def _encode(part: Part) -> tuple[str, list[int], bytes]:
    if isinstance(part, int):
        size = (part.bit_length() + 8) // 8  # a bit more than the number has, for the sign
        return "exact", [size], part.to_bytes(size, "little", signed=True)
    dtype = "<f8" if part.dtype == np.float64 else "<i8"
    return dtype, list(part.shape), part.astype(dtype, copy=False).tobytes()


def _decode(data: bytes, dtype: str, shape: tuple[int, ...]) -> Part:
    if dtype == "exact":
        return int.from_bytes(data, "little", signed=True)
    native = np.float64 if dtype == "<f8" else np.int64
    return np.frombuffer(data, dtype).astype(native, copy=False).reshape(shape)


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _parse(text: str | bytes) -> dict[str, Any]:
    try:
        head = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the payload is no JSON of a state: {error}") from None
    if not isinstance(head, dict):
        raise ValueError(f"the payload must be an object; got {type(head).__name__}")
    return head


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _entries(head: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    entries = head.get("parts")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("parts must be a list of objects")
    names = [entry.get("name") for entry in entries]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("each part needs a name of its own")
    return list(zip(names, entries, strict=True))


def _dtype_and_shape(name: str, entry: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    dtype, shape = entry.get("dtype"), entry.get("shape")
    if dtype not in _DTYPES:
        raise ValueError(f"part {name!r} has the type {dtype!r}, which is none of {_DTYPES}")
    if not isinstance(shape, list) or not all(
        type(size) is int and 0 <= size < 1 << 40 for size in shape
    ):
        raise ValueError(f"part {name!r} has the shape {shape!r}")
    if len(shape) > 2 or (dtype == "exact" and len(shape) != 1):
        raise ValueError(f"part {name!r} has the shape {shape!r}")
    return str(dtype), tuple(shape)


def _numbers(name: str, data: list[Any], dtype: str) -> list[Any]:
    if dtype == "<i8":
        for value in data:
            if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
                raise ValueError(f"part {name!r} holds {value!r}, which is no 64-bit integer")
        return data
    for value in data:
        # Other languages may write 1.0 as 1.
        whole = type(value) is int and abs(value) <= 1 << 53
        if not (whole or type(value) is float or value in ("inf", "-inf")):
            raise ValueError(f"part {name!r} holds {value!r}, which is no float")
    return [float(value) for value in data]


def _to_hex(total: int) -> str:
    """Return an exact sum as a hexadecimal constant, ``0x3p-1`` for 1.5."""
    if not total:
        return "0x0p+0"
    zeros = (total & -total).bit_length() - 1
    return f"{total >> zeros:#x}p{zeros - _UNIT_BITS:+d}"


def _from_hex(name: str, text: Any) -> int:
    mantissa, has_power, power = text.partition("p") if isinstance(text, str) else ("", "", "")
    try:
        if not has_power or len(text) > 1000:
            raise ValueError
        shift = int(power) + _UNIT_BITS
        if not (0 <= shift <= 4096 and mantissa.lstrip("-").startswith("0x")):
            raise ValueError
        return int(mantissa, 16) << shift
    except ValueError:
        raise ValueError(f"part {name!r} is no exact sum: {text!r}") from None
