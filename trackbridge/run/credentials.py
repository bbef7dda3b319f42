"""The credentials of this process, which must not reach a journal wherever they turn up."""

from __future__ import annotations

from trackbridge.events.redact import is_secret_name
from trackbridge.settings import variables_named


def credentials() -> list[str]:
    """What the environment variables hold whose names say so, such as `WANDB_API_KEY`."""
    return variables_named(is_secret_name)
