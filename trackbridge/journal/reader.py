"""
Reads journal files, and never fails on a bad one.

A last line without its newline is not written yet. A damaged line is skipped and told as a problem with its
place; the lines before and after it are still read. Bytes that changed inside a line that still looks right are
caught by the next integrity line.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from trackbridge.events.models import FORMAT_VERSION, AnyEvent, Integrity, WriterOpened
from trackbridge.journal.codec import (
    CRC_FIELD,
    LINE_START,
    LineError,
    crc_covered,
    decode,
    decode_lines,
    integrity_positions,
)

BLOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """
    How far a file has been read: whole lines only. Keep it, and reading goes on from there.

    `next_seq` is None after a problem: any number may follow then, so that one damage is told once.
    """

    offset: int = 0
    line: int = 0
    next_seq: int | None = 0
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


def read_blocks(path: Path, position: Position | None = None, *, block_bytes: int | None = None) -> Iterator[FileRead]:
    """The same in blocks (default: about 4 MB), for files larger than memory wants; the last may be empty.

    Raises:
        OSError: the file cannot be opened or read at all.
    """
    at = position or Position()
    with path.open("rb", buffering=0) as file:
        file.seek(at.offset)
        rest = b""
        while chunk := file.read(block_bytes or BLOCK_BYTES):
            block, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                part = _read_block(block + newline, at)
                at = part.position
                yield part
    if rest and (problem := _problem_in_tail(rest, at)):
        yield FileRead(problems=[problem], position=at)


def read_opening(path: Path) -> WriterOpened | None:
    """The first line of a journal file, which says who writes it; None when it is damaged or not there yet.

    Raises:
        OSError: the file cannot be opened or read at all.
    """
    with path.open("rb") as file:
        event = _decode_or_none(file.readline())
    return event if isinstance(event, WriterOpened) else None


def _read_block(block: bytes, start: Position) -> FileRead:
    read = _read_intact(block, start) or _read_line_by_line(block, start)
    crc, crc_bytes, problems = _check_integrity(block, start)
    if start.offset == 0:
        problems += _newer_format(read.events[:1])
    read.problems = sorted(read.problems + problems, key=lambda problem: problem.offset)
    read.position = replace(read.position, offset=start.offset + len(block), crc32=crc, crc_bytes=crc_bytes)
    return read


def _read_intact(block: bytes, start: Position) -> FileRead | None:
    """The block in one go, which is many times faster; None unless each of its lines is one event in its place."""
    n_lines = block.count(b"\n")
    if not block.startswith(LINE_START) or block.count(b"\n" + LINE_START) + 1 != n_lines:
        return None
    try:
        events = decode_lines(block)
    except LineError:
        return None
    first = events[0].seq if start.next_seq is None else start.next_seq
    if [event.seq for event in events] != list(range(first, first + n_lines)):
        return None
    return FileRead(events, [], replace(start, line=start.line + n_lines, next_seq=first + n_lines))


def _read_line_by_line(block: bytes, start: Position) -> FileRead:
    read = FileRead(position=start)
    # bytes.splitlines would also split at a carriage return, which only damage puts there.
    for line in block[:-1].split(b"\n"):
        at = read.position
        event, reason = _read_line(line, at.next_seq)
        if event is not None:
            read.events.append(event)
        if reason:
            read.problems.append(LineProblem(at.line + 1, at.offset, reason))
        next_seq = event.seq + 1 if event is not None and not reason else None
        read.position = replace(at, offset=at.offset + len(line) + 1, line=at.line + 1, next_seq=next_seq)
    return read


def _read_line(line: bytes, expected_seq: int | None) -> tuple[AnyEvent | None, str]:
    """The event of a line, and what is wrong with it."""
    try:
        event = decode(line)
    except LineError as error:
        return _event_at_end(line), f"damaged line: {error}"
    if expected_seq in (None, event.seq):
        return event, ""
    return event, f"event {event.seq} where {expected_seq} was expected"


def _event_at_end(line: bytes) -> AnyEvent | None:
    """The whole event that a damaged newline glued to what stood before it."""
    view, at = memoryview(line), line.find(LINE_START, 1)
    while at > 0:
        # An object inside another line may begin like a line too, but never ends where the line does.
        if (event := _decode_or_none(view[at:])) is not None:
            return event
        at = line.find(LINE_START, at + 1)
    return None


def _decode_or_none(line: bytes | memoryview) -> AnyEvent | None:
    try:
        return decode(line)
    except LineError:
        return None


def _check_integrity(block: bytes, start: Position) -> tuple[int, int, list[LineProblem]]:
    crc, crc_bytes, at = start.crc32, start.crc_bytes, 0
    problems: list[LineProblem] = []
    for begin in integrity_positions(block):
        end = block.index(b"\n", begin) + 1
        line = block[begin : end - 1]
        event = _decode_or_none(line)
        if not isinstance(event, Integrity):
            continue
        covered = crc_covered(line)
        crc = zlib.crc32(covered, zlib.crc32(block[at:begin], crc))
        crc_bytes += begin - at
        # The checksum itself is covered by none, so it counts only as it is written.
        if (crc, crc_bytes) != (event.crc32, event.size_bytes) or line != covered + CRC_FIELD + b"%d}" % crc:
            number = start.line + block.count(b"\n", 0, begin) + 1
            first = start.offset + begin - crc_bytes
            reason = f"the {crc_bytes} bytes from offset {first} do not match their checksum"
            problems.append(LineProblem(number, start.offset + begin, reason))
        crc, crc_bytes, at = 0, 0, end
    return zlib.crc32(block[at:], crc), crc_bytes + len(block) - at, problems


def _newer_format(first: list[AnyEvent]) -> list[LineProblem]:
    if not first or not isinstance(first[0], WriterOpened) or first[0].v <= FORMAT_VERSION:
        return []
    reason = f"format version {first[0].v} is newer than {FORMAT_VERSION}: update trackbridge to read all of it"
    return [LineProblem(1, 0, reason)]


def _problem_in_tail(tail: bytes, at: Position) -> LineProblem | None:
    reason = "blanks where its newline was"
    try:
        decode(tail)
        if tail.endswith(b"}"):
            return None
    except LineError as error:
        if error.is_beginning:
            return None
        reason = str(error)
    return LineProblem(at.line + 1, at.offset, f"damaged last line: {reason}")
