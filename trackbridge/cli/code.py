"""What `trackbridge diff --code` looks up: the code of two runs, in whatever repository is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trackbridge.comparison.code import CodeDifference, compare_code
from trackbridge.errors import NotFoundError
from trackbridge.store.code import RecordedCode, recorded_code
from trackbridge.store.records import RunRecord
from trackbridge.store.repository import repository_with


def code_differences(runs: Sequence[RunRecord], names: Sequence[str]) -> list[CodeDifference]:
    """How the code of each run differs from that of the first; `names` are theirs, made unique."""
    reference, *others = map(recorded_code, runs)
    return [_difference((names[0], name), reference, other) for name, other in zip(names[1:], others, strict=True)]


def _difference(names: tuple[str, str], one: RecordedCode, other: RecordedCode) -> CodeDifference:
    if one.commit is None or other.commit is None:
        return compare_code(names, one, other, None)
    try:
        with repository_with([one, other], beside=Path.cwd()) as repository:
            (one_tree, one), (other_tree, other) = repository.source(one), repository.source(other)
            changes = repository.changes(one_tree, other_tree)
    except NotFoundError as error:
        return compare_code(names, one, other, None, str(error))
    return compare_code(names, one, other, changes)
