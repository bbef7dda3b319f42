"""How the events of a run become its record."""

from __future__ import annotations

import math

import pytest

from trackbridge.errors import NotFoundError
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointDeleted,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    EventsDropped,
    Heartbeat,
    MediaLogged,
    RunFinished,
    RunResumed,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
    UnknownEvent,
)
from trackbridge.store.fold import JournalEvents, fold
from trackbridge.store.records import Problem, RunRecord, Seeds
from trackbridge.testing.journals import SECOND_NS, STARTED_NS, ToldJournal, hex_id

IMAGE = {"media": "image", "path": "files/media/a.png", "size_bytes": 9, "sha256": "f" * 64}


def folded(*journals: ToldJournal) -> RunRecord:
    return fold(hex_id("run"), "demo", "/runs/demo/x", [journal.read() for journal in journals])


def resumed(*, from_step: int | None, started_s: float = 100.0, writer: str = "second") -> ToldJournal:
    return ToldJournal(writer, started_s=started_s).tell(RunResumed, from_step=from_step)


def test_identity_comes_from_the_first_sessions_start() -> None:
    journal = ToldJournal().start("baseline", group="study", tags=["a"], notes="first try")
    record = folded(journal, resumed(from_step=3).tell(TagsSet, tags=["b", "c"]))

    assert (record.run_id, record.project, record.name, record.group) == (hex_id("run"), "demo", "baseline", "study")
    assert (record.notes, record.tags) == ("first try", ("b", "c"))


def test_the_time_between_two_sessions_does_not_count_as_training() -> None:
    first = ToldJournal().start().log(1, {"train/loss": 1.0})
    second = resumed(from_step=1, started_s=3600).log(2, {"train/loss": 0.5})

    assert folded(first).duration_s == 2
    assert folded(first, second).duration_s == 2 + 2


def test_time_in_which_two_sessions_ran_counts_once() -> None:
    first = ToldJournal().start().log(1, {"train/loss": 1.0}).log(2, {"train/loss": 1.0})
    beside = ToldJournal("beside", started_s=1).tell(RunResumed)

    assert folded(first, beside).duration_s == 3


def test_run_without_a_readable_start_is_named_after_its_folder() -> None:
    record = folded(ToldJournal().log(1, {"train/loss": 1.0}))

    assert (record.project, record.name, record.status) == ("demo", hex_id("run"), "running")
    assert record.series("train/loss").steps.tolist() == [1]


def test_run_without_events_is_an_empty_record() -> None:
    record = fold("0" * 32, "demo", "/x", [JournalEvents("journal-a.jsonl", [])])

    assert (record.name, record.status, record.metrics, record.started_ns) == ("0" * 32, "running", {}, 0)


def test_config_keys_logged_again_replace_the_old_value_within_their_scope() -> None:
    journal = ToldJournal().start()
    journal.tell(ConfigLogged, scope="script", config={"lr": 1.0, "optimizer": {"name": "adam", "eps": 1e-8}})
    journal.tell(ConfigLogged, scope="model", config={"lr": 7})
    journal.tell(ConfigLogged, scope="script", config={"lr": 2.0, "optimizer": {"name": "sgd"}})

    assert folded(journal).config == {"script": {"lr": 2.0, "optimizer": {"name": "sgd"}}, "model": {"lr": 7}}


def test_seeds_logged_in_parts_add_up() -> None:
    journal = ToldJournal().start().tell(SeedsLogged, init=1, data=2).tell(SeedsLogged, dropout=3, data=4)

    assert folded(journal).seeds == Seeds(init=1, data=4, dropout=3)


def test_environment_merges_by_top_level_key_and_the_main_writer_has_the_last_word() -> None:
    main = ToldJournal().start().tell(EnvironmentCaptured, environment={"host": {"name": "a", "ram": 1}})
    main.tell(EnvironmentCaptured, environment={"git": {"commit": "c"}})
    rank = ToldJournal("rank", started_s=50, session_id=main.writer_id, role="rank", rank=1)
    rank.tell(EnvironmentCaptured, environment={"host": {"name": "b"}, "gpu": ["x"]})

    assert folded(main, rank).environment == {
        "host": {"name": "a", "ram": 1},
        "git": {"commit": "c"},
        "gpu": ["x"],
    }


def test_later_summary_values_replace_earlier_ones() -> None:
    journal = ToldJournal().start().tell(SummaryLogged, values={"a": 1, "b": {"x": 1}})

    assert folded(journal.tell(SummaryLogged, values={"b": 2})).summary == {"a": 1, "b": 2}


def test_last_event_of_a_metric_and_step_wins() -> None:
    journal = ToldJournal().start().log(1, {"a": 1.0}).log(2, {"a": 2.0}).log(1, {"a": 3.0, "b": 9.0})
    record = folded(journal)

    assert record.series("a").steps.tolist() == [1, 2]
    assert record.series("a").values.tolist() == [3.0, 2.0]
    assert record.series("b").times_ns.tolist() == [STARTED_NS + 4 * SECOND_NS]
    assert record.n_superseded == 0


