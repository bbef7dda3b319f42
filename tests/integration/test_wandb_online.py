"""The W&B adapter with the real SDK against the fake server: what it brings there, and what it says in trouble."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import wandb
from wandb_kit import at_server, build_rows, fake_wandb

from trackbridge.adapters.base import Ending
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.events.models import (
    ArtifactLogged,
    ConfigLogged,
    EventsDropped,
    RunFinished,
    RunResumed,
    SummaryLogged,
    TagsSet,
)
from trackbridge.run.media import Histogram, Image, Table, as_media
from trackbridge.testing.bench import Bench
from trackbridge.testing.fake_wandb import FakeWandb


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb(monkeypatch) as server:
        yield server


@pytest.fixture
def bench(server: FakeWandb, tmp_path: Path) -> Bench:
    return Bench(WandbAdapter, server, build_rows(tmp_path / "run", 5, group="study", tags=("first",)))


def test_the_public_api_of_wandb_reads_the_run_back(bench: Bench) -> None:
    bench.deliver()

    run = wandb.Api().run(f"team/demo/{bench.rows.header.run_id}")
    rows = list(run.scan_history(use_cache=False))

    assert run.lastHistoryStep == 5
    assert [(row["_step"], row["trainer/step"], row["train/norm"]) for row in rows] == [
        (number, number, float(number)) for number in range(1, 6)
    ]
    assert run.config["trackbridge"]["started_at"] == "2023-11-14T22:13:20.123000+00:00"


def test_charts_are_drawn_over_the_users_step_and_system_metrics_over_seconds(bench: Bench) -> None:
    for seconds in (15, 30):
        bench.rows.add_metrics(seconds, {"system/cpu_percent": 12.5, "system/gpu_0_power_w": 300.0})

    bench.deliver()

    defined = at_server(bench).config["_wandb"]["value"]["m"]
    names = [metric.get("1") or metric.get("2") for metric in defined]
    axes = {name: names[metric["5"] - 1] for name, metric in zip(names, defined, strict=True) if "5" in metric}
    assert axes == {"*": "trainer/step", "system/*": "system/seconds"}
    assert [row["system/seconds"] for row in at_server(bench).rows[-2:]] == [15, 30]
    assert "trainer/step" not in at_server(bench).rows[-1]
    assert "system/seconds" not in at_server(bench).rows[0]


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
    bench.rows.add_media(6, "eval/wide", Histogram(range(1000), bins=601))
    bench.rows.add_media(6, "eval/counted", Histogram([1.0, 2.0, float("nan")], bins=2))
    bench.rows.add_media(6, "eval/drawing", Image(b"<svg xmlns='http://www.w3.org/2000/svg'/>", caption="a line"))
    bench.rows.add_media(6, "eval/figure", figure)
    bench.rows.add_media(6, "eval/mixed", Table(["a", "b"], [[1, {"x": [1]}], ["text", float("inf")]]))

    rejections = bench.rejections()

    assert rejections == []
    shown = {name: value for row in at_server(bench).rows for name, value in row.items() if name.startswith("eval/")}
    assert shown["eval/counted/n_nonfinite"] == 1
    assert shown["eval/drawing/caption"] == "a line"
    types = {name: value["_type"] for name, value in shown.items() if isinstance(value, dict)}
    assert types == {
        "eval/counted": "histogram",
        "eval/drawing": "html-file",
        "eval/figure": "plotly-file",
        "eval/mixed": "table-file",
        "eval/wide": "histogram",
    }
    wide = shown["eval/wide"]
    assert (len(wide["values"]), len(wide["bins"]), sum(wide["values"])) == (301, 302, 1000)
    assert (wide["bins"][0], wide["bins"][-1]) == (0, 999)
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


def test_the_best_checkpoint_is_found_by_its_alias(bench: Bench, tmp_path: Path) -> None:
    uploads: list[Literal["best", "other"]] = ["best", "other"]
    for step, upload in zip((10, 20), uploads, strict=True):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights.bin").write_bytes(bytes([step]))
        bench.rows.add_checkpoint(step, folder, {"eval/mcc": 0.6}, upload=upload)

    bench.deliver()

    aliases = {one.metadata["step"]: set(one.aliases) for one in at_server(bench).artifacts.values()}
    assert aliases == {10: {"step-10", "best"}, 20: {"step-20", "latest"}}


def test_an_artifact_is_one_version_however_often_it_is_delivered(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a b.txt").write_text("hello")
    bench.rows.add(ArtifactLogged, name="my predictions!", type="file", path=str(folder), size_bytes=5, sha256="0" * 64)
    remote = bench.deliver(ending=None)

    bench.deliver(remote)

    (artifact,) = at_server(bench).artifacts.values()
    assert (artifact.name, artifact.files["deep/a b.txt"]) == ("my-predictions-", b"hello")
