"""
Reads what is new in a journal file since the index last saw it, and only that.

A file is taken as the same one, grown, when what was read of it still begins and ends with the same bytes:
the first line names the writer and the last one holds a sequence number, so no other file does. A copy that
`rsync` put in its place is the same file by this test, and is not read again from the start.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from trackbridge.journal.reader import Position, read_blocks
from trackbridge.store.batch import Batch
from trackbridge.store.records import Problem
from trackbridge.store.scan import Stamp

BATCH_BYTES = 64 << 20
MAX_PROBLEMS = 1000
_FINGERPRINT_BYTES = 512
# No file has this stamp, so whoever looks next reads on.
_NOT_READ_THROUGH: Stamp = (-1, -1, -1)


class JournalState(msgspec.Struct, array_like=True, frozen=True):
    """How far a journal file has been read, and what came of it besides points and facts."""

    stamp: Stamp
    position: Position = Position()
    fingerprint: bytes = b""
    first_ns: int | None = None
    last_ns: int = 0
    unknown_kinds: dict[str, int] = {}
    problems: tuple[Problem, ...] = ()
    n_problems: int = 0
    tail_problem: Problem | None = None

    @property
    def is_read_through(self) -> bool:
        """False when more stood in the file than one batch holds."""
        return self.stamp != _NOT_READ_THROUGH

    def all_problems(self) -> tuple[Problem, ...]:
        """What was wrong with the file; of very many problems the first thousand, and how many more there were."""
        more = self.n_problems - len(self.problems)
        last = self.problems[-1] if more else None
        rest = (Problem(last.file, last.line, last.offset, f"and {more} more problems after this one"),) if last else ()
        return (*self.problems, *rest, *((self.tail_problem,) if self.tail_problem else ()))


@dataclass(frozen=True, slots=True)
class JournalChange:
    """What to add to the index for one file.

    `known` is the state it follows on; `is_fresh` says that what the index has of the file is of no use.
    """

    file: str
    known: JournalState | None
    state: JournalState
    batch: Batch
    is_fresh: bool


def read_change(path: Path, known: JournalState | None, stamp: Stamp) -> JournalChange:
    """The next stretch of a journal file, up to about 64 MB of it. A file that cannot be read is a problem told."""
    try:
        if known is not None and fingerprint(path, known.position.offset) == known.fingerprint:
            batch, state = _read_on(path, msgspec.structs.replace(known, stamp=stamp))
            return JournalChange(path.name, known, state, batch, is_fresh=False)
        batch, state = _read_on(path, JournalState(stamp))
        return JournalChange(path.name, known, state, batch, is_fresh=True)
    except OSError as error:
        problem = Problem(path.name, 0, 0, f"cannot be read: {error.strerror or error}")
        state = msgspec.structs.replace(known or JournalState(stamp), stamp=stamp, tail_problem=problem)
        return JournalChange(path.name, known, state, Batch(), is_fresh=False)


def fingerprint(path: Path, offset: int) -> bytes:
    """A digest of how the first `offset` bytes of a file begin and end; of nothing when it is shorter.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        begin = file.read(min(_FINGERPRINT_BYTES, offset))
        file.seek(max(0, offset - _FINGERPRINT_BYTES))
        end = file.read(min(_FINGERPRINT_BYTES, offset))
    return hashlib.blake2b(begin + end, digest_size=16).digest() if end.endswith(b"\n") else b""


def _read_on(path: Path, before: JournalState) -> tuple[Batch, JournalState]:
    batch = Batch()
    problems: list[Problem] = []
    tail_problem, is_complete, at = None, True, before.position
    for part in read_blocks(path, at):
        found = [Problem(path.name, one.line, one.offset, one.reason) for one in part.problems]
        if part.position == at:
            tail_problem = found[0]
            break
        batch.add(part.events)
        problems += found
        at = part.position
        if at.offset - before.position.offset >= BATCH_BYTES:
            is_complete = False
            break
    state = JournalState(
        stamp=before.stamp if is_complete else _NOT_READ_THROUGH,
        position=at,
        fingerprint=fingerprint(path, at.offset),
        first_ns=batch.first_ns if before.first_ns is None else before.first_ns,
        last_ns=max(before.last_ns, batch.last_ns),
        unknown_kinds=dict(batch.unknown_kinds + Counter(before.unknown_kinds)),
        problems=(*before.problems, *problems)[:MAX_PROBLEMS],
        n_problems=before.n_problems + len(problems),
        tail_problem=tail_problem,
    )
    return batch, state
