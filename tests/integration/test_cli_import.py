"""`trackbridge import`: what it prints, how it ends, and that hostile text stays text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_kit import ESCAPE, HOSTILE, call
from wandb_writer import WrittenRun

import trackbridge as tb


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of W&B with one run."""
    run = WrittenRun("r1", display_name="baseline", job_type="train").log(0, {"loss": 1.0}).log(1, {"loss": 0.5})
    return run.finish().write(tmp_path / "wandb" / "run-1" / "run-r1.wandb").parents[1]


def test_it_tells_run_by_run_what_was_added(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = call(capsys, "import", place, "--root", tmp_path / "runs")
    again = call(capsys, "import", place, "--root", tmp_path / "runs")

    assert (first.code, again.code) == (0, 0)
    assert "baseline" in first.out
    assert "kept as it was, in the config scope wandb: " in first.out
    assert "job_type" in first.out
    assert "wandb: 1 run (1 new)" in first.out
    assert "wandb: 1 run (1 unchanged)" in again.out


def test_damage_is_told_with_its_place_and_the_rest_is_imported(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = next(place.rglob("*.wandb"))
    file.write_bytes(file.read_bytes()[:-3])

    done = call(capsys, "import", place, "--root", tmp_path / "runs")

    assert done.code == 1
    assert "not read: run-r1.wandb, byte" in done.out
    assert tb.open_store(tmp_path / "runs").run("baseline").series("loss").steps.tolist() == [0, 1]


def test_the_report_is_there_for_programs(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--root", tmp_path / "runs", "--from", "wandb", "--project", "elsewhere", "--json")

    done = call(capsys, "import", place, *options)

    (run,) = json.loads(done.out)["runs"]
    assert (run["name"], run["project"], run["state"], run["n_points"]) == ("baseline", "elsewhere", "new", 2)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["gone"], 3, "nothing at 'gone'"),
        (["."], 3, "--from"),
        ([".", "--from", "wandbb"], 3, "wandb"),
        ([".", "--column", "step"], 2, "NAME=WHAT"),
        ([".", "--from", "wandb", "--project", "a/b"], 2, "folder name"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "import", *arguments)

    assert done.code == code
    assert told in done.err
    assert done.err.count("\n") == 1


def test_hostile_names_are_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = WrittenRun("r1", display_name=HOSTILE).log(0, {HOSTILE: 1.0, "x": {"_type": "image-file", "path": HOSTILE}})
    run.add().files.files.add(path="gone \u202e.txt")
    run.write(tmp_path / "wandb" / "run-r1.wandb")

    done = call(capsys, "import", tmp_path / "wandb", "--root", tmp_path / "runs")

    assert done.code == 1
    assert ESCAPE not in done.out + done.err
    assert "\u202e" not in done.out + done.err


def test_damage_without_end_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = WrittenRun("r1").log(0, {"loss": 1.0}).write(tmp_path / "run-r1.wandb")
    file.write_bytes(file.read_bytes() + b"\xff" * (60 << 15))

    done = call(capsys, "import", file, "--root", tmp_path / "runs")

    assert done.out.count("not read:") == 40
    assert "and 21 more" in done.out


def test_a_root_that_cannot_be_written_is_one_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")

    done = call(capsys, "import", place, "--root", tmp_path / "taken")

    assert done.code == 5
    assert done.err.startswith("trackbridge: the import stopped: ")
    assert len(done.err.splitlines()) == 1


def test_names_that_are_no_unicode_are_valid_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "table.jsonl"
    table.write_text('{"step": 1, "run": "half\\ud800", "loss": 1}\n{"step": 2, \n', encoding="utf-8")

    done = call(capsys, "import", table, "--root", tmp_path / "runs", "--json")

    assert json.loads(done.out)["runs"][0]["name"] == "half\\ud800"
