"""A Neptune server on loopback with a run to deliver to it, and children that deliver and are killed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trackbridge.adapters.base import RemoteRef, Row, RunHeader
from trackbridge.adapters.neptune import NeptuneAdapter
from trackbridge.testing.bench import Bench, is_confirmed_within
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.rows import RowBuilder

# A forked server has the SDK loaded, which takes a second, so that each child that is killed starts at once.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["trackbridge.adapters.neptune", "neptune.internal.backends.hosted_neptune_backend"])


@contextmanager
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
    """A server, and an environment that points the SDK to it."""
    with FakeNeptune() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


def bench_at(server: FakeNeptune, folder: Path) -> Bench:
    """A run without rows in a folder, and what delivers it to the server."""
    rows = RowBuilder(folder / "run", notes="as logged")
    rows.header.folder.mkdir()
    return Bench(NeptuneAdapter, server, rows)


def add_steps(rows: RowBuilder, first: int, last: int) -> None:
    """Log two metrics at each of these steps."""
    for step in range(first, last + 1):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5 * step})


def deliver_and_be_killed(header: RunHeader, remote: RemoteRef, rows: Sequence[Row], *, confirms: bool) -> None:
    """Hand the rows over in another process, which is killed right after, or once they are confirmed."""
    child = start_delivery(header, remote, rows, confirms=confirms)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def start_delivery(header: RunHeader, remote: RemoteRef, rows: Sequence[Row], *, confirms: bool) -> Any:
    """A process that hands the rows over and then kills itself."""
    environment = {name: value for name, value in os.environ.items() if name.startswith(("NEPTUNE_", "OAUTHLIB_"))}
    child = CHILDREN.Process(target=deliver_and_die, args=(environment, header, remote, rows, confirms))
    child.start()
    return child


def deliver_and_die(
    environment: Mapping[str, str], header: RunHeader, remote: RemoteRef, rows: Sequence[Row], confirms: bool
) -> None:
    os.environ.update(environment)
    logging.disable(logging.CRITICAL)
    adapter = NeptuneAdapter()
    adapter.open(header, remote)
    adapter.deliver(rows)
    if confirms:
        assert is_confirmed_within(adapter, (), 30.0)
    os.kill(os.getpid(), signal.SIGKILL)
