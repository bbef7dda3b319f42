"""
Where things lie: `<root>/<project>/<run_id>/journal-<writer_id>.jsonl`, with the run's files beside it.

Run and writer ids are UUIDv7 in 32 lower-case hex digits, so they sort by the time they were made.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

JOURNAL_GLOB = "journal-*.jsonl"
FILES_FOLDER = "files"
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def new_id() -> str:
    """A new UUIDv7 as 32 lower-case hex digits (RFC 9562, section 5.7): 48 bits of milliseconds, then random."""
    milliseconds = time.time_ns() // 1_000_000
    # From the system itself: the module `secrets` costs 4 ms to import.
    random_bits = int.from_bytes(os.urandom(10), "big") >> 6
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (random_bits >> 62) << 64
    return f"{value | 0b10 << 62 | random_bits & (1 << 62) - 1:032x}"


def is_run_id(text: str) -> bool:
    """True for 32 lower-case hex digits."""
    return _RUN_ID.fullmatch(text) is not None


def run_folder(root: Path, project: str, run_id: str) -> Path:
    """The folder of one run."""
    return root / project / run_id


def journal_file(folder: Path, writer_id: str) -> Path:
    """The journal of one writer in a run folder."""
    return folder / f"journal-{writer_id}.jsonl"


def files_folder(folder: Path) -> Path:
    """The folder for media, patches and kept checkpoints of a run."""
    return folder / FILES_FOLDER


def kept_folder(folder: Path, step: int) -> Path:
    """The run's own copy of its checkpoint at a step, whether there is one or not."""
    return files_folder(folder) / "checkpoints" / f"step-{step}"


def features_folder(root: Path) -> Path:
    """The folder for what frozen encoders computed, below a root; it is a cache, and as a hidden one no project."""
    return root / ".features"


def draft_path(path: Path) -> Path:
    """A new name beside a path, under which a process writes what gets that path once it is whole."""
    return path.with_name(f".{path.name}.{new_id()}")


def is_draft(path: Path) -> bool:
    """True for a name that `draft_path` gives."""
    start, _, suffix = path.name.rpartition(".")
    return start.startswith(".") and is_run_id(suffix)


def journal_files(folder: Path) -> list[Path]:
    """The journals in a run folder, oldest writer first; empty when there are none."""
    return sorted(folder.glob(JOURNAL_GLOB))


def run_folders(root: Path) -> Iterator[Path]:
    """Every run folder below a root, in no particular order; a folder that vanishes meanwhile is left out."""
    return (root / name for name in run_folder_names(root))


def run_folder_names(root: Path) -> Iterator[str]:
    """The same as `project/run_id`: a path object for each of thousands takes longer than finding them."""
    for project in _subfolders(root):
        if not project.name.startswith("."):
            yield from (f"{project.name}/{run.name}" for run in _subfolders(project) if is_run_id(run.name))


def _subfolders(folder: os.PathLike[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if _is_folder(entry)]
    except OSError:
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself must not hide its neighbours.
        return False
