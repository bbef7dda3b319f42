"""A study on two Ray nodes of this machine, of which one dies in the middle; started by a test, in its own process."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster
from rich.console import Console
from study_kit import TINY, wait_for_checkpoints

from trackbridge.finetune.display import display_for
from trackbridge.finetune.outcome import Outcome
from trackbridge.finetune.overrides import with_overrides
from trackbridge.finetune.plan import make_plan
from trackbridge.finetune.study import run_study_on_ray
from trackbridge.store.store import open_store

STUDY: dict[str, Any] = {
    **with_overrides(
        TINY,
        {
            "training.epochs": None,
            "training.max_steps": 100,
            "checkpoints.every": 10,
            "evaluation.every": 50,
            "training.threads": 1,
        },
    ),
    "name": "two nodes",
    "seeds": {"init": 1, "data": 2, "dropout": [3, 4]},
}


def main(root: Path) -> None:
    """Begin on two nodes with room for one run each, and lose the second when its run has a checkpoint."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    plan = make_plan(STUDY)
    outcomes: list[Outcome] = []

    def study() -> None:
        display = display_for(Console(file=sys.stderr, width=200), plan)
        outcomes.extend(run_study_on_ray(plan, root=root, display=display, address=cluster.address))

    thread = threading.Thread(target=study)
    thread.start()
    (first,) = wait_for_checkpoints(root / "tests", runs=1, step=20)[:1]
    if open_store(root).run(first.name).sessions[0].pid not in {process.pid for process in _processes_on(node)}:
        wait_for_checkpoints(root / "tests", runs=2, step=20)
    for process in _processes_on(node):
        # at once, as a power cut does: Ray's own way of losing a node leaves the trainings on it time to end
        process.kill()
    cluster.remove_node(node, allow_graceful=False)
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write(json.dumps([outcome.ending for outcome in outcomes]))


def _processes_on(node: Any) -> list[psutil.Process]:
    (raylet,) = node.all_processes["raylet"]
    return list(psutil.Process(raylet.process.pid).children(recursive=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
