"""Every source to every tracker and back: runs by the real SDKs, delivered by our adapters, imported again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import round_trip_kit
import sdk_runs

import trackbridge as tb
from trackbridge.sources.importing import import_runs
from trackbridge.store.records import RunRecord
from trackbridge.testing.crossing import Crossing, cross

MAKERS: dict[str, Callable[[Path], Path]] = {
    "wandb": sdk_runs.log_to_wandb,
    "comet": sdk_runs.log_to_comet,
    "neptune": sdk_runs.log_to_neptune,
    "mlflow": sdk_runs.log_to_mlflow_files,
    "tensorboard": sdk_runs.log_to_tensorboard,
}
SOURCES = (*MAKERS, "trackbridge")
TARGETS = ("wandb", "comet", "neptune", "mlflow", "tensorboard")

Crossings = Mapping[str, Mapping[str, Mapping[str, Crossing]]]
"""What became of each field, by source and target."""


def all_crossings(folder: Path) -> Crossings:
    """One run of every source, to every target's offline format and back; everything is written below the folder."""
    root = folder / "runs"
    records = {source: _imported(source, folder / "made" / source, root) for source in MAKERS}
    records["trackbridge"] = round_trip_kit.make_run(root, folder / "made" / "trackbridge")
    report = tb.sync(root, to=[f"{target}:offline" for target in TARGETS])
    assert report.is_complete, [(one.target, one.record.name, one.outcome, one.error) for one in report.synced]
    return {
        source: {target: cross(record, _back(record, target, folder / "back" / source)) for target in TARGETS}
        for source, record in records.items()
    }


def _imported(source: str, place: Path, root: Path) -> RunRecord:
    place.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Some SDKs warn about themselves; outside of tests Python keeps such warnings to itself.
        warnings.simplefilter("ignore")
        made = MAKERS[source](place)
    report = import_runs(made, source=source, root=root, files_from=[place])
    assert not [problem for run in report.runs for problem in run.problems], report
    (run_id,) = {run.run_id for run in report.runs}
    return _record(root, run_id)


def _back(record: RunRecord, target: str, folder: Path) -> RunRecord:
    root = folder / target
    report = import_runs(Path(record.path) / "offline" / target, source=target, root=root)
    assert not [problem for run in report.runs for problem in run.problems], report
    (run_id,) = {run.run_id for run in report.runs}
    return _record(root, run_id)


def _record(root: Path, run_id: str) -> RunRecord:
    return next(record for record in tb.open_store(root).runs() if record.run_id == run_id)
