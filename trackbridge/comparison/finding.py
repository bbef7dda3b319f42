"""A finding: one thing that is wrong with a run, or worth a look, with its number and the threshold it passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

FindingCode: TypeAlias = Literal[
    "nonfinite", "diverged", "never_learned", "degenerate", "unequal_length", "late_jump", "longer_and_jumped",
    "overfit", "plateau", "spike", "seed_outlier", "stalled",
]  # fmt: skip

Severity: TypeAlias = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen in a run. `value` passed `threshold`, by the rule of its code; `step` is where, if anywhere."""

    code: FindingCode
    severity: Severity
    run_id: str
    sentence: str
    metric: str | None = None
    step: int | None = None
    value: float | None = None
    threshold: float | None = None
