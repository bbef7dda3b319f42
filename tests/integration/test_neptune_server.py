"""Deliveries to a Neptune server that are killed, torn, unanswered, refused; and what a reader finds there."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from trackbridge.adapters import neptune_sdk
from trackbridge.adapters.base import Ending, RemoteRef, Row, RunHeader
from trackbridge.adapters.neptune import NeptuneAdapter
from trackbridge.adapters.neptune_ledger import MAX_SERIES
from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, ConfigLogged, RunResumed, SummaryLogged
from trackbridge.testing.bench import Bench, give_up, is_confirmed_within
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.rows import SECOND_NS, STARTED_NS, RowBuilder

# A forked server has the SDK loaded, which takes a second, so that each child that is killed starts at once.
CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["trackbridge.adapters.neptune", "neptune.internal.backends.hosted_neptune_backend"])


@pytest.fixture
def neptune(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
    with FakeNeptune() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    return RowBuilder(tmp_path / "run", notes="as logged")


@pytest.fixture
def bench(neptune: FakeNeptune, rows: RowBuilder) -> Bench:
    rows.header.folder.mkdir()
    return Bench(NeptuneAdapter, neptune, rows)


def add_steps(rows: RowBuilder, first: int, last: int) -> None:
    for step in range(first, last + 1):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5 * step})


class TestKilled:
    @pytest.fixture(autouse=True)
    def _witness(self, neptune: FakeNeptune) -> None:
        neptune.keeps_repeats = True

    @pytest.mark.parametrize("confirmed", [False, True], ids=["before the confirmation", "after it"])
    def test_six_kills_during_one_run_lose_and_double_nothing(self, bench: Bench, confirmed: bool) -> None:
        add_steps(bench.rows, 1, 120)
        remote = bench.deliver(ending=None)
        counted = len(bench.rows.rows)
        for kill in range(6):
            add_steps(bench.rows, 121 + 40 * kill, 160 + 40 * kill)
            batch = bench.rows.rows[counted:]
            deliver_and_be_killed(bench.rows.header, remote, batch, confirms=confirmed)
            # The relay counts only what it saw confirmed: the last kill may be before that, too.
            counted = len(bench.rows.rows) if confirmed and kill % 2 else counted

        bench.deliver(remote, counted=counted)

        assert bench.tracker.run_ids() == [bench.rows.header.run_id]
        bench.assert_all_arrived()

    def test_a_kill_while_a_request_is_on_its_way_loses_and_doubles_nothing(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        # What the server still works on when its client dies comes after our look at it: Neptune refuses the repeat.
        neptune.keeps_repeats = False
        remote = bench.deliver(ending=None)
        for kill in range(4):
            add_steps(bench.rows, 1 + 50 * kill, 50 + 50 * kill)
            with neptune.trouble(delay_s=0.3, where="logFloats"):
                seen_before = len(neptune.requests)
                child = start_delivery(bench.rows.header, remote, bench.rows.rows, confirms=True)
                wait_for(lambda: any(b"logFloats" in request.body for request in neptune.requests[seen_before:]))  # noqa: B023
                os.kill(child.pid, signal.SIGKILL)
                child.join()

        bench.deliver(remote)

        bench.assert_all_arrived()

    def test_pictures_of_a_killed_delivery_are_there_once(self, bench: Bench) -> None:
        remote = bench.deliver(ending=None)
        for step in range(1, 6):
            path = bench.rows.header.folder / f"{step}.png"
            path.write_bytes(bytes([step]) * 20)
            bench.rows.add_media(step, "eval/sample", Picture(path))
        deliver_and_be_killed(bench.rows.header, remote, bench.rows.rows[:4], confirms=False)

        bench.deliver(remote)

        assert [item.step for item in bench.seen.media] == [1, 2, 3, 4, 5]

    def test_a_relay_that_lost_its_cursor_doubles_nothing(self, bench: Bench) -> None:
        add_steps(bench.rows, 1, 30)
        bench.rows.add(RunResumed, from_step=20)
        add_steps(bench.rows, 21, 40)
        bench.deliver(ending=None)

        bench.deliver(None)

        assert bench.tracker.run_ids() == [bench.rows.header.run_id]
        bench.assert_all_arrived()

    def test_a_run_that_lost_its_ledger_doubles_nothing(self, bench: Bench, neptune: FakeNeptune) -> None:
        add_steps(bench.rows, 1, 30)
        remote = bench.deliver(ending=None)
        del neptune.run(bench.rows.header.run_id).fields["trackbridge/ledger"]
        add_steps(bench.rows, 31, 40)

        bench.deliver(remote, counted=31)

        bench.assert_all_arrived()


class TestAnswers:
    def test_what_was_kept_of_a_torn_request_is_not_sent_again(self, bench: Bench, neptune: FakeNeptune) -> None:
        neptune.keeps_repeats = True
        remote = bench.deliver(ending=None)
        add_steps(bench.rows, 1, 21)
        with neptune.torn():
            adapter = bench.open(remote)
            with pytest.raises(TransientDeliveryError, match="500"):
                adapter.deliver(bench.rows.rows)
        assert 0 < len(bench.seen.curve("train/loss")) < 21

        bench.deliver(remote)

        bench.assert_all_arrived()

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_a_request_that_was_cut_off_counts_once(self, bench: Bench, neptune: FakeNeptune, cut: str) -> None:
        neptune.keeps_repeats = True
        remote = bench.deliver(ending=None)
        add_steps(bench.rows, 1, 21)
        adapter = bench.open(remote)
        with neptune.trouble(cut=cut, where="logFloats"), pytest.raises(TransientDeliveryError):
            adapter.deliver(bench.rows.rows)
        give_up(adapter)

        bench.deliver(remote)

        bench.assert_all_arrived()

    def test_a_slow_server_gets_everything(self, bench: Bench, neptune: FakeNeptune) -> None:
        add_steps(bench.rows, 1, 40)
        with neptune.trouble(delay_s=0.1, where="attributes"):
            bench.deliver()

        bench.assert_all_arrived()

    def test_hundreds_of_metrics_are_confirmed_side_by_side(self, bench: Bench, neptune: FakeNeptune) -> None:
        bench.rows.add_metrics(1, {f"layer_{number}/norm": float(number) for number in range(200)})
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        started = time.monotonic()
        with neptune.trouble(delay_s=0.02, where="series/float"):
            assert adapter.flush(30.0)

        # One by one these would take 4 s.
        assert time.monotonic() - started < 2.5

    def test_points_that_are_accepted_but_cannot_be_read_back_are_not_confirmed(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        add_steps(bench.rows, 1, 5)
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        series = neptune.run(bench.rows.header.run_id).fields["metrics/train/loss"].value
        last = series.pop()

        assert not adapter.flush(0.5)
        series.append(last)
        assert adapter.flush(5.0)

    @pytest.mark.parametrize("status", [503, 429])
    def test_a_server_in_trouble_is_told_within_seconds(self, bench: Bench, neptune: FakeNeptune, status: int) -> None:
        remote = bench.deliver(ending=None)
        started = time.monotonic()
        with neptune.trouble(status=status), pytest.raises(TransientDeliveryError, match=str(status)):
            bench.open(remote)
        assert time.monotonic() - started < 5.0

    def test_a_dead_host_is_told_within_seconds(self, bench: Bench, neptune: FakeNeptune) -> None:
        started = time.monotonic()
        with neptune.outage(), pytest.raises(TransientDeliveryError) as outage:
            bench.open()
        assert time.monotonic() - started < 5.0
        assert re.fullmatch(rf"no answer from {neptune.url} \(ConnectionRefusedError: .{{1,40}}\)", str(outage.value))

    def test_a_token_of_the_hosted_service_is_told_that_it_closed(self) -> None:
        neptune_sdk.load_sdk()
        error = neptune_sdk.delivery_error(ConnectionError("refused"), "https://app.neptune.ai")

        assert isinstance(error, TransientDeliveryError)
        assert "closed on 5 March 2026" in str(error)
        assert "closed" not in str(neptune_sdk.delivery_error(ConnectionError("refused"), "https://neptune.example"))


class TestRefusals:
    @pytest.mark.parametrize("missing", ["NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT"])
    def test_a_missing_setting_is_named(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.delenv(missing)

        with pytest.raises(DeliveryRefused, match=rf"export .*{missing}"):
            bench.open()

    def test_a_token_that_is_none_is_refused_without_being_shown(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEPTUNE_API_TOKEN", "not-a-token")

        with pytest.raises(DeliveryRefused, match="token of a self-hosted server") as refused:
            bench.open()
        assert "not-a-token" not in str(refused.value)

    def test_an_unknown_project_is_refused(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEPTUNE_PROJECT", "team/nowhere")

        with pytest.raises(DeliveryRefused, match=r"project that exists .*NEPTUNE_PROJECT"):
            bench.open()

    def test_an_address_without_a_neptune_server_is_refused(self, bench: Bench, neptune: FakeNeptune) -> None:
        with neptune.trouble(status=404), pytest.raises(DeliveryRefused, match=f"no Neptune server at {neptune.url}"):
            bench.open()

    def test_a_token_without_permission_is_refused(self, bench: Bench, neptune: FakeNeptune) -> None:
        remote = bench.deliver(ending=None)
        with neptune.refusal(403), pytest.raises(DeliveryRefused, match="permission"):
            bench.open(remote)

    def test_a_run_that_was_deleted_at_neptune_stops_the_delivery(self, bench: Bench, neptune: FakeNeptune) -> None:
        adapter = bench.open()
        neptune.runs.clear()
        add_steps(bench.rows, 1, 2)

        with pytest.raises(DeliveryRefused, match="deleted"):
            adapter.deliver(bench.rows.rows)

    def test_plain_http_needs_to_be_allowed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")

        with pytest.raises(DeliveryRefused, match="export OAUTHLIB_INSECURE_TRANSPORT=1"):
            bench.open()

    def test_an_answer_that_nobody_foresaw_is_a_bug_with_its_text(self, bench: Bench, neptune: FakeNeptune) -> None:
        adapter = bench.open()
        with neptune.trouble(status=418), pytest.raises(AdapterBug, match="418"):
            adapter.deliver(add_one(bench.rows))

    def test_a_field_that_is_in_the_way_is_rejected_and_the_rest_arrives(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        remote = bench.deliver(ending=None)
        neptune.run(bench.rows.header.run_id).put("metrics/train/loss", "string", "put here by a person")
        add_steps(bench.rows, 1, 3)
        adapter = bench.open(remote)
        rejections = adapter.deliver(bench.rows.rows).rejections

        assert adapter.flush(5.0)
        assert [(one.row, one.kind, one.what) for one in rejections] == [
            (row, "metrics_logged", "metrics/train/loss") for row in (1, 2, 3)
        ]
        assert "string" in rejections[0].reason
        assert len(bench.seen.curve("train/lr")) == 3

    def test_the_first_delivery_of_a_process_says_what_is_left_of_neptune(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        neptune_sdk.say_what_exists.cache_clear()

        bench.deliver(ending=None)
        bench.deliver(ending=None)

        told = [record.message for record in caplog.records if "closed on 5 March 2026" in record.message]
        assert len(told) == 1
        assert "self-hosted" in told[0]


class TestShape:
    def test_a_resumed_session_has_series_of_its_own_where_it_repeats_steps(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        add_steps(bench.rows, 1, 7)
        bench.rows.add_metrics(4, {"eval/mcc": 0.4})
        bench.rows.add(RunResumed, from_step=4)
        add_steps(bench.rows, 5, 10)
        bench.rows.add_metrics(8, {"eval/mcc": 0.5})

        bench.deliver()

        run = neptune.run(bench.rows.header.run_id)
        assert [entry.step for entry in run.value("metrics/train/loss")] == [1, 2, 3, 4, 5, 6, 7]
        assert [entry.step for entry in run.value("metrics/train/loss~2")] == [5, 6, 7, 8, 9, 10]
        assert [entry.step for entry in run.value("metrics/eval/mcc")] == [4, 8]

    def test_a_metric_logged_twice_at_each_step_has_two_series(self, bench: Bench, neptune: FakeNeptune) -> None:
        for step in range(1, 6):
            bench.rows.add_metrics(step, {"loss": 1.0})
            bench.rows.add_metrics(step, {"loss": 2.0})

        bench.deliver()

        run = neptune.run(bench.rows.header.run_id)
        assert [len(run.value(path)) for path in ("metrics/loss", "metrics/loss~2")] == [5, 5]
        assert "metrics/loss~3" not in run.fields
        assert [point.value for point in bench.seen.points] == [1.0, 2.0] * 5

    def test_too_many_repeats_of_a_step_are_rejected(self, bench: Bench) -> None:
        for _ in range(MAX_SERIES + 2):
            bench.rows.add_metrics(1, {"loss": 1.0})

        rejections = bench.rejections()

        assert [one.row for one in rejections] == [MAX_SERIES + 1, MAX_SERIES + 2]
        assert len(bench.seen.points) == MAX_SERIES

    def test_a_clock_that_was_set_back_loses_no_point(self, bench: Bench) -> None:
        add_steps(bench.rows, 1, 3)
        hour_ns = 3600 * SECOND_NS
        for step in (4, 5):
            row = bench.rows.add_metrics(step, {"train/loss": 1 / step})
            moved = type(row.event)(seq=row.event.seq, t=row.event.t - hour_ns, step=step, metrics=row.event.metrics)
            bench.rows.rows[-1] = Row(row.number, moved)

        bench.deliver()

        assert sorted(bench.seen.curve("train/loss")) == [(step, 1 / step) for step in (1, 2, 3, 4, 5)]

    def test_numbers_that_are_not_finite_are_texts_beside_the_curve(self, bench: Bench, neptune: FakeNeptune) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        bench.rows.add_metrics(2, {"train/loss": float("nan")})
        bench.rows.add_metrics(3, {"train/loss": float("-inf")})

        bench.deliver()

        run = neptune.run(bench.rows.header.run_id)
        texts = [(entry.step, entry.value) for entry in run.value("not_finite/train/loss")]
        assert texts == [(2, "NaN"), (3, "-Infinity")]
        assert [entry.step for entry in run.value("metrics/train/loss")] == [1]

    def test_values_keep_their_types_within_the_limits_of_neptune(self, bench: Bench, neptune: FakeNeptune) -> None:
        config = {"int": 2**31 - 1, "big": 2**40, "float": 2e-5, "bad": float("inf"), "flag": True}
        bench.rows.add(ConfigLogged, scope="script", config={**config, "text": "x" * 20_000})

        bench.deliver()

        fields = neptune.run(bench.rows.header.run_id).below("config/script")
        kinds = {name: (field.type, field.value) for name, field in fields.items() if name != "text"}
        assert kinds == {
            "int": ("int", 2**31 - 1),
            "big": ("string", str(2**40)),
            "float": ("float", 2e-5),
            "bad": ("string", "Infinity"),
            "flag": ("bool", True),
        }
        assert len(fields["text"].value) == 16_384
        assert fields["text"].value.endswith("[truncated]")
        assert neptune.run(bench.rows.header.run_id).value("long_values/config/script/text") == b"x" * 20_000

    def test_a_value_may_change_its_type_and_a_key_may_go(self, bench: Bench, neptune: FakeNeptune) -> None:
        first = {"lr": 1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "kept": "yes"}
        bench.rows.add(ConfigLogged, scope="script", config=first)
        remote = bench.deliver(ending=None)
        bench.rows.add(ConfigLogged, scope="script", config={"lr": 2.5e-5, "opt": {"name": "sgd"}})
        bench.rows.add(SummaryLogged, values={"best": 0.5})
        bench.rows.add(SummaryLogged, values={"best": "none"})
        adapter = bench.open(remote)

        assert adapter.deliver(bench.rows.rows).rejections == ()

        assert bench.seen.config == {"script/lr": "2.5e-05", "script/opt/name": "sgd", "script/kept": "yes"}
        assert bench.seen.summary == {"best": "none"}

    def test_a_type_that_changes_in_a_batch_that_comes_again_is_no_rejection(self, bench: Bench) -> None:
        remote = bench.deliver(ending=None)
        bench.rows.add(ConfigLogged, scope="script", config={"lr": 1})
        bench.rows.add(ConfigLogged, scope="script", config={"lr": 0.5})
        bench.open(remote).deliver(bench.rows.rows)
        again = bench.open(remote)

        assert again.deliver(bench.rows.rows).rejections == ()

        assert bench.seen.config == {"script/lr": "0.5"}

    def test_a_name_that_is_a_value_and_a_folder_finds_a_place(self, bench: Bench, neptune: FakeNeptune) -> None:
        bench.rows.add_metrics(1, {"loss": 1.0, "loss/mean": 2.0, "acc/top1": 3.0})
        remote = bench.deliver(ending=None)
        bench.rows.add_metrics(2, {"loss/mean": 2.5, "loss": 1.5, "acc": 4.0})
        rejections = [*bench.open(remote).deliver(bench.rows.rows).rejections]

        series = neptune.run(bench.rows.header.run_id).below("metrics")
        values = {path: [entry.value for entry in field.value] for path, field in series.items()}
        assert rejections == []
        assert values == {"loss": [1.0, 1.5], "loss~/mean": [2.0, 2.5], "acc/top1": [3.0], "acc~": [4.0]}

    def test_epochs_are_a_series_with_one_point_a_step(self, bench: Bench, neptune: FakeNeptune) -> None:
        bench.rows.add_metrics(10, {"train/loss": 1.0}, epoch=0.5)
        bench.rows.add_metrics(10, {"eval/mcc": 0.1}, epoch=0.5)
        bench.rows.add_metrics(20, {"train/loss": 1.0}, epoch=1.0)

        bench.deliver()

        epochs = neptune.run(bench.rows.header.run_id).value("epoch")
        assert [(entry.step, entry.value) for entry in epochs] == [(10, 0.5), (20, 1.0)]

    def test_a_large_file_arrives_whole(self, bench: Bench, neptune: FakeNeptune, tmp_path: Path) -> None:
        file = tmp_path / "weights.bin"
        file.write_bytes(os.urandom(12_000_000))
        fields = {"name": "weights", "type": "model", "path": str(file), "size_bytes": 12_000_000, "sha256": "0" * 64}
        bench.rows.add(ArtifactLogged, **fields)

        bench.deliver()

        content = neptune.run(bench.rows.header.run_id).value("artifacts/weights/files/weights.bin")
        assert content == file.read_bytes()

    def test_what_a_person_changed_at_neptune_stays_when_the_run_goes_on(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        add_steps(bench.rows, 1, 3)
        remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: out of memory"))
        run = neptune.run(bench.rows.header.run_id)
        run.put("sys/name", "string", "the good one")
        run.put("sys/description", "string", "see the notebook")
        assert run.value("sys/failed") is True
        add_steps(bench.rows, 4, 5)

        bench.deliver(remote, ending=None)

        assert (run.value("sys/name"), run.value("sys/description")) == ("the good one", "see the notebook")
        assert run.value("sys/failed") is True

    def test_a_run_that_failed_and_then_finished_shows_no_error(self, bench: Bench, neptune: FakeNeptune) -> None:
        remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: out of memory", STARTED_NS))
        bench.rows.add(RunResumed, from_step=0)

        bench.deliver(remote)

        run = neptune.run(bench.rows.header.run_id)
        assert run.value("sys/failed") is False
        assert {name: field.value for name, field in run.below("run").items() if name in ("error", "exit_code")} == {
            "exit_code": 0
        }

    def test_the_run_is_pinged_while_it_lives(self, bench: Bench, neptune: FakeNeptune) -> None:
        add_steps(bench.rows, 1, 3)
        bench.deliver(ending=None)

        assert neptune.run(bench.rows.header.run_id).pings > 0


def test_neptunes_own_reader_finds_everything(bench: Bench, neptune: FakeNeptune, capsys: Any) -> None:
    bench.rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5}, "layers": 12})
    add_steps(bench.rows, 1, 2500)
    remote = bench.deliver()

    import neptune as sdk

    run = sdk.init_run(with_id=remote.remote_id, mode="read-only")
    curve = run["metrics/train/loss"].fetch_values()
    fields = run.fetch()
    run["trackbridge/ledger"].download("ledger.json")
    run.stop()

    assert curve["step"].tolist() == list(range(1, 2501))
    assert curve["value"].tolist() == [1 / step for step in range(1, 2501)]
    assert fields["config"]["script"] == {"optimizer": {"lr": 2e-5}, "layers": 12}
    assert fields["sys"]["name"] == "baseline"
    assert fields["run"]["status"] == "finished"
    assert json.loads(Path("ledger.json").read_text())["rows"] == len(bench.rows.rows)


class Picture:
    """A picture whose bytes are those of a file."""

    media = "image"
    caption = None

    def __init__(self, path: Path) -> None:
        self._path = path

    def encode(self) -> Any:
        from trackbridge.run.media import Encoded

        return Encoded(self._path.read_bytes(), "png")


def add_one(rows: RowBuilder) -> list[Row]:
    add_steps(rows, 1, 1)
    return rows.rows


def deliver_and_be_killed(header: RunHeader, remote: RemoteRef, rows: Sequence[Row], *, confirms: bool) -> None:
    child = start_delivery(header, remote, rows, confirms=confirms)
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def start_delivery(header: RunHeader, remote: RemoteRef, rows: Sequence[Row], *, confirms: bool) -> Any:
    environment = {name: value for name, value in os.environ.items() if name.startswith(("NEPTUNE_", "OAUTHLIB_"))}
    child = CHILDREN.Process(target=deliver_and_die, args=(environment, header, remote, rows, confirms))
    child.start()
    return child


def deliver_and_die(
    environment: Mapping[str, str], header: RunHeader, remote: RemoteRef, rows: Sequence[Row], confirms: bool
) -> None:
    os.environ.update(environment)
    logging.disable(logging.CRITICAL)
    adapter = NeptuneAdapter()
    adapter.open(header, remote)
    adapter.deliver(rows)
    if confirms:
        assert is_confirmed_within(adapter, (), 30.0)
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for(condition: Any, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
