"""The page's server on a free port of loopback, for tests of it with and without a browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trackbridge.store.store import open_store
from trackbridge.web.app import create_app
from trackbridge.web.guard import Access
from trackbridge.web.server import PageServer
from trackbridge.web.serving import listening_socket


@contextmanager
def serving(root: Path, *, host: str = "127.0.0.1", token: str | None = None) -> Iterator[Access]:
    """The server for as long as the block lasts. Whatever `host` it is told it listens at, it is on loopback."""
    listening = listening_socket("127.0.0.1", 0)
    access = Access(host, listening.getsockname()[1], token)
    server = PageServer(create_app(open_store(root), access))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield access
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
