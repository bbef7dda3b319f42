"""`Run.log`: what is a metric, what is refused and how, and what it leaves alone."""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict, UserDict
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

import trackbridge as tb
from trackbridge.errors import MisuseError, RunClosedError
from trackbridge.events.models import MetricsLogged
from trackbridge.testing.written import events_of


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tb.Run]:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("log", root=tmp_path / "runs") as run:
        yield run


def logged(run: tb.Run) -> list[tuple[int, dict[str, float]]]:
    return [(event.step, event.metrics) for event in events_of(run.path, MetricsLogged)]


def test_scalars_are_written_in_the_order_they_were_logged(run: tb.Run) -> None:
    run.log({"train/loss": 0.5, "train/lr": 2e-5}, step=1)
    run.log({"train/loss": 0.25}, step=2, epoch=0.5)

    events = events_of(run.path, MetricsLogged)

    assert [(event.step, event.metrics, event.epoch) for event in events] == [
        (1, {"train/loss": 0.5, "train/lr": 2e-5}, None),
        (2, {"train/loss": 0.25}, 0.5),
    ]


@pytest.mark.parametrize("epoch", [0.5, 2, np.float32(0.5), math.nan, math.inf])
def test_an_epoch_is_kept_as_a_float(run: tb.Run, epoch: Any) -> None:
    for step in (1, 2):
        run.log({"a": 1.0}, step=step, epoch=epoch)

    assert [repr(event.epoch) for event in events_of(run.path, MetricsLogged)] == [repr(float(epoch))] * 2


def test_an_epoch_makes_a_call_no_slower(run: tb.Run) -> None:
    def block_ns(epoch: float | None) -> int:
        began = time.perf_counter_ns()
        for step in range(2000):
            run.log({"train/loss": 0.5}, step=step, epoch=epoch)
        return time.perf_counter_ns() - began

    # By turns, and the least of many: the rest measures what else the machine is doing.
    without, with_epoch = zip(*((block_ns(None), block_ns(0.5)) for _ in range(10)), strict=True)

    assert min(with_epoch) < 2 * min(without)


@pytest.mark.parametrize(
    "value",
    [
        3, 3.0, Fraction(3), np.int64(3), np.float16(3), np.float32(3), np.float64(3), np.array(3.0), np.array([[3.0]]),
        torch.tensor(3), torch.tensor(3.0), torch.tensor([3.0], dtype=torch.bfloat16),
        torch.tensor(3.0, requires_grad=True),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)  # fmt: skip
def test_every_kind_of_number_becomes_a_float(run: tb.Run, value: Any) -> None:
    run.log({"a": value}, step=1)

    ((_, metrics),) = logged(run)
    assert metrics == {"a": 3.0}
    assert type(metrics["a"]) is float


def test_the_float64_that_was_logged_is_read_back_to_the_bit(run: tb.Run) -> None:
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, math.pi]

    for step, value in enumerate(values):
        run.log({"a": value}, step=step)

    assert [metrics["a"].hex() for _, metrics in logged(run)] == [value.hex() for value in values]


def test_nan_and_infinities_are_points_like_any_other(run: tb.Run) -> None:
    run.log({"a": math.nan, "b": 1.0}, step=1)
    run.log({"a": -math.inf, "b": torch.tensor(math.inf)}, step=2)
    run.log({"a": 1.0, "b": 2.0}, step=3, epoch=math.nan)

    (_, first), (_, second), (_, third) = logged(run)
    assert math.isnan(first["a"])
    assert first["b"] == 1.0
    assert second == {"a": -math.inf, "b": math.inf}
    assert third == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize("step", [0, np.int64(0), 2**63 - 1, np.uint64(7)])
def test_any_integer_that_is_not_negative_is_a_step(run: tb.Run, step: Any) -> None:
    run.log({"a": 1.0}, step=step)

    assert logged(run) == [(int(step), {"a": 1.0})]


@pytest.mark.parametrize("kind", [OrderedDict, MappingProxyType, UserDict])
def test_any_mapping_can_be_logged(run: tb.Run, kind: Any) -> None:
    run.log({"a": 1.0}, step=0)
    run.log(kind({"a": 2.0}), step=1)

    assert logged(run)[1] == (1, {"a": 2.0})


def test_an_empty_mapping_writes_nothing(run: tb.Run) -> None:
    run.log({}, step=1)

    assert logged(run) == []


