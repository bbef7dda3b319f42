"""What the W&B adapter says and does in trouble, with the real SDK against the fake server."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb_kit import at_server, build_rows, fake_wandb

from trackbridge.adapters.base import Ending
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.adapters.wandb_sdk import delivery_error
from trackbridge.errors import AdapterBug, DeliveryRefused, TransientDeliveryError
from trackbridge.events.models import ArtifactLogged, RunFinished
from trackbridge.run.media import Image, Table, Text
from trackbridge.testing.bench import Bench, confirm, give_up
from trackbridge.testing.fake_wandb import FakeWandb


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
    with fake_wandb(monkeypatch) as server:
        yield server


@pytest.fixture
def bench(server: FakeWandb, tmp_path: Path) -> Bench:
    return Bench(WandbAdapter, server, build_rows(tmp_path / "run", 5))


def test_media_whose_upload_failed_are_uploaded_by_the_next_connection(bench: Bench, server: FakeWandb) -> None:
    bench.rows.add_media(5, "eval/picture", Image([[[0.0, 1.0, 0.5]]]))
    bench.rows.add_media(5, "eval/table", Table(["a"], [[1]]))
    bench.rows.add_media(5, "eval/text", Text("The cat sat."))
    adapter = bench.open()
    with server.trouble(where="/upload/", status=403):
        adapter.deliver(bench.rows.rows)
        assert not adapter.flush(3.0)
        give_up(adapter)
    assert len(at_server(bench).history) == 8
    assert at_server(bench).files == {}

    bench.deliver()

    paths = {value["path"] for row in at_server(bench).rows for value in row.values() if isinstance(value, dict)}
    assert len(paths) == 3
    assert paths <= at_server(bench).files.keys()
    assert not (bench.rows.header.folder / "delivery" / "wandb").exists()


@pytest.mark.parametrize("small", [[], ["eval/small"]], ids=["alone", "beside another"])
def test_a_picture_that_wandb_will_never_take_is_a_rejection_and_holds_nothing_up(
    bench: Bench, server: FakeWandb, small: list[str]
) -> None:
    too_large = bench.rows.add_media(6, "eval/large", Text("too large"))
    for name in small:
        bench.rows.add_media(6, name, Text("small"))
    bench.rows.add_metrics(7, {"train/loss": 0.1})

    with server.trouble(where=f"/upload/{bench.rows.header.run_id}/media/html/eval/large", status=413):
        adapter = bench.open()
        adapter.deliver(bench.rows.rows)
        with pytest.raises(TransientDeliveryError, match="W&B refuses media/html/eval/large"):
            adapter.flush(30.0)
        give_up(adapter)
        rejections = bench.rejections()

    assert [(one.row, one.what) for one in rejections] == [(too_large.number, "eval/large")]
    assert "413" in rejections[0].reason
    assert bench.seen.curve("train/loss")[-1] == (7, 0.1)
    assert [name.split("/")[3].partition("_")[0] for name in at_server(bench).files if "media/" in name] == [
        name.removeprefix("eval/") for name in small
    ]
    assert not (bench.rows.header.folder / "delivery" / "wandb").exists()


@pytest.mark.parametrize("where", ["/artifact/artifact-0/large.bin", '"artifactCollectionName":"large.bin"'])
def test_an_artifact_that_wandb_will_never_take_is_a_rejection_alone(
    bench: Bench, server: FakeWandb, tmp_path: Path, where: str
) -> None:
    numbers = {}
    for name in ("large.bin", "small.bin"):
        (tmp_path / name).write_text(name)
        fields = {"path": str(tmp_path / name), "size_bytes": 9, "sha256": "0" * 64}
        numbers[name] = bench.rows.add(ArtifactLogged, name=name, type="file", **fields).number

    with server.trouble(where=where, status=413):
        rejections = bench.rejections()

    assert [(one.row, one.what) for one in rejections] == [(numbers["large.bin"], "large.bin")]
    assert "413" in rejections[0].reason
    assert bench.seen.artifacts == {"small.bin"}


def test_an_answer_that_is_lost_after_the_server_took_the_rows_doubles_nothing(bench: Bench, server: FakeWandb) -> None:
    adapter = bench.open()
    with server.trouble(where="file_stream", cut="after"):
        adapter.deliver(bench.rows.rows)
        assert not adapter.flush(1.0)
        give_up(adapter)

    bench.deliver()

    bench.assert_all_arrived()
    assert len(at_server(bench).history) == 5


def test_slow_answers_only_take_longer(bench: Bench, server: FakeWandb) -> None:
    with server.trouble(delay_s=0.15):
        bench.deliver()

    bench.assert_all_arrived()


def test_a_server_that_refuses_rows_is_a_refusal_and_no_success(bench: Bench, server: FakeWandb) -> None:
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)

    with server.trouble(where="file_stream", status=403), pytest.raises(DeliveryRefused) as refused:
        adapter.flush(10.0)

    assert "403" in str(refused.value)
    assert "WANDB_API_KEY" in str(refused.value)
    give_up(adapter)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_transient(bench: Bench, server: FakeWandb, status: int) -> None:
    with server.trouble(status=status), pytest.raises(TransientDeliveryError, match=str(status)):
        bench.open()


def test_a_run_that_was_deleted_at_wandb_is_a_refusal_in_its_words(bench: Bench, server: FakeWandb) -> None:
    with (
        server.trouble(where="UpsertBucket", status=409),
        pytest.raises(DeliveryRefused, match="refused"),
    ):
        bench.open()


def test_without_a_key_nobody_is_asked_and_the_way_out_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))

    with pytest.raises(DeliveryRefused, match="no W&B API key: set WANDB_API_KEY"):
        bench.open()


def test_a_key_of_the_wrong_form_is_a_refusal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")

    with pytest.raises(DeliveryRefused, match="40") as refused:
        bench.open()

    assert "WANDB_API_KEY" in str(refused.value)


@pytest.mark.parametrize("name", wandb.errors.__all__)
def test_every_public_error_of_the_sdk_becomes_one_of_ours(name: str) -> None:
    error = getattr(wandb.errors, name)("it says why")

    assert type(delivery_error(error)) is DeliveryRefused
    assert "it says why" in str(delivery_error(error))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (wandb.errors.CommError("Post: giving up after 2 attempt(s): HTTP 503"), TransientDeliveryError),
        (wandb.errors.CommError("Run initialization has timed out after 30.0 sec"), TransientDeliveryError),
        (ConnectionResetError("the service died"), TransientDeliveryError),
        (KeyError("surprise"), AdapterBug),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_passes_is_transient_and_what_nobody_foresaw_is_a_bug(error: Exception, ours: type[Exception]) -> None:
    assert type(delivery_error(error)) is ours


def test_an_untested_version_is_told_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wandb, "__version__", "9.1.0")

    with caplog.at_level(logging.WARNING):
        bench.deliver()

    assert "wandb 9.1.0 is installed; its adapter is tested with" in caplog.text


def test_a_version_that_is_too_old_names_the_one_to_install(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "__version__", "0.29.0")

    with pytest.raises(DeliveryRefused, match=r"0\.29\.0 is too old to deliver online: pip install 'wandb>=0\.30\.0'"):
        bench.open()


def test_a_missing_sdk_names_the_install_command(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["wandb"] = None
from pathlib import Path
from trackbridge.adapters.base import RunHeader
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.errors import MissingDependencyError
try:
    WandbAdapter().open(RunHeader("0" * 32, "p", "n", Path({str(tmp_path)!r})), None)
except MissingDependencyError as error:
    assert "pip install 'trackbridge[wandb]'" in str(error), error
else:
    raise AssertionError("it opened")"""

    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ.copy())


def test_a_server_is_spared_while_rows_come_in_one_by_one(bench: Bench, server: FakeWandb) -> None:
    adapter = bench.open()
    started = time.monotonic()
    for row in bench.rows.rows[1:4]:
        adapter.deliver([row])
        confirm(adapter)
    adapter.close(None)

    requests = len(server.requests)
    assert requests / (time.monotonic() - started) < 12
    assert bench.seen.curve("train/norm") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_the_last_rows_of_a_run_are_not_held_back(bench: Bench, server: FakeWandb) -> None:
    adapter = bench.open()
    adapter.deliver(bench.rows.rows)
    confirm(adapter)
    started = time.monotonic()
    adapter.deliver([bench.rows.add(RunFinished, status="finished", exit_code=0)])
    confirm(adapter)

    assert time.monotonic() - started < WandbAdapter.pause_s
    adapter.close(Ending("finished", 0))
