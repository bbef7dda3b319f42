"""
Weights & Biases: the `.wandb` files that its SDK writes, offline and online, read without it.

A run is known again by its entity, project and id. A run that was resumed left a file for each stretch of it; where a
later one counts its rows from 0 again, they come after those before, as they do on W&B's server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from trackbridge.errors import NotFoundError
from trackbridge.sources.base import Asked, Fact, SourceProblem, SourceRun
from trackbridge.sources.wandb_file import is_wandb_file, read_records
from trackbridge.sources.wandb_head import Head, read_head
from trackbridge.sources.wandb_history import RowReader
from trackbridge.sources.wandb_online import SCHEME, find_online
from trackbridge.sources.wandb_ours import count_resumed, is_ours
from trackbridge.sources.wandb_records import Kind, kind_and_message
from trackbridge.sources.wandb_run import RunReader

SUFFIX = ".wandb"
MAX_FOLDERS_DEEP = 6


class _Stretch(NamedTuple):
    path: Path
    head: Head


class WandbSource:
    """Reads `.wandb` files."""

    name: ClassVar[str] = "wandb"

    def recognises(self, place: str) -> bool:
        """True for a `.wandb` file, for a folder with one in it or below it, and for an address at W&B's server."""
        if place.startswith(SCHEME):
            return True
        path = Path(place)
        return is_wandb_file(path) if path.is_file() else next(_files(path), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The runs of all files at the place, and which files tell of no run.

        Raises:
            SourceRefused: a file was made to do harm.
            NotFoundError: there is none.
            SourceUnavailable: W&B's server does not answer, or does not take the key.
        """
        if asked.place.startswith(SCHEME):
            return find_online(asked.place)
        paths = [asked.path] if asked.path.is_file() else sorted(_files(asked.path))
        if not paths:
            raise NotFoundError(f"there is no {SUFFIX} file in {asked.place}")
        stretches: dict[str, list[_Stretch]] = {}
        problems = []
        for path in paths:
            head = read_head(path)
            if head is None:
                problems.append(
                    SourceProblem(path.name, "", "tells of no run: it was cut off before W&B wrote any of it")
                )
            else:
                stretches.setdefault(head.identity, []).append(_Stretch(path, head))
        allowed = (asked.path if asked.path.is_dir() else asked.path.parent, *asked.files_from)
        runs = [run for of_run in stretches.values() for run in _runs(of_run, allowed)]
        return [*runs, *problems]


def _files(folder: Path) -> Iterator[Path]:
    """The `.wandb` files of a folder and of those in it; links, such as `latest-run`, are not followed."""
    deepest = len(folder.parts) + MAX_FOLDERS_DEEP
    for place, folders, names in os.walk(folder):
        if len(Path(place).parts) >= deepest:
            folders.clear()
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if name.endswith(SUFFIX) and not path.is_symlink() and is_wandb_file(path):
                yield path


def _runs(stretches: Iterable[_Stretch], allowed: Sequence[Path]) -> Iterator[SourceRun]:
    by_start: dict[int, _Stretch] = {}
    for stretch in sorted(stretches, key=lambda one: one.path.stat().st_size):
        # Two files of one start are copies, of which the longer one was taken later.
        by_start[stretch.head.told.started_ns] = stretch
    in_order = [by_start[start] for start in sorted(by_start)]
    for index, (path, head) in enumerate(in_order):
        for session in range(1 + (count_resumed(path) if is_ours(head.config) else 0)):
            yield SourceRun(
                identity=head.identity,
                project=head.told.project,
                name=head.told.name or head.told.run_id,
                facts=partial(_facts, in_order[: index + 1], allowed, session),
                session=f"{head.told.started_ns}/{session}",
            )


def _facts(stretches: Sequence[_Stretch], allowed: Sequence[Path], session: int) -> Iterator[Fact]:
    """The facts of a session in the last of some stretches."""
    *earlier, (path, head) = stretches
    first_number = None
    if earlier:
        counts_anew = next(_numbers(path), 0) == 0
        first_number = 1 + max((number for one in earlier for number in _numbers(one.path)), default=-1)
        first_number *= counts_anew
    yield from RunReader(path, head, allowed=allowed, first_number=first_number, session=session).facts()


def _numbers(path: Path) -> Iterator[int]:
    """W&B's own numbers of the rows of a file."""
    rows = RowReader()
    for record in read_records(path):
        try:
            kind, message = kind_and_message(record) if isinstance(record, bytes) else (0, b"")
            if kind == Kind.HISTORY:
                yield rows.read(message).number
        except ValueError:
            continue
