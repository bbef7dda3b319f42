"""
The lines of `messages.json` in which Comet's SDK keeps a run offline: a type and what it carries.

Source of the types and their fields: the JSON schemas of the package `comet_ml`, `schemas/offline-*.schema.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import UNKNOWN_NS, SourceFile, SourceProblem
from trackbridge.sources.json_values import parsed

MAX_LINE_BYTES = 64 << 20
# Old SDKs wrote several kinds in a message of one type, each under a key of its own.
_MIXED = "ws_msg"
_KINDS = {"metric": "metric_msg", "param": "parameter_msg", "params": "parameter_msg"}


class Message(NamedTuple):
    """One line: its number in the file from 1, its type and what it carries."""

    line: int
    type: str
    payload: dict[str, Any]

    @property
    def t(self) -> int:
        """When it was sent, in nanoseconds; Comet keeps milliseconds."""
        return time_ns(self.payload.get("local_timestamp"))


def read_messages(file: SourceFile, *, only: bytes = b"") -> Iterator[Message | SourceProblem]:
    """The messages of a file, those alone whose line holds the bytes `only`; a damaged line is a problem.

    Raises:
        SourceRefused: a line is longer, or nested deeper, than any that a run leaves.
    """
    number = 0
    try:
        with file.open() as lines:
            while line := lines.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES:
                    raise SourceRefused(f"{file.name} has a line of {MAX_LINE_BYTES >> 20} MB or more")
                if only in line and not line.isspace():
                    yield _message(file.name, number, line)
    except OSError as error:
        yield SourceProblem(file.name, f"behind line {number}", f"reading stopped here: {error}")


def read_json(file: SourceFile) -> Any:
    """The JSON in a file.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
        SourceRefused: it is longer, or nested deeper, than any that a run leaves.
    """
    with file.open() as opened:
        content = opened.read(MAX_LINE_BYTES)
    if len(content) == MAX_LINE_BYTES:
        raise SourceRefused(f"{file.name} has {MAX_LINE_BYTES >> 20} MB or more")
    return parsed(content)


def time_ns(at_ms: Any) -> int:
    """A time of Comet's, which are whole milliseconds, in nanoseconds; none is `UNKNOWN_NS`."""
    is_number = isinstance(at_ms, (int, float)) and not isinstance(at_ms, bool) and math.isfinite(at_ms)
    return int(at_ms) * 1_000_000 if is_number else UNKNOWN_NS


def _message(name: str, number: int, line: bytes) -> Message | SourceProblem:
    try:
        told = parsed(line)
        kind, payload = told["type"], told["payload"]
    except (ValueError, LookupError, TypeError) as error:
        return SourceProblem(name, f"line {number}", f"it is no message: {error}")
    if not isinstance(kind, str) or not isinstance(payload, dict):
        return SourceProblem(name, f"line {number}", "it is no message: expected a type and an object")
    if kind == _MIXED:
        kind = next((_KINDS[key] for key in payload if key in _KINDS), kind)
    return Message(number, kind, payload)
