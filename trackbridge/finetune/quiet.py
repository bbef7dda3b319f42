"""Silence around a training: transformers' own bars and remarks would tear the study's display apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import transformers


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """A stretch of code in which transformers shows no bars and tells errors only."""
    messages = transformers.utils.logging
    verbosity, has_bars = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity_error()
    messages.disable_progress_bar()
    try:
        yield
    finally:
        messages.set_verbosity(verbosity)
        if has_bars:
            messages.enable_progress_bar()
