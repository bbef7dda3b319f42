"""What a person sees while a study runs: one live display on a terminal, plain lines anywhere else.

Several trainings may be under way at once, so each is spoken of by its name.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Plan
from trackbridge.report.text import counted


class TrainingDisplay(Protocol):
    """Told what happens to the trainings of a study."""

    def run_began(self, name: str, *, resumed_from: Path | None) -> None:
        """A training begins, or goes on from a checkpoint."""

    def advanced(self, name: str, step: int, total: int) -> None:
        """A training has done `step` of `total` updates."""

    def scored(self, name: str, scores: str) -> None:
        """A training was evaluated."""

    def run_ended(self, outcome: Outcome) -> None:
        """A planned run, or a stage before one, has its outcome."""


class Display(TrainingDisplay, Protocol):
    """The same for a person to see; used as a context manager around the study."""

    def __enter__(self) -> Display:
        """The study begins."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The study ended, or was stopped."""


def display_for(console: Console, plan: Plan) -> Display:
    """The live display where the console can redraw, plain lines where it cannot (a pipe, CI)."""
    return LiveDisplay(console, plan) if console.is_terminal else LineDisplay(console, plan)


class LineDisplay:
    """A line when a run begins, at every quarter of it, and when it ended."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._plan = plan
        self._ended: set[str] = set()
        self._progress: dict[str, tuple[int, int]] = {}
        self._quarters_told: dict[str, int] = {}

    def __enter__(self) -> LineDisplay:
        self._say(f"study {self._plan.name}: {counted(len(self._plan.runs), 'run')}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind in (KeyboardInterrupt, SystemExit):
            self._say("stopped; the same command goes on from here")

    def run_began(self, name: str, *, resumed_from: Path | None) -> None:
        """A line that says so."""
        self._quarters_told[name] = 0
        self._say(f"{name}: {_beginning(resumed_from)}")

    def advanced(self, name: str, step: int, total: int) -> None:
        """Nothing yet: the line comes with the scores."""
        self._progress[name] = step, total

    def scored(self, name: str, scores: str) -> None:
        """A line when another quarter is done."""
        step, total = self._progress.get(name, (0, 1))
        quarter = 4 * step // total
        if quarter > self._quarters_told.get(name, 0):
            self._quarters_told[name] = quarter
            self._say(f"      {name}: {step} of {total} updates: {scores}")

    def run_ended(self, outcome: Outcome) -> None:
        """A line with the ending; only what the plan asked for is counted, and once if it pauses before it ends."""
        if outcome.planned.is_stage:
            self._say(f"{outcome}")
            return
        self._ended.add(outcome.planned.name)
        self._say(f"[{len(self._ended)}/{len(self._plan.runs)}] {outcome}")

    def _say(self, line: str) -> None:
        # not wrapped: a line of a log file has no width
        self._console.print(Text(line), soft_wrap=True)


class LiveDisplay:
    """A bar for the study and one for each training under way, below a growing list of what is done."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[scores]}", markup=False),
            console=console,
        )
        self._study = self._bars.add_task(f"study {plan.name}", total=len(plan.runs), unit="runs", scores="")
        self._runs: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for bar in self._runs.values():
            self._bars.update(bar, visible=False)
        self._bars.stop()
        if kind in (KeyboardInterrupt, SystemExit):
            self._bars.console.print("stopped; the same command goes on from here")

    def run_began(self, name: str, *, resumed_from: Path | None) -> None:
        """Its bar appears, anew if another process has lost the run."""
        if name in self._runs:
            self._bars.remove_task(self._runs[name])
        self._runs[name] = self._bars.add_task(name, total=None, unit="updates", scores=_beginning(resumed_from))

    def advanced(self, name: str, step: int, total: int) -> None:
        """Its bar moves."""
        self._bars.update(self._runs[name], completed=step, total=total)

    def scored(self, name: str, scores: str) -> None:
        """The newest scores stand beside its bar."""
        self._bars.update(self._runs[name], scores=scores)

    def run_ended(self, outcome: Outcome) -> None:
        """Its bar becomes a line above the others that stays."""
        if (bar := self._runs.pop(outcome.planned.name, None)) is not None:
            self._bars.remove_task(bar)
        self._bars.console.print(Text(str(outcome), style="red" if outcome.ending == "failed" else ""))
        if not outcome.planned.is_stage:
            self._ended.add(outcome.planned.name)
            self._bars.update(self._study, completed=len(self._ended))


def _beginning(resumed_from: Path | None) -> str:
    return f"goes on from {resumed_from.name}" if resumed_from else "started"
