"""
What recording everything costs a training: the pipeline against a bare `Trainer`, beside the callbacks of two trackers.

    python tests/benchmarks/train_overhead.py
    python tests/benchmarks/train_overhead.py --model FOLDER_OF_A_PRETRAINED_ENCODER --threads 2
    python tests/benchmarks/train_overhead.py --without-trackers --rounds 24

All ways train the same model on the same batches in the same order and dtype, one after the other in one process, and
take turns in every round, so that all see the same machine. Timed are the updates after the first few, with whatever is
logged between them; no way evaluates, saves or opens its tracker in that time. The bare `Trainer` logs nothing, and is
in each round twice: what the second time differs from the first is the noise of the machine. The trackers are their
real SDKs, offline, through the callbacks of `transformers`; what their helper processes compute is in no CPU time here.
A ratio is that of one round; what is printed is the median over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy
from transformers.utils import logging as transformers_logging

import trackbridge as tb
from trackbridge.finetune.config import PipelineConfig, parse_config
from trackbridge.finetune.data import load_corpus
from trackbridge.finetune.encoding import encode_corpus
from trackbridge.finetune.labels import find_labels
from trackbridge.finetune.model import load_model
from trackbridge.finetune.seeding import seeds_of
from trackbridge.finetune.train import train
from trackbridge.finetune.trainer import cpu_threads, training_arguments

LIMIT = 1.02
UNTIMED_UPDATES = 10
TINY = {"builtin": "tiny-bert", "layers": 4, "hidden_size": 256, "heads": 4}
QUIET_TRACKERS = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "COMET_START_ONLINE": "0",
    "COMET_DISPLAY_SUMMARY_LEVEL": "0",
}


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Wall and CPU seconds per update, from the end of the last untimed update to that of the last of all."""

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step not in (UNTIMED_UPDATES, state.max_steps):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == UNTIMED_UPDATES:
            self._began = time.perf_counter(), time.process_time()
        else:
            n_updates = state.max_steps - UNTIMED_UPDATES
            self.wall_s = (time.perf_counter() - self._began[0]) / n_updates
            self.cpu_s = (time.process_time() - self._began[1]) / n_updates


@dataclass(frozen=True)
class Cost:
    """Seconds per update."""

    wall_s: float
    cpu_s: float


def pipeline(config: PipelineConfig, folder: Path) -> Cost:
    """The pipeline's training, recorded in a run."""
    clock = Clock()
    with tb.start_run("overhead", root=folder) as run:
        train(config, load_corpus(config.data), run, callbacks=[clock])
    return Cost(clock.wall_s, clock.cpu_s)


