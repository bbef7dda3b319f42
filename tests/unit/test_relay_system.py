"""Samples of a real process and its children, in a journal of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackbridge.events.models import MetricsLogged, RunFinished, WriterOpened
from trackbridge.journal.process import started_s
from trackbridge.journal.reader import read_file
from trackbridge.relay.system import SystemSampler
from trackbridge.relay.watch import RunWatch
from trackbridge.settings import visible_gpus
from trackbridge.store.store import open_store
from trackbridge.testing.journals import ToldJournal
from trackbridge.testing.written import problems

# A parent with a child that holds 200 MB; both wait until their input ends.
TRAINING = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "held = bytearray(200 << 20); print('held', flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
child.stdout.readline()
print("ready", flush=True)
input()
"""


@pytest.fixture
def training() -> Iterator[int]:
    """The pid of a process that has a child."""
    with subprocess.Popen(
        [sys.executable, "-c", TRAINING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate("\n")


def sample(folder: Path, journal: ToldJournal, *, samples: int) -> None:
    """Sample so many times, then end the run."""
    sleeps = iter(range(1_000_000))

    def sleep(seconds: float) -> None:
        if next(sleeps) == samples:
            journal.tell(RunFinished, status="finished").write(folder.parent.parent)

    SystemSampler(RunWatch(folder, lambda session: True), sleep=sleep, every_s=0.0).sample_until_end()


def system_events(folder: Path, main: ToldJournal) -> tuple[WriterOpened, list[MetricsLogged]]:
    (path,) = [path for path in folder.glob("journal-*.jsonl") if path.name != main.file]
    assert problems(path) == []
    events = read_file(path).events
    assert isinstance(events[0], WriterOpened)
    return events[0], [event for event in events if isinstance(event, MetricsLogged)]


def test_the_training_and_its_children_are_sampled(
    tmp_path: Path, training: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackbridge.relay.system.LOOK_EVERY_S", 0.0)
    journal = ToldJournal("main", host="here", pid=training, pid_started=started_s(training)).start()
    folder = journal.write(tmp_path).parent

    sample(folder, journal, samples=3)

    opened, events = system_events(folder, journal)
    assert (opened.role, opened.session_id, opened.pid) == ("system", journal.writer_id, training)
    assert len(events) == 4
    metrics = events[-1].metrics
    assert metrics["system/process_memory_mib"] > 200
    assert metrics["system/process_count"] == 2
    assert 0 < metrics["system/memory_percent"] <= 100
    assert {"system/cpu_percent", "system/disk_percent", "system/process_cpu_percent"} < metrics.keys()


def test_a_process_that_is_gone_already_is_not_sampled_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = ToldJournal("main", pid=2**31 - 2).start()
    folder = journal.write(tmp_path).parent

    sample(folder, journal, samples=1)

    assert "no system metrics" in caplog.text
    assert len(list(folder.glob("journal-*.jsonl"))) == 1


def test_a_second_sampler_has_a_journal_of_its_own_and_both_are_one_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackbridge.relay.system.LOOK_EVERY_S", 0.0)
    journal = ToldJournal("main", pid=os.getpid()).start()
    folder = journal.write(tmp_path).parent
    sample(folder, journal, samples=1)
    del journal.events[-1]
    journal.write(tmp_path)

    sample(folder, journal, samples=1)

    assert len(list(folder.glob("journal-*.jsonl"))) == 3
    record = open_store(tmp_path).run(journal.run_id)
    assert (len(record.sessions), record.status, len(record.problems)) == (1, "finished", 0)


@pytest.mark.parametrize(
    ("told", "visible"),
    [(None, None), ("", []), ("-1", []), ("2, 3", ["2", "3"]), ("GPU-8f2a", ["GPU-8f2a"])],
)
def test_only_the_gpus_of_the_training_are_sampled(
    told: str | None, visible: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if told is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)

    assert visible_gpus() == visible
