"""Event files: their checksums and bytes, what becomes of them in crashes, and what TensorBoard reads in them."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as tensorboard_crc32c
from tensorboard.util.tensor_util import make_ndarray

import trackbridge as tb
from trackbridge.adapters.base import Adapter, Delivery, Ending, RemoteRef
from trackbridge.adapters.tensorboard import TensorboardAdapter
from trackbridge.adapters.tensorboard_events import masked_crc32c
from trackbridge.errors import TransientDeliveryError
from trackbridge.events.models import ConfigLogged, EnvironmentCaptured, MediaLogged, RunFinished, RunResumed
from trackbridge.run.media import Image, Table
from trackbridge.testing.bench import deliver_and_be_killed
from trackbridge.testing.rows import STARTED_NS, RowBuilder


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RowBuilder(folder, group="study", tags=("first",), notes="# Notes")


def connect(tmp_path: Path) -> TensorboardAdapter:
    return TensorboardAdapter(folder=tmp_path / "logs")


def deliver(adapter: Adapter, rows: RowBuilder, remote: RemoteRef | None = None, *, ending: Ending | None) -> Delivery:
    adapter.open(rows.header, remote)
    delivery = adapter.deliver(rows.rows)
    assert adapter.flush(5.0)
    adapter.close(ending)
    return delivery


def shown(logs: Path) -> EventAccumulator:
    """The one run of a log folder, as TensorBoard itself loads it."""
    (folder,) = logs.iterdir()
    accumulator = EventAccumulator(str(folder), tensor_size_guidance=dict.fromkeys(("scalars", "text"), 0))
    accumulator.Reload()
    return accumulator


def curve(accumulator: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    shown = [(event.step, event.tensor_proto) for event in accumulator.Tensors(tag)]
    for _, tensor in shown:
        assert make_ndarray(tensor).item() == pytest.approx(tensor.double_val[0], rel=1e-7, nan_ok=True)
    return [(step, tensor.double_val[0]) for step, tensor in shown]


def text(accumulator: EventAccumulator, tag: str) -> str:
    return str(make_ndarray(accumulator.Tensors(tag)[-1].tensor_proto).item().decode())


def bytes_of(logs: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in logs.rglob("*") if path.is_file()}


@given(st.binary(max_size=300))
def test_the_checksum_is_tensorboards_own(content: bytes) -> None:
    assert masked_crc32c(content) == tensorboard_crc32c(content)


def test_the_checksum_of_the_rfc() -> None:
    # RFC 3720 appendix B.4: 32 bytes of zeros give 0x8A9136AA, here behind TFRecord's mask.
    crc = 0x8A9136AA
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

    assert masked_crc32c(bytes(32)) == masked


def test_nothing_of_tensorboard_is_needed_to_write_its_files(tmp_path: Path) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from trackbridge.adapters.tensorboard import TensorboardAdapter
        from trackbridge.testing.rows import RowBuilder

        rows = RowBuilder(Path({str(tmp_path)!r}))
        rows.add_metrics(1, {{"train/loss": 1.0}})
        adapter = TensorboardAdapter()
        adapter.open(rows.header, None)
        adapter.deliver(rows.rows)
        adapter.close(None)
        sys.exit(any(name.partition(".")[0] in ("tensorboard", "tensorflow", "google") for name in sys.modules))
    """

    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode == 0
    assert curve(shown(tmp_path / "offline" / "tensorboard"), "train/loss") == [(1, 1.0)]


def test_tensorboard_hides_the_steps_that_a_resume_superseded(rows: RowBuilder, tmp_path: Path) -> None:
    for step in range(1, 8):
        rows.add_metrics(step, {"train/loss": 1 / step})
    rows.add(RunResumed, from_step=4, checkpoint="checkpoint-4")
    for step in range(5, 7):
        rows.add_metrics(step, {"train/loss": 10 / step})

    deliver(connect(tmp_path), rows, ending=None)

    kept = [(step, 1 / step) for step in range(1, 5)] + [(step, 10 / step) for step in range(5, 7)]
    assert curve(shown(tmp_path / "logs"), "train/loss") == kept


def test_a_run_that_was_only_continued_hides_nothing(rows: RowBuilder, tmp_path: Path) -> None:
    rows.add_metrics(7, {"train/loss": 7.0})
    rows.add(RunResumed, from_step=None)
    rows.add_metrics(3, {"train/loss": 3.0})

    deliver(connect(tmp_path), rows, ending=None)

    assert curve(shown(tmp_path / "logs"), "train/loss") == [(7, 7.0), (3, 3.0)]


def test_files_cut_anywhere_are_written_on_to_the_very_same_bytes(rows: RowBuilder, tmp_path: Path) -> None:
    for step in range(1, 30):
        rows.add_metrics(step, {"train/loss": 1 / step}, epoch=step / 7)
        rows.add(ConfigLogged, scope="script", config={"step": step, "lr": math.nan})
    ending = Ending("failed", 1, "RuntimeError: no", STARTED_NS)
    deliver(TensorboardAdapter(folder=tmp_path / "whole"), rows, ending=ending)
    chance = random.Random(1)

    restarted = partial(TensorboardAdapter, folder=tmp_path / "logs")
    for upto in (9, 23, 41):
        confirmed = restarted()
        remote = confirmed.open(rows.header, None)
        confirmed.deliver(rows.rows[: upto - 4])
        confirmed.close(None)
        deliver_and_be_killed(restarted, rows.header, remote, rows.rows[:upto], confirm_s=0.0)
        with next(tmp_path.glob("logs/*/*1-rows")).open("ab") as file:
            file.write(chance.randbytes(chance.randrange(100)))
    deliver(restarted(), rows, ending=ending)

    assert bytes_of(tmp_path / "logs") == bytes_of(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["gone", "torn", "of nothing"])
