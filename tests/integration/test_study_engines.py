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
from finetune_kit import TINY, studied, wait_for_checkpoints
from ray_two_nodes import STUDY
from rich.console import Console

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
    TWO_SEEDS, {"training.epochs": None, "training.max_steps": 150, "checkpoints.every": 5, "evaluation.every": 50}
)


def curves(root: Path) -> dict[str, list[float]]:
    """The losses of every run, bit for bit."""
    return {run.name: list(run.series("train/loss").values) for run in open_store(root).runs()}


def overlap(first: RunRecord, second: RunRecord) -> bool:
    """Whether two runs were under way at the same time."""
    assert first.ended_ns is not None
    assert second.ended_ns is not None
    return first.started_ns < second.ended_ns and second.started_ns < first.ended_ns


def test_two_runs_at_once_are_the_two_that_one_after_the_other_would_be(tmp_path: Path) -> None:
    outcomes, seen = studied(make_plan(TWO_SEEDS), tmp_path / "two", jobs=2)
    studied(make_plan(TWO_SEEDS), tmp_path / "one")

    assert [outcome.ending for outcome in outcomes] == ["finished", "finished"]
    assert [outcome.planned.name for outcome in outcomes] == ["dropout 3", "dropout 4"]
    assert curves(tmp_path / "two") == curves(tmp_path / "one")
    assert overlap(*open_store(tmp_path / "two").runs())
    assert "[2/2] dropout" in seen


def test_a_killed_worker_takes_one_run_with_it_which_the_same_command_takes_up(tmp_path: Path) -> None:
    plan = make_plan(LONG)
    victim: list[RunRecord] = []

    def kill_one() -> None:
        folder = wait_for_checkpoints(tmp_path / "tests", runs=1, step=20)[0]
        victim.append(open_store(tmp_path).run(folder.name))
        os.kill(victim[0].sessions[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    first, _ = studied(plan, tmp_path, jobs=2)
    killer.join()
    second, seen = studied(plan, tmp_path, jobs=2)

    assert sorted(outcome.ending for outcome in first) == ["failed", "finished"]
    failed = next(outcome for outcome in first if outcome.ending == "failed")
    assert failed.planned.name == victim[0].name
    assert "killed by SIGKILL; the same command takes the run up again" in failed.error
    assert sorted(outcome.ending for outcome in second) == ["finished", "found finished"]
    assert f"{victim[0].name}: goes on from checkpoint-" in seen
    assert len(open_store(tmp_path).runs()) == 2


def test_two_studies_begun_in_the_same_moment_share_the_runs(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(TWO_SEEDS), encoding="utf-8")
    root = tmp_path / "root"
    command = [sys.executable, "-m", "trackbridge", "finetune", str(file), "--root", str(root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    seen = "".join(process.communicate(timeout=120)[0] for process in both)

    assert [process.returncode for process in both] == [0, 0]
    assert sorted(run.name for run in open_store(root).runs()) == ["dropout 3", "dropout 4"]
    assert seen.count(": started") == 2


@pytest.mark.parametrize("end", [os.killpg, os.kill], ids=["ctrl-c", "sigterm"])
def test_a_study_that_is_stopped_ends_every_run_as_killed(end: Callable[[int, int], None], tmp_path: Path) -> None:
    # Ctrl-C reaches the whole group; what a batch system sends reaches the study alone
    sent = signal.SIGINT if end is os.killpg else signal.SIGTERM
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(with_overrides(LONG, {"training.max_steps": 20_000})), encoding="utf-8")
    root = tmp_path / "root"
    command = [sys.executable, "-m", "trackbridge", "finetune", str(file), "--root", str(root), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        wait_for_checkpoints(root / "tests", runs=2, step=10)
        end(process.pid, sent)
        seen, _ = process.communicate(timeout=60)

    assert process.returncode not in (0, 1)
    assert "stopped; the same command goes on from here" in seen
    assert [run.status for run in open_store(root).runs()] == ["killed", "killed"]


def test_a_lost_node_loses_no_run_and_doubles_none(tmp_path: Path) -> None:
    # Ray would otherwise speak to itself by the machine's own address
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    script = Path(__file__).with_name("ray_two_nodes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "ray")],
        env={**os.environ, **loopback},
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
    for run in runs:
        assert list(run.series("train/loss").steps) == list(range(1, 201))
    assert curves(tmp_path / "ray") == curves(tmp_path / "one")


def test_no_ray_cluster_is_said_with_the_command_that_starts_one(tmp_path: Path) -> None:
    plan = make_plan(TWO_SEEDS)
    with pytest.raises(PipelineConfigError, match=r"no Ray cluster at '127.0.0.1:1'.*ray start --head"):
        run_study_on_ray(plan, root=tmp_path, display=display_for(Console(), plan), address="127.0.0.1:1")
