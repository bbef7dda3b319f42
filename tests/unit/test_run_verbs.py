"""The verbs beside `log`: each writes its one event, masks what is secret, and refuses what it cannot record."""

from __future__ import annotations

import argparse
import dataclasses
import enum
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from transformers import TrainingArguments

import trackbridge as tb
from trackbridge.errors import MisuseError
from trackbridge.events.models import (
    ArtifactLogged,
    ConfigLogged,
    Event,
    RunFinished,
    RunStarted,
    SeedsLogged,
    SummaryLogged,
    TagsSet,
)
from trackbridge.events.redact import MASK
from trackbridge.testing.written import all_events, events_of

TOKEN = "hf_" + "abcdefghij" * 3


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tb.Run]:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE_ENVIRONMENT", "false")
    with tb.start_run("verbs", root=tmp_path / "runs") as run:
        yield run


def last(run: tb.Run, kind: type[Event]) -> Any:
    return events_of(run.path, kind)[-1]


def test_config_is_written_under_its_scope(run: tb.Run) -> None:
    run.log_config({"lr": 2e-5, "layers": [1, {"dropout": 0.1}]})
    run.log_config({"hidden_size": 768}, scope="model")

    first, second = events_of(run.path, ConfigLogged)
    assert (first.scope, first.config) == ("script", {"lr": 2e-5, "layers": [1, {"dropout": 0.1}]})
    assert (second.scope, second.config) == ("model", {"hidden_size": 768})


class Schedule(enum.Enum):
    LINEAR = "linear"


@dataclasses.dataclass
class Optimizer:
    lr: float = 2e-5
    schedule: Schedule = Schedule.LINEAR


class Options(pydantic.BaseModel):
    optimizer: Optimizer = Optimizer()
    folder: Path = Path("data")


@pytest.mark.parametrize(
    ("config", "written"),
    [
        (Optimizer(), {"lr": 2e-5, "schedule": "linear"}),
        (Options(), {"optimizer": {"lr": 2e-5, "schedule": "linear"}, "folder": "data"}),
        (argparse.Namespace(lr=2e-5, inner=argparse.Namespace(a=1)), {"lr": 2e-5, "inner": {"a": 1}}),
        (SimpleNamespace(lr=2e-5), {"lr": 2e-5}),
        ({"a": np.float32(0.5), "b": np.arange(3), "c": torch.tensor(2)}, {"a": 0.5, "b": [0, 1, 2], "c": 2}),
        ({1: (1, 2), "set": {3, 1}, "none": None}, {"1": [1, 2], "set": [1, 3], "none": None}),
        ({"dtype": torch.float16, "loss": torch.nn.functional.cross_entropy},
         {"dtype": "torch.float16", "loss": "torch.nn.functional.cross_entropy"}),
        ({"big": 2**80, "nan": float("inf")}, {"big": 2**80, "nan": float("inf")}),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_people_keep_settings_in_becomes_plain_config(run: tb.Run, config: Any, written: Any) -> None:
    run.log_config(config)

    assert last(run, ConfigLogged).config == written


def test_the_parsed_command_line_is_a_config(run: tb.Run) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--hub-token")

    run.log_config(parser.parse_args(["--learning-rate", "2e-5", "--hub-token", "mine"]))

    assert last(run, ConfigLogged).config == {"learning_rate": 2e-5, "hub_token": MASK}


def test_training_arguments_are_a_config_that_is_the_same_each_time(run: tb.Run, tmp_path: Path) -> None:
    for _ in range(2):
        run.log_config(TrainingArguments(output_dir=str(tmp_path), use_cpu=True, hub_token="mine"))

    first, second = events_of(run.path, ConfigLogged)
    assert first.config["learning_rate"] == 5e-5
    assert first.config["hub_token"] == MASK
    assert " at 0x" not in json.dumps(first.config)
    assert {**first.config, "logging_dir": None} == {**second.config, "logging_dir": None}


class Opaque:
    """An object that knows nothing of JSON; its `repr` holds its address."""


def test_an_object_without_a_json_form_is_told_the_same_in_each_run(run: tb.Run) -> None:
    run.log_config({"collator": Opaque()})
    run.log_config({"collator": Opaque()})

    first, second = events_of(run.path, ConfigLogged)
    assert first.config == second.config
    assert "Opaque" in first.config["collator"]


@pytest.mark.parametrize("config", ["lr=1", 5, [1, 2], None, Opaque()])
def test_what_is_no_config_is_refused(run: tb.Run, config: Any) -> None:
    with pytest.raises(MisuseError, match=r"config is .* expected a mapping, a dataclass"):
        run.log_config(config)


def test_a_config_that_contains_itself_is_refused(run: tb.Run) -> None:
    config: dict[str, Any] = {}
    config["self"] = config

    with pytest.raises(MisuseError, match="does it contain itself"):
        run.log_config(config)


@pytest.mark.parametrize("scope", ["", "two words", "a/b", 5])
def test_a_scope_is_one_word(run: tb.Run, scope: Any) -> None:
    with pytest.raises(MisuseError, match="config scope"):
        run.log_config({}, scope=scope)


def test_the_callers_config_is_not_changed(run: tb.Run) -> None:
    config = {"api_key": "mine", "inner": {"values": [1, 2]}}

    run.log_config(config)

    assert config == {"api_key": "mine", "inner": {"values": [1, 2]}}


def test_secrets_are_masked_wherever_they_are_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "--hub_token", TOKEN, "--max_new_tokens=5", f"--note=see {TOKEN}"])
    run = tb.start_run("secrets", root=tmp_path / "runs", notes=f"with {TOKEN}")
    run.log_config({"hub_token": "anything", "note": TOKEN, "max_new_tokens": 5, "use_cls_token": True})
    run.log_summary({"api_key": "anything", "best": 0.5, "note": f"pushed with {TOKEN}"})
    try:
        raise RuntimeError(f"cannot push with {TOKEN} to https://me:{'pass' * 3}@hub")
    except RuntimeError as error:
        run.end_by(error)

    (journal,) = run.path.glob("journal-*.jsonl")
    text = journal.read_text(encoding="utf-8")
    assert TOKEN not in text
    assert "anything" not in text
    assert "pass" * 3 not in text
    assert last(run, ConfigLogged).config["max_new_tokens"] == 5
    assert last(run, ConfigLogged).config["use_cls_token"] is True
    assert last(run, SummaryLogged).values["best"] == 0.5
    assert "cannot push with" in (last(run, RunFinished).error or "")


