"""Masked language modelling: which tokens of an example are hidden, and what stands in their place.

Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.1: 15 % of the tokens are to be predicted; of these
80 % become the mask token, 10 % a random one, and 10 % stay as they are. With whole words, all pieces of a word are
predicted together (the "whole word masking" models of the same authors, https://github.com/google-research/bert).

The masks follow from a number that comes with the example and from nothing else. So they depend neither on how often
one evaluates or resumes, nor on the number of processes, nor on what else draws random numbers.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from trackbridge.errors import PipelineConfigError

IGNORED = -100
"""The label of a token that is not to be predicted, as torch's cross entropy knows it."""

_HIDDEN_SHARE = 0.8
_RANDOM_SHARE = 0.1


@dataclass(frozen=True)
class TokenMasks:
    """Hides `share` of the tokens of an example, at least one; `replacements` are the ids random ones are drawn from.

    An example has `input_ids`, `words` (the number of the word each token is a piece of, -1 for tokens that are no
    text) and `mask_seed`. Called with it, gives it with some of its `input_ids` hidden, and `labels`.
    """

    share: float
    whole_words: bool
    mask_id: int
    replacements: Sequence[int]

    def __call__(self, example: dict[str, Any]) -> dict[str, Any]:
        """The example with masks."""
        chance = random.Random(example["mask_seed"])
        tokens = list(example["input_ids"])
        labels = [IGNORED] * len(tokens)
        for place in self._chosen(example["words"], chance):
            labels[place] = tokens[place]
            tokens[place] = self._shown(tokens[place], chance)
        return {**example, "input_ids": tokens, "labels": labels}

    def _chosen(self, words: Sequence[int], chance: random.Random) -> list[int]:
        """The places to predict: whole units in random order, but for those that would make them too many."""
        units: dict[int, list[int]] = {}
        for place, word in enumerate(words):
            if word >= 0:
                units.setdefault(word if self.whole_words else place, []).append(place)
        budget = max(1, round(self.share * sum(map(len, units.values()))))
        chosen: list[int] = []
        for unit in chance.sample(list(units.values()), len(units)):
            if not chosen or len(chosen) + len(unit) <= budget:
                chosen += unit
        return chosen

    def _shown(self, token: int, chance: random.Random) -> int:
        draw = chance.random()
        if draw < _HIDDEN_SHARE:
            return self.mask_id
        return chance.choice(self.replacements) if draw < _HIDDEN_SHARE + _RANDOM_SHARE else token


def masks_for(tokenizer: PreTrainedTokenizerBase, *, share: float, whole_words: bool) -> TokenMasks:
    """The masks in the vocabulary of a tokenizer.

    Raises:
        PipelineConfigError: it has no mask token, or does not tell which tokens make a word.
    """
    if tokenizer.mask_token_id is None:
        raise PipelineConfigError(
            "pretraining.objective: the model's tokenizer has no mask token: choose clm, or another model"
        )
    if whole_words and not tokenizer.is_fast:
        raise PipelineConfigError(
            "pretraining.whole_words: the model's tokenizer does not tell which tokens make a word: set it to false"
        )
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in range(len(tokenizer)) if token not in special]
    return TokenMasks(share, whole_words, tokenizer.mask_token_id, ordinary)
