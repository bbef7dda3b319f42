"""What a run printed last: told to trackers and people when it failed, was killed or lost, and never with its keys."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_kit import call
from relay_process_kit import is_closed, shown, until

import trackbridge as tb
from trackbridge.journal.console import console_text
from trackbridge.journal.paths import run_folders
from trackbridge.store.console import MAX_BYTES, MAX_LINES, last_words

ENDINGS = {
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
    "exception": "raise RuntimeError('diverged')",
    "exit code": "sys.exit(3)",
    "success": "pass",
}
TRAINING = """
import os, signal, sys, time
import trackbridge as tb

with tb.start_run("demo", root="runs", to=sys.argv[1:]) as run:
    for step in range(1, 301):
        sys.stderr.write(f"\\r{step}/300")
        if step % 2 == 0:
            print(f"\\rstep {step}: \\x1b[31mloss {1 / step:.3f}\\x1b[0m")
    print("logged in with", os.environ["WANDB_API_KEY"], "and hf_abcdefghijklmnopqrstuvwxyz0123456789")
"""
LAST = "logged in with ***masked*** and ***masked***"


def train(root: Path, ending: str, *to: str) -> Path:
    """A training that prints much and ends so; its folder."""
    script = f"{TRAINING}    {ENDINGS[ending]}\n"
    environment = {**os.environ, "WANDB_API_KEY": "0123456789abcdef", "TRACKBRIDGE_SYSTEM": "off"}
    subprocess.run([sys.executable, "-c", script, *to], cwd=root, env=environment, capture_output=True, timeout=120)
    (folder,) = run_folders(root / "runs")
    return folder


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_last_lines_of_a_run_reach_a_tracker_unless_it_finished(tmp_path: Path, ending: str) -> None:
    folder = train(tmp_path, ending, "memory:offline")
    until(lambda: is_closed(folder), within_s=30, what="the ending at the tracker")

    delivered = shown(folder).ending
    lines = delivered.console.split("\n")

    if ending == "success":
        assert (delivered.status, delivered.console) == ("finished", "")
    else:
        assert delivered.status in ("failed", "killed", "lost")
        assert len(lines) == MAX_LINES
        assert lines[-2:] == ["step 300: loss 0.003", LAST]
        assert len(delivered.console.encode()) <= MAX_BYTES


def test_a_later_sync_on_another_machine_knows_no_key_and_delivers_none(tmp_path: Path) -> None:
    folder = train(tmp_path, "SIGKILL")
    assert "WANDB_API_KEY" not in os.environ

    assert tb.sync(tmp_path / "runs", to=["memory:offline"]).is_complete

    assert shown(folder).ending.console.endswith(f"\n{LAST}")


def test_a_run_that_went_on_is_not_told_by_what_it_printed_before(tmp_path: Path) -> None:
    folder = train(tmp_path, "SIGKILL")
    again = "import os, signal, sys\nimport trackbridge as tb\n"
    again += "tb.start_run('demo', root='runs', run_id=sys.argv[1])\nprint('second try')\n" + ENDINGS["SIGKILL"]
    done = subprocess.run([sys.executable, "-c", again, folder.name], cwd=tmp_path, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL

    assert last_words(folder) == "second try"


def test_the_tail_is_cut_to_its_size_only_after_keys_are_masked(tmp_path: Path) -> None:
    key = "hf_" + "k" * 34
    with tb.start_run("demo", root=tmp_path) as run:
        print("a" * 500, key + " " + "b" * (MAX_BYTES - 20))

    assert key in console_text(run.path)
    assert "kkk" not in last_words(run.path)
    assert len(last_words(run.path)) == MAX_BYTES


def test_show_ends_with_what_a_failed_run_printed_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tb.start_run("demo", name="bad", root=tmp_path / "runs")
    for step in range(30):
        print(f"step {step}\t[bold]{step}[/] \u202e")
    bad.finish("failed")
    with tb.start_run("demo", name="good", root=tmp_path / "runs"):
        print("all is well")

    told = call(capsys, "show", "bad", "--root", tmp_path / "runs").out
    shown_json = json.loads(call(capsys, "show", "bad", "--root", tmp_path / "runs", "--json").out)
    good = call(capsys, "show", "good", "--root", tmp_path / "runs", "--json").out

    block = told.partition("printed last\n")[2].split("\n\n")[0].split("\n")
    assert block == [f"  step {step} [bold]{step}[/] \\u202e" for step in range(20, 30)]
    assert len(shown_json["console"]) == 30
    assert shown_json["console"][-1] == "step 29\t[bold]29[/] \u202e"
    assert json.loads(good)["console"] == []
    assert "all is well" in console_text(Path(json.loads(good)["path"]))
