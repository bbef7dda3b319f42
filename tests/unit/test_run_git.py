"""The git state of a run: commit, branch, patch and untracked files, from a git that is asked and not trusted."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.events.models import EnvironmentCaptured
from trackbridge.events.redact import MASK
from trackbridge.run import git
from trackbridge.run.environment import capture
from trackbridge.testing.written import events_of

TOKEN = "hf_" + "abcdefghij" * 3
Git = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A git repository with one committed file as the current folder; runs git commands in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    # Nobody's own configuration, and no time limit that a busy machine could miss.
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setattr(git, "TIMEOUT_S", 20.0)

    def run_git(*arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
        return subprocess.run(
            ["git", *identity, *arguments], check=True, capture_output=True, text=True, cwd=folder
        ).stdout.strip()

    run_git("init", "-q")
    (folder / "train.py").write_text("lr = 1\n")
    run_git("add", ".")
    run_git("commit", "-qm", "begin")
    return run_git


def git_state(tmp_path: Path, limit_bytes: int = 1_000_000) -> dict[str, Any]:
    found = capture(tmp_path / "files", patch_limit_bytes=limit_bytes)["git"]
    assert isinstance(found, dict)
    return found


def put_on_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program called git that is found before the real one."""
    folder.mkdir()
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_clean_repository_is_told_by_its_commit(repository: Git, tmp_path: Path) -> None:
    repository("remote", "add", "origin", "https://ada:hunter2@example.org/cola.git")

    found = git_state(tmp_path)

    assert found == {
        "commit": repository("rev-parse", "HEAD"),
        "branch": "main",
        "folder": repository("rev-parse", "--show-toplevel"),
        "remote": f"https://ada:{MASK}@example.org/cola.git",
        "untracked": [],
        "dirty": False,
    }
    assert not (tmp_path / "files").exists()


def test_uncommitted_changes_are_kept_as_a_patch_that_restores_them(repository: Git, tmp_path: Path) -> None:
    Path("train.py").write_text("lr = 2\n")
    Path("staged.bin").write_bytes(bytes(range(256)))
    repository("add", "staged.bin")

    found = git_state(tmp_path)
    patch = tmp_path / found["patch"]
    repository("reset", "-q", "--hard")
    repository("apply", str(patch))

    assert found["dirty"] is True
    assert found["patch_bytes"] == patch.stat().st_size
    assert Path("train.py").read_text() == "lr = 2\n"
    assert Path("staged.bin").read_bytes() == bytes(range(256))


