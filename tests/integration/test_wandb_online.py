"""The W&B adapter with the real SDK against the fake server: what it brings there, and what it says in trouble."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb_kit import build_rows, fake_wandb

from trackbridge.adapters.base import Ending
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.adapters.wandb_sdk import delivery_error
from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import (
    ArtifactLogged,
    CheckpointSaved,
    ConfigLogged,
    EventsDropped,
    RunFinished,
    RunResumed,
    SummaryLogged,
    TagsSet,
)
from trackbridge.run.media import Histogram, Image, Table, Text, as_media
from trackbridge.testing.bench import Bench, confirm, give_up
from trackbridge.testing.fake_wandb import FakeWandb
from trackbridge.testing.fake_wandb_run import FakeWandbRun


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb(monkeypatch) as server:
        yield server


@pytest.fixture
def bench(server: FakeWandb, tmp_path: Path) -> Bench:
    return Bench(WandbAdapter, server, build_rows(tmp_path / "run", 5, group="study", tags=("first",)))


def at_server(bench: Bench) -> FakeWandbRun:
    assert isinstance(bench.tracker, FakeWandb)
    return bench.tracker.runs[bench.rows.header.run_id]


def test_the_public_api_of_wandb_reads_the_run_back(bench: Bench) -> None:
    bench.deliver()

    run = wandb.Api().run(f"team/demo/{bench.rows.header.run_id}")
    rows = list(run.scan_history(use_cache=False))

    assert run.lastHistoryStep == 5
    assert [(row["_step"], row["trainer/step"], row["train/norm"]) for row in rows] == [
        (number, number, float(number)) for number in range(1, 6)
    ]
    assert run.config["trackbridge"]["started_at"] == "2023-11-14T22:13:20.123000+00:00"


def test_charts_are_drawn_over_the_users_step(bench: Bench) -> None:
    bench.deliver()

    defined = at_server(bench).config["_wandb"]["value"]["m"]

    names = [metric.get("1") or metric.get("2") for metric in defined]
    axes = {name: names[metric["5"] - 1] for name, metric in zip(names, defined, strict=True) if "5" in metric}
    assert axes == {"system/*": "system/seconds", "*": "trainer/step"}


def test_system_metrics_have_seconds_of_their_own(bench: Bench) -> None:
    bench.rows.add_metrics(30, {"system/cpu_percent": 12.5})

    bench.deliver()

    assert at_server(bench).rows[-1].items() >= {"system/cpu_percent": 12.5, "system/seconds": 30}.items()
    assert "trainer/step" not in at_server(bench).rows[-1]


def test_names_that_wandb_keeps_for_itself_are_rejected_alone(bench: Bench) -> None:
    row = bench.rows.add_metrics(9, {"_timestamp": 1.0, "train/loss": 0.5})

    rejections = bench.rejections()

    assert [(rejection.row, rejection.what) for rejection in rejections] == [(row.number, "_timestamp")]
    assert bench.seen.curve("train/loss")[-1] == (9, 0.5)


def test_a_tag_that_is_too_long_is_cut_and_listed(bench: Bench) -> None:
    bench.rows.add(TagsSet, tags=["x" * 65, "short"])

    rejections = bench.rejections()

    assert [rejection.what for rejection in rejections] == ["x" * 65]
    assert bench.seen.tags == {"x" * 64, "short"}


def test_media_that_wandb_has_no_exact_place_for(bench: Bench) -> None:
    import plotly.graph_objects

    figure = as_media(plotly.graph_objects.Figure(data=[{"type": "bar", "y": [1, 2]}]))
    assert figure is not None
    wide = bench.rows.add_media(6, "eval/wide", Histogram(range(1000), bins=600))
    bench.rows.add_media(6, "eval/counted", Histogram([1.0, 2.0, float("nan")], bins=2))
    bench.rows.add_media(6, "eval/drawing", Image(b"<svg xmlns='http://www.w3.org/2000/svg'/>", caption="a line"))
    bench.rows.add_media(6, "eval/figure", figure)
    bench.rows.add_media(6, "eval/mixed", Table(["a", "b"], [[1, {"x": [1]}], ["text", float("inf")]]))

    rejections = bench.rejections()

    assert [(rejection.row, "512" in rejection.reason) for rejection in rejections] == [(wide.number, True)]
    assert bench.rejections() == rejections, "a second delivery rejects what the first did"
    shown = {name: value for row in at_server(bench).rows for name, value in row.items() if name.startswith("eval/")}
    assert shown["eval/counted/n_nonfinite"] == 1
    assert shown["eval/drawing/caption"] == "a line"
    types = {name: value["_type"] for name, value in shown.items() if isinstance(value, dict)}
    assert types == {
        "eval/counted": "histogram",
        "eval/drawing": "html-file",
        "eval/figure": "plotly-file",
        "eval/mixed": "table-file",
    }
    table = json.loads(at_server(bench).files[shown["eval/mixed"]["path"]])
    assert table["data"] == [[1, '{"x": [1]}'], ["text", "Infinity"]]


def test_config_and_summary_may_hold_any_number(bench: Bench) -> None:
    numbers = {"inf": float("-inf"), "tiny": 5e-324, "large": 2**53, "float": 1.0}
    bench.rows.add(ConfigLogged, scope="script", config={**numbers, "deep": [{"nan": float("nan")}]})
    bench.rows.add(SummaryLogged, values={**numbers, "nan": float("nan")})

    bench.deliver()

    assert bench.seen.config["script"] == {**numbers, "deep": [{"nan": "NaN"}]}
    assert bench.seen.summary.items() >= {**numbers, "nan": "NaN"}.items()


def test_what_a_person_changes_at_wandb_stays(bench: Bench) -> None:
    remote = bench.deliver(ending=None)
    at_server(bench).name, at_server(bench).tags = "renamed by hand", ["by hand"]
    bench.rows.add_metrics(6, {"train/loss": 0.1})

    bench.deliver(remote)

    assert (bench.seen.name, bench.seen.tags) == ("renamed by hand", {"by hand"})


def test_variables_for_the_users_own_runs_do_not_touch_ours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # The service that this variable names does not exist: using it would fail.
    monkeypatch.setenv("WANDB_SERVICE", "3-1-unix-/nowhere/wandb.sock")
    for name in ("NAME", "TAGS", "NOTES", "RUN_GROUP", "RUN_ID", "PROJECT"):
        monkeypatch.setenv(f"WANDB_{name}", "foreign")
    monkeypatch.setenv("WANDB_MODE", "disabled")

    bench.deliver()

    assert bench.tracker.run_ids() == [bench.rows.header.run_id]
    assert (bench.seen.name, bench.seen.group, bench.seen.tags) == ("baseline", "study", {"first"})
    assert at_server(bench).project == "demo"


def test_the_process_keeps_its_own_hooks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = (lambda code=None: None), (lambda *error: None)
    monkeypatch.setattr(sys, "exit", hooks[0])
    monkeypatch.setattr(sys, "excepthook", hooks[1])

    bench.deliver()

    assert (sys.exit, sys.excepthook) == hooks


def test_a_config_key_that_is_logged_again_replaces_the_old_object(bench: Bench) -> None:
    bench.rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 1.0, "betas": [1, 2]}, "kept": 1})
    bench.rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2.0}})

    bench.deliver()

    assert bench.seen.config["script"] == {"optimizer": {"lr": 2.0}, "kept": 1}


def test_a_later_session_clears_the_error_of_the_earlier_one(bench: Bench) -> None:
    bench.rows.add(RunFinished, status="failed", exit_code=1, error="boom", traceback="line 7")
    remote = bench.deliver(ending=Ending("failed", 1, "boom"))
    assert bench.seen.summary.items() >= {
        "trackbridge/status": "failed", "trackbridge/exit_code": 1, "trackbridge/error": "boom",
        "trackbridge/traceback": "line 7",
    }.items()  # fmt: skip
    bench.rows.add(RunResumed, from_step=5)
    bench.rows.add(RunFinished, status="finished", exit_code=0)

    bench.deliver(remote)

    assert bench.seen.summary.get("trackbridge/error") is None
    assert (bench.seen.status, bench.seen.summary["trackbridge/status"]) == ("finished", "finished")


@pytest.mark.parametrize(("status", "code"), [("killed", 143), ("lost", 137)])
def test_a_killed_run_has_its_true_status_in_the_summary(bench: Bench, status: str, code: int) -> None:
    bench.deliver(ending=Ending(status, code if status == "killed" else None))  # type: ignore[arg-type]

    assert bench.seen.status == "failed"
    assert at_server(bench).exit_code == code
    assert bench.seen.summary["trackbridge/status"] == status


def test_events_that_the_disk_refused_are_told(bench: Bench) -> None:
    bench.rows.add(EventsDropped, counts={"metrics_logged": 7}, reason="disk full", since_t=1)

    bench.deliver()

    assert bench.seen.summary["trackbridge/events_dropped"]["counts"] == {"metrics_logged": 7}


def test_the_best_checkpoint_is_remembered_over_a_restart(bench: Bench, tmp_path: Path) -> None:
    for step, score in ((10, 0.6), (20, 0.5)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes([step]))
        bench.rows.add(CheckpointSaved, step=step, path=str(folder), metrics={"eval/mcc": score})
    half = len(bench.rows.rows) - 1
    for rows in (bench.rows.rows[:half], bench.rows.rows[half:]):
        adapter = bench.connect()
        adapter.checkpoints = "best"
        adapter.open(bench.rows.header, None)
        adapter.deliver(rows)
        confirm(adapter)
        adapter.close(None)

    (artifact,) = at_server(bench).artifacts.values()
    assert set(artifact.aliases) == {"latest", "step-10", "best"}
    assert artifact.metadata == {"step": 10, "metrics": {"eval/mcc": 0.6}}


def test_an_artifact_is_one_version_however_often_it_is_delivered(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a b.txt").write_text("hello")
    bench.rows.add(ArtifactLogged, name="my predictions!", type="file", path=str(folder), size_bytes=5, sha256="0" * 64)
    remote = bench.deliver(ending=None)

    bench.deliver(remote)

    (artifact,) = at_server(bench).artifacts.values()
    assert (artifact.name, artifact.files["deep/a b.txt"]) == ("my-predictions-", b"hello")


def test_media_whose_upload_failed_are_uploaded_by_the_next_connection(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    bench.rows.add_media(5, "eval/picture", Image([[[0.0, 1.0, 0.5]]]))
    bench.rows.add_media(5, "eval/table", Table(["a"], [[1]]))
    bench.rows.add_media(5, "eval/text", Text("The cat sat."))
    adapter = bench.open()
    with bench.tracker.server.trouble(where="/upload/", status=403):
        adapter.deliver(bench.rows.rows)
        assert not adapter.flush(3.0)
        give_up(adapter)
    assert len(at_server(bench).history) == 8
    assert at_server(bench).files == {}

    bench.deliver()

    paths = {value["path"] for row in at_server(bench).rows for value in row.values() if isinstance(value, dict)}
    assert len(paths) == 3
    assert paths <= at_server(bench).files.keys()
    assert not (bench.rows.header.folder / "delivery" / "wandb").exists()


def test_an_answer_that_is_lost_after_the_server_took_the_rows_doubles_nothing(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    adapter = bench.open()
    with bench.tracker.server.trouble(where="file_stream", cut="after"):
        adapter.deliver(bench.rows.rows)
        assert not adapter.flush(1.0)
        give_up(adapter)

    bench.deliver()

    bench.assert_all_arrived()
    assert len(at_server(bench).history) == 5


def test_slow_answers_only_take_longer(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    with bench.tracker.server.trouble(delay_s=0.15):
        bench.deliver()

    bench.assert_all_arrived()


def test_a_server_that_refuses_rows_is_a_refusal_and_no_success(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)

    with bench.tracker.server.trouble(where="file_stream", status=403), pytest.raises(DeliveryRefused) as refused:
        adapter.flush(10.0)

    assert "403" in str(refused.value)
    assert "WANDB_API_KEY" in str(refused.value)
    give_up(adapter)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_transient(bench: Bench, status: int) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    with bench.tracker.server.trouble(status=status), pytest.raises(TransientDeliveryError, match=str(status)):
        bench.open()


def test_a_run_that_was_deleted_at_wandb_is_a_refusal_in_its_words(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    with (
        bench.tracker.server.trouble(where="UpsertBucket", status=409),
        pytest.raises(DeliveryRefused, match="refused"),
    ):
        bench.open()


def test_without_a_key_nobody_is_asked_and_the_way_out_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))

    with pytest.raises(DeliveryRefused, match="no W&B API key: set WANDB_API_KEY"):
        bench.open()


def test_a_key_of_the_wrong_form_is_a_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")

    with pytest.raises(DeliveryRefused, match="40") as refused:
        bench.open()

    assert "WANDB_API_KEY" in str(refused.value)


@pytest.mark.parametrize("name", wandb.errors.__all__)
def test_every_public_error_of_the_sdk_becomes_one_of_ours(name: str) -> None:
    error = getattr(wandb.errors, name)("it says why")

    assert type(delivery_error(error)) is DeliveryRefused
    assert "it says why" in str(delivery_error(error))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (wandb.errors.CommError("Post: giving up after 2 attempt(s): HTTP 503"), TransientDeliveryError),
        (wandb.errors.CommError("Run initialization has timed out after 30.0 sec"), TransientDeliveryError),
        (ConnectionResetError("the service died"), TransientDeliveryError),
        (KeyError("surprise"), AdapterBug),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_passes_is_transient_and_what_nobody_foresaw_is_a_bug(error: Exception, ours: type[Exception]) -> None:
    assert type(delivery_error(error)) is ours


def test_an_untested_version_is_told_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wandb, "__version__", "9.1.0")

    with caplog.at_level(logging.WARNING):
        bench.deliver()

    assert "wandb 9.1.0 is installed; its adapter is tested with" in caplog.text


def test_a_version_that_is_too_old_names_the_one_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "__version__", "0.29.0")

    with pytest.raises(DeliveryRefused, match=r"0\.29\.0 is too old to deliver online: pip install 'wandb>=0\.30\.0'"):
        bench.open()


def test_a_missing_sdk_names_the_install_command(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["wandb"] = None
from pathlib import Path
from trackbridge.adapters.base import RunHeader
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.errors import MissingDependencyError
try:
    WandbAdapter().open(RunHeader("0" * 32, "p", "n", Path({str(tmp_path)!r})), None)
except MissingDependencyError as error:
    assert "pip install 'trackbridge[wandb]'" in str(error), error
else:
    raise AssertionError("it opened")"""

    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ.copy())


def test_a_server_is_spared_while_rows_come_in_one_by_one(bench: Bench) -> None:
    assert isinstance(bench.tracker, FakeWandb)
    adapter = bench.open()
    started = time.monotonic()
    for row in bench.rows.rows[1:4]:
        adapter.deliver([row])
        confirm(adapter)
    adapter.close(None)

    requests = len(bench.tracker.server.requests)
    assert requests / (time.monotonic() - started) < 12
    assert bench.seen.curve("train/norm") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_the_last_rows_of_a_run_are_not_held_back(bench: Bench) -> None:
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)
    confirm(adapter)
    started = time.monotonic()
    adapter.deliver([bench.rows.add(RunFinished, status="finished", exit_code=0)])
    confirm(adapter)

    assert time.monotonic() - started < WandbAdapter.pause_s
    adapter.close(Ending("finished", 0))
