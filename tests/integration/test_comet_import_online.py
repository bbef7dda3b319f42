"""Experiments read from a Comet server: what the real SDK and our adapter sent to the fake one, and one in trouble."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from round_trip_kit import curves, make_run

import trackbridge as tb
from trackbridge.errors import MisuseError, NotFoundError, SourceUnavailable
from trackbridge.sources import comet_online, web
from trackbridge.sources.importing import import_runs
from trackbridge.testing.fake_comet import FakeComet
from trackbridge.testing.fake_comet_experiment import FakeExperiment
from trackbridge.testing.imported import contents, logged_points

KEY = "a" * 32
SCRIPT = f"""
import math
import comet_ml
quiet = comet_ml.ExperimentConfig(log_env_details=False, log_code=False, name="läuft", tags=["one", "ü"])
experiment = comet_ml.start(
    workspace="team", project_name="sentiment", experiment_key="{KEY}", mode="create", experiment_config=quiet
)
experiment.log_parameters({{"optimizer": {{"lr": 2e-5}}, "warm": True}})
experiment.log_other("best", 0.5)
for step, value in enumerate([1.0, math.nan, math.inf]):
    experiment.log_metric("train/loss", value, step=step)
experiment.log_text("The cat sat.", step=2)
experiment.log_asset_data("bytes", name="notes.txt")
experiment.end()
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeComet]:
    with FakeComet() as comet:
        for name, value in comet.environment.items():
            monkeypatch.setenv(name, value)
        yield comet


@pytest.fixture
def one(server: FakeComet) -> FakeExperiment:
    """An experiment that was put there by hand."""
    server.experiments[KEY] = FakeExperiment(
        KEY, "sentiment", "team", others={"Name": "first"}, start_ms=1_700_000_000_000, is_alive=False
    )
    metric = {"metricName": "loss", "metricValue": 0.5, "step": 0, "epoch": None, "timestamp": 1_700_000_000_500}
    server.experiments[KEY].metrics.append(metric)
    return server.experiments[KEY]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_what_the_sdk_sent_is_read_back(server: FakeComet, tmp_path: Path, root: Path) -> None:
    environment = {**os.environ, **server.environment}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    report = import_runs("comet://team/sentiment", root=root)

    assert [run.problems for run in report.runs] == [()]
    record = tb.open_store(root).run("läuft")
    # Comet's server keeps parameters as texts.
    assert record.config["script"] == {"optimizer": {"lr": "2e-05"}, "warm": "True"}
    assert (record.status, set(record.tags), record.summary["best"]) == ("finished", {"one", "ü"}, "0.5")
    assert list(map(repr, record.series("train/loss").values.tolist())) == ["1.0", "nan", "inf"]
    assert [(media.name, media.media, media.step) for media in record.media] == [("text", "text", 2)]
    kept = {one.name: (Path(record.path) / one.path).read_bytes() for one in record.artifacts}
    assert kept["notes.txt"] == b"bytes"


def test_what_trackbridge_delivered_comes_back_as_far_as_comets_texts_tell(
    server: FakeComet, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMET_WORKSPACE", "team")
    record = make_run(root, tmp_path / "work")
    assert tb.sync(root, to=["comet"], runs=[record]).is_complete

    import_runs("comet://team/demo", root=tmp_path / "back")

    back = tb.open_store(tmp_path / "back").run(record.name)
    assert (back.group, back.tags, back.notes) == (record.group, record.tags, record.notes)
    assert (back.seeds, back.status, back.sessions[-1].exit_code) == (record.seeds, "failed", 1)
    assert set(back.config) - {"comet"} == set(record.config)
    assert back.environment["python"] == record.environment["python"]
    assert [(one.step, one.metrics) for one in back.checkpoints] == [
        (one.step, one.metrics) for one in record.checkpoints
    ]
    assert {(one.name, one.media, one.step, one.caption) for one in back.media} == {
        (one.name, one.media, one.step, one.caption) for one in record.media
    }
    # A server knows no sessions: what a resume superseded stays where nothing came after it.
    told, kept = curves(record), curves(back)
    assert {name: kept[name][: len(curve)] for name, curve in told.items()} == told
    assert set(kept) == set(told)


def test_every_page_is_read_and_again_changes_nothing(
    server: FakeComet, one: FakeExperiment, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comet_online, "PAGE_EXPERIMENTS", 2)
    for number in range(3):
        key = f"{number}" * 32
        server.experiments[key] = FakeExperiment(key, "sentiment", "team", others={"Name": f"run {number}"})

    import_runs("comet://team/sentiment", root=root)
    before = contents(root)
    report = import_runs("comet://team/sentiment", root=root)

    assert {record.name for record in tb.open_store(root).runs()} == {"first", "run 0", "run 1", "run 2"}
    assert {run.state for run in report.runs} == {"unchanged"}
    assert contents(root) == before


def test_one_experiment_is_read_by_its_key_or_name(server: FakeComet, one: FakeExperiment, root: Path) -> None:
    server.experiments["b" * 32] = FakeExperiment("b" * 32, "sentiment", "team", others={"Name": "second"})

    import_runs(f"comet://team/sentiment/{KEY}", root=root)
    import_runs("comet://team/sentiment/first", root=root)

    assert [record.name for record in tb.open_store(root).runs()] == ["first"]


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("comet://team/sentiment/nobody", NotFoundError, "no experiment team/sentiment/nobody"),
        ("comet://team/nothing", NotFoundError, "no experiment team/nothing"),
        ("comet://team", MisuseError, "expected comet://workspace/project"),
    ],
)
def test_what_is_not_there_is_told(
    one: FakeExperiment, root: Path, address: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        import_runs(address, root=root)


def test_a_key_that_is_refused_is_told_without_it(server: FakeComet, one: FakeExperiment, root: Path) -> None:
    with server.refusal(401), pytest.raises(SourceUnavailable, match="does not take the key in COMET_API_KEY") as told:
        import_runs("comet://team/sentiment", root=root)

    assert server.secret not in str(told.value)


def test_without_a_key_nobody_is_asked(server: FakeComet, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMET_API_KEY")

    with pytest.raises(SourceUnavailable, match="set COMET_API_KEY"):
        import_runs("comet://team/sentiment", root=root)

    assert server.requests == []


def test_an_outage_in_the_middle_keeps_what_was_read(
    server: FakeComet, one: FakeExperiment, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAUSE_S", 0.0)

    with server.trouble(status=503, where="experiment/output"):
        report = import_runs("comet://team/sentiment", root=root)
    again = import_runs("comet://team/sentiment", root=root)

    assert "HTTP 503" in report.runs[0].problems[0].reason
    assert (report.runs[0].n_points, len(logged_points(root)), again.runs[0].problems) == (1, 1, ())
