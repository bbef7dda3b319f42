"""Whatever several writers write while a relay reads, and wherever it dies: each event gets one number, for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trackbridge.events.models import Heartbeat, WriterOpened
from trackbridge.journal.codec import encode
from trackbridge.journal.cursor import Mark
from trackbridge.journal.paths import journal_file
from trackbridge.relay import feed as feed_module
from trackbridge.relay.feed import Batch, Feed, has_news

WRITERS = 3
SECOND_NS = 1_000_000_000

# What each writer has to write: the seconds from event to event, also back, when its clock is set.
scripts = st.lists(st.lists(st.sampled_from([-5, 0, 0, 1, 1, 1, 20]), max_size=12), min_size=WRITERS, max_size=WRITERS)
# So many bytes of a writer's lines reach the disk: lines are torn anywhere.
writes = st.lists(st.tuples(st.integers(0, WRITERS - 1), st.integers(1, 150)), max_size=80)
takes = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["confirmed", "dies", "dies twice"])), max_size=40)


class Disk:
    """Journals that grow a little whenever somebody looks at one of them."""

    def __init__(self, folder: Path, script: list[list[int]], writes: list[tuple[int, int]]) -> None:
        self.folder = folder
        self.left = {journal_file(folder, f"{n:032x}"): _lines(n, seconds) for n, seconds in enumerate(script)}
        self.writes = iter(writes)

    def grow(self) -> bool:
        """The next write of the script; False after the last one."""
        write = next(self.writes, None)
        if write is not None:
            path = list(self.left)[write[0]]
            self._append(path, write[1])
        return write is not None

    def write_the_rest(self) -> None:
        for path in self.left:
            self._append(path, len(self.left[path]))

    def _append(self, path: Path, size: int) -> None:
        if self.left[path]:
            with path.open("ab") as file:
                file.write(self.left[path][:size])
            self.left[path] = self.left[path][size:]


def _lines(number: int, seconds: list[int]) -> bytes:
    now, lines = 100 * SECOND_NS, []
    name = f"{number:032x}"
    for seq, after_s in enumerate([number, *seconds]):
        now += after_s * SECOND_NS
        opened = WriterOpened(seq=seq, t=now, v=1, run_id="r", writer_id=name, session_id=name)
        lines.append(encode(opened if seq == 0 else Heartbeat(seq=seq, t=now)))
    return b"".join(lines)


class Deliveries:
    """A relay reduced to what it remembers: marks, the next number, and what is in flight."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marks: dict[str, Mark] = {}
        self.next_row = 0
        self.numbered: dict[int, Any] = {}

    def deliver(self, limit: int, end: str) -> int:
        """Hand a batch over, die as often as told, and confirm it in the end; how many rows it had."""
        batch = self._feed().take(limit)
        self._note(batch)
        for _ in range({"confirmed": 0, "dies": 1, "dies twice": 2}[end] if batch.rows else 0):
            again = self._feed().take_again(batch.counts)
            assert again.rows == batch.rows
            batch = again
        self.marks = batch.marks
        self.next_row += len(batch.rows)
        return len(batch.rows)

    def _feed(self) -> Feed:
        return Feed(self.folder, self.marks, self.next_row)

    def _note(self, batch: Batch) -> None:
        for row in batch.rows:
            assert row.number not in self.numbered
            self.numbered[row.number] = row.event


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new folder at each call, below pytest's own."""
    return lambda: tmp_path_factory.mktemp("run")


@contextmanager
def growing(disk: Disk, block_bytes: int) -> Iterator[None]:
    """While it lasts, something is written before each look, and reads are in blocks of this size."""
    real = feed_module._File.has_more

    def has_more(file: Any) -> bool:
        disk.grow()
        return real(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed_module, "BLOCK_BYTES", block_bytes)
        patch.setattr(feed_module._File, "has_more", has_more)
        yield


@given(script=scripts, writes=writes, takes=takes, block_bytes=st.sampled_from([100, 300, 10_000]))
# The second journal gets an earlier event when the first has been read to its end.
@example(
    script=[[20], [], []],
    writes=[(1, 5), (2, 1), (0, 999), *[(2, 1)] * 6, (1, 999)],
    takes=[(9, "confirmed"), (9, "dies")],
    block_bytes=10_000,
)
@settings(max_examples=150, deadline=None)
def test_each_event_gets_one_number_and_a_repeated_batch_is_the_same(
    folder: Callable[[], Path],
    script: list[list[int]],
    writes: list[tuple[int, int]],
    takes: list[tuple[int, str]],
    block_bytes: int,
) -> None:
    disk = Disk(folder(), script, writes)
    deliveries = Deliveries(disk.folder)
    with growing(disk, block_bytes):
        for limit, end in takes:
            disk.grow()
            deliveries.deliver(limit, end)
    disk.write_the_rest()
    while deliveries.deliver(5, "confirmed"):
        pass

    told = list(deliveries.numbered.values())
    assert sorted(deliveries.numbered) == list(range(len(told)))
    assert len(told) == sum(1 + len(seconds) for seconds in script)
    opened = [event.writer_id for event in told if isinstance(event, WriterOpened)]
    assert sorted(opened) == sorted(f"{n:032x}" for n in range(WRITERS))
    assert not has_news(disk.folder, deliveries.marks)
