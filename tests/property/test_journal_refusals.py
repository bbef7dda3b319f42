"""A disk that refuses lines, or takes half of them, at any moment: what is in the journal is whole, the rest told."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_strategies import IDENTITY

from trackbridge.errors import JournalWriteError
from trackbridge.events.models import EventsDropped, Heartbeat, MetricsLogged
from trackbridge.journal import writer as writer_module
from trackbridge.journal.reader import read_file
from trackbridge.journal.writer import JournalWriter


@dataclass
class UnsteadyDisk:
    """A `write` that does what it is told next: take all or so many bytes, refuse, or take all as Ctrl-C strikes."""

    answers: list[str | int | None]

    def write(self, fd: int, data: bytes) -> int:
        answer = self.answers.pop(0) if self.answers else None
        if answer == "Ctrl-C":
            os.write(fd, data)
            raise KeyboardInterrupt
        if isinstance(answer, str):
            number = getattr(errno, answer)
            raise OSError(number, os.strerror(number))
        return os.write(fd, data if answer is None else data[:answer])


answers = st.lists(st.sampled_from([None, None, 1, 30, 120, "ENOSPC", "EIO", "EDQUOT"]), max_size=40)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A new folder at each call, below pytest's own."""
    return lambda: tmp_path_factory.mktemp("run")


def _append_by_turns(writer: JournalWriter, step: int) -> bool:
    """A metric at a step, by turns through the call of the training loop and the general one."""
    if step % 3:
        return writer.append_finite(step, {"loss": step / 7})
    return writer.append(MetricsLogged, step=step, metrics={"loss": step / 7})


def _assert_told(path: Path, written: list[bool]) -> None:
    read = read_file(path)
    steps = [event.step for event in read.events if isinstance(event, MetricsLogged)]
    dropped = [event for event in read.events if isinstance(event, EventsDropped)]
    assert read.problems == []
    assert path.read_bytes().endswith(b"}\n")
    assert [event.seq for event in read.events] == list(range(len(read.events)))
    assert steps == [step for step, is_written in enumerate(written) if is_written]
    assert sum(event.counts["metrics_logged"] for event in dropped) == written.count(False)
    assert all(event.reason in ("ENOSPC", "EIO", "EDQUOT") and event.since_t <= event.t for event in dropped)


