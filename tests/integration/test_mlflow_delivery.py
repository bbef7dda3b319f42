"""Delivery to MLflow: what a real server keeps of a run, and what comes of limits, lost answers and refusals."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow_kit import MlflowDatabase, MlflowPages, MlflowProxy, deliver, mlflow_server, proxied

import trackbridge as tb
from trackbridge.adapters.base import Ending, RemoteRef
from trackbridge.adapters.mlflow import MlflowAdapter
from trackbridge.errors import DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import (
    ArtifactLogged,
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    SummaryLogged,
)
from trackbridge.run.media import Image, Table, Text
from trackbridge.sources.importing import import_runs
from trackbridge.testing.rows import STARTED_NS, RowBuilder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def pages(store: Path) -> Iterator[MlflowPages]:
    with mlflow_server(store) as url:
        yield MlflowPages(url)


@pytest.fixture
def server(pages: MlflowPages, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowProxy]:
    with proxied(pages, monkeypatch) as proxy:
        yield proxy


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RowBuilder(folder, group="study", tags=("first",), notes="# Notes")


def curve(pages: MlflowPages, rows: RowBuilder, metric: str) -> list[tuple[int, float]]:
    points = pages.told(rows.header.run_id).points
    return [(step, value) for name, value, _, step in points if name == metric]


def test_a_run_has_its_true_times_labels_and_facts(server: MlflowProxy, pages: MlflowPages, rows: RowBuilder) -> None:
    git, command = {"commit": "abc123", "branch": "main"}, {"argv": ["train.py", "--lr", "2e-5"]}
    rows.add(EnvironmentCaptured, environment={"git": git, "command": command})
    rows.add(RunFinished, status="failed", exit_code=3, error="no", traceback="Traceback: line 7")

    deliver(rows, ending=Ending("failed", 3, "no", STARTED_NS + 5_000_000_000))

    told = pages.told(rows.header.run_id)
    assert (told.start_ms, told.end_ms) == (STARTED_NS // 10**6, STARTED_NS // 10**6 + 5000)
    assert (
        told.tags.items()
        >= {
            "mlflow.source.git.commit": "abc123",
            "mlflow.source.name": "train.py",
            "mlflow.note.content": "# Notes",
            "trackbridge.exit_code": "3",
            "trackbridge.status": "failed",
        }.items()
    )
    assert told.read("trackbridge/traceback-row-2.txt") == b"Traceback: line 7"
    assert json.loads(told.read("trackbridge/environment.json"))["git"] == git


def test_a_failed_run_that_goes_on_shows_no_old_error(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    deliver(rows, ending=Ending("failed", 1, "RuntimeError: first try"))

    adapter = MlflowAdapter()
    adapter.open(rows.header, None)

    told = pages.told(rows.header.run_id)
    assert told.status == "RUNNING"
    assert not {"trackbridge.error", "trackbridge.status", "trackbridge.exit_code"} & told.tags.keys()


def test_a_param_keeps_its_first_value_and_a_tag_has_the_last(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    rows.add(ConfigLogged, scope="script", config={"lr": 1e-5, "name": "adam", "bound": math.inf})
    rows.add(ConfigLogged, scope="script", config={"lr": 2e-5})
    deliver(rows, ending=None)
    rows.add(ConfigLogged, scope="script", config={"lr": 1e-5})
    rows.add(ConfigLogged, scope="model", config={"layers": 12})

    deliver(rows)

    told = pages.told(rows.header.run_id)
    assert told.params["script/lr"] == "1e-05"
    assert {name: value for name, value in told.tags.items() if name.startswith("changed/")} == {
        "changed/script/lr": "1e-05"
    }
    assert json.loads(told.read("trackbridge/config.json")) == {
        "script": {"lr": 1e-5, "name": "adam", "bound": {"$float": "Infinity"}},
        "model": {"layers": 12},
    }


def test_long_values_are_cut_and_stay_whole_in_the_documents(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    rows.add(ConfigLogged, scope="script", config={"text": "é" * 7000, "empty": ""})
    rows.add(SummaryLogged, values={"sample": "x" * 9000, "best/mcc": 0.5, "flag": True})

    assert deliver(rows).rejections == ()

    told = pages.told(rows.header.run_id)
    assert told.params["script/text"] == "é" * 5988 + " [truncated]"
    assert told.params["script/empty"] == ""
    assert told.tags["summary/sample"].endswith("x [truncated]")
    assert told.tags["summary/flag"] == "True"
    assert json.loads(told.read("trackbridge/config.json"))["script"]["text"] == "é" * 7000
    assert json.loads(told.read("trackbridge/summary.json"))["sample"] == "x" * 9000


def test_names_that_mlflow_refuses_are_changed_told_and_stay_apart(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    names = ["loss@1", "loss#1", "../../up", "a//b", ".", "x" * 300, "x" * 301, "метрика: 1"]
    for step in (1, 2):
        rows.add_metrics(step, {name: float(number) for number, name in enumerate(names)})
    rows.add_media(3, "eval/../what?", Text("The cat sat."))

    rejections = deliver(rows).rejections

    told = pages.told(rows.header.run_id)
    assert sorted(value for _, value, _, step in told.points if step == 2) == list(range(len(names)))
    assert [rejection.what for rejection in rejections] == [f"the name {name!r}" for name in names]
    assert next(path for path in told.files if path.startswith("media/")).startswith("media/what_-")


def test_of_equal_points_in_one_millisecond_one_arrives_and_the_others_are_told(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    first = rows.add_metrics(1, {"train/loss": math.nan})
    again = rows.rows[-1]._replace(number=len(rows.rows))
    rows.rows.append(again)

    rejections = deliver(rows).rejections

    assert first.event.t == again.event.t
    assert [(rejection.row, rejection.what) for rejection in rejections] == [(again.number, "train/loss")]
    assert len(curve(pages, rows, "train/loss")) == 1


def test_a_row_larger_than_a_request_arrives_whole(server: MlflowProxy, pages: MlflowPages, rows: RowBuilder) -> None:
    metrics = {f"layer/{number}": float(number) for number in range(1100)}
    rows.add_metrics(1, metrics)
    rows.add(ConfigLogged, scope="script", config={f"key-{number}": "я" * 5000 for number in range(120)})
    adapter = MlflowAdapter()
    remote = adapter.open(rows.header, None)

    adapter.deliver(rows.rows)

    kept = mlflow.MlflowClient(pages.url).get_run(remote.remote_id).data
    assert kept.metrics == metrics
    assert len(kept.params) == 120


def test_files_arrive_byte_for_byte_under_their_names(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder, tmp_path: Path
) -> None:
    folder = tmp_path / "best model"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "weights.bin").write_bytes(bytes(range(256)))
    rows.add(ArtifactLogged, name="model", type="model", path=str(folder), size_bytes=256, sha256="0" * 64)
    rows.add_media(3, "eval/worst", Table(["text", "score"], [["a", math.nan], ["b,c", [1, 2]]]))
    picture = rows.add_media(4, "eval/picture", Image(b"\x89PNG\r\n\x1a\n picture"))

    deliver(rows)
    deliver(rows)

    told = pages.told(rows.header.run_id)
    stamp = f"timestamp+{picture.event.t // 10**6}"
    (shown,) = (path for path in told.files if path.startswith("images/") and path.endswith(".png"))
    assert told.read("artifacts/model/inner/weights.bin") == bytes(range(256))
    assert told.read("media/eval/worst/step-3-row-2.csv").decode() == 'text,score\na,NaN\n"b,c","[1, 2]"\n'
    assert shown.startswith(f"images/eval~picture+step+4+{stamp}+")
    assert told.read(shown) == b"\x89PNG\r\n\x1a\n picture"
    assert json.loads(told.read("trackbridge/media/eval/worst/step-3-row-2.json"))["columns"] == ["text", "score"]
    assert len(told.files) == 5


def test_the_store_of_a_server_that_still_runs_is_imported_with_its_files(
    server: MlflowProxy, store: Path, tmp_path: Path
) -> None:
    # The tests share the server, and a run is known again by its id.
    rows = RowBuilder(tmp_path, run_id="0190a1b2c3d47e5f8a9b0c1d2e3f0000", group="study", tags=("first",))
    rows.add(ConfigLogged, scope="script", config={"lr": 0.1, "betas": [0.9, 0.999]})
    rows.add_metrics(1, {"eval/mcc": math.inf}, epoch=0.5)
    (tmp_path / "weights.bin").write_bytes(b"weights")
    path = str(tmp_path / "weights.bin")
    rows.add(ArtifactLogged, name="model", type="model", path=path, size_bytes=7, sha256="0" * 64)
    deliver(rows)

    # The server was told to keep files in this folder, of which the database says nothing.
    report = import_runs(store, root=tmp_path / "imported", files_from=[store / "kept"])

    assert [run.problems for run in report.runs if run.project == "demo"] == [()]
    run = tb.open_store(tmp_path / "imported").runs(project="demo")[0]
    assert (run.name, run.group, run.tags, run.status) == ("baseline", "study", ("first",), "finished")
    assert run.config["script"] == {"lr": 0.1, "betas": [0.9, 0.999]}
    assert run.series("eval/mcc").values.tolist() == [math.inf]
    assert [(Path(run.path) / artifact.path).read_bytes() for artifact in run.artifacts] == [b"weights"]


def test_a_checkpoint_that_vanished_or_is_too_large_is_a_rejection(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"large")
    gone = rows.add_checkpoint(1, tmp_path / "gone", {"eval/mcc": 0.1}, upload="other")
    large = rows.add_checkpoint(2, tmp_path / "weights.bin", {"eval/mcc": 0.2}, upload="best")
    rows.add_metrics(3, {"train/loss": 0.5})
    adapter = MlflowAdapter()
    adapter.open(rows.header, None)

    with server.trouble(where="checkpoints/step-2", status=413):
        rejections = adapter.deliver(rows.rows).rejections

    assert [(rejection.row, rejection.kind) for rejection in rejections] == [
        (gone.number, "checkpoint_saved"),
        (large.number, "checkpoint_saved"),
    ]
    assert "413" in rejections[1].reason
    assert curve(pages, rows, "train/loss") == [(3, 0.5)]


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("where", ["runs/create", "runs/log-batch", "mlflow-artifacts"])
def test_an_answer_that_is_lost_loses_and_doubles_nothing(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder, where: str, cut: str
) -> None:
    for step in range(1, 21):
        rows.add_metrics(step, {"train/loss": 1 / step})
    rows.add(ConfigLogged, scope="script", config={"lr": 1e-5})
    rows.add(ConfigLogged, scope="script", config={"lr": 2e-5})

    with server.trouble(where=where, cut=cut), pytest.raises(TransientDeliveryError):
        deliver(rows)
    deliver(rows)

    assert pages.run_ids() == [rows.header.run_id]
    assert curve(pages, rows, "train/loss") == [(step, 1 / step) for step in range(1, 21)]
    assert pages.seen(rows.header.run_id).config["script/lr"] == "2e-05"


def test_a_damaged_document_is_mended_by_saying_everything_again(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    rows.add(ConfigLogged, scope="script", config={"lr": 1e-5})
    rows.add_metrics(1, {"train/loss": 1.0})
    deliver(rows, ending=None)
    client = mlflow.MlflowClient(pages.url)
    (run,) = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    client.log_text(run.info.run_id, '{"script": {"l', "trackbridge/config.json")

    assert MlflowAdapter().open(rows.header, RemoteRef(run.info.run_id)).delivered_rows == 0
    deliver(rows)

    assert json.loads(pages.told(rows.header.run_id).read("trackbridge/config.json")) == {"script": {"lr": 1e-5}}
    assert curve(pages, rows, "train/loss") == [(1, 1.0)]


def test_a_run_or_experiment_deleted_in_mlflow_is_a_refusal_that_says_how_to_restore_it(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    adapter = MlflowAdapter()
    remote = adapter.open(rows.header, None)
    client = mlflow.MlflowClient(pages.url)
    client.delete_run(remote.remote_id)

    with pytest.raises(DeliveryRefused, match=f"mlflow runs restore --run-id {remote.remote_id}"):
        deliver(rows, remote)
    client.restore_run(remote.remote_id)
    deliver(rows, remote)
    number = client.get_experiment_by_name("demo").experiment_id
    client.delete_experiment(number)
    with pytest.raises(DeliveryRefused, match=f"mlflow experiments restore --experiment-id {number}"):
        deliver(rows, remote)
    client.restore_experiment(number)


def test_a_run_that_the_server_does_not_know_is_begun_again(
    server: MlflowProxy, pages: MlflowPages, rows: RowBuilder
) -> None:
    remote = MlflowAdapter().open(rows.header, RemoteRef("0" * 32))

    assert remote.remote_id != "0" * 32
    assert remote.delivered_rows == 0


def test_a_slow_server_is_waited_for(server: MlflowProxy, pages: MlflowPages, rows: RowBuilder) -> None:
    rows.add_metrics(1, {"train/loss": 1.0})

    with server.trouble(where="log-batch", delay_s=1.0):
        deliver(rows)

    assert curve(pages, rows, "train/loss") == [(1, 1.0)]


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_patience_is_tried_again(server: MlflowProxy, rows: RowBuilder, status: int) -> None:
    with server.trouble(where="log-batch", status=status), pytest.raises(TransientDeliveryError):
        deliver(rows)


def test_an_untested_version_is_named_in_the_log(
    server: MlflowProxy, rows: RowBuilder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow, "__version__", "9.9.9")
    with caplog.at_level(logging.WARNING):
        deliver(rows)

    assert "mlflow 9.9.9 is installed" in caplog.text


def test_a_run_of_the_journal_arrives_offline_by_sync(tmp_path: Path) -> None:
    with tb.start_run("demo", name="a baseline", root=tmp_path / "runs", config={"lr": 2e-5}) as run:
        for step in range(1, 51):
            run.log({"train/loss": 1 / step}, step=step)
    command = [sys.executable, "-m", "trackbridge", "sync", str(tmp_path / "runs"), "--to", "mlflow:offline"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    told = MlflowDatabase(run.path / "offline" / "mlflow" / "mlflow.db").told(run.run_id)
    assert [(value, step) for name, value, _, step in told.points if name == "train/loss"] == [
        (1 / step, step) for step in range(1, 51)
    ]
    assert (told.name, told.status, told.params["script/lr"]) == ("a baseline", "FINISHED", "2e-05")
