"""
How far one run has been delivered to one target: a small JSON file beside the journal, replaced atomically.

A batch is written down before it is handed over (`in_flight`) and becomes `delivered` only when the tracker is known
to have it. Whatever dies in between, the next relay hands over the very same rows with the same numbers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from trackbridge.journal.reader import Position

State: TypeAlias = Literal["delivering", "waiting", "delivered", "refused", "broken"]
MAX_REJECTIONS = 1000


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A place in one journal file: read again from `offset`, and leave out events before `seq`."""

    offset: int = 0
    line: int = 0
    block_seq: int | None = 0
    seq: int = 0

    @property
    def position(self) -> Position:
        """Where to read from. The checksum of the block is not checked again: `doctor` does that."""
        return Position(self.offset, self.line, self.block_seq)


class RejectionNote(msgspec.Struct, frozen=True, kw_only=True):
    """A rejection as the cursor keeps it."""

    row: int
    kind: str
    what: str
    reason: str


class Cursor(msgspec.Struct, kw_only=True):
    """The whole state of one delivery. `marks` and `next_row` move only when a batch is confirmed."""

    v: int = 1
    target: str
    state: State = "delivering"
    marks: dict[str, Mark] = {}
    next_row: int = 0
    in_flight: dict[str, int] | None = None
    remote_id: str | None = None
    url: str | None = None
    remote_state: dict[str, Any] = {}
    rejections: list[RejectionNote] = []
    n_rejections: int = 0
    error: str | None = None
    updated_ns: int = 0
    closed_as: str | None = None

    def reject(self, notes: list[RejectionNote]) -> None:
        """Keep what a tracker could not carry: all of it in number, the first thousand in words."""
        known = {(note.row, note.what) for note in self.rejections}
        new = [note for note in notes if (note.row, note.what) not in known]
        self.n_rejections += len(new)
        self.rejections += new[: max(0, MAX_REJECTIONS - len(self.rejections))]


def delivery_folder(run_folder: Path) -> Path:
    """Where a run keeps its cursors, locks and the relay's log."""
    return run_folder / "delivery"


def cursor_file(run_folder: Path, file_stem: str) -> Path:
    """The cursor of a run for one target."""
    return delivery_folder(run_folder) / f"{file_stem}.json"


def load_cursor(run_folder: Path, target: str, file_stem: str) -> Cursor:
    """The cursor as it was saved last, or a new one at the start of the run."""
    try:
        return msgspec.json.decode(cursor_file(run_folder, file_stem).read_bytes(), type=Cursor)
    except FileNotFoundError:
        return Cursor(target=target)


def save_cursor(run_folder: Path, file_stem: str, cursor: Cursor) -> None:
    """Replace the cursor's file, whole or not at all, and bring it to the platter.

    Raises:
        OSError: the run folder cannot be written.
    """
    path = cursor_file(run_folder, file_stem)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.draft")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(cursor))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def cursors(run_folder: Path) -> list[Cursor]:
    """Every delivery of a run that was ever begun."""
    paths = sorted(delivery_folder(run_folder).glob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Cursor) for path in paths]
