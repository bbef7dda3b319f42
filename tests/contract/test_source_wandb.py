"""The contract for sources, held by the reader of W&B's files, with runs that the real SDK wrote offline."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from wandb_writer import WrittenRun

import trackbridge as tb
from trackbridge.sources.outcome import ImportReport
from trackbridge.testing.source_contract import Expected, SourceContract

HOSTILE_NAME = "../../<b>escape</b>"
PICTURE_STEP, TABLE_STEP, HISTOGRAM_STEP = 8, 9, 10
SCRIPT = """
import math, sys, threading
import numpy as np
import wandb
folder = sys.argv[1]
run = wandb.init(
    mode="offline", dir=folder, id="abc123", project="sentiment", name="läuft", notes="line one\\nline two",
    tags=["a", "б"], group="study", job_type="train",
    config={"optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]}, "ключ": "значение", "layers": 12, "ratio": 3.0},
    settings=wandb.Settings(x_stats_sampling_interval=0.5, silent=True),
)
run.define_metric("global_step")
run.define_metric("eval/*", step_metric="global_step")
print("it trains, 日本")
for number in range(5):
    run.log({"train/loss": 1 / (number + 1), "nested": {"deep": {"er": number}}})
run.log({"train/loss": math.nan, "high": math.inf, sys.argv[2]: -math.inf})
run.log({"eval/mcc": 0.5, "global_step": 200})
run.log({"eval/mcc": 0.25, "global_step": 100})
run.log({"picture": wandb.Image(np.zeros((4, 4, 3), dtype=np.uint8), caption="black")})
run.log({"table": wandb.Table(columns=["a", "b"], data=[[1, "x"], [2.5, None]])})
run.log({"histogram": wandb.Histogram([1, 2, 3, 3]), "sentence": "Der Hund bellt."})
run.summary["best"] = 0.7
run.config.update({"late": {"value": 1}})
with open(folder + "/notes.txt", "w") as file:
    file.write("kept")
run.save(folder + "/notes.txt", base_path=folder)
artifact = wandb.Artifact("weights", type="model", metadata={"epoch": 3})
artifact.add_file(folder + "/notes.txt")
run.log_artifact(artifact)
run.alert("drift", "the loss rises")
run.tags = ("a", "c")
threading.Event().wait(1.0)  # the SDK samples the machine every half second
run.finish(exit_code=3)
"""


@pytest.fixture(scope="session")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run, and with the staging folder of its artifact, as the SDK left them."""
    folder = tmp_path_factory.mktemp("wandb") / "project"
    folder.mkdir()
    environment = {"WANDB_DATA_DIR": str(folder / "data"), "WANDB_ERROR_REPORTING": "false"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        command = [sys.executable, "-c", SCRIPT, str(folder), HOSTILE_NAME]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder


class TestWandb(SourceContract):
    source = "wandb"
    hostile_name = HOSTILE_NAME

    @pytest.fixture(autouse=True)
    def _where_the_sdk_left_it(self, made_place: Path) -> None:
        # Links and artifacts are named by absolute path.
        self.staged = made_place

    def bring(self, place: Path, root: Path) -> ImportReport:
        return tb.import_runs(place, source=self.source, root=root, files_from=[self.staged])

    def data_file(self, place: Path) -> Path:
        return next(place.glob("wandb/offline-run-*/*.wandb"))

    @pytest.fixture
    def expected(self, made_place: Path) -> Expected:
        return Expected(
            name="läuft",
            curves={
                "train/loss": [*((number, 1 / (number + 1)) for number in range(5)), (5, math.nan)],
                "nested.deep.er": [(number, float(number)) for number in range(5)],
                "high": [(5, math.inf)],
                HOSTILE_NAME: [(5, -math.inf)],
                "eval/mcc": [(200, 0.5), (100, 0.25)],
                "global_step": [(6, 200.0), (7, 100.0)],
            },
            config={
                "optimizer": {"lr": 2e-5, "betas": [0.9, 0.999]},
                "ключ": "значение",
                "layers": 12,
                "ratio": 3.0,
                "late": {"value": 1},
            },
            status="failed",
            exit_code=3,
            group="study",
            tags=frozenset({"a", "c"}),
            notes="line one\nline two",
            summary={"best": 0.7},
            media=frozenset(
                {
                    ("picture", "image", PICTURE_STEP),
                    ("table", "table", TABLE_STEP),
                    ("histogram", "histogram", HISTOGRAM_STEP),
                    ("sentence", "text", HISTOGRAM_STEP),
                }
            ),
            files={"notes.txt": b"kept", "weights/notes.txt": b"kept"},
            printed="it trains, 日本",
            times_ns=((time_ns := time.time_ns()) - 3_600_000_000_000, time_ns),
            has_system=True,
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        (tmp_path / "outside.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        image = {"_type": "image-file", "format": "png"}
        deep = "[" * 100_000 + "]" * 100_000
        (tmp_path / "table.json").write_text(f'{{"columns": ["a"], "data": [[{deep}]]}}')
        runs = {
            "parent": WrittenRun().log(0, {"picture": {**image, "path": "../../outside.png"}}),
            "absolute": WrittenRun().log(0, {"picture": {**image, "path": str(tmp_path / "outside.png")}}),
            "windows": WrittenRun().log(0, {"picture": {**image, "path": "C:\\outside.png"}}),
            "deep value": WrittenRun().log_json(0, "value", deep),
            "deep key": WrittenRun().log_path(0, ["a"] * 10_000, "1"),
            "deep config": WrittenRun().configure_json("key", deep),
            "deep table": WrittenRun().log(0, {"table": {"_type": "table-file", "path": "table.json"}}),
        }
        for name, run in runs.items():
            run.write(tmp_path / name / "run-hostile.wandb")
        files = tmp_path / "deep table" / "files"
        files.mkdir()
        (tmp_path / "table.json").rename(files / "table.json")
        return [tmp_path / name for name in runs]
