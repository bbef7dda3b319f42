"""An offline archive in the hands of Comet's own tool: `comet upload` sends it to a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trackbridge.adapters.base import Ending, RemoteRef
from trackbridge.adapters.comet import CometAdapter
from trackbridge.adapters.comet_sdk import load_sdk
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import (
    ArtifactLogged,
    ConfigLogged,
    EnvironmentCaptured,
    RunFinished,
    RunResumed,
    SummaryLogged,
    TagsSet,
)
from trackbridge.run.media import Histogram, Image, Table, Text
from trackbridge.testing.bench import FINISHED, Bench
from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.rows import STARTED_NS, RowBuilder

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
FAILED = Ending("failed", 1, "RuntimeError: out of memory", STARTED_NS + 99 * 10**9, "step 20\n  größer")


@pytest.fixture
def comet() -> Iterator[FakeComet]:
    with FakeComet() as comet:
        yield comet


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    (tmp_path / "run").mkdir()
    return RowBuilder(tmp_path / "run", group="study", tags=("first",), notes="a note")


@pytest.fixture
def bench(tmp_path: Path, comet: FakeComet, rows: RowBuilder) -> Bench:
    return Bench(lambda: CometAdapter(mode="offline", folder=tmp_path / "offline"), comet, rows)


@pytest.fixture
def archive(tmp_path: Path, rows: RowBuilder) -> Path:
    return tmp_path / "offline" / f"{rows.header.run_id}.zip"


@pytest.fixture
def upload(archive: Path, comet: FakeComet, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What `comet upload` calls, in this process: starting the command takes three seconds."""
    for name, value in comet.environment.items():
        monkeypatch.setenv(name, value)
    load_sdk()

    def run() -> None:
        from comet_ml.offline import main_upload

        main_upload([str(archive)], force_upload=False)

    return run


Upload = Callable[[], None]


