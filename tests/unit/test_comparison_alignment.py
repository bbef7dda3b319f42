"""The axis on which runs are laid side by side, and grouping by named keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trackbridge.comparison import compare
from trackbridge.comparison.align import positions
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.store.records import RunRecord, Series, Session
from trackbridge.store.series import summarize
from trackbridge.testing.records import STARTED_NS, build_run

SECOND_NS = 1_000_000_000


def with_batch(name: str, batch_size: int, curve: dict[int, float], **arguments: int) -> RunRecord:
    told = {"per_device_train_batch_size": batch_size, **arguments}
    return build_run(name, config={"training_arguments": told}, curves={"eval/mcc": curve})


def with_epochs(name: str, epochs: dict[float, float]) -> RunRecord:
    steps = np.arange(1, len(epochs) + 1, dtype=np.int64)
    series = Series("eval/mcc", steps, np.array(list(epochs.values())), steps * SECOND_NS, np.array(list(epochs)))
    return replace(
        build_run(name), metrics={"eval/mcc": summarize(series)}, load_series={"eval/mcc": series}.__getitem__
    )


def test_by_samples_a_batch_twice_as_large_has_come_twice_as_far() -> None:
    small = with_batch("small", 16, {100: 0.3, 200: 0.5, 400: 0.6})
    large = with_batch("large", 16, {50: 0.35, 100: 0.55}, gradient_accumulation_steps=2)

    metric = compare([small, large], at="common", align="samples").metrics["eval/mcc"]

    assert (metric.common.unit, metric.common.number) == ("sample", "3200")
    assert [score.common.value for score in metric.runs if score.common] == [0.5, 0.55]


def test_the_number_of_processes_counts_in_the_samples() -> None:
    config = {"training_arguments": {"per_device_train_batch_size": 8}, "trainer": {"processes": 4}}
    run = build_run("a", config=config, curves={"eval/mcc": {10: 0.5}})

    assert positions(run, run.series("eval/mcc"), "samples").tolist() == [320.0]


def test_a_scripts_batch_size_will_do() -> None:
    run = build_run("a", config={"script": {"batch_size": 4}}, curves={"eval/mcc": {10: 0.5}})

    assert positions(run, run.series("eval/mcc"), "samples").tolist() == [40.0]


def test_samples_without_a_batch_size_are_refused() -> None:
    with pytest.raises(MisuseError, match="'a' recorded no batch size"):
        compare([build_run("a", curves={"eval/mcc": [0.5]})], align="samples")


def test_by_epoch_runs_of_different_length_meet_at_the_same_epoch() -> None:
    metric = compare(
        [with_epochs("a", {0.5: 0.1, 1.0: 0.4, 1.5: 0.5}), with_epochs("b", {1.0: 0.3, 2.0: 0.6})],
        at="common",
        align="epoch",
    ).metrics["eval/mcc"]

    assert (metric.common.position, metric.common.number) == (1.5, "1.5")
    assert [score.common.value for score in metric.runs if score.common] == [0.5, 0.3]


def test_epochs_that_were_not_logged_are_refused() -> None:
    with pytest.raises(MisuseError, match="without epochs; align by 'step' or 'time'"):
        compare([build_run("a", curves={"eval/mcc": [0.5]})], align="epoch")


def test_time_between_two_sessions_does_not_count() -> None:
    def session(start_s: int, end_s: int) -> Session:
        return Session("s", "h", None, 1, None, STARTED_NS + start_s * SECOND_NS, STARTED_NS + end_s * SECOND_NS)

    run = build_run(
        "a", curves={"eval/mcc": {10: 0.1, 100: 0.2, 1010: 0.3}}, sessions=(session(0, 100), session(1000, 1100))
    )

    assert positions(run, run.series("eval/mcc"), "time").tolist() == [10.0, 100.0, 110.0]


def test_time_of_a_record_without_sessions_begins_with_the_run() -> None:
    run = build_run("a", curves={"eval/mcc": {10: 0.1}})

    assert positions(run, run.series("eval/mcc"), "time").tolist() == [10.0]


def test_grouping_by_a_key_puts_different_settings_together_and_says_so() -> None:
    runs = [
        build_run(f"{lr}-{warmup}", config={"script": {"lr": lr, "warmup": warmup}}, curves={"eval/mcc": [0.5]})
        for lr in (1e-5, 2e-5)
        for warmup in (0.0, 0.1)
    ]

    comparison = compare(runs, by="lr")

    assert [(group.label, len(group.runs)) for group in comparison.groups] == [("lr=1e-05", 2), ("lr=2e-05", 2)]
    told = [note.text for note in comparison.notes if note.code == "mixed_settings"]
    assert told[0] == "the runs of lr=1e-05 are no replicates: they also differ in warmup"


def test_grouping_by_a_key_that_some_runs_lack() -> None:
    runs = [build_run("a", config={"script": {"lr": 1}}), build_run("b", config={"script": {"other": 1}})]

    assert [group.label for group in compare(runs, by=["lr"]).groups] == ["lr=1", "no lr"]


def test_a_baseline_is_found_by_the_same_keys() -> None:
    def runs(name: str, score: float) -> list[RunRecord]:
        return [
            build_run(f"{name}-{lr}", config={"script": {"lr": lr, "v": name}}, curves={"eval/mcc": [score + lr]})
            for lr in (0.1, 0.2)
        ]

    comparison = compare(runs("new", 0.5), baseline=runs("old", 0.4), by="lr")

    assert comparison.baselines == {2: 0, 3: 1}
    assert comparison.metrics["eval/mcc"].groups[3].difference == pytest.approx(0.1)


def test_an_unknown_or_ambiguous_key_is_refused() -> None:
    runs = [build_run("a", config={"script": {"lr": 1}, "model": {"lr": 2}})]

    with pytest.raises(NotFoundError, match=r"did you mean 'script\.lr'"):
        compare(runs, by="script.lrr")
    with pytest.raises(MisuseError, match=r"several config keys end in 'lr': name one of model\.lr, script\.lr"):
        compare(runs, by="lr")
