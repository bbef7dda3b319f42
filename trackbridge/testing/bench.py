"""A test bench for adapters: deliver as the relay does, and compare what the tracker shows with what was delivered."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from trackbridge.adapters.base import Adapter, Capabilities, Ending, Rejection, RemoteRef, Row, RunHeader, Support
from trackbridge.errors import DeliveryError
from trackbridge.events.models import MetricsLogged
from trackbridge.testing.rows import RowBuilder
from trackbridge.testing.seen import SeenRun, Tracker

FINISHED = Ending(status="finished", exit_code=0)
TIME_TOLERANCE_NS = 1_000_000
CONFIRM_WITHIN_S = 60.0


class Bench:
    """One run under test, the adapter that delivers it, and the tracker that gets it.

    Attributes:
        connect: makes a new adapter object.
        tracker: the tracker, read back without the adapter.
        rows: the run's rows.
    """

    def __init__(self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder) -> None:
        self.connect = connect
        self.tracker = tracker
        self.rows = rows

    @property
    def capabilities(self) -> Capabilities:
        """What the adapter says it can carry."""
        return self.connect().capabilities

    @property
    def seen(self) -> SeenRun:
        """The run as the tracker shows it now."""
        return self.tracker.seen(self.rows.header.run_id)

    def open(self, remote: RemoteRef | None = None) -> Adapter:
        """A new adapter object, open."""
        adapter = self.connect()
        adapter.open(self.rows.header, remote)
        return adapter

    def deliver(
        self, remote: RemoteRef | None = None, *, ending: Ending | None = FINISHED, counted: int = 0
    ) -> RemoteRef:
        """Open, hand over in batches what was not `counted` as delivered, wait for the confirmation, close."""
        adapter = self.connect()
        reference = adapter.open(self.rows.header, remote)
        if reference.delivered_rows is not None and reference.delivered_rows < counted:
            counted = 0
        for start in range(counted, len(self.rows.rows), 16):
            adapter.deliver(self.rows.rows[start : start + 16])
        confirm(adapter)
        adapter.close(ending)
        return reference

    def rejections(self) -> list[Rejection]:
        """Deliver everything as one batch and say what was rejected."""
        adapter = self.open()
        delivery = adapter.deliver(self.rows.rows)
        confirm(adapter)
        adapter.close(FINISHED)
        return list(delivery.rejections)

    def assert_all_arrived(self) -> None:
        """Every point of every row is at the tracker once, in order, with its step and its time."""
        assert_points(self.seen, self.rows.rows, self.capabilities)


def confirm(adapter: Adapter) -> None:
    """Wait until the adapter says that the tracker has everything."""
    deadline = time.monotonic() + CONFIRM_WITHIN_S
    while not adapter.flush(5.0):
        assert time.monotonic() < deadline, f"nothing was confirmed within {CONFIRM_WITHIN_S:.0f} s"


def is_confirmed_within(adapter: Adapter, rows: Sequence[Row], timeout_s: float) -> bool:
    """Hand over and ask for the confirmation; an error of delivery counts as no."""
    try:
        adapter.deliver(rows)
        return adapter.flush(timeout_s)
    except DeliveryError:
        return False


def give_up(adapter: Adapter) -> None:
    """Close a connection that may be broken, as the relay does before it opens another."""
    try:
        adapter.close(None)
    except DeliveryError:
        pass  # broken is what the test has made it


def deliver_and_be_killed(
    connect: Callable[[], Adapter], run: RunHeader, remote: RemoteRef, rows: Sequence[Row], *, confirm_s: float
) -> None:
    """Hand the rows over in another process, which waits `confirm_s` for the confirmation and is then killed."""
    child = multiprocessing.get_context("spawn").Process(
        target=_deliver_and_die, args=(connect, run, remote, rows, confirm_s)
    )
    child.start()
    child.join(120)
    assert child.exitcode == -_KILL, f"the child ended by itself: {child.exitcode}"
    child.close()


def assert_points(seen: SeenRun, rows: Sequence[Row], capabilities: Capabilities) -> None:
    """Every value of every row is there once, in order, with step and time where the tracker carries them."""
    logged = [row.event for row in rows if isinstance(row.event, MetricsLogged)]
    for metric in sorted({name for event in logged for name in event.metrics}):
        expected = [event for event in logged if metric in event.metrics]
        points = [point for point in seen.points if point.metric == metric]
        assert [point.value for point in points] == [event.metrics[metric] for event in expected]
        if capabilities.original_step == "yes":
            assert [point.step for point in points] == [event.step for event in expected]
        if capabilities.original_time == "yes":
            late_ns = [(point.time_ns or 0) - event.t for point, event in zip(points, expected, strict=True)]
            assert [late for late in late_ns if abs(late) > TIME_TOLERANCE_NS] == []


def assert_config(seen: Mapping[str, Any], expected: Mapping[str, Any], support: Support) -> None:
    """The expected part of a config is there: the same nested values, or as flat text where the tracker says so."""
    if support == "yes":
        assert {scope: seen.get(scope) for scope in expected} == expected
        return
    for path, text in _leaves(expected):
        assert path in seen
        assert seen[path] == text or text.startswith(str(seen[path])[:200])


_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def _deliver_and_die(
    connect: Callable[[], Adapter], run: RunHeader, remote: RemoteRef, rows: Sequence[Row], confirm_s: float
) -> None:
    adapter = connect()
    adapter.open(run, remote)
    adapter.deliver(rows)
    deadline = time.monotonic() + confirm_s
    while time.monotonic() < deadline and not adapter.flush(1.0):
        pass
    os.kill(os.getpid(), _KILL)


def _leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", str(value)
