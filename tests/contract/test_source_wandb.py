"""The contract for sources, held by the reader of W&B's files, with runs that the real SDK wrote offline."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sdk_runs import HOSTILE_NAME, log_to_wandb
from wandb_writer import WrittenRun

import trackbridge as tb
from trackbridge.sources.outcome import ImportReport
from trackbridge.testing.source_contract import Expected, SourceContract

PICTURE_STEP, TABLE_STEP, HISTOGRAM_STEP = 8, 9, 10


@pytest.fixture(scope="session")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run, and with the staging folder of its artifact, as the SDK left them."""
    return log_to_wandb(tmp_path_factory.mktemp("wandb") / "project")


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
