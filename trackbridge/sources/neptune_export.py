"""
What neptune-exporter saved of Neptune's service: Parquet files of runs, and beside them the runs' files.

    exports/data/<project>/<run>_part_<n>.parquet
    exports/files/<project>/<path as the rows have it>

Give the folder that holds both. Runs are read one after another, each a batch of rows at a time, so an export of any
size needs little memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from trackbridge.errors import NotFoundError
from trackbridge.sources.base import Asked, Fact, SourceFile, SourceProblem, SourceRun
from trackbridge.sources.files import file_inside
from trackbridge.sources.neptune_ours import OurSession, our_facts, our_run_id
from trackbridge.sources.neptune_parquet import FIELDS, SERIES, Row, identity_of, rows_of
from trackbridge.sources.neptune_runs import NeptuneRun, SeriesPoint, facts_of

_PART = re.compile(r"(?P<run>.+)_part_(?P<number>\d{1,9})\.parquet")
_REGISTRY = ("models", "model_versions")
_MAX_DEPTH = 4
_FILE_KINDS = ("file", "file_set", "artifact")


class NeptuneExportSource:
    """Reads the Parquet files of neptune-exporter."""

    name: ClassVar[str] = "neptune_export"

    def recognises(self, place: str) -> bool:
        """True for a folder with files such as `<run>_part_0.parquet`."""
        return next(_parts(Path(place)), None) is not None

    def find(self, asked: Asked) -> Sequence[SourceRun | SourceProblem]:
        """The runs of an export."""
        place = asked.path.resolve()
        roots = [place / "files", place, place.parent / "files" if place.name == "data" else place, *asked.files_from]
        found = [_run(place, parts, roots) for parts in _parts(place)]
        if not found:
            raise NotFoundError(f"there is no export in {asked.place!r}: its files are called <run>_part_0.parquet")
        return found


def _parts(place: Path) -> Iterator[list[Path]]:
    """The files of each run, in the order in which they were written."""
    for folder, folders, names in os.walk(place):
        path = Path(folder)
        folders[:] = [] if len(path.relative_to(place).parts) == _MAX_DEPTH else sorted(folders)
        if path.name in _REGISTRY:
            # Entries of the model registry, which are no runs.
            continue
        by_run: dict[str, dict[int, Path]] = {}
        for name in names:
            if match := _PART.fullmatch(name):
                by_run.setdefault(match["run"], {})[int(match["number"])] = path / name
        for run in sorted(by_run):
            yield [part for _, part in sorted(by_run[run].items())]


def _run(place: Path, parts: Sequence[Path], roots: Sequence[Path]) -> SourceRun | SourceProblem:
    files = []
    for part in parts:
        file = file_inside(place, part.relative_to(place).as_posix(), named_by=str(place))
        if file is None:
            return SourceProblem(str(part), "", "it leads out of the folder that is imported, or is gone")
        files.append(file)
    identity = identity_of(files[0])
    if isinstance(identity, SourceProblem):
        return identity
    project, run_id = identity
    is_whole = parts[0].name.endswith("_part_0.parquet")
    facts = partial(_facts, files, f"{project}/{run_id}", project, roots, is_whole=is_whole)
    return SourceRun(f"{project}/{run_id}", project, run_id, facts)


def _facts(
    files: Sequence[SourceFile], identity: str, project: str, roots: Sequence[Path], *, is_whole: bool
) -> Iterator[Fact]:
    run = NeptuneRun(identity, project=project)
    if not is_whole:
        reason = "its first part is missing: the export of this run was not finished"
        run.problems.append(SourceProblem(files[0].name, "", reason))
    folders = _Folders(project, roots)
    for row in chain.from_iterable(rows_of(file, list(FIELDS)) for file in files):
        _take_field(run, row, folders)
    for row in chain.from_iterable(rows_of(file, list(SERIES)) for file in files):
        if isinstance(row, Row) and (row.step is None or not row.step.is_integer()):
            run.by_position.add(row.path)
    run.series = partial(_series, files, folders)
    if our_run_id(run):
        yield from our_facts(run, OurSession())
    else:
        yield from facts_of(run)


def _take_field(run: NeptuneRun, row: Row | SourceProblem, folders: _Folders) -> None:
    if isinstance(row, SourceProblem):
        run.problems.append(row)
    elif row.kind == "string_set":
        run.sets[row.path] = sorted(map(str, row.value or ()))
    elif row.kind in _FILE_KINDS:
        found = folders.files(row)
        if not found:
            run.problems.append(SourceProblem(str(_path_of(row)), row.path, "the file is not in the export"))
        run.files.update(found)
    elif row.kind == "datetime" and row.value is not None:
        if row.path == "sys/creation_time":
            run.started_ns = row.value * 1_000_000
        moment = datetime.fromtimestamp(row.value / 1000, tz=timezone.utc)
        run.values[row.path] = moment.isoformat(timespec="milliseconds")
    else:
        run.values[row.path] = row.value


def _series(files: Sequence[SourceFile], folders: _Folders) -> Iterator[SeriesPoint | SourceProblem]:
    for row in chain.from_iterable(rows_of(file, list(SERIES)) for file in files):
        yield row if isinstance(row, SourceProblem) else _point(row, folders)


def _point(row: Row, folders: _Folders) -> SeriesPoint | SourceProblem:
    if row.value is None:
        return SourceProblem(row.path, f"step {row.step}", "the point has no value")
    if row.kind == "float_series":
        return SeriesPoint(row.path, "float", float(row.value), row.step, row.t)
    if row.kind == "string_series":
        return SeriesPoint(row.path, "text", row.value, row.step, row.t)
    if row.kind == "histogram_series":
        return SeriesPoint(row.path, "histogram", _histogram(row.value), row.step, row.t)
    found = list(folders.files(row).values())
    if not found:
        return SourceProblem(_path_of(row), f"{row.path}, step {row.step}", "the file is not in the export")
    return SeriesPoint(row.path, "file", found[0], row.step, row.t)


class _Folders:
    """Where the files of a project may lie."""

    def __init__(self, project: str, roots: Sequence[Path]) -> None:
        self._roots = [root / inner for root in dict.fromkeys(roots) for inner in (_sanitized(project), "")]

    def files(self, row: Row) -> dict[str, SourceFile]:
        """The file that a row names by the field's path; of a folder each file in it."""
        path = _path_of(row)
        for root in self._roots:
            if file := file_inside(root, path, named_by=row.path):
                return {row.path: file}
            folder = root / path
            if folder.is_dir() and folder.resolve().is_relative_to(root.resolve()):
                names = [one.relative_to(root).as_posix() for one in sorted(folder.rglob("*"))]
                files = ((name, file_inside(root, name, named_by=row.path)) for name in names)
                return {f"{row.path}/{PurePosixPath(name).relative_to(path)}": file for name, file in files if file}
        return {}


def _path_of(row: Row) -> str:
    return str(row.value.get("path") or "") if isinstance(row.value, Mapping) else ""


def _histogram(told: Mapping[str, Any]) -> bytes:
    counts = [int(count) if float(count).is_integer() else count for count in told.get("values") or ()]
    return json.dumps({"edges": list(told.get("edges") or ()), "counts": counts}).encode()


def _sanitized(name: str) -> str:
    """How the exporter calls the folder of a project: readable, and with a digest because two names may read alike."""
    readable = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
    return f"{readable}-{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}"
