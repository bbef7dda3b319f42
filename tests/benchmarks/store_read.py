"""
How long reading runs takes, beside the time it takes to read as many bytes.

    python tests/benchmarks/store_read.py [--runs 1000] [--long-points 10000000] [--folder DIR] [--json FILE]

Makes journals like the writer's in a fresh folder: runs of 100 config keys and five metrics (one of 8,000 points,
four of 500), and one long run. Prints medians of warm reads. The floor of a row is one plain read of as many bytes
from a file in the page cache: the journals for an indexing, the stored records for a listing, and for a curve the
steps and values of all the points it stands for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from trackbridge.events.models import (
    ConfigLogged,
    Integrity,
    KnownEvent,
    MetricsLogged,
    RunFinished,
    RunStarted,
    SeedsLogged,
    WriterOpened,
)
from trackbridge.journal.codec import crc_covered, encode
from trackbridge.journal.paths import journal_file, new_id, run_folder
from trackbridge.store.records import RunRecord
from trackbridge.store.store import Store, open_store

DENSE_POINTS, SPARSE_POINTS, PIXELS, BYTES_PER_POINT = 8000, 500, 2000, 16
SPARSE = ("eval/loss", "eval/mcc", "eval/accuracy", "train/epoch_loss")
T0, STEP_NS, INTEGRITY_EVERY_LINES = 1_790_000_000_000_000_000, 50_000_000, 4000


@dataclass(frozen=True)
class Row:
    """One measurement; `aim_ms` is the figure asked for, where one is."""

    what: str
    measured_ms: float
    floor_ms: float
    aim_ms: float | None = None
    note: str = ""


class Meter:
    """Takes medians, and reads as many bytes from a plain file for comparison."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "floor.bin"
        self.file.write_bytes(b"")
        self.rows: list[Row] = []

    def add(
        self,
        what: str,
        read: Callable[[], object],
        *,
        n_bytes: int,
        repeats: int = 9,
        aim_ms: float | None = None,
        note: Callable[[float], str] = lambda ms: "",
    ) -> None:
        """Measure one kind of read and its floor."""
        if self.file.stat().st_size < n_bytes:
            with self.file.open("ab") as file:
                for _ in range(self.file.stat().st_size, n_bytes, 1 << 24):
                    file.write(os.urandom(1 << 24))
        measured = statistics.median(milliseconds(read) for _ in range(repeats))
        floor = statistics.median(milliseconds(lambda: read_bytes(self.file, n_bytes)) for _ in range(repeats))
        self.rows.append(Row(what, measured, floor, aim_ms, note(measured)))
        print_row(self.rows[-1])


