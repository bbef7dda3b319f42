"""How long and how fast to train, when to score, what to keep, and the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from trackbridge.finetune.blocks.block import Block, SeedValue

MetricName = Literal["mcc", "accuracy", "f1", "pearson"]


class Training(Block):
    """How long, how fast and in what portions to train.

    An update is one optimizer step of `batch_size` x `gradient_accumulation` examples per process.
    `warmup` below 1 is a share of all updates, else a number of them. `schedule: constant` stays at
    `learning_rate` after the warmup. `bf16: auto` uses bfloat16 where the hardware computes in it.
    The optimizer is AdamW; `bias_correction: false` is the variant BERT was published with, which is unstable on
    small data (https://arxiv.org/abs/2006.05987).
    `threads` is torch's number of CPU threads (null leaves its own choice): it changes the last bits of sums.
    """

    epochs: float | None = Field(default=None, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=32, ge=1)
    gradient_accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2e-5, gt=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(default=0.1, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    bias_correction: bool = True
    epsilon: float = Field(default=1e-8, gt=0)
    max_gradient_norm: float = Field(default=1.0, ge=0)
    bf16: Literal["auto"] | bool = "auto"
    device: Literal["auto", "cpu"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    log_every: int = Field(default=10, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _length_is_told_once(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        if given.get("epochs") is not None and given.get("max_steps") is not None:
            raise ValueError("give either epochs or max_steps, not both")
        return {"epochs": 3.0, **given} if given.get("max_steps") is None else given

    @field_validator("warmup")
    @classmethod
    def _warmup_is_a_share_or_a_count(cls, warmup: float) -> float:
        if warmup >= 1 and warmup != int(warmup):
            raise ValueError(f"{warmup:g} is neither a share below 1 nor a whole number of updates")
        return warmup


class Evaluation(Block):
    """When to score, and which score chooses the best weights.

    Every eval set is scored every `every` updates and after the last one. The best weights are those with
    the highest `metric` on the set `choose_on` (by default the first); the other sets are only reported.
    `select: last` keeps the last weights instead, so that no eval set has any influence on them.
    """

    metric: MetricName = "accuracy"
    every: int = Field(default=50, ge=1)
    choose_on: str | None = None
    select: Literal["best", "last"] = "best"
    batch_size: int = Field(default=64, ge=1)


class Checkpoints(Block):
    """What is kept on disk: a resume checkpoint every `every` updates while training, and the best weights.

    `keep` says which resume checkpoints stay when the training is over: `none`, or `all`.
    The best weights are kept in either case.
    """

    every: int = Field(default=500, ge=1)
    keep: Literal["none", "all"] = "none"


class Seeds(Block):
    """The three independent sources of chance in a fine-tuning.

    `init` draws the weights that no checkpoint provides, `data` orders the examples, `dropout` draws the
    dropout masks. The long names are those of the stabilizer scripts
    (https://github.com/flowerpot-ai/stabilizer), whose defaults these are.
    """

    init: SeedValue = Field(default=1000, validation_alias=AliasChoices("init", "layer_initialization_seed"))
    data: SeedValue = Field(default=41, validation_alias=AliasChoices("data", "dataloader_seed"))
    dropout: SeedValue = Field(default=1234, validation_alias=AliasChoices("dropout", "dropout_seed"))
