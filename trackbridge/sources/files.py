"""Files that a source names: opened only where they lie inside of what was given to import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from trackbridge.errors import SourceRefused
from trackbridge.sources.base import SourceFile

MAX_NAME = 1_000
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:")


def checked_name(name: str, *, named_by: str) -> str:
    """A relative name without `..`, as it came.

    Raises:
        SourceRefused: it is absolute, leads out of its folder, holds control characters or is absurdly long.
    """
    if len(name) > MAX_NAME:
        raise SourceRefused(f"{named_by} names a file of {len(name)} characters: {name[:60]!r}...")
    if not name or _ABSOLUTE.match(name) or ".." in re.split(r"[/\\]", name) or any(ord(c) < 32 for c in name):
        raise SourceRefused(f"{named_by} names {name!r}, which leads out of its folder: nothing of it is imported")
    return name


def file_inside(folder: Path, name: str, *, named_by: str, also: Sequence[Path] = ()) -> SourceFile | None:
    """A file of this relative name below a folder; None where there is none, or a link that leads elsewhere.

    Args:
        folder: what the name starts from.
        name: as the source has it.
        named_by: who names it, for the error.
        also: folders into which a link may lead.

    Raises:
        SourceRefused: the name itself leads out of the folder.
    """
    path = folder / checked_name(name, named_by=named_by)
    return _source_file(name, path, [folder, *also])


def file_outside(path: str, *, allowed: Sequence[Path]) -> SourceFile | None:
    """A file that the source names by absolute path; None unless it lies in a folder that the user allowed."""
    return _source_file(Path(path).name, Path(path), allowed)


def _source_file(name: str, path: Path, allowed: Sequence[Path]) -> SourceFile | None:
    try:
        real = path.resolve(strict=True)
        is_inside = any(real.is_relative_to(folder.resolve()) for folder in allowed)
        return SourceFile(name, partial(_opened, real)) if is_inside and real.is_file() else None
    except (OSError, ValueError, RuntimeError):
        # Gone, a loop of links, or no name that the file system takes.
        return None


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, path.open("rb"))
