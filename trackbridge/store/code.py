"""The code a run was started from, as it recorded it: the commit, and the patch of what was not committed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbridge.store.records import RunRecord

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Journals come from anywhere: no path but the one a run writes its patch to is opened.
_PATCH = re.compile(r"files/uncommitted-(?P<digest>[0-9a-f]{12})\.patch")


@dataclass(frozen=True, slots=True)
class RecordedCode:
    """What is known of a run's code.

    `commit` is None where none was recorded. `patch` has the changes that were not committed, empty where there were
    none; `lacking` says why it is not all there is to know. `folder` is where the repository lay. `untracked` names
    files beside it whose content nobody recorded.
    """

    commit: str | None
    patch: bytes = b""
    lacking: str = ""
    folder: str | None = None
    untracked: tuple[str, ...] = ()


def recorded_code(run: RunRecord) -> RecordedCode:
    """The code of a run, with the patch read from its folder and held against its digest."""
    state = run.environment.get("git")
    if not isinstance(state, Mapping):
        return RecordedCode(None, lacking="recorded no state of git")
    commit = state.get("commit")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        return RecordedCode(None, lacking=f"recorded no commit ({state.get('error') or 'none in its environment'})")
    patch, lacking = _patch(Path(run.path), state)
    untracked, folder = state.get("untracked"), state.get("folder")
    return RecordedCode(
        commit=commit,
        patch=patch,
        lacking=lacking,
        folder=folder if isinstance(folder, str) else None,
        untracked=tuple(map(str, untracked)) if isinstance(untracked, (list, tuple)) else (),
    )


def _patch(run_folder: Path, state: Mapping[str, Any]) -> tuple[bytes, str]:
    """The patch and why it lacks something."""
    if state.get("dirty") is None:
        return b"", f"did not record its uncommitted changes ({state.get('error') or 'no reason told'})"
    if not state["dirty"]:
        return b"", ""
    told = state.get("patch")
    named = _PATCH.fullmatch(told) if isinstance(told, str) else None
    if named is None:
        return b"", f"did not keep its uncommitted changes ({state.get('patch_omitted') or 'no patch is named'})"
    try:
        patch = (run_folder / named[0]).read_bytes()
    except OSError as error:
        return b"", f"has uncommitted changes that cannot be read ({error.strerror})"
    if hashlib.sha256(patch).hexdigest()[:12] != named["digest"]:
        return b"", "has a file of uncommitted changes that is not what was recorded"
    return patch, ""
