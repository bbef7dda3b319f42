"""Delivery to Comet when things go wrong: killed relays, lost answers, slow and failing servers, limits, no SDK."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.adapters import comet_sdk, comet_server
from trackbridge.adapters.base import Ending, RemoteRef
from trackbridge.adapters.comet import CometAdapter
from trackbridge.errors import AdapterBug, DeliveryError, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, RunFinished
from trackbridge.relay.delivery import RunDelivery
from trackbridge.relay.header import header_of
from trackbridge.run.media import Text
from trackbridge.store.store import open_store
from trackbridge.targets import Target
from trackbridge.testing.bench import Bench
from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.loopback import Request, Response
from trackbridge.testing.rows import STARTED_NS, RowBuilder

BATCHES = "batch/logger/experiment/metric"


@pytest.fixture
def comet(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeComet]:
    with FakeComet() as comet:
        for name, value in comet.environment.items():
            monkeypatch.setenv(name, value)
        yield comet


@pytest.fixture
def bench(tmp_path: Path, comet: FakeComet) -> Bench:
    (tmp_path / "run").mkdir()
    return Bench(CometAdapter, comet, RowBuilder(tmp_path / "run"))


def batches(comet: FakeComet) -> int:
    return sum(request.path.endswith(BATCHES) for request in comet.requests)


class KillingComet(FakeComet):
    """Kills the process `victim` over a batch of metrics: before it is stored, or after and before the answer."""

    victim: int | None = None

    def __init__(self, *, stores: bool) -> None:
        super().__init__()
        self.stores = stores
        self.spared = 0

    def _answered(self, request: Request) -> Response:
        is_last_words = self.victim is not None and request.path.endswith(BATCHES) and self.spared == 0
        if request.path.endswith(BATCHES):
            self.spared -= 1
        if is_last_words and not self.stores:
            self._kill()
            return Response(503)
        response = super()._answered(request)
        if is_last_words:
            self._kill()
        return response

    def _kill(self) -> None:
        assert self.victim is not None
        os.kill(self.victim, signal.SIGKILL)
        self.victim = None


def deliver_all(run_folder: Path) -> None:
    """A relay process: deliver what is new in batches of 50 rows, then end the run."""
    record = open_store(run_folder.parent.parent).run(run_folder.name)
    delivery = RunDelivery(header_of(record), Target("comet"), CometAdapter())
    delivery.open()
    while delivery.deliver_new(limit=50):
        pass
    delivery.close(Ending("finished", 0))


@pytest.mark.parametrize("stores", [True, False], ids=["stored-unanswered", "not-stored"])
def test_a_relay_killed_over_its_batches_delivers_every_point_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores: bool
) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        for step in range(1, 501):
            run.log({"train/loss": 1 / step, "train/lr": step * 1e-6}, step=step)
    with KillingComet(stores=stores) as comet:
        for name, value in comet.environment.items():
            monkeypatch.setenv(name, value)
        for spared in (0, 1, 3):
            child = multiprocessing.get_context("spawn").Process(target=deliver_all, args=(run.path,))
            comet.spared = spared
            child.start()
            comet.victim = child.pid
            child.join(120)
            assert child.exitcode == -signal.SIGKILL
            child.close()
        deliver_all(run.path)

        seen = comet.seen(run.run_id)
        assert seen.curve("train/loss") == [(step, 1 / step) for step in range(1, 501)]
        assert seen.curve("train/lr") == [(step, step * 1e-6) for step in range(1, 501)]
        assert seen.status == "finished"


def test_a_relay_that_died_between_confirmation_and_cursor_repeats_nothing(bench: Bench) -> None:
    for step in range(1, 41):
        bench.rows.add_metrics(step, {"train/loss": 1 / step})
    first = bench.connect()
    remote = first.open(bench.rows.header, None)
    first.deliver(bench.rows.rows)
    assert first.flush(5.0)

    again = bench.open(remote)
    again.deliver(bench.rows.rows)
    bench.rows.add_metrics(41, {"train/loss": 0.0})
    again.deliver(bench.rows.rows[-1:])

    bench.assert_all_arrived()


def test_a_batch_whose_answer_was_lost_is_there_once(bench: Bench, comet: FakeComet) -> None:
    adapter = bench.open()
    for step in range(1, 41):
        bench.rows.add_metrics(step, {"train/loss": 1 / step})
    with comet.trouble(cut="after", where=BATCHES), pytest.raises(TransientDeliveryError):
        adapter.deliver(bench.rows.rows)

    adapter.deliver(bench.rows.rows)

    bench.assert_all_arrived()


def test_a_batch_that_was_stored_in_part_is_completed(bench: Bench, comet: FakeComet) -> None:
    for step in range(1, 1201):
        bench.rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5})
    adapter = bench.open()
    with comet.torn_batches(), pytest.raises(TransientDeliveryError):
        adapter.deliver(bench.rows.rows)

    bench.deliver(RemoteRef(bench.rows.header.run_id))

    bench.assert_all_arrived()


def test_a_lost_cursor_costs_a_look_and_no_double(bench: Bench) -> None:
    for step in range(1, 41):
        bench.rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5})
    bench.deliver()

    bench.deliver(remote=None)

    bench.assert_all_arrived()


def test_points_at_one_step_and_time_are_all_kept(bench: Bench) -> None:
    first = bench.rows.add_metrics(1, {"train/loss": 1.0})
    same = type(first.event)(seq=2, t=first.event.t, step=1, metrics={"train/loss": 2.0})  # type: ignore[call-arg]  # a MetricsLogged
    bench.rows.rows.append(first._replace(number=2, event=same))
    bench.deliver()

    bench.deliver()

    assert bench.seen.curve("train/loss") == [(1, 1.0), (1, 2.0)]


def test_files_are_not_uploaded_twice(bench: Bench, comet: FakeComet, tmp_path: Path) -> None:
    file = tmp_path / "predictions.tsv"
    file.write_text("1\t0\n")
    bench.rows.add_media(1, "eval/sample", Text("The cat sat."))
    bench.rows.add(ArtifactLogged, name=file.name, type="file", path=str(file), size_bytes=4, sha256="0" * 64)
    bench.rows.add(RunFinished, status="failed", traceback="Traceback: line 7")
    remote = bench.deliver(ending=None)

    bench.deliver(remote)

    names = [asset.name for asset in comet.experiments[bench.rows.header.run_id].assets]
    assert names == ["eval/sample", "artifacts/predictions.tsv", "traceback.txt"]


def test_no_request_has_more_than_a_thousand_points(bench: Bench, comet: FakeComet) -> None:
    for step in range(1, 1001):
        bench.rows.add_metrics(step, {name: float(step) for name in ("a", "b", "c")})

    adapter = bench.open()
    adapter.deliver(bench.rows.rows)

    assert batches(comet) == 3
    bench.assert_all_arrived()


def test_an_archive_that_was_uploaded_and_then_delivered_is_there_once(
    bench: Bench, comet: FakeComet, tmp_path: Path
) -> None:
    for step in range(1, 41):
        bench.rows.add_metrics(step, {"train/loss": 1 / step})
    offline = Bench(lambda: CometAdapter(mode="offline", folder=tmp_path / "offline"), comet, bench.rows)
    offline.deliver()
    comet_sdk.load_sdk()
    from comet_ml.offline import main_upload

    main_upload([str(path) for path in (tmp_path / "offline").glob("*.zip")], force_upload=False)
    bench.rows.add_metrics(41, {"train/loss": 0.0})

    bench.deliver()

    bench.assert_all_arrived()


def test_a_slow_server_is_waited_for(bench: Bench, comet: FakeComet) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})

    with comet.trouble(delay_s=0.3, where=BATCHES):
        bench.deliver()

    bench.assert_all_arrived()


def test_an_answer_that_never_comes_is_transient(
    bench: Bench, comet: FakeComet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comet_server, "ANSWER_WITHIN_S", 0.2)
    adapter = bench.open()
    bench.rows.add_metrics(1, {"train/loss": 1.0})
    with comet.trouble(delay_s=0.5, where=BATCHES), pytest.raises(TransientDeliveryError, match="timed out"):
        adapter.deliver(bench.rows.rows)


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_server_in_trouble_is_asked_again_later(bench: Bench, comet: FakeComet, status: int) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})
    adapter = bench.open()
    with comet.trouble(status=status), pytest.raises(TransientDeliveryError, match=str(status)):
        adapter.deliver(bench.rows.rows)

    adapter.deliver(bench.rows.rows)
    bench.assert_all_arrived()


def test_the_servers_wish_when_to_come_back_is_passed_on(bench: Bench, comet: FakeComet) -> None:
    class Busy(FakeComet):
        def _answered(self, request: Request) -> Response:
            return Response(429, b"{}", {"Content-Type": "application/json", "Retry-After": "17"})

    with Busy() as busy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMET_URL_OVERRIDE", busy.environment["COMET_URL_OVERRIDE"])
        with pytest.raises(TransientDeliveryError) as told:
            bench.open()

    assert told.value.retry_after_s == 17.0


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refused_key_is_told_with_the_way_out_and_without_the_key(
    bench: Bench, comet: FakeComet, status: int
) -> None:
    with comet.refusal(status), pytest.raises(DeliveryRefused, match="set COMET_API_KEY") as refused:
        bench.open()

    error: BaseException | None = refused.value
    while error is not None:
        assert comet.secret not in repr(error) + str(error.args)
        error = error.__cause__


def test_no_key_is_a_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COMET_API_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(DeliveryRefused, match="set COMET_API_KEY"):
        bench.open()


def test_a_key_that_cannot_be_sent_is_a_refusal_that_keeps_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMET_API_KEY", "s3cr3t\nkey")

    with pytest.raises(DeliveryRefused, match="set COMET_API_KEY") as refused:
        bench.open()

    assert "s3cr3t" not in "".join(traceback.format_exception(refused.value))


def test_a_full_experiment_is_a_rejection_of_the_file_alone(bench: Bench, comet: FakeComet) -> None:
    media = bench.rows.add_media(1, "eval/sample", Text("The cat sat."))
    bench.rows.add_metrics(1, {"train/loss": 1.0})

    with comet.trouble(status=413, where="upload-asset"):
        rejections = bench.rejections()

    assert [(rejection.row, rejection.what) for rejection in rejections] == [(media.number, "eval/sample")]
    bench.assert_all_arrived()


def test_names_that_are_too_long_stay_apart_and_are_told(bench: Bench) -> None:
    names = ["eval/" + "x" * 120 + end for end in ("a", "b")]
    for step in (1, 2):
        bench.rows.add_metrics(step, dict.fromkeys(names, float(step)))

    rejections = bench.rejections()

    seen = {point.metric for point in bench.seen.points}
    assert {len(name) for name in seen} == {100}
    assert len(seen) == 2
    assert len(rejections) == 2
    assert all(any(name in rejection.reason for rejection in rejections) for name in seen)


def test_a_long_value_is_whole_in_a_file(bench: Bench, comet: FakeComet) -> None:
    from trackbridge.events.models import ConfigLogged

    bench.rows.add(ConfigLogged, scope="script", config={"prompt": "word " * 1000})
    bench.deliver()

    experiment = comet.experiments[bench.rows.header.run_id]
    assert experiment.parameters["script|prompt"].endswith(" [truncated]")
    (asset,) = experiment.assets
    assert asset.name == "config/script-long-values.json"
    assert b'"script|prompt": "' + b"word " * 1000 in asset.content


def test_start_and_end_are_those_of_the_run(bench: Bench, comet: FakeComet) -> None:
    bench.deliver(ending=Ending("finished", 0, ended_ns=STARTED_NS + 5 * 10**9))

    experiment = comet.experiments[bench.rows.header.run_id]
    assert experiment.start_ms == STARTED_NS // 10**6
    assert experiment.end_ms == STARTED_NS // 10**6 + 5000


def test_the_run_has_a_link(bench: Bench, comet: FakeComet) -> None:
    assert bench.deliver().url == f"{comet.url}/user/{bench.rows.header.run_id}"


def test_every_error_of_the_sdk_is_told_as_one_of_ours() -> None:
    comet_sdk.load_sdk()
    import requests
    from comet_ml import exceptions
    from requests import exceptions as http

    response = requests.Response()
    response.status_code, response.request = 403, requests.Request("POST", "http://127.0.0.1").prepare()
    told: dict[str, type[DeliveryError]] = {}
    for module in (exceptions, http):
        for name, kind in vars(module).items():
            is_error = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
            if is_error and kind.__module__ == module.__name__:
                told[name] = type(comet_sdk.delivery_error(made(kind, response)))

    assert len(told) > 60
    assert set(told.values()) == {DeliveryRefused, TransientDeliveryError}
    assert told["InvalidAPIKey"] is told["CometRestApiException"] is told["InvalidURL"] is DeliveryRefused
    assert told["ConnectionError"] is told["ReadTimeout"] is TransientDeliveryError


def made(kind: type[Exception], response: Any) -> Exception:
    """An exception of this kind, with as many arguments as it wants."""
    for arguments in (
        [],
        ["text"],
        ["POST", response],
        ["text", 1, 2],
        ["text", "text", 0],
        ["POST", "text", response],
    ):
        try:
            return kind(*arguments)
        except (TypeError, AttributeError):
            continue
    raise AssertionError(f"{kind} cannot be made")


def test_what_nobody_foresaw_is_a_bug_of_the_adapter() -> None:
    assert isinstance(comet_sdk.delivery_error(ZeroDivisionError("x")), AdapterBug)


def test_without_the_sdk_the_error_names_the_install_command(tmp_path: Path) -> None:
    code = """
