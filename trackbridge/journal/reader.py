"""
Reads journal files, and never fails on a bad one.

A last line without its newline is not written yet. A damaged line is skipped and told as a problem with its
place; what stands before and after it on disk is still read. Bytes that changed inside a line that still looks
right are caught by the next integrity line.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from trackbridge.events.models import AnyEvent, Integrity
from trackbridge.journal.codec import (
    LINE_START,
    LineError,
    block_positions,
    crc_covered,
    decode,
    decode_lines,
    is_integrity_line,
)

BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read: whole lines only. Keep it, and reading goes on from there."""

    offset: int = 0
    line: int = 0
    next_seq: int = 0
    crc32: int = 0
    crc_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LineProblem:
    """A damaged place in a file: `line` counts from 1, `offset` is in bytes from the start."""

    line: int
    offset: int
    reason: str


@dataclass(slots=True)
class FileRead:
    """Events in file order, what was wrong, and where to go on."""

    events: list[AnyEvent] = field(default_factory=list)
    problems: list[LineProblem] = field(default_factory=list)
    position: Position = field(default_factory=Position)


def read_file(path: Path, position: Position | None = None) -> FileRead:
    """Everything wholly written to a journal file after `position` (default: the start).

    Raises:
        OSError: the file cannot be opened or read at all.
    """
    read = FileRead(position=position or Position())
    for part in read_blocks(path, read.position):
        read.events += part.events
        read.problems += part.problems
        read.position = part.position
    return read


def read_blocks(path: Path, position: Position | None = None) -> Iterator[FileRead]:
    """The same in blocks of about 4 MB, for files larger than memory wants; the last may be empty.

    Raises:
        OSError: the file cannot be opened or read at all.
    """
    at = position or Position()
    with path.open("rb", buffering=0) as file:
        file.seek(at.offset)
        rest = b""
        while chunk := file.read(BLOCK_BYTES):
            block, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                part = _read_block(block + newline, at)
                at = part.position
                yield part
    if rest and (problem := _problem_in_tail(rest, at)):
        yield FileRead(problems=[problem], position=at)


def _read_block(block: bytes, start: Position) -> FileRead:
    try:
        events = decode_lines(block)
    except LineError:
        return _read_line_by_line(block, start)
    lines = block.count(b"\n")
    if len(events) != lines or not _is_gap_free(events, start.next_seq):
        return _read_line_by_line(block, start)
    crc, crc_bytes, problems = _check_integrity(block, start)
    end = Position(start.offset + len(block), start.line + lines, start.next_seq + len(events), crc, crc_bytes)
    return FileRead(events, problems, end)


def _is_gap_free(events: list[AnyEvent], first_seq: int) -> bool:
    return bool(events) and events[0].seq == first_seq and events[-1].seq == first_seq + len(events) - 1


def _read_line_by_line(block: bytes, start: Position) -> FileRead:
    read = FileRead(position=start)
    for line in _lines_with_newline(block):
        at = read.position
        problems = read.problems
        for event in _events_in_line(line[:-1], at, problems):
            if event.seq != at.next_seq and not (problems and problems[-1].line >= at.line):
                reason = f"event {event.seq} where {at.next_seq} was expected"
                problems.append(LineProblem(at.line + 1, at.offset, reason))
            at = replace(at, next_seq=event.seq + 1)
            read.events.append(event)
        read.position = replace(at, offset=at.offset + len(line), line=at.line + 1)
    crc, crc_bytes, problems = _check_integrity(block, start)
    read.problems += problems
    read.problems.sort(key=lambda problem: problem.offset)
    read.position = replace(read.position, crc32=crc, crc_bytes=crc_bytes)
    return read


def _lines_with_newline(block: bytes) -> list[bytes]:
    # bytes.splitlines would also split at a carriage return, which only damage puts there.
    return [line + b"\n" for line in block[:-1].split(b"\n")]


def _events_in_line(line: bytes, at: Position, problems: list[LineProblem]) -> Iterator[AnyEvent]:
    try:
        yield decode(line)
        return
    except LineError as error:
        problems.append(LineProblem(at.line + 1, at.offset, f"damaged line: {error}"))
    # When a newline itself was damaged, whole events stand inside this line, each followed by what it became.
    starts = [0, *_positions(line, LINE_START)]
    for begin, end in zip(starts, [*starts[1:], len(line)], strict=True):
        event = _decode_or_none(line[begin:end]) or _decode_or_none(line[begin : end - 1])
        if event is not None and len(starts) > 1:
            yield event


def _positions(line: bytes, marker: bytes) -> Iterator[int]:
    at = line.find(marker, 1)
    while at > 0:
        yield at
        at = line.find(marker, at + 1)


def _decode_or_none(line: bytes) -> AnyEvent | None:
    try:
        return decode(line)
    except LineError:
        return None


def _check_integrity(block: bytes, start: Position) -> tuple[int, int, list[LineProblem]]:
    crc, crc_bytes, at = start.crc32, start.crc_bytes, 0
    problems: list[LineProblem] = []
    for begin in block_positions(block):
        end = block.index(b"\n", begin) + 1
        line = block[begin : end - 1]
        event = _decode_or_none(line)
        if not isinstance(event, Integrity) or not is_integrity_line(line):
            continue
        crc = zlib.crc32(crc_covered(line), zlib.crc32(block[at:begin], crc))
        crc_bytes += begin - at
        if crc != event.crc32 or crc_bytes != event.size_bytes:
            number = start.line + block.count(b"\n", 0, begin) + 1
            first = start.offset + begin - crc_bytes
            reason = f"the {crc_bytes} bytes from offset {first} do not match their checksum"
            problems.append(LineProblem(number, start.offset + begin, reason))
        crc, crc_bytes, at = 0, 0, end
    return zlib.crc32(block[at:], crc), crc_bytes + len(block) - at, problems


def _problem_in_tail(tail: bytes, at: Position) -> LineProblem | None:
    try:
        decode(tail)
    except LineError as error:
        if not error.truncated:
            return LineProblem(at.line + 1, at.offset, f"damaged last line: {error}")
    return None
