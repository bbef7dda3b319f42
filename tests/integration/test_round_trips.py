"""A run that trackbridge delivered to a tracker's own files comes back from them as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from round_trip_kit import assert_same_times, curves, make_run, media, there_and_back, told

from trackbridge.store.records import RunRecord

MICROSECOND_NS, MILLISECOND_NS = 1_000, 1_000_000


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("recorded")
    return make_run(folder / "runs", folder / "work")


@pytest.mark.parametrize(
    ("tracker", "within_ns"),
    [
        ("comet", MILLISECOND_NS),
        ("mlflow", MILLISECOND_NS),
        ("neptune", MILLISECOND_NS),
        ("tensorboard", MICROSECOND_NS),
    ],
)
def test_what_trackbridge_wrote_comes_back_as_it_was(
    record: RunRecord, tmp_path: Path, tracker: str, within_ns: int
) -> None:
    root = Path(record.path).parent.parent

    returned, _ = there_and_back(record, root, tracker=tracker, back=tmp_path / "back")

    assert told(returned) == told(record)
    assert curves(returned) == curves(record)
    assert_same_times(returned, record, within_ns=within_ns)
    assert [session.from_step for session in returned.sessions] == [None, 3]
    assert returned.n_superseded == record.n_superseded
    assert media(returned) == media(record)
