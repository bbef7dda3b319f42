"""The difference between the code of two runs, and what about it cannot be known."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from trackbridge.store.code import RecordedCode

MAX_NAMED = 4


@dataclass(frozen=True, slots=True)
class CodeDifference:
    """How the code of one run became that of another.

    `changes` is a unified diff, from the one to the other; where the sources could not be compared as a whole, it
    is that of their uncommitted changes alone, and `is_complete` is False. `remarks` say what was compared and what
    is not known.
    """

    names: tuple[str, str]
    commits: tuple[str | None, str | None]
    changes: str
    is_complete: bool
    remarks: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The result, to be read on its own."""
        one, other = self.names
        if not self.is_complete:
            return f"the code of {one} and {other} can be compared in part only"
        if not self.changes:
            return f"{one} and {other} ran the same code"
        files = sum(line.startswith("diff --git ") for line in self.changes.splitlines())
        return f"the code of {one} and {other} differs in {files} file{'s' if files > 1 else ''}"


def compare_code(
    names: tuple[str, str], one: RecordedCode, other: RecordedCode, changes: str | None, lacking: str = ""
) -> CodeDifference:
    """The difference between the code of two runs.

    Args:
        names: of the two runs.
        one: what the first one recorded.
        other: what the second one recorded.
        changes: the unified diff between their whole sources; None where they could not be had.
        lacking: why not.
    """
    remarks = [f"{name} {code.lacking}" for name, code in zip(names, (one, other), strict=True) if code.lacking]
    remarks += [lacking] if lacking else []
    if changes is None:
        changes = _changes_of_patches(names, one.patch, other.patch)
        remarks.append(_about_patches(one.patch, other.patch))
        is_complete = False
    else:
        is_complete = not remarks
    for name, code in zip(names, (one, other), strict=True):
        remarks += _about_untracked(name, code.untracked)
    return CodeDifference(names, (one.commit, other.commit), changes, is_complete, tuple(remarks))


def _changes_of_patches(names: tuple[str, str], one: bytes, other: bytes) -> str:
    left, right = (patch.decode("utf-8", "replace").splitlines() for patch in (one, other))
    title, other_title = (f"uncommitted changes of {name}" for name in names)
    lines = difflib.unified_diff(left, right, title, other_title, lineterm="")
    return "".join(f"{line}\n" for line in lines)


def _about_patches(one: bytes, other: bytes) -> str:
    if not one and not other:
        return "neither has uncommitted changes that were kept"
    if one == other:
        return "the uncommitted changes of both are the same"
    return "below are the changes between their uncommitted changes alone"


def _about_untracked(name: str, untracked: tuple[str, ...]) -> Iterator[str]:
    if untracked:
        more = f" and {len(untracked) - MAX_NAMED} more" if len(untracked) > MAX_NAMED else ""
        shown = ", ".join(untracked[:MAX_NAMED])
        yield f"beside the code of {name} lay files that git does not track, of unknown content: {shown}{more}"
