"""The index beside the journals: it follows them, it can be lost, and it is never in the way."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from trackbridge.events.models import MetricsLogged, RunFinished, RunResumed
from trackbridge.journal.codec import encode
from trackbridge.store.opening import FILE_NAME
from trackbridge.store.store import Store, open_store
from trackbridge.testing.journals import STARTED_NS, ToldJournal

SPIKE_AT, LONG = 123_456, 600_000


def journal_of(n_points: int, word: str = "run", **opened: object) -> ToldJournal:
    journal = ToldJournal(f"writer of {word}", run=word, **opened).start(word)
    for step in range(n_points):
        journal.log(step, {"loss": step / 2})
    return journal


def metrics_line(seq: int, step: int, value: float) -> bytes:
    return encode(MetricsLogged(seq=seq, t=STARTED_NS + seq, step=step, metrics={"loss": value}))


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def steps(store: Store, name: str = "run") -> list[int]:
    return [int(step) for step in store.run(name).series("loss").steps]


def test_growing_run_is_followed_and_a_torn_last_line_is_not_written_yet(tmp_path: Path) -> None:
    path = journal_of(2).write(tmp_path)
    store = open_store(tmp_path)
    assert steps(store) == [0, 1]

    line = metrics_line(4, 2, 9.0)
    append(path, line[:30])
    assert steps(store) == [0, 1]
    assert store.run("run").problems == ()

    append(path, line[30:])
    assert steps(store) == [0, 1, 2]
    assert store.run("run").metrics["loss"].maximum == 9.0


def spoil_the_middle(path: Path) -> None:
    """Damage what has been read already, but neither its beginning nor its end."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def test_only_new_bytes_are_read(tmp_path: Path) -> None:
    path = journal_of(100).write(tmp_path)
    store = open_store(tmp_path)
    assert len(steps(store)) == 100

    spoil_the_middle(path)
    append(path, metrics_line(102, 100, 1.0))

    assert len(steps(store)) == 101
    assert store.run("run").problems == ()
    (tmp_path / FILE_NAME).unlink()
    assert store.run("run").problems == ()
    assert len(open_store(tmp_path).run("run").problems) >= 1


def test_copy_put_in_place_of_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    path = journal_of(100).write(tmp_path)
    store = open_store(tmp_path)
    assert len(steps(store)) == 100

    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    spoil_the_middle(copy)
    append(copy, metrics_line(102, 100, 1.0))
    copy.replace(path)

    assert len(steps(store)) == 101
    assert store.run("run").problems == ()


def test_journal_that_shrank_is_read_from_the_start(tmp_path: Path) -> None:
    path = journal_of(100).write(tmp_path)
    store = open_store(tmp_path)
    assert len(steps(store)) == 100

    path.write_bytes(b"".join(journal_of(100).lines()[:12]))

    assert steps(store) == list(range(10))


def test_other_journal_under_the_same_name_is_read_from_the_start(tmp_path: Path) -> None:
    path = journal_of(10).write(tmp_path)
    store = open_store(tmp_path)
    assert steps(store) == list(range(10))

    other = ToldJournal("writer of run", pid=7).start("run")
    for step in range(200, 230):
        other.log(step, {"loss": 1.0})
    path.write_bytes(b"".join(other.lines()))

    assert steps(store) == list(range(200, 230))


def test_deleted_runs_and_journals_vanish(tmp_path: Path) -> None:
    first, second = journal_of(3), journal_of(3, "other")
    path = first.write(tmp_path)
    other = second.write(tmp_path)
    child = ToldJournal("child", session_id=first.writer_id, role="child").log(9, {"loss": 9.0})
    child_path = child.write(tmp_path)
    store = open_store(tmp_path)
    assert steps(store) == [0, 1, 2, 9]

    child_path.unlink()
    assert steps(store) == [0, 1, 2]

    record = store.run("other")
    shutil.rmtree(other.parent)
    assert [run.name for run in store.runs()] == ["run"]
    assert [run.name for run in open_store(tmp_path).runs()] == ["run"]
    assert path.exists()
    with pytest.raises(LookupError, match="was deleted or changed"):
        record.series("loss")
    with pytest.raises(LookupError, match="was deleted or changed"):
        store.curve(record, "loss")


def test_resumed_session_appears_in_a_run_that_was_read_before(tmp_path: Path) -> None:
    journal_of(10).tell(RunFinished, status="failed").write(tmp_path)
    store = open_store(tmp_path)
    assert store.run("run").status == "failed"

    second = ToldJournal("second", started_s=60).tell(RunResumed, from_step=4).log(5, {"loss": 50.0})
    path = second.write(tmp_path)

    assert steps(store) == [0, 1, 2, 3, 4, 5]
    assert store.run("run").n_superseded == 5
    assert store.run("run").metrics["loss"].maximum == 50.0

    append(path, metrics_line(3, 6, 60.0))
    assert store.run("run").metrics["loss"].n == 7


