"""Deliveries to Neptune by real processes that are killed: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from neptune_kit import add_steps, bench_at, connected, deliver_and_be_killed, start_delivery

from trackbridge.events.models import RunResumed
from trackbridge.testing.bench import Bench
from trackbridge.testing.fake_neptune import FakeNeptune


@pytest.fixture
def neptune(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
    with connected(monkeypatch) as server:
        server.keeps_repeats = True
        yield server


@pytest.fixture
def bench(neptune: FakeNeptune, tmp_path: Path) -> Bench:
    return bench_at(neptune, tmp_path)


@pytest.mark.parametrize("confirmed", [False, True], ids=["before the confirmation", "after it"])
def test_six_kills_during_one_run_lose_and_double_nothing(bench: Bench, confirmed: bool) -> None:
    add_steps(bench.rows, 1, 120)
    remote = bench.deliver(ending=None)
    counted = len(bench.rows.rows)
    for kill in range(6):
        add_steps(bench.rows, 121 + 40 * kill, 160 + 40 * kill)
        batch = bench.rows.rows[counted:]
        deliver_and_be_killed(bench.rows.header, remote, batch, confirms=confirmed)
        # The relay counts only what it saw confirmed: the last kill may be before that, too.
        counted = len(bench.rows.rows) if confirmed and kill % 2 else counted

    bench.deliver(remote, counted=counted)

    assert bench.tracker.run_ids() == [bench.rows.header.run_id]
    bench.assert_all_arrived()


def test_a_kill_while_a_request_is_on_its_way_loses_and_doubles_nothing(bench: Bench, neptune: FakeNeptune) -> None:
    # What the server still works on when its client dies comes after our look at it: Neptune refuses the repeat.
    neptune.keeps_repeats = False
    remote = bench.deliver(ending=None)
    for kill in range(4):
        add_steps(bench.rows, 1 + 50 * kill, 50 + 50 * kill)
        with neptune.trouble(delay_s=0.3, where="logFloats"):
            seen_before = len(neptune.requests)
            child = start_delivery(bench.rows.header, remote, bench.rows.rows, confirms=True)
            wait_for(lambda: any(b"logFloats" in request.body for request in neptune.requests[seen_before:]))  # noqa: B023
            os.kill(child.pid, signal.SIGKILL)
            child.join()

    bench.deliver(remote)

    bench.assert_all_arrived()


def test_pictures_of_a_killed_delivery_are_there_once(bench: Bench) -> None:
    remote = bench.deliver(ending=None)
    for step in range(1, 6):
        path = bench.rows.header.folder / f"{step}.png"
        path.write_bytes(bytes([step]) * 20)
        bench.rows.add_media(step, "eval/sample", Picture(path))
    deliver_and_be_killed(bench.rows.header, remote, bench.rows.rows[:4], confirms=False)

    bench.deliver(remote)

    assert [item.step for item in bench.seen.media] == [1, 2, 3, 4, 5]


def test_a_relay_that_lost_its_cursor_doubles_nothing(bench: Bench) -> None:
    add_steps(bench.rows, 1, 30)
    bench.rows.add(RunResumed, from_step=20)
    add_steps(bench.rows, 21, 40)
    bench.deliver(ending=None)

    bench.deliver(None)

    assert bench.tracker.run_ids() == [bench.rows.header.run_id]
    bench.assert_all_arrived()


def test_a_run_that_lost_its_ledger_doubles_nothing(bench: Bench, neptune: FakeNeptune) -> None:
    add_steps(bench.rows, 1, 30)
    remote = bench.deliver(ending=None)
    del neptune.run(bench.rows.header.run_id).fields["trackbridge/ledger"]
    add_steps(bench.rows, 31, 40)

    bench.deliver(remote, counted=31)

    bench.assert_all_arrived()


class Picture:
    """A picture whose bytes are those of a file."""

    media = "image"
    caption = None

    def __init__(self, path: Path) -> None:
        self._path = path

    def encode(self) -> Any:
        from trackbridge.run.media import Encoded

        return Encoded(self._path.read_bytes(), "png")


def wait_for(condition: Any, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
