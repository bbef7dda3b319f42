"""The examples of delivery are run; the CI recipe as far as a machine without GitHub can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

import trackbridge as tb

EXAMPLES = Path(__file__).parents[2] / "examples"
SHELL = ("bash", "-euo", "pipefail", "-c")


def tried(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    # `trackbridge` and `python` are those of the interpreter under test.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **variables, "PATH": path}, capture_output=True, text=True
    )


def run(command: list[str], folder: Path) -> str:
    done = tried(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_live_example_ends_with_everything_delivered(tmp_path: Path) -> None:
    told = run([sys.executable, str(EXAMPLES / "live.py")], tmp_path)

    (record,) = tb.open_store(tmp_path / "trackbridge-runs").runs()
    assert "delivered to tensorboard" in told
    assert list((Path(record.path) / "offline" / "tensorboard").rglob("*tfevents*"))


def test_the_offline_example_delivers_both_runs_later(tmp_path: Path) -> None:
    told = run([sys.executable, str(EXAMPLES / "offline_then_sync.py")], tmp_path)

    assert sorted(told.splitlines()) == ["seed 12345: delivered", "seed 12346: delivered"]


@pytest.fixture(scope="module")
def recipe() -> dict[str, dict[str, Any]]:
    """The jobs of the CI recipe."""
    jobs: dict[str, dict[str, Any]] = yaml.safe_load((EXAMPLES / "ci" / "fine-tune.yml").read_text("utf-8"))["jobs"]
    return jobs


def steps_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    steps = job["steps"]
    assert isinstance(steps, list)
    return steps


def own_steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a job that are commands of its own, but for the installation."""
    return [step for step in steps_of(job) if "run" in step and "pip install" not in str(step["run"])]


def step_in(project: Path, step: dict[str, Any], *, root: str = "runs") -> subprocess.CompletedProcess[str]:
    """What a step of the workflow does, as GitHub would run it; with another root for the runs, if told."""
    script = str(step["run"]).replace("--trackbridge-root runs", f"--trackbridge-root {root}")
    # Plugins of pytest that are installed here, and would not be there, take longer to load than the training.
    plain = "-p no:hypothesispytest -p no:anyio"
    summary = str(project / "summary.md")
    return tried([*SHELL, script], project, GITHUB_STEP_SUMMARY=summary, PYTEST_ADDOPTS=plain)


@pytest.fixture(scope="module")
def golden_project(tmp_path_factory: pytest.TempPathFactory, recipe: dict[str, dict[str, Any]]) -> Path:
    """A project with the recipe's training in it, and the golden runs as the recipe says to make them."""
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(EXAMPLES / "ci", project / "examples" / "ci")
    assert step_in(project, own_steps(recipe["train"])[0], root="golden").returncode == 0
    return project


@pytest.fixture
def project(golden_project: Path, tmp_path: Path) -> Path:
    """The same for one test to change."""
    return shutil.copytree(golden_project, tmp_path / "project")


def test_the_training_job_passes_where_nothing_changed(project: Path, recipe: dict[str, dict[str, Any]]) -> None:
    for step in own_steps(recipe["train"]):
        done = step_in(project, step)
        assert done.returncode == 0, done.stdout + done.stderr

    assert len(tb.open_store(project / "runs").runs()) == 5
    assert "✅ pass: eval/accuracy with a margin of 0.02" in (project / "summary.md").read_text(encoding="utf-8")
    assert not list(ElementTree.parse(project / "check.xml").iter("failure"))


def test_the_training_job_fails_where_the_training_got_worse(project: Path, recipe: dict[str, dict[str, Any]]) -> None:
    training = project / "examples" / "ci" / "test_training.py"
    training.write_text(training.read_text("utf-8").replace("weights -= ", "weights += "), encoding="utf-8")
    train, _, hold = own_steps(recipe["train"])

    assert step_in(project, train).returncode == 0
    assert step_in(project, hold).returncode == 1
    assert "❌ fail: eval/accuracy" in (project / "summary.md").read_text(encoding="utf-8")
    assert len(list(ElementTree.parse(project / "check.xml").iter("failure"))) == 1


def test_journals_and_decision_are_kept_even_where_the_job_fails(recipe: dict[str, dict[str, Any]]) -> None:
    kept = [step for step in steps_of(recipe["train"]) if str(step.get("uses")).startswith("actions/upload-artifact@")]

    assert {step["with"]["path"]: step["if"] for step in kept} == {"runs": "always()", "check.xml": "always()"}


def test_only_the_trusted_job_sees_a_key(recipe: dict[str, dict[str, Any]]) -> None:
    assert "secrets." not in str(recipe["train"])
    assert "secrets.WANDB_API_KEY" in str(recipe["deliver"])
    assert recipe["deliver"]["if"] == "github.ref == 'refs/heads/main'"
