"""What the W&B tests share: the fake server in this process's environment, runs of many rows, and a relay to kill."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import wandb

from trackbridge.adapters.base import Adapter, Row, RunHeader
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.testing.bench import FINISHED, Bench
from trackbridge.testing.fake_wandb import FakeWandb
from trackbridge.testing.fake_wandb_run import FakeWandbRun
from trackbridge.testing.rows import RowBuilder


class HurriedAdapter(WandbAdapter):
    """Does not spare the server: it is ours."""

    pause_s = 0.0


@contextmanager
def fake_wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    """The fake server; the SDK of this process starts anew, because it reads its variables once."""
    with FakeWandb() as server:
        wandb.teardown()
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
        wandb.teardown()


def at_server(bench: Bench) -> FakeWandbRun:
    """The run of a bench as the fake server keeps it."""
    assert isinstance(bench.tracker, FakeWandb)
    return bench.tracker.runs[bench.rows.header.run_id]


def build_rows(folder: Path, count: int, **header: object) -> RowBuilder:
    """A run with `count` rows of three scalars."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = RowBuilder(folder, **header)
    for step in range(1, count + 1):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5 * step, "train/norm": float(step)})
    return rows


def deliver_like_a_relay(
    connect: Callable[[], Adapter], run: RunHeader, rows: Sequence[Row], cursor: Path, batch_rows: int
) -> None:
    """Deliver from the cursor on, and move the cursor after each confirmation."""
    adapter = connect()
    remote = adapter.open(run, None)
    delivered = json.loads(cursor.read_text()) if cursor.exists() else 0
    if remote.delivered_rows is not None and remote.delivered_rows < delivered:
        delivered = 0
    while delivered < len(rows):
        adapter.deliver(rows[delivered : delivered + batch_rows])
        assert adapter.flush(60.0)
        delivered = min(delivered + batch_rows, len(rows))
        draft = cursor.with_suffix(".draft")
        draft.write_text(json.dumps(delivered))
        draft.replace(cursor)
    adapter.close(FINISHED)


def deliver_through_kills(
    connect: Callable[[], Adapter],
    rows: RowBuilder,
    cursor: Path,
    *,
    progress: Callable[[], int],
    kills: int,
    batch_rows: int,
) -> None:
    """Deliver in processes of which `kills` are killed, each a random moment after another share has arrived."""
    dice = random.Random(kills)
    arrived = iter([*sorted(dice.sample(range(1, len(rows.rows) // 2), kills)), None])
    while True:
        child = multiprocessing.get_context("spawn").Process(
            target=deliver_like_a_relay, args=(connect, rows.header, rows.rows, cursor, batch_rows)
        )
        child.start()
        if (share := next(arrived)) is None:
            child.join(120)
            assert child.exitcode == 0
            return
        wait_until(lambda share=share: progress() >= share)
        time.sleep(dice.uniform(0.0, 0.15))
        child.kill()
        child.join()
        assert child.exitcode == -9


def wait_until(is_so: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for something that another process brings about."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
