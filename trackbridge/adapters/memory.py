"""
The reference adapter: a tracker that keeps the rows of each run by their number, so that a row delivered twice is
there once.

Online, runs live in `RUNS` for as long as the process does. Offline, each row is one file,
`<folder>/<run_id>/<number>`, put there by an atomic rename, so what was delivered outlives a killed process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from trackbridge.adapters.base import Capabilities, Delivery, Ending, Rejection, RemoteRef, Row, RunHeader
from trackbridge.adapters.shaping import media_gone, unknown_kind
from trackbridge.events.models import CheckpointSaved, KnownEvent, MediaLogged, UnknownEvent

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(KnownEvent).decode


@dataclass(slots=True)
class MemoryRun:
    """A run as this tracker keeps it; `ending` is None while it goes on."""

    header: RunHeader
    rows: dict[int, KnownEvent] = field(default_factory=dict)
    ending: Ending | None = None


RUNS: dict[str, MemoryRun] = {}
"""The tracker itself: every run of this process, by run id."""


class MemoryAdapter:
    """Keeps the events of a run as they are, in memory or one file a row."""

    name: ClassVar[str] = "memory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        artifacts="changed",
        rules={
            "artifacts": "checkpoints and artifacts are kept as references (path, size, digest), without their bytes"
        },
    )

    def __init__(self, *, mode: Literal["online", "offline"] = "online", folder: Path | None = None) -> None:
        self._mode = mode
        self._folder = folder

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        """Take up the run, or begin it."""
        self._run = RUNS.setdefault(run.run_id, MemoryRun(run))
        self._files: Path | None = None
        if self._mode == "offline":
            self._files = (self._folder or run.folder / "offline" / self.name) / run.run_id
            self._run = MemoryRun(run, rows=_read_rows(self._files))
        self._run.ending = None
        return RemoteRef(remote_id=run.run_id)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        """Keep the rows by number."""
        return Delivery(tuple(rejection for row in rows if (rejection := self._keep(row)) is not None))

    def _keep(self, row: Row) -> Rejection | None:
        number, event, upload = row
        if isinstance(event, UnknownEvent):
            return unknown_kind(row)
        if isinstance(event, MediaLogged) and not (self._run.header.folder / event.path).is_file():
            return media_gone(number, event)
        if isinstance(event, CheckpointSaved) and upload is None:
            return None
        self._run.rows[number] = event
        if self._files is not None:
            _write(self._files / str(number), _encode(event))
        return None

    def flush(self, timeout_s: float) -> bool:
        """True: a row is kept before `deliver` returns."""
        return True

    def close(self, ending: Ending | None) -> None:
        """Note how the run ended."""
        self._run.ending = ending
        if self._files is not None and ending is not None:
            _write(self._files / "ending", _encode(ending))


def read_offline(folder: Path) -> MemoryRun:
    """A run as an offline adapter left it in `<folder>`, the run's own folder; only rows and ending are kept there."""
    ending = folder / "ending"
    return MemoryRun(
        header=RunHeader(run_id=folder.name, project="", name="", folder=folder),
        rows=_read_rows(folder),
        ending=msgspec.msgpack.decode(ending.read_bytes(), type=Ending) if ending.exists() else None,
    )


def _read_rows(folder: Path) -> dict[int, KnownEvent]:
    files = folder.iterdir() if folder.is_dir() else ()
    return {int(file.name): _decode(file.read_bytes()) for file in files if file.name.isdigit()}


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(content)
    draft.replace(path)
