"""What a fine-tuning config may say, whole: `PipelineConfig`, and how mistakes in it are told.

Its blocks are in `blocks/`. Nothing here imports torch or transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from trackbridge.errors import PipelineConfigError
from trackbridge.events.names import check_project_name
from trackbridge.finetune.blocks.block import Block
from trackbridge.finetune.blocks.data import DataBlock, Folds
from trackbridge.finetune.blocks.model import Head, ModelBlock
from trackbridge.finetune.blocks.stages import Intermediate, Pretraining, PseudoLabels
from trackbridge.finetune.blocks.study import Halting, Variant
from trackbridge.finetune.blocks.techniques import (
    AveragingBlock,
    EarlyStopping,
    Freezing,
    LayerwiseDecay,
    Lora,
    Reinit,
)
from trackbridge.finetune.blocks.training import Checkpoints, Evaluation, Seeds, Training
from trackbridge.finetune.config_errors import explain

HELD_OUT_FOLD = "fold"
"""The name of the eval set that `folds` holds out."""


class PipelineConfig(Block):
    """One training, told completely: what `trackbridge finetune` runs and what the run records."""

    project: str = "finetune"
    name: str | None = None
    model: ModelBlock
    data: DataBlock
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    checkpoints: Checkpoints = Checkpoints()
    seeds: Seeds = Seeds()
    head: Head | None = None
    freezing: Freezing | None = None
    reinit: Reinit | None = None
    layerwise_decay: LayerwiseDecay | None = None
    lora: Lora | None = None
    averaging: AveragingBlock | None = None
    early_stopping: EarlyStopping | None = None
    folds: Folds | None = None
    pretraining: Pretraining | None = None
    intermediate: list[Intermediate] = Field(default=[])
    pseudo_labels: PseudoLabels | None = None

    @field_validator("project")
    @classmethod
    def _project_can_be_a_folder(cls, project: str) -> str:
        return check_project_name(project)

    @model_validator(mode="after")
    def _choose_on_is_an_eval_set(self) -> PipelineConfig:
        sets = [*self.data.eval, *([HELD_OUT_FOLD] if self.folds else [])]
        if self.evaluation.choose_on is not None and self.evaluation.choose_on not in sets:
            known = ", ".join(sets)
            raise ValueError(
                f"evaluation.choose_on {self.evaluation.choose_on!r} is no eval set (data.eval has: {known})"
            )
        return self

    @model_validator(mode="after")
    def _folds_hold_out_a_set_of_their_own(self) -> PipelineConfig:
        if self.folds and HELD_OUT_FOLD in self.data.eval:
            raise ValueError(
                f"data.eval has a set {HELD_OUT_FOLD!r}, which is what folds holds out: give it another name"
            )
        return self

    @model_validator(mode="after")
    def _averaging_has_the_name_plain_to_itself(self) -> PipelineConfig:
        taken = [name for name in self.data.eval if name == "plain" or name.startswith("plain_")]
        if self.averaging and taken:
            raise ValueError(
                f"data.eval has a set {taken[0]!r}, and with averaging eval_plain is the model that is not averaged:"
                " give the set another name"
            )
        return self

    @model_validator(mode="after")
    def _pseudo_labels_are_classes_of_single_texts(self) -> PipelineConfig:
        if self.pseudo_labels and self.is_regression:
            raise ValueError(
                "pseudo_labels needs classes: how sure a teacher is of a real number (evaluation.metric: pearson)"
                " cannot be told"
            )
        if self.pseudo_labels and getattr(self.data, "text_pair", None) is not None:
            raise ValueError("pseudo_labels takes single texts, and data.text_pair asks for pairs")
        return self

    @model_validator(mode="after")
    def _resumed_runs_log_the_same_averages(self) -> PipelineConfig:
        # the logged loss is the mean since the last log, and a resumed Trainer begins a new mean
        trainings = {"training": self.training}
        trainings |= {f"intermediate {stage.name!r}: training": stage.training for stage in self.intermediate}
        trainings |= {"pretraining.training": self.pretraining.training} if self.pretraining else {}
        for key, training in trainings.items():
            if self.checkpoints.every % training.log_every:
                raise ValueError(
                    f"checkpoints.every {self.checkpoints.every} must be a multiple of {key}.log_every"
                    f" {training.log_every}"
                )
        return self

    @model_validator(mode="after")
    def _techniques_go_together(self) -> PipelineConfig:
        for is_given, why in _contradictions(self):
            if is_given:
                raise ValueError(why)
        return self

    @property
    def chosen_set(self) -> str:
        """The eval set whose score chooses the best weights."""
        first = HELD_OUT_FOLD if self.folds else next(iter(self.data.eval))
        return self.evaluation.choose_on or first

    @property
    def is_feature_extraction(self) -> bool:
        """Whether nothing below a head of ours learns, so that what it sees of each text never changes."""
        return self.head is not None and self.freezing is not None and not self.freezing.trained_layers

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers (Pearson's correlation is the metric) rather than classes."""
        return self.evaluation.metric == "pearson"

    def recorded(self) -> dict[str, Any]:
        """The config as the run records it: JSON values, without names, seeds and where the data lies.

        Seeds have an event of their own and data files a digest, so that runs which differ in nothing else
        are seen to be replicates, on whichever machine they ran.
        """
        dumped = self.model_dump(mode="json", exclude={"project": True, "name": True, "seeds": True})
        recorded: dict[str, Any] = _without_folders(dumped)
        # a technique that is off is no part of the training: a later version's techniques set no old run apart
        return {key: value for key, value in recorded.items() if value not in (None, [])}


