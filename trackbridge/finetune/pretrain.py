"""Further pre-training on unlabelled text, from a config to the weights another training begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import TrainerCallback

from trackbridge.finetune.config import PretrainingConfig
from trackbridge.finetune.text import Texts
from trackbridge.run.run import Run


def pretrain(
    config: PretrainingConfig,
    texts: Texts,
    run: Run,
    *,
    resume_from: Path | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Pre-train as the config says, recorded in `run`, which keeps the last weights."""
    raise NotImplementedError
