"""Cross-validation: of the training set one fold is held out, which the training is then scored with.

Sources: Stone 1974, "Cross-validatory choice and assessment of statistical predictions". Stratified by label, as Kohavi
1995 recommends in "A study of cross-validation and bootstrap for accuracy estimation and model selection". Equal texts
share a fold, because a model that has seen a text knows its label.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from trackbridge.errors import DataError
from trackbridge.finetune.blocks.data import Folds
from trackbridge.finetune.config import HELD_OUT_FOLD
from trackbridge.finetune.data import Corpus, Examples
from trackbridge.finetune.normalising import normalised
from trackbridge.run.seeds import derive

_Content: TypeAlias = tuple[str, ...]


def fold_of(corpus: Corpus, folds: Folds) -> Corpus:
    """The corpus with fold `folds.index` of its training set as the first eval set, and the other folds to train on.

    Raises:
        DataError: there are fewer different texts than folds.
    """
    contents = _contents(corpus.train)
    fold = _folds(contents, corpus.train, folds)
    held_out = [place for place, content in enumerate(contents) if fold[content] == folds.index]
    trained_on = [place for place, content in enumerate(contents) if fold[content] != folds.index]
    name = f"fold {folds.index} of {folds.count}"
    return replace(
        corpus,
        train=corpus.train.part(trained_on, f"all but {name}"),
        evals={HELD_OUT_FOLD: corpus.train.part(held_out, name), **corpus.evals},
    )


def _contents(examples: Examples) -> list[_Content]:
    """What makes an example the same as another: its text, or both of a pair."""
    columns = [examples.texts] if examples.pairs is None else [examples.texts, examples.pairs]
    return [tuple(map(normalised, texts)) for texts in zip(*columns, strict=True)]


def _folds(contents: list[_Content], examples: Examples, folds: Folds) -> dict[_Content, int]:
    """The fold of each content: neighbours in the order of their labels are dealt out, one to each fold, by chance.

    So the folds differ by at most one in contents, and by at most two in those of a label. A content that comes with
    several labels counts for the first.
    """
    label: dict[_Content, str] = {}
    for content, written in zip(contents, examples.labels, strict=True):
        label.setdefault(content, written)
    if len(label) < folds.count:
        raise DataError(
            f"{examples.source}: {len(label)} different texts cannot fill {folds.count} folds: lower folds.count"
        )
    chance = {content: derive("fold", folds.seed, *content) for content in label}
    ordered = sorted(label, key=lambda content: (label[content], chance[content], content))
    hands = [ordered[start : start + folds.count] for start in range(0, len(ordered), folds.count)]
    return {
        content: number
        for hand in hands
        for number, content in enumerate(sorted(hand, key=lambda content: (chance[content], content)))
    }
