"""
The messages in TensorBoard's event files, decoded by the few fields that say something of a run.

Source of the field numbers: `tensorboard/compat/proto/{event,summary,tensor,types}.proto` and
`tensorboard/plugins/hparams/*.proto`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from trackbridge.sources.protobuf import Wire, as_bytes, as_float, as_int, as_text, fields, varints

SESSION_START = 1
_DT_STRING = 7
# TensorProto's typed fields, and the number types of `tensor_content`: https://www.tensorflow.org/api_docs/python/tf/dtypes
_PACKED = {5: "f", 6: "d"}
_VARINTS = (7, 10, 11, 16, 17)
_CONTENT_TYPES = {1: "f", 2: "d", 3: "i", 4: "B", 5: "h", 6: "b", 9: "q", 10: "?", 19: "e", 22: "I", 23: "Q"}
MAX_DEPTH = 20
# As many as TensorFlow takes.
MAX_DIMENSIONS = 254
MAX_REPEATED = 1 << 16

Element: TypeAlias = float | int | bytes


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, flat: `spelled` are its numbers, or bytes where it holds texts; of equal ones it may be only one."""

    shape: tuple[int, ...]
    spelled: list[Element]

    @property
    def elements(self) -> list[Element]:
        """All of them, made when they are asked for: a few bytes may stand for thousands, in each of many values."""
        n_elements = math.prod(self.shape)
        is_repeated = len(self.spelled) == 1 and 1 < n_elements <= MAX_REPEATED
        return self.spelled * n_elements if is_repeated else self.spelled

    @property
    def scalar(self) -> float | None:
        """Its one number; None where it is none."""
        one = self.spelled[0] if len(self.spelled) == 1 and math.prod(self.shape) == 1 else None
        return None if isinstance(one, bytes) or one is None else float(one)

    @property
    def texts(self) -> list[bytes]:
        """Its texts; none where it holds numbers."""
        return [one for one in self.elements if isinstance(one, bytes)]


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a summary. `raw` holds those kinds that came as messages: `image`, `histogram` or `audio`."""

    tag: str = ""
    plugin: str = ""
    plugin_content: bytes = b""
    description: str = ""
    scalar: float | None = None
    tensor: Tensor | None = None
    raw: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One record. `others` are what has no value: `graph`, `meta_graph`, `run_metadata`, `log` as they came."""

    time_s: float
    step: int
    values: list[Value]
    session: int | None = None
    others: dict[str, bytes] = field(default_factory=dict)


class FoundEvent(NamedTuple):
    """An event, the file that holds it, and the byte at which its record begins."""

    file: str
    at: int
    event: Event


def read_event(content: bytes) -> Event:
    """The event in a record.

    Raises:
        ValueError: it is none.
    """
    time_s, step, session = 0.0, 0, None
    values: list[Value] = []
    others: dict[str, bytes] = {}
    for number, wire in fields(content):
        if number == 1:
            time_s = as_float(wire)
        elif number == 2:
            step = as_int(wire)
        elif number == 5:
            values += [_value(as_bytes(one)) for inner, one in fields(as_bytes(wire)) if inner == 1]
        elif number == 7:
            session = next((as_int(one) for inner, one in fields(as_bytes(wire)) if inner == 1), 0)
        elif number in _OTHERS:
            others[_OTHERS[number]] = as_bytes(wire)
    if not math.isfinite(time_s):
        raise ValueError(f"its time is {time_s}")
    return Event(time_s, step, values, session, others)


_OTHERS = {4: "graph", 6: "log", 8: "run_metadata", 9: "meta_graph"}
_MESSAGES = {4: "image", 5: "histogram", 6: "audio"}


def _value(content: bytes) -> Value:
    told: dict[str, Any] = {}
    raw: dict[str, bytes] = {}
    for number, wire in fields(content):
        if number == 1:
            told["tag"] = as_text(wire)
        elif number == 2:
            told["scalar"] = as_float(wire)
        elif number == 8:
            told["tensor"] = read_tensor(as_bytes(wire))
        elif number == 9:
            told |= _metadata(as_bytes(wire))
        elif number in _MESSAGES:
            raw[_MESSAGES[number]] = as_bytes(wire)
    return Value(**told, raw=raw)


