"""
What every adapter has to do, as tests: inherit `AdapterContract`, or `OnlineContract` for the online path, and give
two fixtures.

    class TestMyTracker(OnlineContract):
        @pytest.fixture
        def connect(self): return functools.partial(MyAdapter, mode="online")
        @pytest.fixture
        def tracker(self): ...   # a `trackbridge.testing.seen.Tracker` (or `OnlineTracker`) of its own for each test

`connect` makes a new adapter object at every call; it is given to another process, so it has to be picklable. Each
test comes from a defect that some tracker or integration has had; docs/write-an-adapter.md tells which.
Put `pytest.register_assert_rewrite("trackbridge.testing.contract")` into your conftest.py for readable failures.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import pytest

from trackbridge.adapters.base import Adapter, Capabilities, Ending, Rejection, RemoteRef, Row, RunHeader, Support
from trackbridge.errors import DeliveryError, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    ConfigLogged,
    EnvironmentCaptured,
    Heartbeat,
    MetricsLogged,
    RunFinished,
    RunResumed,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.run.media import Histogram, Image, Table, Text
from trackbridge.testing.rows import RowBuilder
from trackbridge.testing.seen import OnlineTracker, SeenRun, Tracker

FINISHED = Ending(status="finished", exit_code=0)
TIME_TOLERANCE_NS = 1_000_000

CONFIG: dict[str, Any] = {
    "optimizer": {"lr": 2e-5, "betas": [0.9, 0.999], "schedule": {"name": "linear", "warmup": 0.1}},
    "flag": True,
    "nothing": None,
    "name/with slash": "a/b",
    "ключ": "значение",
    "long": "x" * 3000,
    "many": {f"key_{number:03}": number for number in range(150)},
}


class AdapterContract:
    """What holds for every adapter, online or in its tracker's offline format."""

    confirm_within_s: ClassVar[float] = 60.0

    @pytest.fixture
    def rows(self, tmp_path: Path) -> RowBuilder:
        """A run with a group, tags and notes, at its beginning."""
        folder = tmp_path / "run"
        folder.mkdir()
        return RowBuilder(folder, group="study", tags=("first", "second"), notes="line one\nline two")

    @pytest.fixture
    def capabilities(self, connect: Callable[[], Adapter]) -> Capabilities:
        return connect().capabilities

    def test_every_point_arrives_with_its_step_time_and_order(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        for step in range(1, 41):
            rows.add_metrics(step * 10, {"train/loss": 1 / step, "train/lr": 1e-5 * step}, epoch=step / 4)
            if step % 10 == 0:
                rows.add_metrics(step * 10, {"eval/mcc": step / 40})

        self.deliver_all(connect, rows)

        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_the_events_are_left_as_they_were(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add(ConfigLogged, scope="script", config={"a": {"b": [1, 2]}})
        rows.add_metrics(1, {"train/loss": 1.0, "train/nan": math.nan})
        before = msgspec.msgpack.encode([row.event for row in rows.rows])

        self.deliver_all(connect, rows)

        assert msgspec.msgpack.encode([row.event for row in rows.rows]) == before

    def test_config_arrives_nested_long_and_in_any_language(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add(ConfigLogged, scope="script", config=CONFIG)
        rows.add(ConfigLogged, scope="model", config={"layers": 12, "flag": False})
        rows.add(ConfigLogged, scope="script", config={"flag": False, "optimizer": {"lr": 3e-5}})
        rows.add(SeedsLogged, init=1, data=2, dropout=3)
        rows.add(EnvironmentCaptured, environment={"python": {"version": "3.11.7"}})

        self.deliver_all(connect, rows)

        seen, support = tracker.seen(rows.header.run_id).config, connect().capabilities.nested_config
        script = {**CONFIG, "flag": False, "optimizer": {**CONFIG["optimizer"], "lr": 3e-5}}
        assert_config(seen, {"script": script, "model": {"layers": 12, "flag": False}}, support)
        assert_config(seen, {"seeds": {"init": 1, "data": 2, "dropout": 3}}, support)
        assert_config(seen, {"environment": {"python": {"version": "3.11.7"}}}, support)

    def test_name_group_tags_and_notes_arrive(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add(TagsSet, tags=["second", "third"])

        self.deliver_all(connect, rows)

        seen, capabilities = tracker.seen(rows.header.run_id), connect().capabilities
        assert seen.name == "baseline"
        assert capabilities.group != "yes" or seen.group == "study"
        assert capabilities.tags != "yes" or seen.tags == {"second", "third"}
        assert capabilities.notes != "yes" or seen.notes == "line one\nline two"

    def test_the_summary_shows_the_last_values(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add(SummaryLogged, values={"test/mcc": 0.5, "note": "first"})
        rows.add(SummaryLogged, values={"test/mcc": 0.625})

        self.deliver_all(connect, rows)

        summary = tracker.seen(rows.header.run_id).summary
        assert float(summary["test/mcc"]) == 0.625
        assert str(summary["note"]) == "first"

    def test_one_run_is_one_run_at_the_tracker(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add_metrics(1, {"train/loss": 1.0})
        remote = self.deliver_all(connect, rows, ending=None)
        rows.add_metrics(2, {"train/loss": 0.5})

        self.deliver_all(connect, rows, remote=remote)

        assert tracker.run_ids() == [rows.header.run_id]
        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_values_that_are_not_finite_are_kept_or_rejected(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        bad = rows.add_metrics(1, {"train/nan": math.nan, "train/inf": math.inf, "train/minus": -math.inf, "a": 1.0})

        rejections = self.deliver_and_list(connect, rows)

        seen = tracker.seen(rows.header.run_id)
        values = {point.metric: str(point.value) for point in seen.points if point.metric != "a"}
        if connect().capabilities.non_finite == "no":
            assert values == {}
            assert {rejection.row for rejection in rejections} == {bad.number}
        else:
            assert values == {"train/nan": "nan", "train/inf": "inf", "train/minus": "-inf"}
        assert seen.curve("a") == [(1, 1.0)]

    def test_a_batch_handed_over_twice_is_there_once(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        for step in range(1, 11):
            rows.add_metrics(step, {"train/loss": 1 / step})
        adapter = connect()
        adapter.open(rows.header, None)
        adapter.deliver(rows.rows)
        adapter.deliver(rows.rows[5:])
        self.confirm(adapter)
        adapter.close(FINISHED)

        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, adapter.capabilities)

    def test_another_adapter_object_hands_the_batch_over_again_and_it_is_there_once(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        for step in range(1, 11):
            rows.add_metrics(step, {"train/loss": 1 / step})
        remote = self.deliver_all(connect, rows, ending=None)

        self.deliver_all(connect, rows, remote=remote)

        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_steps_that_go_back_after_a_resume_are_shown(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        for step in range(1, 8):
            rows.add_metrics(step, {"train/loss": 1 / step})
        rows.add(RunResumed, from_step=4, checkpoint="checkpoint-4")
        for step in range(5, 11):
            rows.add_metrics(step, {"train/loss": 10 / step})

        self.deliver_all(connect, rows)

        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_two_open_runs_do_not_mix(self, connect: Callable[[], Adapter], tracker: Tracker, tmp_path: Path) -> None:
        builders = [RowBuilder(tmp_path / name, run_id=name[0] * 32, name=name) for name in ("a-run", "b-run")]
        adapters = [connect(), connect()]
        for value, (rows, adapter) in enumerate(zip(builders, adapters, strict=True)):
            rows.header.folder.mkdir()
            adapter.open(rows.header, None)
            rows.add(ConfigLogged, scope="script", config={"which": rows.header.name})
            for step in range(1, 6):
                rows.add_metrics(step, {"train/loss": float(value)})
        for start in range(0, 7, 2):
            for rows, adapter in zip(builders, adapters, strict=True):
                adapter.deliver(rows.rows[start : start + 2])
        for adapter in adapters:
            self.confirm(adapter)
        for adapter in adapters:
            adapter.close(FINISHED)

        assert sorted(tracker.run_ids()) == ["a" * 32, "b" * 32]
        for rows in builders:
            seen = tracker.seen(rows.header.run_id)
            self.assert_points(seen, rows.rows, connect().capabilities)
            assert_config(seen.config, {"script": {"which": rows.header.name}}, connect().capabilities.nested_config)

    @pytest.mark.parametrize("confirmed", [False, True], ids=["on-its-way", "confirmed"])
    def test_a_process_killed_after_deliver_loses_and_doubles_nothing(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder, confirmed: bool
    ) -> None:
        for step in range(1, 61):
            rows.add_metrics(step, {"train/loss": 1 / step})
        remote = self.deliver_all(connect, rows, upto=1, ending=None)
        for upto in (21, 41):
            self.deliver_and_die(connect, rows.header, remote, rows.rows[:upto], confirmed=confirmed)

        self.deliver_all(connect, rows, remote=remote)

        assert tracker.run_ids() == [rows.header.run_id]
        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    @pytest.mark.parametrize("status", ["finished", "failed", "killed", "lost"])
    def test_the_status_is_the_true_one(
        self,
        connect: Callable[[], Adapter],
        tracker: Tracker,
        rows: RowBuilder,
        status: Literal["finished", "failed", "killed", "lost"],
    ) -> None:
        code = {"finished": 0, "failed": 1, "killed": 137, "lost": None}[status]
        error = None if status == "finished" else "RuntimeError: out of memory"
        rows.add_metrics(1, {"train/loss": 1.0})
        if status == "finished" or status == "failed":
            rows.add(RunFinished, status=status, exit_code=code, error=error, traceback="Traceback: line 7")

        self.deliver_all(connect, rows, ending=Ending(status, code, error, rows.rows[-1].event.t))

        seen, support = tracker.seen(rows.header.run_id), connect().capabilities.status
        assert support != "yes" or seen.status == {"lost": "killed"}.get(status, status)
        assert (seen.status == "finished") == (status == "finished") or support == "no"
        assert seen.status != "running" or support == "no"
        assert (error or "") in seen.error

    def test_closing_the_connection_does_not_end_the_run(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        rows.add_metrics(1, {"train/loss": 1.0})

        self.deliver_all(connect, rows, ending=None)

        assert connect().capabilities.status == "no" or tracker.seen(rows.header.run_id).status == "running"

    @pytest.mark.parametrize("media", ["image", "table", "histogram", "text"])
    def test_media_arrive_or_are_rejected(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder, media: str
    ) -> None:
        logged = {
            "image": Image([[[0, 0, 255], [0, 255, 0]]] * 2 if False else _pixels(), caption="two pixels"),
            "table": Table(["text", "score"], [["a", 0.5], ["b", None]], caption="worst first"),
            "histogram": Histogram([1.0, 2.0, 2.0, 5.0], bins=4),
            "text": Text("The cat sat.", caption="sample"),
        }
        row = rows.add_media(7, f"eval/{media}", logged[media])
        rows.add_metrics(8, {"train/loss": 1.0})

        rejections = self.deliver_and_list(connect, rows)

        seen = [item for item in tracker.seen(rows.header.run_id).media if item.media == media]
        if getattr(connect().capabilities, f"{media}s") == "no":
            assert seen == []
            assert [rejection.row for rejection in rejections] == [row.number]
        else:
            assert [(item.name, item.step) for item in seen] == [(f"eval/{media}", 7)]
            assert rejections == []

    def test_a_media_file_that_is_gone_is_a_rejection(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        row = rows.add_media(7, "eval/sample", Text("The cat sat."))
        (rows.header.folder / row.event.path).unlink()  # type: ignore[union-attr]  # it is a MediaLogged
        rows.add_metrics(8, {"train/loss": 1.0})

        rejections = self.deliver_and_list(connect, rows)

        if self.reads_media:
            assert [(rejection.row, rejection.kind) for rejection in rejections] == [(row.number, "media_logged")]
        assert tracker.seen(rows.header.run_id).curve("train/loss") == [(8, 1.0)]

    reads_media: ClassVar[bool] = True
    """False for a tracker that keeps media by reference."""

    def test_an_artifact_arrives_or_is_rejected(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder, tmp_path: Path
    ) -> None:
        file = tmp_path / "predictions.tsv"
        file.write_text("1\t0\n")
        row = rows.add(ArtifactLogged, name=file.name, type="file", path=str(file), size_bytes=4, sha256="0" * 64)

        rejections = self.deliver_and_list(connect, rows)

        seen = tracker.seen(rows.header.run_id).artifacts
        if connect().capabilities.artifacts == "no":
            assert {rejection.row for rejection in rejections} == {row.number}
        else:
            assert "predictions.tsv" in seen
            assert rejections == []

    @pytest.mark.parametrize(
        ("policy", "uploaded"), [("none", set()), ("best", {2, 3}), ("all", {1, 2, 3})], ids=["none", "best", "all"]
    )
    def test_checkpoints_are_uploaded_as_the_policy_says(
        self,
        connect: Callable[[], Adapter],
        tracker: Tracker,
        rows: RowBuilder,
        tmp_path: Path,
        policy: str,
        uploaded: set[int],
    ) -> None:
        for step, score in ((3, 0.4), (1, 0.3), (2, 0.5)):
            folder = tmp_path / f"checkpoint-{step}"
            folder.mkdir()
            (folder / "weights.bin").write_bytes(bytes([step]) * 100)
            rows.add(CheckpointSaved, step=step, path=str(folder), metrics={"eval/mcc": score}, size_bytes=100)
        adapter = connect()
        adapter.checkpoints = policy  # type: ignore[attr-defined]  # every adapter with `artifacts` has it
        adapter.open(rows.header, None)
        rejections = adapter.deliver(rows.rows).rejections
        self.confirm(adapter)
        adapter.close(FINISHED)

        seen = tracker.seen(rows.header.run_id).artifacts
        support = adapter.capabilities.artifacts
        assert support != "yes" or seen == {f"step-{step}" for step in uploaded}
        assert support != "no" or len(rejections) == len(uploaded)

    def test_what_this_version_does_not_know_is_a_rejection(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        unknown = rows.add_unknown("gradient_logged", norm=1.0)
        rows.add(Heartbeat)
        rows.add_metrics(1, {"train/loss": 1.0})

        rejections = self.deliver_and_list(connect, rows)

        assert [(rejection.row, rejection.kind) for rejection in rejections] == [(unknown.number, "gradient_logged")]
        assert all(rejection.reason for rejection in rejections)

    def test_an_empty_batch_is_no_trouble(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder
    ) -> None:
        adapter = connect()
        adapter.open(rows.header, None)

        assert adapter.deliver([]).rejections == ()
        self.confirm(adapter)
        adapter.close(None)

    def test_the_terminal_stays_quiet(
        self, connect: Callable[[], Adapter], tracker: Tracker, rows: RowBuilder, capfd: pytest.CaptureFixture[str]
    ) -> None:
        rows.add_metrics(1, {"train/loss": 1.0})

        self.deliver_all(connect, rows)

        assert capfd.readouterr() == ("", "")

    def test_every_change_and_gap_has_a_rule(self, capabilities: Capabilities) -> None:
        imperfect = {name for name, support in supports(capabilities).items() if support != "yes"}

        assert imperfect <= set(capabilities.rules)
        assert set(capabilities.rules) <= set(supports(capabilities))

    def test_importing_the_adapter_does_not_import_the_sdk(
        self, connect: Callable[[], Adapter], capabilities: Capabilities
    ) -> None:
        module = type(connect()).__module__
        code = f"import sys, {module}; sys.exit({capabilities.sdk!r} in sys.modules)"

        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def deliver_all(
        self,
        connect: Callable[[], Adapter],
        rows: RowBuilder,
        *,
        remote: RemoteRef | None = None,
        ending: Ending | None = FINISHED,
        upto: int | None = None,
    ) -> RemoteRef:
        """Deliver as the relay does: open, hand over in batches, wait for the confirmation, close."""
        adapter = connect()
        reference = adapter.open(rows.header, remote)
        batches = rows.rows[:upto]
        for start in range(0, len(batches), 16):
            adapter.deliver(batches[start : start + 16])
        self.confirm(adapter)
        adapter.close(ending)
        return reference

    def deliver_and_list(self, connect: Callable[[], Adapter], rows: RowBuilder) -> list[Rejection]:
        """Deliver all in one batch and say what was rejected."""
        adapter = connect()
        adapter.open(rows.header, None)
        delivery = adapter.deliver(rows.rows)
        self.confirm(adapter)
        adapter.close(FINISHED)
        return list(delivery.rejections)

    def confirm(self, adapter: Adapter) -> None:
        """Wait until the adapter says that the tracker has everything."""
        deadline = time.monotonic() + self.confirm_within_s
        while not adapter.flush(5.0):
            assert time.monotonic() < deadline, f"nothing was confirmed within {self.confirm_within_s:.0f} s"

    def deliver_and_die(
        self,
        connect: Callable[[], Adapter],
        run: RunHeader,
        remote: RemoteRef,
        rows: Sequence[Row],
        *,
        confirmed: bool,
    ) -> None:
        """Hand the rows over in a process that is killed right after; a tracker inside this process overrides it."""
        arguments = (connect, run, remote, rows, self.confirm_within_s if confirmed else None)
        child = multiprocessing.get_context("spawn").Process(target=_deliver_and_die, args=arguments)
        child.start()
        child.join(120)
        assert child.exitcode == -getattr(signal, "SIGKILL", -1), f"the child ended by itself: {child.exitcode}"
        child.close()

    def assert_points(self, seen: SeenRun, rows: Sequence[Row], capabilities: Capabilities) -> None:
        """Every value of every row is there once, in order, with its step and time where the tracker carries them."""
        logged = [row.event for row in rows if isinstance(row.event, MetricsLogged)]
        for metric in sorted({name for event in logged for name in event.metrics}):
            expected = [event for event in logged if metric in event.metrics]
            points = [point for point in seen.points if point.metric == metric]
            assert [point.value for point in points] == [event.metrics[metric] for event in expected]
            if capabilities.original_step == "yes":
                assert [point.step for point in points] == [event.step for event in expected]
            if capabilities.original_time == "yes":
                for point, event in zip(points, expected, strict=True):
                    assert point.time_ns is not None
                    assert abs(point.time_ns - event.t) <= TIME_TOLERANCE_NS


class OnlineContract(AdapterContract):
    """What holds in addition where there is a server that can be away, or refuse."""

    def test_an_outage_at_the_start_is_transient(
        self, connect: Callable[[], Adapter], tracker: OnlineTracker, rows: RowBuilder
    ) -> None:
        with tracker.outage(), pytest.raises(TransientDeliveryError):
            connect().open(rows.header, None)

        rows.add_metrics(1, {"train/loss": 1.0})
        self.deliver_all(connect, rows)
        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_nothing_is_confirmed_during_an_outage_and_all_arrives_after_it(
        self, connect: Callable[[], Adapter], tracker: OnlineTracker, rows: RowBuilder
    ) -> None:
        rows.add_metrics(1, {"train/loss": 1.0})
        remote = self.deliver_all(connect, rows, ending=None)
        adapter = connect()
        adapter.open(rows.header, remote)
        for step in range(2, 22):
            rows.add_metrics(step, {"train/loss": 1 / step})
        with tracker.outage():
            assert not self.is_confirmed_within(adapter, rows.rows, timeout_s=3.0)
            self.close_quietly(adapter)

        self.deliver_all(connect, rows, remote=remote)
        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_a_refused_key_is_a_refusal_with_the_way_out(
        self, connect: Callable[[], Adapter], tracker: OnlineTracker, rows: RowBuilder
    ) -> None:
        with tracker.refusal(), pytest.raises(DeliveryRefused) as refused:
            connect().open(rows.header, None)

        assert self.way_out in str(refused.value)
        assert tracker.secret not in str(refused.value)

    way_out: ClassVar[str] = ""
    """A part of the sentence that tells how to mend a refused key, such as the name of its environment variable."""

    def test_nothing_is_confirmed_while_the_server_refuses(
        self, connect: Callable[[], Adapter], tracker: OnlineTracker, rows: RowBuilder
    ) -> None:
        adapter = connect()
        remote = adapter.open(rows.header, None)
        rows.add_metrics(1, {"train/loss": 1.0})
        with tracker.refusal():
            assert not self.is_confirmed_within(adapter, rows.rows, timeout_s=3.0)
            self.close_quietly(adapter)

        self.deliver_all(connect, rows, remote=remote)
        self.assert_points(tracker.seen(rows.header.run_id), rows.rows, connect().capabilities)

    def test_the_key_is_in_no_body_log_or_error(
        self,
        connect: Callable[[], Adapter],
        tracker: OnlineTracker,
        rows: RowBuilder,
        caplog: pytest.LogCaptureFixture,
        tmp_path: Path,
    ) -> None:
        rows.add_metrics(1, {"train/loss": 1.0})
        with caplog.at_level(logging.DEBUG):
            self.deliver_all(connect, rows)
            with tracker.outage(), pytest.raises(TransientDeliveryError) as outage:
                connect().open(rows.header, None)

        secret = tracker.secret
        assert secret.encode() not in tracker.received()
        assert secret not in caplog.text + str(outage.value)
        assert [file for file in files_below(tmp_path) if secret.encode() in file.read_bytes()] == []

    def is_confirmed_within(self, adapter: Adapter, rows: Sequence[Row], timeout_s: float) -> bool:
        """Hand over and ask for the confirmation; an error of delivery counts as no."""
        try:
            adapter.deliver(rows)
            return adapter.flush(timeout_s)
        except DeliveryError:
            return False

    def close_quietly(self, adapter: Adapter) -> None:
        """Give up a connection that may be broken, as the relay does before it opens another."""
        try:
            adapter.close(None)
        except DeliveryError:
            pass  # it was broken, which is what the test made it


def supports(capabilities: Capabilities) -> dict[str, Support]:
    """The fields of the support table."""
    names = [name for name in Capabilities.__dataclass_fields__ if name not in ("rules", "sdk", "tested_versions")]
    return {name: getattr(capabilities, name) for name in names}


def assert_config(seen: Mapping[str, Any], expected: Mapping[str, Any], support: Support) -> None:
    """The expected part of a config is there: the same nested values, or as flat text where the tracker says so."""
    if support == "yes":
        assert {scope: seen.get(scope) for scope in expected} == expected
        return
    for path, value in _leaves(expected):
        assert path in seen
        assert value == seen[path] or value.startswith(str(seen[path])[:200])


def files_below(folder: Path) -> list[Path]:
    """Every plain file, without following links."""
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def _leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", str(value)


def _pixels() -> Any:
    import numpy as np

    return np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], dtype=np.uint8)


def _deliver_and_die(
    connect: Callable[[], Adapter], run: RunHeader, remote: RemoteRef, rows: Sequence[Row], confirm_s: float | None
) -> None:
    adapter = connect()
    adapter.open(run, remote)
    adapter.deliver(rows)
    deadline = time.monotonic() + (confirm_s or 0.0)
    while time.monotonic() < deadline and not adapter.flush(1.0):
        pass
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
