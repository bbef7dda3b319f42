"""W&B files beyond the contract: ours come back as they were; resumed, typed, killed and moved runs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import msgspec
import pytest
import round_trip_kit
from wandb_writer import STARTED_S, WrittenRun

import trackbridge as tb
from trackbridge.adapters.base import Ending
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.events.models import MetricsLogged, RunFinished
from trackbridge.sources.importing import import_runs
from trackbridge.testing.crossing import cross
from trackbridge.testing.journals import ToldJournal
from trackbridge.testing.rows import RowBuilder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_what_our_adapter_delivered_comes_back_as_it_was(tmp_path: Path, root: Path) -> None:
    record = round_trip_kit.make_run(root, tmp_path / "work")

    back, _ = round_trip_kit.there_and_back(record, root, tracker="wandb", back=tmp_path / "back")

    assert round_trip_kit.told(back) == round_trip_kit.told(record)
    assert round_trip_kit.curves(back) == round_trip_kit.curves(record)
    assert round_trip_kit.media(back) == round_trip_kit.media(record)
    assert [one.from_step for one in back.sessions] == [one.from_step for one in record.sessions]
    assert {one.name for one in back.artifacts} == {one.name for one in record.artifacts}
    # W&B keeps seconds since 1970 as a float.
    round_trip_kit.assert_same_times(record, back, within_ns=1000)


def test_a_run_without_times_is_delivered_and_comes_back_without_them(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    rows = RowBuilder(tmp_path)
    rows.add_metrics(3, {"loss": 0.5})
    timeless = [row._replace(event=msgspec.structs.replace(row.event, t=0)) for row in rows.rows]
    adapter = WandbAdapter(mode="offline", folder=tmp_path / "offline")
    adapter.open(dataclasses.replace(rows.header, started_ns=0), None)
    adapter.deliver(timeless)
    assert adapter.flush(60.0)
    adapter.close(Ending("finished", 0))

    import_runs(tmp_path / "offline", root=root)

    (run,) = tb.open_store(root).runs()
    assert run.started_ns == 0
    assert run.series("loss").times_ns.tolist() == [0]


def test_what_has_no_time_in_a_run_that_has_one_comes_back_without(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    told = ToldJournal().start("imported").log(1, {"loss": 1.0})
    told.tell(MetricsLogged, step=2, metrics={"loss": 0.5}, after_s=1)
    told.events[-1] = msgspec.structs.replace(told.events[-1], t=0)
    told.tell(RunFinished, status="finished", exit_code=0).write(root)
    record = tb.open_store(root).run("imported")

    back, _ = round_trip_kit.there_and_back(record, root, tracker="wandb", back=tmp_path / "back")

    assert [t == 0 for t in back.series("loss").times_ns.tolist()] == [False, True]
    assert cross(record, back)["start and end"].fate == "kept"


def test_a_run_that_was_renamed_is_told_by_its_last_name(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r", display_name="draft").log(0, {"loss": 1.0})
    run.add().run.MergeFrom(run.records[0].run)
    run.records[-1].run.display_name = "final"

    report = import_runs(run.write(tmp_path / "run-r.wandb"), root=root)

    assert [done.name for done in report.runs] == ["final"]
    assert [record.name for record in tb.open_store(root).runs()] == ["final"]


def test_a_resumed_run_that_counts_from_0_again_goes_on_after_its_last_row(tmp_path: Path, root: Path) -> None:
    WrittenRun("r").log(0, {"loss": 1.0}).log(1, {"loss": 0.5}).write(tmp_path / "wandb" / "run-1" / "run-r.wandb")
    second = WrittenRun("r", started_s=STARTED_S + 100).log(0, {"loss": 0.25}).finish()
    second.write(tmp_path / "wandb" / "run-2" / "run-r.wandb")

    import_runs(tmp_path, root=root)

    run = tb.open_store(root).run("r")
    assert run.series("loss").steps.tolist() == [0, 1, 2]
    assert (len(run.sessions), run.status) == (2, "finished")


def test_a_resumed_run_that_goes_on_elsewhere_keeps_its_numbers(tmp_path: Path, root: Path) -> None:
    WrittenRun("r").log(0, {"loss": 1.0}).log(9, {"loss": 0.5}).write(tmp_path / "1" / "run-r.wandb")
    WrittenRun("r", started_s=STARTED_S + 100).log(5, {"loss": 0.25}).write(tmp_path / "2" / "run-r.wandb")

    import_runs(tmp_path, root=root)

    assert tb.open_store(root).run("r").series("loss").steps.tolist() == [0, 5, 9]


def test_a_copy_of_a_file_is_no_session(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r").log(0, {"loss": 1.0})
    run.write(tmp_path / "copy" / "run-r.wandb")
    run.log(1, {"loss": 0.5}).write(tmp_path / "original" / "run-r.wandb")

    report = import_runs(tmp_path, root=root)

    assert [done.n_points for done in report.runs] == [2]


def test_a_run_without_an_end_has_none(tmp_path: Path, root: Path) -> None:
    WrittenRun("r").log(0, {"loss": 1.0}).write(tmp_path / "run-r.wandb")

    import_runs(tmp_path, source="wandb", root=root)

    assert tb.open_store(root).run("r").sessions[-1].status is None


def test_typed_values_are_kept_as_they_are(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r")
    history = run.add().history
    history.step.num = 3
    history.item.add(nested_key=["int"], integer=-7)
    history.item.add(nested_key=["float"], number=math.inf)
    history.item.add(nested_key=["flag"], boolean=True)
    history.item.add(nested_key=["word"], text="ja")
    run.write(tmp_path / "run-r.wandb")

    import_runs(tmp_path / "run-r.wandb", root=root)

    record = tb.open_store(root).run("r")
    last = {name: (summary.last_step, summary.last) for name, summary in record.metrics.items()}
    assert last == {"int": (3, -7.0), "float": (3, math.inf), "flag": (3, 1.0)}
    assert [(media.name, media.media) for media in record.media] == [("word", "text")]
    assert record.series("int").times_ns.tolist() == [0]


def test_files_elsewhere_are_told_and_not_read(tmp_path: Path, root: Path) -> None:
    (tmp_path / "private.txt").write_text("private")
    run = WrittenRun("r").log(0, {"loss": 1.0})
    run.add().files.files.add(path="link.txt")
    artifact = run.add().artifact
    artifact.name, artifact.type = "weights", "model"
    artifact.manifest.contents.add(path="private.txt", local_path=str(tmp_path / "private.txt"))
    run.write(tmp_path / "source" / "run-r.wandb")
    (tmp_path / "source" / "files").mkdir()
    (tmp_path / "source" / "files" / "link.txt").symlink_to(tmp_path / "private.txt")

    report = import_runs(tmp_path / "source", root=root)
    asked = import_runs(tmp_path / "source", root=tmp_path / "asked", files_from=[tmp_path])

    assert ["--files-from" in problem.reason for problem in report.runs[0].problems] == [True, True]
    assert tb.open_store(root).run("r").artifacts == ()
    assert asked.runs[0].problems == ()
    names = {artifact.name for artifact in tb.open_store(tmp_path / "asked").run("r").artifacts}
    assert names == {"link.txt", "weights/private.txt"}


def test_a_key_of_the_summary_that_only_sounds_like_one_of_a_row_is_kept(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r").log(0, {"loss": 1.0})
    run.add().summary.update.add(nested_key=["max_step"], value_json="5")
    run.add().summary.update.add(nested_key=["loss"], value_json="1.0")
    run.log(1, {"loss": 0.5}).write(tmp_path / "run-r.wandb")

    import_runs(tmp_path, source="wandb", root=root)

    assert tb.open_store(root).run("r").summary == {"max_step": 5}


def test_a_config_key_that_was_removed_is_null_and_a_float_stays_one(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r").configure_json("ratio", "3.0").configure_json("gone", '"x"').configure_json("ratio", "3")
    run.add().config.remove.add(key="gone")
    run.write(tmp_path / "run-r.wandb")

    import_runs(tmp_path, source="wandb", root=root)

    config = tb.open_store(root).run("r").config["script"]
    assert {name: repr(value) for name, value in config.items()} == {"ratio": "3.0", "gone": "None"}


def test_times_and_numbers_beyond_all_bounds_cost_only_themselves(tmp_path: Path, root: Path) -> None:
    run = WrittenRun("r").log(0, {"loss": 1.0, "_timestamp": 1e300}).log(1, {"loss": 0.5, "_step": 1e300})
    run.log(2, {"loss": 10**400, "_timestamp": "soon"}).log(3, {"loss": 0.25}).write(tmp_path / "run-r.wandb")

    report = import_runs(tmp_path, source="wandb", root=root)

    assert [problem.reason for problem in report.runs[0].problems] == ["no 64-bit numbers"]
    series = tb.open_store(root).run("r").series("loss")
    assert series.steps.tolist() == [0, 2, 3]
    assert series.values.tolist() == [1.0, math.inf, 0.25]
    assert series.times_ns.tolist()[:2] == [0, 0]
