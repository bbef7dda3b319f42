"""Next-sentence prediction: pairs of sentences of which the second may follow the first.

Devlin et al. 2019 (https://arxiv.org/abs/1810.04805), section 3.1 and appendix A.1: in half of the pairs the second
sentence is the one that follows the first in its document, in the other half a random one of another document.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trackbridge.errors import DataError

# a full stop, or its like, and a capital after it, with or without a quotation mark between them
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[\"'“‘(]?\s?[A-ZÀ-Þ])")


@dataclass(frozen=True, slots=True)
class SentencePair:
    """Two sentences; `is_next` says whether the second follows the first."""

    first: str
    second: str
    is_next: bool


def sentence_pairs(documents: Sequence[Sequence[str]], chance: random.Random) -> list[SentencePair]:
    """A pair for every sentence that another one follows in its document, in their order.

    Raises:
        DataError: there is no second document to draw from, or no document has two sentences.
    """
    cut = [[sentence for text in document for sentence in sentences_of(text)] for document in documents]
    if len(cut) < 2 or all(len(sentences) < 2 for sentences in cut):
        longest = max((len(sentences) for sentences in cut), default=0)
        raise DataError(
            f"next-sentence prediction needs two documents or more, some of them of several sentences; here are"
            f" {len(cut)}, the longest of {longest}: part documents by empty lines, or change pretraining.held_out"
        )
    return [
        _pair(cut, number, place, chance) for number, sentences in enumerate(cut) for place in range(len(sentences) - 1)
    ]


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, cut where one ends and a capital follows; abbreviations are cut, too."""
    return _SENTENCE_END.split(text)


def _pair(cut: Sequence[Sequence[str]], number: int, place: int, chance: random.Random) -> SentencePair:
    first = cut[number][place]
    if chance.random() < 0.5:
        return SentencePair(first, cut[number][place + 1], is_next=True)
    other = chance.randrange(len(cut) - 1)
    # all documents but this one, each as likely
    return SentencePair(first, chance.choice(cut[other + (other >= number)]), is_next=False)