def test_seeds_are_written_and_remembered(run: tb.Run) -> None:
    run.log_seeds(tb.Seeds(init=1, dropout=3))

    event = last(run, SeedsLogged)
    assert (event.init, event.data, event.dropout, event.all) == (1, None, 3, None)
    assert run.seeds == tb.Seeds(init=1, dropout=3)


@pytest.mark.parametrize("seeds", [42, {"init": 1}, None])
def test_seeds_want_their_names(run: tb.Run, seeds: Any) -> None:
    with pytest.raises(MisuseError, match=r"log_seeds takes tb.Seeds\(init=, data=, dropout=\)"):
        run.log_seeds(seeds)


def test_a_summary_holds_numbers_texts_and_structure(run: tb.Run) -> None:
    run.log_summary({"mcc": np.float32(0.5), "loss": torch.tensor(0.25), "note": "ok", "per_class": [0.1, 0.9]})

    assert last(run, SummaryLogged).values == {"mcc": 0.5, "loss": 0.25, "note": "ok", "per_class": [0.1, 0.9]}


@pytest.mark.parametrize("values", [0.5, [("a", 1)], "done"])
def test_what_is_no_summary_is_refused(run: tb.Run, values: Any) -> None:
    with pytest.raises(MisuseError, match=r"summary is .* expected a mapping"):
        run.log_summary(values)


def test_an_artifact_is_a_reference_with_a_digest(run: tb.Run, tmp_path: Path) -> None:
    file = tmp_path / "vocab.txt"
    file.write_bytes(b"the\ncat\n")

    run.log_artifact(file, type="vocabulary")
    run.log_artifact(str(file), name="words")

    first, second = events_of(run.path, ArtifactLogged)
    assert (first.name, first.type, first.path) == ("vocab.txt", "vocabulary", str(file))
    assert (first.size_bytes, first.sha256) == (8, hashlib.sha256(b"the\ncat\n").hexdigest())
    assert (second.name, second.type) == ("words", "file")


def test_a_folder_is_an_artifact_whose_digest_covers_names_and_bytes(run: tb.Run, tmp_path: Path) -> None:
    digests = []
    for name, content in (("a", b"1"), ("a", b"2"), ("b", b"1")):
        folder = tmp_path / f"{name}{content!r}"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / name).write_bytes(content)
        run.log_artifact(folder)
        digests.append(last(run, ArtifactLogged).sha256)

    assert len(set(digests)) == 3
    assert last(run, ArtifactLogged).size_bytes == 1


def test_an_artifact_that_is_not_there_is_refused(run: tb.Run, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"gone.txt' does not exist: write it first"):
        run.log_artifact(tmp_path / "gone.txt")


@pytest.mark.parametrize("fields", [{"type": 5}, {"name": 5}, {"type": ""}])
def test_an_artifact_is_described_by_texts(run: tb.Run, fields: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match=r"artifact (type|name) is .*expected a text"):
        run.log_artifact(run.path, **fields)


def test_tags_replace_the_tags_there_were(run: tb.Run) -> None:
    run.set_tags("a", "b")
    run.set_tags()

    assert [event.tags for event in events_of(run.path, TagsSet)] == [["a", "b"], []]


