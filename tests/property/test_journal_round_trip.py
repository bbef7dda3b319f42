"""Whatever is written is read back; what is cut, read in steps or followed is read back as far as it was written."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_strategies import KINDS, LOGGED_KINDS, Entry, entries, events_of, fields_of, nested, told, write_journal

from trackbridge.events.models import ConfigLogged, Integrity, MetricsLogged, UnknownEvent, WriterOpened
from trackbridge.journal import reader
from trackbridge.journal.codec import LineError, decode, decode_lines, encode
from trackbridge.journal.reader import read_file
from trackbridge.journal.tail import Tail

WRITTEN_BY_ITSELF = (WriterOpened, Integrity)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A new folder at each call, below pytest's own."""
    return lambda: tmp_path_factory.mktemp("run")


@given(written=st.lists(entries, max_size=8))
@settings(max_examples=60, deadline=None)
def test_everything_logged_is_read_back_as_it_was(folder, written: list[Entry]) -> None:
    read = read_file(write_journal(folder(), written))
    logged = [event for event in read.events if not isinstance(event, WRITTEN_BY_ITSELF)]
    assert told(logged) == told(
        kind(seq=event.seq, t=event.t, **fields) for event, (kind, fields) in zip(logged, written, strict=True)
    )
    assert read.problems == []
    assert [event.seq for event in read.events] == list(range(len(read.events)))


@given(event=events_of(KINDS))
@example(MetricsLogged(seq=0, t=0, step=0, metrics={"a": 1e308, "b": 1e308, "c": -0.0}, epoch=None))
@example(MetricsLogged(seq=0, t=0, step=0, metrics={"a": 1.0}, epoch=float("nan")))
@example(ConfigLogged(seq=0, t=0, scope="x", config={"int": 10**4200, "deep": nested(100, float("nan"))}))
@settings(max_examples=200, deadline=None)
def test_a_line_decodes_to_the_event_it_was(event) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"}\n")
    assert told([decode(line[:-1])]) == told(decode_lines(line)) == told([event])


@given(event=events_of(KINDS), data=st.data())
@settings(max_examples=100, deadline=None)
def test_the_beginning_of_a_line_is_told_from_damage(event, data) -> None:
    line = encode(event)
    cut = data.draw(st.integers(1, len(line) - 2))
    with pytest.raises(LineError) as caught:
        decode(line[:cut])
    assert caught.value.is_beginning, line[:cut]


def test_every_beginning_of_an_unknown_line_is_told_from_damage() -> None:
    line = b'{"kind":"from_the_future","seq":3,"t":4,"x":{"a":[-1.5e-3,true,null,"\\ud83d\\ude00\xc3\xa9"]}}'
    assert isinstance(decode(line), UnknownEvent)
    for cut in range(1, len(line)):
        with pytest.raises(LineError) as caught:
            decode(line[:cut])
        assert caught.value.is_beginning, line[:cut]


# The size of a journal differs a little at each try: its checksums have more or fewer digits.
cuts = st.integers(0, 4000)


def _cut(path: Path, folder: Path, size_bytes: int) -> Path:
    cut = folder / path.name
    cut.write_bytes(path.read_bytes()[:size_bytes])
    return cut


def _assert_cut_reads_whole_lines(whole: Path, folder: Path, size_bytes: int) -> None:
    expected = told(read_file(whole).events)
    read = read_file(_cut(whole, folder, size_bytes))
    n_lines = whole.read_bytes()[:size_bytes].count(b"\n")
    assert told(read.events) == expected[:n_lines]
    assert read.problems == []


@given(written=st.lists(entries, min_size=1, max_size=5), cut=cuts)
@settings(max_examples=100, deadline=None)
def test_a_journal_cut_at_any_byte_reads_as_the_lines_wholly_before(folder, written: list[Entry], cut: int) -> None:
    _assert_cut_reads_whole_lines(write_journal(folder(), written, syncs_after=2), folder(), cut)


