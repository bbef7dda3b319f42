"""Runs written by the real producer and read back through the store."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.run.lifecycle import start_run
from trackbridge.run.seeds import Seeds
from trackbridge.store.records import RunRecord
from trackbridge.store.records import Seeds as RecordedSeeds
from trackbridge.store.store import open_store
from trackbridge.testing.journals import ToldJournal, hex_id

CHILD = """
import sys
from trackbridge.run.lifecycle import start_run
run = start_run("demo", name="child", root=sys.argv[1])
for step in range(1, 6):
    run.log({"loss": 1.0 / step}, step=step)
print("logged", flush=True)
sys.stdin.readline()
"""


def recorded(root: Path, name: str = "a", project: str = "demo", group: str | None = None, **fields: Any) -> None:
    with start_run(project, name=name, group=group, root=root, **fields) as run:
        run.log({"loss": 1.0}, step=1)


def test_what_a_run_logged_is_what_its_record_says(tmp_path: Path) -> None:
    config = {"lr": 1e-05, "big": 10**30, "nan": math.nan, "nested": {"$float": "x", "é": [None, True, -math.inf]}}
    with start_run("demo", name="full", group="study", tags=["x"], notes="n", config=config, root=tmp_path) as run:
        run.log_seeds(Seeds(init=1, data=2, dropout=3))
        run.log({"loss": math.nan, "mcc": 0.5}, step=3, epoch=0.25)
        run.log_summary({"best": math.inf, "text": "ok"})
        checkpoint = tmp_path / "checkpoint-3"
        checkpoint.mkdir()
        run.log_checkpoint(checkpoint, step=3, metrics={"mcc": math.nan})
        run.log_artifact(checkpoint, type="model")
    record = open_store(tmp_path).run("full")

    assert (record.run_id, record.path, record.status) == (run.run_id, str(run.path), "finished")
    assert (record.group, record.tags, record.notes) == ("study", ("x",), "n")
    assert repr(record.config["script"]) == repr(config)
    assert record.seeds == RecordedSeeds(init=1, data=2, dropout=3)
    assert record.summary == {"best": math.inf, "text": "ok"}
    assert math.isnan(record.metrics["loss"].last)
    assert record.series("mcc").epochs.tolist() == [0.25]
    assert math.isnan(record.checkpoints[0].metrics["mcc"])
    assert [artifact.type for artifact in record.artifacts] == ["model"]
    assert record.environment["python"]["version"].startswith(f"{sys.version_info[0]}.")
    assert 0 < record.duration_s < 60


def test_record_is_frozen_and_its_mappings_are_read_only(tmp_path: Path) -> None:
    recorded(tmp_path, config={"lr": 1})
    record = open_store(tmp_path).run("a")

    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        record.config["script"] = {}  # type: ignore[index]
    assert record.config == {"script": {"lr": 1}}
    assert dict(record.config) == {"script": {"lr": 1}}
    assert "lr" in record.config["script"]
    assert len(record.metrics) == 1
    assert record == open_store(tmp_path).run("a")


def test_running_process_is_running_and_a_killed_one_is_lost(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "logged\n"
        store = open_store(tmp_path)
        assert store.run("child").status == "running"
        assert [run.name for run in store.runs(status="running")] == ["child"]

        child.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        child.wait()

    assert store.run("child").status == "lost"
    assert store.runs(status="running") == []
    assert [run.name for run in store.runs(status="lost")] == ["child"]
    assert store.run("child").series("loss").steps.tolist() == [1, 2, 3, 4, 5]


def test_silent_run_of_another_host_is_lost_after_the_limit_in_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ToldJournal(host="elsewhere", pid=1).start("far").write(tmp_path)
    assert open_store(tmp_path).run("far").status == "lost"

    monkeypatch.setenv("TRACKBRIDGE_LOST_AFTER_S", "1e12")
    assert open_store(tmp_path).run("far").status == "running"


def test_resume_from_a_checkpoint_goes_on_in_the_same_record(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint-2"
    checkpoint.mkdir()
    with start_run("demo", name="resumed", root=tmp_path / "runs") as run:
        for step in range(1, 5):
            run.log({"loss": float(step)}, step=step)
            if step == 2:
                run.log_checkpoint(checkpoint, step=2)
        run.finish("failed", error="cuda")
    store = open_store(tmp_path / "runs")
    assert store.run("resumed").status == "failed"

    with start_run("demo", root=tmp_path / "runs", resume_from=checkpoint) as run:
        run.log({"loss": 30.0}, step=3)
    (record,) = store.runs()

    assert record.status == "finished"
    assert record.series("loss").values.tolist() == [1.0, 2.0, 30.0]
    assert record.n_superseded == 2
    assert [(one.status, one.from_step) for one in record.sessions] == [("failed", None), ("finished", 2)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_points_of_a_forked_child_are_points_of_the_run(tmp_path: Path) -> None:
    with start_run("demo", name="forked", root=tmp_path) as run:
        run.log({"loss": 1.0}, step=1)
        pid = os.fork()
        if pid == 0:
            run.log({"child/loss": 2.0}, step=1)
            os._exit(0)
        os.waitpid(pid, 0)
    record = open_store(tmp_path).run("forked")

    assert list(record.metrics) == ["child/loss", "loss"]
    assert (len(record.sessions), record.status) == (1, "finished")


def names(records: list[RunRecord]) -> list[str]:
    return [record.name for record in records]


def test_runs_are_listed_oldest_first_and_by_project_group_and_status(tmp_path: Path) -> None:
    for name, project, group in (("c", "one", "g"), ("a", "two", "g"), ("b", "one", None)):
        recorded(tmp_path, name, project, group)
    store = open_store(tmp_path)

    assert names(store.runs()) == ["c", "a", "b"]
    assert names(store.runs(project="one")) == ["c", "b"]
    assert names(store.runs(group="g")) == ["c", "a"]
    assert names(store.runs(project="one", group="g", status="finished")) == ["c"]
    assert store.runs(project="three") == []
    assert store.projects() == ["one", "two"]


def test_unknown_status_is_told(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"'finnished'.*did you mean 'finished'"):
        open_store(tmp_path).runs(status="finnished")  # type: ignore[arg-type]


def test_run_is_found_by_id_by_name_and_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    for word in ("baseline", "warmup"):
        ToldJournal(word, run=word).start(word).write(tmp_path)
    store, run_id = open_store(tmp_path), hex_id("warmup")

    assert store.run(run_id).name == store.run("warmup").name == store.run(run_id[:6]).name == "warmup"


def test_unknown_run_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    recorded(tmp_path, "baseline")

    with pytest.raises(NotFoundError, match=r"'basline'.*did you mean 'baseline'"):
        open_store(tmp_path).run("basline")
    with pytest.raises(NotFoundError):
        open_store(tmp_path).run("")


def test_name_of_several_runs_is_told_with_their_ids(tmp_path: Path) -> None:
    for word in ("one", "two"):
        ToldJournal(word, run=word).start("same").write(tmp_path)
    store = open_store(tmp_path)

    with pytest.raises(NotFoundError, match="'same' could be 2 runs") as told:
        store.run("same")
    assert hex_id("one") in str(told.value)
    assert hex_id("two") in str(told.value)


def test_name_that_is_the_beginning_of_another_id_means_the_name(tmp_path: Path) -> None:
    ToldJournal("one", run="one").start(hex_id("two")[:4]).write(tmp_path)
    ToldJournal("two", run="two").start("two").write(tmp_path)

    assert open_store(tmp_path).run(hex_id("two")[:4]).run_id == hex_id("one")


def test_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no folder .*missing.*TRACKBRIDGE_ROOT"):
        open_store(tmp_path / "missing")


def test_default_root_comes_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded(tmp_path / "mine")
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "mine"))

    assert names(open_store().runs()) == ["a"]


def test_moved_root_is_read_where_it_is_now(tmp_path: Path) -> None:
    recorded(tmp_path / "before")
    assert open_store(tmp_path / "before").run("a").path.startswith(str(tmp_path / "before"))

    (tmp_path / "before").rename(tmp_path / "after")
    assert open_store(tmp_path / "after").run("a").path.startswith(str(tmp_path / "after"))


def test_curve_of_a_run_of_another_store_is_told(tmp_path: Path) -> None:
    recorded(tmp_path / "one")
    recorded(tmp_path / "two")
    run = open_store(tmp_path / "two").run("a")

    with pytest.raises(MisuseError, match="ask the store it came from"):
        open_store(tmp_path / "one").curve(run, "loss")


def test_curve_of_an_unknown_metric_or_of_no_width_is_told(tmp_path: Path) -> None:
    recorded(tmp_path)
    store = open_store(tmp_path)

    with pytest.raises(NotFoundError, match="did you mean 'loss'"):
        store.curve(store.run("a"), "los")
    with pytest.raises(MisuseError, match="pixels is 0"):
        store.curve(store.run("a"), "loss", pixels=0)


def test_journal_with_thousands_of_damaged_lines_gives_a_record_of_bounded_size(tmp_path: Path) -> None:
    journal = ToldJournal().start("damaged").log(1, {"loss": 1.0})
    path = journal.write(tmp_path)
    with path.open("ab") as file:
        file.write(b"\0\n" * 5000)
    problems = open_store(tmp_path).run("damaged").problems

    assert len(problems) == 1001
    assert problems[-1].reason == "and 4000 more problems after this one"


def test_journal_that_cannot_be_read_is_a_problem_of_the_run_and_hides_nothing_else(tmp_path: Path) -> None:
    path = ToldJournal().start("run").log(1, {"loss": 1.0}).write(tmp_path)
    path.with_name("journal-unreadable.jsonl").mkdir()
    record = open_store(tmp_path).run("run")

    assert record.metrics["loss"].last == 1.0
    assert [(one.file, "cannot be read" in one.reason) for one in record.problems] == [
        ("journal-unreadable.jsonl", True)
    ]
