"""A study trains the same runs bit for bit: one after the other, several at once, on a cluster that loses a node."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from process_kit import WITHOUT_COMET, training_environment
from ray_two_nodes import STUDY
from rich.console import Console
from study_kit import TINY, studied, wait_for_checkpoints

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.display import display_for
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.study import run_study_on_ray
from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

TWO_SEEDS: dict[str, Any] = {
    **with_overrides(TINY, {"training.epochs": 1, "training.threads": 1}),
    "name": "jobs",
    "seeds": {"init": 1, "data": 2, "dropout": [3, 4]},
}
LONG: dict[str, Any] = with_overrides(
    TWO_SEEDS, {"training.epochs": None, "training.max_steps": 100, "checkpoints.every": 5, "evaluation.every": 50}
)


def histories(root: Path) -> dict[str, list[Any]]:
    """Losses and scores of every run at every step, bit for bit, and the step of its best weights."""
    told: dict[str, list[Any]] = {}
    for run in open_store(root).runs():
        curves = [run.series(metric) for metric in ("train/loss", "eval/mcc")]
        told[run.name] = [list(zip(curve.steps, curve.values, strict=True)) for curve in curves]
        told[run.name].append(run.summary["best_step"])
    return told


def test_a_killed_worker_takes_one_run_with_it_which_the_same_command_takes_up_to_bitwise_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # workers look for modules where this process does
    monkeypatch.syspath_prepend(WITHOUT_COMET)
    plan, root = make_plan(LONG), tmp_path / "killed"
    killed: list[RunRecord] = []

    def kill_one() -> None:
        (first, *_) = wait_for_checkpoints(root / "tests", runs=1, step=20)
        killed.append(open_store(root).run(first.name))
        os.kill(killed[0].sessions[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    first, told_first = studied(plan, root, jobs=2)
    killer.join()
    second, told_second = studied(plan, root)
    studied(plan, tmp_path / "whole")

    assert killed[0].status == "running"
    endings = {outcome.planned.name: outcome for outcome in first}
    assert sorted(outcome.ending for outcome in first) == ["failed", "finished"]
    assert "killed by SIGKILL; the same command takes the run up again" in endings[killed[0].name].error
    assert "[2/2] dropout" in told_first
    assert [outcome.planned.name for outcome in second] == ["dropout 3", "dropout 4"]
    assert sorted(outcome.ending for outcome in second) == ["finished", "found finished"]
    assert f"{killed[0].name}: goes on from checkpoint-" in told_second
    assert sorted(len(run.sessions) for run in open_store(root).runs()) == [1, 2]
    # the one was trained beside the other, and the other was taken up: both are those of an undisturbed study
    assert histories(root) == histories(tmp_path / "whole")


def test_two_studies_begun_in_the_same_moment_share_the_runs(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(TWO_SEEDS), encoding="utf-8")
    root = tmp_path / "root"
    command = [sys.executable, "-m", "trackbridge", "finetune", str(file), "--root", str(root)]
    environment = training_environment()
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    seen = "".join(process.communicate(timeout=120)[0] for process in both)

    assert [process.returncode for process in both] == [0, 0]
    assert sorted(run.name for run in open_store(root).runs()) == ["dropout 3", "dropout 4"]
    assert seen.count(": started") == 2


def ctrl_c(study: int) -> None:
    os.killpg(study, signal.SIGINT)


def from_a_batch_system(study: int) -> None:
    os.kill(study, signal.SIGTERM)


@pytest.mark.parametrize(
    ("stop", "options", "dropout_seeds"),
    [(ctrl_c, [], [3]), (ctrl_c, ["--jobs", "2"], [3, 4]), (from_a_batch_system, ["--jobs", "2"], [3])],
    ids=["ctrl-c", "ctrl-c with workers", "sigterm"],
)
def test_a_study_that_is_stopped_ends_its_runs_as_killed_without_a_word_of_python(
    stop: Callable[[int], None], options: list[str], dropout_seeds: list[int], tmp_path: Path
) -> None:
    file, root = tmp_path / "study.yaml", tmp_path / "root"
    told = with_overrides(LONG, {"training.max_steps": 20_000, "seeds.dropout": dropout_seeds})
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    command = [sys.executable, "-m", "trackbridge", "finetune", str(file), "--root", str(root), *options]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **streams, env=training_environment(), start_new_session=True) as process:
        wait_for_checkpoints(root / "tests", runs=len(dropout_seeds), step=10)
        stop(process.pid)
        seen, errors = process.communicate(timeout=60)

    assert process.returncode not in (0, 1)
    assert "stopped; the same command goes on from here" in seen
    assert "Traceback" not in errors
    assert {run.status for run in open_store(root).runs()} == {"killed"}


def test_a_lost_node_loses_no_run_and_doubles_none(tmp_path: Path) -> None:
    # Ray would otherwise speak to itself by the machine's own address
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    # and its workers would wait for every other test on the machine
    loopback["RAY_worker_niceness"] = "0"
    script = Path(__file__).with_name("ray_two_nodes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ray")],
        env={**training_environment(), **loopback},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    studied(make_plan(STUDY), tmp_path / "one")

    assert json.loads(done.stdout.splitlines()[-1]) == ["finished"] * 2
    runs = open_store(tmp_path / "ray").runs()
    assert sorted(run.name for run in runs) == ["dropout 3", "dropout 4"]
    assert max(len(run.sessions) for run in runs) == 2
    assert "goes on from checkpoint-" in done.stderr
    assert histories(tmp_path / "ray") == histories(tmp_path / "one")


def test_no_ray_cluster_is_said_with_the_command_that_starts_one(tmp_path: Path) -> None:
    plan = make_plan(TWO_SEEDS)
    with pytest.raises(PipelineConfigError, match=r"no Ray cluster at '127.0.0.1:1'.*ray start --head"):
        run_study_on_ray(plan, root=tmp_path, display=display_for(Console(), plan), address="127.0.0.1:1")
