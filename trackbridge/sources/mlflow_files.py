"""
MLflow's file store: a folder for each run with a `meta.yaml` and a file for every param, metric and tag.

Source: `mlflow/store/tracking/file_store.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from trackbridge.sources.base import SourceFile, SourceProblem
from trackbridge.sources.files import checked_name, file_inside
from trackbridge.sources.mlflow_runs import NAME, MetricPoint, StoredRun
from trackbridge.sources.mlflow_yaml import read_meta

META, TRASH = "meta.yaml", ".trash"
_PARTS = ("metrics", "params", "tags")
# place / mlruns / experiment / run
_MAX_DEPTH = 3
_MAX_TEXT_BYTES = 1 << 20
_STATUS = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def run_folders(place: Path) -> Iterator[Path]:
    """The folders of runs at and below a place, in a stable order; those that were deleted are left out."""
    for folder, folders, names in os.walk(place):
        path = Path(folder)
        is_run = META in names and not set(_PARTS).isdisjoint(folders)
        depth = len(path.relative_to(place).parts)
        folders[:] = [] if is_run or depth == _MAX_DEPTH else sorted(name for name in folders if name != TRASH)
        if is_run:
            yield path


def read_run(folder: Path, store: Path) -> StoredRun | SourceProblem:
    """The run in a folder; a problem where its `meta.yaml` says too little."""
    problems: list[SourceProblem] = []
    meta = _meta(folder / META, store)
    if isinstance(meta, SourceProblem):
        # The other files still say most of it, and the folder is called by the run's id.
        problems.append(meta)
        meta = {}
    if meta.get("lifecycle_stage") == "deleted":
        return SourceProblem(str(folder), "", "the run was deleted in MLflow: it is left out")
    experiment = _meta(folder.parent / META, store)
    tags = _texts(folder, "tags", store, problems)
    return StoredRun(
        run_id=str(meta.get("run_id") or meta.get("run_uuid") or folder.name),
        name=str(meta.get("run_name") or tags.get(NAME) or folder.name),
        experiment=str(experiment.get("name") or "") if isinstance(experiment, dict) else "",
        status=_STATUS.get(meta.get("status", 0), str(meta.get("status", ""))),
        start_ms=_time(meta.get("start_time")),
        end_ms=_time(meta.get("end_time")),
        params=_texts(folder, "params", store, problems),
        tags=tags,
        points=partial(_points, folder, store),
        datasets=partial(_datasets, folder, store),
        artifacts=folder / "artifacts",
        store=store,
        problems=problems,
    )


def _points(folder: Path, store: Path) -> Iterator[MetricPoint | SourceProblem]:
    for file in _files(folder, "metrics", store):
        if isinstance(file, SourceProblem):
            yield file
            continue
        with file.open() as lines:
            for number, line in enumerate(iter(partial(lines.readline, _MAX_TEXT_BYTES), b""), start=1):
                point = _point(file.name, line)
                yield point or SourceProblem(f"{folder.name}/metrics/{file.name}", f"line {number}", "it is torn")


def _point(name: str, line: bytes) -> MetricPoint | None:
    """A line such as `1700000000000 0.5 3`: time, value, and since MLflow 1.0 the step; the last may be torn."""
    try:
        at_ms, value, *step = line.decode("ascii").split()
        if not line.endswith(b"\n"):
            return None
        return MetricPoint(name, float(value), int(at_ms), int(step[0]) if step else 0)
    except ValueError:
        return None


def _texts(folder: Path, part: str, store: Path, problems: list[SourceProblem]) -> dict[str, str]:
    """The files of a folder as texts by name, which may have slashes in it."""
    found: dict[str, str] = {}
    for file in _files(folder, part, store):
        if isinstance(file, SourceProblem):
            problems.append(file)
        else:
            with file.open() as opened:
                found[file.name] = opened.read(_MAX_TEXT_BYTES).decode("utf-8", "replace")
    return found


def _files(folder: Path, part: str, store: Path) -> Iterator[SourceFile | SourceProblem]:
    for path in _walked(folder / part):
        name = path.relative_to(folder / part).as_posix()
        file = file_inside(folder / part, name, named_by=str(folder), also=[store])
        yield file or SourceProblem(f"{folder.name}/{part}/{name}", "", "it leads out of the store, or is gone")


def _walked(folder: Path) -> Sequence[Path]:
    return sorted(Path(inner) / name for inner, _, names in os.walk(folder) for name in names)


def _datasets(folder: Path, store: Path) -> list[dict[str, Any]]:
    """What the run took in: the data sets of the experiment that its inputs name, with their tags."""
    found = []
    for path in _walked(folder / "inputs"):
        told = _meta(path, store)
        if isinstance(told, dict) and told.get("source_id"):
            source_id = checked_name(str(told["source_id"]), named_by=str(path))
            data = _meta(folder.parent / "datasets" / source_id / META, store)
            found.append({**(data if isinstance(data, dict) else {"id": source_id}), "tags": told.get("tags") or {}})
    return found


def _meta(path: Path, store: Path) -> dict[str, Any] | SourceProblem:
    try:
        file = file_inside(path.parent, path.name, named_by=str(path.parent), also=[store])
        if file is None:
            return SourceProblem(str(path), "", "it is gone, or leads out of the store")
        with file.open() as opened:
            return read_meta(opened.read(_MAX_TEXT_BYTES).decode("utf-8", "replace"))
    except ValueError as error:
        return SourceProblem(str(path), "", f"it cannot be read: {error}")


def _time(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**43 else None
