"""What becomes of the facts of a source: journals and files, nothing twice, nothing outside of the run."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trackbridge as tb
from trackbridge.errors import MisuseError, SourceRefused
from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    MetricsLogged,
    RunFinished,
    RunResumed,
    RunStarted,
    WriterOpened,
)
from trackbridge.journal.console import console_text
from trackbridge.journal.paths import journal_files, run_folders
from trackbridge.sources.base import (
    UNKNOWN_NS,
    Fact,
    Points,
    Printed,
    SourceArtifact,
    SourceFile,
    SourceMedia,
    SourceProblem,
    SourceRun,
    Unmapped,
)
from trackbridge.sources.outcome import ImportedRun
from trackbridge.sources.writing import write_run
from trackbridge.testing.imported import contents, logged_points
from trackbridge.testing.written import events_of

pytest.register_assert_rewrite("trackbridge.testing")
T = 1_700_000_000_000_000_000
START = RunStarted(seq=0, t=T, project="demo", name="old")


def bring(root: Path, *facts: Fact, identity: str = "one", session: str = "", **run: Any) -> ImportedRun:
    found = SourceRun(identity, run.pop("project", "demo"), "old", partial(iter, facts), session)
    return write_run(found, source="told", root=root, project=None)


def folder_of(root: Path) -> Path:
    (folder,) = run_folders(root)
    return folder


def file(content: bytes, name: str = "file.bin") -> SourceFile:
    return SourceFile(name, partial(io.BytesIO, content))


names = st.sampled_from(["loss", "eval/mcc", "system/cpu", "a/b", "Ж"])
values = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -0.0, 0.0]))
points = st.builds(
    Points,
    st.integers(0, 2**62),
    st.integers(-(2**40), 2**40),
    st.dictionaries(names, values, min_size=1, max_size=3),
    st.none() | st.floats(0, 9),
)
others = st.one_of(
    st.builds(Unmapped, st.just(T), st.sampled_from("xyz"), st.integers()),
    st.builds(Printed, st.text(max_size=5)),
    st.builds(lambda lr: ConfigLogged(seq=0, t=T, scope="script", config={"lr": lr}), values),
    st.builds(lambda b: SourceArtifact(T, "weights", "model", file(b)), st.binary(max_size=3)),
    st.builds(lambda b: SourceMedia(T, "picture", 1, "image", "png", file(b)), st.binary(max_size=3)),
    st.builds(SourceProblem, st.just("f"), st.just(""), st.just("torn")),
)
runs = st.lists(points | others, max_size=12)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@given(runs)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_twice_changes_nothing(facts: list[Fact]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bring(root, START, *facts)
        before = contents(root)

        again = bring(root, START, *facts)

        assert again.state == "unchanged"
        assert contents(root) == before


@given(runs, runs)
@settings(max_examples=25, deadline=None)
def test_a_run_that_has_grown_adds_only_what_is_new(earlier: list[Fact], later: list[Fact]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grown, at_once = Path(folder, "grown"), Path(folder, "at once")
        bring(grown, START, *earlier)
        bring(grown, START, *earlier, *later)
        bring(at_once, START, *earlier, *later)

        assert set(logged_points(grown)) == set(logged_points(at_once))
        assert len(logged_points(grown)) <= len(logged_points(at_once))
        assert contents(folder_of(grown) / "files") == contents(folder_of(at_once) / "files")


def test_points_keep_time_step_epoch_and_what_is_not_finite(root: Path) -> None:
    bring(root, START, Points(T + 5, 7, {"a": math.nan, "b": -math.inf}, 0.5), Points(T + 4, 3, {"a": 1.0}))

    (first, second) = sorted(events_of(folder_of(root), MetricsLogged), key=lambda event: -event.t)
    assert (first.t, first.step, first.epoch, repr(first.metrics)) == (T + 5, 7, 0.5, "{'a': nan, 'b': -inf}")
    assert (second.t, second.step, second.metrics) == (T + 4, 3, {"a": 1.0})


def test_system_metrics_go_to_a_journal_of_their_own(root: Path) -> None:
    bring(root, START, Points(T, 1, {"system/cpu": 5.0, "loss": 1.0}))

    roles = {event.role: event.session_id for event in events_of(folder_of(root), WriterOpened)}
    assert set(roles) == {"import", "system"}
    assert len(set(roles.values())) == 1


def test_later_sessions_of_one_identity_are_one_run(root: Path) -> None:
    bring(root, START, Points(T, 5, {"loss": 1.0}), session="1")
    bring(root, RunResumed(seq=0, t=T + 100, from_step=3), Points(T + 101, 4, {"loss": 0.5}), session="2")

    record = tb.open_store(root).run("old")
    assert len(record.sessions) == 2
    assert record.series("loss").steps.tolist() == [4]


def test_a_run_that_was_renamed_since_has_its_new_name(root: Path) -> None:
    for name, tags in (("draft", ["a"]), ("better", ["a"]), ("final", ["a", "b"])):
        bring(root, RunStarted(seq=0, t=T, project="demo", name=name, tags=tags), Points(T + 1, 1, {"loss": 1.0}))

    (record,) = tb.open_store(root).runs()
    assert (record.name, record.tags) == ("final", ("a", "b"))


def test_a_run_is_found_again_in_a_project_that_was_renamed(root: Path) -> None:
    bring(root, START)
    (root / "demo").rename(root / "renamed")

    assert bring(root, START).project == "renamed"


def test_what_has_no_place_is_kept_under_the_scope_of_the_source(root: Path) -> None:
    done = bring(root, START, Unmapped(T, "sweep", {"id": 3}), SourceProblem("f.log", "line 3", "torn"))

    record = tb.open_store(root).run("old")
    assert done.unmapped == ("sweep",)
    assert record.config["told"] == {"sweep": {"id": 3}}
    assert record.environment["import"]["problems"] == ["f.log, line 3: torn"]


def test_a_refused_run_leaves_nothing(root: Path) -> None:
    def facts() -> Iterator[Fact]:
        yield START
        yield SourceArtifact(T, "weights", "model", file(b"bytes"))
        raise SourceRefused("a zip bomb")

    done = write_run(SourceRun("one", "demo", "old", facts), source="told", root=root, project=None)

    assert (done.state, [problem.reason for problem in done.problems]) == ("refused", ["a zip bomb"])
    assert contents(root) == {}


def test_a_reader_that_fails_costs_only_what_it_has_not_read(root: Path) -> None:
    def facts() -> Iterator[Fact]:
        yield START
        yield Points(T, 1, {"loss": 1.0})
        raise KeyError("unforeseen")

    done = write_run(SourceRun("one", "demo", "old", facts), source="told", root=root, project=None)

    assert done.n_points == 1
    assert "KeyError" in done.problems[0].reason


def test_steps_and_times_out_of_range_are_problems(root: Path) -> None:
    done = bring(root, START, Points(T, 2**63, {"loss": 1.0}), RunFinished(seq=0, t=2**70, status="finished"))

    assert done.n_points == 0
    assert len(done.problems) == 2


def test_config_nested_without_end_is_a_problem(root: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep}

    done = bring(root, START, ConfigLogged(seq=0, t=T, scope="script", config=deep), Points(T, 1, {"loss": 1.0}))

    assert [problem.where for problem in done.problems] == ["ConfigLogged"]
    assert done.n_points == 1


def test_secrets_in_config_are_masked(root: Path) -> None:
    bring(root, START, ConfigLogged(seq=0, t=T, scope="script", config={"api_key": "s3cr3ts3cr3t"}))

    assert b"s3cr3t" not in b"".join(path.read_bytes() for path in journal_files(folder_of(root)))


def test_only_the_end_of_a_long_console_is_kept(root: Path) -> None:
    lines = [Printed(f"line {number}\n") for number in range(40_000)]

    bring(root, START, Points(T, 1, {"loss": 1.0}), *lines)

    kept = console_text(folder_of(root))
    assert kept.endswith("line 39998\nline 39999")
    assert len(kept) < 200_000


def test_a_run_without_times_is_shown_without_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trackbridge.cli.main import app

    start = RunStarted(seq=0, t=UNKNOWN_NS, project="demo", name="old")
    end = RunFinished(seq=0, t=UNKNOWN_NS, status="finished")
    bring(root, start, *(Points(UNKNOWN_NS, step, {"loss": 1 / step}) for step in (1, 2, 3)), end)

    for command in (["ls"], ["show", "old"], ["tail", "old"]):
        app([*command, "--root", str(root)], standalone_mode=False)

    shown = capsys.readouterr().out
    assert "old" in shown
    assert "1970" not in shown
    assert "00:00:00" not in shown
    assert " y ago" not in shown
    record = tb.open_store(root).run("old")
    assert record.duration_s == 0
    with pytest.raises(MisuseError, match="without times"):
        tb.compare([record, record], align="time")


def test_events_of_one_kind_and_content_are_written_once_over_imports(root: Path) -> None:
    facts: Sequence[Fact] = (START, EnvironmentCaptured(seq=0, t=T, environment={"python": {"version": "3.9"}}))
    bring(root, *facts)
    bring(root, *facts, Points(T + 1, 1, {"loss": 1.0}))

    told = [event for event in events_of(folder_of(root), EnvironmentCaptured) if "python" in event.environment]
    assert len(told) == 1
