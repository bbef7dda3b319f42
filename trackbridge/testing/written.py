"""What a run wrote, for tests: the events of its journals, which must be whole."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from trackbridge.events.models import AnyEvent, Event
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import read_file
from trackbridge.journal.tail import Tail

E = TypeVar("E", bound=Event)


def all_events(folder: Path) -> list[AnyEvent]:
    """Every event of a run over all its writers, in the order of time.

    Raises:
        AssertionError: a journal is damaged, or an event is missing or out of its order.
    """
    for path in journal_files(folder):
        if found := problems(path):
            raise AssertionError("\n".join(found))
    return Tail(folder).read_new()


def events_of(folder: Path, kind: type[E]) -> list[E]:
    """The events of one kind, in the order of time; the journals must be whole.

    Raises:
        AssertionError: as for `all_events`.
    """
    return [event for event in all_events(folder) if isinstance(event, kind)]


def problems(path: Path) -> list[str]:
    """What a reader says is wrong with one journal file, a line left half-written at its end included."""
    found = [f"{path.name}, line {problem.line}: {problem.reason}" for problem in read_file(path).problems]
    ends_whole = path.read_bytes().endswith(b"\n")
    return found if ends_whole else [*found, f"{path.name}: its last line has no newline"]
