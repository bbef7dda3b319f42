"""Cross-validation folds: one of them is held out of the training set and becomes an eval set."""

from __future__ import annotations

from trackbridge.finetune.blocks.data import Folds
from trackbridge.finetune.data import Corpus


def fold_of(corpus: Corpus, folds: Folds) -> Corpus:
    """The corpus with the fold's examples moved from its training set to the eval set `fold`, which comes first."""
    raise NotImplementedError
