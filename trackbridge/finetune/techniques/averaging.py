"""Weight averaging: the model that is scored and kept is a mean of the weights that training passes through.

SWA, the plain mean while the learning rate is high and constant: Izmailov et al. 2018, https://arxiv.org/abs/1803.05407;
for language models over steps rather than epochs, and begun earlier: Lu et al. 2022, https://arxiv.org/abs/2212.05956.
EMA, the exponential moving average, with its beginning corrected: Kingma & Ba 2015, https://arxiv.org/abs/1412.6980,
section 7.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.techniques import Ema, Swa
from trackbridge.finetune.config import PipelineConfig

_FILE = "averaging.safetensors"


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Which updates' weights are averaged: from the one after `begin` on, the last of each `every`.

    The mean is a sum of which `kept` stays at each snapshot, divided by the same sum of ones: with 1 the plain mean,
    with a decay the exponential one. So it knows no weights before the first snapshot, which is its own mean.
    """

    begin: int
    every: int
    kept: float

    def count(self, step: int) -> int:
        """How many snapshots there are after an update."""
        return max(0, step - self.begin) // self.every

    def is_taken_at(self, step: int) -> bool:
        """Whether the weights after this update are one."""
        return step > self.begin and (step - self.begin) % self.every == 0

    def sum_of_ones(self, step: int) -> float:
        """What the sum of snapshots is divided by: n, or (1 - kept^n) / (1 - kept)."""
        n = self.count(step)
        return n if self.kept == 1 else (1 - self.kept**n) / (1 - self.kept)


def snapshots_of(block: Swa | Ema, n_updates: int) -> Snapshots:
    """The snapshots that a block asks for in a training of `n_updates`.

    Raises:
        PipelineConfigError: there would be none.
    """
    if isinstance(block, Ema):
        return Snapshots(begin=0, every=1, kept=block.decay)
    snapshots = Snapshots(begin=round(block.start * n_updates), every=block.every, kept=1)
    if not snapshots.count(n_updates):
        raise PipelineConfigError(
            f"averaging: of {n_updates} updates {n_updates - snapshots.begin} come after start {block.start:g}, fewer"
            f" than every {block.every}, so there is nothing to average: lower start or every, or train longer"
        )
    return snapshots


class WeightAveraging(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Sums the trained weights up beside the training, which it leaves as it is, and lends their mean for scoring.

    Frozen weights and buffers are the model's own. The sum is in every checkpoint, so that the mean of a resumed
    training is bitwise that of the uninterrupted one. Every process of a distributed training has the same one.
    """

    def __init__(self, block: Swa | Ema, *, full_rate: float, resume_from: Path | None) -> None:
        self._block = block
        self._full_rate = full_rate
        self._resume_from = resume_from
        self._sums: dict[str, torch.Tensor] = {}
        self._sum_of_ones = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether there is a mean yet."""
        return bool(self._sums)

    def schedule(self, normal: LambdaLR, n_updates: int) -> LambdaLR:
        """The learning rates of the whole training: the normal ones, which SWA replaces from its start on.

        Every group of parameters keeps its own proportion.
        """
        if isinstance(self._block, Ema):
            return normal
        constant = (self._block.learning_rate or self._full_rate / 2) / self._full_rate
        begin = snapshots_of(self._block, n_updates).begin
        shares: list[Callable[[int], float]] = [
            partial(_share, normal=share, begin=begin, constant=constant) for share in normal.lr_lambdas
        ]
        return LambdaLR(normal.optimizer, shares)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        **kwargs: Any,
    ) -> None:
        """Take up the sum of the training that is resumed, if it had begun one."""
        self._snapshots, self._sums = snapshots_of(self._block, state.max_steps), {}
        self._sum_of_ones = self._snapshots.sum_of_ones(state.global_step)
        if self._resume_from and self._snapshots.count(state.global_step):
            saved = load_file(self._resume_from / _FILE)
            self._sums = {name: saved[name].to(weights.device) for name, weights in _trained(model)}

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        **kwargs: Any,
    ) -> None:
        """Add the weights after this update."""
        if not self._snapshots.is_taken_at(state.global_step):
            return
        self._sum_of_ones = self._snapshots.sum_of_ones(state.global_step)
        with torch.no_grad():
            for name, weights in _trained(model):
                if name not in self._sums:
                    self._sums[name] = torch.zeros_like(weights, dtype=_sum_dtype(weights.device))
                torch.add(weights, self._sums[name], alpha=self._snapshots.kept, out=self._sums[name])

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the sum into the checkpoint that was just written."""
        if self._sums and state.is_world_process_zero:
            save_file(self._sums, Path(args.output_dir) / f"checkpoint-{state.global_step}" / _FILE)

    @contextmanager
    def lent_to(self, model: PreTrainedModel) -> Iterator[None]:
        """A stretch of code in which the model has the mean for its weights; its own are back bit for bit after it."""
        own = {name: weights.detach().clone() for name, weights in _trained(model)}
        _set(model, {name: total / self._sum_of_ones for name, total in self._sums.items()})
        try:
            yield
        finally:
            _set(model, own)


def averaging_of(config: PipelineConfig, resume_from: Path | None) -> WeightAveraging | None:
    """The averaging a config asks for, if any; `resume_from` is the checkpoint its training goes on from."""
    if config.averaging is None:
        return None
    return WeightAveraging(config.averaging, full_rate=config.training.learning_rate, resume_from=resume_from)


def plain_prefix(prefix: str) -> str:
    """What stands before the scores of the plain model where `prefix` stands before those of the averaged one."""
    return prefix.replace("eval", "eval_plain", 1)


def _share(step: int, *, normal: Callable[[int], float], begin: int, constant: float) -> float:
    """The share of its full rate that a group of parameters has in the update after `step` others."""
    return normal(step) if step < begin else constant


def _trained(model: PreTrainedModel) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """The parameters that learn, by name; weights that are tied are one."""
    return ((name, weights) for name, weights in model.named_parameters() if weights.requires_grad)


def _sum_dtype(device: torch.device) -> torch.dtype:
    # In float32 what an EMA with a decay near 1 adds is often less than the last bit. Apple's GPUs have nothing wider.
    return torch.float32 if device.type == "mps" else torch.float64


@torch.no_grad()
def _set(model: PreTrainedModel, values: dict[str, torch.Tensor]) -> None:
    for name, weights in _trained(model):
        weights.copy_(values[name])
