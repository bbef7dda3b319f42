"""Encoded examples: token ids and label numbers, as the model takes them."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from trackbridge.finetune.data import Examples
from trackbridge.finetune.labels import Labels

Encoded = list[dict[str, Any]]


def encode(examples: Examples, tokenizer: PreTrainedTokenizerBase, labels: Labels, *, max_length: int) -> Encoded:
    """One dict of `input_ids`, masks and `labels` per example, cut to `max_length` tokens, not padded.

    Raises:
        DataError: a label does not belong to the training set's.
    """
    numbers = labels.numbers(examples)
    length = min(max_length, tokenizer.model_max_length)
    columns = tokenizer(examples.texts, examples.pairs, truncation=True, max_length=length)
    names = list(columns)
    rows = zip(*(columns[name] for name in names), strict=True)
    return [{**dict(zip(names, row, strict=True)), "labels": number} for row, number in zip(rows, numbers, strict=True)]


def by_length(encoded: Encoded) -> Encoded:
    """The examples from shortest to longest: scores do not depend on the order, the padding does (3 x on CoLA)."""
    return sorted(encoded, key=lambda example: len(example["input_ids"]))
