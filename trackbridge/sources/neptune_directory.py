"""
The directories of Neptune's 1.x client: operations as JSON lines, in offline mode and in the queue of its online mode.

They are read twice: first for the fields as they stand at the end, then for the series, which may be long.
Source: `neptune/internal/operation.py` and `neptune/internal/disk_queue.py` of the client 1.14.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import UNKNOWN_NS, SourceFile, SourceProblem
from trackbridge.sources.files import file_inside, file_outside
from trackbridge.sources.neptune_runs import NeptuneRun, SeriesPoint

METADATA, UPLOADS = "metadata.json", "upload_path"
# A line holds up to 100 pictures of at most 15 MB each, as base64.
MAX_LINE_BYTES = 2 << 30
_MAX_METADATA_BYTES = 1 << 20
_DATA = re.compile(r"data-(\d{1,18})\.log")
_ID = re.compile(r"[a-z]+__([0-9a-f-]{32,36})(?:__.*)?")
_SERIES = {"LogFloats": "float", "LogStrings": "text", "LogImages": "picture"}
_CLEARED = {"ClearFloatLog", "ClearStringLog", "ClearImageLog", "DeleteAttribute"}

Operation: TypeAlias = dict[str, Any]


class Line(NamedTuple):
    """One line of a file of operations."""

    version: int
    t: int
    path: str
    operation: Operation


class _Metadata(msgspec.Struct):
    containerId: str = ""  # noqa: N815 - the client's own spelling
    containerType: str = "run"  # noqa: N815
    createdAt: str = ""  # noqa: N815


def is_directory(folder: Path) -> bool:
    """True for a folder with operations in it."""
    return any(_DATA.fullmatch(path.name) for path in folder.glob("data-*.log"))


def read_directory(folder: Path, files_from: Sequence[Path]) -> NeptuneRun | SourceProblem:
    """The run in a directory, its series unread."""
    metadata = _metadata(folder)
    match = _ID.fullmatch(folder.name)
    if metadata.containerType != "run":
        return SourceProblem(str(folder), "", f"it belongs to a {metadata.containerType}, not to a run")
    run = NeptuneRun(metadata.containerId or (match.group(1) if match else folder.name))
    run.started_ns = _created(metadata.createdAt)
    state = _State(run, folder, files_from)
    first = last = 0
    for found in _lines(folder):
        if isinstance(found, SourceProblem):
            run.problems.append(found)
            continue
        first, last = first or found.version, found.version
        run.started_ns = run.started_ns or found.t
        state.take(found)
    run.problems += _missing(folder, first, last)
    run.series = partial(_series, folder, state.cleared)
    return run


class _State:
    """Takes operations in order, so that the run's fields stand as after the last one."""

    def __init__(self, run: NeptuneRun, folder: Path, files_from: Sequence[Path]) -> None:
        self._run, self._folder, self._files_from = run, folder, files_from
        self.cleared: dict[str, int] = {}
        self._takers: dict[str, Callable[[Line], None]] = {
            "AddStrings": self._strings,
            "RemoveStrings": self._strings,
            "ClearStringSet": self._strings,
            "UploadFile": self._file,
            "UploadFileContent": self._content,
            "UploadFileSet": self._file_set,
            **dict.fromkeys(_SERIES, self._check_steps),
            **dict.fromkeys(_CLEARED, self._clear),
            **dict.fromkeys(("AssignFloat", "AssignInt", "AssignBool", "AssignString"), self._assign),
            "AssignDatetime": self._time,
        }

    def take(self, line: Line) -> None:
        """Take up one operation; one of an unknown type is kept raw."""
        try:
            self._takers.get(line.operation["type"], self._keep_raw)(line)
        except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
            problem = SourceProblem(self._folder.name, f"operation {line.version}", f"it cannot be read: {error}")
            self._run.problems.append(problem)

    def _assign(self, line: Line) -> None:
        if line.path == "sys/failed":
            self._run.failed_ns = line.t
        self._run.values[line.path] = line.operation["value"]

    def _time(self, line: Line) -> None:
        moment = datetime.fromtimestamp(line.operation["value"] / 1000, tz=timezone.utc)
        self._run.values[line.path] = moment.isoformat(timespec="milliseconds")

    def _strings(self, line: Line) -> None:
        there = set(self._run.sets.get(line.path, ()))
        told = set(map(str, line.operation.get("values", ())))
        kind = line.operation["type"]
        kept = there | told if kind == "AddStrings" else there - told if kind == "RemoveStrings" else set[str]()
        self._run.sets[line.path] = sorted(kept)

    def _file(self, line: Line) -> None:
        told, file = line.operation, None
        if inner := told.get("tmp_file_name"):
            file = file_inside(self._folder / UPLOADS, str(inner), named_by=str(self._folder))
        elif outer := told.get("file_path"):
            file = file_outside(str(outer), allowed=[self._folder, *self._files_from])
        if file is None:
            where = str(told.get("file_path") or told.get("tmp_file_name"))
            reason = f"its file {where} is gone, or to be had with --files-from {Path(where).parent}"
            self._run.problems.append(SourceProblem(self._folder.name, line.path, reason))
            return
        extension = str(told.get("ext") or "")
        named = line.path if not extension or line.path.endswith(f".{extension}") else f"{line.path}.{extension}"
        self._run.files[line.path] = SourceFile(named, file.open)

    def _file_set(self, line: Line) -> None:
        """Files by patterns, which the client resolves when it sends them: here only below folders that may be read."""
        self._keep_raw(line)
        for pattern in line.operation["file_globs"]:
            for root in self._files_from:
                for path in sorted(root.rglob("*")):
                    if fnmatch(str(path), str(pattern)) and (file := file_outside(str(path), allowed=[root])):
                        self._run.files[f"{line.path}/{path.relative_to(root).as_posix()}"] = file

    def _content(self, line: Line) -> None:
        content = str(line.operation["file_content"]).encode("utf-8", "replace")
        self._run.files[line.path] = SourceFile.of(f"{line.path}.{line.operation.get('ext', '')}", content)

    def _check_steps(self, line: Line) -> None:
        steps = (value.get("step") for value in line.operation["values"])
        if any(step is None or not float(step).is_integer() for step in steps):
            self._run.by_position.add(line.path)

    def _clear(self, line: Line) -> None:
        self.cleared[line.path] = line.version
        for fields in (self._run.values, self._run.sets, self._run.files, self._run.raw):
            fields.pop(line.path, None)

    def _keep_raw(self, line: Line) -> None:
        told = {name: value for name, value in line.operation.items() if name != "path"}
        self._run.raw[line.path] = told


