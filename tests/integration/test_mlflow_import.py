"""MLflow's stores as they are found: nested runs, moved folders, files elsewhere, remote files, and our own."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

import trackbridge as tb
from trackbridge.errors import NotFoundError
from trackbridge.sources.importing import import_runs
from trackbridge.sources.mlflow_yaml import read_meta
from trackbridge.sources.registry import find_source

# MLflow's own database code warns about itself; outside of tests Python keeps such warnings to itself.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with two runs in it, a deleted run, and files in `files` beside the store."""
    place = tmp_path_factory.mktemp("made")
    (place / "store").mkdir()
    client = MlflowClient(f"sqlite:///{place}/store/mlflow.db")
    experiment = client.create_experiment("cola", artifact_location=(place / "files").as_uri())
    sweep = client.create_run(experiment, run_name="sweep").info.run_id
    for number in (1, 2):
        trial = client.create_run(
            experiment, run_name=f"trial {number}", tags={"mlflow.parentRunId": sweep}
        ).info.run_id
        client.log_metric(trial, "loss", number, 1_700_000_000_000, 1)
        client.log_text(trial, f"trial {number}", "notes.txt")
    client.delete_run(client.create_run(experiment, run_name="gone").info.run_id)
    return place


@pytest.fixture
def store(made_store: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made_store / "store", tmp_path / "store")


def test_nested_runs_have_their_parents_name_as_group_and_deleted_ones_stay_out(store: Path, tmp_path: Path) -> None:
    report = import_runs(store, root=tmp_path / "runs")

    runs = {run.name: run for run in tb.open_store(tmp_path / "runs").runs()}
    assert {name: (run.project, run.group) for name, run in runs.items()} == {
        "sweep": ("cola", None),
        "trial 1": ("cola", "sweep"),
        "trial 2": ("cola", "sweep"),
    }
    assert report.source == "mlflow"


def test_files_elsewhere_are_copied_only_when_the_user_says_so(store: Path, made_store: Path, tmp_path: Path) -> None:
    without = import_runs(store, root=tmp_path / "without")
    allowed = import_runs(store, root=tmp_path / "with", files_from=[made_store / "files"])

    problems = [problem for run in without.runs for problem in run.problems]
    assert len(problems) == 2
    assert all("--files-from" in str(problem) for problem in problems)
    assert [len(run.problems) for run in allowed.runs] == [0, 0, 0]
    (artifact,) = tb.open_store(tmp_path / "with").run("trial 2").artifacts
    assert (artifact.name, artifact.size_bytes) == ("notes.txt", len("trial 2"))


def test_a_store_that_was_moved_with_its_files_keeps_them(store: Path, made_store: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute(
            "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, 'file:///gone')", (made_store.as_uri(),)
        )
    shutil.copytree(made_store / "files", store / "files")

    report = import_runs(store / "mlflow.db", root=tmp_path / "runs")

    assert sum(run.n_files for run in report.runs) == 2


def test_files_on_another_machine_are_told_of(store: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE runs SET artifact_uri = 's3://bucket/files' WHERE name = 'trial 1'")

    report = import_runs(store, root=tmp_path / "runs", files_from=[tmp_path])

    assert any("s3://bucket/files" in str(problem) for run in report.runs for problem in run.problems)


def test_a_run_that_still_goes_on_is_read_beside_its_write_ahead_log(store: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
        with database:
            database.execute("UPDATE metrics SET value = 7.0")

        import_runs(store, root=tmp_path / "runs")

    assert tb.open_store(tmp_path / "runs").run("trial 1").series("loss").values.tolist() == [7.0]


def test_another_database_is_not_mlflows(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as database, database:
        database.execute("CREATE TABLE runs (name TEXT)")

    with pytest.raises(NotFoundError, match="no source recognises"):
        find_source(str(tmp_path))
    with pytest.raises(NotFoundError, match="no MLflow store"):
        import_runs(tmp_path, source="mlflow", root=tmp_path / "runs")


# PyYAML takes other characters for ends of lines than YAML does.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x85\u2028\u2029")
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(LETTERS, max_size=200)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True), PLAIN | st.lists(st.nothing()), min_size=1, max_size=4
    )
)
def test_meta_files_are_read_as_yaml_reads_them(meta: dict[str, object]) -> None:
    text = yaml.safe_dump(meta, default_flow_style=False, allow_unicode=True)

    assert read_meta(text) == yaml.safe_load(text)


def test_tags_of_data_sets_are_nested() -> None:
    assert read_meta("tags:\n  mlflow.data.context: train\nsource_id: '12'\n") == {
        "tags": {"mlflow.data.context": "train"},
        "source_id": "12",
    }
