"""The server that answers, and lets go of open streams when it ends."""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette


class PageServer(uvicorn.Server):
    """Serves the page's application."""

    def __init__(self, app: Starlette) -> None:
        config = uvicorn.Config(
            app, lifespan="off", log_level="warning", access_log=False, server_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        super().__init__(config)
        self._live = app.state.live

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends; streams first, since uvicorn waits for answers that are underway, and these have no end."""
        self._live.stop()
        await super().shutdown(sockets)
