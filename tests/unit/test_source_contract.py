"""The contract for sources, held by one that was written for it and is registered as an installed package would be."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from diary_source import line_of

from trackbridge.testing.source_contract import Expected, SourceContract

pytest.register_assert_rewrite("trackbridge.testing")
T = 1_700_000_000_000_000_000


@pytest.fixture(scope="session")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "diaries"
    folder.mkdir()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = [
        line_of(kind="start", t=T, project="diaries", name="kept", tags=["a"], group="g", notes="n"),
        line_of(kind="config", t=T, scope="script", config={"optimizer": {"lr": 0.1}}),
        *(line_of(kind="points", t=T + n, step=n, metrics={"loss": 1 / (n + 1)}) for n in range(20)),
        line_of(kind="points", t=T + 30, step=30, metrics={"loss": "nan", "../../<b>escape</b>": "-inf"}),
        line_of(kind="media", t=T + 31, name="eval/picture", step=30, file="picture.png"),
        line_of(kind="file", t=T + 32, name="weights", file="picture.png"),
        line_of(kind="printed", text="it trains\n"),
        line_of(kind="weather", t=T + 33, is_sunny=True),
        line_of(kind="summary", t=T + 34, values={"best": 0.5}),
        line_of(kind="end", t=T + 35, status="failed", exit_code=3),
    ]
    (folder / "kept.diary").write_bytes(b"".join(lines))
    return folder


class TestDiary(SourceContract):
    source = "diary"

    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        site = tmp_path_factory.mktemp("site")
        package = site / "diary-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: diary\nVersion: 1.0\n")
        (package / "entry_points.txt").write_text("[trackbridge.sources]\ndiary = diary_source:DiarySource\n")
        monkeypatch.syspath_prepend(str(site))
        paths = [str(site), str(Path(__file__).parent), *sys.path]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))

    @pytest.fixture
    def expected(self) -> Expected:
        return Expected(
            name="kept",
            curves={"loss": [*((n, 1 / (n + 1)) for n in range(20)), (30, float("nan"))]},
            config={"optimizer": {"lr": 0.1}},
            status="failed",
            exit_code=3,
            group="g",
            tags=frozenset({"a"}),
            notes="n",
            summary={"best": 0.5},
            media=frozenset({("eval/picture", "image", 30)}),
            files={"weights": b"\x89PNG\r\n\x1a\n"},
            printed="it trains",
            times_ns=(T, T + 40),
        )

    @pytest.fixture
    def hostile_places(self, tmp_path: Path) -> Sequence[Path]:
        (tmp_path / "outside.png").write_bytes(b"private")
        start = line_of(kind="start", t=T, project="diaries", name="hostile")
        told = {
            "parent": line_of(kind="media", t=T, name="p", step=1, file="../outside.png"),
            "absolute": line_of(kind="file", t=T, name="p", file=str(tmp_path / "outside.png")),
            "deep": line_of(kind="nested", t=T, depth=10_000),
        }
        for name, line in told.items():
            (tmp_path / f"{name}.diary").write_bytes(start + line)
        return [tmp_path / f"{name}.diary" for name in told]
