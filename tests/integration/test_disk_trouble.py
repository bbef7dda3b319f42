"""A disk that is full or broken: training goes on, what is written stays whole, and what was dropped is told."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import trackbridge as tb
from trackbridge.errors import JournalWriteError, MisuseError
from trackbridge.events.models import AnyEvent, EventsDropped, Integrity, MetricsLogged, RunFinished
from trackbridge.journal import writer as writer_module
from trackbridge.journal.paths import journal_files
from trackbridge.journal.reader import read_file


def _mount(kind: str, folder: Path) -> bool:
    folder.mkdir()
    if kind == "ext4":
        image = folder.with_suffix(".image")
        image.write_bytes(bytes(1 << 20))
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True, capture_output=True)
        command = ["mount", "-o", "loop", image, folder]
    else:
        command = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=64", "tmpfs", folder]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A real file system with room for a few hundred kilobytes."""
    folder = tmp_path / "disk"
    tool = {"tmpfs": "mount", "ext4": "mkfs.ext4"}[request.param]
    if not sys.platform.startswith("linux") or not shutil.which(tool) or not _mount(request.param, folder):
        pytest.skip(f"{request.param} cannot be mounted here: that takes Linux and root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes every byte that is left; delete it to make room."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size_bytes in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(bytes(size_bytes))
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017 - anything else is no full disk
    return filler


def fill_with_files(folder: Path) -> list[Path]:
    """Empty files that take every inode that is left."""
    made: list[Path] = []
    try:
        while True:
            path = folder / f"empty-{len(made)}"
            path.touch()
            made.append(path)
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 - anything else is no full disk
    return made


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("trackbridge")]


def events_of(run: tb.Run) -> list[AnyEvent]:
    """What the one journal of a run holds; it must hold nothing damaged."""
    [path] = journal_files(run.path)
    read = read_file(path)
    assert read.problems == []
    assert read.position.offset == path.stat().st_size
    return read.events


def steps_in(events: list[AnyEvent]) -> list[int]:
    return [event.step for event in events if isinstance(event, MetricsLogged)]


def dropped_in(events: list[AnyEvent]) -> list[EventsDropped]:
    return [event for event in events if isinstance(event, EventsDropped)]


def log_steps(run: tb.Run, steps: range) -> None:
    for step in steps:
        run.log({"train/loss": 1 / (step + 1), "train/learning_rate": 2e-5}, step=step)


def test_a_full_disk_stops_no_training_and_the_journal_tells_what_it_cost(small_disk: Path, caplog) -> None:
    with tb.start_run("cola", root=small_disk) as run:
        log_steps(run, range(10))
        filler, full_ns = fill(small_disk), time.time_ns()
        log_steps(run, range(10, 300))
        filler.unlink()
        log_steps(run, range(300, 310))

    events = events_of(run)
    steps, dropped = steps_in(events), dropped_in(events)
    assert steps[:10] == list(range(10))
    assert steps[-10:] == list(range(300, 310))
    # A file system may find another block now and then, so the disk may be full more than once.
    assert sum(event.counts["metrics_logged"] for event in dropped) == 310 - len(steps) > 0
    assert {event.reason for event in dropped} == {"ENOSPC"}
    assert all(full_ns <= event.since_t < event.t for event in dropped)
    [message] = warned(caplog)
    assert str(run.path) in message
    assert "No space left on device (ENOSPC)" in message
    record = tb.open_store(small_disk).run(run.run_id)
    assert (record.status, record.problems) == ("finished", ())
    assert record.dropped == {"metrics_logged": 310 - len(steps)}


def test_lines_torn_by_a_disk_that_fills_again_and_again_are_finished(small_disk: Path, monkeypatch) -> None:
    n_short = 0

    def counted_write(fd: int, data: bytes) -> int:
        nonlocal n_short
        written = os.write(fd, data)
        n_short += written != len(data)
        return written

    monkeypatch.setattr(writer_module, "os_write", counted_write)
    with tb.start_run("cola", root=small_disk) as run:
        filler = fill(small_disk)
        for begin in range(0, 600, 50):
            log_steps(run, range(begin, begin + 50))
            # Five blocks of ext4: so the room ends at another place of a page each time.
            os.truncate(filler, filler.stat().st_size - 5 * 1024)
        filler.unlink()

    events = events_of(run)
    dropped = dropped_in(events)
    assert n_short > 0
    assert len(dropped) > 1
    assert len(steps_in(events)) + sum(event.counts["metrics_logged"] for event in dropped) == 600
    assert steps_in(events) == sorted(steps_in(events))