@pytest.mark.parametrize("first", [True, False], ids=["new name", "known name"])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "metric 'a' is the bool True; a metric is a number: log int(value)"),
        ("0.5", "metric 'a' is '0.5' (str); expected a number, a one-element tensor, or tb.Table"),
        ("adam", "Settings belong in run.log_config(...)"),
        (None, "metric 'a' is None (NoneType)"),
        ([1.0], "metric 'a' is [1.0] (list)"),
        (1j, "metric 'a' is 1j (complex)"),
        (Decimal(1), "metric 'a' is Decimal('1') (Decimal)"),
        (np.ones(3), "metric 'a' has 3 elements; a metric is one number: log its mean, or tb.Histogram(...)"),
        (torch.ones(2, 2), "metric 'a' has 4 elements"),
        (np.array("x"), "metric 'a' is"),
        (10**400, "metric 'a' is an int too large"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused_with_its_name_and_the_fix(
    run: tb.Run, value: Any, told: str, first: bool
) -> None:
    if not first:
        run.log({"a": 0.5}, step=0)
    before = logged(run)

    with pytest.raises(MisuseError, match=re.escape(told)):
        run.log({"b": 1.0, "a": value}, step=1)

    assert logged(run) == before


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (-1, "step is -1; expected 0 or more"),
        (2**63, "step is 9223372036854775808"),
        (1.0, r"step is 1.0 \(float\); expected an integer"),
        (True, r"step is True \(bool\)"),
        ("1", r"step is '1' \(str\)"),
        (None, r"step is None \(NoneType\)"),
    ],
)
def test_what_is_no_step_is_refused_with_the_value(run: tb.Run, step: Any, told: str) -> None:
    with pytest.raises(MisuseError, match=told):
        run.log({"a": 1.0}, step=step)

    assert logged(run) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (1, "a metric name must be a string such as 'train/loss', not 1 (int)"),
        ("", "a metric name has 1 to 500 characters; this one has 0"),
        ("x" * 501, "this one has 501"),
        ("a\nb", "control character"),
        ("a\ud800", "not valid Unicode"),
    ],
)  # fmt: skip
def test_what_is_no_metric_name_is_refused(run: tb.Run, name: Any, told: str) -> None:
    with pytest.raises(MisuseError) as caught:
        run.log({name: 1.0}, step=1)

    assert told in str(caught.value)
    # The refused name must not count as known at the next call.
    with pytest.raises(MisuseError):
        run.log({name: 1.0}, step=1)


@pytest.mark.parametrize("metrics", [0.5, [("a", 1.0)], "loss", None])
def test_what_is_no_mapping_is_refused_with_an_example(run: tb.Run, metrics: Any) -> None:
    with pytest.raises(MisuseError, match=r"log takes a mapping such as {'train/loss': 0.5}"):
        run.log(metrics, step=1)


@pytest.mark.parametrize("epoch", ["1", True, np.array([1.0, 2.0])], ids=["text", "switch", "array"])
def test_an_epoch_that_is_no_number_is_refused(run: tb.Run, epoch: Any) -> None:
    with pytest.raises(MisuseError, match="'epoch'"):
        run.log({"a": 1.0}, step=1, epoch=epoch)


def test_the_callers_mapping_is_neither_changed_nor_kept(run: tb.Run) -> None:
    tensor = torch.tensor(0.5, requires_grad=True)
    metrics = {"a": 0.5, "b": tensor}

    run.log(metrics, step=1)
    metrics["a"] = 9.0
    with torch.no_grad():
        tensor.fill_(9.0)
    run.log(metrics, step=2)

    assert metrics == {"a": 9.0, "b": tensor}
    assert tensor.grad is None
    assert logged(run) == [(1, {"a": 0.5, "b": 0.5}), (2, {"a": 9.0, "b": 9.0})]


def test_any_unicode_name_survives(run: tb.Run) -> None:
    names = ["größe/δ", "精度", "🙂", "with space", 'quo"te\\', "null", "\u2028", "{$float}"]

    run.log(dict.fromkeys(names, 1.0), step=1)

    assert list(logged(run)[0][1]) == names


@pytest.mark.parametrize(
    "verb",
    [
        lambda run: run.log({"a": 1.0}, step=1),
        lambda run: run.log({"a": math.nan}, step=1),
        lambda run: run.log({"a": tb.Text("x")}, step=1),
        lambda run: run.log_config({"a": 1}),
        lambda run: run.log_seeds(tb.Seeds(init=1)),
        lambda run: run.log_summary({"a": 1}),
        lambda run: run.log_checkpoint(run.path, step=1),
        lambda run: run.log_artifact(run.path),
        lambda run: run.set_tags("a"),
    ],
)
def test_a_verb_after_the_end_says_so_and_names_the_fix(tmp_path: Path, verb: Any) -> None:
    run = tb.start_run("ended", root=tmp_path / "runs", name="baseline")
    run.log({"a": 1.0}, step=0)
    run.finish()
    before = list(run.path.rglob("*"))

    with pytest.raises(RunClosedError) as caught:
        verb(run)

    assert "run 'baseline' has ended" in str(caught.value)
    assert f"start_run('ended', run_id='{run.run_id}')" in str(caught.value)
    assert list(run.path.rglob("*")) == before
