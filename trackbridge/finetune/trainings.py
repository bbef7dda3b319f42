"""The kinds of training a run can hold: fine-tuning on labels, and further pre-training on text before it.

Each knows the digests of its data before anything is trained, so that a study can tell what it has done already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from transformers import TrainerCallback

from trackbridge.finetune.config import PipelineConfig, PretrainingConfig
from trackbridge.finetune.data import Corpus, load_corpus
from trackbridge.finetune.origins import Origin, Role, TrainingConfig
from trackbridge.finetune.plan import Halt
from trackbridge.finetune.pretrain import pretrain
from trackbridge.finetune.techniques.folds import fold_of
from trackbridge.finetune.text import Texts, load_texts
from trackbridge.finetune.train import train
from trackbridge.run.run import Run

Origins: TypeAlias = Mapping[Role, Origin]


class Training(Protocol):
    """A training whose data was read, and which has not begun."""

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each set of its data."""

    @property
    def metric(self) -> str:
        """The score a person watches."""

    @property
    def n_eval_sets(self) -> int:
        """How many sets are scored at each evaluation; a set counts for each model that it scores."""

    def train(
        self, run: Run, *, resume_from: Path | None, callbacks: Sequence[TrainerCallback], halt: Halt | None
    ) -> None:
        """Do it, recorded in the run, up to its end or to where it is to pause."""


@dataclass(frozen=True)
class FineTuning:
    """A training on labelled examples, and on texts that a teacher labels if there are any."""

    config: PipelineConfig
    corpus: Corpus
    origins: Origins

    @property
    def digests(self) -> dict[str, str]:
        """Those of the training set, of each eval set, and of the texts for pseudo-labels."""
        evals = {f"eval_{name}": examples.sha256 for name, examples in self.corpus.evals.items()}
        unlabelled = {"unlabelled": self.corpus.unlabelled.sha256} if self.corpus.unlabelled else {}
        return {"train": self.corpus.train.sha256, **evals, **unlabelled}

    @property
    def metric(self) -> str:
        """The one that chooses the weights."""
        return self.config.evaluation.metric

    @property
    def n_eval_sets(self) -> int:
        """As many as the corpus has, and as many again where an averaged model is scored beside the plain one."""
        return len(self.corpus.evals) * (2 if self.config.averaging else 1)

    def train(
        self, run: Run, *, resume_from: Path | None, callbacks: Sequence[TrainerCallback], halt: Halt | None
    ) -> None:
        """Fine-tune."""
        train(
            self.config,
            self.corpus,
            run,
            origins=self.origins,
            resume_from=resume_from,
            callbacks=callbacks,
            halt=halt,
        )


@dataclass(frozen=True)
class FurtherPretraining:
    """A training on unlabelled text."""

    config: PretrainingConfig
    texts: Texts

    @property
    def digests(self) -> dict[str, str]:
        """That of the texts."""
        return {"text": self.texts.sha256}

    @property
    def metric(self) -> str:
        """The loss on held-out text."""
        return "loss"

    @property
    def n_eval_sets(self) -> int:
        """The texts that were held out."""
        return 1

    def train(
        self, run: Run, *, resume_from: Path | None, callbacks: Sequence[TrainerCallback], halt: Halt | None
    ) -> None:
        """Pre-train further; a stage never pauses."""
        pretrain(self.config, self.texts, run, resume_from=resume_from, callbacks=callbacks)


def training_of(config: TrainingConfig, origins: Origins) -> Training:
    """The training a config tells, with its data read.

    Raises:
        DataError: a file or dataset is not what the config says.
        MissingDependencyError: the hub was asked for and `datasets` is not installed.
    """
    if not isinstance(config, PipelineConfig):
        return FurtherPretraining(config, load_texts(config.pretraining.text))
    corpus = load_corpus(config.data)
    if config.folds:
        corpus = fold_of(corpus, config.folds)
    if config.pseudo_labels:
        corpus = replace(corpus, unlabelled=load_texts(config.pseudo_labels.text))
    return FineTuning(config, corpus, origins)
