"""The filter language of run tables, and the fields it names."""

from __future__ import annotations

from datetime import datetime

import pytest

from trackbridge.comparison.fields import Fields
from trackbridge.comparison.where import parse_filter
from trackbridge.errors import MisuseError, NotFoundError
from trackbridge.store.records import RunRecord, Seeds, Session
from trackbridge.testing.records import STARTED_NS, build_run

LONG = Session("s", "host", None, 1, None, STARTED_NS, STARTED_NS + 1000 * 10**9)
RUNS = [
    build_run(
        "low",
        curves={"eval/mcc": [0.1, 0.3, 0.2], "train/loss": [2.0, 1.0]},
        config={"script": {"lr": 2e-5, "layers": 2, "head": {"type": "pooled"}, "fast": True}},
        seeds=Seeds(dropout=1),
        tags=("cola", "short"),
    ),
    build_run(
        "high",
        curves={"eval/mcc": [0.1, 0.6]},
        config={"script": {"lr": 1e-4, "layers": 0, "head": {"type": "mean"}, "fast": False}},
        seeds=Seeds(dropout=2),
        group="techniques",
    ),
    build_run("failed", config={"training_arguments": {"lr": 2e-5}}, status="failed", sessions=(LONG,)),
]


def passing(text: str, runs: list[RunRecord] | None = None) -> list[str]:
    fields = Fields()
    fields.learn(runs or RUNS)
    passes = parse_filter(text, fields)
    return [run.name for run in runs or RUNS if passes(run)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["low", "high", "failed"]),
        ("eval/mcc > 0.5", ["high"]),
        ("best(eval/mcc) >= 0.3 and eval/mcc < 0.4", ["low"]),
        ("last(eval/mcc) <= 0.2", ["low"]),
        ("train/loss < 1.5", ["low"]),
        ("script.lr = 2e-5", ["low"]),
        ("script.lr = 0.00002", ["low"]),
        ("layers = 2 or layers = 0", ["low", "high"]),
        ("layers > 0", ["low"]),
        ("not layers > 0", ["high", "failed"]),
        ("layers != 2", ["high", "failed"]),
        ("layers = null", ["failed"]),
        ("head.type = mean", ["high"]),
        ("type ~ pool", ["low"]),
        ("type ~ p*d", ["low"]),
        ("type !~ pool", ["high", "failed"]),
        ("fast = true", ["low"]),
        ("status = failed", ["failed"]),
        ("status != finished", ["failed"]),
        ("seed.dropout = 2", ["high"]),
        ("tag = short", ["low"]),
        ("tag ~ co", ["low"]),
        ("took > 10min", ["failed"]),
        ("started < 2100-01-01", ["low", "high", "failed"]),
        ("tech*", ["high"]),
        ("HIGH", ["high"]),
        ("low cola", ["low"]),
        ("(low or high) and not short", ["high"]),
        ('name = "high"', ["high"]),
        ("name = 'high' or name=failed", ["high", "failed"]),
    ],
)
def test_a_filter_passes_these_runs(text: str, names: list[str]) -> None:
    assert passing(text) == names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("eval/mcc >", "ends where a value after '>' was expected"),
        ("(low", "a '(' that is not closed"),
        ("low)", "goes on with ')'"),
        ("> 3", "has '>' at character 1; expected a field"),
        ("layers > many", "expected a number"),
        ("lr = 1", "could be script.lr, training_arguments.lr"),
    ],
)
def test_a_text_that_is_no_filter_is_told_where_and_why(text: str, words: str) -> None:
    with pytest.raises(MisuseError, match=words.replace("(", r"\(").replace(")", r"\)")):
        passing(text)


def test_a_field_that_no_run_has_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFoundError, match=r"no run has a field 'layer'.*did you mean 'layers'|layers"):
        passing("layer = 2")


def test_a_run_that_never_logged_a_metric_passes_no_comparison_with_it() -> None:
    assert passing("eval/mcc < 100") == ["low", "high"]
    assert passing("not eval/mcc < 100") == ["failed"]


def test_a_day_begins_at_midnight_of_this_machine() -> None:
    day = datetime(2026, 11, 1).astimezone()
    early = build_run("early", started_ns=int((day.timestamp() - 1) * 1e9))
    late = build_run("late", started_ns=int((day.timestamp() + 1) * 1e9))

    assert passing("started >= 2026-11-01", [early, late]) == ["late"]


def test_fields_that_vary_are_those_in_which_not_all_runs_agree() -> None:
    fields = Fields()
    fields.learn(RUNS)

    assert fields.varying(RUNS[:2]) == ["script.fast", "script.head.type", "script.layers", "script.lr"]
    assert fields.varying(RUNS[:1]) == []


def test_a_config_key_is_shown_by_its_last_part_where_that_is_its_own() -> None:
    fields = Fields()
    fields.learn(RUNS)

    assert fields.named("script.layers").title == "layers"
    assert fields.named("script.lr").title == "script.lr"
    assert fields.named("best(train/loss)").read(RUNS[0]) == 1.0
