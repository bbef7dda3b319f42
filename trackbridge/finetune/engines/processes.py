"""Several trainings at once on this machine, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any

from trackbridge.finetune.display import TrainingDisplay
from trackbridge.finetune.engines.worker import Message, show, train_in_worker
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.settings import let_this_process_see_one_gpu
from trackbridge.store.store import Store

_END_TIMEOUT_S = 5.0


@dataclass
class _Job:
    planned: PlannedRun
    process: SpawnProcess
    slot: int
    outcome: Outcome | None = None


class Processes:
    """Trains up to `jobs` runs at once. A process that dies takes its own run with it and no other."""

    def __init__(self, store: Store, display: TrainingDisplay, jobs: int) -> None:
        self._store = store
        self._display = display
        self._jobs = jobs

    def outcomes(self, runs: Sequence[PlannedRun]) -> list[Outcome]:
        """Train the runs; their outcomes in the order given."""
        # SIGTERM unwinds this process as Ctrl-C does, instead of leaving its workers behind
        with _handled(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)):
            return self._outcomes(runs)

    def _outcomes(self, runs: Sequence[PlannedRun]) -> list[Outcome]:
        waiting, free = deque(runs), deque(range(self._jobs))
        active: dict[Connection, _Job] = {}
        ended: dict[str, Outcome] = {}
        try:
            while waiting or active:
                while waiting and free:
                    connection, job = self._start(waiting.popleft(), free.popleft())
                    active[connection] = job
                for ready in wait(list(active)):
                    assert isinstance(ready, Connection)  # nothing else was given to wait for
                    if self._is_done(ready, active[ready]):
                        job = active.pop(ready)
                        ended[job.planned.name] = self._outcome(job)
                        free.append(job.slot)
        finally:
            _end([job.process for job in active.values()])
        return [ended[run.name] for run in runs]

    def _start(self, planned: PlannedRun, slot: int) -> tuple[Connection, _Job]:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe(duplex=False)
        arguments = (planned, self._store.root, theirs, slot, self._jobs)
        process = spawning.Process(target=_work, args=arguments, name=planned.name)
        # Ctrl-C reaches the whole group, and is this process's to answer: a worker would answer with a traceback
        with _handled(signal.SIGINT, signal.SIG_IGN):
            process.start()
        # closed here, so that the worker's death is the end of the pipe
        theirs.close()
        return ours, _Job(planned, process, slot)

    def _is_done(self, connection: Connection, job: _Job) -> bool:
        """Show the next thing a worker sent; True when there is nothing to come."""
        try:
            job.outcome = show(connection.recv(), self._display, self._store) or job.outcome
        except EOFError:
            connection.close()
            return True
        return False

    def _outcome(self, job: _Job) -> Outcome:
        job.process.join()
        if job.outcome is None:
            job.outcome = Outcome(job.planned, "failed", error=_death(job.process.exitcode))
            self._display.run_ended(job.outcome)
        return job.outcome


def _work(planned: PlannedRun, root: Path, connection: Connection, slot: int, jobs: int) -> None:
    let_this_process_see_one_gpu(slot)
    import torch

    # the processors shared out; a config that names a number of threads has it all the same
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    train_in_worker(planned, root, partial(_send, connection))


def _send(connection: Connection, message: Message) -> None:
    # a study that was killed shows nothing any more, which is no reason to stop the training
    with suppress(OSError):
        connection.send(message)


def _end(processes: Sequence[SpawnProcess]) -> None:
    """Tell the workers to end, each of which ends its run before."""
    if os.name == "nt":
        # to be told is to be killed there, and Ctrl-C reached them all the same
        wait([process.sentinel for process in processes], _END_TIMEOUT_S)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


@contextmanager
def _handled(
    number: signal.Signals, handler: Callable[[int, FrameType | None], Any] | signal.Handlers
) -> Iterator[None]:
    """A stretch of code with this handler of a signal; signals are the main thread's, elsewhere nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was killed by {signal.Signals(-exit_code).name}; the same command takes the run up again"
    return f"its process ended with code {exit_code}; the same command takes the run up again"
