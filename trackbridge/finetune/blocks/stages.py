"""What comes before the training itself, as runs of their own: other tasks, other objectives, a teacher's labels."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trackbridge.finetune.blocks.block import Block, Share
from trackbridge.finetune.blocks.data import DataBlock
from trackbridge.finetune.blocks.text import TextBlock
from trackbridge.finetune.blocks.training import Evaluation, Seeds, Training

StageSeeds = Seeds | Literal["run"]
"""Seeds of a stage: its own, so that all runs of a study share it, or `run`: those of the run it is for."""


class Pretraining(Block):
    """Further pre-training of the model on unlabelled text, before it is fine-tuned.

    `mlm` predicts masked tokens, `clm` the next token, `nsp` whether one sentence follows another; `mlm+nsp` both at
    once, as BERT learned. `mask_share` of the tokens are masked; with `whole_words`, all pieces of a word together.
    Texts are joined and cut into blocks of `block_size` tokens, at most `model.max_length`; pairs of sentences are not
    joined. The share `held_out` of the documents is not trained on, and scored every `evaluate_every` updates.
    """

    objective: Literal["mlm", "clm", "nsp", "mlm+nsp"] = "mlm"
    text: TextBlock
    training: Training = Training()
    mask_share: float = Field(default=0.15, gt=0, lt=1)
    whole_words: bool = False
    block_size: int = Field(default=128, ge=8)
    held_out: float = Field(default=0.05, gt=0, lt=1)
    evaluate_every: int = Field(default=100, ge=1)
    seeds: StageSeeds = Seeds()


class Intermediate(Block):
    """Training on a related labelled task first; then its head is dropped and its lower layers are carried over.

    `carry_layers` counts from the bottom: 0 carries the embeddings alone, null carries every layer and the pooler.
    """

    name: str = Field(min_length=1)
    data: DataBlock
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    carry_layers: int | None = Field(default=None, ge=0)
    seeds: StageSeeds = Seeds()

    @model_validator(mode="after")
    def _choose_on_is_an_eval_set(self) -> Intermediate:
        chosen, known = self.evaluation.choose_on, ", ".join(self.data.eval)
        if chosen is not None and chosen not in self.data.eval:
            raise ValueError(f"evaluation.choose_on {chosen!r} is no eval set (data.eval has: {known})")
        return self


class PseudoLabels(Block):
    """Unlabelled texts that a teacher labels and a student learns from, beside the labelled ones.

    The teacher is this very training without pseudo-labels, at its last step. Texts it is at least `threshold` sure
    of are kept; `rate` is the share of those that are drawn. `balance` keeps as many of each class as of the rarest.
    `labels: soft` teaches the teacher's probabilities instead of its choice. With `rounds` above 1 the student is the
    next teacher.
    """

    text: TextBlock
    threshold: Share = 0.95
    rate: Share = 1.0
    balance: bool = False
    labels: Literal["hard", "soft"] = "hard"
    rounds: int = Field(default=1, ge=1)
