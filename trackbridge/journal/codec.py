"""
One event as one line, and back. The line format lives here and nowhere else.

Metrics that are NaN or infinite are the strings "NaN", "Infinity" and "-Infinity", as in proto3 JSON.
Where any JSON may stand (config, summary, environment) a string could be meant as one, so a non-finite
float is `{"$float": "NaN"}` there, and a user's object with one key that starts with `$` gets one more `$`.
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec

from trackbridge.events.models import (
    AnyEvent,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    KnownEvent,
    MetricsLogged,
    SummaryLogged,
    UnknownEvent,
)

KNOWN_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in KnownEvent.__args__)
LINE_START = b'{"kind":"'
CRC_FIELD = b',"crc32":'
_INTEGRITY_START = b'{"kind":"integrity"'
_FREE_FIELD: dict[type, str] = {
    ConfigLogged: "config",
    SummaryLogged: "values",
    EnvironmentCaptured: "environment",
}
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SPELLING = {math.inf: "Infinity", -math.inf: "-Infinity"}

_encode = msgspec.json.Encoder().encode
# Lax only so that "NaN" and "Infinity" decode as floats, at the speed of C.
_decoder = msgspec.json.Decoder(KnownEvent, strict=False)
_any_decoder = msgspec.json.Decoder()


class LineError(ValueError):
    """A line that is no event; `is_beginning` when more bytes could make it one."""

    def __init__(self, reason: str, *, is_beginning: bool = False) -> None:
        super().__init__(reason)
        self.is_beginning = is_beginning


def encode(event: KnownEvent) -> bytes:
    """The event as one line, newline included."""
    kind = type(event)
    if isinstance(event, MetricsLogged):
        epoch = None if event.epoch is None else _spell(event.epoch)
        event = msgspec.structs.replace(event, metrics=_spell_metrics(event.metrics), epoch=epoch)
    elif isinstance(event, CheckpointSaved):
        event = msgspec.structs.replace(event, metrics=_spell_metrics(event.metrics))
    elif kind in _FREE_FIELD:
        field = _FREE_FIELD[kind]
        event = msgspec.structs.replace(event, **{field: _wrap(getattr(event, field))})
    return _encode(event) + b"\n"


def encode_finite(seq: int, t: int, step: int, metrics: dict[str, float], epoch: float | None = None) -> bytes:
    """A `metrics_logged` line of finite numbers: what is written at every step, so nothing is looked up."""
    return _encode(MetricsLogged(seq=seq, t=t, step=step, metrics=metrics, epoch=epoch)) + b"\n"


def encode_json(value: Any) -> bytes:
    """Any JSON-safe value with non-finite floats spelled as in the journal; for tables and other files."""
    return _encode(_wrap(value))


def decode_json(content: bytes) -> Any:
    """The value that `encode_json` was given.

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    return _unwrap(_any_decoder.decode(content))


def decode(line: bytes | memoryview) -> AnyEvent:
    """The event of one line, given without its newline.

    Raises:
        LineError: it is no event.
    """
    try:
        return _unwrapped(_decoder.decode(line))
    except msgspec.ValidationError as error:
        return _decode_unknown(line, str(error))
    except _DECODE_ERRORS as error:
        raise _line_error(error, line) from error


def decode_lines(block: bytes) -> list[AnyEvent]:
    """The events of a block of whole lines, at several times the speed of `decode` line by line.

    Raises:
        LineError: some line is unknown or damaged; decode the block line by line to find which.
    """
    try:
        events = cast(list[KnownEvent], _decoder.decode_lines(block))
    except _DECODE_ERRORS as error:
        raise LineError(str(error)) from error
    return [_unwrapped(event) if type(event) in _FREE_FIELD else event for event in events]


def _decode_unknown(line: bytes | memoryview, reason: str) -> UnknownEvent:
    try:
        fields = _any_decoder.decode(line)
    except _DECODE_ERRORS as error:
        raise _line_error(error, line) from error
    # No other kind has a `crc32`, so that an integrity line whose kind is damaged is not taken for a new kind.
    if not isinstance(fields, dict) or fields.get("kind") in KNOWN_KINDS or "crc32" in fields:
        raise LineError(reason)
    kind, seq, t = (fields.pop(name, None) for name in ("kind", "seq", "t"))
    if not (isinstance(kind, str) and type(seq) is int and type(t) is int):
        raise LineError("no event: `kind`, `seq` or `t` is missing or of the wrong type")
    return UnknownEvent(kind=kind, seq=seq, t=t, fields=fields)


def _line_error(error: Exception, line: bytes | memoryview) -> LineError:
    reason = str(error)
    # A number that ends with the data ("-", "1.", "1e") is told as invalid at the byte that is not there.
    ends_in_number = reason.endswith(f"invalid number (byte {len(line)})")
    return LineError(reason, is_beginning=ends_in_number or "truncated" in reason)


def _spell_metrics(metrics: dict[str, float]) -> dict[str, Any]:
    return {name: _spell(value) for name, value in metrics.items()}


def _spell(value: float) -> float | str:
    return value if math.isfinite(value) else _SPELLING.get(value, "NaN")


def _wrap(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": _spell(value)}
    if isinstance(value, dict):
        if len(value) == 1 and (key := next(iter(value))).startswith("$"):
            return {"$" + key: _wrap(value[key])}
        return {key: _wrap(item) for key, item in value.items()}
    return [_wrap(item) for item in value] if isinstance(value, list) else value


def _unwrap(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and (key := next(iter(value))).startswith("$"):
            return float(value[key]) if key == "$float" else {key[1:]: _unwrap(value[key])}
        return {key: _unwrap(item) for key, item in value.items()}
    return [_unwrap(item) for item in value] if isinstance(value, list) else value


def _unwrapped(event: KnownEvent) -> KnownEvent:
    field = _FREE_FIELD.get(type(event))
    if field is None:
        return event
    try:
        free = _unwrap(getattr(event, field))
    except (TypeError, ValueError, RecursionError) as error:
        raise LineError(f"{field}: {error}") from error
    if not isinstance(free, dict):
        raise LineError(f"{field}: no object but {free!r}")
    return msgspec.structs.replace(event, **{field: free})


def crc_covered(line: bytes) -> bytes:
    """The part of an integrity line that its own checksum covers; nothing of a line without a checksum."""
    return line.rpartition(CRC_FIELD)[0]


def integrity_positions(block: bytes) -> list[int]:
    """The offsets in a block of whole lines at which an integrity line starts."""
    found, at = [], block.find(_INTEGRITY_START)
    while at >= 0:
        if at == 0 or block[at - 1] == 10:
            found.append(at)
        at = block.find(_INTEGRITY_START, at + 1)
    return found
