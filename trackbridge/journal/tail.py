"""Follows the growing journals of one run: every event once, in the order it reached the disk of its writer."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from pathlib import Path

from trackbridge.events.models import AnyEvent
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import LineProblem, Position, read_file


@dataclass(slots=True)
class Tail:
    """A follower of a run folder. It keeps positions only; the caller decides when to look again."""

    folder: Path
    positions: dict[str, Position] = field(default_factory=dict)
    problems: list[tuple[str, LineProblem]] = field(default_factory=list)

    def read_new(self) -> list[AnyEvent]:
        """What was written since the last call, in the order of time; writers that appeared meanwhile included."""
        told: list[tuple[int, AnyEvent]] = []
        for path in journal_files(self.folder):
            try:
                read = read_file(path, self.positions.get(path.name))
            except FileNotFoundError:
                continue
            self.positions[path.name] = read.position
            # A damaged end would be told again at every look: it is told once it is a whole line.
            whole = [problem for problem in read.problems if problem.offset < read.position.offset]
            self.problems += [(path.name, problem) for problem in whole]
            # A clock set back must not reorder what one writer wrote.
            latest = accumulate((event.t for event in read.events), max)
            told += zip(latest, read.events, strict=True)
        return [event for _, event in sorted(told, key=itemgetter(0))]
