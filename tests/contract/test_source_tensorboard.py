"""The contract, held by the reader of event files: torch's own writer makes them."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sdk_runs import HOSTILE_NAME, TENSORBOARD_CONFIG, TENSORBOARD_STEPS, log_to_tensorboard

from trackbridge.sources.tensorboard_records import masked_crc32c
from trackbridge.testing.source_contract import Expected, SourceContract


@pytest.fixture(scope="module")
def times_ns() -> list[int]:
    return []


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory, times_ns: list[int]) -> Path:
    place = tmp_path_factory.mktemp("made") / "baseline ü"
    times_ns.append(time.time_ns())
    log_to_tensorboard(place)
    times_ns.append(time.time_ns())
    return place


class TestTensorboardSource(SourceContract):
    source = "tensorboard"
    hostile_name = HOSTILE_NAME

    @pytest.fixture
    def expected(self, made_place: Path, times_ns: list[int]) -> Expected:
        first, last = times_ns
        by_step = {step: position for position, step in enumerate(TENSORBOARD_STEPS)}
        return Expected(
            name=made_place.name,
            curves={
                "train/loss": [(step, as_float32(0.5 / (position + 1))) for step, position in by_step.items()],
                "überlänge/損失": [(step, float(position)) for step, position in by_step.items()],
                "eval/mcc": [(0, math.nan), (1, math.inf), (2, -math.inf), (3, 1.0)],
            },
            config=TENSORBOARD_CONFIG,
            media=frozenset(
                {("sample", "image", 3), ("weights", "histogram", 3), ("story", "text", 3), ("matrix", "text", 3)}
            ),
            # A float of seconds holds no nanoseconds.
            times_ns=(first - 1000, last + 1000),
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        place = tmp_path / "hostile" / "events.out.tfevents.1.host"
        place.parent.mkdir()
        length = struct.pack("<Q", 1 << 62)
        start = record(b"\x09" + struct.pack("<d", 1.0))
        place.write_bytes(start + length + struct.pack("<I", masked_crc32c(length)))
        return [place]


def as_float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    ends = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
    return length + next(ends) + content + next(ends)
