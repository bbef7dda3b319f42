"""`diff --code`: the code of two runs that were really recorded in a real repository, and what may be missing of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_kit import ESCAPE, call

import trackbridge as tb
from trackbridge.run import git
from trackbridge.settings import git_environment
from trackbridge.store import repository as store_repository

Capture = pytest.CaptureFixture[str]
Git = Callable[..., str]
TOKEN = "hf_" + "abcdefghij" * 3


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository with one committed file as the current folder, and a root beside it; runs git commands there."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRACKBRIDGE_ROOT", str(tmp_path / "runs"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    # A busy machine must not decide whether a run knows its commit.
    monkeypatch.setattr(git, "TIMEOUT_S", 20.0)

    def run_git(*arguments: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *identity, *arguments], check=True, capture_output=True, text=True, env=git_environment()
        )
        return done.stdout.strip()

    run_git("init", "-q")
    commit(run_git, "lr = 1\n")
    return run_git


def commit(run_git: Git, text: str) -> None:
    write(text)
    run_git("add", ".")
    run_git("commit", "-qm", "change")


def write(text: str) -> None:
    Path("train.py").write_text(text, encoding="utf-8")


def record(name: str) -> None:
    with tb.start_run("cola", name=name) as run:
        run.log({"eval/mcc": 0.5}, step=1)


def code_of(capsys: Capture, *runs: str) -> dict[str, object]:
    (found,) = json.loads(call(capsys, "diff", *runs, "--code", "--format", "json").out)["code"]
    assert isinstance(found, dict)
    return found


def changed_lines(found: dict[str, object]) -> list[str]:
    lines = str(found["changes"]).splitlines()
    return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


def test_committed_and_uncommitted_changes_are_one_difference(repository: Git, capsys: Capture) -> None:
    write("lr = 2\n")
    record("a")
    commit(repository, "lr = 2\nepochs = 3\n")
    write("lr = 2\nepochs = 4\n")
    record("b")

    found = code_of(capsys, "a", "b")

    assert changed_lines(found) == ["+epochs = 4"]
    assert found["sentence"] == "the code of a and b differs in 1 file"
    assert (found["is_complete"], found["remarks"]) == (True, [])


def test_changes_that_were_committed_later_are_the_same_code(repository: Git, capsys: Capture) -> None:
    write("lr = 2\n")
    record("a")
    commit(repository, "lr = 2\n")
    record("b")

    out = call(capsys, "diff", "a", "b", "--code").out

    assert "git.commit" in out
    assert "a and b ran the same code" in out


def test_the_repository_is_left_as_it_was(repository: Git, capsys: Capture) -> None:
    write("lr = 2\n")
    record("a")
    write("lr = 3\n")
    record("b")
    before = {path: path.read_bytes() for path in Path(".git").rglob("*") if path.is_file()}

    assert changed_lines(code_of(capsys, "a", "b")) == ["-lr = 2", "+lr = 3"]

    assert {path: path.read_bytes() for path in Path(".git").rglob("*") if path.is_file()} == before
    assert Path("train.py").read_text() == "lr = 3\n"


def test_nothing_that_a_repository_configures_is_started(repository: Git, capsys: Capture, tmp_path: Path) -> None:
    write("lr = 2\n")
    record("a")
    record("b")
    commit(repository, "lr = 3\n")
    record("c")
    touched = tmp_path / "touched"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {touched}\ncat\n")
    program.chmod(0o755)
    for name in ("post-index-change", "reference-transaction"):
        shutil.copy(program, Path(".git/hooks") / name)
    Path(".gitattributes").write_text("*.py diff=odd filter=odd\n")
    for key in ("diff.external", "diff.odd.textconv", "filter.odd.clean", "filter.odd.smudge", "core.fsmonitor"):
        repository("config", key, str(program))

    assert changed_lines(code_of(capsys, "a", "c")) == ["-lr = 2", "+lr = 3"]

    assert not touched.exists()


def test_without_the_repository_the_uncommitted_changes_are_compared_alone(
    repository: Git, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("a", "lr = 2\n"), ("b", "lr = 3\n")):
        write(text)
        record(name)
    commit_id = repository("rev-parse", "HEAD")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "repository")

    found = code_of(capsys, "a", "b")

    assert found["sentence"] == "the code of a and b can be compared in part only"
    assert f"no repository with {commit_id[:12]} is at hand" in str(found["remarks"])
    assert {"-+lr = 2", "++lr = 3"} <= set(changed_lines(found))


def test_a_repository_elsewhere_serves_as_well(
    repository: Git, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("a")
    commit(repository, "lr = 2\n")
    record("b")
    shutil.move(tmp_path / "repository", tmp_path / "clone")
    monkeypatch.chdir(tmp_path / "clone")

    assert changed_lines(code_of(capsys, "a", "b")) == ["-lr = 1", "+lr = 2"]


def test_a_commit_that_nobody_has_is_told(repository: Git, capsys: Capture) -> None:
    record("a")
    commit(repository, "lr = 2\n")
    record("b")
    repository("reset", "-q", "--hard", "HEAD~1")
    repository("reflog", "expire", "--expire=now", "--all")
    repository("gc", "-q", "--prune=now")

    found = code_of(capsys, "a", "b")

    assert "is at hand (looked in" in str(found["remarks"])
    assert "neither has uncommitted changes that were kept" in found["remarks"]  # type: ignore[operator]


def test_changes_in_which_a_secret_was_masked_are_left_out_and_told(repository: Git, capsys: Capture) -> None:
    commit(repository, f"token = '{TOKEN}'\n")
    record("a")
    write(f"token = '{TOKEN}'\nlr = 2\n")
    record("b")

    found = code_of(capsys, "a", "b")

    assert found["is_complete"] is False
    assert "b has uncommitted changes that do not apply to its commit" in str(found["remarks"])
    assert TOKEN not in str(found)


def test_a_patch_outside_the_run_or_other_than_recorded_is_not_read(repository: Git, capsys: Capture) -> None:
    write("lr = 2\n")
    record("a")
    record("b")
    altered = tb.open_store().run("b")
    patch = altered.environment["git"]["patch"]
    folder = Path(altered.path)
    (folder / patch).write_text("+ something else\n")
    (journal,) = Path(tb.open_store().run("a").path).glob("journal-*.jsonl")
    journal.write_text(journal.read_text().replace(patch, "../../../repository/.git/config"))

    found = code_of(capsys, "a", "b")

    assert found["remarks"] == [
        "a did not keep its uncommitted changes (no patch is named)",
        "b has a file of uncommitted changes that is not what was recorded",
    ]


@pytest.mark.parametrize("commit_id", ["--output=touched", "HEAD", "a" * 39, "a" * 40 + "\n"])
def test_a_commit_that_is_no_digest_never_reaches_git(repository: Git, capsys: Capture, commit_id: str) -> None:
    record("a")
    record("b")
    (journal,) = Path(tb.open_store().run("a").path).glob("journal-*.jsonl")
    true_id = repository("rev-parse", "HEAD")
    journal.write_text(journal.read_text().replace(json.dumps(true_id), json.dumps(commit_id)))

    found = code_of(capsys, "a", "b")

    assert "a recorded no commit (none in its environment)" in found["remarks"]  # type: ignore[operator]
    assert not Path("touched").exists()


def test_runs_outside_a_repository_have_no_code_to_compare(
    repository: Git, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record("a")
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    record("b")

    remarks = str(code_of(capsys, "a", "b")["remarks"])

    assert "b recorded no commit (git rev-parse:" in remarks


def test_without_git_it_is_told_why(repository: Git, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    record("a")
    record("b")
    monkeypatch.setenv("PATH", "")

    assert "is at hand (looked in" in str(code_of(capsys, "a", "b")["remarks"])


def test_a_git_that_takes_too_long_is_told(repository: Git, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    record("a")
    record("b")
    monkeypatch.setattr(store_repository, "TIMEOUT_S", 0.0)

    assert code_of(capsys, "a", "b")["is_complete"] is False


def test_untracked_files_are_named_as_unknown(repository: Git, capsys: Capture) -> None:
    record("a")
    Path("model.py").write_text("depth = 3\n")
    record("b")

    remark = "beside the code of b lay files that git does not track, of unknown content: model.py"
    assert code_of(capsys, "a", "b")["remarks"] == [remark]


def test_hostile_code_is_shown_as_text(repository: Git, capsys: Capture) -> None:
    record("a")
    commit(repository, f"{ESCAPE}]0;title\x07\n```\n@everyone <script>\n\tindented\n")
    record("b")

    table = call(capsys, "diff", "a", "b", "--code").out
    markdown = call(capsys, "diff", "a", "b", "--code", "--format", "md").out

    assert ESCAPE not in table + markdown
    assert "+   indented" in table
    assert "````diff\n" in markdown
    assert markdown.rstrip().endswith("\n````")


def test_code_is_compared_with_the_first_of_several_runs(repository: Git, capsys: Capture) -> None:
    record("a")
    write("lr = 2\n")
    record("b")
    write("lr = 3\n")
    record("c")

    out = call(capsys, "diff", "a", "b", "c", "--code").out

    assert "the code of a and b differs in 1 file" in out
    assert "the code of a and c differs in 1 file" in out
