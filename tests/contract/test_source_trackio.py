"""The contract, held by the reader of trackio's databases: trackio 0.43.0 made one once, by the script beside it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from trackbridge.sources.base import Asked, Points, SourceRun, Unmapped
from trackbridge.sources.trackio import TrackioSource
from trackbridge.testing.source_contract import Expected, SourceContract

MADE = Path(__file__).parent.parent / "golden" / "trackio"
MADE_ON_NS = 1_795_392_000_000_000_000
DAY_NS = 86_400_000_000_000
STEPS = [1, 2, 3, 4, 3, *range(5, 60)]
CONFIG = {"lr": 2e-5, "optimizer": {"name": "AdamW ü", "betas": [0.9, 0.999]}, "warm": True, "empty": None, "n": 3}


class TestTrackioSource(SourceContract):
    source = "trackio"

    @pytest.fixture
    def made_place(self) -> Path:
        return MADE

    def data_file(self, place: Path) -> Path:
        return place / "cola.db"

    def shrink(self, place: Path) -> None:
        with closing(sqlite3.connect(place / "cola.db")) as database, database:
            database.execute("DELETE FROM metrics WHERE step > 30")

    @pytest.fixture
    def expected(self) -> Expected:
        by_step = {step: position for position, step in enumerate(STEPS)}
        return Expected(
            name="baseline",
            curves={
                "train/loss": [(step, 0.5 / (position + 1)) for step, position in by_step.items()],
                "eval/mcc": [(0, math.nan), (1, math.inf), (2, -math.inf), (3, 1.0)],
                "losses/überlänge": [(7, 2.0)],
                "is_best": [(7, 1.0)],
                "system/cpu": [(0, 50.0)],
            },
            config=CONFIG,
            # trackio does not say how a run ended.
            status=None,
            group="study/ü",
            media=frozenset(
                {
                    ("sample", "image", 3),
                    ("weights", "histogram", 3),
                    ("story", "text", 3),
                    ("confusion", "table", 3),
                    ("shape", "text", 7),
                }
            ),
            files={"notes": b"\x00\x01"},
            times_ns=(MADE_ON_NS, MADE_ON_NS + DAY_NS),
            has_system=True,
        )

    @pytest.fixture
    def hostile_places(self, place: Path) -> Sequence[Path]:
        view, slip = (place.parent / "hostile" / name for name in ("view.db", "slip.db"))
        view.parent.mkdir()
        for path in (view, slip):
            path.write_bytes((place / "cola.db").read_bytes())
        with closing(sqlite3.connect(view)) as database, database:
            database.execute("ALTER TABLE metrics RENAME TO old")
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
            columns = "i AS id, i AS step, '{}' AS metrics, run_id, run_name, timestamp"
            database.execute(f"CREATE VIEW metrics AS SELECT {columns} FROM ({endless}), configs")
        with closing(sqlite3.connect(slip)) as database, database:
            stolen = '{"sample":{"_type":"trackio.image","file_path":"../../../etc/passwd"}}'
            database.execute("UPDATE metrics SET metrics = ? WHERE step = 59", (stolen,))
        return [view, slip]


def test_a_database_of_early_versions_knows_runs_by_name(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as database, database:
        columns = "id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT"
        database.execute(f"CREATE TABLE metrics ({columns}, step INTEGER, metrics TEXT)")
        database.execute("CREATE TABLE configs (id INTEGER PRIMARY KEY, run_name TEXT, config TEXT, created_at TEXT)")
        rows = [("2025-08-01T10:00:00", "a", 0, '{"loss": 1.5}'), ("2025-08-01T10:00:01", "b", 0, '{"loss": "NaN"}')]
        database.executemany("INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)", rows)

    runs = [run for run in TrackioSource().find(Asked(str(tmp_path))) if isinstance(run, SourceRun)]

    assert [(run.identity, run.project, run.name) for run in runs] == [("old/a", "old", "a"), ("old/b", "old", "b")]
    points = [fact for fact in runs[0].facts() if isinstance(fact, Points)]
    # A time without a zone is UTC.
    assert points == [Points(1_754_042_400_000_000_000, 0, {"loss": 1.5})]


def test_what_is_logged_while_nobody_has_checkpointed_the_database_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cola.db"
    path.write_bytes((MADE / "cola.db").read_bytes())
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute(
            "INSERT INTO metrics (run_id, run_name, timestamp, step, metrics)"
            " SELECT run_id, run_name, created_at, 99, '{\"loss\": 1}' FROM configs"
        )
        writer.commit()

        (run,) = TrackioSource().find(Asked(str(path)))

        assert isinstance(run, SourceRun)
        facts = list(run.facts())
    assert [fact.metrics for fact in facts if isinstance(fact, Points) and fact.step == 99] == [{"loss": 1.0}]
    assert [fact.value["title"] for fact in facts if isinstance(fact, Unmapped) and fact.key == "alerts/1"] == ["Look"]
