"""The MLflow adapter without a server: the SDK's errors in our words, stores of files, and what it keeps to itself."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow_kit import deliver

from trackbridge.adapters.mlflow_sdk import delivery_error
from trackbridge.errors import AdapterBug, DeliveryRefused, MissingDependencyError, TransientDeliveryError
from trackbridge.testing.rows import RowBuilder


@pytest.fixture
def rows(tmp_path: Path) -> RowBuilder:
    return RowBuilder(tmp_path)


def test_a_server_that_keeps_files_gets_no_point_twice(
    rows: RowBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    for step in range(1, 21):
        rows.add_metrics(step, {"train/loss": 1 / step, "train/odd": math.nan if step % 2 else math.inf})
    deliver(rows, ending=None)
    (count,) = tmp_path.glob("mlruns/*/*/tags/trackbridge.rows")
    # As if the relay and the server had died between the points of a request and its tags.
    count.write_text("11")

    deliver(rows)

    (metric,) = tmp_path.glob("mlruns/*/*/metrics/train/loss")
    (odd,) = tmp_path.glob("mlruns/*/*/metrics/train/odd")
    lines = [line.split() for line in metric.read_text().splitlines()]
    assert [(int(step), float(value)) for _, value, step in lines] == [(step, 1 / step) for step in range(1, 21)]
    assert len(odd.read_text().splitlines()) == 20


@pytest.mark.parametrize("code", ERROR_CODE_TO_HTTP_STATUS)
def test_every_error_code_of_mlflow_is_an_outage_or_a_refusal(code: str) -> None:
    told = delivery_error(MlflowException("what happened", ErrorCode.Value(code)))

    passes = ERROR_CODE_TO_HTTP_STATUS[code] >= 499 or ERROR_CODE_TO_HTTP_STATUS[code] in (409, 429)
    assert type(told) is (TransientDeliveryError if passes else DeliveryRefused)
    assert "what happened" in str(told)


@pytest.mark.parametrize("error", [OSError("broken"), requests.ConnectionError("broken"), requests.Timeout("broken")])
def test_trouble_of_the_connection_is_an_outage(error: Exception) -> None:
    assert type(delivery_error(error)) is TransientDeliveryError


def test_what_nobody_foresaw_is_a_bug_of_the_adapter() -> None:
    assert type(delivery_error(KeyError("what"))) is AdapterBug


def test_no_address_is_a_refusal_that_names_the_variable(rows: RowBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    with pytest.raises(DeliveryRefused, match=r"MLFLOW_TRACKING_URI.*mlflow:offline"):
        deliver(rows)


def test_a_password_in_the_address_is_never_shown(rows: RowBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:not-to-be-seen@127.0.0.1:9")

    with pytest.raises(TransientDeliveryError) as outage:
        deliver(rows)

    assert "not-to-be-seen" not in str(outage.value)


def test_without_the_sdk_the_install_command_is_named(rows: RowBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(MissingDependencyError, match=r"pip install 'trackbridge\[mlflow\]'"):
        deliver(rows)


def test_mlflow_neither_talks_to_the_terminal_nor_to_its_makers(rows: RowBuilder, tmp_path: Path) -> None:
    script = f"""
        from pathlib import Path
        from trackbridge.adapters.base import Ending
        from trackbridge.adapters.mlflow import MlflowAdapter
        from trackbridge.events.models import ArtifactLogged
        from trackbridge.testing.rows import RowBuilder

        rows = RowBuilder(Path({str(tmp_path)!r}))
        rows.add(ArtifactLogged, name="a", type="file", path={str(tmp_path)!r}, size_bytes=0, sha256="")
        (rows.header.folder / "a file").write_text("a")
        adapter = MlflowAdapter(mode="offline")
        adapter.open(rows.header, None)
        adapter.deliver(rows.rows)
        adapter.close(Ending("finished", 0))
        from mlflow.telemetry import get_telemetry_client
        assert get_telemetry_client() is None
    """
    # With any of these variables MLflow takes itself to be under test, and keeps quiet of its own accord.
    environment = {"HOME": str(tmp_path), "PATH": ""}

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
