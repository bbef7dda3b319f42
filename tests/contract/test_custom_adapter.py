"""The contract, held by the adapter of another package: the example, built and installed as a user would."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.adapters.base import Adapter
from trackbridge.adapters.registry import load_adapter
from trackbridge.targets import Target, adapter_names, parse_target
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.seen import SeenMedia, SeenPoint, SeenRun

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "custom_adapter"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of packages with the example in it, which Python looks into while the tests of this module run."""
    folder = tmp_path_factory.mktemp("site-packages")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder), str(EXAMPLE)]
    subprocess.run(command, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield folder


class TestSqlite(AdapterContract):
    @pytest.fixture
    def connect(self, installed: Path, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(load_adapter("sqlite"), folder=tmp_path / "sqlite")

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Database:
        return Database(tmp_path / "sqlite" / "runs.db")


def test_the_entry_point_makes_the_adapter_a_target(installed: Path) -> None:
    assert "sqlite" in adapter_names()
    assert parse_target("sqlite:offline") == Target("sqlite", "offline")


def test_sync_delivers_to_the_installed_adapter(installed: Path, tmp_path: Path) -> None:
    with tb.start_run("cola", name="baseline", root=tmp_path / "runs") as run:
        run.log({"train/loss": 0.5}, step=1)
    command = [sys.executable, "-m", "trackbridge", "sync", str(tmp_path / "runs"), "--to", "sqlite"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    seen = Database(run.path / "offline" / "sqlite" / "runs.db").seen(run.run_id)
    assert (seen.name, seen.status, seen.curve("train/loss")) == ("baseline", "finished", [(1, 0.5)])


class Database:
    """The example's database, read by SQL."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_ids(self) -> list[str]:
        return [run_id for (run_id,) in self._rows("SELECT run_id FROM runs")]

    def seen(self, run_id: str) -> SeenRun:
        asked = 'SELECT name, "group", notes, description, status, error, console FROM runs WHERE run_id = ?'
        ((name, group, notes, description, status, error, console),) = self._rows(asked, run_id)
        told = {"config": {}, "environment": {}, "summary": {}, "tags": [], **json.loads(description)}
        points = self._rows("SELECT metric, value, step, time_ns FROM points WHERE run_id = ?", run_id)
        return SeenRun(
            name=name,
            group=group,
            tags=frozenset(told["tags"]),
            notes=notes,
            config={**told["config"], "environment": told["environment"]},
            summary=told["summary"],
            points=tuple(
                SeenPoint(*point)._replace(value=math.nan if point[1] is None else point[1]) for point in points
            ),
            media=tuple(
                SeenMedia(*row) for row in self._rows("SELECT name, media, step FROM media WHERE run_id = ?", run_id)
            ),
            status={"lost": "killed"}.get(status, status),
            error=error or "",
            console=console,
        )

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(sql, values).fetchall()