def _metadata(content: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for number, wire in fields(content):
        if number == 1:
            for inner, one in fields(as_bytes(wire)):
                if inner == 1:
                    told["plugin"] = as_text(one)
                elif inner == 2:
                    told["plugin_content"] = as_bytes(one)
        elif number == 3:
            told["description"] = as_text(wire)
    return told


def read_tensor(content: bytes) -> Tensor:
    """A tensor with its elements spelled out.

    Raises:
        ValueError: it is none, or of a type that is not read.
    """
    kind, packed = 0, b""
    shape: tuple[int, ...] = ()
    by_field: dict[int, list[Element]] = {}
    for number, wire in fields(content):
        if number == 1:
            kind = as_int(wire)
        elif number == 2:
            shape = tuple(_dimension(as_bytes(one)) for inner, one in fields(as_bytes(wire)) if inner == 2)
        elif number == 4:
            packed = as_bytes(wire)
        else:
            by_field.setdefault(number, []).extend(_elements(number, wire))
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"a tensor of {len(shape)} dimensions")
    if packed and kind != _DT_STRING:
        by_field[0] = list(_unpacked(packed, kind))
    # `double_val` beside `float_val` is what trackbridge writes: the number that float32 cannot hold.
    return Tensor(shape, next((by_field[number] for number in (0, 8, 6, *by_field) if by_field.get(number)), []))


def _dimension(content: bytes) -> int:
    return next((as_int(one) for number, one in fields(content) if number == 1), 0)


def _elements(number: int, wire: Wire) -> Iterator[Element]:
    if number == 8:
        yield as_bytes(wire)
    elif number in _PACKED:
        content = as_bytes(wire)
        size = struct.calcsize(_PACKED[number])
        n_numbers = len(content) // size
        yield from struct.unpack(f"<{n_numbers}{_PACKED[number]}", content[: n_numbers * size])
    elif number in _VARINTS:
        yield from (as_int(wire),) if isinstance(wire, int) else varints(wire)


def _unpacked(content: bytes, kind: int) -> tuple[Element, ...]:
    if kind not in _CONTENT_TYPES:
        raise ValueError(f"a tensor of type {kind} is not read")
    letter = _CONTENT_TYPES[kind]
    try:
        return struct.unpack(f"<{len(content) // struct.calcsize('<' + letter)}{letter}", content)
    except struct.error as error:
        raise ValueError(f"a tensor is cut off: {error}") from error


def read_numbers(message: bytes) -> dict[int, list[float]]:
    """The floats of a message of floats by field, such as those of a histogram.

    Raises:
        ValueError: it is no message.
    """
    found: dict[int, list[float]] = {}
    for number, wire in fields(message):
        content = as_bytes(wire)
        found.setdefault(number, []).extend(struct.unpack(f"<{len(content) // 8}d", content[: len(content) // 8 * 8]))
    return found


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What the HPARAMS plugin keeps of a run. `succeeded` is None where it has not ended or does not say."""

    config: dict[str, Any] | None = None
    group: str = ""
    ended_s: float | None = None
    succeeded: bool | None = None


def read_hyperparameters(content: bytes) -> Hyperparameters:
    """The plugin's data of a run: how it began or how it ended.

    Raises:
        ValueError: it is neither.
    """
    for number, wire in fields(content):
        if number == 3:
            return _session_start(as_bytes(wire))
        if number == 4:
            ended = dict(fields(as_bytes(wire)))
            status = as_int(ended.get(1, 0))
            return Hyperparameters(
                ended_s=as_float(ended[2]) if 2 in ended else None, succeeded={1: True, 2: False}.get(status)
            )
    return Hyperparameters()


def _session_start(content: bytes) -> Hyperparameters:
    config: dict[str, Any] = {}
    group = ""
    for number, wire in fields(content):
        if number == 1:
            pair = dict(fields(as_bytes(wire)))
            config[as_text(pair.get(1, b""))] = _json(as_bytes(pair.get(2, b"")))
        elif number == 4:
            group = as_text(wire)
    return Hyperparameters(config=config, group=group)


def _json(content: bytes, depth: int = 0) -> Any:
    """A `google.protobuf.Value`; numbers are doubles there, so whole ones become integers again."""
    if depth > MAX_DEPTH:
        raise ValueError(f"values nested deeper than {MAX_DEPTH}")
    for number, wire in fields(content):
        if number == 2:
            value = as_float(wire)
            return int(value) if value.is_integer() and abs(value) < 2**53 else value
        if number == 3:
            return as_text(wire)
        if number == 4:
            return bool(as_int(wire))
        if number == 5:
            pairs = [dict(fields(as_bytes(one))) for inner, one in fields(as_bytes(wire)) if inner == 1]
            return {as_text(pair.get(1, b"")): _json(as_bytes(pair.get(2, b"")), depth + 1) for pair in pairs}
        if number == 6:
            return [_json(as_bytes(one), depth + 1) for inner, one in fields(as_bytes(wire)) if inner == 1]
    return None
