"""W&B's offline folder, given to W&B's own tools: `wandb sync` against the fake server, and `wandb leet inspect`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from wandb_kit import build_rows, fake_wandb

from trackbridge.adapters.base import Ending
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, ConfigLogged, RunFinished, RunResumed, SummaryLogged, TagsSet
from trackbridge.run.media import Image, Table
from trackbridge.testing.bench import Bench, assert_points
from trackbridge.testing.fake_wandb import FakeWandb


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb(monkeypatch) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_reports_to_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def sync(folder: Path) -> None:
    """Give the folder to `wandb sync`, oldest run first."""
    command = [sys.executable, "-m", "wandb", "sync", *sorted(map(str, folder.glob("wandb/offline-run-*")))]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def offline_bench(folder: Path, count: int = 10) -> Bench:
    connect = partial(WandbAdapter, mode="offline", folder=folder / "offline")
    rows = build_rows(folder / "run", count, group="study", tags=("first",), notes="a note")
    return Bench(connect, None, rows)  # type: ignore[arg-type]  # the tracker is the server, after the sync


def test_wandb_sync_brings_the_whole_run_to_the_server(server: FakeWandb, tmp_path: Path) -> None:
    bench = offline_bench(tmp_path, 200)
    artifact = tmp_path / "predictions.tsv"
    artifact.write_text("1\t0\n")
    bench.rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5}})
    bench.rows.add_media(7, "eval/confusion", Table(["label", "n"], [["yes", 3]]))
    bench.rows.add(ArtifactLogged, name=artifact.name, type="file", path=str(artifact), size_bytes=4, sha256="0" * 64)
    bench.rows.add(SummaryLogged, values={"test/mcc": 0.5})
    bench.rows.add(TagsSet, tags=["second"])
    bench.deliver(ending=Ending("failed", 3, "RuntimeError: boom", 5, "step 20\n  größer"))
    artifact.unlink()

    sync(tmp_path / "offline")

    run = server.runs[bench.rows.header.run_id]
    seen = run.as_seen()
    assert_points(seen, bench.rows.rows, bench.capabilities)
    assert (seen.name, seen.group, seen.notes, seen.tags) == ("baseline", "study", "a note", {"second"})
    assert seen.config["script"] == {"optimizer": {"lr": 2e-5}}
    assert seen.summary["test/mcc"] == 0.5
    assert [item.name for item in seen.media] == ["eval/confusion"]
    assert (run.state, run.exit_code, "RuntimeError: boom" in seen.error) == ("failed", 3, True)
    assert [line.partition(" ")[2] for line in seen.console.split("\n")] == ["step 20", "  größer"]
    table, predictions = sorted(server.artifacts.values(), key=lambda one: one.type, reverse=True)
    assert (table.type, table.state) == ("run_table", "COMMITTED")
    assert predictions.files["predictions.tsv"] == b"1\t0\n"


def test_a_run_that_goes_on_after_a_sync_is_synced_without_doubles(server: FakeWandb, tmp_path: Path) -> None:
    bench = offline_bench(tmp_path, 100)
    bench.rows.add(ConfigLogged, scope="script", config={"lr": 2e-5})
    bench.rows.add(RunFinished, status="failed", exit_code=1, error="RuntimeError: boom")
    remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: boom"))
    sync(tmp_path / "offline")
    counted = len(bench.rows.rows)
    bench.rows.add(RunResumed, from_step=90)
    for step in range(91, 121):
        bench.rows.add_metrics(step, {"train/loss": 10 / step})

    bench.deliver(remote, counted=counted)
    sync(tmp_path / "offline")

    run = server.runs[bench.rows.header.run_id]
    assert len(run.history) == 130
    assert_points(run.as_seen(), bench.rows.rows, bench.capabilities)
    assert run.as_seen().config["script"] == {"lr": 2e-5}
    assert run.state == "finished"


def test_wandb_leet_reads_the_same(tmp_path: Path) -> None:
    bench = offline_bench(tmp_path, 3000)
    bench.deliver()

    (file,) = (tmp_path / "offline").glob("wandb/offline-run-*/run-*.wandb")
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.splitlines()

    records = [json.loads(line) for line in lines]
    history = [record["history"]["item"] for record in records if record["type"] == "history"]
    assert [(row["_step"], row["trainer/step"], row["train/loss"]) for row in history] == [
        (row.number, row.event.step, row.event.metrics["train/loss"]) for row in bench.rows.rows[1:]
    ]
    assert [record["exit"]["exit_code"] for record in records if record["type"] == "exit"] == [0]


def test_nothing_is_written_outside_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    bench = offline_bench(tmp_path)
    bench.rows.add_media(1, "eval/table", Table(["a"], [[1]]))
    bench.rows.add_media(1, "eval/picture", Image([[[0.0, 1.0, 0.5]]]))

    assert bench.rejections() == []
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    assert not (tmp_path / "wandb").exists()


def test_online_and_offline_in_one_process_take_turns(server: FakeWandb, tmp_path: Path) -> None:
    bench = offline_bench(tmp_path)
    online = WandbAdapter()
    online.open(bench.rows.header, None)

    with pytest.raises(TransientDeliveryError, match="waits until wandb is done"):
        bench.open()

    online.close(None)
    bench.deliver()
    assert [path.name for path in (tmp_path / "offline").glob("wandb/offline-run-*/*.wandb")]