import sys; sys.modules["comet_ml"] = None
from pathlib import Path
from trackbridge.adapters.base import RunHeader
from trackbridge.adapters.comet import CometAdapter
run = RunHeader(run_id="a" * 32, project="demo", name="x", folder=Path("."))
CometAdapter(mode="offline", folder=Path("offline")).open(run, None)
CometAdapter().open(run, None)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "the comet adapter needs the comet_ml package: pip install 'trackbridge[comet]'" in done.stderr
    assert (tmp_path / "offline").is_dir(), "offline needs no SDK"


def test_loading_the_sdk_leaves_the_process_as_it_was(tmp_path: Path, comet: FakeComet) -> None:
    code = """
import logging, sys
hook, finders = sys.excepthook, [type(finder).__module__ for finder in sys.meta_path]
from trackbridge.adapters.comet_sdk import load_sdk
load_sdk()
assert sys.excepthook is hook
assert not [finder for finder in sys.meta_path if type(finder).__module__.startswith("comet")]
logging.getLogger("comet_ml").error("trouble")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_untested_version_of_the_sdk_is_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    comet_sdk.load_sdk()
    import comet_ml

    monkeypatch.setattr(comet_ml, "__version__", "3.99.0")
    logging.getLogger("comet_ml").handlers.clear()

    bench.open()
    bench.open()

    assert [record.getMessage() for record in caplog.records] == [
        "comet_ml 3.99.0 is installed; its adapter is tested with 3.49.12 to 3.58.8."
        " If it fails: pip install comet_ml==3.58.8"
    ]
