"""
A run that is delivered while it goes on: to TensorBoard here, which needs no key; to `wandb` or `comet` just the same.

    python examples/live.py            # TensorBoard event files below the run's folder
    python examples/live.py wandb      # with WANDB_API_KEY set
"""

from __future__ import annotations

import sys

import trackbridge as tb


def main(target: str) -> None:
    """Log a hundred steps; `finish`, which the end of the block is, waits for the delivery."""
    with tb.start_run("examples", name="live", config={"lr": 2e-5}, to=[target]) as run:
        for step in range(1, 101):
            run.log({"train/loss": 1 / step}, step=step)
    print(f"recorded in {run.path}, delivered to {target}: see `trackbridge status`")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tensorboard")
