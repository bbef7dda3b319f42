"""What a training begins with: the model, changed as the techniques ask, and the examples as it takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
    default_data_collator,
)

from trackbridge.finetune.config import PipelineConfig
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.encoding import Encoded, encode_corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.model import load_model
from trackbridge.finetune.origins import Origin, Role
from trackbridge.finetune.techniques.carrying import carry_weights
from trackbridge.finetune.techniques.features import FeatureExtractor
from trackbridge.finetune.techniques.freezing import freeze
from trackbridge.finetune.techniques.lora import with_lora
from trackbridge.finetune.techniques.pseudo_labels import with_pseudo_labels
from trackbridge.finetune.techniques.reinit import reinitialise
from trackbridge.run.run import Run


@dataclass(frozen=True)
class Prepared:
    """The model before its first update with its tokenizer; the training set, the eval sets and what makes batches."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    train: Encoded
    evals: dict[str, Encoded]
    collate: Callable[[Encoded], dict[str, Any]]

    @property
    def scored(self) -> Encoded | dict[str, Encoded]:
        """The eval sets as `Trainer` takes them: under names only where there are several."""
        return self.evals if len(self.evals) > 1 else next(iter(self.evals.values()))


def prepare(
    config: PipelineConfig,
    corpus: Corpus,
    labels: Labels,
    run: Run,
    *,
    origins: Mapping[Role, Origin],
    arguments: TrainingArguments,
) -> Prepared:
    """All that a training begins with; `origins` has what the config's stages gave.

    Raises:
        DataError: a label does not belong to the training set's.
        PipelineConfigError: the model cannot be loaded, or a technique does not fit it.
    """
    model, tokenizer = _prepared_model(config, corpus, labels, run, origins.get("weights"))
    if config.pseudo_labels:
        # after the model, so that its vocabulary and first weights are those it has without pseudo-labels
        corpus = with_pseudo_labels(corpus, origins["labels"], labels, config, run)
    train_set, eval_sets = encode_corpus(corpus, tokenizer, labels, max_length=config.model.max_length)
    collate = DataCollatorWithPadding(tokenizer)
    if not config.is_feature_extraction:
        return Prepared(model, tokenizer, train_set, eval_sets, collate)
    extractor = FeatureExtractor(model, collate, arguments, root=run.path.parents[1])
    features = {name: extractor.extract(examples) for name, examples in eval_sets.items()}
    return Prepared(model, tokenizer, extractor.extract(train_set), features, default_data_collator)


def _prepared_model(
    config: PipelineConfig, corpus: Corpus, labels: Labels, run: Run, begin_with: Origin | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The classifier as it is before the first update, and its tokenizer, which is that of the stage before.

    The order matters: what is carried over may be re-initialised, and only then is it known what learns.
    """
    init_seed = config.seeds.init
    model, tokenizer = load_model(
        config.model,
        head=config.head,
        corpus=corpus,
        labels=labels,
        init_seed=init_seed,
        tokenizer_from=begin_with.weights if begin_with else None,
    )
    if begin_with:
        layers = config.intermediate[-1].carry_layers if config.intermediate else None
        carried = carry_weights(model, begin_with.weights, layers=layers)
        run.log_config({"weights": {**begin_with.recorded(), **carried.recorded()}}, scope="lineage")
    if config.reinit:
        reinitialise(model, config.reinit.layers, init_seed=init_seed)
    if config.lora:
        model = with_lora(model, config.lora, init_seed=init_seed)
    if config.freezing:
        freeze(model, config.freezing.trained_layers)
    return model, tokenizer
