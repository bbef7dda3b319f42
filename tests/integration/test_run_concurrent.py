"""Many writers at once: processes in one root, threads in one run, workers of a DataLoader, ranks of one training."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import torch
from crash_kit import run_script

import trackbridge as tb
from trackbridge.events.models import EventsDropped, MetricsLogged, RunFinished, RunStarted, WriterOpened
from trackbridge.journal.paths import journal_files, run_folders
from trackbridge.testing.written import events_of

N_POINTS = 500


def test_16_processes_write_16_runs_into_one_root_at_once(tmp_path: Path) -> None:
    script = f"""
import sys, trackbridge as tb
sys.stdin.readline()
with tb.start_run("sweep", name=sys.argv[2], root=sys.argv[1], config={{"number": int(sys.argv[2])}}) as run:
    for step in range({N_POINTS}):
        run.log({{"number": float(sys.argv[2]), "step": float(step)}}, step=step)
        if step % 100 == 0:
            run.log({{"text": tb.Text("the same in all")}}, step=step)
"""
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(number)], stdin=subprocess.PIPE)
        for number in range(16)
    ]
    for child in children:
        child.communicate(b"go\n")
    assert [child.returncode for child in children] == [0] * 16

    folders = list(run_folders(tmp_path))
    assert len(folders) == 16
    names = set()
    for folder in folders:
        (started,) = events_of(folder, RunStarted)
        points = events_of(folder, MetricsLogged)
        names.add(started.name)
        assert [event.step for event in points] == list(range(N_POINTS))
        assert {event.metrics["number"] for event in points} == {float(started.name)}
        assert events_of(folder, EventsDropped) == []
    assert names == {str(number) for number in range(16)}
    assert {run.status for run in tb.open_store(tmp_path).runs()} == {"finished"}


def test_4_threads_log_into_one_run(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def work(number: int) -> None:
        barrier.wait()
        for step in range(N_POINTS):
            tb.current_run().log({f"thread/{number}": float(step)}, step=step)
            if step % 50 == 0:
                tb.current_run().log({"text": tb.Text("the same in all")}, step=step)
                tb.current_run().log_summary({str(number): step})

    with tb.start_run("threads", root=tmp_path) as run:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(journal_files(run.path)) == 1
    points = events_of(run.path, MetricsLogged)
    for number in range(4):
        mine = [event.step for event in points if f"thread/{number}" in event.metrics]
        assert mine == list(range(N_POINTS))
    assert len(list((run.path / "files" / "media").iterdir())) == 1
    assert events_of(run.path, EventsDropped) == []


class Logging(torch.utils.data.Dataset[int]):
    """Logs each item it is asked for, to the run it holds or else to the current one."""

    def __init__(self, run: tb.Run | None = None) -> None:
        self.run = run

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> int:
        (self.run or tb.current_run()).log({"data/index": float(index)}, step=index)
        return index


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_workers_of_a_data_loader_log_into_journals_of_their_own(tmp_path: Path, method: str) -> None:
    with tb.start_run("loader", root=tmp_path) as run:
        # A forked worker knows the current run. A spawned one knows nothing, so its data set brings the run along.
        dataset = Logging(None if method == "fork" else run)
        loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context=method)
        for step, batch in enumerate(loader):
            run.log({"train/sum": float(batch.sum())}, step=step)

    opened = Counter(event.role for event in events_of(run.path, WriterOpened))
    points = events_of(run.path, MetricsLogged)
    assert opened == {"main": 1, "child": 2}
    assert sorted(event.step for event in points if "data/index" in event.metrics) == list(range(64))
    assert [event.step for event in points if "train/sum" in event.metrics] == list(range(16))
    assert [event.status for event in events_of(run.path, RunFinished)] == ["finished"]
    record = tb.open_store(tmp_path).run(run.run_id)
    assert (record.status, len(record.sessions)) == ("finished", 1)
    assert record.metrics["data/index"].n == 64


def test_a_spawned_worker_without_the_run_logs_nowhere_and_does_not_fail(tmp_path: Path) -> None:
    with tb.start_run("loader", root=tmp_path) as run:
        loader = torch.utils.data.DataLoader(Logging(), num_workers=1, multiprocessing_context="spawn")
        assert len(list(loader)) == 64

    assert len(journal_files(run.path)) == 1
    assert events_of(run.path, MetricsLogged) == []


def test_a_fork_while_another_thread_is_inside_log_does_not_hang(tmp_path: Path) -> None:
    done = run_script(
        """
import os, sys, threading
import trackbridge as tb
with tb.start_run("fork", root=sys.argv[1]) as run:
    stop = threading.Event()
    def log():
        step = 0
        while not stop.is_set():
            run.log({"thread": 1.0}, step=step)
            step += 1
    thread = threading.Thread(target=log)
    thread.start()
    children = []
    for number in range(20):
        child = os.fork()
        if child == 0:
            run.log({"child": float(number)}, step=number)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
""",
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    (folder,) = run_folders(tmp_path)
    points = events_of(folder, MetricsLogged)
    assert sorted(event.metrics["child"] for event in points if "child" in event.metrics) == list(range(20))
    steps = [event.step for event in points if "thread" in event.metrics]
    assert steps == list(range(len(steps)))


RANK = """
import os, sys
import torch.distributed as distributed
import trackbridge as tb
distributed.init_process_group("gloo")
rank = distributed.get_rank()
with tb.start_run("ranks", root=sys.argv[1], ranks=sys.argv[2], name="both" if rank == 0 else "ignored") as run:
    for step in range(50):
        run.log({f"rank/{rank}": float(step)}, step=step)
print(run.run_id, run.name, run.is_recording, flush=True)
distributed.barrier()
distributed.destroy_process_group()
"""


def launch(tmp_path: Path, ranks: str) -> list[str]:
    """What two gloo processes under torchrun printed."""
    script = tmp_path / "train.py"
    script.write_text(RANK)
    command = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "runs"), ranks], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_only_rank_0_writes_unless_all_are_asked_for(tmp_path: Path) -> None:
    told = launch(tmp_path, "0")

    (folder,) = run_folders(tmp_path / "runs")
    assert len(journal_files(folder)) == 1
    assert sorted(line.split()[1:] for line in told) == [["both", "True"], ["ignored", "False"]]
    assert {name for event in events_of(folder, MetricsLogged) for name in event.metrics} == {"rank/0"}


def test_all_ranks_agree_on_one_run_and_write_a_journal_each(tmp_path: Path) -> None:
    told = launch(tmp_path, "all")

    (folder,) = run_folders(tmp_path / "runs")
    assert told == [f"{folder.name} both True"] * 2
    opened = sorted(events_of(folder, WriterOpened), key=lambda event: event.rank)
    assert [(event.rank, event.world_size, event.role) for event in opened] == [(0, 2, "main"), (1, 2, "rank")]
    assert {event.session_id for event in opened} == {opened[0].writer_id}
    assert len(events_of(folder, RunStarted)) == 1
    for rank in (0, 1):
        points = [event.step for event in events_of(folder, MetricsLogged) if f"rank/{rank}" in event.metrics]
        assert points == list(range(50))
    record = tb.open_store(tmp_path / "runs").run(folder.name)
    assert (record.status, record.name, len(record.sessions)) == ("finished", "both", 1)
    assert sorted(record.metrics) == ["rank/0", "rank/1"]
