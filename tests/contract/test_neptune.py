"""The contract, held by the Neptune adapter with the real SDK: online to a server on loopback, and offline."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from trackbridge.adapters.base import Adapter
from trackbridge.adapters.neptune import NeptuneAdapter
from trackbridge.testing.contract import AdapterContract
from trackbridge.testing.fake_neptune import FakeNeptune
from trackbridge.testing.online_contract import OnlineContract
from trackbridge.testing.seen import SeenRun


class TestOnline(OnlineContract):
    way_out = "NEPTUNE_API_TOKEN"

    @pytest.fixture
    def tracker(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNeptune]:
        with FakeNeptune() as neptune:
            for name, value in neptune.environment().items():
                monkeypatch.setenv(name, value)
            yield neptune

    @pytest.fixture
    def connect(self, tracker: FakeNeptune) -> Callable[[], Adapter]:
        return NeptuneAdapter
