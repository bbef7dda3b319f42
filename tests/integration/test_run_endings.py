"""Who may end a run and who may not: handlers, threads, forked and spawned children, a disk that hangs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from crash_kit import finished, run_script, run_until_killed

from trackbridge.events.models import MetricsLogged
from trackbridge.journal.paths import run_folders
from trackbridge.testing.written import all_events, events_of


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
def slowly(text, **others):
    # The signal strikes after the run has decided to end, and before its last line is written.
    signal.raise_signal(signal.SIGTERM)
    time.sleep(30)
    return mask(text, **others)
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
