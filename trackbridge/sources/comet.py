"""
Comet: the archives that its SDK writes offline, and what a killed run leaves, read without the SDK.

An experiment is known again by its key. One that was continued offline has an archive for each stretch of it, named
`<key>-XXXXXX.zip`; each becomes a session. A process that was killed leaves an empty archive, and what it logged in a
folder such as `/tmp/tmpab12cd` that tells no key: such a run is known again by how its messages begin, up to the first
with a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, NoReturn

from trackbridge.errors import NotFoundError, SourceRefused
from trackbridge.sources.base import Asked, Fact, SourceFile, SourceProblem, SourceRun
from trackbridge.sources.comet_head import MESSAGES, Head, read_head
from trackbridge.sources.comet_online import SCHEME, find_online
from trackbridge.sources.comet_ours import our_runs
from trackbridge.sources.comet_run import RunReader
from trackbridge.sources.comet_zip import zip_holds, zip_members
from trackbridge.sources.files import file_inside

MAX_FOLDERS_DEEP = 6
_EMPTY_ZIP = b"PK\x05\x06"
_MARKS = (b'"payload":', b'"type":')


class CometSource:
    """Reads Comet's offline archives and leftover folders, and experiments at a Comet server."""

    name: ClassVar[str] = "comet"

    def recognises(self, place: str) -> bool:
        """True for an archive, a leftover folder, a folder with one in or below it, and an address at Comet."""
        if place.startswith(SCHEME):
            return True
        path = Path(place)
        return _is_archive(path) if path.is_file() else path.is_dir() and next(_places(path), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The experiments at the place, each archive of one a session; which archives tell of none."""
        if asked.place.startswith(SCHEME):
            return find_online(asked.place)
        places = [asked.path] if asked.path.is_file() else list(_places(asked.path))
        if not places:
            raise NotFoundError(f"there is no archive of Comet's, nor a folder with {MESSAGES}, in {asked.place}")
        found: list[SourceRun | SourceProblem] = []
        stretches: dict[str, list[Head]] = {}
        # Of two copies of one archive the longer one was taken later.
        for place in sorted(places, key=_size):
            try:
                head = read_head(place, _members(place))
            except SourceRefused as refusal:
                # The others at the place are no worse for it.
                found.append(SourceRun(place.name, "", place.name, partial(_refused, refusal)))
                continue
            except OSError as error:
                head = SourceProblem(place.name, "", f"it cannot be read: {error}")
            if isinstance(head, SourceProblem):
                found.append(head)
            else:
                stretches.setdefault(head.key, []).append(head)
        by_key = sorted(stretches.items())
        return [*(run for _, heads in by_key for run in _runs(heads, asked.files_from)), *found]


def _places(folder: Path) -> Iterator[Path]:
    """Archives and leftover folders in a folder and those below; links are not followed."""
    deepest = len(folder.parts) + MAX_FOLDERS_DEEP
    for place, folders, names in os.walk(folder):
        if len(Path(place).parts) >= deepest:
            folders.clear()
        folders.sort()
        if MESSAGES in names and _begins_with_message(Path(place, MESSAGES)):
            # Its other files are parts of it.
            folders.clear()
            yield Path(place)
            continue
        # Beside an archive of ours, while its run goes on, stand the parts that it is made from.
        folders[:] = [name for name in folders if f"{name.removesuffix('.parts')}.zip" not in names]
        for name in names:
            path = Path(place, name)
            if name.endswith(".zip") and not path.is_symlink() and _is_archive(path):
                yield path


def _is_archive(path: Path) -> bool:
    """True for a zip with Comet's messages in it, or one that is empty as a killed run leaves it."""
    try:
        # A pipe would never give a byte.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if path.suffix == ".zip" and file.read(4) == _EMPTY_ZIP:
                return len(path.stem) >= 32
        return path.suffix == ".zip" and zip_holds(path, MESSAGES)
    except OSError:
        return False


def _begins_with_message(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            # Nobody else's file of this name begins so.
            start = file.read(1 << 20).partition(b"\n")[0]
    except OSError:
        return False
    return start.startswith(b"{") and any(mark in start for mark in _MARKS)


def _members(place: Path) -> dict[str, SourceFile]:
    if place.is_file():
        return zip_members(place)
    names = sorted(path.name for path in place.iterdir() if path.is_file())
    files = {name: file_inside(place, name, named_by=place.name) for name in names}
    return {name: replace(file, name=f"{place.name}/{name}") for name, file in files.items() if file is not None}


def _runs(heads: Sequence[Head], files_from: Sequence[Path]) -> Iterator[SourceRun | SourceProblem]:
    by_start = {head.started_ns: head for head in heads}
    in_order = [by_start[start] for start in sorted(by_start)]
    for head in in_order:
        if head.is_ours:
            yield from our_runs(head)
            continue
        is_first = head is in_order[0]
        reader = partial(_facts, head, is_first, files_from)
        yield SourceRun(head.key, in_order[0].project, in_order[0].name, reader, session=str(head.started_ns))


def _facts(head: Head, is_first: bool, files_from: Sequence[Path]) -> Iterator[Fact]:
    yield from RunReader(head, is_first=is_first, allowed=files_from).facts()


def _size(place: Path) -> tuple[int, str]:
    content = place / MESSAGES if place.is_dir() else place
    return content.stat().st_size, str(place)


def _refused(refusal: SourceRefused) -> NoReturn:
    raise refusal
