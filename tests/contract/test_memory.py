"""The contract, held by the reference adapter in memory and with one file a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from trackbridge.adapters.base import Adapter, RemoteRef
from trackbridge.adapters.memory import RUNS, MemoryAdapter, MemoryRun, read_offline
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    MediaLogged,
    MetricsLogged,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.testing.bench import Bench
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun


class InMemory:
    """The runs of this process."""

    def run_ids(self) -> list[str]:
        return list(RUNS)

    def seen(self, run_id: str) -> SeenRun:
        return shown(RUNS[run_id])


class InFolder:
    """The runs of a folder, one file a row."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run_ids(self) -> list[str]:
        return [entry.name for entry in self.folder.iterdir()]

    def seen(self, run_id: str) -> SeenRun:
        return shown(read_offline(self.folder / run_id))


def shown(run: MemoryRun) -> SeenRun:
    events = [event for _, event in sorted(run.rows.items())]
    started = next(event for event in events if isinstance(event, RunStarted))
    tags, config, summary = started.tags, {}, {}
    for event in events:
        if isinstance(event, TagsSet):
            tags = event.tags
        elif isinstance(event, ConfigLogged):
            config.setdefault(event.scope, {}).update(event.config)
        elif isinstance(event, SeedsLogged):
            config["seeds"] = {"init": event.init, "data": event.data, "dropout": event.dropout}
        elif isinstance(event, EnvironmentCaptured):
            config["environment"] = event.environment
        elif isinstance(event, SummaryLogged):
            summary.update(event.values)
    return SeenRun(
        name=started.name,
        group=started.group,
        tags=frozenset(tags),
        notes=started.notes,
        config=config,
        summary=summary,
        points=tuple(
            SeenPoint(name, value, event.step, event.t)
            for event in events
            if isinstance(event, MetricsLogged)
            for name, value in event.metrics.items()
        ),
        media=tuple(
            SeenMedia(event.name, event.media, event.step) for event in events if isinstance(event, MediaLogged)
        ),
        artifacts=frozenset(
            event.name if isinstance(event, ArtifactLogged) else f"step-{event.step}"
            for event in events
            if isinstance(event, (ArtifactLogged, CheckpointSaved))
        ),
        status={None: "running", "lost": "killed"}.get(status := run.ending and run.ending.status, status),
        error=(run.ending and run.ending.error) or "",
        console=(run.ending and run.ending.console) or "",
    )


class TestInMemory(AdapterContract):
    @pytest.fixture
    def connect(self) -> Callable[[], Adapter]:
        return MemoryAdapter

    @pytest.fixture
    def tracker(self) -> Iterator[InMemory]:
        RUNS.clear()
        yield InMemory()
        RUNS.clear()

    def deliver_and_be_killed(self, bench: Bench, remote: RemoteRef, upto: int, confirm_s: float) -> None:
        bench.open(remote).deliver(bench.rows.rows[:upto])


class TestInFolder(AdapterContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(MemoryAdapter, mode="offline", folder=tmp_path / "memory")

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> InFolder:
        return InFolder(tmp_path / "memory")
