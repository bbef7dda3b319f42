"""The stabilising techniques that change how one training goes; each is a block, and none of them is on by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from trackbridge.finetune.blocks.block import Block


class Freezing(Block):
    """Only the head and the top `trained_layers` layers learn; everything below keeps its weights.

    With 0 the model is a fixed feature extractor, whose features are computed once if there is a `head` of ours.
    """

    trained_layers: int = Field(default=0, ge=0)


class Reinit(Block):
    """The top `layers` layers, and with them the pooler, begin from new weights of the model's own initialiser."""

    layers: int = Field(ge=0)


class LayerwiseDecay(Block):
    """The head and the pooler learn at the full rate, and each layer at `factor` times the rate of the one above it."""

    factor: float = Field(default=0.95, gt=0, le=1)


class Lora(Block):
    """Low-rank adapters in place of the weights they stand beside; the head learns whole.

    `targets` are the names of the linear layers that get one; null leaves the choice to `peft`.
    """

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: list[str] | None = None


class Swa(Block):
    """Stochastic weight averaging: the mean of the weights after every `every` updates, from `start` on.

    `start` is a share of all updates. From there on the learning rate is constant at `learning_rate`, by default
    half of `training.learning_rate`.
    """

    kind: Literal["swa"] = "swa"
    start: float = Field(default=0.5, ge=0, lt=1)
    every: int = Field(default=1, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)


class Ema(Block):
    """An exponential moving average of the weights: after each update `decay` of it stays.

    Its beginning is corrected, so that after n updates it is a mean of the weights after these n and of no others.
    """

    kind: Literal["ema"]
    decay: float = Field(default=0.999, gt=0, lt=1)


def _averaging_tag(given: Any) -> str:
    kind = given.get("kind", "swa") if isinstance(given, dict) else getattr(given, "kind", "swa")
    return f"({kind})"


AveragingBlock = Annotated[
    Annotated[Swa, Tag("(swa)")] | Annotated[Ema, Tag("(ema)")],
    Discriminator(_averaging_tag, custom_error_type="no_kind", custom_error_message="expected the kind swa or ema"),
]


class EarlyStopping(Block):
    """The training ends when `patience` evaluations in a row are no more than `min_gain` above the last gain.

    What counts is the score that chooses the weights, or would where the last are kept.
    """

    patience: int = Field(ge=1)
    min_gain: float = Field(default=0.0, ge=0)
