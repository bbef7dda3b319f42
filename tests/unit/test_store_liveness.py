"""Whether a run's writer is still there, judged on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trackbridge.journal.process import started_s
from trackbridge.store.liveness import Liveness, is_running
from trackbridge.store.records import Session

NOW_NS = 1_700_000_000_000_000_000
HERE = Liveness(900.0, now_ns=lambda: NOW_NS, host="here", boot="boot-1")


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def session(*, silent_s: float = 0.0, host: str = "here", boot: str | None = "boot-1", pid: int = 0,
            started: float | None = None) -> Session:  # fmt: skip
    last_ns = NOW_NS - int(silent_s * 1e9)
    return Session("s", host, boot, pid, started, started_ns=0, last_seen_ns=last_ns)


def test_running_process_is_alive_however_long_it_was_silent(process: subprocess.Popen[bytes]) -> None:
    assert HERE.is_alive(session(pid=process.pid, started=started_s(process.pid), silent_s=1e6))


def test_process_that_ended_is_not_alive(process: subprocess.Popen[bytes]) -> None:
    began = started_s(process.pid)
    process.kill()
    process.wait()

    assert not HERE.is_alive(session(pid=process.pid, started=began))


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="there are no zombies on Windows")
def test_killed_process_that_nobody_asked_after_is_not_alive(process: subprocess.Popen[bytes]) -> None:
    began = started_s(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    # Wait until it is dead, and leave it a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not HERE.is_alive(session(pid=process.pid, started=began))


@pytest.mark.skipif(started_s(os.getpid()) is None, reason="this system does not tell when a process began")
def test_pid_that_another_process_has_now_is_not_the_writer(process: subprocess.Popen[bytes]) -> None:
    began = started_s(process.pid)
    assert began is not None

    assert is_running(process.pid, began + 1.5)
    assert not is_running(process.pid, began - 60)


@pytest.mark.parametrize("pid", [-1, 2**31, 2**80])
def test_number_that_cannot_be_a_pid_is_no_process(pid: int) -> None:
    assert not is_running(pid, None)


def test_process_of_another_user_is_alive() -> None:
    assert is_running(1, None)


@pytest.mark.parametrize(("silent_s", "alive"), [(899, True), (901, False)])
@pytest.mark.parametrize("other", [{"host": "there"}, {"boot": "boot-0"}, {"pid": 0}])
def test_writer_elsewhere_counts_as_gone_after_the_limit_of_silence(
    other: dict[str, object], silent_s: float, alive: bool
) -> None:
    assert HERE.is_alive(session(silent_s=silent_s, **{"pid": os.getpid(), **other})) is alive  # type: ignore[arg-type]
