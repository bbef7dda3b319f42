"""A study on a Ray cluster: Ray places the trainings, and starts those of a lost node again on another.

What a restarted training needs to go on is in its run's folder, so all nodes must see the root at the same path.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trackbridge.errors import MissingDependencyError, PipelineConfigError
from trackbridge.finetune.display import TrainingDisplay
from trackbridge.finetune.engines.worker import Message, SentDisplay, show
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.plan import PlannedRun
from trackbridge.store.store import Store, open_store

_POLL_S = 0.2
_CONNECT_TIMEOUT_S = 10
# of a node or worker that died; a training that kills its worker every time must end some day
_MAX_RESTARTS = 5


class RayCluster:
    """Trains as many runs at once as the cluster has room for: one CPU each, and one GPU where there are any."""

    def __init__(self, store: Store, display: TrainingDisplay, address: str) -> None:
        self._store = store
        self._display = display
        self._ray = _connected(address)

    def outcomes(self, runs: Sequence[PlannedRun]) -> list[Outcome]:
        """Train the runs; their outcomes in the order given."""
        ray = self._ray
        messages = _message_queue(ray)
        n_gpus = 1 if ray.cluster_resources().get("GPU") else 0
        train = ray.remote(max_retries=_MAX_RESTARTS, num_cpus=1, num_gpus=n_gpus)(_train)
        waiting = {train.remote(run, self._store.root, messages): run for run in runs}
        ended: dict[str, Outcome] = {}
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=_POLL_S)
            ended |= self._heard(messages)
            for task in done:
                run = waiting.pop(task)
                if run.name not in ended:
                    ended[run.name] = self._broken(run, task)
        messages.shutdown()
        return [ended[run.name] for run in runs]

    def _heard(self, messages: Any) -> dict[str, Outcome]:
        """Show what the workers sent since the last look; the outcomes among it, by the name of their run."""
        sent: list[Message] = messages.get_nowait_batch(messages.qsize())
        outcomes = [show(message, self._display, self._store) for message in sent]
        return {outcome.planned.name: outcome for outcome in outcomes if outcome is not None}

    def _broken(self, run: PlannedRun, task: Any) -> Outcome:
        """The outcome of a run whose task ended without one: its worker died once too often."""
        try:
            self._ray.get(task)
            error = "its worker ended without a word"
        except self._ray.exceptions.RayError as reason:
            error = " ".join(f"{type(reason).__name__}: {reason}".split())
        outcome = Outcome(run, "failed", error=error)
        self._display.run_ended(outcome)
        return outcome


def _train(planned: PlannedRun, root: Path, messages: Any) -> None:
    """What a worker does. A run that looks alive is waited for: it may be this one's own, of a node that was lost."""
    from trackbridge.finetune.quiet import quiet_transformers
    from trackbridge.finetune.runner import Runner

    with quiet_transformers():
        Runner(open_store(root), SentDisplay(messages.put)).outcome_awaited(planned)


def _connected(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError.for_extra("the engine ray", "ray", "study") from error
    if not ray.is_initialized():
        try:
            _refuse_silence(address)
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False)
        except OSError as error:
            raise PipelineConfigError(
                f"no Ray cluster at {address!r}: {error}; start one with `ray start --head`, or give its address"
            ) from error
    return ray


def _refuse_silence(address: str) -> None:
    """Ask a named address once; Ray itself would ask it for minutes.

    Raises:
        OSError: nothing answers there.
    """
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), timeout=_CONNECT_TIMEOUT_S).close()


def _message_queue(ray: Any) -> Any:
    """A queue on this machine: on a node that is lost it would be lost too."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
