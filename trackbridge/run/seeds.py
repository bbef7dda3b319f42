"""
The three seeds of a fine-tuning run, kept apart: initial weights, data order, dropout.

Seeds that a step or a purpose needs are derived by hashing, never by adding: with `seed + epoch`, as in
`accelerate`'s sampler, data seed 41 in its second epoch shuffles like seed 42 in its first.
"""

from __future__ import annotations

import hashlib
import random
import sys
from dataclasses import dataclass

from trackbridge.errors import MisuseError


def derive(*parts: str | int) -> int:
    """A seed of 31 bits from named parts: BLAKE2b of their text, so that neighbours have nothing in common."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of a run; None where the user set none. `all` is short for setting the three to one number.

    Raises:
        MisuseError: a seed is no integer between 0 and 2**32 - 1, or `all` is given beside another.
    """

    init: int | None = None
    data: int | None = None
    dropout: int | None = None
    all: int | None = None

    def __post_init__(self) -> None:
        for name in ("init", "data", "dropout", "all"):
            seed = getattr(self, name)
            if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
                raise MisuseError(f"seed {name!r} is {seed!r}; expected an integer from 0 to 4294967295")
        if self.all is not None:
            if not self.init is self.data is self.dropout is None:
                raise MisuseError("give either `all` or the single seeds, not both")
            for name in ("init", "data", "dropout"):
                object.__setattr__(self, name, self.all)

    def apply(self) -> None:
        """Seed python's and numpy's generators from `data`, and torch's (every device) from `init`.

        Only what is already imported is seeded. Build the model next; then use `step_seed` before each
        update, so that dropout depends on its own seed and the step alone.
        """
        if self.data is not None:
            random.seed(derive("data", self.data))
            if (numpy := sys.modules.get("numpy")) is not None:
                numpy.random.seed(derive("data", self.data))
        if self.init is not None and (torch := sys.modules.get("torch")) is not None:
            torch.manual_seed(self.init)

    def step_seed(self, step: int, rank: int = 0) -> int:
        """The seed for dropout at one step: `torch.manual_seed(seeds.step_seed(step))` before the update.

        It depends on nothing but the dropout seed, the step and the rank, so a resumed run draws the same
        masks, and an evaluation in between changes none.
        """
        return derive("dropout", self.dropout if self.dropout is not None else 0, step, rank)