def test_the_patch_covers_the_whole_repository_from_a_folder_in_it(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("train.py").write_text("lr = 2\n")
    Path("new.py").write_text("")
    Path("inner").mkdir()
    monkeypatch.chdir("inner")

    found = git_state(tmp_path)

    assert b"a/train.py" in (tmp_path / found["patch"]).read_bytes()
    assert found["untracked"] == ["new.py"]


def test_untracked_files_are_named_and_do_not_make_a_repository_dirty(repository: Git, tmp_path: Path) -> None:
    Path(".gitignore").write_text("ignored\n")
    repository("add", ".gitignore")
    repository("commit", "-qm", "ignore")
    for name in ("ignored", "sweep.py", "größe 🙂.py", "trackbridge-runs/cola/journal"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")

    found = git_state(tmp_path)

    assert found["untracked"] == ["größe 🙂.py", "sweep.py", "trackbridge-runs/"]
    assert found["dirty"] is False


def test_many_untracked_files_are_counted(repository: Git, tmp_path: Path) -> None:
    for number in range(60):
        Path(f"{number:02}.py").write_text("")

    found = git_state(tmp_path)

    assert found["untracked"] == [f"{number:02}.py" for number in range(50)]
    assert found["untracked_omitted"] == 10


def test_a_patch_over_the_limit_is_left_out_and_told(repository: Git, tmp_path: Path) -> None:
    Path("train.py").write_text("x" * 5000)

    found = git_state(tmp_path, limit_bytes=4000)

    assert found["dirty"] is True
    assert re.fullmatch(r"5\d\d\d bytes, more than the limit of 4000", found["patch_omitted"])
    assert "patch" not in found
    assert not (tmp_path / "files").exists()


def test_a_limit_of_zero_keeps_no_patch(repository: Git, tmp_path: Path) -> None:
    Path("train.py").write_text("lr = 2\n")

    assert git_state(tmp_path, limit_bytes=0)["dirty"] is True
    assert not (tmp_path / "files").exists()


def test_secrets_in_a_patch_are_masked(repository: Git, tmp_path: Path) -> None:
    Path("train.py").write_text(f"login('{TOKEN}')\n")

    patch = (tmp_path / git_state(tmp_path)["patch"]).read_text()

    assert TOKEN not in patch
    assert f"+login('{MASK}')" in patch


def test_a_resumed_run_keeps_the_patch_of_each_session(repository: Git, tmp_path: Path) -> None:
    for lr in (2, 3):
        Path("train.py").write_text(f"lr = {lr}\n")
        with tb.start_run("patches", root=tmp_path / "runs", run_id="0" * 31 + "1") as run:
            pass

    patches = [event.environment["git"]["patch"] for event in events_of(run.path, EnvironmentCaptured)]
    assert [b"+lr = 2" in (run.path / patches[0]).read_bytes(), b"+lr = 3" in (run.path / patches[1]).read_bytes()] == [
        True,
        True,
    ]


def test_a_detached_head_is_no_branch(repository: Git, tmp_path: Path) -> None:
    repository("checkout", "-q", "--detach")

    assert git_state(tmp_path)["branch"] is None


def test_what_a_repository_configures_is_not_started(repository: Git, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {touched}\nsleep 5\n")
    hook.chmod(0o755)
    for setting in ("core.pager", "diff.external", "core.fsmonitor", "diff.slow.textconv", "pager.diff"):
        repository("config", setting, str(hook))
    repository("config", "color.ui", "always")
    repository("config", "diff.noprefix", "true")
    Path(".gitattributes").write_text("*.py diff=slow\n")
    repository("-c", "core.fsmonitor=false", "add", ".gitattributes")
    repository("-c", "core.fsmonitor=false", "commit", "-qm", "attributes")
    Path("train.py").write_text("lr = 2\n")

    found = git_state(tmp_path)

    assert found["dirty"] is True
    assert b"--- a/train.py" in (tmp_path / found["patch"]).read_bytes()
    assert not touched.exists()


def test_no_repository_is_told_in_gits_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(git, "TIMEOUT_S", 20.0)

    found = git_state(tmp_path)

    assert list(found) == ["error"]
    assert found["error"].startswith("git rev-parse: fatal: ")


def test_a_repository_of_someone_else_is_told_in_gits_own_words(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # git's own switch for testing what it refuses as "dubious ownership".
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    assert "dubious ownership" in git_state(tmp_path)["error"]


def test_a_repository_without_a_commit_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "TIMEOUT_S", 20.0)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    assert "git rev-parse: " in git_state(tmp_path)["error"]


def test_a_machine_without_git_has_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    found = capture(tmp_path, patch_limit_bytes=0)

    assert found["git"]["error"].startswith("FileNotFoundError: ")
    assert [name for name, value in found.items() if isinstance(value, dict) and "error" in value] == ["git"]


@pytest.mark.parametrize("script", ["#!/bin/sh\nsleep 5\n", "#!/bin/sh\ntrap '' TERM\nsleep 5 & wait\n"])
def test_a_git_that_hangs_is_given_up_after_a_fraction_of_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    put_on_path(tmp_path / "bin", script, monkeypatch)

    began = time.monotonic()
    found = git_state(tmp_path)
    took_s = time.monotonic() - began

    assert found == {"error": f"git rev-parse took longer than {git.TIMEOUT_S} s"}
    assert took_s < 3


def test_a_diff_that_hangs_leaves_the_commit_known(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "TIMEOUT_S", 1.5)
    real = subprocess.run(["which", "git"], check=True, capture_output=True, text=True).stdout.strip()
    script = f'#!/bin/sh\ncase "$*" in *"diff HEAD"*|*ls-files*) sleep 5;; *) exec {real} "$@";; esac\n'
    commit = repository("rev-parse", "HEAD")
    put_on_path(tmp_path / "bin", script, monkeypatch)

    found = git_state(tmp_path)

    assert found["commit"] == commit
    assert (found["dirty"], found["untracked"]) == (None, None)
    assert found["error"] == "git diff took longer than 1.5 s"
