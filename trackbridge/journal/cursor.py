"""
How far one run has been delivered to one target: a small JSON file beside the journals, replaced atomically.

A batch is written down before it is handed over (`in_flight`), and is counted only when the tracker is known to
have it. Whatever dies in between, the next relay hands over the very same rows with the same numbers.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from trackbridge.errors import DeliveryRefused
from trackbridge.journal.paths import journal_files

State: TypeAlias = Literal["waiting", "delivering", "delivered", "refused", "broken"]
CURSOR_VERSION = 1
MAX_REJECTIONS = 200
_CHUNK_BYTES = 1 << 20


class Mark(msgspec.Struct, frozen=True):
    """A place in one journal file: the event that comes `taken` events after the line at byte `offset`.

    Counted, not named by their sequence numbers: one flipped bit in such a number must not hide what follows.
    """

    offset: int = 0
    taken: int = 0


class RejectionNote(msgspec.Struct, kw_only=True):
    """What a tracker could not carry and why, and how often; `first_row` is the row of the first time."""

    kind: str
    what: str
    reason: str
    count: int
    first_row: int


class Cursor(msgspec.Struct, kw_only=True):
    """The whole state of one delivery. `marks` and `next_row` move only when a batch is confirmed.

    Attributes:
        in_flight: how many events of each journal are in the batch that was handed over but not confirmed.
        best_score: of the checkpoints that count, higher is better; what the next one has to beat.
        rejections: by kind, subject and reason, the first two hundred; `rejected` counts them all.
        error: why it waits or stopped, and how to mend it.
        closed_as: the status the tracker was told at the end; None while the run goes on there.
    """

    v: int = CURSOR_VERSION
    target: str
    state: State = "waiting"
    marks: dict[str, Mark] = {}
    next_row: int = 0
    in_flight: dict[str, int] | None = None
    remote_id: str | None = None
    url: str | None = None
    remote_state: dict[str, Any] = {}
    best_score: float | None = None
    rejections: list[RejectionNote] = []
    rejected: int = 0
    error: str | None = None
    updated_ns: int = 0
    closed_as: str | None = None

    def reject(self, row: int, kind: str, what: str, reason: str) -> None:
        """Keep what the tracker could not carry."""
        self.rejected += 1
        for note in self.rejections:
            if (note.kind, note.what, note.reason) == (kind, what, reason):
                note.count += 1
                return
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(RejectionNote(kind=kind, what=what, reason=reason, count=1, first_row=row))

    def events_waiting(self, run_folder: Path) -> int:
        """How many events the run's journals hold that are not delivered.

        Raises:
            OSError: one cannot be read.
        """
        return sum(events_after(path, self.marks.get(path.name, Mark())) for path in journal_files(run_folder))

    def start_again(self) -> None:
        """Forget what was delivered, for a tracker that has lost it."""
        self.marks, self.next_row, self.in_flight, self.best_score = {}, 0, None, None
        self.rejections, self.rejected = [], 0


def delivery_folder(run_folder: Path) -> Path:
    """Where a run keeps its cursors, their locks and the relay's log."""
    return run_folder / "delivery"


def cursor_file(run_folder: Path, target: str) -> Path:
    """The cursor of a run for one target such as `comet:offline`."""
    return delivery_folder(run_folder) / f"{target.replace(':', '@')}.json"


def lock_file(run_folder: Path, target: str) -> Path:
    """What is locked by the one relay that delivers a run to a target."""
    return cursor_file(run_folder, target).with_suffix(".lock")


def sync_command(run_folder: Path, target: str) -> str:
    """What a person runs to go on with a delivery."""
    return f"trackbridge sync {shlex.quote(str(run_folder.resolve().parent.parent))} --to {target}"


def load_cursor(run_folder: Path, target: str) -> Cursor:
    """The cursor as it was saved last, or a new one at the start of the run.

    Raises:
        DeliveryRefused: the file is damaged, or of a later version.
        OSError: it cannot be read.
    """
    path = cursor_file(run_folder, target)
    try:
        cursor = msgspec.json.decode(path.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return Cursor(target=target)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DeliveryRefused(
            f"{path} is damaged ({error}), so nobody knows what {target} has: remove the file and run"
            f" `{sync_command(run_folder, target)}`, which delivers the run from its first event on; a tracker that"
            " has a row already keeps one of it"
        ) from error
    if cursor.v > CURSOR_VERSION:
        raise DeliveryRefused(f"{path} has version {cursor.v}, newer than {CURSOR_VERSION}: update trackbridge")
    return cursor


def save_cursor(run_folder: Path, cursor: Cursor) -> None:
    """Replace the cursor's file, whole or not at all, and bring it to the platter.

    Raises:
        OSError: the run folder is gone or cannot be written.
    """
    path = cursor_file(run_folder, cursor.target)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(cursor))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def targets_of(run_folder: Path) -> list[str]:
    """Every target the run was ever to be delivered to, in alphabetical order."""
    return sorted(path.stem.replace("@", ":") for path in delivery_folder(run_folder).glob("*.json"))


def events_after(journal: Path, mark: Mark) -> int:
    """How many events of a journal lie after a mark, damaged lines included; none when the file is gone.

    Raises:
        OSError: it cannot be read.
    """
    try:
        if journal.stat().st_size == mark.offset:
            return 0
        with journal.open("rb") as file:
            file.seek(mark.offset)
            lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""))
    except FileNotFoundError:
        return 0
    return max(0, lines - mark.taken)