def _series(folder: Path, cleared: dict[str, int]) -> Iterator[SeriesPoint | SourceProblem]:
    for found in _lines(folder):
        # Damage was told of at the first reading.
        if isinstance(found, SourceProblem) or found.operation.get("type") not in _SERIES:
            continue
        if found.version < cleared.get(found.path, 0):
            continue
        kind = _SERIES[found.operation["type"]]
        try:
            for told in found.operation["values"]:
                yield _point(found.path, kind, told)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            reason = f"its values cannot be read: {error}"
            yield SourceProblem(folder.name, f"operation {found.version}", reason)


def _point(path: str, kind: str, told: dict[str, Any]) -> SeriesPoint:
    step = None if told.get("step") is None else float(told["step"])
    t, value = _nanoseconds(told.get("ts")), told["value"]
    if kind == "float":
        return SeriesPoint(path, "float", float(value), step, t)
    if kind == "text":
        return SeriesPoint(path, "text", str(value), step, t)
    return SeriesPoint(path, "picture", str(value["data"]), step, t, value.get("description") or None)


def _lines(folder: Path) -> Iterator[Line | SourceProblem]:
    names = {int(match.group(1)): path for path in folder.glob("data-*.log") if (match := _DATA.fullmatch(path.name))}
    for _, path in sorted(names.items()):
        file = file_inside(folder, path.name, named_by=str(folder))
        if file is None:
            yield SourceProblem(str(path), "", "it leads out of its folder, or is gone")
            continue
        with file.open() as opened:
            for number, content in enumerate(iter(partial(opened.readline, MAX_LINE_BYTES), b""), start=1):
                if len(content) == MAX_LINE_BYTES:
                    raise SourceRefused(f"{path} has a line of more than {MAX_LINE_BYTES >> 30} GB")
                # Without the place: a folder that was moved has nothing new.
                yield _line(content) or SourceProblem(
                    f"{folder.name}/{path.name}", f"line {number}", "it is torn or damaged"
                )


def _line(content: bytes) -> Line | None:
    try:
        told = msgspec.json.decode(content)
        operation = told["obj"]
        path = "/".join(map(str, operation["path"]))
        version = int(told["version"])
        return Line(version, _nanoseconds(told.get("at")), path, operation) if isinstance(operation, dict) else None
    except (msgspec.DecodeError, LookupError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _nanoseconds(time_s: object) -> int:
    """A float of seconds holds microseconds and no more."""
    is_time = isinstance(time_s, (int, float)) and 0 < time_s < 2**33
    return round(time_s * 1e6) * 1000 if is_time else UNKNOWN_NS  # type: ignore[operator]


def _metadata(folder: Path) -> _Metadata:
    try:
        file = file_inside(folder, METADATA, named_by=str(folder))
        if file is not None:
            with file.open() as opened:
                return msgspec.json.decode(opened.read(_MAX_METADATA_BYTES), type=_Metadata)
    except (msgspec.DecodeError, OSError, RecursionError):
        # Torn; the folder's name holds the id as well.
        pass
    return _Metadata()


def _created(text: str) -> int:
    try:
        return _nanoseconds(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return UNKNOWN_NS


def _missing(folder: Path, first: int, last: int) -> Iterator[SourceProblem]:
    """What the client counted and is not here."""
    if first > 1:
        reason = f"operations 1 to {first - 1} were sent to the server and are not here any more"
        yield SourceProblem(folder.name, "", reason)
    file = file_inside(folder, "last_put_version", named_by=str(folder))
    try:
        if file is None:
            return
        with file.open() as opened:
            counted = int(opened.read(20))
    except (OSError, ValueError):
        return
    if counted > last:
        reason = f"the last {counted - last} of {counted} operations were not written when the process ended"
        yield SourceProblem(folder.name, "", reason)
