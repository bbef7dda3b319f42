"""The contract, held by the reader of neptune-exporter's Parquet files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from export_kit import row, write_file, write_run

from trackbridge.testing.source_contract import Expected, SourceContract

STEPS = [1, 2, 3, 4, 3, *range(5, 1500)]
STARTED_MS = 1_700_000_000_000
PROJECT, RUN = "ws/cola ü", "COL-1"
HOSTILE_NAME = "../../<b>escape</b>"
PICTURE = b"\x89PNG\r\n\x1a\n picture"


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "exports"
    inside = f"{PROJECT}/{RUN}"
    fields = [
        row("sys/name", "string", "base line ü"),
        row("sys/description", "string", "Zwei\nZeilen"),
        row("sys/creation_time", "datetime", STARTED_MS),
        row("sys/failed", "bool", True),
        row("sys/tags", "string_set", ["ü", "b"]),
        row("sys/group_tags", "string_set", ["study"]),
        row("parameters/lr", "float", 2e-5),
        row("parameters/layers", "int", 12),
        row("parameters/optimizer/name", "string", "AdamW ü"),
        row("parameters/is_frozen", "bool", True),
        row("best", "float", 0.5),
        row("tables/confusion", "file", {"path": f"{inside}/tables/confusion"}),
        row("source_code/files", "file_set", {"path": f"{inside}/source_code/files"}),
        row("eval/sample", "file_series", {"path": f"{inside}/eval/sample/3.png"}, 3, STARTED_MS),
        row("story", "string_series", "Es war einmal", 2, STARTED_MS),
        row("monitoring/0/cpu", "float_series", 50.0, 0, STARTED_MS + 9000),
        row(HOSTILE_NAME, "float_series", 1.0, 7, STARTED_MS),
        row("eval/mcc", "float_series", math.nan, 0, STARTED_MS),
        row("eval/mcc", "float_series", math.inf, 1, STARTED_MS),
    ]
    points = [row("train/loss", "float_series", 0.5 / (at + 1), step, STARTED_MS + at) for at, step in enumerate(STEPS)]
    write_run(place / "data", PROJECT, RUN, [*fields, *points[:100]], points[100:], group_rows=300)
    write_file(place / "files", PROJECT, f"{inside}/tables/confusion", b"wer,was\na,1\n")
    write_file(place / "files", PROJECT, f"{inside}/source_code/files/files.zip", b"PK")
    write_file(place / "files", PROJECT, f"{inside}/eval/sample/3.png", PICTURE)
    return place


class TestNeptuneExportSource(SourceContract):
    source = "neptune_export"
    hostile_name = HOSTILE_NAME

    @pytest.fixture
    def expected(self) -> Expected:
        curve = {step: 0.5 / (at + 1) for at, step in enumerate(STEPS)}
        parameters = {"lr": 2e-5, "layers": 12, "optimizer": {"name": "AdamW ü"}, "is_frozen": True}
        return Expected(
            name="base line ü",
            curves={"train/loss": list(curve.items()), "eval/mcc": [(0, math.nan), (1, math.inf)]},
            config={"parameters": parameters},
            status="failed",
            group="study",
            tags=frozenset({"ü", "b"}),
            notes="Zwei\nZeilen",
            summary={"best": 0.5},
            media=frozenset({("eval/sample", "image", 3), ("story", "text", 2)}),
            files={"tables/confusion": b"wer,was\na,1\n", "source_code/files/files.zip": b"PK"},
            times_ns=(STARTED_MS * 1_000_000, (STARTED_MS + 9000) * 1_000_000),
            has_system=True,
        )

    def shrink(self, place: Path) -> None:
        # The exporter gives a part its name when it is whole.
        self.data_file(place).unlink()

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        place = tmp_path / "source" / "hostile"
        write_run(place / "data", PROJECT, RUN, [row("a", "file", {"path": "../../../../secret"})])
        write_run(place / "data", PROJECT, "COL-2", [row("a", "file", {"path": "/etc/hostname"})])
        return [place]
