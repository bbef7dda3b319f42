"""However a process dies: what `log` returned from is kept, and the status left behind is the true one."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_kit import SIGNALS, STATUS_LEFT, Crash, crash, finished, run_script

from trackbridge.events.models import RunFinished
from trackbridge.journal.paths import run_folders
from trackbridge.testing.written import events_of

EXIT_CODE = {"SIGKILL": -9, "SIGTERM": -15, "SIGINT": -2, "os._exit": 1, "exception": 1}


@pytest.mark.parametrize("ending", STATUS_LEFT)
@pytest.mark.parametrize(("pace", "lives_s"), [("unpaced", 0.15), ("20/s", 0.3)])
def test_nothing_acknowledged_is_lost_and_the_status_is_true(
    tmp_path: Path, pace: str, lives_s: float, ending: str
) -> None:
    died = crash(tmp_path, pace=pace, ending=ending, lives_s=lives_s)

    assert died.acknowledged > 0
    assert died.lost == 0
    # The one that was being logged at the end may be there too.
    assert died.kept == [float(step) for step in range(1, len(died.kept) + 1)]
    assert len(died.kept) - died.acknowledged in (0, 1)
    assert died.status == STATUS_LEFT[ending]
    assert died.exit_code == EXIT_CODE[ending]


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT"])
def test_a_signal_in_a_tight_loop_leaves_a_whole_journal_each_time(tmp_path: Path, ending: str) -> None:
    def die(trial: int) -> Crash:
        return crash(tmp_path / str(trial), pace="unpaced", ending=ending, lives_s=0.01 + trial / 1000)

    with ThreadPoolExecutor(4) as pool:
        deaths = list(pool.map(die, range(20)))

    assert [(died.status, died.lost, died.exit_code) for died in deaths] == [("killed", 0, -SIGNALS[ending])] * 20


@pytest.mark.parametrize(
    "way", ["with tb.start_run('p', root=sys.argv[1]) as run:", "run = tb.start_run('p', root=sys.argv[1])\nif True:"]
)
@pytest.mark.parametrize(
    ("body", "left", "exit_code"),
    [
        ("pass", ("finished", 0), 0),
        ("sys.exit()", ("finished", 0), 0),
        ("raise ValueError('diverged')", ("failed", 1), 1),
        ("raise KeyboardInterrupt", ("killed", 130), -2),
        ("run.finish('failed'); run.finish(); sys.exit(3)", ("failed", None), 3),
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)", ("killed", 143), -15),
        ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(30)", ("killed", 129), -1),
    ],
)
def test_a_script_leaves_its_status_with_and_without_a_context_manager(
    tmp_path: Path, way: str, body: str, left: tuple[str, int | None], exit_code: int
) -> None:
    done = run_script(f"import os, signal, sys, time, trackbridge as tb\n{way}\n    {body}\n", tmp_path)

    assert done.returncode == exit_code, done.stderr
    assert finished(tmp_path) == [left]


def test_an_exit_code_inside_a_context_manager_is_a_failure(tmp_path: Path) -> None:
    done = run_script("import sys, trackbridge as tb\nwith tb.start_run('p', root=sys.argv[1]): sys.exit(3)", tmp_path)

    assert done.returncode == 3
    assert finished(tmp_path) == [("failed", 3)]


def test_an_exception_is_kept_with_its_traceback(tmp_path: Path) -> None:
    script = "def train():\n    raise ValueError('diverged at step 5')\n"
    (tmp_path / "train.py").write_text(
        f"import sys, trackbridge as tb\n{script}run = tb.start_run('p', root=sys.argv[1])\ntrain()\n"
    )
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py"), str(tmp_path / "runs")], capture_output=True, text=True
    )

    (folder,) = run_folders(tmp_path / "runs")
    (end,) = events_of(folder, RunFinished)
    assert end.error == "ValueError: diverged at step 5"
    assert end.traceback is not None
    assert "in train\n    raise ValueError('diverged at step 5')" in end.traceback
    # The user still sees it as without trackbridge.
    assert "ValueError: diverged at step 5" in done.stderr


def test_an_exception_that_cannot_be_printed_is_kept_and_raised_as_it_was(tmp_path: Path) -> None:
    done = run_script(
        """
import sys, trackbridge as tb
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")
with tb.start_run('p', root=sys.argv[1]):
    raise Mute()
""",
        tmp_path,
    )

    (folder,) = run_folders(tmp_path)
    (end,) = events_of(folder, RunFinished)
    assert end.status == "failed"
    assert (end.error or "").startswith("Mute: <exception str() failed>")
    # Python 3.10 says `__main__.Mute`.
    assert done.stderr.splitlines()[-1].endswith("Mute: <exception str() failed>")


def test_a_hook_set_later_does_not_hide_the_failure(tmp_path: Path) -> None:
    run_script(
        """
import sys, trackbridge as tb
run = tb.start_run('p', root=sys.argv[1])
sys.excepthook = lambda *error: print("mine alone")
raise ValueError("diverged")
""",
        tmp_path,
    )

    assert finished(tmp_path) == [("failed", 1)]


def test_all_open_runs_of_a_process_end_with_it(tmp_path: Path) -> None:
    run_script(
        """
import sys, trackbridge as tb
for name in ("first", "second"):
    tb.start_run('p', name=name, root=sys.argv[1])
raise ValueError("diverged")
""",
        tmp_path,
    )

    assert finished(tmp_path) == [("failed", 1), ("failed", 1)]
