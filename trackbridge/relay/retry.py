"""When to try again, and how long: delays that grow, with the dice given, and a patience that runs out."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LONGEST_WISH_S = 3600.0


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
        """The delay after one more failure, at least what the server wished for, but no more than an hour."""
        whole = min(self.longest_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return max(min(wished_s or 0.0, LONGEST_WISH_S), whole * (0.5 + 0.5 * self.dice.random()))

    def succeeded(self) -> None:
        """Start again with the shortest delay."""
        self.failures = 0


@dataclass(slots=True)
class Patience:
    """Waits as often as it is asked, but only `left_s` seconds in all."""

    left_s: float
    sleep: Callable[[float], None] = time.sleep

    def wait(self, seconds: float) -> bool:
        """Wait so long, or as long as there is patience; False when there is none left."""
        if self.left_s <= 0:
            return False
        now_s = min(seconds, self.left_s)
        self.left_s -= now_s
        self.sleep(now_s)
        return True
