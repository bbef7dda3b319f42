"""Where a training begins: at the weights, or with the labels, of other trainings, which are runs of their own.

A config names its stages (`pretraining`, `intermediate`, `pseudo_labels`); here each becomes the config of the training
before it, which may have stages in turn. Two runs that want the same stage want equal configs, and share its run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.stages import StageSeeds
from trackbridge.finetune.blocks.training import Seeds
from trackbridge.finetune.config import PipelineConfig, PretrainingConfig
from trackbridge.journal.paths import kept_folder
from trackbridge.store.records import RunRecord

Role: TypeAlias = Literal["weights", "labels"]
TrainingConfig: TypeAlias = PipelineConfig | PretrainingConfig


@dataclass(frozen=True, slots=True)
class Origin:
    """A finished run that another training builds on: the folder of the weights it kept, and their SHA-256.

    `data` has the SHA-256 of each set of its data, and `lineage` what it recorded of those it builds on in turn.
    """

    run_id: str
    name: str
    step: int
    weights: Path
    sha256: str
    data: Mapping[str, str] = field(default_factory=dict)
    lineage: Mapping[str, Any] = field(default_factory=dict)

    def recorded(self) -> dict[str, Any]:
        """What the run that builds on it records: its whole descent, so that it can be told without the other runs."""
        told = {"run_id": self.run_id, "run": self.name, "step": self.step, "sha256": self.sha256, "data": self.data}
        return {**told, "lineage": self.lineage} if self.lineage else told


def origins_wanted(config: TrainingConfig) -> dict[Role, TrainingConfig]:
    """The trainings this one builds on, by what it takes from them."""
    return {} if isinstance(config, PretrainingConfig) else dict(_wanted(config))


def _wanted(config: PipelineConfig) -> Iterator[tuple[Role, TrainingConfig]]:
    if config.intermediate:
        yield "weights", _intermediate(config)
    elif config.pretraining:
        yield "weights", _pretraining(config)
    if config.pseudo_labels:
        yield "labels", _teacher(config)


def _intermediate(config: PipelineConfig) -> PipelineConfig:
    """The last intermediate training, which builds on those before it; the techniques are for the target alone."""
    *earlier, last = config.intermediate
    return PipelineConfig(
        project=config.project,
        name=_named(f"intermediate {last.name}", last.seeds, config),
        model=config.model,
        data=last.data,
        training=last.training,
        evaluation=last.evaluation,
        checkpoints=config.checkpoints.model_copy(update={"keep": "none"}),
        seeds=_seeds(last.seeds, config),
        pretraining=config.pretraining,
        intermediate=earlier,
    )


def _pretraining(config: PipelineConfig) -> PretrainingConfig:
    pretraining = config.pretraining
    assert pretraining is not None  # only asked for where there is one
    return PretrainingConfig(
        project=config.project,
        name=_named(f"pretraining {pretraining.objective}", pretraining.seeds, config),
        model=config.model,
        pretraining=pretraining,
        checkpoints=config.checkpoints.model_copy(update={"keep": "none"}),
        seeds=_seeds(pretraining.seeds, config),
    )


def _teacher(config: PipelineConfig) -> PipelineConfig:
    """This training with a round of pseudo-labels less, where no eval set has a say in which weights it ends with."""
    pseudo_labels = config.pseudo_labels
    assert pseudo_labels is not None  # only asked for where there is one
    fewer = pseudo_labels.model_copy(update={"rounds": pseudo_labels.rounds - 1}) if pseudo_labels.rounds > 1 else None
    evaluation = config.evaluation.model_copy(update={"select": "last"})
    return config.model_copy(
        update={
            "name": f"teacher {pseudo_labels.rounds}",
            "pseudo_labels": fewer,
            "evaluation": evaluation,
            "early_stopping": None,
        }
    )


def _named(title: str, seeds: StageSeeds, config: PipelineConfig) -> str:
    """A stage with the seeds of the run it is for has sisters, from which its name tells it by them."""
    told = (f"{name} {seed}" for name, seed in config.seeds.model_dump().items())
    return f"{title} {' '.join(told)}" if seeds == "run" else title


def _seeds(seeds: StageSeeds, config: PipelineConfig) -> Seeds:
    return config.seeds if seeds == "run" else seeds


def origin_of(record: RunRecord) -> Origin | None:
    """What a run offers to others; None when the weights it kept are gone, or it kept none."""
    step = record.summary.get("best_step")
    if not isinstance(step, int):
        return None
    folder = kept_folder(Path(record.path), step)
    if not folder.is_dir():
        return None
    data = {name: described["sha256"] for name, described in record.config.get("data", {}).items()}
    lineage = record.config.get("lineage", {})
    return Origin(record.run_id, record.name, step, folder, weights_digest(folder), data, lineage)


def weights_digest(folder: Path) -> str:
    """The SHA-256 of the weight files in a folder, in the order of their names.

    Raises:
        PipelineConfigError: there are none.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix in {".safetensors", ".bin"})
    if not files:
        raise PipelineConfigError(f"{folder}: no weights in it (*.safetensors)")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
