"""Exports of Neptune's service as they are found: many runs, parts, missing files, and runs of our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from export_kit import row, write_file, write_run

import trackbridge as tb
from trackbridge.sources.base import Asked, Points, SourceMedia, SourceProblem, SourceRun
from trackbridge.sources.importing import import_runs
from trackbridge.sources.neptune_export import NeptuneExportSource

AT_MS = 1_700_000_000_000


def facts(place: Path) -> list[Any]:
    found = NeptuneExportSource().find(Asked(str(place)))
    return [fact for run in found if isinstance(run, SourceRun) for fact in run.facts()]


def test_a_series_goes_on_through_the_parts(tmp_path: Path) -> None:
    points = [row("loss", "float_series", float(step), step, AT_MS + step) for step in range(20)]
    write_run(tmp_path / "data", "ws/p", "P-1", points[:10], points[10:15], points[15:])

    read = [fact for fact in facts(tmp_path) if isinstance(fact, Points)]

    assert [(one.step, one.t, one.metrics["loss"]) for one in read] == [
        (step, (AT_MS + step) * 1_000_000, float(step)) for step in range(20)
    ]


def test_fractional_steps_are_counted_and_kept_as_epochs(tmp_path: Path) -> None:
    steps = (0.5, 1, 1.25)
    write_run(tmp_path / "data", "ws/p", "P-1", [row("loss", "float_series", 1.0, step, AT_MS) for step in steps])

    read = [(fact.step, fact.epoch) for fact in facts(tmp_path) if isinstance(fact, Points)]

    assert read == [(0, 0.5), (1, 1.0), (2, 1.25)]


def test_an_export_that_was_not_finished_is_told_of(tmp_path: Path) -> None:
    points = [row("loss", "float_series", 1.0, 1, AT_MS)]
    first, _ = write_run(tmp_path / "data", "ws/p", "P-1", points, points)
    first.unlink()

    (problem,) = [fact for fact in facts(tmp_path) if isinstance(fact, SourceProblem)]

    assert "was not finished" in str(problem)


def test_a_file_that_is_not_there_is_told_of_and_histograms_are_kept(tmp_path: Path) -> None:
    histogram = {"type": "COUNTING", "edges": [0.0, 1.0, 2.0], "values": [3.0, 4.0]}
    missing = row("model", "file", {"path": "ws/p/P-1/model"})
    write_run(tmp_path / "data", "ws/p", "P-1", [missing, row("w", "histogram_series", histogram, 5, AT_MS)])

    read = facts(tmp_path)

    (problem,) = [fact for fact in read if isinstance(fact, SourceProblem)]
    assert str(problem) == "ws/p/P-1/model, model: the file is not in the export"
    (media,) = [fact for fact in read if isinstance(fact, SourceMedia)]
    with media.file.open() as file:
        assert file.read() == b'{"edges": [0.0, 1.0, 2.0], "counts": [3, 4]}'


def test_the_data_folder_alone_finds_the_files_beside_it_when_they_are_allowed(tmp_path: Path) -> None:
    write_run(tmp_path / "data", "ws/p", "P-1", [row("model", "file", {"path": "ws/p/P-1/model"})])
    write_file(tmp_path / "files", "ws/p", "ws/p/P-1/model", b"weights")

    report = import_runs(tmp_path / "data", root=tmp_path / "runs", files_from=[tmp_path / "files"])

    assert [(run.project, run.n_files, run.problems) for run in report.runs] == [("ws-p", 1, ())]


def test_what_trackbridge_had_delivered_to_the_service_is_known_again(tmp_path: Path) -> None:
    fields = [
        row("run/id", "string", "0190a1b2c3d47e5f8a9b0c1d2e3f4a5b"),
        row("run/project", "string", "cola"),
        row("run/started", "datetime", AT_MS),
        row("run/status", "string", "finished"),
        row("run/exit_code", "int", 0),
        row("run/ended", "datetime", AT_MS + 9000),
        row("sys/name", "string", "baseline"),
        row("seeds/init", "int", 1),
        row("config/script/lr", "float", 0.1),
        row("metrics/train/loss", "float_series", 0.5, 1, AT_MS + 1),
        row("not_finite/train/loss", "string_series", "NaN", 2, AT_MS + 2),
        row("epoch", "float_series", 0.25, 1, AT_MS + 1),
    ]
    write_run(tmp_path / "data", "ws/p", "P-1", fields)

    import_runs(tmp_path, root=tmp_path / "runs")

    run = tb.open_store(tmp_path / "runs").run("baseline")
    assert (run.config["script"], run.seeds.init, run.status) == ({"lr": 0.1}, 1, "finished")
    series = run.series("train/loss")
    assert [repr(value) for value in series.values.tolist()] == ["0.5", "nan"]
    assert series.epochs.tolist()[0] == 0.25


def test_without_pyarrow_the_install_command_is_told(tmp_path: Path) -> None:
    write_run(tmp_path / "data", "ws/p", "P-1", [row("loss", "float_series", 1.0, 1, AT_MS)])
    script = f"""
import sys
sys.modules["pyarrow.parquet"] = None
from trackbridge.sources.importing import import_runs
import_runs({str(tmp_path)!r}, root={str(tmp_path / "runs")!r})
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)

    assert "pip install 'trackbridge[parquet]'" in done.stderr
