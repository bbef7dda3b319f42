"""`trackbridge ui` as a process: it prints where it answers, answers there, and ends with Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import trackbridge as tb
from tests.integration.cli_kit import Done, call_apart, command


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("cola", name="only", root=tmp_path / "runs") as run:
        run.log({"eval/mcc": 0.5}, step=1)
    return tmp_path / "runs"


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the address it printed."""
    line = command("ui", *arguments, "--port", 0, "--no-browser")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, process.communicate()[1]
            yield process, found[0]
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> Done:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return Done(process.returncode, out, err)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot send Ctrl-C to one process alone")
def test_the_page_answers_where_it_says_and_ctrl_c_ends_it_without_a_word(root: Path) -> None:
    with started(root) as (process, url):
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}data/runs", timeout=20) as answer:
            assert b"only" in answer.read()
        done = interrupted(process)

    assert (done.code, done.err) == (0, "")


def test_a_server_for_other_machines_asks_for_a_token_that_it_made_up(root: Path) -> None:
    with started(root, "--host", "0.0.0.0") as (_, url):
        bare, _, token = url.partition("?token=")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(bare, timeout=20)

    assert len(token) >= 32


def test_a_root_that_is_not_there_is_told_before_anything_listens(tmp_path: Path) -> None:
    done = call_apart("ui", tmp_path / "nothing", "--no-browser")

    assert done.code == 3
    assert "nothing" in done.err
