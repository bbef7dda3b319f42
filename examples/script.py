"""
Track a training loop of your own: seeds kept apart, scores, a picture, checkpoints, and a resume that is exact.

    python examples/script.py [OUTPUT_FOLDER]

Stop it with Ctrl-C (or `kill -9`) and start it again: it goes on in the same run from the last checkpoint, and ends
with the very numbers of a training that was never stopped. Nothing is downloaded; it takes a few seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

import trackbridge as tb
from trackbridge.run.seeds import derive

STEPS, EVAL_EVERY, SAVE_EVERY = 300, 25, 50
SETTINGS = {"lr": 1e-2, "batch_size": 32, "width": 64, "dropout": 0.2}


def points(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """`n` points of two interleaved spirals, and which spiral each lies on."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 2, (n,), generator=generator)
    turn = torch.rand(n, generator=generator) * 6 + 0.5
    angle = turn + label * torch.pi
    noise = torch.randn(n, 2, generator=generator) * 0.1
    return torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / 4 + noise, label


def build_model() -> nn.Sequential:
    """Two hidden layers with dropout: enough for the spirals."""
    width, dropout = int(SETTINGS["width"]), float(SETTINGS["dropout"])
    layers = [nn.Linear(2, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(width, 2))


@torch.no_grad()
def evaluate(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float | tb.Table]:
    """Accuracy, loss and the confusion table; the model goes back to training."""
    model.eval()
    output = model(x)
    model.train()
    guess = output.argmax(1)
    counts = [[int(((y == truth) & (guess == told)).sum()) for told in (0, 1)] for truth in (0, 1)]
    return {
        "eval/accuracy": float((guess == y).float().mean()),
        "eval/loss": float(nn.functional.cross_entropy(output, y)),
        "eval/confusion": tb.Table(["truth", "guessed 0", "guessed 1"], [[0, *counts[0]], [1, *counts[1]]]),
    }


def train(folder: Path) -> str:
    """Train, or go on training, until the last step; returns the run's id."""
    seeds = tb.Seeds(init=1, data=2, dropout=3)
    seeds.apply()
    model = build_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS["lr"])
    saved = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    latest = saved[-1] if saved else None
    first = 1
    if latest is not None:
        state = torch.load(latest / "state.pt")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"] + 1

    (x, y), (eval_x, eval_y) = points(2000, seed=10), points(500, seed=11)
    with tb.start_run(
        "script-example", name="spirals", config=SETTINGS, root=folder / "runs", resume_from=latest
    ) as run:
        run.log_seeds(seeds)
        for step in range(first, STEPS + 1):
            # What a step draws depends on its number alone, so a resumed training draws the same.
            order = torch.Generator().manual_seed(derive("batch", seeds.data or 0, step))
            batch = torch.randint(0, len(x), (int(SETTINGS["batch_size"]),), generator=order)
            torch.manual_seed(seeds.step_seed(step))
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log({"train/loss": loss}, step=step)
            if step % EVAL_EVERY == 0:
                scores = evaluate(model, eval_x, eval_y)
                run.log(scores, step=step)
            if step % SAVE_EVERY == 0:
                checkpoint = save(folder, model, optimizer, step)
                run.log_checkpoint(checkpoint, step=step, metrics={"eval/accuracy": scores["eval/accuracy"]})
        run.log_summary({"parameters": sum(weight.numel() for weight in model.parameters())})
    return run.run_id


def save(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> Path:
    """A checkpoint that appears whole or not at all, so that a resume never finds half of one."""
    draft, checkpoint = folder / ".checkpoint", folder / f"checkpoint-{step}"
    draft.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, draft / "state.pt")
    return draft.replace(checkpoint)


def main(folder: Path) -> None:
    """Train, then read back what the run recorded."""
    run_id = train(folder)
    record = tb.open_store(folder / "runs").run(run_id)
    accuracy, loss = record.metrics["eval/accuracy"], record.metrics["train/loss"]
    print(f"{record.name}: {record.status} after {len(record.sessions)} session(s)")
    print(f"train/loss     {loss.last:.4f} at step {loss.last_step}")
    print(f"eval/accuracy  {accuracy.last:.3f}, best {accuracy.maximum:.3f} at step {accuracy.maximum_step}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "script-example"))
