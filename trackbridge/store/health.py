"""Whether journals are whole: every byte is read, every checksum compared, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trackbridge.errors import NotFoundError
from trackbridge.events.models import EventsDropped, Integrity, RunFinished
from trackbridge.journal.kept import changed_files
from trackbridge.journal.paths import FILES_FOLDER, JOURNAL_GLOB
from trackbridge.journal.reader import Position, read_blocks
from trackbridge.store.records import Problem


@dataclass(slots=True)
class Health:
    """What was read, and what is wrong.

    `n_unchecked_bytes` counts those after the last checksum of their file, where a flipped bit may go unseen: the
    end of a run that was killed, or that is still writing; after the end of a run they are a problem. A problem that
    has no place in its file is at line 0.
    """

    n_files: int = 0
    n_events: int = 0
    n_bytes: int = 0
    n_checksums: int = 0
    n_unchecked_bytes: int = 0
    problems: list[Problem] = field(default_factory=list)


def examine(place: Path) -> Health:
    """The health of all journals at or below a place: a root, a project, a run folder or one file.

    Kept checkpoints that changed, through the hard links they share with an original, are problems too.

    Raises:
        NotFoundError: there is no journal.
    """
    health = Health()
    for file in _journals_at(place):
        try:
            _examine_file(file, health)
        except OSError as error:
            health.problems.append(Problem(str(file), 0, 0, f"cannot be read: {error.strerror or error}"))
    for checkpoint in sorted(place.rglob(f"{FILES_FOLDER}/checkpoints/step-*")) if place.is_dir() else ():
        _examine_kept(checkpoint, health)
    return health


def _journals_at(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    files = sorted(place.rglob(JOURNAL_GLOB)) if place.is_dir() else []
    if not files:
        raise NotFoundError(f"no journal at or below {str(place)!r}: pass a root, a run folder or a journal file")
    yield from files


def _examine_file(file: Path, health: Health) -> None:
    health.n_files += 1
    position, has_ended, problems = Position(), False, []
    for part in read_blocks(file):
        position = part.position
        health.n_events += len(part.events)
        health.n_checksums += sum(isinstance(event, Integrity) for event in part.events)
        has_ended |= any(isinstance(event, RunFinished) for event in part.events)
        problems += [Problem(str(file), one.line, one.offset, one.reason) for one in part.problems]
        problems += [_never_written(file, event) for event in part.events if isinstance(event, EventsDropped)]
    size = file.stat().st_size
    unchecked_from = position.offset - position.crc_bytes
    # What follows the end is no line in the making; damage found there is told as what it is.
    if has_ended and unchecked_from < size and not any(one.offset >= unchecked_from for one in problems):
        problems.append(_unchecked_end(file, position, size))
    health.problems += problems
    health.n_bytes += size
    health.n_unchecked_bytes += max(0, size - unchecked_from)


def _never_written(file: Path, event: EventsDropped) -> Problem:
    counts = ", ".join(f"{count} {kind}" for kind, count in event.counts.items())
    return Problem(str(file), 0, 0, f"never written: {counts} ({event.reason})")


def _unchecked_end(file: Path, position: Position, size: int) -> Problem:
    offset = position.offset - position.crc_bytes
    with file.open("rb") as opened:
        opened.seek(offset)
        n_lines = sum(line.endswith(b"\n") for line in opened)
    reason = f"the run has ended, but no checksum covers the last {size - offset} bytes"
    return Problem(str(file), position.line - n_lines + 1, offset, reason)


def _examine_kept(checkpoint: Path, health: Health) -> None:
    try:
        changed = changed_files(checkpoint)
    except OSError as error:
        health.problems.append(Problem(str(checkpoint), 0, 0, f"cannot be read: {error.strerror or error}"))
        return
    reason = "no longer what it was when the checkpoint was kept"
    health.problems += [Problem(str(checkpoint / name), 0, 0, reason) for name in changed]
