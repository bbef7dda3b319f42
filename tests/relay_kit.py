"""A tracker that can be told what goes wrong next, and runs to deliver to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters.base import Delivery, Ending, RemoteRef, Row, RunHeader
from trackbridge.adapters.memory import RUNS, MemoryAdapter, MemoryRun
from trackbridge.events.models import RunFinished
from trackbridge.journal.paths import run_folder
from trackbridge.targets import Target
from trackbridge.testing.journals import ToldJournal

TARGET = Target("memory")


class Trouble:
    """What happens at the next calls of each method: an error is raised, anything else is the answer.

    Attributes:
        next: by method name, what happens at its next calls; afterwards all is well.
        calls: every call so far, as its name and what it was about.
    """

    def __init__(self, **following: list[Any]) -> None:
        self.next: dict[str, list[Any]] = defaultdict(list, following)
        self.calls: list[tuple[str, Any]] = []

    def meet(self, call: str, about: Any, usual: Callable[[], Any]) -> Any:
        self.calls.append((call, about))
        answer = self.next[call].pop(0) if self.next[call] else usual()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def of(self, call: str) -> list[Any]:
        """What each call of a method was about."""
        return [about for name, about in self.calls if name == call]

    def connect(self) -> TroubledAdapter:
        return TroubledAdapter(self)


class TroubledAdapter(MemoryAdapter):
    """The memory adapter, in trouble."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self._trouble = trouble

    def open(self, run: RunHeader, remote: RemoteRef | None) -> RemoteRef:
        reference = super().open(run, remote)
        return self._trouble.meet("open", remote, lambda: reference)

    def deliver(self, rows: Sequence[Row]) -> Delivery:
        numbers = [row.number for row in rows]
        return self._trouble.meet("deliver", numbers, lambda: super(TroubledAdapter, self).deliver(rows))

    def flush(self, timeout_s: float) -> bool:
        return self._trouble.meet("flush", timeout_s, lambda: True)

    def close(self, ending: Ending | None) -> None:
        return self._trouble.meet("close", ending, lambda: super(TroubledAdapter, self).close(ending))


def told_run(root: Path, *, points: int = 3, ends: bool = True) -> tuple[Path, ToldJournal]:
    """A run of so many points in its folder; further lines may be told and written again."""
    RUNS.clear()
    journal = ToldJournal("main", host="elsewhere").start()
    for step in range(1, points + 1):
        journal.log(step, {"train/loss": 1 / step})
    if ends:
        journal.tell(RunFinished, status="finished", exit_code=0)
    journal.write(root)
    return run_folder(root, "demo", journal.run_id), journal


def delivered(folder: Path) -> MemoryRun:
    """The run as the memory tracker has it."""
    return RUNS[folder.name]
