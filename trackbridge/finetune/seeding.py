"""Three seeds that do not touch each other, inside a `Trainer` that knows two.

The initial weights are drawn in `model`. The order of the examples comes from accelerate's own generator, seeded with
`data_order_seed`. Dropout draws from torch's global generator, which every evaluation advances
(https://github.com/pytorch/pytorch/issues/36998), so `DropoutSeed` sets it anew before each update.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.finetune.config import PipelineConfig, PretrainingConfig
from trackbridge.run.seeds import Seeds, derive


def seeds_of(config: PipelineConfig | PretrainingConfig) -> Seeds:
    """The three seeds of a config, as a run records them."""
    return Seeds(init=config.seeds.init, data=config.seeds.data, dropout=config.seeds.dropout)


def data_order_seed(seeds: Seeds) -> int:
    """What `TrainingArguments.data_seed` is set to.

    A hash, because accelerate seeds epoch e with data_seed + e: unhashed, seed 41 in its second epoch
    would see the examples in the order seed 42 sees them in its first.
    """
    return derive("data", seeds.data or 0)


class DropoutSeed(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Seeds torch before every update from the dropout seed, the step and the rank, and from nothing else.

    There is no state to save: a resumed training draws the masks of the uninterrupted one, whatever else has
    drawn from torch's generator in between. All batches of one accumulated update share the stream.
    """

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Called once per update, before its first batch."""
        torch.manual_seed(self._seeds.step_seed(state.global_step, args.process_index))


@contextmanager
def random_state_kept() -> Iterator[None]:
    """A stretch of code after which torch's generators are as they were before it."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield
