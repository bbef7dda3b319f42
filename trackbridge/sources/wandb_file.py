"""
The records of a `.wandb` file: framing and checksums, not yet their meaning.

Source: the LevelDB log format (github.com/google/leveldb, doc/log_format.md), with the file header `:W&B` and plain
CRC-32 over type and bytes that W&B uses; checked against files of wandb 0.31.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import SourceProblem

MAGIC = b":W&B"
FILE_HEADER = b":W&B\xe1\xbe\x00"
BLOCK_BYTES = 1 << 15
MAX_RECORD_BYTES = 1 << 28
_CHUNK_BYTES = 64 * BLOCK_BYTES
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_KIND_CRC = {kind: crc32(bytes([kind])) for kind in (_FULL, _FIRST, _MIDDLE, _LAST)}

Piece: TypeAlias = tuple[int, bytes]


def is_wandb_file(path: Path) -> bool:
    """True when a file begins as W&B's do."""
    try:
        # A pipe would never give a byte.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_records(path: Path) -> Iterator[bytes | SourceProblem]:
    """The records in their order, and where some are damaged or the last one is torn.

    Raises:
        SourceRefused: a record is larger than any that W&B writes.
        OSError: the file cannot be read.
    """
    parts: list[bytes] = []
    size_bytes = 0
    for piece in _pieces(path):
        if isinstance(piece, SourceProblem):
            parts = []
            yield piece
            continue
        kind, content = piece
        if kind == _FULL:
            yield content
            continue
        # After damage there may be the rest of a record whose beginning is lost.
        if kind == _FIRST:
            parts, size_bytes = [content], len(content)
        elif parts:
            parts.append(content)
            size_bytes += len(content)
        if size_bytes > MAX_RECORD_BYTES:
            raise SourceRefused(f"{path.name} holds a record of more than {MAX_RECORD_BYTES >> 20} MB")
        if kind == _LAST and parts:
            yield b"".join(parts)
            parts = []
    if parts:
        yield SourceProblem(path.name, f"byte {path.stat().st_size}", "the last record is torn")


def _pieces(path: Path) -> Iterator[Piece | SourceProblem]:
    with path.open("rb") as file:
        start = 0
        while chunk := file.read(_CHUNK_BYTES):
            if start == 0 and not chunk.startswith(FILE_HEADER):
                yield SourceProblem(path.name, "byte 0", f"begins with {chunk[:7]!r}, not as a W&B file does")
                if not chunk.startswith(MAGIC):
                    return
            yield from _pieces_of(chunk, path.name, start)
            start += len(chunk)


def _pieces_of(chunk: bytes, name: str, start: int) -> Iterator[Piece | SourceProblem]:
    position = len(FILE_HEADER) if start == 0 else 0
    end = len(chunk)
    while position < end:
        block_end = min(position - position % BLOCK_BYTES + BLOCK_BYTES, end)
        begin = position + _HEADER.size
        if begin > block_end:
            # The rest of a block that is too short for a header is padding, but at the end of the file it is torn.
            if block_end % BLOCK_BYTES:
                yield SourceProblem(name, f"byte {start + position}", "the last record is torn")
            position = block_end
            continue
        checksum, size_bytes, kind = _HEADER.unpack_from(chunk, position)
        stop = begin + size_bytes
        content = chunk[begin:stop]
        if stop <= block_end and kind in _KIND_CRC and crc32(content, _KIND_CRC[kind]) == checksum:
            yield kind, content
            position = stop
        else:
            is_torn = stop > block_end and block_end % BLOCK_BYTES
            reason = "the last record is torn" if is_torn else "a checksum does not fit: the rest of its 32 kB is lost"
            yield SourceProblem(name, f"byte {start + position}", reason)
            position = block_end
