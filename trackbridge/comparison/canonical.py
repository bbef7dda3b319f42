"""
Canonical values: when two config values are the same, and when only their type differs.

Flattening keeps lists of values whole, since reordering one is one difference and not many, and escapes dots, so
that `{"a.b": 1}` and `{"a": {"b": 1}}` stay two different keys. A list of mappings is nested by number, from 0.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Hashable, Mapping
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]

MAX_NUMBER_CHARS = 100

PLAIN_TYPES = frozenset((str, int, float, bool, type(None)))
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_WORDS: dict[str, Hashable] = {
    "true": ("bool", True),
    "false": ("bool", False),
    "none": ("null",),
    "null": ("null",),
    "nan": ("number", "NaN"),
    "infinity": ("number", math.inf),
    "-infinity": ("number", -math.inf),
    "inf": ("number", math.inf),
    "-inf": ("number", -math.inf),
}


class Missing(enum.Enum):
    """The mark of a key that a run does not have, which is not the same as a key that is null."""

    MISSING = "missing"


MISSING = Missing.MISSING


def flatten(config: Mapping[str, Any], prefix: Path = ()) -> dict[Path, Any]:
    """The leaves of a nested config by their path. Lists and empty mappings are leaves, an empty scope is not."""
    leaves: dict[Path, Any] = {}
    for key, value in config.items():
        path = (*prefix, str(key))
        # Most leaves are plain, and asking those whether they are a Mapping takes longer than all the rest.
        inner = None if type(value) in PLAIN_TYPES else _inner(value)
        if inner:
            leaves.update(flatten(inner, path))
        elif prefix or not isinstance(value, Mapping):
            leaves[path] = value
    return leaves


def _inner(value: Any) -> Mapping[str, Any] | None:
    """What is nested in a value, by key or number."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(item, Mapping) and item for item in value):
        return {str(number): item for number, item in enumerate(value)}
    return None


def dotted(path: Path) -> str:
    r"""The path as one string, with dots inside a key escaped: `("a.b", "c")` is `a\.b.c`."""
    return ".".join(part.replace("\\", "\\\\").replace(".", "\\.") for part in path)


def canonical(value: Any) -> Hashable:
    """A hashable form that is equal exactly when value and type are equal; NaN equals NaN."""
    if value is None:
        return ("null",)
    if isinstance(value, (bool, int, str)):
        return (type(value).__name__, value)
    if isinstance(value, float):
        # Adding 0.0 turns -0.0 into 0.0: they are one value, but not one repr.
        return ("float", "NaN" if math.isnan(value) else value + 0.0)
    if isinstance(value, Mapping):
        return ("object", tuple((str(key), canonical(value[key])) for key in sorted(value, key=str)))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(canonical(item) for item in value))
    return (type(value).__name__, repr(value))


def untyped(value: Any) -> Hashable:
    """A hashable form that is equal when the values are written alike: `1`, `1.0` and `"1"` are one.

    YAML reads `1e-5` as a string and `1.0e-5` as a number, which is how such pairs come about.
    """
    if isinstance(value, bool) or value is None:
        return canonical(value)
    if isinstance(value, (int, float)):
        return _number(value)
    if isinstance(value, str):
        return _untyped_text(value)
    if isinstance(value, Mapping):
        return ("object", tuple((str(key), untyped(value[key])) for key in sorted(value, key=str)))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(untyped(item) for item in value))
    return canonical(value)


def _untyped_text(text: str) -> Hashable:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if len(text) > MAX_NUMBER_CHARS or not _NUMBER.fullmatch(text):
        return ("str", text)
    # Ids have more digits than a float holds: as floats, two of them could become one number.
    return _number(int(text) if text.lstrip("+-").isdecimal() else float(text))


def _number(value: int | float) -> Hashable:
    # 1.0 becomes 1, so that both also have one repr, which is what a digest is made of.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return ("number", "NaN" if value != value else value)
