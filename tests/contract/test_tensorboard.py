"""The contract, held by the TensorBoard adapter: its files are read back by TensorBoard's own reader."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tensorboard_kit import LogFolder

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.tensorboard import TensorboardAdapter
from trackbridge.testing.contract import AdapterContract


class TestTensorboard(AdapterContract):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Callable[[], Adapter]:
        return partial(TensorboardAdapter, folder=tmp_path / "logs")

    @pytest.fixture
    def tracker(self, tmp_path: Path) -> LogFolder:
        return LogFolder(tmp_path / "logs")
