"""What a relay sees of a run and of the process that writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.events.models import RunFinished, RunResumed, TagsSet
from trackbridge.relay.header import ending_of, header_of
from trackbridge.relay.watch import RunWatch
from trackbridge.store.records import Session
from trackbridge.store.store import open_store
from trackbridge.testing.journals import SECOND_NS, STARTED_NS, ToldJournal


def watch(path: Path, *, alive: bool = True) -> RunWatch:
    return RunWatch(path.parent, lambda session: alive)


def test_the_header_is_the_run_as_its_record_tells_it(tmp_path: Path) -> None:
    journal = ToldJournal().start("baseline", group="study", tags=["a"], notes="n").tell(TagsSet, tags=["b"])
    path = journal.write(tmp_path)

    header = header_of(watch(path).record())

    assert header == header_of(open_store(tmp_path).run(journal.run_id))
    assert (header.name, header.group, header.tags, header.notes) == ("baseline", "study", ("b",), "n")
    assert (header.project, header.folder, header.started_ns) == ("demo", path.parent, STARTED_NS)


def test_each_look_reads_on_where_the_last_one_ended(tmp_path: Path) -> None:
    journal = ToldJournal().start()
    run = watch(journal.write(tmp_path))
    before = ending_of(run.record())
    journal.log(1, {"a": 1.0}).tell(RunFinished, status="killed", exit_code=143, error="SIGTERM").write(tmp_path)

    ending = ending_of(run.record())

    assert before is None
    assert ending is not None
    assert (ending.status, ending.exit_code, ending.error) == ("killed", 143, "SIGTERM")
    assert ending.ended_ns == journal.events[-1].t


def test_last_words_written_between_the_look_and_the_death_count(tmp_path: Path) -> None:
    journal = ToldJournal().start()

    def dies_with_a_word(session: Session) -> bool:
        journal.tell(RunFinished, status="finished", exit_code=0).write(tmp_path)
        return False

    record = RunWatch(journal.write(tmp_path).parent, dies_with_a_word).record()

    assert record.status == "finished"


def test_a_run_that_is_resumed_between_the_look_and_the_death_goes_on(tmp_path: Path) -> None:
    path = ToldJournal().start().write(tmp_path)

    def is_resumed(session: Session) -> bool:
        ToldJournal("second", started_s=50).tell(RunResumed, from_step=1).write(tmp_path)
        return False

    assert RunWatch(path.parent, is_resumed).record().status == "running"


def test_a_run_without_a_line_yet_is_running(tmp_path: Path) -> None:
    record = RunWatch(tmp_path, lambda session: False).record()

    assert (record.status, ending_of(record)) == ("running", None)


@pytest.mark.parametrize("reader", ["watch", "store"])
def test_a_sampler_that_outlives_the_training_neither_prolongs_its_life_nor_its_duration(
    tmp_path: Path, reader: str
) -> None:
    main = ToldJournal("main", host="elsewhere", pid=7).start().log(1, {"train/loss": 1.0})
    main.tell(RunFinished, status="finished").write(tmp_path)
    system = ToldJournal("system", session_id=main.writer_id, role="system", started_s=600).log(600, {"system/x": 1.0})
    folder = main.write(tmp_path).parent
    (folder / system.file).write_bytes(b"".join(system.lines()))

    record = RunWatch(folder, lambda session: True).record() if reader == "watch" else open_store(tmp_path).run("run")

    assert record.sessions[-1].last_seen_ns == record.ended_ns == STARTED_NS + 3 * SECOND_NS
    assert len(record.sessions) == 1


def test_a_resume_supersedes_no_system_metrics(tmp_path: Path) -> None:
    main = ToldJournal("main").start().log(1, {"train/loss": 1.0}).log(2, {"train/loss": 0.5})
    system = ToldJournal("system", session_id=main.writer_id, role="system", started_s=1)
    for second in (15, 30, 45):
        system.log(second, {"system/cpu_percent": 50.0})
    later = ToldJournal("later", started_s=100).tell(RunResumed, from_step=1).log(2, {"train/loss": 0.4})
    folder = main.write(tmp_path).parent
    for journal in (system, later):
        (folder / journal.file).write_bytes(b"".join(journal.lines()))

    record = open_store(tmp_path).run("run")

    assert list(record.series("system/cpu_percent").steps) == [15, 30, 45]
    assert list(record.series("train/loss").values) == [1.0, 0.4]
    assert record.n_superseded == 1
