"""What an adapter has to do where there is a server that can be away, or refuse; see `contract` for how to use it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar

import pytest

from trackbridge.errors import DeliveryRefused, TransientDeliveryError
from trackbridge.testing.bench import Bench, give_up, is_confirmed_within
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.seen import OnlineTracker


class OnlineContract(AdapterContract):
    """`AdapterContract`, and the behaviour in outages and refusals."""

    way_out: ClassVar[str]
    """A part of the sentence that tells how to mend a refused key, such as the name of its environment variable."""

    def test_an_outage_at_the_start_is_transient(self, bench: Bench, tracker: OnlineTracker) -> None:
        with tracker.outage(), pytest.raises(TransientDeliveryError):
            bench.open()

        bench.rows.add_metrics(1, {"train/loss": 1.0})
        bench.deliver()
        bench.assert_all_arrived()

    def test_an_outage_is_no_confirmation_and_all_arrives_after_it(self, bench: Bench, tracker: OnlineTracker) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        remote = bench.deliver(ending=None)
        adapter = bench.open(remote)
        for step in range(2, 22):
            bench.rows.add_metrics(step, {"train/loss": 1 / step})
        with tracker.outage():
            assert not is_confirmed_within(adapter, bench.rows.rows, timeout_s=3.0)
            give_up(adapter)

        bench.deliver(remote)
        bench.assert_all_arrived()

    def test_a_refused_key_is_a_refusal_that_names_the_way_out(self, bench: Bench, tracker: OnlineTracker) -> None:
        with tracker.refusal(), pytest.raises(DeliveryRefused) as refused:
            bench.open()

        assert self.way_out in str(refused.value)
        assert tracker.secret not in str(refused.value)

    def test_a_refusal_is_no_confirmation_and_all_arrives_after_it(self, bench: Bench, tracker: OnlineTracker) -> None:
        adapter = bench.connect()
        remote = adapter.open(bench.rows.header, None)
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        with tracker.refusal():
            assert not is_confirmed_within(adapter, bench.rows.rows, timeout_s=3.0)
            give_up(adapter)

        bench.deliver(remote)
        bench.assert_all_arrived()

    def test_the_key_is_in_no_body_log_file_or_error(
        self, bench: Bench, tracker: OnlineTracker, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        bench.rows.add_metrics(1, {"train/loss": 1.0})
        with caplog.at_level(logging.DEBUG):
            bench.deliver()
            with tracker.outage(), pytest.raises(TransientDeliveryError) as outage:
                bench.open()

        written = [path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [path for path in written if tracker.secret.encode() in path.read_bytes()] == []
        assert tracker.secret not in caplog.text + str(outage.value)
        assert tracker.secret.encode() not in tracker.received()
