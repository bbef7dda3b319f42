"""The model of a further pre-training: its base, with the head of the objective, which its checkpoint may have."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING,
    MODEL_FOR_PRETRAINING_MAPPING,
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import BuiltinModel, PretrainedModel
from trackbridge.finetune.config import PretrainingConfig
from trackbridge.finetune.model import loading, set_dropout, tiny_bert_config, word_tokenizer
from trackbridge.finetune.text_examples import Document
from trackbridge.run.seeds import derive

_HEADS = {
    "mlm": MODEL_FOR_MASKED_LM_MAPPING,
    "clm": MODEL_FOR_CAUSAL_LM_MAPPING,
    "nsp": MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING,
    "mlm+nsp": MODEL_FOR_PRETRAINING_MAPPING,
}
"""The classes of models with the head of an objective, by the class of their config."""


def load_pretraining_model(
    config: PretrainingConfig, documents: Sequence[Document]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model with the objective's head, and its tokenizer; the built-in model's is made from the documents.

    Weights that no checkpoint provides are drawn from a random stream that the init seed alone decides.

    Raises:
        PipelineConfigError: the model cannot be loaded, or its architecture has no such head.
    """
    model, objective = config.model, config.pretraining.objective
    if isinstance(model, BuiltinModel):
        tokenizer = word_tokenizer((text for document in documents for text in document), max_length=model.max_length)
        tiny_config = tiny_bert_config(model, tokenizer)
        head = _head_for(tiny_config, objective)
        torch.manual_seed(derive("init", config.seeds.init))
        return head(tiny_config), tokenizer
    with loading(model.path):
        tokenizer = AutoTokenizer.from_pretrained(model.path, revision=model.revision)
        return _pretrained(model, objective, config.seeds.init), tokenizer


def _pretrained(model: PretrainedModel, objective: str, init_seed: int) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(model.path, revision=model.revision)
    if model.dropout is not None:
        set_dropout(config, model.dropout, model.path)
    head = _head_for(config, objective)
    torch.manual_seed(derive("init", init_seed))
    loaded: PreTrainedModel = head.from_pretrained(
        model.path, revision=model.revision, config=config, dtype=torch.float32
    )
    return loaded


def _head_for(config: PreTrainedConfig, objective: str) -> Any:
    """The class with the objective's head; the config becomes that of a decoder where the next token is predicted.

    Raises:
        PipelineConfigError: the architecture has none.
    """
    if not _has_head(config, objective):
        known = [name for name in _HEADS if _has_head(config, name)]
        raise PipelineConfigError(
            f"pretraining.objective: a {config.model_type} model has no head for {objective}"
            f" (it has one for: {', '.join(known) or 'no objective'})"
        )
    if objective == "clm":
        config.is_decoder = True
        # an evaluation would gather the cache of every layer with the logits
        config.use_cache = False
    return _HEADS[objective][type(config)]


def _has_head(config: PreTrainedConfig, objective: str) -> bool:
    if config.is_encoder_decoder or type(config) not in _HEADS[objective]:
        return False
    head = _HEADS[objective][type(config)]
    # others have pre-training heads of their own: ALBERT tells sentence orders, ELECTRA replaced tokens
    return objective != "mlm+nsp" or "next_sentence_label" in inspect.signature(head.forward).parameters
