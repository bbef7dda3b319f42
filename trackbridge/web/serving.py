"""Runs the page's server until it is stopped."""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable

from trackbridge.comparison.statistics.distributions import t_quantile
from trackbridge.errors import MissingDependencyError, MisuseError
from trackbridge.store.store import Store


def serve(
    store: Store,
    *,
    host: str,
    port: int,
    token: str | None,
    opens_browser: bool,
    announce: Callable[[str], None],
) -> None:
    """Answer at `host`:`port` until interrupted; port 0 takes any free one.

    Args:
        store: the runs to show.
        host: where to listen; anywhere but on loopback, a token is needed, and made up where none is given.
        port: the port; where it is taken, the error says so.
        token: what a browser has to show.
        opens_browser: whether to open the page in the user's browser.
        announce: is told the address as soon as it answers.

    Raises:
        MissingDependencyError: the extra `web` is not installed.
        MisuseError: the address cannot be listened at.
    """
    try:
        from trackbridge.web.app import create_app
        from trackbridge.web.guard import Access, is_loopback
        from trackbridge.web.server import PageServer
    except ImportError as error:
        raise MissingDependencyError.for_extra("the web page", error.name or "starlette", "web") from error
    listening = listening_socket(host, port)
    token = token or (None if is_loopback(host) else secrets.token_urlsafe(24))
    access = Access(host, listening.getsockname()[1], token)
    app = create_app(store, access)
    # Read before anybody asks, so that the first page finds the configs of all runs flattened.
    app.state.catalogue.listing()
    threading.Thread(target=_load_statistics, daemon=True).start()
    announce(access.url)
    if opens_browser:
        threading.Thread(target=webbrowser.open, args=(access.url,), daemon=True).start()
    # uvicorn ends in good order on Ctrl-C, and then interrupts once more.
    with contextlib.suppress(KeyboardInterrupt):
        PageServer(app).run(sockets=[listening])


def _load_statistics() -> None:
    """Loads scipy, for which the first comparison would wait otherwise; without it, comparisons say what they lack."""
    with contextlib.suppress(MissingDependencyError):
        t_quantile(0.975, 2)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens already, so that a browser opened at once is answered."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise MisuseError(f"cannot listen at {host}:{port}: {error.strerror or error}; try another --port") from error
    return listening
