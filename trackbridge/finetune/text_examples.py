"""Unlabelled texts as examples to pre-train on: blocks of joined texts, or pairs of sentences."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypeAlias

from torch.utils.data import Dataset
from transformers import (
    BatchEncoding,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from trackbridge.errors import DataError, PipelineConfigError
from trackbridge.finetune.techniques.sentence_pairs import SentencePair
from trackbridge.run.seeds import derive

Document: TypeAlias = Sequence[str]
TextExample: TypeAlias = dict[str, Any]

NO_WORD = -1
"""The word of a token that is no text, such as a separator."""


def held_out_apart(documents: Sequence[Document], share: float) -> tuple[list[Document], list[Document]]:
    """The documents to train on, and about `share` of them (at least one) held out; equal ones stay together.

    Which are held out follows from their texts alone, so that every seed is scored on the same.

    Raises:
        DataError: there are no two different documents.
    """
    digests = [hashlib.sha256("\n".join(document).encode()).hexdigest() for document in documents]
    different = sorted(set(digests))
    if len(different) < 2:
        raise DataError(
            "further pre-training holds out whole documents, and the texts are one document: part them by empty lines"
        )
    apart = set(different[: min(max(1, round(share * len(different))), len(different) - 1)])
    pairs = list(zip(documents, digests, strict=True))
    return [one for one, digest in pairs if digest not in apart], [one for one, digest in pairs if digest in apart]


def blocks_of(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerBase, *, block_size: int
) -> list[TextExample]:
    """The texts joined by separators and cut into blocks of `block_size` tokens, the last one shorter.

    Each has `input_ids` and `words`. It begins and ends with the special tokens that the tokenizer gives one text.
    """
    first, last = _first_and_last(tokenizer)
    stream: list[tuple[int, int]] = []
    encoded = tokenizer([text for document in documents for text in document], add_special_tokens=False, verbose=False)
    for number, tokens in enumerate(encoded["input_ids"]):
        words = _words(encoded, number, len(tokens), above=len(stream))
        stream += [*zip(tokens, words, strict=True), *((token, NO_WORD) for token in last)]
    size = block_size - len(first) - len(last)
    blocks = [_block(first, stream[begin : begin + size], last) for begin in range(0, len(stream), size)]
    # the last may hold a separator alone; nothing in it could be predicted, and a loss over nothing is no number
    return [block for block in blocks if any(word != NO_WORD for word in block["words"][1:])]


def pairs_encoded(
    pairs: Sequence[SentencePair], tokenizer: PreTrainedTokenizerBase, *, max_length: int
) -> list[TextExample]:
    """One example per pair, the longer sentence cut first; `next_sentence_label` is 0 where the second is the next.

    Raises:
        PipelineConfigError: the tokenizer gives no `token_type_ids`.
    """
    if "token_type_ids" not in tokenizer.model_input_names:
        raise PipelineConfigError(
            "pretraining.objective: the model's tokenizer does not tell two sentences apart: choose mlm or clm, or"
            " another model (its tokenizer_config.json would list token_type_ids under model_input_names)"
        )
    encoded = tokenizer(
        [pair.first for pair in pairs],
        [pair.second for pair in pairs],
        truncation=True,
        max_length=max_length,
        return_special_tokens_mask=True,
    )
    return [
        {
            "input_ids": tokens,
            "token_type_ids": encoded["token_type_ids"][number],
            "words": _pair_words(encoded, number),
            "next_sentence_label": int(not pairs[number].is_next),
        }
        for number, tokens in enumerate(encoded["input_ids"])
    ]


class Visits(Dataset[TextExample]):
    """Examples, each with a `mask_seed` that is another one at each visit: one epoch is one visit."""

    def __init__(self, examples: Sequence[TextExample], seed: int) -> None:
        self._examples = examples
        self._seed = seed
        self.visit = 0

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, number: int) -> TextExample:
        return {**self._examples[number], "mask_seed": derive("masks", self._seed, self.visit, number)}


class CountVisits(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Tells the examples which epoch it is.

    Not through a `set_epoch` of theirs: accelerate calls that neither with several processes nor after a resume.
    """

    def __init__(self, examples: Visits) -> None:
        self._examples = examples

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A resumed training begins within an epoch."""
        self._examples.visit = int(state.epoch or 0)


def static(examples: Sequence[TextExample]) -> list[TextExample]:
    """Examples whose masks are the same whenever they are scored, whatever the seeds."""
    return [{**example, "mask_seed": derive("held-out masks", number)} for number, example in enumerate(examples)]


def _words(encoded: BatchEncoding, number: int, n_tokens: int, *, above: int = 0) -> list[int]:
    """The word each token is a piece of, numbered from `above`; where the tokenizer cannot tell, each is its own."""
    known = encoded.word_ids(number) if encoded.is_fast else range(n_tokens)
    return [NO_WORD if word is None else word + above for word in known]


def _pair_words(encoded: BatchEncoding, number: int) -> list[int]:
    """The words of both sentences, numbered through; special tokens have none."""
    specials, sides = encoded["special_tokens_mask"][number], encoded["token_type_ids"][number]
    n_tokens = len(specials)
    words = _words(encoded, number, n_tokens)
    return [
        NO_WORD if special else word + side * n_tokens
        for word, special, side in zip(words, specials, sides, strict=True)
    ]


def _first_and_last(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What stands before and behind a text: BERT has tokens of its own for that, GPT-2 the one that ends texts."""
    first = tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id
    last = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    return [] if first is None else [first], [] if last is None else [last]


def _block(first: list[int], content: list[tuple[int, int]], last: list[int]) -> TextExample:
    # a separator at a cut would stand beside another one
    inner = content[content[0][1] == NO_WORD : len(content) - (content[-1][1] == NO_WORD)]
    return {
        "input_ids": [*first, *(token for token, _ in inner), *last],
        "words": [*[NO_WORD] * len(first), *(word for _, word in inner), *[NO_WORD] * len(last)],
    }
