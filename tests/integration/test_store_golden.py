"""The golden journal of format version 1, kept for ever: whatever changes, it must tell the same record."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from trackbridge.store.records import RunRecord
from trackbridge.store.store import open_store

GOLDEN = Path(__file__).parent.parent / "golden" / "v1"


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    # A copy: reading a root leaves an index in it.
    shutil.copytree(GOLDEN / "cola", tmp_path / "cola")
    return open_store(tmp_path).run("baseline")


def as_json(value: Any) -> Any:
    """The value as strict JSON data, with non-finite numbers as words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def told(record: RunRecord) -> dict[str, Any]:
    """Everything a record tells but where it lies, with its points; of a problem the place, not our words for it."""
    plain = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    del plain["path"], plain["load_series"]
    plain["series"] = {
        name: {
            column: getattr(record.series(name), column).tolist()
            for column in ("steps", "values", "times_ns", "epochs")
        }
        for name in record.metrics
    }
    plain["problems"] = [(problem.file, problem.line, problem.offset) for problem in record.problems]
    for name in ("config", "environment", "summary"):
        plain[name] = dict(plain[name])
    plain["metrics"] = {name: dataclasses.asdict(metric) for name, metric in record.metrics.items()}
    plain["seeds"] = dataclasses.asdict(record.seeds)
    for name in ("sessions", "checkpoints", "media", "artifacts"):
        plain[name] = [dataclasses.asdict(one) for one in plain[name]]
    return as_json(plain)  # type: ignore[no-any-return]  # a dict stays a dict


def test_golden_journal_of_version_1_tells_the_same_record_for_ever(record: RunRecord) -> None:
    expected = json.loads((GOLDEN / "record.json").read_text(encoding="utf-8"))

    assert told(record) == expected


def test_golden_journal_holds_what_is_hard_to_read(record: RunRecord) -> None:
    assert len(record.sessions) == 2
    assert record.n_superseded == 3  # step 4 of loss, learning rate and the loader's wait; step 3 is damaged
    assert record.series("train/loss").steps.tolist() == [1, 2, 3, 6]
    assert record.metrics["train/loss"].n_nonfinite == 1
    assert [media.superseded for media in record.media] == [False, True]
    assert record.unknown_kinds == {"gpu_sampled": 1}
    assert [problem.line for problem in record.problems] == [14]
    assert record.config["data"]["filter"] == {"$gt": 5}