def main() -> None:
    """Make the journals, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--long-points", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where to make the journals (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for number in range(arguments.runs):
            make_run(folder / "many", number, ordinary_run(number))
        make_run(folder / "long", 0, long_run(arguments.long_points))
        print(f"{'':44} {'ms':>10} {'floor ms':>10} {'ratio':>7} {'aim ms':>7}")
        meter = Meter(folder)
        measure_many(meter, folder / "many")
        measure_long(meter, folder / "long", arguments.long_points)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in meter.rows], indent=2))


def measure_many(meter: Meter, root: Path) -> None:
    """Listing, overlaying and following many runs."""
    journals = journals_below(root)
    n_bytes = sum(path.stat().st_size for path in journals)
    n_events = sum(path.read_bytes().count(b"\n") for path in journals)
    meter.add(
        f"first indexing of {len(journals)} runs",
        lambda: open_store(root).runs(),
        n_bytes=n_bytes,
        repeats=1,
        note=lambda ms: f"{n_bytes / 1e6:,.0f} MB, {n_events / ms * 1000:,.0f} events/s",
    )
    time.sleep(2.1)  # until a change of a folder can be told from its time alone
    store = open_store(root)
    runs = store.runs()
    listed = sum(len(run.name) + 1000 + 130 * len(run.metrics) for run in runs)
    configs = sum(len(json.dumps(dict(run.config))) for run in runs)
    meter.add("list, last and best of 5 metrics, again", lambda: table(store), n_bytes=listed, aim_ms=10)
    meter.add("the same in a new reader", lambda: table(open_store(root)), n_bytes=listed)
    listed += configs
    meter.add("the same, and every config key", lambda: table_with_configs(open_store(root)), n_bytes=listed)
    n_overlaid = min(20, len(runs))
    meter.add(
        f"overlay {n_overlaid} x {DENSE_POINTS} points at {PIXELS} px",
        lambda: [store.curve(run, "train/loss", pixels=PIXELS) for run in runs[:n_overlaid]],
        n_bytes=n_overlaid * DENSE_POINTS * BYTES_PER_POINT,
        aim_ms=8,
    )
    growth = count()
    first = journals[0]
    meter.add("list after one run grew by 100 points", lambda: (grow(first, growth), table(store)), n_bytes=listed)


def measure_long(meter: Meter, root: Path, n_points: int) -> None:
    """Indexing, drawing and following one very long run."""
    (journal,) = journals_below(root)
    n_bytes = journal.stat().st_size
    meter.add(
        f"first indexing of {n_points:,} points",
        lambda: open_store(root).runs(),
        n_bytes=n_bytes,
        repeats=1,
        note=lambda ms: f"{n_bytes / 1e6:,.0f} MB, {n_points / ms * 1000:,.0f} events/s",
    )
    store = open_store(root)
    (run,) = store.runs()

    def draw(begin: float, n_steps: int, aim_ms: float | None = None) -> None:
        start = int(begin * n_points)
        meter.add(
            f"{n_steps:,} of {n_points:,} points at {PIXELS} px",
            lambda: store.curve(run, "train/loss", start=start, stop=start + n_steps - 1, pixels=PIXELS),
            n_bytes=n_steps * BYTES_PER_POINT,
            aim_ms=aim_ms,
        )

    draw(0, n_points, aim_ms=27)
    draw(0.31, n_points // 10)
    draw(0.62, n_points // 1000, aim_ms=5)
    growth = count()
    meter.add("list after it grew by 100 points", lambda: (grow(journal, growth), table(store)), n_bytes=100 * 110)


def table(store: Store) -> list[RunRecord]:
    """The runs, once what a table shows of them was looked at: the last and the best value of every metric."""
    runs = store.runs()
    assert all(metric.last + (metric.maximum or 0.0) for run in runs for metric in run.metrics.values())
    return runs


def table_with_configs(store: Store) -> int:
    """The same, and every config key."""
    return sum(len(scope) for run in table(store) for scope in run.config.values())


def make_run(root: Path, number: int, metrics: Iterator[tuple[int, dict[str, float]]]) -> Path:
    """Write the journal of a finished run as the writer would, integrity lines included."""
    run_id, writer_id = new_id(), new_id()
    folder = run_folder(root, "cola", run_id)
    folder.mkdir(parents=True)
    path = journal_file(folder, writer_id)
    config = {f"key_{index}": random.choice([index, index / 7, f"value {index}", True]) for index in range(100)}
    opened = {"v": 1, "run_id": run_id, "writer_id": writer_id, "session_id": writer_id, "host": "bench", "pid": 1}
    head: list[tuple[type[KnownEvent], dict[str, Any]]] = [
        (WriterOpened, opened),
        (RunStarted, {"project": "cola", "name": f"run-{number}"}),
        (ConfigLogged, {"scope": "script", "config": config}),
        (SeedsLogged, {"init": 1, "data": 2, "dropout": number}),
    ]
    points = ((MetricsLogged, {"step": step, "metrics": values}) for step, values in metrics)
    with path.open("wb") as file:
        file.writelines(journal_lines(chain(head, points, [(RunFinished, {"status": "finished"})])))
    return path


def journal_lines(events: Iterable[tuple[type[KnownEvent], dict[str, Any]]]) -> Iterator[bytes]:
    """The events as lines, with an integrity line after every 4,000."""
    unchecked: list[bytes] = []
    for seq, (kind, fields) in enumerate(events):
        n_checks = seq // INTEGRITY_EVERY_LINES
        line = encode(kind(seq=seq + n_checks, t=T0 + seq * STEP_NS, **fields))
        unchecked.append(line)
        yield line
        if len(unchecked) == INTEGRITY_EVERY_LINES:
            covered = b"".join(unchecked)
            place = {"seq": seq + n_checks + 1, "t": T0 + seq * STEP_NS, "size_bytes": len(covered)}
            draft = crc_covered(encode(Integrity(crc32=0, **place)))
            yield encode(Integrity(crc32=zlib.crc32(draft, zlib.crc32(covered)), **place))
            unchecked.clear()


def ordinary_run(number: int) -> Iterator[tuple[int, dict[str, float]]]:
    """A dense training loss, and evaluations in between."""
    noise = random.Random(number)
    every = DENSE_POINTS // SPARSE_POINTS
    for step in range(1, DENSE_POINTS + 1):
        yield step, {"train/loss": 2.0 / (1 + step / 500) + noise.gauss(0, 0.05)}
        if step % every == 0:
            yield step, {name: noise.random() for name in SPARSE}


def long_run(n_points: int) -> Iterator[tuple[int, dict[str, float]]]:
    """One very long, noisy curve."""
    noise = random.Random(0)
    for step in range(n_points):
        yield step, {"train/loss": 2.0 / (1 + step / 500_000) + noise.random()}


def grow(journal: Path, seqs: Iterator[int]) -> None:
    """Append 100 points after the last ones, as a writer that goes on would."""
    step = 10**9 + 100 * next(seqs)
    with journal.open("ab") as file:
        for index in range(step, step + 100):
            file.write(encode(MetricsLogged(seq=index, t=T0 + index, step=index, metrics={"train/loss": 1.0})))


def journals_below(root: Path) -> list[Path]:
    """Every journal file of a root."""
    return sorted(root.glob("*/*/journal-*.jsonl"))


def milliseconds(action: Callable[[], object]) -> float:
    """How long the action takes."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1000


def read_bytes(path: Path, n_bytes: int) -> None:
    """Read the first bytes of a file, as they lie in the page cache."""
    with path.open("rb", buffering=0) as file:
        while n_bytes > 0:
            n_bytes -= len(file.read(min(n_bytes, 1 << 24)))


def print_row(row: Row) -> None:
    """One line of the table."""
    aim = "" if row.aim_ms is None else f"{row.aim_ms:.0f}"
    ratio = row.measured_ms / max(row.floor_ms, 1e-6)
    print(f"{row.what:44} {row.measured_ms:10.1f} {row.floor_ms:10.2f} {ratio:7.1f} {aim:>7}  {row.note}", flush=True)


if __name__ == "__main__":
    main()
