"""What the fake Neptune server shows of runs that did not come from trackbridge."""

from __future__ import annotations

from trackbridge.testing.fake_neptune_run import FakeNeptuneRun
from trackbridge.testing.seen import SeenPoint


def test_a_console_that_the_sdk_streams_beside_the_machines_metrics_is_no_metric() -> None:
    run = FakeNeptuneRun("id", "DEMO-1", None)
    number = {"value": 41.5, "step": 1, "timestampMilliseconds": 1000}
    line = {"value": "a warning\n", "step": 1, "timestampMilliseconds": 1000}

    run.apply({"path": "monitoring/8c40/cpu", "logFloats": {"entries": [number]}})
    run.apply({"path": "monitoring/8c40/stderr", "logStrings": {"entries": [line]}})

    assert run.seen().points == (SeenPoint("8c40/cpu", 41.5, 1, 1_000_000_000),)
