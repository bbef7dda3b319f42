"""Pseudo-labels: what a teacher is sure of among unlabelled texts, added to the training set."""

from __future__ import annotations

from trackbridge.finetune.blocks.stages import PseudoLabels
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.origins import Origin
from trackbridge.finetune.text import Texts
from trackbridge.run.run import Run


def with_pseudo_labels(
    corpus: Corpus, texts: Texts, teacher: Origin, labels: Labels, settings: PseudoLabels, run: Run
) -> Corpus:
    """The corpus with pseudo-labelled examples behind those of its training set; the run records which."""
    raise NotImplementedError
