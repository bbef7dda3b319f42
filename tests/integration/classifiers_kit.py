"""Tiny random classifiers of every kind of architecture, and which of their parameters are which part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    DebertaConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    T5Config,
    XLNetConfig,
)

_SIZE: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "pad_token_id": 0,
}
_DEBERTA: dict[str, Any] = {**_SIZE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
_BART: dict[str, Any] = {
    f"{stack}_{what}": value
    for stack, layers in (("encoder", 3), ("decoder", 2))
    for what, value in (("layers", layers), ("attention_heads", 2), ("ffn_dim", 16))
}


@dataclass(frozen=True)
class Architecture:
    """How to configure one, and what the names of the parameters of each of its parts begin with."""

    config: Callable[..., PreTrainedConfig]
    embeddings: tuple[str, ...]
    layers: tuple[tuple[str, ...], ...]
    top: tuple[str, ...]
    head: tuple[str, ...]
    n_encoder: int = 0

    def classifier(self, **told: Any) -> PreTrainedModel:
        """A random one; the weights are the same each time."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return AutoModelForSequenceClassification.from_config(self.config(**told))


def _numbered(prefix: str, count: int) -> tuple[tuple[str, ...], ...]:
    return tuple((f"{prefix}.{number}.",) for number in range(count))


ARCHITECTURES = {
    "bert": Architecture(
        lambda **told: BertConfig(**_SIZE | told),
        embeddings=("bert.embeddings.",),
        layers=_numbered("bert.encoder.layer", 3),
        top=("bert.pooler.",),
        head=("classifier.",),
    ),
    "roberta": Architecture(
        lambda **told: RobertaConfig(**_SIZE | told),
        embeddings=("roberta.embeddings.",),
        layers=_numbered("roberta.encoder.layer", 3),
        top=(),
        head=("classifier.",),
    ),
    "distilbert": Architecture(
        lambda **told: DistilBertConfig(
            **{"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 16, "vocab_size": 20} | told
        ),
        embeddings=("distilbert.embeddings.",),
        layers=_numbered("distilbert.transformer.layer", 3),
        top=(),
        head=("pre_classifier.", "classifier."),
    ),
    "electra": Architecture(
        lambda **told: ElectraConfig(**_SIZE | {"embedding_size": 8} | told),
        embeddings=("electra.embeddings.", "electra.embeddings_project."),
        layers=_numbered("electra.encoder.layer", 3),
        top=(),
        head=("classifier.",),
    ),
    "deberta": Architecture(
        # its relative positions are first used in the middle of its first layer
        lambda **told: DebertaConfig(**_DEBERTA | told),
        embeddings=("deberta.embeddings.", "deberta.encoder.rel_embeddings."),
        layers=_numbered("deberta.encoder.layer", 3),
        top=(),
        head=("pooler.", "classifier."),
    ),
    "deberta-v2": Architecture(
        # the convolution of the published large ones stands beside the first layer
        lambda **told: DebertaV2Config(**_DEBERTA | {"norm_rel_ebd": "layer_norm", "conv_kernel_size": 3} | told),
        embeddings=("deberta.embeddings.", "deberta.encoder.rel_embeddings.", "deberta.encoder.LayerNorm."),
        layers=(
            ("deberta.encoder.layer.0.", "deberta.encoder.conv."),
            ("deberta.encoder.layer.1.",),
            ("deberta.encoder.layer.2.",),
        ),
        top=(),
        head=("pooler.", "classifier."),
    ),
    "albert": Architecture(
        lambda **told: AlbertConfig(**_SIZE | {"embedding_size": 8} | told),
        embeddings=("albert.embeddings.", "albert.encoder.embedding_hidden_mapping_in."),
        # three times the same layer
        layers=_numbered("albert.encoder.albert_layer_groups", 1),
        top=("albert.pooler.",),
        head=("classifier.",),
    ),
    "xlnet": Architecture(
        lambda **told: XLNetConfig(
            **{"d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 16, "vocab_size": 20} | told
        ),
        embeddings=("transformer.mask_emb", "transformer.word_embedding."),
        layers=_numbered("transformer.layer", 3),
        top=(),
        head=("sequence_summary.", "logits_proj."),
    ),
    "gpt2": Architecture(
        lambda **told: GPT2Config(
            **{"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 20, "pad_token_id": 0} | told
        ),
        embeddings=("transformer.wte.", "transformer.wpe."),
        layers=_numbered("transformer.h", 3),
        top=("transformer.ln_f.",),
        head=("score.",),
    ),
    "llama": Architecture(
        lambda **told: LlamaConfig(**_SIZE | {"num_key_value_heads": 2} | told),
        embeddings=("model.embed_tokens.",),
        layers=_numbered("model.layers", 3),
        top=("model.norm.",),
        head=("score.",),
    ),
    "mixtral": Architecture(
        lambda **told: MixtralConfig(**_SIZE | {"num_key_value_heads": 2, "num_local_experts": 4} | told),
        embeddings=("model.embed_tokens.",),
        layers=_numbered("model.layers", 3),
        top=("model.norm.",),
        head=("score.",),
    ),
    "t5": Architecture(
        lambda **told: T5Config(
            **{"d_model": 16, "d_kv": 8, "d_ff": 16, "num_heads": 2, "num_layers": 3, "num_decoder_layers": 2}
            | {"vocab_size": 20}
            | told
        ),
        embeddings=("transformer.shared.",),
        layers=(
            ("transformer.encoder.block.0.",),
            ("transformer.encoder.block.1.",),
            # the encoder's last norm is followed by the decoder's layers
            ("transformer.encoder.block.2.", "transformer.encoder.final_layer_norm."),
            *_numbered("transformer.decoder.block", 2),
        ),
        top=("transformer.decoder.final_layer_norm.",),
        head=("classification_head.",),
        n_encoder=3,
    ),
    "bart": Architecture(
        lambda **told: BartConfig(
            **{"d_model": 16, "vocab_size": 20, "max_position_embeddings": 40, "pad_token_id": 0} | _BART | told
        ),
        embeddings=(
            "model.shared.",
            "model.encoder.embed_positions.",
            "model.encoder.layernorm_embedding.",
            "model.decoder.embed_positions.",
            "model.decoder.layernorm_embedding.",
        ),
        layers=(*_numbered("model.encoder.layers", 3), *_numbered("model.decoder.layers", 2)),
        top=(),
        head=("classification_head.",),
        n_encoder=3,
    ),
}
