"""A delivery to W&B that is killed again and again: the server has every row once, in order, with its time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from wandb_kit import HurriedAdapter, build_rows, deliver_through_kills, fake_wandb

from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.testing.bench import assert_points
from trackbridge.testing.fake_wandb import FakeWandb


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb(monkeypatch) as server:
        yield server


def test_a_delivery_killed_at_random_moments_is_exactly_once(server: FakeWandb, tmp_path: Path) -> None:
    rows = build_rows(tmp_path / "run", 3000)
    arrived = lambda: len(server.runs[rows.header.run_id].history) if server.runs else 0  # noqa: E731

    deliver_through_kills(HurriedAdapter, rows, tmp_path / "cursor", progress=arrived, kills=5, batch_rows=50)

    run = server.runs[rows.header.run_id]
    assert (len(run.history), run.history.count(None), run.rewritten) == (3000, 0, 0)
    assert [row["_step"] for row in run.rows] == [row.number for row in rows.rows[1:]]
    assert_points(run.as_seen(), rows.rows, WandbAdapter.capabilities)
    assert run.state == "finished"


def test_an_offline_delivery_killed_at_random_moments_is_exactly_once(server: FakeWandb, tmp_path: Path) -> None:
    from test_wandb_offline import sync

    rows = build_rows(tmp_path / "run", 3000)
    connect = partial(WandbAdapter, mode="offline", folder=tmp_path / "offline")

    cursor = tmp_path / "cursor"
    counted = lambda: int(cursor.read_text() or 0) if cursor.exists() else 0  # noqa: E731

    deliver_through_kills(connect, rows, cursor, progress=counted, kills=2, batch_rows=250)
    sync(tmp_path / "offline")

    run = server.runs[rows.header.run_id]
    assert len(run.history) == 3000
    assert_points(run.as_seen(), rows.rows, WandbAdapter.capabilities)
