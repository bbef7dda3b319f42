"""One training, from a config to the best weights: the whole of it on this page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from transformers import DataCollatorWithPadding, EvalPrediction, TrainerCallback

from trackbridge.finetune.best import KeepBest, scores_at
from trackbridge.finetune.checkpoints import remove_checkpoints
from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.description import describe
from trackbridge.finetune.encoding import encode_corpus
from trackbridge.finetune.labels import find_labels
from trackbridge.finetune.metrics import scores_of
from trackbridge.finetune.origins import Origin, Role
from trackbridge.finetune.preparation import prepare_model
from trackbridge.finetune.seeding import DropoutSeed
from trackbridge.finetune.techniques.pseudo_labels import with_pseudo_labels
from trackbridge.finetune.text import Texts
from trackbridge.finetune.trainer import PipelineTrainer, cpu_threads, training_arguments
from trackbridge.integrations.transformers import TrackingCallback
from trackbridge.run.run import Run
from trackbridge.run.seeds import Seeds


@dataclass(frozen=True)
class TrainingResult:
    """The scores of every eval set at the last step, and at the step the chosen set was best at.

    `best_step` and `weights` are None when no score was a number.
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
) -> TrainingResult:
    """Train as the config says, recorded in `run`; `resume_from` is a checkpoint of the same config.

    `unlabelled` texts and `origins`, the trainings this one builds on, are given where the config asks for them.

    Checkpoints are written below the run's folder. When the training is over the best weights are kept as a
    checkpoint of the run, and what only a resume needs is removed.

    Raises:
        DataError: a label does not fit.
        PipelineConfigError: the model cannot be loaded.
    """
    with cpu_threads(config.training.threads):
        return _train(config, corpus, run, unlabelled, origins, resume_from, callbacks)


def _train(
    config: PipelineConfig,
    corpus: Corpus,
    run: Run,
    unlabelled: Texts | None,
    origins: Mapping[Role, Origin],
    resume_from: Path | None,
    callbacks: Sequence[TrainerCallback],
) -> TrainingResult:
    labels = find_labels(corpus.train, is_regression=config.is_regression)
    seeds = Seeds(init=config.seeds.init, data=config.seeds.data, dropout=config.seeds.dropout)
    # before the model is fetched, which may take minutes: by these a study knows that this training is under way
    run.log_config(config.recorded(), scope="pipeline")
    run.log_config(describe(corpus, labels), scope="data")
    run.log_seeds(seeds)

    if config.pseudo_labels and unlabelled:
        corpus = with_pseudo_labels(corpus, unlabelled, origins["labels"], labels, config.pseudo_labels, run)
    model, tokenizer = prepare_model(config, corpus, labels, run, begin_with=origins.get("weights"))
    train_set, eval_sets = encode_corpus(corpus, tokenizer, labels, max_length=config.model.max_length)
    prefixes = eval_prefixes(corpus)
    # Said at the start, so that a run which is still going, or never ends, is listed by it too.
    run.log_summary({"chosen_by": f"{prefixes[config.chosen_set]}/{config.evaluation.metric}"})
    work = run.path / "training"
    keep_best = KeepBest(work, f"{prefixes[config.chosen_set]}_{config.evaluation.metric}", tokenizer)
    trainer = PipelineTrainer(
        model=model,
        args=training_arguments(config, work, seeds),
        train_dataset=train_set,
        eval_dataset=eval_sets if len(eval_sets) > 1 else next(iter(eval_sets.values())),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
        compute_metrics=_scores_of_prediction,
        callbacks=[DropoutSeed(seeds), keep_best, TrackingCallback(run, checkpoints="none"), *callbacks],
    )
    trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    return _conclude(trainer, keep_best, config, run, prefixes)


def eval_prefixes(corpus: Corpus) -> dict[str, str]:
    """What `Trainer` puts before the scores of each eval set: `eval` where there is one set, else `eval_<name>`."""
    if len(corpus.evals) == 1:
        return dict.fromkeys(corpus.evals, "eval")
    return {name: f"eval_{name}" for name in corpus.evals}


def _scores_of_prediction(prediction: EvalPrediction) -> dict[str, float]:
    return scores_of(prediction.predictions, prediction.label_ids)


def _conclude(
    trainer: PipelineTrainer, keep_best: KeepBest, config: PipelineConfig, run: Run, prefixes: dict[str, str]
) -> TrainingResult:
    """Record the final and the best scores, keep the best weights, and clear up what only a resume needs."""
    state, splits = trainer.state, list(prefixes.values())
    final = scores_at(state.global_step, state.log_history, splits)
    best = scores_at(keep_best.best.step, state.log_history, splits) if keep_best.best else {}
    best_step = keep_best.best.step if keep_best.best else None
    run.log_summary(
        {
            "best_step": best_step,
            **{f"best/{name}": score for name, score in best.items()},
            **{f"final/{name}": score for name, score in final.items()},
        }
    )
    weights = keep_best.keep_in(run, best) if trainer.is_world_process_zero() else None
    if config.checkpoints.keep == "none" and trainer.is_world_process_zero():
        remove_checkpoints(run, keep_best.folder)
    return TrainingResult(final, best, best_step, weights)
