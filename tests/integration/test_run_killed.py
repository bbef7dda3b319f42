"""However a process dies: what `log` returned from is kept, and the status left behind is the true one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_kit import SIGNALS, STATUS_LEFT, Crash, crash

from trackbridge.events.models import MetricsLogged, RunFinished
from trackbridge.journal.paths import run_folders
from trackbridge.testing.written import all_events, events_of

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


def run_script(script: str, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script to its end; `root` is its first argument."""
    return subprocess.run(
        [sys.executable, "-c", script, str(root), *arguments], capture_output=True, text=True, timeout=60
    )


def run_until_killed(script: str, root: Path, number: signal.Signals) -> int:
    """Start a script, send it a signal once it has told `ready`, and return its exit code."""
    with subprocess.Popen([sys.executable, "-c", script, str(root)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
        return child.wait(timeout=30)


def finished(root: Path) -> list[tuple[str, int | None]]:
    """Status and exit code of each run that said how it ended."""
    return [
        (event.status, event.exit_code)
        for folder in sorted(run_folders(root))
        for event in events_of(folder, RunFinished)
    ]


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
    assert done.stderr.splitlines()[-1].startswith("Mute: <exception str() failed>")


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


def test_the_programs_own_handler_is_left_in_place(tmp_path: Path) -> None:
    exit_code = run_until_killed(
        """
import signal, sys, time
import trackbridge as tb
def save_and_leave(number, frame):
    run.log({"saved": 1.0}, step=2)
    sys.exit(0)
signal.signal(signal.SIGTERM, save_and_leave)
with tb.start_run('p', root=sys.argv[1]) as run:
    assert signal.getsignal(signal.SIGTERM) is save_and_leave
    run.log({"a": 1.0}, step=1)
    print("ready", flush=True)
    time.sleep(30)
""",
        tmp_path,
        signal.SIGTERM,
    )

    assert exit_code == 0
    assert finished(tmp_path) == [("finished", 0)]
    (folder,) = run_folders(tmp_path)
    assert [event.metrics for event in events_of(folder, MetricsLogged)] == [{"a": 1.0}, {"saved": 1.0}]


def test_a_handler_may_log_while_the_same_thread_writes(tmp_path: Path) -> None:
    done = run_script(
        """
import os, signal, sys
import trackbridge as tb
from trackbridge.journal import writer
signal.signal(signal.SIGUSR1, lambda number, frame: run.log({"from/handler": 1.0}, step=2))
run = tb.start_run('p', root=sys.argv[1])
sync = writer._sync_file
def interrupted(fd):
    sync(fd)
    if not interrupts:
        interrupts.append(fd)
        signal.raise_signal(signal.SIGUSR1)
interrupts = []
writer._sync_file = interrupted
run.log({"a": 1.0}, step=1)
run.log_checkpoint(sys.argv[1], step=1)
run.log({"a": 2.0}, step=3)
""",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path)
    assert [event.step for event in events_of(folder, MetricsLogged)] == [1, 2, 3]


def test_after_sigterm_no_thread_writes_behind_the_last_word(tmp_path: Path) -> None:
    for trial in range(5):
        root = tmp_path / str(trial)
        exit_code = run_until_killed(
            """
import itertools, sys, threading
import trackbridge as tb
run = tb.start_run('p', root=sys.argv[1])
def log(name):
    for step in itertools.count():
        run.log({name: 1.0}, step=step)
        if step == 100 and name == "a":
            print("ready", flush=True)
threads = [threading.Thread(target=log, args=(name,), daemon=True) for name in "abc"]
for thread in threads:
    thread.start()
log("main")
""",
            root,
            signal.SIGTERM,
        )

        (folder,) = run_folders(root)
        kinds = [type(event).__name__ for event in all_events(folder)]
        assert exit_code == -signal.SIGTERM
        assert kinds[-2:] == ["RunFinished", "Integrity"]
        assert kinds.count("RunFinished") == 1


def test_sigterm_while_a_run_ends_leaves_one_end(tmp_path: Path) -> None:
    done = run_script(
        """
import os, signal, sys, time
import trackbridge as tb
from trackbridge.run import run as run_module
run = tb.start_run('p', root=sys.argv[1])
mask = run_module.mask_text
def slowly(text):
    # The signal strikes after the run has decided to end, and before its last line is written.
    signal.raise_signal(signal.SIGTERM)
    time.sleep(30)
    return mask(text)
run_module.mask_text = slowly
run.finish("failed", error="diverged")
""",
        tmp_path,
    )

    assert done.returncode == -signal.SIGTERM
    assert finished(tmp_path) == [("killed", 143)]


def test_a_forked_child_that_leaves_the_block_does_not_end_the_run(tmp_path: Path) -> None:
    done = run_script(
        """
import os, sys
import trackbridge as tb
with tb.start_run('p', root=sys.argv[1]) as run:
    child = os.fork()
    run.log({"from": float(bool(child))}, step=1)
    if child:
        os.waitpid(child, 0)
        run.log({"after": 1.0}, step=2)
    else:
        sys.exit(3)
""",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert finished(tmp_path) == [("finished", 0)]
    (folder,) = run_folders(tmp_path)
    assert len(list(folder.glob("journal-*.jsonl"))) == 2
    assert sorted(str(event.metrics) for event in events_of(folder, MetricsLogged)) == [
        "{'after': 1.0}", "{'from': 0.0}", "{'from': 1.0}",
    ]  # fmt: skip


def test_a_worker_killed_by_sigterm_does_not_end_the_run(tmp_path: Path) -> None:
    done = run_script(
        """
import multiprocessing, os, signal, sys, time
import trackbridge as tb
def work(ready):
    tb.current_run().log({"worker": 1.0}, step=1)
    ready.set()
    time.sleep(30)
with tb.start_run('p', root=sys.argv[1]) as run:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    worker = context.Process(target=work, args=(ready,))
    worker.start()
    ready.wait()
    worker.terminate()
    worker.join()
    assert worker.exitcode == -signal.SIGTERM
    run.log({"main": 1.0}, step=2)
""",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert finished(tmp_path) == [("finished", 0)]
    (folder,) = run_folders(tmp_path)
    assert [event.metrics for event in events_of(folder, MetricsLogged)] == [{"worker": 1.0}, {"main": 1.0}]


def test_a_multiprocessing_child_tells_its_failure_when_it_uses_a_context_manager(tmp_path: Path) -> None:
    done = run_script(
        """
import multiprocessing, sys
import trackbridge as tb
def train(root):
    with tb.start_run('p', root=root):
        raise ValueError("diverged")
child = multiprocessing.get_context("fork").Process(target=train, args=(sys.argv[1],))
child.start()
child.join()
sys.exit(child.exitcode)
""",
        tmp_path,
    )

    assert done.returncode == 1
    assert finished(tmp_path) == [("failed", 1)]


def test_a_disk_that_hangs_does_not_keep_a_killed_process_alive(tmp_path: Path) -> None:
    began_s = time.monotonic()
    exit_code = run_until_killed(
        """
import sys, threading
import trackbridge as tb
from trackbridge.journal import writer
run = tb.start_run('p', root=sys.argv[1])
def hang(fd):
    print("ready", flush=True)
    threading.Event().wait()
writer._sync_file = hang
threading.Thread(target=run.log_checkpoint, args=(sys.argv[1],), kwargs={"step": 1}, daemon=True).start()
threading.Event().wait()
""",
        tmp_path,
        signal.SIGTERM,
    )

    assert exit_code == -signal.SIGTERM
    assert time.monotonic() - began_s < 20
    assert finished(tmp_path) == []


def test_a_thread_that_logs_while_the_run_is_finished_is_told(tmp_path: Path) -> None:
    done = run_script(
        """
import sys, threading, time
import trackbridge as tb
run = tb.start_run('p', root=sys.argv[1])
told = []
def log():
    step = 0
    try:
        while True:
            run.log({"a": 1.0}, step=step)
            step += 1
    except tb.errors.RunClosedError as error:
        told.append((step, str(error)))
thread = threading.Thread(target=log)
thread.start()
time.sleep(0.05)
run.finish()
thread.join()
print(told[0][0])
""",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "cannot write" not in done.stderr
    (folder,) = run_folders(tmp_path)
    assert len(events_of(folder, MetricsLogged)) == int(done.stdout)
    assert finished(tmp_path) == [("finished", 0)]


def test_a_script_that_daemonises_itself_keeps_its_journal(tmp_path: Path) -> None:
    """A forked child that outlives its parent writes on in a journal of its own."""
    started = time.monotonic()
    done = run_script(
        """
import os, sys
import trackbridge as tb
run = tb.start_run('p', root=sys.argv[1])
if os.fork():
    os._exit(0)
run.log({"a": 1.0}, step=1)
print("written", flush=True)
os._exit(0)
""",
        tmp_path,
    )

    assert done.stdout == "written\n"
    assert time.monotonic() - started < 30
    (folder,) = run_folders(tmp_path)
    assert [event.metrics for event in events_of(folder, MetricsLogged)] == [{"a": 1.0}]
    assert finished(tmp_path) == []
    assert os.path.exists(folder)
