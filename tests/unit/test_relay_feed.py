"""What the feed makes of damaged, vanished and uneventful journals; its numbers are tested in tests/property."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.errors import DeliveryRefused
from trackbridge.events.models import Heartbeat, Integrity, MetricsLogged
from trackbridge.journal.cursor import Mark
from trackbridge.relay.feed import Feed, has_news
from trackbridge.testing.journals import ToldJournal


def test_events_of_several_writers_come_in_the_order_of_time(tmp_path: Path) -> None:
    main = ToldJournal("main").start().log(1, {"a": 1.0}).log(2, {"a": 2.0})
    system = ToldJournal("system", session_id=main.writer_id, role="system", started_s=0.5).log(0, {"b": 0.0})
    folder = main.write(tmp_path).parent
    (folder / system.file).write_bytes(b"".join(system.lines()))

    batch = Feed(folder, {}, 7).take(100)

    assert [row.number for row in batch.rows] == list(range(7, 13))
    times = [row.event.t for row in batch.rows]
    assert times == sorted(times)
    assert batch.counts == {main.file: 4, system.file: 2}


def test_a_sequence_number_with_a_flipped_bit_hides_nothing_that_follows(tmp_path: Path) -> None:
    journal = ToldJournal().start()
    for step in range(1, 6):
        journal.log(step, {"a": float(step)})
    path = journal.write(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"seq":3,', b'"seq":1099511627779,'))

    first = Feed(path.parent, {}, 0).take(4)
    rest = Feed(path.parent, first.marks, 4).take(100)

    steps = [row.event.step for row in first.rows + rest.rows if isinstance(row.event, MetricsLogged)]
    assert steps == [1, 2, 3, 4, 5]


def test_a_batch_whose_events_are_gone_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    path = ToldJournal().start().log(1, {"a": 1.0}).write(tmp_path)
    batch = Feed(path.parent, {}, 0).take(100)
    path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(DeliveryRefused, match="has lost events"):
        Feed(path.parent, {}, 0).take_again(batch.counts)


def test_signs_of_life_and_checksums_are_no_news(tmp_path: Path) -> None:
    journal = ToldJournal().start()
    path = journal.write(tmp_path)
    marks = Feed(path.parent, {}, 0).take(100).marks
    journal.tell(Heartbeat).tell(Integrity, size_bytes=0, crc32=0).write(tmp_path)
    uneventful = has_news(path.parent, marks)
    journal.log(1, {"a": 1.0}).write(tmp_path)

    assert not uneventful
    assert has_news(path.parent, marks)
    assert has_news(path.parent, {})


def test_what_the_machine_did_after_the_training_is_no_news(tmp_path: Path) -> None:
    main = ToldJournal("main").start()
    system = ToldJournal("system", session_id=main.writer_id, role="system").log(15, {"system/cpu_percent": 1.0})
    folder = main.write(tmp_path).parent
    marks = Feed(folder, {}, 0).take(100).marks
    (folder / system.file).write_bytes(b"".join(system.lines()))

    assert not has_news(folder, marks)
    assert len(Feed(folder, marks, 2).take(100).rows) == 2


def test_news_are_looked_for_after_the_events_that_were_taken(tmp_path: Path) -> None:
    path = ToldJournal().start().log(1, {"a": 1.0}).tell(Heartbeat).write(tmp_path)

    assert has_news(path.parent, {path.name: Mark(0, 2)})
    assert not has_news(path.parent, {path.name: Mark(0, 3)})
