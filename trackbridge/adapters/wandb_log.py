"""
The `.wandb` file of an offline run: read as it grows, and cut at its end record when the run goes on.

Source of the layout: the LevelDB log format (github.com/google/leveldb, doc/log_format.md), with the file header
`:W&B` and plain CRC-32 that W&B uses; checked against files of wandb 0.31.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

MAGIC = b":W&B"
FILE_HEADER_BYTES = 7
BLOCK_BYTES = 32 * 1024
_RECORD_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


class LoggedRecord(NamedTuple):
    """A record of the file and where its first part starts."""

    offset: int
    record: Any


class WandbLog:
    """Reads the records of a file that may still be written; each call goes on where the last one stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = FILE_HEADER_BYTES

    def new_records(self) -> Iterator[LoggedRecord]:
        """The whole records that have appeared since; a torn end is not there yet."""
        from wandb.proto import wandb_internal_pb2

        if not self.path.exists():
            return
        first_block = self._offset - self._offset % BLOCK_BYTES
        with self.path.open("rb") as file:
            file.seek(first_block)
            content = file.read()
        for start, end, payload in _payloads(content, self._offset - first_block):
            self._offset = first_block + end
            record = wandb_internal_pb2.Record()
            record.ParseFromString(payload)
            yield LoggedRecord(first_block + start, record)


def last_step(path: Path) -> int:
    """The highest history step of a file; -1 without any."""
    records = (record for _, record in WandbLog(path).new_records())
    return max((record.history.step.num for record in records if record.HasField("history")), default=-1)


def drop_ending(path: Path) -> None:
    """Take the record that ends the run off the file, so that it reads as a run that goes on."""
    for offset, record in WandbLog(path).new_records():
        if record.HasField("exit"):
            os.truncate(path, offset)
            return


def _payloads(content: bytes, offset: int) -> Iterator[tuple[int, int, bytes]]:
    parts: list[bytes] = []
    start = offset
    while offset + _RECORD_HEADER.size <= len(content):
        left_in_block = BLOCK_BYTES - offset % BLOCK_BYTES
        if left_in_block < _RECORD_HEADER.size:
            offset += left_in_block
            continue
        checksum, size, kind = _RECORD_HEADER.unpack_from(content, offset)
        end = offset + _RECORD_HEADER.size + size
        payload = content[offset + _RECORD_HEADER.size : end]
        if len(payload) < size or zlib.crc32(payload, zlib.crc32(bytes([kind]))) != checksum:
            return
        if kind in (_FULL, _FIRST):
            parts, start = [], offset
        parts.append(payload)
        offset = end
        if kind in (_FULL, _LAST):
            yield start, end, b"".join(parts)
