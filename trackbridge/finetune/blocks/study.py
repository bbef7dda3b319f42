"""What a study varies, and which of its runs it stops early."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from trackbridge.finetune.blocks.block import Block


class Variant(Block):
    """A named set of dotted keys (`training.epochs`) in which a part of a study differs from the rest."""

    name: str = Field(min_length=1)
    set: dict[str, Any] = {}


class Halting(Block):
    """Start many, stop early, continue some (https://arxiv.org/abs/2002.06305, section 5).

    Every run trains for the share `at` of its updates; then the share `stop` of them, those whose best score so far is
    lowest, stop for good, and the others go on. They are ranked among the runs of their own variant, or of the whole
    study.
    """

    at: float = Field(default=0.25, gt=0, lt=1)
    stop: float = Field(default=0.5, gt=0, lt=1)
    among: Literal["variant", "study"] = "variant"

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"the worst {self.stop:.0%} of the {self.among} stop at {self.at:.0%} of the updates"
