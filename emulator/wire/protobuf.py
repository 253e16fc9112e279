"""The little of protobuf that the protocol needs: fields of numbers and bytes, written and read by number.

Field numbers come from whatsmeow's .proto files and are named where they are used.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class MalformedMessage(ValueError):
    """The bytes are no protobuf message."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


Value = int | float | bytes | str | None


def write(fields: Mapping[int, Value | list[bytes]]) -> bytes:
    """A message of these fields, in their order; None is left out, a list is a repeated field."""
    out = bytearray()
    for number, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            out += _field(number, value)
    return bytes(out)


def _field(number: int, value: Value) -> bytes:
    if value is None:
        return b""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    if isinstance(value, float):
        return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


class Message:
    """A message that was read: the last value of each field, by number."""

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, int | bytes] = {}
        self._data, self._at = data, 0
        while self._at < len(data):
            key = self._read_varint()
            self._fields[key >> 3] = self._read_value(key & 7)

    def _read_varint(self) -> int:
        value = shift = 0
        while True:
            if self._at >= len(self._data) or shift > 63:
                raise MalformedMessage("a number without an end")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _read_value(self, kind: int) -> int | bytes:
        if kind == _VARINT:
            return self._read_varint()
        if kind == _BYTES:
            length = self._read_varint()
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise MalformedMessage(f"unknown wire type {kind}")
        if self._at + length > len(self._data):
            raise MalformedMessage(f"{length} bytes announced, {len(self._data) - self._at} left")
        value = self._data[self._at : self._at + length]
        self._at += length
        return int.from_bytes(value, "little") if kind != _BYTES else value

    def has(self, number: int) -> bool:
        return number in self._fields

    def number(self, number: int) -> int:
        """The field as a number; 0 when it is missing or holds bytes."""
        value = self._fields.get(number, 0)
        return value if isinstance(value, int) else 0

    def data(self, number: int) -> bytes:
        """The field as bytes; empty when it is missing or a number."""
        value = self._fields.get(number, b"")
        return value if isinstance(value, bytes) else b""

    def message(self, number: int) -> Message:
        """The field as a message; an empty one when it is missing."""
        return Message(self.data(number))
