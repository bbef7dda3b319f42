"""Neptune servers that answer late, half or not at all, refuse, or say no to a part."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from neptune_kit import add_steps, bench_at, connected

from trackbridge.adapters import neptune_sdk
from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.testing.bench import Bench, give_up
from trackbridge.testing.fake_neptune import FakeNeptune


@pytest.fixture
def neptune(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
    with connected(monkeypatch) as server:
        yield server


@pytest.fixture
def bench(neptune: FakeNeptune, tmp_path: Path) -> Bench:
    return bench_at(neptune, tmp_path)


class TestAnswers:
    def test_what_was_kept_of_a_torn_request_is_not_sent_again(self, bench: Bench, neptune: FakeNeptune) -> None:
        neptune.keeps_repeats = True
        remote = bench.deliver(ending=None)
        add_steps(bench.rows, 1, 21)
        with neptune.torn():
            adapter = bench.open(remote)
            with pytest.raises(TransientDeliveryError, match="500"):
                adapter.deliver(bench.rows.rows)
        assert 0 < len(bench.seen.curve("train/loss")) < 21

        bench.deliver(remote)

        bench.assert_all_arrived()

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_a_request_that_was_cut_off_counts_once(self, bench: Bench, neptune: FakeNeptune, cut: str) -> None:
        neptune.keeps_repeats = True
        remote = bench.deliver(ending=None)
        add_steps(bench.rows, 1, 21)
        adapter = bench.open(remote)
        with neptune.trouble(cut=cut, where="logFloats"), pytest.raises(TransientDeliveryError):
            adapter.deliver(bench.rows.rows)
        give_up(adapter)

        bench.deliver(remote)

        bench.assert_all_arrived()

    def test_a_slow_server_gets_everything(self, bench: Bench, neptune: FakeNeptune) -> None:
        add_steps(bench.rows, 1, 40)
        with neptune.trouble(delay_s=0.1, where="attributes"):
            bench.deliver()

        bench.assert_all_arrived()

    def test_hundreds_of_metrics_are_confirmed_side_by_side(self, bench: Bench, neptune: FakeNeptune) -> None:
        bench.rows.add_metrics(1, {f"layer_{number}/norm": float(number) for number in range(200)})
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        started = time.monotonic()
        with neptune.trouble(delay_s=0.02, where="series/float"):
            assert adapter.flush(30.0)

        # One by one these would take 4 s.
        assert time.monotonic() - started < 2.5

    def test_points_that_are_accepted_but_cannot_be_read_back_are_not_confirmed(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        add_steps(bench.rows, 1, 5)
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        series = neptune.run(bench.rows.header.run_id).fields["metrics/train/loss"].value
        last = series.pop()

        assert not adapter.flush(0.5)
        series.append(last)
        assert adapter.flush(5.0)

    @pytest.mark.parametrize("status", [503, 429])
    def test_a_server_in_trouble_is_told_within_seconds(self, bench: Bench, neptune: FakeNeptune, status: int) -> None:
        remote = bench.deliver(ending=None)
        started = time.monotonic()
        with neptune.trouble(status=status), pytest.raises(TransientDeliveryError, match=str(status)):
            bench.open(remote)
        assert time.monotonic() - started < 5.0

    def test_a_dead_host_is_told_within_seconds(self, bench: Bench, neptune: FakeNeptune) -> None:
        started = time.monotonic()
        with neptune.outage(), pytest.raises(TransientDeliveryError) as outage:
            bench.open()
        assert time.monotonic() - started < 5.0
        assert re.fullmatch(rf"no answer from {neptune.url} \(ConnectionRefusedError: .{{1,40}}\)", str(outage.value))

    def test_a_token_of_the_hosted_service_is_told_that_it_closed(self) -> None:
        neptune_sdk.load_sdk()
        error = neptune_sdk.delivery_error(ConnectionError("refused"), "https://app.neptune.ai")

        assert isinstance(error, TransientDeliveryError)
        assert "closed on 5 March 2026" in str(error)
        assert "closed" not in str(neptune_sdk.delivery_error(ConnectionError("refused"), "https://neptune.example"))


class TestRefusals:
    @pytest.mark.parametrize("missing", ["NEPTUNE_API_TOKEN", "NEPTUNE_PROJECT"])
    def test_a_missing_setting_is_named(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
        monkeypatch.delenv(missing)

        with pytest.raises(DeliveryRefused, match=rf"export .*{missing}"):
            bench.open()

    def test_a_token_that_is_none_is_refused_without_being_shown(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NEPTUNE_API_TOKEN", "not-a-token")

        with pytest.raises(DeliveryRefused, match="token of a self-hosted server") as refused:
            bench.open()
        assert "not-a-token" not in str(refused.value)

    def test_an_unknown_project_is_refused(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NEPTUNE_PROJECT", "team/nowhere")

        with pytest.raises(DeliveryRefused, match=r"project that exists .*NEPTUNE_PROJECT"):
            bench.open()

    def test_an_address_without_a_neptune_server_is_refused(self, bench: Bench, neptune: FakeNeptune) -> None:
        with neptune.trouble(status=404), pytest.raises(DeliveryRefused, match=f"no Neptune server at {neptune.url}"):
            bench.open()

    def test_a_token_without_permission_is_refused(self, bench: Bench, neptune: FakeNeptune) -> None:
        remote = bench.deliver(ending=None)
        with neptune.refusal(403), pytest.raises(DeliveryRefused, match="permission"):
            bench.open(remote)

    def test_a_run_that_was_deleted_at_neptune_stops_the_delivery(self, bench: Bench, neptune: FakeNeptune) -> None:
        adapter = bench.open()
        neptune.runs.clear()
        add_steps(bench.rows, 1, 2)

        with pytest.raises(DeliveryRefused, match="deleted"):
            adapter.deliver(bench.rows.rows)

    def test_plain_http_needs_to_be_allowed(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OAUTHLIB_INSECURE_TRANSPORT")

        with pytest.raises(DeliveryRefused, match="export OAUTHLIB_INSECURE_TRANSPORT=1"):
            bench.open()

    def test_an_answer_that_nobody_foresaw_is_a_bug_with_its_text(self, bench: Bench, neptune: FakeNeptune) -> None:
        adapter = bench.open()
        with neptune.trouble(status=418), pytest.raises(AdapterBug, match="418"):
            adapter.deliver(bench.rows.rows)

    def test_a_field_that_is_in_the_way_is_rejected_and_the_rest_arrives(
        self, bench: Bench, neptune: FakeNeptune
    ) -> None:
        remote = bench.deliver(ending=None)
        neptune.run(bench.rows.header.run_id).put("metrics/train/loss", "string", "put here by a person")
        add_steps(bench.rows, 1, 3)
        adapter = bench.open(remote)
        rejections = adapter.deliver(bench.rows.rows).rejections

        assert adapter.flush(5.0)
        assert [(one.row, one.kind, one.what) for one in rejections] == [
            (row, "metrics_logged", "metrics/train/loss") for row in (1, 2, 3)
        ]
        assert "string" in rejections[0].reason
        assert len(bench.seen.curve("train/lr")) == 3