def test_last_writer_of_a_step_wins_within_a_session() -> None:
    main = ToldJournal().start().log(1, {"a": 1.0}).log(2, {"a": 2.0})
    rank = ToldJournal("rank", session_id=main.writer_id, role="rank", started_s=5).log(2, {"a": -2.0})

    assert folded(main, rank).series("a").values.tolist() == [1.0, -2.0]


def test_non_finite_values_are_points_and_counted_apart() -> None:
    journal = ToldJournal().start()
    for step, value in enumerate([2.0, math.nan, -math.inf, 1.0, math.nan], start=1):
        journal.log(step, {"loss": value}, epoch=step / 2)
    record = folded(journal)
    loss = record.metrics["loss"]

    assert (loss.n, loss.n_nonfinite, loss.last_step) == (5, 3, 5)
    assert math.isnan(loss.last)
    assert (loss.minimum, loss.minimum_step, loss.maximum, loss.maximum_step) == (1.0, 4, 2.0, 1)
    assert record.series("loss").epochs.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5]


def test_metric_that_was_never_finite_has_no_extremes() -> None:
    loss = folded(ToldJournal().start().log(1, {"loss": math.nan})).metrics["loss"]

    assert (loss.minimum, loss.maximum_step, loss.n_nonfinite) == (None, None, 1)


def test_unknown_metric_is_told_with_the_nearest_name() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'train/loss'"):
        folded(ToldJournal().start().log(1, {"train/loss": 1.0})).series("train/los")


def test_resumed_run_hides_superseded_points_and_counts_them() -> None:
    first = ToldJournal().start()
    for step in range(1, 11):
        first.log(step, {"loss": float(step)})
    second = resumed(from_step=6).log(7, {"loss": 70.0}).log(8, {"loss": 80.0})
    record = folded(first, second)

    assert record.series("loss").steps.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert record.series("loss").values.tolist() == [1, 2, 3, 4, 5, 6, 70, 80]
    assert record.metrics["loss"].maximum_step == 8
    assert record.n_superseded == 4


def test_later_resume_reaches_back_through_all_earlier_sessions() -> None:
    first = ToldJournal().start().log(1, {"a": 1.0}).log(2, {"a": 2.0}).log(3, {"a": 3.0})
    second = resumed(from_step=3).log(4, {"a": 4.0}).log(5, {"a": 5.0})
    third = resumed(from_step=1, started_s=200, writer="third").log(2, {"a": 20.0})
    record = folded(third, first, second)

    assert record.series("a").values.tolist() == [1.0, 20.0]
    assert record.n_superseded == 4
    assert [session.from_step for session in record.sessions] == [None, 3, 1]


def test_metric_whose_every_point_is_superseded_is_no_metric_of_the_run() -> None:
    record = folded(ToldJournal().start().log(5, {"a": 1.0}), resumed(from_step=4).log(5, {"b": 1.0}))

    assert list(record.metrics) == ["b"]
    assert record.n_superseded == 1


def test_run_continued_without_a_checkpoint_supersedes_nothing() -> None:
    record = folded(ToldJournal().start().log(5, {"a": 1.0}), resumed(from_step=None).log(6, {"a": 2.0}))

    assert record.series("a").steps.tolist() == [5, 6]
    assert record.n_superseded == 0


def test_superseded_checkpoints_and_media_stay_marked() -> None:
    first = ToldJournal().start()
    first.tell(CheckpointSaved, step=5, path="/out/5", metrics={"mcc": math.nan}, size_bytes=3, kept="files/5")
    first.tell(CheckpointSaved, step=9, path="/out/9").tell(MediaLogged, name="cm", step=9, **IMAGE)
    second = resumed(from_step=5).tell(CheckpointSaved, step=9, path="/out/9")
    second.tell(MediaLogged, name="cm", step=9, caption="again", **IMAGE)
    record = folded(first, second)

    assert [(one.step, one.superseded) for one in record.checkpoints] == [(5, False), (9, True), (9, False)]
    assert [(one.caption, one.superseded) for one in record.media] == [(None, True), ("again", False)]
    assert record.checkpoints[0].kept == "files/5"


def test_deleted_checkpoint_is_marked_and_saving_it_again_brings_it_back() -> None:
    journal = ToldJournal().start().tell(CheckpointSaved, step=5, path="/out/5")
    journal.tell(CheckpointSaved, step=6, path="/out/6").tell(CheckpointDeleted, step=5, path="/out/5")

    assert [one.deleted for one in folded(journal).checkpoints] == [True, False]

    journal.tell(CheckpointSaved, step=5, path="/out/5", metrics={"mcc": 0.5})

    assert [(one.step, one.deleted) for one in folded(journal).checkpoints] == [(6, False), (5, False)]


