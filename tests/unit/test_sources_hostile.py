"""What was made to do harm, or is damaged in an absurd way: it costs neither memory, nor hours, nor the other runs."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tensorboard.util.tensor_util import make_tensor_proto
from test_sources_writing import START, T, bring, file, folder_of
from wandb_writer import WrittenRun

import trackbridge as tb
from trackbridge.errors import NotFoundError
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    EnvironmentCaptured,
    MediaLogged,
    MetricsLogged,
    RunFinished,
    RunStarted,
    WriterOpened,
)
from trackbridge.journal.paths import journal_files
from trackbridge.sources.base import UNKNOWN_NS, Points, SourceArtifact, SourceMedia
from trackbridge.sources.columns import nanoseconds_in
from trackbridge.sources.mlflow_yaml import read_meta
from trackbridge.sources.neptune_runs import nested
from trackbridge.sources.tensorboard_events import read_tensor
from trackbridge.sources.tensorboard_records import Damage, read_records
from trackbridge.sources.wandb_history import Axes, Row
from trackbridge.sources.wandb_records import AxisTold
from trackbridge.testing.written import events_of

LONE = "half\ud800"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_names_that_are_no_unicode_are_spelled_out_wherever_they_stand(root: Path) -> None:
    done = bring(
        root,
        RunStarted(seq=0, t=T, project="demo", name=LONE, tags=[LONE]),
        Points(T, 1, {LONE: 1.0}),
        SourceMedia(T, LONE, 1, "image", LONE, file(b"1"), LONE),
        SourceArtifact(T, LONE, LONE, file(b"2", LONE)),
        CheckpointSaved(seq=0, t=T, step=1, path=LONE, metrics={LONE: 1.0}),
    )

    assert not done.problems
    assert done.name == "half\\ud800"
    (media,) = events_of(folder_of(root), MediaLogged)
    (artifact,) = events_of(folder_of(root), ArtifactLogged)
    assert {media.name, media.caption, artifact.name, artifact.type} == {"half\\ud800"}
    assert (folder_of(root) / media.path).read_bytes() == b"1"


def test_media_at_a_step_that_no_journal_holds_are_a_problem(root: Path) -> None:
    done = bring(root, START, SourceMedia(T, "picture", 10**300, "image", "png", file(b"1")), Points(T, 1, {"a": 1.0}))

    assert [problem.where for problem in done.problems] == ["MediaLogged"]
    assert events_of(folder_of(root), MetricsLogged)


def test_a_point_at_a_step_of_hundreds_of_digits_is_a_problem(root: Path) -> None:
    done = bring(root, START, Points(10**4000, 10**400, {"a": 1.0}), Points(T, 1, {"a": 1.0}))

    assert done.n_points == 1
    assert len(str(done.problems[0])) < 200


def test_what_happened_at_a_time_that_no_journal_holds_is_kept_without_one(root: Path) -> None:
    started = RunStarted(seq=0, t=2**80, project="demo", name="far")

    done = bring(root, started, Points(T, 1, {"a": 1.0}), RunFinished(seq=0, t=-(2**80), status="finished"))

    assert done.name == "far"
    assert [problem.where for problem in done.problems] == ["RunStarted", "RunFinished"]
    assert events_of(folder_of(root), RunStarted)[0].t == UNKNOWN_NS
    assert events_of(folder_of(root), RunFinished)[0].t == UNKNOWN_NS
    assert {event.t for event in events_of(folder_of(root), WriterOpened)} == {UNKNOWN_NS}


def test_secrets_on_an_imported_command_line_are_masked(root: Path) -> None:
    told = {"command": {"argv": ["train.py", "--api-key", "s3cr3ts3cr3t", "--lr", "1"]}}

    bring(root, START, EnvironmentCaptured(seq=0, t=T, environment=told))

    written = b"".join(path.read_bytes() for path in journal_files(folder_of(root)))
    assert b"s3cr3t" not in written
    assert b"--lr" in written


@pytest.mark.parametrize("cell", ["inf", "nan", "9" * 400, float("-inf")])
def test_a_time_that_is_no_finite_number_is_none(cell: object) -> None:
    assert nanoseconds_in(cell) is None


def test_a_megabyte_of_empty_lines_is_read_at_once() -> None:
    # Quadratic time would be hours.
    assert read_meta("name: 'a\n" + "\n" * 1_000_000 + "  b'\n" + "\n" * 1_000_000)["name"].startswith("a\n")


def test_a_path_of_a_thousand_levels_does_not_cost_the_rest_of_the_config() -> None:
    absurd = "/".join(["x"] * 1000)

    assert nested({"optimizer/lr": 1, absurd: 2}) == {"optimizer": {"lr": 1}, absurd: 2}


def test_a_tensor_of_absurdly_many_dimensions_is_damage() -> None:
    proto = make_tensor_proto(np.zeros(1, dtype="f4"))
    for _ in range(1000):
        proto.tensor_shape.dim.add().size = 2**62

    with pytest.raises(ValueError, match="dimensions"):
        read_tensor(proto.SerializeToString())


def test_a_tensor_that_stands_for_thousands_of_numbers_holds_one() -> None:
    proto = make_tensor_proto(np.ones(1, dtype="f4"))
    proto.tensor_shape.dim[0].size = 1 << 16

    tensor = read_tensor(proto.SerializeToString())

    assert (tensor.shape, tensor.spelled, len(tensor.elements)) == ((1 << 16,), [1.0], 1 << 16)


def test_zeros_at_the_end_of_a_torn_event_file_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(bytes(8 << 20))

    with path.open("rb") as opened:
        # A checksum for each of eight million places would take a minute.
        assert list(read_records(opened)) == [Damage(0, "the length of a record is damaged")]


def test_of_many_patterns_of_axes_the_longest_that_fits_is_meant() -> None:
    axes = Axes()
    axes.define(AxisTold("eval/*", True, "step", False))
    for number in range(20_000):
        axes.define(AxisTold(f"eval/{number}*", True, f"axis {number}", False))
    row = Row(number=1, numbers={"step": 7.0, "axis 12": 8.0})

    assert axes.step_of("eval/12/mcc", row) == 8
    assert axes.step_of("eval/mcc", row) == 7
    assert axes.step_of("train/loss", row) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_pipes_are_not_waited_for(tmp_path: Path, root: Path) -> None:
    place = tmp_path / "pipes"
    place.mkdir()
    for name in ("x.wandb", "mlflow.db", f"{'a' * 32}.zip", "messages.json", "events.out.tfevents.1", "data-1.log"):
        os.mkfifo(place / name)
    said: list[BaseException] = []

    def bring_pipes() -> None:
        for source in ("wandb", "comet", "mlflow", "trackio"):
            try:
                tb.import_runs(place, source=source, root=root)
            except NotFoundError as error:
                said.append(error)

    waiting = threading.Thread(target=bring_pipes, daemon=True)
    waiting.start()
    waiting.join(30)
    assert len(said) >= 2
    assert not waiting.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("source", ["mlflow", "trackio"])
def test_a_link_to_a_database_elsewhere_is_not_followed(tmp_path: Path, root: Path, source: str) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "private.db").write_bytes(b"SQLite format 3\0")
    (place / "mlflow.db").symlink_to(tmp_path / "private.db")

    with pytest.raises(NotFoundError):
        tb.import_runs(place, source=source, root=root)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_config_of_a_checkpoint_is_not_read_through_a_link(tmp_path: Path, root: Path) -> None:
    checkpoint = tmp_path / "out" / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    (tmp_path / "private.json").write_text('{"private": "letter"}', encoding="utf-8")
    (checkpoint / "config.json").symlink_to(tmp_path / "private.json")
    _write_state(checkpoint)

    tb.import_runs(tmp_path / "out", root=root)

    assert b"letter" not in b"".join(path.read_bytes() for path in journal_files(folder_of(root)))


def test_what_a_trainer_logged_that_is_no_number_is_kept_raw(tmp_path: Path, root: Path) -> None:
    _write_state(tmp_path / "out", max_steps="many")

    report = tb.import_runs(tmp_path / "out", root=root)

    assert not report.problems
    assert not report.runs[0].problems
    assert "note/step-1" in report.runs[0].unmapped


def test_a_file_of_absurd_name_in_one_run_does_not_cost_the_others(tmp_path: Path, root: Path) -> None:
    for run_id in ("a" * 32, "b" * 32):
        run = tmp_path / "mlruns" / "0" / run_id
        for part in ("metrics", "tags", "params"):
            (run / part).mkdir(parents=True)
        (run / "meta.yaml").write_text(f"run_id: {run_id}\nstatus: 3\n", encoding="utf-8")
        (run / "metrics" / "loss").write_text("1700000000000 0.5 1\n", encoding="utf-8")
    try:
        (run / "tags" / "new\nline").write_text("x", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")

    report = tb.import_runs(tmp_path / "mlruns", root=root)

    assert [one.run_id for one in report.runs if one.n_points] == [report.runs[0].run_id]
    assert "new" in str(report.problems[0])


def test_damage_in_a_folder_that_was_moved_is_nothing_new(tmp_path: Path, root: Path) -> None:
    states = []
    for place in ("before", "after"):
        folder = tmp_path / place / ".neptune" / "offline" / f"run__{'b' * 32}"
        folder.mkdir(parents=True)
        told = {"obj": {"type": "AssignFloat", "path": ["lr"], "value": 1.5}, "version": 1, "at": 1.7e9}
        (folder / "data-1.log").write_text(f"{json.dumps(told)}\ntorn\n", encoding="utf-8")
        states.append(tb.import_runs(tmp_path / place, root=root).runs[0].state)

    assert states == ["new", "unchanged"]


def test_the_summary_of_an_import_names_some_of_what_is_kept_raw(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from trackbridge.cli.main import app

    run = WrittenRun()
    for number in range(300):
        run.add().metric.name = f"metric-{number}"
    run.log(1, {"loss": 1.0}).finish()
    place = run.write(tmp_path / "run-x.wandb")

    app(["import", str(place), "--root", str(root)], standalone_mode=False)

    told = capsys.readouterr().out

    assert "define_metric/metric-0" in told
    assert len(told) < 3_000


def _write_state(folder: Path, max_steps: object = 5) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    history = [{"loss": 1.0, "note": "ein Wort", "step": 1}]
    state = {"log_history": history, "global_step": 1, "max_steps": max_steps}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
