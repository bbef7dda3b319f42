"""What every adapter has to do with pictures, tables, checkpoints and artifacts; a part of `contract`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from trackbridge.events.models import ArtifactLogged
from trackbridge.run.media import Histogram, Image, Table, Text
from trackbridge.testing.bench import Bench


class FilesContract:
    """What holds for whatever comes as a file."""

    @pytest.mark.parametrize("media", ["image", "table", "histogram", "text"])
    def test_media_arrive_or_are_rejected(self, bench: Bench, media: str) -> None:
        row = bench.rows.add_media(7, f"eval/{media}", _media()[media])
        bench.rows.add_metrics(8, {"train/loss": 1.0})

        rejections = bench.rejections()

        seen = [(item.name, item.step) for item in bench.seen.media if item.media == media]
        is_rejected = getattr(bench.capabilities, f"{media}s") == "no"
        assert seen == ([] if is_rejected else [(f"eval/{media}", 7)])
        assert [rejection.row for rejection in rejections] == ([row.number] if is_rejected else [])
        assert bench.seen.curve("train/loss") == [(8, 1.0)]

    def test_a_media_file_that_is_gone_is_a_rejection(self, bench: Bench) -> None:
        row = bench.rows.add_media(7, "eval/sample", Text("The cat sat."))
        next((bench.rows.header.folder / "files" / "media").iterdir()).unlink()
        bench.rows.add_metrics(8, {"train/loss": 1.0})

        rejections = bench.rejections()

        assert [(rejection.row, rejection.kind) for rejection in rejections] == [(row.number, "media_logged")]
        assert bench.seen.curve("train/loss") == [(8, 1.0)]

    def test_an_artifact_arrives_or_is_rejected(self, bench: Bench, tmp_path: Path) -> None:
        file = tmp_path / "predictions.tsv"
        file.write_text("1\t0\n")
        fields = {"name": file.name, "type": "file", "path": str(file), "size_bytes": 4, "sha256": "0" * 64}
        row = bench.rows.add(ArtifactLogged, **fields)

        rejections = bench.rejections()

        is_rejected = bench.capabilities.artifacts == "no"
        assert ("predictions.tsv" in bench.seen.artifacts) != is_rejected
        assert [rejection.row for rejection in rejections] == ([row.number] if is_rejected else [])

    def test_only_checkpoints_that_are_to_be_uploaded_arrive_with_their_bytes(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        uploads: dict[int, Literal["best", "other"] | None] = {3: "best", 1: None, 2: "other"}
        for step, upload in uploads.items():
            folder = tmp_path / f"checkpoint-{step}"
            folder.mkdir()
            (folder / "weights.bin").write_bytes(bytes([step]) * 100)
            bench.rows.add_checkpoint(step, folder, {"eval/mcc": step / 10}, upload=upload)

        rejections = bench.rejections()

        is_rejected = bench.capabilities.artifacts == "no"
        assert bench.seen.artifacts == (set() if is_rejected else {"step-3", "step-2"})
        assert len(rejections) == (2 if is_rejected else 0)

    def test_a_checkpoint_that_is_gone_arrives_as_a_reference_or_is_rejected(
        self, bench: Bench, tmp_path: Path
    ) -> None:
        row = bench.rows.add_checkpoint(3, tmp_path / "gone", {"eval/mcc": 0.5}, upload="other")
        bench.rows.add_metrics(8, {"train/loss": 1.0})

        rejections = bench.rejections()

        assert bench.seen.artifacts == {"step-3"} or [rejection.row for rejection in rejections] == [row.number]
        assert bench.seen.curve("train/loss") == [(8, 1.0)]


def _media() -> dict[str, Any]:
    import numpy as np

    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], dtype=np.uint8)
    return {
        "image": Image(pixels, caption="four pixels"),
        "table": Table(["text", "score"], [["a", 0.5], ["b", None]], caption="worst first"),
        "histogram": Histogram([1.0, 2.0, 2.0, 5.0], bins=4),
        "text": Text("The cat sat.", caption="sample"),
    }
