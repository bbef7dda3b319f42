"""How the deliveries of a run stand, seen from outside: by their cursors, their locks and what the journals hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from trackbridge.errors import DeliveryRefused
from trackbridge.journal.cursor import Cursor, load_cursor, lock_file, sync_command, targets_of
from trackbridge.journal.lock import held
from trackbridge.relay.feed import has_news

StandingState: TypeAlias = Literal["delivered", "delivering", "waiting", "stopped", "refused", "broken"]


@dataclass(frozen=True, slots=True)
class Standing:
    """One delivery as it stands now.

    Attributes:
        run_folder: the run.
        state: `delivering` and `waiting` (for a tracker that is away) while a relay is at work; `stopped` when none
            is, though not all is delivered; `refused` and `broken` until a person has mended what `cursor.error` says.
        waiting: how many events are written and not delivered.
    """

    run_folder: Path
    cursor: Cursor
    state: StandingState
    waiting: int

    @property
    def mending_command(self) -> str | None:
        """What goes on with the delivery, once what `cursor.error` says is mended; None where nothing is to be done."""
        is_still = self.state in ("stopped", "refused", "broken")
        return sync_command(self.run_folder, self.cursor.target) if is_still else None


def standings(run_folder: Path) -> list[Standing]:
    """Every delivery of a run that was ever asked for, by target."""
    return [standing(run_folder, target) for target in targets_of(run_folder)]


def standing(run_folder: Path, target: str) -> Standing:
    """How the delivery of a run to one target stands."""
    try:
        cursor = load_cursor(run_folder, target)
    except DeliveryRefused as error:
        cursor = Cursor(target=target, state="refused", error=str(error))
        return Standing(run_folder, cursor, "refused", waiting=0)
    state = _state(run_folder, cursor)
    return Standing(run_folder, cursor, state, 0 if state == "delivered" else cursor.events_waiting(run_folder))


def is_delivered(run_folder: Path, cursor: Cursor) -> bool:
    """True when the tracker has everything and was told how the run ended.

    Raises:
        OSError: a journal cannot be read.
    """
    is_closed = cursor.closed_as is not None and cursor.in_flight is None
    return is_closed and not has_news(run_folder, cursor.marks)


def _state(run_folder: Path, cursor: Cursor) -> StandingState:
    if is_delivered(run_folder, cursor):
        return "delivered"
    if cursor.state in ("refused", "broken"):
        return cursor.state
    if not _is_held(run_folder, cursor.target):
        return "stopped"
    return "waiting" if cursor.error else "delivering"


def _is_held(run_folder: Path, target: str) -> bool:
    path = lock_file(run_folder, target)
    if not path.exists():
        return False
    with held(path) as is_ours:
        return not is_ours
