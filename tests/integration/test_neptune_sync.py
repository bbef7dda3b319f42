"""Offline directories, taken by the real `neptune sync` and read by the client's own queue."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.adapters.base import Ending, RemoteRef
from trackbridge.adapters.neptune import NeptuneAdapter
from trackbridge.adapters.neptune_sdk import load_sdk
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, ConfigLogged, RunFinished, RunResumed, TagsSet
from trackbridge.run.media import Histogram, Image, Table, Text
from trackbridge.testing.bench import assert_points
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.rows import RowBuilder


@pytest.fixture
def neptune() -> Iterator[FakeNeptune]:
    with FakeNeptune() as server:
        yield server


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RowBuilder(folder, group="study", tags=("first",), notes="as logged")


def write(rows: RowBuilder, folder: Path, remote: RemoteRef | None = None, ending: Ending | None = None) -> RemoteRef:
    adapter = NeptuneAdapter(mode="offline", folder=folder)
    reference = adapter.open(rows.header, remote)
    assert adapter.deliver(rows.rows).rejections == ()
    assert adapter.flush(5.0)
    adapter.close(ending)
    return reference


def sync(folder: Path, neptune: FakeNeptune, *options: str) -> str:
    """Run `neptune sync` as a user would; what it printed."""
    command = [str(Path(sys.executable).parent / "neptune"), "sync", "--path", str(folder), *options]
    environment = {**os.environ, **neptune.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def add_a_whole_run(rows: RowBuilder, folder: Path) -> None:
    (folder / "checkpoint-3").mkdir()
    (folder / "checkpoint-3" / "weights.bin").write_bytes(b"w" * 1000)
    (folder / "predictions.tsv").write_text("1\t0\n")
    rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5}, "layers": 12})
    rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": "auto"}})
    for step in range(1, 1201):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/lr": 1e-5 * step}, epoch=step / 100)
    rows.add_metrics(1201, {"train/loss": float("nan")})
    rows.add_media(3, "eval/picture", Image(bytes.fromhex("89504e470d0a1a0a") + b"picture", caption="four pixels"))
    rows.add_media(3, "eval/table", Table(["text", "score"], [["a", 0.5], ["b", float("nan")]], caption="worst first"))
    rows.add_media(3, "eval/histogram", Histogram([1.0, 2.0, 2.0, float("inf")], bins=2))
    rows.add_media(3, "eval/text", Text("The cat sat."))
    rows.add_checkpoint(3, folder / "checkpoint-3", {"eval/mcc": 0.5}, upload="other")
    fields = {"name": "predictions.tsv", "type": "file", "size_bytes": 4, "sha256": "0" * 64}
    rows.add(ArtifactLogged, path=str(folder / "predictions.tsv"), **fields)
    rows.add(TagsSet, tags=["first", "second"])
    rows.add(RunFinished, status="failed", exit_code=1, error="RuntimeError: stop", traceback="Traceback: line 7")


def test_neptune_sync_brings_the_whole_run(rows: RowBuilder, neptune: FakeNeptune, tmp_path: Path) -> None:
    add_a_whole_run(rows, tmp_path)
    ending = Ending("failed", 1, "RuntimeError: stop", rows.rows[-1].event.t, "step 20\n  größer")
    write(rows, tmp_path / "out", ending=ending)
    # The machine with the network need not be the one that trained.
    moved = shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    shutil.rmtree(rows.header.folder)
    shutil.rmtree(tmp_path / "checkpoint-3")

    sync(moved, neptune)

    seen = neptune.seen(rows.header.run_id)
    finite = replace(seen, points=tuple(point for point in seen.points if math.isfinite(point.value)))
    logged = [row for row in rows.rows if getattr(row.event, "step", 0) != 1201]
    assert_points(finite, logged, NeptuneAdapter.capabilities)
    assert seen.config == {"script/optimizer/lr": "auto", "script/layers": "12"}
    assert (seen.name, seen.group, seen.notes) == ("baseline", "study", "as logged")
    assert seen.tags == {"first", "second"}
    assert {(item.name, item.media, item.step) for item in seen.media} == {
        (f"eval/{media}" if media != "image" else "eval/picture", media, 3)
        for media in ("image", "table", "histogram", "text")
    }
    assert seen.artifacts == {"step-3", "predictions.tsv"}
    assert (seen.status, seen.error) == ("failed", "RuntimeError: stop")
    assert seen.console == "step 20\n  größer"


def test_files_arrive_as_they_were(rows: RowBuilder, neptune: FakeNeptune, tmp_path: Path) -> None:
    add_a_whole_run(rows, tmp_path)
    write(rows, tmp_path / "out")

    sync(tmp_path / "out", neptune)

    value = neptune.run(rows.header.run_id).value
    assert value("checkpoints/step-3/files/weights.bin") == b"w" * 1000
    assert value("artifacts/predictions.tsv/files/predictions.tsv") == b"1\t0\n"
    assert value("media/table/eval/table/step-3") == b"text,score\na,0.5\nb,NaN\n"
    assert value("media/captions/eval/table/step-3") == "worst first"
    assert value("media/histogram/eval/histogram/step-3").splitlines()[-1] == b"not finite,,1"
    assert value("media/text/eval/text/step-3") == b"The cat sat."
    assert value("run/traceback") == b"Traceback: line 7"
    assert value("media/images/eval/picture")[0].value["description"] == "four pixels"
    assert [entry.value for entry in value("not_finite/train/loss")] == ["NaN"]


def test_sync_takes_one_run_by_its_id_and_leaves_no_directory(
    rows: RowBuilder, neptune: FakeNeptune, tmp_path: Path
) -> None:
    other = RowBuilder(tmp_path / "other", run_id="b" * 32)
    for run in (rows, other):
        run.add_metrics(1, {"train/loss": 1.0})
        write(run, tmp_path / "out")

    sync(tmp_path / "out", neptune, "--object", f"offline/{rows.header.run_id}")

    assert neptune.run_ids() == [rows.header.run_id]
    assert [path.name for path in (tmp_path / "out" / ".neptune" / "offline").iterdir()] == [f"run__{'b' * 32}"]


def test_a_directory_that_was_left_torn_is_mended_and_whole(
    rows: RowBuilder, neptune: FakeNeptune, tmp_path: Path
) -> None:
    for step in range(1, 6):
        rows.add_metrics(step, {"train/loss": 1 / step})
    remote = write(rows, tmp_path / "out")
    with (tmp_path / "out" / ".neptune" / "offline" / f"run__{rows.header.run_id}" / "data-1.log").open("ab") as log:
        log.write(b'{"obj":{"path":["metrics","train","loss"],"type":"LogFlo')
    rows.add(RunResumed, from_step=3)
    for step in range(4, 9):
        rows.add_metrics(step, {"train/loss": 10 / step})

    write(rows, tmp_path / "out", remote)
    sync(tmp_path / "out", neptune)

    assert_points(neptune.seen(rows.header.run_id), rows.rows, NeptuneAdapter.capabilities)


def test_what_a_killed_delivery_left_can_be_synced_as_it_is(
    rows: RowBuilder, neptune: FakeNeptune, tmp_path: Path
) -> None:
    for step in range(1, 6):
        rows.add_metrics(step, {"train/loss": 1 / step})
    adapter = NeptuneAdapter(mode="offline", folder=tmp_path / "out")
    adapter.open(rows.header, None)
    adapter.deliver(rows.rows)
    adapter.flush(5.0)
    adapter.close(None)
    with (tmp_path / "out" / ".neptune" / "offline" / f"run__{rows.header.run_id}" / "data-1.log").open("ab") as log:
        log.write(b'{"obj":{"path":["metrics","train","loss"],"type":"LogFlo')

    sync(tmp_path / "out", neptune)

    assert_points(neptune.seen(rows.header.run_id), rows.rows, NeptuneAdapter.capabilities)


def test_the_clients_own_queue_finds_every_operation(rows: RowBuilder, tmp_path: Path) -> None:
    load_sdk()
    from neptune.core.components.queue.disk_queue import DiskQueue
    from neptune.internal.operation import Operation

    for step in range(1, 301):
        rows.add_metrics(step, {"train/loss": 1 / step})
    write(rows, tmp_path / "out")
    folder = tmp_path / "out" / ".neptune" / "offline" / f"run__{rows.header.run_id}"
    lines = [json.loads(line) for line in (folder / "data-1.log").read_text().splitlines()]

    queue: Any = DiskQueue(folder, lambda operation: operation.to_dict(), Operation.from_dict, threading.RLock())
    elements = queue.get_batch(10_000)
    queue.close()

    assert queue.size() == len(elements) == len(lines)
    assert [element.ver for element in elements] == list(range(1, len(lines) + 1))


def test_a_directory_that_cannot_be_written_is_trouble_that_passes(rows: RowBuilder, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where the folder should be")

    with pytest.raises(TransientDeliveryError, match="out"):
        NeptuneAdapter(mode="offline", folder=tmp_path / "out").open(rows.header, None)


def test_an_offline_delivery_needs_no_client(rows: RowBuilder, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['neptune'] = None\n"
        "from pathlib import Path\n"
        "from trackbridge.adapters.neptune import NeptuneAdapter\n"
        "from trackbridge.testing.rows import RowBuilder\n"
        "rows = RowBuilder(Path('run')); rows.add_metrics(1, {'train/loss': 1.0})\n"
        "adapter = NeptuneAdapter(mode='offline', folder=Path('out')); adapter.open(rows.header, None)\n"
        "adapter.deliver(rows.rows); sys.exit(not adapter.flush(5.0))\n"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


TWO_RUNS = """
import sys
import trackbridge as tb
for _ in range(2):
    with tb.start_run("demo", root="runs", to=["neptune:offline"]) as run:
        run.log({"train/loss": 1.0}, step=1)
sys.exit("neptune" in sys.modules)
"""


@pytest.mark.parametrize(
    "command",
    [["-c", TWO_RUNS], ["-m", "trackbridge", "sync", "runs", "--to", "neptune:offline"]],
    ids=["start_run", "sync"],
)
def test_the_terminal_is_told_once_what_is_left_of_neptune(tmp_path: Path, command: list[str]) -> None:
    with tb.start_run("demo", root=tmp_path / "runs") as run:
        run.log({"train/loss": 1.0}, step=1)

    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "closed on 5 March 2026" in line
    assert "self-hosted" in line
    assert "offline" in line
