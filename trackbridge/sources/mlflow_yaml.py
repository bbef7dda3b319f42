"""
The `meta.yaml` of MLflow's file store: one mapping of plain values, as PyYAML's safe dumper writes it.

No more of YAML is read than that, so no file can make the reader build objects or follow anchors.
Source: https://yaml.org/spec/1.1/, the flow scalars of chapter 9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_KEY = re.compile(r"(?P<quote>'?)(?P<key>[^':]+)(?P=quote):(?: (?P<value>.*))?")
_INT = re.compile(r"[-+]?\d{1,30}")
_FLOAT = re.compile(r"[-+]?(?:\d+\.\d*|\.\d+|\d+(?=e))(?:e[-+]?\d+)?", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_ESCAPED = {
    "n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v",
    "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip
_WORDS: dict[str, Any] = {"null": None, "~": None, "": None, "true": True, "false": False, "[]": [], "{}": {}}


def read_meta(text: str) -> dict[str, Any]:
    """The mapping in a file.

    Raises:
        ValueError: it is no mapping of plain values.
    """
    return _mapping(text.split("\n"), depth=0)


def _mapping(lines: list[str], *, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for first, more in _entries(lines):
        match = _KEY.fullmatch(first)
        if match is None:
            raise ValueError(f"{first[:60]!r} is no line such as `name: value`")
        value = (match["value"] or "").strip()
        if not value and any(line.strip() for line in more):
            if depth:
                raise ValueError(f"{match['key']!r} is nested deeper than MLflow writes it")
            found[match["key"]] = _mapping([line[2:] for line in more], depth=depth + 1)
        else:
            found[match["key"]] = _plain(_folded([value, *more]))
    return found


def _entries(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each line that begins at the margin with those that belong to it."""
    first, more = "", list[str]()
    for line in lines:
        if line and not line[0].isspace():
            if first:
                yield first, more
            first, more = line, []
        elif first:
            more.append(line)
    if first:
        yield first, more


def _folded(lines: list[str]) -> str:
    """Lines of one value as the text they stand for, quotes and escapes still in it."""
    parts, n_empty = lines[:1], 0
    for line in (line.strip() for line in lines[1:]):
        if not line:
            n_empty += 1
            continue
        if parts[-1].endswith("\\") and not parts[-1].endswith("\\\\"):
            parts[-1] = parts[-1][:-1]
        else:
            parts.append("\n" * n_empty or " ")
        parts.append(line)
        n_empty = 0
    return "".join(parts)


def _plain(text: str) -> Any:
    if text.startswith("'"):
        if len(text) < 2 or not text.endswith("'"):
            raise ValueError("a quoted value does not end")
        return text[1:-1].replace("''", "'")
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise ValueError("a quoted value does not end")
        return _ESCAPE.sub(_unescaped, text[1:-1])
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(min(int(code, 16), 0x10FFFF)) if code else _ESCAPED.get(match[4], match[4])