def test_artifact_logged_again_unchanged_is_one_artifact() -> None:
    dataset = {"name": "cola", "type": "data", "path": "/data/cola", "size_bytes": 5}
    first = ToldJournal().start().tell(ArtifactLogged, sha256="a", **dataset)
    second = (
        resumed(from_step=1).tell(ArtifactLogged, sha256="a", **dataset).tell(ArtifactLogged, sha256="b", **dataset)
    )

    assert [one.sha256 for one in folded(first, second).artifacts] == ["a", "b"]


def test_dropped_events_and_unknown_kinds_are_counted_over_all_files() -> None:
    dropped = {"counts": {"metrics_logged": 3}, "reason": "ENOSPC", "since_t": STARTED_NS}
    first, second = ToldJournal().start(), resumed(from_step=None)
    journals = [
        JournalEvents(
            journal.file,
            [*journal.tell(EventsDropped, **dropped).events, UnknownEvent(kind="gpu_sampled", seq=9, t=1, fields={})],
            [Problem(journal.file, 2, 80, "damaged line")],
        )
        for journal in (first, second)
    ]
    record = fold(hex_id("run"), "demo", "/x", journals)

    assert record.dropped == {"metrics_logged": 6}
    assert record.unknown_kinds == {"gpu_sampled": 2}
    assert len(record.problems) == 2


def test_status_is_what_the_last_session_wrote() -> None:
    first = ToldJournal().start().tell(RunFinished, status="failed", exit_code=1, error="OOM", traceback="...")
    record = folded(first)

    assert (record.status, record.ended_ns) == ("failed", STARTED_NS + 2 * SECOND_NS)
    assert (record.sessions[0].error, record.sessions[0].exit_code) == ("OOM", 1)

    record = folded(first, second := resumed(from_step=0))

    assert (record.status, record.ended_ns) == ("running", None)
    assert folded(second.tell(RunFinished, status="finished"), first).status == "finished"


def test_forked_children_and_ranks_belong_to_the_session_of_their_main_writer() -> None:
    main = ToldJournal(host="a", pid=10).start().log(1, {"a": 1.0})
    child = ToldJournal("child", session_id=main.writer_id, role="child", started_s=5, host="a", pid=11)
    child.log(2, {"a": 2.0}).tell(Heartbeat, after_s=40)
    record = folded(child, main)

    assert [(one.session_id, one.pid) for one in record.sessions] == [(main.writer_id, 10)]
    assert record.last_seen_ns == record.sessions[0].last_seen_ns == STARTED_NS + 46 * SECOND_NS
    assert record.series("a").steps.tolist() == [1, 2]


def test_rank_with_a_session_id_of_its_own_joins_the_launch_it_began_with() -> None:
    first = ToldJournal(started_s=0.2).start().log(1, {"a": 1.0}).log(9, {"a": 9.0})
    first_rank = ToldJournal("rank-1", role="rank", started_s=0).log(9, {"rank1/a": 9.0})
    second = resumed(from_step=1).log(2, {"a": 2.0}).log(3, {"a": 3.0})
    second_rank = ToldJournal("rank-2", role="rank", started_s=101).tell(RunResumed, from_step=1)
    second_rank.log(3, {"rank1/a": 3.0}).tell(RunFinished, status="failed")
    record = folded(first, first_rank, second, second_rank)

    assert len(record.sessions) == 2
    assert record.status == "running"
    assert record.series("a").steps.tolist() == [1, 2, 3]
    assert record.series("rank1/a").steps.tolist() == [3]


def test_journal_without_its_first_line_joins_the_session_under_way() -> None:
    first, second = ToldJournal().start().log(1, {"a": 1.0}).log(5, {"a": 5.0}), resumed(from_step=1)
    headless = ToldJournal("child", started_s=150).log(2, {"a": 2.0})
    headless.events.pop(0)
    record = folded(first, headless, second.log(3, {"a": 3.0}))

    assert len(record.sessions) == 2
    assert record.series("a").steps.tolist() == [1, 2, 3]


def test_main_journal_without_its_first_line_is_a_session_still() -> None:
    first = ToldJournal().start("headless").log(1, {"a": 1.0}).log(5, {"a": 5.0})
    first.events.pop(0)
    record = folded(first, resumed(from_step=1).log(2, {"a": 2.0}))

    assert (record.name, len(record.sessions)) == ("headless", 2)
    assert record.series("a").steps.tolist() == [1, 2]


def test_clock_set_back_does_not_reorder_what_one_writer_wrote() -> None:
    journal = ToldJournal().start().tell(ConfigLogged, scope="script", config={"lr": 1})
    journal.tell(ConfigLogged, scope="script", config={"lr": 2}, after_s=-3600)
    journal.log(1, {"a": 1.0}).log(1, {"a": 2.0}, epoch=0.5)

    assert folded(journal).config == {"script": {"lr": 2}}
    assert folded(journal).last_seen_ns == STARTED_NS + 2 * SECOND_NS
    assert folded(journal).series("a").values.tolist() == [2.0]
