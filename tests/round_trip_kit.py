"""A run that holds everything, delivered to a tracker's offline format by our adapter and imported from there."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import trackbridge as tb
from trackbridge.sources.importing import import_runs
from trackbridge.sources.outcome import ImportReport
from trackbridge.store.records import RunRecord

CONFIG = {"lr": 2e-5, "optimizer": {"name": "AdamW ü", "betas": [0.9, 0.999]}, "warm": True, "empty": None, "n": 3}
ROWS = [["a | b", 1], ["1", 0.5], [None, "zwei\nZeilen"]]


def make_run(root: Path, work: Path) -> RunRecord:
    """A run of two sessions: it was resumed behind step 3, and failed."""
    checkpoint = work / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.bin").write_bytes(b"weights")
    options: dict[str, Any] = {"group": "study/ü", "tags": ["a, b", "ü"], "notes": "# Notes\nof two lines"}
    with tb.start_run("demo", name="base line/ü", config=CONFIG, root=root, **options) as run:
        run.log_config({"hidden_size": 8}, scope="model")
        run.log_seeds(tb.Seeds(init=1, data=2, dropout=3))
        for step in range(1, 6):
            run.log(
                {"train/loss": 1 / step, "train/grad_norm": math.nan if step == 2 else step}, step=step, epoch=step / 5
            )
        run.log({"eval/mcc": math.inf}, step=3, epoch=3 / 5)
        run.log_checkpoint(checkpoint, step=3, metrics={"eval/mcc": 0.5})
    (work / "notes.bin").write_bytes(b"\x00\x01")
    with pytest.raises(ZeroDivisionError), tb.start_run("demo", resume_from=checkpoint, root=root) as run:
        _resumed(run, work)
    return tb.open_store(root).run("base line/ü")


def _resumed(run: tb.Run, work: Path) -> None:
    print("Es geht weiter, größer")
    for step in range(4, 7):
        run.log({"train/loss": 10 / step}, step=step)
    table = tb.Table(["wer", "was"], ROWS, caption="Wer?")
    run.log({"story": tb.Text("Es war\neinmal"), "confusion": table}, step=6)
    run.log({"sample": tb.Image(bytes.fromhex(PNG)), "weights": tb.Histogram([1.0, 2.0, 2.0], bins=2)}, step=6)
    (work / "checkpoint-6").mkdir()
    run.log_checkpoint(work / "checkpoint-6", step=6, metrics={"eval/mcc": 0.25})
    run.log_summary({"best": 0.5, "where": {"step": 3}})
    run.log_artifact(work / "notes.bin", name="notes", type="data")
    raise ZeroDivisionError("on purpose")


PNG = (
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c6360606000000004000146b4c5d90000000049454e44ae426082"
)


def there_and_back(record: RunRecord, root: Path, *, tracker: str, back: Path) -> tuple[RunRecord, ImportReport]:
    """The run as it is after it was delivered to the tracker's offline format and imported from there."""
    report = tb.sync(root, to=[f"{tracker}:offline"], runs=[record])
    assert [one.outcome for one in report.synced] == ["delivered"], report
    imported = import_runs(Path(record.path) / "offline" / tracker, source=tracker, root=back)
    assert [(run.state, run.problems) for run in imported.runs if run.state == "refused" or run.problems] == []
    return tb.open_store(back).run(record.name), imported


def told(record: RunRecord) -> dict[str, Any]:
    """All that describes a run, but for what says where it was recorded or imported."""
    environment = {name: part for name, part in record.environment.items() if name != "import"}
    labels = (record.project, record.name, record.group, tuple(record.tags), record.notes)
    last = record.sessions[-1]
    return {
        "labels": labels,
        # The scope of the tracker keeps what has no place elsewhere, such as the id that the run had.
        "config": {scope: config for scope, config in record.config.items() if scope in ("script", "model")},
        "seeds": record.seeds,
        "environment": environment,
        "summary": record.summary,
        "status": (last.status, last.exit_code, last.error, last.traceback),
        "checkpoints": [(one.step, one.path, one.metrics) for one in record.checkpoints],
    }


def curves(record: RunRecord) -> dict[str, list[tuple[int, str, str]]]:
    """Step, value and epoch of every point that counts."""
    return {
        name: [(step, repr(value), repr(epoch)) for step, value, epoch in zip(*columns(record, name)[:3], strict=True)]
        for name in record.metrics
    }


def columns(record: RunRecord, name: str) -> list[list[Any]]:
    """Steps, values, epochs and times of a series."""
    series = record.series(name)
    return [column.tolist() for column in (series.steps, series.values, series.epochs, series.times_ns)]


def assert_same_times(first: RunRecord, second: RunRecord, *, within_ns: int) -> None:
    """Every point of the first has the time that it has in the second, as exact as the tracker keeps it."""
    for name in first.metrics:
        pairs = zip(columns(first, name)[3], columns(second, name)[3], strict=True)
        assert all(abs(one - other) <= within_ns for one, other in pairs), name


def media(record: RunRecord) -> dict[tuple[str, str, int], Any]:
    """The content of all media, decoded where it is JSON, with their captions."""
    return {
        (one.name, one.media, one.step): (_content(Path(record.path) / one.path), one.caption) for one in record.media
    }


def _content(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.suffix == ".json" else path.read_bytes()
