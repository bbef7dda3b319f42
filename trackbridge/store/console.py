"""What a run printed last, without secrets: for trackers and for people."""

from __future__ import annotations

from pathlib import Path

from trackbridge.events.redact import is_secret_variable, mask_text
from trackbridge.journal.console import console_text
from trackbridge.settings import variables_named
from trackbridge.store.records import RunRecord

MAX_LINES = 100
MAX_BYTES = 16_000


def last_words(run_folder: Path) -> str:
    """The last 100 lines that the last session of a run printed, 16 kB at most; "" when none were kept.

    Masked are the credentials in this process's environment, and whatever has the shape of one.
    """
    # Masked first: the half of a key that a cut leaves has no shape any more.
    text = mask_text(console_text(run_folder), secrets=variables_named(is_secret_variable))
    lines = text.split("\n")[-MAX_LINES:]
    return "\n".join(lines).encode()[-MAX_BYTES:].decode("utf-8", "ignore")


def printed_last(run: RunRecord) -> list[str]:
    """The last lines of a run that failed, was killed or is lost; none of one that goes on or ended well."""
    if run.status in ("running", "finished"):
        return []
    text = last_words(Path(run.path))
    return text.split("\n") if text else []
