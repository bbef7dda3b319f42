"""The contract, held by the readers of MLflow's two stores: MLflow's own client makes them."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sdk_runs import MLFLOW_STARTED_MS, MLFLOW_STEPS, log_to_mlflow, log_to_mlflow_files

from trackbridge.testing.source_contract import Expected, SourceContract

# MLflow's own database code warns about itself; outside of tests Python keeps such warnings to itself.
pytestmark = pytest.mark.filterwarnings("ignore")


class MlflowContract(SourceContract):
    """What both stores hold."""

    source = "mlflow"
    # MLflow takes no name that leads out of a folder; this is the strangest that it takes.
    hostile_name = "eval_überlänge - x"

    @pytest.fixture
    def expected(self) -> Expected:
        curve = {step: 0.5 / (at + 1) for at, step in enumerate(MLFLOW_STEPS)}
        return Expected(
            name="base line ü",
            curves={
                "train/loss": list(curve.items()),
                "eval/mcc": [(0, math.nan), (1, math.inf), (2, -math.inf), (3, 1.0)],
                "system/cpu_utilization_percentage": [(0, 50.0), (9, 50.0)],
            },
            config={"lr": "2e-05", "optimizer/name": "AdamW: 'ü' # x\ny"},
            status="failed",
            tags=frozenset({"model=bert ü"}),
            notes="Zwei\nZeilen",
            media=frozenset({("eval/sample", "image", 3), ("tables/confusion.json", "table", 0)}),
            files={"notes/story.txt": b"Es war einmal"},
            times_ns=(MLFLOW_STARTED_MS * 1_000_000, (MLFLOW_STARTED_MS + 60_000) * 1_000_000),
            has_system=True,
        )


@pytest.fixture(scope="module")
def made_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made") / "store"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        # Files go to ./mlruns beside the database, as for who runs a script there.
        patch.chdir(place)
        log_to_mlflow(MlflowClient(f"sqlite:///{place}/mlflow.db"))
    return place


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return log_to_mlflow_files(tmp_path_factory.mktemp("made") / "store")


class TestDatabase(MlflowContract):
    @pytest.fixture
    def made_place(self, made_database: Path) -> Path:
        return made_database

    def data_file(self, place: Path) -> Path:
        return place / "mlflow.db"

    def shrink(self, place: Path) -> None:
        with closing(sqlite3.connect(place / "mlflow.db")) as database, database:
            database.execute("DELETE FROM metrics WHERE step > 100")
            database.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")

    @pytest.fixture
    def hostile_places(self, place: Path) -> Sequence[Path]:
        with closing(sqlite3.connect(place / "mlflow.db")) as database, database:
            database.execute("ALTER TABLE metrics RENAME TO old_metrics")
            endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
            columns = "'loss' AS key, i AS value, 0 AS timestamp, i AS step, 0 AS is_nan, run_uuid"
            database.execute(f"CREATE VIEW metrics AS SELECT {columns} FROM ({endless}), runs")
        return [place]


class TestFileStore(MlflowContract):
    @pytest.fixture
    def made_place(self, made_folder: Path) -> Path:
        return made_folder

    def data_file(self, place: Path) -> Path:
        return next(place.rglob("metrics/train/loss"))

    @pytest.fixture
    def hostile_places(self, place: Path) -> Sequence[Path]:
        (told,) = place.rglob("inputs/*/meta.yaml")
        (place.parent / "meta.yaml").write_text("name: secret\n")
        told.write_text("source_id: ../../../..\nsource_type: DATASET\n")
        return [place]
