"""The contract, held by the W&B adapter with the real SDK: against the fake server, and in offline folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import wandb
from wandb_reader import OfflineFolder

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.wandb import WandbAdapter
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.fake_wandb import FakeWandb
from trackbridge.testing.online_contract import OnlineContract


class TestOnline(OnlineContract):
    way_out = "WANDB_API_KEY"

    @pytest.fixture
    def connect(self) -> Callable[[], Adapter]:
        return WandbAdapter

    @pytest.fixture
    def tracker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeWandb]:
        with FakeWandb() as server:
            # The SDK reads its variables once in a process.
            wandb.teardown()
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            yield server
            wandb.teardown()


class TestOffline(AdapterContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(WandbAdapter, mode="offline", folder=tmp_path / "offline")

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> OfflineFolder:
        return OfflineFolder(tmp_path / "offline")
