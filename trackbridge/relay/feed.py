"""The events of one run from all of its journals, merged by time and numbered once and for ever."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trackbridge.adapters.base import Row
from trackbridge.events.models import AnyEvent
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import Position, read_blocks
from trackbridge.relay.cursor import Mark


@dataclass(slots=True)
class _File:
    """One journal: events read but not taken yet, and where the block they came from starts."""

    path: Path
    block: Position
    read_to: Position
    next_seq: int
    waiting: deque[AnyEvent] = field(default_factory=deque)

    def read_block(self) -> bool:
        """Read on by one block when nothing waits; True when something does now."""
        if self.waiting:
            return True
        for part in read_blocks(self.path, self.read_to):
            self.block, self.read_to = self.read_to, part.position
            self.waiting.extend(event for event in part.events if event.seq >= self.next_seq)
            if self.waiting:
                return True
        return False

    def take(self) -> AnyEvent:
        event = self.waiting.popleft()
        self.next_seq = event.seq + 1
        return event

    @property
    def mark(self) -> Mark:
        at = self.block if self.waiting else self.read_to
        return Mark(offset=at.offset, line=at.line, block_seq=at.next_seq, seq=self.next_seq)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to hand over, where every file stands after them, and the sequence numbers that say the same."""

    rows: list[Row]
    marks: dict[str, Mark]

    @property
    def ends(self) -> dict[str, int]:
        """Per file, the sequence number after the last event of the batch: enough to make the same batch again."""
        return {name: mark.seq for name, mark in self.marks.items()}


class Feed:
    """Reads a run's journals from the marks of a cursor on. It keeps a few megabytes at most."""

    def __init__(self, folder: Path, marks: Mapping[str, Mark], next_row: int) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._marks = marks
        self._next_row = next_row

    def take(self, limit: int) -> Batch:
        """Up to `limit` new rows in the order of time; none when nothing new is written."""
        self._look_for_files()
        return self._batch(self._merged(limit, {}))

    def take_again(self, ends: Mapping[str, int]) -> Batch:
        """The batch that ended at these sequence numbers: the same rows with the same numbers as the first time.

        Writers that appeared since have no part in it.
        """
        self._look_for_files()
        return self._batch(self._merged(sys.maxsize, {name: ends.get(name, 0) for name in self._files}))

    def _batch(self, events: Iterable[AnyEvent]) -> Batch:
        rows = [Row(number, event) for number, event in enumerate(events, start=self._next_row)]
        self._next_row += len(rows)
        return Batch(rows, {name: file.mark for name, file in self._files.items()})

    def _look_for_files(self) -> None:
        for path in journal_files(self._folder):
            if path.name not in self._files:
                mark = self._marks.get(path.name, Mark())
                self._files[path.name] = _File(path, mark.position, mark.position, mark.seq)

    def _merged(self, limit: int, ends: Mapping[str, int]) -> Iterator[AnyEvent]:
        for _ in range(limit):
            heads = [
                (file.waiting[0].t, name)
                for name, file in self._files.items()
                if file.read_block() and file.waiting[0].seq < ends.get(name, sys.maxsize)
            ]
            if not heads:
                return
            yield self._files[min(heads)[1]].take()
