"""The contract, held by the reader of Comet's archives: Comet's own SDK makes them, in a process of its own."""

from __future__ import annotations

import json
import math
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from comet_kit import KEY, rewritten
from sdk_runs import COMET_CONFIG, COMET_STEPS, log_to_comet

from trackbridge.testing.source_contract import Expected, SourceContract


@pytest.fixture(scope="module")
def times_ns() -> list[int]:
    return []


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory, times_ns: list[int]) -> Path:
    times_ns.append(time.time_ns())
    place = log_to_comet(tmp_path_factory.mktemp("made") / ".cometml-runs")
    times_ns.append(time.time_ns())
    return place


class TestCometSource(SourceContract):
    source = "comet"

    def shrink(self, place: Path) -> None:
        with zipfile.ZipFile(place / f"{KEY}.zip") as archive:
            lines = archive.read("messages.json").splitlines(keepends=True)
        half = next(at for at, line in enumerate(lines) if b'"step":30' in line)
        rewritten(place / f"{KEY}.zip", messages=b"".join(lines[:half]))

    @pytest.fixture
    def expected(self, times_ns: list[int]) -> Expected:
        first, last = times_ns
        by_step = {step: position for position, step in enumerate(COMET_STEPS)}
        return Expected(
            name="base line ü",
            curves={
                "train/loss": [(step, 0.5 / (position + 1)) for step, position in by_step.items()],
                "eval/mcc": [(0, math.nan), (1, math.inf), (2, -math.inf), (3, 1.0)],
                "losses/ctc": [(8, 1.0)],
                "losses/überlänge/損失": [(8, 2.0)],
                "validate_accuracy": [(8, 0.5)],
            },
            config=COMET_CONFIG,
            status="failed",
            group="study/ü",
            tags=frozenset({"a, b", "ü"}),
            summary={"best": 0.5},
            media=frozenset(
                {
                    ("sample", "image", 3),
                    ("weights", "histogram", 3),
                    ("text", "text", 3),
                    ("confusion", "table", 3),
                }
            ),
            files={"sub/notes.bin": b"\x00\x01"},
            printed="Es wird trainiert\n",
            # Comet keeps milliseconds.
            times_ns=(first // 1_000_000 * 1_000_000, last),
            has_system=True,
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path, made_place: Path) -> Sequence[Path]:
        folder = tmp_path / "hostile"
        folder.mkdir()
        return [
            zip_of(folder / "slip.zip", {"messages.json": b"{}", "../../slipped.txt": b"x"}),
            zip_of(folder / "absolute.zip", {"messages.json": b"{}", "/tmp/absolute.txt": b"x"}),
            zip_of(folder / "bomb.zip", {"messages.json": b" " * (300 << 20)}),
            zip_of(folder / "nested.zip", {"messages.json": message("log_other", b"[" * 100_000)}),
            encrypted(zip_of(folder / "encrypted.zip", {"messages.json": b"{}"})),
            overlapping(zip_of(folder / "overlapping.zip", {"messages.json": b"{}", "messages.jsom": b"{}"})),
        ]


def message(kind: str, payload: bytes) -> bytes:
    return b'{"type":' + json.dumps(kind).encode() + b',"payload":' + payload


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def encrypted(path: Path) -> Path:
    """The archive with the bit set, in both places, that says that its first member is encrypted."""
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def overlapping(path: Path) -> Path:
    """The archive with both entries of its table of contents leading to the first member."""
    content = bytearray(path.read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 42 : second + 46] = bytes(4)
    path.write_bytes(content)
    return path