@pytest.mark.parametrize("content", [b"", b"this is no database at all" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_index_that_is_damaged_is_made_anew(tmp_path: Path, content: bytes) -> None:
    journal_of(10).write(tmp_path)
    (tmp_path / FILE_NAME).write_bytes(content)

    assert len(steps(open_store(tmp_path))) == 10
    assert (tmp_path / FILE_NAME).read_bytes()[:16] == b"SQLite format 3\x00"


def test_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    journal_of(10).write(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as other:
        other.execute("CREATE TABLE runs (something TEXT)")
        other.execute("PRAGMA user_version = 99")
    other.close()

    assert len(steps(open_store(tmp_path))) == 10
    assert len(steps(open_store(tmp_path))) == 10


def test_index_that_is_damaged_while_it_is_open_is_replaced(tmp_path: Path) -> None:
    path = journal_of(2000).write(tmp_path)
    before = open_store(tmp_path).run("run")
    del before
    gc.collect()  # the index is closed with its store, and then all of it is in one file
    store = open_store(tmp_path)
    file = tmp_path / FILE_NAME
    content = file.read_bytes()
    file.write_bytes(content[:8192] + b"\x5a" * (len(content) - 8192))
    append(path, metrics_line(2002, 2000, 1.0))

    assert len(steps(store)) == 2001
    assert len(steps(open_store(tmp_path))) == 2001


def test_deleting_the_index_costs_nothing_but_time(tmp_path: Path) -> None:
    journal_of(10).write(tmp_path)
    before = repr(open_store(tmp_path).runs())
    for file in tmp_path.glob(f"{FILE_NAME}*"):
        file.unlink()

    assert repr(open_store(tmp_path).runs()) == before


def test_root_where_the_index_cannot_be_opened_is_read_in_memory(tmp_path: Path) -> None:
    path = journal_of(10).write(tmp_path)
    (tmp_path / FILE_NAME).mkdir()
    store = open_store(tmp_path)

    assert len(steps(store)) == 10
    append(path, metrics_line(12, 10, 1.0))
    assert len(steps(store)) == 11
    assert store.curve(store.run("run"), "loss").n == 11


AS_NOBODY = """
import os, sys
from trackbridge.store.store import open_store
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = open_store(sys.argv[1])
try:
    open(os.path.join(sys.argv[1], "probe"), "w")
except PermissionError:
    print(store.run("run").metrics["loss"].n, len(store.run("run").series("loss")))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no folder that is read-only for its own user")
@pytest.mark.parametrize("has_index", [False, True])
def test_read_only_root_is_read_and_nothing_is_written(tmp_path: Path, has_index: bool) -> None:
    root = tmp_path / "runs"
    path = journal_of(10).write(root)
    if has_index:
        open_store(root).runs()
        append(path, metrics_line(12, 10, 1.0))
    before = sorted(file.name for file in root.iterdir())
    folders = [root, *root.rglob("*")]
    for folder in (tmp_path, *(tmp_path.parents[: len(tmp_path.parents) - 2]), *folders):
        folder.chmod(folder.stat().st_mode | 0o055 if folder.is_dir() else 0o444)
    for folder in folders:
        if folder.is_dir():
            folder.chmod(0o555)
    try:
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, str(root)], capture_output=True, text=True, check=False)
    finally:
        for folder in folders:
            folder.chmod(0o755)

    assert (done.stdout.split(), done.stderr) == ([str(10 + has_index)] * 2, "")
    assert sorted(file.name for file in root.iterdir()) == before


def test_folder_without_runs_gets_no_index(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store.runs() == []
    assert list(tmp_path.iterdir()) == []

    journal_of(3).write(tmp_path)
    assert len(steps(store)) == 3


READER = """
import sys
from trackbridge.store import index
from trackbridge.store.store import open_store
if sys.argv[2] == "network":
    index.lies_on_network = lambda folder: True
store = open_store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5):
    runs = store.runs()
    shown = [(run.name, run.metrics["loss"].n, len(run.series("loss"))) for run in runs]
    assert all(n <= loaded for _, n, loaded in shown), shown
sys.stdin.readline()
print(sorted((run.name, run.metrics["loss"].n, len(run.series("loss"))) for run in store.runs()), flush=True)
print("shared" if store._snapshot.index.path else "in memory", flush=True)
"""


@pytest.mark.parametrize("mode", ["local", "network"])
def test_readers_that_index_at_once_while_runs_are_written_all_tell_the_same(tmp_path: Path, mode: str) -> None:
    paths = [journal_of(3000, f"run-{number}").write(tmp_path) for number in range(4)]
    readers = [
        subprocess.Popen([sys.executable, "-c", READER, str(tmp_path), mode], stdin=PIPE, stdout=PIPE, text=True)
        for _ in range(4)
    ]
    told = []
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    for reader in readers:
        assert reader.stdin is not None
        print(file=reader.stdin, flush=True)
    for index in range(1000):
        for path in paths:
            append(path, metrics_line(3002 + index, 3000 + index, 1.0))
    for reader in readers:
        told.append(reader.communicate("\n")[0].splitlines())
        assert reader.returncode == 0

    expected = repr([(f"run-{number}", 4000, 4000) for number in range(4)])
    # None of them had to give up the shared file for one in memory.
    assert sorted(line for lines in told for line in lines) == sorted([expected, "shared"] * 4)


def test_one_store_serves_threads_while_a_run_is_written(tmp_path: Path) -> None:
    path = journal_of(100).write(tmp_path)
    store = open_store(tmp_path)
    troubles: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(20):
                record = store.run("run")
                assert len(record.series("loss")) >= record.metrics["loss"].n
                assert store.curve(record, "loss", pixels=10).n >= 100
        except BaseException as trouble:
            troubles.append(trouble)
            raise

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for index in range(500):
        append(path, metrics_line(102 + index, 100 + index, 1.0))
    for thread in threads:
        thread.join()

    assert troubles == []
    assert len(steps(store)) == 600


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run of 600,000 points with one spike and a stretch of NaN, by two sessions."""
    root = tmp_path_factory.mktemp("long")
    values = np.random.default_rng(0).random(LONG)
    values[SPIKE_AT], values[400_000:400_010] = 99.0, np.nan
    lines = [metrics_line(2 + step % 300_000, step, value) for step, value in enumerate(values.tolist())]
    first = ToldJournal("first").start("run")
    second = ToldJournal("second", started_s=60).tell(RunResumed, from_step=299_999)
    overtaken = [metrics_line(2 + step, step, 1000.0) for step in range(300_000, 310_000)]
    append(first.write(root), b"".join([*lines[:300_000], *overtaken]))
    append(second.write(root), b"".join(lines[300_000:]))
    return open_store(root)


def test_whole_curve_of_a_long_run_keeps_its_spike_and_its_gap(long_run: Store) -> None:
    record = long_run.run("run")
    curve = long_run.curve(record, "loss", pixels=500)
    exact = record.series("loss")

    assert curve.n == len(exact) == LONG
    assert curve.is_thinned
    assert curve.values.max() == 99.0
    assert curve.steps[curve.values.argmax()] == SPIKE_AT
    assert (curve.n_nonfinite, curve.nonfinite_steps[0]) == (10, 400_000)
    assert (curve.steps[0], curve.steps[-1]) == (0, LONG - 1)
    assert (curve.values[0], curve.values[-1]) == (exact.values[0], exact.values[-1])
    assert record.n_superseded == 10_000


@pytest.mark.parametrize(
    ("start", "stop"), [(299_000, 301_000), (0, 1000), (LONG - 10, None), (None, 5), (65_530, 65_540)]
)
def test_zoom_gives_the_exact_points(long_run: Store, start: int | None, stop: int | None) -> None:
    record = long_run.run("run")
    curve = long_run.curve(record, "loss", start=start, stop=stop)
    exact = record.series("loss")
    inside = (exact.steps >= (start or 0)) & (exact.steps <= (LONG if stop is None else stop))

    assert curve.steps.tolist() == exact.steps[inside].tolist()
    assert curve.values.tolist() == exact.values[inside].tolist()
    assert not curve.is_thinned


def test_zoom_that_covers_many_chunks_keeps_to_its_range(long_run: Store) -> None:
    record = long_run.run("run")
    curve = long_run.curve(record, "loss", start=1_000, stop=290_000, pixels=100)

    assert (curve.n, curve.steps[0], curve.steps[-1]) == (289_001, 1_000, 290_000)
    assert curve.values.max() == 99.0


def test_curve_of_writers_that_logged_the_same_steps_is_drawn_from_what_stands(tmp_path: Path) -> None:
    main = ToldJournal("main").start("run").log(1, {"loss": 1.0}).log(2, {"loss": 2.0})
    rank = ToldJournal("rank", session_id=main.writer_id, role="rank", started_s=50).log(1, {"loss": -1.0})
    main.write(tmp_path)
    rank.write(tmp_path)
    store = open_store(tmp_path)

    assert store.curve(store.run("run"), "loss").values.tolist() == [-1.0, 2.0]


def test_step_logged_again_long_after_replaces_the_point_in_every_chunk(tmp_path: Path) -> None:
    path = journal_of(0).write(tmp_path)
    append(path, b"".join(metrics_line(2 + step, step, 1.0) for step in range(70_000)))
    store = open_store(tmp_path)
    assert store.run("run").metrics["loss"].maximum == 1.0

    append(path, metrics_line(70_002, 5, 7.0))
    record = store.run("run")

    assert (record.metrics["loss"].maximum_step, record.metrics["loss"].n) == (5, 70_000)
    assert store.curve(record, "loss", stop=10).values.tolist() == [1.0] * 5 + [7.0] + [1.0] * 5
