"""What a delivered run looks like at Neptune, also to Neptune's own reader."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from neptune_kit import add_steps, bench_at, connected

from trackbridge.adapters.base import Ending, Row
from trackbridge.adapters.neptune_ledger import MAX_SERIES
from trackbridge.adapters.neptune_sdk import load_sdk
from trackbridge.events.models import ArtifactLogged, ConfigLogged, RunResumed, SummaryLogged
from trackbridge.testing.bench import Bench
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.rows import SECOND_NS, STARTED_NS


@pytest.fixture
def neptune(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
    with connected(monkeypatch) as server:
        yield server


@pytest.fixture
def bench(neptune: FakeNeptune, tmp_path: Path) -> Bench:
    return bench_at(neptune, tmp_path)


def test_a_resumed_session_has_series_of_its_own_where_it_repeats_steps(bench: Bench, neptune: FakeNeptune) -> None:
    add_steps(bench.rows, 1, 7)
    bench.rows.add_metrics(4, {"eval/mcc": 0.4})
    bench.rows.add(RunResumed, from_step=4)
    add_steps(bench.rows, 5, 10)
    bench.rows.add_metrics(8, {"eval/mcc": 0.5})

    bench.deliver()

    run = neptune.run(bench.rows.header.run_id)
    assert [entry.step for entry in run.value("metrics/train/loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.step for entry in run.value("metrics/train/loss~2")] == [5, 6, 7, 8, 9, 10]
    assert [entry.step for entry in run.value("metrics/eval/mcc")] == [4, 8]


def test_a_metric_logged_twice_at_each_step_has_two_series(bench: Bench, neptune: FakeNeptune) -> None:
    for step in range(1, 6):
        bench.rows.add_metrics(step, {"loss": 1.0})
        bench.rows.add_metrics(step, {"loss": 2.0})

    bench.deliver()

    run = neptune.run(bench.rows.header.run_id)
    assert [len(run.value(path)) for path in ("metrics/loss", "metrics/loss~2")] == [5, 5]
    assert "metrics/loss~3" not in run.fields
    assert [point.value for point in bench.seen.points] == [1.0, 2.0] * 5


def test_too_many_repeats_of_a_step_are_rejected(bench: Bench) -> None:
    for _ in range(MAX_SERIES + 2):
        bench.rows.add_metrics(1, {"loss": 1.0})

    rejections = bench.rejections()

    assert [one.row for one in rejections] == [MAX_SERIES + 1, MAX_SERIES + 2]
    assert len(bench.seen.points) == MAX_SERIES


def test_a_clock_that_was_set_back_loses_no_point(bench: Bench) -> None:
    add_steps(bench.rows, 1, 3)
    hour_ns = 3600 * SECOND_NS
    for step in (4, 5):
        row = bench.rows.add_metrics(step, {"train/loss": 1 / step})
        moved = type(row.event)(seq=row.event.seq, t=row.event.t - hour_ns, step=step, metrics=row.event.metrics)
        bench.rows.rows[-1] = Row(row.number, moved)

    bench.deliver()

    assert sorted(bench.seen.curve("train/loss")) == [(step, 1 / step) for step in (1, 2, 3, 4, 5)]


def test_numbers_that_are_not_finite_are_texts_beside_the_curve(bench: Bench, neptune: FakeNeptune) -> None:
    bench.rows.add_metrics(1, {"train/loss": 1.0})
    bench.rows.add_metrics(2, {"train/loss": float("nan")})
    bench.rows.add_metrics(3, {"train/loss": float("-inf")})

    bench.deliver()

    run = neptune.run(bench.rows.header.run_id)
    texts = [(entry.step, entry.value) for entry in run.value("not_finite/train/loss")]
    assert texts == [(2, "NaN"), (3, "-Infinity")]
    assert [entry.step for entry in run.value("metrics/train/loss")] == [1]


def test_values_keep_their_types_within_the_limits_of_neptune(bench: Bench, neptune: FakeNeptune) -> None:
    config = {"int": 2**31 - 1, "big": 2**40, "float": 2e-5, "bad": float("inf"), "flag": True}
    bench.rows.add(ConfigLogged, scope="script", config={**config, "text": "x" * 20_000})

    bench.deliver()

    fields = neptune.run(bench.rows.header.run_id).below("config/script")
    kinds = {name: (field.type, field.value) for name, field in fields.items() if name != "text"}
    assert kinds == {
        "int": ("int", 2**31 - 1),
        "big": ("string", str(2**40)),
        "float": ("float", 2e-5),
        "bad": ("string", "Infinity"),
        "flag": ("bool", True),
    }
    assert len(fields["text"].value) == 16_384
    assert fields["text"].value.endswith("[truncated]")
    assert neptune.run(bench.rows.header.run_id).value("long_values/config/script/text") == b"x" * 20_000


def test_a_value_may_change_its_type_and_a_key_may_go(bench: Bench, neptune: FakeNeptune) -> None:
    first = {"lr": 1, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "kept": "yes"}
    bench.rows.add(ConfigLogged, scope="script", config=first)
    remote = bench.deliver(ending=None)
    bench.rows.add(ConfigLogged, scope="script", config={"lr": 2.5e-5, "opt": {"name": "sgd"}})
    bench.rows.add(SummaryLogged, values={"best": 0.5})
    bench.rows.add(SummaryLogged, values={"best": "none"})
    adapter = bench.open(remote)

    assert adapter.deliver(bench.rows.rows).rejections == ()

    assert bench.seen.config == {"script/lr": "2.5e-05", "script/opt/name": "sgd", "script/kept": "yes"}
    assert bench.seen.summary == {"best": "none"}


def test_a_type_that_changes_in_a_batch_that_comes_again_is_no_rejection(bench: Bench) -> None:
    remote = bench.deliver(ending=None)
    bench.rows.add(ConfigLogged, scope="script", config={"lr": 1})
    bench.rows.add(ConfigLogged, scope="script", config={"lr": 0.5})
    bench.open(remote).deliver(bench.rows.rows)
    again = bench.open(remote)

    assert again.deliver(bench.rows.rows).rejections == ()

    assert bench.seen.config == {"script/lr": "0.5"}


def test_a_name_that_is_a_value_and_a_folder_finds_a_place(bench: Bench, neptune: FakeNeptune) -> None:
    bench.rows.add_metrics(1, {"loss": 1.0, "loss/mean": 2.0, "acc/top1": 3.0})
    remote = bench.deliver(ending=None)
    bench.rows.add_metrics(2, {"loss/mean": 2.5, "loss": 1.5, "acc": 4.0})
    rejections = [*bench.open(remote).deliver(bench.rows.rows).rejections]

    series = neptune.run(bench.rows.header.run_id).below("metrics")
    values = {path: [entry.value for entry in field.value] for path, field in series.items()}
    assert rejections == []
    assert values == {"loss": [1.0, 1.5], "loss~/mean": [2.0, 2.5], "acc/top1": [3.0], "acc~": [4.0]}


def test_epochs_are_a_series_with_one_point_a_step(bench: Bench, neptune: FakeNeptune) -> None:
    bench.rows.add_metrics(10, {"train/loss": 1.0}, epoch=0.5)
    bench.rows.add_metrics(10, {"eval/mcc": 0.1}, epoch=0.5)
    bench.rows.add_metrics(20, {"train/loss": 1.0}, epoch=1.0)

    bench.deliver()

    epochs = neptune.run(bench.rows.header.run_id).value("epoch")
    assert [(entry.step, entry.value) for entry in epochs] == [(10, 0.5), (20, 1.0)]


def test_a_large_file_arrives_whole(bench: Bench, neptune: FakeNeptune, tmp_path: Path) -> None:
    file = tmp_path / "weights.bin"
    file.write_bytes(os.urandom(12_000_000))
    fields = {"name": "weights", "type": "model", "path": str(file), "size_bytes": 12_000_000, "sha256": "0" * 64}
    bench.rows.add(ArtifactLogged, **fields)

    bench.deliver()

    content = neptune.run(bench.rows.header.run_id).value("artifacts/weights/files/weights.bin")
    assert content == file.read_bytes()


def test_what_a_person_changed_at_neptune_stays_when_the_run_goes_on(bench: Bench, neptune: FakeNeptune) -> None:
    add_steps(bench.rows, 1, 3)
    remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: out of memory"))
    run = neptune.run(bench.rows.header.run_id)
    run.put("sys/name", "string", "the good one")
    run.put("sys/description", "string", "see the notebook")
    assert run.value("sys/failed") is True
    add_steps(bench.rows, 4, 5)

    bench.deliver(remote, ending=None)

    assert (run.value("sys/name"), run.value("sys/description")) == ("the good one", "see the notebook")
    assert run.value("sys/failed") is True


def test_a_run_that_failed_and_then_finished_shows_no_error(bench: Bench, neptune: FakeNeptune) -> None:
    remote = bench.deliver(ending=Ending("failed", 1, "RuntimeError: out of memory", STARTED_NS))
    bench.rows.add(RunResumed, from_step=0)

    bench.deliver(remote)

    run = neptune.run(bench.rows.header.run_id)
    assert run.value("sys/failed") is False
    assert {name: field.value for name, field in run.below("run").items() if name in ("error", "exit_code")} == {
        "exit_code": 0
    }


def test_the_run_is_pinged_while_it_lives(bench: Bench, neptune: FakeNeptune) -> None:
    add_steps(bench.rows, 1, 3)
    bench.deliver(ending=None)

    assert neptune.run(bench.rows.header.run_id).pings > 0


def test_neptunes_own_reader_finds_everything(bench: Bench, neptune: FakeNeptune) -> None:
    bench.rows.add(ConfigLogged, scope="script", config={"optimizer": {"lr": 2e-5}, "layers": 12})
    add_steps(bench.rows, 1, 2500)
    remote = bench.deliver()

    load_sdk()
    import neptune as sdk

    run = sdk.init_run(with_id=remote.remote_id, mode="read-only")
    curve = run["metrics/train/loss"].fetch_values()
    fields = run.fetch()
    run["trackbridge/ledger"].download("ledger.json")
    run.stop()

    assert curve["step"].tolist() == list(range(1, 2501))
    assert curve["value"].tolist() == [1 / step for step in range(1, 2501)]
    assert fields["config"]["script"] == {"optimizer": {"lr": 2e-5}, "layers": 12}
    assert fields["sys"]["name"] == "baseline"
    assert fields["run"]["status"] == "finished"
    assert json.loads(Path("ledger.json").read_text())["rows"] == len(bench.rows.rows)
