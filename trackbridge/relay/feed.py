"""
The events of one run from all of its journals, merged by time and numbered once and for ever.

What was written while a batch was being put together may have an earlier time than the batch's last event. So a
journal that has nothing more takes no further part in a batch: the same counts per journal give the same order.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackbridge.adapters.base import Row
from trackbridge.errors import DeliveryRefused
from trackbridge.events.models import AnyEvent, Heartbeat, Integrity, WriterOpened
from trackbridge.journal.cursor import Mark
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import Position, read_blocks

# A run may have hundreds of journals, and a block of each is kept.
BLOCK_BYTES = 256 << 10
_FIRST_LINE_BYTES = 4096
_BOOKKEEPING = (WriterOpened, Heartbeat, Integrity)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to hand over, where every journal stands after them, and how many events of each are in it."""

    rows: list[Row]
    marks: dict[str, Mark]
    counts: dict[str, int]


class Feed:
    """Reads a run's journals from the marks of a cursor on. Not thread-safe.

    Every method raises an OSError where a journal cannot be read.
    """

    def __init__(self, folder: Path, marks: Mapping[str, Mark], next_row: int) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._marks = marks
        self._next_row = next_row

    def take(self, limit: int) -> Batch:
        """Up to `limit` new rows in the order of time; none when nothing new is written."""
        self._look_for_files()
        return self._batch(limit, dict.fromkeys(self._files, limit))

    def take_again(self, counts: Mapping[str, int]) -> Batch:
        """The batch that had so many events of each journal: the same rows with the same numbers as the first time.

        Raises:
            DeliveryRefused: the journals no longer hold so many.
        """
        self._look_for_files()
        batch = self._batch(sum(counts.values()), counts)
        if batch.counts != counts:
            raise DeliveryRefused(
                f"{self._folder} has lost events that were being delivered: {dict(counts)} were read before,"
                f" {batch.counts} are there now; bring its journals back"
            )
        return batch

    def _look_for_files(self) -> None:
        for path in journal_files(self._folder):
            if path.name not in self._files:
                mark = self._marks.get(path.name, Mark())
                self._files[path.name] = _File(path, Position(mark.offset, next_seq=None), skip=mark.taken)

    def _batch(self, limit: int, allowed: Mapping[str, int]) -> Batch:
        heads = [self._head(name) for name in allowed if name in self._files and self._files[name].has_more()]
        heapq.heapify(heads)
        counts: Counter[str] = Counter()
        rows: list[Row] = []
        while heads and len(rows) < limit:
            _, name = heapq.heappop(heads)
            rows.append(Row(self._next_row + len(rows), self._files[name].take()))
            counts[name] += 1
            if counts[name] < allowed[name] and self._files[name].has_more():
                heapq.heappush(heads, self._head(name))
        self._next_row += len(rows)
        return Batch(rows, {name: file.mark for name, file in self._files.items()}, dict(counts))

    def _head(self, name: str) -> tuple[int, str]:
        return self._files[name].waiting[0].t, name


@dataclass(slots=True)
class _File:
    """One journal: the events read but not taken yet, and where the block they came from begins."""

    path: Path
    read_to: Position
    skip: int
    start: int = 0
    taken: int = 0
    waiting: deque[AnyEvent] = field(default_factory=deque)

    def has_more(self) -> bool:
        """True when an event waits; when none does, the next block is read first."""
        if self.waiting:
            return True
        if self.path.stat().st_size == self.read_to.offset:
            return False
        for part in read_blocks(self.path, self.read_to, block_bytes=BLOCK_BYTES):
            self.start, self.read_to = self.read_to.offset, part.position
            self.taken = min(self.skip, len(part.events))
            self.skip -= self.taken
            self.waiting.extend(part.events[self.taken :])
            if self.waiting:
                return True
        return False

    def take(self) -> AnyEvent:
        self.taken += 1
        return self.waiting.popleft()

    @property
    def mark(self) -> Mark:
        return Mark(self.start, self.taken) if self.waiting else Mark(self.read_to.offset, self.skip)


def has_news(folder: Path, marks: Mapping[str, Mark]) -> bool:
    """True when the journals of a run tell, after these marks, more than that a writer began, lived and was whole.

    Nor is it news what the machine was doing after the training had ended.

    Raises:
        OSError: a journal cannot be read.
    """
    return any(_tells_more(path, marks.get(path.name, Mark())) for path in journal_files(folder))


def _tells_more(path: Path, mark: Mark) -> bool:
    if path.stat().st_size == mark.offset or _is_system(path):
        return False
    left = mark.taken
    for part in read_blocks(path, Position(mark.offset, next_seq=None), block_bytes=BLOCK_BYTES):
        if not all(isinstance(event, _BOOKKEEPING) for event in part.events[left:]):
            return True
        left = max(0, left - len(part.events))
    return False


def _is_system(path: Path) -> bool:
    for part in read_blocks(path, block_bytes=_FIRST_LINE_BYTES):
        opened = part.events[0] if part.events else None
        return isinstance(opened, WriterOpened) and opened.role == "system"
    return False