def test_without_a_sound_commit_all_is_written_anew(rows: RowBuilder, tmp_path: Path, damage: str) -> None:
    for step in range(1, 5):
        rows.add_metrics(step, {"train/loss": 1 / step})
    deliver(connect(tmp_path), rows, ending=None)
    commit = next(tmp_path.glob("logs/*/trackbridge.msgpack"))
    if damage == "gone":
        commit.unlink()
    elif damage == "torn":
        commit.write_bytes(commit.read_bytes()[:-9])
    else:
        next(tmp_path.glob("logs/*/*1-rows")).unlink()

    adapter = connect(tmp_path)
    assert adapter.open(rows.header, None).delivered_rows == 0
    adapter.close(None)
    deliver(connect(tmp_path), rows, ending=None)
    assert curve(shown(tmp_path / "logs"), "train/loss") == [(step, 1 / step) for step in range(1, 5)]


def test_a_run_that_goes_on_does_not_look_ended(rows: RowBuilder, tmp_path: Path) -> None:
    rows.add(RunFinished, status="failed", exit_code=1, error="no", traceback="Traceback:\n  line 7")
    deliver(connect(tmp_path), rows, ending=Ending("failed", 1, "no", STARTED_NS))
    assert text(shown(tmp_path / "logs"), "trackbridge/ending") == "failed, exit code 1\n\n    no"

    adapter = connect(tmp_path)
    adapter.open(rows.header, None)
    adapter.close(None)

    tags = shown(tmp_path / "logs").Tags()["tensors"]
    assert "trackbridge/ending" not in tags
    assert "trackbridge/traceback/1" in tags


def test_a_log_folder_that_cannot_be_written_is_tried_again(rows: RowBuilder, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")

    with pytest.raises(TransientDeliveryError, match="logs"):
        connect(tmp_path).open(rows.header, None)


def test_what_has_no_step_stands_there_whole_as_text(rows: RowBuilder, tmp_path: Path) -> None:
    config = {"optimizer": {"lr": 2e-5}, "text": "a | b\n```", "ключ": math.inf}
    rows.add(ConfigLogged, scope="script", config=config)
    rows.add(EnvironmentCaptured, environment={"python": {"version": "3.11"}})

    deliver(connect(tmp_path), rows, ending=None)

    told = shown(tmp_path / "logs")
    assert text(told, "trackbridge/notes") == "# Notes"
    assert json.loads(text(told, "trackbridge/config")) == {"script": {**config, "ключ": {"$float": "Infinity"}}}
    assert json.loads(text(told, "trackbridge/environment")) == {"python": {"version": "3.11"}}


def test_a_table_is_markdown_that_no_cell_breaks(rows: RowBuilder, tmp_path: Path) -> None:
    rows.add_media(3, "eval/worst", Table(["text", "score"], [["a | b\nc", math.nan], [None, [1, 2]]]))

    deliver(connect(tmp_path), rows, ending=None)

    lines = ["| text | score |", "| --- | --- |", "| a \\| b<br>c | NaN |", "|  | [1, 2] |"]
    assert text(shown(tmp_path / "logs"), "eval/worst").splitlines() == lines


def test_pictures_tensorboard_does_not_show_are_rejections(rows: RowBuilder, tmp_path: Path) -> None:
    drawing = rows.add_media(3, "eval/drawing", Image(b"<svg xmlns='http://www.w3.org/2000/svg'/>"))
    shutil.copy(rows.header.folder / drawing.event.path, rows.header.folder / "figure.json")
    fields: dict[str, Any] = {"media": "plotly", "path": "figure.json", "size_bytes": 1, "sha256": "0"}
    figure = rows.add(MediaLogged, name="eval/figure", step=3, **fields)

    rejections = deliver(connect(tmp_path), rows, ending=None).rejections

    assert [(rejection.row, rejection.what) for rejection in rejections] == [
        (drawing.number, "eval/drawing"),
        (figure.number, "eval/figure"),
    ]
    assert "PNG, JPEG and GIF" in rejections[0].reason


def test_a_run_of_the_journal_arrives_by_sync(tmp_path: Path) -> None:
    with tb.start_run("cola", name="a baseline", root=tmp_path / "runs", config={"lr": 2e-5}) as run:
        for step in range(1, 51):
            run.log({"train/loss": 1 / step}, step=step)
    command = [sys.executable, "-m", "trackbridge", "sync", str(tmp_path / "runs"), "--to", "tensorboard"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    told = shown(run.path / "offline" / "tensorboard")
    assert curve(told, "train/loss") == [(step, 1 / step) for step in range(1, 51)]
    assert text(told, "trackbridge/ending").startswith("finished")