class PretrainingConfig(Block):
    """A further pre-training as a run of its own: the model, what it reads and learns from it, and its seeds."""

    project: str = "finetune"
    name: str | None = None
    model: ModelBlock
    pretraining: Pretraining
    checkpoints: Checkpoints = Checkpoints()
    seeds: Seeds = Seeds()

    @property
    def training(self) -> Training:
        """How long and how fast to train."""
        return self.pretraining.training

    @property
    def evaluation(self) -> Evaluation:
        """When to score the held-out texts; they choose nothing. Their logits are as large as those in training."""
        return Evaluation(
            every=self.pretraining.evaluate_every, select="last", batch_size=self.pretraining.training.batch_size
        )

    def recorded(self) -> dict[str, Any]:
        """The config as the run records it, as for `PipelineConfig`; how often it can be resumed is no part of it."""
        dumped = self.model_dump(mode="json", include={"model": True, "pretraining": True})
        del dumped["pretraining"]["seeds"]
        recorded: dict[str, Any] = _without_folders(dumped)
        return recorded


class StudyConfig(PipelineConfig):
    """Every key a config file may have; `plan` spreads variants, grid and lists of seeds out into single configs."""

    variants: list[Variant] = []
    grid: dict[str, list[Any]] = {}
    halting: Halting | None = None


def parse_config(given: Mapping[str, Any], *, source: str = "config") -> PipelineConfig:
    """The validated config.

    Raises:
        PipelineConfigError: names `source`, every wrong key and, for unknown keys, the nearest known one.
    """
    try:
        return PipelineConfig.model_validate(given)
    except ValidationError as error:
        raise PipelineConfigError(explain(error, StudyConfig, source)) from None


def _contradictions(config: PipelineConfig) -> list[tuple[bool, str]]:
    """Techniques that undo each other, and why; each with whether the config has both."""
    has_lora, n_trained = config.lora is not None, config.freezing.trained_layers if config.freezing else None
    n_new = config.reinit.layers if config.reinit else 0
    return [
        (
            has_lora and n_trained is not None,
            "freezing with lora: lora freezes the encoder itself and learns beside it; leave one of them out",
        ),
        (
            has_lora and n_new > 0,
            f"reinit.layers {n_new} with lora: layers of random weights would be frozen; leave one of them out",
        ),
        (
            has_lora and config.averaging is not None,
            "averaging with lora: the mean of adapters is not the adapter of the mean weights; leave one of them out",
        ),
        (
            n_trained is not None and n_new > n_trained,
            f"reinit.layers {n_new} with freezing.trained_layers {n_trained}: layers of random weights would be"
            f" frozen; let at least {n_new} learn",
        ),
        (
            n_trained == 0 and config.layerwise_decay is not None,
            "layerwise_decay with freezing.trained_layers 0: no layer learns, so none can learn at a lower rate",
        ),
    ]


def _without_folders(dumped: Any) -> Any:
    """Where data lies is no part of what a training is: its digest is."""
    if isinstance(dumped, list):
        return [_without_folders(value) for value in dumped]
    if isinstance(dumped, dict):
        return {key: _without_folders(value) for key, value in dumped.items() if key != "folder"}
    return dumped