@pytest.mark.parametrize("tag", [5, "", None, ["a"]])
def test_a_tag_is_a_text(run: tb.Run, tag: Any) -> None:
    with pytest.raises(MisuseError, match=r"one of tags is .*expected a text"):
        run.set_tags(tag)


def test_what_describes_a_run_is_in_its_first_event(tmp_path: Path) -> None:
    with tb.start_run(
        "described", root=tmp_path, name="baseline", group="study", tags=("a", "b"), notes="see\nlog"
    ) as run:
        pass

    (started,) = events_of(run.path, RunStarted)
    assert (started.project, started.name, started.group) == ("described", "baseline", "study")
    assert (started.tags, started.notes, started.resumed_from) == (["a", "b"], "see\nlog", None)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tags": "ablation"}, "tags is 'ablation'; expected several texts: tags=['ablation']"),
        ({"tags": [5]}, "one of tags is 5 (int); expected a text"),
        ({"tags": 5}, "tags is 5; expected several texts"),
        ({"notes": 5}, "notes is 5 (int); expected a text"),
        ({"group": 5}, "group is 5 (int); expected a text"),
        ({"group": ""}, "group is empty; expected a text, or leave it out"),
        ({"name": 5}, "name is 5 (int); expected a text"),
        ({"config": 5}, "config is 5 (int); expected a mapping"),
        ({"data": "imdb"}, "data is 'imdb'; expected a mapping of names to datasets: data={'train': 'imdb'}"),
        ({"run_id": "mine"}, "run_id 'mine' is not 32 lower-case hex digits"),
        ({"ranks": "1"}, "ranks is '1'; expected '0' or 'all'"),
        ({"ranks": 0}, "ranks is 0; expected '0' or 'all'"),
        ({"resume_from": "gone"}, "resume_from 'gone' is no directory"),
    ],
    ids=repr,
)
def test_what_cannot_describe_a_run_is_refused_before_anything_is_written(
    tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(MisuseError) as caught:
        tb.start_run("described", root=tmp_path / "runs", **given)

    assert told in str(caught.value)
    assert not (tmp_path / "runs").exists()
    assert not tb.current_run().is_recording


@pytest.mark.parametrize("project", ["", "a/b", "..", ".hidden", "con", "a" * 101, 5, None, "end."])
def test_a_project_is_a_folder_name_on_every_system(tmp_path: Path, project: Any) -> None:
    with pytest.raises(MisuseError, match="cannot be a folder name"):
        tb.start_run(project, root=tmp_path / "runs")

    assert not (tmp_path / "runs").exists()


def test_texts_with_broken_unicode_are_kept_readable(tmp_path: Path) -> None:
    with tb.start_run("broken", root=tmp_path, name="a\ud800b", tags=["\udcff"], notes="\ud800") as run:
        run.log_config({"\udcff": "\ud800"})
        run.log_summary({"\udcff": "\ud800"})

    assert last(run, RunStarted).name == "a\\ud800b"
    assert last(run, ConfigLogged).config == {"\\udcff": "\\ud800"}
    assert len(all_events(run.path)) > 4


def test_a_run_ends_once_with_the_status_it_was_given(tmp_path: Path) -> None:
    run = tb.start_run("ends", root=tmp_path)

    run.finish("failed", error="diverged")
    run.finish()
    run.finish("killed")

    (finished,) = events_of(run.path, RunFinished)
    assert (finished.status, finished.exit_code, finished.error) == ("failed", None, "diverged")


@pytest.mark.parametrize(("status", "error"), [("done", None), ("running", None), (None, None), ("failed", 5)])
def test_a_status_or_error_that_cannot_be_is_refused(run: tb.Run, status: Any, error: Any) -> None:
    with pytest.raises(
        MisuseError, match=r"status .* is not one of finished, failed, killed|error is 5 .int.; expected a text"
    ):
        run.finish(status, error)

    assert not run.is_closed


def test_a_run_tells_what_it_is(run: tb.Run) -> None:
    assert repr(run) == f"<Run verbs/{run.name} {run.run_id} open>"


def test_a_run_that_records_nothing_takes_every_verb(tmp_path: Path) -> None:
    run = tb.current_run()

    run.log({"a": 1.0, "b": tb.Text("x")}, step=1)
    run.log_config({"a": 1})
    run.log_seeds(tb.Seeds(all=1))
    run.log_summary({"a": 1})
    run.log_checkpoint(tmp_path, step=1, keep=True)
    run.log_artifact(tmp_path)
    run.set_tags("a")
    with pytest.raises(MisuseError, match="bool"):
        run.log({"a": True}, step=1)
    run.finish()

    assert not run.is_recording
    assert list(tmp_path.iterdir()) == []
