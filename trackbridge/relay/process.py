"""
A relay in a process of its own that delivers runs to one target, one by one as it is asked.

So no SDK is loaded into the process that asks, which may be a notebook, and none prints to its terminal; and when
an SDK takes its process down, only that one delivery is lost.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import msgspec

from trackbridge.relay.follower import Outcome
from trackbridge.settings import CheckpointUpload, relay_environment
from trackbridge.targets import Target

PATIENCE_S = 60.0
_ENDS_WITHIN_S = 10.0


class Request(msgspec.Struct, frozen=True):
    """Deliver what this run has now; wait out trouble that passes for so long."""

    run_folder: str
    patience_s: float


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """So many more events were confirmed."""

    delivered: int


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """How the delivery stands now; `error` says why it went no further."""

    outcome: Outcome
    error: str | None = None


Message: TypeAlias = Progress | Answer


class RelayProcess:
    """Asks a relay process for one target; a context manager. The process is started when it is first needed."""

    def __init__(self, target: Target, checkpoints: CheckpointUpload) -> None:
        self.target = target
        self._command = [
            sys.executable, "-m", "trackbridge.relay", "asked", "--to", str(target), "--checkpoints", checkpoints,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if error is not None:
            self.kill()
        # The end of its input tells it to go; an SDK may need a moment for that.
        try:
            self._process.communicate(timeout=_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.communicate()

    def kill(self) -> None:
        """End the process at once. What it had in flight is repeated by the next one."""
        if self._process is not None:
            self._process.kill()

    def catch_up(
        self, run_folder: Path, *, patience_s: float, delivered: Callable[[int], None] = lambda count: None
    ) -> Answer:
        """Have what a run has now delivered, and be told of every batch that was confirmed."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        request = Request(str(run_folder.resolve()), patience_s)
        try:
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            process.stdin.flush()
        except OSError:
            return self._died(process)
        for line in process.stdout:
            message: Message = msgspec.json.decode(line, type=Message)
            if isinstance(message, Answer):
                return message
            delivered(message.delivered)
        return self._died(process)

    def catch_up_all(
        self, run_folders: Iterable[Path], *, patience_s: float, delivered: Callable[[int], None] = lambda count: None
    ) -> Iterator[tuple[Path, Answer]]:
        """The same for many runs; once the target has worn out the patience, the rest is not tried."""
        away: Answer | None = None
        for folder in run_folders:
            answer = away or self.catch_up(folder, patience_s=patience_s, delivered=delivered)
            away = answer if answer.outcome == "waiting" else away
            yield folder, answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=relay_environment(),
            )
        return self._process

    def _died(self, process: subprocess.Popen[bytes]) -> Answer:
        # Its standard error leads into the run's log, but for what went wrong before there was a run.
        _, said = process.communicate()
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        why = f": {last}" if last else "; the run's delivery/relay.log may say why"
        return Answer("broken", f"the relay process for {self.target} ended with code {process.returncode}{why}")
