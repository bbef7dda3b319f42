"""What trackio logs under a name in the journal's words: numbers, media by their `_type`, anything else as a text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from trackbridge.events.models import MediaType
from trackbridge.journal.codec import encode_json
from trackbridge.sources.base import Fact, SourceArtifact, SourceFile, SourceMedia, SourceProblem
from trackbridge.sources.files import file_inside

_SPELLED = ("NaN", "Infinity", "-Infinity")
_MAX_LEVELS = 100


class Row(NamedTuple):
    """What one call logged: the numbers in it, and the rest."""

    numbers: dict[str, float]
    others: dict[str, Any]


def split(logged: Mapping[str, Any]) -> Row:
    """The numbers and the rest of a row; levels of nested objects become parts of the name, joined with `/`."""
    numbers: dict[str, float] = {}
    others: dict[str, Any] = {}
    waiting = [(name, value, 0) for name, value in logged.items()]
    for name, value, depth in waiting:
        if isinstance(value, (bool, int, float)) or value in _SPELLED:
            numbers[name] = _as_float(value)
        elif isinstance(value, dict) and "_type" not in value and depth < _MAX_LEVELS:
            waiting += [(f"{name}/{inner}", below, depth + 1) for inner, below in value.items()]
        else:
            others[name] = value
    return Row(numbers, others)


def other_facts(t: int, step: int, name: str, value: Any, media_folder: Path) -> Iterator[Fact]:
    """The facts of a value that is no number.

    Raises:
        SourceRefused: it names a file that is not in the media folder.
    """
    kind = str(value.get("_type", "")).removeprefix("trackio.") if isinstance(value, dict) else ""
    try:
        if "file_path" in (value if isinstance(value, dict) else ()):
            yield _media_file(t, step, name, kind, value, media_folder)
        elif kind == "table":
            yield _held(t, step, name, "table", "json", _table(value["_value"]))
        elif kind == "histogram":
            content = encode_json({"edges": value["bins"], "counts": value["values"]})
            yield _held(t, step, name, "histogram", "json", content)
        elif kind == "markdown":
            yield _held(t, step, name, "text", "txt", _utf8(str(value["_value"])))
        else:
            yield _as_text(t, step, name, value)
    except (LookupError, TypeError, AttributeError):
        yield _as_text(t, step, name, value)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _media_file(t: int, step: int, name: str, kind: str, value: Mapping[str, Any], media_folder: Path) -> Fact:
    path = str(value["file_path"]).replace("\\", "/")
    file = file_inside(media_folder, path, named_by=f"{name} at step {step}")
    if file is None:
        return SourceProblem(path, "", f"the file of {name!r} at step {step} is not in {media_folder}")
    caption = value.get("caption")
    inner = PurePosixPath(path)
    if kind == "image":
        told = None if caption is None else str(caption)
        return SourceMedia(t, name, step, "image", inner.suffix.lstrip(".").lower() or "png", file, told)
    if kind == "html":
        return SourceMedia(t, name, step, "text", "html", file, None if caption is None else str(caption))
    return SourceArtifact(t, f"{name}/step-{step}/{inner.name}", kind, file)


def _table(rows: list[dict[str, Any]]) -> bytes:
    # Each row names its own columns.
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return encode_json({"columns": columns, "rows": [[row.get(column) for column in columns] for row in rows]})


def _as_text(t: int, step: int, name: str, value: Any) -> SourceMedia:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _held(t, step, name, "text", "txt", _utf8(text))


def _held(t: int, step: int, name: str, media: MediaType, suffix: str, content: bytes) -> SourceMedia:
    return SourceMedia(t, name, step, media, suffix, SourceFile.of(f"{name}.{suffix}", content))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
