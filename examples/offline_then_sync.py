"""
Train where there is no network, deliver later: the journal is all that has to travel.

    python examples/offline_then_sync.py
"""

from __future__ import annotations

import trackbridge as tb


def train() -> None:
    """What runs on the compute node: no keys, no SDK, no network."""
    for seed in (12345, 12346):
        with tb.start_run("examples", name=f"seed {seed}", group="offline") as run:
            run.log_seeds(tb.Seeds(init=1, data=2, dropout=seed))
            for step in range(1, 51):
                run.log({"train/loss": 1 / step}, step=step)


def deliver() -> None:
    """What runs tonight on the login node; the shell's word for it is `trackbridge sync --to tensorboard`."""
    runs = tb.open_store().runs(project="examples", group="offline")
    report = tb.sync(to=["tensorboard"], runs=runs)
    for one in report.synced:
        print(f"{one.record.name}: {one.outcome}")


if __name__ == "__main__":
    train()
    deliver()
