"""Exit codes, the same for every command; docs/cli.md lists them."""

from __future__ import annotations

from typing import Final

from trackbridge.errors import (
    JournalWriteError,
    MissingDependencyError,
    NotFoundError,
    TrackbridgeError,
)

OK: Final = 0
FOUND_PROBLEMS: Final = 1
MISUSE: Final = 2
NOT_FOUND: Final = 3
NOT_INSTALLED: Final = 4
CANNOT_WRITE: Final = 5
CANNOT_TELL: Final = 6
INTERRUPTED: Final = 130
# 128 and the number of SIGPIPE, which ends other tools; Python ignores it, lest a lost connection end a program.
READER_GONE: Final = 141

_CODES: tuple[tuple[type[Exception], int], ...] = (
    (NotFoundError, NOT_FOUND),
    (MissingDependencyError, NOT_INSTALLED),
    (JournalWriteError, CANNOT_WRITE),
    (TrackbridgeError, MISUSE),
)


def exit_code(error: TrackbridgeError) -> int:
    """The exit code for an error; what has none of its own is the caller's misuse."""
    return next(code for kind, code in _CODES if isinstance(error, kind))
