"""Tiny random models of every architecture, saved with a tokenizer of words as the hub would hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
    XLNetConfig,
)

WORDS = "a the cat dog bird sees hears very good bad man person".split()
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>")
_VOCABULARY = {word: number for number, word in enumerate((*_SPECIAL, *WORDS))}
_PAD, _START, _END = (_VOCABULARY[token] for token in ("<pad>", "<s>", "</s>"))

_SIZE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
# .2 rather than .02: at this width a random model of small weights gives every text the same states
_ENCODER = {**_SIZE, "max_position_embeddings": 40, "pad_token_id": _PAD, "initializer_range": 0.2}
_BART_SIZE = {"d_model": 16, "init_std": 0.2, "max_position_embeddings": 40, "decoder_start_token_id": _END}
_BART_LAYERS = {
    f"{stack}_{what}": value
    for stack in ("encoder", "decoder")
    for what, value in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))
}
_MADE: Mapping[str, Callable[..., PreTrainedConfig]] = {
    "bert": lambda **told: BertConfig(**{**_ENCODER, **told}),
    "roberta": lambda **told: RobertaConfig(**_ENCODER, **told),
    "deberta": lambda **told: DebertaV2Config(**_ENCODER, relative_attention=True, **told),
    "distilbert": lambda **told: DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=32, pad_token_id=_PAD, initializer_range=0.2, **told
    ),
    # no pad_token_id, as the published ones
    "gpt2": lambda **told: GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=40, initializer_range=0.2, **told),
    "llama": lambda **told: LlamaConfig(**_SIZE, num_key_value_heads=2, initializer_range=0.2, **told),
    "t5": lambda **told: T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=_PAD, pad_token_id=_PAD, **told
    ),
    "xlnet": lambda **told: XLNetConfig(
        d_model=16, n_layer=2, n_head=2, d_inner=32, pad_token_id=_PAD, initializer_range=0.2, **told
    ),
    "bart": lambda **told: BartConfig(**_BART_SIZE, **_BART_LAYERS, pad_token_id=_PAD, **told),
}
DECODERS = ("gpt2", "llama")


def tiny_model(folder: Path, architecture: str, **told: Any) -> dict[str, Any]:
    """The `model` block for a tiny random model without a head, saved below the folder with its tokenizer.

    The weights are the same each time; `told` goes into the model's config.
    """
    config = _MADE[architecture](vocab_size=len(_VOCABULARY), bos_token_id=_START, eos_token_id=_END, **told)
    path = folder / architecture
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(path)
    tiny_tokenizer(architecture).save_pretrained(path)
    return {"path": str(path), "max_length": 20}


def tiny_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """Words as tokens, with the special ones in the places of the architecture's own tokenizer.

    Decoders have no token for padding and add none to a text, and pad on the left, as those made for generation do.
    """
    tokenizer = Tokenizer(models.WordLevel(_VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if architecture in DECODERS:
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            unk_token="<unk>",
            eos_token="</s>",
            padding_side="left",
            model_input_names=["input_ids", "attention_mask"],
        )
    start = "" if architecture in ("t5", "xlnet") else "<s> "
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start}$A </s>", pair=f"{start}$A </s> $B </s>", special_tokens=[("<s>", _START), ("</s>", _END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )
