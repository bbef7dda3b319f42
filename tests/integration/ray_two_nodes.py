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
    """Begin on two nodes with room for one run each, and lose one when both have checkpoints."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    plan = make_plan(STUDY)
    outcomes: list[Outcome] = []

    def study() -> None:
        display = display_for(Console(file=sys.stderr, width=200), plan)
        outcomes.extend(run_study_on_ray(plan, root=root, display=display, address=cluster.address))

    thread = threading.Thread(target=study)
    thread.start()
    wait_for_checkpoints(root / "tests", runs=2, step=20)
    _lose(node, cluster)
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    sys.stdout.write(json.dumps([outcome.ending for outcome in outcomes]))


def _lose(node: Any, cluster: Cluster) -> None:
    """End everything on a node at once, as a power cut does: Ray's own way of it leaves the trainings time to end."""
    (raylet,) = node.all_processes["raylet"]
    for process in psutil.Process(raylet.process.pid).children(recursive=True):
        process.kill()
    cluster.remove_node(node, allow_graceful=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
