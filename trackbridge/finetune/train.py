"""One training, from a config to the best weights: the whole of it on this page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from transformers import EvalPrediction, TrainerCallback, TrainerState, TrainingArguments

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.best import KeepBest, KeepLast, scores_at
from trackbridge.finetune.checkpoints import remove_checkpoints, training_folder
from trackbridge.finetune.config import HELD_OUT_FOLD, PipelineConfig
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.description import describe
from trackbridge.finetune.kept_weights import KeptWeights
from trackbridge.finetune.labels import Labels, find_labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.origins import Origin, Role, origins_wanted
from trackbridge.finetune.pause import Pause
from trackbridge.finetune.plan import Halt
from trackbridge.finetune.preparation import Prepared, prepare
from trackbridge.finetune.seeding import DropoutSeed, seeds_of
from trackbridge.finetune.techniques.averaging import WeightAveraging, averaging_of, plain_prefix
from trackbridge.finetune.techniques.early_stopping import StopEarly
from trackbridge.finetune.trainer import PipelineTrainer, cpu_threads, logits_alone, training_arguments
from trackbridge.integrations.transformers import TrackingCallback
from trackbridge.run.run import Run


@dataclass(frozen=True)
class TrainingResult:
    """The scores of every eval set at the last step, and at the step of the kept weights: the best, or the last.

    `best_step` and `weights` are None when no score was a number; `weights` also where none were kept.
    """

    final: dict[str, float]
    best: dict[str, float]
    best_step: int | None
    weights: Path | None


def train(
    config: PipelineConfig,
    corpus: Corpus,
    run: Run,
    *,
    origins: Mapping[Role, Origin] = MappingProxyType({}),
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    halt: Halt | None = None,
) -> TrainingResult:
    """Train as the config says, recorded in `run`; `resume_from` is a checkpoint of the same config.

    The trainings this one builds on are given as `origins` where the config asks for them. Checkpoints are written
    below the run's folder. When the training is over the best weights are kept as a checkpoint of the run, and what
    only a resume needs is removed; where it pauses at `halt`, all stays.

    Raises:
        DataError: a label does not fit.
        PipelineConfigError: the model cannot be loaded, or what the config asks for was not given.
    """
    _require_what_is_asked_for(config, corpus, origins)
    labels = find_labels(corpus.train, is_regression=config.is_regression)
    # before the model is fetched, which may take minutes: by these a study knows that this training is under way
    _record_plan(config, corpus, labels, run)
    with cpu_threads(config.training.threads):
        arguments = training_arguments(config, training_folder(run), seeds_of(config))
        prepared = prepare(config, corpus, labels, run, origins=origins, arguments=arguments)
        weights = KeptWeights(run, prepared.tokenizer)
        keep, pause = _keeper(config, corpus, weights), Pause(halt, run)
        stops = [StopEarly(config.early_stopping, keep.key, run)] if config.early_stopping else []
        watched = [DropoutSeed(seeds_of(config)), *stops, keep, TrackingCallback(run), pause, *callbacks]
        trainer = _trainer(config, prepared, arguments, averaging_of(config, resume_from), watched)
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    result = _recorded_result(config, corpus, trainer.state, keep.step, run)
    if pause.is_over or not trainer.is_world_process_zero():
        return result
    kept = weights.hand_over(keep.step, result.best)
    if config.checkpoints.keep == "none":
        remove_checkpoints(run, weights.folder)
    return replace(result, weights=kept)


def _require_what_is_asked_for(config: PipelineConfig, corpus: Corpus, origins: Mapping[Role, Origin]) -> None:
    """Studies bring it by themselves; whoever calls `train` has to."""
    if config.folds and HELD_OUT_FOLD not in corpus.evals:
        raise PipelineConfigError(f"folds: the corpus has no eval set {HELD_OUT_FOLD!r}: cut it with fold_of")
    if config.pseudo_labels and corpus.unlabelled is None:
        raise PipelineConfigError(
            "pseudo_labels: there are no texts to label: give the corpus unlabelled=load_texts(...)"
        )
    for role, stage in origins_wanted(config).items():
        if role not in origins:
            raise PipelineConfigError(
                f"the training that {stage.name!r} stands for is to be done first, for its {role}:"
                f" pass its run as origins={{{role!r}: origin_of(record)}}, or let run_study do both"
            )


def _record_plan(config: PipelineConfig, corpus: Corpus, labels: Labels, run: Run) -> None:
    run.log_config(config.recorded(), scope="pipeline")
    run.log_config(describe(corpus, labels), scope="data")
    run.log_seeds(seeds_of(config))
    # Said at the start, so that a run which is still going, or never ends, is listed by it too.
    score = f"{eval_prefixes(corpus)[config.chosen_set]}/{config.evaluation.metric}"
    run.log_summary({"judged_by": score, **({"chosen_by": score} if config.evaluation.select == "best" else {})})


def _keeper(config: PipelineConfig, corpus: Corpus, weights: KeptWeights) -> KeepBest | KeepLast:
    """What keeps the weights, by the score the training is judged by, under the name that `Trainer` gives it."""
    key = f"{eval_prefixes(corpus)[config.chosen_set]}_{config.evaluation.metric}"
    return KeepBest(weights, key) if config.evaluation.select == "best" else KeepLast(weights, key)


def _trainer(
    config: PipelineConfig,
    prepared: Prepared,
    arguments: TrainingArguments,
    averaging: WeightAveraging | None,
    callbacks: Sequence[TrainerCallback],
) -> PipelineTrainer:
    return PipelineTrainer(
        model=prepared.model,
        args=arguments,
        train_dataset=prepared.train,
        eval_dataset=prepared.scored,
        data_collator=prepared.collate,
        processing_class=prepared.tokenizer,
        compute_metrics=_scores_of_prediction,
        preprocess_logits_for_metrics=logits_alone,
        bias_correction=config.training.bias_correction,
        layerwise_decay=config.layerwise_decay,
        averaging=averaging,
        callbacks=callbacks,
    )


def eval_prefixes(corpus: Corpus) -> dict[str, str]:
    """What `Trainer` puts before the scores of each eval set: `eval` where there is one set, else `eval_<name>`."""
    if len(corpus.evals) == 1:
        return dict.fromkeys(corpus.evals, "eval")
    return {name: f"eval_{name}" for name in corpus.evals}


def _scores_of_prediction(prediction: EvalPrediction) -> dict[str, float]:
    return scores_of(prediction.predictions, prediction.label_ids)


def _scored(config: PipelineConfig, corpus: Corpus) -> list[str]:
    """The prefixes of everything that is scored: with averaging every set is, by the plain model too."""
    prefixes = list(eval_prefixes(corpus).values())
    return [*prefixes, *(map(plain_prefix, prefixes) if config.averaging else ())]


def _recorded_result(
    config: PipelineConfig, corpus: Corpus, state: TrainerState, kept_step: int | None, run: Run
) -> TrainingResult:
    """The scores at the end and of the kept weights, which the run records."""
    splits = _scored(config, corpus)
    final = scores_at(state.global_step, state.log_history, splits)
    kept = scores_at(kept_step, state.log_history, splits) if kept_step is not None else {}
    # what was kept for being the last is not called the best
    best = {f"best/{name}": score for name, score in kept.items()} if config.evaluation.select == "best" else {}
    run.log_summary({"best_step": kept_step, **best, **{f"final/{name}": score for name, score in final.items()}})
    return TrainingResult(final, kept, kept_step, weights=None)
