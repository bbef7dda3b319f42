"""Where a reader says that something is wrong, and what it says of formats newer than its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.events.models import Heartbeat, UnknownEvent
from trackbridge.journal.codec import encode
from trackbridge.journal.reader import LineProblem, Position, read_blocks, read_file
from trackbridge.journal.tail import Tail

OPENED = b'{"kind":"writer_opened","seq":0,"t":1,"v":1,"run_id":"a","writer_id":"b","session_id":"b"}\n'
BEATS = [encode(Heartbeat(seq=seq, t=seq)) for seq in range(1, 6)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / f"journal-{'0' * 32}.jsonl"


def test_a_damaged_line_is_located_and_the_others_are_read(journal: Path) -> None:
    journal.write_bytes(OPENED + BEATS[0] + b"\0" * 20 + b"\n" + BEATS[2])
    read = read_file(journal)
    assert [event.seq for event in read.events] == [0, 1, 3]
    [problem] = read.problems
    assert (problem.line, problem.offset) == (3, len(OPENED + BEATS[0]))
    assert problem.reason.startswith("damaged line: ")


def test_a_missing_line_is_told(journal: Path) -> None:
    journal.write_bytes(OPENED + BEATS[1])
    read = read_file(journal)
    assert [event.seq for event in read.events] == [0, 2]
    assert read.problems == [LineProblem(2, len(OPENED), "event 2 where 1 was expected")]


def test_a_torn_last_line_is_not_written_yet(journal: Path) -> None:
    journal.write_bytes(OPENED + BEATS[0][:-5])
    read = read_file(journal)
    assert (len(read.events), read.problems, read.position.offset) == (1, [], len(OPENED))
    with journal.open("ab") as file:
        file.write(BEATS[0][-5:])
    assert read_file(journal, read.position).events == [Heartbeat(seq=1, t=1)]


def test_an_end_that_can_never_become_a_line_is_told(journal: Path) -> None:
    journal.write_bytes(OPENED + b"\0" * 100)
    [problem] = read_file(journal).problems
    assert (problem.line, problem.offset) == (2, len(OPENED))
    assert problem.reason.startswith("damaged last line")


def test_unknown_kinds_count_as_events(journal: Path) -> None:
    journal.write_bytes(OPENED + b'{"kind":"from_the_future","seq":1,"t":2,"x":3}\n' + BEATS[1])
    read = read_file(journal)
    assert read.problems == []
    assert read.events[1] == UnknownEvent(kind="from_the_future", seq=1, t=2, fields={"x": 3})


def test_a_newer_format_is_told_and_read_as_far_as_it_is_known(journal: Path) -> None:
    journal.write_bytes(OPENED.replace(b'"v":1', b'"v":2') + BEATS[0])
    read = read_file(journal)
    assert len(read.events) == 2
    assert read.problems == [
        LineProblem(1, 0, "format version 2 is newer than 1: update trackbridge to read all of it")
    ]
    assert read_file(journal, read.position).problems == []


def test_an_empty_file_and_one_of_newlines_hold_nothing(journal: Path) -> None:
    journal.write_bytes(b"")
    assert (read_file(journal).events, read_file(journal).problems) == ([], [])
    journal.write_bytes(b"\n\n\n")
    read = read_file(journal)
    assert (read.events, len(read.problems), read.position) == ([], 3, Position(3, 3, None, read.position.crc32, 3))


def test_a_file_that_is_not_there_raises(journal: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(read_blocks(journal))


def test_a_line_of_many_megabytes_is_one_event(journal: Path) -> None:
    line = b'{"kind":"summary_logged","seq":1,"t":2,"values":{"text":"' + b"x" * (9 << 20) + b'"}}\n'
    journal.write_bytes(OPENED + line + BEATS[1])
    read = read_file(journal)
    assert [event.seq for event in read.events] == [0, 1, 2]
    assert read.problems == []


def test_a_long_line_of_objects_that_begin_like_lines_is_given_up_quickly(journal: Path) -> None:
    objects = b",".join([b'{"kind":"heartbeat","seq":1,"t":2}'] * 100_000)
    journal.write_bytes(
        OPENED + b'{"kind":"summary_logged","seq":1,"t":2,"values":{"a":[' + objects + b"]}\n" + BEATS[1]
    )
    read = read_file(journal)
    assert [event.seq for event in read.events] == [0, 2]
    assert len(read.problems) == 1


def test_a_follower_tells_a_damaged_end_once_and_only_when_it_is_a_line(journal: Path) -> None:
    tail = Tail(journal.parent)
    journal.write_bytes(OPENED + b"\0\0\0")
    assert (len(tail.read_new()), tail.problems) == (1, [])
    assert (tail.read_new(), tail.problems) == ([], [])
    with journal.open("ab") as file:
        file.write(b"\n" + BEATS[1])
    assert [event.seq for event in tail.read_new()] == [2]
    assert [(name, problem.line) for name, problem in tail.problems] == [(journal.name, 2)]


def test_a_follower_finds_journals_that_appear_and_orders_by_time(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    assert tail.read_new() == []
    for name, times in (("a", [1, 4, 5]), ("b", [2, 3, 6])):
        lines = [encode(Heartbeat(seq=seq, t=t)) for seq, t in enumerate(times)]
        (tmp_path / f"journal-{name}.jsonl").write_bytes(b"".join(lines))
    assert [event.t for event in tail.read_new()] == [1, 2, 3, 4, 5, 6]
