"""Rows of W&B's history: their numbers, what else they hold, and the step that each number belongs to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import UNKNOWN_NS
from trackbridge.sources.protobuf import as_bytes, as_int, fields
from trackbridge.sources.wandb_records import MAX_DEPTH, AxisTold, Item, item

_ONE_NESTED_KEY, _VALUE_JSON = 0x12, b"\x82\x01"
_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# From here on a length takes more than one byte.
_LONG = 0x80


@dataclass(slots=True)
class Row:
    """A row: when and at which number of W&B's own it was logged, its numbers, and everything else by name."""

    t: int = UNKNOWN_NS
    number: int = 0
    numbers: dict[str, float] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)


class RowReader:
    """Reads history records. It remembers names: a run has few of them and many rows."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def read(self, message: bytes) -> Row:
        """The row of a history record.

        Raises:
            ValueError: it is damaged.
            SourceRefused: a value is nested too deep.
        """
        numbers: dict[str, float] = {}
        others: list[Item] = []
        number = 0
        for kind, content in fields(message):
            if kind == 1:
                self._take(as_bytes(content), numbers, others)
            elif kind == 2:
                number = next((as_int(value) for inner, value in fields(as_bytes(content)) if inner == 1), 0)
        t = _nanoseconds(numbers.pop("_timestamp", math.nan))
        numbers.pop("_runtime", None)
        own_number = numbers.pop("_step", math.nan)
        row = Row(t, int(own_number) if math.isfinite(own_number) else number, numbers)
        if others:
            _take_others(row, others)
        return row

    def _take(self, content: bytes, numbers: dict[str, float], others: list[Item]) -> None:
        try:
            # What nearly all are: one key of less than 128 bytes and a number. Going the long way triples the time.
            key_end = content[1] + 2
            begin = key_end + 3
            is_plain = content[0] == _ONE_NESTED_KEY and content[key_end : begin - 1] == _VALUE_JSON
            if is_plain and content[1] < _LONG and len(content) == begin + content[begin - 1]:
                key = content[2:key_end]
                numbers[self._names.get(key) or self._named(key)] = float(content[begin:])
                return
        except (ValueError, IndexError):
            pass
        path, value = item(content)
        if len(path) == 1 and isinstance(value, (int, float)):
            numbers[path[0]] = as_float(value)
        else:
            others.append(Item(path, value))

    def _named(self, key: bytes) -> str:
        self._names[key] = name = key.decode("utf-8", "replace")
        return name


def row_of(values: Mapping[str, Any]) -> Row:
    """The row that W&B's server gives as an object, where numbers that are not finite are texts.

    Raises:
        SourceRefused: a value is nested too deep.
    """
    told = {name: _SPELLED.get(value, value) if isinstance(value, str) else value for name, value in values.items()}
    own = {name: told.pop(name, None) for name in ("_step", "_timestamp", "_runtime", "_wandb")}
    row = Row(number=own["_step"] if isinstance(own["_step"], int) else 0)
    if isinstance(own["_timestamp"], (int, float)):
        row.t = _nanoseconds(float(own["_timestamp"]))
    _take_others(row, [Item((name,), value) for name, value in told.items()])
    return row


def as_float(value: float) -> float:
    """A number as a float; one beyond its range as an infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _nanoseconds(seconds: float) -> int:
    nanoseconds = seconds * 1e9
    return round(nanoseconds) if math.isfinite(nanoseconds) else UNKNOWN_NS


def _take_others(row: Row, others: list[Item]) -> None:
    tree: dict[str, Any] = {}
    for path, value in others:
        place = tree
        for name in path[:-1]:
            below = place.get(name)
            if not isinstance(below, dict):
                below = place[name] = {}
            place = below
        place[path[-1] if path else ""] = value
    for name, value in _leaves(tree, ""):
        if isinstance(value, (int, float)):
            row.numbers[name] = as_float(value)
        elif value is not None:
            row.others[name] = value


def _leaves(tree: Mapping[str, Any], prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Values by their dotted names, as W&B shows them; an object that says its `_type` is one value."""
    if depth > MAX_DEPTH:
        raise SourceRefused(f"a value of {prefix[:60]!r} is nested deeper than {MAX_DEPTH} levels")
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and not isinstance(value.get("_type"), str):
            yield from _leaves(value, f"{name}.", depth + 1)
        else:
            yield name, value


def as_json_text(value: Any) -> str:
    """A list or object of a row as text."""
    return json.dumps(value, ensure_ascii=False)


class Axes:
    """Which metric is the step of which, as `define_metric` told it."""

    def __init__(self) -> None:
        self.step_metrics: set[str] = set()
        self._by_name: dict[str, str] = {}
        self._by_beginning: dict[str, str] = {}
        self._found: dict[str, str] = {}

    def define(self, told: AxisTold) -> None:
        """Take in one definition; a later one of the same name stands."""
        if not told.step_metric:
            return
        self.step_metrics.add(told.step_metric)
        if told.is_pattern:
            self._by_beginning[told.name.rstrip("*")] = told.step_metric
        else:
            self._by_name[told.name] = told.step_metric
        self._found.clear()

    def step_of(self, name: str, row: Row) -> int:
        """The step of a value: its step metric's where the row has it and it is a whole number, else the row's own."""
        axis = self._found.get(name)
        if axis is None:
            axis = self._found[name] = self._axis(name)
        step = row.numbers.get(axis, math.nan)
        return int(step) if math.isfinite(step) and step.is_integer() else row.number

    def by_step(self, row: Row) -> dict[int, dict[str, float]]:
        """The numbers of a row by the step that they belong to."""
        if not self.step_metrics:
            return {row.number: row.numbers}
        found: dict[int, dict[str, float]] = {}
        for name, value in row.numbers.items():
            found.setdefault(self.step_of(name, row), {})[name] = value
        return found

    def _axis(self, name: str) -> str:
        if name in self.step_metrics:
            return ""
        # The longest beginning that fits is the one meant.
        beginnings = (name[:length] for length in range(len(name), -1, -1))
        fitting = (self._by_beginning[one] for one in beginnings if one in self._by_beginning)
        return self._by_name.get(name) or next(fitting, "")
