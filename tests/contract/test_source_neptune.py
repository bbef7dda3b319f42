"""The contract, held by the reader of Neptune's directories: the real client makes one offline."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sdk_runs import HOSTILE_NAME, NEPTUNE_STEPS, log_to_neptune

from trackbridge.testing.source_contract import Expected, SourceContract


@pytest.fixture(scope="module")
def times_ns() -> list[int]:
    return []


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory, times_ns: list[int]) -> Path:
    """A run of the client that ended with an error."""
    times_ns.append(time.time_ns())
    place = log_to_neptune(tmp_path_factory.mktemp("made") / "project")
    times_ns.append(time.time_ns())
    return place


class TestNeptuneSource(SourceContract):
    source = "neptune"
    hostile_name = HOSTILE_NAME

    @pytest.fixture
    def expected(self, times_ns: list[int]) -> Expected:
        first, last = times_ns
        curve = {step: 0.5 / (at + 1) for at, step in enumerate(NEPTUNE_STEPS)}
        parameters = {"lr": 2e-5, "layers": 12, "optimizer": {"name": "AdamW ü"}, "is_frozen": True}
        return Expected(
            name="base line ü",
            # Neptune's client takes no value that is not finite.
            curves={"train/loss": list(curve.items()), HOSTILE_NAME: [(7, 1.0)]},
            config={"parameters": parameters},
            status="failed",
            group="study",
            tags=frozenset({"ü", "b"}),
            notes="Zwei\nZeilen",
            summary={"best": 0.5},
            media=frozenset({("eval/sample", "image", 3), ("story", "text", 2)}),
            files={"tables/confusion": b"wer,was\na,1\n"},
            # A float of seconds holds no nanoseconds.
            times_ns=(first - 1000, last + 1000),
            has_system=True,
        )

    def data_file(self, place: Path) -> Path:
        return next(place.rglob("data-1.log"))

    @pytest.fixture
    def hostile_places(self, place: Path) -> Sequence[Path]:
        (place.parent / "secret").write_text("secret")
        upload = {"type": "UploadFile", "path": ["a"], "ext": "", "tmp_file_name": "../../../../secret"}
        with self.data_file(place).open("a") as file:
            file.write(json.dumps({"obj": upload, "version": 10**6, "at": 1.0}) + "\n")
        return [place]