@pytest.mark.parametrize("kind", LOGGED_KINDS, ids=lambda kind: kind.__name__)
def test_a_journal_cut_at_each_of_its_bytes_reads_as_the_lines_before(tmp_path: Path, kind) -> None:
    written = [(kind, _plain_fields(kind))] * 2
    whole = write_journal(tmp_path / "whole", written)
    for size_bytes in range(whole.stat().st_size + 1):
        _assert_cut_reads_whole_lines(whole, tmp_path, size_bytes)


def _plain_fields(kind) -> dict[str, object]:
    plain = {
        "metrics": {"loss": -0.5, "tiny": 1e-30, "é\n": float("nan"), "rate": float("-inf")},
        "config": {"a": [True, False, None, -1, 1.5e-7, "\u2028\"\\\x01x\U0001f600"], "b": {"$float": "NaN"}},
        "values": {"mcc": -0.25, "worst": float("-inf"), "count": -(2**80)},
        "environment": {"python": "3.11.7", "threads": -1},
        "media": "table", "status": "failed", "counts": {"metrics_logged": 3}, "tags": ["a", "é"],
    }  # fmt: skip
    texts = ("project", "name", "scope", "path", "sha256", "type", "reason", "notes", "error", "caption")
    numbers = ("step", "size_bytes", "since_t", "from_step", "exit_code", "init")
    plain |= {name: f"{name} \u2013 text" for name in texts} | dict.fromkeys(numbers, 12) | {"epoch": 0.125}
    return {name: plain[name] for name in kind.__struct_fields__ if name in plain}


@given(written=st.lists(entries, max_size=6), cut=cuts)
@settings(max_examples=60, deadline=None)
def test_reading_in_two_steps_equals_reading_at_once(folder, written: list[Entry], cut: int) -> None:
    whole = write_journal(folder(), written, syncs_after=3)
    first = read_file(_cut(whole, folder(), cut))
    second = read_file(whole, first.position)
    at_once = read_file(whole)
    assert told(first.events + second.events) == told(at_once.events)
    assert first.problems + second.problems == at_once.problems == []
    assert second.position == at_once.position


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000])
@given(written=st.lists(entries, min_size=3, max_size=6))
@settings(max_examples=15, deadline=None)
def test_small_blocks_read_as_large_ones(folder, block_bytes: int, written: list[Entry]) -> None:
    path = write_journal(folder(), written, syncs_after=2)
    at_once = read_file(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block_bytes)
        in_blocks = read_file(path)
    assert told(in_blocks.events) == told(at_once.events)
    assert in_blocks.problems == at_once.problems == []
    assert in_blocks.position == at_once.position


@given(
    first=st.lists(entries, max_size=4),
    second=st.lists(entries, max_size=4),
    chunk_bytes=st.lists(st.integers(1, 400), min_size=1, max_size=30),
)
@settings(max_examples=40, deadline=None)
def test_following_two_growing_journals_tells_every_event_once(folder, first, second, chunk_bytes) -> None:
    sources = [write_journal(folder(), written) for written in (first, second)]
    followed = folder()
    tail = Tail(followed)
    events = tail.read_new()
    remaining = {source.name: source.read_bytes() for source in sources}
    sizes = itertools.cycle(chunk_bytes)
    turns = itertools.cycle(sources)
    while any(remaining.values()):
        name, size = next(turns).name, next(sizes)
        with (followed / name).open("ab") as file:
            file.write(remaining[name][:size])
        remaining[name] = remaining[name][size:]
        events += tail.read_new()
    expected = [event for source in sources for event in read_file(source).events]
    assert sorted(told(events)) == sorted(told(expected))
    assert tail.read_new() == []
    assert tail.problems == []


@given(times=st.lists(st.integers(0, 5), min_size=2, max_size=12), fields=fields_of(MetricsLogged))
@settings(max_examples=20, deadline=None)
def test_following_keeps_each_writers_order_when_its_clock_goes_back(folder, times: list[int], fields) -> None:
    followed = folder()
    path = followed / f"journal-{'0' * 32}.jsonl"
    path.write_bytes(b"".join(encode(MetricsLogged(seq=seq, t=t, **fields)) for seq, t in enumerate(times)))
    assert [event.seq for event in Tail(followed).read_new()] == list(range(len(times)))
