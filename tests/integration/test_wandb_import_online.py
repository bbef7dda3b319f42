"""Runs read from a W&B server: what the real SDK sent to the fake one, and what happens when it does not answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb_kit import fake_wandb
from wandb_writer import WrittenRun

import trackbridge as tb
from trackbridge.errors import MisuseError, NotFoundError, SourceUnavailable
from trackbridge.sources import web
from trackbridge.sources.importing import import_runs
from trackbridge.sources.wandb_api import WandbApi
from trackbridge.testing.fake_wandb import FakeWandb
from trackbridge.testing.fake_wandb_run import FakeWandbRun
from trackbridge.testing.imported import contents, logged_points

PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c6360606000000004000146b4c5d90000000049454e44ae426082"
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    with fake_wandb(monkeypatch) as server:
        yield server


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    """The same without the SDK, with a run that was put there by hand."""
    with FakeWandb() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        run = server.runs["r1"] = FakeWandbRun("r1", "sentiment", "team", name="first", state="finished")
        run.put_lines(run.history, 0, ['{"_step": 0, "loss": 0.5, "_timestamp": 1700000000.5}'])
        run.last_step = 0
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_what_the_sdk_sent_is_read_back(server: FakeWandb, tmp_path: Path, root: Path) -> None:
    (tmp_path / "picture.png").write_bytes(PICTURE)
    settings = wandb.Settings(silent=True, x_disable_stats=True, console="off")
    config = {"optimizer": {"lr": 2e-5}, "ключ": [1, 2]}
    run = wandb.init(
        project="sentiment", name="läuft", group="g", tags=["a"], notes="n", config=config, settings=settings
    )
    run.define_metric("epoch_number")
    run.define_metric("eval/*", step_metric="epoch_number")
    for number in range(5):
        run.log({"train/loss": math.nan if number == 3 else 1 / (number + 1)})
    run.log({"eval/mcc": 0.5, "epoch_number": 70})
    run.log({"picture": wandb.Image(str(tmp_path / "picture.png"), caption="dot")})
    run.summary["best"] = 0.7
    run.finish(exit_code=1)

    report = import_runs("wandb://team/sentiment", root=root)

    assert [done.problems for done in report.runs] == [()]
    record = tb.open_store(root).run("läuft")
    assert record.config["script"] == config
    assert (record.group, record.tags, record.notes, record.status) == ("g", ("a",), "n", "failed")
    assert repr(record.series("train/loss").values.tolist()) == repr([1.0, 0.5, 1 / 3, math.nan, 0.2])
    assert record.series("eval/mcc").steps.tolist() == [70]
    assert [(one.name, one.media, one.caption) for one in record.media] == [("picture", "image", "dot")]
    assert (Path(record.path) / record.media[0].path).read_bytes() == PICTURE
    assert record.summary == {"best": 0.7}
    assert server.unknown_operations == []


def test_every_page_of_runs_and_rows_is_read_and_again_changes_nothing(alone: FakeWandb, root: Path) -> None:
    second = alone.runs["r2"] = FakeWandbRun("r2", "sentiment", "team", name="second")
    lines = [f'{{"_step": {step}, "loss": {step}, "_timestamp": 1700000001.0}}' for step in range(0, 90_000, 40)]
    second.put_lines(second.history, 0, lines)
    second.last_step = 89_960

    import_runs("wandb://team/sentiment", root=root)
    before = contents(root)
    report = import_runs("wandb://team/sentiment", root=root)

    assert {record.name for record in tb.open_store(root).runs()} == {"first", "second"}
    assert tb.open_store(root).run("second").series("loss").steps.tolist() == list(range(0, 90_000, 40))
    assert [done.state for done in report.runs] == ["unchanged", "unchanged"]
    assert contents(root) == before


def test_one_run_is_read_by_its_address(alone: FakeWandb, root: Path) -> None:
    alone.runs["r2"] = FakeWandbRun("r2", "sentiment", "team", name="second")

    import_runs("wandb://team/sentiment/r1", root=root)

    assert [record.name for record in tb.open_store(root).runs()] == ["first"]


def test_samples_and_printed_lines_are_kept(alone: FakeWandb, root: Path) -> None:
    alone.runs["r1"].events = ['{"system.cpu": 12.5, "_timestamp": 1767225615.0}']
    alone.runs["r1"].files["output.log"] = b"it trains\n"

    import_runs("wandb://team/sentiment", root=root)

    record = tb.open_store(root).run("first")
    assert record.series("system/cpu").steps.tolist() == [15]
    assert "it trains" in (Path(record.path) / "console.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("wandb://team/sentiment/nobody", NotFoundError, "no run 'nobody' in team/sentiment"),
        ("wandb://team/nothing", NotFoundError, "no project team/nothing"),
        ("wandb://team", MisuseError, "expected wandb://entity/project"),
    ],
)
def test_what_is_not_there_is_told(
    alone: FakeWandb, root: Path, address: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        import_runs(address, root=root)


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ({"status": 401}, "does not take the key in WANDB_API_KEY"),
        ({"status": 404}, "check WANDB_BASE_URL"),
        ({"status": 503}, "HTTP 503: try again later"),
        ({"cut": "before"}, "cannot be reached"),
        ({"delay_s": 1.0}, "cannot be reached"),
    ],
)
def test_a_server_in_trouble_is_told_without_the_key(
    alone: FakeWandb, root: Path, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, object], told: str
) -> None:
    monkeypatch.setattr(web, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(web, "PAUSE_S", 0.0)

    with alone.trouble(**trouble), pytest.raises(SourceUnavailable, match=told) as caught:
        import_runs("wandb://team/sentiment", root=root)

    assert alone.secret not in str(caught.value)


def test_without_a_key_nobody_is_asked(alone: FakeWandb, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")

    with pytest.raises(SourceUnavailable, match="set WANDB_API_KEY"):
        import_runs("wandb://team/sentiment", root=root)

    assert alone.requests == []


def test_an_outage_in_the_middle_keeps_what_was_read(
    alone: FakeWandb, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PAUSE_S", 0.0)

    with alone.trouble(status=503, where="RunEvents"):
        report = import_runs("wandb://team/sentiment", root=root)
    again = import_runs("wandb://team/sentiment", root=root)

    assert "HTTP 503" in report.runs[0].problems[0].reason
    assert report.runs[0].n_points == 1
    assert (again.runs[0].state, again.runs[0].problems, len(logged_points(root))) == ("grown", (), 1)


def test_the_key_goes_to_the_server_only_and_no_local_file_is_read(alone: FakeWandb, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("private")
    api = WandbApi.from_environment()

    with FakeWandb() as other:
        other.runs["r"] = FakeWandbRun("r", "p", "e", files={"f": b"bytes"})
        with api.download(f"{other.url}/download/r/f", 5) as file:
            assert file.read() == b"bytes"
        assert "Authorization" not in other.requests[0].headers
        with pytest.raises(OSError, match="bytes arrived of 6"):
            api.download(f"{other.url}/download/r/f", 6)
    with pytest.raises(OSError, match="no web address"):
        api.download((tmp_path / "private").as_uri(), None)


def test_file_names_that_lead_out_are_refused(alone: FakeWandb, root: Path) -> None:
    alone.runs["r1"].files["../../escape.txt"] = b"harm"

    report = import_runs("wandb://team/sentiment", root=root)

    assert report.runs[0].state == "refused"
    assert logged_points(root) == []


def test_a_run_of_files_and_of_the_server_is_one(alone: FakeWandb, tmp_path: Path, root: Path) -> None:
    local = WrittenRun("r1", entity="team")
    history = local.add().history
    for name, value in {"_step": "0", "loss": "0.5", "_timestamp": "1700000000.5"}.items():
        history.item.add(nested_key=[name], value_json=value)
    import_runs(local.write(tmp_path / "run-r1.wandb"), root=root)

    import_runs("wandb://team/sentiment/r1", root=root)

    assert len(tb.open_store(root).runs()) == 1
    assert len(logged_points(root)) == 1
