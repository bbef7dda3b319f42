"""
What every adapter has to do, as tests: inherit `AdapterContract` (or `OnlineContract`, where there is a server) and
give two fixtures.

    class TestMyTracker(AdapterContract):
        @pytest.fixture
        def connect(self): return functools.partial(MyAdapter, mode="offline", folder=...)
        @pytest.fixture
        def tracker(self): ...   # a `trackbridge.testing.seen.Tracker` of its own for each test

`connect` makes a new adapter object at every call; it is given to another process, so it has to be picklable.
Every test comes from a defect that some tracker or integration has had. For readable failures put
`pytest.register_assert_rewrite("trackbridge.testing")` into your conftest.py.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from trackbridge.adapters.base import Adapter, Capabilities, Ending, RemoteRef, Support
from trackbridge.events.models import (
    ConfigLogged,
    EnvironmentCaptured,
    Heartbeat,
    RunFinished,
    RunResumed,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.run.media import Text
from trackbridge.testing.bench import (
    CONFIRM_WITHIN_S,
    FINISHED,
    Bench,
    assert_config,
    confirm,
    deliver_and_be_killed,
)
from trackbridge.testing.files_contract import FilesContract
from trackbridge.testing.rows import STARTED_NS, RowBuilder
from trackbridge.testing.seen import Tracker

CONFIG: dict[str, Any] = {
    "optimizer": {"lr": 2e-5, "betas": [0.9, 0.999], "schedule": {"name": "linear", "warmup": 0.1}},
    "flag": True,
    "nothing": None,
    "name/with slash": "a/b",
    "ключ": "значение",
    "long": "x" * 3000,
    "many": {f"key_{number:03}": number for number in range(150)},
}


class AdapterContract(FilesContract):
    """What holds for every adapter, online or in its tracker's offline format."""

    @pytest.fixture
    def rows(self, tmp_path: Path) -> RowBuilder:
        """A run with a group, tags and notes, at its beginning."""
        folder = tmp_path / "run"
        folder.mkdir()
        return RowBuilder(folder, group="study", tags=("first", "second"), notes="line one\nline two")

    @pytest.fixture
    def bench(self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder) -> Bench:
        """Everything a test needs."""
        return Bench(connect, tracker, rows)

    def test_every_point_arrives_with_its_step_time_and_order(self, bench: Bench) -> None:
        for step in range(1, 41):
            bench.rows.add_metrics(step * 10, {"train/loss": 1 / step, "train/lr": 1e-5 * step}, epoch=step / 4)
            if step % 10 == 0:
                bench.rows.add_metrics(step * 10, {"eval/mcc": step / 40})

        bench.deliver()

        bench.assert_all_arrived()

    def test_the_events_are_left_as_they_were(self, bench: Bench) -> None:
        bench.rows.add(ConfigLogged, scope="script", config={"a": {"b": [1, 2]}})
        bench.rows.add_metrics(1, {"train/loss": 1.0, "train/nan": math.nan})
        before = msgspec.msgpack.encode([row.event for row in bench.rows.rows])

        bench.deliver()

        assert msgspec.msgpack.encode([row.event for row in bench.rows.rows]) == before

    def test_config_arrives_nested_long_and_in_any_language(self, bench: Bench) -> None:
        bench.rows.add(ConfigLogged, scope="script", config=CONFIG)
        bench.rows.add(ConfigLogged, scope="model", config={"layers": 12, "flag": False})
        bench.rows.add(ConfigLogged, scope="script", config={"flag": False, "optimizer": {"lr": 3e-5}})
        bench.rows.add(SeedsLogged, init=1, data=2, dropout=3)
        bench.rows.add(EnvironmentCaptured, environment={"python": {"version": "3.11.7"}})

        bench.deliver()

        script = {**CONFIG, "flag": False, "optimizer": {"lr": 3e-5}}
        expected = {
            "script": script,
            "model": {"layers": 12, "flag": False},
            "seeds": {"init": 1, "data": 2, "dropout": 3},
            "environment": {"python": {"version": "3.11.7"}},
        }
        assert_config(bench.seen.config, expected, bench.capabilities.nested_config)

    def test_name_group_tags_and_notes_arrive(self, bench: Bench) -> None:
        bench.rows.add(TagsSet, tags=["second", "third"])

        bench.deliver()

        seen, capabilities = bench.seen, bench.capabilities
        assert seen.name == "baseline"
        assert capabilities.group == "no" or seen.group == "study"
        assert capabilities.tags == "no" or seen.tags == {"second", "third"}
        assert capabilities.notes == "no" or seen.notes == "line one\nline two"

    def test_the_summary_shows_the_last_values(self, bench: Bench) -> None:
        bench.rows.add(SummaryLogged, values={"test/mcc": 0.5, "note": "first"})
        bench.rows.add(SummaryLogged, values={"test/mcc": 0.625})

        bench.deliver()

        assert float(bench.seen.summary["test/mcc"]) == 0.625
        assert str(bench.seen.summary["note"]) == "first"

    def test_values_that_are_not_finite_are_kept_or_rejected(self, bench: Bench) -> None:
        metrics = {"train/nan": math.nan, "train/inf": math.inf, "train/minus": -math.inf, "train/loss": 1.0}
        row = bench.rows.add_metrics(1, metrics)

        rejections = bench.rejections()

        spelled = {point.metric: str(point.value) for point in bench.seen.points if point.metric != "train/loss"}
        is_rejected = bench.capabilities.non_finite == "no"
        assert spelled == ({} if is_rejected else {"train/nan": "nan", "train/inf": "inf", "train/minus": "-inf"})
        assert {rejection.row for rejection in rejections} == ({row.number} if is_rejected else set())
        assert bench.seen.curve("train/loss") == [(1, 1.0)]

    def test_system_metrics_arrive_over_seconds(self, bench: Bench) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        for seconds in (15, 30):
            bench.rows.add_metrics(seconds, {"system/cpu_percent": seconds / 2, "system/gpu_0_power_w": 300.0})

        rejections = bench.rejections()

        is_rejected = bench.capabilities.system_metrics == "no"
        assert bench.seen.curve("system/cpu_percent") == ([] if is_rejected else [(15, 7.5), (30, 15.0)])
        assert len(rejections) == (2 if is_rejected else 0)
        assert bench.seen.curve("train/loss") == [(1, 1.0)]

    def test_one_run_is_one_run_at_the_tracker(self, bench: Bench) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        remote = bench.deliver(ending=None)
        bench.rows.add_metrics(2, {"train/loss": 0.5})

        bench.deliver(remote)

        assert bench.tracker.run_ids() == [bench.rows.header.run_id]
        bench.assert_all_arrived()

    def test_a_run_that_ended_and_went_on_is_one_run(self, bench: Bench) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        bench.rows.add(RunFinished, status="failed", exit_code=1, error="RuntimeError: first try")
        remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: first try"))
        bench.rows.add(RunResumed, from_step=1)
        bench.rows.add_metrics(2, {"train/loss": 0.5})

        bench.deliver(remote)

        assert bench.tracker.run_ids() == [bench.rows.header.run_id]
        assert bench.capabilities.status == "no" or bench.seen.status == "finished"
        bench.assert_all_arrived()

    def test_a_batch_handed_over_twice_is_there_once(self, bench: Bench) -> None:
        for step in range(1, 11):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        adapter.deliver(bench.rows.rows[5:])
        confirm(adapter)
        adapter.close(FINISHED)

        bench.assert_all_arrived()

    def test_another_adapter_object_delivers_the_same_again_and_it_is_there_once(self, bench: Bench) -> None:
        for step in range(1, 11):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        remote = bench.deliver(ending=None)

        bench.deliver(remote)

        bench.assert_all_arrived()

    def test_what_was_counted_as_delivered_need_not_be_delivered_again(self, bench: Bench) -> None:
        for step in range(1, 11):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        remote = bench.deliver(ending=None)
        counted = len(bench.rows.rows)
        for step in range(11, 21):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})

        bench.deliver(remote, counted=counted)

        bench.assert_all_arrived()

    def test_steps_that_go_back_after_a_resume_are_shown(self, bench: Bench) -> None:
        for step in range(1, 8):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        bench.rows.add(RunResumed, from_step=4, checkpoint="checkpoint-4")
        for step in range(5, 11):
            bench.rows.add_metrics(step, {"train/loss": 10 / step})

        bench.deliver()

        bench.assert_all_arrived()

    def test_two_open_runs_do_not_mix(self, bench: Bench, tmp_path: Path) -> None:
        runs = [bench, Bench(bench.connect, bench.tracker, RowBuilder(tmp_path / "other", run_id="b" * 32))]
        adapters = []
        for value, run in enumerate(runs):
            run.rows.header.folder.mkdir(exist_ok=True)
            run.rows.add(ConfigLogged, scope="script", config={"which": value})
            for step in range(1, 6):
                run.rows.add_metrics(step, {"train/loss": float(value)})
            adapters.append(run.open())
        for start in range(0, 7, 2):
            for run, adapter in zip(runs, adapters, strict=True):
                adapter.deliver(run.rows.rows[start : start + 2])
        for adapter in adapters:
            confirm(adapter)
            adapter.close(FINISHED)

        assert sorted(bench.tracker.run_ids()) == sorted(run.rows.header.run_id for run in runs)
        for value, run in enumerate(runs):
            run.assert_all_arrived()
            assert_config(run.seen.config, {"script": {"which": value}}, run.capabilities.nested_config)

    @pytest.mark.parametrize("confirm_s", [0.0, CONFIRM_WITHIN_S], ids=["on-its-way", "confirmed"])
    def test_a_process_killed_after_deliver_loses_and_doubles_nothing(self, bench: Bench, confirm_s: float) -> None:
        remote = bench.deliver(ending=None)
        for step in range(1, 61):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        for upto in (21, 41):
            self.deliver_and_be_killed(bench, remote, upto, confirm_s)

        bench.deliver(remote)

        assert bench.tracker.run_ids() == [bench.rows.header.run_id]
        bench.assert_all_arrived()

    def deliver_and_be_killed(self, bench: Bench, remote: RemoteRef, upto: int, confirm_s: float) -> None:
        """Hand the first rows over in a process that is killed; a tracker that lives in this process overrides it."""
        deliver_and_be_killed(bench.connect, bench.rows.header, remote, bench.rows.rows[:upto], confirm_s=confirm_s)

    @pytest.mark.parametrize("status", ["finished", "failed", "killed", "lost"])
    def test_the_status_is_the_true_one(
        self, bench: Bench, status: Literal["finished", "failed", "killed", "lost"]
    ) -> None:
        code = {"finished": 0, "failed": 1, "killed": 137, "lost": None}[status]
        error = None if status == "finished" else "RuntimeError: out of memory"
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        if status != "lost":
            bench.rows.add(RunFinished, status=status, exit_code=code, error=error, traceback="Traceback: line 7")

        bench.deliver(ending=Ending(status, code, error, bench.rows.rows[-1].event.t))

        seen, support = bench.seen, bench.capabilities.status
        assert support != "yes" or seen.status == {"lost": "killed"}.get(status, status)
        assert support == "no" or seen.status != "running"
        assert support == "no" or (seen.status == "finished") == (status == "finished")
        assert (error or "") in seen.error

    def test_what_a_run_printed_last_arrives_when_it_failed_and_only_then(self, bench: Bench) -> None:
        lines = ["step 41: loss 0.5", "  <b>größer</b> | 100 % & \U0001f642", "RuntimeError: CUDA out of memory"]
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        remote = bench.deliver(ending=None)
        before = bench.seen.console

        ending = Ending("lost", None, "gone", STARTED_NS, console="\n".join(lines))
        bench.deliver(remote, ending=ending)
        # As a relay does that was killed before it noted the end.
        bench.deliver(remote, ending=ending)

        shown = bench.seen.console
        assert before == ""
        assert bench.capabilities.console == "no" or [shown.count(line) for line in lines] == [1, 1, 1]
        assert sorted(lines, key=shown.find) == lines

    def test_a_run_that_finished_shows_nothing_of_what_it_printed(self, bench: Bench) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})

        bench.deliver()

        assert bench.seen.console == ""

    def test_closing_the_connection_does_not_end_the_run(self, bench: Bench) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})

        bench.deliver(ending=None)

        assert bench.capabilities.status == "no" or bench.seen.status == "running"

    def test_what_was_rejected_is_rejected_again_when_it_comes_again(self, bench: Bench) -> None:
        bench.rows.add_unknown("gradient_logged", norm=1.0)
        bench.rows.add_media(7, "eval/sample", Text("The cat sat."))
        next((bench.rows.header.folder / "files" / "media").iterdir()).unlink()
        remote: RemoteRef | None = None
        rejections = []
        for _ in range(2):
            adapter = bench.connect()
            remote = adapter.open(bench.rows.header, remote)
            rejections.append(adapter.deliver(bench.rows.rows).rejections)
            confirm(adapter)
            adapter.close(None)

        first, again = rejections
        assert len(first) == 2
        assert again == first

    def test_what_this_version_does_not_know_is_a_rejection(self, bench: Bench) -> None:
        unknown = bench.rows.add_unknown("gradient_logged", norm=1.0)
        bench.rows.add(Heartbeat)
        bench.rows.add_metrics(1, {"train/loss": 1.0})

        rejections = bench.rejections()

        assert [(rejection.row, rejection.kind) for rejection in rejections] == [(unknown.number, "gradient_logged")]
        assert rejections[0].reason

    def test_an_empty_batch_is_no_trouble(self, bench: Bench) -> None:
        adapter = bench.open()

        assert adapter.deliver([]).rejections == ()
        confirm(adapter)
        adapter.close(None)

    def test_the_terminal_stays_quiet(self, bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})

        bench.deliver()

        assert capfd.readouterr() == ("", "")

    def test_every_change_and_gap_has_a_rule(self, bench: Bench) -> None:
        supported = supports(bench.capabilities)
        imperfect = {name for name, support in supported.items() if support != "yes"}

        assert imperfect <= set(bench.capabilities.rules) <= set(supported)

    def test_importing_the_adapter_does_not_import_the_sdk(self, bench: Bench) -> None:
        module = type(bench.connect()).__module__
        code = f"import sys, {module}; sys.exit({bench.capabilities.sdk!r} in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def supports(capabilities: Capabilities) -> dict[str, Support]:
    """The fields of the support table."""
    names = [name for name in Capabilities.__dataclass_fields__ if name not in ("rules", "sdk", "tested_versions")]
    return {name: getattr(capabilities, name) for name in names}
