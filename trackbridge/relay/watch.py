"""Watches one run through its journals: who it is, how it ended, and whether its process still lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from trackbridge.events.models import (
    AnyEvent,
    KnownEvent,
    RunFinished,
    RunResumed,
    RunStarted,
    TagsSet,
    WriterOpened,
)
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import Position, read_blocks
from trackbridge.settings import load_settings
from trackbridge.store.fold import fold_facts
from trackbridge.store.liveness import Liveness
from trackbridge.store.records import RunRecord, Session
from trackbridge.store.sessions import WriterLog

_TELLING = (WriterOpened, RunStarted, RunResumed, RunFinished, TagsSet)


def watch_run(run_folder: Path) -> RunWatch:
    """A watch over a run that judges its process from this machine."""
    return RunWatch(run_folder, Liveness(load_settings().lost_after_s).is_alive)


class RunWatch:
    """One run, read on at every look; points, config and media are passed over. Safe for threads.

    The store tells the same and more, but looks at every run of a root, which a relay would do every second.
    """

    def __init__(self, run_folder: Path, is_alive: Callable[[Session], bool]) -> None:
        self.run_folder = run_folder
        self._is_alive = is_alive
        self._journals: dict[str, _Journal] = {}
        self._lock = threading.Lock()

    def record(self) -> RunRecord:
        """The run as it stands now: identity, tags, sessions and status.

        Raises:
            OSError: a journal cannot be read.
        """
        with self._lock:
            before = self._look()
            if before.status != "running" or not before.sessions or self._is_alive(before.sessions[-1]):
                return before
            # Its last words may have been written after the look and before the death.
            record = self._look()
            is_same = record.sessions[-1].session_id == before.sessions[-1].session_id
            return replace(record, status="lost") if record.status == "running" and is_same else record

    def _look(self) -> RunRecord:
        for path in journal_files(self.run_folder):
            self._journals.setdefault(path.name, _Journal(path)).read_on()
        logs = [journal.as_log() for journal in self._journals.values()]
        record, _ = fold_facts(self.run_folder.name, self.run_folder.parent.name, str(self.run_folder), logs)
        return record


@dataclass(slots=True)
class _Journal:
    path: Path
    read_to: Position = field(default_factory=Position)
    facts: list[KnownEvent] = field(default_factory=list)
    first_ns: int | None = None
    last_ns: int = 0

    def read_on(self) -> None:
        if self.path.stat().st_size == self.read_to.offset:
            return
        for part in read_blocks(self.path, self.read_to):
            self.read_to = part.position
            self._take(part.events)

    def _take(self, events: list[AnyEvent]) -> None:
        if events and self.first_ns is None:
            self.first_ns = events[0].t
        self.last_ns = max([self.last_ns, *(event.t for event in events)])
        self.facts += [event for event in events if isinstance(event, _TELLING)]

    def as_log(self) -> WriterLog:
        return WriterLog(self.path.name, self.facts, self.first_ns or 0, self.last_ns)
