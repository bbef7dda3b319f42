"""What holds for every test: no network but loopback, settings from nowhere, real data only where it is present."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell that starts the tests in the background, or under nohup, has these ignored, and every process started from
# here would inherit that: Ctrl-C could not be tested.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
for _name in [name for name in os.environ if name.startswith("TRACKBRIDGE_") and name != "TRACKBRIDGE_TEST_DATA"]:
    del os.environ[_name]

_LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """A connection to any other machine is an error of the test."""
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test tried to reach {address!r}; tests talk to 127.0.0.1 only")
        connect(self, address)

    socket.socket.connect = checked  # type: ignore[method-assign,assignment]  # restored below
    yield
    socket.socket.connect = connect  # type: ignore[method-assign]  # the original again


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, so nothing it writes by default lands in the project."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _no_run_is_left_open() -> Iterator[None]:
    """What a crash left open ends with its test, as it would with its process, and is no later test's current run."""
    yield
    endings = sys.modules.get("trackbridge.run.endings")
    while endings is not None and (run := endings.innermost_open()) is not None:
        run.finish("killed")


@pytest.fixture
def real_data() -> Path:
    """The folder with cola/, blimp/ and so on, for tests marked `real`."""
    folder = os.environ.get("TRACKBRIDGE_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.fail("set TRACKBRIDGE_TEST_DATA to the folder that holds cola/, blimp/, ... to run tests marked 'real'")
    return Path(folder)
