"""
What every source has to do, as tests: inherit `SourceContract` and give three fixtures and the tracker's name.

    @pytest.fixture(scope="session")
    def made_place(tmp_path_factory): ...             # what the real SDK wrote offline: one whole run

    class TestMyTracker(SourceContract):
        source = "mytracker"
        @pytest.fixture
        def expected(self): return Expected(name="...", curves={...}, ...)
        @pytest.fixture
        def hostile_places(self, tmp_path): ...       # files that were made to do harm

The run holds everything the tracker can: metrics with NaN and infinities, one of them called `hostile_name`, steps out
of order, nested config, tags, a picture, a table, a file. Every test works on a copy of `made_place`. For readable
failures put `pytest.register_assert_rewrite("trackbridge.testing")` into your conftest.py.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

import trackbridge
from trackbridge.comparison.comparison import compare
from trackbridge.errors import TrackbridgeError
from trackbridge.events.models import MetricsLogged, RunFinished, RunResumed, RunStarted
from trackbridge.journal.console import console_text
from trackbridge.sources.base import Asked, Fact, SourceArtifact, SourceMedia, SourceProblem, SourceRun
from trackbridge.sources.importing import import_runs
from trackbridge.sources.outcome import ImportReport
from trackbridge.sources.registry import find_source, load_source
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store
from trackbridge.testing.imported import contents, logged_points
from trackbridge.testing.written import events_of

N_CUTS = 25
N_FLIPS = 30
_ALONE = """
import socket, sys
BLOCKED = set({blocked!r}.split())
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED or name.startswith(("google.protobuf", "trackbridge.adapters")):
            raise ImportError(f"blocked: {{name}}")
def refuse(*arguments, **options):
    raise AssertionError(f"reaches out to {{arguments}}")
