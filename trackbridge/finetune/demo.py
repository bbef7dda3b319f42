"""The demo: does warming up the learning rate help? Two variants, four dropout seeds, a minute of training.

It shows why one run each proves nothing: without warmup the dropout seed alone decides between a good and a
bad model, and one lucky seed makes both variants look the same.
"""

from __future__ import annotations

from typing import Any

from trackbridge.finetune.plan import Plan, make_plan

DEMO: dict[str, Any] = {
    "project": "demo",
    "name": "demo",
    "model": {"builtin": "tiny-bert"},
    "data": {"builtin": "acceptability", "train": 8000, "eval": {"dev": 1000}},
    "training": {
        "epochs": 2,
        "batch_size": 64,
        "learning_rate": 2e-3,
        # the same numbers on every machine, as far as its processor allows
        "device": "cpu",
        "threads": 1,
        "bf16": False,
    },
    "evaluation": {"metric": "mcc", "every": 25},
    "variants": [
        {"name": "no warmup", "set": {"training.warmup": 0}},
        {"name": "warmup", "set": {"training.warmup": 0.1}},
    ],
    "seeds": {"init": 1000, "data": 41, "dropout": [12345, 12346, 12347, 12348]},
}


def demo_plan() -> Plan:
    """The demo as a study of eight runs."""
    return make_plan(DEMO, source="demo")
