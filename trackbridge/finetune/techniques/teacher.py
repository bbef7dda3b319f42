"""A teacher: the weights an earlier training kept, asked what they think of texts."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.encoding import encode_texts
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.model import load_classifier
from trackbridge.finetune.seeding import random_state_kept, seeds_of
from trackbridge.finetune.trainer import logits_alone, training_arguments

Probabilities: TypeAlias = NDArray[np.float64]


def probabilities_of(
    texts: list[str], teacher: Path, labels: Labels, config: PipelineConfig, folder: Path
) -> Probabilities:
    """The teacher's probability of each class for each text, float64[n, k], without dropout.

    On the device and in the batches that `config` evaluates with; `folder` is for what a `Trainer` may write.

    Raises:
        PipelineConfigError: the teacher has learned other labels.
    """
    if not texts:
        return np.empty((0, labels.outputs))
    model = load_classifier(teacher)
    known = tuple(name for _, name in sorted(model.config.id2label.items()))
    if known != labels.names:
        raise PipelineConfigError(f"{teacher}: knows the labels {known}, and the training set has {labels.names}")
    tokenizer = AutoTokenizer.from_pretrained(teacher)
    encoded = encode_texts(texts, None, tokenizer, max_length=config.model.max_length)
    # by length, so that little is padding; `order` tells where each text went
    order = sorted(range(len(texts)), key=lambda place: len(encoded[place]["input_ids"]))
    examples = [encoded[place] for place in order]
    with random_state_kept():
        trainer = Trainer(
            model=model,
            args=training_arguments(config, folder, seeds_of(config)),
            eval_dataset=examples,
            data_collator=DataCollatorWithPadding(tokenizer),
            preprocess_logits_for_metrics=logits_alone,
        )
        logits = trainer.predict(examples).predictions
    probabilities = np.empty(logits.shape)
    probabilities[order] = _softmax(logits.astype(np.float64))
    return probabilities


def _softmax(logits: Probabilities) -> Probabilities:
    exponentials: Probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
