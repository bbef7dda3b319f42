"""
TensorBoard event files, read without TensorBoard.

A run is a folder with event files; its name is the path below the log folder. Several files in a folder are stretches
of one run: where a file says that it begins again at a step, what earlier files say from that step on is superseded.
A run is known again by its folder's name and its first file's name, which holds the second, the host and the process
that wrote it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, NamedTuple

from trackbridge.errors import NotFoundError
from trackbridge.events.models import RunResumed, RunStarted
from trackbridge.sources.base import UNKNOWN_NS, Asked, Fact, SourceFile, SourceProblem, SourceRun
from trackbridge.sources.files import file_inside
from trackbridge.sources.protobuf import as_bytes, as_float, as_int, fields
from trackbridge.sources.tensorboard_events import SESSION_START, FoundEvent, read_event
from trackbridge.sources.tensorboard_ours import OurValues, our_checkpoints, our_labels, our_run_id
from trackbridge.sources.tensorboard_records import Damage, first_bytes, read_records
from trackbridge.sources.tensorboard_values import TheirValues, nanoseconds

_MARK = "tfevents"
_JOURNAL = re.compile(r"journal-.+\.jsonl")
# Behind the time and the step, which come first, the number of what the record holds.
_FIRST_FIELD = re.compile(rb"(?:\x09.{8})?(?:\x10[\x80-\xff]*[\x00-\x7f])?(.)", re.DOTALL)
_NO_VALUES = (bytes([3 << 3 | 2]), bytes([7 << 3 | 2]), bytes([10 << 3 | 2]))
# A record that marks a start holds a time, a step and two bytes more.
_MARK_BYTES = 32


class _Place(NamedTuple):
    """A byte in a file of a run."""

    file: int
    at: int


_START = _Place(0, 0)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A session: from where to where it was written, and the step after which it supersedes what was before.

    `since` and `until`: when it began and when the next one did, in nanoseconds.
    """

    begin: _Place = _START
    end: _Place | None = None
    from_step: int | None = None
    since: int = UNKNOWN_NS
    until: int = 2**63


class TensorboardSource:
    """Reads event files."""

    name: ClassVar[str] = "tensorboard"

    def recognises(self, place: str) -> bool:
        """True for an event file, or a folder that holds one."""
        path = Path(place)
        return _MARK in path.name if path.is_file() else next(_folders(path), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """Each folder with event files below the place is a run."""
        place = asked.path.resolve()
        found: list[SourceRun | SourceProblem] = []
        if place.is_file():
            found += _runs_of(place.parent, [place.name], log_folder=place.parent)
        for folder, names in _folders(place) if place.is_dir() else ():
            found += _runs_of(folder, names, log_folder=place)
        if not found:
            raise NotFoundError(f"there is no event file in {asked.place!r}: their names hold {_MARK!r}")
        return found


def _folders(place: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folders with event files and their names, in the order in which TensorBoard reads them."""
    for folder, folders, names in os.walk(place):
        folders.sort()
        if any(map(_JOURNAL.fullmatch, names)):
            # A run of trackbridge itself: event files in it are what it delivered.
            folders.clear()
        if events := sorted(name for name in names if _MARK in name):
            yield Path(folder), events


def _runs_of(folder: Path, names: Sequence[str], *, log_folder: Path) -> Iterator[SourceRun | SourceProblem]:
    """The sessions of the run in a folder; a link that leads elsewhere is a problem."""
    files = []
    for name in names:
        file = file_inside(folder, name, named_by=str(folder), also=[log_folder])
        if file is None:
            yield SourceProblem(str(folder / name), "", "it leads out of the folder that is imported, or is gone")
        else:
            files.append(file)
    if not files:
        return
    is_log_folder = folder == log_folder
    name = folder.name if is_log_folder else folder.relative_to(log_folder).as_posix()
    project = (folder.parent if is_log_folder else log_folder).name
    identity = our_run_id(files[0].name)
    if identity is not None:
        project, name = our_labels(_events(files[:1], _Stretch())) or (project, name)
    for number, stretch in enumerate(_stretches(files)):
        facts = partial(_facts, files, stretch, project, name)
        known_by = identity or f"{folder.name}/{files[0].name}"
        yield SourceRun(known_by, project, name, facts, session=f"restart {number}" if number else "")


def _stretches(files: Sequence[SourceFile]) -> list[_Stretch]:
    """The sessions of a run: each restart begins one, but for a restart of nothing."""
    begun = [_Stretch()]
    has_values = False
    for number, source in enumerate(files):
        with source.open() as file:
            for record in first_bytes(file):
                restart = _restart(record.content)
                if restart is not None and has_values:
                    step, t = restart
                    begun.append(_Stretch(_Place(number, record.at), None, step - 1, t))
                has_values |= _has_values(record.content)
    ended = [replace(one, end=after.begin, until=after.since) for one, after in pairwise(begun)]
    return [*ended, begun[-1]]


def _has_values(start: bytes) -> bool:
    """Whether a record holds more than the version of its format and marks of starts, by its first bytes."""
    match = _FIRST_FIELD.match(start)
    return match is not None and match[1] not in _NO_VALUES


def _restart(content: bytes) -> tuple[int, int] | None:
    """The step at which a session starts again, and when; None where the record is no such mark."""
    if len(content) >= _MARK_BYTES:
        return None
    try:
        event = dict(fields(content))
        status = dict(fields(as_bytes(event[7]))).get(1) if 7 in event else None
        time_s = as_float(event[1]) if 1 in event else 0.0
        is_start = status == SESSION_START and math.isfinite(time_s)
        return (as_int(event.get(2, 0)), nanoseconds(time_s)) if is_start else None
    except ValueError:
        return None


def _facts(files: Sequence[SourceFile], stretch: _Stretch, project: str, name: str) -> Iterator[Fact]:
    def begin(t: int) -> RunStarted | RunResumed:
        if stretch.from_step is not None:
            return RunResumed(seq=0, t=t, from_step=stretch.from_step)
        return RunStarted(seq=0, t=t, project=project, name=name)

    values = OurValues(begin) if our_run_id(files[0].name) else TheirValues(begin)
    for found in _events(files, stretch):
        if isinstance(found, SourceProblem):
            yield found
            continue
        file, at, event = found
        try:
            yield from values.facts(event)
        except (ValueError, LookupError, TypeError) as error:
            yield SourceProblem(file, f"byte {at}", f"a value in this record cannot be read: {error}")
    if isinstance(values, OurValues):
        yield from our_checkpoints(_events(files[:1], _Stretch()), since=stretch.since, until=stretch.until)
    yield from values.closing()


def _events(files: Sequence[SourceFile], stretch: _Stretch) -> Iterator[FoundEvent | SourceProblem]:
    last = len(files) - 1 if stretch.end is None else stretch.end.file
    for number in range(stretch.begin.file, last + 1):
        start = stretch.begin.at if number == stretch.begin.file else 0
        end = stretch.end.at if stretch.end and number == stretch.end.file else None
        name = files[number].name
        with files[number].open() as file:
            for record in read_records(file, start=start, end=end):
                if isinstance(record, Damage):
                    yield SourceProblem(name, f"byte {record.at}", record.reason)
                    continue
                try:
                    yield FoundEvent(name, record.at, read_event(record.content))
                except ValueError as error:
                    yield SourceProblem(name, f"byte {record.at}", f"the record cannot be read: {error}")
