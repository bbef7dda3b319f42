"""Neptune's directories as they are found: every operation of the client, queues of online runs, and our own."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from round_trip_kit import PNG, there_and_back

import trackbridge as tb
from trackbridge.errors import NotFoundError
from trackbridge.events.models import RunFinished
from trackbridge.sources.base import (
    Asked,
    Points,
    SourceArtifact,
    SourceMedia,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.importing import import_runs
from trackbridge.sources.neptune import NeptuneSource
from trackbridge.testing.crossing import cross
from trackbridge.testing.journals import ToldJournal

AT_S = 1_700_000_000.5


def write(
    place: Path, *operations: dict[str, Any], first: int = 1, counted: int | None = None, kind: str = "run"
) -> Path:
    """A directory as the client writes it, with these operations."""
    folder = place / ".neptune" / "async" / "run__0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b__1__abc"
    (folder / "upload_path").mkdir(parents=True)
    metadata = {"mode": "async", "containerId": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "containerType": kind}
    (folder / "metadata.json").write_text(json.dumps({**metadata, "createdAt": "2023-11-14T22:13:20+00:00"}))
    lines = [
        json.dumps({"obj": {**told, "path": told["path"].split("/")}, "version": version, "at": AT_S})
        for version, told in enumerate(operations, start=first)
    ]
    (folder / f"data-{first}.log").write_text("".join(f"{line}\n" for line in lines))
    (folder / "last_put_version").write_text(str(counted or first + len(operations) - 1))
    return folder


def facts(place: Path, *files_from: Path) -> list[Any]:
    found = NeptuneSource().find(Asked(str(place), files_from))
    return [fact for run in found if isinstance(run, SourceRun) for fact in run.facts()]


def points(read: list[Any]) -> list[tuple[int, float | None, dict[str, float]]]:
    return [(one.step, one.epoch, one.metrics) for one in read if isinstance(one, Points)]


def content(one: SourceArtifact) -> bytes:
    with one.file.open() as file:
        return file.read()


def floats(path: str, *values: tuple[float | None, float]) -> dict[str, Any]:
    told = [{"value": value, "step": step, "ts": AT_S} for step, value in values]
    return {"type": "LogFloats", "path": path, "values": told}


def test_a_series_with_a_fractional_step_is_counted_and_keeps_the_fraction(tmp_path: Path) -> None:
    write(tmp_path, floats("loss", (0.5, 1.0), (1, 0.5)), floats("other", (7, 1.0)), floats("loss", (1.5, 0.25)))

    assert points(facts(tmp_path)) == [
        (0, 0.5, {"loss": 1.0}),
        (1, 1.0, {"loss": 0.5}),
        (7, None, {"other": 1.0}),
        (2, 1.5, {"loss": 0.25}),
    ]


def test_points_without_a_step_are_counted(tmp_path: Path) -> None:
    write(tmp_path, floats("loss", (None, 1.0), (None, 0.5)))

    assert points(facts(tmp_path)) == [(0, None, {"loss": 1.0}), (1, None, {"loss": 0.5})]


def test_what_was_cleared_or_deleted_is_gone(tmp_path: Path) -> None:
    write(
        tmp_path,
        floats("loss", (1, 1.0)),
        {"type": "AssignInt", "path": "params/n", "value": 1},
        {"type": "ClearFloatLog", "path": "loss"},
        {"type": "DeleteAttribute", "path": "params/n"},
        floats("loss", (1, 2.0)),
        {"type": "AddStrings", "path": "sys/tags", "values": ["a", "b"]},
        {"type": "RemoveStrings", "path": "sys/tags", "values": ["a"]},
    )

    read = facts(tmp_path)

    assert points(read) == [(1, None, {"loss": 2.0})]
    assert read[0].tags == ["b"]
    assert not any("params" in str(fact) for fact in read)


def test_operations_without_a_place_here_are_kept_raw(tmp_path: Path) -> None:
    kinds = {
        "TrackFilesToArtifact": {"project_id": "p", "entries": [["s3://bucket/data", None]]},
        "AssignArtifact": {"hash": "abc"},
        "ConfigFloatSeries": {"min": 0, "max": 1, "unit": "%"},
        "CopyAttribute": {"container_id": "x", "source_path": ["y"]},
        "SomethingNew": {"value": 7},
    }
    write(tmp_path, *({"type": kind, "path": kind, **told} for kind, told in kinds.items()))

    raw = {fact.key: fact.value for fact in facts(tmp_path) if isinstance(fact, Unmapped)}

    assert raw == {kind: {"type": kind, **told} for kind, told in kinds.items()}


def test_files_are_copied_from_the_directory_and_from_where_the_user_allows(tmp_path: Path) -> None:
    outside = tmp_path / "data" / "weights.bin"
    outside.parent.mkdir()
    outside.write_bytes(b"weights")
    folder = write(
        tmp_path / "place",
        {"type": "UploadFile", "path": "kept", "ext": "txt", "tmp_file_name": "kept.txt"},
        {"type": "UploadFile", "path": "named", "ext": "bin", "file_path": str(outside)},
        {"type": "UploadFileContent", "path": "held", "ext": "txt", "file_content": "inline"},
        {"type": "UploadFileSet", "path": "set", "file_globs": [str(tmp_path / "data" / "*.bin")], "reset": "False"},
    )
    (folder / "upload_path" / "kept.txt").write_text("kept")

    strict, allowed = facts(tmp_path / "place"), facts(tmp_path / "place", tmp_path / "data")

    (problem,) = [fact for fact in strict if isinstance(fact, SourceProblem)]
    assert f"--files-from {outside.parent}" in str(problem)
    assert {one.name: content(one) for one in allowed if isinstance(one, SourceArtifact)} == {
        "kept": b"kept",
        "named": b"weights",
        "held": b"inline",
        "set/weights.bin": b"weights",
    }


def test_a_picture_that_is_none_is_a_problem_and_the_others_stay(tmp_path: Path) -> None:
    good = {"data": base64.b64encode(bytes.fromhex(PNG)).decode(), "name": "a", "description": "eins"}
    values = [{"value": good, "step": 1, "ts": AT_S}, {"value": {"data": "!"}, "step": 2, "ts": AT_S}]
    write(tmp_path, {"type": "LogImages", "path": "sample", "values": values})

    read = facts(tmp_path)

    (kept,) = [fact for fact in read if isinstance(fact, SourceMedia)]
    assert (kept.name, kept.step, kept.suffix, kept.caption) == ("sample", 1, "png", "eins")
    (problem,) = [fact for fact in read if isinstance(fact, SourceProblem)]
    assert "step 2" in str(problem)


def test_what_was_sent_already_and_what_was_lost_is_told(tmp_path: Path) -> None:
    write(tmp_path, floats("loss", (1, 1.0)), first=11, counted=15)

    problems = [str(fact) for fact in facts(tmp_path) if isinstance(fact, SourceProblem)]

    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "operations 1 to 10 were sent to the server and are not here any more",
        "the last 4 of 15 operations were not written when the process ended",
    ]


def test_runs_that_differ_in_their_process_only_are_replicates(tmp_path: Path) -> None:
    for number in (1, 2):
        facts_of_process = {"type": "AssignString", "path": f"monitoring/{number}/pid", "value": str(number)}
        seed = {"type": "AssignInt", "path": "params/seed", "value": number}
        rate = {"type": "AssignFloat", "path": "params/lr", "value": 0.1}
        folder = write(tmp_path / str(number), facts_of_process, seed, rate, floats("eval/mcc", (1, 0.5)))
        metadata = (folder / "metadata.json").read_text().replace("0190a1b2", f"0190a1b{number + 2}")
        (folder / "metadata.json").write_text(metadata)

        import_runs(tmp_path / str(number), root=tmp_path / "runs")

    compared = tb.compare(tb.open_store(tmp_path / "runs").runs())
    assert [len(group.runs) for group in compared.groups] == [2]


def test_a_project_is_no_run(tmp_path: Path) -> None:
    write(tmp_path, floats("loss", (1, 1.0)), kind="project")

    (problem,) = NeptuneSource().find(Asked(str(tmp_path)))

    assert "belongs to a project" in str(problem)
    with pytest.raises(NotFoundError, match="no directory"):
        NeptuneSource().find(Asked(str(tmp_path / ".neptune" / "async" / "nothing")))


def test_of_several_points_at_a_step_the_one_that_was_logged_last_counts(tmp_path: Path) -> None:
    told = ToldJournal().start("twice")
    for step, value in ((0, 1.0), (0, 2.0), (1, 3.0), (1, 4.0), (2, 5.0), (2, math.nan), (3, math.inf), (3, 6.0)):
        told.log(step, {"loss": value})
    told.tell(RunFinished, status="finished", exit_code=0).write(tmp_path / "runs")
    record = tb.open_store(tmp_path / "runs").run("twice")

    returned, _ = there_and_back(record, tmp_path / "runs", tracker="neptune", back=tmp_path / "back")

    assert list(map(repr, returned.series("loss").values.tolist())) == ["2.0", "4.0", "nan", "6.0"]
    assert cross(record, returned)["points"].fate == "kept"
