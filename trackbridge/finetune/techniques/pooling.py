"""A classification head of ours in place of the model's own: a pooled hidden state, dropout, one linear layer.

Which hidden state serves best differs: BERT's authors classified from the first token's last one, and compared several
layers for feature extraction (Devlin et al. 2019, arXiv 1810.04805, section 5.3); sentence encoders take the mean
(Reimers and Gurevych 2019, arXiv 1908.10084), also over the encoder of T5 (Ni et al. 2021, arXiv 2108.08877).
Layers above the pooled one are neither computed nor kept (Sajjad et al. 2020, arXiv 2004.03844).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from trackbridge.errors import PipelineConfigError
from trackbridge.finetune.blocks.model import Head


class PooledClassifier(PreTrainedModel):  # type: ignore[misc]  # transformers ships no types
    """Any text model with a head of ours: logits of shape [examples, labels], and the loss where labels are given.

    The backbone is the model without a pooler; of an encoder-decoder it is the encoder alone. What `save_pretrained`
    writes, `PooledClassifier.from_pretrained(folder)` loads: the head's shape is in the config.
    """

    base_model_prefix = "backbone"
    # what the backbone settled on is taken over, and it may be this
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: PreTrainedConfig, backbone: PreTrainedModel | None = None) -> None:
        """The backbone's weights are drawn with those of the head unless one that has them is given."""
        # before our own initialisation, which would choose for the backbone how attention is computed
        backbone = AutoModel.from_config(config) if backbone is None else backbone
        super().__init__(config)
        self.pooling = config.pooled_head["pooling"]
        self.backbone = _encoder_of(backbone)
        self.dropout = nn.Dropout(config.pooled_head["dropout"])
        self.classifier = nn.Linear(self.backbone.config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_pretrained(cls, folder: str | Path, *args: Any, **kwargs: Any) -> PooledClassifier:
        """The classifier that was saved in a folder."""
        kwargs.setdefault("config", AutoConfig.from_pretrained(folder))
        model: PooledClassifier = super().from_pretrained(folder, *args, **kwargs)
        return model

    def features(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, **inputs: Any) -> torch.Tensor:
        """What the head sees of each example: the pooled hidden state in float32, of shape [examples, hidden]."""
        states = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return pooled(states.float(), mask.bool(), self.pooling)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        features: torch.Tensor | None = None,
        **inputs: Any,
    ) -> SequenceClassifierOutput:
        """Classify token ids, or features that were computed before."""
        if features is None:
            if input_ids is None:
                raise ValueError("PooledClassifier got neither input_ids nor features: one of them is needed")
            features = self.features(input_ids, attention_mask, **inputs)
        logits = self.classifier(self.dropout(features))
        return SequenceClassifierOutput(loss=None if labels is None else self._loss(logits, labels), logits=logits)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.problem_type == "regression":
            return functional.mse_loss(logits.squeeze(-1).float(), labels.float())
        return functional.cross_entropy(logits.float(), labels)


def pooled(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """One vector per example from hidden states [examples, tokens, hidden], of which `mask` tells tokens from padding.

    Padding may be on either side. A text without any token counts as one token of padding.
    """
    mask = mask.clone()
    mask[:, 0] |= ~mask.any(dim=1)
    if pooling == "mean":
        return (states * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
    if pooling == "max":
        return states.masked_fill(~mask.unsqueeze(-1), -torch.inf).amax(dim=1)
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    taken = places.masked_fill(~mask, -1).amax(dim=1) if pooling == "last" else mask.int().argmax(dim=1)
    return states[torch.arange(len(states), device=states.device), taken]


def config_with_head(config: PreTrainedConfig, head: Head) -> PreTrainedConfig:
    """The config of the model up to the layer that `head` pools, and of the head.

    A norm that follows the last layer follows the pooled one instead.

    Raises:
        PipelineConfigError: the model has no such layer.
    """
    top = n_layers(config)
    kept = head.layer if head.layer >= 0 else top + 1 + head.layer
    if not 0 <= kept <= top:
        raise PipelineConfigError(
            f"head.layer: {head.layer} is no layer of this model, which has {top}:"
            f" give 0 (the embeddings) to {top}, or -1 (the last) to {-top - 1}"
        )
    setattr(config, _layers_key(config), kept)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:kept]
    config.pooled_head = {"pooling": head.pooling, "dropout": head.dropout}
    return config


def n_layers(config: PreTrainedConfig) -> int:
    """How many layers a model has; of an encoder-decoder the encoder."""
    return int(getattr(config, _layers_key(config)))


def _layers_key(config: PreTrainedConfig) -> str:
    return "encoder_layers" if hasattr(config, "encoder_layers") else "num_hidden_layers"


def has_pooled_head(config: PreTrainedConfig) -> bool:
    """Whether the weights beside this config are those of a `PooledClassifier`."""
    return "PooledClassifier" in (config.architectures or ())


def _encoder_of(backbone: PreTrainedModel) -> PreTrainedModel:
    """The part of a model whose hidden states are pooled, without the pooler that our head is instead of."""
    if backbone.config.is_encoder_decoder:
        backbone = backbone.get_encoder()
        # BART's encoder shares the config of the whole, and would be taken for one
        backbone.config = copy.deepcopy(backbone.config)
        backbone.config.is_encoder_decoder = False
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    return backbone