def bare_trainer(config: PipelineConfig, folder: Path, tracker: str | None = None) -> Cost:
    """A `Trainer` of transformers as it is; with a tracker it logs as often as the config says, to that one."""
    corpus = load_corpus(config.data)
    labels = find_labels(corpus.train, is_regression=False)
    model, tokenizer = load_model(config.model, head=None, corpus=corpus, labels=labels, init_seed=config.seeds.init)
    examples, _ = encode_corpus(corpus, tokenizer, labels, max_length=config.model.max_length)
    clock = Clock()
    trainer = Trainer(
        model=model,
        args=_arguments(config, folder, tracker),
        train_dataset=examples,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    with cpu_threads(config.training.threads):
        trainer.train()
    _close(tracker)
    return Cost(clock.wall_s, clock.cpu_s)


def _arguments(config: PipelineConfig, folder: Path, tracker: str | None) -> TrainingArguments:
    """The pipeline's own arguments, but for evaluating, saving and logging."""
    arguments = training_arguments(config, folder, seeds_of(config))
    arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    arguments.report_to = [tracker] if tracker else []
    if tracker is None:
        arguments.logging_strategy = IntervalStrategy.NO
    return arguments


def _close(tracker: str | None) -> None:
    """End the tracker's run, so that the next training opens one of its own."""
    if tracker == "wandb":
        import wandb

        wandb.finish()
    if tracker == "comet_ml":
        import comet_ml

        comet_ml.get_running_experiment().end()


def config_of(options: argparse.Namespace, *, log_every: int) -> PipelineConfig:
    return parse_config(
        {
            "model": {"path": options.model, "max_length": 64} if options.model else TINY,
            "data": {"builtin": "acceptability", "train": 32 * options.updates, "eval": {"dev": 8}},
            "training": {"max_steps": options.updates, "log_every": log_every, "threads": options.threads},
            "evaluation": {"every": options.updates},
            "checkpoints": {"every": 10 * options.updates},
        }
    )


def ways_of(options: argparse.Namespace) -> dict[str, Callable[[Path], Cost]]:
    """Every way to train, by its name; the bare one, to which all are compared, comes first."""
    often, seldom = config_of(options, log_every=1), config_of(options, log_every=10)
    ours: dict[str, Callable[[Path], Cost]] = {
        "bare Trainer": lambda folder: bare_trainer(often, folder),
        "trackbridge, every update": lambda folder: pipeline(often, folder),
        "trackbridge, every 10": lambda folder: pipeline(seldom, folder),
        "bare Trainer again": lambda folder: bare_trainer(often, folder),
    }
    if options.without_trackers:
        return ours
    return {
        **ours,
        "W&B callback, every update": lambda folder: bare_trainer(often, folder, "wandb"),
        "W&B callback, every 10": lambda folder: bare_trainer(seldom, folder, "wandb"),
        "Comet callback, every update": lambda folder: bare_trainer(often, folder, "comet_ml"),
        "Comet callback, every 10": lambda folder: bare_trainer(seldom, folder, "comet_ml"),
    }


def measure(ways: dict[str, Callable[[Path], Cost]], folder: Path, n_rounds: int) -> dict[str, list[Cost]]:
    """The cost of each way in each round. Every other round goes backwards, against a machine that slows down."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for number in range(n_rounds + 1):
        for name in list(ways) if number % 2 else list(reversed(ways)):
            gc.collect()
            cost = ways[name](folder / f"{number}-{len(costs[name])}")
            # the first round warms up
            if number:
                costs[name].append(cost)
        print(f"round {number} of {n_rounds}", file=sys.stderr, flush=True)
    return costs


def print_table(costs: dict[str, list[Cost]]) -> float:
    """The table; returns the larger wall ratio of trackbridge's two."""
    bare = costs["bare Trainer"]
    ratios = {}
    print(f"{'':<30}{'ms per update':>14}{'wall ratio':>12}{'least':>8}{'most':>8}{'CPU ratio':>12}")
    for name, measured in costs.items():
        wall = [own.wall_s / reference.wall_s for own, reference in zip(measured, bare, strict=True)]
        cpu = [own.cpu_s / reference.cpu_s for own, reference in zip(measured, bare, strict=True)]
        ratios[name] = statistics.median(wall)
        milliseconds = 1e3 * statistics.median(cost.wall_s for cost in measured)
        print(f"{name:<30}{milliseconds:>14.2f}{ratios[name]:>12.3f}{min(wall):>8.3f}{max(wall):>8.3f}", end="")
        print(f"{statistics.median(cpu):>12.3f}")
    return max(ratio for name, ratio in ratios.items() if name.startswith("trackbridge"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder or hub id of an encoder (default: a tiny one made here)")
    parser.add_argument("--updates", type=int, default=60, help="updates of each training (default: 60)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds that count (default: 9)")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (default: its own choice)")
    parser.add_argument("--without-trackers", action="store_true", help="leave the callbacks of W&B and Comet out")
    parser.add_argument("--folder", type=Path, help="where to write (default: the folder for temporary files)")
    options = parser.parse_args()
    logging.getLogger("comet_ml").setLevel(logging.ERROR)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ |= {**QUIET_TRACKERS, "WANDB_DIR": folder, "COMET_OFFLINE_DIRECTORY": folder}
        ratio = print_table(measure(ways_of(options), Path(folder), options.rounds))
    print(f"\ntrackbridge {ratio:.3f} of a bare Trainer (at most {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
