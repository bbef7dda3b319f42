"""One training, from a config to the best weights: the whole of it on this page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from transformers import EvalPrediction, TrainerCallback, TrainerState

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.best import KeepBest, KeepLast, scores_at
from trackbridge.finetune.checkpoints import remove_checkpoints
from trackbridge.finetune.config import HELD_OUT_FOLD, PipelineConfig
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.description import describe
from trackbridge.finetune.kept_weights import KeptWeights
from trackbridge.finetune.labels import Labels, find_labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.origins import Origin, Role, origins_wanted
from trackbridge.finetune.pause import Pause
from trackbridge.finetune.plan import Halt
from trackbridge.finetune.preparation import prepare_examples, prepare_model
from trackbridge.finetune.seeding import DropoutSeed, seeds_of
from trackbridge.finetune.techniques.averaging import averaging_of, plain_prefix
from trackbridge.finetune.techniques.early_stopping import StopEarly
from trackbridge.finetune.techniques.pseudo_labels import with_pseudo_labels
from trackbridge.finetune.text import Texts
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
    unlabelled: Texts | None = None,
    origins: Mapping[Role, Origin] = MappingProxyType({}),
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    halt: Halt | None = None,
) -> TrainingResult:
    """Train as the config says, recorded in `run`; `resume_from` is a checkpoint of the same config.

    `unlabelled` texts and `origins`, the trainings this one builds on, are given where the config asks for them.
    Checkpoints are written below the run's folder. When the training is over the best weights are kept as a
    checkpoint of the run, and what only a resume needs is removed; where it pauses at `halt`, all stays.

    Raises:
        DataError: a label does not fit.
        PipelineConfigError: the model cannot be loaded, or what the config asks for was not given.
    """
    _require_what_is_asked_for(config, corpus, unlabelled, origins)
    labels = find_labels(corpus.train, is_regression=config.is_regression)
    prefixes = eval_prefixes(corpus)
    # before the model is fetched, which may take minutes: by these a study knows that this training is under way
    _record_plan(config, corpus, labels, unlabelled, prefixes, run)
    with cpu_threads(config.training.threads):
        model, tokenizer = prepare_model(config, corpus, labels, run, begin_with=origins.get("weights"))
        if config.pseudo_labels and unlabelled:
            # after the model, so that its vocabulary and first weights are those it has without pseudo-labels
            corpus = with_pseudo_labels(corpus, unlabelled, origins["labels"], labels, config, run)
        weights = KeptWeights(run, tokenizer)
        arguments = training_arguments(config, weights.folder, seeds_of(config))
        examples = prepare_examples(config, corpus, labels, model, tokenizer, arguments, run)
        key = f"{prefixes[config.chosen_set]}_{config.evaluation.metric}"
        keep = KeepBest(weights, key) if config.evaluation.select == "best" else KeepLast(weights, key)
        stops = [StopEarly(config.early_stopping, key, run)] if config.early_stopping else []
        pause = Pause(halt, run)
        trainer = PipelineTrainer(
            model=model,
            args=arguments,
            train_dataset=examples.train,
            eval_dataset=examples.scored,
            data_collator=examples.collate,
            processing_class=tokenizer,
            compute_metrics=_scores_of_prediction,
            preprocess_logits_for_metrics=logits_alone,
            bias_correction=config.training.bias_correction,
            layerwise_decay=config.layerwise_decay,
            averaging=averaging_of(config, resume_from),
            callbacks=[DropoutSeed(seeds_of(config)), *stops, keep, TrackingCallback(run), pause, *callbacks],
        )
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    result = _recorded_result(config, trainer.state, keep.step, run, _scored(config, prefixes))
    if pause.is_over or not trainer.is_world_process_zero():
        return result
    kept = weights.hand_over(keep.step, result.best)
    if config.checkpoints.keep == "none":
        remove_checkpoints(run, weights.folder)
    return replace(result, weights=kept)


def _require_what_is_asked_for(
    config: PipelineConfig, corpus: Corpus, unlabelled: Texts | None, origins: Mapping[Role, Origin]
) -> None:
    """Studies bring it by themselves; whoever calls `train` has to."""
    if config.folds and HELD_OUT_FOLD not in corpus.evals:
        raise PipelineConfigError(f"folds: the corpus has no eval set {HELD_OUT_FOLD!r}: cut it with fold_of")
    if config.pseudo_labels and unlabelled is None:
        raise PipelineConfigError("pseudo_labels: there are no texts to label: pass unlabelled=load_texts(...)")
    for role, stage in origins_wanted(config).items():
        if role not in origins:
            raise PipelineConfigError(
                f"the training that {stage.name!r} stands for is to be done first, for its {role}:"
                f" pass its run as origins={{{role!r}: origin_of(record)}}, or let run_study do both"
            )


def _record_plan(
    config: PipelineConfig,
    corpus: Corpus,
    labels: Labels,
    unlabelled: Texts | None,
    prefixes: Mapping[str, str],
    run: Run,
) -> None:
    run.log_config(config.recorded(), scope="pipeline")
    run.log_config(describe(corpus, labels, unlabelled), scope="data")
    run.log_seeds(seeds_of(config))
    # Said at the start, so that a run which is still going, or never ends, is listed by it too.
    score = f"{prefixes[config.chosen_set]}/{config.evaluation.metric}"
    run.log_summary({"judged_by": score, **({"chosen_by": score} if config.evaluation.select == "best" else {})})


def eval_prefixes(corpus: Corpus) -> dict[str, str]:
    """What `Trainer` puts before the scores of each eval set: `eval` where there is one set, else `eval_<name>`."""
    if len(corpus.evals) == 1:
        return dict.fromkeys(corpus.evals, "eval")
    return {name: f"eval_{name}" for name in corpus.evals}


def _scores_of_prediction(prediction: EvalPrediction) -> dict[str, float]:
    return scores_of(prediction.predictions, prediction.label_ids)


def _scored(config: PipelineConfig, prefixes: Mapping[str, str]) -> list[str]:
    """The prefixes of everything that is scored: with averaging every set is, by the plain model too."""
    plain = map(plain_prefix, prefixes.values()) if config.averaging else ()
    return [*prefixes.values(), *plain]


def _recorded_result(
    config: PipelineConfig, state: TrainerState, kept_step: int | None, run: Run, splits: list[str]
) -> TrainingResult:
    """The scores at the end and of the kept weights, which the run records."""
    final = scores_at(state.global_step, state.log_history, splits)
    kept = scores_at(kept_step, state.log_history, splits) if kept_step is not None else {}
    # what was kept for being the last is not called the best
    best = {f"best/{name}": score for name, score in kept.items()} if config.evaluation.select == "best" else {}
    run.log_summary({"best_step": kept_step, **best, **{f"final/{name}": score for name, score in final.items()}})
    return TrainingResult(final, kept, kept_step, weights=None)
