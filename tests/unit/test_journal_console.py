"""`console.txt`: what a terminal would still show, in a bounded space, whatever is printed."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from trackbridge.journal.console import CONSOLE, EARLIER, HALF_BYTES, ConsoleFile, console_text


@pytest.fixture
def console(tmp_path: Path) -> ConsoleFile:
    return ConsoleFile(tmp_path)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("one\ntwo\n", "one\ntwo"),
        ("no line feed", "no line feed"),
        ("10%\r50%\r100%\ndone\n", "100%\ndone"),
        ("\r10%\r50%", "50%"),
        ("bar\r    \rtext\n", "text"),
        ("windows\r\nlines\r\n", "windows\nlines"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07and\x1b[2K \x1b(Bplain\x08\x00", "red and plain"),
        ("\x1b]never ended", "never ended"),
        ("tab\there, größer, \U0001f642", "tab\there, größer, \U0001f642"),
        ("half of a pair: \ud83d", "half of a pair: \\ud83d"),
        ("\n\n", ""),
    ],
)
def test_the_text_is_what_a_terminal_would_still_show(
    console: ConsoleFile, tmp_path: Path, printed: str, shown: str
) -> None:
    console.append(printed)

    assert console_text(tmp_path) == shown


def test_a_run_that_printed_nothing_has_no_file(console: ConsoleFile, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == []
    assert console_text(tmp_path) == ""


def test_the_space_is_bounded_and_the_newest_lines_are_kept_in_order(console: ConsoleFile, tmp_path: Path) -> None:
    for number in range(50_000):
        console.append(f"line {number}\n")

    lines = console_text(tmp_path).split("\n")
    assert size_bytes(tmp_path) <= 2 * HALF_BYTES + 100
    assert len(lines) > 5_000
    assert lines[1:] == [f"line {number}" for number in range(50_000 - len(lines) + 1, 50_000)]


def test_a_progress_bar_does_not_push_out_the_lines_around_it(console: ConsoleFile, tmp_path: Path) -> None:
    for number in range(50):
        console.append(f"\nstep {number}\n")
        for state in range(300):
            console.append(f"\r{state:3}%|{'#' * 60}| {state}/300 ")

    assert [line for line in console_text(tmp_path).split("\n") if line.startswith("step")] == [
        f"step {number}" for number in range(50)
    ]
    assert size_bytes(tmp_path) <= 2 * HALF_BYTES + 100


@pytest.mark.parametrize("letter", ["x", "€"])
def test_of_a_text_longer_than_the_file_only_the_end_is_kept(console: ConsoleFile, tmp_path: Path, letter: str) -> None:
    console.append(letter * 1_000_000 + "the end")

    assert size_bytes(tmp_path) <= HALF_BYTES
    assert console_text(tmp_path).endswith(f"{letter}the end")


def test_a_later_session_does_not_show_what_an_earlier_one_printed(console: ConsoleFile, tmp_path: Path) -> None:
    console.append("died in the middle of a li")
    later = ConsoleFile(tmp_path)
    assert console_text(tmp_path) == ""

    later.append("second\n")

    assert console_text(tmp_path) == "second"
    assert "died in the middle of a li\n" in (tmp_path / CONSOLE).read_text("utf-8")


def test_secrets_do_not_reach_the_disk(tmp_path: Path) -> None:
    console = ConsoleFile(tmp_path, secrets=["s3cr3t-of-mine"])
    for _ in range(10_000):
        console.append("key=s3cr3t-of-mine\n")

    assert not any(b"s3cr3t" in path.read_bytes() for path in tmp_path.iterdir())
    assert console_text(tmp_path).endswith("\nkey=***masked***")


def test_a_closed_file_takes_nothing_more(console: ConsoleFile, tmp_path: Path) -> None:
    console.append("before\n")
    console.close()
    console.append("after\n")
    console.close()

    assert console_text(tmp_path) == "before"


def test_a_disk_that_refuses_is_told_once_and_raises_nothing(
    console: ConsoleFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / CONSOLE).mkdir()
    with caplog.at_level(logging.INFO):
        console.append("one\n")
        console.append("two\n")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert console_text(tmp_path) == ""

    (tmp_path / CONSOLE).rmdir()
    console.append("three\n")

    assert console_text(tmp_path) == "three"


def test_the_space_is_bounded_also_when_the_earlier_half_cannot_be_written(
    console: ConsoleFile, tmp_path: Path
) -> None:
    (tmp_path / EARLIER).mkdir()
    for number in range(30_000):
        console.append(f"line {number}\n")

    assert size_bytes(tmp_path) <= HALF_BYTES + 100


def test_threads_do_not_tear_each_others_lines(console: ConsoleFile, tmp_path: Path) -> None:
    def work(name: str) -> None:
        for number in range(300):
            console.append(f"{name} {number}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = console_text(tmp_path).split("\n")
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abcd" for number in range(300))


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
