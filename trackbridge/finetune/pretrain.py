"""Further pre-training on unlabelled text, from a config to the weights another training begins with.

Gururangan et al. 2020, "Don't Stop Pretraining" (https://arxiv.org/abs/2004.10964): the model learns from texts of the
task or its domain as it once learned from all texts, before it is fine-tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase, TrainerCallback

from trackbridge.finetune.best import KeepLast, scores_at
from trackbridge.finetune.checkpoints import remove_checkpoints
from trackbridge.finetune.config import PretrainingConfig
from trackbridge.finetune.kept_weights import KeptWeights
from trackbridge.finetune.objectives import TextCollator, TextScores, examples_of, targets_for
from trackbridge.finetune.pretraining_model import load_pretraining_model
from trackbridge.finetune.seeding import DropoutSeed, seeds_of
from trackbridge.finetune.text import Texts
from trackbridge.finetune.text_examples import CountVisits, Document, TextExample, Visits, held_out_apart, static
from trackbridge.finetune.trainer import PipelineTrainer, cpu_threads, training_arguments
from trackbridge.integrations.transformers import TrackingCallback
from trackbridge.run.run import Run
from trackbridge.run.seeds import derive


def pretrain(
    config: PretrainingConfig,
    texts: Texts,
    run: Run,
    *,
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Pre-train as the config says, recorded in `run`, which keeps the last weights and their tokenizer.

    `resume_from` is a checkpoint of the same config. The score is `eval/loss` on the held-out documents, and beside it
    `eval/perplexity` and `eval/nsp_accuracy` where the objective has them.

    Raises:
        DataError: the texts cannot be held apart, or give no pairs of sentences.
        PipelineConfigError: the model cannot be loaded, or has no head for the objective.
    """
    documents, held_out = held_out_apart(texts.documents, config.pretraining.held_out)
    _record_plan(config, texts, documents, held_out, run)
    with cpu_threads(config.training.threads):
        model, tokenizer = load_pretraining_model(config, documents)
        trained, scored = _encoded(config, tokenizer, documents, held_out)
        weights = KeptWeights(run, tokenizer)
        keep = KeepLast(weights, "eval_loss")
        watched = [DropoutSeed(seeds_of(config)), CountVisits(trained), keep, TrackingCallback(run), *callbacks]
        scores = TextScores(config.pretraining.objective)
        trainer = PipelineTrainer(
            model=model,
            args=training_arguments(config, weights.folder, seeds_of(config)),
            train_dataset=trained,
            eval_dataset=scored,
            data_collator=TextCollator(targets_for(config.pretraining, tokenizer), tokenizer),
            processing_class=tokenizer,
            preprocess_logits_for_metrics=scores.of_batch,
            compute_metrics=scores.of_set,
            bias_correction=config.training.bias_correction,
            callbacks=watched,
        )
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    _conclude(trainer, weights, run)


def _record_plan(
    config: PretrainingConfig, texts: Texts, documents: list[Document], held_out: list[Document], run: Run
) -> None:
    run.log_config(config.recorded(), scope="pipeline")
    counts = {"documents": len(documents), "held_out_documents": len(held_out)}
    told = {"path": texts.source, "sha256": texts.sha256, "texts": sum(map(len, texts.documents)), **counts}
    run.log_config({"text": told}, scope="data")
    run.log_seeds(seeds_of(config))
    run.log_summary({"judged_by": "eval/loss"})


def _encoded(
    config: PretrainingConfig, tokenizer: PreTrainedTokenizerBase, documents: list[Document], held_out: list[Document]
) -> tuple[Visits, list[TextExample]]:
    """The examples to train on, and those that are scored, which are the same for every seed."""
    pretraining, data_seed = config.pretraining, config.seeds.data
    max_length = min(pretraining.block_size, config.model.max_length, tokenizer.model_max_length)
    seed_of_pairs = derive("sentence pairs", data_seed)
    trained = examples_of(documents, tokenizer, pretraining, max_length=max_length, pair_seed=seed_of_pairs)
    fixed_seed = derive("held-out sentence pairs")
    scored = examples_of(held_out, tokenizer, pretraining, max_length=max_length, pair_seed=fixed_seed)
    return Visits(trained, data_seed), static(scored)


def _conclude(trainer: PipelineTrainer, weights: KeptWeights, run: Run) -> None:
    """Record the last scores, keep the last weights, and clear up what only a resume needs."""
    step = trainer.state.global_step
    final = scores_at(step, trainer.state.log_history, ["eval"])
    run.log_summary({"best_step": step, **{f"final/{name}": score for name, score in final.items()}})
    if trainer.is_world_process_zero():
        weights.hand_over(step, final)
        remove_checkpoints(run, weights.folder)