@given(answers=answers, n=st.integers(1, 25))
@example(answers=[None, "EIO", 30], n=3)
@example(answers=[5, "ENOSPC", 5, "ENOSPC"], n=3)
@settings(max_examples=200, deadline=None)
def test_each_event_is_in_the_journal_or_counted_as_dropped(folder, answers, n: int) -> None:
    disk = UnsteadyDisk([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "os_write", disk.write)
        writer = JournalWriter(folder(), IDENTITY)
        disk.answers = list(answers)
        written = [_append_by_turns(writer, step) for step in range(n)]
        disk.answers.clear()
        writer.close()
    _assert_told(writer.path, written)


@given(answers=answers, n=st.integers(1, 25))
@settings(max_examples=60, deadline=None)
def test_a_strict_writer_raises_for_every_line_it_dropped(folder, answers, n: int) -> None:
    disk = UnsteadyDisk([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "os_write", disk.write)
        writer = JournalWriter(folder(), IDENTITY, strict=True)
        disk.answers = list(answers)
        refused = set()
        for step in range(n):
            try:
                writer.append_finite(step, {"loss": step / 7})
            except JournalWriteError:
                refused.add(step)
        disk.answers.clear()
        writer.close()
    events = read_file(writer.path).events
    steps = {event.step for event in events if isinstance(event, MetricsLogged)}
    n_dropped = sum(event.counts["metrics_logged"] for event in events if isinstance(event, EventsDropped))
    # A line of which half was taken raises too, and is finished as soon as there is room.
    assert set(range(n)) - steps <= refused
    assert n_dropped == n - len(steps)


@given(answers=answers, n=st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_a_disk_that_refuses_from_the_first_line_on_is_told_too(folder, answers, n: int) -> None:
    disk = UnsteadyDisk(["ENOSPC", *answers])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "os_write", disk.write)
        writer = JournalWriter(folder(), IDENTITY)
        written = [_append_by_turns(writer, step) for step in range(n)]
        disk.answers.clear()
        writer.close()
    _assert_told(writer.path, written)


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_lines_taken_in_small_bites_are_whole_in_the_end(tmp_path: Path, monkeypatch, limit: int) -> None:
    monkeypatch.setattr(writer_module, "os_write", lambda fd, data: os.write(fd, data[:limit]))
    writer = JournalWriter(tmp_path, IDENTITY)
    written = [_append_by_turns(writer, step) for step in range(20)]
    writer.close()
    assert all(written)
    _assert_told(writer.path, written)


def test_what_a_call_returned_from_is_wholly_in_the_file_when_the_disk_takes_it_in_bites(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(writer_module, "os_write", lambda fd, data: os.write(fd, data[:10]))
    writer = JournalWriter(tmp_path, IDENTITY)
    for step in range(4):
        writer.append_finite(step, {"loss": 0.5})
        writer.append(Heartbeat)
        assert writer.path.read_bytes().endswith(b"}\n")
        assert len(read_file(writer.path).events) == 1 + 2 * (step + 1)


def test_the_checksum_is_written_when_the_disk_takes_it_after_refusing_it(tmp_path: Path, monkeypatch) -> None:
    disk = UnsteadyDisk([])
    monkeypatch.setattr(writer_module, "os_write", disk.write)
    writer = JournalWriter(tmp_path, IDENTITY)
    writer.append(Heartbeat)
    disk.answers = ["ENOSPC"]
    writer.sync()
    assert disk.answers == []
    writer.append(Heartbeat)
    disk.answers = [3, "EIO"]
    writer.sync()
    assert disk.answers == []
    writer.close()
    read = read_file(writer.path)
    assert read.problems == []
    assert read.position.crc_bytes == 0
    assert read.position.offset == writer.path.stat().st_size


@given(answers=st.lists(st.sampled_from([None, "Ctrl-C"]), max_size=30), every=st.sampled_from([4, 4000]))
@example(answers=["Ctrl-C"] * 2, every=4000)
@settings(max_examples=60, deadline=None)
def test_a_keyboard_interrupt_as_a_write_returns_leaves_a_sound_journal(folder, answers, every: int) -> None:
    disk = UnsteadyDisk([])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "os_write", disk.write)
        patch.setattr(writer_module, "INTEGRITY_EVERY_LINES", every)
        writer = JournalWriter(folder(), IDENTITY)
        disk.answers = list(answers)
        for step in range(10):
            with contextlib.suppress(KeyboardInterrupt):
                _append_by_turns(writer, step)
        disk.answers.clear()
        writer.close()
    read = read_file(writer.path)
    assert read.problems == []
    assert len([event for event in read.events if isinstance(event, MetricsLogged)]) == 10


@given(strikes=st.lists(st.booleans(), max_size=40), every=st.sampled_from([5, 4000]))
@example(strikes=[True] * 10, every=4000)
@settings(max_examples=100, deadline=None)
def test_a_signal_handler_that_logs_in_the_middle_of_a_write_leaves_a_sound_journal(folder, strikes, every) -> None:
    writer = JournalWriter(folder(), IDENTITY)
    strikes, n_struck = list(strikes), 0

    def struck_after(function):
        # Python runs a signal handler when a call returns, in the thread that made the call.
        def called(*arguments, **named):
            nonlocal n_struck
            result = function(*arguments, **named)
            if strikes and strikes.pop(0):
                n_struck += 1
                assert _append_by_turns(writer, n_struck)
            return result

        return called

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "INTEGRITY_EVERY_LINES", every)
        for name in ("encode_finite", "encode", "os_write"):
            patch.setattr(writer_module, name, struck_after(getattr(writer_module, name)))
        for step in range(10):
            assert _append_by_turns(writer, step)
        strikes.clear()
        writer.close()
    read = read_file(writer.path)
    assert read.problems == []
    assert len([event for event in read.events if isinstance(event, MetricsLogged)]) == 10 + n_struck
