"""
Values: anything a caller logs becomes a plain float or plain JSON data here, copied at the call.

Torch and numpy are recognised by what they offer, never imported. The caller's objects are not kept,
changed or called.
"""

from __future__ import annotations

import dataclasses
import enum
import numbers
import re
from collections.abc import Callable, Iterable, Mapping, Set
from datetime import date
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from trackbridge.errors import MisuseError

MAX_DEPTH = 200
MAX_REPR = 500
# Python spells, and JSON readers take, no integer of more than 4,300 digits.
MAX_INT_BITS = 14_000
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def as_scalar(name: str, value: object) -> float:
    """The value as a float64: from a float, an int, or a numpy or torch value of one element.

    Raises:
        MisuseError: it is a bool, a string, an array of several elements, or another type.
    """
    number = value
    item = getattr(value, "item", None)
    if callable(item) and not isinstance(value, type):
        elements = _count_elements(value)
        if elements != 1:
            raise MisuseError(
                f"metric {name!r} has {elements} elements; a metric is one number:"
                " log its mean, or tb.Histogram(...) for the distribution"
            )
        number = item()
    if isinstance(number, bool):
        raise MisuseError(
            f"metric {name!r} is the bool {number}; a metric is a number: log int(value) if you mean 0 or 1"
        )
    if isinstance(number, numbers.Real):
        try:
            return float(number)
        except OverflowError as error:
            raise MisuseError(f"metric {name!r} is an int too large for a float64") from error
    raise MisuseError(
        f"metric {name!r} is {shown(value)} ({type(value).__name__}); expected a number, a one-element tensor,"
        " or tb.Table, tb.Image, tb.Histogram, tb.Text. Settings belong in run.log_config(...)"
    )


def as_text(what: str, value: object) -> str:
    """The text as valid UTF-8.

    Raises:
        MisuseError: it is no string.
    """
    if not isinstance(value, str):
        raise MisuseError(f"{what} is {shown(value)} ({type(value).__name__}); expected a text")
    return clean_text(value)


def as_label(what: str, value: object) -> str:
    """The same for a text that must say something.

    Raises:
        MisuseError: it is no string, or it is empty.
    """
    if value == "":
        raise MisuseError(f"{what} is empty; expected a text, or leave it out")
    return as_text(what, value)


def as_labels(what: str, values: object) -> list[str]:
    """The same for several, in their order.

    Raises:
        MisuseError: it is one string, which would be taken letter by letter, or no collection, or holds no text.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise MisuseError(f"{what} is {shown(values)}; expected several texts: {what}=[{shown(values)}]")
    return [as_label(f"one of {what}", value) for value in values]


def as_step(step: object) -> int:
    """The step as an int of at least 0: optimizer updates completed.

    Raises:
        MisuseError: it is not an integer, or it is negative.
    """
    if isinstance(step, bool) or not isinstance(step, numbers.Integral):
        raise MisuseError(
            f"step is {shown(step)} ({type(step).__name__}); expected an integer: optimizer updates completed"
        )
    number = int(step)
    if not 0 <= number < 2**63:
        raise MisuseError(f"step is {number}; expected 0 or more")
    return number


def as_json_object(what: str, value: object) -> dict[str, Any]:
    """A nested, JSON-safe copy of a mapping, dataclass or pydantic model.

    Raises:
        MisuseError: it is none of these, or it is nested too deep (a cycle).
    """
    copied = as_json(value, where=what)
    if not isinstance(copied, dict):
        raise MisuseError(
            f"{what} is {shown(value)} ({type(value).__name__}); expected a mapping, a dataclass, a pydantic"
            " model or an argparse.Namespace"
        )
    return copied


def as_json(value: object, *, where: str = "value", depth: int = 0) -> Any:
    """A JSON-safe copy of any object; what has no JSON form becomes a short `repr`.

    Raises:
        MisuseError: nested deeper than 200 levels, which a cycle always is.
    """
    if depth > MAX_DEPTH:
        raise MisuseError(f"{where} is nested deeper than {MAX_DEPTH} levels: does it contain itself?")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return as_json(value.value, where=where, depth=depth + 1)
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= MAX_INT_BITS else hex(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {_as_key(key): as_json(item, where=where, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item, where=where, depth=depth + 1) for item in value]
    for types, to_plain in _PLAIN_FORMS:
        if isinstance(value, types):
            return as_json(to_plain(value), where=where, depth=depth + 1)
    return _from_duck(value, where, depth)


def clean_text(text: str) -> str:
    """The text as valid UTF-8: lone surrogates (from file names or argv) become backslash escapes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    # Of an enum that is a string, `str()` would be the name and not the value.
    return str.__str__(text)


def _as_key(key: object) -> str:
    return clean_text(key if isinstance(key, str) else str(key))


def _sorted_if_possible(values: Set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=repr)


_PLAIN_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (Set, _sorted_if_possible),
    (PurePath, str),
    (SimpleNamespace, vars),
    (date, lambda value: value.isoformat()),
    ((bytes, bytearray), lambda value: f"<{len(value)} bytes>"),
)


def _from_duck(value: object, where: str, depth: int) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return as_json(fields, where=where, depth=depth + 1)
    if any(base.__name__ == "Namespace" for base in type(value).__mro__):
        # argparse's, told by its name: importing argparse for it would cost every run.
        return as_json(vars(value), where=where, depth=depth + 1)
    model_dump = getattr(type(value), "model_dump", None)
    if callable(model_dump):
        return as_json(model_dump(value), where=where, depth=depth + 1)
    if callable(getattr(value, "tolist", None)) and _count_elements(value) <= 1000:
        return as_json(value.tolist(), where=where, depth=depth + 1)  # type: ignore[attr-defined]  # checked above
    return shown(value)


def _count_elements(value: object) -> int:
    numel = getattr(value, "numel", None)
    if callable(numel):
        return int(numel())
    size = getattr(value, "size", 1)
    return int(size) if isinstance(size, int) else 1


def shown(value: object) -> str:
    """A short text for a value without a JSON form; equal values give equal texts."""
    if isinstance(value, type) or callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a broken __repr__ is told in the value itself
        return f"<{type(value).__name__}: repr failed with {type(error).__name__}>"
    # A memory address would make equal configs differ between runs.
    text = _ADDRESS.sub("", text)
    return clean_text(text if len(text) <= MAX_REPR else text[:MAX_REPR] + "...")
