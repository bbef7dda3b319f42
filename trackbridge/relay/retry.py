"""When to try again: exponential back-off with full jitter, for ever, with the clock and the dice given."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Delays that double from `first_s` to `longest_s`; each is drawn evenly between half of it and all of it.

    Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), "equal jitter".
    """

    first_s: float = 0.5
    longest_s: float = 60.0
    dice: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def next_delay_s(self, *, wished_s: float | None = None) -> float:
        """The delay after one more failure, at least what the server wished for."""
        whole = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(wished_s or 0.0, whole * (0.5 + 0.5 * self.dice.random()))

    def succeeded(self) -> None:
        """Start again with the shortest delay."""
        self.failures = 0
