"""The objectives of further pre-training: what each reads, predicts, and is scored by."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from transformers import EvalPrediction, PreTrainedTokenizerBase

from trackbridge.finetune.blocks.stages import Pretraining
from trackbridge.finetune.techniques.masking import IGNORED, masks_for
from trackbridge.finetune.techniques.sentence_pairs import sentence_pairs
from trackbridge.finetune.text_examples import Document, TextExample, blocks_of, pairs_encoded

Targets: TypeAlias = Callable[[TextExample], TextExample]


def examples_of(
    documents: Sequence[Document],
    tokenizer: PreTrainedTokenizerBase,
    pretraining: Pretraining,
    *,
    max_length: int,
    pair_seed: int,
) -> list[TextExample]:
    """Pairs of sentences, drawn from `pair_seed`, where the objective is about them, else blocks of joined texts.

    Raises:
        DataError: there are no pairs to draw.
    """
    if "nsp" in pretraining.objective:
        return pairs_encoded(sentence_pairs(documents, random.Random(pair_seed)), tokenizer, max_length=max_length)
    return blocks_of(documents, tokenizer, block_size=max_length)


def targets_for(pretraining: Pretraining, tokenizer: PreTrainedTokenizerBase) -> Targets:
    """What gives an example the `labels` of the objective.

    Raises:
        PipelineConfigError: the tokenizer cannot mask.
    """
    if "mlm" in pretraining.objective:
        return masks_for(tokenizer, share=pretraining.mask_share, whole_words=pretraining.whole_words)
    return _next_tokens if pretraining.objective == "clm" else _next_sentence


def _next_tokens(example: TextExample) -> TextExample:
    """Causal models shift the labels themselves, and so never predict the first token.

    It is marked so here, because Trainer counts it in by what it divides the loss of `BertLMHeadModel`, whose name does
    not tell it that labels are shifted (transformers 5.23).
    """
    return {**example, "labels": [IGNORED, *example["input_ids"][1:]]}


def _next_sentence(example: TextExample) -> TextExample:
    """Without another objective beside it, the head's target goes by the usual name."""
    kept = {name: value for name, value in example.items() if name != "next_sentence_label"}
    return {**kept, "labels": example["next_sentence_label"]}


@dataclass(frozen=True)
class TextCollator:
    """Examples with their targets as one padded batch of tensors; it draws nothing and keeps nothing."""

    targets: Targets
    tokenizer: PreTrainedTokenizerBase

    def __call__(self, examples: Sequence[TextExample]) -> dict[str, torch.Tensor]:
        """int64[n, longest] each, and int64[n] for what an example has one of."""
        rows = [self._row(self.targets(example)) for example in examples]
        return {name: self._column(name, [row[name] for row in rows]) for name in rows[0]}

    def _row(self, example: TextExample) -> TextExample:
        n_tokens = len(example["input_ids"])
        given = {"attention_mask": [1] * n_tokens, "token_type_ids": [0] * n_tokens, **example}
        names = {*self.tokenizer.model_input_names, "labels", "next_sentence_label"}
        return {name: value for name, value in given.items() if name in names}

    def _column(self, name: str, values: Sequence[Any]) -> torch.Tensor:
        if isinstance(values[0], int):
            return torch.tensor(values)
        longest = max(map(len, values))
        filler = {"labels": IGNORED, "input_ids": self._padding}.get(name, 0)
        return torch.tensor([[*value, *[filler] * (longest - len(value))] for value in values])

    @property
    def _padding(self) -> int:
        # GPT-2 has no token for it; what stands there is attended to by nothing
        token = self.tokenizer.pad_token_id
        return 0 if token is None else int(token)


@dataclass(frozen=True)
class TextScores:
    """Perplexity of the predicted tokens and accuracy of the predicted sentences, whichever an objective has."""

    objective: str

    def of_batch(self, outputs: Any, labels: Any) -> torch.Tensor:
        """float[n, k] from logits and labels: k numbers per example, so that no logits need to be kept."""
        logits = outputs if isinstance(outputs, tuple) else (outputs,)
        targets = labels if isinstance(labels, tuple) else (labels,)
        columns = []
        if self.objective != "nsp":
            columns += self._token_losses(logits[0], targets[0])
        if "nsp" in self.objective:
            columns.append((logits[-1].argmax(dim=-1) == targets[-1].view(-1)).float())
        return torch.stack(columns, dim=1)

    def of_set(self, prediction: EvalPrediction) -> dict[str, float]:
        """`perplexity`, the exponential of the mean loss of a token, and `nsp_accuracy` in [0, 1]."""
        numbers = prediction.predictions
        scores = {}
        if self.objective != "nsp":
            mean_loss = float(numbers[:, 0].sum() / numbers[:, 1].sum())
            # exp overflows beyond; a model that is so wrong has diverged
            scores["perplexity"] = math.inf if mean_loss > 700 else math.exp(mean_loss)
        if "nsp" in self.objective:
            scores["nsp_accuracy"] = float(numbers[:, -1].mean())
        return scores

    def _token_losses(self, logits: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
        """Per example the sum of the losses of its predicted tokens, and how many they are."""
        if self.objective == "clm":
            logits, labels = logits[:, :-1], labels[:, 1:]
        losses = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none"
        )
        return [losses.sum(dim=1), (labels != IGNORED).sum(dim=1).float()]
