"""Which model, with which head on top of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from trackbridge.finetune.blocks.block import Block, has_key


class PretrainedModel(Block):
    """A model and its tokenizer from a local folder or the Hugging Face hub.

    `path` is a folder if one of that name exists, and else a hub id. `dropout` replaces every dropout
    probability of the model's config; null leaves them as they are. Longer inputs than `max_length`
    tokens are cut.
    """

    path: str
    revision: str | None = None
    max_length: int = Field(default=128, ge=4)
    dropout: float | None = Field(default=None, ge=0, lt=1)


class BuiltinModel(Block):
    """A BERT small enough to train in seconds, with a word-level tokenizer made from the training texts."""

    builtin: Literal["tiny-bert"]
    layers: int = Field(default=2, ge=1)
    hidden_size: int = Field(default=64, ge=4)
    heads: int = Field(default=4, ge=1)
    max_length: int = Field(default=64, ge=4)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_hidden_size(self) -> BuiltinModel:
        if self.hidden_size % self.heads:
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}")
        return self


class Head(Block):
    """A classification head of ours instead of the model's own: a pooled hidden state, dropout, one linear layer.

    `pooling` takes from the hidden state after `layer` (0: the embeddings, -1: the last layer) the first token
    (`cls`), the last one that is no padding (`last`), or the mean or maximum over all that are no padding.
    Layers above `layer` are dropped; of an encoder-decoder the encoder is pooled. `dropout` is the head's.
    """

    pooling: Literal["cls", "mean", "max", "last"] = "mean"
    layer: int = -1
    dropout: float = Field(default=0.1, ge=0, lt=1)


def _model_tag(given: Any) -> str:
    return "(built-in)" if has_key(given, "builtin") else "(pre-trained)"


ModelBlock = Annotated[
    Annotated[BuiltinModel, Tag("(built-in)")] | Annotated[PretrainedModel, Tag("(pre-trained)")],
    Discriminator(_model_tag),
]
