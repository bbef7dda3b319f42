"""When the writer checks and syncs what it wrote, who it says it is, and what a child or a thread does to it."""

from __future__ import annotations

import os
import threading
import zlib
from pathlib import Path

import pytest

from trackbridge.events.models import (
    ConfigLogged,
    Heartbeat,
    Integrity,
    MetricsLogged,
    RunFinished,
    TagsSet,
    WriterOpened,
)
from trackbridge.journal import writer as writer_module
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import read_file
from trackbridge.journal.writer import INTEGRITY_EVERY_LINES, JournalWriter

IDENTITY = {"v": 1, "run_id": "a" * 32, "host": "here", "pid": 42}


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The file descriptors that were synced; each is really synced too."""
    seen: list[int] = []
    sync_file = writer_module._sync_file
    monkeypatch.setattr(writer_module, "_sync_file", lambda fd: (seen.append(fd), sync_file(fd)))
    return seen


def test_the_first_line_says_who_writes(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "new" / "folder", IDENTITY)
    writer.close()
    opened = read_file(writer.path).events[0]
    assert isinstance(opened, WriterOpened)
    assert (opened.seq, opened.v, opened.run_id, opened.host, opened.pid) == (0, 1, "a" * 32, "here", 42)
    assert opened.writer_id == opened.session_id == writer.writer_id
    assert writer.path.name == f"journal-{writer.writer_id}.jsonl"


def test_a_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    for step in range(3):
        assert writer.append_finite(step, {"loss": 0.5})
        assert writer.path.read_bytes().endswith(b'"step":%d,"metrics":{"loss":0.5}}\n' % step)
    assert writer.append_finite(3, {"loss": 0.5}, 0.25)
    assert writer.path.read_bytes().endswith(b'"step":3,"metrics":{"loss":0.5},"epoch":0.25}\n')
    assert writer.append(TagsSet, tags=["a"])
    assert writer.path.read_bytes().endswith(b'"tags":["a"]}\n')
    writer.close()


def test_an_integrity_line_stands_after_every_four_thousand_lines_and_at_the_end(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    for step in range(2 * INTEGRITY_EVERY_LINES):
        writer.append_finite(step, {"loss": 0.5})
    writer.append(RunFinished, status="finished")
    writer.close()
    events = read_file(writer.path).events
    at = [number for number, event in enumerate(events) if isinstance(event, Integrity)]
    assert INTEGRITY_EVERY_LINES == 4000
    assert at == [4000, 8001, len(events) - 1]


def test_integrity_lines_hold_the_sum_of_all_bytes_since_the_one_before(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    writer.append(ConfigLogged, scope="x", config={"text": "\u00e9"})
    writer.sync()
    writer.append(Heartbeat)
    writer.close()
    content, start = writer.path.read_bytes(), 0
    found = [event for event in read_file(writer.path).events if isinstance(event, Integrity)]
    assert len(found) == 2
    for event in found:
        end = content.index(b'{"kind":"integrity"', start)
        covered = content[start : content.index(b',"crc32":', end)]
        assert (event.size_bytes, event.crc32) == (end - start, zlib.crc32(covered))
        start = content.index(b"\n", end) + 1
    assert start == len(content)


def test_nothing_new_makes_no_integrity_line(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    writer.sync()
    size_bytes = writer.path.stat().st_size
    writer.sync()
    writer.close()
    assert writer.path.stat().st_size == size_bytes


def test_data_is_synced_at_checkpoints_and_at_the_end_not_at_each_call(tmp_path: Path, syncs: list[int]) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    for step in range(3000):
        writer.append_finite(step, {"loss": 0.5})
        writer.append(Heartbeat)
    assert len(syncs) <= 1  # one where writing all that took five seconds
    before = len(syncs)
    writer.sync()
    assert len(syncs) == before + 1
    writer.close()
    assert len(syncs) == before + 2


@pytest.mark.parametrize("kind", ["metrics", "other"])
def test_data_is_synced_every_five_seconds_by_whatever_is_written_next(
    tmp_path: Path, syncs: list[int], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    now_ns = 1_785_000_000_000_000_000
    monkeypatch.setattr(writer_module, "time_ns", lambda: now_ns)
    writer = JournalWriter(tmp_path, IDENTITY)
    expected = []
    for second in range(12):
        now_ns = 1_785_000_000_000_000_000 + second * 1_000_000_000
        writer.append_finite(second, {"loss": 0.5}) if kind == "metrics" else writer.append(Heartbeat)
        expected.append(second // 5)
        assert len(syncs) == expected[-1]
    writer.close()


def test_threads_write_whole_lines_in_one_sequence(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)

    def log(number: int) -> None:
        for step in range(500):
            writer.append_finite(step, {f"thread/{number}": float(step)})

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    read = read_file(writer.path)
    assert read.problems == []
    for number in range(4):
        steps = [
            event.step
            for event in read.events
            if isinstance(event, MetricsLogged) and f"thread/{number}" in event.metrics
        ]
        assert steps == list(range(500))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_writes_a_journal_of_its_own_in_the_same_session(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    writer.append(Heartbeat)
    child = os.fork()
    if child == 0:
        writer.append_finite(1, {"from/child": 1.0})
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.append_finite(2, {"from/parent": 2.0})
    writer.close()
    reads = [read_file(path) for path in journal_files(tmp_path)]
    assert [read.problems for read in reads] == [[], []]
    parent, of_child = (read.events[0] for read in reads)
    assert isinstance(of_child, WriterOpened)
    assert (of_child.role, of_child.pid, of_child.session_id) == ("child", child, writer.writer_id)
    assert of_child.writer_id != writer.writer_id
    assert [set(event.metrics) for read in reads for event in read.events if isinstance(event, MetricsLogged)] == [
        {"from/parent"},
        {"from/child"},
    ]
    assert isinstance(parent, WriterOpened)
    assert parent.role == "main"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_that_logs_nothing_makes_no_file(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    child = os.fork()
    if child == 0:
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    assert journal_files(tmp_path) == [writer.path]


def test_two_writers_in_one_folder_have_a_file_each(tmp_path: Path) -> None:
    writers = [JournalWriter(tmp_path, IDENTITY) for _ in range(2)]
    for writer in writers:
        writer.close()
    assert len(journal_files(tmp_path)) == 2


def test_an_event_that_cannot_be_encoded_raises_and_leaves_the_journal_sound(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, IDENTITY)
    with pytest.raises(UnicodeEncodeError):
        writer.append(TagsSet, tags=["\ud800"])
    with pytest.raises(UnicodeEncodeError):
        writer.append_finite(1, {"\ud800": 1.0})
    writer.append(Heartbeat)
    writer.close()
    read = read_file(writer.path)
    assert (len(read.events), read.problems) == (3, [])
