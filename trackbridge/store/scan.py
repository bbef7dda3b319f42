"""What lies below a root: run folders, their journal files, and whether these may have changed since a look."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from time import time_ns
from typing import TypeAlias

from trackbridge.journal.paths import JOURNAL_GLOB, run_folder_names

Stamp: TypeAlias = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, and inode of a file: when all are equal, it is not read again."""

_Listing: TypeAlias = tuple[int | None, list[str]]
# A file may be made in the same tick of the file system's clock as the look before it.
_SETTLED_NS = 2_000_000_000
_INT64 = 2**63 - 1


@dataclass(slots=True)
class RootScan:
    """Looks at a root, again and again. What it keeps between looks saves listing folders that did not change."""

    root: Path
    _listed: dict[str, _Listing] = field(default_factory=dict)

    def look(self) -> dict[str, dict[str, Stamp]]:
        """Per run folder (`project/run_id`) that has any, its journal files with their stamps."""
        found = {}
        before, self._listed = self._listed, {}
        for name in run_folder_names(self.root):
            folder = f"{self.root}/{name}"
            try:
                stamps = {file: stamp(f"{folder}/{file}") for file in self._journals(folder, before.get(folder))}
            except OSError:
                # A run that is being deleted, or that we may not look into, is no run for now.
                continue
            if stamps:
                found[name] = stamps
        return found

    def _journals(self, folder: str, known: _Listing | None) -> list[str]:
        changed_ns = os.stat(folder).st_mtime_ns
        if known is None or known[0] != changed_ns:
            is_settled = changed_ns < time_ns() - _SETTLED_NS
            names = sorted(name for name in os.listdir(folder) if fnmatch(name, JOURNAL_GLOB))
            known = (changed_ns if is_settled else None, names)
        self._listed[folder] = known
        return known[1]


def stamp(path: str) -> Stamp:
    """The stamp of a file.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    status = os.stat(path)
    # Some Windows file systems have inodes of 128 bits.
    return status.st_size, status.st_mtime_ns, status.st_ino & _INT64
