"""The model and its tokenizer: pre-trained from a folder or the hub, or the built-in tiny BERT."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import BuiltinModel, PretrainedModel
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.labels import Labels
from trackbridge.run.seeds import derive

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def load_model(
    model: PretrainedModel | BuiltinModel,
    *,
    corpus: Corpus,
    labels: Labels,
    init_seed: int,
    tokenizer_from: Path | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier (or regressor) for these labels and its tokenizer, which may be that of an earlier stage.

    Weights that no checkpoint provides, which is all of them for the built-in model and the head for the
    others, are drawn from a random stream of their own that `init_seed` alone decides.

    Raises:
        PipelineConfigError: the model cannot be loaded, or has no dropout to set.
    """
    if isinstance(model, BuiltinModel):
        if tokenizer_from is None:
            tokenizer = word_tokenizer(_training_texts(corpus), max_length=model.max_length)
        else:
            tokenizer = AutoTokenizer.from_pretrained(tokenizer_from)
        return _tiny_bert(model, tokenizer, labels, init_seed), tokenizer
    return _pretrained(model, labels, init_seed)


def _pretrained(
    model: PretrainedModel, labels: Labels, init_seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        config = AutoConfig.from_pretrained(model.path, revision=model.revision, **_head_of(labels))
        if model.dropout is not None:
            _set_dropout(config, model.dropout, model.path)
        tokenizer = AutoTokenizer.from_pretrained(model.path, revision=model.revision)
        torch.manual_seed(derive("init", init_seed))
        classifier = AutoModelForSequenceClassification.from_pretrained(
            model.path, revision=model.revision, config=config, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        here = "a" if Path(model.path).is_dir() else "no local"
        raise PipelineConfigError(
            f"model.path: cannot load {model.path!r} (there is {here} folder of that name): {error}"
        ) from error
    return classifier, tokenizer


def _tiny_bert(
    model: BuiltinModel, tokenizer: PreTrainedTokenizerBase, labels: Labels, init_seed: int
) -> PreTrainedModel:
    config = BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=model.layers,
        hidden_size=model.hidden_size,
        num_attention_heads=model.heads,
        intermediate_size=4 * model.hidden_size,
        max_position_embeddings=model.max_length,
        # .05 trains faster than BERT's .02 or .1 at this width
        initializer_range=0.05,
        hidden_dropout_prob=model.dropout,
        attention_probs_dropout_prob=model.dropout,
        **_head_of(labels),
    )
    torch.manual_seed(derive("init", init_seed))
    return BertForSequenceClassification(config)


def word_tokenizer(texts: Iterable[str], *, max_length: int) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are the lower-cased words and punctuation marks of the texts.

    Word level, because the trainers of WordPiece and BPE give another vocabulary each time
    (https://github.com/huggingface/tokenizers/issues/1794); this one's is the same in every process.
    """
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=30_000, special_tokens=_SPECIAL_TOKENS, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _training_texts(corpus: Corpus) -> Iterable[str]:
    """The training texts alone: a word that only the eval sets have must stay unknown."""
    yield from corpus.train.texts
    yield from corpus.train.pairs or ()


def _head_of(labels: Labels) -> dict[str, Any]:
    if labels.is_regression:
        return {"num_labels": 1, "problem_type": "regression"}
    names = dict(enumerate(labels.names))
    ids = {name: number for number, name in names.items()}
    return {"id2label": names, "label2id": ids, "problem_type": "single_label_classification"}


def _set_dropout(config: Any, dropout: float, path: str) -> None:
    """Set every dropout probability a config has; their names differ from architecture to architecture."""
    names = [name for name in config.to_dict() if name.endswith(("dropout", "dropout_prob", "dropout_probs", "pdrop"))]
    if not names:
        raise PipelineConfigError(f"model.dropout: the config of {path!r} has no dropout probability to set")
    for name in names:
        setattr(config, name, dropout)
