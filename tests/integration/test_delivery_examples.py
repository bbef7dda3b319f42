"""The examples of delivery are run; the CI recipe as far as a machine without GitHub can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import trackbridge as tb

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(command: list[str], folder: Path, **variables: str) -> str:
    # `trackbridge` and `python` are those of the interpreter under test.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **variables, "PATH": path}, capture_output=True, text=True
    )
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


@pytest.fixture
def recipe() -> dict[str, dict[str, object]]:
    """The jobs of the CI recipe."""
    jobs: dict[str, dict[str, object]] = yaml.safe_load((EXAMPLES / "ci" / "fine-tune.yml").read_text("utf-8"))["jobs"]
    return jobs


def steps_of(job: dict[str, object]) -> list[dict[str, object]]:
    steps = job["steps"]
    assert isinstance(steps, list)
    return steps


def test_the_commands_of_the_training_job_run_offline(tmp_path: Path, recipe: dict[str, dict[str, object]]) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    own = [step for step in steps_of(recipe["train"]) if "run" in step and "pip install" not in str(step["run"])]

    for step in own:
        variables = step.get("env", {})
        assert isinstance(variables, dict)
        run(["bash", "-euo", "pipefail", "-c", str(step["run"])], tmp_path, **variables)

    assert tb.open_store(tmp_path / "out" / "runs").runs()


def test_only_the_trusted_job_sees_a_key(recipe: dict[str, dict[str, object]]) -> None:
    assert "secrets." not in str(recipe["train"])
    assert "secrets.WANDB_API_KEY" in str(recipe["deliver"])
    assert recipe["deliver"]["if"] == "github.ref == 'refs/heads/main'"
