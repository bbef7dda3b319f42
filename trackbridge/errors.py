"""
The errors trackbridge raises, all under one root:

* TrackbridgeError
  x MisuseError (also a ValueError)   the caller passed something that cannot be recorded
    + RunClosedError                  a verb was called on a run that has ended
  x SettingsError                     a setting has a value it cannot have
  x PipelineConfigError               a fine-tuning config is wrong; names the key and the nearest known one
  x DataError                         a data file is not what the config says it is
  x SourceRefused                     something to import was made to do harm: nothing of that run is imported
  x SourceUnavailable                 a server to import from does not answer, or does not take the key
  x NotFoundError (also a LookupError)  no such run, metric, scope or file; names the nearest known ones
  x JournalWriteError (also an OSError) the disk refused a line and `strict` was asked for
  x MissingDependencyError (also an ImportError)  an extra is not installed; names the install command
  x DeliveryError                     a tracker did not take what was delivered; training never sees these
    + TransientDeliveryError          try again later: outage, timeout, rate limit
    + DeliveryRefused                 this tracker stops until a person mends it: no key, no permission, quota
    + AdapterBug                      the adapter or its SDK failed in a way nobody foresaw

In a training process only `MisuseError` is raised unless `strict` is set: trouble with the disk is
counted, warned about once per kind, and recorded as `events_dropped`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TrackbridgeError(Exception):
    """The root of every error trackbridge raises on purpose."""


class MisuseError(TrackbridgeError, ValueError):
    """The caller passed something that cannot be recorded; the message names the value and the fix."""


class RunClosedError(MisuseError):
    """A verb was called on a run that has already ended."""


class SettingsError(TrackbridgeError, ValueError):
    """A setting (argument, environment variable or pyproject key) has a value it cannot have."""


class PipelineConfigError(TrackbridgeError, ValueError):
    """A fine-tuning config is wrong; the message names the key and the nearest known one."""


class DataError(TrackbridgeError, ValueError):
    """A data file is not what the config says it is; the message names file, line and column."""


class SourceRefused(TrackbridgeError):
    """Something to import leads out of its folder or was made to exhaust the machine; names what, and where."""


class SourceUnavailable(TrackbridgeError):
    """A server to import from does not answer, or does not take the key; says what to do."""


class NotFoundError(TrackbridgeError, LookupError):
    """No such run, metric, scope or file; the message names the nearest known ones."""


class JournalWriteError(TrackbridgeError, OSError):
    """The disk refused a journal line while `strict` was set."""


class MissingDependencyError(TrackbridgeError, ImportError):
    """An optional dependency is not installed; the message names the install command."""

    @classmethod
    def for_extra(cls, needed_by: str, package: str, extra: str) -> MissingDependencyError:
        """An error that says who needs `package` and how to install it."""
        return cls(f"{needed_by} needs the {package} package: pip install 'trackbridge[{extra}]'")


class DeliveryError(TrackbridgeError):
    """A tracker did not take what was delivered; raised in the relay, never in a training process."""


class TransientDeliveryError(DeliveryError):
    """Try again later: an outage, a timeout, a rate limit. `retry_after_s` is the server's wish, if it had one."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeliveryRefused(DeliveryError):
    """This tracker stops until a person mends it: no key, no permission, quota; the message names the command."""


class AdapterBug(DeliveryError):
    """The adapter or its SDK failed in a way nobody foresaw; this adapter stops for this run, the others go on."""


def nearest(name: str, known: Iterable[str], *, limit: int = 12) -> str:
    """The tail of a "not found" message: the known names, and the likeliest one meant.

    Returns " (known: a, b, c); did you mean 'b'?", shortened to `limit` names.
    """
    names = sorted(set(known))
    if not names:
        return " (there are none)"
    shown = ", ".join(names[:limit]) + (f", and {len(names) - limit} more" if len(names) > limit else "")
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f" (known: {shown})" + (f"; did you mean {close[0]!r}?" if close else "")