def comet_upload(archive: Path, comet: FakeComet, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command itself."""
    command = [str(Path(sys.executable).with_name("comet")), "upload", str(archive)]
    environment = {**os.environ, **comet.environment, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def log_everything(rows: RowBuilder, folder: Path) -> None:
    """One row of every kind that Comet carries."""
    (folder / "weights.bin").write_bytes(b"\x00\x01" * 1000)
    rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5, "betas": [0.9, 0.99]}, "on": True})
    rows.add(EnvironmentCaptured, environment={"python": {"version": "3.11.7"}, "packages": {"numpy": "2.0"}})
    for step in range(1, 21):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5 * step}, epoch=step / 8)
    rows.add_metrics(21, {"train/loss": float("nan"), "train/lr": float("inf")})
    rows.add_media(7, "eval/picture", Image(PNG))
    rows.add_media(7, "eval/table", Table(["text", "score"], [["a,b", 0.5], ["c", None]]))
    rows.add_media(7, "eval/spread", Histogram([1.0, 2.0, 2.0, 5.0], bins=4))
    rows.add_media(8, "eval/sample", Text("The cat sat."))
    rows.add_checkpoint(20, folder, {"eval/mcc": 0.5}, upload="other")
    file = {"name": "predictions.tsv", "path": str(folder / "weights.bin"), "size_bytes": 2000, "sha256": "0" * 64}
    rows.add(ArtifactLogged, type="file", **file)
    rows.add(SummaryLogged, values={"test/mcc": 0.625})
    rows.add(TagsSet, tags=["second", "third"])
    rows.add(RunFinished, status="failed", exit_code=1, error=FAILED.error, traceback="Traceback: line 7")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "checkpoint-20").mkdir()
    return tmp_path / "checkpoint-20"


def test_the_uploaded_experiment_is_the_run(bench: Bench, comet: FakeComet, upload: Upload, checkpoint: Path) -> None:
    log_everything(bench.rows, checkpoint)
    bench.deliver(ending=FAILED)

    upload()

    seen, experiment = bench.seen, comet.experiments[bench.rows.header.run_id]
    assert (seen.name, seen.group, seen.notes, experiment.project) == ("baseline", "study", "a note", "demo")
    assert seen.tags == {"second", "third"}
    assert seen.config["script/optimizer/lr"] == "2e-05"
    assert seen.config["environment/python/version"] == "3.11.7"
    assert experiment.system["installedPackages"] == ["numpy==2.0"]
    assert str(seen.curve("train/loss")[-1]) == "(21, nan)"
    assert seen.curve("train/lr")[:2] == [(1, 1e-5), (2, 2e-5)]
    assert {(item.name, item.media, item.step) for item in seen.media} == {
        ("eval/picture", "image", 7),
        ("eval/table", "table", 7),
        ("eval/spread", "histogram", 7),
        ("eval/sample", "text", 8),
    }
    assert seen.artifacts == {"step-20", "predictions.tsv"}
    assert float(seen.summary["test/mcc"]) == 0.625
    assert (seen.status, seen.error) == ("failed", FAILED.error)
    assert seen.console == "step 20\n  größer\n"
    assert experiment.others["exit_code"] == 1
    assert (experiment.start_ms, experiment.end_ms) == (STARTED_NS // 10**6, FAILED.ended_ns // 10**6)


def test_the_bytes_of_every_file_arrive(bench: Bench, comet: FakeComet, upload: Upload, checkpoint: Path) -> None:
    log_everything(bench.rows, checkpoint)
    bench.deliver(ending=FAILED)

    upload()

    contents = {asset.name: asset.content for asset in comet.experiments[bench.rows.header.run_id].assets}
    assert contents["eval/picture"] == PNG
    assert contents["eval/table.csv"] == b'text,score\n"a,b",0.5\nc,\n'
    assert contents["eval/sample"] == b"The cat sat."
    assert contents["checkpoints/step-20/weights.bin"] == b"\x00\x01" * 1000
    assert contents["artifacts/predictions.tsv"] == b"\x00\x01" * 1000
    assert contents["traceback.txt"] == b"Traceback: line 7"


def test_our_histogram_is_one_that_comets_own_class_reads(bench: Bench, comet: FakeComet, upload: Upload) -> None:
    from comet_ml import Histogram as CometHistogram

    bench.rows.add_media(1, "eval/spread", Histogram([-3.0, 0.5, 1.0, 1.0, 70.0], bins=5))
    bench.deliver()
    upload()

    (asset,) = comet.experiments[bench.rows.header.run_id].assets
    histogram = CometHistogram.from_json(json.loads(asset.content), verbose=False)
    assert sum(histogram.counts) == 5
    # Bins of 14.6 from -3 to 70: the centres are 4.3 and 62.7, in bins of Comet's that are 10% wide.
    assert round(histogram.get_count(3.5, 5.0)) == 4
    assert round(histogram.get_count(55.0, 70.0)) == 1


def test_every_point_of_a_long_curve_is_uploaded_with_the_setting(
    bench: Bench, comet: FakeComet, archive: Path
) -> None:
    for step in range(20_000):
        bench.rows.add_metrics(step, {"train/loss": step / 7})
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)
    adapter.close(FINISHED)

    done = comet_upload(archive, comet, COMET_OFFLINE_SAMPLING_SIZE="1000000000")

    assert done.returncode == 0, done.stdout + done.stderr
    bench.assert_all_arrived()


def test_a_second_upload_is_refused_and_doubles_nothing(
    bench: Bench, comet: FakeComet, archive: Path, checkpoint: Path
) -> None:
    log_everything(bench.rows, checkpoint)
    bench.deliver(ending=FAILED)
    first = comet_upload(archive, comet)
    seen = repr(bench.seen)

    second = comet_upload(archive, comet)

    assert (first.returncode, second.returncode) == (0, 1)
    assert "already exists" in second.stderr
    assert repr(bench.seen) == seen


def test_the_archive_of_a_run_that_goes_on_can_be_uploaded(bench: Bench, tmp_path: Path, upload: Upload) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)
    adapter.flush(5.0)

    upload()

    bench.assert_all_arrived()


def test_a_run_that_is_resumed_after_its_end_completes_its_archive(bench: Bench, upload: Upload) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})
    bench.rows.add_media(1, "eval/picture", Image(PNG))
    remote = bench.deliver(ending=FAILED)
    bench.rows.add(RunResumed, from_step=1)
    bench.rows.add_metrics(2, {"train/loss": 0.5})
    bench.deliver(remote, counted=3)

    upload()

    bench.assert_all_arrived()
    assert (bench.seen.status, bench.seen.error) == ("finished", "")
    assert [item.name for item in bench.seen.media] == ["eval/picture"]


def test_what_was_written_after_the_last_commit_is_written_once(bench: Bench, tmp_path: Path, upload: Upload) -> None:
    for step in range(1, 11):
        bench.rows.add_metrics(step, {"train/loss": 1 / step})
    first = bench.open()
    first.deliver(bench.rows.rows[:5])
    first.flush(5.0)
    first.deliver(bench.rows.rows[5:])  # and its process dies: nothing confirms these rows
    messages = next((tmp_path / "offline").glob("*.parts")) / "messages.json"
    messages.write_bytes(messages.read_bytes()[:-20])

    bench.deliver(RemoteRef(bench.rows.header.run_id), counted=5)
    upload()

    bench.assert_all_arrived()


@pytest.mark.parametrize("damage", ["archive", "parts", "both"])
def test_a_lost_archive_is_made_anew_from_the_first_row(
    bench: Bench, tmp_path: Path, upload: Upload, damage: str
) -> None:
    for step in range(1, 11):
        bench.rows.add_metrics(step, {"train/loss": 1 / step})
    remote = bench.deliver(ending=None)
    if damage != "parts":
        next((tmp_path / "offline").glob("*.zip")).write_bytes(b"no archive")
    if damage != "archive":
        (next((tmp_path / "offline").glob("*.parts")) / "messages.json").write_bytes(b"")

    bench.deliver(remote, counted=len(bench.rows.rows))
    upload()

    bench.assert_all_arrived()


def test_the_parts_are_gone_after_the_end(bench: Bench, tmp_path: Path) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})

    bench.deliver()

    assert [path.name for path in (tmp_path / "offline").iterdir()] == [f"{bench.rows.header.run_id}.zip"]
    assert zipfile.ZipFile(next((tmp_path / "offline").iterdir())).namelist() == [
        "experiment.json",
        "messages.json",
        "trackbridge-events.jsonl",
    ]


def test_the_end_tells_the_command_that_uploads_every_point(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        bench.deliver()

    assert "COMET_OFFLINE_SAMPLING_SIZE=1000000000 comet upload " in caplog.text


def test_a_disk_that_refuses_is_waited_for(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "offline").write_text("a file where the folder should be")

    with pytest.raises(TransientDeliveryError, match="cannot be written"):
        bench.open()