sys.meta_path.insert(0, Blocker())
socket.socket.connect = socket.getaddrinfo = refuse
from trackbridge.sources.importing import import_runs
report = import_runs({place!r}, source={source!r}, root={root!r})
print(sum(run.n_points for run in report.runs))
"""
SDKS = "wandb comet_ml neptune mlflow tensorboard tensorflow trackio torch transformers pandas"


@dataclass(frozen=True)
class Expected:
    """What the run is to read as, in the journal's words.

    Attributes:
        name: the run's.
        curves: every (step, value) of some metrics by step, the last value logged at each.
        config: user's own, which is to be in the scope `script`; there may be more.
        status: `finished`, `failed` or `killed`; None for a tracker whose files do not tell.
        summary: values without a step; there may be more.
        media: (name, our word for its type, step) of all of them.
        files: the bytes of artifacts by name; there may be more.
        printed: a part of what the run printed.
        times_ns: the times between which every point was logged; None for a tracker that keeps none.
        has_system: whether there are system metrics.
    """

    name: str
    curves: Mapping[str, Sequence[tuple[int, float]]]
    config: Mapping[str, Any] = field(default_factory=dict)
    status: str | None = "finished"
    exit_code: int | None = None
    group: str | None = None
    tags: frozenset[str] = frozenset()
    notes: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    media: frozenset[tuple[str, str, int]] = frozenset()
    files: Mapping[str, bytes] = field(default_factory=dict)
    printed: str = ""
    times_ns: tuple[int, int] | None = None
    has_system: bool = False


class SourceContract:
    """What holds for every source of files. `data_file` and `shrink` may be overridden where one file is not all."""

    source: ClassVar[str]
    hostile_name: ClassVar[str] = "../../<b>escape</b>"

    def data_file(self, place: Path) -> Path:
        """The file that is torn and flipped: the largest one."""
        return max((path for path in _files(place)), key=lambda path: path.stat().st_size)

    def shrink(self, place: Path) -> None:
        """Make of the copy what the source was at an earlier time: half of `data_file`."""
        path = self.data_file(place)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    @pytest.fixture
    def place(self, made_place: Path, tmp_path: Path) -> Path:
        """A copy of what the SDK wrote."""
        return _copied(made_place, tmp_path / "source" / made_place.name)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Where runs are imported to."""
        return tmp_path / "runs"

    def bring(self, place: Path, root: Path) -> ImportReport:
        """Import it; override to give `files_from` or `columns`."""
        return import_runs(place, source=self.source, root=root)

    def test_it_is_recognised(self, place: Path) -> None:
        assert find_source(str(place)).name == self.source

    def test_every_point_is_kept_with_its_step_and_time(self, place: Path, root: Path, expected: Expected) -> None:
        self.bring(place, root)

        record = open_store(root).run(expected.name)
        curves = {name: _curve(record, name) for name in expected.curves}
        assert {name: list(map(repr, curve)) for name, curve in curves.items()} == {
            name: list(map(repr, sorted(curve, key=lambda point: point[0]))) for name, curve in expected.curves.items()
        }
        first, last = expected.times_ns or (0, 0)
        times = {time for name in expected.curves for time in record.series(name).times_ns.tolist()}
        assert all(first <= time <= last for time in times)

    def test_what_describes_the_run_is_kept(self, place: Path, root: Path, expected: Expected) -> None:
        self.bring(place, root)

        record = open_store(root).run(expected.name)
        assert (record.group, frozenset(record.tags), record.notes) == (expected.group, expected.tags, expected.notes)
        assert _part(record.config.get("script", {}), expected.config) == expected.config
        assert _part(record.summary, expected.summary) == expected.summary
        assert any(name.startswith("system/") for name in record.metrics) == expected.has_system
        last = record.sessions[-1]
        assert (last.status, last.exit_code) == (expected.status, expected.exit_code)

    def test_media_files_and_printed_lines_are_kept(self, place: Path, root: Path, expected: Expected) -> None:
        self.bring(place, root)

        record = open_store(root).run(expected.name)
        assert {(one.name, one.media, one.step) for one in record.media} == expected.media
        assert all((Path(record.path) / one.path).stat().st_size == one.size_bytes for one in record.media)
        kept = {one.name: (Path(record.path) / one.path).read_bytes() for one in record.artifacts}
        assert _part(kept, expected.files) == expected.files
        assert expected.printed in console_text(Path(record.path))

    def test_importing_twice_changes_nothing(self, place: Path, root: Path) -> None:
        self.bring(place, root)
        before = contents(root)

        report = self.bring(place, root)

        assert {run.state for run in report.runs} == {"unchanged"}
        assert contents(root) == before

    def test_a_source_that_has_grown_adds_only_what_is_new(
        self, place: Path, made_place: Path, root: Path, tmp_path: Path, expected: Expected
    ) -> None:
        self.shrink(place)
        self.bring(place, root)
        earlier = logged_points(root)
        _copied(made_place, place)

        report = self.bring(place, root)

        self.bring(place, tmp_path / "at once")
        assert {run.state for run in report.runs} <= {"grown", "unchanged"}
        assert sorted(logged_points(root)) == sorted(logged_points(tmp_path / "at once"))
        assert set(earlier) < set(logged_points(root))
        grown, at_once = (open_store(one).run(expected.name) for one in (root, tmp_path / "at once"))
        assert (grown.config, grown.tags, grown.status) == (at_once.config, at_once.tags, at_once.status)
        assert set(grown.media) == set(at_once.media)

    def test_a_source_torn_anywhere_gives_what_can_be_read_and_says_where(self, place: Path, tmp_path: Path) -> None:
        self.bring(place, tmp_path / "whole")
        whole, path = set(logged_points(tmp_path / "whole")), self.data_file(place)
        content, name = path.read_bytes(), path.name
        told = 0

        for number in range(N_CUTS):
            path.write_bytes(content[: len(content) * number // N_CUTS + number % 2])
            problems = self._survive(place, tmp_path / f"torn {number}")
            told += any(name in problem.file for problem in problems)
            assert set(logged_points(tmp_path / f"torn {number}")) <= whole

        assert told

    def test_flipped_bytes_are_survived(self, place: Path, tmp_path: Path) -> None:
        path, dice = self.data_file(place), random.Random(1)
        content = path.read_bytes()

        for number in range(N_FLIPS):
            at = dice.randrange(len(content))
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :])
            self._survive(place, tmp_path / f"flipped {number}")

        assert {one.name for one in tmp_path.iterdir()} <= {"source", *(f"flipped {n}" for n in range(N_FLIPS))}

    def test_what_was_made_to_do_harm_is_refused(
        self, hostile_places: Sequence[Path], root: Path, tmp_path: Path
    ) -> None:
        before = {path for path in tmp_path.rglob("*") if root not in path.parents}

        told = {str(place): self._refusal(place, root) for place in hostile_places}

        assert told, "give at least one hostile place"
        assert all(told.values()), told
        assert {path for path in tmp_path.rglob("*") if root not in path.parents} - {root} == before - {root}
        assert logged_points(root) == []

    def test_nothing_is_written_outside_of_the_run(self, place: Path, root: Path, tmp_path: Path) -> None:
        before = contents(place.parent)

        report = self.bring(place, root)

        assert contents(place.parent) == before
        assert {one.name for one in tmp_path.iterdir()} == {"source", "runs"}
        folders = {(run.project, run.run_id) for run in report.runs}
        assert {tuple(Path(name).parts[:2]) for name in contents(root)} <= folders

    def test_hostile_names_are_text(self, place: Path, root: Path, expected: Expected) -> None:
        self.bring(place, root)

        assert self.hostile_name in open_store(root).run(expected.name).metrics

    def test_it_is_read_without_sdk_and_network(self, place: Path, root: Path) -> None:
        script = _ALONE.format(blocked=SDKS, place=str(place), source=self.source, root=str(root))

        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)

        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 0

    def test_it_reads_the_same_every_time(self, place: Path) -> None:
        first, second = self._facts(place), self._facts(place)

        assert first
        assert first == second

    def test_a_run_begins_once_and_ends_as_the_source_says(self, place: Path, expected: Expected) -> None:
        for run in self._found(place):
            kinds = [type(fact) for fact in run.facts() if not isinstance(fact, SourceProblem)]
            assert kinds[0] in (RunStarted, RunResumed)
            assert kinds.count(RunStarted) + kinds.count(RunResumed) == 1
            assert kinds.count(RunFinished) == (expected.status is not None)

    def test_an_imported_run_is_listed_compared_and_delivered(
        self, place: Path, root: Path, expected: Expected
    ) -> None:
        self.bring(place, root)

        record = open_store(root).run(expected.name)
        assert expected.name in {one.name for one in open_store(root).runs(project=record.project)}
        assert compare([record, record]).names
        report = trackbridge.sync(root, to=["memory:offline"])
        assert report.is_complete
        delivered = list((Path(record.path) / "offline" / "memory" / record.run_id).iterdir())
        assert len(delivered) >= len(events_of(Path(record.path), MetricsLogged))

    def _found(self, place: Path) -> list[SourceRun]:
        found = load_source(self.source).find(Asked(str(place)))
        return [one for one in found if isinstance(one, SourceRun)]

    def _facts(self, place: Path) -> list[str]:
        return [_as_text(fact) for run in self._found(place) for fact in run.facts()]

    def _survive(self, place: Path, root: Path) -> list[SourceProblem]:
        """Import something damaged; its problems. An error must be one of ours, which are told in one line."""
        try:
            report = self.bring(place, root)
        except TrackbridgeError:
            return []
        return [*report.problems, *(problem for run in report.runs for problem in run.problems)]

    def _refusal(self, place: Path, root: Path) -> str:
        try:
            report = self.bring(place, root)
        except TrackbridgeError as error:
            return str(error)
        return " ".join(str(problem) for run in report.runs if run.state == "refused" for problem in run.problems)


def _files(place: Path) -> Iterator[Path]:
    return iter([place]) if place.is_file() else (path for path in sorted(place.rglob("*")) if path.is_file())


def _copied(made: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if made.is_file():
        shutil.copy2(made, target)
        return target
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(made, target, symlinks=True))


def _curve(record: RunRecord, name: str) -> list[tuple[int, float]]:
    series = record.series(name)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def _part(whole: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if name in wanted}


def _as_text(fact: Fact) -> str:
    # A file's bytes are compared, not how they are come by; and NaN is equal to nothing.
    if isinstance(fact, (SourceMedia, SourceArtifact)):
        with fact.file.open() as file:
            return f"{fact.name} {fact.t} {fact.file.name} {file.read()!r}"
    return repr(fact)
