"""
Protocol buffers without a schema compiler: the fields of a message, for readers that know the few numbers they want.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

Wire: TypeAlias = int | bytes
"""A number for a varint; the bytes of anything else: 4 or 8 of a fixed number, or those of a text or message."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, Wire]]:
    """The fields of a message by number, in their order there.

    Raises:
        ValueError: the bytes are no message.
    """
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire_type = key & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield key >> 3, value
            continue
        if wire_type == _BYTES:
            size, position = _varint(message, position)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire_type} at byte {position} of a message")
        if size > end - position:
            raise ValueError(f"a field of {size} bytes in a message with {end - position} left")
        yield key >> 3, message[position : position + size]
        position += size


def as_bytes(value: Wire) -> bytes:
    """The bytes of a text, a message or a fixed number.

    Raises:
        ValueError: it is a varint.
    """
    if isinstance(value, int):
        raise ValueError(f"the number {value} where bytes belong")  # noqa: TRY004 - the file is wrong, not the caller
    return value


def as_int(value: Wire) -> int:
    """A varint as the signed 64-bit number it stands for.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bytes):
        raise ValueError(f"{len(value)} bytes where a number belongs")  # noqa: TRY004 - the file is wrong, not the caller
    return value - (1 << 64) if value >> 63 else value


def as_float(value: Wire) -> float:
    """A fixed number of four or eight bytes.

    Raises:
        ValueError: it is none.
    """
    content = as_bytes(value)
    if len(content) not in (4, 8):
        raise ValueError(f"{len(content)} bytes where a float belongs")
    number: float = struct.unpack("<d" if len(content) == 8 else "<f", content)[0]
    return number


def as_text(value: Wire) -> str:
    """A text; what is no UTF-8 in it is replaced."""
    return as_bytes(value).decode("utf-8", "replace")


def varints(packed: bytes) -> Iterator[int]:
    """Varints without keys, one after another.

    Raises:
        ValueError: the last one is cut off.
    """
    position = 0
    while position < len(packed):
        value, position = _varint(packed, position)
        yield as_int(value)


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ValueError("a number is cut off")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
    raise ValueError("a number of more than ten bytes")
