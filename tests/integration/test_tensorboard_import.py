"""Event files as they are found: several in a folder, folders in folders, damaged, linked, and our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from round_trip_kit import make_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

import trackbridge as tb
from trackbridge.errors import NotFoundError
from trackbridge.sources.base import Asked, Points, SourceArtifact, SourceMedia, SourceProblem, SourceRun
from trackbridge.sources.importing import import_runs
from trackbridge.sources.tensorboard import TensorboardSource
from trackbridge.sources.tensorboard_records import read_records


def found(place: Path) -> list[SourceRun]:
    return [one for one in TensorboardSource().find(Asked(str(place))) if isinstance(one, SourceRun)]


def facts(place: Path) -> list[Any]:
    return [fact for run in found(place) for fact in run.facts()]


def event_file(folder: Path) -> Path:
    return next(folder.glob("*tfevents*"))


def test_it_reads_what_tensorboard_itself_reads(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in range(50):
            writer.add_scalar("old", step / 7, step)
            writer.add_scalar("new", step / 3, step, new_style=True)
        for step in (1, 2):
            writer.add_histogram("weights", torch.randn(200, generator=generator), step)
            writer.add_image("noise", torch.rand(3, 5, 5, generator=generator), step)
        writer.add_pr_curve("pr", torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.4, 0.9]), 2, num_thresholds=5)

    told_by_us = facts(tmp_path / "run")

    theirs = EventAccumulator(
        str(tmp_path / "run"), size_guidance={"scalars": 0, "tensors": 0, "images": 0, "histograms": 0}
    )
    theirs.Reload()
    points = [
        (name, one.step, one.metrics[name], one.t)
        for one in told_by_us
        if isinstance(one, Points)
        for name in one.metrics
    ]
    assert [point[:3] for point in points if point[0] == "old"] == [
        ("old", e.step, e.value) for e in theirs.Scalars("old")
    ]
    expected = [("new", e.step, make_ndarray(e.tensor_proto).item()) for e in theirs.Tensors("new")]
    assert [point[:3] for point in points if point[0] == "new"] == expected
    times = [point[3] for point in points if point[0] == "old"]
    assert all(abs(t / 1e9 - e.wall_time) < 1e-6 for t, e in zip(times, theirs.Scalars("old"), strict=True))
    pictures = [one for one in told_by_us if isinstance(one, SourceMedia) and one.media == "image"]
    assert [one.file.open().read() for one in pictures] == [e.encoded_image_string for e in theirs.Images("noise")]
    histograms = [one for one in told_by_us if isinstance(one, SourceMedia) and one.media == "histogram"]
    for ours, event in zip(histograms, theirs.Histograms("weights"), strict=True):
        read = as_json(ours)
        value = event.histogram_value
        assert sum(read["counts"]) == sum(value.bucket) == value.num
        assert read["edges"] == value.bucket_limit[-len(read["edges"]) :]
        assert read["edges"][0] <= value.min
        assert value.max <= read["edges"][-1]
    (curve,) = [one for one in told_by_us if isinstance(one, SourceMedia) and one.name == "pr"]
    assert as_json(curve) == make_ndarray(theirs.Tensors("pr")[0].tensor_proto).tolist()


def as_json(one: SourceMedia) -> Any:
    return json.loads(one.file.open().read())


def test_folders_in_folders_are_runs_and_files_in_one_folder_are_one_run(tmp_path: Path) -> None:
    for step in (1, 2):
        with SummaryWriter(str(tmp_path / "study" / "seed 1"), filename_suffix=f".{step}") as writer:
            writer.add_scalar("loss", step, step)
    with SummaryWriter(str(tmp_path / "study")) as writer:
        writer.add_scalars("scores", {"mcc": 0.5}, 1)

    runs = found(tmp_path)

    assert [(run.project, run.name) for run in runs] == [
        (tmp_path.name, "study"),
        (tmp_path.name, "study/scores_mcc"),
        (tmp_path.name, "study/seed 1"),
    ]
    assert [fact.metrics for fact in runs[2].facts() if isinstance(fact, Points)] == [{"loss": 1.0}, {"loss": 2.0}]
    assert [run.identity for run in found(tmp_path / "study" / "seed 1")] == [runs[2].identity]


def test_a_restart_at_a_step_supersedes_what_was_before(tmp_path: Path) -> None:
    place = tmp_path / "logs" / "run"
    with SummaryWriter(str(place), filename_suffix=".1") as writer:
        for step in range(1, 8):
            writer.add_scalar("loss", 1.0, step)
    with SummaryWriter(str(place), filename_suffix=".2", purge_step=5) as writer:
        for step in range(5, 7):
            writer.add_scalar("loss", 2.0, step)

    import_runs(place, root=tmp_path / "runs")

    record = tb.open_store(tmp_path / "runs").run("run")
    series = record.series("loss")
    assert list(zip(series.steps.tolist(), series.values.tolist(), strict=True)) == [
        (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 2.0), (6, 2.0),
    ]  # fmt: skip
    assert [session.from_step for session in record.sessions] == [None, 4]


@pytest.mark.parametrize("at", [0, 9, 20], ids=["its length", "the checksum of its length", "its content"])
def test_a_damaged_record_is_located_and_what_follows_it_is_read(tmp_path: Path, at: int) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in range(10):
            writer.add_scalar("loss", float(step), step)
    path = event_file(tmp_path / "run")
    with path.open("rb") as file:
        starts = [record.at for record in read_records(file)]
    content = bytearray(path.read_bytes())
    # The version comes first.
    content[starts[4] + at] ^= 1
    path.write_bytes(content)

    read = facts(tmp_path / "run")

    assert [one.step for one in read if isinstance(one, Points)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    (problem,) = [one for one in read if isinstance(one, SourceProblem)]
    assert (problem.file, problem.where) == (path.name, f"byte {starts[4]}")


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "secret")) as writer:
        writer.add_scalar("loss", 1.0, 1)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "events.out.tfevents.1.host").symlink_to(event_file(tmp_path / "secret"))

    (problem,) = TensorboardSource().find(Asked(str(tmp_path / "logs")))

    assert isinstance(problem, SourceProblem)
    assert "leads out of the folder" in str(problem)


def test_what_has_no_word_here_becomes_a_text_or_a_file(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run")) as writer:
        writer.add_graph(torch.nn.Linear(2, 1), torch.zeros(1, 2))
        writer.add_custom_scalars({"losses": {"both": ["Multiline", ["train/loss", "eval/loss"]]}})
        writer.add_mesh("shape", torch.zeros(1, 3, 3))
        for summary in hparams({"lr": 0.1}, {"eval/mcc": 0.5}):
            writer.file_writer.add_summary(summary)

    read = facts(tmp_path / "run")

    files = {(one.name, one.type) for one in read if isinstance(one, SourceArtifact)}
    assert {("graph/step-0", "graph"), ("_hparams_/experiment", "hparams")} <= files
    kept = {one.name for one in read if isinstance(one, (SourceArtifact, SourceMedia))}
    assert any(name.startswith("custom_scalars__config__") for name in kept)
    assert "shape_VERTEX" in kept
    assert not [one for one in read if isinstance(one, SourceProblem)]


def test_a_logged_restart_of_nothing_is_no_session(tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "run"), purge_step=0) as writer:
        writer.add_scalar("loss", 1.0, 1)

    (run,) = found(tmp_path / "run")

    assert run.session == ""


def test_what_trackbridge_delivered_is_not_taken_for_another_run(tmp_path: Path) -> None:
    make_run(tmp_path / "trackbridge-runs", tmp_path / "work")
    tb.sync(tmp_path / "trackbridge-runs", to=["tensorboard:offline"])

    with pytest.raises(NotFoundError):
        TensorboardSource().find(Asked(str(tmp_path)))


def test_a_folder_without_event_files_is_none_of_its(tmp_path: Path) -> None:
    assert not TensorboardSource().recognises(str(tmp_path))
    with pytest.raises(NotFoundError, match="no event file"):
        TensorboardSource().find(Asked(str(tmp_path)))
