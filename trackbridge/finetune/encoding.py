"""Encoded examples: token ids and label numbers, as the model takes them."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerBase

from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.labels import Labels

Encoded = list[dict[str, Any]]


def encode(examples: Examples, tokenizer: PreTrainedTokenizerBase, labels: Labels, *, max_length: int) -> Encoded:
    """One dict of `input_ids`, masks and `labels` per example, cut to `max_length` tokens, not padded.

    Raises:
        DataError: a label does not belong to the training set's.
    """
    targets = labels.targets(examples)
    encoded = encode_texts(examples.texts, examples.pairs, tokenizer, max_length=max_length)
    return [{**tokens, "labels": target} for tokens, target in zip(encoded, targets, strict=True)]


def encode_texts(
    texts: list[str], pairs: list[str] | None, tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> Encoded:
    """The same without labels."""
    columns = tokenizer(texts, pairs, truncation=True, max_length=min(max_length, tokenizer.model_max_length))
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]


def encode_corpus(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, labels: Labels, *, max_length: int
) -> tuple[Encoded, dict[str, Encoded]]:
    """The training set in its own order, and the eval sets by name, each sorted by length.

    Raises:
        DataError: a label does not belong to the training set's.
    """
    evals = {
        name: by_length(encode(examples, tokenizer, labels, max_length=max_length))
        for name, examples in corpus.evals.items()
    }
    return encode(corpus.train, tokenizer, labels, max_length=max_length), evals


def by_length(encoded: Encoded) -> Encoded:
    """The examples from shortest to longest: scores do not depend on the order, the padding does (3 x on CoLA)."""
    return sorted(encoded, key=lambda example: len(example["input_ids"]))
