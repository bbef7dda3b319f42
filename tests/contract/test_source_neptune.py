"""The contract, held by the reader of Neptune's directories: the real client makes one offline."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from trackbridge.testing.source_contract import Expected, SourceContract

STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
HOSTILE_NAME = "../../<b>escape<b>"
SCRIPT = """
import sys
import numpy as np
import neptune
from neptune.types import File

off = dict(source_files=[], capture_stdout=False, capture_stderr=False, capture_hardware_metrics=False)
run = neptune.init_run(mode="offline", name="base line ü", tags=["ü", "b"], description="Zwei\\nZeilen", **off)
run["parameters"] = {"lr": 2e-5, "layers": 12, "optimizer": {"name": "AdamW ü"}, "is_frozen": True}
run["sys/group_tags"].add("study")
run["best"] = 0.5
run["eval/sample"].append(File.as_image(np.zeros((4, 4, 3))), step=3, description="grau")
run["story"].append("Es war einmal", step=2)
run["tables/confusion"].upload(File.from_content("wer,was\\na,1\\n", extension="csv"))
run["monitoring/0/cpu"].append(50.0)
for position, step in enumerate(STEPS):
    run["train/loss"].append(0.5 / (position + 1), step=step)
run["../../<b>escape<b>"].append(1.0, step=7)
run.wait(disk_only=True)
raise ValueError("on purpose")
"""


@pytest.fixture(scope="module")
def times_ns() -> list[int]:
    return []


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory, times_ns: list[int]) -> Path:
    """A run of the client that ended with an error."""
    folder = tmp_path_factory.mktemp("made")
    times_ns.append(time.time_ns())
    script = f"STEPS = {STEPS}\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=120)
    times_ns.append(time.time_ns())
    assert "on purpose" in done.stderr
    return folder / ".neptune"


class TestNeptuneSource(SourceContract):
    source = "neptune"
    hostile_name = HOSTILE_NAME

    @pytest.fixture
    def expected(self, times_ns: list[int]) -> Expected:
        first, last = times_ns
        curve = {step: 0.5 / (at + 1) for at, step in enumerate(STEPS)}
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
