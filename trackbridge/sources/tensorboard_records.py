"""
The records of a TensorBoard event file: TFRecord frames, each with a checksum of its length and one of its content.

Sources: the frame is that of `tensorflow/core/lib/io/record_writer.cc`, CRC-32C that of RFC 3720 appendix B.4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO, NamedTuple

from trackbridge.errors import SourceRefused

_HEAD = struct.Struct("<QI")
_NOT_ZERO = re.compile(rb"[^\0]")
_TAIL_BYTES = 4
_FIRST_BYTES = 32
MAX_RECORD_BYTES = 1 << 30
# How far the next whole record is looked for behind a damaged length.
MAX_SEARCH_BYTES = 8 << 20


class Record(NamedTuple):
    """The content of a frame, and the byte of the file at which the frame begins."""

    at: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Why nothing could be read at a byte of the file."""

    at: int
    reason: str


def read_records(file: BinaryIO, *, start: int = 0, end: int | None = None) -> Iterator[Record | Damage]:
    """The records that begin from `start` on and before `end`; where one is damaged, reading goes on behind it.

    Raises:
        SourceRefused: a record says that it is larger than any can be.
    """
    size = file.seek(0, 2)
    at = start
    while at < (size if end is None else min(size, end)):
        length = _length(file, at, size)
        if isinstance(length, Damage):
            yield length
            if (found := _next_head(file, at + 1)) is None:
                return
            at = found
            continue
        content = file.read(length)
        if int.from_bytes(file.read(_TAIL_BYTES), "little") == masked_crc32c(content):
            yield Record(at, content)
        else:
            yield Damage(at, "the checksum of a record does not match: it is left out")
        at += _HEAD.size + length + _TAIL_BYTES


def first_bytes(file: BinaryIO) -> Iterator[Record]:
    """The first few bytes of every record up to the first damage, without a look at what follows them."""
    size = file.seek(0, 2)
    at = 0
    while at < size:
        try:
            length = _length(file, at, size)
        except SourceRefused:
            return
        if isinstance(length, Damage):
            return
        yield Record(at, file.read(min(length, _FIRST_BYTES)))
        at += _HEAD.size + length + _TAIL_BYTES


def masked_crc32c(content: bytes) -> int:
    """The checksum that stands in a frame: CRC-32C, rotated and moved."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in content:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _length(file: BinaryIO, at: int, size: int) -> int | Damage:
    """The length of the content of the record at a byte, the file then being at its content; or why there is none."""
    file.seek(at)
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return Damage(at, "the file ends inside of a record")
    length, checksum = _HEAD.unpack(head)
    if masked_crc32c(head[:8]) != checksum:
        return Damage(at, "the length of a record is damaged")
    if length > MAX_RECORD_BYTES:
        # Chance does not make a checksum right.
        raise SourceRefused(f"the event file says at byte {at} that a record of {length} bytes follows")
    if at + _HEAD.size + length + _TAIL_BYTES > size:
        return Damage(at, "the file ends inside of a record")
    return int(length)


def _next_head(file: BinaryIO, start: int) -> int | None:
    """Where the next frame begins whose length is whole; None where there is none near."""
    file.seek(start)
    content = file.read(MAX_SEARCH_BYTES)
    at = 0
    while at <= len(content) - _HEAD.size:
        length, checksum = _HEAD.unpack_from(content, at)
        if not length and not checksum:
            # A crash may leave megabytes of zeros, in which no frame begins.
            if (written := _NOT_ZERO.search(content, at)) is None:
                return None
            at = written.start() - _HEAD.size + 1
            continue
        # Most places are told apart by the length alone, which costs no checksum.
        if length <= MAX_RECORD_BYTES and masked_crc32c(content[at : at + 8]) == checksum:
            return start + at
        at += 1
    return None


@cache
def _crc_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table
