"""What a person sees while a study runs: one live display on a terminal, plain lines anywhere else."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import Plan, PlannedRun
from trackbridge.report.text import counted


class Display(Protocol):
    """Told what happens in a study; used as a context manager around it."""

    def __enter__(self) -> Display:
        """The study begins."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The study ended, or was stopped."""

    def run_began(self, planned: PlannedRun, *, resumed_from: Path | None) -> None:
        """A training begins, or goes on from a checkpoint."""

    def advanced(self, step: int, total: int) -> None:
        """The current training has done `step` of `total` updates."""

    def scored(self, scores: str) -> None:
        """The current training was evaluated."""

    def run_ended(self, outcome: Outcome) -> None:
        """A planned run has its outcome."""


def display_for(console: Console, plan: Plan) -> Display:
    """The live display where the console can redraw, plain lines where it cannot (a pipe, CI)."""
    return LiveDisplay(console, plan) if console.is_terminal else LineDisplay(console, plan)


class LineDisplay:
    """A line when a run begins, at every quarter of it, and when it ended."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._console = console
        self._plan = plan
        self._ended = 0
        self._step = 0
        self._total = 1
        self._quarter_told = 0

    def __enter__(self) -> LineDisplay:
        self._say(f"study {self._plan.name}: {counted(len(self._plan.runs), 'run')}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt:
            self._say("stopped; the same command goes on from here")

    def run_began(self, planned: PlannedRun, *, resumed_from: Path | None) -> None:
        """A line that says so."""
        self._quarter_told = 0
        self._say(f"[{self._ended + 1}/{len(self._plan.runs)}] {planned.name}: {_beginning(resumed_from)}")

    def advanced(self, step: int, total: int) -> None:
        """Nothing yet: the line comes with the scores."""
        self._step, self._total = step, total

    def scored(self, scores: str) -> None:
        """A line when another quarter is done."""
        quarter = 4 * self._step // self._total
        if quarter > self._quarter_told:
            self._quarter_told = quarter
            self._say(f"      {self._step} of {self._total} updates: {scores}")

    def run_ended(self, outcome: Outcome) -> None:
        """A line with the ending."""
        self._ended += 1
        self._say(f"[{self._ended}/{len(self._plan.runs)}] {outcome}")

    def _say(self, line: str) -> None:
        # not wrapped: a line of a log file has no width
        self._console.print(Text(line), soft_wrap=True)


class LiveDisplay:
    """Two bars, the study's and the current run's, below a growing list of what is done."""

    def __init__(self, console: Console, plan: Plan) -> None:
        self._plan = plan
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
        self._run = self._bars.add_task("", total=None, unit="updates", scores="", visible=False)

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.update(self._run, visible=False)
        self._bars.stop()
        if kind is KeyboardInterrupt:
            self._bars.console.print("stopped; the same command goes on from here")

    def run_began(self, planned: PlannedRun, *, resumed_from: Path | None) -> None:
        """The lower bar begins again."""
        self._bars.reset(
            self._run, description=planned.name, visible=True, unit="updates", scores=_beginning(resumed_from)
        )

    def advanced(self, step: int, total: int) -> None:
        """The lower bar moves."""
        self._bars.update(self._run, completed=step, total=total)

    def scored(self, scores: str) -> None:
        """The newest scores stand beside the lower bar."""
        self._bars.update(self._run, scores=scores)

    def run_ended(self, outcome: Outcome) -> None:
        """A line above the bars that stays."""
        self._bars.console.print(Text(str(outcome), style="red" if outcome.ending == "failed" else ""))
        self._bars.advance(self._study)
        self._bars.update(self._run, visible=False)


def _beginning(resumed_from: Path | None) -> str:
    return f"goes on from {resumed_from.name}" if resumed_from else "started"
