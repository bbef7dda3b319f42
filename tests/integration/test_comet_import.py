"""Comet's archives as they are found: continued, killed, damaged, hostile, and our own."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from comet_kit import run_script

import trackbridge as tb
from trackbridge.errors import NotFoundError
from trackbridge.sources.base import Asked, Points, SourceRun, Unmapped
from trackbridge.sources.comet import CometSource
from trackbridge.sources.comet_run import nested
from trackbridge.sources.importing import import_runs
from trackbridge.sources.writing import run_id_of


def test_archives_of_a_continued_experiment_are_sessions_of_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    run_script(folder, "for step in range(3): experiment.log_metric('loss', step, step=step)\nexperiment.end()")
    import_runs(folder, root=tmp_path / "runs")
    run_script(
        folder, "for step in range(3, 5): experiment.log_metric('loss', step, step=step)\nexperiment.end()", mode="get"
    )

    import_runs(folder, root=tmp_path / "runs")

    record = tb.open_store(tmp_path / "runs").run("base line ü")
    assert record.series("loss").steps.tolist() == [0, 1, 2, 3, 4]
    assert [session.status for session in record.sessions] == ["finished", "finished"]
    assert len(list(folder.glob("*.zip"))) == 2


def test_what_a_killed_run_left_is_imported_and_its_empty_archive_says_where_to_look(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "archives", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    logged = "for step in range(3): experiment.log_metric('loss', step, step=step)\n"
    # The SDK writes from a thread of its own.
    written = f"any(path.read_bytes().count(b'loss') == 3 for path in Path({str(temporary)!r}).glob('*/messages.json'))"
    kill = f"from pathlib import Path\nwhile not {written}: pass\nos.kill(os.getpid(), signal.SIGKILL)"
    assert run_script(folder, logged + kill, temporary=temporary) == -9

    (problem,) = CometSource().find(Asked(str(folder)))
    report = import_runs(temporary, root=tmp_path / "runs")

    assert "a killed run leaves such an archive" in str(problem)
    assert [(run.name, run.project) for run in report.runs] == [("base line ü", "general")]
    record = tb.open_store(tmp_path / "runs").run("base line ü")
    assert record.series("loss").values.tolist() == [0.0, 1.0, 2.0]
    assert record.sessions[-1].status is None
    (left,) = temporary.glob("*/messages.json")
    lines = left.read_bytes().splitlines(keepends=True)
    left.write_bytes(b"".join(lines[:-1]))
    (shorter,) = CometSource().find(Asked(str(temporary)))
    assert isinstance(shorter, SourceRun)
    assert run_id_of("comet", shorter) == report.runs[0].run_id


def test_steps_that_are_missing_or_no_whole_numbers_become_positions(tmp_path: Path) -> None:
    folder = tmp_path / "tmpab12cd"
    folder.mkdir()
    values = [("plain", None, None), ("plain", None, 2.5), ("half", 0.5, 1.0), ("half", 1, None), ("text", 1, None)]
    lines = [
        {
            "type": "metric_msg",
            "payload": {
                "local_timestamp": 1_700_000_000_000,
                "metric": {
                    "metricName": name,
                    "metricValue": "no number" if name == "text" else 1,
                    "step": step,
                    "epoch": epoch,
                },
            },
        }
        for name, step, epoch in values
    ]
    (folder / "messages.json").write_text("".join(json.dumps(line) + "\n" for line in lines))

    (run,) = CometSource().find(Asked(str(folder)))

    assert isinstance(run, SourceRun)
    facts = list(run.facts())
    points = [(name, one.step, one.epoch) for one in facts if isinstance(one, Points) for name in one.metrics]
    assert points == [("plain", 0, None), ("plain", 1, 2.5), ("half", 0, 0.5), ("half", 1, None)]
    assert [(one.key, one.value) for one in facts if isinstance(one, Unmapped)] == [("text/step-1", "no number")]


def test_parameters_in_the_way_of_others_stay_flat() -> None:
    flat = {"optimizer|lr": 1, "optimizer": "AdamW", "a": 1, "a|b": 2, "x|y|z": 3}

    assert nested(flat) == {"optimizer|lr": 1, "optimizer": "AdamW", "a": 1, "a|b": 2, "x": {"y": {"z": 3}}}


def test_an_archive_of_something_else_is_none_of_its(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("../train.csv", "text,label")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 and no more")

    assert not CometSource().recognises(str(tmp_path))
    with pytest.raises(NotFoundError, match="no archive of Comet's"):
        CometSource().find(Asked(str(tmp_path)))


def test_a_hostile_archive_does_not_keep_the_others_from_being_imported(tmp_path: Path) -> None:
    line = {"local_timestamp": 1, "metric": {"metricName": "loss", "metricValue": 1, "step": 0}}
    content = json.dumps({"type": "metric_msg", "payload": line})
    for name, member in (("good", "asset"), ("bad", "../../asset")):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            archive.writestr("messages.json", content)
            archive.writestr(member, b"bytes")

    report = import_runs(tmp_path, root=tmp_path / "runs")

    assert sorted((run.state, run.n_points) for run in report.runs) == [("new", 1), ("refused", 0)]