def test_threads_on_a_full_disk_drop_and_count_together(small_disk: Path) -> None:
    with tb.start_run("cola", root=small_disk) as run:
        filler = fill(small_disk)
        threads = [threading.Thread(target=log_steps, args=(run, range(100))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        filler.unlink()

    events = events_of(run)
    assert len(steps_in(events)) + sum(event.counts["metrics_logged"] for event in dropped_in(events)) == 400


def test_a_disk_full_from_the_start_is_told_once_there_is_room(small_disk: Path, caplog) -> None:
    filler = fill(small_disk)
    with tb.start_run("cola", root=small_disk, config={"lr": 2e-5}) as run:
        log_steps(run, range(3))
        filler.unlink()
        log_steps(run, range(3, 5))

    events = events_of(run)
    [dropped] = dropped_in(events)
    assert dropped.counts == {"run_started": 1, "config_logged": 1, "environment_captured": 1, "metrics_logged": 3}
    assert steps_in(events) == [3, 4]
    assert len(warned(caplog)) == 1
    record = tb.open_store(small_disk).run(run.run_id)
    assert (record.project, record.status, record.problems) == ("cola", "finished", ())


def test_a_disk_full_from_start_to_end_costs_the_record_and_nothing_else(small_disk: Path, caplog) -> None:
    filler = fill(small_disk)
    with tb.start_run("cola", root=small_disk) as run:
        log_steps(run, range(100))
    filler.unlink()

    assert journal_files(run.path) == []
    assert len(warned(caplog)) == 1
    assert tb.open_store(small_disk).runs() == []


def test_room_that_comes_only_at_the_end_is_used_to_tell_what_was_dropped(small_disk: Path) -> None:
    run = tb.start_run("cola", root=small_disk)
    filler = fill(small_disk)
    log_steps(run, range(100))
    filler.unlink()
    run.finish()

    events = events_of(run)
    assert sum(event.counts["metrics_logged"] for event in dropped_in(events)) == 100 - len(steps_in(events)) > 0
    assert isinstance(events[-2], RunFinished)
    assert isinstance(events[-1], Integrity)


def test_a_disk_without_room_for_one_more_file_stops_no_training(small_disk: Path, caplog) -> None:
    made = fill_with_files(small_disk)
    with tb.start_run("cola", root=small_disk) as run:
        log_steps(run, range(3))
        for path in made:
            path.unlink()
        log_steps(run, range(3, 6))

    events = events_of(run)
    assert steps_in(events) == [3, 4, 5]
    assert [event.counts["metrics_logged"] for event in dropped_in(events)] == [3]
    assert len(warned(caplog)) == 1


def test_media_checkpoints_and_artifacts_on_a_full_disk_raise_nothing(small_disk: Path, tmp_path: Path) -> None:
    checkpoint = small_disk / "checkpoint-1"
    checkpoint.mkdir()
    (checkpoint / "model.bin").write_bytes(bytes(5000))
    with tb.start_run("cola", root=small_disk) as run:
        filler = fill(small_disk)
        for step in range(50):
            run.log({"eval/mcc": 0.5, "eval/errors": tb.Table(["text"], [["x" * 5000]])}, step=step)
            run.log_checkpoint(checkpoint, step=step, metrics={"eval/mcc": 0.5}, keep=True)
            run.log_artifact(checkpoint / "model.bin")
            run.log_config({"step": step})
        filler.unlink()
        log_steps(run, range(50, 55))

    events = events_of(run)
    assert sum(sum(event.counts.values()) for event in dropped_in(events)) > 100
    assert steps_in(events)[-5:] == list(range(50, 55))


def test_a_strict_run_raises_on_a_full_disk_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    with tb.start_run("cola", root=small_disk, strict=True) as run:
        filler = fill(small_disk)
        with pytest.raises(JournalWriteError, match=r"cannot write .*journal-.*No space left on device") as caught:
            log_steps(run, range(1000))
        assert caught.value.errno == errno.ENOSPC
        filler.unlink()
        log_steps(run, range(1000, 1003))

    events = events_of(run)
    assert steps_in(events)[-3:] == [1000, 1001, 1002]
    assert sum(event.counts["metrics_logged"] for event in dropped_in(events)) <= 1


def test_a_strict_run_on_a_full_disk_does_not_start(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(JournalWriteError, match="No space left on device"):
        tb.start_run("cola", root=small_disk, strict=True)


LOGS_FOR_EVER = """
import itertools, sys
import trackbridge as tb

run = tb.start_run("cola", root=sys.argv[1])
for step in itertools.count():
    run.log({"train/loss": 1 / (step + 1)}, step=step)
    if step % 1000 == 999:
        print(step, flush=True)
"""


def test_a_process_killed_on_a_full_disk_leaves_every_line_that_fitted(small_disk: Path) -> None:
    command = [sys.executable, "-c", LOGS_FOR_EVER, small_disk]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 15_000:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    [path] = small_disk.glob("cola/*/journal-*.jsonl")
    read = read_file(path)
    assert read.problems == []
    assert steps_in(read.events) == list(range(len(steps_in(read.events))))
    assert path.stat().st_size - read.position.offset < 200


def test_a_file_size_limit_tears_a_line_and_lifting_it_finishes_the_line(tmp_path: Path, caplog) -> None:
    # The kernel's own refusal, without root: a write up to the limit is short, the next one is EFBIG.
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tb.start_run("cola", root=tmp_path) as run:
        [path] = journal_files(run.path)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 250, hard))
        try:
            log_steps(run, range(20))
            torn = path.read_bytes()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log_steps(run, range(20, 22))

    assert not torn.endswith(b"\n")
    assert path.read_bytes().startswith(torn)
    events = events_of(run)
    [dropped] = dropped_in(events)
    assert (dropped.reason, dropped.counts) == ("EFBIG", {"metrics_logged": 22 - len(steps_in(events))})
    assert steps_in(events)[:2] == [0, 1]
    assert [message.rpartition("(")[2][:5] for message in warned(caplog)] == ["EFBIG"]


def test_each_kind_of_trouble_is_warned_about_once(tmp_path: Path, monkeypatch, caplog) -> None:
    troubles = iter([errno.EIO, errno.EIO, errno.ENOSPC, None, errno.EIO, errno.ENOSPC, errno.ENOSPC])

    def failing_write(fd: int, data: bytes) -> int:
        if (number := next(troubles, None)) is not None:
            raise OSError(number, os.strerror(number))
        return os.write(fd, data)

    with tb.start_run("cola", root=tmp_path) as run:
        monkeypatch.setattr(writer_module, "os_write", failing_write)
        for step in range(10):
            run.log({"train/loss": 0.5}, step=step)

    messages = warned(caplog)
    assert len(messages) == 2
    assert "(EIO)" in messages[0]
    assert "(ENOSPC)" in messages[1]
    events = events_of(run)
    assert len(steps_in(events)) + sum(event.counts["metrics_logged"] for event in dropped_in(events)) == 10


def test_a_disk_that_fails_to_sync_is_warned_about_and_written_on(tmp_path: Path, monkeypatch, caplog) -> None:
    def failing_sync(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(writer_module, "_sync_file", failing_sync)
    with tb.start_run("cola", root=tmp_path) as run:
        (tmp_path / "checkpoint").mkdir()
        run.log_checkpoint(tmp_path / "checkpoint", step=1)
        log_steps(run, range(3))

    assert len(warned(caplog)) == 1
    assert steps_in(events_of(run)) == [0, 1, 2]


def test_a_journal_file_closed_behind_our_back_stops_no_training(tmp_path: Path, caplog) -> None:
    run = tb.start_run("cola", root=tmp_path)
    [path] = journal_files(run.path)
    [fd] = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(path)]
    os.close(fd)
    log_steps(run, range(3))
    run.finish()

    assert ["(EBADF)" in message for message in warned(caplog)] == [True]


def test_a_root_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MisuseError, match=r"cannot write runs below .*TRACKBRIDGE_ROOT"):
        tb.start_run("cola", root=tmp_path / "file")
