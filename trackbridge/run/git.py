"""The git state of the folder a run was started in: commit, branch, what is not committed.

git is asked, not trusted: it gets a bounded time, and nothing that a repository or a user may configure (pagers,
external diff programs, text conversion, file system monitors, prompts) is started for it.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path
from typing import Any

from trackbridge.events.redact import mask_text
from trackbridge.run import files
from trackbridge.run.credentials import credentials

TIMEOUT_S = 0.3
MAX_UNTRACKED = 50
_CONFIG = ("core.fsmonitor=false", "core.quotePath=false", "diff.noprefix=false", "diff.mnemonicPrefix=false")
_QUESTIONS = {
    "state": "rev-parse HEAD --abbrev-ref HEAD --show-toplevel",
    "diff": "diff HEAD --no-color --no-ext-diff --no-textconv --binary",
    "untracked": "ls-files -z --others --exclude-standard --directory --no-empty-directory --full-name :/",
    "remote": "config --get remote.origin.url",
}


class Git:
    """Questions to git that are on their way: all at once, so that git works while Python looks elsewhere."""

    def __init__(self) -> None:
        self._deadline_s = time.monotonic() + TIMEOUT_S
        self._error: OSError | None = None
        self._asked: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, question in _QUESTIONS.items():
                self._asked[name] = _ask(question.split())
        except OSError as error:
            self._error = error

    def state(self, files_folder: Path, patch_limit_bytes: int) -> dict[str, Any]:
        """Commit, branch, folder and remote; the uncommitted diff of tracked files becomes a file in `files_folder`.

        `dirty` tells of tracked files only: a run's own folder may be untracked. `untracked` names the others, a
        folder of them as one name; None when git took too long to find them.

        Raises:
            OSError: git cannot be started, or the patch not be written.
        """
        answers = {name: _answer(process, self._deadline_s) for name, process in self._asked.items()}
        if self._error is not None:
            raise self._error
        state = answers["state"]
        if state is None or state.returncode:
            return {"error": _reason("rev-parse", state)}
        commit, branch, folder = state.stdout.decode("utf-8", "replace").split("\n")[:3]
        # A detached HEAD is called HEAD.
        found: dict[str, Any] = {"commit": commit, "branch": None if branch == "HEAD" else branch, "folder": folder}
        if (remote := answers["remote"]) is not None and remote.stdout:
            found["remote"] = mask_text(remote.stdout.decode("utf-8", "replace").strip())
        untracked = answers["untracked"]
        found |= {"untracked": None} if untracked is None else _untracked(untracked.stdout)
        diff = answers["diff"]
        if diff is None or diff.returncode:
            return {**found, "dirty": None, "error": _reason("diff", diff)}
        return {**found, "dirty": bool(diff.stdout), **_patch(diff.stdout, files_folder, patch_limit_bytes)}


def _ask(arguments: list[str]) -> subprocess.Popen[bytes]:
    config = [part for setting in _CONFIG for part in ("-c", setting)]
    return subprocess.Popen(
        ["git", "--no-optional-locks", *config, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _answer(process: subprocess.Popen[bytes], deadline_s: float) -> subprocess.CompletedProcess[bytes] | None:
    """What git said; None when it took too long."""
    try:
        out, err = process.communicate(timeout=max(0.01, deadline_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        # Not read to the end: a program that git started may hold the pipes open for as long as it likes.
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
        return None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _reason(question: str, answer: subprocess.CompletedProcess[bytes] | None) -> str:
    if answer is None:
        return f"git {question} took longer than {TIMEOUT_S} s"
    lines = answer.stderr.decode("utf-8", "replace").splitlines()
    return f"git {question}: {lines[0] if lines else f'exit code {answer.returncode}'}"


def _untracked(names: bytes) -> dict[str, Any]:
    found = [name.decode("utf-8", "replace") for name in names.split(b"\0") if name]
    omitted = len(found) - MAX_UNTRACKED
    return {"untracked": found[:MAX_UNTRACKED], **({"untracked_omitted": omitted} if omitted > 0 else {})}


def _patch(diff: bytes, files_folder: Path, limit_bytes: int) -> dict[str, Any]:
    if not diff or limit_bytes == 0:
        return {}
    if len(diff) > limit_bytes:
        return {"patch_omitted": f"{len(diff)} bytes, more than the limit of {limit_bytes}"}
    masked = mask_text(diff.decode("utf-8", "surrogateescape"), secrets=credentials()).encode(
        "utf-8", "surrogateescape"
    )
    # Each session of a run may have a patch of its own.
    name = f"uncommitted-{hashlib.sha256(masked).hexdigest()[:12]}.patch"
    files.write_once(files_folder / name, masked)
    return {"patch": f"files/{name}", "patch_bytes": len(masked)}
