"""Whatever bytes of a closed journal change: reading never fails, loses at most the lines touched, and tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_strategies import Entry, entries, told, write_journal

from trackbridge.events.models import ConfigLogged, MetricsLogged, RunFinished
from trackbridge.journal import reader
from trackbridge.journal.reader import FileRead, read_file

# With these a newline becomes a blank, a tab, a carriage return, a brace, a zero.
XORS = (0x2A, 0x03, 0x07, 0x77, 0x0A, 0x01, 0x80, 0x20)


@dataclass(frozen=True)
class Damage:
    """Bytes from `start` on: changed by exclusive or, set to zero, or with their newlines flipped."""

    start: int
    length: int
    how: str
    xor: int

    def to(self, content: bytearray) -> None:
        for at in range(self.start, min(self.start + self.length, len(content))):
            if self.how == "zero":
                content[at] = 0
            elif self.how == "flip" or content[at] == 10:
                content[at] ^= self.xor


damages = st.lists(
    st.builds(
        Damage,
        start=st.integers(0, 3000),
        length=st.one_of(st.integers(1, 3), st.integers(1, 900)),
        how=st.sampled_from(["flip", "zero", "newlines"]),
        xor=st.one_of(st.integers(1, 255), st.sampled_from(XORS)),
    ),
    min_size=1,
    max_size=4,
)


def _damaged(content: bytes, several: list[Damage]) -> bytes:
    changed = bytearray(content)
    for damage in several:
        damage.to(changed)
    return bytes(changed)


def _untouched(content: bytes, damaged: bytes) -> list[bool]:
    """For each line of a journal, its newline included, whether all of it is as it was."""
    intact, start = [], 0
    for line in content.splitlines(keepends=True):
        intact.append(damaged[start : start + len(line)] == line)
        start += len(line)
    return intact


def _is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


def _looks_torn(content: bytes, damaged: bytes) -> bool:
    """The last newline is gone and more of the last line changed: what is left may read as a line being written."""
    last_line = content[:-1].rindex(b"\n") + 1
    changed = [at for at in range(last_line, len(content)) if content[at] != damaged[at]]
    return len(changed) > 1 and changed[-1] == len(content) - 1


def _assert_damage_is_survived(path: Path, damaged: bytes) -> FileRead:
    content, whole = path.read_bytes(), read_file(path)
    assert not whole.problems
    target = path.with_name("journal-damaged.jsonl")
    target.write_bytes(damaged)
    read = read_file(target)
    untouched = _untouched(content, damaged)
    survivors = [text for text, is_intact in zip(told(whole.events), untouched, strict=True) if is_intact]
    assert _is_subsequence(survivors, told(read.events))
    assert len(read.events) <= len(whole.events)
    assert read.problems or damaged == content or _looks_torn(content, damaged)
    return read


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A new folder at each call, below pytest's own."""
    return lambda: tmp_path_factory.mktemp("run")


@given(written=st.lists(entries, max_size=5), several=damages)
@settings(max_examples=250, deadline=None)
def test_damage_anywhere_costs_only_the_lines_it_touched_and_is_told(folder, written: list[Entry], several) -> None:
    path = write_journal(folder(), written, syncs_after=2)
    _assert_damage_is_survived(path, _damaged(path.read_bytes(), several))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A journal of a few short lines, of which one holds objects that begin like lines of a journal."""
    looks_like_lines = {"schedulers": [{"kind": "heartbeat", "seq": 1, "t": 2}, {"kind": "cosine"}]}
    written = [
        (MetricsLogged, {"step": 1, "metrics": {"loss": 0.5}, "epoch": None}),
        (ConfigLogged, {"scope": "script", "config": looks_like_lines}),
        (MetricsLogged, {"step": 2, "metrics": {"loss": float("nan")}, "epoch": 0.5}),
        (RunFinished, {"status": "finished"}),
    ]
    return write_journal(tmp_path, written, syncs_after=2)


@pytest.mark.parametrize("xor", XORS)
def test_each_single_byte_of_a_journal_may_change(small: Path, xor: int) -> None:
    content = small.read_bytes()
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= xor
        _assert_damage_is_survived(small, bytes(changed))


def test_each_byte_of_a_journal_may_be_zero_from_there_to_the_end(small: Path) -> None:
    content = small.read_bytes()
    for at in range(len(content)):
        _assert_damage_is_survived(small, content[:at] + bytes(len(content) - at))


@pytest.mark.parametrize("byte", [b" ", b"\t", b"\r", b"\0", b"}", b",", b"x", b"\xff"])
def test_a_line_after_damaged_newlines_is_still_read(small: Path, byte: bytes) -> None:
    content = small.read_bytes()
    n_lines = content.count(b"\n")
    for n_damaged in range(1, n_lines):
        read = _assert_damage_is_survived(small, content.replace(b"\n", byte, n_damaged))
        assert [event.seq for event in read.events] == list(range(n_damaged, n_lines))


def test_a_damaged_line_never_becomes_an_event_that_was_only_config(small: Path) -> None:
    content = small.read_bytes()
    start = content.index(b'{"kind":"config_logged"')
    for at in range(start, content.index(b"\n", start)):
        read = _assert_damage_is_survived(small, content[:at] + b"\0" + content[at + 1 :])
        assert [event.seq for event in read.events] in ([0, 1, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6])


@given(written=st.lists(entries, min_size=2, max_size=5), several=damages, block_bytes=st.integers(1, 500))
@settings(max_examples=80, deadline=None)
def test_a_damaged_journal_reads_the_same_in_small_blocks(folder, written: list[Entry], several, block_bytes) -> None:
    path = write_journal(folder(), written, syncs_after=2)
    path.write_bytes(_damaged(path.read_bytes(), several))
    at_once = read_file(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block_bytes)
        in_blocks = read_file(path)
    assert told(in_blocks.events) == told(at_once.events)
    assert in_blocks.problems == at_once.problems
    assert in_blocks.position == at_once.position


@given(written=st.lists(entries, min_size=2, max_size=5), several=damages, cut=st.integers(0, 3000))
@settings(max_examples=80, deadline=None)
def test_a_damaged_journal_reads_the_same_in_two_steps(folder, written: list[Entry], several, cut: int) -> None:
    path = write_journal(folder(), written, syncs_after=2)
    path.write_bytes(_damaged(path.read_bytes(), several))
    begin = path.with_name("journal-begin.jsonl")
    begin.write_bytes(path.read_bytes()[:cut])
    first, at_once = read_file(begin), read_file(path)
    second = read_file(path, first.position)
    # A damaged end is told again when it has become a line.
    lasting = [problem for problem in first.problems if problem.offset < first.position.offset]
    assert told(first.events + second.events) == told(at_once.events)
    assert lasting + second.problems == at_once.problems
    assert second.position == at_once.position
