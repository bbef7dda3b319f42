"""Journals told by hand, for tests of what reads them: real events and real lines, at times of your choosing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from trackbridge.events.models import FORMAT_VERSION, KnownEvent, MetricsLogged, RunStarted, WriterOpened
from trackbridge.journal.codec import encode
from trackbridge.journal.paths import journal_file, run_folder
from trackbridge.store.fold import JournalEvents

STARTED_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


class ToldJournal:
    """One writer's journal. Every event comes one second after the one before, unless told otherwise."""

    def __init__(self, writer: str = "first", *, run: str = "run", started_s: float = 0.0, **opened: Any) -> None:
        """
        Begin a journal with its first line.

        Args:
            writer: a word its writer id is made from; also its session's, unless `session_id` is given.
            run: a word its run id is made from.
            started_s: when it begins, in seconds after `STARTED_NS`.
            **opened: fields of `WriterOpened`.
        """
        self.run_id, self.writer_id = hex_id(run), hex_id(writer)
        self.events: list[KnownEvent] = []
        self._now_ns = STARTED_NS + int(started_s * SECOND_NS)
        identity = {"v": FORMAT_VERSION, "session_id": self.writer_id, **opened}
        self.tell(WriterOpened, run_id=self.run_id, writer_id=self.writer_id, after_s=0, **identity)

    @property
    def file(self) -> str:
        """The name of its file."""
        return journal_file(Path(), self.writer_id).name

    def tell(self, kind: type[KnownEvent], *, after_s: float = 1.0, **fields: Any) -> ToldJournal:
        """Add an event of any kind."""
        self._now_ns += int(after_s * SECOND_NS)
        self.events.append(kind(seq=len(self.events), t=self._now_ns, **fields))
        return self

    def start(self, name: str = "run", project: str = "demo", **fields: Any) -> ToldJournal:
        """Add the beginning of a run."""
        return self.tell(RunStarted, name=name, project=project, **fields)

    def log(self, step: int, metrics: dict[str, float], epoch: float | None = None) -> ToldJournal:
        """Add metrics at a step."""
        return self.tell(MetricsLogged, step=step, metrics=metrics, epoch=epoch)

    def read(self) -> JournalEvents:
        """The journal as a reader hands it to the fold."""
        return JournalEvents(self.file, list(self.events))

    def lines(self) -> list[bytes]:
        """The journal as lines of a file."""
        return [encode(event) for event in self.events]

    def write(self, root: Path, project: str = "demo") -> Path:
        """Write the journal where it belongs below a root; the path of its file."""
        folder = run_folder(root, project, self.run_id)
        folder.mkdir(parents=True, exist_ok=True)
        path = journal_file(folder, self.writer_id)
        path.write_bytes(b"".join(self.lines()))
        return path


def hex_id(word: str) -> str:
    """An id of 32 hex digits, the same for the same word."""
    return hashlib.blake2b(word.encode(), digest_size=16).hexdigest()
