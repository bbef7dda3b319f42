"""The model and its tokenizer: pre-trained from a folder or the hub, or the built-in tiny BERT.

Encoders, decoders and encoder-decoders go the same way; what decoders lack for classification, they get here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import BuiltinModel, Head, PretrainedModel
from trackbridge.finetune.data import Corpus
from trackbridge.finetune.labels import Labels
from trackbridge.finetune.seeding import random_state_kept
from trackbridge.finetune.techniques.pooling import PooledClassifier, config_with_head, has_pooled_head, n_layers
from trackbridge.run.seeds import derive

_SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def load_model(
    model: PretrainedModel | BuiltinModel,
    *,
    head: Head | None,
    corpus: Corpus,
    labels: Labels,
    init_seed: int,
    tokenizer_from: Path | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A classifier (or regressor) for these labels and its tokenizer, which may be that of an earlier stage.

    It has a `head` of ours, or its own. Weights that no checkpoint provides, which is all of them for the built-in
    model and the head for the others, are drawn from a random stream of their own that `init_seed` alone decides.

    Raises:
        PipelineConfigError: the model cannot be loaded, or lacks what the config asks of it.
    """
    if isinstance(model, BuiltinModel):
        if tokenizer_from is None:
            tokenizer = word_tokenizer(_training_texts(corpus), max_length=model.max_length)
        else:
            tokenizer = AutoTokenizer.from_pretrained(tokenizer_from)
        return _tiny_bert(model, head, tokenizer, labels, init_seed), tokenizer
    return _pretrained(model, head, labels, init_seed)


def load_classifier(folder: Path) -> PreTrainedModel:
    """The classifier that a training kept in a folder, whichever kind of head it has."""
    is_ours = has_pooled_head(AutoConfig.from_pretrained(folder))
    return (PooledClassifier if is_ours else AutoModelForSequenceClassification).from_pretrained(folder)


def _pretrained(
    model: PretrainedModel, head: Head | None, labels: Labels, init_seed: int
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with loading(model.path):
        config = AutoConfig.from_pretrained(model.path, revision=model.revision, **_head_of(labels))
        tokenizer = AutoTokenizer.from_pretrained(model.path, revision=model.revision)
        if model.dropout is not None:
            set_dropout(config, model.dropout, model.path)
        _agree_on_padding(tokenizer, config, model.path)
        torch.manual_seed(derive("init", init_seed))
        return _classifier(model, head, config), tokenizer


@contextmanager
def loading(path: str) -> Iterator[None]:
    """A stretch of code that loads a model and its tokenizer: trouble in it names the path.

    Raises:
        PipelineConfigError: something was not found, or is no model.
    """
    try:
        yield
    except PipelineConfigError:
        raise
    except (OSError, ValueError) as error:
        here = "a" if Path(path).is_dir() else "no local"
        raise PipelineConfigError(
            f"model.path: cannot load {path!r} (there is {here} folder of that name): {error}"
        ) from error


def _classifier(model: PretrainedModel, head: Head | None, config: PreTrainedConfig) -> PreTrainedModel:
    told = {"revision": model.revision, "config": config, "dtype": torch.float32}
    if head is None:
        if has_pooled_head(config):
            raise PipelineConfigError(f"model.path: {model.path!r} was trained with a `head`: give one to go on with")
        return AutoModelForSequenceClassification.from_pretrained(model.path, **told)
    config = config_with_head(config, head)
    if has_pooled_head(config):
        return PooledClassifier.from_pretrained(model.path, **told)
    classifier = PooledClassifier(config, AutoModel.from_pretrained(model.path, **told))
    if not n_layers(config):
        _require_embeddings_alone_to_run(classifier)
    return classifier


def _require_embeddings_alone_to_run(classifier: PooledClassifier) -> None:
    tokens = torch.ones(1, 4, dtype=torch.long)
    try:
        with torch.no_grad(), random_state_kept():
            classifier(tokens, torch.ones_like(tokens))
    except Exception as error:
        raise PipelineConfigError(
            f"head.layer: 0: {type(classifier.backbone).__name__} does not run without layers ({error}); give 1 or more"
        ) from error


def _agree_on_padding(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, path: str) -> None:
    """Make padding what the model's head takes for padding, on the side where it moves no token.

    GPT-2 has no token for it, and counts positions from the left, padding included. XLNet's head takes the last
    position, so there it must be no padding.
    """
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise PipelineConfigError(
                f"model.path: the tokenizer of {path!r} has neither a pad_token nor an eos_token to pad with:"
                " add one to its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left" if getattr(config, "summary_type", None) == "last" else "right"
    config.pad_token_id = tokenizer.pad_token_id
    if config.is_encoder_decoder and tokenizer("a")["input_ids"][-1:] != [config.eos_token_id]:
        raise PipelineConfigError(
            f"model.path: the tokenizer of {path!r} does not end a text with the model's eos token"
            f" ({config.eos_token_id}), which the head of an encoder-decoder reads"
        )


def _tiny_bert(
    model: BuiltinModel, head: Head | None, tokenizer: PreTrainedTokenizerBase, labels: Labels, init_seed: int
) -> PreTrainedModel:
    config = tiny_bert_config(model, tokenizer, **_head_of(labels))
    torch.manual_seed(derive("init", init_seed))
    return BertForSequenceClassification(config) if head is None else PooledClassifier(config_with_head(config, head))


def tiny_bert_config(model: BuiltinModel, tokenizer: PreTrainedTokenizerBase, **head: Any) -> BertConfig:
    """The built-in model's config for the vocabulary of a tokenizer, with the keys of a head."""
    return BertConfig(
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
        **head,
    )


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


def set_dropout(config: Any, dropout: float, path: str) -> None:
    """Set every dropout probability a config has; their names differ from architecture to architecture.

    Raises:
        PipelineConfigError: it has none.
    """
    endings = ("dropout", "dropout_prob", "dropout_probs", "dropout_rate", "pdrop")
    names = [name for name in config.to_dict() if name.endswith(endings)]
    if not names:
        raise PipelineConfigError(f"model.dropout: the config of {path!r} has no dropout probability to set")
    for name in names:
        setattr(config, name, dropout)
