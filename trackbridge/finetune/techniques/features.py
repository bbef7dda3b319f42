"""Features of a frozen encoder: computed once, and kept for other runs of the same weights on the same texts.

Computing them is what feature extraction costs; a head that learns from kept ones takes a fraction of the time (Peters
et al. 2019, arXiv 1903.05987). They lie in `.features` below the root of the runs, a file for each set of examples,
named by a digest of everything they depend on. The folder can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from transformers import TrainingArguments

from trackbridge.finetune.encoding import Encoded
from trackbridge.finetune.techniques.pooling import PooledClassifier
from trackbridge.journal.paths import draft_path, features_folder

_log = logging.getLogger(__name__)
# of the config: what says nothing about the hidden states, and differs from task to task and folder to folder
_BESIDE = {"_name_or_path", "architectures", "id2label", "label2id", "problem_type", "transformers_version"}


class FeatureExtractor:
    """Turns encoded examples into what the head of a frozen `PooledClassifier` sees of them."""

    def __init__(
        self,
        model: PooledClassifier,
        collate: Callable[[Encoded], dict[str, torch.Tensor]],
        arguments: TrainingArguments,
        *,
        root: Path,
    ) -> None:
        """`arguments` are those of the training: it says on which device, in which precision and in what batches."""
        self._model: PooledClassifier = model.to(arguments.device)
        self._collate = collate
        self._arguments = arguments
        self._folder = features_folder(root)
        self._setup = self._digest_of_setup()

    def extract(self, examples: Encoded) -> Encoded:
        """The same examples as `features`, a vector of float32[hidden], and `labels`."""
        # of several processes on one machine the first computes them, and the others find them
        with self._arguments.main_process_first(desc="features"):
            features = self._kept_or_computed(examples)
        return [
            {"features": vector, "labels": example["labels"]}
            for vector, example in zip(features, examples, strict=True)
        ]

    def _kept_or_computed(self, examples: Encoded) -> torch.Tensor:
        tokens = [{name: ids for name, ids in example.items() if name != "labels"} for example in examples]
        digest = hashlib.sha256(f"{self._setup}{json.dumps(tokens)}".encode()).hexdigest()
        file = self._folder / f"{digest}.safetensors"
        features = _kept(file)
        if features is None:
            features = self._compute(tokens)
            _keep(features, file)
        return features

    def _compute(self, tokens: Encoded) -> torch.Tensor:
        """float32[examples, hidden], computed in the order of their length, so that little is padding."""
        order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]["input_ids"]))
        self._model.eval()
        size = self._arguments.per_device_eval_batch_size
        vectors = [self._batch([tokens[place] for place in order[at : at + size]]) for at in range(0, len(order), size)]
        features = torch.empty(len(tokens), vectors[0].shape[1])
        features[order] = torch.cat(vectors)
        return features

    @torch.no_grad()
    def _batch(self, tokens: Encoded) -> torch.Tensor:
        device = self._arguments.device
        inputs = {name: ids.to(device) for name, ids in self._collate(tokens).items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=self._arguments.bf16):
            return self._model.features(**inputs).cpu()

    def _digest_of_setup(self) -> str:
        """Of all that a bit of the features can depend on but the tokens: weights, pooling, layer, precision."""
        config = {name: value for name, value in self._model.config.to_dict().items() if name not in _BESIDE}
        told: dict[str, Any] = {
            "config": config,
            "bf16": self._arguments.bf16,
            "batch_size": self._arguments.per_device_eval_batch_size,
            "device": self._arguments.device.type,
            "threads": torch.get_num_threads(),
            "versions": [torch.__version__, transformers.__version__],
        }
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
        for name, weights in sorted(self._model.backbone.state_dict().items()):
            digest.update(f"{name} {weights.dtype} {tuple(weights.shape)}".encode())
            digest.update(weights.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def _kept(file: Path) -> torch.Tensor | None:
    try:
        # read whole rather than mapped: a mapped file cannot be deleted on Windows, nor on NFS without harm
        features: torch.Tensor = load(file.read_bytes())["features"]
        return features
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, KeyError) as error:
        _log.warning("%s: not readable, its features are computed anew (%s)", file, error)
        return None


def _keep(features: torch.Tensor, file: Path) -> None:
    """Write the file whole or not at all; of two processes that do so at once, the last one's stays."""
    draft = draft_path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({"features": features}, draft)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        _log.warning("%s: not written, so other runs must compute the same features again (%s)", file, error)
