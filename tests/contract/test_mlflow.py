"""The contract, held by the MLflow adapter: online against a real server, offline by the database it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from mlflow_kit import MlflowDatabase, MlflowPages, MlflowProxy, mlflow_server, proxied

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.mlflow import MlflowAdapter
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.online_contract import OnlineContract

# MLflow's own database code warns about itself; outside of tests Python keeps such warnings to itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# A server takes eight seconds to start and a database two: tests share them, and each has the experiment to itself.


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowPages]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as url:
        yield MlflowPages(url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


class TestOnline(OnlineContract):
    way_out = "MLFLOW_TRACKING_TOKEN"

    @pytest.fixture
    def connect(self) -> Callable[[], Adapter]:
        return partial(MlflowAdapter, mode="online")

    @pytest.fixture
    def tracker(self, pages: MlflowPages, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowProxy]:
        with proxied(pages, monkeypatch) as proxy:
            yield proxy


class TestOffline(AdapterContract):
    @pytest.fixture
    def connect(self, folder: Path) -> Callable[[], Adapter]:
        return partial(MlflowAdapter, mode="offline", folder=folder)

    @pytest.fixture
    def tracker(self, folder: Path) -> Iterator[MlflowDatabase]:
        database = MlflowDatabase(folder / "mlflow.db")
        yield database
        database.forget()
