"""
A git repository that is read: the source trees of runs, rebuilt beside it, and the difference between two.

Nothing in a patch or a repository is executed, and nothing of the repository is changed: trees are rebuilt in an index
and an object folder of their own, without hooks, filters, external diff programs or transports.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from trackbridge.errors import NotFoundError
from trackbridge.settings import git_environment
from trackbridge.store.code import RecordedCode

TIMEOUT_S = 30.0

_CONFIG = (
    "core.fsmonitor=false",
    "core.quotePath=false",
    f"core.hooksPath={os.devnull}",
    # Without this, a partial clone would go and fetch what it lacks, by whatever program it is told to.
    "protocol.allow=never",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.relative=false",
)
_DIFF = "diff --no-color --no-ext-diff --no-textconv --no-renames --submodule=short --ignore-submodules=none".split()


class Repository:
    """A repository that holds the commits of some runs, open for reading until the `with` block ends."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self._folder = folder
        objects = Path(_git(folder, ["rev-parse", "--git-path", "objects"], git_environment()).decode().strip())
        self._variables = {
            "GIT_INDEX_FILE": str(scratch / "index"),
            "GIT_OBJECT_DIRECTORY": str(scratch),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(folder / objects),
        }

    def source(self, code: RecordedCode) -> tuple[str, RecordedCode]:
        """The id of the tree that a run's commit and uncommitted changes make, and what is known of its code by then.

        Changes that do not apply, such as those in which a password was masked, are left out, and `lacking` says so.
        """
        assert code.commit is not None
        self._git("read-tree", code.commit)
        try:
            if code.patch:
                self._git("apply", "--cached", "--whitespace=nowarn", "-", stdin=code.patch)
        except NotFoundError as error:
            code = replace(code, lacking=f"has uncommitted changes that do not apply to its commit ({error})")
        return self._git("write-tree").decode().strip(), code

    def changes(self, tree: str, other: str) -> str:
        """The unified diff from one tree to another; empty where they are the same."""
        return self._git(*_DIFF, tree, other, "--").decode("utf-8", "replace")

    def _git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        return _git(self._folder, arguments, git_environment(**self._variables), stdin)


@contextmanager
def repository_with(codes: Sequence[RecordedCode], beside: Path) -> Iterator[Repository]:
    """The repository that holds the commits of all these runs: where they recorded it, or where `beside` lies.

    Raises:
        NotFoundError: none of these places has one that does.
    """
    places = list(dict.fromkeys([*(Path(code.folder) for code in codes if code.folder), beside]))
    commits = [code.commit for code in codes if code.commit]
    found = next((top for place in places if (top := _repository_at(place, commits))), None)
    if found is None:
        wanted = " and ".join(dict.fromkeys(commit[:12] for commit in commits))
        looked = ", ".join(map(str, places))
        raise NotFoundError(f"no repository with {wanted} is at hand (looked in {looked})")
    with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
        yield Repository(found, Path(scratch))


def _repository_at(place: Path, commits: Sequence[str]) -> Path | None:
    """The top folder of the repository around a place, if it has all the commits."""
    if not place.is_dir():
        return None
    try:
        top = Path(_git(place, ["rev-parse", "--show-toplevel"], git_environment()).decode().rstrip("\n"))
        for commit in commits:
            _git(top, ["cat-file", "-e", f"{commit}^{{tree}}"], git_environment())
    except NotFoundError:
        return None
    return top


def _git(folder: Path, arguments: Sequence[str], environment: dict[str, str], stdin: bytes = b"") -> bytes:
    config = [part for setting in _CONFIG for part in ("-c", setting)]
    command = ["git", "--no-optional-locks", "--no-pager", *config, *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        raise NotFoundError(f"git cannot be started ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise NotFoundError(f"git {arguments[0]} took longer than {TIMEOUT_S:.0f} s") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines()
        raise NotFoundError(f"git {arguments[0]}: {lines[0] if lines else f'exit code {done.returncode}'}")
    return done.stdout
